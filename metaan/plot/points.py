"""What plots of single studies share: names beside the points, and a legend that keeps clear of the axis above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation

from metaan.models.text import plural
from metaan.plot.clouds import named
from metaan.plot.panel import figure_of, label_points
from metaan.plot.style import Style
from metaan.validate import FloatArray, Option

__all__ = ["LABEL", "lying", "name_points", "under"]

LABEL: Final = Option(
    "label",
    {
        "none": "no labels", "outside": "studies outside the region or the band",
        "all": "every study that has room for its label",
    },
    "none",
)  # fmt: skip
_INCH: Final = 72.0  # points
_BELOW: Final = 3.4  # from the axis to its legend, in multiples of the text size, with a label of one line
_LINE: Final = 1.25  # from line to line, the same
_HALO: Final = 0.3  # about a label, in the colour of the ground, the same


def name_points(ax: Axes, x: FloatArray, y: FloatArray, names: Sequence[str], first: FloatArray, style: Style) -> None:
    """Labels of the points that have a name, those with the largest `first` first, clear of all points.

    Each is one line, without the middle of a long name, and measured with a space on either side, so that two labels
    in one line stay apart.
    """
    names = named(names)
    ax.apply_aspect()
    order = sorted(range(len(names)), key=lambda i: (not names[i], -first[i]))
    for text in label_points(ax, x[order], y[order], [names[i] and f" {names[i]} " for i in order], style):
        text.set_text(text.get_text().strip())
        if text.get_text():
            text.set_path_effects([withStroke(linewidth=_HALO * style.size, foreground=ax.get_facecolor())])
            text.set_zorder(6)
        else:
            text.remove()


def lying(n: int) -> str:
    """Subject and verb of a sentence on where `n` studies lie."""
    if n == 0:
        return "No study lies"
    return f"{plural(n, 'study')} {'lies' if n == 1 else 'lie'}"


def under(ax: Axes, style: Style, height: float | None = None) -> None:
    """Move the legend below a label of several lines; make a figure of our own so high that both have room.

    `height` is that of the plot with its label, in multiples of the text size; None leaves the figure as it is.
    """
    lines = ax.get_xlabel().count("\n")
    shown = ax.get_legend()
    if shown is None:
        return
    if lines:
        far = ScaledTranslation(0, -(_BELOW + lines * _LINE) * style.size / _INCH, figure_of(ax).dpi_scale_trans)
        shown.set_bbox_to_anchor((0, 0), ax.transAxes + far)
    if height is not None:
        own = float(shown.get_window_extent().height) / figure_of(ax).dpi
        figure_of(ax).set_figheight((height + lines * _LINE) * style.size / _INCH + own)
