"""Laws of the true rate of a new study, and the same on nodes.

A law of the true rate is a mixture of normal distributions of the true effect theta (`NormalMixture`) or a mixture of
beta distributions of the rate (`BetaMixture`). Either is laid on nodes by Gauss-Legendre panels whose lengths follow
the finer of two scales, that of the law and that of the binomial distribution of n observations (constant in the
arcsine of the root of the rate), so that sums over nodes are integrals to rounding. What the analysis scale cannot
hold (a rate above 1) lies at its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
from scipy.special import betainc, betaln, expit, logit, ndtr

from metaan.core.next_trial import FINEST, Rates
from metaan.core.roots import bracketed_root
from metaan.core.transforms import INVERSE, double_arcsine, double_arcsine_inverse
from metaan.core.wls import FloatArray

__all__ = ["BetaMixture", "Density", "DensityTable", "Law", "NormalMixture", "frozen", "quantile", "smoothed"]

_FAR: Final = 1e-13  # tail probability beyond which a density is not tabulated
_ORDER: Final = 16  # Gauss-Legendre nodes in a panel
_PANEL: Final = 3.0  # its length, in standard deviations: the error is at rounding
_TAIL: Final = 8.3  # standard deviations beyond which 1e-16 of a normal distribution lies
_GROWTH: Final = 6.0  # a law of scale s at its centre has scale d/6 at a distance d from it, at least
_NEGLIGIBLE: Final = 1e-17
_SMOOTH: Final = 0.7  # standard deviations in units of the spacing: a sum of such normals has ripples of 6e-5
_CELLS: Final = 300_000  # of a matrix in memory at a time


@lru_cache(maxsize=2)
def _legendre(order: int) -> tuple[FloatArray, FloatArray]:
    return np.polynomial.legendre.leggauss(order)


def _panels(low: float, high: float, centre: float, scale: float, rate: Rate, n: int) -> FloatArray:
    """Edges of panels from low to high for a law of a scale about a centre and the binomial distribution of n."""
    at = _grid(low, high, centre, scale)
    angle = np.arcsin(np.sqrt(rate(at)))
    length = _GROWTH * np.arcsinh((at - centre) / (_GROWTH * scale)) + 2 * np.sqrt(n) * angle
    panels = max(1, int(np.ceil((length[-1] - length[0]) / _PANEL)))
    edge = np.interp(np.linspace(length[0], length[-1], panels + 1), length, at)
    edge[0], edge[-1] = low, high
    return edge


def _nodes(edge: FloatArray) -> Rates:
    """Gauss-Legendre nodes of all panels and their weights."""
    z, w = _legendre(_ORDER)
    half = np.diff(edge)[:, None] / 2
    return Rates(((edge[:-1, None] + half) + half * z).ravel(), (half * w).ravel())


def _grid(low: float, high: float, centre: float, scale: float) -> FloatArray:
    """Where lengths are tabulated: dense about the centre."""
    ends = np.arcsinh((np.array([low, high]) - centre) / scale)
    inner = centre + scale * np.sinh(np.linspace(float(ends[0]), float(ends[1]), 4001))
    return np.asarray(np.clip(np.sort(np.r_[low, high, inner, np.linspace(low, high, 2001)]), low, high))


_EFFECT: Final[dict[str, Callable[[np.float64], float]]] = {
    "PLO": lambda p: float(logit(p)),
    "PLN": lambda p: np.log(p) if p > 0 else -np.inf,
    "PAS": lambda p: np.arcsin(np.sqrt(p)),
    "PR": float,
}


Rate = Callable[[FloatArray], FloatArray]


def _rate(measure: str, size: float, theta: FloatArray) -> FloatArray:
    return double_arcsine_inverse(theta, size) if measure == "PFT" else INVERSE[measure](theta)


def _effect(measure: str, size: float, rate: float) -> float:
    if measure == "PFT":
        return float(double_arcsine(np.array(rate * size), np.array(size)))
    return float(_EFFECT[measure](np.float64(rate)))


class NormalMixture(NamedTuple):
    """True effects as a mixture of normal distributions, on the analysis scale of a measure of rates."""

    measure: str
    size: float
    """Sample size of the Freeman-Tukey inverse; unused otherwise."""
    lowest: float
    highest: float
    """Ends of the analysis scale."""
    mean: FloatArray
    sd: FloatArray
    """Standard deviations, shape (m,), 0 for an effect taken as known."""
    weight: FloatArray
    """Weights that sum to 1, shape (m,)."""
    scale: float
    """Smallest standard deviation of a smooth part: no feature of the density is finer."""

    def rate(self, theta: FloatArray) -> FloatArray:
        """True rate of an effect."""
        return _rate(self.measure, self.size, theta)

    def effect(self, rate: float) -> float:
        """Effect of a true rate."""
        return _effect(self.measure, self.size, rate)

    def above(self, rate: float) -> float:
        """Probability that the true rate exceeds `rate`, in [0, 1)."""
        # the lower end of the scale itself stands for a rate of 0 and does not exceed it
        return self._beyond(max(self.effect(rate), self.lowest))

    def outside(self) -> float:
        """Probability of an effect outside the analysis scale."""
        low = 1 - self._beyond(self.lowest) if np.isfinite(self.lowest) else 0.0
        return low + (self._beyond(self.highest) if np.isfinite(self.highest) else 0.0)

    def _beyond(self, effect: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(self.sd > 0, (self.mean - effect) / self.sd, np.where(self.mean > effect, np.inf, -np.inf))
        return float(self.weight @ ndtr(z))

    def rates(self, n: int) -> Rates:
        """The law on nodes, fine enough for the binomial distribution of n observations."""
        fixed = self.sd == 0
        p, weight = [self.rate(np.clip(self.mean[fixed], self.lowest, self.highest))], [self.weight[fixed]]
        if not fixed.all():
            smooth = self._replace(mean=self.mean[~fixed], sd=self.sd[~fixed], weight=self.weight[~fixed])
            for part in smooth._smooth(n):
                p.append(part.p)
                weight.append(part.weight)
        total = np.concatenate(weight)
        return Rates(np.concatenate(p), total / total.sum())

    def _smooth(self, n: int) -> Iterator[Rates]:
        reach = np.where(self.weight > _NEGLIGIBLE, _TAIL * self.sd, 0.0)
        low, high = float((self.mean - reach).min()), float((self.mean + reach).max())
        for end, side in ((self.lowest, 1.0), (self.highest, -1.0)):
            if low < end < high or (side > 0 and high <= end) or (side < 0 and low >= end):
                beyond = float(self.weight @ ndtr(side * (end - self.mean) / self.sd))
                yield Rates(self.rate(np.array([end])), np.array([beyond]))
        low, high = max(low, self.lowest), min(high, self.highest)
        if low >= high:
            return
        centre = float(np.clip(self.weight @ self.mean, low, high))
        nodes = _nodes(_panels(low, high, centre, self.scale, self.rate, n))
        yield Rates(self.rate(nodes.p), nodes.weight * self._density(nodes.p))

    def _density(self, theta: FloatArray) -> FloatArray:
        height = self.weight / (self.sd * np.sqrt(2 * np.pi))
        density = np.empty_like(theta)
        width = max(1, _CELLS // self.mean.size)
        for i in range(0, theta.size, width):
            z = (theta[i : i + width, None] - self.mean) / self.sd
            density[i : i + width] = np.exp(-z * z / 2) @ height
        return density


class BetaMixture(NamedTuple):
    """True rates as a mixture of beta distributions: arrays of shape (m,), weights summing to 1."""

    a: FloatArray
    b: FloatArray
    weight: FloatArray
    scale: float
    """Smallest standard deviation of the log odds in a smooth part."""

    @classmethod
    def of_one(cls, a: float, b: float) -> BetaMixture:
        """One beta distribution."""
        return cls(np.array([a]), np.array([b]), np.ones(1), np.sqrt(1 / a + 1 / b))

    def above(self, rate: float) -> float:
        """Probability that the true rate exceeds `rate`."""
        return float(self.weight @ betainc(self.b, self.a, 1 - rate))

    def rates(self, n: int) -> Rates:
        """The law on nodes of the log odds, fine enough for the binomial distribution of n observations."""
        # density of the log odds: p^a q^b / B(a, b), with tails exp(a theta) and exp(-b theta)
        some = self.weight > _NEGLIGIBLE
        a, b, weight = self.a[some], self.b[some], self.weight[some]
        middle, reach = np.log(a) - np.log(b), _TAIL * np.sqrt(1 / a + 1 / b)
        low, high = float((middle - reach - 40 / a).min()), float((middle + reach + 40 / b).max())
        centre = float(weight @ middle)
        nodes = _nodes(_panels(low, high, centre, self.scale, lambda t: np.asarray(expit(t)), n))
        log_p, log_q, log_scale = -np.logaddexp(0.0, -nodes.p), -np.logaddexp(0.0, nodes.p), betaln(a, b)
        density = np.empty_like(log_p)
        width = max(1, _CELLS // a.size)
        for i in range(0, density.size, width):
            part = slice(i, i + width)
            density[part] = np.exp(np.outer(log_p[part], a) + np.outer(log_q[part], b) - log_scale) @ weight
        total = nodes.weight * density
        return Rates(expit(nodes.p), total / total.sum())


class DensityTable(NamedTuple):
    """True effects by their density, tabulated finely enough for the binomial distribution of FINEST observations."""

    measure: str
    size: float
    lowest: float
    highest: float
    edge: FloatArray
    """Edges of the panels, (m + 1,)."""
    density: FloatArray
    """At the Gauss-Legendre nodes of each panel, (m, nodes)."""
    ends: FloatArray
    """Probability of effects below the first edge and above the last, (2,)."""

    @classmethod
    def of(cls, measure: str, size: float, ends: tuple[float, float], known: Density, scale: float) -> DensityTable:
        """Tabulate a density with cumulative probabilities; `ends` of the analysis scale."""
        low, middle, high = (float(q) for q in known.quantile(np.array([_FAR, 0.5, 1 - _FAR])))
        low, high = max(low, ends[0]), min(high, ends[1])
        centre = min(max(middle, low), high)
        edge = _panels(low, high, centre, scale, lambda t: _rate(measure, size, t), FINEST)
        density = known.density(_nodes(edge).p).reshape(edge.size - 1, _ORDER)
        below, upto = (float(c) for c in known.cdf(np.array([low, high])))
        return cls(measure, size, *ends, edge, density, np.array([below, 1 - upto]))

    def above(self, rate: float) -> float:
        """Probability that the true rate exceeds `rate`, in [0, 1)."""
        at = max(_effect(self.measure, self.size, rate), self.lowest)
        mass = np.r_[self.density @ _legendre(_ORDER)[1] * np.diff(self.edge) / 2, self.ends[1]]
        if at <= self.edge[0]:
            return float(mass.sum() / (mass.sum() + self.ends[0]))
        j = int(np.searchsorted(self.edge, at, side="right")) - 1
        if j >= mass.size - 1:
            return 0.0 if at >= self.highest else float(self.ends[1])
        half = (self.edge[j + 1] - self.edge[j]) / 2
        z = _legendre(_ORDER)[0]
        series = np.linalg.solve(np.polynomial.legendre.legvander(z, _ORDER - 1), self.density[j])
        antiderivative = np.polynomial.legendre.legint(series, lbnd=1)
        part = -half * np.polynomial.legendre.legval((at - self.edge[j]) / half - 1, antiderivative)
        return float((part + mass[j + 1 :].sum()) / (mass.sum() + self.ends[0]))

    def rates(self, n: int) -> Rates:
        """The law on its nodes, whatever n up to FINEST."""
        nodes = _nodes(self.edge)
        p = _rate(self.measure, self.size, np.r_[self.edge[0], nodes.p, self.edge[-1]])
        weight = np.r_[self.ends[0], nodes.weight * self.density.ravel(), self.ends[1]]
        return Rates(p, weight / weight.sum())

    def outside(self) -> float:
        """Probability of an effect outside the analysis scale."""
        return float(self.ends.sum())


class Density(Protocol):
    """A distribution of true effects, elementwise on arrays."""

    def density(self, x: FloatArray) -> FloatArray:
        """Density."""

    def cdf(self, x: FloatArray) -> FloatArray:
        """Cumulative probability."""

    def quantile(self, p: FloatArray) -> FloatArray:
        """Quantile."""


Law = NormalMixture | BetaMixture | DensityTable


def frozen(law: Law) -> Law:
    """The same law with read-only arrays of its own."""
    if isinstance(law, NormalMixture):
        return law._replace(mean=_own(law.mean), sd=_own(law.sd), weight=_own(law.weight))
    if isinstance(law, BetaMixture):
        return law._replace(a=_own(law.a), b=_own(law.b), weight=_own(law.weight))
    return law._replace(edge=_own(law.edge), density=_own(law.density), ends=_own(law.ends))


def _own(array: FloatArray) -> FloatArray:
    own = np.array(array)
    own.setflags(write=False)
    return own


def quantile(law: Law, probability: FloatArray) -> FloatArray:
    """True rates below which the law has these probabilities, each in (0, 1)."""

    def excess(rate: FloatArray) -> FloatArray:
        return np.array([1 - law.above(float(r)) for r in rate]) - probability

    zero, one = np.zeros_like(probability), np.ones_like(probability)
    return bracketed_root(excess, zero, one, np.full_like(zero, -1.0), one - probability, tolerance=1e-10)


def smoothed(mu: FloatArray, tau: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Means and standard deviations of normals that stand for points (mu, tau) of a grid, and the finest scale.

    Where tau is small beside the spacing of mu, a sum over points is a comb and not the integral that the grid stands
    for. Each such slice of equal tau is smoothed by a normal kernel about as wide as the spacing, after its points
    were drawn together so that mean and variance of the slice stay as they are (West 1993).
    """
    mean, sd, scale = mu.copy(), tau.copy(), np.inf
    for value in np.unique(tau):
        own = np.flatnonzero(tau == value)
        share = weight[own].sum()
        if share <= 0:
            continue
        centre = float(weight[own] @ mu[own] / share)
        variance = float(weight[own] @ (mu[own] - centre) ** 2 / share)
        core = np.sort(mu[own][weight[own] > 1e-4 * weight[own].max()])
        spacing = float(np.diff(core).max()) if core.size > 1 else 0.0
        extra = min(max(0.0, (_SMOOTH * spacing) ** 2 - value**2), variance / 2)
        if extra > 0:
            mean[own] = centre + np.sqrt(1 - extra / variance) * (mu[own] - centre)
            sd[own] = np.sqrt(value**2 + extra)
        if value > 0 or variance > 0:
            scale = min(scale, np.hypot(value, np.sqrt(variance)))
    return mean, sd, scale if np.isfinite(scale) else 1.0
