"""CSV and TSV files as people write them."""

import numpy as np
import pytest
from helpers.reading import code_set as codes

import metaan
from metaan.errors import DataError, InputError, OptionError


def values(trials):
    return {name: trials[name].tolist() for name in trials.columns}


def test_a_plain_file_needs_no_note(read):
    trials = read("study,events,total,site\nA,3,24,skin\nB,0,12,face\n")
    assert values(trials) == {"study": ["A", "B"], "events": [3, 0], "total": [24, 12], "site": ["skin", "face"]}
    assert trials.attrs["notes"] == []
    assert trials.attrs["read"] == {
        "place": "trials.csv", "kind": "csv", "rows": 2, "kept": 2, "left_out": [], "notes": [], "measure": None,
    }  # fmt: skip


def test_missing_values_stay_missing(read):
    trials = read("study,events,total\nA,,24\nB,NR,12\nC,–,10\nD,0,9\nE,,\n")
    np.testing.assert_array_equal(trials["events"], [np.nan, np.nan, np.nan, 0, np.nan])
    assert codes(trials) == {"missing-mark", "no-numbers"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_and_separators(read, encoding, separator):
    text = "study,events,total\nMüller,3,24\nØrsted,1,12\n".replace(",", separator)
    assert values(read(text, encoding)) == {"study": ["Müller", "Ørsted"], "events": [3, 1], "total": [24, 12]}


def test_line_ends_of_other_systems_and_the_line_of_spreadsheets(read):
    assert len(read("study,events,total\rA,3,24\rB,1,12\r")) == 2
    trials = read("sep=;\r\nstudy;events;total\r\nA;3;24\r\n")
    assert values(trials) == {"study": ["A"], "events": [3], "total": [24]}


def test_decimal_commas(read):
    trials = read("study;mean;sd;n\nA;1,5;0,4;20\nB;1,234;0,5;1.000\n")
    assert values(trials) == {"study": ["A", "B"], "mean": [1.5, 1.234], "sd": [0.4, 0.5], "n": [20, 1000]}
    assert {"decimal-comma", "thousands"} <= codes(trials)


def test_thousands(read):
    trials = read('study,events,total\nA,"1,234","12,000"\nB,1 234,12\'345\n')
    assert values(trials) == {"study": ["A", "B"], "events": [1234, 1234], "total": [12000, 12345]}
    assert codes(trials) == {"thousands"}


def test_a_comma_that_may_mean_two_things_is_asked_about(read):
    text = 'study,mean,sd,n\nA,"1,234",2,20\n'
    with pytest.raises(InputError, match=r"may be 1\.234 or 1234"):
        read(text)
    assert read(text, decimal=",")["mean"].tolist() == [1.234]
    assert read(text, decimal=".")["mean"].tolist() == [1234]


def test_two_decimal_marks_in_one_file(read):
    with pytest.raises(InputError, match=r"decimal comma and '2\.25'"):
        read('study,mean,sd,n\nA,"1,5",2.25,20\n')


def test_counts_and_totals_in_one_cell(read):
    trials = read("study\tn/N\nA\t3/24\nB\t4/25 (16%)\nC\tNR\n")
    np.testing.assert_array_equal(trials["total"], [24, 25, np.nan])
    trials = read("study,CR\nA,3/24\nB,4 of 25\n", columns={"events": "CR"})
    assert values(trials) == {"study": ["A", "B"], "events": [3, 4], "total": [24, 25]}
    assert "split" in codes(trials)
    same = read("study,CR\nA,3/24\nB,4/25\n", columns={"events": "CR", "total": "CR"})
    assert same["total"].tolist() == [24, 25]
    assert read("study,events,total\nA,3/24,24\n")["events"].tolist() == [3]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("12.5%", "metaan.counts_from_percentage"),
        ("0.125", "metaan.counts_from_percentage"),
        ("12.5", "metaan.counts_from_percentage"),
        ("3 (14%)", "3 of 24 is 12.5 %"),
        ("3 (12.5)", "two numbers"),
        ("3/25", "two numbers"),
        ("<5", "a bound"),
        ("3-5", "a range"),
        ("3*", "footnote mark"),
        ("three", "not a number"),
        ("inf", "not a number"),
        ("1e999", "too large"),
        ("true", "not a number"),
    ],
)
def test_what_is_no_count_names_row_and_study(read, cell, message):
    with pytest.raises(DataError, match=message) as caught:
        read(f"study,events,total\nAdams,2,20\nBaker,{cell},24\n")
    assert "row 3 (study 'Baker'): column 'events'" in str(caught.value)


