"""What the evidence base holds, counted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from metaan.evidence.options import NAME
from metaan.evidence.store import RESPONSES, TABLE1, responses, table

__all__ = ["catalogue"]


def catalogue() -> pd.DataFrame:
    """Names that `load` knows, with what stands behind each before any selection.

    Returns
    -------
    pandas.DataFrame
        One row for each name: name, title, studies, rows, counted (rows with events and total), preferred,
        patients, without_patients (studies that give no number of patients), lesions, without_lesions.

    Notes
    -----
    Patients are summed over studies. A study counts with the largest number that any of its rows gives
    (number of patients, or the denominator where patients are counted); the arms of a comparison are added
    when they give different numbers, while equal numbers are read as both treatments in the same patients.
    Lesions likewise, the arms of a comparison always added, since a lesion is in one arm. Comparator arms
    count here. Cohorts overlap, so the sums are not numbers of different people.

    `spratt2014` is a second view of studies that the other names hold.

    Examples
    --------
    >>> int(catalogue().set_index("name")["studies"]["electrochemotherapy"])
    74
    """
    return pd.DataFrame([*(_counted(name) for name in RESPONSES), _table1()])


def _counted(name: str) -> dict[str, Any]:
    rows = responses(name)
    known = rows["events"].notna() & rows["total"].notna()
    patients = _largest(rows, "patient", "n_patients", split=False)
    lesions = _largest(rows, "lesion", "n_lesions", split=True)
    return {
        "name": name,
        "title": NAME.choices[name],
        "studies": rows["study_id"].nunique(),
        "rows": len(rows),
        "counted": int(known.sum()),
        "preferred": int((rows["preferred"] == "yes").sum()),
        **_sums(patients, lesions),
    }


def _largest(rows: pd.DataFrame, unit: str, column: str, *, split: bool) -> pd.Series[Any]:
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
    }


def _sums(patients: pd.Series[Any], lesions: pd.Series[Any]) -> dict[str, int]:
    return {
        "patients": int(patients.sum()),
        "without_patients": int(patients.isna().sum()),
        "lesions": int(lesions.sum()),
        "without_lesions": int(lesions.isna().sum()),
    }
