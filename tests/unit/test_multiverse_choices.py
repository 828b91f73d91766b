"""Which combinations a multiverse makes, and which it leaves out with the reason."""

import numpy as np
import pandas as pd
import pytest

import metaan

A = pd.DataFrame({"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]})


@pytest.mark.parametrize(
    ("ask", "reason", "number"),
    [
        ({"measures": "PLO", "methods": ["REML", "CE"], "tests": ["hk", "hk-adhoc", "z"]}, "no model assumes", 4),
        ({"measures": "PAS", "methods": ["EB", "PM", "SJIT"], "tests": "z"}, "same estimate as EB", 2),
        ({"measures": ["PLO", "PAS"], "methods": "DL", "corrections": ["none", "only0"], "tests": "z"}, "undefined", 1),
        ({"measures": "PLO", "methods": "DL", "corrections": ["if0all", "all"], "tests": "z"}, "the same as 'all'", 1),
    ],
)
def test_what_nobody_would_defend_is_listed_with_the_reason(ask, reason, number):
    found = metaan.multiverse(A, models="normal", **ask)
    assert found.excluded["reason"].str.contains(reason).sum() == number == len(found.excluded)


def test_log_rates_are_left_out_only_where_a_study_is_at_n():
    at_n = pd.DataFrame({"events": [3, 9, 9], "total": [10, 20, 9]})
    found = metaan.multiverse(at_n, models="normal", measures=["PLN", "PLO"], methods="DL", tests="z")
    assert set(found.table["measure"]) == {"PLO"}
    assert found.excluded["reason"].str.contains("log rates with a study at n").all()
    asked = metaan.multiverse(A, models="normal", measures="PLN", methods="DL", tests="z").table
    assert set(asked["measure"]) == {"PLN"}


def test_log_rates_are_for_those_who_ask():
    """Their inverse variance grows with the rate, which draws the estimate above the geometric mean."""
    assert "PLN" not in set(metaan.multiverse(A).table["measure"])
    rng = np.random.default_rng(8)
    logits = rng.normal(-0.2, 1.2, (1000, 16))
    rates = 1 / (1 + np.exp(-logits))
    n = rng.integers(15, 200, rates.shape)
    x = rng.binomial(n, rates)
    inside = ((x > 0) & (x < n)).all(axis=1)
    x, n = x[inside], n[inside]
    covered = {}
    for name, y, v, truth in (
        ("PLN", np.log(x / n), 1 / x - 1 / n, np.log(rates).mean()),
        ("PLO", np.log(x / (n - x)), 1 / x + 1 / (n - x), -0.2),
    ):
        pooled = metaan.pool_many(y, v, method="DL", test="hk")
        covered[name] = np.mean((pooled["ci_low"] < truth) & (truth < pooled["ci_high"]))
    assert covered["PLO"] > 0.93
    assert covered["PLN"] < 0.9


def test_corrections_are_a_choice_only_where_one_is_needed():
    inside = pd.DataFrame({"events": [3, 9, 4], "total": [10, 20, 9]})
    assert set(metaan.multiverse(inside).table["correction"]) == {"none"}
    found = metaan.multiverse(A, models="normal").table
    assert set(found.loc[found["measure"] == "PLO", "correction"]) == {"only0", "all"}
    assert set(found.loc[found["measure"] == "PAS", "correction"]) == {"none"}
