"""Random effect sizes through `metaan.pool`: no exception, no NaN, no higher likelihood anywhere.

1. Public function, method, test and prediction interval drawn at random: no exception or warning, no NaN where there
   should be a number, the interval contains the estimate, weights sum to 100, tau2 is not negative.
2. Batched REML and ML on the same data sets, padded to 40 studies with NaN: same answer as one at a time; the score at
   the solution, in extended precision, is 0 to rounding, or not positive where tau2 is 0; data rescaled by 10^8 give
   the same answer rescaled.
3. A random part against exhaustive search of the likelihood in extended precision (`brute_force`): no higher maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from brute_force import NormalNormal
from fuzz_data import FloatArray, effects
from fuzz_run import Tally, options, report, run
from side_by_side import one_thread, surroundings

import metaan
from metaan.core.tau2 import tau2
from metaan.errors import OptionError

MOST_STUDIES = 40
METHODS = ["REML", "ML", "DL", "HE", "HS", "HSk", "SJ", "EB", "PM", "PMM", "DLIT", "SJIT", "CE"]
EPS = float(np.finfo(float).eps)
LIKELIHOODS = {"REML": True, "ML": False}


def random_options(seed: int) -> dict[str, Any]:
    """REML or ML in half of the data sets."""
    rng = np.random.default_rng([4, seed])
    return {
        "method": str(rng.choice(METHODS[:2] if rng.random() < 0.5 else METHODS)),
        "test": str(rng.choice(["hk", "z", "t", "hk-adhoc", "kr"])),
        "pi": str(rng.choice(["t", "hts", "z", "simple", "hk", "kr", "none"])),
        "level": float(rng.choice([0.95, 0.9, 0.8, 0.99, 0.51])),
    }


def check_public(seeds: Sequence[int]) -> Tally:
    """Part 1."""
    tally = Tally()
    for seed in seeds:
        tally.attempt(seed, "metaan.pool", lambda seed=seed: _one(seed, tally))
    return tally


def _one(seed: int, tally: Tally) -> None:
    yi, vi = effects(seed)
    chosen = random_options(seed)
    try:
        result = metaan.pool(metaan.effects(yi, vi), **chosen)
    except OptionError:
        refused = "kr" in (chosen["test"], chosen["pi"]) and chosen["method"] != "REML"
        tally.count("Kenward-Roger refused without REML", refused)
        tally.require(refused, "options refused", seed, chosen)
        return
    codes = {note.code for note in result.notes}
    tally.count("fits")
    for code in ("tau2-zero", "two-maxima", "identical", "hk-narrow", "one-study", "no-pi", "not-converged"):
        tally.count(code, code in codes)
    unflagged = not result.convergence.converged and "not-converged" not in codes
    tally.require(not unflagged, "not converged and not flagged", seed, result)
    _numbers(seed, result, chosen, codes, tally)


def _numbers(seed: int, r: metaan.PoolResult, chosen: dict[str, Any], codes: set[str], tally: Tally) -> None:
    shown = f"{r.estimate!r} ({r.ci_low!r} to {r.ci_high!r}) tau2 {r.tau2!r} k {r.k} {chosen}"
    finite = (
        r.estimate,
        r.se,
        r.ci_low,
        r.ci_high,
        r.tau2,
        r.I2,
        r.H2,
        r.Q,
        r.Q_pvalue,
        *r.weights,
        *r.blup,
        *r.blup_se,
    )
    tally.require(bool(np.isfinite(finite).all()), "a number is not finite", seed, shown)
    tally.require(r.ci_low <= r.estimate <= r.ci_high, "interval does not contain the estimate", seed, shown)
    tally.require(r.tau2 >= 0 and r.se >= 0, "negative tau2 or standard error", seed, shown)
    tally.require(abs(r.weights.sum() - 100) < 1e-8, "weights do not sum to 100", seed, shown)
    tally.require(0 <= r.I2 <= 100 and r.Q >= 0, "I2 or Q out of range", seed, f"{r.I2} {r.Q} {shown}")
    slack = 1e-12 * np.abs(r.effects.yi).max()
    inside = r.effects.yi.min() - slack <= r.estimate <= r.effects.yi.max() + slack
    tally.require(bool(inside), "estimate outside the effects", seed, shown)
    tally.require(r.se > 0 or bool(codes & {"identical", "hk-common"}), "standard error 0 without a note", seed, shown)
    if math.isnan(r.pi_low):
        tally.require("no-pi" in codes or chosen["pi"] == "none", "no prediction interval and no note", seed, shown)
    else:
        tally.require(r.pi_low <= r.estimate <= r.pi_high, "prediction interval without estimate", seed, shown)


def padded(seeds: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Data sets one below the other, shape (n, 40), NaN where a study is absent."""
    y, v = np.full((len(seeds), MOST_STUDIES), np.nan), np.full((len(seeds), MOST_STUDIES), np.nan)
    for j, seed in enumerate(seeds):
        yi, vi = effects(seed)
        y[j, : yi.size], v[j, : vi.size] = yi, vi
    return y, v


