"""Columns of the caller's choice beside a forest plot, and the order of its studies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metaan.errors import OptionError, listed
from metaan.names import COLUMNS as VOCABULARY
from metaan.plot.forest_rows import Positions, Shown
from metaan.validate import Option

__all__ = ["SORT", "add_columns", "closest", "column_of", "plain_text", "ranked", "unknown"]

SORT: Final = Option(
    "sort",
    {
        "label": "alphabetically by study label",
        "estimate": "lowest estimate first",
        "weight": "largest weight first",
        "total": "largest study first",
    },
    "label",
)
_USUAL: Final = ("study", "events", "total", "estimate", "weight")  # columns with headings of their own
_HIDDEN: Final = ("row", "level", "scale", "group")  # of the table, and nothing to show


def closest(value: object, known: Iterable[object]) -> str:
    """Hint at the name that looks most alike, empty where none does."""
    folded = {str(name).casefold(): str(name) for name in known}
    close = difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def unknown(option: str, value: object, known: Iterable[object], what: str) -> OptionError:
    """Complaint about a name that is not there, with those that are and the closest."""
    names = list(known)
    return OptionError(
        f"{option}: {value!r} is not {what}. There {'is' if len(names) == 1 else 'are'} "
        f"{listed(names, 12) or 'none'}.{closest(value, names)}"
    )


def column_of(shown: Shown, name: str, option: str) -> Any:
    """Values of a column of the table, else of the data behind the effects."""
    if name in shown.studies.columns:
        return shown.studies[name]
    data = shown.data
    if data is not None and name in data.columns:
        return data[name]
    known = [*shown.studies.columns, *([] if data is None else map(str, data.columns))]
    raise unknown(option, name, dict.fromkeys(known), "a column of the table or of the data behind the effects")


def heads(name: str) -> str:
    """Heading of a column that has none of its own."""
    column = VOCABULARY.get(name)
    words = str(name).replace("_", " ").strip() if column is None else column.symbol
    heading = words[:1].upper() + words[1:]
    return f"{heading}, %" if column is not None and column.unit == "%" else heading


def add_columns(shown: Shown, side: str, asked: Any) -> None:
    """Add the columns of one side to the studies, and their order and headings to the attrs."""
    if asked is None:
        return
    headings, names = dict(shown.attrs.get("headings", {})), []
    for heading, value in _items(side, asked):
        named = isinstance(value, str)
        if named and value in shown.studies:
            name = value
        else:
            values = plain_column(column_of(shown, value, side) if named else _values(shown, heading, value, side))
            name = _free(shown, value if named else heading, values)
            shown.studies[name] = values
        if heading or name not in _USUAL:
            headings[name] = heading or headings.get(name) or heads(name)
        names.append(name)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise OptionError(f"{side} names {listed(twice)} more than once.")
    if side == "left" and "study" not in names:
        names.insert(0, "study")
    shown.attrs[side] = names
    if headings:
        shown.attrs["headings"] = headings


def _free(shown: Shown, name: str, values: npt.NDArray[Any]) -> str:
    """Name under which a column is kept: not one that the table has for something else."""
    taken = {*_HIDDEN, *shown.studies.columns, *(_USUAL if values.dtype == object else ())}
    while name in taken:
        name += " "
    return name


def _items(side: str, asked: Any) -> list[tuple[str, Any]]:
    """Heading (empty for that of the column) and column, or values, of each entry."""
    if isinstance(asked, Mapping):
        return [(str(heading), value) for heading, value in asked.items()]
    if isinstance(asked, str) or not isinstance(asked, Iterable):
        raise OptionError(f"{side}={asked!r} must be a list of columns, or a dict of heading: column or values.")
    made: list[tuple[str, Any]] = []
    for entry in asked:
        if isinstance(entry, Mapping):
            made += _items(side, entry)
        elif isinstance(entry, str):
            made.append(("", entry))
        else:
            raise OptionError(f"{side} holds {entry!r}, which is no name: values take a heading, {{heading: values}}.")
    return made


def _values(shown: Shown, heading: str, value: Any, side: str) -> npt.NDArray[Any]:
    """Values of the caller, one for each study."""
    k = len(shown.studies)
    if not hasattr(value, "__len__") or isinstance(value, (bytes, Mapping)):
        raise OptionError(f"{side}: {heading!r} must be the name of a column or one value for each of {k} studies.")
    if len(value) != k:
        raise OptionError(f"{side}: {heading!r} has {len(value)} values for {k} studies.")
    return np.asarray(value, dtype=object)


def plain_column(values: Any) -> npt.NDArray[Any]:
    """Numbers as floats, anything else as text; missing values NaN, or blank."""
    import pandas as pd

    given = [value for value in values if not pd.isna(value)]
    if given and all(isinstance(value, Number) and not isinstance(value, bool | np.bool_) for value in given):
        return np.array([np.nan if pd.isna(value) else float(value) for value in values], dtype=np.float64)
    return np.array(plain_text(values), dtype=object)


def plain_text(values: Iterable[Any]) -> list[str]:
    """Values as a reader writes them, blank where missing."""
    import pandas as pd

    return ["" if pd.isna(value) else _text(value) for value in values]


def _text(value: Any) -> str:
    """A value as a reader writes it: dates without the time of day."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if hasattr(value, "normalize") and value == value.normalize():
        return str(value.date())
    return " ".join(str(value).split())


