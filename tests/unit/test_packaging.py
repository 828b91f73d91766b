"""The files that speak of the package agree with each other."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import metaan

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = dict(re.findall(r"^(\w[\w-]*): (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.M))
CODEMETA = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))


def test_one_version():
    versions = {PROJECT["project"]["version"], CITATION["version"], CODEMETA["version"], metaan.__version__}
    assert len(versions) == 1
    assert re.search(
        rf"^## {re.escape(metaan.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )


def test_one_licence_for_the_code_and_one_for_the_facts():
    assert {PROJECT["project"]["license"], CITATION["license"], Path(CODEMETA["license"]).name} == {"MIT"}
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    package = json.loads((ROOT / "studies/datapackage.json").read_text(encoding="utf-8"))
    said = (ROOT / "studies/README.md").read_text(encoding="utf-8").partition("## Licence")[2]
    for licence in package["licenses"]:
        assert licence["path"] in said
        assert licence["name"].replace("-", " ") in said


def test_the_same_description_and_keywords():
    assert CODEMETA["description"] == PROJECT["project"]["description"]
    assert CODEMETA["keywords"] == PROJECT["project"]["keywords"]


def bounds(*extras):
    command = [sys.executable, ROOT / ".ci/bounds.py", *extras]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout.splitlines(), run.stderr


def test_every_requirement_has_a_lower_bound_to_test_at():
    code, pins, _ = bounds("test")
    assert code == 0
    for requirement in PROJECT["project"]["dependencies"]:
        assert requirement.replace(">=", "==") in pins
    named = {re.split("[=<]", pin)[0] for pin in pins}
    assert {"numba", "polars", "jinja2", "pytest"} <= named, "extras of the extra count"


def test_a_requirement_without_a_bound_is_refused():
    code, _, said = bounds("bench")
    assert code == 1
    assert "has no lower bound" in said


def test_the_sdist_holds_what_the_repository_is_tested_with():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for name in (
        "metaan",
        "studies",
        "tests",
        "docs",
        "CITATION.cff",
        "codemeta.json",
        "SECURITY.md",
        "LICENSE",
        ".ci",
    ):
        assert name in included
    assert all((ROOT / name).exists() for name in included)
