"""The same meta-regression with its moderators dealt out anew: what a permutation test compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaan.core.rearranged import Permuted, rearranged
from metaan.errors import InputError, OptionError

if TYPE_CHECKING:
    from metaan.models.regress_result import RegressResult

__all__ = ["Permuted", "check_dealt", "dealt", "permuted"]


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
    eff, spec, of = fit.effects, fit.spec, fit.moderators
    return rearranged(eff.yi, eff.vi, of.matrix, rows, method=spec.method, test=spec.test, intercept=of.intercept)


def _orders(orders: Any, k: int) -> npt.NDArray[np.intp]:
    rows = np.atleast_2d(np.asarray(orders))
    if rows.ndim != 2 or rows.shape[1] != k or rows.dtype.kind not in "iu" or rows.shape[0] == 0:
        raise InputError(f"orders must be whole numbers, one row of {k} positions for each rearrangement.")
    if (np.sort(rows, axis=1) != np.arange(k)).any():
        raise InputError(f"Each row of orders must have every position from 0 to {k - 1} once.")
    return rows.astype(np.intp)
