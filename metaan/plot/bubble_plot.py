"""The bubble plot of a meta-regression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.models.text import plural
from metaan.names import COLUMNS
from metaan.plot.axis import Axis
from metaan.plot.bubble_data import LIMITS, Regression, bubble_table
from metaan.plot.measure import text_width, wrap
from metaan.plot.panel import MARKERS, colours, describe, figure_of, finish, label_points, panel, table_of
from metaan.plot.rows import settle
from metaan.plot.scales import axis_of, chosen, effect_name, even_ticks, key, set_scale, value_of
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bubble"]

_NEEDED: Final = ("row", "study", "group", "x", "estimate", *LIMITS, "weight", "scale")
_LARGEST: Final = 1.2  # diameter of the largest bubble, in multiples of the text size
_SMALLEST: Final = 0.3
_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.2, 1, 1.2)))
_NICE: Final = tuple(round(m * 10.0**n, 4) for n in range(-3, 3) for m in (1, 1.5, 2, 3, 4, 5, 6, 8))
_APART: Final = 1.5  # from weight to weight in the key
_MANY: Final = 6.0  # from the smallest weight to the largest, beyond which the key has one between
_UPRIGHT: Final = 12.0  # longest line of an upright name, in multiples of the text size
_HEIGHT: Final = 28.0


class _Look(NamedTuple):
    """What the parts of the figure have in common."""

    axis: Axis
    groups: list[str]
    palette: dict[str, Any]
    prediction: bool
    style: Style
    level: float
    """Of the intervals."""

    def marker(self, group: str) -> str:
        """Form of the points of a group."""
        return MARKERS[self.groups.index(group) % len(MARKERS)]

    def dash(self, group: str) -> Any:
        """Kind of line of a group."""
        return _DASHES[self.groups.index(group) % len(_DASHES)]


def bubble(
    fit: Regression | pd.DataFrame,
    *,
    x: str | None = None,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    prediction: bool | None = None,
    label: Sequence[str] = (),
    xlabel: str | None = None,
    ylim: tuple[float, float] | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Bubble plot of a meta-regression: observed effects by moderator, with the regression and its bands.

    Parameters
    ----------
    fit : RegressResult, GlmmRegressResult, BetaBinomialRegression, LocationScaleResult, MultilevelResult or DataFrame
        A meta-regression, or a table from `bubble_table`.
    x : str, optional
        Moderator, a number or a category; the only one by default. Only for a result.
    by : str, optional
        A second, categorical moderator: a line for each of its levels. Only for a result.
    at : mapping, optional
        Where other moderators are held: by default numbers at their mean over the studies, categories at the reference
        level. Only for a result.
    prediction : bool, optional
        Draw the prediction interval too; by default where there is one line.
    label : sequence of str, default ()
        Studies to name, where there is room.
    xlabel : str, optional
        Label of the moderator.
    ylim : (float, float), optional
        Ends of the axis of effects, rates as proportions. By default all observed effects are shown.
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
        No regression and no table.
    OptionError
        As `bubble_table`; an unknown study.

    See Also
    --------
    bubble_table : The table that is drawn.

    Notes
    -----
    Areas are in proportion to the weights; the key gives some. The dark band is the confidence interval of the expected
    effect, the light one the prediction interval of the true effect in a new study. With other moderators in the model
    the line is the expected effect where these are held, and the points need not scatter about it. A relation between
    studies need not hold for the patients in them.

    References
    ----------
    Thompson SG, Higgins JPT (2002). How should meta-regression analyses be undertaken and interpreted? Stat Med
    21:1559-1573. doi:10.1002/sim.1187

    Examples
    --------
    >>> import metaan, pandas as pd
    >>> rows = pd.DataFrame({"y": [0.1, 0.3, 0.5, 0.2, 0.6], "v": [0.02] * 5, "year": [1990, 2000, 2010, 1995, 2012]})
    >>> fit = metaan.regress(metaan.effects("y", "v", data=rows, measure="OR"), "~ year", test="z")
    >>> ax = metaan.plot.bubble(fit, x="year")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Year', 'Odds ratio')
    """
    table = table_of(fit, bubble_table, _NEEDED, {"x": x, "by": by, "at": at})
    named = chosen(label, table.loc[table["row"] == "study", "study"])
    groups = [str(name) for name in dict.fromkeys(table["group"])]
    style = current_style([*named, *groups], style)
    alone = len(groups) == 1
    palette = {groups[0]: style.square} if alone else colours(groups, style)
    wide = alone if prediction is None else prediction
    level = float(table.attrs.get("level", 0.95))
    look = _Look(_axis(table, ylim, wide), groups, palette, wide, style, level)
    ax = panel(style, ax, height=_HEIGHT)
    points = table[table["row"] == "study"]
    for group in groups:
        _lines(ax, table[(table["row"] == "line") & (table["group"] == group)], group, look)
        _levels(ax, table[(table["row"] == "level") & (table["group"] == group)], group, look)
        _points(ax, points[points["group"] == group], points["weight"].max(), group, look)
    set_scale(ax, look.axis, "y")
    if look.axis.null is not None and look.axis.low < look.axis.null < look.axis.high:
        ax.axhline(look.axis.null, color=style.muted, lw=style.line(0.08), label="_null", zorder=0.5)
    drop = _across(ax, table, style)
    name = str(table.attrs.get("x", "x"))
    shown = (COLUMNS[name].symbol if name in COLUMNS else name.replace("_", " ")) if xlabel is None else xlabel
    finish(ax, style, xlabel=shown[:1].upper() + shown[1:], ylabel=effect_name(table, look.axis))
    key(ax, style, _handles(table, look), most=3, drop=drop)
    if named:
        _names(ax, points, named, style)
    return describe(ax, _words(table, look))


