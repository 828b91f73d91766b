"""Coordinates of the Baujat plot against their definitions; those of metafor are in tests/reference."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import metaan
from metaan.errors import InputError, OptionError
from metaan.models.design import take
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.1, 0.12, 0.08, 0.15, 1.9, 0.11]), np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.05])
EFF = metaan.effects(Y, V, data=pd.DataFrame({"x": [1, 4, 2, 5, 3, 3], "g": list("aabbcc")}))
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


def test_contributions_add_up_to_cochrans_q():
    res = metaan.pool(EFF, method="CE", test="z")
    table = metaan.baujat(res)
    assert table.x.sum() == pytest.approx(res.Q)
    assert table.x.sum() == pytest.approx(metaan.baujat(metaan.regress(EFF, "~ 1", method="CE", test="z")).x.sum())
    assert int(table.x.idxmax()) == 4


@pytest.mark.parametrize("method", ["REML", "DL", "CE", "GENQ"])
@pytest.mark.parametrize("test", ["z", "hk"])
def test_definitions(method, test):
    a = np.array([3.0, 1, 2, 1, 2, 1]) if method == "GENQ" else None
    res = metaan.pool(EFF, method=method, test=test, weights=a)
    table = metaan.baujat(res)
    np.testing.assert_allclose(table.x, (Y - res.estimate) ** 2 / (V + res.tau2))
    for i in range(6):
        keep = np.arange(6) != i
        one = metaan.pool(take(EFF, keep), method=method, test=test, weights=None if a is None else a[keep])
        assert table.y[i] == pytest.approx(((res.estimate - one.estimate) / one.se) ** 2, rel=1e-8)


@pytest.mark.parametrize("test", ["z", "hk"])
def test_a_regression_on_nothing_is_pooling(test):
    one, other = metaan.baujat(metaan.pool(EFF, test=test)), metaan.baujat(metaan.regress(EFF, "~ 1", test=test))
    np.testing.assert_allclose(one[["x", "y"]], other[["x", "y"]], rtol=1e-7)


def test_counts():
    res = metaan.glmm("PLO", events=X, total=N)
    table, without = metaan.baujat(res), metaan.leave_one_out(res)
    np.testing.assert_allclose(table.x, res.residuals().pearson ** 2)
    np.testing.assert_allclose(table.y, ((res.estimate - without.estimate) / without.se) ** 2, rtol=1e-7)
    # the variance of the count by simulation of the fitted model
    rng = np.random.default_rng(3)
    draws = rng.binomial(N[6], expit(rng.normal(res.estimate, res.tau, 400_000)))
    assert table.x[6] == pytest.approx((X[6] - draws.mean()) ** 2 / draws.var(), rel=0.02)


def test_counts_on_the_display_scale_as_on_the_other():
    for res in (metaan.glmm("PLO", events=X, total=N), metaan.beta_binomial(events=X, total=N)):
        assert metaan.baujat(res).equals(metaan.baujat(res.back()))
    res = metaan.pool(metaan.effect_size("PLO", events=X, total=N))
    assert metaan.baujat(res).equals(metaan.baujat(res.back()))


def test_nothing_to_move():
    table = metaan.baujat(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    assert table.y.isna().all()
    assert "no-diagnostics" in [note.code for note in table.attrs["notes"]]


def test_a_study_that_holds_a_coefficient_alone():
    table = metaan.baujat(metaan.regress(take(EFF, np.arange(5)), "~ g", test="z"))
    assert math.isnan(table.y[4])
    assert table.x[4] == pytest.approx(0, abs=1e-12)
    assert [note.studies for note in table.attrs["notes"] if note.code == "undefined"] == [("5",)]


def test_what_is_refused():
    rows = pd.DataFrame({"s": list("aabbcc")})
    with pytest.raises(OptionError, match="influence"):
        metaan.baujat(metaan.multilevel(metaan.effects(Y, V, data=rows), "s/estimate"))
    with pytest.raises(InputError, match="two studies"):
        metaan.baujat(metaan.pool(metaan.effects([0.3], [0.1])))
    with pytest.raises(OptionError, match=r"UM\.FS"):
        metaan.baujat(metaan.glmm("RR", events_t=[3, 2], total_t=[20, 30], events_c=[1, 5], total_c=[22, 28]))
    with pytest.raises(InputError, match="not list"):
        metaan.baujat([1, 2])


def test_columns_are_in_the_vocabulary():
    assert set(metaan.baujat(metaan.pool(EFF)).columns) <= set(COLUMNS)
