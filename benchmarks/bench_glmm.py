"""Models of one arm (18 trials) and of two arms (13 trials) by exact likelihood, and 1,000 fits in one call.

One arm: the standard-catheter arms of dat.nielweise2007; two arms: log odds ratios of dat.bcg (see trials.py). metafor
integrates with 7 Gauss-Hermite nodes; metaan by default with as many as it takes, and with ``nodes=7`` for comparison:
the latter must agree with metafor before anything is timed. metafor's CM.EL integrates adaptively.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pimeta
from metafor_session import Metafor
from scipy.special import expit
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from trials import (
    BCG_CONTROL_CASES,
    BCG_CONTROL_FREE,
    BCG_TREATED_CASES,
    BCG_TREATED_FREE,
    CATHETER_EVENTS,
    CATHETER_TOTAL,
    FloatArray,
)

import metaan
from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import fit

SUBSAMPLE = 20  # data sets that metafor fits in its loop
RMA = "rma.glmm(measure='PLO', xi=x, ni=n, method='ML', test='z', nAGQ=7, level=95)"


def glmm(events: FloatArray, total: FloatArray, nodes: int | None = None, ci: str = "wald") -> metaan.GlmmResult:
    """Check the input, fit, and fill every field of the result."""
    return metaan.glmm("PLO", events=events, total=total, nodes=nodes, test="z", ci=ci, level=0.95, pi="t")


def touched(result: metaan.GlmmResult) -> tuple[Any, ...]:
    """Read every number of a result, so that nothing can have been put off."""
    r = result
    return (
        r.estimate, r.se, r.ci_low, r.ci_high, r.statistic, r.pvalue, r.pi_low, r.pi_high, r.tau2, r.I2, r.H2,
        r.Q, r.Q_pvalue, r.weights, r.fitted, r.blup, r.blup_se, r.cov, r.loglik, r.aic, r.bic, r.lrt, r.lrt_pvalue,
    )  # fmt: skip


def pimeta_glmm(events: FloatArray, total: FloatArray) -> Any:
    return pimeta.rma_glmm("PLO", xi=events, ni=total, method="ML", test="z", nAGQ=7)


def try_pimeta(events: FloatArray, total: FloatArray) -> str:
    """What pimeta makes of the data, and of the data without the trial that has no events."""
    answers = []
    for name, use in (("all 18", total > 0), ("the 17 with events", events > 0)):
        try:
            found = pimeta_glmm(events[use], total[use])
            answers.append(
                f"{name}: tau2 {found.tau2:.6g} (metaan, 7 nodes: {glmm(events[use], total[use], 7).tau2:.6g})"
            )
        except Exception as error:
            answers.append(f"{name}: {type(error).__name__}: {error}")
    return "; ".join(answers)


def single(events: FloatArray, total: FloatArray, r: Metafor | None) -> list[Contender]:
    """Contenders for one fit."""
    contenders = [
        called("metaan.glmm, full result", lambda: touched(glmm(events, total))),
        called("metaan.glmm, nodes=7, full result", lambda: touched(glmm(events, total, 7))),
        called("metaan.glmm, profile interval, full result", lambda: touched(glmm(events, total, ci="profile"))),
    ]
    some = events > 0
    contenders.append(called("pimeta.rma_glmm, without the trial at 0", lambda: pimeta_glmm(events[some], total[some])))
    if r is None:
        return contenders
    r.assign("x", events)
    r.assign("n", total)
    numbers = r.numbers(f"{{m <- {RMA}; c(m$beta, m$se, m$tau2)}}")
    ours = glmm(events, total, 7)
    assert_close("metafor", numbers, (ours.estimate, ours.se, ours.tau2))
    return [*contenders, r.called("metafor rma.glmm", RMA)]


def two_arms(model: str, r: Metafor | None) -> list[Contender]:
    """Contenders for one fit of log odds ratios."""
    treated, control = BCG_TREATED_CASES + BCG_TREATED_FREE, BCG_CONTROL_CASES + BCG_CONTROL_FREE

    def ours(nodes: int | None = None) -> metaan.GlmmResult:
        return metaan.glmm(
            "OR", events_t=BCG_TREATED_CASES, total_t=treated, events_c=BCG_CONTROL_CASES, total_c=control,
            model=model, nodes=nodes, test="z", ci="wald", level=0.95, pi="t",
        )  # fmt: skip

    contenders = [called(f"metaan.glmm {model}, full result", lambda: touched(ours()))]
    if r is None:
        return contenders
    for name, values in (("ai", BCG_TREATED_CASES), ("n1i", treated), ("ci", BCG_CONTROL_CASES), ("n2i", control)):
        r.assign(name, values)
    counts = "ai=ai, n1i=n1i, ci=ci, n2i=n2i"
    rma = f"rma.glmm(measure='OR', {counts}, model='{model}', method='ML', test='z', nAGQ=7, level=95)"
    found = ours(7 if model == "UM.FS" else None)
    numbers = r.numbers(f"{{m <- {rma}; c(m$beta, m$se, m$tau2)}}")
    assert_close(f"metafor {model}", numbers, (found.estimate, found.se, found.tau2))
    return [*contenders, r.called(f"metafor rma.glmm {model}", rma)]


def simulated(n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Parametric bootstrap: counts of shape (18, n) from the fitted model."""
    rng = np.random.default_rng(seed)
    found = glmm(CATHETER_EVENTS, CATHETER_TOTAL)
    eta = rng.normal(found.estimate, found.tau, (n, CATHETER_TOTAL.size))
    total = np.broadcast_to(CATHETER_TOTAL, eta.shape)
    events = rng.binomial(total.astype(int), expit(eta)).astype(float)
    return np.ascontiguousarray(events.T), np.ascontiguousarray(total.T)


