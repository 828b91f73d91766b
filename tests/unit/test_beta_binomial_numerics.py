"""The beta-binomial likelihood and its derivatives to rounding, and many fits at once."""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from metaan.core.beta_binomial import Counts, evaluate, remainder
from metaan.core.beta_binomial_fit import maximise, problem_of
from metaan.core.beta_binomial_profile import beta_limits, rho_limits

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}


def columns(x, n):
    return np.array(x, float)[:, None], np.array(n, float)[:, None]


def exact(x, n, eta, theta):
    """Log-probability by gamma functions, in mpmath."""
    m = 1 / (1 + mp.exp(-eta))
    if theta == 0:
        return mp.log(mp.binomial(n, x)) + x * mp.log(m) + (n - x) * mp.log(1 - m)
    a, b = m / theta, (1 - m) / theta
    up = mp.loggamma(a + x) + mp.loggamma(b + n - x) - mp.loggamma(a + b + n)
    return mp.log(mp.binomial(n, x)) + up - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(a + b)


CASES = [
    (0, 20, -2.0, 0.05), (3, 7, 0.5, 1.5), (1, 1, 1.0, 0.3), (40, 40, 1.0, 100.0), (2, 1000, -6.0, 1e-3),
    (2_000_000, 5_000_000, -0.4, 1e-7), (5_000_000, 5_000_000, 1.0, 70.0), (3, 5_000_000, -14.0, 1e-12),
    (1_234_567, 5_000_000, -1.0, 1e-12), (487_583, 798_742, 0.4476, 7e-8), (12, 30, -1.0, 1e-12), (12, 30, -1.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("x", "n", "eta", "theta"), CASES)
def test_likelihood_and_derivatives(x, n, eta, theta):
    with mp.workdps(110):
        e, s, h = mp.mpf(eta), mp.mpf(theta), mp.mpf(10) ** -24
        f = lambda i, j: exact(x, n, e + i * h, s + j * h * scale)  # noqa: E731
        scale = s if theta else mp.mpf(10) ** -3
        middle = f(0, 0)
        reference = [middle, (f(1, 0) - f(-1, 0)) / (2 * h), (f(1, 0) - 2 * middle + f(-1, 0)) / h**2]
        if theta:
            reference += [
                (f(0, 1) - f(0, -1)) / (2 * h * scale),
                (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * h**2 * scale),
                (f(0, 1) - 2 * middle + f(0, -1)) / (h * scale) ** 2,
            ]
    at = evaluate(Counts.from_counts(*columns([x], [n])), np.array([[eta]]), np.array([theta]))
    got = [at.loglik, at.eta, at.eta_eta, at.theta, at.eta_theta, at.theta_theta]
    unit, information = 1 / (theta + 1 / n), n / (1 + n * theta) + 1  # of theta and of eta
    sizes = [max(1.0, abs(middle)), information**0.5, information, unit, unit * information**0.5, unit**2]
    for value, ref, size in zip(got, reference, sizes, strict=False):
        assert float(value[0, 0]) == pytest.approx(float(ref), rel=1e-9, abs=2e-9 * float(size))


def test_derivatives_at_rho_zero_are_the_limits():
    b = Counts.from_counts(*columns(A["events"], A["total"]))
    at, near = (evaluate(b, np.array([[-2.0]]), np.array([theta])) for theta in (0.0, 1e-9))
    for zero, small in zip(at, near, strict=True):
        assert zero == pytest.approx(small, rel=1e-5, abs=1e-6)
    x, n, m = np.array(A["events"]), np.array(A["total"]), expit(-2.0)
    second = (x * (x - 1) / m + (n - x) * (n - x - 1) / (1 - m) - n * (n - 1)) / 2  # sums of j over j < r, by hand
    assert at.theta[:, 0] == pytest.approx(second, rel=1e-12)
    assert at.loglik[:, 0] == pytest.approx(binom.logpmf(x, n, m), rel=1e-12)


@pytest.mark.parametrize("z", [1e-8, 0.3, 1.0, 9.999, 10.0, 37.5, 1e6])
def test_remainders_of_stirling(z):
    got = remainder(np.array([z]))
    with mp.workdps(40):
        w = mp.mpf(z)
        log = mp.loggamma(w) - ((w - 0.5) * mp.log(w) - w + mp.log(2 * mp.pi) / 2)
        first = w**2 * (mp.log(w) - 1 / (2 * w) - mp.digamma(w))
        second = w**3 * (mp.polygamma(1, w) - 1 / w - 1 / (2 * w**2))
        reference = [log, first, second]
    assert [float(v[0]) for v in got[:3]] == pytest.approx([float(r) for r in reference], rel=1e-11)
    assert float(got.difference[0]) == pytest.approx(float(2 * first - second), rel=1e-8)


def test_batch_equals_one_at_a_time():
    rng = np.random.default_rng(5)
    n = rng.integers(5, 80, (12, 40)).astype(float)
    n[9:, ::3] = 0  # absent studies
    x = rng.binomial(n.astype(int), rng.beta(2, 6, n.shape)).astype(float)
    problem = problem_of(x, n)
    found = maximise(problem)
    limits = np.array([*beta_limits(problem, found, 0.95), *rho_limits(problem, found, 0.95)])
    for j in range(0, 40, 3):
        here = n[:, j] > 0
        alone = problem_of(x[here][:, [j]], n[here][:, [j]])
        one = maximise(alone)
        ends = np.array([*beta_limits(alone, one, 0.95), *rho_limits(alone, one, 0.95)])
        assert found.loglik[j] == pytest.approx(one.loglik[0], rel=1e-12)
        assert found.rho[j] == pytest.approx(one.rho[0], rel=1e-7, abs=1e-12)
        assert limits[:, j] == pytest.approx(ends[:, 0], rel=1e-6, abs=1e-9)


def test_ten_thousand_data_sets_at_once():
    rng = np.random.default_rng(2)
    n = rng.integers(8, 60, (5, 10_000)).astype(float)
    x = rng.binomial(n.astype(int), rng.beta(1, 12, n.shape)).astype(float)
    found = maximise(problem_of(x, n))
    assert found.converged.all()
    assert (found.loglik >= found.loglik_common - 1e-10).all()
    # the score is 0 at every interior maximum
    inside = ~found.separated & ~found.complete & (found.rho > 0)
    b = Counts.from_counts(x[:, inside], n[:, inside])
    at = evaluate(b, found.beta[:, inside], found.theta[inside])
    assert np.abs(at.eta.sum(axis=0)).max() < 1e-5
    assert np.abs(at.theta.sum(axis=0) * found.theta[inside]).max() < 1e-5
    assert 0 < found.separated.mean() < 0.2
