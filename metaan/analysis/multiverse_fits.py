"""The analyses of a multiverse, all that share a kernel in one call of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.analysis.batch import pool_many
from metaan.analysis.executors import as_done
from metaan.analysis.multiverse_data import Rows
from metaan.core.beta_binomial_fit import problem_of
from metaan.core.links import LINKS, family_of
from metaan.core.many import Many
from metaan.core.many_beta import beta_many
from metaan.core.many_counts import counts_many
from metaan.core.transforms import INVERSE, double_arcsine_inverse, harmonic_mean
from metaan.core.wls import Data, arrange
from metaan.measures.backtransform import display_scale
from metaan.measures.effect_size import effect_size
from metaan.measures.record import Effects
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NUMBERS", "fits"]

POINTS: Final = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
NUMBERS: Final = (*POINTS, "tau2", "I2")
_LARGEST: Final = 5e6  # totals that a likelihood takes
_LINK: Final = {"PLO": "logit", "PROBIT": "probit", "CLOGLOG": "cloglog", "PLN": "log"}
_KERNEL: Final = ["model", "method", "test"]  # what a call of a kernel has one of

IntArray = npt.NDArray[np.intp]


class Fitted(NamedTuple):
    """Numbers of some analyses on the analysis scale, their codes, and why one has no answer ("" where it has)."""

    numbers: dict[str, FloatArray]
    converged: npt.NDArray[np.bool_]
    codes: list[str]
    reason: list[str]


def fits(
    plan: pd.DataFrame, sets: tuple[Rows, ...], *, level: float, pi: str, told: Callable[[int], Any],
    executor: Executor | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Results of the analyses of `plan` on the display scale, one row for each.

    Parameters
    ----------
    plan : pandas.DataFrame
        Columns set (place in `sets`), model, measure, correction, method, test.
    sets : tuple of Rows
    level : float
    pi : str
    told : callable
        Told how many analyses a step has done.
    executor : concurrent.futures.Executor, optional
        Who calls the kernels.
    """
    import pandas as pd

    n = len(plan)
    made: dict[str, Any] = {name: np.full(n, np.nan) for name in NUMBERS}
    made |= {"converged": np.zeros(n, dtype=bool), "notes": [""] * n, "reason": [""] * n}
    jobs = list(_jobs(plan.reset_index(drop=True), sets, level, pi))
    answers = as_done(_done, [(job.kernel, job.given) for job in jobs], executor)
    for job, answer in zip(jobs, answers, strict=True):
        where, found = job.where, _shown(answer, job.measures, job.effects)
        for name in NUMBERS:
            made[name][where] = found.numbers[name]
        made["converged"][where] = found.converged
        for row, codes, reason in zip(where.tolist(), found.codes, found.reason, strict=True):
            made["notes"][row], made["reason"][row] = codes, reason
        told(where.size)
    return pd.DataFrame(made)


class _Job(NamedTuple):
    """One call of a kernel: the rows of the plan that it answers, and how their answers are shown."""

    where: IntArray
    kernel: Callable[..., Fitted]
    given: dict[str, Any]
    measures: list[str]
    effects: list[Effects]


def _done(kernel: Callable[..., Fitted], given: dict[str, Any]) -> Fitted:
    return kernel(**given)


def _jobs(plan: pd.DataFrame, sets: tuple[Rows, ...], level: float, pi: str) -> Iterator[_Job]:
    """All calls of kernels."""
    failed = np.array([rows.failed for rows in sets])[plan["set"].to_numpy()]
    gone = np.flatnonzero(failed != "")
    if gone.size:
        yield _Job(gone, _nothing, {"reason": [str(failed[i]) for i in gone]}, [], [])
    here = plan[failed == ""]
    prepared: dict[tuple[int, str, str], Effects] = {}
    exact = here["model"] != "normal"
    how = {"level": level, "pi": pi}
    for (_, _, test), part in here[~exact].groupby(_KERNEL, sort=False):
        eff = [_effects(sets, key, prepared) for key in _keys(part)]
        yi, vi = (_padded([getattr(one, name) for one in eff]).T for name in ("yi", "vi"))
        given = {
            "yi": yi,
            "vi": vi,
            "own": list(map(_own, eff)),
            "method": str(part["method"].iloc[0]),
            "test": str(test),
        }
        yield _Job(
            part.index.to_numpy(), _normal, given | how | {"test": str(test)}, [str(m) for m in part["measure"]], eff
        )
    for (model, measure, test), part in here[exact].groupby(["model", "measure", "test"], sort=False):
        where = part.index.to_numpy()
        large = np.array([sets[i].total.max() > _LARGEST for i in part["set"]])
        if large.any():
            reason = ["a total beyond 5 million, which no likelihood takes"] * int(large.sum())
            yield _Job(where[large], _nothing, {"reason": reason}, [], [])
        if not large.all():
            chosen = [sets[i] for i in part["set"][~large]]
            x, n = (_padded([getattr(rows, name) for rows in chosen]) for name in ("events", "total"))
            given = {"x": x, "n": n, "model": str(model), "measure": str(measure), "test": str(test)}
            yield _Job(where[~large], _exact, given | how, [str(measure)] * len(chosen), [])


def _keys(part: pd.DataFrame) -> list[tuple[int, str, str]]:
    return list(zip(part["set"], part["measure"], part["correction"], strict=True))


