"""What a report calls its outcome, its units and its question."""

from __future__ import annotations

import math
import re
from typing import Final

from metaan.evidence.candidates import ALL, HYPERTHERMIA, PREVALENCE
from metaan.evidence.options import NAME, OUTCOME
from metaan.models.text import plural
from metaan.reports.subject import Subject

__all__ = [
    "counted_of", "few_studies", "in_symbols", "outcome_of", "question_of", "title_of", "treatment_of", "units_of",
    "upper",
]  # fmt: skip

_SYMBOLS: Final = {"tau2": "τ²", "tau": "τ", "I2": "I²", "H2": "H²"}
_FEW: Final = 5
_OUTCOMES: Final = {"toxicity_grade3plus": "toxicity of grade 3 or worse"}
_TREATMENTS: Final = {ALL: "skin-directed treatment", "other": "other skin-directed treatment"}
_SITES: Final = {"cutaneous_metastases": "skin metastases", "primary_skin_cancer": "cancers that arose in the skin"}


def in_symbols(text: object) -> str:
    """A note of a result as figures and tables write it: τ² for tau2."""
    return re.sub(r"\b(tau2|tau|I2|H2)\b", lambda found: _SYMBOLS[found[0]], str(text))


def upper(text: str) -> str:
    """The text with a capital to begin with, the rest as it is."""
    return text[:1].upper() + text[1:]


def counted_of(subject: Subject) -> str:
    """How many studies there are, and how many estimates where some have several."""
    k, different = subject.main.k, len(set(subject.effects.study))
    return plural(k, "study") if different == k else f"{k} estimates of {plural(different, 'study')}"


def few_studies(subject: Subject) -> list[str]:
    """What two to four studies cannot tell; nothing of others."""
    k = subject.main.k
    if not 1 < k < _FEW:
        return []
    what = "intervals for τ²" + (", and so prediction intervals," if math.isfinite(subject.shown.pi_low) else "")
    return [f"{upper(counted_of(subject))}: with fewer than about five, {what} are rough guides."]


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
        return f"{f'Meta-analysis of {counted_of(subject)}' if subject.main.k > 1 else 'One study'}: {subject.noun}"
    unit = subject.selection.get("unit")
    after = f": {treatment}" if treatment else ""
    return f"{outcome.capitalize()}{f' per {unit}' if unit else ''}{after}"


def question_of(subject: Subject) -> str:
    """Question that the selection of the rows asks; of other data what is pooled."""
    outcome, treatment = outcome_of(subject), treatment_of(subject)
    if not outcome:
        return f"What is the {subject.noun}, over {counted_of(subject)}?"
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
