"""The studies that were pooled, where every count was read, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import MetaanError
from metaan.evidence.citations import cite
from metaan.evidence.explain import Explanation, explain
from metaan.evidence.selection import told
from metaan.evidence.store import table as stored
from metaan.names import NOTES, READING
from metaan.plot.forest_data import forest_table
from metaan.reports.blocks import (
    Block,
    Cell,
    Column,
    Entry,
    Items,
    Line,
    Link,
    Paragraph,
    Section,
    Strong,
    Table,
    doi_link,
    line,
    web_link,
)
from metaan.reports.numbers import between, cell, effect
from metaan.reports.subject import Subject
from metaan.reports.words import counted_of, in_symbols, upper

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "data_section", "left_out", "sources_of"]

_PLACE: Final = "place in the result"
_COUNTS: Final = {
    "events": "Events", "total": "Total", "events_t": "Events, treated", "total_t": "Total, treated",
    "events_c": "Events, control", "total_c": "Total, control", "time": "Time", "time_t": "Time, treated",
    "time_c": "Time, control", "mean_t": "Mean, treated", "sd_t": "SD, treated", "n_t": "n, treated",
    "mean_c": "Mean, control", "sd_c": "SD, control", "n_c": "n, control", "mean": "Mean", "sd": "SD", "r": "r",
    "n": "n",
}  # fmt: skip
_LEFT_OUT: Final = ("dropped", "no-information")  # notes on studies that are not in the table
_ABOUT: Final = {"year": "Year", "n_patients": "Patients", "counts": "Counts", "confidence": "Reading"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the counts of one study were read; empty texts are not known."""

    study: str
    citation: str = ""
    doi: str = ""
    source: str = ""
    locator: str = ""
    url: str = ""
    graded: str = ""
    notes: str = ""

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return bool(self.citation or self.doi or self.source or self.url)


def data_section(subject: Subject) -> Section:
    """Table of the studies; each count leads to its source, and the source to its address."""
    sources = sources_of(subject)
    blocks: list[Block] = [_studies(subject, sources)]
    if any(source.known for source in sources):
        blocks.append(Paragraph(runs=line("Sources of the counts, by study:")))
        entries = (Entry(runs=_entry(source), anchor=f"source-{i}") for i, source in enumerate(sources, start=1))
        blocks.append(Items(entries=tuple(entries), numbered=True))
    else:
        blocks.append(Paragraph(runs=line("The rows do not say where they were read."), kind="aside"))
    blocks += [Paragraph(runs=line(in_symbols(note))) for note in subject.main.notes if note.code in _LEFT_OUT]
    blocks += [*_read(subject), *_selected(subject)]
    return Section(name="data", title="Data and sources", blocks=tuple(blocks))


def sources_of(subject: Subject) -> list[Source]:
    """Source of every study, in the order of the result."""
    data, labels = subject.data, subject.effects.study
    if data is None:
        return [Source(study=label) for label in labels]
    columns = {name: _texts(data, name) for name in ("citation", "doi", "source", "locator", "url", "notes")}
    graded = zip(_texts(data, "counts"), _texts(data, "confidence"), strict=True)
    found = [
        Source(study=label, **{name: values[i] for name, values in columns.items()}, graded=_graded(*grades))
        for i, (label, grades) in enumerate(zip(labels, graded, strict=True))
    ]
    return _cited(found, data) if subject.record else [replace(one, notes="", graded="") for one in found]


def _texts(data: pd.DataFrame, name: str) -> list[str]:
    if name not in data:
        return [""] * len(data)
    return ["" if value is None or value != value else " ".join(str(value).split()) for value in data[name]]


def _graded(counts: str, confidence: str) -> str:
    return ", ".join(
        filter(None, (f"counts {counts}" if counts else "", f"confidence {confidence}" * bool(confidence)))
    )


def _cited(found: list[Source], data: pd.DataFrame) -> list[Source]:
    """The same with the citations of the evidence base; a study that it does not have keeps what its row says."""
    keys = data["study_id"].astype(str).tolist()
    rows = data[data["study_id"].astype(str).isin(stored("references")["study_id"].astype(str))]
    if rows.empty:
        return found
    items = cite(rows, style="csl")
    texts = dict(zip((item["id"] for item in items), cite(rows).splitlines(), strict=True))
    dois = {item["id"]: str(item.get("DOI", "")) for item in items}
    made = []
    for one, key in zip(found, keys, strict=True):
        doi = dois.get(key, one.doi)
        text = texts.get(key, one.citation)
        plain = text.replace(f" doi:{doi}. ", " ").removesuffix(f" doi:{doi}") if doi else text
        made.append(replace(one, citation=plain, doi=doi))
    return made


def _entry(one: Source) -> Line:
    """What is known of a study's source, with its addresses."""
    runs: list[Any] = [Strong(one.study), ". "]
    if one.citation:
        runs.append(f"{one.citation.rstrip('.')}. ")
    if one.doi:
        runs += [doi_link(one.doi), ". "]
    if one.source or one.url:
        place = f" ({one.locator})" if one.locator and one.locator not in one.source else ""
        runs += ["Read in: ", web_link(one.source or one.url, one.url), f"{place}. "]
    graded = f"{upper(one.graded)}. " if one.graded else ""
    note = f"Note: {one.notes.rstrip('.')}." if one.notes else "No source given." if not one.known else ""
    return line(*runs, graded, note)


