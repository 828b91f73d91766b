"""Axes of figures that show effects: what they are called, where they end, how numbers and lines stand on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from metaan.errors import OptionError, listed
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.plot.axis import XLABEL, Axis, make_axis
from metaan.plot.measure import text_width, wrap
from metaan.plot.panel import COLUMN, figure_of, legend, panel
from metaan.plot.rows import settle
from metaan.plot.style import Style
from metaan.plot.wording import axis_label
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "axis_of",
    "chosen",
    "effect_name",
    "even_ticks",
    "key",
    "label_of",
    "panels",
    "scale_of",
    "set_scale",
    "value_of",
]

_INCH: Final = 72.0
_BELOW: Final = 3.4  # from an axis with its numbers and label to the legend, in multiples of the text size
_HANDLE: Final = 4.0  # mark of an entry and the gaps beside it, in multiples of the size of its text
_ROOM: Final = 0.04  # at the ends of a tight axis
_FEWEST: Final = 3  # ticks of a log axis; where decades are fewer, 2 and 5 of each are added
_DECADES: Final = 9
_FAR: Final = 3.0  # widths of a typical interval, beyond the estimates, that an axis shows by itself


def scale_of(eff: Effects) -> str:
    """What an axis of the effects is: "rate", "ratio" (log axis), "amount" (no null), "effect"."""
    kind = KINDS[eff.measure]
    if kind.scale in ("rate", "ratio"):
        return kind.scale
    return "amount" if kind.null is None else "effect"


def label_of(eff: Effects) -> dict[Any, str]:
    """Attributes of a table of effects: the label of their axis, where one is known."""
    label = axis_label(eff)
    return {} if label is None else {XLABEL: label}


def effect_name(table: pd.DataFrame, axis: Axis) -> str:
    """Label of an axis of effects."""
    return str(table.attrs.get(XLABEL, axis.title))


def axis_of(
    scale: str, estimate: FloatArray, low: FloatArray, high: FloatArray, limits: tuple[float, float] | None = None,
    *, tight: bool = False,
) -> Axis:  # fmt: skip
    """Axis on which all estimates stand, with their intervals but for those that reach far beyond the rest.

    It ends at ticks, or, where it is to be tight and the effects are no rates, where they do.
    """
    import pandas as pd

    turn, back = (np.log, np.exp) if scale == "ratio" else (np.asarray, np.asarray)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        at, below, above = (np.asarray(turn(x), dtype=np.float64) for x in (estimate, low, high))
        at = np.where(np.isfinite(at), at, np.nan)
        if scale != "rate":
            half = np.concatenate([at - below, above - at])
            known = half[np.isfinite(half)]
            typical = _FAR * float(np.median(known)) if known.size else 0.0
            below = np.maximum(below, np.nanmin(at) - typical)
            above = np.minimum(above, np.nanmax(at) + typical)
            ends = float(np.nanmin(np.append(below, at))), float(np.nanmax(np.append(above, at)))
            if tight and limits is None and ends[1] > ends[0]:
                room = _ROOM * (ends[1] - ends[0])
                limits = float(back(ends[0] - room)), float(back(ends[1] + room))
        frame = pd.DataFrame({"estimate": back(at), "low": back(below), "high": back(above), "scale": scale})
    axis = make_axis(frame, limits)
    if axis.log and len(axis.ticks) < _FEWEST:
        ticks = [m * 10.0**n for n in range(-_DECADES, _DECADES) for m in (1, 2, 5)]
        axis = replace(axis, ticks=tuple(tick for tick in ticks if axis.low <= tick <= axis.high))
    return axis


def set_scale(ax: Axes, axis: Axis, which: str) -> None:
    """Limits, ticks and numbers of one axis; `finish` gives them their type."""
    if axis.log:
        getattr(ax, f"set_{which}scale")("log")
    own = getattr(ax, f"{which}axis")
    getattr(ax, f"set_{which}lim")(axis.low, axis.high)
    own.set_minor_locator(NullLocator())
    own.set_ticks(axis.ticks, labels=axis.tick_texts())


def even_ticks(low: float, high: float, *, most: int = 6, whole: bool = False) -> tuple[FloatArray, list[str]]:
    """Round numbers within two limits, and their texts."""
    locator = MaxNLocator(nbins=most, integer=whole, steps=[1, 2, 5, 10])
    ticks = np.asarray(locator.tick_values(low, high), dtype=np.float64)
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    return ticks, [f"{tick:.10g}".replace("-", "−") for tick in ticks]


def chosen(label: str | Sequence[str], studies: Iterable[object]) -> list[str]:
    """Studies that the caller names, each among those that are drawn."""
    wanted = [label] if isinstance(label, str) else [str(one) for one in label]
    known = [str(study) for study in studies]
    strange = [name for name in wanted if name not in known]
    if strange:
        raise OptionError(f"label names {listed(strange)}; the studies are {listed(dict.fromkeys(known))}.")
    return list(dict.fromkeys(wanted))


def key(ax: Axes, style: Style, handles: Sequence[Artist], *, most: int = 4, drop: float = 0.0) -> None:
    """Legend under the plot, `drop` points lower than usual, in as many columns as have room; long names are broken."""
    room = settle(ax)[0]
    mark = _HANDLE * style.small
    for handle in handles:
        handle.set_label("\n".join(wrap(str(handle.get_label()), room - mark, style, small=True)))
    widths = [max(text_width(t, style, small=True) for t in str(h.get_label()).split("\n")) + mark for h in handles]
    columns = min(most, len(handles))
    while columns > 1 and sum(max(column) for column in _filled(widths, columns)) > room:
        columns -= 1
    shown = legend(ax, style, handles, columns=columns)
    if drop > 0:
        move = ScaledTranslation(0, -(_BELOW * style.size + drop) / _INCH, figure_of(ax).dpi_scale_trans)
        shown.set_bbox_to_anchor((0, 0), transform=ax.transAxes + move)


def _filled(widths: list[float], columns: int) -> list[list[float]]:
    """Entries of each column, filled as matplotlib does: the first columns take what is over."""
    rows, over = divmod(len(widths), columns)
    sizes = [rows + (i < over) for i in range(columns)]
    ends = np.cumsum(sizes)
    return [widths[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def value_of(axis: Axis, value: float, low: float = math.nan, high: float = math.nan, level: float = 0.95) -> str:
    """A number and its interval in a sentence."""
    unit = "%" if axis.factor != 1 else ""
    text = f"{axis.number(value)}{unit}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return text
    return f"{text} ({100 * level:g}% interval {axis.number(low)}{unit} to {axis.number(high)}{unit})"


def panels(
    style: Style, ax: Any, n: int, *, height: float, rows: bool = False, ratios: Sequence[float] | None = None
) -> npt.NDArray[np.object_]:
    """`n` Axes: those that were given, or those of a new figure, side by side or one above the other."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object))
        if given.shape != (n,):
            need = "one Axes" if n == 1 else f"{n} Axes, e.g. ax=[left, right]"
            raise OptionError(f"ax holds {given.size} Axes for {n} panel{'s' if n > 1 else ''}: give {need}, or none.")
        return np.array([panel(style, one) for one in given], dtype=object)
    width = COLUMN if rows or n == 1 else min(2.05 * COLUMN, 0.95 * COLUMN * n)
    figure = plt.figure(figsize=(width * style.size / _INCH, height * style.size / _INCH), layout="constrained")
    if rows:
        made = figure.subplots(n, 1, sharex=True, squeeze=False, height_ratios=ratios)
    else:
        made = figure.subplots(1, n, squeeze=False)
    return np.asarray(made.ravel(), dtype=object)
