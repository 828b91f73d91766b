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

from metaan.core.quadrature import (
    Integrand,
    Nodes,
    Terms,
    gauss_hermite,
    kernels,
    mode,
    rows_of,
    spread_out,
    top_of,
    trapezoid,
)  # fmt: skip
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
    """Terms of x events of N at log odds eta, arrays that broadcast; without cancellation where a rate is near 1."""
    high = eta >= 0
    fewer = np.where(high, N - x, x)  # of what is rare at eta
    size = np.abs(eta)
    odds = np.exp(-size)
    one = 1 + odds
    mean = N * (odds / one)
    more = mean - fewer
    return Terms(-fewer * size - N * np.log(one), np.where(high, more, -more), mean / one)


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

    @property
    def arrays(self) -> list[FloatArray]:
        """What compiled kernels read: counts, totals, empirical log odds and their variances."""
        return [np.ascontiguousarray(part) for part in (self.x, self.N, self.logit, self.variance)]

    def take(self, index: Index) -> Binomial:
        """The meta-analyses of `index`."""
        where = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Binomial(*(part.take(where, axis=-1) for part in self))  # contiguous, as x[:, where] is not

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


class _Posterior(NamedTuple):
    """Log-likelihood of each study (no constants), (k, n), and at the nodes, (k, nodes, n), what stands below."""

    loglik: FloatArray
    weight: FloatArray
    """Posterior weights; what lies beyond the top, where a study that has only events has likelihood 1, is missing."""
    u: FloatArray
    eta: FloatArray
    of: Terms


def _posterior(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> _Posterior:
    u = at.u
    eta = tau * u
    eta += spread_out(mu)
    of = b.terms(eta)
    log_f = u * u
    log_f *= -0.5
    log_f += of.value
    if at.log_w is not None:
        log_f += at.log_w[:, None]
    unit = np.log(at.scale) - _ROOT
    beyond = None
    if (end := top_of(b, mu, tau)) is not None:
        log_f = np.where(u > end[:, None] + 1e-9, -np.inf, log_f)  # Gauss-Hermite nodes know of no end
        beyond = np.where(b.x == b.N, log_ndtr(-end) - unit, -np.inf)
    top = log_f.max(axis=1) if beyond is None else np.maximum(log_f.max(axis=1), beyond)
    log_f -= top[:, None]
    weight = np.exp(log_f, out=log_f)
    total = weight.sum(axis=1) if beyond is None else weight.sum(axis=1) + np.exp(beyond - top)
    weight /= total[:, None]
    return _Posterior(top + np.log(total) + unit, weight, u, eta, of)


def log_likelihood(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> FloatArray:
    """Marginal log-likelihood, constants included, shape (n,)."""
    out = np.empty((len(Value._fields), *at.origin.shape))
    of = out[0] if _compiled(b, mu, tau, at, out) else _posterior(b, mu, tau, at).loglik
    return np.asarray(of.sum(axis=0) + b.constant)


def common_log_likelihood(b: Family, mu: FloatArray) -> FloatArray:
    """Log-likelihood of the model with tau2 = 0, constants included, shape (n,)."""
    eta = np.broadcast_to(mu, b.x.shape)
    return np.asarray(b.terms(eta).value.sum(axis=0) + b.constant)


def by_study(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Value:
    """Contributions of the studies to `evaluate`, arrays of shape (k, n), without the constants."""
    return Value(*_by_study(b, mu, tau, at))


def _by_study(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> FloatArray:
    """The fields of `Value` for each study, (7, k, n).

    Posterior moments of the score (Louis 1982): with s and a = s^2 - information at a node, d/dmu = E s, d/dtau = E us,
    d2/dmu2 = E a - (E s)^2, d2/dmu dtau = E ua - E s E us, d2/dtau2 = E u^2 a - (E us)^2.
    """
    out = np.empty((len(Value._fields), *at.origin.shape))
    if _compiled(b, mu, tau, at, out):
        _central(out)
        return out
    loglik, weight, u, _, of = _posterior(b, mu, tau, at)
    s = of.score
    a = s * s - of.information if of.second is None else of.second
    uw = u * weight
    for place, (one, two) in enumerate([(weight, s), (uw, s), (weight, a), (uw, a)], start=1):
        np.einsum("kqn,kqn->kn", one, two, out=out[place])
    np.einsum("kqn,kqn,kqn->kn", uw, u, a, out=out[5])
    if isinstance(at.coarse, float):
        out[6] = np.abs(at.coarse * weight[:, ::2].sum(axis=1) - 1)
    else:
        out[6] = np.sqrt(np.abs((at.coarse * weight[:, ::2]).sum(axis=1) - weight.sum(axis=1)))
    if (end := top_of(b, mu, tau)) is not None:
        out[1:6] = _near_top(b, tau, end, u, weight, loglik, (out[1], out[2], out[3], out[4], out[5]))
    out[0] = loglik
    _central(out)
    return out


def _compiled(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes, out: FloatArray) -> bool:
    """Whether compiled kernels have filled `out`."""
    found = kernels(b, mu, tau, at.z.size)
    if found is None:
        return False
    fast, arrays = found
    log_w = np.zeros_like(at.z) if at.log_w is None else at.log_w
    origin, scale = np.ascontiguousarray(at.origin), np.ascontiguousarray(at.scale)
    fast.by_study(*arrays[:2], rows_of(mu), tau, origin, scale, at.z, log_w, out)
    return True


def _central(out: FloatArray) -> None:
    """From second moments to second derivatives, in place."""
    s1, s2 = out[1], out[2]
    out[3] -= s1 * s1
    out[4] -= s1 * s2
    out[5] -= s2 * s2


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
    of = _by_study(b, mu, tau, at)
    total = of.sum(axis=1)
    total[0] += b.constant
    of[6].max(axis=0, out=total[6])
    return Value(*total)


def moments(b: Family, mu: FloatArray, tau: FloatArray, at: Nodes) -> Moments:
    """Posterior mean and standard deviation of the log odds of each study, mu and tau taken as known."""
    _, weight, _, eta, _ = _posterior(b, mu, tau, at)
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
