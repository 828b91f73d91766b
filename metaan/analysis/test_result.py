"""The result of a test made after a fit: one hypothesis, its statistic, and the numbers that go with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import Note
from metaan.models.plain import plain
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TestResult"]

_FIELDS: Final = ("test", "null", "symbol", "statistic", "df", "pvalue", "k", "measure")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TestResult(Frozen):
    """Result of a test of small-study effects, of excess significance or of heterogeneity.

    Parameters
    ----------
    test : str
        Name of the test, with its paper: ``"Egger's regression test (Egger 1997)"``.
    null : str
        The hypothesis that is tested, in words.
    symbol : str
        Letter of the statistic: z, t, F, chi2, tau.
    statistic, pvalue : float
    df : float
        Degrees of freedom: inf for the normal distribution, NaN where the statistic has none.
    k : int
        Studies.
    measure : str
        Code of the effect measure.
    model : str
        How it was computed, in words.
    values : mapping of str to float
        What goes with the test, by name: slope, its standard error, limits ...
    notes : tuple of Note
        Every automatic decision, and what the test cannot say.
    """

    __test__ = False  # no test class of pytest

    test: str
    null: str
    symbol: str
    statistic: float
    df: float
    pvalue: float
    k: int
    measure: str
    model: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row: the test and the numbers that go with it."""
        import pandas as pd

        frame = pd.DataFrame([{name: getattr(self, name) for name in _FIELDS} | dict(self.values)])
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        made = {name: getattr(self, name) for name in _FIELDS} | {"model": self.model} | dict(self.values)
        return plain(made) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        df = f", {self.df:.4g} df" if math.isfinite(self.df) else ""
        lines = [
            f"{self.test} of {plural(self.k, 'study')}, measure {self.measure}",
            *([self.model] if self.model else []),
            "",
            f"Null        {self.null}",
            f"Test        {self.symbol} = {number(self.statistic)}{df}, p {probability(self.pvalue)}",
            *(f"{name:<11} {number(float(value))}" for name, value in self.values.items()),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<TestResult: {self.test}, {self.symbol} = {self.statistic:.4g}, p = {self.pvalue:.4g}>"