def test_a_count_beside_its_percentage(read):
    trials = read("study,events,total\nA,3 (12.5%),24\nB,4 (16 %),25\n")
    assert trials["events"].tolist() == [3, 4]
    assert codes(trials) == {"percent-sign"}


def test_percentages_are_not_taken_for_counts(read):
    with pytest.raises(InputError, match="'CR rate' hold"):
        read("study,CR (%),CR rate,total\nA,12.5,0.125,24\n")
    trials = read("study,events,total,rate\nA,3,24,12.5%\nB,1,12,8.3%\n")
    assert trials["rate"].tolist() == [12.5, 8.3]
    assert codes(trials) == {"percent-sign"}


def test_title_rows_totals_and_footnotes(read):
    text = (
        "Table 2: response\n\nAuthor,Responders,Patients\nAdams,3,24\nauthor,responders,patients\n,,\nBaker,1,12\n"
        "Total,4,36\n\n* per protocol\n"
    )
    trials = read(text)
    assert values(trials) == {"study": ["Adams", "Baker"], "events": [3, 1], "total": [24, 12]}
    record = trials.attrs["read"]
    assert [(row["row"], row["reason"]) for row in record["left_out"]] == [
        (5, "heading repeated"), (8, "totals"), (10, "footnote"),
    ]  # fmt: skip
    assert codes(trials) == {"title-rows", "renamed", "heading-repeated", "totals", "footnote", "blank-rows"}
    story = str(metaan.explain(trials))
    assert story.startswith("trials.csv: 2 of 5 rows")
    assert "* per protocol" in story
    assert "'Responders' is events" in " ".join(story.split())


def test_a_study_without_numbers_is_kept_and_told(read):
    trials = read("study,events,total\nTotal Skin Trial,3,24\nA. Clark 1999,,\nBaker,1,12\n")
    assert trials["study"].tolist() == ["Total Skin Trial", "A. Clark 1999", "Baker"]
    assert codes(trials) == {"no-numbers"}


def test_several_rows_of_one_study(read):
    trials = read("study,events,total\nA,3,24\nA,1,12\n")
    (note,) = trials.attrs["read"]["notes"]
    assert (note["code"], note["studies"]) == ("duplicate-study", ["A"])
    dated = read("author,year,events,total\nA,1999,3,24\nA,2001,1,12\n")
    assert dated["study"].tolist() == ["A 1999", "A 2001"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study,events,total\nA,3,24\nB,1,2,3\n", "row 3: 4 cells for 3 names"),
        ('study,events,total\nA,"3,24\n', "line 2: quotes"),
        ("study,events,total\n,3,24\n", "row 2: there are numbers"),
        ("study,events,total\n", "no rows of studies"),
        ("1,2,3\n4,5,6\n", "no row has the names"),
        ("study,events,events,total\nA,1,2,3\n", "2 columns may be events"),
        ("study,patients,lesions,events\nA,1,2,3\n", "may be total"),
        ("study,events,n,N\nA,1,2,3\n", "may be total: 'n', 'N'"),
        ("study,OR,lower,upper\nA,1.2,0.9,1.5\n", "A ratio is no yi"),
        ("", "is empty"),
        ("\x00\x01\x02\x03", "no text"),
        ("study,evnts,totl\nA,1,2\n", "'totl'"),
    ],
)
def test_what_cannot_be_told_is_an_error(read, text, message):
    with pytest.raises(InputError, match=message):
        read(text)


def test_short_rows_are_told(read):
    trials = read("study,events,total,site\nA,3,24\nB,1,12,skin\n")
    assert codes(trials) == {"short-rows"}


def test_two_rows_of_names(read):
    trials = read("study,Treatment,,Control,\n,events,n,events,n\nA,1,10,2,11\n")
    assert values(trials) == {
        "study": ["A"], "events_t": [1], "total_t": [10], "events_c": [2], "total_c": [11],
    }  # fmt: skip
    assert codes(trials) == {"two-headings", "renamed"}


def test_the_heading_can_be_said(read):
    text = "study,events,total\nstudy,total,events\nA,3,24\n"
    with pytest.raises(InputError, match="row 1: 'study', 'events', 'total'; row 2"):
        read(text)
    assert read(text.replace("A,3", "A,30"), header=2)["events"].tolist() == [24]
    for wrong in (0, 9, "1", True, (2, 1), (1, 2, 3)):
        with pytest.raises(OptionError, match="header="):
            read(text, header=wrong)


def test_columns_override_any_guess(read):
    text = "study,events,total,CR\nA,3,24,2\n"
    trials = read(text, columns={"events": "CR"})
    assert trials["events"].tolist() == [2]
    assert trials["events (2)"].tolist() == [3]
    assert codes(trials) == {"columns", "repeated-heading"}
    with pytest.raises(OptionError, match="Did you mean 'events'"):
        read(text, columns={"event": "CR"})
    with pytest.raises(InputError, match="Did you mean 'CR'"):
        read(text, columns={"events": "CRs"})
    with pytest.raises(OptionError, match="columns="):
        read(text, columns=["events"])


