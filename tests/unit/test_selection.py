"""Likelihood of selection models against adaptive quadrature and finite differences; the search against brute force."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

from metaan.core import selection_fit
from metaan.core.linear import Design
from metaan.core.linear import log_likelihood as plain_log_likelihood
from metaan.core.selection import NULL, Rule, evaluate, intervals, log_likelihood, problem_of, pvalues
from metaan.core.selection_fit import Given, fit_selection, profile_limits

RNG = np.random.default_rng(1)
K = 4
Y, V = RNG.normal(0.3, 0.4, K), RNG.uniform(0.005, 0.2, K)
X = np.column_stack([np.ones(K), RNG.normal(size=K)])
BETA, TAU2 = np.array([0.2, 0.1]), 0.05
CASES = [
    ("step", [0.025], [0.3]), ("step", [0.025, 0.5], [0.3, 2.0]), ("beta", [], [0.5, 0.8]), ("beta", [], [1.5, 5.0]),
    ("halfnorm", [], [3.0]), ("negexp", [], [60.0]), ("logistic", [], [5.0]), ("power", [], [4.0]),
    ("halfnorm", [0.05], [3.0]), ("negexp", [0.05], [3.0]), ("logistic", [0.05], [9.0]), ("power", [0.05], [40.0]),
]  # fmt: skip
SIDES = [(1, 1.0, 0.0), (1, -1.0, 0.1), (2, 1.0, 0.0), (2, 1.0, -0.2)]


def weight(kind, p, delta, prec, steps):
    if kind == "step":
        return np.append(1.0, delta)[np.searchsorted(steps, p)]
    if len(steps) and p <= steps[0]:
        return 1.0
    if kind in ("beta", "power"):
        p = min(max(p, 1e-5), 1 - 1e-5)
    d = delta[0] * prec
    return {
        "beta": lambda: p ** (delta[0] - 1) * (1 - p) ** (delta[-1] - 1),
        "halfnorm": lambda: np.exp(-d * p * p),
        "negexp": lambda: np.exp(-d * p),
        "logistic": lambda: 2 * np.exp(-d * p) / (1 + np.exp(-d * p)),
        "power": lambda: (1 - p) ** d,
    }[kind]()


def brute(kind, delta, steps, sides, sign, null, prec):
    """Log-likelihood by adaptive quadrature between the points where the weight breaks."""
    total = 0.0
    for y, v, x, precision in zip(Y, V, X, prec, strict=True):
        mean, sd, se = x @ BETA, np.sqrt(v + TAU2), np.sqrt(v)

        def density(value, mean=mean, sd=sd, se=se, precision=precision):
            z = (value - null) / se
            p = norm.sf(sign * z) if sides == 1 else 2 * norm.sf(abs(z))
            return weight(kind, p, delta, precision, steps) * norm.pdf(value, mean, sd)

        z = norm.isf(np.array([*steps, 1e-5, 1 - 1e-5, 0.5]) / sides)
        breaks = np.concatenate([null + z * se, null - z * se, [null], np.linspace(mean - 10 * sd, mean + 10 * sd, 9)])
        breaks = np.unique(breaks[np.abs(breaks - mean) <= 10 * sd])
        area = sum(quad(density, low, high, epsabs=1e-13, epsrel=1e-11)[0] for low, high in itertools.pairwise(breaks))
        total += np.log(density(y) / area)
    return total


def problem(kind, steps, sides, sign, null, nodes=128):
    prec = np.sqrt(V / V.max()) if kind not in ("step", "beta") else None
    rule = Rule(kind, sides, np.array(steps))
    made = problem_of(Y, V, X, rule, sign=sign, null=null, precision=prec, nodes=nodes)
    return made, np.ones(K) if prec is None else prec


@pytest.mark.parametrize(("sides", "sign", "null"), SIDES[1::2])
@pytest.mark.parametrize(("kind", "steps", "delta"), CASES)
def test_likelihood_by_adaptive_quadrature(kind, steps, delta, sides, sign, null):
    made, prec = problem(kind, steps, sides, sign, null)
    point = BETA[None], np.array([TAU2]), np.array([delta])
    value = evaluate(made, *point).loglik[0]
    assert value == pytest.approx(brute(kind, delta, steps, sides, sign, null, prec), abs=1e-10)
    assert log_likelihood(made, *point)[0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("sides", "sign", "null"), SIDES)
@pytest.mark.parametrize(("kind", "steps", "delta"), CASES)
def test_derivatives(kind, steps, delta, sides, sign, null):
    made, _ = problem(kind, steps, sides, sign, null, nodes=64)
    theta = np.concatenate([BETA, [TAU2], delta])

    def at(points):
        points = np.atleast_2d(points)
        return evaluate(made, points[:, :2], points[:, 2], points[:, 3:])

    h = 1e-5 * np.maximum(np.abs(theta), 0.1)
    up, down = at(theta + np.diag(h)), at(theta - np.diag(h))
    here = at(theta)
    slope, curve = (up.loglik - down.loglik) / (2 * h), (up.gradient - down.gradient) / (2 * h)[:, None]
    assert here.gradient[0] == pytest.approx(slope, rel=1e-6, abs=1e-7 * np.abs(slope).max())
    assert here.hessian[0] == pytest.approx(curve, rel=1e-6, abs=1e-7 * np.abs(curve).max())


@pytest.mark.parametrize("kind", list(NULL))
def test_without_selection_it_is_the_normal_likelihood(kind):
    steps = [0.025] if kind == "step" else []
    made, _ = problem(kind, steps, 1, 1.0, 0.0)
    delta = np.full((1, 2 if kind == "beta" else 1), NULL[kind])
    value = evaluate(made, BETA[None], np.array([TAU2]), delta).loglik[0]
    plain = np.sum(norm.logpdf(Y, X @ BETA, np.sqrt(V + TAU2)))
    assert value == pytest.approx(plain, abs=1e-12)


def test_a_rare_interval_with_all_of_the_weight():
    """The mean is 9 standard deviations below the only interval that is seen at a rate above 1e-10."""
    y, v, x = np.array([0.25]), np.array([0.01]), np.ones((1, 1))
    made = problem_of(y, v, x, Rule("step", 1, np.array([0.025])))
    value = evaluate(made, np.array([[-0.8]]), np.array([0.0]), np.array([[1e-40]])).loglik[0]
    cut = norm.isf(0.025) * 0.1
    assert value == pytest.approx(norm.logpdf(0.25, -0.8, 0.1) - norm.logsf(cut, -0.8, 0.1), abs=1e-9)


def test_intervals_take_their_upper_end():
    assert list(intervals(np.array([0.0, 0.025, 0.0250001, 0.5, 1.0]), np.array([0.025, 0.5]))) == [0, 0, 1, 1, 2]
    assert pvalues(np.array([1.96, -1.96]), 2) == pytest.approx([0.05, 0.05], abs=1e-4)


@pytest.mark.parametrize(("sides", "steps"), [(1, [0.025]), (1, [0.01, 0.05, 0.5]), (2, [0.05]), (2, [0.01, 0.3, 0.7])])
def test_cells_merged_by_weight_are_the_cells(sides, steps):
    """The short sums of step functions against those over all cells."""
    rng = np.random.default_rng(3)
    y, v = rng.normal(0.3, 0.4, 9), rng.uniform(0.005, 0.2, 9)
    x = np.column_stack([np.ones(9), rng.normal(size=9)])
    made = problem_of(y, v, x, Rule("step", sides, np.array(steps)))
    point = rng.normal(size=(5, 2)), rng.uniform(0, 0.2, 5), rng.uniform(0.1, 3.0, (5, len(steps)))
    short, long = evaluate(made, *point), evaluate(made._replace(steps=None), *point)
    for ours, other in zip(short, long, strict=True):
        assert ours == pytest.approx(other, rel=1e-10, abs=1e-10)
    assert log_likelihood(made, *point) == pytest.approx(long.loglik, abs=1e-10)


def random_starts(given, rng):
    """Highest maximum of climbs from 40 random points."""
    beta, tau2, _, r = selection_fit._start(given)
    scale = selection_fit._scale(given, np.linalg.inv(r))
    made = selection_fit._problem(given, scale.turn, 64)
    spread, delta = np.exp(rng.uniform(-3, 3, 40)) * max(tau2, 0.2 * scale.c[0]), np.exp(rng.uniform(-5, 4, 40))
    x = np.column_stack([r @ beta - rng.uniform(-4, 4, (40, 1)), scale.places(np.column_stack([spread, delta]))])
    x = np.clip(x, scale.low, scale.high)
    return selection_fit._climb(made, scale, x, np.ones(x.shape, dtype=bool)).loglik.max()


def test_no_start_leads_higher():
    """120 data sets, many of which have several maxima, and heavy tails."""
    rng = np.random.default_rng(2)
    tried = 0
    while tried < 120:
        k = int(rng.choice([5, 8, 12, 40]))
        v = np.exp(rng.uniform(-5, -1, k))
        y = rng.normal(0.2 + rng.choice([0, 0.2, 1]) * rng.standard_t(2, k), np.sqrt(v))
        given = Given(y, v, np.ones((k, 1)), Rule("step", 1, np.array([0.025])))
        if not 0 < (y / np.sqrt(v) > norm.isf(0.025)).sum() < k:
            continue
        tried += 1
        fit = fit_selection(given)
        assert fit.converged
        assert fit.loglik >= random_starts(given, rng) - 1e-6


@pytest.mark.parametrize(
    ("y", "v", "point"),
    [
        ([1.13956, -0.40805, -1.34593], [0.165914, 0.192938, 0.007984], [-1.0876, 0.08678, 1.317e-4]),
        (
            [1.57144, 0.34952, 0.1685, 0.31442, 0.1058, 0.55392],
            [0.249395, 0.105385, 0.098283, 0.140067, 0.010067, 0.258824], [0.74267, 0.15461, 9.3304],
        ),
    ],
)  # fmt: skip
def test_maxima_that_are_easily_missed(y, v, point):
    """Far from the other maximum, which is 0.3 lower."""
    y, v, (mean, tau2, delta) = np.array(y), np.array(v), point
    spread = np.sqrt(v + tau2)
    cut = norm.isf(0.025) * np.sqrt(v)
    seen = norm.sf(cut, mean, spread) + delta * norm.cdf(cut, mean, spread)
    density = norm.logpdf(y, mean, spread) + np.where(y < cut, np.log(delta), 0.0) - np.log(seen)
    fit = fit_selection(Given(y, v, np.ones((y.size, 1)), Rule("step", 1, np.array([0.025]))))
    assert fit.loglik >= density.sum()
    assert fit.loglik == pytest.approx(density.sum(), abs=1e-4)
    assert fit.maxima > 1


SEEN = np.random.default_rng(8)
TRUE = SEEN.uniform(0.01, 0.2, 150)
ALL = SEEN.normal(0.2, np.sqrt(TRUE + 0.04))
KEPT = (ALL / np.sqrt(TRUE) > norm.isf(0.025)) | (SEEN.random(150) < 0.25)


@pytest.mark.parametrize(("kind", "alternative"), list(zip(NULL, [1.0, -1.0] * 3, strict=True)))
def test_the_maximum_by_another_optimiser(kind, alternative):
    y, v = alternative * ALL[KEPT], TRUE[KEPT]
    steps = np.array([0.025] if kind == "step" else [])
    given = Given(y, v, np.ones((y.size, 1)), Rule(kind, 1, steps), sign=alternative)
    fit = fit_selection(given)
    made = problem_of(y, v, given.x, given.rule, sign=alternative, nodes=128)
    low = 1e-5 if kind in ("step", "beta") else 0.0

    def minus(theta):
        return -log_likelihood(made, theta[None, :1], theta[1:2], theta[None, 2:])[0]

    count = fit.delta.size
    best = min(
        minimize(
            minus, [mu, tau2, *[d] * count], bounds=[(None, None), (0, None), *[(low, 100)] * count], method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-8},
        ).fun
        for mu, tau2, d in ((0.0, 0.02, 0.3), (alternative * 0.3, 0.2, 3.0))
    )  # fmt: skip
    assert fit.converged
    assert fit.loglik >= -best - 1e-9
    assert fit.loglik == pytest.approx(-best, abs=1e-4)
    design = Design(y, v, given.x)
    assert fit.loglik_null == pytest.approx(
        float(plain_log_likelihood(design, fit.tau2_null, restricted=False)), abs=1e-12
    )


def test_profile_limits():
    y, v = ALL[KEPT], TRUE[KEPT]
    x = np.column_stack([np.ones(y.size), SEEN.normal(2000, 10, y.size)])
    given = Given(y, v, x, Rule("step", 1, np.array([0.025])))
    fit = fit_selection(given)
    low, high = profile_limits(given, fit, 0.95)
    assert (low < fit.beta).all()
    assert (fit.beta < high).all()
    for j, ends in enumerate(zip(low, high, strict=True)):
        for end in ends:  # a model whose coefficient j is held at the limit, by another parametrisation
            other = given._replace(y=y - end * x[:, j], x=x[:, [1 - j]])
            made = problem_of(y, v, x, given.rule)

            def value(theta, j=j, end=end, made=made):
                beta = np.insert(theta[:1], j, end)[None]
                return -log_likelihood(made, beta, np.exp(theta[1:2]), np.exp(theta[None, 2:]))[0]

            start = np.linalg.lstsq(other.x, other.y, rcond=None)[0]
            unit = np.array([1 / np.abs(other.x).max(), 1.0, 1.0])
            found = minimize(
                lambda t, start=start, unit=unit: value(np.append(start, [-3, -1]) + unit * t), np.zeros(3)
            )
            assert fit.loglik + found.fun == pytest.approx(1.920729, abs=1e-4)
