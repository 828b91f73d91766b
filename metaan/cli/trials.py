"""The table that a command is about, and which of its columns are pooled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from metaan.cli.options import COLUMNS, READING, SELECTION, given
from metaan.errors import InputError, OptionError
from metaan.names import NOTES
from metaan.names import READING as READ
from metaan.readers.needs import MEASURE, NEEDS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asked", "asked", "table"]

_READY: Final = (("yi", "vi"), ("yi", "sei"))
# Where no measure is named: columns that speak for themselves.
_FAMILIES: Final = (("OR", (NEEDS["OR"],)), ("PLO", (NEEDS["PLO"],)), ("GEN", _READY))


class Asked(NamedTuple):
    """A measure, the columns it is computed from, and that of the labels."""

    measure: str
    columns: dict[str, str]
    study: str | None


def table(file: str | None, options: dict[str, Any]) -> pd.DataFrame:
    """Trials of a file or of the evidence base, under metaan's column names; says how a file was read."""
    import metaan

    if (file is None) == (options["evidence"] is None):
        raise click.UsageError("Give a FILE, or --evidence NAME.")
    if file is None:
        _refuse(options, (*READING, *COLUMNS, "study"), "a FILE")
        return metaan.load(options["evidence"], **given(options, (*SELECTION, "outcome")))
    _refuse(options, SELECTION, "--evidence")
    named = given(options, (*COLUMNS, "study"))
    measure = None if "yi" in named else options["measure"]
    frame = _read(file, columns=named or None, measure=measure, **given(options, (*READING, "outcome")))
    for note in frame.attrs[NOTES]:
        click.echo(note, err=True)
    return frame


def _read(file: str, *, header: tuple[int, ...] | None = None, sheet: str | None = None, **asked: Any) -> pd.DataFrame:
    """Table of a file; a sheet is meant by its title, by its number where none has that title."""
    import metaan

    asked["header"] = header[0] if header and len(header) == 1 else header
    try:
        return metaan.read(file, sheet=sheet, **asked)
    except OptionError:
        if sheet is None or not re.fullmatch("[0-9]{1,4}", sheet):
            raise
    return metaan.read(file, sheet=int(sheet), **asked)


def _refuse(options: dict[str, Any], names: Any, of: str) -> None:
    if odd := given(options, names):
        raise click.UsageError(f"--{next(iter(odd)).replace('_', '-')} is an option of {of}.")


def asked(frame: pd.DataFrame, options: dict[str, Any]) -> Asked:
    """What is pooled: the columns that were named, or the only ones that can be."""
    measure = options["measure"] or frame.attrs.get(READ, {}).get("measure")
    measure, columns = _family(list(map(str, frame.columns)), measure, tuple(given(options, COLUMNS)))
    study = "study" if "study" in frame.columns else None
    if options["evidence"] is None:
        labels = "labels from study" if study else "studies numbered"
        click.echo(f"Measure: {measure} from {', '.join(columns)}; {labels}.", err=True)
    return Asked(measure, {name: name for name in columns}, study)


def _family(present: list[str], measure: str | None, named: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Measure and the columns that it is computed from, the only ones that are all there."""
    families = _FAMILIES if measure is None else ((measure, (NEEDS[MEASURE.check(measure)], *_READY)),)
    found = []
    for code, sets in families:
        found += [(code, needed) for needed in sets if set(named) <= set(needed) <= set(present)][:1]
    if len(found) > 1:
        several = " and of ".join(", ".join(needed) for _, needed in found)
        raise InputError(f"There are columns of {several}. Say which to pool: --events COL, --yi COL, --measure ...")
    if found:
        return found[0]
    wanted = " or ".join(", ".join(needed) for _, sets in families for needed in sets)
    more = "" if measure else " For another measure name it: --measure SMD."
    raise InputError(f"Nothing to pool: needed are the columns {wanted}; there are {', '.join(present)}.{more}")
