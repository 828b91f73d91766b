"""The table that a command is about, and which of its columns are pooled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from metaan.cli.groups import group_column
from metaan.cli.options import COLUMNS, READING, SELECTION, flag, given
from metaan.cli.source import opened
from metaan.cli.spoken import told
from metaan.errors import InputError, OptionError, listed
from metaan.names import NOTES
from metaan.names import READING as READ
from metaan.readers.needs import NEEDS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asked", "asked", "table"]

_READY: Final = (("yi", "vi"), ("yi", "sei"))
# Where no measure is named: columns that speak for themselves.
_FAMILIES: Final = (("OR", (NEEDS["OR"],)), ("PLO", (NEEDS["PLO"],)), ("GEN", _READY))
_POOLED: Final = frozenset(name for needed in (*NEEDS.values(), *_READY) for name in needed)
# Columns from which others are computed in reading.
_SOURCES: Final = {"o_e": "yi", "o_e_variance": "vi"}


class Asked(NamedTuple):
    """A measure, the columns it is computed from, and that of the labels."""

    measure: str
    columns: dict[str, str]
    study: str | None


def table(file: str | None, options: dict[str, Any]) -> tuple[pd.DataFrame, str | None]:
    """Trials of a file or of the evidence base, and the column of --by; says how a file was read."""
    import metaan

    if (file is None) == (options["evidence"] is None):
        raise click.UsageError("Give a FILE, or --evidence NAME.")
    if file is None:
        _refuse(options, (*READING, *COLUMNS), "a FILE")
        frame = metaan.load(options["evidence"], **given(options, (*SELECTION, "outcome")))
        return frame, group_column(frame, options["by"])
    _refuse(options, SELECTION, "--evidence")
    named = given(options, COLUMNS)
    how = given(options, (*READING, "outcome"))
    how["measure"] = None if {"yi", "o_e"} & set(named) else options["measure"]
    with opened(file) as path:
        frame = _read(path, columns=named or None, **how)
        for note in frame.attrs[NOTES]:
            click.echo(told(note), err=True)
        by = group_column(frame, options["by"], lambda more: _read(path, columns=named | more, **how))
    return frame, by


def _read(path: str, *, header: tuple[int, ...] | None = None, sheet: str | None = None, **asked: Any) -> pd.DataFrame:
    """Table of a file; a sheet is meant by its title, by its number where none has that title."""
    import metaan

    asked["header"] = header[0] if header and len(header) == 1 else header
    try:
        return metaan.read(path, sheet=sheet, **asked)
    except OptionError:
        if sheet is None or not re.fullmatch("[0-9]{1,4}", sheet):
            raise
    return metaan.read(path, sheet=int(sheet), **asked)


def _refuse(options: dict[str, Any], names: Any, of: str) -> None:
    if odd := given(options, names):
        raise click.UsageError(f"{flag(next(iter(odd)))} is an option of {of}.")


def asked(frame: pd.DataFrame, options: dict[str, Any]) -> Asked:
    """What is pooled: the columns that were named, or the only ones that can be."""
    measure = options["measure"] or frame.attrs.get(READ, {}).get("measure")
    named = [_SOURCES.get(name, name) for name in given(options, COLUMNS)]
    measure, columns = _family(list(map(str, frame.columns)), measure, [name for name in named if name in _POOLED])
    study = "study" if "study" in frame.columns else None
    if options["evidence"] is None:
        labels = "labels from study" if study else "studies numbered"
        click.echo(f"Measure: {measure} from {', '.join(columns)}; {labels}.", err=True)
    return Asked(measure, {name: name for name in columns}, study)


def _family(present: list[str], measure: str | None, named: list[str]) -> tuple[str, tuple[str, ...]]:
    """Measure and the columns that it is computed from, the only ones that are all there."""
    families = _FAMILIES if measure is None else ((measure, (NEEDS[measure], *_READY)),)
    if measure is not None:
        _refuse_others(measure, named)
    found = []
    for code, sets in families:
        found += [(code, needed) for needed in sets if set(named) <= set(needed) <= set(present)][:1]
    if len(found) > 1:
        several = " and of ".join(", ".join(needed) for _, needed in found)
        raise InputError(f"There are columns of {several}. Say which to pool: --events COL, --yi COL, --measure ...")
    if found:
        return found[0]
    codes = [code for code, needed in NEEDS.items() if set(named) <= set(needed) <= set(present)]
    if codes:
        raise InputError(f"The columns do not say which measure is meant. Say --measure, one of {', '.join(codes)}.")
    wanted = " or ".join(", ".join(needed) for _, sets in families for needed in sets)
    more = "" if measure else " For another measure name it: --measure SMD."
    raise InputError(f"Nothing to pool: needed are the columns {wanted}; there are {listed(present, 25)}.{more}")


def _refuse_others(measure: str, named: list[str]) -> None:
    """Refuse a column that was named and that the measure does not take."""
    takes = (*NEEDS[measure], *(name for ready in _READY for name in ready))
    if odd := [name for name in named if name not in takes]:
        raise click.UsageError(f"{flag(odd[0])} is no column of --measure {measure}: {', '.join(NEEDS[measure])}.")
