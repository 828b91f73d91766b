"""The column of ``--by``, and studies that belong to no subgroup."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from metaan.errors import InputError, Note, listed
from metaan.models.text import plural
from metaan.readers.needs import KNOWN

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["group_column", "grouped"]

Again = Callable[[dict[str, str]], "pd.DataFrame"]


def group_column(frame: pd.DataFrame, by: str | None, again: Again | None = None) -> str | None:
    """Column of a table that --by means: its name, or its heading in the file, which `again` reads."""
    names = list(map(str, frame.columns))
    if by is None or by in names:
        return by
    for role in (name for name in KNOWN if name in names) if again else ():
        if again and _is_headed(frame, role, by, again):
            return role
    folded = {name.casefold(): name for name in reversed(names)}
    import difflib

    close = difflib.get_close_matches(by.casefold()[:100], folded, n=1)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    raise _NoColumn(f"--by {by!r} is not a column. Columns: {listed(names, 25)}.{hint}")


def _is_headed(frame: pd.DataFrame, role: str, heading: str, again: Again) -> bool:
    """Whether a column got its name from this heading: named so, it is read with the same values."""
    try:
        found = again({role: heading})
    except InputError:
        return False
    return role in found.columns and found[role].equals(frame[role])


class _NoColumn(click.ClickException):
    """A message that quotes headings, which are not to be taken for options."""

    exit_code = 1


def grouped(frame: pd.DataFrame, by: str, missing: str | None) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Rows with a subgroup, and a note of those without, which are an error unless they may be dropped."""
    import pandas as pd

    lacking = [bool(pd.isna(value)) or value == "" for value in frame[by].tolist()]
    if not any(lacking):
        return frame, ()
    labels: list[Any] = frame["study"].tolist() if "study" in frame.columns else list(range(1, len(frame) + 1))
    names = tuple(str(label) for label, gone in zip(labels, lacking, strict=True) if gone)
    if all(lacking):
        raise _NoColumn(f"--by {by!r}: no study has a value in this column.")
    studies = plural(len(names), "study")
    if missing != "drop":
        text = f"--by {by!r} is empty in {studies}: {listed(names)}."
        raise _NoColumn(f"{text} Fill it in, or leave such studies out: --missing drop.")
    text = f"{studies} left out because {by} is missing: {listed(names)}."
    return frame.loc[[not gone for gone in lacking]], (Note("dropped", text, names),)
