"""Links other than the logit against lme4's glmer at tight control with 25 nodes: the part "links" of glmm_grid.json.

With the log link lme4's nodes may lie beyond a rate of 1, where its search breaks off ("stopped" in the file).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.brute import one_arm_loglik
from helpers.grid import differs, values

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "glmm_grid.json").read_text())
SMOOTH = [(name, link) for name in GRID["links"] for link in ("probit", "cloglog")]
LOG = [name for name, links in GRID["links"].items() if "stopped" not in links["log"]["lme4_7"]]
PROFILES = [(name, link) for name, links in GRID["links"].items() for link, fits in links.items() if "profile" in fits]
# as in test_glmm_grid.py
TIGHT = {1e-13: 2e-6, 1e-10: 5e-5}
TIGHT_SE = {1e-13: 1e-5, 1e-10: 1e-3}


def fitted(name, link, **options):
    case = GRID["cases"][name]
    columns = {column: values(of) for column, of in case["columns"].items()}
    if "mods" in case:
        frame = pd.DataFrame({**columns, **{mod: values(of) for mod, of in case["mods"].items()}})
        options["formula"] = "~ " + " + ".join(case["mods"])
        return metaan.glmm("PLO", frame, **{c: c for c in columns}, link=link, test="z", **options)
    return metaan.glmm("PLO", **columns, link=link, test="z", **options)


def compare(res, reference, *, close, se):
    for ours, theirs, unit in zip(np.atleast_1d(res.estimate), reference["estimate"], reference["se"], strict=True):
        assert abs(ours - theirs) <= close * unit
    for ours, theirs in zip(np.atleast_1d(res.se), reference["se"], strict=True):
        assert not differs(ours, theirs, rel=se)
    assert not differs(res.tau2, reference["tau2"], rel=close)


@pytest.mark.parametrize(("name", "link"), SMOOTH)
def test_25_nodes(name, link):
    """25 nodes leave nothing to integrate better: brute force agrees with lme4 to 3e-8 where tolPwrss is 1e-13."""
    reference = GRID["links"][name][link]["lme4_25"]
    loose = reference["tolPwrss"]
    compare(fitted(name, link), reference, close=TIGHT[loose], se=TIGHT_SE[loose])


@pytest.mark.parametrize("name", LOG)
def test_log_link(name):
    """Seven nodes, the most that stay below a rate of 1: up to 4e-4 off in tau2."""
    compare(fitted(name, "log"), GRID["links"][name]["log"]["lme4_7"], close=1e-3, se=2e-3)


@pytest.mark.parametrize("link", ["probit", "cloglog", "log"])
@pytest.mark.parametrize("name", list(GRID["links"]))
def test_the_likelihood_is_the_integral(name, link):
    case = GRID["cases"][name]
    x, n = values(case["columns"]["events"]), values(case["columns"]["total"])
    X = np.column_stack([np.ones(len(x)), *(values(of) for of in case.get("mods", {}).values())])
    res = fitted(name, link)
    mu = X @ np.atleast_1d(res.estimate)
    assert res.loglik == pytest.approx(one_arm_loglik(x, n, mu, math.sqrt(res.tau2), link), abs=2e-8)
    for fit in GRID["links"][name][link].values():
        if "estimate" in fit and "tau2" in fit:
            theirs = one_arm_loglik(x, n, X @ np.array(fit["estimate"]), math.sqrt(fit["tau2"]), link)
            assert res.loglik >= theirs - 2e-8


@pytest.mark.parametrize(("name", "link"), PROFILES)
def test_profile_limits(name, link):
    """lme4 interpolates its profile: 1e-3 of the interval's width."""
    res = fitted(name, link, ci="profile")
    low, high = GRID["links"][name][link]["profile"]["estimate"]
    assert abs(res.ci_low - low) <= 1e-3 * (high - low)
    assert abs(res.ci_high - high) <= 1e-3 * (high - low)
    low, high = GRID["links"][name][link]["profile"]["tau"]
    ours = np.sqrt(metaan.tau2_interval(res, method="PL"))
    assert abs(ours[0] - low) <= 1e-3 * (high - low)
    assert abs(ours[1] - high) <= 1e-3 * (high - low)
