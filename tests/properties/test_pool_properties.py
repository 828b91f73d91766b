"""What must hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.validate import METHOD

METHODS = sorted(set(METHOD.choices) - {"GENQ"})
TESTS = ["z", "t", "hk", "hk-adhoc"]


@st.composite
def studies(draw, least=2, most=12):
    k = draw(st.integers(least, most))
    y = draw(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=k, max_size=k))
    v = draw(st.lists(st.floats(0.01, 10).map(lambda x: round(x, 3)), min_size=k, max_size=k))
    return np.array(y), np.array(v)


def fit(y, v, **kwargs):
    return metaan.pool(metaan.effects(y, v), **kwargs)


def close(a, b, scale=1.0):
    assert a == pytest.approx(b, rel=1e-7, abs=1e-8 * scale)


@given(studies(), st.sampled_from(METHODS), st.sampled_from(TESTS), st.floats(-50, 50))
def test_shifting_the_effects_shifts_the_estimate(data, method, test, shift):
    y, v = data
    a, b = fit(y, v, method=method, test=test), fit(y + shift, v, method=method, test=test)
    close(b.estimate, a.estimate + shift)
    close(b.tau2, a.tau2)
    close(b.se, a.se)
    close(b.Q, a.Q)


@given(studies(), st.sampled_from(METHODS), st.sampled_from(TESTS), st.sampled_from([1e-6, 1e-3, 7.0, 1e8]))
def test_scaling_scales(data, method, test, factor):
    y, v = data
    a, b = fit(y, v, method=method, test=test), fit(factor * y, factor**2 * v, method=method, test=test)
    close(b.estimate / factor, a.estimate)
    close(b.tau2 / factor**2, a.tau2)
    close(b.se / factor, a.se)
    close(b.I2, a.I2, 100)


@given(studies(), st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_the_order_of_studies_does_not_matter(data, method, random):
    y, v = data
    order = list(range(len(y)))
    random.shuffle(order)
    a, b = fit(y, v, method=method), fit(y[order], v[order], method=method)
    close(b.estimate, a.estimate)
    close(b.tau2, a.tau2)
    np.testing.assert_allclose(b.weights, a.weights[order], rtol=1e-6)


@given(studies())
def test_duplicate_data_halve_the_common_effect_variance(data):
    y, v = data
    a = fit(y, v, method="CE", test="z")
    b = fit(np.tile(y, 2), np.tile(v, 2), method="CE", test="z")
    close(b.se**2, a.se**2 / 2)
    close(b.estimate, a.estimate)


@given(studies(), st.floats(0.01, 5))
def test_equal_variances_make_moment_and_restricted_estimators_agree(data, variance):
    y, _ = data
    v = np.full_like(y, variance)
    reference = max(0.0, np.var(y, ddof=1) - variance)
    for method in ("DL", "HE", "PM", "REML", "EB", "DLIT", "SJIT"):
        close(fit(y, v, method=method).tau2, reference)
    close(fit(y, v, method="ML").tau2, max(0.0, np.var(y) - variance))


@given(studies(), st.sampled_from(METHODS))
def test_zero_tau2_is_the_common_effect(data, method):
    y, v = data
    res = fit(y, v, method=method, test="z")
    if res.tau2 == 0:
        common = fit(y, v, method="CE", test="z")
        assert (res.estimate, res.se) == (common.estimate, common.se)


@given(studies(), st.sampled_from(METHODS), st.sampled_from(TESTS))
def test_the_estimate_lies_within_the_data_and_the_interval(data, method, test):
    y, v = data
    res = fit(y, v, method=method, test=test)
    assert y.min() - 1e-9 <= res.estimate <= y.max() + 1e-9
    assert res.ci_low <= res.estimate <= res.ci_high
    assert 0 <= res.pvalue <= 1 or res.se == res.estimate == 0  # 0/0: no test
    assert res.tau2 >= 0
    assert 0 <= res.I2 <= 100


@given(studies(least=3))
@settings(max_examples=30)
def test_tau2_intervals_are_ordered_and_profile_holds_the_estimate(data):
    y, v = data
    res = fit(y, v)
    for method in ("QP", "PL", "BJ", "J"):
        low, high = metaan.tau2_interval(res, method=method)
        assert 0 <= low <= high
        if method == "PL":
            assert low <= res.tau2 * (1 + 1e-9) + 1e-12
            assert high >= res.tau2 * (1 - 1e-9)


@given(studies(least=3))
@settings(max_examples=60)
def test_intervals_grow_with_the_level(data):
    y, v = data
    narrow, wide = fit(y, v, level=0.8), fit(y, v, level=0.99)
    assert wide.ci_low <= narrow.ci_low
    assert wide.ci_high >= narrow.ci_high
    assert wide.pi_high - wide.pi_low >= narrow.pi_high - narrow.pi_low


@given(studies())
def test_q_profile_limits_put_q_at_the_quantiles(data):
    from scipy.stats import chi2

    y, v = data
    low, high = metaan.tau2_interval(fit(y, v), method="QP")
    for limit, tail in ((low, 0.025), (high, 0.975)):
        w = 1 / (v + limit)
        q = w @ (y - (w @ y) / w.sum()) ** 2
        aim = chi2.isf(tail, len(y) - 1)
        assert q == pytest.approx(aim, rel=1e-7) if limit > 0 else q <= aim * (1 + 1e-9)
