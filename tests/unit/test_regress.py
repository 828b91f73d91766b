"""Meta-regression: the linear algebra written out anew, formulas, predictions, contrasts, refusals, the record."""

import copy
import dataclasses
import itertools
import json
import math
import operator
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from formulaic import model_matrix
from scipy.special import expit
from scipy.stats import chi2, f, norm, t

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.validate import METHOD, MISSING, PI, TEST

K, RNG = 16, np.random.default_rng(20)
ROWS = pd.DataFrame({"x": RNG.normal(0, 2, K).round(2), "z": RNG.uniform(10, 20, K).round(1), "arm": list("abca" * 4)})
ROWS["v"] = RNG.uniform(0.02, 0.3, K).round(3)
ROWS["y"] = (0.2 * ROWS["x"] + 0.3 * (ROWS["arm"] == "b") + RNG.normal(0, np.sqrt(ROWS["v"] + 0.15))).round(3)
EFF = metaan.effects("y", "v", data=ROWS, study=[f"s{i}" for i in range(K)])
Y, V = ROWS["y"].to_numpy(), ROWS["v"].to_numpy()
ONE, B, C = np.ones(K), (ROWS["arm"] == "b").to_numpy(float), (ROWS["arm"] == "c").to_numpy(float)
A, X, Z = 1 - B - C, ROWS["x"].to_numpy(), ROWS["z"].to_numpy()
METHODS, TESTS = sorted(set(METHOD.choices) - {"GENQ"}), ("z", "t", "hk", "hk-adhoc")
FULL = "~ x + C(arm)"
NEW = pd.DataFrame({"x": [-1.0, 2.5], "arm": ["c", "a"]}, index=["low", "high"])
NEW_X = np.array([[1, -1.0, 0, 1], [1, 2.5, 0, 0]])


def dense(x, tau2):
    """Coefficients, their model covariance and the residual sum of squares, by the textbook."""
    w = np.diag(1 / (V + tau2))
    cov = np.linalg.inv(x.T @ w @ x)
    beta = cov @ x.T @ w @ Y
    return beta, cov, (Y - x @ beta) @ w @ (Y - x @ beta)


@pytest.mark.parametrize(("method", "test"), [*itertools.product(METHODS, TESTS), ("REML", "kr")])
def test_without_moderators_it_is_pool(method, test):
    one, fit = metaan.pool(EFF, method=method, test=test), metaan.regress(EFF, "~ 1", method=method, test=test)
    for name in ("estimate", "se", "ci_low", "ci_high", "pvalue", "df", "tau2", "I2", "H2", "weights", "blup"):
        np.testing.assert_allclose(getattr(fit, name), getattr(one, name), rtol=1e-9)
    assert (fit.QE, fit.QE_df, fit.QE_pvalue) == pytest.approx((one.Q, one.Q_df, one.Q_pvalue), rel=1e-9)
    assert (fit.QM_df, math.isnan(fit.R2)) == (0, True)


@pytest.mark.parametrize(
    ("formula", "names", "matrix"),
    [
        (FULL, ("Intercept", "x", "C(arm)[T.b]", "C(arm)[T.c]"), [ONE, X, B, C]),
        ("~ 0 + C(arm)", ("C(arm)[a]", "C(arm)[b]", "C(arm)[c]"), [A, B, C]),
        ("~ x * z", ("Intercept", "x", "z", "x:z"), [ONE, X, Z, X * Z]),
        ("~ x:arm", ("Intercept", "x:arm[a]", "x:arm[b]", "x:arm[c]"), [ONE, X * A, X * B, X * C]),
        ("~ log(z) + I(x ** 2)", ("Intercept", "log(z)", "I(x ** 2)"), [ONE, np.log(Z), X**2]),
    ],
)
def test_formulas(formula, names, matrix):
    fit, x = metaan.regress(EFF, formula, test="z"), np.column_stack(matrix)
    beta, cov, _ = dense(x, fit.tau2)
    assert dict(zip(fit.names, fit.estimate, strict=True)) == pytest.approx(dict(zip(names, beta, strict=True)))
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(fit.fitted, x @ beta, rtol=1e-8, atol=1e-10)
    hat = x @ cov @ x.T / (V + fit.tau2)
    np.testing.assert_allclose(fit.leverage, np.diagonal(hat), rtol=1e-8)
    np.testing.assert_allclose(fit.blup, x @ beta + fit.tau2 / (fit.tau2 + V) * (Y - x @ beta), rtol=1e-8, atol=1e-10)
    assert pytest.approx(dense(x, 0)[2]) == fit.QE
    assert pytest.approx(chi2.sf(fit.QE, K - x.shape[1])) == fit.QE_pvalue


