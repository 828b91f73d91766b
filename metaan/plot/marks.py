"""Marks of a forest plot: each function draws one kind and nothing else."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETLEFT, CARETRIGHT, MarkerStyle
from matplotlib.patches import Polygon, Rectangle

from metaan.plot.axis import Axis
from metaan.plot.style import Style
from metaan.validate import FloatArray

__all__ = [
    "draw_arrows",
    "draw_diamond",
    "draw_intervals",
    "draw_prediction",
    "draw_reference",
    "draw_squares",
]

# In rows.
_LARGEST_SQUARE: Final = 0.68  # side
_DIAMOND: Final = 0.3  # half its height
_BAR: Final = 0.1  # half its height


def draw_squares(ax: Axes, x: FloatArray, y: FloatArray, weight: FloatArray, axis: Axis, style: Style) -> None:
    """Squares at the estimates, their areas in proportion to the weights, large where there is none."""
    largest = np.nanmax(weight, initial=0.0)
    share = np.where(np.isfinite(weight), weight, largest) / largest if largest > 0 else np.ones_like(weight)
    area = (_LARGEST_SQUARE * style.row) ** 2 * share
    inside = (x >= axis.low) & (x <= axis.high)
    ax.scatter(
        x[inside], y[inside], s=area[inside], marker="s", color=[style.square], linewidths=0,
        clip_on=False, zorder=2, label="_squares",
    )  # fmt: skip


def draw_intervals(ax: Axes, low: FloatArray, high: FloatArray, y: FloatArray, axis: Axis, style: Style) -> None:
    """Lines from limit to limit, cut at the edges of the plot."""
    seen = (high >= axis.low) & (low <= axis.high)
    ax.hlines(
        y[seen], np.maximum(low[seen], axis.low), np.minimum(high[seen], axis.high), colors=[style.ink],
        linewidth=0.11 * style.size, capstyle="butt", clip_on=False, zorder=3, label="_intervals",
    )  # fmt: skip


def draw_arrows(ax: Axes, low: FloatArray, high: FloatArray, y: FloatArray, axis: Axis, style: Style) -> None:
    """Arrows at the edges of the plot where an interval goes on."""
    for cut, edge, marker, label in (
        (low < axis.low, axis.low, CARETLEFT, "_cut low"),
        (high > axis.high, axis.high, CARETRIGHT, "_cut high"),
    ):
        if cut.any():
            ax.scatter(
                np.full(cut.sum(), edge), y[cut], s=(0.55 * style.size) ** 2, marker=MarkerStyle(marker),
                color=[style.ink], linewidths=0, clip_on=False, zorder=4, label=label,
            )  # fmt: skip


def draw_diamond(ax: Axes, estimate: float, low: float, high: float, y: float, style: Style) -> None:
    """Diamond whose ends are the limits and whose middle is the estimate."""
    corners = [(low, y), (estimate, y - _DIAMOND), (high, y), (estimate, y + _DIAMOND)]
    # A line of the same colour keeps a diamond without width in sight.
    ax.add_patch(
        Polygon(
            corners, closed=True, facecolor=style.pooled, edgecolor=style.pooled, linewidth=0.05 * style.size,
            joinstyle="miter", zorder=3, label="_pooled",
        )
    )  # fmt: skip


def draw_prediction(ax: Axes, low: float, high: float, y: float, style: Style) -> None:
    """Bar over the prediction interval."""
    ax.add_patch(
        Rectangle(
            (low, y - _BAR), high - low, 2 * _BAR, facecolor=style.prediction, linewidth=0, zorder=3,
            label="_prediction",
        )
    )  # fmt: skip


def draw_reference(ax: Axes, x: float, top: float, bottom: float, style: Style, *, dashed: bool = True) -> None:
    """Vertical line through the rows: the pooled estimate (dashed) or no effect (solid)."""
    ax.vlines(
        x, top, bottom, colors=[style.muted], linewidth=0.08 * style.size,
        linestyles="dashed" if dashed else "solid", zorder=1, label="_reference" if dashed else "_null",
    )  # fmt: skip
