"""Thousands of meta-analyses in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metaan.analysis.batch_lazy import elsewhere
from metaan.analysis.data_frames import like, like_arrays
from metaan.analysis.data_sets import DataSets, Rows, read
from metaan.core.binomial import Binomial
from metaan.core.many import BoolArray, Many
from metaan.core.many import pool_many as pool_normal
from metaan.core.many_counts import counts_many
from metaan.core.wls import Data, FloatArray
from metaan.errors import InputError, OptionError, listed, shown
from metaan.models.glmm_spec import Asked, make_spec
from metaan.models.pool import pool_spec
from metaan.models.results import Spec
from metaan.validate import Option

__all__ = ["pool_many"]

MODEL: Final = Option(
    "model", {"normal": "inverse variance, as metaan.pool", "glmm": "binomial-normal, as metaan.glmm"}, "normal"
)  # fmt: skip
Places = npt.NDArray[np.int32]
OUTPUT: Final = Option("output", {"frame": "a table", "arrays": "a dict of arrays"}, "frame")
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
    data: Any = None,
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
    dim: str | None = None,
    output: str = "frame",
    progress: bool = False,
) -> Any:
    """Pool many sets of studies at once, thousands of times faster than one after the other.

    Parameters
    ----------
    yi, vi : array of shape (n, k), or column names
        Effect sizes and sampling variances, one row for each of n meta-analyses, both NaN where a study is absent.
        Arrays of numpy or dask, or of xarray with studies along `dim`.
        With `data` and `by`: columns of a table with one row for each study.
    data : table of pandas, polars, pyarrow or dask, xarray.Dataset, or path, optional
        One row for each study of each meta-analysis, in any order. The path is that of a Parquet file or of a folder
        of them; an xarray.Dataset has the arrays.
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
    dim : str, optional
        Dimension of studies of xarray arrays, by default the last of `yi` or `events`.
    output : {"frame", "arrays"}
        A table, of the kind of `data` or of pandas, or a dict of arrays by name.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame, or table of the kind of `data`, or dict of array
        One row for each meta-analysis, in the order of the rows of the arrays or of first appearance in `data`: the
        columns `by`; estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue, df, pi_low, pi_high, k, tau2, tau,
        I2, H2, Q, Q_df, Q_pvalue; for a GLMM loglik, lrt, lrt_pvalue; converged; and notes, the codes of the notes
        that `pool` or `glmm` would make, separated by commas. All on the analysis scale.

        For a dask table, a path or dask arrays a dask table, computed when asked for, its rows in the order of the
        partitions. For xarray an xarray.Dataset with these columns over the other dimensions, lazy if its arrays are.

    Raises
    ------
    InputError
        Arrays that are not two-dimensional or differ in shape, unknown columns, labels with the name of a result,
        too much or too little given.
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

    A dask table and a path are pooled one partition at a time, of which only the needed columns are read. No
    meta-analysis is pooled in two halves: a dask table is taken as it is where a column of `by` is its index and has
    known divisions (checked against the rows) or where it has been shuffled by columns of `by`; Parquet files are cut
    by the least and largest values that they record for a column of `by` with integers or strings; any other table is
    shuffled by `by` first. Partitions of a path have up to 500,000 rows, more where a row group has more. dask arrays
    need all studies of a row, and xarray arrays all along `dim`, in one chunk.

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
    OUTPUT.check(output)
    spec = _spec(model, method, test, level, pi, ci)
    arrays = _arrays(model, yi=yi, vi=vi, events=events, total=total, weights=weights, method=spec.method)
    asked = {"model": model, "method": method, "test": test, "level": level, "pi": pi, "ci": ci}
    lazy = elsewhere(arrays, data, by, dim, asked | {"output": output, "progress": progress})
    if lazy is not None:
        return lazy
    names = (*_COLUMNS, *(_LIKELIHOOD if model == "glmm" else ()))
    _not_taken(by, (*names, "converged", "notes"))
    sets = read(arrays, data, by, counts=model == "glmm")
    columns, notes = _fit(sets, spec, names, progress)
    return (like_arrays if output == "arrays" else like)(sets.by, columns, ("notes", *notes))


