"""Residuals as a figure shows them: against precision (radial) and against normal quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtri

from metaan.analysis.influence_models import check_studies
from metaan.analysis.influence_terms import check_terms
from metaan.analysis.outliers import residuals_without
from metaan.analysis.refits import check_result
from metaan.core.count_scores import beta_scores
from metaan.core.deletion_nested import marginal
from metaan.errors import Note, OptionError, listed
from metaan.models.glmm_residuals import residuals
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import GlmmResult, PoolResult
from metaan.validate import FloatArray, Option, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENVELOPE", "KIND", "qq_data", "radial_data"]

KIND: Final = Option(
    "kind",
    {
        "deleted": "residual from the fit without the study, over its standard error",
        "standardised": "residual from the fit to all studies, over its standard error",
    },
    "deleted",
)
ENVELOPE: Final = Option(
    "envelope",
    {
        "simulated": "quantiles of the ordered residuals of data drawn from the fit (Cook & Weisberg 1982)",
        "analytic": "quantiles of the order statistics of as many independent normal values",
        "none": "no envelope",
    },
    "simulated",
)
_FEWEST: Final = 100
_TICKS: Final = 7
_POINT: Final = 1e-9  # stands for a standard error of 0
_ROOM: Final = 1.02  # how far beyond the most precise study the arc stands


def radial_data(res: PoolResult | RegressResult) -> pd.DataFrame:
    """Points of a radial plot (Galbraith 1988): standardised effects against their precision.

    Parameters
    ----------
    res : PoolResult or StratifiedResult
        From `metaan.pool`, `mantel_haenszel` or `peto`. All numbers stand on the analysis scale.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, x = 1/sqrt(v_i + tau2) and z = y_i/sqrt(v_i + tau2). In ``attrs``: `slope`,
        `slope_low`, `slope_high` (the pooled effect and its limits, slopes of lines through the origin), `band` (how
        far above and below the pooled line, in z, the level of the result reaches), `arc` (dict of tuples value, x, z:
        where an effect is read off) and `notes`.

    Raises
    ------
    InputError, OptionError
        Another result: with moderators there is no one slope, and counts have no standardised effect.

    Notes
    -----
    The slope of the line from the origin to a point is the study's effect; studies beyond the band are further from the
    pooled effect than their own standard error and tau2 allow. The arc is an ellipse with its centre at the origin, its
    half axes a little beyond the largest x and ``|z|``; it has marks at seven values from the lowest effect to the
    highest, and at the pooled effect and its limits.

    References
    ----------
    Galbraith RF (1988). Technometrics 30:271-281. doi:10.1080/00401706.1988.10488400

    Examples
    --------
    >>> from metaan import effects, pool, radial_data
    >>> table = radial_data(pool(effects([0.1, 0.3, 0.5], [0.04, 0.04, 0.01]), method="CE"))
    >>> table[["x", "z"]].round(2).values.tolist()
    [[5.0, 0.5], [5.0, 1.5], [10.0, 5.0]]
    """
    import pandas as pd

    if isinstance(res, RegressResult):
        raise OptionError("radial_data takes no regression: with moderators there is no one slope. Use qq_data.")
    if isinstance(res, PoolResult) and res.spec.model in ("glmm", "beta-binomial"):
        text = "radial_data takes effects with sampling variances, which the counts of an exact likelihood have not"
        raise OptionError(f"{text}. Use pool(effect_size(...)), or qq_data for this result.")
    check_result(res, "radial_data", ("normal", "stratified"))
    base, eff = res.analysis or res, res.effects
    x = 1 / np.sqrt(eff.vi + base.tau2)
    z = eff.yi * x
    frame = pd.DataFrame({"study": list(eff.study), "x": x, "z": z})
    marks = np.append(np.linspace(eff.yi.min(), eff.yi.max(), _TICKS), [base.ci_low, base.estimate, base.ci_high])
    frame.attrs |= {
        "slope": base.estimate, "slope_low": base.ci_low, "slope_high": base.ci_high,
        "band": float(ndtri((1 + base.spec.level) / 2)), "arc": _arc(marks, x, z), "notes": res.notes,
    }  # fmt: skip
    return frame


def _arc(value: FloatArray, x: FloatArray, z: FloatArray) -> dict[str, tuple[float, ...]]:
    """Points of an ellipse whose slopes from the origin are `value`."""
    width, height = _ROOM * x.max(), _ROOM * np.abs(z).max()
    steep = value * width / height if height > 0 else np.zeros_like(value)
    at = width / np.hypot(1.0, steep)
    return {"value": tuple(value.tolist()), "x": tuple(at.tolist()), "z": tuple((value * at).tolist())}


def qq_data(
    res: PoolResult | RegressResult,
    *,
    kind: str = "deleted",
    envelope: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Ordered residuals against normal quantiles, with an envelope for what chance gives.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult, RegressResult or MultilevelResult
        As in `metaan.influence`.
    kind : {"deleted", "standardised"}
        Residuals from the fit without each study (`rstudent` of `metaan.influence`), or from the fit to all.
    envelope : {"simulated", "analytic", "none"}, optional
        By default simulated for the results of `pool`, `regress` and `multilevel`, and analytic for others.
    draws, seed : int
        Size and seed of the simulation.

    Returns
    -------
    pandas.DataFrame
        One row for each study with a residual, the lowest first: study, theoretical (normal quantile), sample
        (residual), low and high (envelope at the level of the result, for each rank by itself). ``attrs`` holds kind,
        envelope, draws, seed (None where nothing is drawn), level and notes.

    Raises
    ------
    InputError, OptionError
        As `metaan.influence`; an unknown option, a simulation of a model of counts or tables, fewer than 100 draws.

    Notes
    -----
    A standardised residual is (y_i - x_i'beta)/sqrt(v_i + tau2 - x_i'V x_i), V the model variance of the coefficients;
    a trial of Mantel-Haenszel and Peto has sqrt(v_i). Of a GLMM or a beta-binomial model it is the normal score of
    Pr(X < x_i) + Pr(X = x_i)/2 at the estimates. The normal quantiles are those of (i - 3/8)/(k + 1/4) for k <= 10 and
    of (i - 1/2)/k for more, as in R's ``qqnorm``.

    The simulation draws effects from the fit, computes and orders their standardised residuals and takes quantiles rank
    by rank, with tau2 as known: deleted and standardised residuals of independent effects are then the same. The
    analytic envelope has Beta(i, k - i + 1) for the i-th of k independent values. Both are pointwise: of k points some
    5 % may lie outside a 95 % envelope by chance. A straight line is no proof of normal true effects: the residuals
    hold the sampling errors too, which are normal in any case.

    References
    ----------
    Cook RD, Weisberg S (1982). Residuals and Influence in Regression. Chapman & Hall.
    Wang C-C, Lee W-C (2020). Am J Epidemiol 189:235-242. doi:10.1093/aje/kwz261

    Examples
    --------
    >>> from metaan import effects, pool, qq_data
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> qq_data(pool(eff, method="DL", test="z"), envelope="analytic")[["study", "theoretical", "sample"]].round(2)
       study  theoretical  sample
    0  Adams        -1.05   -0.71
    1  Clark        -0.30   -0.45
    2  Baker         0.30   -0.24
    3  Davis         1.05    7.55
    """
    import pandas as pd

    KIND.check(kind)
    linear = isinstance(res, RegressResult) or (isinstance(res, PoolResult) and res.spec.model == "normal")
    chosen = ENVELOPE.check(envelope) if envelope is not None else "simulated" if linear else "analytic"
    found, notes = _residuals(res, kind)
    if chosen == "simulated":
        if not linear:
            text = "envelope='simulated' draws effects from a normal model, which counts and tables do not have"
            raise OptionError(f"{text}: choose 'analytic'.")
        draws, seed = whole("draws", draws, _FEWEST), whole("seed", seed, 0)
    known = np.flatnonzero(~np.isnan(found))
    order = known[np.argsort(found[known], kind="stable")]
    k, level = order.size, res.spec.level
    low, high = np.full(k, np.nan), np.full(k, np.nan)
    if chosen == "analytic":
        low, high = _order_statistics(k, level)
    elif chosen == "simulated" and k:
        low, high = _simulated(_linear(res), known, level, draws, np.random.default_rng(seed))
    shift = 3 / 8 if k <= 10 else 1 / 2
    frame = pd.DataFrame(
        {
            "study": [res.effects.study[i] for i in order],
            "theoretical": ndtri((np.arange(1, k + 1) - shift) / (k + 1 - 2 * shift)),
            "sample": found[order], "low": low, "high": high,
        }
    )  # fmt: skip
    drawn = chosen == "simulated"
    frame.attrs |= {
        "kind": kind, "envelope": chosen, "draws": draws if drawn else None, "seed": seed if drawn else None,
        "level": level, "notes": notes,
    }  # fmt: skip
    return frame


