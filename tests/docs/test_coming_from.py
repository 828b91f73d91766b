"""The R blocks of docs/coming_from/metafor.md print what follows them, where R has the metafor that the page names."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "coming_from" / "metafor.md"
BLOCK = re.compile(r"^```r\n(.*?)^```\n\n```text\n(.*?)^```$", re.M | re.S)
VERSION = "3.8.1"


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
