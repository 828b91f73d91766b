"""Moderators in glmm: the likelihood is the integral, its maximum is one, and recoding changes nothing else."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln, log_expit, logsumexp
from scipy.stats import chi2

import metaan
from metaan.errors import ConvergenceError, InputError, MetaanError, OptionError
from tests.helpers import brute

YEARS = [2000, 2003, 2005, 2007, 2010, 2012, 2015, 2020, 2021]
RATES = pd.DataFrame(
    {
        "x": [0, 9, 1, 14, 2, 3, 9, 20, 1],
        "n": [20, 44, 28, 30, 51, 30, 40, 40, 7],
        "year": YEARS,
        "g": list("abbabaabb"),
    }
)
ARMS = pd.DataFrame(
    {
        "a": [4, 0, 7, 2, 17, 3, 19], "n1": [20, 15, 30, 22, 41, 30, 33], "c": [8, 3, 17, 9, 6, 15, 2],
        "n2": [21, 16, 28, 20, 40, 31, 30], "year": YEARS[:7], "g": list("abbabab"),
    }
)  # fmt: skip
ONE = {"events": "x", "total": "n"}
TIME = {"events": "x", "time": "n"}
OR = {"events_t": "a", "total_t": "n1", "events_c": "c", "total_c": "n2"}
IRR = {"events_t": "a", "time_t": "n1", "events_c": "c", "time_c": "n2"}
CASES = {
    "logit": ("PLO", RATES, ONE, {}), "probit": ("PLO", RATES, ONE, {"link": "probit"}),
    "cloglog": ("PLO", RATES, ONE, {"link": "cloglog"}), "log": ("PLN", RATES, ONE, {}),
    "incidence": ("IRLN", RATES, TIME, {}), "CM.EL": ("OR", ARMS, OR, {}),
    "CM.AL": ("OR", ARMS, OR, {"model": "CM.AL"}), "IRR": ("IRR", ARMS, IRR, {}),
}  # fmt: skip


def fit(case, formula="~ year + C(g)", **options):
    measure, data, columns, how = CASES[case]
    return metaan.glmm(measure, data, formula=formula, **columns, **how, **options)


def conditional_terms(case, a, n1, c, n2, theta):
    """Log-probability of the events of the treated arm given those of both."""
    if case == "CM.EL":
        j = np.arange(max(0, a + c - n2), min(n1, a + c) + 1)
        w = -gammaln(j + 1) - gammaln(n1 - j + 1) - gammaln(a + c - j + 1) - gammaln(n2 - a - c + j + 1)
        return w[j == a] + a * theta - logsumexp(w[:, None] + j[:, None] * theta, axis=0)
    eta = theta + math.log(n1 / n2)
    return gammaln(a + c + 1) - gammaln(a + 1) - gammaln(c + 1) + a * log_expit(eta) + c * log_expit(-eta)


def height(case, mean, tau):
    """Marginal log-likelihood at the means of the studies, by brute force."""
    mean = np.asarray(mean, float)
    if case in ("CM.EL", "CM.AL", "IRR"):
        rows = zip(*(ARMS[name].astype(float) for name in ("a", "n1", "c", "n2")), mean, strict=True)
        root = math.log(2 * math.pi) / 2
        return math.fsum(
            brute.log_integral(lambda u, t=t, m=m: conditional_terms(case, *t, m + tau * u) - u * u / 2 - root)
            for *t, m in rows
        )
    if case == "incidence":
        return brute.one_arm_loglik(RATES.x, RATES.n, mean, tau, family="poisson")
    return brute.one_arm_loglik(RATES.x, RATES.n, mean, tau, case)


@pytest.mark.parametrize("case", CASES)
def test_likelihood_is_the_integral(case):
    res = fit(case)
    assert res.tau > 0.05
    assert res.loglik == pytest.approx(height(case, res.fitted, res.tau), abs=1e-8)
    assert res.parameters == 4
    assert res.aic == pytest.approx(8 - 2 * res.loglik)
    assert res.aicc == pytest.approx(res.aic + 2 * 4 * 5 / (res.k - 5))
    assert res.bic == pytest.approx(4 * math.log(res.k) - 2 * res.loglik)


@pytest.mark.parametrize("case", CASES)
def test_no_higher_point(case):
    """Moves of the orthonormal design, small and large."""
    res, rng = fit(case), np.random.default_rng(2)
    q = np.linalg.qr(res.moderators.matrix)[0] * math.sqrt(res.k)
    for scale in [0.02] * 8 + [0.4] * 8:
        mean, tau = res.fitted + q @ rng.normal(0, scale, 3), abs(res.tau + rng.normal(0, scale))
        if case != "log" or (mean < 0).all():
            assert height(case, mean, tau) <= res.loglik + 1e-10


@pytest.mark.parametrize("case", ["probit", "IRR", "incidence"])
def test_searches_from_elsewhere_end_there(case):
    res = fit(case)
    q = np.linalg.qr(res.moderators.matrix)[0] * math.sqrt(res.k)
    for start in ([0.3, 0.3, -0.3, 0.8], [-0.4, 0.5, 0.5, 0.05]):
        found = minimize(lambda p: -height(case, res.fitted + q @ p[:3], abs(p[3]) + 1e-9), start, method="BFGS")
        assert -found.fun == pytest.approx(res.loglik, abs=1e-6)


@pytest.mark.parametrize("case", ["logit", "log", "IRR"])
def test_profile_limits_of_coefficients(case):
    """The highest likelihood with the slope held at a limit is chi2(1)/2 lower."""
    res = fit(case, "~ year", ci="profile")
    x = res.moderators.matrix - [0, 2010]
    for limit in (res.ci_low[1], res.ci_high[1]):
        best = minimize(
            lambda p, slope=limit: -height(case, p[0] + slope * x[:, 1], abs(p[1]) + 1e-9),
            [res.fitted.mean() - 0.1, res.tau + 0.2], method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-10},
        )  # fmt: skip
        assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-6)


def test_text_names_the_interval():
    assert "profile" in str(fit("logit", "~ year", ci="profile"))
    assert "profile" not in str(fit("logit", "~ year"))


@pytest.mark.parametrize("case", ["cloglog", "CM.AL"])
def test_profile_limits_of_tau2(case):
    res = fit(case, "~ year")
    low, high = metaan.tau2_interval(res)
    assert 0 <= low < res.tau2 < high
    x = res.moderators.matrix[:, 1] - 2010
    for limit in [high, low][: 1 + (low > 0)]:
        best = minimize(
            lambda p, tau2=limit: -height(case, p[0] + p[1] * x, math.sqrt(tau2)), [res.fitted.mean(), res.estimate[1]],
            method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11},
        )  # fmt: skip
        assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-6)


@pytest.mark.parametrize(("case", "ci"), [(case, "profile" if i % 2 else "wald") for i, case in enumerate(CASES)])
def test_intercept_alone_is_no_formula(case, ci):
    measure, data, columns, how = CASES[case]
    one, two = metaan.glmm(measure, data, ci=ci, **columns, **how), fit(case, "~ 1", ci=ci)
    assert two.names == ("Intercept",)
    for name in ("estimate", "se", "ci_low", "ci_high", "tau2", "loglik", "loglik_common", "lrt", "aic", "aicc"):
        assert float(np.ravel(getattr(two, name))[0]) == pytest.approx(getattr(one, name), rel=1e-6, abs=1e-7), name
    np.testing.assert_allclose(two.blup, one.blup, atol=1e-6)
    np.testing.assert_allclose(two.weights, one.weights, atol=1e-5)
    assert metaan.tau2_interval(two) == pytest.approx(metaan.tau2_interval(one), abs=1e-6)


RECODED = {
    "seconds": lambda year: year * 3.15e7, "small": lambda year: year * 1e-6,
}  # fmt: skip


@pytest.mark.parametrize("recode", ["seconds", "small"])
@pytest.mark.parametrize("case", ["log", "IRR"])
def test_recoding_leaves_the_fit(case, recode):
    measure, data, columns, how = CASES[case]
    ci = "wald" if (case, recode) == ("log", "small") else "profile"  # profiles of log rates take seconds
    one = fit(case, ci=ci)
    other = data.assign(year=RECODED[recode](data.year))
    two = metaan.glmm(measure, other, formula="~ year + C(g)", ci=ci, **columns, **how)
    factor = RECODED[recode](2020) - RECODED[recode](2019)
    for name in ("loglik", "tau2", "lrt", "LRT", "QM", "QE", "I2"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-5, abs=1e-6), name
    np.testing.assert_allclose(two.fitted, one.fitted, atol=1e-6)
    for name in ("estimate", "se", "ci_low", "ci_high"):
        np.testing.assert_allclose(getattr(two, name)[1] * factor, getattr(one, name)[1], rtol=1e-5, err_msg=name)
    new = pd.DataFrame({"year": [2008, 2018], "g": ["a", "b"]})
    shown = two.predict(new.assign(year=RECODED[recode](new.year)))
    np.testing.assert_allclose(shown, one.predict(new), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_order_and_basis_do_not_matter(case):
    measure, data, columns, how = CASES[case]
    one, cells = fit(case, "~ C(g)"), fit(case, "~ 0 + C(g)")
    turned = metaan.glmm(measure, data.iloc[::-1], formula="~ C(g)", **columns, **how)
    np.testing.assert_allclose(turned.estimate, one.estimate, atol=1e-7)
    np.testing.assert_allclose(turned.blup[::-1], one.blup, atol=1e-7)
    assert turned.loglik == pytest.approx(one.loglik, abs=1e-9)
    assert cells.loglik == pytest.approx(one.loglik, abs=1e-9)
    np.testing.assert_allclose(cells.estimate, [one.estimate[0], one.estimate.sum()], atol=1e-6)


@pytest.mark.parametrize("nodes", [1, 5])
def test_fixed_nodes(nodes):
    """One node is Laplace's approximation, maximised; five come closer to the integral."""
    res, exact = fit("logit", "~ year", nodes=nodes), fit("logit", "~ year")
    x = RATES.year - 2010
    if nodes == 1:
        laplace = lambda a, b, t: brute.one_arm_laplace(RATES.x, RATES.n, a + b * x.to_numpy(), abs(t))  # noqa: E731
        at, _ = brute.maximum(laplace, [res.fitted.mean(), res.estimate[1], res.tau + 0.05])
        assert (res.estimate[1], res.tau) == pytest.approx((at[1], at[2]), abs=1e-6)
    assert 0 < abs(res.tau - exact.tau) < (0.1 if nodes == 1 else 2e-3)
    assert res.loglik == pytest.approx(height("logit", res.fitted, res.tau), abs=1e-8)
    assert res.convergence.nodes == nodes


