"""Posterior distribution of the binomial-normal model by quadrature over tau and, for each tau, mu.

For each tau the log posterior of mu and the log-likelihood of each study are known at Chebyshev points (see
binomial_slices.py); from there on they are polynomials, and no likelihood is evaluated again. Study i's true log odds
theta have the density

    p(theta) = L_i(theta) sum_j w_j integral q_ij(mu) N(theta; mu, tau_j^2) dmu,

with L_i(theta) the binomial likelihood and q_ij the posterior of mu given tau_j over the marginal likelihood of
study i, as smooth a function as the posterior itself; without L_i and with the posterior for q_ij it is the density of
the log odds in a new study. The integral is taken over mu where tau is wide enough for the points, and otherwise by
Gauss and Hermite about theta.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from metaan.core.binomial_slices import Model, Slices
from metaan.core.binomial_slices import slices as slices_at
from metaan.core.chebyshev import FloatArray, antiderivative, coefficients, extended, points, series, weights
from metaan.core.marginals import Curve, Marginal, SinhScale
from metaan.core.posterior import (
    Log,
    NormalMean,
    Posterior,
    TauPosterior,
    TauRange,
    of_curve,
    pruned,
    tau_range,
)
from metaan.core.roots import bracketed_root

__all__ = ["LARGEST_TAU", "BinomialPosterior", "binomial_posterior", "likelihood_power"]

LARGEST_TAU: Final = 1e5
"""Where integrals over tau end."""
_DROP_TAU: Final = 26.0
_TAU: Final = 49
_MOST_TAU: Final = 513
_WIDE: Final = 0.06  # tau over half the range of mu from which on 257 points resolve a normal density
_AGREE: Final = 1e-4
_HERMITE: Final = 11
_STUDY: Final = 65
_MOST_STUDY: Final = 1025
_TAIL: Final = 25.0
_NEGLIGIBLE: Final = 1e-15


def likelihood_power(x: FloatArray, N: FloatArray, *, flat: bool) -> int:
    """Power of tau that the marginal likelihood of tau follows far out.

    A study strictly between 0 and N contributes 1/tau; the others tend to a function of mu/tau, whose integral over
    mu under a flat prior contributes tau.
    """
    return int(flat) - int(((x > 0) & (x < N)).sum())


class BinomialPosterior(NamedTuple):
    """Posterior of the binomial-normal model."""

    tau: TauPosterior
    mean: FloatArray
    """Of mu given tau, (J,)."""
    sd: FloatArray
    """Of mu given tau, (J,)."""
    mu: Marginal
    new: Marginal
    theta: Marginal
    low: FloatArray
    high: FloatArray
    log_density: FloatArray
    """Of mu given tau at the Chebyshev points of [low, high], (n, J)."""
    log_common: float
    """Marginal log-likelihood of tau = 0."""
    mass_left_out: float
    """About how much of the posterior lies beyond the largest tau."""
    doubt: float
    """Largest relative difference between an integral and the one over every second point."""

    def theta_moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the studies' log odds, (k,)."""
        assert isinstance(self.theta, Curve)
        mean = self.theta.mean(lambda x: x)
        return mean, np.sqrt(self.theta.mean(lambda x: (x - mean) ** 2))

    def mu_below(self, at: FloatArray) -> FloatArray:
        """P(mu < at_j given tau_j), (J,)."""
        half = (self.high - self.low) / 2
        cumulative = antiderivative(coefficients(self._fine()))
        share = series(cumulative, np.clip((at - self.low) / half - 1, -1, 1)) / cumulative.sum(axis=0)
        return np.asarray(np.clip(share, 0.0, 1.0))

    def _fine(self) -> FloatArray:
        """Density of mu given tau at four times the points."""
        fine = points(4 * self.log_density.shape[0] - 3)[:, None]
        return np.exp(series(coefficients(self.log_density)[:, None], fine))

    def grid(self) -> Posterior:
        """Chebyshev points of mu for each tau."""
        density, half = self._fine(), (self.high - self.low) / 2
        n = density.shape[0]
        mass = weights(n)[:, None] * density
        mu = self.low + half * (1 + points(n)[:, None])
        return pruned(mu, self.tau.tau, mass / mass.sum(axis=0) * self.tau.weight)


