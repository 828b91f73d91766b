"""Nested random effects with independent sampling errors: sums over groups within groups, no matrix inverted.

A group of level l whose members have the precisions c_j and the means m_j has C = sum c_j, the mean sum c_j m_j/C and,
seen from outside, the precision C/(1 + sigma2_l C). Handed on from the innermost groups to the outermost, these give
log |M| and z'M^-1 z as sums of squares within groups, none of which cancels; handed back, M^-1 z (Gaussian message
passing on a tree). Estimates of weight 0 are not there, so that fits to parts of the data are a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Sums", "Tree", "Trees"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


class Sums(NamedTuple):
    """What the likelihood is made of, at b points sigma2; z = (q, y), c columns. The last four are its derivatives'."""

    log_det: FloatArray
    """log |M|, (b,)."""
    inner: FloatArray
    """z'M^-1 z, (b, c, c)."""
    trace: FloatArray
    """tr(M^-1 D_l), (b, levels)."""
    crossed: FloatArray
    """tr(M^-1 D_l M^-1 D_m), (b, levels, levels)."""
    single: FloatArray
    """z'M^-1 D_l M^-1 z, (b, levels, c, c)."""
    double: FloatArray
    """z'M^-1 D_l M^-1 D_m M^-1 z, (b, levels, levels, c, c)."""


class Tree(NamedTuple):
    """Groups within groups, numbered so that those of one outer group follow each other."""

    order: IntArray
    """Estimates in the order of their innermost groups, (k,)."""
    leaf: IntArray
    """Innermost group of each estimate, in the order of the data."""
    starts: tuple[IntArray, ...]
    """First member of each group: of the outermost level first, members being estimates at the innermost."""
    parents: tuple[IntArray, ...]
    """Group of the level outside of each group; of the outermost level nothing."""

    @classmethod
    def of(cls, codes: Sequence[IntArray]) -> Tree:
        """From the group of each estimate at each level, outermost first."""
        order = np.lexsort(tuple(codes[::-1]))
        new = np.zeros(order.size, dtype=bool)
        new[0] = True
        firsts, numbers = [], []
        for code in codes:
            ordered = code[order]
            new[1:] |= ordered[1:] != ordered[:-1]
            firsts.append(np.flatnonzero(new))
            numbers.append(np.cumsum(new) - 1)
        inward = [*numbers[1:], np.arange(order.size)]
        starts = tuple(number[first] for number, first in zip(inward, firsts, strict=True))
        parents = tuple(numbers[i][firsts[i + 1]] for i in range(len(codes) - 1))
        leaf = np.empty_like(order)
        leaf[order] = numbers[-1]
        return cls(order, leaf, starts, (np.empty(0, dtype=np.intp), *parents))


class _Slopes(NamedTuple):
    """Derivatives of the precisions C of the groups of a level in the n sigma2 of the levels inside."""

    first: FloatArray
    """(b, n, groups)."""
    second: FloatArray
    """Of the pairs (i, j), i <= j, row by row: (b, n (n + 1)/2, groups)."""

    def products(self) -> FloatArray:
        """Of the first derivatives of each pair."""
        if self.first.shape[1] == 1:
            return self.first * self.first
        i, j = _pairs(self.first.shape[1])
        return np.asarray(self.first[:, i] * self.first[:, j])


class _Handed(NamedTuple):
    """What the groups of each level, outermost first, hand on."""

    precision: list[FloatArray]
    """(b, groups)."""
    mean: list[FloatArray]
    """(b, c, groups)."""
    whole: list[FloatArray]
    """Sum of the precisions within, but for the innermost level: 1 where nobody is there."""


