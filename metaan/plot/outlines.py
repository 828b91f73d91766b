"""Lines of text as outlines of their characters, each asked of its font once: a page of numbers has few of them."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from metaan.validate import FloatArray

__all__ = ["advance", "is_simple", "outline"]

_REFERENCE: Final = 100.0  # points; large, so that widths are not rounded to the grid of a small size
# Scripts whose characters stand beside one another as they are: Latin, Greek, Cyrillic; dashes, arrows, signs.
_FIRST_COMBINING, _LAST_COMBINING, _LAST_LETTER = "\u0300", "\u036f", "\u052f"
_FIRST_SIGN, _LAST_SIGN = "\u2010", "\u22ff"


def is_simple(text: str) -> bool:
    """Whether a text is no more than its characters side by side."""
    return all(
        (char <= _LAST_LETTER and not _FIRST_COMBINING <= char <= _LAST_COMBINING) or _FIRST_SIGN <= char <= _LAST_SIGN
        for char in text
    )


@lru_cache(maxsize=4096)
def advance(char: str, family: tuple[str, ...], bold: bool) -> float:
    """Width of a character, in multiples of the text size.

    A single character's box ends at its ink; between two others its whole advance counts.
    """
    return _box(f"H{char}H", family, bold) - _box("HH", family, bold)


def outline(text: str, family: tuple[str, ...], bold: bool) -> tuple[Path, float]:
    """Outline of a simple text, not blank, that begins at (0, 0), and its width, both in multiples of the text size."""
    vertices, codes, starts, sizes, x = [], [], [], [], 0.0
    for before, char in pairwise(f"\0{text}"):
        apart, corners, kinds, wide = _step(before, char, family, bold)
        x += apart
        vertices.append(corners)
        codes.append(kinds)
        starts.append(x)
        sizes.append(len(kinds))
        x += wide
    placed = np.concatenate(vertices)
    placed[:, 0] += np.repeat(np.array(starts), sizes)
    return Path(placed, np.concatenate(codes)), x


@lru_cache(maxsize=8192)
def _step(
    before: str, char: str, family: tuple[str, ...], bold: bool
) -> tuple[float, FloatArray, npt.NDArray[np.uint8], float]:
    """From a character to the next: kerning, corners, what each corner is, advance; in multiples of the text size."""
    apart = _kerning(before, char, family, bold) if before != "\0" else 0.0
    return apart, *_shape(char, family, bold), advance(char, family, bold)


@lru_cache(maxsize=4096)
def _shape(char: str, family: tuple[str, ...], bold: bool) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Corners of a character, in multiples of the text size, and what each is; none of a blank."""
    if char.isspace():
        return np.empty((0, 2)), np.empty(0, dtype=np.uint8)
    corners, kinds = text_to_path.get_text_path(_font(family, bold), char)
    return np.asarray(corners, dtype=np.float64) / text_to_path.FONT_SCALE, np.asarray(kinds, dtype=np.uint8)


def _kerning(first: str, second: str, family: tuple[str, ...], bold: bool) -> float:
    """By how much two characters stand farther apart than their advances say."""
    if first.isdigit() and second.isdigit():
        return 0.0
    apart = _box(f"H{first}{second}H", family, bold) - _box("HH", family, bold)
    return apart - advance(first, family, bold) - advance(second, family, bold)


@lru_cache(maxsize=16384)
def _box(text: str, family: tuple[str, ...], bold: bool) -> float:
    return float(text_to_path.get_text_width_height_descent(text, _font(family, bold), False)[0]) / _REFERENCE


@lru_cache(maxsize=64)
def _font(family: tuple[str, ...], bold: bool) -> FontProperties:
    return FontProperties(family=list(family), size=_REFERENCE, weight="bold" if bold else "normal")
