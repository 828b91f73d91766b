"""The tables of docs/evidence.md are what docs/make_evidence.py makes of studies/."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_evidence", ROOT / "docs" / "make_evidence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_data_say(maker):
    page = maker.PAGE.read_text(encoding="utf-8")
    assert maker.filled(page) == page, "docs/evidence.md is stale: run python docs/make_evidence.py"


def test_a_stale_table_is_seen(maker):
    page = maker.PAGE.read_text(encoding="utf-8")
    stale = page.replace(
        "| `electrochemotherapy` | electrochemotherapy |", "| `electrochemotherapy` | something else |"
    )
    assert stale != page
    assert maker.filled(stale) == page


def test_a_page_without_a_place_is_refused(maker):
    with pytest.raises(ValueError, match="catalogue"):
        maker.filled("no tables here")


def test_every_column_of_the_package_is_in_the_dictionary(maker):
    package = json.loads((ROOT / "studies" / "datapackage.json").read_text(encoding="utf-8"))
    told = maker.dictionary()
    for resource in package["resources"]:
        assert f"`{resource['path']}`" in told
        for field in resource["schema"]["fields"]:
            assert f"| `{field['name']}` |" in told


def test_every_excluded_row_has_a_reason_of_the_page(maker):
    rows = maker.rows_of("excluded")
    told = [line for line in maker.excluded().splitlines() if line.startswith("| ") and line[-3].isdigit()]
    assert sum(int(line.split("|")[-2]) for line in told) == len(rows)
