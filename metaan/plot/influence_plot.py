"""The influence panel: deletion diagnostics of every study, one small plot for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.special import chdtri, ndtri

from metaan.analysis.influence import influence as diagnostics
from metaan.errors import InputError, OptionError, listed
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.checked import checked
from metaan.plot.clouds import inner_ticks, marks, named
from metaan.plot.panel import COLUMN, describe, finish, panel, table_of
from metaan.plot.points import name_points
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAMES_FIT", "influence", "influence_table"]

_INCH: Final = 72.0
_HEIGHT: Final = 11.5  # of a plot, in multiples of the text size
_PAD: Final = 0.45  # above and below it, the same
NAMES_FIT: Final = 20  # studies up to which all are named on the axis, others have numbers
_NUMBERS: Final = "number of its row in the table"
_LONGEST: Final = 24  # characters of a name on the axis
_CHARACTER: Final = 0.55  # width of a character, in multiples of the text size
_MANY: Final = 60
_SHOWN: Final = 8  # names in one plot
_ALONG: Final = 60  # points on a line of which names keep clear
_TITLES: Final = {
    "rstudent": "Studentised residual", "dffits": "DFFITS", "cooks_d": "Cook's distance",
    "cov_ratio": "Variance ratio", "tau2_del": "τ² without the study", "rho_del": "ρ without the study",
    "q_del": "Q without the study", "hat": "Hat value", "weight": "Weight (%)", "dfbetas": "DFBETAS",
    "statistic": "χ² of the cluster's residuals",
}  # fmt: skip
_DEFAULT: Final = (
    "rstudent", "statistic", "dffits", "cooks_d", "cov_ratio", "tau2_del", "rho_del", "q_del", "hat", "weight",
)  # fmt: skip


def influence_table(res: PoolResult | RegressResult, *, by: Any = None) -> pd.DataFrame:
    """Table that an influence panel draws: deletion diagnostics of each study.

    Parameters
    ----------
    res : PoolResult or RegressResult
        See `metaan.influence`, which this is.
    by : str or sequence of k values, optional
        Of a multilevel model: clusters that are left out, as in `metaan.influence`.

    Returns
    -------
    pandas.DataFrame
        The columns of `metaan.influence`. ``attrs``: thresholds (of the rule that calls a study influential; of
        rstudent, the normal limits at the level of the result), whole (values of the fit to all studies; of weight and
        hat, equal shares) and notes.

    Raises
    ------
    InputError, OptionError
        As `metaan.influence`.

    See Also
    --------
    metaan.plot.influence : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Ames", "Bo", "Clark", "Di"])
    >>> table = metaan.plot.influence_table(metaan.pool(eff, method="DL", test="z"))
    >>> {name: round(limits[-1], 3) for name, limits in table.attrs["thresholds"].items()}
    {'rstudent': 1.96, 'dffits': 1.732, 'cooks_d': 0.455, 'hat': 0.75, 'dfbetas': 1.0}
    """
    table = diagnostics(res, by=by)
    base = res if isinstance(res, RegressResult) else res.analysis or res
    p = len(base.names) if isinstance(base, RegressResult) else 1
    table.attrs = {
        "thresholds": _thresholds(table, base.k, p, base.spec.level, clustered=by is not None),
        "whole": _whole(table, base, p, clustered=by is not None),
        "notes": [str(note) for note in table.attrs["notes"]],
    }
    return table


def _thresholds(table: pd.DataFrame, k: int, p: int, level: float, *, clustered: bool) -> dict[str, list[float]]:
    """Limits of Viechtbauer & Cheung 2010, as in `metaan.influence`."""
    z = float(ndtri((1 + level) / 2))
    rule = {"rstudent": [-z, z], "cooks_d": [float(chdtri(p, 0.5))]}
    if k > p:
        shift = 3 * math.sqrt(p / (k - p))
        rule["dffits"] = [-shift, shift]
    if not clustered:
        rule["hat"] = [3 * p / k]
    rule |= {name: [-1.0, 1.0] for name in table.columns if name.startswith("dfbetas")}
    order = [name for name in table.columns if name in rule]
    return {name: rule[name] for name in order}


def _whole(table: pd.DataFrame, res: PoolResult | RegressResult, p: int, *, clustered: bool) -> dict[str, float]:
    """What each diagnostic is where a study changes nothing, or of the fit to all studies."""
    q = res.QE if isinstance(res, RegressResult) else res.Q
    known = {"rstudent": 0.0, "dffits": 0.0, "cooks_d": 0.0, "cov_ratio": 1.0, "tau2_del": res.tau2, "q_del": q}
    known |= {"rho_del": float(vars(res).get("rho", math.nan))}
    if not clustered:
        known |= {"hat": p / res.k, "weight": 100 / res.k}
    known |= {name: 0.0 for name in table.columns if name.startswith("dfbetas")}
    return {name: float(known[name]) for name in table.columns if name in known and math.isfinite(known[name])}


def influence(
    res: PoolResult | RegressResult | pd.DataFrame,
    *,
    what: Sequence[str] | str | None = None,
    by: Any = None,
    ax: Any = None,
    style: str | Style | None = None,
) -> npt.NDArray[np.object_]:
    """Influence panel: what each study does to a result, one small plot for each diagnostic.

    Parameters
    ----------
    res : PoolResult, RegressResult or DataFrame
        See `metaan.influence`; or a table from `influence_table`.
    what : str or sequence of str, optional
        Columns to draw, in this order; "dfbetas" stands for those of all coefficients. By default rstudent, dffits,
        cooks_d, cov_ratio, tau2_del, q_del, hat and weight, as far as the model has them, and the dfbetas of a
        regression.
    by : str or sequence of k values, optional
        Of a multilevel model: clusters that are left out. Only for a result.
    ax : sequence of matplotlib.axes.Axes, optional
        As many as there are diagnostics; a new figure by default.
    style : str or Style, optional
        A choice of `metaan.plot.style.STYLE`.

    Returns
    -------
    array of matplotlib.axes.Axes, shape (n,)
        One for each diagnostic, in the order of reading. Write the figure with
        ``metaan.plot.save(axes[0], "influence.svg")``.

    Raises
    ------
    InputError, OptionError
        As `metaan.influence`; a column that the table does not have; another number of Axes.

    Notes
    -----
    Up to 20 studies are named on the axis; more have numbers, those of the rows of the table. Influential studies, by
    the rule in `metaan.influence`, are diamonds, named where the diagnostic is beyond its dashed limit (where it has
    none, if they are few). Stems start at the value for all studies: 0, equal shares, or the tau2 and Q of the whole
    fit. The limits of the studentised residuals are normal quantiles, which the rule does not use. Infinite values
    stand at the edge. A study that is influential is not wrong.

    References
    ----------
    Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125. doi:10.1002/jrsm.11

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Ames", "Bo", "Clark", "Di"])
    >>> axes = metaan.plot.influence(metaan.pool(eff, method="DL", test="z"), what=["rstudent", "cooks_d"])
    >>> [ax.get_title(loc="left") for ax in axes]
    ['Studentised residual', "Cook's distance"]
    """
    table = _drawable(table_of(res, influence_table, ("influential",), {"by": by}))
    columns = _columns(table, what)
    names = named(table[_unit(table)], _LONGEST)
    look = current_style([*names, *columns], style)
    axes = _axes(look, ax, len(columns), names)
    for place, name in zip(axes, columns, strict=True):
        _diagnostic(place, table, name, look)
    _frame(axes, columns, names, look, unit=_unit(table), own=ax is None)
    if ax is None:
        _legend(axes, table, look)
    for place, name in zip(axes, columns, strict=True):
        _label(place, table, name, names, look)
        describe(place, _words(table, name))
    return axes


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """The table, refused where it was changed so that no figure can be drawn from it."""
    if not {"study", "cluster"} & set(table.columns):
        raise InputError("The table lacks study, the names: start from metaan.plot.influence_table(res).")
    for name in ("thresholds", "whole"):
        given = table.attrs.get(name, {})
        values = given.values() if isinstance(given, Mapping) else [None]
        if not all(_are_numbers(value, several=name == "thresholds") for value in values):
            raise InputError(f"attrs[{name!r}] of the table is {given!r}: take it from influence_table(res).")
    return checked(table, {}, free=_usable(table), flags=("influential",))


def _are_numbers(value: object, *, several: bool) -> bool:
    """Whether a value is a finite number, or one of several."""
    found = value if several else [value]
    if not isinstance(found, (list, tuple)) or not found:
        return False
    return all(isinstance(one, (int, float)) and math.isfinite(one) for one in found)


def _usable(table: pd.DataFrame) -> list[str]:
    """Columns that hold a diagnostic."""
    known = [str(name) for name in table.columns]
    return [name for name in known if name in _TITLES or name.startswith("dfbetas_") or name.endswith("_del")]


def _unit(table: pd.DataFrame) -> str:
    """What a row is, which is also the column of its name."""
    return "cluster" if "cluster" in table.columns else "study"


def _columns(table: pd.DataFrame, what: Sequence[str] | str | None) -> list[str]:
    """Diagnostics to draw."""
    usable = _usable(table)
    terms = [name for name in usable if name.startswith("dfbetas_")]
    if what is None:
        of_levels = [name for name in usable if name.startswith("sigma2_")]
        found = [name for name in _DEFAULT if name in usable] + of_levels + terms
        shown = [name for name in found if np.isfinite(table[name].to_numpy(dtype=np.float64)).any()]
        if not shown:
            raise InputError("No diagnostic has a finite value: there is nothing to draw.")
        return shown
    if not isinstance(what, (str, list, tuple)):
        raise OptionError(f"what={what!r} must be one or several of {', '.join(usable)}.")
    asked = [what] if isinstance(what, str) else list(what)
    columns = [one for name in asked for one in (terms if name == "dfbetas" and terms else [name])]
    absent = [str(name) for name in columns if not isinstance(name, str) or name not in usable]
    if absent or not columns:
        raise OptionError(f"what={what!r}: {listed(absent) or 'nothing'} is not here. Choose from {', '.join(usable)}.")
    return columns


def _axes(style: Style, ax: Any, n: int, names: Sequence[str]) -> npt.NDArray[np.object_]:
    """The Axes that were given, or those of a new figure in one column (up to three) or two."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if given.size != n:
            raise OptionError(f"ax holds {given.size} Axes for {plural(n, 'diagnostic')}: give as many, or none.")
        return np.array([panel(style, one) for one in given], dtype=object)
    columns = 1 if n <= 3 else 2
    rows = -(-n // columns)
    below = _CHARACTER * max(map(len, names)) if len(names) <= NAMES_FIT else 1.0
    size = (COLUMN * (1.0 if columns == 1 else 2.05), _HEIGHT * rows + below + 5.0)
    figure = plt.figure(figsize=tuple(side * style.size / _INCH for side in size), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(h_pad=_PAD * style.size / _INCH)
    made = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in made[n:]:
        spare.remove()
    return np.asarray(made[:n], dtype=object)


def _diagnostic(ax: Axes, table: pd.DataFrame, name: str, style: Style) -> None:
    """One diagnostic: stems, marks, the value of the whole fit and the limits of the rule."""
    value = table[name].to_numpy(dtype=np.float64)
    limits, base = _lines(table, name)
    y = _within(ax, value, [*limits, base])
    x = np.arange(1.0, y.size + 1)
    known, flagged = ~np.isnan(y), table["influential"].to_numpy(dtype=bool)
    ax.vlines(x[known], base, y[known], colors=[style.muted], linewidth=style.line(0.07), zorder=2, label="_stems")
    ax.axhline(base, color=style.ink, lw=style.line(0.08), zorder=1, label="_whole")
    for limit in limits:
        ax.axhline(limit, color=style.ink, lw=style.line(0.09), ls=(0, (4, 3)), zorder=1, label="_threshold")
    plain, apart = marks(ax, style, many=y.size >= _MANY)
    for here, look, label in ((known & ~flagged, plain, "_points"), (known & flagged, apart, "_influential")):
        if here.any():
            ax.plot(x[here], y[here], zorder=4, clip_on=False, label=label, **look)
    ax.set_xlim(0.25, y.size + 0.75)
    inner_ticks(ax, "y", 4)


def _lines(table: pd.DataFrame, name: str) -> tuple[list[float], float]:
    """Limits of the rule, and where stems start."""
    thresholds: Mapping[str, Sequence[float]] = table.attrs.get("thresholds", {})
    whole: Mapping[str, float] = table.attrs.get("whole", {})
    return [float(limit) for limit in thresholds.get(name, ())], float(whole.get(name, 0.0))


def _within(ax: Axes, value: FloatArray, lines: Sequence[float]) -> FloatArray:
    """Limits of the plot: all values, the nearest limit of the rule, room for a name; infinite values at its edges."""
    finite = value[np.isfinite(value)]
    base = lines[-1]
    low, high = min([base, *finite]), max([base, *finite])
    span = high - low or abs(base) or 1.0
    near = [line for line in lines[:-1] if low - span <= line <= high + span]
    low, high = min([low, *near]), max([high, *near])
    room = 0.12 * ((high - low) or span)
    ax.set_ylim(low if low == base == 0 else low - room, high + 1.5 * room)
    return np.clip(value, low - room / 2, high + room / 2)


def _title(name: str) -> str:
    if name.startswith("dfbetas_"):
        return f"DFBETAS: {name.removeprefix('dfbetas_')}"
    if name.startswith("sigma2_"):
        return f"σ² of {name.removeprefix('sigma2_').removesuffix('_del')} without it"
    return _TITLES.get(name, name)


def _frame(
    axes: npt.NDArray[np.object_], what: Sequence[str], names: Sequence[str], style: Style, *, unit: str, own: bool
) -> None:
    """Titles, and names or numbers of the studies under the plots that have none below them."""
    k = len(names)
    columns = 1 if len(axes) <= 3 else 2
    label = "" if k <= NAMES_FIT else f"{unit.capitalize()} ({_NUMBERS})"
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 500, 10**6) if k <= NAMES_FIT or k / step <= 12)
    ticks = np.arange(1, k + 1) if k <= NAMES_FIT else np.r_[1, np.arange(step, k + 1, step)]
    for i, ax in enumerate(axes):
        lowest = not own or i + columns >= len(axes)
        texts = (list(names) if k <= NAMES_FIT else [str(t) for t in ticks]) if lowest else []
        ax.set_xticks(ticks, labels=texts, rotation=90 if k <= NAMES_FIT else 0)
        finish(ax, style, title=_title(what[i]), xlabel=label if lowest else "")


