"""The result of a GLMM with moderators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.core.inference import quantile
from metaan.errors import OptionError
from metaan.models.regress_result import RegressResult
from metaan.models.regress_text import describe
from metaan.models.results import Convergence, aicc
from metaan.models.text import exact_model, number, probability
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GlmmRegressResult"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GlmmRegressResult(RegressResult):
    """Result of `metaan.glmm` with a formula.

    As `RegressResult`; QE, I2, H2 compare with the empirical effects, weights and leverage are conventions (see
    `metaan.glmm`), and:

    Parameters
    ----------
    loglik, aic, bic : float
        Marginal log-likelihood with all constants, and criteria with `parameters` parameters and k studies.
    loglik_common, lrt, lrt_pvalue : float
        The same with tau2 = 0, twice the difference, and its p-value by the mixture of chi2(0) and chi2(1).
    LRT, LRT_df, LRT_pvalue : float
        Likelihood-ratio test of the moderators: against the model with the intercept alone, chi2. NaN without
        moderators or without an intercept.
    parameters : int
    blup_se : array of shape (k,)
        Standard error of the shrunken effects, coefficients and tau2 taken as known.
    sigma2 : float
        Between-study variance of the baseline (UM.RS); NaN otherwise.
    convergence : Convergence
    """

    aic: float
    bic: float
    loglik_common: float
    lrt: float
    lrt_pvalue: float
    LRT: float
    LRT_df: int
    LRT_pvalue: float
    parameters: int
    blup_se: FloatArray
    sigma2: float
    convergence: Convergence

    @property
    def aicc(self) -> float:
        """aic with the correction for small samples, k studies; NaN where k is too small."""
        return aicc(self.aic, self.parameters, self.k)

    def studies(self) -> pd.DataFrame:
        """One row for each study, as `RegressResult.studies`, and the interval of its shrunken effect."""
        from scipy.special import ndtri

        half = ndtri((1 + self.spec.level) / 2) * self.blup_se
        return super().studies().assign(blup_low=self.blup - half, blup_high=self.blup + half)

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON."""
        return super().to_dict() | {"aicc": self.aicc if np.isfinite(self.aicc) else None}

    def _prediction(self, kind: str, x: FloatArray) -> FloatArray:
        if kind not in ("t", "hts", "z", "simple", "none"):
            raise OptionError(f"pi={kind!r} is not defined for a GLMM; choose t, hts, z, simple or none.")
        free = self.QE_df - (1 if kind == "hts" else 0)
        df = {"t": free, "hts": free}.get(kind, np.inf)
        if kind == "none" or df <= 0:
            return np.full(x.shape[0], np.nan)
        mean = 0 if kind == "simple" else self.inference.spread(x)
        return np.asarray(float(quantile(df, self.spec.level)) * np.sqrt(self.tau2 + mean + np.zeros(x.shape[0])))

    def __str__(self) -> str:
        share = "" if np.isnan(self.R2) else f", R2 {self.R2:.1f}%"
        against = "" if np.isnan(self.LRT) else (
            f"; moderators: LR {number(self.LRT)}, df = {self.LRT_df}, p {probability(self.LRT_pvalue)}"
        )  # fmt: skip
        lines = [
            f"Spread      residual tau2 {number(self.tau2)}, tau {number(self.tau)}{share}; test of tau2 = 0: "
            f"LR {number(self.lrt)}, p {probability(self.lrt_pvalue)}",
            f"Likelihood  log L {self.loglik:.3f}, AIC {self.aic:.2f}{against}",
        ]
        title = f"{exact_model(self.spec.likelihood, self.spec.link)} of {self.k} studies"
        return describe(self, title, lines)
