"""Two arms given the number of events in both together: families of counts for the marginal likelihood.

Given its total m, the number of events of the treated arm has a distribution that depends on the log odds ratio (or log
rate ratio) alone. For odds ratios it is Fisher's non-central hypergeometric distribution; for events over time, and
for rare events, it is binomial with known shift of the log odds (Stijnen et al. 2010). Counts are taken from the least
possible one, so that x = 0 and x = N are the ends of the support and N = 0 is a trial that says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from metaan.core.binomial import Binomial, Family, Index, Terms, common_log_likelihood
from metaan.core.memory import keep_freed
from metaan.core.roots import bracketed_root
from metaan.core.wls import FloatArray

__all__ = ["Hypergeometric", "Shifted", "common_effect", "common_limit"]

IntArray = npt.NDArray[np.intp]

_ROOM: Final = 200_000  # elements of a table of terms at a time
_WIDEST: Final = 700.0


def _log_choose(n: FloatArray, r: FloatArray) -> FloatArray:
    """Logarithm of the binomial coefficient."""
    return np.asarray(gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1))


def _cumulants(log_weight: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logarithm of the sum of w_j exp(j eta), mean and variance of j: weights (k, J), eta (k, n)."""
    j = np.arange(log_weight.shape[1], dtype=np.float64)
    p = j[:, None] * eta[:, None]
    p += log_weight[..., None]
    top = p.max(axis=1)
    p -= top[:, None]
    np.exp(p, out=p)
    total = p.sum(axis=1)
    p /= total[:, None]
    mean = j @ p
    distance = j[:, None] - mean[:, None]
    distance *= distance
    distance *= p
    return top + np.log(total), mean, distance.sum(axis=1)


