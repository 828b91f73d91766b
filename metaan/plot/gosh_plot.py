"""The GOSH plot: estimate against heterogeneity of all subsets of the studies, or many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from metaan.analysis.gosh_result import GoshResult
from metaan.errors import InputError, OptionError
from metaan.models.text import plural
from metaan.names import COLUMNS, heading
from metaan.plot.axis import XLABEL, Axis
from metaan.plot.checked import ANY, SCALES, checked, one_of, whether
from metaan.plot.close_axis import close_axis
from metaan.plot.clouds import inner_ticks, named
from metaan.plot.gosh_data import Y, gosh_table
from metaan.plot.panel import MARKERS, describe, finish, panel, table_of
from metaan.plot.scales import key, set_scale
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gosh"]

KIND: Final = Option(
    "kind",
    {
        "auto": "density where there are many subsets of one group, else points",
        "density": "hexagons shaded by the number of subsets",
        "points": "a point for each subset",
    },
    "auto",
)
_HEIGHT: Final = 31.0  # of the figure, in multiples of the text size
_MANY: Final = 1500  # subsets of one group from which their density is drawn
_INK: Final = 600.0  # points that may lie over each other before they become transparent
_FAINTEST: Final = 0.06
_BINS: Final = 60
_FEW: Final = 200  # subsets up to which points are larger
_HEXAGONS: Final = 55
_MARGIN: Final = 0.17  # depth of a histogram, as a share of the plot
_ALL: Final = ""
_DASHES: Final = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (2, 2)), (0, (3, 1, 1, 1, 1, 1)))


class _Group(NamedTuple):
    """Subsets that are drawn alike."""

    name: str
    here: npt.NDArray[np.bool_]
    colour: ColorType
    marker: str
    dash: Any


def gosh(
    made: GoshResult | pd.DataFrame,
    *,
    y: str | None = None,
    study: str | None = None,
    term: str | None = None,
    kind: str = "auto",
    margins: bool | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """GOSH plot: estimate against heterogeneity of the subsets of the studies.

    Parameters
    ----------
    made : GoshResult or DataFrame
        From `metaan.gosh`, or a table from `gosh_table`.
    y : {"I2", "tau2", "H2", "Q"}, optional
        Measure of heterogeneity, I2 by default. Only for a result.
    study : str, optional
        A study: subsets with it and without it in two colours, with their medians. By default groups are the clusters,
        if there are any. Only for a result.
    term : str, optional
        Coefficient of a regression. Only for a result.
    kind : {"auto", "density", "points"}, default "auto"
        Hexagons shaded by the number of subsets, for one group alone, or points.
    margins : bool, optional
        Histograms above and on the right; by default in a figure of its own, not in given Axes.
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
        As `gosh_table`; an unknown `kind`, density for several groups.

    See Also
    --------
    gosh_table : The table that is drawn.

    Notes
    -----
    One cloud speaks for studies of one kind. Two clouds, or a tail, that part with ``study=`` come from that study.
    The cloud is not a distribution of the truth: each study is in half of the subsets, and subsets overlap. Points and
    hexagons are pixels also in PDF and SVG files, which stay small.

    References
    ----------
    Olkin I, Dahabreh IJ, Trikalinos TA (2012). Res Synth Methods 3:214-223. doi:10.1002/jrsm.1053

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.gosh(metaan.gosh(metaan.pool(eff)))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rate (%)', 'I² (%)')
    """
    KIND.check(kind)
    if margins is not None:
        whether("margins", margins)
    table = table_of(made, gosh_table, ("estimate", "k"), {"y": y, "study": study, "term": term})
    name = _height(table)
    one_of(table, "scale", SCALES)
    table = checked(table, {"estimate": ANY, name: ANY, "k": (0.0, 1e100)}, attrs=("studies", "possible"))
    x, z = (table[column].to_numpy(dtype=np.float64) for column in ("estimate", name))
    look = current_style([*_names(table), str(table.attrs.get(XLABEL, ""))], style)
    groups = _look(table, look)
    dense = _is_dense(kind, len(table), len(groups))
    full = _whole_of(table) or [float(x[0]), float(z[0])]
    axis = close_axis(str(table.attrs.get("scale", "effect")), np.append(x, full[0]))
    own = ax is None
    ax = panel(look, ax, height=_HEIGHT)
    set_scale(ax, axis, "x")
    ax.set_ylim(*_ends(name, np.append(z, full[1])))
    inner_ticks(ax, "y")
    _cloud(ax, x, z, groups, look, dense=dense)
    set_scale(ax, axis, "x")  # hexagons on a log axis take its ticks
    handles = _medians(ax, x, groups, axis, look) + _whole(ax, table, axis, look)
    handles += _subsets(groups, look, dense=dense)
    word = COLUMNS[name].meaning.split(" of ")[0].capitalize() if name == "tau2" else ""
    finish(ax, look, xlabel=str(table.attrs.get(XLABEL, axis.title)), ylabel=f"{word} {_symbol(name)}".strip())
    if own if margins is None else margins:
        _histograms(ax, x, z, groups, look)
    key(ax, look, handles, most=2)
    return describe(ax, _words(table, x, z, groups, axis))


def _whole_of(table: pd.DataFrame) -> list[float]:
    """Where the fit to all studies stands; nothing where the table does not say."""
    full = table.attrs.get("full") or []
    numeric = isinstance(full, (list, tuple)) and all(isinstance(one, (int, float)) for one in full)
    if not numeric or len(full) not in (0, 2):
        raise InputError(f"attrs['full'] of the table is {full!r}, not two numbers: take it from gosh_table(made).")
    return list(full)


def _height(table: pd.DataFrame) -> str:
    """Which column is on the vertical axis."""
    name = str(table.attrs.get("y", next((one for one in Y.choices if one in table.columns), "")))
    if name not in table.columns:
        raise InputError(f"The table lacks a column {' or '.join(Y.choices)}: start from metaan.plot.gosh_table(made).")
    return name


def _symbol(name: str) -> str:
    return heading(name).replace("²(", "² (")


def _names(table: pd.DataFrame) -> list[str]:
    return [_ALL] if "group" not in table.columns else sorted(set(map(str, table["group"])))


def _look(table: pd.DataFrame, style: Style) -> list[_Group]:
    """Colour and form of each group."""
    names = _names(table)
    if names == [_ALL]:
        return [_Group(_ALL, np.ones(len(table), dtype=bool), style.square, "o", _DASHES[0])]
    label = table["group"].astype(str).to_numpy()
    return [
        _Group(
            name, label == name, style.palette[i % len(style.palette)], MARKERS[i % len(MARKERS)],
            _DASHES[i % len(_DASHES)],
        )
        for i, name in enumerate(names)
    ]  # fmt: skip


def _is_dense(kind: str, n: int, groups: int) -> bool:
    if kind == "density" and groups > 1:
        raise OptionError("kind='density' shades one group: choose 'points' for several.")
    return kind == "density" or (kind == "auto" and groups == 1 and n > _MANY)


def _ends(name: str, z: FloatArray) -> tuple[float, float]:
    """From the floor of the measure, where values come near it, to the largest value."""
    floor, first, last = float(name == "H2"), float(z.min()), float(z.max())
    span = last - first
    if first - floor < 1.5 * span or span == 0:
        first = floor
        last = 100.0 if name == "I2" else last if last > floor else floor + 1.0
    room = 0.03 * (last - first)
    return first - room, last + room


def _cloud(ax: Axes, x: FloatArray, z: FloatArray, groups: list[_Group], style: Style, *, dense: bool) -> None:
    if dense:
        scale: Any = ax.get_xscale()
        ends = tuple(np.log10(ax.get_xlim())) if ax.get_xscale() == "log" else ax.get_xlim()
        ground = sns.blend_palette([ax.get_facecolor(), style.square, style.ink], as_cmap=True)
        ax.hexbin(
            x, z, gridsize=(_HEXAGONS, _HEXAGONS * 2 // 3), extent=(*ends, *ax.get_ylim()), bins="log", mincnt=1,
            xscale=scale, cmap=_cut(ground), linewidths=0.1, zorder=1, rasterized=True, label="_density",
        )  # fmt: skip
        return
    # The groups lie over each other in the order of the table, a slice of each at a time: none hides the other.
    alpha = float(np.clip(_INK / x.size, _FAINTEST, 0.75))
    size = style.size * (0.42 if x.size > _FEW else 0.7)
    slices = 1 if len(groups) == 1 else 8
    for part in np.array_split(np.arange(x.size), slices):
        for group in groups:
            at = part[group.here[part]]
            ax.plot(
                x[at], z[at], ls="", marker=group.marker, ms=size, mfc=group.colour, mec="none",
                alpha=alpha, zorder=1, rasterized=True, label="_points",
            )  # fmt: skip


def _cut(ramp: Any) -> Any:
    """The ramp without its palest part, so that a single subset is seen."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(ramp(np.linspace(0.18, 0.9, 256)))


