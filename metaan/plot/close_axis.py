"""The horizontal axis of a cloud or a curve of effects: close about what is drawn, with ticks inside."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from metaan.plot.axis import Axis, make_axis
from metaan.validate import FloatArray

__all__ = ["close_axis"]

_ROOM: Final = 0.03  # on either side, as a share of the axis
_CHARACTERS: Final = 38  # of the numbers of an axis in a column, gaps included
_DECADES: Final = 12.0  # largest over smallest ratio from which ticks are those of a log axis


def close_axis(scale: str, values: FloatArray, *, room: float = _ROOM) -> Axis:
    """Axis on which the finite values stand, with a little room; rates stay between 0 and 100 %.

    `scale` is one of a forest table: "rate", "ratio" (log axis), "amount", "effect"; `room` a share of the axis.
    """
    import pandas as pd

    known = values[np.isfinite(values) & ((values > 0) | (scale != "ratio"))]
    low, high = _widened(float(known.min()), float(known.max()), scale, room)
    axis = make_axis(pd.DataFrame({"estimate": [low], "low": low, "high": high, "scale": scale}), (low, high))
    if axis.log and high > _DECADES * low:
        return axis
    for most in (6, 4, 3, 2):
        ticks = _inside(low * axis.factor, high * axis.factor, most)
        axis = dataclasses.replace(axis, ticks=tuple(float(tick) / axis.factor for tick in ticks))
        if sum(len(text) + 2 for text in axis.tick_texts()) <= _CHARACTERS:
            break
    return axis


def _widened(low: float, high: float, scale: str, share: float) -> tuple[float, float]:
    alone = high == low
    if scale == "ratio":
        room = 0.1 if alone else share * math.log(high / low)
        return low * math.exp(-room), high * math.exp(room)
    room = (0.05 if scale == "rate" else 0.1 * abs(low) or 1.0) if alone else share * (high - low)
    return (max(low - room, 0.0), min(high + room, 1.0)) if scale == "rate" else (low - room, high + room)


def _inside(low: float, high: float, most: int) -> FloatArray:
    ticks = np.asarray(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high), dtype=np.float64)
    return np.asarray(ticks[(ticks >= low - 1e-9 * (high - low)) & (ticks <= high + 1e-9 * (high - low))])
