"""Maximum likelihood of the binomial-normal model for many meta-analyses at once.

For a fixed tau the log-likelihood is concave in mu (a marginal of a log-concave function), so that tau alone can
have several local maxima. The profile in tau is therefore scanned on a grid, every local maximum of the scan is a
start, Newton's method with exact derivatives finishes each, and the highest wins. tau2 = 0 is a local maximum when
the score of tau2 there is not positive.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from metaan.core.binomial import Family, Nodes, Value, evaluate, gauss_hermite, trapezoid
from metaan.core.wls import FloatArray

__all__ = ["TAU_HELD", "BinomialFit", "covariance", "fit", "maximise_mu", "moved", "newton_step"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

TAU_HELD: Final = 10.0
"""tau when every study is at 0 or n and the likelihood is highest, a limit, for tau without bound."""

_SCAN: Final = np.array([0.08, 0.25, 0.6, 1.2, 2.5])  # multiples of the spread of the empirical log odds
_SCAN_NODES: Final = 9  # Gauss-Hermite: enough to rank starts
_SCAN_STEPS: Final = 1
_FIRST_NODES: Final = 33
_MOST_NODES: Final = 16385
_STEPS: Final = 60
_SMALL_DECREMENT: Final = 1e-16  # squared length of the last step in standard errors
_SHORT: Final = 0.05  # squared length of a step, in standard errors, over which the range of the integrand may be kept
_IS_ZERO: Final = 1e-5  # a search that comes down to such a tau has found the maximum at 0
_AGREE: Final = 1e-5  # of the integral and the one over every second node; the error of the former is about the square
_CHUNK: Final = 200_000  # nodes in memory at a time: arrays stay in the processor's cache


class BinomialFit(NamedTuple):
    """Maximum-likelihood fits: arrays of shape (n,), cov (n, 2, 2)."""

    mu: FloatArray
    tau: FloatArray
    loglik: FloatArray
    mu_common: FloatArray
    loglik_common: FloatArray
    cov: FloatArray
    """Inverse of the observed information in (mu, tau); tau's part is NaN where tau is 0 or held."""
    iterations: IntArray
    nodes: IntArray
    maxima: IntArray
    converged: BoolArray
    separated: BoolArray
    """No events at all or nothing but events: mu is infinite."""
    held: BoolArray
    """Every study at 0 or n, both kinds present, and no finite tau has a higher likelihood: held at TAU_HELD."""
    identified: BoolArray
    """Whether tau is: not for one study, nor for single observations, which tell the mean rate alone."""


class _Search(NamedTuple):
    mu: FloatArray
    tau: FloatArray
    value: Value
    steps: IntArray
    nodes: IntArray
    done: BoolArray

    @classmethod
    def start(cls, mu: FloatArray, tau: FloatArray) -> _Search:
        n = mu.shape[0]
        value = Value(*(np.empty(n) for _ in Value._fields))
        return cls(mu.copy(), tau.copy(), value, np.zeros(n, np.intp), np.zeros(n, np.intp), np.zeros(n, bool))


