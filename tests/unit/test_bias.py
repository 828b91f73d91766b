"""Egger's regression and Begg's rank correlation against statsmodels, scipy and metaan's models; what is refused."""

import itertools
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import kendalltau

import metaan
from metaan.core.kendall import EXACT, kendall
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y = np.array([0.05, 0.32, 0.11, 0.64, 0.48, 0.87, 0.20, 0.15, 0.93, 0.41, 0.30])
V = np.array([0.01, 0.03, 0.02, 0.09, 0.05, 0.14, 0.02, 0.015, 0.2, 0.06, 0.04])
N = np.array([410, 140, 190, 40, 85, 30, 200, 260, 21, 66, 99])
Z = np.array([1.0, 4, 2, 5, 3, 3, 1, 2, 6, 2, 5])
X, TOTAL = [0, 3, 1, 4, 2, 3, 9, 7, 30], [20, 44, 28, 30, 51, 30, 40, 40, 160]
ARMS = {"events_t": [4, 6, 2, 20, 11], "total_t": [20, 30, 15, 90, 60], "events_c": [8, 9, 7, 24, 17],
        "total_c": [20, 31, 16, 88, 61]}  # fmt: skip
PREDICTORS = {
    "sei": np.sqrt(V), "vi": V, "ni": N, "ninv": 1 / N, "sqrtni": np.sqrt(N), "sqrtninv": 1 / np.sqrt(N),
}  # fmt: skip


def data():
    return pd.DataFrame({"n": N, "z": Z})


def effects(measure="GEN"):
    return metaan.effects(Y, V, data=data(), measure=measure)


def of_size(predictor):
    return {} if predictor in ("sei", "vi") else {"ni": "n"}


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("moderated", [False, True])
def test_weighted_regression_by_statsmodels(predictor, moderated):
    eff = effects()
    res = metaan.regress(eff, "~ z") if moderated else metaan.pool(eff)
    ours = metaan.egger(res, predictor=predictor, **of_size(predictor))
    columns = [np.ones_like(Y), *([Z] if moderated else []), PREDICTORS[predictor]]
    fit = sm.WLS(Y, np.column_stack(columns), weights=1 / V).fit()
    assert ours.statistic == pytest.approx(fit.tvalues[-1], rel=1e-8)
    assert ours.pvalue == pytest.approx(fit.pvalues[-1], rel=1e-8)
    assert (ours.df, ours.k, ours.symbol) == (fit.df_resid, len(Y), "t")
    assert ours.values["slope"] == pytest.approx(fit.params[-1], rel=1e-8)
    assert ours.values["slope_se"] == pytest.approx(fit.bse[-1], rel=1e-8)
    assert ("limit" in ours.values) == (not moderated and predictor not in ("ni", "sqrtni"))
    if "limit" in ours.values:
        limits = [ours.values[name] for name in ("limit", "limit_low", "limit_high")]
        np.testing.assert_allclose(limits, [fit.params[0], *fit.conf_int()[0]], rtol=1e-8)


@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc", "kr"])
@pytest.mark.parametrize("moderated", [False, True])
def test_the_model_of_the_result_is_its_regression(test, moderated):
    rows = data().assign(se=np.sqrt(V))
    eff = metaan.effects(Y, V, data=rows)
    res = metaan.regress(eff, "~ z", test=test) if moderated else metaan.pool(eff, test=test, level=0.9)
    fit = metaan.regress(eff, "~ z + se" if moderated else "~ se", test=test, level=0.95 if moderated else 0.9)
    ours = metaan.egger(res, model="rma")
    assert ours.statistic == pytest.approx(fit.statistic[-1], rel=1e-9)
    assert (ours.df, ours.pvalue) == (pytest.approx(fit.df[-1]), pytest.approx(fit.pvalue[-1], rel=1e-9))
    assert ours.values["tau2"] == pytest.approx(fit.tau2, rel=1e-9, abs=1e-12)
    if not moderated:
        limits = [ours.values[name] for name in ("limit", "limit_low", "limit_high")]
        np.testing.assert_allclose(limits, [fit.estimate[0], fit.ci_low[0], fit.ci_high[0]], rtol=1e-9)


def test_a_regression_without_intercept_keeps_its_columns():
    eff = metaan.effects(Y, V, data=data().assign(group=list("abababababa")))
    with_it, without = (metaan.regress(eff, f"~ {start}group") for start in ("", "0 + "))
    assert metaan.egger(with_it).statistic == pytest.approx(metaan.egger(without).statistic, rel=1e-9)


