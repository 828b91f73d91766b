"""The linear model with known sampling variances and one between-study variance: fits for many data sets at once.

Arrays lead with the data sets: y and v are (..., k), the design x is (..., k, p), tau2 is (...); the estimators take
one leading dimension. With
w = 1/(v + tau2) the weighted design is factored, sqrt(w) x = Q R, so that columns as unequal as an intercept and a
year lose no digits. P is the residual projection W - W x (x'W x)^-1 x'W throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.profile import profile_region
from metaan.core.roots import bracketed_root

__all__ = ["ESTIMATORS", "Design", "Fit", "at", "log_likelihood", "profile_limits", "q_limits", "trace"]

FloatArray = npt.NDArray[np.float64]
_CELLS: Final = 160


class Design(NamedTuple):
    """Data of the model."""

    y: FloatArray
    v: FloatArray
    x: FloatArray

    @property
    def df(self) -> int:
        """Residual degrees of freedom, k - p."""
        return int(self.x.shape[-2] - self.x.shape[-1])


class Fit(NamedTuple):
    """The model at a given tau2: arrays of shape (..., k), (..., p) and (..., k, p)."""

    w: FloatArray
    q: FloatArray
    """Orthonormal columns of the weighted design."""
    r: FloatArray
    """Triangular factor, (..., p, p)."""
    residual: FloatArray
    """Weighted: sqrt(w) (y - fitted)."""
    beta: FloatArray

    @property
    def Q(self) -> FloatArray:
        """Residual sum of squares y'Py."""
        return np.asarray((self.residual**2).sum(axis=-1))

    @property
    def cov(self) -> FloatArray:
        """(x'W x)^-1."""
        inverse = np.linalg.inv(self.r)
        return np.asarray(inverse @ np.swapaxes(inverse, -1, -2))


def at(data: Design, tau2: FloatArray | float) -> Fit:
    """Weighted least squares at tau2, of a shape that broadcasts with the data sets."""
    w = 1 / (data.v + np.asarray(tau2)[..., None])
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[..., None] * data.x)
    z = root * data.y
    projected = np.einsum("...kp,...k->...p", q, z)
    residual = z - np.einsum("...kp,...p->...k", q, projected)
    return Fit(w, q, r, residual, np.linalg.solve(r, projected[..., None])[..., 0])


def trace(fit: Fit, a: FloatArray | None = None) -> FloatArray:
    """tr(P diag(a)), a = 1 by default."""
    free = fit.w * (1 - (fit.q**2).sum(axis=-1))
    return np.asarray(free.sum(axis=-1) if a is None else (free * a).sum(axis=-1))


def log_likelihood(data: Design, tau2: FloatArray | float, *, restricted: bool) -> FloatArray:
    """(Restricted) log-likelihood at tau2, all constants included; the restricted one as in Harville 1974."""
    fit = at(data, tau2)
    k, df = data.x.shape[-2], data.df
    deviance = -np.log(fit.w).sum(axis=-1) + fit.Q
    if not restricted:
        return np.asarray(-(k * np.log(2 * np.pi) + deviance) / 2)
    plain = 2 * np.log(np.abs(np.diagonal(np.linalg.qr(data.x, mode="r"), axis1=-2, axis2=-1))).sum(axis=-1)
    weighted = 2 * np.log(np.abs(np.diagonal(fit.r, axis1=-2, axis2=-1))).sum(axis=-1)
    return np.asarray(-(df * np.log(2 * np.pi) - plain + deviance + weighted) / 2)


def _by_weights(data: Design, weights: FloatArray) -> FloatArray:
    """Generalised Q with fixed weights equals its expectation (DerSimonian & Kacker 2007)."""
    fit = at(Design(data.y, 1 / weights, data.x), 0.0)
    return np.asarray((fit.Q - trace(fit, data.v)) / trace(fit))


def _hunter_schmidt(data: Design, factor: float) -> FloatArray:
    fit = at(data, 0.0)
    return np.asarray((factor * fit.Q - data.y.shape[-1]) / fit.w.sum(axis=-1))


def _sidik_jonkman(data: Design) -> FloatArray:
    start = data.y.var(axis=-1)
    return np.asarray(np.where(start > 0, start * at(data, np.where(start > 0, start, 1.0)).Q / data.df, 0.0))


