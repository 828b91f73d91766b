"""Multilevel models and robust standard errors: dense matrices, brute-force likelihoods, statsmodels; refusals."""

import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, multivariate_normal, norm, t

import metaan
from metaan.errors import DataError, InputError, OptionError

DISTRICT = np.repeat(list("abcdefghijk"), [4, 2, 3, 1, 3, 2, 4, 1, 3, 2, 3])
SCHOOL = np.array([*"1122", *"12", *"112", *"1", *"123", *"12", *"1112", *"1", *"112", *"12", *"111"])
K = len(DISTRICT)
RNG = np.random.default_rng(11)
ROWS = pd.DataFrame({"district": DISTRICT, "school": SCHOOL, "x": RNG.normal(size=K).round(2)})
ROWS["z"] = ROWS.groupby("district")["x"].transform("first")
ROWS["v"] = RNG.uniform(0.01, 0.1, K).round(3)
_, OUTER = np.unique(DISTRICT, return_inverse=True)
_, INNER = np.unique(np.char.add(DISTRICT, SCHOOL), return_inverse=True)
CODES = {"district": OUTER, "school": INNER, "estimate": np.arange(K)}
NOISE = RNG.normal(0, 0.4, 11)[OUTER] + RNG.normal(0, 0.3, INNER.max() + 1)[INNER] + RNG.normal(0, np.sqrt(ROWS["v"]))
ROWS["y"] = (0.3 + 0.1 * ROWS["x"] + NOISE).round(3)
EFF = metaan.effects("y", "v", data=ROWS, study=[f"s{i}" for i in range(K)])
Y, V = EFF.yi, EFF.vi
CORRELATED = metaan.sampling_covariance(EFF, "district", correlation=0.4)
X = {"~ 1": np.ones((K, 1)), "~ x": np.column_stack([np.ones(K), ROWS["x"]])}
CASES = [
    ("district", "~ 1", None), ("district/school", "~ 1", None), ("district/school", "~ x", CORRELATED),
    ("district/estimate", "~ x", None), ("district/school/estimate", "~ 1", None),
]  # fmt: skip


def codes(fit):
    return {note.code for note in fit.notes}


def marginal(random, sigma2, vcov=None):
    """Covariance of the estimates."""
    parts = [s * (CODES[name][:, None] == CODES[name]) for name, s in zip(random.split("/"), sigma2, strict=True)]
    return (np.diag(V) if vcov is None else vcov) + sum(parts)


def gls(x, m):
    inverse = np.linalg.inv(m)
    cov = np.linalg.inv(x.T @ inverse @ x)
    return cov @ x.T @ inverse @ Y, cov, inverse


def loglik(x, m, method):
    """Highest in beta, the restricted one by Harville's formula."""
    beta, cov, _ = gls(x, m)
    full = multivariate_normal.logpdf(Y, x @ beta, m)
    if method == "ML":
        return full
    return full + (x.shape[1] * math.log(2 * math.pi) + np.linalg.slogdet(cov)[1] + np.linalg.slogdet(x.T @ x)[1]) / 2


@pytest.mark.parametrize(("random", "method"), [("study", "REML"), ("estimate", "REML"), ("estimate", "ML")])
def test_one_estimate_of_each_study_is_pool(random, method):
    fit, one = metaan.multilevel(EFF, random, method=method, test="t"), metaan.pool(EFF, method=method, test="t")
    for name in ("estimate", "se", "ci_low", "ci_high", "pvalue", "tau2", "I2", "weights", "blup"):
        np.testing.assert_allclose(getattr(fit, name), getattr(one, name), rtol=1e-7)
    assert (fit.QE, fit.groups[0]) == pytest.approx((one.Q, K))
    flat = metaan.regress(EFF, "~ x", method=method)
    assert metaan.multilevel(EFF, random, formula="~ x", method=method).loglik == pytest.approx(flat.loglik, abs=1e-9)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("random", "formula", "vcov"), CASES)
def test_the_likelihood_is_the_densest_and_at_its_maximum(random, formula, vcov, method):
    fit, x = metaan.multilevel(EFF, random, formula=formula, method=method, vcov=vcov), X[formula]
    best = loglik(x, marginal(random, fit.sigma2, vcov), method)
    rng = np.random.default_rng(3)
    assert fit.loglik == pytest.approx(best, abs=1e-9)
    for draw in range(200):
        near = fit.sigma2 * rng.uniform(0.9, 1.1, len(fit.sigma2)) + 1e-4 * rng.uniform(size=len(fit.sigma2))
        far = rng.exponential(0.2, len(fit.sigma2))
        assert loglik(x, marginal(random, near if draw % 2 else far, vcov), method) <= best + 1e-10


