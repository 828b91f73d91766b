"""Log-likelihood of beta-binomial counts, with its derivatives, without cancellation from n = 1 to 5 million.

Study i has x of N events; its true rate is drawn from Beta(a, b) with mean m = a/(a + b) and theta = 1/(a + b), so that
two observations of one study correlate by rho = theta/(1 + theta). theta = 0 is the binomial distribution. For whole
numbers P(x) = C(N, x) prod_{j<x} (m + j theta) prod_{j<N-x} (1 - m + j theta) / prod_{j<N} (1 + j theta). The products
are ratios of gamma functions; with Stirling's formula for each, its remainder kept apart, all that grows cancels on
paper and the rest is smooth at theta = 0. Counts may be fractions (effective counts).

Data lie studies first, shape (k, n). An absent study has x = N = 0 and adds exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from metaan.core.wls import FloatArray

__all__ = ["Counts", "Remainder", "Slopes", "evaluate", "log_binomial", "remainder", "score_at_zero"]

Index = npt.NDArray[np.intp] | npt.NDArray[np.bool_]

_SMALLEST: Final = 1e-150  # stands for theta = 0, to rounding
_FARTHEST: Final = 200.0  # log odds beyond which the cube of a rate underflows
_SHIFT: Final = 10  # arguments below it are raised by as much: from there on seven terms of each series suffice
_SMALL: Final = 0.2  # where u - log(1 + u) and its like come from a series: its 22nd term is below rounding
_HALF_LOG_2PI: Final = 0.5 * float(np.log(2 * np.pi))

# Bernoulli numbers B_2n, n = 1 ... 7, over what each series divides them by
_B: Final = np.array([1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6])
_N: Final = np.arange(1.0, 8.0)
_LOG_GAMMA: Final = _B / (2 * _N * (2 * _N - 1))
_DIGAMMA: Final = _B / (2 * _N)
_TRIGAMMA: Final = _B
_DIFFERENCE: Final = (2 * _DIGAMMA - _TRIGAMMA)[1:]  # the first is 0

_L3: Final = (-1.0) ** np.arange(22) / (np.arange(22) + 3)  # [u^2/2 - u + log(1 + u)]/u^3


class Counts(NamedTuple):
    """Counts of n meta-analyses of up to k studies, shape (k, n)."""

    x: FloatArray
    N: FloatArray
    constant: FloatArray
    """Logarithm of the binomial probability of x at the rate x/N."""
    hit: FloatArray
    """x/N; 1 where x = 0, since it then only multiplies 0."""
    miss: FloatArray
    """1 - x/N; 1 where x = N."""

    @classmethod
    def from_counts(cls, x: FloatArray, N: FloatArray) -> Counts:
        """From counts of shape (k, n)."""
        y = N - x
        inside = (x > 0) & (y > 0)
        X, Y, T = (np.where(inside, c, 1.0) for c in (x, y, N))
        top = 0.5 * np.log(T / (2 * np.pi * X * Y)) + remainder(T).log - remainder(X).log - remainder(Y).log
        hit, miss = (np.where(c > 0, c, 1.0) / np.where(c > 0, N, 1.0) for c in (x, y))
        return cls(x, N, np.where(inside, top, 0.0), hit, miss)

    def take(self, index: Index) -> Counts:
        """The meta-analyses of `index`."""
        return Counts(*(part[:, index] for part in self))


class Remainder(NamedTuple):
    """What Stirling's formula leaves out, arrays of the shape of z.

    log Gamma(z) = (z - 1/2) log z - z + log(2 pi)/2 + log, psi(z) = log z - 1/(2 z) - first/z^2 and
    psi'(z) = 1/z + 1/(2 z^2) + second/z^3.
    """

    log: FloatArray
    first: FloatArray
    second: FloatArray
    difference: FloatArray
    """2 first - second, which is of the order 1/z^2."""


def remainder(z: FloatArray) -> Remainder:
    """Remainders of Stirling's formula for z > 0 and of its first two derivatives."""
    z = np.asarray(z, dtype=np.float64)
    low = z < _SHIFT
    if not low.any():
        return _series(z)
    out = _series(np.maximum(z, _SHIFT))
    for target, value in zip(out, _shifted(z[low]), strict=True):
        target[low] = value
    return out


