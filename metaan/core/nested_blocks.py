"""Nested random effects with correlated sampling errors: M is block diagonal over the outermost groups.

Blocks of one size are stacked, so that every step is a few batched operations however many groups there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.clusters import by_size
from metaan.core.nested_tree import Sums

__all__ = ["Blocks"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


class Stack(NamedTuple):
    """Blocks of one size s: m of them."""

    rows: IntArray
    """Positions of the estimates, (m, s)."""
    z: FloatArray
    """Columns q and y, (m, s, c)."""
    v: FloatArray
    """Sampling covariance, (m, s, s)."""
    shared: FloatArray
    """D_l of each level, (levels, m, s, s)."""


class Blocks(NamedTuple):
    """Data of one set."""

    stacks: tuple[Stack, ...]

    @classmethod
    def of(cls, z: FloatArray, v: FloatArray, groups: Sequence[IntArray]) -> Blocks:
        """From z, (k, c), and the covariance of the sampling errors, (k, k)."""
        stacks = []
        for rows in by_size(groups[0]):
            codes = np.array([group[rows] for group in groups])
            shared = (codes[..., :, None] == codes[..., None, :]).astype(np.float64)
            stacks.append(Stack(rows, z[rows], v[rows[:, :, None], rows[:, None, :]], shared))
        return cls(tuple(stacks))

    def sums(self, rows: IntArray | None, sigma2: FloatArray, *, slopes: bool) -> Sums:
        """At sigma2, (b, levels); there is one data set, whatever `rows`."""
        parts = [_sums(stack, sigma2, slopes=slopes) for stack in self.stacks]
        return Sums(*(np.sum(same, axis=0) for same in zip(*parts, strict=True)))

    def solve(self, sigma2: FloatArray, columns: FloatArray) -> FloatArray:
        """M^-1 times columns, (c, k), at one sigma2."""
        out = np.empty_like(columns)
        for stack in self.stacks:
            w = _inverse(stack, sigma2[None])[0][0]
            out[:, stack.rows] = np.einsum("mst,cmt->cms", w, columns[:, stack.rows])
        return out

    def trace(self) -> float:
        """tr(V^-1)."""
        none = np.zeros((1, len(self.stacks[0].shared)))
        return sum(float(np.einsum("bmss->", _inverse(stack, none)[0])) for stack in self.stacks)


def _inverse(stack: Stack, sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """M^-1 of the blocks, (b, m, s, s), and log |M| of them all."""
    lower = np.linalg.cholesky(stack.v + np.tensordot(sigma2, stack.shared, axes=1))
    half = np.linalg.inv(lower)
    log_det = 2 * np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=(-2, -1))
    return np.swapaxes(half, -1, -2) @ half, log_det


def _sums(stack: Stack, sigma2: FloatArray, *, slopes: bool) -> Sums:
    w, log_det = _inverse(stack, sigma2)
    b, levels = sigma2.shape
    c = stack.z.shape[-1]
    wz = w @ stack.z
    inner = (np.swapaxes(stack.z, -1, -2) @ wz).sum(axis=1)
    if not slopes:
        nothing = np.empty((b, 0))
        return Sums(log_det, inner, nothing, nothing, nothing, nothing)
    wd = w[:, None] @ stack.shared
    flat, turned = wd.reshape(b, levels, -1), np.swapaxes(wd, -1, -2).reshape(b, levels, -1)
    dwz = stack.shared @ wz[:, None]  # (b, levels, m, s, c)
    single = (np.swapaxes(wz, -1, -2)[:, None] @ dwz).sum(axis=2)
    columns, again = (np.moveaxis(part, -1, 2).reshape(b, levels * c, -1) for part in (dwz, w[:, None] @ dwz))
    double = (columns @ np.swapaxes(again, -1, -2)).reshape(b, levels, c, levels, c)
    return Sums(
        log_det, inner, np.einsum("blmss->bl", wd), flat @ np.swapaxes(turned, -1, -2), single,
        np.swapaxes(double, 2, 3),
    )  # fmt: skip
