"""Other programs: the same fit by them, their recipes, why results differ, conversions, what has no variances."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.printed import printed
from scipy.optimize import brentq, minimize
from scipy.stats import chi2, norm
from statsmodels.stats.meta_analysis import combine_effects

import metaan
from metaan.errors import ConvergenceError, DataError, InputError, MetaanError, OptionError
from metaan.measures.pymare_api import pymare
from metaan.recipes import RECIPES

Y = np.array([0.30, -0.10, 0.75, 0.22, 1.10, 0.05, 0.61])
V = np.array([0.04, 0.02, 0.09, 0.05, 0.12, 0.03, 0.06])
EFF = metaan.effects(Y, V, data=pd.DataFrame({"x": [1.0, 0, 3, 2, 4, 1, 2]}))
ALIKE = metaan.effects([0.3, 0.31, 0.29, 0.3, 0.32], [0.04, 0.02, 0.05, 0.03, 0.06])
RATES = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
ARMS = {"events_t": [8, 3, 12, 0, 9], "total_t": [40, 22, 61, 15, 30],
        "events_c": [14, 5, 11, 2, 16], "total_c": [42, 20, 58, 16, 33]}  # fmt: skip


def codes(res):
    return [note.code for note in res.notes]


@pytest.mark.parametrize("method", ["DL", "PM"])
def test_statsmodels_agrees(method):
    both = metaan.compare(metaan.pool(EFF, method=method, test="hk"))
    peer = combine_effects(Y, V, method_re={"DL": "chi2", "PM": "iterated"}[method], use_t=True, atol=1e-13)
    rows = both.table.set_index("program")
    for name in ("metaan", "statsmodels"):
        row = rows.loc[name, ["estimate", "se", "tau2"]].to_list()
        assert row == pytest.approx([peer.mean_effect_re, peer.sd_eff_w_re_hksj, peer.tau2], rel=1e-6)
    assert rows.loc["statsmodels", "ci_low"] == pytest.approx(rows.loc["metaan", "ci_low"], rel=1e-6)


@pytest.mark.parametrize("test", ["z", "hk", "hk-adhoc"])
@pytest.mark.parametrize(("method", "rel"), [("CE", 1e-9), ("DL", 1e-9), ("HE", 1e-9), ("ML", 1e-4), ("REML", 1e-4)])
def test_pymare_agrees_but_for_i2(method, rel, test):
    for fit in (metaan.pool(EFF, method=method, test=test), metaan.regress(EFF, "~ x", method=method, test=test)):
        both = metaan.compare(fit)
        rows = both.table.set_index("program")[["estimate", "se", "ci_low", "ci_high"]]
        np.testing.assert_allclose(rows.loc[["PyMARE"]], rows.loc[["metaan"]], rtol=rel)
        assert {note.code for note in both.notes if note.text.startswith("PyMARE")} <= {"I2", "tau2"}


def test_differences_are_explained():
    below = metaan.compare(metaan.pool(ALIKE, method="DL", test="z"))
    assert below.table.set_index("program").loc["statsmodels", "tau2"] < 0
    assert "not truncated at 0" in next(note.text for note in below.notes if note.code == "tau2")
    q_form = metaan.compare(metaan.pool(EFF, test="z"))
    assert (codes(q_form), q_form.agree, "Q form" in str(q_form)) == (["I2"], False, True)
    for method in ("CE", "DL"):  # where I2 is the Q form
        assert "All agree" in str(metaan.compare(metaan.pool(EFF, method=method, test="z")))
    assert "no standard error of test='kr'" in str(metaan.compare(metaan.pool(EFF, test="kr")))


def test_tables_by_statsmodels():
    both = metaan.compare(metaan.mantel_haenszel("OR", **ARMS))
    assert (both.agree, both.table["program"][1]) == (True, "statsmodels StratifiedTable")


def test_identical_effects_can_be_compared():
    same = metaan.effects([0.2] * 4, [0.1, 0.2, 0.1, 0.3])
    assert metaan.compare(metaan.pool(same)).table["estimate"].to_numpy() == pytest.approx(0.2)


def test_what_cannot_be_compared():
    for res, error, what in (
        (metaan.pool(EFF, method="SJ"), OptionError, "'SJ'"), ([1.0], InputError, "not list"),
        (metaan.glmm("PLO", **RATES), OptionError, "'glmm'"), (metaan.pool(EFF).back(), InputError, "back"),
        (metaan.mantel_haenszel("RD", **ARMS), OptionError, "Mantel-Haenszel"),
    ):  # fmt: skip
        with pytest.raises(error, match=what):
            metaan.compare(res)


Z = {"test": "z", "level": 0.9}
EXPLICIT = {
    "metaan": {"level": 0.9}, "metafor": Z | {"pi": "z"}, "meta7": Z | {"pi": "hts"}, "meta8": Z | {"pi": "t"},
    "revman": Z | {"method": "DL", "pi": "none"}, "stata": Z | {"pi": "hts"},
}  # fmt: skip
PLO, OR = metaan.effect_size("PLO", **RATES, correction="only0"), metaan.effect_size("OR", **ARMS, correction="only0")


@pytest.mark.parametrize("name", EXPLICIT)
def test_a_recipe_is_its_explicit_call(name):
    options, asked = EXPLICIT[name], {"reproduce_as": name, "level": 0.9}
    rates, columns = {"revman": (PLO, {})}.get(name, ("PLO", RATES))  # RevMan has no rates but ready-made effects
    for made, explicit in (
        (metaan.reproduce(EFF, **asked), metaan.pool(EFF, **options)),
        (metaan.reproduce("OR", **asked, **ARMS), metaan.pool(OR, **options)),
        (metaan.reproduce(rates, **asked, **columns),
         metaan.glmm("PLO", **RATES, nodes=7, **options) if name[-1] in "78" else metaan.pool(PLO, **options)),
    ):  # fmt: skip
        assert made.to_dict() | {"notes": ()} == explicit.to_dict() | {"notes": ()}
        assert (made.notes[-1].code, RECIPES[name].program in str(made)) == ("recipe", True)


def test_every_recipe_is_tested_and_others_are_refused():
    assert set(EXPLICIT) == set(RECIPES)
    with pytest.raises(OptionError, match="metaan, metafor, meta7, meta8, revman, stata"):
        metaan.reproduce(EFF, reproduce_as="comprehensive")
    with pytest.raises(OptionError, match="no columns, data or study"):
        metaan.reproduce(EFF, reproduce_as="metafor", data=EFF.data)


MEANS = {"mean_t": [5.1, 6.0, 4.2, 7.3], "sd_t": [2.1, 2.4, 2.0, 2.9], "n_t": [60, 42, 88, 20],
         "mean_c": [4.6, 4.9, 4.0, 4.5], "sd_c": [2.0, 2.2, 2.1, 2.5], "n_c": [58, 45, 85, 21]}  # fmt: skip
OF_MEANS = {  # metafor 3.8-1 given yi and vi by the formulas of these programs' documentation, in R
    ("SMD", "stata"): "0.3782499 0.0534272 0.7030726 -0.9278788 1.6843787",
    ("MD", "stata"): "0.9308635 0.0271008 1.8346263 -2.9581443 4.8198713",
    ("SMD", "meta7"): "0.3729588 0.0533462 0.6925713 -0.8967371 1.6426547",
    ("SMD", "meta8"): "0.3729588 0.0533462 0.6925713 -0.5661686 1.3120861",
    ("SMD", "revman"): "0.3713559 0.0556526 0.6870592",
}


@pytest.mark.parametrize(("measure", "name"), OF_MEANS)
def test_variances_of_differences_in_means_are_the_programs_own(measure, name):
    res = metaan.reproduce(measure, reproduce_as=name, **MEANS)
    found = (res.estimate, res.ci_low, res.ci_high, res.pi_low, res.pi_high)
    for number, value in zip(OF_MEANS[measure, name].split(), found, strict=False):
        assert printed(number) == value
    assert ("recipe-variance" in codes(res)) == (name == "revman")


def test_rates_by_the_default_of_stata():
    res = metaan.reproduce("PFT", reproduce_as="stata", **RATES).back()  # metafor 3.8-1, escalc("PFT"), rma
    for number, value in zip(("0.08780", "0.04139", "0.14677"), (res.estimate, res.ci_low, res.ci_high), strict=True):
        assert printed(number) == value
    assert "Freeman-Tukey (PFT)" in str(metaan.reproduce("PLO", reproduce_as="stata", **RATES).notes[-1])


def test_what_revman_does_not_compute_is_refused():
    for measure, columns in (("PLO", RATES), ("PETO", ARMS)):
        with pytest.raises(OptionError, match=f"computes OR, RR, RD, MD, SMD, not {measure}.*ready made"):
            metaan.reproduce(measure, reproduce_as="revman", **columns)
    assert "Mantel-Haenszel" in str(metaan.reproduce("OR", reproduce_as="revman", **ARMS).notes[-1])


PAIRS = {
    "method, test, level": lambda: (metaan.pool(EFF), metaan.pool(EFF, method="DL", test="z", level=0.9)),
    "correction": lambda: (metaan.pool(PLO), metaan.pool(metaan.effect_size("PLO", **RATES, correction="all"))),
    "measure": lambda: (metaan.pool(PLO), metaan.pool(metaan.effect_size("PAS", **RATES), test="z")),
    "studies": lambda: (metaan.pool(EFF), metaan.pool(metaan.effects(Y[1:], V[1:]), method="PM")),
    "glmm": lambda: (metaan.pool(PLO, test="z"), metaan.glmm("PLO", **RATES)),
    "from glmm": lambda: (metaan.glmm("PLO", **RATES, test="z"), metaan.pool(PLO, level=0.8)),
    "Mantel-Haenszel": lambda: (metaan.pool(OR), metaan.mantel_haenszel("OR", **ARMS)),
    "Peto": lambda: (metaan.mantel_haenszel("OR", **ARMS), metaan.peto(**ARMS)),
    "quadrature": lambda: (metaan.glmm("PLO", **RATES, nodes=1), metaan.glmm("PLO", **RATES)),
    "interval": lambda: (metaan.glmm("PLO", **RATES), metaan.glmm("PLO", **RATES, ci="profile")),
    "prediction": lambda: (metaan.pool(EFF), metaan.pool(EFF, pi="bootstrap", draws=500)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_steps_add_up(name):
    a, b = PAIRS[name]()
    why = metaan.explain_difference(a, b)
    start, end, steps = a.back(), b.back(), why.table.iloc[1:]
    width = (end.ci_high - end.ci_low) - (start.ci_high - start.ci_low)
    assert steps["moved"].sum() == pytest.approx(end.estimate - start.estimate, rel=1e-9, abs=1e-12)
    assert steps["wider"].sum() == pytest.approx(width, rel=1e-9, abs=1e-12)
    last = why.table.iloc[-1][["estimate", "ci_low", "ci_high", "tau2"]].to_list()
    assert last == pytest.approx([end.estimate, end.ci_low, end.ci_high, end.tau2], rel=1e-9, abs=1e-12)
    assert "same" not in codes(why)


def test_each_choice_alone():
    a, all_corrected = metaan.pool(PLO), metaan.effect_size("PLO", **RATES, correction="all")
    why = metaan.explain_difference(a, metaan.pool(all_corrected, method="DL", test="z"))
    assert why.table["choice"].tolist() == ["start", "effects", "method", "test"]
    alone = [res.back().estimate for res in (metaan.pool(all_corrected), metaan.pool(PLO, method="DL"), a)]
    np.testing.assert_allclose(why.table["alone"][1:], np.array(alone) - a.back().estimate, rtol=1e-9)
    assert (codes(metaan.explain_difference(a, a)), str(why.notes[0]) in str(why)) == (["same"], True)


def test_what_cannot_be_explained():
    for other, error, what in (
        (metaan.pool(EFF, method="GENQ", weights=1 / V), OptionError, "GENQ"),
        (metaan.regress(EFF, "~ x"), InputError, "not RegressResult"),
        (metaan.pool(OR), InputError, "Effect size and Odds ratio"),
    ):
        with pytest.raises(error, match=what):
            metaan.explain_difference(metaan.pool(EFF), other)


def test_robust_standard_errors_are_explained_or_refused():
    with pytest.raises(OptionError):
        metaan.explain_difference(metaan.pool(EFF), metaan.robust(metaan.pool(EFF), list("aabbccd")))


def test_worked_numbers_of_borenstein_2009_chapter_7():
    one = lambda measure, y, v, to: metaan.convert_effects(metaan.effects([y], [v], measure=measure), to)  # noqa: E731
    for made, y, v in (
        (one("OR", 0.9069, 0.0676, "SMD"), "0.5000", "0.0205"), (one("SMD", 0.5, 0.0205, "OR"), "0.9069", "0.0674"),
        (one("COR", 0.5, 0.0058, "SMD"), "1.1547", "0.0550"), (one("SMD", 1.1547, 0.0550, "COR"), "0.5000", "0.0058"),
    ):  # fmt: skip
        assert printed(y) == made.yi[0]
        assert printed(v) == made.vi[0]


@pytest.mark.parametrize(("start", "to"), list(itertools.permutations(["OR", "SMD", "COR", "ZCOR"], 2)))
def test_there_and_back(start, to):
    eff = metaan.effects([-0.6, 0.1, 0.9], [0.04, 0.02, 0.03], measure=start, study=list("abc"))
    there, step = metaan.convert_effects(eff, to), metaan.convert_effects(metaan.convert_effects(eff, "SMD"), to)
    back = metaan.convert_effects(there, start)
    np.testing.assert_allclose([back.yi, back.vi], [eff.yi, eff.vi], rtol=1e-10)
    np.testing.assert_allclose([step.yi, step.vi], [there.yi, there.vi], rtol=1e-10)
    assert (there.measure, there.study, back.measure) == (to, eff.study, start)
    assert f"from {start} to {to}" in there.notes[-1].text


def test_arms_of_unequal_size():
    means = {"mean_t": [3, 2], "sd_t": [1, 2], "n_t": [30, 12], "mean_c": [2.5, 2.2], "sd_c": [1, 2], "n_c": [10, 40]}
    eff = metaan.effect_size("SMD", **means)
    made, a = metaan.convert_effects(eff, "COR"), np.array([40**2 / 300, 52**2 / 480])
    np.testing.assert_allclose(made.yi, eff.yi / np.sqrt(eff.yi**2 + a), rtol=1e-12)
    np.testing.assert_allclose(made.vi, a**2 * eff.vi / (eff.yi**2 + a) ** 3, rtol=1e-12)
    again = metaan.convert_effects(made, "SMD")
    np.testing.assert_allclose([again.yi, again.vi], [eff.yi, eff.vi], rtol=1e-10)
    assert "equal-arms" not in codes(made)
    assert "equal-arms" in codes(metaan.convert_effects(metaan.effects(eff.yi, eff.vi, measure="SMD"), "COR"))


def test_conversions_that_do_not_exist():
    assert metaan.convert_effects(OR, "OR") is OR
    for measure, to in (("SMDH", "SMD"), ("PETO", "OR")):
        same = metaan.convert_effects(metaan.effects(Y, V, measure=measure), to)
        assert (same.measure, same.yi.tolist(), same.vi.tolist()) == (to, Y.tolist(), V.tolist())
    beyond, risks = metaan.effects([0.5, 1.0], [0.1, 0.1], measure="COR"), metaan.effects(Y, V, measure="RR")
    for eff, to, error, what in (
        (OR, "RR", OptionError, "SMD, OR, COR, ZCOR"), (risks, "OR", InputError, "RR cannot be converted"),
        (beyond, "SMD", DataError, "between -1 and 1: study '2'"), ([1.0], "OR", InputError, "not list"),
    ):  # fmt: skip
        with pytest.raises(error, match=what):
            metaan.convert_effects(eff, to)


def test_limits_of_i2_and_h2_come_from_those_of_tau2():
    x, w = np.column_stack([np.ones(7), EFF.data["x"]]), 1 / V
    p = np.diag(w) - w[:, None] * x @ np.linalg.inv(x.T @ (w[:, None] * x)) @ x.T * w
    q = lambda tau2: (1 / (V + tau2)) @ (Y - np.average(Y, weights=1 / (V + tau2))) ** 2  # noqa: E731
    low, high = (brentq(lambda t: q(t) - chi2.ppf(tail, 6), 0, 50, xtol=1e-14) for tail in (0.975, 0.025))  # noqa: B023
    typical = 6 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    table = metaan.heterogeneity_interval(metaan.pool(EFF))
    np.testing.assert_allclose(table.loc["tau2", ["low", "high"]].to_list(), [low, high], rtol=1e-8)
    for found, unit in ((table, typical), (metaan.heterogeneity_interval(metaan.regress(EFF, "~ x")), 5 / np.trace(p))):
        tau2 = found.loc["tau2"]
        np.testing.assert_allclose(found.loc["I2"], 100 * tau2 / (tau2 + unit), rtol=1e-9)
        np.testing.assert_allclose(found.loc["H2"], 1 + tau2 / unit, rtol=1e-9)
        np.testing.assert_allclose(found.loc["tau"], np.sqrt(tau2), rtol=1e-12)


@pytest.mark.parametrize("eff", [EFF, ALIKE])
def test_test_based_interval_by_formula(eff):
    res = metaan.pool(eff, level=0.9)
    q, df = res.Q, eff.k - 1
    se = math.sqrt((1 - 1 / (3 * (df - 1) ** 2)) / (2 * (df - 1)))
    if q > df + 1:
        se = 0.5 * math.log(q / df) / (math.sqrt(2 * q) - math.sqrt(2 * df - 1))
    h2 = np.maximum(1, np.exp(2 * (0.5 * math.log(q / df) + norm.ppf([0.5, 0.05, 0.95]) * se)))
    table = metaan.heterogeneity_interval(res, method="HT")
    np.testing.assert_allclose(table.loc["H2"], h2, rtol=1e-9)
    np.testing.assert_allclose(table.loc["I2"], 100 * (h2 - 1) / h2, rtol=1e-9, atol=1e-12)


def test_intervals_that_do_not_exist():
    for res, method, what in (
        (metaan.pool(EFF), "ML", "QP, PL, BJ, J, HT"), (metaan.pool(metaan.effects(Y[:2], V[:2])), "HT", "two degrees"),
        (metaan.pool(EFF, method="CE"), "QP", "no tau2"), (metaan.mantel_haenszel("OR", **ARMS), "PL", "no tau2"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=what):
            metaan.heterogeneity_interval(res, method=method)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("seed", range(4))
def test_pooling_by_size_is_at_the_maximum(method, seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(5, 400, 15)
    y = rng.normal(0.5, np.sqrt(0.04 + 3 / n))

    def deviance(variances):
        w = 1 / (variances[0] + variances[1] / n)
        full = norm.logpdf(y, np.average(y, weights=w), w**-0.5).sum()
        return -2 * full + (np.log(w.sum()) if method == "REML" else 0)

    res = metaan.pool_by_size(y, n, method=method, test="z")
    found, fine = (res.tau2, res.effects.vi[0] * n[0]), {"xatol": 1e-9, "fatol": 1e-12}
    search = [minimize(lambda u: deviance(np.exp(u)), (s, 1), method="Nelder-Mead", options=fine) for s in (-1, -3, -8)]
    best = min(search, key=lambda end: end.fun)
    assert deviance(found) <= best.fun + 1e-7
    assert found[1] == pytest.approx(math.exp(best.x[1]), rel=1e-3)
    np.testing.assert_allclose(res.effects.vi, found[1] / n, rtol=1e-12)
    w = 1 / (found[0] + found[1] / n)
    assert (res.estimate, res.se) == pytest.approx((np.average(y, weights=w), w.sum() ** -0.5), rel=1e-10)
    assert "sizes-alone" in codes(res)


@pytest.mark.parametrize(
    ("y", "n", "options", "error", "what"),
    [
        ([0.1, 0.2], [9, 8], {}, DataError, "at least three"), ([0.1, 0.2, 0.4], [9, 9, 9], {}, DataError, "one size"),
        ([0.1, 0.2, 0.4], [9, 0, 9], {}, DataError, "n must be positive: study '2'"),
        (Y, V, {"method": "DL"}, OptionError, "REML, ML"), (Y, V, {"test": "kr"}, OptionError, "kr"),
        ([0.1, 0.9, 0.5, 0.3], [10, 1000, 11, 2000], {}, ConvergenceError, "sigma2 = 0"),
        ([0.2] * 4, [9, 8, 7, 6], {}, MetaanError, "."),
    ],
)  # fmt: skip
def test_pooling_by_size_refuses(y, n, options, error, what):
    with pytest.raises(error, match=what):
        metaan.pool_by_size(y, n, **options)


def test_pymare_datasets_in_and_out():
    eff = metaan.effect_size("ZCOR", r=[0.3, 0.5, -0.1], n=[20, 31, 44])
    np.testing.assert_array_equal(eff.to_pymare().n.ravel(), [20, 31, 44])
    again = metaan.from_pymare(eff.to_pymare(), study=list("abc"), measure="ZCOR")
    np.testing.assert_array_equal([again.yi, again.vi], [eff.yi, eff.vi])
    assert (again.measure, again.study) == ("ZCOR", ("a", "b", "c"))
    fitted = metaan.from_pymare(pymare().Dataset(y=Y, v=V, X=EFF.data[["x"]]))
    assert metaan.regress(fitted, "~ x").to_dict() == metaan.regress(EFF, "~ x").to_dict()
    two = pymare().Dataset(y=np.ones((3, 2)), v=np.ones((3, 2)))
    for bad, what in ((pymare().Dataset(y=Y, n=V), "no variances"), (two, "2 meta-analyses"), (EFF, "not Effects")):
        with pytest.raises(InputError, match=what):
            metaan.from_pymare(bad)
