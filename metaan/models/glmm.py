"""Pooling by exact likelihood: rates by the binomial-normal model, two arms by conditional and unconditional models."""

from __future__ import annotations

import math
from typing import Any, Final, overload

from metaan.core.binomial_fit import fit
from metaan.core.binomial_profile import tau_limits
from metaan.core.two_arms import Arms
from metaan.errors import OptionError
from metaan.measures.record import Effects
from metaan.models.conditional import WORDS
from metaan.models.design import moderators
from metaan.models.glmm_counts import likelihood, read
from metaan.models.glmm_regress_result import GlmmRegressResult
from metaan.models.glmm_regression import glmm_regression, tau_limits_of
from metaan.models.glmm_result import Words, fit_exact
from metaan.models.glmm_spec import MEASURE, Asked, make_spec
from metaan.models.regress_result import RegressResult
from metaan.models.results import GlmmResult, PoolResult, Spec
from metaan.models.unconditional import fit_unconditional, unconditional_tau_limits

__all__ = ["glmm", "glmm_of", "glmm_tau2_interval"]

_RATES: Final = Words(
    common="the rate of the pooled counts",
    none="No events in any study: the rate is 0",
    every="Nothing but events in every study: the rate is 1",
    held="Every study is at 0 or n",
)


@overload
def glmm(measure: str, data: Any = None, *, formula: None = None, **options: Any) -> GlmmResult: ...
@overload
def glmm(measure: str, data: Any = None, *, formula: str, **options: Any) -> GlmmRegressResult: ...
def glmm(
    measure: str,
    data: Any = None,
    *,
    study: Any = None,
    formula: str | None = None,
    model: str | None = None,
    link: str | None = None,
    nodes: int | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
    **columns: Any,
) -> GlmmResult | GlmmRegressResult:
    """Pool counts by their exact likelihood with normal random effects: rates, or two arms; with moderators if asked.

    Needs no continuity correction and answers where studies are at 0 or 100 %.

    Parameters
    ----------
    measure : {"PLO", "PLN", "IRLN", "OR", "RR", "RD", "IRR"}
        The scale on which true effects vary: the logit (or `link`) of a rate, its log, the log of a rate per unit of
        time; the log odds ratio, log risk ratio, risk difference or log rate ratio of two arms.
    data : pandas.DataFrame, optional
        Where column names, and the variables of `formula`, are looked up.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    formula : str, optional
        Moderators, as in `metaan.regress`: ``"~ year + C(therapy)"``.
    model : {"CM.EL", "CM.AL", "UM.FS", "UM.RS"}, optional
        Two arms. OR: conditional on the events of both arms together, exact (CM.EL, default) or by its binomial
        approximation for rare events (CM.AL); unconditional with fixed (UM.FS) or random (UM.RS) study effects. IRR:
        CM.EL (default), UM.FS, UM.RS. RR and RD: UM.FS.
    link : {"logit", "probit", "cloglog", "log"}, optional
        PLO: the scale on which rates are normal; the measure of the result is then PLO, PROBIT, CLOGLOG or PLN.
    nodes : int, optional
        By default the integrals are exact to rounding: as many nodes as it takes that more change nothing. A number
        asks for that many adaptive Gauss-Hermite nodes instead (metafor: 7, and 1 for UM.RS), to compare with other
        programs.
    test : {"t", "z"}
        Reference distribution of Wald intervals: t with k - p degrees of freedom (p = 1 without moderators) or normal.
        (This t is not Hartung-Knapp: the standard error is the usual one.)
    ci : {"wald", "profile"}
        Wald interval on the analysis scale, or profile likelihood.
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval for the true effect of a new study.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count or moderator; dropping is noted.
    **columns : array of shape (k,) or column name
        PLO, PLN: events, total, whole numbers with 0 <= events <= total and 1 <= total <= 5,000,000. IRLN: events,
        time. OR, RR, RD: events_t, total_t, events_c, total_c. IRR: events_t, time_t, events_c, time_c. Two arms: at
        most a million events a trial.

    Returns
    -------
    GlmmResult, or GlmmRegressResult with a formula
        On the analysis scale; `GlmmResult.back` gives rates or ratios. A rate is that of the median study:
        `GlmmResult.mean_rate` is the mean over studies.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.effect_size` and `metaan.regress`; also an option that the model cannot honour.
    ConvergenceError
        The likelihood has no finite maximum: moderators that tell events from non-events, or (UM.FS, UM.RS) rates
        beyond 0 or 1 under RR and RD. The conditional models and those of one arm, the log link apart, never raise it
        without moderators.

    Notes
    -----
    One arm: x_i ~ Binomial(n_i, p_i), g(p_i) ~ N(mu, tau2); under the log link rates beyond 1 count as 1. IRLN: x_i
    ~ Poisson(t_i exp(eta_i)). OR, model CM.EL: given a_i + c_i events in both arms, the events a_i of the treated
    arm are non-central hypergeometric with log odds ratio theta_i ~ N(mu, tau2); the baseline risks cancel. CM.AL
    and IRR: binomial with log odds theta_i + log(n1/n2), or + log(t1/t2). UM.FS: both arms' counts, with linear
    predictors alpha_i + theta_i/2 and alpha_i - theta_i/2 and one parameter alpha_i a trial; UM.RS: alpha_i ~
    N(alpha, sigma2), independent of theta_i. Moderators: x_i'beta for mu; under UM.RS they act on the treated arm
    alone, as in metafor. Trials without events, or with events alone, are left out of OR, RR and IRR and noted, as
    metafor does. Maximum likelihood over all parameters, standard errors from the observed information. `loglik` is
    the true marginal log-likelihood with all constants (R's lme4, and so metafor, print a conditional value for
    adaptive quadrature, which cannot be compared between models). The test of tau2 = 0 refers to the mixture of
    chi2(0) and chi2(1) in equal parts. UM.FS estimates tau2 too low, and RR and RD by likelihood exist only where
    no true rate comes near 0 or 1.

    Conventions, since a GLMM has no sampling variances: weights are proportional to 1/(tau2 + 1/J) with J the
    information of the study's counts on its effect at the shrunken effect (n p (1 - p) for logits), and are for
    display; Q, I2 and H2 use the empirical effects and their variances, with 0.5 added where a cell is 0. For logits Q
    is metafor's Wald test, which leaves such studies out; for two arms it is Cochran's Q of the log ratios, not the
    Wald test of the model.

    Counts at one end in every study leave no finite estimate: the rate is 0 or 1, the ratio 0 or infinite, with a
    likelihood-ratio interval. If every study is at one of its ends, with both kinds present, the likelihood may be
    highest for tau without bound (for rates it always is): tau is then held at 10. Both are noted.

    References
    ----------
    Stijnen T, Hamza TH, Özdemir P (2010). Stat Med 29:3046-3067. doi:10.1002/sim.4040
    van Houwelingen HC, Zwinderman KH, Stijnen T (1993). Stat Med 12:2273-2284. doi:10.1002/sim.4780122405

    Examples
    --------
    >>> from metaan import glmm
    >>> res = glmm("PLO", events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40], test="z").back()
    >>> print(f"{res.estimate:.4f} ({res.ci_low:.4f} to {res.ci_high:.4f})")
    0.0901 (0.0509 to 0.1547)
    >>> print(res.mean_rate)
    mean rate over studies 0.1009 (95% CI 0.0606 to 0.1634; delta method on the logit scale)
    """
    spec = make_spec(Asked(measure, model, link, nodes, test, ci, level, pi, formula))
    eff = read(spec, columns, data=data, study=study, missing=missing)
    if formula is None:
        return _pooled(spec, eff)
    return glmm_regression(spec, *moderators(eff, formula, missing))


