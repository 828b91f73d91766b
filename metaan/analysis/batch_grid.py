"""`pool_many` on the arrays of xarray and of dask: each block by itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.analysis.batch_lazy import Asked, empty_result, is_a
from metaan.errors import DataError, InputError, listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["in_blocks", "on_grid"]

_ONE_CHUNK = "all studies of a meta-analysis must lie in one chunk"


def on_grid(given: Mapping[str, Any], data: Any, by: Any, dim: Any, asked: Asked) -> Any:
    """An xarray.Dataset with the columns of the result over all dimensions but that of studies."""
    import xarray as xr

    if by is not None or not (data is None or is_a(data, "xarray.Dataset")):
        raise InputError("xarray arrays have their studies along dim=; they take no by= and no table as data=.")
    arrays = {name: _variable(data, value, name) for name, value in given.items()}
    studies = _studies(arrays, dim)
    meta = empty_result(asked)
    _fitting(arrays, studies, set(meta.columns))
    found = xr.apply_ufunc(
        _cells,
        *arrays.values(),
        input_core_dims=[[studies]] * len(arrays),
        output_core_dims=[[]] * meta.shape[1],
        kwargs={"names": list(arrays), "asked": dict(asked), "meta": meta},
        dask="parallelized",
        output_dtypes=[_plain(kind) for kind in meta.dtypes],
    )
    return xr.Dataset(dict(zip(meta.columns, found, strict=True)))


def _variable(data: Any, value: Any, name: str) -> Any:
    """One argument as a DataArray."""
    if data is not None and not is_a(value, "xarray.DataArray"):
        if not isinstance(value, Hashable) or value not in data.data_vars:
            raise InputError(
                f"{name} must name a variable of data, not {value!r:.50}. It has {listed(data.data_vars)}."
            )
        return data[value]
    if not is_a(value, "xarray.DataArray"):
        raise InputError(f"{name} is of type {type(value).__name__}, but others are xarray.DataArray: make it one too.")
    return value


def _studies(arrays: Mapping[str, Any], dim: Any) -> Any:
    """The dimension of studies, which each array has in one chunk."""
    first = next(iter(arrays.values()))
    if dim is None and not first.dims:
        raise InputError("The arrays have no dimension, so none of studies.")
    studies = first.dims[-1] if dim is None else dim
    for name, array in arrays.items():
        if studies not in array.dims:
            raise InputError(f"{name} has no dimension {studies!r} of studies; it has {listed(array.dims)}. Give dim=.")
        if array.chunks is not None and len(array.chunks[array.dims.index(studies)]) > 1:
            raise InputError(
                f"{name} has several chunks along {studies!r}, and {_ONE_CHUNK}: .chunk({{{studies!r}: -1}})."
            )
    return studies


def _fitting(arrays: Mapping[str, Any], studies: Any, columns: set[Any]) -> None:
    """Refuse labels that differ and names that the results have."""
    import xarray as xr

    try:
        xr.align(*arrays.values(), join="exact", copy=False)
    except ValueError as error:
        raise InputError(f"The arrays do not fit together: {error}") from error
    taken = [
        name
        for array in arrays.values()
        for name in {*array.dims, *array.coords}
        if name in columns and name != studies and not (name in array.coords and studies in array.coords[name].dims)
    ]
    if taken:
        raise InputError(f"{listed(dict.fromkeys(taken))} is the name of a result; rename the dimension or coordinate.")


def _plain(kind: Any) -> Any:
    """The type of an array for a column: texts as objects."""
    return kind if isinstance(kind, np.dtype) else np.dtype(object)


def _cells(*values: Any, names: list[str], asked: Asked, meta: pd.DataFrame) -> tuple[Any, ...]:
    """Columns of the result for arrays of shape (..., k)."""
    arrays = np.broadcast_arrays(*values)
    *shape, k = arrays[0].shape
    flat = {name: array.reshape(-1, k) for name, array in zip(names, arrays, strict=True)}
    table = _pooled(flat, asked, meta, "a block of the arrays")
    return tuple(table[name].to_numpy(_plain(kind)).reshape(shape) for name, kind in meta.dtypes.items())


def _pooled(flat: dict[str, Any], asked: Asked, meta: pd.DataFrame, where: str) -> pd.DataFrame:
    from metaan.analysis.batch import pool_many

    if len(next(iter(flat.values()))) == 0:
        return meta
    try:
        made: pd.DataFrame = pool_many(**flat, **asked)
    except DataError as error:
        raise DataError(f"In {where}, rows counted from its first: {error}") from error
    return made


def in_blocks(given: Mapping[str, Any], data: Any, by: Any, asked: Asked) -> Any:
    """The dask table of results of dask arrays of shape (n, k), a partition for each block of rows."""
    import dask.dataframe as dd
    from dask import delayed

    if data is not None or by is not None:
        raise InputError("dask arrays of shape (n, k) go without data= and by=.")
    blocks, starts = _blocks(given)
    meta = empty_result(asked)
    pool = delayed(_block, pure=True)
    parts = [
        pool(dict(zip(given, row, strict=True)), asked=dict(asked), meta=meta, start=start)
        for *row, start in zip(*blocks, starts[:-1], strict=True)
    ]
    return dd.from_delayed(parts, meta=meta, divisions=(*starts[:-1], starts[-1] - 1), verify_meta=False)


def _blocks(given: Mapping[str, Any]) -> tuple[list[list[Any]], list[int]]:
    """Delayed blocks of rows of each argument, and the row at which each begins, with the number of rows."""
    import dask.array as da

    arrays = {name: da.asarray(value) for name, value in given.items()}
    lead = next(array for name, array in arrays.items() if is_a(given[name], "dask.array.Array"))
    for name, array in arrays.items():
        if array.ndim != 2:
            raise InputError(f"{name} must be an array of shape (n, k); it has {array.ndim} dimensions.")
        if np.isnan(array.shape).any():
            raise InputError(f"The shape of {name} is not known: {name}.compute_chunk_sizes().")
        if array.shape != lead.shape:
            raise InputError(f"Shapes differ: {name} has {array.shape}, another {lead.shape}.")
        if is_a(given[name], "dask.array.Array") and array.numblocks[1] > 1:
            raise InputError(f"{name} has several chunks of columns, and {_ONE_CHUNK}: {name}.rechunk({{1: -1}}).")
    if lead.shape[0] == 0:
        raise InputError("No meta-analyses: the arrays have no rows.")
    rows = tuple(size for size in lead.chunks[0] if size)
    even = [array.rechunk((rows, (array.shape[1],))) for array in arrays.values()]
    return [array.to_delayed()[:, 0].tolist() for array in even], [0, *np.cumsum(rows).tolist()]


def _block(arrays: dict[str, Any], *, asked: Asked, meta: pd.DataFrame, start: int) -> pd.DataFrame:
    table = _pooled(arrays, asked, meta, f"the block that begins at row {start}")
    return table.set_axis(np.arange(start, start + len(table)), axis=0)
