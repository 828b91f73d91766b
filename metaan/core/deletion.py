"""What one study does to the rest: its residual from the fit without it, and how far the fit moves."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import chdtr

from metaan.core.inference import TESTS, pieces
from metaan.core.many import BoolArray, Many, masked, some
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data, FloatArray, q_statistic

__all__ = ["FEWEST_DF", "Deletion", "influential", "log_size", "of_common", "of_counts", "of_effects", "without_each"]

_CHUNK: Final = 200_000  # studies times fits at a time: arrays stay in the processor's cache
FEWEST_DF: Final = 0.5  # of Kenward-Roger, below which there is no interval
_ROUNDING: Final = 1e-15  # of the largest effect: a smaller difference is none


class Deletion(NamedTuple):
    """Diagnostics of k studies, arrays of shape (k,)."""

    rstudent: FloatArray
    dffits: FloatArray
    cooks_d: FloatArray
    cov_ratio: FloatArray
    dfbetas: FloatArray
    """(k,), or (k, p) of p coefficients."""
    hat: FloatArray


def without_each(one: Data, *, method: str, test: str, weights: FloatArray | None = None) -> Many:
    """Inverse-variance pooling without each study and, last, of all: no more of it than the diagnostics need.

    Parameters
    ----------
    one : Data
        All studies, shape (k,).
    method, test : str
        Keys of `ESTIMATORS` and `TESTS`.
    weights : array of shape (k,), optional
        Weights of GENQ.

    Returns
    -------
    Many
        Columns estimate, se, tau2, Q and factor, that of the Hartung-Knapp variances (1 for other tests and for one
        study), each of shape (k + 1,).
    """
    k = one.y.size
    here = np.ones((k, k + 1), dtype=bool)
    np.fill_diagonal(here, False)
    width = max(1, _CHUNK // k)
    parts = [_pooled(one, here[:, start : start + width], method, test, weights) for start in range(0, k + 1, width)]
    if len(parts) == 1:
        return parts[0]
    return Many(
        *(
            {name: np.concatenate([getattr(part, kind)[name] for part in parts]) for name in getattr(parts[0], kind)}
            for kind in Many._fields
        )
    )


def _pooled(one: Data, here: BoolArray, method: str, test: str, weights: FloatArray | None) -> Many:
    data, a = some(one, here), masked(weights, here)
    found = ESTIMATORS[method](data, a)
    p = pieces(data, found.tau2, a)
    single = data.k == 1
    factor, variance = np.ones_like(p.mu), p.variance
    with np.errstate(divide="ignore", invalid="ignore"):
        if test in ("hk", "hk-adhoc"):
            factor = np.where(single, 1.0, np.maximum(p.q, 1.0) if test == "hk-adhoc" else p.q)
            variance = p.variance * factor
        elif test == "kr":
            mean = TESTS[test](data, p)
            variance = np.where(single, p.variance, mean.variance)
            variance = np.where(single | (mean.df > FEWEST_DF), variance, np.nan)
        se = np.sqrt(variance)
    flags = {
        "one-study": single,
        "tau2-zero": ~single & (found.tau2 == 0) & (method != "CE"),
        "two-maxima": found.maxima > 1,
        "not-converged": ~found.converged,
        "no-df": np.isnan(se),
    }
    if test in ("hk", "hk-adhoc"):
        flags["hk-common"] = ~single & (method == "CE")
        flags["identical"] = ~single & _identical(one.y, here) & (test == "hk")
        factor[flags["identical"]] = 0.0  # and no rounding error
    q, _ = q_statistic(data.y, data.v, np.zeros(1))
    return Many({"estimate": p.mu, "se": se, "tau2": found.tau2, "Q": q, "factor": factor}, flags)


def _identical(y: FloatArray, here: BoolArray) -> BoolArray:
    """Whether the effects of the studies `here` are equal but for rounding."""
    values = y[:, None]
    span = np.where(here, values, -np.inf).max(axis=0) - np.where(here, values, np.inf).min(axis=0)
    return np.asarray(span <= 1e-14 * np.where(here, np.abs(values), 0.0).max(axis=0))


def of_effects(one: Data, fits: dict[str, FloatArray], *, weights: FloatArray | None = None) -> Deletion:
    """Diagnostics of inverse-variance pooling (Viechtbauer & Cheung 2010).

    Parameters
    ----------
    one : Data
        All studies, shape (k,).
    fits : dict of array of shape (k + 1,)
        Columns of `without_each`.
    weights : array of shape (k,), optional
        Weights of GENQ.
    """
    mu, se, tau2 = (fits[name][-1] for name in ("estimate", "se", "tau2"))
    mu_i, se_i, tau2_i, factor = (fits[name][:-1] for name in ("estimate", "se", "tau2", "factor"))
    total = one.v[:, None] + tau2_i
    spread = 1 / (1 / total).sum(axis=0) if weights is None else (weights / weights.sum()) ** 2 @ total
    hat = pieces(one, tau2, weights).share
    own = factor * (one.v + tau2_i)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = _ROUNDING * np.abs(one.y).max()
        residual, moved = (np.where(np.abs(x) <= unit, 0.0, x) for x in (one.y - mu_i, mu - mu_i))
        return Deletion(
            residual / np.sqrt(own + se_i**2), moved / np.sqrt(hat * own), (moved / se) ** 2, (se_i / se) ** 2,
            moved / np.sqrt(factor * spread), hat,
        )  # fmt: skip


def of_counts(fits: dict[str, FloatArray], hat: FloatArray, own: FloatArray, rstudent: FloatArray) -> Deletion:
    """Diagnostics of a marginal likelihood, with the same formulas.

    Parameters
    ----------
    fits : dict of array of shape (k + 1,)
        estimate and se without each study and, last, of all.
    hat : array of shape (k,)
        Shares of the studies.
    own : array of shape (k,)
        Variance of what each study says of the pooled effect, by the fit without it.
    rstudent : array of shape (k,)
        Normal scores: `metaan.core.count_scores`.
    """
    mu, se = fits["estimate"][-1], fits["se"][-1]
    mu_i, se_i = fits["estimate"][:-1], fits["se"][:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = mu - mu_i
        return Deletion(
            rstudent, moved / np.sqrt(hat * own), (moved / se) ** 2, (se_i / se) ** 2,
            np.where(np.isinf(moved), moved, moved / se_i), hat,
        )  # fmt: skip


def of_common(one: Data, fits: dict[str, FloatArray], hat: FloatArray) -> Deletion:
    """Diagnostics of a common effect from tables, whose weights are no inverse variances: no DFFITS.

    Parameters
    ----------
    one : Data
        Effects of the trials by themselves, shape (k,).
    fits : dict of array of shape (k + 1,)
        estimate and se without each trial and, last, of all.
    hat : array of shape (k,)
        Shares of the trials.
    """
    mu, se = fits["estimate"][-1], fits["se"][-1]
    mu_i, se_i = fits["estimate"][:-1], fits["se"][:-1]
    moved = (mu - mu_i) / se
    return Deletion(
        (one.y - mu_i) / np.sqrt(one.v + se_i**2), np.full_like(hat, np.nan), moved**2, (se_i / se) ** 2, moved, hat
    )


def influential(d: Deletion) -> BoolArray:
    """Viechtbauer & Cheung 2010, p. 116; a number that is not known flags nothing."""
    k = d.hat.size
    dfbetas = np.abs(d.dfbetas.reshape(k, -1))
    p = dfbetas.shape[1]
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (np.abs(d.dffits) > 3 * np.sqrt(p / max(k - p, 1))) | (chdtr(float(p), d.cooks_d) > 0.5)
            | (d.hat > 3 * p / k) | (dfbetas > 1).any(axis=1)
        )  # fmt: skip


def log_size(r: FloatArray) -> FloatArray:
    """Logarithm of the determinants, but for their signs, of triangular factors of shape (..., p, p)."""
    return np.asarray(np.log(np.abs(np.diagonal(r, axis1=-2, axis2=-1))).sum(axis=-1))
