"""The Doi plot: effects against the folded normal quantiles of their weighted ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from metaan.analysis.lfk import lfk_index
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.checked import ANY, checked, whether
from metaan.plot.effect_axis import axis_attrs, of_attrs, xlabel_of
from metaan.plot.measure import wrap
from metaan.plot.panel import describe, finish, legend, panel, table_of
from metaan.plot.points import name_points, under
from metaan.plot.style import Style, current_style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["doi", "doi_table"]

_COLUMNS: Final = ("study", "x", "y")
_HEIGHT: Final = 24.0  # of the figure without its legend, in multiples of the text size
_MANY: Final = 60
_WIDTH: Final = 22.0  # of what is written under the plot, in multiples of the text size
_CAVEAT: Final = "An index, no test: false alarms depend on the number and size of the studies and on heterogeneity."


def doi_table(res: PoolResult) -> pd.DataFrame:
    """Table that a Doi plot draws: effects and absolute normal quantiles, with the LFK index.

    Parameters
    ----------
    res : PoolResult
        See `metaan.lfk_index`.

    Returns
    -------
    pandas.DataFrame
        Columns study, x (effect, analysis scale), y (absolute normal quantile of its weighted rank) and z (quantile).
        In ``attrs``: lfk (the index), says, tip (effect at the tip), measure and notes.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.lfk_index`.

    See Also
    --------
    metaan.plot.doi : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.4, 0.2, 0.9], [0.01, 0.04, 0.02, 0.2])
    >>> metaan.plot.doi_table(metaan.pool(eff))["y"].round(2).tolist()
    [0.59, 1.3, 0.51, 2.2]
    """
    made = lfk_index(res)
    table = made.studies()
    notes = [str(note) for note in made.notes]
    table.attrs = axis_attrs(res.effects) | {"lfk": made.index, "says": made.says, "tip": made.tip, "notes": notes}
    return table


def doi(
    res: PoolResult | pd.DataFrame,
    *,
    label: bool = False,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Doi plot with the LFK index, and with what the index is not.

    Parameters
    ----------
    res : PoolResult or DataFrame
        A result (see `metaan.lfk_index`), or a table from `doi_table`.
    label : bool, default False
        Name the studies, those farthest from the tip first; a label without room is left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    matplotlib.axes.Axes
        Its x axis is the analysis scale (logits, log ratios) with ticks in rates or ratios.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.lfk_index`.

    See Also
    --------
    doi_table : The table that is drawn.
    metaan.small_study_effects : Tests of small-study effects.

    Notes
    -----
    The tip is the study nearest to the weighted median; the limbs go down to the smallest and the largest effect. With
    limbs of one length and as many studies on either side the LFK index is near 0. The figure says under its axis that
    the index is no test (Schwarzer et al. 2024).

    References
    ----------
    Furuya-Kanamori L, Barendregt JJ, Doi SAR (2018). Int J Evid Based Healthc 16:195-203.
    doi:10.1097/XEB.0000000000000141
    Schwarzer G, Rücker G, Semaca C (2024). Res Synth Methods 15:603-615. doi:10.1002/jrsm.1714

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.4, 0.2, 0.9], [0.01, 0.04, 0.02, 0.2])
    >>> ax = metaan.plot.doi(metaan.pool(eff))
    >>> ax.get_ylabel(), ax.get_title(loc="left")
    ('|z| of the weighted rank', 'LFK index 3.87: major asymmetry')
    """
    whether("label", label)
    table = checked(
        table_of(res, doi_table, _COLUMNS), {"x": ANY, "y": (0.0, ANY[1])}, free=("z",), attrs=("lfk", "tip"),
    )  # fmt: skip
    look = current_style([*map(str, table["study"]), xlabel_of(table)], style)
    height = _HEIGHT if ax is None else None
    ax = panel(look, ax, height=_HEIGHT)
    _draw(ax, table, look)
    shown = of_attrs(table.attrs)
    places, texts = shown.ticks(*ax.get_xlim())
    ax.set_xticks(places, labels=texts)
    told = {"lfk", "says"} <= table.attrs.keys()
    title = f"LFK index {_number(table.attrs['lfk'])}: {table.attrs['says']}" if told else ""
    finish(
        ax,
        look,
        xlabel="\n".join(wrap(xlabel_of(table), _WIDTH * look.size, look)),
        ylabel="|z| of the weighted rank",
        title=title,
    )
    _key(ax, look)
    under(ax, look, height)
    if label:
        x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
        name_points(ax, x, y, table["study"].astype(str).tolist(), y, look)
    words = f"Doi plot of {plural(len(table), 'study')}. {xlabel_of(table)} from {shown.text(table['x'].min())} to"
    tip = f", tip at {shown.text(table.attrs['tip'])}" if "tip" in table.attrs else ""
    words = f"{words} {shown.text(table['x'].max())}{tip}. {title + '. ' if title else ''}{_CAVEAT}"
    return describe(ax, words)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _draw(ax: Axes, table: pd.DataFrame, style: Style) -> None:
    """Limbs from the smallest effect over the tip to the largest, and the studies on them."""
    limbs = table.sort_values(["x", "z"] if "z" in table else "x", kind="stable")
    x, y = (limbs[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    ax.plot(x, y, color=style.muted, lw=style.line(0.09), zorder=2, label="_limbs")
    size = style.size * (0.62 if len(table) < _MANY else 0.45)
    edge = ax.get_facecolor()
    ax.scatter(
        table["x"], table["y"], s=size**2, color=[style.square], edgecolors=[edge], linewidths=style.line(0.06),
        zorder=3, clip_on=False, label="_points",
    )  # fmt: skip
    tip = float(table.attrs.get("tip", x[y.argmin()]))
    ax.axvline(tip, color=style.pooled, lw=style.line(0.12), ls=(0, (5, 2)), zorder=1, label="_tip")
    room = 0.06 * float(np.ptp(x)) or 0.5
    ax.set_xlim(float(x.min()) - room, float(x.max()) + room)
    ax.set_ylim(1.06 * float(y.max()) or 1.0, 0.0)
    ax.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1.06 * y.max()])


def _key(ax: Axes, style: Style) -> None:
    """What the line is, and the caveat."""
    line: dict[str, Any] = {"color": style.pooled, "lw": style.line(0.12), "ls": (0, (5, 2))}
    handles = [Line2D([], [], label="Tip: study nearest to the weighted median", **line)]
    handles.append(Line2D([], [], ls="", label="\n".join(wrap(_CAVEAT, _WIDTH * style.size, style, small=True))))
    legend(ax, style, handles)
