"""Studies that share patients, and numbers of one study that sources contradict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from metaan.evidence.conflicts import conflicts
from metaan.evidence.overlap import overlaps
from metaan.evidence.store import RESPONSES
from metaan.models.text import plural
from metaan.reports.blocks import Block, Cell, Paragraph, Section, Table, absent, heads, line, web_link
from metaan.reports.numbers import cell
from metaan.reports.sources import left_out
from metaan.reports.subject import Subject

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["conflicts_section"]

_STAYS: Final = {"prefer_largest": "; the largest stays", "prefer_primary": "; the primary report stays"}


def conflicts_section(subject: Subject) -> Section:
    """Conflicts between sources and overlaps between studies, for rows of `metaan.load`."""
    name, title = "conflicts", "Conflicts and overlaps"
    if not subject.record or subject.data is None:
        reason = absent("the rows do not come from metaan.load, whose tables know of shared patients and of sources.")
        return Section(name=name, title=title, blocks=(reason,), applies=False)
    return Section(
        name=name, title=title, blocks=(*_overlaps(subject, subject.data), *_conflicts(subject, subject.data))
    )


def _overlaps(subject: Subject, data: pd.DataFrame) -> Iterator[Block]:
    pairs = overlaps(data)
    if pairs.empty:
        yield Paragraph(runs=line("No two of the studies that were pooled are known to share patients."))
    else:
        text = f"{plural(len(pairs), 'pair')} of the studies that were pooled share patients or may share them:"
        yield Paragraph(runs=line(text))
        columns = heads("Study", "Other study", "How", "What is known")
        rows = tuple(
            tuple(Cell(runs=line(said)) for said in (row["study_a"], row["study_b"], _how(row), _known(row)))
            for row in pairs.to_dict("records")
        )
        yield Table(name="overlaps", caption="Studies that share patients.", columns=columns, rows=rows)
    yield from _dropped(subject)


def _how(row: dict[Any, Any]) -> str:
    return "the patients of one are also the other's" if row["contained"] else "may share patients"


def _known(row: dict[Any, Any]) -> str:
    return "; ".join(dict.fromkeys(filter(None, (str(row["notes_a"]), str(row["notes_b"]))))) or "–"


def _dropped(subject: Subject) -> Iterator[Block]:
    """Studies that stayed out because they share patients with one that stayed in."""
    story = left_out(subject)
    if story is None:
        return
    rows = story.rows[story.rows["reason"] == "overlaps"]
    if rows.empty:
        return
    policy = _STAYS.get(str(subject.selection.get("overlaps", "")), "")
    text = f"{plural(len(rows), 'row')} left out, since patients may be those of a study that is in"
    yield Paragraph(runs=line(f"{text}{policy}:"))
    columns = heads("Left out", "#Events", "#Total", "Why")
    made = tuple(
        (
            Cell(runs=line(str(row["study"]))), _number(row["events"]), _number(row["total"]),
            Cell(runs=line(str(row["detail"]))),
        )
        for row in rows.to_dict("records")
    )  # fmt: skip
    yield Table(name="shared", caption="Rows left out for shared patients.", columns=columns, rows=made)


def _number(value: Any) -> Cell:
    import pandas as pd

    return Cell(runs=line("–")) if pd.isna(value) else cell(float(value), f"{value:g}")


def _conflicts(subject: Subject, data: pd.DataFrame) -> Iterator[Block]:
    """Readings of the outcome of the studies in hand that sources give differently."""
    import pandas as pd

    files = [name for name in dict.fromkeys(map(str, data["file"])) if name in RESPONSES] if "file" in data else []
    found = pd.concat([conflicts(name) for name in files], ignore_index=True) if files else None
    if found is not None:
        mine = found["study_id"].isin(data["study_id"]) & (found["outcome"] == subject.selection.get("outcome"))
        found = found[mine]
    if found is None or found.empty:
        yield Paragraph(runs=line("Where two sources give the counts of these studies for this outcome, they agree."))
        return
    number = found.groupby(["file", "conflict"]).ngroups
    text = f"Of this outcome, sources contradict each other on {plural(number, 'count')} of the pooled studies."
    yield Paragraph(runs=line(f"{text} By default metaan.load takes the reading that is preferred."))
    columns = heads("Study", "Unit", "#Events", "#Total", "Read in", "What differs", "Preferred")
    rows = tuple(
        (
            Cell(runs=line(str(row["study"]))), Cell(runs=line(str(row["unit"]))), _number(row["events"]),
            _number(row["total"]), Cell(runs=line(web_link(str(row["source"]), str(row["url"])))),
            Cell(runs=line(str(row["differs"]))), Cell(runs=line("yes" if row["preferred"] == "yes" else "no")),
        )
        for row in found.to_dict("records")
    )  # fmt: skip
    yield Table(name="contradictions", caption="Counts that sources give differently.", columns=columns, rows=rows)
