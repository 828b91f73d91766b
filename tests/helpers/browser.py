"""Debian's chromium through playwright for tests of pages; a test module that imports this is skipped without them."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parents[2]
AXE = [Path(os.environ.get("METAAN_AXE", "")), ROOT.parent / "node_modules/axe-core/axe.min.js"]

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    pytest.skip("playwright is not installed: pip install 'metaan[browser]'", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("chromium is not installed: apt-get install chromium", allow_module_level=True)


@contextmanager
def launched():
    """A browser; nothing is downloaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def watched(page, said):
    """The page, which adds to `said` what it asks of a network or writes to the console."""
    page.on("request", lambda request: request.url.startswith("file:") or said.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return page


def axe_source():
    """axe-core as text; the test is skipped where it is not there."""
    source = next((path for path in AXE if path.is_file()), None)
    if source is None:
        pytest.skip("axe-core is not there: npm pack axe-core, and METAAN_AXE=.../axe.min.js")
    return source.read_text(encoding="utf-8")


def nothing_serious(page, axe):
    """Axe finds nothing serious or critical on the page."""
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(result => result.violations)")
    told = [(one["impact"], one["id"], one["nodes"][0]["html"][:300]) for one in found]
    assert [one for one in told if one[0] in ("serious", "critical")] == [], told
