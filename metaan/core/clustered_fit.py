"""Maximum likelihood of lesions in patients in studies: mean, spread between studies, correlation within patients.

The log odds of a study are mu + tau u with u standard normal; its likelihood given them is that of clustered.py, which
need not be log-concave, so that the range of the trapezoidal rule, taken from a binomial of as many effective lesions,
is widened until the integrand has died out at both ends. Derivatives in mu and tau fall on the normal density: with
s = u/tau and (u^2 - 1)/tau the score is E s, the posterior mean, and the Hessian E(s s' + ds) - E s E s' (Louis 1982);
those in rho come with the likelihood. At tau = 0, where this degenerates, derivatives in mu are those of the
interpolating polynomial through nine points.

Newton's method with exact Hessians in (mu, log tau, rho), 0 <= rho <= 1, runs from several starts at once, and along
the edge tau = 0 by itself; the highest maximum wins. At rho = 0 the likelihood is that of the binomial-normal model,
whose own search settles that edge.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.binomial import Binomial, trapezoid
from metaan.core.clustered import Block, Clusters, Log
from metaan.core.wls import FloatArray

__all__ = ["Found", "Marginal", "evaluate", "maximise"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

_FIRST_NODES: Final = 37
_MOST_NODES: Final = 2049
_AGREE: Final = 1e-5  # of the integral and the one over every second node; the error of the former is about the square
_DIED_OUT: Final = 28.0  # exp(-28) = 7e-13 of the maximum, at the ends of the range
_WIDENED: Final = 0.06  # of the range, at an end where it is too short
_WIDEST: Final = 1e4
_STEP: Final = 0.05  # of the nine points about mu at tau = 0; log odds change the likelihood over a distance of pi
_VANISHED: Final = 3e-3
"""tau below which a search has come down to the edge tau = 0."""
_STEPS: Final = 60
_SMALL_DECREMENT: Final = 1e-15  # squared length of the last step in standard errors
_ROUNDING: Final = 1e-12


class Marginal(NamedTuple):
    """Marginal log-likelihood at n points with gradient (n, 3) and Hessian (n, 3, 3) in (mu, tau, rho).

    At tau = 0 the derivatives in tau are 0 and the score of tau2 stands in `spread`.
    """

    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    spread: FloatArray
    """Score of tau2 at tau = 0, (n,); 0 elsewhere."""
    mean: FloatArray
    """Posterior mean of each study's log odds, (k, n), and its standard deviation."""
    sd: FloatArray
    nodes: int
    """Most nodes that a study took."""

    @classmethod
    def empty(cls, k: int, n: int) -> Marginal:
        """Nothing yet, of k studies at n points."""
        zero = np.zeros
        return cls(zero(n), zero((n, 3)), zero((n, 3, 3)), zero(n), zero((k, n)), zero((k, n)), 0)


class Found(NamedTuple):
    """Local maxima: arrays of shape (n,)."""

    theta: FloatArray
    """mu, tau, rho, (3, n)."""
    loglik: FloatArray
    converged: BoolArray
    vanished: BoolArray
    """The search came down to the edge tau = 0, which is another search's matter."""
    steps: IntArray


def evaluate(data: Clusters, theta: FloatArray, *, slopes: bool = True) -> Marginal:
    """Marginal likelihood at theta = (mu, tau, rho), shape (3, n), with as many nodes as it takes.

    Parameters
    ----------
    data : Clusters
    theta : array of shape (3, n)
        tau is 0 in every column or in none.
    slopes : bool
        Whether derivatives in rho are wanted.
    """
    mu, tau, rho = theta
    if not tau.any():
        return _at_zero(data, mu, rho, slopes)
    effect = 1 + (data.size[:, None] - 1) * rho
    b = Binomial.from_counts(data.x[:, None] / effect, data.N[:, None] / effect)
    ends = trapezoid(b, mu, tau, 3).u[:, [0, 2]]
    at = Marginal.empty(data.x.size, mu.size)
    nodes = [_integrate(block, theta, ends[block.place], slopes, at) for block in data.blocks]
    return at._replace(nodes=max(nodes))


