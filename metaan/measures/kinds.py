"""What each effect size is called, what a reader is shown of it and where no effect lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from metaan.validate import Option

__all__ = ["KINDS", "MEASURES", "READY_MADE", "Kind"]


@dataclass(frozen=True)
class Kind:
    """One measure of effect.

    Parameters
    ----------
    label : str
        What stands on the analysis scale.
    scale : {"rate", "incidence", "ratio", "difference"}
        What is shown to a reader: a rate, events per unit of time, a ratio (log axis), or the effect as it stands.
    shown : str
        Name of the number on the display scale.
    null : float or None
        Where no effect lies on the display scale; None where there is no such point.
    transformed : bool
        Whether the display scale differs from the analysis scale.
    """

    label: str
    scale: str
    shown: str
    null: float | None = None
    transformed: bool = True

    @property
    def is_median(self) -> bool:
        """Whether a back-transformed mean is the median of the studies' values."""
        return self.transformed and self.scale in ("rate", "incidence")


def _difference(label: str, shown: str, null: float | None = 0.0) -> Kind:
    return Kind(label, "difference", shown, null, transformed=False)


def _ratio(label: str, shown: str) -> Kind:
    return Kind(label, "ratio", shown, 1.0)


KINDS: Final[dict[str, Kind]] = {
    "PR": Kind("raw proportion", "rate", "Rate", transformed=False),
    "PLO": Kind("logit of a proportion", "rate", "Rate"),
    "PLN": Kind("log of a proportion", "rate", "Rate"),
    "PROBIT": Kind("probit of a proportion", "rate", "Rate"),
    "CLOGLOG": Kind("complementary log-log of a proportion", "rate", "Rate"),
    "PAS": Kind("arcsine square root of a proportion", "rate", "Rate"),
    "PFT": Kind("Freeman-Tukey double arcsine of a proportion", "rate", "Rate"),
    "RR": _ratio("log risk ratio", "Risk ratio"),
    "OR": _ratio("log odds ratio", "Odds ratio"),
    "PETO": _ratio("log odds ratio by Peto's one-step method", "Odds ratio"),
    "RD": _difference("risk difference", "Risk difference"),
    "AS": _difference("difference of arcsine square roots of the risks", "Arcsine difference"),
    "HR": _ratio("log hazard ratio", "Hazard ratio"),
    "MD": _difference("mean difference", "Mean difference"),
    "SMD": _difference("standardised mean difference", "Standardised difference"),
    "SMDH": _difference("standardised mean difference, unequal variances", "Standardised difference"),
    "ROM": _ratio("log ratio of means", "Ratio of means"),
    "MN": _difference("mean", "Mean", None),
    "MC": _difference("mean change", "Mean change"),
    "SMCC": _difference("standardised mean change, by the SD of the change", "Standardised change"),
    "SMCR": _difference("standardised mean change, by the SD before", "Standardised change"),
    "VR": _ratio("log ratio of standard deviations", "Variability ratio"),
    "CVR": _ratio("log ratio of coefficients of variation", "Variation ratio"),
    "COR": _difference("correlation", "Correlation"),
    "UCOR": _difference("correlation, corrected for bias", "Correlation"),
    "ZCOR": Kind("Fisher's z of a correlation", "difference", "Correlation", 0.0),
    "IR": Kind("incidence rate", "incidence", "Incidence rate", transformed=False),
    "IRLN": Kind("log incidence rate", "incidence", "Incidence rate"),
    "IRS": Kind("square root of an incidence rate", "incidence", "Incidence rate"),
    "IRFT": Kind("Freeman-Tukey square root of an incidence rate", "incidence", "Incidence rate"),
    "IRR": _ratio("log incidence rate ratio", "Incidence rate ratio"),
    "IRD": _difference("incidence rate difference", "Rate difference"),
    "IRSD": _difference("difference of square roots of incidence rates", "Root rate difference"),
    "GEN": _difference("effect size as given", "Effect size"),
}
_LABELS: Final = {code: kind.label for code, kind in KINDS.items()}

_NOT_COMPUTED: Final = ("HR", "GEN", "PROBIT", "CLOGLOG")
MEASURES: Final = Option("measure", {code: text for code, text in _LABELS.items() if code not in _NOT_COMPUTED}, "PLO")
"""What `metaan.effect_size` computes."""
READY_MADE: Final = Option(
    "measure", {code: text for code, text in _LABELS.items() if code not in ("PFT", "IRFT")}, "GEN"
)
"""What `metaan.effects` takes ready made: the two others need sample sizes to be turned back."""
