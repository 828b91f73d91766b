"""Selection of rows: an ordered list of rules, each with its reason for leaving a row out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd

from metaan.errors import DataError
from metaan.evidence.candidates import ALL, HYPERTHERMIA, PREVALENCE, SKIN_METASTASES, candidates
from metaan.evidence.labels import study_label
from metaan.evidence.options import GRADES, INTENDED, NAME, OUTCOME, OWN_THERAPIES
from metaan.evidence.overlap import OVERLAPS, PREFER, chosen
from metaan.evidence.store import TABLE1
from metaan.evidence.two_arms import paired
from metaan.names import RECORD

__all__ = ["LATER", "Selection", "Sifted", "counted", "sift", "tally", "told"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Checked arguments of `load`; an empty tuple, None and "any" admit every value."""

    name: str
    outcome: str
    unit: str | None = None
    therapy: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    primary_tumour: tuple[str, ...] = ()
    design: tuple[str, ...] = ()
    agent: str = ""
    role: tuple[str, ...] = ()
    counts: str = "any"
    confidence: str = "any"
    arms: str = "any"
    preferred: str = "any"
    overlaps: str = "keep"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: object) -> Selection:
        """Turn `to_dict` back; DataError where it is not what that wrote."""
        if not isinstance(plain, Mapping) or set(plain) != {field.name for field in fields(cls)}:
            raise DataError(_DAMAGED)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        if not all(_fits(values[field.name], field.default, field.name == "unit") for field in fields(cls)):
            raise DataError(_DAMAGED)
        checks: Mapping[str, Collection[str]] = {
            "name": NAME.choices, "outcome": (*OUTCOME.choices, SKIN_METASTASES), "overlaps": OVERLAPS.choices,
        } | {option.name: option.choices for option in GRADES}  # fmt: skip
        if any(values[name] not in choices for name, choices in checks.items()) or not values["agent"].isprintable():
            raise DataError(_DAMAGED)
        return cls(**values)


def _fits(value: object, default: object, may_lack: bool) -> bool:
    """Whether a value of a record has the type of its argument."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(text, str) for text in value)
    return isinstance(value, str) or (may_lack and value is None)


_DAMAGED: Final = f"The record of the selection (attrs[{RECORD!r}]) is not what metaan.load wrote. Load the rows again."


@dataclass(frozen=True)
class _Rule:
    """A row stays when its `value` is among `allowed` (None: every value); `found` says what else it was."""

    code: str
    value: Callable[[pd.DataFrame], pd.Series[Any]]
    allowed: Callable[[Selection, pd.Series[Any]], tuple[str, ...] | None]
    found: str


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
    return lambda rows: rows[name]


def _counted(rows: pd.DataFrame) -> pd.Series[Any]:
    known = rows["events"].notna() & rows["total"].notna()
    return known.map({True: "yes", False: "no"})


def _treatment(rows: pd.DataFrame) -> pd.Series[Any]:
    """Treatment of the arm, or "own" where it is the one that the row's file is about."""
    named = zip(rows["therapy"], rows["file"], strict=True)
    return pd.Series(["own" if therapy in OWN_THERAPIES[file] else therapy for therapy, file in named])


def _named_agent(selection: Selection, agents: pd.Series[Any]) -> tuple[str, ...] | None:
    """Agents that contain what was asked for."""
    if not selection.agent:
        return None
    return tuple(agents[agents.str.contains(selection.agent, case=False, regex=False)].unique())


