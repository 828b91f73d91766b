"""Batches of 1,000 to 1,000,000 meta-analyses of 13 studies in one call, with numpy alone and with `metaan[fast]`.

A parametric bootstrap of the BCG trials whose variances differ between data sets. Two rows of metaan: `pool_many` with
every column, input checked; and, as much as a fit of PyMARE gives, the estimate, its variance and tau2 from the batched
kernels. metafor loops over 100 data sets, whose time is multiplied. Before anything is timed, PyMARE's tau2 must be
metaan's in 95 % of the data sets; the likelihood says which is lower where they differ.

Memory: the peak of a fresh process that makes the data and pools them by REML, and of one that only makes them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from metafor_session import Metafor, session
from peers import metafor_call, pymare_fit, pymare_tau2
from side_by_side import (
    Contender,
    assert_close,
    called,
    interleaved,
    one_thread,
    options,
    process,
    report,
    surroundings,
    write,
)
from trials import FloatArray, simulated

import metaan
from metaan.core.inference import pieces
from metaan.core.maximum import log_likelihood
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import arrange

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PYMARE_LIMIT = {"REML": 100_000, "DL": 1_000_000}  # data sets: with more, its REML takes minutes
SUBSAMPLE = 100  # data sets that metafor fits in its loop
PATIENCE = 15.0  # seconds of all rounds of a contender
CHILD = "import sys; sys.path.insert(0, {folder!r}); import trials; yi, vi = trials.simulated({n}); {then}"
POOLED = "trials.metaan.pool_many(yi, vi, method='REML', test='z', output='arrays')"
MEMORY = {  # what a fresh process does with the data, and its METAAN_FAST
    "the data alone": ("", "off"),
    "numpy: every column": (POOLED, "off"),
    "fast: every column": (POOLED, "always"),
    "PyMARE, fit": ("import peers; peers.pymare_fit(yi.T, vi.T)", "off"),
}


def lean(yi: FloatArray, vi: FloatArray, method: str) -> tuple[FloatArray, ...]:
    """What a fit of PyMARE gives: estimate, variance and tau2."""
    data = arrange(yi, vi)
    tau2 = ESTIMATORS[method](data, None).tau2
    p = pieces(data, tau2)
    return p.mu, p.variance, tau2


def switched(setting: str, function: Callable[[], object]) -> Callable[[], object]:
    """The function with compiled kernels ("always") or without ("off")."""

    def run() -> object:
        os.environ["METAAN_FAST"] = setting
        return function()

    return run


def contenders(n: int, method: str, r: Metafor | None) -> tuple[list[Contender], str]:
    """All rows of a table, and how well PyMARE agrees."""
    yi, vi = simulated(n)

    def every() -> dict[str, Any]:
        return metaan.pool_many(yi, vi, method=method, test="z", output="arrays")

    rows = [
        called("numpy: every column", switched("off", every)),
        called("numpy: estimate, variance, tau2", switched("off", lambda: lean(yi, vi, method))),
        called("fast: every column", switched("always", every)),
        called("fast: estimate, variance, tau2", switched("always", lambda: lean(yi, vi, method))),
    ]
    ours, note = every()["tau2"], f"PyMARE left out: more than {PYMARE_LIMIT[method]:,} data sets"
    if n <= PYMARE_LIMIT[method]:
        across, variances = np.ascontiguousarray(yi.T), np.ascontiguousarray(vi.T)
        note = agreement(yi, vi, method, ours, pymare_tau2(pymare_fit(across, variances, method)))
        rows.append(called("PyMARE, fit", lambda: pymare_fit(across, variances, method)))
    print(f"\n{note}")
    if r:
        rows.append(metafor(yi[:SUBSAMPLE], vi[:SUBSAMPLE], n, method, ours, r))
    return rows, note


def agreement(yi: FloatArray, vi: FloatArray, method: str, ours: FloatArray, theirs: FloatArray) -> str:
    """Compare every tau2; where they differ, the restricted likelihood tells whose is lower."""
    apart = np.abs(ours - theirs) > 1e-4 * np.maximum(ours, 0.01)
    if apart.mean() > 0.05:
        raise SystemExit(f"PyMARE does not compute the same estimates by {method}.")
    said = f"PyMARE has another tau2 (1e-4) in {apart.sum():,} of {apart.size:,} data sets"
    if method != "REML" or not apart.any():
        return said
    data = arrange(yi[apart], vi[apart])
    gain = log_likelihood(data, ours[apart], restricted=True) - log_likelihood(data, theirs[apart], restricted=True)
    return f"{said}; its likelihood is lower in {(gain > 1e-6).sum():,}, metaan's in {(gain < -1e-6).sum():,}"


def metafor(yi: FloatArray, vi: FloatArray, n: int, method: str, ours: FloatArray, r: Metafor) -> Contender:
    r.assign("y", yi.ravel())
    r.assign("v", vi.ravel())
    r.numbers(f"{{y <- matrix(y, {SUBSAMPLE}, byrow=TRUE); v <- matrix(v, {SUBSAMPLE}, byrow=TRUE); 0}}")
    call = metafor_call("y[i, ]", "v[i, ]", method)
    got = r.numbers(f"sapply(1:{SUBSAMPLE}, function(i) {call}$tau2)")
    assert_close("metafor", got, ours[:SUBSAMPLE].tolist(), 1e-3)  # metafor stops at 1e-5
    times = n / SUBSAMPLE
    return r.called(f"metafor loop over {SUBSAMPLE}, times {times:,g}", f"for (i in 1:{SUBSAMPLE}) {call}", times)


def memory(n: int) -> dict[str, float]:
    """Peak megabytes of a fresh process for each row."""
    found = {}
    for name, (then, setting) in MEMORY.items():
        if name.startswith("PyMARE") and n > PYMARE_LIMIT["REML"]:
            continue
        code = CHILD.format(folder=str(Path(__file__).parent), n=n, then=then)
        found[name] = process([sys.executable, "-c", code], METAAN_FAST=setting).megabytes
    print(f"\nPeak memory, {n:,} REML fits: " + ", ".join(f"{name} {mb:,.0f} MB" for name, mb in found.items()))
    return found


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    arguments = parser.parse_args()
    found = surroundings("metaan", "numpy", "scipy", "PyMARE")
    tables = []
    with session(found) as r:
        for n in arguments.sizes:
            for method in ("REML", "DL"):
                rows, note = contenders(n, method, r)
                times = interleaved(rows, arguments.rounds, PATIENCE)
                title = f"{n:,} fits by {method}, k = 13"
                tables.append(report(title, times, "fast: estimate, variance, tau2", note=note))
    peaks = {f"{n:,}": memory(n) for n in arguments.sizes}
    write(arguments.json, surroundings=found, tables=tables, megabytes=peaks)


if __name__ == "__main__":
    one_thread()
    main()
