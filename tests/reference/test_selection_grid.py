"""Selection models against metafor 3.8-1: 14 data sets, six weight functions, known weights, moderators, precision.

metafor maximises by BFGS with adaptive quadrature of moderate tolerance, so the two programs are compared in two steps.
First the likelihood: its value at metafor's own estimates, to 1e-8 for step functions and to the error of metafor's
integrals for the others. Then the maximum: ours is never lower at metafor's estimates, and where metafor comes within
1e-7 of it the estimates agree to 1e-4. Where it does not, it stopped short of a bound, early, or at another maximum:
these cells are listed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.core.selection import Rule, evaluate, problem_of
from metaan.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "selection_grid.json").read_text())
CELLS = [(name, key) for name, cell in GRID["cells"].items() for key in cell["fits"]]
FITTED = [(name, key) for name, key in CELLS if "error" not in GRID["cells"][name]["fits"][key]]

NO_STUDIES = {("hine1989", "step"), ("hine1989", "CE")}
"""No p-value below 0.025: the likelihood rises with delta, which metafor holds at 100."""
ROUGH_INTEGRALS = {
    *(("baskerville2012", f"{kind}_alpha") for kind in ("halfnorm", "negexp", "logistic", "power")),
    *(("hine1989", kind) for kind in ("beta", "power")),
}
"""Integrals over a weight function that jumps, or far from the mean: metafor's log-likelihood is 0.008 to 0.4 off."""
NEAR_BOUND = {
    "baskerville2012": ("beta",), "raudenbush1985": ("step", "step2", "moderator"),
    "hahn2001": ("step", "beta", "halfnorm", "negexp", "logistic", "power"),
    "collins1985b": ("halfnorm", "negexp", "logistic"), "li2007": ("step2",), "molloy2014": ("negexp",),
    "hart1999": ("step", "halfnorm", "negexp"), "hine1989": ("logistic",), "nielweise2007": ("power",),
}  # fmt: skip
"""tau2 or delta is 0 at the maximum; metafor stops at a small positive one, up to 5e-4 below in log-likelihood."""
LOWER = {
    "hackshaw1998": ("halfnorm",),
    "baskerville2012": ("halfnorm_alpha", "negexp_alpha", "logistic_alpha", "power_alpha"),
    "bcg": ("negexp",), "raudenbush1985": ("beta",), "collins1985b": ("beta", "power"), "li2007": ("step", "beta"),
    "molloy2014": ("halfnorm", "logistic"), "hine1989": ("beta", "halfnorm", "negexp", "power"),
    "nielweise2007": ("beta", "halfnorm", "negexp"), "normand1999": ("beta", "negexp", "logistic"),
    "linde2005": ("beta",), "bangertdrowns2004": ("beta",),
}  # fmt: skip
"""metafor ends on the way, at the maximum of its own inaccurate integrals, or at another, lower maximum."""


def options(key):
    kind = key.split("_")[0]
    chosen = {"kind": kind}
    if kind in ("step", "CE", "moderator"):
        chosen = {"kind": "step", "steps": 0.025}
    elif kind == "step2":
        chosen = {"kind": "step", "steps": [0.025, 0.5]}
    elif kind in ("moderate", "severe"):
        chosen = {"kind": "step", "steps": GRID["woods"]["steps"], "weights": GRID["woods"][kind]}
    if key == "CE":
        chosen["method"] = "CE"
    if key == "moderator":
        chosen["formula"] = "~ x"
    if key.endswith("_sei"):
        chosen["prec"] = "sei"
    if key.endswith("_alpha"):
        chosen["steps"] = 0.025
    return chosen


def ours(name, key):
    cell = GRID["cells"][name]
    eff = metaan.effects(cell["yi"], cell["vi"], data=pd.DataFrame({"x": cell.get("x", cell["yi"])}))
    return metaan.selection_model(eff, alternative=cell["alternative"].replace(".", "-"), **options(key))


