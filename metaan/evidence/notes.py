"""What a reader of a selection has to know before pooling it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pandas as pd

from metaan.errors import InputError, Note, listed
from metaan.evidence.frames import cleaned, noted
from metaan.evidence.labels import study_label
from metaan.evidence.options import TABLE1_THERAPY, THERAPY
from metaan.evidence.overlap import shared
from metaan.evidence.selection import Sifted, counted
from metaan.evidence.store import every_response

__all__ = ["cautions", "notes_on"]

_TREATMENTS: Final = {**THERAPY.choices, **TABLE1_THERAPY.choices}
_CHANGES: Final = ("denominators",)  # written on the frame by what changed its counts
_LOADED: Final = ("study", "study_id", "unit", "total", "n_patients")  # columns of every frame of `load`
_NAMED: Final = 10  # more studies than this are counted instead of named


def notes_on(sifted: Sifted, labels: pd.Series[str], *, two_arms: bool = False) -> tuple[Note, ...]:
    """Every note on a selection: what is missing from it and what must not be pooled unseen.

    `two_arms`: the rows are compared in pairs, so that two treatments and two rows of a study are as they should be.
    """
    kept = sifted.kept
    found = (
        _left_out(sifted),
        None if two_arms else _therapies(kept),
        _populations(kept),
        _combined(kept, labels),
        _printed_unit(kept, labels),
        None if two_arms else _several_rows(kept, labels),
        _overlaps(kept, labels),
        _lesions(kept),
    )
    return tuple(note for note in found if note is not None)


def cautions(rows: pd.DataFrame) -> tuple[Note, ...]:
    """What a result must repeat about rows in hand that `load` selected: shared patients, lesions within patients."""
    if not {*_LOADED} <= set(rows.columns):
        return ()
    try:
        rows = cleaned(rows, texts=_LOADED[:3], counts=_LOADED[3:], whole=False)
    except InputError:  # the caller's own columns of these names
        return ()
    said = [note for note in noted(rows) if note["code"] in _CHANGES]
    changed = [Note(note["code"], note["text"], tuple(note["studies"])) for note in said]
    found = (_overlaps(rows, rows["study"]), _lesions(rows), *changed)
    return tuple(note for note in found if note is not None)


def _left_out(sifted: Sifted) -> Note | None:
    if sifted.left_out.empty:
        return None
    total = len(sifted.kept) + len(sifted.left_out)
    reasons = ", ".join(f"{code} {rows}" for code, rows, _ in counted(sifted.left_out))
    return Note("left-out", f"{len(sifted.left_out)} of {total} rows left out: {reasons}.")


def _therapies(kept: pd.DataFrame) -> Note | None:
    if "therapy" not in kept.columns or kept["therapy"].nunique() < 2:
        return None
    rows = kept["therapy"].value_counts()
    numbers = "; ".join(f"{_rows(number)} of {_TREATMENTS[str(name)]}" for name, number in rows.items())
    return Note("therapies", f"The treatments differ: {numbers}.")


def _populations(kept: pd.DataFrame) -> Note | None:
    """Whose prevalence it is: all patients with cancer, those with metastases, autopsies."""
    if "population" not in kept.columns or kept["population"].nunique() < 2:
        return None
    numbers = "; ".join(f"{_rows(number)} of {name}" for name, number in kept["population"].value_counts().items())
    return Note("populations", f"The denominators differ: {numbers}.")


def _combined(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    if "combined_with" not in kept.columns:  # Table 1 does not say
        return None
    besides = kept["combined_with"] != ""
    if not besides.any():
        return None
    text = f"{_rows(besides.sum())} with systemic treatment besides: {listed(labels[besides], limit=8)}."
    return Note("combined", text, tuple(labels[besides]))


def _printed_unit(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    """Table 1 heads every number "lesions"; some are patients in the study's own text (AUDIT.md, section 4)."""
    if kept.empty or "asterisk" not in kept.columns:
        return None
    counts = ["study_id", "outcome", "events", "total"]
    units = _units()
    keys = zip(*(kept[name].tolist() for name in counts), strict=True)
    patients = pd.Series([units.get(key) == {"patient"} for key in keys], index=kept.index)
    wrong = patients & (kept["n_patients"] == kept["total"]).fillna(value=False).astype(bool)
    if not wrong.any():
        return None
    text = f"{_rows(wrong.sum())} printed as lesions count patients, by the study's own text: {listed(labels[wrong])}."
    return Note("printed-unit", text, tuple(labels[wrong]))


@cache
def _units() -> dict[tuple[Any, ...], set[str]]:
    """Units in which the evidence counts each study, outcome, events and total."""
    rows = every_response().dropna(subset=["events", "total"])
    units: dict[tuple[Any, ...], set[str]] = {}
    columns = (rows[name].tolist() for name in ("study_id", "outcome", "events", "total", "unit"))
    for *key, unit in zip(*columns, strict=True):
        units.setdefault(tuple(key), set()).add(unit)
    return units


def _several_rows(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    again = kept["study_id"].duplicated(keep=False)
    if not again.any():
        return None
    number = kept.loc[again, "study_id"].nunique()
    who = "1 study has" if number == 1 else f"{number} studies have"
    text = f"{who} several rows, which a model takes for independent studies: {listed(labels[again])}."
    return Note("several-rows", text, tuple(labels[again]))


def _overlaps(kept: pd.DataFrame, labels: pd.Series[str]) -> Note | None:
    """Studies that repeat patients of another study in hand, and studies that may.

    A study that is contained in another is named once, as such.
    """
    pairs = shared(kept["study_id"].unique())
    if not pairs:
        return None
    repeated = {pair.second: pair.first for pair in pairs if pair.contains}
    others = [pair for pair in pairs if pair.first not in repeated and pair.second not in repeated]
    doubtful = {study for pair in others for study in (pair.first, pair.second)}
    said = []
    if repeated:
        named = ", ".join(f"{study_label(part)} (in {study_label(whole)})" for part, whole in repeated.items())
        said.append(f"Contained in another row in hand: {named}.")
    if doubtful:
        names, groups = sorted(study_label(study) for study in doubtful), {pair.group for pair in others}
        what = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} studies in {len(groups)} groups"
        said.append(f"May share patients: {what}.")
    concerned = kept["study_id"].isin({*repeated, *repeated.values(), *doubtful})
    return Note("overlap", " ".join(said), tuple(labels[concerned]))


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def _lesions(kept: pd.DataFrame) -> Note | None:
    if not (kept["unit"] == "lesion").any() or "design_effect" in kept.columns:
        return None
    known = kept["n_patients"].notna()
    patients, lesions = (f"{kept.loc[known, name].sum():.0f}" for name in ("n_patients", "total"))
    ratio = f" ({lesions} in {patients} patients where both are given)" if known.any() else ""
    text = (
        f"Lesions are counted{ratio}; lesions of one patient are alike, so intervals of single studies are too "
        "narrow, and tau2 is too large."
    )
    return Note("lesions", text)
