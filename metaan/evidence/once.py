"""Numbers of patients or lesions behind rows of the evidence base, each counted once."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from metaan.evidence.catalogue import largest
from metaan.evidence.overlap import PREFER, chosen, shared
from metaan.validate import Option, require_columns

__all__ = ["NUMBER", "counted_once"]

NUMBER: Final = Option(
    "number", {"patients": "patients, each once", "lesions": "lesions, those of one patient once"}, "patients"
)
_UNIT: Final = {"patients": "patient", "lesions": "lesion"}


def counted_once(trials: pd.DataFrame, number: str = "patients") -> pd.DataFrame:
    """One line for each study: how many patients or lesions it adds to those of the others.

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows with columns `total` and `study_id` or `study`, as from `metaan.load`; of several units or outcomes, too.
        `n_patients`, `n_lesions`, `unit`, `year`, `role` and `arm` are used where they stand.
    number : {"patients", "lesions"}, default "patients"
        What is counted.

    Returns
    -------
    pandas.DataFrame
        Columns study_id, year, number (float; NaN where the study does not give it; 0 where another study in hand has
        its patients, or may have them) and instead (that study, or "").

    Raises
    ------
    InputError
        A column is missing.
    OptionError
        Unknown `number`.

    Notes
    -----
    A study counts with the largest number that any of its rows gives, parallel arms added (see `metaan.catalogue`). Of
    studies that share patients or may share them (`metaan.overlaps`) the largest is counted. Where rows have no unit,
    their totals are taken for what is counted.

    Examples
    --------
    >>> rows = pd.DataFrame({"study": ["Ames", "Ames", "Bo"], "total": [12, 12, 30], "unit": "patient"})
    >>> counted_once(rows)["number"].tolist()
    [12.0, 30.0]
    """
    unit = _UNIT[NUMBER.check(number)]
    key = "study_id" if "study_id" in getattr(trials, "columns", ()) else "study"
    require_columns(trials, ["total", key])
    defaults: dict[str, Any] = {"unit": unit, "role": "single", "arm": "", f"n_{number}": float("nan"), "year": 0}
    columns = {name: trials[name] if name in trials.columns else value for name, value in defaults.items()}
    rows = pd.DataFrame({"study_id": trials[key].astype(str), "total": trials["total"], **columns}, index=trials.index)
    rows = rows.reset_index(drop=True)
    for name in ("total", f"n_{number}", "year"):
        rows[name] = pd.to_numeric(rows[name]).astype("Float64")
    known = largest(rows, unit, f"n_{number}", split=number == "lesions").astype("Float64")
    heads = rows.drop_duplicates("study_id")[["study_id", "year"]].reset_index(drop=True)
    heads = heads.assign(number=known.reindex(heads["study_id"]).to_numpy(dtype=float, na_value=float("nan")))
    instead = {}
    if shared(heads["study_id"]):
        instead = chosen(heads.assign(total=heads["number"].fillna(0.0), source_kind="primary"), PREFER[0])
    heads = heads.assign(instead=[instead.get(study, "") for study in heads["study_id"]])
    return heads.assign(number=heads["number"].where(heads["instead"] == "", 0.0))
