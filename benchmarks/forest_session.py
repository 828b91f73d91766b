"""Forest plots of other Python packages, timed in an environment of their own: run by `bench_forest.py`.

Reads what to draw from the JSON file named first; prints name and size of what is installed, one a line, and an empty
line; then answers each line "name<TAB>number" by two numbers: the mean seconds of that many figures, from the pooled
result to a PNG, on the clock of the wall and on that of the processor.
"""

from __future__ import annotations

import gc
import io
import json
import struct
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd


def png(ax: Any, bbox: str | None = None) -> bytes:
    """Write the figure; one that leaves text outside needs a tight box."""
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=DPI, bbox_inches=bbox)
    plt.close(ax.figure)
    return file.getvalue()


def pymetaanalysis(data: pd.DataFrame) -> Callable[[], bytes]:
    from meta_analyze import meta_analysis
    from meta_analyze.plotting.forest import forest_plot

    result = meta_analysis(data, effect="yi", variance="vi", study="study", tau2_method="REML")
    return lambda: png(forest_plot(result, ax=plt.subplots(figsize=SIZE)[1]))


def forestplot(data: pd.DataFrame) -> Callable[[], bytes]:
    import forestplot as package

    table = data.assign(low=data["yi"] - 1.96 * data["vi"] ** 0.5, high=data["yi"] + 1.96 * data["vi"] ** 0.5)
    table = table.astype({"year": int, "ni": int}).astype({"year": str, "ni": str})
    columns = {
        "annote": ["year", "ni"],
        "annoteheaders": ["Year", "n"],
        "rightannote": ["est_ci"],
        "right_annoteheaders": ["SMD (95% CI)"],
    }
    return lambda: png(
        package.forestplot(table, estimate="yi", ll="low", hl="high", varlabel="study", figsize=SIZE, **columns),
        bbox="tight",
    )


def pimeta(data: pd.DataFrame) -> Callable[[], bytes]:
    import pimeta as package

    yi, vi, labels = data["yi"].to_numpy(), data["vi"].to_numpy(), data["study"].tolist()
    return lambda: png(package.forest(yi, vi, studlab=labels, figsize=SIZE))


def zepid(data: pd.DataFrame) -> Callable[[], bytes]:
    from zepid.graphics import EffectMeasurePlot

    half = 1.96 * data["vi"] ** 0.5
    low, high = (data["yi"] - half).tolist(), (data["yi"] + half).tolist()

    def draw() -> bytes:
        chart = EffectMeasurePlot(label=data["study"].tolist(), effect_measure=data["yi"].tolist(), lcl=low, ucl=high)
        chart.labels(effectmeasure="SMD", center=0)
        return png(chart.plot(figsize=SIZE))

    return draw


MAKERS = {"PyMetaAnalysis": pymetaanalysis, "forestplot": forestplot, "pimeta": pimeta, "zepid": zepid}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    DPI, SIZE = given["dpi"], tuple(given["inches"])
    frame = pd.DataFrame(given["data"])
    found = {}
    for package, make in MAKERS.items():
        try:
            named = f"{package} {version(package)}"
        except PackageNotFoundError:
            print(f"{package} is not installed beside {sys.executable}: left out", file=sys.stderr)
            continue
        found[named] = make(frame)
        start = time.perf_counter()
        width, height = struct.unpack(">II", found[named]()[16:24])
        print(named, f"{width} x {height}", time.perf_counter() - start, sep="\t")
    print(flush=True)
    for line in sys.stdin:
        wanted, number = line.rstrip("\n").split("\t")
        gc.collect()
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(int(number)):
            found[wanted]()
        mean = ((now - then) / int(number) for now, then in ((time.perf_counter(), start), (time.process_time(), busy)))
        print(*mean, flush=True)
