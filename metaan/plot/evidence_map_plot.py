"""The evidence map: which treatments were tried in which tumours, in how many studies and patients, and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from metaan.errors import InputError
from metaan.models.text import plural
from metaan.plot.checked import checked, whether
from metaan.plot.evidence_map_data import SIZE, evidence_map_table
from metaan.plot.measure import text_width, wrap
from metaan.plot.panel import COLUMN, MARKERS, colours, describe, finish, panel, table_of, write
from metaan.plot.rows import column_of_text, columns_of_key, key_under, named, settle, spoken, to_room, wrapped
from metaan.plot.style import Style, current_style
from metaan.validate import require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evidence_map", "evidence_map_table"]

_COLUMNS: Final = ("row", "studies", "sharing")
_LAST: Final = ("mixed", "other", "not_stated", "")
_CELL: Final = 3.6  # width of the room of a bubble, in multiples of the text size
_LINE: Final = 4.4  # height of a line
_BELOW: Final = 1.1  # of it for the number under the bubble
_FULL: Final = 0.94  # of that room the largest bubble takes
_SMALLEST: Final = 0.5  # width of the smallest
_NAMES: Final = 11.0  # room of names
_TOTALS: Final = 9.5  # and of the sums on the right
_SHRINKS: Final = 1.6  # height of a line of text that a small Axes leaves, in multiples of the text size
_ALPHA: Final = 0.45
_SQUARE: Final = 0.785  # area of a circle in that of its square
_EMPTY: Final = 0.13  # shade of a gap


_Held = dict[tuple[int, int, int], tuple[int, float, str]]


class _Map(NamedTuple):
    """What stands in which column of the table, and the values in their order."""

    rows: str
    columns: str
    by: str
    size: str
    down: list[str]
    across: list[str]
    kinds: list[str]


def evidence_map(
    trials: Any,
    *,
    rows: str | None = None,
    columns: str | None = None,
    by: str | None = None,
    size: str | None = None,
    totals: bool = True,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Evidence map: a bubble for each combination that was studied, its area the number of patients.

    Parameters
    ----------
    trials : DataFrame or list of DataFrame
        Rows from `metaan.load`, or a table from `evidence_map_table`.
    rows, columns, by, size : str, optional
        What stands where and what is counted; see `evidence_map_table`. Not for a table.
    totals : bool, default True
        Write studies and patients of each line on the right.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError, OptionError
        As `evidence_map_table`; options of a table together with one.

    See Also
    --------
    evidence_map_table : The table that is drawn.

    Notes
    -----
    The number in or beside a bubble is that of studies; a bubble without a known number of patients is an open mark, a
    plus stands where some studies do not give theirs. Shaded cells are gaps: no study in hand, which is not to say that
    there is none. Lines and columns stand by size, those of mixed or unknown values last. A map shows how much there
    is, not what it says.

    Examples
    --------
    >>> import metaan
    >>> trials = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    >>> ax = metaan.plot.evidence_map(trials)
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['Melanoma', 'Breast', 'Mixed']
    """
    whether("totals", totals)
    given = {"rows": rows, "columns": columns, "by": by, "size": size}
    if _is_trials(trials):
        table = evidence_map_table(trials, **{name: value for name, value in given.items() if value is not None})
    else:
        table = table_of(trials, evidence_map_table, _COLUMNS, given)
    table = _drawable(table)
    plan = _plan(table)
    look = current_style([*plan.down, *plan.across, *plan.kinds], style)
    names = wrapped([_name(name) for name in plan.down], _NAMES * look.size, look)
    pitch = [max(_LINE, 1.15 * (name.count("\n") + 1) + 0.4) for name in names]
    beside = _NAMES + (_TOTALS if totals else 1.5)
    wide = float(np.clip(len(plan.across) * len(plan.kinds) * _CELL + beside, COLUMN, 2.05 * COLUMN))
    look = to_room(look, ax, sum(pitch) / _SHRINKS)
    heads, rotated = _heads(plan, (wide - beside) / len(plan.across) * look.size, look)
    handles = _key(table, plan, look)
    count = columns_of_key(handles, (wide - 2) * look.size, look)
    above = max(text_width(head, look) for head in heads) * 0.65 / look.size if rotated else 2.5
    ax = panel(look, ax, width=wide, height=sum(pitch) + above + 3.0 + 1.3 * -(-len(handles) // count))
    edges = np.concatenate([[0.0], np.cumsum(pitch)])
    middle = ((edges[1:] + edges[:-1]) / 2).tolist()
    ax.set(xlim=(0, len(plan.across)), ylim=(edges[-1], 0))
    held = _held(table, plan)
    _cells(ax, held, plan, edges, look)
    _headed(ax, heads, rotated, look)
    left = named(ax, middle, names, look)
    if totals:
        _totals(ax, table, plan, middle, look)
    key_under(ax, handles, look, columns=count, left=left, drop=0.9)
    _bubbles(ax, held, plan, middle, look)
    return describe(ax, _words(table, plan))


def _is_trials(given: object) -> bool:
    """Whether trials were given, one frame or several; a frame with the columns of a table is one."""
    import pandas as pd

    return not isinstance(given, pd.DataFrame) or not {"studies", "sharing"} <= set(given.columns)


def _columns_of(table: pd.DataFrame) -> tuple[str, str, str, str]:
    """Columns that stand down and across, of the kinds ("" for none) and of the sizes."""
    rest = [str(name) for name in table.columns if name not in ("row", "studies", "sharing")]
    first = [*rest, "rows", "columns"]
    rows, columns = str(table.attrs.get("rows", first[0])), str(table.attrs.get("columns", first[1]))
    free = [name for name in rest if not name.endswith(("patients", "lesions"))]
    by = str(table.attrs.get("by", free[2] if len(free) > 2 else ""))
    counted = [name for name in ("patients", "lesions") if name in rest and name not in (rows, columns, by)]
    return rows, columns, by, str(table.attrs.get("size", counted[0] if counted else "studies"))


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no map can be drawn from it."""
    rows, columns, by, size = _columns_of(table)
    keys = [rows, columns, *([by] if by else [])]
    require_columns(table, [*keys, size], "The table")
    if len({*keys, size, "row"}) < len(keys) + 2 or size not in SIZE.choices:
        raise InputError(
            f"attrs of the table say rows={rows}, columns={columns}, by={by}, size={size}: take them from "
            "metaan.plot.evidence_map_table(trials)."
        )
    known = (0.0, 1e15)
    without = [name for name in (f"without_{size}",) if name in table.columns]
    table = checked(table, {"studies": known, size: known}, free=without)
    table = table.assign(**{name: table[name].astype("string").fillna("").astype(str) for name in keys})
    if table.duplicated(["row", *keys]).any():
        raise InputError("The table has several rows for one cell or one sum: leave one of each.")
    return table


def _plan(table: pd.DataFrame) -> _Map:
    """Which column of the table is what; values by size, those of mixed or unknown ones last."""
    rows, columns, by, size = _columns_of(table)
    cells = table[table["row"] == "cell"]
    if cells.empty:
        raise InputError("The table has no row of kind 'cell': there is nothing to draw.")
    kind_of = {rows: "row", columns: "column"}
    weights = {
        name: cells.groupby(name)[size].sum() if (sums := table[table["row"] == kind_of[name]]).empty
        else sums.set_index(name)[size].reindex(cells[name].unique(), fill_value=0)
        for name in (rows, columns)
    }  # fmt: skip
    ordered = {
        name: sorted(map(str, weight.index), key=lambda value: (value in _LAST, -float(weight[value]), value))
        for name, weight in weights.items()
    }
    kinds = sorted(set(cells[by].astype(str))) if by else [""]
    return _Map(rows, columns, by, size, ordered[rows], ordered[columns], kinds)


def _held(table: pd.DataFrame, plan: _Map) -> _Held:
    """Studies, size and text of each bubble by its line, column and kind."""
    found = {}
    for cell in table[table["row"] == "cell"].to_dict("records"):
        place = (
            plan.down.index(str(cell[plan.rows])), plan.across.index(str(cell[plan.columns])),
            plan.kinds.index(str(cell[plan.by]) if plan.by else ""),
        )  # fmt: skip
        found[place] = int(cell["studies"]), float(cell[plan.size]), _counted(cell, plan.size)
    return found


def _counted(row: Mapping[Any, Any], size: str) -> str:
    """A number of patients as text, with a plus where some studies do not give theirs."""
    if not row[size]:
        return "?"
    return f"{row[size]:,.0f}{'+' if row.get(f'without_{size}', 0) else ''}"


def _name(value: str) -> str:
    return spoken(value) if value else "Not given"


def _heads(plan: _Map, width: float, style: Style) -> tuple[list[str], bool]:
    """Names of the columns, and whether they are turned: where a word is wider than its column."""
    names = [_name(value) for value in plan.across]
    lines = [wrap(name, width - style.size, style) for name in names]
    rotated = any(text_width(line, style) > width - 0.6 * style.size for each in lines for line in each)
    return (
        wrapped(names, 1.6 * _NAMES * style.size, style) if rotated else ["\n".join(each) for each in lines]
    ), rotated


def _headed(ax: Axes, heads: Sequence[str], rotated: bool, style: Style) -> None:
    """Names of the columns above them."""
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(heads)) + 0.5, labels=list(heads))
    finish(ax, style)
    turn: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"} if rotated else {}
    for label in ax.get_xticklabels():
        label.set(linespacing=1.05, **turn)
    ax.tick_params(axis="x", length=0, top=False, bottom=False, labelbottom=False, labeltop=True)
    ax.spines["bottom"].set_visible(False)


def _cells(ax: Axes, held: _Held, plan: _Map, edges: np.ndarray[Any, Any], style: Style) -> None:
    """Lines between the cells, and a shade in those without studies."""
    full = {(i, j) for i, j, _ in held}
    for i in range(len(plan.down)):
        for j in range(len(plan.across)):
            if (i, j) not in full:
                box = Rectangle((j, edges[i]), 1, edges[i + 1] - edges[i], lw=0, alpha=_EMPTY, label="_gap", zorder=0)
                box.set_facecolor(style.ink)
                ax.add_patch(box)
    line: dict[str, Any] = {"colors": [style.muted], "lw": style.line(0.05), "alpha": 0.5, "zorder": 1}
    line |= {"label": "_rule", "clip_on": False}
    ax.hlines(edges, 0, len(plan.across), **line)
    ax.vlines(range(len(plan.across) + 1), edges[0], edges[-1], **line)


def _bubbles(ax: Axes, held: _Held, plan: _Map, middle: Sequence[float], style: Style) -> None:
    """Bubbles with the number of studies in them, or beside a small one; under them how many patients."""
    width, height = settle(ax)
    unit = height / abs(float(np.subtract(*ax.get_ylim())))
    below = 0.0 if plan.size == "studies" else _BELOW
    cell = width / len(plan.across)
    room = _FULL * min(cell / len(plan.kinds), (_LINE - below) * unit)
    place, size = np.array(list(held)), np.array([size for _, size, _ in held.values()])
    x = place[:, 1] + (place[:, 2] + 0.5) / len(plan.kinds)
    y = np.array(middle)[place[:, 0]] - below / 2
    wide = np.maximum(room * np.sqrt(size / (size.max() or 1.0)), _SMALLEST * style.size)
    for which, shade in enumerate(colours(plan.kinds, style).values()):
        marker = MARKERS[which % len(MARKERS)]
        for known in (True, False):
            own = (place[:, 2] == which) & ((size > 0) == known)
            look: dict[str, Any] = {"color": [shade], "alpha": _ALPHA, "linewidths": 0, "label": "_bubbles"}
            if not known:
                look = {"facecolors": "none", "edgecolors": [shade], "linewidths": style.line(0.1), "label": "_unknown"}
            area = wide[own] ** 2 * (_SQUARE if marker in "sD" else 1.0)
            ax.scatter(x[own], y[own], s=area, marker=marker, zorder=2, **look)
    small: dict[str, Any] = {"verticalalignment": "center_baseline", "zorder": 4}
    for i, (studies, _, said) in enumerate(held.values()):
        text = f"{studies}"
        inside = text_width(text, style, small=True, bold=True) + 0.35 * style.size <= 0.85 * wide[i]
        at = float(x[i]) if inside else float(x[i] + (wide[i] / 2 + 0.2 * style.size) / cell)
        align = "center" if inside else "left"
        write(ax, at, float(y[i]), text, style, bold=True, horizontalalignment=align, label="_studies", **small)
        if below:
            write(
                ax,
                float(x[i]),
                float(y[i]) + _LINE / 2,
                said,
                style,
                horizontalalignment="center",
                label="_number",
                **small,
            )


def _totals(ax: Axes, table: pd.DataFrame, plan: _Map, middle: Sequence[float], style: Style) -> None:
    """Studies and patients of each line, those in several cells or units once."""
    sums = {str(row[plan.rows]): row for row in table[table["row"] == "row"].to_dict("records")}
    edge = 0.0
    for name in dict.fromkeys(["studies", plan.size]):
        texts = [_counted(sums[value], name) if value in sums else "" for value in plan.down]
        if any(texts):
            edge = column_of_text(ax, middle, texts, name.capitalize(), edge + 0.9 * style.size, style)


def _key(table: pd.DataFrame, plan: _Map, style: Style) -> list[Artist]:
    """What the marks are."""
    shade = colours(plan.kinds, style)
    handles: list[Artist] = []
    for i, kind in enumerate(plan.kinds):
        if plan.by:
            mark: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "ls": "none", "ms": style.size, "mew": 0}
            label = f"Counted by {kind}" if plan.by == "unit" and kind else _name(kind)
            handles.append(Line2D([], [], color=shade[kind], alpha=_ALPHA, label=label, **mark))
    handles.append(Patch(facecolor=style.ink, alpha=_EMPTY, lw=0, label="No study in hand"))
    if plan.size != "studies":
        without = f"without_{plan.size}"
        more = " (+: not all known)" if without in table and (table[without] > 0).any() else ""
        handles.append(Line2D([], [], ls="none", label=f"Bold: studies; below: {plan.size}{more}"))
    return handles


def _words(table: pd.DataFrame, plan: _Map) -> str:
    """The figure in words."""
    cells = table[table["row"] == "cell"]
    used = cells.groupby([plan.rows, plan.columns]).ngroups
    gaps = len(plan.down) * len(plan.across) - used
    whole = table[table["row"] == "all"].to_dict("records")
    of = f" of {plural(int(whole[0]['studies']), 'study')}" if whole else ""
    number = "" if not whole or plan.size == "studies" else f" with {whole[0][plan.size]:,.0f} {plan.size}"
    top = cells.iloc[int(cells[plan.size].to_numpy().argmax())]
    said = f"Evidence map{of}{number}: {_what(plan.rows)} by {_what(plan.columns)}."
    where = f"{_name(str(top[plan.rows]))} in {_name(str(top[plan.columns])).lower()}"
    kind = f", counted by {top[plan.by]}" if plan.by == "unit" else ""
    many = plural(int(top["studies"]), "study")
    amount = "" if plan.size == "studies" else f", {top[plan.size]:,.0f} {plan.size}"
    return f"{said} Most: {where}{kind} ({many}{amount}). {plural(gaps, 'combination')} without a study."


def _what(column: str) -> str:
    return column.replace("_", " ")
