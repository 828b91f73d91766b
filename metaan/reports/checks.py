"""How far the result can be trusted: without each study, by the size of the studies, under other choices."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from metaan.analysis.bias_table import small_study_effects
from metaan.analysis.influence import influence
from metaan.analysis.multiverse import multiverse as every_analysis
from metaan.analysis.multiverse_result import MultiverseResult
from metaan.analysis.sensitivity import leave_one_out
from metaan.errors import MetaanError, MetaanWarning
from metaan.models.icc import icc_sensitivity
from metaan.models.results import PoolResult
from metaan.plot.forest_plot import forest
from metaan.plot.funnel_plot import funnel
from metaan.plot.influence_plot import influence as influence_plot
from metaan.plot.multiverse_plot import multiverse as multiverse_plot
from metaan.reports.answer import models_note
from metaan.reports.blocks import Block, Cell, Column, Paragraph, Section, Table, absent, heads, line
from metaan.reports.drawings import figure
from metaan.reports.numbers import between, cell, effect, p_text, p_value, percent, plain
from metaan.reports.subject import Subject
from metaan.reports.words import units_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["multiverse_section", "sensitivity_section", "small_study_section"]

_MOST: Final = 400  # studies up to which every one is left out
_HEADS: Final = {
    "rstudent": "Studentised residual", "dffits": "DFFITS", "cooks_d": "Cook's distance", "cov_ratio": "Variance ratio",
    "dfbetas": "DFBETAS",
}  # fmt: skip
_CALLED: Final = {
    "egger": "Egger's test", "begg": "Begg's test", "macaskill": "Macaskill's test", "deeks": "Deeks' test",
    "thompson_arcsine": "Arcsine test", "harbord": "Score test", "peters": "Peters' test",
}  # fmt: skip
_CHOICES: Final = {
    "overlaps": "which of the studies that share patients stays in", "counts": "whether derived counts are admitted",
    "confidence": "how sure the reading of the source must be", "denominators": "evaluable or all treated",
    "icc": "correlation of lesions within patients", "model": "model of the counts or rates",
    "measure": "scale of the rates", "method": "estimator of τ²", "test": "how intervals are made",
    "correction": "continuity correction", "interactions": "combinations of choices",
}  # fmt: skip
Parts = Iterator[Block]


def _section(name: str, title: str, subject: Subject, make: Callable[[], Parts]) -> Section:
    """A section, or the reason why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetaanWarning)  # they stand among the notes
            blocks = tuple(make())
    except MetaanError as problem:
        return Section(name=name, title=title, blocks=(absent(problem),), applies=False)
    note = models_note(subject.models)
    first = (Paragraph(runs=line(note), kind="aside"),) if note else ()
    return Section(name=name, title=title, blocks=(*first, *blocks))


def sensitivity_section(subject: Subject, *, figures: bool) -> Section:
    """The result without each study in turn, the influence of each, and lesions that are alike."""
    title = "Sensitivity and influence"
    return _section("sensitivity", title, subject, lambda: _sensitivity(subject, figures))


def _sensitivity(subject: Subject, figures: bool) -> Parts:
    fit = subject.fit.back() if hasattr(subject.fit, "back") else subject.fit
    refits = leave_one_out(fit)
    yield from _range(subject, refits)
    if figures and len(refits) <= _MOST:
        yield figure(forest(refits), "leave-one-out", "Forest plot of the result without each study in turn.")
    yield _without(subject, refits)
    yield from _influence(subject, figures)
    yield from _lesions(subject)


def _range(subject: Subject, refits: pd.DataFrame) -> Parts:
    known = refits.dropna(subset=["estimate"])
    if known.empty or "term" in refits:
        return
    ends = [known.loc[getattr(known["estimate"], which)()] for which in ("idxmin", "idxmax")]
    whole = effect(subject.shown.estimate, subject.measure)
    if {effect(row["estimate"], subject.measure) for row in ends} == {whole}:
        yield Paragraph(runs=line(f"Without any one study the {subject.noun} remains {whole}."))
        return
    said = " and ".join(f"{effect(row['estimate'], subject.measure)} (without {row['study']})" for row in ends)
    yield Paragraph(runs=line(f"Without one study the {subject.noun} lies between {said}; with all it is {whole}."))


def _without(subject: Subject, refits: pd.DataFrame) -> Table:
    measure, scaled = subject.measure, hasattr(subject.fit, "back")
    show = effect if scaled else lambda value, _: plain(value)
    limits = f"{100 * subject.spec.level:g}% CI"
    columns = [Column(heading="Left out"), Column(heading=subject.noun.capitalize(), number=True)]
    columns += [Column(heading=limits, number=True)]
    more = [(name, text) for name, text in (("tau2", "τ²"), ("rho", "ρ"), ("I2", "I² (%)")) if name in refits]
    columns += [Column(heading=text, number=True) for _, text in more]
    rows = []
    for row in refits.to_dict("records"):
        low, high = float(row["ci_low"]), float(row["ci_high"])
        ends = between(low, high, measure) if scaled else f"{plain(low)} to {plain(high)}"
        cells = [Cell(runs=line(str(row["study"]))), cell(row["estimate"], show(float(row["estimate"]), measure))]
        cells += [cell(low, ends), *(cell(row[name], plain(float(row[name]))) for name, _ in more)]
        rows.append(tuple(cells))
    return Table(
        name="without", caption="The result without each study in turn.", columns=tuple(columns), rows=tuple(rows)
    )


