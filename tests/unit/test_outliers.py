"""Outliers: p-values, rules, and the result without the flagged studies."""

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm, t
from statsmodels.stats.multitest import multipletests

import metaan
from metaan.errors import InputError, OptionError
from metaan.models.design import take
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.1, 0.12, 0.08, 0.15, 1.9, 0.11, 0.3]), np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.05, 0.04])
ROWS = pd.DataFrame({"x": [1, 4, 2, 5, 3, 3, 6], "s": list("aabbccd")})
EFF = metaan.effects(Y, V, data=ROWS)
X, N = [0, 3, 1, 4, 2, 3, 25, 7], [20, 44, 28, 30, 51, 30, 40, 40]
TABLES = {
    "events_t": [3, 2, 30, 5, 4], "total_t": [20, 30, 45, 40, 30], "events_c": [1, 5, 2, 3, 6],
    "total_c": [22, 28, 44, 45, 31],
}  # fmt: skip


def codes(table):
    return [note.code for note in table.attrs["notes"]]


def test_normal_and_t():
    for test, law in (("z", norm), ("hk", t(5)), ("t", t(5)), ("kr", t(metaan.pool(EFF, test="kr").df - 1))):
        table = metaan.outliers(metaan.pool(EFF, test=test))
        np.testing.assert_allclose(table.pvalue, 2 * law.sf(table.rstudent.abs()), rtol=1e-9)
    table = metaan.outliers(metaan.regress(EFF, "~ x"))
    np.testing.assert_allclose(table.pvalue, 2 * t(4).sf(table.rstudent.abs()), rtol=1e-9)


def test_adjusted_for_the_number_of_studies():
    table = metaan.outliers(metaan.pool(EFF, test="z"))
    for name, method in (("p_holm", "holm"), ("p_bonferroni", "bonferroni")):
        np.testing.assert_allclose(table[name], multipletests(table.pvalue, method=method)[1])
    rows = ROWS.assign(g=list("aabbbbc"))
    table = metaan.outliers(metaan.regress(metaan.effects(Y, V, data=rows), "~ g", test="z"))
    known = table.pvalue.notna()
    assert list(~known) == [False] * 6 + [True]
    np.testing.assert_allclose(table.p_holm[known], multipletests(table.pvalue[known], method="holm")[1])
    assert table.p_holm.isna()[6]


def test_the_rules():
    res = metaan.pool(EFF, method="PM", test="z")
    table = metaan.outliers(res)
    half = norm.ppf(0.975) * np.sqrt(V)
    outside = (res.pi_low > Y) | (res.pi_high < Y)
    apart = (Y + half < res.ci_low) | (Y - half > res.ci_high)
    assert list(table.outside_pi) == list(outside)
    assert list(table.apart) == list(apart)
    expected = {
        "holm": table.p_holm < 0.05, "bonferroni": table.p_bonferroni < 0.05, "unadjusted": table.pvalue < 0.05,
        "pi": outside, "ci": apart,
    }  # fmt: skip
    for rule, flag in expected.items():
        made = metaan.outliers(res, rule=rule)
        assert list(made.outlier) == list(flag)
        assert codes(made)[0] == "rule"
    assert list(metaan.outliers(metaan.pool(EFF, test="z", level=0.999), rule="pi").outlier).count(True) == 0


def test_with_moderators_about_the_expected_effect():
    fit = metaan.regress(EFF, "~ x", pi="z", test="z")
    at = fit.predict()
    table = metaan.outliers(fit)
    half = norm.ppf(0.975) * np.sqrt(V)
    assert list(table.outside_pi) == list((at.pi_low.to_numpy() > Y) | (at.pi_high.to_numpy() < Y))
    assert list(table.apart) == list((Y + half < at.ci_low.to_numpy()) | (Y - half > at.ci_high.to_numpy()))


def test_p_values_are_uniform_under_a_scaled_common_effect():
    """Exact for Hartung-Knapp where tau2 is known: v is known up to a factor."""
    rng = np.random.default_rng(11)
    v = np.array([0.02, 0.05, 0.1, 0.04, 0.3])
    p = [
        metaan.outliers(metaan.pool(metaan.effects(rng.normal(0, np.sqrt(3 * v)), v), method="CE", test="hk")).pvalue[i]
        for i in rng.integers(0, 5, 300)
    ]
    assert kstest(p, "uniform").pvalue > 0.01


