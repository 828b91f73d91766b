"""Notes warn of what must not be pooled unseen."""

import pytest

from metaan import load


def notes(*args, **kwargs):
    return {note["code"]: note for note in load(*args, **kwargs).attrs["metaan"]["notes"]}


def test_two_studies_of_the_same_patients_are_named():
    found = notes("electrochemotherapy", outcome="complete_response", unit="lesion")["overlap"]
    assert {"Kis 2010", "Kis 2011"} <= set(found["studies"])  # overlaps.csv: szeged_ect_melanoma
    assert not {"Falk 2018", "Rols 2000"} & set(found["studies"])


def test_parts_of_a_larger_study_that_is_not_in_hand_are_no_repetition():
    # rols2000 is in one overlap group only, as a part of mir1998, whose site is mixed.
    narrow = notes("electrochemotherapy", outcome="complete_response", unit="lesion")["overlap"]
    wide = notes("electrochemotherapy", outcome="complete_response", unit="lesion", site="any")["overlap"]
    assert "Rols 2000" not in narrow["studies"]
    assert {"Rols 2000", "Mir 1998"} <= set(wide["studies"])


def test_rows_of_one_review_do_not_overlap_for_being_in_it():
    # All 23 are parts of spratt2014, which is a review and never a row.
    assert "overlap" not in notes("spratt2014", outcome="complete_response", therapy="PDT")


def test_parallel_arms_are_named():
    found = notes("radiotherapy", outcome="complete_response", unit="patient", site="any")["several-rows"]
    assert {"Vernon 1996, RT alone", "Vernon 1996, RT+HT"} <= set(found["studies"])
    assert "several-rows" not in notes("electrochemotherapy", outcome="complete_response", unit="lesion")


@pytest.mark.parametrize(("unit", "there"), [("lesion", True), ("patient", False)])
def test_lesions_are_pointed_out(unit, there):
    assert ("lesions" in notes("electrochemotherapy", outcome="complete_response", unit=unit)) is there
