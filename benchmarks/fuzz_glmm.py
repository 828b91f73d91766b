"""Random data sets through `metaan.glmm`: no exception, no NaN, no unflagged failure, no missed maximum.

1. Public function, options drawn at random: no exception or warning, no NaN in estimate or interval, the interval
   contains the estimate, weights sum to 100, and a fit that has not converged says so in its notes.
2. Batched kernel on the same data sets, padded to 40 studies: same answer as one at a time, and at the solution, on
   twice the nodes, a Newton step that is a negligible part of a standard error; where tau2 is 0, a score of tau2 that
   is not positive.
3. A random part against exhaustive search with an independent integral (`brute_force`): log-likelihood right, and no
   higher maximum.
4. Another part: profile limits of the rate and of tau2 lie where the independent likelihood has dropped by chi2(1)/2.
5. Part 1 on data sets made to fail: nearly separated, one event among very many, equal rates, n up to 10^6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from brute_force import BinomialNormal
from fuzz_data import FloatArray, counts, hard_counts
from fuzz_run import Tally, options, report, run
from side_by_side import one_thread, surroundings

import metaan
from metaan.core.binomial import Binomial, Value, evaluate, trapezoid
from metaan.core.binomial_fit import BinomialFit, fit

MOST_STUDIES = 40
CHI2_95 = 3.841458820694124  # 95 % point of chi2(1)
HELD = ("tau2-unbounded", "tau held (every study at 0 or n)")
NOTES = {
    "tau2-zero": "tau2 = 0",
    HELD[0]: HELD[1],
    "separated": "separated (no events, or nothing but events)",
    "two-maxima": "several local maxima",
    "one-study": "one study",
    "profile-open": "profile interval open on one side",
    "no-pi": "no prediction interval",
    "not-converged": "not converged, flagged",
}


def random_options(seed: int) -> dict[str, Any]:
    """Mostly the defaults."""
    rng = np.random.default_rng([3, seed])
    chosen: dict[str, Any] = {
        "test": str(rng.choice(["t", "z"])),
        "pi": str(rng.choice(["t", "hts", "z", "simple", "none"])),
        "level": float(rng.choice([0.95, 0.9, 0.8, 0.99, 0.51])),
        "ci": str(rng.choice(["wald", "profile"], p=[0.97, 0.03])),
    }
    fixed = chosen["ci"] == "wald" and rng.random() < 0.03  # a profile interval takes no fixed number of nodes
    return chosen | {"nodes": int(rng.integers(1, 26)) if fixed else None}


def check_public(seeds: Sequence[int]) -> Tally:
    """Part 1."""
    tally = Tally()
    for seed in seeds:
        tally.attempt(seed, "metaan.glmm", lambda seed=seed: _one(seed, *counts(seed), tally))
    return tally


def check_hard(seeds: Sequence[int]) -> Tally:
    """Part 5."""
    tally = Tally()
    for seed in seeds:
        tally.attempt(seed, "metaan.glmm", lambda seed=seed: _one(seed, *hard_counts(seed), tally))
    return tally


def _one(seed: int, events: FloatArray, total: FloatArray, tally: Tally) -> None:
    chosen = random_options(seed)
    result = metaan.glmm("PLO", events=events, total=total, **chosen)
    codes = {note.code for note in result.notes}
    tally.count("fits")
    tally.count("converged", result.convergence.converged)
    for code, name in NOTES.items():
        tally.count(name, code in codes)
    if "two-maxima" in codes:
        tally.marked.append(seed)
    tally.count("profile interval asked for", chosen["ci"] == "profile")
    tally.count("fixed number of nodes asked for", chosen["nodes"] is not None)
    unflagged = not result.convergence.converged and "not-converged" not in codes
    tally.count("not converged, unflagged", unflagged)
    tally.require(not unflagged, "not converged and not flagged", seed, result)
    _numbers(seed, result, chosen, codes, tally)
    if seed % 50 == 0:
        _views(seed, result, tally)


def _numbers(seed: int, r: metaan.GlmmResult, chosen: dict[str, Any], codes: set[str], tally: Tally) -> None:
    shown = f"{r.estimate!r} {r.ci_low!r} {r.ci_high!r} tau2 {r.tau2!r} {chosen}"
    rate = r.back()
    tally.require(0 <= rate.estimate <= 1, "rate not in [0, 1]", seed, shown)
    tally.require(not math.isnan(r.estimate), "estimate is NaN", seed, shown)
    tally.require(not (math.isnan(r.ci_low) or math.isnan(r.ci_high)), "limit is NaN", seed, shown)
    tally.require(r.ci_low <= r.estimate <= r.ci_high, "interval does not contain the estimate", seed, shown)
    tally.require(r.se > 0, "standard error not positive", seed, f"{r.se} {shown}")
    tally.require(0 <= r.tau2 < math.inf, "tau2 not finite", seed, shown)
    tally.require(abs(r.weights.sum() - 100) < 1e-8, "weights do not sum to 100", seed, r.weights)
    tally.require(not np.isnan(r.blup).any(), "BLUP is NaN", seed, shown)
    if chosen["nodes"] is None:
        below = r.loglik < r.loglik_common - 1e-9 * abs(r.loglik)
        tally.require(
            not below, "below the common-effect likelihood", seed, f"{r.loglik!r} {r.loglik_common!r} {shown}"
        )
    tally.require(0 <= r.I2 <= 100 and r.H2 >= 1 - 1e-12, "I2 or H2 out of range", seed, f"{r.I2} {r.H2}")
    if math.isnan(r.pi_low):
        explained = "no-pi" in codes or "separated" in codes or chosen["pi"] == "none"
        tally.require(explained, "no prediction interval and no note", seed, shown)
    else:
        tally.require(r.pi_low <= r.estimate <= r.pi_high, "prediction interval without estimate", seed, shown)


def _views(seed: int, result: metaan.GlmmResult, tally: Tally) -> None:
    """Text, tables and dictionary work on both scales."""
    for r in (result, result.back()):
        tally.require(len(str(r).splitlines()) <= 20, "text longer than 20 lines", seed)
        tally.require(len(r.studies()) == r.k and len(r.to_frame()) == 1 and bool(r.to_dict()), "tables", seed)


def padded(seeds: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Data sets side by side, shape (40, n), with 0 of 0 for absent studies."""
    x, N = np.zeros((MOST_STUDIES, len(seeds))), np.zeros((MOST_STUDIES, len(seeds)))
    for j, seed in enumerate(seeds):
        events, total = counts(seed)
        x[: events.size, j], N[: events.size, j] = events, total
    return x, N


