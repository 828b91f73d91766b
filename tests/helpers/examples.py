"""What tests of the examples share: the encoded rows and the tables that were printed."""

from __future__ import annotations

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read_rows(name):
    with (ROOT / "studies" / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def table_after(printed, heading):
    """Lines of the table that follows a heading, white space reduced to single spaces."""
    return [" ".join(line.split()) for line in printed.split(heading)[1].split("\n\n")[1].splitlines()]
