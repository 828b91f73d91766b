"""Counts behind a printed percentage: every one that prints so, and those that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import ndtri

from metaan.errors import DataError, InputError, Note, OptionError, shown
from metaan.measures.intervals import INTERVAL, rate_interval
from metaan.measures.printed import IntArray, Percentage, printed
from metaan.measures.proportion import counts
from metaan.records import Shown
from metaan.validate import FloatArray, Option, check_level, column, forbid, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CI_METHOD", "PossibleCounts", "check_percentage", "counts_from_percentage", "whole_number"]

WALD: Final = "wald"
ANY: Final = "any"
CI_METHOD: Final = Option(
    "ci_method",
    {**INTERVAL.choices, WALD: "normal approximation, p +- z sqrt(p(1-p)/n), cut at 0 and 1", ANY: "one of these"},
    "clopper-pearson",
)
_LARGEST: Final = 10_000_000
_MOST_PAIRS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class PossibleCounts(Shown):
    """Every pair of events and total that prints as a percentage.

    Parameters
    ----------
    pct : str
        The percentage, with its decimals.
    events, total : array of int of shape (m,)
        The pairs, by total and then by events; empty when no count prints so.
    notes : tuple of Note
        What was assumed.
    """

    pct: str
    events: IntArray
    total: IntArray
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        for name in ("events", "total"):
            own = np.array(getattr(self, name), dtype=np.int64)
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    def __len__(self) -> int:
        return int(self.events.size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.events.tolist(), self.total.tolist(), strict=True)

    def __contains__(self, pair: object) -> bool:
        return pair in set(self)

    def __str__(self) -> str:
        shown = ", ".join(f"{x}/{n}" for x, n in list(self)[:_SHOWN])
        more = f" and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        what = f"{self.pct}%: {shown}{more}" if len(self) else f"{self.pct}%: no count prints so"
        return "\n".join([what, *(f"- {note}" for note in self.notes)])

    def to_frame(self) -> pd.DataFrame:
        """One row for each pair: events, total, rate (proportion)."""
        import pandas as pd

        return pd.DataFrame({"events": self.events, "total": self.total, "rate": self.events / self.total})


_SHOWN: Final = 12


def counts_from_percentage(
    pct: float | str,
    *,
    total: int | None = None,
    max_total: int | None = None,
    decimals: int | None = None,
    ci: tuple[float | str, float | str] | None = None,
    ci_method: str = "any",
    level: float = 0.95,
) -> PossibleCounts:
    """Every events/total that prints as a percentage.

    Parameters
    ----------
    pct : float or str
        Percentage as printed, 0 to 100. Text keeps its decimals: "3.70".
    total, max_total : int
        Number of patients or lesions, or the most it can be. Give one of the two.
    decimals : int, optional
        Decimals that were printed, 0 to 6. By default those of the text, or of the number: 3.7 has one, and 3.70 too.
    ci : pair of float or str, optional
        Confidence limits as printed, in per cent. Only counts whose interval prints so stay.
    ci_method : {"any", "clopper-pearson", "wilson", "wilson-cc", "agresti-coull", "jeffreys", "mid-p", "wald"}
        How the limits were computed; "any" when the paper does not say.
    level : float, default 0.95
        Level of the limits.

    Returns
    -------
    PossibleCounts
        Iterates over pairs (events, total); `notes` say what was assumed.

    Raises
    ------
    OptionError
        Not a percentage, decimals that do not fit it, both or neither of `total` and `max_total`, more than a million
        pairs.
    DataError
        A percentage outside 0 to 100, a total that is not a whole number from 1 to 10,000,000, limits out of order.

    Notes
    -----
    A count r of n prints as P with d decimals when r/n lies within half a unit of the last digit of P/100. Programs
    round a tie up, to even, or down: it is admitted either way. Computed in whole numbers.

    References
    ----------
    Brown NJL, Heathers JAJ (2017). Soc Psychol Personal Sci 8:363-369. doi:10.1177/1948550616673876

    Examples
    --------
    >>> list(counts_from_percentage("3.70", max_total=52))
    [(1, 27)]
    >>> (8, 24) in counts_from_percentage(33.3, max_total=52, decimals=1)
    True
    """
    value = printed(pct, decimals)
    if (total is None) == (max_total is None):
        raise OptionError("Give total= or max_total=, one of the two.")
    bound = whole_number(total if max_total is None else max_total, "total" if max_total is None else "max_total")
    sizes = np.arange(bound if max_total is None else 1, bound + 1, dtype=np.int64)
    events, totals = _pairs(value, sizes)
    notes = [
        Note("printed", f"{value}% is taken as rounded to {value.decimals} decimals, a tie rounded up or down."),
    ]
    if ci is not None:
        stay, note = _with_interval(events, totals, ci, value.decimals, CI_METHOD.check(ci_method), check_level(level))
        events, totals = events[stay], totals[stay]
        notes.append(note)
    if max_total is not None:
        notes.append(Note("bound", f"The total is assumed to be at most {bound}."))
    return PossibleCounts(pct=str(value), events=events, total=totals, notes=tuple(notes))


def whole_number(value: Any, name: str, *, least: int = 1) -> int:
    """A number of patients or lesions."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or not least <= value <= _LARGEST:
        raise DataError(f"{name}={shown(value)} must be a whole number from {least} to {_LARGEST:,}.")
    return int(value)


def _pairs(value: Percentage, sizes: IntArray) -> tuple[IntArray, IntArray]:
    low, high = value.events(sizes)
    many = np.maximum(high - low + 1, 0)
    if many.sum() > _MOST_PAIRS:
        raise OptionError(
            f"{many.sum():,} counts print as {value}%: give total=, a smaller max_total= or more decimals."
        )
    start = np.cumsum(many) - many
    within = np.arange(many.sum()) - np.repeat(start, many)
    return np.repeat(low, many) + within, np.repeat(sizes, many)


