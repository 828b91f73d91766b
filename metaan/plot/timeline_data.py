"""Table behind a timeline: the rate of every study by year, and the patients that there were by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from metaan.errors import DataError, InputError, listed
from metaan.evidence.once import NUMBER, counted_once
from metaan.measures.effect_size import effect_size
from metaan.measures.intervals import INTERVAL, limits
from metaan.plot.axis import XLABEL
from metaan.plot.checked import named_columns, once_only
from metaan.plot.wording import axis_label
from metaan.validate import check_level, numbers, require_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "timeline_table"]

COLUMNS: Final = ("row", "group", "study", "year", "events", "total", "estimate", "low", "high", "studies", "scale")


_YEARS: Final = 9999  # beyond them a number is no year


def timeline_table(
    trials: pd.DataFrame,
    *,
    by: str = "therapy",
    number: str = "patients",
    interval: str = "clopper-pearson",
    level: float = 0.95,
) -> pd.DataFrame:
    """Table behind a timeline: rates of the studies by year, and how many patients there were by the end of each year.

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows with study, year, events and total, e.g. from `metaan.load`; of one unit.
    by : str, default "therapy"
        Column whose values have panels of their own; "" for one panel. A frame without therapies has one, too.
    number : {"patients", "lesions"}, default "patients"
        What is summed up over the years.
    interval : str, default "clopper-pearson"
        Interval of each rate: see `metaan.rate_interval`.
    level : float, default 0.95
        Its confidence level.

    Returns
    -------
    pandas.DataFrame
        Rows "study": group, study, year, events, total, estimate (rate), low, high, level and scale. Rows "cumulative",
        one for each year with a study: studies, and patients (or lesions) up to then. ``attrs`` hold the order of the
        groups and the label of the axis.

    Raises
    ------
    InputError, DataError
        Columns are missing, a year is not known, impossible counts, patients together with lesions.
    OptionError
        Unknown `number` or `interval`.

    Notes
    -----
    A patient is counted once: a study adds the largest number that its rows give; of studies that share patients, or
    may (`metaan.overlaps`), the largest adds its patients in its year and the others none. Studies that give no number
    add nothing; ``attrs["without"]`` says how many.

    Examples
    --------
    >>> import metaan
    >>> trials = metaan.load("miltefosine", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    >>> table = metaan.plot.timeline_table(trials)
    >>> table.query("row == 'cumulative'")[["year", "studies", "patients"]].to_numpy().astype(int).tolist()
    [[1999, 2, 58], [2000, 3, 78]]
    """
    import pandas as pd

    NUMBER.check(number)
    named_columns(by=by)
    INTERVAL.check(interval)
    level = check_level(level)
    require_columns(
        trials, ["study", "year", "events", "total", *([by] if by not in ("", "therapy") else [])], "trials"
    )
    if trials.empty:
        raise InputError("trials has no rows: there is nothing to draw.")
    once_only(trials, "trials")
    frame = trials.reset_index(drop=True)
    year = numbers(frame["year"], "year")
    if not np.isfinite(year).all():
        raise DataError(f"{listed(frame.loc[~np.isfinite(year), 'study'])}: the year is not known. Leave the rows out.")
    odd = np.abs(year) > _YEARS
    if odd.any():
        raise DataError(f"{listed(frame.loc[odd, 'study'])}: {year[odd][0]:g} is no year.")
    eff = effect_size("PAS", frame, events="events", total="total", study="study")  # checks the counts
    events, total = (numbers(frame[name], name) for name in ("events", "total"))
    low, high = limits(events, total, interval, level)
    groups = frame[by].astype("string").fillna("").astype(str) if by in frame.columns else ""
    studies = pd.DataFrame(
        {
            "row": "study", "group": groups, "study": list(eff.study), "year": year.astype(np.int64),
            "events": events, "total": total, "estimate": events / total, "low": low, "high": high,
        }
    ).sort_values(["year", "study"], kind="stable")  # fmt: skip
    sums, without = _sums(frame, number)
    table = pd.concat([studies, sums], ignore_index=True).assign(level=level, scale="rate")
    order = studies.groupby("group")["total"].sum().sort_values(ascending=False, kind="stable")
    table.attrs = {"groups": [str(name) for name in order.index], "number": number, "without": without}
    label = axis_label(eff)
    table.attrs |= {} if label is None else {XLABEL: label}
    return table


def _sums(frame: pd.DataFrame, number: str) -> tuple[pd.DataFrame, int]:
    """Studies and patients up to each year, and how many studies give no number."""
    once = counted_once(frame, number)
    by_year = once.groupby("year").agg(studies=("number", "size"), number=("number", "sum")).cumsum().reset_index()
    by_year = by_year.rename(columns={"number": number}).assign(row="cumulative", group="", study="")
    by_year["year"] = by_year["year"].astype("int64")
    return by_year, int(once["number"].isna().sum())
