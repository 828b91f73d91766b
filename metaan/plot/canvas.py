"""From a layout to an Axes: its place, its axis and its texts."""

from __future__ import annotations

from typing import Any, Final, cast

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D, Bbox, ScaledTranslation, Transform, blended_transform_factory

from metaan.errors import OptionError
from metaan.plot.axis import Axis
from metaan.plot.columns import Text
from metaan.plot.layout import LABEL_PAD, TICK_LENGTH, TICK_PAD, Layout
from metaan.plot.measure import MeasuredText

__all__ = ["new_axes", "room", "set_axis", "take", "write"]

_INCH: Final = 72.0  # points
_HALF_CAPITAL: Final = 0.36  # of the text size: from the baseline to the middle of a capital letter


def new_axes(layout: Layout) -> Axes:
    """Axes in a new figure that is as large as the layout."""
    figure = plt.figure(figsize=(layout.width / _INCH, layout.height / _INCH), layout="none")
    ax = figure.add_subplot()
    take(ax, layout, Bbox.from_bounds(0, 0, layout.width, layout.height))
    return ax


def room(ax: Axes) -> Bbox:
    """Place of an Axes on the page, points."""
    parent = _parent(ax)
    engine = parent.figure.get_layout_engine()
    if engine is not None:
        engine.execute(parent.figure)  # otherwise the place is settled only when the figure is drawn
    if isinstance(engine, TightLayoutEngine):
        parent.figure.set_layout_engine("none")  # it would move the plot back over its texts
    return ax.get_position().transformed(_to_points(parent))


def take(ax: Axes, layout: Layout, box: Bbox) -> None:
    """Move an Axes to the part of its room that the plot takes; its texts fill the rest."""
    top = box.y1 - layout.above
    plot = Bbox.from_bounds(box.x0 + layout.left, top - layout.body, layout.plot, layout.body)
    ax.set_position(plot.transformed(_to_points(_parent(ax)).inverted()))


def _to_points(parent: Figure) -> Transform:
    """From fractions of a figure or subfigure to points on the page."""
    return parent.transSubfigure + Affine2D().scale(_INCH / parent.figure.dpi)


def _parent(ax: Axes) -> Figure:
    """Figure that an Axes stands in, or its subfigure, which answers alike."""
    parent: Any = ax.get_figure() if isinstance(ax, Axes) else None
    if parent is None:
        raise OptionError(f"ax={ax!r} is not a matplotlib Axes that stands in a figure.")
    return cast("Figure", parent)


def set_axis(ax: Axes, axis: Axis, layout: Layout) -> None:
    """Set limits, ticks, label and spines."""
    style = layout.style
    width = 0.1 * style.size
    plain: dict[str, Any] = {
        "fontproperties": style.font(),
        "color": style.ink,
        "usetex": False,
        "parse_math": False,
    }
    if axis.log:
        ax.set_xscale("log")
        ax.minorticks_off()
    ax.set(xlim=(axis.low, axis.high), ylim=(layout.bottom, layout.top), yticks=[])
    ax.set_xticks(axis.ticks, labels=axis.tick_texts(), **plain)
    ax.tick_params(
        axis="x", which="major", direction="out", bottom=True, top=False, color=style.ink, width=width,
        length=TICK_LENGTH * style.size, pad=TICK_PAD * style.size,
    )  # fmt: skip
    ax.set_xlabel(layout.xlabel, labelpad=LABEL_PAD * style.size, **plain)
    ax.grid(False)
    ax.patch.set_visible(False)  # a coloured panel would end in the midst of the table
    sns.despine(ax=ax, left=True)
    ax.spines["bottom"].set(linewidth=width, color=style.ink)


def write(ax: Axes, layout: Layout) -> None:
    """Write every text, and the rules over and under the header."""
    style = layout.style
    fonts = {(bold, small): style.font(bold=bold, small=small) for bold in (False, True) for small in (False, True)}
    for text in layout.texts:
        ax.add_artist(
            MeasuredText(
                0 if text.side == "left" else 1,
                {"row": text.y, "above": 1, "below": 0}[text.level],
                text.text,
                transform=_anchor(ax, text, style.size),
                fontproperties=fonts[text.bold, text.small],
                color=style.muted if text.small else style.ink,
                horizontalalignment=text.align,
                verticalalignment="baseline",
                clip_on=False,
                usetex=False,  # labels are text, not markup
                parse_math=False,
            )
        )
    across = blended_transform_factory(ax.transAxes, ax.transData)
    ends = [(layout.margin - layout.left) / layout.plot, 1 + (layout.right - layout.margin) / layout.plot]
    for row, weight in ((layout.top, 0.12), (layout.rule, 0.08)):
        rule = Line2D(ends, [row, row], transform=across, color=style.ink, linewidth=weight * style.size, label="_rule")
        rule.set_clip_on(False)
        ax.add_line(rule)


def _anchor(ax: Axes, text: Text, size: float) -> Transform:
    """Where a text stands: rows follow the data, distances stay points when the figure is resized."""
    rise = {"row": 0.0, "above": text.y, "below": -text.y}[text.level] - _HALF_CAPITAL * size
    base = blended_transform_factory(ax.transAxes, ax.transData if text.level == "row" else ax.transAxes)
    return base + ScaledTranslation(text.x / _INCH, rise / _INCH, _parent(ax).dpi_scale_trans)
