"""Deletion diagnostics of regressions, multilevel models, tables and beta-binomial models, refit by refit."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import betabinom, chi2

import metaan
from metaan.core.count_scores import beta_scores
from metaan.errors import InputError, OptionError
from metaan.models.design import take
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

ROWS = pd.DataFrame(
    {
        "y": [0.1, 0.12, 0.4, 0.15, 1.9, 0.11, 0.6, 0.3], "v": [0.02, 0.03, 0.02, 0.04, 0.03, 0.05, 0.01, 0.02],
        "year": [1990, 1995, 2001, 2004, 2010, 2012, 2013, 2020], "kind": list("aabbabab"),
    }
)  # fmt: skip
EFF = metaan.effects("y", "v", data=ROWS)


def parts(y, v, x, tau2, test):
    """Coefficients, covariance, factor and (X'WX)^-1 at tau2, by plain algebra."""
    w = 1 / (v + tau2)
    usual = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = usual @ x.T @ (w * y)
    q = float(w @ (y - x @ beta) ** 2) / (len(y) - x.shape[1])
    factor = {"hk": q, "hk-adhoc": max(q, 1.0)}.get(test, 1.0)
    return beta, factor * usual, factor


@pytest.mark.parametrize("method", ["REML", "DL", "PM", "CE"])
@pytest.mark.parametrize("test", ["z", "hk", "hk-adhoc"])
def test_regression(method, test):
    fit = metaan.regress(EFF, "~ year + kind", method=method, test=test)
    table, points = metaan.influence(fit), metaan.baujat(fit)
    y, v, x = EFF.yi, EFF.vi, fit.moderators.matrix
    k, p = x.shape
    for i in range(k):
        keep = np.arange(k) != i
        one = metaan.regress(take(EFF, keep), "~ year + kind", method=method, test=test)
        beta, cov, factor = parts(y[keep], v[keep], x[keep], one.tau2, test)
        every = np.linalg.inv(x.T @ ((1 / (v + one.tau2))[:, None] * x))
        own, d = factor * (v[i] + one.tau2), fit.estimate - beta
        spread = float(x[i] @ cov @ x[i])
        expected = {
            "rstudent": (y[i] - x[i] @ beta) / math.sqrt(own + spread),
            "dffits": x[i] @ d / math.sqrt(fit.leverage[i] * own),
            "cooks_d": d @ np.linalg.solve(fit.cov, d),
            "cov_ratio": np.linalg.det(cov) / np.linalg.det(fit.cov),
            "tau2_del": one.tau2, "q_del": one.QE, "hat": fit.leverage[i], "weight": fit.weights[i],
        }  # fmt: skip
        expected |= {
            f"dfbetas_{name}": d[j] / math.sqrt(factor * every[j, j]) for j, name in enumerate(fit.names)
        }  # fmt: skip
        for name, value in expected.items():
            assert table[name][i] == pytest.approx(value, rel=1e-6, abs=1e-8), name
        assert points.y[i] == pytest.approx((x[i] @ d) ** 2 / spread, rel=1e-6, abs=1e-10)
    moved = table[[f"dfbetas_{name}" for name in fit.names]].abs() > 1
    rule = (table.dffits.abs() > 3 * math.sqrt(p / (k - p))) | (chi2.cdf(table.cooks_d, p) > 0.5)
    assert list(table.influential) == list(rule | (table.hat > 3 * p / k) | moved.any(axis=1))


def test_kenward_roger():
    fit = metaan.regress(EFF, "~ year", test="kr")
    table = metaan.influence(fit)
    for i in (0, 4):
        one = metaan.regress(take(EFF, np.arange(8) != i), "~ year", test="kr")
        x = fit.moderators.matrix[i]
        spread = EFF.vi[i] + one.tau2 + x @ one.cov @ x
        assert table.rstudent[i] == pytest.approx((EFF.yi[i] - x @ one.estimate) / math.sqrt(spread), rel=1e-8)
        assert table.cov_ratio[i] == pytest.approx(np.linalg.det(one.cov) / np.linalg.det(fit.cov), rel=1e-7)


@pytest.mark.parametrize("test", ["z", "hk", "kr"])
def test_a_regression_on_nothing_is_pooling(test):
    one, other = metaan.influence(metaan.pool(EFF, test=test)), metaan.influence(metaan.regress(EFF, "~ 1", test=test))
    for name in one.columns.drop(["study", "dfbetas", "influential"]):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(other.dfbetas_Intercept, one.dfbetas, rtol=1e-8)
    assert list(one.influential) == list(other.influential)


def test_a_study_that_holds_a_coefficient_alone():
    rows = ROWS.assign(kind=list("aabbaabc"))
    table = metaan.influence(metaan.regress(metaan.effects("y", "v", data=rows), "~ kind"))
    assert table.loc[7, ["rstudent", "dffits", "cooks_d", "cov_ratio", "tau2_del", "q_del"]].isna().all()
    assert table.hat[7] == pytest.approx(1)
    assert table.loc[:6, "rstudent"].notna().all()
    (note,) = (note for note in table.attrs["notes"] if note.code == "undefined")
    assert note.studies == ("8",)


def test_effects_exactly_on_the_regression():
    rows = ROWS.assign(y=0.1 * (ROWS.year - 1990))
    table = metaan.influence(metaan.regress(metaan.effects("y", "v", data=rows), "~ year"))
    assert not table.influential.any()
    assert not np.isinf(table.rstudent).any()
    flat = metaan.influence(metaan.pool(metaan.effects([0.1] * 7, [0.1, 0.2, 0.3, 0.1, 0.1, 0.3, 0.7])))
    assert not np.isinf(flat.rstudent).any()
    assert not flat.influential.any()


NESTED = metaan.effects(
    [0.1, 0.3, 0.25, 0.9, 0.7, 0.2, -0.1, 0.0, 0.5], [0.02, 0.03, 0.02, 0.04, 0.03, 0.05, 0.01, 0.02, 0.03],
    data=pd.DataFrame({"centre": list("AAABBCCDD"), "x": [1, 2, 5, 3, 1, 2, 4, 6, 5]}),
)  # fmt: skip


def marginal(fit, v):
    centre = np.array(list("AAABBCCDD"))
    return v + fit.sigma2[0] * (centre[:, None] == centre) + fit.sigma2[1] * np.eye(9)


@pytest.mark.parametrize(("formula", "correlated"), [("~ 1", False), ("~ x", True)])
def test_multilevel(formula, correlated):
    vcov = metaan.sampling_covariance(NESTED, "centre", correlation=0.4) if correlated else None
    fit = metaan.multilevel(NESTED, "centre/estimate", formula=formula, vcov=vcov)
    v = np.diag(NESTED.vi) if vcov is None else vcov
    by_one, by_centre = metaan.influence(fit), metaan.influence(fit, by="centre")
    x, y = fit.moderators.matrix, NESTED.yi
    centre = np.array(list("AAABBCCDD"))
    sets = [(by_one, i, np.arange(9) == i) for i in (0, 4)]
    sets += [(by_centre, i, centre == name) for i, name in enumerate("ABCD")]
    for table, i, gone in sets:
        kept = vcov[np.ix_(~gone, ~gone)] if correlated else None
        one = metaan.multilevel(take(NESTED, ~gone), "centre/estimate", formula=formula, vcov=kept)
        d, m = fit.estimate - one.estimate, marginal(one, v)
        residual = y[gone] - x[gone] @ one.estimate
        spread = m[np.ix_(gone, gone)] + x[gone] @ one.cov @ x[gone].T
        every = np.linalg.inv(x.T @ np.linalg.solve(m, x))
        row = table.loc[i]
        assert row.cooks_d == pytest.approx(d @ np.linalg.solve(fit.cov, d), rel=1e-5)
        assert row.cov_ratio == pytest.approx(np.linalg.det(one.cov) / np.linalg.det(fit.cov), rel=1e-5)
        assert row.tau2_del == pytest.approx(one.tau2, rel=1e-5)
        assert row.q_del == pytest.approx(one.QE)
        for j, name in enumerate(fit.names):
            assert row[f"dfbetas_{name}"] == pytest.approx(d[j] / math.sqrt(every[j, j]), rel=1e-5, abs=1e-7)
        if table is by_one:
            assert row.rstudent == pytest.approx(residual[0] / math.sqrt(spread[0, 0]), rel=1e-5)
        else:
            assert row.statistic == pytest.approx(residual @ np.linalg.solve(spread, residual), rel=1e-5)
            assert row.pvalue == pytest.approx(chi2.sf(row.statistic, gone.sum()))
            scaled = residual / np.sqrt(np.diagonal(spread))
            np.testing.assert_allclose(np.array(table.attrs["rstudent"])[gone], scaled, rtol=1e-5)
    np.testing.assert_allclose(by_centre.hat.sum(), len(fit.names))
    np.testing.assert_allclose(by_centre.weight.sum(), 100)


def test_multilevel_of_two_groups_has_none_to_spare():
    eff = take(NESTED, np.arange(5))
    table = metaan.influence(metaan.multilevel(eff, "centre/estimate"), by="centre")
    assert table[["statistic", "cooks_d"]].isna().all(axis=None)
    assert "undefined" in [note.code for note in table.attrs["notes"]]
    assert not table.influential.any()


TABLES = {"events_t": [3, 2, 0, 5], "total_t": [20, 30, 15, 40], "events_c": [1, 5, 2, 3], "total_c": [22, 28, 14, 45]}


def without(columns, i):
    return {name: np.delete(np.array(value), i) for name, value in columns.items()}


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "PETO"])
def test_tables(measure):
    def fit(columns):
        return metaan.peto(**columns) if measure == "PETO" else metaan.mantel_haenszel(measure, **columns)

    res = fit(TABLES)
    table, points = metaan.influence(res), metaan.baujat(res)
    assert not {"dffits", "tau2_del"} & set(table.columns)
    for i in range(4):
        one = fit(without(TABLES, i))
        y, v, moved = res.effects.yi[i], res.effects.vi[i], res.estimate - one.estimate
        assert table.rstudent[i] == pytest.approx((y - one.estimate) / math.sqrt(v + one.se**2))
        assert table.cooks_d[i] == pytest.approx((moved / res.se) ** 2)
        assert table.cov_ratio[i] == pytest.approx((one.se / res.se) ** 2)
        assert table.dfbetas[i] == pytest.approx(moved / res.se)
        assert table.hat[i] == pytest.approx(res.weights[i] / 100)
        assert table.q_del[i] == pytest.approx(one.Q)
        assert points.x[i] == pytest.approx((y - res.estimate) ** 2 / v)
        assert points.y[i] == pytest.approx((moved / one.se) ** 2)