def _legend(axes: npt.NDArray[np.object_], table: pd.DataFrame, style: Style) -> None:
    """One legend over all plots."""
    plain, apart = marks(axes[0], style, many=len(table) >= _MANY)
    unit = _unit(table)
    handles = [Line2D([], [], label=unit.capitalize(), **plain)]
    if table["influential"].any():
        handles.append(Line2D([], [], label=f"Influential {unit}", **apart))
    if any(_lines(table, name)[0] for name in table.columns):
        handles.append(Line2D([], [], color=style.ink, lw=style.line(0.09), ls=(0, (4, 3)), label="Limit"))
    handles.append(Line2D([], [], color=style.ink, lw=style.line(0.08), label="All studies"))
    shown = axes[0].figure.legend(
        handles=handles, loc="outside upper left", ncols=2 if len(axes) <= 3 else 4, frameon=False, borderpad=0.2,
        prop=style.font(small=True), labelcolor=style.ink, handletextpad=0.6, columnspacing=1.4,
    )  # fmt: skip
    for text in shown.get_texts():
        text.set_parse_math(False)


def _label(ax: Axes, table: pd.DataFrame, name: str, names: Sequence[str], style: Style) -> None:
    """Names of influential studies beyond a limit; of all of them where there is none and they are few."""
    value = table[name].to_numpy(dtype=np.float64)
    limits, base = _lines(table, name)
    flagged = table["influential"].to_numpy(dtype=bool) & ~np.isnan(value)
    if limits:
        above = value > limits[-1]
        flagged &= above | (value < limits[0]) if len(limits) > 1 else above
    size = np.abs(value - base)
    chosen = np.flatnonzero(flagged)[np.argsort(-size[flagged], kind="stable")]
    if chosen.size == 0 or (not limits and chosen.size > 3) or len(names) <= 3:
        return
    texts = [""] * len(names)
    for i in chosen[:_SHOWN].tolist():
        texts[i] = names[i]
    y = np.clip(np.where(np.isnan(value), base, value), *ax.get_ylim())
    x = np.arange(1.0, len(names) + 1)
    across, up = _lines_of(ax, x, y, [*limits, base], base)
    first = np.concatenate([np.where(np.isfinite(size), size, np.inf), np.zeros(across.size)])
    name_points(ax, np.append(x, across), np.append(y, up), [*texts, *[""] * across.size], first, style)


