"""Newton's method on the beta-binomial likelihood, for many meta-analyses at once."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.beta_binomial import Counts, Index, evaluate
from metaan.core.wls import FloatArray

__all__ = ["DECREMENT", "STEPS", "Problem", "Search", "Value", "climb", "cross", "newton", "short", "slopes"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

STEPS: Final = 80
DECREMENT: Final = 1e-16  # squared length of the last step, in standard errors
_REACH: Final = 2.0  # longest step in any log odds and in log theta
_NOISE: Final = 4e-15  # of the score of theta, in standard errors, times the largest total
_GONE: Final = 1e-9  # theta, times the largest total: a search that comes so low has found the maximum at 0


class Problem(NamedTuple):
    """Counts, design of shape (k, p), or (1, p) where studies share a row, and offset of as many rows, (., n)."""

    b: Counts
    X: FloatArray
    offset: FloatArray

    def take(self, index: Index) -> Problem:
        """The meta-analyses of `index`."""
        return Problem(self.b.take(index), self.X, self.offset[:, index])

    def eta(self, beta: FloatArray) -> FloatArray:
        """Log odds of the mean for beta of shape (p, n)."""
        return np.asarray(self.offset + self.X @ beta)

    def gather(self, part: FloatArray) -> FloatArray:
        """Sums over the studies that share a row of the design."""
        return part.sum(axis=0, keepdims=True) if self.X.shape[0] == 1 else part


class Value(NamedTuple):
    """Log-likelihood, (n,), gradient (n, p + 1) and Hessian (n, p + 1, p + 1) in (beta, theta)."""

    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray


class Search(NamedTuple):
    """Where searches ended: beta (p, n), theta (n,), the likelihood there, steps taken, whether they converged."""

    beta: FloatArray
    theta: FloatArray
    value: Value
    steps: IntArray
    done: BoolArray

    @classmethod
    def start(cls, beta: FloatArray, theta: FloatArray) -> Search:
        """Room for the outcome of searches from beta and theta."""
        p, n = beta.shape
        value = Value(np.empty(n), np.empty((n, p + 1)), np.empty((n, p + 1, p + 1)))
        return cls(beta.copy(), theta.copy(), value, np.zeros(n, np.intp), np.zeros(n, bool))


def slopes(problem: Problem, beta: FloatArray, theta: FloatArray) -> Value:
    """Log-likelihood with gradient and Hessian in (beta, theta)."""
    X, p = problem.X, problem.X.shape[1]
    at = evaluate(problem.b, problem.eta(beta), theta)
    n = theta.shape[0]
    gradient, hessian = np.empty((n, p + 1)), np.empty((n, p + 1, p + 1))
    gradient[:, :p] = (X.T @ problem.gather(at.eta)).T
    gradient[:, p] = at.theta.sum(axis=0)
    hessian[:, :p, :p] = cross(X, problem.gather(at.eta_eta))
    hessian[:, :p, p] = hessian[:, p, :p] = (X.T @ problem.gather(at.eta_theta)).T
    hessian[:, p, p] = at.theta_theta.sum(axis=0)
    return Value(at.loglik.sum(axis=0), gradient, hessian)


def cross(X: FloatArray, weight: FloatArray) -> FloatArray:
    """X' diag(weight) X for each column of weight, (n, p, p)."""
    k, p = X.shape
    pairs = (X[:, :, None] * X[:, None, :]).reshape(k, p * p)
    return np.asarray((pairs.T @ weight).T.reshape(weight.shape[1], p, p))


