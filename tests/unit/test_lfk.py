"""lfk_index: the formula, what leaves it unchanged, what is refused."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from scipy import stats

import metaan
from metaan.errors import DataError, InputError, OptionError

# The example of Furuya-Kanamori et al. (2018), as in the help page of lfkindex (R metasens).
PAIN, PAIN_V = [-4.27, -1.71, -0.58, -0.19, 0.0], [0.158, 0.076, 0.018, 0.022, 0.040]


def lfk(y, v, **kind):
    return metaan.lfk_index(metaan.pool(metaan.effects(y, v, **kind)))


def brute(y, v):
    """The formula, study by study."""
    rows = sorted(zip(y, v, strict=True))
    size = [100 * max(v) / vi for _, vi in rows]
    z = [stats.norm.ppf((sum(size[:i]) + size[i] / 2 - 0.5) / sum(size)) for i in range(len(rows))]
    tip = min(zip(map(abs, z), rows, strict=True))[1][0]
    d = [yi - tip for yi, _ in rows]
    slope = (max(z) - min(z)) / (max(d) - min(d))
    return 5 / (2 * len(z)) * sum(zi + slope * di for zi, di in zip(z, d, strict=True))


def test_the_example_of_the_paper():
    # The formula in R 4.2.2, written for this test: -3.31011153863
    made = lfk(PAIN, PAIN_V, measure="SMD")
    assert made.index == pytest.approx(-3.31011153863, rel=1e-11)
    assert made.says == "major asymmetry"
    assert made.tip == -0.19


@pytest.mark.parametrize("k", [3, 5, 20, 100])
def test_the_index_is_that_of_the_formula(k):
    rng = np.random.default_rng(k)
    y, v = rng.normal(size=k), rng.uniform(0.01, 1, k)
    assert lfk(y, v).index == pytest.approx(brute(y.tolist(), v.tolist()), rel=1e-10)


def test_order_shift_and_scale_change_nothing_and_a_mirror_changes_the_sign():
    rng = np.random.default_rng(1)
    y, v = rng.gamma(1.0, size=30), rng.uniform(0.01, 1, 30)
    y[3] = y[7]
    one, order = lfk(y, v), rng.permutation(30)
    assert lfk(y[order], v[order]).index == pytest.approx(one.index, rel=1e-12)
    assert lfk(3 * y + 2, 9 * v).index == pytest.approx(one.index, rel=1e-10)
    np.testing.assert_allclose(lfk(y[order], v[order]).z, one.z[order], rtol=1e-12)
    assert one.z[3] == one.z[7]
    assert lfk(-y, v).index == pytest.approx(-one.index, abs=0.02)  # but for the half rank


@pytest.mark.parametrize(("y", "v", "says"), [
    ([-2, -1, 0, 1, 2], [0.1] * 5, "no asymmetry"),
    ([0, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 2, 4, 9], [0.1] * 10, "minor asymmetry"),
    ([-2, -1, 0, 1, 9], [0.02, 0.08, 0.18, 0.32, 0.5], "major asymmetry"),
])  # fmt: skip
def test_the_index_is_put_in_words(y, v, says):
    made = lfk(y, v)
    assert made.says == says
    low, high = {"no asymmetry": (0, 1), "minor asymmetry": (1, 2), "major asymmetry": (2, np.inf)}[says]
    assert low <= abs(made.index) <= high


def test_it_says_that_it_is_no_test():
    made = lfk(PAIN, PAIN_V)
    assert made.notes[0].code == "no-test"
    assert "no test" in str(made)
    assert "few-studies" not in {note.code for note in made.notes}
    assert "few-studies" in {note.code for note in lfk(PAIN[:4], PAIN_V[:4]).notes}


def test_views_copies_and_pickles():
    made = lfk(PAIN, PAIN_V)
    table = made.studies()
    np.testing.assert_array_equal(table["y"], np.abs(table["z"]))
    assert json.loads(json.dumps(made.to_dict()))["index"] == made.index
    assert "-3.31" in repr(made)
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert again.index == made.index
        with pytest.raises(ValueError, match="read-only"):
            again.z[0] = 1


def test_what_has_no_index_is_refused():
    with pytest.raises(DataError, match="all effects are equal"):
        lfk([0.3] * 4, [0.1, 0.2, 0.1, 0.3])
    with pytest.raises(DataError, match="at least 3 studies"):
        lfk([0.3, 0.4], [0.1, 0.2])
    with pytest.raises(InputError, match="not list"):
        metaan.lfk_index([1, 2])
    frame = {"x": [1, 2, 3, 4, 5.0]}
    import pandas as pd

    fit = metaan.regress(metaan.effects(PAIN, PAIN_V, data=pd.DataFrame(frame)), "~ x")
    with pytest.raises(OptionError, match="no meta-regression"):
        metaan.lfk_index(fit)
