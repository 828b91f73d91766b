"""The profile likelihood of a fitted model as a curve: one parameter held, all others at their best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import chdtri

from metaan.errors import InputError, OptionError, shown
from metaan.measures.backtransform import display_scale
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.profile_curves import Curve, mean_curve, rho_curve, tau2_curve
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray, Option, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARAMETER", "profile_likelihood"]

PARAMETER: Final = Option(
    "parameter",
    {
        "tau2": "between-study variance",
        "tau": "between-study standard deviation",
        "rho": "correlation of two observations of one study (beta-binomial)",
        "estimate": "pooled effect",
    },
    "tau2",
)
_FEWEST, _MOST = 11, 10_001
_SCAN: Final = 400  # points over the whole range in which maxima may lie
_ZOOM: Final = np.linspace(-1.0, 1.0, 21)
_HALVINGS: Final = 80  # of an interval, to the last bit of a double
_ROUNDS: Final = 7  # of zooming in, a factor of ten each
_BELOW: Final = 1e-6  # depth of the dip that parts two maxima: less is rounding
_ROOM: Final = 0.3  # beyond the interval, as a share of its width
_FARTHEST: Final = 20.0  # how far the curve of a pooled effect goes, as a multiple of its standard error
_OPEN: Final = 4.0  # how far the curve of an open interval goes, as a multiple of a typical step


def profile_likelihood(
    res: PoolResult | RegressResult,
    *,
    parameter: str | None = None,
    points: int = 201,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Profile log-likelihood of the between-study variance or of the pooled effect.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult or RegressResult
        From `metaan.pool` or `metaan.regress` by ML or REML, `metaan.glmm` of one count a study (UM.FS and UM.RS left
        out) or `metaan.beta_binomial`, on either scale.
    parameter : {"tau2", "tau", "rho", "estimate"}, optional
        Default tau2, of a beta-binomial model rho. "estimate" is the pooled effect on the scale of the result, of
        `pool` by ML alone; regressions have none.
    points : int, default 201
        Values, at least 11; the maximum, the limits and other local maxima are added to them.
    limits : (float, float), optional
        Ends of the curve on the scale of the parameter; by default a little beyond the interval and all maxima.

    Returns
    -------
    pandas.DataFrame
        Columns: the parameter, loglik (log-likelihood with all constants; restricted for REML) and that which was
        maximised out (estimate, tau2 or rho; a regression has none). In ``attrs``: parameter, likelihood ("ML" or
        "REML"), peak (where it is highest), loglik (there), cut (loglik at the limits), low, high, level, maxima (list
        of the local maxima) and notes.

    Raises
    ------
    InputError
        No fitted model; fewer than two studies; no finite maximum.
    OptionError
        An option out of range; a parameter that the model does not have; results without a likelihood, such as those
        of moment estimators.

    Notes
    -----
    The limits are where the curve is chi2(1)/2 below its maximum: those of ``tau2_interval(res, method="PL")``, of
    ``ci="profile"`` and of rho_low and rho_high. Of several crossings the outermost count. The restricted likelihood is
    not one of the pooled effect, which it integrates out. All values are evaluated in one batch.

    References
    ----------
    Hardy RJ, Thompson SG (1996). Stat Med 15:619-629.

    Examples
    --------
    >>> from metaan import effects, pool, profile_likelihood
    >>> table = profile_likelihood(pool(effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01])), points=11)
    >>> table.columns.tolist(), round(table.attrs["peak"], 4), round(table.attrs["high"], 3)
    (['tau2', 'loglik', 'estimate'], 0.0125, 0.23)
    """
    name, base = _checked(res, parameter)
    points = whole("points", points, _FEWEST, _MOST)
    curve = _curve(base, name)
    peak, top = curve.peak, curve.loglik
    cut = top - float(chdtri(1.0, 1 - base.spec.level)) / 2
    low, high = curve.limits()
    maxima = sorted({peak, *_others(curve)})
    scale = _Scale(res, name)
    ends = _ends(curve, (low, high), maxima) if limits is None else scale.inner(limits, curve)
    at = _grid(ends, points, [peak, low, high, *maxima], curve.zero)
    height, other = curve(at)
    shown = {"peak": peak, "low": low, "high": high}
    frame = _frame(scale, curve, at, height, other)
    frame.attrs = {
        "parameter": name, "likelihood": curve.likelihood, "loglik": top, "cut": cut, "level": base.spec.level,
        **{key: float(scale(np.array(value))) for key, value in shown.items()},
        "maxima": [float(scale(np.array(value))) for value in maxima], "notes": [str(note) for note in res.notes],
    }  # fmt: skip
    return frame


