"""permutation_test against metafor 3.8-1: exact tests of 13 data sets, pooled, on one moderator and on two.

The p-values must be metafor's to the last permutation; statistics, and the mean squares of those of all permutations,
agree to 1e-6, where metafor's Fisher scoring stops at 1e-12 of the data's spread.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "permutation_grid.json").read_text())
CASES = {"REML_z": ("REML", "z"), "REML_hk": ("REML", "hk"), "DL_z": ("DL", "z"), "DL_hk": ("DL", "hk")}
REGRESSIONS = [
    (name, part, case) for name, cell in GRID["cells"].items() for part in ("one", "both") for case in cell[part] or {}
]
LIMITS = [(name, case) for name, cell in GRID["cells"].items() for case in cell.get("limits", {})]


def effects(cell):
    columns = {f"x{j}": column for j, column in enumerate(cell["X"])}
    return metaan.effects("yi", "vi", data=pd.DataFrame({"yi": cell["yi"], "vi": cell["vi"]} | columns))


def same(found, made):
    assert found.exact
    assert made["missing"] == 0
    np.testing.assert_allclose(
        found.pvalue * found.permutations, np.array(made["pvalue"]) * found.permutations, atol=1e-9
    )
    np.testing.assert_allclose(found.statistic, made["statistic"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose((found.statistics**2).mean(axis=0), made["square"], rtol=1e-6)


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert len(GRID["cells"]) == 13
    for name, cell in GRID["cells"].items():
        assert set(cell["mean"]) == set(CASES)
        assert all(made["permutations"] == 2 ** len(cell["yi"]) for made in cell["mean"].values())
        assert bool(cell["one"]) == (name != "normand1999")
        assert not cell["one"] or set(cell["one"]) == {"REML_z", "DL_hk"}
    assert len(REGRESSIONS) == 28
    assert len(LIMITS) == 2


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", GRID["cells"])
def test_pooled_effect(name, case):
    cell = GRID["cells"][name]
    method, test = CASES[case]
    res = metaan.pool(metaan.effects(cell["yi"], cell["vi"]), method=method, test=test)
    found = metaan.permutation_test(res, exact=True)
    assert found.permutations == cell["mean"][case]["permutations"]
    same(found, cell["mean"][case])


@pytest.mark.parametrize(("name", "part", "case"), REGRESSIONS)
def test_moderators(name, part, case):
    cell = GRID["cells"][name]
    made = cell[part][case]
    method, test = CASES[case]
    formula = "~ x0" if part == "one" else "~ x0 + x1"
    found = metaan.permutation_test(metaan.regress(effects(cell), formula, method=method, test=test), exact=True)
    assert found.permutations == made["permutations"]
    same(found, made)
    np.testing.assert_allclose(found.QM, made["QM"], rtol=1e-6)
    assert found.QM_pvalue * found.permutations == pytest.approx(made["QMp"] * found.permutations, abs=1e-9)
    assert found.QM_statistics.mean() == pytest.approx(made["QM_mean"], rel=1e-6)


@pytest.mark.parametrize(("name", "case"), LIMITS)
def test_limits_of_a_pooled_effect(name, case):
    cell = GRID["cells"][name]
    method, test = CASES[case]
    res = metaan.pool(metaan.effects(cell["yi"], cell["vi"]), method=method, test=test)
    found = metaan.permutation_test(res, exact=True, interval=True)
    np.testing.assert_allclose((found.ci_low, found.ci_high), tuple(cell["limits"][case].values()), atol=1e-6)