def _order_statistics(k: int, level: float) -> tuple[FloatArray, FloatArray]:
    i = np.arange(1.0, k + 1)
    low, high = (ndtri(betaincinv(i, k + 1 - i, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    return np.asarray(low), np.asarray(high)


def _residuals(res: PoolResult | RegressResult, kind: str) -> tuple[FloatArray, tuple[Note, ...]]:
    if kind == "deleted":
        deleted = residuals_without(res, "qq_data")
        return deleted.value, deleted.notes
    if isinstance(res, RegressResult):
        check_terms(res, "qq_data")
        return _standardised(res)
    check_studies(res, "qq_data")
    base = res.analysis or res
    if isinstance(base, GlmmResult):
        return np.asarray(residuals(base)["quantile"], dtype=np.float64), ()
    if base.spec.model == "beta-binomial":
        x, n = (np.asarray(count, dtype=np.float64) for count in (base.effects.events, base.effects.total))
        if not np.isfinite(base.se):
            return np.full(base.k, np.nan), ()
        at = (np.full(base.k, value) for value in (vars(base)["rho"], base.estimate, _POINT))
        return beta_scores(x, n, *at), ()
    if base.spec.model == "stratified":
        return (base.effects.yi - base.estimate) / np.sqrt(base.effects.vi), ()
    return _standardised(base)


class _Linear(NamedTuple):
    """A model whose residuals are linear in normal effects: e = y - x a'y."""

    root: FloatArray
    """Standard deviations of the effects, (k,), or a square root of their covariance, (k, k)."""
    x: FloatArray
    """(k, p)."""
    a: FloatArray
    """(k, p)."""
    variance: FloatArray
    """Of the residuals, (k,); 0 where a study determines its own fitted value."""


def _standardised(res: PoolResult | RegressResult) -> tuple[FloatArray, tuple[Note, ...]]:
    eff, variance = res.effects, _linear(res).variance
    found = np.where(variance > 0, (eff.yi - res.fitted) / np.sqrt(np.where(variance > 0, variance, 1.0)), np.nan)
    names = tuple(name for name, value in zip(eff.study, found, strict=True) if np.isnan(value))
    if not names:
        return found, ()
    text = "No residual, since it determines its own fitted value"
    return found, (Note("undefined", f"{text}: {listed(names)}.", names),)


def _linear(res: PoolResult | RegressResult) -> _Linear:
    base = res if isinstance(res, RegressResult) else res.analysis or res
    total = base.effects.vi + base.tau2
    if isinstance(base, MultilevelResult):
        v = base.effects.vi if base.vcov is None else base.vcov
        m = marginal(v, base.codes, base.sigma2, np.ones(base.k, dtype=bool))
        return _generalised(base.moderators.matrix, m)
    if isinstance(base, RegressResult):
        x = base.moderators.matrix
        q, r = np.linalg.qr(x / np.sqrt(total)[:, None])
        a = np.linalg.solve(r, q.T).T / np.sqrt(total)[:, None]
        return _Linear(np.sqrt(total), x, a, _apart(total * (1 - base.leverage), total))
    share = base.weights / 100
    variance = total * (1 - 2 * share) + share**2 @ total
    return _Linear(np.sqrt(total), np.ones((base.k, 1)), share[:, None], _apart(variance, total))


def _generalised(x: FloatArray, m: FloatArray) -> _Linear:
    """Generalised least squares with covariance m."""
    lower: FloatArray = np.asarray(np.linalg.cholesky(m), dtype=np.float64)
    q, r = np.linalg.qr(np.linalg.solve(lower, x))
    a: FloatArray = np.asarray(np.linalg.solve(lower.T, np.linalg.solve(r, q.T).T), dtype=np.float64)
    fitted = lower @ q
    return _Linear(lower, x, a, _apart(np.diagonal(m) - (fitted**2).sum(axis=1), np.diagonal(m)))


def _apart(variance: FloatArray, total: FloatArray) -> FloatArray:
    """Variances, 0 where only rounding errors are left of them."""
    return np.where(variance > 1e-10 * total, variance, 0.0)


def _simulated(
    of: _Linear, known: Any, level: float, draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Quantiles of the ordered standardised residuals of the studies `known`."""
    noise = rng.standard_normal((draws, of.variance.size))
    y = noise * of.root if of.root.ndim == 1 else noise @ of.root.T
    e = y - (y @ of.a) @ of.x.T
    with np.errstate(divide="ignore", invalid="ignore"):
        ordered = np.sort(e[:, known] / np.sqrt(of.variance[known]), axis=1)
        low, high = np.quantile(ordered, ((1 - level) / 2, (1 + level) / 2), axis=0)
    return low, high
