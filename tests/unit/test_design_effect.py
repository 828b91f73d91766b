"""Lesions within patients: effective counts, the model on them, and the rate under several correlations."""

import mpmath
import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from hypothesis import given
from hypothesis import strategies as st

import metaan
from metaan import design_effect, icc_sensitivity
from metaan.errors import DataError, InputError, OptionError

COUNTS = {"events": "events", "total": "total", "study": "study"}


def lesions(**columns):
    plain = {
        "study": ["Ames", "Bo", "Clark", "Dun"],
        "unit": ["lesion"] * 4,
        "events": [30, 4, 0, 12],
        "total": [60, 9, 12, 40],
        "n_patients": [12, 9, 4, 10],
        "n_lesions": [60, 9, 12, 40],
    }
    return pd.DataFrame(plain | columns)


def test_counts_are_divided_by_one_plus_m_minus_one_times_the_correlation():
    frame = design_effect(lesions(), icc=0.25)
    assert frame["cluster_size"].tolist() == [5, 1, 3, 4]
    assert frame["design_effect"].tolist() == [2, 1, 1.5, 1.75]
    assert frame["total"].tolist() == [30, 9, 8, 40 / 1.75]
    assert frame["events"].tolist() == [15, 4, 0, 12 / 1.75]
    assert frame["events_observed"].tolist() == [30, 4, 0, 12]
    assert frame["total_observed"].tolist() == [60, 9, 12, 40]


def test_correlation_of_one_leaves_as_many_observations_as_patients():
    assert design_effect(lesions(), icc=1)["total"].tolist() == lesions()["n_patients"].tolist()


@st.composite
def frames(draw):
    k = draw(st.integers(1, 8))
    patients = draw(st.lists(st.integers(1, 40), min_size=k, max_size=k))
    more = draw(st.lists(st.integers(0, 300), min_size=k, max_size=k))
    total = [p + m for p, m in zip(patients, more, strict=True)]
    events = [draw(st.integers(0, n)) for n in total]
    columns = {"events": events, "total": total, "n_patients": patients, "n_lesions": total}
    return pd.DataFrame({"study": [f"study {i}" for i in range(k)], "unit": "lesion"} | columns)


@given(frames())
def test_no_correlation_changes_nothing(frame):
    same = design_effect(frame, icc=0)
    assert same["events"].tolist() == frame["events"].tolist()
    assert same["total"].tolist() == frame["total"].tolist()
    plain, effective = (
        metaan.effect_size("PLO", data, events="events", total="total", correction="only0") for data in (frame, same)
    )
    np.testing.assert_array_equal(plain.yi, effective.yi)
    np.testing.assert_array_equal(plain.vi, effective.vi)


@given(frames(), st.floats(0, 1), st.floats(0, 1))
def test_rates_stay_and_information_falls_with_the_correlation(frame, one, other):
    low, high = (design_effect(frame, icc=icc) for icc in sorted((one, other)))
    np.testing.assert_allclose(low["events"] / low["total"], frame["events"] / frame["total"], rtol=1e-14)
    assert (high["total"] <= low["total"]).all()
    assert (high["total"] >= frame["n_patients"] * (1 - 1e-12)).all()


@given(frames(), st.floats(0, 1))
def test_variances_of_the_raw_rate_grow_by_the_design_effect(frame, icc):
    frame = frame[(frame["events"] > 0) & (frame["events"] < frame["total"])]
    if frame.empty:
        return
    effective = design_effect(frame, icc=icc)
    plain, wide = (metaan.effect_size("PR", data, events="events", total="total") for data in (frame, effective))
    np.testing.assert_allclose(wide.vi, plain.vi * effective["design_effect"], rtol=1e-10)


