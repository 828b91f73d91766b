"""The commands of README run as printed on a file with the columns that they name."""

import re
from pathlib import Path

import pytest
from helpers.command_line import run

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = re.findall(r"^\$ metaan (.*)$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_readme_shows_commands():
    assert COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_readme_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trials.csv").write_text("study,events,total\nAmes,3,44\nBo,4,30\nClark,9,40\n", encoding="utf-8")
    done = run(*command.split())
    assert done.exit_code == 0, done.output
    written = re.search(r"-o (\S+)", command)
    assert written is None or Path(written[1]).stat().st_size > 1000
