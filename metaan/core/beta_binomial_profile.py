"""Profile-likelihood limits of the beta-binomial model: for a coefficient and for rho, of many meta-analyses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.beta_binomial_fit import BetaBinomialFit, binomial, maximise, orthonormal, width
from metaan.core.beta_binomial_search import Problem, climb
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["beta_limits", "rho_limits"]

IntArray = npt.NDArray[np.intp]
Function = Callable[[FloatArray], FloatArray]

_DOUBLINGS: Final = 10
_KNOWN: Final = 1e6  # variance beyond which a coefficient is taken as infinite, where some are
_SAME: Final = 1e-6  # of roots of likelihood ratios
_TOLERANCE: Final = 1e-9
_WIDEST: Final = 1e8  # theta beyond which a profile that has not fallen far enough is taken never to fall


def beta_limits(
    problem: Problem, found: BetaBinomialFit, level: float, *, coefficient: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Limits of one coefficient, shape (n,): the log odds of the mean where the design is a constant.

    There the log-likelihood, maximised over all else with several maxima allowed for, lies chi2(1)/2 below the
    maximum; infinite where it never does. Nothing but events, or none, and no moderators: rho stays 0.
    """
    drop = float(chdtri(1.0, 1 - level))
    alone = found.separated & (problem.X.shape == (1, 1))
    closed = np.log(np.expm1(drop / 2 / problem.b.N.sum(axis=0)))
    limits = [np.where(found.beta[coefficient] < 0, end, far) for end, far in ((-np.inf, -closed), (closed, np.inf))]
    regular = found.identified & ~found.complete & ~found.separated
    chunks = [*_chunks(problem, np.flatnonzero(regular)), *_chunks(problem, np.flatnonzero(~alone & ~regular))]
    for side, limit in zip((-1.0, 1.0), limits, strict=True):
        for some in chunks:
            limit[some] = _beta_limit(problem, found, some, coefficient, drop, side)
    return limits[0], limits[1]


def _beta_limit(
    problem: Problem, found: BetaBinomialFit, index: IntArray, j: int, drop: float, side: float
) -> FloatArray:
    """By searches that start where the last one ended; where the full search finds a higher maximum, by full ones."""
    column = problem.X[:, [j]]
    basis, turn = orthonormal(np.delete(problem.X, j, axis=1))
    part = problem._replace(X=basis).take(index)
    top, variance = found.loglik[index], found.cov[index, j, j]
    far = found.separated[index] & (variance > _KNOWN)
    step = side * np.where(far, 1.0, np.sqrt(variance))
    if (far & (np.sign(found.beta[j, index]) == side)).all():
        return np.copysign(np.inf, step)

    def full(value: FloatArray, part: Problem = part, top: FloatArray = top) -> FloatArray:
        return _distance(top - maximise(part._replace(offset=part.offset + column * value)).loglik, drop)

    if (~found.identified | found.complete | found.separated)[index].any():
        return _outwards(full, found.beta[j, index], step, drop)
    beta: FloatArray = np.linalg.solve(turn, np.delete(found.beta, j, axis=0)[:, index]).astype(np.float64)
    near = _Near(part, column, beta, found.theta[index])
    limit = _outwards(lambda value: _distance(top - near(value), drop), found.beta[j, index], step, drop)
    wrong = ~(np.abs(full(limit)) < _SAME)
    if wrong.any():
        some, height = part.take(wrong), top[wrong]
        limit[wrong] = _outwards(
            lambda value: full(value, some, height), found.beta[j, index[wrong]], step[wrong], drop
        )
    return limit


class _Near:
    """Highest log-likelihood at rho = 0 and at the end of a search from where the last one ended."""

    def __init__(self, part: Problem, column: FloatArray, beta: FloatArray, theta: FloatArray) -> None:
        self.part, self.column, self.beta, self.theta = part, column, beta, theta
        self.least = 0.1 / part.b.N.max(axis=0)

    def __call__(self, value: FloatArray) -> FloatArray:
        here = self.part._replace(offset=self.part.offset + self.column * value)
        found = climb(here, self.beta, np.maximum(self.theta, self.least))
        self.beta, self.theta = found.beta, np.minimum(found.theta, _WIDEST)
        return np.maximum(found.value.loglik, binomial(here, here.b)[1])


