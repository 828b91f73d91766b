"""A result fitted again to some of its studies at a time, all of them in one call of the batched kernels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.binomial import Family
from metaan.core.binomial_fit import BinomialFit
from metaan.core.many import BoolArray, Many, masked, pool_many, some
from metaan.core.many_counts import counts_many
from metaan.core.masked import Masked
from metaan.core.two_arms import Arms
from metaan.core.wls import Data
from metaan.errors import ConvergenceError, InputError, Note, OptionError, listed
from metaan.measures.backtransform import Scale, bounded, display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.design import take
from metaan.models.glmm import glmm_of
from metaan.models.glmm_counts import likelihood
from metaan.models.results import GlmmResult, PoolResult
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "both_arms",
    "check_result",
    "counts_of",
    "notes_of",
    "refit",
    "refit_counts",
    "same_fit",
    "table",
    "with_all",
    "without_last",
]

_CHUNK: Final = 2_000_000  # studies times fits at a time
_POINTS: Final = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
_COLUMNS: Final = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "pi_low", "pi_high", "k", "tau2", "tau", "I2", "H2",
    "Q", "Q_df", "Q_pvalue",
)  # fmt: skip
_COUNTED: Final = ("k", "Q_df")
_CLOSE: Final = 1e-6
_SAID: Final = {
    "one-study": "one study, whose tau2 cannot be estimated and is set to 0; the interval is that of one study",
    "tau2-zero": "tau2 is estimated as 0",
    "two-maxima": "the likelihood has several local maxima; the highest was taken",
    "not-converged": "the search stopped before the estimate settled; treat it as approximate",
    "no-df": "Kenward-Roger leaves too few degrees of freedom for an interval",
    "hk-common": "Hartung-Knapp with a common effect scales the variance by Q/(k - 1), which no model assumes",
    "identical": "all effects are identical: the Hartung-Knapp standard error is 0 and its interval not usable",
    "hk-narrow": "the Hartung-Knapp interval is narrower than the normal one",
    "no-pi": "no prediction interval",
    "pi-narrow": "the prediction interval is narrower than the confidence interval",
    "separated": "all counts are at one end, tau2 is set to 0 and the interval is the likelihood-ratio one",
    "tau2-unbounded": "every count is at an end, the likelihood is highest as tau grows, and tau is held at 10",
    "tau2-not-identified": "tau2 cannot be estimated from single observations and is set to 0",
    "rates-beyond-one": "the log link takes some of the true rates beyond 1, where they count as 1",
    "no-maximum": "the likelihood has no finite maximum",
    "profile-open": "the profile likelihood never falls far enough on one side: the interval is open there",
}
"""What the notes of one result say of a row."""
_NO_BOOTSTRAP: Final = Note(
    "no-bootstrap", "No prediction interval: the bootstrap interval of the result is not made again for every row."
)


def check_result(res: PoolResult, name: str) -> None:
    """Refuse what was not fitted by pool or glmm, or not to its own studies alone."""
    if not isinstance(res, PoolResult):
        raise InputError(f"{name} takes a result of pool or glmm, not {type(res).__name__}.")
    spec = res.spec
    if spec.cluster is not None:
        raise OptionError(f"{name} does not take robust results: give the result before robust.")
    if spec.model not in ("normal", "glmm") or spec.formula is not None:
        what = "a meta-regression or subgroups with common tau2" if spec.formula else f"model {spec.model!r}"
        raise OptionError(f"{name} takes results of pool and glmm, not of {what}.")


def both_arms(res: PoolResult) -> bool:
    """Whether the likelihood is one of both arms (UM.FS, UM.RS), which are fitted one after the other."""
    return res.spec.model == "glmm" and res.spec.likelihood in ("UM.FS", "UM.RS")


def refit(res: PoolResult, here: BoolArray) -> Many:
    """Result of the model of `res` for the studies `here`, shape (k, n), of each of n refits."""
    if both_arms(res):
        return _one_by_one(res, here)
    return refit_counts(res, here)[1] if res.spec.model == "glmm" else _normal(res, here)


def _one_by_one(res: PoolResult, here: BoolArray) -> Many:
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
        for name in (*_COLUMNS, "loglik")
    }
    columns["k"] = here.sum(axis=0).astype(np.float64)
    columns["Q_df"] = columns["k"] - 1
    return Many(columns, {code: np.array([code in codes for codes in said]) for code in _SAID})


def _normal(res: PoolResult, here: BoolArray) -> Many:
    spec, one = res.spec, Data.of_one(res.effects.yi, res.effects.vi)
    a = res.weights if spec.method == "GENQ" else None  # which are as good as those that were given
    pi = "none" if spec.pi == "bootstrap" else spec.pi
    width = max(1, _CHUNK // here.shape[0])
    parts = []
    for start in range(0, here.shape[1], width):
        now = here[:, start : start + width]
        parts.append(
            pool_many(
                some(one, now), method=spec.method, test=spec.test, level=spec.level, pi=pi, weights=masked(a, now)
            )
        )
    return _joined(parts)


def refit_counts(res: PoolResult, here: BoolArray) -> tuple[BinomialFit, Many]:
    """As `refit` for a result of glmm, with the fits themselves."""
    spec, data = res.spec, some(Data.of_one(res.effects.yi, res.effects.vi), here)
    ci = "profile" if spec.ci == "profile" else "wald"
    b, alike = counts_of(res, here)
    index = [np.flatnonzero(alike == kind) for kind in (True, False)]
    parts = [
        counts_many(
            b.take(part), data.take(part), test=spec.test, level=spec.level, pi=spec.pi, ci=ci, nodes=spec.nodes
        )
        for part in index
        if part.size
    ]
    back = np.argsort(np.concatenate(index))
    fits = BinomialFit._make(np.concatenate(column)[back] for column in zip(*(part[0] for part in parts), strict=True))
    return fits, _joined([part[1] for part in parts], back)


def _joined(parts: Sequence[Many], order: Any = slice(None)) -> Many:
    first = parts[0]
    return Many(
        {name: np.concatenate([part.columns[name] for part in parts])[order] for name in first.columns},
        {code: np.concatenate([part.flags[code] for part in parts])[order] for code in first.flags},
    )


def counts_of(res: PoolResult, here: BoolArray) -> tuple[Family, BoolArray]:
    """Counts of the studies `here`, one column for each refit, and whether their largest counts have equal log odds."""
    bare = dataclasses.replace(res.effects, data=None)
    whole, subsets = _family(res, bare), [_family(res, take(bare, keep)) for keep in here.T]
    alike = np.array([part.alike for part in subsets])
    constant = np.array([float(part.constant[0]) for part in subsets])
    return Masked(whole.take(np.zeros(here.shape[1], dtype=np.intp)), here, constant, alike), alike


def _family(res: PoolResult, eff: Effects) -> Family:
    made = likelihood(res.spec, eff)
    assert not isinstance(made, Arms)
    return made


def same_fit(res: PoolResult, full: Many, name: str) -> None:
    """Refuse a result whose tau2 its own studies do not give."""
    tau2, q = (float(full.columns[column][-1]) for column in ("tau2", "Q"))
    unit = float(np.mean(res.effects.vi)) + res.tau2
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


def table(res: PoolResult, here: BoolArray, study: Sequence[str], name: str, where: str) -> pd.DataFrame:
    """One row for each column of `here`, labelled `study`; `where` says in the notes what a row is."""
    import pandas as pd

    check_result(res, name)
    every = refit(res, with_all(here))
    same_fit(res, every, name)
    many = without_last(every)
    turned, notes = _display(res, every, here, name)
    made = many.columns | turned
    columns: dict[str, Any] = {"study": list(study)}
    for column in (*_COLUMNS, *(("loglik",) if isinstance(res, GlmmResult) else ())):
        columns[column] = made[column].astype(np.int64) if column in _COUNTED else made[column]
    frame = pd.DataFrame(columns)
    own = (_NO_BOOTSTRAP,) if res.spec.pi == "bootstrap" else ()
    frame.attrs["notes"] = notes_of(many, study, where) + own + notes
    return frame


def notes_of(many: Many, study: Sequence[str], where: str) -> tuple[Note, ...]:
    """One note for each decision that was taken in any row, with the labels of the rows."""
    notes = []
    for code, flag in many.flags.items():
        rows = tuple(label for label, yes in zip(study, flag, strict=True) if yes)
        if rows:
            place = "in every row" if len(rows) == len(study) else f"{where} {listed(rows)}"
            text = f"{place}: {_SAID[code]}."
            notes.append(Note(code, text[0].upper() + text[1:], rows))
    return tuple(notes)


def _display(
    res: PoolResult, every: Many, here: BoolArray, name: str
) -> tuple[dict[str, FloatArray], tuple[Note, ...]]:
    """Columns that differ on the display scale; nothing for a result on the analysis scale."""
    measure = res.spec.measure
    if res.scale != "display" or not (KINDS[measure].transformed or bounded(measure)):
        return {}, ()
    values = {point: every.columns[point][:-1] for point in _POINTS}
    nothing = {"se": np.full(here.shape[1], math.nan)}
    if measure not in ("PFT", "IRFT"):
        scale = display_scale(res.effects)
        notes = scale.notes + scale.cut(float(v) for value in values.values() for v in value)
        return nothing | {point: _turned(scale, value) for point, value in values.items()}, notes
    _harmonic(res, float(every.columns["estimate"][-1]), name)
    scales = [display_scale(take(dataclasses.replace(res.effects, data=None), keep)) for keep in here.T]
    made = {
        point: np.array([scale.inverse_point(float(v)) for scale, v in zip(scales, value, strict=True)])
        for point, value in values.items()
    }
    text = "Freeman-Tukey values turned back at the harmonic mean of the sizes of the studies in the row."
    return nothing | made, (Note("ft-n", text),)


def _turned(scale: Scale, values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    return np.where(known, scale.inverse(np.where(known, values, 0.0)), math.nan)


def _harmonic(res: PoolResult, estimate: float, name: str) -> None:
    """Refuse a display scale at another sample size than the harmonic mean, which the result does not keep."""
    if abs(display_scale(res.effects).inverse_point(estimate) - res.estimate) > _CLOSE * abs(res.estimate):
        text = f"{name} turns Freeman-Tukey values back at the harmonic mean of the sizes"
        raise OptionError(f"{text}; this result is at another n. Give the result before back().")
