"""Pooling by exact likelihood: rates by the binomial-normal model, two arms by conditional models."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from metaan.core.binomial import Binomial, Family
from metaan.core.binomial_fit import fit
from metaan.core.binomial_profile import tau_limits
from metaan.errors import OptionError
from metaan.measures.columns import require
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects
from metaan.models.conditional import CONDITIONAL, WORDS, family, read_arms
from metaan.models.glmm_result import Words, fit_exact
from metaan.models.results import GlmmResult, PoolResult, Spec
from metaan.validate import CI, Option, check_level, forbid

__all__ = ["glmm", "glmm_of", "glmm_tau2_interval"]

MEASURE: Final = Option(
    "measure", {"PLO": "logit of a proportion", "OR": "log odds ratio", "IRR": "log incidence rate ratio"}, "PLO"
)  # fmt: skip
MODEL: Final = Option(
    "model",
    {
        "CM.EL": "conditional on the events of both arms: hypergeometric (OR) or binomial (IRR)",
        "CM.AL": "the binomial approximation of the conditional model for rare events (OR)",
    },
    "CM.EL",
)
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
_RATES: Final = Words(
    common="the rate of the pooled counts",
    none="No events in any study: the rate is 0",
    every="Nothing but events in every study: the rate is 1",
    held="Every study is at 0 or n",
)


def glmm(
    measure: str,
    data: Any = None,
    *,
    study: Any = None,
    model: str | None = None,
    nodes: int | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
    **columns: Any,
) -> GlmmResult:
    """Pool counts by their exact likelihood with normal random effects: response rates, or two arms.

    Needs no continuity correction and answers on every valid input, studies at 0 or 100 % included.

    Parameters
    ----------
    measure : {"PLO", "OR", "IRR"}
        The scale on which true effects vary: the logit of a rate; the log odds ratio or log rate ratio of two arms.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    model : {"CM.EL", "CM.AL"}, optional
        Two arms: the likelihood conditional on the events of both arms together (default), exact, or its binomial
        approximation for rare events (OR only).
    nodes : int, optional
        By default the integrals are exact to rounding: as many nodes as it takes that more change nothing. A number
        asks for that many adaptive Gauss-Hermite nodes instead (7 is metafor's default), to compare with other
        programs.
    test : {"t", "z"}
        Reference distribution of the Wald interval: t with k - 1 degrees of freedom or normal. (This t is not
        Hartung-Knapp: the standard error is the usual one.)
    ci : {"wald", "profile"}
        Wald interval on the analysis scale, or profile likelihood.
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval for the true effect of a new study.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.
    **columns : array of shape (k,) or column name
        PLO: events, total, whole numbers with 0 <= events <= total and 1 <= total <= 5,000,000. OR: events_t, total_t,
        events_c, total_c. IRR: events_t, time_t, events_c, time_c. Two arms: at most a million events a trial.

    Returns
    -------
    GlmmResult
        On the logit or log scale; `GlmmResult.back` gives rates or ratios. A rate is that of the median study.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.effect_size`; also an option that the model cannot honour.

    Notes
    -----
    PLO: x_i ~ Binomial(n_i, p_i), logit p_i ~ N(mu, tau2). OR, model CM.EL: given a_i + c_i events in both arms, the
    events a_i of the treated arm are non-central hypergeometric with log odds ratio theta_i ~ N(mu, tau2); the
    baseline risks cancel. CM.AL and IRR: binomial with log odds theta_i + log(n1/n2), or + log(t1/t2). Trials without
    events, or with events alone, say nothing and are noted. Maximum likelihood over mu and tau2 >= 0, standard errors
    from the observed information. `loglik` is the true marginal log-likelihood with all constants (R's lme4, and so
    metafor, print a conditional value for adaptive quadrature, which cannot be compared between models). The test of
    tau2 = 0 refers to the mixture of chi2(0) and chi2(1) in equal parts.

    Conventions, since a GLMM has no sampling variances: weights are proportional to 1/(tau2 + 1/K'') with K'' the
    variance of the count at the shrunken effect (n p (1 - p) for rates), and are for display; Q, I2 and H2 use the
    empirical effects and their variances, with 0.5 added where a cell is 0. For rates Q is metafor's Wald test, which
    leaves such studies out; for two arms it is Cochran's Q of the log ratios, not the Wald test of the conditional
    model.

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
    """
    spec = _spec(measure, model, nodes, test, ci, level, pi)
    if measure != "PLO":
        of, eff = read_arms(spec, columns, data=data, study=study, missing=missing)
        return fit_exact(of, eff, spec, WORDS[measure])
    require(measure, ("events", "total"), columns)
    read = counts(data, columns["events"], columns["total"], study, missing)
    forbid(
        read.total > _LARGEST, read.study, "glmm takes totals up to 5 million; pool the logits instead", [read.total]
    )
    return fit_exact(Binomial.from_counts(read.events[:, None], read.total[:, None]), _effects(read), spec, _RATES)


def _spec(measure: str, model: str | None, nodes: Any, test: str, ci: str, level: float, pi: str) -> Spec:
    MEASURE.check(measure)
    if model is not None:
        MODEL.check(model)
        if model not in CONDITIONAL.get(measure, ()):
            allowed = " or ".join(map(repr, CONDITIONAL.get(measure, ())))
            told = f"it has {allowed}" if allowed else "a rate has one likelihood, the binomial"
            raise OptionError(f"model={model!r} does not exist for measure={measure!r}: {told}.")
    if nodes is not None and (
        isinstance(nodes, bool) or not isinstance(nodes, (int, np.integer)) or not 1 <= nodes <= 100
    ):
        raise OptionError(f"nodes={nodes!r} must be a whole number from 1 to 100, or None for as many as needed.")
    if nodes is not None and ci == "profile":
        raise OptionError("ci='profile' uses the exact likelihood and not a fixed number of nodes; leave nodes=None.")
    return Spec(
        model="glmm", measure=measure, method="ML", test=TEST.check(test), level=check_level(level),
        pi=PI.check(pi), ci=CI.check(ci), nodes=None if nodes is None else int(nodes),
        likelihood="binomial" if measure == "PLO" else model or MODEL.default,
    )  # fmt: skip


def _effects(read: Counts) -> Effects:
    """Empirical logits for tables and plots, 0.5 added at 0 and n; the model itself uses the counts."""
    add = np.where((read.events == 0) | (read.events == read.total), 0.5, 0.0)
    hit, miss = read.events + add, read.total - read.events + add
    return Effects(
        yi=np.log(hit / miss), vi=1 / hit + 1 / miss, study=read.study, measure="PLO",
        events=read.events, total=read.total, data=read.data, notes=read.notes,
    )  # fmt: skip


def glmm_of(eff: Effects, **options: Any) -> GlmmResult:
    """`glmm` of the counts behind effects of measure PLO, OR or IRR.

    Raises
    ------
    OptionError
        Effects of another measure, or without counts.
    """
    given: dict[str, Any] = dict(eff.inputs or {})
    if eff.measure == "PLO" and eff.events is not None:
        given = {"events": eff.events, "total": eff.total}
    if eff.measure not in MEASURE.choices or not given:
        raise OptionError(f"A GLMM needs the counts behind {', '.join(MEASURE.choices)}, made by effect_size.")
    rows = eff.data if eff.data is not None and len(eff.data) == eff.k else None
    return glmm(eff.measure, rows, study=eff.study, **given, **options)


def glmm_tau2_interval(res: PoolResult) -> tuple[float, float]:
    """Profile-likelihood interval of tau2 of a GLMM; see `metaan.tau2_interval`."""
    b = _family(res)
    found = fit(b)
    if found.separated[0] or found.held[0]:
        return 0.0, math.inf
    low, high = tau_limits(b, found, res.spec.level)
    return float(low[0]) ** 2, float(high[0]) ** 2


def _family(res: PoolResult) -> Family:
    eff = res.effects
    if res.spec.measure == "PLO":
        return Binomial.from_counts(np.asarray(eff.events)[:, None], np.asarray(eff.total)[:, None])
    return family(res.spec, eff.inputs or {}, eff.study)