@pytest.mark.parametrize(("random", "formula", "vcov"), CASES)
def test_what_follows_from_the_variances(random, formula, vcov):
    fit, x = metaan.multilevel(EFF, random, formula=formula, vcov=vcov, test="z"), X[formula]
    m = marginal(random, fit.sigma2, vcov)
    beta, cov, inverse = gls(x, m)
    p = inverse - inverse @ x @ cov @ x.T @ inverse
    np.testing.assert_allclose(fit.estimate, beta, rtol=1e-8)
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-8)
    np.testing.assert_allclose(fit.leverage, np.diagonal(x @ cov @ x.T @ inverse), rtol=1e-8, atol=1e-12)
    v = np.diag(V) if vcov is None else vcov
    np.testing.assert_allclose(fit.blup, Y - v @ p @ Y, rtol=1e-8)
    free, _, plain = gls(x, v)
    assert pytest.approx((Y - x @ free) @ plain @ (Y - x @ free), rel=1e-9) == fit.QE
    found = fit.random_effects()
    for name, s2 in zip(fit.levels, fit.sigma2, strict=True):
        members = np.eye(CODES[name].max() + 1)[CODES[name]]
        rows = found[found["level"] == name]
        np.testing.assert_allclose(rows["estimate"], s2 * members.T @ p @ Y, rtol=1e-7, atol=1e-12)
        spread = s2 - s2**2 * np.diagonal(members.T @ p @ members)
        np.testing.assert_allclose(rows["se"], np.sqrt(spread), rtol=1e-6, atol=1e-9)


def test_random_effects_add_up():
    fit = metaan.multilevel(EFF, "district/school", formula="~ x")
    rows = fit.random_effects().assign(district=lambda rows: rows["group"].str[0])
    outer, inner = (rows[rows["level"] == name] for name in fit.levels)
    assert outer["estimate"].sum() == pytest.approx(0, abs=1e-10)
    within = inner.groupby("district")["estimate"].sum() / fit.sigma2[1]
    np.testing.assert_allclose(within, outer["estimate"] / fit.sigma2[0], rtol=1e-8)
    both = outer["estimate"].to_numpy()[OUTER] + inner["estimate"].to_numpy()[INNER]
    np.testing.assert_allclose(fit.fitted + both, fit.blup, rtol=1e-8)


def test_sampling_covariance_by_hand():
    by_hand = np.diag(V)
    for i, j in itertools.permutations(range(K), 2):
        by_hand[i, j] = 0.4 * math.sqrt(V[i] * V[j]) if DISTRICT[i] == DISTRICT[j] else 0.0
    np.testing.assert_allclose(CORRELATED, by_hand, rtol=1e-14)
    np.testing.assert_array_equal(metaan.sampling_covariance(EFF, DISTRICT, correlation=0.4), CORRELATED)
    np.testing.assert_array_equal(metaan.sampling_covariance(EFF, "study", correlation=0.4), np.diag(V))
    plain, given = (metaan.multilevel(EFF, "district/school", vcov=v).sigma2 for v in (None, np.diag(V)))
    np.testing.assert_allclose(given, plain, rtol=1e-8)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_profile_limits_lie_where_the_likelihood_has_fallen(method):
    fit = metaan.multilevel(EFF, "district/school", method=method)
    limits = metaan.sigma2_interval(fit, level=0.9)
    top = loglik(X["~ 1"], marginal("district/school", fit.sigma2), method)

    def drop(level, value):
        """From the top, at `value` of one component, with the best of the other."""
        held = lambda other: (value, other) if level == 0 else (other, value)  # noqa: E731
        height = lambda other: -loglik(X["~ 1"], marginal("district/school", held(other)), method)  # noqa: E731
        return top + min(minimize_scalar(height, bounds=(0, 2), options={"xatol": 1e-10}).fun, height(0.0))

    aim = chi2.ppf(0.9, 1) / 2
    for level, row in limits.iterrows():
        assert drop(level, row["high"]) == pytest.approx(aim, abs=1e-6)
        assert drop(level, row["low"]) == pytest.approx(aim, abs=1e-6) if row["low"] else drop(level, 0.0) <= aim
    assert limits["low"].max() > 0


@pytest.mark.parametrize("vcov", [None, CORRELATED])
def test_the_order_of_rows_does_not_matter(vcov):
    order = np.random.default_rng(5).permutation(K)
    turned = None if vcov is None else vcov[np.ix_(order, order)]
    one = metaan.multilevel(EFF, "district/school", formula="~ x", vcov=vcov)
    mixed = metaan.effects("y", "v", data=ROWS.iloc[order])
    other = metaan.multilevel(mixed, "district/school", formula="~ x", vcov=turned)
    for name in ("estimate", "se", "df", "sigma2", "loglik", "QM", "QE"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-6)
    np.testing.assert_allclose(other.blup, one.blup[order], rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e8])