def ranked(shown: Shown, sort: Any) -> Positions:
    """Positions of the studies in the order asked for."""
    if sort is None:
        return np.arange(len(shown.studies))
    if not isinstance(sort, str):
        return _explicit(shown, sort)
    studies = shown.studies
    if sort == "label":
        return np.argsort(studies["study"].str.casefold().to_numpy(dtype=str), kind="stable")
    if sort in SORT.choices:
        values = _total(shown) if sort == "total" else studies.get(sort)
        if values is None:
            raise OptionError(f"sort={sort!r} needs {sort}s, and these studies have none. Choose label or estimate.")
        sign = 1 if sort == "estimate" else -1
        return np.argsort(sign * np.asarray(values, dtype=np.float64), kind="stable")
    return _by_column(shown, sort)


def _total(shown: Shown) -> Any:
    """Size of each study: its total, or that of its arms."""
    studies, data = shown.studies, shown.data
    if "total" in studies:
        return studies["total"]
    arms = [name for name in studies if str(name).split("_")[0] in ("total", "n", "time")]
    if arms:
        return studies[arms].sum(axis=1)
    if data is not None and "total" in data:
        return data["total"]
    text = "sort='total' needs totals, and these studies have none. Choose label, estimate or weight."
    raise OptionError(text)


def _by_column(shown: Shown, sort: str) -> Positions:
    """Order by a column of the data, lowest first; studies without a value come last."""
    import pandas as pd

    data = shown.data
    columns = [] if data is None else list(map(str, data.columns))
    if sort not in shown.studies.columns and sort not in columns:
        beside = f" or {listed(columns, 12)}, columns of the data" if columns else ""
        known = [*SORT.choices, *columns]
        raise OptionError(
            f"sort={sort!r} is not known. Choose one of {', '.join(SORT.choices)}{beside}, or give a list of labels."
            f"{closest(sort, known)}"
        )
    values = pd.Series(column_of(shown, sort, "sort").array)
    try:
        return values.reset_index(drop=True).sort_values(kind="stable", na_position="last").index.to_numpy(np.intp)
    except TypeError as error:
        raise OptionError(f"sort={sort!r} holds values that cannot be compared, such as numbers and text.") from error


def _explicit(shown: Shown, sort: Any) -> Positions:
    """Order of a list of labels, each study once."""
    if not isinstance(sort, (Sequence, np.ndarray)) and not hasattr(sort, "tolist"):
        raise OptionError(f"sort={sort!r} is not known. Choose one of {', '.join(SORT.choices)}, or a list of labels.")
    labels = [str(label) for label in sort]
    have = list(shown.studies["study"])
    places: dict[str, list[int]] = {}
    for i, label in enumerate(have):
        places.setdefault(str(label), []).append(i)
    made = []
    for label in labels:
        if label not in places:
            raise unknown("sort", label, places, "the label of a study")
        if not places[label]:
            raise OptionError(f"sort names {label!r} more often than there are studies of this label.")
        made.append(places[label].pop(0))
    left = [label for label, rows in places.items() for _ in rows]
    if left:
        raise OptionError(f"sort leaves out {listed(left)}: name every study once.")
    return np.array(made, dtype=np.intp)
