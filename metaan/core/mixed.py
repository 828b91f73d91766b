"""Maximum likelihood of models with any number of coefficients and standard deviations of random effects.

A model (`Model`) gives its marginal log-likelihood with gradient and Hessian for many parameter vectors at once; what
stands here climbs it, from several starts and on every face where standard deviations are 0, and finds how far a
parameter can be moved before the profile likelihood has fallen by a given amount.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.binomial_fit import moved
from metaan.core.memory import keep_freed
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["At", "Climb", "Mixed", "Model", "climb", "information", "maximise", "profile_limits"]

_STEPS: Final = 200
_LAST: Final = 1e-16  # squared length of the last step in standard errors
_AGREE: Final = 1e-5
_LEVELS: Final = 8
_DEFINITE: Final = 1e-6  # of the largest element, a smallest pivot that leaves no doubt
_IS_ZERO: Final = 1e-5  # a search that comes down to such a standard deviation belongs to the face where it is 0
_STEEP: Final = 0.25  # of all curvature in a standard deviation, what must be left on the scale of its logarithm
_LARGEST_RISE: Final = 1.0  # of that logarithm in one step
_LARGEST: Final = 20.0  # a standard deviation on the scale of a link beyond which there is no finite maximum


class At(NamedTuple):
    """Log-likelihood at n parameter vectors: arrays of shape (n,), (n, q) and (n, q, q)."""

    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    doubt: FloatArray
    """How far the integrals may be from exact: see `metaan.core.binomial.Value`."""


class Model(Protocol):
    """A marginal likelihood of q parameters."""

    @property
    def spreads(self) -> tuple[int, ...]:
        """Which parameters are standard deviations, not below 0."""

    def at(self, theta: FloatArray, level: int) -> At:
        """Evaluate at theta of shape (n, q); the nodes double with each level. NaN where there is no likelihood."""


class Climb(NamedTuple):
    """Where n searches ended: arrays of shape (n, q) or (n,)."""

    theta: FloatArray
    at: At
    steps: int
    level: int
    done: npt.NDArray[np.bool_]


class Mixed(NamedTuple):
    """The highest maximum of a model."""

    theta: FloatArray
    """Shape (q,)."""
    loglik: float
    hessian: FloatArray
    theta_common: FloatArray
    """The same with all standard deviations 0, and its log-likelihood."""
    loglik_common: float
    hessian_common: FloatArray
    iterations: int
    level: int
    maxima: int
    converged: bool


def climb(model: Model, theta: FloatArray, allowed: FloatArray, level: int = 0) -> Climb:
    """Damped Newton from theta (n, q) within the directions that the projections `allowed` (n, q, q) leave.

    Steps of a standard deviation are taken on the scale of its logarithm when it falls and of its square when it rises,
    as in `metaan.core.binomial_fit`; of its logarithm, too, when it rises and the likelihood is well curved on that.
    """
    keep_freed()
    theta = theta.copy()
    damping, done = np.zeros(len(theta)), np.zeros(len(theta), dtype=bool)
    at, steps = model.at(theta, level), 0
    while steps < _STEPS:
        rows = np.flatnonzero(~done)
        if at.doubt[rows].max(initial=0.0) > _AGREE and level + 1 < _LEVELS:
            level += 1
            at = model.at(theta, level)
            continue
        here = At(*(part[rows] for part in at))
        step, decrement, steep = _newton(model, theta[rows], here, allowed[rows], damping[rows])
        trial, last = _carried_out(model, theta[rows], step, steep), decrement < _LAST
        theta[rows[last]] = trial[last]
        go = ~(last | ~np.isfinite(here.loglik) | _at_zero(model, theta[rows], allowed[rows]))
        done[rows] = ~go
        if not go.any():
            break
        steps += 1
        rows, trial = rows[go], trial[go]
        new = model.at(trial, level)
        better = new.loglik >= at.loglik[rows] - 1e-11 * np.abs(at.loglik[rows])  # NaN is not
        theta[rows[better]] = trial[better]
        for target, source in zip(at, new, strict=True):
            target[rows[better]] = source[better]
        relaxed = np.where(damping[rows] > 1e-3, damping[rows] / 10, 0.0)
        damping[rows] = np.where(better, relaxed, np.maximum(4 * damping[rows], 0.01))
    return Climb(theta, at, steps, level, done & np.isfinite(at.loglik) & (at.doubt <= _AGREE))


def _at_zero(model: Model, theta: FloatArray, allowed: FloatArray) -> npt.NDArray[np.bool_]:
    """Searches in which a standard deviation that may move has come down to 0."""
    low = [(allowed[:, j, j] > 0) & (theta[:, j] < _IS_ZERO) for j in model.spreads]
    return np.any(low, axis=0) if low else np.zeros(len(theta), dtype=bool)


def _newton(
    model: Model, theta: FloatArray, at: At, allowed: FloatArray, damping: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Step (n, q), undamped decrement (n,), and which standard deviations rise on the scale of their logarithm (n, q).

    An indefinite Hessian is shifted.
    """
    q = theta.shape[1]
    hessian = -np.where(np.isfinite(at.hessian), at.hessian, 0.0)
    g = np.where(np.isfinite(at.gradient), at.gradient, 0.0)
    own = hessian.diagonal(axis1=1, axis2=2)
    pull = np.zeros_like(g)
    for j in model.spreads:
        pull[:, j] = np.where(theta[:, j] > 0, np.abs(g[:, j]) / np.maximum(theta[:, j], 1e-300), 0.0)
    steep = (g > 0) & (pull > 0) & (own - pull > _STEEP * (np.abs(own) + pull))
    projected = (allowed @ g[..., None])[..., 0]
    outside = np.eye(q) - allowed

    def curvature(extra: FloatArray) -> tuple[FloatArray, FloatArray]:
        a = allowed @ (hessian + extra[:, :, None] * np.eye(q)) @ allowed
        size = np.maximum(np.abs(a).max(axis=(1, 2)), 1e-300)  # 0 where nothing may move
        return a + size[:, None, None] * outside, size

    step = None
    if not damping.any():
        step = _definite_step(*curvature(np.where(steep, -pull, pull)), projected)
        if step is None and steep.any():
            steep = np.zeros_like(steep)
            step = _definite_step(*curvature(pull), projected)
    if step is not None:
        decrement = (projected * step).sum(axis=1)
    else:
        steep = np.zeros_like(steep)
        step, decrement = _shifted_step(*curvature(pull), projected, damping)
    return (allowed @ step[..., None])[..., 0], decrement, steep


