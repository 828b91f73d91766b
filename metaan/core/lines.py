"""Likelihood of tau2 for many weighted regressions at once, from sums over studies.

Studies first: y and v are (k, n), the columns of the design (p, k, n). The design is made orthonormal and the plain
least-squares fit is taken out of y beforehand, so that the normal equations are as well conditioned as the weights
allow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.wls import FloatArray, Score, dot

__all__ = ["Lines", "inverted", "quadratic", "trace_of"]

Chosen = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice


class Lines(NamedTuple):
    """Regressions of n data sets of k studies on p columns."""

    y: FloatArray
    v: FloatArray
    x: FloatArray
    products: FloatArray
    """Products of every two columns, (p (p + 1)/2, k, n)."""

    @classmethod
    def of(cls, y: FloatArray, v: FloatArray, x: FloatArray) -> Lines:
        """From arrays that lead with the data sets: (n, k), (n, k) and (n, k, p)."""
        basis = np.linalg.qr(x)[0]
        left = y - np.einsum("nkp,np->nk", basis, np.einsum("nkp,nk->np", basis, y))
        columns = np.ascontiguousarray(np.moveaxis(basis, (0, 2), (2, 0)))
        i, j = np.triu_indices(x.shape[-1])
        return cls(np.ascontiguousarray(left.T), np.ascontiguousarray(v.T), columns, columns[i] * columns[j])

    def take(self, index: Chosen) -> Lines:
        """The data sets of `index`."""
        return Lines(self.y[:, index], self.v[:, index], self.x[..., index], self.products[..., index])

    def Q(self, t: FloatArray) -> FloatArray:
        """Residual sum of squares y'Py at t of shape (n,)."""
        _, weighted, left, _ = self.solved(t)
        return dot(weighted, left)

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        """Pieces of the score at t of shape (n,) or (m, n); see `metaan.core.wls.Score`."""
        at = (
            self
            if t.ndim == 1
            else Lines(self.y[:, None], self.v[:, None], self.x[:, :, None], self.products[:, :, None])
        )
        w, e, left, inverse = at.solved(t)
        weighted = np.multiply(w, e, out=left)
        moment = [dot(column, weighted) for column in at.x]
        a, c = dot(e, e), dot(weighted, e) - quadratic(inverse, moment)
        if not restricted:
            return Score(a, w.sum(axis=0), c, dot(w, w))
        p, squared = len(inverse), np.multiply(w, w, out=left)
        second, total = at.sums(squared), squared.sum(axis=0)
        squared *= w
        through = [[sum(inverse[i][m] * second[m][j] for m in range(p)) for j in range(p)] for i in range(p)]
        b = w.sum(axis=0) - sum(through[i][i] for i in range(p))
        twice = sum(through[i][j] * through[j][i] for i in range(p) for j in range(p))
        return Score(a, b, c, total - 2 * trace_of(inverse, at.sums(squared)) + twice)

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        """Profile likelihood at t of shape (n,), but for constants."""
        w, weighted, left, inverse = self.solved(t)
        deviance = -np.log(w, where=w > 0, out=np.zeros_like(w)).sum(axis=0) + dot(weighted, left)
        if restricted:
            matrix = np.moveaxis(np.array(inverse), -1, 0)
            deviance = deviance - np.linalg.slogdet(matrix)[1]
        return np.asarray(-deviance / 2)

    def spread(self) -> FloatArray:
        """Plain residual sum of squares."""
        return dot(self.y, self.y)

    def df(self) -> FloatArray:
        """Residual degrees of freedom."""
        return np.asarray(np.isfinite(self.v).sum(axis=0) - float(len(self.x)))

    def solved(self, t: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, list[list[FloatArray]]]:
        """Weights, Py, residuals, and the inverse of the normal matrix.

        In place: new memory for every product would take most of the time.
        """
        w = self.v + t
        np.divide(1.0, w, out=w)
        inverse = inverted(self.sums(w))
        part = w * self.y
        right = [dot(column, part) for column in self.x]
        left = np.empty_like(w)
        left[...] = self.y
        for row, column in zip(inverse, self.x, strict=True):
            left -= np.multiply(column, sum(a * b for a, b in zip(row, right, strict=True)), out=part)
        return w, np.multiply(w, left, out=part), left, inverse

    def sums(self, w: FloatArray) -> list[list[FloatArray]]:
        """x' diag(w) x."""
        p = len(self.x)
        packed = iter([dot(product, w) for product in self.products])
        made: list[list[FloatArray]] = [[np.empty(0)] * p for _ in range(p)]
        for i in range(p):
            for j in range(i, p):
                made[i][j] = made[j][i] = next(packed)
        return made


def inverted(a: list[list[FloatArray]]) -> list[list[FloatArray]]:
    """Inverse of a positive definite matrix, element by element (Gauss-Jordan without pivots)."""
    p = len(a)
    if p == 1:
        return [[1 / a[0][0]]]
    a = [list(row) for row in a]
    for k in range(p):
        pivot = 1 / a[k][k]
        row = [pivot * value for value in a[k]]
        for i in range(p):
            if i != k:
                factor = a[i][k]
                a[i] = [-factor * pivot if j == k else a[i][j] - factor * row[j] for j in range(p)]
        a[k] = [pivot if j == k else row[j] for j in range(p)]
    return a


def trace_of(a: list[list[FloatArray]], b: list[list[FloatArray]]) -> FloatArray:
    """Trace of the product of two symmetric matrices."""
    return np.asarray(sum(x * y for row, other in zip(a, b, strict=True) for x, y in zip(row, other, strict=True)))


def quadratic(a: list[list[FloatArray]], x: list[FloatArray]) -> FloatArray:
    """x'a x."""
    return np.asarray(sum(x[i] * a[i][j] * x[j] for i in range(len(x)) for j in range(len(x))))
