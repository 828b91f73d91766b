"""Mantel-Haenszel and Peto for many choices among the trials of one meta-analysis: sums over the trials present."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import chdtrc

from metaan.core.heterogeneity import cochran
from metaan.core.many import BoolArray, Many, some, wald
from metaan.core.wls import Data, FloatArray

__all__ = ["Cells", "common_effects", "tables_many"]

Cells = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
Sums = tuple[FloatArray, ...]


class _Kind(NamedTuple):
    """What is added up over trials, arrays of shape (k,), and what the sums give: estimate and variance."""

    terms: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Sums]
    pooled: Callable[..., tuple[FloatArray, FloatArray]]


def tables_many(measure: str, cells: Cells, data: Data, here: BoolArray, *, level: float) -> Many:
    """Common effect of the trials `here`, with the conventions of one meta-analysis.

    Parameters
    ----------
    measure : {"OR", "RR", "RD", "IRR", "IRD", "PETO"}
    cells : tuple of four arrays of shape (k,)
        Events and non-events (or times) of the treated arm, then of the control arm.
    data : Data
        Effect of each trial by itself, shape (k,), for Q.
    here : array of bool, shape (k, n)
        Trials of each of n meta-analyses, at least one.
    level : float
    """
    kind = _KINDS[measure]
    present = here.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = kind.pooled(*(term @ present for term in kind.terms(*cells)))
        known = np.isfinite(estimate) & (variance > 0)
        estimate, variance = np.where(known, estimate, np.nan), np.where(known, variance, np.nan)
        columns = wald(estimate, np.sqrt(variance), np.full(estimate.shape, np.inf), level)
    q, q_df = _heterogeneity(measure, cells, data, here, estimate)
    columns |= _spread(np.where(known, q, np.nan), q_df)
    columns |= {"k": here.sum(axis=0).astype(np.float64), "converged": np.ones(here.shape[1])}
    return Many(columns, {"undefined": ~known})


def common_effects(measure: str, cells: Cells) -> FloatArray:
    """Common effect of n meta-analyses with cells of their own, shape (k, n); NaN or infinite where there is none."""
    kind = _KINDS[measure]
    with np.errstate(divide="ignore", invalid="ignore"):
        return kind.pooled(*(term.sum(axis=0) for term in kind.terms(*cells)))[0]


def _heterogeneity(
    measure: str, cells: Cells, data: Data, here: BoolArray, estimate: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Q about the pooled effect, over the trials with events (and, of two-by-two tables, with non-events)."""
    if measure == "PETO":
        return cochran(some(data, here)).Q, here.sum(axis=0) - 1.0
    one, two, three, four = cells
    events = one + three > 0
    if measure in ("OR", "RR", "RD"):
        events &= two + four > 0
    inside = here & events[:, None]
    df = np.maximum(inside.sum(axis=0) - 1.0, 0.0)
    distance = data.y[:, None] - estimate
    q = np.where(inside, distance * distance / data.v[:, None], 0.0).sum(axis=0)
    return np.where(df > 0, q, 0.0), df


def _spread(q: FloatArray, df: FloatArray) -> dict[str, FloatArray]:
    """Heterogeneity from Q: tau2 is 0 in a common-effect model; NaN where there is no estimate."""
    free = np.maximum(df, 1.0)
    nothing = np.where(np.isnan(q), np.nan, 0.0)
    h2 = np.where(df > 0, q / free, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        i2 = np.where(q > 0, np.maximum(0.0, 100 * (q - df) / q), 0.0)
    empty = np.full_like(q, np.nan)
    return {
        "pi_low": empty, "pi_high": empty, "tau2": nothing, "tau": nothing, "I2": i2 + nothing, "H2": h2 + nothing,
        "Q": q, "Q_df": df, "Q_pvalue": np.where(df > 0, chdtrc(free, q), 1.0) + nothing,
    }  # fmt: skip


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
    """Sato, Greenland & Robins 1989."""
    estimate = excess / w
    return estimate, (estimate * p + q) / w**2


def _rate_terms(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Sums:
    w = t1 * t2 / (t1 + t2)
    return w, w * (x1 / t1 - x2 / t2), w**2 * (x1 / t1**2 + x2 / t2**2)


def _rate(w: FloatArray, excess: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Greenland & Robins 1985 for a difference of incidence rates."""
    return excess / w, spread / w**2


def _peto_terms(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> Sums:
    n1, n2 = a + b, c + d
    n, hit = n1 + n2, a + c
    return a - hit * n1 / n, hit * (n - hit) * n1 * n2 / (n**2 * np.maximum(n - 1, 1))


def _peto(observed: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Yusuf et al. 1985."""
    return observed / variance, 1 / variance


_KINDS: Final[dict[str, _Kind]] = {
    "OR": _Kind(_odds_terms, _odds), "RR": _Kind(_risk_terms, _ratio), "RD": _Kind(_difference_terms, _difference),
    "IRR": _Kind(_incidence_terms, _ratio), "IRD": _Kind(_rate_terms, _rate), "PETO": _Kind(_peto_terms, _peto),
}  # fmt: skip
