"""The result of the beta-binomial model without moderators."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, logit

from metaan.core.inference import quantile
from metaan.models.beta_binomial_text import describe
from metaan.models.rates import RateEstimate
from metaan.models.results import PoolResult
from metaan.validate import FloatArray

__all__ = ["BetaBinomialResult"]

_STEP = 1e-5  # of central differences, on the logit scales of the mean and of rho


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BetaBinomialResult(PoolResult):
    """Result of `metaan.beta_binomial`: the mean rate over studies, by exact likelihood.

    As `PoolResult`, on the logit scale, with tau2 the exact variance of the logit of a Beta(a, b) variable,
    psi'(a) + psi'(b) (0 where rho = 0, infinite where rho = 1), and:

    Parameters
    ----------
    rho, rho_low, rho_high : float
        Correlation of two observations of one study, 1/(a + b + 1), with its profile-likelihood interval.
    a, b : float
        Parameters of the beta distribution of true rates; infinite where rho = 0, 0 where rho = 1.
    loglik : float
        Log-likelihood at the maximum, with all binomial constants: comparable with that of `metaan.glmm`.
    aic, aicc, bic : float
        With two parameters; the k studies are the observations. aicc is NaN for k < 4.
    loglik_common : float
        Maximised log-likelihood of the model with rho = 0.
    lrt, lrt_pvalue : float
        2 (loglik - loglik_common) and its p-value under the 50:50 mixture of chi2(0) and chi2(1).
    cov : array of shape (2, 2)
        Covariance of (logit of the mean, rho) from the observed information; NaN for rho where rho is 0 or 1.
    """

    rho: float
    rho_low: float
    rho_high: float
    a: float
    b: float
    loglik: float
    aic: float
    aicc: float
    bic: float
    loglik_common: float
    lrt: float
    lrt_pvalue: float
    cov: FloatArray

    @property
    def of_median(self) -> bool:
        """False: the estimate is the mean of the true rates."""
        return False

    @property
    def mean_rate(self) -> RateEstimate:
        """Mean of the true rates over studies, which is what this model estimates, with the interval of the result."""
        turn = float if self.scale == "display" else expit
        how = {"profile": "profile likelihood", "likelihood-ratio": "likelihood ratio"}.get(
            self.spec.ci, "Wald interval on the logit scale"
        )
        return RateEstimate(
            estimate=float(turn(self.estimate)), ci_low=float(turn(self.ci_low)), ci_high=float(turn(self.ci_high)),
            level=self.spec.level, kind="mean", method=f"beta-binomial, {how}",
        )  # fmt: skip

    @property
    def median_rate(self) -> RateEstimate:
        """Rate of the median study: the median of the fitted beta distribution.

        Its interval comes from the covariance of the mean and rho by the delta method on the logit scale. Where rho is
        0 all studies have the mean rate; where rho is 1 the median is 0 or 1, without an interval.
        """
        mean = self.mean_rate
        if self.rho == 0:
            return RateEstimate(**(vars(mean) | {"kind": "median"}))
        if self.rho == 1:
            end = 0.5 if mean.estimate == 0.5 else float(mean.estimate > 0.5)
            low, high, how = math.nan, math.nan, "no interval: rho is 1"
        else:
            centre, half = self._median()
            end, low, high = (float(expit(value)) for value in (centre, centre - half, centre + half))
            how = "delta method on the logit scale"
        return RateEstimate(
            estimate=end, ci_low=low, ci_high=high, level=self.spec.level, kind="median", method=f"beta-binomial, {how}"
        )

    def _median(self) -> tuple[float, float]:
        """Logit of the median of the fitted beta distribution and half the width of its interval."""
        at = np.array([logit(self.mean_rate.estimate), logit(self.rho)])
        slope = np.array(
            [(_logit_median(*(at + h)) - _logit_median(*(at - h))) / (2 * _STEP) for h in _STEP * np.eye(2)]
        )
        slope[1] /= self.rho * (1 - self.rho)
        half = float(quantile(self.df, self.spec.level)) * math.sqrt(slope @ self.cov @ slope)
        return _logit_median(*at), half

    def _columns(self) -> tuple[str, ...]:
        added = ("rho", "rho_low", "rho_high", "a", "b", "loglik", "aic", "aicc", "bic", "lrt", "lrt_pvalue")
        return (*super()._columns(), *added)

    def __str__(self) -> str:
        return describe(self)


def _logit_median(eta: float, log_odds: float) -> float:
    """Logit of the median of Beta(a, b), from the logits of its mean and of rho; the smaller tail is computed."""
    size = math.exp(-log_odds)  # (1 - rho)/rho
    a, b = float(expit(eta)) * size, float(expit(-eta)) * size
    low = float(betaincinv(a, b, 0.5))
    if low < 0.5:
        return float(logit(max(low, 1e-300)))
    return -float(logit(max(float(betaincinv(b, a, 0.5)), 1e-300)))
