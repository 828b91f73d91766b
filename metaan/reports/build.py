"""The sections of a report, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import metaan
from metaan.analysis.multiverse_result import MultiverseResult
from metaan.errors import OptionError, listed
from metaan.reports.answer import forest_section, question_section
from metaan.reports.blocks import Document, Listing, Paragraph, Section, absent, line
from metaan.reports.checklist import checklist_section, versions_section
from metaan.reports.checks import multiverse_section, sensitivity_section, small_study_section
from metaan.reports.limits import limitations_section
from metaan.reports.methods import methods_section
from metaan.reports.recipe import recipe_of
from metaan.reports.references import numbered_sections
from metaan.reports.shared import conflicts_section
from metaan.reports.sources import data_section, sources_of
from metaan.reports.spread import heterogeneity_section
from metaan.reports.subject import Subject
from metaan.reports.words import title_of
from metaan.validate import Option

__all__ = ["SECTION", "document", "sections_asked"]

SECTION: Final = Option(
    "sections",
    {
        "question": "what is asked and what is answered",
        "data": "studies, counts, their sources, and what was left out",
        "methods": "what was done, by whose method, and which options are defaults",
        "forest": "forest plot and pooled numbers",
        "heterogeneity": "how much the studies differ",
        "sensitivity": "without each study, influence, lesions that are alike",
        "small_study": "whether small studies differ",
        "multiverse": "every analysis that can be defended",
        "conflicts": "studies that share patients, sources that contradict each other",
        "limitations": "notes of the result and what holds for its kind",
        "code": "code that gives the result again",
        "versions": "software",
        "checklist": "what the report covers of PRISMA 2020",
    },
    "question",
)
_LAST: Final = ("methods", "checklist")  # they tell of the others


def sections_asked(sections: object) -> tuple[str, ...]:
    """Names of the sections, in their order; all of them by default."""
    if sections is None:
        return tuple(SECTION.choices)
    if isinstance(sections, str) or not isinstance(sections, Sequence):
        return (SECTION.check(sections),)
    names = tuple(SECTION.check(name) for name in sections)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if not names or twice:
        what = f"names {listed(twice)} twice" if twice else "is empty"
        raise OptionError(f"sections={sections!r} {what}. Choose from {', '.join(SECTION.choices)}.")
    return names


def document(
    subject: Subject,
    names: Sequence[str],
    *,
    title: str | None,
    question: str | None,
    multiverse: bool | MultiverseResult,
    figures: bool,
) -> Document:
    """Make every section that was asked for."""
    makers: Mapping[str, Callable[[], Section]] = {
        "question": lambda: question_section(subject, question),
        "data": lambda: data_section(subject),
        "forest": lambda: forest_section(subject, figures=figures),
        "heterogeneity": lambda: heterogeneity_section(subject),
        "sensitivity": lambda: sensitivity_section(subject, figures=figures),
        "small_study": lambda: small_study_section(subject, figures=figures),
        "multiverse": lambda: multiverse_section(subject, multiverse, figures=figures),
        "conflicts": lambda: conflicts_section(subject),
        "limitations": lambda: limitations_section(subject),
        "code": lambda: _code(subject),
        "versions": versions_section,
        "methods": lambda: methods_section(subject, made),
        "checklist": lambda: checklist_section(
            [*made, "methods"] if "methods" in names else made, titles, _facts(subject)
        ),
    }
    done = {name: makers[name]() for name in names if name not in _LAST}
    made = [name for name, section in done.items() if section.applies]
    titles = {name: section.title for name, section in done.items()}
    for name in (name for name in _LAST if name in names):
        done[name] = makers[name]()
        titles[name] = done[name].title
    head = " ".join((title or title_of(subject)).split())
    made_by = f"Made with metaan {metaan.__version__}."
    return Document(title=head, made=made_by, sections=numbered_sections(done[name] for name in names))


def _facts(subject: Subject) -> list[str]:
    """What the checklist has to know of the data."""
    known = {
        "load": subject.record is not None,
        "sources": any(source.known for source in sources_of(subject)),
        "subgroups": subject.subgroups is not None,
    }
    return [name for name, holds in known.items() if holds]


def _code(subject: Subject) -> Section:
    title = "Code that gives the result again"
    recipe = recipe_of(subject)
    if recipe.why:
        return Section(name="code", title=title, blocks=(absent(recipe.why),), applies=False)
    data = "It loads the data again." if recipe.from_load else "It holds the data."
    said = Paragraph(
        runs=line(f"{data} When the report was made it was run, and its estimate and limits were those of the report.")
    )
    listing = Listing(text=recipe.code, language="python", label="Python code that gives the result again")
    return Section(name="code", title=title, blocks=(said, listing))
