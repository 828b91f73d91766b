"""The arguments of `load` as data: allowed values, what they mean and which one is the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pandas as pd

from metaan.errors import OptionError, shown
from metaan.evidence.candidates import ALL, HYPERTHERMIA, PREVALENCE
from metaan.evidence.store import RESPONSES, TABLE1
from metaan.validate import Option

__all__ = [
    "ANY",
    "ARMS",
    "CONFIDENCE",
    "COUNTS",
    "GRADES",
    "INTENDED",
    "NAME",
    "OUTCOME",
    "OWN_THERAPIES",
    "PREFERRED",
    "ROLE",
    "SCOPE",
    "SITE",
    "TABLE1_THERAPY",
    "THERAPY",
    "UNIT",
    "found_in",
    "narrowed",
    "several",
]

ANY: Final = "any"

NAME: Final = Option(
    "name",
    {
        "electrochemotherapy": "electrochemotherapy",
        "photodynamic": "photodynamic therapy",
        "radiotherapy": "radiotherapy, with or without hyperthermia",
        "intralesional": "drugs, viruses and immunotherapy injected into the lesion",
        "miltefosine": "topical miltefosine",
        "topical": "other topical drugs (imiquimod, DPCP, ...)",
        "other": "skin-directed treatments outside these groups",
        ALL: "all of the above",
        HYPERTHERMIA: "radiotherapy with hyperthermia against radiotherapy alone, both arms in one row",
        TABLE1: "the readable rows of Spratt 2014, Table 1, as printed",
        PREVALENCE: "patients with skin metastases among patients with cancer",
    },
    "electrochemotherapy",
)

OUTCOME: Final = Option(
    "outcome",
    {
        "complete_response": "no tumour left",
        "partial_response": "smaller, not gone",
        "objective_response": "complete or partial response",
        "stable_disease": "neither response nor progression",
        "progressive_disease": "growth",
        "no_response": "neither complete nor partial response",
        "local_control": "no growth in the treated field",
        "recurrence": "return after response",
        "toxicity_grade3plus": "toxicity of grade 3 or worse",
        "time_to_failure": "time to treatment failure",
    },
    "complete_response",
)

UNIT: Final = Option("unit", {"lesion": "lesions are counted", "patient": "patients are counted"}, "lesion")

SITE: Final = Option(
    "site",
    {
        "cutaneous_metastases": "skin metastases, in-transit and chest-wall skin recurrence included",
        "primary_skin_cancer": "cancers that arose in the skin",
        "mixed": "skin metastases together with other tumours",
        "mucosal": "tumours of a mucous membrane",
        "other": "anything else",
        ANY: "every site",
    },
    "cutaneous_metastases",
)

SCOPE: Final = Option(
    "scope",
    {
        "treated_lesions": "response of the lesions that were treated",
        "whole_patient": "response of the patient, untreated tumours included",
        "untreated_lesions": "response of lesions that were not treated",
        ANY: "every kind of response",
    },
    "treated_lesions",
)

INTENDED: Final = "intended"
ROLE: Final = Option(
    "role",
    {
        INTENDED: "every arm of the treatment, but no control arm beside the experimental arm of its own trial",
        "experimental": "experimental arms of comparative trials",
        "control": "control arms of comparative trials",
        "single": "arms of trials without a comparison",
        ANY: "every arm",
    },
    INTENDED,
)

THERAPY: Final = Option(
    "therapy",
    {
        "electrochemotherapy": "electrochemotherapy",
        "photodynamic": "photodynamic therapy",
        "radiotherapy": "radiotherapy alone",
        "radiotherapy_hyperthermia": "radiotherapy with hyperthermia",
        "mixed": "radiotherapy with and without hyperthermia, counted together",
        "intralesional": "injection into the lesion",
        "miltefosine": "topical miltefosine",
        "topical": "other topical drugs",
        "other": "another treatment: a comparator, or the treatments of the file `other`",
        ANY: "every arm, comparators included",
    },
    ANY,
)

TABLE1_THERAPY: Final = Option(
    "therapy",
    {
        "ECT": "electrochemotherapy",
        "PDT": "photodynamic therapy",
        "RT": "radiotherapy",
        "ILT": "intralesional therapy",
        ANY: "all four",
    },
    ANY,
)

# A file is about one treatment; radiotherapy about two, alone and with heat (arms that lump the two are out).
OWN_THERAPIES: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in RESPONSES},
    **dict.fromkeys(("radiotherapy", HYPERTHERMIA), ("radiotherapy", "radiotherapy_hyperthermia")),
    ALL: ("own",),
}

COUNTS: Final = Option(
    "counts",
    {
        "printed": "both numbers stand in the source",
        "derived": "printed, or computed from printed numbers",
        ANY: "inferred counts too, whose denominator is not printed",
    },
    "derived",
)

CONFIDENCE: Final = Option(
    "confidence",
    {"high": "high", "medium": "medium or high", ANY: "low too"},
    "medium",
)

ARMS: Final = Option(
    "arms",
    {"whole": "whole arms", "subgroup": "parts of an arm", ANY: "both"},
    "whole",
)

PREFERRED: Final = Option(
    "preferred",
    {"yes": "one reading for each study, arm, unit and outcome", ANY: "every reading"},
    "yes",
)

GRADES: Final = (COUNTS, CONFIDENCE, ARMS, PREFERRED)


def several(option: Option, value: object) -> tuple[str, ...]:
    """One value or a collection of values of an option; empty when the value is "any"."""
    try:
        items = None if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    except Exception:  # an object that has no values to give, such as an array of no dimension
        items = None
    if items is None:
        return () if option.check(value) == ANY else (option.check(value),)
    chosen = tuple(dict.fromkeys(option.check(item) for item in items))
    alone = [word for word in (ANY, INTENDED) if word in chosen and (word == ANY or len(chosen) > 1)]
    if not chosen or alone:
        raise OptionError(
            f"{option.name}={shown(value)}: give at least one value, and {(alone or [ANY])[0]!r} only by itself."
        )
    return chosen


def narrowed(option: Option, present: pd.Series[str]) -> Option:
    """The same option with only those choices that occur in a table (and "any")."""
    found = set(present)
    choices = {value: text for value, text in option.choices.items() if value in found or value == ANY}
    return Option(option.name, choices, option.default if option.default in choices else next(iter(choices)))


def found_in(column: pd.Series[str]) -> Option:
    """An option whose choices are the values of a column, and "any"."""
    values = sorted(set(column) - {""})
    return Option(str(column.name), {value: value.replace("_", " ") for value in values} | {ANY: "all of them"}, ANY)
