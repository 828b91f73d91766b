"""Unconditional models of two arms: UM.FS and UM.RS against brute force, their symmetries and their ends."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2

import metaan
from metaan.core.two_arms import Arms, FixedStudies, RandomStudies
from metaan.errors import ConvergenceError, DataError, OptionError
from tests.helpers import brute

NAMES = ("events_t", "n_t", "events_c", "n_c")


def trials(*counts):
    return {name: list(values) for name, values in zip(NAMES, zip(*counts, strict=True), strict=True)}


TRIALS = trials((4, 20, 8, 21), (1, 15, 3, 16), (7, 30, 7, 28), (2, 22, 9, 20), (14, 41, 5, 40))
BASES = trials((4, 60, 8, 61), (12, 25, 13, 26), (7, 30, 7, 28), (2, 92, 9, 90), (14, 41, 5, 40))
RISKS = trials((44, 120, 68, 121), (31, 95, 43, 96), (57, 130, 47, 128), (62, 122, 69, 120), (54, 141, 75, 140))
CASES = {
    "OR FS": ("OR", "UM.FS", TRIALS), "IRR FS": ("IRR", "UM.FS", TRIALS), "RR FS": ("RR", "UM.FS", TRIALS),
    "RD FS": ("RD", "UM.FS", RISKS), "OR RS": ("OR", "UM.RS", BASES), "IRR RS": ("IRR", "UM.RS", BASES),
}  # fmt: skip
LINK = {"OR": "logit", "RR": "log", "RD": "identity", "IRR": "poisson"}


def columns(measure, data):
    size = "time" if measure == "IRR" else "total"
    return {name.replace("n_", f"{size}_"): values for name, values in data.items()}


def fit(case, data=None, **options):
    measure, model, own = CASES[case]
    given = columns(measure, data or own)
    if "formula" in options:
        frame = pd.DataFrame(given | {"z": [1, 0, 3, 2, 5], "g": list("abaab")})
        return metaan.glmm(measure, frame, model=model, **{name: name for name in given}, **options)
    return metaan.glmm(measure, **given, model=model, **options)


def arms(measure, data):
    a, n1, c, n2 = (np.array(v, float) for v in data.values())
    x, size = np.column_stack([a, c]), np.column_stack([n1, n2])
    return Arms(x, size if measure == "IRR" else size - x, LINK[measure])


def how(measure):
    return {"family": "poisson", "link": "logit"} if measure == "IRR" else {"link": LINK[measure]}


def baseline(case, means, tau):
    """The best study effects at the means of the studies."""
    measure, _, data = CASES[case]
    low, high = (0.01, 0.99) if measure == "RD" else (-9, -0.01) if measure == "RR" else (-9, 5)
    rows = list(zip(*data.values(), strict=True))
    return [
        brute.best_alpha(row, m, tau, low=low, high=high, **how(measure)) for row, m in zip(rows, means, strict=True)
    ]


def fixed_height(case, means, tau, alpha=None):
    """UM.FS at means of the studies, at the best study effects unless they are given."""
    measure, _, data = CASES[case]
    means = np.broadcast_to(means, 5)
    alpha = baseline(case, means, tau) if alpha is None else alpha
    rows = zip(*data.values(), alpha, means, strict=True)
    return math.fsum(brute.um_fs_loglik([a], [n], [c], [m], [al], t, tau, **how(measure)) for a, n, c, m, al, t in rows)


def random_height(case, alpha, sigma, theta, tau):
    """UM.RS; alpha is the mean of the control arm."""
    measure, _, data = CASES[case]
    rows = zip(*data.values(), np.broadcast_to(theta, 5), strict=True)
    return math.fsum(
        brute.um_rs_loglik([a], [n], [c], [m], alpha + t / 2, sigma, t, tau, **how(measure)) for a, n, c, m, t in rows
    )


FIXED = [case for case in CASES if case.endswith("FS")]
RANDOM = [case for case in CASES if case.endswith("RS")]


@pytest.mark.parametrize("case", FIXED)
def test_fixed_studies_likelihood(case):
    res = fit(case)
    assert res.tau > 0.01
    assert res.parameters == 7
    assert res.loglik == pytest.approx(fixed_height(case, res.estimate, res.tau), abs=1e-8)
    assert res.aic == pytest.approx(14 - 2 * res.loglik)
    assert math.isnan(res.aicc)
    best = minimize_scalar(lambda mu: -fixed_height(case, mu, 0.0), bounds=(-2, 2), method="bounded")
    assert res.loglik_common == pytest.approx(-best.fun, abs=1e-6)


@pytest.mark.parametrize("case", FIXED)
def test_fixed_studies_no_higher_point(case):
    res, rng = fit(case), np.random.default_rng(4)
    alpha = np.array(baseline(case, [res.estimate] * 5, res.tau))
    unit = 0.05 if case == "RD FS" else 1.0
    for scale in [0.01] * 6 + [0.2] * 6:
        d = rng.normal(0, scale * unit, 7)
        value = fixed_height(case, res.estimate + d[5], abs(res.tau + d[6]), alpha + d[:5])
        assert value <= res.loglik + 1e-10


@pytest.mark.parametrize("case", RANDOM)
def test_random_studies_likelihood(case):
    """Both spreads are above 0, and no point around is higher."""
    measure, _, data = CASES[case]
    res = fit(case)
    assert res.parameters == 4
    assert res.sigma2 > 0.01
    own = RandomStudies(arms(measure, data), np.ones((5, 1)))
    sigma = math.sqrt(res.sigma2)
    found = minimize(
        lambda alpha: -own.loglik(np.array([[alpha[0], res.estimate, sigma, res.tau]]), 25)[0], [-1.0],
        method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13},
    )  # fmt: skip
    alpha = float(found.x[0])
    assert res.loglik == pytest.approx(random_height(case, alpha, sigma, res.estimate, res.tau), abs=1e-8)
    rng = np.random.default_rng(7)
    for scale in [0.02] * 5 + [0.4] * 5:
        d = rng.normal(0, scale, 4)
        at = alpha + d[0], abs(sigma + d[1]), res.estimate + d[2], abs(res.tau + d[3])
        assert random_height(case, *at) <= res.loglik + 1e-9


@pytest.mark.parametrize("case", RANDOM)
def test_random_studies_with_moderators(case):
    """Moderators are the treated arm's; the maximum is one under moves of the model's own parameters."""
    measure, _, data = CASES[case]
    x = np.column_stack([np.ones(5), [1, 0, 3, 2, 5]])
    own, theta = RandomStudies(arms(measure, data), x), np.array([-1.2, -0.5, 0.2, 0.6, 0.4])
    value = own.loglik(theta[None], 25)[0]
    assert value == pytest.approx(random_height(case, -1.2, 0.6, x @ theta[1:3], 0.4), abs=1e-8)
    res = fit(case, formula="~ z")
    sigma = math.sqrt(res.sigma2)
    at = lambda alpha, d: np.array([[alpha, *(res.estimate + d[:2]), abs(sigma + d[2]), abs(res.tau + d[3])]])  # noqa: E731
    found = minimize(lambda a: -own.loglik(at(a[0], [0] * 4), 25)[0], [-1.0], method="Nelder-Mead", tol=1e-10)
    assert res.loglik == pytest.approx(-found.fun, abs=1e-8)
    rng = np.random.default_rng(8)
    for d in rng.normal(0, 0.2, (40, 5)):
        assert own.loglik(at(found.x[0] + d[4], d * [1, 0.3, 1, 1, 1]), 25)[0] <= res.loglik + 1e-10


def test_random_studies_without_spread_of_the_baselines():
    """sigma2 = 0 is a maximum like any other."""
    res = metaan.glmm("OR", **columns("OR", TRIALS), model="UM.RS")
    assert res.sigma2 == 0
    assert res.tau > 0.5
    best, top = brute.maximum(
        lambda al, th, tau: brute.um_rs_loglik(*TRIALS.values(), al, 0.0, th, abs(tau)), [-1.2, -0.4, 0.6], rounds=1
    )
    assert res.loglik == pytest.approx(top, abs=1e-7)
    assert (res.estimate, res.tau) == pytest.approx((best[1], abs(best[2])), abs=1e-4)
    assert math.isfinite(res.se)
    assert "sigma2 0" in str(res)


@pytest.mark.parametrize("case", CASES)
def test_derivatives(case):
    measure, model, data = CASES[case]
    x = np.column_stack([np.ones(5), np.linspace(-1, 1, 5)])
    if model == "UM.FS":
        centre = arms(measure, data).empirical()[0].mean(axis=1)
        own = FixedStudies(arms(measure, data), x)
        theta = np.r_[centre, -0.05, 0.02, 0.05] if measure == "RD" else np.r_[centre, -0.2, 0.1, 0.4]
    else:
        own, theta = RandomStudies(arms(measure, data), x), np.array([-1.2, -0.3, 0.1, 0.5, 0.6])
    h, q = 1e-4 if measure != "RD" else 1e-5, len(theta)
    at = own.at(theta[None], 4)
    near = own.at(np.vstack([theta + s * h * np.eye(q)[j] for j in range(q) for s in (1, -1)]), 4)
    slope = (near.loglik[::2] - near.loglik[1::2]) / (2 * h)
    curve = (near.gradient[::2] - near.gradient[1::2]) / (2 * h)
    np.testing.assert_allclose(at.gradient[0], slope, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(at.hessian[0], curve, rtol=1e-4, atol=1e-4 * np.abs(curve).max())


@pytest.mark.parametrize("case", ["OR FS", "RR FS"])
def test_profile_limits(case):
    res = fit(case, ci="profile")
    for limit in (res.ci_low, res.ci_high):
        best = minimize_scalar(lambda tau, mu=limit: -fixed_height(case, mu, tau), bounds=(0.01, 3), method="bounded")
        assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-5)
    low, high = metaan.tau2_interval(res)
    assert 0 <= low < res.tau2 < high
    best = minimize_scalar(lambda mu: -fixed_height(case, mu, math.sqrt(high)), bounds=(-3, 2), method="bounded")
    assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-5)


def test_profile_limits_of_random_studies():
    """By the model's own likelihood, which the tests above compare with brute force."""
    res = fit("OR RS", ci="profile")
    own = RandomStudies(arms("OR", BASES), np.ones((5, 1)))
    for limit in (res.ci_low, res.ci_high):
        best = minimize(
            lambda p, mu=limit: -own.loglik(np.array([[p[0], mu, abs(p[1]), abs(p[2])]]), 25)[0],
            [-1.3, math.sqrt(res.sigma2), res.tau + 0.2], method="Nelder-Mead", options={"fatol": 1e-10},
        )  # fmt: skip
        assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-5)


