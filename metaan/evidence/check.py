"""Whether a folder of tables keeps the rules of studies/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import pandas as pd

from metaan.errors import InputError
from metaan.evidence.check_rules import rule_findings
from metaan.evidence.check_tables import (
    PACKAGE,
    Finding,
    Row,
    Schema,
    read_schemas,
    read_table,
    schema_findings,
)
from metaan.evidence.store import folder as shipped

__all__ = ["check_studies"]

_AUDIT: Final = "AUDIT.md"


def check_studies(folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Every broken rule of a folder of tables encoded as studies/.

    Parameters
    ----------
    folder : path, optional
        Folder with the CSV files; by default the evidence that metaan brings. Its own datapackage.json describes the
        tables, that of metaan where it has none; then tables may be absent, but not one that another refers to.

    Returns
    -------
    pandas.DataFrame
        A line for each finding: file, row (1 for the first below the header, as `row` in `metaan.load`; missing where
        the whole file is meant), column ("" for the whole row) and finding (what is wrong and what to do). Empty where
        every rule is kept. Nothing is written.

    Raises
    ------
    InputError
        `folder` is no folder, holds none of the tables, or its datapackage.json cannot be read.

    Notes
    -----
    The schema: every column is there and known; types, allowed values, ranges, required cells; unique keys; studies
    that other tables name are among the references. Beyond it: events within totals, and counts said to be there where
    they are; CR + PR = OR and CR + PR + SD + PD within the total; printed percentages those of the counts to the last
    printed digit, or explained in notes; limits about their percentage; a study in one file; references in use;
    one preferred row for each study, arm, unit and outcome with counts, but for
    the keys that section 4 of an AUDIT.md lists.

    Examples
    --------
    >>> import metaan
    >>> len(metaan.check_studies())
    0
    """
    place = _folder(folder)
    own = place.joinpath(PACKAGE).is_file()
    schemas = read_schemas(place if own else shipped())
    tables: dict[str, list[Row]] = {}
    findings: list[Finding] = []
    present = [schema for schema in schemas if place.joinpath(schema.file).is_file()]
    if not present:
        raise InputError(f"{place} holds none of the tables {', '.join(schema.file for schema in schemas)}.")
    for schema in present:
        tables[schema.name], broken = read_table(place, schema)
        findings += broken
    findings += _absent(schemas, present, own=own)
    findings += schema_findings(schemas, tables)
    audit = place.joinpath(_AUDIT)
    text = audit.read_bytes().decode("utf-8", errors="replace") if audit.is_file() else ""
    findings += rule_findings(tables, text)
    return _frame(findings, [schema.file for schema in schemas])


def _folder(folder: str | os.PathLike[str] | None) -> Traversable:
    if folder is None:
        return shipped()
    if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
        raise InputError(f"folder={str(folder)!r} is no folder. Name one with CSV files encoded as studies/.")
    return Path(folder)


def _absent(schemas: tuple[Schema, ...], present: list[Schema], *, own: bool) -> Iterator[Finding]:
    """Tables that are not there although they are described in the folder, or another table refers to them."""
    named = {other for schema in present for _, other, _ in schema.refers}
    for schema in schemas:
        if schema not in present and (own or schema.name in named):
            yield Finding(schema.file, None, "", "the file is missing.")


def _frame(findings: list[Finding], files: list[str]) -> pd.DataFrame:
    order = {file: place for place, file in enumerate(files)}
    findings = sorted(findings, key=lambda found: (order.get(found.file, len(order)), found.row or 0))
    return pd.DataFrame(findings, columns=list(Finding._fields)).astype({"row": "Int64"})
