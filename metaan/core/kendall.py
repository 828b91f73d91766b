"""Kendall's rank correlation and its test, for many data sets at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from metaan.core.wls import FloatArray

__all__ = ["EXACT", "Kendall", "kendall"]

_AT_ONCE: Final = 1_000_000  # pairs
EXACT: Final = 500
"""Pairs of values up to which the distribution without ties is exact; beyond, the normal one is as good."""


class Kendall(NamedTuple):
    """Arrays of shape (...); NaN where one of the two variables is constant."""

    tau: FloatArray
    """tau-b."""
    pvalue: FloatArray
    """Two-sided."""
    exact: npt.NDArray[np.bool_]
    """Whether the p-value is that of the permutation distribution: no ties."""


def kendall(x: FloatArray, y: FloatArray) -> Kendall:
    """tau-b of x and y, both (..., k) with k >= 2, and its test.

    With S the number of concordant less discordant pairs: without ties the exact distribution of S over all k! orders;
    with ties S/sqrt(var S), var S given the ties (Kendall 1970), against the normal distribution.
    """
    k = x.shape[-1]
    s, size_x, size_y = _pairs(x, y)
    pairs = k * (k - 1) / 2
    tied_x, tied_y = ((size - 1).sum(axis=-1) / 2 for size in (size_x, size_y))
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = s / np.sqrt((pairs - tied_x) * (pairs - tied_y))
        normal = 2 * ndtr(-np.abs(s) / np.sqrt(_variance(k, size_x, size_y)))
    exact = np.asarray((tied_x == 0) & (tied_y == 0) & (k <= EXACT))
    if not exact.any():
        return Kendall(tau, normal, exact)
    table = _lower_tail(k)
    fewer = np.where(exact, (pairs - np.abs(s)) / 2, 0).astype(np.intp)
    return Kendall(tau, np.where(exact, np.minimum(2 * table[fewer], 1.0), normal), exact)


def _pairs(x: FloatArray, y: FloatArray) -> tuple[FloatArray, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """S, and the size of the tie that each value of x and of y is in; some rows of the table of pairs at a time."""
    x, y = np.broadcast_arrays(x, y)
    s = np.zeros(x.shape[:-1])
    sizes = np.empty(x.shape, dtype=np.intp), np.empty(x.shape, dtype=np.intp)
    rows = max(1, _AT_ONCE // max(x.size, 1))
    for start in range(0, x.shape[-1], rows):
        part = slice(start, start + rows)
        signs = [np.sign(a[..., part, None] - a[..., None, :]) for a in (x, y)]
        s += np.einsum("...ij,...ij->...", *signs) / 2
        for size, sign in zip(sizes, signs, strict=True):
            size[..., part] = (sign == 0).sum(axis=-1)
    return s, *sizes


def _variance(k: int, size_x: npt.NDArray[np.intp], size_y: npt.NDArray[np.intp]) -> FloatArray:
    """Variance of S given the sizes of the ties, each of which is counted once for each of its members."""
    v0 = k * (k - 1) * (2 * k + 5)
    by_ties = sum(((size - 1) * (2 * size + 5)).sum(axis=-1) for size in (size_x, size_y))
    twos = [(size - 1).sum(axis=-1) for size in (size_x, size_y)]
    threes = [((size - 1) * (size - 2)).sum(axis=-1) for size in (size_x, size_y)]
    variance = (v0 - by_ties) / 18 + twos[0] * twos[1] / (2 * k * (k - 1))
    return np.asarray(variance + (threes[0] * threes[1] / (9 * k * (k - 1) * (k - 2)) if k > 2 else 0.0))


@lru_cache(maxsize=32)
def _lower_tail(k: int) -> FloatArray:
    """P(at most m of the k(k - 1)/2 pairs are discordant), m = 0, 1 ..., all orders equally likely."""
    probability = np.ones(1)
    for i in range(2, k + 1):  # the i-th value comes before 0 ... i - 1 of those before it, each equally likely
        total = np.concatenate([np.cumsum(probability), np.ones(i - 1)])
        total[i:] -= total[:-i].copy()
        probability = total / i
    table = np.cumsum(probability)
    table.setflags(write=False)
    return table
