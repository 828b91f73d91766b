"""Multiverse of rows of the evidence base: the selection is varied as `load` would."""

import warnings

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import InputError, OptionError, OverlapWarning

ASK = {"outcome": "complete_response"}
EXACT = {"models": "glmm", "links": "logit", "tests": "t"}
DATA = ["unit", "overlaps", "counts", "confidence", "denominators"]


def load(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        return metaan.load("electrochemotherapy", **ASK, **options)


@pytest.fixture(scope="module")
def trials():
    return load(unit="lesion", overlaps="prefer_largest")


@pytest.fixture(scope="module")
def found(trials):
    return metaan.multiverse(trials, units=["lesion", "patient"], overlaps=["prefer_largest", "keep"], **EXACT)


@pytest.fixture(scope="module")
def usual(trials):
    return metaan.multiverse(trials, **EXACT)


def test_each_set_is_what_load_gives(found):
    assert set(found.table["unit"]) == {"lesion", "patient"}
    for row in found.table.itertuples():
        rows = load(unit=row.unit, overlaps=row.overlaps, counts=row.counts, confidence=row.confidence)
        rows = metaan.denominators(rows, policy=row.denominators)
        res = metaan.glmm("PLO", rows, events="events", total="total", study="study").back()
        np.testing.assert_allclose(
            [row.estimate, row.ci_low, row.ci_high, row.tau2],
            [res.estimate, res.ci_low, res.ci_high, res.tau2],
            rtol=1e-9,
        )
        assert (row.k, row.n) == (len(rows), rows["total"].sum())


def test_the_same_rows_count_once_and_the_twin_is_listed(found):
    twins = found.excluded[found.excluded["reason"].str.contains("the same rows as")]
    # two levels of each of the five choices of the data
    assert len(found.table) + len(twins) == 2**5
    assert not found.table.duplicated(["unit", "k", "n", "estimate"]).any()
    assert (twins["model"] == "any").all()
    assert not set(map(tuple, twins[DATA].to_numpy())) & set(map(tuple, found.table[DATA].to_numpy()))


def test_units_are_summed_up_apart_unless_asked(found):
    assert found.summary()["unit"].tolist() == ["lesion", "patient"]
    assert found.summary()["analyses"].sum() == found.analyses
    mixed = found.summary(mixed=True)
    assert len(mixed) == 1
    assert "unit" not in mixed.columns
    assert mixed["lowest"].iloc[0] == found.summary()["lowest"].min()
    assert "unit" not in found.importance()["choice"].tolist()
    assert "unit" in found.importance(mixed=True)["choice"].tolist()
    curve = found.curve()
    assert (curve["rank"] == 1).sum() == 2
    assert found.curve(mixed=True)["rank"].is_unique
    assert "Rate per lesion" in str(found)
    assert "Rate per patient" in str(found)


def test_patients_counted_twice_are_noted(found, usual):
    assert "overlap" in {note.code for note in found.notes}
    assert usual.choices["overlaps"] == ("prefer_largest", "prefer_primary")
    assert usual.choices["unit"] == ("lesion",)
    assert {note.code for note in usual.notes} == {"lesions"}


def test_notes_are_of_the_units_that_are_pooled(trials):
    few = {"overlaps": "prefer_largest", "counts": "derived", "confidence": "medium", "denominators": "evaluable"}
    assert metaan.multiverse(trials, units="patient", **few, **EXACT).notes == ()
    patients = load(unit="patient", overlaps="prefer_largest")
    for table in (trials, patients):
        (note,) = metaan.multiverse(table, units=["patient", "lesion"], **few, **EXACT).notes
        assert (note.code, "give icc=" in note.text) == ("lesions", True)
    alike = metaan.multiverse(patients, units="lesion", icc=np.array([0.3]), **few, **EXACT)
    (note,) = alike.notes  # the correlation is allowed for
    assumed = metaan.design_effect(trials, icc=0.3, cluster_size="median").query("cluster_size_assumed")["study"]
    assert (note.code, note.studies) == ("cluster-size", tuple(sorted(assumed)))
    assert alike.choices["icc"] == ("0.3",)


def test_rows_of_one_study_are_noted():
    rows = {"events": np.array([3, 5, 9]), "total": np.array([10, 20, 30]), "study": ["A", "A", "B"]}
    for ask in ({}, {"events": rows["events"], "total": rows["total"]}):  # columns, and arrays
        found = metaan.multiverse(pd.DataFrame(rows), **ask, **EXACT)
        assert [(note.code, note.studies) for note in found.notes] == [("repeated-studies", ("A",))]


def test_lesions_of_one_patient_may_be_alike(trials):
    ask = {"overlaps": "prefer_largest", "counts": "derived", "confidence": "medium", "denominators": "evaluable"}
    model = {"links": "logit", "measures": ["PLO", "PAS"], "methods": "REML", "tests": ["t", "hk"]}
    found = metaan.multiverse(trials, units=["lesion", "patient"], icc=[0.3, 0], **ask, **model)
    lesions, patients = (found.table[found.table["unit"] == unit] for unit in ("lesion", "patient"))
    assert sorted(set(lesions["icc"])) == ["0", "0.3"]
    assert set(patients["icc"]) == {"0"}
    effective = metaan.design_effect(trials, icc=0.3, cluster_size="median")
    counts = {"events": "events", "total": "total", "study": "study"}
    for row in lesions[lesions["icc"] == "0.3"].itertuples():
        if row.model == "normal":
            res = metaan.pool(metaan.effect_size(row.measure, effective, **counts), method="REML", test=row.test)
        elif row.model == "glmm":
            res = metaan.glmm("PLO", effective, **counts, test=row.test)
        else:
            res = metaan.beta_binomial(effective, **counts, test=row.test)
        shown = res.back()
        expected = [shown.estimate, shown.ci_low, shown.ci_high, shown.pi_low, shown.pi_high, res.tau2, res.I2]
        got = [row.estimate, row.ci_low, row.ci_high, row.pi_low, row.pi_high, row.tau2, row.I2]
        np.testing.assert_allclose(got, expected, rtol=1e-9)
        assert row.n == pytest.approx(effective["total"].sum())
    for icc in (1.5, "much", (), True):
        with pytest.raises(OptionError, match="icc="):
            metaan.multiverse(trials, icc=icc)


def test_rows_that_were_changed_are_held_and_noted(trials):
    fewer = trials[trials["year"] > 2000]
    found = metaan.multiverse(fewer, **EXACT)
    assert found.table["k"].tolist() == [len(fewer)]
    assert "data-held" in {note.code for note in found.notes}
    with pytest.raises(InputError, match="changed after it was loaded"):
        metaan.multiverse(fewer, overlaps="keep", **EXACT)
    corrected = metaan.design_effect(trials, icc=0.3, cluster_size="median")
    res = metaan.glmm("PLO", corrected, events="events", total="total", study="study").back()
    held = metaan.multiverse(corrected, **EXACT).table
    np.testing.assert_allclose(held["estimate"], [res.estimate], rtol=1e-9)
    with pytest.raises(InputError, match="other columns than events"):
        metaan.multiverse(trials, events="n_patients", total="total", overlaps="keep")


def test_a_selection_without_rows_fails_and_stays():
    ask = {"outcome": "partial_response", "unit": "lesion"}
    found = metaan.multiverse(metaan.load("photodynamic", **ask, overlaps="prefer_largest"), **EXACT)
    for row in found.table.itertuples():
        how = {"counts": row.counts, "confidence": row.confidence, "overlaps": row.overlaps}
        if row.counts == "printed":
            with pytest.raises(InputError, match="No row of photodynamic is left"):
                metaan.load("photodynamic", **ask, **how)
            assert row.reason == "No row of photodynamic is left for partial_response."
            assert np.isnan([row.estimate, row.ci_low, row.tau2]).all()
            assert (row.k, row.n, row.converged) == (0, 0, False)
        else:
            assert row.reason == ""
            assert row.k == len(metaan.load("photodynamic", **ask, **how))
    assert found.summary()["failed"].tolist() == [(found.table["counts"] == "printed").sum()]
    assert 0 < found.summary()["failed"].iloc[0] < found.analyses
    assert len(found.curve()) == found.analyses - found.summary()["failed"].iloc[0]


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("all", {"unit": "patient"}),
        ("radiotherapy", {"unit": "lesion", "therapy": "radiotherapy"}),
        ("intralesional", {"unit": "lesion", "primary_tumour": "melanoma", "role": ["single", "experimental"]}),
        ("topical", {"unit": "patient", "agent": "imiquimod", "site": "any"}),
    ],
)
def test_the_rest_of_the_selection_stays(name, ask):
    rows = metaan.load(name, **ASK, **ask, overlaps="prefer_largest")
    found = metaan.multiverse(rows, confidence=["medium", "any"], counts="derived", denominators="evaluable", **EXACT)
    assert "data-held" not in {note.code for note in found.notes}
    for row in found.table.query("reason == ''").itertuples():
        how = {"counts": row.counts, "confidence": row.confidence, "overlaps": row.overlaps}
        assert row.k == len(metaan.load(name, **ASK, **ask | how))


def test_a_table_that_has_no_other_selection_is_held():
    rows = metaan.load("spratt2014", **ASK)
    found = metaan.multiverse(rows, **EXACT)
    assert found.analyses == 1
    assert "data-held" in {note.code for note in found.notes}
    with pytest.raises(InputError, match="no file of single arms"):
        metaan.multiverse(rows, confidence="high", **EXACT)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ({"overlaps": "raise"}, "overlaps='raise' is not known"),
        ({"units": "lesions"}, "Did you mean 'lesion'"),
        ({"denominators": "itt2"}, "Did you mean 'itt'"),
        ({"confidence": ()}, "confidence is empty"),
    ],
)
def test_unknown_levels_are_refused(trials, ask, text):
    with pytest.raises(OptionError, match=text):
        metaan.multiverse(trials, **ask)
