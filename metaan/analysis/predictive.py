"""The next trial: responders of a new study, by what the pooled ones say about its true rate."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from metaan.analysis.predictive_law import basis
from metaan.analysis.predictive_result import (
    MOST,
    PrecisionResult,
    PredictiveResult,
    central,
    check_share,
)  # fmt: skip
from metaan.core.next_trial import Rates, responders
from metaan.core.rate_laws import Law, quantile
from metaan.errors import InputError, shown
from metaan.measures.intervals import INTERVAL, limits
from metaan.validate import check_level, whole

__all__ = ["precision_n", "predictive"]

_WINDOW: Final = 12


def predictive(
    res: Any, n: int, *, uncertainty: str | None = None, level: float = 0.95, target: float | None = None
) -> PredictiveResult:
    """Predict the responders of a new study of n from pooled response rates.

    Parameters
    ----------
    res : GlmmResult, PoolResult, BetaBinomialResult or BayesResult
        From `metaan.glmm` (measure PLO), `metaan.pool` (PLO, PLN, PR, PAS, PFT), or any result with a `grid` of
        (mu, tau, weight); on the analysis scale, before `back`.
    n : int
        Size of the new study, 1 to 10,000.
    uncertainty : {"profile", "integrated", "plugin", "bayes"}, optional
        What is done about the uncertainty of the mean and of tau; see Notes. "profile" by default, and "bayes", which
        needs the result of a Bayesian model, for such a result.
    level : float, default 0.95
        Level of the prediction limits, in (0.5, 1).
    target : float, optional
        A rate in [0, 1) that the new study should exceed; the text then says how probable that is.

    Returns
    -------
    PredictiveResult
        `probability` of 0 ... n responders, limits, `prob_at_least`, `prob_exceeds`, `true_rate_exceeds`, `simon`.

    Raises
    ------
    InputError
        `res` is no pooled rate, is on the display scale, or `n` or `target` is out of range.
    OptionError
        An unknown option, or one that the result cannot honour.

    Notes
    -----
    The probability of r responders is the integral of Binomial(r; n, p) over the law of the new study's true rate p,
    by quadrature that is exact to about 1e-9. With theta the true effect (logit p for PLO), theta ~ N(mu, tau2):

    - "plugin": mu and tau are taken as known, at their estimates. Too narrow, the more so the fewer the studies.
    - "profile": tau has the weight of its profile likelihood L(mu(tau), tau), mu given tau its likelihood at that tau;
      both are normalised, with measures flat in tau >= 0 and in mu. (For `metaan.pool` the likelihood of tau is the
      restricted one, unless the fit is by ML, and mu given tau is normal.)
    - "integrated": (mu, tau) has the weight of the likelihood itself, L(mu, tau), which is the posterior of flat priors
      for mu and tau. Its tau lies higher than with "profile" (for `metaan.pool` it is the restricted likelihood).
    - "bayes": the posterior predictive distribution of theta; of a result that has but a grid, the mixture over it.

    For the beta-binomial model p has a beta distribution; s = sqrt(rho/(1 - rho)) takes the place of tau (for small
    spread tau is s over the standard deviation of a yes-or-no response) and the log odds of the mean that of mu.

    tau reaches to 10 at most (logits and logarithms; 1 for PR, pi/2 for PAS and PFT; s to 10): with few studies its
    likelihood need not die out before, which is noted. One study says nothing about tau, which is then taken as 0:
    x of n observations give p the law Beta(x, n - x), that of a measure flat in the logit. When every study is at 0,
    or every study at n, this law does not exist and mu has no estimate: p then has the law
    Beta(x + 1/2, n - x + 1/2) of the pooled counts and tau2 is taken as 0. Both are noted.
    Likelihood as a weight is one of several kinds of predictive likelihood (Bjørnstad 1990).

    Simulated from the model (600 sets of studies of 8 to 40, tau 0.7, median rate 27 %), 95 % limits of the true rate
    held it with probability 0.65 (plugin), 0.97 (profile) and 0.99 (integrated) for 5 studies, 0.78, 0.93 and 0.95 for
    10; the t interval of `metaan.glmm` with 0.87 for both.

    The new study is taken as one more of the same population of studies; what distinguishes it is not used.

    References
    ----------
    Bjørnstad JF (1990). Stat Sci 5:242-254.

    Examples
    --------
    >>> from metaan import glmm, predictive
    >>> res = glmm("PLO", events=[4, 14, 11, 20, 22], total=[20, 30, 21, 52, 30])
    >>> new = predictive(res, 40)
    >>> new.interval(), round(new.true_rate_exceeds(0.5), 3)
    ((2, 37), 0.419)
    """
    n = whole("n", n, 1, MOST)
    level = check_level(level)
    target = None if target is None else check_share("target", target)
    known = basis(res, uncertainty)
    rates = known.law.rates(n)
    p = responders(rates, n)
    p /= p.sum()
    r = np.arange(n + 1.0)
    mean = float(p @ r)
    low, high = central(p, level)
    rate_low, middle, rate_high = quantile(known.law, np.array([(1 - level) / 2, 0.5, (1 + level) / 2]))
    return PredictiveResult(
        n=n, probability=p, mean=mean, sd=math.sqrt(float(p @ (r - mean) ** 2)),
        median=int(np.searchsorted(np.cumsum(p), 0.5)), low=low, high=high,
        rate=mean / n, rate_median=float(middle), rate_low=float(rate_low), rate_high=float(rate_high),
        level=level, target=target, measure=known.measure, model=known.model, uncertainty=known.uncertainty,
        k=known.k, tau2=known.tau2, unit=known.unit, law=known.law, notes=known.notes,
    )  # fmt: skip


def precision_n(
    res: Any,
    *,
    width: float | None = None,
    half_width: float | None = None,
    interval: str = "wilson",
    level: float = 0.95,
    assurance: float | None = None,
    uncertainty: str | None = None,
) -> PrecisionResult:
    """Size of a new study whose own rate is to have a confidence interval of a wished width.

    Parameters
    ----------
    res : GlmmResult, PoolResult, BetaBinomialResult or BayesResult
        As for `predictive`.
    width, half_width : float
        Wished full or half width of the interval, one of the two; the full width lies in (0, 1).
    interval : {"wilson", "clopper-pearson", "wilson-cc", "agresti-coull", "jeffreys", "mid-p"}
        Kind of interval, as in `metaan.rate_interval`.
    level : float, default 0.95
        Its confidence level, in (0.5, 1).
    assurance : float, optional
        Wished probability, in (0, 1), that the width is reached; by default the expected width is to reach it.
    uncertainty : str, optional
        As for `predictive`.

    Returns
    -------
    PrecisionResult

    Raises
    ------
    InputError
        Neither or both widths, one out of range, or more than 10,000 observations needed.
    OptionError
        As for `predictive`, and an unknown kind of interval.

    Notes
    -----
    The width of the interval at r of n responders is averaged over the predictive distribution of r, or the
    probability that it is at most the wished one is summed. Both improve with n but for the discreteness of counts,
    which makes them go back a little here and there. Bisection finds a size; the sizes up to 12 below and above it
    are then all computed, and n is the smallest from which on the aim is met throughout these.

    Examples
    --------
    >>> from metaan import glmm, precision_n
    >>> res = glmm("PLO", events=[4, 14, 11, 20, 22], total=[20, 30, 21, 52, 30])
    >>> precision_n(res, half_width=0.1).n
    74
    """
    INTERVAL.check(interval)
    aim = _wished(width, half_width)
    level = check_level(level)
    if assurance is not None and not (isinstance(assurance, (int, float, np.floating)) and 0 < assurance < 1):
        raise InputError(f"assurance={shown(assurance)} must be a probability between 0 and 1, such as 0.8.")
    known = basis(res, uncertainty)
    search = _Search(known.law, aim, interval, level, assurance)
    n = _smallest(search)
    expected, within = search.at(n)
    return PrecisionResult(
        n=n, width=aim, expected_width=expected, prob_within=within,
        assurance=None if assurance is None else float(assurance), interval=interval, level=level,
        uncertainty=known.uncertainty, notes=known.notes,
    )  # fmt: skip


def _wished(width: float | None, half_width: float | None) -> float:
    if (width is None) == (half_width is None):
        raise InputError("Give the wished width or half_width of the interval, one of the two.")
    given, factor, name = (width, 1, "width") if half_width is None else (half_width, 2, "half_width")
    if isinstance(given, bool) or not isinstance(given, (int, float, np.floating)) or not 0 < factor * given < 1:
        raise InputError(f"{name}={shown(given)} must be positive, and the full width below 1 (rates, not per cent).")
    return float(factor * given)


class _Search:
    """Expected width and probability of the wished width for any n; the law is laid on nodes once for each doubling."""

    def __init__(self, law: Law, aim: float, interval: str, level: float, assurance: float | None) -> None:
        self.law, self.aim, self.interval, self.level, self.assurance = law, aim, interval, level, assurance
        self.rates: dict[int, Rates] = {}

    def at(self, n: int) -> tuple[float, float]:
        """Expected width, and probability of at most the wished one."""
        fine = min(1 << max(5, n.bit_length()), MOST)
        if fine not in self.rates:
            self.rates[fine] = self.law.rates(fine)
        p = responders(self.rates[fine], n)
        low, high = limits(np.arange(n + 1.0), np.full(n + 1, float(n)), self.interval, self.level)
        width = high - low
        return float(p @ width), float(p[width <= self.aim * (1 + 1e-12)].sum())

    def met(self, n: int) -> bool:
        """Whether n meets the aim."""
        expected, within = self.at(n)
        return expected <= self.aim if self.assurance is None else within >= self.assurance


def _smallest(search: _Search) -> int:
    """Smallest n from which on the aim is met, by doubling, bisection and a look at the neighbours."""
    high = 1
    while not search.met(high):
        if high == MOST:
            raise InputError(
                f"More than {MOST:,} observations are needed for a width of {search.aim:g}: wish for a wider interval"
                + ("." if search.assurance is None else ", or for less assurance.")
            )
        high = min(2 * high, MOST)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if search.met(middle) else (middle, high)
    sizes = range(max(1, high - _WINDOW), min(MOST, high + _WINDOW) + 1)
    failed = [n for n in sizes if not search.met(n)]
    return min(max(failed) + 1, MOST) if failed else sizes[0]
