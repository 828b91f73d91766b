"""trim_and_fill against metafor 3.8-1: 14 data sets x 4 estimators of tau2 x 3 of the missing studies x both sides.

Tolerance 1e-6; a number near 0 counts in its natural unit.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.grid import differs, values

import metaan
from metaan.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "trimfill_grid.json").read_text())
METHODS, ESTIMATORS, SIDES = (GRID["axes"][name] for name in ("methods", "estimators", "sides"))
CELLS = list(itertools.product(GRID["cells"], METHODS, ESTIMATORS))
REL = 1e-6
UNDEFINED = {("pritz1997", method, "Q0", "left") for method in METHODS}
"""Where 2 k^2 - 4 S + 1/4 is negative and metafor stops with an error of R."""


def fit(name, method):
    cell = GRID["cells"][name]
    test = "z" if method == "CE" else "hk"
    return metaan.pool(metaan.effects(cell["yi"], cell["vi"]), method=method, test=test, pi="none")


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert METHODS == ["REML", "DL", "PM", "CE"]
    assert ESTIMATORS == ["L0", "R0", "Q0"]
    assert SIDES == ["left", "right"]
    assert len(GRID["cells"]) == 14
    lacking = set()
    for name, method, estimator in CELLS:
        for side in SIDES:
            theirs = GRID["cells"][name]["methods"][method][estimator][side]
            if "error" in theirs:
                lacking.add((name, method, estimator, side))
            else:
                assert theirs["side"] == side
                assert len(theirs["yi"]) == len(theirs["vi"]) == theirs["k0"]
    assert lacking == UNDEFINED


@pytest.mark.parametrize(("name", "method", "estimator"), CELLS)
def test_as_metafor(name, method, estimator):
    res = fit(name, method)
    for side in SIDES:
        theirs = GRID["cells"][name]["methods"][method][estimator][side]
        if (name, method, estimator, side) in UNDEFINED:
            with pytest.raises(DataError, match="Q0 does not exist"):
                metaan.trim_and_fill(res, side=side, estimator=estimator)
            continue
        made = metaan.trim_and_fill(res, side=side, estimator=estimator)
        assert made.k0 == theirs["k0"]
        assert not differs(made.se_k0, theirs["se_k0"], rel=REL)
        assert not differs(made.pvalue, theirs["p_k0"], rel=REL)
        unit = float(np.mean(res.effects.vi))
        floors = {
            "estimate": made.pooled.se,
            "tau2": unit,
            "ci_low": made.pooled.se,
            "ci_high": made.pooled.se,
            "Q": 1.0,
        }
        for column in ("estimate", "se", "tau2", "ci_low", "ci_high", "Q"):
            floor = REL * floors.get(column, 0.0)
            assert not differs(getattr(made.pooled, column), theirs[column], rel=REL, floor=floor), (side, column)
        # metafor's order is that of the effects, ours that of the studies
        yi, vi = values(theirs["yi"]), values(theirs["vi"])
        filled, order = made.filled.sort_values(["vi", "yi"]), np.lexsort((yi, vi))
        np.testing.assert_allclose(filled.yi, yi[order], rtol=REL, atol=REL * math.sqrt(unit))
        np.testing.assert_allclose(filled.vi, vi[order], rtol=1e-12)


@pytest.mark.parametrize(("name", "method"), list(itertools.product(GRID["cells"], METHODS)))
def test_the_side_as_metafor(name, method):
    theirs = GRID["cells"][name]["methods"][method]["L0"]["default"]
    assert metaan.trim_and_fill(fit(name, method)).side == theirs
