"""Which studies lie where the others do not expect them, and the result without these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from metaan.analysis.fit_again import fit_again
from metaan.analysis.influence_models import without_studies
from metaan.analysis.influence_terms import check_terms, without_estimates, without_rows
from metaan.core.inference import log_pvalue
from metaan.core.many import BoolArray
from metaan.errors import ConvergenceError, InputError, Note, OptionError, listed
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RULE", "outliers", "residuals_without"]

RULE: Final = Option(
    "rule",
    {
        "holm": "p-value of the deleted residual, adjusted by Holm 1979, below 1 - level",
        "bonferroni": "the same, adjusted by Bonferroni",
        "unadjusted": "the same without adjustment: one study in twenty is flagged if the model holds",
        "pi": "observed effect outside the prediction interval",
        "ci": "the study's own interval does not overlap that of the pooled effect",
    },
    "holm",
)
_SAYS: Final = {
    "holm": "flags any study at all with a chance near {alpha:.3g} if the model holds, and misses moderate outliers",
    "bonferroni": "flags any study at all with a chance near {alpha:.3g} if the model holds, and no more than Holm's",
    "unadjusted": "flags some {expected:.2g} of these studies by chance if the model holds",
    "pi": "compares observed effects with limits for true ones: small studies lie outside by sampling error alone",
    "ci": "has no known error rate: the larger the studies and their heterogeneity, the more of them it flags",
}
"""What a rule can and cannot say."""


class Residuals(NamedTuple):
    """Deleted residuals of k studies, and the decisions on the way."""

    value: FloatArray
    df: float
    """Of their reference distribution; inf: normal."""
    notes: tuple[Note, ...]


def outliers(res: PoolResult | RegressResult, *, rule: str = "holm") -> pd.DataFrame:
    """Outlying studies by one of several rules, all of them shown, and the result without the flagged ones.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult, RegressResult or MultilevelResult
        As in `metaan.influence`.
    rule : {"holm", "bonferroni", "unadjusted", "pi", "ci"}
        What flags a study (column `outlier`): the p-value of its deleted residual, adjusted for the number of studies
        or not, below 1 - level of the result; its observed effect outside the prediction interval; its own confidence
        interval apart from that of the pooled effect.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, rstudent (`metaan.influence`), pvalue, p_bonferroni, p_holm, outside_pi, apart
        and outlier. ``attrs["without"]`` is the result of the same options without the flagged studies; None where
        none is flagged, or where the others cannot be fitted, which a note says. ``attrs["notes"]`` says what the rule
        can and cannot tell.

    Raises
    ------
    InputError, OptionError
        As `metaan.influence`; an unknown rule; ``rule="pi"`` of a result without a prediction interval.

    Notes
    -----
    Deleted residuals are compared with the normal distribution; where the result has t tests, with t of one degree of
    freedom less than the fit (of its coefficients the fewest): k - 2 for `pool`, exact for the Hartung-Knapp test where
    tau2 is known. Those of counts are normal scores. An outlier by chance is what the adjustments for k studies guard
    against; masking, two outliers that hide each other, is not found by leaving out one at a time.

    `outside_pi` is wide of its nominal level by intent: the interval is for true effects, and observed ones vary more.
    `apart` compares two intervals, y_i with its normal interval at the level of the result, as is often done by hand
    (Harrer et al. 2021). With moderators both are those of the study's expected effect.

    That a study is outlying is a reason to read it again, not to leave it out: the result without the flagged studies
    shows how much hangs on them, and its interval is too short, since extreme studies were taken out.

    References
    ----------
    Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125. doi:10.1002/jrsm.11
    Harrer M, Cuijpers P, Furukawa TA, Ebert DD (2021). Doing Meta-Analysis with R, section 5.4. CRC Press.

    Examples
    --------
    >>> from metaan import effects, outliers, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> table = outliers(pool(eff, method="DL", test="z"))
    >>> table[["study", "rstudent", "p_holm", "apart", "outlier"]].round(3)
       study  rstudent  p_holm  apart  outlier
    0  Adams    -0.712     1.0  False    False
    1  Baker    -0.245     1.0  False    False
    2  Clark    -0.448     1.0  False    False
    3  Davis     7.553     0.0  False     True
    >>> round(table.attrs["without"].estimate, 3)
    0.175
    """
    import pandas as pd

    RULE.check(rule)
    found = residuals_without(res, "outliers")
    base = _analysis(res)
    outside, apart, known = _intervals(base)
    if rule == "pi" and not known:
        raise OptionError("rule='pi' needs a prediction interval, which this result does not have: see its notes.")
    p = np.exp(log_pvalue(found.value, found.df)) if found.df > 0 else np.full(found.value.shape, np.nan)
    bonferroni, holm = np.minimum(np.count_nonzero(~np.isnan(p)) * p, 1.0), _holm(p)
    alpha = 1 - res.spec.level
    with np.errstate(invalid="ignore"):
        flag = {
            "holm": holm < alpha, "bonferroni": bonferroni < alpha, "unadjusted": p < alpha, "pi": outside, "ci": apart,
        }[rule]  # fmt: skip
    frame = pd.DataFrame(
        {
            "study": list(res.effects.study), "rstudent": found.value, "pvalue": p, "p_bonferroni": bonferroni,
            "p_holm": holm, "outside_pi": outside, "apart": apart, "outlier": flag,
        }
    )  # fmt: skip
    without, notes = _without(res, flag)
    text = _SAYS[rule].format(alpha=alpha, expected=alpha * res.k)
    frame.attrs["notes"] = (
        Note("rule", f"Rule {rule!r} {text}."), *_unknown(found, known), *notes, *found.notes,
    )  # fmt: skip
    frame.attrs["without"] = without
    return frame


def residuals_without(res: PoolResult | RegressResult, name: str) -> Residuals:
    """Deleted residuals of any result that `metaan.influence` takes."""
    if not isinstance(res, RegressResult):
        made = without_studies(res, name)
        exact = res.spec.model in ("glmm", "beta-binomial")
        return Residuals(made.diagnostics.rstudent, np.inf if exact else res.df - 1, made.notes)
    check_terms(res, name)
    df = float(res.df.min()) - 1
    if isinstance(res, MultilevelResult):
        nested = without_estimates(res, np.eye(res.k, dtype=bool))
        return Residuals(nested.rstudent, df, _undefined(res, ~nested.fits.known))
    linear = without_rows(res)
    return Residuals(linear.diagnostics.rstudent, df, _undefined(res, linear.flags["undefined"]))


def _undefined(res: RegressResult, gone: BoolArray) -> tuple[Note, ...]:
    names = tuple(name for name, yes in zip(res.effects.study, gone, strict=True) if yes)
    if not names:
        return ()
    return (Note("undefined", f"No residual, since nothing can be estimated without it: {listed(names)}.", names),)


def _analysis(res: PoolResult | RegressResult) -> PoolResult | RegressResult:
    return res if isinstance(res, RegressResult) else res.analysis or res


def _holm(p: FloatArray) -> FloatArray:
    """P-values adjusted by Holm 1979; statsmodels' collects garbage at each call, a hundred times the rest of this."""
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    out = np.full(p.shape, np.nan)
    out[order] = np.minimum(np.maximum.accumulate(np.arange(order.size, 0, -1) * p[order]), 1.0)
    return out


