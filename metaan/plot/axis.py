"""The horizontal axis of a forest plot: limits, ticks, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from metaan.errors import OptionError
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["XLABEL", "Axis", "make_axis"]

XLABEL: Final = "xlabel"  # key of `DataFrame.attrs` of a table

_HALF: Final = 0.5  # rates that reach beyond this get the whole axis from 0 to 100 %
_TITLES: Final = {
    "rate": ("Rate (%)", "Rate, %"), "ratio": ("Ratio", "Ratio"), "amount": ("Estimate", "Estimate"),
    "effect": ("Effect size", "Effect size"),
}  # fmt: skip
_TICK_WIDTH: Final = 8  # characters; longer texts are rounded to four digits


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
    log : bool
        A log axis, for ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    factor: float
    decimals: int
    title: str
    short: str
    null: float | None
    log: bool = False

    def number(self, value: float) -> str:
        """Text of one value; empty when it is missing."""
        if not math.isfinite(value):
            return ""
        shown = value * self.factor
        return _minus(f"{shown:.{self.decimals}f}" if self.decimals >= 0 else f"{shown:.3g}")

    def interval(self, low: float, high: float) -> str:
        """Text of an interval in brackets; empty when it is missing."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        # A dash between signed numbers reads as a minus.
        between = "–" if self.null is None or self.log else " to "
        return f"({self.number(low)}{between}{self.number(high)})"

    def tick_texts(self) -> list[str]:
        """Text of each tick, short enough to stand beside the next."""
        shown = [tick * self.factor for tick in self.ticks]
        full, short = ([_minus(f"{value:.{digits}g}") for value in shown] for digits in (10, 4))
        return short if max(map(len, full)) > _TICK_WIDTH and len(set(short)) == len(short) else full


def make_axis(table: pd.DataFrame, xlim: tuple[float, float] | None = None) -> Axis:
    """Axis for a forest table: the limits asked for, or limits that clip nothing."""
    scale = str(table["scale"].iloc[0])
    is_rate = scale == "rate"
    factor = 100.0 if is_rate else 1.0
    values = table[["estimate", "low", "high"]].to_numpy(dtype=np.float64) * factor
    finite = values[np.isfinite(values)]
    if xlim is not None:
        low, high = (limit * factor for limit in _checked(xlim, scale))
        ticks = _decades(low, high) if scale == "ratio" else _locate(low, high)
        ticks = ticks[(ticks >= low - 1e-9 * (high - low)) & (ticks <= high + 1e-9 * (high - low))]
    else:
        if scale == "ratio":
            positive = np.append(finite[finite > 0], 1.0)
            ticks = _decades(float(positive.min()), float(positive.max()))
        else:
            ticks = _automatic(finite, is_rate)
        low, high = ticks[0], ticks[-1]
    title, short = _TITLES[scale]
    if scale == "ratio":
        short = str(table.attrs.get(XLABEL, short))
    return Axis(
        low=float(low) / factor, high=float(high) / factor, ticks=tuple(float(t) / factor for t in ticks),
        factor=factor, decimals=2 if scale == "ratio" else _decimals(float(high - low), is_rate), title=title,
        short=short, null={"rate": None, "amount": None, "ratio": 1.0}.get(scale, 0.0), log=scale == "ratio",
    )  # fmt: skip


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


def _checked(xlim: Iterable[float], scale: str) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in xlim)
    except (TypeError, ValueError) as error:
        raise OptionError(f"xlim={xlim!r} must be two numbers, low and high: xlim=(0, 0.6).") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OptionError(f"xlim={xlim!r} must be two finite numbers, the lower one first.")
    if scale == "ratio" and low <= 0:
        raise OptionError(f"xlim={xlim!r} must be above 0 for ratios, which stand on a log axis.")
    if scale == "rate" and (low < 0 or high > 1):
        hint = f" Did you mean ({low / 100:g}, {high / 100:g})?" if 1 < high <= 100 and low >= 0 else ""
        raise OptionError(f"xlim={xlim!r} must lie between 0 and 1 for rates.{hint}")
    return low, high


def _minus(text: str) -> str:
    digits = text.lstrip("-")
    is_zero = not digits.strip("0.")
    return digits if is_zero else text.replace("-", "−")
