"""Roots of the generalised Q: the tau2 at which Q(tau2) takes a given value."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from metaan.core.compiled import ENOUGH, wanted
from metaan.core.wls import FloatArray, q_statistic

__all__ = ["Q_STEPS", "q_root"]

Q_STEPS: Final = 100
_TOLERANCE: Final = 1e-7  # of the last step: convergence is quadratic, so what remains is far below 1e-10
_EPS: Final = float(np.finfo(np.float64).eps)


def q_root(
    y: FloatArray, v: FloatArray, target: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Solve Q(t) = target for t >= 0, 0 where Q(0) is already below the target.

    Newton's method on 1/Q. In the eigenbasis of the residual projection Q(t) is a sum of z_j^2/(lambda_j + t), so
    1/Q is concave and rising and the iteration climbs to the root from the left without a bracket (the secular
    equation of Moré & Sorensen 1983, SIAM J Sci Stat Comput 4:553).

    Parameters
    ----------
    y, v : array of shape (k, n)
        Data, studies first.
    target : array of shape (n,)
        Values of Q, > 0.

    Returns
    -------
    root, steps, converged : arrays of shape (n,)
    """
    n = target.shape[0]
    root, steps, done = np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n, dtype=bool)
    if wanted(y.size, ENOUGH):
        from metaan.core.compiled_tau2 import q_roots

        q_roots(y, v, target, root, steps, done)
        return root, steps, done
    active = np.arange(n)
    floor = _EPS / (1 / v).max(axis=0)
    for _ in range(Q_STEPS):
        now = root[active]
        q, slope = q_statistic(y, v, now)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope > 0, q * (q - target[active]) / (target[active] * slope), 0.0)
        new = np.maximum(now + step, 0.0)
        root[active] = new
        steps[active] += 1
        close = np.abs(new - now) <= _TOLERANCE * new + floor
        if close.any():
            done[active[close]] = True
            active, y, v, floor = active[~close], y[:, ~close], v[:, ~close], floor[~close]
            if active.size == 0:
                break
    return root, steps, done
