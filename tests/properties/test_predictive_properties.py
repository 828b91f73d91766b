"""What must hold for the next trial after any trials."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan

HOW = st.sampled_from(["plugin", "profile", "integrated"])


@st.composite
def trials(draw, most=7, largest=120):
    k = draw(st.integers(1, most))
    n = draw(st.lists(st.integers(1, largest), min_size=k, max_size=k))
    return [draw(st.integers(0, size)) for size in n], n


def fitted(x, n):
    return metaan.glmm("PLO", events=x, total=n)


@given(trials(), st.integers(1, 60), HOW)
@settings(max_examples=25, deadline=None)
def test_a_distribution_whatever_the_trials(data, n, how):
    new = metaan.predictive(fitted(*data), n, uncertainty=how)
    assert new.probability.shape == (n + 1,)
    assert new.probability.min() >= 0
    assert new.probability.sum() == pytest.approx(1, abs=1e-12)
    low, high = new.interval()
    tail = 0.025 * (1 + 1e-9)
    assert low <= new.median <= high
    assert new.probability[:low].sum() <= tail < new.probability[: low + 1].sum() + 1e-15
    assert new.probability[high + 1 :].sum() <= tail < new.probability[high:].sum() + 1e-15
    targets = np.linspace(0, 0.99, 12)
    for function in (new.true_rate_exceeds, new.prob_exceeds):
        values = [function(t) for t in targets]
        assert all(a >= b - 1e-12 for a, b in pairwise(values))
    assert len(str(new).splitlines()) <= 20


@given(trials(), st.integers(1, 40), HOW)
@settings(max_examples=15, deadline=None)
def test_events_and_non_events_mirror(data, n, how):
    x, total = map(np.array, data)
    a = metaan.predictive(fitted(x, total), n, uncertainty=how)
    b = metaan.predictive(fitted(total - x, total), n, uncertainty=how)
    assert a.probability == pytest.approx(b.probability[::-1], abs=1e-6)


@given(trials(), st.integers(2, 40), st.data())
@settings(max_examples=15, deadline=None)
def test_two_stages_and_one(data, n, draw):
    new = metaan.predictive(fitted(*data), n, uncertainty="plugin")
    n1 = draw.draw(st.integers(1, n - 1))
    r1 = draw.draw(st.integers(0, n1 - 1))
    r = draw.draw(st.integers(r1, n - 1))
    found = new.simon(r1, n1, r, n)
    assert 0 <= found.promising <= min(found.pass_stage1, new.prob_at_least(r + 1)) + 1e-9
    assert n1 - 1e-9 <= found.expected_n <= n + 1e-9
    if r == r1:  # whoever goes on has more than r responders
        assert found.promising == pytest.approx(found.pass_stage1, abs=1e-9)


@given(trials(), st.integers(3, 30), HOW)
@settings(max_examples=10, deadline=None)
def test_a_smaller_trial_is_part_of_a_larger_one(data, n, how):
    """Leaving one observation out at random turns the distribution for n into that for n - 1."""
    res = fitted(*data)
    large, small = (metaan.predictive(res, size, uncertainty=how).probability for size in (n, n - 1))
    r = np.arange(n)
    assert small == pytest.approx(large[:-1] * (n - r) / n + large[1:] * (r + 1) / n, abs=1e-9)
