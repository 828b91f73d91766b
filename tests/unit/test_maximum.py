"""The likelihood search returns the global maximum, also where there are two."""

import numpy as np
import pytest

from metaan.core.maximum import log_likelihood, maximise
from metaan.core.wls import arrange


def scan(y, v, restricted, points=4001):
    """Highest log-likelihood on a dense grid: independent of the search's derivatives."""
    top = 4 * np.var(y) + 4 * v.max()
    grid = np.concatenate([[0.0], np.geomspace(v.min() * 1e-4, top, points - 1)])
    w = 1 / (v + grid[:, None])
    rest = y - (w @ y / w.sum(axis=1))[:, None]
    height = -(np.log(v + grid[:, None]).sum(axis=1) + (w * rest**2).sum(axis=1)) / 2
    if restricted:
        height -= np.log(w.sum(axis=1)) / 2
    best = height.argmax()
    return grid[best], height[best]


def relative_height(y, v, t, restricted):
    w = 1 / (v + t)
    mu = (w @ y) / w.sum()
    return -(np.log(v + t).sum() + w @ (y - mu) ** 2 + (np.log(w.sum()) if restricted else 0.0)) / 2


@pytest.mark.parametrize("restricted", [True, False])
def test_never_below_a_dense_scan(restricted):
    rng = np.random.default_rng(20141003)
    for _ in range(150):
        k = int(rng.integers(2, 20))
        v = np.exp(rng.normal(-2, 2.5, k))
        y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.1, 3.0])))
        found = maximise(arrange(y[None], v[None]), restricted=restricted)
        _, height = scan(y, v, restricted)
        assert found.converged[0]
        assert relative_height(y, v, found.tau2[0], restricted) >= height - 1e-9


def test_the_higher_of_two_maxima():
    rng = np.random.default_rng(1)
    v = rng.uniform(0.01, 0.6, (10_000, 13))
    y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.02, 0.1, 0.5], (10_000, 1))))
    found = maximise(arrange(y, v), restricted=True)
    several = np.flatnonzero(found.maxima > 1)
    assert several.size > 5
    assert (found.tau2[several] > 0).any(), "Fisher scoring from 0 would stay at 0 in these"
    for i in several:
        _, height = scan(y[i], v[i], True)
        assert relative_height(y[i], v[i], found.tau2[i], True) >= height - 1e-12


def test_batch_equals_one_at_a_time():
    rng = np.random.default_rng(3)
    v = np.exp(rng.normal(-1, 1.5, (40, 9)))
    y = rng.normal(0, np.sqrt(v + 0.3))
    together = maximise(arrange(y, v), restricted=True)
    for i in range(40):
        alone = maximise(arrange(y[i : i + 1], v[i : i + 1]), restricted=True)
        assert together.tau2[i] == pytest.approx(alone.tau2[0], rel=1e-10, abs=1e-13)
        assert together.maxima[i] == alone.maxima[0]


def test_log_likelihood_is_the_normal_density():
    from scipy.stats import multivariate_normal

    y, v, t = np.array([0.3, -0.2, 1.1]), np.array([0.1, 0.4, 0.2]), 0.25
    w = 1 / (v + t)
    mu = (w @ y) / w.sum()
    full = log_likelihood(arrange(y[None], v[None]), np.array([t]), restricted=False)[0]
    assert full == pytest.approx(multivariate_normal.logpdf(y, np.full(3, mu), np.diag(v + t)), rel=1e-13)
    # restricted: the density of two orthonormal contrasts
    contrasts = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    reml = log_likelihood(arrange(y[None], v[None]), np.array([t]), restricted=True)[0]
    expected = multivariate_normal.logpdf(contrasts @ y, np.zeros(2), contrasts @ np.diag(v + t) @ contrasts.T)
    assert reml == pytest.approx(expected, rel=1e-13)
