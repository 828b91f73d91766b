"""The beta-binomial model with moderators: coefficients, intervals and predictions against brute force."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import beta, betabinom, chi2, t

import metaan

DATA = pd.DataFrame(
    {
        "events": [0, 3, 1, 4, 2, 3, 19, 7, 12, 2, 25, 6],
        "total": [20, 44, 28, 30, 51, 30, 40, 40, 22, 35, 31, 60],
        "year": [1990, 1995, 1999, 2003, 2001, 2010, 2012, 2015, 2008, 1992, 2016, 2004],
        "group": list("aabbaabbabab"),
    }
)
X, N = DATA["events"].to_numpy(), DATA["total"].to_numpy()
DESIGN = np.column_stack([np.ones(12), DATA["year"] - 2000.0, DATA["group"] == "b"]).astype(float)
FORMULA = "~ I(year - 2000) + C(group)"


def fit(formula=FORMULA, data=DATA, **options):
    return metaan.beta_binomial(data, events="events", total="total", formula=formula, **options)


def height(coefficients, rho):
    m = expit(DESIGN @ coefficients)
    return betabinom.logpmf(X, N, m * (1 - rho) / rho, (1 - m) * (1 - rho) / rho).sum()


@pytest.fixture(scope="module")
def fitted():
    return fit()


def test_maximum_and_covariance(fitted):
    minus = lambda v: -height(v[:3], expit(v[3])) if abs(v[3]) < 9 else 1e9  # noqa: E731
    found = minimize(
        minus, [-1.5, 0.1, 0.1, -3], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9000}
    )
    assert fitted.loglik == pytest.approx(-found.fun, abs=1e-8)
    assert fitted.estimate == pytest.approx(found.x[:3], rel=1e-4)
    assert fitted.rho == pytest.approx(expit(found.x[3]), rel=1e-4)
    v, h = np.array([*fitted.estimate, fitted.rho]), np.array([1e-4, 1e-5, 1e-4, 1e-5])
    f = lambda step: height(v[:3] + step[:3], v[3] + step[3])  # noqa: E731
    hessian, e = np.empty((4, 4)), np.diag(h)
    for i in range(4):
        for j in range(4):
            hessian[i, j] = (f(e[i] + e[j]) - f(e[i] - e[j]) - f(e[j] - e[i]) + f(-e[i] - e[j])) / (4 * h[i] * h[j])
    assert fitted.cov == pytest.approx(-np.linalg.inv(hessian)[:3, :3], rel=1e-3)
    assert fitted.aic == pytest.approx(8 - 2 * fitted.loglik)
    assert fitted.df == pytest.approx(np.full(3, 9.0))
    assert fitted.ci_high - fitted.estimate == pytest.approx(t.ppf(0.975, 9) * fitted.se)


def test_wald_test_of_the_moderators(fitted):
    some = fitted.estimate[1:]
    wald = some @ np.linalg.solve(fitted.cov[1:, 1:], some)
    assert (fitted.QM, fitted.QM_df, fitted.QM_df2) == (pytest.approx(wald / 2), 2, 9)
    z = fit(test="z")
    assert (z.QM, z.QM_pvalue) == (pytest.approx(wald), pytest.approx(chi2.sf(wald, 2)))
    assert fitted.test("C(group)").statistic == pytest.approx((fitted.estimate[2] / fitted.se[2]) ** 2)
    with pytest.raises(metaan.errors.InputError, match="not a coefficient"):
        fitted.test("dose")


def test_profile_limits_of_the_coefficients(fitted):
    res = fit(ci="profile")
    aim = fitted.loglik - chi2.ppf(0.95, 1) / 2
    for j in range(3):
        others = [i for i in range(3) if i != j]
        for end in (res.ci_low[j], res.ci_high[j]):

            def minus(v, j=j, others=others, end=end):
                coefficients = np.empty(3)
                coefficients[others], coefficients[j] = v[:2], end
                return -height(coefficients, expit(v[2])) if abs(v[2]) < 12 else 1e9

            start = [*fitted.estimate[others], logit(fitted.rho)]
            low = minimize(minus, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-11, "maxiter": 9000})
            assert -low.fun == pytest.approx(aim, abs=1e-6)


def test_without_moderators_it_is_the_plain_model():
    one, plain = fit("~ 1"), metaan.beta_binomial(DATA, events="events", total="total")
    assert one.estimate[0] == pytest.approx(plain.estimate, rel=1e-9)
    assert one.se[0] == pytest.approx(plain.se, rel=1e-9)
    for name in ("rho", "rho_low", "rho_high", "loglik", "aic", "lrt"):
        assert getattr(one, name) == pytest.approx(getattr(plain, name), rel=1e-7, abs=1e-12)
    assert one.blup == pytest.approx(plain.blup)
    assert "Moderators  none" in str(one)


def test_scale_and_origin_of_a_moderator_do_not_matter(fitted):
    other = fit("~ year + I(year**2) + C(group)"), fit("~ I((year - 2000)/1e4) + I(((year - 2000)/1e4)**2) + C(group)")
    assert other[0].loglik == pytest.approx(other[1].loglik, abs=1e-9)
    assert other[0].fitted == pytest.approx(other[1].fitted, abs=1e-6)
    assert other[0].predict()["se"].to_numpy() == pytest.approx(other[1].predict()["se"].to_numpy(), rel=1e-5)
    assert other[0].test("C(group)").pvalue == pytest.approx(other[1].test("C(group)").pvalue, rel=1e-5)


def test_predictions(fitted):
    new = pd.DataFrame({"year": [1998, 2020], "group": ["a", "b"]}, index=["old", "new"])
    rows = np.array([[1, -2.0, 0], [1, 20.0, 1]])
    table, rates = fitted.predict(new), fitted.predict(new, scale="display")
    assert list(table.index) == ["old", "new"]
    assert table["estimate"].to_numpy() == pytest.approx(rows @ fitted.estimate)
    assert table["se"].to_numpy() == pytest.approx(np.sqrt(np.diag(rows @ fitted.cov @ rows.T)))
    assert rates["ci_low"].to_numpy() == pytest.approx(expit(table["ci_low"].to_numpy()))
    size = (1 - fitted.rho) / fitted.rho
    m = rates["estimate"].to_numpy()
    assert rates["pi_high"].to_numpy() == pytest.approx(beta.ppf(0.975, m * size, (1 - m) * size))
    assert fit(pi="none").predict(new)["pi_low"].isna().all()
    assert fitted.predict()["estimate"].to_numpy() == pytest.approx(fitted.fitted)


def test_a_group_without_events():
    rows = pd.DataFrame(
        {"events": [0, 0, 3, 9, 4, 0, 9, 0], "total": [12, 40, 20, 33, 25, 9, 40, 18], "group": list("aabbbaba")}
    )
    res = fit("~ C(group)", rows, ci="profile")
    others = metaan.beta_binomial(rows[rows["group"] == "b"], events="events", total="total")
    assert "separated" in {note.code for note in res.notes}
    assert list(res.estimate) == [-np.inf, np.inf]
    assert res.loglik == pytest.approx(others.loglik, abs=1e-9)
    assert res.rho == pytest.approx(others.rho, abs=1e-9)
    assert res.ci_low[0] == -np.inf
    assert res.ci_high[1] == np.inf
    table = res.predict([{"group": "a"}, {"group": "b"}], scale="display")
    assert table["estimate"].tolist() == pytest.approx([0, others.mean_rate.estimate], abs=1e-9)
    assert (table["ci_low"][0], table["ci_high"][0]) == (0, 1)
    assert np.isnan(res.QM)
    assert "no Wald test" in str(res)
    json.dumps(res.to_dict(), allow_nan=False)


def test_every_study_at_an_end_is_a_logistic_regression():
    rows = pd.DataFrame(
        {"events": [0, 9, 0, 7, 30, 0, 12], "total": [10, 9, 8, 7, 30, 11, 12], "dose": [1, 2, 3, 4, 5, 6, 7]}
    )
    res = fit("~ dose", rows)
    hits = rows["events"].to_numpy() > 0
    dose = np.where(hits, 1, -1)[:, None] * np.column_stack([np.ones(7), rows["dose"]])
    minus = lambda v: -np.log(expit(dose @ v)).sum()  # noqa: E731
    found = minimize(minus, [0, 0], method="BFGS", options={"gtol": 1e-9})
    assert res.rho == 1
    assert res.estimate == pytest.approx(found.x, rel=1e-5)
    assert res.loglik == pytest.approx(-found.fun, abs=1e-9)


def test_missing_moderators():
    rows = DATA.assign(year=DATA["year"].astype(float).where(DATA.index != 4))
    with pytest.raises(metaan.errors.DataError, match="missing"):
        fit("~ year", rows)
    res = fit("~ year", rows, missing="drop")
    assert res.k == 11
    assert "dropped" in {note.code for note in res.notes}


def test_views(fitted):
    assert len(str(fitted).splitlines()) <= 20
    for part in ("Beta-binomial regression of 12 studies", "mean rate over studies", "rho", "log L", "AIC"):
        assert part in str(fitted)
    assert list(fitted.to_frame()["term"]) == list(fitted.names)
    assert len(fitted.studies()) == 12
    json.dumps(fitted.to_dict(), allow_nan=False)
    assert pickle.loads(pickle.dumps(fitted)).to_dict() == fitted.to_dict()
    assert "<pre>" in fitted._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        fitted.estimate[0] = 1
