"""A rate with its interval, and which rate it is: that of the median study, or the mean over studies."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RateEstimate"]


@dataclass(frozen=True, kw_only=True)
class RateEstimate:
    """A rate and its confidence interval.

    Parameters
    ----------
    estimate, ci_low, ci_high : float
        Proportions.
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
