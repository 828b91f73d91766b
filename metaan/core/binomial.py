"""Marginal likelihood of counts with normal random effects, with its derivatives.

Study i has x_i events of N_i, log odds eta_i = mu + tau u_i and u_i standard normal; its log-likelihood given u_i is
x_i eta_i - N_i log(1 + exp eta_i), or that of another family (`Family`; see conditional.py and links.py). The integrals
over u_i are taken by the rules of quadrature.py.

Data lie studies first, shape (k, n); nodes form the middle axis of arrays of shape (k, nodes, n). An absent study
has x = N = 0 and adds exactly 0 to the log-likelihood.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, log_ndtr, logit

from metaan.core.quadrature import Integrand, Nodes, Terms, gauss_hermite, mode, spread_out, top_of, trapezoid
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
    "logit_terms",
    "mode",
    "moments",
    "trapezoid",
]

_ROOT: Final = float(np.log(2 * np.pi) / 2)
_STEEP: Final = 0.5  # posterior variance of u below which a count tells more than the prior


Index = npt.NDArray[np.intp] | npt.NDArray[np.bool_]


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


def logit_terms(x: FloatArray, N: FloatArray, eta: FloatArray) -> Terms:
    """Terms of x events of N at log odds eta, arrays that broadcast."""
    e = np.exp(-np.abs(eta))
    one = 1 + e
    p = np.where(eta >= 0, 1.0, e) / one
    value = x * eta - N * (np.maximum(eta, 0.0) + np.log(one))
    return Terms(value, x - N * p, N * e / (one * one))


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
        return logit_terms(x, N, eta)

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


def _posterior(
    b: Family, mu: FloatArray, tau: FloatArray, at: Nodes
) -> tuple[FloatArray, FloatArray, FloatArray, Terms]:
    """Log-likelihood of each study (no constants), posterior weights of the nodes, eta and derivatives at the nodes.

    What lies beyond the top, where a study that has nothing but events has likelihood 1, is missing from the weights.
    """
    eta = spread_out(mu) + tau * at.u
    of = b.terms(eta)
    log_f = of.value - at.u * at.u / 2 + at.log_weight
    beyond = None
    if (end := top_of(b, mu, tau)) is not None:
        log_f = np.where(at.u > end[:, None] + 1e-9, -np.inf, log_f)  # Gauss-Hermite nodes know of no end
        beyond = np.where(b.x == b.N, log_ndtr(-end) + _ROOT, -np.inf)
    top = log_f.max(axis=1) if beyond is None else np.maximum(log_f.max(axis=1), beyond)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1) if beyond is None else weight.sum(axis=1) + np.exp(beyond - top)
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
    if (end := top_of(b, mu, tau)) is not None:
        s1, s2, a0, a1, a2 = _near_top(b, tau, end, at.u, weight, loglik, (s1, s2, a0, a1, a2))
    return Value(loglik, s1, s2, a0 - s1 * s1, a1 - s1 * s2, a2 - s2 * s2, doubt)


def _near_top(
    b: Family, tau: FloatArray, end: FloatArray, u: FloatArray, weight: FloatArray, loglik: FloatArray,
    found: tuple[FloatArray, ...],
) -> list[FloatArray]:  # fmt: skip
    """Derivatives where the likelihood breaks off at the top, by the likelihood or by the prior.

    Those of the likelihood miss what its bend at the top adds. Where a count tells much more than the prior, so that
    its likelihood is steep there, those of the normal density take their place, which know of no top: with He the
    Hermite polynomials, E He1/tau, E He2/tau, E He2/tau^2, E He3/tau^2 and E (He2 + He4)/tau^2, to which the part
    beyond the top, where a study with nothing but events has likelihood 1, adds He_(j-1)(end) phi(end).
    """
    s1, s2, a0, a1, a2 = found
    bend = _bend(b, end, tau, loglik)
    plain = [s1, s2, a0 + bend, a1 + end * bend, a2 + end * end * bend]
    powers = [weight.sum(axis=1)]
    for _ in range(4):
        weight = weight * u
        powers.append(weight.sum(axis=1))
    m0, m1, m2, m3, m4 = powers
    beyond = np.exp(np.where(b.x == b.N, -end * end / 2 - _ROOT - loglik, -np.inf))
    h1, h2 = m1 + beyond, m2 - m0 + end * beyond
    h3 = m3 - 3 * m1 + (end * end - 1) * beyond
    h4 = m4 - 6 * m2 + 3 * m0 + (end**3 - 3 * end) * beyond
    steep = (m2 - m1 * m1 < _STEEP) & (m0 > 0.5) & (tau > 0)
    t = np.where(steep, tau, 1.0)
    own = [h1 / t, h2 / t, h2 / t**2, h3 / t**2, (h2 + h4) / t**2]
    return [np.where(steep, a, b) for a, b in zip(own, plain, strict=True)]


def _bend(b: Family, end: FloatArray, tau: FloatArray, loglik: FloatArray) -> FloatArray:
    """What the bend of the likelihood at the top adds to its second derivative: its slope there falls to 0 at once."""
    missed = b.N - b.x
    slope = np.where(missed == 0, b.x, np.where(missed == 1, -1.0, 0.0))
    height = np.where(slope == 0, -np.inf, -end * end / 2 - _ROOT - loglik)
    return np.asarray(-slope * np.exp(height) / np.maximum(tau, 1e-300))


def evaluate(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Marginal log-likelihood, constants included, with gradient and Hessian: sums over the studies."""
    of = by_study(b, mu, tau, at)
    total = Value(*(part.sum(axis=0) for part in of))
    return total._replace(loglik=total.loglik + b.constant, doubt=of.doubt.max(axis=0))


def moments(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Moments:
    """Posterior mean and standard deviation of the log odds of each study, mu and tau taken as known."""
    _, weight, eta, _ = _posterior(b, mu, tau, at)
    mean = np.einsum("kqn,kqn->kn", weight, eta)
    if (end := top_of(b, mu, tau)) is None:
        r = eta - mean[:, None]
        return Moments(mean, np.sqrt(np.einsum("kqn,kqn,kqn->kn", weight, r, r)))
    square = np.einsum("kqn,kqn,kqn->kn", weight, eta, eta)
    beyond = np.maximum(1 - weight.sum(axis=1), 0.0)
    hazard = np.exp(-end * end / 2 - _ROOT - log_ndtr(-end))  # of a normal variable known to exceed `end`
    mean = mean + beyond * (mu + tau * hazard)
    square = square + beyond * (mu * mu + 2 * mu * tau * hazard + tau * tau * (1 + end * hazard))
    return Moments(mean, np.sqrt(np.maximum(square - mean * mean, 0.0)))
