"""Meta-regressions of many choices among the studies of one: coefficients, their inference and what is left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.coefficients import kenward_roger
from metaan.core.linear import ESTIMATORS, Design, Fit, at, residual_heterogeneity
from metaan.core.many import BoolArray, Many, wald
from metaan.core.wls import FloatArray

__all__ = ["Inner", "full_rank", "inner_covariance", "linear_many"]

IntArray = npt.NDArray[np.intp]

_ROOM: Final = 200_000  # numbers of designs at a time: they stay in the processor's cache
_RANK: Final = 1e-10  # length of a column, scaled to 1, that the columns before it leave
_EXACT: Final = 1e-26  # of the weighted sum of squares: the effects lie on the regression but for rounding
_FEWEST_DF: Final = 0.5  # of Kenward-Roger, below which there is no interval
_BELOW: Final = 0.9995  # of the Hartung-Knapp factor


class Inner(NamedTuple):
    """Covariance of r beta, where the weighted design is q r, and degrees of freedom: (n, p, p) and (n, p)."""

    cov: FloatArray
    df: FloatArray


def linear_many(
    y: FloatArray, v: FloatArray, x: FloatArray, here: BoolArray, *, method: str, test: str, level: float
) -> Many:
    """Fit the studies `here` with the conventions of one meta-regression.

    Parameters
    ----------
    y, v : array of shape (k,)
    x : array of shape (k, p)
    here : array of bool, shape (k, n)
    method, test : str
        Keys of `ESTIMATORS`, and z, t, hk, hk-adhoc or kr.
    level : float

    Returns
    -------
    Many
        Columns of coefficients (estimate, se, ci_low, ci_high, statistic, pvalue, df) of shape (n, p); the others (k,
        tau2, tau, I2, H2, QE, QE_df, QE_pvalue) and the flags (n,). NaN, flagged ``undefined``, where the studies do
        not tell the coefficients.
    """
    n, p = here.shape[1], x.shape[1]
    columns: dict[str, FloatArray] = {name: np.full((n, p), np.nan) for name in _COEFFICIENTS}
    columns |= {name: np.full(n, np.nan) for name in _HETEROGENEITY}
    flags = {code: np.zeros(n, dtype=bool) for code in _FLAGS}
    columns["k"] = here.sum(axis=0).astype(np.float64)
    columns["QE_df"] = np.maximum(columns["k"] - p, 0.0)
    flags["undefined"][:] = True
    for fits, rows in _of_one_size(here, p):
        known = full_rank(x[rows])
        fits, rows = fits[known], rows[known]
        if fits.size:
            made = _fit(Design(y[rows], v[rows], x[rows]), method, test, level)
            for target, source in ((columns, made.columns), (flags, made.flags)):
                for name, value in source.items():
                    target[name][fits] = value
    return Many(columns, flags)


def _of_one_size(here: BoolArray, p: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Refits with equally many studies, more than p: which they are, and the positions of their studies."""
    size = here.sum(axis=0)
    for k in np.unique(size[size > p]):
        fits = np.flatnonzero(size == k)
        width = max(1, _ROOM // (int(k) * p))
        for start in range(0, fits.size, width):
            part = fits[start : start + width]
            yield part, np.nonzero(here[:, part].T)[1].reshape(part.size, int(k))


def full_rank(x: FloatArray) -> BoolArray:
    """Whether no column of designs of shape (..., k, p), k >= p, is a combination of those before it, to rounding."""
    size = np.sqrt((x * x).sum(axis=-2, keepdims=True))
    r = np.linalg.qr(x / np.where(size > 0, size, 1.0), mode="r")
    left = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    return np.asarray((left > _RANK).all(axis=-1))


def _fit(data: Design, method: str, test: str, level: float) -> Many:
    tau2 = np.maximum(ESTIMATORS[method](data), 0.0)
    fit, plain, free = at(data, tau2), at(data, 0.0), data.df
    exact = np.less_equal(fit.Q, _EXACT * (fit.w * data.y**2).sum(axis=-1))
    scale = np.where(exact, 0.0, fit.Q) / free
    inner = inner_covariance(fit, test, scale)
    back = np.linalg.inv(fit.r)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(np.einsum("npa,nab,npb->np", back, inner.cov, back))
        usable = (inner.df > _FEWEST_DF) & np.isfinite(se)
        se, df = np.where(usable, se, np.nan), np.where(usable, inner.df, np.nan)
        of = wald(fit.beta.ravel(), se.ravel(), df.ravel(), level)
        columns = {name: of[name].reshape(fit.beta.shape) for name in _COEFFICIENTS}
        columns |= residual_heterogeneity(tau2, plain, free, common=method == "CE")
    knapp = test in ("hk", "hk-adhoc")
    flags = {
        "undefined": np.zeros_like(exact),
        "tau2-zero": (tau2 == 0) & (method != "CE"),
        "no-df": ~usable.all(axis=1),
        "hk-common": np.full_like(exact, knapp and method == "CE"),
        "identical": (scale == 0) & (test == "hk"),
        "hk-narrow": (scale > 0) & (scale < _BELOW) & (test == "hk"),
    }
    return Many(columns, flags)


_COEFFICIENTS: Final = ("estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "df")
_HETEROGENEITY: Final = ("tau2", "tau", "I2", "H2", "QE", "QE_pvalue")
_FLAGS: Final = ("undefined", "tau2-zero", "no-df", "hk-common", "identical", "hk-narrow")


def inner_covariance(fit: Fit, test: str, scale: FloatArray) -> Inner:
    """As `metaan.core.coefficients.covariance`, for data sets in one leading dimension; `scale` is Q/(k - p)."""
    n, _, p = fit.q.shape
    if test == "kr":
        return _kenward_roger(fit)
    factor = {"hk": scale, "hk-adhoc": np.maximum(scale, 1.0)}.get(test, np.ones_like(scale))
    free = (fit.w > 0).sum(axis=-1, keepdims=True) - p
    df = np.broadcast_to(np.inf if test == "z" else free.astype(np.float64), (n, p))
    return Inner(np.eye(p) * factor[:, None, None], df)


def _kenward_roger(fit: Fit) -> Inner:
    of, turned = kenward_roger(fit), np.linalg.inv(fit.r)
    with np.errstate(divide="ignore", invalid="ignore"):
        c = turned @ of.cov
        ratio = np.einsum("npa,npa->np", c, turned) / np.einsum("npa,nab,npb->np", c, of.squared, c)
        return Inner(of.cov, 2 * of.information[:, None] * ratio**2)
