"""Tables of pandas, polars and pyarrow, and Parquet files."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from metaan.errors import InputError, Note
from metaan.readers.grid import CELLS, Cell, Grid

__all__ = ["is_table", "read_parquet", "read_table"]

_UNNAMED: Final = re.compile(r"__index_level_[0-9]+__")


def is_table(value: object) -> bool:
    """Whether something is a table rather than a path."""
    return any(hasattr(type(value), name) for name in ("columns", "column_names", "collect_schema"))


def read_table(table: Any, place: str = "the table", kind: str = "table") -> Grid:
    """Cells of a table in memory."""
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return _pandas(table, place, kind)
    import narwhals as nw

    try:
        frame: Any = nw.from_native(table, eager_only=True)
    except TypeError:
        hint = " Collect it first: .collect()." if hasattr(table, "collect") else ""
        text = "path must be a file, or a table of pandas, polars or pyarrow"
        raise InputError(f"{text}, not {type(table).__name__}.{hint}") from None
    except nw.exceptions.DuplicateError:
        raise InputError(f"{place} has several columns of one name.") from None
    return _grid(list(map(str, frame.columns)), [frame[name].to_list() for name in frame.columns], place, kind)


def _pandas(frame: Any, place: str, kind: str) -> Grid:
    """Cells of a pandas table; an index with a name is a column, and headings of several rows are joined."""
    notes = []
    if frame.index.names != [None]:
        frame = frame.reset_index(allow_duplicates=True, names=[name or "index" for name in frame.index.names])
        notes.append(Note("index", "The index of the table is taken for a column, since it has a name."))
    elif any(isinstance(value, str) for value in frame.index):
        labels, note = _index(frame.columns)
        frame = frame.reset_index(names=[labels])
        notes.append(note)
    names = [" ".join(map(str, name)).strip() if isinstance(name, tuple) else str(name) for name in frame.columns]
    grid = _grid(names, [frame.iloc[:, i].tolist() for i in range(frame.shape[1])], place, kind)
    grid.notes.extend(notes)
    return grid


def _index(names: Collection[str]) -> tuple[str, Note]:
    """Name of the column that an index of texts becomes, and the note that says so."""
    labels = "study" if "study" not in names else "index"
    return labels, Note("index", f"The index of the table, which has no name, is taken for a column {labels!r}.")


def _grid(names: list[str], columns: list[list[Cell]], place: str, kind: str) -> Grid:
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Grid([list(names), *rows], list(range(len(rows) + 1)), place, kind, named=True)


def read_parquet(data: bytes, place: str) -> Grid:
    """Cells of a Parquet file."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet files are read with pyarrow: pip install pyarrow.") from None
    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)) as file:
            if file.metadata.num_rows * file.metadata.num_columns > CELLS:
                raise InputError(f"{place} has {file.metadata.num_rows:,} rows: more than trials have.")
            table = file.read(use_threads=False)
            columns = [
                (name, column.to_pylist()) for name, column in zip(table.column_names, table.columns, strict=True)
            ]
    except InputError:
        raise
    except Exception as problem:
        raise InputError(
            f"{place} cannot be read as Parquet ({type(problem).__name__}): the file is damaged."
        ) from None
    names, notes, cells = [], [], []
    for name, values in columns:
        if _UNNAMED.fullmatch(name):  # an index of pandas, which counts where it has texts
            if not any(isinstance(value, str) for value in values):
                continue
            name, note = _index(table.column_names)
            notes.append(note)
        names.append(name)
        cells.append(values)
    grid = _grid(names, cells, place, "parquet")
    grid.notes.extend(notes)
    return grid
