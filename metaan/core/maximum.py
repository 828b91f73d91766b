"""Global maximum of the (restricted) likelihood in tau2, with a proof that no higher maximum was missed.

The score is (a(t) - b(t))/2 where a and b both fall as t grows (see `Score`). On a cell [l, u] it is therefore at
most (a(l) - b(u))/2 and at least (a(u) - b(l))/2, and its derivative lies between d(u) - 2c(l) and d(l) - 2c(u),
halved. A cell is settled when these bounds show that the score has no root in it or is monotone; a cell that is not
settled is cut in two. What remains are cells with exactly one local maximum each, which Newton's method finds
inside its bracket.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from metaan.core.wls import Data, Score, dot, score, weighted_mean

__all__ = ["Maximum", "Searched", "log_likelihood", "maximise", "search", "upper_bound"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_CELLS_ONE: Final = 24  # one data set: more cells cost next to nothing and save a round of cutting
_CELLS_MANY: Final = 8
_CHUNK: Final = 125_000  # numbers in the largest array
_ROUNDS: Final = 60  # of cutting: a cell is then narrower than rounding error
_STEPS: Final = 60
_TOLERANCE: Final = 1e-7  # of the last step: convergence is quadratic, so what remains is far below 1e-10
_EPS: Final = float(np.finfo(np.float64).eps)


class Searched(Protocol):
    """Likelihoods of tau2 for n data sets, whose scores have the pieces of `Score`, falling in t."""

    @property
    def v(self) -> FloatArray:
        """Sampling variances, (k, n)."""

    def take(self, index: IntArray | npt.NDArray[np.bool_]) -> Searched:
        """The data sets of `index`."""

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        """Pieces at t of shape (n,) or, m points a data set, (m, n)."""

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        """Profile likelihood at t of shape (n,), but for constants."""


class _Means(NamedTuple):
    """Pooled means."""

    y: FloatArray
    v: FloatArray
    k: FloatArray

    def take(self, index: IntArray | npt.NDArray[np.bool_]) -> _Means:
        return _Means(self.y[:, index], self.v[:, index], self.k[index])

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        y, v = (self.y, self.v) if t.ndim == 1 else (self.y[:, None], self.v[:, None])
        return score(y, v, t, restricted=restricted)

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        return log_likelihood(self, t, restricted=restricted)


class Maximum(NamedTuple):
    """Where the likelihood is highest, for each meta-analysis: arrays of shape (n,)."""

    tau2: FloatArray
    maxima: IntArray
    """Local maxima found, tau2 = 0 included where it is one."""
    iterations: IntArray
    converged: npt.NDArray[np.bool_]


class _Cells(NamedTuple):
    """A list of cells: the meta-analysis each belongs to, its ends, and the score's pieces at the ends."""

    owner: IntArray
    low: FloatArray
    high: FloatArray
    at_low: Score
    at_high: Score

    def pick(self, keep: npt.NDArray[np.bool_]) -> _Cells:
        return _Cells(
            self.owner[keep], self.low[keep], self.high[keep],
            Score(*(x[keep] for x in self.at_low)), Score(*(x[keep] for x in self.at_high)),
        )  # fmt: skip


def maximise(data: Data, *, restricted: bool) -> Maximum:
    """Global maximum in tau2 for data of shape (k, n)."""
    scale, limit = data.k / (1 / data.v).sum(axis=0), upper_bound(data)
    means = _Means(data.y, data.v, data.k)
    if scale.shape[0] == 1:
        cells, zero = _grid(means, scale, limit, restricted)
        if easy := _one(data, cells, zero, restricted):
            return easy
    return search(means, scale=scale, limit=limit, restricted=restricted)