def _studies(subject: Subject, sources: list[Source]) -> Table:
    rows = _drawn(subject)
    places = [int(place) for place in rows[_PLACE]]
    first = (Column(heading="Study"), [Cell(runs=line(subject.effects.study[i])) for i in places])
    columns = [first, *_grouped(subject, places), *_about(subject, places, ("year",))]
    columns += _counted(subject, rows, places, sources)
    columns += _about(subject, places, ("n_patients", "counts", "confidence"))
    caption = f"{counted_of(subject)} that {'was' if subject.main.k == 1 else 'were'} pooled."
    if any(source.known for source in sources):
        every = all(source.known for source in sources)
        caption += f" {'Each count leads to its source' if every else 'Counts lead to their source where it is known'}."
    head, cells = zip(*columns, strict=True)
    return Table(name="studies", caption=caption, columns=head, rows=tuple(zip(*cells, strict=True)))


_Filled = tuple[Column, list[Cell]]


def _grouped(subject: Subject, places: list[int]) -> Iterator[_Filled]:
    """The subgroup of each study."""
    sub = subject.subgroups
    if sub is None:
        return
    of = {study: name for name, group in sub.groups.items() for study in group.effects.study}
    if sum(group.effects.k for group in sub.groups.values()) != len(of):
        return  # a study with several rows may be in several groups
    yield Column(heading=upper(sub.by)), [Cell(runs=line(of[subject.effects.study[i]])) for i in places]


def _counted(subject: Subject, rows: pd.DataFrame, places: list[int], sources: list[Source]) -> Iterator[_Filled]:
    """Counts, effect, interval and weight of each study, as the forest plot has them."""
    measure = subject.measure
    for name, text in _COUNTS.items():
        if name in rows and rows[name].notna().any():
            values = zip(rows[name].tolist(), places, strict=True)
            yield Column(heading=text, number=True), [_count(value, i, sources[i]) for value, i in values]
    estimates, low, high = (rows[name].tolist() for name in ("estimate", "low", "high"))
    yield Column(heading=upper(subject.noun), number=True), [cell(one, effect(one, measure)) for one in estimates]
    limits = zip(low, high, strict=True)
    level = f"{100 * float(rows['level'].iloc[0]):g}% CI"
    yield Column(heading=level, number=True), [cell(one, between(one, two, measure)) for one, two in limits]
    if "weight" in rows and rows["weight"].notna().any():
        yield Column(heading="Weight (%)", number=True), [cell(one, f"{one:.1f}") for one in rows["weight"].tolist()]


def _about(subject: Subject, places: list[int], names: tuple[str, ...]) -> Iterator[_Filled]:
    """Year, patients, and how sure the counts are, where `metaan.load` selected the rows."""
    data = subject.data
    if data is None or not subject.record:
        return
    for name in names:
        if name in data:
            number = name in ("year", "n_patients")
            values = [data[name].iloc[i] for i in places]
            yield Column(heading=_ABOUT[name], number=number), [_whole(one) if number else _said(one) for one in values]


def _drawn(subject: Subject) -> pd.DataFrame:
    """Rows of the studies as the forest plot shows them, each with its place in the result."""
    places = list(range(subject.effects.k))
    rows = forest_table(subject.given, footnote=False, right={_PLACE: places})
    return rows[rows["row"] == "study"]


def _count(value: Any, place: int, source: Source) -> Cell:
    if value != value:
        return Cell(runs=line("–"))
    text = f"{value:,.10g}"
    run = Link(text, f"#source-{place + 1}") if source.known else text
    return cell(float(value), line(run))


def _whole(value: Any) -> Cell:
    import pandas as pd

    return Cell(runs=line("–")) if pd.isna(value) else cell(float(value), f"{value:g}")


def _said(value: Any) -> Cell:
    return Cell(runs=line(str(value) if value is not None and value == value else "–"))


def left_out(subject: Subject) -> Explanation | None:
    """What the selection behind the rows left out; None where they come from elsewhere, or were changed since."""
    if not subject.record or subject.data is None:
        return None
    try:
        return explain(subject.data)
    except MetaanError:
        return None


def _read(subject: Subject) -> Iterator[Block]:
    """What was decided when a file was read by `metaan.read`."""
    data = subject.data
    if data is None or READING not in data.attrs or not data.attrs.get(NOTES):
        return
    yield Paragraph(runs=line(f"What was decided when {data.attrs[READING]['place']} was read:"))
    yield Items(entries=tuple(Entry(runs=line(str(note))) for note in data.attrs[NOTES]))


def _selected(subject: Subject) -> Iterator[Block]:
    """How the rows were selected, and what was left out for which reason."""
    story = left_out(subject)
    if story is None:
        return
    kept = f"{story.kept} of the {story.total} rows of the evidence base for this outcome are pooled"
    yield Paragraph(runs=line(f"{kept}; the others were left out by the first reason that applies to them:"))
    columns = (Column(heading="Left out by"), Column(heading="Rows", number=True), Column(heading="What was found"))
    rows = [
        (Cell(runs=line(str(one.reason))), _whole(one.rows),
         Cell(runs=line(told(story.rows, str(one.reason)))))
        for one in story.counts.itertuples()
    ]  # fmt: skip
    if rows:
        yield Table(name="left-out", caption="Rows that were left out.", columns=columns, rows=tuple(rows))
