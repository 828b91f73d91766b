"""What every figure that is no forest plot shares: an Axes of the right size, its finish, labels, legend, alt text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation
from matplotlib.typing import ColorType

from metaan.errors import InputError, OptionError
from metaan.plot.measure import MeasuredText, text_width
from metaan.plot.style import Style
from metaan.validate import FloatArray, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMN", "MARKERS", "alt_text", "colours", "describe", "figure_of", "finish", "given_axes", "label_points",
    "legend", "panel", "table_of", "write",
]  # fmt: skip

_INCH: Final = 72.0  # points
COLUMN: Final = 31.5  # 89 mm, the column of a journal, in multiples of 8 points
MARKERS: Final = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "*")  # groups differ by form as well as by colour
_LINE: Final = 1.25  # from line to line of text, in multiples of its size
_OFFSET: Final = 0.7  # from a point to its label, in multiples of the text size


def panel(style: Style, ax: Axes | None = None, *, width: float = COLUMN, height: float = 26.0) -> Axes:
    """Return the Axes that was given, or the only one of a new figure, `width` x `height` times the text size."""
    if ax is None:
        size = (width * style.size / _INCH, height * style.size / _INCH)
        return plt.figure(figsize=size, layout="constrained").add_subplot()
    given_axes(ax)
    for scale, straighten in ((ax.get_xscale(), ax.set_xscale), (ax.get_yscale(), ax.set_yscale)):
        if scale != "linear":  # each plot sets the scales that it needs
            straighten("linear")
    return ax


def given_axes(ax: object) -> Axes:
    """Return what was given to draw into; raise OptionError unless it is a plain Axes in a figure, with some room."""
    if not isinstance(ax, Axes) or ax.get_figure() is None:
        raise OptionError(f"ax={ax!r} is not a matplotlib Axes that stands in a figure.")
    if ax.name != "rectilinear":
        raise OptionError(f"ax is a {ax.name} Axes. Give one with two straight axes, as plt.subplots() makes.")
    if min(ax.bbox.width, ax.bbox.height) < 1:
        raise OptionError("ax has no width or no height: there is nothing to draw in.")
    return ax


def table_of(
    res: object, make: Callable[..., pd.DataFrame], columns: Sequence[str], options: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Table to draw: the one that was given, checked for what it needs, or that which `make` returns.

    `options` are handed to `make` and belong to a result alone; those that are None are left to their defaults.
    """
    import pandas as pd

    given = {name: value for name, value in (options or {}).items() if value is not None}
    if not isinstance(res, pd.DataFrame):
        return make(res, **given)
    if given:
        name = make.__name__
        raise OptionError(f"{', '.join(given)} choose what a table holds: pass them to metaan.plot.{name}.")
    require_columns(res, columns, "The table")
    if res.empty:
        raise InputError("The table has no rows: there is nothing to draw.")
    return res


