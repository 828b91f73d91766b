"""Examples 09 and 10: categories that sum to 1, and a next trial that says how sure it is."""

import re

import pytest
from helpers.examples import table_after


def test_categories_pooled_together_sum_to_one(run):
    printed, _ = run("10_response_categories")
    sums = dict(re.findall(r"^(together|one by one)\s+(\d\.\d+)$", printed, re.M))
    assert float(sums["together"]) == pytest.approx(1, abs=5e-4)
    lines = table_after(printed, "pooled together (95% CI) and one by one")
    shares = [float(re.search(r"disease|response", line) and line.split()[-4]) for line in lines[2:6]]
    assert sum(shares) == pytest.approx(1, abs=2e-3)


def test_known_mean_and_spread_promise_more(run):
    printed, _ = run("11_next_trial")
    uncertain, known = table_after(printed, "among 40 patients of a new trial")[1:3]
    wide, narrow = ([float(x) for x in line.split()[-5:]] for line in (uncertain, known))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert wide[-1] < narrow[-1]
