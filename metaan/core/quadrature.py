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
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from metaan.core.compiled import wanted
from metaan.core.wls import FloatArray

__all__ = [
    "Integrand", "Nodes", "Reach", "Terms", "can_compile", "gauss_hermite", "kernels", "mode", "reach", "rows_of",
    "spread_out", "spread_over", "top_of", "trapezoid",
]  # fmt: skip

DROP: Final = 34.0  # exp(-34) = 2e-15
_OUT: Final = 40.0  # standard deviations beyond which nothing counts
MODE_STEPS: Final = 60
EDGE_STEPS: Final = 3
FARTHEST: Final = float(np.sqrt(2 * DROP)) + 0.1
LEVEL: Final = 1e-200  # a slope that is none
_COMPILED: Final = 100_000  # studies times nodes from which on compiled kernels take over
_EVALUATIONS: Final = 20  # of an integrand that finding its range takes
_STILL_OUT: Final = 31.0  # exp(-31) = 3e-14
_FAR_OUT: Final = 60.0


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
    """One rule moved to the integrand of each study: nodes u = origin + scale z, weights scale w."""

    origin: FloatArray
    """Shape (k, n), as the scale."""
    scale: FloatArray
    z: FloatArray
    """Nodes of the rule itself, (nodes,)."""
    log_w: FloatArray | None
    """Logarithms of its weights, (nodes,); None where they are all 1."""
    coarse: FloatArray | float = 2.0
    """Weights of the rule of every second node over those of the whole rule, for these nodes."""

    @property
    def u(self) -> FloatArray:
        """Nodes, (k, nodes, n)."""
        return self.origin[:, None] + self.scale[:, None] * self.z[:, None]

    @property
    def log_weight(self) -> FloatArray:
        """Logarithms of the weights, (k, nodes or 1, n)."""
        own = np.log(self.scale)[:, None]
        return own if self.log_w is None else own + self.log_w[:, None]


def can_compile(b: Any, numbers: int) -> bool:
    """Whether there are compiled kernels for `b`, and `numbers` evaluations of integrands are work enough for them."""
    return wanted(numbers, _COMPILED) and hasattr(b, "arrays")


def kernels(b: Any, mu: FloatArray, tau: FloatArray, nodes: int) -> tuple[Any, list[FloatArray]] | None:
    """Compiled kernels and what they read of `b`, where `nodes` evaluations of each study are work enough for them."""
    if not can_compile(b, b.logit.size * nodes) or not (tau.shape == mu.shape[-1:] == b.logit.shape[1:]):
        return None
    from metaan.core import compiled_binomial

    return compiled_binomial, b.arrays


def rows_of(mu: FloatArray) -> FloatArray:
    """Means as compiled kernels take them: (1, n) where all studies share them, else (k, n)."""
    return mu[None] if mu.ndim == 1 else np.ascontiguousarray(mu)


def mode(b: Integrand, mu: FloatArray, tau: FloatArray, *, tolerance: float = 0.05) -> tuple[FloatArray, FloatArray]:
    """Mode of the integrand in u and the standard deviation that its curvature gives, shape (k, n).

    Newton's method from the precision-weighted mean of prior and empirical log odds; the log-concave integrand has
    one mode. A step moves the log odds by at most 2, since the curvature changes by a factor of e over one unit, and
    at most nine tenths of the way to the top.

    Parameters
    ----------
    tolerance : float
        Length of the last step of each study, in standard deviations, whatever the others still do.
    """
    if (found := kernels(b, mu, tau, _EVALUATIONS)) is not None:
        fast, arrays = found
        u, sd = np.empty(b.logit.shape), np.empty(b.logit.shape)
        fast.mode(*arrays, rows_of(mu), tau, tolerance, u, sd)
        return u, sd
    y, v = b.logit, b.variance
    u = tau * (y - mu) / (tau * tau + v)
    longest = 2 / np.maximum(tau, 1e-3)
    squared = tau * tau
    top = top_of(b, mu, tau)
    if top is not None:
        u = np.where(u >= top, top - np.minimum(longest, 1.0), u)
    curvature, moving = np.ones_like(u), np.ones(u.shape, dtype=bool)
    for _ in range(MODE_STEPS):
        score, information = b.slope(mu + tau * u)
        curvature = np.where(moving, 1 + squared * information, curvature)
        step = np.where(moving, (tau * score - u) / curvature, 0.0)
        step = np.minimum(np.maximum(step, -longest), longest)
        if top is not None:
            step = np.minimum(step, 0.9 * (top - u))
        u = u + step
        moving = step * step * curvature >= tolerance * tolerance
        if not moving.any():
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
    """Distances left and right of the mode at which the log integrand has dropped by DROP, from above.

    The drop is convex in the distance and at least distance^2/2, so Newton's steps, from the first one on, stay
    beyond the edge.
    """
    if (found := kernels(b, mu, tau, _EVALUATIONS)) is not None:
        fast, arrays = found
        left, right = np.empty(u.shape), np.empty(u.shape)
        fast.edges(*arrays[:2], rows_of(mu), tau, u, sd, left, right)
        return left, right
    side = np.array([-1.0, 1.0])[:, None]
    end = top_of(b, mu, tau)
    u, sd, mu = u[:, None], sd[:, None], spread_out(mu)
    distance = sd * np.sqrt(2 * DROP)
    top = b.terms(mu + tau * u).value - u * u / 2
    farthest: FloatArray | float = FARTHEST
    if end is not None:
        room = end - u[:, 0]
        farthest = np.minimum(np.stack([np.full_like(room, FARTHEST), room], axis=1), FARTHEST)
        sd = np.minimum(sd, farthest)
        distance = np.minimum(distance, farthest)
    for _ in range(EDGE_STEPS if end is None else 3 * EDGE_STEPS):
        at = u + side * distance
        of = b.terms(mu + tau * at)
        drop = top - of.value + at * at / 2
        slope = side * (at - tau * of.score)
        distance = distance - (drop - DROP) / np.maximum(slope, LEVEL)
        distance = np.minimum(np.maximum(distance, sd), farthest)
    return distance[:, 0], distance[:, 1]