def fit(b: Family) -> BinomialFit:
    """Fit every meta-analysis of `b`, in chunks that bound memory."""
    k, n = b.x.shape
    width = max(1, _CHUNK // (k * _FIRST_NODES * _SCAN.size))
    parts = [_fit(b.take(np.arange(i, min(i + width, n)))) for i in range(0, n, width)]
    if len(parts) == 1:
        return parts[0]
    return BinomialFit(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(b: Family) -> BinomialFit:
    n = b.x.shape[1]
    mu0, loglik0 = b.common()
    total = b.x.sum(axis=0)
    separated = (total == 0) | (total == b.N.sum(axis=0))
    extreme = ((b.x == 0) | (b.x == b.N)).all(axis=0)
    several = (b.N > 0).sum(axis=0) > 1
    identified = ((b.N > 1).any(axis=0) | (not b.alike)) & several
    # binomials alike: E p^N <= E p, so that no likelihood exceeds its limit for tau without bound
    held = extreme & ~separated & identified & b.alike
    zero, score = _zero_is_maximum(b, mu0, separated)
    searched = ~separated & ~held & identified
    result = BinomialFit(
        mu=mu0.copy(), tau=np.zeros(n), loglik=loglik0.copy(), mu_common=mu0, loglik_common=loglik0,
        cov=_common_covariance(b, mu0), iterations=np.zeros(n, np.intp), nodes=np.zeros(n, np.intp),
        maxima=np.ones(n, np.intp), converged=np.ones(n, bool), separated=separated, held=held,
        identified=identified,
    )  # fmt: skip
    index = np.flatnonzero(searched)
    if index.size:
        owner, mu, tau = _starts(b.take(index), loglik0[index], zero[index], score[index])
        if owner.size:
            _keep_best(result, index, zero, index[owner], _polish(b.take(index[owner]), mu, tau))
    if not b.alike:
        beyond = (result.loglik < _limit(b)) | (result.tau > TAU_HELD)  # so far out quadrature is no proof either
        held |= extreme & ~separated & identified & beyond
    if held.any():
        _hold(result, b, np.flatnonzero(held))
    return result


def _limit(b: Family) -> FloatArray:
    """Log-likelihood for tau without bound, where every count is at an end: that of k yes-or-no observations."""
    here = b.N > 0
    k, hits = here.sum(axis=0), (here & (b.x == b.N)).sum(axis=0)
    return np.asarray(xlogy(hits, hits / k) + xlogy(k - hits, 1 - hits / k))


def _zero_is_maximum(b: Family, mu0: FloatArray, separated: BoolArray) -> tuple[BoolArray, FloatArray]:
    """Whether tau2 = 0 is a local maximum, and the score of tau2 there: sum [score^2 - information]/2."""
    slope, noise = b.slope(np.broadcast_to(np.where(separated, _any_rate(b), mu0), b.x.shape))
    score = (slope**2 - noise).sum(axis=0)
    return score <= 1e-12 * noise.sum(axis=0), score


def _any_rate(b: Family) -> float:
    """An eta at which the likelihood exists."""
    return min(0.0, b.top - 1.0)


def _common_covariance(b: Family, mu0: FloatArray) -> FloatArray:
    finite = np.isfinite(mu0) & (mu0 < b.top)
    information = b.slope(np.broadcast_to(np.where(finite, mu0, _any_rate(b)), b.x.shape))[1].sum(axis=0)
    cov = np.full((mu0.shape[0], 2, 2), np.nan)
    cov[:, 0, 0] = np.divide(1.0, information, out=np.full_like(information, np.inf), where=finite)
    return cov


def _starts(
    b: Family, loglik0: FloatArray, zero: BoolArray, score: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Local maxima of the profile on the scan: the meta-analysis each belongs to, mu and tau."""
    n, m = loglik0.shape[0], _SCAN.size
    here = b.N > 0
    count = here.sum(axis=0)
    centre = (b.logit * here).sum(axis=0) / count
    spread = np.sqrt((here * (b.logit - centre) ** 2).sum(axis=0) / count)
    tau = (np.maximum(spread, 0.1) * _SCAN[:, None]).ravel()
    owner = np.tile(np.arange(n), m)
    wide = b.take(owner)
    weight = (wide.N > 0) / (wide.variance + tau**2)
    mu = (weight * wide.logit).sum(axis=0) / weight.sum(axis=0)
    loglik = np.empty_like(mu)
    for _ in range(_SCAN_STEPS):
        at = evaluate(wide, mu, tau, gauss_hermite(wide, mu, tau, _SCAN_NODES, tolerance=0.05))
        mu, loglik = _concave_step(at, mu, tau)
    height = np.vstack([np.where(zero, loglik0, -np.inf), loglik.reshape(m, n), np.full(n, -np.inf)])
    peak = (height[1:-1] >= height[:-2]) & (height[1:-1] > height[2:])
    keep = peak.ravel()
    return owner[keep], mu[keep], tau[keep]


def _concave_step(at: Value, mu: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton step in mu for fixed tau, and the log-likelihood that it promises."""
    step = at.mu / np.maximum(-at.mu_mu, 1e-12)
    reach = 1.0 + tau
    return mu + np.clip(step, -reach, reach), at.loglik + at.mu * step / 2


def maximise_mu(b: Family, mu: FloatArray, tau: FloatArray) -> tuple[FloatArray, Value, int]:
    """Maximum over mu for fixed tau, where the log-likelihood is concave; also the most nodes it took."""
    mu, todo, nodes = mu.copy(), np.arange(mu.size), _FIRST_NODES
    found = Value(*(np.empty(mu.size) for _ in Value._fields))
    while True:
        mu[todo], at = _climb_mu(b.take(todo), mu[todo], tau[todo], nodes)
        for target, source in zip(found, at, strict=True):
            target[todo] = source
        todo = todo[at.doubt > _AGREE]
        if todo.size == 0 or 2 * nodes > _MOST_NODES:
            return mu, found, nodes
        nodes = 2 * nodes - 1


def _climb_mu(b: Family, mu: FloatArray, tau: FloatArray, nodes: int) -> tuple[FloatArray, Value]:
    """Newton in mu with a given number of nodes, short where these are too few."""
    at = evaluate(b, mu, tau, trapezoid(b, mu, tau, nodes))
    for _ in range(_STEPS):
        settled = at.mu**2 < _SMALL_DECREMENT * np.abs(at.mu_mu)
        if (settled | (at.doubt > _AGREE)).all():
            break
        mu, _ = _concave_step(at, mu, tau)
        at = evaluate(b, mu, tau, trapezoid(b, mu, tau, nodes))
    return mu, at


def newton_step(at: Value, tau: FloatArray, damping: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Damped Newton step in (mu, tau) and the undamped decrement; an indefinite Hessian is shifted.

    Downhill in tau the step is that of log tau, uphill that of tau^2: either way the curvature gains |score|/tau,
    which keeps the step short of overshooting and vanishes at the maximum. `moved` carries it out.
    """
    a, c, d = -at.mu_mu, -at.mu_tau, -at.tau_tau + np.abs(at.tau) / tau
    size = np.abs(a) + np.abs(d)
    smallest = (a + d) / 2 - np.hypot((a - d) / 2, c)
    definite = smallest > 1e-10 * size
    shift = np.where(definite, 0.0, 0.1 * size - smallest) + damping * size
    a, d = a + shift, d + shift
    det = a * d - c * c
    d_mu, d_tau = (d * at.mu - c * at.tau) / det, (a * at.tau - c * at.mu) / det
    decrement = np.where(definite & (damping == 0), at.mu * d_mu + at.tau * d_tau, np.inf)
    return d_mu, d_tau, decrement


def moved(tau: FloatArray, step: FloatArray) -> FloatArray:
    """Return tau after a step, on the scale of log tau when it falls and of tau^2 when it rises."""
    down = tau * np.exp(np.minimum(step, 0.0) / tau)
    up = np.sqrt(tau * (tau + 2 * np.maximum(step, 0.0)))
    return np.clip(np.where(step < 0, down, up), tau / 4, 3 * tau)


def _polish(b: Family, mu: FloatArray, tau: FloatArray) -> _Search:
    """Newton to the local maximum, with as many nodes as it takes that more change nothing."""
    found = _Search.start(mu, tau)
    todo, nodes = np.arange(mu.shape[0]), _FIRST_NODES
    while todo.size:
        part = _newton(b.take(todo), found.mu[todo], found.tau[todo], nodes)
        found.mu[todo], found.tau[todo] = part.mu, part.tau
        for target, source in zip(found.value, part.value, strict=True):
            target[todo] = source
        found.steps[todo] += part.steps
        found.nodes[todo] = nodes
        agree = part.value.doubt <= _AGREE
        found.done[todo] = part.done & agree
        if 2 * nodes > _MOST_NODES:
            break
        todo, nodes = todo[~agree], 2 * nodes - 1
    return found


class _State(NamedTuple):
    """Columns still in the iteration: which they are, where they stand, and the likelihood there."""

    column: IntArray
    b: Family
    mu: FloatArray
    tau: FloatArray
    damping: FloatArray
    grid: Nodes
    at: Value

    def keep(self, go: BoolArray) -> _State:
        grid = self.grid._replace(u=self.grid.u[..., go], log_weight=self.grid.log_weight[..., go])
        at = Value(*(x[go] for x in self.at))
        return _State(self.column[go], self.b.take(go), self.mu[go], self.tau[go], self.damping[go], grid, at)


def _newton(b: Family, mu: FloatArray, tau: FloatArray, nodes: int) -> _Search:
    """Damped Newton in (mu, tau); columns leave the iteration when they have converged or need more nodes."""
    out = _Search.start(mu, tau)
    grid = trapezoid(b, mu, tau, nodes)
    state = _State(np.arange(mu.size), b, mu, tau, np.zeros(mu.size), grid, evaluate(b, mu, tau, grid))
    for step in range(_STEPS + 1):
        d_mu, d_tau, decrement = newton_step(state.at, state.tau, state.damping)
        converged = decrement < _SMALL_DECREMENT
        leave = converged | ((step > 2) & (state.at.doubt > 1e3 * _AGREE)) | (step == _STEPS)
        if leave.any():
            _record(out, state.keep(leave), converged[leave], d_mu[leave], d_tau[leave], step)
            if leave.all():
                break
            state = state.keep(~leave)
            d_mu, d_tau, decrement = d_mu[~leave], d_tau[~leave], decrement[~leave]
        state = _advance(state, d_mu, d_tau, bool((decrement < _SHORT).all()), nodes)
    return out


def _advance(state: _State, d_mu: FloatArray, d_tau: FloatArray, short: bool, nodes: int) -> _State:
    """Take the step where it does not lower the likelihood; damp the next one where it does."""
    reach = 1.0 + state.tau
    mu = state.mu + np.clip(d_mu, -reach, reach)
    tau = moved(state.tau, d_tau)
    grid = state.grid if short else trapezoid(state.b, mu, tau, nodes)
    trial = evaluate(state.b, mu, tau, grid)
    size = np.where(np.isfinite(state.b.N), state.b.N, state.b.x).sum(axis=0)
    rounding = 1e-11 * np.abs(state.at.loglik) + 1e-15 * size
    better = trial.loglik >= state.at.loglik - rounding
    relaxed = np.where(state.damping > 1e-3, state.damping / 10, 0.0)
    return _State(
        state.column, state.b, np.where(better, mu, state.mu), np.where(better, tau, state.tau),
        np.where(better, relaxed, np.maximum(4 * state.damping, 0.01)), grid,
        Value(*(np.where(better, new, old) for new, old in zip(trial, state.at, strict=True))),
    )  # fmt: skip


def _record(out: _Search, state: _State, converged: BoolArray, d_mu: FloatArray, d_tau: FloatArray, step: int) -> None:
    """Where the columns of `state` ended; those that converged take their last step."""
    j = state.column
    out.mu[j] = state.mu + np.where(converged, d_mu, 0.0)
    out.tau[j] = state.tau + np.where(converged, d_tau, 0.0)
    out.steps[j], out.done[j] = step, converged
    for target, source in zip(out.value, state.at, strict=True):
        target[j] = source


def _keep_best(result: BinomialFit, index: IntArray, zero: BoolArray, owner: IntArray, found: _Search) -> None:
    """Write the highest local maximum of each searched meta-analysis into the result, tau2 = 0 among them."""
    result.maxima[index] = zero[index]
    order = np.lexsort((found.tau, owner))
    tau, i = found.tau[order], owner[order]
    distinct = np.r_[True, (i[1:] != i[:-1]) | (tau[1:] - tau[:-1] > 1e-4 * tau[1:])]
    distinct &= ~(zero[i] & (tau < _IS_ZERO))
    np.add.at(result.maxima, i, distinct)
    order = np.lexsort((found.value.loglik, owner))
    j = order[np.r_[owner[order][1:] != owner[order][:-1], True]]  # the highest of each owner
    height, common = found.value.loglik[j], result.loglik_common[owner[j]]
    j = j[~zero[owner[j]] | (height > common + 1e-12 * np.abs(common))]
    i = owner[j]
    result.mu[i], result.tau[i], result.loglik[i] = found.mu[j], found.tau[j], found.value.loglik[j]
    result.iterations[i], result.nodes[i], result.converged[i] = found.steps[j], found.nodes[j], found.done[j]
    result.cov[i] = covariance(Value(*(x[j] for x in found.value)))
    settled = zero.copy()
    settled[i] = True
    result.converged[index] &= settled[index]


def covariance(value: Value) -> FloatArray:
    """Inverse of the observed information in (mu, tau), shape (n, 2, 2); NaN for tau where that is singular."""
    a, c, d = -value.mu_mu, -value.mu_tau, -value.tau_tau
    det = a * d - c * c
    regular = (det > 1e-10 * a * d) & (a * d > 0)
    safe = np.where(regular, det, 1.0)
    cov = np.array([[d, -c], [-c, a]]) / safe
    cov[:, :, ~regular] = np.nan
    cov[0, 0, ~regular] = 1 / a[~regular]
    return np.moveaxis(cov, -1, 0)


def _hold(result: BinomialFit, b: Family, index: IntArray) -> None:
    """Fit mu with tau held: every study is at 0 or n, and the likelihood highest for tau without bound."""
    result.held[index] = True
    tau = np.full(index.size, TAU_HELD)
    mu, at, nodes = maximise_mu(b.take(index), result.mu_common[index], tau)
    result.mu[index], result.tau[index], result.loglik[index], result.nodes[index] = mu, tau, at.loglik, nodes
    result.cov[index] = np.nan
    result.cov[index, 0, 0] = -1 / at.mu_mu
