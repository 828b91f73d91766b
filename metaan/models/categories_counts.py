"""Response categories as `metaan.categories` takes them: counts of each, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from metaan.errors import InputError, Note, shown
from metaan.measures.columns import one_unit
from metaan.measures.record import complete
from metaan.validate import MISSING, FloatArray, check_frame, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "read_counts"]

_LARGEST: Final = 5e6


class Counts(NamedTuple):
    """Checked counts (k, C) of the categories."""

    names: tuple[str, ...]
    x: FloatArray
    study: tuple[str, ...]
    data: pd.DataFrame | None
    notes: tuple[Note, ...]


def read_counts(data: Any, columns: Any, study: Any, missing: str) -> Counts:
    """Counts of a table or of arrays; `metaan.evidence` has rows of single outcomes, which become columns."""
    MISSING.check(missing)
    check_frame(data)
    said: tuple[Note, ...] = ()
    if data is not None and _is_long(data, columns):
        from metaan.evidence.categories import response_table

        data = response_table(data)
    if data is not None and study is None and "study" in data.columns:
        study = "study"
    if isinstance(columns, str) or not isinstance(columns, (Mapping, Sequence)) or len(columns) < 2:
        raise InputError("columns must be at least two names of columns, or a mapping of names to counts.")
    given = _categories(columns)
    arrays = {name: numbers(column(data, value, name), name) for name, value in given.items()}
    if len(arrays) < len(columns):
        raise InputError("columns names a category twice.")
    k = same_length(arrays)
    arrays, names, rows, notes = complete(arrays, labels(column(data, study, "study"), k), data, missing)
    one_unit(rows)
    for name, count in arrays.items():
        forbid(count < 0, names, f"{name} is negative", [count])
        forbid(count != np.floor(count), names, f"{name} must be a whole number", [count])
    x = np.stack(list(arrays.values()), axis=1)
    total = x.sum(axis=1)
    forbid(total < 1, names, "the categories sum to 0")
    forbid(total > _LARGEST, names, "the categories sum to more than 5 million", [total])
    if rows is not None:
        from metaan.evidence.frames import noted

        codes = {"left-out", "remainder", "evaluable", "overlaps"}
        said = tuple(Note(n["code"], n["text"], tuple(n["studies"])) for n in noted(rows) if n["code"] in codes)
    return Counts(tuple(arrays), x, names, rows, notes + said)


_WHOLES: Final = {
    "or": ("cr", "pr"), "objective_response": ("complete_response", "partial_response"),
    "nr": ("sd", "pd"), "no_response": ("stable_disease", "progressive_disease"),
}  # fmt: skip


def _categories(columns: Mapping[Any, Any] | Sequence[Any]) -> dict[str, Any]:
    """Columns by the name of their category; refuses a sum beside its parts, whose patients would count twice."""
    names = list(columns)
    if not all(isinstance(name, (str, int, np.integer)) for name in names):
        raise InputError(f"columns={shown(columns)} must be names of columns, or a mapping of names to counts.")
    named = {str(name): columns[name] if isinstance(columns, Mapping) else name for name in names}
    for whole, parts in _WHOLES.items():
        within = [part for part in parts if part in named]
        if whole in named and within:
            raise InputError(
                f"columns holds {whole!r}, which contains {' and '.join(map(repr, within))}: categories must exclude "
                f"each other. Take {whole!r} or {' and '.join(map(repr, parts))}."
            )
    return named


def _is_long(data: Any, columns: Any) -> bool:
    """Rows of single outcomes instead of a column for each category."""
    absent = not isinstance(columns, Mapping) and not set(map(str, columns)) <= set(map(str, data.columns))
    return absent and {"outcome", "events", "total"} <= set(data.columns)
