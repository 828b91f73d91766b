"""What a heading of a table means: a column of metaan, in which arm, or nothing that is known."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from metaan.readers.needs import KNOWN

__all__ = ["Meaning", "arm_of", "is_percentage", "is_qualified", "is_ratio", "meaning", "squashed", "unit_of"]

_LONGEST: Final = 200  # a heading with more characters is a sentence

_QUANTITIES: Final[dict[str, tuple[str, ...]]] = {
    "events": (
        "event", "events", "responder", "responders", "case", "cases", "success", "successes", "death", "deaths",
        "complete responder", "complete responders", "complete responses", "n event", "n events", "events n",
        "n responders", "responders n", "n cases",
    ),
    "size": (
        "n", "total", "totals", "n total", "total n", "sample size", "samplesize", "group size", "patients",
        "participants", "subjects", "lesions", "evaluable", "evaluable patients", "patients evaluable", "n patients",
        "patients n", "total patients", "patients total", "randomised", "randomized", "n randomised",
        "n randomized", "analysed", "analyzed", "n analysed", "n analyzed", "nobs",
    ),
    "nonevents": (
        "nonevent", "nonevents", "non event", "non events", "nonresponders", "non responders", "noncases", "non cases",
    ),
    "mean": ("mean", "average"),
    "sd": ("sd", "std", "stdev", "st dev", "std dev", "standard deviation", "std deviation"),
    "time": (
        "time", "person time", "person years", "patient years", "personyears", "patientyears", "py", "exposure",
        "person years at risk", "time at risk",
    ),
    "r": ("r", "cor", "corr", "correlation", "pearson r"),
    "yi": (
        "yi", "te", "es", "effect size", "hedges g", "cohens d", "cohen d", "smd", "logor", "log or", "lnor", "ln or",
        "logrr", "log rr", "lnrr", "ln rr", "loghr", "log hr", "lnhr", "ln hr", "log odds ratio", "log risk ratio",
        "log hazard ratio", "log relative risk", "giv mean",
    ),
    "vi": ("vi", "var", "variance", "sampling variance", "variance of effect size"),
    "sei": (
        "sei", "se", "sete", "se te", "standard error", "std error", "std err", "stderr", "giv se", "selogor",
        "selogrr", "seloghr", "se log or", "se log rr", "se log hr", "se of effect size",
        "selnor", "selnrr", "selnhr", "seln or", "seln rr", "seln hr", "se ln or", "se ln rr", "se ln hr",
    ),
    "study": (
        "study", "studies", "study id", "studyid", "study name", "study label", "studlab", "slab", "trial", "trials",
        "trial name", "author", "authors", "first author", "reference", "citation", "author year", "study author",
        "author year of publication", "first author year", "first author and year", "author and year",
        "author name", "author names", "study or subgroup", "study year author", "study author year",
    ),
    "label": ("name", "publication", "paper", "article", "source", "cohort", "ref", "refs", "references"),
    "year": ("year", "publication year", "year of publication", "study year", "pub year", "pubyear"),
}  # fmt: skip
_ARMS: Final[dict[str, tuple[str, ...]]] = {
    "t": (
        "t", "e", "i", "1", "trt", "tx", "treat", "treated", "treatment", "exp", "experimental", "experiment", "int",
        "intervention", "active", "group 1", "arm 1", "treatment group", "treatment arm", "experimental group",
        "intervention group", "exposed",
    ),
    "c": (
        "c", "2", "ctrl", "ctl", "con", "cont", "control", "controls", "comparator", "placebo", "group 2", "arm 2",
        "control group", "control arm", "comparison group", "placebo group", "unexposed", "usual care",
    ),
}  # fmt: skip
_METAFOR: Final = {
    "ai": "events_t", "bi": "nonevents_t", "ci": "events_c", "di": "nonevents_c", "n1i": "size_t", "n2i": "size_c",
    "xi": "events", "ni": "size", "x1i": "events_t", "x2i": "events_c", "t1i": "time_t", "t2i": "time_c", "ti": "time",
    "tpos": "events_t", "tneg": "nonevents_t", "cpos": "events_c", "cneg": "nonevents_c",
    "ri": "r", "m1i": "mean_t", "m2i": "mean_c", "sd1i": "sd_t", "sd2i": "sd_c", "sdi": "sd",
}  # fmt: skip
_FOUR: Final = frozenset({"tpos", "tneg", "cpos", "cneg"})
_PARTNERS: Final = {
    **{name: frozenset({"ai"}) for name in ("bi", "ci", "di")}, **dict.fromkeys(_FOUR, _FOUR),
    "ti": frozenset({"xi"}), "ri": frozenset({"ni"}),
}  # fmt: skip
"""Names that mean something else by themselves: ci is an interval where there is no ai."""
_TWO_ARMS: Final = ("events", "size", "nonevents", "mean", "sd", "time")
_FILLER: Final = frozenset({"number", "no", "nr", "num", "of", "the", "in", "with", "count", "counts"})
_PERCENT: Final = frozenset({"percent", "percentage", "pct", "proportion", "rate"})
_RATES: Final = re.compile(r"\bper (?:cent|[0-9])")
_INTERVAL: Final = re.compile(
    r"[0-9.]+\s*%\s*-?\s*(?:c\.?\s?i\b|cri\b|(?:confidence |credible )?interval)", re.IGNORECASE
)
_RATIO: Final = re.compile(r"(?:adjusted|a|crude|pooled)?(?:or|rr|hr|irr|(?:odds|risk|hazard|rate)ratios?)(?:95ci)?")
_BRACKETS: Final = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_NUMBERED: Final = re.compile(r"n ?[0-9]+|(?:n|total|sum|ns)")  # "n = 30"
_WHEN: Final = re.compile(
    r"(?:(?:at|by|within|after) )?(?:[0-9]+ ?(?:d|days?|h|hours?|wks?|weeks?|mo|months?|y|yrs?|years?)"
    r"|(?:day|week|month|year) [0-9]+)"
)
_ANALYSED: Final = frozenset({"itt", "mitt", "intention to treat", "intent to treat", "per protocol", "pp"})
_COUNTED: Final = {
    "lesions": {"lesion", "lesions", "tumour", "tumours", "tumor", "tumors", "nodules", "metastases", "sites"},
    "patients": {"patient", "patients", "pts", "participants", "subjects", "persons", "people"},
}
_UNITS: Final = re.compile(
    r"[km]?g|[cm]?m[23]?|m?l|mm hg|kpa|mmol|min|minutes|hours|days|weeks|months|years|points|score|sd|se|bpm"
)

_BY_PHRASE: Final = {phrase: quantity for quantity, phrases in _QUANTITIES.items() for phrase in phrases}
_BY_ARM: Final = {phrase: arm for arm, phrases in _ARMS.items() for phrase in phrases}
_GLUED: Final = {
    name: f"{_BY_PHRASE[word]}_{arm}"
    for word in ("n", "total", "event", "events", "mean", "sd", "cases")
    for phrase, arm in _BY_ARM.items()
    if phrase not in ("i", "1", "2") and " " not in phrase
    for name in (word + phrase, phrase + word)
}


@dataclass(frozen=True)
class Meaning:
    """What a heading says.

    Parameters
    ----------
    role : str
        events, size (total or n, as the other columns have it), mean ..., with _t or _c; "fraction" is n/N.
    literal : bool
        Whether the heading is metaan's own name, or metafor's.
    """

    role: str
    literal: bool = False


def squashed(heading: str) -> str:
    """Letters and digits of a heading in lower case, for comparisons."""
    return "".join(_words(heading))


def arm_of(text: str) -> str:
    """Arm that a text names, t or c, or "" where it names none."""
    return _BY_ARM.get(" ".join(_words(text[:_LONGEST])), "")


def unit_of(heading: str) -> str:
    """What a heading counts: lesions, patients, or "" where it does not say."""
    words = set(_words(heading[:_LONGEST]))
    units = [unit for unit, names in _COUNTED.items() if words & names]
    return units[0] if len(units) == 1 else ""


def is_percentage(heading: str) -> bool:
    """Whether a heading says that its column holds percentages, proportions or rates."""
    if len(heading) > _LONGEST:
        return False
    words = _words(heading)
    return (
        "%" in _INTERVAL.sub("", heading)
        or not _PERCENT.isdisjoint(words)
        or _RATES.search(" ".join(words)) is not None
    )


def is_ratio(heading: str) -> bool:
    """Whether a heading names a ratio, not its logarithm."""
    return len(heading) <= _LONGEST and _RATIO.fullmatch(squashed(heading)) is not None


def is_qualified(heading: str) -> bool:
    """Whether what stands in the brackets of a heading makes another quantity of it: "Total (mg)", "Size (mm)"."""
    if len(heading) > _LONGEST or not _BRACKETS.search(heading):
        return False
    bare = _phrase(_words(_BRACKETS.sub(" ", heading)))
    return bare is not None and _read(heading) is None


def meaning(heading: str, others: frozenset[str]) -> Meaning | None:
    """Role of a column by its heading; `others` are all headings of the table in lower case."""
    plain = heading.strip()
    if plain in KNOWN:
        size = plain.split("_")[0] in ("total", "n")
        return Meaning(re.sub(r"^(total|n)(?=_|$)", "size", plain) if size else plain, literal=True)
    if len(plain) > _LONGEST:
        return None
    low = plain.casefold()
    if low == "mi":
        role = "mean" if "sdi" in others else "nonevents" if "xi" in others else None
        return None if role is None else Meaning(role)
    if low in _METAFOR:
        return Meaning(_METAFOR[low], literal=True) if _PARTNERS.get(low, frozenset()) <= others else None
    role = _read(plain)
    return None if role is None else Meaning(role)


@lru_cache(maxsize=4096)
def _read(heading: str) -> str | None:
    if "/" in heading:
        return _fraction(heading)
    counted = re.sub(r"\(\s*%\s*\)|,\s*%", "", heading)  # "n (%)" counts, and tells the percentage beside it
    if counted != heading:
        role = _phrase(_words(counted))
        return "events" + role[4:] if role and role.startswith("size") else role
    if is_percentage(heading):
        return None
    found, parts = _phrase(_words(heading)), _BRACKETS.findall(heading)
    if not parts:
        return found
    bare = _phrase(_words(_BRACKETS.sub(" ", heading)))
    if bare in ("study", "label", "year"):
        return bare
    return found or (bare if bare and all(_harmless(part, bare.partition("_")[0]) for part in parts) else None)


def _harmless(part: str, quantity: str) -> bool:
    """Whether what stands in brackets leaves a heading what it is: "n", "30 days", a mean's unit."""
    words = _words(part)
    text = " ".join(word for word in words if word not in _FILLER)
    inside = _phrase(words)
    if quantity in ("mean", "sd"):
        return _UNITS.fullmatch(text) is not None or inside == quantity or _is_common(text)
    if quantity in ("events", "size", "nonevents"):
        return inside in ("size", quantity) or _is_common(text)
    if quantity == "time":
        return inside == "time" and text != "time"
    return inside == quantity or text in ("g", "d", "log", "ln", "pearson")


