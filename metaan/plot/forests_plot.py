"""Forest plots of several outcomes of the same studies, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np
import numpy.typing as npt

from metaan.errors import OptionError
from metaan.plot.axis import XLABEL, make_axis
from metaan.plot.canvas import new_axes
from metaan.plot.forest_alt import in_words
from metaan.plot.forest_options import TableOptions
from metaan.plot.forest_plot import draw_panel, table_to_draw
from metaan.plot.layout import Words, panel, side_by_side
from metaan.plot.panel import describe
from metaan.plot.style import Style, current_style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["forests", "forests_table"]

_PLOT: Final = 15.0  # width of each plot, in multiples of the text size
_BODY: Final = ("study", "pooled", "prediction")


def forests_table(results: Mapping[str, Any], **options: Unpack[TableOptions]) -> dict[str, pd.DataFrame]:
    """Tables that `forests` draws: one forest table for each outcome, all with the same rows.

    Parameters
    ----------
    results : mapping of str to result or DataFrame
        Heading of each plot, and what `metaan.pool`, `metaan.glmm` ... returned, or a table of `forest_table`.
    **options
        Handed to `forest_table` for each result.

    Returns
    -------
    dict of str to pandas.DataFrame
        Studies in the order of the first outcome, then those that only later ones have; a study without an outcome
        has a row without numbers.

    Raises
    ------
    OptionError
        Fewer than two outcomes, a table with subgroups, or options beside a table.

    Examples
    --------
    >>> import metaan
    >>> complete = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> response = metaan.effect_size("PLO", events=[20, 31], total=[44, 40], study=["Ames", "Clark"])
    >>> results = {"Complete response": metaan.pool(complete), "Objective response": metaan.pool(response)}
    >>> tables = metaan.plot.forests_table(results, footnote=False)
    >>> tables["Objective response"]["study"].tolist()[:4]
    ['Ames', 'Bo', 'Clark', 'Pooled rate (median study)']
    """
    if not isinstance(results, Mapping) or len(results) < 2:
        raise OptionError("results must be two outcomes or more: forests({'Complete response': a, 'Response': b}).")
    tables = {}
    for heading, res in results.items():
        table = table_to_draw(res, options)
        if not set(table["row"]) <= {*_BODY, "statistics", "note"}:
            raise OptionError(f"{heading!r} has subgroups, which cannot stand side by side. Draw it with forest.")
        tables[str(heading)] = table
    return _aligned(tables)


def forests(
    results: Mapping[str, Any],
    *,
    style: str | Style | None = None,
    title: str | None = None,
    xlim: tuple[float, float] | None = None,
    xscale: str = "auto",
    **options: Unpack[TableOptions],
) -> npt.NDArray[np.object_]:
    """Forest plots of several outcomes of the same studies, side by side, the studies named once.

    Parameters
    ----------
    results : mapping of str to result or DataFrame
        Heading of each plot and what it shows: see `forests_table`.
    style : str or Style, optional
        See `forest`.
    title : str, optional
        Heading over the table.
    xlim : (float, float), optional
        Ends of every axis, rates as proportions; by default each axis has its own.
    xscale : {"auto", "linear", "log", "logit"}, default "auto"
        See `forest`.
    **options
        Handed to `forest_table` for each result: sort, interval, prediction, footnote, left, right ...

    Returns
    -------
    array of matplotlib.axes.Axes, shape (outcomes,)
        Write the figure with ``metaan.plot.save(axes[0], "forests.svg")``.

    Raises
    ------
    OptionError
        See `forests_table` and `forest`.

    See Also
    --------
    forest : One outcome.

    Notes
    -----
    The pooled rates are of each outcome by itself: studies that report one and not the other are in one and not in
    the other, so that differences between plots are not differences within studies.

    Examples
    --------
    >>> import metaan
    >>> complete = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> response = metaan.effect_size("PLO", events=[20, 31], total=[44, 40], study=["Ames", "Clark"])
    >>> results = {"Complete response": metaan.pool(complete), "Objective response": metaan.pool(response)}
    >>> axes = metaan.plot.forests(results, footnote=False)
    >>> axes.shape
    (2,)
    """
    tables = forests_table(results, **options)
    said = [str(text) for table in tables.values() for text in table["study"]]
    look = current_style([*said, title or "", *tables], style)
    axes = {heading: make_axis(table, xlim, xscale) for heading, table in tables.items()}
    layouts = [
        panel(
            table, axes[heading], look, plot=_PLOT,
            words=Words(
                title="", xlabel=str(table.attrs.get(XLABEL, axes[heading].title)), heading=heading, labels=i == 0,
                favours=tuple(table.attrs.get("favours", ("", ""))),
            ),
        )
        for i, (heading, table) in enumerate(tables.items())
    ]  # fmt: skip
    layouts = side_by_side(layouts, list(tables.values()), title or "")
    drawn = np.empty(len(layouts), dtype=object)
    drawn[:] = new_axes(layouts)
    for ax, (heading, table), layout in zip(drawn, tables.items(), layouts, strict=True):
        draw_panel(ax, table, axes[heading], layout)
        describe(ax, f"{heading}: {in_words(table)}")
    return drawn


def _aligned(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The same rows in every table: all studies, then as many summaries as the table with most of them has."""
    keys = {heading: _keys(table) for heading, table in tables.items()}
    order = list(dict.fromkeys(key for kind in _BODY for own in keys.values() for key in own if key[0] == kind))
    labels: dict[tuple[str, str, int], str] = {}
    for heading, table in tables.items():
        for key, label in zip(keys[heading], table["study"], strict=True):
            labels.setdefault(key, str(label))
    return {heading: _spread(table, keys[heading], order, labels) for heading, table in tables.items()}


def _keys(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    """What tells the rows of a table apart: the kind, the label of a study, and which of that kind and label it is."""
    seen: Counter[tuple[str, str]] = Counter()
    keys = []
    for kind, label in zip(table["row"].astype(str), table["study"].astype(str), strict=True):
        name = (kind, label if kind == "study" else "")
        keys.append((*name, seen[name]))
        seen[name] += 1
    return keys


def _spread(
    table: pd.DataFrame,
    keys: list[tuple[str, str, int]],
    order: list[tuple[str, str, int]],
    labels: Mapping[tuple[str, str, int], str],
) -> pd.DataFrame:
    """A table with the rows of all, its own lines of text after them."""
    import pandas as pd

    where = {key: i for i, key in enumerate(keys)}
    body = table.iloc[[where[key] for key in order if key in where]]
    body = body.set_index(pd.Index([i for i, key in enumerate(order) if key in where])).reindex(range(len(order)))
    body["row"] = [key[0] for key in order]
    body["study"] = [labels[key] for key in order]
    body[["level", "scale"]] = table[["level", "scale"]].iloc[0].to_numpy()
    text = table[~table["row"].isin(_BODY)]
    joined = pd.concat([body.astype(table.dtypes), text], ignore_index=True)
    joined.attrs = dict(table.attrs)
    return joined
