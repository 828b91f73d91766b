"""What is asked after a fit, against metafor 3.8-1: every number of followup_grid.json.

Predictions, contrasts, joint tests, variance inflation and heterogeneity intervals of meta-regressions; subgroups; a
pooled fit of 1000 studies; conversions. Pooled fits of two studies are in test_metafor_grid.py. Where the programs
mean different things the docstring of the test says so.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.grid import differs, values
from helpers.grid import followup as grid
from scipy.special import expit, fdtrc, gammaln, stdtrit

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

REL = 1e-9  # relative, or in standard errors; most agree to 1e-12, less where a year stands beside an intercept
EXACT = 1e-12  # relative: formulas
# metafor's likelihood steps end at a tiny tau2 where the maximum is at 0 (README.md): below this in mean variances
ZERO = 1e-13

METHODS = ("CE", "DL", "ML", "REML")
RANDOM = METHODS[1:]
TESTS = ("z", "t", "hk")
REGRESSIONS = list(grid()["regressions"])
FITS = list(itertools.product(REGRESSIONS, METHODS))
RANDOM_FITS = list(itertools.product(REGRESSIONS, RANDOM))
SUBGROUPS = list(grid()["subgroups"])
SUBGROUP_FITS = list(itertools.product(SUBGROUPS, ("DL", "REML"), TESTS))
# pi here: test and pi.type of the same interval in metafor, whose default has the distribution of the test
SAME_PI = {
    "z": ("z",),
    "t": ("t", "z/t"),
    "hts": ("z/riley", "t/riley"),
    "simple": ("z/simple", "hk/simple"),
    "hk": ("hk/riley",),
}


@cache
def fitted(name, *, measure="GEN", **options):
    """Results do not change, so that all tests of one fit share it."""
    cell = grid()["regressions"][name]
    eff = metaan.effects(values(cell["yi"]), values(cell["vi"]), measure=measure, data=pd.DataFrame(cell["data"]))
    return metaan.regress(eff, cell["formula"], **options)


def reference(name, method):
    return grid()["regressions"][name]["methods"][method]


def new_points(name):
    return pd.DataFrame(grid()["regressions"][name]["new"])


def matrix(rows):
    return np.array([values(row) for row in rows])


def zero(eff):
    """A tau2 that counts as 0."""
    return ZERO * float(np.mean(eff.vi))


def close(ours, theirs, *, unit=0.0, floor=0.0, rel=REL):
    """Relative to theirs, or to the unit where the number may be near 0."""
    ours, theirs = np.asarray(ours, dtype=float), values(theirs)
    wrong = ~(np.abs(ours - theirs) <= rel * np.maximum(np.abs(theirs), unit) + floor)
    assert not wrong.any(), (ours[wrong], theirs[wrong])


def close_p(ours, theirs, statistic):
    """P-values move with the square of the statistic."""
    ours, theirs = np.atleast_1d(ours), values(theirs)
    assert (np.abs(ours - theirs) <= 4 * REL * (1 + np.square(statistic)) * theirs).all(), (ours, theirs)


def or_inf(df):
    """Degrees of freedom; metafor has none for the normal distribution."""
    return math.inf if df is None else df


@pytest.mark.parametrize("name", REGRESSIONS)
def test_design(name):
    """Both programs read the formula alike, for the studies and for the new points."""
    cell, fit = grid()["regressions"][name], fitted(name, method="DL")
    np.testing.assert_array_equal(fit.moderators.matrix, matrix(cell["X"]))
    slopes = {term: [i + 1 for i in columns] for term, columns in fit.moderators.terms.items() if term != "1"}
    assert slopes == {term: [int(i) for i in columns] for term, columns in cell["terms"].items()}
    points = fit.predict(new_points(name))["estimate"]
    np.testing.assert_allclose(points, matrix(cell["points"]) @ fit.estimate, rtol=EXACT, atol=1e-13)


@pytest.mark.parametrize(("name", "method"), FITS)
def test_predictions(name, method):
    new, theirs = new_points(name), reference(name, method)
    for test in TESTS:
        fit, expected = fitted(name, method=method, test=test), theirs["predictions"]["tests"][test]
        assert not differs(fit.tau2, theirs["tau2"], rel=REL, floor=zero(fit.effects))
        got, unit = fit.predict(new), values(expected["se"])
        for ours, at in (("estimate", "estimate"), ("se", "se"), ("ci_low", "low"), ("ci_high", "high")):
            close(got[ours], expected[at], unit=unit)
        assert got[["pi_low", "pi_high"]].isna().all(axis=None) == (method == "CE")
    if method != "CE":
        got, expected = fitted(name, method=method, test="hk", level=0.9).predict(new), theirs["predictions"]["hk90"]
        close(got["ci_low"], expected["low"], unit=unit)
        close(got["ci_high"], expected["high"], unit=unit)


@pytest.mark.parametrize(("name", "method"), RANDOM_FITS)
def test_prediction_intervals(name, method):
    """The same whatever the test of the fit; "hk" and "hts" need k - p - 1 > 0 (metafor takes 1 instead of 0)."""
    new, theirs = new_points(name), reference(name, method)["predictions"]["pi"]
    for test, (kind, cases) in itertools.product(TESTS, SAME_PI.items()):
        fit = fitted(name, method=method, test=test)
        got = fit.predict(new, pi=kind)
        if fit.QE_df == 1 and kind in ("hk", "hts"):
            assert got[["pi_low", "pi_high"]].isna().all(axis=None)
            continue
        # the half width of "simple" is proportional to the root of tau2
        floor = 2 * math.sqrt(zero(fit.effects)) if fit.tau2 == 0 else 0.0
        for case in cases:
            low, high = (values(theirs[case][at]) for at in ("low", "high"))
            close(got["pi_low"], low, unit=high - low, floor=floor)
            close(got["pi_high"], high, unit=high - low, floor=floor)


@pytest.mark.parametrize(("name", "method"), RANDOM_FITS)
def test_default_interval_under_knapp_hartung(name, method):
    """With test knha metafor's default takes the Knapp-Hartung variance with k - p degrees of freedom.

    No ``pi`` of metaan does: "hk" has one degree less (Partlett & Riley 2017), "t" the usual variance. It follows
    from the standard error of the prediction.
    """
    fit, theirs = fitted(name, method=method, test="hk"), reference(name, method)["predictions"]["pi"]["hk"]
    got = fit.predict(new_points(name))
    half = stdtrit(fit.QE_df, 0.975) * np.sqrt(got["se"] ** 2 + fit.tau2)
    floor = 20 * math.sqrt(zero(fit.effects)) if fit.tau2 == 0 else 0.0
    close(got["estimate"] - half, theirs["low"], unit=half, floor=floor)
    close(got["estimate"] + half, theirs["high"], unit=half, floor=floor)


@pytest.mark.parametrize(
    ("name", "measure", "inverse"), [("bcg_ablat_year", "RR", np.exp), ("hasselblad1998", "PLO", expit)]
)
def test_display_scale(name, measure, inverse):
    theirs = reference(name, "REML")["predictions"]
    for test in TESTS:
        got = fitted(name, measure=measure, test=test, pi="hts").predict(new_points(name), scale="display")
        for ours, at in (("estimate", "estimate"), ("ci_low", "low"), ("ci_high", "high")):
            close(got[ours], inverse(values(theirs["tests"][test][at])), rel=100 * REL)  # exp(20 standard errors)
        for ours, at in (("pi_low", "low"), ("pi_high", "high")):
            close(got[ours], inverse(values(theirs["pi"]["z/riley"][at])), rel=100 * REL)
        assert got["se"].isna().all()


@pytest.mark.parametrize(("name", "method"), FITS)
def test_contrasts(name, method):
    combinations = matrix(grid()["regressions"][name]["combinations"])
    for test in TESTS:
        theirs = reference(name, method)["contrasts"][test]
        got = fitted(name, method=method, test=test).contrast(combinations)
        close(got["estimate"], theirs["estimate"], unit=values(theirs["se"]))
        close(got["se"], theirs["se"])
        close(got["statistic"], theirs["statistic"], unit=1.0)
        close_p(got["pvalue"], theirs["pvalue"], got["statistic"])
        assert (got["df"] == or_inf(theirs["df"])).all()


@pytest.mark.parametrize(("name", "method"), FITS)
def test_joint_tests(name, method):
    """By the names of the coefficients, and of the terms, which come first in the file."""
    cell = grid()["regressions"][name]
    for test in TESTS:
        fit, theirs = fitted(name, method=method, test=test), reference(name, method)["joint"][test]
        asked = [[fit.names[int(i) - 1] for i in columns] for columns in cell["tested"]]
        asked += [[term] for term in cell["terms"]]
        for names, expected in zip(asked, theirs + theirs[: len(cell["terms"])], strict=True):
            got = fit.test(*names)
            close([got.statistic], [expected["statistic"]], rel=2 * REL)
            assert (got.df, got.df2) == (expected["df"], or_inf(expected["df2"]))
            close_p(got.pvalue, [expected["pvalue"]], math.sqrt(got.statistic * got.df))


@pytest.mark.parametrize(("name", "method"), FITS)
def test_variance_inflation(name, method):
    """Both from the covariance of the coefficients without the intercept's; the test only scales that."""
    cell, theirs = grid()["regressions"][name], reference(name, method)
    single = {term: int(i[0]) for term, i in cell["terms"].items() if len(i) == 1}
    for test in TESTS:
        fit = fitted(name, method=method, test=test)
        got = fit.vif().set_index("term")
        assert list(got.index) == list(theirs["gvif"])
        np.testing.assert_allclose(got[["df", "gvif", "gvif_root"]], matrix(theirs["gvif"].values()), rtol=REL)
        first = 2 if "Intercept" in fit.names else 1  # metafor has one for each column but the intercept
        close(got.loc[list(single), "gvif"], [theirs["vif"][i - first] for i in single.values()])


