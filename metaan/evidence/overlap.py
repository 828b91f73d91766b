"""Which studies share patients or may share them, and which to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Final

import pandas as pd

from metaan.evidence.frames import cleaned
from metaan.evidence.labels import study_label
from metaan.evidence.store import table
from metaan.validate import Option, require_columns

__all__ = ["OVERLAPS", "PREFER", "Shared", "chosen", "overlaps", "shared"]

OVERLAPS: Final = Option(
    "overlaps",
    {
        "raise": "refuse studies that share patients or may share them",
        "prefer_largest": "of studies that share patients keep the largest",
        "prefer_primary": "keep the original series rather than the collection that contains them",
        "keep": "keep all, with a warning",
    },
    "raise",
)
PREFER: Final = ("prefer_largest", "prefer_primary")


@dataclass(frozen=True)
class Shared:
    """Two studies of one overlap group; `contains`: the first holds the patients of the second."""

    group: str
    first: str
    second: str
    contains: bool


def shared(studies: Iterable[str]) -> list[Shared]:
    """Pairs among the studies that share patients or may share them.

    Two studies of a group are a pair, except two parts (`subset`) of one collection: the centres of a registry, or
    the rows of a review, do not repeat each other for being in it.
    """
    here = set(studies)
    found = []
    for group, members in _groups().items():
        for (one, first), (other, second) in combinations([pair for pair in members if pair[1] in here], 2):
            if not one == other == _PART:
                found.append(Shared(group, first, second, (one, other) in ((_WHOLE, _PART), (_SAME, _SAME))))
    return found


@cache
def _groups() -> dict[str, list[tuple[int, str]]]:
    """Members of each group with the rank of their relation to it, collections first."""
    groups: dict[str, set[tuple[int, str]]] = {}
    for row in table("overlaps").to_dict("records"):
        groups.setdefault(row["cohort_group"], set()).add((_rank(row["relation"]), row["study_id"]))
    return {group: sorted(members) for group, members in sorted(groups.items())}


_WHOLE, _SAME, _OTHER, _PART = range(4)


def _rank(relation: str) -> int:
    return {"superset": _WHOLE, "same_patients": _SAME, "subset": _PART}.get(relation, _OTHER)


def chosen(rows: pd.DataFrame, policy: str) -> dict[str, str]:
    """Studies to leave out under a preference, each with the study in hand that stays in its place.

    The studies are visited in the order of the preference; one stays unless it is paired with one that stays.
    """
    neighbours: dict[str, set[str]] = {}
    for pair in shared(rows["study_id"].unique()):
        neighbours.setdefault(pair.first, set()).add(pair.second)
        neighbours.setdefault(pair.second, set()).add(pair.first)
    stay: list[str] = []
    out: dict[str, str] = {}
    for study in _visited(rows[rows["study_id"].isin(list(neighbours))], policy):
        instead = [other for other in stay if other in neighbours[study]]
        if instead:
            out[study] = instead[0]
        else:
            stay.append(study)
    return out


def _visited(rows: pd.DataFrame, policy: str) -> list[str]:
    """Studies by size, then the later report; originals and primary reports come before that where asked for."""
    columns = (rows[name].tolist() for name in ("study_id", "source_kind", "total", "year"))
    lines = list(zip(*columns, strict=True))
    size: dict[str, int] = {}
    for study, _, total, _ in lines:
        size[study] = size.get(study, 0) + total
    places = []
    for study, kind, _, year in lines:
        place = (-size[study], 0 if pd.isna(year) else -year, study)
        first = (study in _collections(), kind != "primary") if policy == "prefer_primary" else ()
        places.append((*first, *place))
    return list(dict.fromkeys(str(place[-1]) for place in sorted(places)))


@cache
def _collections() -> frozenset[str]:
    """Studies that contain others."""
    known = table("overlaps")
    return frozenset(known.loc[known["relation"] == "superset", "study_id"])


def overlaps(trials: pd.DataFrame) -> pd.DataFrame:
    """Pairs of studies in hand that share patients or may share them.

    Parameters
    ----------
    trials : pandas.DataFrame
        With a column `study_id`, e.g. from `metaan.load`.

    Returns
    -------
    pandas.DataFrame
        One line for each pair and group: cohort_group, study_a, study_b (labels), study_id_a, study_id_b, relation_a,
        relation_b, notes_a, notes_b, and contained (True where one study's patients are the other's too; False where
        they may be). Empty where no two studies are in one group.

    Raises
    ------
    InputError
        `trials` is not a frame with a column `study_id`.

    Notes
    -----
    Relations are taken from texts or from centre and years; nothing was decided by comparing patients. A `superset`
    contains each `subset` of its group; two of `same_patients` report the same ones; `partial` and `possible` say how
    sure the sharing is. Two subsets of one group are parts of one collection and no pair.

    Examples
    --------
    >>> from metaan.evidence.load import load
    >>> trials = load("spratt2014", outcome="complete_response")
    >>> pairs = overlaps(trials)
    >>> print(pairs[["study_a", "study_b", "contained"]].head(2).to_string(index=False))
           study_a        study_b  contained
    Benevento 2012   Campana 2012      False
      Campana 2012 Quaglino 2008      False
    """
    require_columns(trials, ["study_id"])
    known = {(row["cohort_group"], row["study_id"]): row for row in table("overlaps").to_dict("records")}
    lines = []
    for pair in shared(cleaned(trials, texts=["study_id"])["study_id"].unique()):
        one, two = known[pair.group, pair.first], known[pair.group, pair.second]
        labels = (study_label(pair.first), study_label(pair.second), pair.contains, pair.first, pair.second)
        lines.append((pair.group, *labels, one["relation"], two["relation"], one["notes"], two["notes"]))
    return pd.DataFrame(lines, columns=list(_COLUMNS))


_COLUMNS: Final = (
    "cohort_group", "study_a", "study_b", "contained", "study_id_a", "study_id_b",
    "relation_a", "relation_b", "notes_a", "notes_b",
)  # fmt: skip
