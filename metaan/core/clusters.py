"""Degrees of freedom of cluster-robust (CR2) tests: Satterthwaite for one contrast, Hotelling's T2 for several."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Clusters", "by_size", "hotelling_df"]

_FULL: Final = 1e-10  # 1 less a leverage, below which it counts as 1
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


class Clusters(NamedTuple):
    """What the tests need of each of m clusters, shapes (m, p, p); h_j = (I - H_j)^(-1/2) x_j.

    The design x is whitened and orthonormal; the root is a pseudo-inverse where a cluster alone tells of a coefficient.
    """

    norms: FloatArray
    """h_j'h_j."""
    scores: FloatArray
    """x_j'h_j."""

    @classmethod
    def of_design(cls, x: FloatArray, codes: IntArray) -> Clusters:
        """From the design, (k, p), and the cluster of each of its rows."""
        norms, scores = np.empty((2, codes.max() + 1, x.shape[1], x.shape[1]))
        for rows in by_size(codes):
            part, at = x[rows], codes[rows[:, 0]]
            turned = part.swapaxes(-1, -2)
            evals, evecs = np.linalg.eigh(np.eye(rows.shape[1]) - part @ turned)
            root = np.where(evals > _FULL, np.maximum(evals, _FULL) ** -0.5, 0.0)
            half = (evecs * root[:, None]) @ (evecs.swapaxes(-1, -2) @ part)
            norms[at], scores[at] = half.swapaxes(-1, -2) @ half, turned @ half
        return cls(norms, scores)


def by_size(codes: IntArray) -> list[IntArray]:
    """Members of the groups 0 ..., those of one size s together: arrays of shape (groups, s)."""
    order, size = np.argsort(codes, kind="stable"), np.bincount(codes)
    sizes = size[codes[order]]
    return [order[sizes == s].reshape(-1, s) for s in np.unique(size[size > 0])]


def hotelling_df(of: Clusters, contrasts: FloatArray) -> float:
    """Degrees of freedom eta of the Wald statistic of contrasts, shape (m, p), with the CR2 covariance.

    Pustejovsky & Tipton 2018 ("HTZ"): under the working model the covariance estimate V is treated as Wishart with
    eta = m (m + 1)/sum over s, t of Var(V_st), V scaled to expectation 1. For m = 1 it is Satterthwaite's
    (tr S)^2/tr(S^2), S_jl = d_jl |b_j|^2 - t_j't_l with b_j = h_j c and t_j = x_j'b_j. Sums over pairs of clusters are
    squares of sums, so that time and memory are in proportion to their number.
    """
    norms = np.einsum("sp,jpq,tq->jst", contrasts, of.norms, contrasts)
    t = np.einsum("jpq,sq->jps", of.scores, contrasts)
    values, vectors = np.linalg.eigh((norms - np.einsum("jps,jpt->jst", t, t)).sum(axis=0))
    scale = vectors / np.sqrt(values)
    norms, t = scale.T @ norms @ scale, t @ scale
    own = np.einsum("jps,jpt->jst", t, t)
    left = norms - own

    def traces(a: FloatArray) -> float:
        """Sum over clusters of (tr a_j)^2 + tr(a_j^2)."""
        return float((np.einsum("jss->j", a) ** 2).sum() + np.einsum("jst,jts->", a, a))

    pairs = np.einsum("jps,jqt->psqt", t, t)
    every = float((pairs**2).sum() + np.einsum("psqt,ptqs->", pairs, pairs))
    m = contrasts.shape[0]
    return float(m * (m + 1) / (every - traces(own) + traces(left)))
