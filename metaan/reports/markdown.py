"""A report as Markdown: tables in pipes, anchors for its links, drawings in files of their own where asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from metaan.reports.blocks import Document, Figure, Link, Run, Strong
from metaan.reports.pages import environment

__all__ = ["figure_files", "markdown_of", "plain_text"]

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]#|~$!<>&@^])")
_STARTS: Final = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=:])")
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}


def markdown_of(document: Document, path: Path) -> str:
    """The text; `path` is where it goes, after which the files of its drawings are called."""
    made = environment("md")
    made.filters |= {"md": plain_text, "line": line_text, "fence": _fence, "cell": _cell, "address": _address}
    return str(made.get_template("report.md.jinja").render(document=document, files=_names(document, path)))


def _names(document: Document, path: Path) -> dict[str, str]:
    return {one.name: f"{path.stem}-{one.name}.svg" for one in _figures(document)}


def figure_files(document: Document, path: Path) -> dict[Path, str]:
    """Files of the drawings beside the report, named after it, and what goes into each."""
    names = _names(document, path)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return {path.with_name(names[one.name]): f"{head}{one.svg}\n" for one in _figures(document)}


def _figures(document: Document) -> list[Figure]:
    return [block for section in document.sections for block in section.blocks if isinstance(block, Figure)]


def plain_text(text: str) -> str:
    """Text in which nothing means anything to Markdown, to HTML or to TeX."""
    flat = " ".join(str(text).split())
    made = _SPECIAL.sub(lambda found: _ENTITIES.get(found[1], f"\\{found[1]}"), flat)
    return _STARTS.sub(lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", made)


def line_text(runs: Iterable[Run]) -> str:
    """A line with its links."""
    parts = []
    for i, run in enumerate(runs):
        parts.append(_run(run, first=i == 0))
    return "".join(parts).strip()


def _run(run: Any, *, first: bool) -> str:
    if isinstance(run, Link):
        return f"[{plain_text(run.text)}]({_address(run.address)})"
    if isinstance(run, Strong):
        return f"**{plain_text(run.text)}**"
    text = str(run)
    escaped = plain_text(text) if first else plain_text(f"x{text}")[1:]  # what starts a line starts no list there
    before, after = " " * text[:1].isspace(), " " * (text[-1:].isspace() and bool(text.strip()))
    return f"{before}{escaped.strip()}{after}"


def _address(address: str) -> str:
    return re.sub(r"[()<>\s|`\\\"]", lambda found: f"%{ord(found[0]):02X}", address)


def _cell(runs: Iterable[Run]) -> str:
    return line_text(runs) or " "


def _fence(text: str) -> str:
    """Backticks that the text does not hold."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