def test_splines_are_formulaics_and_keep_their_knots():
    fit = metaan.regress(EFF, "~ bs(x, df=4)", test="z")
    made, new = model_matrix("~ bs(x, df=4)", ROWS), pd.DataFrame({"x": [0.1, 1.3]})
    np.testing.assert_array_equal(fit.moderators.matrix, made.to_numpy())
    at = made.model_spec.get_model_matrix(new).to_numpy()
    np.testing.assert_allclose(fit.predict(new)["estimate"], at @ dense(made.to_numpy(), fit.tau2)[0], rtol=1e-8)


@pytest.mark.parametrize("test", TESTS)
def test_standard_errors_and_confidence_limits(test):
    fit = metaan.regress(EFF, FULL, test=test, level=0.9)
    beta, cov, rss = dense(np.column_stack([ONE, X, B, C]), fit.tau2)
    factor = {"z": 1, "t": 1, "hk": rss / (K - 4), "hk-adhoc": max(1, rss / (K - 4))}[test]
    law = norm if test == "z" else t(K - 4)
    np.testing.assert_allclose(fit.se, np.sqrt(factor * np.diagonal(cov)), rtol=1e-9)
    np.testing.assert_allclose(fit.ci_high, beta + law.ppf(0.95) * fit.se, rtol=1e-9)
    np.testing.assert_allclose(fit.pvalue, 2 * law.sf(np.abs(beta / fit.se)), rtol=1e-8)
    half = law.ppf(0.95) * np.sqrt(factor * np.einsum("ip,pq,iq->i", NEW_X, cov, NEW_X))
    at = fit.predict(NEW)
    np.testing.assert_allclose(at["estimate"], NEW_X @ beta, rtol=1e-9)
    np.testing.assert_allclose(at[["ci_low", "ci_high"]].T, NEW_X @ beta + [-half, half], rtol=1e-9)


def test_prediction_intervals_by_definition():
    fit = metaan.regress(EFF, FULL, test="z")
    beta, cov, rss = dense(np.column_stack([ONE, X, B, C]), fit.tau2)
    var, free = np.einsum("ip,pq,iq->i", NEW_X, cov, NEW_X), K - 4
    half = {
        "t": t.ppf(0.975, free) * np.sqrt(fit.tau2 + var),
        "hts": t.ppf(0.975, free - 1) * np.sqrt(fit.tau2 + var),
        "z": norm.ppf(0.975) * np.sqrt(fit.tau2 + var),
        "simple": norm.ppf(0.975) * np.sqrt(fit.tau2 + 0 * var),
        "hk": t.ppf(0.975, free - 1) * np.sqrt(fit.tau2 + rss / free * var),
    }
    assert set(half) == set(PI.choices) - {"kr", "bootstrap", "none"}
    for pi, expected in half.items():
        for at in (fit.predict(NEW, pi=pi), metaan.regress(EFF, FULL, test="hk", pi=pi).predict(NEW)):
            np.testing.assert_allclose(at[["pi_low", "pi_high"]].T, NEW_X @ beta + [-expected, expected], rtol=1e-9)
    assert fit.predict(NEW, pi="none")["pi_low"].isna().all()
    assert metaan.regress(EFF, FULL, method="CE").predict(NEW)["pi_low"].isna().all()
    for pi in ("kr", "bootstrap"):
        with pytest.raises(OptionError, match=f"pi='{pi}'"):
            fit.predict(NEW, pi=pi)


