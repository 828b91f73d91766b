"""Formulas whose values are not saved in a workbook: an error where one is needed, a note elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from metaan.errors import DataError, InputError, Note, listed
from metaan.readers.excel import Formula, Sheet
from metaan.readers.grid import Cell, blank
from metaan.readers.heading import find
from metaan.readers.roles import assign
from metaan.readers.rows import studies

__all__ = ["refuse_formulas", "settle_formulas"]


def settle_formulas(
    sheet: Sheet, columns: Mapping[str, str], measure: str | None, header: int | Sequence[int] | None
) -> None:
    """Take formulas without values for missing where no study needs them.

    Raises
    ------
    DataError
        The number, or the label, of a study is such a formula.
    InputError
        The names of the columns, or the studies, are not found.
    """
    if not sheet.unsaved:
        return
    trial = Sheet([list(row) for row in sheet.rows], sheet.lines, sheet.place, sheet.kind)
    try:
        heading = find(trial, header, tuple(columns.values()))
        roles = assign(trial, heading, columns, measure)
        needed = set(roles.of.values())
        for row in trial.rows:
            below = "study" in roles.of and blank(row[roles.of["study"]]) and all(map(_nothing, row))
            row[:] = [None if isinstance(cell, Formula) and (below or place not in needed) else cell
                      for place, cell in enumerate(row)]  # fmt: skip
        kept = studies(trial, heading, roles).kept
    except DataError:
        raise
    except InputError as error:
        raise type(error)(f"{error} {_advice(sheet.unsaved.values())}") from None
    used = [cell for i in kept for place in sorted(needed) if isinstance(cell := trial.rows[i][place], Formula)]
    refuse_formulas(sheet, used)
    for i, place in sheet.unsaved:
        sheet.rows[i][place] = None
    cells = [formula.cell for formula in sheet.unsaved.values()]
    text = f"Formulas whose values are not saved, where no study needs them, read as missing: {listed(cells)}."
    sheet.notes.append(Note("formulas", text))


def refuse_formulas(sheet: Sheet, used: Iterable[Formula]) -> None:
    """Refuse formulas that are needed: they would be missing without a word."""
    cells = [formula.cell for formula in used]
    if cells:
        more = f" (and {len(cells) - 1} more)" if len(cells) > 1 else ""
        raise DataError(
            f"{sheet.place}, cell {cells[0]} holds a formula whose value is not saved in the file{more}. Open it in a "
            "spreadsheet program and save it, or paste the values. If another sheet is meant, name it: sheet=."
        )


def _nothing(cell: Cell) -> bool:
    """Whether a cell is blank, or may be a formula that is filled down below a table."""
    return blank(cell) or isinstance(cell, Formula)


def _advice(formulas: Iterable[Formula]) -> str:
    """What to say of a sheet that cannot be read and has formulas without values."""
    cells = listed([formula.cell for formula in formulas])
    return (
        f"Cells with formulas whose values are not saved in the file: {cells}. Open it in a spreadsheet program and "
        "save it, or paste the values."
    )
