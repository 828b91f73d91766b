"""glmm against metafor's rma.glmm, against lme4 at tight control, and against the likelihood integrated another
way.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.grid import grid
from helpers.witness import binomial_normal_loglik, derivatives

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

ENTRIES = grid()["glmm"]
FITTED = [name for name, entry in ENTRIES.items() if "metafor" in entry]
STOPPED = [name for name, entry in ENTRIES.items() if "stopped" in entry]
INSIDE = [name for name in FITTED if ENTRIES[name]["lme4_25"]["tau2"] > 0]
# lme4 finds the maximum by bobyqa to a trust region of 1e-10 and stops each inner iteration at tolPwrss; its
# standard error comes from a Hessian by finite differences, noisy where tolPwrss had to be loosened to 1e-10.
SHARP = 1e-6
SHARP_SE = {1e-13: 2e-6, 1e-10: 2e-4}
METAFOR = 1e-4  # what metafor's default optimiser leaves


def fit(name, **options):
    entry = ENTRIES[name]
    return metaan.glmm("PLO", events=entry["events"], total=entry["total"], test="z", **options)


@pytest.mark.parametrize("nodes", [7, 25])
@pytest.mark.parametrize("name", INSIDE)
def test_lme4_at_tight_control(name, nodes):
    res, reference = fit(name, nodes=nodes), ENTRIES[name][f"lme4_{nodes}"]
    slack = SHARP if reference["tolPwrss"] == 1e-13 else 10 * SHARP
    assert abs(res.estimate - reference["estimate"]) <= slack * reference["se"]
    assert res.tau2 == pytest.approx(reference["tau2"], rel=slack)
    assert res.se == pytest.approx(reference["se"], rel=SHARP_SE[reference["tolPwrss"]])


@pytest.mark.parametrize("name", FITTED)
def test_metafor(name):
    res, reference = fit(name, nodes=7), ENTRIES[name]["metafor"]
    assert abs(res.estimate - reference["estimate"]) <= METAFOR * reference["se"]
    for ours, theirs in ((res.se, "se"), (res.tau2, "tau2"), (res.H2, "H2")):
        assert ours == pytest.approx(reference[theirs], rel=METAFOR), theirs
    assert pytest.approx(reference["I2"], rel=METAFOR) == res.I2
    for ours, theirs in ((res.ci_low, "ci_low"), (res.ci_high, "ci_high")):
        assert abs(ours - reference[theirs]) <= 3 * METAFOR * reference["se"], theirs
    x, n = np.array(ENTRIES[name]["events"]), np.array(ENTRIES[name]["total"])
    if ((x > 0) & (x < n)).all():  # metafor's saturated model has no finite estimate at 0 or n: README.md
        assert pytest.approx(reference["QE_Wld"], rel=1e-5) == res.Q


@pytest.mark.parametrize("name", FITTED)
def test_likelihood_is_never_below_the_one_at_metafor_s_solution(name):
    entry, res = ENTRIES[name], fit(name)
    theirs = binomial_normal_loglik(
        entry["events"], entry["total"], entry["metafor"]["estimate"], entry["metafor"]["tau2"]
    )
    assert res.loglik >= theirs - 1e-10
    assert res.loglik - theirs < 2e-3  # and metafor's 7 nodes are not far off


@pytest.mark.parametrize("name", [*FITTED, "identical", "near_equal"])
def test_log_likelihood_is_the_marginal_one(name):
    entry, res = ENTRIES[name], fit(name)
    value = binomial_normal_loglik(entry["events"], entry["total"], res.estimate, res.tau2)
    assert res.loglik == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", FITTED)
def test_likelihood_ratio_test_of_tau2(name):
    entry, res = ENTRIES[name], fit(name)
    rate = sum(entry["events"]) / sum(entry["total"])
    common = binomial_normal_loglik(entry["events"], entry["total"], math.log(rate / (1 - rate)), 0.0)
    assert math.log(rate / (1 - rate)) == pytest.approx(entry["common"]["estimate"], rel=1e-6)
    assert res.loglik_common == pytest.approx(common, abs=1e-9)
    assert res.lrt == pytest.approx(2 * (res.loglik - common), abs=1e-8)
    if res.tau2 > 0:
        assert res.lrt_pvalue == pytest.approx(math.erfc(math.sqrt(res.lrt / 2)) / 2, rel=1e-6)


@pytest.mark.parametrize("name", ["dataset_a", "pritz1997", "half_zero", "high", "two", "lee2004_control"])
def test_maximum_and_standard_error(name):
    """Gradient 0 at the estimate, and covariance of (mu, tau) minus the inverse Hessian, of the likelihood by quad."""
    entry, res = ENTRIES[name], fit(name)

    def loglik(mu, tau):
        return binomial_normal_loglik(entry["events"], entry["total"], mu, tau**2)

    gradient, hessian = derivatives(loglik, (res.estimate, res.tau), (0.02 * res.se, 0.02 * res.tau))
    cov = np.linalg.inv(-hessian)
    assert abs(gradient[0]) * math.sqrt(cov[0, 0]) < 1e-6
    assert abs(gradient[1]) * math.sqrt(cov[1, 1]) < 1e-6
    np.testing.assert_allclose(res.cov, cov, rtol=1e-4, atol=1e-5 * cov.max())
    assert res.se == pytest.approx(math.sqrt(cov[0, 0]), rel=1e-5)


@pytest.mark.parametrize("name", STOPPED)
def test_where_metafor_stops(name):
    """Equal rates, all events, no events, one study: an answer with a note, rates within [0, 1] and an interval
    that excludes something.
    """
    res = fit(name).back()
    assert res.notes
    assert 0 <= res.ci_low <= res.estimate <= res.ci_high <= 1
    assert res.ci_high - res.ci_low < 0.5
    assert math.isfinite(res.loglik)
    assert res.tau2 == 0
    if name in ("identical", "one"):
        x, n = ENTRIES[name]["events"], ENTRIES[name]["total"]
        assert res.estimate == pytest.approx(sum(x) / sum(n), rel=1e-10)
