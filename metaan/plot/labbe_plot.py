"""The L'Abbé plot: the rate of one arm against that of the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.special import expit, logit

from metaan.analysis.bias_data import columns_of
from metaan.errors import InputError, OptionError
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS, TWO_BY_TWO
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.names import RECORD
from metaan.plot.checked import SHARE, checked, one_of, whether
from metaan.plot.clouds import veil
from metaan.plot.effect_axis import of_attrs
from metaan.plot.measure import wrap
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.points import name_points, under
from metaan.plot.scales import key
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["labbe", "labbe_table"]

_COLUMNS: Final = ("study", "x", "y", "weight")
_HEIGHT: Final = 32.0  # of the figure without its legend, in multiples of the text size
_LARGEST, _SMALLEST = 1.4, 0.3  # diameters of the points, in multiples of the text size
_HALF: Final = 0.5  # rates beyond this get the whole axis to 100 %
_POINTS: Final = 401
_LABEL: Final = 22.0  # width of an axis label, in multiples of the text size


def _odds(x: FloatArray, effect: float) -> FloatArray:
    return np.asarray(expit(logit(x) + effect))


# Rate of the treated arm where that of the control arm is x.
_CURVES: Final[dict[str, Callable[[FloatArray, float], FloatArray]]] = {
    "OR": _odds, "PETO": _odds,
    "RR": lambda x, effect: x * np.exp(effect),
    "RD": lambda x, effect: x + effect,
    "AS": lambda x, effect: np.sin(np.clip(np.arcsin(np.sqrt(x)) + effect, 0.0, np.pi / 2)) ** 2,
}  # fmt: skip


def labbe_table(res: PoolResult | Effects, *, arms: tuple[str, str] | None = None) -> pd.DataFrame:
    """Table that a L'Abbé plot draws: the rates of both arms.

    Parameters
    ----------
    res : PoolResult or Effects
        Two arms with a binary outcome: from `metaan.mantel_haenszel`, `peto`, `glmm`, `pool` (OR, RR, RD, AS, PETO), or
        the effects of `metaan.effect_size`, without a pooled effect.
    arms : (str, str), default ("treated", "control")
        Names of the arms, of events_t and of events_c.

    Returns
    -------
    pandas.DataFrame
        Columns study, events_t, total_t, events_c, total_c, x (rate of the control arm), y (rate of the treated arm;
        proportions) and weight (per cent; by the totals for effects that were not pooled). In ``attrs``: measure,
        estimate, ci_low, ci_high (analysis scale), level, arms, outcome and sized ("weight" or "total").

    Raises
    ------
    InputError
        Another result, or counts that are not known.
    OptionError
        A measure of something else than two rates; `arms` that are no two names.

    See Also
    --------
    metaan.plot.labbe : Draw it.

    Examples
    --------
    >>> import metaan
    >>> counts = {"events_t": [4, 6], "total_t": [20, 30], "events_c": [8, 9], "total_c": [20, 30]}
    >>> metaan.plot.labbe_table(metaan.mantel_haenszel("OR", **counts))[["x", "y"]].round(2).values.tolist()
    [[0.4, 0.2], [0.3, 0.2]]
    """
    import pandas as pd

    eff = res if isinstance(res, Effects) else getattr(res, "effects", None)
    if not isinstance(res, (PoolResult, Effects)) or not isinstance(eff, Effects):
        what = "mantel_haenszel, peto, glmm, pool or effect_size"
        raise InputError(f"labbe takes what {what} made of two arms, not {type(res).__name__}.")
    if eff.measure not in TWO_BY_TWO:
        takes = ", ".join(TWO_BY_TWO)
        raise OptionError(
            f"labbe is defined for {takes}, not for measure {eff.measure!r}: it shows the rates of two arms."
        )
    hit_t, n_t, hit_c, n_c = columns_of(eff, ARMS, "labbe")
    weight = 100 * (n_t + n_c) / (n_t + n_c).sum() if isinstance(res, Effects) else res.weights
    table = pd.DataFrame({"study": list(eff.study), **dict(zip(ARMS, (hit_t, n_t, hit_c, n_c), strict=True))})
    table = table.assign(x=hit_c / n_c, y=hit_t / n_t, weight=weight)
    table.attrs = {"measure": eff.measure, "arms": _arms(arms), "sized": "weight", **_outcome(eff)}
    if isinstance(res, Effects):
        table.attrs["sized"] = "total"
        return table
    base = res.analysis or res
    pooled = {name: float(getattr(base, name)) for name in ("estimate", "ci_low", "ci_high")}
    table.attrs |= pooled | {"level": base.spec.level, "notes": [str(note) for note in base.notes]}
    return table


def _arms(arms: Any) -> list[str]:
    given = ("treated", "control") if arms is None else arms
    if not isinstance(given, (list, tuple)) or len(given) != 2 or not all(isinstance(name, str) for name in given):
        raise OptionError(f"arms={arms!r} must be two names, of the treated and the control arm.")
    return list(given)


def _outcome(eff: Effects) -> dict[Any, Any]:
    """What was counted, where rows of `metaan.load` were read."""
    record = None if eff.data is None else eff.data.attrs.get(RECORD)
    if record is None:
        return {}
    selection = record["selection"]
    said: dict[Any, Any] = {"outcome": str(selection["outcome"]).replace("_", " ").capitalize()}
    return said | ({"unit": str(selection["unit"])} if selection["unit"] else {})


def labbe(
    res: PoolResult | Effects | pd.DataFrame,
    *,
    arms: tuple[str, str] | None = None,
    label: bool = False,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """L'Abbé plot: the rate of the treated arm against that of the control arm, with the curve of the pooled effect.

    Parameters
    ----------
    res : PoolResult, Effects or DataFrame
        Two arms with a binary outcome (see `labbe_table`), or a table from `labbe_table`.
    arms : (str, str), default ("treated", "control")
        Names of the arms. Only for a result.
    label : bool, default False
        Name the studies, those farthest from the diagonal first; a label without room is left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    matplotlib.axes.Axes
        Both axes are rates, as proportions with ticks in per cent.

    Raises
    ------
    InputError, OptionError
        As `labbe_table`.

    See Also
    --------
    labbe_table : The table that is drawn.

    Notes
    -----
    The areas of the points are in proportion to the weights. On the diagonal both arms have one rate; the curve is
    where studies lie that share the pooled effect, the band that of its confidence interval. An odds ratio bends, a
    risk ratio is a line through the origin, a risk difference a parallel of the diagonal: where the points follow
    another form than the curve, another measure may vary less between the studies. Counts are drawn as they are,
    without a correction.

    References
    ----------
    L'Abbé KA, Detsky AS, O'Rourke K (1987). Ann Intern Med 107:224-233. doi:10.7326/0003-4819-107-2-224

    Examples
    --------
    >>> import metaan
    >>> counts = {"events_t": [4, 6], "total_t": [20, 30], "events_c": [8, 9], "total_c": [20, 30]}
    >>> ax = metaan.plot.labbe(metaan.mantel_haenszel("RR", **counts))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Events (%), control', 'Events (%), treated')
    """
    whether("label", label)
    table = _drawable(table_of(res, labbe_table, _COLUMNS, {"arms": arms}))
    names = _axis_names(table)
    look = current_style([*map(str, table["study"]), *names], style)
    height = _HEIGHT if ax is None else None
    ax = panel(look, ax, height=_HEIGHT)
    if height is not None:
        ax.set_aspect("equal")
    top = _top(table)
    handles = [*_points(ax, table, look), *_lines(ax, table, top, look)]
    percent = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(0, 100 * top)
    ticks = [float(tick) / 100 for tick in percent if tick <= 100 * top * (1 + 1e-9)]
    for axis in ("x", "y"):
        getattr(ax, f"set_{axis}lim")(0, top)
        getattr(ax, f"set_{axis}ticks")(ticks, labels=[f"{100 * tick:g}" for tick in ticks])
    labels = ["\n".join(wrap(name, _LABEL * look.size, look)) for name in names]
    finish(ax, look, xlabel=labels[0], ylabel=labels[1])
    key(ax, look, handles)
    under(ax, look, height)
    if label:
        x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
        name_points(ax, x, y, table["study"].astype(str).tolist(), np.abs(y - x), look)
    return describe(ax, _words(table))


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no figure can be drawn from it."""
    attrs = table.attrs
    undefined = isinstance(attrs.get("estimate"), float) and math.isnan(attrs["estimate"])
    pooled = () if undefined else ("estimate", "ci_low", "ci_high", "level")
    table = checked(table, {"x": SHARE, "y": SHARE, "weight": (0.0, 1e100)}, together=pooled)
    one_of(table, "sized", ("weight", "total"))
    if pooled and "estimate" in attrs and str(attrs.get("measure")) not in _CURVES:
        raise InputError("The table has lost its measure (attrs): start from metaan.plot.labbe_table(res).")
    arms = attrs.get("arms", ("treated", "control"))
    if not isinstance(arms, (list, tuple)) or len(arms) != 2:
        raise InputError(f"attrs['arms'] of the table is {arms!r}: give the names of both arms, treated and control.")
    return table


