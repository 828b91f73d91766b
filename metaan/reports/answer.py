"""The question with its answer, and the result: a forest plot and the numbers in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from metaan.models.bayes_result import BayesResult
from metaan.models.results import PoolResult
from metaan.models.text import true_word
from metaan.plot.forest_levels import as_pool
from metaan.plot.forest_plot import forest
from metaan.reports.blocks import Block, Cell, Line, Paragraph, Section, Strong, Table, heads, line
from metaan.reports.drawings import figure
from metaan.reports.numbers import cell, effect, interval, p_text, plain
from metaan.reports.subject import Subject
from metaan.reports.words import counted_of, few_studies, in_symbols, outcome_of, question_of, units_of

__all__ = ["forest_section", "question_section"]

_CAUTIONS: Final = ("lesions", "overlap", "repeated-studies", "separated", "one-study")


def question_section(subject: Subject, question: str | None) -> Section:
    """What is asked, and what is answered."""
    asked = " ".join((question or question_of(subject)).split())
    blocks: list[Block] = [Paragraph(runs=line(asked)), Paragraph(runs=_answer(subject), kind="lead")]
    blocks += [Paragraph(runs=one) for one in _beside(subject)]
    cautions = [note for note in subject.main.notes if note.code in _CAUTIONS]
    if subject.models:
        blocks.append(Paragraph(runs=line(models_note(subject.models)), kind="aside"))
    said = [*map(in_symbols, cautions), *few_studies(subject)]
    blocks += [Paragraph(runs=line(f"Caution. {text}"), kind="aside") for text in said]
    return Section(name="question", title="Question and answer", blocks=tuple(blocks))


def _answer(subject: Subject) -> Line:
    shown, measure = subject.shown, subject.measure
    limits = interval(shown.ci_low, shown.ci_high, measure, subject.spec.level, subject.interval_name)
    studies = counted_of(subject)
    events, total = subject.effects.events, subject.effects.total
    counts = ""
    if events is not None and total is not None:
        counts = f"; {events.sum():,.10g} of {total.sum():,.10g} {units_of(subject)} in all"
    what = _what(subject)
    return line(Strong(effect(shown.estimate, measure)), f" ({limits}): {what}, {studies}{counts}.")


def _what(subject: Subject) -> str:
    """What the estimate is of."""
    name, outcome = subject.noun, outcome_of(subject)
    of = f" of {outcome}" if outcome else ""
    if subject.of_median:
        return f"pooled {name}{of} in the median study"
    if subject.spec.model == "beta-binomial":
        return f"pooled {name}{of}, mean over studies"
    return f"pooled {name}{of}"


def _beside(subject: Subject) -> Iterator[Line]:
    """What the answer must not be read without: the mean rate, the prediction interval."""
    shown, measure, level = subject.shown, subject.measure, subject.spec.level
    pooled = effect(shown.estimate, measure)
    if subject.of_rates and subject.of_median:
        mean = subject.main.mean_rate
        limits = interval(mean.ci_low, mean.ci_high, measure, level, subject.interval_name)
        if effect(mean.estimate, measure) != pooled:
            text = "Where studies differ, the mean over the population of studies is another number: "
            yield line(text, f"{effect(mean.estimate, measure)} ({limits}).")
    if math.isfinite(shown.pi_low) and math.isfinite(shown.pi_high):
        limits = f"{effect(shown.pi_low, measure)} and {effect(shown.pi_high, measure)}"
        what = f"The true {true_word(measure)} of a new study like these is expected between {limits}"
        flat = getattr(shown, "tau2", math.nan) == 0
        but = ", likely too narrow: it holds no difference between studies, since τ² is estimated as 0" if flat else ""
        yield line(f"{what} ({100 * level:g}% prediction interval){but}.")
    events, total = subject.effects.events, subject.effects.total
    if subject.of_rates and getattr(shown, "tau2", 1.0) > 0 and events is not None and total is not None:
        crude = effect(float(events.sum() / total.sum()), measure)
        if crude != pooled:
            yield line(f"All counts added up would give {crude}, in which the largest studies decide: no pooled rate.")


def forest_section(subject: Subject, *, figures: bool) -> Section:
    """Forest plot, and a table of what is pooled in it."""
    blocks: list[Block] = []
    if figures:
        blocks.append(figure(forest(subject.given), "forest", "Forest plot of the studies and of what was pooled."))
    blocks.append(_numbers(subject))
    blocks += _groups(subject)
    return Section(name="forest", title="Result", blocks=tuple(blocks))


def _numbers(subject: Subject) -> Table:
    level = f"{100 * subject.spec.level:g}% {subject.interval_name}"
    columns = heads("What", "#Estimate", f"#{level} from", "#to")
    rows = [
        (Cell(runs=line(name)), *(cell(value, effect(value, subject.measure)) for value in values))
        for name, values in _lines(subject)
    ]
    return Table(
        name="pooled", caption="What was pooled, with its limits.", columns=columns, rows=tuple(rows), sortable=False
    )


Numbers = tuple[float, float, float]


def _lines(subject: Subject) -> Iterator[tuple[str, Numbers]]:
    """Each pooled effect with its limits, and its prediction interval."""
    whole = "" if not subject.subgroups else "All studies: "
    if subject.subgroups:
        for name, group in subject.subgroups.back().groups.items():
            yield from _of_one(group, f"{name}: ", subject)
    if subject.models:
        for name, one in subject.models.items():
            yield from _of_one(as_shown(one), f"{name}: ", subject)
        return
    yield from _of_one(subject.shown, whole, subject)


def as_shown(res: Any) -> PoolResult | BayesResult:
    """A result as one pooled effect on the display scale."""
    one: PoolResult | BayesResult = res if isinstance(res, (PoolResult, BayesResult)) else as_pool(res)
    return one.back()


def _of_one(res: PoolResult | BayesResult, before: str, subject: Subject) -> Iterator[tuple[str, Numbers]]:
    median = isinstance(res, BayesResult) or res.of_median
    rates = subject.of_rates and median and res.spec.model != "beta-binomial"
    lines = {f"pooled {subject.noun}{' (median study)' if rates else ''}": (res.estimate, res.ci_low, res.ci_high)}
    if rates:
        mean = res.mean_rate
        lines["mean over the studies"] = (mean.estimate, mean.ci_low, mean.ci_high)
    if math.isfinite(res.pi_low) and math.isfinite(res.pi_high):
        lines["prediction interval"] = (math.nan, res.pi_low, res.pi_high)
    for name, values in lines.items():
        yield before + name if before else name.capitalize(), values


def _groups(subject: Subject) -> list[Block]:
    """Test of the subgroups, where there are any."""
    sub = subject.subgroups
    if sub is None:
        return []
    if math.isnan(sub.Q_between):
        return [Paragraph(runs=line("There is no test of the difference between subgroups."))]
    f = math.isfinite(sub.Q_df2)
    df = f"{sub.Q_df} and {plain(sub.Q_df2)}" if f else f"{sub.Q_df}"
    test = f"{'F' if f else 'Q'} = {plain(sub.Q_between)}, df = {df}, {p_text(sub.Q_pvalue)}"
    return [Paragraph(runs=line(f"Difference between subgroups by {sub.by}: {test}."))]


def models_note(models: Mapping[str, Any]) -> str:
    """Which of several models the checks are of."""
    return f"Of the model {next(iter(models))!r}, the first of {len(models)}." if models else ""
