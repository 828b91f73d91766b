"""Text columns of a forest plot: what they say and how wide they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from metaan.errors import OptionError, listed
from metaan.names import COLUMNS
from metaan.plot.axis import Axis
from metaan.plot.measure import text_width, wrap
from metaan.plot.style import Style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMN_GAP", "HEADING_LINE", "LIGHT", "Block", "Light", "Side", "Text", "blocks", "place", "total_width"]

Side = Literal["left", "right"]

LIGHT: Final = "rob: "  # how the columns of traffic lights begin

# Distances in multiples of the text size.
COLUMN_GAP: Final = 1.7
HEADING_LINE: Final = 1.2  # from line to line of a heading
_INNER_GAP: Final = 0.7  # between an estimate and its interval
_LIGHT_WIDTH: Final = 1.5
_LIGHT_GAP: Final = 0.35  # traffic lights stand closer than other columns
_INDENT: Final = 1.0  # of the studies of a subgroup
_LONGEST_HEADING: Final = 9.0  # wider headings are broken where their cells are narrow

_NUMBER: Final = re.compile(r"[-−+<]?\d*[.·]?\d+%?")


@dataclass(frozen=True, kw_only=True)
class Text:
    """One line of text in a figure.

    Parameters
    ----------
    text : str
    x : float
        Points from the edge of the plot named by `side`; negative is to the left of it.
    y : float
        Row if `level` is "row", else points above or below the plot.
    rise : float
        Points above that row.
    side : {"left", "right"}
    level : {"row", "above", "below"}
    align : {"left", "right", "center"}
        Which part of the text stands at `x`.
    bold, small : bool
    """

    text: str
    x: float
    y: float
    rise: float = 0.0
    side: Side = "left"
    level: Literal["row", "above", "below"] = "row"
    align: Literal["left", "right", "center"] = "left"
    bold: bool = False
    small: bool = False


@dataclass(frozen=True, kw_only=True)
class Light:
    """A judgement drawn as a traffic light: points from the edge of the plot named by `side`, and its row."""

    judgement: str
    x: float
    y: float
    side: Side


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns under one heading, each with a cell for every row of the figure that carries numbers.

    `span` is what stands over this and the neighbouring blocks of the same span; `indent` moves single cells; `name` is
    that of the column of the table.
    """

    heading: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    align: Side = "right"
    span: str = ""
    lights: bool = False
    indent: tuple[bool, ...] = ()
    name: str = ""


def blocks(rows: pd.DataFrame, names: Sequence[str], axis: Axis, style: Style, attrs: Mapping[str, Any]) -> list[Block]:
    """Columns of the names given; counts and weights only where they are known.

    Raises
    ------
    OptionError
        The table has no such column.
    """
    absent = [name for name in names if name not in rows.columns]
    if absent:
        raise OptionError(f"The table has no column {listed(absent)}. It has {', '.join(map(str, rows.columns))}.")
    spans = {name: over for over, members in attrs.get("spans", {}).items() for name in members}
    found = []
    for name in names:
        if name in ("events", "total", "weight") and not rows[name].notna().any():
            continue
        block = _block(rows, name, axis, style, _heading(rows, name, axis, style, attrs), spans.get(name, ""))
        found.append(replace(block, name=name))
    return found


def _block(rows: pd.DataFrame, name: str, axis: Axis, style: Style, heading: str, span: str) -> Block:
    if name == "study":
        return _labels(rows, heading)
    if name == "estimate":
        return Block(heading=(heading,), columns=_estimates(rows, axis, style), span=span)
    if name.startswith(LIGHT):
        judged = tuple("" if value != value else str(value) for value in rows[name])
        return Block(heading=(heading,), columns=(judged,), span=span, lights=True)
    cells, is_number = _cells(rows, name, style)
    widest = max(_LONGEST_HEADING * style.size, max(text_width(cell, style) for cell in cells))
    lines = tuple(wrap(heading, widest, style, bold=True))
    return Block(heading=lines, columns=(cells,), align="right" if is_number else "left", span=span)


