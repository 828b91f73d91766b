"""`load` returns exactly the rows that its arguments ask for."""

import json
import pickle
from itertools import product

import pandas as pd
import pytest
from helpers.evidence import load_keeping as load

from metaan.errors import InputError, OptionError

from .conftest import FILES, read_rows

RESPONSES = ("complete_response", "objective_response")
UNITS = ("lesion", "patient")
SCOPES = ("treated_lesions", "whole_patient", "untreated_lesions")
CELLS = [(name, outcome, unit) for name in FILES for outcome in RESPONSES for unit in UNITS]
UNGRADED = {"counts": "any", "confidence": "any", "arms": "any", "role": "any"}
OWN = {name: {name} for name in FILES} | {"radiotherapy": {"radiotherapy", "radiotherapy_hyperthermia"}}


def audited(table, name, outcome, unit):
    """Studies and sum of denominators in a cell of the audit: "22 (2702)", or "0"."""
    column = f"{'CR' if outcome == 'complete_response' else 'OR'} per {unit}"
    studies, _, total = table[name][column].partition(" ")
    return int(studies), int(total.strip("()") or 0)


def found(name, outcome, unit, scopes=("treated_lesions",), **options):
    """Studies and sum of denominators that `load` gives, scope by scope; (0, 0) where nothing is left."""
    studies, total = set(), 0
    for scope in scopes:
        try:
            trials = load(name, outcome=outcome, unit=unit, scope=scope, **options)
        except InputError:
            continue
        studies |= set(trials["study_id"])
        total += int(trials["total"].sum())
    return len(studies), total


@pytest.mark.parametrize(("name", "outcome", "unit"), CELLS)
def test_without_grading_the_selection_is_the_table_of_the_audit(name, outcome, unit, audit_tables):
    expected = audited(audit_tables["skin metastases"], name, outcome, unit)
    assert found(name, outcome, unit, **UNGRADED) == expected


def test_the_audited_numbers_of_electrochemotherapy():
    assert found("electrochemotherapy", "complete_response", "lesion", **UNGRADED) == (22, 2702)
    assert found("electrochemotherapy", "complete_response", "patient", **UNGRADED) == (13, 1123)
    assert found("electrochemotherapy", "objective_response", "lesion", **UNGRADED) == (20, 2601)
    assert found("electrochemotherapy", "objective_response", "patient", **UNGRADED) == (14, 1242)


# The audit's table of all sites counts three comparator groups that are not the treatment of the file:
# calcium electroporation (experimental arm of falk2018 and agoston2020, 18 lesions each; both trials have an
# electrochemotherapy arm too) and heat alone (3 lesions of overgaard1987, which has no other arm there).
COMPARATORS = {
    ("electrochemotherapy", "complete_response", "lesion"): (0, 18 + 18),
    ("electrochemotherapy", "objective_response", "lesion"): (0, 18 + 18),
    ("radiotherapy", "objective_response", "lesion"): (1, 3),
}


@pytest.mark.parametrize(("name", "outcome", "unit"), CELLS)
def test_at_all_sites_the_selection_is_the_table_of_the_audit_without_comparators(name, outcome, unit, audit_tables):
    therapy = ["radiotherapy", "radiotherapy_hyperthermia", "mixed"] if name == "radiotherapy" else None
    studies, total = found(
        name,
        outcome,
        unit,
        site="any",
        scopes=["treated_lesions", "whole_patient"],
        therapy=therapy,
        **UNGRADED,
    )
    more_studies, more_total = COMPARATORS.get((name, outcome, unit), (0, 0))
    expected = audited(audit_tables["everywhere"], name, outcome, unit)
    assert (studies + more_studies, total + more_total) == expected


