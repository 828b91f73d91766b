"""What must hold of the rows of studies/ beyond their schema, as functions from tables of text to findings."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from metaan.evidence.check_tables import Finding, Row, Tables, number
from metaan.evidence.store import RESPONSES

__all__ = ["audited_exceptions", "rule_findings"]

_SHARES: Final = ("prevalence", "composition")
_CHANGES: Final = ("complete_response", "partial_response", "stable_disease", "progressive_disease")
_BACKGROUND: Final = ("review", "systematic_review", "meta_analysis")
_CHOICE: Final = ("study_id", "arm", "unit", "outcome")


def rule_findings(tables: Tables, audit: str) -> Iterator[Finding]:
    """Every finding of every rule; `audit` is the text of AUDIT.md, "" where there is none."""
    for rule in (_counts, _responses_add_up, _percentages, _limits, _one_file, _references_used):
        yield from rule(tables)
    yield from _one_preferred(tables, audit)


def _placed(tables: Tables, names: tuple[str, ...] = (*RESPONSES, *_SHARES)) -> Iterator[tuple[str, int, Row]]:
    """File, place and cells of every row of some tables."""
    for name in names:
        for place, row in enumerate(tables.get(name, ()), start=1):
            yield f"{name}.csv", place, row


def counted(row: Row) -> tuple[int, int] | None:
    """Events and total of a row that gives both as whole numbers."""
    events, total = number(row["events"]), number(row["total"])
    if events is None or total is None or events % 1 or total % 1:
        return None
    return int(events), int(total)


def _counts(tables: Tables) -> Iterator[Finding]:
    for file, place, row in _placed(tables):
        pair = counted(row)
        if row["events"] and not row["total"]:
            yield Finding(file, place, "total", "events without a total. Give both, or only the percentage.")
        elif pair and pair[0] > pair[1]:
            text = f"events {pair[0]} exceed total {pair[1]}. Read the source again."
            yield Finding(file, place, "events", text)
        if (pair is None) == bool(row["counts"]):
            given = "no counts are given" if pair is None else "counts are given"
            yield Finding(file, place, "counts", f"counts={row['counts']!r}, but {given}.")


def _responses_add_up(tables: Tables) -> Iterator[Finding]:
    """CR + PR = OR, and CR + PR + SD + PD within the total, among the readings of one source and the preferred ones."""
    groups: dict[tuple[str, ...], dict[str, tuple[int, int]]] = defaultdict(dict)
    for file, place, row in _placed(tables, RESPONSES):
        if pair := counted(row):
            arm = (file, *(row[name] for name in ("study_id", "arm", "unit", "response_scope")), str(pair[1]))
            groups[*arm, row["source"], row["timepoint"]][row["outcome"]] = place, pair[0]
            if row["preferred"] == "yes":
                groups[*arm, "preferred", ""][row["outcome"]] = place, pair[0]
    said = set()
    for key, found in groups.items():
        place, told = next(iter(found.values()))[0], key[:6]
        for text in _sums({outcome: events for outcome, (_, events) in found.items()}, int(told[-1])):
            if (*told, text) not in said:
                said.add((*told, text))
                what = "Correct the rows, or give the readings different timepoints."
                yield Finding(told[0], place, "events", f"{told[1]}, arm {told[2]!r}: {text}. {what}")


def _sums(events: dict[str, int], total: int) -> Iterator[str]:
    if {*_CHANGES[:2], "objective_response"} <= set(events):
        parts = events["complete_response"] + events["partial_response"]
        if parts != events["objective_response"]:
            yield f"CR + PR = {parts}, OR = {events['objective_response']}"
    if set(_CHANGES) <= set(events) and (every := sum(events[name] for name in _CHANGES)) > total:
        yield f"CR + PR + SD + PD = {every} of {total}"


def misprint(row: Row) -> str:
    """Whether a printed percentage is that of its counts: "", "last digit" (less than one unit off) or "off"."""
    printed, pair = number(row["reported_pct"]), counted(row)
    if printed is None or pair is None or pair[1] < 1:
        return ""
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    gap = abs(printed * pair[1] - 100 * pair[0])
    return "" if 2 * gap <= unit * pair[1] else "last digit" if gap < unit * pair[1] else "off"


def _explained(row: Row, rate: float) -> bool:
    """Whether the note says what the counts give: the fraction or its percentage."""
    numbers = [float(text) for text in re.findall(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", row["notes"])]
    return any(abs(value - rate) < 0.06 for value in numbers) or f"{row['events']}/{row['total']}" in row["notes"]


def _percentages(tables: Tables) -> Iterator[Finding]:
    for file, place, row in _placed(tables):
        pair = counted(row)
        if pair and misprint(row) and not _explained(row, rate := 100 * pair[0] / pair[1]):
            text = f"{pair[0]}/{pair[1]} is {rate:.2f}%, printed {row['reported_pct']}%."
            what = "Read the source again, or say in notes what the counts give and what it prints."
            yield Finding(file, place, "reported_pct", f"{text} {what}")


def _limits(tables: Tables) -> Iterator[Finding]:
    """A printed percentage lies within its printed limits."""
    for name, column in (*((name, "reported_pct") for name in (*RESPONSES, *_SHARES)), ("published", "pooled_pct")):
        for file, place, row in _placed(tables, (name,)):
            low, middle, high = (number(row[end]) for end in ("ci_low", column, "ci_high"))
            given = [value for value in (low, middle, high) if value is not None]
            if given != sorted(given):
                yield Finding(file, place, "ci_low", f"{' '.join(map(str, given))} do not rise: limits about {column}.")


def _one_file(tables: Tables) -> Iterator[Finding]:
    """A study stands in one file of responses."""
    first: dict[str, str] = {}
    for file, place, row in _placed(tables, RESPONSES):
        if row["study_id"] and (other := first.setdefault(row["study_id"], file)) != file:
            yield Finding(file, place, "study_id", f"{row['study_id']} has rows in {other} too. Keep them in one file.")


def _references_used(tables: Tables) -> Iterator[Finding]:
    used = {
        row["study_id"] for name in (*RESPONSES, *_SHARES, "overlaps", "spratt2014") for row in tables.get(name, ())
    }
    used |= {row["review_id"] for row in tables.get("published", ())}
    for file, place, row in _placed(tables, ("references",)):
        if row["study_id"] not in used and row["seed"] != "yes" and row["design"] not in _BACKGROUND:
            text = f"{row['study_id']} is used nowhere. Add its rows, or mark it as background"
            yield Finding(file, place, "study_id", f"{text} (seed=yes, or design one of {', '.join(_BACKGROUND)}).")


def audited_exceptions(audit: str) -> set[tuple[str, ...]]:
    """Keys without a preferred row that AUDIT.md, section 4, lists with a reason."""
    section = audit.partition("## 4.")[2].partition("Order of preference")[0]
    lines = re.findall(r"^- [^:\n]*\([0-9]+\): (.*)$", section, flags=re.MULTILINE)
    return {tuple(part.strip() for part in text.split(" / ")) for line in lines for text in line.split("; ")}


def _one_preferred(tables: Tables, audit: str) -> Iterator[Finding]:
    """Of the rows with counts of a study, arm, unit and outcome one is preferred, but for the keys of the audit."""
    chosen: dict[tuple[str, ...], list[tuple[str, int, bool]]] = defaultdict(list)
    for file, place, row in _placed(tables, RESPONSES):
        if counted(row):
            chosen[tuple(row[name] for name in _CHOICE)].append((file, place, row["preferred"] == "yes"))
        elif row["preferred"] == "yes":
            yield Finding(file, place, "preferred", "preferred without counts. Set preferred=no.")
    excused = audited_exceptions(audit)
    for key, rows in chosen.items():
        if text := _preference(" / ".join(key), sum(preferred for *_, preferred in rows), key in excused):
            yield Finding(*rows[0][:2], "preferred", text)
    for key in sorted(excused - set(chosen)):
        text = f"section 4: {' / '.join(key)} has no row with counts. Take it off the list."
        yield Finding("AUDIT.md", None, "preferred", text)


def _preference(key: str, preferred: int, excused: bool) -> str:
    if preferred > 1:
        return f"{preferred} preferred rows of {key}. Keep preferred=yes on one."
    if preferred == 0 and not excused:
        return f"no preferred row of {key}. Prefer one, or list the key in AUDIT.md, section 4."
    if preferred and excused:
        return f"{key} is preferred, but AUDIT.md, section 4, says that none is. Correct one."
    return ""
