"""Reviews of RevMan 5: the numbers come out as they went in, and hostile XML is refused."""

import numpy as np
import pytest
from helpers.reviews import COUNTS, bcg_review, bcg_rows, comparison, mixed_review, outcome, review, tag

import metaan
from metaan.errors import InputError, OptionError


@pytest.fixture
def write(tmp_path):
    def written(text, name="review.rm5", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return written


def test_counts_of_a_review_pool_as_the_counts_themselves(write):
    trials = metaan.read(write(bcg_review()))
    names = {name: name for name in COUNTS}
    for name, given in COUNTS.items():
        np.testing.assert_array_equal(trials[name], given)
    read = metaan.pool(metaan.effect_size("RR", trials, study="study", **names))
    own = metaan.pool(metaan.effect_size("RR", **COUNTS))
    assert (read.estimate, read.se, read.tau2) == (own.estimate, own.se, own.tau2)
    exact = metaan.glmm("OR", trials, **names, study="study").estimate
    assert exact == metaan.glmm("OR", **COUNTS).estimate


def test_studies_have_their_names_years_and_subgroups(write):
    trials = metaan.read(write(bcg_review()))
    assert trials["study"].tolist()[:2] == ["Trial <1>", "Trial <2>"]
    assert trials["year"].tolist()[:2] == [1931, 1932]
    assert trials["subgroup"].tolist() == ["Random"] * 7 + ["Other"] * 6
    assert trials.attrs["read"]["measure"] == "RR"
    assert {note["code"] for note in trials.attrs["read"]["notes"]} == {"analysis", "arms"}
    assert "'BCG'" in " ".join(trials.attrs["notes"])


def test_several_outcomes_are_listed_with_their_numbers(write):
    with pytest.raises(InputError) as caught:
        metaan.read(write(mixed_review()))
    for part in ("4 outcomes", "1.1 Tuberculosis [Vaccine & none]", "1.2 Weight", "2.1 Death", "2.2 Relapse"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"outcome": "Weight"}, {"mean_t": 12.5, "sd_t": 3.25, "n_t": 40, "mean_c": 10, "sd_c": 4, "n_c": 38}),
        ({"outcome": "1.2"}, {"mean_t": 12.5}),
        ({"comparison": 2, "outcome": 1}, {"yi": -0.35, "sei": 0.12}),
        ({"comparison": "two doses & one", "outcome": "death"}, {"yi": -0.35, "sei": 0.12}),
        ({"comparison": 2, "outcome": 2}, {"o_e": -4.5, "o_e_variance": 9, "yi": -0.5, "vi": 1 / 9, "events_t": 10}),
    ],
)
def test_each_kind_of_outcome(write, chosen, expected):
    trials = metaan.read(write(mixed_review()), **chosen)
    assert {name: trials[name].tolist() for name in expected} == {name: [value] for name, value in expected.items()}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"outcome": "Wieght"}, "Did you mean 'Weight'"),
        ({"comparison": 3}, "2.1 Death"),
        ({"comparison": True}, "must be a number or a name"),
        ({"sheet": 1}, "no workbook"),
    ],
)
def test_a_choice_that_does_not_exist(write, chosen, message):
    with pytest.raises(OptionError, match=message):
        metaan.read(write(mixed_review()), **chosen)


def test_other_data_and_empty_outcomes_are_no_tables(write):
    with pytest.raises(InputError, match="no outcome with rows"):
        metaan.read(write(mixed_review()), comparison=2, outcome=3)


def test_swapped_events_and_the_key_of_a_study_without_a_record_are_told(write):
    row = tag("DICH_DATA", {"EVENTS_1": 1, "TOTAL_1": 9, "EVENTS_2": "", "TOTAL_2": 8,
                            "STUDY_ID": "STD-Fo_x00f6_-_x0028_a_x0029_-2001"})  # fmt: skip
    trials = metaan.read(write(review(comparison(1, "A", outcome("DICH", 1, "B", row, SWAP_EVENTS="YES")))))
    assert trials["study"].tolist() == ["Foö (a) 2001"]
    assert np.isnan(trials["events_c"][0])
    assert "swapped-events" in {note["code"] for note in trials.attrs["read"]["notes"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(write, encoding):
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text = review(comparison(1, "é", outcome("DICH", 1, "B", bcg_rows(range(3)))), head=head)
    assert len(metaan.read(write(text, encoding=encoding))) == 3


BOMB = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))


@pytest.mark.parametrize(
    "head",
    [
        f'<!DOCTYPE COCHRANE_REVIEW [<!ENTITY l0 "ha">{BOMB}]>',
        '<!DOCTYPE COCHRANE_REVIEW [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE COCHRANE_REVIEW SYSTEM "http://localhost:9/x.dtd">',
        '<!DOCTYPE COCHRANE_REVIEW [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    ],
)
def test_document_types_are_refused(write, head):
    with pytest.raises(InputError, match="document type"):
        metaan.read(write(review(head=head)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a></a>", "not a review of RevMan 5"),
        ("<COCHRANE_REVIEW>", "well-formed"),
        ("<!DOCTYPE html><html></html>", "web page"),
        ("<COCHRANE_REVIEW/>", "no outcome"),
        ("<COCHRANE_REVIEW>" + "<a>" * 5000 + "</a>" * 5000 + "</COCHRANE_REVIEW>", "nested"),
        ('<?xml version="1.0" encoding="klingon"?><COCHRANE_REVIEW/>', "encoding"),
    ],
)
def test_other_xml_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        metaan.read(write(text))
