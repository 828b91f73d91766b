"""Rows that are no studies: totals by name and by their counts, headings of sections, a second table."""

import json

import pandas as pd
import pytest
from helpers.reading import codes

import metaan
from metaan.errors import InputError


def with_row(label, events=17, total=74):
    """Two studies, 7 of 24 and 10 of 50, and a row below."""
    return pd.DataFrame({"study": ["Adams", "Baker", label], "events": [7, 10, events], "total": [24, 50, total]})


_CERTAIN = (
    "Total|Totals|Sub total|Sub-total|Grand total|Subtotal melanoma|Breast subtotal|Subtotal: x|Subtotal - x|"
    "Subtotals (x)|Total*|Total N|Total studies|Total 2001-2002|Overall total|Overall|Overall (I2 = 30%)|Pooled|"
    "Pooled estimate|Pooled (random)|Summary estimate|RE model|Random-effects model|All cohorts|All studies combined|"
    "Weighted mean|Median|I2|I² = 30%|I-squared (%)|Σ|Gesamt|Insgesamt|Totale|Summe|Total study population"
)
_POSSIBLE = "All|SUM|Combined|Ensemble|Somme|Total melanoma|Melanoma total|All melanoma|Total 2001"
_NEVER = "Total Skin Trial|Overall 2003|Allen|Sumner|Pool|Meany|Totalis|All Ireland Registry|Summers et al|I2B2|RANGE"


@pytest.mark.parametrize("label", _CERTAIN.split("|"))
def test_a_name_that_only_totals_have_is_left_out_whatever_its_counts(label):
    for total in (74, 75):
        trials = metaan.read(with_row(label, total=total))
        assert trials["study"].tolist() == ["Adams", "Baker"]
        assert codes(trials) == ["totals"]


@pytest.mark.parametrize("label", _POSSIBLE.split("|"))
def test_a_name_that_a_trial_may_have_is_a_total_where_the_counts_are_sums(label):
    assert metaan.read(with_row(label))["study"].tolist() == ["Adams", "Baker"]
    other = metaan.read(with_row(label, total=75))
    assert other["study"].tolist() == ["Adams", "Baker", label]
    (note,) = other.attrs["read"]["notes"]
    assert (note["code"], note["studies"]) == ("named-as-total", [label])
    effects = pd.DataFrame({"study": ["Adams", label], "yi": [0.1, 0.2], "vi": [0.01, 0.02]})
    assert metaan.read(effects)["study"].tolist() == ["Adams"]
    effects.loc[2] = ["Baker", 0.3, 0.02]
    among = metaan.read(effects)
    assert (among["study"].tolist(), codes(among)) == (["Adams", label, "Baker"], ["among-studies"])
    two = pd.DataFrame({"study": ["Adams", label, "All b", "Baker"], "yi": 0.1, "vi": 0.2})
    assert len(metaan.read(two)) == 4
    assert metaan.read(two.iloc[:3])["study"].tolist() == ["Adams"]


def test_a_trial_with_the_name_of_a_total_stays_where_counts_are_missing():
    frame = with_row("All").astype({"events": object, "total": object})
    frame.loc[3] = ["Clark", 1, 9]
    frame.loc[2, ["events", "total"]] = ["NR", None]
    assert metaan.read(frame)["study"].tolist() == ["Adams", "Baker", "All", "Clark"]
    frame.loc[2, ["events", "total"]] = [40, 90]
    for row in (0, 1):
        frame.loc[row, ["events", "total"]] = ["NR", None]
        trials = metaan.read(frame)
        assert trials["study"].tolist() == ["Adams", "Baker", "All", "Clark"]
        assert codes(trials)[0] in ("named-as-total", "among-studies")


@pytest.mark.parametrize("label", _NEVER.split("|"))
def test_a_name_of_a_study_is_kept(label):
    trials = metaan.read(with_row(label, total=75))
    assert trials["study"].tolist() == ["Adams", "Baker", label]
    assert trials.attrs["notes"] == []


def test_counts_that_are_sums_are_told_whatever_the_name():
    trials = metaan.read(with_row("Clark 1999"))
    assert len(trials) == 3
    (note,) = trials.attrs["read"]["notes"]
    assert (note["code"], note["studies"]) == ("sum-of-rows", ["Clark 1999"])
    assert note["text"].startswith(
        "1 row kept as a study, row 3 ('Clark 1999'): all counts are sums of the rows above."
    )


@pytest.mark.parametrize(
    "rows",
    [
        {"events": [7, 7], "total": [24, 24]},
        {"events": [7, 10, 17], "total": [24, 50, 75]},
        {"events": [0, 0, 0], "total": [0, 0, 0]},
        {"mean": [1.0, 2.0, 1.5], "sd": [1.0, 1.0, 1.0], "n": [20, 20, 40]},
        {"yi": [0.1, 0.2, 0.3], "vi": [0.1, 0.2, 0.3]},
    ],
)
def test_what_is_no_sum_of_two_rows_is_not_told(rows):
    labels = ["Adams", "Baker", "Clark"][: len(next(iter(rows.values())))]
    assert metaan.read(pd.DataFrame({"study": labels, **rows})).attrs["notes"] == []


