"""Coverage of 95 % intervals for a pooled rate: which method holds what it says, simulated.

True rates are logit-normal: logit p_i ~ N(logit p, tau^2), totals uniform on 10 ... 60. Cells: k = 5, 10, 30; p = 0.05,
0.3, 0.85 (rate of the median study); tau = 0, 0.5, 1. For each method the share of runs whose interval contains the
rate of the median study, p, and the share that contains the mean of the true rates, E expit(logit p + tau u), are
counted; the methods of the arcsine have neither as their estimand. A run in which a method gives no interval counts
as a miss. Every run is drawn from a seed of its own, so that a cell can be repeated by itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from side_by_side import one_thread, surroundings

import metaan
from metaan.core.beta_binomial_fit import fit_beta_binomial, problem_of
from metaan.core.beta_binomial_profile import beta_limits
from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import fit
from metaan.core.inference import quantile
from metaan.core.transforms import arcsine_inverse, double_arcsine, double_arcsine_inverse
from metaan.models.rates import mean_of_normal

FloatArray = npt.NDArray[np.float64]
Limits = tuple[FloatArray, FloatArray]

STUDIES, RATES, TAUS = (5, 10, 30), (0.05, 0.3, 0.85), (0.0, 0.5, 1.0)
LEVEL = 0.95
SMALLEST, LARGEST = 10, 60


def draw(k: int, rate: float, tau: float, runs: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Events and totals, (runs, k)."""
    rng = np.random.default_rng([seed, k, round(100 * rate), round(10 * tau)])
    total = rng.integers(SMALLEST, LARGEST + 1, size=(runs, k))
    p = expit(logit(rate) + tau * rng.standard_normal((runs, k)))
    return rng.binomial(total, p).astype(np.float64), total.astype(np.float64)


def of_frame(table: Any, turn: Callable[[FloatArray], FloatArray]) -> Limits:
    """Limits of `pool_many` on the scale of rates."""
    return turn(table["ci_low"].to_numpy()), turn(table["ci_high"].to_numpy())


def glmm(events: FloatArray, total: FloatArray, **options: str) -> Limits:
    return of_frame(metaan.pool_many(events=events, total=total, model="glmm", level=LEVEL, **options), expit)


def glmm_mean(events: FloatArray, total: FloatArray) -> Limits:
    """Interval of `GlmmResult.mean_rate`, test="t": delta method on the logit scale, for all runs at once."""
    table = metaan.pool_many(events=events, total=total, model="glmm", level=LEVEL)
    low, high = of_frame(table, expit)
    found = fit(Binomial.from_counts(events.T, total.T))
    some = (found.tau > 0) & np.isfinite(found.mu)
    mu, tau, cov = found.mu[some], found.tau[some], np.nan_to_num(found.cov[some])
    h = 1e-4 * np.maximum(tau, 1e-3)
    value = mean_of_normal(expit, mu, tau)
    by_mu, by_tau = (
        (mean_of_normal(expit, mu + a * h, tau + b * h) - mean_of_normal(expit, mu - a * h, tau - b * h)) / (2 * h)
        for a, b in ((1, 0), (0, 1))
    )
    variance = cov[:, 0, 0] * by_mu**2 + 2 * cov[:, 0, 1] * by_mu * by_tau + cov[:, 1, 1] * by_tau**2
    half = float(quantile(events.shape[1] - 1.0, LEVEL)) * np.sqrt(variance) / (value * (1 - value))
    low[some], high[some] = expit(logit(value) - half), expit(logit(value) + half)
    return low, high


def beta_binomial_wald(events: FloatArray, total: FloatArray) -> Limits:
    """`metaan.beta_binomial`, test="t"."""
    found = fit_beta_binomial(events.T, total.T)
    half = float(quantile(events.shape[1] - 1.0, LEVEL)) * np.sqrt(found.cov[:, 0, 0])
    low, high = expit(found.beta[0] - half), expit(found.beta[0] + half)
    ends = beta_limits(problem_of(events.T, total.T), found, LEVEL)
    apart = found.separated
    return np.where(apart, expit(ends[0]), low), np.where(apart, expit(ends[1]), high)


