"""Beta-binomial meta-analyses, many at once: intervals, prediction, heterogeneity and tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaincinv, expit, logit, ndtr, zeta

from metaan.core.beta_binomial_fit import BetaBinomialFit, maximise
from metaan.core.beta_binomial_profile import beta_limits
from metaan.core.beta_binomial_search import Problem
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.many import BoolArray, Many, wald
from metaan.core.wls import Data, FloatArray

__all__ = ["beta_many"]


def beta_many(problem: Problem, data: Data, *, test: str, level: float, pi: str, ci: str) -> Many:
    """Maximum likelihood of n meta-analyses of at least one study each, with the conventions of one of them.

    Parameters
    ----------
    problem : Problem
        Counts, shape (k, n), without moderators: an absent study has none.
    data : Data
        Empirical logits of the same studies, for Q, I2 and H2.
    test : {"z", "t"}
    level : float
    pi : {"beta", "none"}
    ci : {"wald", "profile"}
    """
    found = maximise(problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = _estimates(problem, found, data.k, test=test, level=level, ci=ci)
        a, b = (expit(sign * found.beta[0]) * (1 - found.rho) / found.rho for sign in (1, -1))
        columns |= _prediction(found.rho, a, b, data.k, level, pi) | _heterogeneity(data, found.rho, a, b)
    lrt = np.where(found.rho > 0, np.maximum(0.0, 2 * (found.loglik - found.loglik_common)), 0.0)
    columns |= {
        "rho": found.rho, "loglik": found.loglik, "lrt": lrt, "lrt_pvalue": np.where(lrt > 0, ndtr(-np.sqrt(lrt)), 1.0),
        "converged": found.converged.astype(np.float64),
    }  # fmt: skip
    return Many(columns, _flags(found, columns, data.k, pi, ci))


def _estimates(
    problem: Problem, found: BetaBinomialFit, k: FloatArray, *, test: str, level: float, ci: str
) -> dict[str, FloatArray]:
    apart = found.separated
    df = np.where(apart | (k == 1) | (test == "z"), np.inf, k - 1)
    se = np.where(apart, np.inf, np.sqrt(found.cov[:, 0, 0]))
    columns = wald(found.beta[0], se, df, level)
    searched = np.flatnonzero(apart | (ci == "profile"))
    if searched.size:
        of: dict[str, Any] = {
            name: value[:, searched] if name.startswith("beta") else value[searched]
            for name, value in found._asdict().items()
        }
        limits = beta_limits(problem.take(searched), BetaBinomialFit(**of), level)
        columns["ci_low"][searched], columns["ci_high"][searched] = limits
    for name in ("statistic", "pvalue", "log_pvalue"):
        columns[name] = np.where(apart, np.nan, columns[name])
    return columns


def _prediction(
    rho: FloatArray, a: FloatArray, b: FloatArray, k: FloatArray, level: float, pi: str
) -> dict[str, FloatArray]:
    """Logits of quantiles of the fitted beta distribution, the upper one from its mirror image."""
    low, high = np.full_like(rho, np.nan), np.full_like(rho, np.nan)
    known = (k >= 3) & (rho > 0) & (rho < 1) & (pi != "none")
    tail = (1 - level) / 2
    low[known] = logit(betaincinv(a[known], b[known], tail))
    high[known] = -logit(betaincinv(b[known], a[known], tail))
    return {"pi_low": low, "pi_high": high}


def _heterogeneity(data: Data, rho: FloatArray, a: FloatArray, b: FloatArray) -> dict[str, FloatArray]:
    """tau2 is the variance of the logit of a Beta(a, b) variable; Q, I2 and H2 are of the empirical logits."""
    q = cochran(data)
    inside = (rho > 0) & (rho < 1)
    tau2 = np.where(rho > 0, np.inf, 0.0)
    tau2[inside] = zeta(2, a[inside]) + zeta(2, b[inside])
    i2, h2 = i2_h2(np.where(rho < 1, tau2, 0.0), q.typical)
    return {
        "k": data.k, "tau2": tau2, "tau": np.sqrt(tau2), "I2": np.where(rho < 1, i2, 100.0),
        "H2": np.where(rho < 1, h2, np.inf), "Q": q.Q, "Q_df": data.k - 1, "Q_pvalue": q.pvalue,
    }  # fmt: skip


def _flags(
    found: BetaBinomialFit, columns: dict[str, FloatArray], k: FloatArray, pi: str, ci: str
) -> dict[str, BoolArray]:
    several = (k > 1) & ~found.separated
    open_end = ~(np.isfinite(columns["ci_low"]) & np.isfinite(columns["ci_high"]))
    return {
        "one-study": (k == 1) & ~found.separated,
        "separated": found.separated,
        "rho-one": several & (found.rho == 1),
        "rho-not-identified": several & (found.rho < 1) & ~found.identified,
        "rho-zero": several & found.identified & (found.rho == 0),
        "two-maxima": ~found.separated & (found.maxima > 1),
        "not-converged": ~found.separated & ~found.converged,
        "profile-open": ~found.separated & open_end & (ci == "profile"),
        "no-pi": np.isnan(columns["pi_low"]) & (pi != "none"),
    }
