"""How much a result hangs on single studies, and how it came about: leave-one-out and cumulative meta-analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaan.analysis.refits import check_result, table
from metaan.errors import InputError, OptionError
from metaan.models.design import group_values, rows_of
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cumulative", "leave_one_out"]


def leave_one_out(res: PoolResult) -> pd.DataFrame:
    """Fit a result again without each study in turn.

    Parameters
    ----------
    res : PoolResult or GlmmResult
        From `metaan.pool`, or from `metaan.glmm`; on the display scale if `back` was applied.

    Returns
    -------
    pandas.DataFrame
        One row for each study: `study` (the one left out), estimate, se, ci_low, ci_high, statistic, pvalue, pi_low,
        pi_high, k, tau2, tau, I2, H2, Q, Q_df, Q_pvalue, and for a GLMM loglik, of the others. Estimate and limits are
        on the scale of `res`. ``attrs["notes"]`` holds the decisions taken in some of the rows, with their studies.

    Raises
    ------
    InputError
        No result, or a result of one study.
    OptionError
        A result of another model; a robust one; one whose tau2 was not estimated from its own studies.

    Notes
    -----
    Each row is what `pool` or `glmm` with the options of `res` gives for the other studies. All rows come from one
    call of the batched kernels, which see an absent study with weight 0, or with a likelihood of 1. A bootstrap
    prediction interval is not made again: its columns are empty. Freeman-Tukey values are turned back at the harmonic
    mean of the sizes of the studies in the row. A GLMM with `nodes` takes one search for each row; the likelihoods of
    both arms (UM.FS, UM.RS) are fitted one row after the other.

    References
    ----------
    Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125. doi:10.1002/jrsm.11

    Examples
    --------
    >>> from metaan import effects, leave_one_out, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> leave_one_out(pool(eff, method="DL", test="z"))[["study", "estimate", "tau2"]].round(3)
       study  estimate   tau2
    0  Adams     0.540  0.275
    1  Baker     0.469  0.340
    2  Clark     0.502  0.323
    3  Davis     0.175  0.000
    """
    check_result(res, "leave_one_out")
    if res.k < 2:
        raise InputError("leave_one_out needs at least two studies; the result has one.")
    return table(res, ~np.eye(res.k, dtype=bool), res.effects.study, "leave_one_out", "without")


def cumulative(
    res: PoolResult, order: Any = None, *, positions: Sequence[int] | None = None, ascending: bool = True
) -> pd.DataFrame:
    """Fit a result again to its first study, its first two, and so on.

    Parameters
    ----------
    res : PoolResult or GlmmResult
        As in `leave_one_out`.
    order : str or sequence of k values, optional
        What the studies are sorted by: a column of the data behind the effects, or a number, a date or a text for each
        study. Equal values keep the order of the studies. By default the studies come as they stand.
    positions : sequence of k int, optional
        Instead of `order`: the position (from 0) of the study that comes first, second ...
    ascending : bool, default True
        Smallest value of `order`, or first position, first.

    Returns
    -------
    pandas.DataFrame
        One row for each study: `study` (the one added) and the columns of `leave_one_out` for it and those before.

    Raises
    ------
    InputError
        No result; no such column; values that cannot be sorted; positions that are not 0 to k - 1, each once.
    OptionError
        `order` and `positions` together, or a result as in `leave_one_out`.
    DataError
        A study without a value of `order`.

    Notes
    -----
    The first row has one study: tau2 = 0, the normal interval and no prediction interval, as `pool` of one study.

    References
    ----------
    Lau J et al. (1992). N Engl J Med 327:248-254. doi:10.1056/NEJM199207233270406

    Examples
    --------
    >>> from metaan import cumulative, effects, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> cumulative(pool(eff, test="z"), order=[2001, 1994, 1998, 2004])[["study", "k", "estimate"]].round(3)
       study  k  estimate
    0  Baker  1     0.300
    1  Clark  2     0.250
    2  Adams  3     0.175
    3  Davis  4     0.429
    """
    check_result(res, "cumulative")
    index = _positions(res, order, positions, ascending)
    here = np.empty((res.k, res.k), dtype=bool)
    here[index] = np.triu(np.ones((res.k, res.k), dtype=bool))
    return table(res, here, [res.effects.study[i] for i in index], "cumulative", "up to")


def _positions(res: PoolResult, order: Any, positions: Sequence[int] | None, ascending: bool) -> npt.NDArray[np.intp]:
    """Positions of the studies in the order in which they are added."""
    if order is not None and positions is not None:
        raise OptionError("Give order= (what to sort by) or positions= (which study comes when), not both.")
    if positions is not None:
        index = np.asarray(positions)
        if index.shape != (res.k,) or index.dtype.kind not in "iu" or sorted(index) != list(range(res.k)):
            raise InputError(
                f"positions must hold each of 0 to {res.k - 1} once: the study that comes first, second ..."
            )
        return index.astype(np.intp) if ascending else index[::-1].astype(np.intp)
    if order is None:
        return np.arange(res.k) if ascending else np.arange(res.k)[::-1]
    rank = _ranks(res, order)
    return np.argsort(rank if ascending else -rank, kind="stable")


def _ranks(res: PoolResult, order: Any) -> npt.NDArray[np.intp]:
    if isinstance(order, str):
        rows = rows_of(res.effects, "cumulative")
        if order not in rows.columns:
            raise InputError(
                f"order={order!r} is not a column of the data. Columns: {', '.join(map(str, rows.columns))}."
            )
        order = rows[order]
    values = group_values(res.effects, order, "order")
    try:
        place = {value: i for i, value in enumerate(sorted(set(values)))}
    except TypeError as error:
        raise InputError("order holds values that cannot be compared, such as numbers and text.") from error
    return np.array([place[value] for value in values], dtype=np.intp)