def selected_by_hand(name, outcome, unit):
    return {
        (row["study_id"], row["arm"], int(row["events"]), int(row["total"]))
        for row in read_rows(name)
        if row["outcome"] == outcome
        and row["unit"] == unit
        and row["therapy"] in OWN[name]
        and row["site"] == "cutaneous_metastases"
        and row["response_scope"] == "treated_lesions"
        and row["counts"] in ("printed", "derived")
        and row["confidence"] in ("high", "medium")
        and row["preferred"] == "yes"
        and not row["arm"].startswith("subgroup")
    }


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", FILES)
def test_the_defaults_select_what_they_say(name, unit):
    for outcome in {row["outcome"] for row in read_rows(name)}:
        expected = selected_by_hand(name, outcome, unit)
        if not expected:
            with pytest.raises(InputError, match=f"No row of {name} is left for {outcome}"):
                load(name, outcome=outcome, unit=unit)
            continue
        trials = load(name, outcome=outcome, unit=unit)
        got = list(zip(trials["study_id"], trials["arm"], trials["events"], trials["total"], strict=True))
        assert len(got) == len(expected)
        assert set(got) == expected


@pytest.mark.parametrize(
    ("option", "narrow", "wide"),
    [
        ("site", "cutaneous_metastases", "any"),
        ("site", "cutaneous_metastases", ["cutaneous_metastases", "mixed"]),
        ("role", "experimental", "any"),
        ("design", "rct", "any"),
        ("primary_tumour", "melanoma", "any"),
        ("agent", "il-2", "any"),
        ("counts", "printed", "derived"),
        ("counts", "derived", "any"),
        ("confidence", "high", "medium"),
        ("confidence", "medium", "any"),
        ("arms", "whole", "any"),
        ("arms", "subgroup", "any"),
        ("preferred", "yes", "any"),
        ("therapy", "intralesional", "any"),
    ],
)
def test_a_wider_value_admits_more(option, narrow, wide):
    asked = {
        "outcome": "objective_response",
        "unit": "patient",
        "site": "any",
        "scope": "whole_patient" if option in ("counts", "therapy") else "treated_lesions",
        "confidence": "any",
        "role": "any",
    }
    few, many = (set(load("intralesional", **asked | {option: value})["row"]) for value in (narrow, wide))
    assert few < many


@pytest.mark.parametrize("study", ["falk2018", "agoston2020"])
@pytest.mark.parametrize("outcome", RESPONSES)
def test_electrochemotherapy_enters_where_it_is_the_control_arm(study, outcome):
    trials = load("electrochemotherapy", outcome=outcome, unit="lesion").set_index("study_id")
    assert trials.loc[study, ["arm", "role"]].tolist() == ["ECT", "control"]


@pytest.mark.parametrize(("name", "outcome"), sorted({(f, row["outcome"]) for f in FILES for row in read_rows(f)}))
def test_no_other_treatment_enters_however_wide_the_selection(name, outcome):
    everything = {"site": "any", "preferred": "any", **UNGRADED}
    for unit, scope in product(UNITS, SCOPES):
        try:
            trials = load(name, outcome=outcome, unit=unit, scope=scope, **everything)
        except InputError:
            continue
        assert set(trials["therapy"]) <= OWN[name]
        assert not trials["agent"].str.contains("calcium|placebo|GM-CSF subcutaneous").any()


def test_a_comparator_enters_when_it_is_asked_for():
    placebo = load("miltefosine", outcome="objective_response", therapy="other", counts="any", confidence="any")
    assert placebo[["study", "arm", "events", "total"]].to_numpy().tolist() == [["Leonard 2001", "placebo", 1, 27]]


def test_radiotherapy_is_alone_or_with_heat_and_never_both_in_one_count():
    asked = {"outcome": "objective_response", "unit": "lesion", "site": "any"}
    both = load("radiotherapy", **asked)
    alone = load("radiotherapy", therapy="radiotherapy", **asked)
    heat = load("radiotherapy", therapy="radiotherapy_hyperthermia", **asked)
    assert set(both["row"]) == set(alone["row"]) | set(heat["row"])
    assert "overgaard1995" not in set(both["study_id"])  # both arms counted together
    assert load("radiotherapy", therapy="mixed", **asked)["study_id"].tolist() == ["overgaard1995"]
    codes = [note["code"] for note in both.attrs["metaan"]["notes"]]
    assert "therapies" in codes
    assert "therapies" not in [note["code"] for note in alone.attrs["metaan"]["notes"]]


@pytest.fixture(scope="module")
def every_selection():
    """Every name, outcome and unit, by default and with everything admitted."""
    wide = {"site": "any", "therapy": "any", "preferred": "any", **UNGRADED}
    frames = []
    for name in FILES:
        for outcome in {row["outcome"] for row in read_rows(name)}:
            for unit in UNITS:
                for options in ({}, *(wide | {"scope": scope} for scope in SCOPES)):
                    try:
                        frames.append((options, load(name, outcome=outcome, unit=unit, **options)))
                    except InputError:
                        continue
    assert len(frames) > 80
    return frames


