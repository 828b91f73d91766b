"""The profile likelihood of the between-study variance or of the pooled effect, with its maximum and interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import chdtri

from metaan.errors import InputError
from metaan.models.profile_likelihood import profile_likelihood
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import number, plural
from metaan.plot.axis import XLABEL, Axis
from metaan.plot.checked import ANY, SCALES, checked, one_of
from metaan.plot.close_axis import close_axis
from metaan.plot.clouds import inner_ticks, veil
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.scales import key, label_of, scale_of, set_scale
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["profile", "profile_table"]

_HEIGHT: Final = 26.0  # of the figure, in multiples of the text size
_DEEPEST: Final = 3.0  # lower end of the axis, in distances from the maximum to the cut
_NAMES: Final = {
    "tau2": "Between-study variance τ²", "tau": "Between-study standard deviation τ",
    "rho": "Correlation within studies ρ", "estimate": "Pooled effect",
}  # fmt: skip
_SYMBOLS: Final = {"tau2": "τ²", "tau": "τ", "rho": "ρ"}


def profile_table(
    res: PoolResult | RegressResult,
    *,
    parameter: str | None = None,
    points: int | None = None,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Table that a profile plot draws: a parameter and its profile log-likelihood.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult or RegressResult
        See `metaan.profile_likelihood`.
    parameter : {"tau2", "tau", "rho", "estimate"}, optional
        Default tau2, of a beta-binomial model rho.
    points : int, default 201
        Points of the curve.
    limits : (float, float), optional
        Ends of the curve; rates as proportions.

    Returns
    -------
    pandas.DataFrame
        See `metaan.profile_likelihood`; a pooled effect is a rate or a ratio. ``attrs`` also hold scale, k and the
        label of the axis.

    Raises
    ------
    InputError, OptionError
        As `metaan.profile_likelihood`.

    See Also
    --------
    metaan.plot.profile : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.profile_table(metaan.pool(eff, method="ML"), parameter="estimate")
    >>> round(table.attrs["low"], 3), round(table.attrs["high"], 3)
    (0.058, 0.279)
    """
    given = {"points": points, "limits": limits}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    shown = res.back() if isinstance(res, PoolResult) else res
    table = profile_likelihood(shown, parameter=parameter, **asked)
    if table.attrs["parameter"] == "estimate":
        table.attrs |= {"scale": scale_of(res.effects), **label_of(res.effects)}
    table.attrs["k"] = int(res.k)
    return table


