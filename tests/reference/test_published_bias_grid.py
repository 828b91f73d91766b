"""gosh, failsafe_n and excess_significance against metafor 3.8-1: 12 data sets, tolerance 1e-6.

A number near 0 counts in its natural unit. What metafor finds by a search or an integral of its own is compared in the
steps that the tests name.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.grid import differs, values
from scipy.special import ndtr

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "published_bias_grid.json").read_text())
CELLS = GRID["cells"]
OURS = {"binom": "binomial", "two.sided": "two-sided"}
AXES = ("methods", "tests", "directions", "alternatives")
METHODS, TESTS, DIRECTIONS, ALTERNATIVES = (GRID["axes"][name] for name in AXES)
REL = 1e-6
MOST = 8
FSN = {
    "rosenthal": {"kind": "rosenthal"}, "rosenberg": {"kind": "rosenberg"},
    "rosenthal_01": {"kind": "rosenthal", "alpha": 0.01}, "rosenberg_01": {"kind": "rosenberg", "alpha": 0.01},
    "orwin": {"kind": "orwin"}, "orwin_half": {"kind": "orwin"}, "orwin_weighted": {"kind": "orwin", "weighted": True},
}  # fmt: skip


def fit(cell, method, k=None):
    return metaan.pool(metaan.effects(cell["yi"][:k], cell["vi"][:k]), method=method, test="z", pi="none")


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert len(CELLS) == 12
    assert METHODS == ["REML", "DL", "CE"]
    assert TESTS == ["exact", "binom", "chi2"]
    assert len(DIRECTIONS) == len(ALTERNATIVES) == 3
    for cell in CELLS.values():
        n = 2 ** min(MOST, len(cell["yi"])) - 1
        for method in METHODS:
            assert {len(column) for column in cell["gosh"][method].values()} == {n}
        assert set(cell["fsn"]) == set(FSN)
        for where in itertools.product(ALTERNATIVES, TESTS, DIRECTIONS):
            theirs = cell["tes"][where[0]][where[1]][where[2]]
            assert None not in (theirs["O"], theirs["E"], theirs["pvalue"], *theirs.get("power", ()))
            assert ("power" in theirs) == (where[2] == "greater")
            assert len(theirs["theta_lim"]) == (2 if where[2] == "two.sided" else 1)


@pytest.mark.parametrize(("name", "method"), list(itertools.product(CELLS, METHODS)))
def test_every_subset_as_metafor(name, method):
    cell = CELLS[name]
    res = fit(cell, method, MOST)
    made, theirs = metaan.gosh(res), cell["gosh"][method]
    np.testing.assert_array_equal(made.included @ (1 << np.arange(res.k)), np.arange(1, made.n + 1))
    unit = res.k / float(np.sum(1 / res.effects.vi))
    floors = {"estimate": math.sqrt(unit), "tau2": unit, "I2": 100.0, "Q": 1.0, "H2": 1.0}
    for column, expected in theirs.items():
        expected = values(expected)
        ours = np.array(getattr(made, column))
        if column == "H2":  # metafor puts H2 of one study at 0 or 1; where Q is 0 both are 0
            ours, expected = ours[made.k > 1], expected[made.k > 1]
        np.testing.assert_allclose(ours, expected, rtol=REL, atol=REL * floors[column], err_msg=column)
    np.testing.assert_allclose(made.Q, values(cell["gosh"]["CE"]["Q"]), rtol=REL, atol=REL)


@pytest.mark.parametrize(("name", "how"), list(itertools.product(CELLS, FSN)))
def test_failsafe_n_as_metafor(name, how):
    cell = CELLS[name]
    theirs = cell["fsn"][how]
    more = {"target": cell["small"]} if how in ("orwin", "orwin_weighted") else {}
    made = metaan.failsafe_n(fit(cell, "CE"), **FSN[how], **more)
    assert made.n == theirs["n"]
    for ours, name_of_theirs in ((made.pvalue, "pvalue"), (made.estimate, "mean"), (made.target, "target")):
        assert not differs(ours, theirs[name_of_theirs], rel=REL)


@pytest.mark.parametrize(("name", "alternative", "test"), list(itertools.product(CELLS, ALTERNATIVES, TESTS)))
def test_excess_significance_as_metafor(name, alternative, test):
    cell = CELLS[name]
    res = fit(cell, "CE", MOST if test == "exact" else None)
    how = {"alternative": OURS.get(alternative, alternative), "test": OURS.get(test, test)}
    for direction in DIRECTIONS:
        theirs = cell["tes"][alternative][test][direction]
        made = metaan.excess_significance(res, direction=OURS.get(direction, direction), **how)
        assert made.values["O"] == theirs["O"]
        for ours, column in ((made.values["E"], "E"), (made.pvalue, "pvalue"), (made.values["theta"], "theta")):
            assert not differs(ours, theirs[column], rel=REL)
        if "power" in theirs:
            np.testing.assert_allclose(made.power, values(theirs["power"]), rtol=REL)


@pytest.mark.parametrize(("name", "test"), list(itertools.product(CELLS, TESTS)))
def test_limit_estimates_as_metafor(name, test):
    """Within the tolerance of R's uniroot, 1.2e-4, at which metafor stops; ours give the level to 1e-8.

    One-sided tests of studies are left out where theta lies on the other side: metafor seeks the limit there.
    """
    cell = CELLS[name]
    res = fit(cell, "CE", MOST if test == "exact" else None)
    seen = 0
    for alternative, direction in itertools.product(ALTERNATIVES, DIRECTIONS):
        theta = float(res.estimate)
        if (alternative == "greater" and theta < 0) or (alternative == "less" and theta > 0):
            continue
        how = {"alternative": OURS.get(alternative, alternative), "test": OURS.get(test, test)}
        made = metaan.excess_significance(res, direction=OURS.get(direction, direction), **how).values
        names = ["theta_lim", "theta_lim_far"] if direction == "two.sided" else ["theta_lim"]
        for place, theirs in zip(names, cell["tes"][alternative][test][direction]["theta_lim"], strict=True):
            side = direction if direction != "two.sided" else "greater" if place == "theta_lim" else "less"
            assert not differs(made[place], theirs, rel=0, floor=1.3e-4), (alternative, direction, place)
            if math.isfinite(made[place]):
                level = 0.05 if direction == "two.sided" else 0.10
                there = metaan.excess_significance(res, direction=side, theta=made[place], **how)
                assert there.pvalue == pytest.approx(level, rel=1e-8)
                seen += 1
    assert seen


@pytest.mark.parametrize("name", CELLS)
def test_power_over_varying_effects(name):
    """metafor integrates from theta - 5 tau to theta + 5 tau: 5.7e-7 of the distribution are missing there."""
    cell = CELLS[name]
    theirs, missing = cell["tes_dl"], 2 * float(ndtr(-5))
    res = fit(cell, "DL")
    assert not differs(res.tau2, cell["dl"], rel=1e-10)
    made = metaan.excess_significance(res, theta=theirs["theta"], test="chi2")
    lost = made.power - values(theirs["power"])
    most = missing if cell["dl"] > 0 else 0.0
    assert (lost > -1e-8).all()
    assert (lost < most + 1e-8).all()
    assert made.pvalue == pytest.approx(theirs["pvalue"], rel=1e-4), "powers that differ by 5.7e-7 each"
