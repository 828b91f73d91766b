"""Likelihoods written down again in the plainest way, and their maxima by exhaustive search.

Nothing here is shared with the package: the binomial-normal integral is a sum over a fine fixed grid of the log odds,
and the normal-normal likelihoods are the textbook's, in extended precision.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln, ndtr

FloatArray = npt.NDArray[np.float64]
Extended = np.longdouble

_STEP = 0.025  # of the log odds: far below the width of any likelihood of 500 or fewer observations
_REACH = 120.0
_TAUS = np.geomspace(0.01, 40, 55)
_Z, _W = np.polynomial.hermite_e.hermegauss(41)
_W = _W / np.sqrt(2 * np.pi)


class BinomialNormal:
    """Marginal log-likelihood of x_i ~ Binomial(N_i, p_i), logit p_i ~ N(mu, tau^2)."""

    def __init__(self, x: FloatArray, N: FloatArray) -> None:
        self.x, self.N = x, N
        self._eta = np.arange(-_REACH, _REACH + _STEP, _STEP)
        log_l = self._binomial(self._eta)
        self._top = log_l.max(axis=1)
        self._l = np.exp(log_l - self._top[:, None])

    def _binomial(self, eta: FloatArray) -> FloatArray:
        """Log-likelihood of each study at each log odds, shape (k, number of log odds)."""
        x, N = self.x[:, None], self.N[:, None]
        constant = gammaln(N + 1) - gammaln(x + 1) - gammaln(N - x + 1)
        return np.asarray(constant + x * eta - N * np.logaddexp(0, eta))

    def __call__(self, mu: FloatArray, tau: FloatArray) -> FloatArray:
        """Log-likelihood at pairs of mu and tau >= 0, arrays of shape (m,)."""
        mu, tau = np.atleast_1d(mu), np.atleast_1d(tau)
        height = np.empty(mu.shape)
        narrow = tau < 4 * _STEP
        height[narrow] = self._hermite(mu[narrow], tau[narrow])
        height[~narrow] = self._sum(mu[~narrow], tau[~narrow])
        return height

    def _sum(self, mu: FloatArray, tau: FloatArray) -> FloatArray:
        """Integral over the grid, which must resolve the normal density."""
        density = np.exp(-(((self._eta[:, None] - mu) / tau) ** 2) / 2)
        density *= _STEP / (tau * np.sqrt(2 * np.pi))
        # beyond the grid a likelihood is 0, or 1: on the left for a study without events, on the right for one with
        # nothing but events
        left = np.outer(self.x == 0, ndtr((-_REACH - mu) / tau))
        right = np.outer(self.x == self.N, ndtr((mu - _REACH) / tau))
        inside = self._l @ density
        with np.errstate(divide="ignore"):
            total = np.log(inside + (left + right) * np.exp(-self._top)[:, None])
        return np.asarray(total.sum(axis=0) + self._top.sum())

    def _hermite(self, mu: FloatArray, tau: FloatArray) -> FloatArray:
        """Gauss-Hermite rule on the normal density, for a tau below the width of every binomial likelihood."""
        log_f = np.stack([self._binomial(mu + tau * z) for z in _Z])
        top = log_f.max(axis=0)
        integral = np.log(np.einsum("z,zkm->km", _W, np.exp(log_f - top)))
        return np.asarray((integral + top).sum(axis=0))

    def over_mu(self, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Maximum over mu for each tau: grids, each finer than the last, then the vertex of a parabola.

        The function is concave in mu, so that a finer grid need only cover the neighbours of the best point.
        """
        centre, width = np.zeros_like(tau), np.full_like(tau, 60.0)
        offsets, columns = np.linspace(-1, 1, 21), np.arange(tau.size)
        for _ in range(5):
            mu = centre + width * offsets[:, None]
            height = self(mu.ravel(), np.tile(tau, offsets.size)).reshape(mu.shape)
            where = np.clip(height.argmax(axis=0), 1, offsets.size - 2)
            low, best, high = (height[where + side, columns] for side in (-1, 0, 1))
            centre, step = mu[where, columns], width / 10
            width = width / 7
        slope, bend = (high - low) / 2, high - 2 * best + low
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.where(bend < 0, np.clip(-slope / bend, -1, 1), 0.0)
        return centre + shift * step, best + slope * shift / 2

    def over_tau(self, mu: float) -> float:
        """Maximum over tau for one mu: a grid, then two finer ones around its best point."""
        taus = np.concatenate([[0.0], np.geomspace(1e-4, 100, 400)])
        height = self(np.full(taus.size, mu), taus)
        for _ in range(2):
            j = int(height.argmax())
            taus = np.linspace(taus[max(j - 1, 0)], taus[min(j + 1, taus.size - 1)], 41)
            height = self(np.full(taus.size, mu), taus)
        return float(height.max())

    def maxima(self) -> list[tuple[float, float, float]]:
        """Local maxima of the profile on a grid of tau, refined, the highest first: log-likelihood, mu and tau."""
        rate = self.x.sum() / self.N.sum()
        zero = float(np.log(rate / (1 - rate)))
        mu, height = self.over_mu(_TAUS)
        mu, tau = np.concatenate([[zero], mu]), np.concatenate([[0.0], _TAUS])
        height = np.concatenate([self(np.array([zero]), np.zeros(1)), height])
        padded = np.concatenate([[-np.inf], height, [-np.inf]])
        peaks = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]))
        answers = [self._climb(mu[j], tau[j]) if j else (float(height[0]), zero, 0.0) for j in peaks]
        return sorted(answers, reverse=True)

    def _climb(self, mu: float, tau: float) -> tuple[float, float, float]:
        def loss(point: FloatArray) -> float:
            return float(-self(point[:1], np.array([np.clip(np.exp(point[1]), 1e-6, 60.0)]))[0])

        found = minimize(loss, [mu, np.log(tau)], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11})
        return float(-found.fun), float(found.x[0]), float(np.clip(np.exp(found.x[1]), 1e-6, 60.0))


