"""The table behind a forest plot."""

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from helpers.figures import effects, rates

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table
from metaan.plot.wording import symbols


def rows(table, kind):
    return table[table["row"] == kind]


def test_a_line_for_each_study_then_summary_statistics_and_notes():
    eff = rates(12)
    table = forest_table(metaan.pool(eff))
    assert table["row"].tolist()[:16] == ["study"] * 12 + ["pooled", "prediction", "statistics", "statistics"]
    assert set(table["row"].tolist()[16:]) == {"note"}
    assert rows(table, "study")["study"].tolist() == list(eff.study)


def test_studies_have_their_own_rate_and_interval_not_the_corrected_one():
    eff = rates(12)
    res = metaan.pool(eff)
    studies = rows(forest_table(res, interval="wilson"), "study")
    low, high = metaan.rate_interval(eff.events, eff.total, interval="wilson")
    np.testing.assert_array_equal(studies["estimate"], eff.events / eff.total)
    np.testing.assert_array_equal(studies["low"], low)
    np.testing.assert_array_equal(studies["high"], high)
    np.testing.assert_array_equal(studies["weight"], res.weights)
    assert studies["estimate"].iloc[0] == 0
    assert studies["estimate"].iloc[1] == 1


def test_the_pooled_line_is_the_result_on_the_scale_of_rates():
    eff = rates(7)
    res = metaan.pool(eff, level=0.9)
    table, shown = forest_table(res), res.back()
    pooled, prediction = rows(table, "pooled").iloc[0], rows(table, "prediction").iloc[0]
    assert (pooled["estimate"], pooled["low"], pooled["high"]) == (
        shown.estimate,
        shown.ci_low,
        shown.ci_high,
    )
    assert (pooled["events"], pooled["total"]) == (eff.events.sum(), eff.total.sum())
    assert (prediction["low"], prediction["high"]) == (shown.pi_low, shown.pi_high)
    assert prediction["study"] == "90% prediction interval"
    assert (table["level"] == 0.9).all()


def test_either_scale_of_a_result_gives_the_same_table():
    res = metaan.pool(rates(5))
    pd.testing.assert_frame_equal(forest_table(res), forest_table(res.back()))


def test_freeman_tukey_turns_back_at_the_chosen_size():
    res = metaan.pool(rates(6, measure="PFT"))
    table = forest_table(res.back(n="min"))
    assert rows(table, "pooled")["estimate"].item() == res.back(n="min").estimate
    assert any("Freeman-Tukey values turned back" in text for text in rows(table, "note")["study"])


@pytest.mark.parametrize("why", ["two studies", "not wanted", "none asked for"])
def test_no_prediction_line_without_an_interval(why):
    res = metaan.pool(rates(2 if why == "two studies" else 5), pi="none" if why == "none asked for" else "t")
    assert rows(forest_table(res, prediction=why != "not wanted"), "prediction").empty


def test_effects_have_no_counts_and_keep_their_scale():
    eff = effects(6)
    table = forest_table(metaan.pool(eff))
    studies = rows(table, "study")
    half = 1.959963984540054 * np.sqrt(eff.vi)
    np.testing.assert_array_equal(studies["estimate"], eff.yi)
    np.testing.assert_allclose(studies["low"], eff.yi - half, rtol=1e-12)
    np.testing.assert_allclose(studies["high"], eff.yi + half, rtol=1e-12)
    assert table[["events", "total"]].isna().all(axis=None)
    assert (table["scale"] == "effect").all()
    assert rows(table, "pooled")["study"].item() == "Pooled effect"


def test_logits_without_counts_are_shown_as_rates():
    yi, vi = np.array([-1.0, 0.0, 2.0]), np.array([0.1, 0.2, 0.3])
    studies = rows(forest_table(metaan.pool(metaan.effects(yi, vi, measure="PLO"))), "study")
    np.testing.assert_allclose(studies["estimate"], 1 / (1 + np.exp(-yi)), rtol=1e-14)
    assert ((studies["low"] < studies["estimate"]) & (studies["estimate"] < studies["high"])).all()
    assert studies["total"].isna().all()


@pytest.mark.parametrize(
    ("sort", "column", "ascending"),
    [("estimate", "estimate", True), ("weight", "weight", False), ("total", "total", False)],
)
def test_sorted_by_a_column(sort, column, ascending):
    res = metaan.pool(rates(12))
    values = rows(forest_table(res, sort=sort), "study")[column]
    assert values.is_monotonic_increasing if ascending else values.is_monotonic_decreasing
    assert not values.equals(rows(forest_table(res), "study")[column])


