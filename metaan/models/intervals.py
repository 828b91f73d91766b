"""Confidence interval of the between-study variance of a fitted model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from metaan.core.linear import Design, profile_limits, q_limits
from metaan.core.tau2_interval import Limits, biggerstaff_jackson, jackson, profile_likelihood, q_profile
from metaan.core.wls import Data
from metaan.errors import InputError, Note, OptionError
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.records import Shown, plain
from metaan.validate import Option

_OWN = {
    "beta-binomial": "a beta-binomial result has rho_low and rho_high",
    "clustered": "a clustered binomial result has no interval of tau2",
}
_COMMON = "A common-effect model has no tau2: fit a random-effects method, or see heterogeneity_interval(method='HT')."

__all__ = ["TAU2_INTERVAL", "Tau2Interval", "tau2_interval"]

TAU2_INTERVAL: Final = Option(
    "method",
    {
        "QP": "Q-profile (Viechtbauer 2007)",
        "PL": "profile likelihood (Hardy & Thompson 1996), restricted unless the model was fitted by ML",
        "BJ": "exact distribution of Cochran's Q (Biggerstaff & Jackson 2008)",
        "J": "generalised Q with weights 1/sqrt(v) (Jackson 2013)",
    },
    "QP",
)

_MOMENT: Final[dict[str, Callable[[Data, float], Limits]]] = {"QP": q_profile, "BJ": biggerstaff_jackson, "J": jackson}


class Tau2Interval(tuple[float, float], Shown):
    """Limits of tau2, ``low, high = interval``, with notes on what they mean.

    Parameters
    ----------
    low, high : float
        Limits on the analysis scale, squared.
    notes : tuple of Note
        What a reader of the limits must know.
    """

    notes: tuple[Note, ...]

    def __new__(cls, low: float, high: float, notes: tuple[Note, ...] = ()) -> Tau2Interval:
        """Make a pair that carries notes."""
        interval = super().__new__(cls, (low, high))
        interval.notes = notes
        return interval

    def to_dict(self) -> dict[str, Any]:
        """Limits and notes: fit for JSON (infinity becomes None)."""
        return plain({"low": self[0], "high": self[1], "notes": [str(note) for note in self.notes]})

    def _headline(self) -> str:
        return "Interval of tau2, analysis scale"

    def __getnewargs__(self) -> tuple[float, float, tuple[Note, ...]]:
        return self[0], self[1], self.notes


def tau2_interval(res: PoolResult | RegressResult, *, method: str | None = None) -> Tau2Interval:
    """Confidence interval of tau2 at the level of the fit.

    Parameters
    ----------
    res : PoolResult or RegressResult
        From `metaan.pool` (every method), `metaan.regress` (QP, PL) or `metaan.glmm` (``method="PL"``).
    method : {"QP", "PL", "BJ", "J"}
        Q-profile (default for `pool`), profile likelihood (default for `glmm`), Biggerstaff-Jackson, Jackson.

    Returns
    -------
    Tau2Interval
        A pair ``low, high`` on the analysis scale, squared, with `notes`. Both are 0 when even tau2 = 0 makes the
        observed Q improbably small (QP, BJ, J). The upper limit is inf when the data give none: a likelihood that
        never falls far enough as tau2 grows.

    Raises
    ------
    InputError
        Fewer than two studies.
    OptionError
        Unknown method, or one that the model cannot honour.

    Notes
    -----
    Each limit has tail probability (1 - level)/2. A profile interval whose lower limit is 0 may still exclude 0
    itself when the test of tau2 = 0 uses the boundary mixture, whose critical value is lower.

    References
    ----------
    Viechtbauer W (2007). Stat Med 26:37-52. doi:10.1002/sim.2514
    Biggerstaff BJ, Jackson D (2008). Stat Med 27:6093-6110. doi:10.1002/sim.3428
    Jackson D (2013). Res Synth Methods 4:220-229. doi:10.1002/jrsm.1081

    Examples
    --------
    >>> from metaan import effects, pool, tau2_interval
    >>> res = pool(effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01]))
    >>> low, high = tau2_interval(res)
    >>> round(low, 4), round(high, 3)
    (0.0, 0.39)
    """
    if isinstance(res, MultilevelResult):
        raise InputError("A multilevel model has a variance at each level: sigma2_interval gives their intervals.")
    if isinstance(res, RegressResult):
        return _of_regression(res, method)
    if not isinstance(res, PoolResult):
        raise InputError(f"tau2_interval takes a fitted model, not {type(res).__name__}.")
    usual = "PL" if res.spec.model == "glmm" else "QP"
    method = TAU2_INTERVAL.check(usual if method is None else method)
    if res.k < 2:
        raise InputError("tau2 has no confidence interval: it needs at least two studies.")
    if res.spec.model == "glmm":
        return _of_counts(res, method)
    if res.spec.model in _OWN:
        raise OptionError(f"tau2_interval is for pool, regress and glmm; {_OWN[res.spec.model]}.")
    if res.spec.method == "CE" or res.spec.model == "stratified":
        raise OptionError(_COMMON)
    data = Data.of_one(res.effects.yi, res.effects.vi).column()
    if method == "PL":
        low, high = profile_likelihood(data, res.spec.level, restricted=res.spec.method != "ML")
    else:
        low, high = _MOMENT[method](data, res.spec.level)
    return _noted(float(low[0]), float(high[0]))


def _of_regression(fit: RegressResult, method: str | None) -> Tau2Interval:
    """Interval of the residual tau2 of a meta-regression."""
    if fit.spec.model == "glmm":
        return _of_counts(fit, method)
    method = TAU2_INTERVAL.check("QP" if method is None else method)
    if fit.spec.method == "CE":
        raise OptionError(_COMMON)
    if method in ("BJ", "J"):
        raise OptionError(f"method={method!r} is not defined for a meta-regression; use 'QP' or 'PL'.")
    data = Design(fit.effects.yi[None], fit.effects.vi[None], fit.moderators.matrix[None])
    if method == "PL":
        low, high = profile_limits(data, fit.spec.level, restricted=fit.spec.method != "ML")
    else:
        low, high = q_limits(data, fit.spec.level)
    return _noted(float(low[0]), float(high[0]))


def _of_counts(res: PoolResult | RegressResult, method: str | None) -> Tau2Interval:
    """Interval of tau2 of a GLMM, with or without moderators."""
    if TAU2_INTERVAL.check("PL" if method is None else method) != "PL":
        raise OptionError(
            f"method={method!r} is not defined for a GLMM, whose studies have no known variances; use 'PL'."
        )
    from metaan.models.glmm import glmm_tau2_interval

    return _noted(*glmm_tau2_interval(res))


def _noted(low: float, high: float) -> Tau2Interval:
    """Limits with a note where they are at an end of the scale."""
    if high == 0:
        text = "Both limits are 0: even with tau2 = 0 so small a Q would be improbable."
        return Tau2Interval(low, high, (Note("both-zero", text),))
    if math.isinf(high):
        text = "No upper limit: the likelihood does not fall far enough up to tau = 200."
        return Tau2Interval(low, high, (Note("no-upper-limit", text),))
    return Tau2Interval(low, high)