def beta_binomial_profile(events: FloatArray, total: FloatArray) -> Limits:
    """`metaan.beta_binomial`, ci="profile"."""
    problem = problem_of(events.T, total.T)
    low, high = beta_limits(problem, fit_beta_binomial(events.T, total.T), LEVEL)
    return expit(low), expit(high)


def reml_logit(events: FloatArray, total: FloatArray) -> Limits:
    """Inverse variance, logits with 0.5 added to studies at 0 or n; REML, Hartung-Knapp."""
    add = np.where((events == 0) | (events == total), 0.5, 0.0)
    hit, miss = events + add, total - events + add
    return of_frame(metaan.pool_many(np.log(hit / miss), 1 / hit + 1 / miss, method="REML", test="hk"), expit)


def reml_arcsine(events: FloatArray, total: FloatArray) -> Limits:
    table = metaan.pool_many(np.arcsin(np.sqrt(events / total)), 1 / (4 * total), method="REML", test="hk")
    return of_frame(table, arcsine_inverse)


def reml_freeman_tukey(events: FloatArray, total: FloatArray) -> Limits:
    """Turned back at the harmonic mean of the totals."""
    table = metaan.pool_many(double_arcsine(events, total), 1 / (4 * total + 2), method="REML", test="hk")
    n = total.shape[1] / (1 / total).sum(axis=1)
    return of_frame(table, lambda y: double_arcsine_inverse(y, n))


METHODS: dict[str, Callable[[FloatArray, FloatArray], Limits]] = {
    "glmm z": lambda x, n: glmm(x, n, test="z"),
    "glmm t": lambda x, n: glmm(x, n, test="t"),
    "glmm profile": lambda x, n: glmm(x, n, ci="profile"),
    "glmm t, mean_rate": glmm_mean,
    "beta_binomial t": beta_binomial_wald,
    "beta_binomial profile": beta_binomial_profile,
    "logit REML-HK": reml_logit,
    "arcsine REML-HK": reml_arcsine,
    "Freeman-Tukey REML-HK": reml_freeman_tukey,
}
OF_MEAN = ("glmm t, mean_rate", "beta_binomial t", "beta_binomial profile")


def cell(k: int, rate: float, tau: float, runs: int, seed: int) -> list[dict[str, Any]]:
    """Coverage and width of every method in one cell."""
    events, total = draw(k, rate, tau, runs, seed)
    mean = float(mean_of_normal(expit, logit(rate), tau))
    rows = []
    for name, method in METHODS.items():
        low, high = method(events, total)
        rows.append(
            {
                "k": k, "rate": rate, "tau": tau, "runs": runs, "method": name,
                "median": float(np.mean((low <= rate) & (rate <= high))),
                "mean": float(np.mean((low <= mean) & (mean <= high))),
                "width": float(np.nanmedian(high - low)),
            }
        )  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: coverage of what each method estimates, in per cent; the arcsines of the median rate."""
    names = list(METHODS)
    lines = ["| k | rate | tau | " + " | ".join(names) + " |", "|" + "---|" * (3 + len(names))]
    for k, rate, tau in product(STUDIES, RATES, TAUS):
        here = {row["method"]: row for row in rows if (row["k"], row["rate"], row["tau"]) == (k, rate, tau)}
        if here:
            shown = [f"{100 * here[name]['mean' if name in OF_MEAN else 'median']:.1f}" for name in names]
            lines.append(f"| {k} | {rate:g} | {tau:g} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    print(surroundings("metaan", "numpy", "scipy"))
    cells = [(*where, chosen.runs, chosen.seed) for where in product(STUDIES, RATES, TAUS)]
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(chosen.processes) as pool:
        for found in pool.map(cell, *zip(*cells, strict=True)):
            rows += found
            print(table(rows).splitlines()[-1], flush=True)
    print(table(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    one_thread()
    main()
