"""One REML fit of the BCG trials, and 10,000 such fits in one call, against the peers.

Every contender fits the same model, REML with normal inference, with every option spelled out, and must agree with
metaan to 1e-4 before anything is timed (statsmodels has no REML: its iterated Paule-Mandel is checked against
metaan's). "fit" is a peer's own fitting call; "full" adds the calls that give what the first leaves out of prediction
interval, weights, fitted values and BLUPs, as far as the peer has them. metaan's result always holds all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import meta_analyze
import numpy as np
import pimeta
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import VarianceBasedLikelihoodEstimator
from side_by_side import Contender, assert_close, called, interleaved, one_thread, options, report, surroundings, write
from statsmodels.stats.meta_analysis import combine_effects
from trials import FloatArray, bcg

import metaan
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import INTERVALS, TESTS, log_pvalue, pieces, quantile
from metaan.core.maximum import log_likelihood
from metaan.core.tau2 import ESTIMATORS
from metaan.core.wls import arrange

SUBSAMPLE = 100  # data sets that metafor fits in its loop
RMA = "rma(yi, vi, method='REML', test='z', level=95)"

Fit = Callable[[], tuple[float, float, float]]
"""A fit that returns estimate, standard error and tau2."""


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


def pimeta_rma(yi: FloatArray, vi: FloatArray) -> Any:
    return pimeta.rma(yi, vi, method="REML", test="z", measure="RR", level=0.95)


def pimeta_pool_yv(yi: FloatArray, vi: FloatArray) -> Any:
    """Pimeta's inner function for ready-made effects; "PAS" leaves them as they are."""
    return pimeta.pool_yv(list(yi), list(vi), None, "PAS", model="random", method="REML", alpha=0.05)


def pimeta_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = pimeta_rma(yi, vi)
    return fit, fit.predict(), pimeta.blup(fit)


def meta_analyze_fit(yi: FloatArray, vi: FloatArray) -> Any:
    return meta_analyze.meta_analysis(
        effect=yi, variance=vi, model="random", tau2_method="REML", ci_method="normal", confidence_level=0.95
    )


def meta_analyze_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = meta_analyze_fit(yi, vi)
    return fit, fit.study_results


def pymare_fit(yi: FloatArray, vi: FloatArray) -> Any:
    """One column for each data set: shape (k,) or (k, n)."""
    y, v = yi.reshape(yi.shape[0], -1), vi.reshape(vi.shape[0], -1)
    data = Dataset(y=y, v=v, X=np.ones((y.shape[0], 1)), add_intercept=False)
    return VarianceBasedLikelihoodEstimator(method="REML", small_sample_correction="wald").fit_dataset(data)


def pymare_full(yi: FloatArray, vi: FloatArray) -> Any:
    result = pymare_fit(yi, vi).summary()
    return result, result.get_fe_stats(alpha=0.05), result.get_heterogeneity_stats()


def statsmodels_fit(yi: FloatArray, vi: FloatArray) -> Any:
    return combine_effects(yi, vi, method_re="iterated", use_t=False, alpha=0.05)


def statsmodels_full(yi: FloatArray, vi: FloatArray) -> Any:
    fit = statsmodels_fit(yi, vi)
    return fit, fit.summary_frame(), fit.test_homogeneity()


def check_single(yi: FloatArray, vi: FloatArray) -> None:
    """All peers must have computed what metaan has."""
    reml, pm = metaan_pool(yi, vi), metaan_pool(yi, vi, "PM")
    fit, inner, table = pimeta_rma(yi, vi), pimeta_pool_yv(yi, vi), meta_analyze_fit(yi, vi)
    mare = pymare_fit(yi, vi).params_
    moments = statsmodels_fit(yi, vi)
    found = {
        "pimeta.rma": (fit.b[0], fit.se[0], fit.tau2, fit.QE, fit.I2, fit.H2),
        "pimeta.pool_yv": (inner.pooled_est, inner.pooled_se, inner.tau2, inner.q, inner.i2, inner.h2),
        "PyMetaAnalysis": (table.estimate, table.standard_error, table.tau2, table.q, 100 * table.i2, table.h2),
        "PyMARE": (mare["fe_params"].item(), mare["inv_cov"].item() ** 0.5, mare["tau2"].item()),
    }
    want = (reml.estimate, reml.se, reml.tau2, reml.Q, reml.I2, reml.H2)
    for name, numbers in found.items():
        assert_close(name, numbers, want[: len(numbers)])
    assert_close(
        "statsmodels", (moments.mean_effect_re, moments.sd_eff_w_re, moments.tau2), (pm.estimate, pm.se, pm.tau2)
    )