def profile(
    res: PoolResult | RegressResult | pd.DataFrame,
    *,
    parameter: str | None = None,
    points: int | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Profile log-likelihood of the between-study variance or of the pooled effect, with its interval.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, RegressResult or DataFrame
        See `metaan.profile_likelihood`; or a table from `profile_table`.
    parameter : {"tau2", "tau", "rho", "estimate"}, optional
        Default tau2, of a beta-binomial model rho. Only for a result.
    points : int, default 201
        Points of the curve. Only for a result.
    limits : (float, float), optional
        Ends of the curve; rates as proportions. Only for a result.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError, OptionError
        As `metaan.profile_likelihood`; a table without its attributes.

    See Also
    --------
    profile_table : The table that is drawn.

    Notes
    -----
    The dashed line is chi2(1)/2 below the maximum; where the curve meets it the interval ends. A curve that leans to
    one side says that a symmetric interval would not fit; one that stays above the line at an end of the axis, that the
    data leave the parameter open there. Hollow marks are further local maxima, at which a search that starts in the
    wrong place may end.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.profile(metaan.pool(eff))
    >>> ax.get_xlabel()
    'Between-study variance τ²'
    """
    options = {"parameter": parameter, "points": points, "limits": limits}
    table = table_of(res, profile_table, ("loglik",), options)
    name = _parameter(table)
    table = checked(table, {name: ANY, "loglik": ANY}, attrs=("loglik", "cut", "peak", "level", "k")).sort_values(name)
    if len(table) > 1 and table[name].nunique() == 1:
        raise InputError(f"The table has one value of {name} alone: start from metaan.plot.profile_table(res).")
    look = current_style([str(table.attrs.get(XLABEL, ""))], style)
    x, y = (table[column].to_numpy(dtype=np.float64) for column in (name, "loglik"))
    axis = close_axis(_scale(table), x, room=0.0)
    ax = panel(look, ax, height=_HEIGHT)
    y = y - float(table.attrs["loglik"])
    drop = float(table.attrs["cut"] - table.attrs["loglik"])
    others = _others(table, x, y)
    bottom = _limits(ax, axis, y, drop, others)
    handles = _interval(ax, table, x, y, drop, bottom, axis, look) + _curve(ax, table, x, y, others, axis, look)
    _frame(ax, table, look, axis)
    key(ax, look, handles, most=2)
    return describe(ax, _words(table, axis, others))


def _parameter(table: pd.DataFrame) -> str:
    """Which column is on the horizontal axis."""
    name = str(table.attrs.get("parameter", ""))
    absent = [one for one in ("parameter", "peak", "loglik", "cut", "low", "high", "level") if one not in table.attrs]
    if absent or name not in table.columns:
        raise InputError("The table has lost its attrs or its parameter: start from metaan.plot.profile_table(res).")
    one_of(table, "scale", SCALES)
    ends = [table.attrs[end] for end in ("low", "high")]
    if not all(isinstance(end, (int, float)) and not math.isnan(end) for end in (*ends, *_maxima(table))):
        raise InputError("attrs low, high and maxima of the table must be numbers: take them from profile_table(res).")
    return name


def _maxima(table: pd.DataFrame) -> list[Any]:
    found = table.attrs.get("maxima", [])
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _scale(table: pd.DataFrame) -> str:
    return str(table.attrs.get("scale", "amount"))


def _others(table: pd.DataFrame, x: FloatArray, y: FloatArray) -> FloatArray:
    """Local maxima besides the highest, shape (m, 2)."""
    peak = float(table.attrs["peak"])
    places = [place for place in _maxima(table) if place != peak and x.min() <= place <= x.max()]
    return np.array([(place, float(np.interp(place, x, y))) for place in places]).reshape(-1, 2)


def _limits(ax: Axes, axis: Axis, y: FloatArray, drop: float, others: FloatArray) -> float:
    """Limits of both axes; returns the lower end."""
    set_scale(ax, axis, "x")
    lowest = max(_DEEPEST * drop, min(float(y.min()), 1.3 * drop))
    bottom = float(min([lowest, *(1.15 * others[:, 1])]))
    ax.set_ylim(bottom, -0.08 * bottom)
    return bottom


def _interval(
    ax: Axes, table: pd.DataFrame, x: FloatArray, y: FloatArray, drop: float, bottom: float, axis: Axis, style: Style
) -> list[Artist]:
    """The interval under the curve, and the line that cuts it out."""
    low, high = (float(table.attrs[end]) for end in ("low", "high"))
    inside = (x >= low) & (x <= high)
    ax.fill_between(x[inside], bottom, y[inside], color=style.square, alpha=veil(ax), lw=0, zorder=1, label="_interval")
    ends = [end for end in (low, high) if math.isfinite(end) and x[0] < end <= x[-1]]
    ax.vlines(ends, bottom, drop, colors=[style.square], linewidth=style.line(0.08), zorder=2, label="_ends")
    dash: dict[str, Any] = {"color": style.muted, "lw": style.line(0.1), "ls": (0, (4, 3))}
    ax.axhline(drop, zorder=2, label="_cut", **dash)
    level = 100 * float(table.attrs["level"])
    word = f"{level:g}% interval: {_range(axis, low, high)}"
    half = float(chdtri(1.0, 1 - level / 100)) / 2
    return [
        Patch(facecolor=style.square, alpha=veil(ax), lw=0, label=word),
        Line2D([], [], label=f"{half:.2f} below the maximum", **dash),
    ]


def _curve(
    ax: Axes, table: pd.DataFrame, x: FloatArray, y: FloatArray, others: FloatArray, axis: Axis, style: Style
) -> list[Artist]:
    """The curve and its maxima."""
    ax.plot(x, y, color=style.square, lw=style.line(0.18), zorder=3, label="_curve")
    peak = float(table.attrs["peak"])
    mark: dict[str, Any] = {
        "ls": "", "marker": "D", "ms": 0.7 * style.size, "mec": style.pooled, "mew": style.line(0.1),
    }  # fmt: skip
    beyond = not x[0] <= peak <= x[-1]
    ax.plot([peak], [0.0], mfc=style.pooled, zorder=5, clip_on=beyond, label="_peak", **mark)
    handles: list[Artist] = [Line2D([], [], mfc=style.pooled, label=f"Maximum: {_number(axis, peak)}", **mark)]
    if len(others):
        hollow = mark | {"marker": "o", "mfc": ax.get_facecolor()}
        ax.plot(others[:, 0], others[:, 1], zorder=5, clip_on=False, label="_others", **hollow)
        places = ", ".join(_number(axis, float(place)) for place in others[:, 0])
        handles.append(Line2D([], [], label=f"Local {'maximum' if len(others) == 1 else 'maxima'}: {places}", **hollow))
    return handles


def _frame(ax: Axes, table: pd.DataFrame, style: Style, axis: Axis) -> None:
    name = str(table.attrs["parameter"])
    label = _NAMES.get(name, name)
    if name == "estimate":
        label = str(table.attrs.get(XLABEL, axis.title))
    kind = "Restricted" if table.attrs.get("likelihood") == "REML" else "Profile"
    inner_ticks(ax, "y", 5)
    finish(ax, style, xlabel=label, ylabel=f"{kind} log-likelihood, maximum 0")


def _number(axis: Axis, value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if axis.factor != 1:
        return f"{axis.number(value)}%"
    return "0" if value == 0 else number(value, 3).replace("-", "−")


def _range(axis: Axis, low: float, high: float) -> str:
    return f"{_number(axis, low)} to {_number(axis, high)}"


def _words(table: pd.DataFrame, axis: Axis, others: FloatArray) -> str:
    """The figure in words."""
    attrs = table.attrs
    name = str(attrs["parameter"])
    what = _SYMBOLS.get(name, "the pooled effect")
    of = f" of {plural(int(attrs['k']), 'study')}" if "k" in attrs else ""
    kind = "Restricted" if attrs.get("likelihood") == "REML" else "Profile"
    said = [f"{kind} likelihood of {what}{of}."]
    interval = f"{100 * float(attrs['level']):g}% interval {_range(axis, float(attrs['low']), float(attrs['high']))}"
    said.append(f"It is highest at {_number(axis, float(attrs['peak']))}; {interval}.")
    if len(others):
        places = ", ".join(_number(axis, float(place)) for place in others[:, 0])
        said.append(
            f"There {'is another local maximum' if len(others) == 1 else 'are other local maxima'} at {places}."
        )
    return " ".join(said)
