"""Whether a fitted model could have produced the data: normality, predictive checks, one variance for all studies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
from scipy.special import chdtrc

from metaan.analysis.criticism_models import Fitted, fitted_model
from metaan.analysis.criticism_result import CheckResult
from metaan.analysis.executors import LIKELIHOODS, TASK, check_executor, in_tasks, task_rng, tasks
from metaan.analysis.test_result import TestResult
from metaan.core.linear import Design
from metaan.core.location_scale import score_statistic
from metaan.core.shapiro import moment_ratios, shapiro_wilk
from metaan.errors import InputError, Note, OptionError, shown
from metaan.measures.record import Effects
from metaan.models.design import group_values, rows_of
from metaan.models.location_scale_result import LocationScaleResult
from metaan.models.regress import regress
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import LIKELIHOOD, FloatArray, Option, check_level, whole

__all__ = ["STATISTIC", "heteroscedasticity_test", "normality_check", "predictive_check"]

STATISTIC: Final = Option(
    "statistic",
    {
        "max_residual": "largest absolute standardised residual",
        "skewness": "of the standardised residuals",
        "kurtosis": "of the standardised residuals; 3 for the normal distribution",
        "W": "Shapiro-Wilk statistic of the standardised residuals",
        "min": "smallest effect, or observed rate",
        "max": "largest effect, or observed rate",
        "zeros": "studies without events (counts)",
        "full": "studies with nothing but events (rates)",
    },
    "max_residual",
)
KIND: Final = Option("kind", {"lr": "likelihood-ratio test", "score": "score test"}, "lr")
_FEWEST: Final = 99
_ONE_SIDED: Final = ("max_residual",)
_GROUP: Final = "group"
_SMALL: Final = 20


def normality_check(
    res: PoolResult | RegressResult, *, n: int = 2000, seed: int = 1, executor: Executor | None = None
) -> TestResult:
    """Shapiro-Wilk test of the standardised residuals of a random-effects model, by parametric bootstrap.

    Parameters
    ----------
    res : PoolResult or RegressResult
        From `metaan.pool` or `metaan.regress`, at least four studies.
    n : int, default 2000
        Data sets drawn from the fitted model, at least 99.
    seed : int, default 1
        Of the random numbers.
    executor : concurrent.futures.Executor, optional
        Who fits them, in tasks of 10,000 (500 of counts); here by default. The numbers do not depend on it.

    Returns
    -------
    TestResult
        statistic W, small where the residuals are not normal; values: skewness and kurtosis.

    Raises
    ------
    InputError
        Another kind of result, or fewer than four studies.
    OptionError
        A model whose effects are counts: see `metaan.predictive_check`.

    Notes
    -----
    Effects of studies are not identically distributed, so that they cannot be tested as they stand. The residual of
    study i is e_i = (y_i - x_i'b)/sqrt[(v_i + tau2) (1 - h_i)], h_i the leverage: its variance is 1 for known tau2.
    The e_i are still correlated, and tau2 is estimated, which bends the distribution of W. Its p-value is therefore the
    share of data sets drawn from the fitted model, each fitted again, whose W is as small. What is tested is that true
    effects and sampling errors together are normal; with large v_i errors hide a true distribution of another shape,
    and with few studies the test finds little.

    References
    ----------
    Wang C-C, Lee W-C (2020). Am J Epidemiol 189:235-242. doi:10.1093/aje/kwz261
    Shapiro SS, Wilk MB (1965). Biometrika 52:591-611. doi:10.1093/biomet/52.3-4.591

    Examples
    --------
    >>> from metaan import effects, normality_check, pool
    >>> eff = effects([0.1, 0.15, 0.2, 0.12, 0.18, 1.4, 0.16, 0.14], [0.01] * 8)
    >>> found = normality_check(pool(eff), n=999)
    >>> found.symbol, round(found.statistic, 3), found.pvalue < 0.01
    ('W', 0.489, True)
    """
    of = fitted_model(res, "normality_check")
    if of.counted:
        raise OptionError("normality_check is for effects with sampling errors; for counts use predictive_check.")
    drawn, seed = whole("n", n, _FEWEST), whole("seed", seed, 0)
    _, residual = _made(res, "normality_check", drawn, seed, executor)
    w = shapiro_wilk(residual)
    skewness, kurtosis = moment_ratios(residual[:, :1])
    if np.isnan(w[0]):
        raise InputError("normality_check has no residuals to test: all effects are equal.")
    return TestResult(
        test="Shapiro-Wilk test of standardised residuals", null="true effects and sampling errors are normal",
        symbol="W", statistic=float(w[0]), df=math.nan, pvalue=_share(w[1:] <= w[0]), k=res.k,
        measure=res.spec.measure, model=f"p-value from {drawn} data sets (seed {seed}) of the {of.model}",
        values={"skewness": float(skewness[0]), "kurtosis": float(kurtosis[0])},
        notes=_few(res.k),
    )  # fmt: skip


def predictive_check(
    res: PoolResult | RegressResult,
    statistic: str | Sequence[str] | None = None,
    *,
    n: int = 2000,
    seed: int = 1,
    level: float = 0.95,
    executor: Executor | None = None,
) -> CheckResult:
    """Compare the data with data drawn from the fitted model: parametric-bootstrap model criticism.

    Parameters
    ----------
    res : PoolResult, RegressResult, GlmmResult or BetaBinomialResult
        From `metaan.pool`, `metaan.regress`, `metaan.glmm` (one arm) or `metaan.beta_binomial`; four studies or more.
    statistic : str or sequence of str, optional
        "max_residual", "skewness", "kurtosis", "W" (Shapiro-Wilk), "min", "max", "zeros", "full"; by default all that
        the data have.
    n : int, default 2000
        Data sets drawn, at least 99.
    seed : int, default 1
        Of the random numbers.
    level : float, default 0.95
        Of the ranges of simulated values.
    executor : concurrent.futures.Executor, optional
        Who fits them, in tasks of 10,000 (500 of counts); here by default. The numbers do not depend on it.

    Returns
    -------
    CheckResult
        `CheckResult.to_frame` has the p-values, `CheckResult.qq` and `CheckResult.draws` are for plots.

    Raises
    ------
    InputError
        Another kind of result, or fewer than four studies.
    OptionError
        An unknown statistic, one that the data do not have, or a model that cannot be drawn from (two arms, robust,
        effective counts).

    Notes
    -----
    The model is fitted again to every data set, all in one batch, so that its residuals lose the same degrees of
    freedom as those of the data. Residuals are those of `metaan.normality_check` for effects and Pearson's for counts,
    with the variance of the true rates in them. min and max are those of the observed effects or rates. The p-values
    are not adjusted for their number. A check that finds nothing does not prove the model.

    References
    ----------
    Gelman A, Meng XL, Stern H (1996). Stat Sinica 6:733-760.

    Examples
    --------
    >>> from metaan import beta_binomial, predictive_check
    >>> res = beta_binomial(events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40])
    >>> check = predictive_check(res, "zeros", n=499)
    >>> check.observed, check.pvalue[0] > 0.05
    (array([1.]), np.True_)
    """
    of = fitted_model(res, "predictive_check")
    chosen = _statistics(statistic, of)
    drawn, seed, level = whole("n", n, _FEWEST), whole("seed", seed, 0), check_level(level)
    made, residual = _made(res, "predictive_check", drawn, seed, executor)
    values = _values(chosen, of, made, residual)
    observed, simulated = values[:, 0], values[:, 1:]
    with np.errstate(invalid="ignore"):
        close = 1e-9 * np.abs(observed)[:, None]  # ties of counts, whatever their rounding
        below = np.array([_share(row <= 0) for row in simulated - observed[:, None] - close])
        above = np.array([_share(row >= 0) for row in simulated - observed[:, None] + close])
    one_sided = np.array([name in _ONE_SIDED for name in chosen])
    unknown = np.isnan(observed)
    pvalue = np.where(unknown, np.nan, np.where(one_sided, above, np.minimum(1.0, 2 * np.minimum(below, above))))
    tail = (1 - level) / 2
    return CheckResult(
        statistics=chosen, observed=observed, simulated=simulated.T, p_low=np.where(unknown, np.nan, below),
        p_high=np.where(unknown, np.nan, above), pvalue=pvalue, residual=residual[:, 0],
        envelope=np.quantile(np.sort(residual[:, 1:], axis=0), [tail, 0.5, 1 - tail], axis=1).T, level=level,
        study=res.effects.study, k=res.k, n=drawn, seed=seed, measure=res.spec.measure, model=of.model,
        notes=_few(res.k) + _undefined(chosen, simulated),
    )  # fmt: skip


def _made(
    res: PoolResult | RegressResult, name: str, n: int, seed: int, executor: Executor | None
) -> tuple[FloatArray, FloatArray]:
    """The data and n data sets from the model, (k, 1 + n), and the standardised residuals of each."""
    check_executor(executor)
    of = fitted_model(res, name)
    drawn = [of.draw(task_rng(seed, task), part.stop - part.start) for task, part in enumerate(tasks(n))]
    made = np.column_stack([of.observed, *drawn])
    unit = LIKELIHOODS if of.counted else TASK
    work = [(res, name, made[:, part]) for part in tasks(n + 1, unit + 1)]
    return made, np.concatenate(in_tasks(_residuals, work, executor), axis=1)


def _residuals(res: PoolResult | RegressResult, name: str, made: FloatArray) -> FloatArray:
    return fitted_model(res, name).residuals(made)


def _share(hits: Any) -> float:
    """Monte Carlo p-value, the data counted among the draws."""
    return float((1 + np.count_nonzero(hits)) / (1 + len(hits)))


def _statistics(statistic: str | Sequence[str] | None, of: Fitted) -> tuple[str, ...]:
    absent = {"": ("zeros", "full"), "poisson": ("full",)}.get(of.counted, ())
    if statistic is None:
        return tuple(name for name in STATISTIC.choices if name not in absent)
    chosen = tuple(statistic) if isinstance(statistic, (list, tuple)) else (statistic,)
    for name in map(STATISTIC.check, chosen):
        if name in absent:
            raise OptionError(f"statistic={shown(name)} is for counts that have it; the result is of {of.model}.")
    if not chosen:
        raise OptionError("Name at least one statistic.")
    return tuple(dict.fromkeys(chosen))


def _values(chosen: tuple[str, ...], of: Fitted, made: FloatArray, residual: FloatArray) -> FloatArray:
    """Statistics of each data set, (m, n)."""
    skewness, kurtosis = moment_ratios(residual)
    shown = made if of.size is None else made / of.size[:, None]
    every: dict[str, Callable[[], Any]] = {
        "max_residual": lambda: np.abs(residual).max(axis=0),
        "skewness": lambda: skewness,
        "kurtosis": lambda: kurtosis,
        "W": lambda: shapiro_wilk(residual),
        "min": lambda: shown.min(axis=0),
        "max": lambda: shown.max(axis=0),
        "zeros": lambda: (made == 0).sum(axis=0),
        "full": lambda: (made == (np.inf if of.size is None else of.size[:, None])).sum(axis=0),
    }
    return np.array([every[name]() for name in chosen], dtype=np.float64)


def _few(k: int) -> tuple[Note, ...]:
    if k >= _SMALL:
        return ()
    return (Note("low-power", f"{k} studies: only gross departures from the model would be found."),)


def _undefined(chosen: tuple[str, ...], simulated: FloatArray) -> tuple[Note, ...]:
    lost = np.isnan(simulated).sum(axis=1)
    if not lost.any():
        return ()
    what = ", ".join(f"{name} in {n}" for name, n in zip(chosen, lost, strict=True) if n)
    return (Note("undefined", f"Not defined in some data sets, which count as neither above nor below: {what}."),)


def heteroscedasticity_test(
    eff: Effects | PoolResult | RegressResult,
    by: Any = None,
    *,
    formula: str | None = None,
    location: str | None = None,
    kind: str = "lr",
    method: str = "REML",
    missing: str = "raise",
) -> TestResult:
    """Test that the between-study variance depends on a moderator, by the location-scale model.

    Parameters
    ----------
    eff : Effects, PoolResult or RegressResult
        Effects, or a result of pool or regress, whose effects are taken.
    by : str or sequence of k labels, optional
        Column of the data, or the group of each study: does tau2 differ between groups?
    formula : str, optional
        Moderators of log tau2, instead of `by`.
    location : str, optional
        Moderators of the effects; by default those of tau2, so that a difference in means is not taken for one in
        variance.
    kind : {"lr", "score"}
        Likelihood-ratio test, or score test, which needs the common tau2 alone.
    method : {"REML", "ML"}
        Restricted or full maximum likelihood.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study whose moderators are not all known; dropping is noted.

    Returns
    -------
    TestResult
        chi2; values: tau2 (one for all), and for `by` the tau2 of each group.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.regress`; also a score test where the common tau2 is 0, at which log tau2 has no score.

    Notes
    -----
    Both statistics are chi2 with as many degrees of freedom as log tau2 has moderators. The score test takes the
    expected information at one tau2. With few studies both are approximate. In 400 simulated data sets with one tau2
    (REML, two groups or a covariate, nominal 5 %) the likelihood-ratio test rejected 1 to 5 % with 10 studies, 3 to 6 %
    with 20 and 4 to 7 % with 40, least where tau2 was half the typical sampling variance; the score test 0 to 2 %, 2 to
    5 % and 3 to 5 %. By ML the likelihood-ratio test rejects too often with 10 studies, 6 to 9 %: prefer REML.

    References
    ----------
    Viechtbauer W, López-López JA (2022). Res Synth Methods 13:697-715. doi:10.1002/jrsm.1562

    Examples
    --------
    >>> from metaan import effects, heteroscedasticity_test
    >>> eff = effects([0.1, 0.2, 0.15, 0.12, 0.9, -0.4, 0.8, -0.1], [0.01] * 8)
    >>> found = heteroscedasticity_test(eff, by=["blind"] * 4 + ["open"] * 4)
    >>> round(found.statistic, 2), found.df, round(found.pvalue, 4)
    (9.51, 1.0, 0.002)
    """
    KIND.check(kind)
    LIKELIHOOD.check(method)
    found, labels = _scale_of(_own(eff), by, formula)
    fit = regress(found, location or labels, method=method, test="z", pi="none", missing=missing, scale=labels)
    if math.isnan(fit.LRT):
        raise OptionError(
            f"{labels!r} has no moderator besides a constant, or no constant: there is no test of one tau2."
        )
    statistic = fit.LRT if kind == "lr" else _score(fit)
    words = {"lr": "Likelihood-ratio", "score": "Score"}[kind]
    values = {"tau2": fit.tau2_common}
    if by is not None:
        rows = rows_of(fit.effects, "heteroscedasticity_test")[labels[2:]]
        values |= {str(label): float(fit.tau2[np.flatnonzero(rows == label)[0]]) for label in dict.fromkeys(rows)}
    return TestResult(
        test=f"{words} test of one tau2 (Viechtbauer & López-López 2022)",
        null="the between-study variance is the same whatever the moderator",
        symbol="chi2", statistic=statistic, df=float(fit.LRT_df), pvalue=float(chdtrc(fit.LRT_df, statistic)), k=fit.k,
        measure=fit.spec.measure, model=f"Location {fit.spec.formula}, log tau2 {labels} ({method})", values=values,
        notes=fit.notes + _at_zero(fit),
    )  # fmt: skip


def _at_zero(fit: LocationScaleResult) -> tuple[Note, ...]:
    if fit.tau2_common > 0:
        return ()
    return (Note("tau2-zero", "One tau2 for all is estimated as 0, at its bound: chi2 is a rough reference there."),)


def _own(eff: Effects | PoolResult | RegressResult) -> Effects:
    if isinstance(eff, Effects):
        return eff
    if isinstance(eff, (PoolResult, RegressResult)) and eff.spec.model in ("normal", "regression"):
        return eff.effects
    raise InputError(
        f"heteroscedasticity_test takes effects or a result of pool or regress, not {type(eff).__name__}."
    )  # fmt: skip


def _scale_of(eff: Effects, by: Any, formula: str | None) -> tuple[Effects, str]:
    """Effects and the formula of log tau2."""
    import pandas as pd

    if (by is None) == (formula is None):
        raise OptionError("Give by= (groups) or formula= (moderators of log tau2), one of the two.")
    if formula is not None:
        return eff, formula
    if isinstance(by, str):
        rows = rows_of(eff, "heteroscedasticity_test")
        if by not in rows.columns:
            raise InputError(
                f"by={shown(by)} is not a column of the data. Columns: {', '.join(map(str, rows.columns))}."
            )
        by = rows[by]
    labels = [str(label) for label in group_values(eff, by, "by")]
    if len(set(labels)) < 2:
        raise OptionError(f"There is one group, {labels[0]!r}; the test needs at least two.")
    rows = pd.DataFrame(index=range(eff.k)) if eff.data is None else rows_of(eff, "heteroscedasticity_test")
    name = _GROUP
    while name in rows.columns:
        name += "_"
    return dataclasses.replace(eff, data=rows.assign(**{name: labels})), f"~ {name}"


def _score(fit: LocationScaleResult) -> float:
    if fit.tau2_common == 0:
        raise OptionError("The common tau2 is 0, where log tau2 has no score: use kind='lr'.")
    data = Design(fit.effects.yi, fit.effects.vi, fit.moderators.matrix)
    return score_statistic(data, fit.scale_moderators.matrix, fit.tau2_common, restricted=fit.spec.method == "REML")
