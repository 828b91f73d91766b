"""10,000 binomial-normal models of 15 studies in one call, with every column of the result, against metafor.

Simulated: totals uniform on 10 ... 60, median rate 27 %, tau 0.7. metafor (7 nodes) fits a part in a loop, whose time
is multiplied; before anything is timed its estimates must agree.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack

import numpy as np
from metafor_session import Metafor
from scipy.special import expit
from side_by_side import Contender, called, interleaved, one_thread, options, report, surroundings, write

import metaan
from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import fit

STUDIES, SUBSAMPLE = 15, 20
RMA = "rma.glmm(measure='PLO', xi=x, ni=n, method='ML', test='z', nAGQ=7, level=95)"
Counts = tuple[np.ndarray, np.ndarray]


def simulated(n: int, seed: int) -> Counts:
    """Events and totals, (n, 15)."""
    rng = np.random.default_rng(seed)
    total = rng.integers(10, 61, size=(n, STUDIES))
    events = rng.binomial(total, expit(-1 + 0.7 * rng.standard_normal(total.shape)))
    return events.astype(float), total.astype(float)


def contenders(counts: Counts, r: Metafor | None) -> list[Contender]:
    """metaan with all columns, its kernel alone, and metafor."""
    events, total = counts
    x, n = np.ascontiguousarray(events.T), np.ascontiguousarray(total.T)
    found = [
        called("metaan.pool_many, all columns", lambda: metaan.pool_many(events=events, total=total, model="glmm")),
        called("its kernel alone", lambda: fit(Binomial.from_counts(x, n))),
    ]
    if r is None:
        return found
    check(events, total, r)
    body = "; ".join(f"x <- x{j}; n <- n{j}; {RMA}" for j in range(SUBSAMPLE))
    times = len(events) / SUBSAMPLE
    return [*found, r.called(f"metafor loop over {SUBSAMPLE}, times {times:g}", f"{{{body}}}", times)]


def check(events: np.ndarray, total: np.ndarray, r: Metafor) -> None:
    """Stop unless metafor has the same estimates, as far as its 7 nodes allow."""
    table = metaan.pool_many(events=events[:SUBSAMPLE], total=total[:SUBSAMPLE], model="glmm")
    for j in range(SUBSAMPLE):
        r.assign(f"x{j}", events[j])
        r.assign(f"n{j}", total[j])
        estimate, tau2 = r.numbers(f"{{x <- x{j}; n <- n{j}; m <- {RMA}; c(m$beta, m$tau2)}}")
        if abs(estimate - table["estimate"][j]) > 0.005 or abs(tau2 - table["tau2"][j]) > 0.01 * (1 + tau2):
            ours = table["estimate"][j], table["tau2"][j]
            raise SystemExit(f"metafor has {estimate, tau2} where metaan has {ours}.")


def main() -> None:
    parser = options(__doc__, rounds=9)
    parser.add_argument("--n", type=int, default=10_000, help="data sets (default: %(default)s)")
    arguments = parser.parse_args()
    warnings.simplefilter("error", RuntimeWarning)
    found = surroundings("metaan", "numpy", "scipy")
    with ExitStack() as stack:
        r = stack.enter_context(Metafor()) if Metafor.available() else None
        found["metafor"] = r.version() if r else "absent"
        rows = contenders(simulated(arguments.n, seed=15), r)
        title = f"{arguments.n:,} binomial-normal models, {STUDIES} studies"
        tables = [report(title, interleaved(rows, arguments.rounds), rows[0].name)]
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
