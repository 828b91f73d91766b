"""Stacked bars of response categories: complete, partial, stable, progressive, study by study and pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from metaan.errors import InputError, listed
from metaan.measures.intervals import INTERVAL, limits
from metaan.models.categories_result import CategoriesResult
from metaan.models.text import plural
from metaan.plot.checked import SHARE, checked, whether
from metaan.plot.panel import COLUMN, describe, finish, panel, table_of
from metaan.plot.pieces import category_names, draw_pieces, in_full, looks, write_percentages
from metaan.plot.rows import column_of_text, columns_of_key, key_under, named, settle, to_room, wrapped
from metaan.plot.style import Style, current_style
from metaan.validate import Option, labels, numbers, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PIECES", "categories", "categories_table", "in_pieces"]

SORT: Final = Option(
    "sort",
    {
        "share": "largest share of the first category first", "label": "alphabetical", "total": "largest total first",
        "given": "as the studies were given",
    },
    "share",
)  # fmt: skip
PIECES: Final = ("row", "study", "category", "share", "low", "high", "start", "end", "total")
_KNOWN: Final = (("cr", "pr", "sd", "pd"), ("cr", "pr", "nr"))
_ROW: Final = 1.75  # height of a line, in multiples of the text size
_BAR: Final = 0.76  # of the line
_APART: Final = 0.55  # from the studies to the pooled bar, in lines
_NAMES: Final = 0.4  # of the width of the figure that names may take


def categories_table(
    res: CategoriesResult | pd.DataFrame, *, sort: str = "share", interval: str = "clopper-pearson", level: float = 0.95
) -> pd.DataFrame:
    """Table that stacked bars draw: a piece of a bar in each row.

    Parameters
    ----------
    res : CategoriesResult or DataFrame
        From `metaan.categories`, which adds the pooled shares; or counts from `metaan.response_table`: columns study
        and cr, pr, sd, pd or cr, pr, nr.
    sort : {"share", "label", "total", "given"}, default "share"
        Order of the studies: largest share of the first category, alphabetical, largest total, as given.
    interval : str, default "clopper-pearson"
        Interval of a study's own share: see `metaan.rate_interval`.
    level : float, default 0.95
        Confidence level of the studies' intervals, for counts; a result has its own.

    Returns
    -------
    pandas.DataFrame
        Columns row ("study", "pooled"), study, category, share, low, high, start, end (of the piece, 0 to 1) and total
        (of the pooled row: of all studies). ``attrs`` hold the label of the axis and the level.

    Raises
    ------
    InputError, DataError
        Neither a result nor counts; a study without observations.
    OptionError
        Unknown `sort` or `interval`.

    Examples
    --------
    >>> import metaan
    >>> counts = metaan.response_table("topical", unit="patient", overlaps="prefer_largest")
    >>> table = metaan.plot.categories_table(counts)
    >>> table.loc[table["category"] == "cr", ["study", "share"]].round(3).to_numpy().tolist()
    [['Salazar 2017', 0.357], ['Read 2017', 0.222], ['Yeung 2017', 0.133]]
    """
    import pandas as pd

    SORT.check(sort)
    if isinstance(res, CategoriesResult):
        bars, unit, level = res.bars(interval=interval), _unit_noted(res), res.spec.level
    elif isinstance(res, pd.DataFrame):
        bars, unit = _bars(res, INTERVAL.check(interval), level), _unit_given(res)
    else:
        raise InputError(f"res is a {type(res).__name__}. Pass what metaan.categories or response_table returned.")
    table = _sorted(bars, sort)
    table.attrs = {"xlabel": f"{unit.capitalize()}s (%)" if unit else "Share (%)", "level": level}
    return table


def categories(
    res: CategoriesResult | pd.DataFrame,
    *,
    sort: str | None = None,
    interval: str | None = None,
    percent: bool = True,
    xlabel: str | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Stacked bars of response categories, one for each study and one for the pooled shares.

    Parameters
    ----------
    res : CategoriesResult or DataFrame
        From `metaan.categories`; counts from `metaan.response_table`; or a table from `categories_table`.
    sort : {"share", "label", "total", "given"}, default "share"
        Order of the studies; see `categories_table`. Not for a table.
    interval : str, default "clopper-pearson"
        Interval of a study's own share, which the table holds. Not for a table.
    percent : bool, default True
        Write percentages into the pieces that have room.
    xlabel : str, optional
        Label of the axis; "Lesions (%)" or "Patients (%)" where the unit is known.
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
        As `categories_table`; options of a table together with one.

    See Also
    --------
    categories_table : The table that is drawn.

    Notes
    -----
    Pieces run from dark (the first category) to light, so that they keep their order in grey; the last one is hatched.
    The pooled bar has the means over studies of a model, not sums of counts; their intervals stand in the key. Bars say
    nothing of precision: n does.

    Examples
    --------
    >>> import metaan
    >>> counts = metaan.response_table("topical", unit="patient", overlaps="prefer_largest")
    >>> ax = metaan.plot.categories(metaan.categories(counts))
    >>> [text.get_text() for text in ax.get_yticklabels()], ax.get_xlabel()
    (['Salazar 2017', 'Read 2017', 'Yeung 2017', 'Pooled'], 'Share (%)')
    """
    whether("percent", percent)
    table = _given(res, sort, interval)
    heads = table[table["category"] == table["category"].iloc[0]]
    study, rows = [str(name) for name in heads["study"]], [str(row) for row in heads["row"]]
    look = current_style(study, style)
    names = wrapped(study, _NAMES * COLUMN * look.size, look, bold=True)
    at, bottom = _places(rows, [name.count("\n") + 1 for name in names])
    look = to_room(look, ax, bottom / _ROW)
    handles = _key(table, look)
    columns = columns_of_key(handles, (COLUMN - 2) * look.size, look)
    under = 4.2 + 1.3 * (-(-len(handles) // columns) + 1)
    ax = panel(look, ax, height=bottom + 2.0 + under)
    y = np.array(at)[(table["category"] == table["category"].iloc[0]).cumsum() - 1]
    draw_pieces(ax, table, y, _BAR * _ROW, look)
    _rule(ax, rows, at, look)
    ax.set(xlim=(0, 1), ylim=(bottom, 0), xticks=np.linspace(0, 1, 6))
    ax.set_xticklabels([f"{tick:g}" for tick in np.linspace(0, 100, 6)])
    finish(ax, look, xlabel=str(table.attrs.get("xlabel", "Share (%)")) if xlabel is None else xlabel)
    bold = [row == "pooled" for row in rows]
    left = named(ax, at, names, look, bold=bold)
    column_of_text(ax, at, [f"{n:,.0f}" for n in heads["total"]], "n", 0.8 * look.size, look, bold=bold)
    title = f"Pooled share ({100 * float(table.attrs.get('level', 0.95)):g}% CI)" if any(bold) else ""
    key_under(ax, handles, look, columns=columns, title=title, left=left)
    if percent:
        write_percentages(ax, table, y, settle(ax)[0], look)
    return describe(ax, in_pieces(table))


def _given(res: object, sort: str | None, interval: str | None) -> pd.DataFrame:
    import pandas as pd

    counts = isinstance(res, pd.DataFrame) and not {"share", "category"} & set(res.columns)
    if counts:
        return categories_table(res, sort=sort or SORT.default, interval=interval or INTERVAL.default)  # type: ignore[arg-type]
    table = table_of(res, categories_table, PIECES, {"sort": sort, "interval": interval})
    sizes = {"share": SHARE, "start": SHARE, "end": SHARE, "total": (0.0, 1e100)}
    table = checked(table, sizes, free=("low", "high"), attrs=("level",))
    pieces = table["category"].astype("string").fillna("")
    size = pieces.nunique()
    first = [*pieces[:size]]
    if len(set(first)) < size or len(table) % size or [*pieces] != first * (len(table) // size):
        raise InputError("Each bar of the table needs one piece for each category, in one order for all bars.")
    return table.assign(category=pieces.astype(str), row=table["row"].astype(str))


def _unit_noted(res: CategoriesResult) -> str:
    """What was counted, where the data told the model: it cautions against lesions alone."""
    return "lesion" if any(note.code == "lesions" for note in res.notes) else ""


def _unit_given(frame: pd.DataFrame) -> str:
    units = set(frame["unit"]) if "unit" in frame.columns else set()
    return str(units.pop()) if len(units) == 1 else ""


def _bars(frame: pd.DataFrame, interval: str, level: float) -> pd.DataFrame:
    """Pieces of the bars of studies, from their counts."""
    import pandas as pd

    require_columns(frame, ["study"], "res")
    names = next((names for names in _KNOWN if set(names) <= set(frame.columns)), None)
    if names is None:
        raise InputError("res lacks counts of the categories: columns cr, pr, sd, pd or cr, pr, nr.")
    if frame.empty:
        raise InputError("The table has no rows: there is nothing to draw.")
    x = np.column_stack([numbers(frame[name], name) for name in names])
    study = labels(frame["study"], len(frame))
    total = x.sum(axis=1, keepdims=True)
    wrong = ~(np.isfinite(x).all(axis=1) & (x >= 0).all(axis=1) & (total[:, 0] > 0))
    if wrong.any():
        raise InputError(f"{listed(np.array(study)[wrong])}: counts must be 0 or more, and one of them above 0.")
    low, high = limits(x, np.broadcast_to(total, x.shape), interval, level)
    end = np.cumsum(x / total, axis=1)
    end[:, -1] = 1.0
    size = len(names)
    return pd.DataFrame(
        {
            "row": "study", "study": np.repeat(np.array(study, dtype=object), size),
            "category": list(names) * len(frame), "share": (x / total).ravel(), "low": low.ravel(),
            "high": high.ravel(), "start": np.column_stack([np.zeros(len(frame)), end[:, :-1]]).ravel(),
            "end": end.ravel(), "total": np.repeat(total[:, 0], size),
        }
    )  # fmt: skip


def _sorted(bars: pd.DataFrame, sort: str) -> pd.DataFrame:
    """Bars in the order asked for, the pooled one last."""
    size = bars["category"].nunique()
    heads = bars.iloc[::size].reset_index(drop=True)
    keys: dict[str, list[Any]] = {
        "share": [-heads["share"], -bars["end"].to_numpy()[1::size]] if size > 1 else [-heads["share"]],
        "label": [heads["study"].astype(str)], "total": [-heads["total"]], "given": [],
    }  # fmt: skip
    order = np.lexsort([np.arange(len(heads)), *reversed(keys[sort]), heads["row"] != "study"])
    rows = (order[:, None] * size + np.arange(size)).ravel()
    return bars.iloc[rows].reset_index(drop=True)


def _places(rows: Sequence[str], lines: Sequence[int]) -> tuple[list[float], float]:
    """Heights of the bars from the top, and the end, in multiples of the text size; long names have more room."""
    at: list[float] = []
    edge = 0.0
    for i, (row, count) in enumerate(zip(rows, lines, strict=True)):
        height = max(_ROW, 1.15 * count + 0.35)
        edge += _APART * _ROW if row == "pooled" and i and rows[i - 1] != "pooled" else 0.0
        at.append(edge + height / 2)
        edge += height
    return at, edge


def _rule(ax: Axes, rows: Sequence[str], at: Sequence[float], style: Style) -> None:
    """Line between the studies and the pooled bar."""
    if "pooled" in rows and "study" in rows:
        first = rows.index("pooled")
        middle = (at[first - 1] + at[first]) / 2
        ax.hlines(middle, 0, 1, colors=[style.ink], lw=style.line(0.08), label="_rule", zorder=1)


def _key(table: pd.DataFrame, style: Style) -> list[Artist]:
    """Entries of the key: what each shade is, with its pooled share where there is one."""
    names = category_names(table)
    pooled = table[table["row"] == "pooled"]
    said = {
        str(piece["category"]): f"{in_full(str(piece['category']))} {_share(piece)}"
        for piece in pooled.to_dict("records")
    }
    return [Patch(label=said.get(name, in_full(name)), **look) for name, look in looks(names, style).items()]


def _share(piece: Mapping[Any, Any]) -> str:
    ends = np.array([piece["low"], piece["high"]], dtype=np.float64)
    interval = f" ({100 * ends[0]:.0f}–{100 * ends[1]:.0f})" if np.isfinite(ends).all() else ""
    return f"{100 * piece['share']:.0f}%{interval}"


def in_pieces(table: pd.DataFrame) -> str:
    """The figure in words."""
    first = str(table["category"].iloc[0])
    study = table[(table["row"] == "study") & (table["category"] == first)]
    total = float(study["total"].sum())
    said = [f"Stacked bars of response categories in {plural(len(study), 'study')} with {total:,.0f} observations."]
    if len(study):
        low, high = (
            study.iloc[int(which)] for which in (study["share"].to_numpy().argmin(), study["share"].to_numpy().argmax())
        )
        said.append(
            f"{in_full(first)} ranges from {100 * low['share']:.0f}% ({low['study']}) to {100 * high['share']:.0f}% "
            f"({high['study']})."
        )  # fmt: skip
    pooled = table[table["row"] == "pooled"].to_dict("records")
    if pooled:
        shares = ", ".join(f"{in_full(str(piece['category'])).lower()} {_share(piece)}" for piece in pooled)
        said.append(f"Pooled shares, {100 * float(table.attrs.get('level', 0.95)):g}% interval in brackets: {shares}.")
    return " ".join(said)
