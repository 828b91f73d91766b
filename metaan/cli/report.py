"""``metaan report``."""

from __future__ import annotations

from typing import Any, Final

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options, given
from metaan.cli.output import no_screen, output_option

__all__ = ["report"]

_SUFFIXES: Final = (".html", ".htm", ".md", ".markdown")
_EXAMPLES: Final = (
    "metaan report trials.csv -o report.html",
    "metaan report trials.csv --by country --missing drop -o report.md --title 'Complete response'",
    "metaan report --evidence topical --outcome complete_response --unit lesion -o topical.html",
)


@click.command(cls=Sections, short_help="Write a report.", examples=_EXAMPLES)
@analysis_options
@output_option("Report to write: .html or .md.", lambda: _SUFFIXES)
@click.option("--title", help="Heading of the report.")
@click.option("--question", help="Question that it answers.")
def report(file: str | None, output: str, **options: Any) -> None:
    """Write a report: data with sources, methods, results, checks and limitations in one file.

    FILE is what metaan pool takes. The file named by -o is written, over one that is there, and no other.
    """
    res = fitted(file, options)
    import metaan

    no_screen()

    metaan.report(res, output, **given(options, ("title", "question")))
    click.echo(f"Wrote {output}.", err=True)
