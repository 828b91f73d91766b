"""Marginal likelihood of ordered categories with correlated normal random effects, with its derivatives.

The counts x_i1 ... x_iC of a study are taken in sequence: of N_i observations x_i1 are in the first category, of the
others x_i2 in the second, and so on; their product is the multinomial likelihood, constants included. Stage a has log
odds eta_a = mu_a + (L u)_a with u standard normal in d = C - 1 dimensions and covariance L L' of the log odds. With L
diagonal the integral over u is a product of one-dimensional ones (core.binomial); otherwise it is taken by
Gauss-Hermite nodes about the mode of each study, scaled by the curvature there (Pinheiro & Bates 1995).

One meta-analysis at a time: counts have shape (k, d), nodes (k, nodes, d). Parameters are in the order mu_1 ... mu_d,
then L row by row.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit

from metaan.core.binomial import Binomial, trapezoid
from metaan.core.binomial_fit import BinomialFit
from metaan.core.wls import FloatArray

__all__ = [
    "NormalFit",
    "Sequential",
    "evaluate",
    "gauss_hermite",
    "maximise",
    "mean_shares",
    "posterior_shares",
    "shares",
    "stage_means",
    "stage_posteriors",
    "stages",
]

_MODE_STEPS: Final = 80
_STEPS: Final = 120
_NODES: Final = (7, 11, 17, 25, 35)  # of each dimension: the next is tried until it changes nothing
_AGREE: Final = 1e-6  # of two log-likelihoods
_SMALL_DECREMENT: Final = 1e-14  # squared length of the last step in standard errors
_ROUGH: Final = 1e-6  # the same while the number of nodes is not settled
_CLOSE: Final = 1e-3
_SLACK: Final = 1e-5
_FLAT: Final = 1e-3  # curvature of a direction of which the data say nothing, as on the ridge of a singular Sigma
_LEVEL: Final = 1e-4  # slope there that is none
_RIDGE: Final = 1e-9  # squared length of the last step where there is such a direction
_CHUNK: Final = 200_000  # nodes in memory at a time
_LONGEST: Final = 1.0
_NEGLIGIBLE: Final = 1e-18
_PRIOR: Final = {1: 2001, 2: 401, 3: 81}  # most nodes of each dimension for means over studies
_FINE: Final = 0.7  # their distance at a standard deviation of 1: the error is about exp(-2 pi^2/0.7)
_REACH: Final = 8.5
_WIDEST: Final = 10.0


class Sequential(NamedTuple):
    """Counts of the stages of one meta-analysis."""

    y: FloatArray
    """In the category of the stage, (k, d)."""
    N: FloatArray
    """In it or a later one, (k, d)."""
    constant: float

    @classmethod
    def from_counts(cls, x: FloatArray) -> Sequential:
        """From counts of shape (k, C)."""
        y, N = stages(x)
        return cls(y, N, float(Binomial.from_counts(y, N).constant.sum()))


class Grid(NamedTuple):
    """Nodes (k, nodes, d) and the logarithms of their weights (k, nodes)."""

    u: FloatArray
    log_weight: FloatArray


class Value(NamedTuple):
    """Log-likelihood with gradient (p,) and Hessian (p, p)."""

    loglik: float
    gradient: FloatArray
    hessian: FloatArray


class NormalFit(NamedTuple):
    """Maximum-likelihood fit."""

    mu: FloatArray
    L: FloatArray
    loglik: float
    cov: FloatArray
    """Inverse of the observed information, (p, p), without the directions of which the data say nothing."""
    converged: bool
    iterations: int
    nodes: int
    """Of each dimension."""
    doubt: float
    """Change of the log-likelihood from the next smaller number of nodes to these."""


def stages(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Events and totals (k, d) of the stages of counts (k, C)."""
    later = x[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.asarray(x[:, :-1]), np.asarray(later[:, :-1])


@lru_cache(maxsize=16)
def _product_rule(nodes: int, d: int) -> tuple[FloatArray, FloatArray]:
    """Gauss-Hermite product rule without its negligible corners: z (nodes, d), log weight + z'z/2."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[z] * d, indexing="ij"), axis=-1).reshape(-1, d)
    log_w = np.stack(np.meshgrid(*[np.log(w)] * d, indexing="ij"), axis=-1).reshape(-1, d).sum(axis=1)
    keep = log_w > np.log(_NEGLIGIBLE)
    return grid[keep], (log_w + (grid**2).sum(axis=1) / 2)[keep]


def _mode(b: Sequential, mu: FloatArray, L: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mode of the integrand in u, (k, d), and a square root of the inverse curvature there, (k, d, d)."""
    k, d = b.y.shape
    u, eye = np.zeros((k, d)), np.eye(d)
    longest = 2 / np.maximum(np.abs(L).max(), 1e-3)
    curvature = np.broadcast_to(eye, (k, d, d))
    for _ in range(_MODE_STEPS):
        p = expit(mu + u @ L.T)
        curvature = eye + np.einsum("ac,ka,ad->kcd", L, b.N * p * (1 - p), L)
        step = np.linalg.solve(curvature, ((b.y - b.N * p) @ L - u)[:, :, None])[:, :, 0]
        size = np.sqrt((step**2).sum(axis=1, keepdims=True))
        u = u + step * np.minimum(1, longest / np.maximum(size, 1e-300))
        if size.max() < 1e-9:
            break
    return u, np.linalg.inv(np.linalg.cholesky(curvature)).swapaxes(1, 2)


def gauss_hermite(b: Sequential, mu: FloatArray, L: FloatArray, nodes: int) -> Grid:
    """Adaptive Gauss-Hermite nodes, `nodes` in each dimension."""
    z, log_w = _product_rule(nodes, b.y.shape[1])
    u, root = _mode(b, mu, L)
    log_scale = np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(axis=1)
    return Grid(u[:, None] + np.einsum("kab,qb->kqa", root, z), log_scale[:, None] + log_w)


def _posterior(b: Sequential, eta: FloatArray, at: Grid) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood of each study without constants, and posterior weights of the nodes (k, nodes)."""
    log_f = (b.y[:, None] * eta - b.N[:, None] * np.logaddexp(0, eta)).sum(axis=2)
    log_f += at.log_weight - (at.u**2).sum(axis=2) / 2
    top = log_f.max(axis=1)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1)
    return top + np.log(total) - b.y.shape[1] * np.log(2 * np.pi) / 2, weight / total[:, None]


def evaluate(b: Sequential, mu: FloatArray, L: FloatArray, at: Grid) -> Value:
    """Marginal log-likelihood with gradient and Hessian, as posterior moments of the score (Louis 1982).

    With s_a = y_a - N_a p_a and f_a = (1, u_1 ... u_a) the score of (mu_a, L_a1 ... L_aa) is s_a f_a and its derivative
    -N_a p_a (1 - p_a) f_a f_a'; the Hessian is E[derivative] + E[score score'] - E[score] E[score]' of each study.
    """
    d = b.y.shape[1]
    eta = mu + at.u @ L.T
    loglik, weight = _posterior(b, eta, at)
    p = expit(eta)
    s, noise = b.y[:, None] - b.N[:, None] * p, b.N[:, None] * p * (1 - p)
    ones = np.ones((*weight.shape, 1))
    feature = np.concatenate([ones, at.u], axis=2)
    where = _places(d)
    score = np.concatenate([s[:, :, a, None] * feature[:, :, : a + 2] for a in range(d)], axis=2)
    mean = np.einsum("kq,kqp->kp", weight, score)
    flat = (np.sqrt(weight)[:, :, None] * score).reshape(-1, score.shape[2])
    hessian = flat.T @ flat - mean.T @ mean
    start = 0
    for a in range(d):
        part = (np.sqrt(weight * noise[:, :, a])[:, :, None] * feature[:, :, : a + 2]).reshape(-1, a + 2)
        hessian[start : start + a + 2, start : start + a + 2] -= part.T @ part
        start += a + 2
    gradient = mean.sum(axis=0)
    return Value(float(loglik.sum()) + b.constant, gradient[where], hessian[np.ix_(where, where)])


@lru_cache(maxsize=8)
def _places(d: int) -> FloatArray:
    """Where (mu_1 ... mu_d, L row by row) stand among (mu_1, L_11, mu_2, L_21, L_22, ...)."""
    first = np.cumsum([0, *range(2, d + 1)])
    rest = [first[a] + 1 + c for a in range(d) for c in range(a + 1)]
    return np.concatenate([first, rest]).astype(np.intp)


def _unpacked(theta: FloatArray, d: int) -> tuple[FloatArray, FloatArray]:
    L = np.zeros((d, d))
    L[np.tril_indices(d)] = theta[d:]
    return theta[:d], L


def maximise(b: Sequential, mu: FloatArray, L: FloatArray) -> NormalFit:
    """Local maximum from a start, with as many nodes as it takes that more change nothing."""
    d = b.y.shape[1]
    theta = np.concatenate([mu, L[np.tril_indices(d)]])
    steps, doubt, i = 0, np.inf, 0
    while True:
        theta, at, _, used = _newton(b, theta, _NODES[i], _ROUGH)
        steps, i = steps + used, i + 1
        finer = _value(b, theta, _NODES[i])
        doubt = abs(finer.loglik - at.loglik)
        if doubt < _AGREE or i + 1 == len(_NODES):
            break
    theta, at, done, used = _newton(b, theta, _NODES[i], _SMALL_DECREMENT)
    steps += used
    mu, L = _unpacked(theta, d)
    inside = bool((np.sqrt((L**2).sum(axis=1)) < _WIDEST).all())
    curve, axes = np.linalg.eigh(-at.hessian)
    cov = (axes[:, curve > _FLAT] / curve[curve > _FLAT]) @ axes[:, curve > _FLAT].T
    return NormalFit(mu, L, at.loglik, cov, done and inside, steps, _NODES[i], doubt)


def _value(b: Sequential, theta: FloatArray, nodes: int) -> Value:
    """Log-likelihood with derivatives, some studies at a time where the nodes are many."""
    k, d = b.y.shape
    mu, L = _unpacked(theta, d)
    width = max(1, _CHUNK // len(_product_rule(nodes, d)[0]))
    parts = [Sequential(b.y[i : i + width], b.N[i : i + width], 0.0) for i in range(0, k, width)]
    values = [evaluate(part, mu, L, gauss_hermite(part, mu, L, nodes)) for part in parts]
    loglik, gradient, hessian = (sum(column) for column in zip(*values, strict=True))
    return Value(float(loglik) + b.constant, np.asarray(gradient), np.asarray(hessian))


def _newton(b: Sequential, theta: FloatArray, nodes: int, small: float) -> tuple[FloatArray, Value, bool, int]:
    """Newton's method, saddles turned into slopes; stops where a standard deviation leaves all bounds.

    The derivatives are those of the integral, not of the rule: close to the maximum they are followed although the
    log-likelihood by the rule may fall a little.
    """
    d = b.y.shape[1]
    at, damping = _value(b, theta, nodes), 0.0
    for step in range(1, _STEPS + 1):
        curve, axes = np.linalg.eigh(-at.hessian)
        along = axes.T @ at.gradient
        scale = float(np.abs(curve).max())
        flat = np.abs(curve) < _FLAT
        newton = along / (np.maximum(np.abs(curve), _FLAT) + damping)
        decrement = float((along * newton)[~flat].sum())
        enough = max(small, _RIDGE) if flat.any() else small
        still = decrement < enough * (1 + abs(at.loglik)) and damping < 1e-3 * scale
        if still and np.abs(along[flat]).max(initial=0.0) < _LEVEL:
            return theta, at, True, step
        move = axes @ newton
        trial_at = theta + move * min(1.0, _LONGEST / float(np.abs(move).max()))
        trial = _value(b, trial_at, nodes)
        slack = _SLACK if decrement < _CLOSE else 1e-12 * abs(at.loglik)
        if trial.loglik >= at.loglik - slack:
            theta, at = trial_at, trial
            damping = damping / 10 if damping > 1e-3 * scale else 0.0
        else:
            damping = 4 * damping + 0.01 * scale
        if np.abs(theta[d:]).max() > 2 * _WIDEST:
            break
    return theta, at, False, step


def shares(eta: FloatArray) -> FloatArray:
    """Shares (..., C) of log odds of the stages (..., d): they sum to 1."""
    p = expit(eta)
    left = np.cumprod(expit(-eta), axis=-1)
    before = np.concatenate([np.ones((*eta.shape[:-1], 1)), left], axis=-1)
    return np.asarray(before * np.concatenate([p, np.ones((*eta.shape[:-1], 1))], axis=-1))


def slopes(eta: FloatArray) -> FloatArray:
    """Derivatives of the shares in the log odds, (..., C, d)."""
    d = eta.shape[-1]
    c, a = np.arange(d + 1)[:, None], np.arange(d)
    p = expit(eta)[..., None, :]
    return np.asarray(shares(eta)[..., None] * ((c == a) - p * (a <= c)))


def mean_shares(mu: FloatArray, L: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means of the shares over studies, (C,), and their derivatives in the parameters, (C, p)."""
    d = mu.size
    widest = float(np.sqrt((L**2).sum(axis=1)).max())
    step = min(_FINE, _FINE / max(widest, 1e-3))
    u1 = np.linspace(-_REACH, _REACH, min(int(2 * _REACH / step) + 2, _PRIOR[d]))
    w1 = np.exp(-(u1**2) / 2)
    u = np.stack(np.meshgrid(*[u1] * d, indexing="ij"), axis=-1).reshape(-1, d)
    w = np.stack(np.meshgrid(*[w1 / w1.sum()] * d, indexing="ij"), axis=-1).reshape(-1, d).prod(axis=1)
    keep = w > _NEGLIGIBLE
    u, w = u[keep], w[keep]
    eta = mu + u @ L.T
    slope = slopes(eta)
    by_mu = np.einsum("q,qca->ca", w, slope)
    by_L = np.einsum("q,qca,qb->cab", w, slope, u)
    rows, columns = np.tril_indices(d)
    return np.asarray(w @ shares(eta)), np.concatenate([by_mu, by_L[:, rows, columns]], axis=1)


