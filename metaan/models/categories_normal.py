"""Sequential logits with normal random effects, fitted: independent stages first, then correlated ones."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import TAU_HELD, BinomialFit, fit
from metaan.core.multinomial_normal import (
    NormalFit,
    Sequential,
    maximise,
    mean_shares,
    posterior_shares,
    shares,
    stage_means,
    stage_posteriors,
)
from metaan.core.wls import FloatArray
from metaan.errors import Note
from metaan.models.results import Convergence

__all__ = ["Stages", "fit_stages"]

_SINGULAR: Final = 1e-4  # smallest over largest standard deviation of the random effects
_FINER: Final = 1e-4  # change of the log-likelihood with more nodes that is told


class Stages(NamedTuple):
    """A fit with what follows from it; d stages, C = d + 1 categories."""

    mu: FloatArray
    L: FloatArray
    structure: str
    loglik: float
    loglik_diagonal: float | None
    parameters: int
    mean: FloatArray
    mean_cov: FloatArray
    typical: FloatArray
    shrunken: FloatArray
    convergence: Convergence
    notes: tuple[Note, ...]


def fit_stages(x: FloatArray, structure: str) -> Stages:
    """Fit counts (k, C) without empty categories."""
    b = Sequential.from_counts(x)
    d = b.y.shape[1]
    if d == 0:
        return _one_category(x, structure)
    alone = fit(Binomial.from_counts(b.y, b.N))
    loglik = float(alone.loglik.sum())
    if structure == "diagonal" or d == 1:
        return _diagonal(b, alone, structure, ())
    fixed = alone.held | ~alone.identified
    if fixed.any():
        return _diagonal(b, alone, "diagonal", (_fallback("some stages do not determine their variance"),))
    best = max((maximise(b, *start) for start in _starts(b, alone)), key=lambda found: (found.converged, found.loglik))
    if not best.converged:
        return _diagonal(b, alone, "diagonal", (_fallback("the search for correlated ones had no end"),))
    return _full(b, best, loglik)


def _fallback(why: str) -> Note:
    return Note("diagonal", f"The random effects of the stages are taken as independent: {why}.")


def _one_category(x: FloatArray, structure: str) -> Stages:
    nothing = np.zeros((0, 0))
    return Stages(
        np.zeros(0), nothing, structure, 0.0, None, 0, np.ones(1), np.zeros((1, 1)), np.ones(1), np.ones_like(x),
        Convergence(), (),
    )  # fmt: skip


def _starts(b: Sequential, alone: BinomialFit) -> list[tuple[FloatArray, FloatArray]]:
    """Independent stages, and the correlations of the empirical log odds halved."""
    tau = np.maximum(alone.tau, 0.3)
    effects = np.log((b.y + 0.5) / (b.N - b.y + 0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        cor = np.nan_to_num(np.corrcoef(effects.T))
    cor = (cor + np.eye(tau.size)) / 2
    np.fill_diagonal(cor, 1.0)
    return [(alone.mu, np.diag(tau)), (alone.mu, tau[:, None] * np.linalg.cholesky(cor))]


def _diagonal(b: Sequential, alone: BinomialFit, structure: str, notes: tuple[Note, ...]) -> Stages:
    d = alone.mu.size
    mean, by_mu, by_tau = stage_means(alone.mu, alone.tau)
    whole, slope = _from_stages(mean)
    jac = np.concatenate([slope * by_mu, slope * by_tau], axis=1)
    cov = np.zeros((2 * d, 2 * d))
    for a in range(d):
        at = np.ix_([a, d + a], [a, d + a])
        cov[at] = np.nan_to_num(alone.cov[a])
    more = []
    held = [str(a + 1) for a in np.flatnonzero(alone.held)]
    if held:
        text = f"tau has no finite estimate in stage {', '.join(held)} and is held at {TAU_HELD:g}."
        more.append(Note("tau2-unbounded", text))
    zero = [str(a + 1) for a in np.flatnonzero((alone.tau == 0) & ~alone.held)]
    if zero:
        more.append(Note("tau2-zero", f"tau2 is 0 in stage {', '.join(zero)}."))
    converged = bool(alone.converged.all())
    return Stages(
        alone.mu, np.diag(alone.tau), structure, float(alone.loglik.sum()), None, 2 * d, whole, jac @ cov @ jac.T,
        shares(alone.mu), _from_stages(stage_posteriors(b, alone))[0],
        Convergence(
            converged=converged, iterations=int(alone.iterations.max()), maxima=int(alone.maxima.max()),
            nodes=int(alone.nodes.max()) or None,
        ),
        (*notes, *more),
    )  # fmt: skip


def _from_stages(p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shares of independent stages with means p (..., d), and their derivatives in p, (..., C, d)."""
    d = p.shape[-1]
    ones = np.ones((*p.shape[:-1], 1))
    chosen = np.concatenate([p, ones], axis=-1)
    slope = np.zeros((*p.shape[:-1], d + 1, d))
    value = np.empty((*p.shape[:-1], d + 1))
    for c in range(d + 1):
        parts = [1 - p[..., a] for a in range(c)] + [chosen[..., c]]
        value[..., c] = np.prod(parts, axis=0)
        for a in range(min(c + 1, d)):
            rest = np.prod([*parts[:a], *parts[a + 1 :], ones[..., 0]], axis=0)
            slope[..., c, a] = rest if a == c else -rest
    return value, slope


def _full(b: Sequential, found: NormalFit, loglik_diagonal: float) -> Stages:
    d = found.mu.size
    mean, jac = mean_shares(found.mu, found.L)
    L = found.L * np.where(np.diagonal(found.L) < 0, -1.0, 1.0)
    sd = np.sqrt(np.maximum(np.linalg.eigvalsh(L @ L.T), 0.0))
    notes = []
    if sd[0] < _SINGULAR * max(float(sd[-1]), _SINGULAR):
        text = "The covariance of the random effects is estimated as singular, which the intervals take as known."
        notes.append(Note("singular", text))
    if found.doubt > _FINER and math.isfinite(found.doubt):
        notes.append(Note("quadrature", f"More nodes change the log-likelihood by {found.doubt:.1g}."))
    return Stages(
        found.mu, L, "full", found.loglik, loglik_diagonal, d + d * (d + 1) // 2, mean, jac @ found.cov @ jac.T,
        shares(found.mu), posterior_shares(b, found.mu, found.L, found.nodes),
        Convergence(converged=found.converged, iterations=found.iterations, maxima=1, nodes=found.nodes),
        tuple(notes),
    )  # fmt: skip
