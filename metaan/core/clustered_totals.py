"""Lesions of a study of which only the sum over patients is known: the probability of the sum, by Fourier inversion.

See clustered.py for the model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, log1p, logit

from metaan.core.wls import FloatArray

__all__ = ["Log", "Totals", "in_chunks"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
ComplexArray = npt.NDArray[np.complex128]

_CHUNK: Final = 100_000  # numbers in an array at a time: they stay in the processor's cache
_TILTS: Final = 150
_SHORT: Final = 60  # lesions of a patient up to which a product of matrices beats the fast transform
_FAR: Final = 36.0  # exp(-36) = 2e-16: probability that the frequencies in use confound with the one in question
_NOISE: Final = 1e-15  # of a probability after tilting, for each of ten patients: below it there is only rounding


class Log(NamedTuple):
    """Log-likelihood at points (eta, rho), with two derivatives in rho: arrays of shape (B,)."""

    value: FloatArray
    first: FloatArray
    second: FloatArray


def in_chunks(
    at: Callable[[IntArray, FloatArray, FloatArray, bool], Log], width: int,
    which: IntArray, eta: FloatArray, rho: FloatArray, slopes: bool,
) -> Log:  # fmt: skip
    """Points in chunks that bound memory, when each takes rows of so many numbers."""
    rows = max(1, _CHUNK // max(width, 1))
    if eta.size <= rows:
        return at(which, eta, rho, slopes)
    cuts = [slice(i, i + rows) for i in range(0, eta.size, rows)]
    parts = [at(which[cut], eta[cut], rho[cut], slopes) for cut in cuts]
    return Log(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class _Size(NamedTuple):
    """Probabilities of y events of one of n patients with s lesions, at B points, and what their derivatives need."""

    n: FloatArray
    """Patients, (B,)."""
    y: FloatArray
    log_h: FloatArray
    """Logarithms without the factor 1 - rho of counts strictly between 0 and s, (B, S + 1); -inf beyond s."""
    log_f: FloatArray
    """Logarithms with it."""
    inside: BoolArray
    """Whether strictly between 0 and s."""
    first: FloatArray
    second: FloatArray
    """Derivatives of log_h in rho."""


class Totals(NamedTuple):
    """Studies of which only the sum over patients is known: `small` patients with m lesions, `large` with m + 1."""

    place: IntArray
    x: FloatArray
    m: FloatArray
    small: FloatArray
    large: FloatArray

    def log_likelihood(self, which: IntArray, eta: FloatArray, rho: FloatArray, *, slopes: bool) -> Log:
        """Logarithm of the probability of the sum."""
        N = self.small * self.m + self.large * (self.m + 1)
        frequencies = np.minimum(N, np.sqrt(2 * _FAR * N * (self.m + 1)))
        return in_chunks(self._at, int(max(frequencies.max(), 8 * self.m.max())), which, eta, rho, slopes)

    def _at(self, which: IntArray, eta: FloatArray, rho: FloatArray, slopes: bool) -> Log:
        x, m, small, large = (part[which] for part in self[1:])
        sizes = _pmfs(m, [small, large] if self.large.any() else [small], eta, rho)
        total = small * m + large * (m + 1)
        t, variance = _tilt(sizes, x, total, (logit(x / total) - eta) / (1 + m * rho))
        M = _frequency_count(sizes, x, total, t, variance)
        scale, factors = -t * x, []
        for of in sizes:
            log_scale, waves = _waves(of, t, M, slopes)
            scale = scale + of.n * log_scale
            factors.append(_power_slopes(waves, of.n, slopes))
        product = factors[0] if len(factors) == 1 else _product(factors[0], factors[1], slopes)
        return _coefficient(product, x, M, scale, _NOISE * (10 + small + large))


def _pmfs(m: FloatArray, patients: list[FloatArray], eta: FloatArray, rho: FloatArray) -> list[_Size]:
    """Beta-binomial probabilities of patients with m, m + 1 ... lesions, from the same cumulative sums."""
    p, q, rho = expit(eta)[:, None], expit(-eta)[:, None], rho[:, None]
    r = np.arange(1.0, m.max() + len(patients) - 1)
    rises = (r - p, r - q, np.broadcast_to(r - 1, (eta.size, r.size)))
    sums = []
    for rise, base in zip(rises, (p, q, 1.0), strict=True):
        value = base + rho * rise
        slope = rise / value
        sums.append(_cumulated(np.stack([np.log(value), slope, -slope * slope])))
    log_p, log_q = -np.logaddexp(0, -eta)[:, None], -np.logaddexp(0, eta)[:, None]
    with np.errstate(divide="ignore"):
        log_rest = log1p(-rho)
    return [_size(m[:, None] + j, n, sums, (log_p, log_q, log_rest)) for j, n in enumerate(patients)]


def _cumulated(terms: FloatArray) -> FloatArray:
    """Sums over 1 <= r < y for y = 0, 1, 2, ..."""
    sums = np.zeros((*terms.shape[:2], terms.shape[2] + 2))
    np.cumsum(terms, axis=2, out=sums[:, :, 2:])
    return sums


def _size(
    s: FloatArray, n: FloatArray, sums: list[FloatArray], logs: tuple[FloatArray, FloatArray, FloatArray]
) -> _Size:
    p, q, e = sums
    log_p, log_q, log_rest = logs
    y = np.arange(float(p.shape[2]))
    left = np.maximum(s - y, 0.0)
    mirror, last = left.astype(np.intp)[None], s.astype(np.intp)[None]
    log_h, first, second = p + np.take_along_axis(q, mirror, axis=2) - np.take_along_axis(e, last, axis=2)
    within, inside = y <= s, (y > 0) & (y < s)
    log_h = log_h + gammaln(s + 1) - gammaln(y + 1) - gammaln(left + 1)
    log_h = np.where(within, log_h + np.where(y > 0, log_p, 0.0) + np.where(y < s, log_q, 0.0), -np.inf)
    log_f = log_h + np.where(inside, log_rest, 0.0)
    return _Size(n, y, log_h, log_f, inside, np.where(within, first, 0.0), np.where(within, second, 0.0))


def _tilted(of: _Size, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logarithm of the generating function at exp(t), and the tilted probabilities."""
    log_f = of.log_f + t[:, None] * of.y
    top = log_f.max(axis=1)
    weight = np.exp(log_f - top[:, None])
    total = weight.sum(axis=1)
    return top + np.log(total), weight / total[:, None]


