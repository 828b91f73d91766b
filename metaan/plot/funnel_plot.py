"""The funnel plot: effects against how much each study knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.errors import InputError, listed
from metaan.measures.kinds import KINDS
from metaan.models.text import plural
from metaan.plot.checked import ANY, POSITIVE, checked
from metaan.plot.effect_axis import EffectAxis, of_attrs, xlabel_of
from metaan.plot.funnel_data import DOWN, FunnelResult, funnel_table
from metaan.plot.measure import wrap
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.points import LABEL, name_points, under
from metaan.plot.scales import key
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["funnel"]

_COLUMNS: Final = ("study", "x", "y", "filled", "outside")
_LINES: Final = ("confidence", "prediction")
_HEIGHT: Final = 25.0  # of the figure without its legend, in multiples of the text size
_DARKEST, _LIGHTEST = 0.5, 0.12  # shades of the contours
_MANY: Final = 60  # studies from which points are smaller
_APART: Final = 0.07  # from tick to tick of sample sizes at least, as a share of the axis
_BEYOND: Final = 3.0  # largest tick of an axis that ends at infinity, as a multiple of the largest study
_WIDE, _HIGH = 24.0, 16.0  # room of the labels of the axes, in multiples of the text size
_SIZES: Final = np.array([step * 10.0**power for power in range(-3, 8) for step in (1, 2, 5)])
_WORDS: Final = {
    "confidence": "{level:g}% region, chance alone",
    "prediction": "{level:g}% region with τ²",
}  # fmt: skip


def funnel(
    res: FunnelResult | pd.DataFrame,
    *,
    yaxis: str | None = None,
    region: str | None = None,
    contours: bool | None = None,
    levels: Sequence[float] | None = None,
    null: float | None = None,
    ni: Any = None,
    label: str = "none",
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Funnel plot, contour-enhanced where the measure has a point of no effect.

    Parameters
    ----------
    res : PoolResult, RegressResult, TrimFillResult or DataFrame
        A result (see `funnel_table`), or a table from `funnel_table`. Of a meta-regression the residuals are drawn;
        studies that `trim_and_fill` imputed are hollow.
    yaxis, region, contours, levels, null, ni
        See `funnel_table`. Only for a result.
    label : {"none", "outside", "all"}, default "none"
        Which studies are named, those farthest from the middle first; a label without room is left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    matplotlib.axes.Axes
        Its x axis is the analysis scale (logits, log ratios) with ticks in rates or ratios.

    Raises
    ------
    InputError, OptionError, DataError
        As `funnel_table`; an unknown `label`.

    See Also
    --------
    funnel_table : The table that is drawn.
    metaan.small_study_effects : Tests of what the eye sees here.

    Notes
    -----
    Without bias or heterogeneity, studies lie on both sides of the pooled effect and `level` of them inside the dashed
    lines. Small studies missing on one side of the middle may be unpublished; if they are missing where p-values are
    large (the unshaded part), significance is a likely reason, and if not, another cause is (Peters et al. 2008). The
    standard error of a rate depends on the rate: rates near 0 and 100 % form an asymmetric funnel without any bias,
    which is why rates of one arm stand against 1/sqrt(n) (Hunter et al. 2014).

    References
    ----------
    Light RJ, Pillemer DB (1984). Summing Up. Harvard University Press.
    Sterne JAC, Egger M (2001). J Clin Epidemiol 54:1046-1055. doi:10.1016/S0895-4356(01)00377-8
    Peters JL et al. (2008). J Clin Epidemiol 61:991-996. doi:10.1016/j.jclinepi.2007.11.010
    Hunter JP et al. (2014). J Clin Epidemiol 67:897-903. doi:10.1016/j.jclinepi.2014.03.003

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> ax = metaan.plot.funnel(metaan.pool(eff), label="all")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rate (%)', 'Sample size (in steps of 1/√n)')
    """
    LABEL.check(label)
    options = {
        "yaxis": yaxis, "region": region, "contours": contours, "levels": levels, "null": null, "ni": ni,
    }  # fmt: skip
    table = _drawable(table_of(res, funnel_table, _COLUMNS, options))
    look = current_style([*map(str, table["study"]), xlabel_of(table)], style)
    shown = of_attrs(table.attrs)
    height = _HEIGHT if ax is None else None
    ax = panel(look, ax, height=_HEIGHT)
    _limits(ax, table)
    handles = [*_points(ax, table, look), *_lines(ax, table, shown, look), *_contours(ax, table, look)]
    _frame(ax, table, shown, look)
    key(ax, look, handles)
    under(ax, look, height)
    _labels(ax, table, label, look)
    return describe(ax, _words(table, shown))


