"""Confidence intervals of a single rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy.special import betainc, ndtri

from metaan.core.roots import bracketed_root
from metaan.measures.proportion import counts
from metaan.validate import FloatArray, Option, check_level

__all__ = ["INTERVAL", "limits", "rate_interval"]

INTERVAL: Final = Option(
    "interval",
    {
        "clopper-pearson": "exact binomial tails (Clopper & Pearson 1934)",
        "wilson": "score interval (Wilson 1927)",
        "wilson-cc": "score interval with continuity correction (Newcombe 1998)",
        "agresti-coull": "Wald interval about the Wilson centre (Agresti & Coull 1998)",
        "jeffreys": "equal-tailed Beta(1/2, 1/2) posterior (Brown, Cai & DasGupta 2001)",
        "mid-p": "exact tails with half the probability of the observed count (Berry & Armitage 1995)",
    },
    "clopper-pearson",
)

_STATSMODELS: Final = {
    "clopper-pearson": "beta",
    "wilson": "wilson",
    "agresti-coull": "agresti_coull",
    "jeffreys": "jeffreys",
}


def rate_interval(
    events: Any, total: Any, *, interval: str = "clopper-pearson", level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Confidence limits of each study's own rate.

    Parameters
    ----------
    events, total : array of shape (k,)
        Whole numbers with 0 <= events <= total and total >= 1.
    interval : {"clopper-pearson", "wilson", "wilson-cc", "agresti-coull", "jeffreys", "mid-p"}
        Kind of interval. All lie in [0, 1], start at 0 for 0 events and end at 1 for n of n.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    low, high : arrays of shape (k,)

    Raises
    ------
    OptionError, InputError, DataError
        Unknown kind or level, impossible counts.

    Notes
    -----
    Clopper-Pearson, Wilson, Agresti-Coull and Jeffreys come from statsmodels' ``proportion_confint``. The corrected
    Wilson interval starts at 0 for 0 events and ends at 1 for n events, as Newcombe defines it, so that it holds
    the observed rate.

    References
    ----------
    Newcombe RG (1998). Stat Med 17:857-872. doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E

    Examples
    --------
    >>> low, high = rate_interval([8], [24])
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.1563, 0.5532)
    """
    INTERVAL.check(interval)
    check_level(level)
    read = counts(None, events, total, None, "raise")
    return limits(read.events, read.total, interval, level)


def limits(x: FloatArray, n: FloatArray, interval: str, level: float) -> tuple[FloatArray, FloatArray]:
    """Limits of checked counts, which may be effective ones and so fractions."""
    low, high = _OWN[interval](x, n, level) if interval in _OWN else _from_statsmodels(x, n, interval, level)
    return np.where(x == 0, 0.0, np.clip(low, 0.0, 1.0)), np.where(x == n, 1.0, np.clip(high, 0.0, 1.0))


def _from_statsmodels(x: FloatArray, n: FloatArray, interval: str, level: float) -> tuple[FloatArray, FloatArray]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(x, n, alpha=1 - level, method=_STATSMODELS[interval])
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def _wilson_corrected(x: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    z = ndtri((1 + level) / 2)
    p, q, z2 = x / n, 1 - x / n, z * z
    denominator = 2 * (n + z2)
    low = (2 * n * p + z2 - 1 - z * np.sqrt(np.maximum(z2 - 2 - 1 / n + 4 * p * (n * q + 1), 0.0))) / denominator
    high = (2 * n * p + z2 + 1 + z * np.sqrt(np.maximum(z2 + 2 - 1 / n + 4 * p * (n * q - 1), 0.0))) / denominator
    return np.minimum(low, p), np.maximum(high, p)


def _mid_p(x: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    tail = (1 - level) / 2

    def below(p: FloatArray) -> FloatArray:
        """P(X < x) + P(X = x)/2: falls from 1 to 0 as p grows."""
        less = np.where(x > 0, betainc(n - x + 1, np.maximum(x, 1.0), 1 - p), 0.0)
        at_most = np.where(x < n, betainc(np.maximum(n - x, 1.0), x + 1, 1 - p), 1.0)
        return np.asarray((less + at_most) / 2)

    zero, one = np.zeros_like(x), np.ones_like(x)

    def limit(aim: float) -> FloatArray:
        return bracketed_root(lambda p: below(p) - aim, zero, one, below(zero) - aim, below(one) - aim)

    return np.where(x == 0, 0.0, limit(1 - tail)), np.where(x == n, 1.0, limit(tail))


_OWN: Final[dict[str, Callable[[FloatArray, FloatArray, float], tuple[FloatArray, FloatArray]]]] = {
    "wilson-cc": _wilson_corrected,
    "mid-p": _mid_p,
}
