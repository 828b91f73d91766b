"""Two arms of one trial in one row: radiotherapy with heat against radiotherapy alone."""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

__all__ = ["paired", "wide"]

_HEATED: Final = "radiotherapy_hyperthermia"
_OF_ARM: Final = ("events", "total", "arm", "row", "counts", "confidence", "n_patients", "n_lesions", "reported_pct")
_SAME: Final = ("study_id", "trial", "unit", "outcome", "response_scope")


def _keyed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the trial that they belong to, where a report holds several: "RT alone (BrI trial)"."""
    trial = rows["arm"].map(lambda arm: " ".join(re.findall(r"\((.*?)\)", arm)))
    heated = rows["therapy"].eq(_HEATED)
    return rows.assign(trial=trial, heated=heated)


def paired(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether a row has exactly one counterpart: the same trial, unit, outcome and scope, the other treatment."""
    arms = _keyed(rows).groupby(list(_SAME))["heated"]
    return arms.transform("size").eq(2) & arms.transform("sum").eq(1)


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair: `_t` with heat, `_c` without; the remaining columns are those of the arm with heat."""
    keyed = _keyed(rows).set_index(list(_SAME))
    heated, alone = keyed[keyed["heated"]], keyed[~keyed["heated"]]
    other = alone[list(_OF_ARM)].add_suffix("_c").reindex(heated.index)
    both = heated.rename(columns={name: f"{name}_t" for name in _OF_ARM}).join(other).reset_index()
    return both.assign(row=both["row_t"], arm=both["arm_t"]).drop(columns=["heated", "trial", "role", "therapy"])
