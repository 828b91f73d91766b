"""Delimited text: encodings, separators, and what spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.grid import CELLS, Cell, Grid, blank, said
from metaan.readers.vocabulary import meaning

__all__ = ["decoded", "read_text"]

_SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SPACED: Final = re.compile(r'"[^"]*"|[^\s"]+')
_LONGEST: Final = 2_000  # letters of a row of names
_ROWS: Final = 200  # by which a separator is chosen


def decoded(data: bytes, place: str) -> tuple[str, str]:
    """Text of some bytes and the encoding: by its mark, UTF-8 where it can be, otherwise Windows-1252."""
    encodings = [name for mark, name in _MARKS if data.startswith(mark)][:1] or _guesses(data)
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text.removeprefix("\ufeff"), encoding
    raise InputError(f"{place} is no text: it is not in UTF-8, UTF-16 or Windows-1252. Is it a table at all?")


def _guesses(data: bytes) -> list[str]:
    """Encodings of a text without a mark: half of the bytes of UTF-16 are zero where letters are Latin."""
    head = data[:2000]
    if head[1::2].count(0) > len(head) / 4:
        return ["utf-16-le"]
    if head[0::2].count(0) > len(head) / 4:
        return ["utf-16-be"]
    return ["utf-8", "cp1252"]


def read_text(data: bytes, place: str, kind: str) -> Grid:
    """Rows of a text file, split at the separator that fits best."""
    text, encoding = decoded(data, place)
    notes = []
    if encoding not in ("utf-8", "utf-8-sig"):
        name = "Windows-1252" if encoding == "cp1252" else encoding.upper()
        notes.append(Note("encoding", f"The text is read as {name}."))
    first, _, rest = text.partition("\n")
    given = first.strip().casefold()
    skipped = given.startswith("sep=") and len(given) == 5 and given[4] in _SEPARATORS
    if skipped:  # a line that spreadsheets understand
        text, separators = rest, [given[4]]
    else:
        separators = ["\t" if given == "sep=" and "\t" in first else mark for mark in _SEPARATORS if mark in text] or [
            ","
        ]
    tables = {mark: table for mark in separators if (table := _split(text, mark, place))}
    if not tables and '\\"' in text:
        doubled = text.replace('\\"', '""')
        tables = {mark: table for mark in separators if (table := _split(doubled, mark, place))}
        notes.append(Note("escaped-quotes", 'Quotes within cells are written \\" and read as quotes.'))
    if not tables or all(len(row) < 2 for rows, _ in tables.values() for row in rows):
        _refuse_spaces(text, place)
    if not tables:
        _split(text, separators[0], place, must=True)
    mark = max(tables, key=lambda mark: _fit(tables[mark][0]))
    rows, lines = tables[mark]
    if mark != "," or skipped:
        notes.append(Note("separator", f"Cells are separated by {'a ' + _SEPARATORS[mark]}."))
    widths = [len(row) for row in rows]
    return Grid(rows, [line + skipped for line in lines], place, kind, notes=notes, separator=mark, widths=widths)


def _split(text: str, mark: str, place: str, *, must: bool = False) -> tuple[list[list[Cell]], list[int]] | None:
    """Rows at one separator with the lines on which they begin; None where quotes do not close."""
    rows: list[list[Cell]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True, skipinitialspace=True)
    before = cells = 0
    try:
        for row in reader:
            lines.append(before + 1)
            before = reader.line_num
            rows.append(list(row))
            cells += len(row)
            if cells > CELLS:
                raise InputError(f"{place} has more than {CELLS:,} cells: more than trials have.")
    except csv.Error as problem:
        if must:
            raise InputError(f"{place}, line {before + 1}: quotes or cells cannot be read ({problem}).") from None
        return None
    return rows, lines


def _refuse_spaces(text: str, place: str) -> None:
    """Refuse a table whose cells are separated by spaces, as R's write.table has them."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    names = [name.strip('"') for name in _SPACED.findall(line[:_LONGEST])]
    if _known(names) > 1:
        raise InputError(
            f"{place}: spaces stand between the names of the columns. Write commas, semicolons, tabs or bars between "
            "the cells; in R write.csv(table, file, row.names = FALSE) does."
        )


def _fit(rows: list[list[Cell]]) -> tuple[int, float, int]:
    """How well a separator fits: known headings in the best row, rows of one width, that width."""
    head = [row for row in rows[:_ROWS] if not all(map(blank, row))]
    widths = [len(row) for row in head]
    common = max(set(widths), key=lambda width: (widths.count(width), width), default=0)
    known = max(map(_known, head), default=0)
    return known, (widths.count(common) / len(widths) if common > 1 else 0.0), common


def _known(row: Sequence[Cell]) -> int:
    names = [said(cell) for cell in row[:100]]
    lower = frozenset(name.casefold() for name in names)
    return len({found.role for name in names if name and (found := meaning(name, lower))})
