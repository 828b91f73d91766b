"""The Copas selection model against integrals, brute force, simulation and the models that it contains."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

import metaan
from metaan.core.copas import RHO_BOUND, derivatives, fit, log_likelihood, selected
from metaan.core.linear import Design
from metaan.core.linear import log_likelihood as normal_likelihood
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

RNG = np.random.default_rng(2)
V = RNG.uniform(0.01, 0.4, 14)
Y = 0.2 + 0.9 * np.sqrt(V) + RNG.normal(0, np.sqrt(V + 0.3))
S = np.sqrt(V)
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


@pytest.fixture(scope="module")
def made():
    return metaan.copas(metaan.pool(metaan.effects(Y, V)))


def integrated(y, s, u, mu, tau2, rho):
    """log density of a published effect, the true effect and nothing else integrated out numerically."""
    h = norm.pdf(u) / norm.cdf(u)
    sigma = s / math.sqrt(1 - h * (u + h) * rho**2)
    tau = math.sqrt(tau2)

    def joint(z):
        error = (y - mu - tau * z) / sigma
        seen = norm.cdf((u + rho * error) / math.sqrt(1 - rho**2))
        return norm.pdf(z) * norm.pdf(error) / sigma * seen

    return math.log(quad(joint, -12, 12, epsabs=1e-14, epsrel=1e-11, limit=400)[0] / norm.cdf(u))


@pytest.mark.parametrize(
    ("mu", "tau2", "rho"), [(0.3, 0.05, 0.6), (0.1, 0.2, -0.9), (-0.4, 0.01, 0.98), (0.5, 0.3, 0.0)]
)
def test_likelihood_is_the_integral(mu, tau2, rho):
    u = -0.5 + 0.4 / S
    data = selected(Y, V, u[:, None])
    theta = np.array([[(mu - data.centre) / data.unit], [tau2 / data.unit**2], [rho]])
    ours = float(log_likelihood(data, theta)[0]) - len(Y) * math.log(data.unit)
    assert ours == pytest.approx(sum(integrated(*one, mu, tau2, rho) for one in zip(Y, S, u, strict=True)), abs=1e-8)


@pytest.mark.parametrize(("u", "rho"), [(-0.8, 0.7), (0.3, -0.95), (1.5, 0.5)])
def test_sampling_variance_before_selection(u, rho):
    """Selection leaves 1 - c2 rho2 of the sampling variance: moments of the density of a published sampling error."""
    h = norm.pdf(u) / norm.cdf(u)

    def moment(power):
        seen = lambda e: norm.pdf(e) * norm.cdf((u + rho * e) / math.sqrt(1 - rho**2)) / norm.cdf(u)  # noqa: E731
        return quad(lambda e: e**power * seen(e), -12, 12, epsabs=1e-13, limit=400)[0]

    left = moment(2) - moment(1) ** 2
    assert 1 - h * (u + h) * rho**2 == pytest.approx(left, rel=1e-9)
    one = selected(np.array([0.1]), np.array([1.0]), np.array([[u]]))
    assert float(one.c2[0, 0]) == pytest.approx(h * (u + h), rel=1e-12)


@pytest.mark.parametrize("residual", [False, True])
def test_derivatives(residual):
    rng = np.random.default_rng(4)
    n = 30
    data = selected(Y, V, rng.normal(0, 1, n) + rng.uniform(0, 0.5, n) / S[:, None], residual=residual)
    means = rng.normal(0, 0.5, (data.x.shape[1], n))
    theta = np.vstack([means, rng.uniform(0.05, 2, n), rng.uniform(-0.95, 0.95, n)])
    gradient, hessian = derivatives(data, theta)
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, 1, 2))
    for i in range(theta.shape[0]):
        step = np.zeros_like(theta)
        step[i] = 1e-5
        up, down = log_likelihood(data, theta + step), log_likelihood(data, theta - step)
        np.testing.assert_allclose(gradient[i], (up - down) / 2e-5, rtol=1e-5, atol=1e-6)
        slope = (derivatives(data, theta + step)[0] - derivatives(data, theta - step)[0]) / 2e-5
        np.testing.assert_allclose(hessian[:, i].T, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [1, 3, 5, 6])
def test_highest_of_all(made, row):
    """No start of another optimiser, with derivatives by differences, finds a higher likelihood; nor does a grid."""
    of = {name: float(value[row]) for name, value in made.rows.items()}
    data = selected(Y, V, (of["gamma0"] + of["gamma1"] / S)[:, None])
    height = of["loglik"] + len(Y) * math.log(data.unit)

    def negative(theta):
        return -float(log_likelihood(data, np.asarray(theta)[:, None])[0])

    box = [(-20, 20), (0, 50), (-RHO_BOUND, RHO_BOUND)]
    starts = [(m, t, r) for m in (-1.0, 0.5) for t in (0.02, 1.0) for r in (-0.9, 0.1, 0.9)]
    best = max(-minimize(negative, start, method="L-BFGS-B", bounds=box).fun for start in starts)
    grid = np.array(
        np.meshgrid(np.linspace(-3, 3, 41), [0, 0.05, 0.2, 0.5, 1, 2, 4], np.linspace(-RHO_BOUND, RHO_BOUND, 41))
    )
    points = grid.reshape(3, -1)
    every = log_likelihood(data.take(np.zeros(points.shape[1], dtype=np.intp)), points)
    assert height >= max(best, every.max()) - 1e-7
    assert height == pytest.approx(best, abs=1e-4)


def test_standard_error_is_of_the_observed_information(made):
    for row in (3, 5):
        of = {name: float(value[row]) for name, value in made.rows.items()}
        assert abs(of["rho"]) < RHO_BOUND
        data = selected(Y, V, (of["gamma0"] + of["gamma1"] / S)[:, None])
        theta = np.array([(of["estimate"] - data.centre) / data.unit, of["tau2"] / data.unit**2, of["rho"]])
        assert theta[1] > 0
        hessian, step = np.empty((3, 3)), 1e-4 * np.eye(3)
        for i in range(3):
            for j in range(3):
                corners = [theta + a * step[i] + b * step[j] for a in (1, -1) for b in (1, -1)]
                four = [float(log_likelihood(data, corner[:, None])[0]) for corner in corners]
                hessian[i, j] = (four[0] - four[1] - four[2] + four[3]) / 4e-8
        assert of["se"] == pytest.approx(data.unit * math.sqrt(np.linalg.inv(-hessian)[0, 0]), rel=1e-4)


def test_without_selection_it_is_maximum_likelihood(made):
    """First row: pool by ML, and the likelihood-ratio test of a slope on the standard errors."""
    eff = metaan.effects(Y, V, data=pd.DataFrame({"s": S}))
    ml = metaan.pool(eff, method="ML", test="z")
    first = made.to_frame().iloc[0]
    assert (first.published, first.gamma0, first.gamma1) == (1, math.inf, 0)
    assert first.estimate == pytest.approx(ml.estimate, rel=1e-7)
    assert first.tau2 == pytest.approx(ml.tau2, rel=1e-6)
    assert first.unpublished == pytest.approx(0, abs=1e-15)
    assert math.isnan(first.rho)
    slope = metaan.regress(eff, "~ s", method="ML")
    plain = float(normal_likelihood(Design(Y, V, np.ones((14, 1))), ml.tau2, restricted=False))
    assert first.loglik == pytest.approx(plain, abs=1e-9)
    assert first.residual_statistic == pytest.approx(2 * (slope.loglik - plain), rel=1e-6)


def test_probabilities_and_unpublished(made):
    table = made.to_frame().iloc[1:]
    for row in table.itertuples():
        seen = norm.cdf(row.gamma0 + row.gamma1 / S)
        assert seen[S.argmax()] == pytest.approx(row.published, rel=1e-9)
        assert seen[S.argmin()] == pytest.approx(0.99, rel=1e-9)
        assert row.unpublished == pytest.approx(((1 - seen) / seen).sum(), rel=1e-8)
    contour = made.contours()
    assert len(contour) == 144
    np.testing.assert_allclose(contour.published, norm.cdf(contour.gamma0 + contour.gamma1 / S.max()), rtol=1e-9)
    np.testing.assert_allclose(
        contour.published_precise, norm.cdf(contour.gamma0 + contour.gamma1 / S.min()), rtol=1e-9
    )
    assert (made.rows["residual_statistic"] >= 0).all()


def test_turned_moved_and_rescaled(made):
    for scale, shift in ((-1.0, 0.0), (1e-6, 0.0), (1e7, 0.0), (1.0, 5.0)):
        other = metaan.copas(metaan.pool(metaan.effects(scale * Y + shift, scale**2 * V)), gamma0=[0], gamma1=[0])
        expected = scale * made.rows["estimate"] + shift
        np.testing.assert_allclose(other.rows["estimate"], expected, rtol=1e-5, atol=1e-6 * abs(scale))
        np.testing.assert_allclose(other.rows["rho"], np.sign(scale) * made.rows["rho"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other.rows["residual_statistic"], made.rows["residual_statistic"], atol=1e-6)


def test_published_studies_of_a_known_model():
    """2,000 published studies drawn from the model: its parameters come back, and pooling alone is biased."""
    rng = np.random.default_rng(8)
    mu, tau, rho, g0, g1 = 0.2, 0.15, 0.7, -1.2, 0.35
    sigma = rng.uniform(0.1, 0.5, 40_000)
    e, d = rng.normal(size=(2, sigma.size))
    seen = g0 + g1 / sigma + rho * e + math.sqrt(1 - rho**2) * d > 0
    effect = (mu + tau * rng.normal(size=sigma.size) + sigma * e)[seen][:2000]
    s = sigma[seen][:2000]
    u = g0 + g1 / s  # as it was when the studies were selected
    h = norm.pdf(u) / norm.cdf(u)
    v = s**2 * (1 - h * (u + h) * rho**2)  # the variance of published effects, which is what papers report
    found = fit(selected(effect, v, u[:, None]), 0.02)
    assert found.converged[0]
    assert abs(found.mu[0] - mu) < 3 * found.se[0]
    assert found.rho[0] == pytest.approx(rho, abs=0.15)
    assert math.sqrt(found.tau2[0]) == pytest.approx(tau, abs=0.03)
    assert metaan.pool(metaan.effects(effect, v)).ci_low > mu + 0.02


def test_adjusted_row(made):
    index = int(np.flatnonzero(made.rows["residual_pvalue"] >= 0.1)[0])
    assert made.adjusted is not None
    assert made.adjusted["estimate"] == made.rows["estimate"][index]
    steep = metaan.copas(metaan.pool(metaan.effects(5 * S, V / 30)), published=[1, 0.9], gamma0=[1], gamma1=[0])
    assert steep.adjusted is None
    assert "none of them" in str(steep)


def test_views(made):
    assert len(str(made).splitlines()) <= 20
    json.dumps(made.to_dict(), allow_nan=False)
    assert made.to_frame().attrs["notes"] == made.notes
    assert set(made.to_frame().columns) | set(made.contours().columns) <= set(COLUMNS)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert str(again) == str(made)
        assert not again.rows["estimate"].flags.writeable
    own = metaan.copas(made.original, published=[0.5], most_precise=0.9, gamma0=[0, 1], gamma1=[0.1, 0.2, 0.3])
    assert len(own.contours()) == 6
    assert len(own.to_frame()) == 1
    rates = metaan.copas(metaan.pool(metaan.effect_size("PLO", events=X, total=N)), gamma0=[1], gamma1=[0])
    assert rates.notes[0].code == "linked-variance"
    assert len(str(rates).splitlines()) <= 20


def test_identical_effects():
    res = metaan.pool(metaan.effects([0.3] * 5, [0.01, 0.02, 0.03, 0.04, 0.05]), test="z")
    made = metaan.copas(res, gamma0=[0, 1], gamma1=[0.1])
    assert np.isfinite(made.rows["estimate"]).all()
    assert made.rows["estimate"][0] == pytest.approx(0.3, abs=1e-9)


def test_what_is_refused():
    res = metaan.pool(metaan.effects(Y, V))
    with pytest.raises(OptionError, match="effect sizes with sampling variances"):
        metaan.copas(metaan.glmm("PLO", events=X, total=N))
    with pytest.raises(OptionError, match="robust"):
        metaan.copas(metaan.robust(metaan.pool(metaan.effects(Y, V)), cluster=list(range(len(Y)))))
    with pytest.raises(InputError, match="at least 4"):
        metaan.copas(metaan.pool(metaan.effects([0.1, 0.2, 0.5], [0.1, 0.2, 0.3])))
    with pytest.raises(DataError, match="standard errors are equal"):
        metaan.copas(metaan.pool(metaan.effects([0.1, 0.2, 0.5, 0.3], [0.1] * 4)))
    for published in ([], [0], [1.2], [float("nan")]):
        with pytest.raises(OptionError, match="published"):
            metaan.copas(res, published=published)
    for option in ({"most_precise": 1}, {"alpha": 0.7}, {"alpha": True}):
        with pytest.raises(OptionError, match="number between"):
            metaan.copas(res, **option)
    for option in ({"gamma1": [-0.1]}, {"gamma0": [math.inf]}, {"gamma0": []}, {"gamma0": [-50], "gamma1": [0]},
                   {"gamma0": [-1e4], "gamma1": [0]}, {"published": [1e-300]}):  # fmt: skip
        with pytest.raises(InputError, match="gamma"):
            metaan.copas(res, **option)
