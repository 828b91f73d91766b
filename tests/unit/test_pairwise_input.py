"""What reviewers broke: every one a typed error, an honest note or the right number now."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import ConvergenceError, DataError, InputError, OptionError

Y, V = [0.1, 0.5, 0.3, 0.9, 0.2, 0.4], [0.01, 0.02, 0.03, 0.01, 0.02, 0.04]
ROWS = pd.DataFrame({"y": Y, "v": V, "x": [1.0, 2, 3, 4, 5, 7], "g": list("aabbcc")})
EFF = metaan.effects("y", "v", data=ROWS)
ARMS = {"events_t": [4, 6], "total_t": [20, 30], "events_c": [8, 9], "total_c": [20, 31]}
TABLES = metaan.mantel_haenszel("OR", **ARMS)


def codes(res):
    return {note.code for note in res.notes}


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_one_informative_trial_has_no_heterogeneity(measure):
    res = metaan.mantel_haenszel(measure, events_t=[4, 0], total_t=[20, 10], events_c=[8, 0], total_c=[20, 12])
    assert (res.Q, res.Q_df, res.I2, res.H2) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    "res",
    [
        TABLES, metaan.peto(**ARMS), metaan.pool(EFF), metaan.glmm("OR", **ARMS), metaan.regress(EFF, "~ x"),
        metaan.subgroups(EFF, "g"), metaan.multilevel(EFF, "g/estimate"), metaan.robust(metaan.pool(EFF), "g"),
    ],
    ids=lambda res: type(res).__name__,
)  # fmt: skip
def test_every_result_shows_itself_and_travels(res):
    assert "<" in res._repr_html_()
    assert len(str(res).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)
    for other in (pickle.loads(pickle.dumps(res)), copy.deepcopy(res)):
        assert str(other) == str(res)
        assert not other.effects.yi.flags.writeable
        assert not getattr(other, "weights", other.effects.vi).flags.writeable


def test_effects_that_lie_on_the_regression():
    """Arms without events give effects of exactly 0: no test, and it is said why."""
    rows = pd.DataFrame({"a": [0] * 5, "b": [9, 8, 7, 9, 9], "x": [1, 2, 3, 4, 6]})
    zeros = metaan.effect_size("PAS", rows, events="a", total="b")
    fit = metaan.regress(zeros, "~ x")
    assert "identical" in codes(fit)
    assert np.isnan(fit.QM)
    assert "no test" in str(fit)
    constant = metaan.effects([1.0] * 4, [0.1, 0.2, 0.1, 0.3], data=pd.DataFrame({"x": [1, 2, 3, 5]}))
    assert metaan.regress(constant, "~ x").se == pytest.approx([0, 0], abs=0)
    common = metaan.subgroups(metaan.effects([1, 1, 1, 2, 2, 2.0], [0.1] * 6), list("aaabbb"), tau2="common")
    assert np.isnan(common.Q_between)


def test_welch_keeps_its_level_where_chi2_does_not():
    """Two groups of two studies without a difference: near 5 % of p-values are below 0.05 (binomial error 1.1 %)."""
    rng = np.random.default_rng(7)
    pvalues, chi2 = [], 0
    for _ in range(400):
        v = rng.uniform(0.05, 0.3, 4)
        sub = metaan.subgroups(metaan.effects(rng.normal(0, np.sqrt(v + 0.05)), v), list("aabb"))
        pvalues.append(sub.Q_pvalue)
        chi2 += sub.Q_between > 3.841
    assert np.mean(np.array(pvalues) < 0.05) < 0.085
    assert chi2 / 400 > 0.12


def test_welch_is_the_t_test_of_two_groups():
    sub = metaan.subgroups(metaan.effects([0.1, 0.3, 0.2, 0.8, 0.7, 0.95], [0.02, 0.03, 0.01] * 2), list("aaabbb"))
    pair = sub.contrasts(adjust="none").table.iloc[0]
    assert sub.Q_between == pytest.approx(pair["statistic"] ** 2)
    assert sub.Q_df2 == pytest.approx(pair["df"])
    assert sub.Q_pvalue == pytest.approx(pair["pvalue"])


def test_contrasts_come_from_the_analysis_scale():
    with pytest.raises(InputError, match="before back"):
        metaan.subgroups(metaan.effects(Y, V, measure="OR"), list("aabbcc")).back().contrasts()


def test_a_single_exact_study_stays_out_of_the_test():
    eff = metaan.effect_size("PLO", events=[3, 4, 9, 0], total=[44, 30, 40, 12], correction="only0")
    sub = metaan.subgroups(eff, list("aabc"), model="glmm")
    assert {"not-in-test"} <= codes(sub)
    assert "zero-cell" not in codes(sub)


def test_labels_of_subgroups_are_kept_apart():
    sub = metaan.subgroups(EFF, ["all", "all", "b", "b", "c", "c"])
    frame = sub.to_frame()
    assert frame["group"].tolist() == ["all", "b", "c", "all studies"]
    assert frame["k"].tolist() == [2, 2, 2, 6]
    with pytest.raises(DataError, match="alike"):
        metaan.subgroups(EFF, [1, "1", 1, "1", 2, 2])
    with pytest.raises(DataError, match="missing: study '6'"):
        metaan.subgroups(EFF, pd.array(["a", "a", "b", "b", "b", pd.NA], dtype="string"))
    for by in (None, 5, [["a"]] * 6):
        with pytest.raises(InputError, match="by"):
            metaan.subgroups(EFF, by)


def test_a_borrowed_tau2_is_not_called_zero():
    sub = metaan.subgroups(EFF, list("aaaaab"))
    assert sub.groups["b"].tau2 > 0
    assert not any("set to 0" in str(note) for note in sub.groups["b"].notes)


def test_multilevel_refuses_what_it_cannot_know():
    for formula in ("~ C(g)", "~ 0 + C(g)"):
        with pytest.raises(DataError, match="tell every g apart"):
            metaan.multilevel(EFF, "g/estimate", formula=formula)
    with pytest.raises(InputError, match="sigma2_interval"):
        metaan.tau2_interval(metaan.multilevel(EFF, "g/estimate"))
    two = metaan.effects(Y, V, data=ROWS.assign(g=list("aaabbb"), z=[1, 1, 1, 2, 2, 2], w=[1.0, 3, 2, 5, 4, 4.5]))
    assert "df-raised" in codes(metaan.multilevel(two, "g/estimate", formula="~ w"))
    for vcov in ("abc", {"a": 1}, np.eye(6) * 1j):
        with pytest.raises(OptionError, match="vcov must be a matrix of numbers"):
            metaan.multilevel(EFF, "g/estimate", vcov=vcov)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_sigma2_of_equal_effects_has_an_upper_limit(value):
    fit = metaan.multilevel(metaan.effects([value] * 6, [0.1] * 6, study=list("aabbcc")), "study/estimate")
    assert (fit.sigma2 == 0).all()
    assert "sigma2-zero" in codes(fit)
    table = metaan.sigma2_interval(fit)
    assert (table["low"] == 0).all()
    assert np.isfinite(table["high"]).all()


@pytest.mark.parametrize(
    ("yi", "vi"), [([1, np.nan], [1, 1]), ([1, 2], [1, -1]), ([1e80, 1], [1, 1]), ([1, 2], [1e-95, 1])]
)
def test_effects_that_no_model_could_take(yi, vi):
    with pytest.raises(DataError, match="double precision"):
        metaan.Effects(yi=np.array(yi), vi=np.array(vi), study=("a", "b"), measure="GEN")


def test_counts_that_leave_an_infinite_effect():
    with pytest.raises(DataError, match="double precision"):
        metaan.effect_size("PLO", events=[0, 3, 10], total=[10, 10, 10], add=1e-18, correction="only0")
    with pytest.raises(DataError, match="rescale"):
        metaan.effect_size("SMD", mean_t=[1e80, 1], sd_t=[1, 1], n_t=[9, 9], mean_c=[0, 0], sd_c=[1, 1], n_c=[9, 9])


def test_sizes_alone():
    sizes = [200, 150, 100, 20, 10, 400]
    with pytest.raises(DataError, match="equal"):
        metaan.pool_by_size([1.0] * 6, sizes)
    one = metaan.pool_by_size(Y, sizes)
    other = metaan.pool_by_size(Y, [n * 1e-9 for n in sizes])
    assert (one.estimate, one.se, one.tau2) == pytest.approx((other.estimate, other.se, other.tau2), rel=1e-6)
    assert issubclass(ConvergenceError, RuntimeError)


def test_columns_are_what_they_are_called():
    numbered = pd.DataFrame({0: [3, 4, 5], 1: [9, 9, 9]})
    assert metaan.effect_size("PLO", numbered, events=0, total=1).k == 3
    with pytest.raises(InputError, match="2 rows for 3 studies"):
        metaan.effects([1.0, 2, 3], [0.1] * 3, data=ROWS[:2])
    for data in ({"events": [1]}, [1, 2], "events"):
        with pytest.raises(InputError, match="pandas DataFrame"):
            metaan.effect_size("PLO", data, events="events", total="total")
    with pytest.raises(InputError, match="several columns"):
        metaan.regress(metaan.effects(Y, V, data=pd.concat([ROWS, ROWS["x"]], axis=1)), "~ x")
    with pytest.raises(InputError, match="rename the column"):
        metaan.regress(metaan.effects(Y, V, data=ROWS.rename(columns={"x": "Intercept"})), "~ Intercept")
    with pytest.raises(InputError, match="no label at position 2"):
        metaan.effects([1.0, 2], [0.1, 0.1], study=["A", None])


def test_moderators_of_every_dtype():
    plain = metaan.regress(EFF, "~ g").estimate
    for column in (ROWS["g"].astype("string"), pd.Categorical(ROWS["g"], categories=["a", "b", "c", "z"])):
        fit = metaan.regress(metaan.effects(Y, V, data=ROWS.assign(g=column)), "~ g")
        np.testing.assert_allclose(fit.estimate, plain)
    assert "unused-levels" in codes(fit)
    numbers = metaan.regress(metaan.effects(Y, V, data=ROWS.assign(x=ROWS["x"].astype(object))), "~ x")
    assert numbers.names == ("Intercept", "x")
    dates = ROWS.assign(x=pd.to_datetime(["2001-01-01"] * 6))
    with pytest.raises(InputError, match="date"):
        metaan.regress(metaan.effects(Y, V, data=dates), "~ x")
    for formula in ("~ x | g", ""):
        with pytest.raises(OptionError, match="formula"):
            metaan.regress(EFF, formula)


def test_predictions_and_contrasts_of_nonsense():
    fit = metaan.regress(EFF, "~ x + g")
    for new, what in (({"x": [1, 2], "g": "a"}, "one row"), (5, "mapping"), ("x", "mapping"),
                      ({"x": 1, "g": "q"}, "'a', 'b', 'c'"), ({"x": np.inf, "g": "a"}, "infinite")):  # fmt: skip
        with pytest.raises(InputError, match=what):
            fit.predict(new)
    for weights in ({"x": np.nan}, "abc", [0, 0, 0, 0], [[1, 2]]):
        with pytest.raises(InputError, match="weights"):
            fit.contrast(weights)
    for option in ("", False, 0):
        with pytest.raises(OptionError, match="pi="):
            fit.predict(pi=option)
    with pytest.raises(OptionError, match="pi='kr' needs test='kr'"):
        metaan.regress(EFF, "~ x", pi="kr")
    assert "no-pi" in codes(metaan.regress(EFF, "~ x", method="CE", test="z"))


def test_a_freeman_tukey_rate_says_at_which_n_it_was_turned_back():
    eff = metaan.effect_size(
        "PFT", ROWS.assign(e=[1, 2, 3, 4, 5, 6], n=[10, 20, 30, 40, 50, 60]), events="e", total="n"
    )
    table = metaan.regress(eff, "~ x").predict(scale="display")
    assert any("n = " in note for note in table.attrs["notes"])
    assert sum(note.code == "ft-n" for note in metaan.subgroups(eff, "g").back().notes) == 3


def test_conversions_round_trip_with_arms_of_any_size():
    odds = metaan.effect_size("OR", events_t=[5, 2], total_t=[10, 20], events_c=[3, 40], total_c=[40, 220])
    there = metaan.convert_effects(odds, "COR")
    np.testing.assert_allclose(metaan.convert_effects(there, "OR").yi, odds.yi, rtol=1e-12)
    np.testing.assert_allclose(metaan.convert_effects(there, "OR").vi, odds.vi, rtol=1e-12)
    peto = metaan.effect_size("PETO", **ARMS)
    assert metaan.convert_effects(peto, "OR").measure == "OR"
    with pytest.raises(DataError, match="double precision"):
        metaan.convert_effects(metaan.effects([1e9], [1.0], measure="SMD"), "COR")


def test_robust_says_what_there_is_not():
    rows = ROWS.assign(c=list("aabbbb"), z=[1, 1, 0, 0, 0, 0])
    eff = metaan.effects(Y, V, data=rows)
    fit = metaan.robust(metaan.regress(eff, "~ 0 + C(z)"), [1, 1, 2, 2, 3, 3], kind="CR0")
    alone = fit.names.index("C(z)[1]")
    assert np.isnan(fit.se[alone])
    assert "full-leverage" in codes(fit)
    with pytest.raises(OptionError, match="robust already"):
        metaan.robust(fit, "c")
    twice = metaan.robust(metaan.pool(EFF), iter(ROWS["g"]))
    assert twice.se == metaan.robust(metaan.pool(EFF), "g").se
    assert "hk-narrow" not in codes(twice)


def test_differences_that_cannot_be_explained_say_why():
    p = metaan.pool(metaan.effects(Y, V, measure="OR"))
    with pytest.raises(OptionError, match="robust"):
        metaan.explain_difference(p, metaan.robust(p, "study"))
    with pytest.raises(OptionError, match="no counts"):
        metaan.explain_difference(TABLES, p)
    boot = metaan.explain_difference(metaan.pool(EFF), metaan.pool(EFF, pi="bootstrap", draws=200))
    assert "does not move" in str(boot)


def test_recipes_set_their_own_options():
    rates = {"events": [0, 3, 4], "total": [20, 30, 40]}
    for name in ("correction", "test", "nodes"):
        with pytest.raises(OptionError, match=f"The recipe sets {name}"):
            metaan.reproduce("PLO", reproduce_as="meta8", **rates, **{name: "x"})
    with pytest.raises(OptionError, match="missing"):
        metaan.reproduce(EFF, reproduce_as="metafor", missing="banana")
    with pytest.raises(OptionError, match="measure"):
        metaan.reproduce(["PLO"], reproduce_as="metafor")
    zeros = {"events_t": [0, 3, 8], "total_t": [20, 25, 18], "events_c": [0, 1, 3], "total_c": [22, 24, 19]}
    assert [metaan.reproduce("OR", reproduce_as=name, **zeros).k for name in ("metafor", "meta8", "revman")] == [
        3,
        2,
        2,
    ]


def test_limits_of_an_incidence_rate_are_cut_at_zero():
    eff = metaan.effect_size("IR", events=[0, 3, 1], time=[10.0, 20, 30], correction="only0")
    shown = metaan.pool(eff).back()
    assert shown.ci_low == 0
    assert "cut" in codes(shown)


def test_undefined_ratios_say_which_cells_are_empty():
    for cells, what in (
        (([10, 9], [10, 9], [8, 7], [8, 7]), "everybody has an event"),
        (([0, 0], [10, 9], [0, 0], [8, 7]), "no events in any trial"),
        (([0, 0], [10, 9], [2, 1], [8, 7]), "one of the arms"),
    ):
        with pytest.raises(DataError, match=what):
            metaan.mantel_haenszel("OR", **dict(zip(ARMS, cells, strict=True)))


def test_patients_and_lesions_are_never_pooled_together():
    rows = pd.DataFrame(ARMS).assign(unit=["patient", "lesion"])
    with pytest.raises(DataError, match="one unit at a time"):
        metaan.mantel_haenszel("OR", rows, **{name: name for name in ARMS})


def test_two_peaks_have_the_outermost_profile_limits():
    """Crossings of the likelihood by a fine grid in R: 0.00122 ... 3.071, and 0.825, 3.07, 6.032 (0 is inside)."""
    for y, v, low, high in (
        ([-0.701, 0.433, 9.018, -0.754, 0.197, -2.715, -0.193],
         [0.000496, 0.1095, 38.93, 0.000363, 3.112, 69.26, 1.782], 0.00122, 3.071),
        ([0.0168, -7.9477, 0.13014, -0.86345, 0.10729],
         [0.07139, 5.1867, 0.012873, 4.26483, 0.057538], 0.0, 6.032),
    ):  # fmt: skip
        eff = metaan.effects(y, v, data=pd.DataFrame({"x": y}))
        for res in (metaan.pool(eff), metaan.regress(eff, "~ 1")):
            found = metaan.tau2_interval(res, method="PL")
            assert found[0] == pytest.approx(low, abs=5e-6)
            assert found[1] == pytest.approx(high, abs=5e-4)


def test_differences_between_models_of_counts():
    """Peto and Mantel-Haenszel; rates by another measure and by likelihood; nodes with the interval; seeds."""
    rates = {"events": [0, 3, 1, 4], "total": [20, 44, 28, 30]}
    exact = metaan.glmm("PLO", **rates)
    raw = metaan.pool(metaan.effect_size("PR", **rates, correction="only0"))
    for a, b in (
        (metaan.peto(**ARMS), TABLES),
        (TABLES, metaan.peto(**ARMS)),
        (raw, exact),
        (exact, raw),
        (metaan.glmm("PLO", **rates, nodes=7), metaan.glmm("PLO", **rates, ci="profile")),
    ):
        why = metaan.explain_difference(a, b)
        assert why.table["moved"].sum() == pytest.approx(b.back().estimate - a.back().estimate, abs=1e-12)
        assert "unexplained" not in codes(why)
    one, other = (metaan.pool(EFF, pi="bootstrap", draws=200, seed=seed) for seed in (1, 2))
    assert "prediction interval does" in str(metaan.explain_difference(one, other))


def test_effects_with_sample_sizes_are_not_taken_for_sizes_alone():
    """PyMARE's datasets carry n beside their variances; pool_by_size has no variances to refit with."""
    with_sizes = metaan.from_pymare(metaan.Effects(yi=EFF.yi, vi=EFF.vi, study=EFF.study, measure="GEN",
                                                   inputs={"n": np.arange(10.0, 16)}).to_pymare())  # fmt: skip
    why = metaan.explain_difference(metaan.pool(with_sizes), metaan.pool(with_sizes, method="DL"))
    assert why.table["choice"].tolist() == ["start", "method"]
    sizes = metaan.pool_by_size(Y, [200, 150, 100, 20, 10, 400])
    with pytest.raises(OptionError, match="pool_by_size"):
        metaan.explain_difference(sizes, sizes)
