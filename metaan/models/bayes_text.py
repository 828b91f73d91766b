"""How a Bayesian result reads: at most twenty lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from metaan.measures.kinds import KINDS
from metaan.models.text import number, plural, true_word

if TYPE_CHECKING:
    from metaan.models.bayes_result import BayesResult

__all__ = ["describe"]

_LINES: Final = 20


def describe(res: BayesResult) -> str:
    """Model, priors, estimate, prediction, spread, Bayes factor and notes."""
    shown, percent = res.back(), f"{100 * res.spec.level:g}%"
    kind = KINDS[res.spec.measure]
    model = "binomial-normal model, logit link" if res.spec.likelihood == "binomial" else "normal-normal model"
    limits = "equal tails" if res.spec.ci == "central" else "ends of equal density"
    lines = [
        f"Bayesian random-effects meta-analysis of {plural(res.k, 'study')} ({model})",
        f"Measure: {res.spec.measure} ({kind.label})",
        f"Priors: tau {res.tau_prior}, mu {res.mu_prior}; integrated by quadrature; credible limits: {limits}",
        "",
    ]
    if res.scale == "analysis" or not kind.transformed:
        lines.append(f"Estimate    {_interval(res.estimate, res.ci_low, res.ci_high, percent)} (median)")
    if kind.transformed:
        name = {"rate": "Rate", "incidence": "Rate", "ratio": "Ratio"}.get(kind.scale, kind.shown)
        of = " (of the median study)" if kind.is_median else ""
        lines.append(f"{name:<11} {_interval(shown.estimate, shown.ci_low, shown.ci_high, percent)}{of}")
    what = f"{percent}, true {true_word(res.spec.measure)} of a new study"
    lines.append(f"Prediction  {number(shown.pi_low)} to {number(shown.pi_high)} ({what})")
    lines.append(f"Spread      tau {_interval(res.tau, res.tau_low, res.tau_high, percent)}")
    if not math.isnan(res.bayes_factor_tau0):
        lines.append(f"Evidence    Bayes factor {number(res.bayes_factor_tau0)} of tau = 0 against this prior")
    texts = [f"- {note}" for note in shown.notes]
    room = _LINES - len(lines)
    if len(texts) + 1 > room:
        texts = [*texts[: room - 2], " ".join(texts[room - 2 :])]
    return "\n".join([*lines, "Notes", *texts])


def _interval(estimate: float, low: float, high: float, percent: str) -> str:
    return f"{number(estimate)}, {percent} CrI {number(low)} to {number(high)}"
