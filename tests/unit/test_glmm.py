"""The exact-likelihood model: it answers on every valid input, and its likelihood is the integral it says it is."""

import json
import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import binom, chi2, norm

import metaan
from metaan.core.binomial import Binomial, evaluate, gauss_hermite, log_likelihood, trapezoid
from metaan.core.binomial_fit import fit

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}


def codes(res):
    return [note.code for note in res.notes]


def integral(x, n, mu, tau):
    """log integral of Bin(x; n, expit(mu + tau u)) phi(u) du by adaptive quadrature on a scaled integrand."""
    y = math.log((x + 0.5) / (n - x + 0.5))
    points = sorted({0.0, *(float(np.clip((y + shift - mu) / tau, -9, 9)) for shift in (-2, 0, 2))})
    log_f = lambda u: binom.logpmf(x, n, expit(mu + tau * u)) + norm.logpdf(u)  # noqa: E731
    top = log_f(np.linspace(-10, 10, 20001)).max()
    value, _ = quad(lambda u: math.exp(log_f(u) - top), -10, 10, points=points, limit=2000, epsabs=0, epsrel=1e-12)
    return top + math.log(value)


def counts(x, n):
    return Binomial.from_counts(np.array(x, float)[:, None], np.array(n, float)[:, None])


@pytest.mark.parametrize(
    ("x", "n", "mu", "tau", "nodes"),
    [
        (0, 20, -2.0, 0.6, 33), (3, 7, 0.5, 1.5, 65), (0, 1, 0.0, 3.0, 129),
        (150, 1000, -1.0, 0.5, 33), (40, 40, 1.0, 2.0, 65), (1, 10**6, 0.0, 3.0, 65),
    ],
)  # fmt: skip
def test_likelihood_is_the_integral(x, n, mu, tau, nodes):
    b, m, t = counts([x], [n]), np.array([mu]), np.array([tau])
    assert log_likelihood(b, m, t, trapezoid(b, m, t, nodes))[0] == pytest.approx(integral(x, n, mu, tau), abs=1e-8)


def test_derivatives():
    b, h = counts(**{"x": A["events"], "n": A["total"]}), 1e-4
    at = lambda m, t: evaluate(b, np.array([m]), np.array([t]), trapezoid(b, np.array([m]), np.array([t]), 65))  # noqa: E731
    mu, tau = -2.0, 0.8
    centre, right, left = at(mu, tau), at(mu + h, tau), at(mu - h, tau)
    up, down = at(mu, tau + h), at(mu, tau - h)
    assert centre.mu[0] == pytest.approx((right.loglik - left.loglik)[0] / (2 * h), abs=1e-6)
    assert centre.tau[0] == pytest.approx((up.loglik - down.loglik)[0] / (2 * h), abs=1e-6)
    assert centre.mu_mu[0] == pytest.approx((right.mu - left.mu)[0] / (2 * h), abs=1e-6)
    assert centre.mu_tau[0] == pytest.approx((up.mu - down.mu)[0] / (2 * h), abs=1e-6)
    assert centre.tau_tau[0] == pytest.approx((up.tau - down.tau)[0] / (2 * h), abs=1e-6)


def test_doubt_is_honest():
    b, m, t = counts([0, 1, 0], [1, 1, 2]), np.array([0.3]), np.array([8.0])
    fine = log_likelihood(b, m, t, trapezoid(b, m, t, 2049))[0]
    for nodes in (33, 65, 129, 257):
        at = evaluate(b, m, t, trapezoid(b, m, t, nodes))
        assert abs(at.loglik[0] - fine) <= 10 * at.doubt[0]


def test_gauss_hermite_approaches_the_integral():
    b, m, t = counts(A["events"], A["total"]), np.array([-2.3]), np.array([0.57])
    exact = log_likelihood(b, m, t, trapezoid(b, m, t, 129))[0]
    error = [abs(log_likelihood(b, m, t, gauss_hermite(b, m, t, n))[0] - exact) for n in (1, 7, 15, 41)]
    assert error[0] > error[1] > error[2]
    assert error[3] < 1e-11


def test_absent_studies_add_nothing():
    one = fit(counts(A["events"], A["total"]))
    padded = fit(counts([*A["events"], 0, 0], [*A["total"], 0, 0]))
    assert padded.mu[0] == pytest.approx(one.mu[0], rel=1e-12)
    assert padded.tau[0] == pytest.approx(one.tau[0], rel=1e-10)
    assert padded.loglik[0] == pytest.approx(one.loglik[0], rel=1e-13)


def test_batch_equals_one_at_a_time():
    rng = np.random.default_rng(5)
    n = rng.integers(5, 80, (12, 60)).astype(float)
    x = rng.binomial(n.astype(int), expit(rng.normal(-1, 1, n.shape))).astype(float)
    together = fit(Binomial.from_counts(x, n))
    for j in range(60):
        alone = fit(Binomial.from_counts(x[:, [j]], n[:, [j]]))
        assert together.loglik[j] == pytest.approx(alone.loglik[0], rel=1e-12)
        assert together.tau[j] == pytest.approx(alone.tau[0], rel=1e-6, abs=1e-9)