def test_moderators_that_tell_all():
    data = pd.DataFrame({"x": [0, 0, 0, 12, 9, 14], "n": [20, 15, 30, 12, 9, 14], "z": [1, 2, 3, 4, 5, 6]})
    with pytest.raises(ConvergenceError, match=r"formula='~ z'"):
        metaan.glmm("PLO", data, formula="~ z", **ONE)
    empty = data.assign(x=[0, 0, 0, 3, 4, 5], g=list("aaabbb"))  # a group without events
    with pytest.raises(ConvergenceError, match=r"formula='~ C\(g\)'"):
        metaan.glmm("PLO", empty, formula="~ C(g)", **ONE)
    with pytest.raises(MetaanError):
        metaan.glmm("PLO", data.assign(x=0), formula="~ z", **ONE)


def test_a_large_tau_is_no_separation():
    """Without moderators tau is 10.9; with one the likelihood has its only maximum at 10.8."""
    x = [0, 3, 110, 2, 5, 74, 11, 1, 15, 0, 57, 0, 45, 88, 10, 73, 1, 1, 61, 96, 4, 10, 14]
    n = [9, 118, 110, 39, 5, 74, 11, 104, 15, 18, 57, 84, 45, 88, 13, 73, 74, 87, 61, 96, 74, 10, 14]
    z = [
        0.4,
        2.6,
        0,
        -0.4,
        2.1,
        0.1,
        2,
        0.1,
        0.2,
        -0.9,
        -0.5,
        0.7,
        0,
        -1.1,
        -1.9,
        0.3,
        0,
        -0.4,
        0.8,
        -1.4,
        0.3,
        -1.7,
        0.5,
    ]
    data = pd.DataFrame({"x": x, "n": n, "z": z})
    assert metaan.glmm("PLO", data, **ONE).tau > 10
    res = metaan.glmm("PLO", data, formula="~ z", **ONE)
    assert res.tau == pytest.approx(10.8, abs=0.1)


