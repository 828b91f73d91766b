"""AUDIT.md and the CSV files read without the package, as the reference for what the package reads."""

import csv
import re
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "studies"
FILES = (
    "electrochemotherapy",
    "photodynamic",
    "radiotherapy",
    "intralesional",
    "miltefosine",
    "topical",
    "other",
)


def read_rows(name):
    with (STUDIES / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="session")
def rows():
    """Every table as a list of dictionaries of text."""
    return {path.stem: read_rows(path.stem) for path in STUDIES.glob("*.csv")}


@pytest.fixture(scope="session")
def responses(rows):
    return {name: rows[name] for name in FILES}


@pytest.fixture(scope="session")
def audit():
    return (STUDIES / "AUDIT.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def audit_tables(audit):
    """The three tables of section 3: counts, studies at all sites, studies of skin metastases."""
    section = audit.split("## 3. Counts")[1].split("## 4.")[0]
    tables = []
    for block in re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE):
        lines = [[cell.strip(" *") for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        header, body = lines[0], lines[2:]
        tables.append({line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in body})
    counts, everywhere, skin_metastases = tables
    return {"counts": counts, "everywhere": everywhere, "skin metastases": skin_metastases}
