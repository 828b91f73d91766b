"""Effect sizes of single rates, their corrections and their way back."""

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.core.transforms import double_arcsine, double_arcsine_inverse
from metaan.errors import DataError, OptionError, ZeroCellWarning

X = np.array([0, 3, 9, 10])
N = np.array([12, 30, 40, 10])


def test_a_correction_that_was_not_asked_for_warns_and_is_noted():
    with pytest.warns(ZeroCellWarning, match="0.5 added"):
        eff = metaan.effect_size("PLO", events=X, total=N)
    assert eff.notes[0].studies == ("1", "4")


@pytest.mark.parametrize(
    ("policy", "changed"), [("only0", [True, False, False, True]), ("if0all", [True] * 4), ("all", [True] * 4)]
)
def test_policies(policy, changed):
    eff = metaan.effect_size("PLO", events=X, total=N, correction=policy)
    x, n = np.where(changed, X + 0.5, X), np.where(changed, N + 1.0, N)
    np.testing.assert_allclose(eff.yi, np.log(x / (n - x)), rtol=1e-14)
    np.testing.assert_array_equal(eff.events, X)
    assert (eff.notes[0].code, len(eff.notes[0].studies)) == ("zero-cell", sum(changed))


def test_if0all_changes_nothing_without_an_extreme_study():
    assert metaan.effect_size("PLO", events=[1, 2], total=[9, 9], correction="if0all").notes == ()


def test_own_value():
    eff = metaan.effect_size("PLN", events=[0], total=[20], correction="only0", add=0.25)
    assert eff.yi[0] == pytest.approx(np.log(0.25 / 20.5))
    with pytest.raises(OptionError, match="add=-1"):
        metaan.effect_size("PLN", events=[0], total=[20], add=-1)


@pytest.mark.parametrize("measure", ["PR", "PLO", "PLN"])
def test_no_correction_raises_at_the_edge(measure):
    with pytest.raises(DataError, match="undefined at 0 or n"):
        metaan.effect_size(measure, events=X, total=N, correction="none")


@pytest.mark.parametrize("measure", ["PAS", "PFT"])
def test_arcsine_scales_need_none(measure):
    assert metaan.effect_size(measure, events=X, total=N).notes == ()


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
def test_double_arcsine_and_back_at_its_own_n(n):
    x = np.arange(n + 1.0)
    back = double_arcsine_inverse(double_arcsine(x, np.full_like(x, n)), n)
    np.testing.assert_allclose(back, x / n, atol=2e-8)


def test_double_arcsine_inverse_is_monotone_and_inside():
    y = np.linspace(-0.5, 2.5, 3001)
    rate = double_arcsine_inverse(y, 17.3)
    assert (np.diff(rate) >= -1e-12).all()
    assert rate[0] == 0
    assert rate[-1] == 1


def test_freeman_tukey_depends_on_the_n_used():
    # METHODS: a very large study makes the harmonic mean of n misleading
    x, n = [0, 1, 2, 150, 3], [12, 20, 30, 200_000, 40]
    res = metaan.pool(metaan.effect_size("PFT", events=x, total=n))
    rates = {size: res.back(n=size).estimate for size in (10, "harmonic", "mean")}
    assert rates[10] == pytest.approx(0.0044, abs=5e-5)
    assert rates["harmonic"] == pytest.approx(0.0197, abs=5e-5)
    assert rates["mean"] == pytest.approx(0.0351, abs=5e-5)
    note = next(note for note in res.back().notes if note.code == "ft-n")
    assert note.text in str(res)
    assert "n = 12 to 200000" in note.text


def test_n_is_for_freeman_tukey_alone():
    res = metaan.pool(metaan.effect_size("PAS", events=X, total=N))
    with pytest.raises(OptionError, match="PFT"):
        res.back(n=20)
    with pytest.raises(OptionError, match="harmonic"):
        metaan.pool(metaan.effect_size("PFT", events=X, total=N)).back(n="median")


def test_arcsine_limits_do_not_fold():
    res = metaan.pool(metaan.effect_size("PAS", events=[0, 0, 1], total=[9, 14, 11]), test="z").back()
    assert res.ci_low == 0
    assert res.pi_low == 0
    assert res.ci_low <= res.estimate <= res.ci_high


def test_arrays_are_read_only_and_the_caller_keeps_his():
    y = np.array([0.1, 0.2])
    eff = metaan.effects(y, [0.1, 0.1])
    y[0] = 99
    assert eff.yi[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        eff.yi[0] = 1


def test_a_result_does_not_change_with_the_callers_data():
    table = pd.DataFrame({"x": [3, 9], "n": [20, 44]})
    eff = metaan.effect_size("PLO", table, events="x", total="n")
    table.loc[0, "x"] = 19
    assert eff.data.loc[0, "x"] == 3
    mine = np.array([0.1, 0.2])
    record = metaan.Effects(yi=mine, vi=mine, study=("a", "b"), measure="GEN")
    mine[0] = 9
    assert record.yi[0] == 0.1
