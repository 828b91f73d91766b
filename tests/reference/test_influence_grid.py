"""influence, baujat, radial and QQ data against metafor 3.8-1: regressions, tables, multilevel models.

Regressions iterate tau2 to 1e-13 typical variances or less tightly, multilevel models as tightly as every refit allows
(`control` in the file). Tolerance 1e-6; a number near 0 counts in its natural unit. Peto: with ``add = 0``, since
metafor otherwise adds 0.5 to the cells of the single trials, and shows other effects than it pools.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.grid import design, values

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "influence_grid.json").read_text())
METHODS, TESTS = ("REML", "DL"), ("z", "hk")
CELLS = list(itertools.product(GRID["regressions"], METHODS, TESTS))
DIAGNOSTICS = {
    "rstudent": "rstudent", "dffits": "dffits", "cook.d": "cooks_d", "cov.r": "cov_ratio", "tau2.del": "tau2_del",
    "QE.del": "q_del", "hat": "hat", "weight": "weight",
}  # fmt: skip
REL = 1e-6


def close(ours, theirs, unit=1.0, rel=REL):
    np.testing.assert_allclose(np.asarray(ours, dtype=float), values(theirs), rtol=rel, atol=rel * unit)


def regression(name, method, test):
    cell = GRID["regressions"][name]
    columns, formula = design(cell)
    eff = metaan.effects(cell["yi"], cell["vi"], data=pd.DataFrame(columns))
    return cell, metaan.regress(eff, formula, method=method, test=test, pi="none"), cell["methods"][method][test]


def pooled(name, method, test):
    cell = GRID["regressions"][name]
    res = metaan.pool(metaan.effects(cell["yi"], cell["vi"]), method=method, test=test, pi="none")
    return res, cell["pooled"][method][test]


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert len(GRID["regressions"]) >= 16
    assert len(GRID["tables"]) + len(GRID["person_time"]) == 12
    assert len(GRID["nested"]) == 5
    for name, method, test in CELLS:
        cell = GRID["regressions"][name]
        made = cell["methods"][method][test]
        assert all(len(made["influence"][column]) == len(cell["yi"]) for column in DIAGNOSTICS)
        assert len(made["dfbs"]) == len(cell["X"])
        assert set(cell["pooled"][method][test]) == {"baujat", "rstandard", "radial", "qq"}


@pytest.mark.parametrize(("name", "method", "test"), CELLS)
def test_regression(name, method, test):
    cell, fit, theirs = regression(name, method, test)
    table = metaan.influence(fit)
    unit = {"tau2_del": np.mean(cell["vi"]), "weight": 100.0}
    for column, own in DIAGNOSTICS.items():
        close(table[own], theirs["influence"][column], unit.get(own, 1.0))
    for term, dfbetas in zip(fit.names, theirs["dfbs"], strict=True):
        close(table[f"dfbetas_{term}"], dfbetas)
    assert list(table.influential) == theirs["influence"]["influential"]
    points = metaan.baujat(fit)
    close(points.x, theirs["baujat"]["x"])
    close(points.y, theirs["baujat"]["y"])
    standardised = metaan.qq_data(fit, kind="standardised", envelope="none")["sample"]
    close(standardised, sorted(theirs["rstandard"]))


@pytest.mark.parametrize(("name", "method", "test"), CELLS)
def test_pooled(name, method, test):
    res, theirs = pooled(name, method, test)
    points = metaan.baujat(res)
    close(points.x, theirs["baujat"]["x"])
    close(points.y, theirs["baujat"]["y"])
    around = metaan.radial_data(res)
    close(around.x, theirs["radial"]["x"])
    close(around.z, theirs["radial"]["z"])
    quantiles = metaan.qq_data(res, kind="standardised", envelope="none")
    close(quantiles["sample"], sorted(theirs["rstandard"]))
    close(quantiles.theoretical, sorted(theirs["qq"]["x"]))
    close(quantiles["sample"], sorted(theirs["qq"]["y"]))


TABLES = [(name, measure) for name in GRID["tables"] for measure in ("OR", "RR", "RD", "PETO")]
TIMES = [(name, measure) for name in GRID["person_time"] for measure in ("IRR", "IRD")]


@pytest.mark.parametrize(("name", "measure"), TABLES + TIMES)
def test_tables(name, measure):
    cell = (GRID["tables"] | GRID["person_time"])[name]
    columns = {column: np.array(value) for column, value in cell["columns"].items()}
    res = metaan.peto(**columns) if measure == "PETO" else metaan.mantel_haenszel(measure, **columns)
    table, points, theirs = metaan.influence(res), metaan.baujat(res), cell[measure]
    x, y = values(theirs["x"]), values(theirs["y"])
    shown = ~np.isnan(x)  # metafor gives no effect to a trial without events
    here = shown if measure in ("RD", "IRD") else np.ones(res.k, dtype=bool)
    close(points.x[here], list(x[shown]))
    close(points.y[here], list(y[shown]))
    close(table.rstudent[here], theirs["z"])
    moved = values(theirs["y"]) if measure in ("RD", "IRD") else y[shown]
    close(table.cooks_d / table.cov_ratio, list(moved))


def multilevel(name):
    cell = GRID["nested"][name]
    columns, formula = design(cell)
    levels = cell["levels"]
    rows = pd.DataFrame(columns | {f"level{i}": group for i, group in enumerate(cell["groups"])})
    eff = metaan.effects(cell["yi"], cell["vi"], data=rows)
    vcov = None if cell["V"] is None else np.array(cell["V"])
    random = "/".join(f"level{i}" for i in range(len(levels)))
    return cell, metaan.multilevel(eff, random, formula=formula, test="z", vcov=vcov)


SLOW = ("bornmann2007_type", "konstantopoulos2011", "konstantopoulos2011_year")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in GRID["nested"]])
def test_multilevel_by_estimate(name):
    cell, fit = multilevel(name)
    table, theirs = metaan.influence(fit), cell["estimates"]
    close(table.rstudent, theirs["z"])
    close(table.cooks_d, theirs["cook"])
    for term, dfbetas in zip(fit.names, theirs["dfbs"], strict=True):
        close(table[f"dfbetas_{term}"], dfbetas)


@pytest.mark.parametrize("name", GRID["nested"])
def test_multilevel_by_cluster(name):
    cell, fit = multilevel(name)
    table, theirs = metaan.influence(fit, by="level0"), cell["clusters"]
    at = [list(table.cluster).index(label) for label in theirs["labels"]]
    close(table.statistic.to_numpy()[at], theirs["X2"])
    close(table.attrs["rstudent"], theirs["z"])
    close(table.cooks_d.to_numpy()[at], theirs["cook"])
    for term, dfbetas in zip(fit.names, theirs["dfbs"], strict=True):
        close(table[f"dfbetas_{term}"].to_numpy()[at], dfbetas)
