"""What follows from the maximum of a marginal likelihood: interval, prediction, conventions, notes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import chdtri, ndtr

from metaan.core.binomial import Family, log_likelihood, moments, trapezoid
from metaan.core.binomial_fit import TAU_HELD, BinomialFit, fit
from metaan.core.binomial_fixed import fixed_nodes_maximum
from metaan.core.binomial_profile import mu_limits
from metaan.core.conditional import common_limit
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import log_pvalue, quantile
from metaan.core.wls import Data
from metaan.errors import Note
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes
from metaan.models.results import Convergence, GlmmResult, Spec

__all__ = ["Words", "fit_exact"]

_OF_ONE: Final = {"wald": "normal (Wald)", "profile": "likelihood-ratio"}
_PI_LOSS: Final = {"t": 1.0, "hts": 2.0}


class Words(NamedTuple):
    """What notes call things, which differ between rates and ratios."""

    common: str
    """The estimate where tau2 is 0."""
    none: str
    """All counts are 0 ..."""
    every: str
    """... or as large as can be."""
    held: str
    """What tau2 without bound leaves undetermined."""


def fit_exact(b: Family, eff: Effects, spec: Spec, words: Words) -> GlmmResult:
    """Fit one meta-analysis and fill its result; `b` has its counts, `eff` the empirical effects for display."""
    found = fit(b)
    if spec.nodes is not None and found.tau[0] > 0 and not found.held[0]:
        found = fixed_nodes_maximum(b, found, spec.nodes)
    if found.separated[0]:
        return _separated(b, eff, spec, found, words)
    if found.held[0]:
        spec = dataclasses.replace(spec, ci="wald")
    return _result(b, eff, spec, found, words)


def _result(b: Family, eff: Effects, spec: Spec, found: BinomialFit, words: Words) -> GlmmResult:
    mu, tau = float(found.mu[0]), float(found.tau[0])
    se = math.sqrt(float(found.cov[0, 0, 0]))
    df = math.inf if spec.test == "z" or eff.k == 1 else eff.k - 1.0
    low, high = _limits(spec, b, found, mu, se, df)
    statistic = mu / se
    log_p = float(log_pvalue(statistic, df))
    grid = trapezoid(b, found.mu, found.tau, max(int(found.nodes[0]), 33))
    study = moments(b, found.mu, found.tau, grid)
    loglik = float((found.loglik if spec.nodes is None else log_likelihood(b, found.mu, found.tau, grid))[0])
    eta = np.clip(study.mean, -300, 300)  # the variance must not underflow
    precision = 1 / (tau**2 + 1 / b.slope(eta)[1][:, 0])
    known = bool(found.identified[0]) and not bool(found.held[0])
    pi_low, pi_high = _prediction(spec, eff.k, mu, se, tau) if known else (math.nan, math.nan)
    return GlmmResult(
        estimate=mu, se=se, ci_low=low, ci_high=high,
        statistic=statistic, pvalue=math.exp(log_p), log_pvalue=log_p, df=df, pi_low=pi_low, pi_high=pi_high,
        weights=100 * precision / precision.sum(), fitted=np.full(eff.k, mu),
        blup=study.mean[:, 0], blup_se=study.sd[:, 0],
        **_heterogeneity(eff, tau), **_likelihood(found, eff.k, loglik),
        convergence=Convergence(
            converged=bool(found.converged[0]), iterations=int(found.iterations[0]),
            maxima=int(found.maxima[0]), nodes=_nodes(spec, found),
        ),
        cov=found.cov[0], spec=spec, effects=eff, notes=_notes(eff, spec, found, (low, high), pi_low, words),
    )  # fmt: skip


def _nodes(spec: Spec, found: BinomialFit) -> int | None:
    """Nodes in use; None where the likelihood is closed (tau = 0)."""
    return (spec.nodes or int(found.nodes[0])) if found.tau[0] > 0 else None


def _limits(spec: Spec, b: Family, found: BinomialFit, mu: float, se: float, df: float) -> tuple[float, float]:
    if spec.ci == "profile":
        low, high = mu_limits(b, found, spec.level)
        return float(low[0]), float(high[0])
    half = float(quantile(df, spec.level)) * se
    return mu - half, mu + half


def _heterogeneity(eff: Effects, tau: float) -> dict[str, Any]:
    q = cochran(Data.of_one(eff.yi, eff.vi))
    i2, h2 = i2_h2(tau**2, q.typical)
    return {
        "k": eff.k, "tau2": tau**2, "tau": tau, "I2": float(i2), "H2": float(h2),
        "Q": float(q.Q), "Q_df": eff.k - 1, "Q_pvalue": float(q.pvalue),
    }  # fmt: skip


def _likelihood(found: BinomialFit, k: int, loglik: float) -> dict[str, Any]:
    common = float(found.loglik_common[0])
    lrt = max(0.0, 2 * (loglik - common)) if found.tau[0] > 0 else 0.0
    return {
        "loglik": loglik, "loglik_common": common, "aic": 4 - 2 * loglik, "bic": 2 * math.log(k) - 2 * loglik,
        "lrt": lrt, "lrt_pvalue": float(ndtr(-math.sqrt(lrt))) if lrt > 0 else 1.0,
    }  # fmt: skip


def _prediction(spec: Spec, k: int, mu: float, se: float, tau: float) -> tuple[float, float]:
    if spec.pi == "none" or k < 3:
        return math.nan, math.nan
    spread = tau if spec.pi == "simple" else math.hypot(tau, se)
    df = k - _PI_LOSS[spec.pi] if spec.pi in _PI_LOSS else math.inf
    half = float(quantile(df, spec.level)) * spread
    return mu - half, mu + half


def _notes(
    eff: Effects, spec: Spec, found: BinomialFit, limits: tuple[float, float], pi_low: float, words: Words
) -> tuple[Note, ...]:
    k, notes = eff.k, [*eff.notes, *data_notes(eff.data)]
    if k == 1:
        notes.append(
            Note(
                "one-study",
                f"One study: tau2 cannot be estimated and is set to 0; the interval is the {_OF_ONE[spec.ci]} one.",
            )
        )
    elif found.held[0]:
        text = (
            f"{words.held}: the likelihood is highest, a limit, as tau grows, so tau has no finite estimate "
            f"and is held at {TAU_HELD:g}. These data do not determine the effect in the median study; the Wald "
            "interval and the likelihood are those at the held tau."
        )
        notes.append(Note("tau2-unbounded", text))
    elif not found.identified[0]:
        text = "tau2 cannot be estimated from single observations and is set to 0."
        notes.append(Note("tau2-not-identified", text))
    elif found.tau[0] == 0:
        notes.append(Note("tau2-zero", f"tau2 is estimated as 0: the estimate is {words.common}."))
    if found.maxima[0] > 1:
        notes.append(Note("two-maxima", f"The likelihood has {found.maxima[0]} local maxima; the highest was taken."))
    if not found.converged[0]:
        notes.append(Note("not-converged", "The search stopped before the estimate settled; treat it as approximate."))
    if spec.ci == "profile" and not all(map(math.isfinite, limits)):
        notes.append(
            Note(
                "profile-open", "The profile likelihood never falls far enough on one side: the interval is open there."
            )
        )
    if spec.pi != "none" and math.isnan(pi_low):
        few = f"it needs at least 3 studies, here {k}"
        why = few if k < 3 else "tau is held" if found.held[0] else "tau2 is not known"
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    return tuple(notes)


def _separated(b: Family, eff: Effects, spec: Spec, found: BinomialFit, words: Words) -> GlmmResult:
    """All counts at one end: an estimate of minus or plus infinity, with the likelihood-ratio interval for tau2 = 0."""
    none = b.x.sum() == 0
    n = b.N.sum()
    limit = common_limit(b, float(chdtri(1.0, 1 - spec.level)) / 2)
    mu = -math.inf if none else math.inf
    low, high = (-math.inf, limit) if none else (limit, math.inf)
    text = (
        f"{words.none if none else words.every} and tau2 is set to 0; the interval is the likelihood-ratio one of "
        f"{n:g} observations taken together."
    )
    blank = np.full(eff.k, math.nan)
    no_pi = () if spec.pi == "none" else (Note("no-pi", "No prediction interval: tau2 is not known."),)
    return GlmmResult(
        estimate=mu, se=math.inf, ci_low=low, ci_high=high, statistic=math.nan, pvalue=math.nan, log_pvalue=math.nan,
        df=math.inf, pi_low=math.nan, pi_high=math.nan,
        weights=100 * b.N[:, 0] / n, fitted=np.full(eff.k, mu), blup=np.full(eff.k, mu), blup_se=blank,
        k=eff.k, tau2=0.0, tau=0.0, I2=0.0, H2=1.0, Q=0.0, Q_df=eff.k - 1, Q_pvalue=1.0,
        **_likelihood(found, eff.k, 0.0),
        convergence=Convergence(maxima=1), cov=found.cov[0], spec=dataclasses.replace(spec, ci="likelihood-ratio"),
        effects=eff, notes=(*eff.notes, *data_notes(eff.data), Note("separated", text), *no_pi),
    )  # fmt: skip
