"""Which studies a result depends on: deletion diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaan.analysis.refits import (
    both_arms,
    check_result,
    counts_of,
    notes_of,
    refit,
    refit_counts,
    same_fit,
    with_all,
    without_last,
)  # fmt: skip
from metaan.core.binomial import moments, trapezoid
from metaan.core.deletion import Deletion, count_scores, influential, of_counts, of_effects
from metaan.core.many import BoolArray, Many, masked, some
from metaan.core.many_counts import picked
from metaan.core.masked import Masked
from metaan.core.wls import Data
from metaan.errors import InputError, Note, OptionError
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["influence"]


def influence(res: PoolResult) -> pd.DataFrame:
    """Deletion diagnostics of each study: outlying, influential, and what the result is without it.

    Parameters
    ----------
    res : PoolResult or GlmmResult
        As in `metaan.leave_one_out`. All diagnostics stand on the analysis scale.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, rstudent, dffits, cooks_d, cov_ratio, tau2_del, q_del, hat, weight, dfbetas and
        influential. ``attrs["notes"]`` holds the decisions taken when a study was left out.

    Raises
    ------
    InputError, OptionError
        As `metaan.leave_one_out`.

    Notes
    -----
    With (i) for the fit without study i, h the shares of the weights (`hat`), and s2 the Hartung-Knapp factor of the
    fit without i, 1 for other tests:

    - rstudent = (y_i - mu_(i))/sqrt(s2 (v_i + tau2_(i)) + se_(i)^2), the externally studentised residual
    - dffits = (mu - mu_(i))/sqrt(s2 h_i (v_i + tau2_(i)))
    - cooks_d = (mu - mu_(i))^2/se^2
    - cov_ratio = se_(i)^2/se^2
    - dfbetas = (mu - mu_(i))/sqrt(s2/sum w), w = 1/(v + tau2_(i)) over all studies
    - tau2_del, q_del: tau2 and Q without i; hat and weight: share of i, as it is and in per cent

    These are metafor's definitions, whose sign is that of mu - mu_(i). A study is `influential` by the rule of
    Viechtbauer & Cheung 2010 if |dffits| > 3 sqrt(1/(k - 1)), if the chi2(1) probability below cooks_d exceeds 0.5, if
    h_i > 3/k, or if |dfbetas| > 1.

    For a GLMM there is no y_i. rstudent is the normal score of the count's predictive probability from the fit without
    i, Pr(X < x_i) + Pr(X = x_i)/2 with the study's effect N(mu_(i), tau2_(i) + se_(i)^2): a count that lies beyond
    97.5 % of what the others predict scores above 1.96. v_i is the inverse of the information of the count at its
    shrunken effect, h_i the share of 1/(tau2 + v_i) (`PoolResult.weights`), dfbetas = (mu - mu_(i))/se_(i), and q_del
    that of the empirical effects. Where the others have no finite estimate (all counts at one end) rstudent and
    the distances are infinite. Where the result itself has none, they are NaN.

    References
    ----------
    Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125. doi:10.1002/jrsm.11

    Examples
    --------
    >>> from metaan import effects, influence, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> influence(pool(eff, method="DL", test="z"))[["study", "rstudent", "cooks_d", "influential"]].round(2)
       study  rstudent  cooks_d  influential
    0  Adams     -0.71     0.18        False
    1  Baker     -0.24     0.02        False
    2  Clark     -0.45     0.08        False
    3  Davis      7.55     0.95         True
    """
    check_result(res, "influence")
    if res.k < 2:
        raise InputError("influence needs at least two studies; the result has one.")
    if both_arms(res):
        raise OptionError("influence takes no results of model='UM.FS' or 'UM.RS': see leave_one_out.")
    here = with_all(~np.eye(res.k, dtype=bool))
    every, found = (_counts if res.spec.model == "glmm" else _effects)(res, here)
    same_fit(res, every, "influence")
    return _frame(res, without_last(every), found)


def _effects(res: PoolResult, here: BoolArray) -> tuple[Many, Deletion]:
    every = refit(res, here)
    one = Data.of_one(res.effects.yi, res.effects.vi)
    without = here[:, :-1]
    a = res.weights if res.spec.method == "GENQ" else None
    absent = masked(a, without)
    weights = None if a is None or absent is None else (a, absent)
    return every, of_effects(one, some(one, without), every.columns, test=res.spec.test, weights=weights)


def _counts(res: PoolResult, here: BoolArray) -> tuple[Many, Deletion]:
    """Predictions from the fits without each study, and its information at its effect given all of them."""
    found, every = refit_counts(res, here)
    last = np.array([res.k])
    b = counts_of(res, here[:, -1:])[0]
    b = b.base if isinstance(b, Masked) else b  # what is known of it by its type
    full = picked(found, last)
    if full.separated[0]:
        blank = np.full(res.k, np.nan)
        return every, of_counts(every.columns, res.weights / 100, blank, blank)
    grid = trapezoid(b, full.mu, full.tau, max(int(full.nodes[0]), 33))
    noise = 1 / b.slope(np.clip(moments(b, full.mu, full.tau, grid).mean, -300, min(300, b.top - 1e-6)))[1][:, 0]
    precision = 1 / (full.tau**2 + noise)
    apart = found.separated[:-1]
    mu, se, tau = (x[:-1] for x in (every.columns["estimate"], every.columns["se"], found.tau))
    known = np.where(apart, 0.0, mu), np.where(apart, 1.0, np.hypot(tau, se))
    beyond = np.where(b.x.sum() == b.x[:, 0], np.inf, -np.inf)  # of others that are all at 0, or all at the other end
    scores = np.where(apart, beyond, count_scores(b, *known))
    return every, of_counts(every.columns, precision / precision.sum(), noise, scores)


def _frame(res: PoolResult, many: Many, d: Deletion) -> pd.DataFrame:
    import pandas as pd

    study = res.effects.study
    frame = pd.DataFrame(
        {
            "study": list(study), "rstudent": d.rstudent, "dffits": d.dffits, "cooks_d": d.cooks_d,
            "cov_ratio": d.cov_ratio, "tau2_del": many.columns["tau2"], "q_del": many.columns["Q"], "hat": d.hat,
            "weight": 100 * d.hat, "dfbetas": d.dfbetas, "influential": influential(d),
        }
    )  # fmt: skip
    frame.attrs["notes"] = notes_of(many, study, "without") + _apart(res)
    return frame


def _apart(res: PoolResult) -> tuple[Note, ...]:
    if np.isfinite(res.weights).all() and not any(note.code == "separated" for note in res.notes):
        return ()
    return (Note("no-diagnostics", "All counts are at one end: there is no finite estimate for a study to move."),)
