"""Likelihood as weights: what the data of a meta-analysis say about mu and tau, as a mixture for the next study.

The range of tau where the likelihood is not negligible is found by a scan and integrated by Gauss-Legendre nodes in
t = arcsinh(tau/scale). The likelihood is a function of tau^2, hence even in t: where the range begins at 0, half of the
nodes for an integral from -t to t serve, which do not crowd about 0. The measure is flat in tau. Given tau, mu has its
conditional likelihood, flat in mu, on a grid whose spacing is small beside its standard error and beside tau.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from metaan.core import beta_binomial, linear
from metaan.core.binomial import Binomial, evaluate, log_likelihood, trapezoid
from metaan.core.binomial_fit import maximise_mu
from metaan.core.wls import FloatArray

__all__ = ["Weighted", "WeightedBeta", "beta_binomial_weights", "binomial_weights", "normal_weights"]

_DROP: Final = 27.0  # exp(-27) = 2e-12
_SCAN: Final = 48
_NODES: Final = 40
_SLICES: Final = 8  # of tau fitted together: the widest decides their quadrature nodes
_EDGE_STEPS: Final = 6
_SETTLED: Final = 0.05  # of the distance: the edge need not be known better
_FINE: Final = 0.6  # spacing of mu in standard errors
_BELOW_TAU: Final = 0.8  # and in tau
_MOST: Final = 1600  # points of mu for one tau
_CELLS: Final = 1_000_000
_ETA: Final = 60.0  # log odds of the mean of a beta-binomial model: at 60 a rate is 1 to rounding
_ETA_NEAR: Final = 0.1  # spacing of a scan of them, in the middle about a tenth of this
_ETA_SCAN: Final = 129
_POLISH: Final = 8


class Weighted(NamedTuple):
    """Means and standard deviations of the new study's true effect, with weights that sum to 1: shape (m,)."""

    mean: FloatArray
    sd: FloatArray
    weight: FloatArray
    scale: float
    """Smallest standard deviation of the effect given tau."""
    beyond: float
    """Weight at the upper end of tau, times that end: about the share that is cut off."""


class WeightedBeta(NamedTuple):
    """Beta distributions of the new study's true rate, with weights that sum to 1: shape (m,)."""

    a: FloatArray
    b: FloatArray
    weight: FloatArray
    scale: float
    """Smallest standard deviation of the log odds of the rate given theta."""
    beyond: float


class _Tau(NamedTuple):
    tau: FloatArray
    step: FloatArray


def _tau_nodes(height: Callable[[FloatArray], FloatArray], best: float, scale: float, most: float) -> _Tau:
    """Nodes and steps over the range of tau <= most in which the log-likelihood is within _DROP of its maximum."""
    last = np.arcsinh(most / scale)
    edge = np.unique(np.r_[np.linspace(0.0, last, _SCAN + 1), np.arcsinh(min(best, most) / scale)])
    value = height(scale * np.sinh(edge))
    live = np.flatnonzero(value > value.max() - _DROP)
    low, high = edge[max(live[0] - 1, 0)], edge[min(live[-1] + 1, edge.size - 1)]
    if low > 0:
        z, w = np.polynomial.legendre.leggauss(_NODES)
        t, step = (low + high) / 2 + (high - low) / 2 * z, (high - low) / 2 * w
    else:
        z, w = np.polynomial.legendre.leggauss(2 * _NODES)
        t, step = high * z[_NODES:], high * w[_NODES:]
    return _Tau(scale * np.sinh(t), scale * np.cosh(t) * step)


def _beyond(tau: _Tau, weight: FloatArray, most: float) -> float:
    """Density of tau at the last node times the end; 0 where the range ends before it."""
    return float(weight[-1] / tau.step[-1] * most) if tau.tau[-1] > 0.9 * most else 0.0


def normal_weights(y: FloatArray, v: FloatArray, *, restricted: bool, best: float, most: float) -> Weighted:
    """Effects with known variances: tau by the (restricted) likelihood, mu given tau normal.

    Parameters
    ----------
    y, v : array of shape (k,), k >= 2
    restricted : bool
        Restricted likelihood, which is the likelihood integrated over mu; the profile likelihood otherwise.
    best : float
        Estimate of tau, where the scan must not miss a peak.
    most : float
        Largest tau.
    """
    data = linear.Design(y, v, np.ones((y.size, 1)))
    scale = min(np.sqrt(1 / float((1 / v).mean())) / y.size**0.25, most / 4)
    nodes = _tau_nodes(lambda t: linear.log_likelihood(data, t * t, restricted=restricted), best, scale, most)
    loglik = linear.log_likelihood(data, nodes.tau**2, restricted=restricted)
    weight = np.exp(loglik - loglik.max()) * nodes.step
    weight /= weight.sum()
    fit = linear.at(data, nodes.tau**2)
    sd = np.sqrt(nodes.tau**2 + fit.cov[:, 0, 0])
    return Weighted(fit.beta[:, 0], sd, weight, float(sd.min()), _beyond(nodes, weight, most))