KEEP = np.arange(7) != 4
MODELS = {
    "pool": (
        lambda: metaan.pool(EFF, method="DL", test="z"),
        lambda: metaan.pool(take(EFF, KEEP), method="DL", test="z"),
    ),
    "weights": (
        lambda: metaan.pool(EFF, method="GENQ", test="z", weights=np.arange(1.0, 8)),
        lambda: metaan.pool(take(EFF, KEEP), method="GENQ", test="z", weights=np.arange(1.0, 8)[KEEP]),
    ),
    "regress": (lambda: metaan.regress(EFF, "~ x"), lambda: metaan.regress(take(EFF, KEEP), "~ x")),
    "multilevel": (
        lambda: metaan.multilevel(EFF, "s/estimate", test="z"),
        lambda: metaan.multilevel(take(EFF, KEEP), "s/estimate", test="z"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_without_the_flagged_studies(name):
    res, without = (make() for make in MODELS[name])
    table = metaan.outliers(res)
    assert list(table.outlier) == list(~KEEP)
    made = table.attrs["without"]
    assert type(made) is type(res)
    assert made.spec == res.spec
    np.testing.assert_allclose(made.estimate, without.estimate)
    np.testing.assert_allclose(made.se, without.se)
    assert "left-out" in codes(table)


def less(columns, gone):
    return {name: np.array(value)[~gone] for name, value in columns.items()}


COUNTS = {
    "glmm": (lambda **c: metaan.glmm("PLO", **c), {"events": X, "total": N}, 6),
    "probit": (lambda **c: metaan.glmm("PLO", link="probit", **c), {"events": X, "total": N}, 6),
    "log": (lambda **c: metaan.glmm("PLN", test="z", ci="profile", **c), {"events": X, "total": N}, 6),
    "beta_binomial": (lambda **c: metaan.beta_binomial(ci="profile", **c), {"events": X, "total": N}, 6),
    "two arms": (lambda **c: metaan.glmm("OR", model="CM.AL", **c), TABLES, 2),
    "mantel_haenszel": (lambda **c: metaan.mantel_haenszel("OR", continuity=False, **c), TABLES, 2),
    "peto": (lambda **c: metaan.peto(**c), TABLES, 2),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_without_the_flagged_studies(name):
    fit, columns, i = COUNTS[name]
    res = fit(**columns).back()
    table = metaan.outliers(res, rule="unadjusted")
    assert table.outlier[i]
    made, without = table.attrs["without"], fit(**less(columns, table.outlier.to_numpy())).back()
    assert type(made) is type(res)
    assert made.spec == without.spec
    assert made.scale == "display"
    assert made.estimate == pytest.approx(without.estimate)
    assert (made.ci_low, made.ci_high) == pytest.approx((without.ci_low, without.ci_high))


@pytest.mark.parametrize("fit", [metaan.glmm, metaan.beta_binomial])
def test_effective_counts(fit):
    """Counts over a design effect are no whole numbers: the rows behind them say so to the refit."""
    rows = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    rows = metaan.design_effect(rows, icc=0.3, cluster_size="median")
    few = lambda data: fit(*(("PLO",) if fit is metaan.glmm else ()), data, events="events", total="total", level=0.6)  # noqa: E731
    table = metaan.outliers(few(rows), rule="ci")
    assert table.outlier.any()
    without = few(rows[~table.outlier.to_numpy()])
    assert table.attrs["without"].estimate == pytest.approx(without.estimate)


def test_nothing_flagged():
    table = metaan.outliers(metaan.pool(metaan.effects([0.1, 0.2, 0.15, 0.3], [0.02, 0.03, 0.02, 0.04])))
    assert not table.outlier.any()
    assert table.attrs["without"] is None
    assert "left-out" not in codes(table)


def test_nothing_left():
    rows = pd.DataFrame({"g": list("aaab")})
    eff = metaan.effects([0.1, 0.12, 3.0, 0.5], [0.01, 0.01, 0.01, 0.01], data=rows)
    assert (
        metaan.outliers(metaan.regress(eff, "~ g", method="CE", test="z"), rule="unadjusted").attrs["without"] is None
    )
    far = {"events_t": [1, 38], "total_t": [40, 40], "events_c": [38, 1], "total_c": [40, 40]}
    table = metaan.outliers(metaan.mantel_haenszel("OR", **far))
    assert table.outlier.all()
    assert table.attrs["without"] is None
    assert "no-refit" in codes(table)


def test_no_degrees_of_freedom():
    table = metaan.outliers(metaan.pool(metaan.effects([0.3, 0.9], [0.1, 0.2]), test="hk"))
    assert table.pvalue.isna().all()
    assert "no-df" in codes(table)
    assert not table.outlier.any()


def test_no_prediction_interval():
    res = metaan.pool(EFF, method="CE", test="z")
    assert "no-pi" in codes(metaan.outliers(res))
    with pytest.raises(OptionError, match="prediction interval"):
        metaan.outliers(res, rule="pi")


def test_what_is_refused():
    with pytest.raises(OptionError, match="Did you mean 'bonferroni'"):
        metaan.outliers(metaan.pool(EFF), rule="bonferoni")
    with pytest.raises(InputError, match="two studies"):
        metaan.outliers(metaan.pool(metaan.effects([0.3], [0.1])))


def test_the_table_can_be_copied():
    table = metaan.outliers(metaan.pool(EFF, method="DL", test="z"))
    for other in (copy.deepcopy(table), pickle.loads(pickle.dumps(table)), table[["study", "outlier"]]):
        assert math.isclose(other.attrs["without"].estimate, table.attrs["without"].estimate)
    assert set(table.columns) <= set(COLUMNS)
    assert len(pd.concat([table, table])) == 14