def test_a_trial_without_which_there_is_no_ratio():
    columns = TABLES | {"events_t": [3, 0, 0, 0]}
    table = metaan.influence(metaan.mantel_haenszel("RR", **columns))
    assert math.isnan(table.rstudent[0])
    assert [note.studies for note in table.attrs["notes"]] == [("1",)]


X, N = [0, 3, 1, 4, 2, 3, 9, 25], [20, 44, 28, 30, 51, 30, 40, 40]


def test_beta_binomial():
    res = metaan.beta_binomial(events=X, total=N)
    table, points, without = metaan.influence(res), metaan.baujat(res), metaan.leave_one_out(res)
    m = expit(res.estimate)
    for i in (0, 3, 7):
        row = without.loc[i]
        score = beta_scores(*(np.array([value], dtype=float) for value in (X[i], N[i], row.rho, row.estimate, row.se)))
        assert table.rstudent[i] == pytest.approx(score[0])
        moved, rate = res.estimate - row.estimate, expit(row.estimate)
        own = (1 + (N[i] - 1) * row.rho) / (N[i] * rate * (1 - rate))
        assert table.dffits[i] == pytest.approx(moved / math.sqrt(res.weights[i] / 100 * own))
        assert table.cooks_d[i] == pytest.approx((moved / res.se) ** 2)
        assert table.rho_del[i] == row.rho
        law = betabinom(N[i], res.a, res.b)
        assert points.x[i] == pytest.approx((X[i] - N[i] * m) ** 2 / law.var())
        assert points.y[i] == pytest.approx((moved / row.se) ** 2)
    assert list(table.influential) == [False] * 7 + [True]


