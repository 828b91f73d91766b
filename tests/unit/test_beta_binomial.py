"""The beta-binomial model: its likelihood to rounding, an answer to every valid input, the mean and not the median."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.printed import printed
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from scipy.stats import beta, betabinom, binom, chi2, norm, t

import metaan
from metaan.core.beta_binomial_fit import fit_beta_binomial

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}


def codes(res):
    return {note.code for note in res.notes}


def columns(x, n):
    return np.array(x, float)[:, None], np.array(n, float)[:, None]


def test_dataset_a():
    # METHODS, Single-arm rates, 5
    res = metaan.beta_binomial(**A)
    assert printed("0.10076") == res.mean_rate.estimate
    assert printed("3.42099") == res.a
    assert printed("30.52992") == res.b
    assert printed("-17.60309") == res.loglik
    assert printed("0.02861") == res.rho
    assert res.loglik == pytest.approx(betabinom.logpmf(A["events"], A["total"], res.a, res.b).sum(), rel=1e-12)


def test_likelihood_is_on_the_scale_of_the_glmm():
    one, other = metaan.beta_binomial(**A), metaan.glmm("PLO", **A)
    assert one.loglik_common == pytest.approx(other.loglik_common, rel=1e-12)
    assert one.aic == pytest.approx(4 - 2 * one.loglik)
    assert one.bic == pytest.approx(2 * math.log(8) - 2 * one.loglik)
    assert one.aicc == pytest.approx(one.aic + 12 / 5)
    assert one.lrt_pvalue == pytest.approx(chi2.sf(2 * (one.loglik - one.loglik_common), 1) / 2)


def test_wald_interval_and_standard_error():
    z, student = (metaan.beta_binomial(**A, test=test, level=0.9) for test in ("z", "t"))
    assert z.ci_high - z.estimate == pytest.approx(norm.ppf(0.95) * z.se)
    assert student.ci_high - student.estimate == pytest.approx(t.ppf(0.95, 7) * z.se)
    h = 1e-4  # observed information by finite differences of scipy's probabilities
    f = lambda e, r: betabinom.logpmf(A["events"], A["total"], expit(e) * (1 - r) / r, expit(-e) * (1 - r) / r).sum()  # noqa: E731
    e, r, g = z.estimate, z.rho, 1e-5
    ee = (f(e + h, r) - 2 * f(e, r) + f(e - h, r)) / h**2
    rr = (f(e, r + g) - 2 * f(e, r) + f(e, r - g)) / g**2
    er = (f(e + h, r + g) - f(e + h, r - g) - f(e - h, r + g) + f(e - h, r - g)) / (4 * h * g)
    assert z.cov == pytest.approx(-np.linalg.inv([[ee, er], [er, rr]]), rel=1e-4)


def profile(x, n, *, mean=None, rho=None):
    """Highest log-likelihood at a fixed mean, or at a fixed rho, by scipy."""
    x, n = np.array(x), np.array(n)

    def height(m, r):
        return betabinom.logpmf(x, n, m * (1 - r) / r, (1 - m) * (1 - r) / r).sum()

    if mean is not None:
        inner = minimize_scalar(
            lambda s: -height(mean, expit(s)), bounds=(-12, 6), method="bounded", options={"xatol": 1e-9}
        )
        return max(-inner.fun, binom.logpmf(x, n, mean).sum())
    return -minimize_scalar(
        lambda e: -height(expit(e), rho), bounds=(-8, 8), method="bounded", options={"xatol": 1e-9}
    ).fun


@pytest.mark.parametrize("data", [A, {"events": [1, 9, 15, 3, 19, 2], "total": [20] * 6}])
def test_profile_limits(data):
    res = metaan.beta_binomial(**data, ci="profile")
    aim = res.loglik - chi2.ppf(0.95, 1) / 2
    for end in (res.ci_low, res.ci_high):
        assert profile(data["events"], data["total"], mean=expit(end)) == pytest.approx(aim, abs=1e-6)
    low = profile(data["events"], data["total"], rho=1e-6) - aim
    assert (
        res.rho_low == 0 if low > 0 else profile(data["events"], data["total"], rho=res.rho_low) == pytest.approx(aim)
    )
    high = brentq(lambda r: profile(data["events"], data["total"], rho=r) - aim, res.rho, 0.9)
    assert res.rho_high == pytest.approx(high, rel=1e-6)


HARD = {
    "equal rates": ([2, 3, 4], [20, 30, 40], {"rho-zero"}),
    "no events": ([0, 0, 0], [12, 30, 9], {"separated"}),
    "nothing but events": ([15] * 4, [15] * 4, {"separated"}),
    "one study": ([3], [10], {"one-study"}),
    "one study without events": ([0], [10], {"separated"}),
    "two studies": ([3, 9], [10, 11], {"no-pi"}),
    "two maxima": ([5, 400_000, 20], [10, 10**6, 30], {"two-maxima"}),
    "millions": ([10, 2_000_000, 4_999_999], [5 * 10**6] * 3, set()),
    "either nothing or all": ([0, 10], [10, 10], {"rho-one"}),
    "single observations": ([0, 1, 1, 0, 1], [1] * 5, {"rho-not-identified"}),
    "nearly all at an end": ([0] * 20 + [10] * 5 + [3], [10] * 26, set()),
    "a million in a row": ([4 * 10**6, 3, 0], [4 * 10**6, 9, 4 * 10**6], set()),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("ci", ["wald", "profile"])
def test_always_answers(name, ci):
    x, n, expected = HARD[name]
    res = metaan.beta_binomial(events=x, total=n, ci=ci)
    back = res.back()
    assert expected <= codes(res)
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert 0 <= res.rho_low <= res.rho <= res.rho_high <= 1
    assert math.isfinite(res.loglik)
    assert res.convergence.converged
    assert res.weights.sum() == pytest.approx(100)
    assert len(str(res).splitlines()) <= 20
    assert len(str(back).splitlines()) <= 20
    assert 0 <= res.median_rate.estimate <= 1
    json.dumps(res.to_dict(), allow_nan=False)
    assert len(res.studies()) == len(x)
    assert "<table>" in res._repr_html_()


def test_equal_rates_and_no_spread():
    res = metaan.beta_binomial(events=[2, 3, 4], total=[20, 30, 40])
    assert (res.rho, res.tau2, res.lrt, res.lrt_pvalue) == (0, 0, 0, 1)
    assert res.mean_rate.estimate == pytest.approx(0.1)
    assert res.median_rate.ci_low == res.mean_rate.ci_low


def test_nothing_but_events():
    res = metaan.beta_binomial(events=[15] * 4, total=[15] * 4).back()
    assert (res.estimate, res.ci_high) == (1, 1)
    assert res.ci_low == pytest.approx(math.exp(-chi2.ppf(0.95, 1) / 120), rel=1e-12)


def test_every_study_at_an_end_is_one_observation_each():
    res = metaan.beta_binomial(events=[0, 10, 0, 8, 0], total=[10, 10, 7, 8, 5], ci="profile")
    assert res.rho == res.rho_high == 1
    assert res.mean_rate.estimate == pytest.approx(0.4)
    assert res.loglik == pytest.approx(2 * math.log(0.4) + 3 * math.log(0.6))
    aim = res.loglik - chi2.ppf(0.95, 1) / 2
    for end in expit([res.ci_low, res.ci_high]):
        assert 2 * math.log(end) + 3 * math.log(1 - end) == pytest.approx(aim, abs=1e-8)
    # the limit is approached from below
    heights = [betabinom.logpmf([0, 10, 0, 8, 0], [10, 10, 7, 8, 5], 0.4 / s, 0.6 / s).sum() for s in (1, 10, 100, 1e4)]
    assert (np.diff([*heights, res.loglik]) > 0).all()


def test_the_higher_of_two_maxima():
    res = metaan.beta_binomial(events=[5, 400_000, 20], total=[10, 10**6, 30])
    rhos = np.geomspace(1e-7, 0.5, 400)
    best = max(profile([5, 400_000, 20], [10, 10**6, 30], rho=r) for r in rhos)
    assert res.loglik >= best - 1e-6


def test_mean_median_and_prediction():
    res = metaan.beta_binomial(events=[1, 9, 15, 3, 19, 2], total=[20] * 6)
    true = beta(res.a, res.b)
    assert res.mean_rate.estimate == pytest.approx(true.mean())
    assert res.median_rate.estimate == pytest.approx(true.median())
    assert res.mean_rate.kind, res.median_rate.kind == ("mean", "median")
    assert expit([res.pi_low, res.pi_high]) == pytest.approx(true.ppf([0.025, 0.975]))
    assert res.tau2 == pytest.approx(true.expect(lambda p: logit(p) ** 2) - true.expect(logit) ** 2, rel=1e-6)
    assert res.blup == pytest.approx(logit((np.array([1, 9, 15, 3, 19, 2]) + res.a) / (20 + res.a + res.b)))
    assert res.back().median_rate == res.median_rate
    assert math.isnan(metaan.beta_binomial(events=[1, 9, 15, 3], total=[20] * 4, pi="none").pi_low)


def test_interval_of_the_median_by_the_delta_method():
    res = metaan.beta_binomial(events=[1, 9, 15, 3, 19, 2], total=[20] * 6, test="z")
    draws = np.random.default_rng(1).multivariate_normal([0, 0], res.cov, 4000)
    s = 0.02  # small steps, where the median is linear
    r = res.rho + s * draws[:, 1]
    m = expit(res.estimate + s * draws[:, 0])
    spread = logit(beta.ppf(0.5, m * (1 - r) / r, (1 - m) * (1 - r) / r)).std() / s
    half = logit(res.median_rate.ci_high) - logit(res.median_rate.estimate)
    assert half == pytest.approx(norm.ppf(0.975) * spread, rel=0.05)


def test_text():
    text = str(metaan.beta_binomial(**A))
    for part in ("Beta-binomial", "8 studies", "mean over studies, not the rate of the median study", "rho 0.02861",
                 "Beta(3.421, 30.53)", "log L -17.603", "AIC 39.21", "boundary mixture"):  # fmt: skip
        assert part in text
    separated = str(metaan.beta_binomial(events=[0, 0, 0], total=[12, 30, 9]))
    for part in ("Spread", "Prediction  "):
        assert part not in separated


def test_pickle_and_frozen():
    res = metaan.beta_binomial(**A)
    again = pickle.loads(pickle.dumps(res))
    assert again.to_dict() == res.to_dict()
    for name in ("weights", "cov", "blup"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(again, name)[0] = 1.0


@pytest.mark.parametrize(
    ("options", "match"),
    [({"pi": "t"}, "pi='t'"), ({"test": "hk"}, "test='hk'"), ({"ci": "exact"}, "ci='exact'"), ({"level": 95}, "0.95")],
)
def test_unknown_options(options, match):
    with pytest.raises(metaan.errors.OptionError, match=match):
        metaan.beta_binomial(**A, **options)


def test_bad_counts():
    with pytest.raises(metaan.errors.DataError, match="exceeds"):
        metaan.beta_binomial(events=[3], total=[2])
    with pytest.raises(metaan.errors.DataError, match="5 million"):
        metaan.beta_binomial(events=[3], total=[6 * 10**6])
    with pytest.raises(metaan.errors.InputError, match="data"):
        metaan.beta_binomial(**A, formula="~ year")


def test_columns_of_data():
    data = pd.DataFrame(A | {"name": list("abcdefgh")})
    res = metaan.beta_binomial(data, events="events", total="total", study="name")
    assert res.effects.study == tuple("abcdefgh")
    assert res.loglik == fit_beta_binomial(*columns(*A.values())).loglik[0]
