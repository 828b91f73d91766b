"""Groups of studies compared: every study a point by its precision, over it the pooled effect with both intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from metaan.errors import OptionError, listed
from metaan.models.text import plural
from metaan.plot.comparison_data import COLUMNS, comparison_table
from metaan.plot.comparison_view import Lane, View, axis_for, drawable, lanes_of, names_in, weights_of
from metaan.plot.measure import text_width
from metaan.plot.panel import COLUMN, describe, finish, panel, table_of, write
from metaan.plot.rows import (
    column_of_text,
    columns_of_key,
    example_sizes,
    key_under,
    named,
    room,
    settle,
    spoken,
    spread,
    to_room,
    wrapped,
)
from metaan.plot.scales import effect_name, panels, set_scale, value_of
from metaan.plot.style import Style, current_style
from metaan.validate import Option, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["comparison", "comparison_table"]

ARRANGE: Final = Option(
    "arrange", {"side": "a panel for each", "dodged": "lines of one group below each other"}, "side"
)  # fmt: skip
_TEXTS: Final = ("k", "n", "estimate")
_UP: Final = 0.95  # from the middle of a line up to the pooled effect
_DOWN: Final = 0.45  # and down to the points
_BELOW: Final = 1.5  # from the points down to the names of some
_BAND: Final = 0.7  # half of the room of their middles
_NAMES: Final = 0.26  # of the width of the figure that names may take
_WIDE: Final = 1.55  # width of a figure with one panel, in columns
_PAIR: Final = 2.05  # of one with several
_SHRINKS: Final = 1.6  # height of a line of text that a small Axes leaves, in multiples of the text size
_ALPHA: Final = 0.5
_SQUARE: Final = 0.785  # area of a circle in that of its square


def comparison(
    res: Any,
    *,
    least: int | None = None,
    sort: str | None = None,
    arrange: str = "side",
    size: str | None = None,
    columns: Sequence[str] | None = None,
    label: int = 0,
    ax: Any = None,
    style: str | Style | None = None,
) -> Any:
    """Groups of studies compared: points of studies, the pooled effects, their confidence and prediction intervals.

    Parameters
    ----------
    res : SubgroupResult, dict, list or DataFrame
        What `comparison_table` takes, or a table from it.
    least : int, default 3
        Groups with fewer studies show these alone. Not for a table.
    sort : {"given", "estimate", "label", "total", "k"}, default "given"
        Order of the groups. Not for a table.
    arrange : {"side", "dodged"}, default "side"
        Where there are several panels: side by side, or lines of each group below each other in one panel.
    size : {"total", "precision"}, optional
        What the area of a point is proportional to; the total where all are known, else the inverse variance.
    columns : sequence of {"k", "n", "estimate"}, optional
        Text on the right: studies, their total, pooled effect with interval. All three by default, of panels side by
        side the first two.
    label : int, default 0
        How many of the largest studies of a group are named, where there is room.
    ax : matplotlib.axes.Axes, optional
        Where to draw (one for each panel); a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    matplotlib.axes.Axes
        Of panels side by side an array of them.

    Raises
    ------
    InputError, OptionError
        As `comparison_table`; unknown options.

    See Also
    --------
    comparison_table : The table that is drawn.

    Notes
    -----
    The thick line is the confidence interval of the mean effect, the thin one the prediction interval: where the effect
    of a new study lies. Heights of points within a line only keep them apart. Names written as codes (lower case,
    underscores) are spelt out. The groups are mostly not randomised against one another.

    References
    ----------
    Nakagawa S, Lagisz M, O'Dea RE, et al. (2021). The orchard plot. Res Synth Methods 12:4-12. doi:10.1002/jrsm.1424

    Examples
    --------
    >>> import metaan
    >>> a = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> b = metaan.effect_size("PLO", events=[12, 9], total=[20, 25], study=["Dee", "Eck"])
    >>> ax = metaan.plot.comparison({"Drug": metaan.pool(a), "Heat": metaan.pool(b)})
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['Drug', 'Heat']
    """
    table = table_of(res, comparison_table, COLUMNS, {"least": least, "sort": sort}).reset_index(drop=True)
    table = drawable(table)
    label = whole("label", label, 0)
    side = ARRANGE.check(arrange) == "side"
    names, groups = names_in(table, "panels", "panel"), names_in(table, "groups", "group")
    kept = [[name] for name in names] if side else [names]
    look = current_style([*groups, *names], style)
    wide = COLUMN * (_WIDE if len(kept) == 1 else _PAIR)
    shown = wrapped([spoken(group) for group in groups], wide * look.size * _NAMES, look)
    lanes = [lanes_of(table, groups, some, shown, look, named=label > 0) for some in kept]
    bottom = max(some[-1].bottom for some in lanes)
    given = None if ax is None else next(iter(np.atleast_1d(np.asarray(ax, dtype=object)).ravel()), None)
    look = to_room(look, given if isinstance(given, Axes) else None, bottom / _SHRINKS)
    weight, of = weights_of(table, size)
    view = View(table, axis_for(table), weight, look)
    handles = _key(view, of, [] if side else lanes[0])
    count = columns_of_key(handles, (wide - 2) * look.size, look, most=6)
    height = bottom + 6.5 + 1.3 * -(-len(handles) // count)
    single = len(kept) == 1
    axes = [panel(look, ax, width=wide, height=height)] if single else panels(look, ax, len(kept), height=height)
    reach = 0.0
    for i, (one, own, some) in enumerate(zip(axes, lanes, kept, strict=True)):
        _intervals(one, view, own)
        one.set_ylim(bottom, 0)
        finish(one, look, xlabel=_xlabel(view, some), title=spoken(some[0]) if len(some) == 1 else "")
        reach = max(reach, _names(one, view, own, dict(zip(groups, shown, strict=True)) if i == 0 else {}))
        _texts(one, view, own, _chosen(columns, narrow=not single))
    key_under(axes[0], handles, look, columns=count, left=reach, drop=3.9)
    settle(axes[0])
    for one, own in zip(axes, lanes, strict=True):
        _points(one, view, own, label)
        describe(one, _words(view, own))
    return axes[0] if single else axes


def _xlabel(view: View, names: Sequence[str]) -> str:
    """What the axis shows; of panels with different labels what they have in common."""
    labels = dict(view.table.attrs.get("xlabels", {}))
    said = {str(labels.get(name, "")) for name in names}
    if len(said) == 1 and "" not in said:
        return said.pop()
    common = {label.split(" (% of ")[0] for label in said}
    if len(common) == 1 and view.axis.factor != 1 and "" not in common:
        return f"{common.pop()} (%)"
    return effect_name(view.table, view.axis)


def _names(ax: Axes, view: View, lanes: Sequence[Lane], shown: dict[str, str]) -> float:
    """Names of the groups at the middle of their lines; how far they reach to the left."""
    set_scale(ax, view.axis, "x")
    at = {group: float(np.mean([lane.y for lane in lanes if lane.group == group])) for group in shown}
    reach = named(ax, list(at.values()), list(shown.values()), view.style)
    for y in [lane.top for lane, before in zip(lanes[1:], lanes, strict=False) if lane.group != before.group]:
        ax.axhline(y, color=view.style.muted, lw=view.style.line(0.04), alpha=0.5, label="_rule", zorder=0)
    null = view.axis.null
    if null is not None and view.axis.low <= null <= view.axis.high:
        ax.axvline(null, color=view.style.ink, lw=view.style.line(0.08), label="_null", zorder=0.5)
    return reach


def _intervals(ax: Axes, view: View, lanes: Sequence[Lane]) -> None:
    """Pooled effects with both intervals; what lies beyond the axis ends in an arrow."""
    style, axis = view.style, view.axis
    for lane in lanes:
        y = lane.y - _UP
        for row, width in (("prediction", 0.11), ("pooled", 0.42)):
            for low, high in view.of(lane, row)[["low", "high"]].to_numpy(dtype=np.float64):
                if not (np.isfinite(low) and np.isfinite(high)):
                    continue
                ends = (max(low, axis.low), min(high, axis.high))
                line: dict[str, Any] = {"colors": [lane.colour], "lw": style.line(width), "zorder": 3}
                ax.hlines(y, *ends, label=f"_{row}", **line)
                for end, inside, arrow in ((ends[0], low >= axis.low, "<"), (ends[1], high <= axis.high, ">")):
                    if not inside or row == "prediction":
                        ax.plot(
                            end, y, marker="|" if inside else arrow, ms=0.6 * style.size, color=lane.colour, ls="none",
                            clip_on=False, mew=style.line(0.11), label="_end" if inside else "_arrow", zorder=3,
                        )  # fmt: skip
        for estimate in view.of(lane, "pooled")["estimate"]:
            ax.plot(
                estimate, y, marker="D", ms=0.8 * style.size, mfc=lane.colour, mec=ax.get_facecolor(),
                mew=style.line(0.1), ls="none", clip_on=False, label="_estimate", zorder=4,
            )  # fmt: skip


def _points(ax: Axes, view: View, lanes: Sequence[Lane], label: int) -> None:
    """Studies below the intervals, kept apart in height; the sizes of the figure must be settled."""
    across, height = room(ax)
    unit = height / abs(float(np.subtract(*ax.get_ylim())))
    for lane in lanes:
        part = view.of(lane, "study")
        if not len(part):
            continue
        width = view.width(view.weight[part.index])
        x = np.array([view.axis.share(float(value)) for value in part["estimate"]]) * across
        middle = lane.y + (_DOWN if len(view.of(lane, "pooled")) else 0.0)
        y = middle + spread(x, width / 2, _BAND * unit) / unit
        area = width**2 * (_SQUARE if lane.marker in "sD" else 1.0)
        ax.scatter(
            part["estimate"], y, s=area, marker=lane.marker, color=[lane.colour], alpha=_ALPHA,
            edgecolors=[ax.get_facecolor()], linewidths=view.style.line(0.05), clip_on=False, label="_points", zorder=2,
        )  # fmt: skip
        order = np.argsort(-width, kind="stable")[:label]
        names = [(str(part["study"].iloc[i]), float(x[i])) for i in order]
        _labels(ax, middle + _BELOW, names, across, view.style)


def _labels(ax: Axes, y: float, names: Sequence[tuple[str, float]], across: float, style: Style) -> None:
    """Names of the largest studies under their points; one without room is left out."""
    taken: list[tuple[float, float]] = []
    for name, x in names:
        half = text_width(name, style, small=True) / 2
        middle = min(max(x, half), across - half)
        if 2 * half <= across and all(middle + half < low or middle - half > high for low, high in taken):
            taken.append((middle - half - style.size, middle + half + style.size))
            write(
                ax, middle / across, y, name, style, transform=ax.get_yaxis_transform(), color=style.muted,
                horizontalalignment="center", verticalalignment="center_baseline", label="_name", zorder=4,
            )  # fmt: skip


def _chosen(columns: Sequence[str] | None, *, narrow: bool) -> list[str]:
    """Columns of text that are wanted."""
    if columns is None:
        return list(_TEXTS[:2] if narrow else _TEXTS)
    if not isinstance(columns, (str, list, tuple)):
        raise OptionError(f"columns={columns!r} must be a list of some of {', '.join(_TEXTS)}.")
    wanted = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    strange = [name for name in wanted if name not in _TEXTS]
    if strange:
        raise OptionError(f"columns holds {listed(strange)}. Choose from {', '.join(_TEXTS)}.")
    return wanted


def _texts(ax: Axes, view: View, lanes: Sequence[Lane], columns: Sequence[str]) -> None:
    """Numbers on the right."""
    style, at = view.style, [lane.y for lane in lanes]
    heads = [view.of(lane, "group") for lane in lanes]
    pooled = [view.of(lane, "pooled") for lane in lanes]
    name = (
        view.axis.short if view.axis.factor != 1 else _xlabel(view, list(dict.fromkeys(lane.panel for lane in lanes)))
    )
    said = {
        "k": ("k", [f"{head['k'].iloc[0]:.0f}" if len(head) else "" for head in heads], "right"),
        "n": ("n", [_whole(head["total"].iloc[0]) if len(head) else "" for head in heads], "right"),
        "estimate": (f"{name} ({view.level} CI)", [_estimate(part, view) for part in pooled], "left"),
    }
    edge = 0.0
    for name in columns:
        head, texts, align = said[name]
        if any(texts):
            edge = column_of_text(ax, at, texts, head, edge + 1.1 * style.size, style, align=align)


def _whole(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else ""


def _estimate(part: pd.DataFrame, view: View) -> str:
    if not len(part):
        return ""
    value, low, high = part[["estimate", "low", "high"]].to_numpy(dtype=np.float64)[0]
    interval = view.axis.interval(low, high, view.style.between, view.style.brackets)
    return f"{view.axis.number(value)} {interval}".strip().replace(".", view.style.decimal)


def _key(view: View, of: str, lanes: Sequence[Lane]) -> list[Artist]:
    """What the marks are; of dodged panels also whose they are."""
    style, table, level = view.style, view.table, view.level
    colour = style.ink if lanes else style.pooled
    handles: list[Artist] = []
    mark: dict[str, Any]
    for name, lane in {lane.panel: lane for lane in lanes}.items():
        mark = {"marker": lane.marker, "ls": "none", "ms": 0.8 * style.size, "color": lane.colour}
        handles.append(Line2D([], [], label=spoken(name), **mark))
    if (table["row"] == "pooled").any():
        mark = {"marker": "D", "ms": 0.7 * style.size, "color": colour, "lw": style.line(0.42)}
        handles.append(Line2D([], [], label=f"Pooled, {level} CI", **mark))
    if (table["row"] == "prediction").any():
        handles.append(Line2D([], [], color=colour, lw=style.line(0.11), label=f"{level} prediction interval"))
    sizes = example_sizes(view.weight)
    for value in sizes:
        name = f"n = {value:,.0f}" if of == "total" else f"variance {1 / value:.2g}"
        size = float(view.width(value))
        mark = {"marker": "o", "ls": "none", "ms": size, "color": colour, "alpha": _ALPHA, "mew": 0}
        handles.append(Line2D([], [], label=f"Study, {name}" if len(sizes) == 1 else name, **mark))
    fewer = _least(table)
    if fewer:
        handles.append(Line2D([], [], ls="none", label=fewer))
    return handles


def _least(table: pd.DataFrame) -> str:
    """Why some groups have no estimate."""
    pooled = set(zip(*[table.loc[table["row"] == "pooled", name] for name in ("panel", "group")], strict=True))
    heads = table[table["row"] == "group"]
    without = [k for *key, k in heads[["panel", "group", "k"]].itertuples(index=False) if tuple(key) not in pooled]
    least = int(table.attrs.get("least", 0))
    return f"Fewer than {least} studies: not pooled" if without and least and max(without) < least else ""


def _words(view: View, lanes: Sequence[Lane]) -> str:
    """A panel in words."""
    found = [(lane, view.of(lane, "study"), view.of(lane, "pooled")) for lane in lanes]
    k = sum(len(study) for _, study, _ in found)
    used = len({lane.group for lane, study, _ in found if len(study)})
    name = _xlabel(view, list(dict.fromkeys(lane.panel for lane in lanes)))
    several = len({lane.panel for lane in lanes}) > 1
    said = []
    for lane, _, pooled in found:
        for value, low, high, level in pooled[["estimate", "low", "high", "level"]].to_numpy(dtype=np.float64):
            where = f"{spoken(lane.group)}{f', {spoken(lane.panel)}' if several else ''}"
            said.append(f"{where} {value_of(view.axis, value, low, high, level)}")
    head = f"Comparison of {plural(used, 'group')} with {plural(k, 'study')}: {name}."
    return f"{head} Pooled: {'; '.join(said)}." if said else head
