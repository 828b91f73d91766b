"""``metaan pool``."""

from __future__ import annotations

from typing import Any

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options, json_option
from metaan.cli.output import echo_json

__all__ = ["pool"]


@click.command(cls=Sections, short_help="Pool the results of studies.")
@analysis_options
@click.option(
    "--scale",
    type=click.Choice(["display", "analysis"]),
    default="display",
    help="Rates and ratios, or the scale of the model (logits, logs).",
    show_default=True,
)
@json_option
def pool(file: str | None, as_json: bool, scale: str, **options: Any) -> None:
    """Pool the trials of FILE, or of the evidence base."""
    res = fitted(file, options)
    shown = res.back() if scale == "display" else res
    if as_json:
        echo_json(shown.to_dict())
    else:
        click.echo(str(shown))
