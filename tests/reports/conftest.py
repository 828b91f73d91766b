"""Reports that several tests read."""

from functools import cache

import pytest
from helpers.pages import tree

import metaan

COUNTS = {"events": "events", "total": "total", "study": "study"}
SMALL = {"models": "normal", "tests": "z", "methods": ["REML", "DL"]}  # a multiverse that takes no time
HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "]]><b>bold</b>", "a|b `c` | d", "[x](javascript:y)",
    "1. *item* $x^2$ {role}`z`", "</title></svg></table>", "id=\"q\" href='#r'", "\\| \\` &lt;i&gt;", "# head\n\n- new",
]  # fmt: skip


@cache
def _loaded(unit):
    return metaan.load("electrochemotherapy", outcome="complete_response", unit=unit, overlaps="prefer_largest")


def trials_of(unit="patient"):
    return _loaded(unit).copy()


@pytest.fixture(scope="session")
def trials():
    return trials_of()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="session")
def lesion_file(folder):
    """The whole report of lesions, with every figure and the multiverse of one model."""
    rows = trials_of("lesion")
    every = metaan.multiverse(rows, **SMALL, progress=False)
    return metaan.report(rows, folder / "lesion.html", multiverse=every)


@pytest.fixture(scope="session")
def lesion_page(lesion_file):
    return tree(lesion_file.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def hostile_result():
    """Studies whose names are markup; one of them is far from the others, so that it is named in texts as well."""
    events, total = [3, 4, 9, 7, 5, 6, 8, 2, 4, 95], [44, 30, 40, 35, 28, 31, 50, 20, 26, 100]
    return metaan.glmm("PLO", events=events, total=total, study=HOSTILE)


@pytest.fixture(scope="session")
def hostile_file(folder, hostile_result):
    title = "Title </title><script>alert(3)</script>"
    return metaan.report(hostile_result, folder / "hostile.html", title=title, question="<i>Why?</i>", multiverse=False)


def rows_of(page, name):
    """Rows of a table of a report: each cell's text and exact number."""
    (table,) = page.all("table", id=f"table-{name}")
    body = table.one("tbody")
    cells = ([cell for cell in row.children if cell.tag in ("td", "th")] for row in body.all("tr"))
    return [[(cell.text, float(cell.attrs["data-key"]) if "data-key" in cell.attrs else None) for cell in row]
            for row in cells]  # fmt: skip
