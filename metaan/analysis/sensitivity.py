"""How much a result hangs on single studies, and how it came about: leave-one-out and cumulative meta-analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaan.analysis.leave_out import clusters_of
from metaan.analysis.refits import EVERY_MODEL, check_result, table
from metaan.analysis.refits_display import label_of
from metaan.analysis.refits_terms import table_of_terms
from metaan.core.many import BoolArray
from metaan.errors import InputError, Note, OptionError, shown
from metaan.models.design import group_values, rows_of
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cumulative", "leave_one_out"]


def leave_one_out(res: PoolResult | RegressResult, *, by: Any = None) -> pd.DataFrame:
    """Fit a result again without each study, or each cluster of studies, in turn.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult, RegressResult or MultilevelResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto`, `regress`, `glmm` with a formula, or
        `multilevel`; on the display scale if `back` was applied.
    by : str or sequence of k values, optional
        What is left out at a time: a column of the data behind the effects, or a value for each study (each estimate of
        a multilevel model): all studies of a paper, of a centre. ``"study"`` are the labels where no column has that
        name. ``"overlap_group"``, for trials from `metaan.load`: the studies that share patients (`metaan.overlaps`).
        A study without a value is left out by itself, which is noted. By default each study.

    Returns
    -------
    pandas.DataFrame
        One row for each study: `study` (the one left out), estimate, se, ci_low, ci_high, statistic, pvalue, pi_low,
        pi_high, k, tau2, tau, I2, H2, Q, Q_df, Q_pvalue, of the others; loglik of a GLMM; rho and loglik of a
        beta-binomial model. Mantel-Haenszel and Peto have no pi_low, pi_high, tau2 and tau. With `by`, one row for each
        cluster: `cluster` and `left_out`, the number of studies left out, in place of `study`. Estimate and limits are
        on the scale of `res`.

        Of a regression, one row for each study, or cluster, and coefficient: `term`, estimate, se, ci_low, ci_high,
        statistic, pvalue, and of the fit k, tau2, tau, I2, H2, QE, QE_df, QE_pvalue; loglik of a GLMM or multilevel
        model, and sigma2_district, sigma2_school ... for the levels of the latter.

        ``attrs["notes"]`` holds the decisions taken in some of the rows, with their studies. For figures: ``kind``
        ("leave_one_out" or "cumulative"), ``spec`` (what was asked for), ``scale``, and ``overall``, the result of all
        studies (not of a regression with moderators).

    Raises
    ------
    InputError
        No result, or a result of one study; a `by` that is no column, of one cluster, of another length, or with
        clusters whose labels look the same (1 and "1").
    OptionError
        A result of another model; a robust one; one whose tau2 was not estimated from its own studies.

    Notes
    -----
    Each row is what the model with the options of `res` gives for the other studies. All rows come from one call of the
    batched kernels, which see an absent study with weight 0, or with a likelihood of 1. A row without an estimate is
    NaN, and a note says why: no events in an arm without the study, or moderators that no longer differ. A regression
    keeps its design row by row, so that a category that only the study has leaves no estimate. One row after the other
    are fitted: a GLMM with `nodes`, with moderators or of both arms (UM.FS, UM.RS), and multilevel models with `vcov`,
    whose blocks change with what is left out.

    A bootstrap prediction interval is not made again: its columns are empty. Freeman-Tukey values are turned back at
    the harmonic mean of the sizes of the studies in the row. Trials that say nothing on the measure have no row under
    Mantel-Haenszel and Peto: without them nothing changes.

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
    >>> both = leave_one_out(pool(eff, method="DL", test="z"), by=["Oslo", "Rome", "Rome", "Turin"])
    >>> both[["cluster", "left_out", "estimate"]].round(3)
      cluster  left_out  estimate
    0    Oslo         1     0.540
    1    Rome         2     0.600
    2   Turin         1     0.175
    """
    name, where = "leave_one_out", "without"
    if isinstance(res, RegressResult):
        here, rows, notes = _without(res, by, name)
        made = table_of_terms(res, here, rows, name, where)
    else:
        check_result(res, name, (*EVERY_MODEL, "regression", "multilevel"))
        if res.k < 2:
            raise InputError("leave_one_out needs at least two studies; the result has one.")
        here, rows, notes = _without(res, by, name)
        made = table(res, here, rows, name, where)
    made.attrs["notes"] += notes
    made.attrs |= label_of(res, name)
    return made


def _without(res: PoolResult | RegressResult, by: Any, name: str) -> tuple[BoolArray, dict[str, Any], tuple[Note, ...]]:
    """Which studies each refit has, what its row is called, and notes."""
    if by is None:
        return ~np.eye(res.k, dtype=bool), {"study": res.effects.study}, ()
    labels, member, notes = clusters_of(res.effects, by, name)
    return ~member, {"cluster": labels, "left_out": member.sum(axis=0)}, notes


def cumulative(
    res: PoolResult | RegressResult,
    order: Any = None,
    *,
    positions: Sequence[int] | None = None,
    ascending: bool = True,
) -> pd.DataFrame:
    """Fit a result again to its first study, its first two, and so on.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult or StratifiedResult
        As in `leave_one_out`, but no regression.
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
        One row for each study: `study` (the one added) and the columns of `leave_one_out` for it and those before; NaN
        with a note where these give no estimate.

    Raises
    ------
    InputError
        No result; no such column; values that cannot be sorted; positions that are not 0 to k - 1, each once.
    OptionError
        `order` and `positions` together; `ascending` that is no bool; a result as in `leave_one_out`, or a regression,
        which has no estimate of its first studies and no single effect to follow.
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
    if isinstance(res, RegressResult):
        text = "cumulative follows one pooled effect from the first study on; a regression has several coefficients"
        raise OptionError(f"{text}, and none of its first studies. Use leave_one_out, or the result of pool.")
    check_result(res, "cumulative", EVERY_MODEL)
    index = _positions(res, order, positions, ascending)
    here = np.empty((res.k, res.k), dtype=bool)
    here[index] = np.triu(np.ones((res.k, res.k), dtype=bool))
    made = table(res, here, {"study": [res.effects.study[i] for i in index]}, "cumulative", "up to")
    made.attrs |= label_of(res, "cumulative")
    return made


def _positions(res: PoolResult, order: Any, positions: Sequence[int] | None, ascending: bool) -> npt.NDArray[np.intp]:
    """Positions of the studies in the order in which they are added."""
    if order is not None and positions is not None:
        raise OptionError("Give order= (what to sort by) or positions= (which study comes when), not both.")
    if not isinstance(ascending, (bool, np.bool_)):
        raise OptionError(f"ascending={shown(ascending)} must be True or False.")
    if positions is not None:
        index = _whole(positions, res.k)
        return index if ascending else index[::-1]
    if order is None:
        return np.arange(res.k) if ascending else np.arange(res.k)[::-1]
    rank = _ranks(res, order)
    return np.argsort(rank if ascending else -rank, kind="stable")


def _whole(positions: Any, k: int) -> npt.NDArray[np.intp]:
    """Positions as an array of whole numbers, each of 0 to k - 1 once."""
    try:
        index = np.asarray(positions)
    except ValueError:  # rows of unequal length
        index = np.empty(0)
    if index.shape != (k,) or index.dtype.kind not in "iu" or sorted(index) != list(range(k)):
        raise InputError(f"positions must hold each of 0 to {k - 1} once: the study that comes first, second ...")
    return index.astype(np.intp)


def _ranks(res: PoolResult, order: Any) -> npt.NDArray[np.intp]:
    if isinstance(order, str):
        rows = rows_of(res.effects, "cumulative")
        if order not in rows.columns:
            raise InputError(
                f"order={shown(order)} is not a column of the data. Columns: {', '.join(map(str, rows.columns))}."
            )
        order = rows[order]
    elif isinstance(order, (Mapping, Set, bytes)):
        kind = type(order).__name__
        raise InputError(f"order must be a column of the data or one value for each study, not a {kind}.")
    values = group_values(res.effects, order, "order")
    try:
        place = {value: i for i, value in enumerate(sorted(set(values)))}
    except TypeError as error:
        raise InputError("order holds values that cannot be compared, such as numbers and text.") from error
    return np.array([place[value] for value in values], dtype=np.intp)