def _integrate(block: Block, theta: FloatArray, ends: FloatArray, slopes: bool, out: Marginal) -> int:
    """Add the studies of a block, each over nodes that reach as far as its integrand and lie as closely as it takes."""
    mu, tau, rho = theta
    todo, low, high = np.arange(block.place.size), ends[:, [0]], ends[:, [1]]
    nodes = _FIRST_NODES
    while True:
        u = low + (high - low) * np.linspace(0, 1, nodes)[:, None]
        of = Log(*(part.reshape(u.shape) for part in _log_likelihood(block, todo, mu + tau * u, rho, slopes)))
        log_f = of.value - u * u / 2
        top = log_f.max(axis=1, keepdims=True)
        weight = np.exp(log_f - top)
        total = weight.sum(axis=1, keepdims=True)
        weight /= total
        longer = _WIDENED * (high - low) * (top - log_f[:, [0, -1]] < _DIED_OUT)
        short = (longer > 0).any(axis=(1, 2)) & ((high - low).max(axis=(1, 2)) < _WIDEST)
        coarse = (np.abs(2 * weight[:, ::2].sum(axis=1) - 1) > _AGREE).any(axis=1) & (2 * nodes <= _MOST_NODES)
        done = ~(short | coarse)
        height = top + np.log(total * (high - low) / (nodes - 1)) - np.log(2 * np.pi) / 2
        _add(
            out,
            block.place[todo[done]],
            theta,
            height[done, 0],
            weight[done],
            u[done],
            Log(*(part[done] for part in of)),
        )
        if done.all():
            return nodes
        todo, low, high, longer = todo[~done], low[~done], high[~done], longer[~done]
        low, high = low - longer[:, [0]], high + longer[:, [1]]
        nodes = 2 * nodes - 1 if (coarse & ~short).any() else nodes


def _log_likelihood(block: Block, which: IntArray, eta: FloatArray, rho: FloatArray, slopes: bool) -> Log:
    """Of the studies `which` at eta of shape (studies, points, n)."""
    study = np.broadcast_to(which[:, None, None], eta.shape).ravel()
    return block.log_likelihood(study, eta.ravel(), np.broadcast_to(rho, eta.shape).ravel(), slopes=slopes)


def _add(
    out: Marginal, index: IntArray, theta: FloatArray, height: FloatArray, weight: FloatArray, u: FloatArray, of: Log
) -> None:
    mu, tau, _ = theta
    gradient, hessian = _louis(weight, u, tau, of.first, of.second)
    mean = (weight * u).sum(axis=1)
    out.loglik[:] += height.sum(axis=0)
    out.gradient[:] += gradient
    out.hessian[:] += hessian
    out.mean[index] = mu + tau * mean
    out.sd[index] = tau * np.sqrt((weight * (u - mean[:, None]) ** 2).sum(axis=1))


def _louis(
    weight: FloatArray, u: FloatArray, tau: FloatArray, first: FloatArray, second: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient and Hessian as posterior moments of the complete-data scores (Louis 1982)."""
    score = np.stack([u / tau, (u * u - 1) / tau, first])
    expected = np.einsum("kqn,akqn->akn", weight, score)
    centred = score - expected[:, :, None]
    hessian = np.einsum("kqn,akqn,bkqn->nab", weight, centred, centred, optimize=True)
    squared = tau * tau
    hessian[:, 0, 0] -= weight.shape[0] / squared
    hessian[:, 0, 1] -= 2 * (weight * u).sum(axis=(0, 1)) / squared
    hessian[:, 1, 0] = hessian[:, 0, 1]
    hessian[:, 1, 1] += (weight * (1 - 3 * u * u)).sum(axis=(0, 1)) / squared
    hessian[:, 2, 2] += (weight * second).sum(axis=(0, 1))
    return expected.sum(axis=1).T, hessian


def _differences() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nine points, and the weights of the first and second derivative at the middle one."""
    points = np.arange(-4.0, 5.0)
    inverse = np.linalg.inv(np.vander(points, increasing=True))
    return points * _STEP, inverse[1] / _STEP, 2 * inverse[2] / _STEP**2


_POINTS, _FIRST, _SECOND = _differences()


def _at_zero(data: Clusters, mu: FloatArray, rho: FloatArray, slopes: bool) -> Marginal:
    """The model without spread between studies."""
    at = Marginal.empty(data.x.size, mu.size)
    at.mean[:] = mu
    for block in data.blocks:
        eta = np.broadcast_to(mu + _POINTS[:, None], (block.place.size, _POINTS.size, mu.size))
        parts = _log_likelihood(block, np.arange(block.place.size), eta, rho, slopes)
        value, first, second = (part.reshape(eta.shape) for part in parts)
        score, curvature = (np.einsum("q,kqn->kn", weights, value) for weights in (_FIRST, _SECOND))
        at.loglik[:] += value[:, 4].sum(axis=0)
        at.spread[:] += (score * score + curvature).sum(axis=0) / 2
        at.gradient[:, 0] += score.sum(axis=0)
        at.gradient[:, 2] += first[:, 4].sum(axis=0)
        at.hessian[:, 0, 0] += curvature.sum(axis=0)
        at.hessian[:, 0, 2] += np.einsum("q,kqn->n", _FIRST, first)
        at.hessian[:, 2, 2] += second[:, 4].sum(axis=0)
    at.hessian[:, 2, 0] = at.hessian[:, 0, 2]
    return at


def maximise(
    data: Clusters, start: FloatArray, free: tuple[bool, bool, bool], *, enough: float = _SMALL_DECREMENT
) -> Found:
    """Climb from each start to a local maximum over the free ones of mu, tau and rho.

    Parameters
    ----------
    data : Clusters
    start : array of shape (3, n)
        mu, tau, rho; tau is 0 in every column or in none, and stays 0 where it is.
    free : three bool
        Which of mu, tau, rho to move.
    enough : float
        Squared length of the last step, in standard errors.

    Notes
    -----
    An indefinite Hessian is replaced by the one with the absolute eigenvalues; a step that lowers the likelihood is
    quartered. rho stops at 0 and 1 and leaves them when the score says so.
    """
    n = start.shape[1]
    out = Found(start.copy(), np.full(n, -np.inf), np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, np.intp))
    column, theta, scale = np.arange(n), start.copy(), np.ones(n)
    at = evaluate(data, theta, slopes=free[2])
    for count in range(_STEPS + 1):
        step, decrement = _newton(at, theta, free)
        rejected = scale < 1e-3
        done = (decrement < enough) | (rejected & (decrement < 1e-9))
        vanished = (theta[1] > 0) & (theta[1] < _VANISHED) & (at.gradient[:, 1] < 0) & free[1]
        leave = done | vanished | (scale < 1e-9) | (count == _STEPS)
        if leave.any():
            j = column[leave]
            out.theta[:, j], out.loglik[j], out.steps[j] = theta[:, leave], at.loglik[leave], count
            out.converged[j], out.vanished[j] = (done & ~vanished)[leave], vanished[leave]
            stay = ~leave
            if not stay.any():
                break
            column, theta, scale, step = column[stay], theta[:, stay], scale[stay], step[:, stay]
            at = _kept(at, stay)
        new = _moved(theta, step * scale)
        trial = evaluate(data, new, slopes=free[2])
        better = trial.loglik >= at.loglik - _ROUNDING * np.abs(at.loglik)
        theta, at = np.where(better, new, theta), _merged(better, trial, at)
        scale = np.where(better, np.minimum(4 * scale, 1.0), scale / 4)
    return out


