"""Every row of studies/ keeps every rule, and a broken one is told with its file, row, column and what to do."""

import csv
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaan
from metaan.errors import InputError
from metaan.evidence import check_rules
from metaan.names import COLUMNS

from .conftest import FILES, STUDIES, read_rows

NEW = {
    "study_id": "new2099", "arm": "single", "role": "single", "therapy": "topical", "agent": "a cream",
    "route": "topical", "combined_with": "", "primary_tumour": "breast", "site": "cutaneous_metastases",
    "unit": "patient", "response_scope": "treated_lesions", "events": "", "total": "20", "reported_pct": "",
    "ci_low": "", "ci_high": "", "counts": "printed", "timepoint": "", "criteria": "", "n_patients": "20",
    "n_lesions": "", "source_kind": "primary", "source": "New 2099, abstract", "locator": "abstract",
    "url": "https://example.org", "confidence": "high", "preferred": "yes", "notes": "",
}  # fmt: skip
OUTCOMES = {
    "complete_response": ("5", "25"), "partial_response": ("3", "15"), "objective_response": ("8", "40"),
    "stable_disease": ("10", ""), "progressive_disease": ("2", "10"),
}  # fmt: skip
PLACES = {outcome: place for place, outcome in enumerate(OUTCOMES, start=1)}


class Tables(dict):
    """A folder of one's own: a study of five outcomes, its reference, and no datapackage.json."""

    def __init__(self):
        reference = dict.fromkeys(read_rows("references")[0], "")
        self["topical"] = [
            NEW | {"outcome": outcome, "events": events, "reported_pct": pct}
            for outcome, (events, pct) in OUTCOMES.items()
        ]
        self["references"] = [reference | {"study_id": "new2099", "citation": "New et al. 2099", "design": "rct"}]

    def change(self, outcome, **values):
        self["topical"][PLACES[outcome] - 1].update(values)

    def check(self, folder):
        for name, rows in self.items():
            write(folder / f"{name}.csv", rows)
        return metaan.check_studies(folder)


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def told(findings, file, row, column):
    chosen = findings[(findings["file"] == file) & (findings["column"] == column)]
    return chosen.loc[chosen["row"].isna() if row is None else chosen["row"] == row, "finding"].tolist()


@pytest.mark.parametrize("folder", [None, STUDIES, str(STUDIES)])
def test_the_evidence_keeps_every_rule(folder):
    findings = metaan.check_studies(folder)
    assert findings.empty, findings.to_string()
    assert list(findings.columns) == ["file", "row", "column", "finding"]
    assert set(findings.columns) <= set(COLUMNS)


def test_the_rules_look_at_many_rows(rows):
    counted = [row for name in (*FILES, "prevalence", "composition") for row in rows[name] if check_rules.counted(row)]
    assert len(counted) > 650
    assert sum(bool(row["reported_pct"]) for row in counted) > 400
    # Differing percentages are there, and each has its note.
    assert sum(bool(check_rules.misprint(row)) for row in counted) > 25


def test_a_complete_study_of_ones_own_breaks_nothing(tmp_path):
    assert Tables().check(tmp_path).empty


