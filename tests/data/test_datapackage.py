"""studies/ is a Frictionless data package that describes every column, and its validator finds what is broken."""

import json
import shutil
import subprocess
import sys

import pytest

import metaan
from metaan.evidence import options

from .conftest import FILES, STUDIES, read_rows

VALIDATE = """
import json, sys
from frictionless import validate
report = validate(sys.argv[1])
errors = [[task.name, error.type, error.note] for task in report.tasks for error in task.errors]
print(json.dumps({"valid": report.valid, "errors": errors + [[None, e.type, e.note] for e in report.errors]}))
"""


@pytest.fixture(scope="module")
def package():
    return json.loads((STUDIES / "datapackage.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def schemas(package):
    return {resource["name"]: resource["schema"] for resource in package["resources"]}


def validated(folder):
    """Report of the validator; in a process of its own, since its imports warn."""
    command = [sys.executable, "-W", "ignore", "-c", VALIDATE, "datapackage.json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_the_validator_passes():
    report = validated(STUDIES)
    assert report == {"valid": True, "errors": []}


def test_it_names_every_file_and_its_licence(package):
    assert {resource["path"] for resource in package["resources"]} == {path.name for path in STUDIES.glob("*.csv")}
    assert [licence["name"] for licence in package["licenses"]] == ["CC0-1.0"]
    assert package["sources"]


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.csv")))
def test_every_column_is_described_in_its_order(name, schemas):
    fields = schemas[name]["fields"]
    assert [field["name"] for field in fields] == list(read_rows(name)[0])
    assert all(field["type"] and len(field["description"]) > 4 for field in fields)
    assert schemas[name].get("primaryKey") or name == "excluded"


def test_the_response_files_have_one_schema(schemas):
    assert all(schemas[name] == schemas[FILES[0]] for name in FILES)
    assert all("foreignKeys" in schemas[name] for name in schemas if name not in ("references", "excluded"))


@pytest.mark.parametrize(
    ("field", "option", "more"),
    [
        ("unit", options.UNIT, set()),
        ("site", options.SITE, set()),
        ("response_scope", options.SCOPE, set()),
        ("therapy", options.THERAPY, set()),
        ("outcome", options.OUTCOME, set()),
        ("role", options.ROLE, set()),
        ("confidence", options.CONFIDENCE, {"low"}),
        ("counts", options.COUNTS, {"inferred"}),
        ("preferred", options.PREFERRED, {"no"}),
    ],
)
def test_the_vocabulary_is_that_of_the_loader(field, option, more, schemas):
    described = next(line for line in schemas["topical"]["fields"] if line["name"] == field)
    assert set(described["constraints"]["enum"]) == (set(option.choices) - {"any", "intended"}) | more


def test_the_validator_bites(tmp_path):
    """One error of each kind in a copy: a value, a bound, a type, a key twice, an unknown study, an empty source."""
    shutil.copytree(STUDIES, tmp_path / "studies")
    path = tmp_path / "studies" / "topical.csv"
    header, first, *rest = path.read_text(encoding="utf-8").splitlines()
    broken = [
        first.replace("adams2012", "nobody2012", 1),
        first.replace(",patient,", ",person,", 1),
        rest[-1],
        rest[-1],
    ]
    path.write_text("\n".join([header, *broken, *rest]) + "\n", encoding="utf-8")
    other = tmp_path / "studies" / "other.csv"
    text = other.read_text(encoding="utf-8").replace(",8,11,", ",-8,eleven,", 1)
    other.write_text(text.replace(",abstract,", ",,", 1), encoding="utf-8")
    report = validated(tmp_path / "studies")
    assert not report["valid"]
    found = {(name, kind) for name, kind, _ in report["errors"]}
    assert found >= {
        ("topical", "foreign-key"),
        ("topical", "primary-key"),
        ("topical", "constraint-error"),
        ("other", "constraint-error"),
        ("other", "type-error"),
    }
    assert any("nobody2012" in note for _, kind, note in report["errors"] if kind == "foreign-key")
    findings = metaan.check_studies(tmp_path / "studies")
    said = set(zip(findings["file"], findings["column"], findings["finding"], strict=True))
    for file, column, text in (
        ("topical.csv", "study_id", "'nobody2012' is not in"), ("topical.csv", "unit", "'person' is not allowed"),
        ("topical.csv", "study_id, arm", "Keep one"), ("other.csv", "events", "-8 is below"),
        ("other.csv", "total", "'eleven' is no whole number"), ("other.csv", "locator", "empty, but required"),
    ):  # fmt: skip
        assert any(file == f and c.startswith(column) and text in t for f, c, t in said), (file, column)