def check_intervals(res, theirs, *, method=None):
    got = metaan.heterogeneity_interval(res, method=method)
    floors = {"tau2": zero(res.effects), "tau": math.sqrt(zero(res.effects)), "I2": 1e3 * ZERO, "H2": 1e1 * ZERO}
    assert list(got.index) == list(theirs)
    for what, row in theirs.items():
        close(got.loc[what], row, floor=floors[what])
    assert tuple(metaan.tau2_interval(res, method=method)) == tuple(got.loc["tau2", ["low", "high"]])


@pytest.mark.parametrize(("name", "method"), RANDOM_FITS)
def test_heterogeneity_of_regressions(name, method):
    theirs = reference(name, method)["intervals"]
    for level, key in ((0.95, "QP"), (0.90, "QP90")):
        check_intervals(fitted(name, method=method, level=level), theirs[key])
    if method != "DL":
        check_intervals(fitted(name, method=method), theirs["PL"], method="PL")


@pytest.mark.parametrize(("name", "method"), list(itertools.product(REGRESSIONS, ("ML", "REML"))))
def test_heterogeneity_of_pooled(name, method):
    cell = grid()["regressions"][name]
    eff, theirs = metaan.effects(values(cell["yi"]), values(cell["vi"])), cell["pooled"][method]
    for level, key in ((0.95, "QP"), (0.90, "QP90")):
        check_intervals(metaan.pool(eff, method=method, level=level), theirs[key])
    check_intervals(metaan.pool(eff, method=method), theirs["PL"], method="PL")


