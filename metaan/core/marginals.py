"""Distributions on a line, many at a time: mixtures of normals, and densities given at Chebyshev points.

Both kinds hold k distributions; `density` and `cdf` take x of shape (m, k) or (m, 1), `quantile` a vector of m
probabilities, and all return shape (m, k).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, wrightomega

from metaan.core.chebyshev import FloatArray, antiderivative, coefficients, points, series, weights
from metaan.core.roots import bracketed_root

__all__ = ["Curve", "LogScale", "Marginal", "Mixture", "SinhScale", "mode", "shortest"]

_REACH: Final = 40.0  # exp(-40) = 4e-18
_CANDIDATES: Final = 129
_BRACKETS: Final = 33
_CELLS: Final = 2_000_000
_ZOOMS: Final = 7
_TOLERANCE: Final = 1e-14
_FLOOR: Final = -300.0
_EDGE: Final = 1e-12
_FLAT: Final = 1e-9


class Marginal(Protocol):
    """k distributions."""

    def density(self, x: FloatArray) -> FloatArray:
        """Density at x."""

    def cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function at x."""

    def quantile(self, p: FloatArray) -> FloatArray:
        """Quantiles of the probabilities p in [0, 1], shape (m, k)."""

    def candidates(self) -> FloatArray:
        """Places between which nothing of the density is missed, ascending, (m, k)."""


