"""Rows of the "Data and analyses" that RevMan 5 exports: those of comparisons, outcomes, subgroups and studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from metaan.errors import InputError
from metaan.readers.analyses import Analysis, Row, totals_of
from metaan.readers.grid import Cell, Grid, blank, clipped, said

__all__ = ["KINDS", "Export", "plain"]

KINDS: Final = {
    **dict.fromkeys(("dic", "dich", "dichotomous", "d"), "dichotomous"),
    **dict.fromkeys(("con", "cont", "continuous", "c"), "continuous"),
    **dict.fromkeys(("iv", "giv", "inversevariance", "genericinversevariance"), "inverse variance"),
    **dict.fromkeys(("oe", "ipd", "oeandvariance", "p"), "O-E and variance"),
    **dict.fromkeys(("oth", "other", "otherdata"), "other data"),
}
"""Kinds of data as the files of RevMan, and those of R's meta, spell them."""

_MARKS: Final = ("datatype", "statisticalmethod", "effectmeasure", "analysismodel", "totals")
"""Columns that RevMan fills for an outcome and for a subgroup, and never for a study."""
_EFFECT: Final = {"yi": "effectestimate", "sei": "se", "ci_low": "cistart", "ci_high": "ciend"}


@dataclass
class Export:
    """Rows of an export, sorted into outcomes as they come.

    Parameters
    ----------
    grid : Grid
        Table.
    first : int
        Place of the row that names its columns.
    places : mapping of str to int
        Places of the columns, by their names in lower case without spaces.
    numbers : mapping of str to int or None
        Places of the columns of numbers, by metaan's names.
    """

    grid: Grid
    first: int
    places: Mapping[str, int]
    numbers: Mapping[str, int | None]
    comparisons: dict[str, str] = field(default_factory=dict)
    analyses: dict[tuple[str, str], Analysis] = field(default_factory=dict)
    parts: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def read(self) -> tuple[list[Analysis], int]:
        """Analyses with their studies; and how many rows belong to no outcome."""
        aside = 0
        for i in range(self.first + 1, len(self.grid.rows)):
            if all(map(blank, self.grid.rows[i])):
                continue
            key = (self._text(i, "comparisonnumber"), self._text(i, "outcomenumber"))
            name = self._text(i, "name")
            if not all(key):
                aside += 1
            elif not name:
                self._refuse(i, "it has no name")
            elif key[1] == "0":
                self.comparisons[key[0]] = name
            else:
                self._sort(i, key, name)
        for (comparison, _), analysis in self.analyses.items():
            analysis.comparison_name = self.comparisons.get(comparison, "")
        return list(self.analyses.values()), aside

    def _sort(self, i: int, key: tuple[str, str], name: str) -> None:
        """Take a row for an outcome, a subgroup or a study; refuse one that may be either."""
        part = self._text(i, "subgroupnumber")
        part = "" if part == "0" else part
        marked = any(self._text(i, mark) for mark in _MARKS)
        number = ".".join(filter(None, (*key, part)))
        if key not in self.analyses:
            if part or not (marked or self._heads(i)):
                self._refuse(i, f"it is the first of outcome {number} and may be the outcome's own or a study's")
            self.analyses[key] = self._outcome(i, key, name)
        elif part and (*key, part) not in self.parts:
            if not marked and not self._heads(i):
                self._refuse(i, f"it is the first of subgroup {number} and may be the subgroup's own or a study's")
            self.parts[(*key, part)] = name
        elif marked:
            self._refuse(i, f"{number} has a row of its own already")
        else:
            self.analyses[key].rows.append(self._study(i, (*key, part), name))

    def _heads(self, i: int) -> bool:
        """Whether a row that is not marked is no study: without numbers, or without the order that studies have."""
        if "userdefinedorder" in self.places:
            return not self._text(i, "userdefinedorder")
        return not self._cells(i)

    def _outcome(self, i: int, key: tuple[str, str], name: str) -> Analysis:
        return Analysis(
            comparison=key[0], comparison_name="", outcome=key[1], outcome_name=name,
            kind=self._text(i, "datatype"), printed_measure=self._text(i, "effectmeasure"),
            treated=self._text(i, "grouplabel1"), control=self._text(i, "grouplabel2"),
            swapped=self._text(i, "swapeventandnonevent").casefold() == "yes",
            totals=totals_of(self._text(i, "totals")),
        )  # fmt: skip

    def _study(self, i: int, key: tuple[str, str, str], name: str) -> Row:
        year = self._text(i, "yearofstudy")
        return Row(name, self.parts.get(key, ""), self._cells(i), name, year, key[2], line=self.grid.lines[i])

    def _cells(self, i: int) -> dict[str, str]:
        """Numbers of a row that are there."""
        row = self.grid.rows[i]
        found = {name: row[place] for name, place in self.numbers.items() if place is not None}
        found |= {name: row[self.places[word]] for name, word in _EFFECT.items() if word in self.places}
        return {name: cell for name, cell in found.items() if not blank(cell)}

    def _text(self, i: int, word: str) -> str:
        return plain(self.grid.rows[i][self.places[word]]) if word in self.places else ""

    def _refuse(self, i: int, why: str) -> NoReturn:
        shown = clipped(_first(self.grid.rows[i]), 6)
        raise InputError(
            f"{self.grid.place}, row {self.grid.lines[i]} ({shown}): {why}. Export the review again with the fields "
            "'Name', 'Subgroup Number', 'Data Type', 'Effect Measure' and 'User defined order', by which rows of "
            "outcomes, subgroups and studies differ."
        )


def _first(row: Sequence[Cell]) -> list[str]:
    return [said(cell) for cell in row if not blank(cell)]


def plain(cell: object) -> str:
    """A cell as text, a whole number without its point."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else said(cell)