@pytest.mark.parametrize("test", ["t", "z"])
def test_a_glmm_takes_the_predictor_into_its_likelihood(test):
    rows = pd.DataFrame({"x": X, "n": TOTAL}).assign(root=lambda d: d.n**-0.5)
    for link in ("logit", "probit"):
        res = metaan.glmm("PLO", rows, events="x", total="n", link=link, test=test)
        fit = metaan.glmm("PLO", rows, events="x", total="n", link=link, test=test, formula="~ root")
        ours = metaan.egger(res, model="rma", predictor="sqrtninv")
        assert ours.statistic == pytest.approx(fit.statistic[1], rel=1e-7)
        assert ours.pvalue == pytest.approx(fit.pvalue[1], rel=1e-7)
        assert ours.values["limit_high"] == pytest.approx(fit.ci_high[0], rel=1e-7)
    res = metaan.beta_binomial(rows, events="x", total="n", test=test)
    fit = metaan.beta_binomial(rows, events="x", total="n", test=test, formula="~ root")
    ours = metaan.egger(res, model="rma", predictor="sqrtninv")
    assert ours.values["slope"] == pytest.approx(fit.estimate[1], rel=1e-7)
    assert ours.values["rho"] == pytest.approx(fit.rho, rel=1e-6)


@pytest.mark.parametrize("model", ["CM.EL", "UM.FS", "UM.RS"])
def test_a_glmm_of_two_arms(model):
    size = np.add(ARMS["total_t"], ARMS["total_c"])
    rows = pd.DataFrame({"small": 1 / size})
    res = metaan.glmm("OR", rows, model=model, **ARMS)
    fit = metaan.glmm("OR", rows, model=model, formula="~ small", **ARMS)
    ours = metaan.egger(res, model="rma", predictor="ninv")
    assert ours.statistic == pytest.approx(fit.statistic[1], rel=1e-6)


def test_stratified_results_are_common_effects():
    mh = metaan.mantel_haenszel("OR", **ARMS)
    ours = metaan.egger(mh, model="rma")
    same = metaan.egger(metaan.pool(mh.effects, method="CE", test="z"), model="rma")
    assert (ours.statistic, ours.symbol, ours.df) == (same.statistic, "z", np.inf)


def test_the_display_scale_changes_nothing():
    res = metaan.pool(metaan.effect_size("OR", **ARMS))
    assert metaan.egger(res).to_dict() == metaan.egger(res.back()).to_dict()


@pytest.mark.parametrize("k", [2, 3, 5, 9, 30])
def test_exact_rank_correlation(k):
    x, y = np.random.default_rng(k).normal(size=(2, 40, k))
    ours = kendall(x, y)
    for i in range(40):
        theirs = kendalltau(x[i], y[i], method="exact")
        assert ours.tau[i] == pytest.approx(theirs.statistic, abs=1e-12)
        assert ours.pvalue[i] == pytest.approx(theirs.pvalue, rel=1e-10)
    assert ours.exact.all()


def test_exact_distribution_by_all_orders():
    x = np.arange(6.0)
    orders = np.array(list(itertools.permutations(x)))
    tau = kendall(np.broadcast_to(x, orders.shape), orders).tau
    for value in np.unique(tau):
        one = orders[np.argmax(tau == value)]
        share = np.mean(np.abs(tau) >= abs(value) - 1e-12)
        assert float(kendall(x, one).pvalue) == pytest.approx(share, abs=1e-12)


def test_rank_correlation_with_ties():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, (2, 30, 12)).astype(float)
    ours = kendall(x, y)
    for i in range(30):
        theirs = kendalltau(x[i], y[i], method="asymptotic")
        assert ours.tau[i] == pytest.approx(theirs.statistic, abs=1e-12)
        assert ours.pvalue[i] == pytest.approx(theirs.pvalue, rel=1e-10)
    assert np.isnan(kendall(np.ones(4), np.arange(4.0)).tau)


def test_the_normal_distribution_takes_over_smoothly():
    k = EXACT
    x, y = np.random.default_rng(3).normal(size=(2, k))
    assert float(kendall(x, y).pvalue) == pytest.approx(kendalltau(x, y, method="asymptotic").pvalue, rel=2e-3)
    assert not kendall(np.arange(k + 1.0), np.arange(k + 1.0)).exact


def test_begg_by_its_definition():
    ours = metaan.begg(metaan.pool(effects()))
    w = 1 / V
    spread = np.sqrt(V - 1 / w.sum())
    theirs = kendalltau((Y - np.average(Y, weights=w)) / spread, V, method="asymptotic")  # two variances are equal
    assert (ours.statistic, ours.pvalue) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue, rel=1e-9))
    assert "normal-p" in {note.code for note in ours.notes}


@pytest.mark.parametrize("measure", ["PR", "PLO", "PLN"])
def test_rates_are_refused_unless_forced(measure):
    res = metaan.pool(metaan.effect_size(measure, events=X, total=TOTAL))
    for test in (metaan.egger, metaan.begg):
        with pytest.raises(OptionError, match=r"harbord, peters or thompson_arcsine .*force=True"):
            test(res)
        assert "linked" in {note.code for note in test(res, force=True).notes}
    with pytest.raises(OptionError, match="standard error is a function of the rate"):
        metaan.egger(res, predictor="ninv")
    incidence = metaan.pool(metaan.effect_size("IRLN", events=X, time=TOTAL))
    with pytest.raises(OptionError, match="effects of measure IRS"):
        metaan.egger(incidence)
    with pytest.raises(OptionError, match="True or False"):
        metaan.egger(res, force="yes")


