"""How a meta-regression reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from metaan.measures.kinds import KINDS
from metaan.models.text import number, probability, reference
from metaan.validate import METHOD

if TYPE_CHECKING:
    from metaan.models.multilevel_result import MultilevelResult
    from metaan.models.regress_result import RegressResult

__all__ = ["component_lines", "describe", "residual_line"]

_LINES: Final = 20


def describe(fit: RegressResult, title: str, spread: list[str]) -> str:
    """Text of a meta-regression: model, coefficients, spread, tests, notes, in at most twenty lines."""
    spec = fit.spec
    test = reference(spec.test, moderators=True)
    kind = "intervals: profile likelihood; tests" if spec.ci == "profile" else "intervals"
    head = [
        f"{title}: {spec.formula}",
        f"Measure: {spec.measure} ({KINDS[spec.measure].label})",
        f"Variance: {spec.method} ({METHOD.choices[spec.method]}); {kind}: test={spec.test} ({test})",
        "",
    ]
    tail = [*spread, _moderators(fit), *_notes(fit)]
    return "\n".join([*head, *_coefficients(fit, _LINES - len(head) - len(tail)), *tail])


def _coefficients(fit: RegressResult, room: int) -> list[str]:
    width = max(map(len, fit.names))
    percent = f"{100 * fit.spec.level:g}%"
    lines = [
        f"{name:<{width}}  {number(fit.estimate[i])}, {percent} CI {number(fit.ci_low[i])} to {number(fit.ci_high[i])} "
        f"(SE {number(fit.se[i])}, {_statistic(fit, i)}, p {probability(fit.pvalue[i])})"
        for i, name in enumerate(fit.names)
    ]
    if len(lines) <= room:
        return lines
    return [*lines[: room - 1], f"... and {len(lines) - room + 1} more coefficients: to_frame() has them all"]


def _statistic(fit: RegressResult, i: int) -> str:
    if math.isinf(fit.df[i]):
        return f"z = {number(fit.statistic[i], 3)}"
    return f"t({fit.df[i]:.4g}) = {number(fit.statistic[i], 3)}"


def residual_line(fit: RegressResult) -> str:
    """Residual heterogeneity in one line."""
    share = "" if math.isnan(fit.R2) else f", R2 {fit.R2:.1f}%"
    if fit.spec.method == "CE":
        return f"Spread      I2 {fit.I2:.1f}% (from QE); {_q_test(fit)}"
    return (
        f"Spread      residual tau2 {number(fit.tau2)}, tau {number(fit.tau)}, I2 {fit.I2:.1f}%{share}; {_q_test(fit)}"
    )


def component_lines(fit: MultilevelResult) -> list[str]:
    """Variance of each level, one line each."""
    lines = [
        f"Spread      between {name}: sigma2 {number(float(s))}, sigma {number(float(s) ** 0.5)}, I2 {share:.1f}%"
        for name, s, share in zip(fit.levels, fit.sigma2, fit.I2_levels, strict=True)
    ]
    return [*lines, f"            {_q_test(fit)}"]


def _q_test(fit: RegressResult) -> str:
    """Test of residual heterogeneity."""
    return f"QE = {fit.QE:.2f}, df = {fit.QE_df}, p {probability(fit.QE_pvalue)}"


def _moderators(fit: RegressResult) -> str:
    if fit.QM_df == 0:
        return "Moderators  none"
    if math.isnan(fit.QM):
        return "Moderators  no test"
    p = probability(fit.QM_pvalue)
    what = "" if fit.moderators.intercept is not None else "all coefficients = 0: "
    if math.isinf(fit.QM_df2):
        return f"Moderators  {what}QM = {fit.QM:.2f}, df = {fit.QM_df}, p {p}"
    return f"Moderators  {what}F = {fit.QM:.2f}, df = {fit.QM_df} and {fit.QM_df2:.4g}, p {p}"


def _notes(fit: RegressResult) -> list[str]:
    if not fit.notes:
        return []
    texts = [f"- {note}" for note in fit.notes]
    if len(texts) > 6:
        texts = [*texts[:5], " ".join(texts[5:])]
    return ["Notes", *texts]