def _checked(res: Any, parameter: str | None) -> tuple[str, Any]:
    """Name of the parameter and the result on the analysis scale."""
    if not isinstance(res, (PoolResult, RegressResult)):
        raise InputError(f"profile_likelihood takes the result of pool, glmm, ..., not {type(res).__name__}.")
    if isinstance(res, MultilevelResult):
        raise OptionError("A multilevel model has a variance at each level: sigma2_interval gives their intervals.")
    model = res.spec.model
    name = PARAMETER.check(("rho" if model == "beta-binomial" else "tau2") if parameter is None else parameter)
    base = res if isinstance(res, RegressResult) else res.analysis or res
    _of_model(base, name, model)
    if base.k < 2:
        raise InputError("A profile likelihood needs at least two studies.")
    return name, base


def _of_model(res: PoolResult | RegressResult, name: str, model: str) -> None:
    """Refuse models without a likelihood, and parameters that a model does not have."""
    if res.spec.cluster is not None:
        raise OptionError("profile_likelihood does not take robust results: give the result before robust.")
    if model not in ("normal", "regression", "glmm", "beta-binomial") or (res.spec.formula and model != "regression"):
        what = f"model {model!r}" + (" with moderators" if res.spec.formula else "")
        raise OptionError(f"profile_likelihood takes pool, regress, glmm and beta_binomial, not {what}.")
    if res.spec.method == "CE":
        raise OptionError("A common-effect model has no tau2: fit by method='REML' or 'ML'.")
    if model in ("normal", "regression") and res.spec.method not in ("ML", "REML"):
        hint = "fit by method='REML' or 'ML', or see tau2_interval for method='QP'"
        raise OptionError(f"method={res.spec.method!r} maximises no likelihood: {hint}.")
    if res.spec.likelihood in ("UM.FS", "UM.RS"):
        text = f"profile_likelihood does not take model={res.spec.likelihood!r}: use model='CM.EL'"
        raise OptionError(f"{text}, or tau2_interval and ci='profile' for the limits.")
    if (name == "rho") != (model == "beta-binomial") and name != "estimate":
        own = "rho" if model == "beta-binomial" else "tau2"
        raise OptionError(f"parameter={shown(name)} is not one of this model: choose {own!r} or 'estimate'.")
    if name == "estimate" and model == "regression":
        raise OptionError("parameter='estimate' is for one pooled effect: a regression has several coefficients.")
    if name == "estimate" and model == "normal" and res.spec.method == "REML":
        text = "The restricted likelihood integrates the pooled effect out and says nothing of it"
        raise OptionError(f"{text}: use pool(eff, method='ML').")


def _curve(res: Any, name: str) -> Curve:
    if name == "rho":
        return rho_curve(res)
    return mean_curve(res) if name == "estimate" else tau2_curve(res)