def _tilt(sizes: list[_Size], x: FloatArray, total: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Tilt at which the mean of the sum is x, to a tenth of its standard deviation, and the variance there.

    Newton's method for the log odds of the mean, which often are nearly linear in t, between bounds that it finds;
    every third step halves them, since far out the mean leaps from 0 to almost m.
    """
    low, high = np.full_like(t, -np.inf), np.full_like(t, np.inf)
    aim, variance = logit(x / total), np.ones_like(t)
    for count in range(_TILTS):
        mean, variance = np.zeros_like(t), np.full_like(t, 1e-300)
        for of in sizes:
            _, weight = _tilted(of, t)
            one = weight @ of.y
            mean += of.n * one
            variance += of.n * np.maximum(weight @ (of.y * of.y) - one * one, 0.0)
        if (np.square(mean - x) <= 0.01 * variance).all():
            break
        below = mean < x
        low, high = np.where(below, t, low), np.where(below, high, t)
        inside = np.clip(mean, 1e-290, total * (1 - 1e-15))
        step = (aim - logit(inside / total)) * inside * (total - inside) / (total * variance)
        new = t + np.clip(step, -5, 5)
        kept = (new >= low) & (new <= high) & ((count % 3 < 2) | np.isinf(low) | np.isinf(high))
        t = np.where(kept, new, (low + high) / 2)
    return t, variance


def _frequency_count(sizes: list[_Size], x: FloatArray, total: FloatArray, t: FloatArray, variance: FloatArray) -> int:
    """Odd number of frequencies: all, or so many by Chernoff's bound that sums so far apart as to mix have died out."""
    s = np.sqrt(2 * _FAR / variance)
    middle = _log_generating(sizes, t)
    enough = [(_log_generating(sizes, t + side) - middle - side * x + _FAR) / s for side in (-s, s)]
    M = int(np.minimum(total + 1, np.ceil(np.maximum(*enough))).max()) | 1
    if sizes[0].y.size <= _SHORT:
        return M
    return int(min(n for i in range(15) for j in range(11) if (n := 3**i * 5**j) >= M))


def _log_generating(sizes: list[_Size], t: FloatArray) -> FloatArray:
    return np.asarray(sum(of.n * _tilted(of, t)[0] for of in sizes))


def _waves(of: _Size, t: FloatArray, M: int, slopes: bool) -> tuple[FloatArray, list[ComplexArray]]:
    """Characteristic function of one patient after tilting, and its derivatives in rho with the scale held."""
    log_scale, f = _tilted(of, t)
    if not slopes:
        return log_scale, [_transform(f, M)]
    h = np.exp(of.log_h + t[:, None] * of.y - log_scale[:, None])
    edge = of.inside * h
    first = f * of.first - edge
    second = f * (of.first**2 + of.second) - 2 * edge * of.first
    return log_scale, np.split(_transform(np.vstack([f, first, second]), M), 3)


def _transform(f: FloatArray, M: int) -> ComplexArray:
    """Fourier transform at the first M/2 frequencies of the rows of f; short rows by a product of matrices."""
    width = f.shape[1]
    return np.fft.rfft(f, n=M, axis=1) if width > _SHORT else np.asarray(f @ _basis(width, M))


@lru_cache(maxsize=256)
def _basis(width: int, M: int) -> ComplexArray:
    turns = np.outer(np.arange(width), np.arange(M // 2 + 1)) % M
    return np.asarray(np.exp(-2j * np.pi * turns / M))


def _power_slopes(waves: list[ComplexArray], n: FloatArray, slopes: bool) -> list[ComplexArray]:
    """The n-th powers, n by row, of functions given with their derivatives, with their derivatives."""
    f = waves[0]
    if not slopes:
        return [_power(f, n)]
    last = _power(f, np.maximum(n - 2, 0))
    n = n[:, None]
    before = np.where(n > 1, last * f, 1.0)
    whole = np.where(n > 0, before * f, 1.0)
    return [whole, n * before * waves[1], n * ((n - 1) * last * waves[1] ** 2 + before * waves[2])]


def _power(f: ComplexArray, n: FloatArray) -> ComplexArray:
    """Powers, n by row, by repeated squaring."""
    left = n.astype(np.int64)[:, None]
    result, square = np.ones_like(f), f
    alike = bool((left == left[0]).all())
    while left.max() > 0:
        odd = left & 1
        if odd.any():
            result = result * square if alike else np.where(odd > 0, result * square, result)
        left = left >> 1
        if left.max() > 0:
            square = square * square
    return result


def _product(a: list[ComplexArray], b: list[ComplexArray], slopes: bool) -> list[ComplexArray]:
    """Product of two functions given with their derivatives, with its derivatives."""
    if not slopes:
        return [a[0] * b[0]]
    return [a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]]


def _coefficient(product: list[ComplexArray], x: FloatArray, M: int, scale: FloatArray, noise: FloatArray) -> Log:
    """Logarithm of the coefficient of z^x, by the sum over frequencies, half of them conjugates of the others.

    Near rho = 1 sums that are not those of whole patients have no probability but rounding: it is levelled.
    """
    k = np.arange(M // 2 + 1)
    turns = np.outer(x.astype(np.int64), k) % M
    phase = np.exp(2j * np.pi * np.arange(M) / M)[turns] * (np.where(k > 0, 2.0, 1.0) / M)
    sums = [np.einsum("bt,bt->b", wave, phase).real for wave in product]
    found = np.maximum(sums[0], noise)
    value = np.minimum(scale + np.log(found), 0.0)
    if len(sums) == 1:
        return Log(value, np.zeros_like(found), np.zeros_like(found))
    heard = sums[0] > noise
    first = np.where(heard, sums[1] / found, 0.0)
    return Log(value, first, np.where(heard, sums[2] / found - first * first, 0.0))
