"""Reviews of RevMan 5: the numbers come out as they went in, and hostile XML is refused."""

import numpy as np
import pytest
from helpers.command_line import run
from helpers.reading import code_set
from helpers.reviews import (
    COUNTS,
    barren_review,
    bcg_review,
    bcg_rows,
    comparison,
    mixed_review,
    outcome,
    review,
    tag,
    timed_review,
)

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
    assert code_set(trials) == {"analysis", "arms"}
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
    assert "swapped-events" in code_set(trials)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(write, encoding):
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text = review(comparison(1, "é", outcome("DICH", 1, "B", bcg_rows(range(3)))), head=head)
    assert len(metaan.read(write(text, encoding=encoding))) == 3


def told(trials, code):
    return next(note for note in trials.attrs["read"]["notes"] if note["code"] == code)


@pytest.mark.parametrize(
    ("chosen", "kept", "empty"),
    [("1.1", [1, 2, 3, 5], [4]), ("1.2", [1, 2], [3, 4]), ("Survival", [1, 2], [3])],
)
def test_rows_without_data_are_left_out_as_in_the_review(write, chosen, kept, empty):
    trials = metaan.read(write(barren_review()), outcome=chosen)
    assert trials["study"].tolist() == [f"Trial <{i}>" for i in kept]
    assert told(trials, "no-data")["studies"] == [f"Trial <{i}>" for i in empty]
    left = [(row["row"], row["reason"]) for row in trials.attrs["read"]["left_out"]]
    assert left == [(i, "not estimable") for i in empty]
    story = metaan.explain(trials)
    assert (story.kept, story.total) == (len(kept), trials.attrs["read"]["rows"])


def test_a_study_without_events_is_data_that_the_review_leaves_out(write):
    trials = metaan.read(write(barren_review()), outcome="1.1")
    assert trials[list(COUNTS)].iloc[-1].tolist() == [0, 12, 0, 11]
    assert told(trials, "not-estimable")["studies"] == ["Trial <5>"]
    assert np.isfinite(metaan.mantel_haenszel("RR", trials, **{name: name for name in COUNTS}).estimate)


@pytest.mark.parametrize("counts", [(0, 12, 0, 11), (12, 12, 11, 11)])
@pytest.mark.parametrize("said", [{}, {"ESTIMABLE": "NO"}])
def test_a_study_that_says_nothing_of_petos_odds_ratio_is_left_out(write, counts, said):
    given = dict(zip(("EVENTS_1", "TOTAL_1", "EVENTS_2", "TOTAL_2"), counts, strict=True))
    row = tag("DICH_DATA", {**given, "STUDY_ID": "STD-Nil", **said})
    path = write(review(comparison(1, "A", outcome("DICH", 1, "B", bcg_rows([0, 1]) + row, EFFECT_MEASURE="PETO_OR"))))
    assert told(metaan.read(path), "no-data")["studies"] == ["Nil"]
    assert run("pool", path).exit_code == 0


@pytest.mark.parametrize("chosen", ["1.1", "1.2"])
def test_the_command_line_pools_a_review_with_rows_without_data(write, chosen):
    result = run("pool", write(barren_review()), "--outcome", chosen)
    assert result.exit_code == 0
    assert "left out, as in the review" in result.stderr


def test_the_measure_of_an_inverse_variance_outcome_is_a_tag(write):
    trials = metaan.read(write(barren_review()), outcome="1.3")
    assert trials.attrs["read"]["measure"] == "HR"
    assert told(trials, "no-total")["text"] == "No overall result: the review pools nothing here."


def test_what_a_row_lacks_stays_missing_where_the_review_has_an_estimate(write):
    given = {"EVENTS_1": 1, "TOTAL_1": 9, "EVENTS_2": "", "TOTAL_2": 8, "STUDY_ID": "STD-A"}
    for estimable, kept in ((None, 2), ("YES", 2), ("NO", 1)):
        row = tag("DICH_DATA", {**given, **({"ESTIMABLE": estimable} if estimable else {})})
        trials = metaan.read(write(review(comparison(1, "A", outcome("DICH", 1, "B", bcg_rows([0]) + row)))))
        assert len(trials) == kept


@pytest.mark.parametrize(
    ("totals", "why"),
    [("SUB", "pools each subgroup and not all of them"), ("NO", "pools nothing here"), ("", "does not say that")],
)
def test_patients_of_several_subgroups_do_not_count_twice(write, totals, why):
    path = write(timed_review(totals))
    with pytest.raises(InputError, match=rf"{why}.*'Trial <1>', 'Trial <2>'.*'1\.1\.1' 6 months \(2 rows\)"):
        metaan.read(path)
    late = metaan.read(path, outcome="1.1.2")
    assert late["subgroup"].tolist() == ["12 months"] * 2
    assert "subgroup 2 12 months" in told(late, "analysis")["text"]
    every = metaan.read(path, outcome="1.1.*")
    assert len(every) == 4
    assert told(every, "duplicate-study")["studies"] == ["Trial <1>", "Trial <2>"]
    with pytest.raises(OptionError, match=r"'1\.1\.3' is no subgroup"):
        metaan.read(path, outcome="1.1.3")


def test_subgroups_of_different_studies_are_one_table(write):
    trials = metaan.read(write(timed_review("SUB", ((0, 1), (2, 3)))))
    assert len(trials) == 4
    assert told(trials, "no-total")["text"].startswith("No overall result: the review pools each subgroup")
    assert len(metaan.read(write(timed_review("YES")))) == 4  # the review pools all of them itself


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
