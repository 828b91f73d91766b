"""How time and memory grow: with the number of meta-analyses (n, 13 studies each) and with the studies of one (k).

REML with normal inference. Time is the best of `--rounds` calls, memory what a call adds to what a fresh process holds
before it, at its peak (read from /proc, so on Linux; below 0.5 MB it is left out). A program goes on to larger sizes
until a call is expected to take more than `PATIENCE` seconds. On log axes a power law is a line; its slope is fitted by
least squares to the sizes at which a call takes five times as much as the least, or else to the last three, so that its
fixed cost counts little. ``--figure FILE`` draws the curves, ``--from-json FILE`` those of an earlier run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
from growth_figure import draw
from metafor_session import Metafor, session
from side_by_side import clock, expected, one_thread, options, surroundings, write
from trials import FloatArray

import metaan

SIZES = tuple(round(10 ** (e / 2)) for e in range(2, 13))  # 10 to 1,000,000
MANY = SIZES[2:]
LARGE = SIZES[:9]
PATIENCE = 10.0
CHILD = "import sys; sys.path.insert(0, {folder!r}); import growth; print(growth.added({name!r}, {shape}))"
R_CHILD = """
suppressMessages(library(metafor))
status <- function(name) {{
  line <- grep(name, readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}}
set.seed(1)
v <- runif({k}, 0.02, 0.4); y <- rnorm({k}, -0.7, sqrt(v + 0.3))
fit <- rma(y[1:10], v[1:10], method = "REML", test = "z")
invisible(gc())
cat("5", file = "/proc/self/clear_refs")
before <- status("VmRSS")
fit <- rma(y, v, method = "REML", test = "z")
cat(status("VmHWM") - before)
"""
Fit = Callable[[FloatArray, FloatArray], Any]
Curve = dict[int, float]


def simulated(*shape: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(shape[0])
    v = rng.uniform(0.02, 0.4, shape)
    return rng.normal(-0.7, np.sqrt(v + 0.3)), v


def switched(setting: str) -> Fit:
    """`pool_many` with compiled kernels ("always") or without ("off")."""

    def fit(y: FloatArray, v: FloatArray) -> Any:
        os.environ["METAAN_FAST"] = setting
        return metaan.pool_many(y, v, method="REML", test="z", output="arrays")

    return fit


def by_n() -> dict[str, Fit]:
    """Programs that fit many meta-analyses in one call."""
    return {
        "metaan": switched("off"),
        "metaan[fast]": switched("always"),
        "PyMARE": lambda y, v: peers.pymare_fit(y.T, v.T),
    }


def by_k() -> dict[str, Fit]:
    """Programs in Python that fit one."""
    found: dict[str, Fit] = {
        "metaan": lambda y, v: metaan.pool(metaan.effects(y, v), method="REML", test="z"),
        "PyMARE": peers.pymare_fit,
    }
    if peers.meta_analyze:
        found["PyMetaAnalysis"] = peers.meta_analyze_fit
    if peers.pimeta:
        found["pimeta"] = peers.pimeta_fit
    return found


def best(function: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest of some calls, of one alone where it takes more than a second."""
    found: list[float] = []
    while len(found) < rounds and (not found or found[0] < 1):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def timed(fit: Fit, shapes: dict[int, tuple[int, ...]], rounds: int) -> Curve:
    """Seconds for each size, until one takes too long."""
    found: Curve = {}
    for size, shape in shapes.items():
        if expected(found, size) > PATIENCE:
            break
        y, v = simulated(*shape)
        if not found:
            fit(y, v)  # what is loaded on first use
        found[size] = best(lambda y=y, v=v: fit(y, v), rounds)
    return found


def timed_metafor(r: Metafor, rounds: int) -> Curve:
    """The same in R."""
    found: Curve = {}
    for k in LARGE:
        if expected(found, k) > PATIENCE:
            break
        y, v = simulated(k)
        r.assign("yi", y)
        r.assign("vi", v)
        contender = r.called("metafor", peers.metafor_call())
        times = [contender.seconds(1)]
        while len(times) < rounds and times[0] < 1:
            times.append(contender.seconds(1))
        found[k] = min(times)
    return found


def status(name: str) -> float:
    """Megabytes of this process as the system counts them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def added(name: str, shape: tuple[int, ...]) -> float:
    """Megabytes that a call adds at its peak: run in a fresh process."""
    warnings.simplefilter("ignore")
    fit = (by_k() if len(shape) == 1 else by_n())[name]
    fit(*simulated(10, *shape[1:]))  # what is loaded on first use
    y, v = simulated(*shape)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # sets the peak back to what is held now
    before = status("VmRSS")
    fit(y, v)
    return status("VmHWM") - before


def told(commands: dict[int, list[str]]) -> Curve:
    """Megabytes that each command prints, where they are enough to be told from noise."""
    runs = {size: subprocess.run(c, capture_output=True, text=True, check=True) for size, c in commands.items()}
    found = {size: float(run.stdout.split()[-1]) for size, run in runs.items()}
    return {size: value for size, value in found.items() if value >= 0.5}


def remembered(name: str, seconds: Curve, shapes: dict[int, tuple[int, ...]]) -> Curve:
    """Memory at the four largest sizes that were timed."""
    folder = str(Path(__file__).parent)
    codes = {size: CHILD.format(folder=folder, name=name, shape=shapes[size]) for size in list(seconds)[-4:]}
    return told({size: [sys.executable, "-c", code] for size, code in codes.items()})


def measured(rounds: int, found: dict[str, str]) -> dict[str, dict[str, Curve]]:
    """Time and memory by n and by k."""
    of_n, of_k = {n: (n, 13) for n in MANY}, {k: (k,) for k in LARGE}
    curves = {
        "time by n": {name: timed(fit, of_n, rounds) for name, fit in by_n().items()},
        "time by k": {name: timed(fit, of_k, rounds) for name, fit in by_k().items()},
    }
    with session(found) as r:
        if r:
            curves["time by k"]["metafor"] = timed_metafor(r, min(rounds, 3))
    if not Path("/proc/self/clear_refs").exists():
        print("the system has no /proc: memory is left out")
        return curves
    curves["memory by n"] = {
        name: remembered(name, points, of_n) for name, points in curves["time by n"].items() if name != "metaan[fast]"
    }
    python = {name: points for name, points in curves["time by k"].items() if name != "metafor"}
    curves["memory by k"] = {name: remembered(name, points, of_k) for name, points in python.items()}
    if "metafor" in curves["time by k"]:
        sizes = list(curves["time by k"]["metafor"])[-3:]
        commands = {k: ["Rscript", "--vanilla", "-e", R_CHILD.format(k=k)] for k in sizes}
        curves["memory by k"]["metafor"] = told(commands)
    return curves


def straight(points: Curve) -> list[int]:
    """Sizes from which a curve has left its fixed cost, or the last three."""
    least = 5 * min(points.values())
    start = next((size for size, value in points.items() if value >= least), max(points))
    sizes = [size for size in points if size >= start]
    return sizes if len(sizes) >= 3 else list(points)[-3:]


def slopes(curves: dict[str, dict[str, Curve]]) -> list[dict[str, Any]]:
    """Print and return a row for each line: exponent, sizes that it was fitted to, and the value at the largest."""
    rows = []
    for panel, lines in curves.items():
        for name, points in lines.items():
            if len(points) < 3:
                continue
            sizes = straight(points)
            power = float(np.polyfit(np.log(sizes), np.log([points[size] for size in sizes]), 1)[0])
            last = max(points)
            value = f"{points[last]:,.0f} MB" if panel.startswith("memory") else clock(points[last])
            axis = panel[-1]
            rows.append(
                {
                    "panel": panel,
                    "name": name,
                    "axis": axis,
                    "slope": power,
                    "from": sizes[0],
                    "to": last,
                    "value": value,
                }
            )
            print(f"{panel:13}{name:16}{axis}^{power:.2f} from {sizes[0]:,} on; {value} at {axis} = {last:,}")
    return rows


def read(path: Path) -> dict[str, dict[str, Curve]]:
    """Curves of an earlier run."""
    curves = json.loads(path.read_text(encoding="utf-8"))["curves"]
    return {
        panel: {name: {int(size): value for size, value in points.items()} for name, points in lines.items()}
        for panel, lines in curves.items()
    }


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="draw those of an earlier run")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "scipy", "pimeta", "PyMetaAnalysis", "PyMARE")
    curves = read(arguments.from_json) if arguments.from_json else measured(arguments.rounds, found)
    rows = slopes(curves)
    if arguments.figure:
        draw(curves, rows, arguments.figure)
    write(arguments.json, surroundings=found, curves=curves, slopes=rows)


if __name__ == "__main__":
    one_thread()
    main()
