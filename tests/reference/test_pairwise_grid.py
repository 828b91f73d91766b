"""effect_size, regress, mantel_haenszel and peto against metafor 3.8-1: every cell of pairwise_grid.json.

README.md in this folder says which cells are exceptions and why.
"""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pandas as pd
import pytest
from helpers.grid import design, differs
from helpers.grid import pairwise as grid
from helpers.grid import values as numbers

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

CLOSED = 1e-10  # relative: formulas
LINEAR = (
    1e-8  # relative: regressions given tau2; metafor inverts x'Wx, which costs digits with a year among the columns
)
ITERATED = 1e-7  # relative: estimators that iterate; metafor stops at a step of 1e-13 sampling variances
ITERATING = ("SJ", "ML", "REML", "EB", "PM", "PMM")
TESTS = ("z", "t", "hk", "hk-adhoc")


EFFECTS = list(grid()["effects"])
REGRESSIONS = list(grid()["regressions"])
STRATIFIED = list(grid()["stratified"])


@pytest.mark.parametrize("name", EFFECTS)
def test_effect_size(name):
    cell = grid()["effects"][name]
    columns = {column: numbers(values) for column, values in cell["columns"].items()}
    yi, vi = numbers(cell["yi"]), numbers(cell["vi"])
    defined = np.isfinite(yi) & np.isfinite(vi) & (vi > 0)
    assert defined.any()
    if not defined.all():
        with pytest.raises(metaan.errors.DataError):
            metaan.effect_size(cell["measure"], **columns, **cell.get("asked", {}))
        if "AV" in name or "HO" in name:
            return  # these variances average over all studies
    kept = {column: values[defined] for column, values in columns.items()}
    asked = cell.get("asked", {})
    if cell["measure"] == "PETO":
        asked = {"correction": "only0"}  # metafor adds 0.5 there by default; README.md
    eff = metaan.effect_size(cell["measure"], **kept, **asked)
    if name.startswith("cohen1981/UCOR"):  # wrong in metafor: test_unbiased_correlation
        yi[5], vi[5] = eff.yi[5], eff.vi[5]
        if name.endswith("AV"):  # every variance has the mean of yi in it
            assert np.abs(vi / eff.vi - 1).max() < 1e-5
            vi = eff.vi
    if name.endswith("SMDH/LS2"):  # depends on the unit in metafor 3.8: test_numerics.py, README.md
        vi = eff.vi
    np.testing.assert_allclose(eff.yi, yi[defined], rtol=CLOSED, atol=1e-13)
    np.testing.assert_allclose(eff.vi, vi[defined], rtol=CLOSED)


def test_unbiased_correlation():
    """n = 12, r = -0.04: gsl's hypergeometric function, which metafor calls, is wrong in the fourth digit."""
    factor = mpmath.hyp2f1("0.5", "0.5", 5, mpmath.mpf(1) - mpmath.mpf("0.04") ** 2)
    eff = metaan.effect_size("UCOR", r=[-0.04, 0.15], n=[12, 1832])
    theirs = numbers(grid()["effects"]["cohen1981/UCOR"]["yi"])[5]
    assert eff.yi[0] == pytest.approx(-0.04 * float(factor), rel=1e-13)
    assert abs(theirs / eff.yi[0] - 1) > 5e-4
    large = mpmath.hyp2f1("0.5", "0.5", 915, 1 - mpmath.mpf("0.15") ** 2)
    assert eff.yi[1] == pytest.approx(0.15 * float(large), rel=1e-13)


def fitted(cell, **options):
    """The same design through a formula."""
    columns, formula = design(cell)
    eff = metaan.effects(numbers(cell["yi"]), numbers(cell["vi"]), data=pd.DataFrame(columns))
    return metaan.regress(eff, formula, **options)


