"""docs/formulas.md has every option that names a formula, and every public function behind one."""

import inspect
import re
from pathlib import Path

import pytest

import metaan
from metaan.analysis.bias import PREDICTOR
from metaan.analysis.excess import TEST as EXCESS
from metaan.analysis.failsafe import KIND as FAILSAFE
from metaan.analysis.predictive_result import UNCERTAINTY
from metaan.analysis.selection import KIND as SELECTION
from metaan.analysis.trim_and_fill import ESTIMATOR
from metaan.measures.continuous import BIAS, VARIANCE
from metaan.measures.intervals import INTERVAL
from metaan.measures.kinds import KINDS
from metaan.models.glmm_spec import LINK, MODEL
from metaan.models.intervals import TAU2_INTERVAL
from metaan.validate import CORRECTION, METHOD, PI, ROBUST, TEST

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "formulas.md").read_text(encoding="utf-8")
OPTIONS = {
    "measures": KINDS, "estimators": METHOD.choices, "tests": TEST.choices, "prediction": PI.choices,
    "tau2 intervals": TAU2_INTERVAL.choices, "robust": ROBUST.choices, "corrections": CORRECTION.choices,
    "rate intervals": INTERVAL.choices, "variances": VARIANCE.choices, "factors": BIAS.choices, "links": LINK.choices,
    "models": MODEL.choices, "predictors": PREDICTOR.choices, "failsafe": FAILSAFE.choices, "excess": EXCESS.choices,
    "selection": SELECTION.choices, "trim and fill": ESTIMATOR.choices, "next study": UNCERTAINTY.choices,
}  # fmt: skip
WITHOUT = {  # public functions that compute nothing of their own: data, tables, files, other programs, refits
    "catalogue", "check_percentage", "check_studies", "cite", "compare", "conflicts", "denominators", "effects",
    "explain", "explain_difference", "forest_table", "from_pymare", "icc_sensitivity", "load", "overlaps", "pool_many",
    "precision_n", "profile_likelihood", "provenance", "published", "read", "report", "reproduce", "response_table",
    "sigma2_interval", "small_study_effects", "tables_from_percentages",
}  # fmt: skip


def told(name, page=PAGE):
    """Whether a name stands in code on the page, alone or as a part of a call."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])[^`\n]*`", page) is not None


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_option_has_its_formula(kind):
    assert [name for name in OPTIONS[kind] if name != "none" and not told(name)] == []


def test_every_function_has_its_formula():
    functions = {name for name in metaan.__all__ if inspect.isfunction(getattr(metaan, name))}
    assert functions >= WITHOUT
    assert sorted(name for name in functions - WITHOUT if not told(name)) == []


def test_anchors_of_the_contents_exist():
    wanted = set(re.findall(r"\]\(#([\w-]+)\)", PAGE))
    assert len(wanted) > 15
    assert wanted <= set(re.findall(r"^\(([\w-]+)\)=$", PAGE, re.M))


def test_what_is_missing_is_seen():
    assert told("hk", "the `hk` test")
    assert not told("hk", "the `hk-adhoc` test, and hk")


def test_every_recipe_is_on_the_pages_for_those_who_come():
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "coming_from").glob("*.md"))
    assert [name for name in metaan.recipes.RECIPES if f'"{name}"' not in pages and f"{name}:" not in pages] == []
