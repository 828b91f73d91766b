"""Which decimal mark the numbers of a table have, where they are texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metaan.errors import InputError
from metaan.readers.cells import AMBIGUOUS, Unreadable, convention, is_mark, number, tidy
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.needs import is_count
from metaan.readers.roles import Roles

__all__ = ["decimal_mark", "is_unsure"]

_LONGEST: Final = 60
_OTHER: Final = {",": ".", ".": ","}
Text = tuple[str, int]


def decimal_mark(grid: Grid, roles: Roles, kept: Sequence[int]) -> str | None:
    """Decimal mark that the cells agree on, None where none speaks for one; an error where they cannot tell."""
    counts = [text for name, place in roles.of.items() if is_count(name) for text in _texts(grid, place, kept)]
    measures = [
        text
        for name, place in roles.of.items()
        if not is_count(name) and name not in ("study", "year")
        for text in _texts(grid, place, kept)
    ]
    spoken = convention((text for text, _ in counts), (text for text, _ in measures))
    if len(spoken) == 2:
        raise InputError(
            f"{grid.place}: {spoken[',']!r} is written with a decimal comma and {spoken['.']!r} with a "
            "decimal point. Say which it is: decimal=',' or decimal='.'."
        )
    spoken = spoken or _beside(grid, roles, kept)
    if spoken:
        return next(iter(spoken))
    rounded = [(text, i) for text, i in counts if is_unsure(text) and ("." in text or grid.separator == ";")]
    unsure = [(text, i) for text, i in measures if is_unsure(text)]
    if not rounded and unsure and grid.separator == ";" and all("," in text for text, _ in unsure):
        return ","  # cells are separated by a semicolon where the comma is taken
    for text, i in [*rounded, *unsure][:1]:
        label = clipped([said(grid.rows[i][roles.of["study"]])]) if "study" in roles.of else ""
        example = tidy(text)
        mark = "," if "," in example else "."
        raise InputError(
            f"{grid.place}, row {grid.lines[i]}{f' (study {label})' if label else ''}: {example!r} may be "
            f"{example.replace(',', '.')} or {example.replace(mark, '')}. Say which: decimal={mark!r} or "
            f"decimal={_OTHER[mark]!r}."
        )
    return None


def is_unsure(cell: Cell) -> bool:
    """Whether a text may be a number with three decimals, or one in thousands."""
    return isinstance(cell, str) and len(cell) < _LONGEST and AMBIGUOUS.fullmatch(tidy(cell)) is not None


def _texts(grid: Grid, place: int, kept: Sequence[int]) -> list[Text]:
    """Texts of a column and their rows."""
    return [(cell, i) for i in kept if isinstance(cell := grid.rows[i][place], str)]


def _beside(grid: Grid, roles: Roles, kept: Sequence[int]) -> dict[str, str]:
    """Decimal mark that the columns of numbers without a role speak for, nothing where they disagree."""
    found: dict[str, str] = {}
    for place in roles.beside.values():
        texts = [text for text, _ in _texts(grid, place, kept) if not blank(text)]
        if texts and all(map(_is_number, texts)):
            found |= convention((), texts)
    return found if len(found) == 1 else {}


def _is_number(text: str) -> bool:
    """Whether a text is a number with one of the decimal marks."""
    for mark in _OTHER:
        try:
            number(text.strip().removesuffix("%"), mark)
        except Unreadable:
            continue
        return not is_mark(text) or text.strip() not in _OTHER
    return False
