"""Maximum likelihood of the location-scale model: log tau2_i = z_i'alpha (Viechtbauer & López-López 2022).

With w = 1/(v + tau2_i), P the residual projection of core.linear and D_a = diag(tau2_i z_ia), the (restricted)
log-likelihood has the score -[tr(P D_a) - y'P D_a P y]/2 (full: W for P in the trace) and, through the orthonormal
columns q of the weighted design, a Hessian of O(k p^2) terms: P = W - W^1/2 q q' W^1/2. Newton's method climbs from
several starts at once, in the basis in which the scale design is orthonormal, and the highest maximum wins.

Arrays lead with the starts: alpha is (n, q), all that belongs to studies (n, k).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.ascent import newton_step
from metaan.core.linear import ESTIMATORS, Design, Fit, at, log_likelihood
from metaan.core.wls import FloatArray

__all__ = ["LocationScale", "fit_location_scale", "scale_terms", "score_statistic"]

_STEPS: Final = 200
_LONGEST: Final = 2.0  # change of a log tau2 in one step
_DONE: Final = 1e-12  # what a step promises, after which one more is taken
_LEVELS: Final = np.log([0.03, 0.3, 1.0, 3.0])
_TILT: Final = 1.0  # root mean square of log tau2
_STEEP: Final = 5.0
_SAME: Final = 1e-3
_NOTHING: Final = -15.0  # log tau2/v below which tau2 may change at any rate


class LocationScale(NamedTuple):
    """The highest maximum."""

    alpha: FloatArray
    """(q,)"""
    cov: FloatArray
    """Of alpha, from the observed information; NaN where it is not positive definite."""
    tau2: FloatArray
    """(k,)"""
    fit: Fit
    """Weighted least squares at tau2, of one data set."""
    loglik: float
    tau2_common: float
    """One for all studies."""
    loglik_common: float
    maxima: int
    iterations: int
    converged: bool


class _At(NamedTuple):
    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray


def scale_terms(data: Design, z: FloatArray, alpha: FloatArray, *, restricted: bool) -> _At:
    """Log-likelihood with gradient and Hessian in alpha.

    Parameters
    ----------
    data : Design
        One data set: y and v of shape (k,), x of shape (k, p).
    z : array of shape (k, q)
    alpha : array of shape (n, q)
    restricted : bool
    """
    tau2 = np.exp(alpha @ z.T)
    wide = Design(data.y[None], data.v[None] + tau2, data.x[None])  # which have the variances that differ
    fit = at(wide, np.zeros(1))
    loglik = log_likelihood(wide, np.zeros(1), restricted=restricted)
    w, q = fit.w, fit.q
    leverage = (q * q).sum(axis=-1) if restricted else np.zeros_like(w)
    share = w * tau2
    fitted = fit.residual * fit.residual * share  # tau2 (Py)^2
    first = fitted - share * (1 - leverage)
    second = share * share * (1 - 2 * leverage) / 2 - share * (1 - leverage) / 2 + fitted / 2 - fitted * share
    gradient = first @ z / 2
    hessian = np.matmul(z.T * second[:, None], z)
    moved = np.matmul(np.swapaxes(q, -1, -2), (fit.residual * share)[..., None] * z)  # (n, p, q)
    hessian += np.matmul(np.swapaxes(moved, -1, -2), moved)
    if restricted:
        inner = np.einsum("nki,nk,ka,nkj->naij", q, share, z, q, optimize=True)
        hessian += np.einsum("naij,nbij->nab", inner, inner) / 2
    return _At(loglik, gradient, hessian)


def fit_location_scale(
    y: FloatArray, v: FloatArray, x: FloatArray, z: FloatArray, *, restricted: bool
) -> LocationScale:
    """Fit by maximum or restricted maximum likelihood.

    Parameters
    ----------
    y, v : array of shape (k,)
    x : array of shape (k, p)
        Design of the location.
    z : array of shape (k, q)
        Design of log tau2.
    restricted : bool
    """
    data = Design(y, v, x)
    method = "REML" if restricted else "ML"
    common = max(0.0, float(ESTIMATORS[method](Design(y[None], v[None], x[None]))[0]))
    columns, r = np.linalg.qr(z)
    gamma, found, done, steps = _climb(data, columns, _starts(data, columns, common), restricted)
    height = np.where(np.isfinite(found.loglik), found.loglik, -np.inf)
    best = int(height.argmax())
    back = np.asarray(np.linalg.inv(r))
    alpha = back @ gamma[best]
    tau2 = np.exp(columns @ gamma[best])
    return LocationScale(
        alpha=alpha, cov=back @ _inverse(-found.hessian[best]) @ back.T, tau2=tau2,
        fit=at(Design(y, v + tau2, x), 0.0), loglik=float(height[best]), tau2_common=common,
        loglik_common=float(log_likelihood(data, common, restricted=restricted)),
        maxima=_different(gamma[done], height[done]), iterations=steps, converged=bool(done[best]),
    )  # fmt: skip


def score_statistic(data: Design, z: FloatArray, tau2: float, *, restricted: bool) -> float:
    """Score test that nothing but a constant moves log tau2, given the tau2 > 0 common to all studies.

    The score at tau2 against its expected information, tr(P D_a P D_b)/2 (full: W for P).
    """
    columns = np.linalg.qr(z)[0]
    level = np.linalg.lstsq(columns, np.full(z.shape[0], np.log(tau2)), rcond=None)[0]
    gradient = scale_terms(data, columns, level[None], restricted=restricted).gradient[0]
    fit = at(data, tau2)
    share = fit.w * tau2
    leverage = (fit.q * fit.q).sum(axis=-1) if restricted else np.zeros_like(share)
    information = columns.T @ ((share * share * (1 - 2 * leverage))[:, None] * columns)
    if restricted:
        inner = np.einsum("ki,k,ka,kj->aij", fit.q, share, columns, fit.q)
        information += np.einsum("aij,bij->ab", inner, inner)
    return float(gradient @ np.linalg.solve(information / 2, gradient))


def _starts(data: Design, z: FloatArray, common: float) -> FloatArray:
    """Even levels of tau2, one of them tilted along each column, and a regression of log squared residuals."""
    typical = data.y.size / float((1 / data.v).sum())
    flat = np.linalg.lstsq(z, np.ones(data.y.size), rcond=None)[0]
    level = np.log(max(common, 0.05 * typical))
    residual = at(data, common).residual ** 2 * (data.v + common)
    spread = np.linalg.lstsq(z, np.log(np.maximum(residual - data.v, 0.1 * typical)), rcond=None)[0]
    own = np.eye(z.shape[1]) * np.sqrt(data.y.size) if z.shape[1] > 1 else np.empty((0, 1))
    steep = _STEEP * np.concatenate([own, -own])
    steep -= (steep @ z.T).max(axis=1, initial=-np.inf)[:, None] * flat  # heterogeneity at one end of a moderator alone
    tilt = np.concatenate([_TILT * own, -_TILT * own, steep])
    return np.concatenate([(_LEVELS[:, None] + level) * flat, level * flat + tilt, spread[None]])


def _climb(
    data: Design, z: FloatArray, start: FloatArray, restricted: bool
) -> tuple[FloatArray, _At, npt.NDArray[np.bool_], int]:
    """Newton's method in every row: eigenvalues of the wrong sign are turned, a step too far is cut to a quarter."""
    low = np.log(data.v)
    x, now = start.copy(), _value(data, z, start, restricted)
    radius, done, steps = np.ones(len(x)), ~np.isfinite(now.loglik), 0
    while steps < _STEPS and not done.all():
        steps += 1
        row = np.flatnonzero(~done)
        step, promise = newton_step(now.gradient[row], now.hessian[row])
        at_z, move = x[row] @ z.T, step @ z.T
        matters = np.maximum(at_z, at_z + move) > low + _NOTHING
        cut = np.minimum(radius[row], _LONGEST / np.maximum((np.abs(move) * matters).max(axis=1), 1e-300))
        new = x[row] + cut[:, None] * step
        then = _value(data, z, new, restricted)
        up = then.loglik >= now.loglik[row] - 1e-12 * (1 + np.abs(now.loglik[row]))
        done[row] = (up & (promise < _DONE)) | (radius[row] < 1e-12)
        radius[row] = np.where(up, np.minimum(1.0, 4 * radius[row]), radius[row] / 4)
        x[row[up]] = new[up]
        for old, part in zip(now, then, strict=True):
            old[row[up]] = part[up]
    return x, now, done & np.isfinite(now.loglik), steps


def _value(data: Design, z: FloatArray, gamma: FloatArray, restricted: bool) -> _At:
    with np.errstate(all="ignore"):
        made = scale_terms(data, z, gamma, restricted=restricted)
    good = np.isfinite(made.loglik) & np.isfinite(made.hessian).all(axis=(1, 2))
    return _At(np.where(good, made.loglik, -np.inf), made.gradient, made.hessian)


def _inverse(information: FloatArray) -> FloatArray:
    size = np.linalg.eigvalsh(information)
    if not size[0] > 1e-10 * max(float(size[-1]), 1.0):
        return np.full_like(information, np.nan)
    return np.asarray(np.linalg.inv(information))


def _different(ends: FloatArray, height: FloatArray) -> int:
    """Number of different maxima; ends along which tau2 falls to 0 differ in nothing but the height."""
    kept: list[tuple[FloatArray, float]] = []
    for end, top in zip(ends, height, strict=True):
        if all(np.abs(end - other).max() > _SAME and abs(top - level) > _SAME for other, level in kept):
            kept.append((end, float(top)))
    return len(kept)
