"""Marginal likelihood of counts with normal random effects, with its derivatives.

Study i has x_i events of N_i, log odds eta_i = mu + tau u_i and u_i standard normal; its log-likelihood given u_i is
x_i eta_i - N_i log(1 + exp eta_i), or that of another family (`Family`; see conditional.py and links.py). The integral
over u_i is taken by the trapezoidal rule on the range where the integrand exceeds exp(-34) of its maximum. For a smooth
integrand that has died out at both ends the error of this rule falls geometrically with the number of nodes and is
about squared when they are doubled, so that agreement of two rules to 1e-5 proves the finer one to be exact to about
1e-10: every second node is such a rule, and costs nothing. Where eta has an end, at which the integrand breaks off, the
rule of Clenshaw and Curtis takes its place, which nests in the same way. Gauss-Hermite nodes centred on the mode, as in
R's lme4, are the third rule.

Data lie studies first, shape (k, n); nodes form the middle axis of arrays of shape (k, nodes, n). An absent study
has x = N = 0 and adds exactly 0 to the log-likelihood.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, log_ndtr, logit

from metaan.core.wls import FloatArray

__all__ = [
    "Binomial",
    "Family",
    "Integrand",
    "Moments",
    "Nodes",
    "Terms",
    "Value",
    "by_study",
    "common_log_likelihood",
    "evaluate",
    "gauss_hermite",
    "log_likelihood",
    "mode",
    "moments",
    "trapezoid",
]

_ROOT: Final = float(np.log(2 * np.pi) / 2)
_DROP: Final = 34.0  # exp(-34) = 2e-15
_OUT: Final = 40.0  # standard deviations beyond which nothing counts
_MODE_STEPS: Final = 60
_EDGE_STEPS: Final = 3
_FARTHEST: Final = float(np.sqrt(2 * _DROP)) + 0.1


Index = npt.NDArray[np.intp] | npt.NDArray[np.bool_]


class Terms(NamedTuple):
    """Log-likelihood of each count at eta, but for constants, its derivative and minus its second derivative."""

    value: FloatArray
    score: FloatArray
    information: FloatArray
    second: FloatArray | None = None
    """score^2 - information, the second derivative of the likelihood over the likelihood, where it can cancel."""


class Integrand(Protocol):
    """A log-concave likelihood of eta for each study, with what the quadrature needs."""

    @property
    def logit(self) -> FloatArray:
        """Empirical effects, where searches start, (k, n) or what broadcasts with it."""

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances."""

    @property
    def top(self) -> float:
        """Value of eta beyond which the rate stays 1; infinite where there is none."""

    def terms(self, eta: FloatArray) -> Terms:
        """Log-likelihood and derivatives at eta of shape (k, n) or (k, nodes, n)."""

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivative of the log-likelihood and minus the second one at eta of shape (k, n)."""


class Family(Integrand, Protocol):
    """Counts x in 0 ... N of n meta-analyses of k studies, their log-likelihood concave in eta but for a constant.

    The steps below rely on a curvature that changes by a factor of about e over one unit of eta.
    """

    @property
    def x(self) -> FloatArray:
        """Counts, (k, n)."""

    @property
    def N(self) -> FloatArray:
        """Largest possible counts, (k, n): 0 for absent studies, infinite for events over time."""

    @property
    def constant(self) -> FloatArray:
        """What the log-likelihood has besides, summed over studies, (n,)."""

    @property
    def alike(self) -> bool:
        """Whether the largest counts have the same log odds in all studies, as those of binomials without offset."""

    def take(self, index: Index) -> Family:
        """The meta-analyses of `index`."""

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

    @property
    def top(self) -> float:
        """There is none."""
        return np.inf

    def terms(self, eta: FloatArray) -> Terms:
        """x eta - N log(1 + exp eta), x - N p, N p (1 - p)."""
        x, N = (self.x, self.N) if eta.ndim == 2 else (self.x[:, None], self.N[:, None])
        e = np.exp(-np.abs(eta))
        one = 1 + e
        p = np.where(eta >= 0, 1.0, e) / one
        value = x * eta - N * (np.maximum(eta, 0.0) + np.log(one))
        return Terms(value, x - N * p, N * e / (one * one))

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x - N p and N p (1 - p)."""
        mean = self.N * expit(eta)
        return self.x - mean, mean * expit(-eta)

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
    coarse: FloatArray | float = 2.0
    """Weights of the rule of every second node over those of the whole rule, for these nodes."""


