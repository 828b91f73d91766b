"""Posterior distribution of a random-effects model by quadrature: tau, and the normal-normal model.

Given tau everything in the normal-normal model is normal, so that one integral, over tau, is left. It is taken by the
rule of Clenshaw and Curtis in z, tau = s exp(z - exp(-z)), over the range in which the integrand exceeds exp(-37) of
its maximum, with as many points as it takes that more change nothing. Priors with a pole at 0 or a heavy tail are no
harder than others on this scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from metaan.core.chebyshev import FloatArray, points, series, weights
from metaan.core.marginals import Curve, LogScale, Marginal, Mixture

__all__ = [
    "HEAVIEST",
    "NormalData",
    "NormalMean",
    "NormalPosterior",
    "Posterior",
    "TauPosterior",
    "TauRange",
    "exists",
    "normal_posterior",
    "of_curve",
    "pruned",
    "slope",
    "support",
    "tau_posterior",
    "tau_range",
]

HEAVIEST: Final = -1.2
"""Power of tau with which a density must fall at least; at -1 and above its integral is infinite."""
_DROP: Final = 37.0
_SMALLEST: Final = -75.0  # log tau, in units of the scale of the data
_LARGEST: Final = 180.0
_STEP: Final = 0.5
_ZOOM: Final = 65
_FIRST: Final = 65
_MOST: Final = 8193
_AGREE: Final = 1e-6
_HERMITE: Final = 61  # so that functions with features finer than the posterior of mu are resolved too
_LEAST: Final = 1e-15
_LOG_2PI: Final = float(np.log(2 * np.pi))

Log = Callable[[FloatArray], FloatArray]


class Posterior(NamedTuple):
    """The joint posterior of (mu, tau) on nodes, arrays of shape (m,); weights sum to 1.

    Sums over nodes are posterior means of smooth functions.
    """

    mu: FloatArray
    tau: FloatArray
    weight: FloatArray


class TauRange(NamedTuple):
    """Where the posterior of tau lies: log tau about `scale`, ends in z."""

    at: LogScale
    low: float
    high: float
    cut: bool
    """Whether the range ends where computing does, not where the posterior has died out."""


class TauPosterior(NamedTuple):
    """Posterior of tau on nodes, and as a curve."""

    curve: Curve
    tau: FloatArray
    """(J,)"""
    weight: FloatArray
    """(J,), sum 1"""
    log_total: float
    """Logarithm of the integral of likelihood times prior."""


class NormalMean(NamedTuple):
    """Prior of mu; an infinite standard deviation stands for the flat density 1."""

    mean: float
    sd: float

    @property
    def flat(self) -> bool:
        """Whether the prior is flat."""
        return bool(np.isinf(self.sd))

    def log_density(self, mu: FloatArray) -> FloatArray:
        """Log density, 0 for a flat prior."""
        if self.flat:
            return np.zeros_like(mu)
        z = (mu - self.mean) / self.sd
        return np.asarray(-z * z / 2 - np.log(self.sd) - _LOG_2PI / 2)


def slope(log_f: Log, low: float, high: float) -> float:
    """Power of tau that f follows between two values of log tau."""
    with np.errstate(all="ignore"):
        a, b = np.asarray(log_f(np.exp(np.array([low, high]))), dtype=np.float64)
    return -np.inf if np.isneginf(b) and high > low else float((b - a) / (high - low)) if np.isfinite(a) else np.inf


def exists(power: float, moment: int) -> bool:
    """Whether a density that falls with this power of tau has the moment."""
    return power + moment < HEAVIEST


def support(log_f: Log) -> tuple[float, float]:
    """Ends of the range of tau in which f is positive, to rounding; 0 and infinity where it does not end."""
    x = np.arange(_SMALLEST, _LARGEST + _STEP, _STEP)

    def positive(log_tau: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        with np.errstate(all="ignore"):
            return np.asarray(log_f(np.exp(log_tau))) > -np.inf

    here = np.flatnonzero(positive(x))
    if here.size == 0:
        return 0.0, 0.0
    ends = []
    for inside, outside in ((here[0], here[0] - 1), (here[-1], here[-1] + 1)):
        if not 0 <= outside < x.size:
            ends.append(0.0 if outside < 0 else np.inf)
            continue
        a, b = x[inside], x[outside]
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if positive(np.array([middle]))[0] else (a, middle)
        ends.append(float(np.exp(a)))
    return ends[0], ends[1]


def tau_range(
    log_f: Log, scale: float, ends: tuple[float, float], power: float, *, largest: float = np.inf, drop: float = _DROP
) -> TauRange:
    """Range in which a density, or one of its first two moments that exist, is not negligible.

    Parameters
    ----------
    log_f : callable
        Log density of tau, not normalised; may be approximate.
    scale : float
        A value of tau that belongs to the data.
    ends : tuple of float
        Support of the prior.
    power : float
        Power of tau that the density follows far out.
    largest : float
        Where computing ends.
    drop : float
        Logarithm of what counts as negligible.

    Notes
    -----
    Peaks far apart are looked at with up to 4097 points; the doubt of the posterior tells whether these were enough.
    """
    top = min(ends[1], largest, scale * np.exp(_LARGEST))
    bottom = max(ends[0], min(scale, top) * np.exp(_SMALLEST))
    x = np.append(np.arange(np.log(bottom), np.log(top), _STEP), np.log(top))
    height = _finite(log_f(np.exp(x))) + x
    at = LogScale(float(np.exp(x[height.argmax()])))
    low = max(float(at.z(np.array(bottom))), -5.0)
    high = float(at.z(np.array(top)))
    z, n = np.linspace(low, high, 2 * _ZOOM), _ZOOM
    powers = np.array([r for r in (0, 1, 2) if exists(power, r) or r == 0])[:, None]
    while True:
        tau = at.x(z)
        log_p = _finite(log_f(tau)) + at.log_slope(z) + powers * np.log(tau)
        inside = np.flatnonzero((log_p > log_p.max(axis=1, keepdims=True) - drop).any(axis=0))
        low, high = z[max(inside[0] - 1, 0)], z[min(inside[-1] + 1, z.size - 1)]
        if inside.size > _ZOOM // 3 or high - low < 1e-9 or 2 * n > _MOST:
            break
        if (low, high) == (z[0], z[-1]):  # two peaks far apart: a closer look instead of a nearer one
            n = 2 * n - 1
        z = np.linspace(low, high, n)
    cut = bool(inside[-1] == z.size - 1) and top < ends[1]
    return TauRange(at, float(low), float(high), cut)


def _finite(log_f: FloatArray) -> FloatArray:
    return np.asarray(np.where(np.isnan(log_f), -np.inf, log_f))


def tau_posterior(log_f: Log, where: TauRange) -> TauPosterior:
    """Posterior of tau from its unnormalised log density, with as many points as it takes."""
    low, high = np.array([where.low]), np.array([where.high])
    n = _FIRST
    while True:
        tau = Curve.grid(where.at, low, high, n)
        curve = Curve.of(where.at, low, high, np.maximum(_finite(log_f(tau[:, 0]))[:, None], -1e300))
        if curve.doubt[0] <= _AGREE or 2 * n > _MOST:
            break
        n = 2 * n - 1
    return of_curve(curve, tau[:, 0])


def of_curve(curve: Curve, tau: FloatArray) -> TauPosterior:
    """Nodes of a curve with their weights."""
    n = tau.size
    half = (curve.high - curve.low) / 2
    z = curve.low + half * (1 + points(n))
    weight = weights(n) * np.exp(series(curve.log_density[:, 0], points(n)) + curve.at.log_slope(z))
    return TauPosterior(curve, tau, np.asarray(weight / weight.sum()), float(curve.log_total[0]))


class NormalData(NamedTuple):
    """Effects with known sampling variances, shape (k,), and the prior of their mean."""

    y: FloatArray
    v: FloatArray
    prior: NormalMean

    @property
    def scale(self) -> float:
        """A typical standard error."""
        return float(np.sqrt(np.median(self.v)))

    @property
    def power(self) -> int:
        """Power of tau that the marginal likelihood follows far out."""
        return -(self.y.size - self.prior.flat)

    def given(self, tau: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Marginal log-likelihood of tau, and mean and standard deviation of mu given tau, shape (J,)."""
        total = self.v[:, None] + tau**2
        w = 1 / total
        know = 0.0 if self.prior.flat else 1 / self.prior.sd**2
        precision = w.sum(axis=0) + know
        centre = np.median(self.y)
        beside = 0.0 if self.prior.flat else know * (self.prior.mean - centre)
        mean = centre + (w.T @ (self.y - centre) + beside) / precision
        r = self.y[:, None] - mean
        loglik = -(np.log(total) + w * r * r).sum(axis=0) / 2 - self.y.size * _LOG_2PI / 2
        loglik += self.prior.log_density(mean) + (_LOG_2PI - np.log(precision)) / 2
        return np.asarray(loglik), np.asarray(mean), np.asarray(1 / np.sqrt(precision))


