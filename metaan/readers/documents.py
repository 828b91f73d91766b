"""Tables in JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from metaan.errors import InputError, Note
from metaan.readers.grid import Cell, Grid, clipped
from metaan.readers.text import decoded
from metaan.readers.vocabulary import meaning

__all__ = ["read_json"]


class _TwiceError(ValueError):
    """A key that is there twice."""


def read_json(data: bytes, place: str) -> Grid:
    """Table of a JSON file: records in a list or one a line, columns or rows by name, or columns and rows ("split")."""
    text, _ = decoded(data, place)
    notes: list[Note] = []
    try:
        document = _parsed(text, place, notes)
    except _TwiceError as problem:
        raise InputError(f"{place}: the key {problem} is there twice in one object.") from None
    except InputError:
        raise
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{place} is no JSON ({str(problem)[:120]}).") from None
    if "\\ud" in text.casefold() and re.search("[\ud800-\udfff]", json.dumps(document, ensure_ascii=False)):
        raise InputError(f"{place} holds half of a character (\\ud800 to \\udfff), which no text may.")
    names, rows = _table(document, place, notes)
    for number, row in enumerate(rows, 1):
        for name, cell in zip(names, row, strict=False):
            if isinstance(cell, (list, dict)):
                raise InputError(f"{place}, row {number}: {name!r} holds {type(cell).__name__}, not one value.")
    return Grid([list(names), *rows], list(range(len(rows) + 1)), place, "json", named=True, notes=notes)


def _parsed(text: str, place: str, notes: list[Note]) -> Any:
    """Document of a text; records of which each has a line are a list of records (JSON Lines)."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except _TwiceError:
        raise
    except ValueError:
        lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not all(line.startswith("{") and line.endswith("}") for _, line in lines):
            raise
    notes.append(Note("json-lines", f"{len(lines)} records, each on a line of its own (JSON Lines)."))
    return [_record(line, f"{place}, line {i}") for i, line in lines]


def _record(line: str, where: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_once)
    except _TwiceError:
        raise
    except ValueError as problem:
        raise InputError(f"{where} is no JSON ({str(problem)[:120]}).") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(clipped([next(name for name in names if names.count(name) > 1)]))
    return found


def _table(document: Any, place: str, notes: list[Note]) -> tuple[list[str], list[list[Cell]]]:
    """Names of the columns and rows of a document."""
    if isinstance(document, dict):
        if {"columns", "data"} <= set(document):
            return _split(document, place)
        if isinstance(document.get("data"), list):
            return _table(document["data"], place, notes)
        if _by_row(document):
            return _rows(document, notes)
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


def _by_row(document: dict[str, Any]) -> bool:
    """Whether the keys of a document of documents are those of rows: more headings are known inside, or it counts."""
    if not document or not all(isinstance(values, dict) for values in document.values()):
        return False
    inside = list(dict.fromkeys(name for values in document.values() for name in values))
    outer, inner = _known(list(document)), _known(inside)
    counted = all(key.isdecimal() for key in document) and not all(key.isdecimal() for key in inside)
    return inner > outer or (inner == outer and counted)


def _known(names: list[str]) -> int:
    lower = frozenset(name.casefold() for name in names)
    return sum(meaning(name, lower) is not None for name in names)


def _rows(document: dict[str, Any], notes: list[Note]) -> tuple[list[str], list[list[Cell]]]:
    """Rows by name, as pandas writes them with orient="index"; names that count the rows are no column."""
    names = list(dict.fromkeys(name for record in document.values() for name in record))
    rows = [[record.get(name) for name in names] for record in document.values()]
    if all(key.isdecimal() for key in document):
        notes.append(Note("index", "The keys number the rows and are left out."))
        return names, rows
    labels = "study" if "study" not in names else "index"
    notes.append(Note("index", f"The keys are those of rows; they are taken for a column {labels!r}."))
    return [labels, *names], [[key, *row] for key, row in zip(document, rows, strict=True)]


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