def search(data: Searched, *, scale: FloatArray, limit: FloatArray, restricted: bool, room: int = _CHUNK) -> Maximum:
    """Global maximum in tau2 of n likelihoods, in chunks that stay in the processor's cache.

    Parameters
    ----------
    data : Searched
    scale, limit : array of shape (n,)
        A typical sampling variance, in which the search is scale-free, and a point above every stationary one.
    restricted : bool
    room : int
        Numbers in the largest array at a time.
    """
    k, n = data.v.shape
    width = max(1, room // (k * (_CELLS_MANY + 1)))
    if n <= width:
        return _search(data, scale, limit, restricted)
    parts = []
    for start in range(0, n, width):
        part = np.arange(start, min(start + width, n))
        parts.append(_search(data.take(part), scale[part], limit[part], restricted))
    return Maximum(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _search(data: Searched, scale: FloatArray, limit: FloatArray, restricted: bool) -> Maximum:
    cells, zero = _grid(data, scale, limit, restricted)
    brackets = _settle(data, scale, cells, restricted)
    t, steps, done = _newton(data, brackets, restricted)
    return _highest(data, zero, brackets.owner, t, steps, done, restricted)


def _one(data: Data, cells: _Cells, zero: npt.NDArray[np.bool_], restricted: bool) -> Maximum | None:
    """One data set whose first cells are all settled and hold at most one maximum, the usual case, on plain numbers."""
    _, crossing, settled = _classify(cells)
    where = np.flatnonzero(crossing)
    if where.size + zero[0] != 1 or not settled.all():
        return None
    t, steps, done = (0.0, 0, True) if zero[0] else _newton_one(data, cells, int(where[0]), restricted)
    return Maximum(np.array([t]), np.array([1]), np.array([steps]), np.array([done]))


def _newton_one(data: Data, cells: _Cells, j: int, restricted: bool) -> tuple[float, int, bool]:
    """As `_newton` for one bracket: array arithmetic on single numbers would take most of the time."""
    y, v = data.y[:, 0], data.v[:, 0]
    low, high = float(cells.low[j]), float(cells.high[j])
    h_low, h_high = (float(end.b[j] / end.a[j]) - 1 for end in (cells.at_low, cells.at_high))
    t = low + (high - low) * h_low / (h_low - h_high)
    floor = 8 * _EPS * float(v.min())
    for step in range(1, _STEPS + 1):
        a, b, c, d = map(float, score(y, v, t, restricted=restricted))
        low, high = (t, high) if a > b else (low, t)
        slope = 2 * b * c - d * a
        new = t + (a - b) * a / slope if slope > 0 else -1.0
        if not low <= new <= high:
            new = (low + high) / 2
        close = abs(new - t) <= _TOLERANCE * new + floor
        t = new
        if close:
            return t, step, True
    return t, _STEPS, False


def _classify(cells: _Cells) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which cells have a falling score, hold a maximum if they do, and are settled."""
    low, high = cells.at_low, cells.at_high
    falling = 2 * high.c > low.d
    crossing = (low.a > low.b) & (high.a <= high.b)
    settled = falling | (low.a < high.b) | (high.a > low.b) | (2 * low.c < high.d)
    return falling, crossing, settled


def upper_bound(data: Data) -> FloatArray:
    """No stationary point lies above: a <= S/t^2 and b >= (k-1)/(v_max + t), S the sum of squares about the mean."""
    mean = data.y.sum(axis=0) / data.k
    r = data.y - mean if data.here is None else (data.y - mean) * data.here
    s2 = dot(r, r) / np.maximum(data.k - 1, 1)
    return (s2 + np.sqrt(s2 * (s2 + 4 * data.v0.max(axis=0)))) * (0.5 + 1e-9)  # type: ignore[no-any-return]


def _grid(
    data: Searched, scale: FloatArray, limit: FloatArray, restricted: bool
) -> tuple[_Cells, npt.NDArray[np.bool_]]:
    """First cells, geometric in scale + t from 0 to the upper bound; and whether tau2 = 0 is a local maximum."""
    n = scale.shape[0]
    m = _CELLS_ONE if n == 1 else _CELLS_MANY
    fractions = np.arange(m + 1)[:, None] / m
    t = scale * np.expm1(np.log1p(limit / scale) * fractions)
    pieces = data.score(t, restricted=restricted)
    owner = np.broadcast_to(np.arange(n), (m, n))
    low = Score(*(x[:-1].ravel() for x in pieces))
    high = Score(*(x[1:].ravel() for x in pieces))
    return _Cells(owner.ravel(), t[:-1].ravel(), t[1:].ravel(), low, high), pieces.a[0] <= pieces.b[0]


def _settle(data: Searched, scale: FloatArray, cells: _Cells, restricted: bool) -> _Cells:
    """Cut cells until each is settled; return those that hold exactly one maximum."""
    found = []
    for _ in range(_ROUNDS):
        falling, crossing, settled = _classify(cells)
        found.append(cells.pick(falling & crossing))
        settled |= cells.high - cells.low <= 4 * _EPS * (cells.high + scale[cells.owner])
        if settled.all():
            break
        cells = _cut(data, scale, cells.pick(~settled), restricted)
    else:
        found.append(cells.pick((cells.at_low.a > cells.at_low.b) & (cells.at_high.a <= cells.at_high.b)))
    return _join(found)


def _cut(data: Searched, scale: FloatArray, cells: _Cells, restricted: bool) -> _Cells:
    own = cells.owner
    s = scale[own]
    middle = np.sqrt((s + cells.low) * (s + cells.high)) - s
    middle = np.clip(middle, cells.low, cells.high)
    at = data.take(own).score(middle, restricted=restricted)
    return _join([_Cells(own, cells.low, middle, cells.at_low, at), _Cells(own, middle, cells.high, at, cells.at_high)])


def _join(parts: list[_Cells]) -> _Cells:
    if len(parts) == 1:
        return parts[0]
    flat = [np.concatenate([getattr(p, name) for p in parts]) for name in ("owner", "low", "high")]
    ends = [
        Score(*(np.concatenate(x) for x in zip(*(getattr(p, e) for p in parts), strict=True)))
        for e in ("at_low", "at_high")
    ]
    return _Cells(flat[0], flat[1], flat[2], ends[0], ends[1])


def _newton(data: Searched, cells: _Cells, restricted: bool) -> tuple[FloatArray, IntArray, npt.NDArray[np.bool_]]:
    """Root of b/a = 1 in each cell; for equal variances b/a is a straight line and one step is exact."""
    low, high = cells.low.copy(), cells.high.copy()
    h_low = cells.at_low.b / cells.at_low.a - 1
    h_high = cells.at_high.b / cells.at_high.a - 1
    t = low + (high - low) * np.clip(h_low / (h_low - h_high), 0.0, 1.0)
    steps = np.zeros(t.shape, dtype=np.intp)
    done = np.zeros(t.shape, dtype=bool)
    active = np.arange(t.shape[0])
    part = data if _is_identity(cells.owner, data) else data.take(cells.owner)
    floor = 8 * _EPS / np.maximum((1 / part.v).max(axis=0), 1e-300)
    for _ in range(_STEPS):
        if active.size == 0:
            break
        now = t[active]
        at = part.score(now, restricted=restricted)
        rising = at.a > at.b
        low[active] = np.where(rising, now, low[active])
        high[active] = np.where(rising, high[active], now)
        slope = 2 * at.b * at.c - at.d * at.a
        with np.errstate(divide="ignore", invalid="ignore"):
            new = now + (at.a - at.b) * at.a / slope
        inside = (slope > 0) & (new >= low[active]) & (new <= high[active])
        new = np.where(inside, new, (low[active] + high[active]) / 2)
        t[active] = new
        steps[active] += 1
        close = np.abs(new - now) <= _TOLERANCE * new + floor[active]
        done[active[close]] = True
        if close.any():
            active, part = active[~close], part.take(~close)
    return t, steps, done


def _is_identity(owner: IntArray, data: Searched) -> bool:
    return owner.shape[0] == data.v.shape[1] and bool((owner == np.arange(owner.shape[0])).all())


def _highest(
    data: Searched, zero: npt.NDArray[np.bool_], owner: IntArray, t: FloatArray, steps: IntArray,
    done: npt.NDArray[np.bool_], restricted: bool,
) -> Maximum:  # fmt: skip
    """Of all local maxima of each meta-analysis, the one with the highest likelihood."""
    n = zero.shape[0]
    maxima = zero.astype(np.intp) + np.bincount(owner, minlength=n)
    tau2, iterations, converged = np.zeros(n), np.zeros(n, dtype=np.intp), np.ones(n, dtype=bool)
    single = maxima[owner] == 1
    tau2[owner[single]] = t[single]
    iterations[owner[single]] = steps[single]
    converged[owner[single]] = done[single]
    several = np.flatnonzero(maxima > 1)
    if several.size:
        rival = np.flatnonzero(~single)
        height = data.take(owner[rival]).log_likelihood(t[rival], restricted=restricted)
        at_zero = data.take(several).log_likelihood(np.zeros(several.size), restricted=restricted)
        best = np.full(n, -np.inf)
        best[several] = np.where(zero[several], at_zero, -np.inf)
        order = np.lexsort((height, owner[rival]))
        top = order[np.r_[owner[rival[order]][1:] != owner[rival[order]][:-1], True]]  # the highest of each data set
        win = top[height[top] > best[owner[rival[top]]]]
        i, j = owner[rival[win]], rival[win]
        tau2[i], iterations[i], converged[i] = t[j], steps[j], done[j]
    return Maximum(tau2, maxima, iterations, converged)


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
