"""The highest maximum of the clustered model, and profile-likelihood limits of its mean and its correlation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import chdtri, logit

from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import TAU_HELD
from metaan.core.binomial_fit import fit as fit_binomial
from metaan.core.clustered import Clusters, Patients
from metaan.core.clustered_fit import Found, evaluate, maximise
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["ClusteredFit", "fit", "mu_limits", "rho_limits", "separated_limit"]

_SCAN: Final = np.array([0.03, 0.1, 0.25, 0.5, 0.8])  # rho
_EDGE: Final = np.array([0.05, 0.4, 0.8])
_SPREADS: Final = np.array([0.4, 1.0, 2.5])  # multiples of the tau of as many effective lesions
_LEAST_TAU: Final = 0.15  # that a search starts from
_HIGHER: Final = 1e-11  # relative: a maximum inside must be so much higher than one on an edge
_ENOUGH: Final = 1e-10  # squared length of the last step where only the height is wanted
_FAR_BELOW: Final = -1e3
_CLOSE: Final = 1e-3  # to an end of rho: the next step outward is the end
_GROWTHS: Final = 12


class ClusteredFit(NamedTuple):
    """Maximum-likelihood fit of one meta-analysis."""

    theta: FloatArray
    """mu, tau, rho, (3,)."""
    loglik: float
    loglik_common: float
    """Highest likelihood with tau = 0."""
    loglik_apart: float
    """Highest likelihood with rho = 0."""
    cov: FloatArray
    """Inverse of the observed information in (mu, tau, rho), (3, 3); NaN for what is held or at an end of its range."""
    mean: FloatArray
    """Posterior mean of each study's log odds, (k,), and its standard deviation."""
    sd: FloatArray
    steps: int
    nodes: int
    maxima: int
    converged: bool
    estimated: bool
    """Whether rho is."""
    separated: bool = False
    """No events at all or nothing but events: mu is infinite, tau and rho are not determined."""
    held: bool = False
    """Every study at 0 or n, both kinds present: tau is held at TAU_HELD, rho at 0 unless given."""


class _Peak(NamedTuple):
    theta: FloatArray
    loglik: float
    converged: bool
    steps: int


def fit(data: Clusters, rho: float | None) -> ClusteredFit:
    """Maximum likelihood over mu, tau >= 0 and, unless it is given, 0 <= rho <= 1."""
    b = Binomial.from_counts(data.x[:, None], data.N[:, None])
    alone = fit_binomial(b)
    apart = _Peak(
        np.array([alone.mu[0], alone.tau[0], 0.0]), float(alone.loglik[0] - b.constant[0]) + data.constant,
        bool(alone.converged[0]), int(alone.iterations[0]),
    )  # fmt: skip
    if alone.separated[0]:
        return _separated(data, apart, rho)
    if alone.held[0]:
        return _held(data, float(alone.mu_common[0]), rho)
    if rho == 0:
        common = float(alone.loglik_common[0] - b.constant[0]) + data.constant
        return _result(data, apart, (common, apart.loglik), int(alone.maxima[0]), estimated=False)
    edge = _peaks(maximise(data, _edge_starts(data, rho), (True, False, rho is None)))
    inside = _peaks(maximise(data, _starts(data, rho), (True, True, rho is None))) if data.x.size > 1 else []
    peaks = [*([apart] if rho is None else []), *edge, *inside]
    best = peaks[0]
    for peak in peaks[1:]:
        if peak.loglik > best.loglik + _HIGHER * abs(best.loglik):
            best = peak
    common = max(peak.loglik for peak in [*edge, *([apart] if rho is None and apart.theta[1] == 0 else [])])
    return _result(data, best, (common, apart.loglik), _count(data, peaks, rho is None), estimated=rho is None)


def _edge_starts(data: Clusters, rho: float | None) -> FloatArray:
    rhos = _EDGE if rho is None else np.array([rho])
    mu = np.full(rhos.size, logit(data.x.sum() / data.N.sum()))
    return np.stack([mu, np.zeros_like(mu), rhos])


def _starts(data: Clusters, rho: float | None) -> FloatArray:
    """Means and spreads of as many effective lesions; where rho is free, at the peaks of a scan in rho."""
    rhos = _SCAN if rho is None else np.array([rho])
    effect = 1 + (data.size[:, None] - 1) * rhos
    alone = fit_binomial(Binomial.from_counts(data.x[:, None] / effect, data.N[:, None] / effect))
    theta = np.stack([alone.mu, np.maximum(alone.tau, _LEAST_TAU), rhos])
    if rho is not None:
        return np.stack([np.repeat(theta[0], 3), theta[1] * _SPREADS, np.repeat(theta[2], 3)])
    height = np.r_[-np.inf, evaluate(data, theta, slopes=False).loglik, -np.inf]
    peak = (height[1:-1] >= height[:-2]) & (height[1:-1] >= height[2:])
    other = theta[:, [int(height[1:-1].argmax())]] * np.array([[1.0], [_SPREADS[2]], [1.0]])
    return np.hstack([theta[:, peak], other])


