"""Prior and posterior densities of a Bayesian meta-analysis, as curves."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.marginals import Marginal, Mixture
from metaan.core.posterior import TauPosterior, tau_posterior, tau_range
from metaan.errors import InputError, OptionError
from metaan.measures.backtransform import Scale, display_scale
from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.priors import HalfCauchy, HalfNormal, NormalPrior, TauPrior, Uniform, prior_of_tau
from metaan.validate import FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARAMETER", "prior_posterior"]

PARAMETER: Final = Option(
    "parameter",
    {"mu": "mean effect", "tau": "between-study standard deviation", "new": "true effect in a new study"},
    "mu",
)
SCALE: Final = Option("scale", {"display": "rates, ratios or correlations", "analysis": "as it was fitted"}, "display")
_ROWS: Final = {"mu": 0, "tau": 1, "new": 2}
_SUMMARY: Final = [1, 4, 5]  # median and limits in `BayesResult.values`
_POINTS: Final = 401
_POSTERIOR: Final = np.array([0.001, 0.998])
_OUTER: Final = np.array([0.0005, 0.9995])  # of both, for rates: their axis ends in any case
_PRIOR: Final = np.array([0.025, 0.975])
_WIDER: Final = 1.0  # how many widths of the posterior the prior may add on either side
_STEP: Final = 1e-5
_FORMS: Final = {"half-normal": HalfNormal, "half-Cauchy": HalfCauchy, "uniform": Uniform}


def prior_posterior(
    res: BayesResult, parameter: str | Sequence[str] = "mu", *, scale: str = "display", tau_prior: Any = None
) -> pd.DataFrame:
    """Prior and posterior density of the parameters, point by point.

    Parameters
    ----------
    res : BayesResult
        From `metaan.bayes`, on either scale.
    parameter : {"mu", "tau", "new"} or several of them, default "mu"
        Mean effect, between-study standard deviation, true effect in a new study.
    scale : {"display", "analysis"}
        Scale of mu and of the new study: rates, ratios or correlations, or as it was fitted; tau is always on the
        analysis scale.
    tau_prior : callable, optional
        The prior that `metaan.bayes` was given, where it was a function of the user's own: a result keeps its name.

    Returns
    -------
    pandas.DataFrame
        Columns parameter, x, prior and posterior. Densities are those of x, but of log x for ratios on the display
        scale, which stand on a log axis. The prior is NaN where it is improper, or not known.
        ``attrs["summary"]`` holds median, lower and upper credible limit of each parameter.

    Raises
    ------
    InputError
        `res` is no result of `metaan.bayes`.
    OptionError
        Unknown parameter or scale; a `tau_prior` that is not the one behind the result.

    Notes
    -----
    A density f of y on the analysis scale is f(y)/|g'(y)| at x = g(y). The prior of the effect in a new study is that
    of mu + tau z, z standard normal: a mixture of normals over the prior of tau. Priors are read from the names in the
    result, which have six digits. The curves cover 99.7 % of the posterior and, up to three times its width, the
    central 95 % of the prior; of rates 99.9 % of both.

    Examples
    --------
    >>> from metaan import HalfNormal, bayes
    >>> res = bayes(events=[0, 3, 1, 4], total=[20, 44, 28, 30], tau_prior=HalfNormal(1))
    >>> curves = prior_posterior(res, "tau")
    >>> round(float(np.trapezoid(curves["posterior"], curves["x"])), 3)
    0.998
    """
    import pandas as pd

    if not isinstance(res, BayesResult):
        raise InputError(f"res is a {type(res).__name__}. Pass what metaan.bayes returned.")
    SCALE.check(scale)
    asked = [parameter] if isinstance(parameter, str) else list(parameter)
    if not asked:
        raise OptionError("parameter is empty. Choose from mu, tau, new.")
    named = [PARAMETER.check(name) for name in dict.fromkeys(asked)]
    tau = _tau_prior(res, tau_prior)
    parts = [pd.DataFrame({"parameter": name} | _curves(res, name, scale, tau)) for name in named]
    table = pd.concat(parts, ignore_index=True)
    table.attrs["summary"] = {name: _summary(res, name, scale) for name in named}
    return table


def _summary(res: BayesResult, name: str, scale: str) -> list[float]:
    """Median and credible limits."""
    values = res.values[_ROWS[name], _SUMMARY]
    if name == "tau" or res.scale == scale:
        return [float(value) for value in values]
    if scale == "display":
        return [float(value) for value in res.back().values[_ROWS[name], _SUMMARY]]
    tail = (1 - res.spec.level) / 2
    if res.spec.ci == "central":
        return [float(value) for value in res.quantile([0.5, tail, 1 - tail], name)]
    raise OptionError("scale='analysis' needs the result before back(): a shortest interval is not kept.")


def _curves(res: BayesResult, name: str, scale: str, tau: TauPrior | None) -> dict[str, FloatArray]:
    """Columns x, prior and posterior of one parameter."""
    prior = _prior(res, name, tau)
    rates = scale == "display" and name != "tau" and KINDS[res.effects.measure].scale == "rate"
    low, high = res.quantile(_OUTER if rates else _POSTERIOR, name)
    if prior is not None:
        a, b = prior.quantile(_OUTER if rates else _PRIOR)[:, 0]
        room = math.inf if rates else _WIDER * (high - low)
        low, high = max(min(a, low), low - room), min(max(b, high), high + room)
    display = display_scale(res.effects) if scale == "display" and name != "tau" else None
    if display is not None:
        low, high = max(low, display.lowest), min(high, display.highest)
    y = np.linspace(0.0 if name == "tau" else low, high, _POINTS)
    before = np.full(y.size, math.nan) if prior is None else prior.density(y[:, None])[:, 0]
    after = res.density(y, name)
    if display is None:
        return {"x": y, "prior": before, "posterior": after}
    x, slope = _turned(display, y)
    if KINDS[res.effects.measure].scale == "ratio":
        slope = np.ones_like(y)
    inside = slope > 0
    return {"x": x[inside], "prior": (before / slope)[inside], "posterior": (after / slope)[inside]}


def _turned(display: Scale, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Display values and the slope of the back-transformation; 0 at the ends, where values are cut."""
    h = _STEP * np.maximum(np.abs(y), 1.0)
    slope = (display.inverse(y + h) - display.inverse(y - h)) / (2 * h)
    cut = (y - h < display.lowest) | (y + h > display.highest)
    return np.asarray(display.inverse(y)), np.where(cut, 0.0, np.abs(slope))


