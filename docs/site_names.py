"""Names of the package on pages: each a link to its page; all of them on the first page of the reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes

import metaan

if TYPE_CHECKING:
    from sphinx.application import Sphinx

API = Path(__file__).resolve().parent / "api"
HERE = "<!-- every name -->"
_NAME = re.compile(r"(metaan(?:\.[A-Za-z]\w*)+)(?:\(.*\))?", re.DOTALL)
_BLOCK = re.compile(
    r"\.\. currentmodule:: (\S+)\n\n\.\. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n((?:   \w+\n)+)"
)
_NO_LINKS = (nodes.reference, nodes.title, nodes.term, addnodes.pending_xref, addnodes.desc_signature)


def name_in(code: str) -> str | None:
    """Name of the package that a piece of code calls or is, or None."""
    found = _NAME.fullmatch(code)
    return found[1] if found else None


def short_name(code: nodes.literal) -> str | None:
    """Name without the package before it, where its cell of a table has others with it."""
    public = code.astext() in metaan.__all__ and isinstance(code.parent.parent, nodes.entry)
    return f"metaan.{code.astext()}" if public and "metaan." in code.parent.astext() else None


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Make a link of every name in a page's text; one without a page of its own stays as it is."""
    for code in list(doctree.findall(nodes.literal)):
        name = name_in(code.astext()) or short_name(code)
        if name is None or app.env.docname.endswith(f"/{name}") or _within(code, _NO_LINKS):
            continue
        where = {"refdoc": app.env.docname, "refdomain": "py", "reftype": "obj", "refexplicit": False}
        link = addnodes.pending_xref(reftarget=name, refwarn=False, **where)
        link["py:module"] = link["py:class"] = None
        code.replace_self(link)
        link += code


def _within(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    while (node := node.parent) is not None:
        if isinstance(node, kinds):
            return True
    return False


def every_name(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the names of every page of the reference, each with its first sentence, where the first page has the mark."""
    if docname == "api/index":
        pages = re.findall(r"^(\w+)$", source[0].split("```{toctree}")[1].split("```")[0], re.MULTILINE)
        source[0] = source[0].replace(HERE, "\n".join(map(_section, pages)))


def _section(page: str) -> str:
    text = (API / f"{page}.md").read_text(encoding="utf-8")
    title = re.findall(r"^# (.*)$", text, re.MULTILINE)[0]
    full = [f"{module}.{name}" for module, names in _BLOCK.findall(text) for name in names.split()]
    rows = "".join(f"   {name.removeprefix('metaan.')}\n" for name in full)
    table = f".. currentmodule:: metaan\n\n.. autosummary::\n   :nosignatures:\n\n{rows}"
    return f"## [{title}]({page}.md)\n\n```{{eval-rst}}\n{table}```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", link_names)
    app.connect("source-read", every_name)
    return {"parallel_read_safe": True}
