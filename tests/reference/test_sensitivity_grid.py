"""leave_one_out, cumulative and influence against metafor 3.8-1: 17 data sets x 5 estimators x 2 tests.

Tolerance 1e-7, where tau2 iterates to 1e-13 typical variances or less tightly (`control` in the file); a number near 0
counts in its natural unit. README.md in this folder says where metafor differs.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.grid import values

import metaan
from metaan.core.maximum import log_likelihood
from metaan.core.wls import arrange

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "sensitivity_grid.json").read_text())
METHODS, TESTS = GRID["axes"]["methods"], GRID["axes"]["tests"]
CELLS = list(itertools.product(GRID["cells"], METHODS, TESTS))
TABLE = {
    "estimate": "estimate", "se": "se", "zval": "statistic", "pval": "pvalue", "ci.lb": "ci_low", "ci.ub": "ci_high",
    "Q": "Q", "Qp": "Q_pvalue", "tau2": "tau2", "I2": "I2", "H2": "H2",
}  # fmt: skip
DIAGNOSTICS = {
    "rstudent": "rstudent", "dffits": "dffits", "cook.d": "cooks_d", "cov.r": "cov_ratio", "tau2.del": "tau2_del",
    "QE.del": "q_del", "hat": "hat", "weight": "weight", "dfbs": "dfbetas",
}  # fmt: skip
REL = 1e-7


def fit(name, method, test):
    cell = GRID["cells"][name]
    res = metaan.pool(metaan.effects(cell["yi"], cell["vi"]), method=method, test=test, pi="none")
    unit = {"tau2": np.mean(cell["vi"]), "tau2_del": np.mean(cell["vi"]), "I2": 100.0, "H2": 1.0, "weight": 100.0}
    return cell, res, unit | dict.fromkeys(("estimate", "ci_low", "ci_high"), res.se)


def compare(ours, theirs, columns, unit, skip=()):
    """Rows and columns that differ; `skip` are rows."""
    bad = []
    for name, column in columns.items():
        if not theirs[name]:
            continue  # tau2 of the common-effect model, which metafor leaves out
        reference = values(theirs[name])
        got = ours[column].to_numpy(dtype=float)
        floor = REL * unit.get(column, 1.0)
        for i, (a, b) in enumerate(zip(got, reference, strict=True)):
            close = abs(a - b) <= REL * abs(b) + floor or (math.isnan(a) and math.isnan(b))
            if i not in skip and not close:
                bad.append((i, column, a, b))
    return bad


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert METHODS == ["REML", "DL", "ML", "PM", "CE"]
    assert TESTS == ["z", "hk"]
    assert len(GRID["cells"]) == 17
    for cell in GRID["cells"].values():
        for method, test in itertools.product(METHODS, TESTS):
            made = cell["methods"][method][test]
            k = len(cell["yi"])
            assert {"leave1out", "cumul", "influence", "z"} <= set(made)
            assert all(len(made["leave1out"][name]) == k for name in TABLE if name != "tau2")
            assert all(len(made["influence"][name]) == k for name in DIAGNOSTICS)


@pytest.mark.parametrize(("name", "method", "test"), CELLS)
def test_leave_one_out(name, method, test):
    cell, res, unit = fit(name, method, test)
    assert not compare(metaan.leave_one_out(res), cell["methods"][method][test]["leave1out"], TABLE, unit)


LOWER = {("bcg", "ML"): (5,)}
"""Rows of cumul where metafor ends in the lower of two maxima."""


@pytest.mark.parametrize(("name", "method", "test"), CELLS)
def test_cumulative(name, method, test):
    cell, res, unit = fit(name, method, test)
    table = metaan.cumulative(res, cell.get("order"))
    assert not compare(table, cell["methods"][method][test]["cumul"], TABLE, unit, LOWER.get((name, method), ()))


def test_the_higher_of_two_maxima():
    cell, (row,) = GRID["cells"]["bcg"], LOWER["bcg", "ML"]
    theirs = cell["methods"]["ML"]["z"]["cumul"]["tau2"][row]
    so_far = np.argsort(cell["order"], kind="stable")[: row + 1]
    data = arrange(np.array(cell["yi"])[so_far][None], np.array(cell["vi"])[so_far][None])
    _, res, _ = fit("bcg", "ML", "z")
    ours = metaan.cumulative(res, cell["order"]).tau2[row]
    high, low = (float(log_likelihood(data, np.array([t]), restricted=False)[0]) for t in (ours, theirs))
    assert high > low + 0.1


@pytest.mark.parametrize(("name", "method", "test"), CELLS)
def test_influence(name, method, test):
    cell, res, unit = fit(name, method, test)
    table, theirs = metaan.influence(res), cell["methods"][method][test]
    assert not compare(table, theirs["influence"], DIAGNOSTICS, unit)
    assert not compare(table, {"z": theirs["z"]}, {"z": "rstudent"}, unit)
    assert list(table.influential) == list(theirs["influence"]["influential"])
