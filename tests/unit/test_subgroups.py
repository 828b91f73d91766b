"""Subgroups: each fit, the test between them and the contrasts written out anew; cautions; refusals."""

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, f, norm, t
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway

import metaan
from metaan.errors import DataError, InputError, OptionError

RATES = pd.DataFrame(
    {
        "trial": [f"t{i}" for i in range(13)],
        "drug": list("aaaaabbbbcccc"),
        "events": [3, 9, 8, 4, 12, 14, 22, 9, 18, 1, 4, 2, 5],
        "total": [20, 30, 25, 31, 40, 25, 40, 21, 30, 22, 19, 31, 40],
    }
)
PLO = metaan.effect_size("PLO", RATES, events="events", total="total", study="trial")
Y, V, DRUG = PLO.yi, PLO.vi, RATES["drug"].to_numpy()


def codes(res):
    return [note.code for note in res.notes]


def part(eff, mask):
    return metaan.effects(eff.yi[mask], eff.vi[mask], measure=eff.measure)


def as_measure(measure):
    return metaan.effects(Y, V, measure=measure, data=RATES)


@pytest.mark.parametrize(
    ("method", "test"), [("REML", "hk"), ("DL", "z"), ("PM", "t"), ("ML", "hk-adhoc"), ("CE", "z")]
)
def test_separate_tau2_is_the_pool_of_each_subset(method, test):
    sub = metaan.subgroups(PLO, "drug", method=method, test=test, level=0.9, pi="hts")
    assert list(sub.groups) == ["a", "b", "c"]
    rows = sub.to_frame().set_index("group")
    for name in "abc":
        alone = metaan.pool(part(PLO, name == DRUG), method=method, test=test, level=0.9, pi="hts")
        pd.testing.assert_series_equal(rows.loc[name], alone.to_frame().loc[0], check_names=False, rtol=1e-12)
    whole = metaan.pool(PLO, method=method, test=test, level=0.9, pi="hts")
    assert sub.overall.to_dict() == whole.to_dict()


@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc"])
def test_the_test_between_subgroups_by_hand(test):
    sub = metaan.subgroups(PLO, "drug", test=test)
    mu, se = np.array([(g.estimate, g.se) for g in sub.groups.values()]).T
    w = 1 / se**2
    q = w @ (mu - w @ mu / w.sum()) ** 2
    expected = (q, 2, math.inf, chi2.sf(q, 2))
    if test != "z":  # Welch 1951 for three groups of 5, 4 and 4
        spread = ((1 - w / w.sum()) ** 2 / [4, 3, 3]).sum()
        value = q / 2 / (1 + spread / 4)
        expected = (value, 2, 8 / (3 * spread), f.sf(value, 2, 8 / (3 * spread)))
    assert (sub.Q_between, sub.Q_df, sub.Q_df2, sub.Q_pvalue) == pytest.approx(expected, rel=1e-9)


def test_with_equal_variances_it_is_welchs_analysis_of_variance():
    sub = metaan.subgroups(metaan.effects(Y, np.full(13, 0.2)), DRUG, method="DL")
    peer = anova_oneway(Y, DRUG, use_var="unequal")
    found = (sub.Q_between, sub.Q_df, sub.Q_df2, sub.Q_pvalue)
    assert found == pytest.approx((peer.statistic, *peer.df, peer.pvalue), rel=1e-9)


@pytest.mark.parametrize("test", ["z", "hk", "t"])
def test_common_tau2_is_the_regression_on_the_subgroups(test):
    sub, fit = metaan.subgroups(PLO, "drug", tau2="common", test=test), metaan.regress(PLO, "~ 0 + drug", test=test)
    for name in ("estimate", "se", "ci_low", "ci_high", "df", "pvalue"):
        np.testing.assert_allclose([getattr(g, name) for g in sub.groups.values()], getattr(fit, name), rtol=1e-9)
    np.testing.assert_allclose([g.pi_low for g in sub.groups.values()], fit.predict().loc[["t0", "t5", "t9"], "pi_low"])
    assert {g.tau2 for g in sub.groups.values()} == {fit.tau2}
    gap = np.array([[-1, 1, 0], [-1, 0, 1]])
    wald = gap @ fit.estimate @ np.linalg.inv(gap @ fit.cov @ gap.T) @ gap @ fit.estimate
    expected = (wald, chi2.sf(wald, 2)) if test == "z" else (wald / 2, f.sf(wald / 2, 2, 10))
    assert (sub.Q_between, sub.Q_pvalue) == pytest.approx(expected, rel=1e-8)
    assert sub.contrasts().table["pvalue"][0] == pytest.approx(fit.contrast([1, -1, 0])["pvalue"][0], rel=1e-8)


