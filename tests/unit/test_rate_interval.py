"""Intervals of a single rate against their definitions."""

import numpy as np
import pytest
from scipy.stats import binom

import metaan
from metaan.measures.intervals import INTERVAL

CASES = [(0, 20), (1, 20), (8, 24), (23, 24), (24, 24), (0, 1), (1, 1), (500, 1000)]


@pytest.mark.parametrize("interval", INTERVAL.choices)
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_holds_the_observed_rate(interval, level):
    x, n = map(np.array, zip(*CASES, strict=True))
    low, high = metaan.rate_interval(x, n, interval=interval, level=level)
    assert ((low >= 0) & (low <= x / n) & (x / n <= high) & (high <= 1)).all()


@pytest.mark.parametrize(("x", "n"), CASES)
def test_clopper_pearson_has_exact_tails(x, n):
    (low,), (high,) = metaan.rate_interval([x], [n])
    assert low == 0 if x == 0 else binom.sf(x - 1, n, low) == pytest.approx(0.025, rel=1e-8)
    assert high == 1 if x == n else binom.cdf(x, n, high) == pytest.approx(0.025, rel=1e-8)


@pytest.mark.parametrize(("x", "n"), CASES)
def test_mid_p_counts_half_of_the_observed(x, n):
    (low,), (high,) = metaan.rate_interval([x], [n], interval="mid-p")
    if x > 0:
        assert binom.sf(x, n, low) + binom.pmf(x, n, low) / 2 == pytest.approx(0.025, rel=1e-8)
    if x < n:
        assert binom.cdf(x - 1, n, high) + binom.pmf(x, n, high) / 2 == pytest.approx(0.025, rel=1e-8)


def test_newcombe_1998_table_i():
    # Table I, methods 3 to 5: score, score with correction and exact for 81/263, 15/148, 0/20 and 1/29
    x, n = [81, 15, 0, 1], [263, 148, 20, 29]
    expected = {
        "wilson": ([0.2553, 0.0624, 0.0, 0.0061], [0.3662, 0.1605, 0.1611, 0.1718]),
        "wilson-cc": ([0.2535, 0.0598, 0.0, 0.0018], [0.3682, 0.1644, 0.2005, 0.1963]),
        "clopper-pearson": ([0.2527, 0.0578, 0.0, 0.0009], [0.3676, 0.1617, 0.1684, 0.1776]),
        "mid-p": ([0.2544, 0.0601, 0.0, 0.0017], [0.3658, 0.1581, 0.1391, 0.1585]),
    }
    for interval, (low, high) in expected.items():
        got = metaan.rate_interval(x, n, interval=interval)
        np.testing.assert_allclose(got[0], low, atol=5.1e-5, err_msg=interval)
        np.testing.assert_allclose(got[1], high, atol=5.1e-5, err_msg=interval)
