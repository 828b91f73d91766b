"""Quadrature of one random effect a study: nodes that follow the integrand.

The integrand is the likelihood of a study at eta = mu + tau u times the standard normal density of u. It is
log-concave, has one mode, and is integrated over the range where it exceeds exp(-34) of its maximum. For a smooth
integrand that has died out at both ends the error of the trapezoidal rule falls geometrically with the number of nodes
and is about squared when they are doubled, so that agreement of two rules to 1e-5 proves the finer one to be exact to
about 1e-10: every second node is such a rule, and costs nothing. Where eta has a top, at which the integrand breaks
off, the rule of Clenshaw and Curtis takes its place, which nests in the same way. Gauss-Hermite nodes centred on the
mode, as in R's lme4, are the third rule.

Data lie studies first, shape (k, n); nodes form the middle axis of arrays of shape (k, nodes, n).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np

from metaan.core.wls import FloatArray

__all__ = ["Integrand", "Nodes", "Terms", "gauss_hermite", "mode", "spread_out", "top_of", "trapezoid"]

_DROP: Final = 34.0  # exp(-34) = 2e-15
_OUT: Final = 40.0  # standard deviations beyond which nothing counts
_MODE_STEPS: Final = 60
_EDGE_STEPS: Final = 3
_FARTHEST: Final = float(np.sqrt(2 * _DROP)) + 0.1


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


class Nodes(NamedTuple):
    """Quadrature nodes in u and logarithms of their weights, shapes (k, nodes, n) and (k, nodes or 1, n)."""

    u: FloatArray
    log_weight: FloatArray
    coarse: FloatArray | float = 2.0
    """Weights of the rule of every second node over those of the whole rule, for these nodes."""


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
    top = top_of(b, mu, tau)
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


def top_of(b: Integrand, mu: FloatArray, tau: FloatArray) -> FloatArray | None:
    """Upper end of u, shape (k, n); None without one."""
    if np.isinf(b.top):
        return None
    end = np.where(tau > 0, (b.top - mu) / np.where(tau > 0, tau, 1.0), _OUT)
    return np.minimum(end, _OUT) + np.zeros_like(b.logit)


def spread_out(mu: FloatArray) -> FloatArray:
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
    end = top_of(b, mu, tau)
    u, sd, mu = u[:, None], sd[:, None], spread_out(mu)
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