def test_kenward_roger_by_dense_matrices():
    fit, x = metaan.regress(EFF, FULL, test="kr", pi="kr"), np.column_stack([ONE, X, B, C])
    w = np.diag(1 / (V + fit.tau2))
    phi = np.linalg.inv(x.T @ w @ x)
    p = w - w @ x @ phi @ x.T @ w
    information = np.trace(p @ p) / 2
    cov = phi + 2 / information * phi @ x.T @ w @ p @ w @ x @ phi  # X'W^3 X - X'W^2 X phi X'W^2 X = X'W P W X
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-9)
    bent = cov @ x.T @ w @ w @ x @ cov
    np.testing.assert_allclose(fit.df, 2 * information * (np.diagonal(cov) / np.diagonal(bent)) ** 2, rtol=1e-9)
    spread, through = ((NEW_X @ m * NEW_X).sum(axis=1) for m in (cov, bent))
    df, at = 2 * information * (spread / through) ** 2, fit.predict(NEW)
    np.testing.assert_allclose(at["ci_high"] - at["estimate"], t.ppf(0.975, df) * np.sqrt(spread), rtol=1e-9)
    reach = t.ppf(0.975, df - 1) * np.sqrt(fit.tau2 + spread)
    np.testing.assert_allclose(at["pi_high"] - at["estimate"], reach, rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "test", "pi", "named"),
    [("GENQ", "hk", "t", "GENQ"), ("DL", "hk", "bootstrap", "bootstrap"), ("DL", "kr", "t", "test='kr'"),
     ("DL", "hk", "kr", "pi='kr'"), ("REML", "hk", "kr", "pi='kr'")],
)  # fmt: skip
def test_what_no_regression_can_honour_is_refused(method, test, pi, named):
    with pytest.raises(OptionError, match=named):
        metaan.regress(EFF, "~ x", method=method, test=test, pi=pi)


@pytest.mark.parametrize(("measure", "turn"), [("PLO", expit), ("OR", np.exp), ("ZCOR", np.tanh), ("MD", np.array)])
def test_predictions_on_the_display_scale(measure, turn):
    fit = metaan.regress(metaan.effects("y", "v", data=ROWS, measure=measure), "~ x")
    plain, shown = (fit.predict({"x": 1.5}, scale=scale) for scale in ("analysis", "display"))
    assert shown.pop("se").isna().all()
    np.testing.assert_allclose(shown, turn(plain.drop(columns="se")), rtol=1e-13)


def test_predictions_of_the_studies_themselves():
    fit = metaan.regress(EFF, FULL)
    np.testing.assert_array_equal(fit.predict()["estimate"], fit.fitted)
    assert tuple(fit.predict().index) == EFF.study
    assert list(fit.predict(NEW).index) == ["low", "high"]
    pd.testing.assert_frame_equal(fit.predict(NEW.to_dict("records")), fit.predict(NEW).reset_index(drop=True))


@pytest.mark.parametrize(
    ("formula", "new", "named"),
    [(FULL, {"x": 1, "arm": "q"}, "'q'"), (FULL, {"x": 1}, "'arm'"), ("~ x", {"x": np.nan}, "null"),
     ("~ bs(x, df=4)", {"x": 99}, "beyond")],
)  # fmt: skip
def test_rows_that_cannot_be_predicted(formula, new, named):
    with pytest.raises(InputError, match=named):
        metaan.regress(EFF, formula).predict(new)


