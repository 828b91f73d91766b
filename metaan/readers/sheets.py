"""Which sheet of a workbook is meant: the only one that can be read, where no other may hold the trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from metaan.errors import DataError, InputError, Note
from metaan.readers.excel import Formula, Sheet, like_number
from metaan.readers.frame import tell
from metaan.readers.grid import Cell, clipped, is_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["holds_table", "only_sheet"]

_JUDGED: Final = 200  # rows
_YEARS: Final = range(1900, 2101)
_LONGEST: Final = 200


def only_sheet(
    sheets: Sequence[Sheet], reading: Callable[[Sheet], pd.DataFrame], is_review: Callable[[Sheet], bool]
) -> pd.DataFrame:
    """The only sheet that can be read; an error lists all where there are several, or none.

    A sheet that the workbook hides is read only where it is named. A sheet with rows of numbers is not passed over
    for another.
    """
    shown = [sheet for sheet in sheets if not sheet.hidden]
    hidden = [sheet for sheet in sheets if sheet.hidden]
    if not shown:
        raise InputError(f"{sheets[0].book}: every sheet that holds anything is hidden. {_name(hidden)}")
    frames: list[pd.DataFrame] = []
    meant: list[tuple[Sheet, InputError | None]] = []
    passed: list[tuple[Sheet, InputError]] = []
    for sheet in shown:
        try:
            frames.append(reading(sheet))
            meant.append((sheet, None))
        except InputError as error:
            known = isinstance(error, DataError) or is_review(sheet)  # its columns are known
            if known:
                meant.append((sheet, error))
            else:
                passed.append((sheet, error))
    if not meant:
        _refuse_all(passed, hidden)
    if len(meant) > 1:
        names = clipped([sheet.title for sheet, _ in meant])
        raise InputError(f"{sheets[0].book}: several sheets may be meant. Choose one, sheet=: {names}.")
    chosen, problem = meant[0]
    _refuse_passing(chosen, passed)
    if problem is not None:
        raise problem
    return tell(frames[0], _notes(chosen, passed, hidden))


def _refuse_all(passed: Sequence[tuple[Sheet, InputError]], hidden: Sequence[Sheet]) -> None:
    """No sheet that is shown can be read."""
    more = f" {_name(hidden)}" if hidden else ""
    if len(passed) == 1:
        raise type(passed[0][1])(f"{passed[0][1]}{more}")
    raise InputError(f"No sheet can be read. {' '.join(str(error) for _, error in passed)}{more}")


def _refuse_passing(chosen: Sheet, passed: Sequence[tuple[Sheet, InputError]]) -> None:
    """Refuse to pass over a sheet that holds a table."""
    tables = [(sheet, error) for sheet, error in passed if holds_table(sheet)]
    if tables:
        reasons = " ".join(f"{sheet.title!r} holds a table, which is not understood: {_reason(sheet, error)}."
                           for sheet, error in tables)  # fmt: skip
        raise InputError(
            f"{chosen.book}: sheet {chosen.title!r} can be read, but {reasons} Say which is meant: "
            f"sheet={chosen.title!r}, or sheet={tables[0][0].title!r} with columns=."
        )


def _notes(chosen: Sheet, passed: Sequence[tuple[Sheet, InputError]], hidden: Sequence[Sheet]) -> list[Note]:
    """Which sheets were not read, and why."""
    notes = []
    if passed:
        reasons = "; ".join(f"{sheet.title!r}: {_reason(sheet, error)}" for sheet, error in passed)
        notes.append(Note("sheet", f"Sheet {chosen.title!r} is read, since nothing can be pooled from {reasons}."))
    if hidden:
        names = clipped([sheet.title for sheet in hidden])
        notes.append(Note("hidden-sheets", f"Sheets that are hidden in the workbook are not read: {names}."))
    return notes


def _name(hidden: Sequence[Sheet]) -> str:
    names = clipped([sheet.title for sheet in hidden])
    return f"Hidden sheets are read where they are named, sheet=: {names}."


def _reason(sheet: Sheet, error: InputError) -> str:
    """Why a sheet cannot be read: the first sentence, without the place."""
    text = str(error).removeprefix(sheet.place).lstrip(": ").partition(". ")[0].rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def holds_table(sheet: Sheet) -> bool:
    """Whether labels stand beside numbers: two rows of them, or one with two numbers.

    Years, and numbers that count the rows, are none: a list of excluded studies is text. A formula is a number.
    """
    rows = [
        [sheet.unsaved.get((i, place), cell) for place, cell in enumerate(row)]
        for i, row in enumerate(sheet.rows[:_JUDGED])
    ]
    counted = [place for place in range(sheet.width) if _counts([row[place] for row in rows])]
    numbers = [sum(_is_number(row[place]) for place in counted) for row in rows if any(map(_is_label, row))]
    full = [number for number in numbers if number]
    return len(full) > 1 or max(full, default=0) > 1


def _counts(column: Sequence[Cell]) -> bool:
    """Whether a column holds numbers other than years and those of rows."""
    cells = [cell for cell in column if _is_number(cell)]
    values = [_whole(cell) for cell in cells]
    if not cells or all(value in _YEARS for value in values):
        return False
    return values not in (list(range(len(values))), list(range(1, len(values) + 1)))


def _whole(cell: Cell) -> int | None:
    """A whole number, also where it is a text."""
    if isinstance(cell, str):
        return int(cell) if cell.strip().isdecimal() and len(cell) < 10 else None
    return int(cell) if is_number(cell) and float(cell).is_integer() else None


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, Formula) or (like_number(cell) and not (isinstance(cell, str) and cell.count("-") == 2))


def _is_label(cell: Cell) -> bool:
    return isinstance(cell, str) and any(map(str.isalpha, cell))
