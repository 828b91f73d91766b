"""How much the studies differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from metaan.errors import MetaanError
from metaan.models.bayes_result import BayesResult
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.clustered_result import ClusteredResult
from metaan.models.heterogeneity_interval import heterogeneity_interval
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.results import GlmmResult, PoolResult
from metaan.reports.blocks import Cell, Paragraph, Section, Table, absent, heads, line
from metaan.reports.numbers import cell, p_text, plain
from metaan.reports.subject import Subject

__all__ = ["NOTHING", "heterogeneity_section"]

_SYMBOLS: Final = {"tau2": "τ²", "tau": "τ", "I2": "I² (%)", "H2": "H²"}
NOTHING: Final = {"one-study", "separated", "tau2-not-identified"}
Rows = Iterator[tuple[str, float, float, float]]


def heterogeneity_section(subject: Subject) -> Section:
    """Measures of the differences between studies, each with its interval where there is one."""
    title, name = "Heterogeneity", "heterogeneity"
    codes = {note.code for note in subject.main.notes}
    if subject.main.k == 1 or codes & NOTHING:
        what = "one study says" if subject.main.k == 1 else "the counts say"
        reason = absent(f"{what} nothing of differences between studies.")
        return Section(name=name, title=title, blocks=(reason,), applies=False)
    rows = [*_measures(subject)]
    level = f"{100 * subject.spec.level:g}% {subject.interval_name}"
    columns = heads("Measure", "#Estimate", f"#{level} from", "#to")
    cells = tuple(
        (Cell(runs=line(label)), *(cell(value, plain(value, 4)) for value in values)) for label, *values in rows
    )
    caption = "Differences between studies, on the scale of the analysis."
    table = Table(name="heterogeneity", caption=caption, columns=columns, rows=cells, sortable=False)
    said = [Paragraph(runs=line(text)) for text in (*_tests(subject), *_meaning(subject)) if text]
    return Section(name=name, title=title, blocks=(table, *said))


def _measures(subject: Subject) -> Rows:
    fit, main = subject.fit, subject.main
    if isinstance(fit, BayesResult):
        yield "τ", fit.tau, fit.tau_low, fit.tau_high
        return
    if isinstance(fit, MultilevelResult):
        for row in fit.components().to_dict("records"):
            yield f"σ² between {row['level']} ({row['groups']} groups)", row["sigma2"], math.nan, math.nan
            yield f"I² of {row['level']} (%)", row["I2"], math.nan, math.nan
        return
    if isinstance(fit, (BetaBinomialResult, ClusteredResult)) and math.isfinite(fit.rho):
        what = "ρ within studies" if isinstance(fit, BetaBinomialResult) else "ρ of the lesions of one patient"
        yield what, fit.rho, fit.rho_low, fit.rho_high
    if subject.spec.model == "stratified":
        yield "I² (%), from Q", main.I2, math.nan, math.nan  # type: ignore[union-attr]
        return
    yield from _intervals(main)


def _intervals(main: Any) -> Rows:
    try:
        table = heterogeneity_interval(main)
    except MetaanError:
        for name, label in _SYMBOLS.items():
            yield label, float(getattr(main, name)), math.nan, math.nan
        return
    for name, label in _SYMBOLS.items():
        estimate, low, high = table.loc[name, ["estimate", "low", "high"]].to_numpy(dtype=float)
        yield label, float(estimate), float(low), float(high)


def _tests(subject: Subject) -> Iterator[str]:
    """The tests that the studies do not differ."""
    main = subject.main
    if isinstance(main, PoolResult) and math.isfinite(main.Q):
        name = "Cochran's Q"
        if isinstance(main, GlmmResult):
            name = "Wald Q" if main.spec.measure == "PLO" else "Q (inverse variance)"
        yield f"{name} = {main.Q:.2f}, df = {main.Q_df}, {p_text(main.Q_pvalue)}."
    fit = subject.fit
    if isinstance(fit, (GlmmResult, BetaBinomialResult, ClusteredResult)) and math.isfinite(fit.lrt):
        what = "ρ" if isinstance(fit, BetaBinomialResult) else "τ²"
        yield f"Likelihood-ratio test of {what} = 0: {plain(fit.lrt, 4)}, {p_text(fit.lrt_pvalue)} (boundary mixture)."
    if isinstance(fit, BayesResult) and math.isfinite(fit.bayes_factor_tau0):
        yield f"Bayes factor of τ = 0 against the prior: {plain(fit.bayes_factor_tau0)}."


def _meaning(subject: Subject) -> Iterator[str]:
    """What the numbers mean, without a label such as high or low."""
    main = subject.main
    if not isinstance(main, PoolResult) or subject.spec.model in ("stratified", "multilevel"):
        return
    if main.tau2 == 0:
        yield "τ² is estimated as 0. That does not show that studies are alike: with few of them it is hardly known."
    elif math.isfinite(main.I2):
        share = f"{main.I2:.0f}% of the variance of the observed effects lies between the studies (I²)"
        yield f"{share}. How far their true effects lie apart is told by the prediction interval, not by I²."
