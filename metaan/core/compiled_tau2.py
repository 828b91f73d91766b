"""Compiled by numba: iterated estimators of tau2 and the sums that inference draws on, one data set after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metaan.core import proof
from metaan.core.cells import STEPS, TOLERANCE
from metaan.core.compiled import compiled
from metaan.core.secular import Q_STEPS

__all__ = ["first_maxima", "q_roots", "sums"]

_EPS = float(np.finfo(np.float64).eps)
_MARCH, _SHORTER, _STRIDE = proof.MARCH, proof.SHORTER, proof.STRIDE
_below, _within, _beyond = compiled(proof.one_below), compiled(proof.one_within), compiled(proof.one_beyond)
_curves, _step = compiled(proof.one_curves), compiled(proof.one_step)


@compiled
def _score(y: Any, v: Any, weights: Any, k: int, t: float, restricted: bool) -> Any:
    """As `metaan.core.wls.score`."""
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    sy = 0.0
    for i in range(k):
        w = 1 / (v[i] + t)
        weights[i] = w
        s1 += w
        sy += w * y[i]
        s2 += w * w
        s3 += w * w * w
    mean = sy / s1
    a = 0.0
    c = 0.0
    moment = 0.0
    for i in range(k):
        w = weights[i]
        e = w * (y[i] - mean)
        a += e * e
        moment += w * e
        c += w * e * e
    c -= moment * moment / s1
    if not restricted:
        return a, s1, c, s2
    ratio = s2 / s1
    return a, s1 - ratio, c, s2 - 2 * s3 / s1 + ratio * ratio


@compiled
def _alone(
    y: Any, v: Any, weights: Any, k: int, restricted: bool, t: float, zero: Any, here: Any, up: bool, spread: float
) -> bool:
    """As `metaan.core.maximum._alone_one`."""
    if spread == 0:
        return False
    flat = 1 / math.sqrt(spread)
    a, a_slope, b, b_slope = _curves(here[0], here[1], here[2], here[3])
    if up:
        a0, a0_slope, b0, _ = _curves(zero[0], zero[1], zero[2], zero[3])
        if not _below(t, a0, a0_slope, b0, a, a_slope, b):
            return False
    root = up
    shut = _beyond(a, b, b_slope, flat, root)
    stride = _STRIDE
    for _ in range(_MARCH):
        if shut:
            break
        width = stride * a / a_slope
        at = _score(y, v, weights, k, t + width, restricted)
        high_a, high_a_slope, high_b, high_b_slope = _curves(at[0], at[1], at[2], at[3])
        if _within(width, a, b, b_slope, high_a, high_b, high_b_slope, root):
            t += width
            a, a_slope, b, b_slope, root, stride = high_a, high_a_slope, high_b, high_b_slope, False, _STRIDE
            shut = _beyond(a, b, b_slope, flat, root)
        else:
            stride *= _SHORTER
    return shut


@compiled
def _room(rows: int) -> Any:
    """Three arrays at a fixed distance: whether a loop is taken in vectors, and so the last digit, may hang on it."""
    work = np.empty((3, max(rows, 64)))
    return work[0], work[1], work[2]


@compiled
def _present(ys: Any, vs: Any, j: int, y: Any, v: Any) -> int:
    """Copy the studies of one data set that are there; how many there are."""
    k = 0
    for i in range(ys.shape[0]):
        if vs[i, j] < np.inf:
            y[k], v[k] = ys[i, j], vs[i, j]
            k += 1
    return k


@compiled
def first_maxima(ys: Any, vs: Any, restricted: bool, tau2: Any, steps: Any, alone: Any) -> None:
    """First stationary point of each data set, and whether it is known to be the only one.

    Parameters
    ----------
    ys, vs : array of shape (k, n)
        Data, studies first; v = inf for an absent study.
    restricted : bool
    tau2, steps, alone : array of shape (n,)
        Filled.
    """
    rows, n = ys.shape
    y, v, weights = _room(rows)
    for j in range(n):
        k = _present(ys, vs, j, y, v)
        mean, smallest, spread = 0.0, np.inf, 0.0
        for i in range(k):
            mean += y[i] / k
            smallest = min(smallest, v[i])
        for i in range(k):
            spread += (y[i] - mean) ** 2
        zero = _score(y, v, weights, k, 0.0, restricted)
        found = zero[0] <= zero[1] or zero[0] == 0
        here = zero
        t = 0.0
        step = 0
        while not found and step < STEPS:
            step += 1
            new = _step(t, here[0], here[1], here[2], here[3])
            found = abs(new - t) <= TOLERANCE * new + 8 * _EPS * smallest
            t = new
            if not t >= 0:
                break
            if not found:
                here = _score(y, v, weights, k, t, restricted)
        tau2[j], steps[j] = t, step
        alone[j] = found and (zero[0] == 0 or _alone(y, v, weights, k, restricted, t, zero, here, step > 0, spread))


@compiled
def q_roots(ys: Any, vs: Any, target: Any, root: Any, steps: Any, done: Any) -> None:
    """As `metaan.core.secular.q_root`, into `root`, `steps` and `done`, shape (n,)."""
    rows, n = ys.shape
    y, v, weights = _room(rows)
    for j in range(n):
        k = _present(ys, vs, j, y, v)
        t, smallest = 0.0, np.inf
        for i in range(k):
            smallest = min(smallest, v[i])
        done[j] = False
        for count in range(1, Q_STEPS + 1):
            total, weighted = 0.0, 0.0
            for i in range(k):
                weights[i] = 1 / (v[i] + t)
                total += weights[i]
                weighted += weights[i] * y[i]
            mean, q, slope = weighted / total, 0.0, 0.0
            for i in range(k):
                e = weights[i] * (y[i] - mean)
                q += e * (y[i] - mean)
                slope += e * e
            new = max(t + q * (q - target[j]) / (target[j] * slope), 0.0) if slope > 0 else t
            close = abs(new - t) <= TOLERANCE * new + _EPS * smallest
            t, steps[j] = new, count
            if close:
                done[j] = True
                break
        root[j] = t


@compiled
def sums(ys: Any, vs: Any, tau2: Any, out: Any, same: Any) -> None:
    """Sums of each data set at its tau2 and at 0.

    Parameters
    ----------
    ys, vs : array of shape (k, n)
    tau2 : array of shape (n,)
    out : array of shape (5, n)
        Filled: pooled mean, its variance, Hartung-Knapp factor, Cochran's Q, typical sampling variance.
    same : array of bool, shape (n,)
        Filled: whether all effects are the same but for rounding.
    """
    rows, n = ys.shape
    y, v, _ = _room(rows)
    for j in range(n):
        k = _present(ys, vs, j, y, v)
        total, weighted, total0, weighted0, low, high = 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf
        for i in range(k):
            w, w0 = 1 / (v[i] + tau2[j]), 1 / v[i]
            total += w
            weighted += w * y[i]
            total0 += w0
            weighted0 += w0 * y[i]
            low, high = min(low, y[i]), max(high, y[i])
        mean, mean0, q, q0, spread = weighted / total, weighted0 / total0, 0.0, 0.0, 0.0
        for i in range(k):
            w, w0 = 1 / (v[i] + tau2[j]), 1 / v[i]
            q += w * (y[i] - mean) ** 2
            q0 += w0 * (y[i] - mean0) ** 2
            spread += w0 * (1 - w0 / total0) if k > 1 else w0
        df = max(k - 1, 1)
        out[0, j], out[1, j], out[2, j], out[3, j], out[4, j] = mean, 1 / total, q / df, q0, df / spread
        same[j] = high - low <= 1e-14 * max(high, -low)
