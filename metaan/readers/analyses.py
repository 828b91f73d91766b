"""Analyses of a review: choosing one, and its table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from metaan.errors import InputError, Note, OptionError, listed
from metaan.readers.estimable import is_empty
from metaan.readers.grid import Grid, clipped, closest
from metaan.readers.rows import LeftOut
from metaan.readers.vocabulary import squashed

__all__ = ["Analysis", "Row", "choose", "grid_of", "totals_of"]

_LISTED: Final = 60
_ALL: Final = "*"
_SUBGROUP: Final = re.compile(r"(.+\..+)\.([0-9]+|\*)")
_TOTALS: Final = {
    "yes": "yes", "totalsandsubtotals": "yes", "sub": "sub", "subtotalsonly": "sub", "no": "no", "nototals": "no",
}  # fmt: skip
_NO_TOTAL: Final = {
    "sub": "the review pools each subgroup and not all of them together",
    "no": "the review pools nothing here",
    "": "the file does not say that the review pools its subgroups together",
}


@dataclass
class Row:
    """Data of one study, under metaan's names, as the file spells them.

    Parameters
    ----------
    study, label : str
        What tells the study apart in the file, and its name.
    subgroup, part : str
        Name of its subgroup, and the number.
    cells : dict of str to str
        Numbers as texts.
    estimable : bool, optional
        Whether the review has an estimate of it; None where the file does not say.
    line : int
        Number of the row in the file, 0 where it has none.
    """

    study: str
    subgroup: str
    cells: dict[str, str]
    label: str = ""
    year: str = ""
    part: str = ""
    estimable: bool | None = None
    line: int = 0


@dataclass
class Analysis:
    """One outcome of one comparison; `totals` is yes, sub, no, or empty where the file does not say."""

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
    totals: str = ""
    scale: str = ""
    rows: list[Row] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)

    def __str__(self) -> str:
        many = _rows(len(self.rows))
        what = ", ".join(part for part in (self.kind, self.printed_measure, many) if part)
        return f"{self.number} {self.outcome_name or '(no name)'} [{self.comparison_name or 'no name'}] ({what})"

    @property
    def number(self) -> str:
        """Number of the analysis as reviews print it: 1.2."""
        return f"{self.comparison}.{self.outcome}"

    @property
    def parts(self) -> dict[str, str]:
        """Names of the subgroups by their numbers."""
        return {row.part: row.subgroup for row in self.rows if row.part}


def totals_of(text: str) -> str:
    """Which totals a review shows, by its option as files spell it; empty where that is not known."""
    return _TOTALS.get(squashed(text), "")


def choose(
    analyses: Sequence[Analysis], comparison: str | int | None, outcome: str | int | None, place: str
) -> Analysis:
    """The analysis that is asked for, or the only one that has rows; a subgroup of it where one is named."""
    for name, value in (("comparison", comparison), ("outcome", outcome)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
            raise OptionError(f"{name}={value!r} must be a number or a name.")
    found = list(analyses)
    part = None
    if isinstance(outcome, str) and comparison is None:
        cut = _SUBGROUP.fullmatch(outcome)
        if cut and any(one.number == cut[1] for one in found):
            outcome, part = cut[1], cut[2]
        if any(one.number == outcome for one in found):
            found = [one for one in found if one.number == outcome]
            outcome = None
    found = _matching(found, "comparison", comparison, lambda one: (one.comparison, one.comparison_name), place)
    found = _matching(found, "outcome", outcome, lambda one: (one.outcome, one.outcome_name), place)
    full = [one for one in found if one.rows and one.kind != "other data"]
    if len(full) == 1:
        return _part(full[0], part, place)
    if not full:
        has = f" It has: {_list(found)}." if found else ""
        raise InputError(f"{place} has no outcome with rows of data.{has}")
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


def _part(analysis: Analysis, part: str | None, place: str) -> Analysis:
    """An analysis, or one of its subgroups; patients are not counted twice unless that is asked for."""
    if part == _ALL:
        return analysis
    if part is None:
        repeated = _repeated(analysis.rows)
        if repeated and analysis.totals != "yes":
            raise InputError(
                f"{place}, outcome {analysis.number}: {_NO_TOTAL[analysis.totals]}, and studies are in several of its "
                f"subgroups ({listed(repeated)}), whose patients would count twice. Choose one, outcome=: "
                f"{_parts(analysis)}; or all rows, for a model that knows of repeated studies: "
                f"outcome='{analysis.number}.{_ALL}'."
            )
        return analysis
    rows = [row for row in analysis.rows if row.part == part]
    if not rows:
        has = f"which has: {_parts(analysis)}" if analysis.parts else "which has none"
        raise OptionError(
            f"outcome='{analysis.number}.{part}' is no subgroup of outcome {analysis.number} of {place}, {has}."
        )
    name = ", ".join(filter(None, (analysis.outcome_name, f"subgroup {part} {rows[0].subgroup}".rstrip())))
    return replace(analysis, outcome_name=name, totals="yes", rows=rows)


def _repeated(rows: Sequence[Row]) -> list[str]:
    """Labels of the studies that are in several subgroups."""
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row.study, set()).add(row.part)
    names = {row.study: row.label or row.study for row in rows}
    return [names[study] for study, held in parts.items() if len(held) > 1]


def _parts(analysis: Analysis) -> str:
    """Subgroups for a message."""
    counts = [(part, name, sum(row.part == part for row in analysis.rows)) for part, name in analysis.parts.items()]
    shown = [f"'{analysis.number}.{part}' {name} ({_rows(count)})" for part, name, count in counts[:_LISTED]]
    return "; ".join(shown) + (f"; and {len(counts) - _LISTED} more" if len(counts) > _LISTED else "")


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def _list(analyses: Sequence[Analysis]) -> str:
    more = f"; and {len(analyses) - _LISTED} more" if len(analyses) > _LISTED else ""
    return "; ".join(map(str, analyses[:_LISTED])) + more


def grid_of(analysis: Analysis, place: str, kind: str) -> Grid:
    """Table of one analysis, under metaan's names; rows without data are left out, as in the review."""
    where = f"{place}, outcome {analysis.number}"
    lines = [row.line or i for i, row in enumerate(analysis.rows, 1)]
    empty = [is_empty(analysis.kind, row.cells, row.estimable, analysis.measure) for row in analysis.rows]
    if all(empty):
        raise InputError(f"{where}: none of its {_rows(len(empty))} has data that can be analysed.")
    kept = [row for row, none in zip(analysis.rows, empty, strict=True) if not none]
    names = _names(analysis.kind, kept)
    extra = [name for name in ("subgroup", "year") if any(getattr(row, name) for row in kept)]
    rows = [
        [row.label, *(row.cells.get(name) for name in names), *(getattr(row, name) for name in extra)] for row in kept
    ]
    numbers = [0, *(line for line, none in zip(lines, empty, strict=True) if not none)]
    grid = Grid([["study", *names, *extra], *rows], numbers, where, kind, named=True)
    analysis.left = [
        LeftOut(line, "not estimable", clipped([row.label, *row.cells.values()], 8))
        for row, line, none in zip(analysis.rows, lines, empty, strict=True)
        if none
    ]
    grid.notes.extend(_notes(analysis, names, kept, [row.label for row in analysis.rows if row not in kept]))
    return grid


