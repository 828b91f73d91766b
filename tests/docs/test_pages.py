"""Every Python block of README.md, CONTRIBUTING.md and docs/ runs as written, and prints the text that follows it."""

import contextlib
import io
from pathlib import Path

import pytest
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.myst import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BUILT = [DOCS / "_build", DOCS / "examples", DOCS / "api" / "generated"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if not any(page.is_relative_to(folder) for folder in BUILT)]


# PyMARE, which a page imports, leaves a file open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file.*expressions:ResourceWarning")


class Runner:
    """Runs the blocks of a page in order and holds a ```text block to what the block right before it printed."""

    def __init__(self):
        self.run, self.ended, self.printed = PythonEvaluator(), None, ""

    def python(self, example):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.run(example)
        self.ended, self.printed = example.region.end, said.getvalue()

    def text(self, example):
        between = None if self.ended is None else example.document.text[self.ended : example.region.start]
        if between is not None and not between.strip():
            assert example.parsed.split() == self.printed.split(), f"{example.path}, line {example.line}"


def run(page):
    """Run a page; how many blocks it had."""
    runner = Runner()
    parsers = CodeBlockParser("python", runner.python), CodeBlockParser("text", runner.text)
    examples = list(Document.parse(str(page), *parsers))
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT).with_suffix("")))
def test_the_blocks_of_a_page_run(page):
    blocks = run(page)
    fences = [line for line in page.read_text(encoding="utf-8").splitlines() if line in ("```python", "```text")]
    assert blocks == len(fences)


def test_a_page_that_prints_something_else_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 2\n```\n\n```python\nprint(x + 2)\n```\n\n```text\n 4\n```\n", encoding="utf-8")
    assert run(page) == 3
    page.write_text(page.read_text(encoding="utf-8").replace(" 4", "5"), encoding="utf-8")
    with pytest.raises(AssertionError, match="line 9"):
        run(page)


def test_a_text_block_after_prose_is_not_compared(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\nSaid otherwise:\n\n```text\n2\n```\n", encoding="utf-8")
    assert run(page) == 2
