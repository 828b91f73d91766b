"""Where a count lies in what a fit to other studies predicts: normal scores of predictive tail probabilities."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import betainc, betaln, expit, gammainc, gammaincc, gammaln, log_expit, log_ndtr, ndtri, xlogy

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
_NODES: Final = 12  # of Gauss's rule
_END: Final = 40.0  # log odds beyond which one more observation says nothing
_NARROW: Final = 0.3
_SMALLEST: Final = 1e-12  # stands for 0 where that is an end
_ROUNDING: Final = 1e-16


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
    """The same of beta-binomial counts, the logit of whose mean rate is N(mu, sd^2); counts may be fractions.

    To 1e-7 for scores up to 7, where the tail is 1e-12; a rough number beyond 12.

    Parameters
    ----------
    x, n : array of shape (k,)
    rho : array of shape (k,)
        Correlation of two observations of a study, in [0, 1].
    mu, sd : array of shape (k,)
        Finite, sd > 0.
    """
    tails = np.empty((2, x.size))
    for i, study in enumerate(zip(x.tolist(), n.tolist(), rho.tolist(), mu.tolist(), sd.tolist(), strict=True)):
        tails[:, i] = _mixed_tails(*study)
    return _scores(*tails)


def _mixed_tails(x: float, n: float, rho: float, mu: float, sd: float) -> tuple[float, float]:
    """Tails of a binomial count whose rate is Beta distributed about a mean whose logit is N(mu, sd^2).

    The mean is summed over by the trapezoid rule, whose step follows what is narrowest, the poles of the logit at pi i
    included; the rate by Gauss's rule where it varies far less than the tails turn, else on a grid.
    """
    size = max((1 - rho) / max(rho, _SMALLEST), _SMALLEST)
    turn = float(np.sqrt(1 / (x + 0.5) + 1 / (n - x + 0.5)))
    spread = 2 / np.sqrt(size)
    narrow = spread < _NARROW * turn
    step = _STEP * min(1.0, (turn if narrow else spread) / sd, 1 / sd)
    reach = min(9 + (abs(np.log((x + 0.5) / (n - x + 0.5)) - mu) + 9 * spread) / sd, _FARTHEST)
    u = step * np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1)
    weight = np.exp(-u * u / 2) * step / np.sqrt(2 * np.pi)
    m, rest = expit(mu + sd * u), expit(-mu - sd * u)
    if narrow:
        rate, density = _gauss(m, rest, size)
        log_p, log_q, density = np.log(rate), np.log1p(-rate), density * weight[:, None]
    else:
        eta, density = _grid(m * size, rest * size, weight, _END + np.log(n), min(1.0, turn, np.hypot(spread, sd)))
        log_p, log_q = log_expit(eta), log_expit(-eta)
    below, above = _binomial_tails(np.full_like(log_p, x), np.full_like(log_p, n), log_p, log_q)
    return float((density * below).sum()), float((density * above).sum())


def _gauss(m: FloatArray, rest: FloatArray, size: float) -> tuple[FloatArray, FloatArray]:
    """Gauss's rule for Beta(m size, rest size), rest = 1 - m: nodes and weights of shape (..., nodes).

    Golub & Welsch 1969, with the recurrence of the Jacobi polynomials.
    """
    a, b, i = m[:, None] * size, rest[:, None] * size, np.arange(1.0, _NODES)
    c = size + 2 * i
    middle = ((a - b) * (size - 2)) / (c * (c - 2))
    square = 4 * i * (i + a - 1) * (i + b - 1) * (i + size - 2) / ((c - 2) ** 2 * (c - 1) * (c - 3))
    matrix = np.zeros((m.size, _NODES, _NODES))
    at = np.arange(_NODES - 1)
    matrix[:, at + 1, at + 1], matrix[:, 0, 0] = middle, m - rest
    matrix[:, at + 1, at] = np.sqrt(square)
    node, vector = np.linalg.eigh(matrix)
    return np.clip((1 + node) / 2, _SMALLEST, 1 - _ROUNDING), vector[:, 0, :] ** 2


def _grid(a: FloatArray, b: FloatArray, weight: FloatArray, end: float, unit: float) -> tuple[FloatArray, FloatArray]:
    """Logits eta of a rate with density sum of weight Beta(a, b), and their weights in the trapezoid rule.

    Beyond the ends the density falls as exp(-a |eta|), and exp(-b |eta|), and what is summed is constant: the rest of
    the rule is a geometric series.
    """
    eta = end * np.linspace(-1, 1, 2 * int(np.ceil(end / (_STEP * unit))) + 1)
    height, step = np.log(weight) - betaln(a, b), eta[1] - eta[0]
    density = np.empty_like(eta)
    for part in np.array_split(np.arange(eta.size), 1 + eta.size * a.size // _ROOM):
        at = log_expit(eta[part])[:, None] * a + log_expit(-eta[part])[:, None] * b
        density[part] = np.exp(at + height).sum(axis=1)
    density[0] += (np.exp(height - end * a) / np.expm1(a * step)).sum()
    density[-1] += (np.exp(height - end * b) / np.expm1(b * step)).sum()
    return eta, density * step


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
