"""pool_many equals pool and glmm one set at a time."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

METHODS = ["CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM", "GENQ", "DLIT", "SJIT"]


def made(n=24, k=9, seed=1):
    """Sets of 0 to k studies at scattered places."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.4, (n, k))
    y = rng.normal(0.3, np.sqrt(v + rng.choice([0, 0.1], (n, 1))))
    for i in range(n):
        gone = rng.permutation(k)[: i % (k + 1)]
        y[i, gone] = v[i, gone] = np.nan
    y[1] = np.where(np.isnan(y[1]), np.nan, 0.25)
    return y, v


def made_counts(n=30, k=8, seed=2):
    rng = np.random.default_rng(seed)
    total = rng.integers(5, 60, (n, k)).astype(float)
    x = rng.binomial(total.astype(int), 1 / (1 + np.exp(2 - rng.normal(size=(n, k))))).astype(float)
    x[0], x[1], x[2] = 0, total[1], np.where(rng.random(k) < 0.5, 0, total[2])
    for i in range(3, n):
        gone = rng.permutation(k)[: i % (k + 1)]
        x[i, gone] = total[i, gone] = np.nan if i % 2 else 0
    return x, total


def same(row, res, tolerance, scale=1e-3):
    assert sorted(filter(None, row["notes"].split(","))) == sorted({note.code for note in res.notes})
    assert row["converged"] == res.convergence.converged
    for name in row.index.drop(["converged", "notes"]):
        ours, theirs = float(row[name]), float(getattr(res, name))
        if math.isfinite(theirs):
            assert abs(ours - theirs) <= tolerance * max(scale, abs(theirs)), name
        else:
            assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("test", "pi"), [("z", "t"), ("t", "z"), ("hk", "hts"), ("hk-adhoc", "hk"), ("hk", "none")])
def test_rows_are_pools(method, test, pi):
    y, v = made()
    a = 1 / np.sqrt(v) if method == "GENQ" else None
    table = metaan.pool_many(y, v, method=method, test=test, pi=pi, weights=a, level=0.9)
    for i, row in table.iterrows():
        here = ~np.isnan(y[i])
        if not here.any():
            assert row["notes"] == "no-studies"
            assert row["k"] == 0
            assert math.isnan(row["estimate"])
            continue
        weights = None if a is None else a[i, here]
        eff = metaan.effects(y[i, here], v[i, here])
        same(row, metaan.pool(eff, method=method, test=test, pi=pi, weights=weights, level=0.9), 1e-12)


def test_kenward_roger():
    y, v = made()
    table = metaan.pool_many(y, v, test="kr", pi="kr")
    for i, row in table.iterrows():
        here = ~np.isnan(y[i])
        if here.any():
            try:
                same(row, metaan.pool(metaan.effects(y[i, here], v[i, here]), test="kr", pi="kr"), 1e-12)
            except OptionError:
                assert "no-df" in row["notes"]
                assert math.isnan(row["se"])
    assert table["notes"].str.contains("no-df").any()


@pytest.mark.parametrize(
    ("test", "pi", "ci"), [("t", "t", "wald"), ("z", "hts", "profile"), ("z", "simple", "wald"), ("t", "none", "wald")]
)
def test_rows_are_glmms(test, pi, ci):
    x, n = made_counts()
    table = metaan.pool_many(events=x, total=n, model="glmm", test=test, pi=pi, ci=ci)
    for i, row in table.iterrows():
        here = ~np.isnan(x[i]) & (n[i] > 0)
        if not here.any():
            assert row["notes"] == "no-studies"
            continue
        res = metaan.glmm("PLO", events=x[i, here], total=n[i, here], test=test, pi=pi, ci=ci)
        same(row, res, 1e-8, scale=max(1e-2, res.se if math.isfinite(res.se) else 0))


def test_long_tables():
    x, n = made_counts()
    long = pd.DataFrame({"trial": np.repeat(np.arange(30), 8), "x": x.ravel(), "n": n.ravel()})
    long = long[long.n > 0].assign(where=lambda d: np.where(d.trial % 2, "east", "west"))
    a = metaan.pool_many(events=x, total=n, model="glmm")
    b = metaan.pool_many(data=long, by=["where", "trial"], events="x", total="n", model="glmm")
    assert list(b.columns[:2]) == ["where", "trial"]
    assert list(b.trial) == list(dict.fromkeys(long.trial))
    for trial, row in b.set_index("trial").iterrows():
        pd.testing.assert_series_equal(row.drop("where"), a.loc[trial], check_names=False, rtol=1e-12)
    y, v = made()
    long = pd.DataFrame({"g": np.repeat(np.arange(24), 9), "y": y.ravel(), "v": v.ravel()}).dropna()
    b = metaan.pool_many("y", "v", data=long, by="g").set_index("g")
    a = metaan.pool_many(y, v).loc[b.index]
    pd.testing.assert_frame_equal(a, b, check_names=False, rtol=1e-12)


