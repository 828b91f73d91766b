"""Two arms of each study with normal random effects: unconditional likelihoods as `Model`s of mixed.py.

The treated arm of study i has eta = alpha_i + theta_i/2, the control arm alpha_i - theta_i/2, and theta_i is normal
with mean x_i'beta and standard deviation tau. The alpha_i are fixed (`FixedStudies`) or normal too (`RandomStudies`,
where moderators act on the treated arm alone; Stijnen et al. 2010).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from metaan.core.binomial import Terms, gauss_hermite, trapezoid
from metaan.core.links import LINKS
from metaan.core.mixed import At
from metaan.core.wls import FloatArray

__all__ = ["Arms", "FixedStudies", "RandomStudies", "Shrunken"]

_SIDE: Final = np.array([0.5, -0.5])
_NEAR: Final = 1e-3  # to an end of eta from which on the log-likelihood is continued by its second-order expansion
_RULES: Final = (9, 15, 25, 41, 61, 91, 131)
_NEWTON: Final = 40


class Arms(NamedTuple):
    """Counts of the treated and the control arm, shape (k, 2)."""

    x: FloatArray
    other: FloatArray
    """Non-events, or time for a Poisson rate."""
    link: str

    @property
    def constant(self) -> float:
        """What the log-likelihood has besides `terms`."""
        if self.link == "poisson":
            scale = np.where(self.x > 0, self.x * np.log(self.other), 0.0)
            return float((scale - gammaln(self.x + 1)).sum())
        n = self.x + self.other
        return float((gammaln(n + 1) - gammaln(self.x + 1) - gammaln(self.other + 1)).sum())

    def empirical(self) -> tuple[FloatArray, FloatArray]:
        """Link of each arm's rate with 0.5 added to both counts, and its sampling variance, (k, 2)."""
        if self.link == "poisson":
            return np.log(self.x + 0.5) - np.log(self.other), 1 / (self.x + 0.5)
        p = (self.x + 0.5) / (self.x + self.other + 1)
        link = LINKS[self.link]
        return link.of_rate(p), link.derivative(p) ** 2 * p * (1 - p) / (self.x + self.other + 1)

    def terms(self, eta: FloatArray) -> Terms:
        """Log-likelihood of both arms at eta, (2, k, ...), continued beyond the ends of the link."""
        shape = (2, -1, *[1] * (eta.ndim - 2))
        link = LINKS[self.link]
        x, other = self.x.T.reshape(shape), self.other.T.reshape(shape)
        if np.isinf(link.low) and np.isinf(link.high):
            return link.terms(x, other, eta)
        at = np.clip(eta, link.low + _NEAR, link.high - _NEAR)
        of, d = link.terms(x, other, at), eta - at
        return Terms(
            of.value + of.score * d - of.information * d * d / 2, of.score - of.information * d, of.information
        )

    def beyond(self, eta: FloatArray) -> FloatArray:
        """1 where eta is no value of the link, else 0."""
        link = LINKS[self.link]
        return np.asarray(((eta <= link.low) | (eta >= link.high)) * 1.0)


class _Pair(NamedTuple):
    """Both arms as an `Integrand` in theta, at alpha of shape (k, n)."""

    arms: Arms
    alpha: FloatArray
    logit: FloatArray
    variance: FloatArray

    @property
    def top(self) -> float:
        return np.inf

    def both(self, theta: FloatArray) -> tuple[FloatArray, Terms]:
        """Eta of both arms, (2, k, ...), and the terms there."""
        eta = _either(self.alpha if theta.ndim == 2 else self.alpha[:, None], theta)
        return eta, self.arms.terms(eta)

    def terms(self, eta: FloatArray) -> Terms:
        of = self.both(eta)[1]
        return Terms(of.value[0] + of.value[1], *_in_theta(of))

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _in_theta(self.both(eta)[1])


def _in_theta(of: Terms) -> tuple[FloatArray, FloatArray]:
    """Derivative of the log-likelihood of both arms by the effect, and minus the second one."""
    return (of.score[0] - of.score[1]) / 2, (of.information[0] + of.information[1]) / 4


