"""The pooled mean given tau2: standard errors, reference distributions, intervals, p-values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, cast

import numpy as np
from scipy.special import betaincinv, betaln, hyp2f1, log_ndtr, ndtri, stdtr

from metaan.core.wls import Data, FloatArray, dot, weighted_mean

__all__ = ["INTERVALS", "TESTS", "Mean", "Pieces", "log_pvalue", "pieces", "quantile"]


class Pieces(NamedTuple):
    """Sums at tau2 that every kind of inference draws on: arrays of shape (...)."""

    mu: FloatArray
    """Pooled mean."""
    variance: FloatArray
    """Its model variance: 1/sum w, or that of the caller's weights."""
    q: FloatArray
    """Hartung-Knapp factor: sum w (y - mu_w)^2/(k - 1), 0 for one study."""
    share: FloatArray
    """Weights divided by their sum, shape (k, ...)."""
    w: FloatArray
    """1/(v + tau2), shape (k, ...)."""


class Mean(NamedTuple):
    """Inference on the mean: variance and degrees of freedom (inf: normal)."""

    variance: FloatArray
    df: FloatArray | float


def pieces(data: Data, tau2: FloatArray | float, weights: FloatArray | None = None) -> Pieces:
    """Sums at tau2, with inverse-variance weights or the caller's."""
    w = 1 / (data.v + tau2)
    mu, total = weighted_mean(data.y, w)
    r = data.y - mu
    q = dot(w * r, r) / np.maximum(data.k - 1, 1.0)
    if weights is None:
        return Pieces(mu, 1 / total, q, w / total, w)
    share = weights / weights.sum(axis=0)
    return Pieces(dot(share, data.y), dot(share * share, data.v0 + tau2), q, share, w)


def z(data: Data, p: Pieces) -> Mean:
    """Normal distribution."""
    return Mean(p.variance, np.inf)


def t(data: Data, p: Pieces) -> Mean:
    """T distribution with k - 1 degrees of freedom and the usual variance."""
    return Mean(p.variance, data.k - 1)


def hartung_knapp(data: Data, p: Pieces) -> Mean:
    """Hartung & Knapp 2001, Sidik & Jonkman 2002: variance times q, t with k - 1 degrees of freedom."""
    return Mean(p.variance * p.q, data.k - 1)


def hartung_knapp_adhoc(data: Data, p: Pieces) -> Mean:
    """Knapp & Hartung 2003: as Hartung-Knapp with max(1, q)."""
    return Mean(p.variance * np.maximum(p.q, 1.0), data.k - 1)


def kenward_roger(data: Data, p: Pieces) -> Mean:
    """Kenward & Roger 1997 for the mean of a random-effects model with REML.

    With s_j = sum w^j and the expected information I = [s2 - 2 s3/s1 + (s2/s1)^2]/2: variance = [1 + 2 (s3/s1 -
    (s2/s1)^2)/I]/s1 and df = 2 I/(variance s2)^2, the adjusted variance also in the degrees of freedom, as in the R
    packages pimeta and meta (Partlett & Riley 2017). The paper of 1997 has the unadjusted variance there, which for
    one variance parameter gives slightly more degrees of freedom.
    """
    w = p.w
    s1, s2, s3 = w.sum(axis=0), dot(w, w), dot(w * w, w)
    ratio = s2 / s1
    information = s2 / 2 - s3 / s1 + ratio**2 / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (1 + 2 * (s3 / s1 - ratio**2) / information) / s1
        df = 2 * information / (variance * s2) ** 2
    return Mean(np.where(data.k > 1, variance, 1 / s1), np.where(data.k > 1, df, 0.0))


TESTS: Final[dict[str, Callable[[Data, Pieces], Mean]]] = {
    "z": z,
    "t": t,
    "hk": hartung_knapp,
    "hk-adhoc": hartung_knapp_adhoc,
    "kr": kenward_roger,
}


def quantile(df: FloatArray | float, level: float) -> FloatArray:
    """Two-sided quantile of t with df degrees of freedom, the normal one for df = inf; NaN for df <= 0.

    t^2/(df + t^2) is Beta(1/2, df/2): its inverse is exact to rounding where older scipy's t quantile has 11 digits.
    """
    if isinstance(df, float) and not df < np.inf:
        return cast("FloatArray", ndtri((1 + level) / 2) if df > 0 else np.nan)
    half = np.divide(df, 2)
    ratio = betaincinv(0.5, half, level) / betaincinv(half, 0.5, 1 - level)
    t = np.sqrt(df * ratio)
    if isinstance(df, float):
        return cast("FloatArray", t)
    return t if np.all(t < np.inf) else np.where(np.isinf(df), ndtri((1 + level) / 2), t)


def log_pvalue(statistic: FloatArray | float, df: FloatArray | float) -> FloatArray:
    """Logarithm of the two-sided p-value, finite where the p-value itself underflows."""
    tail = cast("FloatArray", 2 * stdtr(df, -np.abs(statistic)))
    if isinstance(statistic, float) and tail > 1e-200:
        return np.log(tail)
    return np.log(tail) if np.all(tail > 1e-200) else _log_far_tail(np.asarray(statistic), np.asarray(df), tail)


def _log_far_tail(statistic: FloatArray, df: FloatArray, tail: FloatArray) -> FloatArray:
    """For t the tail is I_x(df/2, 1/2) with x = df/(df + t^2); far out its power series is summed in logarithms."""
    normal = np.isinf(df)
    nu = np.where(normal, 1.0, df)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        a, log_x = nu / 2, -np.log1p(statistic / nu * statistic)
        series = a * log_x - np.log(a) - betaln(a, 0.5) + np.log(hyp2f1(a, 0.5, a + 1, np.exp(log_x)))
        value = np.where(tail > 1e-200, np.log(tail), series)
    return np.where(normal, np.log(2) + log_ndtr(-np.abs(statistic)), value)


def _pi_simple(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    return Mean(np.asarray(tau2), np.inf)


def _pi_z(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    return Mean(tau2 + p.variance, np.inf)


def _pi_t(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    return Mean(tau2 + p.variance, data.k - 1)


def _pi_hts(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    return Mean(tau2 + p.variance, data.k - 2)


def _pi_hk(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    return Mean(tau2 + p.variance * p.q, data.k - 2)


def _pi_kr(data: Data, tau2: FloatArray | float, p: Pieces) -> Mean:
    mean = kenward_roger(data, p)
    return Mean(tau2 + mean.variance, mean.df - 1)


INTERVALS: Final[dict[str, Callable[[Data, FloatArray | float, Pieces], Mean]]] = {
    "simple": _pi_simple,
    "z": _pi_z,
    "t": _pi_t,
    "hts": _pi_hts,
    "hk": _pi_hk,
    "kr": _pi_kr,
}
"""Variance and degrees of freedom of the true effect of a new study about the estimate; the bootstrap stands apart."""
