"""Marginal likelihood of counts with normal random effects, with its derivatives.

Study i has x_i events of N_i, log odds eta_i = mu + tau u_i and u_i standard normal; its log-likelihood given u_i is
x_i eta_i - K_i(eta_i) with the cumulant function K_i = N_i log(1 + exp eta_i) of the binomial distribution, or that of
another family (`Family`; see conditional.py). The integral over u_i is taken by the trapezoidal rule on the range
where the integrand exceeds exp(-34) of its maximum. For a smooth integrand that has died out at both ends the error of
this rule falls geometrically with the number of nodes and is about squared when they are doubled, so that agreement of
two rules to 1e-5 proves the finer one to be exact to about 1e-10: every second node is such a rule, and costs nothing.
Gauss-Hermite nodes centred on the mode, as in R's lme4, are the other rule.

Data lie studies first, shape (k, n); nodes form the middle axis of arrays of shape (k, nodes, n). An absent study
has x = N = 0 and adds exactly 0 to the log-likelihood.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, logit

from metaan.core.wls import FloatArray

__all__ = [
    "Binomial",
    "Cumulants",
    "Family",
    "Moments",
    "Value",
    "common_log_likelihood",
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


Index = npt.NDArray[np.intp] | npt.NDArray[np.bool_]


class Cumulants(NamedTuple):
    """Cumulant function at eta, and its first two derivatives: mean and variance of the count."""

    value: FloatArray
    mean: FloatArray
    variance: FloatArray


class Family(Protocol):
    """Counts x in 0 ... N whose log-likelihood is x eta - K(eta) and a constant, of n meta-analyses of k studies.

    K is the cumulant function of a sum of N independent yes-or-no variables, each a logistic function of eta: its
    third derivative is at most its second, which the steps below rely on.
    """

    @property
    def x(self) -> FloatArray:
        """Counts, (k, n)."""

    @property
    def N(self) -> FloatArray:
        """Largest possible counts, (k, n)."""

    @property
    def constant(self) -> FloatArray:
        """What the log-likelihood has besides, summed over studies, (n,)."""

    @property
    def logit(self) -> FloatArray:
        """Empirical effects, where searches start, (k, n)."""

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances, (k, n)."""

    @property
    def alike(self) -> bool:
        """Whether the largest counts have the same log odds in all studies, as those of binomials without offset."""

    def take(self, index: Index) -> Family:
        """The meta-analyses of `index`."""

    def cumulants(self, eta: FloatArray) -> Cumulants:
        """Cumulants at eta of shape (k, n) or (k, nodes, n)."""

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and variance at eta of shape (k, n)."""

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Effect and log-likelihood, (n,), of the model with tau2 = 0; an effect is infinite where all x are 0 or N."""


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

    @property
    def alike(self) -> bool:
        """Binomials without offset are."""
        return True

    def take(self, index: Index) -> Binomial:
        """The meta-analyses of `index`."""
        return Binomial(
            self.x[:, index], self.N[:, index], self.constant[index], self.logit[:, index], self.variance[:, index]
        )

    def cumulants(self, eta: FloatArray) -> Cumulants:
        """N log(1 + exp eta), N p, N p (1 - p)."""
        N = self.N if eta.ndim == 2 else self.N[:, None]
        e = np.exp(-np.abs(eta))
        one = 1 + e
        p = np.where(eta >= 0, 1.0, e) / one
        return Cumulants(N * (np.maximum(eta, 0.0) + np.log(one)), N * p, N * e / (one * one))

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """N p and N p (1 - p)."""
        mean = self.N * expit(eta)
        return mean, mean * expit(-eta)

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Log odds of the pooled counts and the log-likelihood there."""
        x, N = self.x.sum(axis=0), self.N.sum(axis=0)
        p = x / N
        with np.errstate(divide="ignore", invalid="ignore"):
            loglik = np.where(x > 0, x * np.log(p), 0.0) + np.where(x < N, (N - x) * np.log1p(-p), 0.0)
        return np.asarray(logit(p)), loglik + self.constant


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


def mode(b: Family, mu: FloatArray, tau: FloatArray, *, tolerance: float = 0.05) -> tuple[FloatArray, FloatArray]:
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
    squared = tau * tau
    curvature = np.ones_like(u)
    for _ in range(_MODE_STEPS):
        mean, variance = b.slope(mu + tau * u)
        curvature = 1 + squared * variance
        step = (tau * (b.x - mean) - u) / curvature
        u = u + np.minimum(np.maximum(step, -longest), longest)
        if (step * step * curvature).max() < tolerance * tolerance:
            break
    return u, 1 / np.sqrt(curvature)


def _edges(b: Family, mu: FloatArray, tau: FloatArray, u: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distances left and right of the mode at which the log integrand has dropped by _DROP, from above.

    The drop is convex in the distance and at least distance^2/2, so Newton's steps, from the first one on, stay
    beyond the edge.
    """
    side = np.array([-1.0, 1.0])[:, None]
    x, u, sd = b.x[:, None], u[:, None], sd[:, None]
    distance = np.repeat(sd * np.sqrt(2 * _DROP), 2, axis=1)
    eta = mu + tau * u
    top = x * eta - b.cumulants(eta).value - u * u / 2
    for _ in range(_EDGE_STEPS):
        at = u + side * distance
        eta = mu + tau * at
        of = b.cumulants(eta)
        drop = top - x * eta + of.value + at * at / 2
        slope = side * (at - tau * (x - of.mean))
        distance = np.clip(distance - (drop - _DROP) / slope, sd, _FARTHEST)
    return distance[:, 0], distance[:, 1]


