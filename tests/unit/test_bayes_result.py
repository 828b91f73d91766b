"""What `bayes` refuses, and the views of its result."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import metaan
from metaan import HalfCauchy, HalfNormal, NormalPrior, Uniform
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS

Y, V = np.array([0.1, 0.6, 0.2]), np.array([0.04, 0.09, 0.02])
X, N = np.array([3.0, 0.0, 5.0]), np.array([10.0, 12.0, 9.0])


def codes(res):
    return [note.code for note in res.notes]


def normal(**options):
    return metaan.bayes(metaan.effects(Y, V), **({"tau_prior": HalfNormal(0.5)} | options))


@pytest.fixture(scope="module")
def res():
    return metaan.bayes(events=X, total=N, study=["a", "b", "c"])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: metaan.bayes(metaan.effects(Y, V)), "no default prior"),
        (lambda: metaan.bayes(metaan.effects(Y[:2], V[:2]), tau_prior=Uniform()), "2 studies"),
        (lambda: metaan.bayes(events=[0, 0], total=[5, 6]), "NormalPrior"),
        (lambda: metaan.bayes(events=[5, 6], total=[5, 6]), "NormalPrior"),
        (lambda: metaan.bayes(events=[0, 6], total=[5, 6], tau_prior=HalfCauchy(1)), "at 0 or n"),
        (lambda: normal(tau_prior=lambda t: 1 / t), "not integrable at tau = 0"),
        (lambda: normal(tau_prior=lambda t: -t), "density"),
        (lambda: normal(tau_prior=lambda t: 0 * t), "0 everywhere"),
        (lambda: normal(tau_prior="half-normal"), "HalfNormal"),
        (lambda: normal(tau_prior=HalfNormal), "HalfNormal"),
        (lambda: normal(mu_prior=(0, 1)), "NormalPrior"),
        (lambda: normal(interval="hpd"), "interval"),
        (lambda: normal(model="poisson"), "model"),
        (lambda: normal(model="binomial"), "counts"),
        (lambda: metaan.bayes(events=X, total=N, model="normal"), "effect_size"),
        (lambda: HalfNormal(-1), "positive"),
        (lambda: HalfCauchy(True), "positive"),
        (lambda: Uniform(0), "positive"),
        (lambda: NormalPrior(math.nan, 1), "finite"),
    ],
)
def test_what_cannot_be_is_refused(call, match):
    with pytest.raises(OptionError, match=match):
        call()


@pytest.mark.parametrize(
    "call", [lambda: metaan.bayes(), lambda: metaan.bayes(Y), lambda: metaan.bayes(metaan.effects(Y, V), events=X)]
)
def test_input_that_is_none(call):
    with pytest.raises(InputError):
        call()


def test_default_priors_are_noted(res):
    assert res.tau_prior == "half-normal(1)"
    assert any("default" in str(note) for note in res.notes if note.code == "tau-prior")
    ratio = metaan.bayes(metaan.effects(Y, V, measure="OR"))
    assert ratio.tau_prior == "half-normal(0.5)"


def test_counts_behind_effects(res):
    eff = metaan.effect_size("PLO", events=X, total=N, study=["a", "b", "c"], correction="only0")
    exact = metaan.bayes(eff, model="binomial")
    assert exact.estimate == res.estimate
    assert "zero-cell" not in codes(exact)
    assert "zero-cell" in codes(metaan.bayes(eff))


def test_no_events_at_all_under_a_normal_prior():
    none = metaan.bayes(events=[0, 0, 0], total=[10, 20, 30], mu_prior=NormalPrior(0, 2))
    every = metaan.bayes(events=[10, 20, 30], total=[10, 20, 30], mu_prior=NormalPrior(0, 2))
    assert 0 < none.back().ci_low < none.back().ci_high < 0.2
    assert every.estimate == pytest.approx(-none.estimate, rel=1e-8)


def test_the_tail_that_is_left_out_is_noted():
    x, n = [0, 20, 0], [10, 20, 30]
    res = metaan.bayes(events=x, total=n, tau_prior=HalfCauchy(0.5), mu_prior=NormalPrior(0, 2))
    assert {"heavy-tail", "tau-cut"} <= set(codes(res))
    assert math.isnan(res.summary().loc["theta_new", "mean"])
    assert math.isfinite(res.summary().loc["mu", "sd"])
    assert res.studies()["mean"].isna().tolist() == [True, True, True]
    assert np.isfinite(res.studies()[["median", "ci_low", "ci_high"]]).all(axis=None)


def test_quantile_cdf_density(res):
    p = np.array([0.01, 0.3, 0.5, 0.99])
    for what in ("mu", "tau", "new", "b"):
        x = res.quantile(p, what)
        np.testing.assert_allclose(res.cdf(x, what), p, atol=1e-9)
        step = 1e-4
        slope = (res.cdf(x + step, what) - res.cdf(x - step, what)) / (2 * step)
        np.testing.assert_allclose(res.density(x, what), slope, rtol=1e-4, atol=1e-8)
    with pytest.raises(OptionError, match="label"):
        res.cdf(0.1, "z")
    with pytest.raises(InputError):
        res.quantile(1.5)


def test_modes_are_where_densities_are_highest(res):
    for row, what in enumerate(("mu", "tau", "new")):
        found = res.summary()["mode"].iloc[row]
        near = found + np.array([0.0, -0.01, 0.01])
        assert res.density(np.maximum(near, 0) if what == "tau" else near, what).argmax() == 0


def test_shortest_intervals():
    central, short = normal(tau_prior=HalfCauchy(0.3)), normal(tau_prior=HalfCauchy(0.3), interval="shortest")
    assert short.ci_high - short.ci_low < central.ci_high - central.ci_low
    assert short.tau_high - short.tau_low < central.tau_high - central.tau_low
    assert np.diff(short.cdf([short.ci_low, short.ci_high]))[0] == pytest.approx(0.95, abs=1e-9)
    low, high = short.density([short.ci_low, short.ci_high])
    assert low == pytest.approx(high, rel=1e-6)


def test_prob(res):
    assert res.prob(above=0.2) == pytest.approx(1 - res.cdf(math.log(0.25))[0], abs=1e-12)
    assert res.prob(above=0.2) + res.prob(below=0.2) == pytest.approx(1, abs=1e-12)
    assert res.prob(above=0.1, below=0.2, what="new") == pytest.approx(
        res.prob(above=0.1, what="new") - res.prob(above=0.2, what="new"), abs=1e-12
    )
    assert res.prob(above=-1.0, scale="analysis") == pytest.approx(1 - res.cdf(-1.0)[0], abs=1e-12)
    assert res.prob(below=0.5, what="tau") == pytest.approx(res.cdf(0.5, "tau")[0], abs=1e-12)
    assert (res.prob(above=1.0), res.prob(above=0.0), res.prob(above=-0.5)) == (0, 1, 1)
    ratio = metaan.bayes(metaan.effects(Y, V, measure="OR"))
    assert ratio.prob(above=1) == pytest.approx(1 - ratio.cdf(0.0)[0], abs=1e-9)
    for call in (lambda: res.prob(), lambda: res.prob(above=0.3, below=0.2)):
        with pytest.raises(OptionError):
            call()


def test_display_scale(res):
    back = res.back()
    assert back.estimate == pytest.approx(1 / (1 + math.exp(-res.estimate)), rel=1e-12)
    summary = back.summary()
    assert summary.loc[["mu", "theta_new"], ["mode", "mean", "sd"]].isna().all(axis=None)
    assert summary.loc["tau"].equals(res.summary().loc["tau"])
    assert back.studies()["median"].between(0, 1).all()
    assert back.back() is back
    with pytest.raises(OptionError, match="no rate"):
        normal().mean_rate  # noqa: B018


def test_text_and_tables(res):
    text = str(res)
    assert len(text.splitlines()) <= 20
    for part in ("3 studies", "PLO", "half-normal(1)", "mu flat", "Bayes factor", *map(str, res.notes)):
        assert part in text
    assert len(str(normal(tau_prior=Uniform()).back()).splitlines()) <= 20
    assert set(res.to_frame().columns) | set(res.studies().columns) | set(res.summary().columns) <= set(COLUMNS)
    assert {name for name, value in res.to_dict().items() if isinstance(value, float)} <= set(COLUMNS)
    json.dumps(res.to_dict(), allow_nan=False)
    assert "Bayesian" in res._repr_html_()


def test_frozen_and_picklable(res):
    own = normal(tau_prior=lambda t: np.exp(-t))
    for one in (res, own):
        for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert str(again) == str(one)
            assert again.density(0.2, "tau")[0] == one.density(0.2, "tau")[0]
            with pytest.raises(ValueError, match="read-only"):
                again.grid.mu[0] = 1
    with pytest.raises(AttributeError):
        res.estimate = 0.0


def test_missing_counts():
    with pytest.raises(InputError, match="missing"):
        metaan.bayes(events=[1, None, 3], total=[9, 9, 9])
    dropped = metaan.bayes(events=[1, None, 3], total=[9, 9, 9], missing="drop")
    assert dropped.k == 2
    assert "dropped" in codes(dropped)


def test_the_same_numbers_every_time(res):
    again = metaan.bayes(events=X, total=N, study=["a", "b", "c"])
    assert np.array_equal(again.values, res.values)
