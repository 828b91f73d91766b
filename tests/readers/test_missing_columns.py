"""What is advised where columns are missing: headings that may be meant, none that means something else."""

import pytest

import metaan
from metaan.errors import InputError


@pytest.fixture
def refused(tmp_path):
    def message(text, **options):
        (tmp_path / "x.csv").write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            metaan.read(tmp_path / "x.csv", **options)
        return str(caught.value)

    return message


def test_n_beside_a_capital_n_may_have_the_event(refused):
    said = refused("Study,n,N\nA,3,20\n")
    assert said.endswith("If n of N had the event, say so: columns={'events': 'n', 'total': 'N'}.")


def test_cells_that_hold_events_and_total(refused):
    said = refused("Study,CR\nA,3/20\nB,4/44\n")
    assert said.endswith("Each cell of 'CR' holds events and total: columns={'events': 'CR', 'total': 'CR'}.")
    for options in ({}, {"measure": "OR"}):
        two = refused("Study,ECT,Surgery\nA,3/20,4/33\nB,4/44,5/22\n", **options)
        assert two.endswith(
            "columns={'events_t': 'ECT', 'total_t': 'ECT', 'events_c': 'Surgery', 'total_c': 'Surgery'}, "
            "if 'ECT' is the treated arm."
        )


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("study,events,timing", {"measure": "OR"}),
        ("study,total (mg),events", {}),
        ("study,event rate,total", {}),
        ("study,mean,sd,n", {"measure": "OR"}),
        ("study,treated n,events", {"measure": "OR"}),
    ],
)
def test_no_heading_that_means_something_else_is_proposed(refused, heading, options):
    said = refused(f"{heading}\n" + ",".join("A" if i == 0 else "9" for i in range(heading.count(",") + 1)), **options)
    assert "Closest" not in said
    assert "Name" in said


def test_a_heading_is_proposed_once(refused):
    said = refused("study,evnts_t,totl_t\nA,1,2\n", measure="OR")
    assert "Closest: columns={'events_t': 'evnts_t', 'total_t': 'totl_t'}." in said


@pytest.mark.parametrize("heading", ["HR (95% CI)", "OR", "aHR [95% CI]", "Odds ratio (95% CI)"])
def test_ratios_are_sent_to_their_logarithm(refused, heading):
    said = refused(f"Study,{heading}\nA,1.2 (0.9-1.5)\n")
    assert "Sets nearest to it: ready-made effects" in said
    assert "A ratio is no yi" in said
    assert "metaan.se_from_ci" in said
    assert "percentages" not in said


@pytest.mark.parametrize(
    "heading", ["estimate,lower,upper", "yi,ci.lb,ci.ub", "d,95% CI low,95% CI high", "es,LCL,UCL"]
)
def test_limits_of_intervals_are_sent_to_their_standard_error(refused, heading):
    assert refused(f"Study,{heading}\nA,1.2,0.9,1.5\n").endswith("standard error from the limits of an interval.")


def test_limits_are_no_matter_where_counts_are_missing(refused):
    assert "se_from_ci" not in refused("Study,evnts,totl,low\nA,1,2,3\n")


def test_a_long_heading_takes_no_long_time(refused):
    for letter in "lu":
        assert "columns=" in refused(f"study,{letter * 200}x,total\nA,3,20\n")
