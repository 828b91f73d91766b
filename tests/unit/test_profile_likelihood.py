"""Profile likelihoods: their limits are the package's own, their curves those of a search by brute force."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.figures import effects, rates
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import betabinom, chi2, norm

import metaan
from metaan import profile_likelihood
from metaan.errors import InputError, OptionError

EVENTS, TOTAL = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


def two_maxima():
    rng = np.random.default_rng(374)
    y = rng.normal(0, 1, 6) * np.array([1, 1, 1, 1, 1, 6])
    return metaan.effects(y, np.exp(rng.uniform(-6, 4, 6)))


def height(table, at):
    name = table.attrs["parameter"]
    return float(table.loc[table[name] == at, "loglik"].iloc[0])


def assert_cut(table, low, high):
    """The curve is highest at its peak and chi2(1)/2 lower at both limits, which are the package's own."""
    attrs = table.attrs
    assert (attrs["low"], attrs["high"]) == (low, high)
    assert table["loglik"].max() == pytest.approx(attrs["loglik"], abs=1e-9)
    assert height(table, attrs["peak"]) == pytest.approx(attrs["loglik"], abs=1e-9)
    assert attrs["cut"] == pytest.approx(attrs["loglik"] - chi2.ppf(attrs["level"], 1) / 2, abs=1e-9)
    for end in (low, high):
        if end > 0:
            assert height(table, end) == pytest.approx(attrs["cut"], abs=1e-8)
    inside = table[attrs["parameter"]].between(low, high)
    assert (table.loc[inside, "loglik"] >= attrs["cut"] - 1e-8).all()
    assert (table.loc[~inside, "loglik"] < attrs["cut"]).all()
    json.dumps(attrs)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_tau2_of_effects_ends_where_its_interval_does(method):
    res = metaan.pool(effects(15), method=method)
    table = profile_likelihood(res)
    assert_cut(table, *metaan.tau2_interval(res, method="PL"))
    assert table.attrs["peak"] == res.tau2
    assert table.attrs["likelihood"] == method
    y, v = res.effects.yi, res.effects.vi
    for t, loglik, mu in table.iloc[::40].itertuples(index=False):
        w = 1 / (v + t)
        assert mu == pytest.approx(w @ y / w.sum(), rel=1e-12)
        plain = norm.logpdf(y, mu, np.sqrt(v + t)).sum()
        more = (np.log(2 * np.pi) + np.log(len(y)) - np.log(w.sum())) / 2 if method == "REML" else 0.0
        assert loglik == pytest.approx(plain + more, abs=1e-10)


def test_metafor_draws_the_same_curve():
    """metafor 3.8-1: profile(rma(yi, vi), xlim=c(0, 0.3), steps=2), and for ML a root of optimize() over tau2."""
    eff = metaan.effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01])
    table = profile_likelihood(metaan.pool(eff), limits=(0, 0.3))
    assert table["loglik"].iloc[[0, -1]].tolist() == pytest.approx([0.76830020170073, -1.16243651252549], abs=1e-12)
    attrs = profile_likelihood(metaan.pool(eff, method="ML"), parameter="estimate").attrs
    assert (attrs["low"], attrs["high"]) == (pytest.approx(0.08309943, abs=5e-9), pytest.approx(0.44365487, abs=5e-9))


def test_tau_is_the_root_of_tau2():
    res = metaan.pool(effects(15))
    tau, tau2 = profile_likelihood(res, parameter="tau"), profile_likelihood(res)
    np.testing.assert_allclose(tau["tau"] ** 2, tau2["tau2"], rtol=1e-12)
    np.testing.assert_array_equal(tau["loglik"], tau2["loglik"])
    assert tau.attrs["high"] == pytest.approx(np.sqrt(tau2.attrs["high"]))


def test_mean_of_effects_against_brute_force():
    res = metaan.pool(effects(9), method="ML")
    table = profile_likelihood(res, parameter="estimate")
    y, v = res.effects.yi, res.effects.vi
    top = norm.logpdf(y, res.estimate, np.sqrt(v + res.tau2)).sum()
    assert table.attrs["loglik"] == pytest.approx(top, abs=1e-10)
    assert_cut(table, table.attrs["low"], table.attrs["high"])
    for mu, loglik, tau2 in table.iloc[::25].itertuples(index=False):

        def fall(log_t, mu=mu):
            return -norm.logpdf(y, mu, np.sqrt(v + np.exp(log_t))).sum()

        starts = [
            minimize_scalar(fall, bounds=(a, a + 4), method="bounded", options={"xatol": 1e-9}) for a in (-9, -5, -1)
        ]
        best = max(-min(start.fun for start in starts), -fall(-np.inf))
        assert loglik == pytest.approx(best, abs=1e-8)
        assert -fall(np.log(tau2) if tau2 > 0 else -np.inf) == pytest.approx(loglik, abs=1e-10)


