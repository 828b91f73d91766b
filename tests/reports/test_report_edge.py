"""Reports of results at the edge: one study, no events, tau2 of 0, several rows of one study."""

import pandas as pd
import pytest

import metaan

SECTIONS = ["methods", "data", "heterogeneity", "sensitivity", "small_study", "multiverse", "limitations"]


@pytest.fixture
def told(tmp_path):
    """Text of a report."""

    def text(res):
        return metaan.report(res, tmp_path / "x.md", sections=SECTIONS).read_text(encoding="utf-8")

    return text


def test_one_study_has_no_multiverse(told):
    said = told(metaan.glmm("PLO", events=[3], total=[12], study=["Ames"]))
    assert "**1 study that was pooled.**" in said
    assert "one study has nothing to be pooled with" in said
    assert "nan" not in said


def test_no_events_leave_nothing_to_diagnose(told):
    said = told(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    assert "Without any one study the rate remains 0.0%." in said
    assert "Influence diagnostics cannot be computed" in said
    assert "Influential by" not in said
    assert "integrated numerically" not in said


def test_prediction_interval_says_what_it_rests_on(told):
    flat = told(metaan.glmm("PLO", events=[3, 5, 2], total=[12, 30, 9]))
    assert "With τ² estimated as 0 the prediction interval tells only how well the mean is known" in flat
    assert "With τ² at 0 the likelihood has a closed form." in flat
    spread = told(metaan.glmm("PLO", events=[7, 11, 0, 19, 5], total=[12, 30, 9, 41, 42]))
    assert "normal on the scale of the analysis, which 5 studies can hardly show" in spread
    assert "integrated numerically" in spread


def test_methods_name_every_test_of_heterogeneity(told):
    counts = told(metaan.glmm("PLO", events=[7, 11, 0, 19, 5], total=[12, 30, 9, 41, 42]))
    assert "by the likelihood-ratio test of τ² = 0" in counts
    assert "Likelihood-ratio test of τ² = 0:" in counts
    assert "I² and Q are those of the empirical rates" in counts
    effects = told(metaan.pool(metaan.effects([-0.31, 0.52, 1.204], [0.12, 0.08, 0.33])))
    assert "likelihood-ratio" not in effects
    assert "The interval of τ² is that of the Q-profile method" in effects


def test_two_arms_tell_which_trials_the_table_lacks(told):
    arms = {
        "events_t": [9, 6, 3, 0],
        "total_t": [20, 15, 18, 25],
        "events_c": [5, 2, 4, 0],
        "total_c": [21, 14, 22, 24],
    }
    said = told(metaan.glmm("OR", **arms, study=["Ames", "Bo", "Clark", "Dee"]))
    data = said.split("## Data and sources")[1].split("\n## ")[0]
    assert "nothing is said on OR by 1 trial: 'Dee'" in data
    assert "every combination of estimator of τ² and of test that is defined" in said
    assert "analyses of observations" not in said
    every = said.split("## Multiverse: other estimators and intervals")[1].split("\n## ")[0]
    assert "by inverse variance, which the result of this report does not" in every
    assert "4 (Kenward-Roger is defined for REML only)" in every
    assert "not the pooled effect" not in said  # 0.5 is added in every one of these analyses


def test_interval_of_a_new_study_beside_hartung_knapp(told):
    eff = metaan.effects([0.1, 0.11, 0.1, 0.12], [0.05, 0.06, 0.04, 0.05])
    res = metaan.pool(eff)
    assert res.tau2 == 0
    assert res.pi_high - res.pi_low > 1.5 * (res.ci_high - res.ci_low)
    assert "no wider than" not in told(res)


def test_a_study_with_several_rows_counts_once(told, tmp_path):
    res = metaan.glmm("PLO", events=[7, 11, 0], total=[12, 30, 9], study=["Ames", "Bo", "Bo"])
    names = ["question", "data", "methods", "limitations"]
    said = metaan.report(res, tmp_path / "y.md", sections=names).read_text(encoding="utf-8")
    assert said.startswith("# Meta-analysis of 3 estimates of 2 studies: rate")
    assert "**3 estimates of 2 studies that were pooled.**" in said
    assert "3 studies" not in said


def test_standardised_differences_are_named(told):
    arms = {"mean_t": [5, 6, 7.2], "sd_t": [2, 2, 2.5], "n_t": [20, 30, 15], "mean_c": [4, 6, 6], "sd_c": [2, 3, 2.2]}
    arms["n_c"] = [21, 28, 16]
    assert "Hedges' g" in told(metaan.pool(metaan.effect_size("SMD", **arms)))
    assert "with the large-sample variance" not in told(metaan.pool(metaan.effect_size("SMD", **arms, variance="UB")))
    assert "Hedges' g" not in told(metaan.pool(metaan.effect_size("SMD", **arms, bias="none")))


def test_options_without_a_part_are_told(told):
    one = told(metaan.glmm("PLO", events=[3], total=[12], study=["Ames"]))
    assert "not used: the interval of one study is normal" in one
    assert "not used: there is no prediction interval" in one
    none = told(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    assert "not used: there is no standard error" in none
    assert "have little power" not in none


def test_checklist_covers_what_the_data_hold(tmp_path, trials):
    def covered(given, name):
        said = metaan.report(given, tmp_path / name, multiverse=False, figures=False).read_text(encoding="utf-8")
        table = said.split("**PRISMA 2020 and this report.**")[1].splitlines()
        cells = [line.split(" | ") for line in table if line.startswith("| ")]
        return {row[0].removeprefix("| ") for row in cells if "](#" in row[2]}

    own = covered(metaan.glmm("PLO", events=[3, 5], total=[12, 30]), "own.md")
    assert own & {"4", "13d", "19"} == {"4", "13d", "19"}
    assert not own & {"5", "9", "10b", "13e", "16a", "16b", "17", "20a", "20c"}
    whole = covered(metaan.glmm("PLO", trials, events="events", total="total", study="study"), "whole.md")
    assert {"5", "9", "16a", "17", "20a"} <= whole
    eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
    groups = metaan.subgroups(eff, by=["a", "b"] * 3, method="DL", test="z")
    assert {"13e", "20c"} <= covered(groups, "groups.md")


def test_sources_that_are_known_in_part(tmp_path):
    rows = pd.DataFrame({"study": ["A", "B"], "events": [3, 5], "total": [12, 30], "source": ["Smith 2001", None]})
    res = metaan.glmm("PLO", rows, events="events", total="total", study="study")
    said = metaan.report(res, tmp_path / "x.md", sections="data").read_text(encoding="utf-8")
    assert "Counts lead to their source where it is known." in said
    assert "No source given." in said


def test_funnel_says_where_it_draws_a_study_without_events(tmp_path):
    counts = {"events": [7, 11, 0, 19, 5], "total": [12, 30, 9, 41, 42]}
    ask = {"sections": "small_study", "figures": True}
    said = metaan.report(metaan.glmm("PLO", **counts), tmp_path / "x.md", **ask).read_text(encoding="utf-8")
    assert "drawn as if 0.5 were added to their counts" in said
    counts["events"][2] = 1
    said = metaan.report(metaan.glmm("PLO", **counts), tmp_path / "y.md", **ask).read_text(encoding="utf-8")
    assert "Funnel plot" in said
    assert "0.5 were added" not in said


@pytest.mark.parametrize("k", [20, 21])
def test_numbers_on_an_axis_are_those_of_the_table(tmp_path, k):
    res = metaan.glmm("PLO", events=[i % 7 for i in range(k)], total=[20 + i for i in range(k)])
    said = metaan.report(res, tmp_path / "x.md", sections="sensitivity", figures=True).read_text(encoding="utf-8")
    assert ("| Study | No. |" in said) == (k > 20)
