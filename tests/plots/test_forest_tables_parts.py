"""Forest tables in parts: subgroups, headings, refits, several models."""

import numpy as np
import pandas as pd
import pytest
from helpers.figures import effects, rates

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table

GROUPS = ["a", "b", "a", "c", "b", "a", "b", "a", "a"]


def rows(table, kind, group=None):
    found = table[table["row"] == kind]
    return found if group is None else found[found["group"] == group]


def said(table, kind="statistics"):
    return rows(table, kind)["study"].tolist()


def test_each_subgroup_has_its_heading_studies_summary_and_heterogeneity():
    sub = metaan.subgroups(rates(9), by=GROUPS)
    table = forest_table(sub, footnote=False)
    of_a = ["group", *["study"] * 5, "pooled", "prediction", "text"]
    of_b = ["group", *["study"] * 3, "pooled", "prediction", "text"]
    of_c = ["group", "study", "pooled"]
    assert table["row"].tolist() == [*of_a, *of_b, *of_c, "pooled", "prediction", *["statistics"] * 3]
    assert rows(table, "group")["study"].tolist() == ["a", "b", "c"]
    for name, group in sub.groups.items():
        shown, pooled = group.back(), rows(table, "pooled", name).iloc[0]
        assert (pooled["estimate"], pooled["low"], pooled["high"]) == (shown.estimate, shown.ci_low, shown.ci_high)
        assert rows(table, "study", name)["study"].tolist() == list(group.effects.study)
        assert pooled["total"] == group.effects.total.sum()
    assert (
        f"τ² = {sub.groups['a'].tau2:.3f}; I² = {sub.groups['a'].I2:.1f}%" in rows(table, "text", "a")["study"].item()
    )
    overall = rows(table, "pooled", "").iloc[0]
    assert overall["estimate"] == sub.overall.back().estimate
    assert overall["study"] == "Overall pooled rate (median study)"
    assert set(table["group"]) == {"a", "b", "c", ""}


def test_weights_of_subgroups_are_those_of_all_studies():
    eff = rates(9)
    sub = metaan.subgroups(eff, by=GROUPS)
    table = forest_table(sub)
    studies = rows(table, "study").set_index("study")
    np.testing.assert_array_equal(studies["weight"][list(eff.study)], sub.overall.weights)
    assert rows(table, "pooled", "")["weight"].item() == pytest.approx(100)
    for name in "abc":
        inside = rows(table, "study", name)["weight"].sum()
        assert rows(table, "pooled", name)["weight"].item() == pytest.approx(inside)
    assert said(table, "note")[0] == "Weights: of the studies in the model of all studies."


@pytest.mark.parametrize(("tau2", "test"), [("separate", "hk"), ("separate", "z"), ("common", "hk"), ("common", "z")])
def test_the_test_between_subgroups_says_which_tau2_it_rests_on(tau2, test):
    sub = metaan.subgroups(rates(9), by=GROUPS, tau2=tau2, test=test)
    table = forest_table(sub)
    line = said(table)[1]
    letter = "Q" if test == "z" else "F"
    assert line.startswith(f"Difference between subgroups: {letter} = {sub.Q_between:.2f}, df = 2")
    assert (f" and {sub.Q_df2:.1f}, " in line) == (test != "z")
    shared = f"; one τ² = {sub.groups['a'].tau2:.3f} for all"
    assert line.endswith(shared if tau2 == "common" else "; each subgroup its own τ²")
    assert ("τ²" in rows(table, "text", "a")["study"].item()) == (tau2 == "separate")
    assert said(table)[0].startswith("Heterogeneity of all studies: τ² = ")


def test_subgroups_by_a_column_name_it_and_keep_their_own_notes():
    data = pd.DataFrame({"events": [3, 4, 9, 8, 20], "total": [44, 30, 40, 33, 41], "therapy": list("xyxyz")})
    eff = metaan.effect_size("PLO", data, events="events", total="total")
    sub = metaan.subgroups(eff, by="therapy")
    for given in (sub, sub.back()):
        table = forest_table(given)
        assert "Difference between subgroups (therapy): " in said(table)[1]
        for note in sub.notes:
            assert any(note.text[:40].replace("tau2", "τ²") in text for text in said(table, "note"))
        assert "Subgroups: x " in table.attrs["alt"]
    many = forest_table(metaan.subgroups(rates(8), by=list("abcdefgg"), test="z"))
    assert "7 subgroups, from " in many.attrs["alt"]


