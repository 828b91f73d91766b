"""Mantel-Haenszel and Peto: statsmodels, single tables, identities; what is undefined is refused."""

import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, norm
from statsmodels.stats.contingency_tables import StratifiedTable

import metaan
from metaan.errors import DataError, InputError, OptionError

T = {"events_t": [8, 3, 12, 1, 9], "total_t": [40, 22, 61, 14, 30]}
C = {"events_c": [14, 5, 11, 2, 16], "total_c": [42, 20, 58, 30, 33]}
COUNTS = {name: np.array(values) for name, values in (T | C).items()}
A, B = COUNTS["events_t"], COUNTS["total_t"] - COUNTS["events_t"]
C_, D = COUNTS["events_c"], COUNTS["total_c"] - COUNTS["events_c"]
PEER = StratifiedTable(np.array([[A, B], [C_, D]]))
TIMES = {"events_t": A, "time_t": COUNTS["total_t"], "events_c": C_, "time_c": COUNTS["total_c"]}
NAMES = ["Adams", "Baker", "Clark", "Davis", "Evans"]
PERSONS = ("OR", "RR", "RD")


def columns(measure, counts=COUNTS):
    return (
        dict(zip(("events_t", "time_t", "events_c", "time_c"), counts.values(), strict=True))
        if measure[0] == "I"
        else counts
    )


def mh(measure, counts=COUNTS, **options):
    return metaan.mantel_haenszel(measure, **columns(measure, counts), **options)


def swapped(counts):
    return dict(zip(counts, [*list(counts.values())[2:], *list(counts.values())[:2]], strict=True))


def with_trial(*trial):
    return {name: np.append(values, value) for (name, values), value in zip(COUNTS.items(), trial, strict=True)}


def codes(res):
    return [note.code for note in res.notes]


def test_odds_ratio_is_that_of_statsmodels():
    res = mh("OR", level=0.9)
    assert res.estimate == pytest.approx(PEER.logodds_pooled, rel=1e-12)
    assert res.se == pytest.approx(PEER.logodds_pooled_se, rel=1e-12)
    assert (res.ci_low, res.ci_high) == pytest.approx(PEER.logodds_pooled_confint(0.1), rel=1e-10)
    assert res.back().estimate == pytest.approx(PEER.oddsratio_pooled, rel=1e-12)
    assert res.pvalue == pytest.approx(2 * norm.sf(abs(PEER.logodds_pooled) / PEER.logodds_pooled_se), rel=1e-10)


def test_risk_ratio_is_that_of_statsmodels():
    assert mh("RR").back().estimate == pytest.approx(PEER.riskratio_pooled, rel=1e-12)


@pytest.mark.parametrize("continuity", [True, False])
@pytest.mark.parametrize("measure", PERSONS)
def test_association_is_that_of_statsmodels(measure, continuity):
    found, theirs = mh(measure, continuity=continuity).association, PEER.test_null_odds(correction=continuity)
    assert (found.statistic, found.df, found.pvalue) == pytest.approx((theirs.statistic, 1, theirs.pvalue), rel=1e-9)


def test_homogeneity_is_that_of_statsmodels():
    res = mh("OR")
    for found, adjust in ((res.breslow_day, False), (res.tarone, True)):
        theirs = PEER.test_equal_odds(adjust=adjust)
        assert (found.statistic, found.df, found.pvalue) == pytest.approx(
            (theirs.statistic, 4, theirs.pvalue), rel=1e-8
        )
    assert res.tests()["statistic"].tolist() == [t.statistic for t in (res.association, res.breslow_day, res.tarone)]
    assert res.tests()["test"].tolist()[1:] == ["Breslow-Day", "Tarone"]
    assert mh("RR").tests()["statistic"].tolist() == [mh("RR").association.statistic]
    assert mh("RR").breslow_day is None


@pytest.mark.parametrize("i", range(5))
@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR", "IRD"])
def test_one_table_is_its_own_effect(measure, i):
    counts = {name: values[i : i + 1] for name, values in COUNTS.items()}
    res, own = mh(measure, counts), metaan.effect_size(measure, **columns(measure, counts))
    assert (res.estimate, res.se**2) == pytest.approx((own.yi[0], own.vi[0]), rel=1e-10)
    assert (res.k, res.Q_df, res.Q_pvalue, res.weights[0]) == pytest.approx((1, 0, 1, 100))


