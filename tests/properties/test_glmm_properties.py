"""What must hold for any counts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan


@st.composite
def trials(draw, most=10, largest=200):
    k = draw(st.integers(1, most))
    n = draw(st.lists(st.integers(1, largest), min_size=k, max_size=k))
    x = [draw(st.integers(0, size)) for size in n]
    return x, n


@given(trials())
@settings(max_examples=150)
def test_every_valid_input_has_an_answer(data):
    x, n = data
    res = metaan.glmm("PLO", events=x, total=n)
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert math.isfinite(res.tau2)
    assert res.loglik >= res.loglik_common - 1e-9 or "tau2-unbounded" in {note.code for note in res.notes}
    assert res.convergence.converged


@given(trials(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_studies_does_not_matter(data, random):
    x, n = map(np.array, data)
    order = list(range(len(x)))
    random.shuffle(order)
    a = metaan.glmm("PLO", events=x, total=n)
    b = metaan.glmm("PLO", events=x[order], total=n[order])
    assert a.loglik == pytest.approx(b.loglik, rel=1e-10, abs=1e-9)
    assert a.back().estimate == pytest.approx(b.back().estimate, abs=1e-6)


@given(trials())
@settings(max_examples=60)
def test_events_and_non_events_mirror(data):
    x, n = map(np.array, data)
    a, b = metaan.glmm("PLO", events=x, total=n), metaan.glmm("PLO", events=n - x, total=n)
    assert a.loglik == pytest.approx(b.loglik, rel=1e-10, abs=1e-9)
    assert a.back().estimate == pytest.approx(1 - b.back().estimate, abs=1e-6)


@given(
    st.integers(0, 400),
    st.integers(1, 400),
    st.sampled_from(["clopper-pearson", "wilson", "wilson-cc", "jeffreys", "mid-p"]),
)
def test_rate_intervals_hold_the_rate_and_mirror(x, n, interval):
    x = min(x, n)
    (low,), (high,) = metaan.rate_interval([x], [n], interval=interval)
    (other_low,), (other_high,) = metaan.rate_interval([n - x], [n], interval=interval)
    assert low <= x / n <= high
    assert low == pytest.approx(1 - other_high, abs=1e-9)
    assert high == pytest.approx(1 - other_low, abs=1e-9)
