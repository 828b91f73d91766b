"""Thousands of meta-analyses in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.analysis.data_sets import DataSets, read
from metaan.core.binomial import Binomial
from metaan.core.many import BoolArray, Many
from metaan.core.many import pool_many as pool_normal
from metaan.core.many_counts import counts_many
from metaan.core.wls import FloatArray, arrange
from metaan.errors import OptionError
from metaan.models.glmm_spec import Asked, make_spec
from metaan.models.pool import pool_spec
from metaan.models.results import Spec
from metaan.validate import Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pool_many"]

MODEL: Final = Option(
    "model", {"normal": "inverse variance, as metaan.pool", "glmm": "binomial-normal, as metaan.glmm"}, "normal"
)  # fmt: skip
_CHUNK: Final = 200_000  # numbers in an array at a time: they stay in the processor's cache
_COLUMNS: Final = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "df", "pi_low", "pi_high", "k",
    "tau2", "tau", "I2", "H2", "Q", "Q_df", "Q_pvalue",
)  # fmt: skip
_LIKELIHOOD: Final = ("loglik", "lrt", "lrt_pvalue")


def pool_many(
    yi: Any = None,
    vi: Any = None,
    *,
    data: pd.DataFrame | None = None,
    by: str | Sequence[str] | None = None,
    model: str = "normal",
    events: Any = None,
    total: Any = None,
    weights: Any = None,
    method: str | None = None,
    test: str | None = None,
    level: float = 0.95,
    pi: str = "t",
    ci: str = "wald",
) -> pd.DataFrame:
    """Pool many sets of studies at once, thousands of times faster than one after the other.

    Parameters
    ----------
    yi, vi : array of shape (n, k), or column names
        Effect sizes and sampling variances, one row for each of n meta-analyses, both NaN where a study is absent.
        With `data` and `by`: columns of a table with one row for each study.
    data : pandas.DataFrame, optional
        One row for each study of each meta-analysis.
    by : str or sequence of str, optional
        Columns of `data` that tell the meta-analyses apart.
    model : {"normal", "glmm"}
        `metaan.pool` of effect sizes, or `metaan.glmm` of rates (PLO).
    events, total : array of shape (n, k), or column names
        Counts for ``model="glmm"``; a study is absent where both are NaN or both are 0.
    weights : array of shape (n, k) or column name, optional
        Weights > 0 for ``method="GENQ"``.
    method, test : str, optional
        As in `metaan.pool` ("REML" and "hk" by default); for ``model="glmm"`` test is "t" (default) or "z".
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    pi : str, default "t"
        Prediction interval, as in `metaan.pool` ("bootstrap" excepted) or `metaan.glmm`.
    ci : {"wald", "profile"}
        Interval of a GLMM.

    Returns
    -------
    pandas.DataFrame
        One row for each meta-analysis, in the order of the rows of the arrays or of first appearance in `data`: the
        columns `by`; estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue, df, pi_low, pi_high, k, tau2, tau,
        I2, H2, Q, Q_df, Q_pvalue; for a GLMM loglik, lrt, lrt_pvalue; converged; and notes, the codes of the notes
        that `pool` or `glmm` would make, separated by commas. All on the analysis scale.

    Raises
    ------
    InputError
        Arrays that are not two-dimensional or differ in shape, unknown columns, too much or too little given.
    DataError
        Numbers that are missing by half, not positive, not whole, infinite; the message names the meta-analyses.
    OptionError
        As in `metaan.pool` and `metaan.glmm`.

    Notes
    -----
    The numbers are those of `pool` and `glmm` for each set by itself. A set without studies gives a row of NaN and the
    code ``no-studies``; where Kenward-Roger leaves too few degrees of freedom, which `pool` refuses, se, interval and
    test are NaN and the code is ``no-df``. All sets go through the same array operations in pieces that fit the
    processor's cache; sets of like size are taken together.

    Examples
    --------
    >>> import numpy as np
    >>> from metaan import pool_many
    >>> y = np.array([[0.1, 0.3, 0.5], [0.2, 0.4, np.nan]])
    >>> v = np.array([[0.01, 0.01, 0.01], [0.02, 0.02, np.nan]])
    >>> pool_many(y, v, method="DL", test="z")[["estimate", "tau2", "k", "notes"]].round(4)
       estimate  tau2  k            notes
    0       0.3  0.03  3
    1       0.3  0.00  2  tau2-zero,no-pi
    """
    MODEL.check(model)
    spec = _spec(model, method, test, level, pi, ci)
    arrays = _arrays(model, yi=yi, vi=vi, events=events, total=total, weights=weights, method=spec.method)
    sets = read(arrays, data, by, counts=model == "glmm")
    return _frame(sets, _fit(sets, spec), model)


def _spec(model: str, method: str | None, test: str | None, level: float, pi: str, ci: str) -> Spec:
    if model == "glmm":
        if method is not None:
            raise OptionError("model='glmm' estimates tau2 by maximum likelihood; leave method out.")
        return make_spec(Asked("PLO", None, None, None, "t" if test is None else test, ci, level, pi, None))
    if ci != "wald":
        raise OptionError(f"ci={ci!r} is an option of model='glmm'; the interval of model='normal' is set by test.")
    if pi == "bootstrap":
        raise OptionError("pool_many has no bootstrap prediction interval: use pi='t', or pool one set at a time.")
    return pool_spec("GEN", "REML" if method is None else method, "hk" if test is None else test, level, pi)


def _arrays(model: str, *, method: str, **given: Any) -> dict[str, Any]:
    """The arguments that the model takes; all of them, and no others, must be given."""
    needed = ["events", "total"] if model == "glmm" else ["yi", "vi", *(["weights"] if method == "GENQ" else [])]
    lacking = [name for name in needed if given[name] is None]
    beside = [name for name, value in given.items() if value is not None and name not in needed]
    if lacking or beside:
        told = f" It does not take {', '.join(beside)}." if beside else ""
        what = f"model={model!r}" + (" with method='GENQ'" if method == "GENQ" else "")
        raise OptionError(f"{what} needs {', '.join(f'{name}=' for name in needed)}.{told}")
    return {name: given[name] for name in needed}


def _fit(sets: DataSets, spec: Spec) -> Many:
    """Results of the sets that have studies, in order of size and in pieces."""
    order = np.argsort(sets.k, kind="stable")
    order = order[sets.k[order] > 0]
    size, parts, start = sets.k[order], [], 0
    while start < order.size:
        ahead = size[start : start + _CHUNK]
        count = max(1, int(np.searchsorted(ahead * np.arange(1, ahead.size + 1), _CHUNK, side="right")))
        part = order[start : start + count]
        parts.append(_one_size({name: value[part, : ahead[count - 1]] for name, value in sets.arrays.items()}, spec))
        start += count
    return _scattered(parts, order, sets.k.size)


def _one_size(arrays: dict[str, FloatArray], spec: Spec) -> Many:
    if spec.model == "normal":
        weights = arrays.get("weights")
        a = None if weights is None else np.ascontiguousarray(np.nan_to_num(weights).T)
        return pool_normal(
            arrange(arrays["yi"], arrays["vi"]), method=spec.method, test=spec.test, level=spec.level, pi=spec.pi,
            weights=a,
        )  # fmt: skip
    x, n = (np.ascontiguousarray(arrays[name].T) for name in ("events", "total"))
    here = ~np.isnan(n)
    add = np.where(here & ((x == 0) | (x == n)), 0.5, 0.0)
    hit, miss = x + add, n - x + add
    data = arrange(np.log(hit / miss).T, (1 / hit + 1 / miss).T)
    b = Binomial.from_counts(np.where(here, x, 0.0), np.where(here, n, 0.0))
    return counts_many(b, data, test=spec.test, level=spec.level, pi=spec.pi, ci=spec.ci)[1]


def _scattered(parts: list[Many], order: npt.NDArray[np.intp], n: int) -> Many:
    """Results in the order of the sets; NaN for a set without studies, which is flagged."""
    columns: dict[str, FloatArray] = {}
    flags: dict[str, BoolArray] = {"no-studies": np.ones(n, dtype=bool)}
    flags["no-studies"][order] = False
    for name in parts[0].columns if parts else _COLUMNS:
        columns[name] = np.full(n, np.nan)
        columns[name][order] = np.concatenate([part.columns[name] for part in parts] or [np.empty(0)])
    for code in parts[0].flags if parts else ():
        flags[code] = np.zeros(n, dtype=bool)
        flags[code][order] = np.concatenate([part.flags[code] for part in parts])
    return Many(columns, flags)


def _frame(sets: DataSets, many: Many, model: str) -> pd.DataFrame:
    import pandas as pd

    names = (*_COLUMNS, *(_LIKELIHOOD if model == "glmm" else ()))
    columns: dict[str, Any] = {name: many.columns[name] for name in names if name in many.columns}
    columns["k"] = sets.k
    columns["Q_df"] = np.maximum(sets.k - 1, 0)
    columns["converged"] = np.nan_to_num(many.columns.get("converged", np.zeros(len(sets.k)))).astype(bool)
    columns["notes"] = _codes(many.flags)
    frame = pd.DataFrame(columns, columns=[*names, "converged", "notes"])
    return frame if sets.by is None else pd.concat([sets.by.reset_index(drop=True), frame], axis=1)


def _codes(flags: dict[str, BoolArray]) -> list[str]:
    """The codes of each row, put together once for each combination that occurs."""
    names = list(flags)
    packed = np.zeros(next(iter(flags.values())).size, dtype=np.int64)
    for i, flag in enumerate(flags.values()):
        packed |= flag.astype(np.int64) << i
    different, which = np.unique(packed, return_inverse=True)
    text = [",".join(name for i, name in enumerate(names) if value >> i & 1) for value in different.tolist()]
    return [text[i] for i in which.tolist()]
