"""Figures of a report: drawings in SVG that can stand side by side in one page."""

from __future__ import annotations

import re
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from metaan.plot.files import save
from metaan.plot.panel import alt_text
from metaan.reports.blocks import Figure

__all__ = ["figure"]

_PIXELS: Final = 96 / 72  # of a point
_SMALLEST: Final = 0.85  # how far a drawing may shrink before its text cannot be read
_OWN_STYLE: Final = re.compile(r"\s*<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>")
_TAG: Final = re.compile(r"<[^>]+>")
_IDS: Final = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
_SIZE: Final = re.compile(r' width="([\d.]+)pt" height="([\d.]+)pt"')


def figure(axes: Any, name: str, caption: str) -> Figure:
    """Drawing of an Axes, or of a figure with several, which is closed afterwards."""
    import matplotlib.pyplot as plt

    every = list(np.asarray(axes, dtype=object).ravel())
    said = next(filter(None, map(alt_text, every)), caption)
    try:
        drawing = _drawn(every[0])
    finally:
        plt.close(every[0].get_figure().figure)
    found = _SIZE.search(drawing)
    wide = float(found[1]) if found else 0.0
    return Figure(
        name=name, caption=caption, svg=_own(drawing, name, said), alt=said, least=round(_SMALLEST * _PIXELS * wide)
    )


def _drawn(ax: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figure.svg"
        save(ax, file)
        return file.read_text(encoding="utf-8")


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
