"""Confidence limits of tau2, one function for each method."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri

from metaan.core.maximum import log_likelihood, maximise, upper_bound
from metaan.core.profile import profile_region
from metaan.core.quadratic_form import tau2_at_q_quantile
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
    """Region within chi2(1)/2 of the maximum of the (restricted) log-likelihood."""
    peak = maximise(data, restricted=restricted).tau2
    scale = data.k / (1 / data.v).sum(axis=0)
    return profile_region(
        lambda t: log_likelihood(data, t, restricted=restricted), peak, scale, upper_bound(data), level
    )
