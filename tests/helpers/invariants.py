"""What must hold of every row of studies/: plain functions from tables of text to complaints.

A table is a list of rows, a row a dictionary of text, as csv.DictReader gives them. Each complaint names the file, the
line, the study and what to do.
"""

import re
from collections import Counter, defaultdict
from decimal import Decimal

FILES = ("electrochemotherapy", "photodynamic", "radiotherapy", "intralesional", "miltefosine", "topical", "other")
SHARES = ("prevalence", "composition")
CHANGES = ("complete_response", "partial_response", "stable_disease", "progressive_disease")
KEY = ("study_id", "arm", "unit", "response_scope", "outcome", "timepoint", "source", "counts")
KEYS = {
    **dict.fromkeys(FILES, KEY),
    "references": ("study_id",),
    "overlaps": ("cohort_group", "study_id"),
    "spratt2014": ("row",),
    "published": ("review_id", "therapy", "population", "unit", "outcome"),
    "prevalence": ("study_id", "primary_tumour", "population"),
    "composition": ("study_id", "primary_tumour", "population", "what", "events"),
}
PROVENANCE = ("source_kind", "source", "locator", "url", "confidence")
BACKGROUND = ("review", "systematic_review", "meta_analysis")


def placed(tables, names=(*FILES, *SHARES)):
    """Every row with the words that say where it stands."""
    for name in names:
        for line, row in enumerate(tables[name], start=2):
            yield f"{name}.csv, line {line} ({row.get('study_id', '?')})", name, row


def is_counted(row):
    return row["events"].isdigit() and row["total"].isdigit()


def counts_are_possible(tables):
    for place, _, row in placed(tables):
        text = {name: row.get(name, "") for name in ("events", "total", "n_patients", "n_lesions")}
        if odd := {name: value for name, value in text.items() if not re.fullmatch(r"\d*", value)}:
            yield f"{place}: {odd} are no whole numbers. Give digits, or nothing."
            continue
        if row["events"] and not row["total"]:
            yield f"{place}: events without a total. Give both, or only the percentage."
        elif is_counted(row) and int(row["events"]) > int(row["total"]):
            yield f"{place}: events {row['events']} exceed total {row['total']}. Read the source again."
        elif is_counted(row) and int(row["total"]) == 0:
            yield f"{place}: a total of 0. Leave the row out."
        if is_counted(row) != bool(row["counts"]):
            yield f"{place}: counts={row['counts']!r}, but {'' if is_counted(row) else 'no '}counts are given."


def responses_add_up(tables):
    """CR + PR = OR, and CR + PR + SD + PD within the total, among the readings of one source and the preferred ones."""
    groups = defaultdict(dict)
    for place, name, row in placed(tables, FILES):
        if is_counted(row):
            arm = name, *(row[column] for column in ("study_id", "arm", "unit", "response_scope", "total"))
            groups[arm, row["source"], row["timepoint"]][row["outcome"]] = place, int(row["events"])
            if row["preferred"] == "yes":
                groups[arm, "preferred", ""][row["outcome"]] = place, int(row["events"])
    said = set()
    for (arm, *_), found in groups.items():
        number = {outcome: events for outcome, (_, events) in found.items()}
        what = []
        if {*CHANGES[:2], "objective_response"} <= set(number):
            parts = number["complete_response"] + number["partial_response"]
            if parts != number["objective_response"]:
                what.append(f"CR + PR = {parts}, OR = {number['objective_response']}")
        if set(CHANGES) <= set(number) and sum(number[name] for name in CHANGES) > int(arm[-1]):
            what.append(f"CR + PR + SD + PD = {sum(number[name] for name in CHANGES)} of {arm[-1]}")
        place = next(iter(found.values()))[0]
        for text in what:
            if (arm, text) not in said:
                said.add((arm, text))
                yield f"{place}, arm {arm[2]!r}: {text}. Correct the rows, or give the readings different timepoints."


def misprint(row):
    """ "" when a printed percentage is that of its counts, "last digit" when it is less than one unit off, or "off"."""
    printed, events, total = Decimal(row["reported_pct"]), int(row["events"]), int(row["total"])
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    gap = abs(printed * total - 100 * events)
    return "" if 2 * gap <= unit * total else "last digit" if gap < unit * total else "off"


def is_explained(row):
    """Whether the note says what the counts give: the fraction or its percentage."""
    rate = 100 * int(row["events"]) / int(row["total"])
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?", row["notes"])]
    computed = any(abs(number - rate) < 0.06 for number in numbers)
    return computed or f"{row['events']}/{row['total']}" in row["notes"]


