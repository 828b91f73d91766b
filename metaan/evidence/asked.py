"""The arguments of `load`, checked and completed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import pandas as pd

from metaan.errors import OptionError, shown
from metaan.evidence.candidates import HYPERTHERMIA, PREVALENCE, SKIN_METASTASES, named, table1_outcomes
from metaan.evidence.options import (
    ANY,
    GRADES,
    INTENDED,
    NAME,
    OUTCOME,
    OWN_THERAPIES,
    ROLE,
    SCOPE,
    SITE,
    TABLE1_THERAPY,
    THERAPY,
    UNIT,
    found_in,
    narrowed,
    several,
)
from metaan.evidence.overlap import OVERLAPS
from metaan.evidence.selection import Selection
from metaan.evidence.store import TABLE1
from metaan.validate import Option

__all__ = ["asked"]

_DEFAULTS: Final[Mapping[str, object]] = {
    "unit": None, "therapy": None, "site": None, "scope": SCOPE.default, "primary_tumour": ANY, "design": ANY,
    "agent": ANY, "role": INTENDED, "overlaps": OVERLAPS.default,
} | {option.name: option.default for option in GRADES}  # fmt: skip

# What each name that is not a response file can honour.
_HONOURED: Final[Mapping[str, tuple[str, ...]]] = {
    TABLE1: ("therapy",),
    PREVALENCE: ("primary_tumour", "design", "counts", "confidence", "preferred", "overlaps"),
    HYPERTHERMIA: tuple(name for name in _DEFAULTS if name not in ("therapy", "role")),
}

# What may be said of a name although it goes without saying.
_TRUE_OF: Final = {TABLE1: (("unit", "lesion"), ("overlaps", "keep")), PREVALENCE: (("unit", "patient"),)}


def asked(name: str, *, outcome: str | None, **given: Any) -> Selection:
    """Selection that `load` was asked for; the defaults of the name where nothing was said."""
    _refuse_unused(NAME.check(name), given)
    if name == TABLE1:
        return Selection(
            name=name, outcome=_outcome(name, outcome, table1_outcomes()), unit="lesion",
            therapy=() if given["therapy"] is None else several(TABLE1_THERAPY, given["therapy"]),
        )  # fmt: skip
    rows = named(name)
    common: dict[str, Any] = {
        "name": name,
        "primary_tumour": several(found_in(rows["primary_tumour"]), given["primary_tumour"]),
        "design": several(found_in(rows["design"]), given["design"]),
        "overlaps": OVERLAPS.check(given["overlaps"]),
    } | {option.name: option.check(given[option.name]) for option in GRADES}
    if name == PREVALENCE:
        outcome = SKIN_METASTASES if outcome is None else outcome
        return Selection(**common | {"arms": ANY}, outcome=_outcome(name, outcome, rows), unit="patient")
    return Selection(
        **common,
        outcome=_outcome(name, outcome, rows),
        unit=None if given["unit"] is None else UNIT.check(given["unit"]),
        therapy=_therapies(name, given["therapy"], rows),
        site=several(SITE, _site(name) if given["site"] is None else given["site"]),
        scope=several(SCOPE, given["scope"]),
        agent=_agent(name, given["agent"], rows),
        role=several(ROLE, given["role"]),
    )


def _refuse_unused(name: str, given: Mapping[str, object]) -> None:
    """An option that the name cannot honour is an error and not ignored."""
    honoured = _HONOURED.get(name, tuple(_DEFAULTS))
    for option, value in given.items():
        plain = value is None or isinstance(value, str)  # what else is given cannot be a default
        said = plain and (value == _DEFAULTS[option] or (option, value) in _TRUE_OF.get(name, ()))
        if option not in honoured and not said:
            raise OptionError(
                f"{option}={shown(value)} does not apply to {name}. Choose among its rows with "
                f"{', '.join(f'{choice}=' for choice in ('outcome', *honoured))}."
            )


def _site(name: str) -> str:
    return ANY if name == HYPERTHERMIA else SITE.default


def _agent(name: str, agent: object, rows: pd.DataFrame) -> str:
    """Part of an agent's name that occurs; "" admits every agent."""
    if not isinstance(agent, str) or not agent.strip() or not agent.isprintable():
        raise OptionError(f"agent={shown(agent)} must be part of an agent's name, e.g. 'bleomycin', or {ANY!r}.")
    if agent == ANY:
        return ""
    if not rows["agent"].str.contains(agent, case=False, regex=False).any():
        common = rows.groupby("agent")["study_id"].nunique().sort_values(ascending=False)
        raise OptionError(
            f"No agent of {name} contains {shown(agent)}. The most frequent: {'; '.join(common.index[:8])}."
        )
    return agent


def _therapies(name: str, therapy: str | Collection[str] | None, rows: pd.DataFrame) -> tuple[str, ...]:
    if therapy is None:
        return OWN_THERAPIES[name]
    return several(narrowed(THERAPY, rows["therapy"]), therapy)


def _outcome(name: str, outcome: str | None, rows: pd.DataFrame) -> str:
    """The outcome if the rows have it; an error that lists those they have otherwise."""
    if name == PREVALENCE:
        return Option("outcome", {SKIN_METASTASES: "skin metastases"}, SKIN_METASTASES).check(outcome)
    if outcome is not None:
        return narrowed(OUTCOME, rows["outcome"]).check(outcome)
    studies = rows.groupby("outcome")["study_id"].nunique().sort_values(ascending=False)
    listing = ", ".join(f"{key} ({number})" for key, number in studies.items())
    raise OptionError(f"outcome is missing. {name} has, with numbers of studies: {listing}.")
