"""Frozen results: the numbers of one fit, computed once, with three views of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metaan.errors import Note
from metaan.measures.backtransform import Scale, bounded, display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain, plain_value
from metaan.models.rates import RateEstimate, mean_rate, median_rate
from metaan.models.text import describe
from metaan.records import Shown
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Convergence", "GlmmResult", "Heterogeneity", "PoolResult", "Spec"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What was asked for; the weights of GENQ stand in `PoolResult.weights`.

    Parameters
    ----------
    model, measure : str
        Kind of model, as "normal", "glmm" or "regression", and code of the effect measure.
    method, test, pi, ci : str
        Estimator, test and intervals, as the function takes them.
    level : float
        Level of the confidence and prediction intervals.
    nodes : int or None
        Quadrature nodes that were asked for (GLMM).
    link, likelihood : str or None
        Link of rates and likelihood of counts.
    draws, seed : int or None
        Random draws of a bootstrap prediction interval and their seed.
    formula : str or None
        Moderators.
    cluster : str or None
        What the clusters of a robust covariance are.
    """

    model: str
    measure: str
    method: str
    test: str
    level: float
    pi: str
    ci: str = "wald"
    nodes: int | None = None
    link: str | None = None
    draws: int | None = None
    seed: int | None = None
    formula: str | None = None
    likelihood: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """How the iteration ended.

    Parameters
    ----------
    converged : bool
        False only with a note that says what to make of the numbers.
    iterations : int
        Steps of the final search; 0 for a closed form.
    maxima : int
        Local maxima of the likelihood that were found and compared; 0 where no likelihood was maximised.
    nodes : int or None
        Quadrature nodes in use at the end (GLMM).
    """

    converged: bool = True
    iterations: int = 0
    maxima: int = 0
    nodes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Heterogeneity(Shown):
    """Every measure of heterogeneity, with both definitions of I2.

    Parameters
    ----------
    tau2, tau : float
        Between-study variance and standard deviation, analysis scale.
    I2 : float
        Per cent, from tau2 and the typical sampling variance (metafor's definition).
    I2_Q : float
        Per cent, max(0, (Q - df)/Q) (Higgins & Thompson 2002; RevMan, R meta).
    H2 : float
        Total over typical sampling variance.
    Q, Q_df, Q_pvalue : float
        Cochran's Q test.
    """

    tau2: float
    tau: float
    I2: float
    I2_Q: float
    H2: float
    Q: float
    Q_df: int
    Q_pvalue: float

    def _headline(self) -> str:
        return "Heterogeneity"


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolResult(Frozen):
    """Result of `metaan.pool`: one pooled effect.

    Numbers stand on the analysis scale; `back` gives the same record on the display scale (rates).

    Parameters
    ----------
    estimate, se, ci_low, ci_high : float
        Pooled effect, its standard error and confidence limits.
    statistic, pvalue, log_pvalue, df : float
        Test of estimate = 0 on the analysis scale; df is inf for the normal distribution.
    pi_low, pi_high : float
        Prediction interval for the true effect of a new study; NaN with a note when there is none.
    k : int
        Studies pooled.
    tau2, tau, I2, H2, Q, Q_df, Q_pvalue : float
        Heterogeneity; `heterogeneity` has the same and `I2_Q`.
    weights : array of shape (k,)
        Per cent, sum 100.
    fitted, blup, blup_se : array of shape (k,)
        Expected effect, shrunken effect (best linear unbiased prediction) and its standard error, which takes tau2 as
        known (and, for a GLMM, the estimate too).
    convergence : Convergence
    spec : Spec
    effects : Effects
    notes : tuple of Note
        Every automatic decision, those of `effects` first.
    scale : {"analysis", "display"}
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    pvalue: float
    log_pvalue: float
    df: float
    pi_low: float
    pi_high: float
    k: int
    tau2: float
    tau: float
    I2: float
    H2: float
    Q: float
    Q_df: int
    Q_pvalue: float
    weights: FloatArray
    fitted: FloatArray
    blup: FloatArray
    blup_se: FloatArray
    convergence: Convergence
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]
    scale: str = "analysis"
    analysis: PoolResult | None = None
    """The record on the analysis scale that this one shows; None for itself."""

    def __post_init__(self) -> None:
        self.own_arrays()

    @cached_property
    def heterogeneity(self) -> Heterogeneity:
        """All measures of heterogeneity in one record."""
        share = max(0.0, (self.Q - self.Q_df) / self.Q) * 100 if self.Q > 0 else self.Q
        return Heterogeneity(
            tau2=self.tau2, tau=self.tau, I2=self.I2, I2_Q=share,
            H2=self.H2, Q=self.Q, Q_df=self.Q_df, Q_pvalue=self.Q_pvalue,
        )  # fmt: skip

    @property
    def of_median(self) -> bool:
        """Whether the estimate, turned back, is the median of the true rates of studies, and not their mean."""
        return KINDS[self.spec.measure].is_median and self.tau2 > 0

    @property
    def median_rate(self) -> RateEstimate:
        """Rate of the median study with its interval; see `mean_rate`.

        Raises
        ------
        InputError
            The measure is no rate.
        """
        return median_rate(self.analysis or self)

    @property
    def mean_rate(self) -> RateEstimate:
        """Mean of the true rates over the population of studies, E g(mu + tau u), by quadrature.

        The interval is by the delta method on the logit scale, from the covariance of the pooled effect and tau; the
        median's is that of the fit. The two rates are one where tau2 = 0.

        Raises
        ------
        InputError
            The measure is no rate.
        """
        return mean_rate(self.analysis or self)

    def back(self, *, n: float | str | None = None) -> PoolResult:
        """Return the same record on the display scale: rates, ratios, correlations.

        Parameters
        ----------
        n : float or {"harmonic", "mean", "min", "max"}, optional
            Sample size of the Freeman-Tukey inverse; the harmonic mean of the totals by default. Only for PFT and IRFT.

        Returns
        -------
        PoolResult
            Estimate, limits, fitted values and BLUPs as rates or ratios; `se`, `blup_se` are NaN (limits are turned
            themselves, not by the delta method); tau2 and the weights stay on the analysis scale. Differences and
            effects as given (GEN) stay as they are.

        Raises
        ------
        OptionError
            `n` given for a measure that takes none, or not positive.
        """
        if self.scale == "display":
            return self
        if n is None and not KINDS[self.spec.measure].transformed and not bounded(self.spec.measure):
            return dataclasses.replace(self, scale="display", analysis=self)
        scale: Scale = display_scale(self.effects, n=n)
        point: dict[str, Any] = {name: scale.inverse_point(getattr(self, name)) for name in _POINTS}
        notes = self.notes + scale.notes + scale.cut(getattr(self, name) for name in _POINTS)
        return dataclasses.replace(
            self, **point, se=math.nan, scale="display", notes=notes, analysis=self,
            fitted=scale.inverse(self.fitted), blup=scale.inverse(self.blup), blup_se=np.full(self.k, math.nan),
        )  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row: the pooled effect with its interval and heterogeneity."""
        import pandas as pd

        return pd.DataFrame([{name: getattr(self, name) for name in self._columns()}])

    def studies(self, *, interval: str = "clopper-pearson") -> pd.DataFrame:
        """One row for each study: label, counts, yi, vi, interval, weight, fitted value, BLUP.

        Parameters
        ----------
        interval : str, default "clopper-pearson"
            Exact or score interval of the study's own rate: see `metaan.rate_interval`. Only for rates.

        Returns
        -------
        pandas.DataFrame
            Columns study, events, total, rate, rate_low, rate_high (rates only), yi, vi, ci_low, ci_high (normal
            interval of yi), weight (%), fitted, blup.
        """
        from metaan.models.tables import study_table

        return study_table(self, interval=interval)

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        numbers = plain({name: getattr(self, name) for name in self._columns()})
        spec = plain(dataclasses.asdict(self.spec))
        arrays = plain({name: getattr(self, name) for name in ("weights", "fitted", "blup", "blup_se")})
        return {
            **spec,
            **numbers,
            "study": list(self.effects.study),
            "yi": plain_value(self.effects.yi),
            "vi": plain_value(self.effects.vi),
            **arrays,
            "scale": self.scale,
            "converged": self.convergence.converged,
            "notes": [str(note) for note in self.notes],
        }

    def _columns(self) -> tuple[str, ...]:
        return _COLUMNS

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.spec.measure} of {self.k} studies, estimate {self.estimate:.4g}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GlmmResult(PoolResult):
    """Result of `metaan.glmm`: a pooled rate by exact likelihood.

    As `PoolResult`, and:

    Parameters
    ----------
    loglik : float
        Marginal log-likelihood at the maximum, with all binomial constants.
    aic, bic : float
        With two parameters; bic counts the k studies as observations.
    loglik_common : float
        Maximised log-likelihood of the model with tau2 = 0.
    lrt, lrt_pvalue : float
        2 (loglik - loglik_common) and its p-value under the 50:50 mixture of chi2(0) and chi2(1). With two variance
        components (UM.RS), loglik_common has tau2 alone at 0.
    cov : array of shape (2, 2)
        Covariance of (mu, tau) from the observed information; NaN where tau is on a bound.
    parameters : int
        Parameters behind aic, aicc and bic: two, and those of the studies' baselines.
    sigma2 : float
        Between-study variance of the baseline (UM.RS); NaN otherwise.
    """

    loglik: float
    aic: float
    bic: float
    loglik_common: float
    lrt: float
    lrt_pvalue: float
    cov: FloatArray
    parameters: int = 2
    sigma2: float = math.nan

    @property
    def aicc(self) -> float:
        """aic with the correction for small samples of Hurvich and Tsai, k studies; NaN where k is too small."""
        return aicc(self.aic, self.parameters, self.k)

    def studies(self, *, interval: str = "clopper-pearson") -> pd.DataFrame:
        """One row for each study, as `PoolResult.studies`, and the interval of its shrunken effect.

        Columns blup_low and blup_high: normal interval of the true effect at the level of the fit, estimate and tau2
        taken as known.
        """
        from metaan.models.tables import glmm_study_table

        return glmm_study_table(self, interval=interval)

    def residuals(self) -> pd.DataFrame:
        """Residuals of the counts under the fitted marginal distribution.

        Returns
        -------
        pandas.DataFrame
            One row for each study: study, events (observed; two arms: events of the treated arm), expected, residual
            (observed less expected), pearson (over the standard deviation of the count, between-study variance
            included) and quantile: the standard normal quantile of P(X < x) + P(X = x)/2, near standard normal if the
            model holds (the middle of what Dunn and Smyth draw at random).

        Raises
        ------
        OptionError
            The unconditional models of two arms (UM.FS, UM.RS), whose counts are in pairs.

        References
        ----------
        Dunn PK, Smyth GK (1996). J Comput Graph Stat 5:236-244. doi:10.1080/10618600.1996.10474708
        """
        from metaan.models.glmm_residuals import residuals

        return residuals(self if self.analysis is None else cast("GlmmResult", self.analysis))

    def _columns(self) -> tuple[str, ...]:
        extra = () if math.isnan(self.sigma2) else ("sigma2",)
        return (*_COLUMNS, *extra, "loglik", "aic", "aicc", "bic", "lrt", "lrt_pvalue")


_POINTS = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
_COLUMNS = (
    "estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "df", "pi_low", "pi_high",
    "k", "tau2", "tau", "I2", "H2", "Q", "Q_df", "Q_pvalue",
)  # fmt: skip


def aicc(aic: float, parameters: int, k: int) -> float:
    """AIC with the small-sample correction 2 p (p + 1)/(k - p - 1); NaN for k <= p + 1."""
    return aic + 2 * parameters * (parameters + 1) / (k - parameters - 1) if k > parameters + 1 else math.nan
