"""leave_one_out of regressions equals regress, glmm and multilevel of the studies in each row."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.refits import codes

import metaan
from metaan.core.many_linear import full_rank
from metaan.errors import ConvergenceError, DataError, OptionError
from metaan.models.design import take

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

COEFFICIENTS = ["estimate", "se", "ci_low", "ci_high", "statistic", "pvalue"]
RESIDUAL = ["k", "tau2", "tau", "I2", "H2", "QE", "QE_df", "QE_pvalue"]
METHODS = ["CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM", "DLIT", "SJIT"]


def frame():
    rng = np.random.default_rng(11)
    k = 12
    rows = pd.DataFrame({"v": rng.uniform(0.02, 0.2, k), "year": rng.integers(1990, 2015, k)})
    rows["y"] = 0.02 * (rows.year - 2000) + rng.normal(0, np.sqrt(rows.v + 0.06))
    rows["drug"] = list("aaabbbabbbac")
    rows["centre"] = ["p", "p", "q", "q", "q", "r", "r", "s", "s", "s", "t", "t"]
    rows["n"] = rng.integers(20, 60, k)
    rows["x"] = rng.binomial(rows.n, 1 / (1 + np.exp(-rows.y)))
    return rows


@pytest.fixture(scope="module")
def rows():
    return frame()


def effects(rows):
    return metaan.effects("y", "v", data=rows)


def same(part, fit, tolerance):
    """The rows of one refit, a row for each coefficient, against a fit."""
    assert list(part.term) == list(fit.names)
    for name in COEFFICIENTS:
        np.testing.assert_allclose(part[name], getattr(fit, name), rtol=tolerance, atol=tolerance * 1e-3)
    for name in RESIDUAL:
        np.testing.assert_allclose(part[name], getattr(fit, name), rtol=tolerance, atol=tolerance * 1e-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("test", ["hk", "z", "t", "hk-adhoc", "kr"])
def test_rows_are_regressions_of_the_other_studies(rows, method, test):
    if test == "kr" and method != "REML":
        return
    fit = metaan.regress(effects(rows), "~ year", method=method, test=test, level=0.9)
    table = metaan.leave_one_out(fit)
    assert list(table.study) == [study for study in fit.effects.study for _ in fit.names]
    for i, study in enumerate(fit.effects.study):
        alone = metaan.regress(take(effects(rows), np.arange(12) != i), "~ year", method=method, test=test, level=0.9)
        same(table.iloc[2 * i : 2 * i + 2], alone, 1e-7)
        told = {note.code for note in alone.notes} & {"tau2-zero", "hk-narrow", "hk-common", "identical"}
        assert codes(table, study) == told


def test_clusters_of_a_regression(rows):
    fit = metaan.regress(effects(rows), "~ year")
    table = metaan.leave_one_out(fit, by="centre")
    assert list(table.cluster) == [name for name in "pqrst" for _ in range(2)]
    assert list(table.left_out[::2]) == [2, 3, 2, 3, 2]
    for name, part in table.groupby("cluster"):
        same(part, metaan.regress(take(effects(rows), rows.centre.to_numpy() != name), "~ year"), 1e-7)


def test_a_category_that_only_one_study_has(rows):
    fit = metaan.regress(effects(rows), "~ C(drug)")
    table = metaan.leave_one_out(fit)
    empty = table[table.study == "12"]
    assert empty[[*COEFFICIENTS, "tau2", "QE"]].isna().all(axis=None)
    assert list(empty.k) == [11] * 3
    assert table[table.study != "12"].estimate.notna().all()
    note = next(note for note in table.attrs["notes"] if note.code == "undefined")
    assert note.studies == ("12",)
    assert "'12'" in note.text


def test_too_few_studies_are_an_empty_row():
    rows = pd.DataFrame({"y": [0.1, 0.4, 0.3], "v": [0.02, 0.03, 0.02], "z": [1, 2, 4]})
    table = metaan.leave_one_out(metaan.regress(metaan.effects("y", "v", data=rows), "~ z"))
    assert table.estimate.isna().all()
    assert table.attrs["notes"][0].text.startswith("In every row: no estimate")


def test_effects_on_the_line_without_one_study():
    rows = pd.DataFrame({"z": [1.0, 2, 3, 4, 5], "y": [0.1, 0.2, 0.3, 0.4, 0.9], "v": [0.02] * 5})
    table = metaan.leave_one_out(metaan.regress(metaan.effects("y", "v", data=rows), "~ z"))
    assert "identical" in codes(table, "5")
    assert (table[table.study == "5"].se == 0).all()


def test_kenward_roger_without_degrees_of_freedom():
    rows = pd.DataFrame(
        {
            "z": [1, 0, 1, 1, 0, 0],
            "y": [-0.6, 0.0, -2.3, -0.2, -1.2, -0.7],
            "v": [0.758, 2.996, 0.0436, 0.238, 0.0183, 4.078],
        }
    )
    eff = metaan.effects("y", "v", data=rows)
    table = metaan.leave_one_out(metaan.regress(eff, "~ z", test="kr"))
    for i in range(6):
        part, others = table.iloc[2 * i : 2 * i + 2], take(eff, np.arange(6) != i)
        if i in (2, 3):
            with pytest.raises(OptionError, match="degrees of freedom"):
                metaan.regress(others, "~ z", test="kr")
            assert "no-df" in codes(table, str(i + 1))
            assert part.se.isna().any()
            assert part.estimate.notna().all()
        else:
            same(part, metaan.regress(others, "~ z", test="kr"), 1e-7)
            assert "no-df" not in codes(table, str(i + 1))


@pytest.mark.parametrize("how", [{"test": "t"}, {"test": "z", "ci": "profile"}])
def test_rows_are_glmms_with_moderators(rows, how):
    fit = metaan.glmm("PLO", rows, events="x", total="n", formula="~ year", **how)
    table = metaan.leave_one_out(fit, by="centre")
    for name, part in table.groupby("cluster"):
        alone = metaan.glmm("PLO", rows[rows.centre != name], events="x", total="n", formula="~ year", **how)
        same(part, alone, 1e-6)
        assert list(part.loglik) == pytest.approx([alone.loglik] * 2, rel=1e-9)


def test_a_glmm_whose_coefficient_has_no_finite_estimate(rows, monkeypatch):
    fit = metaan.glmm("PLO", rows, events="x", total="n", formula="~ year")

    def fails(spec, eff, design):
        raise ConvergenceError("no finite estimate")

    monkeypatch.setattr("metaan.analysis.refits_terms.glmm_regression", fails)
    table = metaan.leave_one_out(fit)
    assert table.estimate.isna().all()
    assert {note.code for note in table.attrs["notes"]} == {"no-maximum"}


@pytest.mark.parametrize(
    ("random", "formula", "method", "test"),
    [
        ("centre/estimate", "~ 1", "REML", "contain"),
        ("centre/estimate", "~ year", "ML", "t"),
        ("centre", "~ year", "REML", "z"),
    ],
)
def test_rows_are_multilevel_models_of_the_other_estimates(rows, random, formula, method, test):
    fit = metaan.multilevel(effects(rows), random, formula=formula, method=method, test=test)
    clusters = metaan.leave_one_out(fit, by="centre")
    parts = [(part, rows.centre.to_numpy() != name) for name, part in clusters.groupby("cluster")]
    if random == "centre":  # the model whose search is short
        table = metaan.leave_one_out(fit)
        parts += [(table[table.study == str(i + 1)], np.arange(12) != i) for i in range(12)]
    for part, keep in parts:
        alone = metaan.multilevel(take(effects(rows), keep), random, formula=formula, method=method, test=test)
        same(part, alone, 1e-6)
        for name, value in zip(alone.levels, alone.sigma2, strict=True):
            assert part[f"sigma2_{name}"].iloc[0] == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert part.loglik.iloc[0] == pytest.approx(alone.loglik, rel=1e-9)


def test_correlated_errors(rows):
    eff = effects(rows)
    v = metaan.sampling_covariance(eff, "centre", correlation=0.4)
    fit = metaan.multilevel(eff, "centre/estimate", vcov=v)
    table = metaan.leave_one_out(fit, by="centre")
    keep = rows.centre.to_numpy() != "q"
    alone = metaan.multilevel(take(eff, keep), "centre/estimate", vcov=v[np.ix_(keep, keep)])
    same(table[table.cluster == "q"], alone, 1e-6)


def test_levels_that_become_the_same():
    rows = pd.DataFrame({"y": [0.1, 0.4, 0.3, 0.8], "v": [0.02] * 4, "g": list("aabc")})
    fit = metaan.multilevel(metaan.effects("y", "v", data=rows), "g/estimate")
    table = metaan.leave_one_out(fit)
    assert list(table.estimate.isna()) == [True, True, False, False]
    with pytest.raises(DataError, match="same"):
        metaan.multilevel(take(fit.effects, np.array([False, True, True, True])), "g/estimate")
    assert codes(table, "1") == codes(table, "2") == {"undefined"}


def test_robust_regressions_are_refused(rows):
    fit = metaan.robust(metaan.regress(effects(rows), "~ year"), cluster="centre")
    with pytest.raises(OptionError, match="before robust"):
        metaan.leave_one_out(fit)


def test_rank():
    x = np.ones((3, 5, 2))
    x[0, :, 1] = np.arange(5)
    x[1, :, 1] = 2000 + np.arange(5) * 1e-3
    assert list(full_rank(x)) == [True, True, False]
    assert not math.isnan(full_rank(np.zeros((4, 2))).sum())
