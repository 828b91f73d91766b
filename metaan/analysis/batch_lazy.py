"""`pool_many` on the tables of dask and on Parquet files: lazy, one partition after the other.

A meta-analysis must lie in one partition. It is known to where dask has sorted or shuffled the table by a column of
`by`, or where the statistics of the Parquet files say so; any other table is shuffled first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import InputError, OptionError, listed
from metaan.validate import column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asked", "elsewhere", "empty_result", "is_a"]

_HASHED_ALIKE: Final = {"string", "bytes", "date", "datetime", "datetime64", "boolean", "categorical", "empty"}
Asked = Mapping[str, Any]
"""The options of `pool_many`, from `model` to `ci`, by name."""


def elsewhere(given: Mapping[str, Any], data: Any, by: Any, dim: Any, asked: Asked) -> Any:
    """Result of a table or of arrays that dask, Parquet or xarray hold; None for what is in memory.

    Parameters
    ----------
    given : mapping
        yi and vi, events and total, weights: columns or arrays by name, all that the model needs.
    data, by, dim
        As in `pool_many`.
    asked : mapping
        The other options.
    """
    made = _engine(given, data)
    if dim is not None and made != "xarray":
        raise InputError("dim= names the dimension of studies of xarray arrays; others have it last.")
    if made is None:
        return None
    _only_frames(made, asked)
    if made == "a path":
        return _folder(given, data, by, asked)
    if made == "a dask table":
        return _dask(given, data, by, asked)
    from metaan.analysis.batch_grid import in_blocks, on_grid

    return on_grid(given, data, by, dim, asked) if made == "xarray" else in_blocks(given, data, by, asked)


def _engine(given: Mapping[str, Any], data: Any) -> str | None:
    if isinstance(data, (str, os.PathLike)):
        return "a path"
    if is_a(data, "dask.dataframe.DataFrame"):
        return "a dask table"
    if is_a(data, "xarray.Dataset") or any(is_a(value, "xarray.DataArray") for value in given.values()):
        return "xarray"
    return "dask arrays" if any(is_a(value, "dask.array.Array") for value in given.values()) else None


def _only_frames(made: str, asked: Asked) -> None:
    if asked["output"] != "frame":
        raise OptionError(
            f"output={asked['output']!r} is for data in memory; {made} gives what the same engine computes."
        )
    if asked["progress"]:
        raise OptionError(f"progress= is for data in memory; with {made} use dask.diagnostics.ProgressBar.")


def is_a(value: object, name: str) -> bool:
    """Whether a value is of a class of a package that is not imported for this question."""
    module, _, kind = name.rpartition(".")
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], kind, ()))


def _columns(meta: pd.DataFrame, given: Mapping[str, Any], by: Any) -> tuple[dict[str, Any], list[Any]]:
    """Names of the columns of numbers and of labels; a dask table may have a label as its index."""
    if by is None:
        raise InputError("data= needs by=, the columns that tell the meta-analyses apart.")
    labels = list(dict.fromkeys([by] if isinstance(by, str) else by))
    for name, value in given.items():
        if column(meta, value, name) is value:
            raise InputError(f"{name} must be the name of a column where data= is a dask table or a path.")
    absent = [name for name in labels if name not in meta.columns and name != meta.index.name]
    if absent or not labels:
        raise InputError(f"by={listed(absent)} is no column of data. Columns: {', '.join(map(str, meta.columns))}.")
    return dict(given), labels


def _dask(given: Mapping[str, Any], data: Any, by: Any, asked: Asked) -> Any:
    """Divisions by a label, or a shuffle by labels, tell dask that no meta-analysis lies in two partitions."""
    names, labels = _columns(data._meta, given, by)
    wanted = list(dict.fromkeys([*labels, *names.values()]))
    table = data[[name for name in wanted if name in data.columns]]
    shuffled = getattr(data.expr, "unique_partition_mapping_columns_from_shuffle", ())
    whole = any(isinstance(columns, tuple) and set(columns) <= set(labels) for columns in shuffled)
    if len(table.columns) < len(wanted):  # the index is one of the labels
        if data.known_divisions and len(set(data.divisions[:-1])) == data.npartitions:
            table, whole = table.map_partitions(_inside, divisions=data.divisions, meta=table._meta), True
        table = table.reset_index()[wanted]
    return _by_partition(table, whole, names, labels, asked)


def _inside(frame: pd.DataFrame, divisions: Sequence[Any], partition_info: Mapping[str, Any]) -> pd.DataFrame:
    """A partition as it is, if its index lies within its divisions; those from Parquet files need not be true."""
    at = divisions.index(partition_info["division"])
    low, high, last = divisions[at], divisions[at + 1], at + 2 == len(divisions)
    values = frame.index
    if len(values) and not (values.min() >= low and (values.max() < high or (last and values.max() == high))):
        raise InputError(
            f"The divisions of data are wrong: the partition of {low} to {high} has {values.name} from "
            f"{values.min()} to {values.max()}, so that studies of one meta-analysis may lie in two partitions. "
            "Give data.reset_index(), or the path of the Parquet files."
        )
    return frame


def _folder(given: Mapping[str, Any], data: Any, by: Any, asked: Asked) -> Any:
    try:
        import dask.dataframe  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        text = "A path as data= needs dask and pyarrow, which are not installed: pip install 'metaan[distributed]'"
        raise OptionError(f"{text}. Or read the files, and give the table.") from error
    from metaan.analysis.batch_parquet import Folder

    folder = Folder(data)
    names, labels = _columns(folder.meta, given, by)
    table, whole = folder.table(list(dict.fromkeys([*labels, *names.values()])), labels)
    return _by_partition(table, whole, names, labels, asked)


def _by_partition(table: Any, whole: bool, names: Mapping[str, Any], labels: list[Any], asked: Asked) -> Any:
    """The dask table of the results of each partition."""
    meta = empty_result(asked, table._meta[labels])
    if not meta.columns.is_unique:
        taken = listed(meta.columns[meta.columns.duplicated()])
        raise InputError(f"by= has columns with the name of a result: {taken}. Rename them.")
    if not whole and table.npartitions > 1:
        kinds = table.dtypes[labels].to_dict()
        table = table.map_partitions(_alike, kinds=kinds, meta=table._meta).shuffle(labels)
    how = {"names": names, "labels": labels, "asked": dict(asked), "meta": meta}
    return table.map_partitions(_partition, how=how, meta=meta, clear_divisions=True)


def _alike(frame: pd.DataFrame, kinds: Mapping[Any, Any]) -> pd.DataFrame:
    """Labels of one type in all partitions: a shuffle would send 1 and 1.0 to different ones."""
    import pandas as pd

    for name, kind in kinds.items():
        if pd.api.types.is_object_dtype(kind) and pd.api.types.infer_dtype(frame[name]) not in _HASHED_ALIKE:
            raise InputError(f"The labels {name!r} are objects of any type: make them numbers or texts by astype.")
        if frame[name].dtype != kind and not isinstance(kind, pd.CategoricalDtype):
            try:
                frame = frame.astype({name: kind})
            except (TypeError, ValueError) as error:
                raise InputError(f"A partition has labels {name!r} that are not {kind}: {error}") from error
    return frame


def _partition(frame: pd.DataFrame, how: Mapping[str, Any]) -> pd.DataFrame:
    from metaan.analysis.batch import pool_many

    if len(frame) == 0:
        empty: pd.DataFrame = how["meta"]
        return empty
    made: pd.DataFrame = pool_many(data=frame, by=how["labels"], **how["names"], **how["asked"])
    return made


def empty_result(asked: Asked, labels: pd.DataFrame | None = None) -> pd.DataFrame:
    """The result of no meta-analyses: its columns and their types."""
    import pandas as pd

    from metaan.analysis.batch import pool_many

    given: dict[str, Any] = {"yi": [[0.0]], "vi": [[1.0]]}
    if asked["model"] == "glmm":
        given = {"events": [[1.0]], "total": [[2.0]]}
    if asked["method"] == "GENQ":
        given["weights"] = [[1.0]]
    numbers: pd.DataFrame = pool_many(**given, **asked).iloc[:0]
    return numbers if labels is None else pd.concat([labels.iloc[:0].reset_index(drop=True), numbers], axis=1)
