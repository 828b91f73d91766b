"""Where everything in a forest plot stands, from the widths of its texts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.errors import OptionError
from metaan.plot.axis import Axis
from metaan.plot.columns import HEADING_LINE, LIGHT, Block, Light, Text, blocks, place, total_width
from metaan.plot.labels import with_short_labels
from metaan.plot.measure import wrap
from metaan.plot.style import Style
from metaan.plot.under import LINE, Words, below_axis, favours_reach, lines_of, pointed
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Layout", "arrange", "band_notes", "column_names", "fit", "over", "panel", "side_by_side"]

# Distances in multiples of the text size.
_MARGIN: Final = 0.8  # around the figure
_PLOT_GAP: Final = 1.7  # between text and plot: a square at 0 % or an arrow reaches into it
_PLOT: Final = 25.0  # the plot itself
_LEAST_PLOT: Final = 10.0
_NOTES_GAP: Final = 1.5
_TITLE_GAP: Final = 0.5
_BESIDE: Final = 2.0  # from one plot with its columns to the next
_OVER: Final = 0.8  # from the rule to the heading of one of several plots
# Distances in rows.
_HEAD: Final = 0.62  # from the header to the rules above and below it
_FIRST: Final = 1.2
_SUMMARY_GAP: Final = 0.25
_GROUP_GAP: Final = 0.4  # over the heading of a subgroup
_OVERALL_GAP: Final = 0.6  # over the summary of all, where there are subgroups
_TEXT_ROW: Final = 0.72  # a line of text within the body
_DENSITY: Final = 0.9  # room for the distribution of true effects over its interval
_FOOT: Final = 0.65

_LEAST_SIZE: Final = 4.0  # points; smaller text is not read
_NUMBERED: Final = ("group", "study", "pooled", "prediction")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A forest plot measured out.

    Parameters
    ----------
    texts : tuple of Text
    lights : tuple of Light
    rows : array
        Row of each line of the table; NaN where the line is text alone.
    shaded : tuple of float
        Rows with a shade behind them.
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
    labelpad : float
        From the ticks to that label, points.
    style : Style
    first, last : bool
        Whether no other plot stands to the left, or to the right.
    """

    texts: tuple[Text, ...]
    lights: tuple[Light, ...]
    rows: FloatArray
    shaded: tuple[float, ...]
    top: float
    bottom: float
    rule: float
    left: float
    plot: float
    right: float
    above: float
    below: float
    xlabel: str
    labelpad: float
    style: Style
    first: bool = True
    last: bool = True

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
    return side_by_side([panel(table, axis, style, words, width)], [table], words.title)[0]


def side_by_side(layouts: Sequence[Layout], tables: Sequence[pd.DataFrame], title: str) -> list[Layout]:
    """Plots that share their rows: the same edges, and one title and one set of notes for all."""
    style, first = layouts[0].style, layouts[0]
    running = sum(layout.width for layout in layouts) - 2 * first.margin
    start = first.margin - first.left
    top, bottom = min(layout.top for layout in layouts), max(layout.bottom for layout in layouts)
    low = max(layout.below for layout in layouts)
    said = [line for table in tables for line in (*lines_of(table, "note"), *band_notes(table))]
    if len(tables) > 1:
        said = list(dict.fromkeys(said))
    notes = _notes(said, start, low, running, style)
    heading = _title(title, start, running, style)
    highest = max(layout.above for layout in layouts)
    heading = [replace(text, y=text.y + highest) for text in heading]
    above = first.margin + (heading[0].y + 0.5 * style.size if heading else highest)
    below = (notes[-1].y if notes else low) + first.margin
    shared = [replace(layout, top=top, bottom=bottom, above=above, below=below) for layout in layouts]
    shared[0] = replace(shared[0], texts=(*heading, *shared[0].texts, *notes))
    return [replace(part, first=i == 0, last=i == len(shared) - 1) for i, part in enumerate(shared)]


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


