"""Funnel-plot asymmetry for any effect size: Egger's regression and its variants, Begg's rank correlation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from metaan.analysis.bias_data import LINKED, Studied, sizes, studied
from metaan.analysis.bias_likelihood import likelihood_test
from metaan.analysis.bias_regression import DISPERSION, MODEL, Asked, How, check_how, named, regression_test
from metaan.analysis.test_result import TestResult
from metaan.core.kendall import EXACT, kendall
from metaan.errors import DataError, Note, OptionError, shown
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray, Option

__all__ = ["PREDICTOR", "begg", "begg_of", "egger", "egger_of"]

PREDICTOR: Final = Option(
    "predictor",
    {
        "sei": "the standard error",
        "vi": "the sampling variance",
        "ni": "the sample size",
        "ninv": "1/n",
        "sqrtni": "the square root of the sample size",
        "sqrtninv": "1/sqrt(n)",
    },
    "sei",
)
_OF_SIZE: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "ni": lambda n: n, "ninv": lambda n: 1 / n, "sqrtni": np.sqrt, "sqrtninv": lambda n: 1 / np.sqrt(n),
}  # fmt: skip
_BETTER: Final = {
    "OR": "harbord, peters or thompson_arcsine",
    "RR": "harbord, peters or thompson_arcsine",
    "RD": "thompson_arcsine",
    "IRR": "effects of measure IRSD",
    "IRD": "effects of measure IRSD",
    "SMD": "pustejovsky_rodgers",
    "SMDH": "pustejovsky_rodgers with effects of measure SMD",
    "SMCC": "predictor='sqrtninv'",
    "SMCR": "predictor='sqrtninv'",
    "ROM": "predictor='sqrtninv'",
    "CVR": "predictor='sqrtninv'",
    "COR": "effects of measure ZCOR",
    "UCOR": "effects of measure ZCOR",
}
"""Measures whose standard error depends on the effect, and what to use instead."""
_STABLE: Final = ("PAS", "PFT", "IRS", "IRFT")
_COUNTED: Final = ("glmm", "beta-binomial")
_ALMOST_ALL: Final = 0.999  # of the weight


def egger(
    res: PoolResult | RegressResult,
    *,
    model: str = "lm",
    predictor: str = "sei",
    ni: Any = None,
    force: bool = False,
) -> TestResult:
    """Egger's regression test of funnel-plot asymmetry, and its variants.

    Parameters
    ----------
    res : PoolResult or RegressResult
        From `metaan.pool`, `metaan.regress` (whose moderators stay in the regression), `metaan.mantel_haenszel`,
        `metaan.peto`, `metaan.glmm` or `metaan.beta_binomial`.
    model : {"lm", "rma"}
        Weighted regression with a multiplicative dispersion (Egger's own), or the model of the result with the
        predictor as a moderator: its estimator of tau2 and its kind of test; for glmm and beta_binomial their
        likelihood.
    predictor : {"sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"}
        Standard error, variance, sample size n, 1/n, sqrt(n) or 1/sqrt(n).
    ni : column name or array of shape (k,), optional
        Sample sizes > 0, where the effects were not made from them.
    force : bool, default False
        Run the test on rates of one arm too, where it is not valid; a note says so.

    Returns
    -------
    TestResult
        `values` has the slope and its standard error; without moderators, and but for "ni" and "sqrtni", the limit
        estimate (the effect in a study without sampling error, on the analysis scale) with its interval at the level
        of the result; for ``model="rma"`` tau2.

    Raises
    ------
    InputError
        No result; sample sizes that are not known.
    OptionError
        Unknown option; rates of one arm on a scale where estimate and standard error are linked (PR, PLO, PLN, PROBIT,
        CLOGLOG, IR, IRLN), without ``force=True``; a robust, multilevel or other result; GENQ with ``model="rma"``.
    DataError
        Fewer than three studies; a predictor that is the same in every study; effects exactly on a line.

    Notes
    -----
    y_i = a + b x_i + e_i with weights 1/v_i ("lm": variance s^2 v_i, t with k - 2 degrees of freedom) or 1/(v_i + tau2)
    ("rma"). b is tested; a is the limit estimate. With the standard error as predictor "lm" is the test of Egger et
    al., whose intercept is b here, and a the estimate of PET; with the variance a is that of PEESE. All variants agree
    with metafor's ``regtest``. For glmm and beta_binomial "rma" is the Wald test of the predictor in their likelihood.

    The standard error of a logit, log or raw rate is a function of the rate: the test then finds an association where
    nothing is missing (docs/small_study.md: up to 100 % false alarms with 30 studies). The double arcsine breaks the
    link; the single one does so only where studies have many events. For OR, RR, SMD and other effects that share a
    part of their standard error a note names a better test; a predictor of size does not help ratios, whose weights are
    linked as well. A study far larger than the others makes "lm" reject far too often where true effects differ, which
    is noted (docs/small_study.md): then take "rma".

    A small p-value says that small studies differ: selective publication is one reason, heterogeneity another.

    References
    ----------
    Egger M, Davey Smith G, Schneider M, Minder C (1997). BMJ 315:629-634. doi:10.1136/bmj.315.7109.629
    Sterne JAC, Egger M (2005). Publication Bias in Meta-Analysis, ch. 6. Wiley.
    Stanley TD, Doucouliagos H (2014). Res Synth Methods 5:60-78. doi:10.1002/jrsm.1095

    Examples
    --------
    >>> from metaan import effects, egger, pool
    >>> eff = effects([0.1, 0.3, 0.35, 0.6, 0.8], [0.01, 0.02, 0.04, 0.09, 0.12])
    >>> found = egger(pool(eff))
    >>> round(found.statistic, 3), round(found.pvalue, 4), round(found.values["limit"], 3)
    (7.252, 0.0054, -0.142)
    """
    return egger_of(studied(res, "egger"), model=model, predictor=predictor, ni=ni, force=force)


def egger_of(
    of: Studied, *, model: str = "lm", predictor: str = "sei", ni: Any = None, force: bool = False
) -> TestResult:
    """`egger` of studies."""
    MODEL.check(model)
    PREDICTOR.check(predictor)
    if model == "rma" and of.spec.model in _COUNTED:
        return _of_counts(of, predictor, ni)
    notes = _link_notes(of.eff.measure, "egger", force)
    if predictor in _OF_SIZE and "predictor=" in _BETTER.get(of.eff.measure, ""):
        notes = ()
    how = check_how(*_model_of(of)) if model == "rma" else DISPERSION
    x = _predictor(of, predictor, ni)
    asked = Asked(
        _name(how, model, predictor), of.eff.yi, of.eff.vi, x, PREDICTOR.choices[predictor],
        limit=predictor not in ("ni", "sqrtni"),
    )  # fmt: skip
    return regression_test(of, asked, how, notes)


def begg(res: PoolResult | RegressResult, *, force: bool = False) -> TestResult:
    """Rank correlation of effects and their variances (Begg and Mazumdar).

    Parameters
    ----------
    res : PoolResult
        As in `egger`, without moderators.
    force : bool, default False
        Run the test on rates of one arm too, where it is not valid; a note says so.

    Returns
    -------
    TestResult
        The statistic is Kendall's tau-b.

    Raises
    ------
    InputError, OptionError, DataError
        As `egger`; a regression; variances, or effects, that are all alike.

    Notes
    -----
    Kendall's tau of (y_i - m)/sqrt(v_i - 1/sum w) and v_i, with w = 1/v and m the common-effect mean. Without ties and
    up to 500 studies the p-value is exact, else normal with the variance given the ties, without a continuity
    correction, as in R's ``cor.test`` and metafor's ``ranktest``. Of all tests it has the least power.

    References
    ----------
    Begg CB, Mazumdar M (1994). Biometrics 50:1088-1101. doi:10.2307/2533446

    Examples
    --------
    >>> from metaan import begg, effects, pool
    >>> eff = effects([0.1, 0.3, 0.35, 0.6, 0.8], [0.01, 0.02, 0.04, 0.09, 0.12])
    >>> found = begg(pool(eff))
    >>> round(found.statistic, 4), round(found.pvalue, 4)
    (1.0, 0.0167)
    """
    return begg_of(studied(res, "begg"), force=force)


def begg_of(of: Studied, *, force: bool = False) -> TestResult:
    """`begg` of studies."""
    if of.moderated:
        raise OptionError("begg has no moderators: give a result of pool, or use egger, which keeps them.")
    notes = _link_notes(of.eff.measure, "begg", force)
    y, v = of.eff.yi, of.eff.vi
    ranked = kendall(_standardised(y, v), v)
    if math.isnan(float(ranked.tau)):
        what = "variances" if np.ptp(v) == 0 else "effects"
        raise DataError(f"No rank correlation: the {what} are the same in every study.")
    exact = bool(ranked.exact)
    if not exact:
        why = "Equal values" if of.eff.k <= EXACT else f"More than {EXACT} studies"
        notes = (*notes, Note("normal-p", f"{why}: the p-value is that of the normal approximation."))
    return TestResult(
        test="Rank correlation test (Begg & Mazumdar 1994)", null="no association of the effects with their variances",
        symbol="tau", statistic=float(ranked.tau), df=math.nan, pvalue=float(ranked.pvalue), k=of.eff.k,
        measure=of.eff.measure, model=f"Kendall's tau, {'exact' if exact else 'normal'} p-value",
        notes=(*notes, *of.notes),
    )  # fmt: skip


def _standardised(y: FloatArray, v: FloatArray) -> FloatArray:
    """Effects as deviations from the common-effect mean, over the standard errors of the deviations."""
    w = 1 / v
    spread = np.maximum(v - 1 / w.sum(), 0.0)
    top, off = int(w.argmax()), y - float(w @ y) / w.sum()
    if w[top] <= _ALMOST_ALL * w.sum():
        return np.asarray(off / np.sqrt(spread))
    # of the study with nearly all weight rounding leaves nothing: the same by the mean of the others
    rest = np.arange(len(w)) != top
    off[top] = y[top] - np.average(y[rest], weights=w[rest])
    spread[top] = v[top] + 1 / w[rest].sum()
    return np.asarray(off / np.sqrt(spread))


def _link_notes(measure: str, name: str, force: bool = False) -> tuple[Note, ...]:
    """What to say of a measure whose standard error depends on the effect; refuse rates unless forced."""
    if not isinstance(force, (bool, np.bool_)):
        raise OptionError(f"force={shown(force)} must be True or False.")
    if measure in LINKED:
        text = f"{name} is not valid for {measure}, whose standard error is a function of the rate"
        if force:
            return (Note("linked", f"{text}: without any bias it rejects far too often."),)
        other = "harbord, peters or thompson_arcsine" if measure not in ("IR", "IRLN") else "effects of measure IRS"
        raise OptionError(f"{text}. Use {other} (or small_study_effects); force=True runs it all the same.")
    if measure in _STABLE:
        text = f"The variance of {measure} does not depend on the rate, but its bias does where studies have few events"
        hint = {"PAS": ": PFT is better, harbord best.", "PFT": ": harbord is better then."}.get(measure, ".")
        return (Note("stabilised", text + hint),)
    if measure in _BETTER:
        text = f"The standard error of {measure} depends on the effect, which alone makes funnels asymmetric"
        return (Note("linked", f"{text}; better: {_BETTER[measure]}."),)
    return ()


def _model_of(of: Studied) -> tuple[str, str]:
    """Estimator and test of the result; a common effect for stratified methods."""
    return ("CE", "z") if of.spec.model == "stratified" else (of.spec.method, of.spec.test)


def _predictor(of: Studied, predictor: str, ni: Any) -> FloatArray:
    if predictor in _OF_SIZE:
        return np.asarray(_OF_SIZE[predictor](sizes(of.eff, ni)))
    if ni is not None:
        raise OptionError(f"ni= is for the predictors {', '.join(_OF_SIZE)}, not for {predictor!r}.")
    return np.sqrt(of.eff.vi) if predictor == "sei" else np.array(of.eff.vi)


def _of_counts(of: Studied, predictor: str, ni: Any) -> TestResult:
    """The likelihood of the result with the predictor as a moderator."""
    if predictor not in _OF_SIZE:
        text = f"A model of counts has no standard errors: predictor={predictor!r} is for model='lm'"
        raise OptionError(f"{text}; with model='rma' choose one of {', '.join(_OF_SIZE)}.")
    limit = predictor in ("ninv", "sqrtninv")
    return likelihood_test(of, _predictor(of, predictor, ni), PREDICTOR.choices[predictor], limit=limit)


def _name(how: How, model: str, predictor: str) -> str:
    if predictor == "sei":
        return (
            "Egger's regression test (Egger et al. 1997)"
            if model == "lm"
            else "Mixed-effects version of Egger's test (Sterne & Egger 2005)"
        )
    return named("Regression test of funnel asymmetry", how)
