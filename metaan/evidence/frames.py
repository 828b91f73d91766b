"""Reading columns of a frame in hand, which may have been changed since it was loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from metaan.errors import DataError, shown
from metaan.names import RECORD
from metaan.validate import is_missing, numbers, single_columns

__all__ = ["cleaned", "noted"]

_LARGEST = 1e15  # whole numbers up to here are exact in double precision


def cleaned(
    trials: pd.DataFrame, *, texts: Iterable[str] = (), counts: Iterable[str] = (), whole: bool = True
) -> pd.DataFrame:
    """The frame with its columns of text as str ("" where missing) and its counts as Int64; refuses what is neither.

    Columns that the frame does not have are passed over. ``whole=False``: counts may be fractions, as float64.
    """
    texts, counts = ([name for name in names if name in trials.columns] for names in (texts, counts))
    single_columns(trials, [*texts, *counts], "trials")
    read = {name: _texts(trials[name], name) for name in texts}
    read |= {name: _counts(trials[name], name, whole=whole) for name in counts}
    return trials.assign(**read)


def _texts(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    values = column.tolist()
    for i, value in enumerate(values):
        if isinstance(value, str):
            continue
        if not is_missing(value):
            raise DataError(f"{name} of the trials holds {shown(value)} in row {i + 1}, which is no text.")
        values[i] = ""
    return pd.Series(values, index=column.index, dtype="str")


def _counts(column: pd.Series[Any], name: str, *, whole: bool) -> pd.Series[Any]:
    array = numbers(column, name)
    wrong = np.isinf(array) | (array < 0) | (array > _LARGEST) | (whole & (np.floor(array) < array))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        what = "a whole number" if whole else "a number"
        raise DataError(
            f"{name} of the trials holds {array[place]:g} in row {place + 1}; it must be {what}, 0 or more."
        )
    return pd.Series(array, index=column.index).astype("Int64" if whole else "float64")


def noted(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Notes in the record of a frame; none where it has no record that can be read."""
    record = trials.attrs.get(RECORD)
    notes = record.get("notes") if isinstance(record, Mapping) else None
    return [note for note in notes if _is_note(note)] if isinstance(notes, (list, tuple)) else []


def _is_note(note: Any) -> bool:
    return (
        isinstance(note, Mapping)
        and isinstance(note.get("code"), str)
        and isinstance(note.get("text"), str)
        and isinstance(note.get("studies"), (list, tuple))
    )
