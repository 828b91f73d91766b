"""Dirichlet-multinomial likelihood of categorised counts, with its derivatives, maximum and profiles.

Study i has counts x_ic of C categories, N_i in all; its shares vary between studies as a Dirichlet distribution with
mean pi and rho = 1/(1 + sum alpha), the correlation of two members of one study. Written with products,

    P(x_i) = coefficient * prod_c prod_{j < x_ic} (pi_c (1 - rho) + j rho) / prod_{j < N_i} (1 - rho + j rho),

it is smooth down to rho = 0, where it is the multinomial distribution, and needs no difference of log-gamma functions.
The sums over j run over the numbers of studies that exceed j; long stretches on which these are constant are summed by
Gauss's rule for discrete sums, exact to rounding, so that the work depends on the number of studies and not on counts.

Data lie studies first, shape (k, C, n); everything else has the n meta-analyses last.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, expit, gammaln, logit, xlogy

from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["Dirichlet", "DirichletFit", "evaluate", "fit", "share_limits", "softmax_jacobian"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_GAUSS: Final = 12  # nodes on a stretch [L, 2L): the error is about 6^-24 of the sum
_SINGLE: Final = 16  # below it every j is a node
_SCAN: Final = np.array([1e-4, 1e-3, 4e-3, 0.015, 0.05, 0.15, 0.4, 0.75])  # rho where searches may start
_STEPS: Final = 100
_SMALL_DECREMENT: Final = 1e-18  # squared length of the last step in standard errors
_LONGEST: Final = 2.0  # step of a logit
_IS_ZERO: Final = 1e-7  # a search that comes down to such a rho has found the maximum at 0
_FARTHEST: Final = 40.0  # logit of a share beyond which a profile that has not fallen far enough is open


class Dirichlet(NamedTuple):
    """Counts of n meta-analyses of k studies in C categories, as sums over j >= 1."""

    j: FloatArray
    """Nodes, (J,)."""
    weight: FloatArray
    """Weight of a node times the studies with more than j in a category, (C, J, n)."""
    whole: FloatArray
    """The same for the totals, (J, n)."""
    cells: FloatArray
    """Studies with any count in a category, (C, n)."""
    counts: FloatArray
    """Pooled counts, (C, n)."""
    k: FloatArray
    """Studies with any count, (n,)."""
    constant: FloatArray
    """Sum of the logarithms of the multinomial coefficients, (n,)."""

    @classmethod
    def from_counts(cls, x: FloatArray) -> Dirichlet:
        """From counts of shape (k, C, n)."""
        N = x.sum(axis=1)
        constant = (gammaln(N + 1) - gammaln(x + 1).sum(axis=1)).sum(axis=0)
        start, stop = _stretches(np.concatenate([x.ravel(), N.ravel()]))
        j, w, owner = _nodes(start, stop)
        ends = stop[owner]
        weight = np.stack([w[:, None] * _at_least(x[:, c], ends) for c in range(x.shape[1])])
        return cls(
            j, weight, w[:, None] * _at_least(N, ends), (x > 0).sum(axis=0).astype(float), x.sum(axis=0),
            (N > 0).sum(axis=0).astype(float), constant,
        )  # fmt: skip

    def take(self, index: IntArray) -> Dirichlet:
        """The meta-analyses of `index`."""
        return Dirichlet(self.j, *(part[..., index] for part in self[1:]))

    @property
    def at_ends(self) -> BoolArray:
        """Whether every study is in one category: the likelihood then grows with rho whatever pi, (n,)."""
        return np.asarray(self.cells.sum(axis=0) == self.k)


def _at_least(x: FloatArray, ends: FloatArray) -> FloatArray:
    """Studies with a count of at least each end, (J, n)."""
    return np.stack([(x[:, i] >= ends[:, None]).sum(axis=1) for i in range(x.shape[1])], axis=1).astype(float)


def _stretches(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ranges [start, stop) of j from 1 on which the numbers of studies are constant, none longer than its start."""
    most = max(float(values.max(initial=1)), 1.0)
    doubled = _SINGLE * 2.0 ** np.arange(max(0, np.ceil(np.log2(most / _SINGLE))) + 1)
    ends = np.unique(np.concatenate([np.arange(1.0, _SINGLE + 1), doubled, values]))
    ends = ends[(ends >= 1) & (ends <= most)]
    return ends[:-1], ends[1:]