def binomial_weights(b: Binomial, mu: float, *, integrated: bool, best: float, most: float) -> Weighted:
    """Counts of one meta-analysis, neither all 0 nor all n: tau by its profile or integrated likelihood, mu given tau.

    Parameters
    ----------
    b : Binomial
        Counts of shape (k, 1).
    mu : float
        Where searches start.
    integrated : bool
        Likelihood integrated over mu; the profile likelihood, its maximum over mu, otherwise.
    best, most : float
        Estimate of tau and its largest value.
    """
    here = b.N[:, 0] > 0
    scale = min(np.sqrt(1 / float((1 / b.variance[here, 0]).mean())) / np.sqrt(np.sqrt(here.sum())), most / 4)
    nodes = _tau_nodes(lambda t: _in_slices(b, mu, t)[1], best, scale, most)
    parts = [_slices(b, mu, nodes.tau[i : i + _SLICES]) for i in range(0, _NODES, _SLICES)]
    at = _Slices.join(parts)
    weight, beyond = _weights(at, nodes, most, integrated)
    # a grid that reached its limit of points is coarse beside tau, which is then negligible beside it
    sd = np.maximum(at.tau, at.spacing / _BELOW_TAU)[at.owner]
    return Weighted(at.mu, sd, weight, float(np.hypot(at.tau, at.se).min()), beyond)