def test_mean_of_equal_variances_is_known_in_closed_form():
    """Of tau2 > 0 throughout: k log(1 + (mu - mean)^2/s2) = chi2."""
    y = np.array([-1.0, 0.2, 0.9, 1.4, 3.0])
    table = profile_likelihood(metaan.pool(metaan.effects(y, np.full(5, 1e-6)), method="ML"), parameter="estimate")
    half = np.sqrt(y.var() * np.expm1(chi2.ppf(0.95, 1) / 5))
    assert table.attrs["low"] == pytest.approx(y.mean() - half, rel=1e-9)
    assert table.attrs["high"] == pytest.approx(y.mean() + half, rel=1e-9)


def test_regressions_have_residual_tau2():
    rng = np.random.default_rng(4)
    x = rng.normal(size=20)
    eff = metaan.effects(0.4 * x + rng.normal(0, 0.5, 20), rng.uniform(0.05, 0.2, 20), data=pd.DataFrame({"x": x}))
    fit = metaan.regress(eff, "~ x", method="REML")
    table = profile_likelihood(fit)
    assert_cut(table, *metaan.tau2_interval(fit, method="PL"))
    assert table.columns.tolist() == ["tau2", "loglik"]
    assert table.attrs["peak"] == fit.tau2


def test_counts_of_one_arm():
    res = metaan.glmm("PLO", events=EVENTS, total=TOTAL, ci="profile")
    assert_cut(profile_likelihood(res, points=41), *metaan.tau2_interval(res))
    table = profile_likelihood(res.back(), parameter="estimate", points=41)
    assert_cut(table, res.back().ci_low, res.back().ci_high)
    assert table.attrs["loglik"] == pytest.approx(res.loglik, abs=1e-10)
    assert table["estimate"].between(0, 1).all()
    zero = profile_likelihood(res, points=41).iloc[0]
    assert (zero["tau2"], zero["loglik"]) == (0.0, pytest.approx(res.loglik_common, abs=1e-10))
    assert 1 / (1 + np.exp(-zero["estimate"])) == pytest.approx(sum(EVENTS) / sum(TOTAL), rel=1e-9)


def test_counts_of_one_arm_by_quadrature():
    res = metaan.glmm("PLO", events=EVENTS, total=TOTAL)
    tau2, loglik, mu = profile_likelihood(res, points=41).iloc[30]
    u = np.linspace(-12, 12, 4001)
    x, n = (np.array(part, dtype=float)[:, None] for part in (EVENTS, TOTAL))
    eta = mu + np.sqrt(tau2) * u
    constant = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    density = np.exp(constant + x * eta - n * np.logaddexp(0, eta))
    assert np.log(density @ norm.pdf(u) * (u[1] - u[0])).sum() == pytest.approx(loglik, abs=1e-9)


def test_counts_of_two_arms():
    arms = {"events_t": [3, 5, 2, 9, 1], "total_t": [20, 30, 22, 40, 18]}
    arms |= {"events_c": [1, 4, 4, 3, 2], "total_c": [20, 31, 20, 41, 19]}
    res = metaan.glmm("OR", **arms, ci="profile")
    assert_cut(profile_likelihood(res, points=41), *metaan.tau2_interval(res))
    shown = res.back()
    assert_cut(profile_likelihood(shown, parameter="estimate", points=41), shown.ci_low, shown.ci_high)


def test_beta_binomial():
    res = metaan.beta_binomial(events=EVENTS, total=TOTAL, ci="profile")
    table = profile_likelihood(res)
    assert table.columns.tolist() == ["rho", "loglik", "estimate"]
    assert_cut(table, res.rho_low, res.rho_high)
    for rho, loglik, eta in table.iloc[10::60].itertuples(index=False):
        m, size = 1 / (1 + np.exp(-eta)), (1 - rho) / rho
        own = betabinom.logpmf(EVENTS, TOTAL, m * size, (1 - m) * size).sum()
        assert loglik == pytest.approx(own, abs=1e-9)
    shown = res.back()
    assert_cut(profile_likelihood(shown, parameter="estimate", points=41), shown.ci_low, shown.ci_high)


def test_every_local_maximum_is_found():
    res = metaan.pool(two_maxima())
    assert res.convergence.maxima == 2
    table = profile_likelihood(res)
    low, high = table.attrs["maxima"]
    assert high == res.tau2
    for place in (low, high):
        around = profile_likelihood(res, limits=(0.99 * place, 1.01 * place))
        assert around["loglik"].max() == pytest.approx(height(table, place), abs=1e-12)
    assert height(table, low) < height(table, high)
    assert (table.loc[table["tau2"].between(low, high), "loglik"].min()) < height(table, low)
    assert len(profile_likelihood(metaan.pool(effects(15))).attrs["maxima"]) == 1


