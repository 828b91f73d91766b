"""The linear model with nested random effects and known, possibly correlated, sampling errors.

y ~ N(x beta, M), M = V + sum over levels l of sigma2_l D_l, where D_l has a one where two estimates share their group
of level l. M is block diagonal over the groups of the outermost level; blocks of one size are stacked, so that every
step is a few batched operations however many groups there are. The design is orthonormal in the unweighted sense
(x = Q R beforehand), which keeps the digits of columns as unequal as an intercept and a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.roots import bracketed_root

__all__ = ["Nested", "Solution", "apply_inverse", "blocks", "maximise", "profile_limits", "solve", "within_trace"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
_STEPS: Final = 300
_SMALL: Final = 1e-13
_SCAN: Final = 46


class Stack(NamedTuple):
    """Blocks of one size s: m of them."""

    rows: IntArray
    """Positions of the estimates, (m, s)."""
    v: FloatArray
    """Sampling covariance, (m, s, s)."""
    shared: FloatArray
    """D_l of each level, (levels, m, s, s)."""


class Nested(NamedTuple):
    """Data of the model."""

    y: FloatArray
    q: FloatArray
    """Orthonormal columns of the design, (k, p)."""
    r: FloatArray
    """Triangular factor: design = q r."""
    stacks: tuple[Stack, ...]
    levels: int


class Solution(NamedTuple):
    """The model at given sigma2: generalised least squares and the derivatives of the (restricted) likelihood."""

    sigma2: FloatArray
    gamma: FloatArray
    """Coefficients of q."""
    cov: FloatArray
    """Their covariance, (p, p)."""
    u: FloatArray
    """M^-1 (y - fitted)."""
    Q: float
    loglik: float
    score: FloatArray
    expected: FloatArray
    """Expected information on sigma2."""
    observed: FloatArray


def blocks(y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray]) -> Nested:
    """Arrange data by the groups of the outermost level.

    Parameters
    ----------
    y : array of shape (k,)
    x : array of shape (k, p)
    v : array of shape (k,) or (k, k)
        Sampling variances, or their covariance matrix, zero between outermost groups.
    groups : sequence of int arrays of shape (k,)
        Group of each estimate at each level, outermost first, nested.
    """
    q, r = np.linalg.qr(x)
    order = np.argsort(groups[0], kind="stable")
    starts = np.flatnonzero(np.diff(groups[0][order], prepend=groups[0].min() - 1))
    pieces = np.split(order, starts[1:])
    stacks = []
    for size in sorted({len(piece) for piece in pieces}):
        rows = np.array([piece for piece in pieces if len(piece) == size])
        if v.ndim == 1:
            within = np.zeros((*rows.shape, size))
            within[:, range(size), range(size)] = v[rows]
        else:
            within = v[rows[:, :, None], rows[:, None, :]]
        codes = np.array([group[rows] for group in groups])
        shared = (codes[..., :, None] == codes[..., None, :]).astype(np.float64)
        stacks.append(Stack(rows, within, shared))
    return Nested(y, q, r, tuple(stacks), len(groups))


def _inverse(stack: Stack, sigma2: FloatArray) -> tuple[FloatArray, float]:
    """M^-1 of the blocks and log |M| of them all."""
    m = stack.v + np.tensordot(sigma2, stack.shared, axes=1)
    lower = np.linalg.cholesky(m)
    half = np.linalg.inv(lower)
    log_det = 2 * float(np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum())
    return np.swapaxes(half, -1, -2) @ half, log_det


def solve(data: Nested, sigma2: FloatArray, *, restricted: bool) -> Solution:
    """Fit the coefficients at sigma2, with the log-likelihood (all constants) and its derivatives in sigma2."""
    k, p = data.q.shape
    inverse, log_det = [], 0.0
    info, right = np.zeros((p, p)), np.zeros(p)
    for stack in data.stacks:
        w, part = _inverse(stack, sigma2)
        inverse.append(w)
        log_det += part
        q = data.q[stack.rows]
        wq = w @ q
        info += np.einsum("msp,msq->pq", q, wq)
        right += np.einsum("msp,ms->p", wq, data.y[stack.rows])
    cov: FloatArray = np.asarray(np.linalg.inv(info), dtype=np.float64)
    gamma = cov @ right
    residual = data.y - data.q @ gamma
    u = np.zeros(k)
    for stack, w in zip(data.stacks, inverse, strict=True):
        u[stack.rows] = np.einsum("mst,mt->ms", w, residual[stack.rows])
    score, expected, observed = _derivatives(data, inverse, cov, u, restricted=restricted)
    Q = float(residual @ u)
    free = k - p if restricted else k
    extra = float(np.linalg.slogdet(info)[1]) if restricted else 0.0
    loglik = -(free * np.log(2 * np.pi) + log_det + extra + Q) / 2
    return Solution(sigma2, gamma, cov, u, Q, float(loglik), score, expected, observed)


def _derivatives(
    data: Nested, inverse: list[FloatArray], cov: FloatArray, u: FloatArray, *, restricted: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, p = data.levels, data.q.shape[1]
    trace, quadratic, crossed = np.zeros(n), np.zeros(n), np.zeros((n, n))
    g, h = np.zeros((n, p, p)), np.zeros((n, n, p, p))
    bent, tied = np.zeros((n, n)), np.zeros((n, p))
    for stack, w in zip(data.stacks, inverse, strict=True):
        q, uu = data.q[stack.rows], u[stack.rows]
        wq = w @ q
        wd = w @ stack.shared
        du = np.einsum("lmst,mt->lms", stack.shared, uu)
        trace += np.einsum("lmss->l", wd)
        quadratic += np.einsum("ms,lms->l", uu, du)
        crossed += np.einsum("amst,bmts->ab", wd, wd)
        dwq = stack.shared @ wq
        g += np.einsum("msp,lmsq->lpq", wq, dwq)
        h += np.einsum("amsp,mst,bmtq->abpq", dwq, w, dwq, optimize=True)
        bent += np.einsum("ams,mst,bmt->ab", du, w, du, optimize=True)
        tied += np.einsum("msp,lms->lp", wq, du)
    if restricted:
        cg = cov @ g
        trace = trace - np.einsum("lpp->l", cg)
        crossed = crossed - 2 * np.einsum("pq,abqp->ab", cov, h) + np.einsum("apq,bqp->ab", cg, cg)
    expected = crossed / 2
    average = bent - np.einsum("ap,pq,bq->ab", tied, cov, tied)
    return (quadratic - trace) / 2, expected, average - expected


def maximise(data: Nested, *, restricted: bool) -> tuple[Solution, bool]:
    """Sigma2 >= 0 of the highest (restricted) likelihood found from several starts, and whether the search ended."""
    spread = _unit(data)
    starts = [np.full(data.levels, spread / data.levels), np.full(data.levels, 1e-3 * spread)]
    for level in range(data.levels if data.levels > 1 else 0):
        start = np.full(data.levels, 0.05 * spread)
        start[level] = spread
        starts.append(start)
    if data.levels == 1:  # every local maximum of a scan, as in a regression
        grid = spread * np.concatenate([[0.0], np.logspace(-6, 3, _SCAN)])
        height = np.array([solve(data, grid[i : i + 1], restricted=restricted).loglik for i in range(len(grid))])
        edge = np.concatenate([[-np.inf], height, [-np.inf]])
        starts += [grid[i : i + 1] for i in np.flatnonzero((edge[1:-1] >= edge[:-2]) & (edge[1:-1] >= edge[2:]))]
    free = np.ones(data.levels, dtype=bool)
    found = [_climb(data, start, free, restricted=restricted) for start in starts]
    return max(found, key=lambda pair: pair[0].loglik)


def _unit(data: Nested) -> float:
    """Scale on which sigma2 lies: spread of the residuals, or a millionth of the sampling variances if that is more."""
    typical = sum(float(np.einsum("mss->", stack.v)) for stack in data.stacks) / data.y.size
    return max(float(np.var(data.y - data.q @ (data.q.T @ data.y))), 1e-6 * typical)


def _climb(data: Nested, sigma2: FloatArray, free: npt.NDArray[np.bool_], *, restricted: bool) -> tuple[Solution, bool]:
    """Newton steps, Fisher's where the curvature is wrong, on those sigma2 that are not held at 0."""
    here = solve(data, sigma2, restricted=restricted)
    for _ in range(_STEPS):
        active = free & ((here.sigma2 > 0) | (here.score > 0))
        if not active.any():
            return here, True
        step = np.zeros(data.levels)
        step[active] = _direction(here, active)
        there = _line(data, here, step, restricted=restricted)
        if there is None:
            return here, True
        moved = np.abs(there.sigma2 - here.sigma2).max()
        here = there
        if moved <= _SMALL * here.sigma2.sum():
            return here, True
    return here, False


