"""Parquet files as a dask table, cut so that no meta-analysis lies in two partitions where their statistics allow it.

A Parquet file tells the least and the largest value of each column in each of its row groups. Values of a column of
`by` are cut into ranges; a partition reads the row groups that reach into its range and leaves out the rows beyond it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metaan.errors import InputError, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Folder", "Part", "RowGroup", "ranges", "runs"]

_ROWS: Final = 500_000  # rows that a partition has at most, unless a row group has more
_TWICE: Final = 2  # times that the rows may be read before a shuffle takes less


class RowGroup(NamedTuple):
    """One row group of a file, with bounds of a label's values."""

    file: str
    place: int
    rows: int
    low: Any = None
    high: Any = None


class Part(NamedTuple):
    """What one partition reads: row groups, and of them the rows with low <= value < high of a column."""

    groups: tuple[RowGroup, ...]
    column: str | None = None
    low: Any = None
    high: Any = None


def runs(groups: Sequence[RowGroup]) -> list[Part]:
    """Neighbours together, as far as a partition has room."""
    parts: list[list[RowGroup]] = []
    rows = _ROWS
    for group in groups:
        if rows + group.rows > _ROWS:
            parts.append([])
            rows = 0
        parts[-1].append(group)
        rows += group.rows
    return [Part(tuple(part)) for part in parts]


def ranges(groups: Sequence[RowGroup], column: str) -> list[Part] | None:
    """Parts with different values of a column; None where they would be too large or read too much twice."""
    ordered = sorted(groups, key=attrgetter("low"))
    firsts, rows = [0], 0
    for i, group in enumerate(ordered):
        if rows + group.rows > _ROWS and i > 0 and group.low > ordered[i - 1].low:
            firsts.append(i)
            rows = 0
        rows += group.rows
    parts: list[Part] = []
    for start, stop in pairwise([*firsts, len(ordered)]):
        low = ordered[start].low if start else None
        high = ordered[stop].low if stop < len(ordered) else None
        reaching = [group for group in parts[-1].groups if group.high >= low] if parts else []
        parts.append(_part([*reaching, *ordered[start:stop]], column, low, high))
    sizes = [sum(group.rows for group in part.groups) for part in parts]
    whole, largest = sum(group.rows for group in groups), max(group.rows for group in groups)
    usable = sum(sizes) <= _TWICE * whole and max(sizes) <= _TWICE * max(_ROWS, largest)
    return parts if usable else None


def _part(groups: Sequence[RowGroup], column: str, low: Any, high: Any) -> Part:
    """Row groups that reach into a range, with the limits that one of them reaches beyond."""
    below = low is not None and any(group.low < low for group in groups)
    above = high is not None and any(group.high >= high for group in groups)
    return Part(tuple(groups), column, low if below else None, high if above else None)


@dataclass(frozen=True)
class Folder:
    """A Parquet file or a folder of them.

    Parameters
    ----------
    path : str or path
        Local, or an address that fsspec opens.
    """

    path: Any

    @cached_property
    def _source(self) -> Any:
        """The files as a data set of pyarrow."""
        import pyarrow as pa
        import pyarrow.dataset as ds
        from fsspec.core import url_to_fs

        path = os.fspath(self.path)
        files, root = url_to_fs(path)
        if not files.exists(root):
            raise InputError(f"data={shown(path)} does not exist. Give a Parquet file or a folder of them, or a table.")
        try:
            source = ds.dataset(root, filesystem=files, format="parquet", partitioning="hive")
            if source.files:
                return source
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"data={shown(path)} is no Parquet file and no folder of them: {error}") from error
        raise InputError(f"data={shown(path)} has no Parquet files.")

    @cached_property
    def meta(self) -> pd.DataFrame:
        """No rows with the columns of the files."""
        return self._source.schema.empty_table().to_pandas(ignore_metadata=True)  # type: ignore[no-any-return]

    def table(self, columns: list[str], labels: list[str]) -> tuple[Any, bool]:
        """Dask table of some columns, and whether each meta-analysis is known to lie in one of its partitions."""
        import dask.dataframe as dd
        import pyarrow as pa

        source = self._source
        fragments = list(source.get_fragments())
        if not set(columns) <= set(fragments[0].physical_schema.names):  # in the names of folders
            return dd.read_parquet(os.fspath(self.path), columns=columns), False
        parts, whole = _parts(fragments, source.schema, labels)
        schema = pa.schema([source.schema.field(name) for name in columns])
        made = dd.from_map(_read, parts, files=source.filesystem, schema=schema, meta=self.meta[columns])
        return made, whole


def _parts(fragments: list[Any], schema: Any, labels: list[str]) -> tuple[list[Part], bool]:
    """Ranges of the first label that allows them, else runs of rows."""
    import pyarrow as pa

    schemas = [fragment.physical_schema for fragment in fragments]
    for name in labels:
        kind = schema.field(name).type
        ordered = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if ordered and all(name in known.names and known.field(name).type == kind for known in schemas):
            groups = _row_groups(fragments, name)
            parts = ranges(groups, name) if groups and all(group.low is not None for group in groups) else None
            if parts is not None:
                return parts, True
    groups = _row_groups(fragments, None)
    if not groups:
        raise InputError("No meta-analyses: data has no rows.")
    return runs(groups), False


def _row_groups(fragments: list[Any], name: str | None) -> list[RowGroup]:
    """Row groups that have rows, with the bounds of a column where they are known and no value is missing."""
    made = []
    for fragment in fragments:
        content = fragment.metadata
        for i in range(content.num_row_groups):
            group = content.row_group(i)
            if group.num_rows:
                made.append(RowGroup(fragment.path, i, group.num_rows, *_bounds(group, name)))
    return made


def _bounds(group: Any, name: str | None) -> tuple[Any, Any]:
    for i in range(group.num_columns if name is not None else 0):
        here = group.column(i)
        if here.path_in_schema == name:
            known = here.statistics
            if known is not None and known.has_min_max and known.has_null_count and known.null_count == 0:
                return known.min, known.max
    return None, None


def _read(part: Part, files: Any, schema: Any) -> pd.DataFrame:
    """Rows of one partition."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.parquet import ParquetFile

    tables = [schema.empty_table()]
    for name in dict.fromkeys(group.file for group in part.groups):
        places = [group.place for group in part.groups if group.file == name]
        try:
            with ParquetFile(name, filesystem=files) as source:
                table = source.read_row_groups(places, columns=schema.names, use_threads=False)
            tables.append(table.select(schema.names).cast(schema))
        except (pa.ArrowException, KeyError, OSError) as error:
            raise InputError(f"{name} cannot be read like the first file of data: {error}") from error
    table = pa.concat_tables(tables)
    for limit, keep in ((part.low, pc.greater_equal), (part.high, pc.less)):
        if limit is not None:
            values = table[part.column]
            table = table.filter(keep(values, pa.scalar(limit, values.type)))
    return table.to_pandas(ignore_metadata=True)  # type: ignore[no-any-return]
