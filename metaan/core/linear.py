"""The linear model with known sampling variances and one between-study variance: fits for many data sets at once.

Arrays lead with the data sets: y and v are (..., k), the design x is (..., k, p), tau2 is (...); the estimators take
one leading dimension. An absent study has y = 0, v = inf and a row of x = 0, so that every sum passes over it. With
w = 1/(v + tau2) the weighted design is factored, sqrt(w) x = Q R, so that columns as unequal as an intercept and a
year lose no digits. P is the residual projection W - W x (x'W x)^-1 x'W throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chdtri

from metaan.core.lines import Lines
from metaan.core.maximum import search
from metaan.core.profile import profile_region
from metaan.core.roots import bracketed_root
from metaan.core.wls import Score

__all__ = [
    "ESTIMATORS",
    "Design",
    "Fit",
    "at",
    "log_likelihood",
    "profile_limits",
    "q_limits",
    "residual_heterogeneity",
    "trace",
]

FloatArray = npt.NDArray[np.float64]
_ROOM: Final = 64_000  # numbers in the largest array of a search
_ALIKE: Final = 1e4  # ratio of variances up to which sums have all digits
_POLISH: Final = 1e-3  # longest last step, relative: what the sums leave is rounding


class Design(NamedTuple):
    """Data of the model."""

    y: FloatArray
    v: FloatArray
    x: FloatArray

    @property
    def here(self) -> npt.NDArray[np.bool_]:
        """Which studies are present, (..., k)."""
        return np.isfinite(self.v)

    @property
    def k(self) -> FloatArray:
        """Present studies, (...)."""
        return np.asarray(self.here.sum(axis=-1, dtype=np.float64))

    @property
    def df(self) -> FloatArray:
        """Residual degrees of freedom, k - p, (...)."""
        return np.asarray(self.k - self.x.shape[-1])

    @property
    def v0(self) -> FloatArray:
        """v with 0 for absent studies, for sums of variances."""
        return np.where(self.here, self.v, 0.0)


class Fit(NamedTuple):
    """The model at a given tau2: arrays of shape (..., k), (..., p) and (..., k, p)."""

    w: FloatArray
    q: FloatArray
    """Orthonormal columns of the weighted design."""
    r: FloatArray
    """Triangular factor, (..., p, p)."""
    residual: FloatArray
    """Weighted: sqrt(w) (y - fitted)."""
    beta: FloatArray

    @property
    def Q(self) -> FloatArray:
        """Residual sum of squares y'Py."""
        return np.asarray((self.residual**2).sum(axis=-1))

    @property
    def cov(self) -> FloatArray:
        """(x'W x)^-1."""
        inverse = np.linalg.inv(self.r)
        return np.asarray(inverse @ np.swapaxes(inverse, -1, -2))


def at(data: Design, tau2: FloatArray | float) -> Fit:
    """Weighted least squares at tau2, of a shape that broadcasts with the data sets."""
    w = 1 / (data.v + np.asarray(tau2)[..., None])
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[..., None] * data.x)
    z = root * data.y
    projected = np.einsum("...kp,...k->...p", q, z)
    residual = z - np.einsum("...kp,...p->...k", q, projected)
    return Fit(w, q, r, residual, np.linalg.solve(r, projected[..., None])[..., 0])


def trace(fit: Fit, a: FloatArray | None = None) -> FloatArray:
    """tr(P diag(a)), a = 1 by default."""
    free = fit.w * (1 - (fit.q**2).sum(axis=-1))
    return np.asarray(free.sum(axis=-1) if a is None else (free * np.where(fit.w > 0, a, 0.0)).sum(axis=-1))


def log_likelihood(data: Design, tau2: FloatArray | float, *, restricted: bool) -> FloatArray:
    """(Restricted) log-likelihood at tau2, all constants included; the restricted one as in Harville 1974."""
    fit = at(data, tau2)
    df = data.df
    deviance = -np.log(fit.w, where=fit.w > 0, out=np.zeros_like(fit.w)).sum(axis=-1) + fit.Q
    if not restricted:
        return np.asarray(-(data.k * np.log(2 * np.pi) + deviance) / 2)
    plain = 2 * np.log(np.abs(np.diagonal(np.linalg.qr(data.x, mode="r"), axis1=-2, axis2=-1))).sum(axis=-1)
    weighted = 2 * np.log(np.abs(np.diagonal(fit.r, axis1=-2, axis2=-1))).sum(axis=-1)
    return np.asarray(-(df * np.log(2 * np.pi) - plain + deviance + weighted) / 2)


def residual_heterogeneity(tau2: FloatArray, plain: Fit, free: FloatArray, *, common: bool) -> dict[str, FloatArray]:
    """tau2, tau, I2, H2, QE, QE_pvalue: I2 and H2 from tau2 and the typical variance, or from QE (common effect).

    Parameters
    ----------
    tau2, free : array of shape (...)
        Residual between-study variance and degrees of freedom.
    plain : Fit
        The model at tau2 = 0.
    common : bool
        Whether tau2 was not estimated.
    """
    q, typical = plain.Q, free / trace(plain)
    with np.errstate(divide="ignore", invalid="ignore"):
        if common:
            h2, i2 = q / free, np.where(q > 0, np.maximum(0.0, (q - free) / q) * 100, 0.0)
        else:
            h2, i2 = (tau2 + typical) / typical, 100 * tau2 / (tau2 + typical)
    return {
        "tau2": tau2, "tau": np.sqrt(tau2), "I2": i2, "H2": h2, "QE": q, "QE_pvalue": chdtrc(free, q),
    }  # fmt: skip