def _labels(rows: pd.DataFrame, heading: str) -> Block:
    """Labels, those of the studies of a subgroup indented under its heading."""
    said = tuple(" ".join(str(label).split()) for label in rows["study"])
    kinds = rows["row"].to_numpy(dtype=str)
    grouped = np.zeros(kinds.size, dtype=bool)
    if "group" in rows.columns and (kinds == "group").any():
        grouped = (rows["group"].fillna("").to_numpy(dtype=str) != "") & (kinds != "group")
    return Block(heading=(heading,), columns=(said,), align="left", indent=tuple(grouped.tolist()))


def _estimates(rows: pd.DataFrame, axis: Axis, style: Style) -> tuple[tuple[str, ...], tuple[str, ...]]:
    numbers = tuple(_pointed(axis.number(value), style) for value in rows["estimate"])
    limits = zip(rows["low"], rows["high"], strict=True)
    return numbers, tuple(
        _pointed(axis.interval(low, high, style.between, style.brackets), style) for low, high in limits
    )


def _cells(rows: pd.DataFrame, name: str, style: Style) -> tuple[tuple[str, ...], bool]:
    """Texts of a column, and whether they are numbers: those have the same number of decimals."""
    column = rows[name]
    if column.dtype.kind not in "iufb":
        cells = tuple("" if value is None or value != value else " ".join(str(value).split()) for value in column)
        return cells, all(_NUMBER.fullmatch(cell) for cell in cells if cell)
    values = column.to_numpy(dtype=np.float64)
    decimals = 1 if name in ("weight", "I2") else _decimals(values)
    return tuple(
        "" if value != value else _pointed(f"{value:.{decimals}f}".replace("-", "−"), style) for value in values
    ), True


