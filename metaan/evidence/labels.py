"""Readable, unique labels: "Campana 2016", and the arm where a study has several rows."""

from __future__ import annotations

import re
from functools import cache

import pandas as pd

from metaan.evidence.store import table

__all__ = ["row_labels", "study_label"]


@cache
def _labels() -> dict[str, str]:
    """Label of every study, the same in every selection.

    First author and year, with the rest of the key where two studies share them: campana2014hn is
    "Campana 2014 (hn)". Where no author is known, journal and year: bcg1975 is "Cancer 1975". The key itself
    where neither or no year is known.
    """
    known = table("references")
    name = known["first_author"].where(known["first_author"] != "", known["journal"].map(_short))
    named = (name != "") & known["year"].notna()
    plain = name + " " + known["year"].astype("str")
    shared = plain.duplicated(keep=False)
    keys = zip(known["study_id"], plain, named, shared, strict=True)
    return {key: (_told_apart(key, text) if twice else text) if full else key for key, text, full, twice in keys}


def _short(journal: str) -> str:
    """Journal without volume, pages, place: "Cancer" of "Cancer 35(3):756-777"."""
    return re.split(r"\s+\d|\s*[(,]", journal, maxsplit=1)[0]


def _told_apart(key: str, text: str) -> str:
    match = re.search(r"\d{4}(\w*)$", key)
    rest = match.group(1) if match else key
    return text + rest if len(rest) < 2 else f"{text} ({rest})"


def study_label(study_id: str) -> str:
    """Label of one study; its key when it is not among the references."""
    return _labels().get(study_id, study_id)


def row_labels(rows: pd.DataFrame) -> pd.Series[str]:
    """Labels of rows, unique among them: study, then arm, then place in the file, as far as needed."""
    label = rows["study_id"].map(study_label)
    again = label.duplicated(keep=False)
    if again.any():
        label = label.where(~again, label + ", " + rows["arm"])
        again = label.duplicated(keep=False)
    return label.where(~again, label + " (row " + rows["row"].astype("str") + ")") if again.any() else label
