"""Permutation tests: what an estimate would be if its sign, or its moderators, said nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.analysis.executors import TASK, check_executor, in_tasks, task_rng, tasks
from metaan.analysis.permutation_result import PermutationResult
from metaan.analysis.refits import check_result
from metaan.core.resample import (
    at_least,
    distinct_orders,
    every_order,
    every_sign,
    exact_limits,
    random_orders,
    random_signs,
)
from metaan.core.signs import sign_statistics
from metaan.core.wls import FloatArray
from metaan.errors import DataError, Note, OptionError, shown
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.permuted import Permuted, check_dealt, dealt
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.validate import whole

__all__ = ["permutation_test"]

IntArray = npt.NDArray[np.intp]

_MOST: Final = 2_000_000  # permutations of an exact test
_TESTS: Final = ("z", "t", "hk", "hk-adhoc")
_LEVEL: Final = 0.95  # of the interval for a p-value
_DOUBLINGS: Final = 20  # of two standard errors, to have a limit between two points
_STEPS: Final = 40  # of the search for it
_CLOSE: Final = 1e-9  # width in which it ends, in standard errors
_SAME: Final = 1e-6


class _Asked(NamedTuple):
    n: int
    exact: bool | None
    seed: int


def permutation_test(
    res: PoolResult | RegressResult,
    *,
    n: int = 1000,
    exact: bool | None = None,
    interval: bool = False,
    seed: int = 1,
    executor: Executor | None = None,
) -> PermutationResult:
    """Permutation test of a pooled effect, or of the coefficients of a meta-regression.

    Parameters
    ----------
    res : PoolResult or RegressResult
        From `metaan.pool` or `metaan.regress`, with test z, t, hk or hk-adhoc.
    n : int, default 1000
        Random permutations, where not all are gone through.
    exact : bool, optional
        Whether to go through all permutations, up to two million. By default, if there are no more than `n`.
    interval : bool, default False
        Whether to search the limits of the effects that the test does not reject; of a pooled effect only.
    seed : int, default 1
        Of the random permutations.
    executor : concurrent.futures.Executor, optional
        Who does the work, in tasks of 10,000 permutations; here by default. The numbers do not depend on it.

    Returns
    -------
    PermutationResult
        Per coefficient: statistic, p-value, its Monte Carlo standard error and 95 % interval; of a regression also the
        test of all moderators.

    Raises
    ------
    InputError
        `res` is no such result; `n` or `seed` is no whole number, or out of range.
    OptionError
        Results of counts (`metaan.glmm`, `beta_binomial`, `mantel_haenszel`, `peto`), which have no signs to turn;
        multilevel and robust results; test kr; an exact test of more than two million permutations; `interval` with
        moderators.
    DataError
        All effects are 0.

    Notes
    -----
    Pooled effect: under the hypothesis that the effects scatter symmetrically about 0 (analysis scale: a rate of 50 %
    for logits, a ratio of 1), each could as well have the other sign. The model is fitted again to y_i s_i with signs
    s_i; two vectors of opposite signs have opposite statistics, so that 2^(k - 1) fits are all. Regression: under the
    hypothesis that no moderator matters, the rows of the design could be dealt out otherwise; alike rows are told
    apart only once. A regression on nothing but an intercept is a pooled effect.

    The p-value is two-sided: the share of permutations, the observed one among them, with ``|statistic|`` as large as
    the observed or larger, and for all moderators with QM as large; differences below 1.5e-8 (of a statistic above 1,
    below that part of it) are ties. An exact test takes all permutations. Otherwise, with b of n random ones as large,
    p = (1 + b)/(1 + n) (Phipson & Smyth 2010), which is metafor's convention with ``iter = n + 1``; its standard error
    is sqrt(p (1 - p)/n), and the interval that of Clopper and Pearson for the p-value of the exact test.

    The p-value of an exact test cannot be smaller than 2/2^k, or one over the number of orders.

    `interval`: the limits are those theta at which the one-sided test of y_i - theta, the same signs for each theta,
    passes through (1 - level)/2. Too few permutations leave them infinite.

    References
    ----------
    Follmann DA, Proschan MA (1999). Biometrics 55:732-737. doi:10.1111/j.0006-341X.1999.00732.x
    Higgins JPT, Thompson SG (2004). Stat Med 23:1663-1682. doi:10.1002/sim.1752
    Phipson B, Smyth GK (2010). Stat Appl Genet Mol Biol 9:39. doi:10.2202/1544-6115.1585

    Examples
    --------
    >>> from metaan import effects, permutation_test, pool
    >>> res = pool(effects([0.1, 0.3, 0.2, 1.1, 0.4, 0.5], [0.01, 0.02, 0.02, 0.01, 0.03, 0.02]), test="z")
    >>> found = permutation_test(res)
    >>> found.exact, found.permutations, found.pvalue
    (True, 64, array([0.03125]))
    """
    asked = _asked(n, exact, interval, seed)
    check_executor(executor)
    if isinstance(res, RegressResult) and res.names != ("Intercept",):
        if interval:
            raise OptionError("interval=True is for a pooled effect; coefficients have the limits of the regression.")
        return _of_moderators(res, asked, executor)
    return _of_mean(res, asked, interval, executor)


def _asked(n: object, exact: object, interval: object, seed: object) -> _Asked:
    drawn, start = whole("n", n, 1), whole("seed", seed, 0)
    if not isinstance(exact, (bool, np.bool_, type(None))) or not isinstance(interval, (bool, np.bool_)):
        raise OptionError(
            f"exact={shown(exact)} must be True, False or None, and interval={shown(interval)} True or False."
        )
    return _Asked(drawn, None if exact is None else bool(exact), start)


def _settled(asked: _Asked, fits: int) -> _Asked:
    """Whether the test is exact, for which it takes so many fits."""
    if asked.exact and fits > _MOST:
        text = f"An exact test has {fits:.3g} permutations; {_MOST:,} are the most."
        raise OptionError(f"{text} Leave exact out, and take as many random ones (n=) as the p-value needs.")
    return asked._replace(exact=fits <= asked.n if asked.exact is None else asked.exact)


class _Signs(NamedTuple):
    """A pooled effect and the signs that its studies are given, (k, n): as they are in the first column."""

    y: FloatArray
    v: FloatArray
    weights: FloatArray | None
    spec: Spec
    signs: npt.NDArray[np.int8]
    exact: bool
    executor: Executor | None

    def statistics(self, theta: float = 0.0) -> FloatArray:
        """Statistics of y - theta with each column of signs, (n,)."""
        parts = tasks(self.signs.shape[1] - 1)  # the first column goes with the first task
        columns = [slice(part.start + (part.start > 0), part.stop + 1) for part in parts] or [slice(0, 1)]
        alone = self._replace(signs=self.signs[:, :0], executor=None)
        return np.concatenate(
            in_tasks(_Signs.of, [(alone, self.y - theta, self.signs[:, part]) for part in columns], self.executor)
        )

    def of(self, y: FloatArray, signs: npt.NDArray[np.int8]) -> FloatArray:
        """Statistics of y with each column of signs, (n,)."""
        spec = self.spec
        return sign_statistics(y, self.v, signs, method=spec.method, test=spec.test, weights=self.weights)

    def share(self, theta: float, side: int) -> float:
        """One-sided p-value of the effect theta: `side` 1 asks for large statistics."""
        values = side * self.statistics(theta)
        hits = float(at_least(values, values[0]))
        if self.exact:  # the other half has the opposite signs
            return (hits + float(at_least(-values, values[0]))) / (2 * values.size)
        return hits / values.size


def _of_mean(
    res: PoolResult | RegressResult, asked: _Asked, interval: bool, executor: Executor | None
) -> PermutationResult:
    _check(res)
    res = getattr(res, "analysis", None) or res
    eff, k = res.effects, res.effects.k
    asked = _settled(asked, 2 ** (k - 1))
    exact = bool(asked.exact)
    signs = every_sign(k) if exact else np.column_stack([np.ones(k, dtype=np.int8), *_drawn(random_signs, k, asked)])
    weights = res.weights if res.spec.method == "GENQ" else None
    of = _Signs(eff.yi, eff.vi, weights, res.spec, signs, exact, executor)
    values = of.statistics()[:, None]
    observed, given = float(values[0, 0]), float(np.ravel(res.statistic)[0])
    if math.isnan(observed):
        raise DataError("All effects are 0 on the analysis scale: turned signs change nothing.")
    if math.isfinite(given) and abs(observed - given) > _SAME * (1 + abs(given)):
        raise OptionError("permutation_test takes results whose tau2 was estimated from their own studies.")
    notes = eff.notes + _about_zero(eff)
    limits = (_limit(of, res, 1), _limit(of, res, -1)) if interval else (math.nan, math.nan)
    every = np.concatenate([values, -values]) if exact else values[1:]
    return _result(res, ("mean",), np.array([observed]), every, asked, notes + _open(limits), limits=limits)


def _drawn(draw: Callable[..., Any], k: int, asked: _Asked) -> list[Any]:
    """Random signs or orders, those of a task from its own seed."""
    return [draw(k, part.stop - part.start, task_rng(asked.seed, task)) for task, part in enumerate(tasks(asked.n))]


def _check(res: PoolResult | RegressResult) -> None:
    spec = getattr(res, "spec", None)
    if getattr(spec, "model", "") in ("glmm", "beta-binomial", "stratified"):
        text = "permutation_test turns the signs of effects, which counts do not have"
        raise OptionError(f"{text}: give it pool(effect_size(...)), or use bootstrap.")
    if not isinstance(res, RegressResult):
        check_result(res, "permutation_test", ("normal", "regression"))
    elif res.spec.model != "regression":
        check_dealt(res, "permutation_test")
    if res.spec.test not in _TESTS:
        text = f"permutation_test compares statistics of test z, t, hk or hk-adhoc; those of {res.spec.test!r} have"
        raise OptionError(f"{text} other degrees of freedom in every permutation.")


def _about_zero(eff: Effects) -> tuple[Note, ...]:
    """What 0 on the analysis scale means."""
    kind = KINDS[eff.measure]
    if kind.scale not in ("rate", "incidence"):
        return ()
    scale = display_scale(eff)
    null = scale.inverse_point(0.0)
    text = f"The hypothesis is a {kind.shown.lower()} of {null:g}, about which effects scatter symmetrically."
    return (Note("null", text),)


def _limit(of: _Signs, res: PoolResult | RegressResult, side: int) -> float:
    """The effect at which the one-sided test that it is no larger (smaller) passes through (1 - level)/2."""
    tail, inside, se = (1 - res.spec.level) / 2, float(np.ravel(res.estimate)[0]), float(np.ravel(res.se)[0])
    outside = inside - side * 2 * se
    if 1 / (of.signs.shape[1] * (1 + of.exact)) > tail:
        return -side * math.inf
    for _ in range(_DOUBLINGS):
        if not of.share(outside, side) > tail:
            break
        outside = inside + 2 * (outside - inside)
    else:
        return -side * math.inf
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if of.share(middle, side) > tail else (inside, middle)
        if abs(inside - outside) <= _CLOSE * se:
            break
    return (inside + outside) / 2


def _open(limits: tuple[float, float]) -> tuple[Note, ...]:
    if not any(map(math.isinf, limits)):
        return ()
    return (Note("open", "Too few permutations for the level of the interval: it is open."),)


def _of_moderators(res: RegressResult, asked: _Asked, executor: Executor | None) -> PermutationResult:
    check_dealt(res, "permutation_test")
    codes = np.unique(res.moderators.matrix, axis=0, return_inverse=True)[1].ravel()
    asked = _settled(asked, distinct_orders(codes))
    rows = every_order(codes) if asked.exact else np.vstack(_drawn(random_orders, res.k, asked))
    rows = np.vstack([np.arange(res.k), rows])
    fits = in_tasks(dealt, [(res, rows[part]) for part in tasks(len(rows), TASK + 1)], executor)
    every = Permuted(*(np.concatenate(column) for column in zip(*fits, strict=True)))
    notes = res.effects.notes + tuple(note for note in res.notes if note.code == "few-studies")
    return _result(
        res, res.names, every.statistic[0], every.statistic[1:], asked, notes,
        joint=(float(every.QM[0]), every.QM[1:]) if res.QM_df else (math.nan, np.empty(0)),
    )  # fmt: skip


def _result(
    res: PoolResult | RegressResult, names: tuple[str, ...], observed: FloatArray, values: FloatArray, asked: _Asked,
    notes: tuple[Note, ...], *, limits: tuple[float, float] = (math.nan, math.nan),
    joint: tuple[float, FloatArray] = (math.nan, np.empty(0)),
) -> PermutationResult:  # fmt: skip
    n, exact = len(values), bool(asked.exact)
    pvalue, error, low, high = _pvalue(at_least(np.abs(values), np.abs(observed)), n, exact)
    fewest = (2 if names == ("mean",) else 1) / n
    if exact and fewest > 1 - res.spec.level:
        text = f"{n} permutations: no p-value can be below {fewest:.2g}, whatever the effects."
        notes += (Note("few-permutations", text),)
    hits = at_least(joint[1], joint[0])
    q = _pvalue(hits, n, exact) if joint[1].size else (math.nan, math.nan)
    return PermutationResult(
        names=names, statistic=observed, pvalue=pvalue, mc_error=error, pvalue_low=low, pvalue_high=high,
        pvalue_model=np.atleast_1d(res.pvalue), QM=joint[0], QM_pvalue=float(q[0]), QM_mc_error=float(q[1]),
        QM_pvalue_model=getattr(res, "QM_pvalue", math.nan), permutations=n, exact=exact,
        seed=None if exact else asked.seed, ci_low=limits[0], ci_high=limits[1], level=res.spec.level,
        statistics=values, QM_statistics=joint[1], method=res.spec.method, test=res.spec.test,
        formula=res.spec.formula, effects=res.effects, notes=notes,
    )  # fmt: skip


def _pvalue(hits: IntArray, n: int, exact: bool) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """P-value, its Monte Carlo standard error and interval."""
    if exact:
        share = hits / n
        return share, np.zeros_like(share), share, share
    share = (1 + hits) / (1 + n)
    return share, np.sqrt(share * (1 - share) / n), *exact_limits(hits, n, _LEVEL)
