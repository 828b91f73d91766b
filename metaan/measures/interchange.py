"""Effect sizes from and to PyMARE's Dataset."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import InputError
from metaan.measures.record import Effects, effects

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["from_pymare"]


def from_pymare(dataset: Any, *, study: Any = None, measure: str = "GEN") -> Effects:
    """Effects of a PyMARE ``Dataset``.

    Parameters
    ----------
    dataset : pymare.Dataset
        With y and v of one meta-analysis.
    study : sequence of k labels, optional
        Study labels; 1 ... k by default.
    measure : str, default "GEN"
        What y is; see `metaan.effects`.

    Returns
    -------
    Effects
        Columns of the dataset's design, but for an intercept of ones, become columns of `data` (x0, x1 ... where they
        have no names), its sample sizes `inputs["n"]`.

    Raises
    ------
    InputError
        No Dataset, no variances, or several parallel meta-analyses.

    Examples
    --------
    >>> from metaan import effects, from_pymare
    >>> from_pymare(effects([0.1, 0.3], [0.02, 0.05]).to_pymare())
    <Effects: GEN of 2 studies>
    """
    import pandas as pd

    if type(dataset).__name__ != "Dataset" or not hasattr(dataset, "y"):
        raise InputError(f"from_pymare takes a pymare.Dataset, not {type(dataset).__name__}.")
    if dataset.v is None:
        raise InputError("The Dataset has no variances v; pool_by_size pools effects with sample sizes alone.")
    y, v = (np.asarray(part, dtype=np.float64) for part in (dataset.y, dataset.v))
    if y.ndim == 2 and y.shape[1] != 1:
        raise InputError(f"The Dataset holds {y.shape[1]} meta-analyses in parallel; give one at a time.")
    names = list(dataset.X_names or [])
    rows: pd.DataFrame | None = None
    if dataset.X is not None and not names:
        names = [f"x{i}" for i in range(np.asarray(dataset.X).shape[1])]
    if names:
        rows = pd.DataFrame(np.asarray(dataset.X, dtype=np.float64), columns=names)
        rows = rows.loc[:, [not (name == "intercept" and (rows[name] == 1).all()) for name in names]]
    made = effects(y.ravel(), v.ravel(), study=study, measure=measure, data=rows)
    if dataset.n is None:
        return made
    return dataclasses.replace(made, inputs={"n": np.asarray(dataset.n, dtype=np.float64).ravel()})
