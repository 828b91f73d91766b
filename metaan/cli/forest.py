"""``metaan forest``."""

from __future__ import annotations

from typing import Any

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options
from metaan.cli.output import no_screen

__all__ = ["forest"]


@click.command(cls=Sections, short_help="Draw a forest plot.")
@analysis_options
@click.option("-o", "--output", required=True, type=click.Path(), help="Figure to write: .svg, .pdf, .png ...")
@click.option("--style", help="default, jama, bmj, lancet, revman, minimal or print.")
@click.option("--title", help="Heading over the table.")
def forest(file: str | None, output: str, style: str | None, title: str | None, **options: Any) -> None:
    """Draw a forest plot. The file named by -o is written, over one that is there, and no other."""
    res = fitted(file, options)
    import metaan

    no_screen()

    metaan.plot.save(metaan.plot.forest(res, style=style, title=title), output)
    click.echo(f"Wrote {output}.", err=True)
