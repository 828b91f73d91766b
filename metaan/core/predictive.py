"""Bootstrap prediction interval from the confidence distribution of tau2 (Nagashima, Noma & Furukawa 2019)."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from metaan.core.quadratic_form import q_cdf, tau2_at_q_quantile
from metaan.core.wls import Data, FloatArray, arrange, dot, q_statistic, weighted_mean

__all__ = ["bootstrap_interval", "tau2_draws"]

_GRID = 400


def tau2_draws(data: Data, u: FloatArray) -> FloatArray:
    """Draws of tau2 from its confidence distribution H(tau2) = 1 - P(Q <= Q_observed; tau2), one for each u in (0, 1).

    H is tabulated on a grid that reaches its extremes among u and inverted by monotone cubic interpolation of tau2
    in H's logit, which is smooth; the error of a draw is far below its Monte Carlo spread.
    """
    q, _ = q_statistic(data.y, data.v, np.zeros(1))
    a = 1 / data.v
    highest = tau2_at_q_quantile(data, a, q, np.array([1 - u.max()]))[0]
    if highest == 0:
        return np.zeros_like(u)
    scale = data.k[0] / a.sum()
    grid = scale * np.expm1(np.linspace(0, np.log1p(highest * (1 + 1e-9) / scale), _GRID))
    wide = arrange(
        np.broadcast_to(data.y.T, (_GRID, data.y.shape[0])), np.broadcast_to(data.v.T, (_GRID, data.v.shape[0]))
    )
    h = 1 - q_cdf(wide, 1 / wide.v, grid, np.broadcast_to(q, (_GRID,)))
    h = np.maximum.accumulate(h)
    logit = np.log(np.maximum(h, 1e-300)) - np.log(np.maximum(1 - h, 1e-300))
    keep = np.concatenate([[True], np.diff(logit) > 0])
    drawn = np.interp(np.log(u) - np.log1p(-u), logit[keep], np.log1p(grid[keep] / scale))
    return np.where(u <= h[0], 0.0, scale * np.expm1(drawn))


def bootstrap_interval(
    yi: FloatArray, vi: FloatArray, level: float, *, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Quantiles of mu_b + z tau_b - t sqrt(V_b) over draws tau2_b of the confidence distribution.

    mu_b is the weighted mean at tau2_b, V_b its Hartung-Knapp variance, z standard normal and t with k - 1 degrees
    of freedom (Nagashima, Noma & Furukawa 2019, algorithm 1). Independent of the estimator of tau2.

    Parameters
    ----------
    yi, vi : array of shape (k,), k >= 2
    level : float
    draws : int
        Number of draws.
    rng : numpy.random.Generator
    """
    u, uz, ut = rng.uniform(size=(3, draws))
    tau2 = tau2_draws(arrange(yi[None], vi[None]), u)
    y, v = yi[:, None], vi[:, None]
    w = 1 / (v + tau2)
    mu, total = weighted_mean(np.broadcast_to(y, w.shape), w)
    r = y - mu
    k = yi.shape[0]
    spread = np.sqrt(dot(w * r, r) / (k - 1) / total)
    new = mu + ndtri(uz) * np.sqrt(tau2) - stdtrit(k - 1.0, ut) * spread
    low, high = np.quantile(new, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
