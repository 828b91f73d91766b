"""How time and memory grow: with the number of meta-analyses (n, 13 studies each) and with the studies of one (k).

Time is the best of some calls, memory what pooling adds to the peak of a fresh process that holds the data.
On log axes a power law is a line; its slope is fitted by least squares to the sizes from which the fixed cost of a call
no longer counts. ``--figure FILE`` draws it.
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

import meta_analyze
import numpy as np
from metafor_session import Metafor
from pymare import Dataset
from pymare.estimators import VarianceBasedLikelihoodEstimator
from side_by_side import one_thread, options, surroundings, write
from trials import FloatArray

import metaan

MANY = tuple(int(10**e) for e in (2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6))
LARGE = tuple(int(10**e) for e in (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5))
PATIENCE = 1.0  # seconds of one call, after which larger sizes are left out
STRAIGHT = {
    "n": 10_000,
    "k": 3_000,
}  # from which on slopes are fitted, or the last four sizes of a program that ends before
CHILD = """
import os, resource
os.environ["METAAN_FAST"] = "off"
import numpy as np
n, k = {n}, {k}
rng = np.random.default_rng(1)
v = rng.uniform(0.02, 0.4, (n, k))
y = rng.normal(-0.7, 0.6, (n, k))
import metaan
metaan.pool_many(y[:10], v[:10], output="arrays")
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
metaan.pool_many(y, v, test="z", output="arrays")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024)
"""
Curve = dict[int, float]


def simulated(*shape: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(shape[0])
    v = rng.uniform(0.02, 0.4, shape)
    return rng.normal(-0.7, np.sqrt(v + 0.3)), v


def fast(setting: str, y: FloatArray, v: FloatArray) -> Any:
    os.environ["METAAN_FAST"] = setting
    return metaan.pool_many(y, v, test="z", output="arrays")


def pymare(y: FloatArray, v: FloatArray) -> Any:
    """One column for each data set."""
    data = Dataset(y=y.T, v=v.T, X=np.ones((y.shape[1], 1)), add_intercept=False)
    return VarianceBasedLikelihoodEstimator(method="REML", small_sample_correction="wald").fit_dataset(data)


def table(y: FloatArray, v: FloatArray) -> Any:
    how = {"model": "random", "tau2_method": "REML", "ci_method": "normal", "confidence_level": 0.95}
    return meta_analyze.meta_analysis(effect=y, variance=v, **how)


def metafor(r: Metafor, y: FloatArray, v: FloatArray) -> Any:
    r.assign("y", y)
    r.assign("v", v)
    return r.numbers("{s <- Sys.time(); rma(y, v, method='REML', test='z'); as.numeric(Sys.time() - s, units='secs')}")[
        0
    ]


def best(function: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest of some calls, or those that R counted."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        answer = function()
        found.append(answer if isinstance(answer, float) else time.perf_counter() - start)
        if found[0] > PATIENCE:
            break
    return min(found)


def curve(function: Callable[[FloatArray, FloatArray], Any], shapes: dict[int, tuple[int, ...]], rounds: int) -> Curve:
    """Seconds for each size, until one takes too long."""
    found: Curve = {}
    for size, shape in shapes.items():
        y, v = simulated(*shape)
        if not found:
            function(y, v)  # imports
        found[size] = best(lambda y=y, v=v: function(y, v), rounds)
        if found[size] > PATIENCE:
            break
    return found


def slope(points: Curve, start: int) -> float:
    """Exponent of the power law."""
    sizes = [size for size in points if size >= start]
    sizes = sizes if len(sizes) >= 3 else list(points)[-4:]
    return float(np.polyfit(np.log(sizes), np.log([points[size] for size in sizes]), 1)[0])


def megabytes(n: int, k: int) -> float:
    command = [sys.executable, "-c", CHILD.format(n=n, k=k)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measured(rounds: int) -> dict[str, dict[str, Curve]]:
    """Time by n, time by k, memory by n."""
    by_n, by_k = {n: (n, 13) for n in MANY}, {k: (k,) for k in LARGE}
    of_n = {
        "metaan": curve(lambda y, v: fast("off", y, v), by_n, rounds),
        "metaan[fast]": curve(lambda y, v: fast("always", y, v), by_n, rounds),
        "PyMARE": curve(pymare, by_n, rounds),
    }
    of_k = {
        "metaan": curve(lambda y, v: metaan.pool(metaan.effects(y, v), test="z"), by_k, rounds),
        "PyMetaAnalysis": curve(table, by_k, rounds),
        "PyMARE": curve(lambda y, v: pymare(y[None], v[None]), by_k, rounds),
    }
    if Metafor.available():
        with Metafor() as r:
            of_k["metafor"] = curve(lambda y, v: metafor(r, y, v), by_k, min(rounds, 3))
    memory = {"metaan": {n: megabytes(n, 13) for n in MANY if n >= 30_000}}
    return {"n": of_n, "k": of_k, "memory": memory}


def shown(curves: dict[str, dict[str, Curve]]) -> list[dict[str, Any]]:
    """Print and return a row for each line."""
    rows = []
    for axis, lines in curves.items():
        for name, points in lines.items():
            last = max(points)
            unit = "MB" if axis == "memory" else "s"
            power = slope(points, STRAIGHT.get(axis, 30_000))
            row = {"axis": axis, "name": name, "slope": power, "largest": last, "value": points[last], "unit": unit}
            rows.append(row)
            by = "n" if axis == "memory" else axis
            print(f"{axis:8}{name:18}{unit} ~ {by}^{row['slope']:.2f}; {row['value']:.3g} {unit} at {by} = {last:,}")
    return rows


def draw(curves: dict[str, dict[str, Curve]], rows: list[dict[str, Any]], path: Path) -> None:
    """Three panels, each line named at its end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    colour = dict(
        zip(
            ("metaan", "metaan[fast]", "PyMARE", "PyMetaAnalysis", "metafor"),
            sns.color_palette("colorblind"),
            strict=False,
        )
    )
    marker = dict(zip(colour, "osD^v", strict=True))
    with sns.axes_style("ticks"), plt.rc_context({"font.size": 9, "axes.labelsize": 9}):
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
        words = (
            ("n", "meta-analyses of 13 studies", "seconds, REML in one call"),
            ("k", "studies of one meta-analysis", "seconds, one REML fit"),
            ("memory", "meta-analyses of 13 studies", "MB beside the data"),
        )
        for panel, (axis, along, up) in zip(axes, words, strict=True):
            for name, points in curves[axis].items():
                power = next(row["slope"] for row in rows if row["axis"] == axis and row["name"] == name)
                x, y = list(points), list(points.values())
                panel.plot(
                    x, y, marker=marker[name], ms=4, lw=1.4, color=colour[name], label=f"{name}, slope {power:.2f}"
                )
            panel.set(xscale="log", yscale="log", xlabel=along, ylabel=up)
            panel.legend(frameon=False, fontsize=8, loc="upper left")
            low, high = panel.get_ylim()
            panel.set_ylim(low, high * (high / low) ** 0.28)  # room for the legend
            sns.despine(ax=panel)
        figure.savefig(path, dpi=150)


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="draw those of an earlier run")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = surroundings("metaan", "numpy", "numba", "PyMetaAnalysis", "PyMARE")
    if arguments.from_json:
        read = json.loads(arguments.from_json.read_text())["curves"]
        curves = {
            a: {b: {int(size): y for size, y in c.items()} for b, c in lines.items()} for a, lines in read.items()
        }
    else:
        curves = measured(arguments.rounds)
    rows = shown(curves)
    if arguments.figure:
        draw(curves, rows, arguments.figure)
    write(arguments.json, surroundings=found, curves=curves, slopes=rows)


if __name__ == "__main__":
    one_thread()
    main()
