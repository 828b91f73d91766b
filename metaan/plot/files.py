"""Figures to files, fit for print."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes

from metaan.errors import OptionError
from metaan.plot.panel import alt_text

__all__ = ["save"]

_RC: Final[Any] = {
    "pdf.fonttype": 42,  # TrueType: text stays text, as journals demand
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "metaan",
    # What an SVG names after the face that measured it; all but the last have the widths of Arial.
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
}
# Figures of lines and text are smaller at this level than at Pillow's own, and written in two thirds of the time.
_WRITER: Final[dict[str, dict[str, Any]]] = {".png": {"pil_kwargs": {"compress_level": 3}}}
# Without a date the same figure gives the same bytes.
_UNDATED: Final[dict[str, dict[str, Any]]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
# Where each format keeps the text for those who cannot see the figure: its title, and the whole.
_SAID: Final[dict[str, tuple[str, str]]] = {
    ".svg": ("Title", "Description"), ".png": ("Title", "Description"), ".pdf": ("Title", "Subject"),
}  # fmt: skip


def save(ax: Axes, *paths: str | os.PathLike[str], dpi: float = 300) -> None:
    """Write the figure of an Axes to one or more files, with fonts embedded and text kept as text.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        What a plotting function of metaan returned.
    *paths : path
        Files to write; the suffix chooses the format (.png, .svg, .pdf, .eps, .tif ...).
    dpi : float, default 300
        Dots per inch of pixel formats.

    Returns
    -------
    None
        The files are written; a file of that name is replaced.

    Raises
    ------
    OptionError
        No path, or a suffix that matplotlib cannot write.

    Notes
    -----
    PDF and EPS embed TrueType fonts (type 42), SVG holds real text. SVG, PNG and PDF carry the figure in words
    (`alt_text`). SVG and PDF carry no date: the same
    figure gives the same file. rcParams are left as they are.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40])
    >>> ax = metaan.plot.forest(metaan.pool(eff))
    >>> metaan.plot.save(ax, "forest.png", "forest.svg")  # doctest: +SKIP
    """
    parent = ax.get_figure()
    if parent is None:
        raise OptionError("ax belongs to no figure any more: it was removed or its figure was cleared.")
    figure = parent.figure
    files = [Path(path) for path in paths]
    if not files:
        raise OptionError("save() needs at least one path: save(ax, 'forest.svg').")
    formats = figure.canvas.get_supported_filetypes()
    for file in files:
        if file.suffix.lower().lstrip(".") not in formats:
            raise OptionError(f"path {file.name!r} has no known suffix. Choose one of {', '.join(sorted(formats))}.")
    said = alt_text(ax)
    with mpl.rc_context(_RC):
        for file in files:
            suffix = file.suffix.lower()
            figure.savefig(file, dpi=dpi, metadata=_metadata(suffix, said), **_WRITER.get(suffix, {}))
            if said and suffix == ".svg":
                _describe(file, said)


def _describe(file: Path, said: str) -> None:
    """Write the whole text beside the title of an SVG, where screen readers look for it."""
    drawing = file.read_text(encoding="utf-8")
    drawing = drawing.replace("</title>", f"</title>\n <desc>{html.escape(said, quote=False)}</desc>", 1)
    file.write_text(drawing.replace("<svg ", '<svg role="img" ', 1), encoding="utf-8")


def _metadata(suffix: str, said: str) -> dict[str, Any] | None:
    """What a file says of itself: no date, and its figure in words."""
    metadata = dict(_UNDATED.get(suffix, {}))
    if said and suffix in _SAID:
        title, whole = _SAID[suffix]
        metadata |= {title: said.split(". ")[0].rstrip("."), whole: said}
    return metadata or None