HARD = {
    "equal rates": ([2, 3, 4], [20, 30, 40]),
    "no events": ([0, 0, 0], [12, 30, 9]),
    "nothing but events": ([15] * 4, [15] * 4),
    "falling rates": ([4, 3, 2, 1], [10, 20, 30, 40]),
    "one study": ([3], [10]),
    "one study without events": ([0], [10]),
    "two studies": ([3, 9], [10, 11]),
    "a million": ([5, 400_000, 20], [10, 10**6, 30]),
    "millions": ([10, 400_000, 999_999], [10**6] * 3),
    "either nothing or all": ([0, 10], [10, 10]),
    "nothing, all, half": ([0, 500, 250], [500] * 3),
    "single observations": ([0, 1, 1, 0, 1], [1] * 5),
    "one zero study": ([0, 10, 12, 9], [5, 20, 25, 18]),
    "sixty studies": ([1] * 60, [10, 40] * 30),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("ci", ["wald", "profile"])
def test_always_answers(name, ci):
    x, n = HARD[name]
    res = metaan.glmm("PLO", events=x, total=n, ci=ci)
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert math.isfinite(res.tau2)
    assert math.isfinite(res.loglik)
    assert res.convergence.converged or "not-converged" in codes(res)
    assert np.isfinite(res.weights).all()
    assert res.weights.sum() == pytest.approx(100)
    assert len(str(res).splitlines()) <= 20
    assert len(str(back).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)
    assert len(res.studies()) == len(x)


def test_equal_rates_have_no_spread():
    res = metaan.glmm("PLO", events=[2, 3, 4], total=[20, 30, 40])
    assert res.tau2 == 0
    assert res.back().estimate == pytest.approx(0.1)
    assert "tau2-zero" in codes(res)
    assert res.lrt == 0
    assert res.lrt_pvalue == 1


def test_sixty_of_sixty():
    # METHODS point 3: lower limit 0.968; n log p = -chi2(1; 0.95)/2
    res = metaan.glmm("PLO", events=[15] * 4, total=[15] * 4).back()
    assert res.estimate == 1
    assert res.ci_high == 1
    assert res.ci_low == pytest.approx(math.exp(-chi2.ppf(0.95, 1) / 120), rel=1e-12)
    assert round(res.ci_low, 3) == 0.968
    assert "separated" in codes(res)


def test_no_events_mirrors_nothing_but_events():
    none = metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9], level=0.9).back()
    all_ = metaan.glmm("PLO", events=[12, 30, 9], total=[12, 30, 9], level=0.9).back()
    assert none.estimate == 0
    assert none.ci_low == 0
    assert none.ci_high == pytest.approx(1 - all_.ci_low, rel=1e-12)


def test_events_and_non_events_mirror():
    x, n = np.array(A["events"]), np.array(A["total"])
    a = metaan.glmm("PLO", events=x, total=n, ci="profile")
    b = metaan.glmm("PLO", events=n - x, total=n, ci="profile")
    assert a.estimate == pytest.approx(-b.estimate, rel=1e-9)
    assert a.tau2 == pytest.approx(b.tau2, rel=1e-8)
    assert a.loglik == pytest.approx(b.loglik, rel=1e-13)
    assert a.ci_low == pytest.approx(-b.ci_high, rel=1e-7)


def test_every_study_at_an_end():
    res = metaan.glmm("PLO", events=[0, 10, 0, 8], total=[10, 10, 7, 8])
    assert "tau2-unbounded" in codes(res)
    assert res.tau == 10
    assert res.back().estimate == pytest.approx(0.5, abs=0.45)
    # the likelihood does rise: at twice the tau it is higher still
    b = counts([0, 10, 0, 8], [10, 10, 7, 8])
    wide, tau = b.take(np.zeros(3, dtype=int)), np.array([5.0, 10.0, 20.0])
    heights = log_likelihood(wide, np.zeros(3), tau, trapezoid(wide, np.zeros(3), tau, 2049))
    assert (np.diff(heights) > 0).all()


def profile_in_mu(x, n, mu):
    b = counts(x, n)
    taus = np.concatenate([[1e-9], np.geomspace(0.01, 12, 400)])
    wide = Binomial.from_counts(np.repeat(b.x, taus.size, 1), np.repeat(b.N, taus.size, 1))
    mus = np.full(taus.size, mu)
    return log_likelihood(wide, mus, taus, trapezoid(wide, mus, taus, 129)).max()


def test_profile_interval_ends_where_the_likelihood_has_fallen():
    res = metaan.glmm("PLO", **A, ci="profile")
    aim = res.loglik - chi2.ppf(0.95, 1) / 2
    for end in (res.ci_low, res.ci_high):
        assert profile_in_mu(A["events"], A["total"], end) == pytest.approx(aim, abs=2e-4)


