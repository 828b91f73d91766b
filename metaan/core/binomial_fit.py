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

from metaan.core.binomial import Family, Value, evaluate
from metaan.core.binomial_scan import SCAN, concave_step, starts
from metaan.core.memory import keep_freed
from metaan.core.quadrature import Reach, can_compile, reach, spread_over
from metaan.core.wls import FloatArray

__all__ = ["TAU_HELD", "BinomialFit", "covariance", "fit", "fit_one", "follow", "maximise_mu", "moved", "newton_step"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

TAU_HELD: Final = 10.0
"""tau when every study is at 0 or n and the likelihood is highest, a limit, for tau without bound."""

_FIRST_NODES: Final = 33
_MOST_NODES: Final = 16385
_STEPS: Final = 60
_SMALL_DECREMENT: Final = 1e-16  # squared length of the last step in standard errors
_TINY: Final = 1e-8  # squared length of a step, in standard errors, that no range notices
_IS_ZERO: Final = 1e-5  # a search that comes down to such a tau has found the maximum at 0
_AGREE: Final = 1e-5  # of the integral and the one over every second node; the error of the former is about the square
_CHUNK: Final = 400_000  # nodes in memory at a time
_COMPILED_CHUNK: Final = 4_000_000  # the same where compiled kernels keep no nodes


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
    over: Reach

    @classmethod
    def start(cls, mu: FloatArray, tau: FloatArray, over: Reach, nodes: int) -> _Search:
        n = mu.shape[0]
        value = Value(*np.empty((len(Value._fields), n)))
        over = Reach(*(part.copy() for part in over))
        return cls(mu.copy(), tau.copy(), value, np.zeros(n, np.intp), np.full(n, nodes), np.zeros(n, bool), over)

    def put(self, index: IntArray, later: _Search) -> None:
        """Go on where `later`, a search that started from the columns of `index`, ended."""
        self.mu[index], self.tau[index] = later.mu, later.tau
        for target, source in zip(self.value, later.value, strict=True):
            target[index] = source
        self.steps[index] += later.steps
        self.nodes[index], self.done[index] = later.nodes, later.done
        self.over.put(index, later.over)


def fit(b: Family) -> BinomialFit:
    """Fit every meta-analysis of `b`, in chunks that bound memory."""
    k, n = b.x.shape
    several = k * _FIRST_NODES * SCAN.size
    at_once = _COMPILED_CHUNK if can_compile(b, n * several) else _CHUNK
    width = max(1, at_once // several)
    if n * several > _CHUNK:
        keep_freed()
    if n <= width:
        return _fit(b)[0]
    parts = [_fit(b.take(np.arange(i, min(i + width, n))))[0] for i in range(0, n, width)]
    return BinomialFit(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def fit_one(b: Family) -> tuple[BinomialFit, Reach | None]:
    """Fit one meta-analysis; also where the integrands lie at the maximum, if the search came to know."""
    found, over = _fit(b)
    return found, None if over is None or not np.isinf(b.top) else over


def _fit(b: Family) -> tuple[BinomialFit, Reach | None]:
    """Fit all at once; also where the integrands lie at the maxima, if all were searched for."""
    n = b.x.shape[1]
    mu0, loglik0 = b.common()
    total = b.x.sum(axis=0)
    separated = (total == 0) | (total == b.N.sum(axis=0))
    extreme = ((b.x == 0) | (b.x == b.N)).all(axis=0)
    several = (b.N > 0).sum(axis=0) > 1
    identified = ((b.N > 1).any(axis=0) | (not b.alike)) & several
    # binomials alike: E p^N <= E p, so that no likelihood exceeds its limit for tau without bound
    held = extreme & ~separated & identified & b.alike
    finite = np.isfinite(mu0) & (mu0 < b.top)
    of = b.terms(np.broadcast_to(np.where(finite, mu0, _any_rate(b)), b.x.shape))
    zero = _zero_is_maximum(of.score, of.information)
    searched = ~separated & ~held & identified
    result = BinomialFit(
        mu=mu0.copy(), tau=np.zeros(n), loglik=loglik0.copy(), mu_common=mu0, loglik_common=loglik0,
        cov=_common_covariance(of.information, finite), iterations=np.zeros(n, np.intp), nodes=np.zeros(n, np.intp),
        maxima=np.ones(n, np.intp), converged=np.ones(n, bool), separated=separated, held=held,
        identified=identified,
    )  # fmt: skip
    index, over = np.flatnonzero(searched), None
    if index.size:
        owner, mu, tau = starts(_columns(b, index), loglik0[index], zero[index])
        if owner.size:
            found = _polish(_columns(b, index[owner]), mu, tau)
            best = _keep_best(result, index, zero, index[owner], found)
            over = found.over.take(best) if best.size == n else None
    if not b.alike:
        beyond = (result.loglik < _limit(b)) | (result.tau > TAU_HELD)  # so far out quadrature is no proof either
        held |= extreme & ~separated & identified & beyond
    if held.any():
        _hold(result, b, np.flatnonzero(held))
        over = None
    return result, over


def _columns(b: Family, index: IntArray) -> Family:
    """The meta-analyses of `index`, in rising order: often all of them."""
    n = b.x.shape[1]
    return b if index.size == n and (index == np.arange(n)).all() else b.take(index)


def _limit(b: Family) -> FloatArray:
    """Log-likelihood for tau without bound, where every count is at an end: that of k yes-or-no observations."""
    here = b.N > 0
    k, hits = here.sum(axis=0), (here & (b.x == b.N)).sum(axis=0)
    return np.asarray(xlogy(hits, hits / k) + xlogy(k - hits, 1 - hits / k))


def _zero_is_maximum(slope: FloatArray, noise: FloatArray) -> BoolArray:
    """Whether tau2 = 0 is a local maximum: where the score of tau2, sum [slope^2 - noise]/2, is not positive."""
    return np.asarray((slope * slope - noise).sum(axis=0) <= 1e-12 * noise.sum(axis=0))


def _any_rate(b: Family) -> float:
    """An eta at which the likelihood exists."""
    return min(0.0, b.top - 1.0)


def _common_covariance(noise: FloatArray, finite: BoolArray) -> FloatArray:
    cov = np.full((finite.size, 2, 2), np.nan)
    information = noise.sum(axis=0)
    cov[:, 0, 0] = np.divide(1.0, information, out=np.full_like(information, np.inf), where=finite)
    return cov


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
    over = reach(b, mu, tau)
    at = evaluate(b, mu, tau, spread_over(b, over, nodes))
    for _ in range(_STEPS):
        settled = at.mu**2 < _SMALL_DECREMENT * np.abs(at.mu_mu)
        if (settled | (at.doubt > _AGREE)).all():
            break
        mu, _ = concave_step(at, mu, tau)
        over = follow(b, over, mu, tau)
        at = evaluate(b, mu, tau, spread_over(b, over, nodes))
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
    shifted = ~definite | (damping > 0)
    if any_shifted := shifted.any():
        shift = np.where(definite, 0.0, 0.1 * size - smallest) + damping * size
        a, d = a + shift, d + shift
    det = a * d - c * c
    d_mu, d_tau = (d * at.mu - c * at.tau) / det, (a * at.tau - c * at.mu) / det
    decrement = at.mu * d_mu + at.tau * d_tau
    return d_mu, d_tau, np.where(shifted, np.inf, decrement) if any_shifted else decrement


def moved(tau: FloatArray, step: FloatArray) -> FloatArray:
    """Return tau after a step, on the scale of log tau when it falls and of tau^2 when it rises."""
    down = tau * np.exp(np.minimum(step, 0.0) / tau)
    up = np.sqrt(tau * (tau + 2 * np.maximum(step, 0.0)))
    return np.minimum(np.maximum(np.where(step < 0, down, up), tau / 4), 3 * tau)


def _polish(b: Family, mu: FloatArray, tau: FloatArray) -> _Search:
    """Newton to the local maximum, with as many nodes as it takes that more change nothing."""
    nodes = _FIRST_NODES
    found = _newton(b, mu, tau, reach(b, mu, tau), nodes)
    todo = np.flatnonzero(found.value.doubt > _AGREE)
    while todo.size and 2 * nodes <= _MOST_NODES:
        nodes = 2 * nodes - 1
        part, over = b.take(todo), found.over.take(todo)
        over = follow(part, over, found.mu[todo], found.tau[todo])
        found.put(todo, _newton(part, found.mu[todo], found.tau[todo], over, nodes))
        todo = todo[found.value.doubt[todo] > _AGREE]
    found.done[todo] = False
    return found


class _State(NamedTuple):
    """Columns still in the iteration: which they are, where they stand, and the likelihood there."""

    column: IntArray
    b: Family
    mu: FloatArray
    tau: FloatArray
    damping: FloatArray
    over: Reach
    at: Value

    def keep(self, go: BoolArray) -> _State:
        at = Value(*(x[go] for x in self.at))
        mu, tau, damping = self.mu[go], self.tau[go], self.damping[go]
        return _State(self.column[go], self.b.take(go), mu, tau, damping, self.over.take(go), at)


def _newton(b: Family, mu: FloatArray, tau: FloatArray, over: Reach, nodes: int) -> _Search:
    """Damped Newton in (mu, tau); columns leave the iteration when they have converged or need more nodes."""
    out = _Search.start(mu, tau, over, nodes)
    at = evaluate(b, mu, tau, spread_over(b, over, nodes))
    state = _State(np.arange(mu.size), b, mu, tau, np.zeros(mu.size), over, at)
    for step in range(_STEPS + 1):
        d_mu, d_tau, decrement = newton_step(state.at, state.tau, state.damping)
        converged = decrement < _SMALL_DECREMENT
        leave = converged | ((step > 2) & (state.at.doubt > 1e3 * _AGREE)) | (step == _STEPS)
        if leave.all():
            _record(out, state, converged, d_mu, d_tau, step)
            break
        if leave.any():
            _record(out, state.keep(leave), converged[leave], d_mu[leave], d_tau[leave], step)
            state = state.keep(~leave)
            d_mu, d_tau, decrement = d_mu[~leave], d_tau[~leave], decrement[~leave]
        state = _advance(state, d_mu, d_tau, nodes, tiny=bool((decrement < _TINY).all()))
    return out


def _advance(state: _State, d_mu: FloatArray, d_tau: FloatArray, nodes: int, *, tiny: bool) -> _State:
    """Take the step where it does not lower the likelihood; damp the next one where it does."""
    longest = 1.0 + state.tau
    mu = state.mu + np.minimum(np.maximum(d_mu, -longest), longest)
    tau = moved(state.tau, d_tau)
    over = state.over if tiny and np.isinf(state.b.top) else follow(state.b, state.over, mu, tau)
    trial = evaluate(state.b, mu, tau, spread_over(state.b, over, nodes))
    size = np.where(np.isfinite(state.b.N), state.b.N, state.b.x).sum(axis=0)
    rounding = 1e-11 * np.abs(state.at.loglik) + 1e-15 * size
    better = trial.loglik >= state.at.loglik - rounding
    relaxed = np.where(state.damping > 1e-3, state.damping / 10, 0.0)
    if better.all():
        return _State(state.column, state.b, mu, tau, relaxed, over, trial)
    return _State(
        state.column, state.b, np.where(better, mu, state.mu), np.where(better, tau, state.tau),
        np.where(better, relaxed, np.maximum(4 * state.damping, 0.01)),
        Reach(*(np.where(better, new, old) for new, old in zip(over, state.over, strict=True))),
        Value(*(np.where(better, new, old) for new, old in zip(trial, state.at, strict=True))),
    )  # fmt: skip


def follow(b: Family, over: Reach, mu: FloatArray, tau: FloatArray) -> Reach:
    """Ranges for mu and tau: those at hand where the integrands are still inside, and no top has moved."""
    stray = np.arange(mu.size) if np.isfinite(b.top) else np.flatnonzero(~over.fits(b, mu, tau))
    if stray.size == mu.size:
        return reach(b, mu, tau)
    if stray.size:
        over = Reach(*(part.copy() for part in over))
        over.put(stray, reach(b.take(stray), mu[stray], tau[stray]))
    return over


def _record(out: _Search, state: _State, converged: BoolArray, d_mu: FloatArray, d_tau: FloatArray, step: int) -> None:
    """Where the columns of `state` ended; those that converged take their last step."""
    j = state.column
    out.mu[j] = state.mu + np.where(converged, d_mu, 0.0)
    out.tau[j] = state.tau + np.where(converged, d_tau, 0.0)
    out.steps[j], out.done[j] = step, converged
    out.over.put(j, state.over)
    for target, source in zip(out.value, state.at, strict=True):
        target[j] = source


def _keep_best(result: BinomialFit, index: IntArray, zero: BoolArray, owner: IntArray, found: _Search) -> IntArray:
    """Write the highest local maximum of each searched meta-analysis into the result, tau2 = 0 among them.

    Returns the searches that ended there.
    """
    result.maxima[index] = zero[index]
    order = np.lexsort((found.tau, owner))
    tau, i = found.tau[order], owner[order]
    distinct = ~(zero[i] & (tau < _IS_ZERO))
    distinct[1:] &= (i[1:] != i[:-1]) | (tau[1:] - tau[:-1] > 1e-4 * tau[1:])
    np.add.at(result.maxima, i, distinct)
    order = np.lexsort((found.value.loglik, owner))
    last = np.append(owner[order][1:] != owner[order][:-1], True)
    j = order[last]  # the highest of each owner
    height, common = found.value.loglik[j], result.loglik_common[owner[j]]
    j = j[~zero[owner[j]] | (height > common + 1e-12 * np.abs(common))]
    i = owner[j]
    result.mu[i], result.tau[i], result.loglik[i] = found.mu[j], found.tau[j], found.value.loglik[j]
    result.iterations[i], result.nodes[i], result.converged[i] = found.steps[j], found.nodes[j], found.done[j]
    result.cov[i] = covariance(Value(*(x[j] for x in found.value)))
    settled = zero.copy()
    settled[i] = True
    result.converged[index] &= settled[index]
    return np.asarray(j)


def covariance(value: Value) -> FloatArray:
    """Inverse of the observed information in (mu, tau), shape (n, 2, 2); NaN for tau where that is singular."""
    a, c, d = -value.mu_mu, -value.mu_tau, -value.tau_tau
    det = a * d - c * c
    regular = (det > 1e-10 * a * d) & (a * d > 0)
    cov = np.empty((det.size, 2, 2))
    cov[:, 0, 0], cov[:, 1, 1], cov[:, 0, 1] = d, a, -c
    cov[:, 1, 0] = -c
    if regular.all():
        cov /= det[:, None, None]
        return cov
    cov /= np.where(regular, det, 1.0)[:, None, None]
    cov[~regular] = np.nan
    cov[~regular, 0, 0] = 1 / a[~regular]
    return cov


def _hold(result: BinomialFit, b: Family, index: IntArray) -> None:
    """Fit mu with tau held: every study is at 0 or n, and the likelihood highest for tau without bound."""
    result.held[index] = True
    tau = np.full(index.size, TAU_HELD)
    mu, at, nodes = maximise_mu(b.take(index), result.mu_common[index], tau)
    result.mu[index], result.tau[index], result.loglik[index], result.nodes[index] = mu, tau, at.loglik, nodes
    result.cov[index] = np.nan
    result.cov[index, 0, 0] = -1 / at.mu_mu
