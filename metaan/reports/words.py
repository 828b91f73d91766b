"""What a report calls its outcome, its units and its question."""

from __future__ import annotations

from typing import Final

from metaan.evidence.candidates import ALL, HYPERTHERMIA, PREVALENCE
from metaan.evidence.options import NAME, OUTCOME
from metaan.models.text import plural
from metaan.reports.subject import Subject

__all__ = ["outcome_of", "question_of", "title_of", "treatment_of", "units_of"]

_OUTCOMES: Final = {"toxicity_grade3plus": "toxicity of grade 3 or worse"}
_TREATMENTS: Final = {ALL: "skin-directed treatment", "other": "other skin-directed treatment"}
_SITES: Final = {"cutaneous_metastases": "skin metastases", "primary_skin_cancer": "cancers that arose in the skin"}


def outcome_of(subject: Subject) -> str:
    """Outcome in words; "" where it is not known."""
    name = str(subject.selection.get("outcome", ""))
    return _OUTCOMES.get(name, name.replace("_", " "))


def units_of(subject: Subject) -> str:
    """What totals count."""
    unit = subject.selection.get("unit")
    return f"{unit}s" if unit else "observations"


def treatment_of(subject: Subject) -> str:
    """What was done to the patients, by the name of the table."""
    name = str(subject.selection.get("name", ""))
    if not name or name == PREVALENCE:
        return ""
    text = _TREATMENTS.get(name, NAME.choices.get(name, name))
    return text.partition(" (")[0].partition(",")[0] if name != HYPERTHERMIA else text.partition(",")[0]


def title_of(subject: Subject) -> str:
    """Title of a report that was given none."""
    outcome, treatment = outcome_of(subject), treatment_of(subject)
    if not outcome:
        return f"Meta-analysis of {plural(subject.main.k, 'study')}: {subject.noun}"
    unit = subject.selection.get("unit")
    after = f": {treatment}" if treatment else ""
    return f"{outcome.capitalize()}{f' per {unit}' if unit else ''}{after}"


def question_of(subject: Subject) -> str:
    """Question that the selection of the rows asks; of other data what is pooled."""
    outcome, treatment = outcome_of(subject), treatment_of(subject)
    if not outcome:
        return f"What is the {subject.noun}, over {plural(subject.main.k, 'study')}?"
    if subject.selection.get("name") == PREVALENCE:
        return "How frequent are skin metastases among patients with cancer?"
    meaning = OUTCOME.choices.get(str(subject.selection["outcome"]), "")
    what = f"{outcome} ({meaning})" if meaning and meaning != outcome else outcome
    unit = subject.selection.get("unit")
    per = f" per {unit}" if unit else ""
    site = subject.selection.get("site") or []
    where = f" of {_SITES[site[0]]}" if len(site) == 1 and site[0] in _SITES else ""
    if not subject.of_rates:
        return f"What is the {subject.noun} of {what}{per}: {treatment}{where}?"
    return f"How frequent is {what}{per} after {treatment}{where}?"
