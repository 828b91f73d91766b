"""Models of counts fitted again to some of their studies at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from metaan.core.beta_binomial_fit import problem_of
from metaan.core.binomial import Family
from metaan.core.binomial_fit import BinomialFit
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.core.many import BoolArray, Many, some
from metaan.core.many_beta import beta_many
from metaan.core.many_counts import counts_many
from metaan.core.many_tables import Cells, tables_many
from metaan.core.masked import Masked
from metaan.core.two_arms import Arms
from metaan.core.wls import Data
from metaan.errors import ConvergenceError
from metaan.measures.person_time import TIMES
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS
from metaan.models.design import take
from metaan.models.glmm import glmm_of
from metaan.models.glmm_counts import likelihood
from metaan.models.results import GlmmResult, PoolResult

__all__ = [
    "CHUNK",
    "COLUMNS",
    "beta_binomials",
    "both_arms",
    "cells_of",
    "counts_of",
    "joined",
    "one_by_one",
    "parts_of",
    "refit_counts",
    "stratified",
]

IntArray = npt.NDArray[np.intp]

CHUNK: Final = 200_000  # studies times fits at a time: arrays stay in the processor's cache
COLUMNS: Final = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "pi_low", "pi_high", "k", "tau2", "tau", "I2", "H2",
    "Q", "Q_df", "Q_pvalue",
)  # fmt: skip


def parts_of(index: IntArray, k: int) -> list[IntArray]:
    """Refits of k studies in pieces that fit the cache."""
    width = max(1, CHUNK // k)
    return [index[start : start + width] for start in range(0, index.size, width)]


def joined(parts: Sequence[Many], order: IntArray | None = None) -> Many:
    """Results one after the other, then in the order given."""
    first, place = parts[0], slice(None) if order is None else order
    if len(parts) == 1 and order is None:
        return first
    return Many(
        {name: np.concatenate([part.columns[name] for part in parts])[place] for name in first.columns},
        {code: np.concatenate([part.flags[code] for part in parts])[place] for code in first.flags},
    )


def both_arms(res: PoolResult) -> bool:
    """Whether the likelihood is one of both arms (UM.FS, UM.RS), which are fitted one after the other."""
    return res.spec.model == "glmm" and res.spec.likelihood in ("UM.FS", "UM.RS")


def one_by_one(res: PoolResult, here: BoolArray) -> Many:
    """Results of a likelihood of both arms."""
    spec = res.spec
    how = {"model": spec.likelihood, "nodes": spec.nodes, "test": spec.test, "level": spec.level, "pi": spec.pi}
    ci = "profile" if spec.ci == "profile" else "wald"
    fits: list[GlmmResult | None] = []
    for keep in here.T:
        try:
            fits.append(glmm_of(take(res.effects, keep), ci=ci, **how))
        except ConvergenceError:  # no finite maximum for these studies: an empty row, noted
            fits.append(None)
    said = [{"no-maximum"} if one is None else {note.code for note in one.notes} for one in fits]
    columns = {
        name: np.array([math.nan if one is None else float(getattr(one, name)) for one in fits])
        for name in (*COLUMNS, "loglik")
    }
    columns["k"] = here.sum(axis=0).astype(np.float64)
    columns["Q_df"] = columns["k"] - 1
    return Many(columns, {code: np.array([code in codes for codes in said]) for code in _OF_GLMM})


_OF_GLMM: Final = (
    "one-study", "tau2-zero", "two-maxima", "not-converged", "no-pi", "separated", "tau2-unbounded",
    "tau2-not-identified", "rates-beyond-one", "no-maximum", "profile-open",
)  # fmt: skip


def refit_counts(res: PoolResult, here: BoolArray) -> tuple[BinomialFit, Many]:
    """Results of glmm for the studies `here`, shape (k, n), of each of n refits, with the fits themselves."""
    spec, data = res.spec, some(Data.of_one(res.effects.yi, res.effects.vi), here)
    ci = "profile" if spec.ci == "profile" else "wald"
    b, alike = counts_of(res, here)
    index = [part for kind in (True, False) for part in parts_of(np.flatnonzero(alike == kind), res.k)]
    parts = [
        counts_many(
            b.take(part), data.take(part), test=spec.test, level=spec.level, pi=spec.pi, ci=ci, nodes=spec.nodes
        )
        for part in index
    ]
    back = np.argsort(np.concatenate(index))
    fits = BinomialFit._make(np.concatenate(column)[back] for column in zip(*(part[0] for part in parts), strict=True))
    return fits, joined([part[1] for part in parts], back)


def counts_of(res: PoolResult, here: BoolArray) -> tuple[Family, BoolArray]:
    """Counts of the studies `here`, one column for each refit, and whether their largest counts have equal log odds."""
    bare = dataclasses.replace(res.effects, data=None)
    whole = _family(res, bare)
    single = [_family(res, take(bare, np.array([i]))) for i in range(res.k)]
    constant = np.array([float(part.constant[0]) for part in single]) @ here
    if isinstance(whole, (Hypergeometric, Shifted)):
        alike = np.array([_family(res, take(bare, keep)).alike for keep in here.T])
    else:
        alike = np.full(here.shape[1], whole.alike)
    return Masked(whole.take(np.zeros(here.shape[1], dtype=np.intp)), here, constant, alike), alike


def _family(res: PoolResult, eff: Effects) -> Family:
    made = likelihood(res.spec, eff)
    assert not isinstance(made, Arms)
    return made


def beta_binomials(res: PoolResult, here: BoolArray) -> Many:
    """Results of beta_binomial for the studies `here`."""
    spec, one = res.spec, Data.of_one(res.effects.yi, res.effects.vi)
    x, n = (np.asarray(count)[:, None] for count in (res.effects.events, res.effects.total))
    ci = "profile" if spec.ci == "profile" else "wald"
    return joined(
        [
            beta_many(
                problem_of(x * here[:, part], n * here[:, part]), some(one, here[:, part]),
                test=spec.test, level=spec.level, pi=spec.pi, ci=ci,
            )
            for part in parts_of(np.arange(here.shape[1]), res.k)
        ]
    )  # fmt: skip


def stratified(res: PoolResult, here: BoolArray) -> Many:
    """Results of mantel_haenszel and peto for the trials `here`."""
    measure, one = res.spec.measure, Data.of_one(res.effects.yi, res.effects.vi)
    cells = cells_of(res.effects)
    return joined(
        [
            tables_many(measure, cells, one, here[:, part], level=res.spec.level)
            for part in parts_of(np.arange(here.shape[1]), res.k)
        ]
    )


def cells_of(eff: Effects) -> Cells:
    """Events and non-events, or times, of both arms."""
    given = eff.inputs or {}
    names = TIMES if eff.measure.startswith("I") else ARMS
    a, size_t, c, size_c = (np.asarray(given[name], dtype=np.float64) for name in names)
    return (a, size_t, c, size_c) if eff.measure.startswith("I") else (a, size_t - a, c, size_c - c)
