"""Functions given by their values at Chebyshev points: integrals, interpolants and antiderivatives.

Points lie in ascending order, -cos(pi j/(n-1)), so that those of n = 2m - 1 contain those of m: the rule of every
second point tells what the finer one is worth. Values lie points first; further axes hold further functions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["antiderivative", "coefficients", "extended", "points", "series", "weights"]

FloatArray = npt.NDArray[np.float64]


@lru_cache(maxsize=16)
def points(n: int) -> FloatArray:
    """The n points in [-1, 1]."""
    t = -np.cos(np.pi * np.arange(n) / (n - 1))
    t.setflags(write=False)
    return t


@lru_cache(maxsize=16)
def weights(n: int) -> FloatArray:
    """Weights of the rule of Clenshaw & Curtis (1960), n odd."""
    m = n - 1
    w: FloatArray = np.fft.irfft(2 / (1 - 4 * np.arange(m // 2 + 1) ** 2), m)
    w = np.r_[w[0] / 2, w[1:], w[0] / 2]
    w.setflags(write=False)
    return w


def coefficients(values: FloatArray) -> FloatArray:
    """Coefficients, shape (n, ...), of the Chebyshev series through values, shape (n, ...)."""
    m = values.shape[0] - 1
    down = values[::-1]
    c = np.fft.rfft(np.concatenate([down, down[-2:0:-1]]), axis=0).real / m
    c[0] /= 2
    c[-1] /= 2
    return np.asarray(c)


def series(c: FloatArray, t: FloatArray) -> FloatArray:
    """Value at t of the series with coefficients c of shape (n, ...), whose further axes broadcast with t."""
    return np.asarray(np.polynomial.chebyshev.chebval(t, c, tensor=False))


def extended(c: FloatArray, t: FloatArray) -> FloatArray:
    """As `series` of a concave function, continued beyond [-1, 1] by the parabola that touches it at the end."""
    inside = np.clip(t, -1, 1)
    value = series(c, inside)
    if (inside == t).all():
        return value
    end, beyond = np.where(t < 0, -1.0, 1.0), t - inside
    slope, bend = (
        np.where(end < 0, *_at_ends(np.asarray(np.polynomial.chebyshev.chebder(c, order)), t.ndim)) for order in (1, 2)
    )
    return np.asarray(value + slope * beyond + np.minimum(bend, 0.0) * beyond**2 / 2)


def _at_ends(c: FloatArray, ndim: int) -> tuple[FloatArray, FloatArray]:
    shape = (1,) * ndim
    return series(c, np.full(shape, -1.0)), series(c, np.full(shape, 1.0))


def antiderivative(c: FloatArray) -> FloatArray:
    """Coefficients of the integral from -1."""
    return np.asarray(np.polynomial.chebyshev.chebint(c, lbnd=-1))
