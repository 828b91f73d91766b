"""Selection of analysis-ready rows from the evidence base."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Final, TypeAlias

import pandas as pd

from metaan.errors import InputError, OptionError, OverlapWarning, recorded
from metaan.evidence.asked import asked
from metaan.evidence.candidates import HYPERTHERMIA
from metaan.evidence.guards import one_scope, one_unit, overlapping, ways_out
from metaan.evidence.labels import row_labels
from metaan.evidence.notes import notes_on
from metaan.evidence.selection import Selection, Sifted, counted, sift, told
from metaan.evidence.two_arms import wide
from metaan.names import RECORD

__all__ = ["load"]

_Values: TypeAlias = str | Collection[str]
_FIRST: Final = (
    "study", "year", "events", "total", "events_t", "total_t", "events_c", "total_c", "unit", "outcome", "therapy",
    "arm", "role",
)  # fmt: skip
_COUNTS: Final = ("events", "total", "events_t", "total_t", "events_c", "total_c")


def load(
    name: str,
    *,
    outcome: str | None = None,
    unit: str | None = None,
    therapy: _Values | None = None,
    site: _Values | None = None,
    scope: _Values = "treated_lesions",
    primary_tumour: _Values = "any",
    design: _Values = "any",
    agent: str = "any",
    role: _Values = "intended",
    counts: str = "derived",
    confidence: str = "medium",
    arms: str = "whole",
    preferred: str = "yes",
    overlaps: str = "raise",
) -> pd.DataFrame:
    """Analysis-ready rows of one treatment: one row for each study, or for each parallel arm of it.

    Each default narrows the selection and is switched off with ``"any"``. What was left out, and why, is told
    by `metaan.explain`. What would ruin an analysis is refused: patients with lesions, treated lesions with whole
    patients, and two studies that share patients, unless `overlaps` says what to do about them.

    Parameters
    ----------
    name : str
        electrochemotherapy, photodynamic, radiotherapy, intralesional, miltefosine, topical, other; ``"all"`` for
        these seven together; ``"hyperthermia"`` for radiotherapy with heat against radiotherapy alone, both arms in one
        row; ``"spratt2014"`` for the readable rows of that review's Table 1; ``"prevalence"`` for the share of cancer
        patients with skin metastases: see `metaan.catalogue`.
    outcome : str
        Event that is counted: complete_response, objective_response, partial_response, stable_disease, ... Left out
        for ``"prevalence"``.
    unit : {"lesion", "patient"}, optional
        Whether lesions or patients are counted. May be left out only where one of the two occurs.
    therapy : str or collection of str, optional
        Treatment of the arm. By default the one that the name stands for: another treatment's arm does not enter. For
        radiotherapy these are two, "radiotherapy" and "radiotherapy_hyperthermia", and a note counts the rows of each;
        arms that lump the two are "mixed". Comparators have their own value, mostly "other". In Table 1: ECT, PDT, RT
        or ILT; all by default.
    site : str or collection of str, optional
        cutaneous_metastases (the default), primary_skin_cancer, mixed, mucosal, other, any (the default of
        ``"hyperthermia"``, whose trials are mostly of chest-wall and nodal recurrences).
    scope : str or collection of str, default "treated_lesions"
        treated_lesions, whole_patient, untreated_lesions; "any" where one of them occurs.
    primary_tumour, design : str or collection of str, default "any"
        Tumour that was treated (breast, melanoma, ...) and design of the study (rct, prospective_single_arm, ...).
    agent : str, default "any"
        Part of the name of the drug, without regard to case: "bleomycin", "imiquimod".
    role : str or collection of str, default "intended"
        experimental, control, single or any; "intended" leaves out a control arm whose trial is in hand with its
        experimental arm, so that a trial of two doses or of heat added does not enter twice.
    counts : {"derived", "printed", "any"}, default "derived"
        Least certain counts to admit: printed in the source, also derived from printed numbers, also
        inferred.
    confidence : {"medium", "high", "any"}, default "medium"
        Least confidence in the reading of the source to admit.
    arms : {"whole", "subgroup", "any"}, default "whole"
        Whole arms, parts of an arm, or both.
    preferred : {"yes", "any"}, default "yes"
        The preferred reading of each study, arm, unit and outcome, or every reading.
    overlaps : {"raise", "prefer_largest", "prefer_primary", "keep"}, default "raise"
        What to do about studies that share patients or may share them (`metaan.overlaps`): refuse; keep the largest;
        keep original series rather than the collection that contains them, reports read in the original before those
        read in a review, then the largest; or keep all with a warning. A preference visits the studies in its order,
        ties going to the later report; a study stays unless it shares a group with one that stays. Table 1 stands as
        printed and only notes its overlaps.

    Returns
    -------
    pandas.DataFrame
        Sorted by year and study. `study` is a label unique in the frame, `events` and `total` are int64
        without gaps, `year`, `n_patients` and `n_lesions` Int64 (may be missing), `row` is the place in the
        file, and the rest is provenance: see studies/README.md ("" means not given). ``attrs["metaan"]``
        holds the selection, the rows left out for each reason, and notes, all as plain values. ``"hyperthermia"``
        has `events_t`, `total_t` (with heat), `events_c`, `total_c` (without) instead, and each column of an arm twice.

    Raises
    ------
    OptionError
        Unknown or missing name, outcome or option; an option that does not apply to the name. Also each refusal: no
        `unit` where lesions and patients both occur, several scopes, studies that share patients under
        ``overlaps="raise"``.
    InputError
        No row is left; the message says what removed how many.

    Warns
    -----
    OverlapWarning
        Under ``overlaps="keep"``, when studies share patients or may share them.

    Notes
    -----
    Rows of one study are its parallel arms. Notes name the rows whose patients another row contains or may
    share, and the rows with systemic treatment besides (`combined_with`). A row without a count (only a
    percentage is known) is never returned.

    Examples
    --------
    >>> ask = {"outcome": "complete_response", "unit": "lesion"}
    >>> trials = load("electrochemotherapy", **ask, overlaps="prefer_largest")
    >>> len(trials), int(trials["total"].sum())
    (16, 1897)
    >>> len(load("spratt2014", outcome="objective_response", therapy="PDT"))
    5
    """
    selection = asked(
        name, outcome=outcome, unit=unit, therapy=therapy, site=site, scope=scope, primary_tumour=primary_tumour,
        design=design, agent=agent, role=role, counts=counts, confidence=confidence, arms=arms, preferred=preferred,
        overlaps=overlaps,
    )  # fmt: skip
    selection = one_unit(selection)
    sifted = sift(selection)
    if sifted.kept.empty:
        raise InputError(_nothing_left(selection, sifted))
    one_scope(selection, sifted.kept)
    warned = overlapping(selection, sifted.kept)
    if warned and selection.overlaps == "raise":
        raise OptionError(f"{warned} {ways_out()}")
    if warned:
        warnings.warn(warned, OverlapWarning, stacklevel=2)
    return _finished(selection, sifted)


def _nothing_left(selection: Selection, sifted: Sifted) -> str:
    """Which rule removed how many rows, and what it found in them."""
    gone = sifted.left_out
    lines = [f"{rows} by {code} ({told(gone, code)})" for code, rows, _ in counted(gone)]
    return (
        f"No row of {selection.name} is left for {selection.outcome}. Of {len(gone)} rows, "
        f"{'; '.join(lines)}. Each reason but 'no counts' and 'one arm' is an argument of load that can admit more."
    )


def _finished(selection: Selection, sifted: Sifted) -> pd.DataFrame:
    """Labelled, sorted rows with the record of their selection."""
    two_arms = selection.name == HYPERTHERMIA
    frame = wide(sifted.kept) if two_arms else sifted.kept
    labels = row_labels(frame)
    frame = frame.assign(study=labels).astype({name: "int64" for name in _COUNTS if name in frame.columns})
    frame = frame.sort_values(["year", "study", "row"], ignore_index=True)
    first = [column for column in _FIRST if column in frame.columns]
    frame = frame[first + [column for column in frame.columns if column not in first]]
    notes = notes_on(sifted, row_labels(sifted.kept), two_arms=two_arms)
    frame.attrs[RECORD] = {
        "selection": selection.to_dict(),
        "rows": len(sifted.kept) + len(sifted.left_out),
        "kept": len(sifted.kept),
        "left_out": [
            {"reason": code, "rows": rows, "studies": studies} for code, rows, studies in counted(sifted.left_out)
        ],
        "notes": [recorded(note) for note in notes],
    }
    return frame
