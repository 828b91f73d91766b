"""Selection of rows: an ordered list of rules, each with its reason for leaving a row out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from metaan.evidence.store import TABLE1, responses, table

__all__ = ["Selection", "Sifted", "candidates", "sift"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Checked arguments of `load`; an empty tuple and None admit every value."""

    name: str
    outcome: str
    unit: str | None = None
    site: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    therapy: tuple[str, ...] = ()
    counts: str = "any"
    confidence: str = "any"
    arms: str = "any"
    preferred: str = "any"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Selection:
        """Turn `to_dict` back."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})


@dataclass(frozen=True)
class _Rule:
    """A row stays when `value` of it is among `allowed` (None: every value); `why` says what else it was."""

    code: str
    value: Callable[[pd.DataFrame], pd.Series[Any]]
    allowed: Callable[[Selection], tuple[str, ...] | None]
    why: str


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
    return lambda rows: rows[name]


def _counted(rows: pd.DataFrame) -> pd.Series[Any]:
    known = rows["events"].notna() & rows["total"].notna()
    return known.map({True: "yes", False: "no"})


def _part(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows["arm"].str.startswith("subgroup").map({True: "subgroup", False: "whole"})


_COUNTS: Final = {"printed": ("printed",), "derived": ("printed", "derived"), "any": None}
_CONFIDENCE: Final = {"high": ("high",), "medium": ("high", "medium"), "any": None}

_THERAPY: Final = _Rule("therapy", _column("therapy"), lambda s: s.therapy or None, "the arm's therapy is {value}")
_NO_COUNTS: Final = _Rule("no counts", _counted, lambda s: ("yes",), "no count is printed or can be worked out")
_RULES: Final = (
    _THERAPY,
    _NO_COUNTS,
    _Rule("unit", _column("unit"), lambda s: (s.unit,) if s.unit else None, "counted per {value}"),
    _Rule("scope", _column("response_scope"), lambda s: s.scope or None, "response of {value}"),
    _Rule("site", _column("site"), lambda s: s.site or None, "site is {value}"),
    _Rule("counts", _column("counts"), lambda s: _COUNTS[s.counts], "counts are {value}"),
    _Rule(
        "preferred",
        _column("preferred"),
        lambda s: None if s.preferred == "any" else (s.preferred,),
        "another reading of the same arm is preferred, or the arm is inside another one",
    ),
    _Rule("arms", _part, lambda s: None if s.arms == "any" else (s.arms,), "the arm is a {value}"),
    _Rule("confidence", _column("confidence"), lambda s: _CONFIDENCE[s.confidence], "confidence is {value}"),
)
_TABLE1_RULES: Final = (_THERAPY, _NO_COUNTS)


@dataclass(frozen=True)
class Sifted:
    """Rows that stay, and rows left out with `reason`, `detail` and `also` (further rules that exclude them)."""

    kept: pd.DataFrame
    left_out: pd.DataFrame


def candidates(name: str, outcome: str) -> pd.DataFrame:
    """Every row of a name for one outcome, before any selection."""
    if name == TABLE1:
        return _table1(outcome)
    rows = responses(name)
    return rows[rows["outcome"] == outcome]


def _table1(outcome: str) -> pd.DataFrame:
    """Table 1 in the columns of a response file: one outcome, lesions as the denominator."""
    printed = table(TABLE1)
    definition = {"complete_response": "definition_cr", "objective_response": "definition_or"}[outcome]
    return pd.DataFrame(
        {
            "study_id": printed["study_id"],
            "year": printed["year"],
            "arm": "as printed",
            "therapy": printed["therapy"],
            "unit": "lesion",
            "outcome": outcome,
            "events": printed[outcome],
            "total": printed["n_lesions"],
            "n_patients": printed["n_patients"],
            "n_lesions": printed["n_lesions"],
            "definition": printed[definition],
            "asterisk": printed["asterisk"],
            "printed_as": printed["study"],
            "row": printed["row"],
        }
    )


def sift(selection: Selection) -> Sifted:
    """Apply the rules in their order; a row carries the first that excludes it as its reason."""
    rows = candidates(selection.name, selection.outcome)
    reason = pd.Series("", index=rows.index)
    detail = pd.Series("", index=rows.index)
    also = pd.Series("", index=rows.index)
    for rule in _TABLE1_RULES if selection.name == TABLE1 else _RULES:
        allowed = rule.allowed(selection)
        if allowed is None:
            continue
        value = rule.value(rows)
        out = ~value.isin(allowed)
        first, later = out & (reason == ""), out & (reason != "")
        detail = detail.mask(first, value.map(lambda v, text=rule.why: text.format(value=str(v).replace("_", " "))))
        also = also.mask(later, also.where(also == "", also + ", ") + rule.code)
        reason = reason.mask(first, rule.code)
    gone = reason != ""
    marked = rows.assign(reason=reason, detail=detail, also=also)
    return Sifted(rows[~gone], marked[gone])
