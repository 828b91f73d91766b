"""Everything of a regression's result that follows from its coefficients and their covariance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metaan.core.coefficients import Covariance, joint_test
from metaan.core.inference import log_pvalue, quantile
from metaan.validate import FloatArray

__all__ = ["coefficient_fields", "moderator_fields"]


def coefficient_fields(beta: FloatArray, of: Covariance, level: float) -> dict[str, Any]:
    """Fields se, limits, statistic, p-values and df, arrays of shape (p,)."""
    se = np.sqrt(of.spread(np.eye(len(beta))))
    df = np.array([of.contrast_df(row) for row in np.eye(len(beta))])
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = beta / se
    log_p = np.array([float(log_pvalue(s, d)) for s, d in zip(statistic, df, strict=True)])
    half = np.array([float(quantile(d, level)) for d in df]) * se
    return {
        "se": se, "ci_low": beta - half, "ci_high": beta + half, "statistic": statistic, "pvalue": np.exp(log_p),
        "log_pvalue": log_p, "df": df,
    }  # fmt: skip


def moderator_fields(beta: FloatArray, of: Covariance, intercept: int | None) -> dict[str, Any]:
    """Fields QM, QM_df, QM_df2, QM_pvalue: the joint test of all coefficients but the intercept."""
    keep = [i for i in range(len(beta)) if i != intercept]
    if not keep:
        return {"QM": math.nan, "QM_df": 0, "QM_df2": math.nan, "QM_pvalue": math.nan}
    test = joint_test(beta, of, np.eye(len(beta))[keep])
    return {"QM": test.statistic, "QM_df": test.df, "QM_df2": test.df2, "QM_pvalue": test.pvalue}