def test_sorted_by_label_whatever_the_case():
    res = metaan.pool(rates(4, study=["de Bree", "Zorn", "Adams", "clark"]))
    assert rows(forest_table(res, sort="label"), "study")["study"].tolist() == [
        "Adams",
        "clark",
        "de Bree",
        "Zorn",
    ]


def test_sorting_moves_whole_lines():
    res = metaan.pool(rates(12))
    given, sorted_ = (rows(forest_table(res, sort=sort), "study") for sort in (None, "estimate"))
    pd.testing.assert_frame_equal(
        given.sort_values("study").reset_index(drop=True), sorted_.sort_values("study").reset_index(drop=True)
    )


def test_the_sentences_carry_the_numbers_of_the_result():
    res = metaan.pool(rates(9), method="PM", test="z")
    heterogeneity, model = rows(forest_table(res), "statistics")["study"]
    assert heterogeneity.startswith(
        f"Heterogeneity: τ² = {res.tau2:.3f}; I² = {res.I2:.1f}%; Q = {res.Q:.2f}, df = 8, p"
    )
    assert model == "Model: random effects on logit rates, PM estimate of τ²; normal (z) interval"


def counts(events, total, **options):
    return metaan.glmm("PLO", events=events, total=total, **options)


def test_a_glmm_tells_its_likelihood_ratio_test():
    res = counts([1, 9, 14, 2], [20, 20, 20, 20])
    table = forest_table(res)
    assert rows(table, "statistics")["study"].iloc[0] == (
        f"Heterogeneity: τ² = {res.tau2:.3f}; I² = {res.I2:.1f}%; LR test of τ² = 0: {res.lrt:.1f}, p < 0.001"
    )
    said = " ".join(rows(table, "note")["study"])
    assert "I² from empirical logits (0.5 added at 0 and n). Weights 1/(τ² + 1/[n p(1−p)])" in said
    quiet = forest_table(counts([5, 6, 5], [20, 20, 20]))
    assert rows(quiet, "statistics")["study"].iloc[0].endswith("LR test of τ² = 0: 0.00, p = 1.000")


@pytest.mark.parametrize(
    ("events", "line", "weights"),
    [
        ([0, 0, 0], "not estimable; τ² set to 0", "Weights: shares of the total."),
        ([20, 20, 20], "not estimable; τ² set to 0", "Weights: shares of the total."),
        ([0, 20, 0], "not estimable; τ² held at 100", "Weights 1/(τ²"),
    ],
)
def test_counts_that_say_nothing_of_tau2_have_neither_test_nor_i2(events, line, weights):
    table = forest_table(counts(events, [20, 20, 20]))
    assert rows(table, "statistics")["study"].iloc[0] == f"Heterogeneity: {line}"
    said = rows(table, "note")["study"].tolist()
    assert not any("I²" in text for text in said)
    assert sum(text.startswith(weights) for text in said) == 1


@pytest.mark.parametrize("measure", ["PR", "PLO", "PLN", "PAS", "PFT", "GLMM", "CE"])
def test_the_rate_of_the_median_study_is_called_so(measure):
    eff = rates(8, measure=measure if measure.startswith("P") else "PLO")
    if measure == "GLMM":
        res = counts(eff.events, eff.total)
    else:
        res = metaan.pool(eff, method="CE" if measure == "CE" else "REML")
    table = forest_table(res)
    median = measure not in ("PR", "CE")
    pooled = rows(table, "pooled").iloc[0]
    assert pooled["study"] == ("Pooled rate (median study)" if median else "Pooled rate")
    assert pooled["total"] == eff.total.sum()
    notes = rows(table, "note")["study"].tolist()
    assert ("Pooled rate: of the median study, not events divided by total." in notes) == median


def test_without_counts_the_footnote_says_nothing_of_them():
    res = metaan.pool(metaan.effects([-2.0, 0.0, 2.0], [0.1, 0.1, 0.1], measure="PLO"))
    assert "Pooled rate: of the median study." in rows(forest_table(res), "note")["study"].tolist()


