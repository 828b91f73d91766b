"""Pieces of stacked bars: their shades, their marks, what is written into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.typing import ColorType

from metaan.plot.measure import text_width
from metaan.plot.panel import write
from metaan.plot.style import Style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["category_names", "draw_pieces", "in_full", "looks", "write_percentages"]

_WORDS: Final = {
    "cr": "Complete response", "pr": "Partial response", "sd": "Stable disease", "pd": "Progressive disease",
    "nr": "No response",
}  # fmt: skip
_HATCH: Final = "//////"
_DARK, _LIGHT = 0.32, 0.93  # cube roots of the luminance of the darkest piece and the lightest


def category_names(table: pd.DataFrame) -> list[str]:
    """Categories in their order."""
    return list(dict.fromkeys(table["category"].astype(str)))


def in_full(name: str) -> str:
    """Name of a category for a reader."""
    return _WORDS.get(name, name)


def _shades(names: Sequence[str], style: Style) -> dict[str, ColorType]:
    """Shades of one colour from dark to light, in steps that look equal and stay so in grey."""
    ramp = sns.blend_palette(["0", style.square, "1"], 201)
    lightness = np.cbrt([_luminance(shade) for shade in ramp])
    wanted = np.linspace(_DARK, _LIGHT, max(len(names), 2))
    return {name: ramp[int(np.abs(lightness - at).argmin())] for name, at in zip(names, wanted, strict=False)}


def looks(names: Sequence[str], style: Style) -> dict[str, dict[str, Any]]:
    """How the pieces of each category are filled."""
    shades = _shades(names, style)
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        hatched = name == names[-1] and len(names) > 1
        line = sns.blend_palette([shades[name], "0"], 5)[2] if hatched else "none"
        found[name] = {"facecolor": shades[name], "edgecolor": line, "linewidth": 0, "hatch": _HATCH if hatched else ""}
    return found


def draw_pieces(ax: Axes, table: pd.DataFrame, y: FloatArray, height: float, style: Style) -> None:
    """Draw the pieces of the bars, and the seams between them; `height` is that of a bar."""
    category = table["category"].astype(str).to_numpy()
    start, end = (table[name].to_numpy(dtype=np.float64) for name in ("start", "end"))
    names = category_names(table)
    with mpl.rc_context({"hatch.linewidth": style.line(0.06)}):
        for name, look in looks(names, style).items():
            own = category == name
            bars = ax.barh(y[own], (end - start)[own], height=height, left=start[own], zorder=2, **look)
            for bar in bars:
                bar.set_label(f"_{name}")
    inner, half = category != names[0], height / 2
    seam: dict[str, Any] = {"colors": [ax.get_facecolor()], "lw": style.line(0.08), "label": "_seams", "zorder": 3}
    ax.vlines(start[inner], y[inner] - half, y[inner] + half, **seam)


def write_percentages(ax: Axes, table: pd.DataFrame, y: FloatArray, width: float, style: Style) -> None:
    """Write per cent into each piece that is wide enough; `width` is that of a whole bar, points."""
    shades = _shades(category_names(table), style)
    last = list(shades)[-1] if len(shades) > 1 else None
    for piece, height in zip(table.to_dict("records"), y.tolist(), strict=True):
        name, text, bold = str(piece["category"]), f"{100 * piece['share']:.0f}", piece["row"] == "pooled"
        if text_width(text, style, small=True, bold=bold) + 0.6 * style.size > (piece["end"] - piece["start"]) * width:
            continue
        said = write(
            ax, (piece["start"] + piece["end"]) / 2, height, text, style, bold=bold, color=_on(shades[name]),
            horizontalalignment="center", verticalalignment="center_baseline", label="_percent", zorder=5,
        )  # fmt: skip
        if name == last:  # numbers on a hatch cannot be read
            said.set_bbox({"facecolor": shades[name], "edgecolor": "none", "pad": 0.12 * style.size})


def _on(shade: ColorType) -> str:
    """Black or white, whichever has more contrast."""
    luminance = _luminance(shade)
    return "0" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "1"


def _luminance(shade: ColorType) -> float:
    """Relative luminance of a colour, 0 to 1 (Web Content Accessibility Guidelines 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(shade)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))
