"""The sentences under a forest plot."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from metaan.measures.intervals import INTERVAL
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.clustered_result import ClusteredResult
from metaan.models.results import GlmmResult, PoolResult, Spec
from metaan.models.text import prediction as how_predicted
from metaan.names import RECORD
from metaan.validate import ROBUST

__all__ = [
    "axis_label", "effect_name", "heterogeneity_line", "interval_lines", "measure_label", "model_line", "own_intervals",
    "patient_lines", "plural_of", "pooled_label", "pooled_lines", "probability", "symbols", "variance", "weight_lines",
]  # fmt: skip

_SCALE: Final = {
    "PR": "raw rates", "PLO": "logit rates", "PLN": "log rates", "PAS": "arcsine rates",
    "PROBIT": "probit rates", "CLOGLOG": "complementary log-log rates",
    "PFT": "Freeman–Tukey double arcsine rates", "IR": "incidence rates", "IRLN": "log incidence rates",
    "IRS": "square roots of incidence rates", "IRFT": "Freeman–Tukey roots of incidence rates",
    "GEN": "effect sizes as given", "RD": "risk differences", "MD": "mean differences",
    "AS": "differences of arcsine square roots of the risks", "SMD": "standardised mean differences",
    "SMDH": "standardised mean differences, unequal variances", "MN": "means", "MC": "mean changes",
    "SMCC": "standardised mean changes, by the SD of the change",
    "SMCR": "standardised mean changes, by the SD before", "COR": "correlations",
    "UCOR": "correlations, corrected for bias", "ZCOR": "Fisher's z of correlations",
    "IRD": "incidence rate differences", "IRSD": "differences of square roots of incidence rates",
}  # fmt: skip
_TEST: Final = {
    "z": "normal (z) interval", "t": "t interval", "hk": "Hartung–Knapp interval",
    "hk-adhoc": "Hartung–Knapp interval, never below z", "kr": "Kenward–Roger interval",
    "contain": "t interval, df of the groups",
    **{kind: f"cluster-robust interval ({kind})" for kind in ROBUST.choices},
}  # fmt: skip
_SYMBOLS: Final = {"rho": "ρ", "tau2": "τ²", "tau": "τ", "I2": "I²", "H2": "H²"}
_OUTCOME: Final = {"toxicity_grade3plus": "Toxicity of grade 3 or worse"}
_NO_RHO: Final = {"one-study", "rho-not-identified", "separated"}
# Codes of a GLMM whose counts say nothing about tau2, and what then became of it.
_NO_TAU2: Final = {"tau2-unbounded": "held at", "separated": "set to"}
_EXACT: Final = {
    "binomial": "binomial-normal GLMM",
    "poisson": "Poisson-normal GLMM (log link)",
    "UM.FS": "unconditional GLMM, fixed study effects (UM.FS)",
    "UM.RS": "unconditional GLMM, random study effects (UM.RS)",
    "CM.EL": "conditional GLMM, exact likelihood (CM.EL)",
    "CM.AL": "conditional GLMM, approximate likelihood (CM.AL)",
}
_OF_COUNTS: Final = {"beta-binomial": "beta-binomial model", "clustered": "binomial-normal model, clusters of patients"}
_OF_GROUPS: Final = "true effect in a new outermost group, t distribution with the number of groups − 1"
_FOR_DISPLAY: Final = "for display, the model itself uses counts."
_CI: Final = {"profile": "profile-likelihood interval", "likelihood-ratio": "likelihood-ratio interval"}


def heterogeneity_line(res: PoolResult) -> str:
    """Heterogeneity in one line; what was not estimated is left out."""
    if res.k == 1:
        return "Heterogeneity: not estimable from one study"
    if isinstance(res, BetaBinomialResult):
        return f"Heterogeneity: {_rho(res)}"
    done = _tau2_given(res)
    if done:
        return f"Heterogeneity: not estimable; τ² {done} {res.tau2:g}"
    parts = [] if res.spec.model == "stratified" else [variance("τ²", res.tau2)]
    if math.isfinite(res.I2):
        parts.append(f"I² = {res.I2:.1f}%")
    if isinstance(res, (GlmmResult, ClusteredResult)):
        parts.append(_ratio_test("τ²", res.lrt, res.lrt_pvalue))
    elif math.isfinite(res.Q):
        parts.append(f"Q = {res.Q:.2f}, df = {res.Q_df}, {probability(res.Q_pvalue)}")
    return f"Heterogeneity: {'; '.join(parts)}"


def variance(symbol: str, value: float) -> str:
    """A variance with three decimals, or three digits where it is very small or large."""
    return f"{symbol} = {value:.3f}" if value == 0 or 1e-2 <= value < 1e3 else f"{symbol} = {value:.3g}"


def _rho(res: BetaBinomialResult) -> str:
    """Correlation within studies of a beta-binomial model, with its interval and test."""
    if {note.code for note in res.notes} & _NO_RHO:
        return f"not estimable; ρ set to {res.rho:g}"
    ends = f"{100 * res.spec.level:g}% CI {res.rho_low:.3f} to {res.rho_high:.3f}"
    return f"{variance('ρ', res.rho)} ({ends}); {_ratio_test('ρ', res.lrt, res.lrt_pvalue)}"


def _ratio_test(symbol: str, lrt: float, pvalue: float) -> str:
    statistic = f"{lrt:.2f}" if lrt < 10 else f"{lrt:.1f}"
    return f"LR test of {symbol} = 0: {statistic}, {probability(pvalue)}"


def patient_lines(res: PoolResult) -> list[str]:
    """Correlation of the lesions of a patient, where the model has one."""
    if not isinstance(res, ClusteredResult) or not math.isfinite(res.rho):
        return []
    if not res.rho_estimated:
        assumed = any(note.code == "icc-assumed" for note in res.notes)
        return [f"Lesions of one patient: ICC = {res.rho:.3g}, {'assumed' if assumed else 'not estimable'}"]
    ends = f"{100 * res.spec.level:g}% CI {res.rho_low:.2f} to {res.rho_high:.2f}"
    tested = math.isfinite(res.lrt_rho)
    test = f"; {_ratio_test('ICC', res.lrt_rho, res.lrt_rho_pvalue)}" if tested else ""
    return [f"Lesions of one patient: ICC = {res.rho:.2f} ({ends}){test}"]


def model_line(spec: Spec, k: int) -> str:
    """Model, scale, estimator and interval in one line."""
    test = "z" if k == 1 else spec.test  # one study: every test falls back to the normal interval
    interval = _CI.get(spec.ci, _TEST[test])
    if spec.model == "glmm":
        link = f" ({spec.link} link)" if spec.likelihood == "binomial" else ""
        return f"Model: {_EXACT[spec.likelihood or 'binomial']}{link}, maximum likelihood; {interval}"
    if spec.model in _OF_COUNTS:
        return f"Model: {_OF_COUNTS[spec.model]}, maximum likelihood; {interval}"
    if spec.model == "stratified":
        shown = KINDS[spec.measure].shown.lower()
        return f"Model: common {shown}, {spec.method.replace('-', '–')} method; {interval}"
    if spec.method == "CE":
        return f"Model: common effect on {plural_of(spec.measure)}; {interval}"
    if spec.model == "multilevel":
        return f"Model: multilevel on {plural_of(spec.measure)}, {spec.method} estimates of the variances; {interval}"
    return f"Model: random effects on {plural_of(spec.measure)}, {spec.method} estimate of τ²; {interval}"


def interval_lines(res: PoolResult, interval: str, *, prediction: bool) -> list[str]:
    """What the intervals of the studies and the prediction interval are, where there are any."""
    lines = own_intervals(res.effects, interval, ", lesions taken as independent" * isinstance(res, ClusteredResult))
    if prediction:
        how = _OF_GROUPS if res.spec.model == "multilevel" else how_predicted(res.spec).replace(" - ", " − ")
        lines.append(f"Prediction interval: {how}.")
    return [" ".join(lines)] if lines else []


def own_intervals(eff: Effects, interval: str, more: str = "") -> list[str]:
    """What the intervals of the studies are; nothing of effects as given."""
    incidence = KINDS[eff.measure].scale == "incidence" and {"events", "time"} <= (eff.inputs or {}).keys()
    if eff.events is not None:
        how = INTERVAL.choices[interval]
    elif incidence:
        how = "exact Poisson tails (Garwood 1936)"
    elif eff.measure != "GEN":
        how = f"normal, for {plural_of(eff.measure)}"
    else:
        return []
    return [f"Intervals of the studies: {how}{more}."]


def effect_name(measure: str) -> str:
    """What is pooled, in the singular."""
    return "effect" if measure == "GEN" else KINDS[measure].shown.lower()


def pooled_label(res: PoolResult) -> str:
    """Label of the pooled row: between studies that differ, a back-transformed mean is the median of their rates."""
    name = effect_name(res.spec.measure)
    if res.spec.model == "beta-binomial" and res.tau2 > 0:
        return f"Pooled {name} (mean of studies)"
    return f"Pooled {name} (median study)" if res.of_median else f"Pooled {name}"


def pooled_lines(res: PoolResult) -> list[str]:
    """Why the pooled rate differs from the sums beside it, where it does."""
    if not res.of_median:
        return []
    beside = ", not events divided by total" if res.effects.events is not None else ""
    return [f"Pooled rate: of the median study{beside}."]


def weight_lines(res: PoolResult) -> list[str]:
    """Where the I2 and the weights of a model of counts come from: the model itself has neither."""
    if res.k == 1:
        return []
    if isinstance(res, BetaBinomialResult):
        return [f"ρ: correlation of two observations of one study. Weights n/(1 + (n − 1)ρ): {_FOR_DISPLAY}"]
    if isinstance(res, ClusteredResult):
        return [f"I² from empirical logits and design effects. Weights 1/(τ² + variance of the rate): {_FOR_DISPLAY}"]
    if not isinstance(res, GlmmResult):
        return []
    done = _tau2_given(res)
    if done == _NO_TAU2["separated"]:
        return [f"Weights: shares of the {'total' if res.spec.measure == 'PLO' else 'possible counts'}."]
    logits = res.spec.measure == "PLO"
    within = "1/[n p(1−p)]), p the shrunken rate" if logits else "1/J), J the information of the counts"
    weights = f"Weights 1/(τ² + {within}: {_FOR_DISPLAY}"
    rates = res.effects.events is not None
    empirical = (
        f"{'logits' if logits else plural_of(res.spec.measure)} (0.5 added at 0 and n)"
        if rates
        else "effects (0.5 added where a cell is 0)"
    )
    return [weights if done else f"I² from empirical {empirical}. {weights}"]


def measure_label(measure: str) -> str | None:
    """What an effect is called under an axis; None for rates and effects as given, which the axis itself names."""
    kind = KINDS[measure]
    if kind.scale == "incidence":
        return f"{kind.shown} (events per unit of time)"
    return None if kind.scale == "rate" or measure == "GEN" else kind.shown


def axis_label(eff: Effects) -> str | None:
    """What the axis shows: the effect by name; for rates the outcome, where `metaan.load` selected the counts."""
    label = measure_label(eff.measure)
    if label is not None:
        return label
    record = None if eff.data is None else eff.data.attrs.get(RECORD)
    if record is None or eff.events is None or eff.total is None or eff.data is None:
        return None
    for counts, name in ((eff.events, "events"), (eff.total, "total")):
        if name not in eff.data or not np.array_equal(
            counts, eff.data[name].to_numpy(dtype=np.float64, na_value=np.nan)
        ):
            return None  # of something else
    selection = record["selection"]
    outcome, unit = selection["outcome"], selection["unit"]
    said = _OUTCOME.get(outcome, outcome.replace("_", " ").capitalize())
    return f"{said} (% of {unit}s)" if unit else f"{said} (%)"


def symbols(text: str) -> str:
    """Greek letters and superscripts for the plain names of statistics."""
    return re.sub(r"\b(tau2|tau|rho|I2|H2)\b", lambda match: _SYMBOLS[match[0]], text)


def plural_of(measure: str) -> str:
    """Plural of what was pooled."""
    label = KINDS[measure].label
    if measure in _SCALE:
        return _SCALE[measure]
    return label.replace("ratio", "ratios", 1)


def _tau2_given(res: PoolResult) -> str | None:
    """What became of the tau2 that the counts of a GLMM say nothing about; None where it was estimated."""
    return next((_NO_TAU2[note.code] for note in res.notes if note.code in _NO_TAU2), None)


def probability(p: float) -> str:
    """A p-value as journals print it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
