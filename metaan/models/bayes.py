"""Bayesian random-effects meta-analysis by quadrature: no sampling, the same numbers every time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from metaan.core.marginals import Marginal, mode, shortest
from metaan.core.posterior import (
    HEAVIEST,
    NormalData,
    NormalMean,
    NormalPosterior,
    exists,
    normal_posterior,
)
from metaan.core.posterior_binomial import (
    LARGEST_TAU,
    BinomialPosterior,
    binomial_posterior,
    likelihood_power,
)
from metaan.errors import InputError, Note, OptionError, shown
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects
from metaan.models.bayes_result import BayesResult
from metaan.models.cautions import data_notes, repeated
from metaan.models.priors import NormalPrior, TauPrior, UserPrior, prior_of_tau
from metaan.models.results import Spec
from metaan.validate import FloatArray, Option, check_level, forbid

__all__ = ["bayes"]

MODEL: Final = Option(
    "model",
    {
        "normal": "effects with known sampling variances (normal-normal)",
        "binomial": "counts with normal random effects on the logit scale (binomial-normal)",
    },
    "normal",
)
INTERVAL: Final = Option(
    "interval",
    {"central": "equal tails", "shortest": "ends of equal density, the shortest for a density of one peak"},
    "central",
)
_LARGEST: Final = 5e6
_ACCURATE: Final = 1e-3  # of the difference between an integral and the one by every second point


def bayes(
    data: Any = None,
    *,
    events: Any = None,
    total: Any = None,
    study: Any = None,
    tau_prior: Any = None,
    mu_prior: NormalPrior | None = None,
    model: str | None = None,
    level: float = 0.95,
    interval: str = "central",
    missing: str = "raise",
) -> BayesResult:
    """Bayesian random-effects meta-analysis of effect sizes or of counts, by numerical integration.

    Parameters
    ----------
    data : Effects or pandas.DataFrame, optional
        Effect sizes; or where the column names of `events` and `total` are looked up.
    events, total : array of shape (k,) or column name, optional
        Counts of single-arm rates, whole numbers with 0 <= events <= total and 1 <= total <= 5,000,000.
    study : sequence of k labels or column name, optional
        Study labels of counts; 1 ... k by default.
    tau_prior : HalfNormal, HalfCauchy, Uniform or callable, optional
        Prior of the between-study standard deviation on the analysis scale. A callable returns the density at an
        array of tau; it is normalised where its integral is finite. Default: HalfNormal(1) for logit rates and
        HalfNormal(0.5) for log odds, risk, hazard and rate ratios; measures with a unit have none.
    mu_prior : NormalPrior, optional
        Prior of the mean effect on the analysis scale; flat by default.
    model : {"normal", "binomial"}, optional
        "normal" for effect sizes and "binomial" for counts by default; "binomial" takes the counts behind effects of
        measure PLO.
    level : float, default 0.95
        Probability of the credible and prediction intervals, in (0.5, 1).
    interval : {"central", "shortest"}
        Equal tails, or ends of equal density.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.

    Returns
    -------
    BayesResult
        On the analysis scale; `BayesResult.back` gives rates or ratios. The estimate is the posterior median.

    Raises
    ------
    InputError, DataError
        As `metaan.effect_size`.
    OptionError
        An unknown option; a measure without default prior; priors under which the posterior is improper: a uniform
        tau with fewer than three studies, or a flat mu where there are no events at all or nothing but events.

    Notes
    -----
    Normal: y_i ~ N(theta_i, v_i), theta_i ~ N(mu, tau2). Binomial: x_i ~ Bin(n_i, expit(theta_i)). Given tau the
    normal model is a normal distribution, so that every posterior is a mixture over tau; the binomial model is
    integrated over tau and mu. Points are added until more change nothing.

    The Bayes factor is the marginal likelihood at tau = 0 over that of the random-effects model; above 1 it favours
    tau = 0. It needs a proper prior of tau, on whose scale it depends strongly. A flat prior of mu enters both
    marginal likelihoods with the same density, 1, and cancels; `log_marginal` needs two proper priors.

    Under a heavy-tailed prior and few studies the mean or the standard deviation of a posterior may be infinite; this
    is found from the powers of tau in the tail and noted. Quantiles always exist.

    References
    ----------
    Röver C (2020). J Stat Softw 93(6):1-51. doi:10.18637/jss.v093.i06
    Röver C et al. (2021). Res Synth Methods 12:448-474. doi:10.1002/jrsm.1475

    Examples
    --------
    >>> from metaan import HalfNormal, bayes
    >>> x, n = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]
    >>> res = bayes(events=x, total=n, tau_prior=HalfNormal(1))
    >>> rate = res.back()
    >>> print(f"{rate.estimate:.4f} ({rate.ci_low:.4f} to {rate.ci_high:.4f})")
    0.0885 (0.0389 to 0.1538)
    >>> print(f"{res.prob(above=0.2):.4f}")
    0.0037
    """
    eff, kind = _data(data, events, total, study, model, missing)
    prior = prior_of_tau(tau_prior, eff.measure)
    if mu_prior is not None and not isinstance(mu_prior, NormalPrior):
        raise OptionError(f"mu_prior={shown(mu_prior)} must be a NormalPrior(mean, sd), or None for a flat prior.")
    spec = Spec(
        model="bayes", measure=eff.measure, method="Bayes", test="none", level=check_level(level), pi="posterior",
        ci=INTERVAL.check(interval), likelihood=kind,
    )  # fmt: skip
    mean = NormalMean(0.0, math.inf) if mu_prior is None else NormalMean(float(mu_prior.mean), float(mu_prior.sd))
    likelihood = _power(eff, kind, mean)
    _check_proper(eff, kind, prior, mean, likelihood)
    found: NormalPosterior | BinomialPosterior
    if kind == "normal":
        given = NormalData(np.asarray(eff.yi), np.asarray(eff.vi), mean)
        found = normal_posterior(given, prior.log_density, prior.ends, prior.power + likelihood)
    else:
        x, n = np.asarray(eff.events), np.asarray(eff.total)
        found = binomial_posterior(x, n, mean, prior.log_density, prior.ends, prior.power)
    defaulted = tau_prior is None
    return _result(eff, spec, prior, mu_prior, found, prior.power + likelihood, defaulted)


def _data(data: Any, events: Any, total: Any, study: Any, model: str | None, missing: str) -> tuple[Effects, str]:
    """Effect sizes with the model for them."""
    if model is not None:
        MODEL.check(model)
    if isinstance(data, Effects):
        if events is not None or total is not None or study is not None:
            raise InputError(
                "An Effects record brings its own counts and labels: leave out events=, total= and study=."
            )
        if model != "binomial":
            return data, "normal"
        if data.measure != "PLO" or data.events is None or data.total is None:
            raise OptionError("model='binomial' needs the counts behind effects of measure PLO, made by effect_size.")
        forbid(data.total > _LARGEST, data.study, "bayes takes totals up to 5 million", [data.total])
        kept = tuple(note for note in data.notes if note.code != "zero-cell")
        return _empirical(
            Counts(events=data.events, total=data.total, study=data.study, data=data.data, notes=kept)
        ), "binomial"
    if events is None or total is None:
        raise InputError("bayes takes an Effects record, from effects or effect_size, or counts: events= and total=.")
    if model == "normal":
        raise OptionError("model='normal' takes effect sizes: bayes(effect_size('PLO', events=..., total=...)).")
    read = counts(data, events, total, study, missing)
    forbid(read.total > _LARGEST, read.study, "bayes takes totals up to 5 million", [read.total])
    return _empirical(read), "binomial"


def _empirical(read: Counts) -> Effects:
    """Empirical logits for tables, 0.5 added at 0 and n; the model uses the counts."""
    add = np.where((read.events == 0) | (read.events == read.total), 0.5, 0.0)
    hit, miss = read.events + add, read.total - read.events + add
    return Effects(
        yi=np.log(hit / miss), vi=1 / hit + 1 / miss, study=read.study, measure="PLO",
        events=read.events, total=read.total, data=read.data, notes=read.notes,
    )  # fmt: skip


def _power(eff: Effects, kind: str, mean: NormalMean) -> int:
    """Power of tau that the marginal likelihood follows far out."""
    if kind == "normal":
        return NormalData(eff.yi, eff.vi, mean).power
    assert eff.events is not None
    assert eff.total is not None
    return likelihood_power(eff.events, eff.total, flat=mean.flat)


def _check_proper(eff: Effects, kind: str, prior: TauPrior, mean: NormalMean, likelihood: int) -> None:
    """Refuse priors under which there is no posterior."""
    if kind == "binomial" and mean.flat and eff.events is not None and eff.total is not None:
        none, every = bool((eff.events == 0).all()), bool((eff.events == eff.total).all())
        if none or every:
            what = "No events in any study" if none else "Nothing but events in every study"
            raise OptionError(
                f"{what}: under a flat prior of mu the posterior is improper. Give mu_prior=NormalPrior(mean, sd), "
                "e.g. NormalPrior(0, 2)."
            )
    if prior.power + likelihood < HEAVIEST:
        return
    few = f"{eff.k} {'study' if eff.k == 1 else 'studies'}"
    extreme = " with so many at 0 or n" if kind == "binomial" else ""
    raise OptionError(
        f"tau_prior={prior}: with {few}{extreme} the posterior of tau does not fall fast enough to have an integral. "
        "Use a proper prior, e.g. HalfNormal(scale)"
        + (", or a normal prior of mu." if mean.flat and not prior.proper else ".")
    )


def _result(
    eff: Effects, spec: Spec, prior: TauPrior, mu_prior: NormalPrior | None,
    found: NormalPosterior | BinomialPosterior, power: float, defaulted: bool,
) -> BayesResult:  # fmt: skip
    flat, w = mu_prior is None, found.tau.weight
    levels = np.array([0.5, (1 - spec.level) / 2, (1 + spec.level) / 2])
    tau = _row(found.tau.curve, levels, spec, *_tau_moments(found, power))
    mean, within = float(w @ found.mean), float(w @ (found.sd**2 + (found.mean - w @ found.mean) ** 2))
    bounded = not flat
    mu = _row(found.mu, levels, spec, *_limited(mean, math.sqrt(within), power, bounded))
    spread = math.sqrt(within + float(w @ found.tau.tau**2))
    new = _row(found.new, levels, spec, *_limited(mean, spread, power, bounded=False))
    theta_mean, theta_sd = _theta_moments(eff, found, power)
    centre = found.theta.quantile(levels)
    low, high = shortest(found.theta, spec.level) if spec.ci == "shortest" else (centre[1], centre[2])
    log_bf = found.log_common - found.tau.log_total if prior.proper else math.nan
    return BayesResult(
        estimate=float(mu[1]), ci_low=float(mu[4]), ci_high=float(mu[5]),
        tau=float(tau[1]), tau_low=float(tau[4]), tau_high=float(tau[5]),
        pi_low=float(new[4]), pi_high=float(new[5]), k=eff.k,
        bayes_factor_tau0=_exp(log_bf), log_bayes_factor_tau0=log_bf,
        log_marginal=found.tau.log_total if prior.proper and not flat else math.nan,
        tau_prior=str(prior), mu_prior="flat" if flat else str(mu_prior),
        values=np.array([mu, tau, new]), grid=found.grid(), posterior=found,
        theta=np.array([centre[0], theta_mean, theta_sd, low, high]),
        spec=spec, effects=eff, notes=_notes(eff, spec, prior, mu_prior, found, power, defaulted),
    )  # fmt: skip


def _exp(x: float) -> float:
    return math.nan if math.isnan(x) else math.exp(x) if x < 700 else math.inf


def _tau_moments(found: NormalPosterior | BinomialPosterior, power: float) -> tuple[float, float]:
    w, tau = found.tau.weight, found.tau.tau
    mean = float(w @ tau)
    sd = math.sqrt(float(w @ (tau - mean) ** 2))
    return (mean if exists(power, 1) else math.inf), (sd if exists(power, 2) else math.inf)


def _theta_moments(
    eff: Effects, found: NormalPosterior | BinomialPosterior, power: float
) -> tuple[FloatArray, FloatArray]:
    """Those of the studies' effects; studies at 0 or n share the tail of tau."""
    mean, sd = found.theta_moments()
    if isinstance(found, NormalPosterior) or eff.events is None or eff.total is None:
        return mean, sd
    open_ended = (eff.events == 0) | (eff.events == eff.total)
    mean = np.where(open_ended & (not exists(power, 1)), math.nan, mean)
    return mean, np.where(open_ended & (not exists(power, 2)), math.inf, sd)


