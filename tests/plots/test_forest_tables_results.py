"""Forest tables of every kind of result."""

import numpy as np
import pandas as pd
import pytest
from helpers.figures import effects, rates

import metaan
from metaan.errors import OptionError
from metaan.plot import forest_table
from metaan.plot.forest_alt import in_words

ARMS = {
    "events_t": [3, 4, 5, 9], "total_t": [20, 30, 40, 50], "events_c": [6, 7, 8, 20], "total_c": [20, 30, 40, 44],
    "study": ["Ames", "Bo", "Clark", "Davis"],
}  # fmt: skip
MEANS = {
    "mean_t": [3, 4, 5],
    "sd_t": [1, 1, 2],
    "n_t": [20, 30, 40],
    "mean_c": [2, 4, 4],
    "sd_c": [1, 2, 1],
    "n_c": [20, 30, 44],
}
TIMES = {"events": [0, 4, 5, 9], "time": [20.5, 30, 40, 50]}
NESTED = metaan.effects([0.1, 0.3, 0.5, 0.4, 0.2, 0.0], [0.01] * 6, study=["A", "A", "B", "B", "C", "C"])


def rows(table, kind):
    return table[table["row"] == kind]


def said(table, kind="statistics"):
    return rows(table, kind)["study"].tolist()


def test_a_beta_binomial_model_names_rho_and_its_test():
    eff = rates(9)
    res = metaan.beta_binomial(events=eff.events, total=eff.total)
    table = forest_table(res)
    assert said(table)[0] == (
        f"Heterogeneity: ρ = {res.rho:.3f} (95% CI {res.rho_low:.3f} to {res.rho_high:.3f}); "
        f"LR test of ρ = 0: {res.lrt:.1f}, p < 0.001"
    )
    assert "Q =" not in said(table)[0]
    assert rows(table, "pooled")["study"].item() == "Pooled rate (mean of studies)"
    assert any("n/(1 + (n − 1)ρ)" in note for note in said(table, "note"))
    none = metaan.beta_binomial(events=[0, 0, 0], total=[9, 9, 9])
    assert said(forest_table(none))[0] == "Heterogeneity: not estimable; ρ set to 0"


@pytest.mark.parametrize("icc", [None, 0.3])
def test_a_clustered_model_names_its_icc(icc):
    patients = {"events": [3, 9, 14, 5, 20, 2], "total": [20, 30, 40, 24, 44, 16], "patients": [8, 11, 20, 9, 13, 7]}
    res = metaan.clustered_binomial(pd.DataFrame(patients), icc=icc, **{name: name for name in patients})
    table = forest_table(res)
    line = said(table)[1]
    assert line.startswith(f"Lesions of one patient: ICC = {res.rho:.2f} (95% CI " if icc is None else "Lesions of one")
    assert ("LR test of ICC = 0" in line) == (icc is None)
    assert line.endswith("ICC = 0.3, assumed") == (icc is not None)
    assert f"LR test of τ² = 0: {res.lrt:.2f}" in said(table)[0]
    assert any("lesions taken as independent" in note for note in said(table, "note"))


@pytest.mark.parametrize(
    ("measure", "name", "scale"),
    [
        ("RD", "Risk difference", "effect"), ("OR", "Odds ratio", "ratio"), ("RR", "Risk ratio", "ratio"),
        ("MD", "Mean difference", "effect"), ("SMD", "Standardised difference", "effect"),
        ("ROM", "Ratio of means", "ratio"),
    ],
)  # fmt: skip
def test_two_arms_stand_under_their_headings(measure, name, scale):
    columns = MEANS if measure in ("MD", "SMD", "ROM") else ARMS
    eff = metaan.effect_size(measure, **columns)
    table = forest_table(metaan.pool(eff))
    given = [column for column in columns if column != "study"]
    assert table.attrs["left"] == ["study", *given]
    assert table.attrs["spans"] == {
        "Treatment": [column for column in given if column.endswith("_t")],
        "Control": [column for column in given if column.endswith("_c")],
    }
    assert table.attrs["headings"]["estimate"] == table.attrs["xlabel"] == name
    assert (table["scale"] == scale).all()
    assert rows(table, "pooled")["study"].item() == f"Pooled {name.lower()}"
    for column in given:
        np.testing.assert_array_equal(rows(table, "study")[column], columns[column])
        total = rows(table, "pooled")[column].item()
        assert np.isnan(total) if column[:2] in ("me", "sd") else total == sum(columns[column])


@pytest.mark.parametrize("fit", ["glmm", "mantel_haenszel", "peto"])
def test_models_of_two_by_two_tables_show_the_tables(fit):
    res = {
        "glmm": lambda: metaan.glmm("OR", model="UM.FS", **ARMS),
        "mantel_haenszel": lambda: metaan.mantel_haenszel("OR", **ARMS),
        "peto": lambda: metaan.peto(**ARMS),
    }[fit]()
    table = forest_table(res)
    assert table.attrs["left"] == ["study", "events_t", "total_t", "events_c", "total_c"]
    np.testing.assert_array_equal(rows(table, "study")["events_c"], ARMS["events_c"])
    assert rows(table, "pooled")["estimate"].item() == res.back().estimate
    assert ("τ²" in said(table)[0]) == (fit == "glmm")


