"""Reading the columns from which an effect size is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import DataError, Note, OptionError
from metaan.measures.record import complete
from metaan.validate import MISSING, FloatArray, column, forbid, labels, numbers, same_length, single_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "forbid_counts", "one_unit", "read", "require"]


_LARGEST = 1e60  # whose square and variance can still be reckoned with


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Checked columns of k studies: the values by name, each of shape (k,), and what they came with."""

    values: dict[str, FloatArray]
    study: tuple[str, ...]
    data: pd.DataFrame | None
    notes: tuple[Note, ...]

    def __getitem__(self, name: str) -> FloatArray:
        return self.values[name]


def read(names: tuple[str, ...], data: Any, given: dict[str, Any], study: Any, missing: str) -> Columns:
    """Read columns of numbers; a missing value raises or drops its study."""
    MISSING.check(missing)
    arrays = {name: numbers(column(data, given[name], name), name) for name in names}
    k = same_length(arrays)
    arrays, study_names, rows, notes = complete(arrays, labels(column(data, study, "study"), k), data, missing)
    one_unit(rows)
    for name, array in arrays.items():
        forbid(np.abs(array) > _LARGEST, study_names, f"{name} is beyond double precision; rescale", [array])
    return Columns(values=arrays, study=study_names, data=rows, notes=notes)


def one_unit(rows: pd.DataFrame | None) -> None:
    """Refuse patients and lesions in one analysis: their rates answer different questions."""
    if rows is None or "unit" not in getattr(rows, "columns", ()):
        return
    single_columns(rows, ["unit"])
    units = {unit for unit in rows["unit"].tolist() if isinstance(unit, str)} & {"patient", "lesion"}
    if len(units) > 1:
        raise DataError(
            "The rows count patients and lesions: pool one unit at a time, e.g. data[data.unit == 'patient']."
        )


def require(measure: str, needed: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse columns that a measure does not take, and the absence of those that it needs."""
    beside = [name for name in given if name not in needed]
    if not beside and all(given.get(name) is not None for name in needed):
        return
    names = (" and " if len(needed) == 2 else ", ").join(f"{name}=" for name in needed)
    told = f" It does not take {', '.join(beside)}." if beside else ""
    raise OptionError(f"measure={measure!r} needs {names}.{told}")


def forbid_counts(columns: Columns, events: str, total: str) -> None:
    """Refuse counts that cannot be: negative, fractional, more events than there are patients."""
    x, n, names = columns[events], columns[total], columns.study
    forbid(x < 0, names, f"{events} is negative", [x])
    forbid(n < 1, names, f"{total} must be at least 1", [n])
    forbid(x != np.floor(x), names, f"{events} must be a whole number", [x])
    forbid(n != np.floor(n), names, f"{total} must be a whole number", [n])
    forbid(x > n, names, f"{events} exceeds {total}", [x, n])
