"""Tests of small-study effects by weighted regressions of what the counts give: rates of one arm, and two arms."""

from __future__ import annotations

from typing import Final

import numpy as np

from metaan.analysis.bias_data import ONE_ARM, RATES, Result, Studied, check_measure, columns_of, some, studied
from metaan.analysis.bias_regression import DISPERSION, Asked, regression_test
from metaan.analysis.test_result import TestResult
from metaan.measures.two_by_two import ARMS
from metaan.validate import FloatArray, Option

__all__ = ["deeks", "harbord", "macaskill", "peters"]

WEIGHTS: Final = Option(
    "weights",
    {
        "pooled": "inverse of the variance of a logit at the rate of both arms together",
        "inverse": "inverse of the variance of the effect",
    },
    "pooled",
)
_NOT_BOTH: Final = "nobody, or everybody, has an event"
_OTHER: Final = "thompson_arcsine"  # whose default has an additive variance


def peters(res: Result) -> TestResult:
    """Peters' test: effects on 1/n, with weights that do not depend on the effect.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure OR, RR or PETO with the counts of both arms, or of rates of one arm (PR, PLO, PLN, PROBIT, CLOGLOG,
        PAS, PFT) with events and total; the moderators of a regression stay in.

    Returns
    -------
    TestResult
        See `egger`. The limit is a log ratio; for one arm it is a rate, cut at 0 and 1.

    Raises
    ------
    InputError, DataError
        No counts; fewer than three studies with information; equal sizes.
    OptionError
        Another measure, or a result as in `egger`.

    Notes
    -----
    Two arms, cells a, b (treated, event or not), c, d (control), N = a + b + c + d: weighted regression of the effect
    on 1/N, weights (1/(a + c) + 1/(b + d))^-1, multiplicative dispersion. Trials in which nobody, or everybody, has an
    event have no weight and are left out, noted. In simulations without bias it rejects 7 to 12 % at a nominal 10 %.

    One arm: the test of Peters needs a second margin, which one arm does not have. Its analogue here regresses the raw
    rate x/n, which has no bias at any n, on 1/n with weights n: the variance of a rate at the rate of all studies. In
    simulations without bias it rejects 7 to 11 % at a nominal 10 %, with little power, if sizes differ by a factor of
    up to 10; 2 to 4 % (30 studies) if they differ by 100. One study far larger than the rest misleads it as `harbord`
    (docs/small_study.md).

    References
    ----------
    Peters JL, Sutton AJ, Jones DR, Abrams KR, Rushton L (2006). JAMA 295:676-680. doi:10.1001/jama.295.6.676
    Hunter JP et al. (2014). J Clin Epidemiol 67:897-903. doi:10.1016/j.jclinepi.2014.03.003

    Examples
    --------
    >>> from metaan import effect_size, peters, pool
    >>> eff = effect_size("PLO", events=[3, 4, 9, 7, 30], total=[44, 30, 40, 20, 210])
    >>> found = peters(pool(eff))
    >>> round(found.statistic, 3), round(found.pvalue, 3)
    (1.037, 0.376)
    """
    of = studied(res, "peters")
    check_measure(of, "peters", (*RATES, "OR", "RR", "PETO"))
    if of.eff.measure in RATES:
        x, n = columns_of(of.eff, ONE_ARM, "peters")
        return _rates(of, "Peters' test (after Peters et al. 2006, one arm)", x, n, 1 / n, "1/n")
    of, cells = _informative(of, "peters")
    n, name = np.sum(cells, axis=0), "Peters' test (Peters et al. 2006)"
    return regression_test(of, Asked(name, of.eff.yi, _variance(cells), 1 / n, "1/n", other=_OTHER), DISPERSION)


