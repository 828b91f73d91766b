"""Two arms by their unconditional likelihood: the pooled effect of `metaan.glmm` with model UM.FS or UM.RS."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np

from metaan.core.binomial_fit import TAU_HELD, BinomialFit, fit
from metaan.core.mixed import Mixed, Model, information, maximise, profile_limits
from metaan.core.mixed_fixed import fixed_nodes
from metaan.core.mixed_regression import starts
from metaan.core.two_arms import Arms, FixedStudies, RandomStudies
from metaan.errors import ConvergenceError
from metaan.measures.person_time import TIMES
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS
from metaan.models.conditional import WORDS, conditional
from metaan.models.glmm_result import Fitted, result, separated
from metaan.models.results import GlmmResult, Spec
from metaan.validate import FloatArray

__all__ = ["fit_arms", "fit_unconditional", "loglik_without_tau", "model_of", "unconditional_tau_limits"]

Unconditional = FixedStudies | RandomStudies
_COMMON: Final = "the maximum-likelihood one of this model with one effect common to all trials"
_OUTSIDE: Final = 1e-6  # posterior probability of a rate beyond 0 or 1 that is still taken for none
_FARTHEST: Final = 30.0  # on the scale of a link, an estimate beyond which there is no finite one


def model_of(arms: Arms, x: FloatArray, spec: Spec) -> Unconditional:
    """The model of the effects of the studies with the design x, (k, p)."""
    return FixedStudies(arms, x) if spec.likelihood == "UM.FS" else RandomStudies(arms, x)


def fit_arms(model: Unconditional, spec: Spec) -> tuple[Mixed, Mixed]:
    """The exact maximum, and that by the number of nodes asked for.

    Raises
    ------
    ConvergenceError
        No finite maximum, or one that takes rates beyond 0 or 1.
    """
    y, v = model.arms.empirical()
    beta, spread = starts(y[:, 0] - y[:, 1], v.sum(axis=1), model.x)
    centre = y.mean(axis=1)
    if isinstance(model, RandomStudies):
        between = max(float(centre.std()), 0.1)
        start, spread = np.r_[centre.mean(), beta, 0.0, 0.0], np.sqrt(spread[1:3] * between)
    else:
        start = np.r_[centre, beta, 0.0]
    exact = maximise(model, start, spread)
    _check(model, exact, spec)
    return exact, exact if spec.nodes is None else fixed_nodes(model, exact, spec.nodes)


def _check(model: Unconditional, found: Mixed, spec: Spec) -> None:
    what = f"model={spec.likelihood!r} for measure={spec.measure!r}"
    other = "model='CM.EL'" if spec.measure in ("OR", "IRR") else "measure='OR', or pool the empirical effects"
    far = found.theta[-1] > TAU_HELD or np.abs(found.theta).max() > _FARTHEST
    coefficients = [j for j in range(len(found.theta)) if j not in model.spreads]
    known = np.isfinite(np.diagonal(information(model, found))[coefficients]).all()
    if far or not found.converged or not known:
        raise ConvergenceError(f"{what} has no finite maximum of its likelihood on these counts. Use {other}.")
    if spec.measure in ("OR", "IRR"):  # their links have no ends
        return
    outside = model.effects(found.theta).outside
    if outside > _OUTSIDE:
        text = f"{what} takes a true rate beyond 0 or 1 with probability {outside:.2g} in one of the studies"
        raise ConvergenceError(f"{text}, where it has no likelihood. Use {other}.")


def fit_unconditional(arms: Arms, eff: Effects, spec: Spec) -> GlmmResult:
    """Fit one meta-analysis and fill its result."""
    one_sided = _separated(eff, spec)
    if one_sided is not None:
        return one_sided
    model = model_of(arms, np.ones((eff.k, 1)), spec)
    exact, found = fit_arms(model, spec)
    k, at = eff.k, len(found.theta) - 1
    place = k if spec.likelihood == "UM.FS" else 1
    cov = information(model, found)
    shrunken = model.effects(found.theta)

    def profile() -> tuple[float, float]:
        row = np.zeros((1, at + 1))
        row[0, place] = 1.0
        low, high = profile_limits(model, exact, row, np.sqrt(cov[place, place])[None], spec.level)
        return float(low[0]), float(high[0])

    height = exact.loglik if spec.nodes is None else float(model.at(found.theta[None], exact.level + 1).loglik[0])
    sigma2 = float(found.theta[-2]) ** 2 if spec.likelihood == "UM.RS" else math.nan
    return result(
        eff, spec, WORDS[spec.measure]._replace(common=_COMMON),
        Fitted(
            _as_fit(found, cov, place, loglik_without_tau(model, exact), exact), height, shrunken.mean, shrunken.sd,
            shrunken.noise, profile, parameters=at + 1, sigma2=sigma2,
        ),
    )  # fmt: skip


def unconditional_tau_limits(arms: Arms, eff: Effects, spec: Spec) -> tuple[float, float]:
    """Profile-likelihood interval of tau2."""
    if _separated(eff, spec) is not None:
        return 0.0, math.inf
    model = model_of(arms, np.ones((eff.k, 1)), spec)
    exact, _ = fit_arms(model, spec)
    se = np.sqrt(information(model, exact)[-1:, -1])
    row = np.eye(len(exact.theta))[-1:]
    low, high = profile_limits(model, exact, row, np.where(np.isfinite(se), se, 0.3), spec.level)
    return float(low[0]) ** 2, float(high[0]) ** 2


def loglik_without_tau(model: Model, exact: Mixed) -> float:
    """Highest log-likelihood with tau2 = 0, a random baseline kept."""
    if not isinstance(model, RandomStudies):
        return exact.loglik_common
    if exact.theta[-1] == 0:
        return exact.loglik
    no_effect = _OneSpread(model)
    return maximise(no_effect, np.append(exact.theta[:-2], 0.0), exact.theta[-2:-1] * np.array([0.5, 1.0])).loglik


class _OneSpread:
    """UM.RS with tau = 0: sigma alone."""

    def __init__(self, model: RandomStudies) -> None:
        self.model = model

    @property
    def spreads(self) -> tuple[int, ...]:
        return self.model.spreads[:1]

    def at(self, theta: FloatArray, level: int) -> Any:
        at = self.model.at(np.column_stack([theta, np.zeros(len(theta))]), level)
        return at._replace(gradient=at.gradient[:, :-1], hessian=at.hessian[:, :-1, :-1])


def _as_fit(found: Mixed, cov: FloatArray, place: int, loglik_common: float, exact: Mixed) -> BinomialFit:
    """The effect and tau of a maximum in the form that results are made of."""
    own = cov[np.ix_([place, -1], [place, -1])]

    def one(value: float) -> FloatArray:
        return np.array([value])

    return BinomialFit(
        mu=one(found.theta[place]), tau=one(found.theta[-1]), loglik=one(found.loglik),
        mu_common=one(exact.theta_common[place]), loglik_common=one(loglik_common), cov=own[None],
        iterations=np.array([found.iterations]), nodes=np.array([32 * 2**exact.level + 1]),
        maxima=np.array([found.maxima]), converged=np.array([found.converged]), separated=np.array([False]),
        held=np.array([False]), identified=np.array([exact.theta.size > 0]),
    )  # fmt: skip


def _separated(eff: Effects, spec: Spec) -> GlmmResult | None:
    """The conditional model's answer where no finite ratio is estimable: one arm without events, or with them alone."""
    if spec.measure not in ("OR", "IRR"):
        return None
    names = TIMES if spec.measure == "IRR" else ARMS
    a, size_t, c, size_c = (np.asarray((eff.inputs or {})[name]) for name in names)
    times = spec.measure == "IRR"
    low = np.zeros_like(a) if times else np.maximum(0, a + c - size_c)
    high = a + c if times else np.minimum(size_t, a + c)
    if not ((a == low).all() or (a == high).all()):
        return None
    b = conditional(dataclasses.replace(spec, likelihood="CM.EL"), eff.inputs or {}, eff.study)
    return separated(b, eff, spec, fit(b), WORDS[spec.measure])
