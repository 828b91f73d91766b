"""What must not be pooled together, and the message that says how to choose."""

from __future__ import annotations

import dataclasses
from typing import Final

import pandas as pd

from metaan.errors import OptionError
from metaan.evidence.candidates import PREVALENCE
from metaan.evidence.labels import study_label
from metaan.evidence.options import SCOPE
from metaan.evidence.overlap import OVERLAPS, PREFER, Shared, shared
from metaan.evidence.selection import Selection, sift
from metaan.evidence.store import TABLE1

__all__ = ["one_scope", "one_unit", "overlapping", "ways_out"]

_SHOWN: Final = 5  # pairs named in a message


def one_unit(selection: Selection) -> Selection:
    """The selection with its unit; refuses patients and lesions together."""
    if selection.unit is not None:
        return selection
    kept = sift(dataclasses.replace(selection, overlaps="keep")).kept
    studies = kept.groupby("unit")["study_id"].nunique()
    if len(studies) < 2:
        return dataclasses.replace(selection, unit=None if kept.empty else str(studies.index[0]))
    both = kept.groupby("study_id")["unit"].nunique().eq(2).sum()
    raise OptionError(
        f"{selection.name} counts this outcome per lesion in {studies['lesion']} studies and per patient in "
        f"{studies['patient']} ({both} of them in both ways). The two cannot be pooled together: choose "
        "unit='lesion' or unit='patient'."
    )


def one_scope(selection: Selection, kept: pd.DataFrame) -> None:
    """Refuse the response of treated lesions together with that of whole patients or of untreated lesions."""
    if selection.name in (TABLE1, PREVALENCE):
        return
    studies = kept.groupby("response_scope")["study_id"].nunique()
    if len(studies) < 2:
        return
    found = ", ".join(f"{number} studies of {name} ({SCOPE.choices[str(name)]})" for name, number in studies.items())
    raise OptionError(
        f"{selection.name} has responses of {len(studies)} scopes for {selection.outcome}: {found}. A lesion can "
        f"respond in a patient who does not; choose one, e.g. scope={studies.idxmax()!r}."
    )


def overlapping(selection: Selection, kept: pd.DataFrame) -> str:
    """What to say about studies in hand that share patients, or may; "" when none do."""
    if selection.overlaps in PREFER or selection.name == TABLE1:
        return ""
    pairs = shared(kept["study_id"].unique())
    if not pairs:
        return ""
    studies = {study for pair in pairs for study in (pair.first, pair.second)}
    named = list(dict.fromkeys(_said(pair) for pair in sorted(pairs, key=lambda pair: not pair.contains)))
    more = f"; and {len(named) - _SHOWN} more pairs" if len(named) > _SHOWN else ""
    return (
        f"{len(studies)} of {kept['study_id'].nunique()} studies of {selection.name} share patients with another in "
        f"hand, or may: {'; '.join(named[:_SHOWN])}{more}."
    )


def ways_out() -> str:
    """How to choose among studies that share patients."""
    ways = "; ".join(f"{choice!r}, {OVERLAPS.choices[choice]}" for choice in (*PREFER, "keep"))
    return f"Choose with overlaps= ({ways}). metaan.overlaps lists the pairs of a frame."


def _said(pair: Shared) -> str:
    one, other = study_label(pair.first), study_label(pair.second)
    return f"{one} contains {other}" if pair.contains else f"{min(one, other)} and {max(one, other)}"