def single(yi: FloatArray, vi: FloatArray, r: Metafor | None) -> list[Contender]:
    """Contenders for one fit."""
    check_single(yi, vi)
    ready = metaan.effects(yi, vi)
    contenders = [
        called("metaan.pool(metaan.effects(yi, vi)), full result", lambda: touched(metaan_pool(yi, vi))),
        called("metaan.pool alone, full result", lambda: touched(metaan.pool(ready, method="REML", test="z"))),
        called("metaan.pool, Paule-Mandel, full result", lambda: touched(metaan_pool(yi, vi, "PM"))),
        called("pimeta.pool_yv, fit", lambda: pimeta_pool_yv(yi, vi)),
        called("pimeta.rma, fit", lambda: pimeta_rma(yi, vi)),
        called("pimeta.rma, predict, blup, full", lambda: pimeta_full(yi, vi)),
        called("PyMetaAnalysis, fit", lambda: meta_analyze_fit(yi, vi)),
        called("PyMetaAnalysis, study_results, full", lambda: meta_analyze_full(yi, vi)),
        called("PyMARE, fit", lambda: pymare_fit(yi, vi)),
        called("PyMARE, intervals and heterogeneity, full", lambda: pymare_full(yi, vi)),
        called("statsmodels Paule-Mandel, fit", lambda: statsmodels_fit(yi, vi)),
        called("statsmodels Paule-Mandel, summary and Q test, full", lambda: statsmodels_full(yi, vi)),
    ]
    return contenders + (metafor_single(yi, vi, r) if r else [])


def metafor_single(yi: FloatArray, vi: FloatArray, r: Metafor) -> list[Contender]:
    r.assign("yi", yi)
    r.assign("vi", vi)
    result = metaan_pool(yi, vi)
    numbers = r.numbers(f"{{m <- {RMA}; c(m$beta, m$se, m$tau2, m$QE, m$I2, m$H2, predict(m)$pi.lb, blup(m)$pred)}}")
    z = 1.959963984540054
    low = result.estimate - z * (result.tau2 + result.se**2) ** 0.5  # metafor's prediction interval is the normal one
    want = (result.estimate, result.se, result.tau2, result.Q, result.I2, result.H2, low, *result.blup)
    assert_close("metafor", numbers, want)
    return [
        r.called("metafor rma, fit", RMA),
        r.called(
            "metafor rma, predict, weights, blup, full", f"{{m <- {RMA}; predict(m); weights(m); fitted(m); blup(m)}}"
        ),
    ]


