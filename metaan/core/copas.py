"""The selection model of Copas & Shi for many choices of its two fixed parameters at once.

A study with standard error s is published if u + d > 0 with u = gamma0 + gamma1/s and standard normal d, whose
correlation with the study's sampling error is rho. Selection narrows the sampling variance that is seen: before it was
sigma2 = s2/(1 - c2 rho2), c2 = h (u + h), with h the inverse Mills ratio of u. The model stands in units of the data
(`Selected.unit`), and its parameters at a point are theta = (coefficients of the mean, tau2, rho), shape (p + 2, n).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from metaan.core.jets import PAIRS, Jet, affine, apply, divide, plus, times, variable
from metaan.core.wls import FloatArray

__all__ = ["RHO_BOUND", "Copas", "Selected", "fit", "log_likelihood", "selected"]

RHO_BOUND: Final = 0.9999
"""Largest absolute correlation that is tried."""
_STEPS: Final = 200
_HALVINGS: Final = 40
_TOLERANCE: Final = 1e-11  # of the likelihood that a step may still gain
_CLOSE: Final = 1e-7  # of the same, where rounding ends a climb
_FLAT: Final = 1e-9  # curvature of a parameter that the data do not tell
_ZERO: Final = 1e-10  # typical sampling variances
_LOG_ROOT_2PI: Final = float(np.log(2 * np.pi) / 2)
_HALVES: Final = ((0.02, 0.1, 0.2, 0.3, 0.42), (0.58, 0.7, 0.8, 0.9, 0.98))
"""Values of rho that are tried between its bounds before the climbs, one of which begins in each half."""
_SPREADS: Final = ((0.0, 0.02), (0.5, 0.05), (1.5, 0.3))
"""Values of tau2 that are tried: a multiple of where it starts, and typical sampling variances."""
_CHUNK: Final = 10_000  # studies times choices at a time


class Selected(NamedTuple):
    """Data and selection: effects as deviations from `centre`, in units of `unit`."""

    y: FloatArray
    """(k, 1)"""
    s2: FloatArray
    """Sampling variances, (k, 1)."""
    x: FloatArray
    """Design of the mean, (k, p): 1, and the standard error where residual bias is tested."""
    u: FloatArray
    """(k, n)"""
    h: FloatArray
    c2: FloatArray
    low: FloatArray
    """Bounds of rho, (n,)."""
    high: FloatArray
    centre: float
    unit: float

    def take(self, index: npt.NDArray[np.intp]) -> Selected:
        """The choices of `index`."""
        u, h, c2 = (part[:, index] for part in (self.u, self.h, self.c2))
        return self._replace(u=u, h=h, c2=c2, low=self.low[index], high=self.high[index])


class Copas(NamedTuple):
    """Fits, one for each choice of the selection: arrays of shape (n,), in the units of the effects."""

    mu: FloatArray
    se: FloatArray
    """From the observed information of all parameters that are not at a bound; NaN where that is none."""
    tau2: FloatArray
    rho: FloatArray
    loglik: FloatArray
    converged: npt.NDArray[np.bool_]


def _mills(v: FloatArray) -> FloatArray:
    """phi(v)/Phi(v), without overflow."""
    return np.asarray(np.exp(-v * v / 2 - _LOG_ROOT_2PI - log_ndtr(v)))


def selected(
    yi: FloatArray, vi: FloatArray, u: FloatArray, *, residual: bool = False, sign: FloatArray | None = None
) -> Selected:
    """Data of the model, shape (k,), the selection u, (k, n), and rho of either sign (0) or of one (1, -1), (n,)."""
    centre, unit = float(np.average(yi, weights=1 / vi)), float(np.sqrt(len(vi) / (1 / vi).sum()))
    y, s2 = ((yi - centre) / unit)[:, None], (vi / unit**2)[:, None]
    one = np.ones_like(y)
    x = np.concatenate([one, np.sqrt(s2)], axis=1) if residual else one
    h = _mills(u)
    either = np.zeros(u.shape[1]) if sign is None else sign
    low, high = (np.where(end * either < 0, 0.0, end * RHO_BOUND) for end in (-1, 1))
    return Selected(y, s2, x, u, h, h * (u + h), low, high, centre, unit)


def log_likelihood(data: Selected, theta: FloatArray) -> FloatArray:
    """Log-likelihood at theta, shape (p + 2, n), in units of the data."""
    tau2, rho = theta[-2], theta[-1]
    r = data.y - data.x @ theta[:-2]
    a = data.s2 / (1 - data.c2 * rho**2)
    v = a + tau2
    z = (data.u + rho * np.sqrt(a) * r / v) * np.sqrt(v / (tau2 + a * (1 - rho**2)))
    parts = log_ndtr(z) - log_ndtr(data.u) - _LOG_ROOT_2PI - np.log(v) / 2 - r * r / (2 * v)
    return np.asarray(parts.sum(axis=0))


def _terms(data: Selected, theta: FloatArray) -> Jet:
    """The studies' log-likelihoods as functions of (mean, tau2, rho)."""
    shape = data.u.shape
    m = variable(data.x @ theta[:-2], 0)
    tau2 = variable(np.broadcast_to(theta[-2], shape), 1)
    rho = variable(np.broadcast_to(theta[-1], shape), 2)
    square = times(rho, rho)
    kept = 1 - data.c2 * square.value
    a = apply(square, data.s2 / kept, data.s2 * data.c2 / kept**2, 2 * data.s2 * data.c2**2 / kept**3)
    v = plus(a, tau2)
    w = plus(v, times(square, a), -1.0)
    r = affine(m, -1.0, data.y)
    shift = divide(times(times(rho, _root(a)), r), v)
    z = times(affine(shift, 1.0, data.u), _root(divide(v, w)))
    h = _mills(z.value)
    chosen = apply(z, log_ndtr(z.value), h, -h * (z.value + h))
    spread = apply(v, np.log(v.value), 1 / v.value, -1 / v.value**2)
    normal = plus(spread, divide(times(r, r), v))
    return plus(chosen, normal, -0.5)