@pytest.mark.parametrize("test", ["z", "hk"])
@pytest.mark.parametrize("tau2", ["separate", "common"])
def test_two_subgroups_one_contrast(tau2, test):
    sub = metaan.subgroups(part(PLO, DRUG != "c"), DRUG[DRUG != "c"], tau2=tau2, test=test)
    row = sub.contrasts().table.iloc[0]
    assert (row["statistic"] ** 2, row["pvalue"]) == pytest.approx((sub.Q_between, sub.Q_pvalue), rel=1e-9)
    assert row["pvalue_adjusted"] == row["pvalue"]


def test_rates_have_mover_limits():
    sub = metaan.subgroups(PLO, "drug")
    rates = {name: (b.estimate, b.ci_low, b.ci_high) for name, g in sub.groups.items() for b in [g.back()]}
    for row in sub.contrasts().table.to_dict("records"):
        (p, low, high), (q, under, over) = rates[row["group_a"]], rates[row["group_b"]]
        gap = p - q, p - q - math.hypot(p - low, over - q), p - q + math.hypot(high - p, q - under)
        assert (row["difference"], row["difference_low"], row["difference_high"]) == pytest.approx(gap, rel=1e-12)
        # Donner & Zou 2012, independent estimates
        below, above = over * (2 * q - over), under * (2 * q - under)
        least = (p * q - math.sqrt((p * q) ** 2 - low * (2 * p - low) * below)) / below
        most = (p * q + math.sqrt((p * q) ** 2 - high * (2 * p - high) * above)) / above
        ratio = row["ratio"], row["ratio_low"], row["ratio_high"]
        assert ratio == pytest.approx((p / q, least, most), rel=1e-10)
        # the limits are where the difference p - ratio q, with its own MOVER limits, touches 0
        assert p - least * q == pytest.approx(math.hypot(p - low, least * (over - q)), rel=1e-9)
        assert most * q - p == pytest.approx(math.hypot(high - p, most * (q - under)), rel=1e-9)


@pytest.mark.parametrize(
    ("x", "n"), [([1, 2, 1, 19, 18, 19], 20), ([1, 2, 1, 1, 1, 2], 9), ([8, 8, 7, 8, 7, 8], 9), ([0, 0, 1, 9, 9, 8], 9)]
)
def test_limits_of_rates_stay_within_what_is_possible(x, n):
    eff = metaan.effect_size("PLO", events=x, total=[n] * 6, correction="only0")
    for sub in (metaan.subgroups(eff, list("aaabbb")), metaan.subgroups(eff, list("aaabbb"), model="glmm")):
        row = sub.contrasts().table.iloc[0]
        assert -1 < row["difference_low"] < row["difference"] < row["difference_high"] < 1
        assert 0 < row["ratio_low"] < row["ratio"] < row["ratio_high"] < math.inf


def test_ratio_measures_have_ratios_of_ratios():
    sub = metaan.subgroups(as_measure("OR"), "drug", test="z", level=0.9)
    a, c = sub.groups["a"], sub.groups["c"]
    row = sub.contrasts().table.set_index(["group_a", "group_b"]).loc[("a", "c")]
    se = math.hypot(a.se, c.se)
    limits = np.exp(a.estimate - c.estimate + norm.ppf([0.5, 0.05, 0.95]) * se)
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(limits), rel=1e-9)
    assert row["pvalue"] == pytest.approx(2 * norm.sf(abs(a.estimate - c.estimate) / se), rel=1e-9)
    assert math.isnan(row["difference"])


def test_differences_have_welchs_degrees_of_freedom():
    sub = metaan.subgroups(as_measure("MD"), "drug")
    a, b = sub.groups["a"], sub.groups["b"]
    row = sub.contrasts().table.iloc[0]
    df = (a.se**2 + b.se**2) ** 2 / (a.se**4 / 4 + b.se**4 / 3)
    gap, half = a.estimate - b.estimate, t.ppf(0.975, df) * math.hypot(a.se, b.se)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((gap - half, gap + half), rel=1e-9)
    assert (row["df"], row["pvalue"]) == pytest.approx((df, 2 * t.sf(abs(row["statistic"]), df)), rel=1e-9)
    assert math.isnan(row["ratio"])