class Trees(NamedTuple):
    """n data sets on one tree (or one): summed up within the innermost groups."""

    tree: Tree
    precision: FloatArray
    """(n, groups); 0 where none of the members is there."""
    mean: FloatArray
    """Of z = (q, y), (n, c, groups)."""
    within: FloatArray
    """z'V^-1 z within groups, (n, c, c)."""
    log_v: FloatArray

    @classmethod
    def of(cls, tree: Tree, z: FloatArray, weight: FloatArray) -> Trees:
        """From z, (n, c, k), and the inverse sampling variances, (n, k)."""
        z, w = z[..., tree.order], weight[:, tree.order]
        log_v = -np.log(np.where(w > 0, w, 1.0)).sum(axis=-1)
        if tree.starts[-1].size == w.shape[-1]:
            return cls(tree, w, z, np.zeros((len(w), z.shape[1], z.shape[1])), log_v)
        precision = np.add.reduceat(w, tree.starts[-1], axis=-1)
        total = np.add.reduceat(w[:, None] * z, tree.starts[-1], axis=-1)
        mean = total / np.where(precision > 0, precision, 1.0)[:, None]
        apart = z - mean.take(tree.leaf[tree.order], axis=-1)
        return cls(tree, precision, mean, _product(w[:, None] * apart, apart), log_v)

    def sums(self, rows: IntArray | None, sigma2: FloatArray, *, slopes: bool) -> Sums:
        """At sigma2, (b, levels), of the data sets `rows`, (b,); None for all, or the one that there is."""
        b, levels = sigma2.shape
        trace, crossed = np.zeros((b, levels)), np.zeros((b, levels, levels))
        log_det, inner, handed = self._up(rows, sigma2, (trace, crossed) if slopes else None)
        if not slopes:
            return Sums(log_det, inner, trace, crossed, crossed, crossed)
        w = self._down(sigma2, handed.precision, handed.mean)
        turned = self._again(sigma2, handed, w)
        c = inner.shape[-1]
        single, double = np.empty((b, levels, c, c)), np.empty((b, levels, levels, c, c))
        for level, (part, again) in enumerate(zip(w, turned, strict=True)):
            np.matmul(part, part.swapaxes(-1, -2), out=single[:, level])
            np.matmul(part[:, None], again.swapaxes(-1, -2), out=double[:, level])
        return Sums(log_det, inner, trace, crossed, single, double)

    def _up(
        self, rows: IntArray | None, sigma2: FloatArray, slopes: tuple[FloatArray, FloatArray] | None
    ) -> tuple[FloatArray, FloatArray, _Handed]:
        """log |M|, z'M^-1 z and what the groups hand on; `slopes` are filled with the traces of `Sums`."""
        c, mean, inner, log_det = self.precision, self.mean, self.within, self.log_v
        if rows is not None:
            c, mean, inner, log_det = (part.take(rows, axis=0) for part in (c, mean, inner, log_det))
        handed, d = _Handed([], [], []), None
        for level in reversed(range(sigma2.shape[1])):
            s = sigma2[:, level, None]
            ratio = s * c
            log_det = log_det + np.log1p(ratio).sum(axis=-1)
            f = 1 / (1 + ratio)
            c = c * f
            weighed = c[:, None] * mean
            handed.precision.insert(0, c)
            handed.mean.insert(0, mean)
            if slopes is not None:
                _traces(level, s, f, c, d, slopes)
            if level == 0:
                break
            d = None if slopes is None else _outside(s, f, c, d)
            up = [c[:, None], weighed, *(() if d is None else d)]
            total = np.add.reduceat(np.concatenate(up, axis=1), self.tree.starts[level - 1], axis=-1)
            c, end = total[:, 0], 1 + mean.shape[1]
            handed.whole.insert(0, c if c.all() else np.where(c > 0, c, 1.0))
            apart, mean = mean, total[:, 1:end] / handed.whole[0][:, None]
            if d is not None:
                n = d.first.shape[1]
                d = _Slopes(total[:, end : end + n], total[:, end + n :])
            apart = apart - mean.take(self.tree.parents[level], axis=-1)
            inner = inner + _product(handed.precision[0][:, None] * apart, apart)
        return log_det, inner + _product(weighed, mean), handed

    def _down(self, sigma2: FloatArray, precisions: list[FloatArray], means: list[FloatArray]) -> list[FloatArray]:
        """Sum of M^-1 z over each group, of each level, from the means, (b, ..., c, groups), that went up."""
        out: list[FloatArray] = []
        more = [1] * (means[0].ndim - 2)
        known = np.zeros(())
        for level, (c, mean) in enumerate(zip(precisions, means, strict=True)):
            if level:
                known = known.take(self.tree.parents[level], axis=-1)
                mean = mean - known
            out.append(c.reshape(len(c), *more, -1) * mean)
            if level < len(means) - 1:
                known = known + sigma2[:, level].reshape(-1, *more, 1) * out[-1]
        return out

    def _again(self, sigma2: FloatArray, handed: _Handed, w: list[FloatArray]) -> list[FloatArray]:
        """Sums of M^-1 D_m M^-1 z over the groups of each level: (b, m, c, groups)."""
        tree = self.tree
        columns: list[list[FloatArray]] = [[] for _ in w]  # of each level, those of every m
        for m, value in enumerate(w):
            columns[m].append(value[:, None])
            same = value
            for level in range(m + 1, len(w)):  # D_m M^-1 z is the same for all within a group of level m
                same = same.take(tree.parents[level], axis=-1)
                columns[level].append(same[:, None])
            for level in reversed(range(m)):
                total = np.add.reduceat(handed.precision[level + 1][:, None] * value, tree.starts[level], axis=-1)
                value = total / handed.whole[level][:, None]
                columns[level].append(value[:, None])
        return self._down(sigma2, handed.precision, [np.concatenate(several, axis=1) for several in columns])

    def solve(self, sigma2: FloatArray, weight: FloatArray, columns: FloatArray) -> FloatArray:
        """M^-1 times columns, (c, k), at one sigma2; `weight` the inverse sampling variances."""
        handed = Trees.of(self.tree, columns[None], weight[None])._up(None, sigma2[None], None)[2]
        known = np.zeros(())
        for level, w in enumerate(self._down(sigma2[None], handed.precision, handed.mean)):
            known = sigma2[level] * w[0] + (known.take(self.tree.parents[level], axis=-1) if level else known)
        return np.asarray(weight * (columns - known.take(self.tree.leaf, axis=-1)))


