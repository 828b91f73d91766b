"""Profile log-likelihoods of each model, as functions of many values at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from metaan.core.beta_binomial_fit import BetaBinomialFit, maximise, problem_of
from metaan.core.beta_binomial_profile import beta_limits
from metaan.core.beta_binomial_search import Problem, climb
from metaan.core.binomial import Family
from metaan.core.binomial_fit import BinomialFit, fit, maximise_mu
from metaan.core.binomial_profile import mu_limits, profile_of_mu, tau_limits
from metaan.core.linear import Design
from metaan.core.linear import log_likelihood as design_likelihood
from metaan.core.maximum import log_likelihood, upper_bound
from metaan.core.profile_mean import mean_limits, mean_profile
from metaan.core.two_arms import Arms
from metaan.core.wls import Data, weighted_mean
from metaan.errors import InputError
from metaan.models.glmm_counts import likelihood
from metaan.models.intervals import tau2_interval
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray

__all__ = ["Curve", "mean_curve", "rho_curve", "tau2_curve"]

_CHUNK: Final = 20_000  # studies at a time: arrays stay in the processor's cache
_LARGEST: Final = 1e8  # theta that stands for rho = 1
_REACH: Final = 3.0  # how far beyond its interval a parameter is searched for other maxima, in widths of it

Function = Callable[[FloatArray], tuple[FloatArray, FloatArray | None]]


@dataclass(frozen=True)
class Curve:
    """A profile log-likelihood.

    Parameters
    ----------
    function : callable
        Maps values, (n,), to their log-likelihoods and to that which was maximised out.
    peak, loglik : float
        Where it is highest, and how high.
    limits : callable
        Returns the outermost values chi2(1)/2 below the maximum; infinite where there are none.
    step : float
        A typical change of the parameter.
    reach : (float, float) or None
        Between which other maxima may lie; None where there is no other.
    likelihood : {"ML", "REML"}
    other : str
        What was maximised out.
    floor, ceiling : float
        Ends of what the parameter can be.
    k : int
        Studies.
    """

    function: Function
    peak: float
    loglik: float
    limits: Callable[[], tuple[float, float]]
    step: float
    reach: tuple[float, float] | None
    k: int
    other: str
    likelihood: str = "ML"
    floor: float = -np.inf
    ceiling: float = np.inf

    @property
    def zero(self) -> bool:
        """Whether the parameter is a variance or a correlation, which begins at 0."""
        return self.floor == 0

    def __call__(self, at: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Log-likelihoods of values, and that which was maximised out, in chunks."""
        width = max(1, _CHUNK // self.k)
        parts = [self.function(at[i : i + width]) for i in range(0, at.size, width)]
        other = None if parts[0][1] is None else np.concatenate([part[1] for part in parts if part[1] is not None])
        return np.concatenate([part[0] for part in parts]), other


def tau2_curve(res: PoolResult | RegressResult) -> Curve:
    """Of the between-study variance."""
    if isinstance(res, RegressResult):
        return _residual(res)
    return _tau2_of_counts(res) if res.spec.model == "glmm" else _tau2_of_effects(res)


def mean_curve(res: PoolResult) -> Curve:
    """Of the pooled effect."""
    if res.spec.model == "glmm":
        return _mean_of_counts(res)
    return _mean_of_rates(res) if res.spec.model == "beta-binomial" else _mean_of_effects(res)


def _tau2_of_effects(res: PoolResult) -> Curve:
    data, restricted = Data.of_one(res.effects.yi, res.effects.vi).column(), res.spec.method == "REML"

    def function(t: FloatArray) -> tuple[FloatArray, FloatArray]:
        return log_likelihood(data, t, restricted=restricted), weighted_mean(data.y, 1 / (data.v + t))[0]

    scale = float((data.k / (1 / data.v).sum(axis=0))[0])
    reach = (0.0, max(float(upper_bound(data)[0]), scale)) if res.convergence.maxima > 1 else None
    return Curve(
        function, res.tau2, float(function(np.array([res.tau2]))[0][0]), lambda: _interval(res),
        scale, reach, res.k, "estimate", res.spec.method, floor=0.0,
    )  # fmt: skip


def _interval(res: PoolResult | RegressResult) -> tuple[float, float]:
    low, high = tau2_interval(res, method="PL")
    return low, high


def _residual(res: RegressResult) -> Curve:
    data = Design(res.effects.yi, res.effects.vi, res.moderators.matrix)
    restricted = res.spec.method == "REML"

    def function(t: FloatArray) -> tuple[FloatArray, None]:
        return design_likelihood(data, t, restricted=restricted), None

    scale = float(data.k / (1 / data.v).sum())
    off = data.y - data.y.mean()
    bound = float(off @ off) / max(float(data.df), 1.0) + float(data.v.max())
    return Curve(
        function, res.tau2, float(function(np.array([res.tau2]))[0][0]), lambda: _interval(res),
        scale, (0.0, bound), res.k, "", res.spec.method, floor=0.0,
    )  # fmt: skip


def _mean_of_effects(res: PoolResult) -> Curve:
    y, v, mu = res.effects.yi, res.effects.vi, res.estimate
    low, high = mean_limits(y, v, mu, res.spec.level)
    reach = (min(float(y.min()), low), max(float(y.max()), high))
    return Curve(
        lambda at: mean_profile(y, v, at), mu, float(mean_profile(y, v, np.array([mu]))[0][0]), lambda: (low, high),
        high - low, reach, res.k, "tau2",
    )  # fmt: skip


def _fitted(res: PoolResult) -> tuple[Family, BinomialFit]:
    """Likelihood of the counts behind a GLMM and its maximum."""
    b = likelihood(res.spec, res.effects)
    assert not isinstance(b, Arms)
    found = fit(b)
    if found.separated[0] or found.held[0]:
        end = "All counts are at one end" if found.separated[0] else "Every study is at 0 or n"
        raise InputError(f"{end}: the likelihood has no finite maximum. A Bayesian model (metaan.bayes) has an answer.")
    return b, found


def _many(b: Family, found: BinomialFit, n: int) -> tuple[Family, FloatArray]:
    """The same counts n times, and where searches of the effect start."""
    return b.take(np.zeros(n, dtype=np.intp)), np.repeat(found.mu, n)


def _tau2_of_counts(res: PoolResult) -> Curve:
    b, found = _fitted(res)
    if not found.identified[0]:
        raise InputError("tau2 cannot be estimated from single observations: its likelihood is flat.")

    def function(t: FloatArray) -> tuple[FloatArray, FloatArray]:
        height, mu = np.full(t.size, found.loglik_common[0]), np.full(t.size, found.mu_common[0])
        above = t > 0
        if above.any():
            mu[above], at, _ = maximise_mu(*_many(b, found, int(above.sum())), np.sqrt(t[above]))
            height[above] = at.loglik
        return height, mu

    def limits() -> tuple[float, float]:
        low, high = tau_limits(b, found, res.spec.level)
        return float(low[0]) ** 2, float(high[0]) ** 2

    tau2, high = float(found.tau[0]) ** 2, limits()[1]
    step = max(tau2, 0.25)
    reach = (0.0, _REACH * high if np.isfinite(high) else 100 * step)
    return Curve(function, tau2, float(found.loglik[0]), limits, step, reach, res.k, "estimate", floor=0.0)


def _mean_of_counts(res: PoolResult) -> Curve:
    b, found = _fitted(res)

    def function(mu: FloatArray) -> tuple[FloatArray, FloatArray]:
        height, tau = profile_of_mu(_many(b, found, mu.size)[0], found, mu)
        return height, tau**2

    def limits() -> tuple[float, float]:
        low, high = mu_limits(b, found, res.spec.level)
        return float(low[0]), min(float(high[0]), b.top) if found.mu[0] < b.top else float(high[0])

    step = float(np.sqrt(found.cov[0, 0, 0]))
    reach = _about(float(found.mu[0]), limits(), step)
    ceiling = b.top if found.mu[0] < b.top else np.inf
    return Curve(
        function, float(found.mu[0]), float(found.loglik[0]), limits, step, (reach[0], min(reach[1], ceiling)), res.k,
        "tau2", ceiling=ceiling,
    )  # fmt: skip


def _about(peak: float, limits: tuple[float, float], step: float) -> tuple[float, float]:
    """Between which values a pooled effect is searched for other maxima."""
    ends = [end if np.isfinite(end) else peak + side * 4 * step for side, end in zip((-1, 1), limits, strict=True)]
    return peak - _REACH * (peak - ends[0]), peak + _REACH * (ends[1] - peak)


def _beta(res: PoolResult) -> tuple[Problem, BetaBinomialFit]:
    """Likelihood of a beta-binomial result and its maximum."""
    x, n = (np.asarray(count, dtype=np.float64)[:, None] for count in (res.effects.events, res.effects.total))
    problem = problem_of(x, n)
    found = maximise(problem)
    if found.separated[0]:
        text = "All counts are at one end: the likelihood has no finite maximum"
        raise InputError(f"{text}. A Bayesian model (metaan.bayes) has an answer.")
    return problem, found


def rho_curve(res: PoolResult) -> Curve:
    """Of the correlation of a beta-binomial model."""
    problem, found = _beta(res)
    if not found.identified[0]:
        raise InputError("rho cannot be estimated from single observations: its likelihood is flat.")

    def function(rho: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(divide="ignore"):
            theta = np.minimum(rho / (1 - rho), _LARGEST)
        many = problem.take(np.zeros(rho.size, dtype=np.intp))
        made = climb(many, np.repeat(found.beta, rho.size, axis=1), theta, held=True)
        zero = rho == 0
        return (
            np.where(zero, found.loglik_common[0], made.value.loglik),
            np.where(zero, found.beta_common[0, 0], made.beta[0]),
        )

    own: Any = vars(res)
    return Curve(
        function, float(found.rho[0]), float(found.loglik[0]), lambda: (own["rho_low"], own["rho_high"]),
        max(float(found.rho[0]), 0.01), (0.0, 1.0), res.k, "estimate", floor=0.0, ceiling=1.0,
    )  # fmt: skip


def _mean_of_rates(res: PoolResult) -> Curve:
    problem, found = _beta(res)

    def function(eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        here = problem.take(np.zeros(eta.size, dtype=np.intp))
        made = maximise(here._replace(X=np.zeros((1, 0)), offset=here.offset + eta))
        return made.loglik, made.rho

    def limits() -> tuple[float, float]:
        low, high = beta_limits(problem, found, res.spec.level)
        return float(low[0]), float(high[0])

    step, peak = float(np.sqrt(found.cov[0, 0, 0])), float(found.beta[0, 0])
    return Curve(function, peak, float(found.loglik[0]), limits, step, _about(peak, limits(), step), res.k, "rho")
