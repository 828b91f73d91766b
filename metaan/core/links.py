"""Counts whose mean is another function of eta than the logistic one: families for the marginal likelihood.

For binomial counts with p = g^-1(eta), and for Poisson counts over time, the log-likelihood of one count is concave in
eta under each link here, so that what binomial.py does for the logit holds for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtri

from metaan.core.binomial import Binomial, Family, Index, Terms, logit_terms
from metaan.core.wls import FloatArray

__all__ = ["LINKS", "Link", "Linked", "Poisson", "family_of"]

_ROOT: Final = float(np.log(2 * np.pi) / 2)
_OVERFLOW: Final = 300.0
_SMALL: Final = 1e-3
_NEAR: Final = 1e-15  # as near to an end as eta comes


class Link(NamedTuple):
    """A link function: eta from a rate, the terms of the log-likelihood, and the ends of eta."""

    name: str
    of_rate: Callable[[FloatArray], FloatArray]
    derivative: Callable[[FloatArray], FloatArray]
    """Of eta by the rate, at the rate."""
    terms: Callable[[FloatArray, FloatArray, FloatArray], Terms]
    """From x, n - x and eta."""
    low: float = -np.inf
    high: float = np.inf


def _logit_terms(x: FloatArray, other: FloatArray, eta: FloatArray) -> Terms:
    return logit_terms(x, x + other, eta)


def _probit_terms(x: FloatArray, other: FloatArray, eta: FloatArray) -> Terms:
    """With h(t) = phi(t)/Phi(t): derivative x h(eta) - (n-x) h(-eta), and h'(t) = -h(t) (t + h(t))."""
    up, down = log_ndtr(eta), log_ndtr(-eta)
    density = -eta * eta / 2 - _ROOT
    h, g = np.exp(density - up), np.exp(density - down)
    return Terms(x * up + other * down, x * h - other * g, x * h * (eta + h) + other * g * (g - eta))


def _cloglog_terms(x: FloatArray, other: FloatArray, eta: FloatArray) -> Terms:
    """With t = exp eta, log(1-p) = -t; r = t/(exp t - 1) is the derivative of log p, and r' = -r (t + r - 1)."""
    t = np.exp(np.minimum(eta, _OVERFLOW))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        r = np.where(t > _OVERFLOW, 0.0, t / np.expm1(np.minimum(t, _OVERFLOW)))
        value = np.where(t < 1e-300, eta, np.log(-np.expm1(-t)))
    r = np.where(t < 1e-300, 1.0, r)
    small = np.minimum(t, _SMALL)
    gap = np.where(t < _SMALL, small / 2 + small * small / 12 - small**4 / 720, t + r - 1)
    return Terms(x * value - other * t, x * r - other * t, x * r * gap + other * t)


def _log_terms(x: FloatArray, other: FloatArray, eta: FloatArray) -> Terms:
    """Log of the rate, eta < 0."""
    eta = np.minimum(eta, -_NEAR)
    q = -np.expm1(eta)
    r = np.exp(eta) / q
    second = x * x - (2 * x + 1) * other * r + other * (other - 1) * r * r
    return Terms(x * eta + other * np.log(q), x - other * r, other * r / q, second)


def _identity_terms(x: FloatArray, other: FloatArray, eta: FloatArray) -> Terms:
    """Rate itself, between 0 and 1."""
    p = np.clip(eta, _NEAR, 1 - _NEAR)
    q = 1 - p
    second = x * (x - 1) / (p * p) - 2 * x * other / (p * q) + other * (other - 1) / (q * q)
    return Terms(x * np.log(p) + other * np.log(q), x / p - other / q, x / (p * p) + other / (q * q), second)


def _poisson_terms(x: FloatArray, time: FloatArray, eta: FloatArray) -> Terms:
    """Log of the events per unit of time; a number of events x in `time`."""
    mean = time * np.exp(np.minimum(eta, _OVERFLOW))
    return Terms(x * eta - mean, x - mean, mean)


def _normal_density(p: FloatArray) -> FloatArray:
    z = ndtri(p)
    return np.asarray(np.exp(-z * z / 2 - _ROOT))


