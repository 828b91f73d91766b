"""Headings of sections between the rows of studies, and a second table under the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NoReturn

from metaan.errors import InputError
from metaan.readers.cells import is_mark
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.totals import says_total

__all__ = [
    "blank_above",
    "heading_rows",
    "is_merged",
    "numbers_columns",
    "refuse_other_names",
    "refuse_second_table",
    "texts",
]

_CITED: Final = re.compile(r"\b(?:19|20)[0-9]{2}[a-z]?\b|\bet al\b", re.IGNORECASE)
_YEARS: Final = re.compile(r"[0-9]{4}\s*(?:-|–|to)\s*[0-9]{2,4}")
_APART: Final = re.compile(
    r"(?:excluded|not included|ongoing|unpublished)\b|[0-9]{1,2}\.[0-9]{1,2}(?:\.[0-9]{1,2})?\s+\S", re.IGNORECASE
)
"""Headings wherever they stand; 1.1.2 numbers the subgroups of a review."""
_WORDS: Final = re.compile(
    r"(?!.*\b(?:study|trial|unpublished|personal|abstract|submitted|registry)\b)[A-Z]\w+ [a-z]{4,}"
)
"""Two words that are no name of a study: Randomised trials."""
_CONTINUED: Final = re.compile(r"\bcont(?:inued|'d|d|\.)", re.IGNORECASE)


def texts(grid: Grid, i: int) -> list[str]:
    """Different cells of a row as texts."""
    return list(dict.fromkeys(said(cell) for cell in grid.rows[i] if not blank(cell)))


def is_merged(cells: Sequence[Cell]) -> bool:
    """Whether one text was merged over the row."""
    filled = [said(cell) for cell in cells if not blank(cell)]
    return len(filled) > 1 and len(set(filled)) == 1 and not is_mark(filled[0]) and any(map(str.isalpha, filled[0]))


def blank_above(grid: Grid, i: int) -> bool:
    """Whether there is a blank row between a row and the one before."""
    return i > 0 and all(map(blank, grid.rows[i - 1]))


def numbers_columns(grid: Grid, i: int, label: int | None) -> bool:
    """Whether a row counts the columns, 1, 2, 3 or (1), (2), (3), above labels that are words."""
    cells = [said(cell).strip("()[]").removesuffix(".0") for cell in grid.rows[i]]
    while cells and not cells[-1]:
        cells.pop()
    if label is None or len(cells) < 3 or cells != [str(place) for place in range(1, len(cells) + 1)]:
        return False
    below = [said(row[label]) for row in grid.rows[i + 1 :] if not blank(row[label])]
    return bool(below) and all(any(map(str.isalpha, text)) for text in below)


def heading_rows(grid: Grid, body: Sequence[int], label: int | None, numeric: Sequence[int]) -> set[int]:
    """Rows that head a section: their label alone, numbers below, where the rows begin with one and they are few.

    Anything else with a label and no numbers may be a study without counts, which is not for the reader to leave out.
    """
    filled = [i for i in body if not all(map(blank, grid.rows[i]))]
    counted = [any(not blank(grid.rows[i][place]) for place in numeric) for i in filled]
    merged = [i for i in filled if is_merged(grid.rows[i])]
    found = [
        i
        for i, below, has in zip(filled, filled[1:], counted[1:], strict=False)
        if has and below not in merged and label is not None and _heads(grid.rows[i], label)
    ]
    names = {i: said(grid.rows[i][label or 0]) for i in found}
    apart = {i for i in found if _APART.match(names[i])}
    many = 1 < len(found) < sum(counted)
    begins = bool(found) and found[0] == filled[0] and (many or bool(_WORDS.match(names[found[0]])))
    return set(merged) | apart | set(found if begins else [])


def _heads(cells: Sequence[Cell], label: int) -> bool:
    """Whether the label of a row is its only cell, and no citation."""
    name = cells[label]
    alone = isinstance(name, str) and all(blank(cell) for place, cell in enumerate(cells) if place != label)
    cited = alone and _CITED.search(_YEARS.sub("", name))
    return alone and not blank(name) and not is_mark(name) and not cited and says_total(name) != "yes"


def refuse_second_table(grid: Grid, i: int, after: int) -> None:
    """Refuse names of columns that stand again after a blank row or a line of text, unless the table is continued."""
    above = next((j for j in range(i - 1, after, -1) if not all(map(blank, grid.rows[j]))), None)
    said_above = texts(grid, above) if above is not None else []
    line = said_above[0] if len(said_above) == 1 else ""
    if _CONTINUED.search(line) or not (line or blank_above(grid, i)):
        return
    where = f"the line {clipped([line])}" if line else "a blank row"
    raise InputError(
        f"{grid.place}, row {grid.lines[i]}: the names of the columns stand again after {where}, so a second table may "
        "begin there. Take out the rows that are not meant, or save each table as a file of its own; if it is one "
        f"table, take out row {grid.lines[i]}."
    )


def refuse_other_names(grid: Grid, i: int) -> NoReturn:
    """Refuse a row that is labelled as the column of labels is: the names of other columns."""
    raise InputError(
        f"{grid.place}, row {grid.lines[i]}: {clipped(texts(grid, i), 6)} are names of columns, so another table "
        "begins there. Take out the rows that are not meant, or save each table as a file of its own."
    )
