"""The linear model with nested random effects and known, possibly correlated, sampling errors.

y ~ N(x beta, M), M = V + sum over levels l of sigma2_l D_l, where D_l has a one where two estimates share their group
of level l. The design is orthonormal in the unweighted sense (x = q r beforehand), which keeps the digits of columns
as unequal as an intercept and a year; the likelihood is computed from y less its fit at sigma2 = 0, which keeps those
of the residuals of precise estimates. n data sets, the same estimates less some of them, are a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.nested_blocks import Blocks
from metaan.core.nested_tree import Tree, Trees

__all__ = [
    "Fits",
    "Nested",
    "Point",
    "Solution",
    "apply_inverse",
    "blocks",
    "fits",
    "look",
    "parts",
    "solve",
    "within_trace",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
_LOG_2PI: Final = float(np.log(2 * np.pi))


class Nested(NamedTuple):
    """Data of n models."""

    y: FloatArray
    """(n, k); 0 where an estimate is not there."""
    q: FloatArray
    """Orthonormal columns of the designs, (n, k, p)."""
    r: FloatArray
    """Triangular factors: design = q r, (n, p, p)."""
    shift: FloatArray
    """Coefficients of q at sigma2 = 0, (n, p): the sums are those of y less its fit there."""
    size: FloatArray
    """Number of estimates, (n,)."""
    spread: FloatArray
    """Mean sampling variance, (n,)."""
    weight: FloatArray
    """Inverse sampling variances, (n, k); 0 where an estimate is not there."""
    sums: Trees | Blocks
    levels: int


class Point(NamedTuple):
    """The (restricted) log-likelihood with all constants, and its derivatives, at b values of sigma2."""

    sigma2: FloatArray
    """(b, levels)."""
    loglik: FloatArray
    score: FloatArray
    expected: FloatArray
    """Expected information on sigma2, (b, levels, levels)."""
    observed: FloatArray


class Fits(NamedTuple):
    """Generalised least squares at b values of sigma2."""

    gamma: FloatArray
    """Coefficients of q, (b, p)."""
    cov: FloatArray
    """Their covariance, (b, p, p)."""
    Q: FloatArray
    """Squared length of the residuals in the metric of M, (b,)."""
    loglik: FloatArray

    def each(self) -> list[Fits]:
        """One after the other."""
        return [Fits(*parts) for parts in zip(*self, strict=True)]


class Solution(NamedTuple):
    """The model of one data set at given sigma2."""

    sigma2: FloatArray
    gamma: FloatArray
    cov: FloatArray
    Q: float
    loglik: float


def blocks(y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray]) -> Nested:
    """Arrange one data set.

    Parameters
    ----------
    y : array of shape (k,)
    x : array of shape (k, p)
    v : array of shape (k,) or (k, k)
        Sampling variances, or their covariance matrix, zero between outermost groups.
    groups : sequence of int arrays of shape (k,)
        Group of each estimate at each level, outermost first, nested.
    """
    if v.ndim == 1:
        return parts(y, x, v, groups, np.ones((y.size, 1), dtype=bool))
    q, r = np.linalg.qr(x)
    sampling = np.diagonal(v)
    plain = Blocks.of(np.column_stack([q, y]), v, groups)
    inner = plain.sums(None, np.zeros((1, len(groups))), slopes=False).inner
    shift = _coefficients(inner)[0]
    moved = Blocks.of(np.column_stack([q, y - q @ shift[0]]), v, groups)
    return Nested(
        y[None], q[None], r[None], shift, np.array([float(y.size)]), sampling.mean(keepdims=True), 1 / sampling[None],
        moved, len(groups),
    )  # fmt: skip


def parts(y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray], here: BoolArray) -> Nested:
    """Arrange n data sets, the estimates `here`, shape (k, n), of one whose sampling errors are independent."""
    there = here.T
    size = there.sum(axis=1).astype(np.float64)
    q, r = np.linalg.qr(np.where(there[..., None], x, 0.0))
    if not there.all():
        q = np.where(there[..., None], q, 0.0)
    ys, weight = np.where(there, y, 0.0), np.where(there, 1 / v, 0.0)
    wq = weight[..., None] * q
    turned = np.swapaxes(wq, -1, -2)
    shift = np.linalg.solve(turned @ q, turned @ ys[..., None])[..., 0]
    rest = ys - (q @ shift[..., None])[..., 0]
    z = np.concatenate([np.swapaxes(q, -1, -2), rest[:, None]], axis=1)
    return Nested(
        ys, q, r, shift, size, np.where(there, v, 0.0).sum(axis=1) / size, weight,
        Trees.of(Tree.of(groups), z, weight), len(groups),
    )  # fmt: skip


def _coefficients(inner: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Coefficients, covariance, log-determinant of the information and Q from z'M^-1 z, (b, c, c)."""
    p = inner.shape[-1] - 1
    info, right = inner[:, :p, :p], inner[:, :p, p]
    if p == 1:
        cov, log_det = 1 / info, np.log(info[:, 0, 0])
        gamma = cov[:, 0] * right
    else:
        cov, log_det = np.asarray(np.linalg.inv(info)), np.asarray(np.linalg.slogdet(info)[1])
        gamma = (cov @ right[..., None])[..., 0]
    return gamma, cov, log_det, inner[:, p, p] - (gamma * right).sum(axis=1)


