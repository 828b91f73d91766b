"""What a report is made of, whatever it is written in: sections of paragraphs, lists, tables, figures and code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

__all__ = [
    "Block", "Cell", "Cite", "Column", "Document", "Entry", "Figure", "Items", "Line", "Link", "Listing",
    "Paragraph", "Run", "Section", "Strong", "Table", "absent", "doi_link", "heads", "line", "web_link",
]  # fmt: skip

_ADDRESS: Final = re.compile(r"https?://[^\s/]+\.\S+")
_DOI: Final = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True)
class Link:
    """Text that leads to an address of the web or, with #, to an anchor of the report."""

    text: str
    address: str


@dataclass(frozen=True)
class Strong:
    """Text that stands out."""

    text: str


@dataclass(frozen=True)
class Cite:
    """Keys of the references that a sentence rests on; they become numbers when the report is put together."""

    keys: tuple[str, ...]


Run = str | Link | Strong | Cite
Line = tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A paragraph; `kind` is "" (text), "lead" (the answer), "aside" (a note) or "absent" (what does not apply)."""

    runs: Line
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of a list, with the anchor that leads to it where there is one."""

    runs: Line
    anchor: str = ""


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list."""

    entries: tuple[Entry, ...]
    numbered: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers."""

    heading: str
    number: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: what it says, and the number that it says it of; `key` is exact where the text is rounded."""

    runs: Line
    key: float | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table. The first column names the rows."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing in SVG with what it shows in words; `least` is the width in pixels below which it cannot be read."""

    name: str
    caption: str
    svg: str
    alt: str
    least: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Code or text to be shown as it stands."""

    text: str
    language: str
    label: str


Block = Paragraph | Items | Table | Figure | Listing


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section; `applies` is False where it only says why it is empty."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    applies: bool = True


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report; `made` says what wrote it."""

    title: str
    made: str
    sections: tuple[Section, ...]


def line(*runs: Run) -> Line:
    """Runs of a line, those that are empty left out."""
    return tuple(run for run in runs if run != "")


def heads(*names: str) -> tuple[Column, ...]:
    """Headings of a table; a # before one says that its column holds numbers."""
    return tuple(Column(heading=name.removeprefix("#"), number=name.startswith("#")) for name in names)


def absent(reason: object) -> Paragraph:
    """What a section says that does not apply."""
    return Paragraph(runs=line(f"Does not apply: {' '.join(str(reason).split())}"), kind="absent")


def web_link(text: str, address: str) -> Run:
    """A link where the address is one of the web, the text alone otherwise."""
    return Link(text, quote(address, safe="/:;?&=%#+,@!~*'._-")) if _ADDRESS.fullmatch(address) else text


def doi_link(doi: str) -> Run:
    """A DOI as a link."""
    doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:)", "", doi)
    return Link(f"doi:{doi}", f"https://doi.org/{quote(doi, safe='/:;._-')}") if _DOI.fullmatch(doi) else doi
