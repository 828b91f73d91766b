"""Marks of a forest table in SVG: one small picture for each row, which stretches with its column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from metaan.plot.html_data import Line, Sheet
from metaan.plot.marks import cut

__all__ = ["Look", "axis_svg", "look_of", "row_svg"]

# CSS pixels.
_ROW: Final = 27.0  # what a row of one line of text is high
_DIAMOND: Final = 16.0
_BAR: Final = 5.0
_CAP: Final = 3.5
_BLUP: Final = 8.0  # how far under its study a shrunken estimate stands
_BLUP_SIDE: Final = 3.2


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the rows share: the sheet, its largest weight, where the dashed line stands and the row it runs to."""

    sheet: Sheet
    largest: float
    dashed: float | None
    last: int


def look_of(sheet: Sheet) -> Look:
    """What the rows of a sheet have in common."""
    weights = [line.weight for line in sheet.studies if math.isfinite(line.weight)]
    overall = [i for i, line in enumerate(sheet.lines) if line.kind == "pooled" and not line.group and line.marked]
    at = sheet.lines[overall[0]].estimate if overall else math.nan  # of several models, the first
    dashed = at if sheet.axis.low < at < sheet.axis.high else None
    return Look(sheet=sheet, largest=max(weights, default=0.0), dashed=dashed, last=overall[0] if overall else -1)


def row_svg(number: int, look: Look) -> str:
    """Picture of one row: bands and lines that go on above and below, and the mark of the row."""
    line = look.sheet.lines[number]
    parts = list(_background(number, look))
    if line.kind == "study":
        parts += [*_square(line, look), *_interval("interval", line.low, line.high, look), *_blup(line, look)]
    elif line.kind == "pooled" and line.marked:
        parts.append(_diamond(line, look))
    elif line.kind == "prediction" and line.marked:
        parts += _prediction(line, look)
    if line.kind in ("study", "pooled", "prediction") and line.marked:
        parts += _arrows(line, look)
    return f'<svg class="marks" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def _percent(value: float, look: Look) -> str:
    """Where a value stands, in the width of the plot; values outside stand at its edges."""
    axis = look.sheet.axis
    return f"{100 * axis.share(min(max(value, axis.low), axis.high)):.4g}%"


def _background(number: int, look: Look) -> Iterator[str]:
    sheet = look.sheet
    axis = sheet.axis
    for name, ranges in (("band", sheet.bands), ("predicted", sheet.predicted)):
        for low, high in ranges:
            if min(high, axis.high) > max(low, axis.low):
                left, right = (100 * axis.share(min(max(end, axis.low), axis.high)) for end in (low, high))
                yield f'<rect class="{name}" x="{left:.4g}%" width="{right - left:.4g}%" height="100%"/>'
    if axis.null is not None and axis.low < axis.null < axis.high:
        yield _upright("null", axis.null, look)
    if look.dashed is not None and number <= look.last:
        yield _upright("reference", look.dashed, look, "50%" if number == look.last else "100%")


def _upright(name: str, value: float, look: Look, down: str = "100%") -> str:
    x = _percent(value, look)
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="{down}"/>'


def _at(value: float, form: str, look: Look) -> str:
    """Draw a form of fixed size at a value, half way down the row."""
    return f'<svg class="at" x="{_percent(value, look)}" y="50%">{form}</svg>'


def _square(line: Line, look: Look) -> Iterator[str]:
    """Square (or circle) whose area is in proportion to the weight, large where there is none."""
    sheet = look.sheet
    if not sheet.axis.low <= line.estimate <= sheet.axis.high:
        return
    share = line.weight / look.largest if look.largest > 0 and math.isfinite(line.weight) else 1.0
    side = sheet.style.largest * _ROW * math.sqrt(max(share, 0.0))
    form = f'<circle class="square" r="{side / 2:.2f}"/>'
    if sheet.style.mark != "o":
        form = f'<rect class="square" x="{-side / 2:.2f}" y="{-side / 2:.2f}" width="{side:.2f}" height="{side:.2f}"/>'
    yield _at(line.estimate, form, look)