def test_sums_of_a_block_and_of_all_rows_and_with_a_missing_count():
    frame = pd.DataFrame(
        {"study": list("ABxCDyz"), "n/N": ["1/10", "2/20", "3/30", "NR", "4/12", "4/12", "11/54"]},
    )
    told = [note["studies"] for note in metaan.read(frame).attrs["read"]["notes"] if note["code"] == "sum-of-rows"]
    assert told == [["x", "z"]]
    frame["n/N"] = ["1/10", "2/20", "3/30", "5 of 11", "4/12", "9/23", "1,234/5,678"]
    told = [note["studies"] for note in metaan.read(frame).attrs["read"]["notes"] if note["code"] == "sum-of-rows"]
    assert told == [["x", "y"]]


def test_a_total_above_its_studies():
    frame = pd.DataFrame({"study": ["All", "Adams", "Baker"], "events": [17, 7, 10], "total": [74, 24, 50]})
    assert metaan.read(frame)["study"].tolist() == ["Adams", "Baker"]


@pytest.mark.parametrize("kind", ["json", "pandas", "polars", "pyarrow", "parquet", "csv"])
def test_rows_of_every_kind_of_table_follow_the_same_rules(tmp_path, kind):
    frame = with_row("Total")
    frame.loc[3] = ["* per protocol", None, None]
    frame.loc[4] = [None, None, None]
    table = frame
    if kind == "json":
        table = tmp_path / "x.json"
        table.write_text(json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records")))
    elif kind == "csv":
        table = tmp_path / "x.csv"
        frame.to_csv(table, index=False, float_format="%g")
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        table = tmp_path / "x.parquet"
        frame.to_parquet(table)
    elif kind != "pandas":
        module = pytest.importorskip(kind)
        make = module.table if kind == "pyarrow" else module.DataFrame
        table = make({name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame})
    trials = metaan.read(table)
    assert trials["study"].tolist() == ["Adams", "Baker"]
    assert sorted(codes(trials)) == ["blank-rows", "footnote", "totals"]
    assert [row["reason"] for row in trials.attrs["read"]["left_out"]] == ["totals", "footnote"]


@pytest.mark.parametrize("heading", ["arm", "Treatment group", "Regimen", "Subgroup"])
def test_the_arm_called_total_is_left_out_where_its_study_has_other_rows(read, heading):
    trials = read(f"study,{heading},events,total\nA,low,1,10\nA,high,2,20\nA,Total,3,30\nB,Total,4,41\n")
    assert trials[["study", heading]].to_numpy().tolist() == [["A", "low"], ["A", "high"], ["B", "Total"]]
    assert "totals" in codes(trials)
    for arms in ("A,All,6,88\nA,Melanoma,4,30", "A,low,1,10\nA,high,2,20\nA,Total,4,30"):
        with pytest.raises(InputError, match="which the other rows do not add up to"):
            read(f"study,{heading},events,total\n{arms}\nB,x,1,10\n")
    with pytest.raises(InputError, match="'All' of study 'A', which the other rows do not add up to"):
        read(f"study,{heading},yi,vi\nA,All,0.1,0.2\nA,Lip,0.1,0.2\n")
    assert len(read(f"study,{heading},yi,vi\nA,All,0.1,0.2\nA,Lip,0.1,0.2\nA,Eye,0.1,0.2\n")) == 2
    combined = read(f"study,{heading},events,total\nA,ECT,1,10\nA,IL2,2,20\nA,Combined,5,20\n")
    assert len(combined) == 3
    extent = read("study,resection,events,total\nA,total,1,10\nA,subtotal,3,20\n")
    assert len(extent) == 2


SECTIONS = "study,events,total\nMelanoma,,\nAdams,1,10\nBaker,2,25\nBreast,,\nClark,1,12\nDavis,,\n"


def test_headings_of_sections_are_a_column(read):
    trials = read(SECTIONS)
    assert trials["study"].tolist() == ["Adams", "Baker", "Clark", "Davis"]
    assert trials["section"].tolist() == ["Melanoma", "Melanoma", "Breast", "Breast"]
    assert codes(trials) == ["heading-of-a-section", "no-numbers"]
    text = trials.attrs["notes"][0]
    assert "row 2: 'Melanoma'; row 5: 'Breast'; column 'section' has it for each study" in text
    taken = read(SECTIONS.replace("total\n", "total,section\n").replace("10\n", "10,x\n"))
    assert taken["section (2)"].tolist() == ["Melanoma", "Melanoma", "Breast", "Breast"]
    assert "A study without counts has NR, or another mark" in text
    assert len(read(SECTIONS.replace("Breast,,", "Breast,NR,"))) == 6
    numbered = read("study,events,total\n1.1.1 Skin,,\nAdams,1,10\nSubtotal,1,10\n1.1.2 Lip,,\nBaker,2,12\n")
    assert numbered["section"].tolist() == ["1.1.1 Skin", "1.1.2 Lip"]
    one = read(SECTIONS.replace("Breast,,\n", "").replace("Melanoma", "Randomised trials"))
    assert one["section"].tolist() == ["Randomised trials"] * 4


@pytest.mark.parametrize("label", ["Breast", "Evans 2001", "Evans et al", "Mir unpublished", "Di monta study"])
def test_one_label_without_numbers_below_other_rows_is_a_study(read, label):
    trials = read(f"study,events,total\nAdams,1,10\n{label},,\nClark,1,12\n")
    assert trials["study"].tolist() == ["Adams", label, "Clark"]
    assert codes(trials) == ["no-numbers"]
    first = read(f"study,events,total\n{label},,\nAdams,1,10\nClark,1,12\n")
    assert first["study"].tolist() == [label, "Adams", "Clark"]


def test_studies_without_numbers_between_others_are_no_headings(read):
    trials = read("study,events,total\nAdams,1,10\nBaker,,\nClark,1,12\nDavis,,\nEvans,3,9\nFox,2,20\n")
    assert len(trials) == 6
    trials = read("study,events,total\nAdams,,\nBaker,2,10\nClark,,\nDavis,1,20\n")
    assert len(trials) == 4


def test_cited_studies_without_numbers_are_no_headings(read):
    trials = read("study,events,total\nEvans 2001,,\nAdams,1,10\nBaker 1999a,,\nClark,1,12\n")
    assert len(trials) == 4
    assert "section" not in trials
    assert "section" in read("study,events,total\n2001-2005,,\nAdams,1,10\n2006 to 2010,,\nClark,1,12\nDee,3,9\n")


TWO = "study,events,total\nAdams,1,10\nBaker,2,25\n{}study,events,total\nClark,1,12\n"


@pytest.mark.parametrize(
    ("between", "message"),
    [
        ("\n", "row 5: the names of the columns stand again after a blank row"),
        ("\nExcluded studies,,\n", "row 6: .* after the line 'Excluded studies'"),
        ("Table 3,,\n\n", "row 6: .* after the line 'Table 3'"),
    ],
)
def test_a_second_table_below_the_first_is_refused(read, between, message):
    with pytest.raises(InputError, match=message):
        read(TWO.format(between))


@pytest.mark.parametrize("between", ["", "Table 2 (continued),,\n", "\nTable 2 cont.,,\n"])
def test_a_table_that_goes_on_over_the_page_is_one(read, between):
    trials = read(TWO.format(between))
    assert trials["study"].tolist() == ["Adams", "Baker", "Clark"]
    assert "heading-repeated" in codes(trials)


def test_excluded_studies_below_have_their_section(read):
    trials = read("study,events,total\nAdams,1,10\n\nExcluded studies,,\nClark,1,12\n")
    assert trials["study"].tolist() == ["Adams", "Clark"]
    assert trials["section"].tolist()[1] == "Excluded studies"


def test_a_cell_of_two_lines_makes_no_blank_row(read):
    trials = read('study,events,total,site\nAdams,3,24,"skin,\nface"\nClark,,\n')
    assert trials["study"].tolist() == ["Adams", "Clark"]
    again = read('study,events,total,site\nAdams,3,24,"skin,\nface"\nstudy,events,total,site\nBaker,1,12,skin\n')
    assert again["study"].tolist() == ["Adams", "Baker"]


@pytest.mark.parametrize("row", ["1,2,3", "(1),(2),(3)"])
def test_a_row_that_counts_the_columns_is_no_study(read, row):
    trials = read(f"study,events,total\n{row}\nAdams,3,20\nBaker,4,22\n")
    assert trials["study"].tolist() == ["Adams", "Baker"]
    assert codes(trials) == ["numbers-of-the-columns"]
    assert len(read("study,events,total\n1,2,3\n2,3,20\n")) == 2


def test_a_table_above_another_is_not_taken_for_its_title(read):
    text = "Study,CR,Patients\nA,3,20\nB,4,22\n\nStudy,events,total\nC,1,10\n"
    with pytest.raises(InputError, match=r"are in row 5, but rows above have numbers: row 2: 'A', '3', '20'; row 3: "):
        read(text)
    assert read(text, header=5)["study"].tolist() == ["C"]
    groups = "Searched,2019,2020\nStudies,1,\nStudy,events,total\nA,3,20\n"
    assert read(groups)["study"].tolist() == ["A"]
    with pytest.raises(InputError, match=r"header=\(4, 5\); otherwise"):
        read("Table,,,,\nX,3,20,4,9\n,,,,\nStudy,Treatment,,Control,\n,events,n,events,n\nA,1,10,2,11\n")


@pytest.mark.parametrize("names", ["Study,Age,Women", "study,PR,total"])
def test_names_of_other_columns_below_a_table_are_no_study(read, names):
    with pytest.raises(InputError, match=r"row 4: .* are names of columns, so another table begins there"):
        read(f"Study,events,total\nA,3,20\n\n{names}\nA,65,10\n")