def simulated(n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Parametric bootstrap of the BCG trials, shape (n, 13); variances vary by 20 % between data sets."""
    rng = np.random.default_rng(seed)
    yi, vi = bcg()
    fit = metaan_pool(yi, vi)
    v = vi * np.exp(rng.normal(0, 0.2, (n, vi.size)))
    return rng.normal(fit.estimate, np.sqrt(v + fit.tau2)), v


def batch(yi: FloatArray, vi: FloatArray) -> dict[str, FloatArray]:
    """REML with all that a result of `metaan.pool` holds, for arrays of shape (n, k), from the batched kernels."""
    data = arrange(yi, vi)
    tau2 = ESTIMATORS["REML"](data, None).tau2
    p = pieces(data, tau2)
    mean = TESTS["z"](data, p)
    se = np.sqrt(mean.variance)
    half = quantile(mean.df, 0.95) * se
    new = INTERVALS["t"](data, tau2, p)
    reach = quantile(new.df, 0.95) * np.sqrt(new.variance)
    q = cochran(data)
    i2, h2 = i2_h2(tau2, q.typical)
    shrink = tau2 / (tau2 + data.v)
    return {
        "estimate": p.mu, "se": se, "ci_low": p.mu - half, "ci_high": p.mu + half,
        "pvalue": np.exp(log_pvalue(p.mu / se, mean.df)), "pi_low": p.mu - reach, "pi_high": p.mu + reach,
        "tau2": tau2, "Q": q.Q, "Q_pvalue": q.pvalue, "I2": i2, "H2": h2, "weights": 100 * p.share,
        "blup": p.mu + shrink * (data.y - p.mu), "blup_se": np.sqrt(shrink * data.v + (1 - shrink) ** 2 * se**2),
    }  # fmt: skip


def lean_batch(yi: FloatArray, vi: FloatArray, method: str = "REML") -> tuple[FloatArray, ...]:
    """What a fit of PyMARE gives: estimate, variance and tau2."""
    data = arrange(yi, vi)
    tau2 = ESTIMATORS[method](data, None).tau2
    p = pieces(data, tau2)
    return p.mu, p.variance, tau2


def check_batch(yi: FloatArray, vi: FloatArray) -> dict[str, int]:
    """Compare every fit with PyMARE's; where they differ, the likelihood tells who is lower."""
    ours, theirs = batch(yi, vi), pymare_fit(yi.T, vi.T).params_["tau2"].ravel()
    data = arrange(yi, vi)
    apart = np.abs(ours["tau2"] - theirs) > 1e-4 * np.maximum(ours["tau2"], 0.01)
    gain = log_likelihood(data, ours["tau2"], restricted=True) - log_likelihood(data, theirs, restricted=True)
    counts = {
        "data sets": yi.shape[0],
        "same tau2 (1e-4)": int((~apart).sum()),
        "PyMARE lower by 1e-6 or more in log-likelihood": int((gain > 1e-6).sum()),
        "metaan lower by 1e-6 or more in log-likelihood": int((gain < -1e-6).sum()),
    }
    print("\n" + ", ".join(f"{name}: {value}" for name, value in counts.items()))
    if counts["same tau2 (1e-4)"] < 0.95 * yi.shape[0]:
        raise SystemExit("PyMARE does not compute the same estimates.")
    return counts


def many(yi: FloatArray, vi: FloatArray, r: Metafor | None) -> list[Contender]:
    """Contenders for n fits."""
    n = yi.shape[0]
    across, variances = np.ascontiguousarray(yi.T), np.ascontiguousarray(vi.T)
    contenders = [
        called("metaan batched kernels, every field", lambda: batch(yi, vi)),
        called("metaan batched kernels, estimate, variance and tau2", lambda: lean_batch(yi, vi)),
        called("PyMARE, one call, fit", lambda: pymare_fit(across, variances)),
        called("PyMARE, one call, intervals and heterogeneity", lambda: pymare_full(across, variances)),
    ]
    return contenders + ([metafor_many(yi[:SUBSAMPLE], vi[:SUBSAMPLE], n, r)] if r else [])


def metafor_many(yi: FloatArray, vi: FloatArray, n: int, r: Metafor) -> Contender:
    m = yi.shape[0]
    r.assign("y", yi.ravel())
    r.assign("v", vi.ravel())
    r.numbers(f"{{y <- matrix(y, {m}, byrow=TRUE); v <- matrix(v, {m}, byrow=TRUE); 0}}")
    loop = f"for (i in 1:{m}) {RMA.replace('yi, vi', 'y[i, ], v[i, ]')}"
    return r.called(f"metafor loop over {m}, times {n / m:g}", loop, n / m)


def main() -> None:
    parser = options(__doc__, rounds=25)
    parser.add_argument("--n", type=int, default=10_000, help="data sets of the batch (default: %(default)s)")
    arguments = parser.parse_args()
    warnings.simplefilter("error", RuntimeWarning)
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "PyMetaAnalysis", "PyMARE", "statsmodels")
    with ExitStack() as stack:
        r = stack.enter_context(Metafor()) if Metafor.available() else None
        found["metafor"] = r.version() if r else "absent"
        print(f"metafor {found['metafor']}")
        contenders = single(*bcg(), r)
        tables = [
            report("One REML fit, BCG trials, k = 13", interleaved(contenders, arguments.rounds), contenders[0].name)
        ]
        yi, vi = simulated(arguments.n, seed=13)
        counts = check_batch(yi, vi)
        contenders = many(yi, vi, r)
        rounds = max(3, arguments.rounds // 3)
        tables.append(report(f"{arguments.n:,} REML fits, k = 13", interleaved(contenders, rounds), contenders[0].name))
    write(arguments.json, surroundings=found, agreement=counts, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