def _largest(data: Design) -> FloatArray:
    """A tau2 above every root: the score is negative and Q below the residual degrees of freedom from there on."""
    s2 = at(Design(data.y, np.ones_like(data.v), data.x), 0.0).Q / data.df
    return np.asarray((s2 + np.sqrt(s2**2 + 4 * s2 * data.v.max(axis=-1))) / 2)


def _q_root(data: Design, target: FloatArray | float) -> FloatArray:
    """Solve Q(tau2) = target for tau2 >= 0; Q falls as tau2 grows."""

    def excess(t: FloatArray) -> FloatArray:
        return np.asarray(at(data, t).Q - target)

    low = np.zeros(data.y.shape[:-1])
    high, f_low = np.maximum(_largest(data), data.v.min(axis=-1)), excess(low)
    while (excess(high) > 0).any():
        high = np.where(excess(high) > 0, 2 * high, high)
    return np.where(f_low <= 0, 0.0, bracketed_root(excess, low, high, f_low, excess(high)))


def _maximum(data: Design, *, restricted: bool) -> FloatArray:
    """tau2 of the highest likelihood among 0 and every root of the score on a grid in log(1 + tau2/v)."""
    shape = data.y.shape[:-1]
    wide = Design(data.y[..., None, :], data.v[..., None, :], data.x[..., None, :, :])
    scale = data.v.min(axis=-1)[..., None]
    steps = np.linspace(0.0, 1.0, _CELLS + 1) * np.log1p(_largest(data)[..., None] / scale)
    grid = scale * np.expm1(steps)

    def score(t: FloatArray, of: Design) -> FloatArray:
        fit = at(of, t)
        b = trace(fit) if restricted else fit.w.sum(axis=-1)
        return np.asarray((fit.w * fit.residual**2).sum(axis=-1) - b)

    slope = score(grid, wide)
    owner, cell = np.nonzero((slope[:, :-1] > 0) & (slope[:, 1:] <= 0))
    best = np.zeros(shape)
    if len(owner) == 0:
        return best
    part = Design(data.y[owner], data.v[owner], data.x[owner])
    root = bracketed_root(
        lambda t: score(t, part), grid[owner, cell], grid[owner, cell + 1], slope[owner, cell], slope[owner, cell + 1]
    )
    height = log_likelihood(part, root, restricted=restricted)
    top = log_likelihood(data, best, restricted=restricted)
    for i in np.argsort(height):
        if height[i] >= top[owner[i]]:
            top[owner[i]], best[owner[i]] = height[i], root[i]
    return best


ESTIMATORS: Final[dict[str, Callable[[Design], FloatArray]]] = {
    "CE": lambda data: np.zeros(data.y.shape[:-1]),
    "DL": lambda data: _by_weights(data, 1 / data.v),
    "HE": lambda data: _by_weights(data, np.ones_like(data.v)),
    "HS": lambda data: _hunter_schmidt(data, 1.0),
    "HSk": lambda data: _hunter_schmidt(data, data.y.shape[-1] / data.df),
    "SJ": _sidik_jonkman,
    "ML": lambda data: _maximum(data, restricted=False),
    "REML": lambda data: _maximum(data, restricted=True),
    "PMM": lambda data: _q_root(data, float(chdtri(data.df, 0.5))),
    **dict.fromkeys(("PM", "EB", "DLIT", "SJIT"), lambda data: _q_root(data, float(data.df))),
}
"""Estimators of tau2 for data sets in one leading dimension; negative values are for the caller to truncate.

The empirical Bayes estimator, and the iterated ones, have Q(tau2) = k - p as their fixed point, as Paule-Mandel.
"""


def q_limits(data: Design, level: float) -> tuple[FloatArray, FloatArray]:
    """Viechtbauer 2007: where Q(tau2) equals the quantiles of chi2(k - p)."""
    low, high = (_q_root(data, float(chdtri(data.df, tail))) for tail in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def profile_limits(data: Design, level: float, *, restricted: bool) -> tuple[FloatArray, FloatArray]:
    """Where the (restricted) log-likelihood is chi2(1)/2 below its maximum."""
    return profile_region(
        lambda t: log_likelihood(data, t, restricted=restricted), _maximum(data, restricted=restricted),
        data.v.min(axis=-1), _largest(data), level,
    )  # fmt: skip
