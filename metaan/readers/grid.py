"""A table as it stands in a file: cells, the numbers of their rows, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from metaan.errors import InputError, Note

__all__ = ["CELLS", "Cell", "Grid", "blank", "clipped", "closest", "is_number", "said"]

Cell = Any
"""None, text, or a number, date or truth value where the file has types."""

CELLS: Final = 5_000_000
"""More cells than this, or more columns, are not trials."""
_COLUMNS: Final = 2_000
_SHOWN: Final = 40
_LONGEST: Final = 200


@dataclass
class Grid:
    """Rows of cells.

    Parameters
    ----------
    rows : list of list
        Cells, each row as long as the longest.
    lines : list of int
        Number of each row as the reader of the file sees it, from 1.
    place : str
        Where the table is, for messages: name of the file, and of the sheet.
    kind : str
        Format of the file.
    named : bool
        Whether the first row holds the names of the columns, as in JSON and Parquet; otherwise they are looked for.
    notes : list of Note
        What was decided in reading.
    separator : str
        What stands between the cells of a text file.
    widths : list of int
        Number of cells of each row of a text file.
    """

    rows: list[list[Cell]]
    lines: list[int]
    place: str
    kind: str
    named: bool = False
    notes: list[Note] = field(default_factory=list)
    separator: str = ""
    widths: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        width = max(map(len, self.rows), default=0)
        if width * len(self.rows) > CELLS or width > _COLUMNS:
            raise InputError(f"{self.place} has {len(self.rows):,} rows of {width:,} columns: more than trials have.")
        for row in self.rows:
            row.extend([None] * (width - len(row)))

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0]) if self.rows else 0

    def filled(self) -> Iterator[int]:
        """Places of the rows that are not blank."""
        return (i for i, row in enumerate(self.rows) if not all(map(blank, row)))


def blank(cell: Cell) -> bool:
    """Whether a cell holds nothing: None, NaN, or spaces."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return not cell.strip(" \t\r\n\u00a0\u2007\u202f\u200b\ufeff")
    return type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


def is_number(cell: Cell) -> bool:
    """Whether a cell has the type of a number."""
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def said(cell: Cell) -> str:
    """A cell as text."""
    return "" if blank(cell) else cell.strip() if isinstance(cell, str) else str(cell)


def closest(text: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name most like a text; names longer than a heading are passed over."""
    import difflib

    short = [name for name in names if len(name) <= _LONGEST][:_COLUMNS]
    return next(iter(difflib.get_close_matches(text[:_LONGEST], short, n=1, cutoff=cutoff)), None)


def clipped(texts: Sequence[object], limit: int = 25) -> str:
    """Texts for a message, long ones shortened, many counted."""
    shown = [text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…" for text in map(str, texts[:limit])]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(map(repr, shown)) + more
