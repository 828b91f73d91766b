"""Every model of independent studies says that several rows of one study are taken as independent."""

import pytest

import metaan

STUDY = ["Ames", "Ames", "Clark"]
ARM = {"events": [3, 5, 2], "total": [12, 30, 9]}
NONE = {"events": [0, 0, 0], "total": [12, 30, 9]}
ARMS = {"events_t": [3, 5, 2], "total_t": [12, 30, 9], "events_c": [1, 4, 2], "total_c": [12, 31, 10]}
FITS = [
    lambda study: metaan.glmm("PLO", **ARM, study=study),
    lambda study: metaan.glmm("PLO", **NONE, study=study),
    lambda study: metaan.glmm("OR", **ARMS, study=study),
    lambda study: metaan.beta_binomial(**ARM, study=study),
    lambda study: metaan.mantel_haenszel("OR", **ARMS, study=study),
    lambda study: metaan.peto(**ARMS, study=study),
    lambda study: metaan.pool(metaan.effect_size("PAS", **ARM, study=study)),
]


@pytest.mark.parametrize("fit", FITS)
def test_several_rows_of_one_study_are_noted(fit):
    notes = [str(note) for note in fit(STUDY).notes if note.code == "repeated-studies"]
    assert len(notes) == 1
    assert notes[0].startswith("3 estimates of 2 studies are taken as independent")
    assert "repeated-studies" not in {note.code for note in fit(["Ames", "Bo", "Clark"]).notes}
    assert "repeated-studies" not in {note.code for note in fit(None).notes}


def test_one_study_is_one_study():
    res = metaan.glmm("PLO", events=[3, 5], total=[12, 30], study=["Ames", "Ames"])
    assert any(str(note).startswith("2 estimates of 1 study are taken as independent") for note in res.notes)
