"""``--by`` takes metaan's names and the headings of the file, and says what it does with a study without a subgroup."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import run

import metaan

TRIALS = """Author,Publication year,events,total,grp
A,2001,3,20,x
B,2002,4,22,x
C,2003,6,30,
D,2001,9,40,y
E,2002,5,20,y
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trials.csv").write_text(TRIALS, encoding="utf-8")


def groups(*args, given=None):
    result = run("pool", *args, "--json", given=given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("by", "column", "names"),
    [
        ("Publication year", "year", ["2001", "2002", "2003"]),
        ("year", "year", ["2001", "2002", "2003"]),
        ("Author", "study", list("ABCDE")),
        ("study", "study", list("ABCDE")),
    ],
)
def test_headings_and_names(by, column, names):
    found = groups("trials.csv", "--by", by)
    assert (found["by"], list(found["groups"])) == (column, names)


def test_a_heading_that_was_named_and_one_from_standard_input():
    pd.read_csv("trials.csv").rename(columns={"Publication year": "Wann"}).to_csv("odd.csv", index=False)
    named = ("--year", "Wann", "--by", "Wann")
    assert list(groups("odd.csv", *named)["groups"]) == ["2001", "2002", "2003"]
    assert groups("-", *named, given=Path("odd.csv").read_bytes()) == groups("odd.csv", *named)
    found = groups("trials.csv", "--by", "Publication year", "--events", "events", "--measure", "PLO")
    assert found["by"] == "year"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--by", "GRP"], 1, "--by 'GRP' is not a column. Columns: 'study', 'events', 'total', 'year', 'grp'. "
                             "Did you mean 'grp'?"),
        (["--by", "colour"], 1, "Columns: 'study', 'events', 'total', 'year', 'grp'.\n"),
        (["--by", ""], 2, "--by is empty."),
        (["--by", " "], 2, "--by is empty."),
        (["--by", "grp"], 1, "--by 'grp' is empty in 1 study: 'C'. Fill it in, or leave such studies out: --missing "
                             "drop."),
    ],
)  # fmt: skip
def test_errors(args, code, message):
    result = run("pool", "trials.csv", *args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


@pytest.mark.parametrize("model", ["glmm", "normal"])
def test_studies_without_a_subgroup_are_left_out_where_asked(model):
    frame = pd.read_csv("trials.csv").query("Author != 'C'")
    eff = metaan.effect_size("PLO", frame, events="events", total="total", study="Author")
    expected = metaan.subgroups(eff, "grp", model=model).back()
    found = groups("trials.csv", "--by", "grp", "--missing", "drop", "--model", model)
    assert list(found["groups"]) == ["x", "y"]
    assert found["Q_between"] == pytest.approx(expected.Q_between, rel=1e-12)
    notes = [note if isinstance(note, str) else note["text"] for note in found["notes"]]
    assert "1 study left out because grp is missing: 'C'." in notes


def test_studies_without_labels_are_numbered_and_none_may_be_all_that_is_left():
    frame = pd.read_csv("trials.csv").drop(columns=["Author", "Publication year"])
    frame.to_csv("bare.csv", index=False)
    assert "empty in 1 study: '3'." in run("pool", "bare.csv", "--by", "grp").stderr
    Path("none.json").write_text(json.dumps([{"events": 1, "total": 9, "g": None}, {"events": 2, "total": 8, "g": ""}]))
    result = run("pool", "none.json", "--by", "g", "--missing", "drop")
    assert (result.exit_code, "--by 'g': no study has a value" in result.stderr) == (1, True)
