"""Pooled effects of one meta-analysis whose effects are given other signs: what a permutation test compares with.

Signs change neither the variances nor the squares of the effects. With fixed weights a the mean is therefore linear in
the signs and the weighted sum of squares about it is sum a y^2 - (sum a s y)^2/sum a: the estimators of tau2 without a
search need no more than products of the signs with vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from metaan.core.inference import TESTS, pieces
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data, FloatArray, dot

__all__ = ["sign_statistics"]

SignArray = npt.NDArray[np.int8]

_ROOM: Final = 60_000  # effects with signs at a time: arrays stay in the processor's cache
_SEARCHED: Final = 12_000  # the same of estimators that search, which have more arrays
_LEFT: Final = 0.01  # of the sum of squares about 0: what is left about the mean has lost two digits
_EQUAL: Final = 1e-28  # of the sum of squares about 0: the effects are equal but for rounding


def sign_statistics(
    y: FloatArray, v: FloatArray, signs: SignArray, *, method: str, test: str, weights: FloatArray | None = None
) -> FloatArray:
    """Statistics of the pooled effect with each column of signs.

    Parameters
    ----------
    y, v : array of shape (k,)
        Effects and sampling variances.
    signs : array of int8, shape (k, n)
    method : str
        A key of `metaan.core.tau2.ESTIMATORS`.
    test : {"z", "t", "hk", "hk-adhoc"}
    weights : array of shape (k,), optional
        Weights of GENQ.

    Returns
    -------
    array of shape (n,)
        Estimate over standard error.
    """
    closed = y.size > 1 and method in _CLOSED
    width = max(1, (_ROOM if closed else _SEARCHED) // y.size)
    parts = (signs[:, i : i + width] for i in range(0, signs.shape[1], width))
    if closed:
        return np.concatenate([_Turned(y, v, part).statistic(method, test, weights) for part in parts])
    return np.concatenate([_searched(y, v, part, method, test, weights) for part in parts])


def _searched(
    y: FloatArray, v: FloatArray, signs: SignArray, method: str, test: str, weights: FloatArray | None
) -> FloatArray:
    """By the estimator of tau2 for any data."""
    n = signs.shape[1]
    wide = np.repeat(v[:, None], n, axis=1)
    data = Data(signs * y[:, None], wide, wide, None, np.full(n, float(y.size)))
    a = None if weights is None else weights[:, None]
    at = pieces(data, ESTIMATORS[method](data, a).tau2, a)
    variance = at.variance if y.size == 1 else TESTS[test](data, at).variance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(at.mu / np.sqrt(variance))


class _Turned:
    """Effects with each of n columns of signs."""

    def __init__(self, y: FloatArray, v: FloatArray, signs: SignArray) -> None:
        self.v, self.squares, self.df = v, y * y, y.size - 1.0
        self.y = signs * y[:, None]

    def statistic(self, method: str, test: str, weights: FloatArray | None) -> FloatArray:
        """Estimate over standard error, (n,)."""
        t = np.maximum(_CLOSED[method](self, weights), 0.0)
        w = 1 / self.v if method == "CE" else self.weights(t)
        if weights is None:
            total = w.sum(axis=0)
            mu, variance = self.sums(w) / total, 1 / total
        else:
            share = weights / weights.sum()
            mu, variance = share @ self.y, share * share @ self.v + share @ share * t
        if test in ("hk", "hk-adhoc"):
            factor = self.q(w) / self.df
            variance = variance * (factor if test == "hk" else np.maximum(factor, 1.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(mu / np.sqrt(variance))

    def weights(self, t: FloatArray) -> FloatArray:
        """1/(v + t), (k, n)."""
        w = self.v[:, None] + t
        return np.divide(1.0, w, out=w)

    def sums(self, w: FloatArray) -> FloatArray:
        """Weighted sums of the effects; weights of shape (k,) or (k, n)."""
        return np.asarray(w @ self.y) if w.ndim == 1 else dot(w, self.y)

    def q(self, w: FloatArray) -> FloatArray:
        """Weighted sums of squares about the weighted means; from the deviations where a difference loses digits."""
        about_0, sums, total = self.squares @ w, self.sums(w), w.sum(axis=0)
        q = np.asarray(about_0 - sums * sums / total)
        few = np.flatnonzero(q < _LEFT * about_0)
        if few.size:
            own, y = w[:, None] if w.ndim == 1 else w[:, few], self.y[:, few]
            r = y - (own * y).sum(axis=0) / own.sum(axis=0)
            exact = (own * r * r).sum(axis=0)
            q[few] = np.where(exact > _EQUAL * (about_0 if w.ndim == 1 else about_0[few]), exact, 0.0)
        return q


def _by_weights(of: _Turned, a: FloatArray) -> FloatArray:
    """DerSimonian & Kacker 2007, eq. 6; see `metaan.core.tau2.generalised`."""
    total, squared = a.sum(), a * a
    expected, trace = a @ of.v - squared @ of.v / total, total - squared.sum() / total
    return np.asarray((of.q(a) - expected) / trace) if trace > 0 else np.zeros(1)


def _given(of: _Turned, a: FloatArray | None) -> FloatArray:
    assert a is not None
    return _by_weights(of, a)


def _hunter_schmidt(of: _Turned, factor: float) -> FloatArray:
    w = 1 / of.v
    return np.asarray((factor * of.q(w) - of.v.size) / w.sum())


def _sidik_jonkman(of: _Turned) -> FloatArray:
    start = of.q(np.ones_like(of.v)) / of.v.size
    return np.asarray(start * of.q(of.weights(start)) / of.df)


_CLOSED: Final[dict[str, Callable[[_Turned, FloatArray | None], FloatArray]]] = {
    "CE": lambda of, a: np.zeros(1),
    "DL": lambda of, a: _by_weights(of, 1 / of.v),
    "HE": lambda of, a: _by_weights(of, np.ones_like(of.v)),
    "HS": lambda of, a: _hunter_schmidt(of, 1.0),
    "HSk": lambda of, a: _hunter_schmidt(of, of.v.size / of.df),
    "SJ": lambda of, a: _sidik_jonkman(of),
    "GENQ": _given,
}
"""tau2 of the estimators without a search, not yet truncated at 0."""
