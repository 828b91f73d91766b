"""Responders of a new study: binomial distributions averaged over a law of its true rate."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from metaan.core.wls import FloatArray

__all__ = ["FINEST", "Rates", "TwoStage", "responders", "two_stage"]

FINEST: Final = 10_000
"""Most observations of a new study."""
_CELLS: Final = 300_000  # of a matrix in memory at a time
_BAND: Final = 18.0  # standard deviations of a binomial distribution about its mean, and counts, that are computed:
_BAND_MORE: Final = 80  # what lies beyond is below 1e-17
_LOG_ZERO: Final = -1e5  # stands for the logarithm of 0: a multiple of it underflows, and 0 times it is 0


class Rates(NamedTuple):
    """A law of the true rate on nodes: rates in [0, 1] and weights that sum to 1, shape (m,)."""

    p: FloatArray
    weight: FloatArray


class TwoStage(NamedTuple):
    """Probabilities of a two-stage design, and the observations it is expected to take."""

    early_stop: float
    promising: float
    expected_n: float


def responders(rates: Rates, n: int) -> FloatArray:
    """Probabilities of 0 ... n responders among n, shape (n + 1,)."""
    total = np.zeros(n + 1)
    band = min(n + 1, 2 * int(np.ceil(_BAND * np.sqrt(n) / 2)) + _BAND_MORE)
    width = max(1, _CELLS // band)
    for i in range(0, rates.p.size, width):
        p, weight = rates.p[i : i + width], rates.weight[i : i + width]
        if band > n:
            total += weight @ _binomial(p, n)
            continue
        first = np.clip(np.rint(n * p) - band // 2, 0, n + 1 - band)
        r = first[:, None] + np.arange(band)
        value = weight[:, None] * _terms(p, r, n, _log_choose(n)[r.astype(np.intp)])
        total += np.bincount(r.astype(np.intp).ravel(), value.ravel(), n + 1)
    return total


def _binomial(p: FloatArray, n: int) -> FloatArray:
    """Binomial probabilities, (rates, n + 1)."""
    return _terms(p, np.arange(n + 1.0), n, _log_choose(n))


def _log_choose(n: int) -> FloatArray:
    """Logarithms of the binomial coefficients, (n + 1,)."""
    r = np.arange(n + 1.0)
    return np.asarray(gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1))


def _terms(p: FloatArray, r: FloatArray, n: int, log_choose: FloatArray) -> FloatArray:
    """Binomial probabilities of r, one row for each rate."""
    with np.errstate(divide="ignore"):
        hit, miss = np.maximum(np.log(p), _LOG_ZERO), np.maximum(np.log1p(-p), _LOG_ZERO)
    return np.asarray(np.exp((hit - miss)[:, None] * r + ((n * miss)[:, None] + log_choose)))


def two_stage(rates: Rates, r1: int, n1: int, r: int, n: int) -> TwoStage:
    """Operating characteristics averaged over the law of the true rate, which is one and the same in both stages.

    Stop after n1 observations with at most r1 responders; promising with more than r among n.
    """
    stop, promising = 0.0, 0.0
    n2 = n - n1
    x1 = np.arange(r1 + 1, n1 + 1)
    needed = np.clip(r + 1 - x1, 0, n2 + 1)
    width = max(1, _CELLS // (n + 2))
    for i in range(0, rates.p.size, width):
        p, weight = rates.p[i : i + width], rates.weight[i : i + width]
        first, second = _binomial(p, n1), _binomial(p, n2)
        tail = np.zeros((p.size, n2 + 2))
        tail[:, :-1] = np.cumsum(second[:, ::-1], axis=1)[:, ::-1]  # P(X2 >= m)
        stop += float(weight @ first[:, : r1 + 1].sum(axis=1))
        promising += float(weight @ (first[:, x1] * tail[:, needed]).sum(axis=1))
    return TwoStage(stop, promising, n1 + (1 - stop) * n2)
