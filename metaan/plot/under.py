"""What stands under the axis of a forest plot: words on either side of no effect, its label, lines on the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from metaan.plot.axis import Axis
from metaan.plot.columns import Text
from metaan.plot.measure import text_width, wrap
from metaan.plot.style import Style

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LINE", "TICK_LENGTH", "TICK_PAD", "Under", "Words", "below_axis", "favours_reach", "lines_of", "pointed",
    "pointing",
]  # fmt: skip

# Distances in multiples of the text size.
LINE: Final = 1.35  # from line to line of running text
TICK_LENGTH: Final = 0.4
TICK_PAD: Final = 0.3
_LABEL_PAD: Final = 0.4
_STATISTICS_GAP: Final = 0.9
_CLEAR: Final = 1.7  # from lines beside the axis to its label
_FAVOURS_GAP: Final = 0.7  # from the null to the words on either side


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the caller says over and under a plot; empty for nothing.

    `heading` stands over one of several plots; `labels` is False where the plot beside it names the studies.
    """

    title: str
    xlabel: str
    favours: tuple[str, str] = ("", "")
    heading: str = ""
    labels: bool = True


def lines_of(table: pd.DataFrame, kind: str) -> list[str]:
    """Texts of the rows of a kind, each on one line."""
    return [" ".join(str(text).split()) for row, text in zip(table["row"], table["study"], strict=True) if row == kind]


def pointed(text: str, style: Style) -> str:
    """A sentence with the decimal point of the style."""
    return re.sub(r"(?<=\d)\.(?=\d)", style.decimal, text)


@dataclass(frozen=True, kw_only=True)
class Under:
    """What stands under an axis, and how far down it goes."""

    texts: list[Text]
    xlabel: str
    labelpad: float
    low: float


def below_axis(
    table: pd.DataFrame, axis: Axis, style: Style, words: Words, widths: tuple[float, float, float], start: float
) -> Under:
    """Measure what stands under a plot with its columns: `widths` are the texts left, the plot, the texts right.

    Lines on the model begin `start` points from the left edge of the plot; they stand beside the axis where they fit.
    """
    left, plot, right = widths
    label = wrap(words.xlabel, plot + 2 * max(min(left, right) - style.size, 0.0), style)
    overhang = max(0.0, (max(text_width(line, style) for line in label) - plot) / 2)
    depth = (TICK_LENGTH + TICK_PAD + LINE) * style.size
    sides = _favours(words.favours, axis, plot, depth, style)
    row = LINE * style.size if sides else 0.0
    under = depth + row + (_LABEL_PAD + LINE * len(label)) * style.size
    beside = -start - _CLEAR * style.size - max(overhang, favours_reach(words.favours, axis, plot, style)[0])
    lines = [pointed(text, style) for text in lines_of(table, "statistics")]
    statistics = _statistics(lines, start, beside, under, plot + right - start - style.size, style)
    return Under(
        texts=[*sides, *statistics],
        xlabel="\n".join(label),
        labelpad=_LABEL_PAD * style.size + row,
        low=max(under, statistics[-1].y) if statistics else under,
    )


def _favours(said: tuple[str, str], axis: Axis, plot: float, depth: float, style: Style) -> list[Text]:
    """Words left and right of the null."""
    middle, gap, y = plot * _null_share(axis), _FAVOURS_GAP * style.size, depth + 0.5 * style.size
    left, right = pointing(said)
    sides = [
        Text(text=left, x=middle - gap, y=y, level="below", align="right"),
        Text(text=right, x=middle + gap, y=y, level="below"),
    ]
    return [text for text in sides if text.text]


def favours_reach(said: tuple[str, str], axis: Axis, plot: float, style: Style) -> tuple[float, float]:
    """How far these words reach out of the plot on either side, points."""
    gap, share = _FAVOURS_GAP * style.size, _null_share(axis)
    widths = [text_width(text, style) + gap if text else 0.0 for text in pointing(said)]
    return max(0.0, widths[0] - plot * share), max(0.0, widths[1] - plot * (1 - share))


def pointing(said: tuple[str, str]) -> tuple[str, str]:
    """Words on either side of no effect with arrows that point away from it."""
    return f"← {said[0]}" if said[0] else "", f"{said[1]} →" if said[1] else ""


def _null_share(axis: Axis) -> float:
    """Where on the axis no effect lies, its middle where it has none."""
    return axis.share(axis.null) if axis.null is not None and axis.low < axis.null < axis.high else 0.5


def _statistics(said: list[str], x: float, beside: float, under: float, width: float, style: Style) -> list[Text]:
    """Lines on the model and its heterogeneity: beside the axis where they fit, else under it."""
    fits = all(text_width(text, style) <= beside for text in said)
    first = 0.5 * style.size if fits else under + _STATISTICS_GAP * style.size
    lines = [line for text in said for line in wrap(text, width, style)]
    return [Text(text=line, x=x, y=first + LINE * style.size * i, level="below") for i, line in enumerate(lines)]
