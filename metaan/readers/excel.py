"""Sheets of an XLSX workbook."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import Any, Final

from metaan.errors import InputError, Note, OptionError, listed
from metaan.readers.cells import tidy
from metaan.readers.grid import CELLS, Cell, Grid, blank, clipped, closest, is_number, said

__all__ = ["Formula", "Sheet", "like_number", "read_sheets"]

_LARGEST: Final = 200 * 2**20  # bytes of the parts of a workbook, unpacked
_COLUMNS: Final = 2_000
_SAMPLE: Final = (200, 100)  # rows and columns by which a sheet that is too large is judged
_FORBIDDEN: Final = tuple(
    word.encode(code) for word in ("<!DOCTYPE", "<!ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")
)
_OTHERS: Final = {
    "xl/workbook.bin": "a binary workbook of Excel (.xlsb)",
    "word/document.xml": "a document of Word (.docx)",
    "ppt/presentation.xml": "a presentation of PowerPoint (.pptx)",
    "Index/Document.iwa": "a document of Numbers, Pages or Keynote",
    "Index.zip": "a document of Numbers, Pages or Keynote",
}


@dataclass(frozen=True)
class Formula:
    """A cell with a formula whose value is not saved."""

    cell: str

    def __str__(self) -> str:
        return f"formula in {self.cell}"


@dataclass
class Sheet(Grid):
    """A sheet of a workbook.

    Parameters
    ----------
    book, title : str
        Names of the file and of the sheet.
    hidden : bool
        Whether the workbook does not show it.
    problem : str
        Why it cannot be read whatever its cells hold.
    """

    book: str = ""
    title: str = ""
    hidden: bool = False
    problem: str = ""
    unsaved: dict[tuple[int, int], Formula] = field(default_factory=dict)


def read_sheets(data: bytes, place: str, sheet: str | int | None) -> list[Sheet]:
    """Sheets of a workbook that hold anything; the one that is asked for alone."""
    computed = _safe(data, place)
    values = _workbook(data, place, values=True)
    formulas = _workbook(data, place, values=False) if computed else values
    names = [book.title for book in values.worksheets]
    chosen = names if sheet is None else [_chosen(sheet, names, place)]
    sheets = [_sheet(values[name], formulas[name], place) for name in chosen]
    full = [grid for grid in sheets if grid.problem or any(True for _ in grid.filled())]
    if not full:
        raise InputError(f"{place}: {'its sheets are' if sheet is None else f'sheet {chosen[0]!r} is'} empty.")
    for grid in full:
        if grid.hidden:
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
            _refuse_others({part.filename for part in parts}, place)
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


def _refuse_others(names: set[str], place: str) -> None:
    """Refuse archives that are something else than an XLSX workbook."""
    if "mimetype" in names and "content.xml" in names:
        raise InputError(f"{place} is an OpenDocument sheet. Save it as XLSX or CSV.")
    if "xl/workbook.xml" in names:
        return
    for part, kind in _OTHERS.items():
        if part in names:
            raise InputError(f"{place} is {kind}, which is not read. Save its table as .xlsx or .csv.")
    raise InputError(f"{place} is a ZIP archive but no XLSX workbook. Unpack it, and read the file inside.")


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


def _sheet(sheet: Any, formulas: Any, book: str) -> Sheet:
    """Cells of a sheet; merged texts stand in every cell that they cover."""
    height, width = sheet.max_row, sheet.max_column
    problem, extent = "", (height, width)
    if height * width > CELLS or width > _COLUMNS:
        problem = f"reaches to row {height:,} and column {width:,}. Copy the table to a sheet of its own"
        extent = (min(height, _SAMPLE[0]), min(width, _SAMPLE[1]))
    within = {"max_row": extent[0], "max_col": extent[1]}
    rows = [[_value(cell) for cell in row] for row in sheet.iter_rows(**within)]
    unsaved = _unsaved(rows, formulas.iter_rows(**within))
    hidden = sheet.sheet_state != "visible"
    place = f"{book}, sheet {sheet.title!r}"
    made = Sheet(
        rows, list(range(1, len(rows) + 1)), place, "xlsx", book=book, title=sheet.title, hidden=hidden,
        problem=problem, unsaved=unsaved,
    )  # fmt: skip
    _merged(made, sheet.merged_cells.ranges)
    _say_hidden(made, sheet)
    return made


def _value(cell: Any) -> Cell:
    """Value of a cell; what is shown in per cent has its sign."""
    value = cell.value
    return f"{100 * value:.10g}%" if is_number(value) and "%" in cell.number_format else value


def _unsaved(rows: list[list[Cell]], formulas: Any) -> dict[tuple[int, int], Formula]:
    """Formulas whose values were not saved, in the place of their missing values."""
    found = {}
    for j, (row, texts) in enumerate(zip(rows, formulas, strict=False)):
        for i, (value, cell) in enumerate(zip(row, texts, strict=False)):
            if value is None and cell.data_type == "f":
                row[i] = found[j, i] = Formula(cell.coordinate)
            elif cell.data_type == "e" and said(value).upper() == "#N/A":
                row[i] = "NA"
    return found


def like_number(cell: Cell) -> bool:
    """Whether a cell is a number, or a text of digits and signs alone: 24, 3/24, 7 (58%), 3 of 24, <5, 12-15."""
    if isinstance(cell, str):
        text = re.sub(r"(?<=[0-9 ])(?:out )?of(?=[0-9 ])", " ", tidy(cell))
        return any(map(str.isdigit, text)) and not any(map(str.isalpha, text))
    return is_number(cell)


def _merged(grid: Sheet, ranges: Any) -> None:
    """Write merged texts into the cells that they cover, and tell where a merged number stands alone."""
    texts, numbers = [], []
    for merged in sorted(ranges, key=lambda merged: (merged.min_row, merged.min_col)):
        left, top, right, bottom = merged.bounds
        if top > len(grid.rows) or left > grid.width:
            continue
        cell = grid.rows[top - 1][left - 1]
        if blank(cell):
            continue
        if not isinstance(cell, str) or like_number(cell):
            numbers.append(f"{said(cell)} in {merged.coord}")
            continue
        texts.append(said(cell))
        for row in grid.rows[top - 1 : min(bottom, len(grid.rows))]:
            row[left - 1 : min(right, grid.width)] = [cell] * (min(right, grid.width) - left + 1)
    if texts:
        text = f"Merged cells, each text taken for all that it covers: {clipped(texts, 8)}."
        grid.notes.append(Note("merged", text))
    if numbers:
        text = f"Merged cells with a number, which is taken for the first cell alone; the rest is missing: {numbers}."
        text = text.replace(str(numbers), clipped(numbers, 8))
        grid.notes.append(Note("merged-number", text))


def _say_hidden(grid: Sheet, sheet: Any) -> None:
    """Tell of rows and columns that are read though the sheet hides them."""
    rows = [str(line) for line, row in sorted(sheet.row_dimensions.items()) if row.hidden and line <= len(grid.rows)]
    if rows:
        grid.notes.append(Note("hidden-rows", f"Rows that are hidden in the sheet are read as well: {listed(rows)}."))
    places = {
        place
        for column in sheet.column_dimensions.values()
        if column.hidden
        for place in range(column.min or 0, min(column.max or 0, grid.width) + 1)
    }
    letters = _letters(sorted(place for place in places if any(not blank(row[place - 1]) for row in grid.rows)))
    if letters:
        text = f"Columns that are hidden in the sheet are read as well: {listed(letters)}."
        grid.notes.append(Note("hidden-columns", text))


def _letters(places: list[int]) -> list[str]:
    """Columns as spreadsheets call them, from their numbers."""
    from openpyxl.utils import get_column_letter

    return [get_column_letter(place) for place in places]