def _lines_of(
    ax: Axes, x: FloatArray, y: FloatArray, lines: Sequence[float], base: float
) -> tuple[FloatArray, FloatArray]:
    """Points on horizontal lines and on stems, which names are to keep clear of."""
    low, high = ax.get_ylim()
    along = np.linspace(*ax.get_xlim(), _ALONG)
    level = [line for line in lines if low <= line <= high]
    across, up = np.meshgrid(along, level)
    stems = base + np.outer([0.25, 0.5, 0.75], y - base)
    return np.append(across.ravel(), np.tile(x, 3)), np.append(up.ravel(), stems.ravel())


def _words(table: pd.DataFrame, name: str) -> str:
    """One plot in words."""
    labels = table[_unit(table)].astype(str)
    value, flagged = table[name].to_numpy(dtype=np.float64), table["influential"].to_numpy(dtype=bool)
    said = [f"Influence panel of {plural(len(table), _unit(table))}: {_title(name)}."]
    known = value[~np.isnan(value)]
    if known.size:
        ends = [str(labels.iloc[int(pick(value))]) for pick in (np.nanargmin, np.nanargmax)]
        low, high = (f"{end:.3g}".replace("-", "−") for end in (known.min(), known.max()))
        said.append(f"From {low} ({ends[0]}) to {high} ({ends[1]}).")
    said.append(f"Influential: {listed(labels[flagged]) if flagged.any() else 'none'}.")
    return " ".join(said)
