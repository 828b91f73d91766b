"""Cells of the columns of numbers as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from metaan.errors import DataError, Note
from metaan.readers.cells import BESIDE, FRACTION, Unreadable, is_mark, number, tidy, whole
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.marks import decimal_mark
from metaan.readers.needs import is_count
from metaan.readers.roles import Roles
from metaan.validate import Option

__all__ = ["DECIMAL", "Reader"]

DECIMAL: Final = Option("decimal", {".": "1.5", ",": "1,5"}, ".")
_ZEROS: Final = re.compile(r"[+-]?[0-9]+[.,]000")
_COUNT_FIRST: Final = re.compile(r"^(?:n|no|number)\b|\b(?:n|no|number)[^%\w]*%", re.IGNORECASE)
_PERCENTAGE: Final = (
    "a percentage, not a count; metaan.counts_from_percentage lists the counts that print so. If another column holds "
    "the counts, name it: columns={{{name!r}: ...}}"
)


@dataclass
class Reader:
    """Reads the numbers of the rows that are studies, and remembers what it did to which.

    `told` says whether the decimal mark was asked for, or some cell speaks for it.
    """

    grid: Grid
    roles: Roles
    kept: list[int]
    decimal: str = "."
    told: bool = True
    done: dict[str, list[str]] = field(default_factory=dict)
    first: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, grid: Grid, roles: Roles, kept: list[int], decimal: str | None) -> Reader:
        """Reader with the decimal mark that is asked for, or that the cells speak for."""
        if decimal is not None:
            return cls(grid, roles, kept, DECIMAL.check(decimal))
        spoken = decimal_mark(grid, roles, kept)
        return cls(grid, roles, kept, spoken or ".", spoken is not None)

    def column(self, name: str, place: int) -> list[float]:
        """Numbers of a column by metaan's name, NaN where missing."""
        if not is_count(name):
            return [self._measure(i, place, name) for i in self.kept]
        values = [self._count(i, place, name) for i in self.kept]
        fractional = [j for j, value in enumerate(values) if not math.isnan(value) and value != math.floor(value)]
        if fractional:
            self._not_whole(name, place, values, fractional[0])
        return values

    def fractions(self, place: int) -> tuple[list[float], list[float]]:
        """Events and totals of a column that holds both: 3/24."""
        events, totals = [], []
        for i in self.kept:
            cell = self.grid.rows[i][place]
            if blank(cell) or is_mark(cell):
                if not blank(cell):
                    self._note("mark", i, place)
                pair = (math.nan, math.nan)
            else:
                found = FRACTION.fullmatch(tidy(cell)) if isinstance(cell, str) and len(cell) < 60 else None
                if not found:
                    why = "not events and total as in 3/24"
                    self.refuse(i, place, why if isinstance(cell, str) else f"{why}; {self._why(cell)}".rstrip("; "))
                pair = float(whole(found[1])), float(whole(found[2]))
                self._agrees(i, place, found[3], *pair)
            events.append(pair[0])
            totals.append(pair[1])
        return events, totals

    def _why(self, cell: Cell) -> str:
        try:
            number(cell, self.decimal)
        except Unreadable as problem:
            return str(problem)
        return ""

    def _number(self, i: int, place: int) -> float:
        cell = self.grid.rows[i][place]
        try:
            value, done = number(cell, self.decimal)
        except Unreadable as problem:
            self.refuse(i, place, str(problem))
        if done:
            self._note(done, i, place)
        return value

    def _measure(self, i: int, place: int, name: str) -> float:
        value = self._number(i, place)
        if name == "r" and abs(value) > 1:
            hint = "responders and patients are named by columns={'events': ..., 'total': ...}"
            self.refuse(i, place, f"a correlation lies between -1 and 1; {hint}")
        return value

    def _count(self, i: int, place: int, name: str) -> float:
        """A count; "12 (33%)" is 12 where the percentage is marked as one, and right where the total is known."""
        cell = self.grid.rows[i][place]
        if isinstance(cell, str) and len(cell) < 60:
            text = tidy(cell)
            if text.endswith("%") and not BESIDE.fullmatch(text):
                self.refuse(i, place, _PERCENTAGE.format(name=name))
            beside = BESIDE.fullmatch(text)
            if beside and (beside[3] or "%" in self.roles.names[place]):
                self._note("percent-sign", i, place)
                count = float(whole(beside[1]))
                self._agrees(i, place, beside[2], count, self._total(i, name))
                return count
            fraction = FRACTION.fullmatch(text)
            if fraction and name.startswith("events") and whole(fraction[2]) == self._total(i, name):
                self._note("fraction", i, place)
                return float(whole(fraction[1]))
        value = self._number(i, place)
        if isinstance(cell, str) and _ZEROS.fullmatch(tidy(cell)) and value < 1000:
            self._note("zeros", i, place)
        if value and not math.isnan(value) and "%" in self.roles.names[place] and not self._counts_first(place):
            self.refuse(i, place, "under a heading with % it may be " + _PERCENTAGE.format(name=name))
        return value

    def _counts_first(self, place: int) -> bool:
        """Whether a heading puts n before %, and some cell has both: a number alone is then n."""
        if place not in self.first:
            texts = [tidy(cell) for i in self.kept if isinstance(cell := self.grid.rows[i][place], str)]
            both = any(BESIDE.fullmatch(text) for text in texts if len(text) < 60)
            self.first[place] = both and _COUNT_FIRST.search(self.roles.names[place]) is not None
        return self.first[place]

    def _total(self, i: int, name: str) -> float:
        """Total of the arm of some events, NaN where it is not known."""
        place = self.roles.of.get(name.replace("events", "total")) if name.startswith("events") else None
        if place is None:
            return math.nan
        try:
            return number(self.grid.rows[i][place], self.decimal)[0]
        except Unreadable:
            return math.nan

    def _agrees(self, i: int, place: int, printed: str | None, events: float, total: float) -> None:
        """Refuse a count whose percentage beside it is another."""
        if not printed or not total > 0:
            return
        given = float(printed.replace(",", "."))
        decimals = len(re.split("[.,]", printed)[1]) if re.search("[.,]", printed) else 0
        if abs(100 * events / total - given) > 0.500001 * 10**-decimals:
            self.refuse(i, place, f"{events:g} of {total:g} is {100 * events / total:.4g} %")

    def _not_whole(self, name: str, place: int, values: Sequence[float], at: int) -> NoReturn:
        known = [value for value in values if not math.isnan(value)]
        if max(known) <= 1:
            why = "counts are whole numbers; proportions are not counts (metaan.counts_from_percentage)"
        elif max(known) <= 100 and name.startswith("events"):
            why = "counts are whole numbers; this looks like a percentage (metaan.counts_from_percentage)"
        else:
            why = f"{name} is a whole number"
        self.refuse(self.kept[at], place, why)

    def refuse(self, i: int, place: int, why: str) -> NoReturn:
        """Raise DataError that names the row, the study, the column and the cell."""
        cell = self.grid.rows[i][place]
        shown = clipped([said(cell) if isinstance(cell, str) else cell])
        raise DataError(
            f"{self.grid.place}, row {self.grid.lines[i]}{self._study(i)}: column "
            f"{self.roles.names[place]!r} holds {shown}: {why}."
        )

    def _study(self, i: int) -> str:
        label = self.label(i)
        return f" (study {clipped([label])})" if label else ""

    def label(self, i: int) -> str:
        """Label of the study of a row, empty where there is none."""
        return said(self.grid.rows[i][self.roles.of["study"]]) if "study" in self.roles.of else ""

    def _note(self, what: str, i: int, place: int) -> None:
        text = f"{said(self.grid.rows[i][place])!r} in row {self.grid.lines[i]} of {self.roles.names[place]!r}"
        self.done.setdefault(what, []).append(text)

    def notes(self) -> list[Note]:
        """What was done to cells, one note for each kind."""
        said_of: dict[str, Callable[[int], str]] = {
            "mark": lambda k: f"{_cells(k)} read as missing",
            "comma": lambda k: f"Decimal comma in {_cells(k)}",
            "thousands": lambda k: f"Marks between thousands taken out of {_cells(k)}",
            "spaces": lambda k: f"Spaces around the numbers of {_cells(k)} taken off",
            "percent-sign": lambda k: f"Count taken and the percentage beside it left out in {_cells(k)}",
            "zeros": lambda k: f"Decimals of counts taken off in {_cells(k)}, which might be thousands elsewhere",
            "fraction": lambda k: f"Events taken from {_cells(k)} that repeat the total",
        }
        codes = {"mark": "missing-mark", "comma": "decimal-comma", "zeros": "count-decimals"}
        return [
            Note(
                codes.get(what, what),
                f"{said_of[what](len(cells))}: {', '.join(cells[:3])}{', ...' * (len(cells) > 3)}.",
            )
            for what, cells in self.done.items()
        ]


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"
