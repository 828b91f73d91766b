"""Links between pages lead to files that exist, and every picture says in words what it shows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BUILT = {"_build", "examples", "generated"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "studies/README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if not BUILT & set(page.relative_to(ROOT).parts)]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def links(page):
    """Marks, texts and targets of a page, without its code."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return LINK.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    inside = [target.partition("#")[0] for _, _, target in links(page) if not re.match(r"[a-z]+:", target)]
    assert [target for target in inside if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pictures_have_alternative_text(page):
    assert [target for mark, text, target in links(page) if mark and len(text) < 10] == []
    assert "<img" not in page.read_text(encoding="utf-8")


def test_every_page_is_in_a_table_of_contents():
    contents = set()
    for page in [*DOCS.glob("*.md"), *DOCS.glob("coming_from/*.md")]:
        for toctree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M):
            entries = [line for line in toctree.splitlines() if line and not line.startswith(":")]
            contents |= {(page.parent / re.sub(r".*<(.*)>", r"\1", entry)).relative_to(DOCS) for entry in entries}
    pages = {page.relative_to(DOCS).with_suffix("") for page in PAGES if page.is_relative_to(DOCS)}
    pages = {page for page in pages if page.parts[0] != "api" or page.name == "index"} - {Path("index")}
    assert pages <= contents