def _subsets(groups: list[_Group], style: Style, *, dense: bool) -> list[Artist]:
    """Entry of the legend for the subsets of one group; those of several stand beside their medians."""
    if len(groups) > 1 or groups[0].name != _ALL:
        return []
    marker, word = ("h", "Number of subsets") if dense else ("o", "Subset")
    return [Line2D([], [], ls="", marker=marker, ms=0.7 * style.size, mfc=style.square, mec="none", label=word)]


def _medians(ax: Axes, x: FloatArray, groups: list[_Group], axis: Axis, style: Style) -> list[Artist]:
    """Median of each group, and its entry of the legend."""
    handles: list[Artist] = []
    for group in groups:
        median = float(np.median(x[group.here]))
        colour = style.ink if group.name == _ALL else group.colour
        line: dict[str, Any] = {"color": colour, "lw": style.line(0.12), "ls": group.dash}
        ax.axvline(median, zorder=3, label="_median", **line)
        size: dict[str, Any] = (
            {"marker": group.marker, "ms": 0.55 * style.size, "mec": "none"} if group.name != _ALL else {}
        )
        word = named([group.name], 40)[0]
        text = f"{word}: median" if word else "median"
        handles.append(Line2D([], [], label=f"{text[0].upper()}{text[1:]} {_number(axis, median)}", **line, **size))
    return handles


