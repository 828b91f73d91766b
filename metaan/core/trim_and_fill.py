"""How many studies a funnel lacks on one side: the rank estimators of Duval & Tweedie, for many data sets at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.core.inference import pieces
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data, FloatArray

__all__ = ["MISSING", "Trimmed", "trim"]

_NOISE: Final = 8 * float(np.finfo(np.float64).eps)  # of the largest effect: below it a deviation is rounding


class Trimmed(NamedTuple):
    """Numbers of missing studies and the means about which the funnels are symmetric: arrays of shape (n,)."""

    k0: npt.NDArray[np.intp]
    se: FloatArray
    """Standard error of the estimator before rounding."""
    mu: FloatArray
    """Mean of the studies that are left when the k0 most extreme ones are trimmed."""
    order: npt.NDArray[np.intp]
    """Studies from the smallest effect to the largest, (k, n)."""
    iterations: npt.NDArray[np.intp]
    converged: npt.NDArray[np.bool_]
    """False where the number went in circles, or could not be computed."""


class _Ranks(NamedTuple):
    """Signed ranks of the deviations: sum of the positive ones and the largest negative one, and its variance."""

    k: float
    positive: FloatArray
    below: FloatArray


def _variance(k: float, k0: FloatArray) -> FloatArray:
    """Variance of the sum of positive ranks when k0 studies are missing (Duval & Tweedie 2000)."""
    cubic = 10 * k0**3 + 27 * k0**2 + 17 * k0 - 18 * k * k0**2 - 18 * k * k0 + 6 * k**2 * k0
    return np.asarray((k * (k + 1) * (2 * k + 1) + cubic) / 24)


def _r0(r: _Ranks) -> tuple[FloatArray, FloatArray]:
    """R0: length of the run of positive deviations at the far end, less one."""
    k0 = r.k - r.below - 1
    return k0, np.sqrt(2 * np.maximum(k0, 0) + 2)


def _l0(r: _Ranks) -> tuple[FloatArray, FloatArray]:
    """L0: linear in the sum of positive ranks."""
    k0 = (4 * r.positive - r.k * (r.k + 1)) / (2 * r.k - 1)
    return k0, 4 * np.sqrt(_variance(r.k, k0)) / (2 * r.k - 1)


def _q0(r: _Ranks) -> tuple[FloatArray, FloatArray]:
    """Q0: root of a quadratic in the sum of positive ranks, which need not exist."""
    k0 = r.k - 0.5 - np.sqrt(2 * r.k**2 - 4 * r.positive + 0.25)
    return k0, 2 * np.sqrt(_variance(r.k, k0)) / np.sqrt((r.k - 0.5) ** 2 - k0 * (2 * r.k - k0 - 1))


MISSING: Final[dict[str, Callable[[_Ranks], tuple[FloatArray, FloatArray]]]] = {"L0": _l0, "R0": _r0, "Q0": _q0}
"""Estimators of the number of missing studies, before rounding, and of its standard error."""


def trim(
    data: Data, *, method: str, estimator: str, weights: FloatArray | None = None, max_iterations: int = 100
) -> Trimmed:
    """Duval & Tweedie 2000: trim the largest effects until the rest is symmetric, for effects missing at the low end.

    Parameters
    ----------
    data : Data
        Of shape (k, n), all studies present.
    method : str
        A key of `metaan.core.tau2.ESTIMATORS`.
    estimator : str
        A key of `MISSING`.
    weights : array of shape (k, n), optional
        Weights of GENQ.
    max_iterations : int

    Returns
    -------
    Trimmed
    """
    k, n = data.y.shape
    order = np.argsort(data.y, axis=0, kind="stable")
    y, v = (np.take_along_axis(a, order, axis=0) for a in (data.y, data.v))
    a = None if weights is None else np.take_along_axis(weights, order, axis=0)
    noise = _NOISE * np.abs(y).max(axis=0)
    k0, found = np.zeros(n), np.full(n, np.nan)
    se, mu = np.full(n, np.nan), np.full(n, np.nan)
    iterations = np.zeros(n, dtype=np.intp)
    going = np.arange(n)
    for _ in range(max_iterations):
        part = None if a is None else a[:, going]
        centre = _centre(y[:, going], v[:, going], k - k0[going], method, part)
        raw, spread = _missing(y[:, going] - centre, noise[going], estimator)
        new = np.maximum(np.round(raw), 0.0)
        mu[going], se[going] = centre, spread
        iterations[going] += 1
        settled = new == k0[going]
        found[going[settled]] = new[settled]
        k0[going] = new
        going = going[~settled & ~np.isnan(new)]
        if going.size == 0:
            break
    known = ~np.isnan(found)
    return Trimmed(np.where(known, found, 0).astype(np.intp), se, mu, order, iterations, known)


def _centre(y: FloatArray, v: FloatArray, left: FloatArray, method: str, weights: FloatArray | None) -> FloatArray:
    """Pooled mean of the `left` smallest effects of each data set, sorted."""
    here = np.arange(y.shape[0])[:, None] < left
    present = here.astype(np.float64)
    data = Data(y * present, np.where(here, v, np.inf), v * present, present, present.sum(axis=0))
    own = None if weights is None else np.where(here, weights, 0.0)
    return pieces(data, ESTIMATORS[method](data, own).tau2, own).mu


def _missing(d: FloatArray, noise: FloatArray, estimator: str) -> tuple[FloatArray, FloatArray]:
    """Estimate from deviations in the order of the effects; ties of size are ranked in that order."""
    k = d.shape[0]
    size = np.abs(d)
    rank = np.argsort(np.argsort(size, axis=0, kind="stable"), axis=0) + 1.0
    some = size > noise
    positive = np.where(some & (d > 0), rank, 0.0).sum(axis=0)
    below = np.where(some & (d < 0), rank, 0.0).max(axis=0)
    with np.errstate(invalid="ignore"):
        k0, se = MISSING[estimator](_Ranks(float(k), positive, below))
    flat = ~some.any(axis=0)
    return np.where(flat, 0.0, k0), np.where(flat, 0.0, se)