def _intervals(res: PoolResult | RegressResult) -> tuple[BoolArray, BoolArray, bool]:
    """Whether each effect lies outside the prediction interval, and its interval apart; whether there is the former."""
    limits = res.predict() if isinstance(res, RegressResult) else res
    names = ("ci_low", "ci_high", "pi_low", "pi_high")
    at: dict[str, Any] = {name: np.asarray(getattr(limits, name)) for name in names}
    y, half = res.effects.yi, float(ndtri((1 + res.spec.level) / 2)) * np.sqrt(res.effects.vi)
    with np.errstate(invalid="ignore"):
        outside = (y < at["pi_low"]) | (y > at["pi_high"])
        apart = (y + half < at["ci_low"]) | (y - half > at["ci_high"])
    return outside, apart, not np.isnan(at["pi_low"]).all()


def _unknown(found: Residuals, known: bool) -> list[Note]:
    notes = []
    if not found.df > 0:
        notes.append(Note("no-df", "The t distribution of the residuals has no degrees of freedom left: no p-values."))
    if not known:
        notes.append(Note("no-pi", "The result has no prediction interval: outside_pi is False throughout."))
    return notes


def _without(res: PoolResult | RegressResult, flag: BoolArray) -> tuple[Any, tuple[Note, ...]]:
    """The result without the flagged studies, and what to say of it."""
    names = tuple(name for name, yes in zip(res.effects.study, flag, strict=True) if yes)
    if not names:
        return None, ()
    if flag.all():
        return None, (Note("no-refit", "Every study is flagged: nothing is left to fit.", names),)
    try:
        made = fit_again(res, ~flag)
    except (InputError, ConvergenceError) as error:
        return None, (Note("no-refit", f"Without {listed(names)} there is no fit: {error}", names),)
    return made, (Note("left-out", f"attrs['without'] is the result without {listed(names)}.", names),)
