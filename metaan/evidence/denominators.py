"""Evaluable or intention to treat: the denominators of a trial that lost some of its patients."""

from __future__ import annotations

from typing import Final

import pandas as pd

from metaan.errors import InputError, Note, OptionError, listed
from metaan.evidence.store import RESPONSES, responses
from metaan.names import RECORD
from metaan.validate import Option, require_columns

__all__ = ["POLICY", "denominators"]

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
    _check(trials, POLICY.check(policy), most_missing)
    treated = _treated(trials)
    missing = treated - trials["total"]
    counted = trials["outcome"].isin(list(_GOOD))
    negative, many = (missing < 0).fillna(value=False), (missing > most_missing * treated).fillna(value=False)
    usable = counted & (missing > 0).fillna(value=False) & ~many
    if policy == "evaluable":
        usable &= False
    lost = missing.where(usable, 0).astype("int64")
    hit = trials["outcome"].map(_GOOD).eq(policy == "best") if policy in ("best", "worst") else counted & False
    frame = trials.assign(
        events=trials["events"] + lost.where(hit, 0), total=trials["total"] + lost, events_evaluable=trials["events"],
        total_evaluable=trials["total"], missing=missing.where(counted & ~negative).astype("Int64"),
    )  # fmt: skip
    note = _note(frame, policy, usable, counted & (many | negative))
    record = trials.attrs.get(RECORD, {"notes": []})
    frame.attrs = {**trials.attrs, RECORD: {**record, "notes": [*record["notes"], note]}}
    return frame


def _check(trials: pd.DataFrame, policy: str, most_missing: float) -> None:
    require_columns(trials, _NEEDED)
    if "total_evaluable" in trials.columns or "design_effect" in trials.columns:
        raise InputError("The counts were changed already: apply denominators first, to the frame as it was loaded.")
    if isinstance(most_missing, bool) or not isinstance(most_missing, (int, float)) or not 0 <= most_missing < 1:
        raise OptionError(f"most_missing={most_missing!r} must be a share in [0, 1).")
    if policy in ("best", "worst") and "stable_disease" in set(trials["outcome"]):
        raise OptionError(f"policy={policy!r}: stable disease is neither the better nor the worse outcome; use 'itt'.")


def _treated(trials: pd.DataFrame) -> pd.Series[int]:
    """Number treated in the arm; missing where only that of the trial is known."""
    columns = [*_KEY, "arm", "n_patients", "n_lesions"]
    known = pd.concat([trials[columns], *(responses(name)[columns] for name in RESPONSES)], ignore_index=True)
    known = known.assign(number=_number(known))[~known["arm"].str.startswith("subgroup")]
    by_key = known.groupby(_KEY)
    arms, numbers = by_key["arm"].nunique(), by_key["number"].nunique()
    own = (arms == 1) | (numbers == arms)
    is_own = own.reindex(pd.MultiIndex.from_frame(trials[_KEY]), fill_value=False).to_numpy(dtype=bool)
    return _number(trials).where(is_own & ~trials["arm"].str.startswith("subgroup"))


def _number(rows: pd.DataFrame) -> pd.Series[int]:
    return rows["n_patients"].where(rows["unit"] == "patient", rows["n_lesions"]).astype("Int64")


def _note(frame: pd.DataFrame, policy: str, changed: pd.Series[bool], left: pd.Series[bool]) -> dict[str, object]:
    """Plain note: who changed and who could have."""
    said = [f"Denominators: {POLICY.choices[policy]}."]
    if changed.any():
        lost = int(frame.loc[changed, "missing"].sum())
        said.append(f"{lost} more in {int(changed.sum())} rows: {listed(frame.loc[changed, 'study'], limit=8)}.")
    if left.any() and policy != "evaluable":
        said.append(
            f"As loaded, since the numbers treated and evaluated do not match: {listed(frame.loc[left, 'study'])}."
        )
    unknown = frame["missing"].isna() & frame["outcome"].isin(list(_GOOD))
    if unknown.any() and policy != "evaluable":
        said.append(f"{int(unknown.sum())} rows do not tell how many were treated.")
    note = Note("denominators", " ".join(said), tuple(frame.loc[changed, "study"]))
    return {"code": note.code, "text": note.text, "studies": list(note.studies)}