def panel(
    table: pd.DataFrame, axis: Axis, style: Style, words: Words, width: float | None = None, *, plot: float = _PLOT
) -> Layout:
    """One plot with its columns and what stands under its axis; no title, no notes.

    The plot itself is `plot` times as wide as the text is high, or what `width` leaves.
    """
    lines = table["row"].to_numpy(dtype=str)
    numbered = np.isin(lines, _NUMBERED)
    names = column_names(table, style)
    shown, attrs = table[numbered], dict[Any, Any](table.attrs)
    left_names = [n for n in names[0] if words.labels or n != "study"]
    kinds = lines[numbered].tolist()
    on_left, on_right = (
        with_short_labels(blocks(shown, side, axis, style, attrs), kinds, style) for side in (left_names, names[1])
    )
    bold = np.isin(lines[numbered], ["pooled", "group"]).tolist()
    margin, gap = _MARGIN * style.size, _PLOT_GAP * style.size
    edge = margin if words.labels else _BESIDE * style.size
    left = edge + (total_width(on_left, bold, style) if on_left else 0.0) + gap
    right = gap + (total_width(on_right, bold, style) + margin if on_right else 0.0)
    for _ in range(2):  # words that reach out of the plot make it narrower, and then reach out farther
        wide = plot * style.size if width is None else width - left - right
        reach = favours_reach(words.favours, axis, wide, style)
        left, right = max(left, reach[0] + margin), max(right, reach[1] + margin)
    start = edge - left

    free = left - margin - gap + max(0.0, wide * _first_line(table, axis))
    inner = {i: wrap(pointed(text, style), max(free, 1.0), style, small=True) for i, text in _inner_texts(table)}
    rows = _rows(table, lines, {i: len(wrapped) for i, wrapped in inner.items()})
    body = rows[numbered].tolist()
    placed = [*place(on_left, start, "left", body, bold, style), *place(on_right, gap, "right", body, bold, style)]
    texts = [*(mark for mark in placed if isinstance(mark, Text)), *_inner(inner, rows, start, style)]
    high = (_heading_lines([*on_left, *on_right]) - 1) * HEADING_LINE * style.size / style.row
    heading = over(words.heading, wide, min(left, right), style)
    under = below_axis(table, axis, style, words, (left, wide, right), start)
    return Layout(
        texts=(*heading, *texts, *under.texts),
        lights=tuple(mark for mark in placed if isinstance(mark, Light)),
        rows=rows,
        shaded=tuple(rows[lines == "study"][1::2].tolist()) if style.zebra is not None else (),
        top=-_HEAD - high,
        bottom=_FOOT + max([float(np.nanmax(rows)), *(text.y for text in texts if text.level == "row")]),
        rule=_HEAD,
        left=left,
        plot=wide,
        right=right,
        above=heading[0].y + 0.5 * style.size if heading else 0.0,
        below=under.low,
        xlabel=under.xlabel,
        labelpad=under.labelpad,
        style=style,
    )


def over(heading: str, plot: float, beside: float, style: Style) -> list[Text]:
    """Heading of one of several plots, over its middle, no farther out than `beside` points on either side."""
    lines = wrap(heading, plot + 2 * max(beside - style.size, 0.0), style, bold=True) if heading else []
    return [
        Text(
            text=line, x=plot / 2, y=(_OVER + LINE * (len(lines) - 1 - i)) * style.size, level="above", align="center",
            bold=True,
        )
        for i, line in enumerate(lines)
    ]  # fmt: skip