@pytest.mark.parametrize(
    ("name", "method"), list(itertools.product(REGRESSIONS, grid()["regressions"]["tied"]["methods"]))
)
def test_regression(name, method):
    cell = grid()["regressions"][name]
    reference = cell["methods"][method]
    rel = ITERATED if method in ITERATING else LINEAR
    unit = float(np.mean(cell["vi"]))
    for test in TESTS:
        fit = fitted(cell, method=method, test=test)
        theirs = reference["tests"][test]
        se = numbers(theirs["se"])
        assert not differs(fit.tau2, reference["tau2"], rel=rel, floor=1e-10 * unit)
        np.testing.assert_allclose(fit.estimate, numbers(reference["beta"]), rtol=rel, atol=rel * se.max())
        np.testing.assert_allclose(fit.se, se, rtol=rel)
        np.testing.assert_allclose(fit.ci_low, numbers(theirs["low"]), rtol=rel, atol=rel * se.max())
        np.testing.assert_allclose(fit.ci_high, numbers(theirs["high"]), rtol=rel, atol=rel * se.max())
        z = np.abs(fit.statistic)
        np.testing.assert_allclose(fit.pvalue, numbers(theirs["pval"]), rtol=4 * rel * (1 + z.max() ** 2), atol=1e-15)
        assert not differs(fit.QM, theirs["QM"], rel=4 * rel, floor=1e-12)
        assert not differs(fit.QM_pvalue, theirs["QMp"], rel=4 * rel * (1 + fit.QM * fit.QM_df), floor=1e-15)
    assert not differs(fit.QE, cell["QE"], rel=LINEAR)
    assert not differs(fit.QE_pvalue, cell["QEp"], rel=LINEAR * (1 + cell["QE"]), floor=1e-300)
    assert not differs(fit.I2, reference["I2"], rel=rel, floor=1e-8)
    assert not differs(fit.H2, reference["H2"], rel=rel)
    alone = reference["alone"]
    if alone is not None and method != "CE" and alone > 1e-9 * unit:
        expected = 100 * max(0.0, (alone - reference["tau2"]) / alone)
        assert not differs(fit.R2, expected, rel=rel * (1 + 1e4 / max(expected, 1)), floor=1e-5)
    if "loglik" in reference:
        assert not differs(fit.loglik, reference["loglik"], rel=1e-9, floor=1e-9)
    if "leverage" in reference:
        np.testing.assert_allclose(fit.leverage, numbers(reference["leverage"]), rtol=rel)
        np.testing.assert_allclose(fit.blup, numbers(reference["blup"]), rtol=rel, atol=rel * se.max())
    if "QP" in reference and None not in reference["QP"]:
        low, high = metaan.tau2_interval(fit)
        assert not differs(low, reference["QP"][0], rel=ITERATED, floor=1e-9 * unit)
        assert not differs(high, reference["QP"][1], rel=ITERATED)


@pytest.mark.parametrize("name", STRATIFIED)
def test_stratified(name):
    cell = grid()["stratified"][name]
    columns = {column: numbers(values) for column, values in cell["columns"].items()}
    peto = cell["measure"] == "PETO"
    res = metaan.peto(**columns) if peto else metaan.mantel_haenszel(cell["measure"], **columns)
    for ours, theirs in (("estimate", "estimate"), ("se", "se"), ("ci_low", "low"), ("ci_high", "high"), ("Q", "QE")):
        assert not differs(getattr(res, ours), cell[theirs], rel=CLOSED, floor=CLOSED * res.se), ours
    for ours, theirs in ((res.pvalue, "pval"), (res.Q_pvalue, "QEp")):
        assert not differs(ours, cell[theirs], rel=1e-8, floor=1e-15), theirs
    if cell.get("MH") is not None:
        assert not differs(res.association.statistic, cell["MH"], rel=CLOSED)
        assert not differs(res.association.pvalue, cell["MHp"], rel=1e-8)
    if cell["measure"] == "OR":
        for test, at in ((res.breslow_day, "BD"), (res.tarone, "TA")):
            assert not differs(test.statistic, cell[at], rel=1e-8)
            assert not differs(test.pvalue, cell[f"{at}p"], rel=1e-8)


def test_the_grid_is_whole():
    """Every measure of effect_size, every estimator, 25 data sets of metadat and more."""
    from metaan.measures.kinds import MEASURES

    assert {cell["measure"] for cell in grid()["effects"].values()} == set(MEASURES.choices)
    assert {cell["measure"] for cell in grid()["stratified"].values()} == {"OR", "RR", "RD", "IRR", "IRD", "PETO"}
    names = {name.split("/")[0] for part in ("effects", "regressions", "stratified") for name in grid()[part]}
    made_up = {"zeros", "made_up", "tied", "three", "four", "ten", "hundred", "thousand"}
    assert len({name.split("_")[0] for name in names - made_up}) >= 25
    assert max(cell["k"] for cell in grid()["regressions"].values()) == 1000