class Value(NamedTuple):
    """Log-likelihood with gradient and Hessian in (mu, tau): arrays of shape (n,)."""

    loglik: FloatArray
    mu: FloatArray
    tau: FloatArray
    mu_mu: FloatArray
    mu_tau: FloatArray
    tau_tau: FloatArray
    doubt: FloatArray
    """Largest relative difference, over studies, between the integral and the one over every second node; its root for
    the rule of Clenshaw and Curtis, whose error is not always squared when nodes are doubled."""


class Moments(NamedTuple):
    """Posterior mean and standard deviation of each study's log odds, shape (k, n)."""

    mean: FloatArray
    sd: FloatArray


def mode(b: Integrand, mu: FloatArray, tau: FloatArray, *, tolerance: float = 0.05) -> tuple[FloatArray, FloatArray]:
    """Mode of the integrand in u and the standard deviation that its curvature gives, shape (k, n).

    Newton's method from the precision-weighted mean of prior and empirical log odds; the log-concave integrand has
    one mode. A step moves the log odds by at most 2, since the curvature changes by a factor of e over one unit, and
    at most nine tenths of the way to the top.

    Parameters
    ----------
    tolerance : float
        Length of the last step, in standard deviations.
    """
    y, v = b.logit, b.variance
    u = tau * (y - mu) / (tau * tau + v)
    longest = 2 / np.maximum(tau, 1e-3)
    squared = tau * tau
    top = _top(b, mu, tau)
    if top is not None:
        u = np.where(u >= top, top - np.minimum(longest, 1.0), u)
    curvature = np.ones_like(u)
    for _ in range(_MODE_STEPS):
        score, information = b.slope(mu + tau * u)
        curvature = 1 + squared * information
        step = (tau * score - u) / curvature
        step = np.minimum(np.maximum(step, -longest), longest)
        if top is not None:
            step = np.minimum(step, 0.9 * (top - u))
        u = u + step
        if (step * step * curvature).max() < tolerance * tolerance:
            break
    return u, 1 / np.sqrt(curvature)


def _top(b: Integrand, mu: FloatArray, tau: FloatArray) -> FloatArray | None:
    """Upper end of u, shape (k, n); None without one."""
    if np.isinf(b.top):
        return None
    end = np.where(tau > 0, (b.top - mu) / np.where(tau > 0, tau, 1.0), _OUT)
    return np.minimum(end, _OUT) + np.zeros_like(b.logit)


def _spread_out(mu: FloatArray) -> FloatArray:
    """Means of the data sets, or of each study, (k, n), with an axis for the nodes."""
    return mu if mu.ndim == 1 else mu[:, None]


