"""Tables in JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from metaan.errors import InputError
from metaan.readers.grid import Cell, Grid, clipped
from metaan.readers.text import decoded

__all__ = ["read_json"]


class _TwiceError(ValueError):
    """A key that is there twice."""


def read_json(data: bytes, place: str) -> Grid:
    """Table of a JSON file: a list of records, columns by name, or columns and rows ("split")."""
    text, _ = decoded(data, place)
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except _TwiceError as problem:
        raise InputError(f"{place}: the key {problem} is there twice in one object.") from None
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{place} is no JSON ({str(problem)[:120]}).") from None
    if "\\ud" in text.casefold() and re.search("[\ud800-\udfff]", json.dumps(document, ensure_ascii=False)):
        raise InputError(f"{place} holds half of a character (\\ud800 to \\udfff), which no text may.")
    names, rows = _table(document, place)
    for number, row in enumerate(rows, 1):
        for name, cell in zip(names, row, strict=False):
            if isinstance(cell, (list, dict)):
                raise InputError(f"{place}, row {number}: {name!r} holds {type(cell).__name__}, not one value.")
    return Grid([list(names), *rows], list(range(len(rows) + 1)), place, "json", named=True)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(clipped([next(name for name in names if names.count(name) > 1)]))
    return found


def _table(document: Any, place: str) -> tuple[list[str], list[list[Cell]]]:
    """Names of the columns and rows of a document."""
    if isinstance(document, dict):
        if {"columns", "data"} <= set(document):
            return _split(document, place)
        if isinstance(document.get("data"), list):
            return _table(document["data"], place)
        return _columns(document, place)
    if isinstance(document, list) and document and all(isinstance(record, dict) for record in document):
        names = list(dict.fromkeys(name for record in document for name in record))
        return names, [[record.get(name) for name in names] for record in document]
    _refuse(document, place)


def _refuse(document: Any, place: str) -> NoReturn:
    held = (
        f"a list of {type(document[0]).__name__}"
        if isinstance(document, list) and document
        else type(document).__name__
    )
    raise InputError(
        f'{place} holds {held}, not a table. A table is a list of records [{{"study": ..., "events": ...}}, ...], '
        'columns {"study": [...], "events": [...]}, or {"columns": [...], "data": [[...], ...]}.'
    )


def _split(document: dict[str, Any], place: str) -> tuple[list[str], list[list[Cell]]]:
    names, rows = document["columns"], document["data"]
    good = isinstance(names, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    if not good or not all(isinstance(name, str) for name in names):
        _refuse(document, place)
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise InputError(f"{place}, row {number}: {len(row)} values for {len(names)} columns.")
    return list(names), [list(row) for row in rows]


def _columns(document: dict[str, Any], place: str) -> tuple[list[str], list[list[Cell]]]:
    """Columns by name; each a list, or values by row as pandas writes them."""
    if document and all(isinstance(values, dict) for values in document.values()):
        keys = list(dict.fromkeys(key for values in document.values() for key in values))
        return list(document), [[values.get(key) for values in document.values()] for key in keys]
    if not document or not all(isinstance(values, list) for values in document.values()):
        _refuse(document, place)
    lengths = {name: len(values) for name, values in document.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{clipped([name])} has {length}" for name, length in list(lengths.items())[:12])
        raise InputError(f"{place}: columns of different lengths: {told}.")
    return list(document), [list(row) for row in zip(*document.values(), strict=True)]
