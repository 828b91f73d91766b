"""Whatever stands on the command line or in a file: an answer or a message, never a traceback, and no other file."""

import io
import json
import os

import pandas as pd
import pytest
from helpers.command_line import run, tree, written
from hypothesis import given, settings
from hypothesis import strategies as st

import metaan
from metaan.cli.app import main
from metaan.cli.options import MODEL
from metaan.validate import CI, METHOD, MISSING, PI, TEST

OUTPUTS = ("out.svg", "out.png", "out.md", "out.html", "out.xyz", "out", "no/out.svg", "folder.svg", "")
FILES = ("ok.csv", "arms.csv", "empty.csv", "folder", "folder.svg", "binary.xlsx", "broken.json", "nowhere.csv", "-")
VALUES = (*FILES, "", "events", "total", "study", "year", "yi", "a", "miltefosine", "complete_response", "keep", "PLO",
          "OR", "SMD", "glmm", "normal", "peto", "REML", "CE", "z", "hk", "none", "drop", "0.9", "95", "nan", "1e999",
          "-1", "jama", "display", "any", "1")  # fmt: skip
CHOICES = {f"--{option.name}": tuple(option.choices) for option in (MODEL, METHOD, TEST, CI, PI, MISSING)}
FLAGS = {
    name: tuple(flag for param in command.params for flag in param.opts if flag[0] == "-" and param.name != "output")
    for name, command in main.commands.items()
}
PRINTED = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=8)
SAID = st.sampled_from([*VALUES, *dict.fromkeys(flag for flags in FLAGS.values() for flag in flags)]) | PRINTED


