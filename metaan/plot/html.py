"""Figures as web pages that need no network."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np
from matplotlib.axes import Axes

from metaan.errors import InputError, OptionError
from metaan.plot.files import save
from metaan.plot.forest_data import is_table
from metaan.plot.forest_options import TableOptions
from metaan.plot.forest_plot import table_to_draw
from metaan.plot.html_data import make_sheet
from metaan.plot.html_page import Head, drawing_page, forest_page
from metaan.plot.html_sources import with_sources
from metaan.plot.panel import alt_text
from metaan.plot.style import Style, current_style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Page", "to_html"]

_LANG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|\d{3}))?")
_IN_NOTEBOOK: Final = 34  # pixels for each row of a table
_LARGER: Final = 1.4  # than in print: 8 point text becomes that of the page
_MOST: Final = 800  # pixels that a page takes in a notebook


class Page(str):
    """A page of HTML; a notebook shows it in a frame of its own."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        height = min(_MOST, 240 + _IN_NOTEBOOK * self.count("<tr"))
        allowed = "allow-scripts allow-popups allow-popups-to-escape-sandbox"
        return (
            f'<iframe srcdoc="{escape(self)}" title="Figure of metaan" sandbox="{allowed}" '
            f'width="100%" height="{height}" style="border:0"></iframe>'
        )


def to_html(
    ax_or_table_or_result: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    style: str | Style | None = None,
    lang: str = "en",
    table: pd.DataFrame | None = None,
    xlim: tuple[float, float] | None = None,
    xscale: str = "auto",
    **options: Unpack[TableOptions],
) -> Page:
    """Figure as a web page in one file: a forest plot that sorts, filters and tells details, or a drawing.

    Parameters
    ----------
    ax_or_table_or_result : Axes, DataFrame or result
        What `metaan.pool`, `subgroups` ... returned or a table of `forest_table`: a forest plot to work with. Any Axes
        (or array of Axes of one figure): its drawing.
    path : path, optional
        File to write, in UTF-8; it ends in .html.
    title : str, optional
        Title of the page. By default the first sentence of the figure in words.
    style : {"default", "jama", "bmj", "lancet", "revman", "minimal", "print"} or Style, optional
        Colours, columns and punctuation, as in `forest`.
    lang : str, default "en"
        Language of the labels (BCP 47), by which texts are sorted and read aloud.
    table : pandas.DataFrame, optional
        Data behind a drawing, shown under it. Only with an Axes.
    xlim, xscale
        Ends and scale of the axis, as in `forest`. Not with an Axes.
    **options
        Handed to `forest_table`. Not beside a table or an Axes.

    Returns
    -------
    Page
        A `str`: the page. In a notebook it shows itself in a frame.

    Raises
    ------
    OptionError
        Options that do not belong to what was given, no language tag, a path that is no .html file or has no folder.
    InputError
        A `table` that is no DataFrame.

    See Also
    --------
    forest : The same as a figure for print.
    forest_table : The table that is shown.

    Notes
    -----
    Rows, columns and numbers are those of the table. A click on a heading sorts the studies, within their groups;
    the search box and the choice of a group hide studies. The pooled rows stay as they are: they are of all studies.
    Hover, focus or click on a study shows its counts, estimate, weight and shrunken effect, and for rows of
    `metaan.load` source, reference and DOI. A table knows of these what its columns ``source``, ``citation``, ``doi``,
    ``url`` and ``blup`` say.

    The page holds its style and its script, and a Content-Security-Policy that forbids requests to any network.
    All text is escaped. Colours follow the light or dark theme of the reader, moved as far as a contrast of 4.5 : 1
    (text) or 3 : 1 (marks) needs.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> page = metaan.plot.to_html(metaan.pool(eff), title="Three studies")
    >>> page.count('<tr class="study">')
    3
    """
    if not isinstance(lang, str) or not _LANG.fullmatch(lang):
        raise OptionError(f"lang={lang!r} is no language tag. Give one like 'en' or 'pt-BR'.")
    if title is not None and not isinstance(title, str):
        raise OptionError(f"title={title!r} must be a text.")
    file = None if path is None else _file(path)
    axes = _axes(ax_or_table_or_result)
    if axes:
        given = [*(name for name, value in (("xlim", xlim), ("xscale", xscale != "auto")) if value), *options]
        if given:
            raise OptionError(f"{', '.join(given)}: an Axes is shown as it was drawn. Pass the result instead.")
        page = _of_axes(axes, title, current_style(style=style), lang, table)
    else:
        if table is not None:
            raise OptionError("table= goes with an Axes; a forest plot shows its own table.")
        page = _of_table(ax_or_table_or_result, options, title, style, lang, xlim, xscale)
    if file is not None:
        file.write_text(page, encoding="utf-8")
    return page


