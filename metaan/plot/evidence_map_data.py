"""Table behind an evidence map: studies and patients of each combination, every patient once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import DataError, InputError, OptionError
from metaan.evidence.once import counted_once
from metaan.plot.checked import named_columns, once_only
from metaan.validate import Option, numbers, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evidence_map_table"]

SIZE: Final = Option(
    "size", {"patients": "patients, each once", "lesions": "lesions", "studies": "studies"}, "patients"
)  # fmt: skip


def evidence_map_table(
    trials: Any,
    *,
    rows: str = "therapy",
    columns: str = "primary_tumour",
    by: str = "unit",
    size: str = "patients",
) -> pd.DataFrame:
    """Table behind an evidence map: studies and patients of each combination that occurs.

    Parameters
    ----------
    trials : DataFrame or list of DataFrame
        Rows from `metaan.load`, e.g. of ``"all"``; a list of frames is read as one, of lesions and of patients.
    rows, columns : str, default "therapy", "primary_tumour"
        Columns of the frame whose values stand down and across.
    by : str, default "unit"
        Column whose values have bubbles of their own; "" for one bubble. A frame without units has one, too.
    size : {"patients", "lesions", "studies"}, default "patients"
        What is counted besides studies.

    Returns
    -------
    pandas.DataFrame
        Columns row ("cell", "row", "column", "all"), the three columns named above, studies, sharing, and patients and
        without_patients (or lesions and without_lesions) unless `size` is "studies". Rows other than "cell" sum up
        what is blank in them. ``attrs`` say what stands where and how it was counted.

    Raises
    ------
    InputError
        No frame, no rows, or a column is missing.
    OptionError
        Unknown `size`; `rows`, `columns` and `by` are not different columns.

    Notes
    -----
    Within each row of the table a patient is counted once: a study with the largest number that its rows give, and of
    studies that share patients, or may (`metaan.overlaps`), the largest; the others are counted under sharing. So sums
    are less than those of the cells. A study is counted in every cell that it has rows for.

    Examples
    --------
    >>> import metaan
    >>> trials = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    >>> table = metaan.plot.evidence_map_table(trials)
    >>> table.query("row == 'cell' and therapy == 'miltefosine'")[["primary_tumour", "studies", "patients"]]
      primary_tumour  studies  patients
    3         breast        3        78
    """
    import pandas as pd

    SIZE.check(size)
    named_columns(rows=rows, columns=columns, by=by)
    frame = _frame(trials)
    by = "" if by == "unit" and by not in frame.columns else by
    keys = [rows, columns, *([by] if by else [])]
    require_columns(frame, keys)
    if len(set(keys)) < len(keys):
        raise OptionError(f"rows={rows!r}, columns={columns!r} and by={by!r} must be different columns.")
    frame = frame.assign(**{key: frame[key].astype("string").fillna("").astype(str) for key in keys})
    lines = [
        {"row": kind, **dict.fromkeys(keys, ""), **dict(zip(some, value, strict=True)), **_numbers(part, size)}
        for kind, some in (("cell", keys), ("row", [rows]), ("column", [columns]))
        for value, part in frame.groupby(some, sort=True)
    ]
    lines.append({"row": "all", **dict.fromkeys(keys, ""), **_numbers(frame, size)})
    table = pd.DataFrame(lines)
    said = "Studies count in every cell that they have rows for."
    if size != "studies":
        said += f" {size.capitalize()}: the largest number of each study; of studies that share patients, or may, the"
        said += " largest; so each is counted once in a cell, a row, a column or the whole."
    table.attrs = {"rows": rows, "columns": columns, "by": by, "size": size, "counted": said}
    return table


def _frame(trials: Any) -> pd.DataFrame:
    """Rows of one frame or of several, one below the other."""
    import pandas as pd

    frames = [trials] if isinstance(trials, pd.DataFrame) else list(trials) if isinstance(trials, (list, tuple)) else []
    if not frames or not all(isinstance(frame, pd.DataFrame) for frame in frames):
        raise InputError(f"trials is a {type(trials).__name__}. Pass what metaan.load returned, or a list of that.")
    for frame in frames:
        require_columns(frame, ["total"], "trials")
    frame = pd.concat([frame.assign() for frame in frames], ignore_index=True) if len(frames) > 1 else frames[0]
    if frame.empty:
        raise InputError("trials has no rows: there is nothing to count.")
    once_only(frame, "trials")
    for name in ("total", "year", "n_patients", "n_lesions"):
        if name in frame.columns and np.isinf(numbers(frame[name], name)).any():
            raise DataError(f"{name} is infinite in some rows of trials: give a number, or leave it blank.")
    return frame


def _numbers(rows: pd.DataFrame, size: str) -> dict[str, int]:
    """Studies of some rows, those that share patients, and the number of what is counted."""
    once = counted_once(rows, "patients" if size == "studies" else size)
    counts = {"studies": len(once), "sharing": int((once["instead"] != "").sum())}
    if size == "studies":
        return counts
    return counts | {size: int(once["number"].sum()), f"without_{size}": int(once["number"].isna().sum())}