def test_counts_are_whole_numbers_without_gaps(every_selection):
    for _, trials in every_selection:
        assert (trials["events"].dtype, trials["total"].dtype) == ("int64", "int64")
        assert ((trials["events"] >= 0) & (trials["events"] <= trials["total"])).all()


def test_labels_are_unique_and_rows_in_order(every_selection):
    for _, trials in every_selection:
        assert trials["study"].is_unique
        assert (trials["study"] != "").all()
        assert trials["year"].dropna().is_monotonic_increasing
        assert trials["row"].is_unique
        assert list(trials.index) == list(range(len(trials)))


def test_by_default_no_arm_is_counted_twice(every_selection):
    for options, trials in every_selection:
        if not options:
            assert not trials.duplicated(["study_id", "arm"]).any()
            assert trials[["unit", "outcome"]].drop_duplicates().shape[0] == 1


def test_a_row_points_to_its_place_in_the_file(every_selection):
    for _, trials in every_selection:
        table = read_rows(trials.attrs["metaan"]["selection"]["name"])
        for row in trials.itertuples():
            source = table[row.row - 1]
            assert (source["study_id"], source["url"], source["events"]) == (
                row.study_id,
                row.url,
                str(row.events),
            )


@pytest.mark.parametrize(
    ("name", "outcome", "options", "label"),
    [
        ("electrochemotherapy", "complete_response", {"unit": "patient", "site": "any"}, "Campana 2016"),
        ("electrochemotherapy", "complete_response", {"unit": "patient", "site": "any"}, "Campana 2014 (hn)"),
        ("electrochemotherapy", "complete_response", {"unit": "lesion", "site": "any"}, "Clover 2020 (rct)"),
        ("intralesional", "objective_response", {"unit": "patient"}, "Triozzi 2005a"),
        ("intralesional", "objective_response", {"unit": "patient"}, "Cancer 1975"),
        ("electrochemotherapy", "objective_response", {"unit": "patient"}, "Braz J Otorhinolaryngol 2024"),
        ("radiotherapy", "objective_response", {"unit": "lesion", "site": "any"}, "Radiother Oncol 1992"),
        ("radiotherapy", "complete_response", {"unit": "patient", "site": "any", "role": "any"}, "Vernon 1996, RT+HT"),
    ],
)
def test_labels_are_readable(name, outcome, options, label):
    assert label in set(load(name, outcome=outcome, **options)["study"])


def test_unit_may_be_left_out_where_only_one_occurs():
    trials = load("miltefosine", outcome="objective_response")
    assert set(trials["unit"]) == {"patient"}
    assert trials.attrs["metaan"]["selection"]["unit"] == "patient"


def test_unit_must_be_chosen_where_both_occur():
    with pytest.raises(OptionError, match=r"per lesion in 22 studies and per patient in 12 .*choose unit='lesion'"):
        load("electrochemotherapy", outcome="complete_response")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("electrochemoterapy", {"outcome": "complete_response"}, "Did you mean 'electrochemotherapy'"),
        ("nothing", {}, "Choose one of electrochemotherapy, photodynamic"),
        (
            "topical",
            {},
            r"outcome is missing. topical has, with numbers of studies: .*complete_response \(\d",
        ),
        ("topical", {"outcome": "complete"}, "Did you mean 'complete_response'"),
        ("topical", {"outcome": "local_control"}, "outcome='local_control' is not known"),
        ("topical", {"outcome": "complete_response", "unit": "lesions"}, "Did you mean 'lesion'"),
        ("topical", {"outcome": "complete_response", "site": "skin"}, "site='skin' is not known"),
        ("topical", {"outcome": "complete_response", "site": ["mixed", "any"]}, "'any' only by itself"),
        ("topical", {"outcome": "complete_response", "site": []}, "at least one value"),
        ("topical", {"outcome": "complete_response", "scope": "treated"}, "Did you mean 'treated_lesions'"),
        ("topical", {"outcome": "complete_response", "counts": "inferred"}, "counts='inferred' is not known"),
        ("topical", {"outcome": "complete_response", "confidence": "low"}, "confidence='low' is not known"),
        ("topical", {"outcome": "complete_response", "arms": True}, "arms=True is not known"),
        ("topical", {"outcome": "complete_response", "preferred": "no"}, "preferred='no' is not known"),
        (
            "topical",
            {"outcome": "complete_response", "therapy": "radiotherapy"},
            "Choose one of topical, any",
        ),
        ("spratt2014", {"outcome": "recurrence"}, "Choose one of complete_response, objective_response"),
        ("spratt2014", {"outcome": "complete_response", "unit": "patient"}, "unit='patient' does not apply"),
        ("spratt2014", {"outcome": "complete_response", "site": "any"}, "site='any' does not apply"),
        ("spratt2014", {"outcome": "complete_response", "counts": "any"}, "counts='any' does not apply"),
        ("spratt2014", {"outcome": "complete_response", "therapy": "ect"}, "Did you mean 'ECT'"),
    ],
)
def test_unknown_values_raise_with_the_choices(name, options, message):
    with pytest.raises(OptionError, match=message):
        load(name, **options)


