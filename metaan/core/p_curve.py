"""Distribution of significant normal tests under a given shift: the arithmetic of p-curves."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["critical", "deviates", "shift_of", "stouffer", "stouffer_shift", "tail"]

_HALF: Final = float(np.log(0.5))
_FAR: Final = 40.0  # shift beyond the largest |z| at which the sum of deviates is negative for certain


def critical(alpha: float) -> float:
    """|z| of a two-sided p-value alpha."""
    return float(-ndtri(alpha / 2))


def tail(x: FloatArray | float, shift: FloatArray | float) -> FloatArray:
    """P(|Z| > x) for Z ~ N(shift, 1)."""
    return np.asarray(ndtr(shift - x) + ndtr(-x - shift))


@lru_cache(maxsize=64)
def shift_of(power: float, cut: float) -> float:
    """Shift at which |Z| exceeds the cut with this probability; 0 where it does so more often in any case."""
    ends = np.array([0.0]), np.array([cut + _FAR])
    at = [np.log(tail(cut, end)) - np.log(power) for end in ends]
    return float(bracketed_root(lambda x: np.log(tail(cut, x)) - np.log(power), *ends, *at)[0])


def deviates(x: FloatArray, shift: FloatArray | float, cut: float) -> FloatArray:
    """Normal deviates of P(|Z| < x given |Z| > cut), Z ~ N(shift, 1), for x >= cut; the shift is >= 0.

    Standard normal if the shift is the true one. Taken from the smaller tail and on the log scale, so that nothing is
    lost where p-values underflow.
    """
    x, shift = np.broadcast_arrays(x, np.asarray(shift, dtype=np.float64))
    whole = _log_tail(np.full(x.shape, cut), shift)
    above = np.minimum(_log_tail(x, shift) - whole, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = _log_between(cut - shift, x - shift)
        below = np.logaddexp(near, _log_between(-x - shift, -cut - shift)) - whole
        made = np.where(above < _HALF, -ndtri_exp(above), ndtri_exp(np.minimum(below, 0.0)))
    return np.asarray(made)


def stouffer(made: FloatArray) -> FloatArray:
    """Sum of independent standard normal deviates over the root of their number, along the first axis."""
    return np.asarray(made.sum(axis=0) / np.sqrt(made.shape[0]))


def stouffer_shift(x: FloatArray, cut: float, target: FloatArray) -> FloatArray:
    """Shifts at which the deviates of x sum to the targets, (m,); 0 where they do not reach one even there.

    The larger the shift, the smaller they are.
    """

    def excess(shift: FloatArray) -> FloatArray:
        return stouffer(deviates(x[:, None], shift, cut)) - target

    ends = np.zeros_like(target), np.full_like(target, x.max() + _FAR)
    return bracketed_root(excess, *ends, *(excess(end) for end in ends))


def _log_tail(x: FloatArray, shift: FloatArray) -> FloatArray:
    return np.asarray(np.logaddexp(log_ndtr(shift - x), log_ndtr(-x - shift)))


def _log_between(a: FloatArray, b: FloatArray) -> FloatArray:
    """Log of P(a < Z < b), Z ~ N(0, 1), from the tail in which both lie."""
    turn = a > 0
    low, high = np.where(turn, -b, a), np.where(turn, -a, b)
    top = log_ndtr(high)
    return np.asarray(top + np.log(-np.expm1(np.minimum(log_ndtr(low) - top, 0.0))))
