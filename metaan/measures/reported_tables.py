"""Two-by-two tables behind the percentages of two arms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import Note, OptionError
from metaan.measures.printed import IntArray, Percentage, printed
from metaan.measures.reported import counts_from_percentage, whole_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["tables_from_percentages"]

_MOST = 20_000_000  # pairs of arms to look through


def tables_from_percentages(
    pct_t: float | str,
    pct_c: float | str,
    *,
    total_t: int | None = None,
    total_c: int | None = None,
    total: int | None = None,
    max_total: int | None = None,
    events: int | None = None,
    decimals: int | None = None,
) -> pd.DataFrame:
    """Every two-by-two table whose arms print as two percentages and whose margins are as known.

    Parameters
    ----------
    pct_t, pct_c : float or str
        Percentages of the treated and of the control arm, as printed.
    total_t, total_c : int, optional
        Size of each arm, where printed.
    total, max_total : int, optional
        Size of both arms together, or the most it can be. Needed unless both arms are known.
    events : int, optional
        Events of both arms together, where printed.
    decimals : int, optional
        Decimals of both percentages; by default those of the text, or of the number.

    Returns
    -------
    pandas.DataFrame
        One row for each table: events_t, total_t, events_c, total_c; empty where none fits. ``attrs["notes"]`` says
        what was assumed, as text.

    Raises
    ------
    OptionError, DataError
        As `metaan.counts_from_percentage`; margins that are missing or contradict each other.

    Examples
    --------
    >>> set(tables_from_percentages("33.3", "3.70", max_total=52)["total_c"])
    {27}
    >>> tables_from_percentages("33.3", "3.70", total=51)["total_t"].tolist()
    [24]
    """
    import pandas as pd

    bound = _bound(total_t, total_c, total, max_total)
    arms = [_arm(value, size, bound, decimals) for value, size in ((pct_t, total_t), (pct_c, total_c))]
    (x1, n1), (x2, n2) = arms
    if x1.size * x2.size > _MOST:
        raise OptionError(f"{x1.size:,} by {x2.size:,} counts print so: give the size of an arm, or more decimals.")
    left, right = (index.ravel() for index in np.indices((x1.size, x2.size)))
    both = n1[left] + n2[right]
    fit = both <= bound if total is None else both == total
    if events is not None:
        fit &= x1[left] + x2[right] == whole_number(events, "events", least=0)
    found = pd.DataFrame({"events_t": x1[left], "total_t": n1[left], "events_c": x2[right], "total_c": n2[right]})[
        fit
    ].reset_index(drop=True)
    found.attrs["notes"] = [str(note) for note in _notes(len(found), total, bound, events)]
    return found


def _bound(total_t: Any, total_c: Any, total: Any, max_total: Any) -> int:
    """Most patients that both arms can have together."""
    known = {"total_t": total_t, "total_c": total_c, "total": total, "max_total": max_total}
    sizes = {name: whole_number(size, name) for name, size in known.items() if size is not None}
    if {"total", "max_total"} <= set(sizes):
        raise OptionError("Give total= or max_total=, not both.")
    arms = [sizes[name] for name in ("total_t", "total_c") if name in sizes]
    bound = sizes.get("total", sizes.get("max_total"))
    if bound is None:
        if len(arms) < 2:
            raise OptionError("Give the size of both arms, or of both together: total= or max_total=.")
        return sum(arms)
    if sum(arms) > bound or (len(arms) == 2 and "total" in sizes and sum(arms) != bound):
        raise OptionError(f"The arms ({' + '.join(map(str, arms))}) do not fit into {bound}.")
    return bound


def _arm(value: float | str, size: int | None, bound: int, decimals: int | None) -> tuple[IntArray, IntArray]:
    pct: Percentage = printed(value, decimals)
    if size is not None:
        found = counts_from_percentage(str(pct), total=size)
    else:
        found = counts_from_percentage(str(pct), max_total=max(bound - 1, 1))
    return found.events, found.total


def _notes(number: int, total: int | None, bound: int, events: int | None) -> list[Note]:
    size = f"exactly {total}" if total is not None else f"at most {bound}"
    also = f", with {events} events" if events is not None else ""
    text = f"{number} tables print so: both percentages are taken as rounded and the arms together as {size}{also}."
    return [Note("tables", text)]
