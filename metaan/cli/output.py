"""What the commands print."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["echo_json", "echo_table", "no_screen", "output_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


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


def output_option(help: str, suffixes: Callable[[], Collection[str]]) -> Callable[[_Command], _Command]:
    """``-o``, which is checked before anything is read."""

    def checked(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
        if path is not None and (why := _unfit(Path(path), suffixes())):
            raise click.ClickException(f"-o {shlex.quote(path)}: {why}")
        return path

    return click.option("-o", "--output", required=True, type=click.Path(allow_dash=True), callback=checked, help=help)


def _unfit(file: Path, suffixes: Collection[str]) -> str:
    """Why a path cannot be written, empty where it can."""
    known = ", ".join(sorted(suffixes))
    if str(file) == "-":
        return f"this command writes a file, not standard output. Name one that ends in one of {known}."
    if file.suffix.lower() not in suffixes:
        return f"the suffix chooses the format. End the name in one of {known}."
    if file.is_dir():
        return "this is a folder. Give the name of a file."
    return "" if file.parent.is_dir() else f"there is no folder {str(file.parent)!r}."
