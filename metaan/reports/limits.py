"""What the result cannot say: its own notes, and what holds for results of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.text import plural
from metaan.reports.blocks import Block, Entry, Items, Paragraph, Section, line
from metaan.reports.sources import left_out
from metaan.reports.spread import NOTHING
from metaan.reports.subject import Subject
from metaan.reports.words import counted_of, few_studies, in_symbols

__all__ = ["limitations_section"]

_LEAST: Final = 3  # studies that a test of small-study effects takes
_SOME: Final = 10


def limitations_section(subject: Subject) -> Section:
    """Notes of the result, which are its automatic decisions and cautions, and general limitations that apply."""
    notes = dict.fromkeys(in_symbols(note) for note in (*subject.shown.notes, *_of_groups(subject), *_of_rows(subject)))
    blocks: list[Block] = []
    if notes:
        blocks.append(
            Paragraph(runs=line("Notes of the result: its automatic decisions, and cautions about its data."))
        )
        blocks.append(_items(notes))
    blocks.append(Paragraph(runs=line("Besides:" if notes else "What holds for results of this kind:")))
    blocks.append(_items(_general(subject)))
    return Section(name="limitations", title="Limitations", blocks=tuple(blocks))


def _items(texts: Iterable[str]) -> Items:
    return Items(entries=tuple(Entry(runs=line(text)) for text in texts))


def _of_groups(subject: Subject) -> Iterator[object]:
    if subject.subgroups is not None:
        yield from subject.subgroups.notes
    for name, one in subject.models.items():
        yield from (f"{name}: {note}" for note in one.notes if note not in subject.main.notes)


def _of_rows(subject: Subject) -> Iterator[object]:
    """What the selection says of its rows, besides what it left out, which stands with the data."""
    story = left_out(subject)
    if story is not None:
        yield from (note for note in story.notes if note.code != "left-out")


def _general(subject: Subject) -> Iterator[str]:
    k = subject.main.k
    if k == 1:
        yield "One study is no meta-analysis: nothing here tells how the result would differ elsewhere."
        if subject.effects.events is not None:
            yield "The interval of the pooled effect is the model's, that of the study by itself Clopper and Pearson's."
    yield from few_studies(subject)
    yield from _of_spread(subject)
    if _LEAST <= k < _SOME and not {note.code for note in subject.main.notes} & NOTHING:
        yield f"With {counted_of(subject)}, tests of small-study effects and of subgroups have little power."
    if subject.of_rates:
        yield from _rates(subject)
    if KINDS[subject.measure].scale == "ratio" and subject.spec.model == "stratified":
        yield "The method assumes one effect common to all trials; where effects differ its interval is too narrow."
    if isinstance(subject.main, BayesResult):
        yield "The result depends on its priors; other priors give other intervals, most of all with few studies."
    elif math.isfinite(subject.main.I2) and subject.main.I2 > 75 and subject.spec.model != "stratified":
        yield "The studies differ so much that the pooled number describes no single one; see the prediction interval."
    if subject.record:
        yield from _evidence(subject)
    yield "Risk of bias of the studies and certainty of the evidence were not judged here: that is for the authors."
    yield "A meta-analysis inherits what its studies and their selection are worth; no model repairs that."


def _of_spread(subject: Subject) -> Iterator[str]:
    """What a prediction interval rests on."""
    shown = subject.shown
    if not math.isfinite(shown.pi_low) or not math.isfinite(shown.pi_high) or isinstance(shown, BayesResult):
        return
    if getattr(shown, "tau2", math.nan) == 0:
        yield "With τ² estimated as 0 the prediction interval tells only how well the mean is known; likely too narrow."
    elif subject.spec.model in ("glmm", "normal"):
        few = f", which {counted_of(subject)} can hardly show" if shown.k < _SOME else ""
        yield f"The prediction interval takes the true effects for normal on the scale of the analysis{few}."


def _rates(subject: Subject) -> Iterator[str]:
    if subject.effects.events is not None:
        what = "patients, lesions, treatment and the time of reading" if subject.record else "patients and treatments"
        yield f"Rates of single arms compare nothing: {what} differ between studies, none randomised against another."
    if subject.of_median:
        yield "The pooled rate is that of the median study; the mean over studies is another number where they differ."


def _evidence(subject: Subject) -> Iterator[str]:
    yield (
        "The evidence base was collected from abstracts, full texts and review tables. It is no systematic search, "
        "which the authors have to make."
    )
    data = subject.data
    if data is None:
        return
    if "counts" in data:
        derived = int((data["counts"] != "printed").sum())
        if derived:
            yield f"The counts of {plural(derived, 'row')} were not printed but derived or inferred, as the table says."
    if "source_kind" in data:
        reviews = int((data["source_kind"] == "review").sum())
        if reviews:
            yield f"The counts of {plural(reviews, 'row')} were read in a review and not in the study itself."
