"""The radial plot (Galbraith plot): standardised effects against precision, with an arc to read effects from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.analysis.residual_data import radial_data
from metaan.errors import OptionError, listed
from metaan.measures.kinds import KINDS
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.checked import ANY, POSITIVE, checked
from metaan.plot.effect_axis import EffectAxis, axis_attrs, of_attrs, xlabel_of
from metaan.plot.measure import text_width, wrap
from metaan.plot.panel import describe, figure_of, finish, panel, table_of, write
from metaan.plot.points import LABEL, lying, name_points, under
from metaan.plot.scales import even_ticks, key
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["radial", "radial_table"]


_COLUMNS: Final = ("study", "x", "z")
_HEIGHT: Final = 26.0  # of the figure without its legend, in multiples of the text size
_MANY: Final = 60
_BEYOND: Final = 1.06  # radius of the arc, as a multiple of that of the outermost study
_GROWS: Final = 1.1  # room that an Axes has after its layout, as a multiple of that before, about
_LINE: Final = 1.2  # from text to text on the arc, in multiples of the text size
_TICK: Final = 0.4  # length of a tick of the arc, the same
_GAP: Final = 0.3  # from a tick to its number, the same
_STEEP: Final = 0.7  # sine of the angle from which a number stands over its tick or under it
_STEPS: Final = 201
_NAME: Final = 20.0  # width of the name of the arc, in multiples of the text size


def radial_table(res: PoolResult, *, center: bool | None = None) -> pd.DataFrame:
    """Table that a radial plot draws: standardised effects and precisions.

    Parameters
    ----------
    res : PoolResult
        See `metaan.radial_data`, which this is.
    center : bool, optional
        Take the pooled effect from the effects, so that its line is level; by default for measures without a
        point of no effect, such as rates.

    Returns
    -------
    pandas.DataFrame
        Columns study, x = 1/sqrt(v_i + tau2), z = (y_i - c)/sqrt(v_i + tau2) and outside (whether it is beyond the
        band). In ``attrs``: center (c), slope, slope_low, slope_high, band, tau2, level and measure, on the analysis
        scale.

    Raises
    ------
    InputError, OptionError
        As `metaan.radial_data`; a `center` that is no bool.

    See Also
    --------
    metaan.plot.radial : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.5], [0.04, 0.04, 0.01], measure="OR")
    >>> metaan.plot.radial_table(metaan.pool(eff, method="CE"))["z"].round(2).tolist()
    [0.5, 1.5, 5.0]
    """
    table = radial_data(res)
    if center is not None and not isinstance(center, (bool, np.bool_)):
        raise OptionError(f"center={center!r} must be True or False.")
    base, old = res.analysis or res, dict(table.attrs)
    slope, band = float(old["slope"]), float(old["band"])
    middle = slope if (KINDS[res.effects.measure].null is None if center is None else center) else 0.0
    table["z"] -= middle * table["x"]
    table["outside"] = np.abs(table["z"] - (slope - middle) * table["x"]) > band
    table.attrs = axis_attrs(res.effects) | {
        "center": middle, "slope": slope, "slope_low": float(old["slope_low"]), "slope_high": float(old["slope_high"]),
        "band": band, "tau2": float(base.tau2), "level": base.spec.level, "notes": [str(note) for note in old["notes"]],
    }  # fmt: skip
    return table


def radial(
    res: PoolResult | pd.DataFrame,
    *,
    center: bool | None = None,
    label: str = "none",
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Radial plot (Galbraith 1988): standardised effects against precision, effects read off an arc.

    Parameters
    ----------
    res : PoolResult or DataFrame
        From `metaan.pool`, `mantel_haenszel` or `peto`, or a table from `radial_table`.
    center : bool, optional
        See `radial_table`. Only for a result.
    label : {"none", "outside", "all"}, default "none"
        Which studies are named, those farthest from the pooled line first; a label without room is left out.
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
        As `radial_table`; an unknown `label`.

    See Also
    --------
    radial_table : The table that is drawn.

    Notes
    -----
    A line from the origin through a study meets the arc at its effect, in rates or ratios. The thick part of the arc is
    the confidence interval of the pooled effect. All studies have a standard deviation of 1 upwards, so that `level` of
    them lie in the band if the model holds; precise studies stand on the right.

    References
    ----------
    Galbraith RF (1988). Technometrics 30:271-281. doi:10.1080/00401706.1988.10488400

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.5], [0.04, 0.04, 0.01], measure="OR")
    >>> metaan.plot.radial(metaan.pool(eff, method="CE")).get_xlabel()
    'Precision (1/standard error)'
    """
    LABEL.check(label)
    table = checked(
        table_of(res, radial_table, _COLUMNS, {"center": center}), {"x": POSITIVE, "z": ANY},
        attrs=("center", "tau2"), together=("slope", "slope_low", "slope_high", "band", "level"),
    )  # fmt: skip
    look = current_style([*map(str, table["study"]), xlabel_of(table)], style)
    height = _HEIGHT if ax is None else None
    ax = panel(look, ax, height=_HEIGHT)
    shown = of_attrs(table.attrs)
    arc = _arc(table, shown)
    _limits(ax, table, arc, shown, look)
    handles = [*_points(ax, table, look), *_pooled(ax, table, arc, shown, look)]
    numbers = _scale(ax, table, arc, shown, look)
    _frame(ax, table, look)
    key(ax, look, handles)
    under(ax, look, height)
    if label != "none":
        x, z = _columns(table)
        here = np.ones(len(table), dtype=bool) if label == "all" else _outside(table)
        names = [*table["study"].astype(str).where(here, ""), *[""] * len(numbers)]
        far = np.concatenate([np.abs(z - _steep(table) * x), np.zeros(len(numbers))])
        name_points(ax, np.append(x, numbers[:, 0]), np.append(z, numbers[:, 1]), names, far, look)
    return describe(ax, _words(table, shown))