def grouped(name, tau2, **options):
    cell = grid()["subgroups"][name]
    eff = metaan.effects(values(cell["yi"]), values(cell["vi"]), measure=cell["measure"])
    return metaan.subgroups(eff, cell["group"], tau2=tau2, **options)


def check_group(group, theirs):
    close([group.estimate, group.se, group.ci_low, group.ci_high], theirs[:4], unit=group.se)
    close_p(group.pvalue, theirs[4:], group.statistic)


def welch(q, w, df):
    """Welch 1951: F, its degrees of freedom and the p-value, from Cochran's Q, the weights and degrees of freedom."""
    m = len(w)
    spread = float(np.sum((1 - w / w.sum()) ** 2 / df))
    f, df2 = q / (m - 1) / (1 + 2 * (m - 2) / (m**2 - 1) * spread), (m**2 - 1) / (3 * spread)
    return f, m - 1, df2, float(fdtrc(m - 1, df2, f))


def check_between(sub, theirs):
    q, df, df2, p = theirs
    close([sub.Q_between], [q], rel=2 * REL)
    assert sub.Q_df == df
    assert sub.Q_df2 == pytest.approx(or_inf(df2), rel=REL)
    close_p(sub.Q_pvalue, [p], math.sqrt(sub.Q_between * sub.Q_df))