def check_kernel(seeds: Sequence[int]) -> Tally:
    """Part 2."""
    tally = Tally()
    b = Binomial.from_counts(*padded(seeds))
    found: list[BinomialFit] = []
    tally.attempt(seeds[0], "batched kernel", lambda: found.append(fit(b)))
    if found:
        _gradients(seeds, b, found[0], tally)
        _alone(seeds, found[0], tally)
    return tally


def _gradients(seeds: Sequence[int], b: Binomial, f: BinomialFit, tally: Tally) -> None:
    free = np.flatnonzero((f.tau > 0) & ~f.held & ~f.separated)
    for j in free:
        nodes = 2 * max(int(f.nodes[j]), 33) - 1
        at = _at(b.take(np.array([j])), f.mu[j], f.tau[j], nodes)
        step = _step(at)
        tally.count("gradients checked")
        tally.count("steps of more than 1e-7 standard errors", step > 1e-7)
        numbers = f"step {step:.3g} se, mu {f.mu[j]:.6g} tau {f.tau[j]:.6g} nodes {f.nodes[j]}"
        tally.require(step < 1e-5 or not f.converged[j], "converged where the gradient is not 0", seeds[j], numbers)
        change = abs(at.loglik[0] - f.loglik[j]) / (1 + abs(f.loglik[j]))
        tally.count("log-likelihoods that twice the nodes change by more than 1e-9", change > 1e-9)
        tally.require(change < 1e-7, "log-likelihood changes with more nodes", seeds[j], f"{change:.3g} {numbers}")
    zero = np.flatnonzero((f.tau == 0) & ~f.separated & f.identified)
    p = 1 / (1 + np.exp(-f.mu[zero]))
    x, N = b.x[:, zero], b.N[:, zero]
    noise = N * p * (1 - p)
    score, gradient = ((x - N * p) ** 2 - noise).sum(axis=0), (x - N * p).sum(axis=0)
    tally.count("scores at tau2 = 0 checked", zero.size)
    for j, s, g, n in zip(zero, score, gradient, noise.sum(axis=0), strict=True):
        tally.require(s <= 1e-9 * n, "tau2 = 0 is not a maximum", seeds[j], s)
        tally.require(abs(g) <= 1e-9 * (n + 1), "pooled rate is not a root", seeds[j], g)


def _at(b: Binomial, mu: float, tau: float, nodes: int) -> Value:
    where = np.array([mu]), np.array([tau])
    return evaluate(b, *where, trapezoid(b, *where, nodes))


def _step(at: Value) -> float:
    """Length of Newton's next step in standard errors; with an indefinite Hessian, of the steps along its axes."""
    hessian = np.array([[at.mu_mu[0], at.mu_tau[0]], [at.mu_tau[0], at.tau_tau[0]]])
    gradient = np.array([at.mu[0], at.tau[0]])
    values, axes = np.linalg.eigh(-hessian)
    return math.sqrt(float(((axes.T @ gradient) ** 2 / np.maximum(np.abs(values), 1e-8)).sum()))


