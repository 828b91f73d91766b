"""What must hold for any counts under the beta-binomial model."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import betabinom, binom

import metaan


@st.composite
def trials(draw, least=1, most=10, largest=200):
    k = draw(st.integers(least, most))
    n = draw(st.lists(st.integers(1, largest), min_size=k, max_size=k))
    x = [draw(st.integers(0, size)) for size in n]
    return np.array(x), np.array(n)


@given(trials(), st.sampled_from(["wald", "profile"]))
@settings(max_examples=40, deadline=None)
def test_every_valid_input_has_an_answer(data, ci):
    x, n = data
    res = metaan.beta_binomial(events=x, total=n, ci=ci)
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert 0 <= res.rho_low <= res.rho + 1e-9 <= res.rho_high + 2e-9 <= 1 + 3e-9
    assert math.isfinite(res.loglik)
    assert res.loglik >= res.loglik_common - 1e-9
    assert res.convergence.converged
    assert len(str(res).splitlines()) <= 20


@given(trials(least=2, most=7, largest=60))
@settings(max_examples=15, deadline=None)
def test_no_other_parameters_are_more_likely(data):
    x, n = data
    res = metaan.beta_binomial(events=x, total=n)
    assume(res.rho < 1 and math.isfinite(res.estimate))

    def minus(v):  # scipy's probabilities lose their digits below theta = 1e-6
        if not (-12 < v[1] < 6 and abs(v[0]) < 12):
            return 1e9
        return -betabinom.logpmf(x, n, expit(v[0]) / np.exp(v[1]), expit(-v[0]) / np.exp(v[1])).sum()

    start = logit((x.sum() + 0.5) / (n.sum() + 1))
    found = [
        minimize(minus, [start, s], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).fun for s in (-4, 0)
    ]
    zero = binom.logpmf(x, n, x.sum() / n.sum()).sum()
    assert res.loglik >= max(zero, -min(found)) - 1e-7
    if res.rho > 1e-5:
        assert res.loglik == pytest.approx(betabinom.logpmf(x, n, res.a, res.b).sum(), abs=1e-7)


@given(trials(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_studies_does_not_matter(data, random):
    x, n = data
    order = list(range(len(x)))
    random.shuffle(order)
    a, b = metaan.beta_binomial(events=x, total=n), metaan.beta_binomial(events=x[order], total=n[order])
    assert a.loglik == pytest.approx(b.loglik, rel=1e-10, abs=1e-9)
    assert a.mean_rate.estimate == pytest.approx(b.mean_rate.estimate, abs=1e-6)


@given(trials())
@settings(max_examples=15, deadline=None)
def test_events_and_non_events_mirror(data):
    x, n = data
    a, b = (metaan.beta_binomial(events=c, total=n, ci="profile") for c in (x, n - x))
    assert a.loglik == pytest.approx(b.loglik, rel=1e-10, abs=1e-9)
    assert a.rho == pytest.approx(b.rho, abs=1e-6)
    assert a.rho_high == pytest.approx(b.rho_high, abs=1e-6)
    assert a.mean_rate.estimate == pytest.approx(1 - b.mean_rate.estimate, abs=1e-6)
    assert a.mean_rate.ci_low == pytest.approx(1 - b.mean_rate.ci_high, abs=1e-6)


@given(trials(least=3, most=8))
@settings(max_examples=12, deadline=None)
def test_each_study_twice_halves_the_covariance(data):
    x, n = data
    a = metaan.beta_binomial(events=x, total=n)
    b = metaan.beta_binomial(events=np.tile(x, 2), total=np.tile(n, 2))
    assume(0 <= a.rho < 1 and math.isfinite(a.estimate))
    assert b.loglik == pytest.approx(2 * a.loglik, rel=1e-9, abs=1e-8)
    assert b.cov[0, 0] == pytest.approx(a.cov[0, 0] / 2, rel=1e-5)