@pytest.mark.parametrize("case", ["OR FS", "RR FS", "OR RS"])
def test_two_groups(case):
    """Two codings of a factor agree, and the likelihood is that of brute force at the means of the groups."""
    one, two = fit(case, formula="~ C(g)"), fit(case, formula="~ 0 + C(g)")
    assert two.loglik == pytest.approx(one.loglik, abs=1e-8)
    np.testing.assert_allclose(two.estimate, [one.estimate[0], one.estimate.sum()], atol=1e-6)
    assert one.loglik >= fit(case).loglik
    assert pytest.approx(2 * (one.loglik - fit(case).loglik), abs=1e-7) == one.LRT
    if case != "OR RS":
        assert one.loglik == pytest.approx(fixed_height(case, one.fitted, one.tau), abs=1e-7)


@pytest.mark.parametrize("case", ["OR FS", "IRR RS"])
@pytest.mark.parametrize("arm", ["events_t", "events_c"])
def test_no_events_in_an_arm(case, arm):
    _, _, data = CASES[case]
    res = fit(case, data | {arm: [0] * 5})
    assert res.estimate == (-math.inf if arm == "events_t" else math.inf)
    assert math.isfinite(res.ci_high if arm == "events_t" else res.ci_low)
    assert "separated" in {note.code for note in res.notes}
    assert metaan.tau2_interval(res) == (0, math.inf)
    assert len(str(res).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)


