"""Forest plots of other Python packages, timed in an environment of their own: run by `bench_forest.py`.

Reads the data from the JSON file named first; prints the names of what is installed, one a line, and an empty line;
then answers each line "name<TAB>number" by the mean seconds of that many figures, from the pooled result to a PNG.
"""

from __future__ import annotations

import io
import json
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


def png(ax: Any, bbox: str | None = None) -> None:
    """Write the figure; one that leaves text outside needs a tight box."""
    ax.figure.savefig(io.BytesIO(), format="png", dpi=DPI, bbox_inches=bbox)
    plt.close(ax.figure)


def pymetaanalysis(data: pd.DataFrame) -> Callable[[], None]:
    from meta_analyze import meta_analysis
    from meta_analyze.plotting.forest import forest_plot

    result = meta_analysis(data, effect="yi", variance="vi", study="study", tau2_method="REML")
    return lambda: png(forest_plot(result))


def forestplot(data: pd.DataFrame) -> Callable[[], None]:
    import forestplot as package

    table = data.assign(low=data["yi"] - 1.96 * data["vi"] ** 0.5, high=data["yi"] + 1.96 * data["vi"] ** 0.5)
    table = table.astype({"year": str, "ni": str})
    columns = {
        "annote": ["year", "ni"],
        "annoteheaders": ["Year", "n"],
        "rightannote": ["est_ci"],
        "right_annoteheaders": ["SMD (95% CI)"],
    }
    return lambda: png(
        package.forestplot(table, estimate="yi", ll="low", hl="high", varlabel="study", figsize=(7, 11), **columns),
        bbox="tight",
    )


def pimeta(data: pd.DataFrame) -> Callable[[], None]:
    import pimeta as package

    return lambda: png(package.forest(data["yi"].to_numpy(), data["vi"].to_numpy(), studlab=data["study"].tolist()))


def zepid(data: pd.DataFrame) -> Callable[[], None]:
    from zepid.graphics import EffectMeasurePlot

    half = 1.96 * data["vi"] ** 0.5
    low, high = (data["yi"] - half).tolist(), (data["yi"] + half).tolist()

    def draw() -> None:
        chart = EffectMeasurePlot(label=data["study"].tolist(), effect_measure=data["yi"].tolist(), lcl=low, ucl=high)
        chart.labels(effectmeasure="SMD", center=0)
        png(chart.plot(figsize=(7, 11)))

    return draw


MAKERS = {"PyMetaAnalysis": pymetaanalysis, "forestplot": forestplot, "pimeta": pimeta, "zepid": zepid}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    DPI = given["dpi"]
    frame = pd.DataFrame(given["data"])
    found = {}
    for package, make in MAKERS.items():
        try:
            named = f"{package} {version(package)}"
            found[named] = make(frame)
        except PackageNotFoundError:
            continue
        print(named)
    print(flush=True)
    for line in sys.stdin:
        wanted, number = line.rstrip("\n").split("\t")
        start = time.perf_counter()
        for _ in range(int(number)):
            found[wanted]()
        print((time.perf_counter() - start) / int(number), flush=True)