def test_sizes_far_apart():
    rng = np.random.default_rng(5)
    y = np.full((300, 2000), np.nan)
    y[:, :3] = rng.normal(size=(300, 3))
    y[7] = rng.normal(size=2000)
    v = np.where(np.isnan(y), np.nan, 0.5)
    table = metaan.pool_many(y, v)
    for i in (0, 7, 299):
        here = ~np.isnan(y[i])
        same(table.loc[i], metaan.pool(metaan.effects(y[i, here], v[i, here])), 1e-11)


GOOD = {"yi": [[0.1, 0.2], [0.3, 0.4]], "vi": [[0.1, 0.1], [0.1, 0.1]]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"vi": [[0.1, np.nan], [0.1, 0.1]]}, DataError, "row 0"),
        ({"vi": [[0.1, 0.1], [0.1, 0.0]]}, DataError, "positive: 'row 1'"),
        ({"yi": [[0.1, np.inf], [0.1, 0.1]]}, DataError, "infinite"),
        ({"yi": [[0.1, 1e90], [0.1, 0.1]]}, DataError, "rescale"),
        ({"yi": [0.1, 0.2]}, InputError, "shape"),
        ({"yi": [[0.1], [0.2]]}, InputError, "differ"),
        ({"yi": [["a", "b"], ["c", "d"]]}, InputError, "numbers"),
        ({"yi": np.empty((0, 2)), "vi": np.empty((0, 2))}, InputError, "no rows"),
        ({"vi": None}, OptionError, "needs yi=, vi="),
        ({"events": [[1]]}, OptionError, "does not take events"),
        ({"method": "GENQ"}, OptionError, "weights="),
        ({"method": "remll"}, OptionError, "REML"),
        ({"pi": "bootstrap"}, OptionError, "bootstrap"),
        ({"ci": "profile"}, OptionError, "glmm"),
        ({"level": 95}, OptionError, "0.95"),
        ({"by": "g"}, InputError, "data="),
        ({"data": pd.DataFrame()}, InputError, "by="),
    ],
)
def test_bad_effects(change, error, message):
    with pytest.raises(error, match=message):
        metaan.pool_many(**(GOOD | change))


@pytest.mark.parametrize(
    ("events", "total", "message"),
    [
        ([[1.5, 2]], [[9, 9]], "whole"),
        ([[-1, 2]], [[9, 9]], "negative"),
        ([[10, 2]], [[9, 9]], "exceeds"),
        ([[np.nan, 2]], [[9, 9]], "missing"),
        ([[1, 2]], [[0, 9]], "at least 1"),
        ([[1, 2]], [[9, 6e6]], "5 million"),
    ],
)
def test_bad_counts(events, total, message):
    with pytest.raises(DataError, match=message):
        metaan.pool_many(events=events, total=total, model="glmm")


def test_bad_tables():
    long = pd.DataFrame({"g": ["a", "a", "b"], "y": [0.1, 0.2, np.nan], "v": [0.1, 0.1, 0.1]})
    with pytest.raises(DataError, match="'2'"):
        metaan.pool_many("y", "v", data=long, by="g")
    with pytest.raises(InputError, match="Columns: g, y, v"):
        metaan.pool_many("y", "v", data=long, by="h")
    with pytest.raises(OptionError, match="leave method out"):
        metaan.pool_many(events=[[1]], total=[[2]], model="glmm", method="REML")


def test_simulated_coverage_is_what_theory_says():
    """Equal variances and tau2 = 0: the z interval of the common effect covers at its level."""
    rng = np.random.default_rng(11)
    y = rng.normal(size=(4000, 5))
    table = metaan.pool_many(y, np.ones_like(y), method="CE", test="z")
    covered = ((table.ci_low < 0) & (table.ci_high > 0)).mean()
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize(("method", "test"), list(itertools.product(["REML", "PM"], ["z", "hk"])))
def test_order_of_studies_and_sets_does_not_matter(method, test):
    y, v = made(seed=3)
    a = metaan.pool_many(y, v, method=method, test=test)
    order = np.random.default_rng(0).permutation(len(y))
    b = metaan.pool_many(y[order, ::-1], v[order, ::-1], method=method, test=test)
    pd.testing.assert_frame_equal(a.loc[order].reset_index(drop=True), b, rtol=1e-9, atol=1e-12)
