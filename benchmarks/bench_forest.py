"""A forest plot of 48 studies to PNG, side by side with metafor and the Python packages that draw one.

dat.bangertdrowns2004 of R's metadat (simulated studies where R is absent), pooled by REML beforehand: what is timed is
the figure, from the result to the bytes of a PNG at 100 dots per inch. metaan has every column on: label, two columns
of the data, estimate with interval, weight, pooled effect, prediction interval, heterogeneity, model and notes.
metafor: label, two columns by ilab, annotation, weights, pooled effect, prediction interval, to a PNG device. The
Python packages draw what they can: label, weight, pooled effect and prediction interval (PyMetaAnalysis), label, two
columns and estimates (forestplot), label (pimeta), label and estimates (zepid).

All are asked for a page as large as metaan's own; forestplot's text goes beyond it, and it is cut by a tight box.
A figure of that size with an empty pair of axes says what matplotlib and its PNG writer take before anything is drawn.
The first figure of each program is told apart: it loads fonts. Both the clock of the wall and that of the processor
are read: the second hardly feels what else the machine does. Closed figures of earlier rounds are collected before the
clocks start, or else the same row would always pay for the others' garbage.

Install the Python packages in an environment of their own:

    python -m venv rivals && rivals/bin/pip install PyMetaAnalysis forestplot pimeta zepid
    .venv/bin/python benchmarks/bench_forest.py --rivals rivals/bin/python
"""

from __future__ import annotations

import gc
import io
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import side_by_side as side
from metafor_session import Metafor

import metaan
from metaan.plot import forest, to_html

DPI = 100
OURS = "metaan"
METAFOR = (
    "{{ png(tempfile(), width = {0}, height = {1}, res = {2}, pointsize = 8); "
    "forest(res, ilab = cbind(d$year, d$ni), ilab.xpos = c(-2.6, -2.1), slab = paste(d$author, d$year), "
    "xlim = c(-4, 4), addpred = TRUE, showweights = TRUE, header = TRUE); dev.off() }}"
)


class Timed:
    """What one program takes by both clocks: its first figure, then the mean of each round.

    Parameters
    ----------
    name : str
    both : callable
        Mean seconds of a number of figures, by the wall and by the processor.
    """

    def __init__(self, name: str, both: Callable[[int], tuple[float, float]], first: float = math.nan) -> None:
        self.name, self._both, self.first = name, both, first
        self.busy: list[float] = []

    def contender(self) -> side.Contender:
        """The wall clock, as `side_by_side` wants it; the other is kept in `busy`."""
        return side.Contender(self.name, self._seconds)

    def _seconds(self, number: int) -> float:
        wall, busy = self._both(number)
        self.first = wall if math.isnan(self.first) else self.first
        self.busy.append(busy)
        return wall


def called(name: str, function: Callable[[], Any]) -> Timed:
    """Time a function of this process."""

    def both(number: int) -> tuple[float, float]:
        gc.collect()
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(number):
            function()
        return (time.perf_counter() - start) / number, (time.process_time() - busy) / number

    return Timed(name, both)


