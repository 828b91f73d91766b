"""The tables hold what AUDIT.md says they hold, and no row contradicts itself."""

import ast
import re
from collections import Counter

import pytest

from metaan.evidence import options
from metaan.evidence.check_rules import audited_exceptions

from .conftest import FILES


def counted(row):
    return bool(row["events"] and row["total"])


def all_rows(responses):
    return [row for name in FILES for row in responses[name]]


def test_headline_numbers(audit, rows, responses):
    everything = all_rows(responses)
    studies = len({row["study_id"] for row in everything})
    assert f"Out: responses {len(everything)} (" in audit
    assert f"References: {len(rows['references'])} ({studies} studies with response rows" in audit
    groups = len({row["cohort_group"] for row in rows["overlaps"]})
    assert f"overlaps.csv: {len(rows['overlaps'])} entries in {groups} groups" in audit


def test_keys_without_a_preferred_row_are_counted_in_front_of_their_lists(audit):
    section = audit.split("## 4.")[1].split("Order of preference")[0]
    numbers = [int(number) for number in re.findall(r"^- .*?\((\d+)\): ", section, flags=re.MULTILINE)]
    assert len(numbers) == 5
    assert sum(numbers) == len(audited_exceptions(audit))


def test_rows_of_every_table_add_up_as_audited(audit, rows, responses):
    line = next(text for text in audit.splitlines() if text.startswith("Out: responses"))
    listed = dict(re.findall(r"(\w+) (\d+)(?=[,)])", line))
    assert {name: int(number) for name, number in listed.items()} == {n: len(r) for n, r in responses.items()}
    others = {name: int(number) for name, number in re.findall(r"\+ (\w+) (\d+)", line)}
    assert sum(others.values()) + len(all_rows(responses)) == int(re.search(r"Rows read: (\d+)", audit).group(1))
    assert others.pop("excluded") == sum(left_rows(audit, "why a study row left").values())
    assert others == {name: len(rows[name]) for name in ("prevalence", "composition")}


def test_excluded_rows_are_listed_with_a_reason_unless_they_repeat_another(audit, rows):
    studies, pooled = left_rows(audit, "why a study row left"), left_rows(audit, "why a pooled row left")
    repeated = studies.pop("same numbers read twice"), pooled.pop("duplicate")
    listed = len(rows["excluded"])
    assert sum(studies.values()) + sum(pooled.values()) <= listed
    assert listed < sum(studies.values()) + sum(pooled.values()) + sum(repeated)
    assert all(row["reason"] for row in rows["excluded"])
    assert (
        sum(row["reason"].startswith("not identifiable") for row in rows["excluded"])
        == studies["study not identifiable"]
    )


def left_rows(audit, heading):
    """One of the two tables of section 1: reason and number of rows."""
    block = audit.split(f"| {heading} | rows |\n|---|---|\n")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in block.splitlines()]
    return {reason: int(number) for reason, number in cells}


@pytest.mark.parametrize("name", FILES)
def test_counts_of_each_file_are_those_audited(name, responses, audit_tables):
    table = responses[name]
    audited = audit_tables["counts"][name]
    assert len(table) == int(audited["rows"])
    assert sum(counted(row) for row in table) == int(audited["rows with counts"])
    assert sum(row["preferred"] == "yes" for row in table) == int(audited["preferred=yes"])
    assert len({row["study_id"] for row in table}) == int(audited["studies"])


def test_kinds_of_counts_are_those_audited(audit, responses):
    def kinds(chosen):
        return dict(Counter(row["counts"] or "percentage only" for row in chosen))

    everything = all_rows(responses)
    preferred = [row for row in everything if row["preferred"] == "yes"]
    line = next(text for text in audit.splitlines() if text.startswith("Counts, all rows:"))
    printed = [ast.literal_eval(text) for text in re.findall(r"\{.*?\}", line)]
    confidence = dict(Counter(row["confidence"] for row in preferred))
    sources = dict(Counter(row["source_kind"] for row in preferred))
    assert printed == [kinds(everything), kinds(preferred), sources, confidence]


@pytest.mark.parametrize(
    ("column", "option", "also"),
    [
        ("unit", options.UNIT, set()),
        ("site", options.SITE, set()),
        ("response_scope", options.SCOPE, set()),
        ("therapy", options.THERAPY, set()),
        ("outcome", options.OUTCOME, set()),
        ("confidence", options.CONFIDENCE, {"low"}),
        ("counts", options.COUNTS, {"inferred", ""}),
        ("preferred", options.PREFERRED, {"no"}),
    ],
)
def test_no_value_lies_outside_the_vocabulary_of_the_loader(column, option, also, responses):
    used = {row[column] for row in all_rows(responses)}
    assert used == (set(option.choices) - {"any"}) | also


def test_counts_of_table_1_stand_among_the_responses(rows, responses):
    known = {
        (row["study_id"], row["outcome"], row["events"], row["total"]) for row in all_rows(responses) if counted(row)
    }
    printed = [
        (row["study_id"], outcome, row[outcome], row["n_lesions"])
        for row in rows["spratt2014"]
        for outcome in ("complete_response", "objective_response")
        if row[outcome]
    ]
    assert len(rows["spratt2014"]) == 23
    assert set(printed) <= known
