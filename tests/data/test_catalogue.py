"""The catalogue and the published results count what the audit counts."""

from collections import defaultdict

import pytest
from helpers.evidence import load_keeping as load

from metaan import catalogue, published
from metaan.errors import OptionError
from metaan.evidence.options import NAME

from .conftest import FILES


@pytest.fixture(scope="module")
def lines():
    return catalogue().set_index("name")


def test_every_name_that_load_knows_has_one_line(lines):
    assert lines.index.tolist() == list(NAME.choices)


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_those_of_the_audit(name, lines, audit_tables):
    audited = {heading: int(number) for heading, number in audit_tables["counts"][name].items()}
    found = lines.loc[name, ["rows", "counted", "preferred", "studies", "patients", "without_patients"]]
    assert found.tolist() == list(audited.values())


def test_sums_over_files_are_those_of_the_audit(lines, audit_tables):
    audited = [int(number) for number in audit_tables["counts"]["all"].values()]
    found = lines.loc[list(FILES), ["rows", "counted", "preferred", "studies", "patients", "without_patients"]].sum()
    assert found.tolist() == audited


@pytest.mark.parametrize("name", FILES)
def test_lesions_are_the_largest_number_of_each_study_with_arms_added(name, lines, responses):
    largest, arms = defaultdict(int), defaultdict(lambda: defaultdict(int))
    for row in responses[name]:
        number = max(int(row["n_lesions"] or 0), int(row["total"] or 0) if row["unit"] == "lesion" else 0)
        largest[row["study_id"]] = max(largest[row["study_id"]], number)
        if row["role"] != "single" and not row["arm"].startswith("subgroup"):
            arm = arms[row["study_id"]]
            arm[row["arm"]] = max(arm[row["arm"]], number)
    total = {study: max(number, sum(arms[study].values())) for study, number in largest.items()}
    assert lines.loc[name, "lesions"] == sum(total.values())
    assert lines.loc[name, "without_lesions"] == sum(number == 0 for number in total.values())


def test_lesions_of_a_trial_are_those_of_both_arms(lines):
    # topical: one study gives lesions, 182 (AUDIT.md, section 3); miltefosine: none.
    assert lines.loc[["topical", "miltefosine"], "lesions"].tolist() == [182, 0]


def test_table_1_is_counted_as_printed(lines, rows):
    printed = rows["spratt2014"]
    line = lines.loc["spratt2014"]
    assert (line["studies"], line["rows"]) == (23, 23)
    assert line["patients"] == sum(int(row["n_patients"] or 0) for row in printed)
    assert line["without_patients"] == 1  # overgaard1985: AUDIT.md, section 5
    assert line["lesions"] == sum(int(row["n_lesions"]) for row in printed)


def test_every_line_can_be_loaded(lines):
    for name in lines.index:
        wide = {"unit": "patient", "site": "any", "outcome": "objective_response"}
        asked = {"spratt2014": {"outcome": "objective_response"}, "prevalence": {}}.get(name, wide)
        assert 0 < len(load(name, **asked)) <= lines.loc[name, "counted"]


def test_published_results_are_those_of_the_audit():
    everything = published()
    assert (len(everything), everything["review_id"].nunique()) == (46, 20)
    assert everything[["ci_low", "ci_high"]].notna().all(axis=1).sum() == 14
    assert everything["pooled_pct"].between(0, 100).all()


def test_one_review_can_be_asked_for():
    rates = published("spratt2014").set_index("outcome")["pooled_pct"]
    assert rates.to_dict() == {"complete_response": 35.5, "objective_response": 60.2, "recurrence": 9.2}
    with pytest.raises(OptionError, match="Did you mean 'spratt2014'"):
        published("sprat2014")


def test_changing_published_results_does_not_change_the_next_reading():
    first = published()
    first["pooled_pct"] = 0.0
    assert published()["pooled_pct"].max() == 100