def _names(kind: str, rows: Sequence[Row]) -> list[str]:
    """Names of the columns; 0 stands where no counts were entered beside an estimate."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    if kind in ("inverse variance", "O-E and variance"):
        counts = [name for name in names if name.startswith(("events", "total"))]
        if all(row.cells.get(name, "0") in ("", "0") for row in rows for name in counts):
            names = [name for name in names if name not in counts]
    return names


def _notes(analysis: Analysis, names: Sequence[str], kept: Sequence[Row], empty: Sequence[str]) -> list[Note]:
    """What was decided, and what the review does otherwise."""
    notes = [Note("analysis", f"Outcome {analysis}.")]
    if any(name.endswith("_t") for name in names) or analysis.treated:
        groups = [label or "no label" for label in (analysis.treated, analysis.control)]
        text = f"The first group ({clipped(groups[:1])}) is the treated arm _t, the second ({clipped(groups[1:])}) _c."
        notes.append(Note("arms", text))
    if analysis.swapped:
        text = "The review analyses those without the event (swapped); events are as entered, those with it."
        notes.append(Note("swapped-events", text))
    if analysis.kind == "inverse variance":
        text = analysis.scale or "Estimates are as entered: for ratios RevMan takes their logarithms."
        notes.append(Note("scale", text))
    if empty:
        text = f"{_rows(len(empty))} without data that can be analysed left out, as in the review: {listed(empty)}."
        notes.append(Note("no-data", text, tuple(empty)))
    alone = [row.label for row in kept if row.estimable is False]
    if alone:
        text = f"The review has no estimate of {listed(alone)} and leaves them out; their numbers are kept as entered."
        notes.append(Note("not-estimable", text, tuple(alone)))
    if analysis.totals in ("sub", "no"):
        text = f"No overall result: {_NO_TOTAL[analysis.totals]}."
        notes.append(Note("no-total", text, tuple(dict.fromkeys(_repeated(kept)))))
    return notes
