"""The reference holds every public name once."""

import importlib
import re
from collections import Counter
from pathlib import Path

import metaan
from metaan import errors, recipes

API = Path(__file__).resolve().parents[2] / "docs" / "api"
BLOCK = re.compile(
    r"\.\. currentmodule:: (\S+)\n\n\.\. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n((?:   \w+\n)+)"
)
PARTS = {  # what results hold and functions return: described, and not to be imported
    "metaan.analysis.test_result.TestResult",
    "metaan.models.glmm_regress_result.GlmmRegressResult",
    "metaan.models.results.Convergence",
    "metaan.models.results.Heterogeneity",
    "metaan.models.results.Spec",
}
MODULE = re.compile(r"\.\. automodule:: (\S+)\n")


def listed():
    """How often each full name stands on the pages."""
    found = Counter()
    for page in API.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        found.update(f"{module}.{name}" for module, names in BLOCK.findall(text) for name in names.split())
        found.update(MODULE.findall(text))
    return found


def public():
    """Full names; what recipes and errors hand on to metaan, and what only metaan itself needs, does not count."""
    names = {f"metaan.{name}" for name in metaan.__all__} | {f"metaan.plot.{name}" for name in metaan.plot.__all__}
    names |= {f"metaan.recipes.{name}" for name in set(recipes.__all__) - set(metaan.__all__)}
    return names | {f"metaan.errors.{name}" for name in errors.__all__ if name[0].isupper()}


def test_every_public_name_stands_on_one_page():
    assert listed() == Counter(public() | PARTS)


def test_parts_of_results_stand_where_their_pages_say():
    for full in PARTS:
        module, _, name = full.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__
    assert {full.rpartition(".")[2] for full in PARTS}.isdisjoint(metaan.__all__)


def test_every_page_is_in_the_contents():
    contents = (API / "index.md").read_text(encoding="utf-8").split("```{toctree}")[1].split("```")[0]
    entries = {line for line in contents.splitlines() if line and not line.startswith(":")}
    assert {page.stem for page in API.glob("*.md")} - {"index"} == entries