def test_the_likelihood_of_effective_counts_is_that_of_their_formula():
    """Binomial coefficients through the gamma function, against mpmath's quadrature."""
    frame = design_effect(lesions(), icc=0.3)
    res = metaan.glmm("PLO", frame, **COUNTS)
    mu, tau = mpmath.mpf(res.estimate), mpmath.mpf(res.tau)

    def likelihood(x, n):
        def integrand(u):
            p = 1 / (1 + mpmath.exp(-(mu + tau * u)))
            return p**x * (1 - p) ** (n - x) * mpmath.npdf(u)

        return mpmath.binomial(n, x) * mpmath.quad(integrand, mpmath.linspace(-9, 9, 19))

    total = sum(
        mpmath.log(likelihood(*map(mpmath.mpf, pair))) for pair in zip(frame["events"], frame["total"], strict=True)
    )
    assert res.tau > 0
    assert res.loglik == pytest.approx(float(total), abs=1e-9)


def test_the_assumption_stands_in_the_notes():
    frame = design_effect(lesions(n_patients=[12, 9, 4, None]), icc=0.3, cluster_size=6)
    for res in (metaan.glmm("PLO", frame, **COUNTS), metaan.effect_size("PLO", frame, **COUNTS, correction="only0")):
        note = next(note for note in res.notes if note.code == "design-effect")
        assert "correlate by 0.3 (ICC), the same in every study" in note.text
        assert "m is assumed for 'Dun'" in note.text
        assert note.studies == ("Dun",)


def test_the_median_of_the_known_sizes_may_stand_in():
    frame = design_effect(lesions(n_patients=[12, None, 4, 10]), icc=0.5, cluster_size="median")
    assert frame["cluster_size"].tolist() == [5, 4, 3, 4]
    assert frame["cluster_size_assumed"].tolist() == [False, True, False, False]


def test_several_correlations_stand_below_one_another():
    frame = design_effect(lesions(), icc=[0, 0.5])
    assert frame["icc"].tolist() == [0] * 4 + [0.5] * 4
    pd.testing.assert_frame_equal(
        frame.iloc[4:].reset_index(drop=True), design_effect(lesions(), icc=0.5), check_dtype=False
    )


def test_loaded_frames_keep_their_record():
    trials = load_keeping("photodynamic", outcome="complete_response", unit="lesion")
    frame = design_effect(trials, icc=0.1, cluster_size="median")
    assert frame.attrs == trials.attrs
    res = metaan.glmm("PLO", frame, **COUNTS)
    codes = {note.code for note in res.notes}
    assert "design-effect" in codes
    assert "lesions" not in codes  # the interval no longer takes them for independent


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"icc": 1.1}, OptionError, r"icc=1.1 must lie in \[0, 1\]"),
        ({}, {"icc": -0.1}, OptionError, "must lie in"),
        ({}, {"icc": []}, OptionError, "must lie in"),
        ({}, {"icc": "high"}, OptionError, "must be a number"),
        ({}, {"icc": True}, OptionError, "must lie in"),
        ({}, {"icc": float("nan")}, OptionError, "must lie in"),
        ({"unit": "patient"}, {"icc": 0.1}, DataError, "'Ames', 'Bo', 'Clark', 'Dun': patients are counted"),
        ({"n_patients": [12, 9, None, 10]}, {"icc": 0.1}, DataError, "1 rows do not tell .* 'Clark'"),
        ({"n_patients": [12, 9, "four", 10]}, {"icc": 0.1}, DataError, "'four' at position 3"),
        ({"n_patients": [61, 9, 4, 10]}, {"icc": 0.1}, DataError, "'Ames'"),
        ({"n_patients": [0, 9, 4, 10]}, {"icc": 0.1}, DataError, "'Ames'"),
        ({"n_patients": [None, 9, 4, 10]}, {"icc": 0.1, "cluster_size": 0.5}, OptionError, "1 or more"),
        ({"n_patients": [None] * 4}, {"icc": 0.1, "cluster_size": "median"}, OptionError, "where other rows have one"),
    ],
)
def test_what_cannot_be_corrected_is_refused(change, options, error, message):
    with pytest.raises(error, match=message):
        design_effect(lesions(**change), **options)


