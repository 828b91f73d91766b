"""Text columns of a forest plot: what they say and how wide they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from metaan.names import COLUMNS
from metaan.plot.axis import Axis
from metaan.plot.measure import text_width
from metaan.plot.style import Style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMN_GAP", "Block", "Side", "Text", "left_blocks", "place", "right_blocks", "total_width"]

Side = Literal["left", "right"]

# Distances in multiples of the text size.
COLUMN_GAP: Final = 1.7
_INNER_GAP: Final = 0.5  # between an estimate and its interval


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
    side : {"left", "right"}
    level : {"row", "above", "below"}
    align : {"left", "right"}
        Which end of the text stands at `x`.
    bold, small : bool
    """

    text: str
    x: float
    y: float
    side: Side = "left"
    level: Literal["row", "above", "below"] = "row"
    align: Side = "left"
    bold: bool = False
    small: bool = False


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns under one heading, each with a cell for every row of the figure that carries numbers."""

    header: str
    columns: tuple[tuple[str, ...], ...]
    align: Side = "right"


def left_blocks(rows: pd.DataFrame) -> list[Block]:
    """Columns on the left: labels, and counts where they are known."""
    labels = tuple(" ".join(str(label).split()) for label in rows["study"])
    blocks = [Block(header=_header("study"), columns=(labels,), align="left")]
    if rows["total"].notna().any():
        for name in ("events", "total"):
            decimals = 0 if (rows[name].dropna() % 1 == 0).all() else 1  # effective counts are fractions
            cells = tuple("" if value != value else f"{value:.{decimals}f}" for value in rows[name])
            blocks.append(Block(header=_header(name), columns=(cells,)))
    return blocks


def right_blocks(rows: pd.DataFrame, axis: Axis) -> list[Block]:
    """Columns on the right: estimate with interval, and weight where it is known."""
    estimates = tuple(axis.number(value) for value in rows["estimate"])
    intervals = tuple(axis.interval(low, high) for low, high in zip(rows["low"], rows["high"], strict=True))
    level = 100 * float(rows["level"].iloc[0])
    blocks = [Block(header=f"{axis.short} ({level:g}% CI)", columns=(estimates, intervals))]
    if rows["weight"].notna().any():
        weights = tuple("" if value != value else f"{value:.1f}" for value in rows["weight"])
        blocks.append(Block(header=_header("weight"), columns=(weights,)))
    return blocks


def _header(name: str) -> str:
    column = COLUMNS[name]
    heading = column.symbol.capitalize()
    return f"{heading}, {column.unit}" if column.unit == "%" else heading


def total_width(blocks: Sequence[Block], bold: Sequence[bool], style: Style) -> float:
    """Width of columns side by side, points."""
    gaps = (len(blocks) - 1) * COLUMN_GAP * style.size
    return sum(_block_width(block, bold, style) for block in blocks) + gaps


def _block_width(block: Block, bold: Sequence[bool], style: Style) -> float:
    cells = sum(_column_width(column, bold, style) for column in block.columns)
    cells += (len(block.columns) - 1) * _INNER_GAP * style.size
    return max(cells, text_width(block.header, style, bold=True))


def _column_width(column: Sequence[str], bold: Sequence[bool], style: Style) -> float:
    return max(text_width(cell, style, bold=heavy) for cell, heavy in zip(column, bold, strict=True))


def place(
    blocks: Sequence[Block],
    start: float,
    side: Side,
    rows: Sequence[float],
    bold: Sequence[bool],
    style: Style,
) -> Iterator[Text]:
    """Texts of columns that begin `start` points from an edge of the plot; the header stands in row 0."""
    for block in blocks:
        width = _block_width(block, bold, style)
        edge = start if block.align == "left" else start + width
        yield Text(text=block.header, x=edge, y=0, side=side, align=block.align, bold=True)
        for column in reversed(block.columns):
            for cell, row, heavy in zip(column, rows, bold, strict=True):
                if cell:
                    yield Text(text=cell, x=edge, y=row, side=side, align=block.align, bold=heavy)
            edge -= _column_width(column, bold, style) + _INNER_GAP * style.size
        start += width + COLUMN_GAP * style.size
