"""Forest plots of several outcomes of the same studies, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from metaan.errors import OptionError
from metaan.models.categories_result import CategoriesResult
from metaan.plot.aligned import BODY, Key, aligned, is_bars, keys_of
from metaan.plot.axis import XLABEL, Axis, make_axis
from metaan.plot.canvas import new_axes, set_axis, write
from metaan.plot.categories_plot import PIECES, categories_table, in_pieces
from metaan.plot.columns import Block, Text, total_width
from metaan.plot.columns import place as columns
from metaan.plot.forest_alt import in_words
from metaan.plot.forest_options import TableOptions
from metaan.plot.forest_plot import draw_panel, table_to_draw
from metaan.plot.layout import Layout, over, panel, side_by_side
from metaan.plot.panel import describe, legend, table_of
from metaan.plot.pieces import category_names, draw_pieces, in_full, looks, write_percentages
from metaan.plot.style import Style, current_style
from metaan.plot.under import Words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["forests", "forests_table"]

# In multiples of the text size.
_PLOT: Final = 15.0  # width of each plot
_GAP: Final = 1.2
_UNDER: Final = 4.6  # from a plot of bars to its key
_BAR: Final = 0.66  # height of a bar, in rows
_BARS: Final = Axis(
    low=0.0, high=1.0, ticks=(0.0, 0.25, 0.5, 0.75, 1.0), factor=100.0, decimals=1, title="Share (%)", short="Share, %",
    null=None,
)  # fmt: skip


def forests_table(results: Mapping[str, Any], **options: Unpack[TableOptions]) -> dict[str, pd.DataFrame]:
    """Tables that `forests` draws: one forest table for each outcome, all with the same rows.

    Parameters
    ----------
    results : mapping of str to result or DataFrame
        Heading of each plot, and what `metaan.pool`, `metaan.glmm` ... returned, or a table of `forest_table`. What
        `metaan.categories` returned, or a table of `categories_table`, gives stacked bars; the first is a forest plot.
    **options
        Handed to `forest_table` for each result.

    Returns
    -------
    dict of str to pandas.DataFrame
        Studies in the order of the first outcome, then those that only later ones have; a study without an outcome
        has a row without numbers. Bars are the table of `categories_table`.

    Raises
    ------
    OptionError
        Fewer than two outcomes, bars in the first place, a table with subgroups, or options beside a table.

    Examples
    --------
    >>> import metaan
    >>> complete = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> response = metaan.effect_size("PLO", events=[20, 31], total=[44, 40], study=["Ames", "Clark"])
    >>> results = {"Complete response": metaan.pool(complete), "Objective response": metaan.pool(response)}
    >>> tables = metaan.plot.forests_table(results, footnote=False)
    >>> tables["Objective response"]["study"].tolist()[:4]
    ['Ames', 'Bo', 'Clark', 'Pooled rate (median study)']
    """
    if not isinstance(results, Mapping) or len(results) < 2:
        raise OptionError("results must be two outcomes or more: forests({'Complete response': a, 'Response': b}).")
    tables = {str(heading): _table(str(heading), res, options) for heading, res in results.items()}
    if is_bars(next(iter(tables.values()))):
        raise OptionError("The first of several plots names the studies: put a forest plot before the bars.")
    return aligned(tables)


def _table(heading: str, res: Any, options: TableOptions) -> pd.DataFrame:
    """Table of one plot."""
    import pandas as pd

    if isinstance(res, CategoriesResult):
        return categories_table(res, sort="given")
    if isinstance(res, pd.DataFrame) and is_bars(res):
        return table_of(res, categories_table, PIECES)
    table = table_to_draw(res, options)
    if not set(table["row"]) <= {*BODY, "statistics", "note"}:
        raise OptionError(f"{heading!r} has subgroups, which cannot stand side by side. Draw it with forest.")
    return table


def forests(
    results: Mapping[str, Any],
    *,
    style: str | Style | None = None,
    title: str | None = None,
    xlim: tuple[float, float] | None = None,
    xscale: str = "auto",
    **options: Unpack[TableOptions],
) -> npt.NDArray[np.object_]:
    """Forest plots of several outcomes of the same studies, side by side, the studies named once.

    Parameters
    ----------
    results : mapping of str to result or DataFrame
        Heading of each plot and what it shows: see `forests_table`.
    style : str or Style, optional
        See `forest`.
    title : str, optional
        Heading over the table.
    xlim : (float, float), optional
        Ends of every axis, rates as proportions; by default each axis has its own.
    xscale : {"auto", "linear", "log", "logit"}, default "auto"
        See `forest`.
    **options
        Handed to `forest_table` for each result: sort, interval, prediction, footnote, left, right ...

    Returns
    -------
    array of matplotlib.axes.Axes, shape (outcomes,)
        Write the figure with ``metaan.plot.save(axes[0], "forests.svg")``.

    Raises
    ------
    OptionError
        See `forests_table` and `forest`.

    See Also
    --------
    forest : One outcome.

    Notes
    -----
    The pooled rates are of each outcome by itself: studies that report one and not the other are in one and not in
    the other, so that differences between plots are not differences within studies.

    Examples
    --------
    >>> import metaan
    >>> complete = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> response = metaan.effect_size("PLO", events=[20, 31], total=[44, 40], study=["Ames", "Clark"])
    >>> results = {"Complete response": metaan.pool(complete), "Objective response": metaan.pool(response)}
    >>> axes = metaan.plot.forests(results, footnote=False)
    >>> axes.shape
    (2,)
    """
    tables = forests_table(results, **options)
    said = [str(text) for table in tables.values() for text in table["study"]]
    look = current_style([*said, title or "", *tables], style)
    axes = {name: _BARS if is_bars(table) else make_axis(table, xlim, xscale) for name, table in tables.items()}
    first = next(iter(tables))
    place: dict[Key, float] = {}
    layouts: list[Layout] = []
    for name, table in tables.items():
        label = str(table.attrs.get(XLABEL, axes[name].title))
        words = Words(
            title="",
            xlabel=label,
            heading=name,
            labels=name == first,
            favours=tuple(table.attrs.get("favours", ("", ""))),
        )
        if is_bars(table):
            layouts.append(_bars(table, layouts[0], words, place))
        else:
            layouts.append(panel(table, axes[name], look, words, plot=_PLOT))
            place = place or dict(zip(keys_of(table), layouts[0].rows.tolist(), strict=True))
    layouts = side_by_side(layouts, list(tables.values()), title or "")
    drawn = np.empty(len(layouts), dtype=object)
    drawn[:] = new_axes(layouts)
    for ax, (name, table), layout in zip(drawn, tables.items(), layouts, strict=True):
        if is_bars(table):
            _draw_bars(ax, table, layout, place)
        else:
            draw_panel(ax, table, axes[name], layout)
        describe(ax, f"{name}: {in_pieces(table) if is_bars(table) else in_words(table)}")
    return drawn


def _bars(table: pd.DataFrame, first: Layout, words: Words, place: Mapping[Key, float]) -> Layout:
    """Layout of stacked bars beside a forest plot: totals, bars, and the key under the axis."""
    style = first.style
    totals = table.drop_duplicates(["row", "study"])["total"]
    block = Block(heading=("Total",), columns=(tuple(f"{total:.0f}" for total in totals),))
    rows, bold = [place[key] for key in keys_of(table)], [key[0] == "pooled" for key in keys_of(table)]
    width = total_width([block], bold, style)
    gap = _GAP * style.size
    texts = (text for text in columns([block], -gap - width, "left", rows, bold, style) if isinstance(text, Text))
    plot = _PLOT * style.size
    heading = over(words.heading, plot, gap, style)
    return replace(
        first, texts=(*heading, *texts), lights=(), left=2 * gap + width, plot=plot, right=gap,
        below=(_UNDER + 1.35 * len(category_names(table))) * style.size, xlabel=words.xlabel,
        labelpad=0.4 * style.size, above=heading[0].y + 0.5 * style.size,
    )  # fmt: skip


def _draw_bars(ax: Axes, table: pd.DataFrame, layout: Layout, place: Mapping[Key, float]) -> None:
    """Draw stacked bars into an Axes that has its place."""
    style = layout.style
    set_axis(ax, _BARS, layout)
    write(ax, layout)
    heights = dict(zip(table.drop_duplicates(["row", "study"])["study"], keys_of(table), strict=True))
    y = np.array([place[heights[study]] for study in table["study"]])
    draw_pieces(ax, table, y, _BAR, style)
    write_percentages(ax, table, y, layout.plot, style)
    handles = [Patch(label=in_full(name), **fill) for name, fill in looks(category_names(table), style).items()]
    below = ScaledTranslation(0, -_UNDER * style.size / 72, ax.figure.dpi_scale_trans)
    legend(ax, style, handles).set_bbox_to_anchor((0, 0), transform=ax.transAxes + below)