def _whole(ax: Axes, table: pd.DataFrame, axis: Axis, style: Style) -> list[Artist]:
    """Estimate from all studies."""
    full = table.attrs.get("full")
    if not full:
        return []
    look: dict[str, Any] = {
        "ls": "", "marker": "D", "ms": 0.85 * style.size, "mfc": ax.get_facecolor(), "mec": style.ink,
        "mew": style.line(0.14),
    }  # fmt: skip
    ax.plot([full[0]], [full[1]], zorder=5, clip_on=False, label="_full", **look)
    k = table.attrs.get("studies")
    return [
        Line2D([], [], label=f"{f'All {k}' if k and k > 1 else 'All'} studies: {_number(axis, float(full[0]))}", **look)
    ]


def _histograms(ax: Axes, x: FloatArray, z: FloatArray, groups: list[_Group], style: Style) -> None:
    """Histograms of both coordinates, on Axes of their own inside the figure."""
    above = ax.inset_axes((0.0, 1.02, 1.0, _MARGIN), sharex=ax, label="_above")
    beside = ax.inset_axes((1.02, 0.0, _MARGIN, 1.0), sharey=ax, label="_beside")
    low, high = ax.get_xlim()
    n = int(np.clip(2 * np.cbrt(x.size), 5, _BINS)) + 1
    edges = np.geomspace(low, high, n) if ax.get_xscale() == "log" else np.linspace(low, high, n)
    upright = np.linspace(*ax.get_ylim(), n)
    for side, value, bins, turn in ((above, x, edges, "vertical"), (beside, z, upright, "horizontal")):
        for group in groups:
            count = np.histogram(value[group.here], bins)[0] / value.size
            look: dict[str, Any] = {"orientation": turn, "baseline": 0.0, "label": "_histogram"}
            side.stairs(count, bins, fill=True, color=group.colour, alpha=0.35, lw=0, **look)
            side.stairs(count, bins, color=group.colour, lw=style.line(0.08), **look)
        side.patch.set_visible(False)
        side.grid(False)
        side.tick_params(
            which="both", left=False, bottom=False, right=False, top=False, labelleft=False, labelbottom=False
        )
        side.spines[:].set_visible(False)
    above.set_ylim(0.0, None)
    beside.set_xlim(0.0, None)


def _number(axis: Axis, value: float) -> str:
    return f"{axis.number(value)}{'%' if axis.factor != 1 else ''}"


def _words(table: pd.DataFrame, x: FloatArray, z: FloatArray, groups: list[_Group], axis: Axis) -> str:
    """The figure in words."""
    attrs = table.attrs
    n, possible = len(table), attrs.get("possible")
    whole = f" of the {possible:.4g} there are" if possible and possible > n else ""
    of = f" of {plural(attrs['studies'], 'study')}" if "studies" in attrs else ""
    said = [f"GOSH plot of {plural(n, 'subset')}{whole}{of}."]
    middle = f"median {_number(axis, float(np.median(x)))}"
    name = str(attrs.get("y", "I2"))
    said.append(
        f"Estimates from {_number(axis, float(x.min()))} to {_number(axis, float(x.max()))}, {middle}; "
        f"{_symbol(name)} from {z.min():.3g} to {z.max():.3g}."
    )
    if len(groups) > 1:
        medians = [f"{g.name} {_number(axis, float(np.median(x[g.here])))}" for g in groups]
        said.append(f"Medians: {', '.join(medians)}.")
    return " ".join(said)