def finish(ax: Axes, style: Style, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Labels, ticks and spines in the type of the style; text is text, not markup."""
    plain: dict[str, Any] = {"fontproperties": style.font(), "color": style.ink, "usetex": False, "parse_math": False}
    ax.set_xlabel(xlabel, labelpad=0.4 * style.size, **plain)
    ax.set_ylabel(ylabel, labelpad=0.5 * style.size, **plain)
    if title:
        ax.set_title(title, loc="left", pad=0.6 * style.size, **(plain | {"fontproperties": style.font(bold=True)}))
    ax.tick_params(
        which="both", direction="out", color=style.ink, labelcolor=style.ink, width=style.line(0.1),
        length=0.4 * style.size, pad=0.35 * style.size,
    )  # fmt: skip
    for label in (*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both")):
        label.set_fontproperties(style.font())
        label.set_parse_math(False)
    ax.grid(False)
    sns.despine(ax=ax)
    for side in ("left", "bottom"):
        ax.spines[side].set(linewidth=style.line(0.1), color=style.ink)


def legend(ax: Axes, style: Style, handles: Sequence[Artist], *, title: str = "", columns: int = 1) -> Legend:
    """Legend below the plot, clear of its points and of the label of its axis."""
    below = ax.transAxes + ScaledTranslation(0, -3.4 * style.size / _INCH, figure_of(ax).dpi_scale_trans)
    shown = ax.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, ncols=columns,
        frameon=False, prop=style.font(small=True), labelcolor=style.ink, title=title or None, borderaxespad=0.0,
        borderpad=0.0, handletextpad=0.6, columnspacing=1.4, alignment="left",
    )  # fmt: skip
    for text in (*shown.get_texts(), shown.get_title()):
        text.set_parse_math(False)
    shown.get_title().set(fontproperties=style.font(bold=True, small=True), color=style.ink)
    return shown


def write(
    ax: Axes, x: float, y: float, text: str, style: Style, *, small: bool = True, bold: bool = False, **options: Any
) -> MeasuredText:
    """Write one text; coordinates are those of the data unless `transform` says otherwise."""
    said = MeasuredText(
        x, y, text, **{
            "transform": ax.transData, "fontproperties": style.font(bold=bold, small=small),
            "color": style.ink, "clip_on": False, "usetex": False, "parse_math": False, **options,
        },
    )  # fmt: skip
    ax.add_artist(said)
    said.set_in_layout(False)
    return said


def label_points(ax: Axes, x: FloatArray, y: FloatArray, labels: Sequence[str], style: Style) -> list[MeasuredText]:
    """Write labels beside their points so that none touches another or leaves the plot; one without room is left out.

    Call it last: limits and scales of the axes must be those that are drawn. Labels come in the order of their
    importance.
    """
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    points = figure.dpi / _INCH
    window = ax.get_window_extent()
    at = ax.transData.transform(np.column_stack([x, y]))
    taken = [(px - 2 * points, py - 2 * points, px + 2 * points, py + 2 * points) for px, py in at]
    written = []
    height = _LINE * style.small * points
    for (px, py), own, label in zip(at, list(taken), labels, strict=True):
        width = text_width(label, style, small=True) * points
        for dx, dy, align in _places(style):
            left = px + dx * points - {"left": 0.0, "center": width / 2, "right": width}[align]
            low = py + dy * points - height / 2
            box = (left, low, left + width, low + height)
            inside = box[0] >= window.x0 and box[2] <= window.x1 and box[1] >= window.y0 and box[3] <= window.y1
            if inside and not any(_touch(box, other) for other in taken if other is not own):
                taken.append(box)
                move = ScaledTranslation(dx / _INCH, dy / _INCH, figure.dpi_scale_trans)
                here = ax.transData.inverted().transform((px, py))
                written.append(
                    write(
                        ax, float(here[0]), float(here[1]), label, style, transform=ax.transData + move,
                        horizontalalignment=align, verticalalignment="center_baseline",
                    )
                )  # fmt: skip
                break
    return written


def _places(style: Style) -> Iterable[tuple[float, float, str]]:
    """Where a label may stand, in points from its point: right, left, above, below, then the corners and farther."""
    for far in (1.0, 1.8):
        d = _OFFSET * style.size * far
        yield from ((d, 0, "left"), (-d, 0, "right"), (0, 1.4 * d, "center"), (0, -1.4 * d, "center"))
        yield from ((d, d, "left"), (d, -d, "left"), (-d, d, "right"), (-d, -d, "right"))


def _touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def colours(levels: Iterable[str], style: Style) -> dict[str, ColorType]:
    """Colour of each level, in the order given; a palette that is too short starts again (forms still differ)."""
    names = list(dict.fromkeys(levels))
    return {name: style.palette[i % len(style.palette)] for i, name in enumerate(names)}


def describe(ax: Axes, text: str) -> Axes:
    """Keep what a figure shows in words, for those who cannot see it; `save` writes it into the file."""
    ax.set_label(" ".join(text.split()))
    return ax


def alt_text(ax: Axes) -> str:
    """Say in words what a figure shows: the alternative text for web pages and manuscripts.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        What a plotting function of metaan returned.

    Returns
    -------
    str
        One to four sentences; empty for a figure that metaan did not draw.

    Raises
    ------
    OptionError
        `ax` is no Axes.

    Notes
    -----
    `save` writes the text into SVG (``<title>``, ``<desc>``), PNG and PDF files; `to_html` into the page.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> metaan.plot.alt_text(metaan.plot.forest(metaan.pool(eff))).split(".")[0]
    'Forest plot of 3 studies'
    """
    if not isinstance(ax, Axes):
        raise OptionError(f"ax={ax!r} is not a matplotlib Axes. Pass what a plotting function of metaan returned.")
    return str(ax.get_label())


def figure_of(ax: Axes) -> Any:
    """Figure that an Axes stands in, be it in a subfigure."""
    parent: Any = ax.get_figure()
    return parent.figure
