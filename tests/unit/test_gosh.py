"""gosh: subsets, what is made of them, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.core.subsets import all_subsets, random_subsets
from metaan.errors import InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = [0.1, 0.3, 0.2, 1.1, 0.4], [0.01, 0.02, 0.02, 0.01, 0.03]
COUNTS = {"events": [0, 3, 1, 4, 2, 3], "total": [20, 44, 28, 30, 51, 30]}
ARMS = {
    "events_t": [4, 6, 3, 62, 33], "total_t": [123, 306, 231, 13598, 5069],
    "events_c": [11, 29, 11, 248, 47], "total_c": [139, 303, 220, 12867, 5808],
}  # fmt: skip
MODELS = {
    "pool": lambda: metaan.pool(metaan.effects(Y, V)),
    "genq": lambda: metaan.pool(metaan.effects(Y, V), method="GENQ", weights=[1, 2, 3, 4, 5]),
    "display": lambda: metaan.pool(metaan.effect_size("PLO", **COUNTS)).back(),
    "freeman-tukey": lambda: metaan.pool(metaan.effect_size("PFT", **COUNTS)).back(),
    "glmm": lambda: metaan.glmm("PLO", **COUNTS),
    "beta-binomial": lambda: metaan.beta_binomial(**COUNTS),
    "mantel-haenszel": lambda: metaan.mantel_haenszel("OR", **ARMS),
    "peto": lambda: metaan.peto(**ARMS),
    "conditional": lambda: metaan.glmm("OR", **ARMS, model="CM.EL"),
}


@pytest.fixture(scope="module")
def two_groups():
    rng = np.random.default_rng(3)
    v = rng.uniform(0.01, 0.03, 10)
    y = rng.normal(0.2, np.sqrt(v))
    y[0] = 2.5
    return metaan.pool(metaan.effects(y, v))


def test_all_subsets_are_numbered():
    here = all_subsets(4)
    np.testing.assert_array_equal(here.T @ [1, 2, 4, 8], np.arange(1, 16))


@pytest.mark.parametrize(("k", "n"), [(5, 30), (15, 2**14), (21, 50), (22, 500), (60, 4000), (1000, 300)])
def test_a_sample_has_different_subsets_of_half_of_the_studies(k, n):
    here = random_subsets(k, n, 1)
    assert here.shape == (k, n)
    assert here.any(axis=0).all()
    assert np.unique(np.packbits(here, axis=0), axis=1).shape[1] == n
    assert abs(here.mean() - 0.5) < 5 * 0.5 / np.sqrt(k * n) + 0.5 / 2 ** min(k, 40)
    np.testing.assert_array_equal(here, random_subsets(k, n, 1))
    assert (here != random_subsets(k, n, 2)).any()


@pytest.mark.parametrize("name", MODELS)
def test_each_row_is_the_fit_to_its_studies(name):
    res = MODELS[name]()
    made = metaan.gosh(res)
    k = res.effects.k
    assert made.n == made.possible == 2**k - 1
    every = metaan.leave_one_out(res)
    full = (1 << k) - 1
    for i in range(k):
        row = (full ^ (1 << i)) - 1
        for column in ("estimate", "I2", "Q"):
            assert getattr(made, column)[row] == pytest.approx(every[column][i], rel=1e-9, abs=1e-12), column
    assert made.estimate[-1] == pytest.approx(res.estimate, rel=1e-7)
    assert made.k[-1] == k
    assert ("tau2" in made.to_frame()) == (res.spec.model != "stratified")


def test_coefficients_of_a_regression():
    data = pd.DataFrame({"z": [1.0, 2, 3, 4, 5, 6]})
    res = metaan.regress(metaan.effects([*Y, 0.5], [*V, 0.02], data=data), "~ z")
    made = metaan.gosh(res)
    assert made.terms == res.names
    np.testing.assert_allclose(made.estimate[-1], res.estimate, rtol=1e-9)
    left = metaan.leave_one_out(res)
    np.testing.assert_allclose(made.estimate[2**6 - 1 - 2], left[left.study == "1"].estimate, rtol=1e-9)
    assert np.isnan(made.estimate[made.k < 3]).all()
    assert not made.usable[made.k < 3].any()
    assert {"undefined", "no-estimate"} <= {note.code for note in made.notes}
    assert set(made.by_study().term) == set(res.names)
    assert 0 < made.share_above(0, term="z") <= 1
    with pytest.raises(OptionError, match="term=None"):
        made.share_above(0)
    assert "Moderators ~ z" in str(made)


def test_summaries_by_brute_force(two_groups):
    made = metaan.gosh(two_groups)
    frame = made.to_frame(members=True)
    means = made.by_study().set_index("study")
    for study in two_groups.effects.study:
        inside = frame[study]
        assert means.mean_in[study] == pytest.approx(frame.estimate[inside].mean(), rel=1e-12)
        assert means.mean_out[study] == pytest.approx(frame.estimate[~inside].mean(), rel=1e-12)
        assert means.I2_in[study] == pytest.approx(frame.I2[inside].mean(), rel=1e-12)
    assert means.index[0] == "1", "the outlier comes first"
    table = made.summary()
    assert table.loc["estimate", "median"] == pytest.approx(frame.estimate.median())
    assert table.loc["tau2", "max"] == frame.tau2.max()
    assert made.share_above(0.5) == (frame.estimate > 0.5).mean()


def test_a_bound_draws_a_sample_with_a_note(two_groups):
    made = metaan.gosh(two_groups, subsets=100, seed=4)
    again = metaan.gosh(two_groups, subsets=100, seed=4)
    assert made.n == 100
    assert made.seed == 4
    assert "sampled" in {note.code for note in made.notes}
    np.testing.assert_array_equal(made.packed, again.packed)
    whole = metaan.gosh(two_groups)
    assert whole.seed is None
    row = made.included @ (1 << np.arange(10)) - 1
    np.testing.assert_allclose(made.estimate, whole.estimate[row], rtol=1e-9)


def test_clusters_find_the_study_behind_them(two_groups):
    made = metaan.gosh(two_groups, clusters=2)
    assert set(made.cluster) == {1, 2}
    means = made.clusters()
    assert means.estimate.is_monotonic_increasing
    assert means.subsets.sum() == made.n
    behind = made.cluster_studies()
    assert behind[behind.cluster == 2].iloc[0].study == "1"
    assert behind[behind.cluster == 2].iloc[0].excess > 0.3
    assert list(made.bic) == [2]
    assert "Cluster 1" in str(made)


def test_the_number_of_clusters_by_bic(two_groups):
    made = metaan.gosh(two_groups, clusters="auto")
    assert list(made.bic) == [1, 2, 3, 4, 5, 6]
    assert made.cluster.max() == min(made.bic, key=made.bic.get)
    np.testing.assert_array_equal(made.cluster, metaan.gosh(two_groups, clusters="auto").cluster)


def test_without_scikit_learn(two_groups, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(OptionError, match=r"scikit-learn.*metaan\[cluster\]"):
        metaan.gosh(two_groups, clusters=2)
    with pytest.raises(InputError, match="clusters='auto'"):
        metaan.gosh(two_groups).clusters()


def test_subsets_without_an_estimate_are_left_out():
    res = metaan.glmm("PLO", events=[0, 0, 3, 4], total=[10, 12, 20, 25])
    made = metaan.gosh(res)
    assert (~made.usable).sum() == 3
    assert "3 of 15 subsets" in next(note.text for note in made.notes if note.code == "no-estimate")
    assert np.isfinite(made.summary().to_numpy()).all()
    assert metaan.gosh(res.back()).usable.all(), "a rate of 0 is finite"


@pytest.mark.parametrize("y", [[0.3], [0.3, 0.3], [0.2, 0.2, 0.2]])
def test_few_and_identical_studies(y):
    made = metaan.gosh(metaan.pool(metaan.effects(y, [0.1] * len(y))))
    np.testing.assert_allclose(made.estimate, y[0])
    assert (made.tau2 == 0).all()
    assert len(str(made).splitlines()) <= 20


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"subsets": 0}, "subsets=0"), ({"subsets": 2**21}, "subsets="), ({"subsets": True}, "subsets="),
        ({"seed": -1}, "seed="), ({"clusters": 1}, "clusters=1"), ({"clusters": "many"}, "clusters="),
        ({"clusters": 200}, "at least 2000 subsets"),
    ],
)  # fmt: skip
def test_options_out_of_range(two_groups, more, match):
    with pytest.raises(OptionError, match=match):
        metaan.gosh(two_groups, **more)


def test_refuses_what_has_no_subsets_of_studies():
    eff = metaan.effects(Y, V, data=pd.DataFrame({"c": [1, 1, 2, 2, 3], "z": [1.0, 2, 3, 4, 6]}))
    nested = metaan.multilevel(eff, random="c")
    with pytest.raises(OptionError, match="leave_one_out"):
        metaan.gosh(nested)
    with pytest.raises(OptionError, match="robust"):
        metaan.gosh(metaan.robust(metaan.pool(eff), cluster="c"))
    with pytest.raises(InputError):
        metaan.gosh(eff)


def test_the_record_is_frozen_and_survives(two_groups):
    made = metaan.gosh(two_groups, subsets=200, clusters=2)
    for one in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        with pytest.raises(ValueError, match="read-only"):
            one.estimate[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            one.packed[0] = 1
    assert len(json.loads(json.dumps(made.to_dict(), allow_nan=False))["estimate"]) == 200
    assert made._repr_html_().startswith("<div")
    assert made.to_frame().attrs["notes"] == made.notes
