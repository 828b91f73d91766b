"""Many sets of studies, one set's numbers after another's: no room for studies that a set does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metaan.analysis.data_frames import grouped
from metaan.core.many import BoolArray
from metaan.errors import DataError, InputError, listed
from metaan.validate import FloatArray

__all__ = ["DataSets", "Padded", "read"]

IntArray = npt.NDArray[np.intp]
Chosen = slice | IntArray
Padded = tuple[dict[str, FloatArray], npt.NDArray[np.bool_] | None]
"""Numbers of shape (k, m), 0 where a study is absent, and where studies are present; None: everywhere."""

_SMALLEST: Final = 1e-90
_RANGE: Final = 1e150
_LARGEST: Final = 5e6  # beyond it rounding of the log-likelihood hides its curvature


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSets:
    """Checked numbers of n sets of studies.

    Parameters
    ----------
    arrays : dict of array of shape (m,)
        By name; the studies of a set stand together, sets in their order.
    k : array of int, shape (n,)
        Studies of each set.
    by : table or None
        Labels of the sets, of the kind that the data came in.
    """

    arrays: dict[str, FloatArray]
    k: IntArray
    by: Any

    def pieces(self, room: int) -> Iterator[Chosen]:
        """Sets of like size, in pieces of `room` numbers an array; sets without studies are left out."""
        n = self.k.size
        if n and 0 < (k := int(self.k[0])) == self.k.min() == self.k.max():
            width = max(1, room // k)
            yield from (slice(start, min(start + width, n)) for start in range(0, n, width))
            return
        order = np.argsort(self.k, kind="stable")
        order = order[self.k[order] > 0]
        size, start = self.k[order], 0
        while start < order.size:
            ahead = size[start : start + room]
            count = max(1, int(np.searchsorted(ahead * np.arange(1, ahead.size + 1), room, side="right")))
            yield order[start : start + count]
            start += count

    def take(self, sets: Chosen) -> Padded:
        """Numbers of some sets, studies first."""
        k, start = self.k[sets], self.start[sets]
        width = int(k.max())
        if isinstance(sets, slice):  # sets of one size that stand together
            rows = slice(int(start[0]), int(start[-1]) + width)
            return {name: np.ascontiguousarray(a[rows].reshape(-1, width).T) for name, a in self.arrays.items()}, None
        place = np.arange(width)[:, None]
        here = place < k
        where = np.where(here, start + place, 0)
        return {name: np.where(here, a[where], 0.0) for name, a in self.arrays.items()}, here

    @cached_property
    def start(self) -> IntArray:
        """Where each set begins."""
        return np.asarray(np.cumsum(self.k) - self.k)


Names = Callable[[BoolArray], list[str]]
"""Names of the sets to which some of the numbers belong."""


def read(given: dict[str, Any], data: Any, by: Any, *, counts: bool) -> DataSets:
    """Sets of studies from arrays of shape (n, k), or from columns of `data` with the labels `by`."""
    name: Callable[[int], str] = _row
    if by is None:
        (arrays, k), labels = _matrices(given, data, counts), None
    else:
        arrays, k, labels, name = grouped(given, data, by)
    sets = DataSets(arrays=arrays, k=k, by=labels)
    check = _check_counts if counts else _check_effects
    check(sets, lambda places: [name(int(i)) for i in np.unique(np.repeat(np.arange(k.size), k)[places])])
    return sets


def _row(i: int) -> str:
    return f"row {i}"


def _matrices(given: dict[str, Any], data: Any, counts: bool) -> tuple[dict[str, FloatArray], IntArray]:
    if data is not None:
        raise InputError("data= needs by=, the columns that tell the meta-analyses apart.")
    arrays = {name: _matrix(value, name) for name, value in given.items()}
    if len({array.shape for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} has {array.shape}" for name, array in arrays.items())
        raise InputError(f"Shapes differ: {sizes}.")
    first, second, *_ = arrays.values()
    n, k = first.shape
    if n == 0:
        raise InputError("No meta-analyses: the arrays have no rows.")
    here = ~np.isnan(first)
    lacking = here == np.isnan(second)
    if lacking.any():
        one, other = list(arrays)[:2]
        rows = listed(_row(int(i)) for i in np.flatnonzero(lacking.any(axis=1)))
        raise DataError(f"Only one of {one} and {other} is missing; both are NaN where a study is absent: {rows}.")
    if counts:
        here &= ~((first == 0) & (second == 0))
    if here.all():
        return {name: array.ravel() for name, array in arrays.items()}, np.full(n, k)
    return {name: array[here] for name, array in arrays.items()}, here.sum(axis=1)


def _matrix(value: Any, name: str) -> FloatArray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must hold numbers, in rows of one length, NaN where a study is absent.") from error
    if array.ndim != 2:
        raise InputError(
            f"{name} must be an array of shape (n, k), one row for each meta-analysis; it has {array.ndim} "
            "dimensions. For a table with one row for each study give data= and by=."
        )
    return array


def _refuse(bad: BoolArray, names: Names, what: str) -> None:
    if bad.any():
        raise DataError(f"{what}: {listed(names(bad))}.")


def _check_effects(sets: DataSets, names: Names) -> None:
    y, v, a = sets.arrays["yi"], sets.arrays["vi"], sets.arrays.get("weights")
    if a is not None and a.size and not (a.min() > 0 and a.max() < np.inf):
        _refuse(~((a > 0) & np.isfinite(a)), names, "weights must be positive")
    if y.size == 0:
        return
    least, most = float(v.min()), float(v.max())
    if least > _SMALLEST and most < 1 / _SMALLEST and max(float(y.max()), -float(y.min())) ** 2 < _RANGE * least:
        return
    _refuse(np.isinf(y) | np.isinf(v), names, "yi or vi is infinite")
    _refuse(~(v > 0), names, "vi must be positive")
    with np.errstate(over="ignore"):
        smallest = np.repeat(np.minimum.reduceat(v, sets.start[sets.k > 0]), sets.k[sets.k > 0])
        usable = (v > _SMALLEST) & (v < 1 / _SMALLEST) & (y**2 < _RANGE * smallest)
    text = (
        "yi or vi is beyond double precision (vi from 1e-90 to 1e90, yi^2 up to 1e150 times the smallest vi); rescale"
    )
    _refuse(~usable, names, text)


def _check_counts(sets: DataSets, names: Names) -> None:
    x, n = sets.arrays["events"], sets.arrays["total"]
    _refuse(x < 0, names, "events is negative")
    _refuse(~(n >= 1), names, "total must be at least 1, or 0 with 0 events where a study is absent")
    _refuse((x != np.floor(x)) | (n != np.floor(n)), names, "events and total must be whole numbers")
    _refuse(x > n, names, "events exceeds total")
    _refuse(n > _LARGEST, names, "model='glmm' takes totals up to 5 million; pool the logits instead")
