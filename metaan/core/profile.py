"""Likelihood-ratio regions of tau2 from a profile that may have several maxima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import chdtri

from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["profile_region"]

_STEPS: Final = 64


def profile_region(
    loglik: Callable[[FloatArray], FloatArray], peak: FloatArray, scale: FloatArray, bound: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Hardy & Thompson 1996: tau2 whose (restricted) log-likelihood is within chi2(1)/2 of the maximum.

    The outermost crossings are taken, so that the interval covers every such tau2 also where the likelihood has two
    maxima.

    Parameters
    ----------
    loglik : callable
        Log-likelihood of tau2, arrays of shape (n,).
    peak : array of shape (n,)
        Where it is highest.
    scale : array of shape (n,)
        A typical sampling variance: steps are even in log(1 + tau2/scale).
    bound : array of shape (n,)
        tau2 beyond which the likelihood has no more maxima.
    level : float
        Confidence level.
    """
    drop = loglik(peak) - chdtri(1.0, 1 - level) / 2

    def excess(x: FloatArray) -> FloatArray:
        return loglik(scale * np.expm1(x)) - drop

    zero, top = np.zeros_like(peak), np.log1p(peak / scale)
    high = np.maximum(top + 1.0, np.log1p(bound / scale))
    while (excess(high) > 0).any():
        high = np.where(excess(high) > 0, high + np.maximum(high - top, 1.0), high)
    upper = _outermost(excess, high, top)
    lower = np.where(excess(zero) >= 0, 0.0, _outermost(excess, zero, top))
    return scale * np.expm1(lower), scale * np.expm1(upper)


def _outermost(excess: Callable[[FloatArray], FloatArray], outside: FloatArray, inside: FloatArray) -> FloatArray:
    """First crossing on the way from `outside` to `inside`, looked for in steps and then refined."""
    a, fa = outside, excess(outside)
    found = np.zeros(a.shape, dtype=bool)
    low, high, f_low, f_high = a, inside, fa, np.maximum(excess(inside), 0.0)
    for fraction in np.arange(1, _STEPS) / _STEPS:
        b = outside + (inside - outside) * fraction
        fb = excess(b)
        first = ~found & (fb >= 0)
        high, f_high = np.where(first, b, high), np.where(first, fb, f_high)
        found |= first
        low, f_low = np.where(found, low, b), np.where(found, f_low, fb)
    return bracketed_root(excess, low, high, f_low, f_high)
