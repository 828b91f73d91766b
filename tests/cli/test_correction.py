"""Continuity corrections on the command line: of the model normal alone, and no warning of one that is not made."""

from pathlib import Path

import pytest
from helpers.command_line import run

ARMS = "study,events_t,total_t,events_c,total_c,land\nA,9,20,5,21,x\nB,6,15,2,14,x\nC,3,18,0,22,y\nD,12,40,7,38,y\n"


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("arms.csv").write_text(ARMS, encoding="utf-8")
    Path("effects.csv").write_text("study,yi,vi\nA,0.1,0.2\nB,0.3,0.1\n", encoding="utf-8")


def test_the_warning_names_an_option_that_there_is():
    asked = ["pool", "arms.csv", "--model", "normal", "--measure", "OR"]
    assert "Warning: 0.5 added to each cell of 1 of 4 studies: 'C'." in run(*asked).output
    chosen = run(*asked, "--correction", "all")
    assert chosen.exit_code == 0
    assert "Warning" not in chosen.output
    assert "0.5 added to each cell of 4 of 4 studies" in chosen.output


def test_subgroups_of_counts_warn_of_no_correction():
    done = run("pool", "arms.csv", "--by", "land")
    assert done.exit_code == 0
    assert "Warning" not in done.output
    assert "For single trials, Q and I2 (not the pooled effect), 0.5 added" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arms.csv", "--correction", "all"], "--correction does not apply to --model glmm"),
        (["effects.csv", "--correction", "all"], "--correction is for counts"),
        (["arms.csv", "--model", "normal", "--correction", "some"], "'some' is not known"),
    ],
)
def test_where_there_is_nothing_to_correct(words, message):
    done = run("pool", *words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
