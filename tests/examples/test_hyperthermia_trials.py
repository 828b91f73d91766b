"""Example 07: the pooled effects by hand from the encoded counts."""

import math
import re

import pytest
from helpers.examples import read_rows


def tables_of(study_ids, unit):
    """Complete responses and totals with heat and without, as encoded."""
    found = []
    for study in study_ids:
        rows = [
            row
            for row in read_rows("radiotherapy")
            if (row["study_id"], row["unit"], row["outcome"]) == (study, unit, "complete_response") and row["events"]
        ]
        arms = {row["therapy"]: (int(row["events"]), int(row["total"])) for row in rows if row["preferred"] == "yes"}
        found.append((*arms["radiotherapy_hyperthermia"], *arms["radiotherapy"]))
    return found


@pytest.mark.parametrize(
    ("unit", "studies"),
    [("patient", ("perez1986", "vernon1996", "jones2005")), ("lesion", ("scott1984", "gonzalez1986", "lindholm1987"))],
)
def test_hyperthermia_trials_by_hand(unit, studies, run):
    printed, _ = run("07_hyperthermia_trials")
    part = printed.split(f"Complete response per {unit}")[1]
    trials = tables_of(studies, unit)
    assert all(re.search(rf"{a} +{n1} +{c} +{n2}", part) for a, n1, c, n2 in trials)
    mantel_haenszel = sum(a * (n2 - c) / (n1 + n2) for a, n1, c, n2 in trials) / sum(
        c * (n1 - a) / (n1 + n2) for a, n1, c, n2 in trials
    )
    excess = sum(a - (a + c) * n1 / (n1 + n2) for a, n1, c, n2 in trials)
    spread = sum(n1 * n2 * (a + c) * (n1 + n2 - a - c) / ((n1 + n2) ** 2 * (n1 + n2 - 1)) for a, n1, c, n2 in trials)
    difference = sum((a * n2 - c * n1) / (n1 + n2) for a, n1, c, n2 in trials) / sum(
        n1 * n2 / (n1 + n2) for _, n1, _, n2 in trials
    )
    for method, value in (
        ("OR +Mantel-Haenszel", mantel_haenszel),
        ("OR +Peto", math.exp(excess / spread)),
        ("RD +Mantel-Haenszel", difference),
    ):
        assert re.search(rf"{method} +{value:.2f} \(", part)
    assert re.search(r"GLMM, exact \(CM\.EL\), profile +\d", part)


def test_hyperthermia_says_what_is_inferred_and_randomised(run):
    printed, output = run("07_hyperthermia_trials")
    assert re.search(r"Jones 2005 +rct .* derived +inferred", printed)
    a, n1, c, n2 = tables_of(["vernon1996"], "patient")[0]
    crude = a * (n2 - c) / (c * (n1 - a))
    assert f"the sums alone give {crude:.1f}" in printed
    assert "2.3" in next(row["notes"] for row in read_rows("radiotherapy") if row["study_id"] == "vernon1996")
    assert len(list(output.glob("*.svg"))) == 2
