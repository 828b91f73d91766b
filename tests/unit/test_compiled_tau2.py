"""The proof of a single maximum, and the compiled kernels against numpy."""

import numpy as np
import pytest

from metaan.core import maximum, proof
from metaan.core.compiled import wanted
from metaan.core.many import pool_many
from metaan.core.maximum import log_likelihood, maximise
from metaan.core.wls import arrange, score


def data_sets(n, k, spread, seed):
    """Effects with variances over a range of `spread`, tau2 of none to much, a third of the studies absent."""
    rng = np.random.default_rng(seed)
    v = 0.1 * np.exp(rng.uniform(0, np.log(spread), (n, k)))
    y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.01, 0.3, 10], (n, 1))))
    gone = rng.random((n, k)) < 0.3
    gone[:, :2] = False
    return arrange(np.where(gone, np.nan, y), np.where(gone, np.nan, v))


@pytest.mark.parametrize("spread", [1.0, 20.0, 1e4])
@pytest.mark.parametrize("restricted", [True, False])
def test_compiled_equals_numpy(monkeypatch, spread, restricted):
    pytest.importorskip("numba")
    data = data_sets(400, 7, spread, seed=3)
    monkeypatch.setenv("METAAN_FAST", "off")
    plain = maximise(data, restricted=restricted)
    monkeypatch.setenv("METAAN_FAST", "always")
    fast = maximise(data, restricted=restricted)
    np.testing.assert_allclose(fast.tau2, plain.tau2, rtol=1e-12, atol=1e-14)
    for name in ("maxima", "converged"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name))


@pytest.mark.parametrize("method", ["REML", "PM", "PMM", "DL"])
def test_every_column_of_many_results_is_the_same(monkeypatch, method):
    pytest.importorskip("numba")
    data = data_sets(300, 6, 50.0, seed=4)
    asked = {"method": method, "test": "hk", "level": 0.95, "pi": "hts"}
    monkeypatch.setenv("METAAN_FAST", "off")
    plain = pool_many(data, **asked)
    monkeypatch.setenv("METAAN_FAST", "always")
    fast = pool_many(data, **asked)
    for name, column in plain.columns.items():
        np.testing.assert_allclose(fast.columns[name], column, rtol=1e-11, atol=1e-14, err_msg=name)
    for name, flag in plain.flags.items():
        np.testing.assert_array_equal(fast.flags[name], flag, err_msg=name)


def test_single_studies_and_identical_effects_are_flagged_alike(monkeypatch):
    pytest.importorskip("numba")
    y = np.array([[0.3, np.nan, np.nan], [0.2, 0.2, 0.2], [0.0, 0.0, np.nan]])
    data = arrange(y, np.where(np.isnan(y), np.nan, 0.1))
    results = []
    for setting in ("off", "always"):
        monkeypatch.setenv("METAAN_FAST", setting)
        results.append(pool_many(data, method="REML", test="hk", level=0.95, pi="t").flags)
    for name, flag in results[0].items():
        np.testing.assert_array_equal(results[1][name], flag, err_msg=name)
    np.testing.assert_array_equal(results[0]["identical"], [False, True, True])


@pytest.mark.parametrize("spread", [20.0, 1e4])
def test_no_likelihood_is_higher_than_that_of_the_maximum(spread):
    data = data_sets(300, 6, spread, seed=8)
    found = maximise(data, restricted=True)
    best = log_likelihood(data, found.tau2, restricted=True)
    for t in np.r_[0.0, np.geomspace(1e-4, 1e5, 200)]:
        assert (log_likelihood(data, np.full(best.shape, t), restricted=True) <= best + 1e-9 * np.abs(best)).all()


def test_a_proven_maximum_is_the_one_that_cells_find(monkeypatch):
    data = data_sets(500, 5, 300.0, seed=1)
    means = maximum._Means(data.y, data.v, data.k)
    quick, alone = maximum._first(means, True, 1000)
    thorough = maximum.by_cells(means, restricted=True)
    assert 0.9 < alone.mean() < 1
    np.testing.assert_array_equal(thorough.maxima[alone], 1)
    np.testing.assert_allclose(quick.tau2[alone], thorough.tau2[alone], rtol=1e-10, atol=1e-13)
    assert (thorough.maxima[~alone] > 1).any()


def test_plain_numbers_prove_what_arrays_prove():
    data = data_sets(200, 5, 100.0, seed=2)
    low, high = (score(data.y, data.v, np.full(200, t), restricted=True) for t in (0.0, 0.4))
    at_low, at_high = proof.Curves.of(low), proof.Curves.of(high)
    root, flat = np.arange(200) % 2 == 0, np.full(200, 0.1)
    width = np.full(200, 0.4)
    for i in range(200):
        a, b = (proof.one_curves(*(float(piece[i]) for piece in at)) for at in (low, high))
        assert proof.one_below(0.4, *a[:3], *b[:3]) == proof.below(width, at_low, at_high)[i]
        beyond = proof.beyond(at_low, flat, root)[i]
        assert proof.one_beyond(a[0], *a[2:], 0.1, bool(root[i])) == beyond
        within = proof.within(width, at_low, at_high, root)[i]
        assert proof.one_within(0.4, a[0], *a[2:], b[0], *b[2:], bool(root[i])) == within
    with np.errstate(invalid="ignore"):
        steps = proof.step(np.zeros(200), low)
    one_by_one = [proof.one_step(0.0, *(float(piece[i]) for piece in low)) for i in range(200)]
    np.testing.assert_allclose(one_by_one, steps, rtol=1e-12)


def test_kernels_are_used_from_a_number_of_numbers_on_and_where_asked(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.delenv("METAAN_FAST", raising=False)
    assert wanted(100, least=100)
    assert not wanted(99, least=100)
    monkeypatch.setenv("METAAN_FAST", "off")
    assert not wanted(10**9, least=1)
    monkeypatch.setenv("METAAN_FAST", "always")
    assert wanted(1, least=100)


def test_without_numba_numpy_does_the_work(monkeypatch):
    monkeypatch.setenv("METAAN_FAST", "always")
    monkeypatch.setattr("metaan.core.compiled._there", False)
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    assert not wanted(10**9, least=1)
    assert maximise(data_sets(10, 4, 2.0, seed=1), restricted=True).converged.all()
