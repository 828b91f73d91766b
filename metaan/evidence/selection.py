"""Selection of rows: an ordered list of rules, each with its reason for leaving a row out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from metaan.evidence.store import TABLE1, responses, table

__all__ = ["LATER", "Selection", "Sifted", "sift", "table1_outcomes", "tally", "told"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Checked arguments of `load`; an empty tuple, None and "any" admit every value."""

    name: str
    outcome: str
    unit: str | None = None
    therapy: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
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
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        return cls(**values)


@dataclass(frozen=True)
class _Rule:
    """A row stays when its `value` is among `allowed` (None: every value); `found` says what else it was."""

    code: str
    value: Callable[[pd.DataFrame], pd.Series[Any]]
    allowed: Callable[[Selection], tuple[str, ...] | None]
    found: str


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
    return lambda rows: rows[name]


def _counted(rows: pd.DataFrame) -> pd.Series[Any]:
    known = rows["events"].notna() & rows["total"].notna()
    return known.map({True: "yes", False: "no"})


def _part(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows["arm"].str.startswith("subgroup").map({True: "subgroup", False: "whole"})


_COUNTS: Final = {"printed": ("printed",), "derived": ("printed", "derived"), "any": None}
_CONFIDENCE: Final = {"high": ("high",), "medium": ("high", "medium"), "any": None}

_THERAPY: Final = _Rule("therapy", _column("therapy"), lambda s: s.therapy or None, "treatment is {value}")
_NO_COUNTS: Final = _Rule("no counts", _counted, lambda s: ("yes",), "no count is known")
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
        "another row for the same lesions or patients is preferred",
    ),
    _Rule("arms", _part, lambda s: None if s.arms == "any" else (s.arms,), "the arm is a {value}"),
    _Rule("confidence", _column("confidence"), lambda s: _CONFIDENCE[s.confidence], "confidence is {value}"),
)
_TABLE1_RULES: Final = (_THERAPY, _NO_COUNTS)

LATER: Final = "after loading"
_ORDER: Final = (*(rule.code for rule in _RULES), LATER)


@dataclass(frozen=True)
class Sifted:
    """Rows that stay; rows left out with `reason`, `detail` and `also` (further rules against them)."""

    kept: pd.DataFrame
    left_out: pd.DataFrame


def sift(selection: Selection) -> Sifted:
    """Apply the rules in their order; a row carries the first that excludes it as its reason."""
    rows = _candidates(selection.name, selection.outcome)
    against: list[list[tuple[str, str]]] = [[] for _ in range(len(rows))]
    for rule in _TABLE1_RULES if selection.name == TABLE1 else _RULES:
        allowed = rule.allowed(selection)
        if allowed is None:
            continue
        for found, value in zip(against, rule.value(rows), strict=True):
            if value not in allowed:
                found.append((rule.code, rule.found.format(value=value.replace("_", " "))))
    gone = [found for found in against if found]
    out = np.array([bool(found) for found in against], dtype=bool)
    left_out = rows[out].assign(
        reason=[found[0][0] for found in gone],
        detail=[found[0][1] for found in gone],
        also=[", ".join(code for code, _ in found[1:]) for found in gone],
    )
    return Sifted(rows[~out], left_out)


def _candidates(name: str, outcome: str) -> pd.DataFrame:
    """Every row of a name for one outcome, before any selection."""
    if name == TABLE1:
        return _table1(outcome)
    rows = responses(name)
    return rows[rows["outcome"] == outcome]


_DEFINITIONS: Final = {"complete_response": "definition_cr", "objective_response": "definition_or"}


def table1_outcomes() -> pd.DataFrame:
    """Study and outcome of each count of Table 1."""
    return pd.concat([_table1(outcome) for outcome in _DEFINITIONS]).dropna(subset="events")


def _table1(outcome: str) -> pd.DataFrame:
    """Table 1 in the columns of a response file: one outcome, lesions as the denominator."""
    printed = table(TABLE1)
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
            "definition": printed[_DEFINITIONS[outcome]],
            "asterisk": printed["asterisk"],
            "row": printed["row"],
        }
    )


def tally(left_out: pd.DataFrame) -> pd.DataFrame:
    """Rows and studies left out for each reason, in the order of the rules."""
    groups = left_out.groupby("reason")["study_id"]
    counts = pd.DataFrame({"rows": groups.size(), "studies": groups.nunique()})
    return counts.reindex([code for code in _ORDER if code in counts.index]).rename_axis("reason").reset_index()


def told(left_out: pd.DataFrame, reason: str) -> str:
    """What one rule found instead of what was asked for, with numbers where it found several things."""
    details = left_out.loc[left_out["reason"] == reason, "detail"].value_counts()
    if len(details) == 1:
        return str(details.index[0])
    return ", ".join(f"{text}: {number}" for text, number in details.items())
