"""Batches of 1,000 to 1,000,000 meta-analyses of 13 studies in one call, with numpy alone and with `metaan[fast]`.

A parametric bootstrap of the BCG trials whose variances differ between data sets, as in bench_pool.py. Two rows of
metaan: `pool_many` with every column, input checked; and, as much as a fit of PyMARE gives, the estimate, its variance
and tau2 from the batched kernels. metafor loops over 100 data sets, whose time is multiplied.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from bench_pool import RMA, SUBSAMPLE, lean_batch, pymare_fit, simulated
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import DerSimonianLaird
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from trials import FloatArray

import metaan

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PYMARE_LIMIT = 100_000


def switched(setting: str, function: Callable[[], object]) -> Callable[[], object]:
    """The function with compiled kernels ("always") or without ("off")."""

    def run() -> object:
        os.environ["METAAN_FAST"] = setting
        return function()

    return run


def pymare_dl(across: FloatArray, variances: FloatArray) -> object:
    data = Dataset(y=across, v=variances, X=np.ones((across.shape[0], 1)), add_intercept=False)
    return DerSimonianLaird().fit_dataset(data)


def contenders(n: int, method: str, r: Metafor | None) -> list[Contender]:
    yi, vi = simulated(n, seed=13)
    across, variances = np.ascontiguousarray(yi.T), np.ascontiguousarray(vi.T)

    def every() -> dict[str, np.ndarray]:
        return metaan.pool_many(yi, vi, method=method, test="z", output="arrays")

    def lean() -> object:
        return lean_batch(yi, vi, method)

    rows = [
        called("numpy: every column", switched("off", every)),
        called("numpy: estimate, variance, tau2", switched("off", lean)),
        called("fast: every column", switched("always", every)),
        called("fast: estimate, variance, tau2", switched("always", lean)),
    ]
    ours = every()
    if n <= PYMARE_LIMIT:

        def theirs() -> object:
            return pymare_fit(across, variances) if method == "REML" else pymare_dl(across, variances)

        tau2 = np.ravel(theirs().params_["tau2"])
        same = np.isclose(tau2, ours["tau2"], rtol=1e-3, atol=1e-5).mean()
        print(f"PyMARE has the same tau2 in {100 * same:.2f} % of {n:,} data sets")
        if same < 0.95:
            raise SystemExit("PyMARE does not compute the same estimates.")
        rows.append(called("PyMARE, fit", theirs))
    if r:
        rows.append(metafor(yi[:SUBSAMPLE], vi[:SUBSAMPLE], n, method, ours, r))
    return rows


def metafor(yi: FloatArray, vi: FloatArray, n: int, method: str, ours: dict[str, np.ndarray], r: Metafor) -> Contender:
    r.assign("y", yi.ravel())
    r.assign("v", vi.ravel())
    r.numbers(f"{{y <- matrix(y, {SUBSAMPLE}, byrow=TRUE); v <- matrix(v, {SUBSAMPLE}, byrow=TRUE); 0}}")
    call = RMA.replace("REML", method).replace("yi, vi", "y[i, ], v[i, ]")
    got = r.numbers(f"sapply(1:{SUBSAMPLE}, function(i) {call}$tau2)")
    assert_close("metafor", got, ours["tau2"][:SUBSAMPLE].tolist(), 1e-3)  # metafor stops at 1e-5
    return r.called(
        f"metafor loop over {SUBSAMPLE}, times {n / SUBSAMPLE:g}", f"for (i in 1:{SUBSAMPLE}) {call}", n / SUBSAMPLE
    )


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    arguments = parser.parse_args()
    found = surroundings("metaan", "numpy", "numba", "PyMARE")
    tables = []
    with ExitStack() as stack:
        r = stack.enter_context(Metafor()) if Metafor.available() else None
        found["metafor"] = r.version() if r else "absent"
        for n in arguments.sizes:
            for method in ("REML", "DL"):
                rounds = arguments.rounds if n <= 10_000 else max(3, arguments.rounds // 2)
                times = interleaved(contenders(n, method, r), rounds)
                tables.append(report(f"{n:,} fits by {method}, k = 13", times, "fast: estimate, variance, tau2"))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
