"""How far the result can be trusted: without each study, by the size of the studies, under other choices."""

from __future__ import annotations

import math
import re
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
from metaan.plot.influence_plot import NAMES_FIT
from metaan.plot.influence_plot import influence as influence_plot
from metaan.plot.multiverse_plot import multiverse as multiverse_plot
from metaan.reports.answer import models_note
from metaan.reports.blocks import Block, Cell, Cite, Column, Paragraph, Section, Table, absent, heads, line
from metaan.reports.drawings import figure
from metaan.reports.numbers import between, cell, decimals, effect, p_text, p_value, percent, plain
from metaan.reports.subject import Subject
from metaan.reports.words import in_symbols, units_of, upper

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["multiverse_section", "sensitivity_section", "small_study_section"]

_PAIR: Final = 2
_TWIN: Final = "the same rows as"
_MOST: Final = 400  # studies up to which every one is left out
_HEADS: Final = {
    "rstudent": "Studentised residual", "dffits": "DFFITS", "cooks_d": "Cook's distance", "cov_ratio": "Variance ratio",
    "dfbetas": "DFBETAS",
}  # fmt: skip
_CALLED: Final = {
    "egger": "Egger's test", "begg": "Begg's test", "macaskill": "Macaskill's test", "deeks": "Deeks' test",
    "thompson_arcsine": "Arcsine test", "harbord": "Score test", "peters": "Peters' test",
}  # fmt: skip
_PAPERS: Final = {  # by a name in the title of a test
    "Harbord": "harbord", "Rücker": "rucker", "Peters": "peters", "Pustejovsky": "pustejovsky2019", "Egger": "egger",
    "Begg": "begg",
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
        reason = re.sub(r"^\w+ needs", "it needs", str(problem))  # a reader has not called the function
        return Section(name=name, title=title, blocks=(absent(reason),), applies=False)
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
    if subject.main.k == _PAIR:
        text = "Without one of two studies one is left, whose interval is normal; that of two rests on their difference"
        yield Paragraph(runs=line(f"{text}, with 1 degree of freedom."), kind="aside")
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
    rule = ("DFFITS, " if "dffits" in shown else "") + "Cook's distance, leverage or DFBETAS beyond its limit"
    text = f"Influential by {rule}, whatever the residual"
    yield Paragraph(runs=line(text, Cite(("influence",)), f": {said}."))
    if drawn is not None:
        yield figure(drawn, "influence", "Deletion diagnostics of each study; dashed lines are the usual limits.")
    numbered = drawn is not None and len(found) > NAMES_FIT  # the figure then has numbers for names
    columns = [Column(heading="Study"), *[Column(heading="No.", number=True)] * numbered]
    columns += [Column(heading=text, number=True) for text in shown.values()]
    columns.append(Column(heading="Influential"))
    rows = tuple(
        (
            Cell(runs=line(str(row["study"]))),
            *[cell(i, str(i))] * numbered,
            *(cell(row[name], plain(float(row[name]))) for name in shown),
            Cell(runs=line("yes" if row["influential"] else "no")),
        )
        for i, row in enumerate(found.to_dict("records"), start=1)
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
    notes = " ".join(map(in_symbols, table.attrs["notes"]))
    yield Table(name="icc", caption=f"Correlation within patients. {notes}", columns=columns, rows=rows, sortable=False)
    first, last = table.iloc[0], table.iloc[-1]
    width = [f"{100 * (row['ci_high'] - row['ci_low']):.1f}" for row in (first, last)]
    yield Paragraph(
        runs=line(
            f"From a correlation of {first['icc']:g} to {last['icc']:g} the rate moves from "
            f"{percent(first['estimate'])} to {percent(last['estimate'])}, and the width of its interval from "
            f"{width[0]} to {width[1]} percentage points."
        )
    )


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
            yield figure(
                drawn, "funnel", f"Funnel plot: effects of the studies, the largest on top.{_at_edge(subject)}"
            )
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
            Cell(runs=line(f"{upper(in_symbols(why))}.")),
        )
        for name, why in found.excluded
    ]
    caption = "Tests of small-study effects, and those that are not valid for the measure."
    yield Table(name="tests", caption=caption, columns=columns, rows=tuple(rows), sortable=False)
    papers = tuple(dict.fromkeys(key for name, key in _PAPERS.items() if any(name in one.test for one in found.tests)))
    if papers:
        yield Paragraph(runs=line("The tests that were run are described in", Cite(papers), "."))
    for note in found.notes:
        if note not in subject.main.notes:
            yield Paragraph(runs=line(in_symbols(note)), kind="aside")


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
    title = (
        "Multiverse: every defensible analysis" if subject.of_rates else "Multiverse: other estimators and intervals"
    )
    if wanted is False:
        reason = Paragraph(runs=line("Not made for this report."), kind="absent")
        return Section(name="multiverse", title=title, blocks=(reason,), applies=False)
    if wanted is True and subject.main.k == 1:
        reason = absent("one study has nothing to be pooled with.")
        return Section(name="multiverse", title=title, blocks=(reason,), applies=False)
    return _section("multiverse", title, subject, lambda: _multiverse(subject, wanted, figures))


