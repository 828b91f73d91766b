"""Rows of a review that hold no data: RevMan writes zeros there and leaves them out of its analyses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from metaan.readers.cells import Unreadable, number

__all__ = ["is_empty"]

_TOTALS: Final = ("total_t", "total_c")
_SIZES: Final = ("n_t", "n_c")
_SPREADS: Final = ("sd_t", "sd_c")
_NEEDED: Final = {
    "dichotomous": ("events_t", *_TOTALS, "events_c"),
    "continuous": ("mean_t", "mean_c", *_SIZES, *_SPREADS),
    "inverse variance": ("yi", "sei"),
    "O-E and variance": ("o_e", "o_e_variance"),
}
_POSITIVE: Final = {
    "dichotomous": _TOTALS,
    "continuous": _SIZES,
    "inverse variance": ("sei",),
    "O-E and variance": ("o_e_variance",),
}


def is_empty(kind: str, cells: Mapping[str, object], estimable: bool | None, measure: str) -> bool:
    """Whether nothing can be computed from a row that the review does not call estimable.

    An arm of no patients, a standard error or a variance of 0, or two standard deviations of 0; where the review says
    that there is no estimate, also one standard deviation of 0 or a number that is missing. A study without events,
    which has no estimate of a ratio, holds data; of Peto's odds ratio it says nothing.
    """
    if estimable or kind not in _NEEDED:
        return False
    values = {name: _value(cells.get(name)) for name in _NEEDED[kind]}
    if any(values[name] == 0 for name in _POSITIVE[kind]):
        return True
    if measure == "PETO" and kind == "dichotomous":
        events, totals = ((values[f"{name}_t"], values[f"{name}_c"]) for name in ("events", "total"))
        if events in ((0, 0), totals):
            return True
    flat = [values[name] == 0 for name in _SPREADS] if kind == "continuous" else [False]
    if all(flat):
        return True
    return estimable is False and (any(flat) or any(math.isnan(value) for value in values.values()))


def _value(cell: object) -> float:
    """Number of a cell; infinite where it is none, which is told when the row is read."""
    try:
        return number(cell, ".")[0]
    except Unreadable:
        return math.inf
