"""Marginal likelihoods of generalised linear mixed models by plain numerical integration, for any link.

Independent of metaan.core: each integral over standard normal effects is cut where the integrand has fallen by exp(-50)
of its maximum, found by zooming in on a grid, and is taken by 20-node Gauss-Legendre rules on equal panels: at least
12 digits. All constants (binomial coefficients, factorials) are in.

Links, p of eta: logit, probit, cloglog (1 - exp(-exp eta)), loglog (exp(-exp(-eta))), log (exp eta), identity; of the
family "poisson" the rate per unit of time: log. Where a link gives no probability (log: eta > 0) the likelihood is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, gammaln, log_expit, log_ndtr, ndtr, xlogy

Array = npt.NDArray[np.float64]
LogDensity = Callable[[Array], Array]

_DROP = 50.0
_REACH = 45.0  # no integrand over a standard normal has its mode farther out in what the tests use
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_DOMAIN = {"log": (-np.inf, 0.0), "identity": (0.0, 1.0)}


def _log_p(eta: Array, link: str) -> tuple[Array, Array]:
    """Logarithms of p and of 1 - p."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if link == "logit":
            return log_expit(eta), log_expit(-eta)
        if link == "probit":
            return log_ndtr(eta), log_ndtr(-eta)
        if link == "cloglog":
            return np.log(-np.expm1(-np.exp(eta))), -np.exp(eta)
        if link == "loglog":
            return -np.exp(-eta), np.log(-np.expm1(-np.exp(-eta)))
        if link == "log":
            return np.where(eta <= 0, eta, -np.inf), np.where(eta <= 0, np.log(-np.expm1(np.minimum(eta, 0))), -np.inf)
        if link == "identity":
            inside = (eta >= 0) & (eta <= 1)
            p = np.clip(eta, 0, 1)
            return np.where(inside, np.log(p), -np.inf), np.where(inside, np.log1p(-p), -np.inf)
    raise ValueError(link)


def probability(eta: npt.ArrayLike, link: str = "logit") -> Array:
    """p of eta."""
    eta = np.asarray(eta, dtype=float)
    if link == "logit":
        return np.asarray(expit(eta))
    return np.asarray(ndtr(eta)) if link == "probit" else np.exp(_log_p(eta, link)[0])


def _times(count: float, log_probability: Array) -> Array:
    """Count times logarithm, 0 where the count is."""
    return np.zeros_like(log_probability) if count == 0 else count * log_probability


def log_pmf(x: float, n: float, eta: npt.ArrayLike, link: str = "logit", family: str = "binomial") -> Array:
    """Log-probability of x events of n patients at p of eta, or in n units of time at the rate exp(eta)."""
    eta = np.asarray(eta, dtype=float)
    if family == "poisson":
        with np.errstate(over="ignore"):
            return x * eta + float(xlogy(x, n) - gammaln(x + 1)) - n * np.exp(eta)
    hit, miss = _log_p(eta, link)
    value = float(gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)) + _times(x, hit) + _times(n - x, miss)
    low, high = _DOMAIN.get(link, (-np.inf, np.inf))
    return np.where((eta >= low) & (eta <= high), value, -np.inf)


def _zoom(log_f: LogDensity, low: float, high: float, points: int = 2001) -> tuple[float, float]:
    """The range within (low, high) in which log_f is within _DROP of its maximum, one grid cell wider."""
    for _ in range(12):
        grid = np.linspace(low, high, points)
        height = log_f(grid)
        inside = np.flatnonzero(height > height.max() - _DROP)
        first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, points - 1)
        if last - first > 0.8 * points:
            break
        low, high = float(grid[first]), float(grid[last])
    return low, high


def _panels(low: float, high: float, panels: int) -> tuple[Array, Array]:
    """Nodes and weights of the composite rule."""
    edges = np.linspace(low, high, panels + 1)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    return ((edges[1:] + edges[:-1])[:, None] / 2 + half * _NODES).ravel(), (half * _WEIGHTS).ravel()


def log_integral(log_f: LogDensity, low: float = -_REACH, high: float = _REACH, panels: int = 48) -> float:
    """Logarithm of the integral of exp(log_f), which has one mode in (low, high)."""
    if not high > low:
        return -math.inf
    at, weight = _panels(*_zoom(log_f, low, high), panels)
    height = log_f(at)
    top = height.max()
    return float(top + math.log(weight @ np.exp(height - top))) if np.isfinite(top) else -math.inf


def _normal(u: Array) -> Array:
    return -u * u / 2 - math.log(2 * math.pi) / 2


def _u_range(mu: float, tau: float, link: str) -> tuple[float, float]:
    """The u in which mu + tau u is an argument of the link."""
    low, high = _DOMAIN.get(link, (-np.inf, np.inf))
    return max((low - mu) / tau, -_REACH), min((high - mu) / tau, _REACH)


def _study(x: float, n: float, mu: float, tau: float, link: str, family: str) -> float:
    if tau == 0:
        return float(log_pmf(x, n, mu, link, family))
    return log_integral(
        lambda u: log_pmf(x, n, mu + tau * u, link, family) + _normal(u),
        *_u_range(mu, tau, link if family == "binomial" else "none"),
    )


