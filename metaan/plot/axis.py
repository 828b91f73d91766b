"""The horizontal axis of a forest plot: limits, ticks, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from matplotlib.ticker import MaxNLocator

from metaan.errors import OptionError
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["XLABEL", "XSCALE", "Axis", "make_axis"]

XLABEL: Final = "xlabel"  # key of `DataFrame.attrs` of a table
XSCALE: Final = Option(
    "xscale",
    {
        "auto": "log for ratios, else linear",
        "linear": "equal steps",
        "log": "equal factors; positive numbers only",
        "logit": "equal odds ratios; rates only",
    },
    "auto",
)
# Per cent; those within the limits are the ticks of a logit axis.
_ODDS: Final = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0, 95.0, 98.0, 99.5, 99.9)

_HALF: Final = 0.5  # rates that reach beyond this get the whole axis from 0 to 100 %
_TITLES: Final = {
    "rate": ("Rate (%)", "Rate, %"), "ratio": ("Ratio", "Ratio"), "amount": ("Estimate", "Estimate"),
    "effect": ("Effect size", "Effect size"),
}  # fmt: skip
_TICK_WIDTH: Final = 8  # characters; longer texts are rounded to four digits
_LARGE_RATIO, _SMALL_RATIO, _LEAST_RATIO = 100.0, 0.01, 0.001  # written without decimals, with three, as "<0.001"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A horizontal axis.

    Parameters
    ----------
    low, high : float
        Limits, in the unit of the table.
    ticks : tuple of float
        Tick positions, in the unit of the table.
    factor : float
        What a number is multiplied by before it is written: 100 for rates in per cent.
    decimals : int
        Decimals of the numbers in the text columns; -1 writes three significant digits.
    title : str
        What the axis shows, e.g. "Rate (%)".
    short : str
        The same for the head of a column, e.g. "Rate, %".
    null : float or None
        Where no effect lies, drawn as a line; None for rates and amounts.
    signed : bool
        Numbers may be negative.
    ratios : bool
        Numbers have two decimals, large ones fewer and small ones three: none is written as 0.
    kind : {"linear", "log", "logit"}
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    factor: float
    decimals: int
    title: str
    short: str
    null: float | None
    signed: bool = False
    ratios: bool = False
    kind: Literal["linear", "log", "logit"] = "linear"

    @property
    def log(self) -> bool:
        """Whether equal steps are equal factors."""
        return self.kind == "log"

    def share(self, value: float) -> float:
        """Where a value stands between the limits, 0 to 1."""
        return self.between(self.low, value, self.high)

    def between(self, start: float, value: float, end: float) -> float:
        """Share of the way from start to end at which a value stands, as drawn."""
        begun, at, ended = (self._scaled(x) for x in (start, value, end))
        if math.isinf(begun) or math.isinf(ended):
            return 1.0 if math.isinf(begun) else 0.0
        return (at - begun) / (ended - begun)

    def _scaled(self, value: float) -> float:
        if self.kind == "linear":
            return value
        if value <= 0:
            return -math.inf
        if self.kind == "log":
            return math.log(value)
        return math.log(value / (1 - value)) if value < 1 else math.inf

    def slope(self, x: FloatArray) -> FloatArray:
        """Change of values for a step along the axis as it is drawn: turns a density of values into one of places."""
        return {"linear": np.ones_like(x), "log": x, "logit": x * (1 - x)}[self.kind]

    def number(self, value: float) -> str:
        """Text of one value; empty when it is missing."""
        if math.isnan(value):
            return ""
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        shown = value * self.factor
        if self.ratios:
            return _ratio(shown)
        return _minus(f"{shown:.{self.decimals}f}" if self.decimals >= 0 else f"{shown:.3g}")

    def interval(self, low: float, high: float, between: str = "–", brackets: tuple[str, str] = ("(", ")")) -> str:
        """Text of an interval in brackets; empty when it is missing."""
        if math.isnan(low) or math.isnan(high):
            return ""
        if self.signed and between in ("–", "-"):
            between = " to "  # a dash between signed numbers reads as a minus
        return f"{brackets[0]}{self.number(low)}{between}{self.number(high)}{brackets[1]}"

    def tick_texts(self) -> list[str]:
        """Text of each tick, short enough to stand beside the next."""
        shown = [tick * self.factor for tick in self.ticks]
        full, short = ([_minus(f"{value:.{digits}g}") for value in shown] for digits in (10, 4))
        return short if max(map(len, full)) > _TICK_WIDTH and len(set(short)) == len(short) else full


def make_axis(table: pd.DataFrame, xlim: tuple[float, float] | None = None, xscale: str = "auto") -> Axis:
    """Axis for a forest table: the limits asked for, or limits that clip nothing."""
    scale = str(table["scale"].iloc[0])
    kind = _kind(scale, xscale)
    is_rate = scale == "rate"
    factor = 100.0 if is_rate else 1.0
    null = table.attrs.get("reference", {"rate": None, "amount": None, "ratio": 1.0}.get(scale, 0.0))
    values = table[["estimate", "low", "high"]].to_numpy(dtype=np.float64) * factor
    values = values[np.isfinite(values)]
    if not values.size:
        raise OptionError("The table has neither estimates nor limits: there is nothing to draw.")
    if xlim is None:
        asked = "reference" in table.attrs or any(table.attrs.get("favours", ()))
        ticks = _ticks(values if null is None else _with_null(values, null * factor, kind, asked), kind, is_rate)
        low, high = float(ticks[0]), float(ticks[-1])
    else:
        low, high = (limit * factor for limit in _checked(xlim, scale, kind))
        ticks = _inner(low, high, kind)
    title, short = _TITLES[scale]
    short = str(table.attrs.get(XLABEL, short)) if scale != "rate" else short
    return Axis(
        low=low / factor, high=high / factor, ticks=tuple(float(t) / factor for t in ticks), factor=factor,
        decimals=2 if scale == "ratio" else _decimals(high - low, is_rate), title=title, short=short,
        null=None if null is None else float(null), signed=scale == "effect",
        ratios=scale == "ratio", kind=kind,
    )  # fmt: skip


def _with_null(values: FloatArray, null: float, kind: str, asked: bool) -> FloatArray:
    """Values with that of no effect, if it was asked for or the values still take half of the axis."""
    positive = values[values > 0] if kind == "log" else values
    if not positive.size or (kind == "log" and null <= 0):
        return values
    turn = math.log if kind == "log" else float
    low, at, high = turn(positive.min()), turn(null), turn(positive.max())
    return np.append(values, null) if asked or 2 * low - high <= at <= 2 * high - low else values


def _inner(low: float, high: float, kind: str) -> FloatArray:
    """Ticks between limits: those of the kind of axis, or those of a linear one where fewer than two lie there."""
    for locate in ({"log": _decades, "logit": _odds}.get(kind, _locate), _locate):
        ticks = locate(low, high)
        ticks = ticks[(ticks >= low - 1e-9 * (high - low)) & (ticks <= high + 1e-9 * (high - low))]
        if ticks.size > 1:
            break
    return ticks


def _kind(scale: str, xscale: str) -> Literal["linear", "log", "logit"]:
    """Kind of the axis; an amount or a difference has no logit, a difference no log."""
    XSCALE.check(xscale)
    if xscale == "log" and scale != "effect":
        return "log"
    if xscale == "logit" and scale == "rate":
        return "logit"
    if xscale in ("log", "logit"):
        raise OptionError(f"xscale={xscale!r} needs {'positive numbers' if xscale == 'log' else 'rates'}.")
    return "log" if xscale == "auto" and scale == "ratio" else "linear"


def _ticks(values: FloatArray, kind: str, is_rate: bool) -> FloatArray:
    """Ticks whose ends enclose the values: those above 0 on a log axis, those between 0 and 100 % on a logit axis."""
    if kind == "linear":
        return _automatic(values, is_rate)
    if kind == "logit":
        inside = values[(values >= _ODDS[0]) & (values <= _ODDS[-1])]
        return _odds(float(inside.min(initial=50.0)), float(inside.max(initial=50.0)))
    positive = values[values > 0]
    low, high = float(positive.min(initial=1.0)), float(positive.max(initial=1.0))
    return _decades(*((float(positive.min()), min(high, 100.0)) if is_rate and positive.size else (low, high)))


def _odds(low: float, high: float) -> FloatArray:
    """Ticks of a logit axis that enclose the limits, every second where they are many."""
    ticks = np.array(_ODDS)
    first = max(int(np.searchsorted(ticks, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(ticks, high)), ticks.size - 1)
    if first == last:
        first, last = max(first - 1, 0), min(last + 1, ticks.size - 1)
    inner = ticks[first : last + 1]
    return inner if inner.size <= 8 else np.unique(np.append(inner[::2], inner[-1]))


def _decades(low: float, high: float) -> FloatArray:
    """Ticks of a log axis that enclose the limits: 1, 2, 5 of every decade, or decades alone where they are many."""
    first, last = math.floor(math.log10(low) + 1e-12), math.ceil(math.log10(high) - 1e-12)
    decades = last - first
    if decades <= 2:
        ticks = np.array([step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)])
    else:
        stride = -(-decades // 6)
        ticks = 10.0 ** np.arange(-stride * -(-max(-first, 0) // stride) if first < 0 else first, last + stride, stride)
    inner = ticks[(ticks > low * (1 + 1e-12)) & (ticks < high * (1 - 1e-12))]
    below, above = ticks[ticks <= low * (1 + 1e-12)], ticks[ticks >= high * (1 - 1e-12)]
    ticks = np.concatenate([below[-1:], inner, above[:1]])
    return ticks if ticks.size > 1 else np.array([ticks[0] / 2, ticks[0] * 2])


def _automatic(values: FloatArray, is_rate: bool) -> FloatArray:
    if not is_rate:
        low, high = float(values.min()), float(values.max())
        return _locate(low, high) if high > low else _locate(low - 1, high + 1)
    top = float(values.max())
    return _locate(0.0, 100.0 if top > 100 * _HALF or top <= 0 else top)


def _locate(low: float, high: float) -> FloatArray:
    return np.asarray(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high), dtype=np.float64)


def _decimals(span: float, is_rate: bool) -> int:
    magnitude = math.floor(math.log10(span))
    decimals = max(1, 1 - magnitude) if is_rate else max(0, 2 - magnitude)
    return decimals if decimals <= 6 and magnitude <= 6 else -1


def _checked(xlim: Iterable[float], scale: str, kind: str) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in xlim)
    except (TypeError, ValueError) as error:
        raise OptionError(f"xlim={xlim!r} must be two numbers, low and high: xlim=(0, 0.6).") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OptionError(f"xlim={xlim!r} must be two finite numbers, the lower one first.")
    if kind == "log" and low <= 0:
        what = "ratios, which stand on a log axis" if scale == "ratio" else "a log axis"
        raise OptionError(f"xlim={xlim!r} must be above 0 for {what}.")
    if kind == "logit" and not 0 < low < high < 1:
        raise OptionError(f"xlim={xlim!r} must lie between 0 and 1, both left out, on a logit axis.")
    if scale == "rate" and (low < 0 or high > 1):
        hint = f" Did you mean ({low / 100:g}, {high / 100:g})?" if 1 < high <= 100 and low >= 0 else ""
        raise OptionError(f"xlim={xlim!r} must lie between 0 and 1 for rates.{hint}")
    return low, high


def _ratio(value: float) -> str:
    """A ratio with two decimals, large ones with fewer, small ones with three."""
    if value >= _LARGE_RATIO:
        return f"{value:.0f}" if value < 1e6 else f"{value:.3g}"
    if value >= _SMALL_RATIO or value <= 0:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= _LEAST_RATIO else f"<{_LEAST_RATIO:g}"


def _minus(text: str) -> str:
    digits = text.lstrip("-")
    is_zero = not digits.strip("0.")
    return digits if is_zero else text.replace("-", "−")
