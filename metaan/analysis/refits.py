"""A result fitted again to some of its studies at a time, all of them in one call of the batched kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.refits_counts import (
    CHUNK,
    COLUMNS,
    beta_binomials,
    both_arms,
    counts_of,
    joined,
    one_by_one,
    parts_of,
    refit_counts,
    stratified,
)
from metaan.analysis.refits_display import displayed, notes_of
from metaan.core.many import BoolArray, Many, masked, pool_many, some
from metaan.core.wls import Data
from metaan.errors import InputError, Note, OptionError
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EVERY_MODEL",
    "both_arms",
    "check_result",
    "counts_of",
    "notes_of",
    "parts_of",
    "refit",
    "refit_counts",
    "same_fit",
    "table",
    "with_all",
    "without_last",
]

EVERY_MODEL: Final = ("normal", "glmm", "beta-binomial", "stratified")
_MADE_BY: Final = {
    "normal": "pool", "glmm": "glmm", "beta-binomial": "beta_binomial", "stratified": "mantel_haenszel, peto",
    "regression": "regress", "multilevel": "multilevel",
}  # fmt: skip
_INSTEAD: Final = {
    "BayesResult": "a posterior distribution; pool gives the same model without priors",
    "BetaBinomialRegression": "a beta-binomial regression; glmm takes the same formula",
    "LocationScaleResult": "a model of the spread as well; give the regression without scale=",
    "CategoriesResult": "shares of several categories; pool one of them as a rate, by glmm",
    "SubgroupResult": "several results: give one of its groups",
    "clustered": "patients and their lesions; use glmm or beta_binomial with the counts of design_effect",
}
"""What is refused, and what to use in its place."""
_COUNTED: Final = ("k", "Q_df")
_MORE: Final[dict[str, tuple[str, ...]]] = {"glmm": ("loglik",), "beta-binomial": ("rho", "loglik")}
_NO_VARIATION: Final = ("pi_low", "pi_high", "tau2", "tau")  # what a common-effect model of tables does not have
_CLOSE: Final = 1e-6
_NO_BOOTSTRAP: Final = Note(
    "no-bootstrap", "No prediction interval: the bootstrap interval of the result is not made again for every row."
)


def check_result(res: Any, name: str, models: Sequence[str] = ("normal", "glmm")) -> None:
    """Refuse what was not fitted by one of the models, or not to its own studies alone."""
    takes, kind = f"{name} takes results of {', '.join(_MADE_BY[model] for model in models)}", type(res).__name__
    if kind in _INSTEAD:
        raise OptionError(f"{takes}, and no {kind}: {_INSTEAD[kind]}.")
    if not isinstance(res, PoolResult):
        raise InputError(f"{takes}, not {kind}.")
    spec = res.spec
    if spec.cluster is not None:
        raise OptionError(f"{name} does not take robust results: give the result before robust.")
    if spec.formula is not None:
        raise OptionError(f"{takes}, not of a meta-regression or subgroups with common tau2.")
    if spec.model not in models:
        instead = _INSTEAD.get(spec.model, "fit the studies by one of these")
        raise OptionError(f"{takes}, not of model {spec.model!r}: {instead}.")


def refit(res: PoolResult, here: BoolArray) -> Many:
    """Results of the model of `res` for some of its studies at a time.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult or StratifiedResult
        See `check_result`.
    here : array of bool, shape (k, n)
        Which studies each of n refits has, at least one.

    Returns
    -------
    Many
        On the analysis scale: columns estimate, se, ci_low, ci_high, statistic, pvalue, pi_low, pi_high, k, tau2, tau,
        I2, H2, Q, Q_df, Q_pvalue, each of shape (n,); for counts loglik, and rho of a beta-binomial model. NaN where
        there is no estimate, which is flagged.
    """
    if both_arms(res):
        return one_by_one(res, here)
    return _REFIT[res.spec.model](res, here)


def _normal(res: PoolResult, here: BoolArray) -> Many:
    spec, one = res.spec, Data.of_one(res.effects.yi, res.effects.vi)
    a = res.weights if spec.method == "GENQ" else None  # which are as good as those that were given
    pi = "none" if spec.pi == "bootstrap" else spec.pi
    how: dict[str, Any] = {"method": spec.method, "test": spec.test, "level": spec.level, "pi": pi}
    width = max(1, CHUNK // res.k)
    parts = (here[:, start : start + width] for start in range(0, here.shape[1], width))
    return joined([pool_many(some(one, part), weights=masked(a, part), **how) for part in parts])


_REFIT: Final[Mapping[str, Callable[[PoolResult, BoolArray], Many]]] = {
    "normal": _normal,
    "glmm": lambda res, here: refit_counts(res, here)[1],
    "beta-binomial": beta_binomials,
    "stratified": stratified,
}


def same_fit(res: PoolResult, full: Many, name: str) -> None:
    """Refuse a result whose tau2 its own studies do not give."""
    tau2, q = (float(full.columns[column][-1]) for column in ("tau2", "Q"))
    unit = float(res.effects.vi.mean()) + res.tau2
    if abs(tau2 - res.tau2) > _CLOSE * unit or math.isnan(res.Q) or abs(q - res.Q) > _CLOSE * (1 + abs(res.Q)):
        raise OptionError(f"{name} takes results whose tau2 was estimated from their own studies, by pool or glmm.")


def with_all(here: BoolArray) -> BoolArray:
    """Refits and, last, the fit to all studies."""
    return np.column_stack([here, np.ones(here.shape[0], dtype=bool)])


def without_last(many: Many) -> Many:
    """The refits alone."""
    return Many(
        {name: value[:-1] for name, value in many.columns.items()},
        {code: flag[:-1] for code, flag in many.flags.items()},
    )


def table(res: PoolResult, here: BoolArray, rows: Mapping[str, Any], name: str, where: str) -> pd.DataFrame:
    """One row for each column of `here`, after the columns `rows`; `where` says in the notes what a row is."""
    import pandas as pd

    every = refit(res, with_all(here))
    same_fit(res, every, name)
    many = without_last(every)
    turned, notes = displayed(res, every, here, name)
    made, spec = many.columns | turned, res.spec
    columns: dict[str, Any] = dict(rows)
    for column in (*COLUMNS, *_MORE.get(spec.model, ())):
        if spec.model != "stratified" or column not in _NO_VARIATION:
            columns[column] = made[column].astype(np.int64) if column in _COUNTED else made[column]
    frame = pd.DataFrame(columns)
    own = (_NO_BOOTSTRAP,) if spec.pi == "bootstrap" else ()
    said = notes_of(many, [str(label) for label in next(iter(rows.values()))], where)
    frame.attrs["notes"] = said + own + notes + _kept(res)
    return frame


def _kept(res: PoolResult) -> tuple[Note, ...]:
    """Notes of a result that hold for every row: trials that say nothing, which have no row."""
    if res.spec.model != "stratified":
        return ()
    return tuple(note for note in res.notes if note.code in ("no-information", "q-without"))
