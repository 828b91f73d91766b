"""Numbers that may be thousands or decimals, dashes for a minus, and labels that a spreadsheet made dates of."""

import datetime

import pandas as pd
import pytest
from helpers.reading import code_set as codes

import metaan
from metaan.errors import InputError

COUNTS = "study;events;total\nAdams;2.000;10.000\nBaker;3.000;12.000\n"
YEARS = "study{0}events{0}time\nAdams{0}3{0}1.234\nBaker{0}4{0}987\nClark{0}5{0}2.345\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_counts_with_three_zeros_are_asked_about(read, separator):
    text = COUNTS.replace(";", separator)
    with pytest.raises(InputError, match=r"row 2 \(study 'Adams'\): '2\.000' may be 2\.000 or 2000\. Say which: dec"):
        read(text)
    assert read(text, decimal=",")["events"].tolist() == [2000, 3000]
    trials = read(text, decimal=".")
    assert trials["events"].tolist() == [2, 3]
    assert "count-decimals" in codes(trials)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_point_before_three_digits_is_asked_about(read, separator):
    text = YEARS.format(separator)
    with pytest.raises(InputError, match=r"'1\.234' may be 1\.234 or 1234"):
        read(text)
    assert read(text, decimal=".")["time"].tolist() == [1.234, 987, 2.345]
    assert read(text, decimal=",")["time"].tolist() == [1234, 987, 2345]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("987", "0.125", 1.234),
        ("987", "12.5", 1.234),
        ("987", "1234.567", 1.234),
        ("987", ".5", 1.234),
        ("987", "12,5", 1234),
        ("5\t", "5.678\t", 1234),
    ],
)
def test_another_number_of_the_file_decides(read, old, new, value):
    assert read(YEARS.format("\t").replace(old, new))["time"].tolist()[0] == value


def test_a_column_beside_decides_where_no_other_does(read):
    rows = ["study;events;time;age", "Adams;3;1.234;{}", "Baker;4;987;61"]
    text = "\n".join(rows)
    assert read(text.format("58.5"))["time"].tolist() == [1.234, 987]
    german = read(text.format("58,5"))
    assert german["time"].tolist() == [1234, 987]
    assert german["age"].tolist() == [58.5, 61]
    with pytest.raises(InputError, match="may be"):
        read(text.format("58.5 (median)"))


def test_other_columns_have_the_decimal_comma_of_the_file(read):
    trials = read("study;events;total;months\nAdams;3;24;6,8\nBaker;1;12;7\n")
    assert trials["months"].tolist() == [6.8, 7]


def test_a_column_beside_that_may_be_in_thousands_stays_text(read):
    text = "study,events,total,dose\nAdams,3,24,1.234\nBaker,1,12,7\n"
    trials = read(text)
    assert trials["dose"].tolist() == ["1.234", "7"]
    assert codes(trials) == {"unsure-decimal"}
    assert read(text, decimal=".")["dose"].tolist() == [1.234, 7]
    assert read(text.replace("1.234", "1.5"))["dose"].tolist() == [1.5, 7]


def test_thousands_with_a_comma_are_read_and_told_unless_a_semicolon_is_between_the_cells(read):
    trials = read('study,events,total\nAdams,2,"10,000"\nBaker,3,"12,000"\n')
    assert trials["total"].tolist() == [10000, 12000]
    assert codes(trials) == {"thousands"}
    with pytest.raises(InputError, match=r"'10,000' may be 10\.000 or 10000\. Say which: decimal=',' or decimal='\.'"):
        read("study;events;total\nAdams;2;10,000\n")


@pytest.mark.parametrize("minus", ["-", "−", "–"])
def test_every_minus_is_one(read, minus):
    trials = read(f"study,yi,sei\nAdams,{minus}0.25,0.1\nBaker,{minus}.5,0.1\nClark,–,0.2\n")
    assert trials["yi"].tolist()[:2] == [-0.25, -0.5]
    assert codes(trials) == {"missing-mark"}


@pytest.mark.parametrize("label", ["2001-05-01 00:00:00", "2001-05-01", datetime.datetime(2001, 5, 1)])
def test_a_label_that_is_a_date_is_told(label):
    trials = metaan.read(pd.DataFrame({"study": ["Adams", label], "events": [1, 2], "total": [5, 6]}, dtype=object))
    (note,) = trials.attrs["read"]["notes"]
    assert note["code"] == "date-label"
    assert note["studies"][0].startswith("2001-05-01")
