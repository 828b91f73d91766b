"""Proof that a stationary point of the likelihood in tau2 is the only one, from the score's pieces at few points.

In the eigenbasis of the residual projection a(t) = sum z_j^2/(lambda_j + t)^2 and b(t) = sum 1/(lambda_j + t) (see
`metaan.core.wls.Score`). So A = a^(-1/2) and B = 1/b are power means of lambda_j + t with exponents -2 and -1: both
rise and are concave, and both are straight lines where all lambda_j are equal. The score is positive where A^2 < B.
Between two points chords bound A and B from below and tangents from above, and beyond the last point A rises at least
as fast as at infinity, where its slope is 1/sqrt(sum z_j^2). Where these bounds keep A^2 and B apart there is no root.

The functions of plain numbers serve one data set and, compiled, many; `below`, `within` and `beyond` take arrays.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.wls import FloatArray, Score

__all__ = [
    "MARCH",
    "STRIDE",
    "Curves",
    "below",
    "beyond",
    "one_below",
    "one_beyond",
    "one_curves",
    "one_within",
    "within",
]

BoolArray = npt.NDArray[np.bool_]

MARCH: Final = 6  # points above the root at most
STRIDE: Final = 2.0  # of the next point, in units of A/A': where all lambda_j are equal, of lambda + t
SHORTER: Final = 0.3  # after a stride that was too long
_PARALLEL: Final = 1e-9  # tangents whose slopes differ by less have no useful intersection
_MARGIN: Final = 1e-9  # relative, for rounding


class Curves(NamedTuple):
    """A and B and their slopes at a point, arrays of shape (n,)."""

    a: FloatArray
    a_slope: FloatArray
    b: FloatArray
    b_slope: FloatArray

    @classmethod
    def of(cls, at: Score) -> Curves:
        """From the score's pieces."""
        root = 1 / np.sqrt(at.a)
        return cls(root, at.c * root**3, 1 / at.b, at.d / at.b**2)

    def take(self, index: npt.NDArray[np.intp] | BoolArray) -> Curves:
        """Those of `index`."""
        return Curves(*(part[index] for part in self))


def step(t: FloatArray, at: Score) -> FloatArray:
    """Next point towards a root: Newton's for b/a = 1, which for equal variances is exact.

    Where that leads below 0, to where the tangents of A^2 and B meet, above any t at which the score is positive.
    """
    slope = 2 * at.b * at.c - at.d * at.a
    new = t + (at.a - at.b) * at.a / slope
    away = np.flatnonzero(~((slope > 0) & (new >= 0)))
    if away.size:
        of = Curves.of(Score(*(piece[away] for piece in at)))
        gap, rise = of.b - of.a**2, 2 * of.a * of.a_slope - of.b_slope
        new[away] = t[away] + 2 * gap / (rise + np.sqrt(rise**2 + 4 * of.a_slope**2 * gap))
    return new


def below(t: FloatArray, zero: Curves, at: Curves) -> BoolArray:
    """Whether the score, positive at 0 and zero at t, has no root between."""
    gap = zero.a_slope - at.a_slope
    meet = np.where(gap > _PARALLEL * zero.a_slope, (at.a - at.a_slope * t - zero.a) / gap, t / 2)
    meet = np.clip(meet, 0.01 * t, 0.99 * t)
    tangent = np.maximum(zero.a + zero.a_slope * meet, at.a - at.a_slope * (t - meet))
    chord = zero.b + (at.b - zero.b) * (meet / t)
    return np.asarray(tangent**2 < chord * (1 - _MARGIN))


