"""Shapiro-Wilk's W of many samples at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import ndtri

from metaan.core.wls import FloatArray

__all__ = ["moment_ratios", "shapiro_wilk"]

_LAST: Final = (0.221157, -0.147981, -2.071190, 4.434685, -2.706056)
_NEXT: Final = (0.042981, -0.293762, -1.752461, 5.682633, -3.582633)


@lru_cache(maxsize=64)
def _weights(k: int) -> FloatArray:
    """Royston's approximation to the weights of the order statistics, of unit length."""
    if k == 3:
        return np.array([-np.sqrt(0.5), 0.0, np.sqrt(0.5)])
    m: FloatArray = np.asarray(ndtri((np.arange(1, k + 1) - 0.375) / (k + 0.25)))
    total, u = float(m @ m), k**-0.5
    a: FloatArray = m / np.sqrt(total)
    powers = u ** np.arange(1, 6)
    last = a[-1] + float(powers @ np.array(_LAST))
    if k <= 5:
        inner = slice(1, k - 1)
        factor = (total - 2 * m[-1] ** 2) / (1 - 2 * last**2)
    else:
        following = a[-2] + float(powers @ np.array(_NEXT))
        inner = slice(2, k - 2)
        factor = (total - 2 * m[-1] ** 2 - 2 * m[-2] ** 2) / (1 - 2 * last**2 - 2 * following**2)
        a[-2], a[1] = following, -following
    a[inner] = m[inner] / np.sqrt(factor)
    a[-1], a[0] = last, -last
    return np.asarray(a)


def shapiro_wilk(x: FloatArray) -> FloatArray:
    """W of the columns of x, shape (k, n) with k >= 3; NaN where a column is constant.

    W = (sum a_i x_(i))^2 / sum (x_i - mean)^2, with the weights of Royston 1992.

    References
    ----------
    Royston P (1992). Stat Comput 2:117-119. doi:10.1007/BF01891203
    """
    ordered = np.sort(x, axis=0)
    around = ordered - ordered.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((_weights(x.shape[0]) @ ordered) ** 2 / (around * around).sum(axis=0))


def moment_ratios(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Skewness m3/m2^1.5 and kurtosis m4/m2^2 of the columns of x, (k, n); NaN where a column is constant."""
    around = x - x.mean(axis=0)
    squared = around * around
    m2 = squared.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (squared * around).mean(axis=0) / m2**1.5, (squared * squared).mean(axis=0) / m2**2