@pytest.mark.parametrize(("name", "method", "test"), SUBGROUP_FITS)
def test_separate_tau2(name, method, test):
    """A single study has the common tau2 and the normal interval.

    Between the subgroups: Cochran's Q of their estimates for test z, as rma of these. For t-type tests Welch's F,
    which corrects that Q for the degrees of freedom of the standard errors; R's oneway.test gives it too.
    """
    cell, theirs = grid()["subgroups"][name], grid()["subgroups"][name]["methods"][method]
    sub, expected = grouped(name, "separate", method=method, test=test), theirs["separate"][test]
    assert {group: of.k for group, of in sub.groups.items()} == dict(zip(cell["names"], cell["k"], strict=True))
    assert list(sub.groups) == cell["names"]
    single = {group for group, of in sub.groups.items() if of.k == 1}
    said = [note for note in sub.notes if note.code == "single-study-group"]
    assert {group for note in said for group in note.studies} == single
    groups = list(sub.groups.values())
    close([group.tau2 for group in groups], theirs["separate_tau2"], floor=zero(sub.effects))
    close([group.Q for group in groups], expected["Q"], floor=1e-13)
    for group, numbers, i2 in zip(groups, expected["groups"], expected["I2"], strict=True):
        check_group(group, numbers)
        assert group.k == 1 or not differs(group.I2, i2, rel=REL, floor=1e3 * ZERO)
        assert group.k > 1 or (group.tau2, group.df) == (pytest.approx(theirs["tau2"], rel=REL), math.inf)
    if test == "z":
        check_between(sub, expected["between"])
        return
    w = 1 / matrix(expected["groups"])[:, 1] ** 2
    df = [k - 1 if k > 1 else math.inf for k in cell["k"]]
    check_between(sub, welch(expected["between"][0], w, df))
    assert (expected["welch"] is None) == (1 in cell["k"])
    if expected["welch"] is not None:
        check_between(sub, expected["welch"])


@pytest.mark.parametrize(("name", "method", "test"), SUBGROUP_FITS)
def test_common_tau2(name, method, test):
    cell, theirs = grid()["subgroups"][name], grid()["subgroups"][name]["methods"][method]
    sub, expected = grouped(name, "common", method=method, test=test), theirs["common"][test]
    assert list(sub.groups) == cell["names"]
    groups = list(sub.groups.values())
    close([group.tau2 for group in groups], [theirs["tau2"]] * len(groups))
    width = np.array([group.pi_high - group.pi_low for group in groups])
    close([group.pi_low for group in groups], expected["pi"]["low"], unit=width)
    close([group.pi_high for group in groups], expected["pi"]["high"], unit=width)
    for group, numbers, i2 in zip(groups, expected["groups"], expected["I2"], strict=True):
        check_group(group, numbers)
        assert group.k == 1 or not differs(group.I2, i2, rel=REL)
    check_between(sub, expected["between"])
    table, against = sub.contrasts().table, expected["against_first"]
    table = table[table["group_a"] == cell["names"][0]]
    close(table["statistic"], against["statistic"], unit=1.0)
    close_p(table["pvalue"], against["pvalue"], table["statistic"])
    assert (table["df"] == or_inf(against["df"])).all()


@pytest.mark.parametrize("method", ["DL", "ML", "PM", "REML"])
def test_a_thousand_studies(method):
    cell = grid()["thousand"]
    eff, theirs = metaan.effects(values(cell["yi"]), values(cell["vi"])), cell["methods"][method]
    for test in ("z", "hk"):
        res = metaan.pool(eff, method=method, test=test)
        close([res.tau2, res.I2], [theirs["tau2"], theirs["I2"]], rel=EXACT)
        check_group(res, theirs[test])


def conversion(measure, name):
    cell = grid()["conversions"][measure][name]
    return {column: values(of) for column, of in cell["columns"].items()}, values(cell["yi"]), values(cell["vi"])


@pytest.mark.parametrize("name", list(grid()["conversions"]["OR2DL"]))
def test_odds_ratio_to_difference(name):
    columns, yi, vi = conversion("OR2DL", name)
    got = metaan.convert_effects(metaan.effect_size("OR", **columns), "SMD")
    np.testing.assert_allclose(got.yi, yi, rtol=EXACT, atol=1e-15)
    np.testing.assert_allclose(got.vi, vi, rtol=EXACT)