def at_theirs(name, key):
    """Our log-likelihood at metafor's estimates."""
    cell, chosen = GRID["cells"][name], options(key)
    ref = cell["fits"][key]
    sides = 2 if cell["alternative"] == "two.sided" else 1
    steps = np.atleast_1d(chosen.get("steps", []))
    rule = Rule(chosen["kind"], sides, steps[steps < 1])
    y, v = np.array(cell["yi"]), np.array(cell["vi"])
    x = np.column_stack([np.ones(y.size), cell["x"]]) if key == "moderator" else np.ones((y.size, 1))
    prec = np.sqrt(v / v.max()) if "prec" in chosen else None
    sign = -1.0 if cell["alternative"] == "less" else 1.0
    problem = problem_of(y, v, x, rule, sign=sign, precision=prec, nodes=512)
    delta = np.array(ref["delta"], dtype=float)
    point = np.array(ref["estimate"])[None], np.array([ref["tau2"]], dtype=float), delta[None]
    return float(evaluate(problem, *point).loglik[0])


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert GRID["kinds"] == ["step", "step2", "beta", "halfnorm", "negexp", "logistic", "power"]
    assert len(GRID["cells"]) == 14
    for cell in GRID["cells"].values():
        assert {*GRID["kinds"], "CE", "moderate", "severe"} <= set(cell["fits"])
        assert ("moderator" in cell["fits"]) == ("x" in cell)
    assert len(CELLS) == 153
    assert len(FITTED) == 144


STOPPED = [(name, key) for name, key in CELLS if "convergence" in GRID["cells"][name]["fits"][key].get("error", "")]
"""metafor's optimiser stops under each of the script's three controls."""


@pytest.mark.parametrize(("name", "key"), STOPPED)
def test_answers_where_metafor_stops(name, key):
    sel = ours(name, key)
    assert np.isfinite([sel.estimate, sel.tau2, sel.loglik]).all()
    assert sel.loglik >= ours(name, "CE").loglik - 1e-9 if "step" in key else sel.LRT >= 0


@pytest.mark.parametrize(("name", "key"), sorted(set(CELLS) - set(FITTED) - set(STOPPED) | NO_STUDIES))
def test_an_interval_without_studies(name, key):
    """metafor stops too, but where it is the first interval it fits, and holds delta at 100."""
    with pytest.raises(DataError, match="No study has a p-value in"):
        ours(name, key)
    reference = GRID["cells"][name]["fits"][key]
    assert "do not contain" in reference["error"] if "error" in reference else reference["delta"][0] > 99.9


@pytest.mark.parametrize(("name", "key"), [cell for cell in FITTED if cell not in NO_STUDIES])
def test_against_metafor(name, key):
    sel, reference = ours(name, key), GRID["cells"][name]["fits"][key]
    value = at_theirs(name, key)
    closed = options(key)["kind"] == "step"
    if (name, key) not in ROUGH_INTEGRALS:
        assert value == pytest.approx(reference["loglik"], abs=1e-10 if closed else 1e-3)
    gap = sel.loglik - value
    assert gap >= -1e-9
    theirs = np.array(reference["estimate"])
    if key in NEAR_BOUND.get(name, ()):
        assert 1e-7 < gap < 5e-4
        assert sel.tau2 == 0 or "delta-bound" in {note.code for note in sel.notes}
        assert (np.abs(np.atleast_1d(sel.estimate) - theirs) < 2.5e-3 * np.atleast_1d(sel.se)).all()
        return
    assert (gap > 1e-7) == (key in LOWER.get(name, ()))
    if gap > 1e-7:
        return
    assert np.atleast_1d(sel.estimate) == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    unit = sel.tau2 + np.mean(GRID["cells"][name]["vi"])
    assert sel.tau2 == pytest.approx(reference["tau2"], abs=1e-4 * unit)
    assert (np.abs(sel.delta - np.array(reference["delta"])) <= 1e-4 + 1e-3 * np.nan_to_num(sel.delta_se)).all()
    if closed:
        assert np.atleast_1d(sel.se) == pytest.approx(np.array(reference["se"], dtype=float), rel=5e-4)
        lrt = reference["LRT"]
        assert pytest.approx(np.nan if key in ("moderate", "severe") else lrt, abs=1e-6, nan_ok=True) == sel.LRT
