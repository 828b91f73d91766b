"""Reading many sets of studies: arrays with one row for each, or one table with a column that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.core.many import BoolArray
from metaan.errors import DataError, InputError, listed
from metaan.validate import FloatArray, column, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DataSets", "read"]

_SMALLEST: Final = 1e-90
_RANGE: Final = 1e150
_LARGEST: Final = 5e6  # beyond it rounding of the log-likelihood hides its curvature


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSets:
    """Checked numbers of n sets of up to k studies.

    Parameters
    ----------
    arrays : dict of array of shape (n, k)
        By name; the studies of a set come first in its row, NaN after them.
    k : array of int, shape (n,)
        Studies of each set.
    by : pandas.DataFrame or None
        Labels of the sets.
    """

    arrays: dict[str, FloatArray]
    k: npt.NDArray[np.intp]
    by: pd.DataFrame | None


def read(given: dict[str, Any], data: Any, by: Any, *, counts: bool) -> DataSets:
    """Sets of studies from arrays of shape (n, k), or from columns of `data` with the labels `by`."""
    if by is None:
        arrays, labels = _matrices(given, data), None
    else:
        arrays, labels = _long(given, data, by)
    n = next(iter(arrays.values())).shape[0]
    names = [f"row {i}" for i in range(n)] if labels is None else [_label(row) for row in labels.to_numpy().tolist()]
    here = _check_counts(arrays["events"], arrays["total"], names) if counts else _check_effects(arrays, names)
    return DataSets(arrays=_packed(arrays, here), k=here.sum(axis=1), by=labels)


def _label(row: list[Any]) -> str:
    return ", ".join(map(str, row))


def _matrices(given: dict[str, Any], data: Any) -> dict[str, FloatArray]:
    if data is not None:
        raise InputError("data= needs by=, the columns that tell the meta-analyses apart.")
    arrays = {}
    for name, value in given.items():
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{name} must hold numbers, in rows of one length, NaN where a study is absent."
            ) from error
        if array.ndim != 2:
            raise InputError(
                f"{name} must be an array of shape (n, k), one row for each meta-analysis; it has {array.ndim} "
                "dimensions. For a table with one row for each study give data= and by=."
            )
        arrays[name] = array
    if len({array.shape for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} has {array.shape}" for name, array in arrays.items())
        raise InputError(f"Shapes differ: {sizes}.")
    if next(iter(arrays.values())).shape[0] == 0:
        raise InputError("No meta-analyses: the arrays have no rows.")
    return arrays


def _long(given: dict[str, Any], data: Any, by: Any) -> tuple[dict[str, FloatArray], pd.DataFrame]:
    """Rows of one table, laid out by group; a missing value is an error, since an absent study has no row."""
    names = [by] if isinstance(by, str) else list(by)
    _require_frame(data, names)
    values = {name: numbers(column(data, value, name), name) for name, value in given.items()}
    if same_length(values) != len(data):
        raise InputError(f"The columns have {same_length(values)} values for {len(data)} rows of data.")
    lacking = np.isnan(np.column_stack(list(values.values()))).any(axis=1) | data[names].isna().any(axis=1).to_numpy()
    if lacking.any():
        where = listed(data.index[lacking])
        raise DataError(f"A value of {', '.join([*values, *names])} is missing in row {where} of data: take it out.")
    groups = data.groupby(names, sort=False, observed=True)
    group, place = groups.ngroup().to_numpy(), groups.cumcount().to_numpy()
    shape = (int(group.max()) + 1, int(place.max()) + 1)
    arrays = {}
    for name, value in values.items():
        arrays[name] = np.full(shape, np.nan)
        arrays[name][group, place] = value
    return arrays, data.loc[place == 0, names]


def _require_frame(data: Any, names: list[str]) -> None:
    """Refuse what is no table with the columns that tell the sets apart."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise InputError(f"by= needs data=, a DataFrame with one row for each study, not {type(data).__name__}.")
    absent = [name for name in names if name not in data.columns]
    if absent or not names:
        raise InputError(f"by={listed(absent)} is no column of data. Columns: {', '.join(map(str, data.columns))}.")
    if len(data) == 0:
        raise InputError("No meta-analyses: data has no rows.")


def _refuse(bad: BoolArray, names: Sequence[str], what: str) -> None:
    if bad.any():
        raise DataError(f"{what}: {listed(names[int(i)] for i in np.flatnonzero(bad.any(axis=1)))}.")


def _check_effects(arrays: dict[str, FloatArray], names: Sequence[str]) -> BoolArray:
    y, v = arrays["yi"], arrays["vi"]
    here = ~np.isnan(y)
    _refuse(here == np.isnan(v), names, "Only one of yi and vi is missing; both are NaN where a study is absent")
    _refuse(np.isinf(y) | np.isinf(v), names, "yi or vi is infinite")
    _refuse(here & ~(v > 0), names, "vi must be positive")
    with np.errstate(over="ignore", invalid="ignore"):
        smallest = np.where(here, v, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        usable = (v > _SMALLEST) & (v < 1 / _SMALLEST) & (y**2 < _RANGE * smallest)
    text = (
        "yi or vi is beyond double precision (vi from 1e-90 to 1e90, yi^2 up to 1e150 times the smallest vi); rescale"
    )
    _refuse(here & ~usable, names, text)
    if "weights" in arrays:
        a = arrays["weights"]
        _refuse(here & ~((a > 0) & np.isfinite(a)), names, "weights must be positive")
    return np.asarray(here)


def _check_counts(x: FloatArray, n: FloatArray, names: Sequence[str]) -> BoolArray:
    empty = (x == 0) & (n == 0)
    here = ~np.isnan(x) & ~empty
    _refuse(np.isnan(x) != np.isnan(n), names, "Only one of events and total is missing")
    _refuse(here & (x < 0), names, "events is negative")
    _refuse(here & (n < 1), names, "total must be at least 1, or 0 with 0 events where a study is absent")
    _refuse(here & ((x != np.floor(x)) | (n != np.floor(n))), names, "events and total must be whole numbers")
    _refuse(here & (x > n), names, "events exceeds total")
    _refuse(here & (n > _LARGEST), names, "model='glmm' takes totals up to 5 million; pool the logits instead")
    return np.asarray(here)


def _packed(arrays: dict[str, FloatArray], here: BoolArray) -> dict[str, FloatArray]:
    """Studies of each set moved to the front of its row, in their order."""
    if not here.all():
        order = np.argsort(~here, axis=1, kind="stable")
        arrays = {name: np.take_along_axis(np.where(here, a, np.nan), order, axis=1) for name, a in arrays.items()}
    return arrays
