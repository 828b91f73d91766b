"""Confidence limits of tau2, one function for each method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import chdtri

from metaan.core.maximum import log_likelihood, maximise
from metaan.core.quadratic_form import tau2_at_q_quantile
from metaan.core.roots import bracketed_root
from metaan.core.secular import q_root
from metaan.core.wls import Data, FloatArray, dot, weighted_mean

__all__ = ["biggerstaff_jackson", "jackson", "profile_likelihood", "q_profile"]

Limits = tuple[FloatArray, FloatArray]


def q_profile(data: Data, level: float) -> Limits:
    """Viechtbauer 2007: where Q(tau2) equals the upper and lower quantiles of chi2(k - 1); 0 where it never does."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    limits = [q_root(data.y, data.v, chdtri(np.maximum(data.k - 1, 1.0), tail))[0] for tail in tails]
    return limits[0], limits[1]


def _generalised_q(data: Data, a: FloatArray, level: float) -> Limits:
    mean, _ = weighted_mean(data.y, a)
    r = data.y - mean
    q = dot(a * r, r)
    tail = np.full_like(q, (1 - level) / 2)
    return tau2_at_q_quantile(data, a, q, 1 - tail), tau2_at_q_quantile(data, a, q, tail)


def biggerstaff_jackson(data: Data, level: float) -> Limits:
    """Biggerstaff & Jackson 2008: exact distribution of Cochran's Q, weights 1/v."""
    return _generalised_q(data, 1 / data.v, level)


def jackson(data: Data, level: float) -> Limits:
    """Jackson 2013: exact distribution of the generalised Q with weights 1/sqrt(v)."""
    return _generalised_q(data, 1 / np.sqrt(data.v), level)


def profile_likelihood(data: Data, level: float, *, restricted: bool) -> Limits:
    """Hardy & Thompson 1996: tau2 whose (restricted) log-likelihood is within chi2(1)/2 of the maximum.

    The outermost crossings are taken, so that the interval covers every such tau2 also where the likelihood has two
    maxima.
    """
    peak = maximise(data, restricted=restricted).tau2
    drop = log_likelihood(data, peak, restricted=restricted) - chdtri(1.0, 1 - level) / 2
    scale = data.k / (1 / data.v).sum(axis=0)

    def excess(x: FloatArray) -> FloatArray:
        return log_likelihood(data, scale * np.expm1(x), restricted=restricted) - drop

    zero, top = np.zeros_like(peak), np.log1p(peak / scale)
    high = top + 1.0
    while (excess(high) > 0).any():
        high = np.where(excess(high) > 0, high + np.maximum(high - top, 1.0), high)
    upper = _outermost(excess, high, top)
    lower = np.where(excess(zero) >= 0, 0.0, _outermost(excess, zero, top))
    return scale * np.expm1(lower), scale * np.expm1(upper)


def _outermost(excess: Callable[[FloatArray], FloatArray], outside: FloatArray, inside: FloatArray) -> FloatArray:
    """First crossing on the way from `outside` to `inside`, looked for on 32 steps and then refined."""
    a, fa = outside, excess(outside)
    found = np.zeros(a.shape, dtype=bool)
    low, high, f_low, f_high = a, inside, fa, np.maximum(excess(inside), 0.0)
    for fraction in np.arange(1, 32) / 32:
        b = outside + (inside - outside) * fraction
        fb = excess(b)
        first = ~found & (fb >= 0)
        high, f_high = np.where(first, b, high), np.where(first, fb, f_high)
        found |= first
        low, f_low = np.where(found, low, b), np.where(found, f_low, fb)
    return bracketed_root(excess, low, high, f_low, f_high)
