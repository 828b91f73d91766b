"""The result of the clustered binomial model, and how it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import expit, logit

from metaan.core.inference import quantile
from metaan.measures.kinds import KINDS
from metaan.models.rates import RateEstimate
from metaan.models.results import PoolResult
from metaan.models.text import number, plural, prediction, probability, reference
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClusteredResult"]

_LINES: Final = 20
_NODES: Final = np.linspace(-9, 9, 3601)
_WEIGHTS: Final = np.exp(-_NODES * _NODES / 2) / np.exp(-_NODES * _NODES / 2).sum()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClusteredResult(PoolResult):
    """Result of `metaan.clustered_binomial`: a pooled rate of lesions within patients within studies.

    As `PoolResult`, and:

    Parameters
    ----------
    rho : float
        Correlation of the response of two lesions of one patient (ICC); NaN where nothing tells it.
    rho_low, rho_high : float
        Profile-likelihood limits of rho at the level of the result; NaN where rho is assumed.
    rho_estimated : bool
        Whether rho comes from the data.
    loglik : float
        Marginal log-likelihood at the maximum, with all constants of the counts as given: those of patients where rows
        are patients. Comparable between fits of the same rows.
    aic, aicc, bic : float
        With mu, tau2 and, if estimated, rho; aicc and bic count the k studies as observations, aicc is NaN where these
        are too few.
    lrt, lrt_pvalue : float
        Likelihood-ratio statistic for tau2 = 0, its p-value under the 50:50 mixture of chi2(0) and chi2(1).
    lrt_rho, lrt_rho_pvalue : float
        The same for rho = 0; NaN where rho is assumed.
    cov : array of shape (3, 3)
        Covariance of (mu, tau, rho) from the observed information, on the logit scale; NaN for what is assumed, held
        or at an end of its range.
    patients, lesions_per_patient : array of shape (k,)
        Patients of each study, and the mean number of their lesions.
    """

    rho: float
    rho_low: float
    rho_high: float
    rho_estimated: bool
    loglik: float
    aic: float
    aicc: float
    bic: float
    lrt: float
    lrt_pvalue: float
    lrt_rho: float
    lrt_rho_pvalue: float
    cov: FloatArray
    patients: FloatArray
    lesions_per_patient: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cov", "patients", "lesions_per_patient"):
            getattr(self, name).setflags(write=False)

    @property
    def median_rate(self) -> RateEstimate:
        """Rate of the median study: the pooled logit turned into a rate.

        Returns
        -------
        RateEstimate
        """
        shown = self.back()
        limits = {"ci_low": shown.ci_low, "ci_high": shown.ci_high, "level": self.spec.level}
        return RateEstimate(estimate=shown.estimate, **limits, kind="median", method=_interval(self))

    @property
    def mean_rate(self) -> RateEstimate:
        """Mean of the true rates over the population of studies.

        Returns
        -------
        RateEstimate
            The interval is a Wald interval of the logit of the mean, by the delta method in (mu, tau), with the
            reference distribution of the result; NaN where tau is held. With tau2 = 0 mean and median are one.

        Notes
        -----
        E expit(mu + tau u) with u standard normal; derivatives E pq and E pqu.
        """
        if self.tau == 0:
            median = self.median_rate
            return RateEstimate(**{**vars(median), "kind": "mean"})
        mu = self.estimate if self.scale == "analysis" else float(logit(self.estimate))
        p = expit(mu + self.tau * _NODES)
        mean, spread = float(_WEIGHTS @ p), _WEIGHTS * p * (1 - p)
        slope = np.array([spread.sum(), spread @ _NODES]) / (mean * (1 - mean))
        half = float(quantile(self.df, self.spec.level)) * math.sqrt(slope @ self.cov[:2, :2] @ slope)
        low, high = (float(expit(logit(mean) + side * half)) for side in (-1, 1))
        method = f"Wald, delta method, {reference(self.spec.test)}"
        return RateEstimate(
            estimate=mean, ci_low=low, ci_high=high, level=self.spec.level, kind="mean", method=method
        )  # fmt: skip

    def studies(self, *, interval: str = "clopper-pearson") -> pd.DataFrame:
        """One row for each study, as `PoolResult.studies`, with patients and lesions_per_patient.

        Parameters
        ----------
        interval : str, default "clopper-pearson"
            Interval of the study's own rate, which takes its lesions for independent: see `metaan.rate_interval`.

        Returns
        -------
        pandas.DataFrame
        """
        table = super().studies(interval=interval)
        table.insert(3, "patients", self.patients.astype(np.int64))
        table.insert(4, "lesions_per_patient", self.lesions_per_patient)
        return table

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        patients = [int(n) for n in self.patients]
        means = [float(m) for m in self.lesions_per_patient]
        more = {"patients": patients, "lesions_per_patient": means, "rho_estimated": self.rho_estimated}
        return super().to_dict() | more

    def _columns(self) -> tuple[str, ...]:
        likelihood = ("loglik", "aic", "aicc", "bic", "lrt", "lrt_pvalue", "lrt_rho", "lrt_rho_pvalue")
        return (*super()._columns(), "rho", "rho_low", "rho_high", *likelihood)

    def __str__(self) -> str:
        lines = [*_head(self), *_rate(self), *_spread(self)]
        return "\n".join([*lines, *_notes(self.back(), _LINES - len(lines))])


def _interval(res: PoolResult) -> str:
    if res.spec.ci == "profile":
        return "profile likelihood"
    if res.spec.ci == "likelihood-ratio":
        return "likelihood ratio"
    if res.k == 1:
        return "normal distribution, one study"
    df = "" if math.isinf(res.df) else f", {res.df:.4g} df"
    return f"test={res.spec.test} ({reference(res.spec.test)}{df})"


def _head(res: ClusteredResult) -> list[str]:
    lesions = int((res.patients * res.lesions_per_patient).sum().round())
    counted = f"{plural(lesions, 'lesion')} of {plural(int(res.patients.sum()), 'patient')}"
    shown = ", shown as rates" if res.scale == "display" else ""
    nodes = res.convergence.nodes
    how = f", marginal likelihood by {nodes} trapezoidal nodes a study" if nodes else ""
    return [
        f"Clustered binomial model of {plural(res.k, 'study')}: {counted}",
        f"Measure: {res.spec.measure} ({KINDS[res.spec.measure].label}){shown}",
        f"Beta-binomial within studies, normal between; maximum likelihood{how}; interval: {_interval(res)}",
        "",
    ]


def _rate(res: ClusteredResult) -> list[str]:
    percent, shown, lines = f"{100 * res.spec.level:g}%", res.back(), []
    if res.scale == "analysis":
        ends = f"{number(res.ci_low)} to {number(res.ci_high)}"
        lines.append(f"Estimate    {number(res.estimate)}, {percent} CI {ends} (SE {number(res.se)})")
    median = " (of the median study)" if res.tau2 > 0 else ""
    ends = f"{number(shown.ci_low)} to {number(shown.ci_high)}"
    lines.append(f"Rate        {number(shown.estimate)}, {percent} CI {ends}{median}")
    if not math.isnan(res.pi_low):
        ends = f"{number(shown.pi_low)} to {number(shown.pi_high)}"
        lines.append(f"Prediction  {ends} ({percent}, true rate of a new study; {prediction(res.spec)})")
    return lines


def _spread(res: ClusteredResult) -> list[str]:
    """Variation between studies and between patients; nothing where the data say nothing about it."""
    codes = {note.code for note in res.notes}
    if "separated" in codes:
        return []
    lines = []
    if not codes & {"one-study", "tau2-unbounded"}:
        i2 = f"I2 {res.I2:.1f}%, H2 {number(res.H2)} (against empirical logits and design effects)"
        test = f"LR {number(res.lrt)}, p {probability(res.lrt_pvalue)} for tau2 = 0"
        lines.append(f"Spread      tau2 {number(res.tau2)}, tau {number(res.tau)}, {i2}; {test} (boundary mixture)")
    if res.rho_estimated:
        ends = f"{100 * res.spec.level:g}% profile CI {number(res.rho_low)} to {number(res.rho_high)}"
        test = f"LR {number(res.lrt_rho)}, p {probability(res.lrt_rho_pvalue)} for ICC = 0 (boundary mixture)"
        lines.append(f"ICC         {number(res.rho)}, {ends}; {test}")
    else:
        lines.append(f"ICC         {number(res.rho)}, not estimated")
    return [*lines, f"Likelihood  log L {res.loglik:.3f}, AIC {res.aic:.2f}"]


def _notes(res: PoolResult, room: int) -> list[str]:
    """Every note on a line of its own; the last lines are joined when there are more notes than room."""
    texts = [f"- {note}" for note in res.notes]
    if len(texts) + 1 > room:
        kept = max(room - 2, 1)
        texts = [*texts[:kept], " ".join(texts[kept:])]
    return ["Notes", *texts] if texts else []
