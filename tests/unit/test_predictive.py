"""The next trial: its distribution is the integral it says it is, and its decisions are in the notes."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, logit
from scipy.stats import beta, betabinom, binom, norm

import metaan
from metaan.core.next_trial import responders
from metaan.core.rate_laws import BetaMixture, NormalMixture, quantile
from metaan.names import COLUMNS
from metaan.validate import METHOD

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
B = A | {"events": [2, 3, 1, 4, 2, 3, 9, 7]}
THREE = {"events": [2, 7, 1], "total": [10, 12, 9]}


def codes(res):
    return [note.code for note in res.notes]


def normal(measure, mean, sd, low=-math.inf, high=math.inf, size=1.0):
    return NormalMixture(measure, size, low, high, np.array([mean]), np.array([sd]), np.ones(1), sd or 1.0)


def one_integral(r, n, rate, mean, sd, low, high):
    """P(r) by adaptive quadrature over theta, with the mass beyond the ends of the scale put there."""
    low, high = max(low, mean - 9 * sd), min(high, mean + 9 * sd)
    peak = np.linspace(low, high, 4001)
    best = peak[(binom.pmf(r, n, rate(peak)) * norm.pdf(peak, mean, sd)).argmax()]
    inner, _ = quad(
        lambda t: binom.pmf(r, n, rate(t)) * norm.pdf(t, mean, sd), low, high, points=[best], limit=2000, epsabs=1e-14
    )
    ends = binom.pmf(r, n, rate(low)) * norm.cdf(low, mean, sd) + binom.pmf(r, n, rate(high)) * norm.sf(high, mean, sd)
    return inner + ends


SCALES = {
    "PLO": (expit, -math.inf, math.inf),
    "PLN": (lambda t: np.exp(np.minimum(t, 0)), -math.inf, 0.0),
    "PAS": (lambda t: np.sin(np.clip(t, 0, np.pi / 2)) ** 2, 0.0, np.pi / 2),
    "PR": (lambda t: np.clip(t, 0, 1), 0.0, 1.0),
}


@pytest.mark.parametrize(
    ("measure", "mean", "sd", "n"),
    [
        ("PLO", -0.4, 0.8, 40), ("PLO", -3.0, 0.02, 7), ("PLO", 1.0, 6.0, 300), ("PLO", 0.1, 0.5, 10_000),
        ("PLN", -0.3, 0.5, 30), ("PAS", 0.2, 0.25, 25), ("PR", 0.9, 0.1, 20), ("PR", 0.5, 0.001, 15),
    ],
)  # fmt: skip
def test_one_normal_law_is_the_integral(measure, mean, sd, n):
    rate, low, high = SCALES[measure]
    p = responders(normal(measure, mean, sd, low, high).rates(n), n)
    assert p.sum() == pytest.approx(1, abs=1e-15 * n + 1e-12)  # rounding of log gamma
    for r in {0, 1, n // 3, round(n * float(rate(mean))), n}:
        assert p[r] == pytest.approx(one_integral(r, n, rate, mean, sd, low, high), abs=1e-9)


def test_known_rate_is_binomial():
    res = metaan.glmm("PLO", events=[4, 8, 6], total=[10, 20, 15])
    new = metaan.predictive(res, 30, uncertainty="plugin")
    assert res.tau2 == 0
    assert new.probability == pytest.approx(binom.pmf(np.arange(31), 30, 18 / 45), abs=1e-12)
    assert new.interval() == (binom.ppf(0.025, 30, 0.4), binom.ppf(0.975, 30, 0.4))
    assert (new.mean, new.sd) == pytest.approx((12, math.sqrt(30 * 0.4 * 0.6)))
    assert new.true_rate_exceeds(0.39) == 1
    assert new.true_rate_exceeds(0.41) == 0


def test_plugin_takes_both_estimates_as_known():
    res = metaan.glmm("PLO", **A)
    new = metaan.predictive(res, 40, uncertainty="plugin")
    r = 5
    assert new.probability[r] == pytest.approx(
        quad(lambda u: binom.pmf(r, 40, expit(res.estimate + res.tau * u)) * norm.pdf(u), -9, 9, epsabs=1e-13)[0],
        abs=1e-10,
    )
    assert new.true_rate_exceeds(0.2) == pytest.approx(norm.sf(logit(0.2), res.estimate, res.tau))
    assert new.true_rate_interval() == pytest.approx(expit(norm.ppf([0.025, 0.975], res.estimate, res.tau)), rel=1e-8)


def brute_force(x, n, size):
    """Profile and integrated weights by sums over tau, mu and u with equal steps; the likelihood written out anew."""
    t = (np.arange(100) + 0.5) / 100 * math.asinh(10 / 0.3)
    tau, step = 0.3 * np.sinh(t), 0.3 * np.cosh(t)
    u = np.linspace(-8, 8, 161)
    phi = norm.pdf(u) * (u[1] - u[0])
    total, p = np.zeros(2), np.zeros((2, size + 1))
    for tau_i, step_i in zip(tau, step, strict=True):
        mu = np.linspace(-45, 45, 451) if tau_i > 0.5 else np.linspace(-12, 8, 451)
        q = expit(mu[:, None] + tau_i * u)
        likelihood = np.prod([(q**a * (1 - q) ** (b - a)) @ phi for a, b in zip(x, n, strict=True)], axis=0)
        i = likelihood.argmax()
        left, top, right = np.log(likelihood[i - 1 : i + 2])  # the maximum lies on the parabola through these
        peak = math.exp(top + (right - left) ** 2 / (8 * (2 * top - left - right)))
        height = step_i * np.array([peak, likelihood.sum() * (mu[1] - mu[0])])
        rates = [(math.comb(size, r) * q**r * (1 - q) ** (size - r)) @ phi for r in range(size + 1)]
        p += np.outer(height, rates @ likelihood / likelihood.sum())
        total += height
    return p / total[:, None]


def test_likelihood_weights_by_brute_force():
    expected = brute_force(THREE["events"], THREE["total"], 3)
    res = metaan.glmm("PLO", **THREE)
    for how, probability in zip(("profile", "integrated"), expected, strict=True):
        assert metaan.predictive(res, 3, uncertainty=how).probability == pytest.approx(probability, abs=2e-6)


@pytest.mark.parametrize("measure", ["PLO", "PAS"])
def test_normal_model_by_quadrature_over_tau(measure):
    eff = metaan.effect_size(measure, **B)
    new = metaan.predictive(metaan.pool(eff), 12)
    y, v = eff.yi, eff.vi

    def density(tau):
        w = 1 / (v + tau**2)
        mean = (w @ y) / w.sum()
        return math.exp(0.5 * np.log(w).sum() - 0.5 * math.log(w.sum()) - 0.5 * w @ (y - mean) ** 2), mean, w.sum()

    target = 0.15
    at = float(logit(target)) if measure == "PLO" else math.asin(math.sqrt(target))
    most = 10 if measure == "PLO" else math.pi / 2
    parts = [0, 0.3, 1, most]
    total = sum(quad(lambda t: density(t)[0], a, b, epsabs=0)[0] for a, b in pairwise(parts))

    def above(tau):
        height, mean, precision = density(tau)
        return height * norm.sf(at, mean, math.sqrt(tau**2 + 1 / precision))

    top = sum(quad(above, a, b, epsabs=0)[0] for a, b in pairwise(parts))
    assert new.true_rate_exceeds(target) == pytest.approx(top / total, abs=1e-6)


def test_restricted_likelihood_is_the_integrated_one():
    eff = metaan.effect_size("PLO", **B)
    reml, ml = (metaan.pool(eff, method=method) for method in ("REML", "ML"))
    integrated = metaan.predictive(ml, 10, uncertainty="integrated")
    assert metaan.predictive(reml, 10).probability == pytest.approx(integrated.probability, abs=1e-9)
    profile = metaan.predictive(ml, 10)
    assert profile.true_rate_interval()[1] < integrated.true_rate_interval()[1]


def test_uncertainty_widens():
    res = metaan.glmm("PLO", **A)
    width = [np.diff(metaan.predictive(res, 1, uncertainty=how).true_rate_interval())[0] for how in UNCERTAIN]
    assert width[0] < width[1] < width[2]


UNCERTAIN = ("plugin", "profile", "integrated")


def test_many_large_studies_leave_the_plugin_law():
    rng = np.random.default_rng(3)
    total = np.full(300, 400)
    res = metaan.glmm("PLO", events=rng.binomial(total, expit(rng.normal(-0.5, 0.6, 300))), total=total)
    a, b = (metaan.predictive(res, 20, uncertainty=how).probability for how in ("plugin", "profile"))
    assert a == pytest.approx(b, abs=5e-4)


def test_posterior_on_a_grid():
    """A flat posterior on a coarse grid is the integrated likelihood."""
    res = metaan.glmm("PLO", **A)
    mu, tau = (a.ravel() for a in np.meshgrid(np.linspace(-12, 6, 181), (np.arange(120) + 0.5) / 12, indexing="ij"))
    u, w = np.polynomial.hermite_e.hermegauss(60)
    q = expit(mu[:, None] + tau[:, None] * u)
    log_like = sum(np.log((q**a * (1 - q) ** (b - a)) @ w) for a, b in zip(A["events"], A["total"], strict=True))
    weight = np.exp(log_like - log_like.max())
    posterior = SimpleNamespace(grid=(mu, tau, weight / weight.sum()), spec=res.spec, effects=res.effects, notes=())
    new = metaan.predictive(posterior, 25)
    assert new.uncertainty == "bayes"
    assert new.probability == pytest.approx(metaan.predictive(res, 25, uncertainty="integrated").probability, abs=2e-4)
    with pytest.raises(metaan.errors.OptionError, match="posterior"):
        metaan.predictive(posterior, 25, uncertainty="plugin")
    with pytest.raises(metaan.errors.OptionError, match="needs a Bayesian result"):
        metaan.predictive(res, 25, uncertainty="bayes")


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_bayesian_result_by_its_predictive_density(tau):
    few = {"events": [0, 0, 1, 0, 2], "total": [10, 20, 10, 30, 40]}
    res = metaan.bayes(**few, tau_prior=metaan.HalfNormal(tau))
    new = metaan.predictive(res, 30)
    for target in (0.001, 0.05, 0.3):
        assert new.true_rate_exceeds(target) == pytest.approx(res.prob(above=target, what="new"), abs=1e-10)
    theta = np.linspace(-40, 40, 16001)
    weight = res.density(theta, "new") * (theta[1] - theta[0])
    expected = binom.pmf(np.arange(31)[:, None], 30, expit(theta)) @ weight
    assert new.probability == pytest.approx(expected, abs=1e-8)
    assert new.rate_median == pytest.approx(float(expit(res.quantile(0.5, "new")[0])), rel=1e-8)


def test_a_grid_coarse_beside_tau_is_no_comb():
    res = metaan.glmm("PLO", **A)
    mu = np.linspace(-1, 1, 41)
    weight = norm.pdf(mu, 0, 0.2)
    known = SimpleNamespace(grid=(mu, 0 * mu, weight / weight.sum()), spec=res.spec, effects=res.effects, notes=())
    p = metaan.predictive(known, 4000).probability
    exact = responders(normal("PLO", 0.0, 0.2).rates(4000), 4000)
    assert p == pytest.approx(exact, abs=1e-3 * exact.max())


def test_beta_laws():
    r = np.arange(31)
    for a, b in [(0.5, 12.5), (3.0, 1.0), (800.0, 900.0)]:
        law = BetaMixture.of_one(a, b)
        assert responders(law.rates(30), 30) == pytest.approx(betabinom.pmf(r, 30, a, b), abs=1e-12)
        assert law.above(0.2) == pytest.approx(beta.sf(0.2, a, b))
        assert quantile(law, np.array([0.1, 0.9])) == pytest.approx(beta.ppf([0.1, 0.9], a, b), rel=1e-8)


def test_beta_binomial_plugin_and_weights():
    res, r = metaan.beta_binomial(**A), np.arange(16)
    plugin = metaan.predictive(res, 15, uncertainty="plugin")
    assert plugin.probability == pytest.approx(betabinom.pmf(r, 15, res.a, res.b), abs=1e-12)
    s = 0.1 * np.sinh((np.arange(200) + 0.5) / 200 * math.asinh(100))
    step = np.hypot(s, 0.1)
    eta = np.linspace(-9, 5, 701)
    first, second = expit(eta) / s[:, None] ** 2, expit(-eta) / s[:, None] ** 2
    log_like = sum(betabinom.logpmf(x, n, first, second) for x, n in zip(A["events"], A["total"], strict=True))
    weight = np.exp(log_like - log_like.max()) * step[:, None]
    few = weight > 1e-9 * weight.max()
    expected = [betabinom.pmf(j, 15, first[few], second[few]) @ weight[few] / weight[few].sum() for j in range(4)]
    new = metaan.predictive(res, 15, uncertainty="integrated")
    assert new.probability[:4] == pytest.approx(expected, abs=1e-6)
    assert metaan.predictive(res, 15).sd > plugin.sd


def test_separated_single_and_held():
    none = metaan.predictive(metaan.glmm("PLO", events=[0, 0, 0], total=[10, 20, 5]), 12)
    assert none.probability == pytest.approx(betabinom.pmf(np.arange(13), 12, 0.5, 35.5), abs=1e-12)
    assert "jeffreys" in codes(none)
    one = metaan.predictive(metaan.glmm("PLO", events=[3], total=[10]), 12)
    assert one.probability == pytest.approx(betabinom.pmf(np.arange(13), 12, 3, 7), abs=1e-12)
    assert "no-spread" in codes(one)
    held = metaan.predictive(metaan.glmm("PLO", events=[0, 0, 10], total=[10, 20, 10]), 12)
    assert {"tau-range", "few-studies", "tau2-unbounded"} <= set(codes(held))
    assert held.probability[0] + held.probability[12] > 0.5
    common = metaan.predictive(metaan.pool(metaan.effect_size("PLO", **B), method="CE"), 12)
    assert "no-spread" in codes(common)


def test_summaries_agree_with_the_table():
    new = metaan.predictive(metaan.glmm("PLO", **A), 40, target=0.1)
    table = new.to_frame()
    assert set(table.columns) <= set(COLUMNS)
    assert new.prob_at_least(6) == pytest.approx(table["at_least"][6])
    assert new.prob_exceeds(0.1) == pytest.approx(table.loc[table["responders"] > 4, "probability"].sum())
    assert new.prob_at_least(0) == pytest.approx(1)
    assert new.prob_at_least(41) == 0
    assert new.mean == pytest.approx((table["responders"] * table["probability"]).sum())
    low, high = new.interval(0.8)
    assert table["at_most"][low - 1] <= 0.1 < table["at_most"][low]
    assert table["at_least"][high + 1] <= 0.1 < table["at_least"][high]


@pytest.mark.parametrize("method", [m for m in METHOD.choices if m != "GENQ"])
@pytest.mark.parametrize("measure", ["PLO", "PLN", "PR", "PAS", "PFT"])
def test_every_measure_and_estimator(measure, method):
    res = metaan.pool(metaan.effect_size(measure, **B), method=method)
    new = metaan.predictive(res, 20, uncertainty="plugin")
    assert new.probability.sum() == pytest.approx(1, abs=1e-12)
    assert new.true_rate_exceeds(0.0) >= new.true_rate_exceeds(0.3) >= 0
    back = res.back()
    assert new.rate_median == pytest.approx(back.estimate, abs=1e-8)
