"""Fixed points of the methods, most of them for data set A: events 0,3,1,4,2,3,9,7 of 20,44,28,30,51,30,40,40.

They were read off metafor 3.8 and 5.1, R meta 8.4, pimeta 1.1 and direct integration, as printed here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.printed import printed
from helpers.witness import binomial_normal_loglik
from scipy.optimize import brentq
from scipy.stats import norm

import metaan

EVENTS = [0, 3, 1, 4, 2, 3, 9, 7]
TOTAL = [20, 44, 28, 30, 51, 30, 40, 40]


def effect(measure="PLO", correction="only0"):
    return metaan.effect_size(measure, events=EVENTS, total=TOTAL, correction=correction)


def pooled(measure="PLO", *, correction="only0", **options):
    return metaan.pool(effect(measure, correction), **{"method": "REML", "test": "z"} | options)


def exact(**options):
    return metaan.glmm("PLO", events=EVENTS, total=TOTAL, **{"test": "z"} | options)


def test_binomial_normal_model_7_nodes():
    res = exact(nodes=7)
    rates = res.back()
    # metafor's 0.323014 is its optimiser's; the maximum of the 7-node likelihood is at 0.3230134 (test_glmm.py).
    assert printed("0.323014", units=1, because="metafor's optimiser stops short of the maximum") == res.tau2
    assert printed("0.09009") == rates.estimate
    assert printed("0.05085") == rates.ci_low
    assert printed("0.15465") == rates.ci_high


@pytest.mark.parametrize(("nodes", "tau2"), [(1, "0.3169"), (7, "0.3230"), (25, "0.3230"), (None, "0.3230")])
def test_binomial_normal_model_by_number_of_nodes(nodes, tau2):
    assert printed(tau2) == exact(nodes=nodes).tau2


def test_true_marginal_log_likelihood():
    res = exact()
    assert printed("-17.62515") == res.loglik
    assert printed("-18.858") == res.loglik_common
    assert printed("2.465") == res.lrt
    assert res.aic == pytest.approx(2 * 2 - 2 * res.loglik)
    # Mixture of chi2(0) and chi2(1) in equal parts: half the chi2(1) tail.
    assert res.lrt_pvalue == pytest.approx(norm.sf(math.sqrt(res.lrt)), rel=1e-10)


def test_conditional_log_likelihood_is_not_reported():
    """lme4's value for 7 nodes, -13.030, leaves out a constant that depends on the data."""
    assert abs(exact(nodes=7).loglik - -13.030) > 4


@pytest.mark.parametrize(
    ("events", "total", "rate"), [([2, 3, 4], [20, 30, 40], 0.1), ([3], [20], 0.15)], ids=["equal rates", "one study"]
)
def test_it_answers_where_r_stops(events, total, rate):
    res = metaan.glmm("PLO", events=events, total=total, test="z")
    assert res.tau2 == 0
    assert res.notes
    assert res.back().estimate == pytest.approx(rate, rel=1e-10)
    assert res.se == pytest.approx(1 / math.sqrt(sum(total) * rate * (1 - rate)), rel=1e-8)


def test_all_events_and_none():
    """60/60: the likelihood falls by chi2(0.95; 1)/2 at 0.968; one-sided, since the estimate is on the
    edge.
    """
    full = metaan.glmm("PLO", events=[10, 20, 25, 5], total=[10, 20, 25, 5], test="z").back()
    assert full.estimate == full.ci_high == 1
    assert printed("0.968") == full.ci_low
    none = metaan.glmm("PLO", events=[0, 0, 0, 0], total=[10, 20, 25, 5], test="z").back()
    assert none.estimate == none.ci_low == 0
    assert none.ci_high == pytest.approx(1 - full.ci_low, rel=1e-9)


def test_profile_interval_of_the_rate():
    """Where the likelihood maximised over tau2, integrated by quad, has fallen by chi2(0.95; 1)/2."""
    res = exact(ci="profile")

    def profile(mu):
        tau2 = [binomial_normal_loglik(EVENTS, TOTAL, mu, t * t) for t in np.linspace(0.05, 2.5, 50)]
        best = np.linspace(0.05, 2.5, 50)[int(np.argmax(tau2))]
        grid = np.linspace(max(best - 0.06, 0), best + 0.06, 25)
        values = np.array([binomial_normal_loglik(EVENTS, TOTAL, mu, t * t) for t in grid])
        i = min(max(int(values.argmax()), 1), len(grid) - 2)
        a, b, c = values[i - 1 : i + 2]
        return b - (c - a) ** 2 / (8 * (a - 2 * b + c))  # vertex of the parabola through the top three

    for limit in (res.ci_low, res.ci_high):
        assert profile(limit) == pytest.approx(res.loglik - norm.isf(0.025) ** 2 / 2, abs=1e-6)


