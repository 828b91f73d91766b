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
from metaan.reports.subject import Subject

__all__ = ["limitations_section"]

_FEW: Final = 5
_SOME: Final = 10


def limitations_section(subject: Subject) -> Section:
    """Notes of the result, which are its automatic decisions and cautions, and general limitations that apply."""
    notes = dict.fromkeys(str(note) for note in (*subject.shown.notes, *_of_groups(subject), *_of_rows(subject)))
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
    elif k < _FEW:
        yield (
            f"{plural(k, 'study')}: with fewer than about five, intervals for τ², and so prediction intervals, are "
            "rough guides."
        )
    yield from _of_spread(subject)
    if 1 < k < _SOME:
        yield f"With {k} studies, tests of small-study effects and of subgroups have little power."
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
        yield "With τ² estimated as 0 the prediction interval is no wider than that of the mean, and likely too short."
    elif subject.spec.model in ("glmm", "normal"):
        few = f", which {plural(shown.k, 'study')} can hardly show" if shown.k < _SOME else ""
        yield f"The prediction interval takes the true effects for normal on the scale of the analysis{few}."


def _rates(subject: Subject) -> Iterator[str]:
    if subject.effects.events is not None:
        yield (
            "Rates of single arms compare nothing: patients, lesions, treatment and the time of reading differ between "
            "studies, and none was randomised against another."
        )
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