class Reach(NamedTuple):
    """Where the integrand of each study lies: arrays of shape (k, n)."""

    u: FloatArray
    """Its mode, or a point near."""
    left: FloatArray
    """Distances from there at which it has died out."""
    right: FloatArray

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Reach:
        """The data sets of `index`."""
        return Reach(*(part[:, index] for part in self))

    def put(self, index: npt.NDArray[np.intp], other: Reach) -> None:
        """Write the data sets of `index`."""
        for target, source in zip(self, other, strict=True):
            target[:, index] = source

    def fits(self, b: Integrand, mu: FloatArray, tau: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether it holds at other mu and tau, shape (n,): all integrands die out at the ends, and not far before."""
        u = np.stack([self.u - self.left, self.u, self.u + self.right], axis=1)
        height = b.terms(mu + tau * u).value - u * u / 2
        drop = height[:, 1:2] - height[:, ::2]
        return np.asarray(((drop > _STILL_OUT) & (drop < _FAR_OUT)).all(axis=(0, 1)))


def reach(b: Integrand, mu: FloatArray, tau: FloatArray) -> Reach:
    """Where the integrands lie."""
    u, sd = mode(b, mu, tau)
    return Reach(u, *_edges(b, mu, tau, u, sd))


def spread_over(b: Integrand, over: Reach, nodes: int) -> Nodes:
    """Equally spaced nodes over a range; an odd number, so that every second one is a rule too.

    Where eta has a top the nodes are those of Clenshaw and Curtis.
    """
    low = over.u - over.left
    if not np.isinf(b.top):
        return _clenshaw_curtis(low, over.u + over.right, nodes)
    return _equally_spaced(low, (over.left + over.right) / (nodes - 1), nodes)


def trapezoid(b: Integrand, mu: FloatArray, tau: FloatArray, nodes: int) -> Nodes:
    """Nodes over the range of the integrand at mu and tau."""
    return spread_over(b, reach(b, mu, tau), nodes)


def _equally_spaced(low: FloatArray, step: FloatArray, nodes: int) -> Nodes:
    """The trapezoidal rule from `low` on."""
    return Nodes(low, step, _counted(nodes), None)


@lru_cache(maxsize=16)
def _counted(nodes: int) -> FloatArray:
    return np.arange(nodes, dtype=np.float64)


def _clenshaw_curtis(low: FloatArray, high: FloatArray, nodes: int) -> Nodes:
    z, log_w, coarse = _chebyshev(nodes - 1)
    half = (high - low) / 2
    return Nodes(low + half, half, z, log_w, coarse[None, :, None])


@lru_cache(maxsize=16)
def _chebyshev(m: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Chebyshev points in [-1, 1], logarithms of their weights, and how much more those weigh in the coarser rule."""

    def weights(m: int) -> FloatArray:
        j = np.arange(1, m // 2 + 1)
        series = np.zeros(m)
        series[j] = np.where(j == m // 2, 1.0, 2.0) / (4 * j * j - 1)
        cosines = np.fft.fft(series).real
        w = (1 - np.append(cosines, cosines[0])) * 2 / m
        w[[0, -1]] /= 2
        return np.asarray(w)

    whole = weights(m)
    return -np.cos(np.pi * np.arange(m + 1) / m), np.log(whole), weights(m // 2) / whole[::2]


@lru_cache(maxsize=16)
def _hermite(nodes: int) -> tuple[FloatArray, FloatArray]:
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return z, np.log(w) + z * z / 2


def gauss_hermite(b: Integrand, mu: FloatArray, tau: FloatArray, nodes: int, *, tolerance: float = 1e-11) -> Nodes:
    """Adaptive Gauss-Hermite nodes: centred on the mode, scaled by the curvature (Pinheiro & Bates 1995)."""
    u, sd = mode(b, mu, tau, tolerance=tolerance)
    return Nodes(u, sd, *_hermite(nodes))