def test_subgroups_by_glmm_shrink_within_each():
    eff = rates(9)
    sub = metaan.subgroups(eff, by=GROUPS, model="glmm")
    table = forest_table(sub, blup=True, sort="estimate")
    for name, group in sub.groups.items():
        studies = rows(table, "study", name)
        assert studies["estimate"].is_monotonic_increasing
        own = dict(zip(group.effects.study, group.back().blup, strict=True))
        np.testing.assert_allclose(studies["blup"], [own[label] for label in studies["study"]], rtol=1e-14)
        assert ("LR test" in " ".join(rows(table, "text", name)["study"])) == (group.k > 1)


def test_studies_with_one_label_and_equal_numbers_stay_apart():
    eff = metaan.effects([0.1, 0.1, 0.3, 0.4], [0.02] * 4, study=["A", "A", "B", "C"])
    table = forest_table(metaan.subgroups(eff, by=["x", "y", "x", "y"], method="CE", test="z"), prediction=False)
    assert rows(table, "study")["study"].tolist() == ["A", "B", "A", "C"]
    assert "common effect in each subgroup" in said(table)[1]


def test_headings_without_pooling():
    eff = rates(9)
    res = metaan.pool(eff)
    table = forest_table(res, group=GROUPS, sort="weight")
    assert rows(table, "group")["study"].tolist() == ["a", "b", "c"]
    assert len(rows(table, "pooled")) == 1
    assert rows(table, "pooled")["group"].item() == ""
    for name in "abc":
        assert rows(table, "study", name)["weight"].is_monotonic_decreasing
    plain = rows(forest_table(res), "study").set_index("study")
    pd.testing.assert_frame_equal(rows(table, "study").set_index("study")[plain.columns].loc[plain.index], plain)
    missing = forest_table(res, group=["x", None, *["x"] * 7])
    assert rows(missing, "group")["study"].tolist() == ["x", "Not given"]
    with pytest.raises(OptionError, match="subgroups of its own"):
        forest_table(metaan.subgroups(eff, by=GROUPS), group=GROUPS)
    with pytest.raises(OptionError, match="group must be a column of the data, or one label for each of 9"):
        forest_table(res, group=["a"])


@pytest.mark.parametrize("scale", ["analysis", "display"])
def test_refits_are_rows_on_the_display_scale(scale):
    eff = rates(6)
    res = metaan.pool(eff) if scale == "analysis" else metaan.pool(eff).back()
    shown = res.back()
    left = forest_table(metaan.leave_one_out(res))
    assert rows(left, "study")["study"].tolist() == [f"Without {name}" for name in eff.study]
    np.testing.assert_allclose(rows(left, "study")["estimate"], metaan.leave_one_out(shown)["estimate"], rtol=1e-14)
    pooled = rows(left, "pooled").iloc[0]
    assert (pooled["estimate"], pooled["low"], pooled["tau2"]) == pytest.approx(
        (shown.estimate, shown.ci_low, res.tau2)
    )
    assert rows(left, "prediction")["high"].item() == pytest.approx(shown.pi_high)
    assert left.attrs["right"] == ["estimate", "tau2", "I2"]
    assert rows(left, "study")["weight"].isna().all()
    assert "One left out at a time: " in left.attrs["alt"]
    added = forest_table(metaan.cumulative(res, ascending=False))
    names = [f"+ {name} (k = {k})" for k, name in enumerate(eff.study[::-1], 1)]
    assert rows(added, "study")["study"].tolist() == [names[0].removeprefix("+ "), *names[1:]]
    assert rows(added, "study")["estimate"].iloc[-1] == pytest.approx(shown.estimate)


def test_refits_of_clusters_models_and_coefficients():
    eff = rates(6)
    by = forest_table(metaan.leave_one_out(metaan.pool(eff), by=list("aabbcd")))
    assert rows(by, "study")["study"].tolist()[:3] == ["Without a (2 studies)", "Without b (2 studies)", "Without c"]
    beta = forest_table(metaan.leave_one_out(metaan.beta_binomial(events=eff.events, total=eff.total)))
    assert beta.attrs["right"] == ["estimate", "rho", "I2"]
    common = forest_table(metaan.leave_one_out(metaan.pool(effects(4), method="CE", test="z")))
    assert common.attrs["right"] == ["estimate", "I2"]
    data = metaan.effects([0.1, 0.2, 0.3, 0.5, 0.4], [0.01] * 5, data=pd.DataFrame({"x": [1, 2, 3, 5, 7]}))
    refits = metaan.leave_one_out(metaan.regress(data, "~ x"))
    with pytest.raises(OptionError, match="several coefficients"):
        forest_table(refits)
    slope = forest_table(refits[refits["term"] == "x"])
    assert slope.attrs["xlabel"] == "Coefficient of x"
    assert rows(slope, "pooled").empty