def binomial_posterior(
    x: FloatArray, N: FloatArray, prior: NormalMean, log_prior: Log, ends: tuple[float, float], power: float
) -> BinomialPosterior:
    """Posterior of the binomial-normal model under a prior of tau that follows a power of tau far out."""
    pairs, place, times = np.unique(np.array([x, N]), axis=1, return_inverse=True, return_counts=True)
    model = Model(pairs[0], pairs[1], times, prior)

    def rough(tau: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            return model.rough(tau) + log_prior(tau)

    powers = power + likelihood_power(x, N, flat=prior.flat)
    where = tau_range(rough, 1.0, ends, powers, largest=LARGEST_TAU, drop=_DROP_TAU)
    curve, tau, slices = _by_tau(model, log_prior, where)
    posterior = of_curve(curve, tau)
    at = slices.places(slices.log_density.shape[0])
    mass = weights(at.shape[0])[:, None] * np.exp(slices.log_density) * slices.half
    mean = (mass * at).sum(axis=0)
    sd = np.sqrt((mass * (at - mean) ** 2).sum(axis=0))
    beyond = 0.0
    if where.cut:
        beyond = float(curve.density(tau[-1:, None])[0, 0]) * float(tau[-1]) / -(powers + 1)
    mu, new = _mu(posterior, slices, mean, sd), _new(posterior, slices, mean, sd)
    theta = _theta(model, posterior, slices, mean, sd)
    doubts = [curve.doubt.max(), slices.doubt.max()]
    for part in (mu, new, theta):  # integrals of normalised densities: their logarithm is 0
        doubts += [part.doubt.max(), np.abs(part.log_total).max()]
    theta = theta.columns(place.ravel())
    return BinomialPosterior(
        posterior, mean, sd, mu, new, theta, slices.low, slices.high, slices.log_density,
        float(slices_at(model, np.zeros(1)).log_total[0]), beyond, float(max(doubts)),
    )  # fmt: skip


def _by_tau(model: Model, log_prior: Log, where: TauRange) -> tuple[Curve, FloatArray, Slices]:
    """Slices at as many tau as it takes that more change nothing."""
    low, high = np.array([where.low]), np.array([where.high])
    n = _TAU
    while True:
        tau = Curve.grid(where.at, low, high, n)[:, 0]
        slices = slices_at(model, tau)
        with np.errstate(all="ignore"):
            log_f = np.maximum(np.nan_to_num(slices.log_total + log_prior(tau), nan=-1e300), -1e300)
        curve = Curve.of(where.at, low, high, log_f[:, None])
        if curve.doubt[0] <= _AGREE or 2 * n > _MOST_TAU:
            return curve, tau, slices
        n = 2 * n - 1


def _span(tau: TauPosterior, mean: FloatArray, reach: FloatArray) -> tuple[float, float]:
    """Ends of a mixture of normals in which its components of some weight have died out."""
    inside = np.sqrt(2 * np.maximum(_TAIL + np.log(np.maximum(tau.weight, 1e-300)), 0.0))
    counts = inside > 0
    return float((mean - inside * reach)[counts].min()), float((mean + inside * reach)[counts].max())


def _curve(low: float, high: float, centre: float, scale: float, density: Log, n: int) -> Curve:
    """Curve of a density between two ends, with as many points as it takes."""
    at = SinhScale(centre, scale)
    ends = at.z(np.array([low])), at.z(np.array([high]))
    while True:
        x = Curve.grid(at, *ends, n)
        with np.errstate(divide="ignore"):
            height = np.log(density(x[:, 0]))
        curve = Curve.of(at, *ends, np.maximum(height, -700.0)[:, None])
        if curve.doubt[0] <= _AGREE or 2 * n > _MOST_STUDY:
            return curve
        n = 2 * n - 1


def _mu(tau: TauPosterior, slices: Slices, mean: FloatArray, sd: FloatArray) -> Curve:
    c = coefficients(slices.log_density)

    def density(x: FloatArray) -> FloatArray:
        f = np.exp(extended(c[:, None], (x[:, None] - slices.low) / slices.half - 1))
        return np.asarray(f @ tau.weight)

    some = tau.weight > np.exp(-_TAIL)
    low, high = _span(tau, mean, 1.3 * sd)
    low, high = max(low, slices.low[some].min()), min(high, slices.high[some].max())
    return _curve(low, high, float(tau.weight @ mean), float(sd.min()), density, 2 * _STUDY - 1)


def _new(tau: TauPosterior, slices: Slices, mean: FloatArray, sd: FloatArray) -> Curve:
    low, high = _span(tau, mean, 1.3 * np.hypot(sd, tau.tau))
    scale = float(np.hypot(sd, tau.tau).min())
    smooth = _Smooth.of(tau, slices, slices.log_density)
    return _curve(low, high, float(tau.weight @ mean), scale, smooth.value, 2 * _STUDY - 1)


class _Part(NamedTuple):
    """Values of tau for which one set of points resolves a normal density in mu."""

    mu: FloatArray
    """Points, (n, J)."""
    tau: FloatArray
    height: FloatArray
    """q at the points, times their weights and the height of the normal density, (n, J)."""


class _Smooth(NamedTuple):
    """sum_j w_j integral exp(log_q_j(mu)) N(x; mu, tau_j^2) dmu."""

    parts: tuple[_Part, ...]
    low: FloatArray
    half: FloatArray
    tau: FloatArray
    weight: FloatArray
    coefficients: FloatArray
    """Of log_q where tau is narrow, (n, J)."""

    @classmethod
    def of(cls, tau: TauPosterior, slices: Slices, log_q: FloatArray) -> _Smooth:
        """From log_q at the Chebyshev points of mu, (n, J)."""
        c = coefficients(log_q)
        ratio = np.where(tau.weight > _NEGLIGIBLE, tau.tau / slices.half, np.nan)
        parts = []
        n_mu = log_q.shape[0]
        for n, least, most in ((4 * n_mu - 3, _WIDE, 4 * _WIDE), (n_mu, 4 * _WIDE, np.inf)):
            j = (ratio > least) & (ratio <= most)
            low, half, width = slices.low[j], slices.half[j], tau.tau[j]
            q = np.exp(series(c[:, None, j], points(n)[:, None])) * weights(n)[:, None] * half
            height = q * tau.weight[j] / (width * np.sqrt(2 * np.pi))
            parts.append(_Part(low + half * (1 + points(n)[:, None]), width, height))
        j = ratio <= _WIDE
        return cls(tuple(parts), slices.low[j], slices.half[j], tau.tau[j], tau.weight[j], c[:, j])

    def value(self, x: FloatArray) -> FloatArray:
        """Value at x, (G,)."""
        total = self._about(x)
        for part in self.parts:
            z = (x[:, None, None] - part.mu) / part.tau
            total += np.einsum("gnj,nj->g", np.exp(-z * z / 2), part.height)
        return total

    def _about(self, x: FloatArray) -> FloatArray:
        z, w = np.polynomial.hermite_e.hermegauss(_HERMITE)
        t = (x[:, None, None] + z[:, None] * self.tau - self.low) / self.half - 1
        q = np.exp(extended(self.coefficients[:, None, None], t))
        return np.asarray(np.einsum("ghj,h,j->g", q, w / w.sum(), self.weight))


def _theta(model: Model, tau: TauPosterior, slices: Slices, mean: FloatArray, sd: FloatArray) -> Curve:
    """Marginals of the studies' log odds."""
    lows, highs, centres, scales, heights = [], [], [], [], []
    limits = _likelihood_ends(model)
    for i in range(model.x.size):
        x, N = float(model.x[i]), float(model.N[i])
        y, v = np.log((x + 0.5) / (N - x + 0.5)), 1 / (x + 0.5) + 1 / (N - x + 0.5)
        keep = tau.tau**2 / (tau.tau**2 + v)
        m, s = keep * y + (1 - keep) * mean, np.sqrt(keep * v + ((1 - keep) * sd) ** 2)
        low, high = _span(tau, m, (1.35 if min(x, N - x) > 2 else 1.8) * s)
        if x in (0.0, N):  # no likelihood holds the far side back
            far = _span(tau, mean, 1.3 * np.hypot(sd, tau.tau))
            low, high = (far[0], high) if x == 0 else (low, far[1])
        lows.append(max(low, limits[0][i]))
        highs.append(min(high, limits[1][i]))
        centres.append(float(tau.weight @ m))
        scales.append(float(s.min()))
        smooth = _Smooth.of(tau, slices, slices.log_density - slices.by_study[i])
        heights.append((x, N, smooth))
    at = SinhScale(np.array(centres), np.array(scales))
    ends = at.z(np.array(lows)), at.z(np.array(highs))
    n = _STUDY
    while True:
        grid = Curve.grid(at, *ends, n)
        columns = []
        for i, (x, N, smooth) in enumerate(heights):
            theta = grid[:, i]
            with np.errstate(divide="ignore"):
                columns.append(np.maximum(np.log(smooth.value(theta)), -700.0) + _binomial(x, N, theta))
        curve = Curve.of(at, *ends, np.array(columns).T)
        if (curve.doubt <= _AGREE).all() or 2 * n > _MOST_STUDY:
            return curve
        n = 2 * n - 1


def _binomial(x: float, N: float, theta: FloatArray) -> FloatArray:
    constant = gammaln(N + 1) - gammaln(x + 1) - gammaln(N - x + 1)
    return np.asarray(x * theta - N * np.logaddexp(0.0, theta) + constant)


def _likelihood_ends(model: Model) -> tuple[FloatArray, FloatArray]:
    """Where a study's likelihood has fallen to exp(-40) of its maximum; infinite where it never does."""
    x, N = model.x, model.N
    inner = np.clip(x, 0.5, N - 0.5)
    centre = np.log(inner / (N - inner))
    top = x * centre - N * np.logaddexp(0.0, centre)

    def excess(theta: FloatArray) -> FloatArray:
        return np.asarray(x * theta - N * np.logaddexp(0.0, theta) - top + 40.0)

    reach = 60 + np.log(N)
    ends = []
    for side, open_end in ((-1.0, x == 0), (1.0, x == N)):
        slope = np.where(open_end, 1.0, np.where(side < 0, x, N - x))
        outside = centre + side * (reach + reach / np.minimum(slope, 1.0))
        found = bracketed_root(excess, outside, centre, excess(outside), excess(centre), tolerance=1e-6)
        ends.append(np.where(open_end, side * np.inf, found))
    return ends[0], ends[1]
