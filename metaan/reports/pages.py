"""A report as one page of HTML that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from metaan.plot.html_colours import font_family, properties
from metaan.plot.style import current_style
from metaan.reports.blocks import Cell, Document, Table
from metaan.reports.drawings import pieces

__all__ = ["environment", "page_of"]

_WORDS, _NAMES = 28, 16  # characters of a line in which sentences, or the names of rows, can be read


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
    made.filters |= {"kind": kind_of, "pieces": pieces, "words": words}
    return made


def kind_of(block: Any) -> str:
    """What a part is, by which a template chooses what to write."""
    return "text" if isinstance(block, str) else type(block).__name__.lower()


def words(table: Table) -> list[int]:
    """Least width of each column of words in characters: half of its longest text, and its longest word."""
    least = []
    for i, column in enumerate(table.columns):
        texts = [_text(row[i]) for row in table.rows if not column.number]
        wanted = [max((len(text) + 1) // 2, *map(len, text.split())) for text in texts if text]
        least.append(min(max(wanted, default=0), _WORDS if i else _NAMES))
    return least


def _text(cell: Cell) -> str:
    return "".join(run if isinstance(run, str) else str(getattr(run, "text", "")) for run in cell.runs).strip()


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
