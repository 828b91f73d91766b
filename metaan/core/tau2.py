"""Estimators of the between-study variance, one function each (compared by Viechtbauer 2005, Veroniki 2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from metaan.core.maximum import maximise
from metaan.core.secular import q_root
from metaan.core.wls import Data, FloatArray, arrange, dot, q_statistic, weighted_mean

__all__ = ["ESTIMATORS", "Tau2", "tau2"]


class Tau2(NamedTuple):
    """Estimates of tau2 and how they were reached: arrays of shape (n,)."""

    tau2: FloatArray
    iterations: npt.NDArray[np.intp]
    converged: npt.NDArray[np.bool_]
    maxima: npt.NDArray[np.intp]


def tau2(
    yi: npt.ArrayLike, vi: npt.ArrayLike, method: str = "REML", *, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Between-study variance of each meta-analysis, truncated at 0.

    Parameters
    ----------
    yi, vi : array of shape (..., k)
        Effect sizes and sampling variances, NaN where a study is absent.
    method : str, default "REML"
        A key of `ESTIMATORS`.
    weights : array of shape (..., k), optional
        Weights of the generalised Q, for GENQ only.

    Returns
    -------
    array of shape (...)

    Examples
    --------
    >>> float(tau2([0.1, 0.3, 0.5], [0.01, 0.01, 0.01], "DL").round(12))
    0.03
    """
    y = np.asarray(yi, dtype=np.float64)
    shape = y.shape[:-1]
    data = arrange(*(np.asarray(a, dtype=np.float64).reshape(-1, y.shape[-1]) for a in (yi, vi)))
    w = None if weights is None else np.moveaxis(np.broadcast_to(np.asarray(weights, dtype=np.float64), y.shape), -1, 0)
    a = None if w is None else np.where(np.isfinite(data.v), w.reshape(w.shape[0], -1), 0.0)
    return ESTIMATORS[method](data, a).tau2.reshape(shape)


def _closed(estimate: FloatArray) -> Tau2:
    n = estimate.shape[0]
    return Tau2(np.maximum(estimate, 0.0), np.zeros(n, np.intp), np.ones(n, bool), np.zeros(n, np.intp))


def _df(data: Data) -> FloatArray:
    return np.maximum(data.k - 1, 1.0)


def _present(data: Data) -> FloatArray:
    return np.ones_like(data.y) if data.here is None else data.here


def common(data: Data, a: FloatArray | None = None) -> Tau2:
    """tau2 = 0: one true effect."""
    return _closed(np.zeros_like(data.k))


def generalised(data: Data, a: FloatArray | None = None) -> Tau2:
    """DerSimonian & Kacker 2007, eq. 6: Q with weights a equals its expectation."""
    if a is None:
        raise ValueError("GENQ needs weights")
    mean, total = weighted_mean(data.y, a)
    r = data.y - mean
    product = a * r
    q = dot(product, r)
    a2 = np.multiply(a, a, out=product)
    trace = total - a2.sum(axis=0) / total
    expected = dot(a, data.v0) - dot(a2, data.v0) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.where(trace > 0, (q - expected) / trace, 0.0)
    return _closed(np.where(data.k > 1, estimate, 0.0))


def dersimonian_laird(data: Data, a: FloatArray | None = None) -> Tau2:
    """DerSimonian & Laird 1986: weights 1/v."""
    return generalised(data, 1 / data.v)


def hedges_olkin(data: Data, a: FloatArray | None = None) -> Tau2:
    """Hedges & Olkin 1985 (Cochran's ANOVA estimator): equal weights."""
    return generalised(data, _present(data))


def _hunter_schmidt(data: Data, factor: FloatArray) -> Tau2:
    q, _ = q_statistic(data.y, data.v, np.zeros_like(data.k))
    return _closed(np.where(data.k > 1, (factor * q - data.k) / (1 / data.v).sum(axis=0), 0.0))


def hunter_schmidt(data: Data, a: FloatArray | None = None) -> Tau2:
    """Hunter & Schmidt 1990: (Q - k) / sum w."""
    return _hunter_schmidt(data, np.ones_like(data.k))


def hunter_schmidt_k(data: Data, a: FloatArray | None = None) -> Tau2:
    """Hunter & Schmidt with the correction k/(k-1) of Q (Brannick et al. 2019)."""
    return _hunter_schmidt(data, data.k / _df(data))


def sidik_jonkman(data: Data, a: FloatArray | None = None) -> Tau2:
    """Sidik & Jonkman 2005: one step from the variance of the effects about their plain mean, divided by k."""
    here = _present(data)
    mean = data.y.sum(axis=0) / data.k
    r = (data.y - mean) * here
    start = dot(r, r) / data.k
    q, _ = q_statistic(data.y, data.v, start)
    return _closed(start * q / _df(data))


def _from_q(data: Data, target: FloatArray) -> Tau2:
    root, steps, done = q_root(data.y, data.v, target)
    return Tau2(np.where(data.k > 1, root, 0.0), steps, done, np.zeros_like(steps))


def paule_mandel(data: Data, a: FloatArray | None = None) -> Tau2:
    """Paule & Mandel 1982: Q(tau2) = k - 1.

    Morris's empirical Bayes estimator (EB), DerSimonian-Laird iterated (DLIT) and Sidik-Jonkman iterated (SJIT)
    have this equation as their fixed point: at tau2 = (Q - sum wv + ...)/(...) as at tau2 = tau2 Q/(k - 1), Q must
    equal k - 1.
    """
    return _from_q(data, _df(data))


def paule_mandel_median(data: Data, a: FloatArray | None = None) -> Tau2:
    """Median-unbiased Paule-Mandel: Q(tau2) equals the median of chi2(k - 1)."""
    return _from_q(data, np.asarray(chdtri(_df(data), 0.5)))


def _likelihood(data: Data, restricted: bool) -> Tau2:
    best = maximise(data, restricted=restricted)
    return Tau2(np.where(data.k > 1, best.tau2, 0.0), best.iterations, best.converged, best.maxima)


def maximum_likelihood(data: Data, a: FloatArray | None = None) -> Tau2:
    """Hardy & Thompson 1996: global maximum of the likelihood."""
    return _likelihood(data, restricted=False)


def restricted_maximum_likelihood(data: Data, a: FloatArray | None = None) -> Tau2:
    """Harville 1977, Raudenbush & Bryk 1985: global maximum of the restricted likelihood."""
    return _likelihood(data, restricted=True)


ESTIMATORS: Final[dict[str, Callable[[Data, FloatArray | None], Tau2]]] = {
    "CE": common,
    "DL": dersimonian_laird,
    "HE": hedges_olkin,
    "HS": hunter_schmidt,
    "HSk": hunter_schmidt_k,
    "SJ": sidik_jonkman,
    "ML": maximum_likelihood,
    "REML": restricted_maximum_likelihood,
    "EB": paule_mandel,
    "PM": paule_mandel,
    "PMM": paule_mandel_median,
    "GENQ": generalised,
    "DLIT": paule_mandel,
    "SJIT": paule_mandel,
}
