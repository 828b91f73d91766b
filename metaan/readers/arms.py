"""Tables with a row for each arm of a study, where a row for each study is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.cells import tidy
from metaan.readers.grid import Grid, blank, clipped, said
from metaan.readers.roles import Roles
from metaan.readers.vocabulary import arm_of

__all__ = ["ArmsInRows", "arms_in_rows", "refuse_arms"]

_CONTROLS: Final = frozenset({"sham", "vehicle", "no treatment", "standard care", "standard of care", "observation"})
_HEADINGS: Final = frozenset({"arm", "arms", "study arm", "treatment arm", "treatment", "group", "treatment group"})


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
        names = ", ".join(f"{name}_{arm}" for arm in "tc" for name in self.columns)
        return (
            f"One row per arm: pivot the table to {names}, one row per study (in pandas "
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
        arms for place in roles.beside.values() if roles.names[place] and (arms := _parted(grid, roles, place, rows))
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
    controls = {value for value in values if value in _CONTROLS or (arm_of(value) == "c" and len(value) > 1)}
    known = len(controls) == 1 or (words == {"t", "c"} and not any(map(str.isdigit, values)))
    if 2 * both < len(studies) or not (known or both > 1 or heading.casefold() in _HEADINGS):
        return None
    first, second = values.values()
    columns = tuple(name for name in roles.of if name in _OF_ARMS) or ("events", "total")
    return ArmsInRows(roles.names[roles.of["study"]] or "study", heading, (first, second), both, known, columns)


def refuse_arms(grid: Grid, roles: Roles, rows: Iterable[int]) -> None:
    """Refuse a table whose rows are treated and control arms; tell of one whose rows may be arms."""
    if any(name[-2:] in ("_t", "_c") or name == "yi" for name in roles.of):
        return
    arms = arms_in_rows(grid, roles, rows)
    if arms is None:
        return
    if arms.known:
        raise InputError(f"{grid.place}: arms stand in rows: {arms}. {arms.advice}")
    grid.notes.append(Note("arms-in-rows", f"Rows may be arms of studies: {arms}. {arms.advice}"))
