"""Confidence intervals of every measure of heterogeneity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from metaan.core.linear import Design, at, trace
from metaan.errors import InputError, OptionError
from metaan.models.intervals import TAU2_INTERVAL, tau2_interval
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["heterogeneity_interval"]


def heterogeneity_interval(res: PoolResult | RegressResult, *, method: str | None = None) -> pd.DataFrame:
    """Confidence intervals of tau2, tau, I2 and H2 at the level of the fit.

    Parameters
    ----------
    res : PoolResult or RegressResult
        From `metaan.pool`, `metaan.glmm` or `metaan.regress`.
    method : {"QP", "PL", "BJ", "J", "HT"}, optional
        As in `metaan.tau2_interval`, whose limits are carried over to I2 and H2 through the typical sampling variance;
        or "HT", test-based from Q (Higgins & Thompson 2002), which speaks of the Q form of I2 and leaves tau2 out.

    Returns
    -------
    pandas.DataFrame
        Rows tau2, tau, I2 (%) and H2; columns estimate, low, high. ``attrs["notes"]`` holds what `metaan.tau2_interval`
        says of its limits.

    Raises
    ------
    InputError
        No fitted model, or fewer than two studies.
    OptionError
        Unknown method, or one that the model cannot honour.

    Notes
    -----
    I2 and H2 rise with tau2, so that its limits are theirs. HT: H = sqrt(Q/df), log H plus and minus z se, se =
    [log Q - log df]/[2 (sqrt(2 Q) - sqrt(2 df - 1))] for Q > df + 1, else sqrt{[1 - 1/(3 (df - 1)^2)]/[2 (df - 1)]},
    df from 2 on; H2 and I2 = 1 - 1/H2 not below 1 and 0.

    References
    ----------
    Higgins JPT, Thompson SG (2002). Stat Med 21:1539-1558. doi:10.1002/sim.1186
    Viechtbauer W (2007). Stat Med 26:37-52. doi:10.1002/sim.2514

    Examples
    --------
    >>> from metaan import effects, heterogeneity_interval, pool
    >>> table = heterogeneity_interval(pool(effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01])))
    >>> table.loc["I2"].round(1).tolist()
    [47.4, 0.0, 96.6]
    """
    import pandas as pd

    if not isinstance(res, (PoolResult, RegressResult)) or isinstance(res, MultilevelResult):
        raise InputError(f"heterogeneity_interval takes the result of pool, glmm or regress, not {type(res).__name__}.")
    if method == "HT":
        return pd.DataFrame.from_dict(_test_based(res), orient="index", columns=["estimate", "low", "high"])
    if method is not None and not (isinstance(method, str) and method in TAU2_INTERVAL.choices):
        raise OptionError(f"method={method!r} is not known. Choose one of {', '.join(TAU2_INTERVAL.choices)}, HT.")
    limits = tau2_interval(res, method=method)
    low, high = limits
    typical = _typical(res)
    rows = {
        "tau2": (res.tau2, low, high),
        "tau": (res.tau, math.sqrt(low), math.sqrt(high)),
        "I2": (res.I2, *(100 * _share(t, typical) for t in (low, high))),
        "H2": (res.H2, *(1 + t / typical for t in (low, high))),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])
    table.attrs["notes"] = [str(note) for note in limits.notes]
    return table


def _typical(res: PoolResult | RegressResult) -> float:
    """Typical sampling variance, (k - p)/tr P at tau2 = 0."""
    x = res.moderators.matrix if isinstance(res, RegressResult) else np.ones((res.k, 1))
    data = Design(res.effects.yi, res.effects.vi, x)
    return float(data.df) / float(trace(at(data, 0.0)))


def _share(tau2: float, typical: float) -> float:
    return 1.0 if math.isinf(tau2) else tau2 / (tau2 + typical)


def _test_based(res: PoolResult | RegressResult) -> dict[str, list[float]]:
    q, df = (res.QE, res.QE_df) if isinstance(res, RegressResult) else (res.Q, res.Q_df)
    if df < 2 or not q > 0:
        raise InputError("method='HT' needs at least two degrees of freedom and Q > 0.")
    if q > df + 1:
        se = (math.log(q) - math.log(df)) / (2 * (math.sqrt(2 * q) - math.sqrt(2 * df - 1)))
    else:
        se = math.sqrt((1 - 1 / (3 * (df - 1) ** 2)) / (2 * (df - 1)))
    centre, half = math.log(q / df) / 2, float(ndtri((1 + res.spec.level) / 2)) * se
    h2 = [max(math.exp(2 * value), 1.0) for value in (centre, centre - half, centre + half)]
    nothing = [math.nan] * 3
    return {"tau2": nothing, "tau": nothing, "I2": [100 * (1 - 1 / value) for value in h2], "H2": h2}
