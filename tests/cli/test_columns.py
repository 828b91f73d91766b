"""Every column that metaan.read knows has an option, and messages name options that work."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import run

import metaan
from metaan.cli.app import main
from metaan.cli.options import COLUMNS, OTHER
from metaan.readers.needs import KNOWN, NEEDS

MEANS = {
    "mean_t": [3.1, 4.0, 2.9], "sd_t": [1.2, 1.5, 1.0], "n_t": [20, 30, 15],
    "mean_c": [2.5, 3.2, 2.8], "sd_c": [1.1, 1.4, 0.9], "n_c": [21, 28, 16],
}  # fmt: skip
VALUES = MEANS | {
    "mean": [3.1, 4.0, 2.9], "sd": [1.2, 1.5, 1.0], "n": [20, 30, 15], "mean_post": [3.1, 4.0, 2.9],
    "mean_pre": [2.1, 2.0, 2.2], "sd_post": [1.2, 1.5, 1.0], "sd_pre": [1.1, 1.4, 0.9], "r": [0.5, 0.4, 0.6],
    "events": [3, 4, 9], "total": [20, 30, 40], "time": [100.5, 80, 120],
    "events_t": [3, 4, 9], "total_t": [20, 30, 40], "events_c": [5, 6, 8], "total_c": [21, 29, 41],
    "time_t": [100.5, 80, 120], "time_c": [99, 81.5, 110],
    "yi": [0.1, 0.3, 0.2], "vi": [0.1, 0.2, 0.3],
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def headed(names):
    """A file whose headings say nothing, and the options that name them."""
    frame = pd.DataFrame({"study": list("abc")} | {name: VALUES[name] for name in names})
    frame.set_axis([f"x {i}" for i in range(frame.shape[1])], axis=1).to_csv("odd.csv", index=False)
    return [word for i, name in enumerate(frame) for word in (f"--{name.replace('_', '-')}", f"x {i}")], frame


def document(*args):
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["pool", "forest", "report"])
def test_each_column_that_is_read_has_an_option(name):
    flags = {flag for param in main.commands[name].params for flag in param.opts}
    assert {f"--{role.replace('_', '-')}" for role in KNOWN} <= flags
    assert set(COLUMNS) == set(KNOWN)
    text = run(name, "--help").stdout
    rare = text.index("Columns of other measures:")
    assert all(text.index(f"  --{role.replace('_', '-')} COL") > rare for role in OTHER)
    assert text.index("  --events COL") < text.index("Model:") < rare


@pytest.mark.parametrize("measure", list(NEEDS))
def test_each_measure_is_pooled_from_named_columns(measure):
    words, frame = headed(NEEDS[measure])
    columns = {name: frame[name] for name in NEEDS[measure]}
    if "yi" in columns:
        expected = metaan.pool(metaan.effects(**columns, measure=measure))
    else:
        expected = metaan.pool(metaan.effect_size(measure, **columns))
    found = document("pool", "odd.csv", *words, "--measure", measure, "--model", "normal", "--scale", "analysis")
    assert found["estimate"] == pytest.approx(expected.estimate, rel=1e-12)
    assert found["measure"] == measure


def test_numbers_from_which_others_are_computed():
    frame = pd.DataFrame({"s": list("abc"), "no": [17, 26, 31], "all": [20, 30, 40], "d": [-4.5, 1, 2], "v": [9, 8, 7]})
    frame.to_csv("odd.csv", index=False)
    found = document("pool", "odd.csv", "--nonevents", "no", "--total", "all", "--study", "s")
    assert found["estimate"] == pytest.approx(metaan.glmm("PLO", events=[3, 4, 9], total=[20, 30, 40]).back().estimate)
    found = document("pool", "odd.csv", "--o-e", "d", "--o-e-variance", "v", "--study", "s", "--measure", "HR",
                     "--scale", "analysis")  # fmt: skip
    assert found["yi"] == pytest.approx([-4.5 / 9, 1 / 8, 2 / 7])


@pytest.mark.parametrize("measure", [code for code in NEEDS if "yi" not in NEEDS[code]])
def test_the_advice_of_a_message_works(measure):
    """Options named where nothing is recognised lead to a result once the headings are filled in."""
    _, frame = headed(NEEDS[measure])
    result = run("pool", "odd.csv", "--measure", measure)
    assert result.exit_code == 1
    advice = re.search(r"(--[a-z-]+ COL ?)+", result.stderr)[0]
    words = shlex.split(advice)
    assert {word for word in words if word != "COL"} == {f"--{name.replace('_', '-')}" for name in NEEDS[measure]}
    for flag in words[::2]:
        place = list(frame).index(flag[2:].replace("-", "_"))
        words[words.index(flag) + 1] = f"x {place}"
    assert run("pool", "odd.csv", "--measure", measure, "--model", "normal", *words).exit_code == 0


def test_columns_of_which_the_measure_is_not_named():
    pd.DataFrame({"study": list("abc")} | MEANS).to_csv("means.csv", index=False)
    result = run("pool", "means.csv")
    assert (result.exit_code, "Say --measure, one of MD, SMD, SMDH, ROM, CVR, VR." in result.stderr) == (1, True)
    result = run("pool", "means.csv", "--measure", "VR", "--mean-t", "mean_t")
    assert (result.exit_code, "--mean-t is no column of --measure VR: sd_t, n_t," in result.stderr) == (2, True)


def test_warnings_and_notes_name_options():
    Path("zero.csv").write_text("study,events,total\nA,0,20\nB,4,22\nC,6,30\n", encoding="utf-8")
    result = run("pool", "zero.csv", "--model", "normal")
    assert "Warning: 0.5 added to events and non-events of 1 of 3 studies: 'A'. Say --correction to" in result.stderr
    assert "--test 'hk'" in result.stdout.split("Notes\n")[1]
    assert "interval: test=hk" in result.stdout.split("Notes\n")[0]
    Path("two.csv").write_text("Author,Study ID,events,total\nA,1,2,20\nB,2,4,22\nC,3,6,30\n", encoding="utf-8")
    assert "--study COL" in run("pool", "two.csv").stderr


@pytest.mark.parametrize("name", ["pool", "forest", "report"])
def test_the_examples_of_the_help_run(name, monkeypatch):
    """Examples on files of their names; a report is not written, which takes seconds."""
    monkeypatch.setattr("metaan.report", lambda *_, **__: None)
    frame = pd.DataFrame({"study": list("abcd"), "events": [1, 3, 4, 9], "total": [9, 20, 30, 40]})
    frame["country"] = list("xxyy")
    frame.to_csv("trials.csv", index=False)
    frame.set_axis(["Author", "CR", "Patients treated", "country"], axis=1).to_excel("trials.xlsx", index=False)
    pd.DataFrame({"study": list("abc"), "logor": VALUES["yi"], "se": VALUES["vi"]}).to_csv("effects.csv", index=False)
    means = pd.DataFrame({"study": list("abc")} | MEANS)
    means.rename(columns={"mean_t": "Mean, drug", "sd_t": "SD, drug", "n_t": "N, drug"}).to_csv("pain.csv", index=False)
    shown = run(name, "--help").stdout.split("Examples:\n")[1].split("\n\n")[0]
    examples = [line.strip() for line in shown.splitlines()]
    assert examples == list(main.commands[name].examples)
    for example in examples:
        words = shlex.split(example.partition(" > ")[0].rpartition("| ")[2])
        given = Path("trials.csv").read_bytes() if "-" in words else None
        result = run(*words[1:], given=given)
        assert (words[0], result.exit_code) == ("metaan", 0), (example, result.output)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR", "IRD", "IRSD", "AS", "PETO", "PLO", "SMD"])
def test_measures_of_mantel_haenszel_are_those_of_its_function(measure):
    words, frame = headed(NEEDS[measure])
    columns = {name: frame[name] for name in NEEDS[measure]}
    asked = ("pool", "odd.csv", *words, "--measure", measure, "--model", "mantel_haenszel")
    try:
        expected = metaan.mantel_haenszel(measure, **columns).estimate
    except metaan.errors.OptionError:
        assert run(*asked).exit_code == 2
    else:
        assert document(*asked, "--scale", "analysis")["estimate"] == pytest.approx(expected, rel=1e-12)
