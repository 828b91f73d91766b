"""docs/cli.md is a session: its commands run as printed, one after the other, and print what the page shows."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import run, written

import metaan
from metaan.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(block):
    """Commands of a block, each with what follows it."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == ""
    return list(zip(parts[1::2], parts[2::2], strict=True))


def shown(command, folder):
    """What a terminal shows: stdout and stderr together; a pipe or another program needs a shell."""
    words = shlex.split(command)
    if words[0] == "metaan" and "|" not in words:
        return run(*words[1:]).output
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=True, env=os.environ | {"PATH": path}
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the page makes, a copy of studies/, and programs of their names."""
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    (tmp_path / "bin").mkdir()
    for name, call in (("metaan", "-m metaan"), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(block, names)
    return tmp_path


@pytest.mark.skipif(not shutil.which("sed"), reason="the page is a session of a Unix shell")
def test_every_command_prints_what_the_page_shows(folder):
    session = [pair for block in blocks("console") for pair in commands(block)]
    told = {shlex.split(command)[1] for command, _ in session if command.startswith("metaan")}
    assert told == set(main.commands)
    metaan.plot.forest(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1])))  # fonts are looked for once
    with written() as paths:
        for command, output in session:
            assert shown(command, folder) == output, command
    left = {path for path in paths if os.path.exists(path)}  # figures of a report are made in temporary files
    assert left == {str(folder / name) for name in ("ect.svg", "miltefosine.html")}
    assert (folder / "notes.txt").read_text().startswith("Measure: PLO")
