"""The beta-binomial model: the mean of rates that differ between studies, by exact likelihood."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
from scipy.special import betaincinv, expit, logit, zeta

from metaan.core.beta_binomial_fit import BetaBinomialFit, maximise, problem_of
from metaan.core.beta_binomial_profile import beta_limits, rho_limits
from metaan.core.beta_binomial_search import Problem
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import log_pvalue, quantile
from metaan.core.wls import Data
from metaan.errors import Note
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects
from metaan.models.beta_binomial_fields import likelihood_fields, rho_notes
from metaan.models.beta_binomial_regress import BetaBinomialRegression, fit_moderators
from metaan.models.beta_binomial_result import BetaBinomialResult
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import Convergence, Spec
from metaan.validate import CI, FloatArray, Option, check_level, forbid

__all__ = ["beta_binomial"]

TEST: Final = Option(
    "test",
    {"z": "normal distribution", "t": "t distribution with k - 1 (with moderators k - p) degrees of freedom"},
    "t",
)
PI: Final = Option(
    "pi",
    {
        "beta": "quantiles of the fitted beta distribution, uncertainty of the estimates ignored",
        "none": "no prediction interval",
    },
    "beta",
)
_LARGEST: Final = 5e6


def beta_binomial(
    data: Any = None,
    *,
    events: Any,
    total: Any,
    study: Any = None,
    formula: str | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    pi: str = "beta",
    missing: str = "raise",
) -> BetaBinomialResult | BetaBinomialRegression:
    """Mean of the true rates of studies, or its regression on moderators, by the beta-binomial likelihood.

    Estimates the mean over studies itself, where a binomial-normal model (`metaan.glmm`) estimates the rate of the
    median study. Needs no continuity correction and answers on every valid input, studies at 0 or 100 % included.

    Parameters
    ----------
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events, total : array of shape (k,) or column name
        Whole numbers with 0 <= events <= total and 1 <= total <= 5,000,000.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    formula : str, optional
        Moderators, as in `metaan.regress`: ``"~ year + C(therapy)"``, on the logit of the mean rate. Needs `data`.
    test : {"t", "z"}
        Reference distribution of Wald intervals and tests: t with k - 1 (with moderators k - p) degrees of freedom, or
        normal.
    ci : {"wald", "profile"}
        Wald interval on the logit scale, or profile likelihood. The interval of rho is always a profile one.
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).
    pi : {"beta", "none"}
        Prediction interval for the true rate of a new study: quantiles of the fitted beta distribution. It takes the
        estimates as known, and with few studies is too short.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count or moderator; dropping is noted.

    Returns
    -------
    BetaBinomialResult or BetaBinomialRegression
        On the logit scale; the latter with a formula. `BetaBinomialResult.back` and `BetaBinomialRegression.predict`
        give rates.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.effect_size` and, with a formula, `metaan.regress`.

    Notes
    -----
    x_i ~ Binomial(n_i, p_i), p_i ~ Beta(a_i, b_i) with mean m_i = a_i/(a_i + b_i), logit m_i = X_i beta and the same
    rho = 1/(a_i + b_i + 1) in [0, 1) for all studies: two observations of one study correlate by rho, and the variance
    of x_i is n m (1 - m) (1 + (n - 1) rho). rho = 0 is the binomial model. Maximum likelihood; where the likelihood has
    several maxima the highest is taken, which is noted. Standard errors come from the observed information. `loglik`
    has all constants, so that AIC compares this model with `metaan.glmm` on the same counts. The test of rho = 0
    refers to the mixture of chi2(0) and chi2(1) in equal parts.

    Conventions: weights are proportional to n/(1 + (n - 1) rho), the inverse variances of the observed rates, and are
    for display; `blup` is the logit of the posterior mean (x + a)/(n + a + b) and `blup_se` the posterior standard
    deviation of the logit; tau2 is the variance of the logit of a Beta(a, b) variable, psi'(a) + psi'(b). Q, I2 and H2
    use the empirical logits and their variances, 0.5 added where a count is 0.

    Nothing but events, or none at all: the rate is 1 or 0 and rho 0, with a likelihood-ratio interval. Every study at
    0 or n, both kinds present: the likelihood rises to a limit as rho goes to 1, where each study counts as one
    observation; rho is 1 and the mean that of k yes-or-no observations. One study, or equal rates: rho is 0. All noted.

    References
    ----------
    Young-Xu Y, Chan KA (2008). BMC Med Res Methodol 8:58. doi:10.1186/1471-2288-8-58

    Examples
    --------
    >>> from metaan import beta_binomial
    >>> res = beta_binomial(events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40])
    >>> print(res.mean_rate)
    mean rate over studies 0.1008 (95% CI 0.0547 to 0.1783; beta-binomial, Wald interval on the logit scale)
    >>> round(res.rho, 5), round(res.loglik, 5)
    (0.02861, -17.60309)
    """
    spec = Spec(
        model="beta-binomial", measure="PLO", method="ML", test=TEST.check(test), level=check_level(level),
        pi=PI.check(pi), ci=CI.check(ci), formula=formula, likelihood="beta-binomial",
    )  # fmt: skip
    read = counts(data, events, total, study, missing)
    forbid(read.total > _LARGEST, read.study, "beta_binomial takes totals up to 5 million", [read.total])
    eff = _effects(read)
    if formula is not None:
        return fit_moderators(eff, spec, missing)
    problem = problem_of(read.events[:, None], read.total[:, None])
    return _result(eff, spec, problem, maximise(problem))


def _effects(read: Counts) -> Effects:
    """Empirical logits for tables and plots, 0.5 added at 0 and n; the model itself uses the counts."""
    add = np.where((read.events == 0) | (read.events == read.total), 0.5, 0.0)
    hit, miss = read.events + add, read.total - read.events + add
    return Effects(
        yi=np.log(hit / miss), vi=1 / hit + 1 / miss, study=read.study, measure="PLO",
        events=read.events, total=read.total, data=read.data, notes=read.notes,
    )  # fmt: skip


def _result(eff: Effects, spec: Spec, problem: Problem, found: BetaBinomialFit) -> BetaBinomialResult:
    eta, rho, separated = float(found.beta[0, 0]), float(found.rho[0]), bool(found.separated[0])
    se = math.inf if separated else math.sqrt(found.cov[0, 0, 0])
    df = math.inf if spec.test == "z" or eff.k == 1 or separated else eff.k - 1.0
    if separated:
        spec = dataclasses.replace(spec, ci="likelihood-ratio")
    low, high = _limits(spec, problem, found, eta, se, df)
    statistic = math.nan if separated else eta / se
    log_p = float(log_pvalue(statistic, df))
    a, b = (_parameter(sign * eta, rho) for sign in (1, -1))
    pi_low, pi_high = _prediction(spec, eff.k, rho, a, b)
    rho_low, rho_high = (float(end[0]) for end in rho_limits(problem, found, spec.level))
    weight = eff.total / (1 + (eff.total - 1) * rho) if eff.total is not None else np.ones(eff.k)
    blup, blup_se = _shrunken(eff, eta, rho, a, b)
    return BetaBinomialResult(
        estimate=eta, se=se, ci_low=low, ci_high=high, statistic=statistic, pvalue=math.exp(log_p), log_pvalue=log_p,
        df=df, pi_low=pi_low, pi_high=pi_high, weights=100 * weight / weight.sum(), fitted=np.full(eff.k, eta),
        blup=blup, blup_se=blup_se, **_heterogeneity(eff, rho, a, b),
        rho=rho, rho_low=rho_low, rho_high=rho_high, a=a, b=b, **likelihood_fields(found, eff.k, 2),
        convergence=Convergence(
            converged=bool(found.converged[0]), iterations=int(found.iterations[0]), maxima=int(found.maxima[0])
        ),
        cov=np.where(separated, np.nan, found.cov[0]), spec=spec, effects=eff,
        notes=_notes(eff, spec, found, (low, high), pi_low),
    )  # fmt: skip


def _parameter(eta: float, rho: float) -> float:
    """A parameter of the beta distribution, m (1 - rho)/rho."""
    return float(expit(eta)) * (1 - rho) / rho if rho > 0 else math.inf


def _limits(
    spec: Spec, problem: Problem, found: BetaBinomialFit, eta: float, se: float, df: float
) -> tuple[float, float]:
    if spec.ci != "wald":
        low, high = beta_limits(problem, found, spec.level)
        return float(low[0]), float(high[0])
    half = float(quantile(df, spec.level)) * se
    return eta - half, eta + half


def _prediction(spec: Spec, k: int, rho: float, a: float, b: float) -> tuple[float, float]:
    if spec.pi == "none" or k < 3 or not 0 < rho < 1:
        return math.nan, math.nan
    tail = (1 - spec.level) / 2
    low, high = float(logit(betaincinv(a, b, tail))), -float(logit(betaincinv(b, a, tail)))
    return low, high


def _shrunken(eff: Effects, eta: float, rho: float, a: float, b: float) -> tuple[FloatArray, FloatArray]:
    """Logit of the posterior mean of each study's rate and the posterior standard deviation of its logit."""
    assert eff.events is not None
    assert eff.total is not None
    if rho == 0:
        return np.full(eff.k, eta), np.zeros(eff.k) if math.isfinite(eta) else np.full(eff.k, math.nan)
    hit, miss = a + eff.events, b + eff.total - eff.events
    with np.errstate(divide="ignore"):
        return np.log(hit) - np.log(miss), np.sqrt(zeta(2, hit) + zeta(2, miss))


def _heterogeneity(eff: Effects, rho: float, a: float, b: float) -> dict[str, Any]:
    q = cochran(Data.of_one(eff.yi, eff.vi))
    tau2 = 0.0 if rho == 0 else math.inf if rho == 1 else float(zeta(2, a) + zeta(2, b))
    i2, h2 = i2_h2(tau2, q.typical) if math.isfinite(tau2) else (100.0, math.inf)
    return {
        "k": eff.k, "tau2": tau2, "tau": math.sqrt(tau2), "I2": float(i2), "H2": float(h2),
        "Q": float(q.Q), "Q_df": eff.k - 1, "Q_pvalue": float(q.pvalue),
    }  # fmt: skip


def _notes(
    eff: Effects, spec: Spec, found: BetaBinomialFit, limits: tuple[float, float], pi_low: float
) -> tuple[Note, ...]:
    notes = [*eff.notes, *data_notes(eff.data), *repeated(eff)]
    if found.separated[0]:
        none = found.beta[0, 0] < 0
        what = "No events in any study: the rate is 0" if none else "Nothing but events in every study: the rate is 1"
        n = eff.total.sum() if eff.total is not None else 0
        interval = f"the interval is the likelihood-ratio one of {n:g} observations taken together."
        notes.append(Note("separated", f"{what} and rho is set to 0; {interval}"))
    else:
        notes += rho_notes(eff.k, found, "the estimate is the rate of the pooled counts")
    if spec.ci == "profile" and not all(map(math.isfinite, limits)):
        text = "The profile likelihood never falls far enough on one side: the interval is open there."
        notes.append(Note("profile-open", text))
    if spec.pi != "none" and math.isnan(pi_low):
        few = f"it needs at least 3 studies, here {eff.k}"
        why = few if eff.k < 3 else "rho is 1" if found.rho[0] == 1 else "the fitted true rates do not differ"
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    return tuple(notes)