def test_profile_interval_of_tau2():
    res = metaan.glmm("PLO", events=[1, 9, 15, 3, 19, 2], total=[20] * 6)
    low, high = metaan.tau2_interval(res, method="PL")
    aim = res.loglik - chi2.ppf(0.95, 1) / 2
    b = counts([1, 9, 15, 3, 19, 2], [20] * 6)
    mus = np.linspace(-6, 6, 4001)
    wide = Binomial.from_counts(np.repeat(b.x, mus.size, 1), np.repeat(b.N, mus.size, 1))
    for end in (low, high):
        taus = np.full(mus.size, math.sqrt(end))
        height = log_likelihood(wide, mus, taus, trapezoid(wide, mus, taus, 129)).max()
        assert height == pytest.approx(aim, abs=1e-5)
    assert 0 < low < res.tau2 < high


def test_likelihood_ratio_uses_the_boundary_mixture():
    res = metaan.glmm("PLO", **A)
    x, n = np.array(A["events"]), np.array(A["total"])
    p = x.sum() / n.sum()
    common = binom.logpmf(x, n, p).sum()
    assert res.loglik_common == pytest.approx(common, rel=1e-12)
    assert res.lrt == pytest.approx(2 * (res.loglik - common), rel=1e-12)
    assert res.lrt_pvalue == pytest.approx(chi2.sf(res.lrt, 1) / 2, rel=1e-12)
    assert res.aic == pytest.approx(4 - 2 * res.loglik)


def test_shrunken_rates_are_posterior_means():
    res = metaan.glmm("PLO", **A)
    for i in (0, 6):
        x, n = A["events"][i], A["total"][i]
        density = lambda u: binom.pmf(x, n, expit(res.estimate + res.tau * u)) * norm.pdf(u)  # noqa: B023, E731
        total, _ = quad(density, -9, 9, epsabs=0, epsrel=1e-11)
        mean, _ = quad(lambda u: (res.estimate + res.tau * u) * density(u) / total, -9, 9, epsrel=1e-11)  # noqa: B023
        assert res.blup[i] == pytest.approx(mean, abs=1e-8)


def test_scan_finds_the_higher_of_two_maxima():
    # one huge study and two small ones: tau2 = 0 is a local maximum, and so is an interior point
    res = metaan.glmm("PLO", events=[5, 400_000, 20], total=[10, 10**6, 30])
    assert res.convergence.maxima == 2
    assert "two-maxima" in codes(res)
    b = counts([5, 400_000, 20], [10, 10**6, 30])
    taus = np.geomspace(1e-4, 5, 3000)
    wide = Binomial.from_counts(np.repeat(b.x, taus.size, 1), np.repeat(b.N, taus.size, 1))
    best = -np.inf
    for mu in np.linspace(-0.41, 0.4, 41):
        mus = np.full(taus.size, mu)
        best = max(best, log_likelihood(wide, mus, taus, trapezoid(wide, mus, taus, 65)).max())
    assert res.loglik >= best - 1e-9


def test_text_names_model_and_median():
    text = str(metaan.glmm("PLO", **A, test="z"))
    for part in ("GLMM", "logit link", "8 studies", "Maximum likelihood", "median study", "log L", "boundary mixture"):
        assert part in text


def test_pickle():
    res = metaan.glmm("PLO", **A)
    assert pickle.loads(pickle.dumps(res)).to_dict() == res.to_dict()


def test_level_and_distribution_of_the_wald_interval():
    z, t = (metaan.glmm("PLO", **A, test=test, level=0.9) for test in ("z", "t"))
    assert z.ci_high - z.estimate == pytest.approx(norm.ppf(0.95) * z.se)
    assert t.df == 7
    assert t.ci_high > z.ci_high


def test_single_observations_do_not_identify_tau():
    res = metaan.glmm("PLO", events=[0, 1, 1, 0, 1], total=[1] * 5)
    assert {"tau2-not-identified", "no-pi"} <= set(codes(res))
    assert res.tau2 == 0
    assert "Spread" not in str(res)


def test_text_says_nothing_that_the_data_do_not_tell():
    none = str(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    assert "no-pi" in codes(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    for part in ("Spread", "AIC", "Prediction  "):
        assert part not in none
    held = metaan.glmm("PLO", events=[0, 10], total=[10, 10], ci="profile")
    assert "AIC" not in str(held)
    assert held.spec.ci == "wald"
    assert "do not determine" in str(held)
    one = str(metaan.glmm("PLO", events=[3], total=[10]))
    assert "normal distribution, one study" in one
    assert "LR" not in one


def test_weights_where_a_shrunken_rate_is_one_to_rounding():
    res = metaan.glmm("PLO", events=[4 * 10**6, 3, 0], total=[4 * 10**6, 9, 4 * 10**6])
    assert np.isfinite(res.weights).all()
    assert res.weights.sum() == pytest.approx(100)
