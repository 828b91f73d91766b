"""Tests of small-study effects on a scale, or with a variance, that does not depend on the effect."""

from __future__ import annotations

from typing import Final

import numpy as np

from metaan.analysis.bias_data import ONE_ARM, RATES, Result, check_measure, columns_of, studied
from metaan.analysis.bias_regression import DISPERSION, MODEL, Asked, check_how, named, regression_test
from metaan.analysis.test_result import TestResult
from metaan.core.transforms import arcsine_inverse, double_arcsine
from metaan.errors import DataError, Note
from metaan.measures.two_by_two import ARMS
from metaan.validate import METHOD, TEST, FloatArray

__all__ = ["FEW_EVENTS", "fewer_events", "pustejovsky_rodgers", "thompson_arcsine"]

FEW_EVENTS: Final = 1.5  # a study: docs/small_study.md


def thompson_arcsine(res: Result, *, model: str = "rma", method: str = "DL", test: str = "t") -> TestResult:
    """Arcsine test: a regression of arcsine differences, or double arcsine rates, on their standard error.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure OR, RR, RD, AS or PETO with the counts of both arms, or of rates of one arm, as in `peters`.
    model : {"rma", "lm"}
        An additive between-study variance (AS-Thompson of the paper) or a multiplicative dispersion (AS-Egger).
    method, test : str
        Estimator of tau2 and kind of test of ``model="rma"``, as in `metaan.regress`.

    Returns
    -------
    TestResult
        See `egger`. The limit is a difference of arcsines, for one arm a rate.

    Raises
    ------
    InputError, OptionError, DataError
        As `peters`; an unknown method or test.

    Notes
    -----
    Two arms: y = arcsin sqrt(a/n1) - arcsin sqrt(c/n2), v = 1/(4 n1) + 1/(4 n2), on sqrt(v). The variance depends on
    neither rate; trials without events take part as they are. In simulations without bias "lm" rejects 8 to 12 % at a
    nominal 10 %, "rma" 6 to 14 %. Where trials differ and one is far larger than the rest, "lm" rejects 19 to 36 %,
    which is noted, "rma" 11 to 13 % (docs/small_study.md).

    One arm: the Freeman-Tukey double arcsine, v = 1/(4n + 2), on sqrt(v). The single arcsine is biased where counts are
    small: it rejects 26 % at a nominal 10 % with 30 studies at a rate of 5 %, the double one 10 %
    (docs/small_study.md). With fewer than 1.5 events a study (or non-events) the double one fails too, which is noted;
    without any it is refused.

    References
    ----------
    Rücker G, Schwarzer G, Carpenter J (2008). Stat Med 27:746-763. doi:10.1002/sim.2971
    Thompson SG, Sharp SJ (1999). Stat Med 18:2693-2708.

    Examples
    --------
    >>> from metaan import effect_size, pool, thompson_arcsine
    >>> eff = effect_size("PLO", events=[3, 4, 9, 7, 30], total=[44, 30, 40, 20, 210])
    >>> found = thompson_arcsine(pool(eff))
    >>> round(found.statistic, 3), round(found.pvalue, 3)
    (0.991, 0.395)
    """
    MODEL.check(model)
    how = check_how(METHOD.check(method), TEST.check(test)) if model == "rma" else DISPERSION
    of = studied(res, "thompson_arcsine")
    notes: tuple[Note, ...] = ()
    check_measure(of, "thompson_arcsine", (*RATES, "OR", "RR", "RD", "AS", "PETO"))
    if of.eff.measure in RATES:
        x, n = columns_of(of.eff, ONE_ARM, "thompson_arcsine")
        notes = _rare(x, n)
        y, v = double_arcsine(x, n), 1 / (4 * n + 2)
        name, outcome, scale = "Arcsine test (after Rücker et al. 2008, one arm)", "double arcsine rates", "rate"
    else:
        a, n1, c, n2 = columns_of(of.eff, ARMS, "thompson_arcsine")
        y = np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2))
        v = 1 / (4 * n1) + 1 / (4 * n2)
        name, outcome, scale = "Arcsine test (Rücker et al. 2008)", "arcsine differences", "difference of arcsines"
    turn = arcsine_inverse if scale == "rate" else None
    asked = Asked(
        named(name, how), y, v, np.sqrt(v), "their standard error", outcome, scale=scale, turn=turn, other="model='rma'"
    )
    return regression_test(of, asked, how, notes)


def pustejovsky_rodgers(res: Result, *, model: str = "lm") -> TestResult:
    """Egger's test of standardised mean differences with a standard error that does not depend on the effect.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure SMD with n_t and n_c.
    model : {"lm", "rma"}
        Multiplicative dispersion, or the tau2 estimator and test of the result.

    Returns
    -------
    TestResult
        See `egger`.

    Raises
    ------
    InputError, OptionError, DataError
        No sizes of the arms; another measure; results as in `egger`.

    Notes
    -----
    The variance 1/n1 + 1/n2 + d^2/(2N) of a standardised difference grows with the effect; both the predictor and the
    weights use 1/n1 + 1/n2 alone.

    References
    ----------
    Pustejovsky JE, Rodgers MA (2019). Res Synth Methods 10:57-71. doi:10.1002/jrsm.1332

    Examples
    --------
    >>> import numpy as np
    >>> from metaan import effect_size, pool, pustejovsky_rodgers
    >>> one = np.ones(4)
    >>> eff = effect_size("SMD", mean_t=[0.9, 0.7, 0.3, 0.2], sd_t=one, n_t=[9, 14, 40, 80], mean_c=0 * one, sd_c=one,
    ...                   n_c=[10, 14, 38, 82])
    >>> round(pustejovsky_rodgers(pool(eff)).pvalue, 4)
    0.007
    """
    MODEL.check(model)
    of = studied(res, "pustejovsky_rodgers")
    check_measure(of, "pustejovsky_rodgers", ("SMD",))
    n1, n2 = columns_of(of.eff, ("n_t", "n_c"), "pustejovsky_rodgers")
    v = 1 / n1 + 1 / n2
    how = check_how(of.spec.method, of.spec.test) if model == "rma" else DISPERSION
    name, predictor = "Modified Egger's test (Pustejovsky & Rodgers 2019)", "sqrt(1/n1 + 1/n2)"
    return regression_test(of, Asked(named(name, how), of.eff.yi, v, np.sqrt(v), predictor), how)


def fewer_events(x: FloatArray, n: FloatArray) -> float:
    """Events or non-events a study, whichever are fewer."""
    return float(min(x.mean(), (n - x).mean()))


def _rare(x: FloatArray, n: FloatArray) -> tuple[Note, ...]:
    """Where the bias of the double arcsine, which depends on n, shows in tests."""
    fewer = fewer_events(x, n)
    if fewer == 0:
        raise DataError("No events, or nothing but events, in every study: the double arcsines only reflect n.")
    text = f"{fewer:.2g} events (or non-events) a study: the double arcsine depends on n there. Use harbord."
    return (Note("rare", text),) if fewer < FEW_EVENTS else ()
