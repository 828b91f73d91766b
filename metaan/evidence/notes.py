"""What a reader of a selection has to know before pooling it."""

from __future__ import annotations

import pandas as pd

from metaan.errors import Note, listed
from metaan.evidence.selection import Sifted, tally
from metaan.evidence.store import table

__all__ = ["notes_on"]


def notes_on(sifted: Sifted, labels: pd.Series[str]) -> tuple[Note, ...]:
    """Every note on a selection: what is missing from it and what must not be pooled unseen."""
    kept = sifted.kept
    found = (
        _left_out(sifted),
        _therapies(kept),
        _several_rows(kept, labels),
        _overlaps(kept, labels),
        _lesions(kept),
    )
    return tuple(note for note in found if note is not None)


def _left_out(sifted: Sifted) -> Note | None:
    if sifted.left_out.empty:
        return None
    total = len(sifted.kept) + len(sifted.left_out)
    counted = ", ".join(f"{row.reason} {row.rows}" for row in tally(sifted.left_out).itertuples())
    return Note("left-out", f"{len(sifted.left_out)} of {total} rows left out: {counted}.")


def _therapies(kept: pd.DataFrame) -> Note | None:
    rows = kept["therapy"].value_counts()
    if len(rows) < 2:
        return None
    counted = ", ".join(f"{name} {number}" for name, number in rows.items())
    return Note("therapies", f"The rows are of different treatments: {counted}.")


def _several_rows(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    again = kept["study_id"].duplicated(keep=False)
    if not again.any():
        return None
    number = kept.loc[again, "study_id"].nunique()
    who = "1 study has" if number == 1 else f"{number} studies have"
    text = f"{who} several rows, which a model takes for independent studies: {listed(labels[again])}."
    return Note("several-rows", text, tuple(labels[again]))


def _overlaps(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    """Groups with two studies in hand that may share patients.

    Studies marked `subset` are parts of the group's larger study; without that one nothing is repeated.
    """
    groups = table("overlaps")
    groups = groups[groups["study_id"].isin(kept["study_id"])]
    members = groups.groupby("cohort_group")["study_id"].transform("nunique")
    beyond = (groups["relation"] != "subset").groupby(groups["cohort_group"]).transform("any")
    shared = groups[(members > 1) & beyond]
    if shared.empty:
        return None
    concerned = tuple(labels[kept["study_id"].isin(shared["study_id"])])
    number = shared["cohort_group"].nunique()
    text = (
        f"{len(concerned)} rows come from studies that share or may share patients ({number} overlap "
        f"{'group' if number == 1 else 'groups'}): {listed(concerned)}. Keep one study of each group to "
        "count nobody twice."
    )
    return Note("overlap", text, concerned)


def _lesions(kept: pd.DataFrame) -> Note | None:
    if not (kept["unit"] == "lesion").any():
        return None
    known = kept["n_patients"].notna()
    patients, lesions = kept.loc[known, "n_patients"].sum(), kept.loc[known, "total"].sum()
    ratio = f" ({lesions} in {patients} patients where both are given)" if known.any() else ""
    text = (
        f"Lesions are counted{ratio}; lesions of one patient are alike, so an interval that takes them for "
        "independent is too narrow."
    )
    return Note("lesions", text)
