"""Studies that share patients are refused, preferred by a documented rule, or kept with a warning."""

import itertools

import pandas as pd
import pytest
from helpers.evidence import load_keeping

import metaan
from metaan import load, overlaps
from metaan.errors import InputError, OptionError, OverlapWarning

from .conftest import FILES

PREFER = ("prefer_largest", "prefer_primary")
OBJECTIVE = {"outcome": "objective_response", "unit": "lesion"}


@pytest.fixture(scope="module")
def relations(rows):
    """Relation of each study to each of its groups, as the file says."""
    return {(row["cohort_group"], row["study_id"]): row["relation"] for row in rows["overlaps"]}


def pairs(studies, relations):
    """Pairs of one group, two parts of one collection apart; written anew, as the reference."""
    groups = {}
    for group, study in relations:
        groups.setdefault(group, set()).add(study)
    return {
        frozenset(pair)
        for group, members in groups.items()
        for pair in itertools.combinations(members & set(studies), 2)
        if {relations[group, study] for study in pair} != {"subset"}
    }


SELECTIONS = [
    (name, outcome, unit, site)
    for name in (*FILES, "all")
    for outcome in ("complete_response", "objective_response")
    for unit in ("lesion", "patient")
    for site in ("cutaneous_metastases", "any")
]


@pytest.mark.parametrize(("name", "outcome", "unit", "site"), SELECTIONS)
def test_every_policy_does_what_it_says(name, outcome, unit, site, relations):
    asked = {"outcome": outcome, "unit": unit, "site": site}
    try:
        every = load_keeping(name, **asked)
    except InputError:
        pytest.skip("no row")
    found = pairs(every["study_id"], relations)
    if not found:
        assert load(name, **asked)["row"].tolist() == every["row"].tolist()
        return
    with pytest.raises(OptionError, match="overlaps="):
        load(name, **asked)
    with pytest.warns(OverlapWarning, match="share patients"):
        load(name, **asked, overlaps="keep")
    for policy in PREFER:
        kept = load(name, **asked, overlaps=policy)
        assert not pairs(kept["study_id"], relations)
        out = set(every["study_id"]) - set(kept["study_id"])
        for study in out:  # nothing leaves without a study that stays in its place
            assert any(frozenset((study, other)) in found for other in kept["study_id"])
        story = metaan.explain(kept)
        assert set(story.rows.loc[story.rows["reason"] == "overlaps", "study_id"]) == out
        assert story.kept + len(story.rows) == story.total
        assert "overlap" not in {note.code for note in story.notes}


def test_objective_response_to_electrochemotherapy_per_lesion():
    with pytest.raises(OptionError) as raised:
        load("electrochemotherapy", **OBJECTIVE)
    said = str(raised.value)
    assert said.startswith("12 of 20 studies of electrochemotherapy share patients")
    assert "Kis 2011 contains Kis 2010" in said
    for policy in (*PREFER, "keep"):
        assert repr(policy) in said
    largest = set(load("electrochemotherapy", **OBJECTIVE, overlaps="prefer_largest")["study_id"])
    primary = set(load("electrochemotherapy", **OBJECTIVE, overlaps="prefer_primary")["study_id"])
    assert len(largest) == len(primary) == 14
    # Kis 2011 (158 lesions) collects Kis 2010 (81): the one is larger, the other the original series.
    assert largest ^ primary == {"kis2010", "kis2011"}
    assert "kis2011" in largest


def test_of_two_studies_the_larger_stays():
    every = load_keeping("electrochemotherapy", **OBJECTIVE).set_index("study_id")["total"]
    kept = set(load("electrochemotherapy", **OBJECTIVE, overlaps="prefer_largest")["study_id"])
    assert every["bourke2017"] > every["marty2006"]
    assert kept & {"bourke2017", "marty2006"} == {"bourke2017"}


def test_a_study_read_in_a_review_yields_to_one_read_in_the_original():
    rows = pd.DataFrame(
        {
            "study_id": ["marty2006", "bourke2017"],
            "total": [100, 10],
            "year": [2006, 2017],
            "source_kind": ["review", "primary"],
        }
    )
    from metaan.evidence.overlap import chosen

    assert chosen(rows, "prefer_primary") == {"marty2006": "bourke2017"}
    assert chosen(rows, "prefer_largest") == {"bourke2017": "marty2006"}


def test_order_of_the_rows_does_not_matter():
    from metaan.evidence.overlap import chosen

    rows = load_keeping("electrochemotherapy", outcome="complete_response", unit="patient", site="any")
    for policy in PREFER:
        expected = set(chosen(rows, policy))
        for seed in range(5):
            assert set(chosen(rows.sample(frac=1, random_state=seed), policy)) == expected


def test_loading_is_deterministic():
    asked = {"outcome": "complete_response", "unit": "patient", "site": "any", "overlaps": "prefer_primary"}
    first, again = load("electrochemotherapy", **asked), load("electrochemotherapy", **asked)
    pd.testing.assert_frame_equal(first, again)
    assert first.attrs == again.attrs


