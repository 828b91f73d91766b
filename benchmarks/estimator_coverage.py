"""Coverage of 95 % intervals for a pooled log odds ratio, and of prediction intervals for a new trial, simulated.

Control risks are logit-normal about `risk` with standard deviation 0.5, log odds ratios normal about -0.5 with standard
deviation `tau`, both arms of a trial have the same size, log-uniform on 20 to 200. Inverse variance adds 0.5 to trials
with an empty cell, the methods of rare events add nothing. A run in which a method gives no interval counts as a miss;
the coverage of a prediction interval is the probability that it contains the true effect of a new trial.

Lesions: ten studies of 5 to 20 patients with 1 + Poisson(m - 1) lesions each, m = 4 or, differing between studies,
log-uniform on 1 to 30. Rates of patients are beta distributed about that of the study with intracluster correlation
`icc`; true rates logit-normal about 0.4 with standard deviation `tau`.

Four tables: confidence intervals, prediction intervals with the estimators of tau2 behind them, rare events, lesions.
Every cell is drawn from a seed of its own. `--rare-runs 0` and `--lesion-runs 0` leave out the slow ones.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri
from side_by_side import one_thread, surroundings

import metaan
from metaan.core.tables import KINDS
from metaan.errors import MetaanError

FloatArray = npt.NDArray[np.float64]
Cells = tuple[FloatArray, FloatArray, FloatArray, FloatArray]

Z = float(ndtri(0.975))
EFFECT, SPREAD, SMALLEST, LARGEST = -0.5, 0.5, 20, 200
TAUS = (0.0, 0.3, 0.6)
COMMON = list(product((0.1, 0.3), (3, 5, 10, 20), TAUS))
RARE = list(product((0.01, 0.03), (5, 10, 20), (0.0, 0.6)))
LESIONS = list(product(("4", "1 to 30"), (0.2, 0.5), (0.0, 0.5)))
RATE, STUDIES = 0.4, 10
MEANS = {
    "CE z": ("CE", "z"), "DL z": ("DL", "z"), "REML z": ("REML", "z"), "REML t": ("REML", "t"),
    "REML hk": ("REML", "hk"), "REML hk-adhoc": ("REML", "hk-adhoc"), "REML kr": ("REML", "kr"),
    "DL hk": ("DL", "hk"), "PM hk": ("PM", "hk"), "SJ hk": ("SJ", "hk"),
}  # fmt: skip
PREDICTIONS = ("simple", "z", "t", "hts", "hk")
ESTIMATORS = ("DL", "REML", "ML", "PM", "SJ")


def draw(risk: float, k: int, tau: float, runs: int, seed: int) -> Cells:
    """Events and non-events of the treated and of the control arms, (runs, k)."""
    rng = np.random.default_rng([seed, k, round(1000 * risk), round(10 * tau)])
    n = np.round(np.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST), (runs, k))))
    base = logit(risk) + SPREAD * rng.standard_normal((runs, k))
    effect = EFFECT + tau * rng.standard_normal((runs, k))
    a, c = (rng.binomial(n.astype(int), expit(x)).astype(np.float64) for x in (base + effect, base))
    return a, n - a, c, n - c


def effects(cells: Cells) -> tuple[FloatArray, FloatArray]:
    """Log odds ratios and their variances, 0.5 added to the trials with an empty cell."""
    empty = np.any([cell == 0 for cell in cells], axis=0)
    a, b, c, d = (cell + 0.5 * empty for cell in cells)
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d


def inside(low: Any, high: Any, truth: float = EFFECT) -> float:
    """Per cent of intervals that contain the truth."""
    return 100 * float(np.mean((np.asarray(low) <= truth) & (np.asarray(high) >= truth)))


def pooled(y: FloatArray, v: FloatArray, **options: str) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = metaan.pool_many(y, v, output="arrays", **options)
    return found


def common(risk: float, k: int, tau: float, runs: int, seed: int) -> tuple[list[float], list[float]]:
    """Coverage of the mean by each method; of a new effect by each interval, how often tau2 is 0, each mean tau2."""
    y, v = effects(draw(risk, k, tau, runs, seed))
    means = [pooled(y, v, method=method, test=test) for method, test in MEANS.values()]
    new = []
    for pi in PREDICTIONS:
        found = pooled(y, v, method="REML", test="z", pi=pi)
        new.append(chance(found["pi_low"], found["pi_high"], tau))
    new.append(100 * float(np.mean(means[list(MEANS).index("REML z")]["tau2"] == 0)))
    tau2 = [float(pooled(y, v, method=method, test="z")["tau2"].mean()) for method in ESTIMATORS]
    none = 100 * float(np.mean(np.isnan(means[list(MEANS).index("REML kr")]["ci_low"])))
    return [*(inside(m["ci_low"], m["ci_high"]) for m in means), none], new + tau2


def chance(low: FloatArray, high: FloatArray, tau: float, truth: float = EFFECT) -> float:
    """Per cent of new trials whose true effect lies between the limits, which may be NaN."""
    if tau == 0:
        return inside(low, high, truth)
    return 100 * float(np.nan_to_num(ndtr((high - truth) / tau) - ndtr((low - truth) / tau)).mean())


def rare(risk: float, k: int, tau: float, runs: int, seed: int) -> list[float]:
    """Coverage of the mean by methods for rare events, and the per cent of trials without events."""
    cells = draw(risk, k, tau, runs, seed)
    y, v = effects(cells)
    row = [inside(m["ci_low"], m["ci_high"]) for m in (pooled(y, v, method="DL", test="z"), pooled(y, v))]
    row += [inside(*_by_tables(measure, cells)) for measure in ("OR", "PETO")]
    limits = np.array(list(_conditional(cells))).T
    row += [inside(*limits[:2]), inside(*limits[2:])]
    return [*row, 100 * float(np.mean(cells[0] + cells[2] == 0))]


def _by_tables(measure: str, cells: Cells) -> tuple[FloatArray, FloatArray]:
    """Mantel-Haenszel and Peto: normal limits of sums over the trials."""
    kind = KINDS[measure]
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = kind.pooled(*(term.sum(axis=1) for term in kind.terms(*cells)))
        half = Z * np.sqrt(variance)
    return estimate - half, estimate + half


def _conditional(cells: Cells) -> Iterator[tuple[float, float, float, float]]:
    """Limits by z and by t of `metaan.glmm("OR", model="CM.EL")`, a run after the other."""
    for a, b, c, d in zip(*cells, strict=True):
        try:
            found = metaan.glmm("OR", events_t=a, total_t=a + b, events_c=c, total_c=c + d, model="CM.EL", test="t")
        except MetaanError:
            yield (math.nan,) * 4
            continue
        by_t = found.ci_low, found.ci_high
        half = Z * found.se
        by_z = (found.estimate - half, found.estimate + half) if math.isfinite(half) else by_t  # likelihood ratio
        yield (*by_z, *by_t)


def lesions(each: str, icc: float, tau: float, runs: int, few: int, seed: int) -> list[float]:
    """Coverage with lesions taken as independent (all runs), and with their correlation in the model (few runs)."""
    events, total, patients = _clusters(each, icc, tau, runs, seed)
    few = few if each == "4" else 0  # large clusters are slow
    truth = float(logit(RATE))
    x, n = events.sum(axis=1), total.sum(axis=1)
    middle, half = logit(x / n), Z * np.sqrt(n / (x * (n - x)))
    one = metaan.pool_many(events=events, total=total, model="glmm", output="arrays")
    ends = [
        (found.ci_low, found.ci_high, found.pi_low, found.pi_high, found.tau)
        for x, n, m in zip(events[:few], total[:few], patients[:few], strict=True)
        for found in [metaan.clustered_binomial(events=x, total=n, patients=m, icc=icc)]
    ]
    two = np.array(ends).T if few else np.full((5, 1), math.nan)
    row = [inside(middle - half, middle + half, truth)]
    row += [inside(one["ci_low"], one["ci_high"], truth), chance(one["pi_low"], one["pi_high"], tau, truth)]
    row += [inside(*two[:2], truth), chance(*two[2:4], tau, truth)] if few else [math.nan] * 2
    return [*row, float(one["tau"].mean()), float(two[4].mean())]


def _clusters(each: str, icc: float, tau: float, runs: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Events, lesions and patients, (runs, k)."""
    rng = np.random.default_rng([seed, round(10 * icc), round(10 * tau)])
    patients = rng.integers(5, 21, (runs, STUDIES))
    p = expit(logit(RATE) + tau * rng.standard_normal((runs, STUDIES)))[..., None]
    mean = np.full((runs, STUDIES), 4.0) if each == "4" else np.exp(rng.uniform(0, math.log(30), (runs, STUDIES)))
    size = 1 + rng.poisson(mean[..., None] - 1, (runs, STUDIES, 20))
    size = np.where(np.arange(20) < patients[..., None], size, 0)
    apart = 1 / icc - 1
    hit = rng.binomial(size, rng.beta(apart * p, apart * (1 - p), size.shape))
    return hit.sum(axis=2).astype(float), size.sum(axis=2).astype(float), patients.astype(float)


