"""Mantel-Haenszel and Peto for many choices among the trials of one meta-analysis: sums over the trials present."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from metaan.core.heterogeneity import cochran
from metaan.core.many import BoolArray, Many, some, wald
from metaan.core.tables import KINDS
from metaan.core.wls import Data, FloatArray

__all__ = ["Cells", "common_effects", "tables_many"]

Cells = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def tables_many(measure: str, cells: Cells, data: Data, here: BoolArray, *, level: float) -> Many:
    """Common effect of the trials `here`, with the conventions of one meta-analysis.

    Parameters
    ----------
    measure : {"OR", "RR", "RD", "IRR", "IRD", "PETO"}
    cells : tuple of four arrays of shape (k,)
        Events and non-events (or times) of the treated arm, then of the control arm.
    data : Data
        Effect of each trial by itself, shape (k,), for Q.
    here : array of bool, shape (k, n)
        Trials of each of n meta-analyses, at least one.
    level : float
    """
    kind = KINDS[measure]
    present = here.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = kind.pooled(*(term @ present for term in kind.terms(*cells)))
        known = np.isfinite(estimate) & (variance > 0)
        estimate, variance = np.where(known, estimate, np.nan), np.where(known, variance, np.nan)
        columns = wald(estimate, np.sqrt(variance), np.full(estimate.shape, np.inf), level)
    q, q_df = _heterogeneity(measure, cells, data, here, estimate)
    columns |= _spread(np.where(known, q, np.nan), q_df)
    columns |= {"k": here.sum(axis=0).astype(np.float64), "converged": np.ones(here.shape[1])}
    return Many(columns, {"undefined": ~known})


def common_effects(measure: str, cells: Cells) -> FloatArray:
    """Common effect of n meta-analyses with cells of their own, shape (k, n); NaN or infinite where there is none."""
    kind = KINDS[measure]
    with np.errstate(divide="ignore", invalid="ignore"):
        return kind.pooled(*(term.sum(axis=0) for term in kind.terms(*cells)))[0]


def _heterogeneity(
    measure: str, cells: Cells, data: Data, here: BoolArray, estimate: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Q about the pooled effect, over the trials with events (and, of two-by-two tables, with non-events)."""
    if measure == "PETO":
        return cochran(some(data, here)).Q, here.sum(axis=0) - 1.0
    one, two, three, four = cells
    events = one + three > 0
    if measure in ("OR", "RR", "RD"):
        events &= two + four > 0
    inside = here & events[:, None]
    df = np.maximum(inside.sum(axis=0) - 1.0, 0.0)
    distance = data.y[:, None] - estimate
    q = np.where(inside, distance * distance / data.v[:, None], 0.0).sum(axis=0)
    return np.where(df > 0, q, 0.0), df


def _spread(q: FloatArray, df: FloatArray) -> dict[str, FloatArray]:
    """Heterogeneity from Q: tau2 is 0 in a common-effect model; NaN where there is no estimate."""
    free = np.maximum(df, 1.0)
    nothing = np.where(np.isnan(q), np.nan, 0.0)
    h2 = np.where(df > 0, q / free, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        i2 = np.where(q > 0, np.maximum(0.0, 100 * (q - df) / q), 0.0)
    empty = np.full_like(q, np.nan)
    return {
        "pi_low": empty, "pi_high": empty, "tau2": nothing, "tau": nothing, "I2": i2 + nothing, "H2": h2 + nothing,
        "Q": q, "Q_df": df, "Q_pvalue": np.where(df > 0, chdtrc(free, q), 1.0) + nothing,
    }  # fmt: skip
