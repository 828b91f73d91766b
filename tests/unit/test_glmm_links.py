"""Rates under the probit, complementary log-log and log links: the likelihood, its maximum, limits and ends."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import beta, chi2, norm

import metaan
from metaan.core.binomial import evaluate, trapezoid
from metaan.core.links import LINKS, Poisson, family_of
from metaan.core.mixed_regression import Regression
from metaan.errors import InputError, OptionError
from tests.helpers import brute

NAMES = ["logit", "probit", "cloglog", "log"]
MEASURE = {"logit": "PLO", "probit": "PROBIT", "cloglog": "CLOGLOG", "log": "PLN"}
RARE = ([0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40])
WIDE = ([1, 30, 8, 22, 0, 16, 5, 1], [40, 45, 20, 31, 12, 50, 9, 1])
FULL = ([12, 3, 8, 22, 0, 16], [12, 44, 20, 23, 12, 50])  # one study at 100 %, one but for one patient
MANY = ([61, 64, 57, 87, 11, 3, 10], [61, 64, 57, 87, 73, 23, 32])  # most studies at 100 %
DATA = {"rare": RARE, "wide": WIDE, "full": FULL, "many": MANY}
CASES = [(link, name) for link in NAMES for name in DATA]


def height(x, n, mu, tau, link):
    """Log-likelihood by brute force; under the log link rates beyond 1 count as 1, which studies at 100 % may have."""
    parts = [brute.one_arm_loglik([xi], [ni], mu, tau, link) for xi, ni in zip(x, n, strict=True)]
    beyond = norm.cdf(mu / tau) if link == "log" and tau > 0 else 0.0
    full = [math.log(math.exp(v) + beyond) if xi == ni else v for v, xi, ni in zip(parts, x, n, strict=True)]
    return math.fsum(full)


def fitted(link, name, **options):
    x, n = DATA[name]
    return x, n, metaan.glmm("PLO", events=x, total=n, link=link, **options)


@pytest.mark.parametrize(("link", "name"), CASES)
def test_likelihood_is_the_integral(link, name):
    x, n, res = fitted(link, name)
    assert res.spec.measure == MEASURE[link]
    assert res.spec.link == link
    assert res.tau > 0.1
    assert res.loglik == pytest.approx(height(x, n, res.estimate, res.tau, link), abs=1e-8)
    assert res.loglik_common == pytest.approx(height(x, n, float(LINKS[link].of_rate(sum(x) / sum(n))), 0.0, link))


@pytest.mark.parametrize(("link", "name"), CASES)
def test_no_higher_point(link, name):
    x, n, res = fitted(link, name)
    rng = np.random.default_rng(1)
    near = rng.normal(0, 1, (12, 2)) * np.array([0.02, 0.02])
    far = np.column_stack([rng.uniform(-1.5, 1, 12), rng.uniform(-res.tau, 1, 12)])
    for d_mu, d_tau in np.vstack([near, far]):
        mu, tau = res.estimate + d_mu, abs(res.tau + d_tau)
        if link != "log" or mu < 0:
            assert height(x, n, mu, tau, link) <= res.loglik + 1e-10


@pytest.mark.parametrize("link", ["cloglog", "log"])
def test_simplex_search_ends_there_too(link):
    x, n, res = fitted(link, "wide")
    at, top = brute.maximum(
        lambda mu, tau: height(x, n, mu, abs(tau), link) if link != "log" or mu < 0 else -1e9,
        [res.estimate - 0.2, res.tau + 0.2],
    )
    assert res.loglik == pytest.approx(top, abs=1e-9)
    assert (res.estimate, res.tau) == pytest.approx((at[0], abs(at[1])), abs=2e-5)


@pytest.mark.parametrize(("link", "name"), [("probit", "rare"), ("cloglog", "wide"), ("log", "full")])
def test_profile_limits(link, name):
    """At each limit the best tau leaves the log-likelihood chi2(1)/2 lower; less where the limit is a rate of 1."""
    x, n, res = fitted(link, name, ci="profile", level=0.9)
    drop = chi2.ppf(0.9, 1) / 2
    for limit in (res.ci_low, res.ci_high):
        best = minimize_scalar(
            lambda tau, mu=limit: -height(x, n, mu, tau, link), bounds=(1e-6, 6), method="bounded",
            options={"xatol": 1e-5},
        )  # fmt: skip
        if link == "log" and limit == 0:
            assert name == "full"
            assert 0 < res.loglik + best.fun < drop
        else:
            assert res.loglik + best.fun == pytest.approx(drop, abs=1e-6)


@pytest.mark.parametrize("link", ["probit", "cloglog", "log"])
def test_profile_limits_of_tau2(link):
    x, n, res = fitted(link, "wide")
    got = metaan.tau2_interval(res)
    assert got[0] < res.tau2 < got[1]
    for limit in got:
        best = minimize_scalar(
            lambda mu, tau2=limit: -height(x, n, mu, math.sqrt(tau2), link), bounds=(-9, 3 if link != "log" else -1e-9),
            method="bounded", options={"xatol": 1e-7},
        )  # fmt: skip
        assert res.loglik + best.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-6)


@pytest.mark.parametrize("link", [*LINKS])
def test_terms_of_a_count(link):
    """Value, score, information and the ratio of the second derivative to the likelihood, by differences."""
    ends = {"log": (-6.0, -0.05), "identity": (0.05, 0.95)}.get(link, (-6.0, 2.2))
    eta, h = np.linspace(*ends, 41), 1e-4
    for x, other in ((0.0, 7.0), (3.0, 0.0), (4.0, 9.0), (1.0, 1.0)):
        f = lambda e, x=x, other=other: LINKS[link].terms(np.array(x), np.array(other), e)  # noqa: E731
        at, up, down = f(eta), f(eta + h), f(eta - h)
        np.testing.assert_allclose(at.score, (up.value - down.value) / (2 * h), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(at.information, -(up.score - down.score) / (2 * h), rtol=2e-5, atol=1e-6)
        if at.second is not None:
            np.testing.assert_allclose(at.second, at.score**2 - at.information, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_terms_far_out_are_finite(link):
    eta = np.array([-400.0, -40.0, -9.0, 9.0, 40.0, 400.0])
    for x, other in ((0.0, 5.0), (5.0, 0.0), (2.0, 3.0)):
        at = LINKS[link].terms(np.array(x), np.array(other), eta)
        assert np.isfinite([at.score[:4], at.information[:4]]).all()
        assert (at.information[np.isfinite(at.information)] >= -1e-9).all()


@pytest.mark.parametrize("link", NAMES)
def test_derivatives_of_the_marginal_likelihood(link):
    x, n = (np.array(v, float)[:, None] for v in FULL)
    b, mu, tau, h = family_of(x, n, link), -0.7, 0.8, 1e-4

    def at(m, t):
        mus, taus = np.array([m]), np.array([t])
        return evaluate(b, mus, taus, trapezoid(b, mus, taus, 513))

    centre, right, left, up, down = at(mu, tau), at(mu + h, tau), at(mu - h, tau), at(mu, tau + h), at(mu, tau - h)
    assert centre.mu[0] == pytest.approx((right.loglik - left.loglik)[0] / (2 * h), abs=1e-5)
    assert centre.tau[0] == pytest.approx((up.loglik - down.loglik)[0] / (2 * h), abs=1e-5)
    assert centre.mu_mu[0] == pytest.approx((right.mu - left.mu)[0] / (2 * h), abs=1e-5)
    assert centre.mu_tau[0] == pytest.approx((up.mu - down.mu)[0] / (2 * h), abs=1e-5)
    assert centre.tau_tau[0] == pytest.approx((up.tau - down.tau)[0] / (2 * h), abs=1e-5)


def families():
    x, n = (np.array(v, float)[:, None] for v in ([0, 9, 1, 14, 2, 3, 9, 20, 1], [20, 44, 28, 30, 51, 30, 40, 40, 7]))
    full = np.where(np.arange(9)[:, None] == 3, n, x)  # one study at 100 %
    return {link: family_of(full, n, link) for link in ("logit", "probit", "cloglog", "log")} | {
        "poisson": Poisson.from_counts(x, n)
    }


@pytest.mark.parametrize("link", families())
def test_derivatives_with_moderators(link):
    design = np.column_stack([np.ones(9), np.linspace(-0.4, 0.4, 9)])
    model, theta, h = Regression(families()[link], design), np.array([-0.9, 0.3, 0.7]), 1e-4
    at = model.at(theta[None], 4)
    moves = np.vstack([theta + s * h * np.eye(3)[j] for j in range(3) for s in (1, -1)])
    near = model.at(moves, 4)
    slope = (near.loglik[::2] - near.loglik[1::2]) / (2 * h)
    curve = (near.gradient[::2] - near.gradient[1::2]) / (2 * h)
    np.testing.assert_allclose(at.gradient[0], slope, atol=2e-5)
    np.testing.assert_allclose(at.hessian[0], curve, atol=2e-5)
    np.testing.assert_array_equal(at.hessian[0], at.hessian[0].T)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("ci", ["wald", "profile"])
def test_non_events_change_the_sign(link, ci):
    x, n = map(np.array, WIDE)
    one = metaan.glmm("PLO", events=x, total=n, link=link, ci=ci)
    two = metaan.glmm("PLO", events=n - x, total=n, link=link, ci=ci)
    assert (two.estimate, two.tau2) == pytest.approx((-one.estimate, one.tau2), abs=1e-7)
    assert (two.ci_low, two.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-6)
    np.testing.assert_allclose(two.blup, -one.blup, atol=1e-7)
    assert two.loglik == pytest.approx(one.loglik, abs=1e-10)


def test_log_link_is_pln():
    x, n = RARE
    one, two = metaan.glmm("PLO", events=x, total=n, link="log"), metaan.glmm("PLN", events=x, total=n)
    assert (one.estimate, one.tau2, one.ci_low) == (two.estimate, two.tau2, two.ci_low)
    assert str(one) == str(two)


@pytest.mark.parametrize("scale", [1, 30, 300, 3000])
def test_log_link_takes_large_studies(scale):
    x, n = (np.array(v) * scale for v in ([20, 40, 30, 5], [50, 60, 80, 40]))
    res = metaan.glmm("PLN", events=x, total=n)
    assert res.tau > 0.4
    assert res.convergence.converged
    assert res.loglik == pytest.approx(height(x, n, res.estimate, res.tau, "log"), abs=1e-6)


@pytest.mark.parametrize("link", NAMES)
@pytest.mark.parametrize("full", [False, True])
def test_all_at_one_end(link, full):
    """The likelihood-ratio limit of the pooled counts on every scale, and the interval of Jeffreys in the note."""
    n = np.array([12, 30, 9])
    res = metaan.glmm("PLO", events=n if full else 0 * n, total=n, link=link)
    back, limit = res.back(), math.exp(-chi2.ppf(0.95, 1) / 2 / 51)
    assert (back.estimate, back.ci_low, back.ci_high) == pytest.approx((1, limit, 1) if full else (0, 0, 1 - limit))
    (note,) = [note for note in res.notes if note.code == "separated"]
    low, high = (beta.ppf(0.025, 51.5, 0.5), 1) if full else (0, beta.ppf(0.975, 0.5, 51.5))
    assert f"(Jeffreys: {low:.4f} to {high:.4f})" in note.text
    assert note.text in str(res)


HARD = {
    "one study": ([3], [10]), "two studies": ([3, 9], [10, 11]), "equal rates": ([2, 3, 4], [20, 30, 40]),
    "half none, half all": ([0, 10, 0, 10], [10] * 4), "ones": ([0, 1, 1, 0, 1], [1] * 5),
    "ones and more": ([0, 1, 1, 5], [1, 1, 1, 9]), "one full": ([10, 1, 2, 3], [10, 20, 20, 20]),
    "nearly all": ([19, 20, 39], [20, 20, 40]),
    "most full": ([5, 5, 5, 1], [5, 5, 5, 6]), "huge": ([400_000, 20, 7000], [10**6, 90, 10**4]),
    "one of a million": ([1, 3, 2], [10**6, 10**6, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("link", ["probit", "cloglog", "log"])
def test_always_answers(name, link):
    x, n = HARD[name]
    res = metaan.glmm("PLO", events=x, total=n, link=link, ci="profile")
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert res.ci_low <= res.estimate <= res.ci_high
    assert math.isfinite(res.tau2)
    assert res.convergence.converged
    assert np.isfinite(res.blup).all()
    assert len(str(res).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)


@pytest.mark.parametrize("link", ["probit", "cloglog", "log"])
def test_many_fixed_nodes_come_to_the_integral(link):
    x, n, exact = fitted(link, "rare")
    few, many = (metaan.glmm("PLO", events=x, total=n, link=link, nodes=k) for k in (1, 41))
    assert (many.estimate, many.tau) == pytest.approx((exact.estimate, exact.tau), abs=1e-5)
    assert abs(few.tau - exact.tau) > 1e-5
    assert few.loglik == pytest.approx(height(x, n, few.estimate, few.tau, link), abs=1e-8)
    assert few.convergence.nodes == 1


@pytest.mark.parametrize("link", NAMES)
def test_residuals(link):
    """Mean and mid-p of the counts by sums over all of them."""
    x, n, res = fitted(link, "full")
    table = res.residuals()
    for i in (0, 1, 4):
        at = np.array([math.exp(height([j], [n[i]], res.estimate, res.tau, link)) for j in range(n[i] + 1)])
        j = np.arange(n[i] + 1)
        assert at.sum() == pytest.approx(1, abs=1e-9)
        spread = math.sqrt(at @ j**2 - (at @ j) ** 2)
        assert table.expected[i] == pytest.approx(at @ j, rel=1e-4)
        assert table.pearson[i] == pytest.approx((x[i] - at @ j) / spread, abs=1e-3)
        middle = at[: x[i]].sum() + at[x[i]] / 2
        assert norm.cdf(table["quantile"][i]) == pytest.approx(middle, abs=1e-4)


def test_what_cannot_be_had():
    x, n = RARE
    with pytest.raises(OptionError, match="link='probit' is for measure='PLO'"):
        metaan.glmm("PLN", events=x, total=n, link="probit")
    with pytest.raises(OptionError, match="probit"):
        metaan.glmm("PLO", events=x, total=n, link="probti")
    with pytest.raises(OptionError, match="one likelihood"):
        metaan.glmm("PLO", events=x, total=n, model="CM.EL")
    with pytest.raises(OptionError, match="nodes=None"):
        metaan.glmm("PLO", events=x, total=n, link="cloglog", nodes=7, ci="profile")
    for nodes in (0, 101, 2.5, True, "7"):
        with pytest.raises(OptionError, match="nodes="):
            metaan.glmm("PLO", events=x, total=n, nodes=nodes)
    with pytest.raises(InputError, match="total"):
        metaan.glmm("PLO", events=x, time=n, link="cloglog")


@pytest.mark.parametrize("missed", [[1875, 2, 189, 2, 2], [3, 1601, 3, 3, 122, 2], [0, 2, 952, 1, 1297]])
def test_standard_error_where_the_log_link_breaks_off(missed):
    """Large studies with two or three misses: likelihoods that are steep up to the top. Curvature by differences."""
    n = [20_000] * len(missed)
    x = [20_000 - m for m in missed]
    res = metaan.glmm("PLO", events=x, total=n, link="log", test="z")
    step = np.array([2e-3 * res.se, 2e-3 * res.tau])

    def at(a, b):
        return height(x, n, res.estimate + a * step[0], res.tau + b * step[1], "log")

    across = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    middle = at(0, 0)
    second = np.array([[at(1, 0) - 2 * middle + at(-1, 0), across], [across, at(0, 1) - 2 * middle + at(0, -1)]])
    covariance = np.linalg.inv(-second / np.outer(step, step))
    assert res.se == pytest.approx(math.sqrt(covariance[0, 0]), rel=2e-4)