def _either(base: FloatArray, effect: FloatArray) -> FloatArray:
    """Linear predictors of both arms, (2, k, ...)."""
    return base + _SIDE.reshape(2, *[1] * effect.ndim) * effect


class FixedStudies(NamedTuple):
    """UM.FS: parameters alpha_1 ... alpha_k, beta, tau; x is (k, p)."""

    arms: Arms
    x: FloatArray

    @property
    def spreads(self) -> tuple[int, ...]:
        """tau, the last parameter."""
        return (sum(self.x.shape),)

    def at(self, theta: FloatArray, level: int) -> At:
        """Evaluate at theta of shape (n, k + p + 1)."""
        (k, p), n = self.x.shape, theta.shape[0]
        found = self._posterior(theta, 32 * 2**level + 1)
        slope, curve = _moments(found.of, found.u, found.weight)
        gradient = np.concatenate([slope[0], self.x.T @ slope[1], slope[2].sum(axis=0)[None]])
        hessian = np.zeros((n, k + p + 1, k + p + 1))
        studies = np.arange(k)
        hessian[:, studies, studies] = curve[0, 0].T
        hessian[:, :k, k:-1] = np.einsum("kn,kp->nkp", curve[0, 1], self.x)
        hessian[:, :k, -1] = curve[0, 2].T
        hessian[:, k:-1, k:-1] = np.einsum("kn,ka,kb->nab", curve[1, 1], self.x, self.x)
        hessian[:, k:-1, -1] = curve[1, 2].T @ self.x
        hessian[:, -1, -1] = curve[2, 2].sum(axis=0)
        hessian[:, k:, :k] = hessian[:, :k, k:].swapaxes(1, 2)
        hessian[:, -1, k:-1] = hessian[:, k:-1, -1]
        whole = theta[:, -1].any()
        doubt = np.abs(2 * found.weight[:, ::2].sum(axis=1) - 1).max(axis=0) if whole else np.zeros(n)
        return At(found.loglik, gradient.T.copy(), hessian, doubt)

    def _posterior(self, theta: FloatArray, nodes: int, *, hermite: bool = False) -> _Posterior:
        k = self.x.shape[0]
        tau, mean = theta[:, -1], self.x @ theta[:, k:-1].T
        y, v = self.arms.empirical()
        pair = _Pair(self.arms, theta[:, :k].T, y[:, :1] - y[:, 1:], v.sum(axis=1, keepdims=True))
        if not tau.any():  # eta is the same at all nodes, and three give the moments of u
            grid = gauss_hermite(pair, mean, tau, 3)
        else:
            grid = (gauss_hermite if hermite else trapezoid)(pair, mean, tau, nodes)
        u = grid.u
        eta, of = pair.both(mean[:, None] + tau * u)
        log_f = of.value[0] + of.value[1] - u * u / 2 + grid.log_weight
        top = log_f.max(axis=1)
        weight = np.exp(log_f - top[:, None])
        total = weight.sum(axis=1)
        loglik = (top + np.log(total)).sum(axis=0) - k * np.log(2 * np.pi) / 2 + self.arms.constant
        return _Posterior(loglik, weight / total[:, None], u, eta, of)

    def loglik(self, theta: FloatArray, nodes: int) -> FloatArray:
        """Log-likelihood alone, (n,), by adaptive Gauss-Hermite nodes."""
        return self._posterior(theta, nodes, hermite=True).loglik

    def effects(self, theta: FloatArray) -> Shrunken:
        """Posterior of the effects of the studies at theta of shape (q,)."""
        k = self.x.shape[0]
        found = self._posterior(theta[None], 257)
        effect = self.x @ theta[k:-1] + theta[-1] * found.u[..., 0].T
        weight = found.weight[..., 0].T
        beyond = self.arms.beyond(found.eta[..., 0]).max(axis=0).T
        return _shrunken(self.arms, theta[:k], effect, weight, float((weight * beyond).sum(axis=0).max()))


class _Posterior(NamedTuple):
    """Log-likelihood (n,), weights of the nodes, the nodes, (k, nodes, n), eta of both arms and the terms there."""

    loglik: FloatArray
    weight: FloatArray
    u: FloatArray
    eta: FloatArray
    of: Terms


