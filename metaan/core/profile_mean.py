"""Profile likelihood of the mean of the normal random-effects model: tau2 maximised out, with its global maximum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.maximum import search
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray, Score, dot

__all__ = ["mean_limits", "mean_profile"]

_STEPS: Final = 64


class _AboutMean(NamedTuple):
    """Squared distances of k effects from n hypothetical means, (k, n), and their sampling variances, (k, n)."""

    r2: FloatArray
    v: FloatArray

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> _AboutMean:
        return _AboutMean(self.r2[:, index], self.v[:, index])

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        """sum w^2 r^2 less sum w: the mean is known, so that there is nothing to restrict."""
        r2, v = (self.r2, self.v) if t.ndim == 1 else (self.r2[:, None], self.v[:, None])
        w = 1 / (v + t)
        square = w * w
        a = square * r2
        return Score(a.sum(axis=0), w.sum(axis=0), dot(w, a), square.sum(axis=0))

    def spread(self) -> FloatArray:
        return np.asarray(self.r2.sum(axis=0))

    def df(self) -> FloatArray:
        return np.full(self.r2.shape[1], float(len(self.r2)))

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        w = 1 / (self.v + t)
        return np.asarray((np.log(w).sum(axis=0) - dot(w, self.r2) - len(w) * np.log(2 * np.pi)) / 2)


def mean_profile(y: FloatArray, v: FloatArray, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood of each mean, constants included, and the tau2 that maximises it.

    Parameters
    ----------
    y, v : array of shape (k,)
        Effects and sampling variances.
    mu : array of shape (n,)

    Returns
    -------
    loglik, tau2 : array of shape (n,)
    """
    about = _AboutMean((y[:, None] - mu) ** 2, np.broadcast_to(v[:, None], (y.size, mu.size)))
    tau2 = search(about, restricted=False).tau2
    return about.log_likelihood(tau2, restricted=False), tau2


def mean_limits(y: FloatArray, v: FloatArray, peak: float, level: float) -> tuple[float, float]:
    """Outermost means whose profile log-likelihood lies chi2(1)/2 below that of `peak`, where it is highest."""
    drop = mean_profile(y, v, np.array([peak]))[0] - chdtri(1.0, 1 - level) / 2

    def excess(mu: FloatArray) -> FloatArray:
        return np.asarray(mean_profile(y, v, mu)[0] - drop)

    step = float(np.sqrt(1 / (1 / v).sum())) + float(np.ptp(y))
    ends = (float(y.min()), -step), (float(y.max()), step)  # beyond all effects the profile falls outwards
    low, high = (_outermost(excess, peak, *end) for end in ends)
    return low, high


def _outermost(excess: Callable[[FloatArray], FloatArray], peak: float, start: float, step: float) -> float:
    """First crossing on the way from far outside to the peak."""
    outside = np.array([start + step])
    while excess(outside)[0] > 0:
        step *= 2
        outside = np.array([start + step])
    way = np.linspace(outside[0], peak, _STEPS)
    height = excess(way)
    first = int(np.argmax(height >= 0))
    near, far = slice(first, first + 1), slice(first - 1, first)
    return float(bracketed_root(excess, way[far], way[near], height[far], height[near], tolerance=1e-12)[0])