def _axis_names(table: pd.DataFrame) -> tuple[str, str]:
    """Labels of the axes: control, treated."""
    attrs = table.attrs
    treated, control = attrs.get("arms", ("treated", "control"))
    what, unit = attrs.get("outcome", "Events"), f"% of {attrs['unit']}s" if "unit" in attrs else "%"
    return f"{what} ({unit}), {control}", f"{what} ({unit}), {treated}"


def _top(table: pd.DataFrame) -> float:
    """End of both axes: 100 %, or a round number where no rate is beyond 50 %."""
    most = float(table[["x", "y"]].to_numpy(dtype=np.float64).max())
    if most > _HALF or most == 0:
        return 1.0
    return next(end for end in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6) if end >= 1.08 * most)


def _points(ax: Axes, table: pd.DataFrame, style: Style) -> list[Artist]:
    weight = table["weight"].to_numpy(dtype=np.float64)
    share = weight / weight.max() if weight.max() > 0 else np.ones_like(weight)
    size = np.maximum(_LARGEST * style.size * np.sqrt(share), _SMALLEST * style.size)
    ground = ax.get_facecolor()
    ax.scatter(
        table["x"], table["y"], s=size**2, color=[style.square], edgecolors=[ground], linewidths=style.line(0.08),
        alpha=0.75, zorder=4, clip_on=False, label="_points",
    )  # fmt: skip
    word = {"weight": "Study (area: weight)", "total": "Study (area: size)"}[table.attrs.get("sized", "weight")]
    look: dict[str, Any] = {"mfc": style.square, "mec": ground, "alpha": 0.75}
    return [Line2D([], [], ls="", marker="o", ms=0.9 * style.size, label=word, **look)]