class Shrunken(NamedTuple):
    """Posterior mean and standard deviation of each study's effect, and what the study alone tells of it."""

    mean: FloatArray
    sd: FloatArray
    noise: FloatArray
    """Inverse information of both arms at the shrunken effect: the study's own sampling variance."""
    outside: float
    """Largest posterior probability of a rate beyond the ends of the link."""


def _shrunken(arms: Arms, alpha: FloatArray, effect: FloatArray, weight: FloatArray, outside: float) -> Shrunken:
    """From effects at nodes, (nodes, k), and their weights."""
    mean = (weight * effect).sum(axis=0)
    sd = np.sqrt((weight * (effect - mean) ** 2).sum(axis=0))
    info = arms.terms(_either(alpha, mean)).information
    with np.errstate(divide="ignore"):
        noise = 1 / info[0] + 1 / info[1]
    return Shrunken(mean, sd, np.minimum(noise, 1e12), outside)


def _moments(of: Terms, u: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (3, k, n) and Hessian (3, 3, k, n) of each study in alpha, mean and tau (Louis 1982)."""
    a, b = of.information
    s = (of.score[0] - of.score[1]) / 2
    score = np.array([of.score[0] + of.score[1], s, u * s])
    cross, both = (a - b) / 2, (a + b) / 4
    noise = np.array([4 * both, cross, u * cross, both, u * both, u * u * both])
    slope = np.einsum("ikqn,kqn->ikn", score, weight)
    mean_noise = np.einsum("ikqn,kqn->ikn", noise, weight)
    curve = np.empty((3, 3, *slope.shape[1:]))
    for i, j, place in ((0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 1, 3), (1, 2, 4), (2, 2, 5)):
        square = np.einsum("kqn,kqn,kqn->kn", weight, score[i], score[j])
        curve[i, j] = curve[j, i] = square - mean_noise[place] - slope[i] * slope[j]
    return slope, curve


class RandomStudies(NamedTuple):
    """UM.RS: parameters alpha, beta, sigma, tau.

    Control arm alpha + sigma w - tau u/2, treated arm alpha + x'beta + sigma w + tau u/2: what moderators explain is
    the treated arm's alone, as metafor has it. Without moderators the coding of the mean is no matter.
    """

    arms: Arms
    x: FloatArray

    @property
    def spreads(self) -> tuple[int, ...]:
        """sigma and tau."""
        p = self.x.shape[1]
        return (p + 1, p + 2)

    def at(self, theta: FloatArray, level: int) -> At:
        """Evaluate at theta of shape (n, p + 3) by adaptive Gauss-Hermite quadrature in two dimensions."""
        rough = self.loglik(theta, _RULES[min(level, len(_RULES) - 2)])
        at = self._at(theta, _RULES[min(level + 1, len(_RULES) - 1)])
        return at._replace(doubt=1e3 * np.abs(at.loglik - rough))

    def loglik(self, theta: FloatArray, nodes: int) -> FloatArray:
        """Log-likelihood alone, by nodes^2 nodes a study."""
        return self._integral(theta, nodes)[0]

    def effects(self, theta: FloatArray) -> Shrunken:
        """Posterior of the effects of the studies at theta of shape (q,)."""
        p = self.x.shape[1]
        _, weight, (w, u), _ = self._integral(theta[None], _RULES[3])
        effect = self.x @ theta[1 : p + 1] + theta[-1] * u[..., 0].T
        base = theta[0] + self.x @ theta[1 : p + 1] / 2 + theta[-2] * (weight * w).sum(axis=1)[:, 0]
        return _shrunken(self.arms, base, effect, weight[..., 0].T, 0.0)

    def _integral(
        self, theta: FloatArray, nodes: int
    ) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray], Terms]:
        """Log-likelihood (n,), posterior weights of the nodes, the nodes and the terms there, (k, nodes^2, n)."""
        p = self.x.shape[1]
        alpha, (sigma, tau) = theta[:, 0], theta[:, p + 1 :].T
        mean = self.x @ theta[:, 1 : p + 1].T
        middle = alpha + mean / 2
        w, u, root = self._mode(middle, mean, sigma, tau)
        z1, z2, log_weight = _product(nodes)
        at = (
            w[:, None] + root[0][:, None] * z1[None, :, None],
            u[:, None] + root[1][:, None] * z1[None, :, None] + root[2][:, None] * z2[None, :, None],
        )
        base, effect = middle[:, None] + sigma * at[0], mean[:, None] + tau * at[1]
        of = self.arms.terms(_either(base, effect))
        log_f = of.value[0] + of.value[1] - (at[0] ** 2 + at[1] ** 2) / 2 + log_weight[None, :, None]
        log_f = log_f + np.log(root[0] * root[2])[:, None]
        top = log_f.max(axis=1)
        weight = np.exp(log_f - top[:, None])
        total = weight.sum(axis=1)
        loglik = (top + np.log(total)).sum(axis=0) - len(w) * np.log(2 * np.pi) + self.arms.constant
        return loglik, weight / total[:, None], at, of

    def _mode(
        self, middle: FloatArray, mean: FloatArray, sigma: FloatArray, tau: FloatArray
    ) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray, FloatArray]]:
        """Mode of the integrand and the lower triangular root of the inverse curvature there, (k, n) each."""
        y, v = self.arms.empirical()
        base, spread = y.mean(axis=1, keepdims=True), v.sum(axis=1, keepdims=True)
        w = sigma * (base - middle) / (sigma**2 + spread / 4)
        u = tau * (y[:, :1] - y[:, 1:] - mean) / (tau**2 + spread)
        longest = 1 / np.maximum(np.maximum(sigma, tau), 1e-3)
        for _ in range(_NEWTON):
            of = self.arms.terms(_either(middle + sigma * w, mean + tau * u))
            a, b = of.information
            g1 = sigma * (of.score[0] + of.score[1]) - w
            g2 = tau * (of.score[0] - of.score[1]) / 2 - u
            h11, h12, h22 = 1 + sigma**2 * (a + b), sigma * tau * (a - b) / 2, 1 + tau**2 * (a + b) / 4
            det = h11 * h22 - h12 * h12
            d1, d2 = (h22 * g1 - h12 * g2) / det, (h11 * g2 - h12 * g1) / det
            size = np.maximum(np.abs(d1), np.abs(d2))
            factor = np.minimum(1.0, longest / np.maximum(size, 1e-300))
            w, u = w + factor * d1, u + factor * d2
            if (d1 * g1 + d2 * g2).max() < 1e-20:
                break
        first = np.sqrt(h22 / det)
        second = -h12 / det / first
        return w, u, (first, second, 1 / np.sqrt(h22))

    def _at(self, theta: FloatArray, nodes: int) -> At:
        p, n = self.x.shape[1], theta.shape[0]
        loglik, weight, (w, u), of = self._integral(theta, nodes)
        one: FloatArray = np.ones_like(w)
        load = [(one, one), (one, 0 * one), (w, w), (u / 2, -u / 2)]  # of alpha, mean, sigma and tau on the two arms
        parts = [treated * of.score[0] + control * of.score[1] for treated, control in load]
        slope = np.array([(weight * part).sum(axis=1) for part in parts])
        curve = np.empty((4, 4, *slope.shape[1:]))
        for i, a in enumerate(load):
            for j, b in enumerate(load[: i + 1]):
                inner = parts[i] * parts[j] - a[0] * b[0] * of.information[0] - a[1] * b[1] * of.information[1]
                curve[i, j] = curve[j, i] = (weight * inner).sum(axis=1) - slope[i] * slope[j]
        design = np.zeros((4, self.x.shape[0], p + 3))
        design[0, :, 0], design[1, :, 1 : p + 1], design[2, :, p + 1], design[3, :, p + 2] = 1, self.x, 1, 1
        gradient = np.einsum("ikn,ikq->nq", slope, design)
        hessian = np.einsum("ijkn,ikq,jkr->nqr", curve, design, design, optimize=True)
        return At(loglik, gradient, hessian, np.zeros(n))


@lru_cache(maxsize=16)
def _product(nodes: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Product of two Gauss-Hermite rules, and the logarithms of weights over the density's exponential."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    one, two = np.repeat(z, nodes), np.tile(z, nodes)
    log_weight = np.log(weight) + z * z / 2
    return one, two, np.repeat(log_weight, nodes) + np.tile(log_weight, nodes)
