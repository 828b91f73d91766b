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
_STARTS: Final = np.array([0, 1, 0.1, 0.35, 0.65, 0.9])
"""Where rho starts between its bounds; at a bound it first stays there."""
_OFF_ZERO: Final = 0.05  # typical sampling variances, added to where tau2 starts
_CHUNK: Final = 40_000  # studies times climbs at a time


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
    c2: FloatArray
    low: FloatArray
    """Bounds of rho, (n,)."""
    high: FloatArray
    centre: float
    unit: float

    def take(self, index: npt.NDArray[np.intp]) -> Selected:
        """The choices of `index`."""
        return self._replace(u=self.u[:, index], c2=self.c2[:, index], low=self.low[index], high=self.high[index])


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
    return Selected(y, s2, x, u, h * (u + h), low, high, centre, unit)


def log_likelihood(data: Selected, theta: FloatArray) -> FloatArray:
    """Log-likelihood at theta, shape (p + 2, n), in units of the data."""
    tau2, rho = theta[-2], theta[-1]
    r = data.y - data.x @ theta[:-2]
    a = data.s2 / (1 - data.c2 * rho**2)
    v = a + tau2
    z = (data.u + rho * np.sqrt(a) * r / v) * np.sqrt(v / (tau2 + a * (1 - rho**2)))
    parts = log_ndtr(z) - log_ndtr(data.u) - _LOG_ROOT_2PI - np.log(v) / 2 - r * r / (2 * v)
    return np.asarray(parts.sum(axis=0))


class _Curve(NamedTuple):
    """A function of (tau2, rho) and its derivatives: arrays of shape (k, n)."""

    f: FloatArray
    t: FloatArray
    r: FloatArray
    tt: FloatArray
    tr: FloatArray
    rr: FloatArray

    def through(self, f: FloatArray, first: FloatArray, second: FloatArray) -> _Curve:
        """A function of it, given that function's value and derivatives here."""
        return _Curve(
            f, first * self.t, first * self.r, first * self.tt + second * self.t * self.t,
            first * self.tr + second * self.t * self.r, first * self.rr + second * self.r * self.r,
        )  # fmt: skip

    def times(self, b: FloatArray, first: FloatArray, second: FloatArray) -> _Curve:
        """Its product with a function of rho, given that function's value and derivatives."""
        return _Curve(
            b * self.f, b * self.t, first * self.f + b * self.r, b * self.tt, first * self.t + b * self.tr,
            second * self.f + 2 * first * self.r + b * self.rr,
        )  # fmt: skip


def _parts(data: Selected, theta: FloatArray) -> tuple[FloatArray, _Curve, _Curve, _Curve]:
    """Residuals r, e = 1/v, q = b e, g = (1 - b^2 e)^(-1/2), with b = rho sigma: the likelihood has w = (u + r q) g."""
    tau2, rho = theta[-2], theta[-1]
    kept = 1 - data.c2 * rho**2
    a, s = data.s2 / kept, np.sqrt(data.s2 / kept)
    slope = data.c2 * rho / kept
    b, b1, b2 = rho * s, s / kept, 3 * s * slope / kept
    a1, a2 = 2 * a * slope, 2 * a * data.c2 / kept + 8 * a * slope**2
    one = np.ones_like(a)
    v = _Curve(a + tau2, one, a1, 0 * one, 0 * one, a2)
    e = v.through(1 / v.f, -1 / v.f**2, 2 / v.f**3)
    p = e.times(b * b, 2 * b * b1, 2 * (b1 * b1 + b * b2))
    root = 1 / np.sqrt(1 - p.f)
    return data.y - data.x @ theta[:-2], e, e.times(b, b1, b2), p.through(root, root**3 / 2, 0.75 * root**5)


def _terms(data: Selected, theta: FloatArray) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """First and second derivatives of the studies' log-likelihoods in (mean, tau2, rho): m t r, mm mt mr tt tr rr."""
    r, e, q, g = _parts(data, theta)
    shift = data.u + r * q.f
    w_m, w_t, w_r = -q.f * g.f, r * q.t * g.f + shift * g.t, r * q.r * g.f + shift * g.r
    w_mt, w_mr = -(q.t * g.f + q.f * g.t), -(q.r * g.f + q.f * g.r)
    w_tt = r * (q.tt * g.f + 2 * q.t * g.t) + shift * g.tt
    w_tr = r * (q.tr * g.f + q.t * g.r + q.r * g.t) + shift * g.tr
    w_rr = r * (q.rr * g.f + 2 * q.r * g.r) + shift * g.rr
    w = shift * g.f
    h = _mills(w)
    h1 = -h * (w + h)
    # of log N(y; m, v) = (log e - r^2 e)/2
    r2 = r * r
    n = e.through(np.log(e.f), 1 / e.f, -1 / e.f**2)
    first = (h * w_m + r * e.f, h * w_t + (n.t - r2 * e.t) / 2, h * w_r + (n.r - r2 * e.r) / 2)
    second = (
        h1 * w_m * w_m - e.f, h * w_mt + h1 * w_m * w_t + r * e.t, h * w_mr + h1 * w_m * w_r + r * e.r,
        h * w_tt + h1 * w_t * w_t + (n.tt - r2 * e.tt) / 2, h * w_tr + h1 * w_t * w_r + (n.tr - r2 * e.tr) / 2,
        h * w_rr + h1 * w_r * w_r + (n.rr - r2 * e.rr) / 2,
    )  # fmt: skip
    return first, second


def derivatives(data: Selected, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (q, n) and Hessian (n, q, q) of the log-likelihood, q = p + 2."""
    (m, t, r), (mm, mt, mr, tt, tr, rr) = _terms(data, theta)
    x, p = data.x, data.x.shape[1]
    hessian = np.empty((theta.shape[1], p + 2, p + 2))
    hessian[:, :p, :p] = np.einsum("kp,kn,kq->npq", x, mm, x)
    for place, cross in ((p, mt), (p + 1, mr)):
        hessian[:, :p, place] = hessian[:, place, :p] = (x.T @ cross).T
    hessian[:, p, p], hessian[:, p + 1, p + 1] = tt.sum(axis=0), rr.sum(axis=0)
    hessian[:, p, p + 1] = hessian[:, p + 1, p] = tr.sum(axis=0)
    return np.concatenate([x.T @ m, t.sum(axis=0)[None], r.sum(axis=0)[None]]), hessian


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
    width = max(1, _CHUNK // (data.y.shape[0] * len(_STARTS)))
    parts = [_fit(data.take(np.arange(i, min(i + width, n))), tau2) for i in range(0, n, width)]
    return Copas(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(data: Selected, tau2: float) -> Copas:
    n = data.u.shape[1]
    start = np.zeros((data.x.shape[1] + 2, len(_STARTS) * n))
    start[-2] = tau2 / data.unit**2 + _OFF_ZERO
    start[-1] = (data.low + np.multiply.outer(_STARTS, data.high - data.low)).ravel()
    start[:, : 2 * n] = _climb(data.take(np.tile(np.arange(n), 2)), start[:, : 2 * n], edge=True)[0]
    theta, height, done = _climb(data.take(np.tile(np.arange(n), len(_STARTS))), start)
    best = height.reshape(-1, n).argmax(axis=0) * n + np.arange(n)
    return _result(data, theta[:, best], height[best], done[best])


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