@pytest.mark.parametrize("measure", ["IR", "IRLN", "IRS", "IRFT"])
def test_incidence_rates_are_events_over_time(measure):
    res = metaan.pool(metaan.effect_size(measure, correction="only0" if measure in ("IR", "IRLN") else None, **TIMES))
    table = forest_table(res)
    studies = rows(table, "study")
    np.testing.assert_allclose(studies["estimate"], np.array(TIMES["events"]) / TIMES["time"], rtol=1e-15)
    # R: poisson.test(4, 30)$conf.int, poisson.test(0, 20.5)$conf.int
    np.testing.assert_allclose(studies[["low", "high"]].iloc[1], [0.0363288457875, 0.3413862891801], rtol=1e-11)
    np.testing.assert_allclose(studies[["low", "high"]].iloc[0], [0.0, 0.179945339225], rtol=1e-11)
    assert (table["scale"] == "amount").all()
    assert table.attrs["left"] == ["study", "events", "time"]
    assert table.attrs["xlabel"] == "Incidence rate (events per unit of time)"
    assert rows(table, "pooled")["time"].item() == sum(TIMES["time"])
    assert any("Garwood 1936" in note for note in said(table, "note"))


def test_means_and_correlations_do_not_show_the_estimate_twice():
    table = forest_table(metaan.pool(metaan.effect_size("MN", mean=[1, 2, 3], sd=[1, 1, 1], n=[10, 20, 30])))
    assert table.attrs["left"] == ["study", "sd", "n"]
    table = forest_table(metaan.pool(metaan.effect_size("ZCOR", r=[0.1, 0.2, 0.5], n=[10, 20, 30])))
    assert table.attrs["left"] == ["study", "n"]
    np.testing.assert_allclose(rows(table, "study")["estimate"], [0.1, 0.2, 0.5])


def test_a_multilevel_mean_names_the_variance_of_each_level():
    fit = metaan.multilevel(NESTED, "study/estimate")
    for res in (fit, metaan.robust(fit, "study")):
        table = forest_table(res, blup=True)
        pooled, new = rows(table, "pooled").iloc[0], fit.predict().iloc[0]
        assert (pooled["estimate"], pooled["low"], pooled["high"]) == (res.estimate[0], res.ci_low[0], res.ci_high[0])
        assert rows(table, "prediction")["low"].item() == pytest.approx(new["pi_low"], rel=1e-12)
        assert said(table)[0].startswith(
            "Heterogeneity: σ² = 0.025 between study (3; I² = 62.5%); σ² = 0.005 between estimate (6; I² = 12.5%); Q"
        )
        np.testing.assert_array_equal(rows(table, "study")["blup"], fit.blup)
        assert rows(table, "study")["blup_low"].isna().all()
    assert "cluster-robust interval (CR2)" in said(table)[1]


def test_moderators_have_no_single_effect():
    eff = metaan.effects([0.1, 0.2, 0.3, 0.5], [0.01] * 4, data=pd.DataFrame({"x": [1, 2, 3, 5]}))
    with pytest.raises(OptionError, match=r"no single pooled effect to draw \(2 coefficients"):
        forest_table(metaan.regress(eff, "~ x"))


def test_a_posterior_has_raw_and_shrunken_estimates():
    eff = rates(8)
    res = metaan.bayes(eff)
    table, shown = forest_table(res), res.back()
    studies = rows(table, "study")
    np.testing.assert_array_equal(studies["estimate"], eff.events / eff.total)
    np.testing.assert_array_equal(studies[["blup", "blup_low", "blup_high"]].T, shown.theta[[0, 3, 4]])
    assert rows(table, "pooled")["estimate"].item() == shown.estimate
    assert said(table, "prediction") == ["95% posterior predictive interval"]
    assert "priors: τ half-normal(1), μ flat" in said(table)[1]
    assert any("credible intervals (equal tails)" in note for note in said(table, "note"))
    assert table.attrs["interval"] == "interval"
    assert "95% CrI" in table.attrs["alt"]
    assert "blup" not in forest_table(res, blup=False)


@pytest.mark.parametrize("fit", ["pool", "glmm", "beta"])
def test_shrunken_effects_stand_on_the_display_scale(fit):
    eff = rates(8)
    counts = {"events": eff.events, "total": eff.total}
    res = {
        "pool": lambda: metaan.pool(eff),
        "glmm": lambda: metaan.glmm("PLO", **counts),
        "beta": lambda: metaan.beta_binomial(**counts),
    }[fit]()
    for given in (res, res.back()):
        studies = rows(forest_table(given, blup=True), "study")
        np.testing.assert_allclose(studies["blup"], res.back().blup, rtol=1e-14)
        half = 1.959963984540054 * res.blup_se
        for column, limit in (("blup_low", res.blup - half), ("blup_high", res.blup + half)):
            np.testing.assert_allclose(studies[column], 1 / (1 + np.exp(-limit)), rtol=1e-12)
    with pytest.raises(OptionError, match="one common effect has no effects of single studies"):
        forest_table(metaan.pool(eff, method="CE"), blup=True)


def test_the_words_are_those_of_the_table():
    table = forest_table(metaan.pool(rates(12)))
    pooled, new = rows(table, "pooled").iloc[0], rows(table, "prediction").iloc[0]
    assert (
        table.attrs["alt"]
        == in_words(table)
        == (
            f"Forest plot of 12 studies. Pooled rate (median study) {100 * pooled.estimate:.1f}% (95% CI "
            f"{100 * pooled.low:.1f}% to {100 * pooled.high:.1f}%). 95% prediction interval {100 * new.low:.1f}% to "
            f"{100 * new.high:.1f}%. {said(table)[0]}."
        )
    )
    assert in_words(table[table["study"] != "Adams 1991"]).startswith("Forest plot of 11 studies. Pooled")
    assert forest_table(metaan.pool(rates(1))).attrs["alt"].startswith("Forest plot of 1 study. Pooled rate")
    alt = forest_table(metaan.pool(effects(5))).attrs["alt"]
    assert "Pooled effect 0." in alt or "Pooled effect -0." in alt
