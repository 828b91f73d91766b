"""The normal quantile plot of residuals, with an envelope for what chance gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.analysis.residual_data import qq_data
from metaan.errors import InputError, listed
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.checked import ANY, checked
from metaan.plot.clouds import cloud, inner_ticks, named
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.points import lying, name_points
from metaan.plot.scales import key
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["qq", "qq_table"]

_COLUMNS: Final = ("study", "theoretical", "sample", "low", "high")
_HEIGHT: Final = 30.0  # of the figure, in multiples of the text size
_KINDS: Final = {"deleted": "Studentised residual, study left out", "standardised": "Standardised residual"}
_WORDS: Final = ("inside", "outside")
_ENVELOPES: Final = {"simulated": "simulated", "analytic": "order statistics"}


def qq_table(
    res: PoolResult | RegressResult,
    *,
    kind: str | None = None,
    envelope: str | None = None,
    draws: int | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Table that a normal quantile plot draws: ordered residuals, normal quantiles and an envelope.

    Parameters
    ----------
    res : PoolResult or RegressResult
        See `metaan.qq_data`, which this is.
    kind : {"deleted", "standardised"}, optional
        Residuals from the fit without each study (default), or from the fit to all.
    envelope : {"simulated", "analytic", "none"}, optional
        By default simulated for the results of `pool`, `regress` and `multilevel`, and analytic for others.
    draws, seed : int, optional
        Size (2000) and seed (0) of the simulation.

    Returns
    -------
    pandas.DataFrame
        Columns study, theoretical, sample, low, high and outside (of the envelope, where there is one).

    Raises
    ------
    InputError, OptionError
        As `metaan.qq_data`; no study with a residual.

    See Also
    --------
    metaan.plot.qq : Draw it.

    Examples
    --------
    >>> import metaan
    >>> names = ["Ames", "Bo", "Clark", "Di"]
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 30, 4], total=[44, 30, 40, 38], study=names)
    >>> metaan.plot.qq_table(metaan.pool(eff, method="CE"))[["study", "outside"]].values.tolist()
    [['Ames', False], ['Di', False], ['Bo', True], ['Clark', True]]
    """
    given = {"kind": kind, "envelope": envelope, "draws": draws, "seed": seed}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    table = qq_data(res, **asked)
    if table.empty:
        raise InputError("No study has a residual: there is nothing to draw. See the notes of metaan.qq_data(res).")
    table["outside"] = (table["sample"] < table["low"]) | (table["sample"] > table["high"])
    table.attrs["notes"] = [str(note) for note in table.attrs["notes"]]
    return table


def qq(
    res: PoolResult | RegressResult | pd.DataFrame,
    *,
    kind: str | None = None,
    envelope: str | None = None,
    draws: int | None = None,
    seed: int | None = None,
    label: int = 8,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Normal quantile plot of the residuals of studies, with an envelope.

    Parameters
    ----------
    res : PoolResult, RegressResult or DataFrame
        See `metaan.qq_data`; or a table from `qq_table`.
    kind : {"deleted", "standardised"}, optional
        Residuals from the fit without each study (default), or from the fit to all. Only for a result.
    envelope : {"simulated", "analytic", "none"}, optional
        See `qq_table`. Only for a result.
    draws, seed : int, optional
        Size (2000) and seed (0) of the simulation. Only for a result.
    label : int, default 8
        How many of the studies outside the envelope are named, the farthest first.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError, OptionError
        As `qq_table`; a `label` that is no count.

    See Also
    --------
    qq_table : The table that is drawn.

    Notes
    -----
    If the model holds the points lie about the line y = x, in the envelope with its probability each: of many studies
    some are outside by chance. A single point far off is an outlier; ends that bend away mean true effects with heavier
    or lighter tails than the normal distribution, steps several groups of studies. Few studies show little.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.qq(metaan.pool(eff))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Normal quantile', 'Studentised residual, study left out')
    """
    options = {"kind": kind, "envelope": envelope, "draws": draws, "seed": seed}
    label = whole("label", label, 0)
    table = checked(
        table_of(res, qq_table, _COLUMNS, options), {"theoretical": ANY}, free=_COLUMNS[2:], attrs=("level",),
    )  # fmt: skip
    names = named(table["study"])
    look = current_style(names, style)
    ax = panel(look, ax, height=_HEIGHT)
    x, y, low, high = (table[column].to_numpy(dtype=np.float64) for column in _COLUMNS[1:])
    y = _limits(ax, x, y, low, high)
    out = (y < low) | (y > high)
    handles = [
        *_envelope(ax, table, x, low, high, look),
        *cloud(ax, x, y, out, _WORDS if np.isfinite(low).any() else ("", ""), look),
    ]
    word = str(table.attrs.get("kind", ""))
    inner_ticks(ax)
    finish(ax, look, xlabel="Normal quantile", ylabel=_KINDS.get(word, "Residual"))
    key(ax, look, handles, most=2)
    if out.any() and label:
        far = np.maximum(low - y, y - high)
        chosen = set(np.flatnonzero(out)[np.argsort(-far[out], kind="stable")[:label]].tolist())
        name_points(ax, x, y, [name if i in chosen else "" for i, name in enumerate(names)], far, look)
    return describe(ax, _words(table, out))


def _limits(ax: Axes, x: FloatArray, y: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Limits of the plot; returns the residuals, infinite ones put at its ends."""
    finite = np.concatenate([part[np.isfinite(part)] for part in (x, y, low, high)])
    bottom, top = float(finite.min()), float(finite.max())
    room = 0.06 * (top - bottom) or 1.0
    wide = 0.06 * float(np.ptp(x)) or 1.0
    ax.set(xlim=(x.min() - wide, x.max() + wide), ylim=(bottom - room, top + room))
    return np.clip(y, bottom - room / 2, top + room / 2)


def _envelope(
    ax: Axes, table: pd.DataFrame, x: FloatArray, low: FloatArray, high: FloatArray, style: Style
) -> list[Artist]:
    """The line that residuals follow if the model holds, and how far chance takes them from it."""
    ends = np.array(ax.get_xlim())
    line: dict[str, Any] = {"color": style.ink, "lw": style.line(0.1)}
    ax.plot(ends, ends, zorder=2, label="_line", **line)
    handles: list[Artist] = [Line2D([], [], label="If the model holds", **line)]
    if np.isnan(low).all():
        return handles
    shade: dict[str, Any] = {"color": style.muted, "alpha": 0.22, "lw": 0}
    ax.fill_between(x, low, high, zorder=1, label="_envelope", **shade)
    level = f"{100 * float(table.attrs['level']):g}% envelope" if "level" in table.attrs else "Envelope"
    how = _ENVELOPES.get(str(table.attrs.get("envelope")), "")
    return [*handles, Patch(label=f"{level}, {how}" if how else level, **shade)]


def _words(table: pd.DataFrame, out: npt.NDArray[np.bool_]) -> str:
    """The figure in words."""
    lowest, highest = (float(end) for end in (table["sample"].min(), table["sample"].max()))
    kind = _KINDS.get(str(table.attrs.get("kind", "")), "Residual")
    said = [f"Normal quantile plot of {plural(len(table), 'study')}."]
    said.append(f"{kind}: from {lowest:.2f} to {highest:.2f}.".replace("-", "−"))
    if table["low"].notna().any():
        which = f": {listed(table.loc[out, 'study'])}" if 0 < out.sum() <= 5 else ""
        said.append(f"{lying(int(out.sum()))} outside the envelope{which}.")
    return " ".join(said)