def across(pool: Executor, function: Callable[..., Any], cells: list[tuple[Any, ...]], *more: int) -> list[Any]:
    """What a function gives for each cell."""
    return list(pool.map(function, *zip(*((*at, *more) for at in cells), strict=True)))


def table(head: list[str], cells: list[tuple[Any, ...]], rows: list[list[float]], fine: int = 0) -> None:
    """Print Markdown: per cent with one digit, the last `fine` columns with three."""
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for at, values in zip(cells, rows, strict=True):
        digits = [1] * (len(values) - fine) + [3] * fine
        shown = [x if isinstance(x, str) else f"{x:g}" for x in at]
        shown += ["" if math.isnan(x) else f"{x:.{d}f}" for x, d in zip(values, digits, strict=True)]
        print("| " + " | ".join(shown) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rare-runs", type=int, default=1000)
    parser.add_argument("--lesion-runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    surroundings("metaan", "numpy", "scipy")
    where = ["risk", "k", "tau"]
    with ProcessPoolExecutor(chosen.processes) as pool:
        found = across(pool, common, COMMON, chosen.runs, chosen.seed)
        table([*where, *MEANS, "kr, none"], COMMON, [means for means, _ in found])
        head = [*where, *(f"pi {name}" for name in PREDICTIONS), "tau2 = 0", *(f"tau2 {name}" for name in ESTIMATORS)]
        table(head, COMMON, [new for _, new in found], fine=len(ESTIMATORS))
        if chosen.rare_runs:
            head = [*where, "DL z, 0.5", "REML hk, 0.5", "Mantel-Haenszel", "Peto", "CM.EL z", "CM.EL t", "no events"]
            table(head, RARE, across(pool, rare, RARE, chosen.rare_runs, chosen.seed))
        if chosen.lesion_runs:
            head = ["lesions", "icc", "tau", "common z", "GLMM t", "pi", "clustered t", "pi", "tau GLMM", "clustered"]
            rows = across(pool, lesions, LESIONS, chosen.runs, chosen.lesion_runs, chosen.seed)
            table(head, LESIONS, rows, fine=2)


if __name__ == "__main__":
    one_thread()
    main()