@pytest.mark.parametrize(
    "adjust", ["holm", "bonferroni", "sidak", "holm-sidak", "simes-hochberg", "hommel", "fdr_bh", "fdr_by", "none"]
)
def test_adjustment_is_that_of_statsmodels(adjust):
    table = metaan.subgroups(PLO, "drug", test="z").contrasts(adjust=adjust).table
    expected = table["pvalue"] if adjust == "none" else multipletests(table["pvalue"], method=adjust)[1]
    np.testing.assert_array_equal(table["pvalue_adjusted"], expected)
    assert table[["group_a", "group_b"]].to_numpy().tolist() == list(map(list, itertools.combinations("abc", 2)))


def test_contrasts_with_one_reference():
    sub = metaan.subgroups(PLO, "drug")
    against, pairs = sub.contrasts(reference="b", adjust="none"), sub.contrasts(adjust="none")
    assert against.table[["group_a", "group_b"]].to_numpy().tolist() == [["a", "b"], ["c", "b"]]
    assert against.table.loc[0, "pvalue"] == pairs.table.loc[0, "pvalue"]
    assert against.table.loc[1, "difference_low"] == pytest.approx(-pairs.table.loc[2, "difference_high"], rel=1e-12)
    assert "2 comparisons" in str(against)
    with pytest.raises(InputError, match="Subgroups: a, b, c"):
        sub.contrasts(reference="d")
    with pytest.raises(OptionError, match="holm, bonferroni, sidak"):
        sub.contrasts(adjust="tukey")


def test_contrasts_are_of_the_analysis_scale():
    for measure in ("OR", "PLO", "MD"):
        with pytest.raises(InputError, match="before back"):
            metaan.subgroups(as_measure(measure), "drug").back().contrasts()


@pytest.mark.parametrize("measure", ["PLO", "PR", "IRLN", "MN", "OR", "MD", "HR"])
def test_single_arms_carry_a_caution(measure):
    sub = metaan.subgroups(metaan.effects(np.abs(Y) / 4, V / 99, measure=measure), DRUG)
    cautioned = measure in ("PLO", "PR", "IRLN", "MN")
    for res in (sub, sub.contrasts(), sub.contrasts(reference="a")):
        assert ("not-randomised" in codes(res)) == cautioned
        assert ("not randomised against one another" in str(res)) == cautioned


def test_exact_likelihood_of_each_subset():
    sub = metaan.subgroups(PLO, "drug", model="glmm", test="z")
    for name in "abc":
        rows = RATES[name == DRUG]
        alone = metaan.glmm("PLO", rows, events="events", total="total", study="trial", test="z")
        assert sub.groups[name].to_dict() == alone.to_dict()
    assert sub.overall.loglik == metaan.glmm("PLO", RATES, events="events", total="total").loglik
    for options in ({"tau2": "common"}, {"method": "REML"}, {"test": "hk"}, {"pi": "kr"}):
        with pytest.raises(OptionError):
            metaan.subgroups(PLO, "drug", model="glmm", **options)
    for eff in (as_measure("PLO"), metaan.effect_size("PAS", RATES, events="events", total="total")):
        with pytest.raises(OptionError, match="made by effect_size"):
            metaan.subgroups(eff, "drug", model="glmm")


def test_a_subgroup_without_events_is_not_in_the_test():
    eff = metaan.effect_size("PLO", events=[0, 0, 3, 4, 6, 9], total=[9, 12] * 3, correction="only0")
    sub = metaan.subgroups(eff, list("aabbcc"), model="glmm", test="z")
    assert [note.studies for note in sub.notes if note.code == "not-in-test"] == [("a",)]
    b, c = sub.groups["b"], sub.groups["c"]
    z2 = (b.estimate - c.estimate) ** 2 / (b.se**2 + c.se**2)
    assert (sub.Q_between, sub.Q_df, sub.Q_pvalue) == pytest.approx((z2, 1, chi2.sf(z2, 1)))
    table = sub.contrasts().table
    assert table["pvalue"].isna().tolist() == [True, True, False]
    assert (table["difference_high"] < 1).all()
    none = metaan.subgroups(eff, list("aabbbb"), model="glmm")
    assert math.isnan(none.Q_pvalue)
    assert "no test" in str(none)


