"""Notes warn of what must not be pooled unseen."""

import pytest
from helpers.evidence import load_keeping as load


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
    found = notes("radiotherapy", outcome="complete_response", unit="patient", site="any", role="any")["several-rows"]
    assert {"Vernon 1996, RT alone", "Vernon 1996, RT+HT"} <= set(found["studies"])
    assert "several-rows" not in notes("electrochemotherapy", outcome="complete_response", unit="lesion")


@pytest.mark.parametrize(("unit", "there"), [("lesion", True), ("patient", False)])
def test_lesions_are_pointed_out(unit, there):
    assert ("lesions" in notes("electrochemotherapy", outcome="complete_response", unit=unit)) is there


def test_systemic_treatment_besides_is_named():
    found = notes("electrochemotherapy", outcome="complete_response", unit="lesion")["combined"]
    assert found["studies"] == ["Gaudy 2006", "Sersa 2000"]
    assert found["text"] == "2 rows with systemic treatment besides: 'Gaudy 2006', 'Sersa 2000'."
    assert "combined" not in notes("intralesional", outcome="complete_response", unit="patient")


def test_certain_and_possible_repetition_are_told_apart():
    found = notes("electrochemotherapy", outcome="complete_response", unit="patient")["overlap"]
    contained, possible = found["text"].split(". ")
    assert contained.startswith("Contained in another row in hand: ")
    assert {"Caraco 2013 (in Caraco 2015)", "Campana 2012 (in Campana 2014 (breast))"} == set(
        contained.split(": ")[1].split(", ")
    )
    assert possible.startswith("May share patients: ")
    assert "Russano 2025" in possible
    assert "Campana 2012" not in possible
    assert "Keep" not in found["text"]  # figures print the note: it states, explain advises


def test_many_studies_that_may_share_patients_are_counted():
    found = notes("electrochemotherapy", outcome="complete_response", unit="lesion", site="any")["overlap"]
    assert "May share patients: 12 studies in 6 groups." in found["text"]
    assert "Belehradek 1993 (in Mir 1998)" in found["text"]


def test_patients_printed_as_lesions_are_named():
    named = {
        outcome: notes("spratt2014", outcome=outcome)["printed-unit"]["studies"]
        for outcome in ("complete_response", "objective_response")
    }
    # AUDIT.md: campana2012 (35), nathanson1979 (22) and stewart1999 (23, no complete response) are patients.
    assert named["complete_response"] == ["Campana 2012", "Nathanson 1979"]
    assert named["objective_response"] == ["Campana 2012", "Nathanson 1979", "Stewart 1999"]
    assert "printed-unit" not in notes("spratt2014", outcome="complete_response", therapy="PDT")


def test_different_treatments_are_counted_in_words():
    text = notes("radiotherapy", outcome="complete_response", unit="lesion")["therapies"]["text"]
    assert text == "The treatments differ: 2 rows of radiotherapy alone; 1 row of radiotherapy with hyperthermia."
