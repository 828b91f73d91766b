"""Multilevel models without each estimate, or each cluster of them, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.many import BoolArray
from metaan.core.many_nested import NestedFits, nested_many
from metaan.core.nested import Nested, blocks, fits, solve
from metaan.core.wls import FloatArray

__all__ = ["NestedDeleted", "marginal", "of_nested"]

IntArray = npt.NDArray[np.intp]
_AT_ONCE: Final = 100_000  # numbers of estimates that are taken together


class NestedDeleted(NamedTuple):
    """What the fits without each of n sets of estimates say of it; NaN where there is none."""

    rstudent: FloatArray
    """Of each of the k estimates, from the fit without its set."""
    statistic: FloatArray
    """Squared length of the residuals of a set, in the metric of their covariance, (n,)."""
    cooks_d: FloatArray
    cov_ratio: FloatArray
    dfbetas: FloatArray
    """(n, p)."""
    fits: NestedFits


def of_nested(
    y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray], sigma2: FloatArray, gone: BoolArray,
    *, restricted: bool,
) -> NestedDeleted:  # fmt: skip
    """Fit again without the estimates `gone`, shape (k, n), each of which is gone once.

    Parameters
    ----------
    y, x, v, groups
        As in `blocks`.
    sigma2 : array of shape (levels,)
        Variance components of all estimates together.
    gone : array of bool, shape (k, n)
    restricted : bool
    """
    n, p = gone.shape[1], x.shape[1]
    made = nested_many(y, x, v, groups, ~gone, restricted=restricted)
    data = blocks(y, x, v, groups)
    r, full = data.r[0], solve(data, sigma2, restricted=restricted)
    beta = np.linalg.solve(r, full.gamma)
    log_cov = float(np.linalg.slogdet(full.cov)[1] - 2 * np.linalg.slogdet(r)[1])
    blank = np.full(n, np.nan)
    out = NestedDeleted(
        np.full(y.size, np.nan),
        blank.copy(),
        blank.copy(),
        np.exp(made.log_cov - log_cov),
        np.full((n, p), np.nan),
        made,
    )
    known = np.flatnonzero(made.known)
    d = beta - made.estimate[known]
    turned = d @ r.T
    out.cooks_d[known] = (turned * np.linalg.solve(full.cov, turned.T).T).sum(axis=1)
    out.dfbetas[known] = d / _errors(data, made.sigma2[known])
    for i in known:
        away = gone[:, i]
        spread = marginal(v, groups, made.sigma2[i], away) + x[away] @ made.cov[i] @ x[away].T
        residual = y[away] - x[away] @ made.estimate[i]
        out.rstudent[away] = residual / np.sqrt(np.diagonal(spread))
        out.statistic[i] = residual @ np.linalg.solve(spread, residual)
    return out


def marginal(v: FloatArray, groups: Sequence[IntArray], sigma2: FloatArray, rows: BoolArray) -> FloatArray:
    """Covariance of the estimates `rows` at sigma2."""
    total = np.diag(v[rows]) if v.ndim == 1 else v[np.ix_(rows, rows)].copy()
    for s2, code in zip(sigma2, groups, strict=True):
        total += s2 * (code[rows][:, None] == code[rows])
    return total


def _errors(data: Nested, sigma2: FloatArray) -> FloatArray:
    """Standard errors of the coefficients of all estimates at sigma2, (n, levels): (n, p)."""
    together = max(1, _AT_ONCE // data.y.size)
    pieces = [sigma2[i : i + together] for i in range(0, len(sigma2), together)]
    back = np.linalg.inv(data.r[0])
    spread = [np.einsum("pa,nab,pb->np", back, fits(data, None, s2, restricted=True).cov, back) for s2 in pieces]
    return np.sqrt(np.concatenate(spread)) if spread else np.empty((0, len(back)))
