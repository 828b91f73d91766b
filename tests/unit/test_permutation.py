"""Permutation tests: brute force, conventions, limits of the effects not rejected, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import metaan
from metaan.core.resample import (
    TIE,
    distinct_orders,
    every_order,
    every_sign,
    exact_limits,
    random_orders,
    random_signs,
)
from metaan.errors import DataError, InputError, OptionError

Y, V = [0.1, 0.3, 0.2, 1.1, 0.4, 0.5], [0.01, 0.02, 0.02, 0.01, 0.03, 0.02]
ROWS = pd.DataFrame({"y": Y, "v": V, "x": [1.0, 2.0, 2.0, 5.0, 3.0, 8.0], "group": list("aabbab")})
EFFECTS = metaan.effects("y", "v", data=ROWS)


@pytest.mark.parametrize(
    ("method", "test"),
    [
        *itertools.product(["REML", "DL", "PM", "CE", "HE", "HSk", "SJ"], ["z", "t", "hk", "hk-adhoc"]),
        ("GENQ", "z"),
        ("GENQ", "t"),
    ],
)
def test_signs_by_brute_force(method, test):
    options = {"weights": [1, 2, 3, 4, 5, 6]} if method == "GENQ" else {}
    res = metaan.pool(EFFECTS, method=method, test=test, **options)
    found = metaan.permutation_test(res)
    each = [
        metaan.pool(metaan.effects(np.array(Y) * s, V), method=method, test=test, **options).statistic
        for s in itertools.product([1, -1], repeat=6)
    ]
    assert found.exact
    assert found.permutations == 64
    assert found.pvalue[0] == np.mean(np.abs(each) >= abs(res.statistic) - TIE)
    np.testing.assert_allclose(np.sort(found.statistics[:, 0]), np.sort(each), rtol=1e-9, atol=1e-12)
    assert found.statistic[0] == pytest.approx(res.statistic, rel=1e-12)


@pytest.mark.parametrize("formula", ["~ x", "~ x + group", "~ 0 + group"])
def test_orders_by_brute_force(formula):
    fit = metaan.regress(EFFECTS, formula, test="hk")
    found = metaan.permutation_test(fit, exact=True)
    every = fit.permuted(np.array(list(itertools.permutations(range(6)))))
    np.testing.assert_array_equal(found.pvalue, (np.abs(every.statistic) >= np.abs(fit.statistic) - TIE).mean(axis=0))
    assert found.QM_pvalue == (every.QM >= fit.QM - TIE).mean()
    assert found.permutations == {"~ x": 360, "~ x + group": 720, "~ 0 + group": 20}[formula]
    assert found.seed is None
    np.testing.assert_array_equal(found.pvalue_low, found.pvalue)
    np.testing.assert_array_equal(found.mc_error, 0)


def test_random_permutations_count_the_observed_one():
    res = metaan.pool(EFFECTS, test="z")
    found = metaan.permutation_test(res, n=400, exact=False, seed=7)
    hits = int((np.abs(found.statistics[:, 0]) >= abs(res.statistic) - TIE).sum())
    p = (1 + hits) / 401
    assert found.pvalue[0] == p
    assert found.mc_error[0] == pytest.approx(math.sqrt(p * (1 - p) / 400), rel=1e-12)
    ci = binomtest(hits, 400).proportion_ci(0.95, "exact")
    assert (found.pvalue_low[0], found.pvalue_high[0]) == pytest.approx((ci.low, ci.high), rel=1e-9)
    assert found.pvalue_low[0] < metaan.permutation_test(res).pvalue[0] < found.pvalue_high[0]
    again = metaan.permutation_test(res, n=400, exact=False, seed=7)
    np.testing.assert_array_equal(again.statistics, found.statistics)
    assert not np.array_equal(metaan.permutation_test(res, n=400, exact=False).statistics, found.statistics)


def test_random_orders_agree_with_all_of_them():
    fit = metaan.regress(EFFECTS, "~ x + group", test="z")
    exact, random = metaan.permutation_test(fit), metaan.permutation_test(fit, n=20_000, exact=False)
    assert exact.exact
    np.testing.assert_allclose(random.pvalue, exact.pvalue, atol=4 * random.mc_error.max())
    assert random.QM_pvalue == pytest.approx(exact.QM_pvalue, abs=4 * random.QM_mc_error)


def test_intercept_alone_is_a_pooled_effect():
    fit, res = metaan.regress(EFFECTS, "~ 1", test="t"), metaan.pool(EFFECTS, test="t")
    one, other = (metaan.permutation_test(r, interval=True) for r in (fit, res))
    assert (one.pvalue[0], one.names) == (other.pvalue[0], other.names)
    assert (one.ci_low, one.ci_high) == pytest.approx((other.ci_low, other.ci_high), abs=1e-8)


@pytest.mark.parametrize("exact", [True, False])
def test_limits_are_where_the_one_sided_test_turns(exact):
    rng = np.random.default_rng(5)
    y, v = rng.normal(0.4, 0.4, 9), rng.uniform(0.02, 0.1, 9)
    res = metaan.pool(metaan.effects(y, v), method="DL", test="z")
    found = metaan.permutation_test(res, n=300, exact=exact, interval=True)
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=9))).T if exact else None
    for limit, side in ((found.ci_low, 1), (found.ci_high, -1)):
        assert side * (res.estimate - limit) > 0
        shares = []
        for theta in (limit - 1e-6 * side, limit + 1e-6 * side):
            draws = random_signs(9, 300, np.random.default_rng(1)) if signs is None else signs
            each = (
                side
                * metaan.pool_many(
                    draws.T * (y - theta), np.tile(v, (draws.shape[1], 1)), method="DL", test="z"
                ).statistic
            )
            own = side * metaan.pool(metaan.effects(y - theta, v), method="DL", test="z").statistic
            hits = int((each >= own - TIE).sum())
            shares.append(hits / 512 if exact else (1 + hits) / 301)
        assert shares[0] <= 0.025 < shares[1]


def test_too_few_permutations_leave_the_interval_open():
    res = metaan.pool(metaan.effects(Y[:4], V[:4]))
    found = metaan.permutation_test(res, interval=True)
    assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
    assert {"open", "few-permutations"} <= {note.code for note in found.notes}
    assert found.pvalue[0] >= 2 / 16


def test_rates_say_what_zero_means_and_turn_back():
    eff = metaan.effect_size("PLO", events=[8, 12, 9, 20, 16, 11], total=[20, 30, 11, 25, 22, 19])
    found = metaan.permutation_test(metaan.pool(eff), interval=True)
    assert "rate of 0.5" in str(found)
    shown = found.back()
    assert shown.ci_low == pytest.approx(1 / (1 + math.exp(-found.ci_low)))
    assert shown.back() is shown
    assert metaan.permutation_test(metaan.pool(eff).back()).pvalue[0] == found.pvalue[0]


def test_effects_that_are_all_alike():
    found = metaan.permutation_test(metaan.pool(metaan.effects([0.2] * 6, [0.01] * 6), test="hk"), interval=True)
    assert found.pvalue[0] == 2 / 64
    assert found.ci_low == found.ci_high == pytest.approx(0.2)
    with pytest.raises(DataError, match="All effects are 0"):
        metaan.permutation_test(metaan.pool(metaan.effects([0.0] * 4, [0.01] * 4), test="hk"))
    one = metaan.permutation_test(metaan.pool(metaan.effects([0.3], [0.01])))
    assert (one.pvalue[0], one.permutations) == (1.0, 2)


def test_what_is_refused():
    res, fit = metaan.pool(EFFECTS), metaan.regress(EFFECTS, "~ x")
    counts = {"events": [1, 4, 3], "total": [10, 12, 14]}
    for one in (metaan.glmm("PLO", **counts), metaan.beta_binomial(**counts)):
        with pytest.raises(OptionError, match="signs of effects, which counts do not have"):
            metaan.permutation_test(one)
    with pytest.raises(OptionError, match="other degrees of freedom"):
        metaan.permutation_test(metaan.pool(EFFECTS, test="kr"))
    with pytest.raises(OptionError, match="test='kr'"):
        metaan.permutation_test(metaan.regress(EFFECTS, "~ x", test="kr"))
    with pytest.raises(OptionError, match="multilevel"):
        metaan.permutation_test(metaan.multilevel(EFFECTS, "group/estimate"))
    with pytest.raises(OptionError, match="multilevel"):
        metaan.permutation_test(metaan.multilevel(EFFECTS, "group/estimate", formula="~ x"))
    with pytest.raises(OptionError, match="robust"):
        metaan.permutation_test(metaan.robust(res, [1, 1, 2, 3, 4, 5]))
    with pytest.raises(OptionError, match="limits of the regression"):
        metaan.permutation_test(fit, interval=True)
    with pytest.raises(OptionError, match="2,000,000 are the most"):
        metaan.permutation_test(metaan.pool(metaan.effects(np.ones(40), np.ones(40))), exact=True)
    with pytest.raises(InputError, match="not DataFrame"):
        metaan.permutation_test(ROWS)
    for bad in ({"n": 0}, {"n": 2.5}, {"seed": -1}, {"n": True}):
        with pytest.raises(InputError, match="whole number"):
            metaan.permutation_test(res, **bad)
    with pytest.raises(OptionError, match="True, False or None"):
        metaan.permutation_test(res, exact="yes")


def test_the_record():
    found = metaan.permutation_test(metaan.regress(EFFECTS, "~ x + group"), n=50, exact=False)
    text = str(found)
    assert len(text.splitlines()) <= 20
    for word in ("6 studies", "50 random", "seed 1", "REML", "Monte Carlo error", "QM"):
        assert word in text
    frame = found.to_frame()
    assert list(frame["term"]) == ["Intercept", "x", "group[T.b]"]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["permutations"] == 50
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert not other.statistics.flags.writeable
        np.testing.assert_array_equal(other.statistics, found.statistics)
    assert "<pre>" in found._repr_html_()


def test_signs_and_orders():
    assert every_sign(3).T.tolist() == [[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]]
    codes = np.array([0, 1, 0, 2, 1])
    orders = every_order(codes)
    assert len(orders) == distinct_orders(codes) == 30
    assert len({tuple(row) for row in codes[orders]}) == 30
    assert (np.sort(codes[orders], axis=1) == np.sort(codes)).all()
    rng = np.random.default_rng(1)
    assert (np.sort(random_orders(7, 50, rng), axis=1) == np.arange(7)).all()
    assert set(np.unique(random_signs(5, 20, rng))) == {-1.0, 1.0}


@pytest.mark.parametrize("hits", [0, 1, 7, 20])
def test_clopper_pearson(hits):
    low, high = exact_limits(np.array([hits]), 20, 0.9)
    ci = binomtest(hits, 20).proportion_ci(0.9, "exact")
    assert (low[0], high[0]) == pytest.approx((ci.low, ci.high), rel=1e-9)