def _not_taken(by: Any, names: Sequence[str]) -> None:
    labels = () if by is None else [by] if isinstance(by, str) else by
    taken = [name for name in labels if name in names]
    if taken:
        raise InputError(f"by= has columns with the name of a result: {listed(taken)}. Rename them.")


def _spec(model: str, method: str | None, test: str | None, level: float, pi: str, ci: str) -> Spec:
    if model == "glmm":
        if method is not None:
            raise OptionError("model='glmm' estimates tau2 by maximum likelihood; leave method out.")
        return make_spec(Asked("PLO", None, None, None, "t" if test is None else test, ci, level, pi, None))
    if ci != "wald":
        raise OptionError(
            f"ci={shown(ci)} is an option of model='glmm'; the interval of model='normal' is set by test."
        )
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


def _fit(
    sets: DataSets | Rows, spec: Spec, names: Sequence[str], progress: bool
) -> tuple[dict[str, Any], tuple[Places, list[str]]]:
    """Columns of results, NaN for sets without studies; the place of each row's notes in a list of texts, and these."""
    n, all_there = sets.k.size, bool(sets.k.all())
    columns: dict[str, Any] = {name: np.empty(n) if all_there else np.full(n, np.nan) for name in names}
    columns |= {"k": sets.k, "Q_df": np.maximum(sets.k - 1, 0), "converged": np.zeros(n, dtype=np.bool_)}
    codes, seen = ["no-studies"], {1: 0}
    notes = np.zeros(n, dtype=np.int32)
    with _bar(n if progress else None) as bar:
        for piece in sets.pieces(_CHUNK):
            part = _one_size(piece.arrays, piece.here, spec)
            for name in columns.keys() - {"k", "Q_df"}:
                columns[name][piece.sets] = part.columns[name]
            notes[piece.sets] = _places(part.flags, codes, seen)
            bar.update(part.columns["k"].size)
    return columns, (notes, [",".join(code for i, code in enumerate(codes) if value >> i & 1) for value in seen])


def _places(flags: dict[str, BoolArray], codes: list[str], seen: dict[int, int]) -> Places:
    """The place in `seen` of the flags of each set, a bit for each of `codes`; what is new goes to the end of both."""
    packed = np.zeros(next(iter(flags.values())).size, dtype=np.intp)
    for code, flag in flags.items():
        if code not in codes:
            codes.append(code)
        if flag.any():
            packed |= flag.astype(np.intp) << codes.index(code)
    different = np.flatnonzero(np.bincount(packed))
    places = np.zeros(int(different[-1]) + 1, dtype=np.int32)
    places[different] = [seen.setdefault(value, len(seen)) for value in different.tolist()]
    return places[packed]


def _bar(total: int | None) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit="meta-analyses", disable=total is None)


def _one_size(arrays: dict[str, FloatArray], here: BoolArray | None, spec: Spec) -> Many:
    if spec.model == "normal":
        data = _data(arrays["yi"], arrays["vi"], here)
        return pool_normal(
            data, method=spec.method, test=spec.test, level=spec.level, pi=spec.pi, weights=arrays.get("weights")
        )
    x, n = arrays["events"], arrays["total"]
    add = np.where((x == 0) | (x == n), 0.5, 0.0)
    hit, miss = x + add, n - x + add
    data = _data(np.log(hit / miss), 1 / hit + 1 / miss, here)
    return counts_many(Binomial.from_counts(x, n), data, test=spec.test, level=spec.level, pi=spec.pi, ci=spec.ci)[1]


def _data(y: FloatArray, v: FloatArray, here: BoolArray | None) -> Data:
    if here is None:
        return Data(y, v, v, None, np.full(y.shape[1], float(y.shape[0])))
    v0 = np.where(here, v, 0.0)
    present = here.astype(np.float64)
    return Data(np.where(here, y, 0.0), np.where(here, v, np.inf), v0, present, present.sum(axis=0))
