"""Which rows are studies: not the blank ones, footnotes, totals and headings repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.cells import is_mark
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.heading import Heading
from metaan.readers.roles import Roles

__all__ = ["LeftOut", "studies"]

_TOTALS: Final = re.compile(
    r"(sub-?)?totals?|sum|overall|pooled|all( studies| trials)?|combined|summary"
    r"|(fixed|random|common)[- ]effects?( model)?|(sub-?)?total \(.*\)"
    r"|total (events|patients|participants)|heterogeneity\b.*|test for (overall|subgroup)\b.*"
)
_FOOTNOTE: Final = re.compile(
    r"[*†‡§¶#^]|\(?[a-z0-9]{1,2}\)\s|(notes?|sources?|abbreviations?|footnotes?|legend)\s*[:.]"
    r"|(data|values) (are|were)\b|[a-z]{1,4}\s*[=:]",
    re.IGNORECASE,
)
_SENTENCE: Final = 60


@dataclass(frozen=True)
class LeftOut:
    """A row that is no study."""

    row: int
    reason: str
    text: str


def studies(grid: Grid, heading: Heading, roles: Roles) -> tuple[list[int], list[LeftOut]]:
    """Places of the rows that are studies, and the rows that are not."""
    body = range(heading.last + 1, len(grid.rows))
    numeric = [place for name, place in roles.of.items() if name not in ("study", "year")]
    kept, out, empty, bare = [], [], 0, []
    last = max((i for i in body if any(not blank(grid.rows[i][place]) for place in numeric)), default=-1)
    for i in body:
        cells = grid.rows[i]
        if all(map(blank, cells)):
            empty += 1
            continue
        reason = None if grid.named else _reason(grid, i, heading, roles, numeric, last)
        if reason:
            out.append(LeftOut(grid.lines[i], reason, clipped(_texts(grid, i), 6)))
            continue
        kept.append(i)
        if all(blank(cells[place]) for place in numeric):
            bare.append(i)
    _say(grid, out, empty, bare, roles)
    if not kept:
        raise InputError(f"{grid.place}: no rows of studies below the names of the columns{_told(out)}.")
    return kept, out


def _reason(grid: Grid, i: int, heading: Heading, roles: Roles, numeric: list[int], last: int) -> str | None:
    """Why a row is no study; None where it is one."""
    cells = grid.rows[i]
    texts = _texts(grid, i)
    if any(_same(cells, row) for row in (grid.rows[heading.first], grid.rows[heading.last], heading.names)):
        return "heading repeated"
    label = said(cells[roles.of["study"]]) if "study" in roles.of else ""
    if any(_TOTALS.fullmatch(text.casefold().rstrip(" :")) for text in ([label] if label else texts[:1])):
        return "totals"
    if any(not blank(cells[place]) for place in numeric) and not _merged(cells, texts):
        return None
    if len(texts) == 1 and isinstance(next(cell for cell in cells if not blank(cell)), str):
        if _merged(cells, texts):
            return "heading of a section" if i < last else "footnote"
        outside = "study" in roles.of and blank(cells[roles.of["study"]])
        if outside or _FOOTNOTE.match(texts[0]) or len(texts[0]) > _SENTENCE or (i > last and _blank_above(grid, i)):
            return "footnote"
    return None


def _same(cells: Sequence[Cell], names: Sequence[Cell]) -> bool:
    """Whether a row repeats the names of the columns."""
    pairs = zip(cells, names, strict=True)
    return all(cell == name or said(cell).casefold() == said(name).casefold() for cell, name in pairs)


def _blank_above(grid: Grid, i: int) -> bool:
    """Whether there is a blank row, in the file, between a row and the one before."""
    return i > 0 and (all(map(blank, grid.rows[i - 1])) or grid.lines[i] - grid.lines[i - 1] > 1)


def _merged(cells: list[object], texts: list[str]) -> bool:
    """Whether one text was merged over the row."""
    return len(texts) == 1 and sum(not blank(cell) for cell in cells) > 1 and not is_mark(texts[0]) and (
        any(map(str.isalpha, texts[0]))
    )  # fmt: skip


def _texts(grid: Grid, i: int) -> list[str]:
    return list(dict.fromkeys(said(cell) for cell in grid.rows[i] if not blank(cell)))


def _say(grid: Grid, out: list[LeftOut], empty: int, bare: list[int], roles: Roles) -> None:
    if empty and not grid.named:
        grid.notes.append(Note("blank-rows", f"{_rows(empty)} without any cell left out."))
    for reason in dict.fromkeys(row.reason for row in out):
        these = [row for row in out if row.reason == reason]
        listed = "; ".join(f"row {row.row}: {row.text}" for row in these[:5])
        more = f" and {len(these) - 5} more" if len(these) > 5 else ""
        grid.notes.append(Note(reason.replace(" ", "-"), f"{_rows(len(these))} left out as {reason}: {listed}{more}."))
    if bare:
        names = [said(grid.rows[i][roles.of["study"]]) if "study" in roles.of else str(grid.lines[i]) for i in bare]
        text = f"{_rows(len(bare))} without numbers kept as studies whose values are missing: {clipped(names, 5)}."
        grid.notes.append(Note("no-numbers", text, tuple(names)))


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def _told(out: Iterable[LeftOut]) -> str:
    reasons = sorted({row.reason for row in out})
    return f" (left out: {', '.join(reasons)})" if reasons else ""