def test_points_and_limits_are_as_asked():
    res = metaan.pool(effects(15))
    table = profile_likelihood(res, points=11, limits=(0.1, 0.2))
    assert (table["tau2"].iloc[0], table["tau2"].iloc[-1]) == (0.1, 0.2)
    assert len(table) == 11 + sum(0.1 < mark < 0.2 for mark in (res.tau2, *metaan.tau2_interval(res, method="PL")))
    rate = metaan.glmm("PLO", events=EVENTS, total=TOTAL).back()
    ends = profile_likelihood(rate, parameter="estimate", limits=(0.05, 0.2), points=11)["estimate"]
    assert ends.iloc[[0, -1]].tolist() == [pytest.approx(0.05, abs=1e-3), pytest.approx(0.2, abs=1e-3)]


def test_tau2_at_zero_is_the_peak():
    res = metaan.pool(metaan.effects([0.1, 0.11, 0.12], [0.1, 0.2, 0.1]))
    table = profile_likelihood(res)
    assert (table.attrs["peak"], table.attrs["low"], table.attrs["maxima"]) == (0.0, 0.0, [0.0])


@pytest.mark.parametrize(
    ("res", "options", "message"),
    [
        (lambda: metaan.pool(rates(5), method="DL"), {}, "maximises no likelihood"),
        (lambda: metaan.pool(rates(5), method="CE"), {}, "has no tau2"),
        (lambda: metaan.pool(rates(5)), {"parameter": "estimate"}, r"use pool\(eff, method='ML'\)"),
        (lambda: metaan.pool(rates(5)), {"parameter": "rho"}, "choose 'tau2' or 'estimate'"),
        (lambda: metaan.pool(rates(5)), {"parameter": "I2"}, "Choose one of tau2, tau"),
        (lambda: metaan.pool(rates(5)), {"points": 3}, "from 11 to"),
        (lambda: metaan.pool(rates(5)), {"limits": (1, 0)}, "the lower one first"),
        (lambda: metaan.pool(rates(5)), {"limits": 3}, "two numbers"),
        (lambda: metaan.pool(rates(5)), {"limits": (-1, 1)}, "reach beyond what tau2 can be"),
        (lambda: metaan.pool(rates(1)), {}, "at least two studies"),
        (lambda: metaan.glmm("PLO", events=[0, 0, 0], total=[5, 6, 7]), {}, "at one end"),
        (lambda: metaan.glmm("PLO", events=[0, 6, 0], total=[5, 6, 7]), {}, "at 0 or n"),
        (lambda: metaan.beta_binomial(events=EVENTS, total=TOTAL), {"parameter": "tau2"}, "choose 'rho'"),
        (lambda: rates(5), {}, "takes the result of pool"),
    ],
)  # fmt: skip
def test_what_has_no_profile_is_refused(res, options, message):
    with pytest.raises(InputError, match=message):
        profile_likelihood(res(), **options)


def test_models_with_several_parts_are_refused():
    data = pd.DataFrame({"d": list("aabbccdd"), "x": range(8), "events": EVENTS, "total": TOTAL})
    nested = metaan.multilevel(metaan.effects(np.arange(8) * 0.1, [0.02] * 8, data=data), random="d")
    with pytest.raises(OptionError, match="sigma2_interval"):
        profile_likelihood(nested)
    with pytest.raises(OptionError, match="with moderators"):
        profile_likelihood(metaan.glmm("PLO", data, events="events", total="total", formula="~ x"))


@pytest.mark.parametrize("limits", [(-0.2, 0.6), (0.1, 0.101)])
def test_the_curve_of_a_mean_ends_where_it_is_asked_to(limits):
    res = metaan.pool(effects(9), method="ML")
    table = profile_likelihood(res, parameter="estimate", limits=limits)
    assert table["estimate"].iloc[[0, -1]].tolist() == pytest.approx(limits, abs=1e-15)


def test_the_curve_of_a_rate_ends_where_it_is_asked_to():
    eff = metaan.effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40])
    table = profile_likelihood(metaan.pool(eff, method="ML").back(), parameter="estimate", limits=(0.05, 0.3))
    assert table["estimate"].iloc[[0, -1]].tolist() == pytest.approx([0.05, 0.3], abs=1e-15)
    with pytest.raises(OptionError, match="far from the estimate"):
        profile_likelihood(metaan.pool(eff, method="ML").back(), parameter="estimate", limits=(2.0, 3.0))
