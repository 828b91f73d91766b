"""Timing several programs side by side: interleaved rounds, medians, one thread."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ROUND = 0.02  # seconds: a contender that is faster is called several times in a round


@dataclass(frozen=True)
class Contender:
    """What is timed.

    Parameters
    ----------
    name : str
    seconds : callable
        Seconds that one call takes, as the mean of a given number of calls.
    scale : float
        By which its time is multiplied: a loop over a tenth of the data sets has 10, and says so in its name.
    """

    name: str
    seconds: Callable[[int], float]
    scale: float = 1.0


def called(name: str, function: Callable[[], Any], scale: float = 1.0) -> Contender:
    """Contender that calls a Python function."""

    def seconds(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            function()
        return (time.perf_counter() - start) / number

    return Contender(name, seconds, scale)


def one_thread() -> None:
    """Start the script again with one thread if it has more: libraries read these variables when they are loaded."""
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.environ.update(THREADS)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def options(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Command line that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time of every round to FILE")
    return parser


def interleaved(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each contender in each round; the order turns by one place from round to round."""
    number = {c.name: max(1, math.ceil(ROUND / min(c.seconds(1), c.seconds(1)))) for c in contenders}
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    for turn in range(rounds):
        start = turn % len(contenders)
        for c in (*contenders[start:], *contenders[:start]):
            times[c.name].append(c.seconds(number[c.name]) * c.scale)
    return times


def ratios(times: dict[str, list[float]], baseline: str) -> dict[str, float]:
    """Median time of each contender over that of the baseline."""
    unit = statistics.median(times[baseline])
    return {name: statistics.median(values) / unit for name, values in times.items()}


def report(title: str, times: dict[str, list[float]], baseline: str) -> dict[str, Any]:
    """Print a table of medians, quartiles and ratios; return it with the times."""
    print(f"\n{title}")
    print(f"{'':58}{'median':>10}{'quartiles':>21}{'ratio':>9}")
    ratio = ratios(times, baseline)
    for name, values in times.items():
        low, middle, high = _quartiles(values)
        print(f"{name:58}{_time(middle):>10}{f'{_time(low)} - {_time(high)}':>21}{ratio[name]:9.2f}")
    print(f"ratio: median over that of {baseline}")
    return {"title": title, "baseline": baseline, "ratio": ratio, "seconds": times}


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _time(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def surroundings(*packages: str) -> dict[str, str]:
    """Print and return versions and thread settings."""
    found = {"Python": platform.python_version(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "from the source tree" if package == "metaan" else "absent"
    found |= {name: os.environ.get(name, "not set") for name in THREADS}
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    return found


def write(path: Path | None, **content: Any) -> None:
    """Write the results as JSON, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def assert_close(name: str, found: Sequence[float], expected: Sequence[float], tolerance: float = 1e-4) -> None:
    """Stop when a contender has computed something else: relative to the larger of the two numbers and 0.01."""
    for got, want in zip(found, expected, strict=True):
        difference = abs(got - want) / max(abs(got), abs(want), 0.01)
        if not difference <= tolerance:
            raise SystemExit(f"{name} has {got:.10g} where {want:.10g} was expected: not the same computation.")
