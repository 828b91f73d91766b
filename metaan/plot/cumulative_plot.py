"""Cumulative meta-analysis: how the pooled effect came about, study by study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.analysis.sensitivity import cumulative as refits
from metaan.errors import InputError, OptionError
from metaan.models.design import group_values, rows_of
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.names import COLUMNS
from metaan.plot.axis import Axis
from metaan.plot.measure import text_width
from metaan.plot.panel import describe, finish, label_points, table_of
from metaan.plot.rows import settle
from metaan.plot.scales import (
    axis_of,
    chosen,
    effect_name,
    even_ticks,
    key,
    label_of,
    panels,
    scale_of,
    set_scale,
    value_of,
)
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cumulative", "cumulative_table"]

X: Final = Option("x", {"order": "what the studies are sorted by", "k": "the number of studies"}, "order")
BELOW: Final = Option(
    "below",
    {
        "tau2": "between-study variance",
        "tau": "between-study standard deviation",
        "I2": "share of the variance between studies",
        "pi": "prediction interval",
    },
    "tau2",
)
_NEEDED: Final = ("study", "estimate", "ci_low", "ci_high", "k", "order", "scale")
_HEIGHT: Final = (26.0, 38.0)
_SHARES: Final = (1.7, 1.0)
_LIMITS: Final = {"ci": ("ci_low", "ci_high"), "pi": ("pi_low", "pi_high")}
_POINTS: Final = 25  # steps up to which each has a point
_SLIGHT: Final = 1e-9  # beyond an axis, in its lengths
_SLOT: Final = 1.25  # room of an upright name, in multiples of the text size
_LONGEST: Final = 14.0
_PLOT: Final = 26.0  # width of the plot in a new figure, about


def cumulative_table(
    res: PoolResult, *, order: Any = None, positions: Sequence[int] | None = None, ascending: bool | None = None
) -> pd.DataFrame:
    """Table that a cumulative plot draws: the result after each study.

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel` or `peto`, on either scale.
    order : str or sequence of k values, optional
        What the studies are sorted by: a column of the data behind the effects, or a value for each study.
    positions : sequence of k int, optional
        Instead of `order`: which study comes first, second ...
    ascending : bool, default True
        Smallest value of `order` first.

    Returns
    -------
    pandas.DataFrame
        The columns of `metaan.cumulative`, on the display scale (rates as proportions), and order (the value of the
        study added, where `order` was given; else its number) and scale ("rate", "ratio", "amount", "effect").

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.cumulative`.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.cumulative_table(metaan.pool(eff), order=[2004, 1999, 2011])
    >>> table[["study", "order", "k"]].values.tolist()
    [['Bo', 1999, 1], ['Ames', 2004, 2], ['Clark', 2011, 3]]
    """
    up = True if ascending is None else ascending
    table = refits(res.back() if isinstance(res, PoolResult) else res, order, positions=positions, ascending=up)
    eff = res.effects
    table["order"] = table["k"]
    if order is not None:
        given = rows_of(eff, "cumulative")[order] if isinstance(order, str) else order
        values = group_values(eff, given, "order")
        place = sorted(range(res.k), key=lambda i: values[i], reverse=not up)
        table["order"] = [values[i] for i in place]
    table["scale"] = scale_of(eff)
    table.attrs = {"level": res.spec.level, "notes": [str(note) for note in table.attrs["notes"]]}
    if order is not None:
        table.attrs["order"] = order if isinstance(order, str) else _called(values)
    table.attrs |= label_of(eff)
    return table


def cumulative(
    res: PoolResult | pd.DataFrame,
    *,
    order: Any = None,
    positions: Sequence[int] | None = None,
    ascending: bool | None = None,
    x: str | None = None,
    below: str | None = None,
    label: Sequence[str] = (),
    ylim: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    style: str | Style | None = None,
) -> Axes | npt.NDArray[np.object_]:
    """Cumulative meta-analysis: the pooled effect with its interval as studies were added.

    Parameters
    ----------
    res : PoolResult or DataFrame
        A pooled result, or a table from `cumulative_table`.
    order : str or sequence of k values, optional
        What the studies are sorted by, such as ``"year"``. Only for a result.
    positions : sequence of k int, optional
        Instead of `order`: which study comes first, second ... Only for a result.
    ascending : bool, default True
        Smallest value of `order` first. Only for a result.
    x : {"order", "k"}, optional
        What the x axis shows: the values of `order` (default where they are numbers that ascend), or the number of
        studies, each step named where there is room.
    below : {"tau2", "tau", "I2", "pi"}, optional
        A second panel with the heterogeneity, or with the prediction interval.
    label : sequence of str, default ()
        Studies to name by the upper limit to which they led, where there is room.
    ylim : (float, float), optional
        Ends of the axis of effects, rates as proportions. By default intervals that reach far beyond the others are
        cut, which is marked.
    ax : matplotlib.axes.Axes, or two with `below`, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    matplotlib.axes.Axes, or an array of two with `below`

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.cumulative`; ``x="order"`` for values that are no numbers in ascending order; a `below` that the
        results do not have.

    See Also
    --------
    cumulative_table : The table that is drawn.
    metaan.cumulative : The numbers.

    Notes
    -----
    Studies with the same value of `order` come in together: the step at a year is the result of all studies up to and
    including it. The dashed line is the result of all. The intervals are those of single looks: they make no allowance
    for having been looked at after every study.

    References
    ----------
    Lau J et al. (1992). N Engl J Med 327:248-254. doi:10.1056/NEJM199207233270406

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> axes = metaan.plot.cumulative(metaan.pool(eff), order=[2004, 1999, 2011], below="tau2")
    >>> [ax.get_ylabel() for ax in axes]
    ['Rate (%)', 'τ²']
    """
    options = {"order": order, "positions": positions, "ascending": ascending}
    table = table_of(res, cumulative_table, _NEEDED, options)
    if not np.isfinite(table["estimate"].to_numpy(dtype=np.float64)).any():
        raise InputError("No row has a finite estimate: there is nothing to draw. See metaan.cumulative(res).")
    by = _by(table, x)
    if below is not None:
        _check_below(table, BELOW.check(below))
    named = chosen(label, table["study"])
    look = current_style(map(str, table["study"]), style)
    n = 1 if below is None else 2
    axes = panels(look, ax, n, height=_HEIGHT[n - 1] + _taller(table, by, look), rows=True, ratios=_SHARES[:n])
    steps = _steps(table, by)
    axis = _axis(table, "ci", ylim)
    _band(axes[0], steps, by, axis, "ci", look)
    where, drop = _across(axes, table, by, look)
    finish(axes[0], look, xlabel="" if n == 2 else where, ylabel=effect_name(table, axis))
    if below is not None:
        _second(axes[1], table, steps, by, below, look)
        finish(axes[1], look, xlabel=where, ylabel=_name(table, axis, below))
        axes[0].tick_params(labelbottom=False)
    key(axes[-1], look, _handles(table, below, look), drop=drop)
    if named:
        _labels(axes[0], table, named, (by, axis), look)
    for one in axes:
        describe(one, _words(table, axis, by))
    return axes[0] if below is None else axes


def _called(values: Sequence[Any]) -> str:
    """Name of values that were given without one."""
    years = all(isinstance(value, (int, np.integer)) and 1900 <= value <= 2100 for value in values)
    return "year" if years else "order"


def _by(table: pd.DataFrame, x: str | None) -> str:
    """What the x axis shows."""
    import pandas as pd

    numeric = pd.api.types.is_numeric_dtype(table["order"]) and not pd.api.types.is_bool_dtype(table["order"])
    values = table["order"].to_numpy()
    fit = bool(
        numeric and np.isfinite(values.astype(np.float64)).all() and (np.diff(values.astype(np.float64)) >= 0).all()
    )
    if x is None:
        return "order" if fit and "order" in table.attrs else "k"
    if X.check(x) == "order" and not fit:
        raise OptionError("x='order' needs numbers in ascending order, such as years. Use x='k'.")
    return x


def _check_below(table: pd.DataFrame, below: str) -> None:
    needed = _LIMITS["pi"] if below == "pi" else (below,)
    if not set(needed) <= set(table.columns) or not np.isfinite(table[list(needed)].to_numpy(dtype=np.float64)).any():
        raise OptionError(f"below={below!r}: these results have no {BELOW.choices[below]}. Leave it out.")


def _axis(table: pd.DataFrame, kind: str, limits: tuple[float, float] | None) -> Axis:
    estimate, low, high = (table[name].to_numpy(dtype=np.float64) for name in ("estimate", *_LIMITS[kind]))
    return axis_of(str(table["scale"].iloc[0]), estimate, low, high, limits, tight=True)


def _steps(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rows that are drawn: of studies that come in together the last."""
    return table.drop_duplicates(by, keep="last") if by == "order" else table


def _places(steps: pd.DataFrame, by: str) -> FloatArray:
    """Where each step begins, and where the last one ends."""
    x = steps[by].to_numpy(dtype=np.float64)
    if by == "k":
        return np.append(x, x[-1] + 1) - 0.5
    return np.append(x, x[-1] + max(0.04 * float(x[-1] - x[0]), 0.5))


def _held(values: FloatArray) -> FloatArray:
    """Values of steps, the last one held to its end."""
    return np.append(values, values[-1])


def _band(ax: Axes, steps: pd.DataFrame, by: str, axis: Axis, kind: str, style: Style) -> None:
    """Estimate as steps with the band of its interval, and the last estimate as a line."""
    x = _places(steps, by)
    estimate, low, high = (steps[name].to_numpy(dtype=np.float64) for name in ("estimate", *_LIMITS[kind]))
    colour = style.pooled if kind == "ci" else style.prediction
    band = np.clip(low, axis.low, axis.high), np.clip(high, axis.low, axis.high)
    ends = _held(band[0]), _held(band[1])
    ax.fill_between(x, ends[0], ends[1], step="post", color=colour, alpha=0.25, lw=0, label="_band", zorder=1)
    ax.step(x, _held(estimate), where="post", color=style.pooled, lw=style.line(0.2), label="_estimate", zorder=3)
    if len(steps) <= _POINTS:
        at = steps[by].to_numpy(dtype=np.float64)
        ax.plot(
            at, estimate, ls="none", marker="o", ms=0.45 * style.size, color=style.pooled, label="_points", zorder=4,
            clip_on=False,
        )  # fmt: skip
    middle = (x[:-1] + x[1:]) / 2
    for inside, values, edge, mark in ((band[0], low, axis.low, "v"), (band[1], high, axis.high, "^")):
        beyond = np.abs(inside - values) > _SLIGHT * (axis.high - axis.low)
        if beyond.any():
            ax.plot(
                middle[beyond], np.full(int(beyond.sum()), edge), ls="none", marker=mark, ms=0.5 * style.size,
                color=colour, clip_on=False, label="_cut", zorder=5,
            )  # fmt: skip
    set_scale(ax, axis, "y")
    ax.set_xlim(x[0], x[-1])
    final = estimate[np.isfinite(estimate)][-1]
    ax.axhline(final, color=style.ink, lw=style.line(0.09), ls="--", label="_final", zorder=2)
    if axis.null is not None and axis.low < axis.null < axis.high:
        ax.axhline(axis.null, color=style.muted, lw=style.line(0.08), label="_null", zorder=0.5)


def _second(ax: Axes, table: pd.DataFrame, steps: pd.DataFrame, by: str, below: str, style: Style) -> None:
    """Panel of the heterogeneity, or of the prediction interval."""
    if below == "pi":
        _band(ax, steps, by, _axis(table, "pi", None), "pi", style)
        return
    value = steps[below].to_numpy(dtype=np.float64)
    x = _places(steps, by)
    ax.step(x, _held(value), where="post", color=style.ink, lw=style.line(0.16), label=f"_{below}")
    top = float(np.nanmax(value))
    ax.set(xlim=(x[0], x[-1]), ylim=(0, 1.08 * top if top > 0 else 1.0))
    ax.yaxis.set_ticks(*even_ticks(*ax.get_ylim(), most=3))


def _taller(table: pd.DataFrame, by: str, style: Style) -> float:
    """What upright names of studies add to the height of a new figure, in multiples of the text size."""
    widest = max(text_width(str(name), style) for name in table["study"]) / style.size
    fit = by == "k" and _PLOT / len(table) >= _SLOT and widest + 1 <= _LONGEST
    return widest if fit else 0.0


def _across(axes: npt.NDArray[np.object_], table: pd.DataFrame, by: str, style: Style) -> tuple[str, float]:
    """Ticks of the x axis; its label, and how far upright names of studies reach down, points."""
    ax = axes[-1]
    k, names = len(table), [f"+ {name}" if i else str(name) for i, name in enumerate(table["study"])]
    widest = max(text_width(name, style) for name in names)
    if by == "k" and settle(ax)[0] / k >= _SLOT * style.size and widest <= _LONGEST * style.size:
        ax.set_xticks(range(1, k + 1), labels=names, rotation=90)
        return "Study added", widest - style.size
    low, high = ax.get_xlim()
    whole = bool((table[by].to_numpy(dtype=np.float64) % 1 == 0).all())
    ax.xaxis.set_ticks(*even_ticks(max(low, 1.0) if by == "k" else low, high, whole=whole))
    if by == "k":
        return "Number of studies", 0.0
    name = str(table.attrs.get("order", "order"))
    return COLUMNS[name].symbol.capitalize() if name in COLUMNS else name[:1].upper() + name[1:], 0.0


def _name(table: pd.DataFrame, axis: Axis, below: str) -> str:
    return effect_name(table, axis) if below == "pi" else {"tau2": "τ²", "tau": "τ", "I2": "I² (%)"}[below]


def _handles(table: pd.DataFrame, below: str | None, style: Style) -> list[Any]:
    """Entries of the legend."""
    level = f"{100 * float(table.attrs.get('level', 0.95)):g}%"
    shown: list[Any] = [
        Line2D([], [], color=style.pooled, lw=style.line(0.2), label="Pooled effect"),
        Patch(facecolor=style.pooled, alpha=0.25, lw=0, label=f"{level} CI"),
    ]
    if below == "pi":
        shown.append(Patch(facecolor=style.prediction, alpha=0.25, lw=0, label=f"{level} PI"))
    return [*shown, Line2D([], [], color=style.ink, lw=style.line(0.09), ls="--", label="All studies")]


def _labels(ax: Axes, table: pd.DataFrame, named: Sequence[str], on: tuple[str, Axis], style: Style) -> None:
    """Name the chosen studies by the upper limits to which they led, off the line of the estimates."""
    at = table[np.isfinite(table["estimate"].to_numpy(dtype=np.float64))].drop_duplicates("study").set_index("study")
    known = [name for name in named if name in at.index]
    x, y = (at.loc[known, name].to_numpy(dtype=np.float64) for name in (on[0], "ci_high"))
    label_points(ax, x, np.clip(y, on[1].low, on[1].high), known, style)


def _words(table: pd.DataFrame, axis: Axis, by: str) -> str:
    """The figure in words."""
    known = table[np.isfinite(table["estimate"].to_numpy(dtype=np.float64))]
    first, last = known.iloc[0], known.iloc[-1]
    level = float(table.attrs.get("level", 0.95))

    def said(row: Any) -> str:
        return value_of(axis, row["estimate"], row["ci_low"], row["ci_high"], level)

    how = f", by {table.attrs['order']} from {first['order']} to {last['order']}" if by == "order" else ""
    return (
        f"Cumulative meta-analysis of {plural(len(table), 'study')}{how}. With {plural(int(first['k']), 'study')} the "
        f"pooled effect is {said(first)}; with all {int(last['k'])} it is {said(last)}."
    )