def test_pairs_are_listed_with_their_relations(relations):
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    found = overlaps(trials)
    assert {frozenset(pair) for pair in zip(found["study_id_a"], found["study_id_b"], strict=True)} == pairs(
        trials["study_id"], relations
    )
    for line in found.itertuples():
        assert line.relation_a == relations[line.cohort_group, line.study_id_a]
        assert line.relation_b == relations[line.cohort_group, line.study_id_b]
    assert found.loc[found["contained"], ["study_a", "study_b"]].to_numpy().tolist() == [["Kis 2011", "Kis 2010"]]
    assert overlaps(trials.iloc[:0]).empty
    with pytest.raises(InputError, match="study_id"):
        overlaps(trials[["events"]])


def test_a_result_repeats_the_caution():
    trials = load_keeping("electrochemotherapy", **OBJECTIVE)
    columns = {"events": "events", "total": "total", "study": "study"}
    exact = metaan.glmm("PLO", trials, **columns)
    logits = metaan.pool(metaan.effect_size("PLO", trials, **columns, correction="only0"))
    for res in (exact, logits, exact.back()):
        notes = {note.code: note for note in res.notes}
        assert "Kis 2010 (in Kis 2011)" in notes["overlap"].text
        assert "too narrow" in notes["lesions"].text
    assert "share patients" in str(exact)
    kept = load("electrochemotherapy", **OBJECTIVE, overlaps="prefer_largest")
    assert "overlap" not in {note.code for note in metaan.glmm("PLO", kept, **columns).notes}


def test_the_scopes_of_response_are_not_mixed():
    asked = {"outcome": "objective_response", "unit": "patient", "site": "any", "overlaps": "prefer_largest"}
    with pytest.raises(OptionError, match=r"2 scopes .*choose one, e.g. scope='treated_lesions'"):
        load("intralesional", **asked, scope="any")
    with pytest.raises(OptionError, match="2 scopes"):
        load("intralesional", **asked, scope=["treated_lesions", "whole_patient"])
    assert set(load("intralesional", **asked, scope="whole_patient")["response_scope"]) == {"whole_patient"}


def test_a_control_arm_stays_out_beside_its_experimental_arm():
    asked = {"outcome": "complete_response", "unit": "patient", "site": "any"}
    trials = load_keeping("radiotherapy", **asked)
    vernon = trials[trials["study_id"] == "vernon1996"]
    assert vernon["arm"].tolist() == ["RT+HT"]
    assert load_keeping("radiotherapy", **asked, role="any")["study_id"].tolist().count("vernon1996") == 2
    alone = load_keeping("radiotherapy", **asked, therapy="radiotherapy")
    assert "vernon1996" in set(alone["study_id"])  # its own experimental arm is not asked for


def test_hyperthermia_has_both_arms_of_a_trial_in_one_row(responses):
    asked = {"outcome": "complete_response", "confidence": "any", "counts": "any"}
    for unit, studies in (("patient", ["perez1986", "vernon1996", "jones2005"]), ("lesion", None)):
        trials = load_keeping("hyperthermia", unit=unit, **asked)
        if studies:
            assert trials["study_id"].tolist() == studies
        for row in trials.itertuples():
            for arm, therapy in (("t", "radiotherapy_hyperthermia"), ("c", "radiotherapy")):
                source = responses["radiotherapy"][getattr(row, f"row_{arm}") - 1]
                assert (source["study_id"], source["therapy"], source["unit"]) == (row.study_id, therapy, unit)
                assert int(source["events"]) == getattr(row, f"events_{arm}")
                assert int(source["total"]) == getattr(row, f"total_{arm}")
        story = metaan.explain(trials)
        assert story.kept == 2 * len(trials)
        assert "hand1997" in set(story.rows.loc[story.rows["reason"] == "one arm", "study_id"])


def test_prevalence_and_all(rows):
    shares = load("prevalence", overlaps="prefer_largest")
    assert set(shares["outcome"]) == {"skin_metastases"}
    assert shares["study_id"].is_unique
    assert "populations" in {note.code for note in metaan.explain(shares).notes}
    asked = {"outcome": "complete_response", "unit": "patient", "overlaps": "prefer_largest"}
    breast = load("all", **asked, primary_tumour="breast")
    assert set(breast["primary_tumour"]) == {"breast"}
    assert len(set(breast["file"])) > 3
    for row in breast.itertuples():
        source = [line for name in FILES for line in rows[name]][row.row - 1]
        assert (source["study_id"], source["events"]) == (row.study_id, str(row.events))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("topical", {"overlaps": "largest"}, "Did you mean 'prefer_largest'"),
        ("topical", {"agent": "aspirin"}, "No agent of topical contains 'aspirin'"),
        ("topical", {"agent": ""}, "must be part of an agent's name"),
        ("topical", {"design": "trial"}, "Choose one of case_report"),
        ("topical", {"primary_tumour": "brest"}, "Did you mean 'breast'"),
        ("topical", {"role": "treated"}, "role='treated' is not known"),
        ("topical", {"role": ["intended", "control"]}, "'intended' only by itself"),
        ("prevalence", {"site": "any"}, "site='any' does not apply to prevalence"),
        ("hyperthermia", {"therapy": "radiotherapy"}, "does not apply to hyperthermia"),
        ("spratt2014", {"overlaps": "prefer_largest"}, "does not apply to spratt2014"),
    ],
)
def test_what_cannot_be_honoured_is_refused(name, options, message):
    outcome = {} if name == "prevalence" else {"outcome": "complete_response"}
    with pytest.raises(OptionError, match=message):
        load(name, **outcome, **options)
