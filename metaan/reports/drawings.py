"""Figures of a report: drawings in SVG that can stand side by side in one page."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from metaan.plot.files import save
from metaan.plot.panel import alt_text
from metaan.reports.blocks import Figure

__all__ = ["Pieces", "figure", "pieces"]

_PIXELS: Final = 96 / 72  # of a point
_SMALLEST: Final = 0.85  # how far a drawing may shrink before its text cannot be read
_PAGE: Final = (516.0, 638.0)  # points: room for a drawing on A4, less the margins of the style and a caption
_CAPITAL: Final = 0.36  # of the text size: from the baseline to the middle of a row
_UNDER_RULE: Final = 0.08  # rows
_DESCENT: Final = 0.2  # of the text size: from the bottom of a line to its baseline
_LAST: Final = 4  # rows that stay with the axis
_FEWEST, _MOST = 6, 40  # rows of a piece at least, pieces at most
_OWN_STYLE: Final = re.compile(r"\s*<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>")
_TAG: Final = re.compile(r"<[^>]+>")
_IDS: Final = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
_SIZE: Final = re.compile(r' width="([\d.]+)pt" height="([\d.]+)pt"')
_TEXT: Final = re.compile(r'<text style="([^"]*)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<')
_FONT: Final = re.compile(r"([\d.]+)px")
_MOVED: Final = {"text-anchor: middle": "-50%", "text-anchor: end": "-100%"}
_CUTS: Final = re.compile(r' data-cuts="([\d. ]+)"')


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A drawing in pieces that pages can divide: its width in points, its heading in HTML, the view box of each."""

    width: float
    heading: str
    views: tuple[str, ...]


def figure(axes: Any, name: str, caption: str) -> Figure:
    """Drawing of an Axes, or of a figure with several, which is closed afterwards."""
    import matplotlib.pyplot as plt

    every = list(np.asarray(axes, dtype=object).ravel())
    said = next(filter(None, map(alt_text, every)), caption)
    try:
        drawing = _drawn(every[0])
        cuts = _cuts(every[0])
    finally:
        plt.close(every[0].get_figure().figure)
    found = _SIZE.search(drawing)
    wide = float(found[1]) if found else 0.0
    svg = _own(drawing, name, said)
    if cuts:
        svg = svg.replace("<svg ", f'<svg data-cuts="{" ".join(f"{cut:.2f}" for cut in cuts)}" ', 1)
    return Figure(name=name, caption=caption, svg=svg, alt=said, least=round(_SMALLEST * _PIXELS * wide))


def pieces(drawn: Figure) -> Pieces | None:
    """Pieces of a forest plot that is too tall for a page; None where it fits or loses more by its width."""
    size, cuts = _SIZE.search(drawn.svg), _CUTS.search(drawn.svg)
    if size is None or cuts is None:
        return None
    width, height = float(size[1]), float(size[2])
    scale = min(1.0, _PAGE[0] / width)
    if _PAGE[1] / height >= _SMALLEST * scale:
        return None
    top, first, *others = map(float, cuts[1].split())
    step = max(_FEWEST, -(-len(others) // _MOST))
    edges = [first, *others[step - 1 :: step], height]
    return Pieces(
        width=width, heading=_heading(drawn.svg, width, (top, first), scale),
        views=tuple(f"0 {start:.2f} {width:g} {end - start:.2f}" for start, end in pairwise(edges)),
    )  # fmt: skip


def _heading(svg: str, width: float, edges: tuple[float, float], scale: float) -> str:
    """Heading in HTML: browsers repeat text of SVG over the next page less surely."""
    top, under = edges
    texts = [(style, float(x), float(y), text) for style, x, y, text in _TEXT.findall(svg) if float(y) < under]
    margin = min((x for _, x, _, _ in texts), default=0.0)
    said = []
    for style, x, y, text in texts:
        found = _FONT.search(style)
        size = scale * float(found[1]) if found else 0.0
        low, across = (under - y) * scale - _DESCENT * size, (x - margin) / (width - 2 * margin)
        moved = next((by for anchor, by in _MOVED.items() if anchor in style), "0")
        place = f"left:{across:.2%};bottom:{low:.2f}pt;translate:{moved}"
        said.append(f'<span style="{place};font-size:{size:.2f}pt">{text}</span>')
    height, aside = (under - top) * scale, margin * scale
    return f'<div style="height:{height:.2f}pt;margin:0 {aside:.2f}pt">{"".join(said)}</div>'


def _drawn(ax: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figure.svg"
        save(ax, file)
        return file.read_text(encoding="utf-8")


def _cuts(ax: Any) -> list[float]:
    """Where a forest plot can be cut, points from its top: over and under its heading, then between its studies."""
    rules = [artist for artist in ax.get_children() if artist.get_label() == "_rule"]
    if not rules:
        return []
    figure, (bottom, _) = ax.get_figure().figure, ax.get_ylim()
    ends = sorted(rule.get_ydata()[0] for rule in rules)
    rows = [ends[0], ends[-1] + _UNDER_RULE, bottom]
    points, top = 72 / figure.dpi, figure.bbox.height
    over, under, axis = (float(top - ax.transData.transform((0.5, row))[1]) * points for row in rows)
    lines = {
        round(float(top - text.get_transform().transform(text.get_position())[1]) * points, 2)
        - _CAPITAL * text.get_fontsize()
        for text in ax.texts
    }
    middles = sorted(line for line in lines if under < line < axis)
    return [over, under, *(float(a + b) / 2 for a, b in pairwise(middles[: 1 - _LAST]))]


def _own(drawing: str, name: str, said: str) -> str:
    """The element alone: no metadata, no rules for the page around it, ids of its own, and its text for all readers."""
    drawing = drawing[drawing.index("<svg") :].strip()
    drawing = re.sub(r"\s*<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = _OWN_STYLE.sub("", drawing)
    drawing = _TAG.sub(lambda tag: _IDS.sub(lambda found: f"{found[1]}{name}-{found[2]}", tag[0]), drawing)
    drawing = re.sub(r"\s*<title>.*?</title>|\s*<desc>.*?</desc>", "", drawing, flags=re.DOTALL)
    drawing = drawing.replace(' role="img"', "", 1)
    title, desc = f"{name}-title", f"{name}-desc"
    first = escape(said.split(". ")[0].rstrip("."), quote=False)
    told = f'<title id="{title}">{first}</title><desc id="{desc}">{escape(said, quote=False)}</desc>'
    named = f'<svg role="img" aria-labelledby="{title} {desc}" '
    return re.sub(r"<svg ([^>]*)>", lambda found: f"{named}{found[1]}>{told}", drawing, count=1)
