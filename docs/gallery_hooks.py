"""How sphinx-gallery runs an example of examples/ and shows what it drew."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from docutils import nodes
from sphinx_gallery.scrapers import figure_rst

from metaan.plot import alt_text

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_FRAME = """
.. raw:: html

   <iframe title="{title}" srcdoc="{page}" onload="{fit}" style="width: 100%; height: 66rem; border: 1px solid #8884">
   </iframe>

"""
# As high as its page, whenever that changes: with the width of the window, or as its rows are filtered.
_FIT = (
    "const body = this.contentDocument.body; "
    "new ResizeObserver(() => { this.style.height = body.scrollHeight + 8 + 'px' }).observe(body)"
)
_TITLE = re.compile(r'<div class="sphx-glr-thumbnail-title">(.*?)</div>')
_WIDE = 135


def as_script(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Give an example its `__file__`, as a script has it, so that its output stays within docs/; no arguments."""
    script_vars["example_globals"]["__file__"] = script_vars["target_file"]
    return []


def figures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Lines of reStructuredText that show every open figure, with metaan's alternative text, and every page written."""
    shown = []
    for number, path in zip(plt.get_fignums(), block_vars["image_path_iterator"], strict=False):
        figure = plt.figure(number)
        figure.savefig(path, dpi=150)
        said = [alt_text(ax) or ax.get_title() for ax in figure.axes]
        shown.append(figure_rst([path], gallery_conf["src_dir"], " ".join(filter(None, said))))
    plt.close("all")
    script = Path(block_vars["target_file"])
    pages = sorted((script.parent / "output").glob(f"{script.stem}*.html"))
    return "".join([*shown, *(frame(page.read_text(encoding="utf-8"), page.name) for page in pages)])


def frame(page: str, name: str) -> str:
    """Lines of reStructuredText that show a page of HTML in a frame, which has the page's title."""
    found = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    title = unescape(found[1]).strip() if found else name
    return _FRAME.format(title=escape(title), page=escape(page).replace("\n", "&#10;"), fit=escape(_FIT))


def say_thumbnails(app: Sphinx, doctree: nodes.document) -> None:
    """Say in words what the small pictures of the gallery lead to, which sphinx-gallery leaves without."""
    for image in doctree.findall(nodes.image):
        after = image.next_node(nodes.raw, ascend=True)
        found = after and _TITLE.search(after.astext())
        if found and not image.get("alt"):
            image["alt"] = f"Thumbnail: {unescape(found[1])}"


def wrap_sentences(app: Sphinx, doctree: nodes.document) -> None:
    """Let long lines of printed output wrap, unless they are rows of a table, whose columns stand below one another."""
    for block in doctree.findall(nodes.literal_block):
        if "sphx-glr-script-out" in block["classes"] and are_sentences(block.astext()):
            block["classes"].append("wraps")


def are_sentences(output: str) -> bool:
    """Whether no line that is too long for a page has columns."""
    return not any(len(line) > _WIDE and "  " in line.strip() for line in output.splitlines())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", say_thumbnails)
    app.connect("doctree-read", wrap_sentences)
    return {"parallel_read_safe": True}
