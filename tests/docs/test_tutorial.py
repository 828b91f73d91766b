"""What the prose of docs/tutorial.ipynb says of its numbers is true of them."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def cells():
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names(cells):
    """Names after the last cell."""
    space = {}
    for cell in cells:
        exec("".join(cell["source"]), space)
    return space


def test_it_is_stored_without_outputs(cells):
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_its_figures_have_alternative_text(cells):
    drawing = [cell for cell in cells if "metaan.plot." in "".join(cell["source"])]
    assert all(len(cell["metadata"]["mystnb"]["image"]["alt"]) > 40 for cell in drawing)


def test_the_pooled_rate_is_below_one_half_and_says_little_of_the_next_series(names):
    shown = names["shown"]
    assert shown.ci_low < 1 / 3 < shown.estimate < 0.5 < shown.ci_high
    assert shown.pi_low < 0.1 < 0.9 < shown.pi_high
    trials = names["trials"].dropna(subset="n_patients")
    assert 6.5 < trials["total"].sum() / trials["n_patients"].sum() < 7.5


def test_no_single_study_carries_it(names):
    shown, rates = names["shown"], names["without"]["estimate"]
    assert (rates - shown.estimate).abs().max() < (shown.ci_high - shown.ci_low) / 4
    assert not names["metaan"].influence(names["res"])["influential"].any()


def test_a_correlation_of_lesions_raises_the_rate_a_little_and_takes_from_tau2(names):
    icc = names["icc"]
    assert icc["estimate"].is_monotonic_increasing
    assert icc["tau2"].is_monotonic_decreasing
    width = icc["ci_high"] - icc["ci_low"]
    assert width.max() / width.min() < 1.2


def test_no_sign_of_small_study_effects_and_no_side_of_one_half(names):
    assert names["small"].tests[0].pvalue > names["small"].level
    told = names["every"].summary(threshold=0.5).iloc[0]
    assert told.share_ci_above == told.share_ci_below == 0


def test_confidence_in_the_counts_matters_and_statistics_do_not(names):
    shift = names["every"].importance().set_index("choice")
    assert shift["share_estimate"].drop("interactions").idxmax() == "confidence"
    assert shift.loc[["model", "measure", "method", "test"], "shift"].max() < 0.025
    assert shift.loc["overlaps", "shift"] < 0.005
    assert names["strict"].estimate > names["shown"].estimate