class Hypergeometric(NamedTuple):
    """Non-central hypergeometric counts; every column is the same meta-analysis, shape (k, n)."""

    x: FloatArray
    N: FloatArray
    constant: FloatArray
    logit: FloatArray
    variance: FloatArray
    log_weight: FloatArray
    """log [C(n1, low + j) C(n2, m - low - j)] for j = 0 ... N, less its maximum; -inf beyond N. Shape (k, J)."""
    alike_in_size: tuple[IntArray, ...]
    """Rows of studies whose N + 1 has the same number of binary digits: their sums are taken together."""

    @classmethod
    def from_tables(cls, a: FloatArray, n1: FloatArray, c: FloatArray, n2: FloatArray) -> Hypergeometric:
        """One meta-analysis from events and totals of the treated and the control arm, shape (k,)."""
        keep_freed()
        m = a + c
        low, high = np.maximum(0.0, m - n2), np.minimum(n1, m)
        x, N = a - low, high - low
        j = np.arange(int(N.max()) + 1, dtype=np.float64)
        inside = j <= N[:, None]
        one = np.where(inside, low[:, None] + j, 0.0)
        other = np.where(inside, m[:, None] - one, 0.0)
        log_weight = np.where(inside, _log_choose(n1[:, None], one) + _log_choose(n2[:, None], other), -np.inf)
        log_weight -= log_weight.max(axis=1, keepdims=True)
        constant = log_weight[np.arange(len(x)), x.astype(np.intp)].sum()
        cells = [cell + 0.5 for cell in (a, n1 - a, c, n2 - c)]
        effect = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
        spread = np.sum([1 / cell for cell in cells], axis=0)
        digits = np.frexp(N + 1)[1]
        rows = tuple(np.flatnonzero(digits == number) for number in np.unique(digits))
        return cls(x[:, None], N[:, None], np.array([constant]), effect[:, None], spread[:, None], log_weight, rows)

    @property
    def alike(self) -> bool:
        """Only where every count is 0 or 1, with the same odds."""
        single = self.N[:, 0] == 1
        if self.N.max() > 1 or not single.any():
            return False
        return bool(np.ptp(self.log_weight[single, 1] - self.log_weight[single, 0]) <= 1e-12)

    def take(self, index: Index) -> Hypergeometric:
        """The columns of `index`."""
        return self._replace(
            x=self.x[:, index], N=self.N[:, index], constant=self.constant[index], logit=self.logit[:, index],
            variance=self.variance[:, index],
        )  # fmt: skip

    @property
    def top(self) -> float:
        """There is none."""
        return np.inf

    def terms(self, eta: FloatArray) -> Terms:
        """x eta - log sum w_j exp(j eta), x less the mean of j, variance of j."""
        x = self.x if eta.ndim == 2 else self.x[:, None]
        value, mean, variance = self.cumulants(eta)
        return Terms(x * eta - value, x - mean, variance)

    def cumulants(self, eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Logarithm of the sum of w_j exp(j eta), mean and variance of j."""
        flat = eta.reshape(len(eta), -1)
        out = np.empty((3, *flat.shape))
        for rows in self.alike_in_size:
            log_weight = self.log_weight[rows]
            log_weight = log_weight[:, : int((log_weight > -np.inf).sum(axis=1).max())]
            width = max(1, _ROOM // log_weight.size)
            for start in range(0, flat.shape[1], width):
                part = slice(start, start + width)
                out[:, rows, part] = _cumulants(log_weight, flat[rows, part])
        value, mean, variance = out.reshape(3, *eta.shape)
        return value, mean, variance

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x less the mean of j, and its variance."""
        of = self.terms(eta)
        return of.score, of.information

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Conditional maximum-likelihood effect and its log-likelihood."""
        return common_effect(self)


class Shifted(NamedTuple):
    """Binomial counts whose log odds are eta plus a known offset, (k, 1)."""

    base: Binomial
    offset: FloatArray

    @classmethod
    def from_counts(cls, a: FloatArray, m: FloatArray, offset: FloatArray) -> Shifted:
        """One meta-analysis: a of m events are the treated arm's, shape (k,)."""
        return cls(Binomial.from_counts(a[:, None], m[:, None]), offset[:, None])

    @property
    def x(self) -> FloatArray:
        """Counts."""
        return self.base.x

    @property
    def N(self) -> FloatArray:
        """Largest possible counts."""
        return self.base.N

    @property
    def constant(self) -> FloatArray:
        """What the log-likelihood has besides `terms`."""
        return self.base.constant

    @property
    def logit(self) -> FloatArray:
        """Empirical effects."""
        return self.base.logit - self.offset

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances."""
        return self.base.variance

    @property
    def alike(self) -> bool:
        """Where all trials that say something have one offset."""
        return bool(np.ptp(self.offset[self.N[:, 0] > 0]) <= 1e-12)

    def take(self, index: Index) -> Shifted:
        """The columns of `index`, all with the same offsets."""
        return Shifted(self.base.take(index), self.offset)

    @property
    def top(self) -> float:
        """There is none."""
        return np.inf

    def terms(self, eta: FloatArray) -> Terms:
        """Those of the binomial at eta plus the offset."""
        return self.base.terms(eta + (self.offset if eta.ndim == 2 else self.offset[:, None]))

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Those of the binomial at eta plus the offset."""
        return self.base.slope(eta + self.offset)

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Maximum-likelihood effect and its log-likelihood."""
        return common_effect(self)


def common_effect(b: Family) -> tuple[FloatArray, FloatArray]:
    """Root of the score, which falls in mu; infinite, with log-likelihood 0, where all x are 0, or all N."""
    total, largest = b.x.sum(axis=0), b.N.sum(axis=0)

    def score(mu: FloatArray) -> FloatArray:
        return np.asarray(b.slope(np.broadcast_to(mu, b.x.shape))[0].sum(axis=0))

    start = (b.logit / b.variance).sum(axis=0) / (1 / b.variance).sum(axis=0)
    low, high = _bracket(score, start)
    mu = bracketed_root(score, low, high, score(low), score(high))
    none, every = total == 0, total == largest
    mu = np.where(none, -np.inf, np.where(every, np.inf, mu))
    ends = none | every
    return mu, np.where(ends, 0.0, common_log_likelihood(b, np.where(ends, 0.0, mu)))


def _bracket(falling: Callable[[FloatArray], FloatArray], start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points where a falling function is positive and negative, as far as there are any."""
    ends = []
    for sign in (-1.0, 1.0):
        step = np.ones_like(start)
        while ((short := sign * falling(start + sign * step) > 0) & (step < _WIDEST)).any():
            step = np.where(short, 2 * step, step)
        ends.append(start + sign * step)
    return ends[0], ends[1]


def common_limit(b: Family, drop: float) -> float:
    """Effect at which the log-likelihood with tau2 = 0 is `drop` below its supremum, for data at one end throughout."""
    from_below = bool((b.x.sum(axis=0) == 0)[0])
    sign = 1.0 if from_below else -1.0  # the likelihood falls in this direction, from 0

    def excess(mu: FloatArray) -> FloatArray:
        return common_log_likelihood(b, sign * mu) + drop

    low, high = -np.ones(1), np.ones(1)
    while excess(low)[0] < 0:
        low = 2 * low
    while excess(high)[0] > 0:
        high = 2 * high
    return sign * float(bracketed_root(excess, low, high, excess(low), excess(high))[0])
