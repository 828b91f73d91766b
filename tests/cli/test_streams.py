"""Standard input as a file, Ctrl-C, and what is refused before anything is read."""

import json
from pathlib import Path

import pytest
from helpers.command_line import run, written

import metaan

TRIALS = b"study,events,total\nA,3,20\nB,4,22\nC,6,30\n"


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trials.csv").write_bytes(TRIALS)


@pytest.mark.parametrize(
    "given", [TRIALS, TRIALS.replace(b",", b";"), TRIALS.replace(b",", b"\t"),
              b'[{"study":"A","events":3,"total":20},{"study":"B","events":4,"total":22},'
              b'{"study":"C","events":6,"total":30}]']
)  # fmt: skip
def test_standard_input_is_a_file(given):
    with written() as paths:
        result = run("pool", "-", "--json", given=given)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(run("pool", "trials.csv", "--json").stdout)
    assert not any(map(Path.exists, map(Path, paths)))


def test_standard_input_that_cannot_be_read(monkeypatch):
    result = run("pool", "-", given=b"")
    assert (result.exit_code, result.stderr) == (1, "Error: standard input is empty.\n")
    result = run("pool", "-", given=b"a,b\n1,2\n")
    assert (result.exit_code, result.stderr.startswith("Error: standard input: no set of columns")) == (1, True)
    monkeypatch.setattr("metaan.cli.source._MOST", len(TRIALS) - 8)
    assert json.loads(run("pool", "-", "--json", given=TRIALS).stdout)["k"] == 2


def test_a_terminal_and_a_closed_stream_are_no_table(monkeypatch):
    asked = []

    class Terminal:
        def isatty(self):
            asked.append(True)
            return True

    for stream in (Terminal(), None):
        monkeypatch.setattr("metaan.cli.source.sys", type("Sys", (), {"stdin": stream}))
        result = run("pool", "-")
        assert (result.exit_code, "- reads a table from standard input" in result.stderr) == (2, True)
    assert asked == [True]


def test_an_interrupt_ends_with_its_own_code(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("metaan.check_studies", interrupted)
    result = run("check", code=130)
    assert (result.stdout, result.stderr) == ("", "\nInterrupted.\n")
    assert "130" in run("--help").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["forest", "-o", "x.xyz"], ["forest", "-o", "x"], ["forest", "-o", "-"], ["forest", "-o", "no/x.svg"],
        ["forest", "-o", "x.svg", "--style", "jma"], ["report", "-o", "x.svg"], ["report", "-o", "-"],
        ["report", "-o", "no/x.md"], ["pool", "--level", "95"], ["pool", "--measure", "QR"], ["pool", "--decimal", ";"],
        ["pool", "--method", "REMLL"], ["pool", "--by", ""], ["pool", "--model", "glmm", "--method", "DL"],
        ["pool", "--model", "peto", "--measure", "RR"],
    ],
)  # fmt: skip
def test_what_no_file_could_mend_is_refused_before_one_is_read(words, monkeypatch):
    monkeypatch.setattr("metaan.read", lambda *_, **__: pytest.fail("A file was read."))
    result = run(words[0], "trials.csv", *words[1:])
    assert result.exit_code in (1, 2)
    assert "Measure: " not in result.stderr


@pytest.mark.parametrize("suffix", [".html", ".htm", ".md", ".markdown", ".HTML", ".txt", ".pdf", ""])
def test_suffixes_of_a_report_are_those_of_metaan_report(suffix, monkeypatch):
    with pytest.raises(metaan.errors.MetaanError) as told:
        metaan.report(None, f"x{suffix}")
    monkeypatch.setattr("metaan.report", lambda *_, **__: None)
    assert (run("report", "trials.csv", "-o", f"x{suffix}").exit_code == 1) == ("must end in" in str(told.value))


def test_suffixes_of_a_figure_are_those_of_metaan_plot_save():
    ax = metaan.plot.forest(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1])))
    with pytest.raises(metaan.errors.OptionError) as told:
        metaan.plot.save(ax, "x.xyz")
    formats = str(told.value).partition("Choose one of ")[2].rstrip(".").split(", ")
    listed = run("forest", "trials.csv", "-o", "x.xyz").stderr.partition("one of ")[2].strip().rstrip(".").split(", ")
    assert {f".{name}" for name in formats} == set(listed)
