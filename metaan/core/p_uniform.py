"""Likelihood of p-uniform*: normal effects, each known to lie on the side of its critical value on which it was seen.

For a given tau2 the log-likelihood is strictly concave in the mean, so that Newton's method finds its only maximum.
What is left is a function of tau2 alone, which is looked at on a grid before its local maxima are refined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, erfcx, log_ndtr

from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["PUniformFit", "Truncated", "fit_p_uniform", "log_likelihood", "profile_limits"]

_GRID: Final = 96
_STEPS: Final = 100
_TOLERANCE: Final = 1e-13  # of a step in the mean, over the standard deviation
_LOWEST: Final = 1e-6  # tau2 over the smallest sampling variance, next to 0
_LARGEST: Final = 1e4  # tau2 over the spread of the effects
_WIDER: Final = 60  # doublings of the way to a limit
_WIDER_LOG: Final = 9  # the same on the logarithmic scale of tau2
_CLOSE: Final = 1e-10
_SWITCH: Final = 5.0  # above it erfcx is near its end and the distribution function near 1
_FAR: Final = 100.0  # below minus this the asymptotic series has 13 digits
_ROOT2: Final = float(np.sqrt(2.0))
_LOG_2PI: Final = float(np.log(2 * np.pi))


class Truncated(NamedTuple):
    """Effects, sampling variances, critical values and sides (1: above the critical value, -1: below), (k,) each."""

    y: FloatArray
    v: FloatArray
    cut: FloatArray
    side: FloatArray

    def ridge(self) -> float:
        """Log-likelihood as the mean goes to minus or plus infinity; -inf where it falls without bound.

        If all effects lie on one side, tau2 can grow with the mean, and normal tails become exponential distributions.
        """
        beyond = float(np.abs(self.y - self.cut).sum())
        if np.ptp(self.side) > 0:
            return -np.inf
        k = self.y.size
        return k * (float(np.log(k / beyond)) - 1) if beyond > 0 else np.inf


class PUniformFit(NamedTuple):
    """The highest maximum, infinite on the ridge, and log-likelihoods there and under two hypotheses."""

    mean: float
    tau2: float
    loglik: float
    loglik_null: float
    """Highest with mean 0."""
    tau2_null: float
    loglik_zero: float
    """Highest with tau2 = 0."""


class _At(NamedTuple):
    """Log-likelihood and its derivatives at n points; each (n,)."""

    loglik: FloatArray
    slope: FloatArray
    """By the mean."""
    curvature: FloatArray
    by_tau2: FloatArray


def _evaluate(of: Truncated, mean: FloatArray, tau2: FloatArray) -> _At:
    """With the mean's distance to a critical value as z: what would cancel for z far below 0 is never written down."""
    s = np.sqrt(of.v[:, None] + tau2)
    side = of.side[:, None]
    e = (of.y - of.cut)[:, None] / s
    z = side * (mean - of.cut[:, None]) / s
    log_mills, excess, variance = _beyond(z)
    loglik = -np.log(s) - _LOG_2PI / 2 - e * e / 2 + side * e * z - log_mills
    slope = (e - side * excess) / s
    curvature = -variance / (s * s)
    by_tau2 = (e * e - 2 * side * e * z + z * excess - 1) / (2 * s * s)
    return _At(*(part.sum(axis=0) for part in (loglik, slope, curvature, by_tau2)))


