"""Invariance of the posterior to shift, scale, order and the sign of the outcome."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan import HalfCauchy, HalfNormal, NormalPrior

NUMBERS = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")


@st.composite
def normal_data(draw):
    k = draw(st.integers(2, 6))
    y = draw(st.lists(st.floats(-2, 2), min_size=k, max_size=k))
    v = draw(st.lists(st.floats(0.01, 1.0), min_size=k, max_size=k))
    return np.array(y), np.array(v)


def fit(y, v, prior, mu=None):
    return metaan.bayes(metaan.effects(y, v), tau_prior=prior, mu_prior=mu)


def numbers(res):
    return np.array([getattr(res, name) for name in NUMBERS])


@settings(max_examples=8, deadline=None)
@given(normal_data(), st.floats(-50, 50))
def test_shift(data, shift):
    y, v = data
    one, other = fit(y, v, HalfNormal(0.5)), fit(y + shift, v, HalfNormal(0.5))
    np.testing.assert_allclose(numbers(other), numbers(one) + shift, atol=1e-6)
    assert other.tau == pytest.approx(one.tau, rel=1e-6)
    assert other.log_bayes_factor_tau0 == pytest.approx(one.log_bayes_factor_tau0, abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(normal_data(), st.floats(-6, 8))
def test_scale(data, power):
    y, v = data
    c = 10.0**power
    one = fit(y, v, HalfCauchy(0.5), NormalPrior(0, 2))
    other = fit(c * y, c * c * v, HalfCauchy(0.5 * c), NormalPrior(0, 2 * c))
    np.testing.assert_allclose(numbers(other) / c, numbers(one), rtol=1e-6, atol=1e-6)
    assert other.tau / c == pytest.approx(one.tau, rel=1e-6)
    assert other.log_bayes_factor_tau0 == pytest.approx(one.log_bayes_factor_tau0, abs=1e-6)


@settings(max_examples=6, deadline=None)
@given(normal_data(), st.randoms(use_true_random=False))
def test_order(data, random):
    y, v = data
    order = list(range(y.size))
    random.shuffle(order)
    one, other = fit(y, v, HalfNormal(0.5)), fit(y[order], v[order], HalfNormal(0.5))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(other.theta, one.theta[:, order], rtol=1e-7, atol=1e-8)


@settings(max_examples=6, deadline=None)
@given(normal_data())
def test_a_study_without_information_changes_nothing(data):
    y, v = data
    one = fit(y, v, HalfNormal(0.5), NormalPrior(0, 1))
    other = fit(np.append(y, 0.0), np.append(v, 1e14), HalfNormal(0.5), NormalPrior(0, 1))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-6, atol=1e-6)
    assert other.log_bayes_factor_tau0 == pytest.approx(one.log_bayes_factor_tau0, abs=1e-6)
    np.testing.assert_allclose(other.theta[[0, 3, 4], -1], one.values[2, [1, 4, 5]], atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=4))
def test_counting_failures_turns_the_sign(pairs):
    x = np.array([a for a, _ in pairs])
    n = np.array([a + b + 1 for a, b in pairs])
    prior = NormalPrior(0, 1.5)
    one = metaan.bayes(events=x, total=n, mu_prior=prior)
    other = metaan.bayes(events=n - x, total=n, mu_prior=prior)
    np.testing.assert_allclose(numbers(other), -numbers(one)[[0, 2, 1, 4, 3]], rtol=1e-5, atol=1e-5)
    assert other.tau == pytest.approx(one.tau, rel=1e-5)
    assert other.log_marginal == pytest.approx(one.log_marginal, abs=1e-7)
    total = one.posterior.theta.log_total
    np.testing.assert_allclose(total, 0, atol=1e-4)  # two routes to the same normalising constant
