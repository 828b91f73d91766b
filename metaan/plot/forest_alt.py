"""A forest plot in words, from its table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.models.text import number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["in_words"]

_MOST: Final = 6  # pooled effects that are told one by one
_SAID: Final = ("Heterogeneity", "Difference between")


def in_words(table: pd.DataFrame) -> str:
    """Alternative text: how many studies, pooled effects, prediction intervals and heterogeneity."""
    kinds = table["row"].to_numpy(dtype=str)
    groups = table["group"].to_numpy(dtype=str) if "group" in table else np.full(len(table), "")
    k = int((kinds == "study").sum())
    said = [f"Forest plot of {k} {'study' if k == 1 else 'studies'}."]
    inner = table[(kinds == "pooled") & (groups != "")]
    if len(inner):
        said.append(_subgroups(inner))
    if table.loc[kinds == "study", "study"].astype(str).str.startswith("Without ").all():
        said.append(_range(table[kinds == "study"]))
    for kind, words in (("pooled", _estimate), ("prediction", _ends)):
        overall = table[(kinds == kind) & (groups == "")].head(_MOST)
        said += [f"{_line(row['study'])} {words(row)}." for _, row in overall.iterrows()]
    lines = [_line(text) for text in table.loc[kinds == "statistics", "study"]]
    said += [f"{line}." for line in lines if line.startswith(_SAID)]
    return " ".join(said)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _subgroups(inner: pd.DataFrame) -> str:
    """Pooled effects of the subgroups, or their range where they are many."""
    named = [f"{_line(row['group'])} {_estimate(row)}" for _, row in inner.iterrows()]
    if len(named) <= _MOST:
        return f"Subgroups: {'; '.join(named)}."
    ordered = inner.sort_values("estimate")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    ends = f"{_value(low['estimate'], low)} ({_line(low['group'])}) to "
    return f"{len(named)} subgroups, from {ends}{_value(high['estimate'], high)} ({_line(high['group'])})."


def _range(refits: pd.DataFrame) -> str:
    """Lowest and highest estimate of the refits."""
    ordered = refits.dropna(subset=["estimate"]).sort_values("estimate")
    ends = dict.fromkeys([0, len(ordered) - 1])
    named = [
        f"{_value(row['estimate'], row)} (w{_line(row['study'])[1:]})" for _, row in ordered.iloc[[*ends]].iterrows()
    ]
    return f"One left out at a time: {' to '.join(named)}."


def _estimate(row: pd.Series[Any]) -> str:
    """Estimate with its interval, e.g. ``45.3% (95% CI 38.1% to 52.7%)``."""
    value = _value(row["estimate"], row)
    if not (math.isfinite(row["low"]) or math.isfinite(row["high"])):
        return value
    name = "CrI" if "posterior" in str(row["study"]).casefold() else "CI"
    return f"{value} ({100 * row['level']:g}% {name} {_ends(row)})"


def _ends(row: pd.Series[Any]) -> str:
    return f"{_value(row['low'], row)} to {_value(row['high'], row)}"


def _value(value: float, row: pd.Series[Any]) -> str:
    """A number, with as many decimals as the largest of its row needs for three digits."""
    if not math.isfinite(value):
        return {math.inf: "infinity", -math.inf: "-infinity"}.get(value, "not estimated")
    if row["scale"] == "rate":
        return f"{100 * value:.1f}%"
    if row["scale"] == "ratio" and 0.01 <= value < 1000:
        return f"{value:.2f}"
    sizes = [abs(row[name]) for name in ("estimate", "low", "high") if math.isfinite(row[name])]
    magnitude = math.floor(math.log10(max(sizes))) if max(sizes) > 0 else 0
    return f"{value + 0.0:.{2 - magnitude}f}" if -4 <= magnitude <= 2 else number(value, 3)
