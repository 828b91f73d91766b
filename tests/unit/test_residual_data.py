"""Radial and QQ data against plain algebra and simulation; the values of metafor are in tests/reference."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom, norm

import metaan
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.1, 0.12, 0.08, 0.15, 0.9, 0.11, 0.3]), np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.05, 0.04])
ROWS = pd.DataFrame({"x": [1, 4, 2, 5, 3, 3, 6], "s": list("aabbccc"), "g": list("aaaaabb")})
EFF = metaan.effects(Y, V, data=ROWS)
X, N = [0, 3, 1, 4, 2, 3, 25, 7], [20, 44, 28, 30, 51, 30, 40, 40]
TABLES = {"events_t": [3, 2, 0, 5], "total_t": [20, 30, 15, 40], "events_c": [1, 5, 2, 3], "total_c": [22, 28, 14, 45]}


def test_radial():
    res = metaan.pool(EFF, method="DL", test="z", level=0.9)
    table = metaan.radial_data(res)
    np.testing.assert_allclose(table.z / table.x, Y)
    np.testing.assert_allclose(1 / table.x**2, V + res.tau2)
    # least squares through the origin is the pooled effect
    assert (table.x @ table.z) / (table.x @ table.x) == pytest.approx(res.estimate)
    assert (table.attrs["slope"], table.attrs["slope_high"]) == (res.estimate, res.ci_high)
    assert table.attrs["band"] == pytest.approx(norm.ppf(0.95))


def test_the_arc():
    table = metaan.radial_data(metaan.pool(EFF, test="z"))
    value, x, z = (np.array(table.attrs["arc"][name]) for name in ("value", "x", "z"))
    np.testing.assert_allclose(z / x, value)
    width, height = 1.02 * table.x.max(), 1.02 * table.z.abs().max()
    np.testing.assert_allclose((x / width) ** 2 + (z / height) ** 2, 1)
    assert (value[0], value[6]) == (Y.min(), Y.max())
    flat = metaan.radial_data(metaan.pool(metaan.effects([0.0, 0.0], [0.1, 0.2]), method="CE", test="z")).attrs["arc"]
    np.testing.assert_allclose(np.array(flat["z"]) / flat["x"], flat["value"])


def test_radial_of_rates_and_tables_on_the_analysis_scale():
    res = metaan.pool(metaan.effect_size("PLO", events=X, total=N))
    one, other = metaan.radial_data(res), metaan.radial_data(res.back())
    assert one.equals(other)
    assert one.attrs["slope"] == other.attrs["slope"] == res.estimate
    tables = metaan.mantel_haenszel("OR", **TABLES)
    np.testing.assert_allclose(metaan.radial_data(tables).x, 1 / np.sqrt(tables.effects.vi))


def residual_sd(x, m, a):
    keep = np.eye(len(m)) - x @ a
    return np.sqrt(np.diagonal(keep @ m @ keep.T))


@pytest.mark.parametrize("test", ["z", "hk"])
def test_standardised_residuals_of_pooling(test):
    for method, weights in (("REML", None), ("CE", None), ("GENQ", np.arange(1.0, 8))):
        res = metaan.pool(EFF, method=method, test=test, weights=weights)
        a = (1 / (V + res.tau2) if weights is None else weights)[None]
        sd = residual_sd(np.ones((7, 1)), np.diag(V + res.tau2), a / a.sum())
        made = metaan.qq_data(res, kind="standardised", envelope="none")
        np.testing.assert_allclose(made["sample"], np.sort((Y - res.estimate) / sd))
        assert made.study.tolist() == [str(i + 1) for i in np.argsort((Y - res.estimate) / sd)]


@pytest.mark.parametrize("correlated", [False, True])
def test_standardised_residuals_with_moderators(correlated):
    vcov = metaan.sampling_covariance(EFF, "s", correlation=0.4) if correlated else None
    linear, nested = metaan.regress(EFF, "~ x"), metaan.multilevel(EFF, "s/estimate", formula="~ x", vcov=vcov)
    same = ROWS.s.to_numpy()[:, None] == ROWS.s.to_numpy()
    v = np.diag(V) if vcov is None else vcov
    for fit, m in (
        (linear, np.diag(V + linear.tau2)),
        (nested, v + nested.sigma2[0] * same + nested.sigma2[1] * np.eye(7)),
    ):
        x = fit.moderators.matrix
        solved = np.linalg.solve(m, x)
        a = np.linalg.solve(x.T @ solved, solved.T)
        expected = (Y - x @ a @ Y) / residual_sd(x, m, a)
        made = metaan.qq_data(fit, kind="standardised", envelope="none")
        np.testing.assert_allclose(made["sample"], np.sort(expected), rtol=1e-7)


def test_deleted_residuals_are_those_of_influence():
    for res in (metaan.pool(EFF), metaan.regress(EFF, "~ x"), metaan.glmm("PLO", events=X, total=N)):
        made = metaan.qq_data(res)
        np.testing.assert_array_equal(made["sample"], np.sort(metaan.influence(res).rstudent))


def test_with_tau2_known_deleted_and_standardised_residuals_are_the_same():
    res = metaan.pool(EFF, method="CE", test="z")
    one, other = (metaan.qq_data(res, kind=kind, envelope="none")["sample"] for kind in ("deleted", "standardised"))
    np.testing.assert_allclose(one, other)


def test_scores_of_counts():
    res = metaan.glmm("PLO", events=X, total=N)
    made = metaan.qq_data(res, kind="standardised")
    np.testing.assert_allclose(made["sample"], np.sort(res.residuals()["quantile"]))
    assert made.attrs["envelope"] == "analytic"
    beta = metaan.beta_binomial(events=X, total=N)
    law = betabinom(N, beta.a, beta.b)
    expected = norm.ppf(law.cdf(np.array(X) - 1) + law.pmf(X) / 2)
    np.testing.assert_allclose(metaan.qq_data(beta, kind="standardised")["sample"], np.sort(expected), atol=1e-7)


def test_simulated_envelope():
    """Against data drawn and fitted one by one."""
    fit = metaan.regress(EFF, "~ x", method="CE", test="z")
    made = metaan.qq_data(fit, draws=20_000, seed=5)
    rng, x = np.random.default_rng(1), fit.moderators.matrix
    w = 1 / V
    a = np.linalg.solve(x.T @ (w[:, None] * x), x.T * w)
    y = rng.normal(0, np.sqrt(V), (20_000, 7))
    residual = np.sort((y - y @ a.T @ x.T) / residual_sd(x, np.diag(V), a), axis=1)
    np.testing.assert_allclose(made.low, np.quantile(residual, 0.025, axis=0), atol=0.06)
    np.testing.assert_allclose(made.high, np.quantile(residual, 0.975, axis=0), atol=0.06)


def test_envelope_of_correlated_estimates():
    vcov = metaan.sampling_covariance(EFF, "s", correlation=0.9)
    fit = metaan.multilevel(EFF, "s/estimate", vcov=vcov)
    made = metaan.qq_data(fit, kind="standardised", draws=5000)
    assert (made.low < made.high).all()
    assert made.low.is_monotonic_increasing


def test_analytic_envelope():
    made = metaan.qq_data(metaan.pool(EFF), envelope="analytic")
    draws = np.sort(np.random.default_rng(2).standard_normal((40_000, 7)), axis=1)
    np.testing.assert_allclose(made.low, np.quantile(draws, 0.025, axis=0), atol=0.05)
    np.testing.assert_allclose(made.high, np.quantile(draws, 0.975, axis=0), atol=0.05)
    np.testing.assert_allclose(made.low, -made.high[::-1])


def test_theoretical_quantiles():
    seven = metaan.qq_data(metaan.pool(EFF), envelope="none")
    np.testing.assert_allclose(norm.cdf(seven.theoretical), (np.arange(7) + 5 / 8) / 7.25)
    twelve = metaan.qq_data(metaan.pool(metaan.effects(np.arange(12.0), np.ones(12))), envelope="none")
    np.testing.assert_allclose(norm.cdf(twelve.theoretical), (np.arange(12) + 0.5) / 12)
    assert twelve.low.isna().all()


def test_the_seed_is_all_that_is_random():
    res = metaan.pool(EFF)
    one, same, other = (metaan.qq_data(res, draws=200, seed=seed) for seed in (3, 3, 4))
    assert one.equals(same)
    assert not one.equals(other)
    assert (one.attrs["draws"], one.attrs["seed"]) == (200, 3)
    assert metaan.qq_data(res, envelope="analytic").attrs["seed"] is None


def test_a_study_that_determines_its_own_fitted_value():
    fit = metaan.regress(metaan.effects(Y[:6], V[:6], data=ROWS[:6]), "~ g")
    for kind in ("deleted", "standardised"):
        made = metaan.qq_data(fit, kind=kind)
        assert "6" not in set(made.study)
        assert made.shape[0] == 5
        assert made[["low", "high"]].notna().all(axis=None)
        assert "6" in made.attrs["notes"][0].studies


def test_what_is_refused():
    res, rates = metaan.pool(EFF), metaan.glmm("PLO", events=X, total=N)
    with pytest.raises(OptionError, match="no one slope"):
        metaan.radial_data(metaan.regress(EFF, "~ x"))
    with pytest.raises(OptionError, match="qq_data"):
        metaan.radial_data(rates)
    with pytest.raises(InputError, match="not dict"):
        metaan.radial_data({})
    with pytest.raises(OptionError, match="analytic"):
        metaan.qq_data(rates, envelope="simulated")
    for options in ({"kind": "raw"}, {"envelope": "none at all"}, {"draws": 10}, {"draws": True}, {"seed": -1}):
        with pytest.raises(OptionError, match=next(iter(options))):
            metaan.qq_data(res, **options)
    with pytest.raises(InputError, match="two studies"):
        metaan.qq_data(metaan.pool(metaan.effects([0.3], [0.1])), kind="standardised")


def test_columns_are_in_the_vocabulary():
    assert set(metaan.radial_data(metaan.pool(EFF)).columns) <= set(COLUMNS)
    assert set(metaan.qq_data(metaan.pool(EFF)).columns) <= set(COLUMNS)
