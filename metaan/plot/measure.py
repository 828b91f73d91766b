"""Widths of text, known before there is a figure to draw it on, and text that is drawn as wide as that."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

from metaan.plot.style import Style

__all__ = ["MeasuredText", "text_width", "wrap"]

_REFERENCE = 100.0  # points; large, so that widths are not rounded to the grid of a small size


def text_width(text: str, style: Style, *, bold: bool = False, small: bool = False) -> float:
    """Width of one line of text in points.

    The sum of the advances of its characters, each measured once: faster than laying out every string, and
    the same for every backend and resolution.
    """
    em = sum(_advance(char, style.family, bold) for char in text)
    return em * (style.small if small else style.size)


@lru_cache(maxsize=4096)
def _advance(char: str, family: tuple[str, ...], bold: bool) -> float:
    # A single character's box ends at its ink; between two others its whole advance counts.
    return _box(f"H{char}H", family, bold) - _box("HH", family, bold)


@lru_cache(maxsize=4096)
def _box(text: str, family: tuple[str, ...], bold: bool) -> float:
    font = FontProperties(family=list(family), size=_REFERENCE, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missing glyph is said once, when it is drawn
        return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / _REFERENCE


def wrap(text: str, width: float, style: Style, *, bold: bool = False, small: bool = False) -> list[str]:
    """Lines of a text that are no wider than `width` points, broken at white space; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split() or [""]:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, style, bold=bold, small=small) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


class MeasuredText(Text):
    """Text without hinting, which fits characters to pixels and changes widths by up to 10 % on a screen.

    One unrotated line that stands on its baseline, as nearly all text of a forest plot, is drawn at once: its width is
    known, and matplotlib need not lay it out. It is not clipped by the Axes, beside which it mostly stands.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the text."""
        with _unhinted():
            if self._is_plain():
                self._draw_at_once(renderer)
            else:
                super().draw(renderer)

    def get_window_extent(self, renderer: RendererBase | None = None, dpi: float | None = None) -> Bbox:
        """Return the box that the drawn text takes, pixels."""
        with _unhinted():
            return super().get_window_extent(renderer, dpi)

    def set_clip_path(self, path: object, transform: object = None) -> None:
        """Do nothing: adding a text to an Axes would otherwise take as long as drawing it."""

    def _is_plain(self) -> bool:
        return (
            self.get_verticalalignment() == "baseline"
            and self.get_rotation() == 0
            and "\n" not in self.get_text()
            and not self.get_path_effects()
            and self.get_bbox_patch() is None
            and not self.get_clip_on()
        )

    def _draw_at_once(self, renderer: RendererBase) -> None:
        text = self.get_text()
        if not self.get_visible() or not text.strip():
            return
        x, y = (float(value) for value in self.get_transform().transform(self.get_unitless_position()))
        font = self.get_fontproperties()
        shift = {"left": 0.0, "center": 0.5, "right": 1.0}[self.get_horizontalalignment()]
        if shift:
            em = sum(_advance(char, tuple(font.get_family()), font.get_weight() == "bold") for char in text)
            pixels: Any = renderer.points_to_pixels(em * font.get_size_in_points())
            x -= shift * float(pixels)
        if renderer.flipy():
            y = renderer.get_canvas_width_height()[1] - y
        renderer.open_group("text", self.get_gid())
        gc = renderer.new_gc()
        gc.set_foreground(self.get_color())
        alpha = self.get_alpha()
        gc.set_alpha(1.0 if alpha is None else float(alpha))
        renderer.draw_text(gc, x, y, text, font, 0, ismath=False, mtext=self)
        gc.restore()
        renderer.close_group("text")
        self.stale = False


@contextmanager
def _unhinted() -> Iterator[None]:
    # Not rc_context, which copies every setting: as slow as drawing the text.
    before = mpl.rcParams["text.hinting"]
    mpl.rcParams["text.hinting"] = "none"
    try:
        yield
    finally:
        mpl.rcParams["text.hinting"] = before
