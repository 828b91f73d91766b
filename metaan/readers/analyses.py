"""Analyses of a review: choosing one, and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from metaan.errors import InputError, Note, OptionError
from metaan.readers.grid import Grid, clipped, closest

__all__ = ["Analysis", "Row", "choose", "grid_of"]

_LISTED: Final = 60


@dataclass
class Row:
    """Data of one study, under metaan's names, as the file spells them."""

    study: str
    subgroup: str
    cells: dict[str, str]
    label: str = ""
    year: str = ""


@dataclass
class Analysis:
    """One outcome of one comparison."""

    comparison: str
    comparison_name: str
    outcome: str
    outcome_name: str
    kind: str = ""
    measure: str = ""
    printed_measure: str = ""
    treated: str = ""
    control: str = ""
    swapped: bool = False
    rows: list[Row] = field(default_factory=list)

    def __str__(self) -> str:
        many = "1 row" if len(self.rows) == 1 else f"{len(self.rows)} rows"
        what = ", ".join(part for part in (self.kind, self.printed_measure, many) if part)
        return f"{self.number} {self.outcome_name or '(no name)'} [{self.comparison_name or 'no name'}] ({what})"

    @property
    def number(self) -> str:
        """Number of the analysis as reviews print it: 1.2."""
        return f"{self.comparison}.{self.outcome}"


def choose(
    analyses: Sequence[Analysis], comparison: str | int | None, outcome: str | int | None, place: str
) -> Analysis:
    """The analysis that is asked for, or the only one that has rows."""
    for name, value in (("comparison", comparison), ("outcome", outcome)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
            raise OptionError(f"{name}={value!r} must be a number or a name.")
    found = list(analyses)
    if isinstance(outcome, str) and comparison is None and any(one.number == outcome for one in found):
        found = [one for one in found if one.number == outcome]
        outcome = None
    found = _matching(found, "comparison", comparison, lambda one: (one.comparison, one.comparison_name), place)
    found = _matching(found, "outcome", outcome, lambda one: (one.outcome, one.outcome_name), place)
    full = [one for one in found if one.rows and one.kind != "other data"]
    if len(full) == 1:
        return full[0]
    if not full:
        listed = f" It has: {_list(found)}." if found else ""
        raise InputError(f"{place} has no outcome with rows of data.{listed}")
    raise InputError(
        f"{place} has {len(full)} outcomes. Choose one by number or name, comparison=1, outcome=2, or outcome='1.2': "
        f"{_list(full)}."
    )


def _matching(
    found: list[Analysis], name: str, value: str | int | None, keys: Callable[[Analysis], tuple[str, str]], place: str
) -> list[Analysis]:
    """Analyses with a number or a name."""
    if value is None:
        return found
    text = str(value).strip()
    exact = [one for one in found if text in keys(one)] or [
        one for one in found if text.casefold() in (part.casefold() for part in keys(one))
    ]
    if exact:
        return exact
    known = list(dict.fromkeys(keys(one)[1] for one in found))
    close = closest(text, known, cutoff=0.4)
    hint = f" Did you mean {close!r}?" if close else ""
    raise OptionError(f"{name}={value!r} is not in {place}, which has: {_list(found)}.{hint}")


def _list(analyses: Sequence[Analysis]) -> str:
    more = f"; and {len(analyses) - _LISTED} more" if len(analyses) > _LISTED else ""
    return "; ".join(map(str, analyses[:_LISTED])) + more


def grid_of(analysis: Analysis, place: str, kind: str) -> Grid:
    """Table of one analysis, under metaan's names."""
    names = list(dict.fromkeys(name for row in analysis.rows for name in row.cells))
    if analysis.kind in ("inverse variance", "O-E and variance"):  # 0 stands where no counts were entered
        counts = [name for name in names if name.startswith(("events", "total"))]
        if all(row.cells.get(name, "0") in ("", "0") for row in analysis.rows for name in counts):
            names = [name for name in names if name not in counts]
    extra = [name for name in ("subgroup", "year") if any(getattr(row, name) for row in analysis.rows)]
    rows = [
        [row.label, *(row.cells.get(name) for name in names), *(getattr(row, name) for name in extra)]
        for row in analysis.rows
    ]
    where = f"{place}, outcome {analysis.number}"
    grid = Grid([["study", *names, *extra], *rows], list(range(len(rows) + 1)), where, kind, named=True)
    grid.notes.append(Note("analysis", f"Outcome {analysis}."))
    if any(name.endswith("_t") for name in names) or analysis.treated:
        groups = [label or "no label" for label in (analysis.treated, analysis.control)]
        text = f"The first group ({clipped(groups[:1])}) is the treated arm _t, the second ({clipped(groups[1:])}) _c."
        grid.notes.append(Note("arms", text))
    if analysis.swapped:
        text = "The review analyses those without the event (swapped); events are as entered, those with it."
        grid.notes.append(Note("swapped-events", text))
    if analysis.kind == "inverse variance":
        text = "Estimates are as entered: for ratios RevMan takes their logarithms."
        grid.notes.append(Note("scale", text))
    return grid
