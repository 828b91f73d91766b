"""What the clustered model says on easy, hard and impossible input."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import chi2, norm

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

STUDIES = {"events": [31, 4, 7, 11, 2], "total": [61, 9, 12, 40, 17], "patients": [12, 9, 4, 10, 6]}
PATIENTS = {
    "events": [3, 0, 5, 1, 2, 0, 0, 2, 1, 4, 7, 2],
    "total": [4, 2, 5, 3, 2, 6, 3, 4, 1, 4, 8, 2],
    "study": ["Ames"] * 5 + ["Bo"] * 4 + ["Clark"] * 3,
}


def codes(res):
    return {note.code for note in res.notes}


HARD = {
    "no events": {"events": [0, 0, 0], "total": [12, 30, 9], "patients": [3, 10, 9]},
    "nothing but events": {"events": [12, 30], "total": [12, 30], "patients": [3, 10]},
    "either nothing or all": {"events": [0, 10, 0], "total": [10, 10, 5], "patients": [4, 2, 3]},
    "one study": {"events": [7], "total": [20], "patients": [6]},
    "one study without events": {"events": [0], "total": [10], "patients": [4]},
    "two studies": {"events": [3, 9], "total": [10, 12], "patients": [5, 4]},
    "equal rates": {"events": [2, 4, 6], "total": [20, 40, 60], "patients": [7, 9, 30]},
    "one patient a study": {"events": [2, 4, 6], "total": [5, 7, 6], "patients": [1, 1, 1]},
    "one lesion a patient": {"events": [2, 4, 6], "total": [5, 7, 10], "patients": [5, 7, 10]},
    "many lesions": {"events": [300, 2000, 40], "total": [1000, 5000, 90], "patients": [40, 900, 2]},
    "patients of one study": {"events": [2, 0, 3, 1], "total": [2, 4, 3, 5], "study": ["Ames"] * 4},
    "all or none": {"events": [2, 0, 3, 0, 5, 0], "total": [2, 4, 3, 5, 5, 2], "study": ["A", "A", "B", "B", "C", "C"]},
    "no events in patients": {"events": [0] * 4, "total": [2, 4, 3, 5], "study": ["A", "A", "B", "B"]},
    "patients": PATIENTS,
    "studies": STUDIES,
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("icc", [None, 0, 0.4])
def test_always_answers(name, icc):
    res = metaan.clustered_binomial(**HARD[name], icc=icc)
    back = res.back()
    assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1
    assert math.isfinite(res.tau2)
    assert math.isfinite(res.loglik)
    assert res.convergence.converged
    assert res.weights.sum() == pytest.approx(100)
    assert len(str(res).splitlines()) <= 20
    assert len(str(back).splitlines()) <= 20
    json.dumps(res.to_dict(), allow_nan=False)
    if icc is None and "icc-not-identified" not in codes(res) and "tau2-unbounded" not in codes(res):
        assert 0 <= res.rho_low <= res.rho_high <= 1
        assert res.loglik >= metaan.clustered_binomial(**HARD[name], icc=0.4).loglik - 1e-9


def test_profile_interval_of_hard_input():
    for name in ("no events", "either nothing or all", "one study", "two studies", "patients"):
        back = metaan.clustered_binomial(**HARD[name], ci="profile").back()
        assert 0 <= back.ci_low <= back.estimate <= back.ci_high <= 1


def test_no_events_have_the_likelihood_ratio_limit():
    # -log L = chi2(1)/2 for L = (1 - p)^n: n = lesions at ICC 0, patients where nothing tells the ICC
    drop = chi2.ppf(0.95, 1) / 2
    given = HARD["no events"]
    free, none, some = (metaan.clustered_binomial(**given, icc=icc).back() for icc in (None, 0, 0.4))
    assert free.ci_high == pytest.approx(1 - math.exp(-drop / 22), rel=1e-10)
    assert none.ci_high == pytest.approx(1 - math.exp(-drop / 51), rel=1e-10)
    sizes = [4] * 3 + [3] * 10 + [1] * 9
    nothing = lambda p, m: sum(math.log((1 - p) * 0.6 + r * 0.4) - math.log(0.6 + r * 0.4) for r in range(m))  # noqa: E731
    assert sum(nothing(some.ci_high, m) for m in sizes) == pytest.approx(-drop, abs=1e-7)
    assert free.estimate == none.estimate == 0
    assert (free.rho_low, free.rho_high) == (0, 1)
    assert math.isnan(free.rho)
    mirror = {**given, "events": given["total"]}
    assert metaan.clustered_binomial(**mirror, icc=0.4).back().ci_low == pytest.approx(1 - some.ci_high, abs=1e-9)


def test_patients_who_respond_alike_are_the_units():
    given = HARD["all or none"]
    res = metaan.clustered_binomial(**given)
    whole = metaan.glmm("PLO", events=[1, 1, 1], total=[2, 2, 2])
    assert res.rho == 1
    assert {"icc-one", "tau2-zero"} <= codes(res)
    assert res.estimate == pytest.approx(whole.estimate, abs=1e-8)
    assert res.se == pytest.approx(whole.se, rel=1e-8)
    assert res.loglik == pytest.approx(whole.loglik - 3 * math.log(2), abs=1e-9)


def test_correlation_widens_the_interval():
    se = [metaan.clustered_binomial(**PATIENTS, icc=icc).se for icc in (0, 0.2, 0.5)]
    assert se[0] < se[1] < se[2] or metaan.clustered_binomial(**PATIENTS, icc=0).tau2 > 0


def test_mean_rate_is_the_integral_over_studies():
    res = metaan.clustered_binomial(**STUDIES, icc=0.1)
    assert res.tau2 > 0
    mean = quad(lambda u: expit(res.estimate + res.tau * u) * norm.pdf(u), -10, 10)[0]
    for of in (res, res.back()):
        assert of.mean_rate.estimate == pytest.approx(mean, abs=1e-9)
        assert of.mean_rate.ci_low < mean < of.mean_rate.ci_high
        assert of.median_rate.estimate == pytest.approx(expit(res.estimate), abs=1e-12)


def test_tables():
    res = metaan.clustered_binomial(**STUDIES)
    table = res.studies()
    assert table["patients"].tolist() == STUDIES["patients"]
    assert table["lesions_per_patient"].tolist() == (np.array(STUDIES["total"]) / STUDIES["patients"]).tolist()
    assert set(table.columns) | set(res.to_frame().columns) <= set(COLUMNS)
    assert {name for name, value in res.to_dict().items() if isinstance(value, float)} <= set(COLUMNS)
    again = pickle.loads(pickle.dumps(res))
    assert str(again) == str(res)
    assert not again.cov.flags.writeable
    assert not again.patients.flags.writeable
    assert "ρ" in res._repr_html_()
    assert len(metaan.forest_table(res)) > res.k


def test_criteria_count_the_parameters():
    free, fixed = metaan.clustered_binomial(**STUDIES), metaan.clustered_binomial(**STUDIES, icc=0.3)
    assert free.aic == pytest.approx(6 - 2 * free.loglik)
    assert fixed.aic == pytest.approx(4 - 2 * fixed.loglik)
    assert free.bic == pytest.approx(3 * math.log(5) - 2 * free.loglik)
    assert free.aicc == pytest.approx(free.aic + 24)
    assert free.lrt_rho == pytest.approx(
        2 * (free.loglik - metaan.clustered_binomial(**STUDIES, icc=0).loglik), abs=1e-8
    )
    assert math.isnan(fixed.lrt_rho)
    assert math.isnan(fixed.rho_low)


def test_notes_tell_what_is_assumed():
    assert "sizes-assumed" in codes(metaan.clustered_binomial(**STUDIES))
    assert "sizes-assumed" not in codes(metaan.clustered_binomial(**PATIENTS))
    assert "icc-assumed" in codes(metaan.clustered_binomial(**STUDIES, icc=0.2))
    assert "icc-weak" in codes(metaan.clustered_binomial(**STUDIES))
    assert "icc-not-identified" in codes(metaan.clustered_binomial(**HARD["one study"]))


def test_missing_counts():
    given = {**PATIENTS, "events": [None, *PATIENTS["events"][1:]]}
    with pytest.raises(DataError, match="events is missing"):
        metaan.clustered_binomial(**given)
    res = metaan.clustered_binomial(**given, missing="drop")
    assert res.patients.tolist() == [4, 4, 3]
    assert [str(note) for note in res.notes if note.code == "dropped"] == [
        "1 patient left out for missing values, of 'Ames'."
    ]
    gone = metaan.clustered_binomial(**{**STUDIES, "patients": [12, None, 4, 10, 6]}, missing="drop")
    assert gone.k == 4


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"patients": [12, 9, 13, 10, 6]}, DataError, "more patients than lesions.*study 'Clark'"),
        ({"patients": [12, 9, 0, 10, 6]}, DataError, "at least 1: study 'Clark'"),
        ({"patients": [12, 9, 1.5, 10, 6]}, DataError, "whole number: study 'Clark'"),
        ({"patients": [12, 9]}, InputError, "Lengths differ"),
        ({"patients": None}, InputError, "a label of its own"),
        ({"patients": None, "study": None}, InputError, "Give patients="),
        ({"study": ["Ames", "Ames", "Bo", "Clark", "Dun"]}, InputError, "label 'Ames'"),
        ({"icc": 1}, OptionError, r"\[0, 1\)"),
        ({"icc": -0.1}, OptionError, r"\[0, 1\)"),
        ({"icc": [0.1, 0.2]}, OptionError, "one number"),
        ({"icc": float("nan")}, OptionError, r"\[0, 1\)"),
        ({"test": "hk"}, OptionError, "not known"),
        ({"events": [31, 4, 13, 11, 2]}, DataError, "exceeds total: study 'Clark'"),
    ],
)
def test_bad_input(change, error, match):
    given = {**STUDIES, "study": ["Ames", "Bo", "Clark", "Dun", "Eng"]} | change
    with pytest.raises(error, match=match):
        metaan.clustered_binomial(**given)


@pytest.fixture(scope="module")
def lesions():
    return load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")


def test_more_patients_than_lesions_in_the_evidence(lesions):
    with pytest.raises(DataError, match="Byrne 2005"):
        metaan.clustered_binomial(lesions, events="events", total="total", patients="n_patients", study="study")


def test_evidence_without_correlation_is_the_glmm(lesions):
    trials = lesions[lesions["n_patients"] <= lesions["total"]]
    counts = {"events": "events", "total": "total", "study": "study"}
    plain = metaan.glmm("PLO", trials, **counts)
    res = metaan.clustered_binomial(trials, **counts, patients="n_patients", icc=0)
    assert res.estimate == pytest.approx(plain.estimate, abs=1e-10)
    assert res.loglik == pytest.approx(plain.loglik, abs=1e-9)
    effective = metaan.design_effect(trials, icc=0.3)
    with pytest.raises(DataError, match="effective"):
        metaan.clustered_binomial(effective, **counts, patients="n_patients")


def test_evidence_with_correlation_is_near_the_design_effect(lesions):
    trials = lesions[lesions["n_patients"] <= lesions["total"]]
    counts = {"events": "events", "total": "total", "study": "study"}
    for icc in (0.3, 0.5):
        near = metaan.glmm("PLO", metaan.design_effect(trials, icc=icc), **counts)
        res = metaan.clustered_binomial(trials, **counts, patients="n_patients", icc=icc)
        assert res.back().estimate == pytest.approx(near.back().estimate, abs=0.01)
        assert res.tau2 == pytest.approx(near.tau2, rel=0.1)


def test_frames_of_patients():
    frame = pd.DataFrame(PATIENTS)
    a = metaan.clustered_binomial(frame, events="events", total="total", study="study")
    b = metaan.clustered_binomial(**PATIENTS)
    assert (a.estimate, a.rho, a.loglik) == (b.estimate, b.rho, b.loglik)
    assert a.effects.study == ("Ames", "Bo", "Clark")
