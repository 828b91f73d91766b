"""One fit by every estimator of tau2 with 13, 100, 1,000 and 10,000 studies, against whoever has the estimator.

Simulated: variances uniform on 0.02 ... 0.4, tau2 = 0.3. Every contender's tau2 must agree with metaan's to 1e-4 (1e-3
of an iterated one that stops early) before it is timed; metaan gives the full result. A peer that needs more than
`--limit` seconds for one fit is left out at that size, and said so.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import meta_analyze
import numpy as np
import pimeta
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import DerSimonianLaird, Hedges, VarianceBasedLikelihoodEstimator
from side_by_side import Contender, called, interleaved, one_thread, options, report, surroundings, write
from statsmodels.stats.meta_analysis import combine_effects
from trials import FloatArray

import metaan

SIZES = (13, 100, 1_000, 10_000)
METHODS = ("DL", "HE", "HS", "SJ", "ML", "REML", "PM")
PYMARE = {
    "DL": DerSimonianLaird,
    "HE": Hedges,
    "ML": lambda: VarianceBasedLikelihoodEstimator(method="ML", small_sample_correction="wald"),
    "REML": lambda: VarianceBasedLikelihoodEstimator(method="REML", small_sample_correction="wald"),
}
STATSMODELS = {"DL": "chi2", "PM": "iterated"}
META_ANALYZE = ("DL", "REML", "PM", "ML", "HE", "SJ")
METAFOR_LIMIT = 1_000
"""metafor makes matrices of k x k numbers."""

Fit = Callable[[], float]


def simulated(k: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(k)
    v = rng.uniform(0.02, 0.4, k)
    return rng.normal(-0.7, np.sqrt(v + 0.3)), v


def peers(y: FloatArray, v: FloatArray, method: str) -> dict[str, Fit]:
    """Name and a fit that returns tau2, of those that have the estimator."""
    found: dict[str, Fit] = {"pimeta": lambda: float(pimeta.rma(y, v, method=method, test="z").tau2)}
    if method in META_ANALYZE:

        def fit_table() -> float:
            return float(meta_analyze.meta_analysis(
                effect=y, variance=v, model="random", tau2_method=method, ci_method="normal", confidence_level=0.95
            ).tau2)  # fmt: skip

        found["PyMetaAnalysis"] = fit_table
    if method in PYMARE:
        ones = np.ones((y.size, 1))

        def fit_pymare() -> float:
            data = Dataset(y=y, v=v, X=ones, add_intercept=False)
            return float(np.ravel(PYMARE[method]().fit_dataset(data).params_["tau2"])[0])

        found["PyMARE"] = fit_pymare
    if method in STATSMODELS:
        found["statsmodels"] = lambda: float(combine_effects(y, v, method_re=STATSMODELS[method], use_t=False).tau2)
    return found


def usable(name: str, fit: Fit, tau2: float, limit: float) -> bool:
    """Whether a peer computes the same within the time that it may take."""
    start = time.perf_counter()
    try:
        got = fit()
    except Exception as error:
        print(f"  {name} left out: {type(error).__name__}: {str(error)[:80]}")
        return False
    took = time.perf_counter() - start
    if not abs(got - tau2) <= 1e-3 * max(tau2, 0.01):
        print(f"  {name} left out: tau2 {got:.6g}, metaan {tau2:.6g}")
        return False
    if took > limit:
        print(f"  {name} left out: one fit took {took:.1f} s")
        return False
    return True


def contenders(k: int, method: str, r: Metafor | None, limit: float) -> list[Contender]:
    y, v = simulated(k)

    def ours() -> Any:
        return metaan.pool(metaan.effects(y, v), method=method, test="z")

    tau2 = ours().tau2
    rows = [called("metaan", ours)]
    rows += [called(name, fit) for name, fit in peers(y, v, method).items() if usable(name, fit, tau2, limit)]
    if r and k <= METAFOR_LIMIT:
        r.assign("y", y)
        r.assign("v", v)
        expression = f"rma(y, v, method='{method}', test='z')"
        if usable("metafor", lambda: r.numbers(f"{expression}$tau2")[0], tau2, limit):
            rows.append(r.called("metafor", expression))
    return rows


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of one fit (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="K")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "PyMetaAnalysis", "PyMARE", "statsmodels")
    tables = []
    with ExitStack() as stack:
        r = stack.enter_context(Metafor()) if Metafor.available() else None
        found["metafor"] = r.version() if r else "absent"
        for k in arguments.sizes:
            for method in METHODS:
                rows = contenders(k, method, r, arguments.limit)
                tables.append(report(f"{method}, k = {k:,}", interleaved(rows, arguments.rounds), "metaan"))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
