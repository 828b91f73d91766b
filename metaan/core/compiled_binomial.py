"""Compiled by numba: integrals of binomial counts with a normal effect on the logit (`binomial`, `quadrature`)."""

from __future__ import annotations

import math

import numpy as np

from metaan.core import quadrature
from metaan.core.compiled import compiled
from metaan.core.wls import FloatArray

__all__ = ["by_study", "edges", "mode"]

_ROOT = math.log(2 * math.pi) / 2
_MODE_STEPS, _EDGE_STEPS = quadrature.MODE_STEPS, quadrature.EDGE_STEPS
_DROP, _FARTHEST, _LEVEL = quadrature.DROP, quadrature.FARTHEST, quadrature.LEVEL


@compiled
def by_study(
    x: FloatArray, N: FloatArray, mu: FloatArray, tau: FloatArray, origin: FloatArray, scale: FloatArray,
    z: FloatArray, log_w: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """As `metaan.core.binomial.by_study`, but with second moments where that has second derivatives.

    Parameters
    ----------
    x, N : array of shape (k, n)
    mu : array of shape (1, n) or (k, n)
    tau : array of shape (n,)
    origin, scale : array of shape (k, n)
    z, log_w : array of shape (nodes,)
    out : array of shape (7, k, n)
        Filled.
    """
    k, n = x.shape
    nodes = z.size
    work = np.empty((3, max(nodes, 64)))  # at a fixed distance: see `metaan.core.compiled_tau2._room`
    height, score, noise = work[0], work[1], work[2]
    for i in range(k):
        row = i if mu.shape[0] > 1 else 0
        for j in range(n):
            hit, size, m, t, low, h = x[i, j], N[i, j], mu[row, j], tau[j], origin[i, j], scale[i, j]
            top = -np.inf
            for q in range(nodes):
                u = low + h * z[q]
                eta = m + t * u
                e = math.exp(-abs(eta))
                mean = size * e / (1 + e)
                fewer = size - hit if eta >= 0 else hit
                height[q] = -fewer * abs(eta) - size * math.log(1 + e) - u * u / 2 + log_w[q]
                score[q] = mean - fewer if eta >= 0 else fewer - mean
                noise[q] = mean / (1 + e)
                top = max(top, height[q])
            total, coarse, s1, s2, a0, a1, a2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for q in range(nodes):
                u = low + h * z[q]
                w = math.exp(height[q] - top)
                ws = w * score[q]
                wa = w * (score[q] * score[q] - noise[q])
                total += w
                coarse += w * (1 - q % 2)
                s1 += ws
                s2 += u * ws
                a0 += wa
                a1 += u * wa
                a2 += u * u * wa
            out[0, i, j] = top + math.log(total) + math.log(h) - _ROOT
            out[1, i, j] = s1 / total
            out[2, i, j] = s2 / total
            out[3, i, j] = a0 / total
            out[4, i, j] = a1 / total
            out[5, i, j] = a2 / total
            out[6, i, j] = abs(2 * coarse / total - 1)


@compiled
def mode(
    x: FloatArray, N: FloatArray, logit: FloatArray, variance: FloatArray, mu: FloatArray, tau: FloatArray,
    tolerance: float, u: FloatArray, sd: FloatArray,
) -> None:  # fmt: skip
    """As `metaan.core.quadrature.mode`; u and sd of shape (k, n) are filled."""
    k, n = x.shape
    for i in range(k):
        row = i if mu.shape[0] > 1 else 0
        for j in range(n):
            m, t = mu[row, j], tau[j]
            at = t * (logit[i, j] - m) / (t * t + variance[i, j])
            longest = 2 / max(t, 1e-3)
            curvature = 1.0
            for _ in range(_MODE_STEPS):
                eta = m + t * at
                e = math.exp(-abs(eta))
                p = (1.0 if eta >= 0 else e) / (1 + e)
                curvature = 1 + t * t * N[i, j] * e / ((1 + e) * (1 + e))
                step = (t * (x[i, j] - N[i, j] * p) - at) / curvature
                step = min(max(step, -longest), longest)
                at += step
                if step * step * curvature < tolerance * tolerance:
                    break
            u[i, j] = at
            sd[i, j] = 1 / math.sqrt(curvature)


@compiled
def _value(x: float, N: float, eta: float) -> tuple[float, float]:
    """Log-likelihood of a count and its slope."""
    e = math.exp(-abs(eta))
    mean = N * e / (1 + e)
    if eta >= 0:
        return (x - N) * eta - N * math.log(1 + e), mean - (N - x)
    return x * eta - N * math.log(1 + e), x - mean


@compiled
def edges(
    x: FloatArray, N: FloatArray, mu: FloatArray, tau: FloatArray, u: FloatArray, sd: FloatArray,
    left: FloatArray, right: FloatArray,
) -> None:  # fmt: skip
    """As `metaan.core.quadrature._edges`; left and right of shape (k, n) are filled."""
    k, n = x.shape
    for i in range(k):
        row = i if mu.shape[0] > 1 else 0
        for j in range(n):
            m, t, at = mu[row, j], tau[j], u[i, j]
            top = _value(x[i, j], N[i, j], m + t * at)[0] - at * at / 2
            for side in (-1.0, 1.0):
                distance = sd[i, j] * math.sqrt(2 * _DROP)
                for _ in range(_EDGE_STEPS):
                    here = at + side * distance
                    value, score = _value(x[i, j], N[i, j], m + t * here)
                    slope = max(side * (here - t * score), _LEVEL)
                    distance -= (top - value + here * here / 2 - _DROP) / slope
                    distance = min(max(distance, sd[i, j]), _FARTHEST)
                if side < 0:
                    left[i, j] = distance
                else:
                    right[i, j] = distance
