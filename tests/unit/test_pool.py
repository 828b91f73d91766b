"""Pooling: inference written out anew, notes, edge cases, the record and its views."""

import copy
import dataclasses
import json
import math
import pickle

import numpy as np
import pytest
from scipy.stats import norm, t

import metaan
from metaan.core.inference import log_pvalue
from metaan.validate import METHOD

Y = np.array([0.30, -0.10, 0.75, 0.22, 1.10, 0.05])
V = np.array([0.04, 0.02, 0.09, 0.05, 0.12, 0.03])
EFF = metaan.effects(Y, V, study=list("abcdef"))


def codes(res):
    return [note.code for note in res.notes]


def weighted(tau2):
    w = 1 / (V + tau2)
    mu = (w @ Y) / w.sum()
    return w, mu, w @ (Y - mu) ** 2 / (Y.size - 1)


@pytest.mark.parametrize("method", sorted(set(METHOD.choices) - {"GENQ"}))
def test_tests_of_the_mean(method):
    fits = {test: metaan.pool(EFF, method=method, test=test) for test in ("z", "t", "hk", "hk-adhoc")}
    w, mu, q = weighted(fits["z"].tau2)
    se = math.sqrt(1 / w.sum())
    expected = {"z": se, "t": se, "hk": se * math.sqrt(q), "hk-adhoc": se * math.sqrt(max(1, q))}
    for test, res in fits.items():
        quantile = norm.ppf(0.975) if test == "z" else t.ppf(0.975, 5)
        assert res.estimate == pytest.approx(mu, rel=1e-12)
        assert res.se == pytest.approx(expected[test], rel=1e-12)
        assert res.ci_high - res.ci_low == pytest.approx(2 * quantile * expected[test], rel=1e-12)
        reference = norm if test == "z" else t(5)
        assert res.pvalue == pytest.approx(2 * reference.sf(abs(mu / expected[test])), rel=1e-10)


def test_prediction_intervals_by_definition():
    res = {pi: metaan.pool(EFF, pi=pi) for pi in ("t", "hts", "z", "simple", "hk")}
    w, mu, q = weighted(res["t"].tau2)
    tau2, var = res["t"].tau2, 1 / w.sum()
    half = {
        "t": t.ppf(0.975, 5) * math.sqrt(tau2 + var),
        "hts": t.ppf(0.975, 4) * math.sqrt(tau2 + var),
        "z": norm.ppf(0.975) * math.sqrt(tau2 + var),
        "simple": norm.ppf(0.975) * math.sqrt(tau2),
        "hk": t.ppf(0.975, 4) * math.sqrt(tau2 + q * var),
    }
    for pi, expected in half.items():
        assert (res[pi].pi_low, res[pi].pi_high) == pytest.approx((mu - expected, mu + expected), rel=1e-12)


def test_bootstrap_prediction_interval_is_reproducible_and_independent_of_the_estimator():
    a, b = (metaan.pool(EFF, method=m, pi="bootstrap", draws=4000) for m in ("DL", "REML"))
    assert (a.pi_low, a.pi_high) == (b.pi_low, b.pi_high)
    other = metaan.pool(EFF, pi="bootstrap", draws=4000, seed=1)
    assert other.pi_low != a.pi_low
    assert other.pi_low == pytest.approx(a.pi_low, abs=0.15)


def test_hartung_knapp_narrower_than_normal_is_noted():
    # METHODS point 14: z -0.023 to 0.233, HK 0.092 to 0.118
    eff = metaan.effects([0.10, 0.11, 0.12, 0.10], [0.01, 0.02, 0.03, 0.02])
    z, hk, adhoc = (metaan.pool(eff, test=test) for test in ("z", "hk", "hk-adhoc"))
    assert (round(z.ci_low, 3), round(z.ci_high, 3)) == (-0.023, 0.233)
    assert (round(hk.ci_low, 3), round(hk.ci_high, 3)) == (0.092, 0.118)
    assert adhoc.se == z.se
    assert "hk-narrow" in codes(hk)
    assert "hk-narrow" not in codes(adhoc)