CELLS = {
    "events above the total": ("complete_response", {"events": "21"}, "events", "events 21 exceed total 20"),
    "events without a total": ("stable_disease", {"total": ""}, "total", "events without a total"),
    "a total of nothing": ("stable_disease", {"events": "0", "total": "0"}, "total", "0 is below 1."),
    "a negative count": ("stable_disease", {"events": "-1"}, "events", "-1 is below 0."),
    "a fraction": ("stable_disease", {"events": "9.5"}, "events", "'9.5' is no whole number."),
    "text for a number": ("complete_response", {"reported_pct": "a lot"}, "reported_pct", "'a lot' is no number."),
    "a large percentage": ("stable_disease", {"reported_pct": "101"}, "reported_pct", "101 is above 100."),
    "counts of no kind": ("stable_disease", {"counts": ""}, "counts", "counts='', but counts are given"),
    "counts that are not there": (
        "stable_disease",
        {"events": "", "total": "", "preferred": "no"},
        "counts",
        "counts='printed', but no counts are given",
    ),
    "a percentage of other counts": (
        "complete_response",
        {"reported_pct": "26"},
        "reported_pct",
        "5/20 is 25.00%, printed 26%",
    ),
    "limits beside their percentage": ("complete_response", {"ci_low": "30"}, "ci_low", "30 25 do not rise"),
    "a word that is not in the list": ("stable_disease", {"unit": "person"}, "unit", "Choose one of lesion, patient"),
    "preferred without counts": (
        "stable_disease",
        {"events": "", "total": "", "counts": "", "reported_pct": "50"},
        "preferred",
        "preferred without counts",
    ),
    "no preferred row": ("stable_disease", {"preferred": "no"}, "preferred", "no preferred row of new2099 / single"),
    "no reference": ("complete_response", {"study_id": "old1999"}, "study_id", "'old1999' is not in references.csv"),
    "no source": ("complete_response", {"source": ""}, "source", "empty, but required"),
    "a blank address": ("complete_response", {"url": " "}, "url", "empty, but required"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_broken_cell_is_told_with_its_place(name, tmp_path):
    outcome, values, column, message = CELLS[name]
    tables = Tables()
    tables.change(outcome, **values)
    texts = told(tables.check(tmp_path), "topical.csv", PLACES[outcome], column)
    assert any(message in text for text in texts), texts
    assert all(text.endswith(".") for text in texts)


def test_sums_of_responses(tmp_path):
    tables = Tables()
    tables.change("partial_response", events="4", reported_pct="20")
    tables.change("stable_disease", events="13")
    texts = told(tables.check(tmp_path), "topical.csv", 1, "events")
    assert ["CR + PR = 9, OR = 8" in texts[0], "CR + PR + SD + PD = 24 of 20" in texts[1]] == [True, True]


def test_a_row_twice_and_two_preferred_rows(tmp_path):
    tables = Tables()
    tables["topical"] += [dict(tables["topical"][3]), tables["topical"][3] | {"source": "another text"}]
    findings = tables.check(tmp_path)
    key = "study_id, arm, unit, response_scope, outcome, timepoint, source, counts"
    assert [
        text.endswith("that of row 4. Keep one, or tell them apart.") for text in told(findings, "topical.csv", 6, key)
    ] == [True]
    assert "3 preferred rows" in told(findings, "topical.csv", 4, "preferred")[0]


def test_keys_between_tables(tmp_path):
    tables = Tables()
    blank = dict.fromkeys(tables["references"][0], "")
    tables["references"].append(blank | {"study_id": "bo2099", "citation": "Bo 2099", "design": "rct"})
    tables["overlaps"] = [{"cohort_group": "cream", "study_id": "clark2099", "relation": "possible", "notes": ""}]
    tables["other"] = [NEW | {"outcome": "recurrence", "events": "1"}]
    findings = tables.check(tmp_path)
    assert "used nowhere" in told(findings, "references.csv", 2, "study_id")[0]
    assert "'clark2099' is not in references.csv" in told(findings, "overlaps.csv", 1, "study_id")[0]
    assert "rows in topical.csv too" in told(findings, "other.csv", 1, "study_id")[0]
    assert len(findings) == 3


def test_the_form_of_a_file(tmp_path):
    Tables().check(tmp_path)
    path = tmp_path / "topical.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header.replace("notes", "arm,remark"), lines[0] + ",x", lines[1]]), encoding="utf-8")
    findings = metaan.check_studies(tmp_path)
    assert "2 columns of this name" in told(findings, "topical.csv", None, "arm")[0]
    assert "unknown column 'remark'" in told(findings, "topical.csv", None, "remark")[0]
    assert told(findings, "topical.csv", None, "notes") == ["the column is missing."]
    assert told(findings, "topical.csv", 2, "") == ["29 cells under 30 columns."]
    path.write_bytes(b"study_id\n\xff")
    assert "no UTF-8 text (byte 10)" in told(metaan.check_studies(tmp_path), "topical.csv", None, "")[0]
    path.write_text('study_id\n"unclosed')
    assert "no CSV" in told(metaan.check_studies(tmp_path), "topical.csv", None, "")[0]
    (tmp_path / "references.csv").unlink()
    assert told(metaan.check_studies(tmp_path), "references.csv", None, "") == ["the file is missing."]


def test_a_key_that_the_audit_excuses_and_the_table_does_not(tmp_path):
    folder = tmp_path / "studies"
    shutil.copytree(STUDIES, folder)
    audit = folder / "AUDIT.md"
    audit.write_text(
        audit.read_text().replace("byrne2005 / ECT, all lesions incl. non-randomised", "byrne2006 / ECT", 1)
    )
    (folder / "composition.csv").unlink()
    findings = metaan.check_studies(folder)
    assert told(findings, "composition.csv", None, "") == ["the file is missing."]
    assert told(findings, "AUDIT.md", None, "preferred")[0].startswith("section 4: byrne2006 / ECT")
    assert findings["finding"].str.contains("Prefer one, or list the key in AUDIT.md").sum() == 1


def test_folders_that_cannot_be_checked(tmp_path):
    for folder in (tmp_path / "nowhere", STUDIES / "README.md", "a\0b", 3):
        with pytest.raises(InputError, match="is no folder"):
            metaan.check_studies(folder)
    with pytest.raises(InputError, match=r"none of the tables electrochemotherapy\.csv"):
        metaan.check_studies(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "\xff", '{"resources": [1]}', "[" * 100_000]
    + [
        json.dumps({"resources": [{"name": "a", "path": path, "schema": {"fields": []}}]})
        for path in ("../a.csv", "/etc/passwd")
    ]
    + [
        json.dumps({"resources": [{"name": "a", "path": "a.csv", "schema": {"fields": [field]}}]})
        for field in (
            {"name": "x", "type": "date"},
            {"name": "x", "type": "integer", "constraints": {"minimum": "low"}},
            {"name": "x", "type": "string", "constraints": {"pattern": "("}},
            {"name": "x", "type": ["string"]},
        )
    ],
)  # fmt: skip
def test_a_description_that_is_none(text, tmp_path):
    (tmp_path / "datapackage.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"datapackage\.json is no description of tables"):
        metaan.check_studies(tmp_path)


@given(
    st.sampled_from([*FILES, "references", "overlaps", "prevalence", "published", "datapackage", "AUDIT"]),
    st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_spoiled_files_give_findings_or_an_input_error(shared, name, more, start, length):
    """Bytes of a file replaced by others: nothing but findings or an InputError."""
    (path,) = (path for path in shared.iterdir() if path.stem == name)
    text = path.read_bytes()
    start %= len(text)
    path.write_bytes(text[:start] + more + text[start + length % 200 :])
    try:
        if name == "datapackage":
            with suppress(InputError):
                metaan.check_studies(shared)
        else:
            assert metaan.check_studies(shared)["finding"].str.endswith(".").all()
    finally:
        path.write_bytes(text)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A small folder with every file: the first rows of each table."""
    folder = tmp_path_factory.mktemp("studies")
    for path in STUDIES.glob("*.csv"):
        write(folder / path.name, read_rows(path.stem)[:12])
    for name in ("datapackage.json", "AUDIT.md"):
        shutil.copy(STUDIES / name, folder)
    return folder
