"""What must hold for any counts under links, moderators, rates over time and the unconditional models."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.errors import ConvergenceError

LINKS = st.sampled_from(["logit", "probit", "cloglog", "log"])


@st.composite
def trials(draw, least=1, most=7, largest=120):
    k = draw(st.integers(least, most))
    n = draw(st.lists(st.integers(1, largest), min_size=k, max_size=k))
    return np.array([draw(st.integers(0, size)) for size in n]), np.array(n)


@st.composite
def pairs(draw, most=5):
    k = draw(st.integers(1, most))
    sizes = draw(st.lists(st.tuples(st.integers(2, 60), st.integers(2, 60)), min_size=k, max_size=k))
    n1, n2 = (np.array(side) for side in zip(*sizes, strict=True))
    return np.array([draw(st.integers(0, n)) for n in n1]), n1, np.array([draw(st.integers(0, n)) for n in n2]), n2


def sound(res):
    """Finite numbers in their order, and a text of at most twenty lines."""
    back = res.back()
    assert back.ci_low <= back.estimate <= back.ci_high
    assert math.isfinite(res.tau2)
    assert res.convergence.converged
    assert res.weights.sum() == pytest.approx(100)
    assert len(str(res).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)


def or_why(text, *args, **options):
    """A fit, or None where there is no finite maximum and the error has the text."""
    try:
        return metaan.glmm(*args, **options)
    except ConvergenceError as error:
        if text not in str(error):
            raise
        return None


@given(trials(), LINKS, st.sampled_from(["wald", "profile"]))
@settings(max_examples=35)
def test_every_link_answers(data, link, ci):
    x, n = data
    res = metaan.glmm("PLO", events=x, total=n, link=link, ci=ci)
    sound(res)
    assert res.back().ci_low >= 0
    assert res.back().ci_high <= 1
    assert 0 <= res.mean_rate.ci_low <= res.mean_rate.estimate <= res.mean_rate.ci_high <= 1
    assert res.loglik >= res.loglik_common - 1e-9 or "tau2-unbounded" in {note.code for note in res.notes}


@given(trials(least=2), LINKS, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_studies_does_not_matter(data, link, random):
    x, n = data
    order = list(range(len(x)))
    random.shuffle(order)
    one = metaan.glmm("PLO", events=x, total=n, link=link)
    two = metaan.glmm("PLO", events=x[order], total=n[order], link=link)
    assert two.loglik == pytest.approx(one.loglik, rel=1e-9, abs=1e-8)
    assert two.back().estimate == pytest.approx(one.back().estimate, abs=1e-5)


@given(trials())
@settings(max_examples=25)
def test_probits_mirror(data):
    x, n = data
    one, two = (metaan.glmm("PLO", events=e, total=n, link="probit") for e in (x, n - x))
    assert two.loglik == pytest.approx(one.loglik, rel=1e-9, abs=1e-8)
    assert two.back().estimate == pytest.approx(1 - one.back().estimate, abs=1e-6)


@given(trials(), st.floats(0.01, 100))
@settings(max_examples=40)
def test_rates_over_time_answer_in_any_unit(data, unit):
    x, n = data
    one, two = metaan.glmm("IRLN", events=x, time=n), metaan.glmm("IRLN", events=x, time=n * unit)
    sound(one)
    assert one.loglik >= one.loglik_common - 1e-9
    assert two.back().estimate == pytest.approx(one.back().estimate / unit, rel=1e-5)
    assert two.tau == pytest.approx(one.tau, rel=1e-4, abs=1e-4)


@given(trials(least=4), LINKS, st.integers(0, 999))
@settings(max_examples=8)
def test_moderators_never_lower_the_likelihood(data, link, seed):
    x, n = data
    frame = pd.DataFrame({"x": x, "n": n, "z": np.random.default_rng(seed).normal(size=len(x))})
    alone = metaan.glmm("PLO", frame, events="x", total="n", link=link)
    res = or_why("formula='~ z'", "PLO", frame, events="x", total="n", formula="~ z", link=link)
    if res is None:
        return
    assert res.loglik >= alone.loglik - 1e-7 or "tau2-unbounded" in {note.code for note in alone.notes}
    assert res.loglik >= res.loglik_common - 1e-9
    assert np.isfinite(res.se).all()
    assert (res.ci_low <= res.estimate).all()
    moved = metaan.glmm("PLO", frame.assign(z=1e6 * frame.z + 2e7), events="x", total="n", formula="~ z", link=link)
    assert moved.loglik == pytest.approx(res.loglik, abs=1e-6)
    json.dumps(res.to_dict(), allow_nan=False)


@given(pairs(), st.sampled_from([("OR", "UM.FS"), ("OR", "UM.RS"), ("IRR", "UM.FS"), ("IRR", "UM.RS")]))
@settings(max_examples=7)
def test_two_arms_answer_and_swap(data, which):
    (measure, model), (a, n1, c, n2) = which, data
    size = "time" if measure == "IRR" else "total"

    def fit(a, n1, c, n2):
        why, sizes = f"model='{model}' for measure='{measure}'", {f"{size}_t": n1, f"{size}_c": n2}
        return or_why(why, measure, model=model, events_t=a, events_c=c, **sizes)

    if a.sum() + c.sum() == 0 or (measure == "OR" and ((a + c == 0) | (a + c == n1 + n2)).all()):
        return
    one = fit(a, n1, c, n2)
    if one is None:
        return
    sound(one)
    two = fit(c, n2, a, n1)
    assert two.loglik == pytest.approx(one.loglik, abs=1e-6)
    assert two.tau == pytest.approx(one.tau, abs=1e-3)


@given(pairs(), st.sampled_from(["RR", "RD"]))
@settings(max_examples=4)
def test_risk_ratios_and_differences_answer_or_say_why(data, measure):
    a, n1, c, n2 = data
    if a.sum() + c.sum() == 0 and measure == "RR":
        return
    res = or_why(f"for measure='{measure}'", measure, model="UM.FS", events_t=a, total_t=n1, events_c=c, total_c=n2)
    if res is not None:
        assert math.isfinite(res.estimate)
        sound(res)


NAMES = ("events_t", "n_t", "events_c", "n_c")


def arms(*counts):
    return {name: list(values) for name, values in zip(NAMES, zip(*counts, strict=True), strict=True)}


TRIALS = arms((4, 20, 8, 21), (1, 15, 3, 16), (7, 30, 7, 28), (2, 22, 9, 20), (14, 41, 5, 40))
BASES = arms((4, 60, 8, 61), (12, 25, 13, 26), (7, 30, 7, 28), (2, 92, 9, 90), (14, 41, 5, 40))
RISKS = arms((44, 120, 68, 121), (31, 95, 43, 96), (57, 130, 47, 128), (62, 122, 69, 120), (54, 141, 75, 140))
CASES = {
    "OR FS": ("OR", "UM.FS", TRIALS), "IRR FS": ("IRR", "UM.FS", TRIALS), "RR FS": ("RR", "UM.FS", TRIALS),
    "RD FS": ("RD", "UM.FS", RISKS), "OR RS": ("OR", "UM.RS", BASES), "IRR RS": ("IRR", "UM.RS", BASES),
}  # fmt: skip


def columns(measure, data):
    size = "time" if measure == "IRR" else "total"
    return {name.replace("n_", f"{size}_"): values for name, values in data.items()}


def fit(case, data=None, **options):
    measure, model, own = CASES[case]
    given = columns(measure, data or own)
    if "formula" in options:
        return metaan.glmm(measure, pd.DataFrame(given), model=model, **{name: name for name in given}, **options)
    return metaan.glmm(measure, **given, model=model, **options)


@pytest.mark.parametrize("case", ["OR FS", "RR FS", "RD FS", "IRR RS"])
def test_swapped_arms_change_the_sign(case):
    _, _, data = CASES[case]
    swapped = {a: data[b] for a, b in zip(data, ("events_c", "n_c", "events_t", "n_t"), strict=True)}
    one, two = fit(case, ci="profile"), fit(case, swapped, ci="profile")
    assert (two.estimate, two.tau2, two.loglik) == pytest.approx((-one.estimate, one.tau2, one.loglik), abs=1e-7)
    assert (two.ci_low, two.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-6)
    np.testing.assert_allclose(two.blup, -one.blup, atol=1e-6)


@pytest.mark.parametrize("case", ["OR FS", "OR RS", "RD FS"])
def test_non_events_change_the_sign(case):
    _, _, data = CASES[case]
    other = {k: list(np.array(data[k.replace("events", "n")]) - v) if k.startswith("e") else v for k, v in data.items()}
    one, two = fit(case), fit(case, other)
    assert (two.estimate, two.tau2, two.loglik) == pytest.approx((-one.estimate, one.tau2, one.loglik), abs=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_order_formula_and_silent_trials(case):
    measure, _, data = CASES[case]
    one = fit(case)
    turned = fit(case, {name: values[::-1] for name, values in data.items()})
    plain = fit(case, formula="~ 1")
    for other in (turned, plain):
        assert float(np.ravel(other.estimate)[0]) == pytest.approx(one.estimate, abs=1e-7)
        assert (other.tau2, other.loglik) == pytest.approx((one.tau2, one.loglik), abs=1e-7)
    np.testing.assert_allclose(turned.blup[::-1], one.blup, atol=1e-6)
    assert float(plain.se[0]) == pytest.approx(one.se, rel=1e-6)
    if measure != "RD":
        more = fit(case, {name: [*values, 0 if "events" in name else 19] for name, values in data.items()})
        assert (more.estimate, more.loglik, more.k) == pytest.approx((one.estimate, one.loglik, 5), abs=1e-7)
        assert len(more.notes) > len(one.notes)


def test_conditional_and_fixed_rate_ratios_agree_without_heterogeneity():
    """Poisson counts: conditioning loses nothing on the common ratio."""
    one = metaan.glmm("IRR", **columns("IRR", TRIALS), model="CM.EL")
    even = {"events_t": [4, 2, 7], "n_t": [20, 10, 35], "events_c": [8, 4, 14], "n_c": [20, 10, 35]}
    cm, fs = (metaan.glmm("IRR", **columns("IRR", even), model=m) for m in ("CM.EL", "UM.FS"))
    assert cm.tau2 == fs.tau2 == 0
    assert (fs.estimate, fs.se) == pytest.approx((cm.estimate, cm.se), rel=1e-7)
    assert fs.estimate == pytest.approx(math.log(0.5), abs=1e-9)
    assert one.lrt == pytest.approx(2 * (one.loglik - one.loglik_common))


def test_huge_counts():
    big = {name: [v * 5000 for v in values] for name, values in RISKS.items()}
    for case in ("OR FS", "RR FS", "RD FS", "IRR FS", "OR RS"):
        measure, model, _ = CASES[case]
        res = metaan.glmm(measure, **columns(measure, big), model=model)
        effects = metaan.effect_size(measure, **columns(measure, big))
        assert res.estimate == pytest.approx(effects.yi.mean(), abs=2e-3)
        assert res.tau == pytest.approx(effects.yi.std(), rel=0.02)