def _effects(
    sets: tuple[Rows, ...], key: tuple[int, str, str], prepared: dict[tuple[int, str, str], Effects]
) -> Effects:
    """Effect sizes of one set, reckoned once."""
    if key not in prepared:
        rows = sets[key[0]]
        if rows.effects is not None:
            prepared[key] = rows.effects
        else:
            prepared[key] = effect_size(
                key[1], rows.effective, events=rows.events, total=rows.total, study=rows.study, correction=key[2]
            )
    return prepared[key]


def _padded(columns: list[FloatArray]) -> FloatArray:
    """Columns of different length side by side, shape (k, n), NaN below the shorter ones."""
    array = np.full((max(part.size for part in columns), len(columns)), np.nan)
    for j, part in enumerate(columns):
        array[: part.size, j] = part
    return array


def _normal(yi: FloatArray, vi: FloatArray, own: list[str], *, method: str, test: str, level: float, pi: str) -> Fitted:
    found = pool_many(yi, vi, method=method, test=test, level=level, pi=pi, output="arrays")
    numbers = {name: found[name] for name in NUMBERS}
    codes = [",".join(filter(None, texts)) for texts in zip(own, found["notes"], strict=True)]
    few = "Kenward-Roger leaves too few degrees of freedom"
    reason = [few if "no-df" in text.split(",") else "" for text in found["notes"]]
    return _answered(numbers, found["converged"], codes, reason)


def _own(eff: Effects) -> str:
    """Codes of the notes on the effects themselves."""
    repeated = [] if len(set(eff.study)) == eff.k else ["repeated-studies"]
    return ",".join([*(note.code for note in eff.notes), *repeated])


def _exact(x: FloatArray, n: FloatArray, *, model: str, measure: str, test: str, level: float, pi: str) -> Fitted:
    here = ~np.isnan(n)
    data = _empirical(x, n, here, _LINK[measure])
    x, n = np.where(here, x, 0.0), np.where(here, n, 0.0)
    how: dict[str, Any] = {"test": "t" if test == "profile" else test, "ci": "profile" if test == "profile" else "wald"}
    with np.errstate(divide="ignore", invalid="ignore"):
        if model == "glmm":
            many = counts_many(family_of(x, n, _LINK[measure]), data, level=level, pi=pi, **how)[1]
        else:
            many = beta_many(problem_of(x, n), data, level=level, pi="none" if pi == "none" else "beta", **how)
    steep = "the likelihood is too steep near a rate of 1 for its curvature to be reckoned"
    reason = ["" if se > 0 else steep for se in many.columns["se"]]
    codes = [",".join(_codes(many, j)) for j in range(x.shape[1])]
    return _answered(many.columns, np.asarray(many.columns["converged"], dtype=bool), codes, reason)


def _codes(many: Many, j: int) -> list[str]:
    return [code for code, flag in many.flags.items() if flag[j]]


def _empirical(x: FloatArray, n: FloatArray, here: npt.NDArray[np.bool_], link: str) -> Data:
    """Empirical effects, 0.5 added at 0 and n, for Q, I2 and H2."""
    add = np.where(here & ((x == 0) | (x == n)), 0.5, 0.0)
    hit, size = x + add, n + 2 * add
    if link == "logit":
        return arrange(np.log(hit / (size - hit)).T, (1 / hit + 1 / (size - hit)).T)
    p = hit / size
    return arrange(LINKS[link].of_rate(p).T, (LINKS[link].derivative(p) ** 2 * p * (1 - p) / size).T)


def _answered(
    numbers: dict[str, FloatArray], converged: npt.NDArray[np.bool_], codes: list[str], reason: list[str]
) -> Fitted:
    """Numbers of those that have an answer; NaN for the others."""
    known = np.array([not text for text in reason])
    return Fitted({name: np.where(known, numbers[name], np.nan) for name in NUMBERS}, converged & known, codes, reason)


def _nothing(reason: list[str]) -> Fitted:
    blank = np.full(len(reason), np.nan)
    return Fitted(dict.fromkeys(NUMBERS, blank), np.zeros(len(reason), dtype=bool), [""] * len(reason), reason)


def _shown(found: Fitted, measures: list[str], eff: list[Effects]) -> Fitted:
    """Estimates and limits on the display scale."""
    numbers = dict(found.numbers)
    for measure in dict.fromkeys(measures):
        mine = np.array([other == measure for other in measures])
        own = [one for one, yes in zip(eff, mine, strict=True) if yes] if eff else []
        for name in POINTS:
            values = numbers[name].copy()
            values[mine] = _turned(measure, values[mine], own)
            numbers[name] = values
    return found._replace(numbers=numbers)


def _turned(measure: str, values: FloatArray, eff: list[Effects]) -> FloatArray:
    known = ~np.isnan(values)
    inside = np.where(known, values, 0.5)
    if measure == "PFT":
        sizes = np.array([harmonic_mean(np.asarray(one.total)) for one in eff])
        turned = double_arcsine_inverse(inside, sizes)
    elif measure == "IRFT":
        turned = np.array([display_scale(one).inverse_point(float(v)) for one, v in zip(eff, inside, strict=True)])
    else:
        turned = INVERSE[measure](inside)
    return np.where(known, turned, np.nan)
