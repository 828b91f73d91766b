"""Random-effects and common-effect pooling of effect sizes with known sampling variances."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from metaan.core.heterogeneity import Cochran, cochran, i2_h2
from metaan.core.inference import INTERVALS, TESTS, Mean, Pieces, log_pvalue, pieces, quantile
from metaan.core.memory import keep_freed
from metaan.core.predictive import bootstrap_interval
from metaan.core.tau2 import ESTIMATORS, Tau2
from metaan.core.wls import Data, FloatArray
from metaan.errors import InputError, Note, OptionError
from metaan.measures.correction import as_data
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import Convergence, PoolResult, Spec
from metaan.validate import DRAWS, METHOD, PI, TEST, check_level, forbid, numbers, whole

__all__ = ["fit_normal", "pool", "pool_spec"]


def pool(
    eff: Effects,
    *,
    method: str = "REML",
    test: str = "hk",
    level: float = 0.95,
    pi: str = "t",
    weights: Any = None,
    draws: int = 25_000,
    seed: int = 0,
) -> PoolResult:
    """Pool effect sizes with a random-effects (or common-effect) model.

    Parameters
    ----------
    eff : Effects
        From `metaan.effect_size` or `metaan.effects`.
    method : {"REML", "CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "EB", "PM", "PMM", "GENQ", "DLIT", "SJIT"}
        Estimator of the between-study variance tau2.
    test : {"hk", "z", "t", "hk-adhoc", "kr"}
        Standard error and reference distribution: Hartung-Knapp (default), normal, t with k - 1 degrees of freedom,
        Hartung-Knapp never below the usual standard error, Kenward-Roger (REML only).
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "hk", "kr", "bootstrap", "none"}
        Prediction interval for the true effect of a new study; programs differ in their default.
    weights : array of shape (k,), optional
        Weights > 0 of the generalised Q and of the mean; for ``method="GENQ"``, which needs them.
    draws, seed : int
        Size and seed of the bootstrap prediction interval; unused otherwise.

    Returns
    -------
    PoolResult
        On the analysis scale; `PoolResult.back` gives rates.

    Raises
    ------
    InputError
        `eff` is not an Effects record.
    OptionError
        An unknown option, or one that this model cannot honour (Kenward-Roger without REML, weights without GENQ).

    Notes
    -----
    With w = 1/(v + tau2): mu = sum wy / sum w, variance 1/sum w, times q = sum w (y - mu)^2/(k - 1) for
    Hartung-Knapp. REML and ML return the global maximum of the likelihood, of which there may be two. I2 comes from
    tau2 and the typical sampling variance (for CE, where tau2 is not estimated, from Q). A single study gets the
    normal interval and no prediction interval; fewer than 3 studies get no prediction interval.

    References
    ----------
    Viechtbauer W (2005). J Educ Behav Stat 30:261-293. doi:10.3102/10769986030003261
    Hartung J, Knapp G (2001). Stat Med 20:3875-3889. doi:10.1002/sim.1009
    Veroniki AA et al. (2019). Res Synth Methods 10:23-43. doi:10.1002/jrsm.1319

    Examples
    --------
    >>> from metaan import effects, pool
    >>> res = pool(effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01]), method="DL", test="z")
    >>> round(res.estimate, 4), round(res.tau2, 4)
    (0.2521, 0.0123)
    """
    if not isinstance(eff, Effects):
        raise InputError(
            f"pool takes an Effects record, not {type(eff).__name__}: make one with effects or effect_size."
        )
    eff = as_data(eff)
    spec = pool_spec(eff.measure, method, test, level, pi)
    if pi == "bootstrap":
        spec = dataclasses.replace(spec, draws=whole("draws", draws, 100, DRAWS), seed=whole("seed", seed, 0))
    return fit_normal(eff, spec, a=_weights(eff, method, weights))


def fit_normal(eff: Effects, spec: Spec, *, a: FloatArray | None = None, tau2: float | None = None) -> PoolResult:
    """Result of the model that `spec` asks for, with weights `a` of GENQ, or at a `tau2` from elsewhere."""
    keep_freed()
    data = Data.of_one(eff.yi, eff.vi)
    if tau2 is None:
        estimate = ESTIMATORS[spec.method](data.column(), None if a is None else a[:, None])
    else:
        zero = np.zeros(1, dtype=np.intp)
        estimate = Tau2(np.array([tau2]), zero, np.ones(1, dtype=np.bool_), zero)
    test, tau2 = spec.test, float(estimate.tau2[0])
    p = pieces(data, tau2, a)
    mean = TESTS["z" if eff.k == 1 else test](data, p)
    if test == "kr" and not (eff.k == 1 or (np.isfinite(mean.variance) and mean.df > 0.5)):
        text = f"Kenward-Roger leaves {float(mean.df):.2g} degrees of freedom here, too few for an interval"
        raise OptionError(f"{text}: the {eff.k} studies are too few or too unequal. Use test='hk'.")
    interval = _prediction(eff, data, spec, tau2, p)
    return _result(eff, data, spec, estimate, p, mean, interval)


def pool_spec(measure: str, method: str, test: str, level: float, pi: str) -> Spec:
    """The options of `pool`, checked."""
    METHOD.check(method)
    TEST.check(test)
    PI.check(pi)
    for name, value in (("test", test), ("pi", pi)):
        if value == "kr" and method != "REML":
            raise OptionError(f"{name}='kr' (Kenward-Roger) is defined for method='REML' only, not for {method!r}.")
    return Spec(model="normal", measure=measure, method=method, test=test, level=check_level(level), pi=pi)


_HEAVIEST: Final = 1e100  # whose sum is still a number


def _weights(eff: Effects, method: str, weights: Any) -> FloatArray | None:
    if method != "GENQ":
        if weights is not None:
            raise OptionError(f"weights are used by method='GENQ' only; {method!r} sets its own.")
        return None
    if weights is None:
        raise OptionError("method='GENQ' needs weights=, one positive number for each study.")
    a = numbers(weights, "weights")
    if a.shape[0] != eff.k:
        raise InputError(f"weights has {a.shape[0]} values for {eff.k} studies.")
    forbid(~((a > 0) & (a < _HEAVIEST)), eff.study, f"weights must be positive, below {_HEAVIEST:g}", [a])
    return a


def _prediction(eff: Effects, data: Data, spec: Spec, tau2: float, p: Pieces) -> tuple[float, float]:
    """Prediction limits; NaN where there are none."""
    if spec.pi == "none" or eff.k < 3 or spec.method == "CE":
        return math.nan, math.nan
    if spec.pi == "bootstrap":
        rng = np.random.default_rng(spec.seed)
        return bootstrap_interval(eff.yi, eff.vi, spec.level, draws=spec.draws or 0, rng=rng)
    mean = INTERVALS[spec.pi](data, tau2, p)
    half = float(quantile(float(mean.df), spec.level)) * math.sqrt(mean.variance)
    centre = float(p.mu)
    return centre - half, centre + half


def _result(
    eff: Effects, data: Data, spec: Spec, estimate: Tau2, p: Pieces, mean: Mean, interval: tuple[float, float]
) -> PoolResult:
    tau2, mu = float(estimate.tau2[0]), float(p.mu)
    se, df = math.sqrt(mean.variance), float(mean.df)
    half = float(quantile(df, spec.level)) * se
    statistic = mu / se if se > 0 else math.copysign(math.inf, mu) if mu else math.nan
    log_p = float(log_pvalue(statistic, df))
    q = cochran(data)
    i2, h2 = _i2_h2(spec.method, eff.k, tau2, q)
    shrink = tau2 / (tau2 + eff.vi)
    return PoolResult(
        estimate=mu, se=se, ci_low=mu - half, ci_high=mu + half,
        statistic=statistic, pvalue=math.exp(log_p), log_pvalue=log_p, df=df,
        pi_low=interval[0], pi_high=interval[1],
        k=eff.k, tau2=tau2, tau=math.sqrt(tau2), I2=i2, H2=h2,
        Q=float(q.Q), Q_df=eff.k - 1, Q_pvalue=float(q.pvalue),
        weights=100 * p.share, fitted=np.full(eff.k, mu),
        blup=mu + shrink * (eff.yi - mu), blup_se=np.sqrt(shrink * eff.vi + (1 - shrink) ** 2 * se**2),
        convergence=Convergence(
            converged=bool(estimate.converged[0]), iterations=int(estimate.iterations[0]),
            maxima=int(estimate.maxima[0]),
        ),
        spec=spec,
        effects=eff, notes=eff.notes + data_notes(eff.data) + _notes(eff, spec, estimate, p, half, interval),
    )  # fmt: skip


def _i2_h2(method: str, k: int, tau2: float, q: Cochran) -> tuple[float, float]:
    """From tau2 and the typical variance; from Q where tau2 is not estimated, as metafor does."""
    if method == "CE":
        if k == 1:
            return 0.0, 1.0
        ratio = float(q.Q) / (k - 1)
        return (100 * (1 - 1 / ratio) if ratio > 1 else 0.0), ratio
    i2, h2 = i2_h2(tau2, q.typical)
    return float(i2), float(h2)


def _notes(
    eff: Effects, spec: Spec, estimate: Tau2, p: Pieces, half: float, interval: tuple[float, float]
) -> tuple[Note, ...]:
    notes = [*repeated(eff)]
    if eff.k == 1:
        notes.append(
            Note("one-study", "One study: tau2 cannot be estimated and is set to 0; the interval is the normal one.")
        )
    elif spec.method != "CE" and estimate.tau2[0] == 0:
        notes.append(
            Note("tau2-zero", f"tau2 is estimated as 0 by {spec.method}: the estimate equals the common-effect one.")
        )
    if estimate.maxima[0] > 1:
        notes.append(
            Note("two-maxima", f"The likelihood has {estimate.maxima[0]} local maxima; the highest was taken.")
        )
    if not estimate.converged[0]:
        notes.append(Note("not-converged", f"{spec.method} stopped before tau2 settled; treat it as approximate."))
    if eff.k > 1 and spec.test in ("hk", "hk-adhoc"):
        notes += _hartung_knapp_notes(eff, spec, p, half)
    if spec.pi != "none" and math.isnan(interval[0]):
        why = "the model is a common-effect one" if spec.method == "CE" else _why_no_interval(eff.k)
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    if interval[1] - interval[0] < 2 * half * (1 - 1e-9):
        text = "The prediction interval is narrower than the confidence interval, whose standard error differs"
        notes.append(Note("pi-narrow", f"{text}: pi={spec.pi!r} and test={spec.test!r}."))
    return tuple(notes)


def _why_no_interval(k: int) -> str:
    return f"it needs at least 3 studies, here {k}" if k < 3 else "its degrees of freedom are not positive"


def _hartung_knapp_notes(eff: Effects, spec: Spec, p: Pieces, half: float) -> list[Note]:
    if spec.method == "CE":
        text = "Hartung-Knapp with a common effect scales the variance by Q/(k - 1), which no model assumes."
        return [Note("hk-common", text)]
    low, high = float(eff.yi.min()), float(eff.yi.max())
    if high - low <= 1e-14 * max(-low, high):
        text = "All effects are identical: the Hartung-Knapp standard error is 0 and its interval not usable."
        return [Note("identical", f"{text} Use test='z' or 'hk-adhoc'.")]
    if half < math.sqrt(p.variance) * ndtri((1 + spec.level) / 2):
        text = "The Hartung-Knapp interval is narrower than the normal one; test='hk-adhoc' never is."
        return [Note("hk-narrow", text)]
    return []