def test_an_empty_selection_says_what_emptied_it():
    with pytest.raises(InputError, match=r"Of 7 rows, 7 by unit \(counted per patient\)"):
        load("miltefosine", outcome="complete_response", unit="lesion")


@pytest.mark.parametrize(
    ("outcome", "therapy", "number"),
    [
        ("complete_response", "ECT", 11),
        ("complete_response", "PDT", 5),
        ("complete_response", "RT", 2),
        ("complete_response", "ILT", 2),
        ("objective_response", "ECT", 11),
        ("objective_response", "PDT", 5),
        ("objective_response", "RT", 2),
        ("objective_response", "ILT", 4),
        ("complete_response", None, 20),
        ("objective_response", None, 22),
        ("objective_response", ["PDT", "RT"], 7),
    ],
)
def test_table_1_of_spratt_stands_as_printed(outcome, therapy, number, rows):
    trials = load("spratt2014", outcome=outcome, therapy=therapy)
    chosen = {"ECT", "PDT", "RT", "ILT"}
    if therapy:
        chosen = {therapy} if isinstance(therapy, str) else set(therapy)
    printed = {
        (int(row["row"]), row["study_id"], row["therapy"], int(row[outcome]), int(row["n_lesions"]))
        for row in rows["spratt2014"]
        if row[outcome] and row["therapy"] in chosen
    }
    got = set(zip(*(trials[c] for c in ("row", "study_id", "therapy", "events", "total")), strict=True))
    assert len(trials) == number
    assert got == printed
    assert set(trials["unit"]) == {"lesion"}
    assert trials["study"].is_unique


def test_the_record_is_plain_and_survives():
    trials = load("electrochemotherapy", outcome="complete_response", unit="lesion")
    record = trials.attrs["metaan"]
    assert json.loads(json.dumps(record)) == record
    assert record["kept"] == len(trials)
    assert record["kept"] + sum(line["rows"] for line in record["left_out"]) == record["rows"]
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(trials)), trials)
    assert pickle.loads(pickle.dumps(trials)).attrs == trials.attrs
    both = pd.concat([trials, load("electrochemotherapy", outcome="complete_response", unit="patient")])
    assert len(both) == len(trials) + 12


def test_a_note_counts_what_the_defaults_left_out():
    trials = load("miltefosine", outcome="objective_response")
    notes = {note["code"]: note["text"] for note in trials.attrs["metaan"]["notes"]}
    # By hand: the placebo arm twice, the percentage of Leonard 2001, the skin lymphomas of Dummer 1993, the
    # inferred count of Leonard 2001.
    assert notes["left-out"] == "5 of 8 rows left out: therapy 2, no counts 1, site 1, counts 1."


def test_changing_a_frame_does_not_change_the_next_one():
    first = load("topical", outcome="complete_response", unit="patient")
    first.loc[:, "events"] = 0
    first.attrs["metaan"]["selection"]["name"] = "changed"
    again = load("topical", outcome="complete_response", unit="patient")
    assert again["events"].sum() > 0
    assert again.attrs["metaan"]["selection"]["name"] == "topical"
