"""What the report covers of PRISMA 2020, what it leaves to the authors, and the software behind it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Collection
from typing import Final

from metaan.reports.blocks import Cell, Cite, Line, Link, Paragraph, Section, Table, heads, line

__all__ = ["checklist_section", "versions_section"]

# Item, topic, sections that cover it (any of them; "data of load" where it applies to rows of metaan.load alone, as
# facts of the document say), and what is left to the authors.
_ITEMS: Final[tuple[tuple[str, str, tuple[str, ...], str], ...]] = (
    ("1", "Title", (), "A title that names the report a systematic review, if it is one."),
    ("2", "Abstract", (), "A structured abstract."),
    ("3", "Rationale", (), "Why the review was needed."),
    ("4", "Objectives", ("question",), "The question in the terms of the protocol."),
    ("5", "Eligibility criteria", ("data of load",), "Criteria that were set beforehand."),
    ("6", "Information sources", (), "Databases and registers, each with the date of the last search."),
    ("7", "Search strategy", (), "Full strategies with their limits."),
    ("8", "Selection process", (), "Who screened, and how disagreements were settled."),
    ("9", "Data collection", ("data of sources",), "Who read the counts, how many readers, and how they were checked."),
    ("10a", "Outcomes sought", ("question", "methods"), "Definition and time of each outcome."),
    ("10b", "Other variables sought", ("data of load",), "Characteristics of patients, treatment and funding."),
    ("11", "Risk of bias: methods", (), "Tool, assessors, and how it was applied."),
    ("12", "Effect measures", ("methods",), "Nothing more."),
    ("13a", "Studies of each synthesis", ("data",), "Why these studies belong together."),
    ("13b", "Preparation of data", ("methods", "data"), "Conversions made before the data were entered."),
    ("13c", "Tables and figures", ("forest",), "Nothing more."),
    ("13d", "Synthesis methods", ("methods", "versions"), "Why this model was chosen."),
    ("13e", "Causes of heterogeneity", ("methods of subgroups",), "Subgroups and moderators that were planned."),
    ("13f", "Sensitivity analyses", ("sensitivity", "multiverse"), "Which of them were planned."),
    ("14", "Reporting bias: methods", ("small_study",), "Search for unpublished studies and outcomes."),
    ("15", "Certainty: methods", (), "For instance GRADE; metaan.grade_table prepares the numbers."),
    ("16a", "Flow of studies", ("data of load",), "Records found, screened and excluded, with a flow diagram."),
    ("16b", "Excluded studies", ("data of load", "conflicts"), "Studies that seemed to qualify, and why they did not."),
    ("17", "Characteristics of studies", ("data of load",), "Patients, disease, treatment and follow-up."),
    ("18", "Risk of bias: results", (), "A judgement of each study."),
    ("19", "Results of studies", ("data", "forest"), "Nothing more."),
    ("20a", "Summary of each synthesis", ("data of load",), "Characteristics and risk of bias of the studies in it."),
    ("20b", "Results of syntheses", ("forest",), "Nothing more."),
    ("20c", "Heterogeneity: results", ("forest of subgroups",), "Results of planned subgroups and moderators."),
    ("20d", "Sensitivity: results", ("sensitivity", "multiverse"), "What follows from them."),
    ("21", "Reporting bias: results", ("small_study",), "A judgement."),
    ("22", "Certainty: results", (), "A judgement for each outcome."),
    ("23a", "Interpretation", (), "What the result means beside other evidence."),
    ("23b", "Limitations of the evidence", ("limitations",), "Those that only the authors know."),
    ("23c", "Limitations of the review", ("limitations",), "Those of search, selection and reading."),
    ("23d", "Implications", (), "For practice, policy and research."),
    ("24a", "Registration", (), "Register and number, or that there is none."),
    ("24b", "Protocol", (), "Where it can be read."),
    ("24c", "Amendments", (), "What changed since registration."),
    ("25", "Support", (), "Money and sponsors."),
    ("26", "Competing interests", (), "Of every author."),
    ("27", "Availability of data and code", ("code", "data"), "Where forms, data and code are kept."),
)  # fmt: skip
_PACKAGES: Final = ("metaan", "numpy", "scipy", "pandas", "statsmodels", "pymare", "matplotlib", "seaborn", "jinja2")


def checklist_section(made: Collection[str], titles: dict[str, str], facts: Collection[str]) -> Section:
    """Items of PRISMA 2020 with the sections that cover them.

    Parameters
    ----------
    made : collection of str
        Sections that are there and apply.
    titles : dict of str to str
        What they are called.
    facts : collection of {"load", "sources", "subgroups"}
        What holds for the data: rows of the evidence base, rows that say where they were read, subgroups.
    """
    rows = []
    covered = 0
    for item, topic, sections, authors in _ITEMS:
        parts = [name.partition(" of ") for name in sections]
        there = [name for name, _, needs in parts if name in made and (not needs or needs in facts)]
        covered += bool(there)
        rows.append((Cell(runs=line(item)), Cell(runs=line(topic)), Cell(runs=_where(there, titles)), _cell(authors)))
    text = f"The items of PRISMA 2020 in short; {covered} of {len(rows)} are covered in full or in part by this report"
    said = Paragraph(runs=line(text, Cite(("prisma",)), ". The report is no systematic review: what it cannot know, "
                               "the authors have to supply."))  # fmt: skip
    table = Table(
        name="prisma", caption="PRISMA 2020 and this report.", rows=tuple(rows), sortable=False,
        columns=heads("Item", "Topic", "Here", "For the authors"),
    )  # fmt: skip
    return Section(name="checklist", title="What the report covers (PRISMA 2020)", blocks=(said, table))


def _where(names: list[str], titles: dict[str, str]) -> Line:
    runs: list[Link | str] = []
    for name in names:
        runs += [", "] * bool(runs) + [Link(titles[name], f"#{name}")]
    return line(*runs) if runs else line("not here")


def _cell(text: str) -> Cell:
    return Cell(runs=line(text))


def versions_section() -> Section:
    """Python and the packages that the numbers and figures come from."""
    versions = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    rows = tuple((_cell(name), _cell(version)) for name, version in versions.items())
    table = Table(
        name="software", caption="Versions.", columns=heads("Program", "Version"), rows=rows, sortable=False
    )  # fmt: skip
    return Section(name="versions", title="Software", blocks=(table,))