def one_arm_loglik(
    x: npt.ArrayLike, n: npt.ArrayLike, mu: npt.ArrayLike, tau: float, link: str = "logit", family: str = "binomial"
) -> float:
    """Marginal log-likelihood of counts of one arm: eta_i = mu_i + tau u_i, u_i standard normal.

    x events of n, or with family "poisson" in n units of time; mu a number or one for each study.
    """
    x, n = (np.asarray(v, dtype=float) for v in (x, n))
    mus = np.broadcast_to(np.asarray(mu, dtype=float), x.shape)
    return math.fsum(_study(xi, ni, mi, tau, link, family) for xi, ni, mi in zip(x, n, mus, strict=True))


def one_arm_laplace(x: npt.ArrayLike, n: npt.ArrayLike, mu: float, tau: float) -> float:
    """Laplace's approximation of one_arm_loglik, logit link: each integrand a normal density around its mode."""
    x, n = (np.asarray(v, dtype=float) for v in (x, n))
    low, high = np.full(x.shape, -_REACH), np.full(x.shape, _REACH)
    for _ in range(100):
        u = (low + high) / 2
        climbs = tau * (x - n * expit(mu + tau * u)) > u
        low, high = np.where(climbs, u, low), np.where(climbs, high, u)
    p = expit(mu + tau * u)
    constant = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    top = constant + x * log_expit(mu + tau * u) + (n - x) * log_expit(-mu - tau * u) - u * u / 2
    return math.fsum(top - np.log1p(tau * tau * n * p * (1 - p)) / 2)


def _tables(a: Any, n1: Any, c: Any, n2: Any) -> list[tuple[float, float, float, float]]:
    return [tuple(map(float, row)) for row in zip(a, n1, c, n2, strict=True)]


def _pair(table: tuple[float, ...], eta_t: Array | float, eta_c: Array | float, link: str, family: str) -> Array:
    """Log-probability of a table at the linear predictors of its arms."""
    a, n1, c, n2 = table
    return log_pmf(a, n1, eta_t, link, family) + log_pmf(c, n2, eta_c, link, family)


def _fs_study(
    table: tuple[float, ...], alpha: float, theta: float, tau: float, coding: float, link: str, family: str
) -> float:
    eta_t, eta_c = alpha + coding * theta, alpha - (1 - coding) * theta
    if tau == 0:
        return float(_pair(table, eta_t, eta_c, link, family))
    low, high = -_REACH, _REACH
    for eta, step in ((eta_t, coding * tau), (eta_c, (coding - 1) * tau)):
        if family == "binomial" and step:
            ends = sorted((end - eta) / step for end in _DOMAIN.get(link, (-np.inf, np.inf)))
            low, high = max(low, ends[0]), min(high, ends[1])
    return log_integral(
        lambda u: _pair(table, eta_t + coding * tau * u, eta_c - (1 - coding) * tau * u, link, family) + _normal(u),
        low, high,
    )  # fmt: skip


def um_fs_loglik(
    a: Any, n1: Any, c: Any, n2: Any, alpha: npt.ArrayLike, theta: float, tau: float, coding: float = 0.5,
    link: str = "logit", family: str = "binomial",
) -> float:  # fmt: skip
    """Unconditional model of two arms with fixed study effects alpha_i (one for each study).

    theta_i = theta + tau u_i; linear predictors alpha_i + coding theta_i (treated, a of n1) and
    alpha_i - (1 - coding) theta_i (control, c of n2); coding 1/2, 1 or 0. Link logit: odds ratio, log: risk ratio,
    identity: risk difference; family "poisson": n1, n2 are times and exp(theta) a rate ratio.
    """
    tables = _tables(a, n1, c, n2)
    alphas = np.broadcast_to(np.asarray(alpha, dtype=float), (len(tables),))
    return math.fsum(
        _fs_study(t, float(al), theta, tau, coding, link, family) for t, al in zip(tables, alphas, strict=True)
    )