def _in_slices(b: Binomial, mu: float, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Maximum over mu at each tau, and the log-likelihood there."""
    at, height = np.empty_like(tau), np.empty_like(tau)
    for i in range(0, tau.size, _SLICES):
        part = slice(i, i + _SLICES)
        wide = b.take(np.zeros(tau[part].size, np.intp))
        at[part], value, _ = maximise_mu(wide, np.full(tau[part].size, mu), tau[part])
        height[part] = value.loglik
    return at, height


class _Slices(NamedTuple):
    """The likelihood on grids of mu, one for each of several tau."""

    tau: FloatArray
    peak: FloatArray
    se: FloatArray
    spacing: FloatArray
    owner: npt.NDArray[np.intp]
    """Position of the tau of each point of mu."""
    mu: FloatArray
    loglik: FloatArray

    @classmethod
    def join(cls, parts: list[_Slices]) -> _Slices:
        """Several in one."""
        before = np.cumsum([0, *(part.tau.size for part in parts[:-1])])
        shifted = [part._replace(owner=part.owner + shift) for part, shift in zip(parts, before, strict=True)]
        return cls(*(np.concatenate(column) for column in zip(*shifted, strict=True)))


def _weights(at: _Slices, nodes: _Tau, most: float, integrated: bool) -> tuple[FloatArray, float]:
    """Weights of the points, which sum to 1, and what lies beyond the range of tau."""
    share = np.exp(at.loglik - at.peak[at.owner])
    inside = np.bincount(at.owner, share)
    height = np.exp(at.peak - at.peak.max()) * nodes.step
    weight = share * (height * (at.spacing if integrated else 1 / inside))[at.owner]
    weight /= weight.sum()
    return weight, _beyond(nodes, np.asarray(np.bincount(at.owner, weight), np.float64), most)


def _grid(low: FloatArray, high: FloatArray, spacing: FloatArray) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Points from low to high at a spacing, one grid after the other, and whose they are."""
    points = np.ceil((high - low) / spacing).astype(np.intp) + 1
    owner = np.repeat(np.arange(low.size), points)
    position = np.concatenate([np.arange(p, dtype=np.float64) for p in points])
    return low[owner] + spacing[owner] * position, owner


def _slices(b: Binomial, mu: float, tau: FloatArray) -> _Slices:
    wide = b.take(np.zeros(tau.size, np.intp))
    centre, at, nodes = maximise_mu(wide, np.full(tau.size, mu), tau)
    se = 1 / np.sqrt(-at.mu_mu)
    left, right = (_edge(wide, centre, tau, at.loglik, se, side, nodes) for side in (-1.0, 1.0))
    spacing = np.maximum(np.minimum(_FINE * se, _BELOW_TAU * tau), (left + right) / _MOST)
    grid, owner = _grid(centre - left, centre + right, spacing)
    loglik = np.empty_like(grid)
    width = max(1, _CELLS // (b.x.shape[0] * nodes))
    for i in range(0, grid.size, width):
        m, t = grid[i : i + width], tau[owner[i : i + width]]
        some = b.take(np.zeros(m.size, np.intp))
        loglik[i : i + width] = log_likelihood(some, m, t, trapezoid(some, m, t, nodes))
    return _Slices(tau, at.loglik, se, spacing, owner, grid, loglik)


def _edge(
    b: Binomial, mu: FloatArray, tau: FloatArray, top: FloatArray, se: FloatArray, side: float, nodes: int
) -> FloatArray:
    """Distance from the maximum at which the log-likelihood, concave in mu, has dropped by _DROP, from above.

    The drop is convex in the distance, so that Newton's steps stay beyond the edge from the first one on.
    """
    distance = se * np.sqrt(2 * _DROP)
    for _ in range(_EDGE_STEPS):
        at = mu + side * distance
        value = evaluate(b, at, tau, trapezoid(b, at, tau, nodes))
        slope = np.maximum(-side * value.mu, 1e-12)
        step = (top - value.loglik - _DROP) / slope
        distance = np.clip(distance - step, se, np.maximum(200.0, 10 * se))
        if (np.abs(step) < _SETTLED * distance).all():
            break
    return np.asarray(distance)


def beta_binomial_weights(b: beta_binomial.Counts, *, integrated: bool, best: float, most: float) -> WeightedBeta:
    """Beta-binomial counts of one meta-analysis, neither all 0 nor all n.

    In place of tau stands s = sqrt(theta), with theta = rho/(1 - rho): for small spread tau is s/sqrt(m (1 - m)). The
    measure is flat in s and in the log odds of the mean.

    Parameters
    ----------
    b : Counts
        Counts of shape (k, 1).
    integrated : bool
        Likelihood integrated over the mean; the profile likelihood otherwise.
    best, most : float
        Estimate of s and its largest value.
    """
    sizes = b.N[b.N > 0]
    scale = min(1 / np.sqrt(float(sizes.mean())) / np.sqrt(np.sqrt(sizes.size)), most / 4)
    nodes = _tau_nodes(lambda s: _beta_profile(b, s), best, scale, most)
    at = _beta_slices(b, nodes.tau)
    weight, beyond = _weights(at, nodes, most, integrated)
    inverse = 1 / at.tau[at.owner] ** 2
    return WeightedBeta(
        expit(at.mu) * inverse, expit(-at.mu) * inverse, weight, float(np.hypot(2 * at.tau, at.se).min()), beyond
    )


def _beta_loglik(b: beta_binomial.Counts, eta: FloatArray, s: FloatArray) -> FloatArray:
    value = np.empty_like(eta)
    width = max(1, _CELLS // (16 * b.x.shape[0]))
    for i in range(0, eta.size, width):
        part = slice(i, i + width)
        wide = b.take(np.zeros(eta[part].size, np.intp))
        value[part] = beta_binomial.evaluate(wide, eta[None, part], s[part] ** 2).loglik.sum(axis=0)
    return value


def _beta_scan(b: beta_binomial.Counts, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log odds dense about those of the pooled counts, (m,), and the log-likelihood there for each s, (m, s)."""
    centre = np.log((float(b.x.sum()) + 0.5) / (float((b.N - b.x).sum()) + 0.5))
    eta = centre + _ETA_NEAR * np.sinh(np.linspace(-1, 1, _ETA_SCAN) * np.arcsinh(_ETA / _ETA_NEAR))
    value = _beta_loglik(b, np.repeat(eta, s.size), np.tile(s, eta.size))
    return eta, value.reshape(eta.size, s.size)


def _beta_peaks(b: beta_binomial.Counts, s: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Height of the likelihood, which has one maximum in the mean, for each s, and its curvature there."""
    wide = b.take(np.zeros(s.size, np.intp))
    for _ in range(_POLISH):
        at = beta_binomial.evaluate(wide, eta[None], s * s)
        slope, curvature = at.eta.sum(axis=0), at.eta_eta.sum(axis=0)
        eta = eta + np.clip(slope / np.maximum(-curvature, np.abs(slope)), -1, 1)
    at = beta_binomial.evaluate(wide, eta[None], s * s)
    return at.loglik.sum(axis=0), -at.eta_eta.sum(axis=0)


def _beta_profile(b: beta_binomial.Counts, s: FloatArray) -> FloatArray:
    eta, value = _beta_scan(b, s)
    return _beta_peaks(b, s, eta[value.argmax(axis=0)])[0]


def _beta_slices(b: beta_binomial.Counts, s: FloatArray) -> _Slices:
    eta, value = _beta_scan(b, s)
    peak, curvature = _beta_peaks(b, s, eta[value.argmax(axis=0)])
    live = value > peak - _DROP
    first, last = live.argmax(axis=0), eta.size - 1 - live[::-1].argmax(axis=0)
    low, high = eta[np.maximum(first - 1, 0)], eta[np.minimum(last + 1, eta.size - 1)]
    se = 1 / np.sqrt(curvature)
    # the log odds given the mean m have a standard deviation of about s/sqrt(m (1 - m)), at least 2 s
    spacing = np.maximum(np.minimum(_FINE * se, 2 * _BELOW_TAU * s), (high - low) / _MOST)
    mu, owner = _grid(low, high, spacing)
    return _Slices(s, peak, se, spacing, owner, mu, _beta_loglik(b, mu, s[owner]))
