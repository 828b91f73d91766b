"""Where the search for a maximum likelihood in tau starts: a scan of the profile on a grid."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from metaan.core.binomial import Family, Value, evaluate, gauss_hermite
from metaan.core.wls import FloatArray

__all__ = ["SCAN", "concave_step", "starts"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

SCAN: Final = np.array([0.08, 0.25, 0.6, 1.2, 2.5])  # multiples of the spread of the empirical log odds
_LOG_SCAN: Final = np.log(SCAN)
_SCAN_NODES: Final = 9  # Gauss-Hermite: enough to rank starts


def starts(b: Family, loglik0: FloatArray, zero: BoolArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Local maxima of the profile on the scan: the meta-analysis each belongs to, mu and tau."""
    n, m = loglik0.shape[0], SCAN.size
    here = b.N > 0
    count = here.sum(axis=0)
    centre = (b.logit * here).sum(axis=0) / count
    spread = np.sqrt((here * (b.logit - centre) ** 2).sum(axis=0) / count)
    tau = (np.maximum(spread, 0.1) * SCAN[:, None]).ravel()
    owner = np.arange(m * n) % n
    wide = b.take(owner)
    weight = (wide.N > 0) / (wide.variance + tau**2)
    mu = (weight * wide.logit).sum(axis=0) / weight.sum(axis=0)
    at = evaluate(wide, mu, tau, gauss_hermite(wide, mu, tau, _SCAN_NODES, tolerance=0.05))
    mu, loglik = concave_step(at, mu, tau)
    mu, tau, loglik = (part.reshape(m, n) for part in (mu, tau, loglik))
    height = np.vstack([np.where(zero, loglik0, -np.inf), loglik, np.full(n, -np.inf)])
    peak = (height[1:-1] >= height[:-2]) & (height[1:-1] > height[2:])
    row, column = peak.nonzero()
    return column, *_vertices(loglik, mu, tau, row, column)


def _vertices(
    loglik: FloatArray, mu: FloatArray, tau: FloatArray, row: IntArray, column: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Tops of the parabolas in log tau through peaks of the scan and their neighbours, and mu there likewise."""
    i = np.minimum(np.maximum(row, 1), SCAN.size - 2)
    left, right = _LOG_SCAN[i] - _LOG_SCAN[i - 1], _LOG_SCAN[i + 1] - _LOG_SCAN[i]

    def parabola(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        here = values[i, column]
        before, after = (here - values[i - 1, column]) / left, (values[i + 1, column] - here) / right
        return (before * right + after * left) / (left + right), (after - before) / (left + right)

    slope, bend = parabola(loglik)
    inner = i == row  # then bend < 0, and the top lies between the middles of the intervals
    shift = np.where(inner, slope / np.where(inner, -2 * bend, 1.0), 0.0)
    slope, bend = parabola(mu)
    return mu[row, column] + shift * (slope + shift * bend), tau[row, column] * np.exp(shift)


def concave_step(at: Value, mu: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton step in mu for fixed tau, and the log-likelihood that it promises."""
    step = at.mu / np.maximum(-at.mu_mu, 1e-12)
    longest = 1.0 + tau
    return mu + np.minimum(np.maximum(step, -longest), longest), at.loglik + at.mu * step / 2
