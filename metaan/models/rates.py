"""The two pooled rates: that of the median study, and the mean over studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import expit, log_ndtr, ndtr

from metaan.core.inference import quantile
from metaan.errors import InputError
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.records import Shown
from metaan.validate import FloatArray

if TYPE_CHECKING:
    from metaan.models.results import PoolResult

__all__ = ["RateEstimate", "mean_of_normal", "mean_rate", "median_rate"]

_REACH: Final = 9.0
_NODES: Final = 513
_FINE: Final = 16385  # an inverse that is cut at the ends of a rate has bends
_STEP: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class RateEstimate(Shown):
    """A rate and its confidence interval.

    Parameters
    ----------
    estimate, ci_low, ci_high : float
        Proportions, or events per unit of time.
    level : float
        Confidence level.
    kind : {"median", "mean"}
        Rate of the median study, or the mean of the true rates over the population of studies.
    method : str
        How the interval was found.
    """

    estimate: float
    ci_low: float
    ci_high: float
    level: float
    kind: str
    method: str

    def __str__(self) -> str:
        what = "rate of the median study" if self.kind == "median" else "mean rate over studies"
        limits = f"{100 * self.level:g}% CI {self.ci_low:.4f} to {self.ci_high:.4f}"
        return f"{what} {self.estimate:.4f} ({limits}; {self.method})"


def median_rate(res: PoolResult) -> RateEstimate:
    """Rate of the median study: the back-transformed pooled effect; `res` is on the analysis scale."""
    _require_rate(res)
    shown = res.back()
    return RateEstimate(
        estimate=shown.estimate, ci_low=shown.ci_low, ci_high=shown.ci_high, level=res.spec.level, kind="median",
        method=f"{res.spec.ci} interval of the fit",
    )  # fmt: skip


def mean_rate(res: PoolResult) -> RateEstimate:
    """Mean of the true rates; `res` is on the analysis scale."""
    _require_rate(res)
    settled = res.tau2 == 0 or not math.isfinite(res.estimate)
    if settled:
        median = median_rate(res)
        return RateEstimate(
            estimate=median.estimate, ci_low=median.ci_low, ci_high=median.ci_high, level=median.level, kind="mean",
            method=f"{median.method}; tau2 = 0",
        )  # fmt: skip
    inverse = display_scale(res.effects).inverse
    mean = _mean_of_log if res.spec.measure == "PLN" else partial(mean_of_normal, inverse, nodes=_FINE)
    value, gradient = _with_gradient(mean, res.estimate, res.tau)
    variance = float(gradient @ _covariance(res) @ gradient)
    bounded = KINDS[res.spec.measure].scale == "rate"
    slope = value * (1 - value) if bounded else value
    if not slope > 0:
        return RateEstimate(
            estimate=value, ci_low=value, ci_high=value, level=res.spec.level, kind="mean", method="at its bound"
        )
    half = float(quantile(res.df, res.spec.level)) * math.sqrt(variance) / slope
    centre = math.log(value / (1 - value)) if bounded else math.log(value)
    low, high = (float(expit(c)) if bounded else math.exp(c) for c in (centre - half, centre + half))
    scale = "logit" if bounded else "log"
    return RateEstimate(
        estimate=value, ci_low=low, ci_high=high, level=res.spec.level, kind="mean",
        method=f"delta method on the {scale} scale",
    )  # fmt: skip


def mean_of_normal(
    inverse: Callable[[FloatArray], FloatArray], mu: Any, tau: Any, *, nodes: int = _NODES
) -> FloatArray:
    """E inverse(mu + tau u) for standard normal u, by the trapezoidal rule; mu and tau broadcast."""
    u = np.linspace(-_REACH, _REACH, nodes)
    weight = np.exp(-u * u / 2)
    at = np.asarray(mu)[..., None] + np.asarray(tau)[..., None] * u
    return np.asarray(inverse(at) @ (weight / weight.sum()))


def _mean_of_log(mu: FloatArray, tau: FloatArray) -> FloatArray:
    """E min(exp(mu + tau u), 1): the bend at a rate of 1 is too sharp for derivatives by quadrature."""
    return np.asarray(np.exp(mu + tau * tau / 2 + log_ndtr(-mu / tau - tau)) + ndtr(mu / tau))


def _with_gradient(mean: Callable[[Any, Any], FloatArray], mu: float, tau: float) -> tuple[float, FloatArray]:
    """The mean rate and its derivatives by mu and tau."""
    h = _STEP * max(tau, 1e-3)
    at = mean(mu + h * np.array([0, 1, -1, 0, 0]), tau + h * np.array([0, 0, 0, 1, -1]))
    return float(at[0]), np.array([at[1] - at[2], at[3] - at[4]]) / (2 * h)


def _covariance(res: PoolResult) -> FloatArray:
    """Covariance of the pooled effect and tau; tau counts as known where the fit does not tell its variance."""
    known = getattr(res, "cov", None)
    if known is not None:
        own = known[:2, :2]  # beyond them stands what else a model has
        return np.asarray(np.where(np.isfinite(own), own, 0.0))
    w = 1 / (res.effects.vi + res.tau2)
    information = float((w**2).sum()) / 2
    return np.diag([res.se**2, 1 / (4 * res.tau2 * information)])


def _require_rate(res: PoolResult) -> None:
    if KINDS[res.spec.measure].scale not in ("rate", "incidence"):
        raise InputError(f"measure {res.spec.measure} is no rate: median and mean rates are for rates.")