def _multiverse(subject: Subject, wanted: bool | MultiverseResult, figures: bool) -> Parts:
    every = wanted if isinstance(wanted, MultiverseResult) else _fitted(subject)
    measure = _MEASURES.get(every.scale, "GEN")
    columns = heads("Counted", "#Analyses", "#Lowest", "#Lower quartile", "#Median", "#Upper quartile", "#Highest")
    rows = []
    yield from _scope(subject, every)
    for row in every.summary(float(subject.shown.estimate)).to_dict("records"):
        counted = f"{row['unit']}s" if "unit" in row else units_of(subject) if subject.of_rates else "effects"
        numbers = (row[name] for name in ("lowest", "q25", "median", "q75", "highest"))
        answered = int(row["analyses"] - row["failed"])
        cells = [Cell(runs=line(counted)), cell(answered, f"{answered:,}")]
        rows.append((*cells, *(cell(each, effect(each, measure)) for each in numbers)))
        of = f" of {counted}" if "unit" in row or subject.record else ""
        yield Paragraph(runs=line(f"{answered:,} analyses{of} give {_spread(subject, row, measure)}"))
    if figures:
        yield figure(multiverse_plot(every), "multiverse", "Every analysis, lowest estimate first, over its choices.")
    caption = "Estimates of all analyses."
    yield Table(name="analyses", caption=caption, columns=columns, rows=tuple(rows), sortable=False)
    yield from _importance(every)
    for note in every.notes:
        varied = "Lesions count as independent in all of these analyses; under Sensitivity that is varied."
        if note.code == "lesions" or note not in subject.main.notes:
            yield Paragraph(runs=line(varied if note.code == "lesions" else in_symbols(note)), kind="aside")


def _spread(subject: Subject, row: dict[Any, Any], measure: str) -> str:
    """Where the estimates of the analyses lie, and that of the report among them."""
    low, high, middle = (effect(row[name], measure) for name in ("lowest", "highest", "median"))
    failed = f"; {row['failed']} more gave no answer" if row["failed"] else ""
    own = float(subject.shown.estimate)
    where = "within" if row["q25"] <= own <= row["q75"] else "below" if own < row["q25"] else "above"
    if not row["lowest"] <= own <= row["highest"]:
        where = f"{where} all of them, not only {where}"
    said = f"The result of this report, {effect(own, subject.measure)}, lies {where} their middle half"
    return f"{low} to {high}, median {middle}{failed}. {said}. Shares of analyses are no probabilities."


def _scope(subject: Subject, every: MultiverseResult) -> Parts:
    """Which analyses there are where they are of ready-made effects, and what was left out."""
    if not subject.of_rates:
        text = "All of these analyses pool the effects of the studies by inverse variance"
        other = ", which the result of this report does not" if subject.spec.model in ("glmm", "stratified") else ""
        yield Paragraph(runs=line(f"{text}{other}; other measures and models of the counts are not among them."))
    if len(every.excluded):
        twins = every.excluded["reason"].str.startswith(_TWIN)  # which choices they are is told by the result
        counts = every.excluded["reason"].mask(twins, f"{_TWIN} others").value_counts()
        said = "; ".join(f"{number} ({reason})" for reason, number in counts.items())
        text = in_symbols(f"Combinations left out, as not defensible or not defined: {said}.")
        yield Paragraph(runs=line(text), kind="aside")


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
        cells += [cell(share, decimals(share, 1)) for share in shares]
        rows.append(tuple(cells))
    caption = "Which choice the estimates hang on."
    yield Table(name="importance", caption=caption, columns=columns, rows=tuple(rows))
