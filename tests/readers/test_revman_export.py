"""The "Data and analyses" that RevMan 5 exports: rows of outcomes and of subgroups are no studies."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import run
from helpers.printed import printed
from helpers.reading import code_set as codes
from helpers.reviews import ASPIRIN, EXPORT, MENTAL, counted, export_row, exported, measured, own

import metaan
from metaan.errors import InputError, OptionError

COUNTS = ("events_t", "total_t", "events_c", "total_c")
MEANS = ("mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c")


@pytest.fixture
def write(tmp_path):
    def written(rows, without=(), name="review.csv", above=""):
        kept = [i for i, heading in enumerate(EXPORT) if heading not in without]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([[row[i] for i in kept] for row in [list(EXPORT), *rows]])
        (tmp_path / name).write_text(above + text.getvalue(), encoding="utf-8-sig")
        return tmp_path / name

    return written


def test_outcomes_are_listed_with_what_their_own_rows_say(write):
    with pytest.raises(InputError) as caught:
        metaan.read(write(exported()))
    for part in (
        "3 outcomes", "1.1 Death [Examples of Fleiss] (dichotomous, OR, 7 rows)",
        "1.2 Stay in hospital [Examples of Fleiss] (continuous, MD, 5 rows)", "2.1 Relapse [Time points]",
    ):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize("chosen", ["1.1", "Death"])
def test_studies_are_the_studies_alone(write, chosen):
    trials = metaan.read(write(exported()), outcome=chosen)
    assert trials["study"].tolist() == [name for name, *_ in ASPIRIN]
    assert trials["year"].tolist() == [year for _, year, *_ in ASPIRIN]
    np.testing.assert_array_equal(trials[list(COUNTS)], [counts for _, _, *counts in ASPIRIN])
    assert list(trials) == ["study", *COUNTS, "year"]
    assert trials.attrs["read"]["measure"] == "OR"
    assert "The first group ('Aspirin') is the treated arm _t, the second ('Placebo') _c." in trials.attrs["notes"]


def test_pooled_as_revman_prints_it(write):
    """What RevMan 5 pools of these data: the rows of the outcomes in the export that R's meta ships (Fleiss93_CR)."""
    path = write(exported())
    arms = metaan.read(path, outcome="1.1")
    odds = metaan.mantel_haenszel("OR", arms, **{name: name for name in COUNTS}, study="study").back()
    assert (printed("0.89686556"), printed("0.84051440"), printed("0.95699471")) == (
        odds.estimate, odds.ci_low, odds.ci_high,
    )  # fmt: skip
    means = metaan.read(path, outcome="1.2")
    np.testing.assert_array_equal(means[list(MEANS)], [numbers for _, _, *numbers in MENTAL])
    eff = metaan.effect_size("MD", means, **{name: name for name in MEANS}, study="study")
    res = metaan.pool(eff, method="CE", test="z")
    assert (printed("-0.70938839"), printed("-1.25848502"), printed("5.66012379")) == (res.estimate, res.ci_low, res.Q)


def test_the_command_line_pools_an_export(write):
    result = run("pool", write(exported()), "--outcome", "1.1")
    assert result.exit_code == 0
    assert "7 studies" in result.stdout


def test_subgroups_of_the_same_studies_are_chosen_from(write):
    path = write(exported())
    with pytest.raises(InputError, match=r"does not say that .*'Ames', 'Bo'.*'2\.1\.1' 6 months \(2 rows\); '2\.1\.2'"):
        metaan.read(path, outcome="2.1")
    late = metaan.read(path, outcome="2.1.2")
    assert late["study"].tolist() == ["Ames", "Bo"]
    assert late["events_t"].tolist() == [2, 2]
    assert late["subgroup"].tolist() == ["12 months"] * 2
    every = metaan.read(path, outcome="2.1.*")
    assert every["subgroup"].tolist() == ["6 months"] * 2 + ["12 months"] * 2
    assert "duplicate-study" in codes(every)
    with pytest.raises(OptionError, match=r"'2\.1\.3' is no subgroup of outcome 2\.1.*'2\.1\.1' 6 months"):
        metaan.read(path, outcome="2.1.3")
    with pytest.raises(OptionError, match=r"no subgroup of outcome 1\.1 .* has none"):
        metaan.read(path, outcome="1.1.1")


