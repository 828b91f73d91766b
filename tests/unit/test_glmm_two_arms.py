"""Conditional models of two arms: the likelihood itself, its maximum, and an answer on every valid input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import binom, nchypergeom_fisher, norm

import metaan
from metaan.core.binomial import evaluate, trapezoid
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.errors import DataError, OptionError

TRIALS = {
    "events_t": [4, 0, 7, 2, 11],
    "total_t": [20, 15, 30, 22, 41],
    "events_c": [8, 3, 7, 9, 6],
    "total_c": [21, 16, 28, 20, 40],
}
TIMES = {"events_t": [4, 0, 7, 12], "time_t": [20.5, 15, 30, 41], "events_c": [8, 3, 7, 6], "time_c": [21, 16, 28, 40]}


def columns(data):
    return [np.array(values, dtype=float) for values in data.values()]


def witness(data, model, mu, tau):
    """Marginal log-likelihood by scipy's distributions and 4,001 equal steps over 24 standard deviations."""
    theta = mu + tau * np.linspace(-12, 12, 4001) if tau > 0 else np.array([mu])
    prior = np.full(theta.size, 24 / 4000) * norm.pdf(np.linspace(-12, 12, 4001)) if tau > 0 else np.ones(1)
    total = 0.0
    for a, size_t, c, size_c in zip(*columns(data), strict=True):
        if model == "CM.EL":
            j = np.arange(max(0, a + c - size_c), min(size_t, a + c) + 1)
            base = nchypergeom_fisher.logpmf(j, int(size_t + size_c), int(size_t), int(a + c), 1.0)
            terms = base[:, None] + j[:, None] * theta
            log_f = base[j == a] + a * theta - logsumexp(terms, axis=0)
        else:
            log_f = binom.logpmf(a, a + c, expit(theta + math.log(size_t / size_c)))
        total += math.log(prior @ np.exp(log_f))
    return total


CASES = [("OR", TRIALS, "CM.EL"), ("OR", TRIALS, "CM.AL"), ("IRR", TIMES, "CM.AL")]  # IRR: binomial, as CM.AL


@pytest.mark.parametrize(("measure", "data", "model"), CASES)
def test_likelihood_and_its_maximum(measure, data, model):
    res = metaan.glmm(measure, **data, model=model if measure == "OR" else None)
    assert res.loglik == pytest.approx(witness(data, model, res.estimate, res.tau), abs=1e-9)
    best = minimize(
        lambda at: -witness(data, model, at[0], abs(at[1])),
        [0.0, 0.7],
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-11},
    )
    assert res.loglik >= -best.fun - 1e-9
    assert res.estimate == pytest.approx(best.x[0], abs=1e-4)
    assert res.tau == pytest.approx(abs(best.x[1]), abs=1e-4)


@pytest.mark.parametrize("family", ["hypergeometric", "shifted"])
def test_derivatives(family):
    """Gradient and Hessian against central differences of the likelihood."""
    a, n1, c, n2 = columns(TRIALS)
    b = (
        Hypergeometric.from_tables(a, n1, c, n2)
        if family == "hypergeometric"
        else Shifted.from_counts(a, a + c, np.log(n1 / n2))
    )
    mu, tau, h = np.array([-0.4]), np.array([0.8]), 1e-4

    def at(mu, tau):
        return evaluate(b, mu, tau, trapezoid(b, mu, tau, 65))

    here = at(mu, tau)
    assert here.mu[0] == pytest.approx((at(mu + h, tau).loglik - at(mu - h, tau).loglik)[0] / (2 * h), rel=1e-6)
    assert here.tau[0] == pytest.approx((at(mu, tau + h).loglik - at(mu, tau - h).loglik)[0] / (2 * h), rel=1e-6)
    assert here.mu_mu[0] == pytest.approx((at(mu + h, tau).mu - at(mu - h, tau).mu)[0] / (2 * h), rel=1e-6)
    assert here.mu_tau[0] == pytest.approx((at(mu, tau + h).mu - at(mu, tau - h).mu)[0] / (2 * h), rel=1e-6)
    assert here.tau_tau[0] == pytest.approx((at(mu, tau + h).tau - at(mu, tau - h).tau)[0] / (2 * h), rel=1e-6)


def test_cumulants_are_those_of_the_distribution():
    a, n1, c, n2 = columns(TRIALS)
    theta = 0.9
    of = Hypergeometric.from_tables(a, n1, c, n2).cumulants(np.full((5, 1), theta))
    for i in range(5):
        given = nchypergeom_fisher(int(n1[i] + n2[i]), int(n1[i]), int(a[i] + c[i]), math.exp(theta))
        low = max(0, a[i] + c[i] - n2[i])
        assert of[1][i, 0] == pytest.approx(given.mean() - low, rel=1e-10)
        assert of[2][i, 0] == pytest.approx(given.var(), rel=1e-8)


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL"])
def test_swapping_the_arms_inverts_the_ratio(model):
    swapped = dict(zip(TRIALS, (TRIALS[name] for name in ("events_c", "total_c", "events_t", "total_t")), strict=True))
    one, other = metaan.glmm("OR", **TRIALS, model=model), metaan.glmm("OR", **swapped, model=model)
    assert one.estimate == pytest.approx(-other.estimate, abs=1e-9)
    assert one.loglik == pytest.approx(other.loglik, abs=1e-9)
    assert (one.se, one.tau2) == pytest.approx((other.se, other.tau2), rel=1e-8)


