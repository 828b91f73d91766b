"""docs/coming_from/: every call of ours in a table exists, and the R blocks of metafor.md print what follows them.

The latter is run where R has the metafor that the page names.
"""

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import metaan
from metaan.measures.record import Effects
from metaan.models.regress_result import RegressResult

FOLDER = Path(__file__).parents[2] / "docs" / "coming_from"
PAGE = FOLDER / "metafor.md"
BLOCK = re.compile(r"^```r\n(.*?)^```\n\n```text\n(.*?)^```$", re.M | re.S)
VERSION = "3.8.1"
RESULTS = [getattr(metaan, name) for name in metaan.__all__ if inspect.isclass(getattr(metaan, name))]
PLACES = [metaan, metaan.plot, Effects, RegressResult, *RESULTS]


def calls(page):
    """Calls in the last column of each table of a page, as they are parsed; ``name=`` stands for a value."""
    for line in page.splitlines():
        if line.startswith("| "):
            last = re.split(r"(?<!\\)\|", line.strip().strip("|"))[-1]
            for code in re.findall(r"`(\.?\w[\w.]*\([^`]*\))`", last):
                whole = re.sub(r"=(?=[,)])", "=0", code)
                tree = ast.parse(f"res{whole}" if whole.startswith(".") else whole)
                yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def wrong(call):
    """What a call has that metaan does not: its name, or the names of arguments."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
    found = next((getattr(place, name) for place in PLACES if hasattr(place, name)), None)
    if found is None:
        return [name]
    known = inspect.signature(found).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return []
    return [f"{name}({keyword.arg}=)" for keyword in call.keywords if keyword.arg not in known]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_calls_in_tables_exist(path):
    found = list(calls(path.read_text(encoding="utf-8")))
    assert len(found) > 10 or path.stem == "index"
    assert [name for call in found for name in wrong(call)] == []


def test_a_call_that_does_not_exist_is_seen():
    page = '| theirs | `pool(effects(yi, sei=), methods="DL")`, `.vif()`, `no_such(res)` |\n'
    assert [name for call in calls(page) for name in wrong(call)] == ["pool(methods=)", "no_such"]


def blocks(page):
    """Code and output of every R block."""
    found = BLOCK.findall(page)
    if len(found) != len(re.findall(r"^```r$", page, re.M)):
        raise ValueError("an R block has no output after it")
    return found


def printed(code):
    """What each of several pieces of R code prints in one session."""
    script = "".join(f'cat("<<<next>>>\\n")\n{piece}\n' for piece in code)
    run = subprocess.run(
        ["Rscript", "--vanilla", "-"], input=f"options(width = 110)\n{script}", capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    return run.stdout.split("<<<next>>>\n")[1:]


@pytest.fixture(scope="module")
def _metafor():
    if shutil.which("Rscript") is None:
        pytest.skip("Rscript is not installed")
    asked = ["Rscript", "--vanilla", "-e", "cat(as.character(packageVersion('metafor')))"]
    run = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if run.stdout.strip() != VERSION:
        pytest.skip(f"R has no metafor {VERSION}")


@pytest.mark.usefixtures("_metafor")
@pytest.mark.slow  # a session of R for each block
def test_r_prints_what_the_page_says():
    pieces = blocks(PAGE.read_text(encoding="utf-8"))
    for (code, output), said in zip(pieces, printed(code for code, _ in pieces), strict=True):
        assert said.split() == output.split(), code


def test_the_page_names_the_version():
    assert "metafor 3.8-1" in PAGE.read_text(encoding="utf-8")


def test_a_block_without_output_is_seen():
    assert blocks("```r\n1 + 1\n```\n\n```text\n[1] 2\n```\n") == [("1 + 1\n", "[1] 2\n")]
    with pytest.raises(ValueError, match="no output"):
        blocks("```r\n1 + 1\n```\n")