def _beyond(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of a standard normal variable known to exceed -z: log(Phi(z) exp(z^2/2)), and its mean and variance beyond -z.

    By an asymptotic series where z and the inverse of Mills' ratio cancel.
    """
    high, low = z > _SWITCH, z < -_FAR
    near = np.log(0.5 * erfcx(-np.minimum(z, _SWITCH) / _ROOT2))
    log_mills = np.where(high, log_ndtr(z) + z * z / 2, near)
    ratio = np.exp(-_LOG_2PI / 2 - log_mills)
    x = np.maximum(-z, _FAR)
    t = 1 / (x * x)
    mean = np.where(low, (1 - t * (2 - t * (10 - 74 * t))) / x, z + ratio)
    variance = np.where(low, t * (1 - t * (6 - 50 * t)), 1 - ratio * mean)
    return log_mills, mean, variance


def log_likelihood(of: Truncated, mean: float, tau2: float) -> float:
    """At one point."""
    return float(_evaluate(of, np.array([mean]), np.array([tau2])).loglik[0])


def _best_mean(of: Truncated, tau2: FloatArray) -> FloatArray:
    """Mean with the highest likelihood for each tau2, (n,): Newton's method, held in a bracket of the root."""
    unit = np.sqrt(of.v.max() + tau2)
    mean = np.full(tau2.shape, float(of.y.mean()))
    low, high = np.full(tau2.shape, -np.inf), np.full(tau2.shape, np.inf)
    longest = 4 * unit
    for _ in range(_STEPS):
        at = _evaluate(of, mean, tau2)
        up = at.slope > 0
        low, high = np.where(up, mean, low), np.where(up, high, mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.clip(-at.slope / at.curvature, -longest, longest)
        step = np.where(np.isfinite(step), step, np.where(up, longest, -longest))
        longest = np.where(np.abs(step) >= longest, 2 * longest, longest)
        new = mean + step
        outside = (new <= low) | (new >= high)
        new = np.where(outside & np.isfinite(low + high), (low + high) / 2, new)
        moved, mean = np.abs(new - mean), new
        if (moved <= _TOLERANCE * (unit + np.abs(mean))).all():
            break
    return mean


def _grid(of: Truncated, mean: FloatArray) -> FloatArray:
    """Values of tau2 for each mean, (m, n): 0, then even in the logarithm, as far as the ridge needs."""
    spread = float(np.ptp(of.y)) ** 2 + float(of.v.max()) + float(np.abs(of.y - of.cut).max()) ** 2
    away = np.abs(mean - of.cut.mean())
    top = _LARGEST * spread + 10 * away * (np.sqrt(spread) + away)
    low = np.log(_LOWEST * float(of.v.min()))
    share = np.linspace(0.0, 1.0, _GRID)[:, None]
    return np.concatenate([np.zeros((1, mean.size)), np.exp(low + share * (np.log(top) - low))])


def _highest(
    grid: FloatArray, values: FloatArray, slopes: FloatArray,
    climb: Callable[[FloatArray, npt.NDArray[np.intp]], FloatArray],
) -> tuple[FloatArray, npt.NDArray[np.intp]]:  # fmt: skip
    """Every local maximum along axis 0 of a grid, refined: places, and to which column each belongs.

    `climb` gives the slope at tau2 of shape (r,) for columns of shape (r,).
    """
    cell, column = np.nonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    a, b = grid[cell, column], grid[cell + 1, column]
    inner = bracketed_root(
        lambda t: climb(t, column), a, b, slopes[cell, column], slopes[cell + 1, column], tolerance=1e-14
    )
    every = np.arange(grid.shape[1])
    ends = grid[np.argmax(values, axis=0), every]
    return np.concatenate([inner, ends]), np.concatenate([column, every])


def _profile_tau2(of: Truncated, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For each mean, (n,), the tau2 of the highest likelihood, and the likelihood."""
    grid = _grid(of, mean)
    flat = _evaluate(of, np.tile(mean, grid.shape[0]), grid.ravel())
    values, slopes = flat.loglik.reshape(grid.shape), flat.by_tau2.reshape(grid.shape)
    places, column = _highest(grid, values, slopes, lambda t, c: _evaluate(of, mean[c], t).by_tau2)
    return _pick(places, column, _evaluate(of, mean[column], places).loglik, mean.size)


def _pick(
    places: FloatArray, column: npt.NDArray[np.intp], heights: FloatArray, n: int
) -> tuple[FloatArray, FloatArray]:
    """The highest place of each column."""
    order = np.lexsort((heights, column))
    last = np.searchsorted(column[order], np.arange(n), side="right") - 1
    return places[order][last], heights[order][last]


def fit_p_uniform(of: Truncated) -> PUniformFit:
    """Maximum likelihood of mean and tau2 (van Aert & van Assen)."""
    grid = _grid(of, np.array([float(of.y.mean())]))
    means = _best_mean(of, grid[:, 0])
    at = _evaluate(of, means, grid[:, 0])

    def climb(t: FloatArray, _: npt.NDArray[np.intp]) -> FloatArray:
        return _evaluate(of, _best_mean(of, t), t).by_tau2

    places, _ = _highest(grid, at.loglik[:, None], at.by_tau2[:, None], climb)
    best = _best_mean(of, places)
    heights = _evaluate(of, best, places).loglik
    top = int(np.argmax(heights))
    null, null_height = _profile_tau2(of, np.zeros(1))
    ridge = of.ridge()
    null_at = (float(null_height[0]), float(null[0]), float(at.loglik[0]))
    if ridge > heights[top]:
        return PUniformFit(-np.inf * float(of.side[0]), np.inf, ridge, *null_at)
    return PUniformFit(float(best[top]), float(places[top]), float(heights[top]), *null_at)


def profile_limits(of: Truncated, fit: PUniformFit, level: float) -> tuple[float, float, float, float]:
    """Where the profile log-likelihood is chi2(1)/2 below its maximum: limits of the mean and of tau2.

    Infinite where it never falls so far; those of tau2 are 0 at least.
    """
    height = fit.loglik - float(chdtri(1.0, 1 - level)) / 2
    unit = float(np.sqrt(of.v.max() + np.var(of.y)))
    open_side = float(of.side[0]) if of.ridge() > height else 0.0

    def of_mean(x: float) -> float:
        return float(_profile_tau2(of, np.array([x * unit]))[1][0]) - height

    def of_tau2(x: float) -> float:
        t = np.array([unit**2 * np.expm1(x)])
        return float(_evaluate(of, _best_mean(of, t), t).loglik[0]) - height

    start = fit.mean / unit if np.isfinite(fit.mean) else _inside(of_mean, float(of.y.mean()) / unit, -open_side)
    low = -np.inf if open_side > 0 else _limit(of_mean, start, -1.0)
    high = np.inf if open_side < 0 else _limit(of_mean, start, 1.0)
    top = float(np.log1p(fit.tau2 / unit**2)) if np.isfinite(fit.tau2) else _inside(of_tau2, 0.0, 1.0, _WIDER_LOG)
    tau2_low = 0.0 if of_tau2(0.0) >= 0 else _root(of_tau2, 0.0, top)
    tau2_high = np.inf if open_side else _limit(of_tau2, top, 1.0, _WIDER_LOG)
    return low * unit, high * unit, unit**2 * float(np.expm1(tau2_low)), unit**2 * float(np.expm1(tau2_high))


def _inside(excess: Callable[[float], float], start: float, sign: float, doublings: int = _WIDER) -> float:
    """A point on the way to infinity at which the profile is high enough, or the last one."""
    tried = (start, *(start + sign * 2.0**i for i in range(doublings)))
    return next((x for x in tried if excess(x) >= 0), tried[-1])


def _limit(excess: Callable[[float], float], start: float, sign: float, doublings: int = _WIDER) -> float:
    """First crossing on the way from an inner point; infinite if none is found."""
    inner = start
    for i in range(doublings):
        outer = start + sign * 2.0**i
        if excess(outer) < 0:
            return _root(excess, inner, outer)
        inner = outer
    return sign * np.inf


def _root(excess: Callable[[float], float], a: float, b: float) -> float:
    ends = np.array([a]), np.array([b])
    values = [np.array([excess(x)]) for x in (a, b)]
    return float(bracketed_root(lambda x: np.array([excess(float(x[0]))]), *ends, *values, tolerance=_CLOSE)[0])
