"""Meta-regression without each study in turn: its residual, and how far the coefficients move."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.coefficients import Covariance
from metaan.core.deletion import FEWEST_DF, Deletion, log_size
from metaan.core.linear import ESTIMATORS, Design, at
from metaan.core.many import BoolArray
from metaan.core.many_linear import full_rank, inner_covariance
from metaan.core.wls import FloatArray

__all__ = ["Deleted", "Whole", "of_regression"]

IntArray = npt.NDArray[np.intp]

_ROOM: Final = 1_000_000  # numbers in the largest array at a time
_POINTS: Final = 200  # that the search of a likelihood looks at
_ROUNDING: Final = 1e-12  # of the largest effect: a smaller residual from an exact fit is none
_EXACT: Final = 1e-26  # of the weighted sum of squares: the effects lie on the regression but for rounding


class Whole(NamedTuple):
    """The regression of all studies."""

    y: FloatArray
    v: FloatArray
    x: FloatArray
    """(k, p)."""
    beta: FloatArray
    inference: Covariance
    hat: FloatArray
    """Leverages, (k,)."""


class Deleted(NamedTuple):
    """What the fits without each study say of it; NaN where there is none."""

    diagnostics: Deletion
    """dfbetas of shape (k, p)."""
    shift: FloatArray
    """Squared shift of the study's fitted value, over its variance in the fit without the study."""
    tau2: FloatArray
    Q: FloatArray
    flags: dict[str, BoolArray]


class _Fits(NamedTuple):
    """Fits of n sets of k - 1 studies, basis of the weighted design: x = q r."""

    beta: FloatArray
    inner: FloatArray
    r: FloatArray
    tau2: FloatArray
    Q: FloatArray
    factor: FloatArray
    """That of the Hartung-Knapp variances; 1 for other tests."""
    exact: BoolArray


def of_regression(of: Whole, *, method: str, test: str) -> Deleted:
    """Deletion diagnostics of a meta-regression, all refits of equal size together.

    Parameters
    ----------
    of : Whole
    method, test : str
        Keys of `ESTIMATORS`, and z, t, hk, hk-adhoc or kr.
    """
    k, p = of.x.shape
    made = np.full((k, 7 + p), np.nan)
    flags = {code: np.zeros(k, dtype=bool) for code in ("undefined", "tau2-zero", "no-df", "hk-common", "identical")}
    flags["undefined"][:] = True
    width = max(1, _ROOM // (_POINTS * k * p))
    for start in range(0, k if k - 1 > p else 0, width):
        gone = np.arange(start, min(start + width, k))
        rows = np.arange(k - 1) + (np.arange(k - 1) >= gone[:, None])
        known = full_rank(of.x[rows])
        gone, rows = gone[known], rows[known]
        if not gone.size:
            continue
        fits = _fit(Design(of.y[rows], of.v[rows], of.x[rows]), method, test)
        made[gone] = _diagnostics(of, gone, fits)
        flags["undefined"][gone] = False
        flags["tau2-zero"][gone] = (fits.tau2 == 0) & (method != "CE")
        flags["no-df"][gone] = np.isnan(made[gone, 0]) & (test == "kr")
        flags["hk-common"][gone] = (test in ("hk", "hk-adhoc")) & (method == "CE")
        flags["identical"][gone] = fits.exact & (test == "hk")
    rstudent, dffits, cooks_d, cov_ratio, shift, tau2, q = made[:, :7].T
    return Deleted(Deletion(rstudent, dffits, cooks_d, cov_ratio, made[:, 7:], of.hat), shift, tau2, q, flags)


def _fit(data: Design, method: str, test: str) -> _Fits:
    tau2 = np.maximum(ESTIMATORS[method](data), 0.0)
    fit = at(data, tau2)
    exact = np.less_equal(fit.Q, _EXACT * (fit.w * data.y**2).sum(axis=-1))
    scale = np.where(exact, 0.0, fit.Q) / data.df
    with np.errstate(divide="ignore", invalid="ignore"):
        made = inner_covariance(fit, test, scale)
        usable = np.asarray((made.df > FEWEST_DF).all(axis=1))
        inner = np.where(usable[:, None, None], made.cov, np.nan)
    factor = {"hk": scale, "hk-adhoc": np.maximum(scale, 1.0)}.get(test, np.ones_like(scale))
    return _Fits(fit.beta, inner, fit.r, tau2, at(data, 0.0).Q, factor, exact)


def _diagnostics(of: Whole, gone: IntArray, fits: _Fits) -> FloatArray:
    """Columns rstudent, dffits, cooks_d, cov_ratio, shift, tau2, Q and p dfbetas of the studies `gone`."""
    x, v, hat = of.x[gone], of.v[gone], of.hat[gone]
    residual = of.y[gone] - np.einsum("np,np->n", x, fits.beta)
    same = fits.exact & (np.abs(residual) <= _ROUNDING * np.abs(of.y).max())
    residual, d = np.where(same, 0.0, residual), np.where(same[:, None], 0.0, of.beta - fits.beta)
    back = np.linalg.inv(fits.r)
    c = np.einsum("np,npa->na", x, back)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.einsum("na,nab,nb->n", c, fits.inner, c)
        own, moved = fits.factor * (v + fits.tau2), np.einsum("np,np->n", x, d)
        turned = d @ of.inference.r.T
        cooks = np.einsum("na,na->n", turned, _solved(of.inference.inner, turned))
        ratio = np.exp(
            _log_det(fits.inner) - _log_det(of.inference.inner) + 2 * (log_size(of.inference.r) - log_size(fits.r))
        )
        every = at(Design(of.y[None], of.v[None], of.x[None]), fits.tau2)
        unit = np.sqrt(fits.factor[:, None] * (np.linalg.inv(every.r) ** 2).sum(axis=-1))
        return np.column_stack(
            [
                residual / np.sqrt(own + spread), moved / np.sqrt(hat * own), cooks, ratio, moved**2 / spread,
                fits.tau2, fits.Q, d / unit,
            ]
        )  # fmt: skip


def _solved(inner: FloatArray, rows: FloatArray) -> FloatArray:
    """Rows times the inverse of a covariance; NaN where it is 0: the effects lie on the regression."""
    if not np.isfinite(inner).all() or np.trace(inner) <= 0:
        return np.full_like(rows, np.nan)
    return np.asarray(np.linalg.solve(inner, rows.T).T)


def _log_det(inner: FloatArray) -> FloatArray:
    """Logarithm of the determinant; NaN where a Kenward-Roger covariance is none."""
    usable = np.asarray(np.isfinite(inner).all(axis=(-2, -1)))
    sign, log = np.linalg.slogdet(np.where(usable[..., None, None], inner, np.eye(inner.shape[-1])))
    return np.asarray(np.where(usable & (sign >= 0), log, np.nan))
