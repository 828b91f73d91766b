"""Power of studies' own tests, and the distribution of the number of them that are significant."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc, gammaln, ndtr, ndtri, xlog1py, xlogy

from metaan.core.wls import FloatArray

__all__ = ["TESTS", "number_significant", "power", "significant"]

_TIE: Final = 1 + 1e-7  # of probabilities that are equal but for rounding


def significant(z: FloatArray, alpha: float, alternative: str) -> npt.NDArray[np.bool_]:
    """Which normal tests of level alpha reject."""
    if alternative == "two-sided":
        return np.asarray(np.abs(z) >= -ndtri(alpha / 2))
    return np.asarray((z if alternative == "greater" else -z) >= -ndtri(alpha))


def power(shift: FloatArray, v: FloatArray, tau2: float, alpha: float, alternative: str) -> FloatArray:
    """Probability that they do for effects N(shift, v + tau2), shift from the null: arrays of shape (..., 1) and (k,).

    The power at a true effect, integrated over N(shift, tau2), is this in closed form.
    """
    spread = np.sqrt(v + tau2)
    if alternative == "two-sided":
        edge = -ndtri(alpha / 2) * np.sqrt(v)
        return np.asarray(ndtr((shift - edge) / spread) + ndtr((-shift - edge) / spread))
    edge = -ndtri(alpha) * np.sqrt(v)
    return np.asarray(ndtr(((shift if alternative == "greater" else -shift) - edge) / spread))


def number_significant(p: FloatArray) -> FloatArray:
    """Probabilities of 0 ... k successes in k trials of probabilities p: the Poisson binomial distribution."""
    made = np.ones(1)
    for one in p.tolist():
        made = np.convolve(made, (1 - one, one))
    return made


def exact(observed: int, p: FloatArray, alternative: str) -> float:
    """P-value by the distribution of the number of significant studies; two-sided: of numbers no more likely."""
    made = number_significant(p)
    if alternative == "greater":
        return float(min(made[observed:].sum(), 1.0))
    if alternative == "less":
        return float(min(made[: observed + 1].sum(), 1.0))
    return float(min(made[made <= made[observed] * _TIE].sum(), 1.0))


def binomial(observed: int, p: FloatArray, alternative: str) -> float:
    """The same with the mean power for each study."""
    k, mean = p.size, float(p.mean())
    if alternative == "greater":
        return 1.0 if observed == 0 else float(bdtrc(observed - 1, k, mean))
    if alternative == "less":
        return float(bdtr(observed, k, mean))
    x = np.arange(k + 1)
    log = gammaln(k + 1) - gammaln(x + 1) - gammaln(k - x + 1) + xlogy(x, mean) + xlog1py(k - x, -mean)
    made = np.exp(log)
    return float(min(made[made <= made[observed] * _TIE].sum(), 1.0))


def chi2(observed: int, p: FloatArray, alternative: str) -> float:
    """Pearson's chi2 with 1 df of observed and expected numbers, as a signed normal deviate."""
    k, expected = p.size, float(p.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (observed - expected) * np.sqrt(k / (expected * np.float64(k - expected)))
    z = 0.0 if np.isnan(z) else float(z)
    tail = {"greater": -z, "less": z}
    return float(ndtr(tail[alternative])) if alternative in tail else 2 * float(ndtr(-abs(z)))


TESTS: Final = {"exact": exact, "binomial": binomial, "chi2": chi2}
