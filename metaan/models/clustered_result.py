"""The result of the clustered binomial model, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.measures.kinds import KINDS
from metaan.models.results import PoolResult
from metaan.models.text import LINES, effect_lines, interval_words, note_lines, number, plural, probability
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClusteredResult"]


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
        shown = self.back()
        lines = [*_head(self), *effect_lines(self, shown), *_spread(self)]
        return "\n".join([*lines, *note_lines(shown.notes, LINES - len(lines))])


def _head(res: ClusteredResult) -> list[str]:
    lesions = int((res.patients * res.lesions_per_patient).sum().round())
    counted = f"{plural(lesions, 'lesion')} of {plural(int(res.patients.sum()), 'patient')}"
    shown = ", shown as rates" if res.scale == "display" else ""
    nodes = res.convergence.nodes
    how = f", marginal likelihood by {nodes} trapezoidal nodes a study" if nodes else ""
    return [
        f"Clustered binomial model of {plural(res.k, 'study')}: {counted}",
        f"Measure: {res.spec.measure} ({KINDS[res.spec.measure].label}){shown}",
        f"Beta-binomial within studies, normal between; maximum likelihood{how}; interval: {interval_words(res)}",
        "",
    ]


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