def harbord(res: Result) -> TestResult:
    """Harbord's test: the efficient score over its information, on the standard error under no effect.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure OR, PETO or RR with the counts of both arms, or of rates of one arm, as in `peters`.

    Returns
    -------
    TestResult
        See `egger`. The limit is a log ratio; for one arm it is a rate, cut at 0 and 1.

    Raises
    ------
    InputError, OptionError, DataError
        As `peters`.

    Notes
    -----
    Weighted regression of Z/V on 1/sqrt(V), weights V, multiplicative dispersion. Cells as in `peters`, n1 = a + b,
    n2 = c + d, e = a + c, f = b + d: for odds ratios Z = a - e n1/N and V = n1 n2 e f/(N^2 (N - 1)), that is, Egger's
    test of Peto's odds ratio; for risk ratios Z = (a N - e n1)/f and V = n1 n2 e/(N f). Trials without information (e
    or f 0) are left out, noted. With rare events and trials that differ it rejects up to 16 % at a nominal 10 %.

    One arm: the score of a logit at the rate P of all studies together, Z = x - nP, over V = nP(1 - P), which is
    (x/n - P)/(P(1 - P)). The test is the same for x/n itself on 1/sqrt(n) with weights n, and so it is computed: the
    limit is a rate. Nothing in it links the rate of a study with its standard error: in simulations without bias it
    rejects 9 to 12 % at a nominal 10 %, for rates from 1 to 85 % and sizes that differ by a factor of up to 10. But the
    dispersion takes the variance to fall with n. Where true rates differ, one study far larger than the rest makes it
    reject 26 to 63 %; this is noted, and `thompson_arcsine` is the test to go by (docs/small_study.md).

    References
    ----------
    Harbord RM, Egger M, Sterne JAC (2006). Stat Med 25:3443-3457. doi:10.1002/sim.2380
    Harbord RM, Harris RJ, Sterne JAC (2009). Stata J 9:197-210. doi:10.1177/1536867X0900900202

    Examples
    --------
    >>> from metaan import effect_size, harbord, pool
    >>> eff = effect_size("PLO", events=[3, 4, 9, 7, 30], total=[44, 30, 40, 20, 210])
    >>> found = harbord(pool(eff))
    >>> round(found.statistic, 3), round(found.pvalue, 3)
    (0.823, 0.471)
    """
    of = studied(res, "harbord")
    check_measure(of, "harbord", (*RATES, "OR", "RR", "PETO"))
    if of.eff.measure in RATES:
        x, n = columns_of(of.eff, ONE_ARM, "harbord")
        return _rates(of, "Score test (after Harbord et al. 2006, one arm)", x, n, 1 / np.sqrt(n), "1/sqrt(n)")
    of, (a, b, c, d) = _informative(of, "harbord")
    n1, n2, e, f = a + b, c + d, a + c, b + d
    n = n1 + n2
    if of.eff.measure == "RR":
        z, v = (a * n - e * n1) / f, n1 * n2 * e / (n * f)
    else:
        z, v = a - e * n1 / n, n1 * n2 * e * f / (n**2 * (n - 1))
    name, predictor = "Harbord's test (Harbord et al. 2006)", "the standard error under no effect"
    asked = Asked(name, z / v, 1 / v, 1 / np.sqrt(v), predictor, "score effects",
                  scale="log ratio from the score", other=_OTHER)  # fmt: skip
    return regression_test(of, asked, DISPERSION)