def test_profile_interval_of_tau2():
    res = exact()
    low, high = metaan.tau2_interval(res, method="PL")
    drop = res.loglik - norm.isf(0.025) ** 2 / 2
    assert low == 0  # the likelihood at tau2 = 0 lies within: lrt 2.465 < 3.841

    def profile(mu):
        return binomial_normal_loglik(EVENTS, TOTAL, mu, high)

    grid = np.linspace(res.estimate - 0.6, res.estimate + 0.2, 41)
    values = np.array([profile(mu) for mu in grid])
    i = int(values.argmax())
    a, b, c = values[i - 1 : i + 2]
    assert b - (c - a) ** 2 / (8 * (a - 2 * b + c)) == pytest.approx(drop, abs=1e-6)


def test_i2_of_the_exact_model():
    """48.7 % from the typical variance. Q is that of the logits with 0.5 added at 0.

    The 33.7 % of other programs is (Q - df)/Q with metafor's Wald Q, 10.56: its saturated model has no finite logit for
    the study at 0, which then adds nothing to Q.
    """
    res = exact(nodes=7)
    assert printed("48.7") == res.I2
    assert pytest.approx(pooled().Q, rel=1e-12) == res.Q
    x, n = np.array(EVENTS)[1:], np.array(TOTAL)[1:]
    without = metaan.pool(metaan.effect_size("PLO", events=x, total=n), test="z").Q
    assert printed("33.7") == 100 * (without - 7) / without


def test_median_rate():
    """x = 1,9,15,3,19,2 of 20: the median study's rate is 0.368."""
    res = metaan.glmm("PLO", events=[1, 9, 15, 3, 19, 2], total=[20] * 6, test="z")
    assert printed("0.368") == res.back().estimate


@pytest.mark.parametrize(("n", "rate"), [(10, "0.0044"), ("harmonic", "0.0197"), ("mean", "0.0351")])
def test_freeman_tukey_inverse_depends_on_n(n, rate):
    """A sample size of 200000 among small ones (Schwarzer et al. 2019); common-effect model."""
    eff = metaan.effect_size("PFT", events=[0, 1, 2, 150, 3], total=[12, 20, 30, 200000, 40])
    res = metaan.pool(eff, method="REML", test="z")
    assert printed(rate) == res.back(n=n).estimate


def test_freeman_tukey_scale():
    """Variance 1/(4n + 2) goes with half the sum of the two arcsines (Miller 1978 has the double scale)."""
    eff = effect("PFT")
    x, n = np.array(EVENTS), np.array(TOTAL)
    np.testing.assert_allclose(eff.vi, 1 / (4 * n + 2))
    np.testing.assert_allclose(2 * eff.yi, np.arcsin(np.sqrt(x / (n + 1))) + np.arcsin(np.sqrt((x + 1) / (n + 1))))


def test_arcsine_inverse_does_not_fold():
    """Limits outside [0, pi/2] are clipped before the square of the sine is taken."""
    low = metaan.pool(metaan.effect_size("PAS", events=[0, 0, 2], total=[10, 12, 14]), test="hk", pi="t")
    assert low.ci_low < 0
    assert low.back().ci_low == 0
    assert low.back().pi_low == 0
    high = metaan.pool(metaan.effect_size("PAS", events=[10, 12, 12], total=[10, 12, 14]), test="hk", pi="t")
    assert high.ci_high > math.pi / 2
    assert high.back().ci_high == 1


def test_correcting_all_studies_moves_the_rate():
    assert printed("0.10745") == pooled().back().estimate
    assert printed("0.1179") == pooled(correction="all").back().estimate
    assert any(note.code == "zero-cell" for note in effect().notes)