def newton(gradient: FloatArray, information: FloatArray) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Newton's step, whether the information is positive definite, and the squared length of the step.

    The information is scaled to a diagonal near 1; of its eigenvalues the absolute values are taken, so that every step
    goes uphill.
    """
    if gradient.shape[1] == 0:
        nothing = np.zeros(gradient.shape[0])
        return gradient, np.ones(gradient.shape[0], dtype=bool), nothing
    scale = 1 / np.sqrt(np.abs(np.diagonal(information, axis1=1, axis2=2)) + 1e-3 * np.abs(gradient) + 1e-250)
    values, vectors = np.linalg.eigh(information * scale[:, :, None] * scale[:, None, :])
    along = np.einsum("nqi,nq->ni", vectors, gradient * scale)
    along /= np.maximum(np.abs(values), 1e-12)
    step = np.einsum("nqi,ni->nq", vectors, along) * scale
    definite = values[:, 0] > 0
    return step, definite, np.abs((step * gradient).sum(axis=1))


def short(problem: Problem, step: FloatArray) -> FloatArray:
    """Steps of beta, shape (n, p), cut so that no log odds moves by more than _REACH."""
    farthest = np.abs(problem.X @ step.T).max(axis=0) if step.shape[1] else np.zeros(step.shape[0])
    return np.asarray(step / np.maximum(1.0, farthest / _REACH)[:, None])


class _State(NamedTuple):
    """Columns still in the iteration: which they are, where they stand, and the likelihood there."""

    column: IntArray
    problem: Problem
    delta: FloatArray
    beta: FloatArray
    theta: FloatArray
    factor: FloatArray
    """What the next step is multiplied by: below 1 after a step that lowered the likelihood."""
    at: Value

    def keep(self, go: BoolArray) -> _State:
        at = Value(*(part[go] for part in self.at))
        return _State(
            self.column[go],
            self.problem.take(go),
            self.delta[go],
            self.beta[:, go],
            self.theta[go],
            self.factor[go],
            at,
        )


def climb(problem: Problem, beta: FloatArray, theta: FloatArray, *, held: bool = False) -> Search:
    """Newton's method to a local maximum in (beta, log(theta + 1/N)), N the largest total, or in beta alone."""
    out = Search.start(beta, theta)
    n = theta.shape[0]
    start = slopes(problem, beta, theta)
    state = _State(np.arange(n), problem, 1 / problem.b.N.max(axis=0), beta, theta, np.ones(n), start)
    for count in range(STEPS + 1):
        step, short = _step(state, held)
        stuck = (state.factor < 1e-4) | ((state.theta < _GONE * state.delta) & (not held))
        leave = short | stuck | (count == STEPS)
        if leave.any():
            last = np.where(short & (state.factor == 1), 1.0, 0.0)
            _record(out, state.keep(leave), step[leave], last[leave], (short | stuck)[leave], count)
            if leave.all():
                break
            state, step = state.keep(~leave), step[~leave]
        state = _advance(state, step)
    return out


def _record(out: Search, state: _State, step: FloatArray, last: FloatArray, done: BoolArray, count: int) -> None:
    """Where the columns of `state` ended; those that converged take their last step."""
    j = state.column
    out.beta[:, j], out.theta[j] = _moved(state, step, last)
    for target, source in zip(out.value, state.at, strict=True):
        target[j] = source
    out.steps[j], out.done[j] = count, done


def _advance(state: _State, step: FloatArray) -> _State:
    """Take the step where it does not lower the likelihood; shorten the next one where it does."""
    beta, theta = _moved(state, step, state.factor)
    trial = slopes(state.problem, beta, theta)
    rounding = 1e-12 * np.abs(state.at.loglik) + 1e-15 * state.problem.b.N.sum(axis=0)
    better = trial.loglik >= state.at.loglik - rounding
    at = (
        np.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old) for new, old in zip(trial, state.at, strict=True)
    )
    return state._replace(
        beta=np.where(better, beta, state.beta), theta=np.where(better, theta, state.theta),
        factor=np.where(better, 1.0, state.factor / 4), at=Value(*at),
    )  # fmt: skip


def _step(state: _State, held: bool) -> tuple[FloatArray, BoolArray]:
    """Newton's step in (beta, log(theta + delta)), 0 for theta when held, and whether it is short enough to be last."""
    at, scale = state.at, state.theta + state.delta
    gradient, information = at.gradient.copy(), -at.hessian
    information[:, -1, -1] = -scale * (scale * at.hessian[:, -1, -1] + gradient[:, -1])
    gradient[:, -1] *= scale
    information[:, :-1, -1] *= scale[:, None]
    information[:, -1, :-1] *= scale[:, None]
    step = np.zeros_like(gradient)
    free = gradient.shape[1] - held
    step[:, :free], definite, decrement = newton(gradient[:, :free], information[:, :free, :free])
    return step, definite & (decrement < DECREMENT + (_NOISE / state.delta) ** 2)


def _moved(state: _State, step: FloatArray, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Beta and theta after a step, which is cut where it is long; theta falls to a hundredth at most."""
    p = state.beta.shape[0]
    farthest = np.abs(state.problem.X @ step[:, :p].T).max(axis=0) if p else np.zeros_like(state.theta)
    factor = factor / np.maximum(1.0, np.maximum(farthest, np.abs(step[:, p])) / _REACH)
    change = (state.theta + state.delta) * np.expm1(factor * step[:, p])
    return state.beta + factor * step[:, :p].T, np.maximum(state.theta + change, state.theta / 100)
