"""Newton's step uphill from any point, for many functions at once."""

from __future__ import annotations

import numpy as np

from metaan.core.wls import FloatArray

__all__ = ["newton_step"]

_FLAT = 1e-13  # of the largest curvature


def newton_step(gradient: FloatArray, hessian: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Steps, (n, p), with the sign of every eigenvalue turned to that of a maximum, and what they promise.

    The promise, g'step, is twice what a quadratic function would gain.

    Parameters
    ----------
    gradient : array of shape (n, p)
    hessian : array of shape (n, p, p)
    """
    size, axes = np.linalg.eigh(-hessian)
    size = np.abs(size)
    size = np.maximum(size, _FLAT * size.max(axis=1, keepdims=True) + 1e-300)
    along = np.matmul(gradient[:, None], axes)[:, 0]
    step = np.matmul(axes, (along / size)[..., None])[..., 0]
    return np.asarray(step), np.asarray((along * along / size).sum(axis=1))
