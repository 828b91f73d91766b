"""Model criticism: statistics against scipy and definitions, level and power by simulation, refusals."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kurtosis, shapiro, skew

from metaan.analysis.criticism import heteroscedasticity_test, normality_check, predictive_check
from metaan.analysis.criticism_models import fitted_model
from metaan.core.shapiro import moment_ratios, shapiro_wilk
from metaan.errors import InputError, OptionError
from metaan.measures.record import effects
from metaan.models.beta_binomial import beta_binomial
from metaan.models.glmm import glmm
from metaan.models.pool import pool
from metaan.models.regress import regress
from metaan.models.robust import robust
from metaan.names import COLUMNS

RNG = np.random.default_rng(5)
K = 20
V = RNG.uniform(0.01, 0.2, K)
Y = RNG.normal(0.2, np.sqrt(V + 0.05))
ROWS = pd.DataFrame({"x": RNG.normal(size=K), "group": ["a"] * 10 + ["b"] * 10})
EFF = effects(Y, V, data=ROWS)
N = RNG.integers(10, 60, K)
EVENTS = RNG.binomial(N, RNG.beta(1, 6, K))
TIME = RNG.uniform(10, 50, K)


def codes(res):
    return {note.code for note in res.notes}


@pytest.mark.parametrize("k", [3, 4, 5, 6, 7, 11, 40, 300])
def test_shapiro_wilk(k):
    x = np.random.default_rng(k).standard_t(3, (k, 6))
    assert shapiro_wilk(x) == pytest.approx([shapiro(column).statistic for column in x.T], abs=2e-6)
    skewness, fourth = moment_ratios(x)
    assert skewness == pytest.approx(skew(x))
    assert fourth == pytest.approx(kurtosis(x, fisher=False))


@pytest.mark.parametrize("method", ["REML", "DL", "CE", "GENQ"])
def test_residuals_have_variance_one_for_known_tau2(method):
    """Cov(y - share'y) = (I - 1 share') diag(v + tau2) (I - 1 share')'."""
    res = pool(EFF, method=method, weights=np.arange(1.0, K + 1) if method == "GENQ" else None)
    share, own = res.weights / 100, V + res.tau2
    moved = np.eye(K) - share
    spread = np.sqrt(np.diag(moved @ np.diag(own) @ moved.T))
    made = fitted_model(res, "check").residuals(Y[:, None])[:, 0]
    assert made == pytest.approx((Y - share @ Y) / spread, rel=1e-9)


def test_residuals_of_a_regression():
    res = regress(EFF, "~ x")
    made = fitted_model(res, "check").residuals(np.column_stack([Y, 2 * Y]))
    w = 1 / (V + res.tau2)
    assert made[:, 0] == pytest.approx((Y - res.fitted) * np.sqrt(w / (1 - res.leverage)), rel=1e-8)
    alone = fitted_model(regress(EFF, "~ 1"), "check").residuals(Y[:, None])
    assert alone == pytest.approx(fitted_model(pool(EFF), "check").residuals(Y[:, None]), rel=1e-8)


@pytest.mark.parametrize("fit", [glmm, beta_binomial])
def test_residuals_of_counts(fit):
    """Pearson's, with mean and variance over the fitted distribution by simulation."""
    res = fit(events=EVENTS, total=N) if fit is beta_binomial else fit("PLO", events=EVENTS, total=N)
    of = fitted_model(res, "check")
    drawn = of.draw(np.random.default_rng(3), 40_000)
    expected = (EVENTS - drawn.mean(axis=1)) / drawn.std(axis=1)
    assert of.residuals(EVENTS[:, None].astype(float))[:, 0] == pytest.approx(expected, abs=0.06)


def test_residuals_of_rates_over_time():
    res = glmm("IRLN", events=[3, 9, 1, 0, 5, 7, 2, 12], time=[20, 30, 15, 10, 25, 40, 20, 35])
    of = fitted_model(res, "check")
    drawn = of.draw(np.random.default_rng(3), 60_000)
    made = of.residuals(of.observed[:, None])[:, 0]
    assert made == pytest.approx((of.observed - drawn.mean(axis=1)) / drawn.std(axis=1), abs=0.06)


def test_normality_check_finds_an_outlier():
    fine = normality_check(pool(EFF))
    assert fine.pvalue > 0.1
    assert fine.statistic == pytest.approx(
        float(shapiro(fitted_model(pool(EFF), "").residuals(Y[:, None])).statistic), abs=1e-6
    )
    broken = normality_check(pool(effects([*Y[:-1], 6.0], V)))
    assert broken.pvalue == 1 / 2001
    assert broken.symbol == "W"
    assert normality_check(regress(effects([*Y[:-1], 6.0], V, data=ROWS), "~ x"), n=199).pvalue < 0.02


def test_seeds():
    a, b = (normality_check(pool(EFF), n=199, seed=seed) for seed in (7, 7))
    assert a.pvalue == b.pvalue
    assert a.pvalue != normality_check(pool(EFF), n=199, seed=8).pvalue
    assert "seed 7" in a.model


def test_p_values_are_shares():
    check = predictive_check(pool(EFF), ("max_residual", "skewness"), n=499)
    for i in range(2):
        drawn, seen = check.simulated[:, i], check.observed[i]
        assert check.p_high[i] == pytest.approx((1 + (drawn >= seen).sum()) / 500)
        assert check.p_low[i] == pytest.approx((1 + (drawn <= seen).sum()) / 500)
    assert check.pvalue[0] == check.p_high[0]
    assert check.pvalue[1] == pytest.approx(min(1, 2 * min(check.p_low[1], check.p_high[1])))


@pytest.mark.parametrize("kind", ["pool", "regress", "glmm", "probit", "IRLN", "beta"])
def test_every_model(kind):
    res = {
        "pool": lambda: pool(EFF).back(),
        "regress": lambda: regress(EFF, "~ x"),
        "glmm": lambda: glmm("PLO", events=EVENTS, total=N).back(),
        "probit": lambda: glmm("PLO", events=EVENTS, total=N, link="probit"),
        "IRLN": lambda: glmm("IRLN", events=EVENTS, time=TIME),
        "beta": lambda: beta_binomial(events=EVENTS, total=N),
    }[kind]()
    check = predictive_check(res, n=199)
    assert ((check.pvalue > 0) & (check.pvalue <= 1)).all()
    assert ("zeros" in check.statistics) == (kind not in ("pool", "regress"))
    assert ("full" in check.statistics) == (kind in ("glmm", "probit", "beta"))
    frame = check.to_frame()
    assert (frame.low <= frame["median"]).all()
    assert (frame["median"] <= frame.high).all()
    qq = check.qq()
    assert {*frame, *qq} <= set(COLUMNS)
    assert (np.diff(qq.residual) >= 0).all()
    assert (qq.low <= qq.high).all()
    assert check.draws().shape == (199, len(check.statistics))
    assert len(str(check).splitlines()) <= 20
    assert json.loads(json.dumps(check.to_dict(), allow_nan=False))["k"] == K
    for twin in (pickle.loads(pickle.dumps(check)), copy.deepcopy(check)):
        assert str(twin) == str(check)
        assert not twin.simulated.flags.writeable


def test_rates_of_two_kinds():
    """Half of the rates are 0, the others 50 %: a normal distribution of logits as wide as that would go beyond."""
    check = predictive_check(glmm("PLO", events=[0, 20] * 15, total=[40] * 30), ("max", "zeros"), n=199)
    assert check.observed.tolist() == [0.5, 15]
    assert check.pvalue[0] < 0.05 < check.pvalue[1]


def test_counts_all_at_one_end():
    with pytest.raises(OptionError, match="all counts are at one end"):
        predictive_check(glmm("PLO", events=[0] * 5, total=[10] * 5))
    check = predictive_check(glmm("PLO", events=[0, 0, 1, 0, 0, 0], total=[10] * 6), n=199)
    assert "undefined" in codes(check)
    assert "low-power" in codes(check)


def test_refusals():
    counts = {"events_t": [3, 4, 5, 6], "total_t": [20] * 4, "events_c": [2, 1, 4, 3], "total_c": [20] * 4}
    two_arms = glmm("OR", model="CM.EL", **counts)
    with pytest.raises(InputError, match="not float"):
        normality_check(1.0)
    with pytest.raises(InputError, match="at least 4 studies"):
        normality_check(pool(effects([0.1, 0.2, 0.3], [0.1] * 3)))
    with pytest.raises(InputError, match="all effects are equal"):
        normality_check(pool(effects([0.1] * 5, [0.1] * 5)))
    with pytest.raises(OptionError, match="use predictive_check"):
        normality_check(glmm("PLO", events=EVENTS, total=N))
    with pytest.raises(OptionError, match="one arm"):
        predictive_check(two_arms)
    with pytest.raises(OptionError, match="robust"):
        normality_check(robust(pool(EFF), [i // 2 for i in range(K)]))
    for statistic in ("zeros", "full"):
        with pytest.raises(OptionError, match="counts that have it"):
            predictive_check(pool(EFF), statistic)
    with pytest.raises(OptionError, match="Did you mean 'skewness'"):
        predictive_check(pool(EFF), "skew")
    with pytest.raises(OptionError, match="at least 99"):
        normality_check(pool(EFF), n=50)
    with pytest.raises(OptionError, match="at least one statistic"):
        predictive_check(pool(EFF), [])


def test_heteroscedasticity_between_groups():
    rng = np.random.default_rng(8)
    y = rng.normal(0, np.sqrt(0.02 + np.repeat([0.01, 1.0], 10)))
    eff = effects(y, np.full(K, 0.02), data=ROWS)
    lr, score = heteroscedasticity_test(eff, "group"), heteroscedasticity_test(eff, "group", kind="score")
    assert lr.pvalue < 0.001
    assert score.pvalue < 0.05
    assert lr.df == score.df == 1
    assert lr.values["b"] > lr.values["tau2"] > lr.values["a"]
    fit = regress(eff, "~ group", scale="~ group", test="z", pi="none")
    assert lr.statistic == pytest.approx(fit.LRT)
    same = heteroscedasticity_test(pool(eff), by=ROWS.group.tolist())
    assert same.statistic == pytest.approx(lr.statistic)
    formula = heteroscedasticity_test(eff, formula="~ group", location="~ 1", method="ML")
    assert formula.statistic != lr.statistic
    assert "log tau2 ~ group (ML)" in formula.model


def test_heteroscedasticity_is_refused():
    with pytest.raises(OptionError, match="one of the two"):
        heteroscedasticity_test(EFF)
    with pytest.raises(OptionError, match="one group"):
        heteroscedasticity_test(EFF, by=["a"] * K)
    with pytest.raises(InputError, match="not a column"):
        heteroscedasticity_test(EFF, by="grup")
    with pytest.raises(OptionError, match="no moderator"):
        heteroscedasticity_test(EFF, formula="~ 1")
    with pytest.raises(InputError, match="takes effects"):
        heteroscedasticity_test(glmm("PLO", events=EVENTS, total=N), formula="~ 1")
    still = effects(np.full(K, 0.2), V, data=ROWS)
    with pytest.raises(OptionError, match="common tau2 is 0"):
        heteroscedasticity_test(still, formula="~ x", kind="score")
    assert "tau2-zero" in codes(heteroscedasticity_test(still, formula="~ x"))


def test_a_group_and_columns_of_the_location():
    """by= leaves the columns of the data to location=, whatever their names."""
    rows = ROWS.assign(wing=ROWS.group)
    eff = effects(Y, V, data=rows)
    found = heteroscedasticity_test(eff, "wing", location="~ x")
    fit = regress(eff, "~ x", scale="~ wing", test="z", pi="none")
    assert found.statistic == pytest.approx(fit.LRT, abs=1e-9)
    mixed = heteroscedasticity_test(eff, ["p", "q"] * 10, location="~ group")
    assert set(mixed.values) == {"tau2", "p", "q"}
    assert "Location ~ group," in mixed.model


@pytest.mark.parametrize("check", [normality_check, predictive_check])
def test_a_study_that_is_fitted_exactly(check):
    rows = pd.DataFrame({"group": ["a"] * 5 + ["b"]})
    res = regress(effects(Y[:6], V[:6], data=rows), "~ group")
    with pytest.raises(InputError, match="the moderators fit '6' exactly"):
        check(res, n=99)


def test_a_statistic_that_is_no_text():
    with pytest.raises(OptionError, match="statistic=3 is not known"):
        predictive_check(pool(EFF), 3)


@pytest.mark.slow
def test_level_and_power():
    """5 % under the model, whatever the sampling variances; with true effects from a t of 2 df most are found."""
    rng = np.random.default_rng(1)
    found = {"normal": 0, "heavy": 0}
    for i in range(400):
        v = rng.uniform(0.01, 0.3, 25)
        for name, true in (("normal", rng.normal(0, 0.4, 25)), ("heavy", 0.4 * rng.standard_t(2, 25))):
            eff = effects(true + rng.normal(0, np.sqrt(v)), v)
            found[name] += normality_check(pool(eff), n=199, seed=i).pvalue <= 0.05
    assert found["normal"] / 400 == pytest.approx(0.05, abs=0.022)
    assert found["heavy"] / 400 > 0.4


def test_effective_counts_are_refused():
    res = beta_binomial(events=EVENTS, total=N)
    divided = dataclasses.replace(res.effects, events=EVENTS / 1.5, total=N / 1.5)
    with pytest.raises(OptionError, match="no whole numbers"):
        predictive_check(dataclasses.replace(res, effects=divided))
