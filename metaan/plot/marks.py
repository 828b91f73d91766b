"""Marks of a forest plot: each function draws one kind and nothing else."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.markers import CARETLEFT, CARETRIGHT, MarkerStyle
from matplotlib.patches import Polygon, Rectangle
from matplotlib.typing import ColorType

from metaan.plot.axis import Axis
from metaan.plot.style import Style
from metaan.validate import FloatArray

__all__ = [
    "cut",
    "draw_arrows",
    "draw_band",
    "draw_blups",
    "draw_density",
    "draw_diamond",
    "draw_intervals",
    "draw_prediction",
    "draw_reference",
    "draw_squares",
]

# In rows.
_DIAMOND: Final = 0.3  # half its height
_BAR: Final = 0.1  # half its height
_CAP: Final = 0.15  # half the height of the strokes at the ends of an interval
_BLUP: Final = 0.3  # how far under its study a shrunken estimate stands
_CURVE: Final = 1.0  # height of the distribution of true effects


def draw_squares(ax: Axes, x: FloatArray, y: FloatArray, weight: FloatArray, axis: Axis, style: Style) -> None:
    """Squares at the estimates, their areas in proportion to the weights, large where there is none."""
    largest = np.nanmax(weight, initial=0.0)
    share = np.where(np.isfinite(weight), weight, largest) / largest if largest > 0 else np.ones_like(weight)
    area = (style.largest * style.row) ** 2 * share
    inside = (x >= axis.low) & (x <= axis.high)
    ax.scatter(
        x[inside], y[inside], s=area[inside], marker=style.mark, color=[style.square], linewidths=0,
        clip_on=False, zorder=2, label="_squares",
    )  # fmt: skip


def draw_intervals(ax: Axes, low: FloatArray, high: FloatArray, y: FloatArray, axis: Axis, style: Style) -> None:
    """Lines from limit to limit, cut at the edges of the plot."""
    seen = (high >= axis.low) & (low <= axis.high)
    start, end = np.maximum(low[seen], axis.low), np.minimum(high[seen], axis.high)
    _add_lines(
        ax, (start, y[seen]), (end, y[seen]), style.ink,
        linewidth=style.line(0.11), capstyle="butt", clip_on=False, zorder=3, label="_intervals",
    )  # fmt: skip
    if style.caps:
        for end in (low, high):
            at = (end >= axis.low) & (end <= axis.high)
            _add_lines(
                ax, (end[at], y[at] - _CAP), (end[at], y[at] + _CAP), style.ink,
                linewidth=style.line(0.11), clip_on=False, zorder=3, label="_caps",
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


def draw_blups(
    ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, y: FloatArray, axis: Axis, style: Style
) -> None:
    """Shrunken estimates with their intervals, hollow and a little under those of the studies."""
    inside = (x >= axis.low) & (x <= axis.high)
    seen = np.isfinite(low) & np.isfinite(high) & (high >= axis.low) & (low <= axis.high)
    start, end = np.maximum(low[seen], axis.low), np.minimum(high[seen], axis.high)
    _add_lines(
        ax, (start, y[seen] + _BLUP), (end, y[seen] + _BLUP), style.prediction,
        linewidth=style.line(0.09), clip_on=False, zorder=3, label="_blup intervals",
    )  # fmt: skip
    ax.scatter(
        x[inside], y[inside] + _BLUP, s=(0.42 * style.size) ** 2, marker="D", facecolors="white",
        edgecolors=[style.prediction], linewidths=style.line(0.11), clip_on=False, zorder=4, label="_blups",
    )  # fmt: skip


def draw_diamond(ax: Axes, estimate: float, low: float, high: float, y: float, axis: Axis, style: Style) -> None:
    """Diamond whose ends are the limits and whose middle is the estimate, cut at the edges of the plot."""
    corners = cut([(low, y), (estimate, y - _DIAMOND), (high, y), (estimate, y + _DIAMOND)], axis)
    if not corners:
        return
    # A line of the same colour keeps a diamond without width in sight.
    ax.add_patch(
        Polygon(
            corners, closed=True, facecolor=style.pooled, edgecolor=style.pooled, linewidth=style.line(0.05),
            joinstyle="miter", zorder=3, label="_pooled",
        )
    )  # fmt: skip


def cut(corners: list[tuple[float, float]], axis: Axis) -> list[tuple[float, float]]:
    """Part of a polygon between the limits of the axis; its edges are straight on the scale of the axis."""
    for limit, sign in ((axis.low, 1), (axis.high, -1)):
        kept: list[tuple[float, float]] = []
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
            inside = sign * x0 >= sign * limit
            if inside:
                kept.append((x0, y0))
            if inside != (sign * x1 >= sign * limit):
                share = axis.between(x0, limit, x1)
                kept.append((limit, y0 + share * (y1 - y0)))
        corners = kept
    return corners


def draw_prediction(ax: Axes, low: float, high: float, y: float, axis: Axis, style: Style) -> None:
    """Bar over the prediction interval, cut at the edges of the plot."""
    low, high = max(low, axis.low), min(high, axis.high)
    if low < high:
        ax.add_patch(
            Rectangle(
                (low, y - _BAR), high - low, 2 * _BAR, facecolor=style.prediction, linewidth=0, zorder=3,
                label="_prediction",
            )
        )  # fmt: skip


def draw_band(ax: Axes, low: float, high: float, rows: tuple[float, float], colour: ColorType, label: str) -> None:
    """Shade from row to row: a prediction interval behind the studies, or a range of values that matter."""
    ax.add_patch(
        Rectangle(
            (low, rows[0]), high - low, rows[1] - rows[0], facecolor=colour, alpha=0.18, linewidth=0, zorder=0.5,
            label=label,
        )
    )  # fmt: skip


def draw_density(ax: Axes, x: FloatArray, density: FloatArray, y: float, axis: Axis, style: Style) -> None:
    """Distribution of the true effects, standing on the row of its interval."""
    inside = (x >= axis.low) & (x <= axis.high) & np.isfinite(density)
    if inside.sum() > 1 and density[inside].max() > 0:
        height = _CURVE * density[inside] / density[inside].max()
        ax.fill_between(
            x[inside], y - _BAR - height, y - _BAR, facecolor=style.prediction, alpha=0.45, linewidth=0, zorder=2,
            label="_density",
        )  # fmt: skip


def draw_reference(ax: Axes, x: float, top: float, bottom: float, style: Style, *, dashed: bool = True) -> None:
    """Vertical line through the rows: the pooled estimate (dashed) or no effect (solid)."""
    _add_lines(
        ax, (x, top), (x, bottom), style.muted, linewidth=style.line(0.08),
        linestyles="dashed" if dashed else "solid", zorder=1, label="_reference" if dashed else "_null",
    )  # fmt: skip


def _add_lines(ax: Axes, start: tuple[Any, Any], end: tuple[Any, Any], colour: ColorType, **look: Any) -> None:
    """Lines from points to points; the limits of the axes are set and stay as they are, unlike under hlines, vlines."""
    ends = np.stack([np.column_stack(start), np.column_stack(end)], axis=1)
    ax.add_collection(LineCollection(list(ends), colors=[colour], **look), autolim=False)
