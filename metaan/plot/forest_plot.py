"""The forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from metaan.errors import OptionError
from metaan.plot import marks
from metaan.plot.axis import XLABEL, Axis, make_axis
from metaan.plot.canvas import new_axes, room, set_axis, take, write, write_lights
from metaan.plot.forest_alt import in_words
from metaan.plot.forest_data import check_table, forest_table, is_table
from metaan.plot.forest_options import TableOptions
from metaan.plot.layout import Layout, arrange, fit
from metaan.plot.panel import describe
from metaan.plot.style import Style, current_style
from metaan.plot.under import Words
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw_panel", "forest", "table_to_draw"]


def forest(
    res: Any,
    *,
    ax: Axes | None = None,
    xlim: tuple[float, float] | None = None,
    xscale: str = "auto",
    title: str | None = None,
    xlabel: str | None = None,
    style: str | Style | None = None,
    **options: Unpack[TableOptions],
) -> Axes:
    """Forest plot: counts, rates with intervals, weights, pooled rate, prediction interval, heterogeneity.

    Parameters
    ----------
    res : result, dict of results, or DataFrame
        What `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `subgroups`, `multilevel`, `bayes`,
        `leave_one_out`, `cumulative` ... returned; several models of the same studies by name; or a table from
        `forest_table`, perhaps edited: the figure shows that table and nothing else.
    ax : matplotlib.axes.Axes, optional
        Where to draw: the plot and its text share the room of this Axes, with smaller text if it must be. By
        default a new figure that is as large as its text needs.
    xlim : (float, float), optional
        Ends of the axis, rates as proportions. Intervals that go further are cut and get an arrow. By default
        nothing is cut: 0 to 100 %, or 0 to a round number where no interval reaches beyond 50 %.
    xscale : {"auto", "linear", "log", "logit"}, default "auto"
        Scale of the axis: log for ratios, linear for all else. On a log or logit axis limits of 0 or 100 % are cut.
    title : str, optional
        Heading over the table.
    xlabel : str, optional
        Label of the axis. By default what was counted, where rows of `metaan.load` were pooled ("Complete
        response (% of lesions)"), else the name of the measure.
    style : {"default", "jama", "bmj", "lancet", "revman", "minimal", "print"} or Style, optional
        Colours, shades, columns and punctuation.
    **options
        Handed to `forest_table`, which describes them: ``sort``, ``group``, ``interval``, ``prediction`` (bar, band or
        density), ``footnote``, ``blup``, ``left``, ``right``, ``rob``, ``rob_levels``, ``favours``, ``reference``,
        ``bands``. Not beside a table.

    Returns
    -------
    matplotlib.axes.Axes
        Its x axis is the rate (as a proportion) or the effect. Write it with `metaan.plot.save`.

    Raises
    ------
    OptionError
        Unknown options, `xlim` that is no range, an `ax` too small to hold the plot.

    See Also
    --------
    forest_table : The table that is drawn.
    forests : Several outcomes side by side.
    to_html : The same as a page that sorts and filters.
    save : Write a figure with fonts embedded.

    Notes
    -----
    The areas of the squares are in proportion to the weights; the ends of the diamond are the confidence
    limits of the pooled rate, and the dashed line runs through its middle. Hollow marks are shrunken effects.
    Names of studies and subgroups longer than about 45 characters are cut, an ellipsis in place of their middle, and
    still differ; the table and the alternative text have them whole.
    Text is 8 point in an Arial-like face, as journals ask, unless rcParams or ``seaborn.set_theme`` say otherwise; no
    rcParams are changed.
    Colours are seaborn's "colorblind" but for a named style.

    References
    ----------
    Lewis S, Clarke M (2001). Forest plots: trying to see the wood and the trees. BMJ 322:1479-1480.
    doi:10.1136/bmj.322.7300.1479

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.forest(metaan.pool(eff), sort="estimate", xlabel="Complete response (%)")
    >>> ax.get_xlabel()
    'Complete response (%)'
    """
    table = table_to_draw(res, options)
    axis = make_axis(table, xlim, xscale)
    look = current_style([*map(str, table["study"]), title or "", xlabel or ""], style)
    label = str(table.attrs.get(XLABEL, axis.title)) if xlabel is None else xlabel
    words = Words(title=title or "", xlabel=label, favours=tuple(table.attrs.get("favours", ("", ""))))
    if ax is None:
        layout = arrange(table, axis, look, words)
        (ax,) = new_axes([layout])
    else:
        box = room(ax)
        layout = fit(table, axis, look, words, (box.width, box.height))
        take(ax, layout, box)
    draw_panel(ax, table, axis, layout)
    return describe(ax, in_words(table))


def table_to_draw(res: Any, options: Mapping[str, Any]) -> pd.DataFrame:
    """Table to draw: that of a result, or the one that was given."""
    import pandas as pd

    if not isinstance(res, pd.DataFrame) or not is_table(res):
        return forest_table(res, **options)
    if options:
        raise OptionError(f"{', '.join(options)} choose what a table holds: pass them to forest_table.")
    return check_table(res)


def draw_panel(ax: Axes, table: pd.DataFrame, axis: Axis, layout: Layout) -> None:
    """Draw one plot with its columns into an Axes that has its place."""
    set_axis(ax, axis, layout)
    write(ax, layout)
    write_lights(ax, layout, table.attrs.get("rob_levels", {}))
    _draw_bands(ax, table, axis, layout)
    _draw_studies(ax, table, axis, layout)
    _draw_summaries(ax, table, axis, layout)


def _numbers(table: pd.DataFrame, names: Sequence[str]) -> FloatArray:
    return table[list(names)].to_numpy(dtype=np.float64).T


def _draw_bands(ax: Axes, table: pd.DataFrame, axis: Axis, layout: Layout) -> None:
    """Draw what lies behind the studies: bands, and the line of no effect."""
    style = layout.style
    for low, high, _ in table.attrs.get("bands", ()):
        low, high = max(float(low), axis.low), min(float(high), axis.high)
        if low < high:
            marks.draw_band(ax, low, high, (layout.rule, layout.bottom), style.muted, "_threshold band")
    if table.attrs.get("prediction") == "band":
        overall = _overall(table, "prediction")
        for low, high in _numbers(table[overall], ["low", "high"]).T:
            low, high = max(low, axis.low), min(high, axis.high)
            if low < high:
                marks.draw_band(ax, low, high, (layout.rule, layout.bottom), style.prediction, "_prediction band")
    if axis.null is not None and axis.low < axis.null < axis.high:
        marks.draw_reference(ax, axis.null, layout.rule, layout.bottom, style, dashed=False)


def _draw_studies(ax: Axes, table: pd.DataFrame, axis: Axis, layout: Layout) -> None:
    """Draw squares with their intervals, and shrunken estimates where the table has them."""
    study = table["row"].to_numpy(dtype=str) == "study"
    estimate, low, high, weight = _numbers(table[study], ["estimate", "low", "high", "weight"])
    y = layout.rows[study]
    marked = np.isfinite(low) & np.isfinite(high)
    marks.draw_intervals(ax, low[marked], high[marked], y[marked], axis, layout.style)
    marks.draw_squares(ax, estimate, y, weight, axis, layout.style)
    if "blup" in table.columns:
        known = [name for name in ("blup_low", "blup_high") if name in table.columns]
        blup, *limits = _numbers(table[study], ["blup", *known])
        ends = limits if len(limits) == 2 else [np.full(blup.size, np.nan)] * 2
        marks.draw_blups(ax, blup, ends[0], ends[1], y, axis, layout.style)


def _draw_summaries(ax: Axes, table: pd.DataFrame, axis: Axis, layout: Layout) -> None:
    """Draw diamonds, prediction intervals, the line through the pooled estimate, and arrows where anything is cut."""
    style, kind, y = layout.style, table["row"].to_numpy(dtype=str), layout.rows
    estimate, low, high = _numbers(table, ["estimate", "low", "high"])
    marked = np.isfinite(low) & np.isfinite(high)
    marks.draw_arrows(ax, low[marked], high[marked], y[marked], axis, style)
    through = set(np.flatnonzero(_overall(table, "pooled"))[:1])  # of several models, the first
    for i in np.flatnonzero((kind == "pooled") & marked):
        marks.draw_diamond(ax, estimate[i], low[i], high[i], y[i], axis, style)
        if i in through and axis.low < estimate[i] < axis.high:
            marks.draw_reference(ax, estimate[i], layout.rule, y[i], style)
    for i in np.flatnonzero((kind == "prediction") & marked):
        marks.draw_prediction(ax, low[i], high[i], y[i], axis, style)
    if "density" in table.attrs:
        x, density = (np.asarray(values, dtype=np.float64) for values in table.attrs["density"])
        for i in np.flatnonzero(_overall(table, "prediction"))[:1]:
            marks.draw_density(ax, x, density, y[i], axis, style)


def _overall(table: pd.DataFrame, kind: str) -> npt.NDArray[np.bool_]:
    """Rows of a kind that belong to no subgroup."""
    mine: npt.NDArray[np.bool_] = table["row"].to_numpy(dtype=str) == kind
    if "group" in table.columns:
        mine &= table["group"].fillna("").to_numpy(dtype=str) == ""
    return mine
