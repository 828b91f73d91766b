"""Counts behind printed percentages: complete lists, and pairs that cannot be."""

import csv
import re
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaan import check_percentage, counts_from_percentage, rate_interval, tables_from_percentages
from metaan.errors import DataError, InputError, OptionError

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def as_printed(events, total, decimals, rounding=ROUND_HALF_UP):
    """Exact decimal rounding, as the reference: no float, no code of the package."""
    exact = Decimal(100 * events) / Decimal(total)
    return str(exact.quantize(Decimal(1).scaleb(-decimals), rounding=rounding))


def by_hand(pct, decimals, totals):
    return [
        (x, n)
        for n in totals
        for x in range(n + 1)
        if abs(Decimal(100 * x) - Decimal(pct) * n) * 2 <= n * Decimal(1).scaleb(-decimals)
    ]


def test_leonard_2001_placebo_is_1_of_27_alone():
    assert list(counts_from_percentage(3.70, max_total=52, decimals=2)) == [(1, 27)]
    assert list(counts_from_percentage("3.70", max_total=52)) == [(1, 27)]
    assert list(counts_from_percentage("3.70", max_total=54)) == [(1, 27), (2, 54)]


def test_leonard_2001_treated_may_be_8_of_24():
    found = counts_from_percentage(33.3, max_total=52, decimals=1)
    assert (8, 24) in found
    assert (8, 25) not in found
    assert list(found) == [(n // 3, n) for n in range(3, 52, 3)]


@pytest.mark.parametrize(("pct", "decimals"), [("0", 0), ("0.0", 1), ("12.5", 1), ("50", 0), ("66.67", 2), ("100", 0)])
def test_the_list_is_complete(pct, decimals):
    assert list(counts_from_percentage(pct, max_total=60)) == by_hand(pct, decimals, range(1, 61))
    for n in (1, 8, 37):
        assert list(counts_from_percentage(pct, total=n)) == by_hand(pct, decimals, [n])


ROUNDING = st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN])
PAIRS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(PAIRS, st.integers(0, 4), st.integers(0, 100), ROUNDING)
def test_the_true_pair_is_always_there(pair, decimals, more, rounding):
    events, total = pair
    pct = as_printed(events, total, decimals, rounding)
    assert pair in counts_from_percentage(pct, total=total)
    assert pair in counts_from_percentage(pct, max_total=total + more)
    assert pair in counts_from_percentage(float(pct), max_total=total + more, decimals=decimals)


@given(PAIRS, st.integers(0, 3))
def test_every_pair_of_the_list_prints_so(pair, decimals):
    pct = as_printed(*pair, decimals)
    for events, total in counts_from_percentage(pct, max_total=min(pair[1], 120)):
        both = {as_printed(events, total, decimals, how) for how in (ROUND_HALF_UP, ROUND_HALF_EVEN)}
        tie = abs(Decimal(100 * events) / total - Decimal(pct)) * 2 == Decimal(1).scaleb(-decimals)
        assert pct in both or tie


@given(PAIRS, st.integers(0, 3), st.sampled_from(["clopper-pearson", "wilson", "jeffreys", "mid-p"]))
def test_the_printed_interval_keeps_the_true_pair(pair, decimals, method):
    low, high = rate_interval([pair[0]], [pair[1]], interval=method)
    ci = tuple(f"{100 * limit[0]:.{decimals}f}" for limit in (low, high))
    pct = as_printed(*pair, decimals)
    assert pair in counts_from_percentage(pct, total=pair[1], ci=ci, ci_method=method)
    assert pair in counts_from_percentage(pct, total=pair[1], ci=ci)


def test_an_interval_singles_out_the_total():
    found = counts_from_percentage("20", max_total=100, ci=(3, 56))  # adams2012: 2/10, 20% (3 to 56)
    assert list(found) == [(2, 10)]
    assert "by clopper-pearson" in str(found)
    wald = counts_from_percentage("50", max_total=40, ci=("28.1", "71.9"), ci_method="wald")
    assert list(wald) == [(10, 20)]
    assert not len(counts_from_percentage("20", max_total=100, ci=(19, 20), ci_method="wilson"))


