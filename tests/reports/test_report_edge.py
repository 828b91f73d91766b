"""Reports of results at the edge: one study, no events, tau2 of 0, several rows of one study."""

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
    assert "Influential by the usual rule" not in said
    assert "integrated numerically" not in said


def test_prediction_interval_says_what_it_rests_on(told):
    flat = told(metaan.glmm("PLO", events=[3, 5, 2], total=[12, 30, 9]))
    assert "no wider than that of the mean, and likely too short" in flat
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
    assert "every combination of estimator of τ² and of test" in said
    assert "analyses of observations" not in said


def test_funnel_says_where_it_draws_a_study_without_events(tmp_path):
    counts = {"events": [7, 11, 0, 19, 5], "total": [12, 30, 9, 41, 42]}
    ask = {"sections": "small_study", "figures": True}
    said = metaan.report(metaan.glmm("PLO", **counts), tmp_path / "x.md", **ask).read_text(encoding="utf-8")
    assert "drawn as if 0.5 were added to their counts" in said
    counts["events"][2] = 1
    said = metaan.report(metaan.glmm("PLO", **counts), tmp_path / "y.md", **ask).read_text(encoding="utf-8")
    assert "Funnel plot" in said
    assert "0.5 were added" not in said