def _plain(attrs: Mapping[Any, Any]) -> None:
    """Refuse limits that are no pair of numbers, and curves that are no list of dicts."""
    for name, kind in (("xlim", (int, float)), ("ylim", (int, float)), ("regions", dict), ("contours", dict)):
        value = attrs.get(name, [0, 1] if kind is not dict else [])
        known = isinstance(value, (list, tuple)) and all(isinstance(one, kind) for one in value)
        if not known or (kind is not dict and len(value) != 2):
            raise InputError(f"attrs[{name!r}] of the table is {value!r}: take it from metaan.plot.funnel_table(res).")


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no funnel can be drawn from it."""
    known = [name for name in ("estimate", "observed", "null") if table.attrs.get(name) is not None]
    table = checked(table, {"x": ANY, "y": POSITIVE}, flags=("filled", "outside"), attrs=("level", *known))
    if table["filled"].all():
        raise InputError("The table has only filled studies: there is nothing to draw.")
    _plain(table.attrs)
    lost = [name for name in ("estimate", "level") if table.attrs.get("regions") and table.attrs.get(name) is None]
    if lost:
        raise InputError(f"The table has lost its attrs {listed(lost)}: start from metaan.plot.funnel_table(res).")
    return table


def _limits(ax: Axes, table: pd.DataFrame) -> None:
    """Limits of the table; those of the points where it was made by hand."""
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    room = [0.1 * float(np.ptp(values)) or 1.0 for values in (x, y)]
    ax.set_xlim(table.attrs.get("xlim", (x.min() - room[0], x.max() + room[0])))
    down = table.attrs.get("yaxis", "sei") in DOWN
    ends = (y.max() + room[1], 0.0) if down else (max(y.min() - room[1], 0.0), y.max() + room[1])
    ax.set_ylim(table.attrs.get("ylim", ends))


def _points(ax: Axes, table: pd.DataFrame, style: Style) -> list[Artist]:
    """Studies, and those that were filled in."""
    filled = table["filled"].to_numpy(dtype=bool)
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    size = style.size * (0.62 if len(table) < _MANY else 0.5)
    ground = ax.get_facecolor()
    handles: list[Artist] = []
    for here, name, word in ((~filled, "_points", "Study"), (filled, "_filled", "Filled study")):
        if not here.any():
            continue
        face, edge = (style.square, ground) if name == "_points" else (ground, style.ink)
        width = style.line(0.06 if name == "_points" else 0.12)
        marker = "o" if name == "_points" else "s"
        ax.scatter(
            x[here], y[here], s=size**2, marker=marker, facecolors=[face], edgecolors=[edge], linewidths=width,
            zorder=5, clip_on=False, label=name,
        )  # fmt: skip
        handles.append(
            Line2D([], [], ls="", marker=marker, ms=size, mfc=face, mec=edge, mew=width, label=word)
        )  # fmt: skip
    return handles


def _lines(ax: Axes, table: pd.DataFrame, shown: EffectAxis, style: Style) -> list[Artist]:
    """Middle of the funnel, its regions, and where no effect lies."""
    attrs = table.attrs
    handles: list[Artist] = []

    def upright(x: float, name: str, word: str, **kind: Any) -> None:
        ax.axvline(x, label=name, zorder=3, **kind)
        handles.append(Line2D([], [], label=word, **kind))

    thick: dict[str, Any] = {"color": style.pooled, "lw": style.line(0.16)}
    middle, observed, null = (attrs.get(name) for name in ("estimate", "observed", "null"))
    if middle is not None and not attrs.get("residual"):
        word = "Pooled" if observed is None else "Pooled, with filled"
        upright(middle, "_estimate", f"{word}: {shown.text(middle)}", **thick)
    elif middle is not None:
        upright(middle, "_estimate", "As the regression expects", **thick)
    if observed is not None:
        upright(observed, "_observed", f"Pooled, observed: {shown.text(observed)}", ls=(0, (1, 1.2)), **thick)
    dashed: dict[str, dict[str, Any]] = {
        "confidence": {"color": style.ink, "ls": (0, (5, 2)), "lw": style.line(0.1)},
        "prediction": {"color": style.prediction, "ls": (0, (4, 1.2, 1, 1.2)), "lw": style.line(0.13)},
    }
    for curve in attrs.get("regions", ()):
        kind = dashed[curve["region"]]
        for side in ("low", "high"):
            ax.plot(curve[side], curve["y"], label=f"_{curve['region']}", zorder=2.5, **kind)
        word = _WORDS[curve["region"]].format(level=100 * curve["level"])
        handles.append(Line2D([], [], label=word, **kind))
    if null is not None:
        word = "Null value" if KINDS[shown.measure].null is None else "No effect"
        upright(null, "_null", f"{word}: {shown.text(null)}", color=style.ink, lw=style.line(0.08))
    return handles


def _contours(ax: Axes, table: pd.DataFrame, style: Style) -> list[Artist]:
    """Shades from p-value to p-value, darkest next to the middle, which has none."""
    curves = table.attrs.get("contours", [])
    shades = np.linspace(_DARKEST, _LIGHTEST, max(len(curves), 1))
    left, right = table.attrs["xlim"] if curves else (0.0, 0.0)
    handles: list[Artist] = []
    if curves:
        edge: dict[str, Any] = {"facecolor": "none", "edgecolor": style.muted, "lw": style.line(0.06)}
        handles.append(Patch(label=f"p ≥ {curves[0]['p']:g}", **edge))
    for i, curve in enumerate(curves):
        y, inner = np.array(curve["y"]), [np.array(curve[side]) for side in ("low", "high")]
        last = i + 1 == len(curves)
        outer = [np.full(y.shape, end) for end in (left, right)] if last else [
            np.array(curves[i + 1][side]) for side in ("low", "high")
        ]  # fmt: skip
        for near, far, side in zip(inner, outer, (-1, 1), strict=True):
            ends = (np.minimum(far, near), near) if side < 0 else (near, np.maximum(far, near))
            ax.fill_betweenx(
                y, *ends, color=style.muted, alpha=shades[i], lw=0, zorder=1, label=f"_contour {curve['p']:g}"
            )  # fmt: skip
        below = "" if last else f"{curves[i + 1]['p']:g} ≤ "
        handles.append(Patch(facecolor=style.muted, alpha=shades[i], lw=0, label=f"{below}p < {curve['p']:g}"))
    return handles


def _frame(ax: Axes, table: pd.DataFrame, shown: EffectAxis, style: Style) -> None:
    """Ticks in rates, ratios and sample sizes."""
    places, texts = shown.ticks(*ax.get_xlim())
    ax.set_xticks(places, labels=texts)
    height = str(table.attrs.get("yaxis", "sei"))
    if height in ("sqrtni", "sqrtninv"):
        at, said = _size_ticks(ax.get_ylim(), height, table["y"].to_numpy(dtype=np.float64))
        ax.set_yticks(at, labels=said)
    else:
        ax.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
        ax.set_yticks([tick for tick in ax.get_yticks() if min(ax.get_ylim()) <= tick <= max(ax.get_ylim())])
    labels = [
        "\n".join(wrap(text, room * style.size, style))
        for text, room in ((xlabel_of(table), _WIDE), (str(table.attrs.get("ylabel", "Standard error")), _HIGH))
    ]
    finish(ax, style, xlabel=labels[0], ylabel=labels[1])


def _size_ticks(ends: tuple[float, float], height: str, y: FloatArray) -> tuple[list[float], list[str]]:
    """Round sample sizes on an axis of their roots; of two that are too near the smaller one stays."""
    low, high = min(ends), max(ends)
    sizes = _SIZES if height == "sqrtni" else _SIZES[_BEYOND * float(y.min()) ** -2 >= _SIZES]
    places = (np.sqrt(sizes) if height == "sqrtni" else 1 / np.sqrt(sizes)).tolist()
    ticks = [(place, f"{n:.10g}") for place, n in zip(places, sizes.tolist(), strict=True) if low <= place <= high]
    kept: list[tuple[float, str]] = [] if height == "sqrtni" else [(0.0, "∞")]
    for place, text in ticks:
        if all(abs(place - at) >= _APART * (high - low) for at, _ in kept):
            kept.append((place, text))
    return [at for at, _ in kept], [text for _, text in kept]


def _labels(ax: Axes, table: pd.DataFrame, label: str, style: Style) -> None:
    """Names of studies, those farthest from the middle in the width of the funnel first."""
    if label == "none":
        return
    here = ~table["filled"].to_numpy(dtype=bool)
    if label == "outside":
        here &= table["outside"].to_numpy(dtype=bool)
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    far = np.abs(x - table.attrs.get("estimate", float(np.mean(x))))
    name_points(ax, x, y, table["study"].astype(str).where(here, "").tolist(), far, style)


def _words(table: pd.DataFrame, shown: EffectAxis) -> str:
    """The figure in words."""
    attrs, filled = table.attrs, table["filled"].to_numpy(dtype=bool)
    said = [f"Funnel plot of {plural(int((~filled).sum()), 'study')}."]
    against = str(attrs.get("ylabel", "standard error"))
    x = table["x"].to_numpy(dtype=np.float64)
    ends = " to ".join(shown.text(float(end)) for end in (x[~filled].min(), x[~filled].max()))
    bare = attrs.get("estimate") is None or attrs.get("residual")
    pooled = "" if bare else f"; pooled {shown.text(attrs['estimate'])}"
    said.append(f"{xlabel_of(table)} from {ends} against {_lower(against)}{pooled}.")
    out = table["outside"].to_numpy(dtype=bool) & ~filled
    also = [f"{plural(int(filled.sum()), 'study')} filled in by trim and fill, hollow"] if filled.any() else []
    if attrs.get("regions"):
        named = f", {listed(table.loc[out, 'study'])}" if 0 < out.sum() <= 5 else ""
        where = f"outside the {100 * float(attrs['level']):g}% region of sampling error about the middle{named}"
        also.append(f"{_sides(x, out, attrs)} {where}")
    last = [f"Shades mark p-values about {shown.text(attrs['null'])}"] if attrs.get("contours") else []
    if attrs.get("yaxis") == "sqrtninv" and shown.factor != 1:
        last.append("sample size is the axis because the standard error of a rate depends on the rate itself")
    return " ".join([*said, *(_sentence(parts) for parts in (also, last) if parts)])


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sides(x: FloatArray, out: npt.NDArray[np.bool_], attrs: dict[Any, Any]) -> str:
    """How many of the studies lie outside, and on which side."""
    if not out.any():
        return "none lies"
    left = int((out & (x < attrs["estimate"])).sum())
    many = int(out.sum())
    verb = "lies" if many == 1 else "lie"
    return f"{many} ({left} on the left, {many - left} on the right) {verb}"
