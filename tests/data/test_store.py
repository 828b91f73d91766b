"""The tables are found beside the package and inside an installed one."""

import doctest
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import metaan.evidence
from metaan.errors import MetaanError
from metaan.evidence import store

PACKAGE = Path(metaan.evidence.__file__).resolve().parents[1]
STUDIES = Path(__file__).resolve().parents[2] / "studies"
PROBE = (
    "from metaan.evidence.load import load; from metaan.evidence.store import folder; print(folder()); "
    "ask = {'outcome': 'complete_response', 'unit': 'lesion', 'overlaps': 'prefer_largest'}; "
    "print(load('electrochemotherapy', **ask)['total'].sum())"
)


def test_an_installed_package_reads_the_tables_inside_it(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "metaan", ignore=shutil.ignore_patterns("__pycache__", "_studies"))
    shutil.copytree(STUDIES, site / "metaan" / "_studies")
    run = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    place, total = run.stdout.split()
    assert Path(place) == site / "metaan" / "_studies"
    assert total == "1897"


def test_missing_tables_are_an_error_that_names_the_places(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "__file__", str(tmp_path / "metaan" / "evidence" / "store.py"))
    monkeypatch.setattr(store.resources, "files", lambda package: tmp_path / package)
    with pytest.raises(MetaanError, match=r"_studies nor .*studies holds references\.csv"):
        store.folder.__wrapped__()


def test_tables_are_typed():
    frame = store.table("electrochemotherapy")
    assert {str(frame[column].dtype) for column in ("events", "total", "n_patients", "n_lesions")} == {"Int64"}
    assert {str(frame[column].dtype) for column in ("reported_pct", "ci_low", "ci_high")} == {"float64"}
    assert not frame["combined_with"].isna().any()


@pytest.mark.parametrize(
    "read", [lambda: store.responses("topical"), store.every_response, lambda: store.table("topical")]
)
def test_what_is_kept_of_a_table_cannot_be_changed(read):
    frame, other = read(), read()
    frame["events"] = 0
    frame.loc[:, "study_id"] = "changed"
    pd.testing.assert_frame_equal(read(), other)


@pytest.mark.parametrize("module", ["load", "explain", "catalogue", "published"])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(f"metaan.evidence.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
