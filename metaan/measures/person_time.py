"""Effect sizes of events counted over time: incidence rates, their ratio and difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from metaan.measures.columns import Columns, read
from metaan.measures.correction import added
from metaan.measures.record import Effects
from metaan.measures.request import Request
from metaan.validate import FloatArray, forbid

__all__ = ["INCIDENCE", "INCIDENCE_TWO", "TIMES", "incidence", "times"]

Pair = tuple[FloatArray, FloatArray]

TIMES: Final = ("events_t", "time_t", "events_c", "time_c")
INCIDENCE: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("IR", "IRLN", "IRS", "IRFT"), ("events", "time"))
INCIDENCE_TWO: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("IRR", "IRD", "IRSD"), TIMES)


def _raw(x: FloatArray, t: FloatArray) -> Pair:
    return x / t, x / t**2


def _log(x: FloatArray, t: FloatArray) -> Pair:
    return np.log(x / t), 1 / x


def _root(x: FloatArray, t: FloatArray) -> Pair:
    return np.sqrt(x / t), 1 / (4 * t)


def _freeman_tukey(x: FloatArray, t: FloatArray) -> Pair:
    return (np.sqrt(x / t) + np.sqrt((x + 1) / t)) / 2, 1 / (4 * t)


_ONE: Final[dict[str, Callable[[FloatArray, FloatArray], Pair]]] = {
    "IR": _raw, "IRLN": _log, "IRS": _root, "IRFT": _freeman_tukey, "IRR": _log, "IRD": _raw, "IRSD": _root,
}  # fmt: skip
_CORRECTED: Final = ("IR", "IRLN", "IRR", "IRD")  # undefined, or a variance of 0, without events


def times(columns: Columns, arms: tuple[str, ...] = ("_t", "_c")) -> None:
    """Refuse events that are no counts, and times that are not positive."""
    for arm in arms:
        x, t = columns[f"events{arm}"], columns[f"time{arm}"]
        forbid(x < 0, columns.study, f"events{arm} is negative", [x])
        forbid(x != np.floor(x), columns.study, f"events{arm} must be a whole number", [x])
        forbid(~(t > 0), columns.study, f"time{arm} must be positive", [t])


def incidence(ask: Request) -> Effects:
    """Effect sizes of incidence rates; a comparison is the difference of two on the scale of one."""
    arms = ("_t", "_c") if ask.measure in INCIDENCE_TWO else ("",)
    of = read((INCIDENCE | INCIDENCE_TWO)[ask.measure], ask.data, ask.given, ask.study, ask.missing)
    times(of, arms)
    zero = np.any([of[f"events{arm}"] == 0 for arm in arms], axis=0) & (ask.measure in _CORRECTED)
    where, hint = "the events", "use IRS or IRFT, which need none"
    if len(arms) == 2:
        where, hint = "the events of each arm", "pool with mantel_haenszel or glmm"
    extra, notes = added(zero, of.study, ask.correction, ask.add, where=where, hint=hint)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [_ONE[ask.measure](of[f"events{arm}"] + extra, of[f"time{arm}"]) for arm in arms]
        yi = each[0][0] - each[1][0] if len(each) == 2 else each[0][0]
        vi = each[0][1] + each[1][1] if len(each) == 2 else each[0][1]
    bad = ~(np.isfinite(yi) & np.isfinite(vi) & (vi > 0))
    events = [of[f"events{arm}"] for arm in arms]
    forbid(bad, of.study, f"measure {ask.measure} is undefined without events and without a correction", events)
    return Effects(
        yi=yi, vi=vi, study=of.study, measure=ask.measure, data=of.data, notes=of.notes + notes, inputs=of.values
    )
