"""Figures with a line for each thing that is shown: names on the left, columns of text on the right, key below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from metaan.plot.measure import text_width, wrap
from metaan.plot.panel import figure_of, legend, panel, write
from metaan.plot.style import Style
from metaan.validate import FloatArray

__all__ = [
    "column_of_text",
    "columns_of_key",
    "example_sizes",
    "key_under",
    "named",
    "room",
    "settle",
    "spoken",
    "spread",
    "still",
    "to_room",
    "wrapped",
]

_INCH: Final = 72.0
_HANDLE: Final = 4.0  # mark of an entry of the key and the gaps beside it, in multiples of the size of its text
_TIGHT: Final = 1.3  # least height of a line of the figure, in multiples of the text size
_SMALLEST: Final = 2.0  # points
_CODES: Final = {
    "head_neck": "Head and neck", "radiotherapy_hyperthermia": "Radiotherapy with hyperthermia", "rct": "RCT",
}  # fmt: skip


def spoken(name: str) -> str:
    """Name of a therapy or tumour for a reader: codes of the evidence base are spelt out, other names are left."""
    if name in _CODES:
        return _CODES[name]
    is_code = re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name) is not None
    return name.replace("_", " ").capitalize() if is_code else name


def wrapped(names: Sequence[str], width: float, style: Style, *, bold: bool = False) -> list[str]:
    """Names in lines no wider than `width` points; a longer word is cut with an ellipsis."""
    lines = [[_cut(line, width, style, bold) for line in wrap(name, width, style, bold=bold)] for name in names]
    return ["\n".join(each) for each in lines]


def _cut(line: str, width: float, style: Style, bold: bool) -> str:
    if text_width(line, style, bold=bold) <= width:
        return line
    kept = line
    while kept and text_width(f"{kept}…", style, bold=bold) > width:
        kept = kept[:-1]
    return f"{kept}…"


def named(ax: Axes, at: Sequence[float], names: Sequence[str], style: Style, *, bold: Sequence[bool] = ()) -> float:
    """Names of lines beside the vertical axis, which has no spine; how far they reach to the left, points."""
    ax.set_yticks(list(at), labels=list(names))
    ax.tick_params(axis="y", which="both", length=0, pad=0.7 * style.size)
    ax.spines["left"].set_visible(False)
    strong = list(bold) or [False] * len(names)
    for label, heavy in zip(ax.get_yticklabels(), strong, strict=True):
        label.set(fontproperties=style.font(bold=heavy), color=style.ink, linespacing=1.05)
        label.set_parse_math(False)
    lines = [(line, heavy) for name, heavy in zip(names, strong, strict=True) for line in name.split("\n")]
    return max((text_width(line, style, bold=heavy) for line, heavy in lines), default=0.0) + 0.7 * style.size


def column_of_text(
    ax: Axes, at: Sequence[float], texts: Sequence[str], head: str, left: float, style: Style,
    *, bold: Sequence[bool] = (), align: str = "right",
) -> float:  # fmt: skip
    """Column of text right of the plot, `left` points from its edge, its head above; where it ends, points."""
    strong = list(bold) or [False] * len(texts)
    widths = [text_width(text, style, small=True, bold=heavy) for text, heavy in zip(texts, strong, strict=True)]
    width = max([*widths, text_width(head, style, small=True, bold=True)])
    from_edge = {"right": left + width, "left": left}[align]
    across = ScaledTranslation(from_edge / _INCH, 0, _scale(ax))
    above = ScaledTranslation(from_edge / _INCH, 0.5 * style.size / _INCH, _scale(ax))
    options: dict[str, Any] = {"horizontalalignment": align}
    rows = ax.get_yaxis_transform()
    for y, text, heavy in zip(at, texts, strong, strict=True):
        if text:
            write(
                ax, 1, y, text, style, transform=rows + across, bold=heavy, verticalalignment="center_baseline",
                label="_column", **options,
            ).set_in_layout(True)  # fmt: skip
    write(
        ax, 1, 1, head, style, transform=ax.transAxes + above, bold=True, verticalalignment="baseline",
        label="_head", **options,
    ).set_in_layout(True)  # fmt: skip
    return left + width


def to_room(style: Style, ax: Axes | None, lines: float) -> Style:
    """The style, its text made smaller where the Axes given has less room than its lines need."""
    if ax is None:
        return style
    pitch = room(panel(style, ax))[1] / max(lines, 1.0)
    return style if pitch >= _TIGHT * style.size else style.scaled(max(pitch / _TIGHT, _SMALLEST) / style.size)


def room(ax: Axes) -> tuple[float, float]:
    """Width and height of an Axes as it stands, points."""
    window, dpi = ax.get_window_extent(), figure_of(ax).dpi
    return float(window.width / dpi * _INCH), float(window.height / dpi * _INCH)


def settle(ax: Axes) -> tuple[float, float]:
    """Lay the figure out, so that sizes of text and plot can be compared; width and height of the Axes, points."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    return room(ax)


