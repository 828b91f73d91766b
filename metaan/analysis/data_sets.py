"""Many sets of studies, read and checked; handed out in pieces of like size, with no room for studies not there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.analysis.data_frames import grouped
from metaan.core.many import BoolArray
from metaan.errors import DataError, InputError, listed
from metaan.validate import FloatArray

__all__ = ["DataSets", "Piece", "Rows", "read"]

IntArray = npt.NDArray[np.intp]
Chosen = slice | IntArray
Matrices = dict[str, npt.NDArray[Any]]

_SMALLEST: Final = 1e-90
_RANGE: Final = 1e150
_LARGEST: Final = 5e6  # beyond it rounding of the log-likelihood hides its curvature
_CHECKED: Final = 100_000  # numbers in an array that are checked at a time: they stay in the processor's cache
_BLOCK: Final = 1_000_000  # numbers in an array among which sets of like size are sought


class Piece(NamedTuple):
    """Some of the sets."""

    sets: Chosen
    arrays: dict[str, FloatArray]
    """Numbers of shape (k, m), 0 where a study is absent."""
    here: BoolArray | None
    """Where studies are present, shape (k, m); None: everywhere."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSets:
    """Numbers of n sets of studies, one set after another.

    Parameters
    ----------
    arrays : dict of array of shape (m,)
        By name.
    k : array of int, shape (n,)
        Studies of each set.
    order : array of int, shape (m,), optional
        Where in the arrays the studies of the first set are, then those of the second; they stand so by default.
    by : table or None
        Labels of the sets, of the kind that the data came in.
    names : callable
        Names of sets, by their numbers.
    """

    arrays: dict[str, FloatArray]
    k: IntArray
    order: npt.NDArray[np.integer] | None = None
    by: Any = None
    names: Callable[[IntArray], list[str]]

    def pieces(self, room: int) -> Iterator[Piece]:
        """Sets of like size, with at most `room` numbers in an array; sets without studies are left out."""
        n = self.k.size
        if 0 < (k := int(self.k[0])) == self.k.min() == self.k.max():
            width = max(1, room // k)
            yield from (self._square(slice(start, min(start + width, n)), k) for start in range(0, n, width))
            return
        chosen = np.argsort(self.k, kind="stable")
        chosen = chosen[self.k[chosen] > 0]
        size, start = self.k[chosen], 0
        while start < chosen.size:
            ahead = size[start : start + room]
            count = max(1, int(np.searchsorted(ahead * np.arange(1, ahead.size + 1), room, side="right")))
            yield self._padded(chosen[start : start + count])
            start += count

    def _square(self, sets: slice, k: int) -> Piece:
        """Sets of one size that stand together."""
        rows = slice(sets.start * k, sets.stop * k)
        arrays = {name: np.ascontiguousarray(self._at(a, rows).reshape(-1, k).T) for name, a in self.arrays.items()}
        return Piece(sets, arrays, None)

    def _padded(self, sets: IntArray) -> Piece:
        k = self.k[sets]
        place = np.arange(k.max())[:, None]
        here = place < k
        where = np.where(here, self._start[sets] + place, 0)
        return Piece(sets, {name: np.where(here, self._at(a, where), 0.0) for name, a in self.arrays.items()}, here)

    def _at(self, a: FloatArray, where: slice | IntArray) -> FloatArray:
        return a[where] if self.order is None else a[self.order[where]]

    def in_order(self) -> DataSets:
        """The same with the numbers where `order` has them."""
        arrays = {name: self._at(a, slice(None)) for name, a in self.arrays.items()}
        return DataSets(arrays=arrays, k=self.k, by=self.by, names=self.names)

    def smallest(self, name: str) -> FloatArray:
        """The smallest number of the own set for each study; the sets stand in order."""
        some = self.k > 0
        return np.repeat(np.minimum.reduceat(self.arrays[name], self._start[some]), self.k[some])

    def refuse(self, bad: BoolArray, what: str) -> None:
        """DataError with the names of the sets that have a `bad` study, shape (m,)."""
        if bad.any():
            bad = bad if self.order is None else bad[self.order]
            sets = np.unique(np.repeat(np.arange(self.k.size), self.k)[bad])
            raise DataError(f"{what}: {listed(self.names(sets))}.")

    @cached_property
    def _start(self) -> IntArray:
        return np.asarray(np.cumsum(self.k) - self.k)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Sets of studies in the rows of arrays of shape (n, k), NaN where a study is absent: never copied as a whole.

    Parameters
    ----------
    arrays : dict of array of shape (n, k)
        By name.
    counts : bool
        Whether they are counts; a study of 0 patients is absent.
    k : array of int, shape (n,)
        Studies of each set.
    """

    arrays: Matrices
    counts: bool
    k: IntArray
    by: None = None

    def pieces(self, room: int) -> Iterator[Piece]:
        """As those of `DataSets`, of a block of rows at a time."""
        for rows in _blocks(self.arrays, max(_BLOCK, room)):
            for piece in self._sets(rows).pieces(room):
                at, start = piece.sets, rows.start
                moved = slice(at.start + start, at.stop + start) if isinstance(at, slice) else at + start
                yield piece._replace(sets=moved)

    def _sets(self, rows: slice) -> DataSets:
        arrays, k = _part(self.arrays, rows), self.k[rows]
        if k.min() == next(iter(arrays.values())).shape[1]:
            return DataSets(arrays={name: array.ravel() for name, array in arrays.items()}, k=k, names=_names)
        here = _here(arrays, self.counts)
        return DataSets(arrays={name: array[here] for name, array in arrays.items()}, k=k, names=_names)


def read(given: dict[str, Any], data: Any, by: Any, *, counts: bool) -> DataSets | Rows:
    """Sets of studies from arrays of shape (n, k), or from columns of `data` with the labels `by`."""
    if by is None:
        if data is not None:
            raise InputError("data= needs by=, the columns that tell the meta-analyses apart.")
        matrices = _matrices(given)
        return Rows(arrays=matrices, counts=counts, k=_sizes(matrices, counts))
    arrays, groups = grouped(given, data, by)
    sets = DataSets(arrays=arrays, k=groups.k, order=groups.order, by=groups.labels, names=groups.names)
    (_check_counts if counts else _check_effects)(sets)
    return sets


def _blocks(arrays: Matrices, room: int) -> Iterator[slice]:
    n, k = next(iter(arrays.values())).shape
    width = max(1, room // max(k, 1))
    return (slice(start, min(start + width, n)) for start in range(0, n, width))


def _part(arrays: Matrices, rows: slice) -> dict[str, FloatArray]:
    return {name: np.asarray(array[rows], dtype=np.float64) for name, array in arrays.items()}


def _sizes(arrays: Matrices, counts: bool) -> IntArray:
    """Studies of each row, all of which are checked."""
    try:
        return np.concatenate([_checked(_part(arrays, rows), counts) for rows in _blocks(arrays, _CHECKED)])
    except DataError:
        _checked(_part(arrays, slice(None)), counts)  # for the names of all rows
        raise


def _checked(arrays: dict[str, FloatArray], counts: bool) -> IntArray:
    if not counts and _sound(arrays):
        n, k = arrays["yi"].shape
        return np.full(n, k)
    one, other, *_ = arrays
    lacking = np.isnan(arrays[one]) != np.isnan(arrays[other])
    if lacking.any():
        where = listed(_names(np.flatnonzero(lacking.any(axis=1))))
        raise DataError(f"Only one of {one} and {other} is missing; both are NaN where a study is absent: {where}.")
    here = _here(arrays, counts)
    sets = DataSets(arrays={name: array[here] for name, array in arrays.items()}, k=here.sum(axis=1), names=_names)
    (_check_counts if counts else _check_effects)(sets)
    return sets.k


def _here(arrays: dict[str, FloatArray], counts: bool) -> BoolArray:
    """Where studies are present."""
    first, second, *_ = arrays.values()
    here = ~np.isnan(first)
    return here & ~((first == 0) & (second == 0)) if counts else here


def _names(rows: IntArray) -> list[str]:
    return [f"row {i}" for i in rows.tolist()]


def _matrices(given: dict[str, Any]) -> Matrices:
    arrays = {name: _matrix(value, name) for name, value in given.items()}
    if len({array.shape for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} has {array.shape}" for name, array in arrays.items())
        raise InputError(f"Shapes differ: {sizes}.")
    if next(iter(arrays.values())).shape[0] == 0:
        raise InputError("No meta-analyses: the arrays have no rows.")
    return arrays


def _matrix(value: Any, name: str) -> npt.NDArray[Any]:
    try:
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(np.float64), np.nan)
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must hold numbers, in rows of one length, NaN where a study is absent.") from error
    if array.ndim != 2:
        raise InputError(
            f"{name} must be an array of shape (n, k), one row for each meta-analysis; it has {array.ndim} "
            "dimensions. For a table with one row for each study give data= and by=."
        )
    return array


def _sound(arrays: dict[str, FloatArray]) -> bool:
    """Whether no number is missing, infinite or out of range, in one look at each; False may be wrong."""
    y, v, a = arrays["yi"], arrays["vi"], arrays.get("weights")
    if y.size == 0 or (a is not None and not (a.min() > 0 and a.max() < np.inf)):
        return False
    least, most = float(v.min()), float(v.max())
    far = max(float(y.max()), -float(y.min()))
    return least > _SMALLEST and most < 1 / _SMALLEST and far < math.sqrt(_RANGE * least)


def _check_effects(sets: DataSets) -> None:
    if _sound(sets.arrays) or sets.arrays["yi"].size == 0:
        return
    sets = sets.in_order()
    y, v, a = sets.arrays["yi"], sets.arrays["vi"], sets.arrays.get("weights")
    if a is not None:
        sets.refuse(~((a > 0) & np.isfinite(a)), "weights must be positive")
    sets.refuse(np.isinf(y) | np.isinf(v), "yi or vi is infinite")
    sets.refuse(~(v > 0), "vi must be positive")
    with np.errstate(over="ignore"):
        usable = (v > _SMALLEST) & (v < 1 / _SMALLEST) & (y**2 < _RANGE * sets.smallest("vi"))
    text = (
        "yi or vi is beyond double precision (vi from 1e-90 to 1e90, yi^2 up to 1e150 times the smallest vi); rescale"
    )
    sets.refuse(~usable, text)


def _check_counts(sets: DataSets) -> None:
    x, n = sets.arrays["events"], sets.arrays["total"]
    sets.refuse(x < 0, "events is negative")
    sets.refuse(~(n >= 1), "total must be at least 1, or 0 with 0 events where a study is absent")
    sets.refuse((x != np.floor(x)) | (n != np.floor(n)), "events and total must be whole numbers")
    sets.refuse(x > n, "events exceeds total")
    sets.refuse(n > _LARGEST, "model='glmm' takes totals up to 5 million; pool the logits instead")