def test_notes_are_drawn_with_one_spelling_of_each_statistic():
    for res in (counts([5, 6, 5], [20, 20, 20]), counts([0, 20, 0], [20, 20, 20]), metaan.pool(rates(1))):
        said = " ".join(rows(forest_table(res), "note")["study"])
        assert "τ" in said
        assert not {"tau2", "tau", "I2"} & set(said.replace(";", " ").split())
    assert symbols("tau2, I2 and H2; tau = 1 (taut, AI2)") == "τ², I² and H²; τ = 1 (taut, AI2)"


def test_one_study_claims_no_heterogeneity_and_no_hartung_knapp():
    heterogeneity, model = rows(forest_table(metaan.pool(rates(1))), "statistics")["study"]
    assert heterogeneity == "Heterogeneity: not estimable from one study"
    assert "Hartung" not in model


def test_small_tau2_is_not_printed_as_zero():
    res = metaan.pool(metaan.effects([1e-3, 9e-3, 20e-3], [1e-6, 1e-6, 1e-6]))
    assert 0 < res.tau2 < 5e-4
    assert f"τ² = {res.tau2:.3g};" in rows(forest_table(res), "statistics")["study"].iloc[0]


def test_notes_tell_corrections_and_intervals_once():
    res = metaan.pool(rates(12))
    notes = rows(forest_table(res, interval="jeffreys"), "note")["study"].tolist()
    assert notes[1].startswith("Intervals of the studies: equal-tailed Beta(1/2, 1/2) posterior")
    assert "Prediction interval: t distribution" in notes[1]
    assert len(set(notes)) == len(notes)
    assert [note for note in notes if note.startswith("0.5 added")] == [str(res.effects.notes[0])]
    assert rows(forest_table(res, footnote=False), "note").empty


def loaded(trials):
    return metaan.pool(metaan.effect_size("PLO", trials, events="events", total="total", study="study"))


def test_cautions_of_loaded_rows_follow_the_rows_in_hand():
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    told = " ".join(rows(forest_table(loaded(trials)), "note")["study"])
    assert "lesions of one patient are alike" in told
    assert "share patients" in told
    assert "rows left out" not in told
    sharing = next(note for note in metaan.explain(trials).notes if note.code == "overlap").studies
    alone = trials[~trials["study"].isin(sharing)]
    assert "share patients" not in " ".join(rows(forest_table(loaded(alone)), "note")["study"])
    bare = trials[["study", "events", "total"]]
    assert "share patients" in " ".join(rows(forest_table(loaded(bare)), "note")["study"])


@pytest.mark.parametrize(
    ("therapy", "unit", "outcome", "label"),
    [
        ("electrochemotherapy", "lesion", "complete_response", "Complete response (% of lesions)"),
        ("intralesional", "patient", "objective_response", "Objective response (% of patients)"),
    ],
)
def test_the_axis_says_what_was_loaded(therapy, unit, outcome, label):
    trials = load_keeping(therapy, outcome=outcome, unit=unit)
    exact = metaan.glmm("PLO", trials, events="events", total="total", study="study")
    for res in (exact, exact.back(), loaded(trials[trials["events"].between(1, trials["total"] - 1)])):
        assert forest(res).get_xlabel() == label
    assert forest(forest_table(exact)).get_xlabel() == label
    assert forest(exact, xlabel="Gone").get_xlabel() == "Gone"
    assert forest(exact).get_title() == ""


def test_counts_other_than_those_loaded_are_plain_rates():
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    left = trials.assign(left=trials["total"] - trials["events"])
    assert left.attrs == trials.attrs
    others = metaan.glmm("PLO", left, events="left", total="total")
    bare = metaan.glmm("PLO", events=trials["events"], total=trials["total"])
    for res in (others, bare, metaan.pool(rates(4))):
        assert forest(res).get_xlabel() == "Rate (%)"
        assert forest_table(res).attrs.keys() == {"alt"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sort": "wieght"}, "Did you mean 'weight'"),
        ({"sort": 3}, "sort=3 is not known"),
        ({"interval": "wald"}, "interval='wald' is not known"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        forest_table(metaan.pool(rates(3)), **options)


def test_totals_that_are_not_known_cannot_sort():
    with pytest.raises(OptionError, match="these studies have none"):
        forest_table(metaan.pool(effects(3)), sort="total")


def test_only_results_have_a_table():
    with pytest.raises(OptionError, match="res is a Effects"):
        forest_table(effects(3))
