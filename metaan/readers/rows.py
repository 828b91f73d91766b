"""Which rows are studies: not the blank ones, footnotes, totals, headings of sections and headings repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.cells import is_mark
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.heading import Heading
from metaan.readers.roles import Roles
from metaan.readers.sections import (
    blank_above,
    heading_rows,
    is_merged,
    numbers_columns,
    refuse_other_names,
    refuse_second_table,
    texts,
)
from metaan.readers.totals import Sums, of_arms, says_total

__all__ = ["Chosen", "LeftOut", "studies"]

_FOOTNOTE: Final = re.compile(
    r"[*†‡§¶#^]|\(?[a-z0-9]{1,2}\)\s|(notes?|sources?|abbreviations?|footnotes?|legend)\s*[:.]"
    r"|(data|values) (are|were)\b|[a-z]{1,4}\s*[=:]",
    re.IGNORECASE,
)
_SENTENCE: Final = 60
_ADJACENT: Final = 9  # rows named like totals that may follow one another among studies
_SECTION: Final = "heading of a section"


@dataclass(frozen=True)
class LeftOut:
    """A row that is no study."""

    row: int
    reason: str
    text: str


@dataclass
class Chosen:
    """Places of the rows that are studies with the section each is in, and the rows that are none."""

    column: str
    kept: list[int] = field(default_factory=list)
    sections: list[str | None] = field(default_factory=list)
    out: list[LeftOut] = field(default_factory=list)


@dataclass
class _Sorter:
    """Decides about the rows one after the other."""

    grid: Grid
    heading: Heading
    roles: Roles
    empty: int = 0
    bare: list[int] = field(default_factory=list)
    odd: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        taken = {*self.roles.of, *self.roles.beside}
        self.chosen = Chosen(next(name for name in _columns() if name not in taken))
        self.body = range(self.heading.last + 1, len(self.grid.rows))
        self.label = self.roles.of.get("study")
        self.numeric = [place for name, place in self.roles.of.items() if name not in ("study", "year")]
        self.last = max((i for i in self.body if self.counted(i)), default=-1)
        self.sums = Sums(self.grid, self.roles)
        self.arms = of_arms(self.grid, self.body, self.roles, self.sums)
        self.headings = {
            i for i in heading_rows(self.grid, self.body, self.label, self.numeric) if not self.footnote(i)
        }
        first, last = self.grid.rows[self.heading.first], self.grid.rows[self.heading.last]
        self.repeated = [_low(row) for row in (first, last, self.heading.names)]

    def counted(self, i: int) -> bool:
        """Whether a row has a number, or what stands for one."""
        return any(not blank(self.grid.rows[i][place]) for place in self.numeric)

    def sort(self) -> None:
        section: str | None = None
        for i in self.body:
            if all(map(blank, self.grid.rows[i])):
                self.empty += 1
                continue
            reason = self.reason(i)
            if not reason:
                self.keep(i, section)
                continue
            found = texts(self.grid, i)
            self.chosen.out.append(LeftOut(self.grid.lines[i], reason, clipped(found, 6)))
            if reason == _SECTION:
                section = found[0]
            if reason in (_SECTION, "totals"):
                self.sums.new_block()

    def keep(self, i: int, section: str | None) -> None:
        self.chosen.kept.append(i)
        self.chosen.sections.append(section)
        if not self.counted(i):
            self.bare.append(i)
            return
        counts = self.sums.counts(i)
        if self.sums.fit(counts):
            self.odd.append(("sum-of-rows", i))
            self.sums.new_block()
        else:
            self.sums.study(counts)

    def reason(self, i: int) -> str | None:
        """Why a row is no study; None where it is one."""
        cells = self.grid.rows[i]
        if _low(cells) in self.repeated:
            refuse_second_table(self.grid, i, self.heading.last)
            return "heading repeated"
        name = self.heading.names[self.label].casefold() if self.label is not None else ""
        if name and said(cells[self.label or 0]).casefold() == name:
            refuse_other_names(self.grid, i)
        if i in self.arms or self.is_total(i):
            return "totals"
        if not self.chosen.kept and numbers_columns(self.grid, i, self.label):
            return "numbers of the columns"
        if i in self.headings:
            return _SECTION if i < self.last else "footnote"
        return None if self.counted(i) else self.words(i)

    def words(self, i: int) -> str | None:
        """Reason to leave out a row of one text."""
        found = texts(self.grid, i)
        if len(found) != 1 or not isinstance(next(c for c in self.grid.rows[i] if not blank(c)), str):
            return None
        below = next((j for j in range(i + 1, len(self.grid.rows)) if not all(map(blank, self.grid.rows[j]))), None)
        if below is not None and _low(self.grid.rows[below]) in self.repeated:
            return "title row"
        return "footnote" if self.footnote(i) or (i > self.last and blank_above(self.grid, i)) else None

    def footnote(self, i: int) -> bool:
        """Whether the only text of a row stands outside the labels, begins as a footnote does, or is a sentence."""
        outside = self.label is not None and blank(self.grid.rows[i][self.label])
        text = texts(self.grid, i)[0]
        merged = is_merged(self.grid.rows[i])
        return not merged and (outside or _FOOTNOTE.match(text) is not None or len(text) > _SENTENCE)

    def is_total(self, i: int) -> bool:
        """Whether a row is a total by its name; where a trial may have the name, its counts decide."""
        label = said(self.grid.rows[i][self.label]) if self.label is not None else ""
        says = says_total(label or next(iter(texts(self.grid, i))))
        if says != "maybe" or not self.numbered(i) or is_merged(self.grid.rows[i]):
            return says == "yes"
        fits = self.sums.fit_name(i, (j for j in self.body if j > i))
        if fits or (fits is None and not self.among_studies(i)):
            return True
        self.odd.append(("among-studies" if fits is None else "named-as-total", i))
        return False

    def numbered(self, i: int) -> bool:
        """Whether a row has a number, not only marks for missing ones."""
        cells = (self.grid.rows[i][place] for place in self.numeric)
        return any(not blank(cell) and not is_mark(cell) for cell in cells)

    def among_studies(self, i: int) -> bool:
        """Whether there is a study above a row and one just below, as there is not of the total of a section."""
        if not self.chosen.kept or self.label is None:
            return False
        for below in range(i + 1, i + 1 + _ADJACENT):
            if below not in self.body or not self.numbered(below):
                return False
            if (says := says_total(said(self.grid.rows[below][self.label]))) != "maybe":
                return not says
        return False


def studies(grid: Grid, heading: Heading, roles: Roles) -> Chosen:
    """Rows that are studies, and the rows that are not."""
    sorter = _Sorter(grid, heading, roles)
    sorter.sort()
    _say(sorter)
    if not sorter.chosen.kept:
        raise InputError(f"{grid.place}: no rows of studies below the names of the columns{_told(sorter.chosen.out)}.")
    return sorter.chosen


def _columns() -> Iterator[str]:
    """Names for the column of sections."""
    return chain(["section"], (f"section ({i})" for i in count(2)))


def _low(cells: Sequence[Cell]) -> list[str]:
    """A row for comparisons with the names of the columns."""
    return [said(cell).casefold() for cell in cells]


def _say(sorter: _Sorter) -> None:
    """Notes on the rows left out, and on those kept that may be no studies."""
    grid, out, bare = sorter.grid, sorter.chosen.out, sorter.bare
    if sorter.empty:
        grid.notes.append(Note("blank-rows", f"{_rows(sorter.empty)} without any cell left out."))
    for reason in dict.fromkeys(row.reason for row in out):
        these = [row for row in out if row.reason == reason]
        listed = "; ".join(f"row {row.row}: {row.text}" for row in these[:5])
        more = f" and {len(these) - 5} more" if len(these) > 5 else ""
        column = f"; column {sorter.chosen.column!r} has it for each study" if reason == _SECTION else ""
        column += ". A study without counts has NR, or another mark for missing, in their place" if column else ""
        text = f"{_rows(len(these))} left out as {reason}: {listed}{more}{column}."
        grid.notes.append(Note(reason.replace(" ", "-"), text))
    if bare:
        names = [_name(sorter, i) for i in bare]
        text = f"{_rows(len(bare))} without numbers kept as studies whose values are missing: {clipped(names, 5)}."
        grid.notes.append(Note("no-numbers", text, tuple(names)))
    _say_odd(sorter)


def _say_odd(sorter: _Sorter) -> None:
    """Notes on rows kept whose counts, or whose names, are as those of totals."""
    for code, text in (
        (
            "sum-of-rows",
            "all counts are sums of the rows above. A total would be pooled twice: take it out if it is one",
        ),
        ("named-as-total", "totals are called so, but the counts are not the sums of rows above"),
        ("among-studies", "totals are called so, but a study stands below. Take it out if it is one"),
    ):
        rows = [i for what, i in sorter.odd if what == code]
        names = [_name(sorter, i) for i in rows]
        told = [f"row {sorter.grid.lines[i]} ({clipped([name])})" for i, name in zip(rows, names, strict=True)]
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        if rows:
            kept = "kept as a study" if len(rows) == 1 else "kept as studies"
            note = f"{_rows(len(rows))} {kept}, {', '.join(told[:5])}{more}: {text}."
            sorter.grid.notes.append(Note(code, note, tuple(names)))


def _name(sorter: _Sorter, i: int) -> str:
    """Label of a row, its number where it has none."""
    label = said(sorter.grid.rows[i][sorter.label]) if sorter.label is not None else ""
    return label or str(sorter.grid.lines[i])


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def _told(out: Iterable[LeftOut]) -> str:
    reasons = sorted({row.reason for row in out})
    return f" (left out: {', '.join(reasons)})" if reasons else ""
