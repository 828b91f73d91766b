"""Reviews of RevMan 5: comparisons, outcomes and their rows, from XML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from metaan.errors import InputError
from metaan.readers.analyses import Analysis, Row, totals_of

__all__ = ["read_review"]

_DEEPEST: Final = 200
_ROWS: Final = 200_000
_KINDS: Final = {
    "DICH": "dichotomous", "CONT": "continuous", "IV": "inverse variance", "IPD": "O-E and variance",
    "OTHER": "other data",
}  # fmt: skip
_TWO: Final = {"EVENTS_1": "events_t", "TOTAL_1": "total_t", "EVENTS_2": "events_c", "TOTAL_2": "total_c"}
_FIELDS: Final[dict[str, dict[str, str]]] = {
    "DICH": _TWO,
    "CONT": {
        "MEAN_1": "mean_t", "SD_1": "sd_t", "TOTAL_1": "n_t", "MEAN_2": "mean_c", "SD_2": "sd_c", "TOTAL_2": "n_c",
    },
    "IV": {"ESTIMATE": "yi", "SE": "sei", "TOTAL_1": "total_t", "TOTAL_2": "total_c"},
    "IPD": {**_TWO, "O_E": "o_e", "VAR": "o_e_variance"},
    "OTHER": {},
}  # fmt: skip
_MEASURES: Final = {
    "RR": "RR", "OR": "OR", "RD": "RD", "PETO_OR": "PETO", "MD": "MD", "SMD": "SMD", "ROM": "ROM",
    "HAZARD_RATIO": "HR", "HAZARD RATIO": "HR", "HR": "HR",
}  # fmt: skip
_TEXTS: Final = ("NAME", "GROUP_LABEL_1", "GROUP_LABEL_2", "EFFECT_MEASURE")


@dataclass
class _Review:
    """What has been read so far; expat calls the methods as it comes to each tag."""

    place: str
    path: list[str] = field(default_factory=list)
    studies: dict[str, tuple[str, str]] = field(default_factory=dict)
    analyses: list[Analysis] = field(default_factory=list)
    comparison: tuple[str, str] = ("", "")
    subgroup: str = ""
    part: str = ""
    text: list[str] = field(default_factory=list)
    rows: int = 0

    def start(self, tag: str, given: dict[str, str]) -> None:
        if not self.path and tag != "COCHRANE_REVIEW":
            raise InputError(f"{self.place} is XML, but <{tag[:40]}>, not a review of RevMan 5 (COCHRANE_REVIEW).")
        self.path.append(tag)
        if len(self.path) > _DEEPEST:
            raise InputError(f"{self.place}: tags are nested more than {_DEEPEST} deep, which RevMan does not do.")
        kind, _, what = tag.rpartition("_")
        if tag == "STUDY" and given.get("ID"):
            self.studies[given["ID"]] = (given.get("NAME", ""), given.get("YEAR", ""))
        elif tag == "COMPARISON":
            self.comparison = (given.get("NO", ""), given.get("NAME", ""))
        elif what == "OUTCOME" and kind in _KINDS:
            self._outcome(kind, given)
        elif what == "SUBGROUP" and kind in _KINDS:
            self.subgroup = given.get("NAME", "") or given.get("NO", "")
            self.part = given.get("NO", "") or self.subgroup
        elif what == "DATA" and kind in _KINDS and self.analyses and self._inside(f"{kind}_OUTCOME"):
            self._row(kind, given)
        elif tag in _TEXTS:
            self.text = []

    def _inside(self, tag: str) -> bool:
        return tag in self.path

    def _outcome(self, kind: str, given: dict[str, str]) -> None:
        measure = given.get("EFFECT_MEASURE", "").strip()
        self.subgroup = ""
        self.analyses.append(
            Analysis(
                comparison=self.comparison[0], comparison_name=self.comparison[1],
                outcome=given.get("NO", ""), outcome_name=given.get("NAME", ""), kind=_KINDS[kind],
                measure=_MEASURES.get(measure.upper(), ""), printed_measure=measure,
                swapped=given.get("SWAP_EVENTS", "").upper() == "YES", totals=totals_of(given.get("TOTALS", "")),
            )
        )  # fmt: skip

    def _row(self, kind: str, given: dict[str, str]) -> None:
        self.rows += 1
        if self.rows > _ROWS:
            raise InputError(f"{self.place} has more than {_ROWS:,} rows of data.")
        cells = {name: given[key] for key, name in _FIELDS[kind].items() if key in given}
        inside = any(tag.endswith("_SUBGROUP") for tag in self.path)
        subgroup, part = (self.subgroup, self.part) if inside else ("", "")
        estimable = {"YES": True, "NO": False}.get(given.get("ESTIMABLE", "").upper())
        row = Row(given.get("STUDY_ID", ""), subgroup, cells, part=part, estimable=estimable)
        self.analyses[-1].rows.append(row)

    def data(self, text: str) -> None:
        if self.path and self.path[-1] in _TEXTS:
            self.text.append(text)

    def end(self, tag: str) -> None:
        self.path.pop()
        said = " ".join("".join(self.text).split())
        parent = self.path[-1] if self.path else ""
        if tag == "NAME" and said:
            self._named(parent, said)
        elif tag == "GROUP_LABEL_1" and self.analyses and parent.endswith("_OUTCOME"):
            self.analyses[-1].treated = said
        elif tag == "GROUP_LABEL_2" and self.analyses and parent.endswith("_OUTCOME"):
            self.analyses[-1].control = said
        elif tag == "EFFECT_MEASURE" and self.analyses and parent.endswith("_OUTCOME"):
            self._measured(said)
        if tag in _TEXTS:
            self.text = []

    def _measured(self, said: str) -> None:
        """Effect measure of an outcome: an attribute where it is one of a few, a tag where it is free text."""
        self.analyses[-1].printed_measure, self.analyses[-1].measure = said, _MEASURES.get(said.upper(), "")

    def _named(self, parent: str, said: str) -> None:
        if parent == "COMPARISON":
            self.comparison = (self.comparison[0], said)
        elif parent.endswith("_OUTCOME") and self.analyses:
            self.analyses[-1].outcome_name = said
        elif parent.endswith("_SUBGROUP"):
            self.subgroup = said


def read_review(data: bytes, place: str) -> list[Analysis]:
    """Every outcome of a review with its rows, studies by their names.

    The stdlib's expat reads no other file and no network; a document type, without which there are no entities to
    expand, is refused.
    """
    review = _Review(place)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = lambda *_: _refuse(place)
    parser.EntityDeclHandler = lambda *_: _refuse(place)
    parser.StartElementHandler = review.start
    parser.EndElementHandler = review.end
    parser.CharacterDataHandler = review.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as problem:
        raise InputError(f"{place} is no well-formed XML ({problem}).") from None
    except (LookupError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{place} is XML in an encoding that cannot be read ({str(problem)[:80]}).") from None
    for analysis in review.analyses:
        for row in analysis.rows:
            name, year = review.studies.get(row.study, ("", ""))
            row.label, row.year = name or _decoded(row.study), year
    return review.analyses


def _refuse(place: str) -> None:
    raise InputError(
        f"{place} declares a document type (DOCTYPE), which RevMan does not write and could hold an attack."
    )


def _decoded(key: str) -> str:
    """Label of a study from its key: STD-Smith-_x0028_a_x0029_-2001 is Smith (a) 2001."""
    text = re.sub(
        r"_x((?!D[89A-F])[0-9A-F]{4})_", lambda code: chr(int(code[1], 16)), key.removeprefix("STD-"), flags=re.I
    )
    return " ".join(text.replace("-", " ").split())
