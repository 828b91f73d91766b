"""Sheets of an XLSX workbook."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any, Final

from metaan.errors import InputError, Note, OptionError, listed
from metaan.readers.grid import CELLS, Cell, Grid, blank, clipped, closest, is_number, said

__all__ = ["read_sheets"]

_LARGEST: Final = 200 * 2**20  # bytes of the parts of a workbook, unpacked
_FORBIDDEN: Final = tuple(
    word.encode(code) for word in ("<!DOCTYPE", "<!ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")
)


def read_sheets(data: bytes, place: str, sheet: str | int | None) -> list[Grid]:
    """Sheets of a workbook that hold anything; the one that is asked for alone."""
    computed = _safe(data, place)
    values = _workbook(data, place, values=True)
    formulas = _workbook(data, place, values=False) if computed else values
    names = [book.title for book in values.worksheets]
    chosen = names if sheet is None else [_chosen(sheet, names, place)]
    grids = [_grid(values[name], formulas[name], f"{place}, sheet {name!r}") for name in chosen]
    full = [grid for grid in grids if any(True for _ in grid.filled())]
    if not full:
        raise InputError(f"{place}: {'its sheets are' if sheet is None else f'sheet {chosen[0]!r} is'} empty.")
    hidden = [book.title for book in values.worksheets if book.sheet_state != "visible" and book.title in chosen]
    for grid in full:
        if any(grid.place.endswith(f"sheet {name!r}") for name in hidden):
            grid.notes.append(Note("hidden-sheet", f"{grid.place} is hidden in the workbook."))
    return full


def _safe(data: bytes, place: str) -> bool:
    """Refuse archives that unpack to too much, and XML that declares entities; tell whether there are formulas."""
    computed = False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > _LARGEST:
                raise InputError(f"{place} unpacks to more than {_LARGEST // 2**20} MB.")
            names = {part.filename for part in parts}
            if "mimetype" in names and "content.xml" in names:
                raise InputError(f"{place} is an OpenDocument sheet. Save it as XLSX or CSV.")
            if "xl/workbook.xml" not in names:
                raise InputError(f"{place} is a ZIP archive but no XLSX workbook. Unpack it, and read the file inside.")
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    text = archive.read(part)
                    if any(word in text for word in _FORBIDDEN):
                        raise InputError(f"{place}: {part.filename} declares a document type, which no workbook does.")
                    computed = computed or b"<f" in text
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{place} cannot be unpacked ({type(problem).__name__}): the file is damaged.") from None
    return computed


def _workbook(data: bytes, place: str, *, values: bool) -> Any:
    """Workbook with the values of formulas as they were saved, or with the formulas."""
    try:
        import openpyxl
    except ImportError:
        raise InputError("XLSX files are read with openpyxl: pip install 'metaan[excel]'.") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(io.BytesIO(data), data_only=values, keep_links=False)
    except Exception as problem:
        raise InputError(f"{place} cannot be read as XLSX ({type(problem).__name__}): the file is damaged.") from None


def _chosen(sheet: str | int, names: list[str], place: str) -> str:
    """Title of the sheet that is asked for by title or number."""
    if isinstance(sheet, str):
        if sheet in names:
            return sheet
        close = closest(sheet, names, cutoff=0.4)
        hint = f" Did you mean {close!r}?" if close else ""
        raise OptionError(f"sheet={sheet!r}: {place} has the sheets {clipped(names)}.{hint}")
    if isinstance(sheet, bool) or not isinstance(sheet, int) or not 1 <= sheet <= len(names):
        numbered = ", ".join(f"{i} {name!r}" for i, name in enumerate(names[:25], 1))
        raise OptionError(f"sheet={sheet!r}: the sheets of {place} are numbered from 1: {numbered}.")
    return names[sheet - 1]


def _grid(sheet: Any, formulas: Any, place: str) -> Grid:
    """Cells of a sheet; merged texts stand in every cell that they cover."""
    height, width = sheet.max_row, sheet.max_column
    if height * width > CELLS:
        raise InputError(
            f"{place} reaches to row {height:,} and column {width:,}. Copy the table to a sheet of its own."
        )
    rows = [[_value(cell) for cell in row] for row in sheet.iter_rows()]
    _computed(rows, formulas, place)
    grid = Grid(rows, list(range(1, len(rows) + 1)), place, "xlsx")
    ranges = sorted(sheet.merged_cells.ranges, key=lambda merged: (merged.min_row, merged.min_col))
    filled = [text for merged in ranges if (text := _spread(grid, merged.bounds))]
    if filled:
        grid.notes.append(
            Note("merged", f"Merged cells, each text taken for all that it covers: {clipped(filled, 8)}.")
        )
    hidden = [str(line) for line, row in sorted(sheet.row_dimensions.items()) if row.hidden and line <= len(rows)]
    if hidden:
        grid.notes.append(Note("hidden-rows", f"Rows that are hidden in the sheet are read as well: {listed(hidden)}."))
    return grid


def _value(cell: Any) -> Cell:
    """Value of a cell; what is shown in per cent has its sign."""
    value = cell.value
    return f"{100 * value:.10g}%" if is_number(value) and "%" in cell.number_format else value


def _computed(rows: list[list[Cell]], formulas: Any, place: str) -> None:
    """Refuse formulas whose values were not saved: they would be missing without a word."""
    for row, texts in zip(rows, formulas.iter_rows(), strict=False):
        for i, (value, cell) in enumerate(zip(row, texts, strict=False)):
            if value is None and cell.data_type == "f":
                raise InputError(
                    f"{place}, cell {cell.coordinate} holds a formula whose value is not saved in the file. Open it in "
                    "a spreadsheet program and save it, or paste the values."
                )
            if cell.data_type == "e" and said(row[i]).upper() == "#N/A":
                row[i] = "NA"


def _spread(grid: Grid, bounds: tuple[int, int, int, int]) -> str | None:
    """Write a merged text into the cells that it covers; a number stays where it stands, it belongs to one row."""
    left, top, right, bottom = bounds
    if top > len(grid.rows) or left > grid.width:
        return None
    text = grid.rows[top - 1][left - 1]
    if blank(text) or is_number(text) or not isinstance(text, str):
        return None
    for row in grid.rows[top - 1 : min(bottom, len(grid.rows))]:
        for i in range(left - 1, min(right, grid.width)):
            row[i] = text
    return said(text)
