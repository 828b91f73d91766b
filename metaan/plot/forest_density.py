"""The estimated distribution of true effects, as a forest plot draws it over its prediction interval."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from scipy.special import betaln, gammaln, ndtri, xlog1py, xlogy

from metaan.core.inference import INTERVALS, pieces, quantile
from metaan.core.wls import Data
from metaan.errors import OptionError
from metaan.measures.backtransform import Scale, display_scale
from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.plot.forest_levels import as_pool
from metaan.validate import FloatArray

__all__ = ["density_of"]

_POINTS: Final = 401
_TAIL: Final = 5e-4  # probability left out at each end
_LOSS: Final = {"t": 1.0, "hts": 2.0}  # degrees of freedom of a GLMM's prediction interval


def density_of(res: Any) -> list[list[float]] | None:
    """Places on the display scale and the density there of true effects; None where there is no prediction interval.

    Ratios have the density of their logarithm, which is what a log axis shows.
    """
    if isinstance(res, BetaBinomialResult):
        return _beta(res)
    if not isinstance(res, (PoolResult, RegressResult, BayesResult)):
        what = f"not {type(res).__name__}. Use prediction=True"
        raise OptionError(f"prediction='density' is for one pooled result, {what}.")
    drawn = _posterior(res) if isinstance(res, BayesResult) else _predicted(res)
    return None if drawn is None else _shown(res.effects.measure, display_scale(res.effects), *drawn)


def _predicted(res: PoolResult | RegressResult) -> tuple[FloatArray, FloatArray] | None:
    """Places of the analysis scale and the normal or t density whose middle is the prediction interval."""
    of = as_pool(res) if isinstance(res, RegressResult) else res.analysis or res
    half = of.pi_high - of.estimate
    if not math.isfinite(half) or half <= 0:
        return None
    df = _df(res, of)
    spread = half / float(quantile(df, of.spec.level))
    reach = float(quantile(df, 1 - 2 * _TAIL)) if math.isfinite(df) else float(ndtri(1 - _TAIL))
    t = np.linspace(-reach, reach, _POINTS)
    return of.estimate + spread * t, _student(t, df) / spread


def _df(res: PoolResult | RegressResult, of: PoolResult) -> float:
    """Degrees of freedom of the prediction interval."""
    kind = of.spec.pi
    if kind == "bootstrap":
        raise OptionError("prediction='density': a bootstrap interval keeps no density. Pool with pi='t'.")
    if kind in ("z", "simple"):
        return math.inf
    if isinstance(res, MultilevelResult):
        return res.groups[0] - 1.0
    if of.spec.model in ("glmm", "clustered"):
        return of.k - _LOSS[kind]
    data = Data.of_one(of.effects.yi, of.effects.vi)
    weights = of.weights if of.spec.method == "GENQ" else None
    return float(INTERVALS[kind](data, of.tau2, pieces(data, of.tau2, weights)).df)


def _student(t: FloatArray, df: float) -> FloatArray:
    """Density of Student's t, the normal one for df = inf."""
    if math.isinf(df):
        return np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    constant = float(gammaln((df + 1) / 2) - gammaln(df / 2)) - math.log(df * math.pi) / 2
    return np.exp(constant - (df + 1) / 2 * np.log1p(t**2 / df))


def _posterior(res: BayesResult) -> tuple[FloatArray, FloatArray]:
    """Posterior predictive density of the true effect of a new study, analysis scale."""
    low, high = res.quantile([_TAIL, 1 - _TAIL], "new")
    y = np.linspace(float(low), float(high), _POINTS)
    return y, res.density(y, "new")


def _beta(res: BetaBinomialResult) -> list[list[float]] | None:
    """Density of the fitted beta distribution of true rates."""
    if not 0 < res.rho < 1:
        return None
    x = (np.arange(_POINTS) + 0.5) / _POINTS
    log = xlogy(res.a - 1, x) + xlog1py(res.b - 1, -x) - betaln(res.a, res.b)
    return [x.tolist(), np.exp(log).tolist()]


def _shown(measure: str, scale: Scale, y: FloatArray, density: FloatArray) -> list[list[float]]:
    """The same on the display scale: density divided by the slope of the back-transformation."""
    inside = (y > scale.lowest) & (y < scale.highest)
    y, density = y[inside], density[inside]
    x = np.asarray(scale.inverse(y))
    if KINDS[measure].scale == "ratio" or not KINDS[measure].transformed:
        return [x.tolist(), density.tolist()]
    step = 1e-5 * (y[-1] - y[0])
    slope = (scale.inverse(y + step) - scale.inverse(y - step)) / (2 * step)
    kept = slope > 0
    return [x[kept].tolist(), (density[kept] / slope[kept]).tolist()]
