"""Pooled rates by exact likelihood: the binomial-normal model."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
from scipy.special import chdtri, expit, ndtr

from metaan.core.binomial import Binomial, log_likelihood, moments, trapezoid
from metaan.core.binomial_fit import TAU_HELD, BinomialFit, fit
from metaan.core.binomial_fixed import fixed_nodes_maximum
from metaan.core.binomial_profile import mu_limits, tau_limits
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import log_pvalue, quantile
from metaan.core.wls import Data
from metaan.errors import Note, OptionError
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes
from metaan.models.results import Convergence, GlmmResult, PoolResult, Spec
from metaan.validate import CI, Option, check_level, forbid

__all__ = ["glmm", "glmm_tau2_interval"]

MEASURE: Final = Option("measure", {"PLO": "logit of a proportion"}, "PLO")
TEST: Final = Option("test", {"z": "normal distribution", "t": "t distribution with k - 1 degrees of freedom"}, "t")
PI: Final = Option(
    "pi",
    {
        "t": "t distribution with k - 1 degrees of freedom",
        "hts": "t distribution with k - 2 degrees of freedom",
        "z": "normal distribution, uncertainty of the mean included",
        "simple": "normal distribution, uncertainty of the mean ignored",
        "none": "no prediction interval",
    },
    "t",
)
_LARGEST: Final = 5e6  # beyond it rounding of the log-likelihood hides its curvature
_PI_LOSS: Final = {"t": 1.0, "hts": 2.0}


def glmm(
    measure: str,
    data: Any = None,
    *,
    events: Any,
    total: Any,
    study: Any = None,
    nodes: int | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
) -> GlmmResult:
    """Pool response rates by the exact binomial likelihood with normal log odds (a random-intercept logistic model).

    Needs no continuity correction and answers on every valid input, studies at 0 or 100 % included.

    Parameters
    ----------
    measure : {"PLO"}
        The scale on which true rates vary: the logit.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events, total : array of shape (k,) or column name
        Whole numbers with 0 <= events <= total and 1 <= total <= 5,000,000.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    nodes : int, optional
        By default the integrals are exact to rounding: as many nodes as it takes that more change nothing. A number
        asks for that many adaptive Gauss-Hermite nodes instead (7 is metafor's default), to compare with other
        programs.
    test : {"t", "z"}
        Reference distribution of the Wald interval: t with k - 1 degrees of freedom or normal. (This t is not
        Hartung-Knapp: the standard error is the usual one.)
    ci : {"wald", "profile"}
        Wald interval on the logit scale, or profile likelihood.
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval for the true rate of a new study.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.

    Returns
    -------
    GlmmResult
        On the logit scale; `GlmmResult.back` gives rates. The rate is that of the median study.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.effect_size`; also an option that the model cannot honour.

    Notes
    -----
    x_i ~ Binomial(n_i, p_i), logit p_i ~ N(mu, tau2), maximum likelihood over mu and tau2 >= 0, standard errors
    from the observed information. `loglik` is the true marginal log-likelihood with all binomial constants (R's
    lme4, and so metafor, print a conditional value for adaptive quadrature, which cannot be compared between
    models). The test of tau2 = 0 refers to the mixture of chi2(0) and chi2(1) in equal parts.

    Conventions, since a GLMM has no sampling variances: weights are proportional to 1/(tau2 + 1/[n p (1 - p)]) with p
    the shrunken rate, and are for display; Q (Wald type), I2 and H2 use the empirical logits and their variances, with
    0.5 added at 0 and n. (metafor's Wald Q leaves studies at 0 or n out.)

    No events at all, or nothing but events, leave no finite estimate: the rate is 0 or 1 with a likelihood-ratio
    interval. If every study is at 0 or n, with both kinds present, the likelihood keeps rising with tau, which
    is held at 10. Both are noted.

    References
    ----------
    Stijnen T, Hamza TH, Özdemir P (2010). Stat Med 29:3046-3067. doi:10.1002/sim.4040

    Examples
    --------
    >>> from metaan import glmm
    >>> res = glmm("PLO", events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40], test="z").back()
    >>> print(f"{res.estimate:.4f} ({res.ci_low:.4f} to {res.ci_high:.4f})")
    0.0901 (0.0509 to 0.1547)
    """
    spec = _spec(measure, nodes, test, ci, level, pi)
    read = counts(data, events, total, study, missing)
    forbid(
        read.total > _LARGEST, read.study, "glmm takes totals up to 5 million; pool the logits instead", [read.total]
    )
    b = Binomial.from_counts(read.events[:, None], read.total[:, None])
    found = fit(b)
    if nodes is not None and found.tau[0] > 0 and not found.held[0]:
        found = fixed_nodes_maximum(b, found, nodes)
    if found.separated[0]:
        return _separated(read, spec, found)
    if found.held[0]:
        spec = dataclasses.replace(spec, ci="wald")
    return _result(read, spec, b, found)


def _spec(measure: str, nodes: Any, test: str, ci: str, level: float, pi: str) -> Spec:
    MEASURE.check(measure)
    if nodes is not None and (
        isinstance(nodes, bool) or not isinstance(nodes, (int, np.integer)) or not 1 <= nodes <= 100
    ):
        raise OptionError(f"nodes={nodes!r} must be a whole number from 1 to 100, or None for as many as needed.")
    if nodes is not None and ci == "profile":
        raise OptionError("ci='profile' uses the exact likelihood and not a fixed number of nodes; leave nodes=None.")
    return Spec(
        model="glmm", measure=measure, method="ML", test=TEST.check(test), level=check_level(level),
        pi=PI.check(pi), ci=CI.check(ci), nodes=None if nodes is None else int(nodes),
    )  # fmt: skip


def _effects(read: Counts) -> Effects:
    """Empirical logits for tables and plots, 0.5 added at 0 and n; the model itself uses the counts."""
    add = np.where((read.events == 0) | (read.events == read.total), 0.5, 0.0)
    hit, miss = read.events + add, read.total - read.events + add
    return Effects(
        yi=np.log(hit / miss), vi=1 / hit + 1 / miss, study=read.study, measure="PLO",
        events=read.events, total=read.total, data=read.data, notes=read.notes,
    )  # fmt: skip


def _result(read: Counts, spec: Spec, b: Binomial, found: BinomialFit) -> GlmmResult:
    eff = _effects(read)
    mu, tau = float(found.mu[0]), float(found.tau[0])
    se = math.sqrt(float(found.cov[0, 0, 0]))
    df = math.inf if spec.test == "z" or eff.k == 1 else eff.k - 1.0
    low, high = _limits(spec, b, found, mu, se, df)
    statistic = mu / se
    log_p = float(log_pvalue(statistic, df))
    grid = trapezoid(b, found.mu, found.tau, max(int(found.nodes[0]), 33))
    study = moments(b, found.mu, found.tau, grid)
    loglik = float((found.loglik if spec.nodes is None else log_likelihood(b, found.mu, found.tau, grid))[0])
    eta = np.clip(study.mean[:, 0], -300, 300)  # n p (1 - p) must not underflow
    precision = 1 / (tau**2 + 1 / (read.total * expit(eta) * expit(-eta)))
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
        cov=found.cov[0], spec=spec, effects=eff, notes=_notes(read, spec, found, (low, high), pi_low),
    )  # fmt: skip


def _nodes(spec: Spec, found: BinomialFit) -> int | None:
    """Nodes in use; None where the likelihood is closed (tau = 0)."""
    return (spec.nodes or int(found.nodes[0])) if found.tau[0] > 0 else None


def _limits(spec: Spec, b: Binomial, found: BinomialFit, mu: float, se: float, df: float) -> tuple[float, float]:
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
    read: Counts, spec: Spec, found: BinomialFit, limits: tuple[float, float], pi_low: float
) -> tuple[Note, ...]:
    k, notes = len(read.study), [*read.notes, *data_notes(read.data)]
    if k == 1:
        notes.append(
            Note(
                "one-study", f"One study: tau2 cannot be estimated and is set to 0; the interval is the {spec.ci} one."
            )
        )
    elif found.held[0]:
        text = (
            "Every study is at 0 or n: the likelihood keeps rising towards a limit as tau grows, so tau has no finite "
            f"estimate and is held at {TAU_HELD:g}. These data do not determine the rate of the median study; the Wald "
            "interval and the likelihood are those at the held tau."
        )
        notes.append(Note("tau2-unbounded", text))
    elif not found.identified[0]:
        text = "tau2 cannot be estimated from single observations and is set to 0."
        notes.append(Note("tau2-not-identified", text))
    elif found.tau[0] == 0:
        notes.append(Note("tau2-zero", "tau2 is estimated as 0: the estimate is the rate of the pooled counts."))
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


def _separated(read: Counts, spec: Spec, found: BinomialFit) -> GlmmResult:
    """No events, or nothing but events: the rate is 0 or 1, with the likelihood-ratio interval of the pooled counts."""
    eff = _effects(read)
    none = read.events.sum() == 0
    n = float(read.total.sum())
    # rate r of the events, or non-events, that never occurred: n log(1 - r) = -chi2/2
    log_other = -float(chdtri(1.0, 1 - spec.level)) / 2 / n
    limit = math.log(-math.expm1(log_other)) - log_other
    mu = -math.inf if none else math.inf
    low, high = (-math.inf, limit) if none else (-limit, math.inf)
    which = "No events in any study: the rate is 0" if none else "Nothing but events in every study: the rate is 1"
    text = (
        f"{which} and tau2 is set to 0; the interval is the likelihood-ratio one of {n:g} observations taken together."
    )
    blank = np.full(eff.k, math.nan)
    no_pi = () if spec.pi == "none" else (Note("no-pi", "No prediction interval: tau2 is not known."),)
    return GlmmResult(
        estimate=mu, se=math.inf, ci_low=low, ci_high=high, statistic=math.nan, pvalue=math.nan, log_pvalue=math.nan,
        df=math.inf, pi_low=math.nan, pi_high=math.nan,
        weights=100 * read.total / n, fitted=np.full(eff.k, mu), blup=np.full(eff.k, mu), blup_se=blank,
        k=eff.k, tau2=0.0, tau=0.0, I2=0.0, H2=1.0, Q=0.0, Q_df=eff.k - 1, Q_pvalue=1.0,
        **_likelihood(found, eff.k, 0.0),
        convergence=Convergence(maxima=1), cov=found.cov[0], spec=dataclasses.replace(spec, ci="likelihood-ratio"),
        effects=eff,
        notes=(*eff.notes, *data_notes(read.data), Note("separated", text), *no_pi),
    )  # fmt: skip


def glmm_tau2_interval(res: PoolResult) -> tuple[float, float]:
    """Profile-likelihood interval of tau2 of a GLMM; see `metaan.tau2_interval`."""
    eff = res.effects
    b = Binomial.from_counts(np.asarray(eff.events)[:, None], np.asarray(eff.total)[:, None])
    found = fit(b)
    if found.separated[0] or found.held[0]:
        return 0.0, math.inf
    low, high = tau_limits(b, found, res.spec.level)
    return float(low[0]) ** 2, float(high[0]) ** 2
