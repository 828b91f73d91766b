"""Evaluable and intention-to-treat denominators."""

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping as load
from hypothesis import given
from hypothesis import strategies as st

import metaan
from metaan import denominators
from metaan.errors import InputError, OptionError

POLICIES = ("evaluable", "itt", "best", "worst")


def trials(**columns):
    plain = {
        "study": ["Ames", "Bo", "Clark"],
        "study_id": ["a", "b", "c"],
        "arm": "single",
        "unit": "patient",
        "outcome": "complete_response",
        "events": [3, 0, 9],
        "total": [18, 10, 9],
    }
    frame = pd.DataFrame(plain | {"n_patients": [20, 10, 10], "n_lesions": [None] * 3} | columns)
    return frame.astype({"n_patients": "Int64", "n_lesions": "Int64"})


@pytest.mark.parametrize(
    ("outcome", "policy", "events", "total"),
    [
        ("complete_response", "evaluable", [3, 0, 9], [18, 10, 9]),
        ("complete_response", "itt", [3, 0, 9], [20, 10, 10]),
        ("complete_response", "best", [5, 0, 10], [20, 10, 10]),
        ("complete_response", "worst", [3, 0, 9], [20, 10, 10]),
        ("toxicity_grade3plus", "itt", [3, 0, 9], [20, 10, 10]),
        ("toxicity_grade3plus", "best", [3, 0, 9], [20, 10, 10]),
        ("toxicity_grade3plus", "worst", [5, 0, 10], [20, 10, 10]),
        ("recurrence", "worst", [3, 0, 9], [18, 10, 9]),
    ],
)
def test_policies(outcome, policy, events, total):
    frame = denominators(trials(outcome=outcome), policy=policy)
    assert frame["events"].tolist() == events
    assert frame["total"].tolist() == total
    assert frame["events_evaluable"].tolist() == [3, 0, 9]
    assert frame["total_evaluable"].tolist() == [18, 10, 9]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_best_and_worst_bound_the_rest(numbers):
    events = [x for x, _, _ in numbers]
    total = [x + other + 1 for x, other, _ in numbers]
    treated = [n + lost for n, (_, _, lost) in zip(total, numbers, strict=True)]
    k = len(numbers)
    frame = pd.DataFrame(
        {
            "study": [f"s{i}" for i in range(k)],
            "study_id": [f"s{i}" for i in range(k)],
            "arm": "single",
            "unit": "patient",
            "outcome": "objective_response",
            "events": events,
            "total": total,
            "n_patients": pd.array(treated, dtype="Int64"),
            "n_lesions": pd.array([None] * k, dtype="Int64"),
        }
    )
    rate = {
        policy: (lambda f: f["events"] / f["total"])(denominators(frame, policy=policy, most_missing=0.99))
        for policy in POLICIES
    }
    assert (rate["worst"] <= rate["evaluable"] + 1e-12).all()
    assert (rate["evaluable"] <= rate["best"] + 1e-12).all()
    assert (rate["worst"] == rate["itt"]).all()
    best = denominators(frame, policy="best", most_missing=0.99)
    assert (best["events"] <= best["total"]).all()
    assert best["events"].dtype == best["total"].dtype == np.int64


def test_lesions_go_by_the_number_of_lesions():
    frame = denominators(trials(unit="lesion", n_patients=[1, 1, 1], n_lesions=[20, 12, 9]), policy="itt")
    assert frame["total"].tolist() == [20, 12, 9]


def test_the_trial_s_number_is_not_the_arm_s():
    arms = {"study_id": ["a", "a", "c"], "arm": ["one", "two", "single"]}
    same = denominators(trials(**arms, n_patients=[20, 20, 10]), policy="itt")
    assert same["total"].tolist() == [18, 10, 10]
    own = denominators(trials(**arms, n_patients=[20, 11, 10]), policy="itt")
    assert own["total"].tolist() == [20, 11, 10]
    # gonzalez1988 gives 18 patients for two arms of 9; one of the arms alone tells no more.
    alone = load("radiotherapy", outcome="objective_response", unit="patient", site="any")
    row = denominators(alone, policy="itt", most_missing=0.9).set_index("study_id").loc["gonzalez1988"]
    assert row["total"] == 9
    assert pd.isna(row["missing"])


def test_the_evidence_gains_those_who_were_lost():
    loaded = load("miltefosine", outcome="complete_response")
    frame = denominators(loaded, policy="itt").set_index("study_id")
    assert frame.loc["terwogt1999", ["events", "total", "missing"]].tolist() == [7, 33, 3]  # 33 treated, 30 evaluable
    assert frame.loc["smorenburg2000", ["events", "total", "missing"]].tolist() == [0, 20, 2]
    assert frame.loc["clive1999", ["total", "missing"]].tolist() == [25, 0]
    assert "'Terwogt 1999', 'Smorenburg 2000'" in frame.attrs["metaan"]["notes"][-1]["text"]
    assert "denominators" not in {note["code"] for note in loaded.attrs["metaan"]["notes"]}


def test_a_part_that_was_asked_is_not_taken_for_a_loss():
    loaded = load("radiotherapy", outcome="complete_response", unit="patient", site="any")
    frame = denominators(loaded, policy="itt").set_index("study_id")
    assert frame.loc["linthorst2012", "total"] == 15  # those with macroscopic disease, of 36
    assert "As loaded" in frame.attrs["metaan"]["notes"][-1]["text"]
    assert frame.loc["zagar2010", "total"] == 27


def test_a_result_says_whose_denominator_it_is():
    frame = denominators(load("miltefosine", outcome="objective_response"), policy="itt")
    res = metaan.glmm("PLO", frame, events="events", total="total", study="study")
    assert "those without an outcome had no event" in str(res)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"policy": "ITT"}, OptionError, "Did you mean 'itt'"),
        ({}, {"policy": "itt", "most_missing": 1}, OptionError, "share"),
        ({}, {"policy": "itt", "most_missing": "a third"}, OptionError, "share"),
        ({"outcome": "stable_disease"}, {"policy": "best"}, OptionError, "neither the better nor the worse"),
    ],
)
def test_bad_requests(change, options, error, message):
    with pytest.raises(error, match=message):
        denominators(trials(**change), **options)


def test_once_and_with_the_columns():
    with pytest.raises(InputError, match="changed already"):
        denominators(denominators(trials(), policy="itt"), policy="itt")
    with pytest.raises(InputError, match="lacks n_patients"):
        denominators(trials().drop(columns="n_patients"), policy="itt")