def test_log_link_with_most_studies_full():
    """The estimate lies beyond a rate of 1; the model with an intercept is the same one."""
    data = pd.DataFrame({"x": [5, 5, 5, 1], "n": [5, 5, 5, 6]})
    one, two = metaan.glmm("PLN", data, **ONE), metaan.glmm("PLN", data, formula="~ 1", **ONE)
    assert (float(two.estimate[0]), two.tau, two.loglik) == pytest.approx((one.estimate, one.tau, one.loglik), abs=1e-6)


def test_missing_values_and_wrong_options():
    gap = RATES.assign(year=[np.nan, *YEARS[1:]])
    with pytest.raises(InputError, match="year"):
        metaan.glmm("PLO", gap, formula="~ year", **ONE)
    res = metaan.glmm("PLO", gap, formula="~ year", missing="drop", **ONE)
    assert res.k == 8
    assert any("1" in str(note) for note in res.notes)
    assert res.loglik == pytest.approx(metaan.glmm("PLO", gap[1:], formula="~ year", **ONE).loglik, abs=1e-9)
    with pytest.raises(InputError):
        metaan.glmm("PLO", events=RATES.x, total=RATES.n, formula="~ year")
    with pytest.raises(InputError, match="nowhere"):
        metaan.glmm("PLO", RATES, formula="~ nowhere", **ONE)
    with pytest.raises(OptionError):
        fit("logit", "~ year", nodes=7, ci="profile")
    with pytest.raises(InputError, match="coefficients"):
        metaan.glmm("PLO", RATES[:3], formula="~ year + C(g)", **ONE)


@pytest.mark.parametrize("case", ["log", "incidence", "CM.EL"])
def test_results(case):
    res = fit(case)
    for other in (pickle.loads(pickle.dumps(res)), copy.copy(res), copy.deepcopy(res)):
        assert str(other) == str(res)
        np.testing.assert_array_equal(other.blup_se, res.blup_se)
    assert len(str(res).splitlines()) <= 20
    assert "~ year + C(g)" in str(res)
    assert json.loads(json.dumps(res.to_dict(), allow_nan=False))["loglik"] == res.loglik
    assert "~ year + C(g)" in res._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        res.blup_se[0] = 1
    table = res.studies()
    np.testing.assert_allclose(table.blup_high - table.blup, 1.959963984540054 * res.blup_se)
    np.testing.assert_allclose(table.blup_low + table.blup_high, 2 * table.blup)
    shown = res.predict({"year": 2011, "g": "a"}, scale="display")
    assert (shown.pi_low <= shown.ci_low).all()
    assert (shown.ci_low <= shown.estimate).all()
    assert (shown.estimate > 0).all()
