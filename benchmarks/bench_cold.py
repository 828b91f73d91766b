"""A cold start: read a CSV of counts, fit the binomial-normal model, print it; whole processes and their memory.

The 18 standard-catheter arms of dat.nielweise2007. pimeta cannot fit data with a trial at 0, so that it reads the other
17. The printed estimates must agree before anything is timed.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from metafor_session import Metafor
from side_by_side import Contender, interleaved, one_thread, options, report, surroundings, write
from trials import CATHETER_EVENTS, CATHETER_TOTAL

METAAN = """
import metaan, pandas
data = pandas.read_csv({path!r})
print(metaan.glmm("PLO", data, events="events", total="total", study="study", test="z"))
"""
WITHOUT_PANDAS = """
import csv, metaan
with open({path!r}) as file:
    rows = list(csv.DictReader(file))
events, total = ([float(row[name]) for row in rows] for name in ("events", "total"))
print(metaan.glmm("PLO", events=events, total=total, study=[row["study"] for row in rows], test="z"))
"""
PIMETA = """
import pandas, pimeta
data = pandas.read_csv({path!r})
fit = pimeta.rma_glmm(measure="PLO", xi=data.events, ni=data.total)
print(fit, fit.b)
"""
METAFOR = "suppressMessages(library(metafor)); d <- read.csv({path!r}); "
METAFOR += "print(rma.glmm(measure='PLO', xi=events, ni=total, slab=study, data=d))"


def commands(folder: Path) -> dict[str, list[str]]:
    """What is started for each contender."""
    whole, positive = folder / "trials.csv", folder / "positive.csv"
    rows = [f"Trial {i},{x:g},{n:g}" for i, (x, n) in enumerate(zip(CATHETER_EVENTS, CATHETER_TOTAL, strict=True), 1)]
    whole.write_text("\n".join(["study,events,total", *rows]) + "\n")
    positive.write_text("\n".join(["study,events,total", *(row for row in rows if ",0," not in row)]) + "\n")
    found = {
        "metaan": [sys.executable, "-c", METAAN.format(path=str(whole))],
        "metaan, the file read without pandas": [sys.executable, "-c", WITHOUT_PANDAS.format(path=str(whole))],
        "pimeta, without the trial at 0": [sys.executable, "-c", PIMETA.format(path=str(positive))],
    }
    if Metafor.available():
        found["metafor"] = ["Rscript", "--vanilla", "-e", METAFOR.format(path=str(whole))]
    return found


def process(name: str, command: list[str], megabytes: dict[str, list[float]]) -> Contender:
    """Wall time of the whole process; its peak memory is written down."""

    def seconds(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise SystemExit(f"{name} ended with {child.returncode}.")
            megabytes.setdefault(name, []).append(usage.ru_maxrss / 1024)
        return (time.perf_counter() - start) / number

    return Contender(name, seconds)


def check(found: dict[str, list[str]]) -> None:
    """The estimate that metaan prints must stand in what metafor prints."""
    if "metafor" not in found:
        return
    ours, theirs = (
        subprocess.run(found[name], capture_output=True, text=True, check=True).stdout for name in ("metaan", "metafor")
    )
    numbers = re.findall(r"-\d\.\d{4}", theirs)
    import metaan

    fit = metaan.glmm("PLO", events=CATHETER_EVENTS, total=CATHETER_TOTAL, test="z")
    if not any(abs(float(number) - fit.estimate) < 2e-3 for number in numbers) or f"{fit.k}" not in ours:
        raise SystemExit(f"metafor prints {numbers}, metaan has {fit.estimate:.4f}.")


def main() -> None:
    arguments = options(__doc__, rounds=11).parse_args()
    found = surroundings("metaan", "numpy", "scipy", "pandas", "pimeta")
    megabytes: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        every = commands(Path(folder))
        check(every)
        contenders = [process(name, command, megabytes) for name, command in every.items()]
        times = interleaved(contenders, arguments.rounds)
    tables = [report("Cold process: CSV to printed binomial-normal model", times, "metaan")]
    memory = {name: statistics.median(values) for name, values in megabytes.items()}
    print("\nPeak memory, MB: " + ", ".join(f"{name} {value:.0f}" for name, value in memory.items()))
    write(arguments.json, surroundings=found, tables=tables, megabytes=memory)


if __name__ == "__main__":
    one_thread()
    main()