def _root(a: Jet) -> Jet:
    root = np.sqrt(a.value)
    return apply(a, root, 0.5 / root, -0.25 / (root * a.value))


def derivatives(data: Selected, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (q, n) and Hessian (n, q, q) of the log-likelihood, q = p + 2."""
    jet, x = _terms(data, theta), data.x
    p, n = x.shape[1], theta.shape[1]
    full = np.zeros((3, 3, *jet.value.shape))
    for pair, (i, j) in enumerate(PAIRS):
        full[i, j] = full[j, i] = jet.hessian[pair]
    gradient = np.concatenate([x.T @ jet.gradient[0], jet.gradient[1:].sum(axis=1)])
    hessian = np.empty((n, p + 2, p + 2))
    hessian[:, :p, :p] = np.einsum("kp,kn,kq->npq", x, full[0, 0], x)
    cross = np.einsum("kp,jkn->npj", x, full[0, 1:])
    hessian[:, :p, p:], hessian[:, p:, :p] = cross, np.swapaxes(cross, 1, 2)
    hessian[:, p:, p:] = np.moveaxis(full[1:, 1:].sum(axis=2), -1, 0)
    return gradient, hessian


def _held(data: Selected, theta: FloatArray, gradient: FloatArray, edge: bool) -> npt.NDArray[np.bool_]:
    """Parameters at a bound beyond which the likelihood would grow; rho at its bound in any case on the `edge`."""
    held = np.zeros(theta.shape, dtype=np.bool_)
    held[-2] = (theta[-2] <= 0) & (gradient[-2] <= 0)
    held[-1] = (theta[-1] <= data.low) & (edge | (gradient[-1] <= 0))
    held[-1] |= (theta[-1] >= data.high) & (edge | (gradient[-1] >= 0))
    return held


def _step(theta: FloatArray, gradient: FloatArray, hessian: FloatArray, free: npt.NDArray[np.bool_]) -> FloatArray:
    """Newton step uphill in the `free` parameters, (n, q), curvatures of the wrong sign turned, of limited length."""
    block = np.where(free[:, :, None] & free[:, None, :], -hessian, np.eye(theta.shape[0]))
    values, vectors = np.linalg.eigh(block)
    size = np.maximum(np.abs(values), 1e-8 * np.abs(values).max(axis=1, keepdims=True))
    g = np.where(free, gradient.T, 0.0)
    step = np.einsum("nij,nj->ni", vectors, np.einsum("nji,nj->ni", vectors, g) / size).T
    limit = np.full(theta.shape, 3.0)
    limit[-2], limit[-1] = 1 + theta[-2], 0.5
    return np.asarray(step / np.maximum((np.abs(step) / limit).max(axis=0), 1.0))


def _inside(data: Selected, theta: FloatArray) -> FloatArray:
    theta[-2] = np.where(theta[-2] > _ZERO, theta[-2], 0.0)
    theta[-1] = np.clip(theta[-1], data.low, data.high)
    return theta


def _climb(
    data: Selected, theta: FloatArray, *, edge: bool = False
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Projected Newton with step halving from theta: end points, heights, and whether they are maxima."""
    theta = theta.copy()
    height = log_likelihood(data, theta)
    done = np.zeros(theta.shape[1], dtype=np.bool_)
    active = np.arange(theta.shape[1])
    for _ in range(_STEPS):
        if active.size == 0:
            break
        part, now = data.take(active), theta[:, active]
        gradient, hessian = derivatives(part, now)
        free = ~_held(part, now, gradient, edge)
        step = _step(now, gradient, hessian, free.T)
        gain = np.where(free, gradient * step, 0.0).sum(axis=0)
        new, top = _along(part, now, step, height[active])
        settled = (gain <= _TOLERANCE) | (top <= height[active])
        done[active] = gain <= _CLOSE
        theta[:, active], height[active] = new, top
        active = active[~settled]
    return theta, height, done


def _along(data: Selected, theta: FloatArray, step: FloatArray, height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The first point on the halved steps that is not lower; the start where there is none."""
    new, top = theta.copy(), height.copy()
    waiting, t = np.arange(theta.shape[1]), 1.0
    for _ in range(_HALVINGS):
        part = data.take(waiting)
        tried = _inside(part, theta[:, waiting] + t * step[:, waiting])
        value = log_likelihood(part, tried)
        better = value >= height[waiting]
        new[:, waiting[better]], top[waiting[better]] = tried[:, better], value[better]
        waiting, t = waiting[~better], t / 2
        if waiting.size == 0:
            break
    return new, top


def fit(data: Selected, tau2: float) -> Copas:
    """Maximum likelihood for each choice of the selection, the highest of several climbs.

    Parameters
    ----------
    data : Selected
    tau2 : float
        Where the climbs start, in the units of the effects squared.

    Returns
    -------
    Copas
    """
    n = data.u.shape[1]
    width = max(1, _CHUNK // data.y.shape[0])
    parts = [_fit(data.take(np.arange(i, min(i + width, n))), tau2) for i in range(0, n, width)]
    return Copas(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(data: Selected, tau2: float) -> Copas:
    """Climbs from the best guess in each half of the range of rho, and along both of its bounds."""
    n, spreads = data.u.shape[1], [times * tau2 / data.unit**2 + more for times, more in _SPREADS]
    span = data.high - data.low
    inner = [_guess(data, [data.low + part * span for part in half], spreads) for half in _HALVES]
    outer = [_guess(data, [bound], [spread]) for bound in (data.low, data.high) for spread in spreads]
    ends = [
        _climb(data.take(np.tile(np.arange(n), len(begin))), np.concatenate(begin, axis=1), edge=edge)
        for begin, edge in ((inner, False), (outer, True))
    ]
    theta, height, done = (np.concatenate(parts, axis=-1) for parts in zip(*ends, strict=True))
    best = height.reshape(-1, n).argmax(axis=0) * n + np.arange(n)
    # a bound may be left once the other parameters are right; where it holds, this ends at once
    return _result(data, *_climb(data, theta[:, best]))


def _guess(data: Selected, rhos: list[FloatArray], spreads: list[float]) -> FloatArray:
    """The best of some values of rho and tau2, with the mean that moments give: selection shifts effects by rho sigma h."""
    best, top = np.zeros((data.x.shape[1] + 2, data.u.shape[1])), np.full(data.u.shape[1], -np.inf)
    for rho in rhos:
        a = data.s2 / (1 - data.c2 * rho**2)
        for tau2 in spreads:
            w = 1 / (a + tau2)
            z = data.y - rho * np.sqrt(a) * data.h
            left = np.einsum("kp,kn,kq->npq", data.x, w, data.x)
            mean = np.linalg.solve(left, np.einsum("kp,kn->np", data.x, w * z)[..., None])[..., 0].T
            theta = np.concatenate([mean, np.full((1, len(rho)), tau2), rho[None]])
            value = log_likelihood(data, theta)
            better = value > top
            best[:, better], top[better] = theta[:, better], value[better]
    return best


def _result(data: Selected, theta: FloatArray, height: FloatArray, done: npt.NDArray[np.bool_]) -> Copas:
    gradient, hessian = derivatives(data, theta)
    free = ~_held(data, theta, gradient, False).T
    flat = np.abs(np.diagonal(hessian, axis1=1, axis2=2)) <= _FLAT  # as rho is without selection
    free &= ~flat | (np.arange(theta.shape[0]) < data.x.shape[1])
    block = np.where(free[:, :, None] & free[:, None, :], -hessian, np.eye(theta.shape[0]))
    sound = np.linalg.eigvalsh(block)[:, 0] > 0
    variance = np.full(theta.shape[1], np.nan)
    variance[sound] = np.linalg.inv(block[sound])[:, 0, 0]
    k = data.y.shape[0]
    return Copas(
        mu=data.centre + data.unit * theta[0], se=data.unit * np.sqrt(variance), tau2=data.unit**2 * theta[-2],
        rho=np.where(flat[:, -1], np.nan, theta[-1]), loglik=height - k * np.log(data.unit), converged=done,
    )  # fmt: skip
