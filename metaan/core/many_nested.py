"""Multilevel models of many choices among the estimates of one.

With independent sampling errors an estimate that is left out has weight 0, so that all choices, and all starts of
each, climb together; with correlated errors one choice is fitted after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from metaan.core.many import BoolArray
from metaan.core.many_linear import full_rank
from metaan.core.nested import Nested, blocks, fits, parts, within_trace
from metaan.core.nested_search import maximise
from metaan.core.wls import FloatArray

__all__ = ["NestedFits", "nested_many", "told_apart"]

IntArray = npt.NDArray[np.intp]

_NOTHING: Final = 1e-8  # what the design leaves of the groups of a level whose variance cannot be known
_CHUNK: Final = 5_000  # numbers of estimates that are fitted together
_COLUMNS: Final = ("tau2", "tau", "I2", "H2", "QE", "QE_pvalue", "loglik")


class NestedFits(NamedTuple):
    """Fits of n choices: NaN where the estimates do not tell the coefficients or the variances apart."""

    estimate: FloatArray
    """Coefficients, (n, p)."""
    cov: FloatArray
    """Their covariance, (n, p, p)."""
    log_cov: FloatArray
    """Its log-determinant, (n,)."""
    sigma2: FloatArray
    """Variance components, (n, levels)."""
    columns: dict[str, FloatArray]
    """tau2, tau, I2, H2, QE, QE_pvalue, loglik, each of shape (n,)."""
    known: BoolArray
    converged: BoolArray

    @property
    def se(self) -> FloatArray:
        """Standard errors, (n, p)."""
        return np.asarray(np.sqrt(np.diagonal(self.cov, axis1=-2, axis2=-1)))


def nested_many(
    y: FloatArray, x: FloatArray, v: FloatArray, groups: Sequence[IntArray], here: BoolArray, *, restricted: bool
) -> NestedFits:
    """Fit the estimates `here`, shape (k, n), with the arguments of `blocks`."""
    n, p, levels = here.shape[1], x.shape[1], len(groups)
    known = np.array([_tells(x[keep], [code[keep] for code in groups]) for keep in here.T], dtype=bool)
    out = NestedFits(
        np.full((n, p), np.nan), np.full((n, p, p), np.nan), np.full(n, np.nan), np.full((n, levels), np.nan),
        {name: np.full(n, np.nan) for name in _COLUMNS}, known, np.zeros(n, dtype=bool),
    )  # fmt: skip
    at = np.flatnonzero(known)
    together = 1 if v.ndim == 2 else max(1, _CHUNK // (y.size * (p + 1)))
    for some in np.split(at, range(together, at.size, together)) if at.size else ():
        if v.ndim == 1:
            data = parts(y, x, v, groups, here[:, some])
        else:
            keep = here[:, some[0]]
            data = blocks(y[keep], x[keep], v[np.ix_(keep, keep)], [code[keep] for code in groups])
        _fit(out, some, data, restricted=restricted)
    return out


def _tells(x: FloatArray, groups: Sequence[IntArray]) -> bool:
    """Whether there are enough estimates and groups: levels that differ, none told apart by the moderators alone."""
    k, p = x.shape
    if k <= p:
        return False
    codes = [np.unique(code, return_inverse=True)[1] for code in groups]
    counts = [int(code.max()) + 1 for code in codes]
    if counts[0] < 2 or len(set(counts)) < len(counts) or not full_rank(x):
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


def _fit(out: NestedFits, rows: IntArray, data: Nested, *, restricted: bool) -> None:
    """Write the fits of some choices into `out`."""
    sigma2, converged = maximise(data, restricted=restricted)
    best = fits(data, None, sigma2, restricted=restricted)
    zero = fits(data, None, np.zeros_like(sigma2), restricted=True)
    back = np.linalg.inv(data.r)
    total, free = sigma2.sum(axis=1), data.size - best.gamma.shape[1]
    typical = free / within_trace(data, zero.cov)
    out.estimate[rows] = (back @ best.gamma[..., None])[..., 0]
    out.cov[rows] = back @ best.cov @ np.swapaxes(back, -1, -2)
    out.log_cov[rows] = np.linalg.slogdet(best.cov)[1] - 2 * np.linalg.slogdet(data.r)[1]
    out.sigma2[rows], out.converged[rows] = sigma2, converged
    values = (
        total, np.sqrt(total), 100 * total / (total + typical), (total + typical) / typical, zero.Q,
        chdtrc(free, zero.Q), best.loglik,
    )  # fmt: skip
    for name, value in zip(_COLUMNS, values, strict=True):
        out.columns[name][rows] = value
