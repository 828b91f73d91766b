"""Categories pooled together: each likelihood is the one it says it is, and every valid input has an answer."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.printed import printed
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import betabinom, chi2, dirichlet_multinomial, multinomial

import metaan
from metaan.core.multinomial import Dirichlet, evaluate, fit
from metaan.core.multinomial_normal import Sequential, gauss_hermite, maximise, mean_shares
from metaan.core.multinomial_normal import evaluate as evaluate_normal
from metaan.errors import DataError, InputError, OptionError

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
X = np.array([[126, 19, 18, 8], [20, 35, 21, 5], [36, 62, 47, 13], [13, 1, 3, 1], [107, 24, 11, 0], [130, 31, 39, 2]])


def pooled(x, **options):
    x = np.asarray(x)
    names = ("cr", "pr", "sd", "pd") if x.shape[1] == 4 else [f"c{i}" for i in range(x.shape[1])]
    return metaan.categories(columns=dict(zip(names, x.T, strict=True)), **options)


def codes(res):
    return [note.code for note in res.notes]


def log_likelihood(x, pi, rho):
    d = Dirichlet.from_counts(np.asarray(x, float)[:, :, None])
    return evaluate(d, np.asarray(pi)[:, None], np.array([rho])).loglik[0]


@pytest.mark.parametrize("rho", [0.3, 0.01, 1e-4])
def test_dirichlet_likelihood_is_scipys(rho):
    pi = np.array([0.5, 0.25, 0.2, 0.05])
    own = sum(dirichlet_multinomial.logpmf(row, pi * (1 - rho) / rho, row.sum()) for row in X)
    assert log_likelihood(X, pi, rho) == pytest.approx(own, abs=1e-8)


def test_multinomial_is_the_limit():
    pi = np.array([0.5, 0.25, 0.2, 0.05])
    own = sum(multinomial.logpmf(row, row.sum(), pi) for row in X)
    assert log_likelihood(X, pi, 0.0) == pytest.approx(own, abs=1e-10)
    assert log_likelihood(X, pi, 1e-13) == pytest.approx(own, abs=1e-8)


def test_large_counts_are_summed_by_few_nodes():
    x = np.array([[2_000_000, 1_000_000, 5], [300_000, 700_000, 0], [17, 30, 900]])
    pi, rho = np.array([0.5, 0.45, 0.05]), 0.1
    own = sum(dirichlet_multinomial.logpmf(row, pi * (1 - rho) / rho, row.sum()) for row in x)
    assert log_likelihood(x, pi, rho) == pytest.approx(own, abs=1e-6)
    assert Dirichlet.from_counts(x[:, :, None].astype(float)).j.size < 500


def test_dirichlet_derivatives():
    d, h = Dirichlet.from_counts(X[:, :, None].astype(float)), 1e-6
    at = lambda pi, rho: evaluate(d, pi[:, None], np.array([rho]))  # noqa: E731
    pi, rho = np.array([0.5, 0.25, 0.2, 0.05]), 0.07
    here = at(pi, rho)
    for c, e in enumerate(np.eye(4) * h):
        up, down = at(pi + e, rho), at(pi - e, rho)
        assert here.pi[c, 0] == pytest.approx((up.loglik - down.loglik)[0] / (2 * h), rel=1e-5, abs=1e-5)
        assert here.pi_pi[c, 0] == pytest.approx((up.pi - down.pi)[c, 0] / (2 * h), rel=1e-5)
        assert here.pi_rho[c, 0] == pytest.approx((up.rho - down.rho)[0] / (2 * h), rel=1e-5, abs=1e-3)
    up, down = at(pi, rho + h), at(pi, rho - h)
    assert here.rho[0] == pytest.approx((up.loglik - down.loglik)[0] / (2 * h), rel=1e-5, abs=1e-5)
    assert here.rho_rho[0] == pytest.approx((up.rho - down.rho)[0] / (2 * h), rel=1e-5)


def test_two_categories_are_the_beta_binomial_model():
    x = np.array([A["events"], np.subtract(A["total"], A["events"])]).T
    res = pooled(x, test="z")
    assert res.estimate[0] == printed("0.10076")
    assert res.rho == printed("0.02861")
    assert res.loglik == printed("-17.60309")
    a, b = res.estimate * (1 - res.rho) / res.rho
    assert a == printed("3.42099")
    assert b == printed("30.52992")
    assert betabinom.logpmf(A["events"], A["total"], a, b).sum() == pytest.approx(res.loglik, abs=1e-10)
    free = minimize(lambda t: -betabinom.logpmf(A["events"], A["total"], *np.exp(t)).sum(), [1.0, 3.0], tol=1e-12)
    assert res.loglik == pytest.approx(-free.fun, abs=1e-8)


def simplex(t):
    e = np.exp(np.r_[t, 0.0])
    return e / e.sum()


def test_maximum_and_profile_by_brute_force():
    res = pooled(X, ci="profile")
    free = minimize(lambda t: -log_likelihood(X, simplex(t[:3]), expit(t[3])), [0, 0, 0, -2.0], tol=1e-10)
    assert res.loglik == pytest.approx(-free.fun, abs=1e-7)
    assert np.allclose(res.estimate, simplex(free.x[:3]), atol=1e-5)
    for limit in (res.cumulated_low[0], res.cumulated_high[0]):

        def lower(t, psi=limit):
            inside, outside = expit(t[0]), expit(t[1])
            pi = np.r_[psi * inside, psi * (1 - inside), (1 - psi) * outside, (1 - psi) * (1 - outside)]
            return -log_likelihood(X, pi, expit(t[2]))

        fixed = minimize(lower, [0.5, 1.0, -2.0], tol=1e-10)
        assert 2 * (res.loglik + fixed.fun) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-5)


def test_covariance_is_the_inverse_information():
    d = Dirichlet.from_counts(X[:, :, None].astype(float))
    found, h = fit(d), 1e-4
    f = lambda t: log_likelihood(X, simplex(t[:3]), t[3])  # noqa: E731
    pi = found.pi[:, 0]
    centre, e = np.r_[np.log(pi[:3] / pi[3]), found.rho[0]], np.eye(4) * h
    hess = [[(f(centre + a + b) - f(centre + a - b) - f(centre - a + b) + f(centre - a - b)) for b in e] for a in e]
    jac = np.zeros((5, 4))
    jac[:4, :3] = (np.diag(pi) - np.outer(pi, pi))[:, :3]
    jac[4, 3] = 1
    cov = jac @ np.linalg.inv(-np.array(hess) / (4 * h * h)) @ jac.T
    assert np.allclose(found.cov[0], cov, rtol=1e-3, atol=1e-8)


def test_independent_stages_are_separate_glmms():
    res = pooled(X, model="normal", structure="diagonal")
    left, total, loglik = 1.0, X.sum(axis=1), 0.0
    for a in range(3):
        one = metaan.glmm("PLO", events=X[:, a], total=total)
        assert res.stage_estimate[a] == pytest.approx(one.estimate, abs=1e-8)
        assert math.sqrt(res.stage_cov[a, a]) == pytest.approx(one.tau, abs=1e-8)
        assert res.typical[a] == pytest.approx(left * expit(one.estimate), abs=1e-8)
        left, total, loglik = left * expit(-one.estimate), total - X[:, a], loglik + one.loglik
    assert res.loglik == pytest.approx(loglik, abs=1e-8)


def dense(x, mu, L, h=0.2, reach=7.4):
    """Marginal log-likelihood by a dense trapezoidal rule in three dimensions."""
    u1 = np.arange(-reach, reach + h / 2, h)
    u = np.stack(np.meshgrid(u1, u1, u1, indexing="ij"), axis=-1).reshape(-1, 3)
    p = expit(mu + u @ L.T)
    q = np.cumprod(1 - p, axis=1)
    share = np.c_[p[:, 0], q[:, 0] * p[:, 1], q[:, 1] * p[:, 2], q[:, 2]]
    weight = np.exp(-(u**2).sum(axis=1) / 2) * (h / math.sqrt(2 * math.pi)) ** 3
    ways = [math.factorial(sum(row)) / math.prod(math.factorial(n) for n in row) for row in x.tolist()]
    return sum(
        math.log(w * (weight @ (share**row).prod(axis=1))) for w, row in zip(ways, x, strict=True)
    ), weight @ share


def test_correlated_likelihood_and_means_by_dense_cubature():
    x = np.array([[3, 1, 0, 1], [0, 4, 2, 2], [6, 0, 0, 0]])
    mu, L = np.array([0.2, -0.4, 1.0]), np.array([[0.9, 0, 0], [0.5, 0.6, 0], [-0.4, 0.3, 0.7]])
    b = Sequential.from_counts(x.astype(float))
    loglik, share = dense(x, mu, L)
    assert evaluate_normal(b, mu, L, gauss_hermite(b, mu, L, 25)).loglik == pytest.approx(loglik, abs=1e-7)
    assert np.allclose(mean_shares(mu, L)[0], share, atol=1e-9)


def test_correlated_derivatives():
    b, h = Sequential.from_counts(X[:4].astype(float)), 1e-4
    theta = np.array([0.2, 0.1, 1.5, 0.9, 0.3, 0.5, -0.2, 0.4, 0.6])

    def at(t):
        L = np.zeros((3, 3))
        L[np.tril_indices(3)] = t[3:]
        return evaluate_normal(b, t[:3], L, gauss_hermite(b, t[:3], L, 17)), mean_shares(t[:3], L)

    here, (_, jac) = at(theta)
    for i, e in enumerate(np.eye(9) * h):
        (up, (high, _)), (down, (low, _)) = at(theta + e), at(theta - e)
        assert here.gradient[i] == pytest.approx((up.loglik - down.loglik) / (2 * h), abs=1e-5)
        assert np.allclose(here.hessian[i], (up.gradient - down.gradient) / (2 * h), atol=1e-4)
        assert np.allclose(jac[:, i], (high - low) / (2 * h), atol=1e-8)


def test_correlated_fit_is_a_maximum_and_no_lower_than_independent():
    res = pooled(X, model="normal")
    assert res.loglik >= res.loglik_diagonal
    b = Sequential.from_counts(X.astype(float))
    other = maximise(b, res.stage_estimate + 0.2, np.diag([0.5, 0.4, 0.6]) + np.diag([0.2, -0.2], -1))
    assert other.loglik == pytest.approx(res.loglik, abs=1e-6)
    assert np.allclose(other.L @ other.L.T, res.stage_cov, atol=1e-4)
    assert "singular" in codes(res)


def test_complete_response_is_part_of_objective_response():
    for options in ({}, {"ci": "profile"}, {"model": "normal"}):
        res = pooled(X, **options)
        assert res.cumulated == ("or", "dc")
        assert res.cumulated_estimate[0] == pytest.approx(res.estimate[:2].sum())
        assert res.estimate[0] <= res.cumulated_estimate[0] <= res.cumulated_estimate[1] <= 1
        variance = res.cov[:2, :2].sum()
        assert res.cumulated_se[0] == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize("model", ["dirichlet", "normal"])
def test_an_empty_category_has_a_limit(model):
    x = X.copy()
    x[:, 3] = 0
    res = pooled(x, model=model)
    assert res.estimate[3] == 0
    assert 0 < res.ci_high[3] < 0.2
    assert res.cumulated_estimate[1] == 1
    assert res.cumulated_low[1] == pytest.approx(1 - res.ci_high[3])
    assert "empty-category" in codes(res)
    without = pooled(x[:, :3], model=model)
    assert np.allclose(without.estimate, res.estimate[:3])


def test_one_study_one_category_single_observations():
    one = pooled([[5, 3, 2, 0]])
    assert np.allclose(one.estimate, [0.5, 0.3, 0.2, 0])
    assert "one-study" in codes(one)
    assert one.ci_high[3] == pytest.approx(1 - math.exp(-chi2.ppf(0.95, 1) / 20))
    every = pooled([[7, 0, 0, 0], [53, 0, 0, 0]])
    assert every.estimate[0] == 1
    assert every.ci_low[0] == printed("0.968")
    single = pooled([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert np.allclose(single.estimate, [0.5, 0.25, 0.25])
    assert "rho-not-identified" in codes(single)


def test_studies_at_the_corners_have_rho_one():
    x = [[9, 0, 0], [0, 5, 0], [0, 0, 7], [8, 0, 0]]
    res = pooled(x)
    assert res.rho == 1
    assert np.allclose(res.estimate, [0.5, 0.25, 0.25])
    near = [log_likelihood(x, res.estimate, 1 - e) for e in (1e-2, 1e-4, 1e-6)]
    assert near[0] < near[1] < near[2] < res.loglik
    assert near[2] == pytest.approx(res.loglik, abs=1e-4)


def test_equal_shares_have_rho_zero():
    res = pooled([[20, 10, 10], [40, 20, 20], [10, 5, 5]])
    assert res.rho == 0
    assert res.lrt_pvalue == 1
    assert np.allclose(np.diagonal(res.cov), res.estimate * (1 - res.estimate) / 140)


def test_tables_for_figures_and_reading():
    res = pooled(X)
    bars = res.bars()
    assert len(bars) == 28
    assert (bars.groupby("study")["end"].last() == 1).all()
    assert np.allclose(bars["end"] - bars["start"], bars["share"])
    assert set(bars.columns) | set(res.studies().columns) | set(res.to_frame().columns) <= set(metaan.names.COLUMNS)
    shrunken = res.studies()["shrunken"].to_numpy().reshape(6, 4)
    alpha = res.estimate * (1 - res.rho) / res.rho
    assert np.allclose(shrunken, (X + alpha) / (X.sum(axis=1, keepdims=True) + alpha.sum()))
    for text in (str(res), str(pooled(X, model="normal")), str(pooled(np.ones((3, 11), int) * 5))):
        assert len(text.splitlines()) <= 20
        assert "sum to 1" in text
    json.dumps(res.to_dict(), allow_nan=False)
    assert not pickle.loads(pickle.dumps(res)).estimate.flags.writeable
    assert res.aic == pytest.approx(8 - 2 * res.loglik)


def test_bad_input():
    frame = pd.DataFrame({"cr": [1, 2], "pr": [3, 4], "sd": [0, 0.5], "pd": [0, 0], "unit": ["patient", "lesion"]})
    with pytest.raises(DataError, match="patients and lesions"):
        metaan.categories(frame)
    with pytest.raises(DataError, match="whole number"):
        metaan.categories(frame.drop(columns="unit"))
    with pytest.raises(DataError, match="sum to 0"):
        pooled([[0, 0], [1, 2]])
    with pytest.raises(InputError, match="at least two"):
        metaan.categories(columns={"cr": [1]})
    for options in ({"model": "norm"}, {"structure": "full"}, {"model": "normal", "ci": "profile"}, {"level": 95}):
        with pytest.raises(OptionError):
            pooled(X, **options)
    with pytest.raises(OptionError, match="at most four"):
        pooled(np.ones((3, 5), int), model="normal")
    dropped = metaan.categories(columns={"a": [1, math.nan, 3], "b": [3, 2, 1]}, missing="drop")
    assert dropped.k == 2
    assert "dropped" in codes(dropped)