def _loglik(
    size: FloatArray, p: int, log_det: FloatArray, extra: FloatArray, Q: FloatArray, *, restricted: bool
) -> FloatArray:
    if restricted:
        return -((size - p) * _LOG_2PI + log_det + extra + Q) / 2
    return -(size * _LOG_2PI + log_det + Q) / 2


def fits(data: Nested, rows: IntArray | None, sigma2: FloatArray, *, restricted: bool) -> Fits:
    """Fit the coefficients of the data sets `rows`, (b,), at sigma2, (b, levels); None for all, or the only one."""
    sums = data.sums.sums(rows, sigma2, slopes=False)
    gamma, cov, extra, Q = _coefficients(sums.inner)
    size, shift = (data.size, data.shift) if rows is None else (data.size[rows], data.shift[rows])
    loglik = _loglik(size, gamma.shape[1], sums.log_det, extra, Q, restricted=restricted)
    return Fits(gamma + shift, cov, Q, loglik)


def look(data: Nested, rows: IntArray | None, sigma2: FloatArray, *, restricted: bool) -> Point:
    """Log-likelihood and derivatives of the data sets `rows`, (b,), at sigma2, (b, levels)."""
    sums = data.sums.sums(rows, sigma2, slopes=True)
    gamma, cov, extra, Q = _coefficients(sums.inner)
    b, levels = sigma2.shape
    p = gamma.shape[1]
    turn = np.concatenate([-gamma, np.ones((b, 1))], axis=1)[:, None, :, None]  # from y to its residuals
    tied = (sums.single @ turn)[..., 0]
    quadratic = (tied[:, :, None] @ turn)[..., 0, 0]
    bent = (turn[:, None].swapaxes(-1, -2) @ (sums.double @ turn[:, None]))[..., 0, 0]
    tied = tied[..., :p]
    trace, crossed = sums.trace, sums.crossed
    if restricted:
        cg = cov[:, None] @ sums.single[..., :p, :p]
        flat, turned = cg.reshape(b, levels, -1), cg.swapaxes(-1, -2).reshape(b, levels, -1)
        trace = trace - np.einsum("blpp->bl", cg)
        crossed = crossed + flat @ turned.swapaxes(-1, -2)
        crossed -= 2 * np.einsum("bpq,blmqp->blm", cov, sums.double[..., :p, :p])
    average = bent - tied @ cov @ tied.swapaxes(-1, -2)
    size = data.size if rows is None else data.size[rows]
    loglik = _loglik(size, p, sums.log_det, extra, Q, restricted=restricted)
    expected = crossed / 2
    return Point(sigma2, loglik, (quadratic - trace) / 2, expected, average - expected)


def solve(data: Nested, sigma2: FloatArray, *, restricted: bool) -> Solution:
    """Fit the coefficients of the one data set at sigma2, (levels,)."""
    found = fits(data, None, sigma2[None], restricted=restricted)
    return Solution(sigma2, found.gamma[0], found.cov[0], float(found.Q[0]), float(found.loglik[0]))


def apply_inverse(data: Nested, sigma2: FloatArray, columns: FloatArray) -> FloatArray:
    """M^-1, of the one data set, times columns of shape (k, c)."""
    sums, turned = data.sums, np.ascontiguousarray(columns.T)
    if isinstance(sums, Trees):
        return sums.solve(sigma2, data.weight[0], turned).T
    return sums.solve(sigma2, turned).T


def within_trace(data: Nested, cov: FloatArray) -> FloatArray:
    """tr(P) at sigma2 = 0, (n,), from the covariance of the coefficients there: k - p over it is the typical v."""
    if isinstance(data.sums, Blocks):
        wq = data.sums.solve(np.zeros(data.levels), data.q[0].T)[None]
        total = np.array([data.sums.trace()])
    else:
        wq, total = (data.weight[..., None] * data.q).swapaxes(-1, -2), data.weight.sum(axis=1)
    return np.asarray(total - (cov * (wq @ wq.swapaxes(-1, -2))).sum(axis=(-2, -1)))
