"""Distribution function of the generalised Q against independent routes."""

import numpy as np
import pytest
from scipy.stats import chi2

from metaan.core.predictive import tau2_draws
from metaan.core.quadratic_form import q_cdf, tau2_at_q_quantile
from metaan.core.wls import Data, arrange


def columns(v, n):
    k = v.shape[0]
    return Data(np.zeros((k, n)), np.tile(v[:, None], n), np.tile(v[:, None], n), None, np.full(n, float(k)))


@pytest.mark.parametrize("k", [2, 3, 5, 13, 100, 1000])
@pytest.mark.parametrize("tau2", [0.0, 0.3])
def test_equal_variances_give_a_scaled_chi_square(k, tau2):
    p = np.concatenate([np.linspace(1e-3, 0.999, 41), [1e-6, 1 - 1e-6, 1 - 1e-10]])
    q = chi2.ppf(p, k - 1) * (1 + tau2 / 0.5)
    data = columns(np.full(k, 0.5), q.size)
    np.testing.assert_allclose(q_cdf(data, 1 / data.v, np.full(q.size, tau2), q), p, rtol=0, atol=2e-9)


def imhof(lam, q):
    """Imhof 1961 by Gauss-Legendre on half periods: needs eigenvalues and thousands of nodes; independent."""
    node, weight = np.polynomial.legendre.leggauss(12)
    width = np.pi / (q + sum(lam))
    left = np.arange(20_000)[:, None] * width
    u = left + width * (node + 1) / 2
    angle = sum(np.arctan(x * u) for x in lam) / 2 - q * u / 2
    size = np.prod([(1 + (x * u) ** 2) ** 0.25 for x in lam], axis=0)
    return 0.5 - (np.sin(angle) / (u * size) * weight * width / 2).sum() / np.pi


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("tau2", [0.0, 0.2])
def test_unequal_variances_against_imhof_on_the_eigenvalues(power, tau2):
    v = np.array([0.02, 0.05, 0.1, 0.5, 0.9, 1.5, 3.0, 0.3])
    a = v**-power
    s = v + tau2
    form = np.sqrt(s)[:, None] * (np.diag(a) - np.outer(a, a) / a.sum()) * np.sqrt(s)
    lam = [float(x) for x in np.linalg.eigvalsh(form)[1:]]
    for multiple in (0.4, 1.0, 2.5):
        q = multiple * sum(lam)
        data = columns(v, 1)
        got = q_cdf(data, a[:, None], np.array([tau2]), np.array([q]))[0]
        assert got == pytest.approx(imhof(lam, q), abs=1e-10)


def test_quantile_inverts_the_distribution():
    v = np.array([0.1, 0.2, 0.4, 0.8])
    data = columns(v, 3)
    q = np.array([9.0, 9.0, 9.0])
    p = np.array([0.025, 0.5, 0.9])
    t = tau2_at_q_quantile(data, 1 / data.v, q, p)
    np.testing.assert_allclose(q_cdf(data, 1 / data.v, t, q), p, atol=1e-11)
    assert t[0] > t[1] > t[2] > 0


def test_no_root_gives_zero():
    data = columns(np.array([0.1, 0.2, 0.4]), 1)
    assert tau2_at_q_quantile(data, 1 / data.v, np.array([0.5]), np.array([0.975]))[0] == 0


def test_draws_follow_the_confidence_distribution():
    rng = np.random.default_rng(8)
    y, v = np.array([0.1, 0.9, -0.4, 1.2, 0.3]), np.array([0.1, 0.05, 0.2, 0.1, 0.15])
    data = arrange(y[None], v[None])
    u = np.sort(rng.uniform(size=200))
    draws = tau2_draws(data, u)
    q = (1 / v) @ (y - (y / v).sum() / (1 / v).sum()) ** 2
    wide = columns(v, 200)
    h = 1 - q_cdf(wide, 1 / wide.v, draws, np.full(200, q))
    inside = draws > 0
    np.testing.assert_allclose(h[inside], u[inside], atol=2e-4)
    assert (u[~inside] <= h[~inside] + 1e-12).all()


def test_far_upper_tail_of_strongly_heterogeneous_data():
    # Q of the BCG trials (152 on 12 df) at tau2 = 0, where 1 - P is 1e-26
    data = columns(np.full(13, 0.5), 3)
    q = np.array([60.0, 152.0, 5000.0])
    np.testing.assert_allclose(q_cdf(data, 1 / data.v, np.zeros(3), q), chi2.cdf(q, 12), rtol=0, atol=1e-13)