def _direction(here: Solution, active: npt.NDArray[np.bool_]) -> FloatArray:
    inside = np.ix_(active, active)
    observed = here.observed[inside]
    if np.linalg.eigvalsh(observed)[0] > 1e-8 * np.trace(here.expected[inside]):
        return np.asarray(np.linalg.solve(observed, here.score[active]))
    expected = here.expected[inside]
    ridge = 1e-10 * np.trace(expected) * np.eye(len(expected))
    return np.asarray(np.linalg.solve(expected + ridge, here.score[active]))


def _line(data: Nested, here: Solution, step: FloatArray, *, restricted: bool) -> Solution | None:
    """First point along the step, cut at 0, that is higher; None where there is none."""
    for halving in range(40):
        trial = np.maximum(here.sigma2 + step / 2**halving, 0.0)
        if np.array_equal(trial, here.sigma2):
            return None
        there = solve(data, trial, restricted=restricted)
        if there.loglik > here.loglik:
            return there
        small = np.abs(trial - here.sigma2).max() <= 1e-6 * here.sigma2.sum()
        if small and np.abs(there.score).max() < np.abs(here.score).max():
            return there  # the likelihood is flat to its last digit here: the score is not
    return None


def profile_limits(
    data: Nested, best: Solution, level: int, confidence: float, *, restricted: bool
) -> tuple[float, float]:
    """Where the likelihood, maximised over the other levels, is chi2(1)/2 below its maximum; inf if it never is."""
    floor = best.loglik - float(chdtri(1.0, 1 - confidence)) / 2

    free = np.arange(data.levels) != level

    def excess(value: FloatArray) -> FloatArray:
        start = np.where(free, best.sigma2, value[0])
        return np.array([_climb(data, start, free, restricted=restricted)[0].loglik - floor])

    peak, zero = best.sigma2[level : level + 1], np.zeros(1)
    top, at_zero = excess(peak), excess(zero)
    low = 0.0 if at_zero[0] >= 0 else float(bracketed_root(excess, zero, peak, at_zero, top, tolerance=1e-10)[0])
    far = np.maximum(2 * peak, best.sigma2.sum() + _unit(data))
    end = 1e14 * far
    while (beyond := excess(far))[0] > 0:
        far = 4 * far
        if far[0] > end[0]:
            return low, float("inf")
    return low, float(bracketed_root(excess, peak, far, top, beyond, tolerance=1e-10)[0])


def apply_inverse(data: Nested, sigma2: FloatArray, columns: FloatArray) -> FloatArray:
    """M^-1 times columns of shape (k, c)."""
    out = np.empty_like(columns)
    for stack in data.stacks:
        out[stack.rows] = _inverse(stack, sigma2)[0] @ columns[stack.rows]
    return out


def within_trace(data: Nested) -> float:
    """tr(P) at sigma2 = 0: k - p over it is the typical sampling variance."""
    zero = np.zeros(data.levels)
    total, info, squared = 0.0, 0.0, 0.0
    for stack in data.stacks:
        w = _inverse(stack, zero)[0]
        wq = w @ data.q[stack.rows]
        total += float(np.einsum("mss->", w))
        info = info + np.einsum("msp,msq->pq", data.q[stack.rows], wq)
        squared = squared + np.einsum("msp,msq->pq", wq, wq)
    return total - float(np.trace(np.linalg.solve(info, squared)))