def test_measure_says_what_is_missing(read):
    text = "study,event,total\nA,1,2\n"
    assert read(text, measure="PLO").attrs["read"]["measure"] == "PLO"
    with pytest.raises(InputError, match="needs events_t, total_t, events_c, total_c; missing"):
        read(text, measure="OR")
    with pytest.raises(OptionError, match="Did you mean 'PLO'"):
        read(text, measure="PLOO")


def test_n_goes_with_what_it_counts(read):
    both = "study,events,mean,sd,n\nA,1,2.5,1,30\n"
    with pytest.raises(InputError, match="measure="):
        read(both)
    assert "n" in read(both, measure="MN")
    assert "total" in read(both, measure="PLO")


def test_responders_called_r_are_no_correlations(read):
    with pytest.raises(DataError, match="between -1 and 1; responders and patients"):
        read("study,r,n\nA,3,24\n")
    assert read("study,r/n\nA,3/24\n")["total"].tolist() == [24]
    assert read("study,r,n\nA,0.3,24\n")["r"].tolist() == [0.3]


def test_very_long_and_very_wide_files_end(read):
    with pytest.raises(InputError, match="no set of columns"):
        read(f"study,{'x' * 100_000},{'y ' * 50_000}\nA,1,2\n", columns={})
    with pytest.raises(InputError, match="but its columns are"):
        read(f"study,{'x' * 100_000}\nA,1\n", columns={"events": "x" * 99_999})
    with pytest.raises(InputError, match="more than trials have"):
        read("study" + ",events" * 3000 + "\n")
    with pytest.raises(InputError, match="more than trials have"):
        read("," * 6_000_000)


@pytest.mark.parametrize("heading", ["Responders (%)", "n (%)", "CR (%)"])
def test_a_plain_number_under_a_heading_with_a_percent_sign_is_refused(read, heading):
    asked = {"columns": {"events": heading, "total": "N"}}
    text = f"study,{heading},N\nA,3 (12.5),24\nB,0,12\n"
    assert read(text, **asked)["events"].tolist() == [3, 0]
    with pytest.raises(DataError, match=r"metaan.counts_from_percentage"):
        read(text.replace("3 (12.5)", "33"), **asked)
    if heading != "CR (%)":
        assert read(text)["events"].tolist() == [3, 0]


def test_a_heading_is_taken_once(read):
    with pytest.raises(OptionError, match="takes 'x' for events and for mean"):
        read("study,x,y\nA,3,24\n", columns={"events": "x", "mean": "x"})


def test_the_measure_says_what_n_is(read):
    text = "study,mean,sd,n\nA,2.5,1,30\n"
    assert "n" in read(text)
    with pytest.raises(InputError, match="needs events, total; missing: events"):
        read(text, measure="PLO")


@pytest.mark.parametrize("text", ["study events total\nA 3 44\n", '"study" "events" "total"\n"1" "Adams, J" 3 44\n'])
def test_spaces_between_cells_are_refused_with_what_to_write(read, text):
    with pytest.raises(InputError, match="spaces stand between the names of the columns"):
        read(text)


def test_quotes_as_write_table_escapes_them(read):
    trials = read('study\tevents\ttotal\tnote\nA\t3\t44\t"the \\"best\\" one"\n')
    assert trials.loc[0, "note"] == 'the "best" one'
    assert "escaped-quotes" in codes(trials)


def test_row_names_that_are_numbers_are_no_labels(read):
    with pytest.raises(InputError, match="write its name, row, before the others"):
        read("events,total\n1,3,44\n")


@pytest.mark.parametrize(("names", "wanted"), [("study,events,total", "row"), ("events,total", "study")])
def test_the_name_that_a_column_of_row_names_lacks(read, names, wanted):
    cells = "7,Adams,3,44" if wanted == "row" else "Adams,3,44"
    with pytest.raises(InputError, match=f"write its name, {wanted}, before the others"):
        read(f"{names}\n{cells}\n")
    trials = read(f"{wanted},{names}\n{cells}\n")
    assert trials[["study", "events", "total"]].to_numpy().tolist() == [["Adams", 3, 44]]


def test_years_less_their_mean_label_no_studies(read):
    trials = read("study,year,yi,vi\n1,-2.5,0.1,0.2\n1,4.5,0.3,0.2\n2,-2.5,0.2,0.2\n")
    assert trials["study"].tolist() == ["1", "1", "2"]
