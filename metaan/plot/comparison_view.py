"""How a comparison of groups is laid out: its lines, what stands on them, the sizes of the points, the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from matplotlib.typing import ColorType

from metaan.errors import InputError, OptionError, listed
from metaan.plot.axis import Axis
from metaan.plot.checked import ANY, POSITIVE, SCALES, SHARE, checked
from metaan.plot.panel import MARKERS, colours
from metaan.plot.scales import axis_of
from metaan.plot.style import Style
from metaan.validate import FloatArray, Option, forbid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Lane", "View", "axis_for", "drawable", "lanes_of", "names_in", "weights_of"]

SIZE: Final = Option("size", {"total": "patients or lesions", "precision": "inverse sampling variance"}, "total")
_LANE: Final = 3.1  # height of a line of the figure, in multiples of the text size
_APART: Final = 0.5  # from group to group
_NAME: Final = 0.8  # more where studies are named
_LARGEST: Final = 1.6  # width of the largest point
_SMALLEST: Final = 0.35
_CROWD: Final = 25  # studies of a group; points of more are smaller, down to
_LEAST: Final = 0.45  # of the usual width


class Lane(NamedTuple):
    """A line of the figure: its group and panel, where it is, how it is drawn."""

    group: str
    panel: str
    y: float
    """Middle."""
    top: float
    bottom: float
    colour: ColorType
    marker: str


class View(NamedTuple):
    """What all panels have in common."""

    table: pd.DataFrame
    axis: Axis
    weight: FloatArray
    """Of each row of the table, what the area of its point is proportional to."""
    style: Style

    def of(self, lane: Lane, row: str) -> pd.DataFrame:
        """Rows of a lane."""
        table = self.table
        mine = (table["group"].astype(str) == lane.group) & (table["panel"].astype(str) == lane.panel)
        return table[mine & (table["row"] == row)]

    def width(self, weight: Any) -> FloatArray:
        """Widths of points, in points."""
        most = self.table.loc[self.table["row"] == "study"].groupby(["panel", "group"]).size().max()
        largest = _LARGEST * min(1.0, max(np.sqrt(_CROWD / most), _LEAST))
        share = np.sqrt(np.asarray(weight, dtype=np.float64) / np.nanmax(self.weight))
        return np.asarray(self.style.size * np.maximum(largest * share, _SMALLEST), dtype=np.float64)

    @property
    def level(self) -> str:
        """Confidence level of the pooled effects, in per cent."""
        pooled = self.table[self.table["row"] == "pooled"]
        return f"{100 * float((pooled if len(pooled) else self.table)['level'].iloc[0]):g}%"


def drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no comparison can be drawn from it."""
    scale = sorted(set(map(str, table["scale"])))
    if len(scale) > 1 or scale[0] not in SCALES:
        raise InputError(f"scale of the table holds {listed(scale)}: one of {', '.join(SCALES)} for all rows.")
    shown = table["row"].isin(["study", "pooled"])
    if not (table["row"] == "study").any():
        raise InputError("The table has no row of kind 'study': there is nothing to draw.")
    checked(table[shown], {"estimate": {"ratio": POSITIVE, "rate": SHARE}.get(scale[0], ANY)})
    table = checked(table, {"level": SHARE}, free=("estimate", "low", "high", "total", "vi", "k"), attrs=("least",))
    for name in ("total", "vi"):
        wrong = (table[name] <= 0) | np.isinf(table[name])
        forbid((wrong & shown).to_numpy(), [*map(str, table["study"])], f"{name} must be a number above 0")
    for name, kind in (("groups", list), ("panels", list), ("xlabels", dict)):
        if not isinstance(table.attrs.get(name, kind()), kind):
            raise InputError(f"attrs[{name!r}] of the table must be a {kind.__name__}, as comparison_table makes it.")
    return table.assign(**{name: table[name].astype("string").fillna("").astype(str) for name in ("panel", "group")})


def names_in(table: pd.DataFrame, attribute: str, column: str) -> list[str]:
    """Names in their order; those of a part of a table only."""
    found = [str(name) for name in dict.fromkeys(table[column])]
    order = [str(name) for name in table.attrs.get(attribute, ())]
    return [name for name in order if name in found] + [name for name in found if name not in order]


def lanes_of(
    table: pd.DataFrame, groups: Sequence[str], names: Sequence[str], shown: Sequence[str], style: Style,
    *, named: bool,
) -> list[Lane]:  # fmt: skip
    """Lines from top to bottom, with room for names of studies; of dodged panels those that a group has."""
    held = set(zip(table["panel"].astype(str), table["group"].astype(str), strict=True))
    shade = colours(names, style) if len(names) > 1 else {names[0]: style.pooled}
    lanes, edge, more = [], 0.0, _NAME if named else 0.0
    for group, label in zip(groups, shown, strict=True):
        own = [name for name in names if len(names) == 1 or (name, group) in held]
        need = 1.15 * (label.count("\n") + 1) / max(len(own), 1)
        for name in own:
            height = max(_LANE, need)
            y, marker = edge + (height + _APART) / 2, MARKERS[names.index(name) % len(MARKERS)]
            lanes.append(Lane(group, name, y, edge, edge + height + more + _APART, shade[name], marker))
            edge += height + more
        edge += _APART
    return lanes


def weights_of(table: pd.DataFrame, size: str | None) -> tuple[FloatArray, str]:
    """What areas are proportional to: totals where all are known, else inverse variances."""
    study = (table["row"] == "study").to_numpy()
    known = bool(table.loc[study, "total"].notna().all())
    kind = SIZE.check(size if size is not None else "total" if known else "precision")
    if kind == "total" and not known:
        raise OptionError("size='total' needs the total of every study. Choose size='precision'.")
    values = table["total"] if kind == "total" else 1 / table["vi"]
    return np.where(study, values.to_numpy(dtype=np.float64), np.nan), kind


def axis_for(table: pd.DataFrame) -> Axis:
    """Axis on which every point stands, and the intervals of the pooled effects."""
    kinds = ("study", "pooled", "prediction")
    part = table[table["row"].isin(kinds)]
    inner = part["row"] != "study"
    low, high = (part[name].where(inner).to_numpy(dtype=np.float64) for name in ("low", "high"))
    return axis_of(str(table["scale"].iloc[0]), part["estimate"].to_numpy(dtype=np.float64), low, high)