def _axis(table: pd.DataFrame, ylim: tuple[float, float] | None, prediction: bool) -> Axis:
    """Axis on which every study stands, and the bands as far as they do not dwarf them."""
    estimate, *limits = table[["estimate", *LIMITS]].to_numpy(dtype=np.float64).T
    low, high = (np.fmin(limits[0], limits[2]), np.fmax(limits[1], limits[3])) if prediction else limits[:2]
    return axis_of(str(table["scale"].iloc[0]), estimate, low, high, ylim, tight=True)


def _lines(ax: Axes, part: pd.DataFrame, group: str, look: _Look) -> None:
    """Regression line with its bands."""
    if part.empty:
        return
    style, colour = look.style, look.palette[group]
    x, y, low, high, pi_low, pi_high = (part[name].to_numpy(dtype=np.float64) for name in ("x", "estimate", *LIMITS))
    if look.prediction and np.isfinite(pi_low).any():
        ax.fill_between(
            x, pi_low, pi_high, color=_second(look, colour), alpha=0.16, lw=0, label="_prediction", zorder=1
        )
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0, label="_band", zorder=1.2)
    ax.plot(x, y, color=colour, lw=style.line(0.22), ls=look.dash(group), label="_line", zorder=2)


def _second(look: _Look, colour: Any) -> Any:
    return look.style.prediction if len(look.groups) == 1 else colour


def _levels(ax: Axes, part: pd.DataFrame, group: str, look: _Look) -> None:
    """Expected effect of each category with its intervals, beside the studies."""
    if part.empty:
        return
    style, colour = look.style, look.palette[group]
    ink = style.pooled if len(look.groups) == 1 else colour
    x, y, low, high, pi_low, pi_high = (part[name].to_numpy(dtype=np.float64) for name in ("x", "estimate", *LIMITS))
    half = 0.34 / len(look.groups)
    if look.prediction and np.isfinite(pi_low).any():
        for at, a, b in zip(x, pi_low, pi_high, strict=True):
            if math.isfinite(a):
                ax.fill_between(
                    [at - half, at + half], a, b, color=_second(look, colour), alpha=0.16, lw=0, label="_prediction",
                    zorder=1,
                )  # fmt: skip
    for at, a, b in zip(x, low, high, strict=True):
        ax.fill_between([at - half, at + half], a, b, color=ink, alpha=0.25, lw=0, label="_band", zorder=1.2)
    ax.hlines(y, x - half, x + half, colors=[ink], lw=style.line(0.26), label="_level", zorder=2)


def _points(ax: Axes, part: pd.DataFrame, most: float, group: str, look: _Look) -> None:
    """Observed effects, area by weight."""
    style = look.style
    size = _area(part["weight"].to_numpy(dtype=np.float64), most, style)
    ax.scatter(
        part["x"], part["estimate"], s=size, marker=look.marker(group), facecolor=(look.palette[group], 0.45),
        edgecolor=look.palette[group], linewidths=style.line(0.08), label="_points", zorder=3, clip_on=False,
    )  # fmt: skip


def _area(weight: FloatArray, most: float, style: Style) -> FloatArray:
    """Areas in proportion to the weights, points squared; the tiniest can still be seen."""
    return np.maximum(weight / most * (_LARGEST * style.size) ** 2, (_SMALLEST * style.size) ** 2)


def _across(ax: Axes, table: pd.DataFrame, style: Style) -> float:
    """Ticks of the moderator; how far down long names of categories reach, points."""
    levels = [str(level) for level in table.attrs.get("levels", ())]
    if levels:
        ax.set_xlim(-0.5, len(levels) - 0.5)
        slot = settle(ax)[0] / len(levels)
        lines = [wrap(level.replace("_", " "), 0.94 * slot, style) for level in levels]
        upright = any(text_width(line, style) > 0.97 * slot for one in lines for line in one)
        if upright:
            lines = [wrap(level.replace("_", " "), _UPRIGHT * style.size, style) for level in levels]
        ax.set_xticks(range(len(levels)), labels=["\n".join(one) for one in lines], rotation=90 if upright else 0)
        if upright:
            return max(text_width(line, style) for one in lines for line in one) - style.size
        return 1.2 * style.size * (max(map(len, lines)) - 1)
    x = table["x"].to_numpy(dtype=np.float64)
    low, high = float(x.min()), float(x.max())
    room = 0.04 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)
    studies = table.loc[table["row"] == "study", "x"]
    whole = bool((studies % 1 == 0).all())
    ax.xaxis.set_ticks(*even_ticks(low - room, high + room, whole=whole))
    return 0.0


