"""Pooling of many meta-analyses at once: what one result holds, a column of numbers for each of its names."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from metaan.core.compiled import ENOUGH, wanted
from metaan.core.heterogeneity import Cochran, cochran, i2_h2, q_pvalue
from metaan.core.inference import INTERVALS, TESTS, Mean, Pieces, log_pvalue, pieces, quantile
from metaan.core.memory import keep_freed
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data, FloatArray

__all__ = ["BoolArray", "Many", "masked", "pool_many", "quantiles", "some", "wald"]

BoolArray = npt.NDArray[np.bool_]
_FEWEST_DF: Final = 0.5  # of Kenward-Roger, below which there is no interval


class Many(NamedTuple):
    """Results of n meta-analyses."""

    columns: dict[str, FloatArray]
    """Numbers by the names that one result has, each of shape (n,)."""
    flags: dict[str, BoolArray]
    """Where each automatic decision was taken, by the code of its note, each of shape (n,)."""


def some(data: Data, here: BoolArray) -> Data:
    """One meta-analysis, shape (k,), as n of them that have the studies `here`, shape (k, n)."""
    y, v = data.y[:, None], data.v[:, None]
    present = here.astype(np.float64)
    return Data(y * present, np.where(here, v, np.inf), v * present, present, present.sum(axis=0))


def masked(values: FloatArray | None, here: BoolArray) -> FloatArray | None:
    """Weights of one meta-analysis, shape (k,), 0 where a study is not `here`, shape (k, n)."""
    return None if values is None else np.where(here, values[:, None], 0.0)


def pool_many(data: Data, *, method: str, test: str, level: float, pi: str, weights: FloatArray | None = None) -> Many:
    """Inverse-variance pooling of n meta-analyses of at least one study each.

    Parameters
    ----------
    data : Data
        Of shape (k, n).
    method, test, pi : str
        Keys of `ESTIMATORS`, `TESTS` and `INTERVALS`, or ``pi="none"``.
    level : float
    weights : array of shape (k, n), optional
        Weights of GENQ, 0 for an absent study.
    """
    keep_freed()
    estimate = ESTIMATORS[method](data, weights)
    p, q, same = _sums(data, estimate.tau2, weights, {test, pi})
    one = data.k == 1
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _inference(data, p, test, one)
        columns = wald(p.mu, np.sqrt(mean.variance), np.asarray(mean.df), level)
        columns |= _prediction(data, estimate.tau2, p, level, "none" if method == "CE" else pi)
    columns |= _heterogeneity(data, method, estimate.tau2, q)
    columns["converged"] = estimate.converged.astype(np.float64)
    flags = {
        "one-study": one,
        "tau2-zero": ~one & (estimate.tau2 == 0) & (method != "CE"),
        "two-maxima": estimate.maxima > 1,
        "not-converged": ~estimate.converged,
        "no-df": np.isnan(columns["se"]),
    }
    return Many(
        columns, flags | _hartung_knapp(data, p, same, method, test, level, columns) | _about_prediction(pi, columns)
    )


def _inference(data: Data, p: Pieces, test: str, one: BoolArray) -> Mean:
    """Variance and degrees of freedom; the normal interval for one study, none where Kenward-Roger has too few df."""
    mean = TESTS[test](data, p)
    variance = np.where(one, p.variance, mean.variance)
    df = np.where(one, np.inf, mean.df)
    if test != "kr":
        return Mean(variance, df)
    usable = one | (np.isfinite(variance) & (df > _FEWEST_DF))
    return Mean(np.where(usable, variance, np.nan), np.where(usable, df, np.nan))


def wald(mu: FloatArray, se: FloatArray, df: FloatArray, level: float) -> dict[str, FloatArray]:
    """Estimate, interval and test of mu = 0."""
    half = quantiles(df, level) * se
    statistic = np.where(se > 0, mu / se, np.where(mu != 0, np.copysign(np.inf, mu), np.nan))
    statistic = np.where(np.isnan(se), np.nan, statistic)
    log_p = np.asarray(log_pvalue(statistic, df))
    return {
        "estimate": mu, "se": se, "ci_low": mu - half, "ci_high": mu + half, "statistic": statistic,
        "pvalue": np.exp(log_p), "log_pvalue": log_p, "df": df,
    }  # fmt: skip


def quantiles(df: FloatArray, level: float) -> FloatArray:
    """Two-sided quantile of t for each element, computed once for each different number of degrees of freedom."""
    if df.size and df.min() == df.max():
        return np.full(df.shape, quantile(float(df[0]), level))
    different, which = np.unique(df, return_inverse=True)
    return np.asarray(quantile(different, level)[which])


def _prediction(data: Data, tau2: FloatArray, p: Pieces, level: float, pi: str) -> dict[str, FloatArray]:
    """Prediction limits, NaN for fewer than three studies."""
    if pi == "none":
        return {"pi_low": np.full_like(p.mu, np.nan), "pi_high": np.full_like(p.mu, np.nan)}
    mean = INTERVALS[pi](data, tau2, p)
    df = np.where(data.k >= 3, mean.df, np.nan)
    half = quantiles(df, level) * np.sqrt(mean.variance)
    return {"pi_low": p.mu - half, "pi_high": p.mu + half}


def _heterogeneity(data: Data, method: str, tau2: FloatArray, q: Cochran) -> dict[str, FloatArray]:
    """From tau2 and the typical variance; from Q where tau2 is not estimated."""
    df = data.k - 1
    i2, h2 = i2_h2(tau2, q.typical)
    if method == "CE":
        h2 = np.where(df > 0, q.Q / np.maximum(df, 1), 1.0)
        i2 = np.where(h2 > 1, 100 * (1 - 1 / np.maximum(h2, 1.0)), 0.0)
    return {
        "k": data.k, "tau2": tau2, "tau": np.sqrt(tau2), "I2": i2, "H2": h2, "Q": q.Q, "Q_df": df,
        "Q_pvalue": q.pvalue,
    }  # fmt: skip


def _sums(
    data: Data, tau2: FloatArray, weights: FloatArray | None, asked: set[str]
) -> tuple[Pieces, Cochran, BoolArray]:
    """Sums at tau2 and at 0, and whether all effects are the same; without those of single studies where compiled."""
    if weights is not None or "kr" in asked or not wanted(data.v.size, ENOUGH):
        return pieces(data, tau2, weights), cochran(data), _same(data)
    from metaan.core.compiled_tau2 import sums

    out, same = np.empty((5, tau2.size)), np.empty(tau2.size, dtype=np.bool_)
    sums(data.y, data.v, tau2, out, same)
    none = np.empty((0, tau2.size))
    return Pieces(out[0], out[1], out[2], none, none), Cochran(out[3], q_pvalue(out[3], data.k), out[4]), same


def _same(data: Data) -> BoolArray:
    if data.here is None:
        low, high = data.y.min(axis=0), data.y.max(axis=0)
    else:
        present = data.here > 0
        low = data.y.min(axis=0, where=present, initial=np.inf)
        high = data.y.max(axis=0, where=present, initial=-np.inf)
    return np.asarray(high - low <= 1e-14 * np.maximum(high, -low))


def _hartung_knapp(
    data: Data, p: Pieces, same: BoolArray, method: str, test: str, level: float, columns: dict[str, FloatArray]
) -> dict[str, BoolArray]:
    if test not in ("hk", "hk-adhoc"):
        return {}
    several = data.k > 1
    if method == "CE":
        return {"hk-common": several}
    identical = several & same
    half = (columns["ci_high"] - columns["ci_low"]) / 2
    narrow = several & ~identical & (half < np.sqrt(p.variance) * ndtri((1 + level) / 2))
    return {"identical": identical, "hk-narrow": narrow}


def _about_prediction(pi: str, columns: dict[str, FloatArray]) -> dict[str, BoolArray]:
    if pi == "none":
        return {}
    width = columns["pi_high"] - columns["pi_low"]
    narrow = width < (columns["ci_high"] - columns["ci_low"]) * (1 - 1e-9)
    return {"no-pi": np.isnan(width), "pi-narrow": narrow}
