"""Maximum likelihood of the beta-binomial model for many meta-analyses at once, with or without moderators.

logit m = offset + X beta, with one design X for all meta-analyses, and theta = rho/(1 - rho) >= 0. Without moderators
the log-likelihood is concave in m for fixed theta, so that theta alone can have several local maxima. The score of
theta, with beta maximised to one step, is therefore scanned on a grid; every fall through 0 is a start, Newton's method
finishes each, and the highest wins. theta = 0 is a local maximum when its score there is not positive.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, xlogy

from metaan.core.beta_binomial import Counts, log_binomial, score_at_zero
from metaan.core.beta_binomial_search import (
    DECREMENT,
    STEPS,
    Problem,
    Search,
    Value,
    climb,
    cross,
    newton,
    short,
    slopes,
)
from metaan.core.wls import FloatArray

__all__ = ["BetaBinomialFit", "binomial", "fit_beta_binomial", "maximise", "orthonormal", "problem_of", "width"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_SCAN: Final = 12
_LOWEST: Final = 0.1  # theta of the scan, times the largest total
_HIGHEST: Final = 30.0
_FLAT: Final = 1e-9  # information that counts as none: the likelihood rises without end
_NOTHING: Final = 1e-12  # what such information is taken for, to have finite variances
_CHUNK: Final = 20_000  # studies in memory at a time: arrays stay in the processor's cache


class BetaBinomialFit(NamedTuple):
    """Maximum-likelihood fits: arrays of shape (n,), beta (p, n), cov (n, p + 1, p + 1)."""

    beta: FloatArray
    theta: FloatArray
    """rho/(1 - rho) = 1/(a + b)"""
    rho: FloatArray
    loglik: FloatArray
    beta_common: FloatArray
    loglik_common: FloatArray
    """Of the model with rho = 0."""
    cov: FloatArray
    """Inverse of the observed information in (beta, rho); rho's part is NaN where rho is 0 or 1."""
    iterations: IntArray
    maxima: IntArray
    converged: BoolArray
    separated: BoolArray
    """The likelihood rises as some log odds go to infinity: no events, or nothing but events, in all or in a part."""
    complete: BoolArray
    """Every study at 0 or N, both kinds present: the likelihood rises to a limit as rho goes to 1, and rho is 1."""
    identified: BoolArray
    """Whether rho is: not for one study, nor for single observations."""


def fit_beta_binomial(
    x: FloatArray, N: FloatArray, design: FloatArray | None = None, offset: FloatArray | None = None
) -> BetaBinomialFit:
    """Fit n meta-analyses of up to k studies.

    Parameters
    ----------
    x, N : array of shape (k, n)
        Counts; an absent study has x = N = 0.
    design : array of shape (k, p), optional
        Moderators, the same for all meta-analyses; a constant by default.
    offset : array of shape (k, n), or (1, n) without a design, optional
        Added to the log odds.
    """
    return maximise(problem_of(x, N, design, offset))


def problem_of(
    x: FloatArray, N: FloatArray, design: FloatArray | None = None, offset: FloatArray | None = None
) -> Problem:
    """Counts, design and offset as `fit_beta_binomial` takes them."""
    b = Counts.from_counts(np.asarray(x, dtype=np.float64), np.asarray(N, dtype=np.float64))
    X = np.ones((1, 1)) if design is None else np.asarray(design, dtype=np.float64)
    return Problem(b, X, np.zeros((X.shape[0], b.x.shape[1])) if offset is None else offset)


def width(problem: Problem) -> int:
    """How many meta-analyses are dealt with at a time."""
    return max(1, _CHUNK // int(problem.b.x.shape[0]))


def maximise(problem: Problem) -> BetaBinomialFit:
    """Fit every meta-analysis of `problem`, in chunks that bound memory and on orthonormal columns of the design."""
    n, step = problem.offset.shape[1], width(problem)
    basis, turn = orthonormal(problem.X)
    within = problem._replace(X=basis)
    parts = [_fit(within.take(np.arange(i, min(i + step, n)))) for i in range(0, n, step)]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1 if name.startswith("beta") else 0)
        for name in BetaBinomialFit._fields
    }
    p, cov = basis.shape[1], joined["cov"]
    if not np.array_equal(turn, np.eye(p)):
        cov[:, :p, :p] = np.einsum("ap,npq,bq->nab", turn, cov[:, :p, :p], turn)
        cov[:, :p, p] = cov[:, p, :p] = cov[:, p, :p] @ turn.T
        joined |= {name: turn @ joined[name] for name in ("beta", "beta_common")}
    return BetaBinomialFit(**joined)