def test_rows_are_told_apart_by_their_order_where_they_say_no_more(write):
    settings = ("Data Type", "Statistical Method", "Effect Measure", "Analysis Model")
    trials = metaan.read(write(exported(), without=settings), outcome="1.1")
    assert trials["study"].tolist() == [name for name, *_ in ASPIRIN]
    assert trials.attrs["read"]["measure"] is None
    assert metaan.read(write(exported(), without=settings), outcome="1.2")["n_t"].tolist() == [13, 30, 35, 20, 8]
    with pytest.raises(InputError, match=r"row 3 \('1', '1', '0', 'Death'.*outcome's own or a study's.*'Data Type'"):
        metaan.read(write(exported(), without=(*settings, "User defined order")), outcome="1.1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([counted("1.1.0", "Ames", 1, 9, 2, 9)], r"row 2 .*first of outcome 1\.1 .*'Effect Measure'"),
        ([own("1.1.0", "A", "DIC", "OR"), counted("1.1.1", "Ames", 1, 9, 2, 9)], r"row 3 .*first of subgroup 1\.1\.1"),
        ([own("1.1.0", "A", "DIC", "OR"), own("1.1.0", "B", "DIC", "OR")], r"row 3 .*1\.1 has a row of its own"),
        ([own("1.1.0", "A", "DIC", "OR"), counted("1.1.0", "", 1, 9, 2, 9)], r"row 3 .*it has no name"),
        ([own("1.1.0", "A", "XYZ", "OR"), counted("1.1.0", "Ames", 1, 9, 2, 9)], "data type 'XYZ' cannot be told"),
        ([own("1.1.0", "A", "OE", "HR"), counted("1.1.0", "Ames", 1, 9, 2, 9)], "no row has 'O-E', 'Variance'"),
        ([own("1.1.0", "A", "OTH", ""), export_row("1.1.0", "Ames")], "no outcome with rows of data"),
        ([own("1.1.0", "A", "DIC", "OR"), counted("1.1.0", "Ames", 0, 0, 0, 0)], "none of its 1 row has data"),
    ],
)  # fmt: skip
def test_rows_that_may_be_either_are_refused(write, rows, message):
    with pytest.raises(InputError, match=message):
        metaan.read(write(rows), outcome="1.1")


def test_a_kind_that_is_not_named_and_cannot_be_told_is_refused(write):
    both = measured("1.1.0", "Ames", 1, 2, 9, 3, 4, 9)
    both[EXPORT.index("Events 1")] = "3"
    with pytest.raises(InputError, match="its data cannot be told to be dichotomous"):
        metaan.read(write([own("1.1.0", "A", "", "OTHER"), both]))


def ready(name, estimate, se, low, high):
    given = {"Effect_Estimate": estimate, "SE": se, "CI_Start": low, "CI_End": high}
    return export_row("1.1.0", name, **given, User_defined_order=1)


def test_ratios_are_told_by_their_intervals_and_become_logarithms(write):
    """exp(-0.35 -+ 1.96 * 0.12) and exp(0.10 -+ 1.96 * 0.20), as RevMan displays what was entered as logarithms."""
    rows = [own("1.1.0", "Survival", "IV", "Hazard Ratio"), ready("Ames", "0.70468809", "0.12", "0.557", "0.8915"),
            ready("Bo", "1.10517092", "0.2", "0.7468", "1.6356"), ready("Cox", "0", "0", "0", "0")]  # fmt: skip
    trials = metaan.read(write(rows))
    np.testing.assert_allclose(trials["yi"], [-0.35, 0.10], atol=5e-9)
    assert trials["sei"].tolist() == [0.12, 0.2]
    assert trials.attrs["read"]["measure"] == "HR"
    assert [row["reason"] for row in trials.attrs["read"]["left_out"]] == ["not estimable"]
    assert any("yi is their logarithm" in note for note in trials.attrs["notes"])


def test_differences_stay_as_they_are(write):
    rows = [own("1.1.0", "Pain", "IV", "Slope"), ready("Ames", "0.75", "0.25", "0.26", "1.24")]
    assert metaan.read(write(rows))["yi"].tolist() == [0.75]
    rows = [own("1.1.0", "Pain", "IV", "MD"), ready("Ames", "0.75", "0.25", "", "")]
    assert metaan.read(write(rows))["yi"].tolist() == [0.75]


@pytest.mark.parametrize("interval", [("", ""), ("0.26", "1.30"), ("1.24", "0.26")])
def test_a_scale_that_no_interval_tells_is_refused(write, interval):
    rows = [own("1.1.0", "Survival", "IV", "Hazard Ratio"), ready("Ames", "0.75", "0.25", *interval)]
    with pytest.raises(InputError, match=r"ratios or their logarithms.*'CI Start'"):
        metaan.read(write(rows))