def within(width: FloatArray, low: Curves, high: Curves, root: BoolArray) -> BoolArray:
    """Whether the score, negative or (`root`) zero at the lower end and negative at the upper, has no root between."""
    slope = (high.a - low.a) / width
    gap = low.b_slope - high.b_slope
    start = high.b - high.b_slope * width  # of the upper tangent, at the lower end
    meet = np.where(gap > _PARALLEL * low.b_slope, (start - low.b) / gap, width / 2)
    meet = np.clip(meet, 0.01 * width, 0.99 * width)
    first = np.where(root, 0.0, low.a**2 - low.b)
    left = _lowest(first, 2 * low.a * slope - low.b_slope, slope**2, 0.0 * meet, meet)
    right = _lowest(low.a**2 - start, 2 * low.a * slope - high.b_slope, slope**2, meet, width)
    return np.asarray((left >= 0) & (right > _MARGIN * high.b))


def beyond(low: Curves, flat: FloatArray, root: BoolArray) -> BoolArray:
    """Whether the score, negative or (`root`) zero at a point, has no root above it; `flat` is A' at infinity."""
    first = np.where(root, 0.0, low.a**2 - low.b)
    linear = 2 * low.a * flat - low.b_slope
    return np.asarray(_lowest(first, linear, flat**2, 0.0 * first, np.inf) >= 0)


def _lowest(
    constant: FloatArray, linear: FloatArray, square: FloatArray, low: FloatArray, high: FloatArray | float
) -> FloatArray:
    """Least value of a parabola that opens upwards, between two points."""
    x = np.minimum(np.maximum(-linear / (2 * square), low), high)
    return np.asarray(constant + (linear + square * x) * x)


def one_curves(a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    """As `Curves.of`, for one data set."""
    root = 1 / math.sqrt(a)
    return root, c * root * root * root, 1 / b, d / (b * b)


def one_step(t: float, a: float, b: float, c: float, d: float) -> float:
    """As `step`, for one data set; NaN where the tangents do not meet."""
    slope = 2 * b * c - d * a
    if slope > 0:
        new = t + (a - b) * a / slope
        if new >= 0:
            return new
    root = 1 / math.sqrt(a)
    root_slope = c * root * root * root
    gap, rise = 1 / b - root * root, 2 * root * root_slope - d / (b * b)
    square = rise * rise + 4 * root_slope * root_slope * gap
    down = rise + math.sqrt(square) if square >= 0 else math.nan
    return t + 2 * gap / down if down != 0 else math.nan


def one_below(t: float, a0: float, a0_slope: float, b0: float, a: float, a_slope: float, b: float) -> bool:
    """As `below`, for one data set."""
    gap = a0_slope - a_slope
    meet = (a - a_slope * t - a0) / gap if gap > _PARALLEL * a0_slope else t / 2
    meet = min(max(meet, 0.01 * t), 0.99 * t)
    tangent = max(a0 + a0_slope * meet, a - a_slope * (t - meet))
    chord = b0 + (b - b0) * (meet / t)
    return tangent * tangent < chord * (1 - _MARGIN)


def one_within(
    width: float, a: float, b: float, b_slope: float, high_a: float, high_b: float, high_b_slope: float, root: bool
) -> bool:
    """As `within`, for one data set."""
    slope = (high_a - a) / width
    gap = b_slope - high_b_slope
    start = high_b - high_b_slope * width
    meet = (start - b) / gap if gap > _PARALLEL * b_slope else width / 2
    meet = min(max(meet, 0.01 * width), 0.99 * width)
    square, linear = slope * slope, 2 * a * slope - b_slope
    x = min(max(-linear / (2 * square), 0.0), meet)
    left = (0.0 if root else a * a - b) + (linear + square * x) * x
    linear = 2 * a * slope - high_b_slope
    x = min(max(-linear / (2 * square), meet), width)
    return left >= 0 and a * a - start + (linear + square * x) * x > _MARGIN * high_b


def one_beyond(a: float, b: float, b_slope: float, flat: float, root: bool) -> bool:
    """As `beyond`, for one data set."""
    square, linear = flat * flat, 2 * a * flat - b_slope
    x = max(-linear / (2 * square), 0.0)
    return (0.0 if root else a * a - b) + (linear + square * x) * x >= 0
