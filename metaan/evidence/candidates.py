"""Every row behind a name, in the columns of a response file, before any selection."""

from __future__ import annotations

from typing import Final

import pandas as pd

from metaan.evidence.store import TABLE1, every_response, responses, table

__all__ = ["ALL", "HYPERTHERMIA", "PREVALENCE", "SKIN_METASTASES", "candidates", "named", "table1_outcomes"]

ALL: Final = "all"
HYPERTHERMIA: Final = "hyperthermia"
PREVALENCE: Final = "prevalence"
SKIN_METASTASES: Final = "skin_metastases"  # what is counted in the table of prevalence

_DEFINITIONS: Final = {"complete_response": "definition_cr", "objective_response": "definition_or"}


def candidates(name: str, outcome: str) -> pd.DataFrame:
    """Every row of a name for one outcome."""
    if name == TABLE1:
        return _table1(outcome)
    rows = named(name)
    return rows[rows["outcome"] == outcome]


def named(name: str) -> pd.DataFrame:
    """Every row of a name except Table 1; `row` tells the rows apart."""
    if name == PREVALENCE:
        return _prevalence()
    if name == ALL:
        return every_response()
    return responses("radiotherapy" if name == HYPERTHERMIA else name)


def table1_outcomes() -> pd.DataFrame:
    """Study and outcome of each count of Table 1."""
    return pd.concat([_table1(outcome) for outcome in _DEFINITIONS]).dropna(subset="events")


def _table1(outcome: str) -> pd.DataFrame:
    """Table 1 in the columns of a response file: one outcome, lesions as the denominator."""
    printed = table(TABLE1)
    return pd.DataFrame(
        {
            "study_id": printed["study_id"],
            "year": printed["year"],
            "arm": "as printed",
            "therapy": printed["therapy"],
            "unit": "lesion",
            "outcome": outcome,
            "events": printed[outcome],
            "total": printed["n_lesions"],
            "n_patients": printed["n_patients"],
            "n_lesions": printed["n_lesions"],
            "definition": printed[_DEFINITIONS[outcome]],
            "asterisk": printed["asterisk"],
            "row": printed["row"],
        }
    )


def _prevalence() -> pd.DataFrame:
    """Patients with skin metastases among the patients of a population."""
    rows = table(PREVALENCE)
    known = table("references").set_index("study_id")[["year", "design"]]
    return rows.join(known, on="study_id").assign(
        arm=rows["population"], unit="patient", outcome=SKIN_METASTASES, row=range(1, len(rows) + 1)
    )
