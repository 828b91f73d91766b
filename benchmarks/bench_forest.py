"""A forest plot of 48 studies to PNG, side by side with metafor and the Python packages that draw one.

dat.bangertdrowns2004 of R's metadat, REML, pooled beforehand: what is timed is the figure, from the result to the
bytes of a PNG at 100 dots per inch. metaan has every column on: label, two columns of the data, estimate with interval,
weight, pooled effect, prediction interval, heterogeneity, model and notes. metafor: label, two columns by ilab,
annotation, pooled effect, prediction interval, to a PNG device of about the same size. The Python packages draw what
they can: label and weight (PyMetaAnalysis), label, two columns and estimates (forestplot), label (pimeta), label and
estimates (zepid). Install them in an environment of their own:

    python -m venv rivals && rivals/bin/pip install PyMetaAnalysis forestplot pimeta zepid
    .venv/bin/python benchmarks/bench_forest.py --rivals rivals/bin/python
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import side_by_side as side
from metafor_session import Metafor

DPI = 100
METAFOR = (
    "{ png(tempfile(), width = 700, height = 1150, res = 100, pointsize = 8); "
    "forest(res, ilab = cbind(d$year, d$ni), ilab.xpos = c(-2.5, -2), slab = paste(d$author, d$year), addpred = TRUE); "
    "dev.off() }"
)


class Rivals:
    """Other packages in their own Python."""

    def __init__(self, python: Path, data: dict[str, Any]) -> None:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")  # noqa: SIM115
        json.dump({"dpi": DPI, "data": data}, self._file)
        self._file.flush()
        script = Path(__file__).with_name("forest_session.py")
        self._process = subprocess.Popen(
            [python, script, self._file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.names = list(iter(lambda: self._line(), ""))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def seconds(self, name: str, number: int) -> float:
        """Mean seconds of a number of figures."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\t{number}\n")
        self._process.stdin.flush()
        return float(self._line())

    def contenders(self) -> list[side.Contender]:
        """One for each package that is installed."""
        return [side.Contender(name, lambda number, name=name: self.seconds(name, number)) for name in self.names]


def read(r: Metafor) -> dict[str, Any]:
    """The studies, from the R session, numbered: some authors have two of a year."""
    r.numbers("{d <- metadat::dat.bangertdrowns2004; res <- rma(yi, vi, data = d); 0}")
    columns: dict[str, Any] = {name: r.numbers(f"d${name}") for name in ("yi", "vi", "year", "ni")}
    columns["study"] = [
        "".join(chr(int(code)) for code in r.numbers(f"utf8ToInt(d$author[{i + 1}])")) for i in range(48)
    ]
    columns["study"] = [
        f"{i + 1}. {name} {year:.0f}"
        for i, (name, year) in enumerate(zip(columns["study"], columns["year"], strict=True))
    ]
    return columns


def ours(data: dict[str, Any]) -> list[side.Contender]:
    """Static figure with every column, with lights and groups besides, and 150 and 500 studies."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd

    import metaan

    def pooled(times: int) -> metaan.PoolResult:
        frame = pd.DataFrame({name: list(values) * times for name, values in data.items()})
        frame["study"] = [f"{label} ({i})" if times > 1 else label for i, label in enumerate(frame["study"])]
        eff = metaan.effects(frame["yi"], frame["vi"], study=frame["study"], measure="SMD", data=frame)
        return metaan.pool(eff)

    def draw(res: metaan.PoolResult, **more: Any) -> None:
        ax = metaan.plot.forest(res, left={"Study": "study", "Year": "year", "n": "ni"}, **more)
        ax.figure.savefig(io.BytesIO(), format="png", dpi=DPI)
        plt.close(ax.figure)

    res, large = pooled(1), pooled(10)
    domains = np.random.default_rng(1).choice(["low", "some concerns", "high"], (48, 6))
    rob = pd.DataFrame(domains, index=data["study"], columns=[f"D{i}" for i in range(1, 7)])
    return [
        side.called("metaan", lambda: draw(res)),
        side.called("metaan, with 288 traffic lights", lambda: draw(res, rob=rob)),
        side.called("metaan, 480 studies", lambda: draw(large)),
    ]


def main() -> None:
    """Time and print."""
    parser = side.options(__doc__, rounds=7)
    parser.add_argument("--rivals", type=Path, help="Python that has the other packages")
    arguments = parser.parse_args()
    side.one_thread()
    found = side.surroundings("metaan", "matplotlib")
    with Metafor() as r:
        data = read(r)
        contenders = [*ours(data), r.called(f"metafor {r.version()}", METAFOR)]
        if arguments.rivals is None:
            print("no --rivals: other Python packages are left out")
        else:
            contenders += Rivals(arguments.rivals, data).contenders()
        times = side.interleaved(contenders, arguments.rounds)
    table = side.report("Forest plot of 48 studies to PNG", times, "metaan")
    side.write(arguments.json, surroundings=found, tables=[table])


if __name__ == "__main__":
    main()