def _handles(table: pd.DataFrame, look: _Look) -> list[Any]:
    """Entries of the legend: groups or line, bands, and sizes."""
    style, level = look.style, f"{100 * look.level:g}%"
    lines, alone = bool((table["row"] == "line").any()), len(look.groups) == 1
    shown: list[Any] = []
    for group in look.groups:
        colour = look.palette[group]
        shown.append(
            Line2D(
                [], [], color=style.pooled if alone and not lines else colour, lw=style.line(0.22), ls=look.dash(group),
                marker="" if alone else look.marker(group), ms=0.6 * style.size,
                label=("Regression" if lines else "Expected") if alone else group.replace("_", " "),
            )
        )  # fmt: skip
    band = style.muted if not alone else style.square if lines else style.pooled
    shown.append(Patch(facecolor=band, alpha=0.35, lw=0, label=f"{level} CI"))
    if look.prediction and np.isfinite(table["pi_low"].to_numpy(dtype=np.float64)).any():
        shown.append(Patch(facecolor=style.prediction if alone else style.muted, alpha=0.16, lw=0, label=f"{level} PI"))
    weight = table.loc[table["row"] == "study", "weight"].to_numpy(dtype=np.float64)
    for value in _sizes(weight):
        area = float(_area(np.array([value]), float(weight.max()), style)[0])
        colour = style.square if alone else style.muted
        shown.append(
            Line2D(
                [], [], ls="none", marker="o", ms=math.sqrt(area), mfc=(colour, 0.45), mec=colour,
                mew=style.line(0.08), label=f"Weight {value:g}%",
            )
        )  # fmt: skip
    return shown


def _sizes(weight: FloatArray) -> list[float]:
    """Round weights for the key, from small to large."""
    most, least = float(weight.max()), float(weight.min())
    inside = [value for value in _NICE if least <= value <= most]
    if not inside:
        return [float(f"{most:.2g}")]
    low, high = inside[0], inside[-1]
    middle = [min(inside, key=lambda value: abs(math.log(value * value / (low * high))))] if high > _MANY * low else []
    return [low, *middle, high] if high >= _APART * low else [high]


def _names(ax: Axes, points: pd.DataFrame, named: Sequence[str], style: Style) -> None:
    """Name the chosen studies, clear of all other points and of their rims."""
    settle(ax)  # lays the figure out
    first = points.drop_duplicates("study").set_index("study").loc[list(named)]
    rest = points[~points["study"].isin(named)]
    own, others = (ax.transData.transform(part[["x", "estimate"]].to_numpy(dtype=np.float64)) for part in (first, rest))
    area = _area(rest["weight"].to_numpy(dtype=np.float64), float(points["weight"].max()), style)
    reach = (np.sqrt(area) / 2 * _dots(ax))[:, None]
    rims = [others + reach * np.array(way) for way in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
    x, y = ax.transData.inverted().transform(np.concatenate([own, *rims])).T
    written = label_points(ax, x, y, [*named, *[""] * (len(x) - len(named))], style)
    crowded = len([text for text in written if text.get_text()]) < len(named)
    for text in written:
        if crowded or not text.get_text():
            text.remove()
    if crowded:  # no name is left out for the sake of bubbles that it would touch
        label_points(ax, x[: len(named)], y[: len(named)], named, style)


def _dots(ax: Axes) -> float:
    """Pixels of a point."""
    return float(figure_of(ax).dpi) / 72


def _words(table: pd.DataFrame, look: _Look) -> str:
    """The figure in words."""
    name = str(table.attrs.get("x", "the moderator"))
    k = int((table["row"] == "study").sum())
    what = effect_name(table, look.axis).lower()
    of = f", by {table.attrs['by']}" if table.attrs.get("by") else ""
    said = [f"Bubble plot of {plural(k, 'study')}: {what} by {name}{of}."]
    ends = []
    for group in look.groups:
        part = table[(table["row"] != "study") & (table["group"] == group)]
        first, last = part.iloc[0], part.iloc[-1]
        if part["row"].iloc[0] == "line":
            at = [f"{_said(row, look)} at {row['x']:.4g}" for row in (first, last)]
            ends.append(f"{group + ': ' if group else ''}{' and '.join(at)}")
        else:
            levels = table.attrs.get("levels", [])
            at = [f"{_said(row, look)} for {levels[round(row['x'])]}" for _, row in part.iterrows()]
            ends.append(f"{group + ': ' if group else ''}{', '.join(at)}")
    said.append(f"Expected: {'; '.join(ends)}.")
    held = [f"{one} at {value:.4g}" if isinstance(value, (int, float)) else f"{one} at {value}"
            for one, value in dict(table.attrs.get("at", {})).items()]  # fmt: skip
    return " ".join([*said, *([f"Held: {', '.join(held)}."] if held else [])])


def _said(row: Any, look: _Look) -> str:
    return value_of(look.axis, row["estimate"], row["ci_low"], row["ci_high"], look.level)
