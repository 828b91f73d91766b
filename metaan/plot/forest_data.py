"""What a forest plot shows, as a table: one row for each line of the figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.errors import InputError, OptionError, listed
from metaan.evidence.explain import explain
from metaan.measures.kinds import KINDS
from metaan.models.results import PoolResult
from metaan.names import RECORD
from metaan.plot.axis import XLABEL
from metaan.plot.wording import (
    axis_label,
    glmm_lines,
    heterogeneity_line,
    interval_lines,
    model_line,
    pooled_label,
    pooled_lines,
    symbols,
)
from metaan.validate import Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "ROWS", "SORT", "check_table", "forest_table"]

ROWS: Final = ("study", "pooled", "prediction", "statistics", "note")
COLUMNS: Final = ("row", "study", "events", "total", "estimate", "low", "high", "weight", "level", "scale")

SORT: Final = Option(
    "sort",
    {
        "label": "alphabetically by study label",
        "estimate": "lowest estimate first",
        "weight": "largest weight first",
        "total": "largest study first",
    },
    "label",
)


def forest_table(
    res: PoolResult,
    *,
    sort: str | None = None,
    interval: str = "clopper-pearson",
    prediction: bool = True,
    footnote: bool = True,
) -> pd.DataFrame:
    """Table that a forest plot draws: one row for each line of the figure.

    Parameters
    ----------
    res : PoolResult
        What `metaan.pool` or `metaan.glmm` returned, on either scale.
    sort : {"label", "estimate", "weight", "total"}, optional
        Order of the studies: alphabetical, lowest estimate first, largest weight first, largest total first.
        By default the order in which they were given.
    interval : str, default "clopper-pearson"
        Interval of each study's own rate, as in ``res.studies(interval=...)``. Only where counts are known.
    prediction : bool, default True
        Give the prediction interval a row, when there is one.
    footnote : bool, default True
        Append the notes: which intervals are shown, cautions of the data, decisions of the model.

    Returns
    -------
    pandas.DataFrame
        Columns ``row`` (what the line is: "study", "pooled", "prediction", "statistics" or "note"), ``study``
        (its text), ``events``, ``total``, ``estimate``, ``low``, ``high`` (rates as proportions, effects as
        given), ``weight`` (%), ``level`` (of the interval) and ``scale`` (of the axis: "rate", "ratio", "amount" or
        "effect"). What a line lacks is NaN. ``attrs["xlabel"]`` is the label of the axis, where one is known.

    Raises
    ------
    OptionError
        Unknown `sort` or `interval`; sorting by a total that is not known.

    See Also
    --------
    metaan.plot.forest : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.forest_table(metaan.pool(eff), footnote=False)
    >>> table["row"].tolist()
    ['study', 'study', 'study', 'pooled', 'prediction', 'statistics', 'statistics']
    """
    import pandas as pd

    if not isinstance(res, PoolResult):
        raise OptionError(f"res is a {type(res).__name__}. Pass what metaan.pool or metaan.glmm returned.")
    shown = res.back()
    studies = _studies(shown, interval)
    prediction = prediction and math.isfinite(shown.pi_low) and math.isfinite(shown.pi_high)
    rows = [studies.iloc[_order(studies, sort)], pd.DataFrame(_summary(shown, studies, prediction))]
    lines = [("statistics", line) for line in (heterogeneity_line(shown), model_line(shown))]
    if footnote:
        said = [
            *pooled_lines(shown),
            *interval_lines(shown, interval, prediction=prediction),
            *glmm_lines(shown),
            *_data_notes(shown),
            *map(str, shown.notes),
        ]
        lines += [("note", line) for line in dict.fromkeys(map(symbols, said))]
    rows.append(pd.DataFrame(lines, columns=["row", "study"]))
    table = pd.concat([frame.reindex(columns=COLUMNS) for frame in rows], ignore_index=True)
    numeric = ["events", "total", "estimate", "low", "high", "weight"]
    table[numeric] = table[numeric].astype(np.float64)
    table = table.assign(level=res.spec.level, scale=_scale(shown))
    label = axis_label(shown)
    table.attrs = {} if label is None else {XLABEL: label}
    return table


def check_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that can be drawn; raise OptionError with what it lacks otherwise."""
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise OptionError(f"The table lacks {', '.join(absent)}. Start from metaan.plot.forest_table(res).")
    unknown = sorted(set(map(str, table["row"])) - set(ROWS))
    if unknown:
        raise OptionError(f"row holds {listed(unknown)}, which is not known. Choose from {', '.join(ROWS)}.")
    if not (table["row"] == "study").any():
        raise OptionError("The table has no row of kind 'study': there is nothing to draw.")
    return table


def _scale(shown: PoolResult) -> str:
    """What the axis is: a rate in per cent, a ratio on a log axis, an amount without a null, or an effect about 0."""
    kind = KINDS[shown.effects.measure]
    if kind.scale in ("rate", "ratio"):
        return kind.scale
    return "amount" if kind.null is None else "effect"


def _studies(shown: PoolResult, interval: str) -> pd.DataFrame:
    """Rows of the studies: rates with exact intervals where counts are known, else yi with its interval."""
    eff = shown.effects
    frame = shown.studies(interval=interval)
    if eff.events is not None and eff.total is not None:
        frame = frame.rename(columns={"rate": "estimate", "rate_low": "low", "rate_high": "high"})
    else:
        frame = frame.drop(columns=["events", "total"], errors="ignore").assign(
            estimate=frame["yi"], low=frame["ci_low"], high=frame["ci_high"]
        )
    return frame.assign(row="study")


def _data_notes(shown: PoolResult) -> list[str]:
    """Cautions about rows that `metaan.load` selected; what it left out is told by `explain`."""
    data = shown.effects.data
    if data is None or RECORD not in data.attrs:
        return []
    try:
        notes = [(note.code, note.text) for note in explain(data).notes]
    except InputError:  # the frame lost the column that tells its rows apart: what was true when it was loaded
        notes = [(note["code"], note["text"]) for note in data.attrs[RECORD]["notes"]]
    return [text for code, text in notes if code != "left-out"]


def _order(studies: pd.DataFrame, sort: str | None) -> npt.NDArray[np.intp]:
    if sort is None:
        return np.arange(len(studies))
    SORT.check(sort)
    if sort == "label":
        return np.argsort(studies["study"].str.casefold().to_numpy(dtype=str), kind="stable")
    if sort not in studies:
        raise OptionError(f"sort={sort!r} needs totals, and these studies have none. Choose label, estimate or weight.")
    sign = 1 if sort == "estimate" else -1
    return np.argsort(sign * studies[sort].to_numpy(dtype=np.float64), kind="stable")


def _summary(shown: PoolResult, studies: pd.DataFrame, prediction: bool) -> list[dict[str, Any]]:
    pooled: dict[str, Any] = {
        "row": "pooled", "study": pooled_label(shown), "weight": studies["weight"].sum(),
        "estimate": shown.estimate, "low": shown.ci_low, "high": shown.ci_high,
    }  # fmt: skip
    pooled |= {name: studies[name].sum() for name in ("events", "total") if name in studies}
    if not prediction:
        return [pooled]
    label = f"{100 * shown.spec.level:g}% prediction interval"
    return [pooled, {"row": "prediction", "study": label, "low": shown.pi_low, "high": shown.pi_high}]
