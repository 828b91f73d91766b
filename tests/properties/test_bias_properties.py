"""What must hold for tests of small-study effects of any data."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import metaan
from metaan.core.kendall import kendall
from metaan.errors import DataError, MetaanError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")
ONE_ARM = [metaan.peters, metaan.harbord, metaan.thompson_arcsine]
TWO_ARMS = [metaan.peters, metaan.harbord, metaan.macaskill, metaan.deeks, metaan.thompson_arcsine]


@st.composite
def studies(draw):
    k = draw(st.integers(4, 12))
    y = draw(st.lists(st.floats(-3, 3).map(lambda x: round(x, 2)), min_size=k, max_size=k))
    v = draw(st.lists(st.floats(0.05, 5).map(lambda x: round(x, 2)), min_size=k, max_size=k, unique=True))
    assume(np.ptp(y) > 0.1)
    return np.array(y), np.array(v)


@st.composite
def counts(draw, least=4):
    k = draw(st.integers(least, 9))
    n = draw(st.lists(st.integers(5, 200), min_size=k, max_size=k, unique=True))
    return np.array([draw(st.integers(0, m)) for m in n]), np.array(n)


def outcome(function, res, **options):
    """The test, or nothing where the data leave none."""
    try:
        return function(res, **options)
    except DataError:
        assume(False)


def fit(y, v):
    return metaan.pool(metaan.effects(y, v), method="DL", test="t")


def close(a, b):
    assert a == pytest.approx(b, rel=1e-6, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(studies(), st.sampled_from(["lm", "rma"]), st.floats(-9, 9), st.floats(0.1, 10))
def test_shift_scale_and_sign(data, model, shift, scale):
    y, v = data
    one = outcome(metaan.egger, fit(y, v), model=model)
    moved = metaan.egger(fit(y + shift, v), model=model)
    close(moved.statistic, one.statistic)
    close(moved.values["limit"] - shift, one.values["limit"])
    close(metaan.egger(fit(scale * y, scale**2 * v), model=model).statistic, one.statistic)
    close(metaan.egger(fit(-y, v), model=model).statistic, -one.statistic)


@settings(max_examples=40, deadline=None)
@given(studies(), st.randoms(use_true_random=False))
def test_order_of_the_studies(data, random):
    y, v = data
    order = random.sample(range(len(y)), len(y))
    for function in (metaan.egger, metaan.begg):
        a, b = outcome(function, fit(y, v)), function(fit(y[order], v[order]))
        close(b.statistic, a.statistic)
        close(b.pvalue, a.pvalue)


@settings(max_examples=40, deadline=None)
@given(studies())
def test_ranks_do_not_see_the_scale(data):
    y, v = data
    a = outcome(metaan.begg, fit(y, v))
    b, c = metaan.begg(fit(3 * y, 9 * v)), metaan.begg(fit(-y, v))
    close(c.statistic, -a.statistic)
    close(c.pvalue, a.pvalue)
    if len({round(x, 9) for x in y}) == len(y):
        close(b.statistic, a.statistic)


@settings(max_examples=40, deadline=None)
@given(studies())
def test_kendall_of_itself_and_of_batches(data):
    y, v = data
    assert float(kendall(v, v).tau) == pytest.approx(1)
    assert float(kendall(v, -v).tau) == pytest.approx(-1)
    batch = kendall(np.stack([y, v, -y]), np.stack([v, v, v]))
    for i, row in enumerate((y, v, -y)):
        one = kendall(row, v)
        assert (batch.tau[i], batch.pvalue[i]) == (float(one.tau), float(one.pvalue))


@settings(max_examples=30, deadline=None)
@given(counts())
def test_events_and_their_absence(data):
    x, n = data
    a, b = (metaan.glmm("PLO", events=events, total=n) for events in (x, n - x))
    for function in ONE_ARM:
        there, mirrored = outcome(function, a), outcome(function, b)
        close(mirrored.statistic, -there.statistic)
        if there.values["limit_low"] > 0 and there.values["limit_high"] < 1:
            close(mirrored.values["limit"], 1 - there.values["limit"])


@settings(max_examples=30, deadline=None)
@given(counts(), st.data())
def test_arms_exchanged(data, more):
    x, n = data
    c = np.array([more.draw(st.integers(0, int(m))) for m in n])
    m = np.array([more.draw(st.integers(int(low), 220)) for low in np.maximum(c, 1)])
    try:
        one, other = (
            metaan.pool(metaan.effect_size("OR", events_t=a, total_t=b, events_c=d, total_c=e), method="DL", test="t")
            for a, b, d, e in ((x, n, c, m), (c, m, x, n))
        )
    except MetaanError:
        assume(False)
    for function in TWO_ARMS:
        close(outcome(function, other).statistic, -outcome(function, one).statistic)