def _kept(at: Marginal, stay: BoolArray) -> Marginal:
    return Marginal(
        at.loglik[stay], at.gradient[stay], at.hessian[stay], at.spread[stay],
        at.mean[:, stay], at.sd[:, stay], at.nodes,
    )  # fmt: skip


def _merged(better: BoolArray, new: Marginal, old: Marginal) -> Marginal:
    def by_row(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return Marginal(
        by_row(new.loglik, old.loglik), by_row(new.gradient, old.gradient), by_row(new.hessian, old.hessian),
        by_row(new.spread, old.spread), np.where(better, new.mean, old.mean), np.where(better, new.sd, old.sd),
        new.nodes,
    )  # fmt: skip


def _newton(at: Marginal, theta: FloatArray, free: tuple[bool, bool, bool]) -> tuple[FloatArray, FloatArray]:
    """Newton step in (mu, log tau, rho), shape (3, n), and its squared length in standard errors."""
    tau, rho = theta[1], theta[2]
    gradient, hessian = at.gradient.copy(), at.hessian.copy()
    slope = tau * gradient[:, 1]
    gradient[:, 1] = slope
    hessian[:, 1, :] *= tau[:, None]
    hessian[:, :, 1] *= tau[:, None]
    hessian[:, 1, 1] += slope
    fixed = np.broadcast_to(~np.array(free), gradient.shape).copy()
    fixed[:, 1] |= tau == 0
    fixed[:, 2] |= ((rho == 0) & (gradient[:, 2] <= 0)) | ((rho == 1) & (gradient[:, 2] >= 0))
    gradient[fixed] = 0
    hessian[fixed[:, :, None] | fixed[:, None, :]] = 0
    n, which = np.nonzero(fixed)
    hessian[n, which, which] = -1
    value, vector = np.linalg.eigh(np.nan_to_num(hessian, posinf=1e300, neginf=-1e300))
    size = np.abs(value)
    size = np.maximum(size, 1e-12 * size.max(axis=1, keepdims=True))
    along = np.einsum("nab,na->nb", vector, gradient)
    step = np.einsum("nab,nb->an", vector, along / size)
    decrement = (along * along / size).sum(axis=1)
    return step, np.where((value < 0).all(axis=1), decrement, np.maximum(decrement, 1.0))


def _moved(theta: FloatArray, step: FloatArray) -> FloatArray:
    """Where a step leads: at most 1 + tau in mu, a factor of e in tau, three quarters of the way of rho to 1."""
    mu, tau, rho = theta
    reach = 1 + tau
    farthest = np.where(1 - rho < 1e-6, 1.0, rho + 0.75 * (1 - rho))
    return np.stack(
        [
            mu + np.clip(step[0], -reach, reach),
            tau * np.exp(np.clip(step[1], -1.0, 1.0)),
            np.clip(rho + step[2], 0.0, farthest),
        ]
    )  # fmt: skip
