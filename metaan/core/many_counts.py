"""Meta-analyses of counts by exact likelihood, many at once: intervals, prediction, heterogeneity and tests."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import chdtri, expit, ndtr

from metaan.core.binomial import Family, common_log_likelihood, log_likelihood, trapezoid
from metaan.core.binomial_fit import BinomialFit, fit
from metaan.core.binomial_fixed import fixed_nodes_maximum
from metaan.core.binomial_profile import mu_limits
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.links import LINKS, Linked
from metaan.core.many import BoolArray, Many, quantiles, wald
from metaan.core.masked import Masked
from metaan.core.memory import keep_freed
from metaan.core.roots import bracketed_root
from metaan.core.wls import Data, FloatArray

__all__ = ["counts_many", "picked"]

_LOSS: Final = {"t": 1.0, "hts": 2.0}
_BEYOND: Final = 1e-3  # share of true rates beyond 1 that is worth a note
_CHUNK: Final = 4_000  # columns times studies at a time, which bounds the memory of profiles


def picked(found: BinomialFit, index: np.ndarray[tuple[int], np.dtype[np.intp]]) -> BinomialFit:
    """The fits of `index`."""
    return BinomialFit._make(part[index] for part in found)


def counts_many(
    b: Family, data: Data, *, test: str, level: float, pi: str, ci: str = "wald", nodes: int | None = None
) -> tuple[BinomialFit, Many]:
    """Maximum likelihood of n meta-analyses of at least one study each, with the conventions of one of them.

    Parameters
    ----------
    b : Family
        Counts, shape (k, n).
    data : Data
        Empirical effects of the same studies, for Q, I2 and H2.
    test : {"z", "t"}
    level : float
    pi : {"t", "hts", "z", "simple", "none"}
    ci : {"wald", "profile"}
    nodes : int, optional
        Gauss-Hermite nodes; as many as needed by default. A number takes one search for each meta-analysis.
    """
    keep_freed()
    found = fit(b)
    if nodes is not None:
        found = _fixed(b, found, nodes)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = _estimates(b, found, data.k, test, level, ci)
        known = found.identified & ~found.held & ~found.separated & (data.k >= 3)
        columns |= _prediction(found, columns["se"], data.k, known, level, pi)
    columns |= _heterogeneity(data, found) | _likelihood(found)
    columns["converged"] = (found.converged | found.separated).astype(np.float64)
    return found, Many(columns, _flags(found, columns, data.k, pi, ci) | _beyond(b, found))


def _fixed(b: Family, found: BinomialFit, nodes: int) -> BinomialFit:
    """Maxima of the likelihood by a fixed number of nodes, one search after the other; their exact log-likelihood."""
    searched = np.flatnonzero((found.tau > 0) & ~found.held)
    parts = [picked(found, np.array([i])) for i in range(found.mu.size)]
    for i in searched:
        one = b.take(np.array([i]))
        own = fixed_nodes_maximum(one, parts[i], nodes)
        grid = trapezoid(one, own.mu, own.tau, max(int(own.nodes[0]), 33))
        parts[i] = own._replace(loglik=log_likelihood(one, own.mu, own.tau, grid))
    return BinomialFit._make(np.concatenate(column) for column in zip(*parts, strict=True))


def _estimates(b: Family, found: BinomialFit, k: FloatArray, test: str, level: float, ci: str) -> dict[str, FloatArray]:
    df = np.where((k == 1) | found.separated | (test == "z"), np.inf, k - 1)
    columns = wald(found.mu.copy(), np.sqrt(found.cov[:, 0, 0]), df, level)
    low, high = columns["ci_low"], columns["ci_high"]
    if ci == "profile":
        searched = np.flatnonzero(~found.separated & ~found.held)
        width = max(1, _CHUNK // b.x.shape[0])
        for start in range(0, searched.size, width):
            part = searched[start : start + width]
            low[part], high[part] = mu_limits(b.take(part), picked(found, part), level)
        np.minimum(high, b.top, out=high)
    apart = np.flatnonzero(found.separated)
    if apart.size:
        low[apart], high[apart] = _one_sided(b.take(apart), level)
        columns["estimate"][apart] = np.where(b.take(apart).x.sum(axis=0) == 0, low[apart], high[apart])
        for name in ("statistic", "pvalue", "log_pvalue"):
            columns[name][apart] = np.nan
    return columns


def _one_sided(b: Family, level: float) -> tuple[FloatArray, FloatArray]:
    """Likelihood-ratio interval with tau2 = 0 where all counts are at one end: its other limit is the end of the scale.

    Under another link than the logit the limit is that of the logit, turned.
    """
    base = b.base if isinstance(b, Masked) else b
    if isinstance(base, Linked):
        plain = b._replace(base=base.base) if isinstance(b, Masked) else base.base
        with np.errstate(divide="ignore"):
            low, high = (LINKS[base.link].of_rate(expit(end)) for end in _one_sided(plain, level))
        return low, high
    none = b.x.sum(axis=0) == 0
    sign = np.where(none, 1.0, -1.0)  # the likelihood falls in this direction, from 0
    drop = chdtri(1.0, 1 - level) / 2

    def excess(mu: FloatArray) -> FloatArray:
        return common_log_likelihood(b, sign * mu) + drop

    low, high = -np.ones_like(sign), np.ones_like(sign)
    while (short := excess(low) < 0).any():
        low = np.where(short, 2 * low, low)
    while (short := excess(high) > 0).any():
        high = np.where(short, 2 * high, high)
    limit = sign * bracketed_root(excess, low, high, excess(low), excess(high))
    return np.where(none, -np.inf, limit), np.where(none, limit, np.inf)


def _prediction(
    found: BinomialFit, se: FloatArray, k: FloatArray, known: BoolArray, level: float, pi: str
) -> dict[str, FloatArray]:
    if pi == "none":
        return {"pi_low": np.full_like(se, np.nan), "pi_high": np.full_like(se, np.nan)}
    spread = found.tau if pi == "simple" else np.hypot(found.tau, se)
    df = np.where(known, k - _LOSS[pi] if pi in _LOSS else np.inf, np.nan)
    half = quantiles(df, level) * spread
    return {"pi_low": found.mu - half, "pi_high": found.mu + half}


def _heterogeneity(data: Data, found: BinomialFit) -> dict[str, FloatArray]:
    """Of the empirical effects; none where every count is at the same end."""
    q = cochran(data)
    i2, h2 = i2_h2(found.tau**2, q.typical)
    apart = found.separated
    return {
        "k": data.k, "tau2": found.tau**2, "tau": found.tau, "I2": np.where(apart, 0.0, i2),
        "H2": np.where(apart, 1.0, h2), "Q": np.where(apart, 0.0, q.Q), "Q_df": data.k - 1,
        "Q_pvalue": np.where(apart, 1.0, q.pvalue),
    }  # fmt: skip


def _likelihood(found: BinomialFit) -> dict[str, FloatArray]:
    loglik = np.where(found.separated, 0.0, found.loglik)
    lrt = np.where(found.tau > 0, np.maximum(0.0, 2 * (loglik - found.loglik_common)), 0.0)
    return {"loglik": loglik, "lrt": lrt, "lrt_pvalue": np.where(lrt > 0, ndtr(-np.sqrt(lrt)), 1.0)}


def _flags(found: BinomialFit, columns: dict[str, FloatArray], k: FloatArray, pi: str, ci: str) -> dict[str, BoolArray]:
    apart, one = found.separated, k == 1
    several = ~apart & ~one
    open_end = ~(np.isfinite(columns["ci_low"]) & np.isfinite(columns["ci_high"]))
    return {
        "one-study": one & ~apart,
        "separated": apart,
        "tau2-unbounded": several & found.held,
        "tau2-not-identified": several & ~found.held & ~found.identified,
        "tau2-zero": several & ~found.held & found.identified & (found.tau == 0),
        "two-maxima": ~apart & (found.maxima > 1),
        "not-converged": ~apart & ~found.converged,
        "profile-open": ~apart & ~found.held & open_end & (ci == "profile"),
        "no-pi": np.isnan(columns["pi_low"]) & (pi != "none"),
    }


def _beyond(b: Family, found: BinomialFit) -> dict[str, BoolArray]:
    """Where the log link takes a notable share of the true rates beyond 1."""
    base = b.base if isinstance(b, Masked) else b
    if not isinstance(base, Linked) or base.link != "log":
        return {}
    spread = found.tau > 0
    share = ndtr(found.mu / np.where(spread, found.tau, 1.0))
    return {"rates-beyond-one": ~found.separated & spread & (share >= _BEYOND)}
