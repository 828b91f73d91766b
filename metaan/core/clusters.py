"""Degrees of freedom of cluster-robust (CR2) tests: Satterthwaite for one contrast, Hotelling's T2 for several."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Clusters", "hotelling_df"]

_FULL: Final = 1e-10  # 1 less a leverage, below which it counts as 1
FloatArray = npt.NDArray[np.float64]


class Clusters(NamedTuple):
    """A whitened design, x of shape (k, p) with x'x = bread^-1, and the cluster of each of its rows."""

    x: FloatArray
    codes: npt.NDArray[np.intp]
    bread: FloatArray


def hotelling_df(of: Clusters, contrasts: FloatArray) -> float:
    """Degrees of freedom eta of the Wald statistic of contrasts, shape (m, p), with the CR2 covariance.

    Pustejovsky & Tipton 2018 ("HTZ"): under the working model the covariance estimate V is treated as Wishart with
    eta = m (m + 1)/sum over s, t of Var(V_st), V scaled to expectation 1. For m = 1 it is Satterthwaite's
    (tr S)^2/tr(S^2), S_jl = d_jl |b_j|^2 - t_j' M t_l with b_j = (I - H_j)^(-1/2) x_j M c and t_j = x_j' b_j. The root
    is a pseudo-inverse where a cluster alone tells of a coefficient; V is then too small, and S knows by how much.
    """
    norms, scores = [], []
    for j in range(int(of.codes.max()) + 1):
        x = of.x[of.codes == j]
        evals, evecs = np.linalg.eigh(np.eye(len(x)) - x @ of.bread @ x.T)
        root = np.where(evals > _FULL, np.maximum(evals, _FULL) ** -0.5, 0.0)
        b = (evecs * root) @ (evecs.T @ (x @ of.bread @ contrasts.T))
        norms.append(b.T @ b)
        scores.append(x.T @ b)
    t = np.array(scores)
    inner = -np.einsum("jps,pq,lqt->jlst", t, of.bread, t, optimize=True)
    inner[range(len(t)), range(len(t))] += np.array(norms)
    values, vectors = np.linalg.eigh(np.einsum("jjst->st", inner))
    scale = (vectors / np.sqrt(values)) @ vectors.T
    inner = scale @ inner @ scale
    square = np.einsum("jlss,jltt->", inner, inner) + np.einsum("jlst,jlts->", inner, inner)
    m = contrasts.shape[0]
    return float(m * (m + 1) / square)
