"""The reference values that the R scripts of tests/reference write."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER = Path(__file__).parents[1] / "reference"


@cache
def _read(name: str) -> dict[str, Any]:
    return json.loads((_FOLDER / name).read_text())


def grid() -> dict[str, Any]:
    """Everything in metafor_grid.json."""
    return _read("metafor_grid.json")


def pairwise() -> dict[str, Any]:
    """Effect sizes, regressions and stratified analyses: pairwise_grid.json."""
    return _read("pairwise_grid.json")


def followup() -> dict[str, Any]:
    """What is asked after a fit, subgroups and conversions: followup_grid.json."""
    return _read("followup_grid.json")


def nested() -> dict[str, Any]:
    """Multilevel models and robust inference: multilevel_grid.json."""
    return _read("multilevel_grid.json")


def conditional() -> dict[str, Any]:
    """Conditional models of two arms: two_arm_grid.json."""
    return _read("two_arm_grid.json")


def values(of: list[float | None]) -> np.ndarray:
    """Array of a list in a file; null is NaN."""
    return np.array([math.nan if value is None else value for value in of], dtype=float)


def design(cell: dict[str, Any]) -> tuple[dict[str, np.ndarray], str]:
    """Columns x0, x1 ... of a design in a file, and the formula that gives them."""
    names = [f"x{i}" for i in range(len(cell["names"]))]
    intercept = cell["names"][0] == "(Intercept)"
    formula = "~ " + " + ".join(["1" if intercept else "0", *names[intercept:]])
    return {name: values(column) for name, column in zip(names, cell["X"], strict=True)}, formula


def cells() -> dict[str, Any]:
    """One entry for each data set and measure, keyed ``dataset/measure``."""
    return grid()["cells"]


def unit(cell: dict[str, Any]) -> float:
    """Typical sampling variance of a cell: the unit in which a tau2 counts as zero."""
    vi = np.array(cell["vi"])
    return len(vi) / float(np.sum(1 / vi))


def weights(cell: dict[str, Any], method: str) -> np.ndarray | None:
    """Caller's weights of the two GENQ columns; None for the others."""
    vi = np.array(cell["vi"])
    return {"GENQ-iv": 1 / vi, "GENQ-sqrt": 1 / np.sqrt(vi)}.get(method)


def differs(ours: float, theirs: float | None, *, rel: float, floor: float = 0.0) -> bool:
    """Whether two numbers differ by more than rel of theirs plus floor; null in the file is NaN or infinite here."""
    if theirs is None:
        return math.isfinite(ours)
    return not abs(ours - theirs) <= rel * abs(theirs) + floor
