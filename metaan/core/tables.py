"""Stratified analysis of two-by-two tables and of events over time: sums over k strata, last axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

__all__ = ["POOLED", "Chi2", "Pooled", "breslow_day", "cochran_mantel_haenszel", "person_time_test", "peto"]

FloatArray = npt.NDArray[np.float64]


class Pooled(NamedTuple):
    """Estimate on the analysis scale, its variance, and what each stratum weighs (not scaled)."""

    estimate: float
    variance: float
    weights: FloatArray


class Chi2(NamedTuple):
    """A chi-square test."""

    statistic: float
    df: int
    pvalue: float


def _chi2(statistic: float, df: int) -> Chi2:
    return Chi2(statistic, df, float(chdtrc(df, statistic)) if df > 0 else np.nan)


def odds_ratio(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Pooled:
    """Mantel & Haenszel 1959, variance of Robins, Breslow & Greenland 1986."""
    n = a + b + c + d
    r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    top, bottom = r.sum(), s.sum()
    cross = (p * s + q * r).sum() / (top * bottom)
    variance = ((p * r).sum() / top**2 + cross + (q * s).sum() / bottom**2) / 2
    return Pooled(float(np.log(top / bottom)), float(variance), s)


def risk_ratio(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Pooled:
    """Variance of Greenland & Robins 1985."""
    n1, n2 = a + b, c + d
    n = n1 + n2
    r, s = a * n2 / n, c * n1 / n
    variance = ((n1 * n2 * (a + c) - a * c * n) / n**2).sum() / (r.sum() * s.sum())
    return Pooled(float(np.log(r.sum() / s.sum())), float(variance), s)


def risk_difference(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Pooled:
    """Variance of Sato, Greenland & Robins 1989, consistent for few large and for many small strata."""
    n1, n2 = a + b, c + d
    n = n1 + n2
    w = n1 * n2 / n
    total = w.sum()
    estimate = float(((a * n2 - c * n1) / n).sum() / total)
    p = (n1**2 * c - n2**2 * a + n1 * n2 * (n2 - n1) / 2) / n**2
    q = (a * (n2 - c) + c * (n1 - a)) / (2 * n)
    return Pooled(estimate, float((estimate * p.sum() + q.sum()) / total**2), w)


def incidence_ratio(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Pooled:
    """Greenland & Robins 1985 for events over time."""
    t = t1 + t2
    r, s = x1 * t2 / t, x2 * t1 / t
    variance = (t1 * t2 * (x1 + x2) / t**2).sum() / (r.sum() * s.sum())
    return Pooled(float(np.log(r.sum() / s.sum())), float(variance), s)


def incidence_difference(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Pooled:
    """Greenland & Robins 1985 for events over time."""
    w = t1 * t2 / (t1 + t2)
    total = w.sum()
    estimate = (w * (x1 / t1 - x2 / t2)).sum() / total
    return Pooled(float(estimate), float((w**2 * (x1 / t1**2 + x2 / t2**2)).sum() / total**2), w)


POOLED: Final[dict[str, Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Pooled]]] = {
    "OR": odds_ratio, "RR": risk_ratio, "RD": risk_difference, "IRR": incidence_ratio, "IRD": incidence_difference,
}  # fmt: skip


def peto(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Pooled:
    """Yusuf et al. 1985: sum of observed less expected over the sum of hypergeometric variances."""
    observed, variance = _hypergeometric(a, b, c, d)
    total = variance.sum()
    return Pooled(float(observed.sum() / total), float(1 / total), variance)


def _hypergeometric(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Observed less expected events of the treated arm given the margins, and their variance."""
    n1, n2 = a + b, c + d
    n, hit = n1 + n2, a + c
    variance = hit * (n - hit) * n1 * n2 / (n**2 * np.maximum(n - 1, 1))
    return a - hit * n1 / n, variance


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