def test_no_count_prints_so():
    found = counts_from_percentage("50", total=3)
    assert len(found) == 0
    assert "no count prints so" in str(found)
    assert found.to_frame().empty
    assert len(counts_from_percentage("47.3", max_total=18)) == 0


def test_the_record_is_read_only_and_says_what_was_assumed():
    found = counts_from_percentage("33.3", max_total=52)
    assert found.to_frame().columns.tolist() == ["events", "total", "rate"]
    assert {note.code for note in found.notes} == {"printed", "bound"}
    with pytest.raises(ValueError, match="read-only"):
        found.events[0] = 1
    assert str(found).startswith("33.3%: 1/3, 2/6")
    assert "and 5 more" in str(found)


def test_a_long_list_is_fast_and_a_useless_one_refused():
    assert len(counts_from_percentage("33.33", max_total=100_000)) == len(
        {(x, n) for x, n in counts_from_percentage("33.33", max_total=100_000)}
    )
    with pytest.raises(OptionError, match="counts print as 33%"):
        counts_from_percentage("33", max_total=100_000)


@pytest.mark.parametrize(
    ("pct", "options", "error", "message"),
    [
        ("33.3", {}, OptionError, "one of the two"),
        ("33.3", {"total": 3, "max_total": 4}, OptionError, "one of the two"),
        ("101", {"total": 3}, DataError, "between 0 and 100"),
        (-1, {"total": 3}, DataError, "between 0 and 100"),
        (float("nan"), {"total": 3}, DataError, "between 0 and 100"),
        (True, {"total": 3}, OptionError, "not a percentage"),
        ("a third", {"total": 3}, OptionError, "not a percentage"),
        ("33.33", {"total": 3, "decimals": 1}, OptionError, "more than decimals=1"),
        ("33", {"total": 3, "decimals": -1}, OptionError, "whole number from 0 to 6"),
        ("33", {"total": 3, "decimals": 1.5}, OptionError, "whole number from 0 to 6"),
        ("33", {"total": 0}, DataError, "total=0 must be a whole number"),
        ("33", {"max_total": 2.5}, DataError, "max_total=2.5"),
        ("33", {"total": 10**9}, DataError, "whole number from 1 to 10,000,000"),
        ("33", {"total": 3, "ci": (50, 20)}, DataError, "lower limit exceeds"),
        ("33", {"total": 3, "ci": 50}, OptionError, "two percentages"),
        ("33", {"total": 3, "ci": (1, 2), "ci_method": "exact"}, OptionError, "ci_method='exact' is not known"),
        ("33", {"total": 3, "ci": (1, 2), "level": 95}, OptionError, "Did you mean level=0.95"),
    ],
)
def test_bad_requests(pct, options, error, message):
    with pytest.raises(error, match=message):
        counts_from_percentage(pct, **options)


@given(PAIRS, st.integers(0, 3), ROUNDING)
def test_a_right_pair_agrees(pair, decimals, rounding):
    pct = as_printed(*pair, decimals, rounding)
    table = check_percentage(events=[pair[0]], total=[pair[1]], pct=[pct])
    assert table["verdict"].tolist() == ["agrees"]
    assert table["possible"].tolist() == [True]


@given(PAIRS, st.integers(0, 3), st.integers(-300, 300))
def test_a_wrong_pair_is_flagged(pair, decimals, off):
    """Any percentage further than half a unit from the rate; further than one unit, it contradicts."""
    unit = Decimal(1).scaleb(-decimals)
    wrong = Decimal(as_printed(*pair, decimals)) + off * unit
    if not 0 <= wrong <= 100:
        return
    table = check_percentage(events=[pair[0]], total=[pair[1]], pct=[str(wrong)])
    gap = abs(wrong - Decimal(100 * pair[0]) / pair[1])
    verdict = table["verdict"].item()
    assert (verdict == "agrees") == (2 * gap <= unit)
    assert (verdict == "contradicts") == (gap >= unit)
    assert table["possible"].item() == bool(by_hand(str(wrong), decimals, [pair[1]]))