def test_the_unit_of_the_effects_does_not_matter(unit):
    scaled = metaan.effects(unit * Y, unit**2 * V, data=ROWS)
    one, other = (metaan.multilevel(eff, "district/school", formula="~ x") for eff in (EFF, scaled))
    for name, power in (("estimate", 1), ("se", 1), ("sigma2", 2), ("QM", 0), ("I2", 0), ("pvalue", 0)):
        np.testing.assert_allclose(getattr(other, name) / unit**power, getattr(one, name), rtol=1e-6)
    pairs = [(metaan.sigma2_interval(fit)["high"], metaan.robust(fit, "district").se) for fit in (one, other)]
    np.testing.assert_allclose(pairs[1][0] / unit**2, pairs[0][0], rtol=1e-6)
    np.testing.assert_allclose(pairs[1][1] / unit, pairs[0][1], rtol=1e-6)


def test_degrees_of_freedom_and_predictions():
    fit = metaan.multilevel(EFF, "district/school", formula="~ x + z")
    np.testing.assert_array_equal(fit.df, [11 - 3, K - 3, 11 - 3])  # x differs within schools, z between districts
    half = t.ppf(0.975, fit.df) * fit.se
    np.testing.assert_allclose([fit.ci_low, fit.ci_high], [fit.estimate - half, fit.estimate + half], rtol=1e-9)
    row, at = np.array([1, 0.5, 0]), fit.predict({"x": 0.5, "z": 0.0}).iloc[0]
    reach = t.ppf(0.975, 8) * math.sqrt(fit.tau2 + row @ fit.cov @ row)
    assert at["pi_high"] - at["estimate"] == pytest.approx(reach, rel=1e-9)
    with pytest.raises(OptionError, match="t, hts, z, simple or none"):
        fit.predict(pi="hk")


