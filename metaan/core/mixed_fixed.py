"""Maximum of the likelihood by a fixed number of adaptive Gauss-Hermite nodes, for models of mixed.py.

The counterpart of binomial_fixed.py with more parameters: what R's lme4, and so metafor, maximise.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from metaan.core.mixed import Mixed
from metaan.core.wls import FloatArray

__all__ = ["fixed_nodes"]

_STEPS: Final = 60
_H: Final = 0.02  # of a standard error: fourth-order differences then err by less than 1e-8
_BATCH: Final = 500


class _Approximate(Protocol):
    @property
    def spreads(self) -> tuple[int, ...]: ...

    def loglik(self, theta: FloatArray, nodes: int) -> FloatArray: ...


def fixed_nodes(model: _Approximate, exact: Mixed, nodes: int) -> Mixed:
    """Quasi-Newton from the exact solution, by the exact Hessian and differences of the approximate likelihood.

    A standard deviation of 0 stays 0; where all are, every rule is exact.
    """
    spreads = [j for j in model.spreads if exact.theta[j] > 0]
    if not spreads:
        return exact
    still = [j for j in model.spreads if exact.theta[j] == 0]
    unit = 1 / np.sqrt(np.abs(np.diagonal(exact.hessian)))
    unit[spreads] = np.minimum(unit[spreads], exact.theta[spreads] / 4)
    inner = -exact.hessian
    inner[still], inner[:, still] = 0.0, 0.0
    inner[still, still] = 1.0
    inverse = np.linalg.inv(inner)
    inverse[still] = 0.0
    theta, done, steps = exact.theta.copy(), False, 0
    while not done and steps < _STEPS:
        steps += 1
        gradient = _gradient(model, theta, nodes, _H * unit)
        step = inverse @ gradient
        theta = theta + step
        theta[spreads] = np.abs(theta[spreads])
        done = bool(gradient @ step < 1e-14)
    hessian = _hessian(model, theta, nodes, unit / 4)
    height = float(model.loglik(theta[None], nodes)[0])
    return exact._replace(
        theta=theta, loglik=height, hessian=hessian, iterations=exact.iterations + steps, converged=done
    )


def _many(model: _Approximate, theta: FloatArray, nodes: int) -> FloatArray:
    """Log-likelihood of many parameter vectors, a part at a time."""
    theta = theta.copy()
    theta[:, list(model.spreads)] = np.abs(theta[:, list(model.spreads)])
    parts = [model.loglik(theta[i : i + _BATCH], nodes) for i in range(0, len(theta), _BATCH)]
    return np.concatenate(parts)


def _gradient(model: _Approximate, theta: FloatArray, nodes: int, h: FloatArray) -> FloatArray:
    """Central differences of fourth order."""
    moves = np.diag(h)
    at = [_many(model, theta + m * moves, nodes) for m in (-2, -1, 1, 2)]
    return np.asarray((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h))


def _hessian(model: _Approximate, theta: FloatArray, nodes: int, unit: FloatArray) -> FloatArray:
    """Second differences, extrapolated from two widths (Richardson)."""
    q = len(theta)
    i, j = np.tril_indices(q)
    parts = []
    for h in (unit, unit / 2):
        a, b = np.zeros((len(i), q)), np.zeros((len(i), q))
        a[np.arange(len(i)), i], b[np.arange(len(i)), j] = h[i], h[j]
        corners = [_many(model, theta + s * a + t * b, nodes) for s in (1, -1) for t in (1, -1)]
        parts.append((corners[0] - corners[1] - corners[2] + corners[3]) / (4 * h[i] * h[j]))
    out = np.empty((q, q))
    out[i, j] = out[j, i] = (4 * parts[1] - parts[0]) / 3
    return out
