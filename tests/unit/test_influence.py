"""Deletion diagnostics against their definitions, refit by refit, and predictive tails against adaptive quadrature."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import binom, chi2, nchypergeom_fisher, norm, poisson

import metaan
from metaan.errors import InputError, OptionError
from metaan.models.design import take
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.1, 0.12, 0.08, 0.15, 1.9, 0.11]), np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.05])
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


@pytest.mark.parametrize("method", ["REML", "DL", "PM", "CE", "SJ", "GENQ"])
@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc"])
def test_definitions(method, test):
    eff = metaan.effects(Y, V)
    a = np.array([3.0, 1, 2, 1, 2, 1]) if method == "GENQ" else None
    res = metaan.pool(eff, method=method, test=test, weights=a)
    table = metaan.influence(res)
    for i in range(res.k):
        keep = np.arange(res.k) != i
        one = metaan.pool(take(eff, keep), method=method, test=test, weights=None if a is None else a[keep])
        usual = metaan.pool(take(eff, keep), method=method, test="z", weights=None if a is None else a[keep])
        s2 = (one.se / usual.se) ** 2
        share = res.weights / 100
        own = s2 * (V[i] + one.tau2)
        w = 1 / (V + one.tau2)
        spread = s2 * (1 / w.sum() if a is None else ((a / a.sum()) ** 2 / w).sum())
        moved = res.estimate - one.estimate
        expected = {
            "rstudent": (Y[i] - one.estimate) / math.sqrt(own + one.se**2),
            "dffits": moved / math.sqrt(share[i] * own),
            "cooks_d": moved**2 / res.se**2,
            "cov_ratio": one.se**2 / res.se**2,
            "tau2_del": one.tau2,
            "q_del": one.Q,
            "hat": share[i],
            "weight": res.weights[i],
            "dfbetas": moved / math.sqrt(spread),
        }
        for name, value in expected.items():
            assert table[name][i] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_rule():
    table = metaan.influence(metaan.pool(metaan.effects(Y, V), test="z"))
    k = len(Y)
    rule = (
        (table.dffits.abs() > 3 * math.sqrt(1 / (k - 1)))
        | (chi2.cdf(table.cooks_d, 1) > 0.5)
        | (table.hat > 3 / k)
        | (table.dfbetas.abs() > 1)
    )
    assert list(table.influential) == list(rule)
    assert list(table.influential) == [False, False, False, False, True, False]


def test_on_the_display_scale_as_on_the_other():
    res = metaan.pool(metaan.effect_size("PLO", events=X, total=N))
    a, b = metaan.influence(res), metaan.influence(res.back())
    assert a.equals(b)


def predictive(cdf, pmf, mu, sd, centre):
    """Normal score of the mid-p tail, by adaptive quadrature over the standardised effect."""
    inside = [c for c in ((centre - mu) / sd,) if abs(c) < 12]
    lower = lambda u: (cdf(mu + sd * u) - pmf(mu + sd * u) / 2) * norm.pdf(u)  # noqa: E731
    return norm.ppf(quad(lower, -12, 12, epsabs=1e-13, epsrel=1e-12, limit=1000, points=inside or None)[0])


@pytest.mark.parametrize(
    ("x", "n"),
    [(X, N), ([1, 9, 15, 3, 19, 2], [20] * 6), ([0, 10, 0, 8], [10, 10, 7, 8]), ([5, 9000, 20], [10, 20000, 30])],
)
def test_scores_of_rates(x, n):
    res = metaan.glmm("PLO", events=x, total=n)
    table, without = metaan.influence(res), metaan.leave_one_out(res)
    np.testing.assert_allclose(table.weight, res.weights, rtol=1e-8)
    for i in range(res.k):
        sd, logit = math.hypot(without.tau[i], without.se[i]), math.log((x[i] + 0.5) / (n[i] - x[i] + 0.5))
        score = predictive(
            lambda eta: binom.cdf(x[i], n[i], expit(eta)), lambda eta: binom.pmf(x[i], n[i], expit(eta)),  # noqa: B023
            without.estimate[i], sd, logit,
        )  # fmt: skip
        assert table.rstudent[i] == pytest.approx(score, abs=1e-8)
        moved = res.estimate - without.estimate[i]
        assert table.cooks_d[i] == pytest.approx((moved / res.se) ** 2, rel=1e-7)
        assert table.cov_ratio[i] == pytest.approx((without.se[i] / res.se) ** 2, rel=1e-7)
        assert table.dfbetas[i] == pytest.approx(moved / without.se[i], rel=1e-7)
        assert table.tau2_del[i] == without.tau2[i]
        assert table.q_del[i] == without.Q[i]


RATE = {
    "probit": norm.cdf,
    "cloglog": lambda eta: -math.expm1(-math.exp(min(eta, 300))),
    "log": lambda eta: math.exp(min(eta, 0.0)),
}


@pytest.mark.parametrize("link", list(RATE))
def test_scores_under_other_links(link):
    res = metaan.glmm("PLO", events=X, total=N, link=link)
    table, without = metaan.influence(res), metaan.leave_one_out(res)
    for i in (0, 3, 6):
        score = predictive(
            lambda eta: binom.cdf(X[i], N[i], RATE[link](eta)), lambda eta: binom.pmf(X[i], N[i], RATE[link](eta)),  # noqa: B023
            without.estimate[i], math.hypot(without.tau[i], without.se[i]), res.effects.yi[i],
        )  # fmt: skip
        assert table.rstudent[i] == pytest.approx(score, abs=1e-7)


def test_scores_of_events_over_time():
    res = metaan.glmm("IRLN", events=X, time=N)
    table, without = metaan.influence(res), metaan.leave_one_out(res)
    for i in (0, 3, 6):
        score = predictive(
            lambda eta: poisson.cdf(X[i], N[i] * math.exp(eta)), lambda eta: poisson.pmf(X[i], N[i] * math.exp(eta)),  # noqa: B023
            without.estimate[i], math.hypot(without.tau[i], without.se[i]), res.effects.yi[i],
        )  # fmt: skip
        assert table.rstudent[i] == pytest.approx(score, abs=1e-8)


ARMS = [3, 2, 0, 5, 1], [20, 30, 15, 40, 10], [1, 5, 2, 3, 6], [22, 28, 14, 45, 12]


def test_scores_of_two_arms():
    a, n1, c, n2 = ARMS
    res = metaan.glmm("OR", events_t=a, total_t=n1, events_c=c, total_c=n2)
    table, without = metaan.influence(res), metaan.leave_one_out(res)
    for i in range(res.k):
        given = (n1[i] + n2[i], a[i] + c[i], n1[i])
        score = predictive(
            lambda eta: nchypergeom_fisher.cdf(a[i], *given, math.exp(eta)),  # noqa: B023
            lambda eta: nchypergeom_fisher.pmf(a[i], *given, math.exp(eta)),  # noqa: B023
            without.estimate[i], math.hypot(without.tau[i], without.se[i]), res.effects.yi[i],
        )  # fmt: skip
        assert table.rstudent[i] == pytest.approx(score, abs=1e-6)


def test_scores_are_standard_normal_under_the_model():
    """Mid-p scores have mean 0 and a variance near 1 when the others tell mu and tau."""
    rng = np.random.default_rng(7)
    n = rng.integers(30, 200, 200)
    x = rng.binomial(n, expit(rng.normal(-1, 0.6, 200)))
    scores = metaan.influence(metaan.glmm("PLO", events=x, total=n)).rstudent
    assert abs(scores.mean()) < 0.2
    assert scores.std() == pytest.approx(1, abs=0.15)


def test_no_finite_estimate_without_a_study():
    table = metaan.influence(metaan.glmm("PLO", events=[0, 0, 5, 0], total=[10, 20, 30, 15]))
    assert table.rstudent[2] == math.inf
    assert table.cooks_d[2] == table.dfbetas[2] == math.inf
    assert bool(table.influential[2])
    assert "separated" in [note.code for note in table.attrs["notes"]]
    assert np.isfinite(table.rstudent[[0, 1, 3]]).all()


def test_no_finite_estimate_at_all():
    table = metaan.influence(metaan.glmm("PLO", events=[0, 0, 0], total=[12, 30, 9]))
    assert table[["rstudent", "dffits", "cooks_d", "dfbetas"]].isna().all(axis=None)
    assert not table.influential.any()
    assert {note.code for note in table.attrs["notes"]} >= {"no-diagnostics", "separated"}


def test_what_is_refused():
    with pytest.raises(InputError, match="two studies"):
        metaan.influence(metaan.pool(metaan.effects([0.3], [0.1])))
    a, n1, c, n2 = ARMS
    with pytest.raises(OptionError, match="leave_one_out"):
        metaan.influence(metaan.glmm("RR", events_t=a, total_t=n1, events_c=c, total_c=n2))


def test_columns_are_in_the_vocabulary():
    res = metaan.glmm("PLO", events=X, total=N)
    counts = metaan.pool_many(events=[X], total=[N], model="glmm")
    for table in (metaan.influence(res), metaan.leave_one_out(res), metaan.cumulative(res), counts):
        assert set(table.columns) <= set(COLUMNS)


def test_two_studies():
    table = metaan.influence(metaan.pool(metaan.effects([0.3, 0.9], [0.1, 0.2]), test="hk"))
    assert list(table.tau2_del) == [0, 0]
    assert table.rstudent[0] == pytest.approx(-0.6 / math.sqrt(0.3))
    assert {"one-study"} <= {note.code for note in table.attrs["notes"]}
