"""The record of several tests of small-study effects, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from metaan.analysis.bias_regression import LIMITS
from metaan.analysis.test_result import TestResult
from metaan.errors import Note
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SmallStudyEffects"]

_WIDTH: Final = 150


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SmallStudyEffects(Frozen):
    """Result of `metaan.small_study_effects`.

    Parameters
    ----------
    tests : tuple of TestResult
        Tests that are valid for the measure; the first is the one to go by.
    says : tuple of str
        What each can and cannot say.
    excluded : tuple of (str, str)
        Tests that were not run, with the reason.
    level : float
        p-value below which a test counts as a sign.
    k : int
        Studies.
    measure : str
    notes : tuple of Note
        Notes of the tests, and what none of them can say.
    """

    tests: tuple[TestResult, ...]
    says: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]
    level: float
    k: int
    measure: str
    notes: tuple[Note, ...] = ()

    @property
    def sign(self) -> bool:
        """Whether the first test has a p-value below `level`."""
        return self.tests[0].pvalue < self.level

    def to_frame(self) -> pd.DataFrame:
        """One row for each test, those that were not run last.

        Returns
        -------
        pandas.DataFrame
            Columns test, valid, symbol, statistic, df, pvalue, k, limit, limit_low, limit_high (the effect in a study
            without sampling error, on the scale that the test's `model` names; NaN where there is none) and says.
            ``attrs["notes"]`` holds the notes.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = [
            {"test": one.test, "valid": True, "symbol": one.symbol, "statistic": one.statistic, "df": one.df,
             "pvalue": one.pvalue, "k": one.k} | {name: one.values.get(name, math.nan) for name in LIMITS}
            | {"says": says}
            for one, says in zip(self.tests, self.says, strict=True)
        ]  # fmt: skip
        nothing = dict.fromkeys(("statistic", "df", "pvalue", *LIMITS), math.nan)
        rows += [
            {"test": name, "valid": False, "symbol": "", "k": self.k, "says": why} | nothing
            for name, why in self.excluded
        ]
        frame = pd.DataFrame(rows, columns=list(rows[0]))
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text: fit for JSON."""
        return {
            "measure": self.measure, "k": self.k, "level": self.level, "sign": self.sign,
            "tests": [one.to_dict() | {"says": says} for one, says in zip(self.tests, self.says, strict=True)],
            "excluded": [{"test": name, "reason": why} for name, why in self.excluded],
            "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"Small-study effects of {plural(self.k, 'study')}, measure {self.measure}", ""]
        for one, says in zip(self.tests, self.says, strict=True):
            lines += [f"{one.test}: {one.symbol} = {number(one.statistic)}, p {probability(one.pvalue)}{_limit(one)}"]
            lines += [f"    {says}"]
        by_reason: dict[str, list[str]] = {}
        for name, why in self.excluded:
            by_reason.setdefault(why, []).append(name)
        lines += [shorten(f"Not run: {', '.join(names)}: {why}", _WIDTH) for why, names in by_reason.items()]
        found = "a sign of small-study effects" if self.sign else "no sign of small-study effects"
        lines += ["", f"By the first test, {found} at p < {self.level:g}."]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        first = self.tests[0]
        return f"<SmallStudyEffects: {plural(len(self.tests), 'test')}, first {first.test}, p = {first.pvalue:.4g}>"

    def _headline(self) -> str:
        found = "a sign of them" if self.sign else "no sign of them"
        return f"{str(self).splitlines()[0]}: by the first test {found} at p < {self.level:g}"


def _limit(one: TestResult) -> str:
    if "limit" not in one.values:
        return ""
    value, low, high = (number(one.values[name]) for name in LIMITS)
    return f"; limit {value} ({low} to {high}), {one.model.rpartition('. Limit: ')[2]}"