def _product(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(a @ b.swapaxes(-1, -2))


@cache
def _pairs(n: int) -> tuple[IntArray, IntArray]:
    """Pairs i <= j of n numbers, row by row."""
    i, j = np.triu_indices(n)
    return i, j


def _traces(
    level: int, s: FloatArray, f: FloatArray, c: FloatArray, d: _Slopes | None, slopes: tuple[FloatArray, FloatArray]
) -> None:
    """Add the derivatives of the sum of log(1 + s C), which are those of log |M| once all levels are in."""
    trace, crossed = slopes
    trace[:, level] = c.sum(axis=-1)
    crossed[:, level, level] = np.einsum("bg,bg->b", c, c)
    if d is None:
        return
    n, end = d.first.shape[1], d.first.shape[1] + d.second.shape[1]
    powers = np.concatenate([f[..., None], (f * f)[..., None]], axis=-1)
    total = np.concatenate([d.first, d.second, d.products()], axis=1) @ powers
    trace[:, level + 1 :] += s * total[:, :n, 0]
    crossed[:, level, level + 1 :] -= total[:, :n, 1]
    crossed[:, level + 1 :, level] -= total[:, :n, 1]
    both = s * total[:, n:end, 0] - s * s * total[:, end:, 1]
    i, j = (level + 1 + index for index in _pairs(n))
    crossed[:, i, j] -= both
    crossed[:, j, i] = crossed[:, i, j]


def _outside(s: FloatArray, f: FloatArray, c: FloatArray, d: _Slopes | None) -> _Slopes:
    """Derivatives of c = C/(1 + s C), of s itself first."""
    c = c[:, None]
    square = c * c
    if d is None:
        return _Slopes(-square, 2 * c * square)
    bent = (f * f)[:, None]
    first = bent * d.first
    second = bent * (d.second - 2 * (s * f)[:, None] * d.products())
    return _Slopes(
        np.concatenate([-square, first], axis=1), np.concatenate([2 * c * square, -2 * c * first, second], axis=1)
    )
