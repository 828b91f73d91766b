"""``metaan pool``."""

from __future__ import annotations

from typing import Any, Final

import click

from metaan.cli.fits import fitted
from metaan.cli.options import Sections, analysis_options, json_option
from metaan.cli.output import echo_json
from metaan.cli.spoken import notes_spoken

__all__ = ["pool"]

_EXAMPLES: Final = (
    "metaan pool trials.csv",
    "metaan pool trials.xlsx --events CR --total 'Patients treated'",
    "metaan pool trials.csv --by country --missing drop",
    "metaan pool trials.csv --measure PFT --method DL --test z",
    "metaan pool pain.csv --measure SMD --mean-t 'Mean, drug' --sd-t 'SD, drug' --n-t 'N, drug'",
    "metaan pool effects.csv --measure OR --yi logor --sei se --json > result.json",
    "cat trials.csv | metaan pool -",
    "metaan pool --evidence topical --outcome complete_response --unit lesion",
)


@click.command(cls=Sections, short_help="Pool the results of studies.", examples=_EXAMPLES)
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
    """Pool the trials of FILE, or of the evidence base.

    FILE is CSV, TSV, XLSX, JSON, Parquet or a review of RevMan; - is standard input.
    """
    res = fitted(file, options)
    shown = res.back() if scale == "display" else res
    if as_json:
        echo_json(shown.to_dict())
    else:
        click.echo(notes_spoken(str(shown)))
