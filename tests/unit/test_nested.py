"""Nested random effects: sums over a tree against dense matrices, the highest maximum, many choices at once."""

import numpy as np
import pytest

from metaan.core.clusters import by_size
from metaan.core.deletion_nested import of_nested
from metaan.core.many_nested import nested_many
from metaan.core.nested import apply_inverse, blocks, fits, look, parts, solve
from metaan.core.nested_search import maximise

OUTER = np.array([0, 2, 1, 0, 1, 2, 2, 0, 3, 3, 1, 0, 2, 3, 0, 1, 4, 4, 4, 2])
MIDDLE = 3 * OUTER + np.array([0, 1, 0, 1, 0, 2, 1, 0, 0, 1, 1, 2, 0, 0, 1, 1, 0, 0, 1, 2])
EACH = np.arange(20)
LEVELS = [np.unique(codes, return_inverse=True)[1] for codes in (OUTER, MIDDLE, EACH)]
NESTED = {"one": LEVELS[:1], "inner": LEVELS[2:], "two": LEVELS[:2], "each": LEVELS[::2], "three": LEVELS}
RNG = np.random.default_rng(11)
V = np.exp(RNG.normal(-1, 1.2, 20))
X = np.column_stack([np.ones(20), RNG.normal(size=20)])
Y = 0.4 * X[:, 1] + RNG.normal(0, 0.6, 5)[OUTER] + RNG.normal(0, np.sqrt(V + 0.1))
SIGMA2 = np.array([0.31, 0.07, 0.15])
SHARED = (OUTER[:, None] == OUTER) * 0.4 * np.sqrt(np.outer(V, V))
CORRELATED = np.where(np.eye(20, dtype=bool), V, SHARED)
CASES = [(name, V) for name in NESTED] + [(name, CORRELATED) for name in NESTED if name != "inner"]


