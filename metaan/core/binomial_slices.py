"""The binomial-normal model for given tau: the posterior of mu, and the studies' marginal likelihoods.

For each tau the posterior of mu is log-concave. Its logarithm, and the log-likelihood of each study, are taken at
Chebyshev points over the range in which it exceeds exp(-26) of its maximum.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, log_ndtr, ndtr

from metaan.core.binomial import Binomial, Value, evaluate, log_likelihood, trapezoid
from metaan.core.chebyshev import FloatArray, coefficients, points, weights
from metaan.core.posterior import NormalMean

__all__ = ["Model", "Slices", "slices", "step_likelihood"]

IntArray = npt.NDArray[np.intp]
_DROP: Final = 26.0
_MU: Final = 49
_MOST_MU: Final = 257
_RESOLVED: Final = 1e-4  # doubt, whose square is about the error
_SMALL: Final = 1e-8  # of the last coefficients of a series
_ROUGH: Final = 33
_STEPS: Final = 40
_ROUGH_STEPS: Final = 8
_AS_ZERO: Final = 1e-4  # tau below which the likelihood is that of tau = 0, near enough to find a range
_EDGE_STEPS: Final = 7
_AGREE: Final = 1e-5
_MOST_NODES: Final = 16385
_CHUNK: Final = 400_000
_STEP_FROM: Final = 20.0
_STEP_REACH: Final = 40.0
_STEP_NODES: Final = 160


class Model(NamedTuple):
    """Counts (k,), how many studies have them, and the prior of mu."""

    x: FloatArray
    N: FloatArray
    times: IntArray
    prior: NormalMean

    def value(self, mu: FloatArray, tau: FloatArray, nodes: int) -> Value:
        """Log posterior of mu given tau, not normalised, with its derivatives in mu; mu and tau of shape (n,)."""
        x, N = (np.repeat(of, self.times)[:, None] for of in (self.x, self.N))
        far = tau > _STEP_FROM
        if far.any():
            here = ~(far & ((x == 0) | (x == N)))  # the others count as absent
            b = Binomial.from_counts(x * here, N * here)
        else:
            b = Binomial.from_counts(x, N).take(np.zeros(mu.size, np.intp))
        at = evaluate(b, mu, tau, trapezoid(b, mu, tau, nodes))
        if far.any():
            at = self._with_steps(at, mu, np.where(far, tau, np.inf))
        know = 0.0 if self.prior.flat else 1 / self.prior.sd**2
        pull = 0.0 if self.prior.flat else know * (mu - self.prior.mean)
        return at._replace(
            loglik=at.loglik + self.prior.log_density(mu), mu=np.asarray(at.mu - pull), mu_mu=at.mu_mu - know
        )

    def _with_steps(self, at: Value, mu: FloatArray, tau: FloatArray) -> Value:
        """Add the studies at 0 or n, as steps, where tau is finite."""
        for x, N, times in zip(self.x, self.N, self.times, strict=True):
            if 0 < x < N:
                continue
            side = 1.0 if x == 0 else -1.0
            s = (side * mu - _step_at(N)) / tau
            log_p = np.where(np.isinf(tau), 0.0, log_ndtr(-s))
            h = np.where(np.isinf(tau), 0.0, np.exp(-s * s / 2 - log_ndtr(-s)) / np.sqrt(2 * np.pi))
            at = at._replace(
                loglik=at.loglik + times * log_p,
                mu=at.mu - times * side * h / tau,
                mu_mu=at.mu_mu - times * h * (h - s) / tau**2,
            )
        return at

    def peak(self, tau: FloatArray, steps: int = _STEPS) -> tuple[FloatArray, Value]:
        """Mode of mu given tau: Newton's method on a concave function."""
        hit, miss = self.x + 0.5, self.N - self.x + 0.5
        y = np.log(hit / miss)[:, None]
        w = self.times[:, None] / ((1 / hit + 1 / miss)[:, None] + tau**2)
        know = 0.0 if self.prior.flat else 1 / self.prior.sd**2
        mu = ((w * y).sum(axis=0) + (0.0 if self.prior.flat else know * self.prior.mean)) / (w.sum(axis=0) + know)
        at = self.value(mu, tau, _ROUGH)
        for _ in range(steps):
            step = at.mu / np.maximum(-at.mu_mu, 1e-12)
            mu = mu + np.clip(step, -1 - tau, 1 + tau)
            at = self.value(mu, tau, _ROUGH)
            if (at.mu**2 < 1e-4 * np.abs(at.mu_mu)).all():
                break
        return mu, at

    def edges(self, tau: FloatArray, mu: FloatArray, top: Value) -> tuple[FloatArray, FloatArray]:
        """Where the posterior of mu given tau has fallen by exp(-26): from beyond, as the fall is convex."""
        side = np.repeat([-1.0, 1.0], tau.size)
        mu, tau, height = np.tile(mu, 2), np.tile(tau, 2), np.tile(top.loglik, 2)
        distance = np.sqrt(2 * _DROP / np.maximum(-np.tile(top.mu_mu, 2), 1e-12))
        for _ in range(_EDGE_STEPS):
            at = self.value(mu + side * distance, tau, _ROUGH)
            fall = np.maximum(-side * at.mu, 1e-3 / distance)
            distance = distance * np.clip(1 - (height - at.loglik - _DROP) / fall / distance, 0.1, 10.0)
        ends = (mu + side * distance).reshape(2, -1)
        return ends[0], ends[1]

    def rough(self, tau: FloatArray) -> FloatArray:
        """Marginal log-likelihood of tau by Laplace's method in mu."""
        parts = []
        tau, place = np.unique(np.maximum(tau, _AS_ZERO), return_inverse=True)
        width = max(1, _CHUNK // (int(self.times.sum()) * _ROUGH))
        for i in range(0, tau.size, width):
            _, at = self.peak(tau[i : i + width], _ROUGH_STEPS)
            parts.append(at.loglik + np.log(2 * np.pi / np.maximum(-at.mu_mu, 1e-12)) / 2)
        return np.concatenate(parts)[place]

    def _steps(self, tau: FloatArray) -> npt.NDArray[np.bool_]:
        """Where a likelihood is a step beside the distribution of its log odds, (k, J)."""
        extreme = (self.x == 0) | (self.x == self.N)
        return np.asarray(extreme[:, None] & (tau > _STEP_FROM))

    def nodes(self, mu: FloatArray, tau: FloatArray) -> IntArray:
        """Nodes that the integral of each study takes at three places mu, (3, J); the largest, (k, J)."""
        k, J = self.x.size, tau.size
        need = np.full((k, 3, J), _ROUGH)
        places = np.broadcast_to(mu, (k, 3, J)).ravel()
        taus = np.broadcast_to(tau, (k, 3, J)).ravel()
        x, N = (np.repeat(of, 3 * J) for of in (self.x, self.N))
        soft = self._steps(tau)[:, None].repeat(3, axis=1).ravel()
        todo, nodes = np.flatnonzero(~soft), _ROUGH
        while todo.size and 2 * nodes <= _MOST_NODES:
            width = max(1, _CHUNK // nodes)
            doubt = np.concatenate([
                evaluate(b, places[i], taus[i], trapezoid(b, places[i], taus[i], nodes)).doubt
                for j in range(0, todo.size, width)
                for i in (todo[j : j + width],)
                for b in (Binomial.from_counts(x[None, i], N[None, i]),)
            ])  # fmt: skip
            todo, nodes = todo[doubt > _AGREE], 2 * nodes - 1
            need.ravel()[todo] = nodes
        return np.asarray(need.max(axis=1))

    def by_study(self, mu: FloatArray, tau: FloatArray, nodes: IntArray) -> FloatArray:
        """Marginal log-likelihood of each study at mu, (n, J), for each tau: (k, n, J)."""
        k, (n, J) = self.x.size, mu.shape
        out = np.full(k * n * J, np.nan)
        mus, taus = np.broadcast_to(mu, (k, n, J)).ravel(), np.broadcast_to(tau, (k, n, J)).ravel()
        x, N = (np.repeat(of, n * J) for of in (self.x, self.N))
        need = np.broadcast_to(nodes[:, None], (k, n, J)).ravel()
        soft = self._steps(tau)[:, None].repeat(n, axis=1).ravel()
        side = np.where(x[soft] == 0, 1.0, -1.0)
        out[soft] = step_likelihood(N[soft], side * mus[soft], taus[soft])
        for number in np.unique(need[~soft]):
            columns = np.flatnonzero((need == number) & ~soft)
            width = max(1, _CHUNK // int(number))
            for j in range(0, columns.size, width):
                i = columns[j : j + width]
                b = Binomial.from_counts(x[None, i], N[None, i])
                out[i] = log_likelihood(b, mus[i], taus[i], trapezoid(b, mus[i], taus[i], int(number)))
        return out.reshape(k, n, J)


def step_likelihood(N: FloatArray, mu: FloatArray, tau: FloatArray) -> FloatArray:
    """Marginal log-likelihood of no events of N, for a tau that is wide beside the fall of f(eta) = (1 + exp eta)^-N.

    With c where f is 1/2: Phi((c - mu)/tau) - E[1 - f; eta < c] + E[f; eta > c], whose integrands live about c.
    """
    c = _step_at(N)
    z, w = np.polynomial.legendre.leggauss(_STEP_NODES)
    s = (mu - c) / tau
    above = np.maximum(s, 0.0)  # everything is taken relative to exp(-above^2/2)
    total = np.where(s > 0, erfcx(above / np.sqrt(2)) / 2, ndtr(-s))
    for side in (-1.0, 1.0):
        eta = c[:, None] + side * _STEP_REACH * (1 + z) / 2
        log_f = -N[:, None] * np.logaddexp(0.0, eta)
        f = np.exp(log_f) if side > 0 else np.expm1(log_f)
        u = (eta - mu[:, None]) / tau[:, None]
        density = np.exp((above[:, None] ** 2 - u * u) / 2)
        total = total + (f * density) @ w * _STEP_REACH / 2 / (tau * np.sqrt(2 * np.pi))
    return np.asarray(np.log(total) - above**2 / 2)


def _step_at(N: FloatArray) -> FloatArray:
    """Where (1 + exp eta)^-N is 1/2."""
    return np.asarray(np.log(np.expm1(np.log(2) / N)))


class Slices(NamedTuple):
    """The posterior of mu for each tau."""

    low: FloatArray
    high: FloatArray
    log_density: FloatArray
    """At the Chebyshev points, normalised, (n, J)."""
    by_study: FloatArray
    """Marginal log-likelihood of each study there, (k, n, J)."""
    log_total: FloatArray
    """Marginal log-likelihood of tau, (J,)."""
    doubt: FloatArray

    @property
    def half(self) -> FloatArray:
        """Half the length of the range."""
        return (self.high - self.low) / 2

    def places(self, n: int) -> FloatArray:
        """The n Chebyshev points of each range, (n, J)."""
        return self.low + self.half * (1 + points(n)[:, None])


def slices(model: Model, tau: FloatArray) -> Slices:
    """Posterior of mu for each tau, with as many points as it takes."""
    mu, top = model.peak(tau)
    low, high = model.edges(tau, mu, top)
    need = model.nodes(np.array([0.4 * low + 0.6 * mu, mu, 0.4 * high + 0.6 * mu]), tau)
    n = _MU
    while True:
        half = (high - low) / 2
        at = low + half * (1 + points(n)[:, None])
        by_study = model.by_study(at, tau, need)
        log_f = np.tensordot(model.times, by_study, 1) + model.prior.log_density(at)
        peak = log_f.max(axis=0)
        f = np.exp(log_f - peak)
        total = weights(n) @ f * half
        doubt = np.abs(weights((n + 1) // 2) @ f[::2] * half / total - 1)
        log_total = peak + np.log(total)
        rest = np.abs(coefficients(log_f)[-3:]).max()
        if ((doubt < _RESOLVED).all() and rest < _SMALL) or 2 * n > _MOST_MU:
            return Slices(low, high, log_f - log_total, by_study, log_total, doubt)
        n = 2 * n - 1