@st.composite
def options(draw, command, most):
    """Options of a command with values, of which most are known."""
    words = []
    for flag in draw(
        st.lists(st.sampled_from(FLAGS[command]).filter(lambda flag: flag not in ("-o", "--output")), max_size=most)
    ):
        words.append(flag)
        if flag not in ("--json", "--help"):
            words.append(draw(st.sampled_from(CHOICES.get(flag, VALUES)) | PRINTED))
    return words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with files of every kind; what is drawn for the first time is drawn before."""
    place = tmp_path_factory.mktemp("work")
    (place / "ok.csv").write_text("study,events,total,year\na,1,9,2000\nb,3,8,2001\nc,0,7,2002\nd,7,7,2002\n")
    (place / "arms.csv").write_text("study,events_t,total_t,events_c,total_c,yi,vi\na,1,9,2,9,0.1,1\nb,3,8,0,9,0.2,1\n")
    (place / "empty.csv").touch()
    (place / "binary.xlsx").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    (place / "broken.json").write_text("[{")
    (place / "folder").mkdir()
    (place / "folder.svg").mkdir()
    metaan.plot.save(metaan.plot.forest(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1]))), place / "out.svg")
    (place / "out.svg").unlink()
    return place


def held(folder, args, output=None):
    """Result of a command in a folder, which afterwards is as before but for the output."""
    before, here = tree(folder), os.getcwd()
    os.chdir(folder)
    try:
        with written() as paths:
            result = run(*args)
    finally:
        os.chdir(here)
    after = tree(folder)
    allowed = {folder / output} if output else set()
    assert {path for path in paths if os.path.exists(path)} <= set(map(str, allowed))
    changed = {path for path in {*before, *after} if before.get(path, 0) != after.get(path, 0)}
    assert changed <= allowed
    for path in changed:
        path.unlink()
    return result


@settings(max_examples=40)
@given(command=st.sampled_from(list(main.commands)) | SAID, args=st.lists(SAID, max_size=6))
def test_any_arguments(command, args, folder):
    held(folder, [command, *args])


FILED = ([], ["ok.csv"], ["arms.csv"], ["--evidence", "miltefosine", "--outcome", "complete_response"], ["empty.csv"])


@settings(max_examples=150)
@given(
    asked=st.sampled_from(["pool", "pool", "pool", "check", "studies"]).flatmap(
        lambda command: st.tuples(st.just(command), options(command, 3))
    ),
    file=st.sampled_from(FILED),
)
def test_any_options(asked, file, folder):
    command, words = asked
    held(folder, [command, *(file if command == "pool" else []), *words])


@settings(max_examples=25)
@given(
    command=st.sampled_from(["forest", "forest", "report"]),
    file=st.sampled_from(["ok.csv", "ok.csv", *FILES]),
    output=st.sampled_from(OUTPUTS),
    words=options("forest", 1),
)
def test_any_output(command, file, output, words, folder):
    if command == "report" and output in ("out.md", "out.html"):  # a whole report takes seconds: see test_commands
        file = "empty.csv"
    held(folder, [command, file, "-o", output, *words], output)


NAMES = st.sampled_from(
    ["study", "events", "total", "events_t", "total_t", "events_c", "total_c", "yi", "vi", "sei", "n", "Responders (%)",
     "", "by", "ai", "<script>", '"', "x" * 300]
)  # fmt: skip
CELLS = st.sampled_from(
    ["0", "1", "5", "10", "1000000", "9" * 400, "1e308", "-1e308", "1e-320", "-1", "0.5", "NaN", "inf", "-inf", "", " ",
     "3/9", "33%", "1,5", "1.000", "=1+1", "NULL", "<script>alert(1)</script>", "'", "\u202e", "\x00", "a\nb", "é",
     "TRUE"]
) | st.integers(0, 20).map(str)  # fmt: skip
OFTEN = st.integers(0, 9).map(str) | st.integers(10, 20).map(str) | CELLS
TABLES = st.sampled_from(
    [["study", "events", "total"], ["study", "events_t", "total_t", "events_c", "total_c"], ["study", "yi", "vi"],
     ["yi", "sei"], []]
)  # fmt: skip
ASKED = st.sampled_from(
    [[], ["--model", "normal"], ["--model", "beta_binomial"], ["--measure", "PFT"], ["--measure", "OR"], ["--by", "by"],
     ["--missing", "drop"], ["--events", "n"], ["--ci", "profile"], ["--measure", "RD", "--method", "DL"]]
)  # fmt: skip


@settings(max_examples=150)
@given(known=TABLES, more=st.lists(NAMES, max_size=2), data=st.data(), asked=ASKED, sign=st.sampled_from(",;\t"))
def test_hostile_tables(known, more, data, asked, sign, folder):
    names = [*known, *more] or ["events"]
    line = st.tuples(*(st.integers(1, 9).map(str) if name == "study" else OFTEN for name in names))
    rows = data.draw(st.lists(line, min_size=1, max_size=5))
    lines = [sign.join(f'"{cell}"' if "\n" in cell or sign in cell else cell for cell in row) for row in (names, *rows)]
    contents(folder, "table.csv", "\n".join(lines).encode(), asked)


@settings(max_examples=100)
@given(
    events=st.lists(CELLS, min_size=1, max_size=5),
    total=st.lists(CELLS, min_size=5, max_size=5),
    asked=ASKED,
    sane=st.booleans(),
)
def test_hostile_counts(events, total, asked, sane, folder):
    """Counts of which some may be impossible; `sane`: the totals are not."""
    pairs = zip(events, ["20"] * 5 if sane else total, strict=False)
    frame = pd.DataFrame([{"study": f"s{i}", "events": x, "total": n, "by": i % 2} for i, (x, n) in enumerate(pairs)])
    contents(folder, "counts.csv", frame.to_csv(index=False).encode(), asked)


@settings(max_examples=100)
@given(
    name=st.sampled_from(["x.csv", "x.json", "x.xlsx", "x.rm5", "x.tsv", "x"]),
    start=st.sampled_from([b"", b"PK\x03\x04", b"{", b"[", b"<?xml?>", b"\xff\xfe", b"PAR1", b"study,events,total\n"]),
    more=st.binary(max_size=60),
)
def test_any_bytes(name, start, more, folder):
    contents(folder, name, start + more, [])


def sound():
    """Bytes of a file of each format."""
    frame = pd.DataFrame({"study": list("abcd"), "events": [1, 3, 0, 7], "total": [9, 8, 7, 7]})
    book = io.BytesIO()
    frame.to_excel(book, index=False)
    return {
        "x.csv": frame.to_csv(index=False).encode(),
        "x.json": frame.to_json(orient="records").encode(),
        "x.xlsx": book.getvalue(),
    }


@settings(max_examples=100)
@given(
    name=st.sampled_from(["x.csv", "x.json", "x.xlsx"]),
    start=st.integers(0, 10**6),
    length=st.integers(0, 20),
    more=st.binary(max_size=10),
)
def test_spoiled_bytes(name, start, length, more, folder):
    text = sound()[name]
    start %= len(text)
    contents(folder, name, text[:start] + more + text[start + length :], [])


@settings(max_examples=60)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_json(value, folder):
    contents(folder, "x.json", json.dumps(value).encode(), [])


def contents(folder, name, text, asked):
    path = folder / name
    path.write_bytes(text)
    try:
        result = held(folder, ["pool", name, *asked, "--json"])
        assert "encountered in" not in result.stderr  # a warning of numpy is no message to a reader
        if result.exit_code == 0:
            json.loads(result.stdout, parse_constant=pytest.fail)
    finally:
        path.unlink()