def _series(z: FloatArray) -> Remainder:
    v = 1 / z
    w = v * v
    return Remainder(
        v * _polynomial(w, _LOG_GAMMA), _polynomial(w, _DIGAMMA), _polynomial(w, _TRIGAMMA),
        w * _polynomial(w, _DIFFERENCE),
    )  # fmt: skip


def _shifted(z: FloatArray) -> Remainder:
    """By Gamma(z + 1) = z Gamma(z), from z + 10 downwards."""
    up = z + _SHIFT
    at = _series(up)
    product, first, second = np.ones_like(z), np.zeros_like(z), np.zeros_like(z)
    for j in range(_SHIFT):
        v = 1 / (z + j)
        product *= z + j
        first += v
        second += v * v
    log_gamma = (up - 0.5) * np.log(up) - up + at.log - np.log(product)
    psi = np.log(up) - 0.5 / up - at.first / up**2 - first
    trigamma = 1 / up + 0.5 / up**2 + at.second / up**3 + second
    one = z * z * (np.log(z) - psi) - z / 2
    two = z * (z * z * trigamma - z - 0.5)
    return Remainder(log_gamma - (z - 0.5) * np.log(z) + z, one, two, 2 * one - two)


def _polynomial(w: FloatArray, coefficients: FloatArray) -> FloatArray:
    out = np.full_like(w, coefficients[-1])
    for c in coefficients[-2::-1]:
        out *= w
        out += c
    return out


class Slopes(NamedTuple):
    """Log-likelihood of each study and its derivatives in the log odds of the mean and in theta, shape (k, n)."""

    loglik: FloatArray
    eta: FloatArray
    theta: FloatArray
    eta_eta: FloatArray
    eta_theta: FloatArray
    theta_theta: FloatArray


class _Sums(NamedTuple):
    """Sums over j < r of powers of 1/(p + j theta) and of j: continued to any r >= 0."""

    one: FloatArray
    """of 1/(p + j theta)"""
    j: FloatArray
    """of j/(p + j theta)"""
    one2: FloatArray
    """of 1/(p + j theta)^2"""
    j_one2: FloatArray
    """of j/(p + j theta)^2"""
    j2: FloatArray
    """of j^2/(p + j theta)^2"""
    log: FloatArray
    """log(1 + r theta/p)"""
    rest: FloatArray
    """Difference of the remainders of log Gamma at p/theta + r and at p/theta."""


def _sums(p: FloatArray, r: FloatArray, theta: FloatArray, low: Remainder, high: Remainder) -> _Sums:
    """Write z = p/theta, u = r/z, q = p + r theta; Sum 1/(p + j theta) is [psi(z + r) - psi(z)]/theta and so on.

    `low` and `high` are the remainders at z and z + r.
    """
    u = r * theta / p
    q = p + r * theta
    log = np.log1p(u)
    l1, l2, m, big = _ratios(u, log)
    s, v = r / p, 1 / q
    f, g, F, G = low.first / p, low.second / p, high.first * v, high.second * v
    pv = p * v
    one = s * l1 + theta * (0.5 * s * v + f / p - F * v)
    j = r * s * l2 - 0.5 * r * v - (f - pv * F)
    one2 = s * v + 0.5 * theta * s * v * (1 + pv) / p + theta * (g / (p * p) - G * v * v)
    j_one2 = s * s * m - 0.5 * r * v * v + (f - g) / p - (F - pv * G) * v
    j2 = s * s * r * big - 0.5 * (r * v) ** 2 - low.difference / (theta * p)
    j2 += pv * v * (high.difference / theta + G * r)
    none = r == 0
    if none.any():
        one, j, one2, j_one2, j2 = (np.where(none, 0.0, part) for part in (one, j, one2, j_one2, j2))
    return _Sums(one, j, one2, j_one2, j2, log, high.log - low.log)