def _lines(ax: Axes, table: pd.DataFrame, top: float, style: Style) -> list[Artist]:
    """Diagonal, curve of the pooled effect, and the band of its interval."""
    plain: dict[str, Any] = {"color": style.ink, "lw": style.line(0.09), "ls": (0, (4, 2))}
    ax.plot([0, 1], [0, 1], zorder=2, label="_diagonal", **plain)
    handles: list[Artist] = [Line2D([], [], label="No difference", **plain)]
    attrs = table.attrs
    if not math.isfinite(attrs.get("estimate", math.nan)):
        return handles
    x = np.linspace(0, top, _POINTS)
    curve = _CURVES[str(attrs["measure"])]
    with np.errstate(divide="ignore"):
        at, low, high = (curve(x, float(attrs[name])) for name in ("estimate", "ci_low", "ci_high"))
    ax.fill_between(x, low, high, color=style.pooled, alpha=veil(ax), lw=0, zorder=1, label="_band")
    thick: dict[str, Any] = {"color": style.pooled, "lw": style.line(0.18)}
    ax.plot(x, at, zorder=3, label="_pooled", **thick)
    name, value = _pooled(table)
    handles.append(Line2D([], [], label=f"{name} {value}", **thick))
    word = f"{100 * float(attrs['level']):g}% interval"
    handles.append(Patch(facecolor=style.pooled, alpha=veil(ax), lw=0, label=word))
    return handles


def _pooled(table: pd.DataFrame) -> tuple[str, str]:
    """Name and value of the pooled effect."""
    shown = of_attrs(table.attrs)
    return KINDS[shown.measure].shown, shown.text(float(table.attrs["estimate"]))


def _words(table: pd.DataFrame) -> str:
    """The figure in words."""
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    treated, control = table.attrs.get("arms", ("treated", "control"))
    above, below = int((y > x).sum()), int((y < x).sum())
    said = [f"L'Abbé plot of {plural(len(table), 'study')}."]
    ends = [f"{100 * v.min():.0f}% to {100 * v.max():.0f}%" for v in (y, x)]
    said.append(f"Rates from {ends[0]} in the arm {treated} and from {ends[1]} in the arm {control}.")
    said.append(f"The rate of the arm {treated} is the higher one in {above} of them and the lower one in {below}.")
    if math.isfinite(table.attrs.get("estimate", math.nan)):
        name, value = _pooled(table)
        shown = of_attrs(table.attrs)
        low, high = (shown.text(float(table.attrs[end])) for end in ("ci_low", "ci_high"))
        level = f"{100 * float(table.attrs['level']):g}% interval"
        said.append(f"Pooled {name[:1].lower()}{name[1:]} {value} ({level} {low} to {high}).")
    return " ".join(said)
