"""The drapery plot: p-value functions of the studies and of the pooled effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtri

from metaan.analysis.p_values import p_value_functions
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.axis import Axis
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.rows import settle
from metaan.plot.scales import axis_of, chosen, effect_name, key, label_of, scale_of, set_scale, value_of
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drapery", "drapery_table"]

Y: Final = Option("y", {"p": "p-values", "z": "p-values at even steps of the normal quantile"}, "p")
_COLUMNS: Final = ("line", "row", "study", "x", "p", "z", "scale")
_SHOWN: Final = 1.959963984540054  # standard errors about a study that the axis is to show
_TICKS: Final = {"p": (1.0, 0.8, 0.6, 0.4, 0.2), "z": (1.0, 0.5, 0.2, 0.1, 0.05, 0.01, 0.001, 1e-4)}
_HEIGHT: Final = 34.0
_PITCH: Final = 1.15  # from tick to tick at least, in multiples of the text size
_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.2, 1, 1.2)))


def drapery_table(
    res: PoolResult, *, levels: Sequence[float] | None = None, prediction: bool | None = None
) -> pd.DataFrame:
    """Table that a drapery plot draws: p-value functions, point by point.

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto` or `robust`, on either scale.
    levels : sequence of float, default (0.05, 0.1)
        P-values that are marked, in (0, 1).
    prediction : bool, default True
        Give the function of a new study, where the result has a prediction interval.

    Returns
    -------
    pandas.DataFrame
        Columns line (number of the curve), row ("study", "pooled", "prediction"), study, x (hypothetical effect: rates
        as proportions), p, z (normal quantile of p) and scale ("rate", "ratio", "amount", "effect"). ``attrs`` hold the
        levels and the label of the axis.

    Raises
    ------
    InputError
        `res` is no result of a pooled effect.
    OptionError
        A level that is no probability; profile and likelihood-ratio intervals; a result without a standard error.

    Notes
    -----
    Studies have normal p-values on the analysis scale, the pooled effect those of its own test. Each function has a
    point at every level: the limits of the confidence interval there.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.drapery_table(metaan.pool(eff))
    >>> table.query("row == 'pooled' and p == 0.05")["x"].round(3).tolist()
    [0.029, 0.476]
    """
    asked = (0.05, 0.1) if levels is None else tuple(levels)
    table = p_value_functions(res, levels=asked)
    if prediction is False:
        table = table[table["row"] != "prediction"].reset_index(drop=True)
    table = table.assign(scale=scale_of(res.effects))
    test = "normal" if math.isinf(res.df) else f"t, {res.df:.4g} df"
    table.attrs = {"levels": [float(level) for level in asked], "test": test}
    table.attrs |= label_of(res.effects)
    return table


def drapery(
    res: PoolResult | pd.DataFrame,
    *,
    y: str = "p",
    levels: Sequence[float] | None = None,
    prediction: bool | None = None,
    label: Sequence[str] = (),
    xlim: tuple[float, float] | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Drapery plot: the p-value of every hypothetical effect, by each study and by all of them.

    Parameters
    ----------
    res : PoolResult or DataFrame
        A pooled result, or a table from `drapery_table`.
    y : {"p", "z"}, default "p"
        Even steps of the p-value, or of its normal quantile, which shows small p-values.
    levels : sequence of float, default (0.05, 0.1)
        P-values that are marked. Only for a result.
    prediction : bool, default True
        Draw the function of a new study, where there is one. Only for a result.
    label : sequence of str, default ()
        Studies to draw in colour and to name in the legend.
    xlim : (float, float), optional
        Ends of the axis of effects, rates as proportions.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        No result of a pooled effect and no table.
    OptionError
        As `drapery_table`; an unknown `y` or study.

    See Also
    --------
    drapery_table : The table that is drawn.

    Notes
    -----
    Where a curve lies above a dashed line, the effect is inside the interval of that level: at 0.05 the width of the
    thick curve is the 95 % confidence interval, that of the shaded one the 95 % prediction interval. Its top is the
    estimate. All intervals are seen at once, not the one of a chosen level.

    References
    ----------
    Rücker G, Schwarzer G (2021). Beyond the forest plot: the drapery plot. Res Synth Methods 12:13-19.
    doi:10.1002/jrsm.1410

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.drapery(metaan.pool(eff), label=["Ames"])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rate (%)', 'p value')
    """
    Y.check(y)
    table = table_of(res, drapery_table, _COLUMNS, {"levels": levels, "prediction": prediction})
    named = chosen(label, table.loc[table["row"] == "study", "study"])
    look = current_style(named, style)
    axis = _axis(table, xlim)
    ax = panel(look, ax, height=_HEIGHT)
    handles = _curves(ax, table, y, named, look)
    _frame(ax, table, axis, y, look)
    names = {"xlabel": effect_name(table, axis), "ylabel": "p value" if y == "p" else "p value (even steps of z)"}
    finish(ax, look, **names)
    key(ax, look, handles)
    _ticks(ax, table, y, look)
    finish(ax, look, **names)
    return describe(ax, _words(table, axis))


def _axis(table: pd.DataFrame, xlim: tuple[float, float] | None) -> Axis:
    """Axis that shows the estimates with about a 95 % interval each."""
    inner = table[table["z"] <= _SHOWN * (1 + 1e-9)]
    ends = inner.groupby("line", sort=False)["x"].agg(["min", "max"])
    top = table[table["z"] == table["z"].min()]["x"].to_numpy(dtype=np.float64)
    low, high = (ends[name].to_numpy(dtype=np.float64) for name in ("min", "max"))
    return axis_of(str(table["scale"].iloc[0]), top, low, high, xlim)


def _up(part: pd.DataFrame, y: str) -> FloatArray:
    """Heights: p, or the quantile downwards."""
    return part["p"].to_numpy(dtype=np.float64) if y == "p" else -part["z"].to_numpy(dtype=np.float64)


def _curves(ax: Axes, table: pd.DataFrame, y: str, named: Sequence[str], style: Style) -> list[Artist]:
    """Curves of all rows, and what the legend says of them."""
    studies = [part for _, part in table[table["row"] == "study"].groupby("line", sort=False)]
    lines = [np.column_stack([part["x"], _up(part, y)]) for part in studies]
    thin: dict[str, Any] = {"lw": style.line(0.07), "alpha": float(np.clip(6 / np.sqrt(max(len(lines), 1)), 0.45, 0.9))}
    ax.add_collection(LineCollection(lines, colors=[style.muted], label="_studies", zorder=2, **thin))
    handles: list[Artist] = [Line2D([], [], color=style.muted, lw=style.line(0.1), label="Studies")]
    own: list[Artist] = []
    for i, name in enumerate(named):
        for part in (part for part in studies if part["study"].iloc[0] == name):
            colour, dash = style.palette[(i + 2) % len(style.palette)], _DASHES[i % len(_DASHES)]
            kind: dict[str, Any] = {"color": colour, "ls": dash, "lw": style.line(0.16)}
            ax.plot(part["x"], _up(part, y), label="_named", zorder=4, **kind)
            own.append(Line2D([], [], label=name, **kind))
    new = table[table["row"] == "prediction"]
    if len(new):
        floor = 0.0 if y == "p" else -float(table["z"].max())
        ax.fill_between(
            new["x"], _up(new, y), floor, color=style.prediction, alpha=0.18, lw=0, label="_range", zorder=1
        )
        ax.plot(
            new["x"], _up(new, y), color=style.prediction, lw=style.line(0.18), ls="--", label="_prediction", zorder=3
        )
        handles.append(
            Patch(
                facecolor=to_rgba(style.prediction, 0.18), edgecolor=style.prediction, ls="--", lw=style.line(0.12),
                label="New study",
            )
        )  # fmt: skip
    pooled = table[table["row"] == "pooled"]
    if len(pooled):
        ax.plot(pooled["x"], _up(pooled, y), color=style.pooled, lw=style.line(0.3), label="_pooled", zorder=5)
        test = f" ({table.attrs['test']})" if "test" in table.attrs else ""
        handles.insert(1, Line2D([], [], color=style.pooled, lw=style.line(0.3), label=f"Pooled{test}"))
    return [*handles, *own]


def _frame(ax: Axes, table: pd.DataFrame, axis: Axis, y: str, style: Style) -> None:
    """Axes, the levels and the null."""
    set_scale(ax, axis, "x")
    floor, top = _ends(table, y)
    ax.set_ylim(floor, top + 0.02 * (top - floor))
    for level in table.attrs.get("levels", ()):
        ax.hlines(
            _place(level, y), axis.low, axis.high, colors=[style.ink], linestyles="dashed", lw=style.line(0.07),
            label="_level", zorder=6,
        )  # fmt: skip
    if axis.null is not None and axis.low < axis.null < axis.high:
        ax.vlines(axis.null, floor, top, colors=[style.ink], lw=style.line(0.08), label="_null", zorder=1.5)


def _ticks(ax: Axes, table: pd.DataFrame, y: str, style: Style) -> None:
    """Ticks at the levels, and at even steps where these leave room."""
    floor, top = _ends(table, y)
    pitch = _PITCH * style.size * (top - floor) / settle(ax)[1]
    ticks: list[float] = []
    for p in (_TICKS[y][0], *table.attrs.get("levels", ()), *_TICKS[y]):
        at = _place(p, y)
        if at >= floor and all(abs(at - _place(other, y)) >= pitch for other in ticks):
            ticks.append(p)
    ax.set_yticks([_place(p, y) for p in ticks], labels=[f"{p:g}" for p in ticks])


def _ends(table: pd.DataFrame, y: str) -> tuple[float, float]:
    return (0.0, 1.0) if y == "p" else (-float(table["z"].max()), 0.0)


def _place(p: float, y: str) -> float:
    """Height of a p-value."""
    return float(p if y == "p" else ndtri(p / 2))


def _words(table: pd.DataFrame, axis: Axis) -> str:
    """The figure in words."""
    k = table.loc[table["row"] == "study", "line"].nunique()
    said = [f"Drapery plot of {plural(k, 'study')}: the p-value of each hypothetical value of {_what(table, axis)}."]
    for row, text in (("pooled", "The pooled effect is"), ("prediction", "For a new study:")):
        part = table[table["row"] == row]
        inner = part[part["z"] <= _SHOWN * (1 + 1e-9)]["x"]
        if len(part):
            top = float(part["x"].to_numpy()[part["z"].argmin()])
            said.append(f"{text} {value_of(axis, top, float(inner.min()), float(inner.max()))}.")
    levels = ", ".join(f"{level:g}" for level in table.attrs.get("levels", ()))
    return " ".join([*said, *([f"Dashed lines mark p = {levels}."] if levels else [])])


def _what(table: pd.DataFrame, axis: Axis) -> str:
    return effect_name(table, axis).lower().removesuffix(" (%)")