def _shifted_step(a: FloatArray, size: FloatArray, g: FloatArray, damping: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solution of (a + shift) step = g with the shift that makes a definite or damps, and the undamped decrement."""
    values, vectors = np.linalg.eigh(a)
    smallest = values[:, 0]
    definite = smallest > 1e-12 * size
    shift = np.where(definite, 0.0, 0.1 * size - smallest) + damping * size
    along = np.einsum("nij,ni->nj", vectors, g) / np.maximum(values + shift[:, None], 1e-300)
    step = np.einsum("nij,nj->ni", vectors, along)
    return step, np.where(definite & (damping == 0), (g * step).sum(axis=1), np.inf)


def _definite_step(a: FloatArray, size: FloatArray, g: FloatArray) -> FloatArray | None:
    """Solution of a step = g; None if some matrix is not clearly positive definite."""
    try:
        pivots = np.linalg.cholesky(a).diagonal(axis1=1, axis2=2)
    except np.linalg.LinAlgError:
        return None
    if not (pivots.min(axis=1) ** 2 > _DEFINITE * size).all():
        return None
    return np.asarray(np.linalg.solve(a, g[..., None])[..., 0])


def _carried_out(model: Model, theta: FloatArray, step: FloatArray, steep: npt.NDArray[np.bool_]) -> FloatArray:
    """Parameters after a step whose coefficients move by at most 2 and their spread."""
    spreads = list(model.spreads)
    others = [j for j in range(theta.shape[1]) if j not in spreads]
    reach = 2 + theta[:, spreads].sum(axis=1)
    longest = np.abs(step[:, others]).max(axis=1, initial=0.0)
    step = step * np.minimum(1.0, reach / np.maximum(longest, 1e-300))[:, None]
    new = theta + step
    for j in spreads:
        positive = theta[:, j] > 0
        tau = np.where(positive, theta[:, j], 1.0)
        up = tau * np.exp(np.minimum(step[:, j] / tau, _LARGEST_RISE))
        new[:, j] = np.where(positive, np.where(steep[:, j] & (step[:, j] > 0), up, moved(tau, step[:, j])), 0.0)
    return new


def maximise(model: Model, start: FloatArray, spread: FloatArray) -> Mixed:
    """Highest maximum: from several starts with each set of standard deviations free, the others 0.

    Parameters
    ----------
    start : array of shape (q,)
        A guess of the coefficients; standard deviations in it are not read.
    spread : array of shape (m,)
        Standard deviations to start from.
    """
    spreads, q = model.spreads, len(start)
    origin = start.copy()
    origin[list(spreads)] = 0.0
    common = climb(model, origin[None], _face(q, spreads, ())[None])
    found = [(common.theta[0], common, 0)]
    for free in _subsets(spreads):
        starts = np.repeat(common.theta, len(spread), axis=0)
        starts[:, list(free)] = spread[:, None]
        ends = climb(model, starts, np.broadcast_to(_face(q, spreads, free), (len(spread), q, q)))
        inside = (ends.theta[:, list(free)] > _IS_ZERO).all(axis=1) & np.isfinite(ends.at.loglik)
        found += [(ends.theta[i], ends, int(i)) for i in np.flatnonzero(inside)]
    heights = np.array([ends.at.loglik[i] for _, ends, i in found])
    margin = np.where(np.arange(len(found)) == 0, 1e-9, 0.0)  # a spread of 0 wins where no other is higher
    best = int(np.argmax(heights + margin))
    theta, ends, i = found[best]
    return Mixed(
        theta, float(ends.at.loglik[i]), ends.at.hessian[i], common.theta[0], float(common.at.loglik[0]),
        common.at.hessian[0], ends.steps, ends.level, _distinct(model, found), bool(ends.done[i]),
    )  # fmt: skip


def _distinct(model: Model, found: list[tuple[FloatArray, Climb, int]]) -> int:
    """Local maxima among the ends of searches: a face counts where no standard deviation would rise from 0."""
    spreads = list(model.spreads)
    seen: list[FloatArray] = []
    for theta, ends, i in found:
        at_zero = [j for j in spreads if theta[j] == 0]
        rises = any(ends.at.hessian[i, j, j] > 1e-9 * np.abs(ends.at.hessian[i]).max() for j in at_zero)
        near = any(np.abs(theta[spreads] - other[spreads]).max() < 1e-3 * (1 + theta[spreads].max()) for other in seen)
        if ends.done[i] and not rises and not near:
            seen.append(theta)
    return max(len(seen), 1)


def _subsets(spreads: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sets of standard deviations that may be free, without the empty one."""
    sets: list[tuple[int, ...]] = [()]
    for j in spreads:
        sets += [(*s, j) for s in sets]
    return sets[1:]


def _face(q: int, spreads: tuple[int, ...], free: tuple[int, ...]) -> FloatArray:
    """Projection that holds the standard deviations which are not free."""
    return np.diag([0.0 if j in spreads and j not in free else 1.0 for j in range(q)])


def information(model: Model, found: Mixed) -> FloatArray:
    """Inverse of the observed information, (q, q): NaN for standard deviations of 0, and where it is not definite."""
    q = len(found.theta)
    free = [j for j in range(q) if j not in model.spreads or found.theta[j] > 0]
    cov = np.full((q, q), np.nan)
    inner = -found.hessian[np.ix_(free, free)]
    scale = np.sqrt(np.abs(np.diagonal(inner)))
    values = np.linalg.eigvalsh(inner / np.outer(scale, scale)) if (scale > 0).all() else np.zeros(1)
    if values[0] > 1e-10:
        cov[np.ix_(free, free)] = np.linalg.inv(inner)
    return cov


def profile_limits(
    model: Model, found: Mixed, rows: FloatArray, se: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Limits of linear combinations of the parameters: the profile log-likelihood is chi2(1)/2 lower there.

    Parameters
    ----------
    rows : array of shape (m, q)
        Weights of the combinations; that of one standard deviation has its lower limit at 0 or above.
    se : array of shape (m,)
        Length of the first steps.
    level : float
        Confidence level.

    Returns
    -------
    low, high : array of shape (m,)
        Infinite where the likelihood does not fall far enough within a thousand steps.
    """
    drop = found.loglik - float(chdtri(1.0, 1 - level)) / 2
    alone = np.array([np.count_nonzero(row) == 1 and np.flatnonzero(row)[0] in model.spreads for row in rows])
    centre = rows @ found.theta
    limits = []
    for side in (-1.0, 1.0):
        profile = _Profile(model, found, rows, drop)
        floor = np.where(alone & (side < 0), 0.0, -np.inf)
        inside, f_inside = centre, np.full(len(rows), found.loglik - drop)
        step = 2 * se
        outside = np.maximum(centre + side * step, floor)
        f_outside = profile(outside)
        for _ in range(9):
            grow = (f_outside > 0) & (outside > floor)
            if not grow.any():
                break
            inside, f_inside = np.where(grow, outside, inside), np.where(grow, f_outside, f_inside)
            step = 2 * step
            outside = np.where(grow, np.maximum(centre + side * step, floor), outside)
            f_outside = np.where(grow, profile(outside), f_outside)
        root = bracketed_root(profile, outside, inside, f_outside, f_inside, tolerance=1e-10)
        open_end = np.where(np.isfinite(floor), floor, side * np.inf)
        limits.append(np.where(f_outside > 0, open_end, root))
    return limits[0], limits[1]


class _Profile:
    """Profile log-likelihood less a level, of m linear combinations; each search starts where the last ended."""

    def __init__(self, model: Model, found: Mixed, rows: FloatArray, drop: float) -> None:
        self.model, self.rows, self.drop = model, rows, drop
        self.faces = [()] if not model.spreads else [(), model.spreads]
        self.last = {
            free: np.repeat((found.theta if free else found.theta_common)[None], len(rows), axis=0)
            for free in self.faces
        }

    def __call__(self, value: FloatArray) -> FloatArray:
        return np.asarray(np.max([self._face(free, value) for free in self.faces], axis=0))

    def _face(self, free: tuple[int, ...], value: FloatArray) -> FloatArray:
        """The best with the standard deviations `free`, or none of them."""
        q = self.rows.shape[1]
        face = _face(q, self.model.spreads, free)
        direction = self.rows @ face
        own = (self.rows != 0) & np.isin(np.arange(q), np.asarray(self.model.spreads, dtype=np.intp))[None]
        direction = np.where(own.any(axis=1, keepdims=True), self.rows, direction)
        length = (direction**2).sum(axis=1)
        theta = self.last[free]
        shift = (value - (self.rows * theta).sum(axis=1)) / length
        theta = theta + shift[:, None] * direction
        spreads = list(self.model.spreads)
        theta[:, spreads] = np.maximum(theta[:, spreads], 0.0)
        if free:
            theta[:, spreads] = np.where(own[:, spreads], theta[:, spreads], np.maximum(theta[:, spreads], 0.02))
        projection = face - direction[:, :, None] * direction[:, None, :] / length[:, None, None]
        projection = np.where(own.any(axis=1)[:, None, None], _without(face, own), projection)
        end = climb(self.model, theta, projection)
        self.last[free] = end.theta
        return np.where(np.isfinite(end.at.loglik), end.at.loglik, -np.inf) - self.drop


def _without(face: FloatArray, own: npt.NDArray[np.bool_]) -> FloatArray:
    """Projections that hold, for each row, the standard deviations marked in it."""
    keep = np.where(own, 0.0, 1.0)
    return face[None] * keep[:, :, None] * keep[:, None, :]
