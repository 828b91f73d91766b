"""small_study_effects: which tests are run for which measure, what is said of them, and the record."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

COUNTED = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
TIMED = {"events": COUNTED["events"], "time": COUNTED["total"]}
ARMS = {"events_t": [4, 6, 2, 20, 0, 0], "total_t": [20, 30, 15, 50, 30, 18], "events_c": [8, 9, 7, 24, 3, 0],
        "total_c": [20, 31, 16, 48, 31, 18]}  # fmt: skip
TIMES = {"events_t": [4, 6, 2, 20], "time_t": [20, 30, 15, 90], "events_c": [8, 9, 7, 24], "time_c": [20, 31, 16, 88]}
MEANS = {"mean_t": [0.9, 0.7, 0.3, 0.2], "sd_t": [1.1, 1, 1, 1], "n_t": [9, 14, 40, 80], "mean_c": [0.0, 0.1, 0, 0],
         "sd_c": [1, 1.2, 1, 1], "n_c": [10, 14, 38, 82]}  # fmt: skip
CHANGE = {"mean_post": [1.0, 2, 1.5, 1.1], "mean_pre": [0.0, 0, 0, 0], "sd_post": [1, 1, 2, 1.0], "sd_pre": [1] * 4,
          "n": [10, 20, 30, 50], "r": [0.5, 0.4, 0.6, 0.5]}  # fmt: skip
CORRELATED = {"r": [0.4, 0.6, 0.2, 0.3, 0.1], "n": [20, 30, 15, 90, 33]}


def pooled(measure, **columns):
    return metaan.pool(metaan.effect_size(measure, **columns))


def names(found):
    return [one.test.split(" (")[0] for one in found.tests]


RATES = ["Score test", "Arcsine test", "Peters' test"]
RATIOS = ["Arcsine test", "Peters' test", "Harbord's test"]
PLAIN = ["Egger's regression test", "Mixed-effects version of Egger's test", "Rank correlation test"]
RESTATED = ["Egger's regression test", "Rank correlation test"]


@pytest.mark.parametrize(
    ("measure", "columns", "expected", "left"),
    [
        *((measure, COUNTED, RATES, {"egger", "begg"}) for measure in ("PR", "PLO", "PLN")),
        *((measure, COUNTED, RATES, set()) for measure in ("PAS", "PFT")),
        *((measure, ARMS, RATIOS, {"egger", "begg", "macaskill", "deeks"}) for measure in ("OR", "RR")),
        ("RD", ARMS, ["Arcsine test"] * 2, {"egger", "begg"}),
        ("AS", ARMS, ["Arcsine test"] * 2, set()),
        ("SMD", MEANS, ["Modified Egger's test"] * 2, {"egger", "begg"}),
        ("SMDH", MEANS, ["Regression test of funnel asymmetry"], {"begg"}),
        ("SMCC", CHANGE, ["Regression test of funnel asymmetry"], {"begg"}),
        ("ROM", MEANS | {"mean_c": [0.5, 0.6, 0.4, 0.5]}, ["Regression test of funnel asymmetry"], {"begg"}),
        ("MD", MEANS, PLAIN, set()),
        ("ZCOR", CORRELATED, PLAIN, set()),
        ("COR", CORRELATED, RESTATED, {"egger and begg of COR"}),
        ("IRLN", TIMED, RESTATED, {"egger and begg of IRLN"}),
        ("IRS", TIMED, PLAIN, set()),
        ("IRR", TIMES, RESTATED, {"egger and begg of IRR"}),
        ("IRD", TIMES, RESTATED, {"egger and begg of IRD"}),
    ],
)
def test_what_is_run(measure, columns, expected, left):
    found = metaan.small_study_effects(pooled(measure, **columns))
    assert names(found) == expected
    assert {name for name, _ in found.excluded} == left
    assert len(found.says) == len(found.tests)
    assert (found.measure, found.level) == (measure, 0.1)
    assert len(str(found).splitlines()) <= 20


@pytest.mark.parametrize("measure", ["OR", "RD", "SMD", "COR", "HR", "GEN"])
def test_ready_made_effects_without_counts(measure):
    eff = metaan.effects([0.1, 0.3, 0.2, 0.6], [0.01, 0.05, 0.03, 0.2], measure=measure)
    found = metaan.small_study_effects(metaan.pool(eff))
    assert names(found) == PLAIN
    assert ("linked" in {note.code for note in found.notes}) == (measure not in ("HR", "GEN"))


def test_ready_made_effects_with_counts_in_their_data():
    eff = metaan.effect_size("OR", **ARMS)
    ready = metaan.effects(eff.yi, eff.vi, measure="OR", data=pd.DataFrame(ARMS))
    ours, there = (metaan.small_study_effects(metaan.pool(one)) for one in (ready, eff))
    assert [one.statistic for one in ours.tests] == [one.statistic for one in there.tests]


def test_peto_has_a_standard_error_of_its_own():
    counts = {name: values[:5] for name, values in ARMS.items()}
    found = metaan.small_study_effects(pooled("PETO", **counts))
    assert names(found) == RATIOS
    assert {name for name, _ in found.excluded} == {"macaskill", "deeks"}


@pytest.mark.parametrize(
    ("measure", "columns", "other", "same"),
    [
        ("COR", CORRELATED, "ZCOR", CORRELATED),
        ("IRLN", TIMED, "IRS", TIMED),
        ("IRR", TIMES, "IRSD", TIMES),
        ("IRD", TIMES, "IRSD", TIMES),
    ],
)
def test_restated_measures(measure, columns, other, same):
    found, there = metaan.small_study_effects(pooled(measure, **columns)), pooled(other, **same)
    assert found.tests[0].statistic == pytest.approx(metaan.egger(there).statistic, rel=1e-12)
    assert found.tests[1].statistic == metaan.begg(there).statistic
    assert found.tests[0].measure == other
    assert "restated" in {note.code for note in found.notes}


@pytest.mark.parametrize(
    "fit",
    [
        lambda: metaan.glmm("PLO", **COUNTED),
        lambda: metaan.beta_binomial(**COUNTED),
        lambda: metaan.glmm("OR", **ARMS),
        lambda: metaan.mantel_haenszel("OR", **ARMS),
        lambda: metaan.peto(**ARMS),
        lambda: metaan.regress(metaan.effect_size("PLO", pd.DataFrame({"z": range(8)}), **COUNTED), "~ z"),
    ],
    ids=["glmm", "beta_binomial", "glmm OR", "mantel_haenszel", "peto", "regress"],
)
def test_every_kind_of_result(fit):
    found = metaan.small_study_effects(fit())
    assert len(found.tests) == 3
    assert all(0 < one.pvalue < 1 for one in found.tests)


def test_a_regression_has_no_rank_correlation():
    eff = metaan.effects([0.1, 0.4, 0.2, 0.9, 0.5], [0.01, 0.1, 0.03, 0.2, 0.1], data=pd.DataFrame({"z": range(5)}))
    found = metaan.small_study_effects(metaan.regress(eff, "~ z"))
    assert names(found) == PLAIN[:2]
    assert dict(found.excluded)["begg"].startswith("begg has no moderators")


def test_negative_correlations_in_the_data():
    rows = pd.DataFrame({"r": [0.1, 0.2, 0.3, -0.4, 0.0], "n": [10, 20, 30, 40, 25]})
    eff = metaan.effects(rows.r, (1 - rows.r**2) ** 2 / (rows.n - 1), measure="COR", data=rows)
    there = metaan.effect_size("COR", r=rows.r, n=rows.n)
    ours, theirs = (metaan.small_study_effects(metaan.pool(one)).tests[0] for one in (eff, there))
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-12)
    wrong = metaan.effects(rows.r, [0.1] * 5, measure="COR", data=rows.assign(r=1.2))
    with pytest.raises(DataError, match="r is missing or not from -1 to 1"):
        metaan.small_study_effects(metaan.pool(wrong))


UNEVEN = {"events": [3, 9, 4, 15, 2, 25, 9, 900], "total": [12, 20, 25, 33, 14, 50, 44, 2000]}


@pytest.mark.parametrize(
    "res",
    [
        metaan.glmm("PLO", **UNEVEN),
        pooled("PLO", **UNEVEN),
        pooled("OR", **{f"{name}_{arm}": values for name, values in UNEVEN.items() for arm in "tc"} | {
            "events_c": [5, 8, 9, 11, 4, 20, 14, 800]}),
        metaan.glmm("IRLN", events=UNEVEN["events"], time=UNEVEN["total"]),
        metaan.pool(metaan.effects(np.arange(8) % 3, 4 / np.array(UNEVEN["total"])), method="CE", test="z"),
        pooled("SMD", mean_t=np.arange(8) % 3, sd_t=np.ones(8), n_t=UNEVEN["total"], mean_c=np.zeros(8),
               sd_c=np.ones(8), n_c=UNEVEN["total"]),
    ],
    ids=["glmm", "PLO", "OR", "IRLN", "common", "SMD"],
)  # fmt: skip
def test_an_additive_variance_decides_where_one_study_is_far_larger(res):
    found = metaan.small_study_effects(res)
    assert "tau2" in found.tests[0].values
    assert "uneven-sizes" not in {note.code for note in found.tests[0].notes}
    assert "uneven-sizes" in {note.code for note in found.notes}
    labels = [one.test for one in found.tests]
    assert len(set(labels)) == len(labels)
    assert len(str(found).splitlines()) <= 20


def test_rare_events():
    found = metaan.small_study_effects(metaan.glmm("PLO", events=[0, 1, 0, 2, 1], total=[20, 44, 28, 90, 51]))
    assert names(found) == ["Score test", "Peters' test"]
    assert "1.5 events" in dict(found.excluded)["thompson_arcsine"]
    many = metaan.glmm("PLO", events=[20, 43, 28, 88, 50], total=[20, 44, 28, 90, 51])
    assert "thompson_arcsine" in dict(metaan.small_study_effects(many).excluded)
    assert "rare" in {note.code for note in metaan.thompson_arcsine(many).notes}
    with pytest.raises(DataError, match="only reflect n"):
        metaan.thompson_arcsine(metaan.glmm("PLO", events=[0, 0, 0], total=[20, 30, 40]))


def test_nothing_can_be_tested():
    with pytest.raises(DataError, match=r"No test of small-study effects can be computed.*same in every study"):
        metaan.small_study_effects(pooled("PLO", events=[3, 4, 5], total=[20, 20, 20]))
    with pytest.raises(DataError, match="at least 3"):
        metaan.small_study_effects(pooled("PLO", events=[3, 4], total=[20, 30]))
    with pytest.raises(InputError, match="needs events, total"):
        metaan.small_study_effects(metaan.pool(metaan.effects([0.1, 0.2, 0.4], [0.1, 0.2, 0.3], measure="PLO")))
    rows = pd.DataFrame({"r": [1.0, 0, 0], "n": 9})
    perfect = metaan.effects([0.1, 0.2, 1.0], [0.1, 0.2, 0.3], measure="COR", data=rows)
    with pytest.raises(DataError, match="no effect of measure ZCOR"):
        metaan.small_study_effects(metaan.pool(perfect))


@pytest.mark.parametrize("level", [0, 0.5, 95, "0.1", True])
def test_level(level):
    with pytest.raises(OptionError, match=r"such as 0\.10"):
        metaan.small_study_effects(pooled("PLO", **COUNTED), level=level)


def test_the_first_test_decides():
    res = metaan.pool(metaan.effects([0.1, 0.3, 0.35, 0.6, 0.8], [0.01, 0.02, 0.04, 0.09, 0.12]))
    loose, strict = metaan.small_study_effects(res), metaan.small_study_effects(res, level=0.001)
    assert (loose.sign, strict.sign) == (True, False)
    assert "By the first test, a sign of small-study effects at p < 0.1." in str(loose)
    assert "By the first test, no sign of small-study effects at p < 0.001." in str(strict)


def test_the_record():
    found = metaan.small_study_effects(pooled("OR", **ARMS))
    frame = found.to_frame()
    assert set(frame.columns) <= set(COLUMNS)
    assert list(frame.valid) == [True] * 3 + [False] * 4
    assert frame.pvalue[:3].tolist() == [one.pvalue for one in found.tests]
    assert frame.limit[1] == found.tests[1].values["limit"]
    assert np.isnan(frame.statistic[3:]).all()
    assert frame.attrs["notes"] == found.notes
    json.dumps(found.to_dict(), allow_nan=False)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert str(again) == str(found)
    assert "<table" in found._repr_html_()
    assert "Arcsine test" in repr(found)
    assert {"not-why", "low-power"} <= {note.code for note in found.notes}
    with pytest.raises(AttributeError):
        found.level = 0.2