def column_names(table: pd.DataFrame, style: Style) -> tuple[list[str], list[str]]:
    """Names of the columns on either side: what the table says, else the style; traffic lights last."""
    attrs: Any = table.attrs
    left = list(attrs.get("left", style.left))
    if "left" in attrs and "right" not in attrs:
        left += [name for name in style.left if name in ("weight", "estimate") and name not in left]
    right = list(attrs.get("right", [name for name in style.right if name not in left]))
    if "right" in attrs and "left" not in attrs:
        left = [name for name in left if name not in right]
    lights = [name for name in map(str, table.columns) if name.startswith(LIGHT)]
    return left, right + [name for name in lights if name not in (*left, *right)]


def _heading_lines(found: Sequence[Block]) -> int:
    return max((len(block.heading) + (1 if block.span else 0) for block in found), default=1)


def _first_line(table: pd.DataFrame, axis: Axis) -> float:
    """Share of the plot left of its first vertical line, which text within the body must not reach."""
    pooled = table.loc[table["row"] == "pooled", "estimate"].to_numpy(dtype=np.float64)
    lines = [*pooled[-1:], *([] if axis.null is None else [axis.null])]
    return min([axis.share(float(x)) for x in lines if axis.low < x < axis.high], default=1.0)


def _inner_texts(table: pd.DataFrame) -> list[tuple[int, str]]:
    kinds = table["row"].to_numpy(dtype=str)
    return [(int(i), " ".join(str(table["study"].iloc[i]).split())) for i in np.flatnonzero(kinds == "text")]


def _inner(inner: Mapping[int, list[str]], rows: FloatArray, start: float, style: Style) -> list[Text]:
    """Lines of text within the body."""
    return [
        Text(text=line, x=start, y=float(rows[i]) + _TEXT_ROW * n, small=True)
        for i, lines in inner.items()
        for n, line in enumerate(lines)
    ]


def _rows(table: pd.DataFrame, lines: npt.NDArray[np.str_], wrapped: Mapping[int, int]) -> FloatArray:
    """Row of each line: the header is row 0, summaries and subgroups stand a little apart."""
    groups = table["group"].fillna("").to_numpy(dtype=str) if "group" in table.columns else np.full(lines.size, "")
    has_groups = bool((lines == "group").any())
    dense = "density" in table.attrs
    rows = np.full(lines.size, np.nan)
    at, before = 0.0, ""
    for i, (line, group) in enumerate(zip(lines, groups, strict=True)):
        if line not in (*_NUMBERED, "text"):
            continue
        if not before:
            at = _FIRST
        elif line == "text":
            at += (1 + _TEXT_ROW) / 2
        else:
            at += 1.0
            if line == "group":
                at += _GROUP_GAP
            elif line != "study" and has_groups and group == "" and groups[i - 1] != "":
                at += _OVERALL_GAP
            elif line in ("pooled", "prediction") and before == "study":
                at += _SUMMARY_GAP
            if line == "prediction" and dense and group == "":
                at += _DENSITY
        rows[i] = at
        if line == "text":
            at += _TEXT_ROW * (wrapped[i] - 1) - (1 - _TEXT_ROW) / 2
        before = line
    return rows


def band_notes(table: pd.DataFrame) -> list[str]:
    """What the shaded bands mean, where it was said."""
    return [f"Shaded: {text}." for _, _, text in table.attrs.get("bands", ()) if text]


def _notes(said: list[str], x: float, under: float, width: float, style: Style) -> list[Text]:
    """Small lines under the axis."""
    lines = [line for text in said for line in wrap(text, width, style, small=True)]
    first = under + _NOTES_GAP * style.size
    return [
        Text(text=line, x=x, y=first + LINE * style.small * i, level="below", small=True)
        for i, line in enumerate(lines)
    ]


def _title(title: str, x: float, width: float, style: Style) -> list[Text]:
    """Lines over the header."""
    lines = wrap(title, width, style, bold=True) if title else []
    step = LINE * style.size
    return [
        Text(
            text=line, x=x, y=step * (len(lines) - i - 0.5) + _TITLE_GAP * style.size, level="above", bold=True,
        )
        for i, line in enumerate(lines)
    ]  # fmt: skip
