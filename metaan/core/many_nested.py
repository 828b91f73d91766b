"""Multilevel models of many choices among the estimates of one, fitted one after the other.

The groups that an estimate leaves behind differ from fit to fit in number and in size, so that there is no common
shape for a batch; within a fit all groups of one size go together (`nested`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from metaan.core.many import BoolArray
from metaan.core.many_linear import full_rank
from metaan.core.nested import blocks, maximise, solve, within_trace
from metaan.core.wls import FloatArray

__all__ = ["NestedFits", "nested_many", "told_apart"]

IntArray = npt.NDArray[np.intp]

_NOTHING: Final = 1e-8  # what the design leaves of the groups of a level whose variance cannot be known


class NestedFits(NamedTuple):
    """Fits of n choices: NaN where the estimates do not tell the coefficients or the variances apart."""

    estimate: FloatArray
    """Coefficients, (n, p)."""
    se: FloatArray
    sigma2: FloatArray
    """Variance components, (n, levels)."""
    columns: dict[str, FloatArray]
    """tau2, tau, I2, H2, QE, QE_pvalue, loglik, each of shape (n,)."""
    known: BoolArray
    converged: BoolArray


def nested_many(
    y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray], here: BoolArray, *, restricted: bool
) -> NestedFits:
    """Fit the estimates `here`, shape (k, n), with the arguments of `blocks`."""
    n, p, levels = here.shape[1], x.shape[1], len(groups)
    out = NestedFits(
        np.full((n, p), np.nan), np.full((n, p), np.nan), np.full((n, levels), np.nan),
        {name: np.full(n, np.nan) for name in _COLUMNS}, np.zeros(n, dtype=bool), np.zeros(n, dtype=bool),
    )  # fmt: skip
    for i, keep in enumerate(here.T):
        codes = [np.unique(code[keep], return_inverse=True)[1].astype(np.intp) for code in groups]
        if not _tells(x[keep], codes):
            continue
        _fit(
            out, i, (y[keep], x[keep], v[keep] if v.ndim == 1 else v[np.ix_(keep, keep)], codes), restricted=restricted
        )
    return out


_COLUMNS: Final = ("tau2", "tau", "I2", "H2", "QE", "QE_pvalue", "loglik")


def _tells(x: FloatArray, codes: Sequence[IntArray]) -> bool:
    """Whether there are enough estimates and groups: levels that differ, none told apart by the moderators alone."""
    k, p = x.shape
    counts = [int(code.max()) + 1 for code in codes]
    if k <= p or counts[0] < 2 or len(set(counts)) < len(counts) or not full_rank(x):
        return False
    q = np.linalg.qr(x)[0]
    return not any(told_apart(q, code) for code in codes)


def told_apart(q: FloatArray, code: IntArray) -> bool:
    """Whether the moderators alone tell the groups of a level apart, so that nothing is left to know its variance.

    Parameters
    ----------
    q : array of shape (k, p)
        Orthonormal columns of the design.
    code : array of int, shape (k,)
        Group of each estimate, 0 ...
    """
    groups = int(code.max()) + 1
    if groups > q.shape[1]:
        return False
    member = (code[:, None] == np.arange(groups)) / np.sqrt(np.bincount(code))
    return bool(np.abs(member - q @ (q.T @ member)).max() < _NOTHING)


def _fit(
    out: NestedFits, i: int, arrays: tuple[FloatArray, FloatArray, FloatArray, list[IntArray]], *, restricted: bool
) -> None:
    """Write the fit of one choice into `out`."""
    data = blocks(*arrays)
    best, converged = maximise(data, restricted=restricted)
    k, p = data.q.shape
    back = np.linalg.inv(data.r)
    total, free = float(best.sigma2.sum()), k - p
    typical = free / within_trace(data)
    q = solve(data, np.zeros(data.levels), restricted=True).Q
    out.estimate[i] = back @ best.gamma
    out.se[i] = np.sqrt(np.einsum("pa,ab,pb->p", back, best.cov, back))
    out.sigma2[i], out.known[i], out.converged[i] = best.sigma2, True, converged
    values = (
        total, np.sqrt(total), 100 * total / (total + typical), (total + typical) / typical, q, chdtrc(free, q),
        best.loglik,
    )  # fmt: skip
    for name, value in zip(_COLUMNS, values, strict=True):
        out.columns[name][i] = value