def macaskill(res: Result, *, weights: str = "pooled") -> TestResult:
    """Macaskill's test: effects on the sample size.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure OR, RR or PETO with the counts of both arms.
    weights : {"pooled", "inverse"}
        Weights from the margins, as in `peters` (FPV in the paper), or inverse variances of the effects (FIV).

    Returns
    -------
    TestResult
        See `egger`; there is no limit.

    Raises
    ------
    InputError, OptionError, DataError
        As `peters`; rates of one arm.

    Notes
    -----
    Weighted regression on N, multiplicative dispersion. One large trial governs it, and where trials differ it rejects
    up to 21 % at a nominal 10 %; `peters`, on 1/N, has replaced it.

    References
    ----------
    Macaskill P, Walter SD, Irwig L (2001). Stat Med 20:641-654. doi:10.1002/sim.698

    Examples
    --------
    >>> from metaan import effect_size, macaskill, pool
    >>> eff = effect_size("OR", events_t=[4, 6, 2, 20], total_t=[20, 30, 15, 90], events_c=[8, 9, 7, 24],
    ...                   total_c=[20, 31, 16, 88])
    >>> round(macaskill(pool(eff)).pvalue, 3)
    0.185
    """
    WEIGHTS.check(weights)
    of = studied(res, "macaskill")
    check_measure(of, "macaskill", ("OR", "RR", "PETO"))
    of, cells = _informative(of, "macaskill")
    n = np.sum(cells, axis=0)
    v = _variance(cells) if weights == "pooled" else of.eff.vi
    name = f"Macaskill's test (Macaskill et al. 2001, {weights} weights)"
    return regression_test(of, Asked(name, of.eff.yi, v, n, "the sample size", limit=False, other=_OTHER), DISPERSION)


def deeks(res: Result) -> TestResult:
    """Deeks' test: log (diagnostic) odds ratios on the effective sample size.

    Parameters
    ----------
    res : PoolResult or RegressResult
        Of measure OR with the counts of both groups: for diagnostic studies events_t of total_t are the diseased with
        a positive test, events_c of total_c the others with a positive test.

    Returns
    -------
    TestResult
        See `egger`.

    Raises
    ------
    InputError, OptionError, DataError
        As `peters`.

    Notes
    -----
    Weighted regression of the log odds ratio on 1/sqrt(ESS) with weights ESS = 4 n1 n2/(n1 + n2), multiplicative
    dispersion. For treatments with rare events it rejects up to 34 % at a nominal 10 %.

    References
    ----------
    Deeks JJ, Macaskill P, Irwig L (2005). J Clin Epidemiol 58:882-893. doi:10.1016/j.jclinepi.2005.01.016

    Examples
    --------
    >>> from metaan import deeks, effect_size, pool
    >>> eff = effect_size("OR", events_t=[14, 26, 12, 70], total_t=[20, 30, 15, 90], events_c=[8, 9, 7, 24],
    ...                   total_c=[20, 31, 16, 88])
    >>> round(deeks(pool(eff)).pvalue, 3)
    0.519
    """
    of = studied(res, "deeks")
    check_measure(of, "deeks", ("OR",))
    _, n1, _, n2 = columns_of(of.eff, ARMS, "deeks")
    size = 4 * n1 * n2 / (n1 + n2)
    predictor = "1/sqrt(effective sample size)"
    name = "Deeks' test (Deeks et al. 2005)"
    return regression_test(of, Asked(name, of.eff.yi, 1 / size, size**-0.5, predictor, other=_OTHER), DISPERSION)


def _rates(of: Studied, name: str, x: FloatArray, n: FloatArray, predictor: FloatArray, words: str) -> TestResult:
    """Raw rates on a function of n; a constant factor of the variances, such as P(1 - P), cancels."""
    asked = Asked(name, x / n, 1 / n, predictor, words, "raw rates", scale="rate", turn=_inside, other=_OTHER)
    return regression_test(of, asked, DISPERSION)


def _inside(rate: FloatArray) -> FloatArray:
    return np.clip(rate, 0.0, 1.0)


def _informative(of: Studied, name: str) -> tuple[Studied, list[FloatArray]]:
    """Trials with both events and non-events, and their cells a, b, c, d."""
    a, n1, c, n2 = columns_of(of.eff, ARMS, name)
    keep = (a + c > 0) & (a + c < n1 + n2)
    cells = [cell[keep] for cell in (a, n1 - a, c, n2 - c)]
    return some(of, keep, _NOT_BOTH), cells


def _variance(cells: list[FloatArray]) -> FloatArray:
    """Variance of a logit at the rate of both arms together."""
    a, b, c, d = cells
    return np.asarray(1 / (a + c) + 1 / (b + d))
