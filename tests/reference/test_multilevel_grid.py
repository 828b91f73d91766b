"""multilevel, sigma2_interval and robust against metafor 3.8-1 and clubSandwich: every cell of multilevel_grid.json.

README.md in this folder says which cells are exceptions and why.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.grid import design, differs, nested, values

import metaan

CASES = list(nested()["cases"])
CLOSE = 1e-5  # relative, in units of the total variance or of a standard error: both programs search for a maximum
LINEAR = 1e-4  # where sigma2 of R's search stands in: its error of 1e-5 enters


def effects(cell):
    columns, formula = design(cell)
    rows = pd.DataFrame(columns | dict(zip(cell["levels"], cell["groups"], strict=True)))
    return metaan.effects(values(cell["yi"]), values(cell["vi"]), data=rows), formula


def fitted(cell, **options):
    eff, formula = effects(cell)
    return metaan.multilevel(eff, "/".join(cell["levels"]), formula=formula, **options)


def check(fit, reference):
    total = float(np.sum(values(reference["sigma2"])))
    se = values(reference["se"])
    # the likelihood is what both maximise: ours may be higher by what R's search left
    assert fit.loglik >= reference["loglik"] - 1e-9
    assert fit.loglik == pytest.approx(reference["loglik"], abs=1e-7)
    np.testing.assert_allclose(fit.sigma2, values(reference["sigma2"]), rtol=CLOSE, atol=CLOSE * total)
    np.testing.assert_allclose(fit.estimate, values(reference["beta"]), rtol=CLOSE, atol=CLOSE * se.max())
    np.testing.assert_allclose(fit.se, se, rtol=CLOSE)
    np.testing.assert_allclose(fit.ci_low, values(reference["low"]), rtol=CLOSE, atol=CLOSE * se.max())
    assert not differs(fit.QE, reference["QE"], rel=1e-8)
    if fit.QM_df:
        assert not differs(fit.QM, reference["QM"], rel=LINEAR)


@pytest.mark.parametrize("name", CASES)
def test_likelihood(name):
    cell = nested()["cases"][name]
    check(fitted(cell, test="z"), cell["REML"])
    check(fitted(cell, test="z", method="ML"), cell["ML"])


@pytest.mark.parametrize("name", CASES)
def test_correlated_sampling_errors(name):
    cell = nested()["cases"][name]
    v = metaan.sampling_covariance(effects(cell)[0], cell["levels"][0], correlation=0.6)
    check(fitted(cell, test="z", vcov=v), cell["correlated"])


@pytest.mark.parametrize("name", CASES)
def test_degrees_of_freedom(name):
    cell = nested()["cases"][name]
    contain, residual = fitted(cell), fitted(cell, test="t")
    np.testing.assert_array_equal(contain.df, values(cell["contain"]["df"]))
    for fit, reference in ((contain, cell["contain"]), (residual, cell["residual"])):
        np.testing.assert_allclose(fit.ci_low, values(reference["low"]), rtol=CLOSE, atol=CLOSE * fit.se.max())
        np.testing.assert_allclose(fit.ci_high, values(reference["high"]), rtol=CLOSE, atol=CLOSE * fit.se.max())
    if contain.QM_df:
        assert not differs(contain.QM, cell["contain"]["QM"], rel=LINEAR)
        assert not differs(contain.QM_pvalue, cell["contain"]["QMp"], rel=LINEAR * (1 + contain.QM * contain.QM_df))


@pytest.mark.parametrize("name", CASES)
def test_what_follows(name):
    """Leverages, shrunken effects, random effects of the outermost level."""
    cell = nested()["cases"][name]
    fit = fitted(cell)
    np.testing.assert_allclose(fit.leverage, values(cell["leverage"]), rtol=LINEAR, atol=1e-8)
    np.testing.assert_allclose(fit.blup, values(cell["blup"]), rtol=LINEAR, atol=LINEAR * fit.tau)
    ours = fit.random_effects()
    ours = ours[ours["level"] == cell["levels"][0]].set_index("group")
    for group, estimate, se in zip(*cell["ranef"].values(), strict=True):
        assert not differs(ours.loc[group, "estimate"], estimate, rel=LINEAR, floor=LINEAR * fit.tau)
        assert not differs(ours.loc[group, "se"], se, rel=LINEAR, floor=1e-2 * LINEAR * fit.tau)


@pytest.mark.parametrize("name", [name for name in CASES if "profile" in nested()["cases"][name]])
def test_profile_intervals(name):
    cell = nested()["cases"][name]
    ours = metaan.sigma2_interval(fitted(cell))
    for (_, row), (low, high) in zip(ours.iterrows(), cell["profile"], strict=True):
        stuck = (
            bool(low) and abs(low - 0.1 * row["sigma2"]) < 1e-5 * row["sigma2"]
        )  # at the end of its bracket: README.md
        if low is not None and not stuck:
            assert not differs(row["low"], low, rel=1e-4, floor=1e-5 * ours["sigma2"].sum())
        if high is not None:
            assert not differs(row["high"], high, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if "robust" in nested()["cases"][name]])
def test_robust(name):
    """CR0, CR1 and CR1p are formulas; CR2 is PyMARE's, whose root is another than clubSandwich's: README.md."""
    cell = nested()["cases"][name]
    fit, cluster = fitted(cell), cell["levels"][0]
    for kind in ("CR0", "CR1", "CR1p"):
        np.testing.assert_allclose(
            metaan.robust(fit, cluster, kind=kind).se, values(cell["robust"][kind]["se"]), rtol=LINEAR
        )
    two = metaan.robust(fit, cluster)
    codes = {note.code for note in two.notes}
    known = two.df >= 4
    if "full-leverage" not in codes:
        np.testing.assert_allclose(two.se[known], values(cell["robust"]["CR2"]["se"])[known], rtol=0.016)
        np.testing.assert_allclose(two.df, values(cell["robust"]["CR2"]["df"]), rtol=0.01)
    assert ("robust-few" in codes) == (not known.all())
    f = metaan.robust(fit, cluster, kind="CR1p")
    np.testing.assert_allclose(f.ci_low, values(cell["metafor_robust"]["low"]), rtol=LINEAR, atol=LINEAR * f.se.max())


@pytest.mark.parametrize("name", [name for name in CASES if "equal" in nested()["cases"][name]])
def test_robust_with_equal_weights(name):
    """Where the weights are equal, CR2, its degrees of freedom and Hotelling's test are clubSandwich's."""
    cell = nested()["cases"][name]
    eff, formula = effects(cell)
    even = metaan.effects(eff.yi, np.full(eff.k, cell["equal"]["v"]), data=eff.data)
    fit = metaan.robust(metaan.regress(even, formula, method="CE", test="z"), cell["levels"][0])
    np.testing.assert_allclose(fit.se, values(cell["equal"]["se"]), rtol=1e-7)
    np.testing.assert_allclose(fit.df, values(cell["equal"]["df"]), rtol=1e-6)
    if "HTZ" in cell["equal"]:
        f, df, df2, p = cell["equal"]["HTZ"]
        assert fit.QM_df == df
        for ours, theirs in ((fit.QM, f), (fit.QM_df2, df2), (fit.QM_pvalue, p)):
            assert not differs(ours, theirs, rel=1e-6)


def test_several_cases_have_every_kind_of_reference():
    parts = ("profile", "robust", "equal")
    assert all(sum(part in cell for cell in nested()["cases"].values()) >= 8 for part in parts)
    assert len({name.split("_")[0] for name in CASES}) >= 7