def test_association_in_one_table_is_pearsons():
    counts = {name: values[:1] for name, values in COUNTS.items()}
    n, pearson = 82, chi2_contingency([[8, 32], [14, 28]], correction=False).statistic
    assert mh("OR", counts, continuity=False).association.statistic == pytest.approx(pearson * (n - 1) / n, rel=1e-10)


def test_pooled_risk_difference_by_hand():
    n1, n2 = COUNTS["total_t"], COUNTS["total_c"]
    w = n1 * n2 / (n1 + n2)
    res = mh("RD")
    assert res.estimate == pytest.approx(w @ (A / n1 - C_ / n2) / w.sum(), rel=1e-12)
    np.testing.assert_allclose(res.weights, 100 * w / w.sum(), rtol=1e-12)
    np.testing.assert_allclose(res.Q, ((res.effects.yi - res.estimate) ** 2 / res.effects.vi).sum(), rtol=1e-12)


def test_each_estimate_is_the_weighted_mean_of_the_trials():
    for measure in ("OR", "RR", "RD", "IRR", "IRD"):
        res, own = mh(measure).back(), metaan.effect_size(measure, **columns(measure))
        each = own.yi if measure.endswith("D") else np.exp(own.yi)
        assert res.estimate == pytest.approx(np.average(each, weights=res.weights), rel=1e-10)


def test_patients_as_person_time():
    """With the patients for time, the estimates are the same sums; Poisson variances are larger than binomial ones."""
    for risk, rate in (("RR", "IRR"), ("RD", "IRD")):
        assert mh(rate).estimate == pytest.approx(mh(risk).estimate, rel=1e-12)
        assert mh(rate).se > mh(risk).se


@pytest.mark.parametrize("continuity", [True, False])
def test_association_over_time_by_hand(continuity):
    t1, t2, x = TIMES["time_t"], TIMES["time_c"], A + C_
    excess, variance = (A - x * t1 / (t1 + t2)).sum(), (x * t1 * t2 / (t1 + t2) ** 2).sum()
    expected = (abs(excess) - continuity / 2) ** 2 / variance
    assert mh("IRR", continuity=continuity).association.statistic == pytest.approx(expected, rel=1e-12)


def test_the_unit_of_time():
    weeks = COUNTS | {name: 52 * COUNTS[name] for name in ("total_t", "total_c")}
    assert mh("IRR", weeks).estimate == pytest.approx(mh("IRR").estimate, rel=1e-12)
    assert mh("IRR", weeks).se == pytest.approx(mh("IRR").se, rel=1e-12)
    assert mh("IRD", weeks).estimate == pytest.approx(mh("IRD").estimate / 52, rel=1e-12)
    assert mh("IRD", weeks).se == pytest.approx(mh("IRD").se / 52, rel=1e-12)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR", "IRD"])
def test_swapping_the_arms_inverts(measure):
    one, other = mh(measure), mh(measure, swapped(COUNTS))
    assert (other.estimate, other.se) == pytest.approx((-one.estimate, one.se), rel=1e-10)
    assert other.association == pytest.approx(one.association, rel=1e-10)


def test_counting_the_other_outcome():
    other = {"events_t": B, "total_t": COUNTS["total_t"], "events_c": D, "total_c": COUNTS["total_c"]}
    for measure in ("OR", "RD"):
        assert mh(measure, other).estimate == pytest.approx(-mh(measure).estimate, rel=1e-10)
        assert mh(measure, other).se == pytest.approx(mh(measure).se, rel=1e-10)


