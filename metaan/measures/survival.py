"""Log hazard ratios from what papers print: an interval, a log-rank p-value, observed and expected events, medians."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from metaan.errors import Note, OptionError
from metaan.measures.record import Effects
from metaan.measures.standard_error import se_from_ci
from metaan.validate import FloatArray, Option, forbid, labels, numbers, same_length

__all__ = [
    "FAVOURS",
    "hazard_ratio_from_ci",
    "hazard_ratio_from_events",
    "hazard_ratio_from_logrank",
    "hazard_ratio_from_medians",
]

FAVOURS: Final = Option(
    "favours",
    {"treatment": "fewer events with the treatment than expected", "control": "fewer events in the control arm"},
    "treatment",
)


def hazard_ratio_from_ci(hr: Any, low: Any, high: Any, *, level: float = 0.95, study: Any = None) -> Effects:
    """Log hazard ratios from printed hazard ratios with their confidence intervals.

    Parameters
    ----------
    hr, low, high : array of shape (k,)
        Hazard ratios, treatment to control, and their limits, > 0.
    level : float, default 0.95
        Level of the intervals.
    study : sequence of k labels, optional

    Returns
    -------
    Effects
        Log hazard ratios and variances; `notes` say what was assumed.

    Raises
    ------
    OptionError, InputError, DataError
        As `metaan.se_from_ci`.

    Notes
    -----
    var = ((log high - log low) / (2 z))^2.

    References
    ----------
    Parmar MKB, Torri V, Stewart L (1998). Stat Med 17:2815-2834.
    Tierney JF et al. (2007). Trials 8:16. doi:10.1186/1745-6215-8-16

    Examples
    --------
    >>> eff = hazard_ratio_from_ci([0.7], [0.5], [0.98])
    >>> round(float(eff.yi[0]), 4), round(float(eff.vi[0]), 4)
    (-0.3567, 0.0295)
    """
    return se_from_ci(low, high, estimate=hr, scale="log", level=level, study=study, measure="HR")


def hazard_ratio_from_logrank(
    pvalue: Any,
    *,
    events_t: Any = None,
    events_c: Any = None,
    events: Any = None,
    randomised_t: Any = None,
    randomised_c: Any = None,
    favours: Any = None,
    study: Any = None,
) -> Effects:
    """Log hazard ratios from two-sided log-rank p-values and numbers of events.

    Parameters
    ----------
    pvalue : array of shape (k,)
        Two-sided p-values, in (0, 1].
    events_t, events_c : array of shape (k,), optional
        Events of each arm. Or else:
    events : array of shape (k,), optional
        Events of both arms together; with numbers randomised where the allocation was unequal.
    randomised_t, randomised_c : array of shape (k,), optional
        Patients randomised to each arm; equal arms are assumed, and noted, where they are not given.
    favours : {"treatment", "control"} or sequence of k of them
        Which arm did better: a p-value does not tell.
    study : sequence of k labels, optional

    Returns
    -------
    Effects
        Log hazard ratios, treatment to control, and variances; `notes` say what was assumed.

    Raises
    ------
    OptionError, InputError
        Events given twice or not at all, no `favours`, lengths that differ.
    DataError
        p-values outside (0, 1], numbers of events or patients that are not positive.

    Notes
    -----
    With z the normal quantile at 1 - p/2 and V the variance of the log-rank statistic, O - E = +-z sqrt(V) and
    log HR = (O - E)/V with variance 1/V. V = D_t D_c/(D_t + D_c) from the events of each arm, or
    D R_t R_c/(R_t + R_c)^2 from all events and the numbers randomised, which is D/4 for equal arms. Good near a hazard
    ratio of 1 only. A rounded p-value ("0.04") is taken as it stands.

    References
    ----------
    Parmar MKB, Torri V, Stewart L (1998). Stat Med 17:2815-2834.
    Tierney JF et al. (2007). Trials 8:16. doi:10.1186/1745-6215-8-16

    Examples
    --------
    >>> eff = hazard_ratio_from_logrank([0.05], events=[100], favours="treatment")
    >>> round(float(eff.yi[0]), 3), float(eff.vi[0])
    (-0.392, 0.04)
    """
    p = numbers(pvalue, "pvalue")
    names = labels(study, same_length({"pvalue": p}))
    forbid(~((p > 0) & (p <= 1)), names, "pvalue must lie above 0 and not above 1", [p])
    sign = _signs(favours, len(names))
    z = -ndtri(p / 2)
    if (events is None) == (events_t is None) or (events_t is None) != (events_c is None):
        raise OptionError("Give events_t= and events_c=, or events= of both arms together.")
    if events is None:
        arms = _positive({"events_t": events_t, "events_c": events_c}, names)
        v = arms["events_t"] * arms["events_c"] / (arms["events_t"] + arms["events_c"])
        how = "the events of each arm"
    else:
        v, how = _from_all_events(events, randomised_t, randomised_c, names)
    text = f"Log hazard ratios are from two-sided log-rank p-values and {how}; the direction is as stated."
    return _log_ratios(sign * z / np.sqrt(v), 1 / v, names, Note("hr-from-logrank", text))


def _from_all_events(events: Any, one: Any, other: Any, names: tuple[str, ...]) -> tuple[FloatArray, str]:
    if (one is None) != (other is None):
        raise OptionError("Give randomised_t= and randomised_c= together.")
    if one is None:
        return _positive({"events": events}, names)["events"] / 4, "all events, with arms taken as of equal size"
    given = _positive({"events": events, "randomised_t": one, "randomised_c": other}, names)
    share = given["randomised_t"] / (given["randomised_t"] + given["randomised_c"])
    return given["events"] * share * (1 - share), "all events with the numbers randomised"


def hazard_ratio_from_events(
    *,
    o_minus_e: Any = None,
    variance: Any = None,
    observed_t: Any = None,
    expected_t: Any = None,
    observed_c: Any = None,
    expected_c: Any = None,
    study: Any = None,
) -> Effects:
    """Log hazard ratios from observed and expected events of a log-rank analysis.

    Parameters
    ----------
    o_minus_e, variance : array of shape (k,), optional
        Observed less expected events of the treated arm, and the log-rank variance of it, > 0. Or else:
    observed_t, expected_t, observed_c, expected_c : array of shape (k,), optional
        Observed and expected events of each arm, > 0.
    study : sequence of k labels, optional

    Returns
    -------
    Effects
        Log hazard ratios, treatment to control, and variances; `notes` say what was assumed.

    Raises
    ------
    OptionError, InputError, DataError
        Neither pair nor the four, or both; numbers that are not positive; lengths that differ.

    Notes
    -----
    log HR = (O - E)/V with variance 1/V; or log((O_t/E_t)/(O_c/E_c)) with variance 1/E_t + 1/E_c.

    References
    ----------
    Parmar MKB, Torri V, Stewart L (1998). Stat Med 17:2815-2834.

    Examples
    --------
    >>> eff = hazard_ratio_from_events(o_minus_e=[-6.0], variance=[20.0])
    >>> float(eff.yi[0]), float(eff.vi[0])
    (-0.3, 0.05)
    """
    pair = {"o_minus_e": o_minus_e, "variance": variance}
    four = {"observed_t": observed_t, "expected_t": expected_t, "observed_c": observed_c, "expected_c": expected_c}
    by_pair, by_four = (all(value is not None for value in group.values()) for group in (pair, four))
    if by_pair == by_four:
        raise OptionError("Give o_minus_e= and variance=, or observed and expected events of both arms.")
    if by_pair:
        difference = numbers(o_minus_e, "o_minus_e")
        names = labels(study, same_length({"o_minus_e": difference}))
        v = _positive({"variance": variance}, names)["variance"]
        note = Note(
            "hr-from-events", "Log hazard ratios are (O - E)/V, which is close where the hazard ratio is near 1."
        )
        return _log_ratios(difference / v, 1 / v, names, note)
    names = labels(study, same_length({"observed_t": numbers(observed_t, "observed_t")}))
    given = _positive(four, names)
    ratio = (given["observed_t"] / given["expected_t"]) / (given["observed_c"] / given["expected_c"])
    text = "Log hazard ratios are those of observed to expected events; their variance is that of the null hypothesis."
    variances = 1 / given["expected_t"] + 1 / given["expected_c"]
    return _log_ratios(np.log(ratio), variances, names, Note("hr-from-events", text))


def hazard_ratio_from_medians(
    median_t: Any, median_c: Any, *, events_t: Any, events_c: Any, study: Any = None
) -> Effects:
    """Log hazard ratios from median times to event, as if hazards were constant.

    Parameters
    ----------
    median_t, median_c : array of shape (k,)
        Median time to event of each arm in one unit of time, > 0.
    events_t, events_c : array of shape (k,)
        Events of each arm, > 0.
    study : sequence of k labels, optional

    Returns
    -------
    Effects
        Log hazard ratios, treatment to control, and variances; `notes` say what was assumed.

    Raises
    ------
    InputError, DataError
        Numbers that are not positive; lengths that differ.

    Notes
    -----
    With constant hazards the median is log 2 / hazard, so that HR = median_c/median_t, and the variance of its
    logarithm is 1/D_t + 1/D_c. Curves that cross, plateau or have a delay break the assumption: prefer the
    others.

    References
    ----------
    Tierney JF et al. (2007). Trials 8:16. doi:10.1186/1745-6215-8-16

    Examples
    --------
    >>> eff = hazard_ratio_from_medians([12], [9], events_t=[40], events_c=[50])
    >>> round(float(eff.yi[0]), 4), float(eff.vi[0])
    (-0.2877, 0.045)
    """
    first = numbers(median_t, "median_t")
    names = labels(study, same_length({"median_t": first}))
    given = {"median_t": median_t, "median_c": median_c, "events_t": events_t, "events_c": events_c}
    number = _positive(given, names)
    variances = 1 / number["events_t"] + 1 / number["events_c"]
    text = "Log hazard ratios are from medians, with constant hazards in both arms: an assumption that few trials meet."
    note = Note("hr-from-medians", text, names)
    return _log_ratios(np.log(number["median_c"] / number["median_t"]), variances, names, note)


def _positive(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Arrays of one length with positive finite values."""
    arrays = {name: numbers(value, name) for name, value in given.items()}
    same_length({"study": np.zeros(len(names)), **arrays})
    for name, array in arrays.items():
        forbid(~((array > 0) & (array < math.inf)), names, f"{name} must be positive", [array])
    return arrays


def _signs(favours: Any, k: int) -> FloatArray:
    if favours is None:
        raise OptionError("favours is missing: say which arm did better, 'treatment' or 'control'.")
    several = isinstance(favours, (list, tuple)) or (isinstance(favours, np.ndarray) and favours.ndim == 1)
    sides = list(favours) if several else [favours] * k
    if len(sides) != k:
        raise OptionError(f"favours has {len(sides)} values for {k} studies.")
    return np.array([-1.0 if FAVOURS.check(side) == "treatment" else 1.0 for side in sides])


def _log_ratios(y: FloatArray, v: FloatArray, names: tuple[str, ...], note: Note) -> Effects:
    forbid(~(np.isfinite(y) & np.isfinite(v)), names, "the log hazard ratio is missing or infinite", [y])
    return Effects(yi=y, vi=v, study=names, measure="HR", notes=(note,))