class NormalPosterior(NamedTuple):
    """Posterior of the normal-normal model."""

    tau: TauPosterior
    mean: FloatArray
    """Of mu given tau, (J,)."""
    sd: FloatArray
    """Of mu given tau, (J,)."""
    data: NormalData
    log_common: float
    """Marginal log-likelihood of tau = 0."""

    @property
    def mu(self) -> Marginal:
        """The marginal of mu."""
        return Mixture(self.mean[:, None], self.sd[:, None], self.tau.weight)

    @property
    def new(self) -> Marginal:
        """The true effect of a new study."""
        return Mixture(self.mean[:, None], np.hypot(self.sd, self.tau.tau)[:, None], self.tau.weight)

    @property
    def theta(self) -> Marginal:
        """The true effects of the studies: given tau normal about B y + (1 - B) m, with B = tau2/(tau2 + v)."""
        mean, sd = self._theta()
        return Mixture(mean, sd, self.tau.weight)

    def _theta(self) -> tuple[FloatArray, FloatArray]:
        tau2, v = self.tau.tau[:, None] ** 2, self.data.v
        keep = tau2 / (tau2 + v)
        lost = v / (tau2 + v)
        return keep * self.data.y + lost * self.mean[:, None], np.sqrt(keep * v + (lost * self.sd[:, None]) ** 2)

    def theta_moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the studies' true effects, (k,)."""
        mean, sd = self._theta()
        w = self.tau.weight
        centre = w @ mean
        return centre, np.sqrt(w @ (sd**2 + (mean - centre) ** 2))

    def mu_below(self, at: FloatArray) -> FloatArray:
        """P(mu < at_j given tau_j), (J,)."""
        return np.asarray(ndtr((at - self.mean) / self.sd))

    def grid(self) -> Posterior:
        """Gauss-Hermite nodes of mu for each tau."""
        z, w = np.polynomial.hermite_e.hermegauss(_HERMITE)
        weight = np.outer(self.tau.weight, w / w.sum())
        return pruned(self.mean[:, None] + self.sd[:, None] * z, self.tau.tau[:, None], weight)


def pruned(mu: FloatArray, tau: FloatArray, weight: FloatArray) -> Posterior:
    """Nodes that count, as flat arrays."""
    keep = weight > _LEAST * weight.max()
    return Posterior(mu[keep], np.broadcast_to(tau, mu.shape)[keep], weight[keep] / weight[keep].sum())


def normal_posterior(data: NormalData, log_prior: Log, ends: tuple[float, float], power: float) -> NormalPosterior:
    """Posterior of the normal-normal model under a prior of tau that follows a power of tau far out."""

    def log_f(tau: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            return data.given(tau)[0] + log_prior(tau)

    tau = tau_posterior(log_f, tau_range(log_f, data.scale, ends, power))
    _, mean, sd = data.given(tau.tau)
    return NormalPosterior(tau, mean, sd, data, float(data.given(np.zeros(1))[0][0]))