def _alone(seeds: Sequence[int], f: BinomialFit, tally: Tally) -> None:
    """One of ten again, alone and without absent studies."""
    for j in range(0, len(seeds), 10):
        events, total = counts(seeds[j])
        one = fit(Binomial.from_counts(events[:, None], total[:, None]))
        tally.count("compared with the fit alone")
        same = bool(
            np.isclose(one.mu[0], f.mu[j], rtol=1e-6, atol=1e-6)
            and np.isclose(one.tau[0], f.tau[j], rtol=1e-5, atol=1e-6)
        )
        numbers = f"{one.mu[0]} {one.tau[0]} against {f.mu[j]} {f.tau[j]}"
        tally.require(same or not f.converged[j], "batch and single fit differ", seeds[j], numbers)


def check_maximum(seeds: Sequence[int]) -> Tally:
    """Part 3."""
    tally = Tally()
    for seed in seeds:
        events, total = counts(seed)
        result = metaan.glmm("PLO", events=events, total=total)
        codes = {note.code for note in result.notes}
        if codes & {"separated", "one-study", HELD[0]} or (total == 1).all():
            continue
        likelihood = BinomialNormal(events, total)
        found = likelihood.maxima()
        best, mu, tau = found[0]
        tally.count("searched exhaustively")
        tally.count("tau2 = 0 among them", result.tau2 == 0)
        tally.count("several local maxima noted", "two-maxima" in codes)
        tally.count("several local maxima noted, one found", "two-maxima" in codes and len(found) == 1)
        tally.count("several local maxima found", len(found) > 1)
        here = f"{result.loglik:.9f} at ({result.estimate:.5f}, {result.tau:.5f})"
        shown = f"{here}; best {best:.9f} at ({mu:.5f}, {tau:.5f})"
        tally.require(best <= result.loglik + 1e-6, "higher maximum found", seed, shown)
        again = float(likelihood(np.array([result.estimate]), np.array([result.tau]))[0])
        right = abs(again - result.loglik) < 1e-7 * (1 + abs(again))
        tally.require(right, "log-likelihood is wrong", seed, f"{again} {shown}")
    return tally


def check_profiles(seeds: Sequence[int]) -> Tally:
    """Part 4."""
    tally = Tally()
    for seed in seeds:
        tally.attempt(seed, "profile limits", lambda seed=seed: _profile(seed, tally))
    return tally


def _profile(seed: int, tally: Tally) -> None:
    events, total = counts(seed)
    result = metaan.glmm("PLO", events=events, total=total, ci="profile", test="z")
    codes = {note.code for note in result.notes}
    if events.size == 1:
        return
    tau2 = metaan.tau2_interval(result, method="PL")
    tally.require(0 <= tau2[0] <= result.tau2 <= tau2[1], "tau2 interval without tau2", seed, f"{tau2} {result.tau2}")
    if codes & {"separated", HELD[0]} or (total == 1).all():
        return
    likelihood = BinomialNormal(events, total)
    target = result.loglik - CHI2_95 / 2
    tally.count("profile intervals checked")
    for limit in (result.ci_low, result.ci_high):
        if math.isfinite(limit):
            apart = likelihood.over_tau(limit) - target
            tally.require(abs(apart) < 1e-4, "profile limit of the rate", seed, f"{limit} {apart:.3g}")
    for limit in np.sqrt(tau2):
        if 0 < limit < 20:
            apart = float(likelihood.over_mu(np.array([limit]))[1][0]) - target
            tally.require(abs(apart) < 1e-4, "profile limit of tau", seed, f"{limit} {apart:.3g}")


def main() -> None:
    parser = options(__doc__, n=100_000)
    parser.add_argument(
        "--search", type=int, default=200, help="data sets searched exhaustively (default: %(default)s)"
    )
    parser.add_argument(
        "--profile", type=int, default=100, help="data sets whose profile limits are checked (default: %(default)s)"
    )
    parser.add_argument("--hard", type=int, default=5_000, help="data sets made to fail (default: %(default)s)")
    arguments = parser.parse_args()
    surroundings("metaan", "numpy", "scipy")
    seeds = range(arguments.first, arguments.first + arguments.n)
    chosen = np.random.default_rng(arguments.first).choice(seeds, arguments.search + arguments.profile, replace=False)
    some = [int(seed) for seed in chosen]
    several: list[int] = []
    failed = 0
    for title, check, which in (
        ("metaan.glmm, random options", check_public, seeds),
        ("Batched kernel, padded to 40 studies", check_kernel, seeds),
        ("Exhaustive search, at random", check_maximum, some[: arguments.search]),
        ("Exhaustive search, several local maxima noted", check_maximum, several),
        ("Profile limits", check_profiles, some[arguments.search :]),
        ("metaan.glmm, data sets made to fail", check_hard, range(arguments.hard)),
    ):
        tally = run(check, which, arguments.processes)
        report(title, tally, arguments.show)
        failed += len(tally.failures)
        if check is check_public:
            several += tally.marked[: arguments.search]
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    one_thread()
    main()