class NormalNormal:
    """Log-likelihood of y_i ~ N(mu, v_i + tau2) with mu profiled out, full or restricted, in extended precision."""

    def __init__(self, y: FloatArray, v: FloatArray, restricted: bool) -> None:
        self.y, self.v = y.astype(Extended)[:, None], v.astype(Extended)[:, None]
        self.restricted = restricted

    def __call__(self, t: npt.ArrayLike) -> npt.NDArray[Extended]:
        """Without the constants in 2 pi and k, for an array of tau2."""
        total = self.v + np.atleast_1d(np.asarray(t, dtype=Extended))
        w = 1 / total
        mu = (w * self.y).sum(axis=0) / w.sum(axis=0)
        deviance = np.log(total).sum(axis=0) + (w * (self.y - mu) ** 2).sum(axis=0)
        return -(deviance + np.log(w.sum(axis=0)) * self.restricted) / 2

    def score(self, t: npt.ArrayLike) -> tuple[npt.NDArray[Extended], npt.NDArray[Extended]]:
        """Derivative of the log-likelihood in tau2, and the sum of the sizes of its two parts."""
        w = 1 / (self.v + np.atleast_1d(np.asarray(t, dtype=Extended)))
        s1 = w.sum(axis=0)
        e = w * (self.y - (w * self.y).sum(axis=0) / s1)
        a, b = (e * e).sum(axis=0), s1 - (w * w).sum(axis=0) / s1 * self.restricted
        return (a - b) / 2, (a + b) / 2

    def maximum(self, points: int = 2000) -> tuple[Extended, Extended]:
        """Highest log-likelihood and its tau2: a dense grid, then ever finer ones around each of its peaks."""
        spread = (self.y.max() - self.y.min()) ** 2
        if not spread > 0:
            return self(0.0)[0], Extended(0)
        grid = np.concatenate(
            [[0], np.geomspace(1e-6 * float(self.v.min()), 10 * float(spread + self.v.min()), points)]
        )
        answers = [self._refine(grid, j) for j in self._peaks(self(grid))]
        return max(answers, key=lambda answer: answer[0])

    @staticmethod
    def _peaks(height: npt.NDArray[Extended]) -> npt.NDArray[np.intp]:
        padded = np.concatenate([[-np.inf], height, [-np.inf]])
        return np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] >= padded[2:]))

    def _refine(self, grid: npt.NDArray[np.float64], j: int) -> tuple[Extended, Extended]:
        low, high = Extended(grid[max(j - 1, 0)]), Extended(grid[min(j + 1, grid.size - 1)])
        for _ in range(8):
            inner = low + (high - low) * np.arange(33).astype(Extended) / 32
            height = self(inner)
            i = int(height.argmax())
            best = height[i], inner[i]
            low, high = inner[max(i - 1, 0)], inner[min(i + 1, 32)]
        return best
