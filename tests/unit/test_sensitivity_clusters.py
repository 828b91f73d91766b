"""leave_one_out by cluster: columns, values, overlap groups of the evidence base, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from helpers.evidence import load_keeping
from helpers.refits import COLUMNS, same

import metaan
from metaan.errors import InputError
from metaan.models.design import take
from metaan.names import COLUMNS as VOCABULARY

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]
PAPER = ["P", "Q", "P", "R", "R", "R", "S", "T"]


@pytest.fixture(scope="module")
def res():
    rows = pd.DataFrame({"x": X, "n": N, "paper": PAPER, "country": ["NL", "SI", None, "SI", "", "NL", "IT", np.nan]})
    return metaan.pool(metaan.effect_size("PLO", rows, events="x", total="n", study=list("ABCDEFGH")))


def test_clusters_are_left_out_together(res):
    table = metaan.leave_one_out(res, by="paper")
    assert list(table.columns[:3]) == ["cluster", "left_out", "estimate"]
    assert list(table.cluster) == ["P", "Q", "R", "S", "T"]
    assert list(table.left_out) == [2, 1, 3, 1, 1]
    assert list(table.k) == [6, 7, 5, 7, 7]
    for i, name in enumerate(table.cluster):
        same(table.loc[i], metaan.pool(take(res.effects, np.array(PAPER) != name)), COLUMNS, 1e-12)
    assert set(table.columns) <= set(VOCABULARY)


def test_values_instead_of_a_column(res):
    table = metaan.leave_one_out(res, by="paper")
    for values in (PAPER, np.array(PAPER), pd.Categorical(PAPER), pd.Series(PAPER), tuple(PAPER)):
        pd.testing.assert_frame_equal(metaan.leave_one_out(res, by=values), table)
    by_number = metaan.leave_one_out(res, by=[1, 2, 1, 3, 3, 3, 4, 5])
    assert list(by_number.cluster) == list("12345")
    assert (by_number.estimate == table.estimate).all()


def test_study_labels_are_clusters(res):
    alone = metaan.leave_one_out(res)
    by_label = metaan.leave_one_out(res, by="study")
    assert list(by_label.cluster) == list("ABCDEFGH")
    assert (by_label.estimate == alone.estimate).all()
    twice = metaan.pool(metaan.effects([0.1, 0.5, 0.2], [0.02, 0.03, 0.02], study=["A", "A", "B"]))
    assert list(metaan.leave_one_out(twice, by="study").left_out) == [2, 1]


def test_studies_without_a_value_are_clusters_of_their_own(res):
    table = metaan.leave_one_out(res, by="country")
    assert list(table.cluster) == ["NL", "SI", "C", "E", "IT", "H"]
    assert list(table.left_out) == [2, 2, 1, 1, 1, 1]
    assert [note.studies for note in table.attrs["notes"] if note.code == "no-cluster"] == [("C", "E", "H")]


def test_labels_of_clusters_are_told_apart():
    res = metaan.pool(metaan.effects([0.1, 0.5, 0.2, 0.4], [0.02, 0.03, 0.02, 0.04]))
    gaps = metaan.leave_one_out(res, by=[1.0, 2.0, 1.0, np.nan])
    assert list(gaps.cluster) == ["1", "2", "4"]
    own = metaan.leave_one_out(res, by=["2", None, "2", " "])
    assert list(own.cluster) == ["2", "2 (study)", "4"]
    assert list(own.left_out) == [2, 1, 1]
    with pytest.raises(InputError, match="1 and '1', which look the same"):
        metaan.leave_one_out(res, by=[1, "1", 2, 2])


def test_notes_name_clusters():
    eff = metaan.effects([0.2, 0.21, 0.19, 0.9], [0.02, 0.03, 0.02, 0.01])
    table = metaan.leave_one_out(metaan.pool(eff), by=list("aabc"))
    note = next(note for note in table.attrs["notes"] if note.code == "tau2-zero")
    assert note.studies == ("c",)


def test_other_models_by_cluster():
    for fitted in (
        metaan.beta_binomial(events=X, total=N),
        metaan.glmm("PLO", events=X, total=N),
        metaan.mantel_haenszel("OR", events_t=X, total_t=N, events_c=[3] * 8, total_c=[30] * 8),
    ):
        table = metaan.leave_one_out(fitted, by=PAPER)
        single = metaan.leave_one_out(fitted)
        assert list(table.left_out) == [2, 1, 3, 1, 1]
        assert table.estimate[1] == pytest.approx(single.estimate[1], rel=1e-9)


def test_bad_clusters(res):
    for bad, message in (
        ("papr", "Columns: x, n, paper"),
        ([1, 2, 3], "3 values for 8"),
        ([1] * 8, "two clusters"),
        (5, "one value for each study"),
        (dict.fromkeys(range(8)), "not a dict"),
        (set(PAPER), "not a set"),
        ([[1]] * 8, "no label"),
        ("overlap_group", "study_id"),
    ):
        with pytest.raises(InputError, match=message):
            metaan.leave_one_out(res, by=bad)
    with pytest.raises(InputError, match="data"):
        metaan.leave_one_out(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1])), by="paper")


@pytest.fixture(scope="module")
def trials():
    return load_keeping("electrochemotherapy", outcome="complete_response", unit="lesion")


def test_overlap_groups(trials):
    res = metaan.glmm("PLO", trials, events="events", total="total", study="study")
    table = metaan.leave_one_out(res, by="overlap_group")
    assert table.left_out.sum() == res.k
    pairs = metaan.overlaps(trials)
    label = {}
    for name, left_out in zip(table.cluster, table.left_out, strict=True):
        for group in name.split("+") if left_out > 1 else ():
            label[group] = name
    assert set(pairs.cohort_group) == set(label)
    members = {name: set() for name in label.values()}
    for pair in pairs.itertuples():
        members[label[pair.cohort_group]] |= {pair.study_a, pair.study_b}
    told = {note.text.split()[2]: set(note.studies) for note in table.attrs["notes"] if note.code == "overlap-group"}
    assert told == members
    for name, studies in members.items():
        row = table[table.cluster == name].iloc[0]
        keep = ~trials.study.isin(studies).to_numpy()
        assert row.k == keep.sum()
        alone = metaan.glmm("PLO", trials[keep], events="events", total="total", study="study")
        same(row, alone, COLUMNS, 1e-7)


def test_a_column_called_overlap_group_goes_first(trials):
    rows = trials.assign(overlap_group=["one"] + ["two"] * (len(trials) - 1))
    res = metaan.pool(metaan.effect_size("PLO", rows, events="events", total="total", study="study"))
    assert list(metaan.leave_one_out(res, by="overlap_group").cluster) == ["one", "two"]
