"""Running checks of many random data sets on two processes, and the table of what they found."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

CHUNK = 500  # data sets that a process takes at a time, at most


@dataclass
class Tally:
    """Counts of what happened, and a line for each failure."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, int, str]] = field(default_factory=list)
    """What failed, the seed that makes the data set again, and the numbers."""

    marked: list[int] = field(default_factory=list)
    """Seeds of data sets worth a closer look."""

    def count(self, name: str, yes: bool | int = True) -> None:
        """Add to a count."""
        self.counts[name] += int(yes)

    def require(self, true: bool, what: str, seed: int, numbers: object = "") -> None:
        """Record a failure unless it holds."""
        if not true:
            self.failures.append((what, seed, str(numbers)))

    def join(self, other: Tally) -> None:
        """Add the counts and failures of another tally."""
        self.counts.update(other.counts)
        self.failures.extend(other.failures)
        self.marked.extend(other.marked)

    def attempt(self, seed: int, what: str, function: Callable[[], None]) -> None:
        """Run a check in which warnings are errors; an exception is a failure."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                function()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            self.failures.append((f"{what} raised {type(error).__name__}", seed, f"{place} {error}"))


def options(description: str | None, n: int) -> argparse.ArgumentParser:
    """Command line that both scripts have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--n", type=int, default=n, help="random data sets (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--show", type=int, default=5, help="failures printed of each kind (default: %(default)s)")
    return parser


def run(check: Callable[[Sequence[int]], Tally], seeds: Sequence[int], processes: int) -> Tally:
    """Check the seeds in chunks, in parallel."""
    size = max(1, min(CHUNK, len(seeds) // (8 * processes)))
    if not seeds:
        return Tally()
    chunks = [seeds[i : i + size] for i in range(0, len(seeds), size)]
    total = Tally()
    start = time.perf_counter()
    if processes == 1:
        for chunk in chunks:
            total.join(check(chunk))
    else:
        with ProcessPoolExecutor(processes) as pool:
            for tally in pool.map(check, chunks):
                total.join(tally)
    total.counts["seconds"] = round(time.perf_counter() - start)
    return total


def report(title: str, tally: Tally, show: int) -> None:
    """Print the counts, and the first failures of each kind."""
    print(f"\n{title}")
    for name, value in tally.counts.items():
        print(f"  {name:66}{value:>10,}")
    kinds = Counter(what for what, _, _ in tally.failures)
    print(f"  {'FAILURES':66}{len(tally.failures):>10,}")
    for what, number in kinds.most_common():
        print(f"    {what}: {number}")
        for line in _first(tally.failures, what, show):
            print(f"      {line}")
    sys.stdout.flush()


def _first(failures: Iterable[tuple[str, int, str]], what: str, show: int) -> list[str]:
    return [f"seed {seed}: {numbers}" for kind, seed, numbers in failures if kind == what][:show]
