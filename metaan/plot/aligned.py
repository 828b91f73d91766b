"""Tables with the same rows, so that their figures can stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BODY", "Key", "aligned", "is_bars", "keys_of"]

BODY: Final = ("study", "pooled", "prediction")
Key = tuple[str, str, int]
"""What tells the rows of a table apart: the kind, the label of a study, and which of that kind and label it is."""


def is_bars(table: pd.DataFrame) -> bool:
    """Whether a table holds pieces of stacked bars, and not the rows of a forest plot."""
    return "category" in table.columns


def aligned(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The same rows in every table: all studies, then as many summaries as the table with most of them has.

    Tables of bars stay as they are: their pieces are found by the keys of their rows.
    """
    keys = {heading: keys_of(table) for heading, table in tables.items()}
    order = list(dict.fromkeys(key for kind in BODY for own in keys.values() for key in own if key[0] == kind))
    labels: dict[Key, str] = {}
    for heading, table in tables.items():
        for key, label in zip(keys[heading], _heads(table)["study"], strict=True):
            labels.setdefault(key, str(label))
    return {
        heading: table if is_bars(table) else _spread(table, keys[heading], order, labels)
        for heading, table in tables.items()
    }


def _heads(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each bar: its first piece."""
    return table[table["category"] == table["category"].iloc[0]] if is_bars(table) else table


def keys_of(table: pd.DataFrame) -> list[Key]:
    """Key of each row; of a table of bars, that of each bar."""
    table = _heads(table)
    seen: Counter[tuple[str, str]] = Counter()
    keys: list[Key] = []
    for kind, label in zip(table["row"].astype(str), table["study"].astype(str), strict=True):
        name = (kind, label if kind == "study" else "")
        keys.append((*name, seen[name]))
        seen[name] += 1
    return keys


def _spread(
    table: pd.DataFrame,
    keys: list[Key],
    order: list[Key],
    labels: Mapping[Key, str],
) -> pd.DataFrame:
    """A table with the rows of all, its own lines of text after them."""
    import pandas as pd

    where = {key: i for i, key in enumerate(keys)}
    body = table.iloc[[where[key] for key in order if key in where]]
    body = body.set_index(pd.Index([i for i, key in enumerate(order) if key in where])).reindex(range(len(order)))
    body["row"] = [key[0] for key in order]
    body["study"] = [labels[key] for key in order]
    body[["level", "scale"]] = table[["level", "scale"]].iloc[0].to_numpy()
    text = table[~table["row"].isin(BODY)]
    joined = pd.concat([body.astype(table.dtypes), text], ignore_index=True)
    joined.attrs = dict(table.attrs)
    return joined
