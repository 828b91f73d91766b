"""The record of a summary-of-findings table, and its exports."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import Note
from metaan.measures.kinds import KINDS
from metaan.models.text import LINES, note_lines, number, plural
from metaan.records import Shown, framed
from metaan.validate import Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GradeRow", "GradeTable"]

_HEADINGS: Final = (
    "Outcome", "Studies", "Observations", "Effect", "Prediction interval", "Heterogeneity", "Small-study effects",
    "Risk of bias", "Certainty", "Prompts from the numbers, not judgements",
)  # fmt: skip

_BREAK: Final = "\n"


@dataclass(frozen=True, kw_only=True)
class GradeRow(Shown):
    """One outcome of a summary of findings.

    Parameters
    ----------
    outcome : str
    measure : str
        Code of the effect measure.
    model : str
        How the effect was estimated, in words.
    k : int
        Studies.
    n : float
        Patients or lesions of all studies; NaN where they are not known.
    unit : str
        What n counts.
    estimate, ci_low, ci_high, pi_low, pi_high : float
        On the display scale; prediction limits are NaN where there are none.
    level : float
        Level of both intervals.
    tau2, I2 : float
        Analysis scale, per cent; NaN where they were not estimated.
    small_study, risk_of_bias, certainty : str
        What the caller gave; `certainty` is empty where nothing was.
    prompts : tuple of str
        Questions that the numbers suggest.
    """

    outcome: str
    measure: str
    model: str
    k: int
    n: float
    unit: str
    estimate: float
    ci_low: float
    ci_high: float
    pi_low: float
    pi_high: float
    level: float
    tau2: float
    I2: float
    small_study: str
    risk_of_bias: str
    certainty: str
    prompts: tuple[str, ...]

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each heading."""
        percent, name = f"{100 * self.level:g}%", KINDS[self.measure].shown
        effect = f"{name} {self.text(self.estimate)} ({percent} CI {self.span(self.ci_low, self.ci_high)})"
        spread = [
            text
            for text, value in ((f"tau2 {number(self.tau2)}", self.tau2), (f"I2 {self.I2:.0f}%", self.I2))
            if not math.isnan(value)
        ]
        prediction = "none" if math.isnan(self.pi_low) else f"{self.span(self.pi_low, self.pi_high)} ({percent})"
        return (
            self.outcome, str(self.k), self.observations(), effect, prediction, ", ".join(spread) or "not estimated",
            self.small_study, self.risk_of_bias, self.certainty, _BREAK.join(self.prompts),
        )  # fmt: skip

    def text(self, value: float) -> str:
        """A number on the display scale; rates in per cent."""
        rate = KINDS[self.measure].scale == "rate"
        return f"{100 * value:.1f}%" if rate and not math.isnan(value) else number(value)

    def span(self, low: float, high: float) -> str:
        """Limits on the display scale."""
        return f"{self.text(low)} to {self.text(high)}"

    def _headline(self) -> str:
        return self.outcome

    def observations(self) -> str:
        """How many patients or lesions."""
        if math.isnan(self.n):
            return "not known"
        return f"{self.n:,.0f} {self.unit}" if self.n == round(self.n) else f"{self.n:,.1f} effective {self.unit}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GradeTable(Frozen):
    """Result of `metaan.grade_table`: a summary of findings.

    Parameters
    ----------
    rows : tuple of GradeRow
    notes : tuple of Note
        What stands under the table.
    """

    rows: tuple[GradeRow, ...]
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row for each outcome, numbers on the display scale; prompts joined by semicolons."""
        import pandas as pd

        rows = [dataclasses.asdict(row) | {"prompts": "; ".join(row.prompts)} for row in self.rows]
        frame = pd.DataFrame(rows)
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN becomes None)."""
        return {"rows": [row.to_dict() for row in self.rows], "notes": [str(note) for note in self.notes]}

    def to_markdown(self) -> str:
        """A pipe table with its notes as a list; line breaks within a cell are ``<br>``."""
        lines = [_HEADINGS, tuple("---" for _ in _HEADINGS), *(row.cells() for row in self.rows)]
        table = ["| " + " | ".join(_pipe(cell) for cell in cells) + " |" for cells in lines]
        return "\n".join([*table, "", *(f"- {_pipe(str(note))}" for note in self.notes)]) + "\n"

    def to_html(self) -> str:
        """A plain table with borders and no style sheet, which word processors open as a table of their own."""
        from html import escape

        def row(cells: tuple[str, ...], tag: str) -> str:
            inner = "".join(f"<{tag}>{escape(cell).replace(_BREAK, '<br>')}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        body = "\n".join(row(one.cells(), "td") for one in self.rows)
        notes = "\n".join(f"<p>{escape(str(note))}</p>" for note in self.notes)
        head = f"<thead>\n{row(_HEADINGS, 'th')}\n</thead>"
        return f'<table border="1">\n{head}\n<tbody>\n{body}\n</tbody>\n</table>\n{notes}\n'

    def __str__(self) -> str:
        lines = [f"Summary of findings: {plural(len(self.rows), 'outcome')}", ""]
        room = max((LINES - 6) // 3, 1)
        for row in self.rows[:room]:
            _, k, n, effect, prediction, spread, small, bias, certainty, _ = row.cells()
            lines += [
                f"{row.outcome}: {effect}; {k} studies, {n}",
                f"  prediction {prediction}; {spread}; small-study effects {small}; risk of bias {bias or 'blank'}; "
                f"certainty {certainty or 'blank'}",
                f"  prompts, not judgements: {'; '.join(row.prompts) or 'none'}",
            ]
        if len(self.rows) > room:
            lines.append(f"... and {len(self.rows) - room} more: see to_frame(), to_markdown() or to_html().")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        return f"<GradeTable: {plural(len(self.rows), 'outcome')}>"

    def _repr_html_(self) -> str:
        return framed(self.to_html())


def _pipe(text: str) -> str:
    """Text that stays within its cell and is no tag."""
    safe = re.sub(r"<(?=[A-Za-z/!])", "&lt;", text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", ""))
    return safe.replace(_BREAK, "<br>")
