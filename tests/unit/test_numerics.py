"""Where digits, degrees of freedom or maxima are easily lost: each against an independent computation."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

import metaan
from metaan.errors import DataError, OptionError

RARE = {
    "events_t": [0, 1, 0, 1, 2, 1, 1],
    "total_t": [170, 64, 86, 90, 145, 85, 145],
    "events_c": [1, 0, 1, 0, 0, 0, 0],
    "total_c": [340, 32, 86, 30, 36, 85, 36],
}


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL"])
def test_every_trial_at_an_end_may_still_have_a_finite_tau(model):
    """Where trials differ in their odds the likelihood need not rise with tau: here it is highest at tau = 0."""
    res = metaan.glmm("OR", **RARE, model=model)
    assert res.tau == 0
    assert res.loglik == res.loglik_common
    limit = 2 * math.log(2 / 7) + 5 * math.log(5 / 7)  # of tau without bound: seven yes-or-no observations
    assert res.loglik > limit
    assert "tau2-unbounded" not in {note.code for note in res.notes}


def test_no_finite_tau_is_better_than_its_limit_where_tau_is_held():
    res = metaan.glmm("OR", events_t=[0, 1], total_t=[53, 73], events_c=[1, 0], total_c=[13, 146])
    assert res.tau == 10
    assert res.loglik < 2 * math.log(1 / 2)
    assert "tau2-unbounded" in {note.code for note in res.notes}


def test_counts_beyond_precision_are_refused():
    with pytest.raises(DataError, match="a million events"):
        metaan.glmm("IRR", events_t=[1e7, 2e7], time_t=[1e7] * 2, events_c=[1e7, 1e7], time_c=[1e7] * 2)


def test_contrast_of_kenward_roger_has_its_own_degrees_of_freedom():
    rng = np.random.default_rng(3)
    y = rng.normal(0, 0.5, 18) + np.repeat([0, 0.5, 1], [3, 6, 9])
    eff = metaan.effects(y, rng.uniform(0.02, 0.5, 18))
    sub = metaan.subgroups(eff, list(np.repeat(list("abc"), [3, 6, 9])), tau2="common", test="kr")
    table = sub.contrasts(adjust="none").table.set_index(["group_a", "group_b"])
    for i, j, pair in ((0, 1, ("a", "b")), (1, 2, ("b", "c"))):
        weights = np.eye(3)[i] - np.eye(3)[j]
        one = sub.regression.contrast(weights).iloc[0]
        assert table.loc[pair, "df"] == pytest.approx(one["df"])
        assert table.loc[pair, "pvalue"] == pytest.approx(one["pvalue"])


def kenward_roger_1997(x, v, tau2, beta, rows):
    """F and its second degrees of freedom from the formulas of the paper, covariance inverses written out."""
    w = np.diag(1 / (v + tau2))
    phi = np.linalg.inv(x.T @ w @ x)
    p, q = -x.T @ w @ w @ x, x.T @ w @ w @ w @ x
    projection = w - w @ x @ phi @ x.T @ w
    variance = 2 / np.trace(projection @ projection)
    adjusted = phi + 2 * variance * phi @ (q - p @ phi @ p) @ phi
    m = len(rows)
    theta = rows.T @ np.linalg.inv(rows @ phi @ rows.T) @ rows
    part = theta @ phi @ p @ phi
    a1, a2 = variance * np.trace(part) ** 2, variance * np.trace(part @ part)
    b = (a1 + 6 * a2) / (2 * m)
    g = ((m + 1) * a1 - (m + 4) * a2) / ((m + 2) * a2)
    c1, c2, c3 = g / (3 * m + 2 * (1 - g)), (m - g) / (3 * m + 2 * (1 - g)), (m + 2 - g) / (3 * m + 2 * (1 - g))
    e = 1 / (1 - a2 / m)
    spread = 2 / m * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = spread / (2 * e**2)
    df2 = 4 + (m + 2) / (m * rho - 1)
    value = rows @ beta
    return df2 / (e * (df2 - 2)) * value @ np.linalg.inv(rows @ adjusted @ rows.T) @ value / m, df2


@pytest.mark.parametrize("seed", range(6))
def test_joint_test_of_kenward_roger_is_that_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    k = 20
    x, v = np.column_stack([np.ones(k), rng.normal(size=(k, 2))]), np.exp(rng.normal(-2, 0.7, k))
    y = rng.normal(0, np.sqrt(v + 0.2))
    eff = metaan.effects(y, v, data=pd.DataFrame({"a": x[:, 1], "b": x[:, 2]}))
    fit = metaan.regress(eff, "~ a + b", test="kr")
    f, df2 = kenward_roger_1997(x, v, fit.tau2, fit.estimate, np.eye(3)[1:])
    assert (fit.QM, fit.QM_df2) == pytest.approx((f, df2), rel=1e-8)
    assert fit.QM_pvalue == pytest.approx(f_distribution.sf(f, 2, df2), rel=1e-8)


def test_no_joint_test_of_kenward_roger_without_degrees_of_freedom():
    """The formulas of the paper end at df2 near or below 2 for some data: there is no test then, and a note."""
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(8, 12))
        v = np.exp(rng.normal(-2, 2.0, k)) + 0.001
        eff = metaan.effects(
            rng.normal(0, np.sqrt(v)), v, data=pd.DataFrame(rng.normal(size=(k, 2)), columns=["a", "b"])
        )
        try:
            fit = metaan.regress(eff, "~ a + b", test="kr")
        except OptionError:  # too few degrees of freedom for a coefficient
            continue
        if math.isnan(fit.QM):
            found += 1
            assert "kr-no-test" in {note.code for note in fit.notes}
        else:
            assert fit.QM >= 0
            assert fit.QM_df2 > 2
            assert 0 <= fit.QM_pvalue <= 1
    assert found >= 5


YEARS = np.random.default_rng(2).integers(1990, 2024, 24).astype(float)
GROUPS = np.repeat(np.arange(8), 3)


def years(centre):
    rng = np.random.default_rng(5)
    y, v = 0.01 * (YEARS - 2005) + rng.normal(0, 0.4, 24), rng.uniform(0.02, 0.2, 24)
    return metaan.effects(y, v, data=pd.DataFrame({"year": YEARS - centre, "g": GROUPS}))


@pytest.mark.parametrize("kind", ["hk", "kr", "z", "CR2", "CR0"])
def test_powers_of_a_year_lose_no_digits(kind):
    """The same model with and without a centre: tests, predictions and the likelihood are equal."""
    fits = []
    for centre in (0, 2005):
        fit = metaan.regress(years(centre), "~ year + I(year**2)", test=kind if not kind.startswith("CR") else "hk")
        fits.append(metaan.robust(fit, "g", kind=kind) if kind.startswith("CR") else fit)
    raw, centred = fits
    for name in ("QM", "QM_df2", "loglik", "tau2"):
        assert getattr(raw, name) == pytest.approx(getattr(centred, name), rel=1e-6)
    columns = ["estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high"]
    one, other = (fit.predict()[columns] for fit in fits)
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    assert raw.se[2] == pytest.approx(centred.se[2], rel=1e-6)


def test_one_level_takes_the_higher_of_two_maxima():
    y = [0.511, 0.213, 0.926, -0.449, 0.537, -0.629, 0.757, -0.361]
    v = [0.0044, 0.7877, 0.0212, 0.1398, 0.0029, 0.1866, 0.1768, 0.5867]
    x = [-0.659, -0.688, 1.461, -1.568, -1.493, 0.627, -1.006, -0.476]
    eff = metaan.effects(y, v, data=pd.DataFrame({"x": x}))
    one = metaan.regress(eff, "~ x", method="ML", test="z")
    other = metaan.multilevel(eff, "estimate", formula="~ x", method="ML", test="z")
    assert other.loglik == pytest.approx(one.loglik, abs=1e-10)
    assert other.sigma2[0] == pytest.approx(one.tau2, rel=1e-7)


def test_smdh_does_not_depend_on_the_unit():
    """metafor 3.8 has the variances to the first power in LS2, so that centimetres and metres differ."""
    vi = [
        metaan.effect_size(
            "SMDH", variance="LS2", mean_t=[10 * c], sd_t=[3 * c], n_t=[30], mean_c=[8 * c], sd_c=[4 * c], n_c=[25]
        ).vi[0]
        for c in (1, 0.1, 100)
    ]
    assert vi == pytest.approx([vi[0]] * 3, rel=1e-12)
    s2, d = 12.5, 2 / math.sqrt(12.5)
    j = 1 - 3 / (4 * 53 - 1)
    expected = 9 / (30 * s2) + 16 / (25 * s2) + (j * d) ** 2 / (8 * s2**2) * (81 / 30 + 256 / 25)
    assert vi[0] == pytest.approx(expected, rel=1e-4)


def test_statsmodels_agrees_on_equal_variances():
    both = metaan.compare(
        metaan.pool(metaan.effects([0.1, 0.5, 0.2, 0.9, 0.4, 0.8], [0.01] * 6), method="PM", test="t")
    )
    assert both.table["tau2"].to_numpy() == pytest.approx(0.0916667, abs=1e-6)


def test_many_clusters_take_memory_in_proportion():
    rng = np.random.default_rng(1)
    k = 2000
    eff = metaan.effects(rng.normal(size=k), rng.uniform(0.1, 1, k), data=pd.DataFrame({"x": rng.normal(size=k)}))
    fit = metaan.regress(eff, "~ x", method="DL")
    tracemalloc.start()
    metaan.robust(fit, np.repeat(np.arange(k // 2), 2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # pairs of clusters would take 8 MB for each pair of coefficients, blocks of pairs much more


def test_robust_refuses_weights_of_the_caller():
    eff = metaan.effects([0.1, 0.5, 0.2, 0.9], [0.01, 0.02, 0.03, 0.01])
    with pytest.raises(OptionError, match="GENQ"):
        metaan.robust(metaan.pool(eff, method="GENQ", weights=[1, 1, 2, 1]), list("aabb"))