def test_peto_is_observed_less_expected():
    n1, n2, m = COUNTS["total_t"], COUNTS["total_c"], A + C_
    n = n1 + n2
    v = m * (n - m) * n1 * n2 / (n**2 * (n - 1))
    res = metaan.peto(**COUNTS)
    assert (res.estimate, res.se) == pytest.approx(((A - m * n1 / n).sum() / v.sum(), v.sum() ** -0.5), rel=1e-12)
    assert res.statistic**2 == pytest.approx(PEER.test_null_odds(correction=False).statistic, rel=1e-10)
    assert res.association.pvalue == pytest.approx(res.pvalue, rel=1e-9)
    np.testing.assert_allclose(res.weights, 100 * v / v.sum())
    common = metaan.pool(metaan.effect_size("PETO", **COUNTS), method="CE", test="z")
    assert (common.estimate, common.se, common.Q) == pytest.approx((res.estimate, res.se, res.Q), rel=1e-10)
    assert metaan.peto(**swapped(COUNTS)).estimate == pytest.approx(-res.estimate, rel=1e-12)


def test_arms_of_unequal_size_are_noted_for_peto():
    res = metaan.peto(**COUNTS, study=NAMES)
    assert [note.studies for note in res.notes if note.code == "peto-unbalanced"] == [("Davis",)]
    assert "'Davis'" in str(res)
    twice = {"events_t": [3, 4], "total_t": [20, 10], "events_c": [5, 6], "total_c": [10, 20]}
    assert "peto-unbalanced" not in codes(metaan.peto(**twice))


@pytest.mark.parametrize(
    ("measure", "trial"),
    [
        ("OR", (0, 30, 0, 25)),
        ("OR", (9, 9, 7, 7)),
        ("PETO", (0, 30, 0, 25)),
        ("RR", (0, 30, 0, 25)),
        ("IRR", (0, 30, 0, 25)),
    ],
)
def test_trials_that_say_nothing_about_a_ratio(measure, trial):
    fit = metaan.peto if measure == "PETO" else lambda **counts: metaan.mantel_haenszel(measure, **counts)
    without, res = (fit(**columns(measure, of)) for of in (COUNTS, with_trial(*trial)))
    named = fit(**columns(measure, with_trial(*trial)), study=[*NAMES, "Frank"])
    assert (res.estimate, res.se, res.k, res.Q) == pytest.approx(
        (without.estimate, without.se, 5, without.Q), rel=1e-12
    )
    assert (res.k_all, len(res.weights), "6" in res.effects.study) == (6, 5, False)
    assert [note.studies for note in named.notes if note.code == "no-information"] == [("Frank",)]
    assert "'Frank'" in str(named)
    assert "no-information" not in codes(without)


def test_a_trial_without_events_does_weigh_for_a_difference():
    res = mh("RD", with_trial(0, 30, 0, 30))
    w = (COUNTS["total_t"] * COUNTS["total_c"] / (COUNTS["total_t"] + COUNTS["total_c"])).sum()
    assert res.estimate == pytest.approx(mh("RD").estimate * w / (w + 15), rel=1e-12)
    assert (res.k, res.k_all) == (6, 6)


def test_one_zero_needs_no_correction_but_the_shown_effect_has_one():
    counts = with_trial(0, 30, 4, 30)
    res = metaan.mantel_haenszel("OR", **counts, study=[*NAMES, "Frank"])
    peer = StratifiedTable(np.array([[counts["events_t"], counts["total_t"] - counts["events_t"]],
                                     [counts["events_c"], counts["total_c"] - counts["events_c"]]]))  # fmt: skip
    assert res.estimate == pytest.approx(peer.logodds_pooled, rel=1e-12)
    assert [note.studies for note in res.notes if note.code == "zero-cell-shown"] == [("Frank",)]
    own = metaan.pool(res.effects)  # where 0.5 is added in what is pooled
    (note,) = (note for note in own.notes if note.code.startswith("zero-cell"))
    assert (note.code, note.studies) == ("zero-cell", ("Frank",))
    assert note.text.startswith("0.5 added to")
    assert res.effects.yi[-1] == pytest.approx(math.log(0.5 / 30.5 * 26.5 / 4.5), rel=1e-12)


UNDEFINED = {
    "no events treated": ([0, 0], [9, 9], [1, 2], [9, 9]), "no events control": ([1, 2], [9, 9], [0, 0], [9, 9]),
    "no events": ([0, 0], [9, 9], [0, 0], [9, 9]),
}  # fmt: skip


