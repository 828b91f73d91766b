"""Residuals of counts under the fitted marginal distribution of a GLMM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import betainc, expit, ndtri, pdtr

from metaan.core.binomial import Family
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.core.links import Poisson
from metaan.core.two_arms import Arms
from metaan.errors import OptionError
from metaan.measures.backtransform import display_scale
from metaan.models.glmm_counts import likelihood
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from metaan.models.results import GlmmResult

__all__ = ["residuals"]

_REACH: Final = 8.5
_NODES: Final = 401


def residuals(res: GlmmResult) -> pd.DataFrame:
    """See `GlmmResult.residuals`."""
    import pandas as pd

    b = likelihood(res.spec, res.effects)
    if isinstance(b, Arms):
        raise OptionError(f"residuals are for counts of one arm and for conditional models, not {res.spec.likelihood}.")
    u = np.linspace(-_REACH, _REACH, _NODES)
    weight = np.exp(-u * u / 2)
    weight /= weight.sum()
    eta = np.broadcast_to(res.fitted[:, None] + res.tau * u, (res.k, _NODES))
    if isinstance(b, Hypergeometric):
        mean, variance, below, upto = _hypergeometric(b, eta)
    else:
        mean, variance, below, upto = _counts(b, res, eta)
    expected = mean @ weight
    total = variance @ weight + (mean - expected[:, None]) ** 2 @ weight
    observed = b.x[:, 0]
    shift = _least(res, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = np.where(total > 0, (observed - expected) / np.sqrt(total), np.nan)
    middle = (below @ weight + upto @ weight) / 2
    return pd.DataFrame(
        {
            "study": list(res.effects.study), "events": observed + shift, "expected": expected + shift,
            "residual": observed - expected, "pearson": pearson, "quantile": ndtri(middle),
        }
    )  # fmt: skip


def _least(res: GlmmResult, b: Family) -> FloatArray:
    """What the likelihood has taken off the counts: the least possible ones of the hypergeometric model."""
    if not isinstance(b, Hypergeometric):
        return np.zeros(res.k)
    return np.asarray((res.effects.inputs or {})["events_t"]) - b.x[:, 0]


def _counts(b: Family, res: GlmmResult, eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Mean, variance, P(X < x) and P(X <= x) of binomial or Poisson counts at eta, (k, nodes)."""
    if isinstance(b, Poisson):
        x, mean = b.x, b.time * np.exp(eta)
        return mean, mean, np.where(x > 0, pdtr(np.maximum(x - 1, 0), mean), 0.0), pdtr(x, mean)
    x, n = b.x, b.N
    p = expit(eta + b.offset) if isinstance(b, Shifted) else display_scale(res.effects).inverse(eta)
    return n * p, n * p * (1 - p), _at_most(x - 1, n, p), _at_most(x, n, p)


def _at_most(x: FloatArray, n: FloatArray, p: FloatArray) -> FloatArray:
    """P(X <= x) of a binomial count; also of effective counts, which may be fractions."""
    inside = (x >= 0) & (x < n)
    tail = np.asarray(betainc(np.where(inside, n - x, 1.0), np.where(inside, x + 1, 1.0), 1 - p))
    return np.where(inside, tail, np.where(x < 0, 0.0, 1.0))


def _hypergeometric(b: Hypergeometric, eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The same of non-central hypergeometric counts."""
    j = np.arange(b.log_weight.shape[1])
    _, mean, variance = b.cumulants(eta)
    below, upto = np.empty_like(eta), np.empty_like(eta)
    for i, (row, x) in enumerate(zip(b.log_weight, b.x[:, 0], strict=True)):
        p = row[:, None] + j[:, None] * eta[i]
        p = np.exp(p - p.max(axis=0))
        p /= p.sum(axis=0)
        below[i], upto[i] = p[j < x].sum(axis=0), p[j <= x].sum(axis=0)
    return mean, variance, below, upto