@pytest.mark.parametrize(
    ("measure", "code"), [("PAS", "stabilised"), ("PFT", "stabilised"), ("OR", "linked"), ("SMD", "linked")]
)
def test_what_is_said_of_the_measure(measure, code):
    counted = {"events": X, "total": TOTAL}
    means = {"mean_t": [1, 2, 3.0], "sd_t": [1.0] * 3, "n_t": [9, 20, 30], "mean_c": [0.0] * 3, "sd_c": [1.0] * 3,
             "n_c": [9, 21, 29]}  # fmt: skip
    columns = {"OR": ARMS, "SMD": means}.get(measure, counted)
    found = metaan.egger(metaan.pool(metaan.effect_size(measure, **columns)))
    assert {code, "low-power"} <= {note.code for note in found.notes}
    assert len(str(found).splitlines()) <= 20


def test_what_is_refused():
    res = metaan.pool(effects())
    for wrong, hint in (({"model": "ols"}, "lm, rma"), ({"predictor": "se"}, "Did you mean 'sei'")):
        with pytest.raises(OptionError, match=hint):
            metaan.egger(res, **wrong)
    with pytest.raises(InputError, match="pass ni="):
        metaan.egger(res, predictor="ni")
    with pytest.raises(OptionError, match="ni= is for"):
        metaan.egger(res, ni="n")
    with pytest.raises(InputError, match="2 values for 11"):
        metaan.egger(res, predictor="ni", ni=[1, 2])
    with pytest.raises(DataError, match="ni must be positive"):
        metaan.egger(res, predictor="ni", ni=np.where(N == 21, 0, N))
    with pytest.raises(InputError, match="result of pool"):
        metaan.egger(effects())
    with pytest.raises(OptionError, match="model='lm'"):
        metaan.egger(metaan.pool(effects(), method="GENQ", weights=N), model="rma")
    with pytest.raises(OptionError, match="before robust"):
        metaan.egger(metaan.robust(res, cluster=list("aabbccddeef")))
    with pytest.raises(OptionError, match="multilevel"):
        metaan.egger(metaan.multilevel(metaan.effects(Y, V, data=data().assign(g=list("aabbccddeef"))), random="g"))
    with pytest.raises(OptionError, match="no moderators"):
        metaan.begg(metaan.regress(effects(), "~ z"))
    with pytest.raises(OptionError, match="no standard errors"):
        metaan.egger(metaan.glmm("PLO", events=X, total=TOTAL), model="rma")
    with pytest.raises(DataError, match="at least 3"):
        metaan.egger(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2])))


def test_nothing_to_test():
    level = metaan.pool(metaan.effects(Y, np.full(11, 0.04)))
    flat = metaan.pool(metaan.effects(np.full(11, 0.3), V))
    for test in (metaan.egger, metaan.begg):
        with pytest.raises(DataError, match="same in every study"):
            test(level)
    with pytest.raises(DataError, match="lie exactly on a line"):
        metaan.egger(flat)
    with pytest.raises(DataError, match="combination of the moderators"):
        metaan.egger(metaan.regress(metaan.effects(Y, V, data=data().assign(v=V)), "~ v"), predictor="vi")
    with pytest.raises(DataError, match="more than 3 studies"):
        metaan.egger(metaan.regress(metaan.effects(Y[:3], V[:3], data=data()[:3]), "~ z"))
    rates = metaan.glmm("PLO", events=[1, 2, 3], total=[20, 20, 20])
    with pytest.raises(DataError, match="same in every study"):
        metaan.egger(rates, model="rma", predictor="ninv")


def test_the_record():
    found = metaan.egger(metaan.pool(effects()), model="rma")
    assert set(found.to_frame().columns) <= set(COLUMNS)
    json.dumps(found.to_dict(), allow_nan=False)
    again = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict()
    assert "<pre>" in found._repr_html_()
    assert "tau2: REML" in str(found)
    with pytest.raises(AttributeError):
        found.pvalue = 0.5


def test_size_as_predictor_does_not_unlink_the_weights_of_ratios():
    res = metaan.pool(metaan.effect_size("OR", **ARMS))
    assert "linked" in {note.code for note in metaan.egger(res, predictor="ninv").notes}


def test_begg_where_one_study_has_nearly_all_weight():
    y, v = np.array([0.1, 0.2, 0.5, 0.3]), np.array([1e-20, 1, 2, 3])
    ours = metaan.begg(metaan.pool(metaan.effects(y, v), method="CE", test="z"))
    others = y[1:] - 0.1
    first = (0.1 - np.average(y[1:], weights=1 / v[1:])) * np.sqrt((1 / v[1:]).sum())
    expected = kendalltau([first, *(others / np.sqrt(v[1:]))], v)
    assert (ours.statistic, ours.pvalue) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_rank_correlation_some_rows_at_a_time(monkeypatch):
    x, y = np.random.default_rng(7).integers(0, 9, (2, 3, 25)).astype(float)
    whole = kendall(x, y)
    monkeypatch.setattr("metaan.core.kendall._AT_ONCE", 200)
    for a, b in zip(whole, kendall(x, y), strict=True):
        np.testing.assert_array_equal(a, b)