def test_profile_limits_lie_chi2_below_the_maximum():
    res = metaan.glmm("OR", **TRIALS, ci="profile")
    for limit in (res.ci_low, res.ci_high):
        heights = [witness(TRIALS, "CM.EL", limit, tau) for tau in np.linspace(0, 3, 61)]
        assert max(heights) == pytest.approx(res.loglik - 3.841459 / 2, abs=2e-3)
    low, high = metaan.tau2_interval(res)
    assert low == 0 < res.tau2 < high


HARD = {
    "no treated events": ([0, 0, 0], [20, 30, 9], [3, 2, 1], [20, 25, 12]),
    "no control events": ([3, 2, 1], [20, 30, 9], [0, 0, 0], [20, 25, 12]),
    "opposite ends": ([3, 0], [20, 30], [0, 4], [20, 25]),
    "one trial": ([3], [20], [1], [20]),
    "everybody treated": ([20, 30], [20, 30], [19, 20], [20, 25]),
    "single events": ([1, 1, 0], [20, 30, 20], [0, 0, 1], [20, 25, 22]),
    "double zeros": ([0, 3, 0], [20, 30, 9], [0, 2, 1], [20, 25, 12]),
    "matched pairs": ([1, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]),
    "large": ([505, 62], [88391, 13598], [499, 248], [88391, 12867]),
}


@pytest.mark.parametrize("ci", ["wald", "profile"])
@pytest.mark.parametrize("model", ["CM.EL", "CM.AL"])
@pytest.mark.parametrize("name", HARD)
def test_always_answers(name, model, ci):
    res = metaan.glmm("OR", **dict(zip(TRIALS, HARD[name], strict=True)), model=model, ci=ci)
    assert res.ci_low <= res.estimate <= res.ci_high
    assert not math.isnan(res.ci_low + res.tau2) or math.isinf(res.ci_low)
    assert "nan" not in str(res.back())
    shown = res.back()
    assert 0 <= shown.ci_low <= shown.estimate <= shown.ci_high


def test_one_end_throughout_has_a_likelihood_ratio_limit():
    res = metaan.glmm("OR", **dict(zip(TRIALS, HARD["no treated events"], strict=True)))
    assert res.back().estimate == 0
    data = dict(zip(TRIALS, HARD["no treated events"], strict=True))
    assert witness(data, "CM.EL", res.ci_high, 0) == pytest.approx(-3.841459 / 2, abs=1e-6)
    assert "separated" in {note.code for note in res.notes}


def test_trials_that_say_nothing_are_named_and_change_nothing():
    more = {name: [*values, extra] for (name, values), extra in zip(TRIALS.items(), (0, 18, 0, 25), strict=True)}
    res = metaan.glmm("OR", **more, study=["A", "B", "C", "D", "E", "Silent"])
    assert res.k == 5
    assert res.loglik == pytest.approx(metaan.glmm("OR", **TRIALS).loglik, abs=1e-10)
    assert any("Silent" in str(note) for note in res.notes)
    with pytest.raises(DataError, match="says anything"):
        metaan.glmm("OR", events_t=[0], total_t=[9], events_c=[0], total_c=[8])


def test_columns_and_models_that_do_not_belong_are_refused():
    with pytest.raises(OptionError, match=r"needs events_t=.*does not take events, total"):
        metaan.glmm("OR", events=[1], total=[2])
    with pytest.raises(OptionError, match="needs events= and total="):
        metaan.glmm("PLO", **TRIALS)
    with pytest.raises(OptionError, match="one likelihood"):
        metaan.glmm("PLO", events=[1, 2], total=[9, 9], model="CM.EL")
    with pytest.raises(OptionError, match=r"'CM\.AL' does not exist for measure='IRR'"):
        metaan.glmm("IRR", **TIMES, model="CM.AL")
    with pytest.raises(OptionError, match=r"'UM\.XS' is not known\. Choose one of CM\.EL, CM\.AL, UM\.FS, UM\.RS"):
        metaan.glmm("OR", **TRIALS, model="UM.XS")
    with pytest.raises(DataError, match=r"CM\.AL"):
        metaan.glmm("OR", events_t=[300_000], total_t=[900_000], events_c=[300_001], total_c=[900_000])


def test_subgroups_and_differences_know_the_model():
    eff = metaan.effect_size("OR", **TRIALS, correction="only0")
    sub = metaan.subgroups(eff, by=list("aabbb"), model="glmm")
    b = {name: values[2:] for name, values in TRIALS.items()}
    assert sub.groups["b"].estimate == pytest.approx(metaan.glmm("OR", **b).estimate, abs=1e-12)
    why = metaan.explain_difference(metaan.pool(eff), metaan.glmm("OR", **TRIALS, model="CM.AL"))
    assert why.table["moved"].sum() == pytest.approx(
        metaan.glmm("OR", **TRIALS, model="CM.AL").back().estimate - metaan.pool(eff).back().estimate, abs=1e-10
    )
    exact = metaan.explain_difference(metaan.glmm("OR", **TRIALS), metaan.glmm("OR", **TRIALS, model="CM.AL"))
    assert exact.table["choice"].tolist() == ["start", "likelihood"]