def test_identical_effects():
    eff = metaan.effects([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    res = metaan.pool(eff)
    assert (res.estimate, res.se, res.tau2, res.Q) == (0.5, 0, 0, 0)
    assert (res.ci_low, res.ci_high, res.pvalue) == (0.5, 0.5, 0)
    assert "identical" in codes(res)
    assert metaan.pool(eff, test="z").se > 0
    zero = metaan.pool(metaan.effects([0.0, 0.0], [0.1, 0.2]))
    assert math.isnan(zero.statistic)
    str(zero)


@pytest.mark.parametrize("method", sorted(METHOD.choices))
@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc"])
def test_one_study(method, test):
    kwargs = {"weights": [1.0]} if method == "GENQ" else {}
    res = metaan.pool(metaan.effects([0.4], [0.09]), method=method, test=test, **kwargs)
    assert (res.estimate, res.se, res.tau2, res.Q, res.Q_df, res.Q_pvalue) == (0.4, pytest.approx(0.3), 0, 0, 0, 1)
    assert res.ci_high == pytest.approx(0.4 + norm.ppf(0.975) * 0.3)
    assert (res.I2, res.H2) == (0, 1)
    assert "one-study" in codes(res)
    assert math.isnan(res.pi_low)
    assert "One study" in str(res)


def test_two_studies_have_no_prediction_interval():
    res = metaan.pool(metaan.effects([0.4, 0.9], [0.09, 0.04]))
    assert math.isnan(res.pi_low)
    assert "no-pi" in codes(res)
    assert res.df == 1


def test_zero_tau2_is_noted_and_equals_the_common_effect():
    eff = metaan.effects(Y / 20, V)
    res, common = metaan.pool(eff, test="z"), metaan.pool(eff, method="CE", test="z")
    assert res.tau2 == 0
    assert "tau2-zero" in codes(res)
    assert (res.estimate, res.se) == (common.estimate, common.se)
    assert "tau2-zero" not in codes(common)


def test_two_maxima_are_noted():
    rng = np.random.default_rng(1)
    for _ in range(40_000):
        v = rng.uniform(0.01, 0.6, 13)
        y = rng.normal(0, np.sqrt(v + 0.02))
        if "two-maxima" in codes(res := metaan.pool(metaan.effects(y, v))):
            assert res.convergence.maxima == 2
            return
    pytest.fail("no data with two maxima among 40,000")


def test_p_values_survive_underflow():
    # z = 60: p = 2 Phi(-60) < 1e-780; log p from the asymptotic series of Phi
    z = 60.0
    series = math.log(2) - z * z / 2 - math.log(z * math.sqrt(2 * math.pi)) + math.log1p(-1 / z**2 + 3 / z**4)
    assert float(log_pvalue(z, math.inf)) == pytest.approx(series, rel=1e-9)
    res = metaan.pool(metaan.effects([60.0, 60.0], [2.0, 2.0]), test="z")
    assert res.pvalue == 0
    assert res.log_pvalue == pytest.approx(series, rel=1e-9)


def test_log_p_of_t_far_out():
    # 5 df: the tail of t falls as t^-5; log10 of a factor of 10 in t is 5
    a, b = float(log_pvalue(1e60, 5.0)), float(log_pvalue(1e61, 5.0))
    assert (a - b) / math.log(10) == pytest.approx(5, rel=1e-12)
    assert float(log_pvalue(1e30, 5.0)) == pytest.approx(math.log(2 * t.sf(1e30, 5)), rel=1e-12)


def test_q_and_both_definitions_of_i2():
    res = metaan.pool(EFF)
    w = 1 / V
    mu = (w @ Y) / w.sum()
    q = w @ (Y - mu) ** 2
    typical = 5 * w.sum() / (w.sum() ** 2 - w @ w)
    assert pytest.approx(q, rel=1e-13) == res.Q
    assert pytest.approx(100 * res.tau2 / (res.tau2 + typical), rel=1e-12) == res.I2
    assert pytest.approx(100 * (q - 5) / q, rel=1e-12) == res.heterogeneity.I2_Q
    # for DerSimonian-Laird the two agree
    dl = metaan.pool(EFF, method="DL")
    assert pytest.approx(dl.I2, rel=1e-12) == dl.heterogeneity.I2_Q


def test_weights_sum_to_100_and_blups_shrink():
    res = metaan.pool(EFF)
    assert res.weights.sum() == pytest.approx(100)
    assert ((res.blup - res.estimate) * (Y - res.estimate) >= 0).all()
    assert (np.abs(res.blup - res.estimate) <= np.abs(Y - res.estimate)).all()


def test_records_are_frozen_and_copy():
    res = metaan.pool(EFF)
    with pytest.raises(dataclasses.FrozenInstanceError):
        res.estimate = 1
    with pytest.raises(ValueError, match="read-only"):
        res.weights[0] = 1
    for clone in (pickle.loads(pickle.dumps(res)), copy.deepcopy(res)):
        assert clone.to_dict() == res.to_dict()
        assert clone.notes == res.notes


def test_views():
    res = metaan.pool(EFF, test="hk")
    frame = res.to_frame()
    assert frame.shape[0] == 1
    assert frame.loc[0, "tau2"] == res.tau2
    table = res.studies()
    assert list(table["study"]) == list("abcdef")
    assert {"yi", "vi", "ci_low", "ci_high", "weight", "fitted", "blup"} <= set(table)
    assert json.loads(json.dumps(res.to_dict(), allow_nan=False))["k"] == 6
    assert "<table" in res._repr_html_()


def test_text_names_what_was_done():
    eff = metaan.effect_size("PLO", events=[0, 3, 1, 4], total=[20, 44, 28, 30], correction="only0")
    text = str(metaan.pool(eff, method="PM", test="hk"))
    for part in (
        "4 studies",
        "PLO",
        "PM",
        "Hartung & Knapp",
        "tau2",
        "I2",
        "Q =",
        "0.5 added",
        "Prediction",
        "Veroniki",
    ):
        assert part in text
    assert len(text.splitlines()) <= 20


def test_text_of_hostile_labels_is_escaped_in_html():
    eff = metaan.effect_size("PLO", events=[0, 3], total=[20, 44], study=["<script>", "b"], correction="all")
    assert "<script>" not in metaan.pool(eff)._repr_html_()


def test_back_transforms_the_ends():
    eff = metaan.effect_size("PLO", events=[3, 9, 4], total=[20, 44, 28])
    res = metaan.pool(eff)
    back = res.back()
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        assert getattr(back, name) == pytest.approx(1 / (1 + math.exp(-getattr(res, name))))
    assert math.isnan(back.se)
    assert back.tau2 == res.tau2
    assert back.back() is back
    assert back.scale == "display"
    assert res.scale == "analysis"


def test_generalised_q_uses_the_weights_for_the_mean():
    a = np.arange(1.0, 7)
    res = metaan.pool(EFF, method="GENQ", weights=a, test="z")
    assert res.estimate == pytest.approx(a @ Y / a.sum())
    assert res.se**2 == pytest.approx((a**2) @ (V + res.tau2) / a.sum() ** 2)
    np.testing.assert_allclose(res.weights, 100 * a / a.sum())


def test_the_test_names_its_null_hypothesis():
    x, n = [3, 9, 4], [20, 44, 28]
    assert "for a rate of 50%" in str(metaan.pool(metaan.effect_size("PLO", events=x, total=n)))
    assert "for an effect of 0" in str(metaan.pool(EFF))
    for measure in ("PR", "PLN", "PAS", "PFT"):
        assert ", p " not in str(metaan.pool(metaan.effect_size(measure, events=x, total=n))).split("Spread")[0]


def test_effects_as_given_keep_their_standard_error_on_the_display_scale():
    res = metaan.pool(EFF)
    assert res.back().se == res.se
    assert "Estimate" in str(res.back())


def test_a_prediction_interval_inside_the_confidence_interval_is_noted():
    rng = np.random.default_rng(4)
    for _ in range(500):
        res = metaan.pool(metaan.effects(rng.normal(0, 0.45, 5), np.full(5, 0.16)))
        narrow = res.pi_high - res.pi_low < res.ci_high - res.ci_low
        assert narrow == ("pi-narrow" in codes(res))
    wide = metaan.pool(EFF, pi="hk")
    assert "pi-narrow" not in codes(wide)


def test_bootstrap_is_described_and_checked():
    res = metaan.pool(EFF, pi="bootstrap", draws=500, seed=7)
    assert "500 draws, seed 7" in str(res)
    assert (res.spec.draws, res.spec.seed) == (500, 7)
    for kwargs in ({"draws": 0}, {"draws": 1.5}, {"draws": True}, {"seed": -1}, {"seed": 0.5}):
        with pytest.raises(metaan.errors.OptionError, match=next(iter(kwargs))):
            metaan.pool(EFF, pi="bootstrap", **kwargs)


def test_limits_cut_at_the_end_of_the_scale_are_noted():
    eff = metaan.effect_size("PAS", events=[0, 0, 1], total=[9, 14, 11])
    assert "cut" in codes(metaan.pool(eff).back())
    inside = metaan.effect_size("PAS", events=[10, 12, 11], total=[20, 22, 21])
    assert "cut" not in codes(metaan.pool(inside).back())


def test_tau2_interval_carries_notes():
    low_q = metaan.pool(metaan.effects([0.1, 0.101, 0.1, 0.0999, 0.1], [1.0] * 5))
    interval = metaan.tau2_interval(low_q)
    assert tuple(interval) == (0, 0)
    assert [note.code for note in interval.notes] == ["both-zero"]
    clone = pickle.loads(pickle.dumps(interval))
    assert clone == interval
    assert clone.notes == interval.notes
    assert metaan.tau2_interval(metaan.pool(EFF)).notes == ()
