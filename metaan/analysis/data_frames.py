"""Long tables of pandas, polars and pyarrow: groups of rows, and results as a table of the same kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, InputError, listed
from metaan.validate import FloatArray, numbers, same_length

__all__ = ["grouped", "like", "like_arrays"]

IntArray = npt.NDArray[np.intp]


def grouped(
    given: Mapping[str, Any], data: Any, by: Any
) -> tuple[dict[str, FloatArray], IntArray, Any, Callable[[int], str]]:
    """Numbers of one table, group after group in the order of first appearance.

    Returns
    -------
    arrays : dict of array of shape (m,)
    k : array of int, shape (n,)
        Rows of each group.
    labels : table
        The columns `by`, one row for each group.
    name : callable
        Label of a group as text.
    """
    names = [by] if isinstance(by, str) else list(by)
    table = _table(data, names)
    values = {name: _numbers(table, value, name) for name, value in given.items()}
    if same_length(values) != len(table):
        raise InputError(f"The columns have {same_length(values)} values for {len(table)} rows of data.")
    keys = [table[name] for name in names]
    _no_gaps(data, {**values}, dict(zip(names, keys, strict=True)))
    code = _codes([key.to_numpy() for key in keys])
    k = np.bincount(code)
    start = np.concatenate([[0], np.cumsum(k)[:-1]])
    if np.any(code[1:] < code[:-1]):
        order = np.argsort(code, kind="stable")
        values, first = {name: value[order] for name, value in values.items()}, order[start]
    else:
        first = start
    labels = table.select(names)[first]
    return values, k, labels.to_native(), lambda i: ", ".join(map(str, labels.row(i)))


def _table(data: Any, names: list[Any]) -> Any:
    """The table behind narwhals; refuse what is none, or has no such columns."""
    import narwhals as nw

    try:
        table = nw.from_native(data, eager_only=True)
    except TypeError as error:
        text = "by= needs data=, a table of pandas, polars or pyarrow with one row for each study"
        raise InputError(f"{text}, not {type(data).__name__}.") from error
    absent = [name for name in names if name not in table.columns]
    if absent or not names:
        raise InputError(f"by={listed(absent)} is no column of data. Columns: {', '.join(map(str, table.columns))}.")
    if len(table) == 0:
        raise InputError("No meta-analyses: data has no rows.")
    return table


def _numbers(table: Any, value: Any, name: str) -> FloatArray:
    if not isinstance(value, str):
        return numbers(value, name)
    if value not in table.columns:
        raise InputError(f"{name}={value!r} is no column of data. Columns: {', '.join(map(str, table.columns))}.")
    column = table[value]
    if column.dtype.is_numeric():
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return numbers(column.to_numpy(), name)


def _no_gaps(data: Any, values: Mapping[str, FloatArray], keys: Mapping[str, Any]) -> None:
    """A missing value is an error, since an absent study has no row."""
    lacking = np.zeros(len(next(iter(values.values()))), dtype=bool)
    for value in values.values():
        if np.isnan(value.min()):
            lacking |= np.isnan(value)
    for key in keys.values():
        if key.null_count():
            lacking |= key.is_null().to_numpy()
        if key.dtype.is_float():
            lacking |= np.isnan(key.to_numpy())
    if lacking.any():
        rows = np.flatnonzero(lacking)
        where = listed(data.index[rows] if hasattr(data, "index") else rows)
        raise DataError(f"A value of {', '.join([*values, *keys])} is missing in row {where} of data: take it out.")


def _codes(keys: list[npt.NDArray[Any]]) -> IntArray:
    """A number for each different combination of keys, from 0 in the order of first appearance."""
    import pandas as pd

    code = None
    for key in keys:
        own, different = _one_code(key)
        code = own if code is None else pd.factorize(code * different + own)[0]
    return np.asarray(code, dtype=np.intp)


def _one_code(key: npt.NDArray[Any]) -> tuple[IntArray, int]:
    import pandas as pd

    if key.dtype.kind in "iu" and (key[1:] >= key[:-1]).all():
        code = np.concatenate([[0], np.cumsum(key[1:] != key[:-1])]).astype(np.intp)
        return code, int(code[-1]) + 1
    codes, different = pd.factorize(key)
    return codes, len(different)


def like_arrays(labels: Any) -> dict[str, npt.NDArray[Any]]:
    """Columns of a table as arrays."""
    import narwhals as nw

    table = nw.from_native(labels, eager_only=True)
    return {name: table[name].to_numpy() for name in table.columns}


def like(labels: Any, columns: Mapping[str, Any]) -> Any:
    """Results as a table of the kind of `labels`, which come first; of pandas without them."""
    pandas = sys.modules.get("pandas")
    if labels is None or (pandas is not None and isinstance(labels, pandas.DataFrame)):
        import pandas as pd

        frame = pd.DataFrame(dict(columns), copy=False)
        return frame if labels is None else pd.concat([labels.reset_index(drop=True), frame], axis=1)
    import narwhals as nw

    table = nw.from_native(labels, eager_only=True)
    made = {name: value.tolist() if value.dtype == object else value for name, value in columns.items()}
    return nw.concat([table, nw.from_dict(made, backend=table.implementation)], how="horizontal").to_native()
