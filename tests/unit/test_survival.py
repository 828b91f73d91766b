"""Standard errors and hazard ratios from what papers print, against identities and simulated trials."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import metaan
from metaan import (
    hazard_ratio_from_ci,
    hazard_ratio_from_events,
    hazard_ratio_from_logrank,
    hazard_ratio_from_medians,
    se_from_ci,
    se_from_pvalue,
)
from metaan.errors import DataError, InputError, OptionError

FINITE = st.floats(-20, 20)
SE = st.floats(0.01, 5)
SCALES = {"identity": lambda y: y, "log": np.exp, "logit": lambda y: 1 / (1 + np.exp(-y))}


@given(st.floats(-3, 3), st.floats(0.01, 1.5), st.sampled_from(sorted(SCALES)), st.sampled_from([0.9, 0.95, 0.99]))
def test_an_interval_gives_its_standard_error_back(y, se, scale, level):
    back = SCALES[scale]
    for df, q in ((math.inf, stats.norm.ppf((1 + level) / 2)), (7.0, stats.t.ppf((1 + level) / 2, 7))):
        low, high = back(y - q * se), back(y + q * se)
        eff = se_from_ci([low], [high], estimate=[back(y)], scale=scale, level=level, df=df)
        assert eff.yi[0] == pytest.approx(y, rel=1e-7, abs=1e-9)
        assert eff.vi[0] == pytest.approx(se**2, rel=1e-6)
        assert [note.code for note in eff.notes] == ["se-from-ci"]
        assert se_from_ci([low], [high], scale=scale, level=level, df=df).yi[0] == pytest.approx(y, rel=1e-7, abs=1e-9)


@given(st.floats(0.05, 5), SE, st.booleans())
def test_a_p_value_gives_its_standard_error_back(y, se, negative):
    y = -y if negative else y
    p = 2 * stats.norm.sf(abs(y) / se)
    if not 1e-300 < p < 1:
        return
    assert se_from_pvalue([y], [p]).vi[0] == pytest.approx(se**2, rel=1e-6)
    assert se_from_pvalue([math.exp(y)], [p], scale="log").vi[0] == pytest.approx(se**2, rel=1e-6)
    assert se_from_pvalue([y], [p / 2], two_sided=False).vi[0] == pytest.approx(se**2, rel=1e-6)
    p = 2 * stats.t.sf(abs(y) / se, 12)
    assert se_from_pvalue([y], [p], df=12).vi[0] == pytest.approx(se**2, rel=1e-6)


def test_an_estimate_off_the_middle_is_noted():
    eff = se_from_ci([0.2, 0.5], [0.8, 2.0], estimate=[0.25, 1.0], scale="log", study=["Ames", "Bo"])
    note = next(note for note in eff.notes if note.code == "asymmetric-ci")
    assert note.studies == ("Ames",)
    # A ratio read on the wrong scale is off the middle, too.
    wrong = se_from_ci([0.5], [2.0], estimate=[1.0])
    assert "asymmetric-ci" in {note.code for note in wrong.notes}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: se_from_ci([2], [1], study=["Ames"]), DataError, "low must be below high: study 'Ames'"),
        (lambda: se_from_ci([-1], [1], scale="log"), DataError, "outside the log scale"),
        (lambda: se_from_ci([0], [0.5], scale="logit"), DataError, "outside the logit scale"),
        (lambda: se_from_ci([1], [2], estimate=[3]), DataError, "outside its interval"),
        (lambda: se_from_ci([1], [2], scale="ratio"), OptionError, "scale='ratio' is not known"),
        (lambda: se_from_ci([1], [2], level=95), OptionError, "Did you mean level=0.95"),
        (lambda: se_from_ci([1], [2], df="x"), DataError, "not a number"),
        (lambda: se_from_ci([1], [2], df=0), DataError, "df must be positive"),
        (lambda: se_from_ci([1], [float("nan")]), DataError, "missing or infinite"),
        (lambda: se_from_ci([1, 2], [3]), InputError, "Lengths differ"),
        (lambda: se_from_pvalue([1], [0]), DataError, "between 0 and 1"),
        (lambda: se_from_pvalue([1], [0.6], two_sided=False), DataError, "between 0 and 0.5"),
        (lambda: se_from_pvalue([0], [0.5]), DataError, "no effect"),
        (lambda: se_from_pvalue([1], [0.5], scale="log"), DataError, "no effect"),
        (lambda: se_from_pvalue([0.5], [0.5], scale="logit"), OptionError, "a rate has none"),
    ],
)
def test_bad_intervals_and_p_values(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_hazard_ratio_with_its_interval():
    eff = hazard_ratio_from_ci([0.7], [0.5], [0.98], study=["Ames"])
    assert eff.yi[0] == pytest.approx(math.log(0.7))
    assert math.sqrt(eff.vi[0]) == pytest.approx(math.log(0.98 / 0.5) / (2 * stats.norm.ppf(0.975)))


@given(st.floats(1e-6, 1), st.integers(2, 500), st.integers(2, 500))
def test_a_log_rank_p_value_comes_back(p, one, other):
    eff = hazard_ratio_from_logrank([p], events_t=[one], events_c=[other], favours="control")
    assert 2 * stats.norm.sf(eff.yi[0] / math.sqrt(eff.vi[0])) == pytest.approx(p, rel=1e-6)
    assert eff.vi[0] == pytest.approx(1 / one + 1 / other)
    mirrored = hazard_ratio_from_logrank([p], events_t=[one], events_c=[other], favours="treatment")
    assert mirrored.yi[0] == -eff.yi[0]


def test_the_ways_agree_where_they_say_the_same():
    equal = hazard_ratio_from_logrank([0.03], events=[120], favours="treatment")
    by_arm = hazard_ratio_from_logrank([0.03], events_t=[60], events_c=[60], favours="treatment")
    allocated = hazard_ratio_from_logrank(
        [0.03], events=[120], randomised_t=[90], randomised_c=[90], favours="treatment"
    )
    z = stats.norm.ppf(0.985)
    by_difference = hazard_ratio_from_events(o_minus_e=[-z * math.sqrt(30)], variance=[30])
    for eff in (by_arm, allocated, by_difference):
        np.testing.assert_allclose([eff.yi, eff.vi], [equal.yi, equal.vi], rtol=1e-12)
    two_to_one = hazard_ratio_from_logrank(
        [0.03], events=[120], randomised_t=[120], randomised_c=[60], favours="treatment"
    )
    assert two_to_one.vi[0] == pytest.approx(1 / (120 * 2 / 9))
    assert "equal size" in str(equal.notes[0])
    assert "numbers randomised" in str(two_to_one.notes[0])


def test_observed_and_expected():
    eff = hazard_ratio_from_events(observed_t=[30], expected_t=[40], observed_c=[50], expected_c=[40])
    assert eff.yi[0] == pytest.approx(math.log((30 / 40) / (50 / 40)))
    assert eff.vi[0] == pytest.approx(2 / 40)


def test_medians_say_that_hazards_are_taken_as_constant():
    eff = hazard_ratio_from_medians([12, 6], [9, 9], events_t=[40, 30], events_c=[50, 20], study=["Ames", "Bo"])
    np.testing.assert_allclose(eff.yi, np.log([9 / 12, 9 / 6]))
    np.testing.assert_allclose(eff.vi, [1 / 40 + 1 / 50, 1 / 30 + 1 / 20])
    assert "constant hazards" in eff.notes[0].text


def test_they_pool():
    eff = hazard_ratio_from_medians([12, 6, 8], [9, 9, 9], events_t=[40, 30, 20], events_c=[50, 20, 20])
    res = metaan.pool(eff)
    assert "hr-from-medians" in {note.code for note in res.notes}


def log_rank(time, treated):
    """O - E of the treated arm and its variance, every time an event; written out as the reference."""
    order = np.argsort(time)
    treated = treated[order]
    n = np.arange(len(time), 0, -1)
    at_risk = treated[::-1].cumsum()[::-1]
    share = at_risk / n
    return (treated - share).sum(), (share * (1 - share)).sum()


def test_every_way_recovers_a_simulated_hazard_ratio():
    """2,000 patients an arm, constant hazards, true HR 0.8: each within 3.5 of its standard errors."""
    rng = np.random.default_rng(1998)
    n, hr = 2000, 0.8
    time = np.concatenate([rng.exponential(1 / hr, n), rng.exponential(1, n)])
    treated = np.repeat([1.0, 0.0], n)
    difference, variance = log_rank(time, treated)
    p = 2 * stats.norm.sf(abs(difference) / math.sqrt(variance))
    expected = n - difference, n + difference
    ways = [
        hazard_ratio_from_events(o_minus_e=[difference], variance=[variance]),
        hazard_ratio_from_events(observed_t=[n], expected_t=[expected[0]], observed_c=[n], expected_c=[expected[1]]),
        hazard_ratio_from_logrank([p], events_t=[n], events_c=[n], favours="treatment"),
        hazard_ratio_from_medians([np.median(time[:n])], [np.median(time[n:])], events_t=[n], events_c=[n]),
    ]
    for eff in ways:
        se = math.sqrt(eff.vi[0])
        assert se == pytest.approx(math.sqrt(2 / n), rel=0.05)
        assert abs(eff.yi[0] - math.log(hr)) < 3.5 * se


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hazard_ratio_from_logrank([0.1], events=[9]), OptionError, "favours is missing"),
        (lambda: hazard_ratio_from_logrank([0.1], events=[9], favours="us"), OptionError, "favours='us'"),
        (lambda: hazard_ratio_from_logrank([0.1], favours="control"), OptionError, "Give events_t= and events_c="),
        (lambda: hazard_ratio_from_logrank([0.1], events_t=[1], favours="control"), OptionError, "Give events_t="),
        (
            lambda: hazard_ratio_from_logrank([0.1], events=[9], randomised_t=[9], favours="control"),
            OptionError,
            "together",
        ),
        (lambda: hazard_ratio_from_logrank([0], events=[9], favours="control"), DataError, "pvalue must lie above 0"),
        (lambda: hazard_ratio_from_logrank([0.1], events=[0], favours="control"), DataError, "events must be positive"),
        (lambda: hazard_ratio_from_logrank([0.1], events=[9, 9], favours="control"), InputError, "Lengths differ"),
        (lambda: hazard_ratio_from_logrank([0.1], events=[9], favours=["control"] * 2), OptionError, "2 values"),
        (lambda: hazard_ratio_from_logrank([0.1], events=[9], favours=3), OptionError, "favours=3"),
        (lambda: hazard_ratio_from_events(o_minus_e=[np.nan], variance=[1]), DataError, "missing or infinite"),
        (lambda: hazard_ratio_from_events(o_minus_e=[1]), OptionError, "Give o_minus_e= and variance="),
        (lambda: hazard_ratio_from_events(o_minus_e=[1], variance=[0]), DataError, "variance must be positive"),
        (lambda: hazard_ratio_from_medians([0], [1], events_t=[1], events_c=[1]), DataError, "median_t must be"),
    ],
)
def test_bad_survival_data(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_measure_gives_labels_and_the_way_back():
    eff = metaan.se_from_ci([0.6, 0.5], [1.2, 0.98], estimate=[0.85, 0.7], scale="log", measure="RR")
    assert eff.measure == "RR"
    pooled = metaan.pool(eff, method="CE", test="z")
    assert pooled.back().estimate == pytest.approx(math.exp(pooled.estimate))
    assert metaan.se_from_pvalue([3.8], [0.008], measure="MD").measure == "MD"
    assert metaan.hazard_ratio_from_ci([0.7], [0.5], [0.98]).measure == "HR"
    for scale, measure in (("identity", "OR"), ("log", "RD"), ("logit", "HR")):
        with pytest.raises(OptionError, match=f"measure='{measure}'.*scale='{scale}'"):
            metaan.se_from_ci([0.2], [0.4], scale=scale, measure=measure)
    with pytest.raises(OptionError, match="Choose one of"):
        metaan.se_from_ci([0.2], [0.4], measure="HAZARD")
