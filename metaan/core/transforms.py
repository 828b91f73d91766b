"""Transformations of a rate and their inverses, elementwise on arrays of any shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

__all__ = [
    "INVERSE",
    "arcsine_inverse",
    "double_arcsine",
    "double_arcsine_inverse",
    "harmonic_mean",
    "root_incidence_inverse",
]

FloatArray = npt.NDArray[np.float64]


def double_arcsine(events: FloatArray, total: FloatArray) -> FloatArray:
    """Freeman-Tukey double arcsine on the half scale, variance 1/(4n + 2).

    y = [arcsin sqrt(x/(n+1)) + arcsin sqrt((x+1)/(n+1))] / 2 (Freeman & Tukey 1950).
    """
    first = np.arcsin(np.sqrt(events / (total + 1)))
    second = np.arcsin(np.sqrt((events + 1) / (total + 1)))
    return np.asarray((first + second) / 2)


def arcsine_inverse(y: FloatArray) -> FloatArray:
    """Rate of an arcsine-square-root value: sin(y)^2 with y clipped to [0, pi/2], outside which the sine folds back."""
    return np.asarray(np.sin(np.clip(y, 0.0, np.pi / 2)) ** 2)


def double_arcsine_inverse(y: FloatArray, n: FloatArray | float) -> FloatArray:
    """Rate of a Freeman-Tukey value at sample size n (Miller 1978), clipped to the values that n can give.

    p = [1 - sgn(cos 2y) sqrt(1 - (sin 2y + (sin 2y - 1/sin 2y)/n)^2)] / 2, with 0 and 1 beyond the transform of 0/n
    and n/n.
    """
    n = np.asarray(n, dtype=np.float64)
    lowest, highest = double_arcsine(np.zeros_like(n), n), double_arcsine(n, n)
    inside = np.clip(y, lowest, highest)
    doubled = np.sin(2 * inside)
    root = 1 - (doubled + (doubled - 1 / doubled) / n) ** 2
    rate = (1 - np.sign(np.cos(2 * inside)) * np.sqrt(np.maximum(root, 0.0))) / 2
    return np.asarray(np.where(y <= lowest, 0.0, np.where(y >= highest, 1.0, rate)))


def harmonic_mean(total: FloatArray) -> float:
    """Harmonic mean of sample sizes along the last axis."""
    return float(total.shape[-1] / np.sum(1 / total, axis=-1))


def _raw_inverse(y: FloatArray) -> FloatArray:
    return np.clip(y, 0.0, 1.0)


def _log_inverse(y: FloatArray) -> FloatArray:
    return np.minimum(np.exp(y), 1.0)


def _ratio(y: FloatArray) -> FloatArray:
    return np.asarray(np.exp(y))


def _identity(y: FloatArray) -> FloatArray:
    return np.asarray(y)


def root_incidence_inverse(y: FloatArray, t: float) -> FloatArray:
    """Rate x/t whose Freeman-Tukey value (sqrt(x/t) + sqrt((x+1)/t))/2 is y; 0 below the value of no events.

    With a = sqrt x and b = sqrt(x+1): a + b = 2 y sqrt t and b - a = 1/(a + b), so that a = y sqrt t - 1/(4 y sqrt t).
    """
    z = np.maximum(y, 0.5 / np.sqrt(t)) * np.sqrt(t)
    return np.asarray((z - 1 / (4 * z)) ** 2 / t)


INVERSE: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "PR": _raw_inverse,
    "PLO": lambda y: np.asarray(expit(y)),
    "PLN": _log_inverse,
    "PROBIT": lambda y: np.asarray(ndtr(y)),
    "CLOGLOG": lambda y: -np.expm1(-np.exp(y)),
    "PAS": arcsine_inverse,
    "ZCOR": lambda y: np.asarray(np.tanh(y)),
    "IR": lambda y: np.maximum(y, 0.0),
    "IRS": lambda y: np.maximum(y, 0.0) ** 2,
    **dict.fromkeys(("RR", "OR", "PETO", "HR", "ROM", "VR", "CVR", "IRR", "IRLN"), _ratio),
    **dict.fromkeys(("GEN", "RD", "AS", "MD", "SMD", "SMDH", "MN", "MC", "SMCC", "SMCR"), _identity),
    **dict.fromkeys(("COR", "UCOR", "IRD", "IRSD"), _identity),
}
"""Analysis scale to rate, ratio or difference; PFT and IRFT need a sample size as well and stand apart."""
