"""Links of a page to files outside docs/: to the page that shows the file, or else to a copy of the file."""

from __future__ import annotations

from os.path import normpath, relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx import addnodes

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
INCLUDED = {  # page: the file of the repository that it includes
    "audit": "studies/AUDIT.md",
    "benchmarks": "benchmarks/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "reference_values": "tests/reference/README.md",
    "studies": "studies/README.md",
}
SHOWN = {file: page for page, file in INCLUDED.items()}
SHOWN |= {"README.md": "index", "examples": "examples/index", "examples/gallery": "examples/gallery/index"}


def page_of(file: str) -> str | None:
    """Page that shows a file of the repository."""
    if file in SHOWN:
        return SHOWN[file]
    if file.startswith("examples/") and file.endswith(".py"):
        return file.removesuffix(".py")
    if file.startswith("docs/") and file.endswith((".md", ".ipynb")):
        return str(Path(file).with_suffix("").relative_to("docs"))
    return None


def redirect(app: Sphinx, doctree: nodes.document) -> None:
    """Point the links of a page that has just been read to where their files are on the site."""
    here = app.env.docname
    folder = Path(INCLUDED.get(here, f"docs/{here}")).parent
    for link in [*doctree.findall(addnodes.pending_xref), *doctree.findall(addnodes.download_reference)]:
        if link.get("reftype") != "myst" or link["reftarget"].startswith("#"):
            continue
        file, anchor = _file_of(link, folder)
        if not (ROOT / file).exists() or (file.startswith("docs/") and here not in INCLUDED):
            continue
        link.replace_self(_to_page(link, here, page_of(file), file, anchor))


def _file_of(link: Any, folder: Path) -> tuple[str, str | None]:
    """Path of a link from the root of the repository, and its anchor; MyST leaves off .md where it found the file."""
    if link.get("refdomain") == "doc":
        path = Path(link["reftarget"])
        inside = relpath(ROOT / "docs" / path, ROOT)
        return f"{inside}.md", link["reftargetid"]
    target, _, anchor = link["reftarget"].partition("#")
    return normpath(folder / target), anchor or None


def _to_page(link: Any, here: str, page: str | None, file: str, anchor: str | None) -> Any:
    common = {"refdoc": here, "reftype": "myst", "refexplicit": True}
    if page is None:
        target = relpath(ROOT / file, ROOT / "docs" / Path(here).parent)
        new: Any = addnodes.download_reference(refdomain=None, reftarget=target, **common)
    else:
        new = addnodes.pending_xref(refdomain="doc", reftarget=page, reftargetid=anchor, **common)
    new.extend(link.children)
    return new


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", redirect, priority=100)  # before downloads are collected
    return {"parallel_read_safe": True}