def _nodes(start: FloatArray, stop: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Nodes, weights and the stretch each node belongs to."""
    rules = [_discrete_gauss(int(length)) for length in stop - start]
    if not rules:
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.intp)
    owner = np.repeat(np.arange(len(rules)), [len(z) for z, _ in rules])
    z, w = (np.concatenate(part) for part in zip(*rules, strict=True))
    return start[owner] + z, w, owner


@lru_cache(maxsize=4096)
def _discrete_gauss(length: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of sum_{j=0}^{length-1} f(j): the eigenvalues of Chebyshev's discrete polynomials."""
    if length <= _GAUSS:
        return np.arange(length, dtype=np.float64), np.ones(length)
    i = np.arange(1.0, _GAUSS)
    beside = np.sqrt(i**2 * (1.0 * length**2 - i**2) / (4 * (4 * i**2 - 1)))
    z, v = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return z + (length - 1) / 2, length * v[0] ** 2


class Value(NamedTuple):
    """Log-likelihood (n,) with derivatives in pi, taken as C free numbers, and rho."""

    loglik: FloatArray
    pi: FloatArray
    """First derivative in each share, (C, n)."""
    pi_pi: FloatArray
    """Second derivative in each share, (C, n); mixed ones are 0."""
    rho: FloatArray
    rho_rho: FloatArray
    pi_rho: FloatArray
    """(C, n)."""


def evaluate(d: Dirichlet, pi: FloatArray, rho: FloatArray) -> Value:
    """Log-likelihood and derivatives at pi > 0 of shape (C, n) and 0 <= rho < 1 of shape (n,)."""
    j, left = d.j[:, None], 1 - rho
    below = pi[:, None] * left + j * rho  # (C, J, n)
    total = left + j * rho
    shift, w = j - pi[:, None], d.weight
    excess = d.cells.sum(axis=0) - d.k
    first = w / below
    second = first / below
    s, s2 = first.sum(axis=1), second.sum(axis=1)
    moved = (second * shift).sum(axis=1)
    loglik = xlogy(d.cells, pi).sum(axis=0) + excess * np.log1p(-rho) + (w * np.log(below)).sum(axis=(0, 1))
    loglik = loglik - (d.whole * np.log(total)).sum(axis=0) + d.constant
    slope = (first * shift).sum(axis=(0, 1)) - (d.whole * (j - 1) / total).sum(axis=0) - excess / left
    curve = (d.whole * ((j - 1) / total) ** 2).sum(axis=0) - (second * shift**2).sum(axis=(0, 1)) - excess / left**2
    return Value(
        loglik, d.cells / pi + left * s, -d.cells / pi**2 - left**2 * s2, slope, curve, -s - left * moved
    )  # fmt: skip


def softmax_jacobian(pi: FloatArray, block: BoolArray) -> FloatArray:
    """Derivatives of the shares in logits within blocks whose sums stay: (n, C, C).

    `block` of shape (n, C, C) tells which categories share a block. One block is the whole simplex.
    """
    p = pi.T
    inside = (block * p[:, None, :]).sum(axis=2)
    return np.asarray(p[:, :, None] * (np.eye(p.shape[1]) - block * (p / inside)[:, None, :]))


def _in_logits(at: Value, pi: FloatArray, rho: FloatArray, block: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (n, C + 1) and Hessian (n, C + 1, C + 1) in the logits of shares within blocks and the logit of rho."""
    p, g = pi.T, at.pi.T
    n, size = p.shape
    s = p / (block * p[:, None, :]).sum(axis=2)
    u = p * g
    of_block = (block * u[:, None, :]).sum(axis=2)
    jac = softmax_jacobian(pi, block)
    cross = u[:, :, None] * s[:, None, :]
    ss = s[:, :, None] * s[:, None, :]
    bend = 2 * of_block[:, :, None] * ss - cross - cross.swapaxes(1, 2)
    bend = block * bend + np.eye(size) * (u - of_block * s)[:, :, None]
    v = rho * (1 - rho)
    grad, hess = np.empty((n, size + 1)), np.empty((n, size + 1, size + 1))
    grad[:, :size] = u - of_block * s
    grad[:, size] = at.rho * v
    hess[:, :size, :size] = np.einsum("nca,nc,ncb->nab", jac, at.pi_pi.T, jac) + bend
    hess[:, size, :size] = hess[:, :size, size] = np.einsum("nca,nc->na", jac, at.pi_rho.T) * v[:, None]
    hess[:, size, size] = at.rho_rho * v**2 + at.rho * v * (1 - 2 * rho)
    return grad, hess


class _Found(NamedTuple):
    pi: FloatArray
    rho: FloatArray
    loglik: FloatArray
    steps: int
    done: BoolArray


def _maximise(
    d: Dirichlet, pi: FloatArray, rho: FloatArray, block: BoolArray, *, fixed: bool = False, steps: int = _STEPS
) -> _Found:
    """Newton's method in logits, saddles turned into slopes; with `fixed` rho stays. Block sums of pi are kept."""
    size = pi.shape[0]
    same = np.zeros((pi.shape[1], size + 1, size + 1))
    same[:, :size, :size] = block  # the direction that changes nothing
    damping = np.zeros(rho.shape)
    at, used = evaluate(d, pi, rho), 0
    rounding = 1e-14 * (np.abs(at.loglik) + d.constant + d.counts.sum(axis=0))
    done = np.zeros(rho.shape, dtype=bool)
    while used < steps:
        used += 1
        grad, hess = _in_logits(at, pi, rho, block)
        if fixed:
            grad[:, size], hess[:, size, :], hess[:, :, size] = 0.0, 0.0, 0.0
            hess[:, size, size] = -1.0
        curve, axes = np.linalg.eigh(same * np.abs(hess).max(axis=(1, 2))[:, None, None] - hess)
        along = np.einsum("nij,ni->nj", axes, grad)
        scale = np.abs(curve).max(axis=1)
        floor = 1e-10 * scale[:, None] + 1e-300
        newton = along / (np.maximum(np.abs(curve), floor) + damping[:, None])
        small = (along * newton).sum(axis=1) < _SMALL_DECREMENT * (1 + np.abs(at.loglik))
        done = small & (damping < 1e-3 * scale)
        move = np.einsum("nij,nj->ni", axes, newton)
        move *= np.minimum(1, _LONGEST / np.maximum(np.abs(move).max(axis=1, keepdims=True), 1e-300))
        new_pi, new_rho = _moved(pi, block, move[:, :size]), rho if fixed else expit(logit(rho) + move[:, size])
        trial = evaluate(d, new_pi, new_rho)
        better = trial.loglik >= at.loglik - rounding
        pi, rho = np.where(better, new_pi, pi), np.where(better, new_rho, rho)
        at = Value(*(np.where(better, new, old) for new, old in zip(trial, at, strict=True)))
        damping = np.where(better, np.where(damping > 1e-3 * scale, damping / 10, 0.0), 4 * damping + 0.01 * scale)
        if (done | (rho < _IS_ZERO / 10)).all():
            break
    return _Found(pi, rho, at.loglik, used, done)


def _moved(pi: FloatArray, block: BoolArray, move: FloatArray) -> FloatArray:
    """Shares after a step of their logits, block sums kept."""
    q = pi.T * np.exp(move)
    scale = (block * pi.T[:, None, :]).sum(axis=2) / (block * q[:, None, :]).sum(axis=2)
    return np.asarray((q * scale).T)


class DirichletFit(NamedTuple):
    """Maximum-likelihood fits of n meta-analyses without empty categories."""

    pi: FloatArray
    """Mean shares, (C, n)."""
    rho: FloatArray
    loglik: FloatArray
    pi_common: FloatArray
    """Shares of the pooled counts, the maximum for rho = 0."""
    loglik_common: FloatArray
    cov: FloatArray
    """Covariance of shares and rho from the observed information, (n, C + 1, C + 1); rho's part NaN on a bound."""
    iterations: int
    maxima: IntArray
    converged: BoolArray
    identified: BoolArray
    """Whether rho is: not for one study, nor for single observations."""
    at_one: BoolArray
    """Every study in one category, several categories: rho = 1."""


def fit(d: Dirichlet) -> DirichletFit:
    """Fit every meta-analysis; the highest of the local maxima in rho, rho = 0 and 1 among them."""
    size, n = d.counts.shape
    pi0 = d.counts / d.counts.sum(axis=0)
    zero = np.zeros(n)
    at0 = evaluate(d, pi0, zero)
    identified = (d.k > 1) & (d.whole.sum(axis=0) > 0) & (size > 1)
    at_one = d.at_ends & identified
    flat = ~identified | (at0.rho <= 1e-12 * np.abs(at0.rho_rho))
    pi, rho, loglik, maxima = pi0.copy(), zero.copy(), at0.loglik.copy(), flat.astype(np.intp)
    converged, steps = flat.copy(), 0
    index = np.flatnonzero(identified & ~at_one)
    if index.size:
        owner, found = _search(d, index)
        steps = found.steps
        settled = np.ones(n, dtype=bool)
        np.logical_and.at(settled, owner, found.rho <= _IS_ZERO)
        converged |= settled  # every search came down to rho = 0
        for i in range(owner.size):
            o, up = owner[i], found.rho[i] > _IS_ZERO
            maxima[o] += int(up and found.done[i])
            if up and found.loglik[i] > loglik[o] + 1e-12 * abs(loglik[o]):
                pi[:, o], rho[o], loglik[o], converged[o] = found.pi[:, i], found.rho[i], found.loglik[i], found.done[i]
    share = d.cells / d.cells.sum(axis=0)
    pi, rho = np.where(at_one, share, pi), np.where(at_one, 1.0, rho)
    loglik = np.where(at_one, xlogy(d.cells, share).sum(axis=0), loglik)
    cov = _covariance(d, pi, rho)
    return DirichletFit(
        pi, rho, loglik, pi0, at0.loglik, cov, steps, np.maximum(maxima, 1), converged | at_one, identified, at_one
    )


def _one_block(n: int, size: int) -> BoolArray:
    return np.ones((n, size, size), dtype=bool)


def _search(d: Dirichlet, index: IntArray) -> tuple[IntArray, _Found]:
    """Local maxima of the profile in rho: the meta-analysis each belongs to, and where it is."""
    size, m = d.counts.shape[0], _SCAN.size
    owner = np.repeat(index, m)
    wide, rho = d.take(owner), np.tile(_SCAN, index.size)
    start = (wide.counts / wide.counts.sum(axis=0) + wide.cells / wide.cells.sum(axis=0)) / 2
    block = _one_block(owner.size, size)
    scan = _maximise(wide, start, rho, block, fixed=True, steps=4)
    height = np.pad(scan.loglik.reshape(-1, m), ((0, 0), (1, 1)), constant_values=-np.inf)
    keep = np.flatnonzero(((height[:, 1:-1] >= height[:, :-2]) & (height[:, 1:-1] > height[:, 2:])).ravel())
    found = _maximise(wide.take(keep), scan.pi[:, keep], rho[keep], block[keep])
    order = np.lexsort((found.rho, owner[keep]))
    o, r = owner[keep][order], found.rho[order]
    distinct = order[np.r_[True, (o[1:] != o[:-1]) | (r[1:] - r[:-1] > 1e-5 * r[1:])]]
    parts = found.pi[:, distinct], found.rho[distinct], found.loglik[distinct], found.steps, found.done[distinct]
    return owner[keep][distinct], _Found(*parts)


def _covariance(d: Dirichlet, pi: FloatArray, rho: FloatArray) -> FloatArray:
    """Covariance of (pi, rho): multinomial of pooled counts at rho = 0, of studies at rho = 1."""
    size, n = pi.shape
    cov = np.full((n, size + 1, size + 1), np.nan)
    number = np.where(rho == 1, d.k, d.counts.sum(axis=0))
    p = pi.T
    cov[:, :size, :size] = (np.eye(size) * p[:, :, None] - p[:, :, None] * p[:, None, :]) / number[:, None, None]
    inner = np.flatnonzero((rho > 0) & (rho < 1))
    if inner.size:
        pi, rho, block = pi[:, inner], rho[inner], _one_block(inner.size, size)
        _, hess = _in_logits(evaluate(d.take(inner), pi, rho), pi, rho, block)
        hess[:, :size, :size] -= np.abs(hess).max(axis=(1, 2))[:, None, None]
        back = np.zeros_like(hess)
        back[:, :size, :size] = softmax_jacobian(pi, block)
        back[:, size, size] = rho * (1 - rho)
        cov[inner] = back @ np.linalg.inv(-hess) @ back.swapaxes(1, 2)
    return cov


def share_limits(d: Dirichlet, found: DirichletFit, groups: BoolArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Profile-likelihood limits of sums of shares in one meta-analysis.

    Parameters
    ----------
    d, found : Dirichlet, DirichletFit
        One meta-analysis (n = 1) without empty categories.
    groups : array of bool, shape (m, C)
        The categories of each sum, never all of them. None of them: a further category, which no study counted.
    level : float

    Returns
    -------
    low, high : arrays of shape (m,)
    """
    m = groups.shape[0]
    twice = np.concatenate([groups, groups])
    side = np.repeat([-1.0, 1.0], m)
    drop = float(found.loglik[0]) - float(chdtri(1.0, 1 - level)) / 2
    centre = np.maximum(logit((twice * found.pi[:, 0]).sum(axis=1)), -0.9 * _FARTHEST)
    excess = _Profile(d, found, twice, drop)
    inside, f_inside = centre.copy(), np.full(2 * m, float(found.loglik[0]) - drop)
    outside = centre + side
    f_outside = excess(outside)
    while ((f_outside > 0) & (np.abs(outside) < _FARTHEST)).any():
        grow = (f_outside > 0) & (np.abs(outside) < _FARTHEST)
        inside, f_inside = np.where(grow, outside, inside), np.where(grow, f_outside, f_inside)
        outside = np.where(grow, centre + 2 * (outside - centre), outside)
        f_outside = np.where(grow, excess(outside), f_outside)
    root = bracketed_root(excess, outside, inside, f_outside, f_inside, tolerance=1e-10)
    limit = np.where(f_outside > 0, (1 + side) / 2, expit(root))
    return limit[:m], limit[m:]


class _Profile:
    """Profile log-likelihood of the sums of `groups`, less `drop`."""

    def __init__(self, d: Dirichlet, found: DirichletFit, groups: BoolArray, drop: float) -> None:
        self.found, self.groups, self.drop = found, groups.T, drop
        self.closed = not found.identified[0] or bool(found.at_one[0])
        self.counts = d.cells if found.at_one[0] else d.counts
        self.constant = found.loglik[0] if self.closed else found.loglik_common[0]
        rho = float(found.rho[0])
        starts = np.unique(np.clip([rho, 0.02, 0.3], 1e-3, 0.95))
        self.rho, columns = np.repeat(starts, groups.shape[0]), np.tile(np.arange(groups.shape[0]), starts.size)
        self.columns, self.wide = columns, d.take(np.zeros(columns.size, dtype=np.intp))
        same = groups[columns]
        self.block = same[:, :, None] == same[:, None, :]

    def _split(self, pi: FloatArray, psi: FloatArray) -> FloatArray:
        """Shares proportional to pi inside and outside of the groups, which have psi."""
        within = (self.groups * pi).sum(axis=0)
        outside = pi * (1 - psi) / (pi.sum(axis=0) - within)
        return np.asarray(np.where(self.groups, pi * psi / np.where(within > 0, within, 1.0), outside))

    def __call__(self, at: FloatArray) -> FloatArray:
        psi = expit(at)
        pooled = self.counts / self.counts.sum()
        change = xlogy(self.counts, self._split(pooled, psi)) - xlogy(self.counts, pooled)
        height = self.constant + change.sum(axis=0)
        if not self.closed:
            start = self._split(self.found.pi, psi)[:, self.columns]
            best = _maximise(self.wide, start, self.rho, self.block).loglik
            height = np.maximum(height, best.reshape(-1, psi.size).max(axis=0))
        return np.asarray(height - self.drop)
