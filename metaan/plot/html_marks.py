"""Marks of a forest table in SVG: one small picture for each row, which stretches with its column."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from metaan.plot.html_data import Line, Sheet

__all__ = ["Look", "axis_svg", "look_of", "row_svg"]

_ROW = 26.0  # CSS pixels, what a row of one line of text is high
_DIAMOND = 8.0  # half its height
_CAP = 3.5
# The unit of a picture that is stretched to the interval it shows.
_STRETCH = 'viewBox="0 0 100 2" preserveAspectRatio="none" overflow="visible"'


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the rows have in common: the sheet, its largest weight, and the last row each dashed line runs to."""

    sheet: Sheet
    largest: float
    dashed: tuple[tuple[float, int], ...]


def look_of(sheet: Sheet) -> Look:
    """What the rows of a sheet have in common."""
    weights = [line.weight for line in sheet.studies if math.isfinite(line.weight)]
    axis = sheet.axis
    dashed = tuple(
        (line.estimate, number)
        for number, line in enumerate(sheet.lines)
        if line.kind == "pooled" and not line.group and line.marked and axis.low < line.estimate < axis.high
    )
    return Look(sheet=sheet, largest=max(weights, default=0.0), dashed=dashed)


def place(value: float, look: Look) -> float:
    """Where a value stands, per cent of the width of the plot; limits that are cut stand at its edges."""
    axis = look.sheet.axis
    inside = min(max(value, axis.low), axis.high)
    if axis.log:
        return 100 * math.log(inside / axis.low) / math.log(axis.high / axis.low)
    return 100 * (inside - axis.low) / (axis.high - axis.low)


def row_svg(number: int, look: Look) -> str:
    """Picture of one row: bands and lines that go on above and below, and the mark of the row."""
    line = look.sheet.lines[number]
    parts = list(_background(number, look))
    if line.kind == "study" and line.marked:
        parts += [*_square(line, look), *_interval(line, look)]
    elif line.kind == "study":
        parts += _square(line, look)
    elif line.kind == "pooled" and line.marked:
        parts.append(_diamond(line, look))
    elif line.kind == "prediction" and line.marked:
        parts += _prediction(line, look)
    return f'<svg class="marks" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def _background(number: int, look: Look) -> Iterator[str]:
    axis = look.sheet.axis
    for low, high, _ in look.sheet.bands:
        left, right = place(low, look), place(high, look)
        if right > left:
            yield f'<rect class="band" x="{left:.3f}%" width="{right - left:.3f}%" height="100%"/>'
    if axis.null is not None and axis.low < axis.null < axis.high:
        yield _upright("null", axis.null, look)
    for estimate, last in look.dashed:
        if number <= last:
            yield _upright("reference", estimate, look, "50%" if number == last else "100%")


def _upright(name: str, value: float, look: Look, down: str = "100%") -> str:
    x = f"{place(value, look):.3f}%"
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="{down}"/>'


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


def _at(value: float, form: str, look: Look) -> str:
    """Draw a form of fixed size at a value, half way down the row."""
    return f'<svg x="{place(value, look):.3f}%" y="50%" overflow="visible">{form}</svg>'


def _interval(line: Line, look: Look) -> Iterator[str]:
    axis = look.sheet.axis
    if line.high < axis.low or line.low > axis.high:
        cut = [("low", axis.low)] if line.high < axis.low else [("high", axis.high)]
    else:
        ends = [f"{place(value, look):.3f}%" for value in (line.low, line.high)]
        yield f'<line class="interval" x1="{ends[0]}" x2="{ends[1]}" y1="50%" y2="50%"/>'
        cut = [("low", axis.low)] if line.low < axis.low else []
        cut += [("high", axis.high)] if line.high > axis.high else []
    for side, edge in cut:
        tip = -6 if side == "low" else 6
        yield _at(edge, f'<path class="cut" data-cut="{side}" d="M0-5 {tip} 0 0 5z"/>', look)
    if look.sheet.style.caps:
        for side, value in (("low", line.low), ("high", line.high)):
            if side not in dict(cut) and axis.low <= value <= axis.high:
                yield _at(value, f'<path class="cap" d="M0-{_CAP}V{_CAP}"/>', look)


def _diamond(line: Line, look: Look) -> str:
    """Diamond whose ends are the limits; a stroke keeps one without width in sight."""
    axis = look.sheet.axis
    low, high = (min(max(value, axis.low), axis.high) for value in (line.low, line.high))
    left, right = place(low, look), place(high, look)
    middle = 50.0 if right <= left else 100 * (place(line.estimate, look) - left) / (right - left)
    form = f'<path class="diamond" vector-effect="non-scaling-stroke" d="M0 1 {middle:.3f} 0 100 1 {middle:.3f} 2z"/>'
    return _stretched(left, right, 2 * _DIAMOND, form)


def _stretched(left: float, right: float, height: float, form: str) -> str:
    width = max(right - left, 0.01)
    return (
        f'<svg y="50%" overflow="visible"><svg x="{left:.3f}%" width="{width:.3f}%" '
        f'y="{-height / 2:g}" height="{height:g}" {_STRETCH}>{form}</svg></svg>'
    )


def _prediction(line: Line, look: Look) -> Iterator[str]:
    """Bar over the prediction interval, and the density of true effects above it where the table has one."""
    left, right = place(line.low, look), place(line.high, look)
    x, y = look.sheet.density
    if x and max(y) > 0:
        points = " ".join(f"{place(a, look):.3f} {2 - 2 * b / max(y):.4f}" for a, b in zip(x, y, strict=True))
        first, last = place(x[0], look), place(x[-1], look)
        yield (
            f'<svg height="50%" {_STRETCH}><path class="density" d="M{first:.3f} 2 {points} {last:.3f} 2z"/></svg>'
        )
    yield _stretched(left, right, 5, '<path class="prediction" d="M0 0H100V2H0z"/>')


def axis_svg(look: Look) -> str:
    """Axis with its ticks; every other text can be left out where there is little room."""
    axis = look.sheet.axis
    few = len(axis.ticks) <= 4
    parts = ['<line class="axis" x1="0" x2="100%" y1="0.5" y2="0.5"/>']
    for i, (tick, text) in enumerate(zip(axis.ticks, axis.tick_texts(), strict=True)):
        x = f"{place(tick, look):.3f}%"
        spare = "" if few or i % 2 == 0 else " spare"
        written = escape(text.replace(".", look.sheet.style.decimal))
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="0" y2="5"/>')
        parts.append(f'<text class="tick{spare}" x="{x}" y="19" text-anchor="middle">{written}</text>')
    return f'<svg class="ticks" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