@pytest.mark.parametrize(
    ("test", "low", "high"), [("z", "0.06430", "0.17416"), ("hk", "0.05816", "0.19009"), ("kr", "0.05311", "0.20534")]
)
def test_logit_reml(test, low, high):
    res = pooled(test=test)
    assert printed("0.263577") == res.tau2
    assert printed("0.10745") == res.back().estimate
    assert printed(low) == res.back().ci_low
    assert printed(high) == res.back().ci_high


@pytest.mark.parametrize(
    ("measure", "rate", "low", "high", "tau2"),
    [("PFT", "0.08780", "0.04139", "0.14677", "0.008292"), ("PAS", "0.08297", "0.03574", "0.14750", "0.014239")],
)
def test_arcsine_scales_reml(measure, rate, low, high, tau2):
    res = pooled(measure)
    assert printed(tau2) == res.tau2
    assert printed(rate) == res.back().estimate
    assert printed(low) == res.back().ci_low
    assert printed(high) == res.back().ci_high


def test_moment_estimator_is_truncated():
    """Q below k - 1 would make tau2 negative (statsmodels returned -0.018 and an interval inside the common-effect
    one).
    """
    eff = metaan.effects([0.10, 0.11, 0.12, 0.10], [0.01, 0.02, 0.03, 0.02])
    common = metaan.pool(eff, method="CE", test="z")
    for method in ("DL", "HE", "HS", "HSk", "PM", "PMM", "EB", "ML", "REML", "DLIT", "SJIT"):
        res = metaan.pool(eff, method=method, test="z")
        assert res.tau2 == 0, method
        assert (res.ci_low, res.ci_high) == pytest.approx((common.ci_low, common.ci_high)), method


def test_hartung_knapp_can_be_narrower_than_z():
    eff = metaan.effects([0.10, 0.11, 0.12, 0.10], [0.01, 0.02, 0.03, 0.02])
    limits = {test: metaan.pool(eff, test=test) for test in ("z", "hk", "hk-adhoc")}
    assert printed("-0.023") == limits["z"].ci_low
    assert printed("0.233") == limits["z"].ci_high
    assert printed("0.092") == limits["hk"].ci_low
    assert printed("0.118") == limits["hk"].ci_high
    assert limits["hk-adhoc"].se == pytest.approx(limits["z"].se, rel=1e-12)
    assert any("narrower" in str(note) for note in limits["hk"].notes)


def test_identical_effects_give_a_point_not_a_crash():
    res = metaan.pool(metaan.effects([0.5, 0.5, 0.5], [0.01, 0.02, 0.03]), test="hk")
    assert (res.se, res.ci_low, res.ci_high) == (0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("pi", "low", "high"),
    [("simple", "0.042", "0.248"), ("z", "0.037", "0.276"), ("t", "0.029", "0.326"), ("hts", "0.028", "0.336")],
)
def test_prediction_intervals(pi, low, high):
    rates = pooled(pi=pi).back()
    assert printed(low) == rates.pi_low
    assert printed(high) == rates.pi_high


def test_kenward_roger_prediction_interval():
    """mu -+ t(nu - 1) sqrt(tau2 + V), with the nu = 4.9084 and V = 0.295470^2 of the interval above (pimeta, meta
    "KR-PR").
    """
    rates = pooled(pi="kr").back()
    assert printed("0.02238") == rates.pi_low
    assert printed("0.38767") == rates.pi_high


def test_default_prediction_interval_is_t_with_k_minus_1():
    assert metaan.pool(effect()).spec.pi == "t"


def test_no_prediction_interval_below_three_studies():
    res = metaan.pool(metaan.effects([0.1, 0.9], [0.04, 0.2]))
    assert math.isnan(res.pi_low)
    assert math.isnan(res.pi_high)
    assert any(note.code == "no-pi" for note in res.notes)


def test_q_profile_limits_by_another_root_finder():
    """Q(tau2) = upper and lower quantile of chi2(7) (Viechtbauer 2007, eq. 20)."""
    eff = effect()
    low, high = metaan.tau2_interval(metaan.pool(eff, test="z"), method="QP")

    def q(tau2):
        w = 1 / (eff.vi + tau2)
        return float(w @ (eff.yi - w @ eff.yi / w.sum()) ** 2)

    assert low == 0
    assert q(0) < 16.0128  # 0.975 quantile of chi2(7)
    assert high == pytest.approx(brentq(lambda t: q(t) - 1.6898691806773545, 0.1, 50, xtol=1e-14), rel=1e-10)