def check_kernel(seeds: Sequence[int]) -> Tally:
    """Part 2."""
    tally = Tally()
    y, v = padded(seeds)
    for method, restricted in LIKELIHOODS.items():
        found: list[FloatArray] = []
        tally.attempt(
            seeds[0],
            f"batched {method}",
            lambda m=method, out=found: out.extend((tau2(y, v, m), tau2(1e8 * y, 1e16 * v, m))),
        )
        if len(found) == 2:
            for j, seed in enumerate(seeds):
                _solution(seed, method, restricted, found[0][j], found[1][j] / 1e16, tally)
    return tally


def _solution(seed: int, method: str, restricted: bool, t: float, rescaled: float, tally: Tally) -> None:
    yi, vi = effects(seed)
    alone = float(tau2(yi, vi, method))
    slack = 1e-9 * (float(1 / (1 / vi).sum()) if t == 0 else t) + 32 * EPS * float(vi.max())
    tally.count(f"{method}, batched")
    tally.count(f"{method}, tau2 = 0", t == 0)
    tally.require(abs(alone - t) <= slack, f"{method}: batch and single fit differ", seed, f"{t!r} {alone!r}")
    tally.require(abs(rescaled - t) <= slack, f"{method}: not scale-free", seed, f"{t!r} {rescaled!r}")
    if yi.size == 1:
        tally.require(t == 0, f"{method}: tau2 of one study", seed, t)
        return
    score, size = (float(x[0]) for x in NormalNormal(yi, vi, restricted).score(t))
    off = abs(score) / size if size > 0 else 0.0
    numbers = f"tau2 {t:.12g}, score {score:.3g} of {size:.3g}"
    if t == 0:
        tally.require(score <= 1e-12 * size, f"{method}: tau2 = 0 is not a maximum", seed, numbers)
    else:
        tally.count(f"{method}, score above 1e-12 of its parts", off > 1e-12)
        tally.require(off < 1e-9, f"{method}: the score is not 0", seed, numbers)


def check_maximum(seeds: Sequence[int]) -> Tally:
    """Part 3."""
    tally = Tally()
    for seed in seeds:
        yi, vi = effects(seed)
        for method, restricted in LIKELIHOODS.items():
            if yi.size > 1:
                _search(seed, method, NormalNormal(yi, vi, restricted), float(tau2(yi, vi, method)), tally)
    return tally


def _search(seed: int, method: str, likelihood: NormalNormal, t: float, tally: Tally) -> None:
    height, where = likelihood.maximum()
    here = likelihood(t)[0]
    tally.count(f"{method}, searched")
    gain = float(height - here)
    shown = f"tau2 {t:.12g}, but the log-likelihood is {gain:.3g} higher at {float(where):.12g}"
    tally.require(gain <= 1e-9, f"{method}: higher maximum", seed, shown)
    floor = 1e-9 * float(likelihood.v.min())  # closer to 0 the search sees rounding error alone
    apart = abs(float(where) - t) > 1e-6 * max(float(where), t) + floor
    tally.count(f"{method}, tau2 more than 1e-6 from that of the search", apart)


def main() -> None:
    parser = options(__doc__, n=100_000)
    parser.add_argument(
        "--search", type=int, default=5000, help="data sets searched exhaustively (default: %(default)s)"
    )
    arguments = parser.parse_args()
    surroundings("metaan", "numpy", "scipy")
    seeds = range(arguments.first, arguments.first + arguments.n)
    some = [int(s) for s in np.random.default_rng(arguments.first).choice(seeds, size=arguments.search, replace=False)]
    parts = (
        ("metaan.pool, random options", check_public, seeds),
        ("Batched kernel, padded to 40 studies", check_kernel, seeds),
        ("Exhaustive search", check_maximum, some),
    )
    failed = 0
    for title, check, chosen in parts:
        tally = run(check, chosen, arguments.processes)
        report(title, tally, arguments.show)
        failed += len(tally.failures)
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    one_thread()
    main()
