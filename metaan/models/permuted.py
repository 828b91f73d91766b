"""The same meta-regression with its moderators dealt out anew: what a permutation test compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.linear import ESTIMATORS, Design, at
from metaan.errors import InputError, OptionError
from metaan.validate import FloatArray

if TYPE_CHECKING:
    from metaan.models.regress_result import RegressResult

__all__ = ["Permuted", "check_dealt", "dealt", "permuted"]

_ROOM: Final = 400_000  # numbers in the largest array at a time


class Permuted(NamedTuple):
    """Fits of n rearrangements.

    Parameters
    ----------
    statistic : array of shape (n, p)
        z or t of each coefficient.
    QM : array of shape (n,)
        Test of the moderators; NaN where there are none.
    tau2 : array of shape (n,)
    """

    statistic: FloatArray
    QM: FloatArray
    tau2: FloatArray


def permuted(fit: RegressResult, orders: Any) -> Permuted:
    """Refit with the rows of the design rearranged; see `RegressResult.permuted`."""
    check_dealt(fit, "permuted")
    return dealt(fit, _orders(orders, fit.k))


def check_dealt(fit: RegressResult, name: str) -> None:
    """Refuse what is not fitted again with other moderators."""
    if fit.spec.model != "regression" or fit.spec.test not in ("z", "t", "hk", "hk-adhoc"):
        what = f"model {fit.spec.model!r}" if fit.spec.model != "regression" else f"test={fit.spec.test!r}"
        raise OptionError(f"{name} refits metaan.regress with test z, t, hk or hk-adhoc, not {what}.")


def dealt(fit: RegressResult, rows: npt.NDArray[np.intp]) -> Permuted:
    """Refit with the design of the studies `rows`, (n, k): alike rows may stand for each other."""
    width = max(1, _ROOM // (fit.k * len(fit.names)))
    parts = [_refit(fit, rows[i : i + width]) for i in range(0, len(rows), width)]
    return Permuted(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _orders(orders: Any, k: int) -> npt.NDArray[np.intp]:
    rows = np.atleast_2d(np.asarray(orders))
    if rows.ndim != 2 or rows.shape[1] != k or rows.dtype.kind not in "iu" or rows.shape[0] == 0:
        raise InputError(f"orders must be whole numbers, one row of {k} positions for each rearrangement.")
    if (np.sort(rows, axis=1) != np.arange(k)).any():
        raise InputError(f"Each row of orders must have every position from 0 to {k - 1} once.")
    return rows.astype(np.intp)


def _refit(fit: RegressResult, rows: npt.NDArray[np.intp]) -> Permuted:
    eff, spec = fit.effects, fit.spec
    data = Design(np.tile(eff.yi, (len(rows), 1)), np.tile(eff.vi, (len(rows), 1)), fit.moderators.matrix[rows])
    tau2 = np.maximum(ESTIMATORS[spec.method](data), 0.0)
    found = at(data, tau2)
    inflated = found.Q / (fit.k - len(fit.names))
    scale = {"hk": inflated, "hk-adhoc": np.maximum(inflated, 1.0)}.get(spec.test, np.ones_like(tau2))
    variance = np.diagonal(found.cov, axis1=1, axis2=2) * scale[:, None]
    keep = [i for i in range(len(fit.names)) if i != fit.moderators.intercept]
    joint = np.full(len(rows), np.nan)
    if keep:  # in the orthonormal basis of the design, as `joint_test`
        basis = np.linalg.qr(np.swapaxes(np.linalg.inv(found.r)[:, keep], 1, 2))[0]
        value = np.swapaxes(basis, 1, 2) @ (found.r @ found.beta[..., None])
        wald = (value[..., 0] ** 2).sum(axis=1) / scale
        joint = wald if spec.test == "z" else wald / len(keep)
    return Permuted(found.beta / np.sqrt(variance), joint, tau2)
