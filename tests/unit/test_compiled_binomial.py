"""Integrals of binomial counts by compiled kernels: what numpy has, and where each is used."""

import numpy as np
import pytest
from scipy.special import expit

from metaan.core.binomial import Binomial, by_study, gauss_hermite, log_likelihood, trapezoid
from metaan.core.binomial_fit import fit
from metaan.core.links import Linked
from metaan.core.quadrature import kernels, mode, reach

K, N_SETS = 9, 40


@pytest.fixture
def fast(monkeypatch):
    """Switch between kernels and numpy."""
    return lambda setting: monkeypatch.setenv("METAAN_FAST", setting)


def data_sets(seed=3, n=N_SETS):
    """Counts with absent studies, studies without events and with nothing else; mu and tau for each set."""
    rng = np.random.default_rng(seed)
    total = np.ceil(np.exp(rng.uniform(0, 7, (K, n))))
    tau = rng.uniform(0.05, 3, n)
    events = rng.binomial(total.astype(int), expit(rng.normal(-1, tau, (K, n)))).astype(float)
    events[0], events[1] = 0.0, total[1]
    absent = rng.random((K, n)) < 0.1
    absent[2:4] = False
    b = Binomial.from_counts(np.where(absent, 0.0, events), np.where(absent, 0.0, total))
    return b, rng.normal(-1, 1, n), tau


@pytest.mark.parametrize("rule", [trapezoid, gauss_hermite])
@pytest.mark.parametrize("of_each_study", [False, True])
def test_integrals_on_the_same_nodes_agree_to_1e_12(fast, rule, of_each_study):
    pytest.importorskip("numba")
    b, mu, tau = data_sets()
    if of_each_study:
        mu = mu + np.linspace(-0.5, 0.5, K)[:, None]
    fast("off")
    nodes = rule(b, mu, tau, 33)
    plain, height = by_study(b, mu, tau, nodes), log_likelihood(b, mu, tau, nodes)
    fast("always")
    compiled = by_study(b, mu, tau, nodes)
    assert log_likelihood(b, mu, tau, nodes) == pytest.approx(height, rel=1e-12)
    size = 1 + np.abs(b.x - b.N / 2)  # of the terms that make up the derivatives
    for order, (got, want) in zip((0, 1, 1, 2, 2, 2, 0), zip(compiled, plain, strict=True), strict=True):
        assert np.abs(got - want).max() <= 1e-12 * max(1, np.abs(want).max())
        assert (np.abs(got - want) <= 1e-12 * size ** max(order, 1)).all()


def test_ranges_agree(fast):
    pytest.importorskip("numba")
    b, mu, tau = data_sets()
    fast("off")
    (u, sd), plain = mode(b, mu, tau, tolerance=1e-9), reach(b, mu, tau)
    fast("always")
    assert mode(b, mu, tau, tolerance=1e-9)[0] == pytest.approx(u, abs=1e-9)
    for got, want in zip(reach(b, mu, tau), plain, strict=True):
        assert (np.abs(got - want) <= 1e-10 * (1 + np.abs(want))).all()
    assert (np.abs(plain.u - u) <= 0.06 * sd).all()


def test_fits_agree_to_1e_10(fast):
    pytest.importorskip("numba")
    b, _, _ = data_sets(seed=8)
    fast("off")
    plain = fit(b)
    fast("always")
    compiled = fit(b)
    assert compiled.mu == pytest.approx(plain.mu, rel=1e-10)
    assert compiled.tau == pytest.approx(plain.tau, rel=1e-10)
    assert compiled.loglik == pytest.approx(plain.loglik, rel=1e-12)
    assert compiled.cov == pytest.approx(plain.cov, rel=1e-9, nan_ok=True)
    for flag in ("converged", "separated", "held", "identified", "maxima"):
        assert (getattr(compiled, flag) == getattr(plain, flag)).all()


def test_one_fit_and_other_families_stay_with_numpy(monkeypatch):
    monkeypatch.delenv("METAAN_FAST", raising=False)
    b, mu, tau = data_sets()
    assert kernels(b, mu, tau, 65) is None
    monkeypatch.setenv("METAAN_FAST", "always")
    assert kernels(Linked(b, "probit"), mu, tau, 10**6) is None
    monkeypatch.setenv("METAAN_FAST", "off")
    assert kernels(b, mu, tau, 10**6) is None


def test_a_fit_does_not_depend_on_its_neighbours(fast):
    fast("off")
    b, _, _ = data_sets(seed=8)
    together = fit(b)
    for j in (0, 11, 30):
        alone = fit(b.take(np.array([j])))
        assert alone.mu[0] == pytest.approx(together.mu[j], rel=1e-12)
        assert alone.loglik[0] == pytest.approx(together.loglik[j], rel=1e-13)


def test_a_range_is_kept_only_where_every_integrand_dies_out_in_it(fast):
    fast("off")
    b, mu, tau = data_sets()
    over = reach(b, mu, tau)
    assert over.fits(b, mu, tau).mean() > 0.9  # not where the end is far beyond
    wide = tau * 1.3
    kept = over.fits(b, mu, wide)
    assert kept.any()
    assert not kept.all()
    exact = by_study(b, mu, wide, trapezoid(b, mu, wide, 513)).loglik
    low, step = over.u - over.left, (over.left + over.right) / 512
    held = trapezoid(b, mu, wide, 513)._replace(origin=low, scale=step)
    error = np.abs(by_study(b, mu, wide, held).loglik - exact).max(axis=0)
    assert error[kept].max() < 1e-12
    assert error[~kept].max() > 1e-12


def test_log_likelihood_keeps_its_digits_where_rates_are_near_1(fast):
    fast("off")
    x, N = np.array([[999_999.0]]), np.array([[1_000_000.0]])
    mu, tau = np.array([13.8]), np.array([0.4])
    seen = Binomial.from_counts(x, N)
    turned = Binomial.from_counts(N - x, N)
    up = by_study(seen, mu, tau, trapezoid(seen, mu, tau, 65))
    down = by_study(turned, -mu, tau, trapezoid(turned, -mu, tau, 65))
    assert up.loglik == pytest.approx(down.loglik, rel=1e-13)
    assert up.mu == pytest.approx(-down.mu, rel=1e-11)
