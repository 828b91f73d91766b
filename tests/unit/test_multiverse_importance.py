"""How much of the spread of a multiverse each choice is behind."""

import itertools

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.analysis.multiverse_importance import shares, shift

A = pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})


def r2(y, columns):
    """Share of the variance of y that a linear model explains."""
    design = np.column_stack([np.ones_like(y), *columns])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return 1 - rest @ rest / np.sum((y - y.mean()) ** 2)


def test_shares_are_the_mean_gain_over_all_orders():
    rng = np.random.default_rng(7)
    factors = [rng.integers(0, levels, 60) for levels in (2, 3, 4)]
    factors[2] = np.where(rng.random(60) < 0.5, factors[1], factors[2])  # two choices that go together
    y = factors[0] + 0.5 * (factors[1] == 2) - factors[2] + rng.normal(size=60)
    dummies = [[(factor == level).astype(float) for level in np.unique(factor)] for factor in factors]
    expected = np.zeros(3)
    orders = list(itertools.permutations(range(3)))
    for order in orders:
        for i, j in enumerate(order):
            before = [column for other in order[:i] for column in dummies[other]]
            expected[j] += (r2(y, before + dummies[j]) - r2(y, before)) / len(orders)
    np.testing.assert_allclose(shares(y, factors), expected, rtol=1e-9)


def test_shares_of_a_balanced_design_are_its_sums_of_squares():
    a, b = (part.ravel() for part in np.meshgrid(np.arange(2), np.arange(3)))
    y = 2.0 * a + np.array([0.0, 1.0, 5.0])[b]
    found = shares(y, [a, b])
    np.testing.assert_allclose(found, [1 / (1 + 42 / 9), 1 - 1 / (1 + 42 / 9)])
    assert shift(y, b, a) == pytest.approx(5)
    assert np.isnan(shares(np.full(6, 0.3), [a, b])).all()
    np.testing.assert_allclose(shares(y, [b, b]).sum(), r2(y, [(b == 1).astype(float), (b == 2).astype(float)]))


def test_a_shift_compares_analyses_that_are_otherwise_alike():
    y = np.array([0.1, 0.3, 0.9, 0.4, 0.8])
    level, cell = np.array([0, 1, 1, 0, 0]), np.array([0, 0, 1, 2, 2])
    assert shift(y, level, cell) == pytest.approx(0.2)  # the third, fourth and fifth have no counterpart
    assert np.isnan(shift(y, level, np.arange(5)))


def test_a_policy_that_changes_little_gets_little():
    """Rows that two policies share are one analysis, yet both policies lead there."""
    trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    found = metaan.multiverse(trials, models="glmm", links="logit", tests=["z", "t"], denominators="evaluable")
    table = found.table.set_index(["overlaps", "counts", "confidence", "test"])["estimate"].to_dict()
    every = {}
    for counts, confidence, test in itertools.product(("derived", "printed"), ("medium", "high"), ("z", "t")):
        first = table["prefer_largest", counts, confidence, test]
        every["prefer_largest", counts, confidence, test] = first
        every["prefer_primary", counts, confidence, test] = table.get(
            ("prefer_primary", counts, confidence, test), first
        )
    assert len(every) == 16 > found.analyses
    y = np.array(list(every.values()))
    factors = [pd.factorize(pd.Series(part))[0] for part in zip(*every, strict=True)]
    by = found.importance().set_index("choice")
    names = ["overlaps", "counts", "confidence", "test"]
    np.testing.assert_allclose(by.loc[names, "share_estimate"], 100 * shares(y, factors), rtol=1e-9, atol=1e-9)
    means = [y[factors[0] == policy].mean() for policy in (0, 1)]
    assert by.loc["overlaps", "shift"] == pytest.approx(abs(means[1] - means[0]))
    assert by.loc["overlaps", "share_estimate"] < 1 < by.loc["confidence", "share_estimate"]
    assert by.loc["test", "shift"] == 0


def test_importance_names_the_choice_that_matters():
    found = metaan.multiverse(A, models="normal", measures=["PLO", "PAS"], methods=["REML", "DL"], tests=["z", "hk"])
    table = found.importance()
    assert table["share_estimate"].sum() == pytest.approx(100)
    assert table["share_width"].sum() == pytest.approx(100)
    by = table.set_index("choice")
    assert by.loc["test", "share_estimate"] == pytest.approx(0, abs=1e-9)
    assert by.loc["test", "shift"] == pytest.approx(0, abs=1e-12)
    assert by.loc["test", "share_width"] > 10
    assert table["choice"].iloc[0] in ("measure", "correction")
    of = found.table.groupby(["measure", "correction"])["estimate"].mean()
    logit = (of["PLO", "only0"] + of["PLO", "all"]) / 2
    assert by.loc["measure", "shift"] == pytest.approx(abs(logit - of["PAS", "none"]))
    assert by.loc["correction", "shift"] == pytest.approx(abs(of["PLO", "only0"] - of["PLO", "all"]))
    lone = metaan.multiverse(A, models="glmm", links="logit", tests="z")
    assert lone.importance().empty
    assert "Choices     none" in str(lone)
