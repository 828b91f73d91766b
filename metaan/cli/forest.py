"""``metaan forest``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options
from metaan.cli.output import no_screen, output_option

__all__ = ["forest"]

_EXAMPLES: Final = (
    "metaan forest trials.csv -o forest.svg",
    "metaan forest trials.csv --by country --missing drop -o forest.pdf --style jama",
    "metaan forest --evidence topical --outcome complete_response --unit lesion -o topical.png",
)


def _suffixes() -> Collection[str]:
    """Suffixes of the formats that matplotlib writes."""
    from matplotlib.backend_bases import FigureCanvasBase

    return {f".{name}" for name in FigureCanvasBase.get_supported_filetypes()}


def _style(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from metaan.plot.style import STYLE

    return STYLE.check(value)


@click.command(cls=Sections, short_help="Draw a forest plot.", examples=_EXAMPLES)
@analysis_options
@output_option("Figure to write: .svg, .pdf, .png ...", _suffixes)
@click.option("--style", callback=_style, help="default, jama, bmj, lancet, revman, minimal or print.")
@click.option("--title", help="Heading over the table.")
def forest(file: str | None, output: str, style: str | None, title: str | None, **options: Any) -> None:
    """Draw a forest plot of the trials of FILE, or of the evidence base.

    FILE is what metaan pool takes. The file named by -o is written, over one that is there, and no other.
    """
    res = fitted(file, options)
    import metaan

    no_screen()

    metaan.plot.save(metaan.plot.forest(res, style=style, title=title), output)
    click.echo(f"Wrote {output}.", err=True)
