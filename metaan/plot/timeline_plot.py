"""The timeline: response rates by year, a panel for each therapy, and the patients that there were by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaan.errors import InputError, OptionError
from metaan.evidence.once import NUMBER
from metaan.models.text import plural
from metaan.plot.axis import Axis
from metaan.plot.checked import POSITIVE, SHARE, checked, once_only, one_of
from metaan.plot.measure import wrap
from metaan.plot.panel import COLUMN, describe, finish, label_points, table_of, write
from metaan.plot.rows import columns_of_key, example_sizes, key_under, room, settle, spoken, still, wrapped
from metaan.plot.scales import axis_of, effect_name, panels, set_scale
from metaan.plot.style import Style, current_style
from metaan.plot.timeline_data import COLUMNS, timeline_table
from metaan.validate import FloatArray, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["timeline", "timeline_table"]

_PANEL: Final = 8.6  # height of a panel with its title, in multiples of the text size
_LARGEST: Final = 1.5  # width of the largest point
_SMALLEST: Final = 0.4
_STEP: Final = 0.3  # years from the middle to the outermost study of one year
_ALPHA: Final = 0.75
_CROWD: Final = 40  # studies of a panel; of more none is named
_TALL: Final = 1.6  # height of the only panel of rates, in panels


class _View(NamedTuple):
    """What all panels have in common."""

    axis: Axis
    years: tuple[float, float]
    most: float
    """Largest total."""
    style: Style

    def width(self, total: Any) -> FloatArray:
        """Widths of points, in points."""
        share = np.sqrt(np.asarray(total, dtype=np.float64) / self.most)
        return np.asarray(self.style.size * np.maximum(_LARGEST * share, _SMALLEST), dtype=np.float64)


def timeline(
    trials: pd.DataFrame,
    *,
    by: str | None = None,
    number: str | None = None,
    interval: str | None = None,
    label: int = 1,
    ylabel: str | None = None,
    ax: Any = None,
    style: str | Style | None = None,
) -> npt.NDArray[np.object_]:
    """Timeline: rates with intervals by year, a panel for each therapy, over the growing number of patients.

    Parameters
    ----------
    trials : DataFrame
        Rows from `metaan.load`, or a table from `timeline_table`.
    by, number, interval : str, optional
        What has panels, what is summed up, which intervals; see `timeline_table`. Not for a table.
    label : int, default 1
        How many of the largest studies of a panel are named, where there is room.
    ylabel : str, optional
        What the rates are; by default "Complete response (% of lesions)" and the like, where that is known.
    ax : sequence of matplotlib.axes.Axes, optional
        Where to draw, one for each group and one for the sum; a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    array of matplotlib.axes.Axes
        One for each group, that with the largest total first, then that of the sum.

    Raises
    ------
    InputError, DataError, OptionError
        As `timeline_table`; options of a table together with one; not as many Axes as panels.

    See Also
    --------
    timeline_table : The table that is drawn.

    Notes
    -----
    The area of a point is its n. Studies of one year stand side by side about it. A trend over the years may be one of
    patients, criteria or treatment; `metaan.regress` with a moderator tells year and therapy apart, as far as that is
    possible.

    Examples
    --------
    >>> import metaan
    >>> trials = metaan.load("topical", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    >>> axes = metaan.plot.timeline(trials)
    >>> len(axes), axes[0].get_title(loc="left")
    (2, 'Topical: k = 5, n = 132')
    """
    label = whole("label", label, 0)
    if not isinstance(ylabel, (str, type(None))):
        raise OptionError(f"ylabel={ylabel!r} must be text.")
    given: dict[str, Any] = {"by": by, "number": number, "interval": interval}
    if _is_table(trials):
        table = table_of(trials, timeline_table, COLUMNS, given)
    else:
        table = timeline_table(trials, **{name: value for name, value in given.items() if value is not None})
    table = _drawable(table)
    studies, sums = (table[table["row"] == row] for row in ("study", "cumulative"))
    if studies.empty:
        raise InputError("The table has no row of kind 'study': there is nothing to draw.")
    groups = [name for name in map(str, table.attrs.get("groups", ())) if (studies["group"] == name).any()]
    groups += [str(name) for name in dict.fromkeys(studies["group"]) if str(name) not in groups]
    style_ = current_style([*groups, *map(str, studies["study"])], style)
    view = _view(studies, style_)
    handles = _key(view, studies, float(table["level"].iloc[0]))
    count = columns_of_key(handles, (COLUMN - 2) * style_.size, style_)
    n = len(groups) + bool(len(sums))
    shares = [_TALL if len(groups) == 1 else 1.0] * len(groups) + [1.0] * (n - len(groups))
    height = _PANEL * sum(shares) + 5.0 + 1.3 * -(-len(handles) // count)
    axes = panels(style_, ax, n, height=height, rows=True, ratios=shares)
    named = effect_name(table, view.axis) if ylabel is None else ylabel
    for i, (one, group) in enumerate(zip(axes, groups, strict=False)):
        part = studies[studies["group"] == group]
        _rates(one, part, group, view, last=i == n - 1)
        describe(one, _words(part, group, named))
    if len(sums):
        _sum(axes[-1], sums, table, view)
    _ylabel(list(axes[: len(groups)]), named, style_)
    key_under(axes[-1], handles, style_, columns=count, left=2.6 * style_.size)
    settle(axes[0])
    with still(axes[0]):
        for one, group in zip(axes, groups, strict=False):
            _labels(one, studies[studies["group"] == group], label, view)
    return axes


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no timeline can be drawn from it."""
    once_only(table, "The table")
    number = next((name for name in NUMBER.choices if name in table.columns), None)
    sums = table["row"] == "cumulative"
    if sums.any() and number is None:
        raise InputError(f"The table has cumulative rows, but no column {' or '.join(NUMBER.choices)}.")
    named = table.attrs.get("groups", [])
    if not isinstance(named, (list, tuple)):
        raise InputError(f"attrs['groups'] of the table is {named!r}: give a list of the groups in their order.")
    if number is not None:
        checked(table[sums], {number: (0.0, 1e100), "studies": (0.0, 1e100)})
        one_of(table, "number", [name for name in NUMBER.choices if name in table.columns])
    checked(table[table["row"] == "study"], {"estimate": SHARE, "low": SHARE, "high": SHARE, "total": POSITIVE})
    free = [name for name in ("estimate", "low", "high", "total", "studies", number) if name is not None]
    table = checked(table, {"year": (-9999.0, 9999.0), "level": SHARE}, free=free, attrs=("without",))
    return table.assign(group=table["group"].astype("string").fillna("").astype(str))


def _is_table(trials: object) -> bool:
    """Whether a table was given rather than trials: it has rates and kinds of rows."""
    return {"estimate", "scale"} <= set(getattr(trials, "columns", ()))


def _view(studies: pd.DataFrame, style: Style) -> _View:
    estimate, low, high, total = (
        studies[name].to_numpy(dtype=np.float64) for name in ("estimate", "low", "high", "total")
    )
    first, last = float(studies["year"].min()), float(studies["year"].max())
    margin = max(1.0, 0.04 * (last - first))
    return _View(axis_of("rate", estimate, low, high), (first - margin, last + margin), float(total.max()), style)


def _places(part: pd.DataFrame) -> FloatArray:
    """Where the studies stand: those of one year side by side about it."""
    year = part["year"].to_numpy(dtype=np.float64)
    rank = part.groupby("year").cumcount().to_numpy(dtype=np.float64)
    many = part.groupby("year")["year"].transform("size").to_numpy(dtype=np.float64)
    return np.asarray(year + _STEP * (2 * rank - many + 1) / np.maximum(many - 1, 1), dtype=np.float64)


def _rates(ax: Axes, part: pd.DataFrame, group: str, view: _View, *, last: bool) -> None:
    """Points and intervals of one group."""
    style, x = view.style, _places(part)
    ax.vlines(x, part["low"], part["high"], colors=[style.square], lw=style.line(0.09), label="_intervals", zorder=2)
    ax.scatter(
        x, part["estimate"], s=view.width(part["total"]) ** 2, color=[style.square], alpha=_ALPHA,
        edgecolors=[ax.get_facecolor()], linewidths=style.line(0.05), clip_on=False, label="_points", zorder=3,
    )  # fmt: skip
    set_scale(ax, view.axis, "y")
    ticks = _ticks(100 * view.axis.low, 100 * view.axis.high, 4)
    ax.set_yticks([tick / 100 for tick in ticks], labels=[f"{tick:g}" for tick in ticks])
    name = f"{spoken(group)}: " if group else ""
    title = f"{name}k = {len(part)}, n = {part['total'].sum():,.0f}"
    _frame(ax, view, title[0].upper() + title[1:] if group else title, last=last)


def _sum(ax: Axes, sums: pd.DataFrame, table: pd.DataFrame, view: _View) -> None:
    """How many patients there were by each year."""
    style = view.style
    number = str(table.attrs.get("number", "patients" if "patients" in sums else "lesions"))
    year, total = sums["year"].to_numpy(dtype=np.float64), sums[number].to_numpy(dtype=np.float64)
    x, y = np.r_[view.years[0], year, view.years[1]], np.r_[0.0, total, total[-1]]
    ax.step(x, y, where="post", color=style.ink, lw=style.line(0.14), label="_sum", zorder=3)
    ax.fill_between(x, y, step="post", color=style.muted, alpha=0.2, lw=0, label="_area", zorder=1)
    top = max(1.25 * total[-1], 1.0)
    ticks = _ticks(0, top, 4)
    ax.set_ylim(0, top)
    ax.set_yticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks])
    without = int(table.attrs.get("without", 0))
    more = f"; {plural(without, 'study')} without a number" if without else ""
    _frame(ax, view, f"Cumulative {number}, each counted once{more}", last=True)
    describe(
        ax, f"{number.capitalize()} by year, each counted once: {total[-1]:,.0f} in "
        f"{plural(int(sums['studies'].iloc[-1]), 'study')} by {int(year[-1])}{more}.",
    )  # fmt: skip
    write(
        ax, view.years[1], total[-1], f"{total[-1]:,.0f}", style, bold=True, horizontalalignment="right",
        verticalalignment="bottom", label="_last", zorder=4,
    )  # fmt: skip


