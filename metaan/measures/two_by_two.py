"""Effect sizes of two arms with a binary outcome: risk ratio, odds ratio, risk difference, arcsine, Peto."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import Note
from metaan.measures.columns import forbid_counts, read
from metaan.measures.correction import added
from metaan.measures.record import Effects
from metaan.measures.request import Request
from metaan.validate import FloatArray, forbid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARMS", "TWO_BY_TWO", "Tables", "tables", "two_by_two"]

ARMS: Final = ("events_t", "total_t", "events_c", "total_c")
TWO_BY_TWO: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("RR", "OR", "RD", "AS", "PETO"), ARMS)
"""Measures of two arms with a binary outcome and the columns they need."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """Checked two-by-two tables of k trials: events and totals of the treated and the control arm."""

    events_t: FloatArray
    total_t: FloatArray
    events_c: FloatArray
    total_c: FloatArray
    study: tuple[str, ...]
    data: pd.DataFrame | None
    notes: tuple[Note, ...]

    @property
    def cells(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Events and non-events of the treated arm, events and non-events of the control arm."""
        return self.events_t, self.total_t - self.events_t, self.events_c, self.total_c - self.events_c


def tables(data: Any, given: dict[str, Any], study: Any, missing: str) -> Tables:
    """Read events and totals of both arms and refuse what cannot be a table."""
    columns = read(ARMS, data, given, study, missing)
    for arm in ("t", "c"):
        forbid_counts(columns, f"events_{arm}", f"total_{arm}")
    return Tables(**columns.values, study=columns.study, data=columns.data, notes=columns.notes)


def _risk_ratio(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    n1, n2 = a + b, c + d
    return np.log(a / n1) - np.log(c / n2), 1 / a - 1 / n1 + 1 / c - 1 / n2


def _odds_ratio(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(a / b) - np.log(c / d), 1 / a + 1 / b + 1 / c + 1 / d


def _risk_difference(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    n1, n2 = a + b, c + d
    return a / n1 - c / n2, a * b / n1**3 + c * d / n2**3


def _arcsine(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    n1, n2 = a + b, c + d
    return np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2)), 1 / (4 * n1) + 1 / (4 * n2)


def _peto(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    n1, n2 = a + b, c + d
    n, hit = n1 + n2, a + c
    variance = hit * (n - hit) * n1 * n2 / (n**2 * (n - 1))
    return (a - hit * n1 / n) / variance, 1 / variance


_FORMULA: Final[dict[str, Callable[..., tuple[FloatArray, FloatArray]]]] = {
    "RR": _risk_ratio, "OR": _odds_ratio, "RD": _risk_difference, "AS": _arcsine, "PETO": _peto,
}  # fmt: skip
_CORRECTED: Final = ("RR", "OR", "RD")  # AS needs none and takes it with "all" only; PETO if asked to


def two_by_two(ask: Request) -> Effects:
    """Effect sizes of two arms; see `metaan.effect_size`."""
    measure = ask.measure
    of = tables(ask.data, ask.given, ask.study, ask.missing)
    takes = measure in _CORRECTED or (measure == "PETO" and ask.correction is not None)
    zero = np.any([cell == 0 for cell in of.cells], axis=0) & takes
    extra, notes = added(
        zero, of.study, ask.correction, ask.add, where="each cell", hint="pool with mantel_haenszel or glmm"
    )
    hit, miss = of.events_t + of.events_c, of.cells[1] + of.cells[3]
    if measure == "PETO":
        forbid(
            ((hit == 0) | (miss == 0)) & (extra == 0),
            of.study,
            "PETO is undefined where neither arm, or everybody, has an event",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        yi, vi = _FORMULA[measure](*(cell + extra for cell in of.cells))
    bad = ~(np.isfinite(yi) & np.isfinite(vi) & (vi > 0))
    forbid(bad, of.study, f"measure {measure} is undefined there without a correction", list(of.cells))
    return Effects(
        yi=yi, vi=vi, study=of.study, measure=measure, data=of.data, notes=of.notes + notes,
        inputs={name: getattr(of, name) for name in ARMS},
    )  # fmt: skip
