"""What must hold for any categorised counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.core.multinomial import Dirichlet, evaluate


@st.composite
def trials(draw, most=6, largest=60, sizes=(2, 5)):
    k, size = draw(st.integers(1, most)), draw(st.integers(*sizes))
    rows = [draw(st.lists(st.integers(0, largest), min_size=size, max_size=size)) for _ in range(k)]
    x = np.array(rows)
    x[x.sum(axis=1) == 0, 0] = 1
    return x


def pooled(x, **options):
    return metaan.categories(columns={f"c{i}": column for i, column in enumerate(x.T)}, **options)


@given(trials(), st.sampled_from([{}, {"ci": "profile"}, {"model": "normal", "structure": "diagonal"}]))
@settings(max_examples=80, deadline=None)
def test_every_valid_input_has_an_answer(x, options):
    res = pooled(x, **options)
    table = res.to_frame()
    assert res.estimate.sum() == pytest.approx(1, abs=1e-10)
    assert ((table["ci_low"] >= 0) & (table["ci_low"] <= table["estimate"] + 1e-9)).all()
    assert ((table["ci_high"] <= 1) & (table["ci_high"] >= table["estimate"] - 1e-9)).all()
    assert np.allclose(res.shrunken.sum(axis=1), 1)
    assert res.convergence.converged
    if "tau2-unbounded" not in {note.code for note in res.notes}:
        assert res.loglik >= res.loglik_common - 1e-8


@given(trials(most=4, largest=25, sizes=(3, 4)))
@settings(max_examples=10, deadline=None)
def test_correlated_stages_answer_too(x):
    res = pooled(x, model="normal")
    assert res.estimate.sum() == pytest.approx(1, abs=1e-8)
    assert res.typical.sum() == pytest.approx(1, abs=1e-10)
    if res.loglik_diagonal is not None:
        assert res.loglik >= res.loglik_diagonal - 1e-4


@given(trials(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_categories_and_studies_does_not_matter(x, random):
    columns, rows = list(range(x.shape[1])), list(range(x.shape[0]))
    random.shuffle(columns)
    random.shuffle(rows)
    one, other = pooled(x), pooled(x[rows][:, columns])
    assert other.loglik == pytest.approx(one.loglik, abs=1e-8)
    assert np.allclose(other.estimate, one.estimate[columns], atol=1e-6)
    assert other.rho == pytest.approx(one.rho, abs=1e-6)


@given(trials(sizes=(3, 5)), st.floats(0, 0.95), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_merged_categories_follow_the_merged_model(x, rho, seed):
    """P(merged counts) is the sum of P(x) over the ways to split them: here in one study of up to 12."""
    pi = np.random.default_rng(seed).dirichlet(np.ones(x.shape[1]))
    pi = (pi + 0.02) / (pi + 0.02).sum()
    rest = np.minimum(x[0, 2:], 3)
    merged = int(min(x[0, 0] + x[0, 1], 6)) + 1
    split = np.array([[a, merged - a, *rest] for a in range(merged + 1)], dtype=float)
    own = Dirichlet.from_counts(split.T[None])
    each = evaluate(own, np.tile(pi[:, None], split.shape[0]), np.full(split.shape[0], rho)).loglik
    whole = Dirichlet.from_counts(np.array([merged, *rest], dtype=float)[None, :, None])
    together = evaluate(whole, np.r_[pi[0] + pi[1], pi[2:]][:, None], np.array([rho])).loglik[0]
    assert np.log(np.exp(each).sum()) == pytest.approx(together, abs=1e-9)


@given(trials(most=4, largest=30))
@settings(max_examples=25, deadline=None)
def test_large_counts_change_nothing_in_the_sums(x):
    """Totals beyond the direct sums agree with the sum written out."""
    x = x * 7.0
    d = Dirichlet.from_counts(x[:, :, None])
    pi, rho = np.full(x.shape[1], 1 / x.shape[1]), 0.2
    own = evaluate(d, pi[:, None], np.array([rho])).loglik[0] - d.constant[0]
    direct = 0.0
    for row in x:
        for count, share in zip(row, pi, strict=True):
            direct += np.log(share * (1 - rho) + np.arange(count) * rho).sum()
        direct -= np.log(1 - rho + np.arange(row.sum()) * rho).sum()
    assert own == pytest.approx(direct, abs=1e-8)
