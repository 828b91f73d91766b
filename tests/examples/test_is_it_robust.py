"""Example 09: its paragraph says what the single analyses say, made anew."""

import re

import pytest
from helpers.examples import table_after

import metaan

NAME = "09_is_it_robust"
COUNTS = {"events": "events", "total": "total", "study": "study"}


@pytest.fixture(scope="module")
def said(run):
    """The paragraph in one line."""
    return " ".join(run(NAME)[0].split("What survives\n\n")[1].split())


@pytest.fixture(scope="module")
def trials():
    return metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")


def rate(rows):
    return metaan.glmm("PLO", rows, **COUNTS).back().estimate


def test_leave_one_out_is_told_by_its_ends(said, run, trials):
    without = {name: rate(trials[trials["study"] != name]) for name in trials["study"]}
    low, high = min(without, key=without.get), max(without, key=without.get)
    assert (
        f"between {100 * without[low]:.1f} % (without {low}) and {100 * without[high]:.1f} % (without {high})" in said
    )
    assert f"{100 * rate(trials):.1f} % of lesions respond completely" in said
    printed, output = run(NAME)
    _, *lines = table_after(printed, "Without each study in turn")
    assert len(lines) == len(trials)
    drawn = re.sub(r"<[^>]+>", " ", (output / f"{NAME}.svg").read_text(encoding="utf-8"))
    assert low in drawn
    assert high in drawn


def test_the_multiverse_is_told_for_each_unit(said, trials):
    found = metaan.multiverse(trials, units=["lesion", "patient"], icc=[0, 0.3])
    for row in found.summary(threshold=0.5).itertuples():
        ends = f"{100 * row.lowest:.1f} to {100 * row.highest:.1f} %"
        assert f"Per {row.unit}, {row.analyses} analyses give {ends} (median {100 * row.median:.1f} %)" in said
        clear = 100 * (row.share_ci_above + row.share_ci_below)
        part = said.split(f"Per {row.unit}")[1].split("Per ")[0]
        assert f"{clear:.1f} % of the intervals exclude it" in part
        shares = found.importance().query("unit == @row.unit")["share_estimate"]
        assert f"({shares.iloc[0]:.0f} % of the variance of the estimates; {shares.iloc[-1]:.0f} % are due to" in part
    assert "shares of analyses are no probabilities" in said


def test_the_verdict_follows_from_single_analyses(said):
    """Per unit: rates on both sides of one half mean that it hangs on the choices."""
    for unit in ("lesion", "patient"):
        rates = set()
        for confidence in ("medium", "high"):
            for counts in ("derived", "printed"):
                ask = {"unit": unit, "confidence": confidence, "counts": counts, "overlaps": "prefer_largest"}
                rates.add(rate(metaan.load("electrochemotherapy", outcome="complete_response", **ask)) > 0.5)
        verdict = said.split("So ")[1]
        if len(rates) == 2:
            assert f"per {unit} the side of 50 % hangs on the choices" in verdict
        elif f"per {unit} every estimate" in verdict:
            assert f"per {unit} every estimate is {'above' if rates == {True} else 'below'} 50 %" in verdict


def test_the_small_study_test_is_the_one_for_the_measure(said, trials):
    first = metaan.small_study_effects(metaan.glmm("PLO", trials, **COUNTS)).tests[0]
    assert f"{first.test}: p = {first.pvalue:.2f}, {'a' if first.pvalue < 0.1 else 'no'} sign" in said
