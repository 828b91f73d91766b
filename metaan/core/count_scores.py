"""Where a count lies in what a fit to other studies predicts: normal scores of predictive tail probabilities."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import betainc, expit, gammainc, gammaincc, gammaln, log_expit, log_ndtr, ndtri, xlogy

from metaan.core.binomial import Family
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.core.links import Linked, Poisson
from metaan.core.wls import FloatArray

__all__ = ["beta_scores", "count_scores"]

_PANELS: Final = np.linspace(-1.0, 1.0, 41)
_NEAR: Final = np.arange(-12.0, 12.1, 1.5)  # standard errors of the study's effect about it
_FARTHEST: Final = 38.0  # where the normal density underflows
_LARGEST: Final = 300.0
_ORDER: Final = 16
_ROOM: Final = 2_000_000
_STEP: Final = 0.5  # of the trapezoid rule, whose error is then near exp(-39)
_TOGETHER: Final = 1e12  # stands for the infinite rho/(1 - rho) of rho = 1


@lru_cache(maxsize=1)
def _legendre() -> tuple[FloatArray, FloatArray]:
    x, w = np.polynomial.legendre.leggauss(_ORDER)
    return x, w


def count_scores(b: Family, mu: FloatArray, sd: FloatArray) -> FloatArray:
    """Normal scores of the mid-p tail probability of each count, its effect being N(mu, sd^2).

    With F the distribution of the count given u, the tail is the integral of F(x - 1 | u) + P(x | u)/2 over u; panels
    of Gauss-Legendre nodes lie closer where the count's own effect is.

    Parameters
    ----------
    b : Family
        One meta-analysis, shape (k, 1).
    mu, sd : array of shape (k,)
        Finite; of the prediction for each study.
    """
    centre = (b.logit[:, 0] - mu) / sd
    width = np.sqrt(b.variance[:, 0]) / sd
    reach = np.minimum(9 + np.abs(centre), _FARTHEST)[:, None]
    cuts = np.concatenate([reach * _PANELS, centre[:, None] + width[:, None] * _NEAR], axis=1)
    cuts = np.sort(np.clip(cuts, -reach, reach), axis=1)
    node, weight = _legendre()
    half, middle = np.diff(cuts)[:, :, None] / 2, (cuts[:, 1:, None] + cuts[:, :-1, None]) / 2
    u = (middle + half * node).reshape(mu.size, -1)
    density = (half * weight).reshape(mu.size, -1) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
    below, above = _tails(b, mu[:, None] + sd[:, None] * u)
    return _scores((density * below).sum(axis=1), (density * above).sum(axis=1))


def beta_scores(x: FloatArray, n: FloatArray, rho: FloatArray, mu: FloatArray, sd: FloatArray) -> FloatArray:
    """The same of beta-binomial counts, the logit of whose mean rate is N(mu, sd^2), by the trapezoid rule.

    Its step follows what is narrowest: the density, the turn of the tail, or the poles of a logit at pi i.

    Parameters
    ----------
    x, n : array of shape (k,)
    rho : array of shape (k,)
        Correlation of two observations of a study, in [0, 1].
    mu, sd : array of shape (k,)
        Finite, sd > 0.
    """
    hit, miss = x + 0.5, n - x + 0.5
    turn = np.sqrt((1 / hit + 1 / miss) * (1 + (n - 1) * rho))
    step = _STEP * np.minimum(1.0, np.minimum(turn / sd, 1 / sd))
    reach = np.minimum(9 + np.abs(np.log(hit / miss) - mu) / sd, _FARTHEST)
    with np.errstate(divide="ignore"):
        theta = np.minimum(rho / (1 - rho), _TOGETHER)
    tails = np.empty((2, x.size))
    for i in range(x.size):
        u = step[i] * np.arange(-np.ceil(reach[i] / step[i]), np.ceil(reach[i] / step[i]) + 1)
        density = np.exp(-u * u / 2) * step[i] / np.sqrt(2 * np.pi)
        eta = np.clip(mu[i] + sd[i] * u, -_LARGEST, _LARGEST)
        below, above = _beta_tails(int(x[i]), int(n[i]), float(theta[i]), eta)
        tails[:, i] = density @ below, density @ above
    return _scores(*tails)


def _scores(below: FloatArray, above: FloatArray) -> FloatArray:
    low, high = np.minimum(below, 1.0), np.minimum(above, 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(low < high, ndtri(low), -ndtri(high)))


def _tails(b: Family, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Probability of a smaller count, and of a larger one, each with half of that of the count itself."""
    if isinstance(b, Hypergeometric):
        return _listed_tails(b, eta)
    if isinstance(b, Poisson):
        return _poisson_tails(b.x, b.time * np.exp(np.minimum(eta, _LARGEST)))
    if isinstance(b, Linked):
        return _binomial_tails(b.x, b.N, *_RATES[b.link](eta))
    at = eta + b.offset if isinstance(b, Shifted) else eta
    return _binomial_tails(b.x, b.N, *_RATES["logit"](at))