def _influence(subject: Subject, figures: bool) -> Parts:
    try:
        found = influence(subject.fit)
        drawn = influence_plot(subject.fit) if figures and len(found) <= _MOST else None
    except MetaanError as problem:
        yield Paragraph(runs=line(f"Influence diagnostics do not apply. {problem}"), kind="aside")
        return
    shown = {name: text for name, text in _HEADS.items() if name in found}
    if found[list(shown)].isna().all(axis=None):
        yield Paragraph(runs=line("Influence diagnostics cannot be computed from these data."), kind="aside")
        return
    named = [str(name) for name in found.loc[found["influential"], "study"]]
    said = ", ".join(named) or "no study"
    yield Paragraph(runs=line(f"Influential by the usual rule: {said}."))
    if drawn is not None:
        yield figure(drawn, "influence", "Deletion diagnostics of each study; dashed lines are the usual limits.")
    columns = [Column(heading="Study"), *(Column(heading=text, number=True) for text in shown.values())]
    columns.append(Column(heading="Influential"))
    rows = tuple(
        (
            Cell(runs=line(str(row["study"]))),
            *(cell(row[name], plain(float(row[name]))) for name in shown),
            Cell(runs=line("yes" if row["influential"] else "no")),
        )
        for row in found.to_dict("records")
    )
    yield Table(name="influence-table", caption="Deletion diagnostics.", columns=tuple(columns), rows=rows)


def _lesions(subject: Subject) -> Parts:
    """What a correlation between the lesions of a patient does to the rate."""
    data = subject.data
    if not (subject.of_lesions and subject.of_rates and isinstance(subject.fit, PoolResult)) or data is None:
        return
    try:
        table = icc_sensitivity(data, cluster_size="median", level=subject.spec.level)
    except MetaanError as problem:
        yield Paragraph(runs=line(f"Correlation of lesions within patients was not varied. {problem}"), kind="aside")
        return
    text = "Lesions of one patient are alike. The binomial-normal model of counts divided by their design effect"
    yield Paragraph(
        runs=line(
            f"{text}, for several assumed correlations (ICC) of lesions within patients. What τ² loses by that was "
            "likeness of lesions, not difference between studies:"
        )
    )
    columns = heads("#ICC", f"#Effective {units_of(subject)}", "#Rate", f"#{100 * subject.spec.level:g}% CI", "#τ²")
    rows = tuple(
        (
            cell(row["icc"], f"{row['icc']:g}"), cell(row["total"], f"{row['total']:.0f}"),
            cell(row["estimate"], percent(row["estimate"])),
            cell(row["ci_low"], between(row["ci_low"], row["ci_high"], "PLO")), cell(row["tau2"], plain(row["tau2"])),
        )
        for row in table.to_dict("records")
    )  # fmt: skip
    notes = " ".join(map(str, table.attrs["notes"]))
    yield Table(name="icc", caption=f"Correlation within patients. {notes}", columns=columns, rows=rows, sortable=False)


def small_study_section(subject: Subject, *, figures: bool) -> Section:
    """Whether small studies differ, by the tests that are valid for the measure."""
    return _section("small_study", "Small-study effects", subject, lambda: _small_study(subject, figures))


def _small_study(subject: Subject, figures: bool) -> Parts:
    found = small_study_effects(subject.fit)
    first = found.tests[0]
    sign = "a sign" if found.sign else "no sign"
    text = f"By the first test, the one to go by, there is {sign} of small-study effects at p < {found.level:g}"
    yield Paragraph(runs=line(f"{text} ({first.test}: {p_text(first.pvalue)})."))
    if figures:
        drawn = _funnel(subject)
        if drawn is not None:
            yield figure(drawn, "funnel", f"Funnel plot: effects of the studies against their size.{_at_edge(subject)}")
    columns = heads("Test", "#Statistic", "#df", "#p", "What it says")
    rows: list[tuple[Cell, ...]] = [
        (
            Cell(runs=line(one.test)), cell(one.statistic, f"{one.symbol} = {plain(one.statistic)}"),
            cell(one.df, f"{one.df:.4g}" if math.isfinite(one.df) else "–"), cell(one.pvalue, p_value(one.pvalue)),
            Cell(runs=line(says)),
        )
        for one, says in zip(found.tests, found.says, strict=True)
    ]  # fmt: skip
    rows += [
        (
            Cell(runs=line(_CALLED.get(name, name))),
            *[Cell(runs=line("not run"))] * 3,
            Cell(runs=line(f"Not valid here: {why}.")),
        )
        for name, why in found.excluded
    ]
    caption = "Tests of small-study effects, and those that are not valid for the measure."
    yield Table(name="tests", caption=caption, columns=columns, rows=tuple(rows), sortable=False)
    for note in found.notes:
        yield Paragraph(runs=line(str(note)), kind="aside")


