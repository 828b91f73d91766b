"""Long tables of pandas, polars and pyarrow: groups of rows, and results as a table of the same kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, InputError, listed, shown
from metaan.validate import FloatArray, numbers, same_length

__all__ = ["Groups", "grouped", "like", "like_arrays"]

IntArray = npt.NDArray[np.intp]
Order = npt.NDArray[np.integer]
Texts = tuple[str, npt.NDArray[np.int32], list[str]]
"""Name of a column of texts, the place of each row's text among them, and the texts."""


class Groups(NamedTuple):
    """Groups of the rows of a table, in the order of first appearance."""

    k: IntArray
    """Rows of each."""
    order: Order | None
    """The rows of the first group, then those of the second; None where they stand so."""
    labels: Any
    """The columns `by`, one row for each group: a table of the kind of the data."""
    names: Callable[[IntArray], list[str]]
    """Labels of some groups as text."""


def grouped(given: Mapping[str, Any], data: Any, by: Any) -> tuple[dict[str, FloatArray], Groups]:
    """Numbers of the columns of a table, in the order of its rows, and the groups of its rows."""
    names = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    table = _table(data, names)
    values = {name: _numbers(table, value, name) for name, value in given.items()}
    if same_length(values) != len(table):
        raise InputError(f"The columns have {same_length(values)} values for {len(table)} rows of data.")
    keys = {name: table[name] for name in names}
    _no_gaps(data, values, keys)
    k, order, first = _groups(_codes(list(keys.values())))
    labels = table.select(names)[first]

    def texts(groups: IntArray) -> list[str]:
        return [", ".join(map(str, row)) for row in labels[groups].rows()]

    return values, Groups(k, order, labels.to_native(), texts)


def _table(data: Any, names: list[Any]) -> Any:
    """The table behind narwhals; refuse what is none, or has no such columns."""
    import narwhals as nw

    try:
        table = nw.from_native(data, eager_only=True)
    except TypeError as error:
        text = "by= needs data=, a table of pandas, polars or pyarrow with one row for each study"
        raise InputError(f"{text}, not {type(data).__name__}.") from error
    except nw.exceptions.DuplicateError as error:
        raise InputError("data has several columns of one name.") from error
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
        raise InputError(f"{name}={shown(value)} is no column of data. Columns: {', '.join(map(str, table.columns))}.")
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


def _groups(code: Order) -> tuple[IntArray, Order | None, IntArray]:
    """Rows of each group, the order of rows that brings groups together, and the first row of each group."""
    order = None
    if not _rising(code):
        code = _numbered(code)
        if not _rising(code):
            order = _order(code)
            code = code[order]
    start = np.concatenate([[0], np.flatnonzero(code[1:] != code[:-1]) + 1])
    k = np.diff(start, append=code.size)
    return k, order, start if order is None else order[start].astype(np.intp)


def _rising(code: Order) -> bool:
    return bool((code[1:] >= code[:-1]).all())


def _order(code: Order) -> Order:
    """Stable order of numbers from 0 on; by 16 bits at a time, which numpy sorts by counting."""
    short = np.int32 if code.size <= np.iinfo(np.int32).max else np.int64
    order: Order = np.argsort(code.astype(np.uint16), kind="stable").astype(short)  # the lower 16 bits
    high = code >> 16
    while high.any():
        order = order[np.argsort(high.astype(np.uint16)[order], kind="stable")]
        high = high >> 16
    return order


def _numbered(key: Any) -> Order:
    """Numbers of different values, from 0 in the order of first appearance."""
    import pandas as pd

    codes: Order = pd.factorize(key)[0].astype(np.int32 if len(key) <= np.iinfo(np.int32).max else np.int64)
    return codes


def _codes(keys: list[Any]) -> Order:
    """An integer for each row, the same where all columns of `keys` are the same."""
    code, *others = map(_code, keys)
    for other in others:
        one, two = (c if _counted(c) else _numbered(c) for c in (code, other))
        code = one.astype(np.int64) * (int(two.max()) + 1) + two
    return code


def _counted(code: Order) -> bool:
    """Whether numbers are not negative, and as few as the rows: two such columns make one integer."""
    return bool(code.min() >= 0 and code.max() < code.size)


def _code(key: Any) -> Order:
    """An integer for each different value of a column of narwhals."""
    import narwhals as nw

    if key.dtype.is_integer():
        return np.asarray(key.to_numpy())
    if key.implementation.is_pandas():
        return _numbered(key.to_native())
    if key.dtype == nw.String and find_spec("pyarrow") is not None:  # texts need not become objects of Python
        import pyarrow as pa

        texts = key.to_native() if key.implementation.is_pyarrow() else pa.chunked_array([key.to_arrow()])
        return np.concatenate([part.indices.to_numpy() for part in texts.dictionary_encode().chunks])
    return _numbered(key.to_numpy())


def like_arrays(labels: Any, columns: Mapping[str, Any], texts: Texts) -> dict[str, npt.NDArray[Any]]:
    """Columns of results as arrays, after those of the table `labels` where there is one."""
    import narwhals as nw

    table = {} if labels is None else nw.from_native(labels, eager_only=True).to_dict(as_series=True)
    name, place, values = texts
    own = {label: key.to_numpy() for label, key in table.items()}
    return {**own, **columns, name: np.array(values, dtype=object)[place]}


def like(labels: Any, columns: Mapping[str, Any], texts: Texts) -> Any:
    """Results as a table of the kind of `labels`, which come first; of pandas without them."""
    name, place, values = texts
    pandas = sys.modules.get("pandas")
    if labels is None or (pandas is not None and isinstance(labels, pandas.DataFrame)):
        import pandas as pd

        frame = pd.DataFrame({**columns, name: pd.Series(values).array.take(place)}, copy=False)
        return frame if labels is None else pd.concat([labels.reset_index(drop=True), frame], axis=1)
    import narwhals as nw

    table = nw.from_native(labels, eager_only=True)
    made = nw.from_dict(dict(columns), backend=table.implementation)
    text = nw.new_series(name, values, nw.String, backend=table.implementation)[place]
    return nw.concat([table, made.with_columns(text)], how="horizontal").to_native()
