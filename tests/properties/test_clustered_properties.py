"""What must hold for any lesions of any patients."""

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan


@st.composite
def studies(draw, most=6):
    k = draw(st.integers(2, most))
    patients = draw(st.lists(st.integers(1, 12), min_size=k, max_size=k))
    total = [p + draw(st.integers(0, 5 * p)) for p in patients]
    events = [draw(st.integers(0, n)) for n in total]
    return {"events": events, "total": total, "patients": patients}


@st.composite
def people(draw):
    k = draw(st.integers(2, 5))
    rows = []
    for i in range(k):
        for _ in range(draw(st.integers(2, 6))):
            m = draw(st.integers(1, 7))
            rows.append((f"study {i}", draw(st.integers(0, m)), m))
    return pd.DataFrame(rows, columns=["study", "events", "total"])


COUNTS = {"events": "events", "total": "total", "study": "study"}


def codes(res):
    return {note.code for note in res.notes}


def check(res):
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert res.convergence.converged
    assert math.isfinite(res.tau2)


@given(studies())
@settings(max_examples=6, deadline=None)
def test_every_valid_input_of_studies_has_an_answer(data):
    res = metaan.clustered_binomial(**data)
    check(res)
    if not codes(res) & {"tau2-unbounded", "separated", "icc-not-identified"}:
        assert res.rho_low <= res.rho + 1e-9
        assert res.rho <= res.rho_high + 1e-9
        for icc in (0, 0.3):
            assert res.loglik >= metaan.clustered_binomial(**data, icc=icc).loglik - 1e-8


@given(people())
@settings(max_examples=8, deadline=None)
def test_every_valid_input_of_patients_has_an_answer(frame):
    res = metaan.clustered_binomial(frame, **COUNTS)
    check(res)
    if not codes(res) & {"tau2-unbounded", "separated", "icc-not-identified"}:
        for icc in (0, 0.3):
            assert res.loglik >= metaan.clustered_binomial(frame, **COUNTS, icc=icc).loglik - 1e-8


@given(people(), st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_the_order_of_rows_does_not_matter(frame, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    a = metaan.clustered_binomial(frame, **COUNTS, icc=0.3)
    b = metaan.clustered_binomial(frame.iloc[order], **COUNTS, icc=0.3)
    assert a.loglik == pytest.approx(b.loglik, abs=1e-8)
    assert a.back().estimate == pytest.approx(b.back().estimate, abs=1e-5)


@given(studies())
@settings(max_examples=12, deadline=None)
def test_events_and_non_events_mirror(data):
    other = {**data, "events": [n - x for x, n in zip(data["events"], data["total"], strict=True)]}
    a, b = (metaan.clustered_binomial(**rows, icc=0.3) for rows in (data, other))
    assert a.loglik == pytest.approx(b.loglik, abs=1e-8)
    assert a.back().estimate == pytest.approx(1 - b.back().estimate, abs=1e-5)