def test_contrasts_are_coefficient_arithmetic():
    fit = metaan.regress(EFF, FULL)
    b, cov = fit.estimate, fit.cov
    gap, se = b[2] - b[3], math.sqrt(cov[2, 2] + cov[3, 3] - 2 * cov[2, 3])
    half, p = t.ppf(0.975, K - 4) * se, 2 * t.sf(abs(gap) / se, K - 4)
    expected = [gap, se, gap - half, gap + half, gap / se, K - 4, p]
    found = fit.contrast({"C(arm)[T.b]": 1, "C(arm)[T.c]": -1})
    np.testing.assert_allclose(found.iloc[0], expected, rtol=1e-9)
    np.testing.assert_allclose(fit.contrast([[0, 0, 1, -1], [0, 1, 0, 0]])["estimate"], [gap, b[1]], rtol=1e-12)
    for bad, why in (({"arm": 1}, "'arm' is not a coefficient.* Intercept, x"), ([1, 0], "4 columns")):
        with pytest.raises(InputError, match=why):
            fit.contrast(bad)


def test_joint_tests_of_terms_by_hand():
    for test in ("z", "hk"):
        fit = metaan.regress(EFF, FULL, test=test)
        b, cov = fit.estimate[2:], fit.cov[2:, 2:]
        wald = b @ np.linalg.inv(cov) @ b
        p = chi2.sf(wald, 2) if test == "z" else f.sf(wald / 2, 2, K - 4)
        found = fit.test("C(arm)")
        assert (found.statistic, found.df) == pytest.approx((wald / (1 if test == "z" else 2), 2), rel=1e-10)
        assert found.pvalue == pytest.approx(p, rel=1e-9)
        assert fit.test("C(arm)[T.b]", "C(arm)[T.c]") == found
        assert fit.test("x").pvalue == pytest.approx(fit.pvalue[1], rel=1e-9)
        assert fit.test("x", "C(arm)") == (fit.QM, fit.QM_df, fit.QM_df2, fit.QM_pvalue)
    free = metaan.regress(EFF, "~ 0 + C(arm)")
    by_hand = free.estimate @ np.linalg.inv(free.cov) @ free.estimate / 3
    assert (free.QM, free.QM_df) == pytest.approx((by_hand, 3), rel=1e-10)
    for bad in ((), ("year",)):
        with pytest.raises(InputError):
            fit.test(*bad)


def test_variance_inflation_by_regression_on_the_other_columns():
    fit, columns = metaan.regress(EFF, "~ x + z + I(x*z)"), [X, Z, X * Z]
    w = 1 / (V + fit.tau2)
    for i, row in fit.vif().iterrows():
        others = np.column_stack([ONE, *(column for j, column in enumerate(columns) if j != i)])
        r2 = sm.WLS(columns[i], others, weights=w).fit().rsquared
        assert (row["df"], row["gvif"]) == pytest.approx((1, 1 / (1 - r2)), rel=1e-7)
    assert metaan.regress(EFF, "~ 1").vif().empty
    a, b = (metaan.regress(EFF, f"~ x + C(arm, contr.treatment('{base}'))").vif() for base in "ac")
    np.testing.assert_allclose(a["gvif_root"], b["gvif"] ** [0.5, 0.25], rtol=1e-8)  # whatever the reference category


@pytest.mark.parametrize("method", ["DL", "REML", "PM"])
def test_r2_is_the_share_of_tau2(method):
    alone, fit = metaan.pool(EFF, method=method).tau2, metaan.regress(EFF, "~ x", method=method)
    assert pytest.approx(100 * (alone - fit.tau2) / alone, rel=1e-6) == fit.R2
    useless = metaan.regress(EFF, "~ z", method=method)
    assert (useless.tau2 > alone, useless.R2) == (True, 0)
    assert math.isnan(metaan.regress(EFF, "~ x", method="CE").R2)
    assert math.isnan(metaan.regress(EFF, "~ 0 + C(arm)", method=method).R2)


