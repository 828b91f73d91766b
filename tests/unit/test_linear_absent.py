"""The linear model where studies are absent from some of the data sets: as the present ones alone."""

import numpy as np
import pytest

from metaan.core.linear import ESTIMATORS, Design, at, log_likelihood, profile_limits, q_limits, trace

N, K, P = 12, 9, 3


def _pair(seed: int) -> tuple[Design, list[Design]]:
    """Data sets with absent studies in one array, and each of them alone."""
    rng = np.random.default_rng(seed)
    y, v = rng.normal(0, 0.6, (N, K)), rng.uniform(0.01, 0.3, (N, K))
    x = np.concatenate([np.ones((N, K, 1)), rng.normal(2000, 5, (N, K, 1)), rng.normal(size=(N, K, 1))], axis=2)
    here = rng.random((N, K)).argsort(axis=1) < rng.integers(P + 1, K + 1, (N, 1))
    wide = Design(np.where(here, y, 0.0), np.where(here, v, np.inf), np.where(here[..., None], x, 0.0))
    return wide, [Design(y[i, h][None], v[i, h][None], x[i, h][None]) for i, h in enumerate(here)]


@pytest.mark.parametrize("method", ESTIMATORS)
def test_estimators(method: str) -> None:
    wide, alone = _pair(1)
    expected = [ESTIMATORS[method](one)[0] for one in alone]
    np.testing.assert_allclose(ESTIMATORS[method](wide), expected, rtol=1e-9, atol=1e-14)


def test_fit_and_likelihood() -> None:
    wide, alone = _pair(2)
    fit = at(wide, 0.1)
    assert wide.k.tolist() == [one.y.shape[1] for one in alone]
    assert wide.df.tolist() == [one.y.shape[1] - P for one in alone]
    for i, one in enumerate(alone):
        own = at(one, 0.1)
        np.testing.assert_allclose(fit.beta[i], own.beta[0], rtol=1e-8)
        np.testing.assert_allclose(fit.cov[i], own.cov[0], rtol=1e-8)
        np.testing.assert_allclose(fit.Q[i], own.Q[0], rtol=1e-10)
        np.testing.assert_allclose(trace(fit)[i], trace(own)[0], rtol=1e-10)
        np.testing.assert_allclose(trace(fit, wide.v)[i], trace(own, one.v)[0], rtol=1e-10)
        for restricted in (True, False):
            value = log_likelihood(wide, 0.1, restricted=restricted)[i]
            np.testing.assert_allclose(value, log_likelihood(one, 0.1, restricted=restricted)[0], rtol=1e-10)


def test_intervals() -> None:
    wide, alone = _pair(3)
    for found, each in (
        (q_limits(wide, 0.9), [q_limits(one, 0.9) for one in alone]),
        (profile_limits(wide, 0.9, restricted=True), [profile_limits(one, 0.9, restricted=True) for one in alone]),
    ):
        expected = np.array(each)[..., 0].T
        np.testing.assert_allclose(np.array(found), expected, rtol=1e-8, atol=1e-12)