def test_beta_binomial_without_an_estimate():
    table = metaan.influence(metaan.beta_binomial(events=[0, 0, 5], total=[10, 12, 9]))
    assert table.rstudent[2] == math.inf
    assert bool(table.influential[2])
    table = metaan.influence(metaan.beta_binomial(events=[0, 0, 0], total=[10, 12, 9]))
    assert table[["rstudent", "cooks_d"]].isna().all(axis=None)
    assert not table.influential.any()


def test_what_is_refused():
    fit = metaan.regress(EFF, "~ year")
    with pytest.raises(OptionError, match="by= is for results of multilevel"):
        metaan.influence(fit, by="kind")
    with pytest.raises(OptionError, match="by= is for results of multilevel"):
        metaan.influence(metaan.pool(EFF), by="kind")
    with pytest.raises(OptionError, match="robust"):
        metaan.influence(metaan.robust(fit, cluster=list("abcdabcd")))
    data = pd.DataFrame({"e": X, "n": N, "x": range(8)})
    with pytest.raises(OptionError, match="leave_one_out"):
        metaan.influence(metaan.glmm("PLO", data, events="e", total="n", formula="~ x"))
    with pytest.raises(OptionError, match="glmm takes the same formula"):
        metaan.influence(metaan.beta_binomial(data, events="e", total="n", formula="~ x"))
    with pytest.raises(InputError, match="two clusters"):
        metaan.influence(metaan.multilevel(NESTED, "centre/estimate"), by=["one"] * 9)


def test_columns_are_in_the_vocabulary():
    results = [
        metaan.regress(EFF, "~ year"), metaan.beta_binomial(events=X, total=N), metaan.peto(**TABLES),
        metaan.multilevel(NESTED, "centre/estimate"),
    ]  # fmt: skip
    tables = [metaan.influence(res) for res in results] + [metaan.influence(results[-1], by="centre")]
    for table in tables:
        own = [name for name in table.columns if not name.startswith(("dfbetas_", "sigma2_"))]
        assert set(own) <= set(COLUMNS)