def _ratios(u: FloatArray, log: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """L1 = log(1 + u)/u, L2 = (1 - L1)/u, M = (L1 - 1/(1 + u))/u and R = (L2 - M)/u."""
    small = u < _SMALL
    U = np.where(small, 1.0, u)
    v = 1 / (1 + U)
    l1 = log / U
    l2 = (1 - l1) / U
    m = (l1 - v) / U
    parts = (l1, l2, m, (l2 - m) / U)
    if small.any():
        few = u[small]
        v, l3 = 1 / (1 + few), _polynomial(few, _L3)
        l2 = 0.5 - few * l3
        for part, value in zip(parts, (1 - few * l2, l2, v - l2, v - 2 * l3), strict=True):
            part[small] = value
    return parts


def _remainders(
    pairs: Sequence[tuple[FloatArray, FloatArray]], theta: FloatArray
) -> tuple[list[Remainder], list[Remainder]]:
    """Remainders at p/theta and at p/theta + r of each pair p, r, from one call."""
    low = [p / theta for p, _ in pairs]
    high = [z + r for z, (_, r) in zip(low, pairs, strict=True)]
    of = remainder(np.concatenate([*low, *high]))
    ends = np.cumsum([len(z) for z in (*low, *high)])[:-1]
    parts = [Remainder(*some) for some in zip(*(np.split(part, ends) for part in of), strict=True)]
    return parts[: len(low)], parts[len(low) :]


def evaluate(b: Counts, eta: FloatArray, theta: FloatArray) -> Slopes:
    """Log-likelihood of each study, constants included, with gradient and Hessian.

    Parameters
    ----------
    b : Counts
    eta : array of shape (k, n), or (1, n) where all studies share it
        Log odds of the mean rate.
    theta : array of shape (n,)
        rho/(1 - rho), at least 0.
    """
    eta = np.clip(eta, -_FARTHEST, _FARTHEST)
    t = np.maximum(theta, _SMALLEST)[None]
    y = b.N - b.x
    m, w = expit(eta), expit(-eta)
    pairs = ((m, b.x), (w, y), (np.ones_like(t), b.N))
    low, high = _remainders(pairs, t)
    hit, miss, every = (_sums(p, r, t, low[i], high[i]) for i, (p, r) in enumerate(pairs))
    loglik = (
        b.constant + _shrunken(m, b.x, b.hit, t, b.N) + _shrunken(w, y, b.miss, t, b.N)
        + (m / t - 0.5) * (hit.log - every.log) + (w / t - 0.5) * (miss.log - every.log)
        - 0.5 * every.log + hit.rest + miss.rest - every.rest
    )  # fmt: skip
    v = m * w
    slope = hit.one - miss.one
    return Slopes(
        loglik, v * slope, hit.j + miss.j - every.j,
        v * ((w - m) * slope - v * (hit.one2 + miss.one2)), v * (miss.j_one2 - hit.j_one2),
        every.j2 - hit.j2 - miss.j2,
    )  # fmt: skip


def _shrunken(p: FloatArray, r: FloatArray, own: FloatArray, theta: FloatArray, N: FloatArray) -> FloatArray:
    """Return r log(P/own), with own = r/N and P = (p + r theta)/(1 + N theta) between it and p."""
    far = 1 + N * theta
    ratio = (p - own) / (own * far)
    return r * np.where(ratio < -0.5, np.log((p + r * theta) / (own * far)), np.log1p(np.maximum(ratio, -0.5)))


def log_binomial(b: Counts, eta: FloatArray) -> FloatArray:
    """Log-likelihood of each study at theta = 0, constants included, (k, n)."""
    eta = np.clip(eta, -_FARTHEST, _FARTHEST)
    zero = np.zeros((1, 1))
    hits = _shrunken(expit(eta), b.x, b.hit, zero, b.N)
    return b.constant + hits + _shrunken(expit(-eta), b.N - b.x, b.miss, zero, b.N)


def score_at_zero(b: Counts, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Derivative of the log-likelihood in theta at theta = 0, free of cancellation, and the size of its terms, (n,).

    With e = x - N m it is the sum over studies of [e^2 - e (1 - 2 m)]/(m (1 - m)) - N, halved.
    """
    eta = np.clip(eta, -_FARTHEST, _FARTHEST)
    m, w = expit(eta), expit(-eta)
    e = np.where(eta < 0, b.x - b.N * m, b.N * w - (b.N - b.x))
    return 0.5 * ((e * e - e * (w - m)) / (m * w) - b.N).sum(axis=0), b.N.sum(axis=0)
