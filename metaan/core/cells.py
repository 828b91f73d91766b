"""Global maximum of the (restricted) likelihood in tau2 where it may have several, by cutting the axis into cells.

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

from metaan.core.wls import FloatArray, Score

__all__ = ["CELLS", "STEPS", "TOLERANCE", "Maximum", "Searched", "bound", "by_cells"]

IntArray = npt.NDArray[np.intp]

CELLS: Final = 8
_ROUNDS: Final = 60  # of cutting: a cell is then narrower than rounding error
STEPS: Final = 60
TOLERANCE: Final = 1e-7  # of the last step: convergence is quadratic, so what remains is far below 1e-10
_EPS: Final = float(np.finfo(np.float64).eps)


class Searched(Protocol):
    """Likelihoods of tau2 for n data sets, whose scores have the pieces of `Score`, falling in t."""

    @property
    def v(self) -> FloatArray:
        """Sampling variances, (k, n)."""

    def take(self, index: IntArray | npt.NDArray[np.bool_] | slice) -> Searched:
        """The data sets of `index`."""

    def score(self, t: FloatArray, *, restricted: bool) -> Score:
        """Pieces at t of shape (n,) or, m points a data set, (m, n)."""

    def log_likelihood(self, t: FloatArray, *, restricted: bool) -> FloatArray:
        """Profile likelihood at t of shape (n,), but for constants."""

    def spread(self) -> FloatArray:
        """Limit of t^2 a(t) for large t, (n,): the plain sum of squares about the fit."""

    def df(self) -> FloatArray:
        """Number of terms of b(t) less those that grow with them: residual degrees of freedom, (n,)."""


class Maximum(NamedTuple):
    """Where the likelihood is highest, for each meta-analysis: arrays of shape (n,)."""

    tau2: FloatArray
    maxima: IntArray
    """Local maxima found, tau2 = 0 included where it is one."""
    iterations: IntArray
    converged: npt.NDArray[np.bool_]


def by_cells(data: Searched, *, restricted: bool) -> Maximum:
    """Global maximum in tau2 of n likelihoods.

    Parameters
    ----------
    data : Searched
    restricted : bool
    """
    w = 1 / data.v
    scale = (w > 0).sum(axis=0) / w.sum(axis=0)  # a typical variance: the search is scale-free
    cells, zero = _grid(data, scale, bound(data), restricted)
    brackets = _settle(data, scale, cells, restricted)
    t, steps, done = _newton(data, brackets, restricted)
    return _highest(data, zero, brackets.owner, t, steps, done, restricted)


def bound(data: Searched) -> FloatArray:
    """No stationary point lies above: a <= S/t^2 and b >= df/(v_max + t), S the plain sum of squares."""
    s2 = data.spread() / np.maximum(data.df(), 1)
    largest = np.where(np.isfinite(data.v), data.v, 0.0).max(axis=0)
    return np.asarray((s2 + np.sqrt(s2 * (s2 + 4 * largest))) * (0.5 + 1e-9))


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


def _classify(cells: _Cells) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which cells have a falling score, hold a maximum if they do, and are settled."""
    low, high = cells.at_low, cells.at_high
    falling = 2 * high.c > low.d
    crossing = (low.a > low.b) & (high.a <= high.b)
    settled = falling | (low.a < high.b) | (high.a > low.b) | (2 * low.c < high.d)
    return falling, crossing, settled


def _grid(
    data: Searched, scale: FloatArray, limit: FloatArray, restricted: bool
) -> tuple[_Cells, npt.NDArray[np.bool_]]:
    """First cells, geometric in scale + t from 0 to the upper bound; and whether tau2 = 0 is a local maximum."""
    n = scale.shape[0]
    fractions = np.arange(CELLS + 1)[:, None] / CELLS
    t = scale * np.expm1(np.log1p(limit / scale) * fractions)
    pieces = data.score(t, restricted=restricted)
    owner = np.broadcast_to(np.arange(n), (CELLS, n))
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
    for _ in range(STEPS):
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
        close = np.abs(new - now) <= TOLERANCE * new + floor[active]
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
