"""Generalised linear mixed models against metafor's rma.glmm 3.8-1 and lme4's glmer at tight control: glmm_grid.json.

README.md in this folder says where the programs differ, and who is right. Conditional models of nine of the sets, and
the log-likelihoods of the conditional models, are in test_two_arm_grid.py.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.brute import one_arm_laplace, one_arm_loglik, um_fs_profile
from helpers.grid import differs, values
from helpers.witness import derivatives

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "glmm_grid.json").read_text())
CASES, LINKS = GRID["cases"], GRID["links"]
OPTIONS = set(inspect.signature(metaan.glmm).parameters)


def options_of(key):
    """What a fit's name says: metafor_7, lme4_25, CM.EL, CM.AL_7, UM.FS_7_coding1, lme4_UM.RS_1_cor ..."""
    options = {}
    if model := re.search(r"(CM\.EL|CM\.AL|UM\.FS|UM\.RS)", key):
        options["model"] = model.group()
    if nodes := re.search(r"_(\d+)", key):
        options["nodes"] = int(nodes.group(1))
    if coding := re.search(r"coding(\d)", key):
        options["coding"] = int(coding.group(1))
    if key.endswith("_cor"):
        options["cor"] = True
    return options


def offered(name, key):
    """Whether glmm has the fit: all but risk ratios and differences with random study effects, codings, correlation."""
    model = options_of(key).get("model")
    return options_of(key).keys() <= OPTIONS and not (CASES[name]["measure"] in ("RR", "RD") and model == "UM.RS")


ALL = [(name, key) for name, case in CASES.items() for key in case["fits"] if offered(name, key)]
FITS = [(name, key) for name, key in ALL if "stopped" not in CASES[name]["fits"][key]]
STOPPED = [(name, key) for name, key in ALL if (name, key) not in FITS]
# rma.glmm and _drop00 leave out studies without events, or without non-events, in both arms, as we do.
SHARP = [
    (name, key)
    for name, key in FITS
    if key.startswith("lme4")
    and f"{key}_drop00" not in CASES[name]["fits"]
    and not ("_1" in key and CASES[name]["fits"][key]["tolPwrss"] > 1e-13)
]
# CM.EL with tau2 = 0: rma.glmm takes its Hessian at the bound, where the standard error is 1e-6; see README.md.
AT_THE_BOUND = [(name, "CM.EL") for name in ("hine1989/OR", "hahn2001/OR", "lau1992/OR")]
LOWER = [("damico2009/RR", "UM.FS_7")]  # a likelihood 0.001 below the maximum, with a warning of its Hessian
REFUSED = [("bcg/RD", "UM.FS_7")]  # true risks below 0 with a probability that matters
BY_METAFOR = [cell for cell in FITS if not cell[1].startswith("lme4") and cell not in (*AT_THE_BOUND, *LOWER, *REFUSED)]
# lme4 finds the maximum by bobyqa to a trust region of 1e-10 and stops each inner iteration at tolPwrss; its standard
# error comes from a Hessian by finite differences, noisy where tolPwrss had to be loosened to 1e-10. Brute force finds
# maxima up to 1.3e-6 (1e-13) and 2.2e-5 (1e-10) standard errors away, with a moderator.
TIGHT = {1e-13: 2e-6, 1e-10: 5e-5}
FIXED = 1e-5  # UM.FS, a search over as many numbers as studies
TIGHT_SE = {1e-13: 1e-5, 1e-10: 1e-3}
# One node: the determinant in Laplace's approximation feels the end of the inner iterations to first order. With
# tolPwrss 1e-10 lme4 is up to 3e-4 standard errors off its maximum: such cells are held against that maximum instead.
LAPLACE = 1e-5
LAPLACE_SE = 1e-3
METAFOR = {"close": 1e-4, "se": 3e-4, "tau2": 2e-4}  # what metafor's default optimiser leaves
METAFOR_LAPLACE = {"close": 1e-2, "se": 2e-2, "tau2": 5e-3}  # and with one node, where it stops at tolPwrss 1e-7
# UM.FS: one search over as many numbers as there are studies. lme4 at tight control is with ours, to 1e-6.
METAFOR_FIXED = {"close": 3e-4, "se": 3e-4, "tau2": 4e-4}
METAFOR_EXACT = {"close": 1e-4, "se": 6e-3, "tau2": 2e-4}  # CM.EL, laopaiboon2015: brute force has ours, 0.3234522
METAFOR_UNCONVERGED = {"close": 3e-3, "se": 2e-3, "tau2": 4e-3}  # where it warns of its gradient


