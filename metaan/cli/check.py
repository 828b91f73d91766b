"""``metaan check``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import click

from metaan.cli.options import json_option
from metaan.cli.output import echo_json

__all__ = ["check"]

_FOUND: Final = 3


@click.command(short_help="Check tables encoded as studies/.")
@click.argument("folder", required=False, type=click.Path())
@json_option
@click.pass_context
def check(ctx: click.Context, folder: str | None, as_json: bool) -> None:
    """Check a FOLDER of tables encoded as studies/, by default the evidence that metaan brings.

    Each finding is a line: file, row (1 for the first below the header), column, and what is wrong. Exit code 3 if
    there are any.
    """
    import metaan

    findings = metaan.check_studies(folder)
    rows = findings.astype(object).where(findings.notna(), None).to_dict("records")
    if as_json:
        echo_json({"findings": rows})
    else:
        for row in rows:
            click.echo(_line(row))
        click.echo(f"{len(rows)} finding{'' if len(rows) == 1 else 's'}." if rows else "No findings.")
    if rows:
        ctx.exit(_FOUND)


def _line(row: Mapping[Hashable, Any]) -> str:
    place = [row["file"], *([f"row {row['row']}"] if row["row"] else []), *([row["column"]] if row["column"] else [])]
    return f"{', '.join(place)}: {row['finding']}"
