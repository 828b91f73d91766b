"""Colours of a page, light and dark, from those of a style: each can be read on its ground."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from matplotlib.colors import to_hex, to_rgb
from matplotlib.typing import ColorType

from metaan.plot.style import Style

__all__ = ["contrast", "font_family", "properties", "readable"]

# Ratios of WCAG 2.2: text 4.5 (AA), marks 3; the text of the table is kept well above.
_INK: Final = 10.0
_TEXT: Final = 4.6  # a little more than 4.5, which rounding to eight bits may undercut
_MARK: Final = 3.1
_GROUNDS: Final = {"light": "#ffffff", "dark": "#15181c"}
_ENDS: Final = {"light": "#000000", "dark": "#ffffff"}
_STEPS: Final = 100


def contrast(one: ColorType, other: ColorType) -> float:
    """Contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: ColorType) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable(colour: ColorType, grounds: Sequence[ColorType], end: ColorType, ratio: float) -> str:
    """Return the colour, moved towards `end` no further than a contrast on every ground needs."""
    for step in range(_STEPS + 1):
        moved = _blend(colour, end, step / _STEPS)
        if all(contrast(moved, ground) >= ratio for ground in grounds):
            return moved
    return to_hex(end)


def _blend(colour: ColorType, other: ColorType, share: float) -> str:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(colour), to_rgb(other), strict=True))
    return to_hex((red, green, blue))


def properties(style: Style, theme: str) -> str:
    """Custom properties of CSS for a theme, "light" or "dark"."""
    ground, end = _GROUNDS[theme], _ENDS[theme]
    shades = {
        "zebra": ground if style.zebra is None else style.zebra if theme == "light" else _blend(ground, end, 0.06),
        "header": ground if style.header is None else style.header if theme == "light" else _blend(ground, end, 0.12),
        "hover": _blend(ground, end, 0.08),
        "panel": ground if theme == "light" else _blend(ground, end, 0.04),
    }
    grounds = [ground, *shades.values()]
    colours = {"ground": to_hex(ground)} | {name: to_hex(shade) for name, shade in shades.items()}
    wanted = {
        "ink": (style.ink, _INK), "muted": (style.muted, _TEXT), "link": (style.square, _TEXT),
        "square": (style.square, _MARK), "pooled": (style.pooled, _MARK), "prediction": (style.prediction, _MARK),
    }  # fmt: skip
    colours |= {name: readable(colour, grounds, end, ratio) for name, (colour, ratio) in wanted.items()}
    colours["line"] = _blend(ground, end, 0.18)
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def font_family(style: Style) -> str:
    """Value of font-family: the faces of the style, each in quotes unless it is a generic family."""
    faces = [re.sub(r"[^\w \-]", "", face) for face in style.family if face != "sans-serif"]
    return ", ".join([f'"{face}"' for face in faces if face] + ['"Liberation Sans"', "Helvetica", "sans-serif"])
