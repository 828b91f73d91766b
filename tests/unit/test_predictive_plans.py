"""Plans for the next trial: two-stage designs, sizes for a precision; the record and its text."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import binom, norm

import metaan
from metaan.core.next_trial import Rates, two_stage
from metaan.names import COLUMNS

A = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
B = A | {"events": [2, 3, 1, 4, 2, 3, 9, 7]}


def codes(res):
    return [note.code for note in res.notes]


# --- two-stage designs


def oc(p, r1, n1, r, n):
    """Equation of Simon 1989 for one rate."""
    stop = binom.cdf(r1, n1, p)
    x = np.arange(r1 + 1, n1 + 1)
    return stop, float((binom.pmf(x, n1, p) * binom.sf(r - x, n - n1, p)).sum())


@pytest.mark.parametrize("p", [0.05, 0.25, 0.6])
@pytest.mark.parametrize("design", [(0, 9, 2, 17), (3, 17, 10, 37), (4, 5, 4, 60)])
def test_two_stages_at_a_known_rate(p, design):
    found = two_stage(Rates(np.array([p]), np.ones(1)), *design)
    stop, promising = oc(p, *design)
    assert found.early_stop == pytest.approx(stop, abs=1e-12)
    assert found.promising == pytest.approx(promising, abs=1e-12)
    assert found.expected_n == pytest.approx(design[1] + (1 - stop) * (design[3] - design[1]))


def test_search_for_the_optimal_design():
    """Of all designs up to n = 20 for 5 % against 25 % at alpha 0.05, power 0.8, the best is 0/9, 2/17."""

    def at(p, design):
        return two_stage(Rates(np.array([p]), np.ones(1)), *design)

    designs = (
        (r1, n1, r, n) for n in range(10, 21) for n1 in range(5, n) for r1 in range(2) for r in range(max(r1, 1), 4)
    )
    good = [
        (at(0.05, d).expected_n, d) for d in designs if at(0.05, d).promising <= 0.05 and at(0.25, d).promising >= 0.8
    ]
    assert min(good)[1] == (0, 9, 2, 17)
    assert round(at(0.05, (0, 9, 2, 17)).early_stop, 2) == 0.63


def test_both_stages_share_one_true_rate():
    res = metaan.pool(metaan.effects([-0.5, -0.5], [0.5, 0.5], measure="PLO"), method="CE")
    new = metaan.predictive(res, 37)
    design = (5, 17, 12, 37)
    found = new.simon(*design)
    mean, sd = -0.5, 0.5
    expected = quad(lambda u: oc(expit(mean + sd * u), *design)[1] * norm.pdf(u), -8, 8)[0]
    assert found.promising == pytest.approx(expected, abs=1e-9)
    assert found.pass_stage1 + found.early_stop == pytest.approx(1)
    alone = metaan.predictive(res, 17).prob_at_least(6)
    assert found.pass_stage1 == pytest.approx(alone, abs=1e-9)
    second = metaan.predictive(res, 20).probability
    first = metaan.predictive(res, 17).probability
    independent = sum(first[x] * second[max(13 - x, 0) :].sum() for x in range(6, 18))
    assert abs(found.promising - independent) > 0.01
    assert "0.5" in str(found)
    assert set(found.to_frame().columns) <= set(COLUMNS)


def test_simulated_trials():
    """200,000 trials drawn from the law of (mu, tau): frequencies within four standard errors."""
    res = metaan.glmm("PLO", **A)
    new, rng, draws = metaan.predictive(res, 40), np.random.default_rng(11), 200_000
    law = new.law
    which = rng.choice(law.weight.size, draws, p=law.weight / law.weight.sum())
    p = expit(rng.normal(law.mean[which], law.sd[which]))
    first, second = rng.binomial(15, p), rng.binomial(25, p)
    found = new.simon(1, 15, 5, 40)
    for probability, hit in [
        (new.prob_at_least(6), first + second >= 6), (new.true_rate_exceeds(0.2), p > 0.2),
        (found.early_stop, first <= 1), (found.promising, (first > 1) & (first + second > 5)),
    ]:  # fmt: skip
        assert hit.mean() == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / draws))


def test_large_trials_sum_to_one():
    new = metaan.predictive(metaan.glmm("PLO", **A), 10_000)
    assert new.probability.sum() == pytest.approx(1, abs=1e-12)
    assert new.probability.min() >= 0
    assert new.low / 10_000 == pytest.approx(new.rate_low, abs=2e-3)


# --- sizes


def widths(n, interval="wilson", level=0.95):
    low, high = metaan.rate_interval(np.arange(n + 1), np.full(n + 1, n), interval=interval, level=level)
    return high - low


@pytest.mark.parametrize("interval", ["wilson", "clopper-pearson", "jeffreys"])
def test_expected_width_by_trying_every_n(interval):
    res = metaan.pool(metaan.effects([-0.5, -0.5], [0.5, 0.5], measure="PLO"), method="CE")
    found = metaan.precision_n(res, width=0.3, interval=interval, uncertainty="plugin")
    p = expit(-0.5)
    met = [binom.pmf(np.arange(n + 1), n, p) @ widths(n, interval) <= 0.3 for n in range(1, 80)]
    assert found.n == 1 + met.index(True)
    assert all(met[found.n - 1 :])
    assert found.expected_width == pytest.approx(
        binom.pmf(np.arange(found.n + 1), found.n, p) @ widths(found.n, interval)
    )


def test_assurance_costs_observations():
    res = metaan.glmm("PLO", **A)
    expected, sure = metaan.precision_n(res, half_width=0.1), metaan.precision_n(res, half_width=0.1, assurance=0.9)
    assert expected.n < sure.n
    assert sure.prob_within >= 0.9
    p = metaan.predictive(res, sure.n).probability
    assert sure.prob_within == pytest.approx(p[widths(sure.n) <= 0.2].sum(), abs=1e-9)
    before = metaan.predictive(res, sure.n - 1).probability
    assert before[widths(sure.n - 1) <= 0.2].sum() < 0.9
    assert str(sure.n) in str(sure)
    assert set(sure.to_frame().columns) <= set(COLUMNS)
    json.dumps(sure.to_dict(), allow_nan=False)


# --- record, text, refusals


def test_record():
    new = metaan.predictive(metaan.glmm("PLO", **A), 40, target=0.2)
    with pytest.raises(ValueError, match="read-only"):
        new.probability[0] = 1
    for other in (pickle.loads(pickle.dumps(new)), copy.deepcopy(new)):
        assert other.simon(1, 15, 5, 40) == new.simon(1, 15, 5, 40)
        with pytest.raises(ValueError, match="read-only"):
            other.law.weight[0] = 1
    json.dumps(new.to_dict(), allow_nan=False)
    assert {name for name, value in new.to_dict().items() if isinstance(value, float)} <= set(COLUMNS)
    for shown in (new, new.simon(1, 15, 5, 40), metaan.precision_n(metaan.glmm("PLO", **A), width=0.3)):
        assert shown._repr_html_().startswith("<div")


def test_text():
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="patient")
    res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
    new = metaan.predictive(res, 40, target=0.5)
    text = str(new)
    assert len(text.splitlines()) <= 20
    assert f"A new study of 40 patients: expected {new.mean:.1f} responders" in text
    assert f"95% prediction {new.low} to {new.high}" in text
    assert f"P(true rate > 50%) = {new.true_rate_exceeds(0.5):.3f}" in text
    assert all(note.text in text for note in new.notes)


def test_lesions_are_named_and_noted():
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    new = metaan.predictive(metaan.glmm("PLO", trials, events="events", total="total", study="study"), 40)
    assert "40 lesions" in str(new)
    assert "lesions-independent" in codes(new)


@pytest.mark.parametrize("n", [0, -1, 10_001, 4.5, True, "40", None])
def test_sizes_out_of_range(n):
    with pytest.raises(metaan.errors.InputError, match="n="):
        metaan.predictive(metaan.glmm("PLO", **A), n)


def test_refusals():
    res = metaan.glmm("PLO", **A)
    eff = metaan.effect_size("PLO", pd.DataFrame(B | {"year": range(8)}), events="events", total="total")
    odds = metaan.pool(metaan.effects([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], measure="OR"))
    robust = metaan.robust(metaan.pool(eff), cluster=[1, 1, 2, 2, 3, 3, 4, 4])
    error, new = metaan.errors, metaan.predictive(res, 10)
    for make, kind, text in [
        (lambda: metaan.predictive(res.back(), 10), error.InputError, "before back"),
        (lambda: metaan.predictive(odds, 10), error.InputError, "log odds ratio"),
        (lambda: metaan.predictive(eff, 10), error.InputError, "not Effects"),
        (lambda: metaan.predictive(metaan.regress(eff, "~ year"), 10), error.InputError, "moderators"),
        (lambda: metaan.predictive(robust, 10), error.OptionError, "own variances"),
        (lambda: metaan.predictive(res, 10, uncertainty="profil"), error.OptionError, "'profile'"),
        (lambda: metaan.predictive(res, 10, target=50), error.InputError, "0.5"),
        (lambda: metaan.predictive(res, 10, level=95), error.OptionError, "0.95"),
        (lambda: new.prob_at_least(12), error.InputError, "r=12"),
        (lambda: new.simon(3, 3, 4, 9), error.InputError, "r1=3"),
        (lambda: new.simon(1, 9, 4, 9), error.InputError, "n1=9"),
        (lambda: new.simon(1, 4, 0, 9), error.InputError, "r=0"),
        (lambda: metaan.precision_n(res), error.InputError, "one of the two"),
        (lambda: metaan.precision_n(res, width=0.2, half_width=0.1), error.InputError, "one of the two"),
        (lambda: metaan.precision_n(res, width=10), error.InputError, "per cent"),
        (lambda: metaan.precision_n(res, width=0.2, assurance=1.5), error.InputError, "assurance"),
        (lambda: metaan.precision_n(res, width=0.2, interval="wald"), error.OptionError, "interval"),
        (lambda: metaan.precision_n(res, width=1e-4, uncertainty="plugin"), error.InputError, "10,000"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=text):
            make()
