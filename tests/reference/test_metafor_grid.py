"""pool and tau2_interval against metafor 3.8-1 at tight control, every cell of the grid.

First given the reference tau2, so that an error in the estimator cannot hide one in what follows from it; then end
to end. README.md in this folder says which cells are exceptions and why.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from helpers.grid import cells, differs, unit, weights

import metaan
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import TESTS, log_pvalue, pieces, quantile
from metaan.core.wls import arrange

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

CELLS = list(cells())
METHODS = list(cells()["dataset_a/PR"]["methods"])
GIVEN = 1e-11  # relative, at the reference tau2
END = 1e-9  # relative, end to end
# metafor stops its iterations at a step of 1e-14 typical variances; a tau2 on its way to 0 is left there.
ZERO = 1e-11  # typical variances


def ours(name, cell, *, method="REML", test="z", level=0.95, pi="z"):
    measure = name.split("/")[1]
    eff = metaan.effects(cell["yi"], cell["vi"], measure="GEN" if measure == "PFT" else measure)
    return metaan.pool(eff, method=method.split("-")[0], test=test, level=level, pi=pi, weights=weights(cell, method))


def columns(se, statistic, log_p, low, high, low90, high90):
    names = ("se", "statistic", "log p", "low", "high", "low90", "high90")
    return dict(zip(names, (se, statistic, log_p, low, high, low90, high90), strict=True))


def row_differs(got, reference, *, rel):
    """Names of the columns that differ; limits and estimates count in standard errors where they are near 0."""
    se, statistic, p, *limits = reference
    theirs = columns(se, statistic, math.log(p) if p else None, *limits)
    bad = []
    for name, value in theirs.items():
        if name == "log p":
            # log p moves with the square of the statistic; p = 0 in the file has underflowed there.
            wrong = value is not None and differs(
                got[name], value, rel=rel, floor=4 * rel * (1 + (statistic or 0) ** 2)
            )
        elif name == "statistic":
            wrong = differs(got[name], value, rel=rel, floor=rel)
        elif name == "se":
            wrong = differs(got[name], value, rel=rel, floor=1e-9 * abs(limits[0]) if se == 0 else 0)
        else:
            wrong = differs(got[name], value, rel=rel, floor=rel * se)
        if wrong:
            bad.append((name, got[name], value))
    return bad


@pytest.mark.parametrize("name", CELLS)
def test_given_tau2(name):
    cell = cells()[name]
    data = arrange(np.array([cell["yi"]]), np.array([cell["vi"]]))
    typical = cochran(data).typical
    for method, fit in cell["methods"].items():
        a, tau2 = weights(cell, method), np.array([fit["tau2"]])
        p = pieces(data, tau2, None if a is None else a[:, None])
        mu = float(p.mu[0])
        assert not differs(mu, fit["estimate"], rel=GIVEN, floor=GIVEN * fit["tests"]["z"][0]), method
        for test, reference in fit["tests"].items():
            if name.startswith("identical/") and test == "hk":
                continue  # residuals are rounding errors there: see test_identical_effects
            mean = TESTS[test](data, p)
            se, df = math.sqrt(float(mean.variance[0])), mean.df
            half = [float(np.ravel(quantile(df, level))[0]) * se for level in (0.95, 0.90)]
            log_p = float(np.ravel(log_pvalue(np.array([mu / se]), df))[0])
            got = columns(se, mu / se, log_p, mu - half[0], mu + half[0], mu - half[1], mu + half[1])
            assert not row_differs(got, reference, rel=GIVEN), (method, test)
        if method != "CE":
            i2, h2 = i2_h2(tau2, typical)
            assert not differs(float(i2[0]), fit["I2"], rel=GIVEN), method
            assert not differs(float(h2[0]), fit["H2"], rel=GIVEN), method


@pytest.mark.parametrize(("name", "method"), list(itertools.product(CELLS, METHODS)))
def test_end_to_end(name, method):
    cell = cells()[name]
    fit = cell["methods"][method]
    zero = ZERO * unit(cell)
    for test, reference in fit["tests"].items():
        res, res90 = (ours(name, cell, method=method, test=test, level=level) for level in (0.95, 0.90))
        if test == "z":
            assert not differs(res.tau2, fit["tau2"], rel=END, floor=zero)
            assert not differs(res.estimate, fit["estimate"], rel=END, floor=END * res.se)
            assert not differs(res.I2, fit["I2"], rel=END, floor=100 * ZERO)
            assert not differs(res.H2, fit["H2"], rel=END, floor=ZERO)
            assert not differs(res.Q, cell["Q"], rel=END, floor=1e-12)
            assert not differs(res.Q_pvalue, cell["Q_pvalue"], rel=END, floor=1e-300)
            if "weights" in fit:
                np.testing.assert_allclose(res.weights, fit["weights"], rtol=END)
            if "blup" in fit:
                np.testing.assert_allclose(res.blup, fit["blup"], rtol=END, atol=END * res.se)
                np.testing.assert_allclose(res.blup_se, fit["blup_se"], rtol=END, atol=math.sqrt(zero) * 1e-2)
        if name.startswith("identical/") and test == "hk":
            continue
        got = columns(res.se, res.statistic, res.log_pvalue, res.ci_low, res.ci_high, res90.ci_low, res90.ci_high)
        assert not row_differs(got, reference, rel=END), test


@pytest.mark.parametrize("name", CELLS)
def test_prediction_intervals(name):
    cell = cells()[name]
    for method, fit in cell["methods"].items():
        if method == "CE" or cell["k"] < 3:
            continue
        for kind, limits in fit["pi"].items():
            if name.startswith("identical/") and kind == "hk":
                continue
            res = ours(name, cell, method=method, pi=kind)
            width = limits[1] - limits[0]
            floor = END * width + math.sqrt(ZERO * unit(cell)) * (fit["tau2"] < 1e-8 * unit(cell))
            assert not differs(res.pi_low, limits[0], rel=END, floor=floor), (method, kind)
            assert not differs(res.pi_high, limits[1], rel=END, floor=floor), (method, kind)


@pytest.mark.parametrize("name", CELLS)
def test_q_profile(name):
    cell = cells()[name]
    typical = float(cochran(arrange(np.array([cell["yi"]]), np.array([cell["vi"]]))).typical[0])
    for level, key in ((0.95, "QP"), (0.90, "QP90")):
        low, high = metaan.tau2_interval(ours(name, cell, level=level), method="QP")
        got = [low, high, *(100 * t / (t + typical) for t in (low, high)), *(1 + t / typical for t in (low, high))]
        for value, reference in zip(got, cell[key], strict=True):
            assert not differs(value, reference, rel=END, floor=ZERO * unit(cell))


@pytest.mark.parametrize("name", CELLS)
def test_profile_likelihood(name):
    cell = cells()[name]
    for method in ("ML", "REML"):
        low, high = metaan.tau2_interval(ours(name, cell, method=method), method="PL")
        reference = cell["methods"][method]["PL"]
        assert not differs(low, reference[0], rel=END, floor=ZERO * unit(cell)), method
        assert not differs(high, reference[1], rel=END, floor=ZERO * unit(cell)), method


@pytest.mark.parametrize("name", CELLS)
def test_the_highest_maximum_is_taken(name):
    """Log-likelihood at our tau2 is never below metafor's, and the local maxima that the scan in R found are
    counted.
    """
    cell = cells()[name]
    y, v = np.array(cell["yi"]), np.array(cell["vi"])
    for method in ("ML", "REML"):
        res, fit = ours(name, cell, method=method), cell["methods"][method]
        w = 1 / (v + res.tau2)
        mu = float(w @ y / w.sum())
        k = len(y) - (method == "REML")
        value = -0.5 * (k * math.log(2 * math.pi) + np.log(v + res.tau2).sum() + float(w @ (y - mu) ** 2))
        value -= 0.5 * math.log(w.sum() / len(y)) * (method == "REML")  # metafor adds log(k)/2 to the restricted one
        assert value >= fit["loglik"] - 1e-12 * abs(fit["loglik"])
        assert res.convergence.maxima == len(fit["peaks"])


@pytest.mark.parametrize("name", [name for name in CELLS if "events" in cells()[name]])
def test_effect_sizes(name):
    cell = cells()[name]
    measure = name.split("/")[1]
    eff = metaan.effect_size(measure, events=cell["events"], total=cell["total"], correction="only0")
    np.testing.assert_allclose(eff.yi, cell["yi"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(eff.vi, cell["vi"], rtol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_iterated_estimators_equal_paule_mandel(name):
    """The fixed points of DLIT and SJIT and the EB equation all read Q(tau2) = k - 1; see README.md for DLIT in
    metafor.
    """
    cell = cells()[name]
    reference = cell["methods"]["PM"]["tau2"]
    for method in ("DLIT", "SJIT", "EB"):
        assert not differs(ours(name, cell, method=method).tau2, reference, rel=END, floor=ZERO * unit(cell)), method


@pytest.mark.parametrize("name", [name for name in CELLS if name.startswith("identical/")])
def test_identical_effects(name):
    """Equal rates: residuals are rounding errors (metafor sets those below 2e-16 to 0), so Hartung-Knapp gives a
    point.
    """
    res = ours(name, cells()[name], test="hk")
    if name.endswith("PFT"):
        assert (
            0 < res.se < 0.1 * ours(name, cells()[name]).se
        )  # the transformation depends on n: nearly, not quite equal
    else:
        assert res.se <= 1e-12
        assert res.ci_low == pytest.approx(res.estimate, abs=1e-11)