def _part(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows["arm"].str.startswith("subgroup").map({True: "subgroup", False: "whole"})


_COUNTS: Final = {"printed": ("printed",), "derived": ("printed", "derived"), "any": None}
_CONFIDENCE: Final = {"high": ("high",), "medium": ("high", "medium"), "any": None}

_THERAPY: Final = _Rule("therapy", _column("therapy"), lambda s, _: s.therapy or None, "treatment is {value}")
_NO_COUNTS: Final = _Rule("no counts", _counted, lambda s, _: ("yes",), "no count is known")
_TUMOUR: Final = _Rule(
    "primary_tumour", _column("primary_tumour"), lambda s, _: s.primary_tumour or None, "primary tumour is {value}"
)
_DESIGN: Final = _Rule("design", _column("design"), lambda s, _: s.design or None, "design is {value}")
_COUNTED: Final = _Rule("counts", _column("counts"), lambda s, _: _COUNTS[s.counts], "counts are {value}")
_PREFERRED: Final = _Rule(
    "preferred",
    _column("preferred"),
    lambda s, _: None if s.preferred == "any" else (s.preferred,),
    "another row for the same lesions or patients is preferred",
)
_SURE: Final = _Rule(
    "confidence", _column("confidence"), lambda s, _: _CONFIDENCE[s.confidence], "confidence is {value}"
)
_RULES: Final = (
    _THERAPY,
    _NO_COUNTS,
    _Rule("unit", _column("unit"), lambda s, _: (s.unit,) if s.unit else None, "counted per {value}"),
    _Rule("scope", _column("response_scope"), lambda s, _: s.scope or None, "response of {value}"),
    _Rule("site", _column("site"), lambda s, _: s.site or None, "site is {value}"),
    _TUMOUR,
    _DESIGN,
    _Rule("agent", _column("agent"), _named_agent, "agent is {value}"),
    _Rule("role", _column("role"), lambda s, _: None if s.role in ((), (INTENDED,)) else s.role, "role is {value}"),
    _COUNTED,
    _PREFERRED,
    _Rule("arms", _part, lambda s, _: None if s.arms == "any" else (s.arms,), "the arm is a {value}"),
    _SURE,
)
_NAMED_RULES: Final = {
    TABLE1: (_THERAPY, _NO_COUNTS),
    PREVALENCE: (_NO_COUNTS, _TUMOUR, _DESIGN, _COUNTED, _PREFERRED, _SURE),
    ALL: (_Rule("therapy", _treatment, lambda s, _: s.therapy or None, "treatment is {value}"), *_RULES[1:]),
}

_TOLD_BY: Final = (
    "study_id", "year", "arm", "role", "therapy", "unit", "outcome", "response_scope", "total", "source_kind",
)  # fmt: skip
"""Columns by which a row is judged beside the others."""
_NAMED: Final = 4  # more findings of one rule than this are counted
LATER: Final = "after loading"
_ORDER: Final = (*dict.fromkeys([*(rule.code for rule in _RULES), "one arm", "overlaps", LATER]),)


@dataclass(frozen=True)
class Sifted:
    """Rows that stay; rows left out with `reason`, `detail` and `also` (further rules against them)."""

    kept: pd.DataFrame
    left_out: pd.DataFrame


def sift(selection: Selection) -> Sifted:
    """Apply the rules in their order; a row carries the first that excludes it as its reason."""
    rows = candidates(selection.name, selection.outcome)
    against: list[list[tuple[str, str]]] = [[] for _ in range(len(rows))]
    for rule in _NAMED_RULES.get(selection.name, _RULES):
        values = rule.value(rows)
        allowed = rule.allowed(selection, values)
        if allowed is None:
            continue
        for found, value in zip(against, values.tolist(), strict=True):
            if value not in allowed:
                found.append((rule.code, rule.found.format(value=value.replace("_", " "))))
    if selection.name != TABLE1:
        slim = rows[[name for name in _TOLD_BY if name in rows.columns]].reset_index(drop=True)
        for tell in (_tell_arms, _tell_overlaps):
            kept = slim[[not found for found in against]]
            for place, why in tell(kept, selection).items():
                against[place].append(why)
    gone = [found for found in against if found]
    out = np.array([bool(found) for found in against], dtype=bool)
    left_out = rows[out].assign(
        reason=[found[0][0] for found in gone],
        detail=[found[0][1] for found in gone],
        also=[", ".join(code for code, _ in found[1:]) for found in gone],
    )
    return Sifted(rows[~out], left_out)


def _tell_arms(kept: pd.DataFrame, selection: Selection) -> dict[int, tuple[str, str]]:
    """Control arms of trials whose experimental arm is in hand; single arms of two-arm comparisons."""
    if selection.name == HYPERTHERMIA:
        alone = kept.index[~paired(kept)] if len(kept) else kept.index
        return dict.fromkeys(alone, ("one arm", "no arm of the other treatment counts this in the same unit"))
    if selection.role != (INTENDED,):
        return {}
    tried = set(kept.loc[kept["role"] == "experimental", "study_id"])
    controls = kept.index[(kept["role"] == "control") & kept["study_id"].isin(tried)]
    return dict.fromkeys(controls, ("role", "control arm of a trial whose experimental arm is in hand"))


def _tell_overlaps(kept: pd.DataFrame, selection: Selection) -> dict[int, tuple[str, str]]:
    """Rows of studies whose patients a preferred study holds, or may hold."""
    if selection.overlaps not in PREFER or kept.empty:
        return {}
    instead = chosen(kept, selection.overlaps)
    return {
        int(place): ("overlaps", f"may share patients with {study_label(instead[study])}")
        for place, study in zip(kept.index, kept["study_id"].tolist(), strict=True)
        if study in instead
    }


def counted(left_out: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Each reason, in the order of the rules, with the rows and the studies that it left out."""
    studies: dict[str, list[str]] = {}
    for reason, study in zip(left_out["reason"].tolist(), left_out["study_id"].tolist(), strict=True):
        studies.setdefault(reason, []).append(study)
    return [(code, len(studies[code]), len(set(studies[code]))) for code in _ORDER if code in studies]


def tally(left_out: pd.DataFrame) -> pd.DataFrame:
    """Rows and studies left out for each reason, in the order of the rules."""
    lines = counted(left_out)
    return pd.DataFrame(
        {
            "reason": pd.Series([code for code, *_ in lines], dtype=left_out["reason"].dtype),
            "rows": np.array([rows for _, rows, _ in lines], dtype=np.int64),
            "studies": np.array([studies for *_, studies in lines], dtype=np.int64),
        }
    )


def told(left_out: pd.DataFrame, reason: str) -> str:
    """What one rule found instead of what was asked for, with numbers where it found several things."""
    details = left_out.loc[left_out["reason"] == reason, "detail"].value_counts()
    if len(details) == 1:
        return str(details.index[0])
    counted = [f"{text}: {number}" for text, number in details.items()]
    more = counted[_NAMED:]
    return ", ".join(counted[:_NAMED] + ([f"{len(more)} more"] if more else []))
