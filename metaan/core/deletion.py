"""What one study does to the rest: its residual from the fit without it, and how far the fit moves."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import betainc, chdtr, gammainc, gammaincc, gammaln, log_expit, log_ndtr, ndtri, xlogy

from metaan.core.binomial import Family
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.core.inference import pieces
from metaan.core.links import Linked, Poisson
from metaan.core.many import BoolArray, masked, some
from metaan.core.wls import Data, FloatArray

__all__ = ["Deletion", "count_scores", "influential", "of_counts", "of_effects"]

_PANELS: Final = np.linspace(-1.0, 1.0, 41)
_NEAR: Final = np.arange(-12.0, 12.1, 1.5)  # standard errors of the study's effect about it
_FARTHEST: Final = 38.0  # where the normal density underflows
_LARGEST: Final = 300.0
_ORDER: Final = 16
_ROOM: Final = 2_000_000


class Deletion(NamedTuple):
    """Diagnostics of k studies, arrays of shape (k,)."""

    rstudent: FloatArray
    dffits: FloatArray
    cooks_d: FloatArray
    cov_ratio: FloatArray
    dfbetas: FloatArray
    hat: FloatArray


def of_effects(
    one: Data, without: Data, fits: dict[str, FloatArray], *, test: str,
    weights: tuple[FloatArray, FloatArray] | None = None,
) -> Deletion:  # fmt: skip
    """Diagnostics of inverse-variance pooling (Viechtbauer & Cheung 2010).

    Parameters
    ----------
    one, without : Data
        All studies, shape (k,), and without each in turn, shape (k, k).
    fits : dict of array of shape (k + 1,)
        estimate, se and tau2 without each study and, last, of all.
    test : str
        Hartung-Knapp tests multiply every variance by their factor, as in metafor.
    weights : pair of array of shape (k,) and (k, k), optional
        Weights of GENQ.
    """
    mu, se, tau2 = (fits[name][-1] for name in ("estimate", "se", "tau2"))
    mu_i, se_i, tau2_i = (fits[name][:-1] for name in ("estimate", "se", "tau2"))
    a, a_i = weights if weights is not None else (None, None)
    factor = _factor(without, tau2_i, a_i, test)
    every = np.ones((one.y.size, one.y.size), dtype=bool)
    spread = pieces(some(one, every), tau2_i, masked(a, every)).variance
    hat = pieces(one, tau2, a).share
    own = factor * (one.v + tau2_i)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = mu - mu_i
        return Deletion(
            (one.y - mu_i) / np.sqrt(own + se_i**2), moved / np.sqrt(hat * own), (moved / se) ** 2, (se_i / se) ** 2,
            moved / np.sqrt(factor * spread), hat,
        )  # fmt: skip


def _factor(without: Data, tau2: FloatArray, a: FloatArray | None, test: str) -> FloatArray:
    """Factor of the variances: that of Hartung-Knapp, 1 for other tests and for one study."""
    if test not in ("hk", "hk-adhoc"):
        return np.ones_like(tau2)
    q = pieces(without, tau2, a).q
    return np.where(without.k > 1, np.maximum(q, 1.0) if test == "hk-adhoc" else q, 1.0)


def of_counts(fits: dict[str, FloatArray], hat: FloatArray, noise: FloatArray, rstudent: FloatArray) -> Deletion:
    """Diagnostics of a marginal likelihood, with the same formulas.

    Parameters
    ----------
    fits : dict of array of shape (k + 1,)
        estimate, se and tau2 without each study and, last, of all.
    hat : array of shape (k,)
        Shares of the studies, (1/(tau2 + noise))/sum.
    noise : array of shape (k,)
        Inverse of the information of each count on its own effect.
    rstudent : array of shape (k,)
        From `count_scores`.
    """
    mu, se = fits["estimate"][-1], fits["se"][-1]
    mu_i, se_i, tau2_i = (fits[name][:-1] for name in ("estimate", "se", "tau2"))
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = mu - mu_i
        return Deletion(
            rstudent, moved / np.sqrt(hat * (tau2_i + noise)), (moved / se) ** 2, (se_i / se) ** 2,
            np.where(np.isinf(moved), moved, moved / se_i), hat,
        )  # fmt: skip


def influential(d: Deletion) -> BoolArray:
    """Viechtbauer & Cheung 2010, p. 116, with one coefficient; a number that is not known flags nothing."""
    k = d.hat.size
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (np.abs(d.dffits) > 3 * np.sqrt(1 / max(k - 1, 1))) | (chdtr(1.0, d.cooks_d) > 0.5) | (d.hat > 3 / k)
            | (np.abs(d.dfbetas) > 1)
        )  # fmt: skip


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
    low, high = (np.minimum((density * tail).sum(axis=1), 1.0) for tail in (below, above))
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
