"""Response categories from the rows of the evidence base: one row for each study with all four counts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import pandas as pd

from metaan.errors import DataError, InputError, Note, OptionError, OverlapWarning, listed, recorded
from metaan.evidence.asked import asked
from metaan.evidence.candidates import ALL, named
from metaan.evidence.frames import cleaned
from metaan.evidence.guards import ways_out
from metaan.evidence.labels import row_labels, study_label
from metaan.evidence.overlap import OVERLAPS, PREFER, chosen, shared
from metaan.evidence.selection import sift
from metaan.evidence.store import RESPONSES
from metaan.names import RECORD
from metaan.validate import Option, require_columns, single_columns

__all__ = ["response_table"]

CATEGORIES: Final = {
    "cr": "complete_response", "pr": "partial_response", "sd": "stable_disease", "pd": "progressive_disease",
}  # fmt: skip
SPLIT: Final = Option(
    "split",
    {"four": "complete, partial, stable, progressive", "three": "complete, partial, no response"},
    "four",
)
_SPLITS: Final = {"four": ("cr", "pr", "sd", "pd"), "three": ("cr", "pr", "nr")}
_WORDS: Final = {**CATEGORIES, "or": "objective_response", "nr": "no_response"}
_SHORT_NAMES: Final = {word: name for name, word in _WORDS.items()}
NAME: Final = Option("trials", dict.fromkeys((*RESPONSES, ALL), "rows of metaan.load"), RESPONSES[0])
REMAINDER: Final = Option(
    "remainder",
    {"yes": "a fourth category is what the other three leave of the total", "no": "only printed counts and their sums"},
    "yes",
)
SHORT: Final = Option(
    "short",
    {
        "leave_out": "studies whose categories sum to less than the total are left out",
        "evaluable": "they enter with the sum of their categories as total",
    },
    "leave_out",
)
_KEY: Final = ("study_id", "arm", "unit", "response_scope")
_SAME: Final = (
    "year", "file", "therapy", "agent", "site", "primary_tumour", "design", "n_patients", "n_lesions", "source_kind",
    "row",
)  # fmt: skip


class _Ask(NamedTuple):
    """Categories, whether one may be a remainder, whether those that sum to too little are left out."""

    names: tuple[str, ...]
    remainder: bool
    strict: bool


class _Read(NamedTuple):
    """What one arm gives: its counts, or why they cannot be had."""

    counts: dict[str, int]
    total: int
    remainder: str = ""
    reason: str = ""
    shortened: bool = False


def response_table(
    trials: str | pd.DataFrame,
    *,
    split: str = "four",
    remainder: str = "yes",
    short: str = "leave_out",
    overlaps: str = "raise",
    **selection: Any,
) -> pd.DataFrame:
    """Counts of the response categories together: one row for each study or arm.

    Parameters
    ----------
    trials : str or pandas.DataFrame
        Name of a treatment as in `metaan.load`, whose rows are read for every outcome; or rows of `load` for several
        outcomes, one below the other (columns outcome, events, total, and study_id or study).
    split : {"four", "three"}
        cr, pr, sd, pd; or cr, pr, nr (no response), which more studies give.
    remainder : {"yes", "no"}
        Whether the only category that is not known may be what the others leave of the total. This takes all of the
        total as assessed; the studies concerned are noted.
    short : {"leave_out", "evaluable"}
        What to do where the categories sum to less than the total.
    overlaps : {"raise", "prefer_largest", "prefer_primary", "keep"}
        As in `metaan.load`, among the studies with all categories. Rows in a frame stand as they were chosen.
    **selection
        Other arguments of `metaan.load`: unit, scope, site, therapy ... Only with a name.

    Returns
    -------
    pandas.DataFrame
        Columns study, year, cr, pr, sd, pd (or nr), total, unit, derived (the category that is a remainder), study_id,
        arm and provenance; sorted by year and study. ``attrs["metaan"]`` has the notes and, for each arm that was left
        out, the reason.

    Raises
    ------
    OptionError
        Unknown name or option; no `unit` where patients and lesions both occur; studies that share patients.
    InputError, DataError
        Columns are missing, several units or scopes, or no study has all categories.

    Warns
    -----
    OverlapWarning
        Under ``overlaps="keep"``, when studies share patients or may share them.

    Notes
    -----
    All rows of an arm must have one total n. Used are objective response = cr + pr, no response = sd + pd = n - cr - pr
    and n = cr + pr + sd + pd; where all respond, sd = pd = 0. Numbers that contradict each other leave the arm out.
    With ``split="three"`` and nothing printed of those who did not respond, they are n - or: who was not assessed is
    taken as not responding.

    Examples
    --------
    >>> table = response_table("topical", unit="patient", overlaps="prefer_largest")
    >>> print(table[["study", "cr", "pr", "sd", "pd", "total"]].to_string(index=False))
           study  cr  pr  sd  pd  total
       Read 2017  12  21  13   8     54
    Salazar 2017   5   5   3   1     14
      Yeung 2017   2   4   6   3     15
    """
    names = _SPLITS[SPLIT.check(split)]
    ask = _Ask(names, REMAINDER.check(remainder) == "yes", SHORT.check(short) == "leave_out")
    OVERLAPS.check(overlaps)
    by_name = isinstance(trials, str)
    rows = _selected(str(trials), selection) if by_name else _given(trials, selection)
    _one(rows, "unit", "unit='lesion' or unit='patient'")
    _one(rows, "response_scope", "scope=")
    table, gone = _arms(rows, ask)
    notes = _notes(table, gone)
    if by_name and not table.empty:
        table, more = _without_overlaps(table, overlaps)
        notes += more
    if table.empty:
        raise InputError("No study has all response categories. " + " ".join(map(str, notes)))
    record = [recorded(note) for note in notes]
    out = table.drop(columns="shortened")
    out.attrs[RECORD] = {"notes": record, "left_out": [{"study": s, "reason": why} for s, why in gone.items()]}
    return out


def _selected(name: str, selection: Mapping[str, Any]) -> pd.DataFrame:
    """Rows that `load` would take, of every response outcome."""
    NAME.check(name)
    if "outcome" in selection:
        raise OptionError("outcome does not apply to response_table: it reads all response categories.")
    if unknown := [key for key in selection if key not in _DEFAULTS]:
        raise OptionError(f"{', '.join(unknown)} is no argument of metaan.load. Choose among {', '.join(_DEFAULTS)}.")
    found = named(name)["outcome"]
    parts = [
        sift(asked(name, outcome=outcome, **{**_DEFAULTS, **selection}, overlaps="keep")).kept
        for outcome in _SHORT_NAMES
        if (found == outcome).any()
    ]
    return pd.concat(parts, ignore_index=True)


_DEFAULTS: Final = {
    "unit": None, "therapy": None, "site": None, "scope": "treated_lesions", "primary_tumour": "any", "design": "any",
    "agent": "any", "role": "intended", "counts": "derived", "confidence": "medium", "arms": "whole",
    "preferred": "yes",
}  # fmt: skip


def _given(trials: Any, selection: Mapping[str, Any]) -> pd.DataFrame:
    """Rows in hand with the columns that tell their arms apart."""
    if selection:
        raise OptionError(f"{', '.join(selection)} selects rows of a name; the rows of a frame stand as they are.")
    require_columns(trials, ["outcome", "events", "total"])
    if not {"study_id", "study"} & set(trials.columns):
        raise InputError("trials lacks study_id or study, which tells whose counts belong together.")
    single_columns(trials, ["study", *_KEY, *_SAME], "trials")
    trials = cleaned(trials, texts=["outcome", "study", *_KEY], counts=["events", "total"], whole=False)
    trials = cleaned(trials, counts=["year", "row"])
    rows: pd.DataFrame = trials[trials["outcome"].isin(list(_SHORT_NAMES))].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"No row has one of the outcomes {', '.join(_SHORT_NAMES)}.")
    if "study_id" not in rows.columns:
        rows = rows.assign(study_id=rows["study"])
    if "row" not in rows.columns:
        rows = rows.assign(row=range(1, len(rows) + 1))
    return rows.assign(**{name: "" for name in _KEY if name not in rows.columns})


def _one(rows: pd.DataFrame, column: str, how: str) -> None:
    """Refuse two units or scopes of response."""
    studies = rows.groupby(column)["study_id"].nunique()
    if len(studies) > 1:
        found = ", ".join(f"{name} in {number} studies" for name, number in studies.items())
        raise DataError(f"The rows have several values of {column} ({found}), which cannot be pooled: choose {how}.")


def _arms(rows: pd.DataFrame, ask: _Ask) -> tuple[pd.DataFrame, dict[str, str]]:
    """Table of the arms with all four counts, and the reason against each other arm."""
    keep = [name for name in _SAME if name in rows.columns]
    heads = rows.drop_duplicates(list(_KEY)).reset_index(drop=True)
    heads = heads.assign(study=row_labels(heads))
    groups = dict(iter(rows.groupby(list(_KEY), sort=False)))
    lines, gone = [], {}
    for head in heads.to_dict("records"):
        read = _read(groups[tuple(head[name] for name in _KEY)], ask)
        if read.reason:
            gone[str(head["study"])] = read.reason
            continue
        counts = {name: read.counts[name] for name in ask.names}
        lines.append(
            {"study": head["study"], "year": head.get("year"), **counts, "total": read.total, "unit": head["unit"],
             "derived": read.remainder, "shortened": read.shortened}
            | {name: head[name] for name in ("study_id", "arm", "response_scope", *keep)}
        )  # fmt: skip
    table = pd.DataFrame(lines)
    if lines:
        order = ["year", "study"] if "year" in keep else ["study"]
        table = table.sort_values(order, ignore_index=True, kind="stable") if "year" in keep else table
    return table, gone


def _read(rows: pd.DataFrame, ask: _Ask) -> _Read:
    """The four counts of one arm from the outcomes it gives."""
    known: dict[str, int] = {}
    whole = rows[["events", "total"]].dropna(how="all").astype(float)
    if (whole % 1 > 0).any(axis=None):
        return _Read({}, 0, reason="counts that are no whole numbers")
    totals = {int(n) for n in rows["total"].dropna()}
    counted = rows.dropna(subset=["events", "total"])
    for outcome, events in zip(counted["outcome"], counted["events"], strict=True):
        name = _SHORT_NAMES[outcome]
        if known.setdefault(name, int(events)) != int(events):
            return _Read({}, 0, reason=f"two counts of {outcome.replace('_', ' ')}")
    if len(totals) != 1:
        return _Read({}, 0, reason="the outcomes have different totals" if totals else "no counts")
    n = totals.pop()
    filled = _filled(known, n, ask.names)
    lacking = [name for name in ask.names if name not in filled]
    if len(lacking) == 1 and ask.remainder:
        filled[lacking[0]] = n - sum(filled[name] for name in ask.names if name in filled)
    elif lacking:
        return _Read({}, n, reason="not known: " + ", ".join(_WORDS[name].replace("_", " ") for name in lacking))
    total = sum(filled[name] for name in ask.names)
    if min(filled.values()) < 0 or total > n or _contradicts(filled, n):
        return _Read({}, n, reason="the counts contradict each other")
    if total < n and ask.strict:
        return _Read({}, n, reason="the categories sum to less than the total")
    return _Read(filled, total, remainder="".join(lacking), shortened=total < n)


def _filled(known: Mapping[str, int], n: int, names: tuple[str, ...]) -> dict[str, int]:
    """Counts that follow by addition: or = cr + pr, nr = sd + pd = n - or."""
    out = dict(known)
    for _ in range(3):
        if "or" not in out and "nr" in out:
            out["or"] = n - out["nr"]
        for whole, one, other in (("or", "cr", "pr"), ("nr", "sd", "pd")):
            if whole not in out and {one, other} <= out.keys():
                out[whole] = out[one] + out[other]
            for part, rest in ((one, other), (other, one)):
                if part not in out and {whole, rest} <= out.keys():
                    out[part] = out[whole] - out[rest]
        if out.get("or") == n:
            out = {"sd": 0, "pd": 0, "nr": 0} | out
        if "nr" in names and "nr" not in out and "or" in out:
            out["nr"] = n - out["or"]
    return out


def _contradicts(filled: Mapping[str, int], n: int) -> bool:
    """Whether a printed sum is not that of its parts."""
    response = filled["cr"] + filled["pr"]
    none = filled.get("nr", 0)
    parts = filled.get("sd", 0) + filled.get("pd", 0) if {"sd", "pd"} <= filled.keys() else none
    return filled.get("or", response) != response or none > n - response or parts > n - response


def _notes(table: pd.DataFrame, gone: Mapping[str, str]) -> tuple[Note, ...]:
    """What was left out, and what was reckoned."""
    notes = []
    if gone:
        reasons: dict[str, list[str]] = {}
        for study, why in gone.items():
            reasons.setdefault(why, []).append(study)
        told = "; ".join(f"{why} ({listed(studies)})" for why, studies in reasons.items())
        number = f"{len(gone)} of {len(gone) + len(table)} arms"
        notes.append(Note("left-out", f"{number} left out for their categories: {told}.", tuple(gone)))
    if table.empty:
        return tuple(notes)
    derived = table[table["derived"] != ""]
    if len(derived):
        told = ", ".join(f"{name} in {listed(part['study'])}" for name, part in derived.groupby("derived", sort=False))
        text = f"Taken as what the other categories leave of the total, all of it assessed: {told}."
        notes.append(Note("remainder", text, tuple(derived["study"])))
    cut = tuple(table.loc[table["shortened"], "study"])
    if cut:
        notes.append(
            Note("evaluable", f"The total is the sum of the categories, less than printed: {listed(cut)}.", cut)
        )
    return tuple(notes)


def _without_overlaps(table: pd.DataFrame, policy: str) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Studies that share patients, refused, chosen among or kept."""
    pairs = shared(table["study_id"].unique())
    if not pairs:
        return table, ()
    if policy in PREFER:
        instead = chosen(table, policy)
        out = table["study_id"].isin(list(instead))
        told = ", ".join(f"{study_label(a)} (may share patients with {study_label(b)})" for a, b in instead.items())
        note = Note("overlaps", f"Left out under overlaps={policy!r}: {told}.", tuple(table.loc[out, "study"]))
        return table[~out].reset_index(drop=True), (note,)
    told = _pairs((study_label(pair.first), study_label(pair.second)) for pair in pairs)
    text = f"Studies share patients, or may: {told}."
    if policy == "raise":
        raise OptionError(f"{text} {ways_out()}")
    warnings.warn(text, OverlapWarning, stacklevel=3)
    return table, ()


def _pairs(pairs: Iterable[tuple[str, str]], most: int = 5) -> str:
    said = list(dict.fromkeys(f"{one} and {other}" for one, other in pairs))
    return "; ".join(said[:most]) + (f"; and {len(said) - most} more pairs" if len(said) > most else "")
