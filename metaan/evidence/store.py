"""Where the evidence tables are and how they are read."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import pandas as pd

from metaan.errors import MetaanError

__all__ = ["RESPONSES", "TABLE1", "every_response", "folder", "responses", "table"]

RESPONSES: Final = (
    "electrochemotherapy",
    "photodynamic",
    "radiotherapy",
    "intralesional",
    "miltefosine",
    "topical",
    "other",
)
TABLE1: Final = "spratt2014"

_WHOLE_NUMBERS: Final = frozenset(
    {
        "row",
        "year",
        "events",
        "total",
        "n_patients",
        "n_lesions",
        "k",
        "complete_response",
        "objective_response",
    }
)
_PERCENTAGES: Final = frozenset({"reported_pct", "ci_low", "ci_high", "pooled_pct"})


@cache
def folder() -> Traversable:
    """Folder of the tables: inside an installed package, beside the package in a checkout."""
    packaged = resources.files("metaan").joinpath("_studies")
    checkout = Path(__file__).resolve().parents[2] / "studies"
    for place in (packaged, checkout):
        if place.joinpath("references.csv").is_file():
            return place
    raise MetaanError(
        f"The evidence tables are missing: neither {packaged} nor {checkout} holds references.csv. "
        "Install metaan again."
    )


@cache
def _read(name: str) -> pd.DataFrame:
    with folder().joinpath(f"{name}.csv").open("r", encoding="utf-8") as handle:
        frame = pd.read_csv(handle, dtype=str, keep_default_na=False)
    for column in frame.columns:
        if column in _WHOLE_NUMBERS:
            frame[column] = _numeric(frame[column]).astype("Int64")
        elif column in _PERCENTAGES:
            frame[column] = _numeric(frame[column]).astype("float64")
    return frame


def _numeric(text: pd.Series[str]) -> pd.Series[float]:
    return pd.to_numeric(text.where(text != ""))


def table(name: str) -> pd.DataFrame:
    """Copy of a table: whole numbers as Int64, percentages as float64, text as it stands ("": not given)."""
    return _read(name).copy()


def responses(name: str) -> pd.DataFrame:
    """Rows of a response file, with its name and their place in it (`file`, `row` from 1), year and design."""
    return _responses(name).copy()


@cache
def _responses(name: str) -> pd.DataFrame:
    frame = _read(name)
    known = _read("references").set_index("study_id")[["year", "design"]]
    return frame.join(known, on="study_id").assign(file=name, row=range(1, len(frame) + 1))


def every_response() -> pd.DataFrame:
    """Rows of all response files, `row` the place among them all."""
    return _every_response().copy()


@cache
def _every_response() -> pd.DataFrame:
    rows = pd.concat([_responses(name) for name in RESPONSES], ignore_index=True)
    return rows.assign(row=range(1, len(rows) + 1))