@cache
def fitted(name, **options):
    """Our fit of a case."""
    case = CASES[name]
    columns = {column: values(of) for column, of in case["columns"].items()}
    if "mods" in case:
        frame = pd.DataFrame({**columns, **{mod: values(of) for mod, of in case["mods"].items()}})
        return metaan.glmm(
            case["measure"],
            frame,
            formula="~ " + " + ".join(case["mods"]),
            **{c: c for c in columns},
            test="z",
            **options,
        )
    return metaan.glmm(case["measure"], **columns, test="z", **options)


def compare(res, reference, *, close, se, tau2):
    """Estimates in standard errors, the others relative; a tau2 below 1e-6 is 0."""
    for ours, theirs, unit in zip(np.atleast_1d(res.estimate), reference["estimate"], reference["se"], strict=True):
        assert abs(ours - theirs) <= close * unit
    for ours, theirs in zip(np.atleast_1d(res.se), reference["se"], strict=True):
        assert not differs(ours, theirs, rel=se)
    assert not differs(res.tau2, reference["tau2"], rel=tau2, floor=1e-6)
    if reference.get("sigma2") is not None:
        assert not differs(res.sigma2, reference["sigma2"], rel=tau2, floor=1e-6)


@pytest.mark.parametrize(("name", "key"), SHARP)
def test_lme4_at_tight_control(name, key):
    reference = CASES[name]["fits"][key]
    loose, options = reference["tolPwrss"], options_of(key)
    close, se = (LAPLACE, LAPLACE_SE) if options["nodes"] == 1 else (TIGHT[loose], TIGHT_SE[loose])
    if options.get("model") == "UM.FS":
        close = max(close, FIXED)
    compare(fitted(name, **options), reference, close=close, se=se, tau2=close)


@pytest.mark.parametrize(
    "name", [name for name, key in FITS if key == "lme4_1" and name.endswith("/PLO") and "mods" not in CASES[name]]
)
def test_one_node_is_the_maximum_of_laplace_s_approximation(name):
    case = CASES[name]
    x, n = values(case["columns"]["events"]), values(case["columns"]["total"])
    res = fitted(name, nodes=1)
    if res.tau2 == 0:
        return
    f = lambda mu, tau: one_arm_laplace(x, n, mu, tau)  # noqa: E731
    gradient, hessian = derivatives(f, (res.estimate, res.tau), (1e-2 * res.se, 1e-2 * res.tau))
    assert np.abs(np.linalg.solve(hessian, gradient)).max() <= 1e-5 * res.se
    fit = case["fits"]["lme4_1"]
    if fit["tolPwrss"] == 1e-13:
        assert fit["loglik"] == pytest.approx(f(fit["estimate"][0], math.sqrt(fit["tau2"])), abs=1e-6)


@pytest.mark.parametrize(("name", "key"), BY_METAFOR)
def test_metafor(name, key):
    reference, options = CASES[name]["fits"][key], options_of(key)
    slack = METAFOR
    if options.get("nodes") == 1:
        slack = METAFOR_LAPLACE
    elif key == "CM.EL":
        slack = METAFOR_EXACT
    elif options.get("model") == "UM.FS":
        warned = any("max|grad|" in text for text in reference.get("warnings", []))
        slack = METAFOR_UNCONVERGED if warned else METAFOR_FIXED
    compare(fitted(name, **options), reference, **slack)