FITS = {
    "pool": metaan.pool(EFF), "regress": metaan.regress(EFF, "~ x"),
    "multilevel": metaan.multilevel(EFF, "district/school", formula="~ x"),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_sandwich_by_hand(name):
    fit, x = FITS[name], X["~ 1" if name == "pool" else "~ x"]
    m = marginal("district/school", fit.sigma2) if name == "multilevel" else np.diag(V + fit.tau2)
    beta, bread, inverse = gls(x, m)
    scores = np.array([x.T @ inverse @ ((d == DISTRICT) * (Y - x @ beta)) for d in "abcdefghijk"])
    cr0, p = np.sqrt(np.diagonal(bread @ scores.T @ scores @ bread)), x.shape[1]
    for kind, factor in (("CR0", 1), ("CR1", 11 / 10), ("CR1p", 11 / (11 - p))):
        res = metaan.robust(fit, "district", kind=kind)
        np.testing.assert_allclose(res.se, cr0 * math.sqrt(factor), rtol=1e-8)
        np.testing.assert_allclose(res.ci_high, beta + t.ppf(0.975, 11 - p) * res.se, rtol=1e-8)
        np.testing.assert_array_equal(res.estimate, fit.estimate)


def test_against_statsmodels():
    fit = FITS["regress"]
    peer = sm.WLS(Y, X["~ x"], weights=1 / (V + fit.tau2)).fit()
    each = metaan.robust(fit, range(K))
    np.testing.assert_allclose(each.se, peer.HC2_se, rtol=1e-8)
    assert "robust-single" in codes(each)
    grouped = peer.get_robustcov_results("cluster", groups=OUTER, use_correction=False)
    np.testing.assert_allclose(metaan.robust(fit, "district", kind="CR0").se, grouped.bse, rtol=1e-8)


def test_satterthwaite_of_a_mean_with_equal_variances_is_k_less_one():
    eff = metaan.effects(Y, np.full(K, 0.1))
    res = metaan.robust(metaan.pool(eff), range(K), level=0.9)
    assert (res.df, res.se) == pytest.approx((K - 1, Y.std(ddof=1) / math.sqrt(K)), rel=1e-9)
    assert res.ci_high == pytest.approx(res.estimate + t.ppf(0.95, K - 1) * res.se, rel=1e-9)
    assert (res.pi_low, res.tau2) == (metaan.pool(eff).pi_low, metaan.pool(eff).tau2)


BAD = [
    ({"random": "district/district"}, OptionError, "different levels"), ({"random": "a//b"}, OptionError, "outermost"),
    ({"random": 3}, OptionError, "random=3"), ({"random": "town/school"}, InputError, "'town'.* columns of the data"),
    ({"random": "study/estimate"}, DataError, "Each study has one estimate"),
    ({"method": "DL"}, OptionError, "Choose one of REML, ML"), ({"test": "hk"}, OptionError, "contain, t, z"),
    ({"level": 95}, OptionError, "level=0.95"), ({"missing": "omit"}, OptionError, "raise, drop"),
    ({"vcov": np.eye(3)}, OptionError, r"\(3, 3\); 28 estimates need \(28, 28\)"),
    ({"vcov": np.eye(K)}, OptionError, "variances of the effects on its diagonal"),
    ({"vcov": np.triu(CORRELATED)}, OptionError, "symmetric"),
    ({"vcov": 0.01 + 0.5 * np.diag(V - 0.01)}, OptionError, "diagonal"),
    ({"vcov": np.diag(V) + 0.001 * (1 - np.eye(K))}, OptionError, "two outermost groups: .*'s0' and 's4'"),
    ({"vcov": 3 * CORRELATED - 2 * np.diag(V)}, OptionError, "positive definite"),
    ({"vcov": "diagonal"}, OptionError, "vcov"), ({"formula": "~ w"}, InputError, "'w'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "what"), BAD)
def test_what_multilevel_refuses(options, error, what):
    with pytest.raises(error, match=what):
        metaan.multilevel(EFF, **{"random": "district/school", **options})


def test_missing_groups_are_named_or_dropped():
    eff = metaan.effects("y", "v", data=ROWS.assign(district=[None, *DISTRICT[1:]]), study=EFF.study)
    with pytest.raises(DataError, match=r"district is missing .*'s0'"):
        metaan.multilevel(eff, "district/school", vcov=CORRELATED)
    fit = metaan.multilevel(eff, "district/school", vcov=CORRELATED, missing="drop")
    rest = metaan.effects("y", "v", data=ROWS.iloc[1:])
    assert (
        fit.to_dict()["sigma2"] == metaan.multilevel(rest, "district/school", vcov=CORRELATED[1:, 1:]).sigma2.tolist()
    )
    with pytest.raises(DataError, match="All estimates are of one district"):
        metaan.multilevel(metaan.effects("y", "v", data=ROWS.head(4)), "district/school")


def test_what_the_others_refuse():
    for correlation in (1, -1.0, "0.5", True, math.nan, -0.4):
        with pytest.raises(OptionError, match="correlation="):
            metaan.sampling_covariance(EFF, "district", correlation=correlation)
    nested, exact = FITS["multilevel"], metaan.glmm("PLO", events=[1, 4, 3], total=[9, 9, 30])
    for res, cluster, kind, what in (
        (nested, "district", "CR3", "Choose one of CR2, CR1, CR1p, CR0"), (nested, range(K), "CR2", "district"),
        (nested, ["a"] * K, "CR2", "1 clusters"), (exact, "study", "CR2", "'glmm'"),
        (FITS["pool"].back(), "district", "CR2", "display scale"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=what):
            metaan.robust(res, cluster, kind=kind)
    for cluster, what in (("town", "'town'"), (["a", "b"], "2 labels"), ([None, *DISTRICT[1:]], "'s0'")):
        with pytest.raises(InputError, match=what):
            metaan.robust(nested, cluster)


@pytest.mark.parametrize("function", ["tau2_interval", "heterogeneity_interval", "sigma2_interval"])
def test_intervals_of_another_model(function):
    with pytest.raises(InputError):
        getattr(metaan, function)(FITS["pool" if function == "sigma2_interval" else "multilevel"])


def test_the_groups_cannot_be_changed():
    assert not any(code.flags.writeable for code in FITS["multilevel"].codes)


def test_the_record_and_its_text():
    fit = metaan.multilevel(EFF, "district/school", formula="~ x", test="z", level=0.9)
    np.testing.assert_allclose(fit.ci_low, fit.estimate - norm.ppf(0.95) * fit.se, rtol=1e-10)
    for res in (fit, metaan.robust(fit, "district")):
        assert len(str(res).splitlines()) <= 20
        for part in (f"{K} estimates in", "11", "school", "GEN", "REML", res.spec.test, "~ x", *map(str, res.notes)):
            assert part in str(res)
        clone = pickle.loads(pickle.dumps(res))
        assert json.dumps(clone.to_dict(), allow_nan=False) == json.dumps(res.to_dict(), allow_nan=False)
        pd.testing.assert_frame_equal(clone.random_effects(), res.random_effects())
    assert fit.components()["groups"].tolist() == [11, INNER.max() + 1]
    notes = {"independent-errors", "no-estimate-level"}
    assert notes <= codes(fit)
    assert not notes & codes(metaan.multilevel(EFF, "district/estimate", vcov=CORRELATED))
