"""How often tests of small-study effects reject where nothing is missing, and where small studies do differ.

Rates: logit p_i ~ N(logit p, tau^2), totals log-uniform on 10 ... 100. Cells: k = 10, 20, 30; p = 0.01, 0.02, 0.05,
0.2, 0.5, 0.85; tau = 0, 0.5, 1. Two arms: control risk logit-normal about 0.03, 0.1 or 0.3 with standard deviation 0.5,
log odds ratio N(theta, tau^2), theta = 0 or -1, tau = 0 or 0.5, arms of equal size, log-uniform on 10 ... 200.
`--shift c` adds c/sqrt(n) to the logits (n the size of a study, or of one arm) and so gives the power. Every cell is
drawn from a seed of its own. Data sets without any event, or with fewer than three trials of two events or more, are
left out: up to 3 % of a cell. `--largest n` gives the first study (both arms of the first trial) that size. All data
sets of a cell go through the kernels at once; the first of each is computed by metaan's own functions too, which must
agree.

`--likelihood n` adds, on n data sets a cell, the slope of 1/sqrt(n) in the binomial-normal model (28 ms a data set).
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, stdtr
from side_by_side import one_thread, surroundings

import metaan
from metaan.analysis.test_result import TestResult
from metaan.core.kendall import kendall
from metaan.core.linear import ESTIMATORS, Design, at
from metaan.core.transforms import double_arcsine
from metaan.errors import ConvergenceError

FloatArray = npt.NDArray[np.float64]
Table = tuple[FloatArray, FloatArray, FloatArray, FloatArray]

NOMINAL = 0.1
STUDIES, RATES, TAUS = (10, 20, 30), (0.01, 0.02, 0.05, 0.2, 0.5, 0.85), (0.0, 0.5, 1.0)
RISKS, EFFECTS, SPREADS = (0.03, 0.1, 0.3), (0.0, -1.0), (0.0, 0.5)


def line(y: FloatArray, v: FloatArray, x: FloatArray, method: str = "CE", test: str = "hk") -> FloatArray:
    """p-values of the slopes of y on x, all (runs, k): weighted regression, or with the tau2 of `method`.

    A study without information has v = inf and counts for nothing (method "CE" only).
    """
    data = Design(y, v, np.stack([np.ones_like(x), x], axis=-1))
    df = np.isfinite(v).sum(axis=-1) - 2
    fit = at(data, np.maximum(ESTIMATORS[method](data), 0.0))
    factor = fit.Q / df if test == "hk" else 1.0
    statistic = fit.beta[..., 1] * np.abs(fit.r[..., 1, 1]) / np.sqrt(factor)
    return np.asarray(2 * stdtr(df, -np.abs(statistic)))


def ranks(y: FloatArray, v: FloatArray) -> FloatArray:
    """p-values of Begg's test."""
    w = 1 / v
    total = w.sum(axis=1, keepdims=True)
    centre = (w * y).sum(axis=1, keepdims=True) / total
    return kendall((y - centre) / np.sqrt(v - 1 / total), v).pvalue


def sizes(rng: np.random.Generator, low: int, high: int, shape: tuple[int, int]) -> FloatArray:
    """Whole numbers, log-uniform."""
    return np.round(np.exp(rng.uniform(np.log(low), np.log(high), shape)))


def draw_rates(
    k: int, rate: float, tau: float, runs: int, seed: int, shift: float, largest: int
) -> tuple[FloatArray, FloatArray]:
    """Events and totals, (runs, k)."""
    rng = np.random.default_rng([seed, k, round(100 * rate), round(10 * tau)])
    n = sizes(rng, 10, 100, (runs, k))
    n[:, : largest > 0] = largest
    p = expit(logit(rate) + shift / np.sqrt(n) + tau * rng.standard_normal((runs, k)))
    x = rng.binomial(n.astype(np.int64), p).astype(np.float64)
    usable = x.any(axis=1)
    return x[usable], n[usable]