def _prior(res: BayesResult, name: str, tau: TauPrior | None) -> Marginal | None:
    """Prior of a parameter as a distribution; None where there is none."""
    spread = None if tau is None or not tau.proper else _integrated(tau)
    if name == "tau":
        return None if spread is None else spread.curve
    mu = _mu_prior(res)
    if mu is None or (name == "new" and spread is None):
        return None
    if name == "mu" or spread is None:
        return Mixture(np.array([[mu.mean]]), np.array([[mu.sd]]), np.ones(1))
    sd = np.hypot(mu.sd, spread.tau)[:, None]
    return Mixture(np.full_like(sd, mu.mean), sd, spread.weight)


def _integrated(tau: TauPrior) -> TauPosterior:
    return tau_posterior(tau.log_density, tau_range(tau.log_density, 1.0, tau.ends, tau.power))


def _mu_prior(res: BayesResult) -> NormalPrior | None:
    found = re.fullmatch(r"normal\((\S+), sd (\S+)\)", res.mu_prior)
    return None if found is None else NormalPrior(float(found[1]), float(found[2]))


def _tau_prior(res: BayesResult, given: Any) -> TauPrior | None:
    """Prior of tau that was given, or that the result names; None for a function of the user's own."""
    if given is not None:
        prior = prior_of_tau(given, res.spec.measure)
        if str(prior) != res.tau_prior:
            raise OptionError(f"tau_prior={prior} is not the prior behind this result: {res.tau_prior}.")
        return prior
    found = re.fullmatch(r"(half-normal|half-Cauchy|uniform)\((?:0, )?(\S+?)\)", res.tau_prior)
    return None if found is None else _FORMS[found[1]](float(found[2]))
