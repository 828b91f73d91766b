"""How the results of the beta-binomial model read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from metaan.models.text import LINES, note_lines, number, plural, probability

if TYPE_CHECKING:
    from metaan.models.beta_binomial_regress import BetaBinomialRegression
    from metaan.models.beta_binomial_result import BetaBinomialResult

__all__ = ["describe", "describe_regression"]

_NO_RHO: Final = {"one-study", "rho-not-identified", "separated"}


def describe(res: BetaBinomialResult) -> str:
    """Text of a result: model, mean rate, prediction, spread, likelihood, notes."""
    shown = res.back()
    percent = f"{100 * res.spec.level:g}%"
    display = res.scale == "display"
    lines = [
        f"Beta-binomial model of {plural(res.k, 'study')}",
        f"Measure: PLO (logit of a proportion){', shown as rates' if display else ''}",
        f"Maximum likelihood; interval: {_interval(res)}",
        "",
    ]
    if not display:
        ends = f"{number(res.ci_low)} to {number(res.ci_high)}"
        lines.append(f"Estimate    {number(res.estimate)}, {percent} CI {ends} (SE {number(res.se)}{_test(res)})")
    which = "mean over studies, not the rate of the median study" if res.rho > 0 else "mean over studies"
    ends = f"{number(shown.ci_low)} to {number(shown.ci_high)}"
    lines.append(f"Rate        {number(shown.estimate)}, {percent} CI {ends} ({which})")
    if not math.isnan(res.pi_low):
        what = "true rate of a new study; fitted beta distribution, estimates taken as known"
        lines.append(f"Prediction  {number(shown.pi_low)} to {number(shown.pi_high)} ({percent}, {what})")
    lines += _spread(res, percent)
    return "\n".join([*lines, *note_lines(shown.notes, LINES - len(lines))])


def _interval(res: BetaBinomialResult) -> str:
    if res.spec.ci != "wald":
        return {"profile": "profile likelihood", "likelihood-ratio": "likelihood ratio"}[res.spec.ci]
    if res.k == 1:
        return "normal distribution, one study"
    return f"test={res.spec.test} ({_reference(res.spec.test, 'k - 1', res.df)})"


def _reference(test: str, free: str, df: float) -> str:
    if test == "z":
        return "normal distribution"
    return f"t distribution with {free} = {df:.4g} degrees of freedom"


def _test(res: BetaBinomialResult) -> str:
    if math.isnan(res.statistic):
        return ""
    wald = "Wald " if res.spec.ci == "profile" else ""
    letter = "z" if math.isinf(res.df) else "t"
    return f", {wald}{letter} = {number(res.statistic)}, p {probability(res.pvalue)} for a mean rate of 50%"


def _spread(res: BetaBinomialResult, percent: str) -> list[str]:
    """Rho with its interval and the likelihood; nothing where the data say nothing about rho."""
    if {note.code for note in res.notes} & _NO_RHO:
        return [f"Likelihood  log L {res.loglik:.3f}, AIC {res.aic:.2f}"]
    beta = f"; true rates ~ Beta({number(res.a)}, {number(res.b)})" if 0 < res.rho < 1 else ""
    ends = f"{number(res.rho_low)} to {number(res.rho_high)}"
    return [
        f"Spread      rho {number(res.rho)}, {percent} profile CI {ends}{beta}",
        f"            on the logit scale tau2 {number(res.tau2)}, I2 {res.I2:.1f}% (against empirical logits)",
        f"Likelihood  log L {res.loglik:.3f}, AIC {res.aic:.2f}; {_rho_test(res)}",
    ]


def _rho_test(res: BetaBinomialResult | BetaBinomialRegression) -> str:
    return f"test of rho = 0: LR {number(res.lrt)}, p {probability(res.lrt_pvalue)} (boundary mixture)"


def describe_regression(fit: BetaBinomialRegression) -> str:
    """Text of a fit with moderators: model, coefficients, moderators, spread, likelihood, notes."""
    spec = fit.spec
    percent = f"{100 * spec.level:g}%"
    df = float(fit.df[0])
    how = "profile likelihood; tests: " if spec.ci == "profile" else ""
    head = [
        f"Beta-binomial regression of {plural(fit.k, 'study')}: {spec.formula}",
        "Measure: PLO (logit of the mean rate over studies)",
        f"Maximum likelihood; intervals: {how}test={spec.test} ({_reference(spec.test, 'k - p', df)})",
        "",
    ]
    tail = [
        _moderators(fit),
        f"Spread      rho {number(fit.rho)}, {percent} profile CI {number(fit.rho_low)} to {number(fit.rho_high)}",
        f"Likelihood  log L {fit.loglik:.3f}, AIC {fit.aic:.2f}; {_rho_test(fit)}",
    ]
    notes = note_lines(fit.notes, 7)
    room = LINES - len(head) - len(tail) - len(notes)
    return "\n".join([*head, *_coefficients(fit, percent, room), *tail, *notes])


def _coefficients(fit: BetaBinomialRegression, percent: str, room: int) -> list[str]:
    width = max(map(len, fit.names))
    lines = [
        f"{name:<{width}}  {number(fit.estimate[i])}, {percent} CI {number(fit.ci_low[i])} to {number(fit.ci_high[i])} "
        f"(SE {number(fit.se[i])}, p {probability(fit.pvalue[i])})"
        for i, name in enumerate(fit.names)
    ]
    if len(lines) <= room:
        return lines
    return [*lines[: room - 1], f"... and {len(lines) - room + 1} more coefficients: to_frame() has them all"]


def _moderators(fit: BetaBinomialRegression) -> str:
    if fit.QM_df == 0:
        return "Moderators  none"
    if math.isnan(fit.QM):
        return "Moderators  no Wald test"
    what = "" if fit.moderators.intercept is not None else "all coefficients = 0: "
    p = f"p {probability(fit.QM_pvalue)} (Wald)"
    if math.isinf(fit.QM_df2):
        return f"Moderators  {what}QM = {fit.QM:.2f}, df = {fit.QM_df}, {p}"
    return f"Moderators  {what}F = {fit.QM:.2f}, df = {fit.QM_df} and {fit.QM_df2:.4g}, {p}"