def _peaks(found: Found) -> list[_Peak]:
    """Ends of searches, highest first, without those that came down to tau = 0."""
    order = np.argsort(-found.loglik, kind="stable")
    return [
        _Peak(found.theta[:, j], float(found.loglik[j]), bool(found.converged[j]), int(found.steps[j]))
        for j in order
        if not found.vanished[j]
    ]


def _count(data: Clusters, peaks: list[_Peak], estimated: bool) -> int:
    """How many different local maxima there are among the ends of searches."""
    different: list[FloatArray] = []
    for peak in peaks:
        if not peak.converged or any(np.allclose(peak.theta, other, rtol=1e-3, atol=1e-4) for other in different):
            continue
        at = evaluate(data, peak.theta[:, None])
        rising = peak.theta[1] == 0 and data.x.size > 1 and at.spread[0] > 1e-9
        if not rising and not (estimated and peak.theta[2] == 0 and at.gradient[0, 2] > 1e-9):
            different.append(peak.theta)
    return max(len(different), 1)


def _result(data: Clusters, best: _Peak, others: tuple[float, float], maxima: int, *, estimated: bool) -> ClusteredFit:
    at = evaluate(data, best.theta[:, None])
    return ClusteredFit(
        theta=best.theta, loglik=best.loglik, loglik_common=others[0], loglik_apart=others[1],
        cov=_covariance(at.hessian[0], best.theta, estimated), mean=at.mean[:, 0], sd=at.sd[:, 0],
        steps=best.steps, nodes=at.nodes, maxima=maxima, converged=best.converged, estimated=estimated,
    )  # fmt: skip


def _covariance(hessian: FloatArray, theta: FloatArray, estimated: bool) -> FloatArray:
    """Inverse information of what is estimated inside its range; of less where that is not positive definite."""
    cov = np.full((3, 3), np.nan)
    free = np.array([True, theta[1] > 0, estimated and 0 < theta[2] < 1])
    for index in (np.flatnonzero(free), np.flatnonzero(free & [True, True, False]), np.array([0])):
        block = np.ix_(index, index)
        information = -hessian[block]
        scale = np.sqrt(np.abs(np.diagonal(information)))
        if np.linalg.eigvalsh(information / np.outer(scale, scale))[0] > 1e-9:
            cov[block] = np.linalg.inv(information)
            break
    return cov


def _separated(data: Clusters, apart: _Peak, rho: float | None) -> ClusteredFit:
    blank = np.full(data.x.size, np.nan)
    cov = np.full((3, 3), np.nan)
    cov[0, 0] = np.inf
    return ClusteredFit(
        theta=np.array([apart.theta[0], 0.0, np.nan if rho is None else rho]), loglik=0.0, loglik_common=0.0,
        loglik_apart=0.0, cov=cov, mean=np.full_like(blank, apart.theta[0]), sd=blank, steps=0, nodes=0, maxima=1,
        converged=True, estimated=rho is None, separated=True,
    )  # fmt: skip


def _held(data: Clusters, mu: float, rho: float | None) -> ClusteredFit:
    start = np.array([[mu], [TAU_HELD], [0.0 if rho is None else rho]])
    found = maximise(data, start, (True, False, False))
    peak = _peaks(found)[0]
    edge = maximise(data, start * [[1.0], [0.0], [1.0]], (True, False, False))
    fitted = _result(data, peak, (float(edge.loglik[0]), peak.loglik), 1, estimated=False)
    cov = np.full((3, 3), np.nan)
    cov[0, 0] = -1 / evaluate(data, peak.theta[:, None]).hessian[0, 0, 0]
    return fitted._replace(cov=cov, held=True)