class Rivals:
    """Other packages in their own Python."""

    def __init__(self, python: Path, data: dict[str, Any], inches: tuple[float, float]) -> None:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")  # noqa: SIM115
        json.dump({"dpi": DPI, "inches": inches, "data": data}, self._file)
        self._file.flush()
        script = Path(__file__).with_name("forest_session.py")
        self._process = subprocess.Popen(
            [python, script, self._file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._found = [line.split("\t") for line in iter(self._line, "")]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _both(self, name: str, number: int) -> tuple[float, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\t{number}\n")
        self._process.stdin.flush()
        wall, busy = map(float, self._line().split())
        return wall, busy

    def timed(self) -> list[Timed]:
        """One for each package that is installed."""
        return [
            Timed(f"{name}, {size}", lambda number, name=name: self._both(name, number), float(first))
            for name, size, first in self._found
        ]


def metafor(r: Metafor, pixels: tuple[int, int]) -> Timed:
    """The figure of metafor, in a loop inside R."""
    name = f"metafor {r.version()}, {pixels[0]} x {pixels[1]}"
    r.numbers(f"draw <- compiler::cmpfun(function() {METAFOR.format(*pixels, DPI)}); 0")
    r.numbers(
        "both <- function(n) {t <- proc.time(); for (i in seq_len(n)) draw(); "
        "t <- proc.time() - t; c(t[[3]], t[[1]] + t[[2]]) / n}; 0"
    )

    def both(number: int) -> tuple[float, float]:
        wall, busy = r.numbers(f"both({number}L)")
        return wall, busy

    return Timed(name, both)


def read(r: Metafor | None) -> dict[str, Any]:
    """The studies, from the R session, numbered: some authors have two of a year."""
    if r is None:
        rng = np.random.default_rng(1)
        vi, year = rng.uniform(0.01, 0.25, 48), rng.integers(1980, 1999, 48)
        columns: dict[str, Any] = {"yi": rng.normal(0.2, np.sqrt(vi + 0.05)), "vi": vi, "year": year, "ni": 4 // vi}
        columns = {name: values.tolist() for name, values in columns.items()} | {"grade": [1, 2, 3, 4] * 12}
        authors = ["Author"] * 48
    else:
        r.numbers("{d <- metadat::dat.bangertdrowns2004; res <- rma(yi, vi, data = d); 0}")
        columns = {name: r.numbers(f"d${name}") for name in ("yi", "vi", "year", "ni", "grade")}
        authors = ["".join(chr(int(x)) for x in r.numbers(f"utf8ToInt(d$author[{i + 1}])")) for i in range(48)]
    said = zip(authors, columns["year"], strict=True)
    return columns | {"study": [f"{i}. {name} {year:.0f}" for i, (name, year) in enumerate(said, start=1)]}


def effects(data: dict[str, Any], k: int) -> metaan.Effects:
    """The first k studies, with more of the same after the last."""
    frame = pd.DataFrame(data)
    frame = pd.concat([frame] * -(-k // len(frame)), ignore_index=True).head(k)
    labels = [f"{i}. {label.split('. ', 1)[1]}" for i, label in enumerate(frame["study"], start=1)]
    return metaan.effects("yi", "vi", data=frame.assign(study=labels), study="study", measure="SMD")


def draw(res: Any, **more: Any) -> tuple[float, float]:
    """Draw a figure with every column to PNG; return its size, inches."""
    ax = forest(res, left={"Study": "study", "Year": "year", "n": "ni"}, **more)
    figure: Any = ax.figure
    figure.savefig(io.BytesIO(), format="png", dpi=DPI)
    plt.close(figure)
    width, height = figure.get_size_inches()
    return float(width), float(height)


def empty(inches: tuple[float, float]) -> None:
    """Draw a pair of axes without anything in them to PNG."""
    figure, _ = plt.subplots(figsize=inches)
    figure.savefig(io.BytesIO(), format="png", dpi=DPI)
    plt.close(figure)


def more_of_ours(data: dict[str, Any]) -> list[Timed]:
    """Lights, subgroups, more studies, and a page."""
    eff = effects(data, 48)
    res, groups = metaan.pool(eff), metaan.subgroups(eff, by="grade")
    many, most = metaan.pool(effects(data, 150)), metaan.pool(effects(data, 500))
    domains = np.random.default_rng(1).choice(["low", "some concerns", "high"], (48, 6))
    rob = pd.DataFrame(domains, index=data["study"], columns=[f"D{i}" for i in range(1, 7)])
    return [
        called("metaan, and 288 traffic lights", lambda: draw(res, rob=rob)),
        called("metaan, and lights, in 4 subgroups", lambda: draw(groups, rob=rob)),
        called("metaan, 150 studies", lambda: draw(many)),
        called("metaan, 500 studies", lambda: draw(most)),
        called("metaan, page that sorts and filters (to_html)", lambda: to_html(res)),
    ]


def main() -> None:
    """Time and print."""
    parser = side.options(__doc__, rounds=9)
    parser.add_argument("--rivals", type=Path, help="Python that has the other packages")
    arguments = parser.parse_args()
    mpl.use("Agg")
    found = side.surroundings("metaan", "matplotlib", "pillow")
    with Metafor() if Metafor.available() else nullcontext() as r:
        data = read(r)
        res = metaan.pool(effects(data, 48))
        start = time.perf_counter()
        inches = draw(res)
        first = time.perf_counter() - start
        pixels = (int(inches[0] * DPI), int(inches[1] * DPI))
        ours = called(OURS, lambda: draw(res))
        ours.first = first
        others = [called("matplotlib, empty axes", lambda: empty(inches)), *more_of_ours(data)]
        if r is None:
            print("R or metafor is not installed: left out, and the studies are simulated")
        else:
            others.append(metafor(r, pixels))
        if arguments.rivals is None:
            print("no --rivals: other Python packages are left out")
        else:
            others += Rivals(arguments.rivals, data, inches).timed()
        programs = [ours, *others]
        wall = side.interleaved([program.contender() for program in programs], arguments.rounds)
    busy = {program.name: program.busy[-len(wall[program.name]) :] for program in programs}
    title = f"Forest plot of 48 studies to PNG, {pixels[0]} x {pixels[1]} pixels"
    tables = [
        side.report(f"{title}, time on the wall clock", wall, OURS),
        side.report(f"{title}, time of the processor", busy, OURS),
    ]
    print("\nFirst figure: " + "; ".join(f"{program.name}: {1e3 * program.first:.0f} ms" for program in programs))
    side.write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    side.one_thread()
    main()