def rho_limits(problem: Problem, found: BetaBinomialFit, level: float) -> tuple[FloatArray, FloatArray]:
    """Rho at which the log-likelihood, maximised over the coefficients, lies chi2(1)/2 below the maximum, shape (n,).

    0 or 1 where it never does; both for nothing but events, or none, without moderators: such data do not tell.
    """
    drop = float(chdtri(1.0, 1 - level))
    low, high = np.zeros_like(found.rho), np.ones_like(found.rho)
    silent = found.separated & (problem.X.shape == (1, 1))
    for some in _chunks(problem, np.flatnonzero(~silent)):
        low[some], high[some] = _rho_limits(problem.take(some), found, some, drop)
    return low, high


def _rho_limits(
    problem: Problem, fitted: BetaBinomialFit, index: IntArray, drop: float
) -> tuple[FloatArray, FloatArray]:
    """In terms of log(theta + 1/N), N the largest total."""
    basis, turn = orthonormal(problem.X)
    within = problem._replace(X=basis)
    beta: FloatArray = np.linalg.solve(turn, fitted.beta[:, index]).astype(np.float64)
    delta: FloatArray = 1 / problem.b.N.max(axis=0)
    top = fitted.loglik[index]
    zero, widest = np.log(delta), np.log(_WIDEST + delta)

    def excess(at: FloatArray) -> FloatArray:
        nonlocal beta  # from where the next search starts
        theta = np.minimum(np.maximum(np.exp(at) - delta, 0.0), _WIDEST).astype(np.float64)
        found = climb(within, beta, theta, held=True)
        beta = found.beta
        return _distance(top - found.value.loglik, drop)

    inside = np.log(np.minimum(fitted.theta[index], _WIDEST) + delta)
    start = excess(inside)  # not below 0 where rho is 1 and even the largest theta is too far from it
    at_zero = _distance(top - fitted.loglik_common[index], drop)
    low = np.where(at_zero <= 0, zero, bracketed_root(excess, zero, inside, at_zero, start, tolerance=_TOLERANCE))
    high = np.minimum(_outwards(excess, inside, np.ones_like(inside), drop, end=widest), widest)
    theta_low, theta_high = np.exp(low) - delta, np.exp(high) - delta
    upper = np.where(high >= widest, 1.0, theta_high / (1 + theta_high))
    return np.where(at_zero <= 0, 0.0, theta_low / (1 + theta_low)), upper


def _chunks(problem: Problem, index: IntArray) -> list[IntArray]:
    step = width(problem)
    return [index[i : i + step] for i in range(0, index.size, step)]


def _distance(fall: FloatArray, drop: float) -> FloatArray:
    """Signed root of the likelihood ratio, nearly linear in the parameter, less its value at the limit."""
    return np.asarray(np.sqrt(2 * np.maximum(fall, 0.0)) - np.sqrt(drop))


def _outwards(
    excess: Function, inside: FloatArray, step: FloatArray, drop: float, end: FloatArray | float = np.inf
) -> FloatArray:
    """Root beyond `inside` in the direction of `step`, the distance doubled until it is passed; else infinite."""
    centre, f_inside = inside, np.full_like(inside, -np.sqrt(drop))
    reach = 2 * step
    outside = np.minimum(centre + reach, end)
    f_outside = excess(outside)
    for _ in range(_DOUBLINGS):
        grow = (f_outside <= 0) & (outside < end)
        if not grow.any():
            break
        inside, f_inside = np.where(grow, outside, inside), np.where(grow, f_outside, f_inside)
        reach = np.where(grow, 2 * reach, reach)
        outside = np.minimum(centre + reach, end)
        f_outside = np.where(grow, excess(outside), f_outside)
    root = bracketed_root(excess, outside, inside, f_outside, f_inside, tolerance=_TOLERANCE)
    return np.where(f_outside > 0, root, np.copysign(np.inf, step))
