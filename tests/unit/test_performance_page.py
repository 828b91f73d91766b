"""The tables of docs/performance.md: every number of them is in benchmarks/summary.json."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def report():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("report")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def content(report):
    seconds = {"metaan": [0.002, 0.001, 0.003], "PyMARE, fit": [0.006], "pimeta": [0.0304, 0.05]}
    table = {"title": "REML, k = 1,000", "baseline": "metaan", "ratio": {}, "seconds": seconds, "left_out": {}}
    return report.condensed({"surroundings": {"numpy": "2"}, "tables": [table], "curves": {}})


def test_page_is_what_the_summary_says(report):
    page = report.PAGE.read_text(encoding="utf-8")
    summary = json.loads(report.SUMMARY.read_text(encoding="utf-8"))
    assert report.filled(page, summary) == page


def test_summary_keeps_medians_and_quartiles_only(content):
    assert "curves" not in content
    assert content["tables"][0]["rows"]["metaan"] == {"low": 0.0015, "median": 0.002, "high": 0.0025, "rounds": 3}


def test_tables_give_medians_and_ratios(report, content):
    assert "| PyMARE, fit | 6 ms | 6 ms - 6 ms | 3 |" in report.tables(content)
    assert "| REML | pimeta | 20 |" in report.single(content)


@pytest.mark.parametrize(("theirs", "found"), [("PyMARE", 3), ("*", 3), ("pimeta", 20.1), ("metafor", None)])
def test_goals_are_ratios_to_the_peer(report, content, theirs, found):
    goal = report.Goal("w", "p", 4.0, "bench_single", "k = 1,000", "metaan", theirs, "sums")
    got = report.measured(goal, {"bench_single": content})
    assert got == (None if found is None else pytest.approx(found))


def test_text_around_the_tables_stays(report):
    page = "before\n<!-- begin growth -->\nold\n<!-- end growth -->\nafter\n"
    assert report.filled(page, {}) == page.replace("old", "Not measured.")
    row = {
        "panel": "time by n",
        "name": "metaan",
        "axis": "n",
        "slope": 0.994,
        "from": 1000,
        "to": 9999,
        "value": "2 s",
    }
    filled = report.filled(page, {"growth": {"slopes": [row]}})
    assert "| time by n | metaan | n^0.99 | n = 1,000 to 9,999 | 2 s at n = 9,999 |" in filled
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")


def test_slow_contenders_take_part_in_fewer_rounds(report):
    import side_by_side as side

    calls = {"fast": 0, "slow": 0}

    def takes(name, seconds):
        def counted(number):
            calls[name] += number
            return seconds

        return side.Contender(name, counted, scale=10)

    times = side.interleaved([takes("fast", 0.1), takes("slow", 2.0)], rounds=7, patience=6.5)
    assert times == {"fast": [1.0] * 7, "slow": [20.0] * 3}
    assert calls == {"fast": 9, "slow": 4}


def test_expected_time_follows_the_last_two_sizes(report):
    import side_by_side as side

    assert side.expected({}, 100) == 0
    assert side.expected({10: 1.0}, 100) == pytest.approx(10)
    assert side.expected({10: 1.0, 100: 100.0}, 1000) == pytest.approx(10_000)
    assert side.expected({10: 1.0, 100: 0.5}, 1000) == pytest.approx(5)