def _is_common(text: str) -> bool:
    """Whether words in brackets say that patients are counted, how many, which analysis, or when."""
    return not text or text in _ANALYSED or _NUMBERED.fullmatch(text) is not None or _WHEN.fullmatch(text) is not None


def _fraction(heading: str) -> str | None:
    """Role of a heading such as "n/N", "events/total (treated)" or "control r/n"."""
    for before, after in (heading.split("/", 1),):
        left, right = _phrase(_words(before)), _phrase(_words(after))
        if not left or not right or not right.startswith("size"):
            return None
        arms = {role.partition("_")[2] for role in (left, right)} - {""}
        if left.split("_")[0] in ("events", "size", "r") and len(arms) < 2:
            return "fraction" + "".join(f"_{arm}" for arm in arms)
    return None


def _phrase(words: tuple[str, ...]) -> str | None:
    """Quantity and arm of some words; None where a word is not understood."""
    kept = [word for word in words if word not in _FILLER]
    if len(kept) > 6 or not kept:
        return None
    text = " ".join(kept)
    if text in _BY_PHRASE:
        return _BY_PHRASE[text]
    if text in _GLUED:
        return _GLUED[text]
    for cut in range(1, len(kept)):
        for arm, what in ((kept[:cut], kept[cut:]), (kept[cut:], kept[:cut])):
            quantity = _BY_PHRASE.get(" ".join(what))
            if quantity in _TWO_ARMS and " ".join(arm) in _BY_ARM:
                return f"{quantity}_{_BY_ARM[' '.join(arm)]}"
    return None


def _words(heading: str) -> tuple[str, ...]:
    """Words of a heading: split at signs, between letters and digits, and where an upper-case letter follows."""
    text = unicodedata.normalize("NFKC", heading)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])", " ", text.replace("'", "").replace("’", ""))
    return tuple(re.findall(r"[^\W_]+", text.casefold()))
