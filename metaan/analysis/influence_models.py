"""Deletion diagnostics of models with one pooled effect: each study against the fit without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit

from metaan.analysis.refits import (
    EVERY_MODEL,
    both_arms,
    check_result,
    counts_of,
    notes_of,
    refit,
    refit_counts,
    same_fit,
    with_all,
    without_last,
)  # fmt: skip
from metaan.core.binomial import moments, trapezoid
from metaan.core.count_scores import beta_scores, count_scores
from metaan.core.deletion import Deletion, of_common, of_counts, of_effects, without_each
from metaan.core.many import BoolArray, Many
from metaan.core.many_counts import picked
from metaan.core.masked import Masked
from metaan.core.wls import Data
from metaan.errors import InputError, Note, OptionError
from metaan.models.results import PoolResult
from metaan.validate import FloatArray

__all__ = ["Without", "check_studies", "without_studies"]

_OF_INTERVALS: Final = ("no-pi", "pi-narrow", "profile-open", "hk-narrow")  # which the diagnostics do not have
_END: Final = Note("no-diagnostics", "All counts are at one end: there is no finite estimate for a study to move.")


class Without(NamedTuple):
    """Diagnostics of k studies and what the fits without them give."""

    diagnostics: Deletion
    columns: dict[str, FloatArray]
    """estimate, se, tau2, Q (and rho) without each study, (k,)."""
    notes: tuple[Note, ...]


def check_studies(res: PoolResult, name: str) -> None:
    """Refuse what is no result of pool, glmm, beta_binomial, mantel_haenszel or peto, or of one study."""
    check_result(res, name, (*EVERY_MODEL, "regression", "multilevel"))
    if res.k < 2:
        raise InputError(f"{name} needs at least two studies; the result has one.")
    if both_arms(res):
        raise OptionError(f"{name} takes no results of model='UM.FS' or 'UM.RS': see leave_one_out.")


def without_studies(res: PoolResult, name: str) -> Without:
    """Diagnostics of each study; `name` is who asks."""
    check_studies(res, name)
    every, found = _MODELS[res.spec.model](res)
    same_fit(res, every, name)
    many = without_last(every)
    flags = {code: flag for code, flag in many.flags.items() if code not in _OF_INTERVALS}
    notes = notes_of(flags, res.effects.study, "without")
    if res.spec.model != "normal" and any(note.code == "separated" for note in res.notes):
        notes += (_END,)
    return Without(found, many.columns, notes)


def _effects(res: PoolResult) -> tuple[Many, Deletion]:
    one = Data.of_one(res.effects.yi, res.effects.vi)
    a = res.weights if res.spec.method == "GENQ" else None
    every = without_each(one, method=res.spec.method, test=res.spec.test, weights=a)
    return every, of_effects(one, every.columns, weights=a)


def _tables(res: PoolResult) -> tuple[Many, Deletion]:
    every = refit(res, _each(res.k))
    return every, of_common(Data.of_one(res.effects.yi, res.effects.vi), every.columns, res.weights / 100)


def _counts(res: PoolResult) -> tuple[Many, Deletion]:
    """Predictions from the fits without each study, and its information at its effect given all of them."""
    here = _each(res.k)
    found, every = refit_counts(res, here)
    last = np.array([res.k])
    b = counts_of(res, here[:, -1:])[0]
    b = b.base if isinstance(b, Masked) else b  # what is known of it by its type
    full = picked(found, last)
    if full.separated[0]:
        return every, _nothing(res, every)
    grid = trapezoid(b, full.mu, full.tau, max(int(full.nodes[0]), 33))
    noise = 1 / b.slope(np.clip(moments(b, full.mu, full.tau, grid).mean, -300, min(300, b.top - 1e-6)))[1][:, 0]
    precision = 1 / (full.tau**2 + noise)
    apart = found.separated[:-1]
    mu, se, tau = (x[:-1] for x in (every.columns["estimate"], every.columns["se"], found.tau))
    known = np.where(apart, 0.0, mu), np.where(apart, 1.0, np.hypot(tau, se))
    scores = np.where(apart, _beyond(b.x[:, 0]), count_scores(b, *known))
    own = every.columns["tau2"][:-1] + noise
    return every, of_counts(every.columns, precision / precision.sum(), own, scores)


def _beta_binomial(res: PoolResult) -> tuple[Many, Deletion]:
    """The same of a beta-binomial model, whose counts vary by n m (1 - m) (1 + (n - 1) rho)."""
    every = refit(res, _each(res.k))
    columns = every.columns
    if not np.isfinite(columns["se"][-1]):
        return every, _nothing(res, every)
    x, n = (np.asarray(count, dtype=np.float64) for count in (res.effects.events, res.effects.total))
    mu, se, rho = (columns[name][:-1] for name in ("estimate", "se", "rho"))
    apart = ~np.isfinite(mu)
    scores = np.where(apart, _beyond(x), 0.0)
    scores[~apart] = beta_scores(*(part[~apart] for part in (x, n, rho, mu, se)))
    with np.errstate(divide="ignore"):
        own = (1 + (n - 1) * rho) / (n * expit(mu) * expit(-mu))
    return every, of_counts(columns, res.weights / 100, own, scores)


_MODELS: Final[Mapping[str, Callable[[PoolResult], tuple[Many, Deletion]]]] = {
    "normal": _effects, "glmm": _counts, "beta-binomial": _beta_binomial, "stratified": _tables,
}  # fmt: skip


def _each(k: int) -> BoolArray:
    return with_all(~np.eye(k, dtype=bool))


def _nothing(res: PoolResult, every: Many) -> Deletion:
    blank = np.full(res.k, np.nan)
    return of_counts(every.columns, res.weights / 100, blank, blank)


def _beyond(x: FloatArray) -> FloatArray:
    """Scores of counts when the others are all at 0, or all at the other end."""
    return np.where(x.sum() == x, np.inf, -np.inf)
