"""JSON, Parquet, tables in memory, and the tables that other programs write."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.reading import code_set
from helpers.reviews import COUNTS

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.measures.effect_size import _COLUMNS
from metaan.names import COLUMNS
from metaan.readers.needs import KNOWN, NEEDS

ROWS = {"study": ["A", "B"], "events": [3, None], "total": [24, 12]}


def same(trials):
    assert trials["study"].tolist() == ["A", "B"]
    np.testing.assert_array_equal(trials["events"], [3, np.nan])
    np.testing.assert_array_equal(trials["total"], [24, 12])
    assert trials.attrs["notes"] == []


@pytest.mark.parametrize("orient", ["records", "columns", "split", "table", "list"])
def test_json(tmp_path, orient):
    frame = pd.DataFrame(ROWS)
    text = (
        json.dumps(ROWS) if orient == "list" else frame.to_json(orient=orient, index=orient not in ("records", "table"))
    )
    (tmp_path / "trials.json").write_text(text)
    same(metaan.read(tmp_path / "trials.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "a list of int"),
        ("{}", "not a table"),
        ("[", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"study": ["A"], "events": [1, 2]}', "'events' has 2"),
        ('{"study": ["A"], "study": ["B"]}', "'study' is there twice"),
        ('{"columns": ["study", "events"], "data": [["A"]]}', "1 values for 2 columns"),
        ('[{"study": "A", "events": [1], "total": 2}]', "holds list"),
        ('[{"study": "A", "events": Infinity, "total": 2}]', "not finite"),
        ('[{"study": "A", "events": true, "total": 2}]', "true or false"),
        (f'[{{"study": "A", "events": {"9" * 400}, "total": 2}}]', "not a number"),
    ],
)
def test_what_is_no_table_in_json(tmp_path, text, message):
    (tmp_path / "trials.json").write_text(text)
    with pytest.raises(InputError, match=message):
        metaan.read(tmp_path / "trials.json")


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(ROWS).to_parquet(tmp_path / "trials.parquet")
    same(metaan.read(tmp_path / "trials.parquet"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        metaan.read(tmp_path / "bad.parquet")


def test_tables_in_memory():
    same(metaan.read(pd.DataFrame(ROWS)))
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    same(metaan.read(polars.DataFrame(ROWS)))
    same(metaan.read(pyarrow.table(ROWS)))
    with pytest.raises(InputError, match="Collect it first"):
        metaan.read(polars.LazyFrame(ROWS))


def test_an_index_of_labels_and_names_in_two_rows():
    names = pd.MultiIndex.from_product([["treated", "control"], ["events", "n"]])
    trials = metaan.read(pd.DataFrame([[1, 3, 2, 4]], index=["A"], columns=names))
    assert trials.iloc[0].to_dict() == {"study": "A", "events_t": 1, "total_t": 3, "events_c": 2, "total_c": 4}
    frame = pd.DataFrame(ROWS).set_index("study")
    before = frame.copy()
    assert metaan.read(frame)["study"].tolist() == ["A", "B"]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("wrong", [None, 1, [1, 2], {"study": ["A"]}, object()])
def test_what_is_no_path_and_no_table(wrong):
    with pytest.raises(InputError, match="path must be a file"):
        metaan.read(wrong)


def test_paths(tmp_path):
    (tmp_path / "trials.csv").write_text("study,events,total\nA,1,2\n")
    for path, message in (
        (tmp_path, "is a folder. Its files: 'trials.csv'"),
        (tmp_path / "trails.csv", "Did you mean 'trials.csv'"),
        ("https://example.org/trials.csv", "is an address"),
        ("/dev/null", "no regular file"),
        ("a\0b", "cannot be read|no file"),
        ("x" * 5000, "cannot be read|no file"),
    ):
        with pytest.raises(InputError, match=message):
            metaan.read(path)
    with pytest.raises(OptionError, match=r"which trials.csv is not"):
        metaan.read(tmp_path / "trials.csv", outcome=1)
    with pytest.raises(OptionError, match="decimal=';'"):
        metaan.read(tmp_path / "trials.csv", decimal=";")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("slab ai bi ci di", "study events_t total_t events_c total_c nonevents_t nonevents_c"),
        ("slab ai n1i ci n2i", "study events_t total_t events_c total_c"),
        ("slab xi ni", "study events total"),
        ("slab xi mi", "study events total nonevents"),
        ("slab xi ti", "study events time"),
        ("slab x1i t1i x2i t2i", "study events_t time_t events_c time_c"),
        ("slab m1i sd1i n1i m2i sd2i n2i", "study mean_t sd_t n_t mean_c sd_c n_c"),
        ("slab mi sdi ni", "study mean sd n"),
        ("slab ri ni", "study r n"),
        ("slab yi vi", "study yi vi"),
        ("slab yi sei", "study yi sei"),
        ("studlab event.e n.e event.c n.c", "study events_t total_t events_c total_c"),
        ("studlab n.e mean.e sd.e n.c mean.c sd.c", "study mean_t sd_t n_t mean_c sd_c n_c"),
        ("studlab TE seTE", "study yi sei"),
        ("Author Responders N", "study events total"),
        ("Study events1 n1 events2 n2", "study events_t total_t events_c total_c"),
        ("Trial nTreat eventsTreat nControl eventsControl", "study events_t total_t events_c total_c"),
        ("Study yi ci vi", "study yi vi ci"),
    ],
)
def test_names_of_other_programs(names, expected):
    headings = names.split()
    numbers = [0 if name == "ri" else 9 if i % 2 else 8 for i, name in enumerate(headings[1:])]
    trials = metaan.read(pd.DataFrame([["A", *numbers]], columns=headings))
    assert set(trials.columns) == set(expected.split())


def test_counts_of_all_cells_pool_as_the_counts_themselves():
    wide = {
        "ai": COUNTS["events_t"], "bi": COUNTS["total_t"] - COUNTS["events_t"],
        "ci": COUNTS["events_c"], "di": COUNTS["total_c"] - COUNTS["events_c"],
    }  # fmt: skip
    trials = metaan.read(pd.DataFrame(wide), measure="RR")
    for name, given in COUNTS.items():
        np.testing.assert_array_equal(trials[name], given)
    assert code_set(trials) == {"renamed", "no-study", "computed"}
    wide["n1i"] = COUNTS["total_t"] + 1
    with pytest.raises(DataError, match="do not add up to total_t"):
        metaan.read(pd.DataFrame(wide))


def test_needed_columns_are_those_of_effect_size():
    assert {code: names for code, names in NEEDS.items() if code not in ("HR", "GEN")} == _COLUMNS
    assert NEEDS["GEN"] == NEEDS["HR"] == ("yi", "vi")


DATA_ROWS = (
    "Analysis group,Analysis number,Subgroup,Study,Study year,GIV Mean,GIV SE,Experimental mean,Experimental SD,"
    "Experimental cases,Experimental N,Control mean,Control SD,Control cases,Control N,O-E,Variance,Weight,Mean\n"
    "1,1,,Adams,1999,,,,,3,20,,,5,21,,,60,0.6\n"
    "1,1,,Baker,2001,,,,,1,15,,,2,14,,,40,0.5\n"
    "1,2,Adults,Adams,1999,,,12.5,3.25,,20,10,4,,21,,,100,2.5\n"
    "2,1,,Adams,1999,-0.35,0.12,,,,,,,,,,,100,0.7\n"
    "2,2,,Adams,1999,,,,,,,,,,,-4.5,9,100,0.6\n"
    ",,,,,,,,,,,,,,,,,,\n"
)


def test_rows_of_all_analyses_of_a_review(tmp_path):
    path = tmp_path / "data-rows.csv"
    path.write_text(DATA_ROWS)
    with pytest.raises(InputError, match=r"4 outcomes.*1\.1 .*dichotomous, 2 rows"):
        metaan.read(path)
    trials = metaan.read(path, outcome="1.1")
    assert trials.drop(columns="year").to_dict("list") == {
        "study": ["Adams", "Baker"], "events_t": [3, 1], "total_t": [20, 15], "events_c": [5, 2], "total_c": [21, 14],
    }  # fmt: skip
    means = metaan.read(path, comparison=1, outcome=2)
    assert means[["mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c"]].iloc[0].tolist() == [12.5, 3.25, 20, 10, 4, 21]
    assert means["subgroup"].tolist() == ["Adults"]
    assert metaan.read(path, outcome="2.1")[["yi", "sei"]].iloc[0].tolist() == [-0.35, 0.12]
    assert metaan.read(path, outcome="2.2")[["yi", "vi"]].iloc[0].tolist() == [-0.5, 1 / 9]


def test_rows_of_a_review_by_revman_5_and_by_meta(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(
        "Comparison Number,Outcome Number,Data Type,Effect Measure,Study,Events 1,Total 1,Events 2,Total 2\n"
        "1,1,,,,,,,\n1,1,Dichotomous,Odds Ratio,Adams,3,20,5,21\n"
    )
    trials = metaan.read(path)
    assert trials[["events_t", "total_t", "events_c", "total_c"]].iloc[0].tolist() == [3, 20, 5, 21]
    assert trials.attrs["read"]["measure"] == "OR"
    assert "no-study" in code_set(trials)
    path.write_text("comp.no,outcome.no,studlab,event.e,n.e,event.c,n.c,sm\n1,1,Adams,3,20,5,21,RR\n")
    assert metaan.read(path)["events_c"].tolist() == [5]


def test_every_name_of_metaan_is_in_the_vocabulary():
    assert set(KNOWN) <= set(COLUMNS)


def test_a_record_that_was_changed_is_not_explained():
    trials = metaan.read(pd.DataFrame(ROWS))
    for changed in (None, {}, {"notes": None}, {"notes": ["x"]}, {"notes": [{}]}):
        other = trials.copy()
        record = changed and other.attrs["read"] | changed
        other.attrs["read"] = record
        with pytest.raises(InputError, match="was changed"):
            metaan.explain(other)


def test_what_was_decided_goes_into_a_parquet_file(tmp_path):
    trials = metaan.read(pd.DataFrame(ROWS).rename(columns={"events": "responders"}))
    assert trials.attrs["notes"]
    trials.to_parquet(tmp_path / "trials.parquet")
    again = pd.read_parquet(tmp_path / "trials.parquet")
    assert again.attrs == trials.attrs
    assert str(metaan.explain(again)) == str(metaan.explain(trials))


@pytest.mark.parametrize("index", [[5, 7], ["A", "B"]])
def test_an_index_without_a_name_in_a_parquet_file(tmp_path, index):
    pytest.importorskip("pyarrow")
    columns = {"events": [3, 1], "total": [24, 12]} | ({} if index[0] == "A" else {"study": ["A", "B"]})
    frame = pd.DataFrame(columns, index=index)
    frame.to_parquet(tmp_path / "x.parquet")
    trials = metaan.read(tmp_path / "x.parquet")
    assert sorted(trials.columns) == ["events", "study", "total"]
    assert trials["study"].tolist() == ["A", "B"]
    assert trials["study"].equals(metaan.read(frame)["study"])
    assert [note["code"] for note in trials.attrs["read"]["notes"]] == ["index"] * (index[0] == "A")


@pytest.mark.parametrize("index", [pd.CategoricalIndex(["A", "B"]), pd.Index(["A", "B"], dtype="string"), ["A", "B"]])
def test_an_index_of_labels_is_the_study_whatever_its_type(index):
    trials = metaan.read(pd.DataFrame({"events": [1, 2], "total": [10, 20]}, index=index))
    assert trials["study"].tolist() == ["A", "B"]
