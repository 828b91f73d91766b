"""A cold start: read a CSV of counts, fit the binomial-normal model, print it; whole processes and their peak memory.

The 18 standard-catheter arms of dat.nielweise2007. pimeta cannot fit data with a trial at 0, so that it reads the other
17, and so does a row of metaan. Before anything is timed, the estimate that metaan has must stand in what each prints.
All Python programs find their bytecode on disk.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from metafor_session import session
from peers import pimeta
from side_by_side import Contender, cached, interleaved, one_thread, options, process, report, surroundings, write
from trials import CATHETER_EVENTS, CATHETER_TOTAL

import metaan

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
PANDAS = "import pandas; print(pandas.read_csv({path!r}))"
METAFOR = "suppressMessages(library(metafor)); d <- read.csv({path!r}); "
METAFOR += "print(rma.glmm(measure='PLO', xi=events, ni=total, slab=study, data=d), digits=6)"


@dataclass
class Program:
    """A command and the peak memory of its processes, MB; `prints` is a number that must stand in its output."""

    name: str
    command: list[str]
    prints: float | None = None
    megabytes: list[float] = field(default_factory=list)

    def check(self, environment: dict[str, str]) -> None:
        """Stop unless the number stands in what the program prints, to the digits that it has and 7 nodes allow."""
        run = subprocess.run(self.command, capture_output=True, text=True, check=True, env=os.environ | environment)
        found = [float(number) for number in re.findall(r"-?\d+\.\d+", run.stdout)]
        if self.prints is not None and not any(abs(number - self.prints) < 2e-3 for number in found):
            raise SystemExit(f"{self.name} prints {found}, not {self.prints:.4f}.")

    def contender(self, environment: dict[str, str]) -> Contender:
        """Wall time of the whole process."""

        def seconds(number: int) -> float:
            spent = [process(self.command, **environment) for _ in range(number)]
            self.megabytes.extend(one.megabytes for one in spent)
            return statistics.fmean(one.seconds for one in spent)

        return Contender(self.name, seconds)


def written(path: Path, *, zero: bool) -> float:
    """Write the trials to a CSV file, with or without the one that has no events; return the estimate."""
    use = (CATHETER_EVENTS > 0) | zero
    counts = enumerate(zip(CATHETER_EVENTS[use], CATHETER_TOTAL[use], strict=True), 1)
    rows = [f"Trial {i},{x:g},{n:g}" for i, (x, n) in counts]
    path.write_text("\n".join(["study,events,total", *rows]) + "\n", encoding="utf-8")
    return metaan.glmm("PLO", events=CATHETER_EVENTS[use], total=CATHETER_TOTAL[use], test="z").estimate


def programs(folder: Path, *, metafor: bool) -> list[Program]:
    """All that are installed."""
    whole, positive = folder / "trials.csv", folder / "positive.csv"
    of_all, of_positive = written(whole, zero=True), written(positive, zero=False)

    def python(name: str, code: str, path: Path, prints: float | None) -> Program:
        return Program(name, [sys.executable, "-c", code.format(path=str(path))], prints)

    found = [
        python("metaan", METAAN, whole, of_all),
        python("metaan, the file read without pandas", WITHOUT_PANDAS, whole, of_all),
        python("metaan, without the trial at 0", METAAN, positive, of_positive),
        python("pandas alone: read and print the file", PANDAS, whole, None),
    ]
    if pimeta:
        found.append(python("pimeta, without the trial at 0", PIMETA, positive, of_positive))
    if metafor:
        found.append(Program("metafor", ["Rscript", "--vanilla", "-e", METAFOR.format(path=str(whole))], of_all))
    return found


def main() -> None:
    arguments = options(__doc__, rounds=11).parse_args()
    found = surroundings("metaan", "numpy", "scipy", "pandas", "pimeta")
    with session(found) as r:
        metafor = r is not None
    with tempfile.TemporaryDirectory() as folder:
        environment = cached(Path(folder) / "bytecode")
        every = programs(Path(folder), metafor=metafor)
        for program in every:
            program.check(environment)
        times = interleaved([program.contender(environment) for program in every], arguments.rounds)
    memory = {program.name: statistics.median(program.megabytes) for program in every}
    tables = [report("Cold process: CSV to printed binomial-normal model", times, "metaan", megabytes=memory)]
    print("\nPeak memory: " + ", ".join(f"{name} {value:.0f} MB" for name, value in memory.items()))
    write(arguments.json, surroundings=found, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
