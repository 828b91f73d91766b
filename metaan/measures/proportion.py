"""Effect sizes of single rates: raw, logit, log, arcsine and Freeman-Tukey double arcsine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.transforms import double_arcsine
from metaan.errors import Note
from metaan.measures.columns import one_unit
from metaan.measures.correction import added
from metaan.measures.effective import effective_note, is_effective
from metaan.measures.record import Effects, complete
from metaan.measures.request import Request
from metaan.validate import MISSING, FloatArray, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RATES", "Counts", "counts", "rates"]

RATES: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("PR", "PLO", "PLN", "PAS", "PFT"), ("events", "total"))
"""Measures of one rate and the columns they need."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Checked event counts of k studies."""

    events: FloatArray
    total: FloatArray
    study: tuple[str, ...]
    data: pd.DataFrame | None
    notes: tuple[Note, ...]


def counts(data: Any, events: Any, total: Any, study: Any, missing: str) -> Counts:
    """Read events and totals from columns or arrays and refuse what cannot be a count."""
    MISSING.check(missing)
    arrays = {
        "events": numbers(column(data, events, "events"), "events"),
        "total": numbers(column(data, total, "total"), "total"),
    }
    k = same_length(arrays)
    arrays, names, rows, notes = complete(arrays, labels(column(data, study, "study"), k), data, missing)
    one_unit(rows)
    x, n = arrays["events"], arrays["total"]
    forbid(x < 0, names, "events is negative", [x])
    effective = is_effective(x, n, rows)
    forbid((n < 1) & ~effective, names, "total must be at least 1", [n])
    forbid((x != np.floor(x)) & ~effective, names, "events must be a whole number", [x])
    forbid((n != np.floor(n)) & ~effective, names, "total must be a whole number", [n])
    forbid(x > n, names, "events exceeds total", [x, n])
    if effective.any():
        notes = (*notes, effective_note(rows, names))
    return Counts(events=x, total=n, study=names, data=rows, notes=notes)


def _raw(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    p = x / n
    return p, p * (1 - p) / n


def _logit(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(x / (n - x)), 1 / x + 1 / (n - x)


def _log(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(x / n), 1 / x - 1 / n


def _arcsine(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.arcsin(np.sqrt(x / n)), 1 / (4 * n)


def _double_arcsine(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return double_arcsine(x, n), 1 / (4 * n + 2)


_FORMULA: Final[dict[str, Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]]] = {
    "PR": _raw,
    "PLO": _logit,
    "PLN": _log,
    "PAS": _arcsine,
    "PFT": _double_arcsine,
}
_NEEDS_CORRECTION: Final = {"PR", "PLO", "PLN"}  # undefined, or a variance of 0, at 0 or n


def rates(ask: Request) -> Effects:
    """Effect sizes of single rates; see `metaan.effect_size`."""
    read = counts(ask.data, ask.given["events"], ask.given["total"], ask.study, ask.missing)
    x, n = read.events, read.total
    extreme = (x == 0) | (x == n)
    if ask.measure not in _NEEDS_CORRECTION:
        extreme = np.zeros_like(extreme)
    if ask.correction == "none":
        forbid(extreme, read.study, f"measure {ask.measure} is undefined at 0 or n without a correction", [x, n])
    extra, notes = added(
        extreme, read.study, ask.correction, ask.add,
        where="events and non-events", hint="use glmm, which needs none",
    )  # fmt: skip
    with np.errstate(divide="ignore"):  # an `add` too small to count: Effects refuses what is infinite
        yi, vi = _FORMULA[ask.measure](x + extra, n + 2 * extra)
    return Effects(
        yi=yi, vi=vi, study=read.study, measure=ask.measure,
        events=x, total=n, data=read.data, notes=read.notes + notes,
    )  # fmt: skip
