"""Weighted means and the sums that every estimator needs, for data laid studies first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Data", "FloatArray", "Score", "arrange", "dot", "q_statistic", "score", "score_one", "weighted_mean"]

FloatArray = npt.NDArray[np.float64]


class Data(NamedTuple):
    """Studies first, shape (k, ...): an absent study has y = 0 and v = inf, so that its weight is 0."""

    y: FloatArray
    v: FloatArray
    v0: FloatArray
    """v with 0 for absent studies, for sums of variances."""
    here: npt.NDArray[np.float64] | None
    """1 for a present study and 0 for an absent one; None when all are present."""
    k: FloatArray
    """Number of present studies, shape (...)."""

    @classmethod
    def of_one(cls, y: FloatArray, v: FloatArray) -> Data:
        """One meta-analysis of k present studies, shape (k,)."""
        return cls(y, v, v, None, np.array(float(y.shape[0])))

    def column(self) -> Data:
        """The same as a batch of one, shape (k, 1)."""
        return Data(self.y[:, None], self.v[:, None], self.v0[:, None], None, self.k[None])

    def take(self, index: npt.NDArray[np.intp]) -> Data:
        """The meta-analyses of `index`, for two-dimensional data."""
        here = None if self.here is None else self.here[:, index]
        return Data(self.y[:, index], self.v[:, index], self.v0[:, index], here, self.k[index])


def arrange(yi: npt.ArrayLike, vi: npt.ArrayLike) -> Data:
    """Lay arrays of shape (..., k), NaN where a study is absent, studies first."""
    y, v = (np.moveaxis(np.asarray(a, dtype=np.float64), -1, 0) for a in (yi, vi))
    if y.ndim > 1:
        y, v = np.ascontiguousarray(y), np.ascontiguousarray(v)
    absent = np.isnan(y) | np.isnan(v)
    if not absent.any():
        return Data(y, v, v, None, np.full(y.shape[1:], float(y.shape[0])))
    here = np.where(absent, 0.0, 1.0)
    v0 = np.where(absent, 0.0, v)
    return Data(np.where(absent, 0.0, y), np.where(absent, np.inf, v), v0, here, here.sum(axis=0))


def dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum over studies of a b."""
    if a.ndim == 1 and b.ndim == 1:
        return a @ b
    return np.einsum("k...,k...->...", a, b)  # type: ignore[no-any-return]


def weighted_mean(y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted mean over studies and the sum of weights."""
    total = w.sum(axis=0)
    return dot(w, y) / total, total


def q_statistic(y: FloatArray, v: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Generalised Q at tau2 = t, Q(t) = sum w (y - mu)^2 with w = 1/(v + t), and minus its derivative."""
    w = 1 / (v + t)
    mean, _ = weighted_mean(y, w)
    r = y - mean
    e = w * r
    return dot(e, r), dot(e, e)


class Score(NamedTuple):
    """Pieces of the score of tau2, with P the residual projection V^-1 - V^-1 1 (1'V^-1 1)^-1 1'V^-1 at tau2 = t.

    The score is (a - b)/2. All four fall as t grows, because P does: this gives bounds on the score between two points.
    """

    a: FloatArray
    """y'PPy."""
    b: FloatArray
    """Restricted: trace of P. Full: trace of V^-1."""
    c: FloatArray
    """y'PPPy, so that da/dt = -2c."""
    d: FloatArray
    """Minus the derivative of b."""


def score_one(y: FloatArray, v: FloatArray, ones: FloatArray, t: float, restricted: bool) -> tuple[float, ...]:
    """As `score`, for one data set and one t, in as few calls as there are sums."""
    w = 1 / (v + t)
    s1 = w.dot(ones)
    e = w * (y - w.dot(y) / s1)
    weighted, moment = w * e, w.dot(e)
    a, c, s2 = e.dot(e), weighted.dot(e) - moment * moment / s1, w.dot(w)
    if not restricted:
        return float(a), float(s1), float(c), float(s2)
    ratio = s2 / s1
    return float(a), float(s1 - ratio), float(c), float(s2 - 2 * (w * w).dot(w) / s1 + ratio * ratio)


def score(y: FloatArray, v: FloatArray, t: FloatArray | float, *, restricted: bool) -> Score:
    """Score of tau2 in the profile likelihood (full) or the restricted likelihood, in O(k)."""
    w = v + t
    w = np.divide(1.0, w, out=w)  # in place: new memory for every product would take most of the time
    mean, s1 = weighted_mean(y, w)
    e = y - mean
    e *= w
    product = w * e
    moment = dot(w, e)
    a, c = dot(e, e), dot(product, e) - moment * moment / s1
    s2 = dot(w, w)
    if not restricted:
        return Score(a, s1, c, s2)
    ratio = s2 / s1
    return Score(a, s1 - ratio, c, s2 - 2 * dot(np.multiply(w, w, out=product), w) / s1 + ratio * ratio)
