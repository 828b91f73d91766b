"""The mean of a function of the true effects over the population of studies, under a posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from metaan.core.chebyshev import FloatArray
from metaan.core.posterior import TauPosterior
from metaan.core.roots import bracketed_root

__all__ = ["Conditional", "mean_quantiles"]

_Z: Final = 129
_COUNTS: Final = 1e-14


class Conditional(Protocol):
    """A posterior of tau, and of mu given tau."""

    @property
    def tau(self) -> TauPosterior:
        """Of tau."""

    @property
    def mean(self) -> FloatArray:
        """Of mu given tau, (J,)."""

    @property
    def sd(self) -> FloatArray:
        """Of mu given tau, (J,)."""

    def mu_below(self, at: FloatArray) -> FloatArray:
        """P(mu < at_j given tau_j), (J,)."""


def mean_quantiles(posterior: Conditional, g: Callable[[FloatArray], FloatArray], p: FloatArray) -> FloatArray:
    """Quantiles of M = E g(mu + tau z), z standard normal and g not decreasing.

    M increases with mu, so that P(M < c) is a mean over tau of P(mu < mu_c given tau), with M(mu_c, tau) = c.
    """
    z = np.linspace(-8.4, 8.4, _Z)
    w = np.exp(-z * z / 2)
    w /= w.sum()
    count = posterior.tau.weight > _COUNTS
    tau, weight = posterior.tau.tau, posterior.tau.weight
    reach = 9 * posterior.sd + 1e-300
    low, high = posterior.mean - 1.5 * reach, posterior.mean + 1.5 * reach

    def average(mu: FloatArray, spread: FloatArray) -> FloatArray:
        return np.asarray(g(mu[..., None] + spread[..., None] * z) @ w)

    def below(c: FloatArray) -> FloatArray:
        m = np.broadcast_to(c[:, None], (c.size, tau.size)).ravel()
        taus = np.tile(tau, c.size)

        def excess(mu: FloatArray) -> FloatArray:
            return average(mu, taus) - m

        a, b = np.tile(low, c.size), np.tile(high, c.size)
        fa, fb = excess(a), excess(b)
        root = bracketed_root(excess, a, b, fa, fb, tolerance=1e-10)
        root = np.where(fa > 0, -np.inf, np.where(fb < 0, np.inf, root)).reshape(c.size, tau.size)
        return np.array([weight[count] @ posterior.mu_below(np.clip(r, low, high))[count] for r in root])

    a = np.full(p.size, average(low, tau)[count].min())
    b = np.full(p.size, average(high, tau)[count].max())
    return bracketed_root(lambda c: below(c) - p, a, b, below(a) - p, below(b) - p, tolerance=1e-10)
