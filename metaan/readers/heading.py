"""Where the names of the columns stand: title rows above, one row of names or two."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from metaan.errors import InputError, Note, OptionError
from metaan.readers.cells import Unreadable, is_mark, number
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.vocabulary import meaning, squashed

__all__ = ["Heading", "find", "row_below", "rows_of_names"]

_SEARCHED: Final = 40  # rows that are not blank, from the top


@dataclass(frozen=True)
class Heading:
    """Names of the columns, and the places of the rows between which they and the data stand."""

    names: tuple[str, ...]
    first: int
    last: int
    recognised: int


def find(grid: Grid, header: int | Sequence[int] | None, wanted: Collection[str]) -> Heading:
    """Row, or two rows, with the names of the columns; `wanted` are headings that the caller named."""
    filled = list(grid.filled())
    if not filled:
        raise InputError(f"{grid.place} has no rows.")
    if header is not None:
        return _asked(grid, header, wanted)
    if grid.named:
        return _heading(grid, 0, 0, wanted)
    found = _candidates(grid, filled[:_SEARCHED], wanted)
    best = max((heading.recognised for heading in found), default=0)
    first = [heading for heading in found if heading.recognised == best]
    if not first:
        raise InputError(
            f"{grid.place}: no row has the names of the columns. Its first rows: {_shown(grid, filled[:4])}. "
            "Give each column a name, or say header= (the number of the row)."
        )
    rivals = [heading for heading in first[1:] if _unlike(heading, first[0])]
    if rivals and best > 1:
        listed = "; ".join(
            f"row {_lines(grid, heading)}: {clipped(heading.names, 12)}" for heading in [first[0], *rivals]
        )
        raise InputError(f"{grid.place}: several rows may have the names of the columns. {listed}. Say which: header=.")
    _refuse_rows_above(grid, first[0], filled)
    return _noted(grid, first[0], filled)


def _refuse_rows_above(grid: Grid, heading: Heading, filled: list[int]) -> None:
    """Refuse to pass over rows above the names that are like those of studies: a text and two numbers, no years."""
    above = [i for i in filled if i < heading.first and _like_study(grid.rows[i])]
    if above:
        row = grid.lines[heading.last] if heading.last == heading.first else f"({_lines(grid, heading, ', ')})"
        raise InputError(
            f"{grid.place}: the names of the columns are in row {_lines(grid, heading)}, but rows above have numbers: "
            f"{_shown(grid, above)}. If these are not meant, say header={row}; otherwise save each table as a "
            "file of its own."
        )


def _like_study(row: Sequence[Cell]) -> bool:
    cells = [cell for cell in row if not blank(cell)]
    numbers = [cell for cell in cells if _numeric(cell) and not re.fullmatch(r"(?:19|20)[0-9]{2}(?:\.0)?", said(cell))]
    marks = [cell for cell in numbers if is_mark(cell)]
    return len(numbers) - len(marks) > 1 and len(numbers) < len(cells)


def _candidates(grid: Grid, filled: list[int], wanted: Collection[str]) -> list[Heading]:
    """Rows, and pairs of rows, that may name columns."""
    found = []
    for position, i in enumerate(filled):
        if not _names(grid.rows[i], wanted):
            continue
        single = _heading(grid, i, i, wanted)
        found.append(single)
        if position + 1 < len(filled) and filled[position + 1] == i + 1 and _names(grid.rows[i + 1], wanted):
            double = _heading(grid, i, i + 1, wanted)
            if double.recognised > single.recognised:
                found.append(double)
    return [one for one in found if not _lower_half(one, found)]


def _lower_half(one: Heading, found: list[Heading]) -> bool:
    """Whether a row is a part of a pair that says at least as much."""
    return any(
        two.first < two.last and two.first <= one.first <= one.last <= two.last
        and two is not one and two.recognised >= one.recognised
        for two in found
    )  # fmt: skip


def _names(row: Sequence[Cell], wanted: Collection[str]) -> bool:
    """Whether a row may hold names: two different texts, and no numbers where it has less than two known headings."""
    cells = [cell for cell in row if not blank(cell)]
    texts = {said(cell) for cell in cells if isinstance(cell, str)}
    if len(texts) < 2:
        return False
    if not any(_numeric(cell) for cell in cells):
        return True
    if not all(isinstance(cell, (str, int, float)) for cell in cells):
        return False
    lower = frozenset(text.casefold() for text in texts)
    roles = {found.role for text in texts if (found := meaning(text, lower))}
    return len(roles) > 1 or (len(wanted) > 0 and set(wanted) <= texts)


def _numeric(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return True
    try:
        number(cell, ".")
    except Unreadable:
        return bool(re.match(r"\s*[0-9]+\s*([/(±%]|$)(?!\s*-?\s*c)", cell, re.IGNORECASE))  # "95% CI" is none
    return cell.strip() not in ("?", "-", ".")


def _heading(grid: Grid, first: int, last: int, wanted: Collection[str]) -> Heading:
    names = tuple(said(cell) for cell in grid.rows[first])
    if last > first:
        names = _joined(names, tuple(said(cell) for cell in grid.rows[last]))
    lower = frozenset(name.casefold() for name in names)
    roles = {found.role for name in names if name and (found := meaning(name, lower))}
    both = {role for role in roles if role[-2:] not in ("_t", "_c") or {role[:-2] + "_t", role[:-2] + "_c"} <= roles}
    score = sum(2 if role.startswith("fraction") else 1 for role in both)
    return Heading(names, first, last, score + 10 * len(set(wanted).intersection(names)))


def _joined(upper: tuple[str, ...], lower: tuple[str, ...]) -> tuple[str, ...]:
    """Two rows of names as one; a name above goes for the blanks after it, unless names were merged."""
    merged = any(one and one == two for one, two in pairwise(upper))
    names, group = [], ""
    for top, low in zip(upper, lower, strict=True):
        group = top or (group if low and not merged else "")
        names.append(low if top == low or not group else f"{group} {low}".strip())
    return tuple(names)


def _asked(grid: Grid, header: int | Sequence[int], wanted: Collection[str]) -> Heading:
    """The heading in the rows that the caller names."""
    rows = [header] if isinstance(header, int) else list(header) if isinstance(header, (list, tuple, range)) else []
    good = all(isinstance(row, int) and not isinstance(row, bool) for row in rows)
    if not good or len(rows) not in (1, 2) or (len(rows) == 2 and rows[1] <= rows[0]):
        raise OptionError(f"header={header!r} must be the number of a row, from 1, or of two: (3, 4).")
    if grid.named:
        raise OptionError(f"header={header!r}: {grid.place} has names for its columns; header= is for CSV and XLSX.")
    absent = [row for row in rows if row not in grid.lines or all(map(blank, grid.rows[grid.lines.index(row)]))]
    if absent:
        raise OptionError(f"header={header!r}: row {absent[0]} of {grid.place} is blank or does not exist.")
    first, last = grid.lines.index(rows[0]), grid.lines.index(rows[-1])
    return _noted(grid, _heading(grid, first, last, wanted), list(grid.filled()))


def rows_of_names(grid: Grid, heading: Heading) -> tuple[int, int] | None:
    """Numbers of a row of names and of the row above it, where that may name the groups."""
    above = heading.first - 1
    if grid.named or heading.first != heading.last or above < 0 or not _names(grid.rows[above], ()):
        return None
    return grid.lines[above], grid.lines[heading.first]


def row_below(grid: Grid, heading: Heading) -> tuple[int, int] | None:
    """Numbers of the row of names and of the row below it, where that may name columns under groups."""
    below = heading.last + 1
    if grid.named or heading.first != heading.last or below >= len(grid.rows) or not _names(grid.rows[below], ()):
        return None
    first = said(grid.rows[below][0])
    return None if first and first != heading.names[0] else (grid.lines[heading.first], grid.lines[below])


def _noted(grid: Grid, heading: Heading, filled: list[int]) -> Heading:
    """Write down which rows were skipped and joined."""
    above = [i for i in filled if i < heading.first]
    if above:
        what = "row" if len(above) == 1 else "rows"
        text = f"{len(above)} title {what} above the names of the columns skipped: {_shown(grid, above)}."
        grid.notes.append(Note("title-rows", text))
    if heading.last > heading.first:
        text = f"Rows {_lines(grid, heading)} together name the columns: {clipped([n for n in heading.names if n])}."
        grid.notes.append(Note("two-headings", text))
    return heading


def _unlike(one: Heading, two: Heading) -> bool:
    """Whether two headings differ: a heading may be repeated on every page."""
    return [squashed(name) for name in one.names] != [squashed(name) for name in two.names]


def _lines(grid: Grid, heading: Heading, between: str = " and ") -> str:
    first, last = grid.lines[heading.first], grid.lines[heading.last]
    return str(first) if first == last else f"{first}{between}{last}"


def _shown(grid: Grid, places: list[int]) -> str:
    """Rows for a message."""
    rows = (f"row {grid.lines[i]}: " + clipped(_different(grid.rows[i]), 8) for i in places[:5])
    return "; ".join(rows)


def _different(row: Sequence[Cell]) -> list[str]:
    """Cells of a row; a merged cell stands once."""
    return list(dict.fromkeys(said(cell) for cell in row if not blank(cell)))