def draw_arms(
    k: int, risk: float, effect: float, tau: float, runs: int, seed: int, shift: float, largest: int
) -> Table:
    """Events and totals of both arms, (runs, k)."""
    rng = np.random.default_rng([seed, k, round(100 * risk), round(-10 * effect), round(10 * tau)])
    n = sizes(rng, 10, 200, (runs, k))
    n[:, : largest > 0] = largest
    base = logit(risk) + 0.5 * rng.standard_normal((runs, k))
    treated = base + effect + shift / np.sqrt(n) + tau * rng.standard_normal((runs, k))
    a, c = (rng.binomial(n.astype(np.int64), expit(eta)).astype(np.float64) for eta in (treated, base))
    usable = (a + c > 1).sum(axis=1) >= 3
    return a[usable], n[usable], c[usable], n[usable]


def one_arm(x: FloatArray, n: FloatArray) -> dict[str, FloatArray]:
    """p-values of every test of rates."""
    add = np.where((x == 0) | (x == n), 0.5, 0.0)
    hit, miss = x + add, n - x + add
    log_odds, v = np.log(hit / miss), 1 / hit + 1 / miss
    raw, v_raw = hit / (hit + miss), hit * miss / (hit + miss) ** 3
    single, double, v1, v2 = np.arcsin(np.sqrt(x / n)), double_arcsine(x, n), 1 / (4 * n), 1 / (4 * n + 2)
    return {
        "Egger, logit": line(log_odds, v, np.sqrt(v)),
        "Egger, raw": line(raw, v_raw, np.sqrt(v_raw)),
        "Begg, logit": ranks(log_odds, v),
        "logit on 1/n": line(log_odds, v, 1 / n),
        "Egger, arcsine": line(single, v1, np.sqrt(v1)),
        "Egger, double arcsine": line(double, v2, np.sqrt(v2)),
        "the same, DL, t": line(double, v2, np.sqrt(v2), "DL", "t"),
        "the same, PM, hk": line(double, v2, np.sqrt(v2), "PM"),
        "Begg, double arcsine": ranks(double, v2),
        "Harbord, one arm": line(x / n, 1 / n, 1 / np.sqrt(n)),
        "Peters, one arm": line(x / n, 1 / n, 1 / n),
    }


def two_arms(a: FloatArray, n1: FloatArray, c: FloatArray, n2: FloatArray) -> dict[str, FloatArray]:
    """p-values of every test of odds ratios."""
    b, d = n1 - a, n2 - c
    n, e, f = n1 + n2, a + c, b + d
    add = np.where(a * b * c * d == 0, 0.5, 0.0)
    cells = [cell + add for cell in (a, b, c, d)]
    y, v = np.log(cells[0] * cells[3] / (cells[1] * cells[2])), np.sum([1 / cell for cell in cells], axis=0)
    says = e * f > 0
    score = np.where(says, n1 * n2 * e * f / (n**2 * (n - 1)), 1.0)
    margin = np.where(says, n / np.where(says, e * f, 1.0), np.inf)
    arcsine, v_arcsine = np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2)), (1 / n1 + 1 / n2) / 4
    effective = 4 * n1 * n2 / n
    kept = np.where(says, y, 0.0)
    return {
        "Egger": line(y, v, np.sqrt(v)),
        "Begg": ranks(y, v),
        "Harbord": line((a - e * n1 / n) / score, np.where(says, 1 / score, np.inf), 1 / np.sqrt(score)),
        "Peters": line(kept, margin, 1 / n),
        "Macaskill": line(kept, margin, n),
        "Deeks": line(y, 1 / effective, 1 / np.sqrt(effective)),
        "arcsine, DL, t": line(arcsine, v_arcsine, np.sqrt(v_arcsine), "DL", "t"),
        "arcsine, lm": line(arcsine, v_arcsine, np.sqrt(v_arcsine)),
    }


def by_likelihood(x: FloatArray, n: FloatArray) -> FloatArray:
    """p-values of 1/sqrt(n) in the binomial-normal model, t with k - 2 df; 1 where the likelihood has no maximum."""
    found = []
    for events, total in zip(x, n, strict=True):
        try:
            res = metaan.glmm("PLO", events=events, total=total, pi="none")
            found.append(metaan.egger(res, model="rma", predictor="sqrtninv").pvalue)
        except ConvergenceError:
            found.append(1.0)
    return np.array(found)


