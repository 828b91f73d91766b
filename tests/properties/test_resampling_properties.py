"""What holds for permutation tests and bootstraps of any effects: units, signs, order, and bounds of a p-value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.core.resample import bca, distinct_orders, every_order, percentile

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")
METHODS = st.sampled_from(["REML", "DL", "PM", "CE"])
TESTS = st.sampled_from(["z", "hk", "hk-adhoc"])


@st.composite
def studies(draw, least=2):
    k = draw(st.integers(least, 7))
    yi = [draw(st.integers(-300, 300)) / 100 for _ in range(k)]
    if len(set(map(abs, yi))) == 1:
        yi[0] += 0.37
    return yi, [draw(st.integers(1, 200)) / 100 for _ in range(k)]


@settings(max_examples=40, deadline=None)
@given(studies(), METHODS, TESTS, st.sampled_from([0.001, 37.0]))
def test_exact_p_values_do_not_depend_on_unit_sign_or_order(data, method, test, factor):
    y, v = map(np.array, data)
    one = metaan.permutation_test(metaan.pool(metaan.effects(y, v), method=method, test=test), exact=True)
    again = metaan.effects(-factor * y[::-1], factor**2 * v[::-1])
    other = metaan.permutation_test(metaan.pool(again, method=method, test=test), exact=True)
    assert one.pvalue[0] == pytest.approx(other.pvalue[0], abs=1e-12)
    assert one.pvalue[0] >= 2 / 2 ** len(y)
    count = one.pvalue[0] * one.permutations
    assert count == pytest.approx(round(count), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(studies(4), st.randoms(use_true_random=False))
def test_moderators_of_another_unit_have_the_same_p_values(data, random):
    y, v = data
    x = np.array([random.randint(0, 3) for _ in y], dtype=float)
    if np.ptp(x) == 0:
        x[0] += 1
    import pandas as pd

    def tested(x):
        rows = pd.DataFrame({"y": y, "v": v, "x": x})
        fit = metaan.regress(metaan.effects("y", "v", data=rows), "~ x", method="DL", test="z")
        return metaan.permutation_test(fit, n=5040)

    one, other = tested(x), tested(2000 - 7 * x)
    assert one.exact
    assert one.permutations == distinct_orders(np.unique(x, return_inverse=True)[1])
    assert one.pvalue[1] == pytest.approx(other.pvalue[1], abs=1e-12)
    assert one.QM_pvalue == pytest.approx(one.pvalue[1], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=7))
def test_every_order_comes_once(codes):
    codes = np.unique(codes, return_inverse=True)[1]
    dealt = codes[every_order(codes)]
    assert len(np.unique(dealt, axis=0)) == len(dealt) == distinct_orders(codes)
    assert (np.sort(dealt, axis=1) == np.sort(codes)).all()


@settings(max_examples=25, deadline=None)
@given(studies(3), METHODS, st.sampled_from([0.01, 50.0]), st.sampled_from(["parametric", "nonparametric"]))
def test_bootstraps_scale_with_the_effects(data, method, factor, kind):
    y, v = map(np.array, data)
    one = metaan.bootstrap(metaan.pool(metaan.effects(y, v), method=method), n=40, kind=kind, ci="percentile")
    scaled = metaan.effects(factor * y, factor**2 * v)
    other = metaan.bootstrap(metaan.pool(scaled, method=method), n=40, kind=kind, ci="percentile")
    unit = np.array([factor, factor**2, 1.0])
    size = np.array([np.abs(y).max(), v.max() + np.ptp(y) ** 2, 100.0])
    assert (np.abs(other.replicates / unit - one.replicates) <= 1e-7 * size).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=20, max_size=60), st.lists(st.integers(-9, 9), min_size=4, max_size=9))
def test_bca_stays_among_the_replicates_and_mirrors(values, without):
    values, without = np.array(values, dtype=float), np.array(without, dtype=float)
    middle = float(np.median(values))
    low, high, of = bca(values, 0.9, middle, without)
    if np.isfinite(of.bias) and of.acceleration == 0:
        mirrored = bca(-values, 0.9, -middle, -without)
        assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-9)
    inside = percentile(values, 0.9)
    assert inside[0] <= middle <= inside[1]
    if np.isfinite(low) and np.isfinite(high):
        assert values.min() <= low <= high <= values.max()
