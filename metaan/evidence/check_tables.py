"""Tables of a folder encoded as studies/, read as text and held to the schema of datapackage.json."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple, TypeAlias

from metaan.errors import InputError

__all__ = ["PACKAGE", "Finding", "Row", "Schema", "Tables", "number", "read_schemas", "read_table", "schema_findings"]

PACKAGE: Final = "datapackage.json"


_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_TYPES: Final = {"string": None, "integer": (_INTEGER, "whole number"), "number": (_NUMBER, "number")}
_SHOWN: Final = 40  # characters of a cell that a message repeats


class Row(dict[str, str]):
    """Cells of a row by column; "" where the table has no such column."""

    def __missing__(self, column: str) -> str:
        return ""


Tables: TypeAlias = Mapping[str, list[Row]]


class Finding(NamedTuple):
    """Something that a table should not hold; `row` from 1, None for the whole file."""

    file: str
    row: int | None
    column: str
    finding: str


@dataclass(frozen=True)
class Field:
    """A column as datapackage.json describes it."""

    name: str
    type: str
    required: bool
    enum: tuple[str, ...]
    minimum: Decimal | None
    maximum: Decimal | None
    pattern: re.Pattern[str] | None


@dataclass(frozen=True)
class Schema:
    """A table as datapackage.json describes it; `refers`: own columns, other table, its columns."""

    name: str
    file: str
    fields: tuple[Field, ...]
    keys: tuple[tuple[str, ...], ...]
    refers: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]


def read_schemas(place: Traversable) -> tuple[Schema, ...]:
    """Schemas of every table that the datapackage.json of a folder describes."""
    try:
        described = json.loads(place.joinpath(PACKAGE).read_bytes().decode("utf-8"))
        schemas = tuple(_schema(resource) for resource in described["resources"])
    except (
        OSError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
        re.error,
        RecursionError,
    ) as error:
        text = f"{place}/{PACKAGE} is no description of tables ({type(error).__name__}: {error})."
        raise InputError(f"{text} Correct it, or remove it to be checked by the schema of metaan.") from error
    return schemas


def _schema(resource: Mapping[str, Any]) -> Schema:
    name, file, schema = str(resource["name"]), str(resource["path"]), resource["schema"]
    if not re.fullmatch(r"\w[\w.-]*\.csv", file):
        raise ValueError(f"path {file!r} is no CSV file of this folder")
    fields = schema["fields"]
    unique = [(str(field["name"]),) for field in fields if field.get("constraints", {}).get("unique")]
    key = tuple(map(str, schema.get("primaryKey", ())))
    refers = tuple(
        (tuple(key["fields"]), str(key["reference"]["resource"]), tuple(key["reference"]["fields"]))
        for key in schema.get("foreignKeys", ())
    )
    keys = dict.fromkeys([*([key] if key else []), *unique])
    return Schema(name, file, tuple(map(_field, fields)), tuple(keys), refers)


def _field(field: Mapping[str, Any]) -> Field:
    limits = field.get("constraints", {})
    if field["type"] not in _TYPES:
        raise ValueError(f"type {field['type']!r} of {field['name']} is none of {', '.join(_TYPES)}")
    low, high = (Decimal(str(limits[end])) if end in limits else None for end in ("minimum", "maximum"))
    pattern = re.compile(limits["pattern"]) if "pattern" in limits else None
    enum = tuple(map(str, limits.get("enum", ())))
    return Field(str(field["name"]), field["type"], bool(limits.get("required")), enum, low, high, pattern)


def number(text: str) -> Decimal | None:
    """Number that a cell holds, None where it holds none."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_table(place: Traversable, schema: Schema) -> tuple[list[Row], list[Finding]]:
    """Rows of a table, and what is wrong with the form of its file."""

    def found(row: int | None, column: str, text: str) -> None:
        findings.append(Finding(schema.file, row, column, text))

    rows: list[Row] = []
    findings: list[Finding] = []
    try:
        text = place.joinpath(schema.file).read_bytes().decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise InputError(f"{place}/{schema.file} cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        found(None, "", f"no UTF-8 text (byte {error.start + 1}). Save it as UTF-8.")
        return rows, findings
    except csv.Error as error:
        found(None, "", f"no CSV: {error}.")
        return rows, findings
    header, *body = lines or [[]]
    known = [field.name for field in schema.fields]
    for name, times in Counter(header).items():
        if times > 1:
            found(None, name, f"{times} columns of this name. Keep one.")
        if name not in known:
            found(None, name, f"unknown column {_shown(name)}. Describe it in {PACKAGE}, or remove it.")
    for name in known:
        if name not in header:
            found(None, name, "the column is missing.")
    for place_in_file, cells in enumerate(body, start=1):
        if len(cells) != len(header):
            found(place_in_file, "", f"{len(cells)} cells under {len(header)} columns.")
        rows.append(Row(zip(header, cells, strict=False)))
    return rows, findings


def schema_findings(schemas: tuple[Schema, ...], tables: Tables) -> Iterator[Finding]:
    """What breaks a type, a range, a list of allowed values or a key."""
    for schema in schemas:
        rows = tables.get(schema.name, [])
        for field in schema.fields:
            said = _checker(field)
            for place, row in enumerate(rows, start=1):
                if text := said(row[field.name]):
                    yield Finding(schema.file, place, field.name, text)
        for key in schema.keys:
            yield from _twice(schema.file, key, rows)
        for own, other, columns in schema.refers:
            known = {tuple(row[name] for name in columns) for row in tables.get(other, [])}
            for place, row in enumerate(rows, start=1):
                value = tuple(row[name] for name in own)
                if any(value) and value not in known:
                    text = f"{_shown(' / '.join(value))} is not in {other}.csv. Add it there, or correct the key."
                    yield Finding(schema.file, place, ", ".join(own), text)


def _twice(file: str, key: tuple[str, ...], rows: list[Row]) -> Iterator[Finding]:
    """The second and every later row of a key that should be unique."""
    first: dict[tuple[str, ...], int] = {}
    for place, row in enumerate(rows, start=1):
        value = tuple(row[name] for name in key)
        if place > first.setdefault(value, place):
            text = f"the key {' / '.join(value)} is that of row {first[value]}. Keep one, or tell them apart."
            yield Finding(file, place, ", ".join(key), text)


def _checker(field: Field) -> Callable[[str], str]:
    """What to say of a cell of a column; "" where it is as it should be."""
    kind = _TYPES[field.type]

    def said(text: str) -> str:
        if not text.strip():
            return "empty, but required." if field.required else ""
        if kind and not kind[0].fullmatch(text):
            return f"{_shown(text)} is no {kind[1]}."
        if field.enum and text not in field.enum:
            return f"{_shown(text)} is not allowed. Choose one of {', '.join(field.enum)}."
        if field.pattern and not field.pattern.fullmatch(text):
            return f"{_shown(text)} is not of the form {field.pattern.pattern}."
        if kind and field.minimum is not None and Decimal(text) < field.minimum:
            return f"{text} is below {field.minimum}."
        if kind and field.maximum is not None and Decimal(text) > field.maximum:
            return f"{text} is above {field.maximum}."
        return ""

    return said


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
