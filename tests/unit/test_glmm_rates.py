"""The rate of the median study and the mean rate over studies, and Poisson rates."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr
from scipy.stats import chi2, norm, poisson, t

import metaan
from metaan.errors import DataError, InputError
from tests.helpers import brute

X, N = [0, 3, 1, 4, 2, 3, 9, 17], [20, 44, 28, 30, 51, 30, 40, 40]
TIME = [20.5, 44, 28.25, 30, 51, 3.5, 40, 40]
EVEN = ([2, 3, 4, 5], [20, 30, 40, 50])
INVERSE = {
    "logit": expit, "probit": ndtr, "cloglog": lambda e: -np.expm1(-np.exp(e)),
    "log": lambda e: np.exp(np.minimum(e, 0)),
}  # fmt: skip


def average(inverse, mu, tau):
    """E inverse(mu + tau u) by adaptive quadrature."""
    ends = [-mu / tau] if abs(mu / tau) < 9 else []
    return quad(
        lambda u: float(inverse(mu + tau * u)) * norm.pdf(u), -9, 9, points=[*ends, 0], epsabs=1e-13, limit=500
    )[0]


def slopes(inverse, mu, tau, h=1e-4):
    by_mu = (average(inverse, mu + h, tau) - average(inverse, mu - h, tau)) / (2 * h)
    return np.array([by_mu, (average(inverse, mu, tau + h) - average(inverse, mu, tau - h)) / (2 * h)])


@pytest.mark.parametrize("link", INVERSE)
@pytest.mark.parametrize("test", ["t", "z"])
def test_both_rates(link, test):
    """The delta method on the logit scale, from the covariance of estimate and tau."""
    res = metaan.glmm("PLO", events=X, total=N, link=link, test=test)
    inverse = INVERSE[link]
    median, mean = res.median_rate, res.mean_rate
    assert median.estimate == pytest.approx(float(inverse(res.estimate)), rel=1e-12)
    assert (median.ci_low, median.ci_high) == pytest.approx((res.back().ci_low, res.back().ci_high))
    value = average(inverse, res.estimate, res.tau)
    assert mean.estimate == pytest.approx(value, abs=1e-9)
    gradient = slopes(inverse, res.estimate, res.tau)
    half = math.sqrt(gradient @ res.cov @ gradient) / (value * (1 - value))
    half *= t.ppf(0.975, 7) if test == "t" else norm.ppf(0.975)
    limits = [expit(math.log(value / (1 - value)) + side * half) for side in (-1, 1)]
    assert (mean.ci_low, mean.ci_high) == pytest.approx(limits, abs=1e-7)
    assert (median.kind, mean.kind, mean.level) == ("median", "mean", 0.95)


def test_mean_of_log_normal_rates():
    res = metaan.glmm("IRLN", events=X, time=TIME)
    assert res.mean_rate.estimate == pytest.approx(math.exp(res.estimate + res.tau2 / 2), rel=1e-9)
    assert res.median_rate.estimate == pytest.approx(math.exp(res.estimate), rel=1e-12)
    gradient = np.array([1, res.tau])  # of the logarithm
    half = t.ppf(0.975, 7) * math.sqrt(gradient @ res.cov @ gradient)
    assert res.mean_rate.ci_high == pytest.approx(res.mean_rate.estimate * math.exp(half), rel=1e-6)


@pytest.mark.parametrize("measure", ["PLO", "PLN", "PR", "PAS", "PFT"])
def test_rates_of_normal_models(measure):
    res = metaan.pool(metaan.effect_size(measure, events=[2, *X[1:]], total=N), method="REML")
    assert res.tau2 > 0
    scale = {
        "PLO": expit, "PLN": lambda y: np.exp(np.minimum(y, 0)), "PR": lambda y: np.clip(y, 0, 1),
        "PAS": lambda y: np.sin(np.clip(y, 0, np.pi / 2)) ** 2,
    }  # fmt: skip
    mean, median = res.mean_rate, res.median_rate
    assert median.estimate == pytest.approx(res.back().estimate)
    assert 0 < mean.ci_low < mean.estimate < mean.ci_high < 1
    if measure in scale:
        u = np.linspace(-9, 9, 200_001)
        at = scale[measure](res.estimate + res.tau * u) @ norm.pdf(u) * (u[1] - u[0])
        assert mean.estimate == pytest.approx(at, abs=1e-4 if measure in ("PR", "PAS") else 1e-7)
    assert res.back().mean_rate == mean
    assert res.back().median_rate == median


@pytest.mark.parametrize("link", [*INVERSE])
def test_one_rate_without_heterogeneity(link):
    res = metaan.glmm("PLO", events=EVEN[0], total=EVEN[1], link=link)
    assert res.tau2 == 0
    one, two = res.median_rate, res.mean_rate
    assert (one.estimate, one.ci_low, one.ci_high) == (two.estimate, two.ci_low, two.ci_high)
    assert one.estimate == pytest.approx(0.1)
    assert "tau2 = 0" in str(two)


def test_display_scale_gives_the_same():
    for res in (
        metaan.glmm("PLO", events=X, total=N), metaan.glmm("PLN", events=X, total=N),
        metaan.glmm("IRLN", events=X, time=TIME, ci="profile"),
        metaan.glmm("PLO", events=[0, 0], total=[9, 12]), metaan.glmm("PLO", events=[9, 12], total=[9, 12]),
    ):  # fmt: skip
        assert res.back().mean_rate == res.mean_rate
        assert res.back().median_rate == res.median_rate


@pytest.mark.parametrize("events", [[0, 0, 0], [9, 12, 30]])
def test_rates_at_an_end(events):
    res = metaan.glmm("PLO", events=events, total=[9, 12, 30])
    mean, end = res.mean_rate, float(events[0] > 0)
    assert (mean.estimate, mean.ci_low, mean.ci_high) == (end, res.back().ci_low, res.back().ci_high)
    assert str(mean)


def test_words():
    """Which rate is which stands in the text of the result and of the rates."""
    res = metaan.glmm("PLO", events=X, total=N)
    assert str(res.median_rate).startswith("rate of the median study 0.")
    assert str(res.mean_rate).startswith("mean rate over studies 0.")
    assert f"{res.mean_rate.estimate:.4f}" in str(res.mean_rate)
    (rate,) = [line for line in str(res).splitlines() if line.startswith("Rate ")]
    (mean,) = [line for line in str(res).splitlines() if line.startswith("Mean rate ")]
    assert "median study" in rate
    assert f"{res.mean_rate.estimate:.4g}" in mean
    even = metaan.glmm("PLO", events=EVEN[0], total=EVEN[1])
    assert "Mean rate" not in str(even)


def test_ratios_have_no_rate():
    arms = {"events_t": [4, 1, 7], "total_t": [20, 15, 30], "events_c": [8, 3, 5], "total_c": [21, 16, 28]}
    for res in (metaan.glmm("OR", **arms), metaan.glmm("OR", **arms).back(), metaan.glmm("RD", **arms, model="UM.FS")):
        for name in ("mean_rate", "median_rate"):
            with pytest.raises(InputError, match="no rate"):
                getattr(res, name)


def test_poisson_likelihood_and_profile():
    res = metaan.glmm("IRLN", events=X, time=TIME, ci="profile")
    height = lambda mu, tau: brute.one_arm_loglik(X, TIME, mu, abs(tau), family="poisson")  # noqa: E731
    assert res.loglik == pytest.approx(height(res.estimate, res.tau), abs=1e-8)
    at, top = brute.maximum(height, [-2, 0.5], rounds=2)
    assert (at[0], abs(at[1]), top) == pytest.approx((res.estimate, res.tau, res.loglik), abs=1e-5)
    for limit in (res.ci_low, res.ci_high):
        best = max(height(limit, tau) for tau in np.linspace(0.5, 2, 151))
        assert res.loglik - best == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-3)
    low, high = metaan.tau2_interval(res)
    assert low < res.tau2 < high
    best = max(height(mu, math.sqrt(high)) for mu in np.linspace(-3.5, -1.5, 161))
    assert res.loglik - best == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-3)


def test_poisson_is_the_limit_of_rare_binomials():
    big = [n * 10_000 for n in N]
    one, two = metaan.glmm("IRLN", events=X, time=big), metaan.glmm("PLN", events=X, total=big)
    assert (two.estimate, two.tau, two.se) == pytest.approx((one.estimate, one.tau, one.se), rel=1e-4)
    assert two.loglik == pytest.approx(one.loglik, abs=1e-2)


def test_units_of_time_shift_the_log_rate():
    one = metaan.glmm("IRLN", events=X, time=TIME)
    two = metaan.glmm("IRLN", events=X, time=np.array(TIME) * 365.25)
    assert two.estimate == pytest.approx(one.estimate - math.log(365.25), abs=1e-8)
    assert (two.tau2, two.se, two.loglik, two.lrt) == pytest.approx((one.tau2, one.se, one.loglik, one.lrt), abs=1e-7)


HARD = {
    "one": ([3], [10.0]), "two": ([3, 40], [10, 11.0]), "equal": ([2, 3, 4], [20, 30, 40]), "none": ([0, 0], [4.5, 2]),
    "one zero": ([0], [7.0]), "huge": ([10**6, 20, 4000], [10**5, 10, 9000]),
    "tiny times": ([1, 4, 0], [1e-6, 3e-6, 1e-7]),
    "long": ([0, 1, 0, 2], [1e9, 3e9, 2e9, 1e8]), "zeros and one": ([0, 0, 0, 30], [5, 6, 7, 8]),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("ci", ["wald", "profile"])
def test_always_answers(name, ci):
    x, time = HARD[name]
    res = metaan.glmm("IRLN", events=x, time=time, ci=ci)
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high
    assert math.isfinite(back.ci_high)
    assert res.convergence.converged
    assert len(str(res).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)
    assert res.mean_rate.estimate >= back.estimate
    if sum(x) == 0:
        assert back.estimate == 0
        assert back.ci_high == pytest.approx(chi2.ppf(0.95, 1) / 2 / sum(time))
        assert f"{sum(time):g} units of time" in str(res)
    else:
        assert res.loglik == pytest.approx(
            brute.one_arm_loglik(x, time, res.estimate, res.tau, family="poisson"), abs=1e-7, rel=1e-9
        )


def test_poisson_residuals():
    res = metaan.glmm("IRLN", events=X, time=TIME)
    table = res.residuals()
    mean = np.array(TIME) * res.mean_rate.estimate
    spread = np.sqrt(mean + mean**2 * math.expm1(res.tau2))
    np.testing.assert_allclose(table.expected, mean, rtol=1e-6)
    np.testing.assert_allclose(table.pearson, (np.array(X) - mean) / spread, rtol=1e-6)
    u = np.linspace(-9, 9, 4001)
    weight = norm.pdf(u) / norm.pdf(u).sum()
    for x, time, q in zip(X, TIME, table["quantile"], strict=True):
        rate = time * np.exp(res.estimate + res.tau * u)
        middle = (poisson.cdf(x, rate) - poisson.pmf(x, rate) / 2) @ weight
        assert norm.cdf(q) == pytest.approx(middle, abs=1e-7)


def test_bad_times():
    for time in ([0, 1.0], [-1, 2.0], [math.inf, 1.0]):
        with pytest.raises(DataError):
            metaan.glmm("IRLN", events=[1, 2], time=time)
    with pytest.raises(DataError):
        metaan.glmm("IRLN", events=[1.5, 2], time=[3, 4.0])
    with pytest.raises(InputError):
        metaan.glmm("IRLN", events=[1, 2], total=[3, 4])
    with pytest.raises(InputError, match="IRLN"):
        metaan.glmm("IRLN", events=[1, 2], time=[3, 4], link="probit")


@pytest.mark.parametrize("link", ["probit", "log"])
def test_tables_and_plot(link):
    res = metaan.glmm("PLO", events=X, total=N, link=link)
    table, shown = res.studies(), res.back().studies()
    half = norm.ppf(0.975) * res.blup_se
    np.testing.assert_allclose(table.blup_low, res.blup - half)
    np.testing.assert_allclose(shown.blup_high, INVERSE[link](res.blup + half), rtol=1e-10)
    np.testing.assert_allclose(shown.blup, INVERSE[link](res.blup), rtol=1e-10)
    metaan.plot.forest(res)
    metaan.plot.forest(metaan.glmm("IRLN", events=X, time=TIME))
