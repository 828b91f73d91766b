"""How sphinx-gallery runs an example of examples/ and shows what it drew."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import figure_rst

from metaan.plot import alt_text

_FRAME = """
.. raw:: html

   <iframe title="{name}" srcdoc="{page}" style="width: 100%; height: 42rem; border: 1px solid #8884"></iframe>

"""


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
    for page in sorted((script.parent / "output").glob(f"{script.stem}*.html")):
        source = escape(page.read_text(encoding="utf-8")).replace("\n", "&#10;")
        shown.append(_FRAME.format(name=page.name, page=source))
    return "".join(shown)
