"""The specification curve: every analysis of a multiverse, and which choices each made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from metaan.analysis.multiverse_choices import DATA_CHOICES, MODEL_CHOICES
from metaan.analysis.multiverse_result import MultiverseResult
from metaan.errors import InputError, OptionError
from metaan.plot.axis import Axis, make_axis
from metaan.plot.measure import MeasuredText, text_width
from metaan.plot.panel import figure_of
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["multiverse", "multiverse_table"]

_INCH: Final = 72.0
# Times the size of the text.
_COLUMN: Final = 31.5  # 89 mm, the column of a journal, at 8 points
_PLOT: Final = 18.75  # width of a panel where there are several
_LEAST: Final = 12.5
_PANEL: Final = 15.0  # height of the estimates
_ROW: Final = 1.3
_GAP: Final = 1.0
_WORDS: Final = {
    "glmm": "GLMM", "normal": "inverse variance", "PLO": "logit", "PAS": "arcsine", "PFT": "double arcsine",
    "PR": "raw", "PLN": "log", "PROBIT": "probit", "CLOGLOG": "cloglog", "hk": "Hartung–Knapp",
    "hk-adhoc": "ad hoc H–K", "kr": "Kenward–Roger", "itt": "all treated",
}  # fmt: skip
_HEADS: Final = {"measure": "scale", "method": "τ² by", "test": "interval", "icc": "ICC"}
_SCALES: Final = {"rate": "rate", "ratio": "ratio", "incidence": "amount", "difference": "effect"}
_NEEDED: Final = ("rank", "estimate", "ci_low", "ci_high")


class _Look(NamedTuple):
    """What all parts of the figure have in common."""

    axis: Axis
    at: float | None
    """Threshold."""
    colour: str
    palette: dict[str, Any]
    style: Style

    def of(self, part: pd.DataFrame) -> list[str]:
        """Level of the coloured choice in each analysis."""
        return [str(level) for level in part[self.colour]]


def multiverse_table(result: MultiverseResult, *, mixed: bool = False) -> pd.DataFrame:
    """Table behind the figure: the analyses by estimate, with the level of each choice.

    Parameters
    ----------
    result : MultiverseResult
        From `metaan.multiverse`.
    mixed : bool, default False
        One curve for all units; by default one for each.

    Returns
    -------
    pandas.DataFrame
        See `MultiverseResult.curve`.

    Raises
    ------
    InputError
        `result` is no result of `metaan.multiverse`.

    Examples
    --------
    >>> import metaan, pandas as pd
    >>> trials = pd.DataFrame({"events": [3, 4, 9, 2], "total": [44, 30, 40, 20]})
    >>> table = metaan.plot.multiverse_table(metaan.multiverse(trials, models="glmm"))
    >>> len(table), table["measure"].iloc[0], table["measure"].iloc[-1]
    (9, 'CLOGLOG', 'PROBIT')
    """
    if not isinstance(result, MultiverseResult):
        raise InputError(f"result is a {type(result).__name__}. Pass what metaan.multiverse returned.")
    return result.curve(mixed=mixed)


def multiverse(
    result: MultiverseResult | pd.DataFrame,
    *,
    colour: str = "model",
    threshold: float | None = None,
    mixed: bool = False,
    ylabel: str | None = None,
) -> npt.NDArray[np.object_]:
    """Specification curve: estimates with intervals, lowest first, over the choices that each analysis made.

    Parameters
    ----------
    result : MultiverseResult or DataFrame
        From `metaan.multiverse`, or a table from `multiverse_table`, perhaps a part of it.
    colour : str, default "model"
        Choice whose levels are coloured; their names below have the same colours.
    threshold : float, optional
        Where a dashed line stands, on the scale of the estimates (rates as proportions); 0.5 for rates, 1 for ratios,
        0 for differences by default.
    mixed : bool, default False
        One curve for all units; by default one for each, side by side. Only for a result.
    ylabel : str, optional
        What was estimated; "Rate (%)" for rates by default.

    Returns
    -------
    array of matplotlib.axes.Axes, shape (2, units)
        Estimates above, choices below. Write the figure with ``metaan.plot.save(axes[0, 0], "multiverse.svg")``.

    Raises
    ------
    InputError
        Neither a result nor a table of one.
    OptionError
        `colour` is no choice of the multiverse, or has more than ten levels.

    Notes
    -----
    The solid line is the median of the estimates. Choices with one level are not shown. One unit fits the column of a
    journal (89 mm), two the page.

    References
    ----------
    Simonsohn U, Simmons JP, Nelson LD (2020). Nat Hum Behav 4:1208-1214. doi:10.1038/s41562-020-0912-z

    Examples
    --------
    >>> import metaan, pandas as pd
    >>> trials = pd.DataFrame({"events": [3, 4, 9, 2], "total": [44, 30, 40, 20]})
    >>> axes = metaan.plot.multiverse(metaan.multiverse(trials, models="glmm"), colour="measure", threshold=0.1)
    >>> axes.shape
    (2, 1)
    """
    table = _table(result, mixed)
    names = [name for name in (*DATA_CHOICES, *MODEL_CHOICES) if name in table.columns]
    shown = [name for name in names if table[name].nunique() > 1 and (name != "unit" or mixed)] or [colour]
    palette = _palette(table, names, colour)
    rows = [(name, str(value)) for name in shown for value in dict.fromkeys(_ordered(table, name))]
    parts = [table] if mixed or "unit" not in names else [part for _, part in table.groupby("unit", sort=False)]
    axis = _axis(table)
    at = {"rate": 0.5, "ratio": 1.0, "effect": 0.0}.get(axis_scale(table)) if threshold is None else float(threshold)
    look = _Look(axis, at, colour, palette, current_style([ylabel or ""]))
    axes = _axes(rows, len(parts), look.style)
    for i, part in enumerate(parts):
        counted = f"Per {part['unit'].iloc[0]}: " if "unit" in names and not mixed else ""
        _estimates(axes[0, i], part, look, f"{counted}{len(part)} {'analysis' if len(part) == 1 else 'analyses'}")
        _choices(axes[1, i], part, rows, look)
    _labels(axes, rows, look, axis.title if ylabel is None else ylabel)
    return axes


def axis_scale(table: pd.DataFrame) -> str:
    """Scale of the estimates in the words of a forest plot."""
    return _SCALES[str(table.attrs.get("scale", "rate"))]


def _table(result: object, mixed: bool) -> pd.DataFrame:
    import pandas as pd

    if isinstance(result, MultiverseResult):
        return multiverse_table(result, mixed=mixed)
    if not isinstance(result, pd.DataFrame):
        raise InputError(f"result is a {type(result).__name__}. Pass what multiverse or multiverse_table returned.")
    require_columns(result, _NEEDED, "result")
    if result.empty:
        raise InputError("The table has no rows.")
    return result


def _palette(table: pd.DataFrame, names: list[str], colour: str) -> dict[str, Any]:
    if colour not in names:
        raise OptionError(f"colour={colour!r} is no choice of this multiverse: {', '.join(names)}.")
    found = sorted(_ordered(table, colour))  # the same colours whatever the estimates are
    colours = sns.color_palette("colorblind")
    if len(found) > len(colours):
        raise OptionError(f"colour={colour!r} has {len(found)} levels, more than can be told apart by colour.")
    return dict(zip(found, colours, strict=False))


def _ordered(table: pd.DataFrame, name: str) -> list[str]:
    """Levels of a choice by the mean estimate, lowest first."""
    means = table.groupby(name, sort=True)["estimate"].mean().sort_values(kind="stable")
    return [str(level) for level in means.index]


def _axis(table: pd.DataFrame) -> Axis:
    """Axis of the estimates, which cuts no interval; rates from 0 to 100 % or to a round number below."""
    frame = table[["estimate", "ci_low", "ci_high"]].rename(columns={"ci_low": "low", "ci_high": "high"})
    return make_axis(frame.assign(scale=axis_scale(table)))


def _axes(rows: list[tuple[str, str]], groups: int, style: Style) -> npt.NDArray[np.object_]:
    """Empty axes in a figure that is as large as its texts need."""
    size = style.size
    left = _name_width(rows, style) + _level_width(rows, style) + 2.5 * _GAP * size
    plot = max(_LEAST * size, (_COLUMN - 1) * size - left) if groups == 1 else _PLOT * size
    width = left + groups * plot + (groups - 1) * 1.5 * size + size
    below, above = 2.2 * size, 4.4 * size
    heights = (_PANEL * size, _ROW * size * len(rows))
    height = above + heights[0] + size + heights[1] + below
    figure: Figure = plt.figure(figsize=(width / _INCH, height / _INCH), layout="none")
    axes = np.empty((2, groups), dtype=object)
    for i in range(groups):
        x = (left + i * (plot + 1.5 * size)) / width
        for row, bottom in ((0, below + heights[1] + size), (1, below)):
            axes[row, i] = figure.add_axes((x, bottom / height, plot / width, heights[row] / height))
    return axes


def _name_width(rows: list[tuple[str, str]], style: Style) -> float:
    return max((text_width(_head(name), style, bold=True) for name, _ in rows), default=0.0)


def _level_width(rows: list[tuple[str, str]], style: Style) -> float:
    return max((text_width(_word(level), style, bold=True) for _, level in rows), default=2 * style.size)


def _head(name: str) -> str:
    head = _HEADS.get(name, name)
    return head if name in ("method", "icc") else head.capitalize()


def _word(level: str) -> str:
    return _WORDS.get(level, level.replace("_", " "))


def _estimates(ax: Axes, part: pd.DataFrame, look: _Look, heading: str) -> None:
    """Estimates with intervals, the median, the threshold, and what they come to."""
    axis, at, style = look.axis, look.at, look.style
    rank, y, low, high = (part[name].to_numpy(dtype=np.float64) for name in _NEEDED)
    above = "" if at is None else _above(at, y, low, axis)
    low, high = np.maximum(low, axis.low), np.minimum(high, axis.high)
    thin = max(0.25, min(0.1 * style.size, 0.6 * _PLOT * style.size / len(part)))
    ax.vlines(rank, low, high, colors=[style.ink], alpha=0.25, linewidth=thin, label="_intervals")
    colours = [look.palette[level] for level in look.of(part)]
    ax.scatter(rank, y, s=(0.3 * style.size) ** 2, c=colours, linewidths=0, zorder=3, label="_estimates")
    median = float(np.median(y))
    ends = (0.5, len(part) + 0.5)
    ax.hlines(median, *ends, colors=[style.ink], linewidth=0.09 * style.size, zorder=2, label="_median")
    if at is not None and axis.low <= at <= axis.high:
        ax.hlines(
            at, *ends, colors=[style.muted], linestyles="dashed", linewidth=0.08 * style.size, zorder=1,
            label="_threshold",
        )  # fmt: skip
    if axis.log:
        ax.set_yscale("log")
        ax.minorticks_off()
    ax.set(xlim=ends, ylim=(axis.low, axis.high), xticks=[])
    _finish(ax, style)
    unit = " %" if axis.factor != 1 else ""
    _heading(ax, [heading, f"median {axis.number(median)}{unit}", *([above] if above else [])], style)


def _above(at: float, y: FloatArray, low: FloatArray, axis: Axis) -> str:
    """How many of the estimates, and of the whole intervals, lie above the threshold."""
    unit = " %" if axis.factor != 1 else ""
    beyond, whole = (100 * float(np.mean(values > at)) for values in (y, low))
    return f"above {axis.factor * at:g}{unit}: {beyond:.0f} % (whole CI {whole:.0f} %)"


def _heading(ax: Axes, lines: list[str], style: Style) -> None:
    """Lines over the estimates, flush right: a long one goes over the names of the choices."""
    for i, text in enumerate(lines):
        rise = 0.5 + 1.15 * (len(lines) - 1 - i) + (0.15 if i == 0 else 0)
        ax.add_artist(
            MeasuredText(
                1, 1, text, transform=ax.transAxes + ScaledTranslation(0, rise * style.size / _INCH, _scale(ax)),
                fontproperties=style.font(bold=i == 0, small=i > 0), color=style.muted if i else style.ink,
                horizontalalignment="right", verticalalignment="baseline", clip_on=False, usetex=False,
                parse_math=False,
            )
        )  # fmt: skip


def _scale(ax: Axes) -> Any:
    return figure_of(ax).dpi_scale_trans


def _choices(ax: Axes, part: pd.DataFrame, rows: list[tuple[str, str]], look: _Look) -> None:
    """A mark in the row of each level that an analysis has; marks side by side are one bar."""
    style, owner = look.style, np.array(look.of(part))
    for y, (name, level) in enumerate(rows):
        mine = (part[name].astype(str) == level).to_numpy()
        for group, colour in look.palette.items():
            runs = _runs(part["rank"].to_numpy()[mine & (owner == group)])
            if runs:
                ax.broken_barh(
                    runs, (y - 0.36, 0.72), facecolor=colour, edgecolor=colour, linewidth=0.03 * style.size,
                    label=f"_{name}={level}",
                )  # fmt: skip
    for y in range(1, len(rows)):
        if rows[y][0] != rows[y - 1][0]:
            ax.axhline(y - 0.5, color=style.muted, linewidth=0.04 * style.size, alpha=0.6, label="_rule")
    ax.set(xlim=(0.5, len(part) + 0.5), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    _finish(ax, style)


def _runs(rank: npt.NDArray[np.int64]) -> list[tuple[float, float]]:
    """Start and length of each run of ranks that follow one another."""
    rank = np.sort(rank)
    if rank.size == 0:
        return []
    parts = np.split(rank, np.flatnonzero(np.diff(rank) > 1) + 1)
    return [(float(run[0]) - 0.5, float(run.size)) for run in parts]


def _finish(ax: Axes, style: Style) -> None:
    ax.grid(False)
    sns.despine(ax=ax, bottom=True)
    ax.spines["left"].set(linewidth=0.08 * style.size, color=style.ink)
    ax.tick_params(axis="y", length=0.3 * style.size, width=0.08 * style.size, color=style.ink, pad=0.35 * style.size)


def _labels(axes: npt.NDArray[np.object_], rows: list[tuple[str, str]], look: _Look, ylabel: str) -> None:
    """Numbers of the estimates and names of the choices, left of the first unit."""
    axis, style = look.axis, look.style
    plain: dict[str, Any] = {"fontproperties": style.font(), "color": style.ink, "usetex": False, "parse_math": False}
    for i, (above, below) in enumerate(axes.T):
        above.set_yticks(axis.ticks, labels=axis.tick_texts() if i == 0 else [], **plain)
        below.set_yticks(range(len(rows)), labels=[_word(level) for _, level in rows] if i == 0 else [], **plain)
        below.set_xlabel("Analyses, lowest estimate first", labelpad=0.5 * style.size, **plain)
    above, below = axes[:, 0]
    above.set_ylabel(ylabel, labelpad=0.6 * style.size, **plain)
    for tick, (name, level) in zip(below.yaxis.get_ticklabels(), rows, strict=True):
        if name == look.colour:
            tick.set(color=look.palette[level], fontproperties=style.font(bold=True))
    edge = _level_width(rows, style) + _name_width(rows, style) + 1.5 * _GAP * style.size
    for y, (name, _) in enumerate(rows):
        if y == 0 or rows[y - 1][0] != name:
            below.add_artist(
                MeasuredText(
                    0, y, _head(name),
                    transform=below.get_yaxis_transform() + ScaledTranslation(-edge / _INCH, 0, _scale(below)),
                    fontproperties=style.font(bold=True), color=style.ink, verticalalignment="center_baseline",
                    clip_on=False, usetex=False, parse_math=False,
                )
            )  # fmt: skip
