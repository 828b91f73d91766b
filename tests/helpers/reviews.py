"""Small reviews as RevMan 5 writes them, with counts of the BCG trials."""

import runpy
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

BCG = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "trials.py"))
COUNTS = {
    "events_t": BCG["BCG_TREATED_CASES"],
    "total_t": BCG["BCG_TREATED_CASES"] + BCG["BCG_TREATED_FREE"],
    "events_c": BCG["BCG_CONTROL_CASES"],
    "total_c": BCG["BCG_CONTROL_CASES"] + BCG["BCG_CONTROL_FREE"],
}
KEYS = [f"STD-Trial-{i}" for i in range(1, len(BCG["BCG_TREATED_CASES"]) + 1)]
_PRINTED = 'EFFECT_SIZE="1.0" CI_START="0.5" CI_END="2.0" LOG_CI_START="-0.3" LOG_CI_END="0.3" ESTIMABLE="YES"'


def tag(name, attributes, inside=""):
    given = " ".join(f"{key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name} {given}>{inside}</{name}>"


def named(text):
    return f"<NAME>{escape(text)}</NAME>"


def bcg_rows(places=range(13)):
    rows = []
    for order, i in enumerate(places):
        numbers = {
            "EVENTS_1": int(COUNTS["events_t"][i]), "TOTAL_1": int(COUNTS["total_t"][i]),
            "EVENTS_2": int(COUNTS["events_c"][i]), "TOTAL_2": int(COUNTS["total_c"][i]),
            "STUDY_ID": KEYS[i], "ORDER": order + 1, "VAR": 0.1, "SE": 0.3, "O_E": 0.0,
        }  # fmt: skip
        rows.append(tag("DICH_DATA", numbers).replace(">", f" {_PRINTED}>", 1))
    return "".join(rows)


def outcome(kind, number, name, inside, **attributes):
    label = "<GROUP_LABEL_1>BCG</GROUP_LABEL_1><GROUP_LABEL_2>No vaccine</GROUP_LABEL_2>"
    given = {"ID": f"CMP-001.{number}", "NO": number, "RANDOM": "YES", "NO_EFFECT": 0, **attributes}
    return tag(f"{kind}_OUTCOME", given, named(name) + label + inside)


def subgroup(kind, number, name, inside):
    return tag(
        f"{kind}_SUBGROUP", {"ID": f"CMP-001.1.{number}", "NO": number, "ESTIMABLE": "YES"}, named(name) + inside
    )


def comparison(number, name, inside):
    return tag("COMPARISON", {"ID": f"CMP-{number:03}", "NO": number}, named(name) + inside)


def studies():
    found = [
        tag("STUDY", {"DATA_SOURCE": "PUB", "ID": key, "NAME": f"Trial <{i}>", "YEAR": 1930 + i}, "<REFERENCE/>")
        for i, key in enumerate(KEYS, 1)
    ]
    inside = f"<STUDIES><INCLUDED_STUDIES>{''.join(found)}</INCLUDED_STUDIES></STUDIES>"
    return f"<STUDIES_AND_REFERENCES>{inside}</STUDIES_AND_REFERENCES>"


def review(*comparisons, head='<?xml version="1.0" encoding="UTF-8"?>'):
    cover = "<COVER_SHEET><TITLE>BCG against tuberculosis</TITLE></COVER_SHEET>"
    analyses = f"<ANALYSES_AND_DATA>{''.join(comparisons)}</ANALYSES_AND_DATA>"
    opened = '<COCHRANE_REVIEW DOI="" GROUP_ID="X" ID="1" TYPE="INTERVENTION" VERSION_NO="1.0">'
    return f"{head}\n{opened}{cover}{studies()}{analyses}</COCHRANE_REVIEW>"


def bcg_review():
    """A review with one outcome, the thirteen trials in two subgroups."""
    inside = subgroup("DICH", 1, "Random", bcg_rows(range(7))) + subgroup("DICH", 2, "Other", bcg_rows(range(7, 13)))
    given = {"EFFECT_MEASURE": "RR", "METHOD": "MH", "SUBGROUPS": "YES"}
    return review(comparison(1, "Vaccine & none", outcome("DICH", 1, "Tuberculosis", inside, **given)))


def mixed_review():
    """A review with an outcome of each kind."""
    means = {"MEAN_1": "12.5", "SD_1": "3.25", "TOTAL_1": 40, "MEAN_2": "10", "SD_2": "4", "TOTAL_2": 38}
    ready = {"ESTIMATE": "-0.35", "SE": "0.12", "TOTAL_1": 0, "TOTAL_2": 0}
    log_rank = {"O_E": "-4.5", "VAR": "9", "EVENTS_1": 10, "TOTAL_1": 50, "EVENTS_2": 19, "TOTAL_2": 50}
    numbers = {"CONT": means, "IV": ready, "IPD": log_rank}
    made = {kind: tag(f"{kind}_DATA", {**given, "STUDY_ID": KEYS[0], "ORDER": 1}) for kind, given in numbers.items()}
    first = comparison(
        1, "Vaccine & none",
        outcome("DICH", 1, "Tuberculosis", bcg_rows(), EFFECT_MEASURE="RR", SUBGROUPS="NO")
        + outcome("CONT", 2, "Weight", made["CONT"], EFFECT_MEASURE="MD"),
    )  # fmt: skip
    second = comparison(
        2, "Two doses & one",
        outcome("IV", 1, "Death", made["IV"], EFFECT_MEASURE="Hazard Ratio")
        + outcome("IPD", 2, "Relapse", made["IPD"], EFFECT_MEASURE="PETO_OR")
        + tag("OTHER_OUTCOME", {"NO": 3}, named("Remarks") + tag("OTHER_DATA", {"STUDY_ID": KEYS[0]})),
    )  # fmt: skip
    return review(first, second)