def _whitened(log_f: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """Mode of a log-concave function of two standard normal effects, and a square root of its inverse curvature.

    Newton's method, all derivatives by differences, halving a step that does not climb.
    """
    h = 1e-3
    i, j = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij")
    at = np.zeros(2)
    for _ in range(200):
        f = log_f(at[0] + h * i, at[1] + h * j)
        gradient = np.array([f[2, 1] - f[0, 1], f[1, 2] - f[1, 0]]) / (2 * h)
        cross = (f[2, 2] - f[2, 0] - f[0, 2] + f[0, 0]) / 4
        curvature = (
            -np.array([[f[2, 1] - 2 * f[1, 1] + f[0, 1], cross], [cross, f[1, 2] - 2 * f[1, 1] + f[1, 0]]]) / h**2
        )
        step = np.linalg.solve(curvature, gradient)
        halves = step[:, None] * 0.5 ** np.arange(30)
        heights = log_f(at[0] + halves[0], at[1] + halves[1])
        if step @ curvature @ step < 1e-6:
            break
        at = at + halves[:, int(np.argmax(heights))]
    return at, np.linalg.cholesky(np.linalg.inv(curvature))


def log_integral_2(log_f: Callable[[Array, Array], Array], panels: int = 8) -> float:
    """Logarithm of the integral over the plane of exp(log_f), which is log-concave, at least as the normal density."""
    mode, root = _whitened(log_f)
    box = [[-12 / root[0, 0], 12 / root[0, 0]], [-12 / root[1, 1], 12 / root[1, 1]]]

    def height(z1: Array, z2: Array) -> Array:
        return log_f(mode[0] + root[0, 0] * z1, mode[1] + root[1, 0] * z1 + root[1, 1] * z2)

    for _ in range(20):
        grids = [np.linspace(*side, 61) for side in box]
        near = height(grids[0][:, None], grids[1][None, :])
        near = near > near.max() - _DROP
        rows, before = [np.flatnonzero(near.any(axis=1 - axis)) for axis in (0, 1)], box
        ends = [(max(r[0] - 1, 0), min(r[-1] + 1, 60)) for r in rows]
        box = [[float(g[i]), float(g[j])] for g, (i, j) in zip(grids, ends, strict=True)]
        if all(b[1] - b[0] > 0.8 * (o[1] - o[0]) for b, o in zip(box, before, strict=True)):
            break
    (z1, w1), (z2, w2) = (_panels(*side, panels) for side in box)
    values = height(z1[:, None], z2[None, :])
    top = values.max()
    return float(top + math.log(w1 @ np.exp(values - top) @ w2) + math.log(root[0, 0] * root[1, 1]))


def um_rs_loglik(
    a: Any, n1: Any, c: Any, n2: Any, alpha: float, sigma: float, theta: float, tau: float, rho: float = 0.0,
    coding: float = 0.5, link: str = "logit", family: str = "binomial",
) -> float:  # fmt: skip
    """Unconditional model of two arms with random study effects: alpha_i ~ N(alpha, sigma^2), correlated with
    theta_i ~ N(theta, tau^2) by rho; otherwise as um_fs_loglik. Links without a bounded domain.
    """
    if link in _DOMAIN:
        raise ValueError(link)

    def predictors(u1: Array, u2: Array) -> tuple[Array, Array]:
        base, effect = alpha + sigma * u1, theta + tau * (rho * u1 + math.sqrt(1 - rho * rho) * u2)
        return base + coding * effect, base - (1 - coding) * effect

    def study(table: tuple[float, ...]) -> float:
        on_line = lambda u1, u2: _pair(table, *predictors(u1, u2), link, family)  # noqa: E731
        if sigma == 0 and tau == 0:
            return float(on_line(np.zeros(1), np.zeros(1))[0])
        if tau == 0 or abs(rho) == 1:
            return log_integral(lambda u: on_line(u, 0 * u) + _normal(u))
        if sigma == 0 and rho == 0:
            return log_integral(lambda u: on_line(0 * u, u) + _normal(u))
        return log_integral_2(lambda u1, u2: on_line(u1, u2) + _normal(u1) + _normal(u2))

    return math.fsum(study(table) for table in _tables(a, n1, c, n2))


def best_alpha(
    table: tuple[float, ...], theta: float, tau: float, coding: float = 0.5, link: str = "logit",
    family: str = "binomial", low: float = -30.0, high: float = 10.0,
) -> float:  # fmt: skip
    """The study effect alpha_i that maximises a study's likelihood of um_fs_loglik at theta and tau."""
    f = lambda alpha: -_fs_study(table, alpha, theta, tau, coding, link, family)  # noqa: E731
    return float(minimize_scalar(f, bounds=(low, high), method="bounded", options={"xatol": 1e-9}).x)


def um_fs_profile(
    a: Any, n1: Any, c: Any, n2: Any, theta: float, tau: float, coding: float = 0.5, link: str = "logit",
    family: str = "binomial",
) -> float:  # fmt: skip
    """um_fs_loglik at its maximum over the study effects."""
    tables = _tables(a, n1, c, n2)
    alphas = [best_alpha(t, theta, tau, coding, link, family) for t in tables]
    return um_fs_loglik(a, n1, c, n2, alphas, theta, tau, coding, link, family)


def maximum(
    f: Callable[..., float], start: npt.ArrayLike, *, rounds: int = 3, step: float = 0.1
) -> tuple[Array, float]:
    """Where a function of a few numbers is largest and its value there: simplex searches, restarted where they end."""
    at = np.asarray(start, dtype=float)
    for r in range(rounds):
        corners = np.vstack([at, at + np.eye(at.size) * step / 10**r])
        found = minimize(
            lambda p: -f(*p), at, method="Nelder-Mead",
            options={"initial_simplex": corners, "xatol": 1e-8, "fatol": 1e-11, "maxiter": 2000},
        )  # fmt: skip
        at = found.x
    return at, -float(found.fun)
