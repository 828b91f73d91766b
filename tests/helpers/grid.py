"""The grid of reference values that tests/reference/metafor_grid.R writes."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FILE = Path(__file__).parents[1] / "reference" / "metafor_grid.json"


@cache
def grid() -> dict[str, Any]:
    """Everything in the file."""
    return json.loads(_FILE.read_text())


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
