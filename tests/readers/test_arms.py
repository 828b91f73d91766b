"""Tables with a row for each arm, and two groups whose names are not known."""

import pandas as pd
import pytest
from helpers.reading import code_set as codes

import metaan
from metaan.errors import InputError

LONG = "Study,Arm,events,total\nA,{0},3,20\nA,{1},4,21\nB,{0},5,30\nB,{1},6,31\n"


@pytest.mark.parametrize(
    "arms", [("treatment", "control"), ("Drug", "Placebo"), ("T", "C"), ("usual care", "CBT"), ("ECT", "sham")]
)
def test_treated_and_control_arms_in_rows_are_refused(read, arms):
    text = LONG.format(*arms)
    for options in ({}, {"measure": "PLO"}):
        with pytest.raises(
            InputError, match=r"arms stand in rows: column 'Arm' has .*pivot the table to events_t"
        ) as error:
            read(text, **options)
        assert "keep the rows of one arm" in str(error.value)
    with pytest.raises(InputError, match=r"measure='OR' needs .* Arms stand in rows: column 'Arm'"):
        read(text, measure="OR")
    one = "\n".join(line for line in text.splitlines() if arms[1] not in line)
    assert len(read(one)) == 2


def test_the_advice_to_pivot_works(tmp_path):
    (tmp_path / "x.csv").write_text(LONG.format("treatment", "control"))
    wide = pd.read_csv(tmp_path / "x.csv").pivot(index="Study", columns="Arm")
    trials = metaan.read(wide, measure="OR")
    assert trials[["events_t", "total_t", "events_c", "total_c"]].to_numpy().tolist() == [
        [3, 20, 4, 21],
        [5, 30, 6, 31],
    ]


def test_arms_of_means_are_named_as_means_are(read):
    text = "Study,Arm,mean,sd,n\nA,treatment,3,1,20\nA,control,4,1,21\n"
    for options in ({}, {"measure": "SMD"}):
        with pytest.raises(
            InputError, match="pivot the table to mean_t, sd_t, n_t, mean_c, sd_c, n_c, one row per study"
        ):
            read(text, **options)


def test_groups_that_may_be_arms_are_told(read):
    trials = read(LONG.format("ECT", "Surgery"))
    assert len(trials) == 4
    assert {"arms-in-rows", "duplicate-study"} <= codes(trials)
    with pytest.raises(InputError, match="Arms stand in rows: column 'Arm' has 'ECT', 'Surgery'"):
        read(LONG.format("ECT", "Surgery"), measure="OR")


@pytest.mark.parametrize(
    "text",
    [
        LONG.format("treatment", "control").replace("A,control", "AA,control").replace("B,control", "BB,control"),
        LONG.format("x", "y").replace("B,y", "B,z"),
        LONG.format("ECT", "Surgery").replace("A,Surgery", "A,ECT"),
        "study,blind,events,total\nA,yes,3,20\nB,no,3,20\nC,no,4,30\n",
    ],
)
def test_other_columns_with_two_values_are_no_arms(read, text):
    assert "arms-in-rows" not in codes(read(text))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("study,treatment,events,total\nA,placebo,3,44\nA,5FU,4,30\nA,imiquimod,4,30\nB,ECT,5,20\n", "in 'A'"),
        ("study,Arm,events,total\nA,ECT,3,44\nB,ECT,4,30\nC,ECT,4,30\nC,control,5,20\n", "in 'C'"),
        ("id,treatment,events,total\n1,drug,3,44\n1,Control/Placebo,4,30\n2,drug,4,30\n", "in '1'"),
        ("study,id,treatment,events,total\nA,1,drug,3,44\nB,1,placebo,4,30\nC,2,drug,4,30\n", "in '1'"),
        ("study,week,arm,events,total\nA,3,drug,3,44\nA,6,drug,4,44\nA,3,sham,5,20\nA,6,sham,2,20\n", "in 'A'"),
    ],
)
def test_controls_beside_other_arms_of_their_study_are_refused(read, text, what):
    with pytest.raises(InputError, match=f"beside other arms of the same study, {what}. Pooled as they stand, contro"):
        read(text)


def test_controls_that_are_studies_of_their_own_are_told(read):
    trials = read("study,treatment,events,total\nA,ECT,3,44\nB,PDT,4,30\nC,Placebo,5,20\n")
    assert len(trials) == 3
    assert "Column 'treatment' has 'Placebo' in 1 of 3 rows" in trials.attrs["notes"][-1]
    for same in ("Placebo", "ECT"):
        alone = read(f"study,treatment,events,total\nA,{same},3,44\nB,{same},4,30\n")
        assert alone.attrs["notes"] == []


def test_rows_of_several_outcomes_are_told_and_no_arms(read):
    trials = read("study,outcome,events,total\nA,CR,3,20\nA,PR,2,20\nB,CR,1,9\nB,PR,2,9\n")
    assert codes(trials) == {"several-outcomes", "duplicate-study"}
    assert "'CR', 'PR'. Keep the rows of one" in trials.attrs["notes"][0]
    assert "several-outcomes" in codes(read("study,outcome,events,total\nA,CR,3,20\nB,PR,2,20\nC,CR,1,9\n"))
    for one in ("outcome,events,total\nA,CR,3,20\nB,CR,2,20\n", "visit,events,total\nA,3,3,20\nB,6,2,20\n"):
        assert codes(read(f"study,{one}")) == set()


def test_effects_of_two_outcomes_of_a_study_are_no_arms(read):
    trials = read("study,group,yi,vi\nA,control,0.1,0.02\nA,treated,0.2,0.02\n")
    assert len(trials) == 2


GROUPS = "Study,ECT (n=30),,Surgery,\n,events,n,events,n\nA,3,20,4,33\n"


def test_names_of_two_unknown_groups_above_the_columns(read):
    with pytest.raises(InputError, match=r"Row 1 above may name the groups: header=\(1, 2\) reads both"):
        read(GROUPS)
    with pytest.raises(InputError, match="If 'ECT' is the treated group") as error:
        read(GROUPS, header=(1, 2))
    names = ("ECT (n=30) events", "ECT (n=30) n", "Surgery events", "Surgery n")
    asked = dict(zip(("events_t", "total_t", "events_c", "total_c"), names, strict=True))
    assert f"columns={asked}" in str(error.value)
    trials = read(GROUPS, header=(1, 2), columns=asked)
    assert trials[list(asked)].iloc[0].tolist() == [3, 20, 4, 33]


def test_names_of_two_unknown_groups_in_brackets(read):
    heading = "Study,Events (Aspirin),N (Aspirin),Events (Warfarin),N (Warfarin)"
    with pytest.raises(
        InputError, match=r"'events_t': 'Events \(Aspirin\)', 'total_t': 'N \(Aspirin\)', 'events_c': 'E"
    ):
        read(f"{heading}\nA,3,20,4,33\n", measure="OR")


def test_a_title_above_repeated_headings_is_no_row_of_groups(read):
    with pytest.raises(InputError, match="Give them different names"):
        read("Table 1,,,,\nStudy,events,n,events,n\nA,3,20,4,33\n")
