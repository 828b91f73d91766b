"""Signs, rearrangements and resamples of studies, and what their statistics say: p-values and bootstrap intervals."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtr, ndtri

from metaan.core.wls import FloatArray

__all__ = [
    "TIE", "Bca", "at_least", "basic", "bca", "distinct_orders", "every_order", "every_sign", "exact_limits", "normal",
    "percentile", "random_orders", "random_signs",
]  # fmt: skip

IntArray = npt.NDArray[np.intp]
SignArray = npt.NDArray[np.int8]

TIE: Final = float(np.sqrt(np.finfo(np.float64).eps))
"""Statistics that are closer than this count as equal (metafor's ``comptol``); for large ones relative."""


def every_sign(k: int) -> SignArray:
    """Signs of k effects, the first of them kept: (k, 2^(k - 1)), all 1 in the first column.

    The other half are the same with all signs turned.
    """
    codes = np.arange(2 ** (k - 1), dtype=np.int64)
    return np.array([1 - 2 * ((codes >> place) & 1) for place in range(k - 1, -1, -1)], dtype=np.int8)


def random_signs(k: int, n: int, rng: np.random.Generator) -> SignArray:
    """Signs of k effects, (k, n)."""
    bits = np.unpackbits(np.frombuffer(rng.bytes(-(-k * n // 8)), dtype=np.uint8), count=k * n)
    return 1 - 2 * bits.reshape(k, n).astype(np.int8)


def distinct_orders(codes: IntArray) -> int:
    """Ways to deal out k rows of which those of the same code are alike."""
    count, placed = 1, 0
    for alike in np.bincount(codes):
        for i in range(1, int(alike) + 1):
            placed += 1
            count = count * placed // i
    return count


def every_order(codes: IntArray) -> IntArray:
    """Each way to deal out rows once: positions of rows with the code that comes there, (orders, k)."""
    left = np.bincount(codes)[None]
    made = np.empty((1, 0), dtype=np.intp)
    for _ in range(codes.size):
        owner, code = np.nonzero(left)
        made = np.column_stack([made[owner], code])
        left = left[owner]
        left[np.arange(code.size), code] -= 1
    return np.unique(codes, return_index=True)[1][made]


def random_orders(k: int, n: int, rng: np.random.Generator) -> IntArray:
    """Rearrangements of 0 ... k - 1, (n, k)."""
    return rng.permuted(np.broadcast_to(np.arange(k), (n, k)), axis=1)


def at_least(statistics: FloatArray, observed: FloatArray | float) -> IntArray:
    """How many statistics, first axis, are as large as the observed or larger, but for rounding."""
    slack = np.where(np.isfinite(observed), TIE * np.maximum(1.0, np.abs(observed)), 0.0)
    return np.asarray((statistics >= observed - slack).sum(axis=0), dtype=np.intp)


def exact_limits(hits: IntArray, n: int, level: float) -> tuple[FloatArray, FloatArray]:
    """Clopper & Pearson 1934: limits of a probability, from `hits` of `n` independent draws."""
    tail = (1 - level) / 2
    inside_low, inside_high = hits > 0, hits < n
    low = betaincinv(np.where(inside_low, hits, 1), n - hits + 1, tail)
    high = betaincinv(hits + 1, np.where(inside_high, n - hits, 1), 1 - tail)
    return np.where(inside_low, low, 0.0), np.where(inside_high, high, 1.0)


def _quantile(values: FloatArray, share: float) -> float:
    """Quantile by linear interpolation between order statistics; an infinite neighbour is taken as it is."""
    if np.isnan(share):
        return np.nan
    with np.errstate(invalid="ignore"):
        found = float(np.quantile(values, share))
    return float(np.quantile(values, share, method="nearest")) if np.isnan(found) else found


def percentile(values: FloatArray, level: float) -> tuple[float, float]:
    """Quantiles of the replicates, shape (n,) (Efron 1979)."""
    return _quantile(values, (1 - level) / 2), _quantile(values, (1 + level) / 2)


def basic(values: FloatArray, level: float, observed: float) -> tuple[float, float]:
    """Twice the estimate less the quantiles, reversed (Davison & Hinkley 1997, eq. 5.6)."""
    low, high = percentile(values, level)
    return 2 * observed - high, 2 * observed - low


def normal(values: FloatArray, level: float, observed: float) -> tuple[float, float]:
    """The estimate less its bias, and the normal quantile times the bootstrap standard error."""
    centre, half = 2 * observed - float(values.mean()), float(ndtri((1 + level) / 2) * values.std(ddof=1))
    return centre - half, centre + half


class Bca(NamedTuple):
    """Correction of the percentiles (Efron 1987): bias z0 and acceleration."""

    bias: float
    acceleration: float


def bias_correction(values: FloatArray, observed: float) -> float:
    """Normal quantile of the share of replicates below the estimate, ties counted by half."""
    share = ((values < observed).sum() + (values <= observed).sum()) / (2 * values.size)
    return float(ndtri(share))


def bca(values: FloatArray, level: float, observed: float, jackknife: FloatArray) -> tuple[float, float, Bca]:
    """Bias-corrected and accelerated percentiles, the acceleration from estimates without each study.

    NaN where every replicate lies on one side of the estimate.
    """
    off = jackknife.mean() - jackknife
    cubed, squared = float((off**3).sum()), float((off**2).sum())
    of = Bca(bias_correction(values, observed), cubed / (6 * squared**1.5) if squared > 0 else 0.0)
    if not np.isfinite(of.bias):
        return np.nan, np.nan, of
    tail = float(ndtri((1 + level) / 2))
    low, high = (_quantile(values, _turned(of, z)) for z in (-tail, tail))
    return low, high, of


def _turned(of: Bca, z: float) -> float:
    """Level of the percentile that takes the place of that of z; NaN beyond the pole."""
    free = 1 - of.acceleration * (of.bias + z)
    return float(ndtr(of.bias + (of.bias + z) / free)) if free > 0 else np.nan
