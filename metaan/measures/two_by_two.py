"""Effect sizes of two arms with a binary outcome: risk ratio, odds ratio, risk difference, arcsine, Peto."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import Note, ZeroCellWarning, listed
from metaan.measures.record import Effects, complete
from metaan.validate import MISSING, FloatArray, Option, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARMS", "TWO_BY_TWO", "Tables", "tables", "two_by_two"]

ARMS: Final = ("events_t", "total_t", "events_c", "total_c")
TWO_BY_TWO: Final = Option(
    "measure",
    {
        "RR": "log risk ratio",
        "OR": "log odds ratio",
        "RD": "risk difference",
        "AS": "difference of arcsine square roots of the risks",
        "PETO": "log odds ratio by Peto's one-step method",
    },
    "OR",
)


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
    MISSING.check(missing)
    arrays = {name: numbers(column(data, given[name], name), name) for name in ARMS}
    k = same_length(arrays)
    arrays, names, rows, notes = complete(arrays, labels(column(data, study, "study"), k), data, missing)
    for arm in ("t", "c"):
        x, n = arrays[f"events_{arm}"], arrays[f"total_{arm}"]
        forbid(x < 0, names, f"events_{arm} is negative", [x])
        forbid(n < 1, names, f"total_{arm} must be at least 1", [n])
        forbid(x != np.floor(x), names, f"events_{arm} must be a whole number", [x])
        forbid(n != np.floor(n), names, f"total_{arm} must be a whole number", [n])
        forbid(x > n, names, f"events_{arm} exceeds total_{arm}", [x, n])
    return Tables(**arrays, study=names, data=rows, notes=notes)


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
_CORRECTED: Final = ("RR", "OR", "RD")  # AS and PETO need no correction and take it with "all" only


def two_by_two(
    measure: str, data: Any, given: dict[str, Any], *, study: Any, correction: str | None, add: float, missing: str
) -> Effects:
    """Effect sizes of two arms; see `metaan.effect_size`."""
    read = tables(data, given, study, missing)
    cells, notes = _corrected(measure, read, correction, add)
    hit, miss = read.events_t + read.events_c, read.cells[1] + read.cells[3]
    if measure == "PETO":
        forbid((hit == 0) | (miss == 0), read.study, "PETO is undefined where neither arm, or everybody, has an event")
    with np.errstate(divide="ignore", invalid="ignore"):
        yi, vi = _FORMULA[measure](*cells)
    bad = ~(np.isfinite(yi) & np.isfinite(vi) & (vi > 0))
    forbid(bad, read.study, f"measure {measure} is undefined there without a correction", list(read.cells))
    return Effects(
        yi=yi, vi=vi, study=read.study, measure=measure, data=read.data, notes=read.notes + notes,
        arms={name: getattr(read, name) for name in ARMS},
    )  # fmt: skip


def _corrected(
    measure: str, read: Tables, correction: str | None, add: float
) -> tuple[tuple[FloatArray, ...], tuple[Note, ...]]:
    """Cells after the continuity correction, with the note that says which trials it changed."""
    zero = np.any([cell == 0 for cell in read.cells], axis=0)
    if measure not in _CORRECTED:
        zero = np.zeros_like(zero)
    chosen = {
        "only0": zero, "if0all": np.full_like(zero, zero.any()), "all": np.ones_like(zero), "none": np.zeros_like(zero),
    }[correction or "only0"]  # fmt: skip
    if not chosen.any():
        return read.cells, ()
    names = tuple(name for name, is_chosen in zip(read.study, chosen, strict=True) if is_chosen)
    text = f"{add:g} added to each cell of {len(names)} of {len(read.study)} trials: {listed(names)}."
    if correction is None:
        warnings.warn(f"{text} Say correction= to choose, or pool with mantel_haenszel.", ZeroCellWarning, stacklevel=4)
    return tuple(np.where(chosen, cell + add, cell) for cell in read.cells), (Note("zero-cell", text, names),)