def _limited(mean: float, sd: float, power: float, bounded: bool) -> tuple[float, float]:
    """Mean and standard deviation where they exist."""
    return (mean if bounded or exists(power, 1) else math.nan), (sd if bounded or exists(power, 2) else math.inf)


def _row(of: Marginal, levels: FloatArray, spec: Spec, mean: float, sd: float) -> FloatArray:
    """mode, median, mean, sd, limits."""
    median, low, high = of.quantile(levels)[:, 0]
    if spec.ci == "shortest":
        ends = shortest(of, spec.level)
        low, high = ends[0][0], ends[1][0]
    return np.array([mode(of)[0], median, mean, sd, low, high])


def _notes(
    eff: Effects, spec: Spec, prior: TauPrior, mu_prior: NormalPrior | None,
    found: NormalPosterior | BinomialPosterior, power: float, defaulted: bool,
) -> tuple[Note, ...]:  # fmt: skip
    notes = [*eff.notes, *data_notes(eff.data), *repeated(eff)]
    chosen = ", the default for this measure" if defaulted else ""
    few = ", strongly so with few studies" if eff.k < 10 else ""
    text = f"tau has the prior {prior}{chosen}. The intervals depend on it{few}: try others."
    notes.append(Note("tau-prior", text))
    if isinstance(prior, UserPrior) and prior.proper and abs(prior.integral - 1) > 1e-6:
        notes.append(
            Note("prior-normalised", f"The prior of tau integrates to {prior.integral:.6g} and was divided by it.")
        )
    if not prior.proper:
        notes.append(Note("no-bayes-factor", "The prior of tau is improper: there is no Bayes factor."))
    if eff.k == 1 and mu_prior is None and spec.likelihood == "normal":
        notes.append(Note("one-study", "One study says nothing on tau: its posterior is the prior."))
    if not exists(power, 2):
        what = "mean and standard deviation" if not exists(power, 1) else "standard deviation"
        where = "tau and the effect in a new study" if mu_prior else "tau, mu and the effect in a new study"
        ends = " (and in studies at 0 or n)" if spec.likelihood == "binomial" else ""
        text = f"The posterior of {where}{ends} has no finite {what}: quote medians and quantiles."
        notes.append(Note("heavy-tail", text))
    if isinstance(found, BinomialPosterior):
        if found.mass_left_out > 1e-12:
            text = f"{found.mass_left_out:.1g} of the posterior lies beyond tau = {LARGEST_TAU:g} and is left out."
            notes.append(Note("tau-cut", text))
        doubt = found.doubt
    else:
        doubt = float(found.tau.curve.doubt[0])
    if doubt > _ACCURATE:
        text = f"An integral and the one by every second point differ by {doubt:.0e}: the last digits may not hold."
        notes.append(Note("not-converged", text))
    return tuple(notes)
