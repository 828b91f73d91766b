"""What a GOSH plot shows, as a table: one row for each subset of the studies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.analysis.gosh_result import GoshResult
from metaan.errors import InputError, OptionError, listed
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.models.regress_result import RegressResult
from metaan.plot.axis import XLABEL
from metaan.plot.scales import label_of, scale_of
from metaan.validate import Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Y", "gosh_table"]

Y: Final = Option(
    "y",
    {
        "I2": "share of heterogeneity, %", "tau2": "between-study variance", "H2": "total over sampling variance",
        "Q": "Cochran's statistic",
    },
    "I2",
)  # fmt: skip


def gosh_table(
    made: GoshResult, *, y: str | None = None, study: str | None = None, term: str | None = None
) -> pd.DataFrame:
    """Table that a GOSH plot draws: one row for each subset with a finite estimate.

    Parameters
    ----------
    made : GoshResult
        From `metaan.gosh`.
    y : {"I2", "tau2", "H2", "Q"}, optional
        Measure of heterogeneity, I2 by default.
    study : str, optional
        Label of a study: `group` says whether a subset has it. Otherwise groups are the clusters, if there are any.
    term : str, optional
        Coefficient of a regression; it needs one if it has several.

    Returns
    -------
    pandas.DataFrame
        Columns estimate (a rate, a ratio ...; a coefficient as it is), the measure of heterogeneity, k and, where
        there are groups, group. ``attrs``: y, scale, studies, left_out (subsets without a finite estimate), full
        (estimate and heterogeneity of all studies), possible and the label of the axis.

    Raises
    ------
    InputError
        No GoshResult; no subset with a finite estimate; a measure of heterogeneity that the model does not have.
    OptionError
        An unknown `y`, `study` or `term`.

    Notes
    -----
    Freeman-Tukey values are turned back at the harmonic mean of all totals.

    See Also
    --------
    metaan.plot.gosh : Draw it.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.gosh_table(metaan.gosh(metaan.pool(eff)), study="Ames")
    >>> table["group"].value_counts().to_dict()
    {'with Ames': 4, 'without Ames': 3}
    """
    import pandas as pd

    if not isinstance(made, GoshResult):
        raise InputError(f"made is a {type(made).__name__}. Pass what metaan.gosh returned.")
    name = Y.check("I2" if y is None else y)
    column = _term(made, term)
    turned, scale = _display(made)
    estimate = turned(made.estimate.reshape(made.n, -1)[:, column])
    height = np.asarray(getattr(made, name), dtype=np.float64)
    usable = np.isfinite(estimate) & np.isfinite(height)
    if not usable.any():
        hint = "choose another y" if np.isfinite(estimate).any() else "there is nothing to draw"
        raise InputError(f"No subset has a finite estimate and {name}: {hint}.")
    table = pd.DataFrame({"estimate": estimate[usable], name: height[usable], "k": made.k[usable]})
    group = _groups(made, study)
    if group is not None:
        table["group"] = pd.Categorical(group[usable], categories=sorted(set(group[usable])))
    attrs: dict[Any, Any] = {
        "y": name, "scale": scale, "studies": made.full.effects.k, "left_out": int((~usable).sum()),
        "possible": made.possible, "full": _full(made, name, column, turned), **_label(made, column),
    }  # fmt: skip
    table.attrs = attrs
    return table


def _term(made: GoshResult, term: str | None) -> int:
    if term is None and len(made.terms) == 1:
        return 0
    if not isinstance(term, str) or term not in made.terms:
        raise OptionError(f"term={term!r} is not known. Choose one of {', '.join(made.terms)}.")
    return made.terms.index(term)


def _display(made: GoshResult) -> tuple[Any, str]:
    """From the estimates of a result to those that are shown, and their scale."""
    full = made.full
    if isinstance(full, RegressResult):
        return np.asarray, "effect"
    scale = scale_of(full.effects)
    if full.scale == "display":
        return np.asarray, scale
    return display_scale(full.effects).inverse, scale


def _groups(made: GoshResult, study: str | None) -> npt.NDArray[np.object_] | None:
    """Name of the group of each subset."""
    names = made.full.effects.study
    if study is not None:
        if not isinstance(study, str) or study not in names:
            raise OptionError(f"study={study!r} is not one of the studies: {listed(names)}.")
        inside = made.included[:, names.index(study)]
        return np.where(inside, f"with {study}", f"without {study}").astype(object)
    if made.cluster is None:
        return None
    return np.array([f"Cluster {i}" for i in range(int(made.cluster.max()) + 1)], dtype=object)[made.cluster]


def _full(made: GoshResult, name: str, column: int, turned: Any) -> list[float] | None:
    """Estimate and heterogeneity of all studies."""
    full = made.full
    own = f"{name}E" if name == "Q" and isinstance(full, RegressResult) else name
    value = float(np.atleast_1d(turned(np.atleast_1d(np.asarray(full.estimate))[[column]]))[0])
    height = float(getattr(full, own))
    return [value, height] if math.isfinite(value) and math.isfinite(height) else None


def _label(made: GoshResult, column: int) -> dict[str, str]:
    if isinstance(made.full, RegressResult):
        return {XLABEL: f"Coefficient of {made.terms[column]} ({KINDS[made.full.spec.measure].label})"}
    return label_of(made.full.effects)
