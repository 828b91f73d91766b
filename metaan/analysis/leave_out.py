"""Which studies go together when some are left out: papers, centres, groups that share patients."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

import numpy as np

from metaan.core.many import BoolArray
from metaan.errors import InputError, Note, listed, shown
from metaan.measures.record import Effects
from metaan.models.design import rows_of

__all__ = ["OVERLAP_GROUP", "Clusters", "clusters_of"]

OVERLAP_GROUP: Final = "overlap_group"
_KEY: Final = "study_id"


class Clusters(NamedTuple):
    """Clusters of k studies, in the order in which they appear."""

    labels: tuple[str, ...]
    member: BoolArray
    """Which studies are in each, shape (k, clusters)."""
    notes: tuple[Note, ...]


def clusters_of(eff: Effects, by: Any, name: str) -> Clusters:
    """Clusters by a column of the data or by one value a study; a study without a value is a cluster of its own."""
    notes: tuple[Note, ...]
    if isinstance(by, str) and by == OVERLAP_GROUP and (eff.data is None or by not in eff.data.columns):
        keys, labels, notes = _overlaps(eff, name)
    else:
        keys, labels, notes = _given(eff, by, name)
    place: dict[Hashable, int] = {}
    code = np.array([place.setdefault(key, len(place)) for key in keys], dtype=np.intp)
    if len(place) < 2:
        raise InputError(f"{name} needs at least two clusters to leave one out; by= has one.")
    first = np.unique(code, return_index=True)[1]
    return Clusters(tuple(labels[i] for i in first), code[:, None] == np.arange(len(place)), notes)


def _given(eff: Effects, by: Any, name: str) -> tuple[list[Hashable], list[str], tuple[Note, ...]]:
    """Key and label of the cluster of each study."""
    import pandas as pd

    values = _values(eff, by, name)
    if len(values) != eff.k:
        raise InputError(f"by has {len(values)} values for {eff.k} studies.")
    for value in values:
        if not pd.api.types.is_scalar(value):
            raise InputError(f"by holds {value!r}, which is no label.")
    alone = [bool(pd.isna(value)) or (isinstance(value, str) and not value.strip()) for value in values]
    keys: list[Hashable] = [
        (own, i if own else value) for i, (own, value) in enumerate(zip(alone, values, strict=True))
    ]
    labels = _labels(alone, values, eff.study)
    if not any(alone):
        return keys, labels, ()
    names = tuple(study for own, study in zip(alone, eff.study, strict=True) if own)
    return (
        keys,
        labels,
        (Note("no-cluster", f"Without a value of by=, each a cluster of its own: {listed(names)}.", names),),
    )


def _labels(alone: list[bool], values: list[Any], study: Sequence[str]) -> list[str]:
    """Label of the cluster of each study, which no other cluster has."""
    named: dict[str, Any] = {}
    for own, value in zip(alone, values, strict=True):
        if not own and named.setdefault(_text(value), value) != value:
            raise InputError(f"by holds {named[_text(value)]!r} and {value!r}, which look the same: make them alike.")
    return [
        _text(value) if not own else f"{one} (study)" if one in named else one
        for own, value, one in zip(alone, values, study, strict=True)
    ]


def _text(value: Any) -> str:
    """A label; whole numbers of a column with gaps, which are floats there, as whole numbers."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _values(eff: Effects, by: Any, name: str) -> list[Any]:
    if isinstance(by, str):
        known = eff.data is not None and by in eff.data.columns
        if by == "study" and not known:
            return list(eff.study)
        rows = rows_of(eff, name)
        if by not in rows.columns:
            raise InputError(
                f"by={shown(by)} is not a column of the data. Columns: {', '.join(map(str, rows.columns))}."
            )
        return list(rows[by])
    if isinstance(by, (Mapping, Set, bytes)):
        raise InputError(f"by must be a column of the data or one value for each study, not a {type(by).__name__}.")
    try:
        return list(by)
    except TypeError as error:
        raise InputError(f"by={shown(by)} must be a column of the data or one value for each study.") from error


def _overlaps(eff: Effects, name: str) -> tuple[list[Hashable], list[str], tuple[Note, ...]]:
    """Studies of the evidence base that share patients, directly or through others: `metaan.overlaps`."""
    from metaan.evidence.overlap import shared

    rows = rows_of(eff, name)
    if _KEY not in rows.columns:
        text = f"by={shown(OVERLAP_GROUP)} reads a column of that name, or {_KEY!r} of trials from metaan.load"
        raise InputError(f"{text}; the data have neither. Columns: {', '.join(map(str, rows.columns))}.")
    keys = [str(key) for key in rows[_KEY]]
    root = {key: key for key in keys}
    pairs = shared(keys)
    for pair in pairs:
        one, other = root[pair.first], root[pair.second]
        root = {key: one if top == other else top for key, top in root.items()}
    groups: dict[str, set[str]] = {}
    for pair in pairs:
        groups.setdefault(root[pair.first], set()).add(pair.group)
    tops = [root[key] for key in keys]
    labels = [
        "+".join(sorted(groups[top])) if top in groups else study for top, study in zip(tops, eff.study, strict=True)
    ]
    return list(tops), labels, _members(eff, tops, groups)


def _members(eff: Effects, tops: list[str], groups: dict[str, set[str]]) -> tuple[Note, ...]:
    """What the groups of several studies hold."""
    notes = []
    for top, names in groups.items():
        inside = tuple(dict.fromkeys(study for own, study in zip(tops, eff.study, strict=True) if own == top))
        text = f"Overlap group {'+'.join(sorted(names))} is left out as one: {listed(inside)}."
        notes.append(Note("overlap-group", text, inside))
    return tuple(notes)
