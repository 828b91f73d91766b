"""`explain` accounts for every row of the file."""

import pandas as pd
import pytest
from helpers.evidence import load_keeping as load

from metaan import explain
from metaan.errors import DataError, InputError

from .conftest import FILES, read_rows

ECT = {"outcome": "complete_response", "unit": "lesion"}


def rows_for(name, outcome):
    return [row for row in read_rows(name) if row["outcome"] == outcome]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("unit", ["lesion", "patient"])
def test_kept_and_left_out_rows_are_all_rows_of_the_file(name, unit):
    for outcome in {row["outcome"] for row in read_rows(name)}:
        try:
            trials = load(name, outcome=outcome, unit=unit)
        except InputError:
            continue
        story = explain(trials)
        assert story.total == len(rows_for(name, outcome))
        assert story.kept == len(trials)
        assert len(story.rows) == story.total - story.kept == story.counts["rows"].sum()
        assert not set(story.rows["row"]) & set(trials["row"])
        assert (story.rows[["reason", "detail"]] != "").all(axis=None)


@pytest.mark.parametrize(("outcome", "left_out"), [("complete_response", 3), ("objective_response", 1)])
def test_rows_of_table_1_without_a_count_are_told(outcome, left_out):
    story = explain(load("spratt2014", outcome=outcome))
    assert (story.total, len(story.rows)) == (23, left_out)
    assert set(story.rows["reason"]) == {"no counts"}
    named = {
        "complete_response": {"cohen1978", "cascinelli1993", "stewart1999"},
        "objective_response": {"hoeller2001"},
    }
    assert set(story.rows["study_id"]) == named[outcome]  # AUDIT.md, section 5


def test_reasons_are_the_arguments_that_would_bring_a_row_back():
    story = explain(load("electrochemotherapy", **ECT))
    reasons = story.rows.groupby(["study_id", "arm"])["reason"].unique().map(list)
    assert reasons["falk2018", "calcium electroporation"] == ["therapy"]
    assert reasons["byrne2005", "ECT, all lesions incl. non-randomised"] == ["preferred"]
    assert reasons["mir1998", "single"] == ["site"]
    for reason in ("site", "preferred", "therapy"):
        more = load("electrochemotherapy", **ECT, role="any", **{reason: "any"})
        only = story.rows[(story.rows["reason"] == reason) & (story.rows["also"] == "")]
        assert len(only) > 0
        assert set(only["row"]) <= set(more["row"])


def test_a_second_reason_is_kept():
    trials = load("electrochemotherapy", outcome="complete_response", unit="patient")
    rows = explain(trials).rows
    recorded = rows[rows["study_id"] == "glass1996bcc"].iloc[0]  # lesions, basal cell carcinoma, low confidence
    assert recorded["reason"] == "unit"
    assert recorded["also"] == "site, confidence"


def test_rows_removed_later_are_told_as_such():
    trials = load("electrochemotherapy", **ECT)
    melanoma = trials[trials["primary_tumour"] == "melanoma"]
    story = explain(melanoma.sort_values("total").assign(rate=1.0))
    assert story.kept == len(melanoma)
    assert story.kept + len(story.rows) == story.total == explain(trials).total
    later = story.rows[story.rows["reason"] == "after loading"]
    assert set(later["study_id"]) == set(trials["study_id"]) - set(melanoma["study_id"])


def test_notes_are_about_the_rows_in_hand():
    trials = load("electrochemotherapy", **ECT)
    assert "overlap" in {note.code for note in explain(trials).notes}
    falk = trials[trials["study_id"] == "falk2018"]
    assert "overlap" not in {note.code for note in explain(falk).notes}


def test_the_summary_is_short_and_names_each_reason():
    story = explain(load("electrochemotherapy", **ECT))
    lines = str(story).splitlines()
    assert lines[0] == "electrochemotherapy, complete_response per lesion: 22 of 101 rows"
    assert len(lines) <= 20
    assert "Keep one study of each group" in " ".join(lines)
    for row in story.counts.itertuples():
        assert any(line.split()[0] == str(row.rows) and row.reason in line for line in lines[1:])
    assert story._repr_html_().startswith("<div")


def test_nothing_left_out_is_an_explanation_too():
    wide = dict.fromkeys(("site", "therapy", "counts", "confidence", "arms", "preferred", "role"), "any")
    story = explain(load("photodynamic", outcome="complete_response", unit="lesion", **wide))
    assert set(story.rows["reason"]) <= {"unit"}
    assert story.kept + len(story.rows) == len(rows_for("photodynamic", "complete_response"))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda t: t.to_dict(), InputError, "must be a DataFrame"),
        (lambda t: pd.DataFrame(t.to_dict("list")), InputError, "no record of its selection"),
        (lambda t: t.drop(columns="row"), InputError, "lost the column 'row'"),
        (lambda t: t.assign(row=10**6), DataError, "rows that its selection does not"),
    ],
)
def test_a_frame_without_its_record_is_refused(spoil, error, message):
    with pytest.raises(error, match=message):
        explain(spoil(load("electrochemotherapy", **ECT)))


def test_two_selections_put_together_are_refused():
    lesions = load("electrochemotherapy", **ECT)
    patients = load("electrochemotherapy", outcome="complete_response", unit="patient")
    with pytest.raises(InputError, match="concat or merge"):
        explain(pd.concat([lesions, patients]))


def test_a_record_of_other_tables_is_refused():
    trials = load("electrochemotherapy", **ECT)
    trials.attrs["metaan"]["rows"] += 1
    with pytest.raises(DataError, match="loaded from other tables"):
        explain(trials)