def test_missing_moderators():
    rows = ROWS.assign(x=[np.nan if i in (2, 5) else value for i, value in enumerate(X)])
    eff = metaan.effects("y", "v", data=rows, study=EFF.study)
    with pytest.raises(DataError, match=r"x is missing .*: study 's2', 's5'"):
        metaan.regress(eff, FULL)
    fit = metaan.regress(eff, FULL, missing="drop")
    assert [note.studies for note in fit.notes if note.code == "dropped"] == [("s2", "s5")]
    kept = metaan.effects("y", "v", data=rows.drop(index=[2, 5]))
    np.testing.assert_array_equal(fit.estimate, metaan.regress(kept, FULL).estimate)
    assert (fit.k, metaan.regress(eff, "~ z").k) == (K - 2, K)


def test_designs_that_cannot_be_fitted():
    with pytest.raises(DataError, match=r"Moderator 'I\(2 \* x\)' is a combination"):
        metaan.regress(EFF, "~ x + I(2*x)")
    with pytest.raises(DataError, match="4 coefficients need more than 4 studies; there are 4"):
        metaan.regress(metaan.effects("y", "v", data=ROWS.head(4)), FULL)
    for formula, why in (("~ 0", "no columns"), ("y ~ x", "one-sided"), ("~ x +", "cannot be read"), (None, "None")):
        with pytest.raises(OptionError, match=why):
            metaan.regress(EFF, formula)
    for eff, why in ((EFF, "'year', not among the columns"), (metaan.effects(Y, V), "data="), ([1.0], "not list")):
        with pytest.raises(InputError, match=why):
            metaan.regress(eff, "~ year")


def test_effects_that_are_all_zero_have_an_answer():
    fit = metaan.regress(metaan.effects([0.0] * K, V, data=ROWS), "~ x")
    assert ((fit.estimate == 0).all(), "not usable" in str(fit)) == (True, True)


@pytest.mark.parametrize("option", [METHOD, TEST, PI, MISSING], ids=lambda option: option.name)
def test_unknown_values_of_options(option):
    with pytest.raises(OptionError, match=", ".join(option.choices)):
        metaan.regress(EFF, "~ x", **{option.name: "log"})


def test_unknown_values_of_other_options():
    with pytest.raises(OptionError, match="analysis, display"):
        metaan.regress(EFF, "~ x").predict(scale="log")
    with pytest.raises(OptionError, match="t, hts, z, simple"):
        metaan.regress(EFF, "~ x").predict(pi="log")
    with pytest.raises(OptionError, match="Did you mean"):
        metaan.regress(EFF, "~ x", level=95)


@pytest.mark.parametrize("part", ["estimate", "cov", "weights", "leverage", "moderators.matrix", "inference.inner"])
def test_the_record_cannot_be_changed(part):
    fit = metaan.regress(EFF, FULL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.tau2 = 0.0
    assert not operator.attrgetter(part)(fit).flags.writeable


def test_copies_and_pickles_predict_alike():
    fit = metaan.regress(EFF, FULL)
    for clone in (pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit), copy.copy(fit)):
        assert clone.to_dict() == fit.to_dict()
        pd.testing.assert_frame_equal(clone.predict(NEW), fit.predict(NEW))


def test_text_and_dictionary():
    many = metaan.regress(EFF, "~ C(arm) * (x + z)", test="z", level=0.9)
    assert len(str(many).splitlines()) <= 20
    for part in (str(K), "GEN", "REML", "test=z", "90%", "C(arm) * (x + z)", *map(str, many.notes)):
        assert part in str(many)
    assert "few-studies" in [note.code for note in many.notes]
    flat = json.loads(json.dumps(many.to_dict(), allow_nan=False))
    assert (flat["estimate"], flat["study"]) == (many.estimate.tolist(), list(EFF.study))
    assert flat["names"] == list(many.to_frame()["term"]) == list(many.names)