class _Scale:
    """From the parameter as it is profiled to the parameter as it is given."""

    def __init__(self, res: PoolResult | RegressResult, name: str) -> None:
        self.name = name
        shown = isinstance(res, PoolResult) and res.scale == "display"
        self.of_effect = display_scale(res.effects).inverse if shown else np.asarray

    def __call__(self, value: FloatArray) -> FloatArray:
        if self.name == "tau":
            return np.sqrt(value)
        return np.asarray(self.of_effect(value) if self.name == "estimate" else value, dtype=np.float64)

    def inner(self, limits: tuple[float, float], curve: Curve) -> tuple[float, float]:
        """Ends of a curve as they were asked for."""
        try:
            low, high = map(float, limits)
        except (TypeError, ValueError) as error:
            raise OptionError(f"limits={shown(limits)} must be two numbers, the lower one first.") from error
        if not (np.isfinite([low, high]).all() and low < high):
            raise OptionError(f"limits={shown(limits)} must be two finite numbers, the lower one first.")
        ends = self._turned(low, high, curve)
        if ends[0] < curve.floor or ends[1] > curve.ceiling:
            raise OptionError(f"limits={shown(limits)} reach beyond what {self.name} can be.")
        return ends

    def _turned(self, low: float, high: float, curve: Curve) -> tuple[float, float]:
        if self.name == "tau":
            return np.copysign(low**2, low), high**2
        if self.name != "estimate":
            return low, high
        below, above = (np.full(2, end) for end in _ends(curve, curve.limits(), [curve.peak], 20.0))
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            short = self(middle) < np.array([low, high])
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        if not above[0] < above[1]:
            raise OptionError(f"limits=({low:g}, {high:g}) are far from the estimate, or not on its scale.")
        return float(above[0]), float(above[1])


def _others(curve: Curve) -> list[float]:
    """Local maxima besides the highest, where the likelihood dips between the two by more than rounding."""
    if curve.reach is None:
        return []
    first, last = curve.reach
    at = np.linspace(0.0, 1.0, _SCAN)
    if curve.zero:
        at = first + curve.step * np.expm1(np.log1p((last - first) / curve.step) * at)
    else:
        at = first + (last - first) * at
    height = curve(at)[0]
    rises = np.r_[not curve.zero, height[1:] > height[:-1]]
    falls = np.r_[height[:-1] > height[1:], False]
    found = []
    for i in np.flatnonzero(np.where(np.arange(_SCAN) == 0, curve.zero, rises) & falls):
        between = np.sort(np.array([at[i], curve.peak]))
        dip = height[(at > between[0]) & (at < between[1])].min(initial=np.inf)
        if dip < height[i] - _BELOW and dip < curve.loglik - _BELOW:
            found.append(_sharpened(curve, at, int(i)))
    return found


def _sharpened(curve: Curve, at: FloatArray, i: int) -> float:
    """A local maximum, from its place on a grid."""
    if i == 0:
        return float(at[0])
    best, width = float(at[i]), float(max(at[i] - at[i - 1], at[i + 1] - at[i]))
    for _ in range(_ROUNDS):
        near = np.clip(best + width * _ZOOM, at[i - 1], at[i + 1])
        best, width = float(near[curve(near)[0].argmax()]), width / 10
    return best


def _ends(curve: Curve, limits: tuple[float, float], maxima: list[float], room: float = _ROOM) -> tuple[float, float]:
    low, high = limits
    start = low if np.isfinite(low) else curve.peak - _OPEN * curve.step
    end = high if np.isfinite(high) else curve.peak + max(_OPEN * curve.step, curve.peak if curve.zero else 0.0)
    if not curve.zero:
        start, end = max(start, curve.peak - _FARTHEST * curve.step), min(end, curve.peak + _FARTHEST * curve.step)
    start, end = min(start, *maxima), max(end, *maxima)
    pad = room * (end - start)
    return max(start - pad, curve.floor), min(end + pad, curve.ceiling)


def _grid(ends: tuple[float, float], points: int, marks: list[float], zero: bool) -> FloatArray:
    """Values between two ends, of variances and correlations denser towards 0, and the marks among them."""
    low, high = ends
    even = np.linspace(np.sqrt(low), np.sqrt(high), points) ** 2 if zero else np.linspace(low, high, points)
    even[[0, -1]] = low, high
    known = [mark for mark in marks if low <= mark <= high]
    return np.unique(np.r_[even, known])


def _frame(scale: _Scale, curve: Curve, at: FloatArray, height: FloatArray, other: FloatArray | None) -> pd.DataFrame:
    import pandas as pd

    columns = {scale.name: scale(at), "loglik": height}
    if other is not None:
        columns[curve.other] = np.asarray(scale.of_effect(other)) if curve.other == "estimate" else other
    return pd.DataFrame(columns)
