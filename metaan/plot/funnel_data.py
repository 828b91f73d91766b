"""What a funnel plot shows, as a table: the studies, and the lines and regions about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from metaan.analysis.bias_data import sizes
from metaan.analysis.trim_and_fill import TrimFillResult
from metaan.errors import DataError, InputError, OptionError
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.plot.axis import XLABEL
from metaan.plot.effect_axis import EffectAxis, axis_attrs, of_attrs
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DOWN", "LEVELS", "REGION", "SIZE", "YAXIS", "FunnelResult", "funnel_table"]

FunnelResult = PoolResult | RegressResult | TrimFillResult

YAXIS: Final = Option(
    "yaxis",
    {
        "sei": "standard error, 0 at the top", "vi": "sampling variance, 0 at the top", "seinv": "1/standard error",
        "ni": "sample size", "sqrtni": "square root of the sample size",
        "sqrtninv": "1/sqrt(sample size), large studies at the top",
    },
    "sei",
)  # fmt: skip
REGION: Final = Option(
    "region",
    {
        "confidence": "where studies lie that share the pooled effect", "prediction": "the same, tau2 added",
        "both": "the two", "none": "no region",
    },
    "confidence",
)  # fmt: skip
SIZE: Final = ("ni", "sqrtni", "sqrtninv")
DOWN: Final = ("sei", "vi", "sqrtninv")
"""Axes that have their 0 at the top."""
LEVELS: Final = (0.1, 0.05, 0.01)
_POINTS: Final = 101  # of a curve
_ROOM: Final = 0.05  # beyond the outermost, as a share of the axis
_STEP: Final = 1e-5
_FAR: Final = 500.0  # beyond what any transformed effect is
_NAMES: Final = {
    "PR": "rate", "PLO": "logit rate", "PLN": "log rate", "PROBIT": "probit rate", "CLOGLOG": "cloglog rate",
    "PAS": "arcsine rate", "PFT": "double arcsine rate", "IRFT": "double root of the incidence rate",
    "GEN": "effect size", "ZCOR": "Fisher z", "AS": "arcsine difference", "PETO": "log odds ratio",
}  # fmt: skip
# From the standard error, or the sample size, to the height, and back.
_HEIGHT: Final[dict[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]]] = {
    "sei": (lambda s: s, lambda y: y),
    "vi": (lambda s: s**2, np.sqrt),
    "seinv": (lambda s: 1 / s, lambda y: 1 / y),
    "ni": (lambda n: n, lambda y: y),
    "sqrtni": (np.sqrt, lambda y: y**2),
    "sqrtninv": (lambda n: 1 / np.sqrt(n), lambda y: y**-2.0),
}


class _Studies(NamedTuple):
    """What is drawn of a result: points, the middle of the funnel, and how the result was made."""

    eff: Effects
    x: FloatArray
    filled: int
    """How many of the last studies were filled in."""
    centre: float
    observed: float | None
    """Estimate of the observed studies, where others were filled in."""
    tau2: float
    level: float
    notes: list[str]
    residual: bool = False


def funnel_table(
    res: FunnelResult,
    *,
    yaxis: str | None = None,
    region: str = "confidence",
    contours: bool | None = None,
    levels: Sequence[float] = LEVELS,
    null: float | None = None,
    ni: Any = None,
) -> pd.DataFrame:
    """Table that a funnel plot draws: one row for each study, lines and regions in its attributes.

    Parameters
    ----------
    res : PoolResult, RegressResult or TrimFillResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto`, `robust`, `regress` (residuals) or
        `trim_and_fill` (with the filled studies).
    yaxis : {"sei", "vi", "seinv", "ni", "sqrtni", "sqrtninv"}, optional
        Standard error, variance, precision, sample size, its square root, or 1/sqrt(n). By default 1/sqrt(n) for rates
        of one arm and the standard error otherwise.
    region : {"confidence", "prediction", "both", "none"}
        Where studies lie that share the pooled effect, at the level of the result; the same with tau2 added.
    contours : bool, optional
        Regions of p-values about no effect; by default where the measure has a point of no effect.
    levels : sequence of float, default (0.1, 0.05, 0.01)
        P-values where the regions meet.
    null : float, optional
        Where no effect lies, on the display scale (ratio, rate as a proportion); that of the measure by default.
    ni : array of shape (k,) or column name, optional
        Sample sizes, where the effects were not made from them.

    Returns
    -------
    pandas.DataFrame
        Columns study, x (effect, analysis scale), y, filled, outside (whether the study lies outside the region). In
        ``attrs``: measure, yaxis, level, estimate, observed (before filling), null, regions and contours (lists of
        dictionaries with y, low and high), xlim, ylim, notes: plain numbers and text.

    Raises
    ------
    InputError
        Another result; sample sizes that are needed and not known.
    OptionError
        Unknown options; contours without a null; contours or tau2 for residuals.
    DataError
        The pooled effect is infinite: there is no middle.

    See Also
    --------
    metaan.plot.funnel : Draw it.

    Notes
    -----
    The regions are estimate -+ z s, with s^2 the variance that belongs to a height, and s^2 + tau2 for the wider one.
    On axes of the sample size s^2 = c/n. For rates of one arm c is that of the rate in the middle by the delta method,
    1/[p(1 - p)] for logits; otherwise it is the median of n_i v_i. A contour of p-value p is null -+ z_p s. Residuals
    of a meta-regression, y_i - x_i'b, stand about 0, against the standard error of y_i.

    Examples
    --------
    >>> import metaan
    >>> eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Ames", "Bo", "Clark"])
    >>> table = metaan.plot.funnel_table(metaan.pool(eff))
    >>> table.attrs["yaxis"], table["y"].round(3).tolist()
    ('sqrtninv', [0.151, 0.183, 0.158])
    """
    import pandas as pd

    REGION.check(region)
    of = _studies(res)
    height = _yaxis(of, yaxis, ni)
    base = sizes(of.eff, ni) if height in SIZE else np.sqrt(of.eff.vi)
    y = _HEIGHT[height][0](base)
    attrs = _axis(of) | {"yaxis": height, "ylabel": _ylabel(of, height), "level": of.level, "notes": of.notes}
    shown = of_attrs(attrs)
    middle = _null(of, shown, contours, null)
    ends = _ends(y, height)
    funnel = _Funnel(of, shown, height, base, np.linspace(*ends, _POINTS))
    attrs |= {"estimate": of.centre, "observed": of.observed, "tau2": of.tau2, "null": middle, "ylim": list(ends)}
    attrs["regions"] = [funnel.curve(of.centre, of.level, name) for name in _regions(of, region)]
    attrs["contours"] = [] if middle is None else [funnel.contour(middle, p) for p in _levels(levels)]
    attrs["xlim"] = _xlim(of, attrs, shown)
    filled = np.arange(of.eff.k) >= of.eff.k - of.filled
    near = funnel.reach(of.centre, base, 0.0) * float(ndtri((1 + of.level) / 2))
    columns = {"x": of.x, "y": y, "filled": filled, "outside": np.abs(of.x - of.centre) > near}
    table = pd.DataFrame({"study": list(of.eff.study), **columns})
    table.attrs = attrs
    return table


def _studies(res: Any) -> _Studies:
    """Points and middle of a result, or why it has none."""
    if isinstance(res, TrimFillResult):
        before, after = res.original, res.pooled
        filled = after.effects.k - before.effects.k
        said = [str(note) for note in res.notes]
        return _Studies(
            after.effects, after.effects.yi, filled, after.estimate, before.estimate if filled else None, after.tau2,
            after.spec.level, said,
        )  # fmt: skip
    if isinstance(res, RegressResult):
        if res.spec.model not in ("regression", "multilevel"):
            raise OptionError(f"funnel takes no result of model {res.spec.model!r}: use regress(effect_size(...)).")
        rest = res.effects.yi - res.fitted
        tau2 = math.nan if res.spec.model == "multilevel" else res.tau2
        return _Studies(res.effects, rest, 0, 0.0, None, tau2, res.spec.level, [], residual=True)
    if not isinstance(res, PoolResult):
        what = "pool, glmm, beta_binomial, mantel_haenszel, peto, robust, regress or trim_and_fill"
        raise InputError(f"funnel takes a result of {what}, not {type(res).__name__}.")
    base = res.analysis or res
    if not math.isfinite(base.estimate):
        text = "the pooled rate is 0 or 1, so that a funnel on this scale has no middle"
        raise DataError(f"funnel: {text}. Use pool of effect sizes of measure 'PAS'.")
    notes = [str(note) for note in base.notes]
    return _Studies(base.effects, base.effects.yi, 0, base.estimate, None, base.tau2, base.spec.level, notes)


def _one_arm(of: _Studies) -> bool:
    return KINDS[of.eff.measure].scale in ("rate", "incidence")


def _yaxis(of: _Studies, yaxis: str | None, ni: Any) -> str:
    """Axis that was asked for, or that fits the measure."""
    if yaxis is not None:
        return YAXIS.check(yaxis)
    if ni is not None:
        return "sqrtninv"
    if _one_arm(of):
        try:
            sizes(of.eff)
        except InputError:
            return YAXIS.default
        return "sqrtninv"
    return YAXIS.default


def _axis(of: _Studies) -> dict[Any, Any]:
    if not of.residual:
        return axis_attrs(of.eff)
    return {"measure": "GEN", XLABEL: f"Residual of the {_name(of.eff.measure)}", "residual": True}


def _name(measure: str) -> str:
    return _NAMES.get(measure, KINDS[measure].label)


def _ylabel(of: _Studies, height: str) -> str:
    size, n = ("Person-time", "t") if KINDS[of.eff.measure].scale == "incidence" else ("Sample size", "n")
    return {
        "sei": f"Standard error of the {_name(of.eff.measure)}",
        "vi": f"Variance of the {_name(of.eff.measure)}",
        "seinv": f"1/standard error of the {_name(of.eff.measure)}",
        "ni": size, "sqrtni": f"{size} (in steps of √{n})", "sqrtninv": f"{size} (in steps of 1/√{n})",
    }[height]  # fmt: skip


def _null(of: _Studies, shown: EffectAxis, contours: bool | None, null: float | None) -> float | None:
    """Where no effect lies on the analysis scale, if its contours are to be drawn."""
    if contours is not None and not isinstance(contours, (bool, np.bool_)):
        raise OptionError(f"contours={contours!r} must be True or False; levels= takes the p-values.")
    if of.residual:
        if contours or null is not None:
            raise OptionError("Residuals have no contours of p-values, which are about effects: leave out contours=.")
        return None
    kind = KINDS[of.eff.measure]
    value = kind.null if null is None else null
    if contours is False or (value is None and contours is None):
        return None
    if value is None:
        text = f"contours=True needs a null: {kind.shown.lower()}s have no point of no effect"
        raise OptionError(f"{text}. Give null=, such as the rate without treatment.")
    return _from_display(shown, value)


def _from_display(shown: EffectAxis, value: Any) -> float:
    """A number of the display scale on the analysis scale."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise OptionError(f"null={value!r} must be a number on the scale that is shown.")
    kind = KINDS[shown.measure]
    if kind.scale == "rate" and not 0 < value < 1:
        hint = f" Did you mean null={value / 100:g}?" if 1 <= value < 100 else ""
        raise OptionError(f"null={value!r} must lie between 0 and 1, a rate as a proportion.{hint}")
    if kind.scale in ("ratio", "incidence") and value <= 0:
        raise OptionError(f"null={value!r} must be above 0 for a {kind.shown.lower()}.")
    if not kind.transformed:
        return float(value)
    return float(shown.forward(np.array([float(value)]), -_FAR, _FAR)[0])


def _levels(levels: Sequence[float]) -> list[float]:
    """P-values of the contours, largest first."""
    try:
        given = sorted({float(p) for p in levels}, reverse=True)
    except (TypeError, ValueError) as error:
        raise OptionError(f"levels={levels!r} must be p-values such as (0.1, 0.05, 0.01).") from error
    if not given or not all(0 < p < 1 for p in given):
        raise OptionError(f"levels={levels!r} must be p-values between 0 and 1, such as (0.1, 0.05, 0.01).")
    if len(given) > 5:
        raise OptionError(f"levels has {len(given)} p-values: more than 5 shades cannot be told apart.")
    return given


def _regions(of: _Studies, region: str) -> list[str]:
    wanted = {"both": ["confidence", "prediction"], "none": []}.get(region, [region])
    if "prediction" in wanted and not math.isfinite(of.tau2):
        raise OptionError(f"region={region!r} needs one tau2, which this result has not: use region='confidence'.")
    return wanted


def _ends(y: FloatArray, height: str) -> tuple[float, float]:
    """Bottom and top of the axis: the most precise studies stand at the top."""
    if height in DOWN:
        return float(y.max()) * (1 + _ROOM), 0.0
    low, high = float(y.min()), float(y.max())
    return low * (1 - 3 * _ROOM), high + _ROOM * max(high - low, 0.2 * high)


class _Funnel(NamedTuple):
    """Curves at the heights `y`."""

    of: _Studies
    shown: EffectAxis
    height: str
    base: FloatArray
    y: FloatArray

    def reach(self, about: float, base: FloatArray, tau2: float) -> FloatArray:
        """Standard deviation of a study of each standard error or size, about an effect."""
        if self.height not in SIZE:
            return np.sqrt(base**2 + tau2)
        return np.sqrt(self._unit(about) / base + tau2)

    def _unit(self, about: float) -> float:
        """Variance of the effect of a study of size 1."""
        if not _one_arm(self.of) or self.of.residual:
            return float(np.median(self.base * self.of.eff.vi))
        inverse = self.shown.scale.inverse
        p, above, below = (float(inverse(np.array(about + h))) for h in (0.0, _STEP, -_STEP))
        slope = (above - below) / (2 * _STEP)
        spread = p * (1 - p) if KINDS[self.of.eff.measure].scale == "rate" else p
        return spread / slope**2 if slope > 0 else 0.0

    def curve(self, about: float, level: float, name: str) -> dict[str, Any]:
        """A region about an effect."""
        with np.errstate(divide="ignore"):
            at = _HEIGHT[self.height][1](self.y)
            half = float(ndtri((1 + level) / 2)) * self.reach(about, at, self.of.tau2 if name == "prediction" else 0.0)
        ends = (np.clip(about + sign * half, self.shown.scale.lowest, self.shown.scale.highest) for sign in (-1, 1))
        low, high = (end.tolist() for end in ends)
        return {"region": name, "level": level, "y": self.y.tolist(), "low": low, "high": high}

    def contour(self, null: float, p: float) -> dict[str, Any]:
        """Where studies have a p-value of `p`."""
        return self.curve(null, 1 - p, "contour") | {"p": p}


def _xlim(of: _Studies, attrs: dict[str, Any], shown: EffectAxis) -> list[float]:
    """Limits that hold the studies, the middle and the regions."""
    found = [*of.x.tolist(), of.centre, *([] if of.observed is None else [of.observed])]
    found += [] if attrs["null"] is None else [attrs["null"]]
    for curve in attrs["regions"]:
        found += [curve["low"][0], curve["high"][0]]
    low, high = min(found), max(found)
    pad = _ROOM * (high - low) if high > low else 0.5
    scale = shown.scale
    return [max(low - pad, scale.lowest - pad), min(high + pad, scale.highest + pad)]
