"""Every row of studies/ keeps every invariant, and a broken one is told with its file, line and study."""

import copy
import re

import pytest
from helpers import invariants


@pytest.mark.parametrize(
    "check",
    [
        invariants.counts_are_possible,
        invariants.responses_add_up,
        invariants.percentages_fit,
        invariants.keys_are_unique,
        invariants.studies_are_referenced,
        invariants.references_are_used,
        invariants.overlaps_name_studies,
        invariants.provenance_is_given,
    ],
)
def test_it_holds_of_every_row(check, rows):
    broken = list(check(rows))
    assert not broken, "\n".join(broken)


def test_one_row_is_preferred_but_for_the_keys_of_the_audit(rows, audit):
    broken = list(invariants.one_row_is_preferred(rows, audit))
    assert not broken, "\n".join(broken)


def test_the_checks_look_at_many_rows(rows):
    counted = [row for _, _, row in invariants.placed(rows) if invariants.is_counted(row)]
    assert len(counted) > 650
    assert sum(bool(row["reported_pct"]) for row in counted) > 400
    # Differing percentages are there, and each has its note.
    assert sum(bool(row["reported_pct"] and invariants.misprint(row)) for row in counted) > 25


NEW = {
    "study_id": "new2099", "arm": "single", "role": "single", "therapy": "topical", "agent": "a cream",
    "route": "topical", "combined_with": "", "primary_tumour": "breast", "site": "cutaneous_metastases",
    "unit": "patient", "response_scope": "treated_lesions", "events": "", "total": "20", "reported_pct": "",
    "ci_low": "", "ci_high": "", "counts": "printed", "timepoint": "", "criteria": "", "n_patients": "20",
    "n_lesions": "", "source_kind": "primary", "source": "New 2099, abstract", "locator": "abstract",
    "url": "https://example.org", "confidence": "high", "preferred": "yes", "notes": "",
}  # fmt: skip
OUTCOMES = {
    "complete_response": ("5", "25"), "partial_response": ("3", "15"), "objective_response": ("8", "40"),
    "stable_disease": ("10", ""), "progressive_disease": ("2", "10"),
}  # fmt: skip


@pytest.fixture
def tables(rows):
    """The tables with one more study in topical.csv: complete."""
    more = copy.deepcopy(rows)
    for outcome, (events, pct) in OUTCOMES.items():
        more["topical"].append(NEW | {"outcome": outcome, "events": events, "reported_pct": pct})
    reference = dict.fromkeys(more["references"][0], "")
    more["references"].append(reference | {"study_id": "new2099", "citation": "New et al. 2099", "design": "rct"})
    return more


def row(tables, outcome):
    return next(line for line in tables["topical"] if (line["study_id"], line["outcome"]) == ("new2099", outcome))


def test_a_complete_new_study_breaks_nothing(tables, audit):
    assert invariants.complaints(tables, audit) == []


def change(outcome, **values):
    return lambda tables: row(tables, outcome).update(values)


def append(table, **values):
    return lambda tables: tables[table].append(dict.fromkeys(tables[table][0], "") | values)


def again(tables):
    tables["topical"].append(dict(row(tables, "stable_disease")))


def second_preferred(tables):
    tables["topical"].append(row(tables, "stable_disease") | {"source": "another text"})


def without_reference(tables):
    tables["references"].pop()


def without_counts(tables):
    row(tables, "stable_disease").update(events="", total="", counts="", reported_pct="50")


BREAKS = {
    "events above the total": (change("complete_response", events="21"), "events 21 exceed total 20"),
    "events without a total": (change("stable_disease", total=""), "events without a total"),
    "a total of nothing": (change("stable_disease", events="0", total="0"), "a total of 0"),
    "a fraction": (change("stable_disease", events="9.5"), "no whole numbers"),
    "counts of no kind": (change("stable_disease", counts=""), "counts='', but counts are given"),
    "CR + PR is not OR": (change("partial_response", events="4", reported_pct="20"), r"CR \+ PR = 9, OR = 8"),
    "more outcomes than patients": (change("stable_disease", events="13"), r"CR \+ PR \+ SD \+ PD = 23 of 20"),
    "a percentage of other counts": (change("complete_response", reported_pct="26"), "5/20 is 25.00%, printed 26%"),
    "the same row twice": (again, "2 rows of new2099 / single / patient"),
    "two preferred rows": (second_preferred, "2 preferred rows of new2099 / single / patient / stable_disease"),
    "no preferred row": (
        change("stable_disease", preferred="no"),
        "no preferred row of new2099 / single / patient",
    ),
    "preferred without counts": (without_counts, "preferred without counts"),
    "no reference": (without_reference, "not among the references"),
    "a reference without use": (
        append("references", study_id="bo2099", citation="Bo 2099", design="rct"),
        r"references.csv, line \d+ \(bo2099\): used nowhere",
    ),
    "a group of nobody": (
        append("overlaps", cohort_group="cream", study_id="clark2099", relation="possible"),
        r"overlaps.csv, line \d+ \(clark2099\): group cream names a study",
    ),
    "no source": (change("complete_response", source=""), "source empty"),
    "no address": (change("complete_response", url=" "), "url empty"),
    "no locator": (change("complete_response", locator=""), "locator empty"),
    "no confidence": (change("complete_response", confidence=""), "confidence empty"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_invariant_is_told_with_its_place(name, tables, audit):
    spoil, message = BREAKS[name]
    spoil(tables)
    found = invariants.complaints(tables, audit)
    assert found
    told = [text for text in found if re.search(message, text)]
    assert told, found
    assert all(".csv" in text and text.rstrip().endswith(".") for text in found)


def test_a_key_that_the_audit_excuses_and_the_table_does_not(rows, audit):
    spoiled = audit.replace("byrne2005 / ECT, all lesions incl. non-randomised", "byrne2006 / ECT", 1)
    found = list(invariants.one_row_is_preferred(rows, spoiled))
    assert any("Prefer one, or list the key in AUDIT.md" in text for text in found)
    assert any(text.startswith("AUDIT.md, section 4: byrne2006 / ECT") for text in found)
