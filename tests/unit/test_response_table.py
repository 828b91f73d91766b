"""Long rows of the evidence base become one row of all categories, and nothing is left out silently."""

import pandas as pd
import pytest

import metaan
from metaan.errors import DataError, InputError, OptionError, OverlapWarning
from metaan.names import RECORD

OUTCOME = {"cr": "complete_response", "pr": "partial_response", "or": "objective_response", "sd": "stable_disease",
           "pd": "progressive_disease", "nr": "no_response"}  # fmt: skip


def rows(**studies):
    """Long rows of studies, each a total and counts by short name."""
    return pd.DataFrame(
        [
            {"study": study, "outcome": OUTCOME[name], "events": events, "total": total, "unit": "patient"}
            for study, (total, counts) in studies.items()
            for name, events in counts.items()
        ]
    )


def table(**studies):
    return metaan.response_table(rows(**studies)).set_index("study")[["cr", "pr", "sd", "pd"]].T.to_dict("list")


@pytest.mark.parametrize(
    ("total", "counts", "expected"),
    [
        (10, {"cr": 4, "pr": 3, "sd": 2, "pd": 1}, [4, 3, 2, 1]),
        (10, {"cr": 4, "or": 7, "sd": 2, "pd": 1}, [4, 3, 2, 1]),
        (10, {"pr": 3, "or": 7, "nr": 3, "pd": 1}, [4, 3, 2, 1]),
        (10, {"cr": 4, "nr": 3, "pr": 3, "sd": 2}, [4, 3, 2, 1]),
        (10, {"cr": 4, "pr": 3, "sd": 2}, [4, 3, 2, 1]),
        (10, {"cr": 4, "or": 10}, [4, 6, 0, 0]),
        (10, {"cr": 4, "pr": 6, "nr": 0}, [4, 6, 0, 0]),
    ],
)
def test_counts_that_follow(total, counts, expected):
    assert table(a=(total, counts)) == {"a": expected}


@pytest.mark.parametrize(
    ("total", "counts", "reason"),
    [
        (10, {"cr": 4, "pr": 3}, "not known: stable disease, progressive disease"),
        (10, {"cr": 4, "pr": 3, "sd": 1, "pd": 1}, "sum to less"),
        (10, {"cr": 4, "pr": 3, "sd": 2, "pd": 2}, "contradict"),
        (10, {"cr": 4, "pr": 3, "or": 8, "sd": 2, "pd": 1}, "contradict"),
        (10, {"cr": 8, "pr": 3, "sd": 2}, "contradict"),
    ],
)
def test_reasons_for_leaving_out(total, counts, reason):
    kept = {"cr": 1, "pr": 1, "sd": 1, "pd": 1}
    out = metaan.response_table(rows(kept=(4, kept), gone=(total, counts)))
    assert list(out["study"]) == ["kept"]
    (left,) = out.attrs[RECORD]["left_out"]
    assert left["study"] == "gone"
    assert reason in left["reason"]
    assert any(note["code"] == "left-out" and "gone" in note["text"] for note in out.attrs[RECORD]["notes"])


def test_different_totals_and_two_counts_leave_out():
    long = rows(a=(4, {"cr": 1, "pr": 1, "sd": 1, "pd": 1}), b=(4, {"cr": 1, "pr": 1, "sd": 1, "pd": 1}),
                c=(4, {"cr": 1, "pr": 1, "sd": 1, "pd": 1}))  # fmt: skip
    long.loc[4, "total"] = 5
    twice = long.iloc[[8]].assign(events=0)
    out = metaan.response_table(pd.concat([long, twice]))
    assert [left["reason"] for left in out.attrs[RECORD]["left_out"]] == [
        "the outcomes have different totals", "two counts of complete response",
    ]  # fmt: skip


def test_options():
    short = rows(a=(10, {"cr": 4, "pr": 3, "sd": 1, "pd": 1}))
    out = metaan.response_table(short, short="evaluable")
    assert out["total"].tolist() == [9]
    assert [note["code"] for note in out.attrs[RECORD]["notes"]] == ["evaluable"]
    three = metaan.response_table(rows(a=(10, {"cr": 4, "or": 6})), split="three")
    assert three[["cr", "pr", "nr"]].to_numpy().tolist() == [[4, 2, 4]]
    with pytest.raises(InputError, match="No study"):
        metaan.response_table(rows(a=(10, {"cr": 4, "pr": 3, "sd": 2})), remainder="no")
    with pytest.raises(OptionError):
        metaan.response_table(short, unit="patient")
    with pytest.raises(OptionError):
        metaan.response_table("spratt2014")
    with pytest.raises(DataError, match="patient"):
        metaan.response_table(pd.concat([short, short.assign(unit="lesion")]))


def test_evidence_base():
    with pytest.raises(DataError, match="unit="):
        metaan.response_table("electrochemotherapy")
    with pytest.raises(OptionError, match="share patients"):
        metaan.response_table("electrochemotherapy", unit="lesion")
    with pytest.warns(OverlapWarning):
        every = metaan.response_table("electrochemotherapy", unit="lesion", overlaps="keep")
    out = metaan.response_table("electrochemotherapy", unit="lesion", overlaps="prefer_largest")
    assert set(out["study"]) < set(every["study"])
    assert (out[["cr", "pr", "sd", "pd"]].sum(axis=1) == out["total"]).all()
    bourke = out.set_index("study").loc["Bourke 2017"]
    assert bourke[["cr", "pr", "sd", "pd", "total"]].tolist() == [130, 31, 39, 2, 202]
    res = metaan.categories(out)
    assert res.k == len(out)
    assert {"left-out", "overlaps"} <= {note.code for note in res.notes}
    assert len(str(res).splitlines()) <= 20


def test_rows_of_load_go_straight_in():
    ask = {"unit": "patient", "overlaps": "prefer_largest", "site": "any"}
    outcomes = ("complete_response", "partial_response", "stable_disease", "progressive_disease")
    long = pd.concat([metaan.load("topical", outcome=outcome, **ask) for outcome in outcomes])
    res = metaan.categories(long)
    assert res.k == len(metaan.response_table(long))
    assert "left-out" in {note.code for note in res.notes}
    assert metaan.categories(long, model="normal", structure="diagonal").k == res.k