class Mixture(NamedTuple):
    """Mixtures of J normal distributions."""

    mean: FloatArray
    """(J, k)"""
    sd: FloatArray
    """(J, k), > 0"""
    weight: FloatArray
    """(J,), sum 1"""

    def density(self, x: FloatArray) -> FloatArray:
        """Density at x."""
        return self._mixed(x, lambda z: np.exp(-z * z / 2) / (self.sd * np.sqrt(2 * np.pi)))

    def cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function at x."""
        return self._mixed(x, ndtr)

    def _mixed(self, x: FloatArray, f: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Sum over components of the weights times f((x - mean)/sd), in blocks that bound memory."""
        rows = max(1, _CELLS // self.mean.size)
        parts = [
            np.einsum("j,mjk->mk", self.weight, f((x[i : i + rows, None] - self.mean) / self.sd))
            for i in range(0, x.shape[0], rows)
        ]
        return np.concatenate(parts)

    def candidates(self, n: int = _CANDIDATES) -> FloatArray:
        """Places from end to end, dense about the mean of the narrow components."""
        inside = np.sqrt(2 * np.maximum(_REACH + np.log(np.maximum(self.weight, 1e-300)), 0.0))[:, None]
        near = self.weight[:, None] / self.sd
        centre = (near * self.mean).sum(axis=0) / near.sum(axis=0)
        scale = self.sd.min(axis=0)
        reach = (inside * self.sd + (inside > 0) * np.abs(self.mean - centre)).max(axis=0)
        z = np.linspace(-1, 1, n)[:, None] * np.arcsinh(reach / scale)
        return np.asarray(centre + scale * np.sinh(z))

    def quantile(self, p: FloatArray) -> FloatArray:
        """Quantiles; infinite for 0 and 1."""
        x = self.candidates(_BRACKETS)
        f = self.cdf(x)
        m, k = p.size, x.shape[1]
        place = np.clip((f[None] < p[:, None, None]).sum(axis=1), 1, x.shape[0] - 1)
        column = np.arange(k)

        def excess(at: FloatArray) -> FloatArray:
            return np.asarray((self.cdf(at.reshape(m, k)) - p[:, None]).ravel())

        a, b = x[place - 1, column].ravel(), x[place, column].ravel()
        root = bracketed_root(excess, a, b, excess(a), excess(b), tolerance=_TOLERANCE).reshape(m, k)
        return np.asarray(np.where(p[:, None] <= 0, -np.inf, np.where(p[:, None] >= 1, np.inf, root)))


class LogScale(NamedTuple):
    """x = scale exp(z - exp(-z)) > 0: powers of x become exponentials, and x near 0 dies out doubly so."""

    scale: FloatArray | float

    def x(self, z: FloatArray) -> FloatArray:
        """From z to x."""
        return np.asarray(self.scale * np.exp(z - np.exp(-z)))

    def z(self, x: FloatArray) -> FloatArray:
        """From x to z, by Wright's omega function."""
        with np.errstate(divide="ignore"):
            log = np.log(x / self.scale)
        return np.asarray(log + wrightomega(-np.maximum(log, -1e300)).real)

    def log_slope(self, z: FloatArray) -> FloatArray:
        """log dx/dz."""
        return np.asarray(np.log(self.scale) + z - np.exp(-z) + np.log1p(np.exp(-z)))


class SinhScale(NamedTuple):
    """x = centre + scale sinh(z): even steps about the centre, growing ones in the tails."""

    centre: FloatArray | float
    scale: FloatArray | float

    def x(self, z: FloatArray) -> FloatArray:
        """From z to x."""
        return np.asarray(self.centre + self.scale * np.sinh(z))

    def z(self, x: FloatArray) -> FloatArray:
        """From x to z."""
        return np.asarray(np.arcsinh((x - self.centre) / self.scale))

    def log_slope(self, z: FloatArray) -> FloatArray:
        """log dx/dz."""
        return np.asarray(np.log(self.scale * np.cosh(z)))


class Curve(NamedTuple):
    """Densities given at Chebyshev points of z in [low, high], where x is a function of z."""

    at: LogScale | SinhScale
    low: FloatArray
    high: FloatArray
    log_density: FloatArray
    """Chebyshev coefficients of the log density of x, (n, k)."""
    cumulative: FloatArray
    """Those of the distribution function, (n + 1, k)."""
    log_total: FloatArray
    """Logarithm of the integral of what was given, (k,)."""
    doubt: FloatArray
    """Relative difference between this integral and that by every second point, (k,)."""

    @classmethod
    def grid(cls, at: LogScale | SinhScale, low: FloatArray, high: FloatArray, n: int) -> FloatArray:
        """Where the log density is wanted, (n, k)."""
        return at.x(low + (high - low) / 2 * (1 + points(n)[:, None]))

    @classmethod
    def of(cls, at: LogScale | SinhScale, low: FloatArray, high: FloatArray, log_density: FloatArray) -> Curve:
        """From unnormalised log densities at the points of `grid`."""
        n = log_density.shape[0]
        total, coarse = (_integral(at, low, high, log_density[::step]) for step in (1, 2))
        kept = np.maximum(log_density - total, log_density.max(axis=0) - total + _FLOOR)
        c = coefficients(kept)
        fine = points(4 * n - 3)[:, None]
        slope = at.log_slope(low + (high - low) / 2 * (1 + fine)) + np.log((high - low) / 2)
        cumulative = antiderivative(coefficients(np.exp(series(c, fine) + slope)))
        return cls(at, low, high, c, cumulative / cumulative.sum(axis=0), total, np.abs(np.expm1(coarse - total)))

    def columns(self, index: npt.NDArray[np.intp]) -> Curve:
        """The densities of `index`."""
        at = type(self.at)(*(np.asarray(part)[index] for part in self.at))
        return Curve(
            at, self.low[index], self.high[index], self.log_density[:, index], self.cumulative[:, index],
            self.log_total[index], self.doubt[index],
        )  # fmt: skip

    def _t(self, x: FloatArray) -> FloatArray:
        return np.asarray((self.at.z(x) - self.low) / (self.high - self.low) * 2 - 1)

    def density(self, x: FloatArray) -> FloatArray:
        """Density at x."""
        t = self._t(x)
        inside = np.exp(series(self.log_density, np.clip(t, -1, 1)))
        below = isinstance(self.at, LogScale)  # toward 0 the density stays what it is
        return np.asarray(np.where((t <= 1 + _EDGE) & ((t >= -1 - _EDGE) | (below & (x >= 0))), inside, 0.0))

    def cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function at x."""
        return np.clip(series(self.cumulative, np.clip(self._t(x), -1, 1)), 0.0, 1.0)

    def candidates(self) -> FloatArray:
        """Places, several to a Chebyshev point."""
        t = points(4 * self.log_density.shape[0])[:, None]
        x = self.at.x(self.low + (self.high - self.low) / 2 * (1 + t))
        return np.concatenate([np.zeros_like(x[:1]), x]) if isinstance(self.at, LogScale) else x

    def quantile(self, p: FloatArray) -> FloatArray:
        """Quantiles."""
        m, k = p.size, self.log_density.shape[1]

        def excess(t: FloatArray) -> FloatArray:
            return np.asarray((series(self.cumulative, t.reshape(m, k)) - p[:, None]).ravel())

        one = np.ones(m * k)
        t = bracketed_root(excess, -one, one, excess(-one), excess(one), tolerance=_TOLERANCE).reshape(m, k)
        x = self.at.x(self.low + (self.high - self.low) / 2 * (1 + t))
        least = 0.0 if isinstance(self.at, LogScale) else x
        return np.asarray(np.where(p[:, None] <= 0, least, x))

    def mean(self, of: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Mean of a function of x, (k,)."""
        n = self.log_density.shape[0]
        z = self.low + (self.high - self.low) / 2 * (1 + points(n)[:, None])
        log_f = series(self.log_density, points(n)[:, None]) + self.at.log_slope(z) + np.log((self.high - self.low) / 2)
        f = np.exp(log_f)
        return np.asarray(weights(n) @ (f * of(self.at.x(z))) / (weights(n) @ f))


def _integral(at: LogScale | SinhScale, low: FloatArray, high: FloatArray, log_density: FloatArray) -> FloatArray:
    """Logarithm of the integral of densities given at Chebyshev points, (k,)."""
    n = log_density.shape[0]
    half = (high - low) / 2
    log_f = log_density + at.log_slope(low + half * (1 + points(n)[:, None])) + np.log(half)
    top = log_f.max(axis=0)
    return np.asarray(top + np.log(weights(n) @ np.exp(log_f - top)))


def mode(of: Marginal) -> FloatArray:
    """Where each density is highest, (k,)."""
    x = of.candidates()
    column = np.arange(x.shape[1])
    for _ in range(_ZOOMS):
        best = of.density(x).argmax(axis=0)
        low, high = x[np.maximum(best - 1, 0), column], x[np.minimum(best + 1, x.shape[0] - 1), column]
        found = x[best, column]
        x = low + (high - low) * np.linspace(0, 1, 33)[:, None]
    start = of.candidates()[:1]
    falling = of.density(start) >= of.density(found[None]) * (1 - _FLAT)
    return np.asarray(np.where(falling, start, found)[0])


def shortest(of: Marginal, level: float) -> tuple[FloatArray, FloatArray]:
    """Ends of equal density with probability `level` between them: the shortest interval of a density of one peak.

    Where the density falls from the start, the interval begins there.
    """
    k = of.candidates().shape[1]
    column = np.arange(k)

    def ends(alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
        both = of.quantile(np.r_[alpha, alpha + level])
        return both[:k][column, column], both[k:][column, column]

    def excess(alpha: FloatArray) -> FloatArray:
        low, high = ends(alpha)
        return np.asarray((of.density(low[None]) - of.density(high[None]))[0])

    a, b = np.full(k, _EDGE), np.full(k, 1 - level - _EDGE)
    fa, fb = excess(a), excess(b)
    root = bracketed_root(excess, a, b, fa, fb, tolerance=1e-12)
    return ends(np.where(fa >= 0, 0.0, np.where(fb <= 0, 1 - level, root)))