def percentages_fit(tables):
    for place, _, row in placed(tables):
        if is_counted(row) and row["reported_pct"] and misprint(row) and not is_explained(row):
            rate = 100 * int(row["events"]) / int(row["total"])
            yield (
                f"{place}: {row['events']}/{row['total']} is {rate:.2f}%, printed {row['reported_pct']}%. "
                "Read the source again, or say in notes what the counts give and what it prints."
            )


def keys_are_unique(tables):
    for name, key in KEYS.items():
        many = Counter(tuple(row[column] for column in key) for row in tables[name])
        for value, number in many.items():
            if number > 1:
                told = ", ".join(key)
                yield f"{name}.csv: {number} rows of {' / '.join(value)}. Keep one, or tell them apart ({told})."


def studies_are_referenced(tables):
    known = {row["study_id"] for row in tables["references"]}
    for place, _, row in placed(tables, (*FILES, *SHARES, "spratt2014")):
        if row["study_id"] not in known:
            yield f"{place}: not among the references. Add a line with this study_id to references.csv."
    for line, row in enumerate(tables["published"], start=2):
        if row["review_id"] not in known:
            yield f"published.csv, line {line} ({row['review_id']}): not among the references. Add it there."


def references_are_used(tables):
    used = {row["study_id"] for name in (*FILES, *SHARES, "overlaps", "spratt2014") for row in tables[name]}
    used |= {row["review_id"] for row in tables["published"]}
    for line, row in enumerate(tables["references"], start=2):
        if row["study_id"] not in used and row["seed"] != "yes" and row["design"] not in BACKGROUND:
            yield (
                f"references.csv, line {line} ({row['study_id']}): used nowhere. Add its rows, or mark it as "
                f"background (seed=yes, or design one of {', '.join(BACKGROUND)})."
            )


def audited_exceptions(audit):
    """Keys without a preferred row that AUDIT.md, section 4, lists with a reason."""
    section = audit.split("## 4.")[1].split("Order of preference")[0]
    found = set()
    for line in re.findall(r"^- .*?\(\d+\): (.*)$", section, flags=re.MULTILINE):
        found |= {tuple(part.strip() for part in text.split(" / ")) for text in line.split("; ")}
    return found


def one_row_is_preferred(tables, audit):
    chosen = defaultdict(list)
    for place, _, row in placed(tables, FILES):
        if is_counted(row):
            key = tuple(row[column] for column in ("study_id", "arm", "unit", "outcome"))
            chosen[key].append((place, row["preferred"] == "yes"))
        elif row["preferred"] == "yes":
            yield f"{place}: preferred without counts. Set preferred=no."
    excused = audited_exceptions(audit)
    for key, rows in chosen.items():
        number = sum(is_preferred for _, is_preferred in rows)
        place = rows[0][0]
        if number > 1:
            yield f"{place}: {number} preferred rows of {' / '.join(key)}. Keep preferred=yes on one."
        if number == 0 and key not in excused:
            yield f"{place}: no preferred row of {' / '.join(key)}. Prefer one, or list the key in AUDIT.md, section 4."
        if number and key in excused:
            yield f"{place}: {' / '.join(key)} is preferred, but AUDIT.md, section 4, says that none is. Correct one."
    for key in excused - set(chosen):
        yield f"AUDIT.md, section 4: {' / '.join(key)} has no row with counts. Take it off the list."


def overlaps_name_studies(tables):
    known = {row["study_id"] for row in tables["references"]}
    for line, row in enumerate(tables["overlaps"], start=2):
        if row["study_id"] not in known:
            yield (
                f"overlaps.csv, line {line} ({row['study_id']}): group {row['cohort_group']} names a study that is not "
                "among the references. Correct the key."
            )


def provenance_is_given(tables):
    for place, _, row in placed(tables):
        empty = [name for name in PROVENANCE if not row[name].strip()]
        if empty:
            yield f"{place}: {', '.join(empty)} empty. A number without its source does not enter."
    for name in ("published", "excluded"):
        for line, row in enumerate(tables[name], start=2):
            if not row["source"].strip():
                yield f"{name}.csv, line {line}: source empty. A number without its source does not enter."


def complaints(tables, audit):
    """Every complaint about the tables."""
    checks = (
        counts_are_possible, responses_add_up, percentages_fit, keys_are_unique, studies_are_referenced,
        references_are_used, overlaps_name_studies, provenance_is_given,
    )  # fmt: skip
    found = [complaint for check in checks for complaint in check(tables)]
    return found + list(one_row_is_preferred(tables, audit))
