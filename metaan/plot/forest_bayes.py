"""Rows of a forest plot of a posterior distribution."""

from __future__ import annotations

import math
from typing import Any

from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.text import number
from metaan.plot.forest_pooled import data_notes, labels_of, predicted, told
from metaan.plot.forest_rows import Shown, axis_scale, behind, study_rows, sums
from metaan.plot.wording import effect_name, own_intervals, plural_of

__all__ = ["of_bayes"]


def of_bayes(res: BayesResult, interval: str, *, prediction: bool, blup: bool) -> Shown:
    """What a forest plot shows of a posterior: raw and shrunken estimates of the studies, mean and new study."""
    shown, spec, eff = res.back(), res.spec, res.effects
    studies = study_rows(eff, interval, spec.level)
    pooled: dict[str, Any] = {
        "row": "pooled", "study": _label(res), "estimate": shown.estimate, "low": shown.ci_low, "high": shown.ci_high,
    }  # fmt: skip
    summary = [pooled | sums(studies)]
    prediction = prediction and math.isfinite(shown.pi_low) and math.isfinite(shown.pi_high)
    if prediction:
        summary.append(predicted(spec.level, shown.pi_low, shown.pi_high, "posterior predictive interval"))
    if blup:
        studies = studies.assign(blup=shown.theta[0], blup_low=shown.theta[3], blup_high=shown.theta[4])
    said = [*_intervals(res, interval, prediction, blup), *data_notes(eff), *map(str, shown.notes)]
    return Shown(
        studies=studies, summary=summary, statistics=_statistics(res), notes=told(said), level=spec.level,
        scale=axis_scale(eff.measure), attrs=labels_of(eff) | {"interval": "interval"}, data=behind(eff),
    )  # fmt: skip


def _label(res: BayesResult) -> str:
    median = " (median study)" if KINDS[res.spec.measure].is_median else ""
    return f"Posterior {effect_name(res.spec.measure)}{median}"


def _statistics(res: BayesResult) -> list[str]:
    """Spread of the true effects with its evidence, then model and priors."""
    spec = res.spec
    ends = f"{100 * spec.level:g}% CrI {number(res.tau_low, 3)} to {number(res.tau_high, 3)}"
    spread = f"Heterogeneity: τ = {number(res.tau, 3)} ({ends})"
    if math.isfinite(res.bayes_factor_tau0):
        spread += f"; Bayes factor of τ = 0: {number(res.bayes_factor_tau0, 3)}"
    binomial = spec.likelihood == "binomial"
    model = "binomial-normal (logit link)" if binomial else f"random effects on {plural_of(spec.measure)}"
    return [spread, f"Model: Bayesian, {model}; priors: τ {res.tau_prior}, μ {res.mu_prior}"]


def _intervals(res: BayesResult, interval: str, prediction: bool, blup: bool) -> list[str]:
    """Which intervals are credible ones, and which are not."""
    tails = "equal tails" if res.spec.ci == "central" else "shortest on the analysis scale"
    what = ["the pooled effect", *(["a new study"] if prediction else []), *(["shrunken effects"] if blup else [])]
    named = f"{', '.join(what[:-1])} and {what[-1]}" if len(what) > 1 else what[0]
    credible = f"Posterior medians with {100 * res.spec.level:g}% credible intervals ({tails}): {named}."
    return [*own_intervals(res.effects, interval), credible]
