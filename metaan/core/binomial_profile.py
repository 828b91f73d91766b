"""Profile-likelihood limits of the binomial-normal model: for the pooled log odds and for tau."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import chdtri

from metaan.core.binomial import Family, common_log_likelihood, evaluate, gauss_hermite
from metaan.core.binomial_fit import BinomialFit, follow, maximise_mu
from metaan.core.quadrature import reach, spread_over
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["mu_limits", "profile_of_mu", "tau_limits"]

_SCAN: Final = np.array([0.0, 0.1, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0])
_STEPS: Final = 40
_FIRST_NODES: Final = 33
_MOST_NODES: Final = 4097
_AGREE: Final = 1e-5
_WIDEST: Final = 200.0
"""tau beyond which a profile that has not fallen far enough is taken never to fall."""


class _Profile(NamedTuple):
    loglik: FloatArray
    tau: FloatArray


def _maximise_tau(b: Family, mu: FloatArray, scale: FloatArray) -> _Profile:
    """Maximum over tau >= 0 for fixed mu: the best of a scan, then Newton in tau kept between its neighbours."""
    n, m = mu.shape[0], _SCAN.size
    # far from the estimate the best tau is of the order of the distance: tau^2 + (distance)^2 is the spread about mu
    y, weight = b.logit, b.N > 0
    about = np.sqrt((weight * (y - mu) ** 2).sum(axis=0) / weight.sum(axis=0))
    grid = np.maximum(about, scale) * _SCAN[:, None]
    wide = b.take(np.tile(np.arange(n), m))
    mus, taus = np.tile(mu, m), grid.ravel()
    height = evaluate(wide, mus, taus, gauss_hermite(wide, mus, taus, 15, tolerance=0.05)).loglik.reshape(m, n)
    best = height.argmax(axis=0)
    columns = np.arange(n)
    low, high = grid[np.maximum(best - 1, 0), columns], grid[np.minimum(best + 1, m - 1), columns]
    return _newton_tau(b, mu, np.maximum(grid[best, columns], 0.3 * grid[1]), low, high)


def _newton_tau(b: Family, mu: FloatArray, tau: FloatArray, low: FloatArray, high: FloatArray) -> _Profile:
    """Maximum over tau between two bounds, each data set with as many nodes as it takes."""
    found, todo, nodes = _Profile(np.empty_like(mu), tau.copy()), np.arange(mu.size), _FIRST_NODES
    while True:
        part, doubt = _climb_tau(b.take(todo), mu[todo], found.tau[todo], low[todo], high[todo], nodes)
        found.loglik[todo], found.tau[todo] = part
        todo = todo[doubt > _AGREE]
        if todo.size == 0 or 2 * nodes > _MOST_NODES:
            return found
        nodes = 2 * nodes - 1


def _climb_tau(
    b: Family, mu: FloatArray, tau: FloatArray, low: FloatArray, high: FloatArray, nodes: int
) -> tuple[_Profile, FloatArray]:
    """Newton in tau with a given number of nodes, short where these are too few; also the doubt of the integrals."""
    over, column = reach(b, mu, tau), np.arange(mu.size)
    at = evaluate(b, mu, tau, spread_over(b, over, nodes))
    found, doubt = _Profile(at.loglik.copy(), tau.copy()), at.doubt.copy()
    for _ in range(_STEPS):
        found.loglik[column], found.tau[column], doubt[column] = at.loglik, tau, at.doubt
        low, high = np.where(at.tau > 0, tau, low), np.where(at.tau > 0, high, tau)
        high = np.maximum(high, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(at.tau_tau < 0, -at.tau / at.tau_tau, np.inf)
        new = tau + step
        new = np.where((new >= low) & (new <= high), new, (low + high) / 2)
        small = (np.abs(new - tau) <= 1e-9 * (new + 1e-6)) | (at.tau**2 < 1e-18 * np.abs(at.tau_tau))
        go = np.flatnonzero(~small & (at.doubt <= _AGREE))
        if go.size == 0:
            return found, doubt
        tau = new[go]
        if go.size < mu.size:
            b, over, mu, column, low, high = b.take(go), over.take(go), mu[go], column[go], low[go], high[go]
        over = follow(b, over, mu, tau)
        at = evaluate(b, mu, tau, spread_over(b, over, nodes))
    found.loglik[column], found.tau[column], doubt[column] = at.loglik, tau, at.doubt
    return found, doubt


def profile_of_mu(b: Family, found: BinomialFit, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood at mu, shape (n,), with tau maximised out, and that tau; it stays 0 where it is not identified."""
    common = common_log_likelihood(b, mu)
    if not found.identified.any():
        return common, np.zeros_like(common)
    best = _maximise_tau(b, mu, np.maximum(found.tau, 0.1))
    higher = found.identified & (best.loglik > common)
    return np.where(higher, best.loglik, common), np.where(higher, best.tau, 0.0)


def mu_limits(b: Family, found: BinomialFit, level: float) -> tuple[FloatArray, FloatArray]:
    """Log odds whose profile log-likelihood, over tau, lies chi2(1)/2 below the maximum; infinite where it never does.

    Where tau is not identified it stays 0.
    """
    drop = found.loglik - chdtri(1.0, 1 - level) / 2
    step = np.sqrt(found.cov[:, 0, 0])

    def excess(mu: FloatArray) -> FloatArray:
        return profile_of_mu(b, found, mu)[0] - drop

    limits = []
    for side in (-1.0, 1.0):
        inside, f_inside = found.mu, found.loglik - drop
        outside = found.mu + side * 2 * step
        f_outside = excess(outside)
        for _ in range(8):
            if (f_outside <= 0).all():
                break
            grow = f_outside > 0
            inside, f_inside = np.where(grow, outside, inside), np.where(grow, f_outside, f_inside)
            outside = np.where(grow, found.mu + 2 * (outside - found.mu), outside)
            f_outside = np.where(grow, excess(outside), f_outside)
        root = bracketed_root(excess, outside, inside, f_outside, f_inside, tolerance=1e-10)
        limits.append(np.where(f_outside > 0, side * np.inf, root))
    return limits[0], limits[1]


def tau_limits(b: Family, found: BinomialFit, level: float) -> tuple[FloatArray, FloatArray]:
    """Tau whose profile log-likelihood, over mu, lies chi2(1)/2 below the maximum: 0 or inf where it never does."""
    drop = found.loglik - chdtri(1.0, 1 - level) / 2

    def excess(tau: FloatArray) -> FloatArray:
        return maximise_mu(b, found.mu, np.abs(tau))[1].loglik - drop

    top = found.loglik - drop
    at_zero = found.loglik_common - drop
    zero = np.zeros_like(found.tau)
    low = np.where(at_zero >= 0, 0.0, bracketed_root(excess, zero, found.tau, at_zero, top, tolerance=1e-10))
    inside, f_inside = found.tau, top
    outside = np.maximum(2 * found.tau, 0.5)
    f_outside = excess(outside)
    while ((f_outside > 0) & (outside < _WIDEST)).any():
        grow = (f_outside > 0) & (outside < _WIDEST)
        inside, f_inside = np.where(grow, outside, inside), np.where(grow, f_outside, f_inside)
        outside = np.where(grow, np.minimum(2 * outside, _WIDEST), outside)
        f_outside = np.where(grow, excess(outside), f_outside)
    high = bracketed_root(excess, outside, inside, f_outside, f_inside, tolerance=1e-10)
    return low, np.where(f_outside > 0, np.inf, high)
