"""failsafe_n: what the number means, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from scipy import stats

import metaan
from metaan.errors import InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.5, 0.3, 0.4, 0.6, -0.1]), np.array([0.04, 0.02, 0.05, 0.06, 0.03])


@pytest.fixture(scope="module")
def res():
    return metaan.pool(metaan.effects(Y, V, measure="SMD"))


def stouffer(n):
    return stats.norm.sf(np.sum(Y / np.sqrt(V)) / np.sqrt(Y.size + n))


def common_effect(n):
    """Two-sided p-value of the weighted mean with n studies of effect 0 and the average weight."""
    w = 1 / V
    return 2 * stats.norm.sf(abs(np.sum(w * Y)) / np.sqrt(w.sum() * (1 + n / Y.size)))


@pytest.mark.parametrize(("kind", "pvalue"), [("rosenthal", stouffer), ("rosenberg", common_effect)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_so_many_null_results_reach_alpha(res, kind, pvalue, alpha):
    made = metaan.failsafe_n(res, kind=kind, alpha=alpha)
    assert made.pvalue == pytest.approx(pvalue(0), rel=1e-12)
    assert pvalue(made.exact) == pytest.approx(alpha, rel=1e-10)
    assert pvalue(made.n) >= alpha > pvalue(made.n - 1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", [0.1, -0.1])
def test_so_many_null_results_reach_the_target(res, weighted, target):
    made = metaan.failsafe_n(res, kind="orwin", target=target, weighted=weighted)
    w = 1 / V if weighted else np.ones(5)
    mean = np.sum(w * Y) / w.sum()
    assert made.estimate == pytest.approx(mean, rel=1e-12)
    assert mean * 5 / (5 + made.exact) == pytest.approx(0.1, rel=1e-10)
    assert ("target-sign" in {note.code for note in made.notes}) == (target < 0)
    assert np.isnan(made.alpha)


def test_half_of_the_mean_is_as_many_again(res):
    made = metaan.failsafe_n(res, kind="orwin")
    assert made.n == 5
    assert "target" in {note.code for note in made.notes}


@pytest.mark.parametrize("kind", ["rosenthal", "orwin", "rosenberg"])
def test_nothing_to_undo(kind):
    more = {"target": 1.0} if kind == "orwin" else {}
    small = metaan.pool(metaan.effects([0.1, -0.1, 0.05], [0.1, 0.1, 0.1]))
    assert metaan.failsafe_n(small, kind=kind, **more).n == 0
    one = metaan.pool(metaan.effects([0.0], [0.1]))
    assert metaan.failsafe_n(one, kind=kind).n == 0


def test_takes_stratified_results_and_any_scale():
    arms = {"events_t": [4, 6], "total_t": [123, 306], "events_c": [11, 29], "total_c": [139, 303]}
    res = metaan.mantel_haenszel("OR", **arms)
    pooled = metaan.pool(metaan.effect_size("OR", **arms))
    assert metaan.failsafe_n(res).n == metaan.failsafe_n(pooled).n == metaan.failsafe_n(pooled.back()).n


@pytest.mark.parametrize("measure", ["PLO", "PAS", "PR"])
def test_refuses_rates(measure):
    res = metaan.pool(metaan.effect_size(measure, events=[3, 4, 9], total=[20, 30, 40]))
    with pytest.raises(OptionError, match="no hypothesis of theirs") as error:
        metaan.failsafe_n(res)
    assert ("50%" in str(error.value)) == (measure == "PLO")
    assert "small_study_effects" in str(error.value)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"kind": "orvin"}, "Did you mean 'orwin'"), ({"alpha": 5}, "alpha=5"), ({"target": 0.1}, "target="),
        ({"weighted": True}, "target= and weighted="), ({"kind": "orwin", "target": 0}, "other than 0"),
        ({"kind": "orwin", "target": float("inf")}, "finite"), ({"kind": "orwin", "target": "x"}, "target='x'"),
    ],
)  # fmt: skip
def test_options_out_of_range(res, more, match):
    with pytest.raises(OptionError, match=match):
        metaan.failsafe_n(res, **more)


def test_refuses_what_is_no_result(res):
    with pytest.raises(InputError):
        metaan.failsafe_n(Y)


@pytest.mark.parametrize("kind", ["rosenthal", "orwin", "rosenberg"])
def test_reads_and_survives(res, kind):
    made = metaan.failsafe_n(res, kind=kind)
    for one in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert one.to_frame().n[0] == made.n
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["n"] == made.n
    text = str(made)
    assert len(text.splitlines()) <= 20
    assert f"{made.n} studies of effect 0" in text
    assert "does not rule bias out" in text
