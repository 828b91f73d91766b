"""Scale of the estimates of an export: RevMan 5 writes ratios beside the standard errors of their logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from metaan.errors import InputError
from metaan.readers.analyses import Analysis, Row
from metaan.readers.cells import Unreadable, number

__all__ = ["settle_scale"]

_DIFFERENCES: Final = ("MD", "SMD", "RD")
_NEAR: Final = 0.01  # of the width of the interval: how far an estimate may lie from the middle
_FARTHER: Final = 10.0  # times that the middle on the other scale must be farther away


def settle_scale(analysis: Analysis, place: str) -> None:
    """Take logarithms of estimates that an export prints as ratios; the interval of each study tells the scale.

    Raises
    ------
    InputError
        The intervals do not tell it, or there are none.
    """
    rows = [row for row in analysis.rows if _number(row, "sei") > 0]
    if analysis.measure not in _DIFFERENCES and rows:
        distances = [found for row in rows if (found := _distances(row))]
        if _tells([linear for linear, _ in distances], [ratio for _, ratio in distances]):
            pass
        elif _tells([ratio for _, ratio in distances], [linear for linear, _ in distances]):
            for row in rows:
                row.cells["yi"] = repr(math.log(_number(row, "yi")))
            analysis.scale = "The file prints the estimates as ratios; yi is their logarithm, as sei is on that scale."
        else:
            raise InputError(
                f"{place}, outcome {analysis.number}: the file does not tell whether its effect estimates are ratios "
                "or their logarithms. Export the review with the fields 'CI Start' and 'CI End', or read its .rm5 "
                "file."
            )


def _tells(near: Sequence[float], other: Sequence[float]) -> bool:
    """Whether estimates lie in the middle of their intervals on one scale, and clearly not on the other."""
    return bool(near) and max(near) < _NEAR and sum(near) * _FARTHER < sum(other)


def _distances(row: Row) -> tuple[float, float] | None:
    """How far an estimate is from the middle of its interval, in its widths, as it stands and in logarithms."""
    low, at, high = (_number(row, name) for name in ("ci_low", "yi", "ci_high"))
    if not low < high:
        return None
    linear = abs(at - (low + high) / 2) / (high - low)
    if low <= 0 or at <= 0:
        return linear, math.inf
    low, at, high = math.log(low), math.log(at), math.log(high)
    return linear, abs(at - (low + high) / 2) / (high - low)


def _number(row: Row, name: str) -> float:
    """Number of a cell, NaN where it is none."""
    try:
        return number(row.cells.get(name), ".")[0]
    except Unreadable:
        return math.nan
