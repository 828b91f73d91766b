"""Labels of the rows of a forest plot, cut where they would leave no room for the plot."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from metaan.plot.columns import Block
from metaan.plot.measure import text_width
from metaan.plot.style import Style

__all__ = ["LONGEST", "shortened", "with_short_labels"]

LONGEST: Final = 22.5  # width of a label, in multiples of the text size: about 45 characters
_END: Final = 1 / 3  # share of it for the end of a name, where years and numbers stand
_CUT: Final = ("study", "group")  # other rows have words of our own, which say what was computed
_ROUNDS: Final = 4  # how often cuts are moved to where names differ
_LOOSE: Final = " ,;:([-–"  # what does not stand before an ellipsis


def with_short_labels(found: Iterable[Block], kinds: Sequence[str], style: Style) -> list[Block]:
    """The same columns; names of studies and subgroups that are too wide are cut."""
    return [_short(block, kinds, style) if block.name == "study" else block for block in found]


def _short(block: Block, kinds: Sequence[str], style: Style) -> Block:
    (names,) = block.columns
    for kind in _CUT:
        mine = [name for name, own in zip(names, kinds, strict=True) if own == kind]
        cut = iter(shortened(mine, LONGEST * style.size, style, bold=kind == "group"))
        names = tuple(next(cut) if own == kind else name for name, own in zip(names, kinds, strict=True))
    return replace(block, columns=(names,))


def shortened(names: Sequence[str], width: float, style: Style, *, bold: bool = False) -> list[str]:
    """Names no wider than `width` points: an ellipsis stands for the middle; names that differ stay different.

    Where two would look alike, each shows the place where they differ. One that cannot be told apart stays whole.
    """
    ruler = _Ruler(width, style, bold)
    shown = {name: name if ruler.fits(name) else ruler.cut(name) for name in names}
    for _ in range(_ROUNDS):
        alike = _alike(shown)
        for same in alike:
            start = _common(min(same), max(same))
            shown |= {name: ruler.cut(name, start) for name in same if not ruler.fits(name)}
        if not alike:
            break
    shown |= {name: name for same in _alike(shown) for name in same}
    return [shown[name] for name in names]


def _alike(shown: dict[str, str]) -> list[list[str]]:
    """Different names that are shown as the same text."""
    wholes: dict[str, list[str]] = {}
    for name, text in shown.items():
        wholes.setdefault(text, []).append(name)
    return [same for same in wholes.values() if len(same) > 1]


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


class _Ruler:
    """Cuts texts to a width."""

    def __init__(self, width: float, style: Style, bold: bool) -> None:
        self._width, self._style, self._bold = width, style, bold
        self._gap = self._of(" … ")

    def _of(self, text: str) -> float:
        return text_width(text, self._style, bold=self._bold)

    def fits(self, text: str) -> bool:
        return self._of(text) <= self._width

    def cut(self, text: str, differs: int | None = None) -> str:
        """Beginning and end of a text, and between them what stands where it differs from another."""
        last = self._tail(text, self._width * _END)
        free = self._width - self._of(text[last:]) - self._gap
        if differs is None:
            return _joined(text, [(0, self._head(text, 0, free)), (last, len(text))])
        share = (free - self._gap) / 2
        start = text.rfind(" ", 0, differs) + 1
        if self._of(text[start : differs + 1]) > share:
            start = _whole(text, differs)
        middle = (start, self._head(text, start, share, least=differs + 1))
        return _joined(text, [(0, self._head(text, 0, share)), middle, (last, len(text))])

    def _head(self, text: str, start: int, width: float, least: int = 0) -> int:
        """Where a piece that begins at `start` ends: after a word, or within one that is longer than half the width."""
        end = start
        while end < len(text) and self._of(text[start : end + 1]) <= width:
            end += 1
        if end == len(text):
            return end
        space = text.rfind(" ", start, end + 1)
        return space if space >= max(least, (start + end) / 2) else _whole(text, end)

    def _tail(self, text: str, width: float) -> int:
        """Where the last words begin, or the last characters of a word that is too long."""
        at = len(text)
        while at > 0 and self._of(text[at - 1 :]) <= width:
            at -= 1
        space = text.find(" ", max(at - 1, 0))
        return space + 1 if space >= 0 else _whole(text, at)


def _whole(text: str, at: int) -> int:
    """The same place, moved back to where no accent is taken from its letter."""
    while 0 < at < len(text) and unicodedata.combining(text[at]):
        at -= 1
    return at


def _joined(text: str, pieces: Sequence[tuple[int, int]]) -> str:
    """Pieces of a text, with an ellipsis for what is left out between them."""
    first, *others = sorted(pieces)
    kept = [first]
    for start, end in others:
        if start <= kept[-1][1] + 1:  # nothing but a space lies between
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        else:
            kept.append((start, end))
    said = text[slice(*kept[0])]
    for (_, before), (start, end) in pairwise(kept):
        of_words = text[before].isspace() and text[start - 1].isspace()
        said = f"{said.rstrip(_LOOSE)}{' … ' if of_words else '…'}{text[start:end]}"
    return said
