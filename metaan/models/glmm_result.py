"""What follows from the maximum of a marginal likelihood: interval, prediction, conventions, notes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import betaincinv, chdtri, expit, ndtr

from metaan.core.binomial import Family, log_likelihood, moments
from metaan.core.binomial_fit import TAU_HELD, BinomialFit, fit_one
from metaan.core.binomial_fixed import fixed_nodes_maximum
from metaan.core.binomial_profile import mu_limits
from metaan.core.conditional import common_limit
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import log_pvalue, quantile
from metaan.core.links import LINKS, Linked
from metaan.core.quadrature import reach, spread_over
from metaan.core.wls import Data
from metaan.errors import ConvergenceError, Note
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import Convergence, GlmmResult, Spec
from metaan.validate import FloatArray

__all__ = ["Fitted", "Words", "fit_exact", "own_variance", "result", "search_notes", "separated"]

_OF_ONE: Final = {"wald": "normal (Wald)", "profile": "likelihood-ratio"}
_PI_LOSS: Final = {"t": 1.0, "hts": 2.0}
_NOTHING: Final = 1e-12  # information that counts as none
_BEYOND: Final = 1e-3  # share of true rates beyond 1 that is worth a note


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


class Fitted(NamedTuple):
    """The maximum of a likelihood with what a result needs besides."""

    found: BinomialFit
    loglik: float
    """Exact, also where a fixed number of nodes gave the estimates."""
    blup: FloatArray
    blup_se: FloatArray
    noise: FloatArray
    """What stands for the sampling variance of each study in the weights."""
    profile: Callable[[], tuple[float, float]]
    """Profile-likelihood limits of the effect."""
    parameters: int = 2
    sigma2: float = math.nan


def fit_exact(b: Family, eff: Effects, spec: Spec, words: Words) -> GlmmResult:
    """Fit one meta-analysis and fill its result; `b` has its counts, `eff` the empirical effects for display."""
    found, over = fit_one(b)
    if spec.nodes is not None and found.tau[0] > 0 and not found.held[0]:
        found, over = fixed_nodes_maximum(b, found, spec.nodes), None
    if found.separated[0]:
        return separated(b, eff, spec, found, words)
    if found.held[0]:
        spec = dataclasses.replace(spec, ci="wald")
    grid = spread_over(b, over or reach(b, found.mu, found.tau), max(int(found.nodes[0]), 33))
    study = moments(b, found.mu, found.tau, grid)
    loglik = float((found.loglik if spec.nodes is None else log_likelihood(b, found.mu, found.tau, grid))[0])

    def profile() -> tuple[float, float]:
        low, high = mu_limits(b, found, spec.level)
        inside = found.mu[0] < b.top
        return float(low[0]), min(float(high[0]), b.top) if inside else float(high[0])

    return result(
        eff, spec, words,
        Fitted(found, loglik, study.mean[:, 0], study.sd[:, 0], own_variance(b, study.mean), profile),
    )  # fmt: skip


def own_variance(b: Family, eta: FloatArray) -> FloatArray:
    """What each study alone leaves unknown: the inverse information of its count at eta, (k, 1) to (k,)."""
    inside = np.clip(eta, -300, min(300, b.top - 1e-6))  # it must not underflow
    return np.asarray(1 / np.maximum(b.slope(inside)[1][:, 0], _NOTHING))


def result(eff: Effects, spec: Spec, words: Words, of: Fitted) -> GlmmResult:
    """Everything that follows from the maximum."""
    found = of.found
    mu, tau = float(found.mu[0]), float(found.tau[0])
    variance = float(found.cov[0, 0, 0])
    if not variance > 0:
        text = "The likelihood is too steep near a rate of 1 for its curvature to be reckoned"
        raise ConvergenceError(f"{text}. Use another link than {spec.link!r}.")
    se = math.sqrt(variance)
    df = math.inf if spec.test == "z" or eff.k == 1 else eff.k - 1.0
    half = float(quantile(df, spec.level)) * se
    low, high = of.profile() if spec.ci == "profile" else (mu - half, mu + half)
    statistic = mu / se
    log_p = float(log_pvalue(statistic, df))
    precision = 1 / (tau**2 + of.noise)
    known = bool(found.identified[0]) and not bool(found.held[0])
    pi_low, pi_high = _prediction(spec, eff.k, mu, se, tau) if known else (math.nan, math.nan)
    return GlmmResult(
        estimate=mu, se=se, ci_low=low, ci_high=high,
        statistic=statistic, pvalue=math.exp(log_p), log_pvalue=log_p, df=df, pi_low=pi_low, pi_high=pi_high,
        weights=100 * precision / precision.sum(), fitted=np.full(eff.k, mu),
        blup=of.blup, blup_se=of.blup_se,
        **_heterogeneity(eff, tau), **_likelihood(found, eff.k, of.loglik, of.parameters),
        convergence=Convergence(
            converged=bool(found.converged[0]), iterations=int(found.iterations[0]),
            maxima=int(found.maxima[0]), nodes=_nodes(spec, found),
        ),
        cov=found.cov[0], spec=spec, effects=eff, sigma2=of.sigma2,
        notes=_notes(eff, spec, found, (low, high), pi_low, words),
    )  # fmt: skip


def _nodes(spec: Spec, found: BinomialFit) -> int | None:
    """Nodes in use; None where the likelihood is closed (tau = 0)."""
    return (spec.nodes or int(found.nodes[0])) if found.tau[0] > 0 else None


def _heterogeneity(eff: Effects, tau: float) -> dict[str, Any]:
    q = cochran(Data.of_one(eff.yi, eff.vi))
    i2, h2 = i2_h2(tau**2, q.typical)
    return {
        "k": eff.k, "tau2": tau**2, "tau": tau, "I2": float(i2), "H2": float(h2),
        "Q": float(q.Q), "Q_df": eff.k - 1, "Q_pvalue": float(q.pvalue),
    }  # fmt: skip


def _likelihood(found: BinomialFit, k: int, loglik: float, parameters: int) -> dict[str, Any]:
    common = float(found.loglik_common[0])
    lrt = max(0.0, 2 * (loglik - common)) if found.tau[0] > 0 else 0.0
    return {
        "loglik": loglik, "loglik_common": common, "parameters": parameters,
        "aic": 2 * parameters - 2 * loglik, "bic": parameters * math.log(k) - 2 * loglik,
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
    k, notes = eff.k, [*eff.notes, *data_notes(eff.data), *repeated(eff)]
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
    notes += search_notes(int(found.maxima[0]), converged=bool(found.converged[0]))
    if spec.ci == "profile" and not all(map(math.isfinite, limits)):
        text = "The profile likelihood never falls far enough on one side: the interval is open there."
        notes.append(Note("profile-open", text))
    if spec.pi != "none" and math.isnan(pi_low):
        few = f"it needs at least 3 studies, here {k}"
        why = few if k < 3 else "tau is held" if found.held[0] else "tau2 is not known"
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    if spec.link == "log" and spec.measure == "PLN" and found.tau[0] > 0:
        notes += _beyond(float(ndtr(found.mu[0] / found.tau[0])))
    return tuple(notes)


def search_notes(maxima: int, *, converged: bool) -> list[Note]:
    """What there is to say of the search of the maximum."""
    notes = []
    if maxima > 1:
        notes.append(Note("two-maxima", f"The likelihood has {maxima} local maxima; the highest was taken."))
    if not converged:
        notes.append(Note("not-converged", "The search stopped before the estimate settled; treat it as approximate."))
    return notes


def _beyond(share: float) -> list[Note]:
    if share < _BEYOND:
        return []
    text = f"The log link takes {100 * share:.2g}% of the true rates beyond 1, where they count as 1"
    return [Note("rates-beyond-one", f"{text}: link='logit' or 'cloglog' fits such rates.")]


def separated(b: Family, eff: Effects, spec: Spec, found: BinomialFit, words: Words) -> GlmmResult:
    """All counts at one end: an estimate at the end of the scale, with the likelihood-ratio interval for tau2 = 0."""
    none = bool(b.x.sum() == 0)
    size = np.asarray((eff.inputs or {})["time"]) if spec.measure == "IRLN" else b.N[:, 0]
    base = b.base if isinstance(b, Linked) else b
    limit = common_limit(base, float(chdtri(1.0, 1 - spec.level)) / 2)
    low, high = (-math.inf, limit) if none else (limit, math.inf)
    if isinstance(b, Linked):
        with np.errstate(divide="ignore"):
            low, high = (float(LINKS[b.link].of_rate(np.asarray(expit(end)))) for end in (low, high))
    mu = low if none else high
    of = f"{size.sum():g} units of time" if spec.measure == "IRLN" else f"{size.sum():g} observations"
    text = (
        f"{words.none if none else words.every} and tau2 is set to 0; the interval is the likelihood-ratio one of "
        f"{of} taken together{_jeffreys(eff, spec.level)}."
    )
    blank = np.full(eff.k, math.nan)
    no_pi = () if spec.pi == "none" else (Note("no-pi", "No prediction interval: tau2 is not known."),)
    return GlmmResult(
        estimate=mu, se=math.inf, ci_low=low, ci_high=high, statistic=math.nan, pvalue=math.nan, log_pvalue=math.nan,
        df=math.inf, pi_low=math.nan, pi_high=math.nan,
        weights=100 * size / size.sum(), fitted=np.full(eff.k, mu), blup=np.full(eff.k, mu), blup_se=blank,
        k=eff.k, tau2=0.0, tau=0.0, I2=0.0, H2=1.0, Q=0.0, Q_df=eff.k - 1, Q_pvalue=1.0,
        **_likelihood(found, eff.k, 0.0, 2),
        convergence=Convergence(maxima=1), cov=found.cov[0], spec=dataclasses.replace(spec, ci="likelihood-ratio"),
        effects=eff, notes=(*eff.notes, *data_notes(eff.data), *repeated(eff), Note("separated", text), *no_pi),
    )  # fmt: skip


def _jeffreys(eff: Effects, level: float) -> str:
    """The Jeffreys interval of the pooled counts, for rates."""
    if eff.events is None or eff.total is None:
        return ""
    x, n, tail = float(eff.events.sum()), float(eff.total.sum()), (1 - level) / 2
    low = 0.0 if x == 0 else float(betaincinv(x + 0.5, n - x + 0.5, tail))
    high = 1.0 if x == n else float(betaincinv(x + 0.5, n - x + 0.5, 1 - tail))
    return f" (Jeffreys: {low:.4f} to {high:.4f})"
