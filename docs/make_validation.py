"""Fill the tables of docs/validation.md from tests/: `python docs/make_validation.py` after a change of the tests."""

import ast
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, TESTS = ROOT / "docs" / "validation.md", ROOT / "tests"
REFERENCE, PUBLISHED = TESTS / "reference", TESTS / "published"

Tolerances = tuple[tuple[str, str], ...]
GRIDS: dict[str, tuple[str, str, Tolerances]] = {  # what it holds; its test; constants or arguments of the test
    "metafor_grid": (
        "pooling: estimators, tests, intervals, prediction, heterogeneity",
        "test_metafor_grid",
        (("GIVEN", "given tau²"), ("END", "end to end")),
    ),
    "pairwise_grid": (
        "effect sizes, meta-regressions, Mantel-Haenszel, Peto",
        "test_pairwise_grid",
        (("CLOSED", "closed forms"), ("LINEAR", "regressions"), ("ITERATED", "where tau² iterates")),
    ),
    "followup_grid": (
        "predictions, contrasts, VIF, subgroups, k = 1,000, conversions",
        "test_followup_grid",
        (("EXACT", "closed forms"), ("REL", "else")),
    ),
    "multilevel_grid": (
        "nested random effects, correlated errors, cluster-robust tests",
        "test_multilevel_grid",
        (("CLOSE", "variances, estimates"), ("LINEAR", "what follows from them")),
    ),
    "glmm_grid": (
        "GLMMs of one arm and of two, moderators, links",
        "test_glmm_grid",
        (("TIGHT", "lme4"), ("METAFOR", "metafor"), ("METAFOR_LAPLACE", "metafor, one node")),
    ),
    "two_arm_grid": ("conditional likelihoods of two arms", "test_two_arm_grid", (("CLOSE", "standard errors"),)),
    "sensitivity_grid": ("leave-one-out, cumulative, influence", "test_sensitivity_grid", (("REL", ""),)),
    "deletion_grid": (
        "the same of tables, regressions, clusters, multilevel models",
        "test_deletion_grid",
        (("EXACT", "tables"), ("REL", "else")),
    ),
    "influence_grid": ("influence and residuals of regressions and others", "test_influence_grid", (("REL", ""),)),
    "bias_grid": (
        "regression and rank tests of asymmetry",
        "test_bias_grid",
        (("CLOSED", "closed forms"), ("ITERATED", "where tau² iterates")),
    ),
    "trimfill_grid": ("trim and fill", "test_trimfill_grid", (("REL", ""),)),
    "published_bias_grid": ("GOSH, fail-safe N, excess significance", "test_published_bias_grid", (("REL", ""),)),
    "selection_grid": ("selection models", "test_selection_grid", (("rel=1e-4", "estimates"),)),
    "location_scale_grid": (
        "location-scale models",
        "test_location_scale_grid",
        (("rel=1e-4", "estimates"), ("abs=1e-8", "log-likelihood")),
    ),
    "permutation_grid": (
        "exact permutation tests",
        "test_permutation_grid",
        (("atol=1e-9", "p-values, in permutations"), ("rtol=1e-6", "statistics")),
    ),
}

CALLED = {"glmm": "binomial-normal", "times": "person-time", "person_time": "person-time", "thousand": "of k = 1,000"}
KEYS = {  # keys of references.bib, where the file has another name
    "hackshaw1997_bias": "copas2000a",
    "hartung_knapp2001": "hartung2001",
    "viechtbauer2007_heterogeneity": "viechtbauer2007a",
    "viechtbauer2007_intervals": "viechtbauer2007",
}


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(x).replace("|", "\\|") for x in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@cache
def content(grid: str) -> dict[str, Any]:
    """What an R script wrote."""
    return dict(json.loads((REFERENCE / f"{grid}.json").read_text(encoding="utf-8")))


def sections(grid: dict[str, Any]) -> str:
    """Names and sizes of the parts of a grid."""
    parts = {k: v for k, v in grid.items() if isinstance(v, dict) and k not in ("versions", "axes", "woods")}
    return ", ".join(f"{len(part):,} {CALLED.get(name, name.replace('_', ' '))}" for name, part in parts.items())


def numbers(of: Any) -> int:
    """How many numbers there are in it."""
    if isinstance(of, dict):
        return sum(map(numbers, of.values()))
    if isinstance(of, list):
        return sum(map(numbers, of))
    return int(isinstance(of, (int, float)) and not isinstance(of, bool))


def constants(source: str) -> dict[str, Any]:
    """Numbers that a test module gives names to."""
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            (target,) = node.targets
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value if isinstance(target, ast.Tuple) else [value]
            found |= {ast.unparse(name): each for name, each in zip(names, values, strict=True)}
    return found


def power(value: float) -> str:
    """A tolerance as it is written."""
    return re.sub(r"e-0?", "e-", f"{value:.0e}")


def tolerance(source: str, name: str) -> str:
    """A tolerance of a test module: a named number, the range of several, or an argument that it uses."""
    if "=" in name:
        if name not in source:
            raise ValueError(f"no test has {name}")
        return name.split("=")[1]
    value = constants(source)[name]
    if isinstance(value, dict):
        return " to ".join(dict.fromkeys(map(power, (min(value.values()), max(value.values())))))
    return power(value)


def grids() -> str:
    """Every grid of reference values: its parts, its numbers, its tolerance."""
    rows = []
    for name, (what, test, tolerances) in GRIDS.items():
        source = (REFERENCE / f"{test}.py").read_text(encoding="utf-8")
        grid = content(name)
        told = "; ".join(f"`{tolerance(source, of)}` {of_what}".strip() for of, of_what in tolerances)
        rows.append([f"`{name}`", what, sections(grid), f"{numbers(grid):,}", told])
    return table(("file", "holds", "entries", "numbers, data included", "tolerance"), rows)


def publications() -> str:
    """Papers whose printed numbers are reproduced, and the tests of each."""
    rows = []
    for path in sorted(PUBLISHED.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests = sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body)
        name = path.stem.removeprefix("test_")
        rows.append([f"`{name}`", f"{{cite:t}}`{KEYS.get(name, name)}`", tests])
    total = sum(row[2] for row in rows)
    return table(("file", "paper", "tests"), [*rows, [f"{len(rows)} files", "", total]])


def counts() -> str:
    """Sentences with the sizes."""
    total = sum(numbers(content(name)) for name in GRIDS)
    cells = content("metafor_grid")["cells"].values()
    fits = sum(len(cell["methods"]) for cell in cells)
    tests = sum(len(fit["tests"]) for cell in cells for fit in cell["methods"].values())
    papers = len(list(PUBLISHED.glob("test_*.py")))
    return (
        f"{total:,} numbers, data included, in {len(GRIDS)} files. Pooling alone: {len(cells)} sets of effects, "
        f"{fits:,} fits,\n{tests:,} tests with their intervals. {papers} papers, from their printed pages."
    )


MAKERS = {"counts": counts, "grids": grids, "publications": publications}


def filled(page: str) -> str:
    """The page with every table made anew."""
    for name, maker in MAKERS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for {name}")
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{maker()}\n{end}{rest.split(end, 1)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
