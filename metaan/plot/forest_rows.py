"""What a forest plot shows of a result before it is put in order: rows of studies, summaries and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from metaan.measures.backtransform import display_scale
from metaan.measures.incidence_interval import exact_incidence
from metaan.measures.intervals import INTERVAL, limits
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.plot.forest_arms import arm_columns, summed
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS", "Block", "Positions", "Shown", "assemble", "axis_scale", "behind", "normal_limits", "study_rows", "sums",
]  # fmt: skip

Positions = npt.NDArray[np.intp]

COLUMNS: Final = ("row", "study", "events", "total", "estimate", "low", "high", "weight", "level", "scale")
_NUMBERS: Final = ("events", "total", "estimate", "low", "high", "weight")
_NUMERIC: Final = "iuf"


@dataclass(kw_only=True)
class Block:
    """Studies under one heading, and what is said below them."""

    name: str
    rows: Positions
    summary: list[dict[str, Any]] = field(default_factory=list)


@dataclass(kw_only=True)
class Shown:
    """All that a forest plot can show of a result.

    Parameters
    ----------
    studies : pandas.DataFrame
        One row for each study, in the order in which they were given.
    summary : list of dict
        Rows below the studies: pooled effects and prediction intervals.
    statistics, notes : list of str
        Lines under the axis.
    level : float
        Level of the intervals.
    scale : {"rate", "ratio", "amount", "effect"}
    attrs : dict
        Labels, JSON-plain: see `forest_table`.
    data : pandas.DataFrame or None
        Where columns are looked up: one row for each study.
    blocks : list of Block
        Subgroups; empty where the studies stand in one piece.
    """

    studies: pd.DataFrame
    summary: list[dict[str, Any]]
    statistics: list[str]
    notes: list[str]
    level: float
    scale: str
    attrs: dict[str, Any]
    data: pd.DataFrame | None = None
    blocks: list[Block] = field(default_factory=list)


def axis_scale(measure: str) -> str:
    """What the axis is: a rate in per cent, a ratio on a log axis, an amount without a null, or an effect about 0."""
    kind = KINDS[measure]
    if kind.scale in ("rate", "ratio"):
        return kind.scale
    return "amount" if kind.null is None else "effect"


def study_rows(eff: Effects, interval: str, level: float) -> pd.DataFrame:
    """Rows of the studies: rates with intervals from counts where these are known, else yi with its normal one."""
    import pandas as pd

    INTERVAL.check(interval)
    columns: dict[str, Any] = {"study": list(eff.study)} | arm_columns(eff)
    if eff.events is not None and eff.total is not None:
        low, high = limits(eff.events, eff.total, interval, level)
        columns |= {"events": eff.events, "total": eff.total, "estimate": eff.events / eff.total}
        return pd.DataFrame(columns | {"low": low, "high": high})
    if KINDS[eff.measure].scale == "incidence" and {"events", "time"} <= columns.keys():
        low, high = exact_incidence(columns["events"], columns["time"], level)
        return pd.DataFrame(columns | {"estimate": columns["events"] / columns["time"], "low": low, "high": high})
    estimate, low, high = normal_limits(eff, eff.yi, np.sqrt(eff.vi), level)
    return pd.DataFrame(columns | {"estimate": estimate, "low": low, "high": high})


def normal_limits(eff: Effects, at: FloatArray, se: FloatArray, level: float) -> tuple[FloatArray, ...]:
    """Values of the analysis scale and their normal limits on the display scale."""
    turn = display_scale(eff).inverse
    half = float(ndtri((1 + level) / 2)) * se
    with np.errstate(invalid="ignore", over="ignore"):  # effects at an end of their scale have no limits
        every = (at, at - half, at + half)
        return tuple(np.where(np.isnan(v), np.nan, turn(np.where(np.isnan(v), 0.0, v))) for v in every)


def sums(studies: pd.DataFrame) -> dict[str, float]:
    """What a pooled row says in the columns of counts: their sums."""
    names = [str(name) for name in studies if summed(str(name))]
    return {name: float(studies[name].sum()) for name in names if studies[name].notna().any()}


def behind(eff: Effects) -> pd.DataFrame | None:
    """Data behind effects, where they have one row for each study."""
    return eff.data if eff.data is not None and len(eff.data) == eff.k else None


def assemble(shown: Shown, order: Positions) -> pd.DataFrame:
    """The table: studies in order, under their headings where there are any, then summary, statistics and notes."""
    import pandas as pd

    studies = shown.studies.assign(row="study")
    parts = []
    for block in shown.blocks:
        mine = studies.iloc[order[np.isin(order, block.rows)]]
        below = pd.DataFrame([{"row": "group", "study": block.name}, *block.summary])
        parts += [part.assign(group=block.name) for part in (below.iloc[:1], mine, below.iloc[1:])]
    if not shown.blocks:
        parts.append(studies.iloc[order])
    lines = [*shown.summary]
    lines += [{"row": "statistics", "study": line} for line in shown.statistics]
    lines += [{"row": "note", "study": line} for line in shown.notes]
    parts.append(pd.DataFrame(lines))
    names = list(dict.fromkeys([*COLUMNS, *(["group"] if shown.blocks else []), *studies.columns]))
    numeric = {name for name in studies if studies[name].dtype.kind in _NUMERIC} | set(_NUMBERS)
    table = pd.DataFrame({name: _joined(parts, name, name in numeric) for name in names})
    table = table.assign(level=shown.level, scale=shown.scale)
    table.attrs.update(shown.attrs)
    return table


def _joined(parts: Sequence[pd.DataFrame], name: str, numeric: bool) -> npt.NDArray[Any]:
    """One column of the table from its parts; what a line lacks is NaN, or blank in a column of text."""
    blank = np.nan if numeric else ""
    made = [part[name].to_numpy() if name in part else np.full(len(part), blank) for part in parts]
    if numeric:
        return np.concatenate([np.asarray(piece, dtype=np.float64) for piece in made])
    return np.concatenate([np.where(piece == piece, piece, "").astype(object) for piece in made])