@pytest.mark.parametrize(("measure", "case"), list(itertools.product(["OR", "RR", "IRR"], UNDEFINED)))
def test_ratios_without_events_in_an_arm_are_refused(measure, case):
    counts = dict(zip(COUNTS, UNDEFINED[case], strict=True))
    with pytest.raises(DataError, match=f"Mantel-Haenszel {measure} is not defined: there are no events in"):
        mh(measure, counts)


def test_other_undefined_effects_are_refused():
    nothing, everybody = (
        {"events_t": x, "total_t": [9, 8], "events_c": x, "total_c": [9, 8]} for x in ([0, 0], [9, 8])
    )
    for counts in (nothing, everybody):
        with pytest.raises(DataError, match="no trial has both events and non-events"):
            metaan.peto(**counts)
        with pytest.raises(DataError, match="RD is not defined"):
            mh("RD", counts)
    with pytest.raises(DataError, match="OR is not defined"):
        mh("OR", everybody)


@pytest.mark.parametrize(
    ("measure", "given", "what"),
    [
        ("OR", TIMES, "needs events_t=, total_t=.* does not take time_t"), ("IRR", COUNTS, "does not take total_t"),
        ("OR", T, "needs events_t="), ("RD", COUNTS | {"n": [1] * 5}, "does not take n"),
        ("or", COUNTS, "Did you mean 'OR'"), ("PETO", COUNTS, "Choose one of OR, RR, RD, IRR, IRD"),
        ("OR", COUNTS | {"continuity": 1}, "True or False"), ("OR", COUNTS | {"level": 95}, r"level=0\.95"),
        ("OR", COUNTS | {"missing": "omit"}, "raise, drop"),
    ],
)  # fmt: skip
def test_wrong_columns_and_options(measure, given, what):
    with pytest.raises(OptionError, match=what):
        metaan.mantel_haenszel(measure, **given)


def test_impossible_counts_name_the_trial():
    with pytest.raises(DataError, match="events_t exceeds total_t: study 'Adams'"):
        mh("OR", COUNTS | {"events_t": [41, 3, 12, 1, 9]}, study=NAMES)
    with pytest.raises(DataError, match="time_c must be positive: study 'Clark'"):
        metaan.mantel_haenszel("IRR", **TIMES | {"time_c": [1, 1, 0, 1, 1]}, study=NAMES)
    with pytest.raises(DataError, match="'Evans'"):
        metaan.peto(**COUNTS | {"events_c": [1, 1, 1, 1, None]}, study=NAMES)
    dropped = metaan.peto(**COUNTS | {"events_c": [14, 5, 11, 2, None]}, study=NAMES, missing="drop")
    assert dropped.estimate == metaan.peto(**{name: values[:4] for name, values in COUNTS.items()}).estimate
    assert [note.studies for note in dropped.notes if note.code == "dropped"] == [("Evans",)]


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR", "IRD", "PETO"])
def test_views(measure):
    table = pd.DataFrame(columns(measure)).assign(name=NAMES)
    asked = {name: name for name in columns(measure)} | {"study": "name"}
    res = metaan.peto(table, **asked) if measure == "PETO" else metaan.mantel_haenszel(measure, table, **asked)
    back = res.back()
    turn = float if measure.endswith("D") else math.exp
    assert (back.estimate, back.ci_high) == pytest.approx((turn(res.estimate), turn(res.ci_high)), rel=1e-12)
    text = str(res)
    assert len(text.splitlines()) <= 20
    for part in (
        "5 studies",
        f"Measure: {measure} ",
        "Peto" if measure == "PETO" else "Mantel-Haenszel",
        "Common-effect",
    ):
        assert part in text
    rows = metaan.forest_table(res).query("row == 'study'")
    assert rows["study"].tolist() == NAMES
    np.testing.assert_allclose(rows["weight"].astype(float), res.weights)
    assert json.loads(json.dumps(res.to_dict(), allow_nan=False))["k_all"] == 5
    assert pickle.loads(pickle.dumps(res)).to_dict() == res.to_dict()
    with pytest.raises(InputError):
        metaan.tau2_interval(res)
