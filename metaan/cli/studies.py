"""``metaan studies``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from metaan.cli.options import json_option
from metaan.cli.output import echo_json, echo_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["studies"]

_SHOWN: Final = ("name", "studies", "rows", "patients", "lesions", "years", "title")


@click.command(short_help="List what the evidence base holds.")
@click.option("--therapy", multiple=True, metavar="NAME", help="Only this set, with its outcomes and its studies.")
@json_option
def studies(therapy: tuple[str, ...], as_json: bool) -> None:
    """List what the evidence base holds: the names that --evidence takes."""
    import metaan
    from metaan.evidence.options import NAME

    names = [NAME.check(name) for name in dict.fromkeys(therapy)]
    sets = metaan.catalogue()
    chosen = _records(sets[sets["name"].isin(names)] if names else sets)
    listed = {name: _studies(name) for name in names}
    if as_json:
        echo_json({"sets": chosen} | ({"studies": listed} if names else {}))
        return
    echo_table(chosen, _SHOWN)
    for one in chosen if names else ():
        click.echo(f"\n{one['title']}, outcomes with their numbers of studies: {one['outcomes']}\n")
        echo_table(listed[one["name"]], ("study", "study_id", "design", "rows", "outcomes"))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of a table as plain values."""
    return [dict(zip(frame.columns, line, strict=True)) for line in frame.astype(object).to_numpy().tolist()]


def _studies(name: str) -> list[dict[str, Any]]:
    """Studies of a set: label, key, design, number of rows, outcomes."""
    from metaan.evidence.catalogue import set_rows
    from metaan.evidence.labels import study_label
    from metaan.evidence.store import table

    design = dict(table("references")[["study_id", "design"]].to_numpy().tolist())
    listed = [
        {
            "study": study_label(str(key)),
            "study_id": key,
            "design": design.get(key, ""),
            "rows": len(rows),
            "outcomes": ", ".join(sorted(set(rows["outcome"]))),
        }
        for key, rows in set_rows(name).groupby("study_id")
    ]
    return sorted(listed, key=lambda line: str(line["study"]))