def _interval(name: str, low: float, high: float, look: Look, drop: float = 0.0) -> Iterator[str]:
    """Line from limit to limit, cut at the edges of the plot, with strokes at its ends where the style has them."""
    axis = look.sheet.axis
    if not (math.isfinite(low) and math.isfinite(high)) or high < axis.low or low > axis.high:
        return
    ends = [_percent(value, look) for value in (low, high)]
    across = f'x1="{ends[0]}" x2="{ends[1]}" y1="{drop:g}" y2="{drop:g}"'
    yield f'<svg class="at" y="50%"><line class="{name}" {across}/></svg>'
    if look.sheet.style.caps and not drop:
        for value in (low, high):
            if axis.low <= value <= axis.high:
                yield _at(value, f'<path class="cap" d="M0-{_CAP}V{_CAP}"/>', look)


def _blup(line: Line, look: Look) -> Iterator[str]:
    """Shrunken estimate, hollow and a little under that of the study."""
    axis, (at, low, high) = look.sheet.axis, line.blup
    yield from _interval("blup-interval", low, high, look, _BLUP)
    if axis.low <= at <= axis.high:
        r = _BLUP_SIDE
        yield _at(at, f'<path class="blup" d="M{-r} {_BLUP}L0 {_BLUP - r} {r} {_BLUP} 0 {_BLUP + r}z"/>', look)


def _arrows(line: Line, look: Look) -> Iterator[str]:
    """Arrows at the edges of the plot where an interval goes on."""
    axis = look.sheet.axis
    if line.low < axis.low:
        yield _at(axis.low, '<path class="cut" data-cut="low" d="M1-5-7 0 1 5z"/>', look)
    if line.high > axis.high:
        yield _at(axis.high, '<path class="cut" data-cut="high" d="M-1-5 7 0-1 5z"/>', look)


def _stretched(form: str, height: float, box: str) -> str:
    """Draw a form as wide as the plot, of fixed height, half way down the row."""
    return (
        f'<svg class="at" y="50%"><svg class="at" y="{-height / 2:g}" width="100%" height="{height:g}" '
        f'viewBox="{box}" preserveAspectRatio="none">{form}</svg></svg>'
    )


def _points(corners: Iterable[tuple[float, float]], look: Look) -> str:
    return " ".join(f"{100 * look.sheet.axis.share(x):.5g} {y:.4g}" for x, y in corners)


def _diamond(line: Line, look: Look) -> str:
    """Diamond whose ends are the limits, cut at the edges of the plot; a stroke keeps one without width in sight."""
    middle, corners = line.estimate, [(line.low, 0.0), (line.estimate, -1.0), (line.high, 0.0), (line.estimate, 1.0)]
    kept = cut(corners, look.sheet.axis) if math.isfinite(middle) else []
    if not kept:
        return ""
    form = f'<path class="diamond" vector-effect="non-scaling-stroke" d="M{_points(kept, look)}z"/>'
    return _stretched(form, _DIAMOND, "0 -1 100 2")


def _prediction(line: Line, look: Look) -> Iterator[str]:
    """Bar over the prediction interval, and the density of true effects on it where the table has one."""
    axis = look.sheet.axis
    low, high = max(line.low, axis.low), min(line.high, axis.high)
    x, y = look.sheet.density
    inside = [(a, b) for a, b in zip(x, y, strict=True) if axis.low <= a <= axis.high and math.isfinite(b)]
    if not line.group and len(inside) > 1 and max(b for _, b in inside) > 0:
        top = max(b for _, b in inside)
        corners = [(inside[0][0], 1.0), *((a, 1 - b / top) for a, b in inside), (inside[-1][0], 1.0)]
        yield (
            '<svg class="at" width="100%" height="50%" viewBox="0 0 100 1" preserveAspectRatio="none">'
            f'<path class="density" d="M{_points(corners, look)}z"/></svg>'
        )
    if low < high:
        left, right = 100 * axis.share(low), 100 * axis.share(high)
        yield _stretched(f'<path class="prediction" d="M{left:.5g} 0H{right:.5g}V2H{left:.5g}z"/>', _BAR, "0 0 100 2")


def axis_svg(look: Look) -> str:
    """Axis with its ticks; every other text can be left out where there is little room."""
    axis = look.sheet.axis
    few = len(axis.ticks) <= 4
    parts = ['<line class="axis" x1="0" x2="100%" y1="0.5" y2="0.5"/>']
    for i, (tick, text) in enumerate(zip(axis.ticks, axis.tick_texts(), strict=True)):
        x = _percent(tick, look)
        spare = "" if few or i % 2 == 0 else " spare"
        written = escape(text.replace(".", look.sheet.style.decimal))
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="0" y2="5"/>')
        parts.append(f'<text class="tick{spare}" x="{x}" y="19" text-anchor="middle">{written}</text>')
    return f'<svg class="ticks" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
