"""leave_one_out and cumulative of tables, regressions, clusters and multilevel models against metafor 3.8-1.

Tables are compared to 1e-9: both are closed forms. Regressions and clusters to 1e-7, where tau2 iterates to 1e-13
typical variances or less tightly; a number near 0 counts in its natural unit. Where there is no estimate, metafor's Q
of a single trial is 0 and ours NaN, as the rest of the row.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.grid import values

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

GRID = json.loads((Path(__file__).parent / "deletion_grid.json").read_text())
TABLES = list(itertools.product(GRID["tables"], ["OR", "RR", "RD", "PETO"]))
TIMES = list(itertools.product(GRID["times"], ["IRR", "IRD"]))
FITS = list(itertools.product(["REML", "DL", "ML", "PM"], ["z", "hk"]))
COMMON = {
    "estimate": "estimate", "se": "se", "pval": "pvalue", "ci.lb": "ci_low", "Q": "Q", "Qp": "Q_pvalue", "I2": "I2",
}  # fmt: skip
EXACT, REL = 1e-9, 1e-7


def close(ours, theirs, rel, floor=1.0):
    """Whether all numbers agree to rel of theirs plus rel of the floor, NaN with NaN."""
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    return ((np.abs(a - b) <= rel * (np.abs(b) + floor)) | (np.isnan(a) & np.isnan(b))).all()


def test_the_grid_is_whole():
    assert GRID["versions"]["metafor"] == "3.8.1"
    assert len(GRID["tables"]) == 14
    assert len(GRID["times"]) == 3
    assert len(GRID["regressions"]) == 7
    assert len(GRID["clusters"]) == 5
    assert len(GRID["nested"]) == 2
    for kind, measures in (("tables", ["OR", "RR", "RD", "PETO"]), ("times", ["IRR", "IRD"])):
        for cell in GRID[kind].values():
            k = len(cell["data"]["order"])
            for made in (cell["measures"][measure][table] for measure in measures for table in ("leave1out", "cumul")):
                assert all(len(made[name]) == k for name in COMMON)
    for kind in ("regressions", "clusters"):
        for cell in GRID[kind].values():
            rows = len(cell["yi"]) if kind == "regressions" else len(set(cell["cluster"]))
            for method, test in FITS:
                made = cell["refits"][method][test]
                assert len(made["tau2"]) == len(made["QE"]) == rows
                assert len(made["beta"]) == len(made["se"]) == rows * len(cell["X"])


def stratified(cell, measure):
    """The result, the order, and where the trials that say something stand among all."""
    names = {
        "ai": "events_t", "n1i": "total_t", "ci": "events_c", "n2i": "total_c",
        "x1i": "events_t", "t1i": "time_t", "x2i": "events_c", "t2i": "time_c",
    }  # fmt: skip
    given = {names[name]: values(column) for name, column in cell["data"].items() if name != "order"}
    res = metaan.peto(**given) if measure == "PETO" else metaan.mantel_haenszel(measure, **given)
    return res, values(cell["data"]["order"]), np.array([int(study) - 1 for study in res.effects.study])


def compare(table, theirs, rows):
    """Columns that differ, over the rows that have an estimate; the others must be NaN in all of them."""
    known = ~np.isnan(values(theirs["estimate"])[rows])
    empty = table.loc[~known, list(COMMON.values())]
    assert empty.isna().all(axis=None)
    assert (values(theirs["Q"])[rows][~known] == 0).all()
    ours = table[known]
    return [
        name for name, column in COMMON.items() if not close(ours[column], values(theirs[name])[rows][known], EXACT)
    ]


@pytest.mark.parametrize(("name", "measure"), [*TABLES, *TIMES])
def test_trials_left_out(name, measure):
    cell = GRID["times" if measure.startswith("I") else "tables"][name]
    res, _, own = stratified(cell, measure)
    assert not compare(metaan.leave_one_out(res), cell["measures"][measure]["leave1out"], own)


@pytest.mark.parametrize(("name", "measure"), [*TABLES, *TIMES])
def test_trials_added(name, measure):
    cell = GRID["times" if measure.startswith("I") else "tables"][name]
    res, order, own = stratified(cell, measure)
    place = np.argsort(order, kind="stable")  # where each of metafor's rows stands among the trials
    says = np.flatnonzero(np.isin(place, own))
    table = metaan.cumulative(res, order[own])
    assert list(table.study) == [str(place[row] + 1) for row in says]
    assert not compare(table, cell["measures"][measure]["cumul"], says)


def design(cell):
    columns = {f"x{i}": values(column) for i, column in enumerate(cell["X"])}
    eff = metaan.effects(values(cell["yi"]), values(cell["vi"]), data=pd.DataFrame(columns))
    return eff, "~ " + " + ".join(list(columns)[1:])


@pytest.mark.parametrize(("name", "method", "test"), [(name, *how) for name in GRID["regressions"] for how in FITS])
def test_regressions_without_a_study(name, method, test):
    cell = GRID["regressions"][name]
    eff, formula = design(cell)
    table = metaan.leave_one_out(metaan.regress(eff, formula, method=method, test=test))
    theirs, p = cell["refits"][method][test], len(cell["X"])
    # vec() writes a matrix of (p, rows) column by column: the coefficients of one refit after the other
    beta, se, pvalue = (values(theirs[column]).reshape(p, -1).T.ravel() for column in ("beta", "se", "pval"))
    assert close(table.se, se, REL, 0.0)
    assert (np.abs(table.estimate - beta) <= REL * (np.abs(beta) + se)).all()
    assert close(table.pvalue, pvalue, 10 * REL)
    first = table[::p]
    assert close(first.tau2, values(theirs["tau2"]), REL, np.mean(eff.vi))
    assert close(first.QE, values(theirs["QE"]), REL)
    assert close(first.I2, values(theirs["I2"]), REL, 100.0)


@pytest.mark.parametrize(("name", "method", "test"), [(name, *how) for name in GRID["clusters"] for how in FITS])
def test_pools_without_a_cluster(name, method, test):
    cell = GRID["clusters"][name]
    eff = metaan.effects(values(cell["yi"]), values(cell["vi"]))
    table = metaan.leave_one_out(metaan.pool(eff, method=method, test=test), by=cell["cluster"])
    theirs = cell["refits"][method][test]
    se = values(theirs["se"])
    assert list(table.cluster) == list(dict.fromkeys(cell["cluster"]))
    assert close(table.se, se, REL, 0.0)
    assert (np.abs(table.estimate - values(theirs["beta"])) <= REL * (np.abs(values(theirs["beta"])) + se)).all()
    assert close(table.pvalue, values(theirs["pval"]), 10 * REL)
    assert close(table.tau2, values(theirs["tau2"]), REL, np.mean(eff.vi))
    assert close(table.Q, values(theirs["QE"]), REL)
    assert close(table.I2, values(theirs["I2"]), REL, 100.0)


@pytest.mark.parametrize("name", GRID["nested"])
def test_multilevel_models_without_a_cluster(name):
    cell = GRID["nested"][name]
    rows = pd.DataFrame(dict(zip(cell["levels"], cell["groups"], strict=True)))
    eff = metaan.effects(values(cell["yi"]), values(cell["vi"]), data=rows)
    fit = metaan.multilevel(eff, "/".join(cell["levels"]), test="z")
    table = metaan.leave_one_out(fit, by=cell["levels"][0])
    # both search for the maximum: ours may be higher by what R's search left
    assert (table.loglik >= values(cell["loglik"]) - 1e-9).all()
    assert close(table.loglik, values(cell["loglik"]), 1e-7)
    sigma2 = np.array([values(column) for column in cell["sigma2"]])
    for level, column in zip(cell["levels"], sigma2, strict=True):
        assert close(table[f"sigma2_{level}"], column, 1e-5, sigma2.sum(axis=0))
    assert close(table.estimate, values(cell["estimate"]), 1e-5, values(cell["se"]))
    assert close(table.se, values(cell["se"]), 1e-5)
    assert close(table.QE, values(cell["QE"]), 1e-9)


def test_a_number_that_differs_is_seen():
    assert not close([1.0, 2.0], [1.0, 2.001], 1e-6)
    assert not close([math.nan], [1.0], 1e-6)
