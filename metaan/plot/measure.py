"""Widths of text, known before there is a figure to draw it on, and text that is drawn as wide as that."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox

from metaan.plot.outlines import advance, is_simple, outline
from metaan.plot.style import Style

__all__ = ["MeasuredText", "text_width", "wrap"]

_SHARE = {"left": 0.0, "center": 0.5, "right": 1.0}  # of the width of a text, left of where it stands


def text_width(text: str, style: Style, *, bold: bool = False, small: bool = False) -> float:
    """Width of one line of text in points.

    The sum of the advances of its characters, each measured once: faster than laying out every string, and
    the same for every backend and resolution.
    """
    return _width(text, style.family, bold) * (style.small if small else style.size)


def _width(text: str, family: tuple[str, ...], bold: bool) -> float:
    """Width of a text in multiples of its size."""
    return sum(map(_advances(family, bold).__getitem__, text))


class _Advances(dict[str, float]):
    """Widths of the characters of a face, each measured when it is first asked for."""

    def __init__(self, family: tuple[str, ...], bold: bool) -> None:
        super().__init__()
        self._face = (family, bold)

    def __missing__(self, char: str) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing glyph is said once, when it is drawn
            self[char] = advance(char, *self._face)
        return self[char]


_advances = lru_cache(maxsize=64)(_Advances)


def wrap(
    text: str, width: float, style: Style, *, bold: bool = False, small: bool = False, within: bool = False
) -> list[str]:
    """Lines of a text that are no wider than `width` points, broken at white space.

    A longer word stands alone, or is broken within, as an address or a sentence without spaces must be.
    """
    lines: list[str] = []
    words = text.split() or [""]
    if within:
        words = [part for word in words for part in _parts(word, width, style, bold=bold, small=small)]
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, style, bold=bold, small=small) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _parts(word: str, width: float, style: Style, *, bold: bool, small: bool) -> list[str]:
    """A word in parts that are no wider than `width` points, of one character at least."""
    parts = [""]
    for char in word:
        if parts[-1] and text_width(parts[-1] + char, style, bold=bold, small=small) > width:
            parts.append("")
        parts[-1] += char
    return parts


class MeasuredText(Text):
    """Text without hinting, which fits characters to pixels and changes widths by up to 10 % on a screen.

    One unrotated line that stands on its baseline, as nearly all text of a forest plot, is drawn at once: its width is
    known, and matplotlib need not lay it out. It is not clipped by the Axes, beside which it mostly stands.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the text."""
        if self._is_plain():
            self._draw_at_once(renderer)
            return
        with _unhinted():
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
        gc = renderer.new_gc()
        gc.set_foreground(self.get_color())
        alpha = self.get_alpha()
        gc.set_alpha(1.0 if alpha is None else float(alpha))
        renderer.open_group("text", self.get_gid())
        if isinstance(renderer, RendererAgg) and is_simple(text):
            self._fill(renderer, gc, text)
        else:
            self._write(renderer, gc, text)
        gc.restore()
        renderer.close_group("text")
        self.stale = False

    def _write(self, renderer: RendererBase, gc: GraphicsContextBase, text: str) -> None:
        """Have the backend write the text: real text in SVG and PDF."""
        x, y = self._place()
        x -= _SHARE[self.get_horizontalalignment()] * self._pixels(renderer, _width(text, *self._face()))
        if renderer.flipy():
            y = renderer.get_canvas_width_height()[1] - y
        with _unhinted():
            renderer.draw_text(gc, x, y, text, self.get_fontproperties(), 0, ismath=False, mtext=self)

    def _fill(self, renderer: RendererBase, gc: GraphicsContextBase, text: str) -> None:
        """Fill the outlines of the characters: in pixels as good as text, and several times as fast."""
        x, y = self._place()
        shape, em = outline(text, *self._face())
        size = self._pixels(renderer, 1.0)
        x -= _SHARE[self.get_horizontalalignment()] * em * size
        gc.set_linewidth(0)
        gc.set_snap(False)  # the strokes of an I or a T would be moved to whole pixels, or vanish
        renderer.draw_path(gc, shape, Affine2D().scale(size).translate(x, y), to_rgba(self.get_color()))

    def _place(self) -> tuple[float, float]:
        x, y = self.get_transform().transform(self.get_unitless_position())
        return float(x), float(y)

    def _face(self) -> tuple[tuple[str, ...], bool]:
        font = self.get_fontproperties()
        return tuple(font.get_family()), font.get_weight() == "bold"

    def _pixels(self, renderer: RendererBase, em: float) -> float:
        """Pixels of a length in multiples of the text size."""
        pixels: Any = renderer.points_to_pixels(em * self.get_fontproperties().get_size_in_points())
        return float(pixels)


@contextmanager
def _unhinted() -> Iterator[None]:
    # Not rc_context, which copies every setting: as slow as drawing the text.
    before = mpl.rcParams["text.hinting"]
    mpl.rcParams["text.hinting"] = "none"
    try:
        yield
    finally:
        mpl.rcParams["text.hinting"] = before
