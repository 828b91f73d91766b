"""Runs an example once for all tests of it."""

import contextlib
import io
import os
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from helpers.examples import ROOT

import metaan

FRESH = "01_response_rates"  # by an interpreter of its own, as a reader of the README runs it


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Run a copy of an example once, away from the repository; return what it printed and where it wrote."""
    done = {}

    def once(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            script = Path(shutil.copy(ROOT / "examples" / f"{name}.py", folder))
            printed, complaints = (_alone if name == FRESH else _here)(script)
            assert complaints == ""
            done[name] = printed, folder / "output"
        return done[name]

    return once


def _alone(script):
    package = str(Path(metaan.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=script.parent, env=environment, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def _here(script):
    """In this process, whose imports are done: as the script of that name, with a warning as an error."""
    out, err = io.StringIO(), io.StringIO()
    width = pd.option_context("display.width", 80, "display.max_columns", 0)  # what pandas takes without a terminal
    with (
        contextlib.chdir(script.parent), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        mpl.rc_context(), warnings.catch_warnings(), width,
    ):  # fmt: skip
        warnings.simplefilter("error")
        runpy.run_path(str(script), run_name="__main__")
    return out.getvalue(), err.getvalue()
