"""How figures look: one frozen record, made from rcParams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, cast

import matplotlib as mpl
import seaborn as sns
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.typing import ColorType

__all__ = ["Style", "current_style"]

# Journals ask for 7 to 9 point Arial or Helvetica. Liberation Sans has the widths of Arial, so that an SVG
# with real text keeps its columns on a computer that has only one of them.
_SIZE: Final = 8.0
_FACES: Final = ("Arial", "Helvetica", "Liberation Sans", "Nimbus Sans")
# Faces with Chinese, Japanese and Korean signs, which Latin faces lack; asked only when a label needs them.
_EAST_ASIAN: Final = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip
_FIRST_EAST_ASIAN: Final = "\u2e80"
_GENERIC: Final = ("serif", "sans-serif", "cursive", "fantasy", "monospace")


@dataclass(frozen=True, kw_only=True)
class Style:
    """Type and colours of a figure.

    Parameters
    ----------
    family : tuple of str
        Font families, the first choice first.
    size : float
        Size of the text, points; every distance in a forest plot is a multiple of it.
    ink, muted : colour
        Text and intervals; rules, reference line and notes.
    square, pooled, prediction : colour
        Study squares, pooled diamond, bar of the prediction interval.
    """

    family: tuple[str, ...]
    size: float
    ink: ColorType
    muted: ColorType
    square: ColorType
    pooled: ColorType
    prediction: ColorType

    @property
    def row(self) -> float:
        """Height of one row, points."""
        return 1.75 * self.size

    @property
    def small(self) -> float:
        """Size of notes, points."""
        return 0.9 * self.size

    def font(self, *, bold: bool = False, small: bool = False) -> FontProperties:
        """Font of a text."""
        return FontProperties(
            family=list(self.family),
            size=self.small if small else self.size,
            weight="bold" if bold else "normal",
        )

    def scaled(self, factor: float) -> Style:
        """Return the same style with smaller or larger text."""
        return replace(self, size=self.size * factor)


def current_style(texts: Iterable[str] = ()) -> Style:
    """Style that rcParams ask for; where they are matplotlib's own defaults, what journals ask for.

    `texts` are the labels to be drawn: faces for their script are added when the Latin ones lack it.
    """
    palette = sns.color_palette("colorblind")
    ink: Any = _rc()["text.color"]
    return Style(
        family=_family(any(max(text, default="") >= _FIRST_EAST_ASIAN for text in texts)),
        size=_SIZE if _is_default("font.size") else float(_rc()["font.size"]),
        ink=ink, muted=sns.blend_palette([ink, "0.6"], 3)[1],
        square=palette[0], pooled=palette[0], prediction=palette[1],
    )  # fmt: skip


def _family(east_asian: bool) -> tuple[str, ...]:
    if _is_default("font.family") and _is_default("font.sans-serif"):
        family = (*_installed(_FACES)[:1], "sans-serif")
    else:
        family = tuple(face for entry in _rc()["font.family"] for face in _resolved(entry))
    return (*family, *_installed(_EAST_ASIAN)[:1]) if east_asian else family


def _resolved(entry: str) -> tuple[str, ...]:
    """A generic family, its face put first: a later change of rcParams then leaves the face as it is."""
    faces = _rc()[f"font.{entry}"] if entry in _GENERIC else None
    return (*_installed(tuple(faces))[:1], entry) if faces else (entry,)


def _is_default(key: str) -> bool:
    defaults = cast("dict[str, Any]", mpl.rcParamsDefault)
    return bool(_rc()[key] == defaults[key])


def _rc() -> dict[str, Any]:
    return cast("dict[str, Any]", mpl.rcParams)


@lru_cache
def _installed(faces: tuple[str, ...]) -> tuple[str, ...]:
    # Asking matplotlib for a face that is absent logs a warning each time, so ask its list instead.
    present = {entry.name for entry in fontManager.ttflist}
    return tuple(face for face in faces if face in present)
