"""Numbers as people write them: decimal commas, thousands, marks for missing, counts with a percentage beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

import numpy as np

from metaan.readers.grid import Cell, blank

__all__ = ["AMBIGUOUS", "BESIDE", "FRACTION", "MARKS", "Unreadable", "convention", "is_mark", "number", "tidy", "whole"]

_LONGEST: Final = 60  # a cell with more characters is no number
MARKS: Final = frozenset({
    "na", "n/a", "n.a.", "n. a.", "#n/a", "nan", "null", "none", "nr", "n.r.", "n/r", "nd", "n.d.", "not reported",
    "missing", "unknown", "unclear", "not available", "not stated", ".", "..", "-", "--", "–", "—", "?", "\u2212",
})  # fmt: skip
"""Texts that say that a number is not known."""

_SIGNED: Final = r"[+-]?"
_GROUPED: Final = {mark: re.compile(rf"{_SIGNED}[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+") for mark in ",. '"}
_PLAIN: Final = re.compile(rf"{_SIGNED}(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?")
_ONE_MARK: Final = re.compile(rf"{_SIGNED}([0-9]*)([.,])([0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?%?")
_BOTH_MARKS: Final = re.compile(rf"{_SIGNED}[0-9]{{1,3}}(?:([.,])[0-9]{{3}})+([.,])[0-9]+%?")
AMBIGUOUS: Final = re.compile(rf"{_SIGNED}[1-9][0-9]{{0,2}}[.,][0-9]{{3}}")
_COUNT: Final = r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
FRACTION: Final = re.compile(
    rf"{_COUNT}\s*(?:/|\bof\b|\bout of\b)\s*{_COUNT}(?:\s*[(\[]\s*([0-9]+(?:[.,][0-9]+)?)\s*%?\s*[)\]])?"
)
BESIDE: Final = re.compile(rf"{_COUNT}\s*[(\[]\s*([0-9]+(?:[.,][0-9]+)?)\s*(%?)\s*[)\]]")


class Unreadable(Exception):  # noqa: N818 - caught where the row and the study are known
    """A cell that is no number; the message says why."""


def tidy(text: str) -> str:
    """Text without the spaces around it; other kinds of space and of minus, a dash before a number, as the usual."""
    plain = text.translate({0xA0: " ", 0x2007: " ", 0x2009: " ", 0x202F: " ", 0x200B: None, 0xFEFF: None, 0x2212: "-"})
    plain = plain.strip()
    return f"-{plain[1:]}" if plain[:1] == "–" and plain[1:2] in tuple("0123456789.,") else plain


def is_mark(cell: Cell) -> bool:
    """Whether a cell says in words that its number is missing."""
    return isinstance(cell, str) and len(cell) < _LONGEST and cell.strip().casefold() in MARKS


def convention(counts: Iterable[str], measures: Iterable[str]) -> dict[str, str]:
    """Decimal marks that texts speak for, each with the first text that does.

    A mark that separates groups of three digits speaks for the other. In a count it must, because a count is whole.
    """
    found: dict[str, str] = {}
    for text, count in [*((text, True) for text in counts), *((text, False) for text in measures)]:
        mark = _spoken(tidy(text)[:_LONGEST], count)
        if mark:
            found.setdefault(mark, text.strip())
    return found


def _spoken(text: str, count: bool) -> str | None:
    """Decimal mark that one text speaks for."""
    both = _BOTH_MARKS.fullmatch(text)
    if both:
        return both[2] if both[1] != both[2] else {",": ".", ".": ","}[both[1]]
    one = _ONE_MARK.fullmatch(text)
    if not one:
        return None
    if AMBIGUOUS.fullmatch(text):
        return {",": ".", ".": ","}[one[2]] if count and text.rpartition(one[2])[2] != "000" else None
    return one[2]


def number(cell: Cell, decimal: str) -> tuple[float, str]:
    """Value of a cell, NaN where it is missing, and what was done: "", "mark", "comma", "thousands" or "spaces".

    Raises
    ------
    Unreadable
        The cell is no number.
    """
    if blank(cell):
        return math.nan, ""
    if isinstance(cell, str):
        return _text(cell, decimal)
    if isinstance(cell, (bool, np.bool_)):
        raise Unreadable("true or false, not a number")
    if hasattr(cell, "year") or hasattr(cell, "hour") or hasattr(cell, "days"):
        raise Unreadable("a date or a time: spreadsheets turn 3/24 into a date; write the two numbers into two columns")
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable("not a number") from None
    if math.isinf(value):
        raise Unreadable("not finite")
    return value, ""


def _text(cell: str, decimal: str) -> tuple[float, str]:
    text = tidy(cell)
    if is_mark(text):
        return math.nan, "mark"
    if len(text) > _LONGEST:
        raise Unreadable("a text, not a number")
    if text.endswith("%"):
        raise Unreadable("a percentage")
    done = "" if len(text) == len(cell) else "spaces"
    group = "," if decimal == "." else "."
    for mark in (" ", "'", group):
        if mark in text:
            whole_part, point, rest = text.partition(decimal)
            if not _GROUPED[mark].fullmatch(whole_part):
                continue
            text, done = whole_part.replace(mark, "") + point + rest, "thousands"
    if decimal == "," and "," in text and "." not in text:
        text, done = text.replace(",", "."), "comma"
    if not _PLAIN.fullmatch(text):
        raise Unreadable(_why(text))
    value = float(text)
    if math.isinf(value):
        raise Unreadable("too large for a number")
    return value, done


def _why(text: str) -> str:
    """What a text is that is no number."""
    if FRACTION.fullmatch(text):
        return "two numbers"
    if "±" in text or "+/-" in text or BESIDE.fullmatch(text):
        return "two numbers; give each a column"
    if text[:1] in "<>≤≥~≈":
        return "a bound, not a number"
    if re.fullmatch(r"[0-9.,]+\s*(?:-|–|to)\s*[0-9.,]+", text):
        return "a range, not a number"
    if re.fullmatch(r"[0-9.,]+\s*[*†‡§¶#a-z]{1,2}", text):
        return "a number with a footnote mark; take the mark off"
    return "not a number"


def whole(text: str) -> int:
    """A count as FRACTION and BESIDE have found it."""
    return int(text.replace(",", "")[:18])
