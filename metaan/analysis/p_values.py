"""P-value functions of the studies, of the pooled effect and of the effect in a new study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import betaincinv, logit, ndtr, ndtri

from metaan.core.inference import INTERVALS, pieces, quantile
from metaan.core.wls import Data
from metaan.errors import InputError, OptionError, shown
from metaan.measures.backtransform import display_scale
from metaan.models.results import PoolResult
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROWS", "p_value_functions"]

ROWS: Final = ("study", "pooled", "prediction")
_USUAL: Final = 0.05
_REACH: Final = 4.0  # standard errors on either side: p = 6e-5
_BEYOND: Final = 0.5
_STEPS: Final = 80
_LESS: Final = {"t": 1, "hts": 2, "hk": 2}  # degrees of freedom that a prediction interval has less than studies
_NORMAL: Final = ("z", "simple")


def p_value_functions(res: PoolResult, *, levels: Sequence[float] = (0.05, 0.1)) -> pd.DataFrame:
    """P-values of every hypothetical effect: by each study, by the pooled effect and for a new study.

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto` or `robust`, on either scale.
    levels : sequence of float, default (0.05, 0.1)
        P-values at which every function has a point, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        Columns line (number of the function), row ("study", "pooled" or "prediction"), study, x (the hypothetical
        effect on the display scale: rates as proportions), p, and z, the quantile of the normal distribution with the
        same two-sided p. Each function starts at its lower end and has its largest value, p = 1, at the estimate.

    Raises
    ------
    InputError
        `res` is no result of a pooled effect.
    OptionError
        A level that is no probability; a result whose interval is not estimate plus and minus a quantile times its
        standard error (profile and likelihood-ratio intervals), or without a standard error.

    Notes
    -----
    A study: p(x) = 2 Phi(-|y - x|/sqrt(v)) on the analysis scale. The pooled effect: the same with its standard error
    and its own reference distribution (normal, or t with the df of the test), so that the effects with p > 0.05 are
    its 95 % confidence interval. A new study: the effects with p > 0.05 are the 95 % prediction interval, for every
    other level alike. There is none where the result has no prediction interval or one by the bootstrap, which is
    known at one level only. Points are those of |z| from 0 to 4 in even steps, p = 0.05 and the `levels`.

    References
    ----------
    Rücker G, Schwarzer G (2021). Beyond the forest plot: the drapery plot. Res Synth Methods 12:13-19.
    doi:10.1002/jrsm.1410

    Examples
    --------
    >>> from metaan import effects, pool
    >>> curves = p_value_functions(pool(effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01]), test="z"))
    >>> pooled = curves[curves["row"] == "pooled"]
    >>> pooled.loc[pooled["p"] == 0.05, "x"].round(3).tolist()  # the limits of the confidence interval
    [-0.027, 0.885]
    """
    import pandas as pd

    if not isinstance(res, PoolResult):
        raise InputError(
            f"res is a {type(res).__name__}. Pass what pool, glmm, beta_binomial, mantel_haenszel or peto returned."
        )
    own = res.analysis or res
    _check(own)
    p, z = _grid(levels)
    eff = own.effects
    normal = np.sqrt(eff.vi) * z[:, None]
    curves = [
        _curve("study", label, _shown(own, *_sides(y, half), size), p, z)
        for label, y, half, size in zip(eff.study, eff.yi, normal.T, _sizes(own), strict=True)
    ]
    pooled = _sides(own.estimate, own.se * _quantiles(own.df, p, z))
    curves.append(_curve("pooled", "", _shown(own, *pooled), p, z))
    if math.isfinite(own.pi_low) and own.spec.pi != "bootstrap":
        curves.append(_curve("prediction", "", _shown(own, *_prediction(own, p, z)), p, z))
    columns = {name: np.concatenate([c[name] for c in curves]) for name in curves[0]}
    return pd.DataFrame({"line": np.repeat(np.arange(len(curves)), 2 * p.size - 1)} | columns)


def _check(res: PoolResult) -> None:
    if res.spec.ci != "wald":
        raise OptionError(
            f"The interval of this result is a {res.spec.ci} one, whose p-values are not those of estimate and "
            "standard error. Fit with ci='wald'; where all counts are at one end there is no such interval."
        )
    if not (math.isfinite(res.estimate) and math.isfinite(res.se)):
        raise OptionError("The pooled effect has no finite standard error: it has no p-value function. See res.notes.")


def _grid(levels: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """P-values from 1 down, those asked for among them, and their normal quantiles."""
    try:
        asked = np.array([float(level) for level in levels])
    except (TypeError, ValueError) as error:
        raise OptionError(f"levels={shown(levels)} must be p-values such as (0.05, 0.1).") from error
    if not ((asked > 0) & (asked < 1)).all():
        raise OptionError(f"levels={shown(levels)} must be p-values between 0 and 1, such as (0.05, 0.1).")
    asked = np.append(asked, _USUAL)
    marked = -ndtri(asked / 2)
    even = np.linspace(0, max((_REACH, *(marked + _BEYOND))), _STEPS + 1)
    z, at = np.unique(np.concatenate([marked, even]), return_index=True)
    return np.concatenate([asked, 2 * ndtr(-even)])[at], z


def _quantiles(df: float, p: FloatArray, z: FloatArray) -> FloatArray:
    """Quantiles of t, or of the normal distribution for infinite df, with these two-sided p-values."""
    return z if math.isinf(df) else np.array([float(quantile(df, 1 - one)) for one in p])


def _sides(centre: float, half: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Effects below and above the estimate, from p = 1 outwards."""
    return centre - half, centre + half


def _prediction(res: PoolResult, p: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits of the prediction intervals of every level."""
    if res.spec.model == "beta-binomial":
        a, b = (float(vars(res)[name]) for name in ("a", "b"))
        tail = p / 2
        return np.asarray(logit(betaincinv(a, b, tail))), np.asarray(-logit(betaincinv(b, a, tail)))
    if res.spec.pi == "kr":
        data = Data.of_one(res.effects.yi, res.effects.vi)
        df = float(INTERVALS["kr"](data, res.tau2, pieces(data, res.tau2)).df)
    else:
        df = math.inf if res.spec.pi in _NORMAL else float(res.k - _LESS[res.spec.pi])
    spread = (res.pi_high - res.pi_low) / 2 / float(quantile(df, res.spec.level))
    return _sides((res.pi_low + res.pi_high) / 2, spread * _quantiles(df, p, z))


def _sizes(res: PoolResult) -> list[float | None]:
    """Sizes at which Freeman-Tukey values of the studies are turned back: their own."""
    eff = res.effects
    sizes = {"PFT": eff.total, "IRFT": (eff.inputs or {}).get("time")}.get(eff.measure)
    return [None] * eff.k if sizes is None else [float(size) for size in sizes]


def _shown(res: PoolResult, low: FloatArray, high: FloatArray, size: float | None = None) -> FloatArray:
    """Effects on the display scale, from the lowest to the highest."""
    return np.asarray(display_scale(res.effects, n=size).inverse(np.concatenate([low[:0:-1], high])))


def _curve(row: str, study: str, x: FloatArray, p: FloatArray, z: FloatArray) -> dict[str, Any]:
    both = {name: np.concatenate([values[:0:-1], values]) for name, values in (("p", p), ("z", z))}
    return {"row": np.full(x.size, row), "study": np.full(x.size, study), "x": x} | both
