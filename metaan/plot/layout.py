"""Where everything in a forest plot stands, from the widths of its texts alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from metaan.errors import OptionError
from metaan.plot.axis import Axis
from metaan.plot.columns import Text, left_blocks, place, right_blocks, total_width
from metaan.plot.measure import text_width, wrap
from metaan.plot.style import Style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABEL_PAD", "TICK_LENGTH", "TICK_PAD", "Layout", "Words", "arrange", "fit"]

# Distances in multiples of the text size.
_MARGIN: Final = 0.8  # around the figure
_PLOT_GAP: Final = 1.7  # between text and plot: a square at 0 % or an arrow reaches into it
_PLOT: Final = 25.0  # the plot itself
_LEAST_PLOT: Final = 10.0
_LINE: Final = 1.35  # from line to line of running text
_STATISTICS_GAP: Final = 0.9
_NOTES_GAP: Final = 1.5
_TITLE_GAP: Final = 0.5
TICK_LENGTH: Final = 0.4
TICK_PAD: Final = 0.3
LABEL_PAD: Final = 0.4
# Distances in rows.
_HEAD: Final = 0.62  # from the header to the rules above and below it
_FIRST: Final = 1.2
_SUMMARY_GAP: Final = 0.25
_FOOT: Final = 0.65

_LEAST_SIZE: Final = 4.0  # points; smaller text is not read


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the caller says over and under a plot; empty for nothing."""

    title: str
    xlabel: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A forest plot measured out.

    Parameters
    ----------
    texts : tuple of Text
    rows : array
        Row of each line of the table; NaN where the line is text alone.
    top, bottom : float
        Rows of the upper and lower edge of the plot.
    rule : float
        Row of the line under the header.
    left, plot, right : float
        Widths of the text on the left, the plot and the text on the right, points, margins included.
    above, below : float
        Heights over and under the plot, points.
    xlabel : str
        Label of the axis, broken into lines.
    style : Style
    """

    texts: tuple[Text, ...]
    rows: FloatArray
    top: float
    bottom: float
    rule: float
    left: float
    plot: float
    right: float
    above: float
    below: float
    xlabel: str
    style: Style

    @property
    def margin(self) -> float:
        """Free strip at the edges, points."""
        return _MARGIN * self.style.size

    @property
    def width(self) -> float:
        """Width of the whole, points."""
        return self.left + self.plot + self.right

    @property
    def body(self) -> float:
        """Height of the plot itself, points."""
        return (self.bottom - self.top) * self.style.row

    @property
    def height(self) -> float:
        """Height of the whole, points."""
        return self.above + self.body + self.below


def arrange(table: pd.DataFrame, axis: Axis, style: Style, words: Words, *, width: float | None = None) -> Layout:
    """Lay a forest table out, in `width` points if given."""
    lines = table["row"].to_numpy(dtype=str)
    numbered = np.isin(lines, ["study", "pooled", "prediction"])
    rows = _rows(lines, numbered)
    body, bold = rows[numbered].tolist(), (lines[numbered] == "pooled").tolist()
    on_left, on_right = left_blocks(table[numbered]), right_blocks(table[numbered], axis)
    margin, gap = _MARGIN * style.size, _PLOT_GAP * style.size
    left = margin + total_width(on_left, bold, style) + gap
    right = gap + total_width(on_right, bold, style) + margin
    plot = _PLOT * style.size if width is None else width - left - right
    start, running = margin - left, left + plot + right - 2 * margin

    columns = [
        *place(on_left, start, "left", body, bold, style),
        *place(on_right, gap, "right", body, bold, style),
    ]
    label = wrap(words.xlabel, plot + 2 * min(left, right) - 2 * margin, style)
    overhang = max(0.0, (max(text_width(line, style) for line in label) - plot) / 2)
    under = (TICK_LENGTH + TICK_PAD + LABEL_PAD + _LINE * (1 + len(label))) * style.size
    statistics = _statistics(_said(table, "statistics"), start, left - margin - gap - overhang, under, running, style)
    low = max(under, statistics[-1].y) if statistics else under
    notes = _notes(_said(table, "note"), start, low, running, style)
    heading = _title(words.title, start, running, style)
    return Layout(
        texts=(*heading, *columns, *statistics, *notes),
        rows=rows,
        top=-_HEAD,
        bottom=body[-1] + _FOOT,
        rule=_HEAD,
        left=left,
        plot=plot,
        right=right,
        above=margin + (heading[0].y + 0.5 * style.size if heading else 0),
        below=(notes[-1].y if notes else low) + margin,
        xlabel="\n".join(label),
        style=style,
    )


def fit(table: pd.DataFrame, axis: Axis, style: Style, words: Words, box: tuple[float, float]) -> Layout:
    """Lay a forest table out within `box` points (width, height), with smaller text where it must."""
    width, height = box
    needed = arrange(table, axis, style, words)
    while style.size >= _LEAST_SIZE:
        layout = arrange(table, axis, style, words, width=width)
        narrow = layout.plot < _LEAST_PLOT * style.size
        if layout.height <= height and not narrow:
            return layout
        style = style.scaled(0.95)
    raise OptionError(
        f"ax is too small for this forest plot: {width / 72:.1f} x {height / 72:.1f} inches. It wants about "
        f"{needed.width / 72:.1f} x {needed.height / 72:.1f}: enlarge the figure, or leave ax out."
    )


def _rows(lines: npt.NDArray[np.str_], numbered: npt.NDArray[np.bool_]) -> FloatArray:
    """Row of each line: the header is row 0, the summary stands a little apart."""
    is_study = lines == "study"
    position = np.cumsum(numbered) - 1.0 + _FIRST + np.where(is_study, 0.0, _SUMMARY_GAP)
    return np.where(numbered, position, np.nan)


def _said(table: pd.DataFrame, kind: str) -> list[str]:
    return [" ".join(str(text).split()) for text in table.loc[table["row"] == kind, "study"]]


def _statistics(said: list[str], x: float, beside: float, under: float, width: float, style: Style) -> list[Text]:
    """Lines on the model and its heterogeneity: beside the axis where they fit, else under it."""
    fits = all(text_width(text, style) <= beside for text in said)
    first = 0.5 * style.size if fits else under + _STATISTICS_GAP * style.size
    lines = [line for text in said for line in wrap(text, width, style)]
    return [
        Text(text=line, x=x, y=first + _LINE * style.size * i, level="below")
        for i, line in zip(count(), lines, strict=False)
    ]


def _notes(said: list[str], x: float, under: float, width: float, style: Style) -> list[Text]:
    """Small lines under the axis."""
    lines = [line for text in said for line in wrap(text, width, style, small=True)]
    first = under + _NOTES_GAP * style.size
    return [
        Text(text=line, x=x, y=first + _LINE * style.small * i, level="below", small=True)
        for i, line in zip(count(), lines, strict=False)
    ]


def _title(title: str, x: float, width: float, style: Style) -> list[Text]:
    """Lines over the header."""
    lines = wrap(title, width, style, bold=True) if title else []
    step = _LINE * style.size
    return [
        Text(
            text=line,
            x=x,
            y=step * (len(lines) - i - 0.5) + _TITLE_GAP * style.size,
            level="above",
            bold=True,
        )
        for i, line in enumerate(lines)
    ]