def test_no_likelihood_beyond_a_rate_of_one():
    near = trials((19, 20, 2, 20), (3, 30, 25, 30))
    for measure in ("RR", "RD"):
        with pytest.raises(ConvergenceError, match=f"measure='{measure}'.*Use measure='OR'"):
            metaan.glmm(measure, **columns(measure, near), model="UM.FS")
    assert metaan.glmm("OR", **columns("OR", near), model="UM.FS").tau > 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 2])
def test_few_trials(case, k):
    _, _, data = CASES[case]
    res = fit(case, {name: values[:k] for name, values in data.items()})
    assert res.ci_low < res.estimate < res.ci_high
    assert math.isnan(res.pi_low)
    if k == 1:
        assert res.tau2 == 0
        assert "one-study" in {note.code for note in res.notes}
    assert len(str(res).splitlines()) <= 20


@pytest.mark.parametrize("case", ["OR FS", "OR RS", "RR FS"])
def test_fixed_nodes(case):
    exact, few, many = fit(case), fit(case, nodes=1), fit(case, nodes=31)
    assert (many.estimate, many.tau) == pytest.approx((exact.estimate, exact.tau), abs=1e-5)
    assert many.loglik == pytest.approx(exact.loglik, abs=1e-8)
    assert 1e-4 < abs(few.tau - exact.tau) < 0.2
    assert few.loglik <= exact.loglik


def test_what_cannot_be_had():
    for measure, model in (("RR", "CM.EL"), ("RD", "UM.RS"), ("RR", "UM.RS"), ("IRR", "CM.AL"), ("PLO", "UM.FS")):
        with pytest.raises(OptionError, match="does not exist for measure="):
            metaan.glmm(measure, **columns(measure, TRIALS), model=model)
    with pytest.raises(OptionError, match="link"):
        metaan.glmm("OR", **columns("OR", TRIALS), link="probit")
    with pytest.raises(OptionError, match="for counts of one arm"):
        fit("OR FS").residuals()
    with pytest.raises(OptionError, match="nodes"):
        fit("OR RS", nodes=7, ci="profile")
    with pytest.raises(DataError):
        fit("OR FS", TRIALS | {"events_t": [4, 1, 7, 2, 99]})


@pytest.mark.parametrize("case", ["RD FS", "OR RS", "IRR FS"])
def test_results(case):
    for res in (fit(case), fit(case, formula="~ z")):
        for other in (pickle.loads(pickle.dumps(res)), copy.copy(res), copy.deepcopy(res)):
            assert str(other) == str(res)
        assert len(str(res).splitlines()) <= 20
        assert CASES[case][1] in str(res)
        json.dumps(res.to_dict(), allow_nan=False)
        assert "<" in res._repr_html_()
        with pytest.raises(ValueError, match="read-only"):
            res.blup[0] = 1
        table = res.studies()
        assert (table.blup_low <= table.blup).all()
        assert (table.blup <= table.blup_high).all()
    back = fit(case).back()
    assert back.estimate == pytest.approx(fit(case).estimate if "RD" in case else math.exp(fit(case).estimate))
    metaan.plot.forest(fit(case))
