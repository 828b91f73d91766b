"""Data drawn from a fitted model and its residuals when it is fitted to them again, all data sets in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from metaan.core.beta_binomial_fit import maximise, problem_of
from metaan.core.binomial import Family
from metaan.core.binomial_fit import fit
from metaan.core.inference import pieces
from metaan.core.linear import ESTIMATORS as OF_REGRESSION
from metaan.core.linear import Design, at
from metaan.core.links import Poisson, family_of
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data
from metaan.errors import InputError, OptionError, listed
from metaan.measures.backtransform import display_scale
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import GlmmResult, PoolResult
from metaan.validate import FloatArray

__all__ = ["Fitted", "fitted_model"]

_CHUNK: Final = 400_000  # numbers in the largest array of a regression
_CELLS: Final = 161
_NODES: Final = 48
_FEWEST: Final = 4
_ALONE: Final = 1e-9  # 1 - leverage of a study that has a coefficient of its own


class Fitted(NamedTuple):
    """A fitted model as its own simulator."""

    observed: FloatArray
    """Effects or counts, (k,)."""
    draw: Callable[[np.random.Generator, int], FloatArray]
    """Data sets drawn from it, (k, n)."""
    residuals: Callable[[FloatArray], FloatArray]
    """Standardised residuals, (k, n), of the model fitted to data sets (k, n)."""
    size: FloatArray | None
    """Largest counts, or times, (k,); None for effects."""
    counted: str
    """"binomial", "poisson" or "" for effects."""
    model: str
    """What was simulated, in words."""


def fitted_model(res: PoolResult | RegressResult, name: str) -> Fitted:
    """The model behind a result of pool, regress, glmm (one arm) or beta_binomial."""
    if not isinstance(res, (PoolResult, RegressResult)):
        raise InputError(f"{name} takes a result of pool, regress, glmm or beta_binomial, not {type(res).__name__}.")
    if isinstance(res, PoolResult) and res.analysis is not None:
        res = res.analysis
    if res.k < _FEWEST:
        raise InputError(f"{name} needs at least {_FEWEST} studies; the result has {res.k}.")
    if isinstance(res, BetaBinomialResult) and res.spec.model == "beta-binomial":
        return _beta_binomial(res)
    if isinstance(res, GlmmResult) and res.spec.model == "glmm":
        return _glmm(res, name)
    if res.spec.cluster is not None or res.spec.model not in ("normal", "regression"):
        what = "robust results" if res.spec.cluster is not None else f"results of model {res.spec.model!r}"
        raise OptionError(f"{name} takes results of pool, regress, glmm and beta_binomial, not {what}.")
    if isinstance(res, RegressResult):
        return _regression(res, name)
    if res.spec.formula is not None:
        raise OptionError(f"{name} takes no subgroup with a tau2 from elsewhere: give the meta-regression.")
    return _pooled(res)


def _pooled(res: PoolResult) -> Fitted:
    y, v = res.effects.yi, res.effects.vi
    mu, method = res.estimate, res.spec.method
    sd = np.sqrt(v + res.tau2)

    def draw(rng: np.random.Generator, n: int) -> FloatArray:
        return np.asarray(mu + sd[:, None] * rng.standard_normal((res.k, n)))

    def residuals(made: FloatArray) -> FloatArray:
        wide = np.broadcast_to(v[:, None], made.shape)
        data = Data(made, wide, wide, None, np.full(made.shape[1], float(res.k)))
        a = np.broadcast_to(res.weights[:, None], made.shape) if method == "GENQ" else None
        tau2 = ESTIMATORS[method](data, a).tau2
        p = pieces(data, tau2, a)
        own = v[:, None] + tau2
        # of y - mu with mu = sum share y: its variance less twice the covariance with mu, plus that of mu
        variance = own * (1 - 2 * p.share) + p.variance
        return np.asarray((made - p.mu) / np.sqrt(variance))

    law = "common-effect" if method == "CE" else f"normal random-effects ({method})"
    return Fitted(y, draw, residuals, None, "", f"{law} model, mean {mu:.4g}, tau2 {res.tau2:.4g}")


def _regression(res: RegressResult, name: str) -> Fitted:
    y, v, x, method = res.effects.yi, res.effects.vi, res.moderators.matrix, res.spec.method
    alone = res.leverage > 1 - _ALONE
    if alone.any():
        where = listed(s for s, one in zip(res.effects.study, alone, strict=True) if one)
        raise InputError(f"{name} needs a residual of each study; the moderators fit {where} exactly.")
    sd = np.sqrt(v + res.tau2)

    def draw(rng: np.random.Generator, n: int) -> FloatArray:
        return np.asarray(res.fitted[:, None] + sd[:, None] * rng.standard_normal((res.k, n)))

    def residuals(made: FloatArray) -> FloatArray:
        width = max(1, _CHUNK // (_CELLS * x.size))
        parts = [_regression_residuals(made[:, i : i + width], v, x, method) for i in range(0, made.shape[1], width)]
        return np.concatenate(parts, axis=1)

    return Fitted(y, draw, residuals, None, "", f"meta-regression {res.spec.formula} ({method}), tau2 {res.tau2:.4g}")


def _regression_residuals(made: FloatArray, v: FloatArray, x: FloatArray, method: str) -> FloatArray:
    n = made.shape[1]
    data = Design(np.ascontiguousarray(made.T), np.tile(v, (n, 1)), np.tile(x, (n, 1, 1)))
    fit = at(data, np.maximum(OF_REGRESSION[method](data), 0.0))
    return np.asarray((fit.residual / np.sqrt(1 - (fit.q**2).sum(axis=-1))).T)


def _beta_binomial(res: BetaBinomialResult) -> Fitted:
    x, n_i = _whole_counts(res)

    def draw(rng: np.random.Generator, n: int) -> FloatArray:
        if res.rho == 1:
            rate = (rng.random((res.k, n)) < res.mean_rate.estimate).astype(np.float64)
        elif res.rho == 0:
            rate = np.full((res.k, n), res.mean_rate.estimate)
        else:
            rate = rng.beta(res.a, res.b, (res.k, n))
        return rng.binomial(n_i[:, None], rate).astype(np.float64)

    def residuals(made: FloatArray) -> FloatArray:
        found = maximise(problem_of(made, np.broadcast_to(n_i[:, None], made.shape).astype(np.float64)))
        with np.errstate(over="ignore"):
            mean = np.where(found.separated, (found.beta[0] > 0) * 1.0, 1 / (1 + np.exp(-found.beta[0])))
        return _pearson(made, n_i, mean, mean * (1 - mean) * found.rho)

    words = f"beta-binomial model, mean rate {res.mean_rate.estimate:.4g}, rho {res.rho:.4g}"
    return Fitted(x, draw, residuals, n_i.astype(np.float64), "binomial", words)


def _glmm(res: GlmmResult, name: str) -> Fitted:
    if res.spec.measure == "IRLN":
        return _poisson(res)
    if res.effects.events is None or res.spec.likelihood in ("CM.EL", "CM.AL", "UM.FS", "UM.RS"):
        raise OptionError(f"{name} takes counts of one arm; of two arms it takes the log ratios: use pool.")
    if any(note.code == "separated" for note in res.notes):
        raise OptionError(f"{name} has nothing to compare: all counts are at one end.")
    x, n_i = _whole_counts(res)
    inverse = display_scale(res.effects).inverse
    link = res.spec.link or "logit"

    def draw(rng: np.random.Generator, n: int) -> FloatArray:
        rate = np.clip(inverse(res.estimate + res.tau * rng.standard_normal((res.k, n))), 0.0, 1.0)
        return rng.binomial(n_i[:, None], rate).astype(np.float64)

    def residuals(made: FloatArray) -> FloatArray:
        b = family_of(made, np.broadcast_to(n_i[:, None], made.shape).astype(np.float64), link)
        found = fit(b)
        u, w = np.polynomial.hermite_e.hermegauss(_NODES)
        rate = np.clip(inverse(np.where(found.separated, 0.0, found.mu)[:, None] + found.tau[:, None] * u), 0.0, 1.0)
        mean = rate @ w / w.sum()
        spread = (rate - mean[:, None]) ** 2 @ w / w.sum()
        mean = np.where(found.separated, (made.sum(axis=0) > 0) * 1.0, mean)
        return _pearson(made, n_i, mean, np.where(found.separated, 0.0, spread))

    words = f"binomial-normal model, {link} link, mean {res.estimate:.4g}, tau2 {res.tau2:.4g}"
    return Fitted(x, draw, residuals, n_i.astype(np.float64), "binomial", words)


def _poisson(res: GlmmResult) -> Fitted:
    given = res.effects.inputs or {}
    x, time = given["events"], given["time"]

    def draw(rng: np.random.Generator, n: int) -> FloatArray:
        rate = np.exp(res.estimate + res.tau * rng.standard_normal((res.k, n)))
        return rng.poisson(time[:, None] * rate).astype(np.float64)

    def residuals(made: FloatArray) -> FloatArray:
        b: Family = Poisson.from_counts(made, np.broadcast_to(time[:, None], made.shape).copy())
        found = fit(b)
        mean = np.exp(np.where(found.separated, 0.0, found.mu) + found.tau**2 / 2)
        mean = np.where(found.separated, 0.0, mean)
        variance = time[:, None] * mean + (time[:, None] * mean) ** 2 * np.expm1(found.tau**2)
        return _over(made - time[:, None] * mean, variance)

    words = f"Poisson-normal model, log rate {res.estimate:.4g}, tau2 {res.tau2:.4g}"
    return Fitted(x, draw, residuals, time, "poisson", words)


def _whole_counts(res: PoolResult) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Counts and totals, which have to be whole to be drawn."""
    x, n = np.asarray(res.effects.events), np.asarray(res.effects.total)
    broken = (x != np.floor(x)) | (n != np.floor(n))
    if broken.any():
        where = listed(s for s, bad in zip(res.effects.study, broken, strict=True) if bad)
        raise OptionError(f"Effective counts, which are no whole numbers, cannot be drawn: study {where}.")
    return x, n.astype(np.int64)


def _pearson(
    x: FloatArray, n_i: FloatArray | np.ndarray[tuple[int], np.dtype[np.int64]], mean: FloatArray, spread: FloatArray
) -> FloatArray:
    """Residuals of binomial counts whose rates have this mean and variance, (n,) each."""
    n = np.asarray(n_i, dtype=np.float64)[:, None]
    return _over(x - n * mean, n * (mean * (1 - mean) - spread) + n * n * spread)


def _over(residual: FloatArray, variance: FloatArray) -> FloatArray:
    return np.asarray(np.where(variance > 0, residual / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0))
