"""One fit by every estimator of tau2 with 13, 100, 1,000 and 10,000 studies, against whoever has the estimator.

Simulated: variances uniform on 0.02 ... 0.4, tau2 = 0.3. metaan gives the full result, and of a peer the fit alone is
timed. Its tau2 must agree with metaan's to 1e-4 (iterated estimators: 1e-3, some stop early) before it is timed, or it
is left out and the table says so. So is a peer that needs more than `--limit` seconds for one fit, or is expected to,
from how its time grew over the smaller sizes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from metafor_session import Metafor, session
from peers import estimators, metafor_call
from side_by_side import (
    Contender,
    called,
    clock,
    expected,
    interleaved,
    one_thread,
    options,
    report,
    surroundings,
    write,
)
from trials import FloatArray

import metaan

SIZES = (13, 100, 1_000, 10_000)
METHODS = ("DL", "HE", "HS", "SJ", "ML", "REML", "PM")
ITERATED = ("ML", "REML", "PM")


def simulated(k: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(k)
    v = rng.uniform(0.02, 0.4, k)
    return rng.normal(-0.7, np.sqrt(v + 0.3)), v


class Patience:
    """Which peers still take part, from the time of one fit at the sizes before.

    Parameters
    ----------
    limit : float
        Seconds that one fit may take.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._seen: dict[tuple[str, str], dict[int, float]] = {}

    def refused(self, name: str, method: str, k: int, fit: Callable[[], float], tau2: float) -> str:
        """Why a peer is left out; empty if it is not."""
        seen = self._seen.setdefault((name, method), {})
        seconds = expected(seen, k)
        if seconds > self.limit:
            return f"about {clock(float(f'{seconds:.1g}'))} expected"
        try:
            start = time.perf_counter()
            got = fit()
            seconds = time.perf_counter() - start
            if seconds < 1:  # once more: the first call may load something
                start = time.perf_counter()
                fit()
                seconds = time.perf_counter() - start
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:80]}"
        seen[k] = seconds
        if not abs(got - tau2) <= (1e-3 if method in ITERATED else 1e-4) * max(tau2, 0.01):
            return f"tau2 {got:.6g}, metaan {tau2:.6g}"
        return f"one fit took {clock(seconds)}" if seconds > self.limit else ""


def contenders(k: int, method: str, r: Metafor | None, patience: Patience) -> tuple[list[Contender], dict[str, str]]:
    """Who takes part, and who not and why."""
    y, v = simulated(k)

    def ours() -> Any:
        return metaan.pool(metaan.effects(y, v), method=method, test="z")

    tau2 = ours().tau2
    rows, out = [called("metaan", ours)], {}
    for name, (names, tau2_by) in estimators().items():
        if method not in names:
            continue

        def fit(tau2_by: Callable[..., float] = tau2_by) -> float:
            return tau2_by(y, v, method)

        out[name] = patience.refused(name, method, k, fit, tau2)
        rows += [] if out[name] else [called(name, fit)]
    if r:
        r.assign("yi", y)
        r.assign("vi", v)
        call = metafor_call(method=method)
        out["metafor"] = patience.refused("metafor", method, k, lambda: r.numbers(f"{call}$tau2")[0], tau2)
        rows += [] if out["metafor"] else [r.called("metafor", call)]
    return rows, {name: why for name, why in out.items() if why}


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds of one fit (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="K")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "PyMetaAnalysis", "PyMARE", "statsmodels")
    tables, patience = [], Patience(arguments.limit)
    with session(found) as r:
        for k in arguments.sizes:
            for method in METHODS:
                rows, out = contenders(k, method, r, patience)
                times = interleaved(rows, arguments.rounds, patience=5.0)
                tables.append(report(f"{method}, k = {k:,}", times, "metaan", left_out=out))
                for name, why in out.items():
                    print(f"{name} left out: {why}")
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
