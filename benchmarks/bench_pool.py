"""One REML fit of the BCG trials with everything that a program says of it, against the peers.

Every contender fits the same model, REML with normal inference, with every option spelled out, and must agree with
metaan to 1e-4 before anything is timed (statsmodels has no REML: its iterated Paule-Mandel is checked against
metaan's). "fit" is a peer's own fitting call; "full" adds the calls that give what the first leaves out of prediction
interval, weights, fitted values and BLUPs, as far as the peer has them. metaan's result always holds all of them.
"""

from __future__ import annotations

import warnings
from typing import Any

from metafor_session import Metafor, session
from peers import (
    meta_analyze,
    meta_analyze_fit,
    metafor_call,
    pimeta,
    pimeta_fit,
    pymare_fit,
    statsmodels_fit,
)
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from trials import FloatArray, bcg

import metaan


def metaan_pool(yi: FloatArray, vi: FloatArray, method: str = "REML") -> metaan.PoolResult:
    """Check the input, fit, and fill every field of the result."""
    return metaan.pool(metaan.effects(yi, vi), method=method, test="z", level=0.95, pi="t")


def touched(result: metaan.PoolResult) -> tuple[Any, ...]:
    """Read every number of a result, so that nothing can have been put off."""
    r = result
    return (
        r.estimate, r.se, r.ci_low, r.ci_high, r.statistic, r.pvalue, r.pi_low, r.pi_high,
        r.tau2, r.I2, r.H2, r.Q, r.Q_pvalue, r.weights, r.fitted, r.blup, r.blup_se, r.heterogeneity, r.notes,
    )  # fmt: skip


def pimeta_pool_yv(yi: FloatArray, vi: FloatArray) -> Any:
    """Pimeta's inner function for ready-made effects; "PAS" leaves them as they are."""
    return pimeta.pool_yv(list(yi), list(vi), None, "PAS", model="random", method="REML", alpha=0.05)


def pimeta_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = pimeta_fit(yi, vi)
    return fit, fit.predict(), pimeta.blup(fit)


def meta_analyze_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = meta_analyze_fit(yi, vi)
    return fit, fit.study_results


def pymare_full(yi: FloatArray, vi: FloatArray) -> Any:
    result = pymare_fit(yi, vi).summary()
    return result, result.get_fe_stats(alpha=0.05), result.get_heterogeneity_stats()


def statsmodels_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = statsmodels_fit(yi, vi)
    return fit, fit.summary_frame(), fit.test_homogeneity()


def check(yi: FloatArray, vi: FloatArray) -> None:
    """All peers must have computed what metaan has."""
    reml, pm = metaan_pool(yi, vi), metaan_pool(yi, vi, "PM")
    mare = pymare_fit(yi, vi).params_
    found = {"PyMARE": (mare["fe_params"].item(), mare["inv_cov"].item() ** 0.5, mare["tau2"].item())}
    if pimeta:
        fit, inner = pimeta_fit(yi, vi), pimeta_pool_yv(yi, vi)
        found["pimeta.rma"] = (fit.b[0], fit.se[0], fit.tau2, fit.QE, fit.I2, fit.H2)
        found["pimeta.pool_yv"] = (inner.pooled_est, inner.pooled_se, inner.tau2, inner.q, inner.i2, inner.h2)
    if meta_analyze:
        table = meta_analyze_fit(yi, vi)
        found["PyMetaAnalysis"] = (table.estimate, table.standard_error, table.tau2, table.q, 100 * table.i2, table.h2)
    want = (reml.estimate, reml.se, reml.tau2, reml.Q, reml.I2, reml.H2)
    for name, numbers in found.items():
        assert_close(name, numbers, want[: len(numbers)])
    moments = statsmodels_fit(yi, vi)
    assert_close(
        "statsmodels", (moments.mean_effect_re, moments.sd_eff_w_re, moments.tau2), (pm.estimate, pm.se, pm.tau2)
    )


def single(yi: FloatArray, vi: FloatArray, r: Metafor | None) -> list[Contender]:
    """Contenders for one fit."""
    check(yi, vi)
    ready = metaan.effects(yi, vi)
    contenders = [
        called("metaan.pool(metaan.effects(yi, vi)), full result", lambda: touched(metaan_pool(yi, vi))),
        called("metaan.pool alone, full result", lambda: touched(metaan.pool(ready, method="REML", test="z"))),
        called("metaan.pool, Paule-Mandel, full result", lambda: touched(metaan_pool(yi, vi, "PM"))),
        called("PyMARE, fit", lambda: pymare_fit(yi, vi)),
        called("PyMARE, intervals and heterogeneity, full", lambda: pymare_full(yi, vi)),
        called("statsmodels Paule-Mandel, fit", lambda: statsmodels_fit(yi, vi)),
        called("statsmodels Paule-Mandel, summary and Q test, full", lambda: statsmodels_full(yi, vi)),
    ]
    if pimeta:
        contenders += [
            called("pimeta.pool_yv, fit", lambda: pimeta_pool_yv(yi, vi)),
            called("pimeta.rma, fit", lambda: pimeta_fit(yi, vi)),
            called("pimeta.rma, predict, blup, full", lambda: pimeta_full(yi, vi)),
        ]
    if meta_analyze:
        contenders += [
            called("PyMetaAnalysis, fit", lambda: meta_analyze_fit(yi, vi)),
            called("PyMetaAnalysis, study_results, full", lambda: meta_analyze_full(yi, vi)),
        ]
    return contenders + (metafor_single(yi, vi, r) if r else [])


def metafor_single(yi: FloatArray, vi: FloatArray, r: Metafor) -> list[Contender]:
    r.assign("yi", yi)
    r.assign("vi", vi)
    result, call = metaan_pool(yi, vi), metafor_call()
    numbers = r.numbers(f"{{m <- {call}; c(m$beta, m$se, m$tau2, m$QE, m$I2, m$H2, predict(m)$pi.lb, blup(m)$pred)}}")
    z = 1.959963984540054
    low = result.estimate - z * (result.tau2 + result.se**2) ** 0.5  # metafor's prediction interval is the normal one
    want = (result.estimate, result.se, result.tau2, result.Q, result.I2, result.H2, low, *result.blup)
    assert_close("metafor", numbers, want)
    return [
        r.called("metafor rma, fit", call),
        r.called(
            "metafor rma, predict, weights, blup, full", f"{{m <- {call}; predict(m); weights(m); fitted(m); blup(m)}}"
        ),
    ]


def main() -> None:
    arguments = options(__doc__, rounds=25).parse_args()
    warnings.simplefilter("error", RuntimeWarning)
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "PyMetaAnalysis", "PyMARE", "statsmodels")
    with session(found) as r:
        contenders = single(*bcg(), r)
        times = interleaved(contenders, arguments.rounds)
        tables = [report("One REML fit, BCG trials, k = 13", times, contenders[0].name)]
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