def test_several_correlations_are_not_pooled_as_one():
    with pytest.raises(DataError, match="hold 2 correlations"):
        metaan.glmm("PLO", design_effect(lesions(), icc=[0, 0.5]), **COUNTS)


def test_a_frame_is_corrected_once_and_needs_its_columns():
    with pytest.raises(InputError, match="effective already"):
        design_effect(design_effect(lesions(), icc=0.1), icc=0.1)
    with pytest.raises(InputError, match="lacks n_patients"):
        design_effect(lesions().drop(columns="n_patients"), icc=0.1)
    with pytest.raises(InputError, match="must be a DataFrame"):
        design_effect([1], icc=0.1)


@pytest.mark.parametrize("column", ["events", "total"])
def test_fractions_that_no_design_effect_explains_are_refused(column):
    frame = design_effect(lesions(), icc=0.3)
    frame.loc[0, column] *= 1.01
    with pytest.raises(DataError, match="whole number"):
        metaan.glmm("PLO", frame, **COUNTS)
    with pytest.raises(DataError, match="whole number"):
        metaan.glmm("PLO", events=[1.5, 2], total=[4, 5])


@pytest.mark.parametrize("test", ["t", "z"])
def test_the_batch_is_the_loop(test):
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    correlations = [0, 0.1, 0.3, 0.5, 1]
    table = icc_sensitivity(trials, icc=correlations, cluster_size="median", test=test, level=0.9)
    assert table["icc"].tolist() == correlations
    for row in table.itertuples():
        frame = design_effect(trials, icc=row.icc, cluster_size="median")
        res = metaan.glmm("PLO", frame, **COUNTS, test=test, level=0.9).back()
        for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau2"):
            assert getattr(row, name) == pytest.approx(getattr(res, name), rel=1e-10), name
        assert row.total == pytest.approx(frame["total"].sum(), rel=1e-14)
        assert row.converged
    widths = table["tau2"].to_numpy()
    assert (np.diff(widths) < 0).all()


def test_the_table_says_what_was_assumed():
    table = icc_sensitivity(lesions(n_patients=[12, None, 4, 10]), cluster_size=3)
    (said,) = table.attrs["notes"]
    assert said.startswith("One correlation is assumed for every study")
    assert said.endswith("but 3 is assumed for 'Bo', where these are not known or do not fit.")


def test_sensitivity_refuses_what_has_no_rate():
    with pytest.raises(DataError, match="no rate of the median study"):
        icc_sensitivity(lesions(events=0))
    with pytest.raises(DataError, match="exceeds total"):
        icc_sensitivity(lesions(events=[61, 1, 1, 1]))


@pytest.mark.parametrize("interval", ["clopper-pearson", "wilson", "wilson-cc", "agresti-coull", "jeffreys", "mid-p"])
def test_tables_and_figures_keep_the_fractions(interval):
    trials = load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")
    frame = design_effect(trials, icc=0.3, cluster_size="median")
    res = metaan.glmm("PLO", frame, **COUNTS)
    table = res.studies(interval=interval)
    np.testing.assert_allclose(table["events"], frame["events"])
    np.testing.assert_allclose(table["total"], frame["total"])
    plain = metaan.glmm("PLO", trials, **COUNTS).studies(interval=interval)
    assert (table["rate_high"] - table["rate_low"] > plain["rate_high"] - plain["rate_low"]).all()
    drawn = metaan.plot.forest_table(res)
    np.testing.assert_allclose(drawn.loc[drawn["row"] == "study", "events"], frame["events"])
    said = " ".join(drawn.loc[drawn["row"] == "note", "study"])
    assert "too narrow" not in said
    assert "correlate by 0.3" in said


def test_whole_counts_stay_whole_in_tables():
    table = metaan.glmm("PLO", design_effect(lesions(), icc=0), **COUNTS).studies()
    assert table["events"].dtype == table["total"].dtype == np.int64