def _at_edge(subject: Subject) -> str:
    """Where a funnel draws studies whose logits are not finite."""
    eff = subject.effects
    if subject.spec.model != "glmm" or eff.events is None or eff.total is None:
        return ""
    edge = (eff.events == 0) | (eff.events == eff.total)
    return " Studies at 0 or 100% are drawn as if 0.5 were added to their counts." if edge.any() else ""


def _funnel(subject: Subject) -> Any:
    try:
        return funnel(subject.fit)
    except MetaanError:
        return None


def multiverse_section(subject: Subject, wanted: bool | MultiverseResult, *, figures: bool) -> Section:
    """Every analysis that can be defended."""
    title = "Multiverse: every defensible analysis"
    if wanted is False or (wanted is True and subject.main.k == 1):
        asked = "it was not asked for: give multiverse=True."
        reason = absent("one study has nothing to be pooled with." if wanted else asked)
        return Section(name="multiverse", title=title, blocks=(reason,), applies=False)
    return _section("multiverse", title, subject, lambda: _multiverse(subject, wanted, figures))


def _multiverse(subject: Subject, wanted: bool | MultiverseResult, figures: bool) -> Parts:
    every = wanted if isinstance(wanted, MultiverseResult) else _fitted(subject)
    measure = _MEASURES.get(every.scale, "GEN")
    columns = heads("Counted", "#Analyses", "#Lowest", "#Lower quartile", "#Median", "#Upper quartile", "#Highest")
    rows = []
    for row in every.summary(float(subject.shown.estimate)).to_dict("records"):
        counted = f"{row['unit']}s" if "unit" in row else units_of(subject)
        numbers = (row[name] for name in ("lowest", "q25", "median", "q75", "highest"))
        analyses = cell(row["analyses"], f"{row['analyses']:,}")
        rows.append((Cell(runs=line(counted)), analyses, *(cell(each, effect(each, measure)) for each in numbers)))
        low, high = effect(row["lowest"], measure), effect(row["highest"], measure)
        middle = effect(row["median"], measure)
        of = f" of {counted}" if "unit" in row or subject.record else ""
        text = f"{row['analyses']:,} analyses{of} give {low} to {high}, median {middle}"
        failed = f"; {row['failed']} gave no answer" if row["failed"] else ""
        yield Paragraph(runs=line(f"{text}{failed}. Shares of analyses are no probabilities."))
    if figures:
        yield figure(multiverse_plot(every), "multiverse", "Every analysis, lowest estimate first, over its choices.")
    caption = "Estimates of all analyses."
    yield Table(name="analyses", caption=caption, columns=columns, rows=tuple(rows), sortable=False)
    yield from _importance(every)
    for note in every.notes:
        varied = "Lesions count as independent in all of these analyses; under Sensitivity that is varied."
        yield Paragraph(runs=line(varied if note.code == "lesions" else str(note)), kind="aside")


_MEASURES: Final = {"rate": "PLO", "ratio": "OR", "incidence": "IR"}


def _fitted(subject: Subject) -> MultiverseResult:
    """The multiverse of the rows behind the result, or of its effects."""
    eff, level = subject.effects, subject.spec.level
    if eff.events is None:
        return every_analysis(eff, level=level, progress=False)
    if subject.record:
        return every_analysis(subject.data, level=level, progress=False)
    import pandas as pd

    table = pd.DataFrame({"events": eff.events, "total": eff.total, "study": eff.study})
    return every_analysis(table, level=level, progress=False)


def _importance(every: MultiverseResult) -> Parts:
    """Which choice matters."""
    found = every.importance()
    if found.empty:
        return
    columns = heads(
        "Choice", "What it is", "#Ways", "#Share of the variance of estimates (%)",
        "#Share of the variance of widths of intervals (%)",
    )  # fmt: skip
    rows = []
    for row in found.to_dict("records"):
        ways = row["levels"]
        known = ways == ways and ways is not None and str(ways) != "<NA>"
        unit = f" ({row['unit']}s)" if "unit" in row and found["unit"].nunique() > 1 else ""
        about = _CHOICES.get(str(row["choice"]), "")
        cells = [Cell(runs=line(f"{row['choice']}{unit}")), Cell(runs=line(about))]
        cells.append(cell(float(ways), f"{ways}") if known else Cell(runs=line("–")))
        shares = (float(row[name]) for name in ("share_estimate", "share_width"))
        cells += [cell(share, f"{share:.1f}" if math.isfinite(share) else "–") for share in shares]
        rows.append(tuple(cells))
    caption = "Which choice the estimates hang on."
    yield Table(name="importance", caption=caption, columns=columns, rows=tuple(rows))
