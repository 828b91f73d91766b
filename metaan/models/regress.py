"""Meta-regression: effect sizes on moderators, given by a formula."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np

from metaan.core.coefficients import Covariance, covariance
from metaan.core.linear import ESTIMATORS, Design, Fit, at, log_likelihood, residual_heterogeneity
from metaan.errors import InputError, Note, OptionError
from metaan.measures.correction import as_data
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.design import Moderators, moderators
from metaan.models.location_scale_result import LocationScaleResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import Spec
from metaan.models.text import plural
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import METHOD, PI, TEST, FloatArray, check_level

__all__ = ["few_studies", "regress"]

_EXACT = 1e-26  # of the weighted sum of squares: the effects lie on the regression but for rounding


@overload
def regress(
    eff: Effects, formula: str, *, method: str = ..., test: str = ..., level: float = ..., pi: str = ...,
    missing: str = ..., scale: None = None,
) -> RegressResult: ...  # fmt: skip
@overload
def regress(
    eff: Effects, formula: str, *, method: str = ..., test: str = ..., level: float = ..., pi: str = ...,
    missing: str = ..., scale: str,
) -> LocationScaleResult: ...  # fmt: skip
def regress(
    eff: Effects,
    formula: str,
    *,
    method: str = "REML",
    test: str = "hk",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
    scale: str | None = None,
) -> RegressResult | LocationScaleResult:
    """Meta-regression: a mixed-effects model of effect sizes on study-level moderators.

    Parameters
    ----------
    eff : Effects
        From `metaan.effect_size` or `metaan.effects`, made with ``data=``: the formula reads its columns.
    formula : str
        One-sided, as formulaic reads it: ``"~ year + C(therapy)"``, ``"~ year * C(therapy)"``, ``"~ bs(year, df=4)"``;
        ``"~ 0 + C(therapy)"`` leaves the intercept out.
    method : {"REML", "CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "EB", "PM", "PMM", "DLIT", "SJIT"}
        Estimator of the residual between-study variance tau2.
    test : {"hk", "z", "t", "hk-adhoc", "kr"}
        Standard errors and reference distribution: Hartung-Knapp (default), normal, t with k - p degrees of freedom,
        Hartung-Knapp never below the usual, Kenward-Roger (REML only).
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "hk", "kr", "none"}
        Prediction interval that `RegressResult.predict` gives: t with k - p degrees of freedom by default, one less
        for "hts", "hk" and "kr".
    missing : {"raise", "drop"}, default "raise"
        What to do with a study whose moderators are not all known; dropping is noted.
    scale : str, optional
        Moderators of log tau2, as a formula: the location-scale model of
        `metaan.models.location_scale`.

    Returns
    -------
    RegressResult, or LocationScaleResult with `scale`
        Arrays of shape (p,) on the analysis scale; `RegressResult.predict` gives rates or ratios.

    Raises
    ------
    InputError
        `eff` is no Effects record, has no data, or the formula names no column of theirs.
    OptionError
        Unknown option, or one that this model cannot honour.
    DataError
        A missing moderator, more coefficients than studies, columns that depend on each other.

    Notes
    -----
    beta = (X'WX)^-1 X'Wy with W = diag 1/(v + tau2). QM is the Wald test that all coefficients but the intercept are 0
    (all of them without an intercept): chi2 for ``test="z"``, else F. QE is the residual heterogeneity at tau2 = 0. R2
    is the share of the intercept-only model's tau2 that the moderators explain, in per cent, not below 0 (Raudenbush
    2009). I2 compares tau2 with the typical sampling variance (k - p)/tr P.

    References
    ----------
    Knapp G, Hartung J (2003). Stat Med 22:2693-2710. doi:10.1002/sim.1482
    van Houwelingen HC, Arends LR, Stijnen T (2002). Stat Med 21:589-624. doi:10.1002/sim.1040

    Examples
    --------
    >>> import pandas as pd
    >>> from metaan import effects, regress
    >>> rows = pd.DataFrame({"y": [0.1, 0.3, 0.5, 0.2, 0.6], "v": [0.02] * 5, "year": [1990, 2000, 2010, 1995, 2012]})
    >>> fit = regress(effects("y", "v", data=rows), "~ year", test="z")
    >>> fit.names, fit.estimate[1].round(4)
    (('Intercept', 'year'), np.float64(0.0218))
    """
    if not isinstance(eff, Effects):
        raise InputError(f"regress takes an Effects record, not {type(eff).__name__}: make one with effect_size.")
    eff = as_data(eff)
    if scale is not None:
        from metaan.models.location_scale import location_scale

        return location_scale(
            eff, formula, scale, method=method, test=test, level=level, pi=pi, missing=missing
        )  # fmt: skip
    spec = _spec(eff.measure, formula, method, test, level, pi)
    eff, design = moderators(eff, formula, missing)
    data = Design(eff.yi[None], eff.vi[None], design.matrix[None])
    tau2 = max(float(ESTIMATORS[method](data)[0]), 0.0)
    one = Design(eff.yi, eff.vi, design.matrix)
    fit, plain = at(one, tau2), at(one, 0.0)
    if float(fit.Q) <= _EXACT * float((fit.w * eff.yi**2).sum()):
        fit = fit._replace(residual=np.zeros_like(fit.residual))  # rounding errors are no residuals
    of = covariance(fit, test)
    _check_kenward_roger(of, design)
    return _result(eff, spec, design, tau2, (fit, plain), of)


def _spec(measure: str, formula: str, method: str, test: str, level: float, pi: str) -> Spec:
    METHOD.check(method)
    TEST.check(test)
    PI.check(pi)
    if method == "GENQ":
        raise OptionError("method='GENQ' (weights of the caller) is for pool; choose another estimator for regress.")
    if pi == "bootstrap":
        raise OptionError("pi='bootstrap' is for pool; choose 't', 'hts', 'z', 'simple', 'hk', 'kr' or 'none'.")
    for name, value in (("test", test), ("pi", pi)):
        if value == "kr" and method != "REML":
            raise OptionError(f"{name}='kr' (Kenward-Roger) is defined for method='REML' only, not for {method!r}.")
    if pi == "kr" and test != "kr":
        raise OptionError("pi='kr' needs test='kr': its degrees of freedom are those of Kenward and Roger.")
    return Spec(
        model="regression", measure=measure, method=method, test=test, level=check_level(level), pi=pi, formula=formula
    )


def _check_kenward_roger(of: Covariance, design: Moderators) -> None:
    if not math.isnan(of.df):
        return
    for contrast, name in zip(np.eye(len(design.names)), design.names, strict=True):
        df = of.contrast_df(contrast) if np.isfinite(of.inner).all() else math.nan
        if not df > 0.5:
            text = f"Kenward-Roger leaves {df:.2g} degrees of freedom for {name}, too few for an interval"
            raise OptionError(f"{text}: the studies are too few or too unequal. Use test='hk'.")


def _result(
    eff: Effects, spec: Spec, design: Moderators, tau2: float, fits: tuple[Fit, Fit], of: Covariance
) -> RegressResult:
    fit, plain = fits
    q_df, fitted = eff.k - len(design.names), design.matrix @ fit.beta
    left = residual_heterogeneity(np.array(tau2), plain, np.array(float(q_df)), common=spec.method == "CE")
    spread: dict[str, Any] = {name: float(value) for name, value in left.items()}
    shrink = tau2 / (tau2 + eff.vi)
    restricted = spec.method != "ML"
    joint = moderator_fields(fit.beta, of, design.intercept)
    notes = eff.notes + data_notes(eff.data) + _notes(eff, spec, design, tau2, fit)
    if spec.test == "kr" and joint["QM_df"] > 1 and math.isnan(joint["QM"]):
        text = "Kenward-Roger leaves a joint test of the moderators too few degrees of freedom: there is none."
        notes += (Note("kr-no-test", text),)
    return RegressResult(
        estimate=fit.beta, **coefficient_fields(fit.beta, of, spec.level), names=design.names, cov=of.cov,
        **joint,
        R2=_r2(eff, spec, design, tau2), QE_df=q_df, k=eff.k, **spread,
        loglik=float(log_likelihood(Design(eff.yi, eff.vi, design.matrix), tau2, restricted=restricted)),
        fitted=fitted, blup=fitted + shrink * (eff.yi - fitted), weights=100 * fit.w / fit.w.sum(),
        leverage=(fit.q**2).sum(axis=-1), moderators=design, inference=of, spec=spec, effects=eff,
        notes=notes,
    )  # fmt: skip


def _r2(eff: Effects, spec: Spec, design: Moderators, tau2: float) -> float:
    """Share of tau2 that the moderators explain, per cent; NaN where there is none to explain."""
    if spec.method == "CE" or design.intercept is None or len(design.names) == 1:
        return math.nan
    alone: FloatArray = np.ones((1, eff.k, 1))
    total = max(float(ESTIMATORS[spec.method](Design(eff.yi[None], eff.vi[None], alone))[0]), 0.0)
    return 100 * max(0.0, (total - tau2) / total) if total > 0 else math.nan


def _notes(eff: Effects, spec: Spec, design: Moderators, tau2: float, fit: Fit) -> tuple[Note, ...]:
    notes = [*repeated(eff)]
    if spec.method != "CE" and tau2 == 0:
        notes.append(Note("tau2-zero", f"Residual tau2 is estimated as 0 by {spec.method}: a common-effect model."))
    p, scale = fit.q.shape[-1], float(fit.Q) / (eff.k - fit.q.shape[-1])
    if spec.method == "CE" and spec.test in ("hk", "hk-adhoc"):
        text = "Hartung-Knapp with a common effect scales the variance by QE/(k - p), which no model assumes."
        notes.append(Note("hk-common", text))
    if scale == 0 and spec.test == "hk":
        text = "The effects lie exactly on the regression: the Hartung-Knapp standard errors are 0 and not usable."
        notes.append(Note("identical", f"{text} Use test='z' or 'hk-adhoc'."))
    elif spec.test == "hk" and scale < 0.9995:
        text = f"Hartung-Knapp scales the variances by {scale:.3g}, below the usual; test='hk-adhoc' never does."
        notes.append(Note("hk-narrow", text))
    if spec.pi != "none" and (spec.method == "CE" or (spec.pi in ("hts", "hk") and eff.k - p < 2)):
        why = "the model is a common-effect one" if spec.method == "CE" else f"pi={spec.pi!r} needs k - p of 2 or more"
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    return (*notes, *few_studies(eff.k, design))


def few_studies(k: int, design: Moderators) -> tuple[Note, ...]:
    """A caution where there are fewer than ten studies for each moderator."""
    own = len(design.names) - (design.intercept is not None)
    if k >= 10 * own:
        return ()
    beside = " besides the intercept" if design.intercept is not None else ""
    many = f"{plural(own, 'coefficient')}{beside}: fewer than ten{' each' if own > 1 else ''}"
    return (Note("few-studies", f"{k} studies for {many}, so that chance findings are likely."),)
