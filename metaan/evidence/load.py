"""Selection of analysis-ready rows from the evidence base."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

import pandas as pd

from metaan.errors import InputError, OptionError
from metaan.evidence.labels import row_labels
from metaan.evidence.notes import notes_on
from metaan.evidence.options import (
    GRADES,
    NAME,
    OUTCOME,
    OWN_THERAPIES,
    SCOPE,
    SITE,
    TABLE1_THERAPY,
    THERAPY,
    UNIT,
    narrowed,
    several,
)
from metaan.evidence.selection import Selection, Sifted, sift, table1_outcomes, tally, told
from metaan.evidence.store import TABLE1, responses
from metaan.validate import Option

__all__ = ["RECORD", "load"]

RECORD: Final = "metaan"  # key of `DataFrame.attrs`

_Values: TypeAlias = str | Collection[str]
_FIRST: Final = ("study", "year", "events", "total", "unit", "outcome", "therapy", "arm", "role")


def load(
    name: str,
    *,
    outcome: str | None = None,
    unit: str | None = None,
    therapy: _Values | None = None,
    site: str | Collection[str] = "cutaneous_metastases",
    scope: str | Collection[str] = "treated_lesions",
    counts: str = "derived",
    confidence: str = "medium",
    arms: str = "whole",
    preferred: str = "yes",
) -> pd.DataFrame:
    """Analysis-ready rows of one treatment: one row for each study, or for each parallel arm of it.

    Each default narrows the selection and is switched off with ``"any"``. What was left out, and why, is told
    by `metaan.explain`.

    Parameters
    ----------
    name : str
        electrochemotherapy, photodynamic, radiotherapy, intralesional, miltefosine, topical, other, or
        ``"spratt2014"`` for the readable rows of that review's Table 1: see `metaan.catalogue`.
    outcome : str
        Event that is counted: complete_response, objective_response, partial_response, stable_disease, ...
    unit : {"lesion", "patient"}, optional
        Whether lesions or patients are counted. May be left out only where one of the two occurs.
    therapy : str or collection of str, optional
        Treatment of the arm. By default the one that the name stands for, whatever its role in the trial:
        another treatment's arm does not enter. For radiotherapy these are two, "radiotherapy" and
        "radiotherapy_hyperthermia", and a note counts the rows of each; arms that lump the two are "mixed".
        Comparators have their own value, mostly "other". In Table 1: ECT, PDT, RT or ILT; all by default.
    site : str or collection of str, default "cutaneous_metastases"
        cutaneous_metastases, primary_skin_cancer, mixed, mucosal, other, any.
    scope : str or collection of str, default "treated_lesions"
        treated_lesions, whole_patient, untreated_lesions, any.
    counts : {"derived", "printed", "any"}, default "derived"
        Least certain counts to admit: printed in the source, also derived from printed numbers, also
        inferred.
    confidence : {"medium", "high", "any"}, default "medium"
        Least confidence in the reading of the source to admit.
    arms : {"whole", "subgroup", "any"}, default "whole"
        Whole arms, parts of an arm, or both.
    preferred : {"yes", "any"}, default "yes"
        The preferred reading of each study, arm, unit and outcome, or every reading.

    Returns
    -------
    pandas.DataFrame
        Sorted by year and study. `study` is a label unique in the frame, `events` and `total` are int64
        without gaps, `year`, `n_patients` and `n_lesions` Int64 (may be missing), `row` is the place in the
        file, and the rest is provenance: see studies/README.md ("" means not given). ``attrs["metaan"]``
        holds the selection, the rows left out for each reason, and notes, all as plain values.

    Raises
    ------
    OptionError
        Unknown or missing name, outcome or option; no `unit` where lesions and patients both occur; an option
        that does not apply to Table 1.
    InputError
        No row is left; the message says what removed how many.

    Notes
    -----
    Rows of one study are its parallel arms. Notes name the rows whose patients another row contains or may
    share, and the rows with systemic treatment besides (`combined_with`). A row without a count (only a
    percentage is known) is never returned.

    Examples
    --------
    >>> trials = load("electrochemotherapy", outcome="complete_response", unit="lesion")
    >>> len(trials), int(trials["total"].sum())
    (22, 2702)
    >>> len(load("spratt2014", outcome="objective_response", therapy="PDT"))
    5
    """
    grades = list(zip(GRADES, (counts, confidence, arms, preferred), strict=True))
    if NAME.check(name) == TABLE1:
        selection = _table1(outcome, unit, therapy, [(SITE, site), (SCOPE, scope), *grades])
    else:
        rows = responses(name)
        selection = Selection(
            name=name,
            outcome=_outcome(name, outcome, rows),
            unit=None if unit is None else UNIT.check(unit),
            therapy=_therapies(name, therapy, rows),
            site=several(SITE, site),
            scope=several(SCOPE, scope),
            **{option.name: option.check(value) for option, value in grades},
        )
    sifted = sift(selection)
    if selection.unit is None and not sifted.kept.empty:
        selection = dataclasses.replace(selection, unit=_only_unit(name, sifted.kept))
        sifted = sift(selection)
    if sifted.kept.empty:
        raise InputError(_nothing_left(selection, sifted))
    return _finished(selection, sifted)


def _table1(
    outcome: str | None, unit: str | None, therapy: _Values | None, asked: Iterable[tuple[Option, object]]
) -> Selection:
    """Selection from Table 1, which has only outcomes and therapies to choose from."""
    for option, value in asked:
        if value != option.default:
            raise OptionError(
                f"{option.name}={value!r} does not apply to {TABLE1}, whose rows stand as "
                "printed. Choose among them with outcome= and therapy=."
            )
    if unit not in (None, "lesion"):
        raise OptionError(f"unit={unit!r} does not apply to {TABLE1}: its table counts lesions. Leave unit out.")
    return Selection(
        name=TABLE1,
        outcome=_outcome(TABLE1, outcome, table1_outcomes()),
        unit="lesion",
        therapy=() if therapy is None else several(TABLE1_THERAPY, therapy),
    )


def _therapies(name: str, therapy: _Values | None, rows: pd.DataFrame) -> tuple[str, ...]:
    if therapy is None:
        return OWN_THERAPIES[name]
    return several(narrowed(THERAPY, rows["therapy"]), therapy)


def _outcome(name: str, outcome: str | None, rows: pd.DataFrame) -> str:
    """The outcome if the rows have it; an error that lists those they have otherwise."""
    if outcome is not None:
        return narrowed(OUTCOME, rows["outcome"]).check(outcome)
    studies = rows.groupby("outcome")["study_id"].nunique().sort_values(ascending=False)
    known = ", ".join(f"{key} ({number})" for key, number in studies.items())
    raise OptionError(f"outcome is missing. {name} has, with numbers of studies: {known}.")


def _only_unit(name: str, kept: pd.DataFrame) -> str:
    studies = kept.groupby("unit")["study_id"].nunique()
    if len(studies) == 1:
        return str(studies.index[0])
    both = kept.groupby("study_id")["unit"].nunique().eq(2).sum()
    raise OptionError(
        f"{name} counts this outcome per lesion in {studies['lesion']} studies and per patient in "
        f"{studies['patient']} ({both} of them in both ways). The two cannot be pooled together: choose "
        "unit='lesion' or unit='patient'."
    )


def _nothing_left(selection: Selection, sifted: Sifted) -> str:
    """Which rule removed how many rows, and what it found in them."""
    gone = sifted.left_out
    lines = [f"{row.rows} by {row.reason} ({told(gone, str(row.reason))})" for row in tally(gone).itertuples()]
    return (
        f"No row of {selection.name} is left for {selection.outcome}. Of {len(gone)} rows, "
        f"{'; '.join(lines)}. Each reason but 'no counts' is an argument of load that can admit more."
    )


def _finished(selection: Selection, sifted: Sifted) -> pd.DataFrame:
    """Labelled, sorted rows with the record of their selection."""
    labels = row_labels(sifted.kept)
    frame = sifted.kept.assign(study=labels).astype({"events": "int64", "total": "int64"})
    frame = frame.sort_values(["year", "study", "row"], ignore_index=True)
    first = [column for column in _FIRST if column in frame.columns]
    frame = frame[first + [column for column in frame.columns if column not in first]]
    frame.attrs[RECORD] = {
        "selection": selection.to_dict(),
        "rows": len(sifted.kept) + len(sifted.left_out),
        "kept": len(sifted.kept),
        "left_out": tally(sifted.left_out).to_dict("records"),
        "notes": [
            {"code": note.code, "text": note.text, "studies": list(note.studies)} for note in notes_on(sifted, labels)
        ],
    }
    return frame
