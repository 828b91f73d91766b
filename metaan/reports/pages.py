"""A report as one page of HTML that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final

from metaan.plot.html_colours import font_family, properties
from metaan.plot.style import current_style
from metaan.reports.blocks import Cell, Document, Table
from metaan.reports.drawings import pieces

__all__ = ["environment", "page_of"]

_WORDS: Final = 24  # characters from which the cells of a column are more than a word or two


def page_of(document: Document) -> str:
    """The page, with its style, its script and a policy that forbids requests to any network."""
    script = _resource("report.js")
    template = environment("html").get_template("report.html.jinja")
    return str(template.render(document=document, style=_style(), script=script, script_hash=_hash(script)))


@cache
def environment(kind: str) -> Any:
    """Templates of the package; those of HTML escape whatever is put into them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("metaan.reports"), autoescape=kind == "html", trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {"kind": kind_of, "pieces": pieces, "wordy": wordy}
    return made


def kind_of(block: Any) -> str:
    """What a part is, by which a template chooses what to write."""
    return "text" if isinstance(block, str) else type(block).__name__.lower()


def wordy(table: Table) -> list[bool]:
    """Which columns hold sentences, after the first, which names the rows."""
    longest = [max((_length(row[i]) for row in table.rows), default=0) for i in range(len(table.columns))]
    return [i > 0 and not column.number and longest[i] > _WORDS for i, column in enumerate(table.columns)]


def _length(cell: Cell) -> int:
    return sum(len(run if isinstance(run, str) else getattr(run, "text", "")) for run in cell.runs)


def _style() -> str:
    style = current_style()
    return Template(_resource("report.css")).substitute(
        light=properties(style, "light"), dark=properties(style, "dark"), family=font_family(style)
    )


def _resource(name: str) -> str:
    return files("metaan.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Source of a Content-Security-Policy that allows this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