def test_refits_refuse_what_they_lack():
    res = metaan.pool(rates(5))
    for options in ({"sort": "estimate"}, {"group": list("aabbc")}):
        with pytest.raises(OptionError, match="order of a cumulative table"):
            forest_table(metaan.cumulative(res), **options)
    with pytest.raises(OptionError, match="interval, blup: of studies"):
        forest_table(metaan.leave_one_out(res), interval="wilson", blup=True)
    with pytest.raises(OptionError, match=r"res\.back\(\)"):
        forest_table(metaan.leave_one_out(metaan.pool(rates(5, measure="PFT"))))
    with pytest.raises(OptionError, match="without the attrs of a table of refits"):
        forest_table(pd.DataFrame(metaan.leave_one_out(res).to_numpy()))
    with pytest.raises(OptionError, match="forest_table already"):
        forest_table(forest_table(res))


def of_counts(eff):
    return {"events": eff.events, "total": eff.total, "study": eff.study}


def test_several_models_share_their_studies():
    eff = rates(7)
    models = {"GLMM": metaan.glmm("PLO", **of_counts(eff)), "Beta": metaan.beta_binomial(**of_counts(eff))}
    models["Bayes"] = metaan.bayes(eff)
    table = forest_table(models)
    assert len(rows(table, "study")) == 7
    assert rows(table, "pooled")["study"].tolist() == [
        "GLMM: pooled rate (median study)", "Beta: pooled rate (mean of studies)",
        "Bayes: posterior rate (median study)",
    ]  # fmt: skip
    np.testing.assert_array_equal(rows(table, "pooled")["estimate"], [r.back().estimate for r in models.values()])
    np.testing.assert_array_equal(rows(table, "prediction")["low"], [r.back().pi_low for r in models.values()])
    np.testing.assert_array_equal(rows(table, "study")["weight"], models["GLMM"].weights)
    assert rows(table, "pooled")["total"].notna().tolist() == [True, False, False]
    notes = said(table, "note")
    assert notes[0] == "Weights: of GLMM."
    assert sum("Clopper & Pearson" in note for note in notes) == 1
    assert "Beta. Prediction interval: quantiles of the fitted beta distribution, estimates taken as known." in notes
    assert [line.partition(".")[0] for line in said(table)] == ["GLMM", "GLMM", "Beta", "Beta", "Bayes", "Bayes"]
    same = {"t": metaan.pool(eff, test="t"), "z": metaan.pool(eff, test="z")}
    assert not any(note.startswith("Weights") for note in said(forest_table(same), "note"))
    forest(table)


def test_models_of_other_studies_are_refused():
    eff, eff6 = rates(5), rates(6)
    one = metaan.pool(eff)
    more = of_counts(eff) | {"total": eff.total + np.array([0, 0, 1, 0, 0])}
    refused = {
        "has no study 'de Bree 1994'": metaan.pool(rates(4)),
        "study \"O'Neill 1995\" is in 'two' alone": metaan.pool(eff6),
        f"Study 'Kowalczyk-Łęcka 1992' has total {eff.total[2]:g} in": metaan.glmm("PLO", **more),
        "cannot share an axis": metaan.pool(eff, level=0.9),
        "one pooled effect each": metaan.subgroups(eff, by=list("aabbb")),
        "res is a Effects": eff,
    }
    for message, other in refused.items():
        with pytest.raises(OptionError, match=message):
            forest_table({"one": one, "two": other})
    for models, message in (({}, "empty dict"), ({"one": effects(3)}, "res is a Effects")):
        with pytest.raises(OptionError, match=message):
            forest_table(models)
    with pytest.raises(OptionError, match="shrunken effects of its own"):
        forest_table({"one": one}, blup=True)
    given = metaan.effects([0.1, 0.2, 0.3], [0.01] * 3), metaan.effects([0.1, 0.2, 0.4], [0.01] * 3)
    with pytest.raises(OptionError, match=r"Study '3' has estimate 0.3 in 'a' and 0.4 in 'b'"):
        forest_table({"a": metaan.pool(given[0]), "b": metaan.pool(given[1])})
