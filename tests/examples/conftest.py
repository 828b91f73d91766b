"""Runs an example once for all tests of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.examples import ROOT

import metaan


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Run a copy of an example once, away from the repository; return what it printed and where it wrote."""
    done = {}

    def once(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            script = shutil.copy(ROOT / "examples" / f"{name}.py", folder)
            package = str(Path(metaan.__file__).resolve().parents[1])
            environment = {
                **os.environ,
                "PYTHONPATH": package,
                "MPLBACKEND": "Agg",
                "PYTHONIOENCODING": "utf-8",
            }
            command = [sys.executable, "-W", "error", script]
            result = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                encoding="utf-8",
                check=False,
            )
            assert result.returncode == 0, result.stderr
            assert result.stderr == ""
            done[name] = result.stdout, folder / "output"
        return done[name]

    return once
