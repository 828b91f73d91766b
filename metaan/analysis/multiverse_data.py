"""The choices of a multiverse that concern the data: sets of studies selected anew under other rules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.multiverse_choices import levels
from metaan.errors import InputError, MetaanError, Note, OptionError, OverlapWarning, listed, shown
from metaan.measures.correction import as_data
from metaan.measures.proportion import counts as read_counts
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.names import RECORD
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Rows", "Sets", "given_sets", "of_effects"]

_KEPT: Final = "as given"
_INDEPENDENT: Final = "0"  # correlation of lesions, and of patients, that are taken as they are
_SAME: Final = ("row", "events", "total")
_LOADED: Final = ("unit", "overlaps", "counts", "confidence")
_DEFAULT: Final = {
    "overlaps": ("prefer_largest", "prefer_primary"), "counts": ("derived", "printed"),
    "confidence": ("medium", "high"), "denominators": ("evaluable", "itt"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One set of studies under one level of each choice; without studies where nothing could be selected."""

    choices: dict[str, str]
    events: FloatArray
    total: FloatArray
    study: tuple[str, ...]
    effects: Effects | None = None
    effective: pd.DataFrame | None = None
    """The table, where its counts are effective ones, after `metaan.design_effect`."""
    failed: str = ""

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sets:
    """Sets that differ, and choices that lead to a set that is there already, with the choices of that set."""

    sets: tuple[Rows, ...]
    twins: tuple[tuple[dict[str, str], dict[str, str]], ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Columns:
    """Where the counts stand in a table."""

    events: Any
    total: Any
    study: Any


def of_effects(eff: Effects) -> Sets:
    """Effects that are ready made."""
    eff = as_data(eff)
    nothing = np.full(eff.k, np.nan)
    events, total = (nothing if part is None else part for part in (eff.events, eff.total))
    notes = eff.notes + data_notes(eff.data) + repeated(eff)
    return Sets(sets=(Rows(choices={}, events=events, total=total, study=eff.study, effects=eff),), notes=notes)


def given_sets(trials: pd.DataFrame, columns: Columns, asked: Mapping[str, Any]) -> Sets:
    """The set in hand, and those that other choices of `metaan.load` would have given where it comes from there."""
    record = getattr(trials, "attrs", {}).get(RECORD)
    chosen = [name for name, value in asked.items() if value is not None]
    if record is None:
        if chosen:
            text = f"{', '.join(f'{name}=' for name in chosen)} select rows anew: trials must come from metaan.load"
            raise InputError(f"{text}. For a table of your own give the choices of the analysis.")
        rows = _rows({}, trials, columns)
        return Sets(sets=(rows,), notes=_repeated((rows,)))
    selection = dict(record["selection"])
    own = {name: str(selection[name] or _KEPT) for name in _LOADED}
    own["denominators"] = "evaluable"
    held = _held(trials, selection, columns)
    if held:
        if chosen:
            raise InputError(f"{', '.join(f'{name}=' for name in chosen)} select rows anew, but {held}.")
        note = Note("data-held", f"The rows are taken as they are: {held}.")
        rows = _rows({"unit": own["unit"]}, trials, columns)
        return Sets(sets=(rows,), notes=(*data_notes(trials), *_repeated((rows,)), note))
    return _selected(selection, _all_levels(own, asked), columns)


def _options() -> dict[str, Option]:
    from metaan.evidence.denominators import POLICY
    from metaan.evidence.options import CONFIDENCE, COUNTS, UNIT
    from metaan.evidence.overlap import OVERLAPS, PREFER

    useful = {choice: text for choice, text in OVERLAPS.choices.items() if choice in (*PREFER, "keep")}
    known = (
        ("unit", "units", UNIT.choices), ("overlaps", "overlaps", useful), ("counts", "counts", COUNTS.choices),
        ("confidence", "confidence", CONFIDENCE.choices), ("denominators", "denominators", POLICY.choices),
    )  # fmt: skip
    return {name: Option(argument, choices, next(iter(choices))) for name, argument, choices in known}


def _all_levels(own: dict[str, str], asked: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Levels of each choice, that of the table first where they are the default ones."""
    found = {}
    for name, option in _options().items():
        value = asked["units" if name == "unit" else name]
        if value is not None:
            found[name] = levels(option, value)
        else:
            first = (own[name],) if own[name] != "raise" else ()
            found[name] = tuple(dict.fromkeys((*first, *_DEFAULT.get(name, ()))))
    return found if asked["icc"] is None else found | {"icc": _correlations(asked["icc"])}


def _held(trials: pd.DataFrame, selection: dict[str, Any], columns: Columns) -> str:
    """Why the rows cannot be selected anew; "" where they can."""
    from metaan.evidence.candidates import HYPERTHERMIA, PREVALENCE
    from metaan.evidence.store import TABLE1

    name = selection["name"]
    if name in (TABLE1, PREVALENCE, HYPERTHERMIA):
        return f"{name} is no file of single arms"
    if not all(isinstance(column, str) and column in _SAME for column in (columns.events, columns.total)):
        return "other columns than events and total are pooled"
    again = _load(selection, {})
    if any(column not in trials.columns for column in _SAME) or len(again) != len(trials):
        return "the table was changed after it was loaded"
    one, two = (table[list(_SAME)].sort_values("row").to_numpy(dtype=np.float64) for table in (trials, again))
    return "" if np.array_equal(one, two) else "the table was changed after it was loaded"


def _load(selection: dict[str, Any], changes: dict[str, str]) -> pd.DataFrame:
    """The rows of a selection with some of its arguments changed."""
    from metaan.evidence.load import load
    from metaan.evidence.options import ANY, OWN_THERAPIES

    ask = {key: ANY if value in ("", []) else value for key, value in (selection | changes).items()}
    if tuple(selection["therapy"]) == OWN_THERAPIES[selection["name"]]:
        ask["therapy"] = None
    if ask["unit"] in (ANY, _KEPT):
        ask["unit"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)  # what "keep" means is told by a note of the result
        return load(ask.pop("name"), **ask)


def _selected(selection: dict[str, Any], every: dict[str, tuple[str, ...]], columns: Columns) -> Sets:
    """The sets of every combination of levels; one that is there already is a twin."""
    sets: list[Rows] = []
    twins = []
    seen: dict[tuple[Any, ...], dict[str, str]] = {}
    for choices, table in _tables(selection, every):
        if isinstance(table, MetaanError):
            sets.append(_empty(choices, _short(table)))
            continue
        rows = _rows(choices, table, columns)
        key = (choices["unit"], rows.study, rows.events.tobytes(), rows.total.tobytes())
        if key in seen:
            twins.append((choices, seen[key]))
        else:
            seen[key] = choices
            sets.append(rows)
    if not seen:
        raise OptionError(f"No choice leaves any row. The first said: {sets[0].failed}")
    return Sets(sets=tuple(sets), twins=tuple(twins), notes=_notes(sets) + _repeated(sets))


def _tables(
    selection: dict[str, Any], every: dict[str, tuple[str, ...]]
) -> Iterator[tuple[dict[str, str], pd.DataFrame | MetaanError]]:
    """Each combination of levels with its rows, or with why there are none."""
    from metaan.evidence.denominators import denominators

    for values in product(*(every[name] for name in _LOADED)):
        changes = dict(zip(_LOADED, values, strict=True))
        loaded = _or_error(partial(_load, selection, changes))
        for policy in every["denominators"]:
            counted = loaded
            if policy != "evaluable" and not isinstance(loaded, MetaanError):
                counted = _or_error(partial(denominators, loaded, policy=policy))
            choices = changes | {"denominators": policy}
            if "icc" not in every:
                yield choices, counted
                continue
            for icc in every["icc"] if changes["unit"] == "lesion" else (_INDEPENDENT,):
                yield choices | {"icc": icc}, _effective(counted, icc)


def _effective(table: pd.DataFrame | MetaanError, icc: str) -> pd.DataFrame | MetaanError:
    """Lesions with as much information as they carry under an intracluster correlation."""
    from metaan.evidence.units import design_effect

    if isinstance(table, MetaanError) or icc == _INDEPENDENT:
        return table
    return _or_error(partial(design_effect, table, icc=float(icc), cluster_size="median"))


def _or_error(make: Callable[[], pd.DataFrame]) -> pd.DataFrame | MetaanError:
    try:
        return make()
    except MetaanError as error:
        return error


def _correlations(icc: Any) -> tuple[str, ...]:
    """Intracluster correlations as levels, smallest first."""
    values = list(icc) if isinstance(icc, (Collection, np.ndarray)) and not isinstance(icc, str) else [icc]
    real = (int, float, np.integer, np.floating)
    usual = all(isinstance(v, real) and not isinstance(v, bool) and 0 <= v <= 1 for v in values)
    if not values or not usual:
        raise OptionError(f"icc={shown(icc)} must be a number in [0, 1], or several: 0, lesions are independent.")
    return tuple(dict.fromkeys(f"{float(value):g}" for value in sorted(values)))


def _short(error: MetaanError) -> str:
    """The first sentence of a message."""
    return str(error).split(". ")[0].rstrip(".") + "."


def _notes(sets: Sequence[Rows]) -> tuple[Note, ...]:
    """What the levels that are pooled have to say: patients counted twice, lesions within patients."""
    pooled = [rows.choices for rows in sets if not rows.failed]
    notes = []
    if any(choices["overlaps"] == "keep" for choices in pooled):
        notes.append(Note("overlap", "overlaps='keep' counts some patients twice: its intervals are too short."))
    found = {choices.get("icc", _INDEPENDENT) for choices in pooled if choices["unit"] == "lesion"}
    if _INDEPENDENT in found:
        text = "Lesions of one patient are alike, but count as independent"
        where = "where no icc is given." if len(found) > 1 else "here; give icc= as well."
        notes.append(Note("lesions", f"{text} {where}"))
    assumed = {
        name for rows in sets if rows.effective is not None
        for name, own in zip(rows.study, rows.effective["cluster_size_assumed"], strict=True) if own
    }  # fmt: skip
    if assumed:
        text = "The median number of lesions per patient stands in for that of studies that do not tell"
        notes.append(Note("cluster-size", f"{text}: {listed(sorted(assumed))}.", tuple(sorted(assumed))))
    return tuple(notes)


def _repeated(sets: Sequence[Rows]) -> tuple[Note, ...]:
    """Studies that come with several rows, which count as independent."""
    twice = {name for rows in sets for name in rows.study if rows.study.count(name) > 1}
    if not twice:
        return ()
    text = f"Several rows of one study are taken as independent: {listed(sorted(twice))}."
    return (Note("repeated-studies", text, tuple(sorted(twice))),)


def _rows(choices: dict[str, str], table: pd.DataFrame, columns: Columns) -> Rows:
    read = read_counts(table, columns.events, columns.total, columns.study, "raise")
    effective = table if "design_effect" in table.columns else None
    return Rows(choices=choices, events=read.events, total=read.total, study=read.study, effective=effective)


def _empty(choices: dict[str, str], failed: str) -> Rows:
    return Rows(choices=choices, events=np.empty(0), total=np.empty(0), study=(), failed=failed)
