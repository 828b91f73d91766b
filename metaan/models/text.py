"""How a result reads: at most twenty lines that a methods section could quote."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, cast

from metaan.measures.kinds import KINDS
from metaan.records import number
from metaan.validate import METHOD, NESTED_TEST, PI, ROBUST, TEST

if TYPE_CHECKING:
    from metaan.models.results import GlmmResult, PoolResult, Spec

__all__ = [
    "LINES", "describe", "effect_lines", "exact_model", "interval_words", "note_lines", "number", "plural",
    "prediction", "probability", "reference",
]  # fmt: skip

_PLURAL: Final = {"rate": "rates", "incidence": "rates", "ratio": "ratios"}
_WORD: Final = {"rate": "rate", "incidence": "rate", "ratio": "ratio"}
_COUNTS: Final = {"poisson": "Poisson"}
_BETA: Final = "quantiles of the fitted beta distribution, estimates taken as known"
LINES: Final = 20


def probability(pvalue: float) -> str:
    """A p-value with its relation sign: ``= 0.013`` or ``< 0.0001``."""
    if math.isnan(pvalue):
        return "not defined"
    return "< 0.0001" if pvalue < 1e-4 else f"= {pvalue:#.2g}" if pvalue < 0.1 else f"= {pvalue:.2f}"


def reference(test: str, *, moderators: bool = False) -> str:
    """What a standard error and reference distribution are called; with moderators, k - p for k - 1."""
    known = {**TEST.choices, **NESTED_TEST.choices, **ROBUST.choices} | {"t": TEST.choices["t"]}
    if moderators:
        known |= {"hk": "Knapp & Hartung 2003", "t": TEST.choices["t"].replace("k - 1", "k - p")}
    return known[test].split(";")[0]


def prediction(spec: Spec) -> str:
    """How a prediction interval is made; degrees of freedom of a regression where that is behind the result."""
    how = PI.choices.get(spec.pi, _BETA)
    return how if spec.formula is None else how.replace("k - 1", "k - p").replace("k - 2", "k - p - 1")


def plural(n: int, one: str) -> str:
    """A number with its noun."""
    ending = {"y": "ies", "is": "es"}
    several = next((one.removesuffix(end) + more for end, more in ending.items() if one.endswith(end)), f"{one}s")
    return f"{n} {one if n == 1 else several}"


def true_word(measure: str) -> str:
    """What a true effect of the measure is called."""
    kind = KINDS[measure]
    return _WORD.get(kind.scale, kind.shown.lower() if kind.transformed else "effect")


def exact_model(likelihood: str | None, link: str | None = "logit") -> str:
    """What the model behind a marginal likelihood is called."""
    return {
        "CM.EL": "Conditional exact likelihood, normal random effects (GLMM, CM.EL)",
        "CM.AL": "Conditional approximate likelihood, normal random effects (GLMM, CM.AL)",
        "UM.FS": f"Unconditional {_COUNTS.get(link or '', 'binomial')} likelihood, fixed study effects, normal random "
        "effects (GLMM, UM.FS)",
        "UM.RS": f"Unconditional {_COUNTS.get(link or '', 'binomial')} likelihood, random study effects, normal random "
        "effects (GLMM, UM.RS)",
        "poisson": "Poisson-normal model (GLMM, log link)",
    }.get(likelihood or "", f"Binomial-normal model (GLMM, {link or 'logit'} link)")


def describe(res: PoolResult) -> str:
    """Text of a result: model, estimate, prediction, heterogeneity, notes."""
    shown = res.back()
    lines = [*_head(res), *effect_lines(res, shown), *_heterogeneity(res)]
    return "\n".join([*lines, *note_lines(shown.notes, LINES - len(lines))])


def _head(res: PoolResult) -> list[str]:
    spec = res.spec
    studies = plural(res.k, "study")
    kind = KINDS[spec.measure]
    shown = _PLURAL.get(kind.scale, f"{kind.shown.lower()}s" if kind.transformed else "")
    scale = f", shown as {shown}" if res.scale == "display" and shown else ""
    if spec.model == "glmm":
        model = f"{exact_model(spec.likelihood, spec.link)} of {studies}"
        method = f"Maximum likelihood, {_quadrature(res)}; interval: {interval_words(res)}"
    elif spec.model == "stratified":
        model = f"Common-effect meta-analysis of {studies}"
        method = f"{spec.method} method, no continuity correction; interval: {interval_words(res)}"
    else:
        assumed = "Common-effect" if spec.method == "CE" else "Random-effects"
        model = f"{assumed} meta-analysis of {studies}"
        method = f"tau2: {spec.method} ({METHOD.choices[spec.method]}); interval: {interval_words(res)}"
    return [model, f"Measure: {spec.measure} ({kind.label}){scale}", method, ""]


def _quadrature(res: PoolResult) -> str:
    nodes = res.convergence.nodes
    if not nodes:
        return "closed form"
    if res.spec.nodes is not None:
        return f"adaptive Gauss-Hermite quadrature with {nodes} nodes"
    return f"marginal likelihood by {nodes} trapezoidal nodes a study"


def interval_words(res: PoolResult) -> str:
    """How the confidence interval is made."""
    if res.spec.ci == "profile":
        return "profile likelihood"
    if res.spec.ci == "likelihood-ratio":
        return "likelihood ratio"
    if res.k == 1:
        return "normal distribution, one study"
    df = "" if math.isinf(res.df) else f", {res.df:.4g} df"
    return f"test={res.spec.test} ({reference(res.spec.test)}{df})"


def effect_lines(res: PoolResult, shown: PoolResult) -> list[str]:
    """Estimate, display value, mean rate and prediction interval."""
    percent = f"{100 * res.spec.level:g}%"
    kind = KINDS[res.spec.measure]
    twofold = kind.transformed or kind.scale == "rate"
    name = {"rate": "Rate", "incidence": "Rate", "ratio": "Ratio"}.get(kind.scale, kind.shown)
    lines = []
    if res.scale == "analysis" or not twofold:
        ends = f"{number(res.ci_low)} to {number(res.ci_high)}"
        lines.append(f"Estimate    {number(res.estimate)}, {percent} CI {ends} (SE {number(res.se)}{_test(res)})")
    if twofold:
        ends = f"{number(shown.ci_low)} to {number(shown.ci_high)}"
        lines.append(f"{name:<11} {number(shown.estimate)}, {percent} CI {ends}{_median(res)}")
        if _median(res):
            mean = res.mean_rate
            ends = f"{number(mean.ci_low)} to {number(mean.ci_high)}"
            lines.append(f"Mean rate   {number(mean.estimate)}, {percent} CI {ends} (over the population of studies)")
    if not math.isnan(res.pi_low):
        ends = f"{number(shown.pi_low)} to {number(shown.pi_high)}"
        what = f"true {true_word(res.spec.measure)} of a new study"
        drawn = f", {res.spec.draws} draws, seed {res.spec.seed}" if res.spec.draws else ""
        lines.append(f"Prediction  {ends} ({percent}, {what}; {prediction(res.spec)}{drawn})")
    return lines


def _test(res: PoolResult) -> str:
    """The test of a zero effect, with its null hypothesis; none for scales on which zero is no hypothesis."""
    kind = KINDS[res.spec.measure]
    null = {"ratio": "a ratio of 1", "difference": "an effect of 0"}.get(kind.scale)
    if kind.null is None:
        null = "a rate of 50%" if res.spec.measure == "PLO" else None
    if null is None or math.isnan(res.statistic):
        return ""
    wald = "Wald " if res.spec.ci == "profile" else ""
    letter = "z" if math.isinf(res.df) else "t"
    return f", {wald}{letter} = {number(res.statistic)}, p {probability(res.pvalue)} for {null}"


def _median(res: PoolResult) -> str:
    return " (of the median study)" if res.of_median else ""


def _heterogeneity(res: PoolResult) -> list[str]:
    """Spread of the true effects; nothing where the data say nothing about it."""
    codes = {note.code for note in res.notes}
    if codes & {"one-study", "separated", "tau2-not-identified"}:
        return []
    exact = res.spec.model == "glmm"
    common = res.spec.method == "CE" or res.spec.model == "stratified"
    baseline = getattr(res, "sigma2", math.nan)
    beside = "" if math.isnan(baseline) else f"; baseline sigma2 {number(baseline)}"
    against = f" (against empirical {'logits' if res.spec.measure == 'PLO' else 'effects'})"
    what = against if exact else " (from Q)" if common else ""
    name = ("Wald Q" if res.spec.measure == "PLO" else "Q (inverse variance)") if exact else "Q"
    q = "" if math.isnan(res.Q) else f"; {name} = {res.Q:.2f}, df = {res.Q_df}, p {probability(res.Q_pvalue)}"
    between = "" if common else f"tau2 {number(res.tau2)}, tau {number(res.tau)}, "
    lines = [f"Spread      {between}I2 {res.I2:.1f}%{what}, H2 {number(res.H2)}{q}{beside}"]
    if exact and "tau2-unbounded" not in codes:
        fit = cast("GlmmResult", res)
        lines.append(
            f"Likelihood  log L {fit.loglik:.3f}, AIC {fit.aic:.2f}; test of tau2 = 0: LR {number(fit.lrt)}, "
            f"p {probability(fit.lrt_pvalue)} (boundary mixture)"
        )
    return lines


def note_lines(notes: Iterable[object], room: int) -> list[str]:
    """Every note on a line of its own; the last lines are joined when there are more notes than room."""
    texts = [f"- {note}" for note in notes]
    if not texts:
        return []
    if len(texts) + 1 > room:
        kept = max(room - 2, 1)
        texts = [*texts[:kept], " ".join(texts[kept:])]
    return ["Notes", *texts]
