"""Conditional models of two arms against metafor's rma.glmm 3.8-1: every cell of two_arm_grid.json.

metafor searches with the default tolerance of its optimiser, so that agreement is to 1e-4 of a standard error; ours
must be the higher likelihood. README.md in this folder says which cells are exceptions and why.
"""

from __future__ import annotations

import pytest
from helpers.grid import conditional, differs, values

import metaan

CELLS = [
    (name, model) for name, case in conditional()["cases"].items() for model in ("CM.EL", "CM.AL") if model in case
]
CLOSE = 1e-4
FINITE = 3e-4  # metafor takes the standard error from finite differences


def fitted(case, **options):
    columns = {column: values(of) for column, of in case["columns"].items()}
    return metaan.glmm(case["measure"], **columns, test="z", **options)


@pytest.mark.parametrize(("name", "model"), CELLS)
def test_estimate_and_tau2(name, model):
    case = conditional()["cases"][name]
    ours, theirs = fitted(case, model=model), case[model]
    assert ours.k == theirs["k"]
    exact = model == "CM.EL" and case["measure"] == "OR"
    if exact:  # the others print a conditional value, see README.md
        assert ours.loglik >= theirs["loglik"] - 1e-8
    if exact and ours.tau2 == 0:  # metafor ends at tau2 near 1e-4 with a standard error of 4e-7 there
        assert theirs["se"] < 1e-6
        assert not differs(ours.loglik, theirs["loglik"], rel=0, floor=0.003)
        return
    assert abs(ours.estimate - theirs["estimate"]) <= CLOSE * ours.se
    assert not differs(ours.se, theirs["se"], rel=FINITE)
    assert not differs(ours.tau2, theirs["tau2"], rel=2 * CLOSE)


@pytest.mark.parametrize("name", [name for name, case in conditional()["cases"].items() if "common" in case])
def test_common_effect(name):
    """tau2 = 0: the likelihood of the common odds ratio."""
    case = conditional()["cases"][name]
    ours, theirs = fitted(case), case["common"]
    assert not differs(ours.loglik_common, theirs["loglik"], rel=1e-8)
    if ours.tau2 == 0:
        assert abs(ours.estimate - theirs["estimate"]) <= CLOSE * ours.se
        assert not differs(ours.se, theirs["se"], rel=FINITE)


def test_the_grid_has_both_models_and_measures():
    cases = conditional()["cases"].values()
    assert sum(case["measure"] == "OR" for case in cases) >= 9
    assert sum(case["measure"] == "IRR" for case in cases) >= 2
    assert sum("CM.AL" in case for case in cases) >= 9
