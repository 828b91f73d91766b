"""What must hold of comparisons, regressions, subgroups and conversions for any data."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import metaan

COUNTS, PERSON_TIME = ("OR", "RR", "RD", "AS", "PETO"), ("IRR", "IRD", "IRSD")
MEANS = ("MD", "SMD", "SMDH", "ROM", "VR", "CVR")
METHODS = ("REML", "ML", "DL", "HE", "HS", "SJ", "PM", "PMM", "CE")
few = settings(max_examples=40)


def column(low, high, digits=2):
    return st.floats(low, high).map(lambda value: round(value, digits))


def array(draw, k, strategy):
    return np.array(draw(st.lists(strategy, min_size=k, max_size=k)))


@st.composite
def tables(draw, least=1, most=6):
    k = draw(st.integers(least, most))
    n = {arm: array(draw, k, st.integers(2, 300)) for arm in "tc"}
    x = {arm: np.array([draw(st.integers(0, int(size))) for size in n[arm]]) for arm in "tc"}
    return {"events_t": x["t"], "total_t": n["t"], "events_c": x["c"], "total_c": n["c"]}


@st.composite
def means(draw, most=5):
    k = draw(st.integers(1, most))
    of = {"mean": column(0.5, 50), "sd": column(0.2, 9), "n": st.integers(2, 200)}
    return {f"{name}_{arm}": array(draw, k, strategy) for arm in "tc" for name, strategy in of.items()}


@st.composite
def rows(draw, least=6, most=12):
    """Effects, variances and a moderator that is not constant; the effects do not lie on a line."""
    k = draw(st.integers(least, most))
    y, v, x = (array(draw, k, strategy) for strategy in (column(-5, 5), column(0.05, 5), column(-3, 3)))
    assume(np.ptp(x) > 0.5 and np.ptp(y - np.polyval(np.polyfit(x, y, 1), x)) > 0.05)
    return y, v, x


def over_time(counts):
    return {name.replace("total", "time"): values for name, values in counts.items()}


def swapped(columns):
    other = {"_t": "_c", "_c": "_t"}
    return {name[:-2] + other[name[-2:]]: values for name, values in columns.items()}


def opposite(measure, columns, **options):
    one, other = (metaan.effect_size(measure, **of, **options) for of in (columns, swapped(columns)))
    np.testing.assert_allclose(other.yi, -one.yi, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.vi, one.vi, rtol=1e-9)


@given(tables(), st.sampled_from(COUNTS + PERSON_TIME))
def test_swapping_the_arms_turns_the_sign_of_counts(counts, measure):
    columns = over_time(counts) if measure in PERSON_TIME else counts
    opposite(measure, columns, correction="all")


@given(means(), st.sampled_from(MEANS))
def test_swapping_the_arms_turns_the_sign_of_means(columns, measure):
    if measure == "VR":
        columns = {name: values for name, values in columns.items() if not name.startswith("mean")}
    opposite(measure, columns)


@given(means(), st.sampled_from(MEANS), st.sampled_from([1e-4, 0.3, 60.0, 1e5]))
def test_the_unit_of_the_outcome_scales_a_difference_of_means_alone(columns, measure, unit):
    if measure == "VR":
        columns = {name: values for name, values in columns.items() if not name.startswith("mean")}
    scaled = {name: values if name.startswith("n") else unit * values for name, values in columns.items()}
    one, other = metaan.effect_size(measure, **columns), metaan.effect_size(measure, **scaled)
    factor = unit if measure == "MD" else 1.0
    np.testing.assert_allclose(other.yi, factor * one.yi, rtol=1e-8, atol=1e-9 * factor)
    np.testing.assert_allclose(other.vi, factor**2 * one.vi, rtol=1e-8)


@given(means(), column(1, 40))
def test_a_constant_added_to_the_outcome_changes_no_difference(columns, shift):
    moved = {name: values + shift if name.startswith("mean") else values for name, values in columns.items()}
    for measure in ("MD", "SMD"):
        one, other = metaan.effect_size(measure, **columns), metaan.effect_size(measure, **moved)
        np.testing.assert_allclose(other.yi, one.yi, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(other.vi, one.vi, rtol=1e-7)


def stratified(measure, counts):
    if measure == "PETO":
        return metaan.peto(**counts)
    return metaan.mantel_haenszel(measure, **(over_time(counts) if measure[0] == "I" else counts))


@given(tables(), st.sampled_from(["OR", "RR", "RD", "IRR", "IRD", "PETO"]))
def test_stratified_effects_of_duplicate_and_of_swapped_trials(counts, measure):
    x, y = counts["events_t"], counts["events_c"]
    a, b, c, d = x, counts["total_t"] - x, y, counts["total_c"] - y
    assume((a * d).sum() > 0 and (b * c).sum() > 0 and (a * counts["total_c"]).sum() > 0)
    one = stratified(measure, counts)
    twice = stratified(measure, {name: np.tile(values, 2) for name, values in counts.items()})
    other = stratified(measure, swapped(counts))
    assert twice.estimate == pytest.approx(one.estimate, rel=1e-9, abs=1e-12)
    assert twice.se**2 == pytest.approx(one.se**2 / 2, rel=1e-9)
    assert other.estimate == pytest.approx(-one.estimate, rel=1e-9, abs=1e-9)
    assert other.se == pytest.approx(one.se, rel=1e-7)


def fit(y, v, x, **options):
    return metaan.regress(metaan.effects(y, v, data=pd.DataFrame({"x": x})), "~ x", **options)


@given(rows(), st.sampled_from(METHODS), st.sampled_from(["z", "hk"]), column(-20, 20), column(-20, 20))
@few
def test_adding_a_line_to_the_effects_adds_it_to_the_coefficients(data, method, test, level, slope):
    y, v, x = data
    slope = 0.0 if method == "SJ" else slope  # its start is the variance of the effects themselves, as in metafor
    one, other = fit(y, v, x, method=method, test=test), fit(y + level + slope * x, v, x, method=method, test=test)
    np.testing.assert_allclose(other.estimate - [level, slope], one.estimate, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.se, one.se, rtol=1e-6, atol=1e-9)
    assert other.tau2 == pytest.approx(one.tau2, rel=1e-6, abs=1e-8)


@given(rows(), st.sampled_from(METHODS), st.sampled_from([1e-6, 1e-3, 7.0, 1e8]), st.sampled_from([1e-3, 20.0, 1e4]))
@few
def test_units_of_effects_and_moderators(data, method, unit, of_x):
    y, v, x = data
    one, other = fit(y, v, x, method=method), fit(unit * y, unit**2 * v, of_x * x, method=method)
    np.testing.assert_allclose(other.estimate / [unit, unit / of_x], one.estimate, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(other.se / [unit, unit / of_x], one.se, rtol=1e-6, atol=1e-8)
    assert other.tau2 / unit**2 == pytest.approx(one.tau2, rel=1e-6, abs=1e-8)
    assert pytest.approx(one.QM, rel=1e-5, abs=1e-8) == other.QM


@given(rows(), st.randoms(use_true_random=False), st.sampled_from(["separate", "common"]), st.sampled_from(["z", "hk"]))
@few
def test_the_order_of_studies_does_not_matter_to_subgroups(data, random, tau2, test):
    y, v, _ = data
    by, order = np.array(list("aabbcc") + ["a"] * (len(y) - 6)), list(range(len(y)))
    random.shuffle(order)
    assume(all(np.ptp(y[by == name]) > 0.01 for name in "abc"))
    one = metaan.subgroups(metaan.effects(y, v), by, tau2=tau2, test=test)
    other = metaan.subgroups(metaan.effects(y[order], v[order]), by[order], tau2=tau2, test=test)
    for name in "abc":
        for number in ("estimate", "se", "tau2", "ci_low"):
            expected = getattr(one.groups[name], number)
            assert getattr(other.groups[name], number) == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert pytest.approx(one.Q_between, rel=1e-5, abs=1e-7) == other.Q_between


@given(tables(least=4), st.sampled_from(["normal", "glmm"]), st.sampled_from([0.8, 0.99]))
@settings(max_examples=15)
def test_limits_of_differences_and_ratios_of_rates_are_possible(counts, model, level):
    eff = metaan.effect_size("PLO", events=counts["events_t"], total=counts["total_t"], correction="only0")
    by = ["a", "a", *["b"] * (eff.k - 2)]
    row = metaan.subgroups(eff, by, model=model, test="z", level=level).contrasts().table.iloc[0]
    assert -1 <= row["difference_low"] <= row["difference"] <= row["difference_high"] <= 1
    if math.isfinite(row["ratio"]):
        assert 0 <= row["ratio_low"] <= row["ratio"] <= row["ratio_high"]


@given(
    st.lists(st.tuples(column(-2.5, 2.5), column(0.01, 2)), min_size=1, max_size=6),
    st.sampled_from(["OR", "SMD", "ZCOR"]), st.sampled_from(["OR", "SMD", "COR", "ZCOR"]),
)  # fmt: skip
def test_conversions_there_and_back(pairs, start, to):
    y, v = np.array(pairs).T
    eff = metaan.effects(y, v, measure=start)
    there = metaan.convert_effects(eff, to)
    back = metaan.convert_effects(there, start)
    np.testing.assert_allclose(back.yi, y, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(back.vi, v, rtol=1e-7)
    assert (np.sign(there.yi) == np.sign(y)).all()
