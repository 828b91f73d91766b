"""What headings are taken for, and what they are not: words in brackets, labels, marks of missing, stable disease."""

import pandas as pd
import pytest
from helpers.reading import codes

from metaan.errors import DataError, InputError
from metaan.readers.vocabulary import is_percentage, meaning


def role(heading):
    known = meaning(heading, frozenset([heading.casefold()]))
    return known and known.role


_OTHERS = (
    "Events (per 100 patients)|Cases (per 100 000)|Responders (per cent)|Responders (median months)|Patients (range)|"
    "Patients (mean age)|Patients (female)|Size (mm)|Size|Total (mg)|Total (score)|Time (months)|Mean (range)|"
    "Events (2019)|Person-years (1000)|Time (12 months)|log HR (SE)|HR (95% CI)"
)


@pytest.mark.parametrize("heading", _OTHERS.split("|"))
def test_words_in_brackets_that_make_another_quantity_are_not_passed_over(heading):
    assert role(heading) is None


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Events (n)", "events"),
        ("Events (30 days)", "events"),
        ("Deaths (at 12 months)", "events"),
        ("Deaths [day 30]", "events"),
        ("Events (patients)", "events"),
        ("Responders (per protocol)", "events"),
        ("N (ITT)", "size"),
        ("Events (treatment)", "events_t"),
        ("N (control group)", "size_c"),
        ("Control (N = 30) events", "events_c"),
        ("Patients (N)", "size"),
        ("Total (no.)", "size"),
        ("N (number of patients)", "size"),
        ("Responders, n (%)", "events"),
        ("Mean (SD)", "mean"),
        ("Mean (mmHg)", "mean"),
        ("SD (points)", "sd"),
        ("Exposure (person-years)", "time"),
        ("Effect size (Hedges' g)", "yi"),
        ("SE (log OR)", "sei"),
        ("Study (year)", "study"),
        ("Author (country)", "study"),
        ("sample size", "size"),
    ],
)
def test_words_in_brackets_that_change_nothing(heading, expected):
    assert role(heading) == expected


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("HR (95% CI)", False),
        ("OR [95 %-confidence interval]", False),
        ("Events per 100 patients", True),
        ("CR, %", True),
    ],
)
def test_the_percentage_of_an_interval_is_none_of_the_column(heading, expected):
    assert is_percentage(heading) is expected


def test_a_table_whose_total_is_a_dose_has_no_total(read):
    with pytest.raises(
        InputError, match=r"Name it: columns=\{'total': \.\.\.\}\. The words in brackets .* 'Total \(mg\)'"
    ):
        read("Study,Events,Total (mg)\nAdams,3,44\n")
    assert read("Study,Events,Total (mg)\nAdams,3,44\n", columns={"total": "Total (mg)"})["total"].tolist() == [44]


def test_events_in_lesions_and_totals_in_patients_are_told(read):
    trials = read("Study,Complete responses (lesions),Patients\nAdams,3,44\n")
    assert "mixed-units" in codes(trials)
    for same in ("Study,Complete responses (lesions),Lesions\nAdams,3,44\n", "Study,Events,Patients\nAdams,3,44\n"):
        assert "mixed-units" not in codes(read(same))


_LABELS = "Study or Subgroup|Study (year)|Name|Publication|Reference|Ref.|Source|Cohort"


@pytest.mark.parametrize("heading", _LABELS.split("|"))
def test_labels(read, heading):
    trials = read(f"{heading},events,total\nAdams 1999,3,24\nBaker,1,12\n")
    assert trials["study"].tolist() == ["Adams 1999", "Baker"]
    assert trials.attrs["notes"] == [f"Columns by their headings: {heading!r} is study."]


def test_a_first_column_of_texts_without_a_heading_is_the_label(read):
    frame = pd.DataFrame({"events": [3, 1], "total": [24, 12]}, index=["Adams", "Baker"])
    trials = read(frame.to_csv())
    assert trials["study"].tolist() == ["Adams", "Baker"]
    assert trials.attrs["notes"] == ["Columns by their headings: the first, which has no heading, is study."]
    again = read(frame.reset_index(names="Unnamed: 0").to_csv(index=False))
    assert again["study"].tolist() == ["Adams", "Baker"]
    with pytest.raises(InputError, match="row 2: there are numbers, but column 1 has no label"):
        read(frame.to_csv().replace("Adams,3", ",3") + "Clark,1,2\nDavis,1,3\n")
    numbered = read(frame.reset_index(drop=True).to_csv())
    assert "study" not in numbered
    assert codes(numbered) == ["no-study"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("study,Cohort,events,total\nAdams,x,3,24\nBaker,y,1,12\n", ["Adams", "Baker"]),
        ("Cohort,Name,events,total\n1,Adams,3,24\n2,Baker,1,12\n", ["Adams", "Baker"]),
        (",study,events,total\nx,Adams,3,24\ny,Baker,1,12\n", ["Adams", "Baker"]),
    ],
)
def test_the_better_label_is_taken(read, text, labels):
    assert read(text)["study"].tolist() == labels


def test_a_source_that_repeats_is_no_label(read):
    trials = read("Source,events,total\nregistry,3,24\nregistry,1,12\ntrial,1,13\ntrial,1,14\n")
    assert "study" not in trials
    assert trials["Source"].tolist() == ["registry", "registry", "trial", "trial"]


