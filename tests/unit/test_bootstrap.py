"""The bootstrap: replicates against single fits, intervals against scipy's, and what is refused."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import metaan
from metaan.core.resample import basic, bca, normal, percentile
from metaan.core.tau2 import tau2
from metaan.errors import DataError, InputError, OptionError

RNG = np.random.default_rng(20)
K = 12
TOTAL = RNG.integers(12, 60, K)
ROWS = pd.DataFrame(
    {
        "y": RNG.normal(0.3, 0.5, K), "v": RNG.uniform(0.02, 0.2, K), "x": RNG.normal(2000, 6, K),
        "events": RNG.binomial(TOTAL, 0.3 + 0.3 * RNG.random(K)), "total": TOTAL, "time": TOTAL * 1.5,
        "group": list("aabbccddeeff"), "events_c": RNG.binomial(TOTAL + 5, 0.3), "total_c": TOTAL + 5,
    }
)  # fmt: skip
EFFECTS = metaan.effects("y", "v", data=ROWS)
ARMS = {"events_t": "events", "total_t": "total", "events_c": "events_c", "total_c": "total_c"}
TIMES = {"events_t": "events", "time_t": "total", "events_c": "events_c", "time_c": "total_c"}
FITS = {
    "REML": lambda d: metaan.pool(metaan.effects("y", "v", data=d)),
    "DL": lambda d: metaan.pool(metaan.effects("y", "v", data=d), method="DL", test="z"),
    "CE": lambda d: metaan.pool(metaan.effects("y", "v", data=d), method="CE"),
    "regress": lambda d: metaan.regress(metaan.effects("y", "v", data=d), "~ x"),
    "regress CE": lambda d: metaan.regress(metaan.effects("y", "v", data=d), "~ x", method="CE"),
    "glmm": lambda d: metaan.glmm("PLO", d, events="events", total="total"),
    "probit": lambda d: metaan.glmm("PLO", d, events="events", total="total", link="probit"),
    "rates": lambda d: metaan.glmm("IRLN", d, events="events", time="time"),
    "beta": lambda d: metaan.beta_binomial(d, events="events", total="total"),
    "OR": lambda d: metaan.mantel_haenszel("OR", d, **ARMS),
    "RD": lambda d: metaan.mantel_haenszel("RD", d, **ARMS),
    "IRR": lambda d: metaan.mantel_haenszel("IRR", d, **TIMES),
    "peto": lambda d: metaan.peto(d, **ARMS),
}


@pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")
@pytest.mark.parametrize("name", FITS)
def test_each_replicate_is_the_fit_of_the_studies_drawn(name):
    found = metaan.bootstrap(FITS[name](ROWS), n=6, seed=3, ci="percentile")
    index = np.random.default_rng(3).integers(0, K, (K, 6))
    for i, rows in enumerate(index.T):
        one = FITS[name](ROWS.iloc[rows].reset_index(drop=True))
        expected = [
            *np.ravel(one.estimate),
            *(getattr(one, stat) for stat in found.names if stat in ("rho", "tau2", "I2")),
        ]
        np.testing.assert_allclose(found.replicates[i], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["REML", "regress", "glmm", "probit", "rates", "beta", "OR", "IRR", "peto"])
def test_simulated_studies_have_the_estimate_of_the_model(name):
    res = FITS[name](ROWS)
    found = metaan.bootstrap(res, n=400, kind="parametric", ci=("percentile", "normal"))
    p = np.size(res.estimate)
    slack = 5 * found.se[:p] / 20 + (0.05 * abs(res.estimate) if name == "peto" else 0.1 * found.se[:p])
    assert (np.abs(found.bias[:p]) < slack).all()
    np.testing.assert_allclose(found.se[:p], res.se, rtol=0.35)
    assert not found.failures


def test_against_scipy():
    """Percentile, basic and BCa of scipy.stats.bootstrap, at its own replicates of the DerSimonian-Laird estimate."""
    y, v = ROWS["y"].to_numpy(), ROWS["v"].to_numpy()

    def pooled(y, v, axis=-1):
        y, v = np.moveaxis(y, axis, -1), np.moveaxis(v, axis, -1)
        w = 1 / (v + tau2(y, v, "DL")[..., None])
        return (w * y).sum(axis=-1) / w.sum(axis=-1)

    res = metaan.pool(EFFECTS, method="DL")
    without = metaan.leave_one_out(res)["estimate"].to_numpy()
    for method in ("percentile", "basic", "BCa"):
        theirs = scipy.stats.bootstrap(
            (y, v), pooled, paired=True, vectorized=True, n_resamples=999, method=method, confidence_level=0.9,
            rng=np.random.default_rng(1),
        )  # fmt: skip
        values = theirs.bootstrap_distribution
        ours = {
            "percentile": lambda values=values: percentile(values, 0.9),
            "basic": lambda values=values: basic(values, 0.9, res.estimate),
            "BCa": lambda values=values: bca(values, 0.9, res.estimate, without)[:2],
        }[method]()
        assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)
    assert metaan.bootstrap(res, n=999).se[0] == pytest.approx(theirs.standard_error, rel=0.1)


def test_the_intervals_are_those_of_the_replicates():
    res = metaan.pool(EFFECTS)
    found = metaan.bootstrap(res, n=500, level=0.9)
    values = found.replicates[:, 0]
    without = metaan.leave_one_out(res)
    assert tuple(found.intervals["percentile"][0]) == percentile(values, 0.9)
    assert tuple(found.intervals["basic"][0]) == basic(values, 0.9, res.estimate)
    assert tuple(found.intervals["normal"][0]) == normal(values, 0.9, res.estimate)
    low, high, of = bca(values, 0.9, res.estimate, without["estimate"].to_numpy())
    assert tuple(found.intervals["bca"][0]) == pytest.approx((low, high), rel=1e-9)
    assert (found.z0[0], found.acceleration[0]) == pytest.approx((of.bias, of.acceleration), rel=1e-9)
    assert found.bias[0] == pytest.approx(values.mean() - res.estimate, abs=1e-12)
    assert found.se[1] == pytest.approx(found.replicates[:, 1].std(ddof=1), rel=1e-12)
    only = metaan.bootstrap(res, n=500, level=0.9, ci="basic")
    assert list(only.intervals) == ["basic"]
    np.testing.assert_array_equal(only.intervals["basic"], found.intervals["basic"])
    assert np.isnan(only.z0).all()


def test_back_to_rates():
    res = FITS["glmm"](ROWS)
    found, same = metaan.bootstrap(res, n=100), metaan.bootstrap(res.back(), n=100)
    np.testing.assert_array_equal(found.replicates, same.replicates)
    shown = found.back()
    assert shown.observed[0] == pytest.approx(res.back().estimate)
    assert shown.intervals["percentile"][0] == pytest.approx(1 / (1 + np.exp(-found.intervals["percentile"][0])))
    np.testing.assert_array_equal(shown.intervals["bca"][1:], found.intervals["bca"][1:])
    assert shown.se[0] == pytest.approx(shown.replicates[:, 0].std(ddof=1))
    assert shown.back() is shown
    with pytest.raises(OptionError, match="no display scale"):
        metaan.bootstrap(FITS["regress"](ROWS), n=20).back()


def test_failures_are_counted():
    rows = pd.DataFrame({"y": [0.1, 0.4, 0.2, 0.6, 0.3], "v": [0.1] * 5, "late": [0, 0, 0, 0, 1]})
    found = metaan.bootstrap(metaan.regress(metaan.effects("y", "v", data=rows), "~ late"), n=1000)
    index = np.random.default_rng(1).integers(0, 5, (5, 1000))
    assert found.failures == int(((index == 4).all(axis=0) | (index != 4).all(axis=0)).sum())
    assert len(found.replicates) == 1000 - found.failures
    codes = {note.code for note in found.notes}
    assert {"failures", "few-studies", "no-bca"} <= codes  # without the fifth study there is no coefficient of late
    assert str(found.failures) in str(found)


def test_no_events_in_a_replicate():
    res = metaan.glmm("PLO", events=[0, 0, 0, 2, 1], total=[10, 12, 9, 11, 14])
    found = metaan.bootstrap(res, n=300)
    assert np.isneginf(found.replicates[:, 0]).any()
    assert (found.se[0], found.intervals["percentile"][0, 0]) == (math.inf, -math.inf)
    assert math.isnan(found.bias[0])
    assert np.isnan(found.intervals["normal"][0]).all()
    shown = found.back()
    assert shown.intervals["percentile"][0, 0] == 0
    assert math.isfinite(shown.se[0])
    none = metaan.glmm("PLO", events=[0, 0, 0], total=[10, 12, 9])
    with pytest.raises(OptionError, match="estimate is infinite"):
        metaan.bootstrap(none, n=20, kind="parametric")
    assert np.isneginf(metaan.bootstrap(none, n=20).replicates[:, 0]).all()


def test_effects_that_are_all_alike():
    res = metaan.pool(metaan.effects([0.2] * 6, [0.01] * 6), test="z")
    found = metaan.bootstrap(res, n=50)
    np.testing.assert_allclose(found.intervals["percentile"][0], 0.2, rtol=1e-12)
    assert found.observed[1] == 0
    assert metaan.bootstrap(metaan.pool(metaan.effects([0.2], [0.01])), n=50, kind="parametric").se[0] > 0


def test_what_is_refused():
    res = metaan.pool(EFFECTS)
    for bad in ({"n": 1}, {"n": 2.5}, {"seed": -1}, {"seed": True}):
        with pytest.raises(InputError, match="whole number"):
            metaan.bootstrap(res, **bad)
    with pytest.raises(OptionError, match="Did you mean 'bca'"):
        metaan.bootstrap(res, ci="bcaa")
    with pytest.raises(OptionError, match="kind='both'"):
        metaan.bootstrap(res, kind="both")
    with pytest.raises(OptionError, match="Did you mean level="):
        metaan.bootstrap(res, level=95)
    with pytest.raises(OptionError, match="baseline"):
        metaan.bootstrap(FITS["RD"](ROWS), kind="parametric")
    with pytest.raises(OptionError, match="two arms"):
        metaan.bootstrap(metaan.glmm("OR", ROWS, **ARMS))
    with pytest.raises(OptionError, match="multilevel"):
        metaan.bootstrap(metaan.multilevel(EFFECTS, "group/estimate"))
    with pytest.raises(OptionError, match="robust"):
        metaan.bootstrap(metaan.robust(res, range(K)))
    with pytest.raises(OptionError, match="robust"):
        metaan.bootstrap(metaan.robust(FITS["regress"](ROWS), range(K)))
    with pytest.raises(InputError, match="at least two studies"):
        metaan.bootstrap(metaan.pool(metaan.effects([0.2], [0.01])))
    with pytest.raises(InputError, match="not DataFrame"):
        metaan.bootstrap(ROWS)


def test_the_record():
    found = metaan.bootstrap(FITS["beta"](ROWS), n=60)
    text = str(found)
    assert len(text.splitlines()) <= 20
    for word in ("12 studies", "60 replicates", "seed 1", "Beta-binomial", "PLO", "percentile", "bca", "rho"):
        assert word in text
    frame = found.to_frame()
    assert list(frame["statistic"]) == ["estimate", "rho", "tau2", "I2"]
    assert {"bias", "se", "basic_low", "bca_high"} <= set(frame)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n"] == 60
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert not other.replicates.flags.writeable
        assert not other.intervals["basic"].flags.writeable
    again = metaan.bootstrap(FITS["beta"](ROWS), n=60)
    np.testing.assert_array_equal(again.replicates, found.replicates)
    assert "<pre>" in found._repr_html_()


def test_no_replicate_tells_the_coefficient():
    rows = ROWS.assign(late=[1] + [0] * (K - 1))
    seed = next(s for s in range(99) if (np.random.default_rng(s).integers(0, K, (K, 2)) > 0).all())
    fit = metaan.regress(metaan.effects("y", "v", data=rows), "~ late")
    with pytest.raises(DataError, match="No replicate"):
        metaan.bootstrap(fit, n=2, seed=seed)