@pytest.mark.parametrize(("name", "key"), LOWER)
def test_where_metafor_stops_below_the_maximum(name, key):
    case = CASES[name]
    counts, fit, res = [values(of) for of in case["columns"].values()], case["fits"][key], fitted(name, model="UM.FS")
    theirs = um_fs_profile(*counts, fit["estimate"][0], math.sqrt(fit["tau2"]), link="log")
    assert res.loglik == pytest.approx(um_fs_profile(*counts, res.estimate, res.tau, link="log"), abs=1e-7)
    assert res.loglik > theirs + 1e-3


@pytest.mark.parametrize(("name", "key"), REFUSED)
def test_where_a_difference_has_no_likelihood(name, key):
    with pytest.raises(metaan.errors.ConvergenceError, match="beyond 0 or 1"):
        fitted(name, **options_of(key))


@pytest.mark.parametrize(("name", "key"), AT_THE_BOUND)
def test_standard_errors_at_the_bound(name, key):
    reference, res = CASES[name]["fits"][key], fitted(name, model=key)
    assert res.tau2 == 0
    assert res.loglik >= reference["loglik"]
    assert reference["se"][0] < 1e-5 < 1e-3 < res.se


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, key in STOPPED if CASES[name]["measure"] != "RD"])
def test_an_answer_where_the_others_stop(name, key):
    res = fitted(name, **{option: value for option, value in options_of(key).items() if option != "nodes"})
    assert np.isfinite(res.tau2)
    assert not np.isnan(res.estimate).any()
    assert res.k <= len(next(iter(CASES[name]["columns"].values())))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case["measure"] == "PLO" and "mods" not in case]
)
def test_the_likelihood_of_a_rate_is_the_integral(name):
    """And no fit of the grid has a higher one."""
    case = CASES[name]
    x, n = values(case["columns"]["events"]), values(case["columns"]["total"])
    res = fitted(name)
    if math.isfinite(res.estimate):
        assert res.loglik == pytest.approx(one_arm_loglik(x, n, res.estimate, res.tau), abs=2e-8)
    for fit in case["fits"].values():
        if "stopped" not in fit:
            assert res.loglik >= one_arm_loglik(x, n, fit["estimate"][0], math.sqrt(fit["tau2"])) - 2e-8


@pytest.mark.parametrize("name", ["bcg/OR", "collins1985a/OR", "gibson2002/OR", "cannon2006/OR", "nielweise2008/IRR"])
def test_the_likelihood_of_fixed_study_effects_is_the_integral(name):
    case = CASES[name]
    a, n1, c, n2 = (values(of) for of in case["columns"].values())
    family = "poisson" if case["measure"] == "IRR" else "binomial"
    res = fitted(name, model="UM.FS")
    assert res.loglik == pytest.approx(um_fs_profile(a, n1, c, n2, res.estimate, res.tau, family=family), abs=1e-7)
    for fit in (of for key, of in case["fits"].items() if key in ("UM.FS_7", "lme4_UM.FS_25")):
        theirs = um_fs_profile(a, n1, c, n2, fit["estimate"][0], math.sqrt(fit["tau2"]), family=family)
        assert res.loglik >= theirs - 1e-7


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    kept = lambda key, measure: [  # noqa: E731
        name for name, of in FITS if of == key and CASES[name]["measure"] == measure and "mods" not in CASES[name]
    ]
    assert len(kept("metafor_7", "PLO")) >= 25
    assert len(kept("metafor_1", "PLO")) >= 25
    for key in ("UM.FS_7", "UM.RS_1", "CM.EL", "CM.AL_7"):
        assert len(kept(key, "OR")) >= 15, key
    for key in ("UM.FS_7", "UM.RS_1", "CM.EL_7"):
        assert len(kept(key, "IRR")) >= 2, key
    assert len(kept("metafor_7", "IRLN")) >= 4
    assert len(kept("UM.FS_7", "RR")) >= 5
    assert sum("mods" in case for case in CASES.values()) >= 7
    assert len(LINKS) >= 10
    assert all(set(links) >= {"probit", "cloglog", "log"} for links in LINKS.values())
