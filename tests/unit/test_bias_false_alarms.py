"""False alarms of Egger's regression without any bias: one study far larger than the rest, and ratios of means."""

import numpy as np
import pytest

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


def test_one_study_far_larger_than_the_rest():
    """Errors of one variance: by how much the dispersion understates that of the slope, by matrices; false alarms."""
    v = 4 / np.array([20, 35, 28, 44, 60, 25, 31, 52, 40, 1500])
    x = np.column_stack([np.ones(10), np.sqrt(v)])
    w = np.diag(1 / v)
    row = (np.linalg.inv(x.T @ w @ x) @ x.T @ w)[1]
    rest = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
    ratio = row @ row / (np.trace(rest) / 8 * np.linalg.inv(x.T @ w @ x)[1, 1])
    rng = np.random.default_rng(4)
    alarms = {"lm": 0, "rma": 0}
    for _ in range(150):
        y = rng.normal(0, np.sqrt(v + 0.3))
        res = metaan.pool(metaan.effects(y, v), method="DL", pi="none")
        for model in alarms:
            found = metaan.egger(res, model=model)
            alarms[model] += found.pvalue < 0.1
            noted = [note for note in found.notes if note.code == "uneven-sizes"]
            assert bool(noted) == (model == "lm")
    assert f"up to {ratio**0.5:.1f} times" in noted_of(metaan.egger(res))
    assert alarms["lm"] > 0.25 * 150
    assert alarms["rma"] < 0.2 * 150
    assert "uneven-sizes" not in {note.code for note in metaan.egger(metaan.pool(metaan.effects(y[:9], v[:9]))).notes}


def noted_of(found):
    return next(note for note in found.notes if note.code == "uneven-sizes").text


def test_a_ratio_of_means_is_linked_with_its_standard_error():
    rng, k, runs = np.random.default_rng(6), 30, 120
    alarms = {"sei": 0, "sqrtninv": 0}
    for _ in range(runs):
        n = np.round(np.exp(rng.uniform(np.log(10), np.log(200), k)))
        true, sd = np.exp(0.5 * rng.standard_normal(k)), 0.5
        made = {f"mean_{arm}": m + sd * rng.standard_normal(k) / np.sqrt(n) for arm, m in (("t", true), ("c", 1.0))}
        made |= {f"sd_{arm}": sd * np.sqrt(rng.chisquare(n - 1) / (n - 1)) for arm in "tc"}
        made |= {name: np.maximum(value, 0.02) for name, value in made.items()}
        res = metaan.pool(metaan.effect_size("ROM", **made, n_t=n, n_c=n), method="DL", pi="none")
        for predictor in alarms:
            alarms[predictor] += metaan.egger(res, predictor=predictor).pvalue < 0.1
    assert alarms["sei"] > 0.5 * runs
    assert alarms["sqrtninv"] < 0.2 * runs
    codes = {p: {note.code for note in metaan.egger(res, predictor=p).notes} for p in alarms}
    assert "linked" in codes["sei"]
    assert "linked" not in codes["sqrtninv"]
