"""Regressions, GLMMs with moderators and multilevel models fitted again to some of their studies at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.refits_display import SAID_OF_TERMS, notes_of
from metaan.core.many import BoolArray, Many, wald
from metaan.core.many_linear import full_rank, linear_many
from metaan.core.many_nested import nested_many
from metaan.errors import ConvergenceError, OptionError
from metaan.models.design import take
from metaan.models.glmm_regress_result import GlmmRegressResult
from metaan.models.glmm_regression import glmm_regression
from metaan.models.multilevel import _df
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["refit_terms", "table_of_terms"]

_COEFFICIENTS: Final = ("estimate", "se", "ci_low", "ci_high", "statistic", "pvalue")
_RESIDUAL: Final = ("k", "tau2", "tau", "I2", "H2", "QE", "QE_df", "QE_pvalue")
_COUNTED: Final = ("k", "QE_df")


def refit_terms(res: RegressResult, here: BoolArray) -> Many:
    """Coefficients, shape (n, p), and residual heterogeneity, (n,), of the model of `res` for the studies `here`.

    The design is that of `res`, row by row: a refit has the same coefficients, or none.
    """
    if isinstance(res, MultilevelResult):
        return _multilevel(res, here)
    if isinstance(res, GlmmRegressResult):
        return _counts(res, here)
    spec, eff = res.spec, res.effects
    return linear_many(
        eff.yi, eff.vi, res.moderators.matrix, here, method=spec.method, test=spec.test, level=spec.level
    )


def _check(res: RegressResult, name: str) -> None:
    """Refuse robust results, whose covariance is not that of the fit, and models that are not refitted here."""
    if res.spec.cluster is not None:
        raise OptionError(f"{name} does not take robust results: give the result before robust.")
    if res.spec.model not in ("regression", "glmm", "multilevel"):
        raise OptionError(f"{name} takes regressions by regress, glmm and multilevel, not of model {res.spec.model!r}.")


def _multilevel(res: MultilevelResult, here: BoolArray) -> Many:
    spec, eff, x = res.spec, res.effects, res.moderators.matrix
    v = eff.vi if res.vcov is None else res.vcov
    found = nested_many(eff.yi, x, v, res.codes, here, restricted=spec.method == "REML")
    n, p = found.estimate.shape
    df, raised = np.full((n, p), np.inf), np.zeros(n, dtype=bool)
    if spec.test != "z":
        raw = np.array([_degrees(res, keep) for keep in here.T])
        df, raised = np.maximum(raw, 1.0), found.known & (raw < 1).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        of = wald(found.estimate.ravel(), found.se.ravel(), df.ravel(), spec.level)
    columns = {name: of[name].reshape(n, p) for name in _COEFFICIENTS} | found.columns
    columns |= {f"sigma2_{name}": found.sigma2[:, i] for i, name in enumerate(res.levels)}
    columns["k"] = here.sum(axis=0).astype(np.float64)
    columns["QE_df"] = np.maximum(columns["k"] - p, 0.0)
    flags = {
        "undefined": ~found.known,
        "sigma2-zero": (found.sigma2 == 0).any(axis=1),
        "df-raised": raised,
        "not-converged": found.known & ~found.converged,
    }
    return Many(columns, flags)


def _degrees(res: MultilevelResult, keep: BoolArray) -> FloatArray:
    """Degrees of freedom of the coefficients of the estimates `keep`, before they are raised to 1."""
    codes = tuple(np.unique(code[keep], return_inverse=True)[1].astype(np.intp) for code in res.codes)
    return _df(res.spec, dataclasses.replace(res.moderators, matrix=res.moderators.matrix[keep]), codes)


def _counts(res: GlmmRegressResult, here: BoolArray) -> Many:
    """One search after the other; an empty row where a coefficient has no finite estimate."""
    x = res.moderators.matrix
    n, p = here.shape[1], x.shape[1]
    columns: dict[str, FloatArray] = {name: np.full((n, p), math.nan) for name in _COEFFICIENTS}
    columns |= {name: np.full(n, math.nan) for name in (*_RESIDUAL, "loglik")}
    columns["k"] = here.sum(axis=0).astype(np.float64)
    columns["QE_df"] = np.maximum(columns["k"] - p, 0.0)
    flags = {code: np.zeros(n, dtype=bool) for code in ("undefined", "no-maximum", *_OF_GLMM)}
    for i, keep in enumerate(here.T):
        if keep.sum() <= p or not full_rank(x[keep]):
            flags["undefined"][i] = True
            continue
        design = dataclasses.replace(res.moderators, matrix=x[keep], rows=res.moderators.rows[keep])
        try:
            one = glmm_regression(res.spec, take(res.effects, keep), design)
        except ConvergenceError:
            flags["no-maximum"][i] = True
            continue
        for name, column in columns.items():
            column[i] = getattr(one, name)
        for code in _OF_GLMM:
            flags[code][i] = any(note.code == code for note in one.notes)
    return Many(columns, flags)


_OF_GLMM: Final = ("tau2-zero", "two-maxima", "not-converged")


def table_of_terms(res: RegressResult, here: BoolArray, rows: Mapping[str, Any], name: str, where: str) -> pd.DataFrame:
    """One row for each column of `here` and coefficient, after the columns `rows`."""
    import pandas as pd

    _check(res, name)
    many = refit_terms(res, here)
    n, p = here.shape[1], len(res.names)
    columns: dict[str, Any] = {label: [value for value in values for _ in range(p)] for label, values in rows.items()}
    columns["term"] = list(res.names) * n
    columns |= {column: many.columns[column].ravel() for column in _COEFFICIENTS}
    more = [column for column in many.columns if column == "loglik" or column.startswith("sigma2_")]
    for column in (*_RESIDUAL, *more):
        values = np.repeat(many.columns[column], p)
        columns[column] = values.astype(np.int64) if column in _COUNTED else values
    frame = pd.DataFrame(columns)
    labels = [str(label) for label in next(iter(rows.values()))]
    frame.attrs["notes"] = notes_of(many, labels, where, SAID_OF_TERMS)
    return frame