def posterior_shares(b: Sequential, mu: FloatArray, L: FloatArray, nodes: int) -> FloatArray:
    """Posterior means of each study's shares, parameters taken as known, (k, C)."""
    at = gauss_hermite(b, mu, L, nodes)
    eta = mu + at.u @ L.T
    return np.asarray(np.einsum("kq,kqc->kc", _posterior(b, eta, at)[1], shares(eta)))


def stage_means(mu: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean probability of each independent stage, (d,), and its derivatives in mu and tau."""
    u = np.linspace(-_REACH, _REACH, _PRIOR[1])[:, None]
    w = np.exp(-(u**2) / 2)
    w = w / w.sum()
    p = expit(mu + tau * u)
    slope = w * p * (1 - p)
    return (w * p).sum(axis=0), slope.sum(axis=0), (u * slope).sum(axis=0)


def stage_posteriors(b: Sequential, found: BinomialFit) -> FloatArray:
    """Posterior mean of each study's probability in independent stages, (k, d); the mean where a study says nothing."""
    family = Binomial.from_counts(b.y, b.N)
    at = trapezoid(family, found.mu, found.tau, max(int(found.nodes.max()), 65))
    eta = found.mu + found.tau * at.u
    log_f = b.y[:, None] * eta - b.N[:, None] * np.logaddexp(0, eta) - at.u**2 / 2 + at.log_weight
    weight = np.exp(log_f - log_f.max(axis=1, keepdims=True))
    return np.asarray((weight * expit(eta)).sum(axis=1) / weight.sum(axis=1))
