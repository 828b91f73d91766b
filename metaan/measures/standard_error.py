"""Standard errors behind a printed confidence interval or p-value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.special import logit, stdtrit

from metaan.core.inference import quantile
from metaan.errors import DataError, Note, OptionError, listed, shown
from metaan.measures.kinds import KINDS, READY_MADE
from metaan.measures.record import Effects
from metaan.validate import FloatArray, Option, check_level, forbid, labels, numbers, same_length

__all__ = ["SCALE", "se_from_ci", "se_from_pvalue"]

SCALE: Final = Option(
    "scale",
    {
        "identity": "differences and means: the interval is symmetric as printed",
        "log": "ratios (OR, RR, HR): symmetric on the log scale",
        "logit": "rates: symmetric on the logit scale",
    },
    "identity",
)


@dataclass(frozen=True)
class _Scale:
    forward: Callable[[FloatArray], FloatArray]
    measure: str
    low: float
    high: float


_SCALES: Final = {
    "identity": _Scale(lambda y: y, "GEN", -math.inf, math.inf),
    "log": _Scale(np.log, "GEN", 0.0, math.inf),
    "logit": _Scale(lambda y: np.asarray(logit(y)), "PLO", 0.0, 1.0),
}
_OFF_CENTRE: Final = 0.1  # of the half-width: beyond what rounding to two digits does to most printed intervals


def se_from_ci(
    low: Any,
    high: Any,
    *,
    estimate: Any = None,
    scale: str = "identity",
    level: float = 0.95,
    df: Any = math.inf,
    study: Any = None,
    measure: str | None = None,
) -> Effects:
    """Effect sizes and standard errors from printed confidence intervals.

    Parameters
    ----------
    low, high : array of shape (k,)
        Limits as printed: a hazard ratio's as ratios, a rate's as proportions.
    estimate : array of shape (k,), optional
        Estimates as printed. By default the middle of the interval on its scale.
    scale : {"identity", "log", "logit"}
        Scale on which the interval is symmetric, and the result is given.
    level : float, default 0.95
        Level of the intervals.
    df : float or array of shape (k,), default inf
        Degrees of freedom where the interval is of t; small trials of means need it.
    study : sequence of k labels, optional
    measure : str, optional
        What the estimates are, for labels and back-transformation: HR, OR, RR, ROM, IRR ... on the log scale, RD, MD,
        SMD ... on the identity. By default GEN, an effect as it stands (PLO on the logit scale).

    Returns
    -------
    Effects
        yi on the scale, vi the square of the standard error; `notes` say what was assumed, and which estimates lie off
        the middle of their interval.

    Raises
    ------
    OptionError, InputError
        Unknown scale or level, a measure that is not on the scale; lengths that differ.
    DataError
        Limits out of order or outside the scale; an estimate outside its interval; df not positive.

    Notes
    -----
    se = (f(high) - f(low)) / (2 q) with q the two-sided quantile of the normal or of t with df degrees of freedom and
    f the scale (Cochrane Handbook 5.1, 7.7.7). An exact, bootstrap or profile interval is not symmetric
    on any scale; the note says so when the estimate is off the middle by more than a tenth of the half-width.

    References
    ----------
    Higgins JPT, Green S (2011). Cochrane Handbook for Systematic Reviews of Interventions 5.1.0, section 7.7.7.

    Examples
    --------
    >>> eff = se_from_ci([0.6], [1.2], estimate=[0.85], scale="log")
    >>> round(float(eff.yi[0]), 4), round(float(eff.vi[0]) ** 0.5, 4)
    (-0.1625, 0.1768)
    """
    kind = _measured(_SCALES[SCALE.check(scale)], scale, measure)
    level = check_level(level)
    arrays = {"low": numbers(low, "low"), "high": numbers(high, "high")}
    if estimate is not None:
        arrays["estimate"] = numbers(estimate, "estimate")
    names = labels(study, same_length(arrays))
    _check_scale(arrays, names, kind, scale)
    forbid(~(arrays["low"] < arrays["high"]), names, "low must be below high", list(arrays.values()))
    degrees = _degrees(df, len(names), names)
    bottom, top = kind.forward(arrays["low"]), kind.forward(arrays["high"])
    se = (top - bottom) / (2 * quantile(degrees, level))
    notes = [
        Note("se-from-ci", f"Standard errors are from {100 * level:g}% intervals taken as symmetric ({scale} scale).")
    ]
    if estimate is None:
        return _effects((bottom + top) / 2, se, names, kind, notes)
    inside = (arrays["low"] <= arrays["estimate"]) & (arrays["estimate"] <= arrays["high"])
    forbid(~inside, names, "the estimate lies outside its interval", list(arrays.values()))
    y = kind.forward(arrays["estimate"])
    notes += _off_centre(y, bottom, top, names, scale)
    return _effects(y, se, names, kind, notes)


def se_from_pvalue(
    estimate: Any,
    pvalue: Any,
    *,
    scale: str = "identity",
    df: Any = math.inf,
    two_sided: bool = True,
    study: Any = None,
    measure: str | None = None,
) -> Effects:
    """Effect sizes and standard errors from printed estimates and p-values.

    Parameters
    ----------
    estimate : array of shape (k,)
        Estimates as printed.
    pvalue : array of shape (k,)
        Exact p-values of the test of no effect, in (0, 1); "p < 0.05" is none.
    scale : {"identity", "log"}
        "log" for ratios, whose no effect is 1; "identity" for differences, whose no effect is 0.
    df : float or array of shape (k,), default inf
        Degrees of freedom where the test was of t.
    two_sided : bool, default True
        Whether the p-values are two-sided. A one-sided one is taken to be in the direction of the estimate.
    study : sequence of k labels, optional
    measure : str, optional
        What the estimates are, for labels and back-transformation: HR, OR, RR, ROM, IRR ... on the log scale, RD, MD,
        SMD ... on the identity. By default GEN, an effect as it stands.

    Returns
    -------
    Effects
        yi on the scale, vi the square of the standard error, `notes` what was assumed.

    Raises
    ------
    OptionError, InputError
        Unknown scale, a measure that is not on it, lengths that differ.
    DataError
        p-values outside (0, 1), an estimate of no effect (its standard error is not determined), df not positive.

    Notes
    -----
    se = abs(y) / q with q the quantile of the normal or of t at 1 - p/2 (Cochrane Handbook 5.1, 7.7.3.3, 7.7.7.2). A
    Wald test is assumed; a p-value of another test (log-rank, exact) gives an approximation.

    References
    ----------
    Higgins JPT, Green S (2011). Cochrane Handbook for Systematic Reviews of Interventions 5.1.0, section 7.7.

    Examples
    --------
    >>> eff = se_from_pvalue([3.8], [0.008], df=[45])
    >>> round(float(eff.vi[0]) ** 0.5, 2)
    1.37
    """
    if SCALE.check(scale) == "logit":
        raise OptionError("scale='logit': a p-value tests no effect, and a rate has none. Use se_from_ci.")
    kind = _measured(_SCALES[scale], scale, measure, testing=True)
    if not isinstance(two_sided, (bool, np.bool_)):
        raise OptionError(f"two_sided={shown(two_sided)} must be True or False.")
    arrays = {"estimate": numbers(estimate, "estimate"), "pvalue": numbers(pvalue, "pvalue")}
    names = labels(study, same_length(arrays))
    _check_scale({"estimate": arrays["estimate"]}, names, kind, scale)
    p = arrays["pvalue"]
    top = 1.0 if two_sided else 0.5
    forbid(~((p > 0) & (p < top)), names, f"pvalue must lie between 0 and {top:g}", [p])
    y = kind.forward(arrays["estimate"])
    forbid(y == 0, names, "an estimate of no effect does not tell its standard error", [arrays["estimate"]])
    degrees = _degrees(df, len(names), names)
    tail = p / 2 if two_sided else p
    se = np.abs(y) / -np.asarray(stdtrit(degrees, tail))
    sides = "two" if two_sided else "one"
    text = f"Standard errors are from {sides}-sided p-values, taken as those of a Wald test ({scale} scale)."
    return _effects(y, se, names, kind, [Note("se-from-p", text)])


def _measured(kind: _Scale, scale: str, measure: str | None, *, testing: bool = False) -> _Scale:
    """The scale of a measure, which must be one that is analysed on it."""
    if measure is None:
        return kind
    of = KINDS[READY_MADE.check(measure)]
    if scale != "logit" and (of.scale in ("rate", "incidence") or of.null is None) and testing:
        raise OptionError(f"measure={measure!r}: a p-value tests no effect, and {of.label} has none. Use se_from_ci.")
    fits = {
        "identity": not of.transformed, "log": of.scale == "ratio" or measure in ("PLN", "IRLN", "GEN"),
        "logit": measure in ("PLO", "GEN"),
    }[scale]  # fmt: skip
    if not fits:
        raise OptionError(f"measure={measure!r} ({of.label}) is not on scale={scale!r}.")
    return replace(kind, measure=measure)


def _check_scale(arrays: dict[str, FloatArray], names: tuple[str, ...], kind: _Scale, scale: str) -> None:
    for name, array in arrays.items():
        forbid(~np.isfinite(array), names, f"{name} is missing or infinite", [array])
        outside = ~((array > kind.low) & (array < kind.high))
        forbid(outside, names, f"{name} is outside the {scale} scale, which is open", [array])


def _degrees(df: Any, k: int, names: tuple[str, ...]) -> FloatArray:
    array = numbers(df, "df")
    array = np.broadcast_to(array, (k,)) if array.size == 1 else array
    if array.shape != (k,):
        raise DataError(f"df has {array.size} values for {k} studies.")
    forbid(~(array > 0), names, "df must be positive", [array])
    return array


def _off_centre(y: FloatArray, low: FloatArray, high: FloatArray, names: tuple[str, ...], scale: str) -> list[Note]:
    off = np.abs(y - (low + high) / 2) > _OFF_CENTRE * (high - low) / 2
    if not off.any():
        return []
    who = tuple(name for name, is_off in zip(names, off, strict=True) if is_off)
    text = f"The estimate is off the middle of its interval on the {scale} scale: {listed(who)}."
    return [Note("asymmetric-ci", text, who)]


def _effects(y: FloatArray, se: FloatArray, names: tuple[str, ...], kind: _Scale, notes: list[Note]) -> Effects:
    with np.errstate(over="ignore"):  # refused by the record
        variance = se**2
    return Effects(yi=y, vi=variance, study=names, measure=kind.measure, notes=tuple(notes))
