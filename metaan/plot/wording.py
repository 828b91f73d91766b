"""The sentences under a forest plot."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from metaan.measures.intervals import INTERVAL
from metaan.measures.kinds import KINDS
from metaan.models.results import GlmmResult, PoolResult
from metaan.models.text import prediction as how_predicted
from metaan.names import RECORD
from metaan.validate import ROBUST

__all__ = [
    "axis_label", "glmm_lines", "heterogeneity_line", "interval_lines", "model_line", "pooled_label",
    "pooled_lines", "symbols",
]  # fmt: skip

_SCALE: Final = {
    "PR": "raw rates", "PLO": "logit rates", "PLN": "log rates", "PAS": "arcsine rates",
    "PROBIT": "probit rates", "CLOGLOG": "complementary log-log rates",
    "PFT": "Freeman–Tukey double arcsine rates", "IR": "incidence rates", "IRLN": "log incidence rates",
    "IRS": "square roots of incidence rates", "IRFT": "Freeman–Tukey roots of incidence rates",
    "GEN": "effect sizes as given",
}  # fmt: skip
_TEST: Final = {
    "z": "normal (z) interval", "t": "t interval", "hk": "Hartung–Knapp interval",
    "hk-adhoc": "Hartung–Knapp interval, never below z", "kr": "Kenward–Roger interval",
    **{kind: f"cluster-robust interval ({kind})" for kind in ROBUST.choices},
}  # fmt: skip
_SYMBOLS: Final = {"tau2": "τ²", "tau": "τ", "I2": "I²", "H2": "H²"}
_OUTCOME: Final = {"toxicity_grade3plus": "Toxicity of grade 3 or worse"}
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
_CI: Final = {"profile": "profile-likelihood interval", "likelihood-ratio": "likelihood-ratio interval"}


def heterogeneity_line(res: PoolResult) -> str:
    """Heterogeneity in one line; what was not estimated is left out."""
    if res.k == 1:
        return "Heterogeneity: not estimable from one study"
    done = _tau2_given(res)
    if done:
        return f"Heterogeneity: not estimable; τ² {done} {res.tau2:g}"
    usual = res.tau2 == 0 or 5e-4 <= res.tau2 < 1e3
    parts = [] if res.spec.model == "stratified" else [f"τ² = {res.tau2:.3f}" if usual else f"τ² = {res.tau2:.3g}"]
    if math.isfinite(res.I2):
        parts.append(f"I² = {res.I2:.1f}%")
    if isinstance(res, GlmmResult):
        statistic = f"{res.lrt:.2f}" if res.lrt < 10 else f"{res.lrt:.1f}"
        parts.append(f"LR test of τ² = 0: {statistic}, {_probability(res.lrt_pvalue)}")
    elif math.isfinite(res.Q):
        parts.append(f"Q = {res.Q:.2f}, df = {res.Q_df}, {_probability(res.Q_pvalue)}")
    return f"Heterogeneity: {'; '.join(parts)}"


def model_line(res: PoolResult) -> str:
    """Model, scale, estimator and interval in one line."""
    spec = res.spec
    test = "z" if res.k == 1 else spec.test  # one study: every test falls back to the normal interval
    interval = _CI.get(spec.ci, _TEST[test])
    if isinstance(res, GlmmResult):
        link = f" ({spec.link} link)" if spec.likelihood == "binomial" else ""
        return f"Model: {_EXACT[spec.likelihood or 'binomial']}{link}, maximum likelihood; {interval}"
    if spec.model in _OF_COUNTS:
        return f"Model: {_OF_COUNTS[spec.model]}, maximum likelihood; {interval}"
    if spec.model == "stratified":
        shown = KINDS[spec.measure].shown.lower()
        return f"Model: common {shown}, {spec.method.replace('-', '–')} method; {interval}"
    if spec.method == "CE":
        return f"Model: common effect on {_scale(spec.measure)}; {interval}"
    return f"Model: random effects on {_scale(spec.measure)}, {spec.method} estimate of τ²; {interval}"


def interval_lines(res: PoolResult, interval: str, *, prediction: bool) -> list[str]:
    """What the intervals of the studies and the prediction interval are, where there are any."""
    lines = []
    if res.effects.events is not None:
        lines.append(f"Intervals of the studies: {INTERVAL.choices[interval]}.")
    elif res.effects.measure != "GEN":
        lines.append(f"Intervals of the studies: normal, for {_scale(res.effects.measure)}.")
    if prediction:
        lines.append(f"Prediction interval: {how_predicted(res.spec).replace(' - ', ' − ')}.")
    return [" ".join(lines)] if lines else []


def pooled_label(res: PoolResult) -> str:
    """Label of the pooled row: between studies that differ, a back-transformed mean is the median of their rates."""
    kind = KINDS[res.spec.measure]
    name = {"rate": "rate", "incidence": "rate", "ratio": kind.shown.lower()}.get(kind.scale, "effect")
    if res.spec.model == "beta-binomial" and res.tau2 > 0:
        return f"Pooled {name} (mean of studies)"
    return f"Pooled {name} (median study)" if res.of_median else f"Pooled {name}"


def pooled_lines(res: PoolResult) -> list[str]:
    """Why the pooled rate differs from the sums beside it, where it does."""
    if not res.of_median:
        return []
    beside = ", not events divided by total" if res.effects.events is not None else ""
    return [f"Pooled rate: of the median study{beside}."]


def glmm_lines(res: PoolResult) -> list[str]:
    """Where the I2 and the weights of a GLMM come from: the model itself has neither."""
    if not isinstance(res, GlmmResult) or res.k == 1:
        return []
    done = _tau2_given(res)
    if done == _NO_TAU2["separated"]:
        return [f"Weights: shares of the {'total' if res.spec.measure == 'PLO' else 'possible counts'}."]
    logits = res.spec.measure == "PLO"
    variance = "1/[n p(1−p)]), p the shrunken rate" if logits else "1/J), J the information of the counts"
    weights = f"Weights 1/(τ² + {variance}: for display, the model itself uses counts."
    rates = res.effects.events is not None
    empirical = (
        f"{'logits' if logits else _scale(res.spec.measure)} (0.5 added at 0 and n)"
        if rates
        else "effects (0.5 added where a cell is 0)"
    )
    return [weights if done else f"I² from empirical {empirical}. {weights}"]


def axis_label(res: PoolResult) -> str | None:
    """What the axis shows: the effect by name; for rates the outcome, where `metaan.load` selected the counts."""
    eff = res.effects
    kind = KINDS[eff.measure]
    if kind.scale != "rate" and eff.measure != "GEN":
        return kind.shown
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
    return re.sub(r"\b(tau2|tau|I2|H2)\b", lambda match: _SYMBOLS[match[0]], text)


def _scale(measure: str) -> str:
    """Plural of what was pooled."""
    label = KINDS[measure].label
    if measure in _SCALE:
        return _SCALE[measure]
    return label.replace("ratio", "ratios", 1) if "ratio" in label else f"{measure} ({label})"


def _tau2_given(res: PoolResult) -> str | None:
    """What became of the tau2 that the counts of a GLMM say nothing about; None where it was estimated."""
    return next((_NO_TAU2[note.code] for note in res.notes if note.code in _NO_TAU2), None)


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
