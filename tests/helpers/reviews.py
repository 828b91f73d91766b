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


def timed_review(totals="SUB", studies=((0, 1), (0, 1))):
    """A review with one outcome at 6 and at 12 months; which of the studies are in either."""
    parts = (("6 months", studies[0]), ("12 months", studies[1]))
    inside = "".join(subgroup("DICH", i, name, bcg_rows(places)) for i, (name, places) in enumerate(parts, 1))
    given = {"EFFECT_MEASURE": "RR", "SUBGROUPS": "YES", **({"TOTALS": totals} if totals else {})}
    return review(comparison(1, "Vaccine & none", outcome("DICH", 1, "Tuberculosis", inside, **given)))


def barren_review():
    """A review as Cochrane publishes it: zeros in the rows of studies that reported nothing of an outcome."""
    none = {"ESTIMABLE": "NO", "WEIGHT": "0.0", "EFFECT_SIZE": "0.0"}
    counts = [(3, 20, 5, 21), (6, 15, 2, 14), (1, 9, 2, 8), (0, 0, 0, 0), (0, 12, 0, 11)]
    means = [(2.5, 1.5, 20, 4, 2, 21), (3, 1, 20, 5, 2, 19), (0, "0.0", 0, 0, "0.0", 0), (3, "0.0", 20, 4, "0.0", 21)]
    ready = [("-0.35", "0.12"), ("0.10", "0.2"), ("0.0", "0.0")]
    keys = {
        "DICH": ("EVENTS_1", "TOTAL_1", "EVENTS_2", "TOTAL_2"),
        "CONT": ("MEAN_1", "SD_1", "TOTAL_1", "MEAN_2", "SD_2", "TOTAL_2"), "IV": ("ESTIMATE", "SE"),
    }  # fmt: skip
    made = {}
    for kind, rows, estimated in (("DICH", counts, 3), ("CONT", means, 2), ("IV", ready, 2)):
        made[kind] = "".join(
            tag(f"{kind}_DATA", {**dict(zip(keys[kind], row, strict=True)), "STUDY_ID": KEYS[i],
                                 **({"ESTIMABLE": "YES"} if i < estimated else none)})
            for i, row in enumerate(rows)
        )  # fmt: skip
    measure = "<EFFECT_MEASURE>Hazard Ratio</EFFECT_MEASURE>"
    return review(comparison(
        1, "Vaccine & none",
        outcome("DICH", 1, "Death", made["DICH"], EFFECT_MEASURE="RR", TOTALS="YES")
        + outcome("CONT", 2, "Weight", made["CONT"], EFFECT_MEASURE="MD", TOTALS="YES")
        + outcome("IV", 3, "Survival", measure + made["IV"], TOTALS="NO"),
    ))  # fmt: skip


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


EXPORT = (
    "Comparison Number", "Outcome Number", "Subgroup Number", "Name", "Data Type", "Statistical Method",
    "Effect Measure", "Analysis Model", "Events 1", "Mean 1", "SD 1", "Total 1", "Events 2", "Mean 2", "SD 2",
    "Total 2", "O-E", "Variance", "Effect Estimate", "SE", "CI Start", "CI End", "Group Label 1", "Group Label 2",
    "Year of study", "User defined order",
)  # fmt: skip
"""Columns of the "Data and analyses" of RevMan 5, those that are read among them."""

# Fleiss JL. The statistical basis of meta-analysis. Stat Methods Med Res 1993;2:121-145: aspirin after myocardial
# infarction (deaths and patients of aspirin and placebo) and mental health treatment (mean, sd, n of both groups).
ASPIRIN = [
    ("MRC-1", 1974, 49, 615, 67, 624), ("CDP", 1976, 44, 758, 64, 771), ("MRC-2", 1979, 102, 832, 126, 850),
    ("GASP", 1979, 32, 317, 38, 309), ("PARIS", 1980, 85, 810, 52, 406), ("AMIS", 1980, 246, 2267, 219, 2257),
    ("ISIS-2", 1988, 1570, 8587, 1720, 8600),
]  # fmt: skip
MENTAL = [
    ("Davis", 1973, 5.0, 4.70, 13, 6.5, 3.80, 13), ("Florell", 1971, 4.9, 1.71, 30, 6.1, 2.30, 50),
    ("Gruen", 1975, 22.5, 3.44, 35, 24.9, 10.65, 35), ("Hart", 1975, 12.5, 1.47, 20, 12.3, 1.66, 20),
    ("Wilson", 1977, 6.5, 0.76, 8, 7.38, 1.41, 8),
]  # fmt: skip


def export_row(number, name, **cells):
    """A row of an export; cells by heading, with _ for a space."""
    given = dict(zip(EXPORT, (*number.split("."), name), strict=False))
    given |= {heading.replace("_", " "): cell for heading, cell in cells.items()}
    assert set(given) <= set(EXPORT)
    return [str(given.get(heading, "")) for heading in EXPORT]


def counted(number, name, *counts, year="", order=1):
    """Row of a study with counts; RevMan writes 0 into the fields of other kinds of data."""
    keys = ("Events_1", "Total_1", "Events_2", "Total_2")
    others = dict.fromkeys(("Mean_1", "SD_1", "Mean_2", "SD_2"), 0)
    given = dict(zip(keys, counts, strict=True))
    return export_row(number, name, **others, **given, Year_of_study=year, User_defined_order=order)


def measured(number, name, *numbers, year="", order=1):
    """Row of a study with means."""
    keys = ("Mean_1", "SD_1", "Total_1", "Mean_2", "SD_2", "Total_2")
    given = dict(zip(keys, numbers, strict=True))
    others = {"Events_1": 0, "Events_2": 0}
    return export_row(number, name, **others, **given, Year_of_study=year, User_defined_order=order)


def own(number, name, kind, measure, **cells):
    """Row of an outcome, or of a subgroup, with its pooled totals."""
    method = "MH" if kind == "DIC" else "IV"
    settings = {"Data_Type": kind, "Statistical_Method": method, "Effect_Measure": measure, "Analysis_Model": "Fixed"}
    return export_row(number, name, **settings, **cells)


def exported():
    """An export with the examples of Fleiss: two outcomes of one comparison, and a second comparison with subgroups."""
    rows = [export_row("1.0.0", "Examples of Fleiss")]
    labels = {"Group_Label_1": "Aspirin", "Group_Label_2": "Placebo"}
    totals = {"Events_1": 2128, "Total_1": 14186, "Events_2": 2286, "Total_2": 13817}
    rows.append(own("1.1.0", "Death", "DIC", "OR", **totals, **labels))
    rows += [counted("1.1.0", name, *counts, year=year) for name, year, *counts in ASPIRIN]
    rows.append(own("1.2.0", "Stay in hospital", "CON", "MD", Events_1=0, Total_1=106, Events_2=0, Total_2=126))
    rows += [measured("1.2.0", name, *numbers, year=year) for name, year, *numbers in MENTAL]
    rows.append(export_row("2.0.0", "Time points"))
    rows.append(own("2.1.0", "Relapse", "DIC", "RR", Events_1=9, Total_1=80, Events_2=16, Total_2=80))
    for part, months in (("1", "6 months"), ("2", "12 months")):
        rows.append(own(f"2.1.{part}", months, "DIC", "RR", Events_1=5, Total_1=40, Events_2=9, Total_2=40))
        rows += [counted(f"2.1.{part}", name, int(part), 20, 4, 20) for name in ("Ames", "Bo")]
    return rows