LINKS: Final = {
    "logit": Link("logit", lambda p: np.log(p) - np.log1p(-p), lambda p: 1 / (p * (1 - p)), _logit_terms),
    "probit": Link("probit", lambda p: np.asarray(ndtri(p)), lambda p: 1 / _normal_density(p), _probit_terms),
    "cloglog": Link(
        "cloglog", lambda p: np.log(-np.log1p(-p)), lambda p: -1 / ((1 - p) * np.log1p(-p)), _cloglog_terms
    ),
    "log": Link("log", np.log, lambda p: 1 / p, _log_terms, high=0.0),
    "identity": Link("identity", lambda p: p, np.ones_like, _identity_terms, low=0.0, high=1.0),
    "poisson": Link("poisson", np.log, lambda p: 1 / p, _poisson_terms),
}
"""Link functions of a rate; "poisson" is the log of a rate per unit of time."""


class Linked(NamedTuple):
    """Binomial counts under a link other than the logit, shape (k, n)."""

    base: Binomial
    link: str

    @property
    def x(self) -> FloatArray:
        """Events."""
        return self.base.x

    @property
    def N(self) -> FloatArray:
        """Totals."""
        return self.base.N

    @property
    def constant(self) -> FloatArray:
        """Binomial coefficients."""
        return self.base.constant

    @property
    def logit(self) -> FloatArray:
        """Empirical effects, 0.5 added to both counts."""
        return LINKS[self.link].of_rate((self.x + 0.5) / (self.N + 1))

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances by the delta method."""
        p = (self.x + 0.5) / (self.N + 1)
        return LINKS[self.link].derivative(p) ** 2 * p * (1 - p) / (self.N + 1)

    @property
    def alike(self) -> bool:
        """Binomials without offset are."""
        return True

    @property
    def top(self) -> float:
        """That of the link."""
        return LINKS[self.link].high

    def take(self, index: Index) -> Linked:
        """The meta-analyses of `index`."""
        return Linked(self.base.take(index), self.link)

    def terms(self, eta: FloatArray) -> Terms:
        """Log-likelihood and derivatives."""
        x, N = (self.x, self.N) if eta.ndim == 2 else (self.x[:, None], self.N[:, None])
        return LINKS[self.link].terms(x, N - x, eta)

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivative and minus the second one."""
        of = self.terms(eta)
        return of.score, of.information

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Link of the pooled rate, and the log-likelihood there."""
        _, loglik = self.base.common()
        with np.errstate(divide="ignore"):
            return LINKS[self.link].of_rate(self.x.sum(axis=0) / self.N.sum(axis=0)), loglik


class Poisson(NamedTuple):
    """Events over time, shape (k, n); eta is the log of the rate."""

    x: FloatArray
    time: FloatArray
    constant: FloatArray

    @classmethod
    def from_counts(cls, x: FloatArray, time: FloatArray) -> Poisson:
        """From events and times of shape (k, n); an absent study has both 0."""
        with np.errstate(divide="ignore"):
            scale = np.where(x > 0, x * np.log(time), 0.0)
        return cls(x, time, (scale - gammaln(x + 1)).sum(axis=0))

    @property
    def N(self) -> FloatArray:
        """No largest count."""
        return np.where(self.time > 0, np.inf, 0.0)

    @property
    def logit(self) -> FloatArray:
        """Empirical log rates, 0.5 added to the events."""
        return np.log(self.x + 0.5) - np.log(np.where(self.time > 0, self.time, 1.0))

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances."""
        return 1 / (self.x + 0.5)

    @property
    def alike(self) -> bool:
        """There is no largest count."""
        return False

    @property
    def top(self) -> float:
        """There is none."""
        return np.inf

    def take(self, index: Index) -> Poisson:
        """The meta-analyses of `index`."""
        return Poisson(self.x[:, index], self.time[:, index], self.constant[index])

    def terms(self, eta: FloatArray) -> Terms:
        """Log-likelihood and derivatives."""
        x, time = (self.x, self.time) if eta.ndim == 2 else (self.x[:, None], self.time[:, None])
        return _poisson_terms(x, time, eta)

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivative and minus the second one."""
        of = self.terms(eta)
        return of.score, of.information

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Log of the pooled rate and the log-likelihood there."""
        x, time = self.x.sum(axis=0), self.time.sum(axis=0)
        with np.errstate(divide="ignore"):
            mu = np.log(x / time)
        return mu, np.where(x > 0, x * np.where(x > 0, mu, 0.0) - x, 0.0) + self.constant


def family_of(x: FloatArray, N: FloatArray, link: str) -> Family:
    """Binomial counts of shape (k, n) under a link."""
    base = Binomial.from_counts(x, N)
    return base if link == "logit" else Linked(base, link)
