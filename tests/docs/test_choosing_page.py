"""docs/choosing.md: rows of its tables are simulated again, its citations are in the bibliography."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
TABLES = [PAGE.partition(f"### {name}. ")[2].partition("\n### ")[0] for name in "ABCD"]


@pytest.fixture(scope="module")
def coverage():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("estimator_coverage")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def printed(table, *cell):
    """The numbers of the row of a cell, as text; blank where there is none."""
    start = "| " + " | ".join(str(x) for x in cell) + " | "
    (row,) = (line for line in table.splitlines() if line.startswith(start))
    return [text.strip() for text in row.removeprefix(start).removesuffix("|").split("|")]


@pytest.mark.parametrize("cell", [(0.1, 3, 0.6), (0.3, 10, 0.3)])
def test_rows_of_a_and_b(coverage, cell):
    means, new = coverage.common(*cell, 10_000, 1)
    assert printed(TABLES[0], *cell) == [f"{x:.1f}" for x in means]
    spreads = len(coverage.ESTIMATORS)
    assert printed(TABLES[1], *cell) == [f"{x:.1f}" for x in new[:-spreads]] + [f"{x:.3f}" for x in new[-spreads:]]


def test_closed_forms_of_c(coverage):
    cells = coverage.draw(0.03, 10, 0.6, 1000, 1)
    row = printed(TABLES[2], 0.03, 10, 0.6)
    assert row[2:4] == [f"{coverage.inside(*coverage._by_tables(name, cells)):.1f}" for name in ("OR", "PETO")]
    assert row[-1] == f"{100 * (cells[0] + cells[2] == 0).mean():.1f}"


def test_likelihoods_of_c_in_a_few_runs(coverage):
    """Fifty runs lie within three standard errors of the thousand of the page."""
    cells = tuple(cell[:50] for cell in coverage.draw(0.03, 10, 0.6, 1000, 1))
    _, _, low, high = zip(*coverage._conditional(cells), strict=True)
    expected = float(printed(TABLES[2], 0.03, 10, 0.6)[5])
    assert abs(coverage.inside(low, high) - expected) < 3 * (expected * (100 - expected) / 50) ** 0.5


def test_lesions_as_if_independent_of_d(coverage):
    found = coverage.lesions("1 to 30", 0.5, 0.0, 10_000, 0, 1)
    row = printed(TABLES[3], "1 to 30", 0.5, 0)
    assert [*row[:3], row[-2]] == [*(f"{x:.1f}" for x in found[:3]), f"{found[-2]:.3f}"]


def test_every_cell_of_the_script_is_on_the_page(coverage):
    for table, cells in zip(TABLES, (coverage.COMMON, coverage.COMMON, coverage.RARE, coverage.LESIONS), strict=True):
        for cell in cells:
            printed(table, *(x if isinstance(x, str) else f"{x:g}" for x in cell))


def test_every_row_has_a_ground():
    advice = PAGE.partition("## The simulations")[0]
    rows = [line for line in advice.splitlines() if line.startswith("| ") and not line.endswith("| ground |")]
    assert len(rows) > 30
    for row in rows:
        assert row.rstrip("| ").rpartition("|")[2].strip(), row


def test_every_citation_is_in_the_bibliography():
    entries = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "docs").glob("*.bib"))
    keys = {key for found in re.findall(r"\{cite:[tp]\}`([^`]+)`", PAGE) for key in found.split(",")}
    assert len(keys) > 20
    assert not {key for key in keys if f"{{{key}," not in entries}
