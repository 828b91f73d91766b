"""Evaluable or intention to treat: the denominators of a trial that lost some of its patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from metaan.errors import InputError, Note, OptionError, listed, recorded, shown
from metaan.evidence.frames import cleaned, noted
from metaan.evidence.store import every_response
from metaan.names import RECORD
from metaan.validate import FloatArray, Option, number, require_columns

__all__ = ["POLICY", "denominators"]

BoolArray = npt.NDArray[np.bool_]

POLICY: Final = Option(
    "policy",
    {
        "evaluable": "those whose outcome is known, as loaded",
        "itt": "everybody treated; those without an outcome had no event",
        "best": "everybody treated; those without an outcome had the better one",
        "worst": "everybody treated; those without an outcome had the worse one",
    },
    "evaluable",
)

# Whether an event is what one hopes for. Stable disease is neither; recurrence, local control and time to failure are
# counted among responders or over time, and those missing from them were not lost.
_GOOD: Final = {
    "complete_response": True,
    "partial_response": True,
    "objective_response": True,
    "no_response": False,
    "progressive_disease": False,
    "toxicity_grade3plus": False,
}
_NEEDED: Final = ("study", "study_id", "arm", "unit", "outcome", "events", "total", "n_patients", "n_lesions")
_KEY: Final = ["study_id", "unit", "outcome"]


def denominators(trials: pd.DataFrame, *, policy: str, most_missing: float = 1 / 3) -> pd.DataFrame:
    """Events and totals over everybody treated, where that number and the evaluable one are both known.

    Parameters
    ----------
    trials : pandas.DataFrame
        From `metaan.load`, whose totals are mostly those evaluated.
    policy : {"evaluable", "itt", "best", "worst"}
        Who is in the denominator, and what those without an outcome had: nothing changes; no event; the better
        outcome; the worse one. The last two bound what the lost patients can do to a rate.
    most_missing : float, default 1/3
        A row that lacks more than this share of those treated is left as loaded and noted: so many were not lost,
        the outcome was asked of a part, such as the patients with macroscopic disease.

    Returns
    -------
    pandas.DataFrame
        The rows with `events` and `total` under the policy, and `events_evaluable`, `total_evaluable` and `missing`
        (Int64; missing where the number treated is not known). A note of code "denominators" in ``attrs["metaan"]``
        names the studies that changed and those that could have but were left.

    Raises
    ------
    InputError
        `trials` lacks a column.
    OptionError
        Unknown policy; best or worst for an outcome of which neither is clear; `most_missing` outside [0, 1).

    Notes
    -----
    Number treated: `n_patients` where patients are counted, `n_lesions` where lesions are. Where a study has several
    arms of one outcome, equal numbers are those of the whole trial and tell nothing of the arm. Recurrence, local
    control and time to failure are left as loaded: their denominators are responders.

    Examples
    --------
    >>> from metaan.evidence.load import load
    >>> trials = load("miltefosine", outcome="complete_response")
    >>> both = [denominators(trials, policy=policy)["total"].sum() for policy in ("evaluable", "itt")]
    >>> [int(total) for total in both]
    [73, 78]
    """
    read = _checked(trials, POLICY.check(policy), most_missing)
    treated, total = _treated(read), read["total"].to_numpy(dtype=np.float64, na_value=np.nan)
    missing = treated - total  # NaN where either is not known: no comparison holds
    counted = read["outcome"].isin(list(_GOOD)).to_numpy()
    negative, many = missing < 0, missing > most_missing * treated
    usable = counted & (missing > 0) & ~many & (policy != "evaluable")
    lost = np.where(usable, missing, 0).astype(np.int64)
    good = [_GOOD.get(outcome) is (policy == "best") for outcome in read["outcome"].tolist()]
    hit = np.array(good, dtype=bool) & (policy in ("best", "worst"))
    known = np.where(counted & ~negative, missing, np.nan)
    frame = trials.assign(
        events=trials["events"] + np.where(hit, lost, 0), total=trials["total"] + lost,
        events_evaluable=trials["events"], total_evaluable=trials["total"],
        missing=pd.Series(known, index=trials.index).astype("Int64"),
    )  # fmt: skip
    note = _note(read, policy, usable, counted & (many | negative), known)
    record = trials.attrs.get(RECORD)
    kept = record if isinstance(record, Mapping) else {}
    frame.attrs = {**trials.attrs, RECORD: {**kept, "notes": [*noted(trials), note]}}
    return frame


def _checked(trials: pd.DataFrame, policy: str, most_missing: float) -> pd.DataFrame:
    """The columns that are read, as text and whole numbers."""
    require_columns(trials, _NEEDED)
    if "total_evaluable" in trials.columns or "design_effect" in trials.columns:
        raise InputError("The counts were changed already: apply denominators first, to the frame as it was loaded.")
    share = number(most_missing)
    if share is None or not 0 <= share < 1:
        raise OptionError(f"most_missing={shown(most_missing)} must be a share in [0, 1).")
    counts = ("events", "total", "n_patients", "n_lesions")
    read = cleaned(trials, texts=[name for name in _NEEDED if name not in counts], counts=counts)
    if policy in ("best", "worst") and "stable_disease" in set(read["outcome"]):
        raise OptionError(f"policy={policy!r}: stable disease is neither the better nor the worse outcome; use 'itt'.")
    return read


def _treated(trials: pd.DataFrame) -> FloatArray:
    """Number treated in the arm; NaN where only that of the trial is known."""
    number = _number(trials)
    lines = _lines(trials, number)
    here = _told(lines)
    known = _evidence()
    own = {}
    for key, told in here.items():
        more = known.get(key, _NOTHING)
        arms, numbers = told[0] | more[0], told[1] | more[1]
        own[key] = len(arms) == 1 or len(numbers) == len(arms)
    told_of = [own.get(key, False) and not arm.startswith("subgroup") for key, arm, _ in lines]
    return np.where(told_of, number.to_numpy(dtype=np.float64, na_value=np.nan), np.nan)


_Key: TypeAlias = tuple[str, ...]
_Told: TypeAlias = tuple[set[str], set[int]]
_NOTHING: Final[_Told] = (set(), set())


def _lines(rows: pd.DataFrame, number: pd.Series[int]) -> list[tuple[_Key, str, Any]]:
    """Study, unit and outcome of each row; its arm; how many were treated."""
    keys = zip(*(rows[name].tolist() for name in _KEY), strict=True)
    return list(zip(keys, rows["arm"].tolist(), number.tolist(), strict=True))


def _told(lines: Iterable[tuple[_Key, str, Any]]) -> dict[_Key, _Told]:
    """Whole arms of each study, unit and outcome, and the numbers treated."""
    found: dict[_Key, _Told] = {}
    for key, arm, treated in lines:
        if not arm.startswith("subgroup"):
            arms, numbers = found.setdefault(key, (set(), set()))
            arms.add(arm)
            if treated is not pd.NA:
                numbers.add(treated)
    return found


@cache
def _evidence() -> dict[_Key, _Told]:
    """The same of the evidence."""
    rows = every_response()
    return _told(_lines(rows, _number(rows)))


def _number(rows: pd.DataFrame) -> pd.Series[int]:
    return rows["n_patients"].where(rows["unit"] == "patient", rows["n_lesions"]).astype("Int64")


def _note(
    trials: pd.DataFrame, policy: str, changed: BoolArray, left: BoolArray, missing: FloatArray
) -> dict[str, object]:
    """Plain note: who changed and who could have."""
    study = trials["study"].to_numpy(dtype=object)
    said = [f"Denominators: {POLICY.choices[policy]}."]
    if changed.any():
        lost = int(missing[changed].sum())
        said.append(f"{lost} more in {int(changed.sum())} rows: {listed(study[changed], limit=8)}.")
    if left.any() and policy != "evaluable":
        said.append(f"As loaded, since the numbers treated and evaluated do not match: {listed(study[left])}.")
    unknown = np.isnan(missing) & trials["outcome"].isin(list(_GOOD)).to_numpy()
    if unknown.any() and policy != "evaluable":
        said.append(f"{int(unknown.sum())} rows do not tell how many were treated.")
    note = Note("denominators", " ".join(said), tuple(study[changed]))
    return recorded(note)
