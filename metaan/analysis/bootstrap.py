"""Bootstrap of a meta-analysis: what its estimates would have been with other studies, or other data of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np

from metaan.analysis.bootstrap_models import Bootstrapped, model_of
from metaan.analysis.bootstrap_result import INTERVALS, BootstrapResult
from metaan.analysis.executors import LIKELIHOODS, TASK, check_executor, in_tasks, task_rng, tasks
from metaan.core.resample import basic, bca, normal, percentile
from metaan.core.wls import FloatArray
from metaan.errors import DataError, InputError, Note, OptionError
from metaan.models.cautions import data_notes, repeated
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.validate import Option, check_level, whole

__all__ = ["KIND", "bootstrap"]

KIND: Final = Option(
    "kind",
    {
        "nonparametric": "studies drawn with replacement",
        "parametric": "data simulated under the fitted model, the studies' sizes or variances kept",
    },
    "nonparametric",
)
_FEW: Final = 10  # studies: fewer resample too narrowly
_TAIL: Final = 10  # replicates that should lie beyond a limit
_SAME: Final = 1e-6


def bootstrap(
    res: PoolResult | RegressResult,
    *,
    n: int = 2000,
    kind: str = "nonparametric",
    ci: str | Sequence[str] = ("percentile", "basic", "normal", "bca"),
    level: float | None = None,
    seed: int = 1,
    executor: Executor | None = None,
) -> BootstrapResult:
    """Bootstrap standard errors, bias and intervals of a pooled effect, its heterogeneity, or a regression.

    Parameters
    ----------
    res : PoolResult, RegressResult, GlmmResult, BetaBinomialResult or StratifiedResult
        From `metaan.pool`, `regress`, `glmm` (rates of one arm), `beta_binomial`, `mantel_haenszel` or `peto`.
    n : int, default 2000
        Replicates.
    kind : {"nonparametric", "parametric"}
        Studies drawn with replacement, or data simulated under the fitted model.
    ci : str or sequence of str
        Intervals: any of percentile, basic, normal and bca.
    level : float, optional
        Of the intervals, in (0.5, 1); that of the result by default.
    seed : int, default 1
    executor : concurrent.futures.Executor, optional
        Who does the work, in tasks of 10,000 replicates (500 of a likelihood of
        counts); here by default. The numbers do not depend on it.

    Returns
    -------
    BootstrapResult
        Statistics on the analysis scale: estimate, tau2 and I2 (beta-binomial: also rho; Mantel-Haenszel and Peto:
        the estimate alone; regressions: every coefficient, tau2 and I2). `BootstrapResult.back` gives rates or ratios.

    Raises
    ------
    InputError
        `res` is no such result; `n` or `seed` is no whole number, or out of range; one study, for resampling.
    OptionError
        Unknown kind or interval; a model without a bootstrap (two arms by `glmm`, multilevel, robust ...); a
        parametric one of RR, RD or IRD by Mantel-Haenszel, or of a rate of 0 or 1.
    DataError
        No replicate has an estimate.

    Notes
    -----
    Nonparametric: k studies are drawn with replacement from the k, with their variances, counts and moderators.
    Parametric: y_i ~ N(x_i'beta, v_i + tau2); counts from Binomial(n_i, p_i) with g(p_i) ~ N(mu, tau2), from Poisson
    (t_i exp(eta_i)), or from beta-binomial distributions; odds ratios from Fisher's non-central hypergeometric
    distribution given the margins of each table, and rate ratios from the binomial distribution given the events of
    both arms, each with the pooled ratio. RR, RD and rate differences have a baseline that no margin takes away.

    With t the estimate and t* the replicates: percentile takes quantiles of t*, basic 2t less these, reversed, normal
    t less the bias -+ z se. bca takes quantiles at Phi(z0 + (z0 + z)/(1 - a(z0 + z))) with z0 the normal quantile of
    the share of t* below t (ties half) and a = sum d^3/(6 (sum d^2)^1.5), d_i being the mean of the estimates without
    one study less that without study i; for parametric replicates too. No bca interval where all replicates lie on
    one side, as those of tau2 often do where it is 0.

    Drawing whole studies makes many that are alike, so that tau2 of resamples is too low on average, and k < 10 studies
    are too few for their scatter to be that of studies to come. A replicate without an estimate (moderators that do not
    vary among the studies drawn, a ratio of 0 or infinity by Mantel-Haenszel) is left out and counted. One with an
    infinite estimate (no events in any study drawn) is kept: quantiles take it as it is, standard error and bias do not
    exist.

    References
    ----------
    Efron B (1987). J Am Stat Assoc 82:171-185. doi:10.1080/01621459.1987.10478410
    Davison AC, Hinkley DV (1997). Bootstrap Methods and their Application. Cambridge University Press.
    van den Noortgate W, Onghena P (2005). Behav Res Methods 37:11-22.

    Examples
    --------
    >>> from metaan import bootstrap, effects, pool
    >>> res = pool(effects([0.1, 0.3, 0.2, 1.1, 0.4, 0.5], [0.01, 0.02, 0.02, 0.01, 0.03, 0.02]))
    >>> found = bootstrap(res, n=500, kind="parametric")
    >>> found.to_frame()[["statistic", "estimate", "se"]].round(2)
      statistic  estimate     se
    0  estimate      0.44   0.15
    1      tau2      0.12   0.08
    2        I2     88.29  17.04
    """
    n, seed = whole("n", n, 2), whole("seed", seed, 0)
    KIND.check(kind)
    check_executor(executor)
    wanted = tuple(INTERVALS.check(name) for name in ((ci,) if isinstance(ci, str) else ci))
    res = getattr(res, "analysis", None) or res
    of = model_of(res)
    level = res.spec.level if level is None else check_level(level)
    values = _replicates(res, of, n, kind, seed, executor)
    known = ~np.isnan(values).any(axis=1)
    if known.sum() < 2:
        raise DataError("No replicate has an estimate: the studies that are drawn do not tell it.")
    values = values[known]
    failures = int((~known).sum())
    without = of.without() if "bca" in wanted and res.k > 1 else np.full((res.k, len(of.names)), math.nan)
    intervals, z0, acceleration = _intervals(of.observed, values, without, wanted, level)
    return BootstrapResult(
        names=of.names, observed=of.observed, se=_spread(values), bias=_mean(values) - of.observed,
        intervals=intervals, z0=z0, acceleration=acceleration, replicates=values, n=int(n), failures=failures,
        kind=kind, level=level, seed=int(seed), k=res.k, spec=res.spec, effects=res.effects,
        notes=_notes(res, of, values, failures, intervals, kind=kind, level=level),
    )  # fmt: skip


def _replicates(
    res: PoolResult | RegressResult, of: Bootstrapped, n: int, kind: str, seed: int, executor: Executor | None
) -> FloatArray:
    """Statistics of the replicates, (n, m)."""
    if not _its_own(of):
        raise OptionError("bootstrap takes results whose tau2 was estimated from their own studies.")
    if kind == "parametric":
        if of.simulated is None:
            raise OptionError(f"kind='parametric' does not apply: {_why_not(res)}. Use kind='nonparametric'.")
    elif res.k < 2:
        raise InputError("bootstrap needs at least two studies to draw from; the result has one.")
    unit = LIKELIHOODS if res.spec.model in ("glmm", "beta-binomial") else TASK
    work: list[tuple[Any, ...]] = []
    for task, part in enumerate(tasks(n)):
        count, rng = part.stop - part.start, task_rng(seed, task)
        drawn: tuple[Any, ...] = (rng.integers(0, res.k, (res.k, count)),) if kind == "nonparametric" else ()
        if kind == "parametric" and of.simulated is not None:
            drawn = of.simulated(count, rng)
        work += [(res, kind, tuple(column[:, some] for column in drawn)) for some in tasks(count, unit)]
    return np.concatenate(in_tasks(_fits, work, executor))


def _fits(res: PoolResult | RegressResult, kind: str, drawn: tuple[Any, ...]) -> FloatArray:
    """Statistics of what was drawn."""
    of = model_of(res)
    return of.of_simulated(drawn) if kind == "parametric" else of.resampled(drawn[0])


def _its_own(of: Bootstrapped) -> bool:
    """Whether the studies give what the result says."""
    found = of.fitted(tuple(column[:, None] for column in of.studies))[0]
    unit = 1 + np.abs(np.where(np.isfinite(of.observed), of.observed, 0.0))
    with np.errstate(invalid="ignore"):
        return bool(((found == of.observed) | (np.abs(found - of.observed) <= _SAME * unit)).all())


def _why_not(res: PoolResult | RegressResult) -> str:
    if res.spec.model == "stratified":
        return f"{res.spec.measure} leaves each trial a baseline that the margins of its table do not take away"
    return "the estimate is infinite, and every simulated count would be at the same end"


def _spread(values: FloatArray) -> FloatArray:
    """Standard deviation; infinite where a replicate is."""
    finite = np.isfinite(values).all(axis=0)
    return np.where(finite, np.where(finite, values, 0.0).std(axis=0, ddof=1), math.inf)


def _mean(values: FloatArray) -> FloatArray:
    """Mean; NaN where a replicate is infinite."""
    finite = np.isfinite(values).all(axis=0)
    return np.where(finite, np.where(finite, values, 0.0).mean(axis=0), math.nan)


def _intervals(
    observed: FloatArray, values: FloatArray, without: FloatArray, wanted: Sequence[str], level: float
) -> tuple[dict[str, FloatArray], FloatArray, FloatArray]:
    """Limits of each statistic by each kind, (m, 2), and the corrections of bca, (m,)."""
    m = observed.size
    z0, acceleration = np.full(m, math.nan), np.full(m, math.nan)
    made = {name: np.full((m, 2), math.nan) for name in wanted}
    for j in range(m):
        column, at, finite = values[:, j], float(observed[j]), bool(np.isfinite(values[:, j]).all())
        for name in wanted:
            if name == "percentile":
                made[name][j] = percentile(column, level)
            elif name == "basic" and math.isfinite(at):
                made[name][j] = basic(column, level, at)
            elif name == "normal" and finite and math.isfinite(at):
                made[name][j] = normal(column, level, at)
            elif name == "bca" and np.isfinite(without[:, j]).all():
                low, high, of = bca(column, level, at, without[:, j])
                made[name][j], z0[j], acceleration[j] = (low, high), of.bias, of.acceleration
    return made, z0, acceleration


def _notes(
    res: PoolResult | RegressResult, of: Bootstrapped, values: FloatArray, failures: int,
    intervals: dict[str, FloatArray], *, kind: str, level: float,
) -> tuple[Note, ...]:  # fmt: skip
    notes = [*res.effects.notes, *data_notes(res.effects.data), *repeated(res.effects)]
    if failures:
        text = f"{failures} of {failures + len(values)} replicates have no estimate and are left out."
        notes.append(Note("failures", text))
    endless = int(np.isinf(values[:, 0]).sum())
    if endless:
        text = f"{plural(endless, 'replicate')} with an infinite estimate: standard error and bias do not exist."
        notes.append(Note("infinite", text))
    if kind == "nonparametric" and res.k < _FEW:
        text = f"{plural(res.k, 'study')} to draw from: with fewer than {_FEW} the intervals are too narrow."
        notes.append(Note("few-studies", text))
    if len(values) * (1 - level) / 2 < _TAIL:
        text = f"Fewer than {_TAIL} of {len(values)} replicates lie beyond each limit: take more (n=)."
        notes.append(Note("few-replicates", text))
    none = [name for name, limits in zip(of.names, intervals.get("bca", ()), strict=False) if np.isnan(limits).any()]
    if none:
        text = f"No bca interval for {', '.join(none)}: every replicate lies on one side, or one study carries it."
        notes.append(Note("no-bca", text))
    return tuple(notes)