def trapezoid(b: Family, mu: FloatArray, tau: FloatArray, nodes: int) -> Nodes:
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


def gauss_hermite(b: Family, mu: FloatArray, tau: FloatArray, nodes: int, *, tolerance: float = 1e-11) -> Nodes:
    """Adaptive Gauss-Hermite nodes: centred on the mode, scaled by the curvature (Pinheiro & Bates 1995)."""
    z, log_w = _hermite(nodes)
    u, sd = mode(b, mu, tau, tolerance=tolerance)
    log_weight = log_w[None, :, None] + np.log(sd)[:, None]
    return Nodes(u[:, None] + sd[:, None] * z[None, :, None], log_weight)


def _posterior(
    b: Family, mu: FloatArray, tau: FloatArray, at: Nodes
) -> tuple[FloatArray, FloatArray, FloatArray, Cumulants]:
    """Log-likelihood of each study (no constants), posterior weights of the nodes, eta and cumulants at the nodes."""
    eta = mu + tau * at.u
    of = b.cumulants(eta)
    log_f = b.x[:, None] * eta - of.value - at.u * at.u / 2 + at.log_weight
    top = log_f.max(axis=1)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1)
    weight /= total[:, None]
    return top + np.log(total) - np.log(2 * np.pi) / 2, weight, eta, of


def log_likelihood(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> FloatArray:
    """Marginal log-likelihood, constants included, shape (n,)."""
    return np.asarray(_posterior(b, mu, tau, at)[0].sum(axis=0) + b.constant)


def common_log_likelihood(b: Family, mu: FloatArray) -> FloatArray:
    """Log-likelihood of the model with tau2 = 0, constants included, shape (n,)."""
    eta = np.broadcast_to(mu, b.x.shape)
    return np.asarray((b.x * eta - b.cumulants(eta).value).sum(axis=0) + b.constant)


def evaluate(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Marginal log-likelihood with gradient and Hessian, as posterior moments of the score (Louis 1982).

    With s = x - K'(eta) and a = s^2 - K''(eta): d/dmu = E s, d/dtau = E us, d2/dmu2 = E a - (E s)^2,
    d2/dmu dtau = E ua - E s E us, d2/dtau2 = E u^2 a - (E us)^2, summed over studies.
    """
    loglik, weight, _, of = _posterior(b, mu, tau, at)
    s = b.x[:, None] - of.mean
    a = s * s - of.variance
    uw = at.u * weight
    s1, s2 = np.einsum("kqn,kqn->kn", weight, s), np.einsum("kqn,kqn->kn", uw, s)
    a0, a1 = np.einsum("kqn,kqn->kn", weight, a), np.einsum("kqn,kqn->kn", uw, a)
    a2 = np.einsum("kqn,kqn,kqn->kn", uw, at.u, a)
    return Value(
        loglik.sum(axis=0) + b.constant, s1.sum(axis=0), s2.sum(axis=0),
        (a0 - s1 * s1).sum(axis=0), (a1 - s1 * s2).sum(axis=0), (a2 - s2 * s2).sum(axis=0),
        np.abs(2 * weight[:, ::2].sum(axis=1) - 1).max(axis=0),
    )  # fmt: skip


def moments(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Moments:
    """Posterior mean and standard deviation of the log odds of each study, mu and tau taken as known."""
    _, weight, eta, _ = _posterior(b, mu, tau, at)
    mean = np.einsum("kqn,kqn->kn", weight, eta)
    r = eta - mean[:, None]
    return Moments(mean, np.sqrt(np.einsum("kqn,kqn,kqn->kn", weight, r, r)))