@pytest.mark.parametrize("name", list(grid()["conversions"]["D2ORL"]))
def test_difference_to_odds_ratio(name):
    """escalc's D2ORL starts from Cohen's d, metaan's SMD is Hedges' g = J d, whose variance "LS2" is J^2 that of d."""
    columns, yi, vi = conversion("D2ORL", name)
    df = columns["n_t"] + columns["n_c"] - 2
    j = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    got = metaan.convert_effects(metaan.effect_size("SMD", **columns, variance="LS2"), "OR")
    np.testing.assert_allclose(got.yi, j * yi, rtol=EXACT)
    np.testing.assert_allclose(got.vi, j**2 * vi, rtol=EXACT)
    pooled = np.sqrt(((columns["n_t"] - 1) * columns["sd_t"] ** 2 + (columns["n_c"] - 1) * columns["sd_c"] ** 2) / df)
    d = (columns["mean_t"] - columns["mean_c"]) / pooled
    variance = 1 / columns["n_t"] + 1 / columns["n_c"] + d**2 / (2 * (df + 2))
    got = metaan.convert_effects(metaan.effects(d, variance, measure="SMD"), "OR")
    np.testing.assert_allclose(got.yi, yi, rtol=EXACT)
    np.testing.assert_allclose(got.vi, vi, rtol=EXACT)


@pytest.mark.parametrize("name", list(grid()["conversions"]["ZCOR"]))
def test_correlation_to_fishers_z(name):
    """The delta method carries (1 - r^2)^2/(n - 1) over to 1/(n - 1); escalc's ZCOR has 1/(n - 3), Fisher's."""
    columns, yi, vi = conversion("ZCOR", name)
    r = metaan.effect_size("COR", **columns)
    got = metaan.convert_effects(r, "ZCOR")
    np.testing.assert_allclose(got.yi, yi, rtol=EXACT, atol=1e-15)
    np.testing.assert_allclose(got.vi, 1 / (1 / vi + 2), rtol=EXACT)
    back = metaan.convert_effects(got, "COR")
    np.testing.assert_allclose(back.yi, r.yi, rtol=EXACT, atol=1e-15)
    np.testing.assert_allclose(back.vi, r.vi, rtol=EXACT)


def test_the_grid_is_whole():
    regressions, subgroups = grid()["regressions"].values(), grid()["subgroups"].values()
    assert set(grid()) == {"versions", "regressions", "subgroups", "thousand", "conversions"}
    assert grid()["versions"]["metafor"] == "3.8.1"
    assert (len(regressions), len(subgroups)) == (14, 10)
    for cell in regressions:
        assert set(cell["methods"]) == set(METHODS)
        assert (len(cell["points"]), len(cell["combinations"])) == (4, 3)
        assert len(cell["tested"]) == len(cell["terms"]) + 3
        for method, fit in cell["methods"].items():
            assert fit["threshold"] <= 1e-12
            assert {*fit["predictions"]["tests"]} == {*fit["contrasts"]} == {*fit["joint"]} == set(TESTS)
            if method == "CE":
                continue
            assert {*fit["predictions"]["pi"]} == {*itertools.chain(*SAME_PI.values()), "hk"}
            assert {*fit["intervals"]} == {"QP", "QP90"} | ({"PL"} if method != "DL" else set())
    factors = [max(len(columns) for columns in cell["terms"].values()) > 1 for cell in regressions]
    interactions = [any(":" in term for term in cell["terms"]) for cell in regressions]
    assert (sum(factors), sum(interactions)) == (6, 2)
    for cell in subgroups:
        assert sum(cell["k"]) == len(cell["yi"]) == len(cell["group"])
        for fit in cell["methods"].values():
            assert {*fit["separate"]} == {*fit["common"]} == set(TESTS)
    assert {cell["measure"] for cell in subgroups} == {"RR", "SMD", "ROM", "PLO", "ZCOR"}
    assert sum(1 in cell["k"] for cell in subgroups) == 2
    assert len(grid()["thousand"]["yi"]) == 1000
    sizes = {measure: len(sets) for measure, sets in grid()["conversions"].items()}
    assert sizes == {"OR2DL": 3, "D2ORL": 2, "ZCOR": 2}