def test_observed_minus_expected(write):
    given = dict(zip(("Events_1", "Total_1", "Events_2", "Total_2"), (10, 50, 19, 50), strict=True))
    row = export_row("1.1.0", "Ames", **given, **{"O-E": "-4.5", "Variance": 9}, User_defined_order=1)
    trials = metaan.read(write([own("1.1.0", "Relapse", "OE", "PETO_OR"), row]))
    assert trials[["events_t", "yi", "vi"]].iloc[0].tolist() == [10, -0.5, 1 / 9]
    assert trials.attrs["read"]["measure"] == "PETO"


def test_rows_without_patients_are_left_out_and_those_without_events_stay(write):
    rows = [own("1.1.0", "Death", "DIC", "OR"), counted("1.1.0", "Ames", 3, 20, 5, 21),
            counted("1.1.0", "Bo", 0, 15, 0, 14), counted("1.1.0", "Cox", 0, 0, 0, 0)]  # fmt: skip
    trials = metaan.read(write(rows))
    assert trials["study"].tolist() == ["Ames", "Bo"]
    assert [(row["row"], row["reason"]) for row in trials.attrs["read"]["left_out"]] == [(5, "not estimable")]
    assert trials.attrs["read"]["rows"] == 3
    story = metaan.explain(trials)
    assert story.total == story.kept + len(story.rows) == 3
    note = next(note for note in trials.attrs["read"]["notes"] if note["code"] == "no-data")
    assert note["studies"] == ["Cox"]


def test_means_without_spread_are_no_data(write):
    rows = [own("1.1.0", "Pain", "CON", "MD"), measured("1.1.0", "Ames", 3, 1, 20, 5, 2, 21),
            measured("1.1.0", "Bo", 3, 0, 20, 5, 0, 21)]  # fmt: skip
    assert metaan.read(write(rows))["study"].tolist() == ["Ames"]


def test_a_title_above_and_a_table_in_memory(write):
    titled = metaan.read(write(exported(), above="Aspirin review,,\n,,\n"), outcome="1.1")
    assert len(titled) == 7
    assert "title-rows" in codes(titled)
    frame = pd.DataFrame(exported(), columns=list(EXPORT))
    assert len(metaan.read(frame, outcome="1.2")) == 5


def test_a_table_of_several_analyses_is_not_read_as_one(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Study,Outcome Number,Events,Total\nAmes,1,3,20\nBo,2,4,21\n")
    with pytest.raises(InputError, match=r"'Outcome Number' holds 2 values \('1', '2'\).*outcome= chooses one where"):
        metaan.read(path)
    path.write_text("Study,Outcome Number,Events,Total\nAmes,1,3,20\nBo,1,4,21\n")
    assert len(metaan.read(path)) == 2


def test_a_table_of_r_with_zeros_for_other_kinds(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_text(
        "comp.no,outcome.no,studlab,type,event.e,n.e,event.c,n.c,mean.e,sd.e,mean.c,sd.c,sm\n"
        "1,1,Ames,C,0,13,0,13,5,4.7,6.5,3.8,MD\n1,2,Ames,D,3,13,4,13,NA,NA,NA,NA,OR\n"
    )
    assert metaan.read(path, outcome="1.1")[list(MEANS)].iloc[0].tolist() == [5, 4.7, 13, 6.5, 3.8, 13]
    assert metaan.read(path, outcome="1.2")[list(COUNTS)].iloc[0].tolist() == [3, 13, 4, 13]


def test_a_review_in_a_workbook_with_other_sheets(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Export of the review"])
    for row in [list(EXPORT), *exported()]:
        book.active.append([int(cell) if cell.isdecimal() else cell or None for cell in row])
    book.create_sheet("Read me")["A1"] = "Exported in May"
    path = tmp_path / "review.xlsx"
    book.save(path)
    with pytest.raises(InputError, match="3 outcomes"):
        metaan.read(path)
    trials = metaan.read(path, outcome="1.1")
    assert len(trials) == 7
    assert {"sheet", "title-rows"} <= codes(trials)
    with pytest.raises(OptionError, match="choose an analysis of a review"):
        metaan.read(path, sheet="Read me", outcome="1.1")


def test_means_that_are_logarithms_do_not_pass_for_ratios(write):
    low, high = (math.log(2) + sign * 1.96 * 0.1 for sign in (-1, 1))
    rows = [own("1.1.0", "Survival", "IV", "log HR"), ready("Ames", math.log(2), "0.1", low, high)]
    assert metaan.read(write(rows))["yi"].tolist() == [math.log(2)]
