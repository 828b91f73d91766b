"""Which studies make a result heterogeneous, and which of these move it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from metaan.analysis.influence_models import without_studies
from metaan.analysis.influence_terms import check_terms, without_rows
from metaan.analysis.refits_display import SAID_OF_TERMS, notes_of
from metaan.errors import Note, OptionError
from metaan.models.glmm_residuals import residuals
from metaan.models.regress_result import RegressResult
from metaan.models.results import GlmmResult, PoolResult
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["baujat"]


def baujat(res: PoolResult | RegressResult) -> pd.DataFrame:
    """Contribution of each study to heterogeneity, and its influence on the result (Baujat et al. 2002).

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult or RegressResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto` or `regress`. Both numbers stand on the
        analysis scale.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, x (contribution) and y (influence). ``attrs["notes"]`` holds the decisions taken
        when a study was left out; y is NaN where nothing can be estimated without the study.

    Raises
    ------
    InputError, OptionError
        As `metaan.influence`; a multilevel model, whose Q is no sum over estimates.

    Notes
    -----
    With (i) for the fit without study i:

    - x = (y_i - mu)^2/(v_i + tau2): the squared Pearson residual. For a common effect these are the terms of Cochran's
      Q, as in the paper.
    - y = (mu - mu_(i))^2/se_(i)^2

    With moderators x_i'beta stands for mu, and x_i'V_(i) x_i for se_(i)^2. Mantel-Haenszel and Peto have the effect of
    the trial by itself and tau2 = 0. These are the coordinates of metafor's ``baujat``.

    A GLMM or a beta-binomial model has no y_i, but its counts have a variance: x is the squared Pearson residual of the
    count under the fitted marginal distribution, the term of Pearson's chi-square statistic.

    References
    ----------
    Baujat B, Mahé C, Pignon J-P, Hill C (2002). Stat Med 21:2641-2652. doi:10.1002/sim.1221

    Examples
    --------
    >>> from metaan import baujat, effects, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> baujat(pool(eff, method="CE", test="z")).round(2)
       study      x      y
    0  Adams  14.69   7.35
    1  Baker   1.68   0.34
    2  Clark   4.01   0.80
    3  Davis  38.03  19.01
    """
    if isinstance(res, RegressResult):
        return _of_regression(res)
    made = without_studies(res, "baujat")
    d = made.diagnostics
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = d.cooks_d / d.cov_ratio
    return _frame(res, _contribution(res.analysis or res), moved, made.notes)


def _of_regression(res: RegressResult) -> pd.DataFrame:
    check_terms(res, "baujat")
    if res.spec.model == "multilevel":
        text = "baujat takes no multilevel model: correlated estimates do not add up to its Q one by one"
        raise OptionError(f"{text}. Use influence(res), or influence(res, by=) for its clusters.")
    made = without_rows(res)
    notes = notes_of(made.flags, res.effects.study, "without", SAID_OF_TERMS)
    return _frame(res, (res.effects.yi - res.fitted) ** 2 / (res.effects.vi + res.tau2), made.shift, notes)


def _contribution(res: PoolResult) -> FloatArray:
    """Squared Pearson residuals."""
    if isinstance(res, GlmmResult):
        return np.asarray(residuals(res)["pearson"], dtype=np.float64) ** 2
    if res.spec.model == "beta-binomial":
        x, n = (np.asarray(count, dtype=np.float64) for count in (res.effects.events, res.effects.total))
        m, rho = float(expit(res.estimate)), float(vars(res)["rho"])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((x - n * m) ** 2 / (n * m * float(expit(-res.estimate)) * (1 + (n - 1) * rho)))
    return np.asarray((res.effects.yi - res.estimate) ** 2 / (res.effects.vi + res.tau2))


def _frame(res: PoolResult | RegressResult, x: FloatArray, y: FloatArray, notes: tuple[Note, ...]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"study": list(res.effects.study), "x": x, "y": y})
    frame.attrs["notes"] = notes
    return frame
