"""Estimators of tau2 against their definitions, written out anew."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

from metaan.core.tau2 import ESTIMATORS, tau2
from metaan.validate import METHOD

Y = np.array([0.30, -0.10, 0.75, 0.22, 1.10, 0.05])
V = np.array([0.04, 0.02, 0.09, 0.05, 0.12, 0.03])


def q_at(t, y=Y, v=V):
    w = 1 / (v + t)
    return w @ (y - (w @ y) / w.sum()) ** 2


def test_each_option_has_an_estimator():
    assert set(ESTIMATORS) == set(METHOD.choices)


@pytest.mark.parametrize("method", ["PM", "EB"])
def test_paule_mandel_solves_its_equation(method):
    assert q_at(tau2(Y, V, method)) == pytest.approx(Y.size - 1, rel=1e-12)


def test_median_unbiased_paule_mandel_solves_its_equation():
    assert q_at(tau2(Y, V, "PMM")) == pytest.approx(chi2.median(Y.size - 1), rel=1e-12)


def test_dersimonian_laird_iterated_ends_where_its_steps_do():
    t = 0.0
    for _ in range(2000):
        w = 1 / (V + t)
        excess = q_at(t) - (w @ V - (w * w) @ V / w.sum())
        t = max(0.0, excess / (w.sum() - (w @ w) / w.sum()))
    assert tau2(Y, V, "DLIT") == pytest.approx(t, rel=1e-10)


def test_sidik_jonkman_iterated_ends_where_its_steps_do():
    t = np.var(Y)
    for _ in range(20000):
        t *= q_at(t) / (Y.size - 1)
    assert tau2(Y, V, "SJIT") == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("method", ["DLIT", "SJIT", "PM", "EB"])
def test_homogeneous_data_give_zero(method):
    assert tau2(Y / 20, V, method) == 0


@pytest.mark.parametrize("method", sorted(set(ESTIMATORS) - {"GENQ"}))
def test_never_negative(method):
    assert tau2([0.1, 0.1001, 0.0999], [0.5, 0.4, 0.7], method) >= 0


@pytest.mark.parametrize("restricted", [True, False])
def test_likelihood_estimators_zero_the_score(restricted):
    t = float(tau2(Y, V, "REML" if restricted else "ML"))

    def score(t):
        w = 1 / (V + t)
        r = Y - (w @ Y) / w.sum()
        return (w * w) @ r**2 - w.sum() + restricted * (w @ w) / w.sum()

    assert t == pytest.approx(brentq(score, t / 2, t * 2, xtol=1e-16, rtol=1e-14), rel=1e-11)


@pytest.mark.parametrize("method", sorted(ESTIMATORS))
def test_absent_studies_do_not_count(method):
    wide_y, wide_v = np.full(9, np.nan), np.full(9, np.nan)
    here = [0, 2, 3, 5, 6, 8]
    wide_y[here], wide_v[here] = Y, V
    weights = np.arange(1.0, 7)
    wide_w = np.full(9, np.nan)
    wide_w[here] = weights
    kwargs = {"weights": weights} if method == "GENQ" else {}
    wide_kwargs = {"weights": wide_w} if method == "GENQ" else {}
    assert tau2(wide_y, wide_v, method, **wide_kwargs) == pytest.approx(tau2(Y, V, method, **kwargs), rel=1e-12)


@pytest.mark.parametrize("method", sorted(set(ESTIMATORS) - {"GENQ"}))
def test_leading_axes_are_kept(method):
    y = np.stack([[Y, Y + 1], [2 * Y, -Y]])
    v = np.broadcast_to(V, y.shape)
    got = tau2(y, v, method)
    assert got.shape == (2, 2)
    assert got[0, 0] == pytest.approx(got[0, 1], rel=1e-9)
    assert got[0, 0] == pytest.approx(got[1, 1], rel=1e-12)


@pytest.mark.parametrize("factor", [1e-6, 1e8])
@pytest.mark.parametrize("method", sorted(set(ESTIMATORS) - {"GENQ", "CE"}))
def test_scale_free(method, factor):
    assert tau2(Y * factor, V * factor**2, method) == pytest.approx(factor**2 * tau2(Y, V, method), rel=1e-9)


def test_linear_time_at_many_studies():
    rng = np.random.default_rng(1)
    k = 50_000
    v = rng.uniform(0.1, 1, k)
    y = rng.normal(0, np.sqrt(v + 0.5))
    # a k x k matrix would need 20 GB
    assert tau2(y, v, "REML") == pytest.approx(0.5, rel=0.05)