def _edges(
    b: Integrand, mu: FloatArray, tau: FloatArray, u: FloatArray, sd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Distances left and right of the mode at which the log integrand has dropped by _DROP, from above.

    The drop is convex in the distance and at least distance^2/2, so Newton's steps, from the first one on, stay
    beyond the edge.
    """
    side = np.array([-1.0, 1.0])[:, None]
    end = _top(b, mu, tau)
    u, sd, mu = u[:, None], sd[:, None], _spread_out(mu)
    distance = np.repeat(sd * np.sqrt(2 * _DROP), 2, axis=1)
    top = b.terms(mu + tau * u).value - u * u / 2
    farthest: FloatArray | float = _FARTHEST
    if end is not None:
        room = end - u[:, 0]
        farthest = np.minimum(np.stack([np.full_like(room, _FARTHEST), room], axis=1), _FARTHEST)
        sd = np.minimum(sd, farthest)
        distance = np.minimum(distance, farthest)
    for _ in range(_EDGE_STEPS if end is None else 3 * _EDGE_STEPS):
        at = u + side * distance
        of = b.terms(mu + tau * at)
        drop = top - of.value + at * at / 2
        slope = side * (at - tau * of.score)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope > 0, (drop - _DROP) / slope, -np.inf)
        distance = np.clip(distance - step, sd, farthest)
    return distance[:, 0], distance[:, 1]


def trapezoid(b: Integrand, mu: FloatArray, tau: FloatArray, nodes: int) -> Nodes:
    """Equally spaced nodes over the range of the integrand; an odd number, so that every second one is a rule too.

    Where eta has a top the nodes are those of Clenshaw and Curtis.
    """
    u, sd = mode(b, mu, tau)
    left, right = _edges(b, mu, tau, u, sd)
    if not np.isinf(b.top):
        return _clenshaw_curtis(u - left, u + right, nodes)
    h = (left + right) / (nodes - 1)
    grid = np.arange(nodes, dtype=np.float64)[None, :, None]
    return Nodes((u - left)[:, None] + h[:, None] * grid, np.log(h)[:, None])


def _clenshaw_curtis(low: FloatArray, high: FloatArray, nodes: int) -> Nodes:
    z, weight, coarse = _chebyshev(nodes - 1)
    half = (high - low) / 2
    u = (low + half)[:, None] + half[:, None] * z[:, None]
    return Nodes(u, np.log(weight)[None, :, None] + np.log(half)[:, None], coarse[None, :, None])


@lru_cache(maxsize=16)
def _chebyshev(m: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Chebyshev points in [-1, 1], their weights, and how much more those weigh in the rule of every second point."""

    def weights(m: int) -> FloatArray:
        j = np.arange(1, m // 2 + 1)
        series = np.zeros(m)
        series[j] = np.where(j == m // 2, 1.0, 2.0) / (4 * j * j - 1)
        cosines = np.fft.fft(series).real
        w = (1 - np.append(cosines, cosines[0])) * 2 / m
        w[[0, -1]] /= 2
        return np.asarray(w)

    whole = weights(m)
    return -np.cos(np.pi * np.arange(m + 1) / m), whole, weights(m // 2) / whole[::2]


@lru_cache(maxsize=16)
def _hermite(nodes: int) -> tuple[FloatArray, FloatArray]:
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return z, np.log(w) + z * z / 2


def gauss_hermite(b: Integrand, mu: FloatArray, tau: FloatArray, nodes: int, *, tolerance: float = 1e-11) -> Nodes:
    """Adaptive Gauss-Hermite nodes: centred on the mode, scaled by the curvature (Pinheiro & Bates 1995)."""
    z, log_w = _hermite(nodes)
    u, sd = mode(b, mu, tau, tolerance=tolerance)
    log_weight = log_w[None, :, None] + np.log(sd)[:, None]
    return Nodes(u[:, None] + sd[:, None] * z[None, :, None], log_weight)


def _posterior(
    b: Family, mu: FloatArray, tau: FloatArray, at: Nodes
) -> tuple[FloatArray, FloatArray, FloatArray, Terms]:
    """Log-likelihood of each study (no constants), posterior weights of the nodes, eta and derivatives at the nodes.

    What lies beyond the top, where a study that has nothing but events has likelihood 1, is missing from the weights.
    """
    eta = _spread_out(mu) + tau * at.u
    of = b.terms(eta)
    log_f = of.value - at.u * at.u / 2 + at.log_weight
    top = log_f.max(axis=1)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1)
    if (end := _top(b, mu, tau)) is not None:
        total = total + np.where(b.x == b.N, np.exp(log_ndtr(-end) + _ROOT - top), 0.0)
    weight /= total[:, None]
    return top + np.log(total) - _ROOT, weight, eta, of


def log_likelihood(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> FloatArray:
    """Marginal log-likelihood, constants included, shape (n,)."""
    return np.asarray(_posterior(b, mu, tau, at)[0].sum(axis=0) + b.constant)


def common_log_likelihood(b: Family, mu: FloatArray) -> FloatArray:
    """Log-likelihood of the model with tau2 = 0, constants included, shape (n,)."""
    eta = np.broadcast_to(mu, b.x.shape)
    return np.asarray(b.terms(eta).value.sum(axis=0) + b.constant)


def by_study(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Contributions of the studies to `evaluate`, arrays of shape (k, n), without the constants.

    Posterior moments of the score (Louis 1982): with s and a = s^2 - information at a node, d/dmu = E s, d/dtau = E us,
    d2/dmu2 = E a - (E s)^2, d2/dmu dtau = E ua - E s E us, d2/dtau2 = E u^2 a - (E us)^2.
    """
    loglik, weight, _, of = _posterior(b, mu, tau, at)
    s = of.score
    a = s * s - of.information if of.second is None else of.second
    uw = at.u * weight
    s1, s2 = np.einsum("kqn,kqn->kn", weight, s), np.einsum("kqn,kqn->kn", uw, s)
    a0, a1 = np.einsum("kqn,kqn->kn", weight, a), np.einsum("kqn,kqn->kn", uw, a)
    a2 = np.einsum("kqn,kqn,kqn->kn", uw, at.u, a)
    if isinstance(at.coarse, float):
        doubt = np.abs(at.coarse * weight[:, ::2].sum(axis=1) - 1)
    else:
        doubt = np.sqrt(np.abs((at.coarse * weight[:, ::2]).sum(axis=1) - weight.sum(axis=1)))
    if (end := _top(b, mu, tau)) is not None:
        bend = _bend(b, end, tau, loglik)
        a0, a1, a2 = a0 + bend, a1 + end * bend, a2 + end * end * bend
    return Value(loglik, s1, s2, a0 - s1 * s1, a1 - s1 * s2, a2 - s2 * s2, doubt)


def _bend(b: Family, end: FloatArray, tau: FloatArray, loglik: FloatArray) -> FloatArray:
    """What the bend of the likelihood at the top adds to its second derivative: its slope there falls to 0 at once."""
    missed = b.N - b.x
    slope = np.where(missed == 0, b.x, np.where(missed == 1, -1.0, 0.0))
    return np.asarray(-slope * np.exp(-end * end / 2 - _ROOT - loglik) / np.maximum(tau, 1e-300))


def evaluate(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Marginal log-likelihood, constants included, with gradient and Hessian: sums over the studies."""
    of = by_study(b, mu, tau, at)
    total = Value(*(part.sum(axis=0) for part in of))
    return total._replace(loglik=total.loglik + b.constant, doubt=of.doubt.max(axis=0))


def moments(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Moments:
    """Posterior mean and standard deviation of the log odds of each study, mu and tau taken as known."""
    _, weight, eta, _ = _posterior(b, mu, tau, at)
    mean = np.einsum("kqn,kqn->kn", weight, eta)
    if (end := _top(b, mu, tau)) is None:
        r = eta - mean[:, None]
        return Moments(mean, np.sqrt(np.einsum("kqn,kqn,kqn->kn", weight, r, r)))
    square = np.einsum("kqn,kqn,kqn->kn", weight, eta, eta)
    beyond = np.maximum(1 - weight.sum(axis=1), 0.0)
    hazard = np.exp(-end * end / 2 - _ROOT - log_ndtr(-end))  # of a normal variable known to exceed `end`
    mean = mean + beyond * (mu + tau * hazard)
    square = square + beyond * (mu * mu + 2 * mu * tau * hazard + tau * tau * (1 + end * hazard))
    return Moments(mean, np.sqrt(np.maximum(square - mean * mean, 0.0)))