class _Arc(NamedTuple):
    """An ellipse about the origin: half axes, and the effects from which to which it goes."""

    width: float
    height: float
    centre: float
    low: float
    high: float

    def at(self, effect: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where the line of an effect meets the arc."""
        steep = effect - self.centre
        x = self.width / np.hypot(1.0, steep * self.width / self.height)
        return x, steep * x


def _columns(table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    x, z = (table[name].to_numpy(dtype=np.float64) for name in ("x", "z"))
    return x, z


def _steep(table: pd.DataFrame) -> float:
    """Slope of the pooled line as it is drawn; level where the table does not say."""
    return float(table.attrs.get("slope", 0.0)) - float(table.attrs.get("center", 0.0))


def _outside(table: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    x, z = _columns(table)
    return np.asarray(np.abs(z - _steep(table) * x) > float(table.attrs.get("band", math.inf)))


def _has_null(table: pd.DataFrame, shown: EffectAxis) -> bool:
    """Whether a line of no effect is drawn."""
    known = "slope" in table.attrs and KINDS[shown.measure].null is not None
    return known and table.attrs.get("center", 0.0) == 0.0


def _arc(table: pd.DataFrame, shown: EffectAxis) -> _Arc:
    x, z = _columns(table)
    middle, band = float(table.attrs.get("center", 0.0)), float(table.attrs.get("band", 2.0))
    width = float(x.max())
    height = max(float(np.abs(z).max()), abs(_steep(table)) * width, band)
    out = _BEYOND * max(1.0, float(np.hypot(x / width, z / height).max()))
    width, height = out * width, out * height
    effects = [*(z / x + middle).tolist(), *(_steep(table) + middle + sign * band / width for sign in (-1, 1))]
    effects += [table.attrs[name] for name in ("slope_low", "slope_high") if name in table.attrs]
    effects += [0.0] if _has_null(table, shown) else []
    low, high = min(effects), max(effects)
    room = 0.05 * (high - low) or 1 / width
    return _Arc(width, height, middle, max(low - room, shown.scale.lowest), min(high + room, shown.scale.highest))


def _limits(ax: Axes, table: pd.DataFrame, arc: _Arc, shown: EffectAxis, style: Style) -> None:
    """Room for the points, the band, the arc, and the numbers and the name right of it."""
    x, z = _columns(table)
    band, steep = float(table.attrs.get("band", 0.0)), _steep(table)
    bent = arc.at(np.linspace(arc.low, arc.high, _STEPS))[1]
    ends = [*z, *bent, *(end + sign * band for end in (0.0, steep * float(x.max())) for sign in (-1, 1))]
    pad = 0.07 * (max(ends) - min(ends))
    ax.set_ylim(min(ends) - pad, max(ends) + pad)
    widest = max(text_width(text, style) for text in shown.ticks(arc.low, arc.high)[1])
    share = (widest + (2.0 + _TICK + _GAP) * style.size) / _size(ax)[0]
    ax.set_xlim(0.0, arc.width / (1 - min(share, 0.4)))


def _size(ax: Axes) -> tuple[float, float]:
    """Room of an Axes in points, about, before it is laid out."""
    box, points = ax.get_window_extent(), figure_of(ax).dpi / 72
    return _GROWS * float(box.width / points), _GROWS * float(box.height / points)


def _points(ax: Axes, table: pd.DataFrame, style: Style) -> list[Artist]:
    x, z = _columns(table)
    size = style.size * (0.62 if len(table) < _MANY else 0.5)
    ground, width = ax.get_facecolor(), style.line(0.06)
    ax.scatter(
        x, z, s=size**2, color=[style.square], edgecolors=[ground], linewidths=width, zorder=4, clip_on=False,
        label="_points",
    )  # fmt: skip
    return [Line2D([], [], ls="", marker="o", ms=size, mfc=style.square, mec=ground, mew=width, label="Study")]


def _pooled(ax: Axes, table: pd.DataFrame, arc: _Arc, shown: EffectAxis, style: Style) -> list[Artist]:
    """Pooled line with its band, its interval on the arc, and the line of no effect."""
    attrs, steep = table.attrs, _steep(table)
    if "slope" not in attrs:
        return []
    to = float(arc.at(np.array(attrs["slope"]))[0])
    line: dict[str, Any] = {"color": style.pooled, "lw": style.line(0.16)}
    ax.plot([0, to], [0, steep * to], zorder=3, label="_pooled", **line)
    handles: list[Artist] = [Line2D([], [], label=f"Pooled: {shown.text(attrs['slope'])}", **line)]
    ends = np.array([0.0, to])
    band = float(attrs["band"])
    ax.fill_between(
        ends, steep * ends - band, steep * ends + band, color=style.muted, alpha=0.22, lw=0, zorder=1, label="_band"
    )
    handles.append(Patch(facecolor=style.muted, alpha=0.22, lw=0, label=f"Pooled ±{band:.2f}"))
    x, z = arc.at(np.linspace(attrs["slope_low"], attrs["slope_high"], _STEPS))
    ax.plot(x, z, color=style.pooled, lw=style.line(0.45), solid_capstyle="butt", zorder=3.5, label="_interval")
    word = f"{100 * float(attrs['level']):g}% interval (arc)"
    handles.append(Line2D([], [], color=style.pooled, lw=style.line(0.45), label=word))
    if _has_null(table, shown):
        ax.plot([0, arc.width], [0, 0], color=style.ink, lw=style.line(0.08), zorder=2, label="_null")
        handles.append(Line2D([], [], color=style.ink, lw=style.line(0.08), label=f"No effect: {shown.text(0.0)}"))
    return handles


def _scale(ax: Axes, table: pd.DataFrame, arc: _Arc, shown: EffectAxis, style: Style) -> FloatArray:
    """The arc with its ticks, numbers and name; returns points on both, which labels are to keep clear of."""
    x, z = arc.at(np.linspace(arc.low, arc.high, _STEPS))
    thin: dict[str, Any] = {"color": style.ink, "lw": style.line(0.1), "clip_on": False}
    ax.plot(x, z, zorder=2, label="_arc", **thin)
    across, up = (
        room / abs(end - start) for room, (start, end) in zip(_size(ax), (ax.get_xlim(), ax.get_ylim()), strict=True)
    )
    places, texts = shown.ticks(arc.low, arc.high)
    middle = table.attrs.get("slope", arc.centre)
    kept: list[tuple[float, float]] = []
    taken = list(zip(x[::2].tolist(), z[::2].tolist(), strict=True))
    for place, text in sorted(zip(places, texts, strict=True), key=lambda tick: abs(tick[0] - middle)):
        at = np.array([float(value) for value in arc.at(np.array(place))])
        far = float(np.hypot(at[0] * across, at[1] * up))
        tick, put = (at * (1 + share * style.size / far) for share in (_TICK, _TICK + _GAP))
        if any(np.hypot((put[0] - a) * across, (put[1] - b) * up) < _LINE * style.size for a, b in kept):
            continue
        kept.append((float(put[0]), float(put[1])))
        ax.plot([at[0], tick[0]], [at[1], tick[1]], label="_tick", **thin)
        sine = float(at[1]) * up / far
        steep = abs(sine) > _STEEP
        upright = ("bottom" if sine > 0 else "top") if steep else "center_baseline"
        aside = "center" if steep else "left"
        write(ax, *kept[-1], text, style, small=False, horizontalalignment=aside, verticalalignment=upright)
        wide, high = text_width(text, style) / across, style.size * (np.sign(sine) or 1.0) / up
        corner = put - (np.array([wide / 2, 0.0]) if steep else np.array([0.0, high / 2]))
        taken += [(corner[0] + i * wide / 3, corner[1] + j * high / 2) for i in range(4) for j in range(3)]
    name = "\n".join(wrap(xlabel_of(table), _NAME * style.size, style))
    write(
        ax, 1.0, 0.5, name, style, small=False, transform=ax.transAxes, rotation=90, multialignment="center",
        horizontalalignment="right", verticalalignment="center",
    )  # fmt: skip
    return np.array(taken).reshape(-1, 2)


def _frame(ax: Axes, table: pd.DataFrame, style: Style) -> None:
    """Ticks of both axes, those of the precision no farther than the arc."""
    x, _ = _columns(table)
    places, texts = even_ticks(0.0, _BEYOND * float(x.max()), most=5)
    ax.set_xticks(places, labels=texts)
    places, texts = even_ticks(*ax.get_ylim())
    ax.set_yticks(places, labels=texts)
    tau2 = float(table.attrs.get("tau2", 0.0)) > 0
    error = "√(variance + τ²)" if tau2 else "standard error"
    effect = "(effect − pooled)" if table.attrs.get("center", 0.0) else "Effect"
    finish(ax, style, xlabel=f"Precision (1/{error})", ylabel=f"{effect}/{error}")


def _words(table: pd.DataFrame, shown: EffectAxis) -> str:
    """The figure in words."""
    attrs, out = table.attrs, _outside(table)
    x, z = _columns(table)
    effects = z / x + float(attrs.get("center", 0.0))
    said = [f"Radial plot of {plural(len(table), 'study')}."]
    ends = f"{shown.text(effects.min())} to {shown.text(effects.max())}"
    if "slope" not in attrs:
        return f"{said[0]} {xlabel_of(table)} from {ends}."
    interval = f"{shown.text(attrs['slope_low'])} to {shown.text(attrs['slope_high'])}"
    level = f"{100 * float(attrs['level']):g}% interval"
    said.append(f"{xlabel_of(table)} from {ends}; pooled {shown.text(attrs['slope'])} ({level} {interval}).")
    named = f": {listed(table.loc[out, 'study'])}" if 0 < out.sum() <= 5 else ""
    where = f"outside the band of ±{float(attrs['band']):.2f} about the pooled line{named}"
    said.append(f"{lying(int(out.sum()))} {where}.")
    return " ".join(said)
