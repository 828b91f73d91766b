"""``metaan report``."""

from __future__ import annotations

from typing import Any

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options, given
from metaan.cli.output import no_screen

__all__ = ["report"]


@click.command(cls=Sections, short_help="Write a report.")
@analysis_options
@click.option("-o", "--output", required=True, type=click.Path(), help="Report to write: .html or .md.")
@click.option("--title", help="Heading of the report.")
@click.option("--question", help="Question that it answers.")
def report(file: str | None, output: str, **options: Any) -> None:
    """Write a report: data with sources, methods, results, checks and limitations in one file.

    The file named by -o is written, over one that is there, and no other.
    """
    res = fitted(file, options)
    import metaan

    no_screen()

    metaan.report(res, output, **given(options, ("title", "question")))
    click.echo(f"Wrote {output}.", err=True)
