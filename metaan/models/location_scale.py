"""Location-scale model: moderators of the effects and of their between-study variance."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from scipy.special import chdtrc

from metaan.core.coefficients import Covariance, covariance
from metaan.core.linear import Design, at
from metaan.core.location_scale import LocationScale, fit_location_scale
from metaan.errors import DataError, InputError, Note, OptionError, listed
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.design import Moderators, moderators
from metaan.models.location_scale_result import LocationScaleResult
from metaan.models.regress import few_studies
from metaan.models.results import Convergence, Spec
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import FloatArray, Option, check_level

__all__ = ["location_scale"]

METHOD: Final = Option(
    "method", {"REML": "restricted maximum likelihood", "ML": "maximum likelihood"}, "REML"
)  # fmt: skip
TEST: Final = Option(
    "test",
    {
        "z": "normal distribution",
        "t": "t distribution with k - p degrees of freedom",
        "hk": "Hartung-Knapp standard errors of the location",
        "hk-adhoc": "Hartung-Knapp, never below the usual standard errors",
    },
    "hk",
)
PI: Final = Option(
    "pi",
    {
        "t": "t with k - p degrees of freedom",
        "hts": "t with k - p - 1 degrees of freedom",
        "z": "normal",
        "simple": "normal, uncertainty of the mean ignored",
        "none": "none",
    },
    "t",
)
_NOTHING: Final = 1e-6  # tau2 over the sampling variance that counts as 0
_FLAT: Final = 1e-9  # residual of the constant in the scale design


def location_scale(
    eff: Effects,
    formula: str,
    scale: str,
    *,
    method: str = "REML",
    test: str = "hk",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
) -> LocationScaleResult:
    """Meta-regression whose between-study variance depends on moderators: what `metaan.regress` does with ``scale=``.

    Parameters
    ----------
    eff : Effects
        Made with ``data=``.
    formula : str
        Moderators of the effects.
    scale : str
        Moderators of log tau2, as a formula: ``"~ year"``.
    method : {"REML", "ML"}
        Restricted or full maximum likelihood.
    test : {"hk", "z", "t", "hk-adhoc"}
        As in `metaan.regress` for the location; the scale is normal for "z", else t with k - q degrees of freedom.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval that `LocationScaleResult.predict` gives.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study whose moderators are not all known; dropping is noted.

    Returns
    -------
    LocationScaleResult

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.regress`.

    Notes
    -----
    y_i ~ N(x_i'beta, v_i + tau2_i), log tau2_i = z_i'alpha. The (restricted) likelihood is maximised over alpha by
    Newton's method from several starts; the standard errors of alpha come from its observed information, those of beta
    take tau2_i as known. The likelihood-ratio test compares with one tau2 for all studies, on q - 1 degrees of freedom;
    both likelihoods are restricted ones of the same location for REML. tau2_i cannot be 0 on the log scale: where it
    falls towards 0 this is noted.

    References
    ----------
    Viechtbauer W, López-López JA (2022). Res Synth Methods 13:697-715. doi:10.1002/jrsm.1562

    Examples
    --------
    >>> import pandas as pd
    >>> from metaan import effects, regress
    >>> rows = pd.DataFrame({"y": [0.1, 0.2, 0.15, 0.12, 0.9, -0.4, 0.8, -0.1], "blind": [1] * 4 + [0] * 4})
    >>> fit = regress(effects("y", [0.01] * 8, data=rows), "~ 1", scale="~ blind", test="z")
    >>> fit.scale_names, round(fit.LRT, 2)
    (('Intercept', 'blind'), 9.54)
    """
    if not isinstance(eff, Effects):
        raise InputError(f"regress takes an Effects record, not {type(eff).__name__}: make one with effect_size.")
    if not isinstance(scale, str):
        raise OptionError(f"scale={scale!r} must be a formula of the moderators of tau2, such as '~ year'.")
    spec = Spec(
        model="location-scale", measure=eff.measure, method=METHOD.check(method), test=TEST.check(test),
        level=check_level(level), pi=PI.check(pi), formula=formula,
    )  # fmt: skip
    eff, _ = moderators(eff, scale, missing)
    eff, design = moderators(eff, formula, missing)
    eff, of_scale = moderators(eff, scale, "raise")
    p, q = len(design.names), len(of_scale.names)
    if p + q >= eff.k:
        raise DataError(f"{p} coefficients of the location and {q} of the scale need more than {p + q} studies.")
    found = fit_location_scale(eff.yi, eff.vi, design.matrix, of_scale.matrix, restricted=method == "REML")
    return _result(eff, spec, scale, design, of_scale, found)


def _result(
    eff: Effects, spec: Spec, formula: str, design: Moderators, of_scale: Moderators, found: LocationScale
) -> LocationScaleResult:
    inference = covariance(found.fit, spec.test)
    plain = at(Design(eff.yi, eff.vi, design.matrix), 0.0)
    q_df = eff.k - len(design.names)
    beta, w = found.fit.beta, found.fit.w
    fitted = design.matrix @ beta
    shrink = found.tau2 / (found.tau2 + eff.vi)
    return LocationScaleResult(
        estimate=beta, **coefficient_fields(beta, inference, spec.level), names=design.names, cov=inference.cov,
        **moderator_fields(beta, inference, design.intercept), **_scale(spec, of_scale, found, eff.k),
        QE=float(plain.Q), QE_df=q_df, QE_pvalue=float(chdtrc(q_df, float(plain.Q))), k=eff.k, tau2=found.tau2,
        tau2_common=found.tau2_common, loglik=found.loglik, loglik_common=found.loglik_common,
        **_test(of_scale, found), fitted=fitted, blup=fitted + shrink * (eff.yi - fitted),
        weights=100 * w / w.sum(), moderators=design, scale_moderators=of_scale, inference=inference,
        convergence=Convergence(converged=found.converged, iterations=found.iterations, maxima=found.maxima),
        spec=spec, scale_formula=formula, effects=eff,
        notes=eff.notes + data_notes(eff.data) + repeated(eff) + _notes(eff, spec, design, found),
    )  # fmt: skip


def _scale(spec: Spec, of_scale: Moderators, found: LocationScale, k: int) -> dict[str, Any]:
    """Fields of the scale: coefficients of log tau2 and their joint test."""
    q = len(of_scale.names)
    known = bool(np.isfinite(found.cov).all())
    df = np.inf if spec.test == "z" else float(k - q)
    if known:
        root: FloatArray = np.asarray(np.linalg.inv(np.linalg.cholesky(found.cov)))
        of = Covariance(np.eye(q), root, df)
        made = coefficient_fields(found.alpha, of, spec.level)
        joint = moderator_fields(found.alpha, of, of_scale.intercept)
    else:
        names = ("se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "df")
        made = {name: np.full(q, math.nan) for name in names}
        count = q - (of_scale.intercept is not None)
        joint = {"QM": math.nan, "QM_df": count, "QM_df2": df, "QM_pvalue": math.nan}
    renamed = {name.replace("QM", "QS"): value for name, value in joint.items()}
    own = {f"scale_{name}": value for name, value in made.items()}
    return own | renamed | {"scale_estimate": found.alpha, "scale_cov": found.cov, "scale_names": of_scale.names}


def _test(of_scale: Moderators, found: LocationScale) -> dict[str, Any]:
    """Likelihood-ratio test of one tau2 for all studies, which is a special case if the scale design has a constant."""
    df = len(of_scale.names) - 1
    if df == 0 or not _has_constant(of_scale.matrix):
        return {"LRT": math.nan, "LRT_df": df, "LRT_pvalue": math.nan}
    lrt = max(0.0, 2 * (found.loglik - found.loglik_common))
    return {"LRT": lrt, "LRT_df": df, "LRT_pvalue": float(chdtrc(df, lrt))}


def _has_constant(z: FloatArray) -> bool:
    one = np.ones(z.shape[0])
    return bool(np.abs(z @ np.linalg.lstsq(z, one, rcond=None)[0] - one).max() < _FLAT)


def _notes(eff: Effects, spec: Spec, design: Moderators, found: LocationScale) -> tuple[Note, ...]:
    notes = []
    gone = tuple(s for s, none in zip(eff.study, found.tau2 < _NOTHING * eff.vi, strict=True) if none)
    if len(gone) == eff.k:
        notes.append(Note("tau2-zero", "tau2 falls to 0 in every study: the scale has nothing to explain."))
    elif gone:
        text = f"tau2 falls to 0, log tau2 without bound, in {len(gone)} studies ({listed(gone)})"
        notes.append(
            Note("tau2-vanishes", f"{text}: use the likelihood-ratio test, not the Wald tests, of the scale.", gone)
        )
    if not np.isfinite(found.cov).all():
        notes.append(Note("no-scale-se", "The likelihood is flat in log tau2: the scale has no standard errors."))
    if found.maxima > 1:
        notes.append(Note("two-maxima", f"The likelihood has {found.maxima} local maxima; the highest was taken."))
    if not found.converged:
        notes.append(Note("not-converged", f"{spec.method} stopped before the scale settled; treat it as approximate."))
    return (*notes, *few_studies(eff.k, design))
