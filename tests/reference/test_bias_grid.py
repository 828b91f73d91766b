"""egger, begg and the tests of two arms against metafor 3.8-1: 17 data sets, every model, predictor and kind of test.

Tolerance 1e-8 for closed forms and 1e-6 where tau2 iterates, each in the natural unit of the number: a statistic and a
p-value in 1, slope and limits in their standard errors, tau2 in typical variances.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.core.linear import Design, log_likelihood

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "bias_grid.json").read_text())
METHODS, TESTS, PREDICTORS = (GRID["axes"][name] for name in ("methods", "tests", "predictors"))
CELLS, ARMS, MEANS = GRID["cells"], GRID["two_arms"], GRID["means"]
CLOSED, ITERATED = 1e-8, 1e-6
HIGHER = (("egger2001", "ML", "vi"), ("egger2001", "ML", "ninv"))
"""Where metafor ends at tau2 = 0, the lower of two maxima of the likelihood."""
COUNTS = ("events_t", "total_t", "events_c", "total_c")


def effects(cell):
    columns = {name: cell[name] for name in ("ni", "mods") if name in cell}
    return metaan.effects(cell["yi"], cell["vi"], data=pd.DataFrame(columns) if columns else None)


def compare(ours, theirs, unit, tolerance):
    """What differs, by name."""
    values = dict(ours.values) | {"statistic": ours.statistic, "pvalue": ours.pvalue, "df": ours.df}
    se = abs(theirs["slope_se"])
    scale = {"slope": se, "slope_se": se, "tau2": unit}
    scale |= dict.fromkeys(("limit", "limit_low", "limit_high"), theirs.get("limit_high", 0) - theirs.get("limit", 0))
    bad = {}
    for name, value in theirs.items():
        if value is None:
            assert name == "df"
            assert math.isinf(values["df"])
            continue
        got = values.get(name, 0.0)  # tau2 of a weighted regression
        if not abs(got - value) <= tolerance * (abs(value) + scale.get(name, 1.0)):
            bad[name] = (got, value)
    assert ("limit" in values) == ("limit" in theirs)
    return bad


def of_size(cell, predictor):
    return {"ni": "ni"} if predictor not in ("sei", "vi") else {}


def test_the_grid_is_whole():
    assert GRID["versions"] == {"R": "4.2.2", "metafor": "3.8.1", "metadat": "1.2.0"}
    assert (METHODS, TESTS) == (["REML", "DL", "ML", "PM", "CE"], ["z", "t", "hk"])
    assert set(PREDICTORS) == {"sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"}
    assert len(CELLS) == 17
    assert sum("mods" in cell for cell in CELLS.values()) == 3
    assert len(ARMS) == 6
    assert all(len(cell["tests"]) == 9 for cell in ARMS.values())
    for cell in CELLS.values():
        predictors = PREDICTORS if "ni" in cell else ["sei", "vi"]
        fits = [cell["lm"]] + [cell["rma"][method][test] for method, test in itertools.product(METHODS, TESTS)]
        for made in fits:
            assert list(made) == list(predictors)
            for predictor, numbers in made.items():
                assert all(numbers[name] is not None for name in numbers if name != "df")
                limit = predictor not in ("ni", "sqrtni") and "mods" not in cell
                assert ("limit" in numbers) == limit


@pytest.mark.parametrize("name", CELLS)
def test_weighted_regression(name):
    cell = CELLS[name]
    eff = effects(cell)
    res = metaan.regress(eff, "~ mods") if "mods" in cell else metaan.pool(eff)
    for predictor, theirs in cell["lm"].items():
        ours = metaan.egger(res, predictor=predictor, **of_size(cell, predictor))
        assert not compare(ours, theirs, 1.0, CLOSED), predictor


@pytest.mark.parametrize(("name", "method", "test"), list(itertools.product(CELLS, METHODS, TESTS)))
def test_mixed_effects_regression(name, method, test):
    cell = CELLS[name]
    eff = effects(cell)
    res = (
        metaan.regress(eff, "~ mods", method=method, test=test, pi="none")
        if "mods" in cell
        else metaan.pool(eff, method=method, test=test, pi="none")
    )
    unit = len(cell["vi"]) / float(np.sum(1 / np.array(cell["vi"])))
    for predictor, theirs in cell["rma"][method][test].items():
        if (name, method, predictor) in HIGHER:
            continue
        ours = metaan.egger(res, model="rma", predictor=predictor, **of_size(cell, predictor))
        tolerance = ITERATED if method in ("REML", "ML", "PM") else CLOSED
        assert not compare(ours, theirs, unit, tolerance), predictor


@pytest.mark.parametrize(("name", "method", "predictor"), HIGHER)
def test_the_higher_of_two_maxima(name, method, predictor):
    cell = CELLS[name]
    theirs = cell["rma"][method]["z"][predictor]["tau2"]
    y, v, n = (np.array(cell[column]) for column in ("yi", "vi", "ni"))
    res = metaan.pool(effects(cell), method=method)
    ours = metaan.egger(res, model="rma", predictor=predictor, **of_size(cell, predictor)).values["tau2"]
    data = Design(y, v, np.column_stack([np.ones_like(v), v if predictor == "vi" else 1 / n]))
    high, low = (float(log_likelihood(data, t, restricted=False)) for t in (ours, theirs))
    assert high > low + 1


@pytest.mark.parametrize("name", CELLS)
def test_rank_correlation(name):
    cell = CELLS[name]
    ours = metaan.begg(metaan.pool(effects(cell)))
    assert ours.statistic == pytest.approx(cell["begg"]["statistic"], rel=1e-12)
    assert ours.pvalue == pytest.approx(cell["begg"]["pvalue"], rel=1e-9)


TWO_ARMS = {
    "peters_OR": ("OR", metaan.peters, {}),
    "peters_RR": ("RR", metaan.peters, {}),
    "harbord_OR": ("OR", metaan.harbord, {}),
    "harbord_RR": ("RR", metaan.harbord, {}),
    "macaskill_pooled": ("OR", metaan.macaskill, {}),
    "macaskill_inverse": ("OR", metaan.macaskill, {"weights": "inverse"}),
    "deeks": ("OR", metaan.deeks, {}),
    "arcsine_lm": ("OR", metaan.thompson_arcsine, {"model": "lm"}),
    "arcsine_rma": ("OR", metaan.thompson_arcsine, {}),
}


@pytest.mark.parametrize(("name", "test"), list(itertools.product(ARMS, TWO_ARMS)))
def test_two_arms(name, test):
    cell, (measure, function, options) = ARMS[name], TWO_ARMS[test]
    res = metaan.pool(metaan.effect_size(measure, **{column: cell[column] for column in COUNTS}))
    n1, n2 = np.array(cell["total_t"]), np.array(cell["total_c"])
    unit = float(np.mean((1 / n1 + 1 / n2) / 4))
    assert not compare(function(res, **options), cell["tests"][test], unit, CLOSED)


def test_standardised_differences():
    columns = {name: MEANS[name] for name in MEANS if name != "pustejovsky_rodgers"}
    res = metaan.pool(metaan.effect_size("SMD", **columns))
    assert not compare(metaan.pustejovsky_rodgers(res), MEANS["pustejovsky_rodgers"], 1.0, CLOSED)