Test = Callable[[Any], TestResult]
SAME: dict[str, tuple[str, Test]] = {
    "Egger, logit": ("PLO", partial(metaan.egger, force=True)),
    "Egger, raw": ("PR", partial(metaan.egger, force=True)),
    "Begg, logit": ("PLO", partial(metaan.begg, force=True)),
    "logit on 1/n": ("PLO", partial(metaan.egger, predictor="ninv", force=True)),
    "Egger, arcsine": ("PAS", metaan.egger),
    "Egger, double arcsine": ("PFT", metaan.egger),
    "the same, DL, t": ("PLO", metaan.thompson_arcsine),
    "the same, PM, hk": ("PLO", partial(metaan.thompson_arcsine, method="PM", test="hk")),
    "Begg, double arcsine": ("PFT", metaan.begg),
    "Harbord, one arm": ("PLO", metaan.harbord),
    "Peters, one arm": ("PLO", metaan.peters),
    "Egger": ("OR", metaan.egger),
    "Begg": ("OR", metaan.begg),
    "Harbord": ("OR", metaan.harbord),
    "Peters": ("OR", metaan.peters),
    "Macaskill": ("OR", metaan.macaskill),
    "Deeks": ("OR", metaan.deeks),
    "arcsine, DL, t": ("OR", metaan.thompson_arcsine),
    "arcsine, lm": ("OR", partial(metaan.thompson_arcsine, model="lm")),
}


def check(found: dict[str, FloatArray], counts: dict[str, FloatArray]) -> None:
    """The first data set by metaan's own functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, pvalues in found.items():
            measure, test = SAME[name]
            own = test(metaan.pool(metaan.effect_size(measure, **counts), method="DL")).pvalue
            if not abs(own - pvalues[0]) < 1e-9:
                raise AssertionError(f"{name}: {pvalues[0]} here, {own} by metaan")


def rejected(found: dict[str, FloatArray]) -> dict[str, float]:
    """Per cent below the nominal level; a test that gives no p-value does not reject."""
    return {name: 100 * float(np.mean(p < NOMINAL)) for name, p in found.items()}


def rates(runs: int, seed: int, shift: float, largest: int, likelihood: int) -> list[dict[str, Any]]:
    """Every cell of one arm."""
    rows = []
    for k, rate, tau in product(STUDIES, RATES, TAUS):
        x, n = draw_rates(k, rate, tau, runs, seed, shift, largest)
        found = one_arm(x, n)
        check(found, {"events": x[0], "total": n[0]})
        if likelihood:
            found["GLMM on 1/sqrt(n)"] = by_likelihood(x[:likelihood], n[:likelihood])
        rows.append({"k": k, "rate": rate, "tau": tau} | rejected(found))
    return rows


def ratios(runs: int, seed: int, shift: float, largest: int) -> list[dict[str, Any]]:
    """Every cell of two arms."""
    rows = []
    for k, risk, effect, tau in product(STUDIES, RISKS, EFFECTS, SPREADS):
        table = draw_arms(k, risk, effect, tau, runs, seed, shift, largest)
        found = two_arms(*table)
        names = ("events_t", "total_t", "events_c", "total_c")
        check(found, dict(zip(names, (column[0] for column in table), strict=True)))
        rows.append({"k": k, "risk": risk, "log OR": effect, "tau": tau} | rejected(found))
    return rows


def markdown(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> str:
    """One row for each cell, and the smallest and largest of each column."""
    names = [name for name in rows[0] if name not in keys]
    table = [[*keys, *names], ["---"] * (len(keys) + len(names))]
    table += [[f"{row[key]:g}" for key in keys] + [f"{row[name]:.0f}" for name in names] for row in rows]
    for word, of in (("least", min), ("most", max)):
        ends = [f"{of(row[name] for row in rows):.1f}" for name in names]
        table.append([word, *[""] * (len(keys) - 1), *ends])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shift", type=float, default=0.0)
    parser.add_argument("--largest", type=int, default=0)
    parser.add_argument("--likelihood", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    surroundings("metaan", "numpy", "scipy")
    one = rates(chosen.runs, chosen.seed, chosen.shift, chosen.largest, chosen.likelihood)
    print(markdown(one, ("k", "rate", "tau")))
    two = ratios(chosen.runs, chosen.seed, chosen.shift, chosen.largest)
    print(markdown(two, ("k", "risk", "log OR", "tau")))
    if chosen.json:
        chosen.json.write_text(json.dumps({"rates": one, "two_arms": two}, indent=1))


if __name__ == "__main__":
    one_thread()
    main()