def _log_rates(eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    log_p = np.minimum(eta, 0.0)
    with np.errstate(divide="ignore"):
        return log_p, np.log(-np.expm1(log_p))


def _cloglog_rates(eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    t = np.exp(np.minimum(eta, _LARGEST))
    with np.errstate(divide="ignore"):
        return np.where(t > 1e-300, np.log(-np.expm1(-t)), eta), -t


_RATES: Final[dict[str, Callable[[FloatArray], tuple[FloatArray, FloatArray]]]] = {
    "logit": lambda eta: (log_expit(eta), log_expit(-eta)),
    "probit": lambda eta: (log_ndtr(eta), log_ndtr(-eta)),
    "cloglog": _cloglog_rates,
    "log": _log_rates,
}
"""Logarithms of the rate and of its complement under each link."""


def _binomial_tails(
    x: FloatArray, n: FloatArray, log_p: FloatArray, log_q: FloatArray
) -> tuple[FloatArray, FloatArray]:
    choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    with np.errstate(invalid="ignore"):
        hits, misses = np.where(x > 0, x * log_p, 0.0), np.where(x < n, (n - x) * log_q, 0.0)
    itself = np.exp(choose + hits + misses) / 2
    below = np.where(x > 0, betainc(n - x + 1, np.maximum(x, 1), np.exp(log_q)), 0.0)
    above = np.where(x < n, betainc(x + 1, np.maximum(n - x, 1), np.exp(log_p)), 0.0)
    return below + itself, above + itself


def _poisson_tails(x: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    itself = np.exp(xlogy(x, mean) - mean - gammaln(x + 1)) / 2
    below = np.where(x > 0, gammaincc(np.maximum(x, 1), mean), 0.0)
    return below + itself, gammainc(x + 1, mean) + itself


def _listed_tails(b: Hypergeometric, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """From the terms of the distribution, one study at a time."""
    below, above = np.empty_like(eta), np.empty_like(eta)
    j = np.arange(b.log_weight.shape[1], dtype=np.float64)[:, None]
    step = max(1, _ROOM // j.size)
    for i, x in enumerate(b.x[:, 0]):
        for start in range(0, eta.shape[1], step):
            part = slice(start, start + step)
            term = b.log_weight[i][:, None] + j * eta[i, part]
            p = np.exp(term - term.max(axis=0))
            p /= p.sum(axis=0)
            itself = p[int(x)] / 2
            below[i, part] = p[: int(x)].sum(axis=0) + itself
            above[i, part] = p[int(x) + 1 :].sum(axis=0) + itself
    return below, above


def _beta_tails(x: int, n: int, theta: float, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of one beta-binomial count, from the terms of its distribution.

    With m the mean rate, P(j + 1)/P(j) = (n - j)/(j + 1) (m + j theta)/(1 - m + (n - j - 1) theta), and P(0) is the
    product of (1 - m + j theta)/(1 + j theta) over j < n: theta = rho/(1 - rho) = 0 is the binomial distribution.
    """
    j = np.arange(float(n))
    below, above = np.empty_like(eta), np.empty_like(eta)
    step = max(1, _ROOM // n)
    for start in range(0, eta.size, step):
        part = slice(start, start + step)
        m, rest = expit(eta[part])[:, None], np.log(expit(-eta[part])[:, None] + j * theta)
        none = (rest - np.log1p(j * theta)).sum(axis=1, keepdims=True)
        ratios = np.log((n - j) / (j + 1)) + np.log(m + j * theta) - rest[:, ::-1]
        p = np.exp(np.concatenate([none, none + np.cumsum(ratios, axis=1)], axis=1))
        itself = p[:, x] / 2
        below[part], above[part] = p[:, :x].sum(axis=1) + itself, p[:, x + 1 :].sum(axis=1) + itself
    return below, above