def _axes(given: object) -> list[Axes]:
    """The Axes that were given, one or an array of them; empty for anything else."""
    if isinstance(given, Axes):
        return [given]
    if isinstance(given, (list, tuple, np.ndarray)):
        found = list(np.asarray(given, dtype=object).ravel())
        return found if found and all(isinstance(ax, Axes) for ax in found) else []
    return []


def _of_table(
    res: Any, options: Mapping[str, Any], title: str | None, style: str | Style | None, lang: str,
    xlim: tuple[float, float] | None, xscale: str,
) -> Page:  # fmt: skip
    import pandas as pd

    table = table_to_draw(res, options)
    is_given = isinstance(res, pd.DataFrame) and is_table(res)
    told = table if is_given else with_sources(table, res, options)
    sheet = make_sheet(table, told, current_style(map(str, table["study"]), style), xlim, xscale)
    return Page(forest_page(sheet, Head(title=_title(title, sheet.alt), lang=lang)))


def _of_axes(axes: list[Axes], title: str | None, style: Style, lang: str, table: pd.DataFrame | None) -> Page:
    import pandas as pd

    if table is not None and not isinstance(table, pd.DataFrame):
        raise InputError(f"table is a {type(table).__name__}. Give the DataFrame that was drawn.")
    figure = axes[0].get_figure()
    if any(ax.get_figure() is not figure for ax in axes):
        raise OptionError("The Axes belong to several figures: make a page of each.")
    said = next(filter(None, map(alt_text, axes)), "")
    alt = said or title or "Figure"
    return Page(drawing_page(_drawing(axes[0], alt), said, table, style, Head(title=_title(title, alt), lang=lang)))


def _title(title: str | None, alt: str) -> str:
    return " ".join((title or "").split()) or alt.split(". ")[0].rstrip(".")


def _drawing(ax: Axes, alt: str) -> str:
    """Drawing of the figure as an element of SVG that says what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figure.svg"
        save(ax, file)
        drawing = file.read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"\s*<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    if "<title>" not in drawing:
        drawing = re.sub(r"(<svg [^>]*>)", lambda found: f"{found[1]}<title>{escape(alt)}</title>", drawing, count=1)
    drawing = re.sub(r' width="([\d.]+)pt" height="[\d.]+pt"', _widened, drawing, count=1)
    return drawing if drawing.startswith('<svg role="img"') else drawing.replace("<svg ", '<svg role="img" ', 1)


def _widened(size: re.Match[str]) -> str:
    """Width of a drawing on a screen; its height follows."""
    return f' width="{_LARGER * float(size[1]):.2f}pt"'


def _file(path: str | os.PathLike[str]) -> Path:
    """Where the page goes; other formats are written by `save`."""
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"path={os.fspath(path)!r} must end in .html; metaan.plot.save writes an Axes as a picture.")
    if not file.parent.is_dir():
        raise OptionError(f"path={os.fspath(path)!r}: there is no folder {os.fspath(file.parent)!r}.")
    return file
