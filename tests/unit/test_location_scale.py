"""Location-scale models: derivatives, maxima by another optimiser, special cases, and what a result says."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from metaan.core.linear import Design, log_likelihood
from metaan.core.location_scale import fit_location_scale, scale_terms, score_statistic
from metaan.errors import DataError, InputError, OptionError
from metaan.measures.effect_size import effect_size
from metaan.measures.record import effects
from metaan.models.location_scale_result import LocationScaleResult
from metaan.models.regress import regress
from metaan.models.regress_result import RegressResult
from metaan.names import COLUMNS

RNG = np.random.default_rng(1)
K = 24
V = RNG.uniform(0.02, 0.2, K)
ROWS = pd.DataFrame(
    {
        "x": RNG.normal(2000, 10, K),
        "z": RNG.normal(size=K),
        "group": ["a", "b", "c"] * 8,
        "gap": [np.nan] + [1.0] * (K - 1),
    }
)
Y = RNG.normal(0.2, np.sqrt(V + np.exp(-1.5 + ROWS.z)))
EFF = effects(Y, V, data=ROWS)
X, Z = (np.column_stack([np.ones(K), column]) for column in (ROWS.x - 2000, ROWS.z))


def codes(fit):
    return {note.code for note in fit.notes}


def dense(alpha, restricted):
    """Log-likelihood by matrices of k by k."""
    cov = np.diag(V + np.exp(Z @ alpha))
    inner = X.T @ np.linalg.solve(cov, X)
    beta = np.linalg.solve(inner, X.T @ np.linalg.solve(cov, Y))
    r = Y - X @ beta
    value = np.linalg.slogdet(cov)[1] + r @ np.linalg.solve(cov, r) + K * np.log(2 * np.pi)
    if restricted:
        value += np.linalg.slogdet(inner)[1] - np.linalg.slogdet(X.T @ X)[1] - 2 * np.log(2 * np.pi)
    return -value / 2


@pytest.mark.parametrize("restricted", [False, True])
def test_derivatives(restricted):
    alpha, h, data = np.array([[-1.0, 0.5], [-3.0, 0.1]]), 1e-5, Design(Y, V, X)

    def at(points):
        return scale_terms(data, Z, points, restricted=restricted)

    here = at(alpha)
    for i in range(2):
        assert here.loglik[i] == pytest.approx(dense(alpha[i], restricted), abs=1e-10)
        step = h * np.eye(2)
        up, down = at(alpha[i] + step), at(alpha[i] - step)
        assert here.gradient[i] == pytest.approx((up.loglik - down.loglik) / (2 * h), abs=1e-7)
        assert here.hessian[i] == pytest.approx((up.gradient - down.gradient) / (2 * h), abs=1e-7)


@pytest.mark.parametrize("restricted", [False, True])
def test_the_maximum_by_another_optimiser(restricted):
    found = fit_location_scale(Y, V, X, Z, restricted=restricted)
    best = min(
        (minimize(lambda a: -dense(a, restricted), start, method="BFGS") for start in ([-1, 0], [-3, 1], [0, -1])),
        key=lambda r: r.fun,
    )
    assert found.converged
    assert found.loglik >= -best.fun - 1e-10
    assert found.alpha == pytest.approx(best.x, abs=1e-4)


def test_a_scale_without_moderators_is_the_usual_model():
    for method in ("REML", "ML"):
        fit, plain = regress(EFF, "~ x", scale="~ 1", method=method), regress(EFF, "~ x", method=method)
        assert fit.tau2 == pytest.approx(np.full(K, plain.tau2), rel=1e-7)
        assert fit.loglik == pytest.approx(plain.loglik, abs=1e-10)
        assert fit.se == pytest.approx(plain.se, rel=1e-6)
        assert pytest.approx((plain.QE, plain.QM), rel=1e-6) == (fit.QE, fit.QM)
        assert math.isnan(fit.LRT)
        assert fit.predict({"x": 2003}).pi_low[0] == pytest.approx(plain.predict({"x": 2003}).pi_low[0], abs=1e-6)


def test_groups_with_their_own_tau2():
    """With the groups in both parts each group is a meta-analysis of its own."""
    fit = regress(EFF, "~ 0 + group", scale="~ 0 + group", method="ML", test="z")
    total = 0.0
    for i, name in enumerate("abc"):
        mine = (ROWS.group == name).to_numpy()
        alone = regress(effects(Y[mine], V[mine], data=ROWS[mine]), "~ 1", method="ML", test="z")
        assert fit.estimate[i] == pytest.approx(alone.estimate[0], abs=1e-7)
        assert fit.tau2[mine] == pytest.approx(alone.tau2, rel=1e-6)
        total += alone.loglik
    assert fit.loglik == pytest.approx(total, abs=1e-9)
    assert pytest.approx(2 * (total - fit.loglik_common), abs=1e-8) == fit.LRT
    assert fit.LRT_df == 2


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_units_do_not_matter(scale):
    a = regress(EFF, "~ x", scale="~ z")
    b = regress(effects(Y * scale, V * scale**2, data=ROWS.assign(z=ROWS.z * 100 + 7)), "~ x", scale="~ z")
    assert b.estimate == pytest.approx(a.estimate * scale, rel=1e-6)
    assert b.tau2 == pytest.approx(a.tau2 * scale**2, rel=1e-6)
    assert b.scale_estimate[1] == pytest.approx(a.scale_estimate[1] / 100, rel=1e-6)
    assert pytest.approx(a.LRT, abs=1e-8) == b.LRT


def test_definitions():
    fit = regress(EFF, "~ x", scale="~ z", test="t", level=0.9)
    w = 1 / (V + fit.tau2)
    assert fit.weights == pytest.approx(100 * w / w.sum())
    assert fit.blup == pytest.approx(fit.fitted + fit.tau2 * w * (Y - fit.fitted))
    assert fit.tau2 == pytest.approx(np.exp(fit.scale_estimate @ Z.T))
    assert fit.scale_statistic == pytest.approx(fit.scale_estimate / fit.scale_se)
    assert fit.scale_df.tolist() == [K - 2, K - 2]
    assert pytest.approx(fit.scale_statistic[1] ** 2) == fit.QS
    assert fit.QS_pvalue == pytest.approx(fit.scale_pvalue[1])
    assert pytest.approx(2 * (fit.loglik - fit.loglik_common)) == fit.LRT
    made = fit.predict(pd.DataFrame({"x": [2001.0], "z": [0.5]}, index=["new"]))
    assert made.tau2["new"] == pytest.approx(np.exp(fit.scale_estimate @ [1, 0.5]))
    assert made.tau2_low["new"] < made.tau2["new"] < made.tau2_high["new"]
    assert fit.predict().tau2.to_numpy() == pytest.approx(fit.tau2)
    widths = [
        fit.predict({"x": 2001, "z": 0.5}, pi=pi).eval("pi_high - pi_low")[0] for pi in ("simple", "z", "t", "hts")
    ]
    assert widths == sorted(widths)
    assert fit.predict({"x": 2001, "z": 0.5}, pi="none").pi_low.isna().all()


def test_score_statistic():
    """Against the score and the expected information by matrices of k by k."""
    tau2, w = 0.3, 1 / (V + 0.3)
    p = np.diag(w) - w[:, None] * X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T * w)
    for restricted in (False, True):
        moved = [np.diag(tau2 * z) for z in Z.T]
        base = p if restricted else np.diag(w)
        g = np.array([Y @ p @ d @ p @ Y - np.trace(base @ d) for d in moved]) / 2
        information = np.array([[np.trace(base @ a @ base @ b) / 2 for b in moved] for a in moved])
        expected = g @ np.linalg.solve(information, g)
        assert score_statistic(Design(Y, V, X), Z, tau2, restricted=restricted) == pytest.approx(expected, rel=1e-9)


def test_likelihoods_are_those_of_the_core():
    fit = regress(EFF, "~ x", scale="~ z")
    data = Design(Y, V, np.column_stack([np.ones(K), ROWS.x]))
    assert fit.loglik_common == pytest.approx(float(log_likelihood(data, fit.tau2_common, restricted=True)), abs=1e-9)


def test_a_group_without_heterogeneity():
    y = np.where(ROWS.group == "a", 0.3, Y)
    fit = regress(effects(y, V, data=ROWS), "~ group", scale="~ group")
    gone = {study for note in fit.notes if note.code == "tau2-vanishes" for study in note.studies}
    assert gone == {str(i + 1) for i in range(K) if ROWS.group[i] == "a"}
    assert "no-scale-se" in codes(fit)
    assert fit.LRT > 0
    assert np.isfinite(fit.se).all()
    assert np.isnan(fit.scale_se).all()


def test_no_heterogeneity_at_all():
    fit = regress(effects(np.full(K, 0.2) + 1e-3 * ROWS.z.to_numpy(), V, data=ROWS), "~ 1", scale="~ z", test="z")
    assert "tau2-zero" in codes(fit)
    assert fit.estimate[0] == pytest.approx(np.average(0.2 + 1e-3 * ROWS.z, weights=1 / V), abs=1e-6)


def test_missing_moderators():
    with pytest.raises(DataError, match="gap is missing"):
        regress(EFF, "~ x", scale="~ gap")
    with pytest.raises(DataError, match="combination"):
        regress(EFF, "~ x", scale="~ gap", missing="drop")
    rows = ROWS.assign(z=ROWS.z.where(ROWS.index > 1), x=ROWS.x.where(ROWS.index != 5))
    fit = regress(effects(Y, V, data=rows), "~ x", scale="~ z", missing="drop")
    assert fit.k == K - 3
    assert "dropped" in codes(fit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "DL"}, "method='DL' is not known"),
        ({"test": "kr"}, "test='kr' is not known"),
        ({"pi": "hk"}, "pi='hk' is not known"),
        ({"scale": 3}, "must be a formula"),
        ({"level": 95}, "Did you mean level=0.95"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        regress(EFF, "~ x", **{"scale": "~ z", **options})


def test_refusals():
    few = effects(Y[:4], V[:4], data=ROWS[:4])
    with pytest.raises(DataError, match="need more than 4 studies"):
        regress(few, "~ x", scale="~ z")
    with pytest.raises(InputError, match="not list"):
        regress([1.0], "~ x", scale="~ z")
    with pytest.raises(OptionError, match="not defined with scale="):
        regress(EFF, "~ x", scale="~ z").predict(pi="hk")


def test_rates_on_the_display_scale():
    n = np.full(K, 60)
    x = np.random.default_rng(2).binomial(n, 0.3)
    fit = regress(effect_size("PLO", ROWS, events=x, total=n), "~ 1", scale="~ z")
    shown = fit.predict({"z": 0.0}, scale="display")
    assert 0 < shown.ci_low[0] < shown.estimate[0] < shown.ci_high[0] < 1


def test_views():
    fit = regress(EFF, "~ group", scale="~ z + group")
    assert isinstance(fit, LocationScaleResult)
    assert not isinstance(fit, RegressResult)
    text = str(fit)
    assert len(text.splitlines()) <= 20
    for part in ("24 studies", "log tau2 ~ z + group", "REML", "One tau2"):
        assert part in text
    frame = fit.to_frame()
    assert {*frame, *fit.studies(), *fit.predict()} <= set(COLUMNS)
    assert frame.part.tolist() == ["location"] * 3 + ["scale"] * 4
    assert frame.estimate.to_numpy() == pytest.approx(np.concatenate([fit.estimate, fit.scale_estimate]))
    assert len(fit.studies()) == K
    assert json.loads(json.dumps(fit.to_dict(), allow_nan=False))["scale_formula"] == "~ z + group"
    for twin in (pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        assert str(twin) == text
        assert not twin.tau2.flags.writeable
    assert "log tau2" in fit._repr_html_()
    assert "tau2 on" in repr(fit)
