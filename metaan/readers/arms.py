"""Tables with a row for each arm of a study, where a row for each study is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.cells import tidy
from metaan.readers.grid import Grid, blank, clipped, said
from metaan.readers.roles import Roles
from metaan.readers.vocabulary import arm_of

__all__ = ["ArmsInRows", "arms_in_rows", "refuse_arms", "say_outcomes"]

_CONTROLS: Final = frozenset({"sham", "vehicle", "no treatment", "standard care", "standard of care", "observation"})
_HEADINGS: Final = frozenset({
    "arm", "arms", "study arm", "treatment arm", "treatment", "treatments", "group", "groups", "treatment group",
    "study group", "intervention", "interventions", "trt",
})  # fmt: skip
_OUTCOMES: Final = frozenset({"outcome", "endpoint", "end point", "outcome name", "response type"})
_TIMES: Final = frozenset({"time", "timepoint", "time point", "visit", "follow-up", "followup", "follow up"})
_NUMBERS: Final = frozenset({"id", "study no", "study number", "study nr", "no", "nr"})
_OF_ARMS: Final = frozenset({"events", "total", "nonevents", "mean", "sd", "n", "time"})


@dataclass(frozen=True)
class ArmsInRows:
    """A column that has two values, one row each of most studies.

    `known` says whether the values are words for a treated and a control arm.
    """

    label: str
    heading: str
    values: tuple[str, str]
    studies: int
    known: bool
    columns: tuple[str, ...]

    def __str__(self) -> str:
        many = "1 study" if self.studies == 1 else f"{self.studies} studies"
        return f"column {self.heading!r} has {clipped(self.values)}, a row each for {many}"

    @property
    def advice(self) -> str:
        """What to do with such a table."""
        return (
            f"One row per arm: pivot the table to {_wide(self.columns)}, one row per study (in pandas "
            f"table.pivot(index={self.label!r}, columns={self.heading!r}) and metaan.read of that), or keep the rows "
            "of one arm. Rows that are studies of their own need labels of their own."
        )


def arms_in_rows(grid: Grid, roles: Roles, rows: Iterable[int]) -> ArmsInRows | None:
    """The column whose two values part the rows of most studies, if there is one."""
    if "study" not in roles.of:
        return None
    label = roles.of["study"]
    rows = [i for i in rows if not blank(grid.rows[i][label])]
    found = [
        arms
        for place in roles.beside.values()
        if roles.names[place]
        and (arms := _parted(grid, roles, place, rows))
        and (arms.known or _heading(roles, place) not in _OUTCOMES | _TIMES)
    ]
    return max(found, key=lambda arms: (arms.known, arms.heading.casefold() in _HEADINGS), default=None)


def _parted(grid: Grid, roles: Roles, place: int, rows: Iterable[int]) -> ArmsInRows | None:
    values: dict[str, str] = {}
    studies: dict[str, list[str]] = {}
    for i in rows:
        text = tidy(said(grid.rows[i][place]))
        if not text:
            continue
        values.setdefault(text.casefold(), text)
        studies.setdefault(said(grid.rows[i][roles.of["study"]]), []).append(text.casefold())
        if len(values) > 2:
            return None
    if len(values) < 2 or any(len(set(arms)) < len(arms) for arms in studies.values()):
        return None
    both = sum(len(arms) == 2 for arms in studies.values())
    heading = roles.names[place]
    words = {arm_of(value) for value in values}
    controls = {value for value in values if _is_control(value)}
    known = len(controls) == 1 or (words == {"t", "c"} and not any(map(str.isdigit, values)))
    if 2 * both < len(studies) or not (known or both > 1 or heading.casefold() in _HEADINGS):
        return None
    first, second = values.values()
    columns = _columns(roles)
    return ArmsInRows(roles.names[roles.of["study"]] or "study", heading, (first, second), both, known, columns)


def refuse_arms(grid: Grid, roles: Roles, rows: Sequence[int]) -> None:
    """Refuse a table whose rows are treated and control arms; tell of one whose rows may be arms."""
    if any(name[-2:] in ("_t", "_c") or name == "yi" for name in roles.of):
        return
    arms = arms_in_rows(grid, roles, rows)
    if arms and arms.known:
        raise InputError(f"{grid.place}: arms stand in rows: {arms}. {arms.advice}")
    _refuse_controls(grid, roles, rows)
    if arms:
        grid.notes.append(Note("arms-in-rows", f"Rows may be arms of studies: {arms}. {arms.advice}"))


def _columns(roles: Roles) -> tuple[str, ...]:
    """Columns that each arm has."""
    return tuple(name for name in roles.of if name in _OF_ARMS) or ("events", "total")


def _wide(columns: Sequence[str]) -> str:
    return ", ".join(f"{name}_{arm}" for arm in "tc" for name in columns)


def _heading(roles: Roles, place: int) -> str:
    return " ".join(roles.names[place].casefold().replace("_", " ").split())


def _is_control(text: str) -> bool:
    parts = [part.strip() for part in re.split(r"/|,|\bor\b", text)]
    return all(part in _CONTROLS or (arm_of(part) == "c" and len(part) > 1) for part in parts)


def _refuse_controls(grid: Grid, roles: Roles, rows: Sequence[int]) -> None:
    """Refuse controls among the rows of their studies; tell of controls that are studies of their own."""
    numbers = [place for place in roles.beside.values() if _heading(roles, place) in _NUMBERS]
    keys = [*([roles.of["study"]] if "study" in roles.of else []), *numbers]
    for place in roles.beside.values():
        if _heading(roles, place) not in _HEADINGS:
            continue
        arms = {i: text for i in rows if (text := tidy(said(grid.rows[i][place])))}
        controls = {i for i, text in arms.items() if _is_control(text.casefold())}
        if not controls or len(controls) == len(arms):
            continue
        heading = roles.names[place]
        told = clipped(list(dict.fromkeys(arms[i] for i in sorted(controls))), 3)
        for by in keys:
            treated = {said(grid.rows[i][by]) for i in arms if i not in controls}
            both = list(dict.fromkeys(name for i in sorted(controls) if (name := said(grid.rows[i][by])) in treated))
            if both:
                raise InputError(
                    f"{grid.place}: arms stand in rows: column {heading!r} has {told} beside other arms of the same "
                    f"study, in {clipped(both, 3)}. Pooled as they stand, controls would be patients treated. Keep "
                    "the rows of one arm, or of a treated arm and its control, one row per study with "
                    f"{_wide(_columns(roles))}. Rows that are studies of their own need labels of their own."
                )
        text = f"Column {heading!r} has {told} in {len(controls)} of {len(arms)} rows: controls among the treated."
        grid.notes.append(Note("control-arms", f"{text} Keep the rows that are meant, or compare them as subgroups."))


def say_outcomes(grid: Grid, roles: Roles, rows: Sequence[int]) -> None:
    """Tell of rows that are several outcomes, or times, of the same patients."""
    label = roles.of.get("study")
    for place in roles.beside.values():
        name = _heading(roles, place)
        if name not in _OUTCOMES | _TIMES:
            continue
        held: dict[str, dict[str, None]] = {}
        for i in rows:
            if text := tidy(said(grid.rows[i][place])):
                held.setdefault(str(i) if label is None else said(grid.rows[i][label]), {})[text] = None
        values = list(dict.fromkeys(text for texts in held.values() for text in texts))
        within = any(len(texts) > 1 for texts in held.values())
        if within or (name in _OUTCOMES and 1 < len(values) < len(rows)):
            what = "of the same study" if within else "of different studies"
            text = f"Column {roles.names[place]!r} differs between rows {what}: {clipped(values, 5)}."
            advice = "Keep the rows of one, unless a model that knows of them is meant (multilevel, robust)"
            grid.notes.append(Note("several-outcomes", f"{text} {advice}."))
