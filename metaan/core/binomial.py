"""Marginal likelihood of the binomial-normal model, with its derivatives.

Study i has x_i events of N_i, log odds eta_i = mu + tau u_i and u_i standard normal. The integral over u_i is taken
by the trapezoidal rule on the range where the integrand exceeds exp(-34) of its maximum. For a smooth integrand
that has died out at both ends the error of this rule falls geometrically with the number of nodes and is about
squared when they are doubled, so that agreement of two rules to 1e-5 proves the finer one to be exact to about
1e-10: every second node is such a rule, and costs nothing. Gauss-Hermite nodes centred on the mode, as in R's lme4,
are the other rule.

Data lie studies first, shape (k, n); nodes form the middle axis of arrays of shape (k, nodes, n). An absent study
has x = N = 0 and adds exactly 0 to the log-likelihood.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln

from metaan.core.wls import FloatArray

__all__ = [
    "Binomial",
    "Moments",
    "Value",
    "evaluate",
    "gauss_hermite",
    "log_likelihood",
    "mode",
    "moments",
    "trapezoid",
]

_DROP: Final = 34.0  # exp(-34) = 2e-15
_MODE_STEPS: Final = 60
_EDGE_STEPS: Final = 3
_FARTHEST: Final = float(np.sqrt(2 * _DROP)) + 0.1


class Binomial(NamedTuple):
    """Counts of n meta-analyses of up to k studies, shape (k, n)."""

    x: FloatArray
    N: FloatArray
    constant: FloatArray
    """Sum of the logarithms of the binomial coefficients, shape (n,)."""
    logit: FloatArray
    """Empirical log odds with 0.5 added to both counts: where searches start, never part of a result."""
    variance: FloatArray
    """Their sampling variances."""

    @classmethod
    def from_counts(cls, x: FloatArray, N: FloatArray) -> Binomial:
        """From counts of shape (k, n)."""
        constant = (gammaln(N + 1) - gammaln(x + 1) - gammaln(N - x + 1)).sum(axis=0)
        hit, miss = x + 0.5, N - x + 0.5
        return cls(x, N, constant, np.log(hit / miss), 1 / hit + 1 / miss)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Binomial:
        """The meta-analyses of `index`."""
        return Binomial(
            self.x[:, index], self.N[:, index], self.constant[index], self.logit[:, index], self.variance[:, index]
        )


class Nodes(NamedTuple):
    """Quadrature nodes in u and logarithms of their weights, shapes (k, nodes, n) and (k, nodes or 1, n)."""

    u: FloatArray
    log_weight: FloatArray


class Value(NamedTuple):
    """Log-likelihood with gradient and Hessian in (mu, tau): arrays of shape (n,)."""

    loglik: FloatArray
    mu: FloatArray
    tau: FloatArray
    mu_mu: FloatArray
    mu_tau: FloatArray
    tau_tau: FloatArray
    doubt: FloatArray
    """Largest relative difference, over studies, between the integral and the one over every second node."""


class Moments(NamedTuple):
    """Posterior mean and standard deviation of each study's log odds, shape (k, n)."""

    mean: FloatArray
    sd: FloatArray


def _integrand(b: Binomial, u: FloatArray, eta: FloatArray) -> FloatArray:
    """Logarithm of the integrand without constants, for u of shape (k, n)."""
    return np.asarray(b.x * eta - b.N * np.logaddexp(0.0, eta) - u * u / 2)


def mode(b: Binomial, mu: FloatArray, tau: FloatArray, *, tolerance: float = 0.05) -> tuple[FloatArray, FloatArray]:
    """Mode of the integrand in u and the standard deviation that its curvature gives, shape (k, n).

    Newton's method from the precision-weighted mean of prior and empirical log odds; the log-concave integrand has
    one mode. A step moves the log odds by at most 2, since the curvature changes by a factor of e over one unit.

    Parameters
    ----------
    tolerance : float
        Length of the last step, in standard deviations.
    """
    y, v = b.logit, b.variance
    u = tau * (y - mu) / (tau * tau + v)
    longest = 2 / np.maximum(tau, 1e-3)
    squared = tau * tau * b.N
    curvature = np.ones_like(u)
    for _ in range(_MODE_STEPS):
        p = expit(mu + tau * u)
        curvature = 1 + squared * p * (1 - p)
        step = (tau * (b.x - b.N * p) - u) / curvature
        u = u + np.minimum(np.maximum(step, -longest), longest)
        if (step * step * curvature).max() < tolerance * tolerance:
            break
    return u, 1 / np.sqrt(curvature)


