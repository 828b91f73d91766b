"""docs/*.bib: every paper that docstrings and pages cite, once, under keys that the pages use."""

import ast
import re
from pathlib import Path

import pytest
from helpers.bibliography import entries

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CITED = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
BUILT = ("_build", "examples", "generated")
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if not set(page.relative_to(DOCS).parts) & set(BUILT)]
DOI = re.compile(r"\bdoi:\s*(10\.\d{4,9}/\S+)")


def dois(text):
    """DOIs of a text: without the point or the bracket that ends a sentence."""
    for found in DOI.findall(text):
        doi = found.rstrip(".,;")
        yield doi.removesuffix(")") if doi.count(")") > doi.count("(") else doi


def docstrings():
    """Path and docstring, without its examples, whose output may be that of the evidence base."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "metaan").rglob("*.py"))}
    for path in (path for path, text in texts.items() if "doi:" in text):
        for node in ast.walk(ast.parse(texts[path])):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                yield path.relative_to(ROOT), text.split("\nExamples\n---")[0]


def keys_of(text):
    """Keys that a page cites."""
    return {key.strip() for keys in CITED.findall(text) for key in keys.split(",")}


@pytest.fixture(scope="module")
def bibliography():
    return [entry for path in sorted(DOCS.glob("*.bib")) for entry in entries(path.read_text(encoding="utf-8"))]


def test_keys_and_dois_stand_once(bibliography):
    for field in ("key", "doi"):
        values = [entry[field].lower() for entry in bibliography if field in entry]
        assert sorted({value for value in values if values.count(value) > 1}) == [], field


def test_every_doi_of_a_docstring_is_in_the_bibliography(bibliography):
    known = {entry["doi"].lower() for entry in bibliography if "doi" in entry}
    cited = [(str(path), doi) for path, text in docstrings() for doi in dois(text)]
    assert len(cited) > 100
    assert [(path, doi) for path, doi in cited if doi.lower() not in known] == []


def test_every_key_of_a_page_is_in_the_bibliography(bibliography):
    known = {entry["key"] for entry in bibliography}
    cited = [(page.name, key) for page in PAGES for key in keys_of(page.read_text(encoding="utf-8"))]
    assert len(cited) > 100
    assert [(page, key) for page, key in cited if key not in known] == []


def test_entries_say_who_when_and_where(bibliography):
    where = ("journal", "publisher", "howpublished", "booktitle")
    for entry in bibliography:
        assert {"author", "year"} <= set(entry), entry["key"]
        assert any(name in entry for name in where), entry["key"]
        assert re.fullmatch(r"[a-z]+\d{4}[a-z]?", entry["key"])
        assert entry["year"] in entry["key"]


def test_what_is_missing_is_seen():
    assert list(dois("See doi:10.1002/sim.1009. (doi:10.1016/0197-2456(86)90046-2)")) == [
        "10.1002/sim.1009",
        "10.1016/0197-2456(86)90046-2",
    ]
    assert keys_of("{cite:t}`a2001` and {cite:p}`b2002, c2003`") == {"a2001", "b2002", "c2003"}
    (entry,) = entries("@article{a2001,\n  author = {A, B.}, year = {2001}, title = {On {R} and %},\n}\n")
    assert entry == {"kind": "article", "key": "a2001", "author": "A, B.", "year": "2001", "title": "On {R} and %"}
