"""Counts on moderators: the marginal likelihood of one random effect a study, as a `Model` of mixed.py."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from metaan.core.binomial import Family, by_study, gauss_hermite, log_likelihood, trapezoid
from metaan.core.mixed import At, Mixed, maximise
from metaan.core.wls import FloatArray

__all__ = ["Regression", "fit_regression", "starts"]

_SCAN: Final = np.array([0.1, 0.4, 1.0, 2.0])  # multiples of the residual spread of the empirical effects


class Regression(NamedTuple):
    """eta_i = x_i'beta + tau u_i: parameters beta, tau. `b` holds one data set, shape (k, 1); x is (k, p)."""

    b: Family
    x: FloatArray

    @property
    def spreads(self) -> tuple[int, ...]:
        """tau, the last parameter."""
        return (self.x.shape[1],)

    def at(self, theta: FloatArray, level: int) -> At:
        """Evaluate at theta of shape (n, p + 1)."""
        n, p = theta.shape[0], self.x.shape[1]
        b = self.b.take(np.zeros(n, dtype=np.intp))
        mean, tau = self.x @ theta[:, :p].T, theta[:, p]
        of = by_study(b, mean, tau, trapezoid(b, mean, tau, 32 * 2**level + 1))
        gradient = np.column_stack([of.mu.T @ self.x, of.tau.sum(axis=0)])
        hessian = np.empty((n, p + 1, p + 1))
        hessian[:, :p, :p] = np.einsum("kn,ka,kb->nab", of.mu_mu, self.x, self.x)
        hessian[:, :p, p] = hessian[:, p, :p] = of.mu_tau.T @ self.x
        hessian[:, p, p] = of.tau_tau.sum(axis=0)
        return At(of.loglik.sum(axis=0) + b.constant, gradient, hessian, of.doubt.max(axis=0))

    def loglik(self, theta: FloatArray, nodes: int) -> FloatArray:
        """Log-likelihood alone, (n,), by adaptive Gauss-Hermite nodes."""
        n, p = theta.shape[0], self.x.shape[1]
        b = self.b.take(np.zeros(n, dtype=np.intp))
        mean, tau = self.x @ theta[:, :p].T, theta[:, p]
        return log_likelihood(b, mean, tau, gauss_hermite(b, mean, tau, nodes))


def starts(y: FloatArray, v: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients by weighted least squares of empirical effects, and standard deviations to start from."""
    root = 1 / np.sqrt(v + v.mean())
    beta = np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)[0]
    residual = y - x @ beta
    return beta, max(float(np.sqrt(np.mean(residual**2))), 0.1) * _SCAN


def fit_regression(b: Family, x: FloatArray) -> Mixed:
    """Maximum likelihood of one data set, parameters beta and tau."""
    beta, spread = starts(b.logit[:, 0], b.variance[:, 0], x)
    if np.isfinite(b.top):
        beta = _below(beta, x, b.top)
    return maximise(Regression(b, x), np.append(beta, 0.0), spread)


def _below(beta: FloatArray, x: FloatArray, top: float) -> FloatArray:
    """Coefficients whose means all lie below the top, by least squares of values pulled below it."""
    mean = x @ beta
    for _ in range(50):
        if (x @ beta < top - 1e-3).all():
            return beta
        mean = np.minimum(mean, top - 0.05) - 0.05
        beta = np.asarray(np.linalg.lstsq(x, mean, rcond=None)[0], dtype=np.float64)
    return beta
