"""Selection models: effects pooled under a model of which studies are seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from metaan.analysis.selection_result import SelectionResult, Steps
from metaan.core.inference import log_pvalue
from metaan.core.selection import NULL, Rule, intervals, pvalues
from metaan.core.selection_fit import HIGHEST, Given, SelectionFit, fit_selection, profile_limits
from metaan.errors import DataError, InputError, Note, OptionError, shown
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.design import moderators
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.validate import CI, FloatArray, Option, check_level, forbid, numbers

__all__ = ["ALTERNATIVE", "KIND", "PRECISION", "selection_model"]

KIND: Final = Option(
    "kind",
    {
        "step": "constant between cut points (Hedges 1992, Vevea & Hedges 1995)",
        "beta": "p^(delta1 - 1) (1 - p)^(delta2 - 1) (Citkowicz & Vevea 2017)",
        "halfnorm": "exp(-delta p^2) (Preston et al. 2004)",
        "negexp": "exp(-delta p) (Preston et al. 2004)",
        "logistic": "2 exp(-delta p)/(1 + exp(-delta p)) (Preston et al. 2004)",
        "power": "(1 - p)^delta",
    },
    "step",
)
ALTERNATIVE: Final = Option(
    "alternative",
    {
        "greater": "one-sided p-values, small for large effects",
        "less": "one-sided p-values, small for small effects",
        "two-sided": "two-sided p-values",
    },
    "greater",
)
PRECISION: Final = Option(
    "prec",
    {
        "sei": "standard error",
        "vi": "sampling variance",
        "ninv": "1/n",
        "sqrtninv": "1/sqrt(n)",
    },
    "sei",
)
METHOD: Final = Option("method", {"ML": "maximum likelihood", "CE": "common effect: tau2 = 0"}, "ML")
_FEW: Final = 4
_ROUNDING: Final = 1e-9
_SMALL: Final = 10
_WIDEST: Final = 1e100


def selection_model(
    eff: Effects | PoolResult | RegressResult,
    *,
    kind: str = "step",
    steps: float | Sequence[float] | None = None,
    alternative: str = "greater",
    prec: str | None = None,
    formula: str | None = None,
    method: str = "ML",
    weights: Any = None,
    null: float | None = None,
    force: bool = False,
    ci: str = "wald",
    level: float = 0.95,
    missing: str = "raise",
) -> SelectionResult:
    """Pool effects of which some were seen because of their p-values, by a weight function of the p-value.

    Parameters
    ----------
    eff : Effects, PoolResult or RegressResult
        Effects, or a result of `metaan.pool` or `metaan.regress`, whose effects and formula are taken.
    kind : {"step", "beta", "halfnorm", "negexp", "logistic", "power"}
        Weight function w(p), the chance of being seen relative to other studies.
    steps : float or sequence of float, optional
        Cut points in (0, 1) of a step function, 0.025 by default (two-sided: 0.05). Other kinds but "beta": one value,
        below which w is 1; none by default.
    alternative : {"greater", "less", "two-sided"}
        P-values that are small for large effects, for small ones, or for both.
    prec : {"sei", "vi", "ninv", "sqrtninv"}, optional
        Multiplies delta by a measure of imprecision, 1 for the least precise study. Not for "step" and "beta".
    formula : str, optional
        Moderators, as in `metaan.regress`.
    method : {"ML", "CE"}
        Random effects by maximum likelihood, or a common effect.
    weights : sequence of float, optional
        Known weights > 0 of the intervals of a step function, one more than the cut points (Vevea & Woods 2005):
        nothing of the selection is estimated.
    null : float, optional
        Effect, on the analysis scale, against which the p-values test; 0 by default. Rates need it.
    force : bool, default False
        Take 0 as the null of rates all the same.
    ci : {"wald", "profile"}
        Interval of the coefficients: normal, or profile likelihood.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    missing : {"raise", "drop"}, default "raise"
        What to do with a study whose moderators are not all known.

    Returns
    -------
    SelectionResult

    Raises
    ------
    InputError
        `eff` is neither effects nor such a result.
    OptionError
        An unknown option, one that the kind cannot honour, or a measure whose p-values mean nothing.
    DataError
        An interval between cut points without a study.

    Notes
    -----
    Study i is seen with a probability in proportion to w(p_i), so that y_i has the density N(y; x_i'beta, v_i + tau2)
    w(p(y))/A_i, with A_i the expectation of w: a closed form for step functions, else Gauss-Legendre quadrature whose
    nodes are doubled until the log-likelihood moves by less than 1e-9. beta, tau2 and delta are estimated by maximum
    likelihood from several starts; standard errors come from the observed information. A step function has w = 1 below
    its first cut point and delta_j from there on. delta lies between 0 (1e-5 for "beta") and 100, as in metafor; for
    "beta" and "power" p-values are held between 1e-5 and 1 - 1e-5.

    The test of selection compares with delta = 1 ("step", "beta") or delta = 0. The latter is at the end of what delta
    may be, and refers to the mixture of chi2(0) and chi2(1), half the p-value that metafor prints; so does the test of
    tau2 = 0. In 400 to 500 simulated data sets without selection, of 20 or of 60 studies, the test at 5 % rejected 3 to
    6 % ("step"), 4 to 5 % ("negexp") and 5 to 8 % ("beta").

    The model knows of selection by p-value alone. A rate has no p-value that an author would have selected by: 0 on
    the logit scale is a rate of 50 %. Rates are refused unless `null` is given.

    References
    ----------
    Hedges LV (1992). Stat Sci 7:246-255. doi:10.1214/ss/1177011364
    Vevea JL, Hedges LV (1995). Psychometrika 60:419-435. doi:10.1007/BF02294384
    Vevea JL, Woods CM (2005). Psychol Methods 10:428-443. doi:10.1037/1082-989X.10.4.428
    Preston C, Ashby D, Smyth R (2004). J Eval Clin Pract 10:313-322. doi:10.1111/j.1365-2753.2003.00457.x
    Citkowicz M, Vevea JL (2017). Psychol Methods 22:28-41. doi:10.1037/met0000119

    Examples
    --------
    >>> from metaan import effects, selection_model
    >>> eff = effects([0.6, 0.5, 0.7, 0.3, 0.4, 0.9, 0.1, 0.2, 0.8, 0.5], sei=[0.2, 0.2, 0.3, 0.1, 0.3, 0.4, 0.1, 0.2,
    ...               0.3, 0.2])
    >>> sel = selection_model(eff)
    >>> round(sel.estimate, 3), sel.delta.round(3), round(sel.LRT_pvalue, 3)
    (0.195, array([0.077]), 0.017)
    """
    effects, formula, notes = _effects(eff, formula, METHOD.check(method))
    rule = _rule(KIND.check(kind), steps, ALTERNATIVE.check(alternative))
    effects, x, names = _design(effects, formula, missing)
    known = None if weights is None else _weights(weights, rule)
    of = Given(
        y=effects.yi, v=effects.vi, x=x, rule=rule, sign=-1.0 if alternative == "less" else 1.0,
        null=_null(effects.measure, null, force), precision=_precision(effects, prec, kind), delta=known,
        random=method == "ML",
    )  # fmt: skip
    p = pvalues(of.sign * (of.y - of.null) / np.sqrt(of.v), rule.sides)
    counts = _counts(p, rule, known is None)
    fit = fit_selection(of)
    level, ci = check_level(level), CI.check(ci)
    limits = profile_limits(of, fit, level) if ci == "profile" else None
    notes += effects.notes + data_notes(effects.data) + repeated(effects) + _notes(of, fit, counts)
    single = formula is None
    return SelectionResult(
        **_coefficients(fit, names, level, limits, single), **_likelihood(of, fit),
        **_selection(fit, len(names), level), names=names, k=effects.k,
        kind=kind, steps=Steps(tuple(rule.steps.tolist()), counts, NULL[kind], known is not None),
        alternative=alternative, prec=prec, null=of.null, pvalues=p, formula=formula, method=method, ci=ci, level=level,
        measure=effects.measure, effects=effects, converged=fit.converged, notes=notes,
    )  # fmt: skip


def _effects(
    eff: Effects | PoolResult | RegressResult, formula: str | None, method: str
) -> tuple[Effects, str | None, tuple[Note, ...]]:
    """Effects, formula, and a note where the result was fitted otherwise."""
    if isinstance(eff, Effects):
        return eff, formula, ()
    if not isinstance(eff, (PoolResult, RegressResult)):
        raise InputError(f"selection_model takes effects or a result of pool or regress, not {type(eff).__name__}.")
    spec = eff.spec
    if spec.model not in ("normal", "regression") or spec.cluster is not None:
        what = "robust results" if spec.cluster is not None else f"results of model {spec.model!r}"
        raise OptionError(f"selection_model takes effects, or results of pool and regress, not {what}.")
    if spec.method == method:
        note: tuple[Note, ...] = ()
    else:
        note = (Note("refitted", f"The selection model is fitted by {method}; the result given was by {spec.method}."),)
    return eff.effects, spec.formula if formula is None else formula, note


def _rule(kind: str, steps: float | Sequence[float] | None, alternative: str) -> Rule:
    sides = 2 if alternative == "two-sided" else 1
    if steps is None:
        return Rule(kind, sides, np.array([0.025 * sides] if kind == "step" else []))
    ends = np.unique(numbers(steps, "steps"))
    ends = ends[ends != 1]
    if not ((ends > 0) & (ends < 1)).all():
        raise OptionError(f"steps={shown(steps)} must lie between 0 and 1: cut points of the p-value, such as 0.025.")
    if kind == "beta" and ends.size:
        raise OptionError("kind='beta' has no steps; leave them out, or choose another kind.")
    if kind == "step" and ends.size == 0:
        raise OptionError("kind='step' needs at least one cut point below 1.")
    if kind != "step" and ends.size > 1:
        raise OptionError(f"kind={kind!r} takes one step, below which the weight is 1, not {ends.size}.")
    return Rule(kind, sides, ends)


def _design(eff: Effects, formula: str | None, missing: str) -> tuple[Effects, FloatArray, tuple[str, ...]]:
    if formula is None:
        if eff.k < 3:
            raise DataError(f"A selection model needs at least 3 studies; there are {eff.k}.")
        return eff, np.ones((eff.k, 1)), ("Intercept",)
    eff, design = moderators(eff, formula, missing)
    return eff, design.matrix, design.names


def _weights(weights: Any, rule: Rule) -> FloatArray:
    """Known weights relative to that of the first interval."""
    if rule.kind != "step":
        raise OptionError("weights are those of the intervals of kind='step'; other kinds estimate delta.")
    w = numbers(weights, "weights")
    if w.size != rule.steps.size + 1:
        raise InputError(f"weights has {w.size} values for {rule.steps.size + 1} intervals of the p-value.")
    if not ((w > 0) & np.isfinite(w)).all():
        raise InputError("weights must be positive and finite: relative chances of being seen.")
    if w.max() > _WIDEST * w.min():
        raise InputError(f"weights must not differ by more than a factor of {_WIDEST:g}.")
    return np.asarray(w[1:] / w[0])


def _null(measure: str, null: float | None, force: bool) -> float:
    if null is not None:
        value = numbers(null, "null")
        if value.size != 1 or not math.isfinite(value[0]):
            raise OptionError(f"null={shown(null)} must be one finite effect on the analysis scale.")
        return float(value[0])
    kind = KINDS[measure]
    if kind.null is None and not force:
        what = "a rate of 50 %" if measure in ("PLO", "PROBIT") else "0 on the analysis scale"
        raise OptionError(
            f"selection_model selects by p-values, and those of {measure} ({kind.label}) would test {what}, which no "
            "author selects by. Give null= (on the analysis scale) if the studies did test a value, or force=True."
        )
    return 0.0


def _precision(eff: Effects, prec: str | None, kind: str) -> FloatArray | None:
    """Measure of imprecision of each study over the largest."""
    if prec is None:
        return None
    PRECISION.check(prec)
    if kind in ("step", "beta"):
        raise OptionError(f"prec is not for kind={kind!r}, whose weights depend on the p-value alone.")
    if prec in ("sei", "vi"):
        value = np.sqrt(eff.vi) if prec == "sei" else eff.vi
    else:
        n = _sizes(eff)
        value = 1 / n if prec == "ninv" else 1 / np.sqrt(n)
    return np.asarray(value / value.max())


def _sizes(eff: Effects) -> FloatArray:
    """Sample sizes behind the effects."""
    given = eff.inputs or {}
    found = [eff.total, given.get("n"), *(given.get(f"{n}_t") for n in ("total", "n"))]
    size = next((n for n in found if n is not None), None)
    if size is None:
        raise OptionError(
            "prec='ninv' and 'sqrtninv' need sample sizes: make the effects by effect_size, or use 'sei'."
        )
    other = next((given[f"{n}_c"] for n in ("total", "n") if f"{n}_c" in given), None)
    n = np.asarray(size if other is None else size + other, dtype=np.float64)
    forbid(~(n > 0), eff.study, "sample sizes must be positive", [n])
    return n


def _counts(p: FloatArray, rule: Rule, estimated: bool) -> tuple[int, ...]:
    """Studies in each interval; every one needs some for its weight to be estimated."""
    counts = np.bincount(intervals(p, rule.steps), minlength=rule.steps.size + 1)
    if estimated and (counts == 0).any():
        ends = np.concatenate([[0.0], rule.steps, [1.0]])
        empty = ", ".join(f"{ends[i]:g} to {ends[i + 1]:g}" for i in np.flatnonzero(counts == 0))
        raise DataError(
            f"No study has a p-value in {empty} ({plural(len(p), 'study')}), so that its weight cannot be estimated. "
            "Choose other steps or alternative, or give weights."
        )
    return tuple(int(n) for n in counts)


def _coefficients(
    fit: SelectionFit, names: tuple[str, ...], level: float, limits: tuple[FloatArray, FloatArray] | None, single: bool
) -> dict[str, Any]:
    """Fields of the coefficients; plain numbers without a formula."""
    p = len(names)
    se = np.sqrt(np.diagonal(fit.cov)[:p])
    half = float(ndtri((1 + level) / 2)) * se
    low, high = (fit.beta - half, fit.beta + half) if limits is None else limits
    statistic = fit.beta / se
    log_p = log_pvalue(statistic, np.inf)
    made = {
        "estimate": fit.beta, "se": se, "ci_low": low, "ci_high": high, "statistic": statistic,
        "pvalue": np.exp(log_p), "log_pvalue": log_p, "unadjusted": fit.beta_null,
    }  # fmt: skip
    return {name: float(value[0]) for name, value in made.items()} if single else made


def _likelihood(of: Given, fit: SelectionFit) -> dict[str, Any]:
    count = 0 if of.delta is not None else fit.delta.size
    parameters = fit.beta.size + int(of.random) + count
    lrt = _ratio(fit.loglik, fit.loglik_null) if count else math.nan
    pvalue = float(chdtrc(count, lrt)) if count and of.rule.kind in ("step", "beta") else _mixture(lrt)
    of_tau2 = _ratio(fit.loglik, fit.loglik_zero) if of.random else math.nan
    variance = fit.cov[fit.beta.size, fit.beta.size]
    return {
        "loglik": fit.loglik, "loglik_null": fit.loglik_null, "aic": 2 * (parameters - fit.loglik),
        "parameters": parameters, "LRT": lrt, "LRT_df": count, "LRT_pvalue": pvalue,
        "tau2": fit.tau2, "tau": math.sqrt(fit.tau2), "se_tau2": math.sqrt(variance),
        "tau2_unadjusted": fit.tau2_null, "LRT_tau2": of_tau2,
        "LRT_tau2_pvalue": _mixture(of_tau2), "cov": fit.cov,
    }  # fmt: skip


def _ratio(high: float, low: float) -> float:
    """Likelihood-ratio statistic, 0 where rounding is all there is."""
    lrt = 2 * (high - low)
    return lrt if lrt > _ROUNDING else 0.0


def _mixture(lrt: float) -> float:
    """P-value under chi2(0) and chi2(1) in equal parts."""
    return math.nan if math.isnan(lrt) else float(ndtr(-math.sqrt(lrt))) if lrt > 0 else 1.0


def _selection(fit: SelectionFit, p: int, level: float) -> dict[str, Any]:
    se = np.sqrt(np.diagonal(fit.cov)[p + 1 :])
    half = float(ndtri((1 + level) / 2)) * se
    return {
        "delta": fit.delta, "delta_se": se, "delta_low": np.maximum(fit.delta - half, 0.0),
        "delta_high": fit.delta + half,
    }  # fmt: skip


def _notes(of: Given, fit: SelectionFit, counts: tuple[int, ...]) -> tuple[Note, ...]:
    notes = []
    if of.delta is not None:
        notes.append(Note("fixed-weights", "The weights are assumed, not estimated: one of many sensitivity analyses."))
    for i in np.flatnonzero(fit.held):
        name = f"delta{i + 1}" if fit.held.size > 1 else "delta"
        high = fit.delta[i] > HIGHEST / 2
        end = "100, the largest allowed" if high else f"{fit.delta[i]:g}, the smallest allowed"
        text = f"{name} is held at {end}: it has no standard error, and the others' are too small."
        if high:
            text = f"{text[:-1]}; the likelihood still rises there, and all estimates depend on that bound."
        notes.append(Note("delta-bound", text))
    if of.random and fit.tau2 == 0:
        notes.append(Note("tau2-zero", "tau2 is estimated as 0: a common-effect selection model."))
    if fit.unbounded:
        notes.append(
            Note("tau2-bound", "The likelihood rises as tau2 grows without bound: there is no estimate to trust.")
        )
    if fit.maxima > 1:
        notes.append(Note("two-maxima", f"The likelihood has {fit.maxima} local maxima; the highest was taken."))
    if not fit.converged:
        notes.append(
            Note("not-converged", "The search stopped before the estimates settled; treat them as approximate.")
        )
    if not np.isfinite(fit.cov[0, 0]):
        notes.append(Note("no-se", "The likelihood is flat or not curved at its highest point: no standard errors."))
    if of.delta is None and min(counts) < _FEW:
        where = "an interval of the p-value has" if len(counts) > 2 else "one side of the cut point has"
        notes.append(
            Note(
                "few-in-interval",
                f"{where[0].upper()}{where[1:]} only {plural(min(counts), 'study')}: its weight is hardly known.",
            )
        )
    if of.delta is None and of.y.size < _SMALL:
        notes.append(Note("few-studies", f"{of.y.size} studies: selection models need many more to be trusted."))
    return tuple(notes)
