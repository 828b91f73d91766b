"""Limit meta-analysis against the steps of its paper: least squares on the radial plot, and precision without bound."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import chi2, norm

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

RNG = np.random.default_rng(5)
V = RNG.uniform(0.005, 0.3, 15)
Y = 0.2 + 0.9 * np.sqrt(V) + RNG.normal(0, np.sqrt(V + 0.15))
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


def radial(y, spread):
    """Intercept and slope of the radial plot with their covariance for errors of variance 1, and the fit."""
    x = sm.add_constant(1 / spread)
    fit = sm.OLS(y / spread, x).fit()
    return fit.params, np.linalg.inv(x.T @ x), fit


@pytest.mark.parametrize("method", ["REML", "DL", "ML", "CE", "PM"])
def test_from_the_radial_plot(method):
    res = metaan.pool(metaan.effects(Y, V), method=method)
    made = metaan.limit_meta_analysis(res)
    (alpha, beta), cov, _ = radial(Y, np.sqrt(V + res.tau2))
    assert (made.alpha, made.beta) == pytest.approx((alpha, beta), rel=1e-9)
    assert made.estimate == pytest.approx(beta + res.tau * alpha, rel=1e-9)
    contrast = np.array([res.tau, 1.0])
    se = math.sqrt(contrast @ cov @ contrast)
    assert made.se == pytest.approx(se, rel=1e-9)
    assert made.alpha_se == pytest.approx(math.sqrt(cov[0, 0]), rel=1e-9)
    assert (made.ci_low, made.ci_high) == pytest.approx(norm.interval(0.95, made.estimate, se), rel=1e-9)
    assert made.pvalue == pytest.approx(2 * norm.sf(abs(made.estimate / se)), rel=1e-9)


def test_limits_are_what_the_effects_tend_to():
    """The model's own residuals, with every variance divided by a number that grows."""
    res = metaan.pool(metaan.effects(Y, V), method="DL")
    assert res.tau2 > 0.01
    made = metaan.limit_meta_analysis(res)
    error = (Y - made.beta) / np.sqrt(V + res.tau2) - made.alpha
    gaps = []
    for times in (1e2, 1e4, 1e6):
        effect = made.beta + np.sqrt(V / times + res.tau2) * (made.alpha + error)
        gaps.append(np.abs(effect - made.limits).max())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-5
    np.testing.assert_allclose(made.studies().limit_effect, made.limits)


def test_heterogeneity_is_split():
    res = metaan.pool(metaan.effects(Y, V), method="DL")
    made = metaan.limit_meta_analysis(res)
    _, _, fit = radial(Y, np.sqrt(V))
    assert made.Q_resid == pytest.approx(fit.ssr, rel=1e-9)
    assert made.Q_small + made.Q_resid == pytest.approx(res.Q, rel=1e-9)
    assert made.Q_resid_pvalue == pytest.approx(chi2.sf(fit.ssr, 13), rel=1e-8)
    assert made.Q_small_pvalue == pytest.approx(chi2.sf(res.Q - fit.ssr, 1), rel=1e-8)
    _, _, limit = radial(made.limits, np.sqrt(V))
    assert math.isclose(made.G2, 100 * (1 - limit.rsquared), rel_tol=1e-8)


def test_without_heterogeneity_it_is_pet():
    res = metaan.pool(metaan.effects(Y, V), method="CE")
    for test in ("z", "hk"):
        made, pet = metaan.limit_meta_analysis(res, test=test), metaan.pet_peese(res).pet
        assert made.estimate == pytest.approx(pet.estimate, rel=1e-10)
        factor = math.sqrt(pet.factor) if test == "z" else 1.0
        assert made.se * factor == pytest.approx(pet.se, rel=1e-10)
        assert made.G2 == 0
        np.testing.assert_allclose(made.limits, made.estimate, rtol=1e-12)
        assert "tau2-zero" in {note.code for note in made.notes}


def test_limits_are_shrunken_effects():
    """The limits lie between beta and the effects, nearer to the effects of precise studies."""
    res = metaan.pool(metaan.effects(Y, V), method="DL")
    made = metaan.limit_meta_analysis(res)
    share = (made.limits - made.beta) / (Y - made.beta)
    np.testing.assert_allclose(share**2, res.tau2 / (V + res.tau2), rtol=1e-9)
    assert ((share > 0) & (share < 1)).all()


def test_curve_ends_at_the_estimate():
    made = metaan.limit_meta_analysis(metaan.pool(metaan.effects(Y, V)))
    curve = made.curve(points=7)
    assert curve.fitted.iloc[0] == pytest.approx(made.estimate, rel=1e-12)
    expected = made.beta + made.alpha * math.sqrt(V.max() + made.tau2)
    assert curve.fitted.iloc[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_scale(scale):
    one = metaan.limit_meta_analysis(metaan.pool(metaan.effects(Y, V)))
    two = metaan.limit_meta_analysis(metaan.pool(metaan.effects(scale * Y, scale**2 * V)))
    assert two.estimate == pytest.approx(scale * one.estimate, rel=1e-8)
    assert (two.alpha, two.G2, two.Q_small) == pytest.approx((one.alpha, one.G2, one.Q_small), rel=1e-7)


def test_identical_effects():
    made = metaan.limit_meta_analysis(metaan.pool(metaan.effects([0.3] * 4, [0.01, 0.02, 0.03, 0.04]), test="z"))
    assert made.estimate == pytest.approx(0.3, rel=1e-12)
    assert made.G2 == 0
    assert made.Q_small_pvalue == pytest.approx(1.0)


def test_effects_on_a_line():
    res = metaan.pool(metaan.effects(0.2 + np.sqrt(V), V), method="CE", test="z")
    made = metaan.limit_meta_analysis(res, test="hk")
    assert made.estimate == pytest.approx(0.2)
    assert made.se == 0
    assert "exact-line" in {note.code for note in made.notes}
    assert "exact-line" not in {note.code for note in metaan.limit_meta_analysis(res).notes}


def test_views_and_notes():
    made = metaan.limit_meta_analysis(metaan.pool(metaan.effect_size("PLO", events=X, total=N)))
    assert made.notes[0].code == "linked-variance"
    assert len(str(made).splitlines()) <= 20
    assert "Rate" in str(made) or "rate" in str(made)
    json.dumps(made.to_dict(), allow_nan=False)
    assert made.to_frame().shape[0] == 1
    for table in (made.to_frame(), made.studies(), made.curve()):
        assert set(table.columns) <= set(COLUMNS)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert str(again) == str(made)
        assert not again.limits.flags.writeable


def test_what_is_refused():
    with pytest.raises(OptionError, match="effect sizes with sampling variances"):
        metaan.limit_meta_analysis(metaan.glmm("PLO", events=X, total=N))
    with pytest.raises(OptionError, match="robust"):
        metaan.limit_meta_analysis(metaan.robust(metaan.pool(metaan.effects(Y, V)), cluster=list(range(len(Y)))))
    with pytest.raises(OptionError, match="z, t, hk"):
        metaan.limit_meta_analysis(metaan.pool(metaan.effects(Y, V)), test="kr")
    with pytest.raises(DataError, match="standard errors are equal"):
        metaan.limit_meta_analysis(metaan.pool(metaan.effects([0.1, 0.2, 0.5], [0.1, 0.1, 0.1])))
    with pytest.raises(InputError, match="at least 3"):
        metaan.limit_meta_analysis(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2])))