@contextmanager
def still(ax: Axes) -> Iterator[None]:
    """Leave a figure as it is laid out while much is written into it."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.set_layout_engine("none")
    try:
        yield
    finally:
        if engine is not None:
            figure.set_layout_engine(engine)


def columns_of_key(handles: Sequence[Artist], width: float, style: Style, *, most: int = 4) -> int:
    """Columns of a key that is no wider than `width` points."""
    widest = max(text_width(str(handle.get_label()), style, small=True) for handle in handles)
    return max(1, min(most, len(handles), int(width // (widest + _HANDLE * style.small))))


def key_under(
    ax: Axes, handles: Sequence[Artist], style: Style, *, columns: int, title: str = "", left: float = 0.0,
    drop: float = 3.4,
) -> None:  # fmt: skip
    """Legend under the plot; it begins `left` points before the axis and `drop` text sizes below it."""
    shown = legend(ax, style, handles, title=title, columns=columns)
    place = ScaledTranslation(-left / _INCH, -drop * style.size / _INCH, _scale(ax))
    shown.set_bbox_to_anchor((0, 0), transform=ax.transAxes + place)


def spread(x: FloatArray, radius: FloatArray, half: float) -> FloatArray:
    """Heights that keep circles apart: the largest on the line, each other at the nearest free place within `half`."""
    heights = np.zeros(x.size)
    steps = np.linspace(0, 1, 13)[1:]
    offsets = half * np.concatenate([[0.0], np.column_stack([steps, -steps]).ravel()])
    placed: list[int] = []
    for i in np.lexsort((x, -radius)):
        others = np.array(placed, dtype=np.intp)
        near = others[np.abs(x[others] - x[i]) < radius[others] + radius[i]] if others.size else others
        gap = np.hypot(x[near] - x[i], heights[near] - offsets[:, None]) - radius[near] - radius[i]
        worst = np.minimum(gap.min(axis=1, initial=0.0), 0.0)
        heights[i] = offsets[int(np.argmax(worst))]
        placed.append(int(i))
    return heights


def example_sizes(values: FloatArray) -> list[float]:
    """One to three sizes for a key: about the smallest, the middle and the largest of some positive numbers."""
    low, top = float(np.nanmin(values)), float(np.nanmax(values))
    chosen = [low, float(np.sqrt(low * top)), top] if top >= 9 * low else [low, top] if top >= 2 * low else [top]
    return sorted({_rounded(value, up=value == low < top) for value in chosen})


def _rounded(value: float, *, up: bool) -> float:
    """A number with one digit that is not beyond the smallest or the largest; small whole numbers stay."""
    if value < 10 and value % 1 == 0:
        return value
    unit = 10.0 ** np.floor(np.log10(value))
    return float(f"{(np.ceil if up else np.floor)(value / unit * (1 + 1e-12)) * unit:.6g}")


def _scale(ax: Axes) -> Any:
    return figure_of(ax).dpi_scale_trans