def orthonormal(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthogonal columns of mean square 1 and the matrix that turns their coefficients into those of X."""
    if X.shape[1] == 0 or X.shape[0] == 1:
        return X, np.eye(X.shape[1])
    q, r = np.linalg.qr(X)
    root = np.sqrt(X.shape[0])
    return q * root, np.linalg.inv(r) * root


def _fit(problem: Problem) -> BetaBinomialFit:
    b, n = problem.b, problem.offset.shape[1]
    extreme = ((b.x == 0) | (b.x == b.N)).all(axis=0)
    identified = (b.N > 1).any(axis=0) & ((b.N > 0).sum(axis=0) > 1)
    beta0, loglik0, information = binomial(problem, b)
    separated = _flat(information)
    complete = extreme & identified & (loglik0 < -_FLAT)  # unless the moderators tell the two kinds apart
    score, size = score_at_zero(b, problem.eta(np.where(np.isfinite(beta0), beta0, 0.0)))
    zero = score <= 1e-12 * size
    result = BetaBinomialFit(
        beta=beta0.copy(), theta=np.zeros(n), rho=np.zeros(n), loglik=loglik0.copy(), beta_common=beta0,
        loglik_common=loglik0, cov=_bordered(information), iterations=np.zeros(n, np.intp),
        maxima=np.ones(n, np.intp), converged=np.ones(n, bool), separated=separated, complete=complete,
        identified=identified,
    )  # fmt: skip
    searched = np.flatnonzero(identified & ~extreme)
    if searched.size:
        owner, beta, theta = _starts(problem.take(searched), beta0[:, searched], zero[searched], score[searched])
        owner = searched[owner]
        if owner.size:
            _keep_best(result, zero, searched, owner, climb(problem.take(owner), beta, theta))
    if complete.any():
        _complete(result, problem, np.flatnonzero(complete))
    return result


def binomial(problem: Problem, b: Counts) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Maximum over beta for theta = 0: beta (p, n), log-likelihood (n,) and information (n, p, p)."""
    X, p = problem.X, problem.X.shape[1]
    x, N = problem.gather(b.x), problem.gather(b.N)
    if X.shape == (1, 1) and not problem.offset.any():
        rate = x / N
        beta = np.asarray(logit(rate)) / X
        top = xlogy(b.x, rate / b.hit) + xlogy(b.N - b.x, (1 - rate) / b.miss)
        return beta, (b.constant + top).sum(axis=0), cross(X, N * rate * (1 - rate))
    start = np.log((x + 0.5) / (N - x + 0.5)) - problem.offset
    beta = np.linalg.pinv(X) @ start
    for _ in range(STEPS if p else 1):
        m = expit(problem.eta(beta))
        information = cross(X, N * m * (1 - m))
        gradient = (X.T @ (x - N * m)).T
        step, _, decrement = newton(gradient, information)
        if (decrement < DECREMENT).all():
            break
        beta = beta + short(problem, step).T
    return beta, log_binomial(b, problem.eta(beta)).sum(axis=0), information


def _flat(information: FloatArray) -> BoolArray:
    """Whether the information of shape (n, p, p) about some combination of the coefficients is none."""
    if information.shape[1] == 0:
        return np.zeros(information.shape[0], dtype=bool)
    return np.asarray(np.linalg.eigvalsh(information)[:, 0] < _FLAT)


def _bordered(information: FloatArray) -> FloatArray:
    """Covariance of the coefficients with a border of NaN for rho; 1e12 along what there is no information about."""
    n, p = information.shape[:2]
    cov = np.full((n, p + 1, p + 1), np.nan)
    if p == 1:
        cov[:, 0, 0] = 1 / np.maximum(information[:, 0, 0], _NOTHING)
    else:
        values, vectors = np.linalg.eigh(information)
        values = np.where(values < _FLAT, _NOTHING, values)
        cov[:, :p, :p] = np.einsum("nai,ni,nbi->nab", vectors, 1 / values, vectors)
    return cov


def _starts(
    problem: Problem, beta0: FloatArray, zero: BoolArray, score0: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Where the score of theta falls through 0 on the scan: the meta-analysis, beta and theta of each start."""
    n = zero.shape[0]
    largest = problem.b.N.max(axis=0)
    grid = np.geomspace(_LOWEST / largest, np.full(n, _HIGHEST), _SCAN)
    score, beta = [np.where(zero, -1.0, score0)[None]], [beta0[None]]
    for some in np.array_split(grid, min(_SCAN, 1 + _SCAN * n // width(problem))):
        wide = problem.take(np.tile(np.arange(n), len(some)))
        at = _reweighted(wide, np.tile(beta0, len(some)), some.ravel())
        score.append(_profile_score(slopes(wide, at, some.ravel())).reshape(len(some), n))
        beta.append(np.moveaxis(at.reshape(-1, len(some), n), 1, 0))
    theta, height, betas = np.vstack([np.zeros(n), grid]), np.concatenate(score), np.concatenate(beta)
    falls = (height[:-1] > 0) & (height[1:] <= 0)
    step, owner = np.nonzero(falls)
    # linear interpolation of the score over log(theta + 1/N)
    s, t = height[step, owner], height[step + 1, owner]
    low, high = (np.log(theta[i, owner] + 1 / largest[owner]) for i in (step, step + 1))
    share = np.clip(s / (s - t), 0.1, 0.9)
    found = np.maximum(np.exp(low + share * (high - low)) - 1 / largest[owner], 0.01 * theta[step + 1, owner])
    between = (1 - share)[:, None] * betas[step, :, owner] + share[:, None] * betas[step + 1, :, owner]
    beyond = np.flatnonzero(height[-1] > 0)
    return (
        np.r_[owner, beyond], np.concatenate([between.T, betas[-1][:, beyond]], axis=1), np.r_[found, grid[-1, beyond]],
    )  # fmt: skip


def _reweighted(problem: Problem, beta: FloatArray, theta: FloatArray) -> FloatArray:
    """One step of Fisher scoring from beta with the variances N m (1 - m) (1 + (N - 1) rho)."""
    if problem.X.shape[1] == 0:
        return beta
    b = problem.b
    weight = 1 / (1 + (b.N - 1) * (theta / (1 + theta)))
    m = expit(problem.eta(beta))
    information = cross(problem.X, problem.gather(weight * b.N * m * (1 - m)))
    gradient = (problem.X.T @ problem.gather(weight * (b.x - b.N * m))).T
    return beta + short(problem, newton(gradient, information)[0]).T


def _profile_score(at: Value) -> FloatArray:
    """Score of theta at the beta that one Newton step leads to."""
    step = newton(at.gradient[:, :-1], -at.hessian[:, :-1, :-1])[0]
    return np.asarray(at.gradient[:, -1] + (at.hessian[:, -1, :-1] * step).sum(axis=1))


def _keep_best(result: BetaBinomialFit, zero: BoolArray, searched: IntArray, owner: IntArray, found: Search) -> None:
    """Write the highest local maximum of each searched meta-analysis into the result, theta = 0 among them."""
    result.maxima[searched] = zero[searched]
    order = np.lexsort((found.theta, owner))
    theta, i = found.theta[order], owner[order]
    distinct = np.r_[True, (i[1:] != i[:-1]) | (theta[1:] - theta[:-1] > 1e-4 * theta[1:])]
    np.add.at(result.maxima, i, distinct)
    order = np.lexsort((found.value.loglik, owner))
    j = order[np.r_[owner[order][1:] != owner[order][:-1], True]]  # the highest of each owner
    height, common = found.value.loglik[j], result.loglik_common[owner[j]]
    j = j[~zero[owner[j]] | (height > common + 1e-12 * np.abs(common))]
    i = owner[j]
    result.beta[:, i], result.theta[i], result.loglik[i] = found.beta[:, j], found.theta[j], found.value.loglik[j]
    result.rho[i] = result.theta[i] / (1 + result.theta[i])
    result.iterations[i], result.converged[i] = found.steps[j], found.done[j]
    information = -found.value.hessian[j]
    result.separated[i] = _flat(information[:, :-1, :-1])
    result.cov[i] = _covariance(information, result.rho[i])


def _covariance(information: FloatArray, rho: FloatArray) -> FloatArray:
    """Inverse of the information in (beta, theta), turned to (beta, rho); NaN for rho where that is singular."""
    cross, last = information[:, :-1, -1], information[:, -1, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = information[:, :-1, :-1] - cross[:, :, None] * (cross / last[:, None])[:, None, :]
    regular = (last > 0) & ~_flat(np.where(np.isfinite(rest), rest, 0.0))
    cov = _bordered(np.where(regular[:, None, None], rest, information[:, :-1, :-1]))
    turn = (1 - rho[regular]) ** 2 / last[regular]  # d rho/d theta is (1 - rho)^2
    inner = cov[regular, :-1, :-1]
    with_rho = -np.einsum("npq,nq,n->np", inner, cross[regular], turn)
    cov[regular, :-1, -1] = cov[regular, -1, :-1] = with_rho
    cov[regular, -1, -1] = (1 - rho[regular]) ** 2 * turn - (with_rho * cross[regular]).sum(axis=1) * turn
    return cov


def _complete(result: BetaBinomialFit, problem: Problem, index: IntArray) -> None:
    """As rho goes to 1 each study is one observation, of an event with probability m: the limit is their likelihood."""
    part = problem.take(index)
    here = (part.b.N > 0).astype(np.float64)
    hits = here * (part.b.x == part.b.N)
    single = Counts.from_counts(hits, here)
    beta, loglik, information = binomial(part._replace(b=single), single)
    result.beta[:, index], result.loglik[index] = beta, loglik
    result.theta[index], result.rho[index] = np.inf, 1.0
    result.separated[index] = _flat(information)
    result.cov[index] = _bordered(information)