def _edges(
    b: Binomial, mu: FloatArray, tau: FloatArray, u: FloatArray, sd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Distances left and right of the mode at which the log integrand has dropped by _DROP, from above.

    The drop is convex in the distance and at least distance^2/2, so Newton's steps, from the first one on, stay
    beyond the edge.
    """
    side = np.array([-1.0, 1.0])[:, None, None]
    distance = np.broadcast_to(sd * np.sqrt(2 * _DROP), (2, *sd.shape))
    top = _integrand(b, u, mu + tau * u)
    for _ in range(_EDGE_STEPS):
        at = u + side * distance
        eta = mu + tau * at
        drop = top - b.x * eta + b.N * np.logaddexp(0.0, eta) + at * at / 2
        slope = side * (at - tau * (b.x - b.N * expit(eta)))
        distance = np.clip(distance - (drop - _DROP) / slope, sd, _FARTHEST)
    return distance[0], distance[1]


def trapezoid(b: Binomial, mu: FloatArray, tau: FloatArray, nodes: int) -> Nodes:
    """Equally spaced nodes over the range of the integrand; an odd number, so that every second one is a rule too."""
    u, sd = mode(b, mu, tau)
    left, right = _edges(b, mu, tau, u, sd)
    h = (left + right) / (nodes - 1)
    grid = np.arange(nodes, dtype=np.float64)[None, :, None]
    return Nodes((u - left)[:, None] + h[:, None] * grid, np.log(h)[:, None])


@lru_cache(maxsize=16)
def _hermite(nodes: int) -> tuple[FloatArray, FloatArray]:
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return z, np.log(w) + z * z / 2


def gauss_hermite(b: Binomial, mu: FloatArray, tau: FloatArray, nodes: int, *, tolerance: float = 1e-11) -> Nodes:
    """Adaptive Gauss-Hermite nodes: centred on the mode, scaled by the curvature (Pinheiro & Bates 1995)."""
    z, log_w = _hermite(nodes)
    u, sd = mode(b, mu, tau, tolerance=tolerance)
    log_weight = log_w[None, :, None] + np.log(sd)[:, None]
    return Nodes(u[:, None] + sd[:, None] * z[None, :, None], log_weight)


def _posterior(
    b: Binomial, mu: FloatArray, tau: FloatArray, at: Nodes
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Log-likelihood of each study (no constants), posterior weights of the nodes, eta and rate at the nodes."""
    eta = mu + tau * at.u
    e = np.exp(-np.abs(eta))
    one = 1 + e
    log_f = b.x[:, None] * eta - b.N[:, None] * (np.maximum(eta, 0.0) + np.log(one)) - at.u * at.u / 2 + at.log_weight
    top = log_f.max(axis=1)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1)
    weight /= total[:, None]
    p = np.where(eta >= 0, 1.0, e) / one
    return top + np.log(total) - np.log(2 * np.pi) / 2, weight, eta, p


def log_likelihood(b: Binomial, mu: FloatArray, tau: FloatArray, at: Nodes) -> FloatArray:
    """Marginal log-likelihood, binomial constants included, shape (n,)."""
    return np.asarray(_posterior(b, mu, tau, at)[0].sum(axis=0) + b.constant)


def evaluate(b: Binomial, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Marginal log-likelihood with gradient and Hessian, as posterior moments of the binomial score (Louis 1982).

    With s = x - N p(eta) and a = s^2 - N p (1 - p): d/dmu = E s, d/dtau = E us, d2/dmu2 = E a - (E s)^2,
    d2/dmu dtau = E ua - E s E us, d2/dtau2 = E u^2 a - (E us)^2, summed over studies.
    """
    loglik, weight, _, p = _posterior(b, mu, tau, at)
    N = b.N[:, None]
    s = b.x[:, None] - N * p
    a = s * s - N * p * (1 - p)
    uw = at.u * weight
    s1, s2 = np.einsum("kqn,kqn->kn", weight, s), np.einsum("kqn,kqn->kn", uw, s)
    a0, a1 = np.einsum("kqn,kqn->kn", weight, a), np.einsum("kqn,kqn->kn", uw, a)
    a2 = np.einsum("kqn,kqn,kqn->kn", uw, at.u, a)
    return Value(
        loglik.sum(axis=0) + b.constant, s1.sum(axis=0), s2.sum(axis=0),
        (a0 - s1 * s1).sum(axis=0), (a1 - s1 * s2).sum(axis=0), (a2 - s2 * s2).sum(axis=0),
        np.abs(2 * weight[:, ::2].sum(axis=1) - 1).max(axis=0),
    )  # fmt: skip


def moments(b: Binomial, mu: FloatArray, tau: FloatArray, at: Nodes) -> Moments:
    """Posterior mean and standard deviation of the log odds of each study, mu and tau taken as known."""
    _, weight, eta, _ = _posterior(b, mu, tau, at)
    mean = np.einsum("kqn,kqn->kn", weight, eta)
    r = eta - mean[:, None]
    return Moments(mean, np.sqrt(np.einsum("kqn,kqn,kqn->kn", weight, r, r)))
