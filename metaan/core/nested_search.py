"""Variance components of nested random effects: the highest likelihood from several starts, and where it falls."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Final

import numpy as np
from scipy.special import chdtri

from metaan.core.nested import BoolArray, FloatArray, IntArray, Nested, Point, Solution, fits, look
from metaan.core.roots import bracketed_root

__all__ = ["maximise", "profile_limits"]

_STEPS: Final = 300
_HALVINGS: Final = 40
_ROUNDING: Final = 1e-9  # of a log-likelihood
_SMALL: Final = 1e-13
_NEXT: Final = 1e-8  # relative length of a Newton step after which the next one would change nothing
_NEAR: Final = 0.05  # relative distance at which two climbs are taken for one
_SHORT: Final = 0.1  # relative length of a step of Newton's
_ALIKE: Final = 3.0  # ratio of observed and expected information
_NOTHING: Final = 0.03  # of a sampling variance: the least sigma2 in the scan
_FAR: Final = 4.0  # times the spread: the largest
_ONE: Final = np.concatenate([[0.0], np.logspace(-6, 3, 46)])
_APART: Final = {2: (2.5, 24), 3: (4.0, 12)}
"""Ratio of neighbouring values of a sigma2 in the scan, and most values, for two and three levels."""
_AT_ONCE: Final = 100_000  # numbers of estimates that the scan takes together


def maximise(data: Nested, *, restricted: bool) -> tuple[FloatArray, BoolArray]:
    """Sigma2 >= 0, (n, levels), of the highest (restricted) likelihood found, and whether the search ended.

    Climbs start from every point of a grid that is no lower than its neighbours along the axes, or near it at the top
    of the paraboloid through them; should one end lower than its data set was on the grid, from the points themselves.
    """
    unit = _unit(data)
    rows, start, near, grid_height = _peaks(data, unit, restricted=restricted)
    free = np.ones(data.levels, dtype=bool)
    which = None if unit.size == 1 else rows
    end, height, ended = _climb(data, which, near, free, restricted=restricted)
    best = _highest(height, rows)
    if (height[best] < grid_height[_highest(grid_height, rows)] - _ROUNDING).any():
        end, height, ended = _climb(data, which, start, free, restricted=restricted)
        best = _highest(height, rows)
    return end[best], ended[best]


def _highest(loglik: FloatArray, rows: IntArray) -> IntArray:
    """Position of the highest of each data set."""
    best = np.empty(rows.max() + 1, dtype=np.intp)
    order = np.lexsort((loglik, rows))
    best[rows[order]] = order  # the last of each stays
    return best


def _axis(data: Nested, unit: FloatArray) -> FloatArray:
    """Values of each sigma2 in the scan, in units of the spread: 0, and others of one ratio.

    Below a small part of every sampling variance the likelihood is straight, and needs no points.
    """
    if data.levels == 1:
        return _ONE
    ratio, most = _APART.get(data.levels, (10.0, 6))
    low = min(max(_NOTHING / float(data.weight.max() * unit.max()), 1e-9), 0.01)
    return np.append(0.0, np.geomspace(low, _FAR, min(most, 1 + math.ceil(math.log(_FAR / low, ratio)))))


def _peaks(data: Nested, unit: FloatArray, *, restricted: bool) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Every point of the grid that is no lower than its neighbours: its data set, place, a place near it and height."""
    axis = _axis(data, unit)
    grid = np.stack(np.meshgrid(*[axis] * data.levels, indexing="ij"), axis=-1)
    n, shape = unit.size, grid.shape[:-1]
    places = (unit[:, None, None] * grid.reshape(-1, data.levels)).reshape(-1, data.levels)
    rows = np.repeat(np.arange(n), len(places) // n)
    together = max(1, _AT_ONCE // data.y.shape[1])
    heights = [
        fits(data, None if n == 1 else rows[i : i + together], places[i : i + together], restricted=restricted).loglik
        for i in range(0, len(places), together)
    ]
    height = np.concatenate(heights).reshape(n, *shape)
    peak = np.ones(height.shape, dtype=bool)
    for level in range(1, height.ndim):
        here, no_lower = np.moveaxis(height, level, 0), np.moveaxis(peak, level, 0)
        no_lower[1:] &= here[1:] >= here[:-1]
        no_lower[:-1] &= here[:-1] >= here[1:]
    at = np.flatnonzero(peak)
    near = places[at] * (axis[-1] / axis[-2]) ** _top(height, at)
    return rows[at], places[at], near, height.ravel()[at]


@cache
def _stencil(levels: int) -> tuple[IntArray, FloatArray]:
    """The 3^levels neighbours of a point of the grid, and what makes a paraboloid of the values there."""
    around = np.array(list(itertools.product((-1, 0, 1), repeat=levels)))
    i, j = np.triu_indices(levels)
    terms = np.column_stack([np.ones(len(around)), around, around[:, i] * around[:, j]])
    return around, np.linalg.pinv(terms)


def _top(height: FloatArray, at: IntArray) -> FloatArray:
    """From points of the grid to the tops of paraboloids through their neighbours, in steps of the grid; else 0."""
    levels = height.ndim - 1
    around, fitted = _stencil(levels)
    place = np.array(np.unravel_index(at, height.shape)).T
    inner = (place[:, 1:] > 1).all(axis=1) & (place[:, 1:] < height.shape[1] - 1).all(axis=1)  # the first value is 0
    step = np.zeros((at.size, levels))
    row, centre = place[inner, :1], place[inner, 1:, None] + around.T
    coefficients = height[(row, *np.moveaxis(centre, 1, 0))] @ fitted.T
    i, j = np.triu_indices(levels)
    curvature = np.zeros((len(row), levels, levels))
    curvature[:, i, j] -= coefficients[:, 1 + levels :]
    curvature += np.swapaxes(curvature, -1, -2)
    round_ = np.linalg.eigvalsh(curvature)[:, 0] > 0
    curvature[~round_] = np.eye(levels)
    moved = np.linalg.solve(curvature, coefficients[:, 1 : 1 + levels, None])[..., 0]
    step[inner] = np.where(round_[:, None] & (np.abs(moved) < 1).all(axis=1, keepdims=True), moved, 0.0)
    return step


def _unit(data: Nested) -> FloatArray:
    """Scale on which sigma2 lies: spread of the residuals, or a millionth of the sampling variances if that is more."""
    rest = data.y - (data.q @ (np.swapaxes(data.q, -1, -2) @ data.y[..., None]))[..., 0]
    mean = rest.sum(axis=1) / data.size
    square = np.where(data.weight > 0, rest - mean[:, None], 0.0) ** 2
    return np.asarray(np.maximum(square.sum(axis=1) / data.size, 1e-6 * data.spread))


def _climb(
    data: Nested, rows: IntArray | None, start: FloatArray, free: BoolArray, *, restricted: bool
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Go uphill from each start, (b, levels), by those sigma2 that are `free` and not held at 0.

    Returns
    -------
    sigma2, log-likelihood, bool
        Where each climb ended, and whether it did before the steps ran out. One that joined a higher one ends there.
    """
    end, height, sure = start.copy(), np.empty(len(start)), np.zeros(len(start), dtype=bool)
    which = np.zeros(len(start), dtype=np.intp) if rows is None else rows
    here, live = look(data, rows, start, restricted=restricted), np.arange(len(start))
    halved, taken = np.zeros_like(live), np.zeros(len(start), dtype=np.intp)
    more = np.ones(len(start), dtype=bool)
    while True:
        step, newton, active = _directions(here, free)
        last = newton & (np.abs(step) <= _NEXT * here.sigma2).all(axis=1)
        end[live] = here.sigma2 + step * last[:, None]
        height[live], sure[live] = here.loglik, newton
        more &= active & ~last
        if live.size > 1:
            more &= ~_joined(end, height, sure, which, live)
        if not more.all():
            here = Point(*(part[more] for part in here))
            live, step, halved = live[more], step[more], halved[more]
        if not live.size:
            return end, height, taken < _STEPS
        trial = np.maximum(here.sigma2 + step * 0.5 ** halved[:, None], 0.0)
        there = look(data, None if rows is None else rows[live], trial, restricted=restricted)
        length = np.abs(trial - here.sigma2)
        farthest = length.max(axis=1)
        better = _better(there, here, length, farthest)
        if better.all():
            here = there
        else:
            parts = zip(there, here, strict=True)
            here = Point(*(np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old) for new, old in parts))
        halved = np.where(better, 0, halved + 1)
        taken[live] += better
        onwards = (farthest > _SMALL * trial.sum(axis=1)) & (taken[live] < _STEPS)
        more = np.where(better, onwards, (farthest > 0) & (halved < _HALVINGS))


def _joined(end: FloatArray, height: FloatArray, sure: BoolArray, which: IntArray, live: IntArray) -> BoolArray:
    """Climbs that are on the slope of a higher one: near it, and both where the curvature is that of a maximum."""
    lead = _highest(height, which)[which[live]]
    target = end[lead]
    near = (np.abs(end[live] - target) <= _NEAR * target).all(axis=1)
    return np.asarray(near & (lead != live) & sure[live] & sure[lead])


def _better(there: Point, here: Point, length: FloatArray, farthest: FloatArray) -> BoolArray:
    """Higher; or, where the likelihood is flat to its last digit, of a smaller score of those that moved."""
    small = (farthest > 0) & (farthest <= 1e-6 * here.sigma2.sum(axis=1))
    if small.any():
        after, before = (np.abs(np.where(length > 0, score, 0.0)).max(axis=1) for score in (there.score, here.score))
        small &= after < before
    return np.asarray((there.loglik > here.loglik) | small)


def _directions(here: Point, free: BoolArray) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Step of each sigma2, 0 where it is held; whether it is Newton's; whether there is anything to move.

    Newton's step is taken where it is short. Where it is not, the average of observed and expected information is the
    better guide as long as the two are alike, and the expected one where they are not: from a sigma2 much too small
    Newton's step would go half as far again at a time, Fisher's goes all the way.
    """
    active = free & ((here.sigma2 > 0) | (here.score > 0))
    off = ~(active[:, :, None] & active[:, None, :])
    expected, observed = np.where(off, 0.0, here.expected), np.where(off, 0.0, here.observed)
    likely, seen = np.einsum("bll->bl", expected), np.einsum("bll->bl", observed)  # their diagonals
    trace = likely.sum(axis=1)
    trace[~(trace > 0)] = 1.0
    held = np.where(active, 0.0, trace[:, None])
    seen += held
    likely += held
    score = np.where(active, here.score, 0.0)[..., None]
    peaked = np.linalg.eigvalsh(observed)[:, 0] > 1e-8 * trace
    alike = peaked & (seen <= _ALIKE * likely).all(axis=1) & (likely <= _ALIKE * seen).all(axis=1)
    likely += 1e-10 * trace[:, None]
    step = np.linalg.solve(np.where(peaked[:, None, None], observed, expected), score)[..., 0]
    newton = peaked & (np.abs(step) <= _SHORT * here.sigma2).all(axis=1)
    if not newton.all():
        guide = np.where(alike[:, None, None], (observed + expected) / 2, expected)
        step = np.where(newton[:, None], step, np.linalg.solve(guide, score)[..., 0])
    return step, np.asarray(newton), np.asarray(active.any(axis=1))


def profile_limits(
    data: Nested, best: Solution, level: int, confidence: float, *, restricted: bool
) -> tuple[float, float]:
    """Where the likelihood, maximised over the other levels, is chi2(1)/2 below its maximum; inf if it never is."""
    floor = best.loglik - float(chdtri(1.0, 1 - confidence)) / 2

    free = np.arange(data.levels) != level

    def excess(value: FloatArray) -> FloatArray:
        start = np.where(free, best.sigma2, value[0])[None]
        return _climb(data, None, start, free, restricted=restricted)[1] - floor

    peak, zero = best.sigma2[level : level + 1], np.zeros(1)
    top, at_zero = excess(peak), excess(zero)
    low = 0.0 if at_zero[0] >= 0 else float(bracketed_root(excess, zero, peak, at_zero, top, tolerance=1e-10)[0])
    far = np.maximum(2 * peak, best.sigma2.sum() + _unit(data))
    end = 1e14 * far
    while (beyond := excess(far))[0] > 0:
        far = 4 * far
        if far[0] > end[0]:
            return low, float("inf")
    return low, float(bracketed_root(excess, peak, far, top, beyond, tolerance=1e-10)[0])