def separated_limit(data: Clusters, rho: float | None, level: float) -> float:
    """Log odds, below 0, at which no events at all have lost chi2(1)/2 in log-likelihood; tau = 0.

    Over an unknown rho the likelihood of no events is highest at rho = 1, where patients are the units.
    """
    drop = chdtri(1.0, 1 - level) / 2
    lesions, patients = (logit(-np.expm1(-drop / units.sum(keepdims=True))) for units in (data.N, data.patients))
    if rho is None or rho == 0:
        return float((patients if rho is None else lesions)[0])
    none = data if data.x.sum() == 0 else _mirrored(data)

    def excess(mu: FloatArray) -> FloatArray:
        theta = np.stack([mu, np.zeros_like(mu), np.full_like(mu, rho)])
        return evaluate(none, theta, slopes=False).loglik + drop

    return float(bracketed_root(excess, lesions, patients, excess(lesions), excess(patients))[0])


def _mirrored(data: Clusters) -> Clusters:
    """Nothing but events, read as none at all."""
    blocks = []
    for block in data.blocks:
        assert isinstance(block, Patients)
        blocks.append(block._replace(hit=block.miss, miss=block.hit, events=block.others, others=block.events))
    return data._replace(x=data.N - data.x, blocks=tuple(blocks))


def mu_limits(data: Clusters, found: ClusteredFit, level: float) -> tuple[float, float]:
    """Log odds whose profile log-likelihood, over tau and rho, lies chi2(1)/2 below the maximum."""
    mu, tau, rho = found.theta
    several = data.x.size > 1

    def height(values: FloatArray) -> FloatArray:
        spread = np.maximum(np.hypot(tau, values - mu), _LEAST_TAU)
        rhos = (max(rho, 0.02), 0.5) if found.estimated else (rho,)
        starts = [np.stack([values, spread, np.full_like(values, r)]) for r in rhos]
        return _highest(data, starts, (False, several, found.estimated), several)

    return _limits(height, found, 0, level, (-np.inf, np.inf))


def rho_limits(data: Clusters, found: ClusteredFit, level: float) -> tuple[float, float]:
    """Correlations whose profile log-likelihood, over mu and tau, lies chi2(1)/2 below the maximum: 0 or 1 if none."""
    several = data.x.size > 1

    def height(values: FloatArray) -> FloatArray:
        mu = np.full_like(values, found.theta[0])
        start = np.stack([mu, np.full_like(mu, max(found.theta[1], _LEAST_TAU)), values])
        return _highest(data, [start], (True, several, False), several)

    return _limits(height, found, 2, level, (0.0, 1.0))


def _highest(data: Clusters, starts: list[FloatArray], free: tuple[bool, bool, bool], several: bool) -> FloatArray:
    """Highest maximum from the starts and from the same with tau = 0, (n,)."""
    start = np.hstack(starts)
    edge = start * [[1.0], [0.0], [1.0]]
    found = [maximise(data, edge, (free[0], False, free[2]), enough=_ENOUGH)]
    if several:
        found.append(maximise(data, start, free, enough=_ENOUGH))
    heights = np.stack([np.where(np.isnan(one.loglik), -np.inf, one.loglik) for one in found])
    return np.asarray(heights.reshape(len(found) * len(starts), -1).max(axis=0))


def _limits(
    height: Callable[[FloatArray], FloatArray], found: ClusteredFit, which: int, level: float,
    ends: tuple[float, float],
) -> tuple[float, float]:  # fmt: skip
    """Both limits of one parameter: step outward until the profile has fallen enough, then find the roots."""
    drop = found.loglik - chdtri(1.0, 1 - level) / 2
    best = found.theta[which]
    se = np.sqrt(found.cov[which, which])
    step = (2.2 * se if np.isfinite(se) else 0.15) * np.array([-1.0, 1.0])

    def excess(values: FloatArray) -> FloatArray:
        return np.maximum(height(values) - drop, _FAR_BELOW)

    limits = []
    for end, move in zip(ends, step, strict=True):
        inside, f_inside = np.array([best]), np.array([found.loglik - drop])
        outside = _toward(end, best, best + move)
        f_outside = excess(outside) if outside[0] != best else f_inside
        for _ in range(_GROWTHS):
            if f_outside[0] <= 0 or outside[0] == end:
                break
            inside, f_inside = outside, f_outside
            outside = _toward(end, outside[0], best + 2 * (outside[0] - best))
            f_outside = excess(outside)
        if f_outside[0] > 0:
            limits.append(end)
        else:
            limits.append(float(bracketed_root(excess, outside, inside, f_outside, f_inside, tolerance=1e-7)[0]))
    return limits[0], limits[1]


def _toward(end: float, here: float, there: float) -> FloatArray:
    """Go there, but no more than most of the way to an end that is not close."""
    if np.isinf(end):
        return np.array([there])
    left = abs(end - here)
    most = end if left < _CLOSE else end - (end - here) / 8
    return np.array([there if abs(there - here) < abs(most - here) else most])
