"""What the evidence base holds, counted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from metaan.evidence.candidates import HYPERTHERMIA, PREVALENCE, named, table1_outcomes
from metaan.evidence.options import NAME, OWN_THERAPIES
from metaan.evidence.store import TABLE1, table
from metaan.evidence.two_arms import paired

__all__ = ["catalogue", "largest", "set_rows"]


def catalogue() -> pd.DataFrame:
    """Names that `load` knows, with what stands behind each before any selection.

    Returns
    -------
    pandas.DataFrame
        One row for each name: name, title, studies, rows, counted (rows with events and total), preferred, patients,
        without_patients (studies that give no number of patients), lesions, without_lesions, years (first to last),
        outcomes (with the number of studies, most frequent first).

    Notes
    -----
    Patients are summed over studies. A study counts with the largest number that any of its rows gives
    (number of patients, or the denominator where patients are counted); the arms of a comparison are added
    when they give different numbers, while equal numbers are read as both treatments in the same patients.
    Lesions likewise, the arms of a comparison always added, since a lesion is in one arm. Comparator arms
    count here. Cohorts overlap, so the sums are not numbers of different people.

    `all`, `hyperthermia` and `spratt2014` are further views of studies that the other names hold. In `hyperthermia`
    the rows are those of trials with both arms; in `prevalence` patients are the denominators.

    Examples
    --------
    >>> int(catalogue().set_index("name")["studies"]["electrochemotherapy"])
    74
    """
    return pd.DataFrame([_table1() if name == TABLE1 else _counted(name) for name in NAME.choices])


def _counted(name: str) -> dict[str, Any]:
    rows = set_rows(name)
    known = rows["events"].notna() & rows["total"].notna()
    patients = largest(rows, "patient", "n_patients", split=False)
    lesions = largest(rows, "lesion", "n_lesions", split=True)
    return {
        "name": name,
        "title": NAME.choices[name],
        "studies": rows["study_id"].nunique(),
        "rows": len(rows),
        "counted": int(known.sum()),
        "preferred": int((rows["preferred"] == "yes").sum()),
        **_sums(patients, lesions),
        **_said(rows),
    }


def set_rows(name: str) -> pd.DataFrame:
    """Rows of a name; those of `hyperthermia` are the ones that have a counterpart in the other arm."""
    if name == TABLE1:
        return table1_outcomes()
    rows = named(name)
    if name == PREVALENCE:
        return rows.assign(n_patients=rows["total"], n_lesions=rows["total"].where(rows["total"] < 0), role="single")
    if name != HYPERTHERMIA:
        return rows
    rows = rows[rows["therapy"].isin(OWN_THERAPIES[name]) & rows["events"].notna() & (rows["preferred"] == "yes")]
    return rows[paired(rows)]


def _said(rows: pd.DataFrame) -> dict[str, str]:
    """First and last year; outcomes with their numbers of studies."""
    years = rows["year"].dropna()
    outcomes = rows.groupby("outcome")["study_id"].nunique().sort_values(ascending=False, kind="stable")
    return {
        "years": f"{years.min()}-{years.max()}",
        "outcomes": ", ".join(f"{name} ({number})" for name, number in outcomes.items()),
    }


def largest(rows: pd.DataFrame, unit: str, column: str, *, split: bool) -> pd.Series[Any]:
    """Largest number of patients or lesions of each study; `split`: equal arms hold different ones too."""
    denominator = rows["total"].where(rows["unit"] == unit)
    number = pd.concat([rows[column], denominator], axis=1).max(axis=1)
    by_study = number.groupby(rows["study_id"])
    compared = rows["role"].isin(["experimental", "control"]) & ~rows["arm"].str.startswith("subgroup")
    arms = number[compared].groupby([rows["study_id"], rows["arm"]]).max().dropna()
    added = arms.groupby(level="study_id").sum()
    if not split:
        added = added[arms.groupby(level="study_id").nunique() > 1]
    largest = by_study.max()
    return pd.concat([largest, added.reindex(largest.index)], axis=1).max(axis=1)


def _table1() -> dict[str, Any]:
    rows = table(TABLE1)
    return {
        "name": TABLE1,
        "title": NAME.choices[TABLE1],
        "studies": rows["study_id"].nunique(),
        "rows": len(rows),
        "counted": int((rows["complete_response"].notna() | rows["objective_response"].notna()).sum()),
        "preferred": len(rows),
        **_sums(rows["n_patients"], rows["n_lesions"]),
        **_said(set_rows(TABLE1)),
    }


def _sums(patients: pd.Series[Any], lesions: pd.Series[Any]) -> dict[str, int]:
    return {
        "patients": int(patients.sum()),
        "without_patients": int(patients.isna().sum()),
        "lesions": int(lesions.sum()),
        "without_lesions": int(lesions.isna().sum()),
    }
