"""Disagreements between sources are found, and agreements are not taken for them."""

import pytest

from metaan import conflicts
from metaan.errors import OptionError

KEY = ["study_id", "arm", "unit", "outcome"]


@pytest.fixture(scope="module")
def found():
    return conflicts()


def readings(found, study, outcome):
    rows = found[(found["study_id"] == study) & (found["outcome"] == outcome) & (found["differs"] != "unit")]
    return [tuple(row) for row in rows[["events", "total", "source_kind", "preferred", "differs"]].to_numpy()]


def test_known_disagreements(found):
    assert readings(found, "gaudy2006", "complete_response") == [
        (11, 30, "primary", "yes", "total"),
        (11, 24, "review", "no", "total"),
    ]
    assert readings(found, "stopeck2001", "partial_response") == [
        (3, 51, "primary", "yes", "events"),
        (8, 51, "review", "no", "events"),
    ]
    assert readings(found, "stewart1999", "objective_response") == [
        (0, 23, "primary", "yes", "events"),
        (7, 23, "review", "no", "events"),
    ]
    lindholm = found[(found["study_id"] == "lindholm1987") & (found["arm"] == "RT+HT")]
    assert set(lindholm["differs"]) == {"percentage"}  # 11/17 is 64.7 %, the other review prints 66


def test_units_of_table_1_that_the_studies_contradict(found):
    # AUDIT.md: campana2012 (35), nathanson1979 (22) and stewart1999 (23) are patients.
    units = found[found["differs"] == "unit"]
    assert set(units["study_id"]) == {"campana2012", "nathanson1979", "stewart1999"}
    for _, rows in units.groupby("conflict"):
        assert rows["unit"].tolist() == ["patient", "lesion"]
        assert rows["events"].nunique() == rows["total"].nunique() == 1


def test_readings_of_one_source_and_equal_readings_are_none(found):
    assert not {"quaglino2008", "marty2006", "mang1998"} & set(found["study_id"])  # read twice, the same
    assert not {"campana2024", "curatolo2012", "glass1997"} & set(found["study_id"])  # several times in one text
    assert "jones2005" not in set(found["study_id"])  # 42.3 % is 22/52


def test_every_line_is_a_row_of_its_file(found, rows):
    for line in found[found["file"] != "spratt2014"].itertuples():
        source = rows[line.file][line.row - 1]
        assert (source["study_id"], source["outcome"], source["source"]) == (line.study_id, line.outcome, line.source)
    assert found.groupby("conflict").size().min() >= 2
    others = found[~found["differs"].isin(["unit"])]
    assert (others.groupby("conflict")["source"].nunique() >= 2).all()


def test_by_hand(rows, found):
    """Pairs of counts that differ between sources, collected anew from the text of the files."""
    counted = {}
    for name in (
        "electrochemotherapy",
        "intralesional",
        "photodynamic",
        "topical",
        "miltefosine",
        "radiotherapy",
        "other",
    ):
        for row in rows[name]:
            if row["events"] and row["total"]:
                key = tuple(row[column] for column in (*KEY, "response_scope"))
                counted.setdefault(key, set()).add((row["source"], row["events"], row["total"]))
    differing = {
        key[:4]
        for key, readings in counted.items()
        if any(one[0] != other[0] and one[1:] != other[1:] for one in readings for other in readings)
    }
    numbers = found[found["differs"].str.contains("events|total")]
    assert {tuple(row) for row in numbers[KEY].to_numpy()} == differing


def test_one_file():
    assert set(conflicts("intralesional")["file"]) <= {"intralesional", "spratt2014"}
    assert conflicts("topical").empty
    with pytest.raises(OptionError, match="Did you mean 'topical'"):
        conflicts("topcal")