def _pooled(spec: Spec, eff: Effects) -> GlmmResult:
    of = likelihood(spec, eff)
    if isinstance(of, Arms):
        return fit_unconditional(of, eff, spec)
    return fit_exact(of, eff, spec, WORDS.get(spec.measure, _RATES))


_LINK_OF: Final = {"PROBIT": "probit", "CLOGLOG": "cloglog"}


def glmm_of(eff: Effects, **options: Any) -> GlmmResult:
    """`glmm` of the counts behind effects of a measure that it takes.

    Raises
    ------
    OptionError
        Effects of another measure, or without counts.
    """
    given: dict[str, Any] = dict(eff.inputs or {})
    if eff.events is not None:
        given = {"events": eff.events, "total": eff.total}
    measure = "PLO" if eff.measure in _LINK_OF else eff.measure
    if measure not in MEASURE.choices or not given:
        raise OptionError(f"A GLMM needs the counts behind {', '.join(MEASURE.choices)}, made by effect_size.")
    if eff.measure in _LINK_OF:
        options = {"link": _LINK_OF[eff.measure]} | options
    rows = eff.data if eff.data is not None and len(eff.data) == eff.k else None
    found: GlmmResult = glmm(measure, rows, study=eff.study, **given, **options)
    return found


def glmm_tau2_interval(res: PoolResult | RegressResult) -> tuple[float, float]:
    """Profile-likelihood interval of tau2 of a GLMM; see `metaan.tau2_interval`."""
    if isinstance(res, GlmmRegressResult):
        return tau_limits_of(res)
    b = likelihood(res.spec, res.effects)
    if isinstance(b, Arms):
        return unconditional_tau_limits(b, res.effects, res.spec)
    found = fit(b)
    if found.separated[0] or found.held[0]:
        return 0.0, math.inf
    low, high = tau_limits(b, found, res.spec.level)
    return float(low[0]) ** 2, float(high[0]) ** 2
