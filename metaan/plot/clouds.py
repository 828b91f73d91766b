"""Points of studies, some of them marked by form and colour, and names short enough to stand beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaan.plot.style import Style
from metaan.validate import FloatArray

__all__ = ["cloud", "inner_ticks", "marks", "named", "veil"]

_LONGEST: Final = 26  # characters of a name beside its point
_MANY: Final = 60  # studies from which points are smaller
_FAINT, _FIRM = 0.18, 0.4  # opacity of a band on a light and on a dark ground


def named(study: Iterable[Any], longest: int = _LONGEST) -> list[str]:
    """Names of studies; of a long one the middle is left out, since names often differ at their ends."""
    whole = [" ".join(str(name).split()) for name in study]
    last = longest // 3
    return [
        name if len(name) <= longest else f"{name[: longest - last - 1].rstrip()}…{name[-last:].lstrip()}"
        for name in whole
    ]


def marks(ax: Axes, style: Style, *, many: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hollow circles of the studies, and filled diamonds of those that stand out."""
    size = style.size * (0.42 if many else 0.58)
    plain = {
        "ls": "", "marker": "o", "ms": size, "mfc": ax.get_facecolor(), "mec": style.square, "mew": style.line(0.09),
    }  # fmt: skip
    apart = {
        "ls": "", "marker": "D", "ms": 1.05 * size, "mfc": style.palette[1], "mec": style.ink, "mew": style.line(0.08),
    }  # fmt: skip
    return plain, apart


def cloud(
    ax: Axes, x: FloatArray, y: FloatArray, marked: npt.NDArray[np.bool_], words: Sequence[str], style: Style
) -> list[Artist]:
    """Draw the studies, those `marked` by form and colour; returns the entries of the legend, one for each kind."""
    handles: list[Artist] = []
    both = marks(ax, style, many=x.size >= _MANY)
    for here, look, word, label in zip((~marked, marked), both, words, ("_points", "_marked"), strict=True):
        if here.any():
            ax.plot(x[here], y[here], zorder=4, clip_on=False, label=label, **look)
            handles.append(Line2D([], [], label=f"Study {word}".strip(), **look))
    return handles


def veil(ax: Axes) -> float:
    """Opacity of a coloured band that is seen on the ground of the Axes."""
    *colour, opacity = to_rgba(ax.get_facecolor())
    return _FIRM if opacity > 0.5 and sum(colour) < 1.5 else _FAINT


def inner_ticks(ax: Axes, which: str = "xy", most: int = 6) -> None:
    """Round ticks between the limits of linear axes, with their numbers."""
    for side in which:
        low, high = sorted(getattr(ax, f"get_{side}lim")())
        ticks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3).tick_values(low, high)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        getattr(ax, f"set_{side}ticks")(ticks, labels=[f"{tick + 0.0:.6g}".replace("-", "−") for tick in ticks])
