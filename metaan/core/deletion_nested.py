"""Multilevel models without each estimate, or each cluster of them, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.deletion import log_size
from metaan.core.many import BoolArray
from metaan.core.many_nested import NestedFits, nested_many
from metaan.core.nested import Nested, blocks, solve
from metaan.core.wls import FloatArray

__all__ = ["NestedDeleted", "marginal", "of_nested"]

IntArray = npt.NDArray[np.intp]


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
    """Fit again without the estimates `gone`, shape (k, n), each of which is gone once: one fit after the other.

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
    fits = nested_many(y, x, v, groups, ~gone, restricted=restricted)
    data = blocks(y, x, v, groups)
    full = solve(data, sigma2, restricted=restricted)
    beta = np.linalg.solve(data.r, full.gamma)
    out = NestedDeleted(
        np.full(y.size, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.full((n, p), np.nan),
        fits,
    )  # fmt: skip
    for i in np.flatnonzero(fits.known):
        away, s2 = gone[:, i], fits.sigma2[i]
        rest = _part(y, x, v, groups, ~away)
        found = solve(rest, s2, restricted=restricted)
        back = np.linalg.inv(rest.r)
        cov = back @ found.cov @ back.T
        spread = marginal(v, groups, s2, away) + x[away] @ cov @ x[away].T
        residual = y[away] - x[away] @ fits.estimate[i]
        d = beta - fits.estimate[i]
        turned = data.r @ d
        out.rstudent[away] = residual / np.sqrt(np.diagonal(spread))
        out.statistic[i] = residual @ np.linalg.solve(spread, residual)
        out.cooks_d[i] = turned @ np.linalg.solve(full.cov, turned)
        log_ratio = np.linalg.slogdet(found.cov)[1] - np.linalg.slogdet(full.cov)[1]
        out.cov_ratio[i] = np.exp(log_ratio + 2 * (log_size(data.r) - log_size(rest.r)))
        out.dfbetas[i] = d / _errors(data, s2)
    return out


def _part(y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray], keep: BoolArray) -> Nested:
    return blocks(y[keep], x[keep], v[keep] if v.ndim == 1 else v[np.ix_(keep, keep)], [code[keep] for code in groups])


def marginal(v: FloatArray, groups: Sequence[IntArray], sigma2: FloatArray, rows: BoolArray) -> FloatArray:
    """Covariance of the estimates `rows` at sigma2."""
    total = np.diag(v[rows]) if v.ndim == 1 else v[np.ix_(rows, rows)].copy()
    for s2, code in zip(sigma2, groups, strict=True):
        total += s2 * (code[rows][:, None] == code[rows])
    return total


def _errors(data: Nested, sigma2: FloatArray) -> FloatArray:
    """Standard errors of the coefficients of all estimates at sigma2."""
    back = np.linalg.inv(data.r)
    cov = solve(data, sigma2, restricted=True).cov
    return np.asarray(np.sqrt(np.einsum("pa,ab,pb->p", back, cov, back)))
