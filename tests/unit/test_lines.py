"""The search for tau2 of many regressions: score and likelihood against the orthonormal factors, and every maximum."""

import numpy as np
import pytest

from metaan.core.linear import ESTIMATORS, Design, at, log_likelihood, trace
from metaan.core.lines import Lines

RNG = np.random.default_rng(3)


def sets(n, k, p, spread=1.0):
    v = np.exp(RNG.normal(0, spread, (n, k)))
    x = np.ones((n, k, p))
    x[..., 1:] = RNG.integers(1980, 2020, (n, k, 1)) ** np.arange(1, p)
    return Design(50 + RNG.normal(0, np.sqrt(v + RNG.choice([0.0, 0.5, 5.0], (n, 1)))), v, x)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("restricted", [True, False])
def test_score_is_the_slope_of_the_likelihood(p, restricted):
    data = sets(20, 9, p)
    lines, t, h = Lines.of(*data), RNG.uniform(0.1, 3, 20), 1e-4
    of = lines.score(t, restricted=restricted)
    slope = (
        log_likelihood(data, t + h, restricted=restricted) - log_likelihood(data, t - h, restricted=restricted)
    ) / h
    assert (of.a - of.b) == pytest.approx(slope, rel=1e-5, abs=1e-6)
    ahead, behind = (lines.score(t + s, restricted=restricted) for s in (h, -h))
    assert (ahead.a - behind.a) / (2 * h) == pytest.approx(-2 * of.c, rel=1e-5, abs=1e-7)
    assert (ahead.b - behind.b) / (2 * h) == pytest.approx(-of.d, rel=1e-5, abs=1e-7)
    grid = lines.score(np.stack([t, 2 * t]), restricted=restricted)
    for row, once in ((0, of), (1, lines.score(2 * t, restricted=restricted))):
        assert [part[row] for part in grid] == [pytest.approx(part, rel=1e-12) for part in once]


def test_sums_agree_with_the_factors():
    data = sets(30, 12, 3)
    lines, t = Lines.of(*data), RNG.uniform(0, 3, 30)
    fit = at(data, t)
    assert lines.Q(t) == pytest.approx(fit.Q, rel=1e-9)
    assert lines.score(t, restricted=True).b == pytest.approx(trace(fit), rel=1e-9)
    gap = log_likelihood(data, t, restricted=True) - lines.log_likelihood(t, restricted=True)
    again = log_likelihood(data, 2 * t, restricted=True) - lines.log_likelihood(2 * t, restricted=True)
    assert gap == pytest.approx(again, abs=1e-8)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_no_point_of_a_fine_grid_is_higher(method, spread):
    data = sets(60, 6, 2, spread)
    t = ESTIMATORS[method](data)
    top = log_likelihood(data, t, restricted=method == "REML")
    for point in np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 300)]):
        assert (log_likelihood(data, np.full(60, point), restricted=method == "REML") <= top + 1e-9).all()


def test_the_higher_of_two_maxima():
    """A data set whose restricted likelihood of a regression has a maximum at 0 and another, higher one."""
    found = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        v = np.exp(rng.normal(0, 2.5, (1, 6)))
        data = Design(rng.normal(0, 1.5, (1, 6)), v, np.stack([np.ones((1, 6)), rng.normal(size=(1, 6))], axis=-1))
        grid = np.concatenate([[0.0], np.geomspace(1e-5, 1e4, 400)])
        height = log_likelihood(Design(*(np.repeat(a, 401, axis=0) for a in data)), grid, restricted=True)
        peaks = (height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])
        if height[0] > height[1] and peaks.any():
            found += 1
            best = log_likelihood(data, ESTIMATORS["REML"](data), restricted=True)[0]
            assert best >= height.max() - 1e-9
    assert found >= 3