def test_a_subgroup_of_one_study_borrows_the_common_tau2():
    by = np.array(list("aaaaaaabbbbbc"))
    sub = metaan.subgroups(PLO, by, method="DL")
    common = metaan.subgroups(PLO, by, method="DL", tau2="common").regression.tau2
    only = sub.groups["c"]
    assert (only.tau2, only.se) == pytest.approx((common, math.sqrt(V[-1] + common)), rel=1e-10)
    assert only.tau2 > 0
    (note,) = [note for note in sub.notes if note.code == "single-study-group"]
    assert note.studies == ("c",)
    assert f"{common:.4g}" in note.text
    assert sub.groups["a"].tau2 == metaan.pool(part(PLO, by == "a"), method="DL").tau2


def test_subgroups_of_one_study_alone_have_no_spread():
    sub = metaan.subgroups(metaan.effects([0.1, 0.7], [0.04, 0.09]), ["a", "b"])
    assert (sub.groups["a"].tau2, sub.groups["b"].se) == pytest.approx((0, 0.3))
    assert "0 is used for 'a', 'b'" in str(sub)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tau2": "shared"}, "Choose one of separate, common"), ({"model": "bb"}, "Choose one of normal, glmm"),
        ({"method": "reml"}, "Did you mean 'REML'"), ({"test": "wald"}, "Choose one of z, t, hk"),
        ({"pi": "predict"}, "Choose one of t, hts"), ({"level": 95}, "level=0.95"), ({"pi": "bootstrap"}, "bootstrap"),
        ({"method": "GENQ"}, "GENQ"), ({"method": "DL", "test": "kr"}, "REML"),
    ],
)  # fmt: skip
def test_options(options, what):
    with pytest.raises(OptionError, match=what):
        metaan.subgroups(PLO, "drug", **options)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_missing_labels_are_named(missing):
    with pytest.raises(DataError, match="missing: study 't1'"):
        metaan.subgroups(PLO, ["a", missing, *DRUG[2:]])


def test_labels_that_make_no_subgroups():
    for eff, by, error, what in (
        (PLO, ["x"] * 13, DataError, "one subgroup, 'x'"), (PLO, ["x", "y"], InputError, "2 labels for 13 studies"),
        (PLO, "dose", InputError, "Columns: trial, drug"), (metaan.effects(Y, V), "drug", InputError, "data="),
        ([0.1], "drug", InputError, "not list"), (PLO, [1, "1", *DRUG[2:]], DataError, "alike"),
    ):  # fmt: skip
        with pytest.raises(error, match=what):
            metaan.subgroups(eff, by)


def test_every_subgroup_has_its_row_whatever_its_name():
    sub = metaan.subgroups(PLO, np.where(DRUG == "a", "all", "all studies"))
    assert sub.to_frame()["k"].tolist() == [5, 8, 13]
    assert [f"k {k:>3}" in str(sub) for k in (5, 8, 13)] == [True] * 3


def test_identical_effects_have_an_answer():
    eff = metaan.effects([0.0] * 6, [0.1] * 6)
    for tau2 in ("separate", "common"):
        assert metaan.subgroups(eff, list("aaabbb"), tau2=tau2).groups["b"].estimate == 0


def test_the_record_and_its_text():
    sub = metaan.subgroups(PLO, "drug", method="DL", tau2="common")
    assert len(str(sub).splitlines()) <= 20
    for what in ("3 subgroups of 13 studies by drug, common", "PLO", "DL", "test=hk", "F = ", *map(str, sub.notes)):
        assert what in str(sub)
    flat = json.loads(json.dumps(sub.to_dict(), allow_nan=False))
    assert flat["groups"]["b"]["estimate"] == sub.groups["b"].estimate
    for clone in (pickle.loads(pickle.dumps(sub)), copy.deepcopy(sub)):
        assert clone.to_dict() == sub.to_dict()
    np.testing.assert_allclose(sub.studies().groupby("group")["weight"].sum(), 100)
    many = metaan.subgroups(PLO, [f"group {i}" for i in range(12)] + ["group 0"])
    assert len(str(many).splitlines()) <= 20
    assert "more subgroups" in str(many)
