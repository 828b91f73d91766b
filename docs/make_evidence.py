"""Fill the tables of docs/evidence.md from studies/: `python docs/make_evidence.py` after a change of the data."""

import csv
import json
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

import metaan

ROOT = Path(__file__).resolve().parents[1]
PAGE, STUDIES = ROOT / "docs" / "evidence.md", ROOT / "studies"
RESPONSES = ("electrochemotherapy", "photodynamic", "radiotherapy", "intralesional", "miltefosine", "topical", "other")
GRADES = {"counts": ("printed", "derived", "inferred", ""), "confidence": ("high", "medium", "low")}
REASONS = {  # how the reasons of excluded.csv begin
    "study that cannot be identified": ("not identifiable",),
    "outcome outside the vocabulary, or undefined": ("outcome outside", "outcome undefined", "outcome is"),
    "review: nothing pooled, or an outcome that lumps two": ("not a pooled", "no pooled", "narrative", "outcome lumps"),
    "unit neither patient nor lesion": ("unit is",),
    "second reading of a number": ("same abstract", "same statement"),
    "numerator without a denominator": ("numerator without",),
    "number contradicted, superseded or unusable": ("",),
}


def rows_of(name: str) -> list[dict[str, str]]:
    """Rows of a file as they stand."""
    with (STUDIES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(x).replace("|", "\\|") for x in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def catalogue() -> str:
    """What `metaan.load` knows, with the studies of the two outcomes that most report."""
    head = (
        "name", "holds", "years", "studies", "complete response", "objective response", "rows", "counted", "patients"
    )  # fmt: skip
    lines = []
    for row in metaan.catalogue().to_dict("records"):
        studies = dict(part.rstrip(")").split(" (") for part in row["outcomes"].split(", "))
        response = [studies.get(outcome, "") for outcome in ("complete_response", "objective_response")]
        years = row["years"].replace("-", " to ")
        numbers = (row["studies"], *response, row["rows"], row["counted"], row["patients"])
        lines.append([f"`{row['name']}`", row["title"], years, *numbers])
    return table(head, lines)


def grades() -> str:
    """How sure the counts are, over all response rows and over those that are preferred."""
    rows = [row for name in RESPONSES for row in rows_of(name)]
    lines = []
    for column, values in GRADES.items():
        every, preferred = (
            Counter(row[column] for row in of) for of in (rows, [r for r in rows if r["preferred"] == "yes"])
        )
        lines += [
            [f"`{column}`", value or "empty: a percentage alone", every[value], preferred[value]] for value in values
        ]
    return table(("column", "value", "rows", "of them preferred"), lines)


def conflicts() -> str:
    """One line for each disagreement; the reading that is preferred first."""
    found = metaan.conflicts()
    lines = []
    for _, rows in found.groupby("conflict", sort=True):
        rows = rows.sort_values("preferred", ascending=False, kind="stable")
        first = rows.iloc[0]
        readings = " against ".join(_reading(row) for row in rows.to_dict("records"))
        lines.append([first["study"], first["outcome"].replace("_", " "), first["differs"], readings])
    return table(("study", "outcome", "differs", "readings; the preferred one in bold"), lines)


def _reading(row: dict[str, Any]) -> str:
    counts = pd.notna(row["events"]) and pd.notna(row["total"])
    text = f"{row['events']:.0f}/{row['total']:.0f}" if counts else f"{row['reported_pct']:g} %"
    text = f"{text} per {row['unit']}"
    return f"{f'**{text}**' if row['preferred'] == 'yes' else text} ({row['source_kind']})"


def overlaps() -> str:
    """Relations between studies of one group."""
    rows = rows_of("overlaps")
    meaning = {
        "superset": "contains the patients of each subset of its group",
        "subset": "is contained in each superset of its group",
        "same_patients": "report the same patients",
        "partial": "share some",
        "possible": "may share some: the same centre and years",
    }
    number = Counter(row["relation"] for row in rows)
    groups = len({row["cohort_group"] for row in rows})
    head = f"{len(rows)} entries in {groups} groups:\n\n"
    return head + table(("relation", "meaning", "entries"), [[f"`{k}`", meaning[k], number[k]] for k in meaning])


def excluded() -> str:
    """Rows left out, by reason."""
    rows = rows_of("excluded")
    number = Counter(next(told for told, starts in REASONS.items() if row["reason"].startswith(starts)) for row in rows)
    head = f"{len(rows)} rows stand in `excluded.csv`:\n\n"
    return head + table(("reason", "rows"), number.most_common())


def dictionary() -> str:
    """Every column of every file, from datapackage.json; the seven response files are one."""
    package = json.loads((STUDIES / "datapackage.json").read_text(encoding="utf-8"))
    parts = []
    for resource in package["resources"]:
        if resource["name"] in RESPONSES[1:]:
            continue
        name, title = f"`{resource['path']}`", resource["title"]
        if resource["name"] == RESPONSES[0]:
            name, title = ", ".join(f"`{x}.csv`" for x in RESPONSES), "Responses, identical columns"
        fields = resource["schema"]["fields"]
        key = resource["schema"].get("primaryKey")
        told = name + (f"; key: {', '.join(f'`{x}`' for x in key)}" if key else "") + "."
        lines = "\n".join(textwrap.wrap(told, 120, break_on_hyphens=False))
        parts.append(
            f"### {title}\n\n{lines}\n\n" + table(("column", "type", "meaning", "values"), map(_field, fields))
        )
    return "\n\n".join(parts)


def _field(field: dict[str, Any]) -> list[str]:
    rules = field.get("constraints", {})
    values = ", ".join(rules["enum"]) if "enum" in rules else _range(rules)
    required = " (never empty)" if rules.get("required") else ""
    return [f"`{field['name']}`", field["type"], field["description"] + required, values]


def _range(rules: dict[str, Any]) -> str:
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is None and high is None:
        return ""
    return (
        f"{low} to {high}" if low is not None and high is not None else f"from {low}" if high is None else f"to {high}"
    )


PARTS = {part.__name__: part for part in (catalogue, grades, conflicts, overlaps, excluded, dictionary)}


def filled(page: str) -> str:
    """The page with each part between its two comments written anew."""
    for name, part in PARTS.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"{PAGE.name} has not one place for {name}.")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{part()}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
