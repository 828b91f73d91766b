"""What a selection left out, row by row, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from metaan.errors import DataError, InputError, Note, shown
from metaan.evidence.candidates import HYPERTHERMIA
from metaan.evidence.frames import cleaned
from metaan.evidence.labels import row_labels, study_label
from metaan.evidence.notes import notes_on
from metaan.evidence.selection import LATER, Selection, Sifted, sift, tally, told
from metaan.names import READING, RECORD
from metaan.records import Shown

__all__ = ["Explanation", "explain"]

_COLUMNS = (
    "study", "study_id", "arm", "reason", "detail", "also", "therapy", "unit", "events", "total",
    "reported_pct", "site", "response_scope", "counts", "confidence", "preferred", "row",
)  # fmt: skip
_PLACES = ("row", "row_c")
_WIDTH = 110


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation(Shown):
    """What a selection holds and what it left out.

    Parameters
    ----------
    selection : dict
        Arguments of `load` with the defaults filled in; an empty list, None and "any" admit everything. Of a table
        from `read` its name, kind and measure.
    total : int
        Rows of the file for the outcome; always ``kept + len(rows)``.
    kept : int
        Rows of the file that are in hand.
    rows : pandas.DataFrame
        One line for each row left out. `reason` is the argument of `load` that excluded it first, or
        "no counts" (only a percentage is known), or "after loading" (removed from the frame since);
        `detail` says it in words; `also` names the other arguments that exclude it.
    counts : pandas.DataFrame
        Columns reason, rows, studies.
    notes : tuple of Note
        What to know about the rows in hand before they are pooled.
    """

    selection: dict[str, object]
    total: int
    kept: int
    rows: pd.DataFrame
    counts: pd.DataFrame
    notes: tuple[Note, ...]

    def __str__(self) -> str:
        what = str(self.selection["name"])
        if "outcome" in self.selection:
            what += f", {self.selection['outcome']} per {self.selection['unit']}"
        lines = [f"{what}: {self.kept} of {self.total} rows"]
        width = max((len(text) for text in self.counts["reason"]), default=0)
        lines += [
            f"{row.rows:5d} left out  {row.reason:<{width}}  {told(self.rows, str(row.reason))}"
            for row in self.counts.itertuples()
        ]
        of_reader = self.counts["reason"].str.replace(" ", "-") if "kind" in self.selection else ()
        told_already = {"left-out", *of_reader}
        for note in self.notes:
            if note.code not in told_already:
                lines += textwrap.wrap(
                    f"note: {note}{_advice(note)}", _WIDTH, initial_indent="  ", subsequent_indent="  "
                )
        return "\n".join(lines)


def _advice(note: Note) -> str:
    """What to do about an overlap; the note itself, which figures print too, only states it."""
    if note.code != "overlap":
        return ""
    unnamed = not all(study in note.text for study in note.studies)
    named = f" All of them: {', '.join(note.studies)}." if unnamed else ""
    return f"{named} Keep one study of each group to count nobody twice."


def explain(trials: pd.DataFrame) -> Explanation:
    """What the selection behind a frame left out, and why.

    Parameters
    ----------
    trials : pandas.DataFrame
        From `metaan.load`; it may have been filtered, sorted or given more columns since. Or from `metaan.read`.

    Returns
    -------
    Explanation
        Prints as a summary; `rows` lists each row left out. The rows in hand and the rows left out add up to
        all rows of the file for the outcome. For a table from `read`, what was decided in reading it.

    Raises
    ------
    InputError
        `trials` comes from neither `load` nor `read`, or lost its record (``attrs["metaan"]``) or its column `row`.
    DataError
        The record does not fit the tables of this installation, or rows of another selection were added.

    Examples
    --------
    >>> from metaan.evidence.load import load
    >>> story = explain(load("topical", outcome="complete_response", unit="patient", overlaps="prefer_largest"))
    >>> story.total == story.kept + len(story.rows)
    True
    """
    if isinstance(trials, pd.DataFrame) and RECORD not in trials.attrs and READING in trials.attrs:
        return _as_read(trials)
    selection, sifted = _again(trials)
    held = sifted.kept["row"].isin(_places(trials))
    kept = sifted.kept[held]
    removed = sifted.kept[~held].assign(reason=LATER, detail="removed from the frame after loading", also="")
    rows = sifted.left_out if removed.empty else pd.concat([sifted.left_out, removed])
    corrected = "design_effect" in trials.columns  # the lesions are no longer taken for independent
    notes = notes_on(Sifted(kept, rows), row_labels(kept), two_arms=selection.name == HYPERTHERMIA)
    rows = rows.assign(study=rows["study_id"].map(study_label)).reset_index(drop=True)
    return Explanation(
        selection=selection.to_dict(),
        total=len(kept) + len(rows),
        kept=len(kept),
        rows=rows[[column for column in _COLUMNS if column in rows.columns]],
        counts=tally(rows),
        notes=tuple(note for note in notes if not (corrected and note.code == "lesions")),
    )


def _as_read(trials: pd.DataFrame) -> Explanation:
    """What `read` left out of a file, and what it decided."""
    record = trials.attrs[READING]
    try:
        missing = {"place", "kind", "measure", "kept", "left_out"} - set(record)
        notes = tuple(Note(str(note["code"]), str(note["text"]), tuple(note["studies"])) for note in record["notes"])
    except (TypeError, KeyError, IndexError):
        missing = {"notes"}
    if missing:
        raise InputError(f"The record of how the frame was read (attrs[{READING!r}]) was changed.")
    later = [{"reason": LATER, "text": "removed from the frame after reading"}] * (record["kept"] - len(trials))
    rows = pd.DataFrame([*record["left_out"], *later], columns=["row", "reason", "text"])
    rows = rows.rename(columns={"text": "detail"}).astype({"row": "Int64"})
    counts = rows.groupby("reason", sort=False).size().rename("rows").reset_index()
    return Explanation(
        selection={"name": record["place"], "kind": record["kind"], "measure": record["measure"]},
        total=len(trials) + len(rows),
        kept=len(trials),
        rows=rows,
        counts=counts,
        notes=notes,
    )


def _places(trials: pd.DataFrame) -> list[int]:
    """Places in the file of the rows in hand, of both arms where one line holds two."""
    rows = cleaned(trials, counts=_PLACES)
    return [int(place) for name in _PLACES if name in rows.columns for place in rows[name].dropna()]


def _again(trials: object) -> tuple[Selection, Sifted]:
    """Repeat the selection that `load` wrote on the frame, and make sure that it is the same one."""
    if not isinstance(trials, pd.DataFrame):
        raise InputError(f"trials must be a DataFrame from metaan.load, not {type(trials).__name__}.")
    record = trials.attrs.get(RECORD)
    if record is None:
        raise InputError(
            f"The frame has no record of its selection (attrs[{RECORD!r}]): it is from neither metaan.load "
            "nor metaan.read, or an operation such as concat or merge dropped it. Explain the frame that they returned."
        )
    if "row" not in trials.columns:
        raise InputError("The frame has lost the column 'row', which tells its rows apart. Keep it to explain.")
    told: Mapping[str, Any] = record if isinstance(record, Mapping) else {}
    selection = Selection.from_dict(told.get("selection"))
    sifted = sift(selection)
    now = [len(sifted.kept), len(sifted.kept) + len(sifted.left_out)]
    then = [told.get("kept"), told.get("rows")]
    if not all(isinstance(rows, int) for rows in then) or then != now:
        raise DataError(
            f"The frame was loaded from other tables: {shown(then[0])} of {shown(then[1])} rows then, "
            f"{now[0]} of {now[1]} now. Load it again."
        )
    if not cleaned(trials, counts=["row"])["row"].isin(sifted.kept["row"]).all():
        raise DataError("The frame holds rows that its selection does not. Explain each loaded frame by itself.")
    return selection, sifted
