"""Derivatives of the likelihood of a step function, whose cells are few and in closed form.

The sums are those of core.selection, with the cells of one weight merged before the derivatives are taken: P_a is the
normal probability of weight a, M_ja its j-th Hermite moment, A = sum_a w_a P_a, and dA/dw_a = P_a.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from metaan.core.wls import FloatArray

__all__ = ["StepCells", "step_cells", "step_sums", "step_value"]

_SQRT_2PI: Final = float(np.sqrt(2 * np.pi))


class StepCells(NamedTuple):
    """Cells of a step function for the studies of one data set."""

    ends: FloatArray
    """Between the cells, rising, on the scale of the effects, (k, E)."""
    merge: FloatArray
    """Which cells have which weight, (E + 1, 1 + D)."""
    across: FloatArray
    """From primitives at the ends to moments of the weights, (E, 1 + D)."""
    counts: FloatArray
    """Studies with each weight but the first, (D,)."""


def step_cells(ends: FloatArray, se: FloatArray, sides: int, own: FloatArray) -> StepCells:
    """Lay out the cells.

    Parameters
    ----------
    ends : array of shape (E,)
        In z.
    se : array of shape (k,)
    sides : int
        Of the p-value.
    own : array of shape (D, k)
        Whether a study has each weight but the first.
    """
    weights = own.shape[0]
    last_first = np.arange(weights, -1, -1)
    order = last_first if sides == 1 else np.concatenate([last_first[::-1], last_first[1:]])
    merge = np.eye(weights + 1)[order]
    return StepCells(se[:, None] * ends, merge, merge[:-1] - merge[1:], own.sum(axis=1))


def step_sums(
    cells: StepCells, x: FloatArray, m: FloatArray, s: FloatArray, u: FloatArray, delta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log-likelihood, gradient and Hessian in (beta, tau2, delta) at n points.

    Parameters
    ----------
    cells : StepCells
    x : array of shape (k, p)
    m, s, u : array of shape (n, k)
        Means, standard deviations and standardised effects.
    delta : array of shape (n, D)
    """
    inverse, n, p = 1 / s, s.shape[0], x.shape[1]
    half = inverse * inverse / 2
    edge, probability, weights, total = _layout(cells, m, inverse, delta)
    share = probability[..., 1:] / total
    primitive = _primitives(edge) / total
    own_moments = primitive[:2].dot(cells.across[:, 1:])  # (2, n, k, D)
    a = np.matmul(primitive, np.matmul(cells.across, weights))[..., 0]
    squared = u * u
    loglik = _loglik(cells, s, squared, delta, total)
    by_m, by_t = a[0] * inverse, a[1] * half
    gradient, hessian = np.empty((n, p + weights.shape[1])), np.empty((n, p + weights.shape[1], p + weights.shape[1]))
    gradient[:, :p] = (u * inverse - by_m) @ x
    gradient[:, p] = ((squared - 1) * half - by_t).sum(axis=1)
    gradient[:, p + 1 :] = cells.counts / delta - share.sum(axis=1)
    bend = by_m * by_m - 2 * half * (1 + a[1])
    hessian[:, :p, :p] = np.matmul(x.T * bend[:, None], x)
    hessian[:, :p, p] = hessian[:, p, :p] = (by_m * by_t - inverse * half * (a[2] + 2 * u)) @ x
    hessian[:, p, p] = (by_t * by_t + half * half * (2 - 4 * squared - a[3])).sum(axis=1)
    cross = by_m[..., None] * share - own_moments[0] * inverse[..., None]
    hessian[:, :p, p + 1 :] = np.matmul(x.T, cross)
    hessian[:, p, p + 1 :] = (by_t[..., None] * share - own_moments[1] * half[..., None]).sum(axis=1)
    hessian[:, p + 1 :, : p + 1] = np.swapaxes(hessian[:, : p + 1, p + 1 :], 1, 2)
    hessian[:, p + 1 :, p + 1 :] = np.matmul(np.swapaxes(share, 1, 2), share)
    own = np.arange(p + 1, gradient.shape[1])
    hessian[:, own, own] -= cells.counts / delta**2
    return loglik, gradient, hessian


def step_value(cells: StepCells, m: FloatArray, s: FloatArray, u: FloatArray, delta: FloatArray) -> FloatArray:
    """The log-likelihood of `step_sums` alone."""
    return _loglik(cells, s, u * u, delta, _layout(cells, m, 1 / s, delta)[-1])


def _layout(
    cells: StepCells, m: FloatArray, inverse: FloatArray, delta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Standardised ends, probability of each weight, weights (n, 1 + D, 1), and A of each study, (n, k, 1)."""
    edge = (cells.ends - m[..., None]) * inverse[..., None]
    probability = _masses(edge).dot(cells.merge)
    weights = np.ones((delta.shape[0], delta.shape[1] + 1, 1))
    weights[:, 1:, 0] = delta
    return edge, probability, weights, np.matmul(probability, weights)


def _loglik(
    cells: StepCells, s: FloatArray, squared: FloatArray, delta: FloatArray, total: FloatArray
) -> FloatArray:  # fmt: skip
    density = (squared / 2 + np.log(_SQRT_2PI * s * total[..., 0])).sum(axis=1)
    return np.asarray(np.log(delta) @ cells.counts - density)


def _masses(edge: FloatArray) -> FloatArray:
    """Normal probabilities of the cells between the edges, from the tail that keeps their digits."""
    below, above = ndtr(edge), ndtr(-edge)
    made = np.empty((*edge.shape[:-1], edge.shape[-1] + 1))
    made[..., 0], made[..., -1] = below[..., 0], above[..., -1]
    if edge.shape[-1] > 1:
        made[..., 1:-1] = np.where(
            edge[..., :-1] > 0, above[..., :-1] - above[..., 1:], below[..., 1:] - below[..., :-1]
        )
    return made


def _primitives(edge: FloatArray) -> FloatArray:
    """Of He1 to He4 times the normal density, (4, ...)."""
    squared = edge * edge
    density = np.exp(-squared / 2) / _SQRT_2PI
    made = np.empty((4, *edge.shape))
    made[0] = -density
    made[1] = edge * made[0]
    made[2] = (1 - squared) * density
    made[3] = (squared - 3) * made[1]
    return made