def dense(y, x, v, groups, sigma2, restricted):
    """Log-likelihood, score, expected and observed information from matrices of all estimates."""
    k, p = x.shape
    shared = [(code[:, None] == code).astype(float) for code in groups]
    m = (np.diag(v) if v.ndim == 1 else v) + sum(s * d for s, d in zip(sigma2, shared, strict=True))
    w = np.linalg.inv(m)
    q = np.linalg.qr(x)[0]
    info = q.T @ w @ q
    project = w - w @ q @ np.linalg.solve(info, q.T @ w)
    extra, of = (np.linalg.slogdet(info)[1] - p * np.log(2 * np.pi), project) if restricted else (0.0, w)
    height = -(k * np.log(2 * np.pi) + np.linalg.slogdet(m)[1] + extra + y @ project @ y) / 2
    u = project @ y
    score = np.array([(u @ d @ u - np.trace(of @ d)) / 2 for d in shared])
    expected = np.array([[np.trace(of @ a @ of @ b) / 2 for b in shared] for a in shared])
    observed = np.array([[u @ a @ project @ b @ u for b in shared] for a in shared]) - expected
    return height, score, expected, observed


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize(("name", "v"), CASES)
def test_likelihood_and_its_derivatives_are_those_of_dense_matrices(name, restricted, v):
    groups = NESTED[name]
    for sigma2 in (SIGMA2[: len(groups)], np.r_[0.0, SIGMA2[1 : len(groups)]], 1e6 * SIGMA2[: len(groups)]):
        found = look(blocks(Y, X, v, groups), None, sigma2[None], restricted=restricted)
        for part, want in zip(found[1:], dense(Y, X, v, groups, sigma2, restricted), strict=True):
            np.testing.assert_allclose(part[0], want, rtol=1e-8, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize(("name", "v"), CASES)
def test_the_inverse_is_that_of_the_dense_matrix(name, v):
    groups = NESTED[name]
    sigma2 = SIGMA2[: len(groups)]
    m = (np.diag(v) if v.ndim == 1 else v) + sum(
        s * (code[:, None] == code) for s, code in zip(sigma2, groups, strict=True)
    )
    columns = RNG.normal(size=(20, 3))
    ours = apply_inverse(blocks(Y, X, v, groups), sigma2, columns)
    np.testing.assert_allclose(ours, np.linalg.solve(m, columns), rtol=1e-9, atol=1e-12)


def test_a_precise_estimate_keeps_the_digits_of_the_others():
    v = np.where(EACH == 3, 1e-9, V)
    data = [blocks(Y + shift, X, v, NESTED["each"]) for shift in (0.0, 1000.0)]
    sigma2 = np.array([0.0, 2.0])
    one, other = (solve(each, sigma2, restricted=True) for each in data)
    assert one.loglik == pytest.approx(other.loglik, abs=1e-9)
    np.testing.assert_allclose(one.Q, other.Q, rtol=1e-9)


@pytest.mark.parametrize("restricted", [True, False])
def test_estimates_that_are_not_there_are_as_if_never_given(restricted):
    groups, here = NESTED["three"], np.ones((20, 3), dtype=bool)
    here[[1, 6], 1] = here[OUTER == 4, 2] = False  # a part of a group, a whole group
    data = parts(Y, X, V, groups, here)
    rows, sigma2 = np.array([2, 0, 1]), np.array([SIGMA2, SIGMA2, 3 * SIGMA2])
    found = look(data, rows, sigma2, restricted=restricted)
    for at, (row, s) in enumerate(zip(rows, sigma2, strict=True)):
        keep = here[:, row]
        alone = look(blocks(Y[keep], X[keep], V[keep], [c[keep] for c in groups]), None, s[None], restricted=restricted)
        for part, want in zip(found, alone, strict=True):
            np.testing.assert_allclose(part[at], want[0], rtol=1e-9, atol=1e-11)


def test_never_below_a_dense_scan():
    """Sampling variances of many sizes, where the likelihood has several maxima; each found one is stationary."""
    rng = np.random.default_rng(2105)
    axis = np.r_[0.0, np.geomspace(1e-5, 3e3, 60)]
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for draw in range(25):
        v = np.exp(rng.normal(0, 3, 20))
        y = rng.normal(0, np.sqrt(v)) + rng.normal(0, 1, 5)[OUTER] * (draw % 3)
        data, restricted = blocks(y, X[:, :1], v, NESTED["each"]), draw % 2 == 0
        sigma2, ended = maximise(data, restricted=restricted)
        best = look(data, None, sigma2, restricted=restricted)
        heights = [fits(data, None, some, restricted=restricted).loglik.max() for some in np.array_split(grid, 8)]
        assert ended[0]
        assert best.loglik[0] >= max(heights) - 1e-9
        free = sigma2[0] > 0
        assert np.abs(best.score[0] * sigma2[0])[free].max(initial=0.0) < 1e-9
        assert (best.score[0][~free] < 1e-9).all()


@pytest.mark.parametrize("v", [V, CORRELATED], ids=["independent", "correlated"])
def test_many_choices_are_each_alone(v):
    here = RNG.uniform(size=(20, 9)) < 0.8
    here[:, 0] = OUTER == 2  # one outer group: nothing to know its variance from
    found = nested_many(Y, X, v, NESTED["each"], here, restricted=True)
    assert not found.known[0]
    assert found.known[1:].all()
    for i in range(1, 9):
        keep = here[:, i]
        alone = blocks(
            Y[keep], X[keep], v[keep] if v.ndim == 1 else v[np.ix_(keep, keep)], [c[keep] for c in NESTED["each"]]
        )
        sigma2, _ = maximise(alone, restricted=True)
        want = solve(alone, sigma2[0], restricted=True)
        np.testing.assert_allclose(found.sigma2[i], sigma2[0], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.estimate[i], np.linalg.solve(alone.r[0], want.gamma), rtol=1e-9)
        assert found.columns["loglik"][i] == pytest.approx(want.loglik, abs=1e-9)


def test_deletion_of_a_large_set_in_pieces(monkeypatch):
    """The same whatever goes together."""
    gone, sigma2 = np.eye(20, dtype=bool), SIGMA2[:2]
    whole = of_nested(Y, X, V, NESTED["each"], sigma2, gone, restricted=True)
    monkeypatch.setattr("metaan.core.many_nested._CHUNK", 1)
    pieces = of_nested(Y, X, V, NESTED["each"], sigma2, gone, restricted=True)
    for name in ("rstudent", "statistic", "cooks_d", "cov_ratio", "dfbetas"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-8)


def test_groups_by_size():
    codes = np.array([2, 0, 2, 1, 3, 0, 2])
    assert [rows.tolist() for rows in by_size(codes)] == [[[3], [4]], [[1, 5]], [[0, 2, 6]]]
