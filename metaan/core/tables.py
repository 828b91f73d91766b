"""Stratified analysis of two-by-two tables and of events over time: sums over k strata."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

__all__ = [
    "KINDS", "POOLED", "Chi2", "Kind", "Pooled", "breslow_day", "cochran_mantel_haenszel", "person_time_test", "peto",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
Sums = tuple[FloatArray, ...]


class Pooled(NamedTuple):
    """Estimate on the analysis scale, its variance, and what each stratum weighs (not scaled)."""

    estimate: float
    variance: float
    weights: FloatArray


class Kind(NamedTuple):
    """What is added up over strata, and what the sums give: estimate and variance."""

    terms: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Sums]
    """Of cells of shape (k,), or (k, n) for n analyses: events and non-events (or times) of each arm."""
    pooled: Callable[..., tuple[FloatArray, FloatArray]]
    weight: int
    """Which of the terms is what a stratum weighs."""


class Chi2(NamedTuple):
    """A chi-square test."""

    statistic: float
    df: int
    pvalue: float


def _chi2(statistic: float, df: int) -> Chi2:
    return Chi2(statistic, df, float(chdtrc(df, statistic)) if df > 0 else np.nan)


def _odds_terms(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Sums:
    n = a + b + c + d
    r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    return r, s, p * r, p * s + q * r, q * s


def _odds(
    r: FloatArray, s: FloatArray, pr: FloatArray, cross: FloatArray, qs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mantel & Haenszel 1959, variance of Robins, Breslow & Greenland 1986."""
    return np.log(r / s), (pr / r**2 + cross / (r * s) + qs / s**2) / 2


def _risk_terms(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Sums:
    n1, n2 = a + b, c + d
    n = n1 + n2
    return a * n2 / n, c * n1 / n, (n1 * n2 * (a + c) - a * c * n) / n**2


def _incidence_terms(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Sums:
    t = t1 + t2
    return x1 * t2 / t, x2 * t1 / t, t1 * t2 * (x1 + x2) / t**2


def _ratio(r: FloatArray, s: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Greenland & Robins 1985, of risks and of incidence rates."""
    return np.log(r / s), spread / (r * s)


def _difference_terms(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Sums:
    n1, n2 = a + b, c + d
    n = n1 + n2
    p = (n1**2 * c - n2**2 * a + n1 * n2 * (n2 - n1) / 2) / n**2
    q = (a * (n2 - c) + c * (n1 - a)) / (2 * n)
    return n1 * n2 / n, (a * n2 - c * n1) / n, p, q


def _difference(w: FloatArray, excess: FloatArray, p: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sato, Greenland & Robins 1989, consistent for few large and for many small strata."""
    estimate = excess / w
    return estimate, (estimate * p + q) / w**2


def _rate_terms(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Sums:
    w = t1 * t2 / (t1 + t2)
    return w, w * (x1 / t1 - x2 / t2), w**2 * (x1 / t1**2 + x2 / t2**2)


def _rate(w: FloatArray, excess: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Greenland & Robins 1985 for a difference of incidence rates."""
    return excess / w, spread / w**2


def _hypergeometric(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Observed less expected events of the treated arm given the margins, and their variance."""
    n1, n2 = a + b, c + d
    n, hit = n1 + n2, a + c
    return a - hit * n1 / n, hit * (n - hit) * n1 * n2 / (n**2 * np.maximum(n - 1, 1))


def _peto(observed: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Yusuf et al. 1985: sum of observed less expected over the sum of hypergeometric variances."""
    return observed / variance, 1 / variance


KINDS: Final[dict[str, Kind]] = {
    "OR": Kind(_odds_terms, _odds, 1), "RR": Kind(_risk_terms, _ratio, 1),
    "RD": Kind(_difference_terms, _difference, 0), "IRR": Kind(_incidence_terms, _ratio, 1),
    "IRD": Kind(_rate_terms, _rate, 0), "PETO": Kind(_hypergeometric, _peto, 1),
}  # fmt: skip


def _one(kind: Kind, a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Pooled:
    """Sums over the strata of one analysis."""
    terms = kind.terms(a, b, c, d)
    estimate, variance = kind.pooled(*(term.sum() for term in terms))
    return Pooled(float(estimate), float(variance), terms[kind.weight])


POOLED: Final[dict[str, Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Pooled]]] = {
    measure: partial(_one, kind) for measure, kind in KINDS.items() if measure != "PETO"
}
peto: Final[Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Pooled]] = partial(_one, KINDS["PETO"])


def cochran_mantel_haenszel(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, *, continuity: bool) -> Chi2:
    """Test of no association in any table, with Yates' correction if asked (Mantel & Haenszel 1959)."""
    observed, variance = _hypergeometric(a, b, c, d)
    return _yates(float(observed.sum()), float(variance.sum()), continuity)


def person_time_test(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray, *, continuity: bool) -> Chi2:
    """The same for events over time: given their sum, events of the treated arm are binomial (Rothman 2008)."""
    t, x = t1 + t2, x1 + x2
    return _yates(float((x1 - x * t1 / t).sum()), float((x * t1 * t2 / t**2).sum()), continuity)


def _yates(excess: float, variance: float, continuity: bool) -> Chi2:
    return _chi2(max(abs(excess) - (0.5 if continuity else 0.0), 0.0) ** 2 / variance, 1)


def breslow_day(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, log_or: float) -> tuple[Chi2, Chi2]:
    """Homogeneity of the odds ratios: Breslow & Day 1980, and with the correction of Tarone 1985.

    Expected events A of each treated arm solve A (n2 - m + A)/[(n1 - A)(m - A)] = psi, with m events in all.
    """
    psi = np.exp(log_or)
    n1, n2, m = a + b, c + d, a + c
    inside = (m > 0) & (m < n1 + n2)
    a, n1, n2, m = a[inside], n1[inside], n2[inside], m[inside]
    # (psi - 1) A^2 - [psi (n1 + m) + n2 - m] A + psi n1 m = 0, solved in the form that keeps its digits near psi = 1
    linear = psi * (n1 + m) + n2 - m
    root = np.sqrt(linear**2 - 4 * (psi - 1) * psi * n1 * m)
    expected = 2 * psi * n1 * m / (linear + root)
    variance = 1 / (1 / expected + 1 / (n1 - expected) + 1 / (m - expected) + 1 / (n2 - m + expected))
    plain = float(((a - expected) ** 2 / variance).sum())
    tarone = plain - float((a - expected).sum() ** 2 / variance.sum())
    df = int(inside.sum()) - 1
    return _chi2(plain, df), _chi2(tarone, df)