def _frame(ax: Axes, view: _View, title: str, *, last: bool) -> None:
    """Axes of one panel; years under the last."""
    ax.set_xlim(*view.years)
    ax.set_xticks(_ticks(*view.years, 6))
    ax.tick_params(axis="x", labelbottom=last)
    (lines,) = wrapped([title], (COLUMN - 4) * view.style.size, view.style, bold=True)
    finish(ax, view.style, xlabel="Year of publication" if last else "", title=lines)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round whole numbers between the limits."""
    ticks = MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=True).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def _ylabel(axes: Sequence[Axes], name: str, style: Style) -> None:
    """What the rates are, once, beside the middle panel."""
    along = (1.2 if len(axes) == 1 else 0.9 * len(axes)) * _PANEL * style.size
    lines = "\n".join(wrap(name, along, style))
    place = axes[len(axes) // 2]
    place.set_ylabel(lines)
    if len(axes) % 2 == 0:
        place.yaxis.label.set_y(1.15)


def _labels(ax: Axes, part: pd.DataFrame, many: int, view: _View) -> None:
    """Names of the largest studies, clear of all points and intervals."""
    if len(part) > _CROWD or many < 1:
        return
    x, total = _places(part), part["total"].to_numpy(dtype=np.float64)
    estimate, low, high = (part[name].to_numpy(dtype=np.float64) for name in ("estimate", "low", "high"))
    order = np.argsort(-total, kind="stable")
    names = [str(name) for name in part["study"].to_numpy()[order[:many]]]
    width, height = room(ax)
    aside = view.width(total) / 2 * (view.years[1] - view.years[0]) / width
    above = view.width(total) / 2 * (view.axis.high - view.axis.low) / height
    rims = [(x - aside, estimate), (x + aside, estimate), (x, estimate - above), (x, estimate + above)]
    along = [(x, low + share * (high - low)) for share in np.linspace(0, 1, 6)]
    places = [(x[order], estimate[order]), *rims, *along]
    across, heights = (np.concatenate([place[i] for place in places]) for i in (0, 1))
    for text in label_points(ax, across, heights, [*names, *([""] * (across.size - len(names)))], view.style):
        if text.get_text():
            text.set_label("_name")
        else:
            text.remove()


def _key(view: _View, studies: pd.DataFrame, level: float) -> list[Artist]:
    """What points and lines are, with sizes of some points."""
    style = view.style
    sizes_shown = example_sizes(studies["total"].to_numpy(dtype=np.float64))
    mark: dict[str, Any] = {"marker": "o", "ls": "none", "mew": 0, "color": style.muted}
    sizes: list[Artist] = [
        Line2D([], [], ms=float(view.width(value)), label=f"n = {value:,.0f}", **mark) for value in sizes_shown
    ]
    interval = Line2D([], [], color=style.muted, lw=style.line(0.09), label=f"{100 * level:g}% CI of the study")
    return [*sizes, interval]


def _words(part: pd.DataFrame, group: str, name: str) -> str:
    """A panel in words."""
    of = f" of {spoken(group)}" if group else ""
    first, last = int(part["year"].min()), int(part["year"].max())
    low, high = (100 * float(part["estimate"].agg(which)) for which in ("min", "max"))
    years = f"in {first}" if first == last else f"from {first} to {last}"
    rates = f"{low:.0f}%" if len(part) == 1 else f"from {low:.0f}% to {high:.0f}%"
    return f"Timeline of {plural(len(part), 'study')}{of} {years}, n = {part['total'].sum():,.0f}: {name} {rates}."
