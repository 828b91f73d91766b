"""Bracketed roots of many functions at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from metaan.core.wls import FloatArray

__all__ = ["bracketed_root"]

_STEPS: Final = 120
_EPS: Final = float(np.finfo(np.float64).eps)


def bracketed_root(
    function: Callable[[FloatArray], FloatArray], a: FloatArray, b: FloatArray, fa: FloatArray, fb: FloatArray,
    *, tolerance: float = 2 * _EPS,
) -> FloatArray:  # fmt: skip
    """Root between a and b for each element, by bisection or inverse quadratic steps.

    Chandrupatla 1997, Adv Eng Softw 28:145.

    Parameters
    ----------
    function : callable
        Maps an array of shape (n,) to an array of shape (n,), element by element.
    a, b, fa, fb : array of shape (n,)
        Ends of the brackets and the function there, of opposite signs. An element whose signs agree returns `a`.
    tolerance : float
        Relative width of the final bracket.

    Returns
    -------
    array of shape (n,)
    """
    start = a.copy()
    valid = np.sign(fa) * np.sign(fb) <= 0
    a, b, fa, fb = a.copy(), b.copy(), fa.copy(), fb.copy()
    c, fc, t = a.copy(), fa.copy(), np.full_like(a, 0.5)
    for _ in range(_STEPS):
        x = a + t * (b - a)
        fx = function(x)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        width = np.abs(b - a)
        limit = (tolerance * np.abs(best) + 1e-300) / np.maximum(width, 1e-300)
        done = (limit > 0.5) | (fa == 0) | (fb == 0) | ~valid
        if done.all():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            quadratic = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            step = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = np.where(quadratic & np.isfinite(step), step, 0.5)
        t = np.clip(t, np.minimum(limit, 0.5), np.maximum(1 - limit, 0.5))
    return np.where(valid, np.where(np.abs(fa) < np.abs(fb), a, b), start)
