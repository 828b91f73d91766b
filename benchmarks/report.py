"""Writes the tables of docs/performance.md from the JSON files of the benchmarks; the text around them stays.

A table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; NAME is a script, or ``goals`` of goals.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Goal:
    """What was aimed at, and which two rows tell.

    Parameters
    ----------
    work, peer : str
        Words of the table.
    least : float
        How many times faster than the peer.
    script, title : str
        Which table of which script; the title is matched at its start.
    ours, theirs : str
        Rows, matched at their start.
    """

    work: str
    peer: str
    least: float
    script: str
    title: str
    ours: str
    theirs: str


def read_goals() -> list[Goal]:
    with (HERE / "goals.csv").open(encoding="utf-8") as file:
        return [Goal(**row | {"least": float(row["least"])}) for row in csv.DictReader(file)]


def seconds(value: float) -> str:
    """With three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def ratio(value: float) -> str:
    """With two or three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def tables(content: dict[str, Any]) -> str:
    """Median and ratio of every contender of a script."""
    lines = []
    for table in content["tables"]:
        base = table["baseline"]
        lines += [f"**{table['title']}**", "", "| | median | ratio |", "|---|---|---|"]
        for name, times in table["seconds"].items():
            mark = "1" if name == base else ratio(table["ratio"][name])
            lines.append(f"| {name} | {seconds(statistics.median(times))} | {mark} |")
        lines.append("")
    return "\n".join(lines)


def single(content: dict[str, Any]) -> str:
    """One row for each estimator and peer, one column for each number of studies."""
    sizes: list[str] = []
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for table in content["tables"]:
        method, size = table["title"].split(", k = ")
        if size not in sizes:
            sizes.append(size)
        for name, times in table["seconds"].items():
            own = name == "metaan"
            text = seconds(statistics.median(times)) if own else ratio(table["ratio"][name])
            rows.setdefault((method, name), {})[size] = text
    lines = ["| estimator | program | " + " | ".join(f"k = {size}" for size in sizes) + " |"]
    lines.append("|---|---|" + "---|" * len(sizes))
    for (method, name), cells in rows.items():
        lines.append(f"| {method} | {name} | " + " | ".join(cells.get(size, "") for size in sizes) + " |")
    return "\n".join(lines) + "\n"


def growth(content: dict[str, Any]) -> str:
    """Slopes and the largest size."""
    lines = ["| | program | grows as | largest |", "|---|---|---|---|"]
    words = {"n": "time by n", "k": "time by k", "memory": "memory by n"}
    for row in content["slopes"]:
        by = "k" if row["axis"] == "k" else "n"
        value = f"{row['value']:.0f} MB" if row["unit"] == "MB" else seconds(row["value"])
        power = f"{by}^{row['slope']:.2f}"
        lines.append(f"| {words[row['axis']]} | {row['name']} | {power} | {value} at {by} = {row['largest']:,} |")
    return "\n".join(lines) + "\n"


def scale(content: dict[str, Any]) -> str:
    """One row for each run."""
    lines = [
        f"{content['n']:,} meta-analyses:",
        "",
        "| workers | time | a second | peak memory of a worker |",
        "|---|---|---|---|",
    ]
    for run in content["runs"]:
        who = f"{run['workers']}, one killed half-way" if run.get("killed") else str(run["workers"])
        peak = ", ".join(f"{value:.0f}" for value in run["peak_mb"])
        lines.append(f"| {who} | {run['seconds']:.1f} s | {run['per_second']:,.0f} | {peak} MB |")
    alike = "the same, bit for bit" if len({run["sha256"] for run in content["runs"]}) == 1 else "DIFFERENT"
    efficiency, by_cpu, worst = (content[name] for name in ("efficiency", "efficiency_by_cpu", "from_pool"))
    lines += [
        "",
        f"Scaling efficiency t1/(2 t2): {efficiency:.2f}; by processor time of the workers {by_cpu:.2f}.",
        f"The results of all runs are {alike}; a sample lies within {worst:.0e} of `metaan.pool`.",
    ]
    return "\n".join(lines) + "\n"


def goals(results: Results) -> str:
    """Measured against aimed at."""
    lines = ["| work | against | goal | measured | |", "|---|---|---|---|---|"]
    for goal in read_goals():
        found = measured(goal, results)
        if found is None:
            lines.append(f"| {goal.work} | {goal.peer} | {ratio(goal.least)} | not measured | |")
            continue
        state = "reached" if found >= goal.least else f"{found / goal.least:.2f} of it"
        lines.append(f"| {goal.work} | {goal.peer} | {ratio(goal.least)} | {ratio(found)} | {state} |")
    return "\n".join(lines) + "\n"


def measured(goal: Goal, results: Results) -> float | None:
    """Median time of the peer over ours."""
    for table in results.get(goal.script, {}).get("tables", []):
        if table["title"].startswith(goal.title):
            medians = {name: statistics.median(times) for name, times in table["seconds"].items()}
            ours, theirs = (
                next((value for name, value in medians.items() if name.lower().startswith(start.lower())), None)
                for start in (goal.ours, goal.theirs)
            )
            if ours and theirs:
                return theirs / ours
    return None


SPECIAL: dict[str, Callable[[dict[str, Any]], str]] = {"bench_single": single, "growth": growth, "scale": scale}


def filled(page: str, results: Results) -> str:
    """The page with new tables."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        if name == "goals":
            text = goals(results)
        elif name in results:
            text = SPECIAL.get(name, tables)(results[name])
        else:
            return match[0]
        return f"<!-- begin {name} -->\n{text.rstrip()}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end \1 -->", table, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "results", help="where the JSON files are")
    folder = parser.parse_args().folder
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    if not results:
        raise SystemExit(f"No JSON files in {folder}: run make bench.")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(goals(results))


if __name__ == "__main__":
    main()