def _with_interval(
    events: IntArray, total: IntArray, ci: Any, decimals: int, method: str, level: float
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Note]:
    """Which counts have the printed interval, by one method or by any."""
    try:
        low, high = ci
    except Exception as error:  # not two values, or whatever an object does when it is asked for them
        raise OptionError(f"ci={shown(ci)} must be two percentages, (low, high), as printed.") from error
    limits = [printed(limit, None if isinstance(limit, str) else decimals, "ci") for limit in (low, high)]
    if limits[0].digits * limits[1].unit > limits[1].digits * limits[0].unit:
        raise DataError(f"ci={shown(ci)}: the lower limit exceeds the upper one.")
    methods = [name for name in CI_METHOD.choices if name != ANY] if method == ANY else [method]
    fits = {name: _prints(events, total, limits, name, level) for name in methods}
    found = [name for name, fit in fits.items() if fit.any()]
    said = f"by {', '.join(found)}" if found else "by none of the methods tried"
    stay = np.any(list(fits.values()), axis=0)
    text = f"{int(stay.sum())} of {events.size} counts have the {100 * level:g}% interval {limits[0]} to {limits[1]}"
    return stay, Note("interval", f"{text}, {said}.")


def _prints(events: IntArray, total: IntArray, limits: list[Percentage], method: str, level: float) -> Any:
    if not events.size:
        return np.zeros(0, dtype=bool)
    if method == WALD:
        p = events / total
        half = ndtri((1 + level) / 2) * np.sqrt(p * (1 - p) / total)
        bounds = np.clip(p - half, 0, 1), np.clip(p + half, 0, 1)
    else:
        bounds = rate_interval(events, total, interval=method, level=level)
    return np.logical_and(*(_near(bound, limit) for bound, limit in zip(bounds, limits, strict=True)))


def _near(bound: FloatArray, limit: Percentage) -> Any:
    return np.abs(bound * limit.unit - limit.digits) <= 0.5 + 1e-6


def check_percentage(
    data: pd.DataFrame | None = None,
    *,
    events: Any,
    total: Any,
    pct: Any,
    decimals: int | None = None,
    study: Any = None,
) -> pd.DataFrame:
    """Whether printed percentages are those of the counts beside them (a GRIM test for counts).

    Parameters
    ----------
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events, total : array of shape (k,) or column name
        Whole numbers with 0 <= events <= total and total >= 1.
    pct : sequence of k percentages or column name
        As printed. Text keeps its decimals; of a number, trailing zeros are lost and the check is so much milder.
    decimals : int, optional
        Decimals of every percentage; by default as many as each one shows.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, events, total, pct (as printed), rate (per cent, computed), difference (printed
        less computed, points), verdict, possible (whether any count of that total prints so). The verdict is "agrees";
        "truncated" (the last digit cut off instead of rounded); "last digit" (less than one unit off); "contradicts".

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.effect_size` and `counts_from_percentage`.

    References
    ----------
    Brown NJL, Heathers JAJ (2017). Soc Psychol Personal Sci 8:363-369. doi:10.1177/1948550616673876

    Examples
    --------
    >>> table = check_percentage(events=[80, 8, 2], total=[114, 24, 3], pct=["73", "33.3", "66"])
    >>> table["verdict"].tolist(), table["possible"].tolist()
    (['contradicts', 'agrees', 'truncated'], [True, True, False])
    """
    import pandas as pd

    read = counts(
        None, column(data, events, "events"), column(data, total, "total"), column(data, study, "study"), "raise"
    )
    given = _listed(column(data, pct, "pct"))
    same_length({"events": read.events, "pct": np.zeros(len(given))})
    values = [_named(value, decimals, name) for value, name in zip(given, read.study, strict=True)]
    forbid(read.total > _LARGEST, read.study, f"total must be at most {_LARGEST:,}", [read.total])
    x, n = read.events.astype(np.int64), read.total.astype(np.int64)
    rows = zip(values, x.tolist(), n.tolist(), strict=True)
    verdicts = [_verdict(value, r, size) for value, r, size in rows]
    shown = np.array([value.digits / 10**value.decimals for value in values])
    rate = 100 * x / n
    return pd.DataFrame(
        {
            "study": list(read.study), "events": x, "total": n, "pct": [str(value) for value in values], "rate": rate,
            "difference": shown - rate, "verdict": verdicts,
            "possible": [_possible(value, size) for value, size in zip(values, n, strict=True)],
        }
    )  # fmt: skip


def _listed(pct: Any) -> list[Any]:
    try:
        return list(np.atleast_1d(np.asarray(pct, dtype=object)))
    except Exception as error:
        raise InputError("pct must be one percentage for each study, as printed.") from error


def _named(value: Any, decimals: int | None, study: str) -> Percentage:
    try:
        return printed(value, decimals)
    except (DataError, OptionError) as error:
        raise type(error)(f"Study {study!r}: {error}") from error


def _verdict(value: Percentage, events: int, total: int) -> str:
    """In units of the last digit, times the total: whole numbers."""
    gap = value.digits * total - value.unit * events
    if abs(2 * gap) <= total:
        return "agrees"
    if -total < gap < 0:
        return "truncated"
    return "last digit" if abs(gap) < total else "contradicts"


def _possible(value: Percentage, total: int) -> bool:
    low, high = value.events(np.array([total], dtype=np.int64))
    return bool(low[0] <= high[0])
