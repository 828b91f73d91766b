"""Tables made or changed by hand: refused in words where a figure could not be drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import InputError, OptionError, listed
from metaan.validate import FloatArray, forbid, numbers, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ANY", "POSITIVE", "SCALES", "SHARE", "checked", "named_columns", "once_only", "one_of", "whether"]

ANY: Final = (-1e100, 1e100)  # what an axis can hold
POSITIVE: Final = (1e-100, 1e100)
SHARE: Final = (0.0, 1.0)
SCALES: Final = ("effect", "rate", "ratio", "amount")
_NEAR: Final = 1e-9  # rounding errors of shares
_AGAIN: Final = "start from the table that metaan.plot made of the result"


def checked(
    table: pd.DataFrame, finite: Mapping[str, tuple[float, float]], *, free: Sequence[str] = (),
    flags: Sequence[str] = (), attrs: Sequence[str] = (), together: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """Return the table with its numbers as floats; raise InputError where it cannot be drawn.

    Columns of `finite` hold a number within their limits in each row; those of `free`, where they stand, any number
    or none; those of `flags` True or False. `attrs` are finite numbers where they stand; of `together` all stand or
    none does.
    """
    once_only(table, "The table")
    require_columns(table, list(finite), "The table")
    own = {name: numbers(table[name], name) for name in (*finite, *free) if name in table.columns}
    rows = [str(name) for name in (table["study"] if "study" in table.columns else table.index)]
    for name, limits in finite.items():
        _within(name, own[name], limits, rows)
    unclear = [name for name in flags if not table[name].isin([True, False]).all()]
    if unclear:
        raise InputError(f"{listed(unclear)} must hold True or False in each row of the table.")
    _numeric(table.attrs, attrs, together)
    return table.assign(**own, **{name: table[name].astype(bool) for name in flags})


def once_only(frame: pd.DataFrame, name: str) -> None:
    """Refuse a frame with two columns of one name."""
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        raise InputError(f"{name} has several columns {listed(map(str, twice))}: leave one of each.")


def _within(name: str, values: FloatArray, limits: tuple[float, float], rows: Sequence[str]) -> None:
    low, high = limits
    spare = _NEAR if limits == SHARE else 0.0
    wrong = ~((values >= low - spare) & (values <= high + spare))
    what = {ANY: "a finite number", POSITIVE: "a finite number above 0"}.get(limits, f"from {low:g} to {high:g}")
    forbid(wrong, rows, f"{name} must be {what} in each row of the table", [values])


def _numeric(given: Mapping[Any, Any], attrs: Sequence[str], together: Sequence[str]) -> None:
    absent = [name for name in together if name not in given]
    if absent and len(absent) < len(together):
        raise InputError(f"The table has lost its attrs {listed(absent)}: {_AGAIN}.")
    for name in (*attrs, *together):
        if name in given and not _is_number(given[name]):
            raise InputError(f"attrs[{name!r}] of the table is {given[name]!r}, no finite number: {_AGAIN}.")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return abs(float(value)) <= ANY[1]


def whether(name: str, value: object) -> None:
    """Refuse an option that is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name}={value!r} must be True or False.")


def named_columns(**given: object) -> None:
    """Refuse options that are to name a column and are no text."""
    wrong = [name for name, value in given.items() if not isinstance(value, str)]
    if wrong:
        raise OptionError(f"{wrong[0]}={given[wrong[0]]!r} must be the name of a column.")


def one_of(table: pd.DataFrame, attr: str, choices: Sequence[str]) -> None:
    """Refuse an attribute that stands but is none of the choices."""
    value = table.attrs.get(attr, choices[0])
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"attrs[{attr!r}] of the table is {value!r}, not one of {', '.join(choices)}: {_AGAIN}.")