def _ones(data: Design) -> FloatArray:
    """Variances that give every present study the same weight."""
    return np.where(data.here, 1.0, np.inf)


def _by_weights(data: Design, inverse: FloatArray) -> FloatArray:
    """Generalised Q with fixed weights, given inverted, equals its expectation (DerSimonian & Kacker 2007)."""
    fit = at(Design(data.y, inverse, data.x), 0.0)
    return np.asarray((fit.Q - trace(fit, data.v)) / trace(fit))


def _hunter_schmidt(data: Design, factor: FloatArray | float) -> FloatArray:
    fit = at(data, 0.0)
    return np.asarray((factor * fit.Q - data.k) / fit.w.sum(axis=-1))


def _sidik_jonkman(data: Design) -> FloatArray:
    k = data.k
    off = np.where(data.here, data.y - (data.y.sum(axis=-1) / k)[..., None], 0.0)
    start = (off**2).sum(axis=-1) / k
    return np.asarray(np.where(start > 0, start * at(data, np.where(start > 0, start, 1.0)).Q / data.df, 0.0))


def _largest(data: Design) -> FloatArray:
    """A tau2 above every root: the score is negative and Q below the residual degrees of freedom from there on."""
    s2 = at(Design(data.y, _ones(data), data.x), 0.0).Q / data.df
    return np.asarray((s2 + np.sqrt(s2**2 + 4 * s2 * data.v0.max(axis=-1))) / 2)


def _q_root(data: Design, target: FloatArray | float) -> FloatArray:
    """Solve Q(tau2) = target for tau2 >= 0; Q falls as tau2 grows."""
    sums, low = Lines.of(data.y, data.v, data.x), np.zeros(data.y.shape[:-1])

    def excess(t: FloatArray) -> FloatArray:
        return np.asarray(sums.Q(t) - target)

    high, f_low = np.maximum(_largest(data), data.v.min(axis=-1)), excess(low)
    while (excess(high) > 0).any():
        high = np.where(excess(high) > 0, 2 * high, high)
    return np.where(f_low <= 0, 0.0, bracketed_root(excess, low, high, f_low, excess(high)))


def _maximum(data: Design, *, restricted: bool) -> FloatArray:
    """Global maximum of the likelihood, by sums over studies and a last step by the better conditioned factors."""
    scale = data.k / (1 / data.v).sum(axis=-1)
    sums = Lines.of(data.y, data.v, data.x)
    t = search(sums, restricted=restricted, room=_ROOM).tau2
    if data.v0.max() < _ALIKE * data.v.min():
        return t
    of = _score(data, t, restricted=restricted)
    slope = 2 * of.b * of.c - of.d * of.a
    with np.errstate(divide="ignore", invalid="ignore"):
        step = (of.a - of.b) * of.a / slope
    return np.where((t > 0) & (slope > 0) & (np.abs(step) < _POLISH * (t + scale)), np.maximum(t + step, 0.0), t)


def _score(data: Design, t: FloatArray, *, restricted: bool) -> Score:
    """Pieces of the score of tau2 from the orthonormal factors."""
    fit = at(data, t)
    e = np.sqrt(fit.w) * fit.residual
    weighted = fit.w * e * e
    moment = np.einsum("...kp,...k->...p", fit.q, np.sqrt(fit.w) * e)
    a, c = (e * e).sum(axis=-1), weighted.sum(axis=-1) - (moment**2).sum(axis=-1)
    if not restricted:
        return Score(a, fit.w.sum(axis=-1), c, (fit.w**2).sum(axis=-1))
    inner = np.einsum("...kp,...k,...kq->...pq", fit.q, fit.w, fit.q)
    cubed = (fit.w**2 * (fit.q**2).sum(axis=-1)).sum(axis=-1)
    d = (fit.w**2).sum(axis=-1) - 2 * cubed + (inner**2).sum(axis=(-2, -1))
    return Score(a, trace(fit), c, d)


ESTIMATORS: Final[dict[str, Callable[[Design], FloatArray]]] = {
    "CE": lambda data: np.zeros(data.y.shape[:-1]),
    "DL": lambda data: _by_weights(data, data.v),
    "HE": lambda data: _by_weights(data, _ones(data)),
    "HS": lambda data: _hunter_schmidt(data, 1.0),
    "HSk": lambda data: _hunter_schmidt(data, data.k / data.df),
    "SJ": _sidik_jonkman,
    "ML": lambda data: _maximum(data, restricted=False),
    "REML": lambda data: _maximum(data, restricted=True),
    "PMM": lambda data: _q_root(data, np.asarray(chdtri(data.df, 0.5))),
    **dict.fromkeys(("PM", "EB", "DLIT", "SJIT"), lambda data: _q_root(data, data.df)),
}
"""Estimators of tau2 for data sets in one leading dimension; negative values are for the caller to truncate.

The empirical Bayes estimator, and the iterated ones, have Q(tau2) = k - p as their fixed point, as Paule-Mandel.
"""


def q_limits(data: Design, level: float) -> tuple[FloatArray, FloatArray]:
    """Viechtbauer 2007: where Q(tau2) equals the quantiles of chi2(k - p)."""
    low, high = (_q_root(data, np.asarray(chdtri(data.df, tail))) for tail in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def profile_limits(data: Design, level: float, *, restricted: bool) -> tuple[FloatArray, FloatArray]:
    """Where the (restricted) log-likelihood is chi2(1)/2 below its maximum."""
    return profile_region(
        lambda t: log_likelihood(data, t, restricted=restricted), _maximum(data, restricted=restricted),
        data.v.min(axis=-1), _largest(data), level,
    )  # fmt: skip