def test_verdicts():
    table = check_percentage(
        events=[80, 8, 2, 5, 3], total=[114, 24, 3, 15, 18], pct=["73", "33.3", "66", "34", "18.0"], study=list("abcde")
    )
    assert table["verdict"].tolist() == ["contradicts", "agrees", "truncated", "last digit", "contradicts"]
    assert table["possible"].tolist() == [True, True, False, False, False]
    assert table["difference"].round(2).tolist() == [2.82, -0.03, -0.67, 0.67, 1.33]


def test_the_evidence_disagrees_where_the_audit_says_so():
    """AUDIT.md, section 4: four errors of the sources, 25 more differ in the last printed digit only."""
    rows = []
    for path in STUDIES.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            if "response_scope" in reader.fieldnames:
                rows += [row for row in reader if row["events"] and row["total"] and row["reported_pct"]]
    table = check_percentage(
        events=[int(row["events"]) for row in rows],
        total=[int(row["total"]) for row in rows],
        pct=[row["reported_pct"] for row in rows],
        study=[f"{row['study_id']} {row['outcome']}" for row in rows],
    )
    audit = (STUDIES / "AUDIT.md").read_text(encoding="utf-8")
    errors = re.findall(r"^- (\w+ \w+): \d+/\d+=[\d.]+ printed", audit, flags=re.MULTILINE)
    assert len(errors) == 4
    assert sorted(table.loc[table["verdict"] == "contradicts", "study"]) == sorted(errors)
    others = int(re.search(r"A further (\d+) rows differ in the last printed digit only", audit).group(1))
    assert table["verdict"].isin(["truncated", "last digit"]).sum() == others


def test_bad_percentages_name_the_study():
    with pytest.raises(DataError, match=r"Study 'Bo'.*between 0 and 100"):
        check_percentage(events=[1, 2], total=[3, 4], pct=[33, 150], study=["Ames", "Bo"])
    with pytest.raises(InputError, match="Lengths differ"):
        check_percentage(events=[1, 2], total=[3, 4], pct=[33])


def test_tables_from_two_percentages():
    # Leonard 2001: 52 randomised, 33.3 % against 3.70 %.
    found = tables_from_percentages("33.3", "3.70", max_total=52)
    assert set(zip(found["events_c"], found["total_c"], strict=True)) == {(1, 27)}
    assert (8, 24, 1, 27) in set(found.itertuples(index=False, name=None))
    assert tables_from_percentages("33.3", "3.70", total=52).empty
    assert tables_from_percentages("33.3", "3.70", total=51).to_numpy().tolist() == [[8, 24, 1, 27]]
    assert "51" in tables_from_percentages("33.3", "3.70", total=51).attrs["notes"][0]


@given(PAIRS, PAIRS, st.integers(0, 2), st.booleans(), st.booleans())
def test_the_true_table_is_always_there(one, other, decimals, sizes, sums):
    printed = as_printed(*one, decimals), as_printed(*other, decimals)
    known = {"total_t": one[1], "total_c": other[1]}
    if not sizes and one[1] + other[1] <= 150:
        known = {"total": one[1] + other[1]}
    if sums:
        known["events"] = one[0] + other[0]
    found = tables_from_percentages(*printed, **known)
    assert (*one, *other) in set(found.itertuples(index=False, name=None))
    if sums:
        assert set(found["events_t"] + found["events_c"]) == {one[0] + other[0]}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, "size of both arms"),
        ({"total_t": 5}, "size of both arms"),
        ({"total": 5, "max_total": 5}, "not both"),
        ({"total_t": 5, "total_c": 5, "total": 9}, "do not fit"),
        ({"total_t": 5, "total_c": 5, "total": 11}, "do not fit"),
        ({"max_total": 5000}, "more decimals"),
    ],
)
def test_margins_that_do_not_do(known, message):
    with pytest.raises(OptionError, match=message):
        tables_from_percentages("20", "20", **known)


def test_counts_are_whole_numbers():
    table = check_percentage(events=[1], total=[3], pct=["33"])
    assert np.issubdtype(table["events"].dtype, np.integer)
