"""From a layout to an Axes: its place, its axis and its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, cast

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import (
    Affine2D,
    Affine2DBase,
    Bbox,
    BlendedAffine2D,
    CompositeAffine2D,
    ScaledTranslation,
    Transform,
    blended_transform_factory,
)
from matplotlib.typing import ColorType

from metaan.plot.axis import Axis
from metaan.plot.columns import Light, Text
from metaan.plot.layout import Layout
from metaan.plot.lights import draw_lights
from metaan.plot.measure import MeasuredText
from metaan.plot.panel import given_axes
from metaan.plot.under import TICK_LENGTH, TICK_PAD

__all__ = ["new_axes", "room", "set_axis", "take", "write", "write_lights"]

_INCH: Final = 72.0  # points
_HALF_CAPITAL: Final = 0.36  # of the text size: from the baseline to the middle of a capital letter


def new_axes(layouts: Sequence[Layout]) -> list[Axes]:
    """Axes side by side in a new figure that is as large as the layouts."""
    width, height = sum(layout.width for layout in layouts), layouts[0].height
    figure = plt.figure(figsize=(width / _INCH, height / _INCH), layout="none")
    axes: list[Axes] = []
    x = 0.0
    for layout in layouts:
        axes.append(figure.add_subplot(label=f"panel {len(axes)}"))
        take(axes[-1], layout, Bbox.from_bounds(x, 0, layout.width, layout.height))
        x += layout.width
    return axes


def room(ax: Axes) -> Bbox:
    """Place of an Axes on the page, points."""
    parent = _parent(given_axes(ax))
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
    return cast("Figure", ax.get_figure())


def set_axis(ax: Axes, axis: Axis, layout: Layout) -> None:
    """Set limits, ticks, label and spines."""
    style = layout.style
    width = style.line(0.1)
    plain: dict[str, Any] = {
        "fontproperties": style.font(),
        "color": style.ink,
        "usetex": False,
        "parse_math": False,
    }
    if axis.kind != "linear":
        ax.set_xscale(axis.kind)
        ax.minorticks_off()
    ax.set(xlim=(axis.low, axis.high), ylim=(layout.bottom, layout.top), yticks=[])
    texts = [text.replace(".", style.decimal) for text in axis.tick_texts()]
    ax.set_xticks(axis.ticks, labels=texts, **plain)
    ax.tick_params(
        axis="x", which="major", direction="out", bottom=True, top=False, color=style.ink, width=width,
        length=TICK_LENGTH * style.size, pad=TICK_PAD * style.size,
    )  # fmt: skip
    ax.set_xlabel(layout.xlabel, labelpad=layout.labelpad, **plain)
    ax.grid(False)
    ax.patch.set_visible(False)  # a coloured panel would end in the midst of the table
    sns.despine(ax=ax, left=True)
    ax.spines["bottom"].set(linewidth=width, color=style.ink)


def write(ax: Axes, layout: Layout) -> None:
    """Write every text; shade rows and heading, and draw the rules over and under the heading."""
    style = layout.style
    fonts = {(bold, small): style.font(bold=bold, small=small) for bold in (False, True) for small in (False, True)}
    anchor = lru_cache(maxsize=None)(partial(_anchor, ax))  # the texts of a column share one
    for text in layout.texts:
        ax.add_artist(
            MeasuredText(
                0 if text.side == "left" else 1,
                {"row": text.y, "above": 1, "below": 0}[text.level],
                text.text,
                transform=anchor(text.x, _rise(text, style.size), text.level == "row"),
                fontproperties=fonts[text.bold, text.small],
                color=style.muted if text.small else style.ink,
                horizontalalignment=text.align,
                verticalalignment="baseline",
                clip_on=False,
                usetex=False,  # labels are text, not markup
                parse_math=False,
            )
        )
    _shade(ax, layout)
    if style.rules:
        across = blended_transform_factory(ax.transAxes, ax.transData)
        for row, weight in ((layout.top, 0.12), (layout.rule, 0.08)):
            rule = Line2D(
                _ends(layout, layout.margin), [row, row], transform=across, color=style.ink,
                linewidth=style.line(weight), label="_rule",
            )  # fmt: skip
            rule.set_clip_on(False)
            ax.add_line(rule)


def write_lights(ax: Axes, layout: Layout, levels: Mapping[str, ColorType]) -> None:
    """Draw the traffic lights of a layout."""

    def anchor(light: Light) -> Transform:
        base = blended_transform_factory(ax.transAxes, ax.transData)
        return base + ScaledTranslation(light.x / _INCH, 0, _parent(ax).dpi_scale_trans)

    draw_lights(ax, layout.lights, levels, anchor, layout.style)


def _shade(ax: Axes, layout: Layout) -> None:
    """Shade behind the heading and behind every other row, from edge to edge."""
    style = layout.style
    start, end = _ends(layout, layout.margin / 2)
    bars = [(row - 0.5, row + 0.5, style.zebra) for row in layout.shaded]
    if style.header is not None:
        bars.append((layout.top, layout.rule, style.header))
    for low, high, colour in bars:
        bar = Rectangle(
            (start, low), end - start, high - low, transform=blended_transform_factory(ax.transAxes, ax.transData),
            facecolor=colour, linewidth=0, zorder=0, clip_on=False, label="_shade",
        )  # fmt: skip
        ax.add_artist(bar)


def _ends(layout: Layout, margin: float) -> list[float]:
    """Both ends of what runs across columns and plot, in widths of the plot; no margin where another plot goes on."""
    left = layout.left - (margin if layout.first else 0.0)
    right = layout.right - (margin if layout.last else 0.0)
    return [-left / layout.plot, 1 + right / layout.plot]


def _rise(text: Text, size: float) -> float:
    """From the place of a text to its baseline, points."""
    return {"row": 0.0, "above": text.y, "below": -text.y}[text.level] + text.rise - _HALF_CAPITAL * size


def _anchor(ax: Axes, x: float, rise: float, in_row: bool) -> Transform:
    """Where texts stand: rows follow the data, distances stay points when the figure is resized."""
    # Rows are linear whatever the scale of the axis. Affine transforms keep their matrix, which transData does not.
    edges, limits = cast("Affine2DBase", ax.transAxes), cast("Affine2DBase", ax.transLimits)
    rows = CompositeAffine2D(limits, edges) if in_row else edges
    move = ScaledTranslation(x / _INCH, rise / _INCH, _parent(ax).dpi_scale_trans)
    return CompositeAffine2D(BlendedAffine2D(edges, rows), move)
