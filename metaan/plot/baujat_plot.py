"""The Baujat plot: contribution to heterogeneity against influence on the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from metaan.analysis.baujat import baujat as contributions
from metaan.errors import InputError, listed
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.plot.checked import checked
from metaan.plot.clouds import cloud, inner_ticks, named
from metaan.plot.panel import describe, finish, panel, table_of
from metaan.plot.points import name_points
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray, forbid, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["baujat", "baujat_table"]

_COLUMNS: Final = ("study", "x", "y")
_HEIGHT: Final = 25.0  # of the figure, in multiples of the text size
_NAMED: Final = 6
_REMOTE: Final = 0.15  # from the origin, the largest value of each axis being 1
_ROOM: Final = 0.07  # beyond the farthest study, as a share of the axis


def baujat_table(res: PoolResult | RegressResult) -> pd.DataFrame:
    """Table that a Baujat plot draws: contribution to heterogeneity and influence of each study.

    Parameters
    ----------
    res : PoolResult or RegressResult
        See `metaan.baujat`, which this is.

    Returns
    -------
    pandas.DataFrame
        Columns study, x (contribution) and y (influence); ``attrs`` hold the labels of the axes and notes.

    Raises
    ------
    InputError, OptionError
        As `metaan.baujat`.

    See Also
    --------
    metaan.plot.baujat : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Ames", "Bo", "Clark", "Di"])
    >>> metaan.plot.baujat_table(metaan.pool(eff, method="CE"))["x"].round(2).tolist()
    [14.69, 1.68, 4.01, 38.03]
    """
    table = contributions(res)
    common = isinstance(res, PoolResult) and (res.spec.method == "CE" or res.spec.model == "stratified")
    what = "fitted values" if isinstance(res, RegressResult) else "pooled effect"
    table.attrs = {
        "xlabel": "Contribution to Q" if common else "Contribution to heterogeneity\n(squared Pearson residual)",
        "ylabel": f"Influence on the {what}\n(squared shift over its variance)",
        "notes": [str(note) for note in table.attrs["notes"]],
    }
    return table


def baujat(
    res: PoolResult | RegressResult | pd.DataFrame,
    *,
    label: int | None = None,
    ax: Axes | None = None,
    style: str | Style | None = None,
) -> Axes:
    """Baujat plot: which studies make a result heterogeneous, and which of these move it.

    Parameters
    ----------
    res : PoolResult, RegressResult or DataFrame
        See `metaan.baujat`; or a table from `baujat_table`.
    label : int, optional
        How many studies are named and marked, those farthest from the origin with each axis taken from 0 to its largest
        value; by default half of them, but at most six and none close to the origin. A label without room is left out.
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
        As `metaan.baujat`; no study with finite numbers; a `label` that is no count.

    See Also
    --------
    baujat_table : The table that is drawn.

    Notes
    -----
    On the right stand studies that differ from the rest by more than their standard errors allow, at the top those
    without which the result would be another. On the right below are small studies that deviate without consequence. A
    study at the top right is to be read again, not to be left out. Studies whose numbers are not finite are not drawn.

    References
    ----------
    Baujat B, Mahé C, Pignon J-P, Hill C (2002). Stat Med 21:2641-2652. doi:10.1002/sim.1221

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Ames", "Bo", "Clark", "Di"])
    >>> ax = metaan.plot.baujat(metaan.pool(eff, method="CE"), label=1)
    >>> [text.get_text() for text in ax.texts]
    ['Di']
    """
    label = None if label is None else whole("label", label, 0)
    table = checked(table_of(res, baujat_table, _COLUMNS), {}, free=("x", "y"))
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    forbid((x < 0) | (y < 0), [*map(str, table["study"])], "x and y of the table must be 0 or more")
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise InputError("No study has a finite contribution and influence: there is nothing to draw.")
    names = np.array(named(table["study"]), dtype=object)[known]
    look = current_style(names, style)
    ax = panel(look, ax, height=_HEIGHT)
    ax.set(xlim=_ends(x[known]), ylim=_ends(y[known]))
    far = np.hypot(*(part[known] / (part[known].max() or 1.0) for part in (x, y)))
    marked = _remote(far, label)
    cloud(ax, x[known], y[known], marked, ("", ""), look)
    inner_ticks(ax)
    finish(ax, look, xlabel=str(table.attrs.get("xlabel", "x")), ylabel=str(table.attrs.get("ylabel", "y")))
    name_points(ax, x[known], y[known], np.where(marked, names, "").tolist(), far, look)
    return describe(ax, _words(table, known))


def _remote(far: FloatArray, label: int | None) -> npt.NDArray[np.bool_]:
    """Studies to mark: those farthest from the origin."""
    marked = np.zeros(far.size, dtype=bool)
    marked[np.argsort(-far, kind="stable")[: min(_NAMED, (far.size + 1) // 2) if label is None else label]] = True
    return marked & (far >= _REMOTE) if label is None else marked


def _ends(values: FloatArray) -> tuple[float, float]:
    """From a little below 0, so that points there are whole, to beyond the largest value."""
    top = float(values.max()) or 1.0
    return -0.02 * top, (1 + _ROOM) * top


def _words(table: pd.DataFrame, known: npt.NDArray[np.bool_]) -> str:
    """The figure in words."""
    here = table[known]
    first = [int(here[name].to_numpy().argmax()) for name in ("x", "y")]
    most, moves = (here.iloc[i] for i in first)
    said = [f"Baujat plot of {plural(len(here), 'study')}."]
    contribution = f"{most['study']} contributes most to heterogeneity ({most['x']:.3g})"
    if first[0] == first[1]:
        said.append(f"{contribution} and moves the result most ({moves['y']:.3g}).")
    else:
        said.append(f"{contribution}, {moves['study']} moves the result most ({moves['y']:.3g}).")
    if not known.all():
        said.append(f"Without finite numbers, and not drawn: {listed(table.loc[~known, 'study'])}.")
    return " ".join(said)
