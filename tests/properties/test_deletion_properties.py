"""What holds for refits to subsets, whatever the data: order, units, subsets, and analyses of the subset alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.analysis.refits import refit
from metaan.core.many_linear import linear_many
from metaan.core.tables import POOLED, peto
from metaan.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


@st.composite
def trials(draw):
    k = draw(st.integers(2, 7))
    n = [draw(st.lists(st.integers(1, 40), min_size=k, max_size=k)) for _ in range(2)]
    x = [[draw(st.integers(0, total)) for total in arm] for arm in n]
    return {"events_t": x[0], "total_t": n[0], "events_c": x[1], "total_c": n[1]}


@settings(max_examples=60, deadline=None)
@given(trials(), st.sampled_from(["OR", "RR", "RD", "PETO"]), st.randoms(use_true_random=False))
def test_refits_of_tables_are_the_formulas_of_the_subset(columns, measure, random):
    try:
        res = metaan.peto(**columns) if measure == "PETO" else metaan.mantel_haenszel(measure, **columns)
    except DataError:
        return
    here = np.array([[random.random() < 0.6 for _ in range(6)] for _ in range(res.k)])
    here[0] |= ~here.any(axis=0)
    many = refit(res, here).columns
    given_ = [res.effects.inputs[name] for name in ("events_t", "total_t", "events_c", "total_c")]
    cells = given_[0], given_[1] - given_[0], given_[2], given_[3] - given_[2]
    for i, keep in enumerate(here.T):
        with np.errstate(divide="ignore", invalid="ignore"):
            alone = (peto if measure == "PETO" else POOLED[measure])(*(cell[keep] for cell in cells))
        if np.isfinite(alone.estimate) and alone.variance > 0:
            assert many["estimate"][i] == pytest.approx(alone.estimate, rel=1e-11, abs=1e-12)
            assert many["se"][i] ** 2 == pytest.approx(alone.variance, rel=1e-10)
        else:
            assert np.isnan(many["estimate"][i])
            assert np.isnan(many["Q"][i])


@settings(max_examples=12, deadline=None)
@given(trials(), st.randoms(use_true_random=False))
def test_beta_binomials_do_not_depend_on_the_order_of_studies(columns, random):
    x, n = np.array(columns["events_t"]), np.array(columns["total_t"])
    order = list(range(len(x)))
    random.shuffle(order)
    one = metaan.leave_one_out(metaan.beta_binomial(events=x, total=n))
    other = metaan.leave_one_out(metaan.beta_binomial(events=x[order], total=n[order], study=[i + 1 for i in order]))
    other = other.set_index("study").loc[one.study]
    for name in ("estimate", "rho", "loglik"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["REML", "DL", "PM"]), st.sampled_from([1e-6, 1e5]))
def test_regressions_follow_the_units(seed, method, unit):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(4, 12))
    x = np.column_stack([np.ones(k), rng.normal(2000, 10, k)])
    v = rng.uniform(0.01, 0.5, k)
    y = rng.normal(0, np.sqrt(v + rng.choice([0.0, 0.3])))
    here = ~np.eye(k, dtype=bool)
    one, other = (
        linear_many(y * u, v * u * u, x * [1.0, s], here, method=method, test="z", level=0.95).columns
        for u, s in ((1.0, 1.0), (unit, 1000.0))
    )
    se = one["se"][:, 1]
    np.testing.assert_allclose(other["tau2"] / unit**2, one["tau2"], rtol=1e-6, atol=1e-7 * v.mean())
    np.testing.assert_allclose(
        other["estimate"][:, 1] * 1000 / unit / se, one["estimate"][:, 1] / se, rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(other["QE"], one["QE"], rtol=1e-6, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_clusters_of_one_study_are_the_studies(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(3, 9))
    eff = metaan.effects(rng.normal(0, 1, k), rng.uniform(0.05, 0.5, k))
    res = metaan.pool(eff, method="DL")
    single, cluster = metaan.leave_one_out(res), metaan.leave_one_out(res, by=list(range(k)))
    pd.testing.assert_frame_equal(single.drop(columns="study"), cluster.drop(columns=["cluster", "left_out"]))
    assert (cluster.left_out == 1).all()