def _decimals(values: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Least decimals that show every number to three digits; at most three."""
    finite = values[np.isfinite(values)]
    for decimals in range(3):
        if np.all(np.abs(finite - np.round(finite, decimals)) <= 5e-4 * np.maximum(np.abs(finite), 1e-3)):
            return decimals
    return 1 if finite.size and np.abs(finite).max() >= 100 else 2


def _pointed(text: str, style: Style) -> str:
    return text if style.decimal == "." else text.replace(".", style.decimal)


def _heading(rows: pd.DataFrame, name: str, axis: Axis, style: Style, attrs: Mapping[str, Any]) -> str:
    """Heading of a column: what the table says, else the style, else the vocabulary, else its name."""
    said = {**dict(style.headings), **attrs.get("headings", {})}
    if name == "estimate":
        level = 100 * float(rows["level"].iloc[0])
        return f"{said.get(name, axis.short)} ({level:g}% {attrs.get('interval', 'CI')})"
    if name in said:
        return str(said[name])
    if name.startswith(LIGHT):
        return name.removeprefix(LIGHT)
    column = COLUMNS.get(name)
    if column is None:
        return name
    heading = column.symbol[:1].upper() + column.symbol[1:]
    return f"{heading}, {column.unit}" if column.unit == "%" else heading


def total_width(found: Sequence[Block], bold: Sequence[bool], style: Style) -> float:
    """Width of columns side by side, points."""
    widths = _widths(found, bold, style)
    return sum(widths) + sum(_gap(a, b, style) for a, b in pairwise(found))


def _gap(block: Block, following: Block, style: Style) -> float:
    return (_LIGHT_GAP if block.lights and following.lights else COLUMN_GAP) * style.size


def _widths(found: Sequence[Block], bold: Sequence[bool], style: Style) -> list[float]:
    """Width of each block; the last under a span grows where the span is wider than its blocks."""
    widths = [_block_width(block, bold, style) for block in found]
    for span, members in _spans(found):
        inside = sum(widths[i] for i in members) + sum(_gap(found[i], found[i + 1], style) for i in members[:-1])
        widths[members[-1]] += max(0.0, text_width(span, style, bold=True) - inside)
    return widths


def _spans(found: Sequence[Block]) -> Iterator[tuple[str, list[int]]]:
    """Neighbouring blocks of the same span."""
    members: list[int] = []
    for i, block in enumerate(found):
        if members and found[members[0]].span != block.span:
            yield found[members[0]].span, members
            members = []
        if block.span:
            members.append(i)
    if members:
        yield found[members[0]].span, members


def _block_width(block: Block, bold: Sequence[bool], style: Style) -> float:
    heading = max(text_width(line, style, bold=True) for line in block.heading)
    if block.lights:
        return max(_LIGHT_WIDTH * style.size, heading)
    cells = sum(_column_width(column, bold, style, block) for column in block.columns)
    return max(cells + (len(block.columns) - 1) * _INNER_GAP * style.size, heading)


def _column_width(column: Sequence[str], bold: Sequence[bool], style: Style, block: Block) -> float:
    if block.align == "right":
        tails = _fractions(column, bold, style)
        heads = (
            text_width(cell, style, bold=heavy) - tail for cell, heavy, tail in zip(column, bold, tails, strict=True)
        )
        return max(heads) + max(tails)
    moved = block.indent or (False,) * len(column)
    return max(
        text_width(cell, style, bold=heavy) + _INDENT * style.size * inner
        for cell, heavy, inner in zip(column, bold, moved, strict=True)
    )


def place(
    found: Sequence[Block], start: float, side: Side, rows: Sequence[float], bold: Sequence[bool], style: Style
) -> Iterator[Text | Light]:
    """Texts and lights of columns that begin `start` points from an edge of the plot; headings end in row 0."""
    widths = _widths(found, bold, style)
    starts = []
    for i, (block, width) in enumerate(zip(found, widths, strict=True)):
        starts.append(start)
        edge = start if block.align == "left" else start + width
        yield from _placed_heading(block, start, width, side, style)
        if block.lights:
            for judged, row in zip(block.columns[0], rows, strict=True):
                if judged:
                    yield Light(judgement=judged, x=start + width / 2, y=row, side=side)
        else:
            yield from _placed_cells(block, edge, side, rows, bold, style)
        start += width + (_gap(block, found[i + 1], style) if i + 1 < len(found) else 0.0)
    for span, members in _spans(found):
        middle = (starts[members[0]] + starts[members[-1]] + widths[members[-1]]) / 2
        lines = max(len(found[i].heading) for i in members)
        yield Text(
            text=span, x=middle, y=0, rise=lines * HEADING_LINE * style.size, side=side, align="center", bold=True
        )


def _placed_heading(block: Block, start: float, width: float, side: Side, style: Style) -> Iterator[Text]:
    align: Literal["left", "right", "center"] = "center" if block.lights else block.align
    edge = {"left": start, "right": start + width, "center": start + width / 2}[align]
    for i, line in enumerate(reversed(block.heading)):
        if line:
            rise = i * HEADING_LINE * style.size
            yield Text(text=line, x=edge, y=0, rise=rise, side=side, align=align, bold=True)


def _placed_cells(
    block: Block, edge: float, side: Side, rows: Sequence[float], bold: Sequence[bool], style: Style
) -> Iterator[Text]:
    indent = block.indent or (False,) * len(rows)
    for column in reversed(block.columns):
        ends = _fractions(column, bold, style) if block.align == "right" else [0.0] * len(column)
        widest = max(ends)
        for cell, row, heavy, inner, end in zip(column, rows, bold, indent, ends, strict=True):
            if cell:
                x = edge + _INDENT * style.size * inner - (widest - end)
                yield Text(text=cell, x=x, y=row, side=side, align=block.align, bold=heavy)
        edge -= _column_width(column, bold, style, block) + _INNER_GAP * style.size


def _fractions(column: Sequence[str], bold: Sequence[bool], style: Style) -> list[float]:
    """Width of what stands behind the point of each number, so that numbers stand point under point."""
    if not all(_NUMBER.fullmatch(cell) for cell in column if cell):
        return [0.0] * len(column)
    tails = [cell[len(cell.partition("." if "." in cell else "·")[0]) :] for cell in column]
    if len({len(tail) for tail, cell in zip(tails, column, strict=True) if cell}) < 2:
        return [0.0] * len(column)
    return [text_width(tail, style, bold=heavy) for tail, heavy in zip(tails, bold, strict=True)]
