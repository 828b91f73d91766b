"""Bayesian meta-analysis: the integrals are what brute force says, and improper posteriors are refused."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import CubicSpline
from scipy.special import expit, gammaln
from scipy.stats import halfcauchy, halfnorm, norm

import metaan
from metaan import HalfCauchy, HalfNormal, NormalPrior, Uniform
from metaan.core.binomial_slices import step_likelihood

Y, V = np.array([0.1, 0.6, 0.2]), np.array([0.04, 0.09, 0.02])
X, N = np.array([3.0, 0.0, 5.0]), np.array([10.0, 12.0, 9.0])


def codes(res):
    return [note.code for note in res.notes]


def normal(**options):
    return metaan.bayes(metaan.effects(Y, V), **({"tau_prior": HalfNormal(0.5)} | options))


def binomial(**options):
    return metaan.bayes(events=X, total=N, **options)


# Normal-normal against two-dimensional integration of the joint density


@pytest.fixture(scope="module")
def joint():
    """Integral of f times prior times likelihood by a product rule in mu and t, tau = 0.4 t/(1 - t)."""
    z, w = np.polynomial.legendre.leggauss(400)

    def integral(f, low=-8.0, high=8.0, top=np.inf):
        end = 1.0 if np.isinf(top) else top / (0.4 + top)
        t, mu = end * (1 + z) / 2, (low + (high - low) * (1 + z) / 2)[:, None]
        tau = 0.4 * t / (1 - t)
        weight = end / 2 * w * 0.4 / (1 - t) ** 2 * (high - low) / 2 * w[:, None]
        prior = halfcauchy.pdf(tau, scale=0.4) * norm.pdf(mu, 0.1, 1)
        like = np.prod([norm.pdf(y, mu, np.sqrt(v + tau**2)) for y, v in zip(Y, V, strict=True)], axis=0)
        return float((weight * prior * like * f(mu, tau)).sum())

    return integral


@pytest.fixture(scope="module")
def fitted():
    return normal(tau_prior=HalfCauchy(0.4), mu_prior=NormalPrior(0.1, 1))


def test_marginal_likelihood_and_bayes_factor(joint, fitted):
    total = joint(lambda mu, tau: 1.0)
    none = quad(lambda mu: norm.pdf(mu, 0.1, 1) * norm.pdf(Y, mu, np.sqrt(V)).prod(), -6, 6, epsabs=0)[0]
    assert fitted.log_marginal == pytest.approx(math.log(total), abs=1e-7)
    assert fitted.bayes_factor_tau0 == pytest.approx(none / total, rel=1e-7)


def test_distribution_functions(joint, fitted):
    total = joint(lambda mu, tau: 1.0)
    assert fitted.cdf(0.35)[0] == pytest.approx(joint(lambda mu, tau: 1.0, high=0.35) / total, abs=1e-7)
    assert fitted.cdf(0.2, "tau")[0] == pytest.approx(joint(lambda mu, tau: 1.0, top=0.2) / total, abs=1e-7)
    new = joint(lambda mu, tau: np.cos(mu) * np.exp(-(tau**2) / 2)) / total
    wave = quad(lambda x: fitted.density(x, "new")[0] * math.cos(x), -60, 60, limit=400, points=[0])[0]
    assert wave == pytest.approx(new, abs=1e-5)


def test_moments_and_shrinkage(joint, fitted):
    total = joint(lambda mu, tau: 1.0)
    summary = fitted.summary()
    assert summary.loc["tau", "mean"] == pytest.approx(joint(lambda mu, tau: tau) / total, rel=1e-6)
    mean = joint(lambda mu, tau: mu) / total
    assert summary.loc["mu", "mean"] == pytest.approx(mean, rel=1e-6)
    second = joint(lambda mu, tau: (mu - mean) ** 2) / total
    assert summary.loc["mu", "sd"] == pytest.approx(math.sqrt(second), rel=1e-6)
    keep = lambda tau: tau**2 / (tau**2 + V[1])  # noqa: E731
    shrunk = joint(lambda mu, tau: keep(tau) * Y[1] + (1 - keep(tau)) * mu) / total
    assert fitted.studies()["mean"][1] == pytest.approx(shrunk, rel=1e-6)


def test_flat_mean_against_one_integral():
    def likelihood(tau):
        w = 1 / (V + tau**2)
        m = w @ Y / w.sum()
        return math.exp(-(w @ (Y - m) ** 2) / 2) * math.sqrt(w.prod() / w.sum())

    f = lambda tau: likelihood(tau) * halfnorm.pdf(tau, scale=0.5)  # noqa: E731
    total = quad(f, 0, 5, epsabs=0, epsrel=1e-12)[0]
    res = normal()
    assert res.density(0.3, "tau")[0] == pytest.approx(f(0.3) / total, rel=1e-7)
    assert res.bayes_factor_tau0 == pytest.approx(likelihood(0.0) / total, rel=1e-9)
    assert math.isnan(res.log_marginal)


# Binomial-normal against a product rule that shares nothing with the package


@pytest.fixture(scope="module")
def product():
    """Nodes and weights of the joint posterior under tau ~ half-normal(1), mu ~ N(0, 2), and E(theta_i) at each."""
    t, wt = np.polynomial.legendre.leggauss(60)
    m, wm = np.polynomial.legendre.leggauss(90)
    tau, mu = 3.25 * (t + 1), 10.5 * m - 1.5
    u = np.linspace(-9, 9, 301)
    theta = mu[:, None, None] + tau[:, None] * u
    phi = norm.pdf(u) * (u[1] - u[0])
    like, mean = [], []
    for x, n in zip(X, N, strict=True):
        choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
        f = np.exp(x * theta - n * np.logaddexp(0, theta) + choose) * phi
        like.append(f.sum(axis=-1))
        mean.append((f * theta).sum(axis=-1) / like[-1])
    prior = halfnorm.pdf(tau) * 3.25 * wt * (norm.pdf(mu, 0, 2) * 10.5 * wm)[:, None]
    weight = prior * np.prod(like, axis=0)
    return mu[:, None], tau, weight / weight.sum(), math.log(weight.sum()), np.array(mean)


@pytest.fixture(scope="module")
def counted():
    return binomial(mu_prior=NormalPrior(0, 2), tau_prior=HalfNormal(1))


def test_binomial_marginal_likelihood(product, counted):
    def common(mu):
        choose = gammaln(N + 1) - gammaln(X + 1) - gammaln(N - X + 1)
        return math.exp((X * mu - N * np.logaddexp(0, mu) + choose).sum()) * norm.pdf(mu, 0, 2)

    log_total = product[3]
    assert counted.log_marginal == pytest.approx(log_total, abs=1e-8)
    none = quad(common, -12, 10, epsabs=0, epsrel=1e-11)[0]
    assert counted.log_bayes_factor_tau0 == pytest.approx(math.log(none) - log_total, abs=1e-8)


def test_binomial_moments(product, counted):
    mu, tau, weight, _, theta = product
    summary = counted.summary()
    mean = (weight * mu).sum()
    assert summary.loc["mu", "mean"] == pytest.approx(mean, abs=1e-7)
    assert summary.loc["mu", "sd"] == pytest.approx(math.sqrt((weight * (mu - mean) ** 2).sum()), abs=1e-7)
    assert summary.loc["tau", "mean"] == pytest.approx((weight * tau).sum(), abs=1e-7)
    spread = math.sqrt((weight * ((mu - mean) ** 2 + tau**2)).sum())
    assert summary.loc["theta_new", "sd"] == pytest.approx(spread, abs=1e-7)
    np.testing.assert_allclose(counted.studies()["mean"], (weight * theta).sum(axis=(1, 2)), atol=1e-5)


def test_binomial_predictive_distribution(product, counted):
    mu, tau, weight, _, _ = product
    for frequency in (0.5, 1.0, 2.0):  # of the characteristic function
        wave = quad(lambda x, f=frequency: counted.density(x, "new")[0] * math.cos(f * x), -20, 14, limit=200)[0]
        product_rule = weight * np.cos(frequency * mu) * np.exp(-((frequency * tau) ** 2) / 2)
        assert wave == pytest.approx(product_rule.sum(), abs=1e-6)


def test_binomial_marginals_are_those_of_the_grid(counted):
    grid = counted.grid
    assert grid.weight.sum() == pytest.approx(1, abs=1e-12)
    wave = quad(lambda x: counted.density(x)[0] * math.cos(x), -12, 8, limit=200)[0]
    assert (grid.weight * np.cos(grid.mu)).sum() == pytest.approx(wave, abs=1e-6)
    decay = quad(lambda t: counted.density(t, "tau")[0] * math.exp(-t), 0, 8, limit=200)[0]
    assert (grid.weight * np.exp(-grid.tau)).sum() == pytest.approx(decay, abs=1e-6)


@pytest.mark.parametrize("study", [0, 1])
def test_shrunken_log_odds(product, counted, study):
    mu, tau, weight, _, _ = product
    x, n = X[study], N[study]
    at = np.linspace(-16, 6, 441)[:, None, None]
    kernel = norm.pdf(at, mu, tau)
    like = np.exp(x * at - n * np.logaddexp(0, at))
    u = np.linspace(-9, 9, 301)
    theta = mu[..., None] + tau[:, None] * u
    marginal = (np.exp(x * theta - n * np.logaddexp(0, theta)) * norm.pdf(u)).sum(axis=-1) * (u[1] - u[0])
    wide = tau > 0.25  # the product rule does not resolve narrower normal densities in mu
    part = (weight / marginal * kernel * like)[..., wide].sum(axis=(1, 2))
    whole = counted.density(at.ravel(), str(study + 1))
    assert (part <= whole + 1e-6).all()
    assert np.trapezoid(part, at.ravel()) == pytest.approx(weight[:, wide].sum(), abs=1e-4)
    assert np.trapezoid(whole, at.ravel()) == pytest.approx(1, abs=1e-4)


def test_mean_rate(product, counted):
    mu, tau, weight, _, _ = product
    z, w = np.polynomial.hermite_e.hermegauss(60)
    mean = expit(mu[..., None] + tau[:, None] * z) @ (w / w.sum())
    rate = counted.mean_rate
    density = weight / np.polynomial.legendre.leggauss(90)[1][:, None]
    for level, value in ((0.5, rate.estimate), (0.025, rate.ci_low), (0.975, rate.ci_high)):
        below = 0.0
        for m, f in zip(mean.T, density.T, strict=True):
            edge = float(np.interp(value, m, mu[:, 0]))
            below += CubicSpline(mu[:, 0], f).integrate(mu[0, 0], edge) / 10.5
        assert below == pytest.approx(level, abs=2e-3)
    assert counted.median_rate.estimate == counted.back().estimate


@pytest.mark.parametrize(("n", "tau", "mu"), [(1.0, 20.0, 0.0), (20.0, 50.0, -150.0), (500.0, 25.0, 150.0)])
def test_no_events_under_a_wide_tau(n, tau, mu):
    f = lambda e: math.exp(-n * np.logaddexp(0, e) - ((e - mu) / tau) ** 2 / 2) / tau / math.sqrt(2 * math.pi)  # noqa: E731
    ends = [-1000.0, -150.0, -20.0, -8.0, -3.0, 0.0, 20.0, 60.0]
    total = sum(quad(f, a, b, epsabs=0, epsrel=1e-12, limit=500)[0] for a, b in itertools.pairwise(ends))
    found = step_likelihood(np.array([n]), np.array([mu]), np.array([tau]))
    assert found[0] == pytest.approx(math.log(total), abs=1e-10)


def test_heavy_tail_with_a_study_without_events():
    """The tail beyond tau = 20 joins what comes before: the density of tau is smooth, and its integral 1."""
    res = metaan.bayes(events=[3, 0, 5], total=[10, 12, 9], tau_prior=HalfCauchy(0.5))
    at = np.exp(np.linspace(math.log(15), math.log(27), 41))
    log_p = np.log(res.density(at, "tau"))
    assert np.abs(np.diff(log_p, 3)).max() < 1e-4
    power = np.diff(np.log(res.density([1e3, 2e3], "tau")))[0] / math.log(2)
    assert power == pytest.approx(-3, abs=0.02)


# Limits and closed forms


def test_a_prior_near_zero_gives_the_common_effect():
    res = normal(tau_prior=HalfNormal(1e-7))
    w = 1 / V
    assert res.estimate == pytest.approx(w @ Y / w.sum(), rel=1e-9)
    assert res.ci_high - res.ci_low == pytest.approx(2 * norm.ppf(0.975) / math.sqrt(w.sum()), rel=1e-9)
    assert res.bayes_factor_tau0 == pytest.approx(1, abs=1e-9)


def test_one_study_leaves_tau_its_prior():
    res = metaan.bayes(metaan.effects([0.3], [0.04]), tau_prior=HalfNormal(0.5))
    assert res.tau == pytest.approx(halfnorm.ppf(0.5, scale=0.5), rel=1e-8)
    assert res.bayes_factor_tau0 == pytest.approx(1, abs=1e-9)
    assert "one-study" in codes(res)
    rate = metaan.bayes(events=[3], total=[10])
    assert rate.tau == pytest.approx(halfnorm.ppf(0.5), rel=1e-6)


def test_counts_so_large_that_they_are_normal():
    x, n = np.array([21000, 30500, 26000, 33000]), np.full(4, 100_000)
    exact = metaan.bayes(events=x, total=n, tau_prior=HalfNormal(0.5))
    near = metaan.bayes(metaan.effect_size("PLO", events=x, total=n), tau_prior=HalfNormal(0.5))
    np.testing.assert_allclose(exact.values, near.values, rtol=2e-4)
    np.testing.assert_allclose(exact.theta, near.theta, rtol=2e-4)


def test_three_studies_under_a_uniform_prior_have_no_mean():
    res = normal(tau_prior=Uniform())
    row = res.summary().loc["tau"]
    assert row["mean"] == math.inf
    assert "heavy-tail" in codes(res)
    assert "no-bayes-factor" in codes(res)
    assert math.isnan(res.bayes_factor_tau0)
    assert math.isfinite(res.ci_high)


def test_a_bound_is_a_bound():
    res = normal(tau_prior=Uniform(0.2))
    assert res.tau_high < 0.2
    assert res.density(0.21, "tau")[0] == 0
    assert res.cdf(0.2, "tau")[0] == pytest.approx(1, abs=1e-12)


def test_functions_as_priors():
    own = normal(tau_prior=lambda t: 3 * np.exp(-((t / 0.5) ** 2) / 2))
    assert "prior-normalised" in codes(own)
    for name in ("estimate", "tau_high", "pi_low", "bayes_factor_tau0"):
        assert getattr(own, name) == pytest.approx(getattr(normal(), name), rel=1e-8)
    one_by_one = normal(tau_prior=lambda t: math.exp(-t) if t < 40 else 0.0)
    assert one_by_one.tau == pytest.approx(normal(tau_prior=lambda t: np.exp(-t)).tau, rel=1e-8)
    step = normal(tau_prior=lambda t: np.where(t < 0.2, 1.0, 0.0))
    assert step.tau == pytest.approx(normal(tau_prior=Uniform(0.2)).tau, rel=1e-8)
