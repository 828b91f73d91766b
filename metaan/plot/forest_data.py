"""What a forest plot shows, as a table: one row for each line of the figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import OptionError
from metaan.measures.backtransform import display_scale
from metaan.measures.proportion import MEASURE
from metaan.models.results import PoolResult
from metaan.plot.wording import heterogeneity_line, interval_line, model_line
from metaan.validate import Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "SORT", "forest_table"]

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
        Order of the studies: alphabetical, lowest estimate first, largest weight first, largest total first. By
        default the order in which they were given.
    interval : str, default "clopper-pearson"
        Interval of each study's own rate, as in ``res.studies(interval=...)``. Only where counts are known.
    prediction : bool, default True
        Give the prediction interval a row, when there is one.
    footnote : bool, default True
        Append the notes of the result: corrections, bounds, cautions.

    Returns
    -------
    pandas.DataFrame
        Columns ``row`` ("study", "pooled", "prediction", "statistics" or "note": what the line is), ``study`` (its
        text), ``events``, ``total``, ``estimate``, ``low``, ``high`` (rates as proportions, effects as they stand),
        ``weight`` (%), ``level`` (of the interval), ``scale`` ("rate" or "effect"). What a line lacks is NaN.

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
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Adams", "Baker", "Clark"])
    >>> table = metaan.plot.forest_table(metaan.pool(eff), footnote=False)
    >>> table["row"].tolist()
    ['study', 'study', 'study', 'pooled', 'prediction', 'statistics', 'statistics']
    """
    import pandas as pd

    if not isinstance(res, PoolResult):
        raise OptionError(f"res is a {type(res).__name__}. Pass what metaan.pool or metaan.glmm returned.")
    shown = res.back()
    studies = _studies(shown, interval)
    rows = [studies.iloc[_order(studies, sort)], pd.DataFrame(_summary(shown, studies, prediction))]
    lines = [("statistics", line) for line in (heterogeneity_line(shown), model_line(shown))]
    if footnote:
        lines += [("note", line) for line in (*interval_line(shown, interval), *map(str, shown.notes))]
    rows.append(pd.DataFrame(lines, columns=["row", "study"]))
    table = pd.concat([frame.reindex(columns=COLUMNS) for frame in rows], ignore_index=True)
    numeric = ["events", "total", "estimate", "low", "high", "weight"]
    table[numeric] = table[numeric].astype(np.float64)
    return table.assign(level=res.spec.level, scale=_scale(shown))


def _scale(shown: PoolResult) -> str:
    return "rate" if shown.effects.measure in MEASURE.choices else "effect"


def _studies(shown: PoolResult, interval: str) -> pd.DataFrame:
    """Rows of the studies: observed rates with their own interval where counts are known, else yi with its interval."""
    eff = shown.effects
    frame = shown.studies(interval=interval)
    if eff.events is not None and eff.total is not None:
        frame = frame.rename(columns={"rate": "estimate", "rate_low": "low", "rate_high": "high"})
    else:
        turn = display_scale(eff).inverse
        frame = frame.drop(columns=["events", "total"], errors="ignore").assign(
            estimate=turn(frame["yi"].to_numpy()),
            low=turn(frame["ci_low"].to_numpy()),
            high=turn(frame["ci_high"].to_numpy()),
        )
    return frame.assign(row="study")


def _order(studies: pd.DataFrame, sort: str | None) -> Any:
    if sort is None:
        return slice(None)
    SORT.check(sort)
    if sort == "label":
        return np.argsort(studies["study"].str.casefold().to_numpy(dtype=str), kind="stable")
    if sort not in studies:
        raise OptionError(f"sort={sort!r} needs totals, and these studies have none. Choose label, estimate or weight.")
    sign = 1 if sort == "estimate" else -1
    return np.argsort(sign * studies[sort].to_numpy(dtype=np.float64), kind="stable")


def _summary(shown: PoolResult, studies: pd.DataFrame, prediction: bool) -> list[dict[str, Any]]:
    pooled: dict[str, Any] = {
        "row": "pooled", "study": f"Pooled {_scale(shown)}",
        "estimate": shown.estimate, "low": shown.ci_low, "high": shown.ci_high, "weight": studies["weight"].sum(),
    }  # fmt: skip
    pooled |= {name: studies[name].sum() for name in ("events", "total") if name in studies}
    if not (prediction and math.isfinite(shown.pi_low) and math.isfinite(shown.pi_high)):
        return [pooled]
    label = f"{100 * shown.spec.level:g}% prediction interval"
    return [pooled, {"row": "prediction", "study": label, "low": shown.pi_low, "high": shown.pi_high}]
