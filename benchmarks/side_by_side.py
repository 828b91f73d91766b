"""Timing several programs side by side: interleaved rounds, medians, one thread.

The environment variable ``BENCH_ROUNDS`` takes the place of every script's own number of rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SETTINGS = (*THREADS, "METAAN_FAST")
ROUND = 0.02  # seconds: a contender that is faster is called several times in a round
PATIENCE = 30.0  # seconds of all rounds of a contender: one that is slower takes part in fewer
UNITS = ((1.0, "s"), (1e3, "ms"), (1e6, "us"))
SPAWN = """
import os, sys, time
out = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=out)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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
    rounds = int(os.environ.get("BENCH_ROUNDS", rounds))
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time of every round to FILE")
    return parser


def interleaved(contenders: Sequence[Contender], rounds: int, patience: float = PATIENCE) -> dict[str, list[float]]:
    """Seconds per call of each contender in each round; the order turns by one place from round to round.

    A contender whose rounds would take longer than `patience` takes part in fewer of them, evenly spread, at least one.
    """
    number, part = {}, {}
    for c in contenders:
        first = c.seconds(1)
        once = first if first > 1 else min(first, c.seconds(1))
        number[c.name] = max(1, math.ceil(ROUND / once))
        part[c.name] = max(1, int(min(rounds, patience / (number[c.name] * once))))
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    for turn in range(rounds):
        start = turn % len(contenders)
        for c in (*contenders[start:], *contenders[:start]):
            if (turn + 1) * part[c.name] // rounds > turn * part[c.name] // rounds:
                times[c.name].append(c.seconds(number[c.name]) * c.scale)
    return times


def expected(points: Mapping[int, float], size: int) -> float:
    """Seconds at a larger size by the power law through the last two points, at least linear; 0 without a point."""
    if not points:
        return 0.0
    *before, (last, seconds) = points.items()
    power = 1.0
    if before:
        earlier, less = before[-1]
        power = max(power, math.log(seconds / less) / math.log(last / earlier))
    return seconds * (size / last) ** power


def ratios(times: dict[str, list[float]], baseline: str) -> dict[str, float]:
    """Median time of each contender over that of the baseline."""
    unit = statistics.median(times[baseline])
    return {name: statistics.median(values) / unit for name, values in times.items()}


def report(title: str, times: dict[str, list[float]], baseline: str, **more: Any) -> dict[str, Any]:
    """Print a table of medians, quartiles and ratios; return it with the times, and with what else is to be kept."""
    print(f"\n{title}")
    print(f"{'':58}{'median':>10}{'quartiles':>21}{'ratio':>9}")
    ratio = ratios(times, baseline)
    rounds = max(len(values) for values in times.values())
    for name, values in times.items():
        low, middle, high = quartiles(values)
        fewer = f"  {len(values)} of {rounds} rounds" if len(values) < rounds else ""
        print(f"{name:58}{clock(middle):>10}{f'{clock(low)} - {clock(high)}':>21}{ratio[name]:9.2f}{fewer}")
    print(f"ratio: median over that of {baseline}", flush=True)
    return {"title": title, "baseline": baseline, "ratio": ratio, "seconds": times, **more}


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower, the median, the upper."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def clock(seconds: float) -> str:
    """A time with three digits and a unit."""
    factor, unit = next((pair for pair in UNITS if seconds * pair[0] >= 0.9995), UNITS[-1])
    return f"{float(f'{seconds * factor:.3g}'):,g} {unit}"


def surroundings(*packages: str) -> dict[str, str]:
    """Print and return machine, versions and thread settings."""
    found = {"Python": platform.python_version(), "machine": f"{_processor()}, {os.cpu_count()} cores"}
    for package in dict.fromkeys((*packages, "numba")):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "from the source tree" if package == "metaan" else "absent"
    found |= {name: os.environ.get(name, "not set") for name in SETTINGS}
    found["date"] = datetime.now(UTC).date().isoformat()
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    return found


def _processor() -> str:
    """What the processor calls itself, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def peer(module: str) -> Any:
    """Import another program, or say that it is not installed and return None."""
    try:
        return import_module(module)
    except ImportError:
        print(f"{module} is not installed: its rows are left out")
        return None


class Spent(NamedTuple):
    """What a whole process took."""

    seconds: float
    megabytes: float


def process(command: Sequence[str], **environment: str) -> Spent:
    """Wall time and peak resident memory of a fresh process whose output is thrown away.

    It is started by a small one: Linux counts the memory of the process that starts another to the peak of the other.
    """
    run = subprocess.run(
        [sys.executable, "-S", "-c", SPAWN, *command], env=os.environ | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if run.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}\nended with {run.returncode}: {run.stderr[-2000:]}")
    seconds, megabytes = map(float, run.stdout.split())
    return Spent(seconds, megabytes)


def cached(folder: Path) -> dict[str, str]:
    """Environment in which every Python program finds its bytecode after the first call, as when it is installed."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}


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
