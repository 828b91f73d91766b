"""Tables in JSON as pandas and other programs write them."""

import json

import pandas as pd
import pytest
from helpers.reading import code_set as codes

import metaan
from metaan.errors import InputError

ROWS = [{"study": "Adams", "events": 3, "total": 44}, {"study": "Baker", "events": 4, "total": 30}]


@pytest.fixture
def read(tmp_path):
    def reading(text, name="trials.json", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return metaan.read(tmp_path / name, **options)

    return reading


@pytest.mark.parametrize("orient", ["records", "index", "columns", "split", "table"])
def test_every_orientation_of_pandas(read, orient):
    trials = read(pd.DataFrame(ROWS).to_json(orient=orient))
    assert trials[["study", "events", "total"]].to_dict("records") == ROWS


def test_labels_that_are_the_keys_of_rows(read):
    trials = read(pd.DataFrame(ROWS).set_index("study").to_json(orient="index"))
    assert trials.to_dict("records") == ROWS
    assert "index" in codes(trials)
    trials = read(pd.DataFrame(ROWS, index=["a", "b"]).to_json(orient="index"))
    assert trials["index"].tolist() == ["a", "b"]


def test_keys_that_count_rows_of_headings_that_are_not_known(read):
    text = json.dumps(
        {str(i): {"who": row["study"], "CR": row["events"], "pts": row["total"]} for i, row in enumerate(ROWS)}
    )
    trials = read(text, columns={"study": "who", "events": "CR", "total": "pts"})
    assert trials.to_dict("records") == ROWS


@pytest.mark.parametrize("name", ["trials.jsonl", "trials.json", "trials.ndjson"])
def test_a_record_on_each_line(read, name):
    trials = read(pd.DataFrame(ROWS).to_json(orient="records", lines=True), name)
    assert trials.to_dict("records") == ROWS
    assert "json-lines" in codes(trials)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"study": "A", "events": 1}\n{"study" 2}\n', r"trials\.json, line 2 is no JSON \(Expecting"),
        ('{"study": "A"}\n{"study": "B", "study": "C"}\n', "the key 'study' is there twice"),
        ('{"study": "A", "events": 1\n"total": 2}\n', r"^trials\.json is no JSON \(Expecting"),
        ('{"study": ["A"]} x', r"^trials\.json is no JSON \(Extra data"),
    ],
)
def test_what_is_no_json_is_told_with_its_line(read, text, message):
    with pytest.raises(InputError, match=message):
        read(text)
