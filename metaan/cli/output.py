"""What the commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

__all__ = ["echo_json", "echo_table", "no_screen"]


def echo_json(document: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def echo_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows under the names of their columns, numbers to the right."""
    cells = [[str(row[name]) for name in columns] for row in rows]
    right = [bool(rows) and isinstance(rows[0][name], int) for name in columns]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (list(columns), *cells):
        padded = (
            text.rjust(w) if to_right else text.ljust(w) for text, w, to_right in zip(line, widths, right, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def no_screen() -> None:
    """Draw into files only, also where matplotlib would open windows."""
    import matplotlib as mpl

    mpl.use("Agg")
