"""p-uniform*: effect and heterogeneity from effects conditional on whether they are significant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import chdtrc

from metaan.analysis.nulls import check_null, inherited, significance_level, tested
from metaan.core.inference import pieces
from metaan.core.many import BoolArray
from metaan.core.p_curve import critical
from metaan.core.p_uniform import PUniformFit, Truncated, fit_p_uniform, log_likelihood, profile_limits
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import Data
from metaan.errors import DataError, Note
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural, probability
from metaan.validate import FloatArray, Frozen, Option, check_level

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PUniformResult", "p_uniform_star"]

SIDE: Final = Option(
    "alternative",
    {"greater": "significant effects lie above 0", "less": "significant effects lie below 0"},
    "greater",
)  # fmt: skip
_FEW: Final = 10
_NUMBERS: Final = (
    "estimate", "ci_low", "ci_high", "LRT", "LRT_pvalue", "tau2", "tau2_low", "tau2_high", "LRT_tau2",
    "LRT_tau2_pvalue", "LRT_bias", "LRT_bias_df", "LRT_bias_pvalue", "unadjusted", "tau2_unadjusted", "loglik", "k",
    "significant",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PUniformResult(Frozen):
    """Result of `metaan.p_uniform_star`, analysis scale.

    Parameters
    ----------
    estimate, ci_low, ci_high : float
        Mean of the true effects and its profile-likelihood interval. Infinite where the likelihood has no maximum.
    LRT, LRT_pvalue : float
        Likelihood-ratio test of a mean of 0, chi2 with 1 degree of freedom.
    tau2, tau2_low, tau2_high : float
        Between-study variance and its profile-likelihood interval.
    LRT_tau2, LRT_tau2_pvalue : float
        Test of tau2 = 0, by the mixture of chi2(0) and chi2(1).
    LRT_bias, LRT_bias_df, LRT_bias_pvalue : float
        Test of publication bias: whether the conditional likelihood is lower at the unadjusted mean and tau2.
    unadjusted, tau2_unadjusted : float
        Random-effects mean and tau2 of Paule and Mandel.
    loglik : float
        Conditional log-likelihood at the maximum.
    k, significant : int
        Studies, and those that are significant on the side of `alternative`.
    cut : array of shape (k,)
        Critical values of the effects.
    alternative : {"greater", "less"}
    alpha, level : float
    measure : str
    effects : Effects
    notes : tuple of Note
    """

    estimate: float
    ci_low: float
    ci_high: float
    LRT: float
    LRT_pvalue: float
    tau2: float
    tau2_low: float
    tau2_high: float
    LRT_tau2: float
    LRT_tau2_pvalue: float
    LRT_bias: float
    LRT_bias_df: int
    LRT_bias_pvalue: float
    unadjusted: float
    tau2_unadjusted: float
    loglik: float
    k: int
    significant: int
    cut: FloatArray
    alternative: str
    alpha: float
    level: float
    measure: str
    effects: Effects
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    @property
    def tau(self) -> float:
        """Between-study standard deviation."""
        return math.sqrt(self.tau2)

    def to_frame(self) -> pd.DataFrame:
        """One row of numbers, analysis scale."""
        import pandas as pd

        frame = pd.DataFrame([{name: getattr(self, name) for name in _NUMBERS}])
        frame.attrs["notes"] = self.notes
        return frame

    def studies(self) -> pd.DataFrame:
        """One row for each study: study, yi, vi, cut (critical value of yi) and significant."""
        import pandas as pd

        eff = self.effects
        beyond = eff.yi < self.cut if self.alternative == "less" else eff.yi > self.cut
        columns = {"study": list(eff.study), "yi": eff.yi, "vi": eff.vi, "cut": self.cut, "significant": beyond}
        frame = pd.DataFrame(columns)
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers, lists and text: fit for JSON (NaN and infinity become None)."""
        names = (*_NUMBERS, "tau", "alternative", "alpha", "level", "measure", "cut")
        more = {"study": list(self.effects.study), "notes": [str(note) for note in self.notes]}
        return plain({name: getattr(self, name) for name in names}) | more

    def __str__(self) -> str:
        percent = f"{100 * self.level:g}%"
        ends = f"{percent} CI {number(self.ci_low)} to {number(self.ci_high)}"
        of_tau2 = f"{percent} CI {number(self.tau2_low)} to {number(self.tau2_high)}"
        lines = [
            f"p-uniform* of {plural(self.k, 'study')}, {self.significant} significant (van Aert & van Assen)",
            f"Measure: {self.measure} ({KINDS[self.measure].label})",
            f"p < {self.alpha:g} two-sided, {SIDE.choices[self.alternative]}; maximum likelihood, intervals: profile "
            "likelihood",
            "",
            f"Estimate    {number(self.estimate)}, {ends}; test of 0: LR {number(self.LRT)}, p "
            f"{probability(self.LRT_pvalue)}",
            *self._shown(percent),
            f"Spread      tau2 {number(self.tau2)}, {of_tau2}; test of tau2 = 0: LR {number(self.LRT_tau2)}, p "
            f"{probability(self.LRT_tau2_pvalue)} (boundary mixture)",
            f"Unadjusted  {number(self.unadjusted)}, tau2 {number(self.tau2_unadjusted)} (random effects, PM)",
            f"Bias        LR {number(self.LRT_bias)}, {self.LRT_bias_df} df, p {probability(self.LRT_bias_pvalue)}",
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _shown(self, percent: str) -> list[str]:
        """The estimate on the display scale, where that is another one."""
        kind = KINDS[self.measure]
        if not kind.transformed:
            return []
        scale = display_scale(self.effects)
        with np.errstate(over="ignore"):
            shown = [scale.inverse_point(value) for value in (self.estimate, self.ci_low, self.ci_high)]
        estimate, low, high = (number(float(value)) for value in shown)
        return [f"{kind.shown:<11} {estimate}, {percent} CI {low} to {high}"]

    def __repr__(self) -> str:
        return f"<PUniformResult: {self.k} studies, estimate {self.unadjusted:.4g} -> {self.estimate:.4g}>"


def p_uniform_star(
    res: PoolResult | Effects, *, alternative: str | None = None, alpha: float = 0.05, level: float = 0.95
) -> PUniformResult:
    """Effect and heterogeneity corrected for publication bias by p-uniform* (van Aert & van Assen).

    Parameters
    ----------
    res : PoolResult, GlmmResult, StratifiedResult or Effects
        Of a measure of which 0 is no effect; at least two studies. Of a result the effects alone are used.
    alternative : {"greater", "less"}, optional
        Side on which a significant effect is more likely to be published; by default that of the unadjusted mean,
        which is noted.
    alpha : float, default 0.05
        Two-sided level of significance of the studies.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).

    Returns
    -------
    PUniformResult

    Raises
    ------
    InputError
        Neither a result nor effects.
    OptionError
        Rates of one arm, another model, an unknown option.
    DataError
        Fewer than two studies, or studies of one kind that all stand exactly at their critical values.

    Notes
    -----
    Study i is significant if y_i lies beyond c_i = z_{1 - alpha/2} sqrt(v_i). Significant studies may be published with
    one probability and the others with another; within each group all have the same. Given the group, the density of
    y_i is that of N(mu, v_i + tau2) over the probability of being in it, Phi((mu - c_i)/sqrt(v_i + tau2)) or its
    complement. mu and tau2 maximise the product of these: its logarithm is strictly concave in mu for every tau2, and
    of the local maxima in tau2 that a grid shows the highest is taken.

    The test of bias is 2 (l(mu, tau2) - l(mu_PM, tau2_PM)) on two degrees of freedom, l the conditional log-likelihood
    and PM the random-effects estimates of Paule and Mandel. R's puniform prints half the p-value of the test of 0
    if the estimate is on the side of the alternative.

    It is a step selection model (`metaan.selection_model`) whose weights cancel, by conditioning on which studies are
    significant, at the price of what their number says. If all studies are significant the likelihood can rise
    towards a mean of minus infinity with tau2 growing along, on which the effects beyond their critical values are
    exponential: the estimate is then infinite, the limits of the intervals on the other side are not.

    References
    ----------
    van Aert RCM, van Assen MALM (2021). Correcting for publication bias in a meta-analysis with the p-uniform* method.
    MetaArXiv. doi:10.31222/osf.io/zqjr9

    Examples
    --------
    >>> from metaan import effects, p_uniform_star
    >>> eff = effects([0.6, 0.5, 0.7, 0.3, 0.4, 0.9, 0.1, 0.2, 0.8, 0.5], sei=[0.2, 0.2, 0.3, 0.1, 0.3, 0.4, 0.1, 0.2,
    ...               0.3, 0.2])
    >>> made = p_uniform_star(eff, alternative="greater")
    >>> round(made.unadjusted, 3), round(made.estimate, 3), round(made.LRT_bias_pvalue, 3)
    (0.391, 0.264, 0.338)
    """
    eff = res if isinstance(res, Effects) else tested(res, "p_uniform_star").effects
    check_null(eff.measure, "p_uniform_star")
    alpha, level = significance_level(alpha, "alpha"), check_level(level)
    if eff.k < 2:
        raise DataError("p_uniform_star needs at least two studies; there is one.")
    one = Data.of_one(eff.yi, eff.vi).column()
    tau2 = ESTIMATORS["PM"](one, None).tau2
    plain_mean, plain_tau2 = float(pieces(one, tau2).mu[0]), float(tau2[0])
    side = SIDE.check(alternative) if alternative is not None else "less" if plain_mean < 0 else "greater"
    sign = -1.0 if side == "less" else 1.0
    cut = critical(alpha) * np.sqrt(eff.vi)
    beyond = sign * eff.yi > cut
    of = Truncated(sign * eff.yi, eff.vi, cut, np.where(beyond, 1.0, -1.0))
    fit = fit_p_uniform(of)
    if math.isinf(fit.loglik):
        raise DataError(
            "p_uniform_star: every effect stands exactly at its critical value, which leaves no likelihood."
        )
    low, high, tau2_low, tau2_high = profile_limits(of, fit, level)
    low, high = (low, high) if sign > 0 else (-high, -low)
    return PUniformResult(
        estimate=sign * fit.mean, ci_low=low, ci_high=high, tau2=fit.tau2, tau2_low=tau2_low, tau2_high=tau2_high,
        **_tests(fit, log_likelihood(of, sign * plain_mean, plain_tau2)), unadjusted=plain_mean,
        tau2_unadjusted=plain_tau2, loglik=fit.loglik, k=eff.k, significant=int(beyond.sum()), cut=sign * cut,
        alternative=side, alpha=alpha, level=level, measure=eff.measure, effects=eff,
        notes=(*_notes(fit, beyond, side, alternative is None), *inherited(eff)),
    )  # fmt: skip


def _tests(fit: PUniformFit, unadjusted: float) -> dict[str, Any]:
    """Likelihood-ratio tests of the mean, of tau2 and of bias."""
    of_mean, of_tau2, of_bias = (
        max(2 * (fit.loglik - lower), 0.0) for lower in (fit.loglik_null, fit.loglik_zero, unadjusted)
    )
    return {
        "LRT": of_mean, "LRT_pvalue": float(chdtrc(1, of_mean)), "LRT_tau2": of_tau2,
        "LRT_tau2_pvalue": 1.0 if fit.tau2 == 0 else float(chdtrc(1, of_tau2)) / 2, "LRT_bias": of_bias,
        "LRT_bias_df": 2, "LRT_bias_pvalue": float(chdtrc(2, of_bias)),
    }  # fmt: skip


def _notes(fit: PUniformFit, beyond: BoolArray, side: str, chosen: bool) -> tuple[Note, ...]:
    notes, few, where = [], int(beyond.sum()), "below" if side == "less" else "above"
    if chosen:
        text = f"Significant effects {where} 0 are taken as the favoured ones, by the"
        notes.append(Note("side-of-estimate", f"{text} side of the unadjusted mean."))
    if math.isinf(fit.mean):
        text = "The likelihood has no maximum: it rises as the mean goes to infinity and tau2 with it. The distances of"
        after = "the effects from their critical values vary as much as in an exponential distribution, or more."
        notes.append(Note("no-maximum", f"{text} {after}"))
    elif fit.tau2 == 0:
        notes.append(Note("tau2-zero", "tau2 is estimated as 0: the effects do not vary beyond sampling error."))
    if few in (0, beyond.size):
        text = "All studies are significant" if few else f"No study is significant {where} 0"
        text = f"{text}: mean and tau2 rest on the shape of one tail of the distribution, and are hardly informed."
        notes.append(Note("one-kind", text))
    elif beyond.size < _FEW:
        text = f"{plural(beyond.size, 'study')}: with fewer than {_FEW} the likelihood-ratio tests are rough."
        notes.append(Note("few-studies", text))
    return tuple(notes)
