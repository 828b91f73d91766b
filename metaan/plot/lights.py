"""Traffic lights: judgements of the risk of bias, told apart by colour and by sign."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.transforms import Transform
from matplotlib.typing import ColorType

from metaan.plot.columns import Light
from metaan.plot.style import Style

__all__ = ["JUDGEMENTS", "draw_lights", "look"]

# Colour and sign of each judgement of RoB 2 and ROBINS-I (Okabe & Ito's palette, which the colour-blind can read).
JUDGEMENTS: Final[Mapping[str, tuple[ColorType, str]]] = {
    "low": ("#009e73", "+"), "some concerns": ("#f0e442", "_"), "moderate": ("#f0e442", "_"),
    "high": ("#d55e00", "x"), "serious": ("#d55e00", "x"), "critical": ("#7a1f00", "$!$"),
    "no information": ("#b8b8b8", "$?$"),
}  # fmt: skip
_DIAMETER: Final = 1.3  # in multiples of the text size
_SIGN: Final = 0.62
_DARK: Final = 0.4  # luminance under which a sign is white


def draw_lights(ax: Axes, lights: Iterable[Light], levels: Mapping[str, ColorType], anchor: Any, style: Style) -> None:
    """Draw every light; `anchor` gives the transform of a light, whose coordinates are the edge and the row."""
    alike: dict[tuple[str, str, float], list[Light]] = defaultdict(list)
    for light in lights:
        alike[light.judgement.casefold(), light.side, light.x].append(light)
    for (judgement, side, _), members in alike.items():
        colour, sign = look(judgement, levels)
        if style.grey:
            colour = f"{_luminance(colour):.3f}"
        edge = 0.0 if side == "left" else 1.0
        place: Transform = anchor(members[0])
        rows = [light.y for light in members]
        common: dict[str, Any] = {"transform": place, "linestyle": "none", "clip_on": False}
        disc = Line2D(
            [edge] * len(rows), rows, marker="o", markersize=_DIAMETER * style.size, markerfacecolor=colour,
            markeredgecolor=style.ink, markeredgewidth=0.05 * style.size, label=f"_rob {judgement}", **common,
        )  # fmt: skip
        ink = "white" if _luminance(colour) < _DARK else "black"
        mark = Line2D(
            [edge] * len(rows), rows, marker=sign, markersize=_SIGN * style.size, markeredgecolor=ink,
            markerfacecolor=ink, markeredgewidth=(0.12 if sign in "+_x" else 0.02) * style.size, label="_rob sign",
            **common,
        )  # fmt: skip
        for artist in (disc, mark):
            ax.add_line(artist)


def look(judgement: str, levels: Mapping[str, ColorType]) -> tuple[ColorType, str]:
    """Colour and sign; of a judgement of the caller's own, the first letter."""
    own = {name.casefold(): colour for name, colour in levels.items()}
    if judgement in JUDGEMENTS:
        colour, sign = JUDGEMENTS[judgement]
        return own.get(judgement, colour), sign
    letter = next((letter for letter in judgement if letter.isalnum()), "?")
    return own.get(judgement, JUDGEMENTS["no information"][0]), f"${letter.upper()}$"


def _luminance(colour: ColorType) -> float:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue
