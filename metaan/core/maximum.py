"""Global maximum of the (restricted) likelihood in tau2, with a proof that no higher maximum was missed.

Newton's method climbs from 0 to the first stationary point; for equal variances one step does. Bounds from the score's
pieces at 0, at that point and at few beyond it (`metaan.core.proof`) show for nearly every data set that there is no
other; the rest are searched cell by cell (`metaan.core.cells`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.cells import CELLS, STEPS, TOLERANCE, Maximum, Searched, bound, by_cells
from metaan.core.compiled import ENOUGH, wanted
from metaan.core.memory import keep_freed
from metaan.core.proof import (
    MARCH,
    SHORTER,
    STRIDE,
    Curves,
    below,
    beyond,
    one_below,
    one_beyond,
    one_curves,
    one_step,
    one_within,
    step,
    within,
)
from metaan.core.wls import Data, FloatArray, Score, dot, score, score_one, weighted_mean

__all__ = ["Maximum", "Searched", "log_likelihood", "maximise", "search", "upper_bound"]

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]
_Score = tuple[float, ...]

_ROOM: Final = 32_000  # numbers in an array at a time: they stay in the processor's cache, and memory is not asked for
_AT_ONCE: Final = 16  # chunks
_EPS: Final = float(np.finfo(np.float64).eps)


class _Means(NamedTuple):
    """Pooled means."""

    y: FloatArray
    v: FloatArray
    k: FloatArray

    def take(self, index: IntArray | BoolArray | slice) -> _Means:
        return _Means(self.y[:, index], self.v[:, index], self.k[index])

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        y, v = (self.y, self.v) if t.ndim == 1 else (self.y[:, None], self.v[:, None])
        return score(y, v, t, restricted=restricted)

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        return log_likelihood(self, t, restricted=restricted)

    def spread(self) -> FloatArray:
        r = self.y - self.y.sum(axis=0) / self.k
        if np.isinf(self.v).any():
            r[np.isinf(self.v)] = 0.0
        return dot(r, r)

    def df(self) -> FloatArray:
        return self.k - 1


def maximise(data: Data, *, restricted: bool) -> Maximum:
    """Global maximum in tau2 for data of shape (k, n)."""
    means = _Means(data.y, data.v, data.k)
    if means.k.shape[0] == 1 and (easy := _one(means, restricted)):
        return easy
    if wanted(means.v.size, ENOUGH):
        return _others(means, *_compiled(means, restricted), restricted, _ROOM)
    return search(means, restricted=restricted)


def _compiled(data: _Means, restricted: bool) -> tuple[Maximum, BoolArray]:
    from metaan.core.compiled_tau2 import first_maxima

    n = data.v.shape[1]
    tau2, steps, alone = np.empty(n), np.empty(n, dtype=np.intp), np.empty(n, dtype=np.bool_)
    first_maxima(data.y, data.v, restricted, tau2, steps, alone)
    return Maximum(tau2, np.ones(n, dtype=np.intp), steps, np.ones(n, dtype=np.bool_)), alone


def upper_bound(data: Data) -> FloatArray:
    """No stationary point of the likelihood lies above."""
    return bound(_Means(data.y, data.v, data.k))


def search(data: Searched, *, restricted: bool, room: int = _ROOM) -> Maximum:
    """Global maximum in tau2 of n likelihoods, in chunks that stay in the processor's cache.

    Parameters
    ----------
    data : Searched
    restricted : bool
    room : int
        Numbers in the largest array at a time.
    """
    keep_freed()
    k, n = data.v.shape
    parts = [_first(data.take(part), restricted, room) for part in _chunks(n, _AT_ONCE * room // k)]
    found, alone = _joined([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    return _others(data, found, alone, restricted, room)


def _others(data: Searched, found: Maximum, alone: BoolArray, restricted: bool, room: int) -> Maximum:
    """Search the data sets whose first stationary point is not known to be the only one."""
    rest = np.flatnonzero(~alone)
    for part in _chunks(rest.size, room // (len(data.v) * CELLS)):
        own = rest[part]
        for column, value in zip(found, by_cells(data.take(own), restricted=restricted), strict=True):
            column[own] = value
    return found


def _chunks(n: int, width: int) -> Iterator[slice]:
    width = max(1, width)
    return (slice(start, start + width) for start in range(0, n, width))


def _joined(parts: list[Maximum]) -> Maximum:
    return parts[0] if len(parts) == 1 else Maximum(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _scored(data: Searched, t: FloatArray, restricted: bool, room: int) -> Score:
    """The score's pieces at t, in chunks."""
    width = max(1, room // len(data.v))
    if t.size <= width:
        return data.score(t, restricted=restricted)
    pieces = Score(*np.empty((4, t.size)))
    for part in _chunks(t.size, width):
        for whole, piece in zip(pieces, data.take(part).score(t[part], restricted=restricted), strict=True):
            whole[part] = piece
    return pieces


def _first(data: Searched, restricted: bool, room: int) -> tuple[Maximum, BoolArray]:
    """First stationary point from 0 up, and whether it is known to be the only one."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        zero = _scored(data, np.zeros(data.v.shape[1]), restricted, room)
        flat = zero.a == 0  # then a is 0 everywhere
        found, at = _climb(data, zero, np.asarray(flat | (zero.a <= zero.b)), restricted, room)
        return found, found.converged & (flat | _alone(data, found.tau2, zero, at, restricted, room))


def _climb(data: Searched, zero: Score, falling: BoolArray, restricted: bool, room: int) -> tuple[Maximum, Score]:
    """First stationary point from 0 up, and the score's pieces there."""
    n = falling.size
    t, steps, done = np.zeros(n), np.zeros(n, dtype=np.intp), falling.copy()
    at = Score(*(piece.copy() for piece in zero))
    active = np.flatnonzero(~falling)
    part = data if active.size == n else data.take(active)
    floor = 8 * _EPS * part.v.min(axis=0)
    now, here = t[active], Score(*(piece[active] for piece in zero))
    for count in range(1, STEPS + 1):
        new = step(now, here)
        close = np.abs(new - now) <= TOLERANCE * new + floor
        on = ~close & (new >= 0) & (count < STEPS)
        if not on.all():
            off = ~on
            ended = active[off]
            t[ended], done[ended], steps[ended] = new[off], close[off], count
            for whole, piece in zip(at, here, strict=True):
                whole[ended] = piece[off]
            active, part, floor, new = active[on], part.take(on), floor[on], new[on]
            if not active.size:
                break
        now, here = new, _scored(part, new, restricted, room)
    return Maximum(t, np.ones(n, dtype=np.intp), steps, done), at


def _alone(data: Searched, t: FloatArray, zero: Score, at: Score, restricted: bool, room: int) -> BoolArray:
    """Whether the first stationary point t is known to be the only one."""
    up, end, flat = t > 0, Curves.of(at), 1 / np.sqrt(data.spread())
    alone = np.where(up, below(t, Curves.of(zero), end), np.isfinite(t))
    left = np.flatnonzero(alone)
    place, low, root = t[left], end.take(left), up[left]
    shut = beyond(low, flat[left], root)
    stride = np.full(left.size, STRIDE)
    for _ in range(MARCH):
        left, place, low, root, stride = left[~shut], place[~shut], low.take(~shut), root[~shut], stride[~shut]
        if not left.size:
            return np.asarray(alone)
        width = stride * low.a / low.a_slope
        high = Curves.of(_scored(data.take(left), place + width, restricted, room))
        safe = within(width, low, high, root)
        shut = safe & beyond(high, flat[left], np.zeros_like(root))
        stride = np.where(safe, STRIDE, stride * SHORTER)
        place, root = place + np.where(safe, width, 0.0), root & ~safe
        low = Curves(*(np.where(safe, new, old) for new, old in zip(high, low, strict=True)))
    alone[left[~shut]] = False
    return np.asarray(alone)


def _one(data: _Means, restricted: bool) -> Maximum | None:
    """As `_first` for one data set, on plain numbers: arrays of one number would take most of the time."""
    y, v = np.ascontiguousarray(data.y[:, 0]), np.ascontiguousarray(data.v[:, 0])
    ones = np.ones_like(y)
    off = y - y.dot(ones) / y.size
    spread = float(off.dot(off))

    def at(t: float) -> _Score:
        return score_one(y, v, ones, t, restricted)

    zero = at(0.0)
    if zero[0] == 0 or spread == 0:
        return Maximum(np.zeros(1), np.ones(1, np.intp), np.zeros(1, np.intp), np.ones(1, np.bool_))
    found = _climb_one(at, zero, 8 * _EPS * float(v.min()))
    if found is None or not _alone_one(at, zero, *found, 1 / math.sqrt(spread)):
        return None
    return Maximum(np.array([found[0]]), np.ones(1, np.intp), np.array([found[1]]), np.ones(1, np.bool_))


def _climb_one(at: Callable[[float], _Score], zero: _Score, floor: float) -> tuple[float, int, _Score] | None:
    t, here = 0.0, zero
    if zero[0] <= zero[1]:
        return t, 0, here
    for count in range(1, STEPS + 1):
        new = one_step(t, *here)
        if not new >= 0:
            return None
        if abs(new - t) <= TOLERANCE * new + floor:
            return new, count, here
        t, here = new, at(new)
    return None


def _alone_one(
    at: Callable[[float], _Score], zero: _Score, t: float, steps: int, here: _Score, flat: float
) -> bool:  # fmt: skip
    low, root = one_curves(*here), steps > 0
    if root and not one_below(t, *one_curves(*zero)[:3], *low[:3]):
        return False
    shut, stride = one_beyond(low[0], *low[2:], flat, root), STRIDE
    for _ in range(MARCH):
        if shut:
            break
        width = stride * low[0] / low[1]
        high = one_curves(*at(t + width))
        if one_within(width, low[0], *low[2:], high[0], *high[2:], root):
            t, low, root, stride = t + width, high, False, STRIDE
            shut = one_beyond(low[0], *low[2:], flat, root)
        else:
            stride *= SHORTER
    return shut


def log_likelihood(data: Data | _Means, t: FloatArray, *, restricted: bool) -> FloatArray:
    """(Restricted) log-likelihood of tau2 = t with the mean profiled out, all constants included.

    ML: -[k log 2pi + sum log(v + t) + Q(t)]/2. REML: -[(k-1) log 2pi - log k + sum log(v + t) + log sum w +
    Q(t)]/2, the constant of metafor (Harville 1974: log|X'X| = log k).
    """
    w = 1 / (data.v + t)
    mean, total = weighted_mean(data.y, w)
    r = data.y - mean
    log_v = -np.log(w, where=w > 0, out=np.zeros_like(w)).sum(axis=0)
    deviance = log_v + dot(w * r, r)
    if not restricted:
        return np.asarray(-(data.k * np.log(2 * np.pi) + deviance) / 2)
    return np.asarray(-((data.k - 1) * np.log(2 * np.pi) - np.log(data.k) + deviance + np.log(total)) / 2)