@pytest.mark.parametrize("odd", ["NR", "ND", "Missing", "2019", "3/24"])
def test_a_heading_may_be_a_mark_or_a_number_among_known_headings(read, odd):
    trials = read(f"Table 1,,,\nStudy,Responders,{odd},Total\nAdams,3,1,24\n")
    assert trials[["events", "total", odd]].iloc[0].tolist() == [3, 24, 1]


def test_a_heading_may_be_a_number_among_those_asked_for(read):
    asked = {"events": "CR", "total": "Pts"}
    trials = read("Trial of,CR,2019,Pts\nAdams,3,1,24\n", columns=asked)
    assert trials[["events", "total", "2019"]].iloc[0].tolist() == [3, 24, 1]
    with pytest.raises(InputError, match="no row has the names"):
        read("Trial of,CR,2019,Pts\nAdams,3,1,24\n")


def test_a_column_of_percentages_is_no_rival_of_the_counts(read):
    trials = read("Study,Events,Events (%),N\nAdams,3,15.5,20\n")
    assert trials[["events", "total", "Events (%)"]].iloc[0].tolist() == [3, 20, 15.5]
    with pytest.raises(InputError, match="2 columns may be events: 'Events', 'Cases'"):
        read("Study,Events,Cases,N\nAdams,3,15.5,20\n")


@pytest.mark.parametrize("heading", ["Responders, n (%)", "n (%)", "No. (%)", "Number of responders (%)"])
def test_a_count_alone_among_counts_with_percentages(read, heading):
    text = f'Study,"{heading}",N\nAdams,7 (35%),20\nBaker,5,30\n'
    assert read(text, columns={"events": heading, "total": "N"})["events"].tolist() == [7, 5]
    with pytest.raises(DataError, match="under a heading with %"):
        read(text.replace("7 (35%)", "7"), columns={"events": heading, "total": "N"})


def test_a_percentage_alone_under_another_heading_is_refused(read):
    with pytest.raises(DataError, match="under a heading with %"):
        read("Study,Responders (%),N\nAdams,7 (35%),20\nBaker,5,30\n")


@pytest.mark.parametrize("heading", ["Study,CR,PR,SD,PD,N", "study,cr,pr,sd,pd,n"])
def test_stable_disease_is_no_standard_deviation(read, heading):
    text = f"{heading}\nAdams,3,5,9,4,21\n"
    trials = read(text, columns={"events": heading.split(",")[1]})
    assert trials[["events", "total"]].iloc[0].tolist() == [3, 21]
    with pytest.raises(InputError, match=r"recognised: (n, )?study\."):
        read(text)
    means = read(f"{heading},mean\nAdams,3,5,9,4,21,1.5\n", measure="MN")
    assert means["sd"].tolist() == [9]


def test_the_four_cells_of_the_bcg_trials(read):
    trials = read("trial,author,year,tpos,tneg,cpos,cneg\n1,Aronson,1948,4,119,11,128\n", measure="RR")
    counts = trials[["events_t", "total_t", "events_c", "total_c"]].iloc[0].tolist()
    assert (trials["study"][0], counts) == ("Aronson", [4, 123, 11, 139])
    with pytest.raises(InputError, match="Columns: 'study', 'tpos', 'cpos', 'cneg'"):
        read("study,tpos,cpos,cneg\nA,1,2,3\n")


def test_names_of_rows_without_a_heading_are_refused(read):
    text = "events\ttotal\tnote\n1\t3\t44\t\n2\t4\t30\t\n"
    for table in (text, text.replace("44\t", "44\tx"), text.replace("events", "study").replace("note", "events")):
        with pytest.raises(InputError, match=r"row 2: 4 cells for 3 names, as in every row.*write\.table"):
            read(table, columns={"events": table.split("\t")[0]} if table.startswith("study") else None)
    trials = read("study,events,total\nAdams,3,44,\nBaker,4,30,\n")
    assert trials["events"].tolist() == [3, 4]


def test_a_third_group_is_told_and_can_be_the_control(read):
    text = "study,events1,n1,events2,n2,events3,n3\nA,1,10,2,12,3,14\n"
    trials = read(text)
    asked = {"events_c": "events3", "total_c": "n3"}
    assert trials.iloc[0, :5].tolist() == ["A", 1, 10, 2, 12]
    assert trials.attrs["notes"][-1].endswith(f"'events3', 'n3'. It is the control with columns={asked}.")
    third = read(text, columns=asked)
    assert third.iloc[0, :5].tolist() == ["A", 1, 10, 3, 14]
    assert "third-group" not in codes(third)


@pytest.mark.parametrize(("heading", "told"), [("OR", True), ("Hazard ratio", True), ("logOR", False), ("yi", False)])
def test_a_ratio_that_is_named_yi_is_told(read, heading, told):
    trials = read(f"study,{heading},SE\nA,1.1,0.25\n", columns={"yi": heading})
    assert ("ratio-as-yi" in codes(trials)) == told


def test_variances_that_are_no_squares_of_the_standard_errors_are_told(read):
    trials = read("study,yi,vi,sei\nA,0.1,0.25,0.5\nB,0.1,0.04,0.04\nC,0.1,NA,0.5\nD,0.1,0.0016,0.05\n")
    (note,) = (note for note in trials.attrs["read"]["notes"] if note["code"] == "vi-and-sei")
    assert note["studies"] == ["B"]