def many(events: FloatArray, total: FloatArray, r: Metafor | None) -> list[Contender]:
    """Contenders for n fits."""
    n = events.shape[1]
    contenders = [called("metaan fit, one call", lambda: fit(Binomial.from_counts(events, total)))]
    if r is None:
        return contenders
    columns = range(min(SUBSAMPLE, n))
    check_many(events, total, columns, r)
    body = "; ".join(f"x <- x{j}; {RMA}" for j in columns)
    return [
        *contenders,
        r.called(f"metafor loop over {len(columns)}, times {n / len(columns):g}", f"{{{body}}}", n / len(columns)),
    ]


def check_many(events: FloatArray, total: FloatArray, columns: Sequence[int], r: Metafor) -> None:
    """Stop unless metafor has the same estimates, as far as its 7 nodes allow where events are rare."""
    found = fit(Binomial.from_counts(events, total))
    for j in columns:
        r.assign(f"x{j}", events[:, j])
        estimate, tau2 = r.numbers(f"{{x <- x{j}; m <- {RMA}; c(m$beta, m$tau2)}}")
        if abs(estimate - found.mu[j]) > 0.02 or abs(tau2 - found.tau[j] ** 2) > 0.02 * (1 + tau2):
            raise SystemExit(f"metafor has {estimate, tau2} where metaan has {found.mu[j], found.tau[j] ** 2}.")


def main() -> None:
    parser = options(__doc__, rounds=25)
    parser.add_argument("--n", type=int, default=1000, help="data sets of the batch (default: %(default)s)")
    arguments = parser.parse_args()
    warnings.simplefilter("error", RuntimeWarning)
    found = surroundings("metaan", "numpy", "scipy", "pimeta")
    found["pimeta on these data"] = try_pimeta(CATHETER_EVENTS, CATHETER_TOTAL)
    print(f"pimeta.rma_glmm, {found['pimeta on these data']}")
    with ExitStack() as stack:
        r = stack.enter_context(Metafor()) if Metafor.available() else None
        found["metafor"] = r.version() if r else "absent"
        print(f"metafor {found['metafor']}")
        contenders = single(CATHETER_EVENTS, CATHETER_TOTAL, r)
        tables = [
            report(
                "One binomial-normal model, 18 trials", interleaved(contenders, arguments.rounds), contenders[0].name
            )
        ]
        for model, rounds in (("UM.FS", arguments.rounds), ("CM.EL", max(3, arguments.rounds // 8))):
            contenders = two_arms(model, r)
            title = f"Log odds ratios by {model}, 13 trials"
            tables.append(report(title, interleaved(contenders, rounds), contenders[0].name))
        contenders = many(*simulated(arguments.n, seed=18), r)
        times = interleaved(contenders, max(3, arguments.rounds // 3))
        tables.append(report(f"{arguments.n:,} binomial-normal models, 18 trials", times, contenders[0].name))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
