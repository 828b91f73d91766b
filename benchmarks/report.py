"""Condenses the JSON files of the benchmarks to summary.json and writes the tables of docs/performance.md from it.

A table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; NAME is a script, ``goals`` (of goals.csv) or
``machine``. The text around them stays. A script that did not run keeps what it had in summary.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from side_by_side import clock, quartiles

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
SUMMARY = HERE / "summary.json"
Content = dict[str, Any]
Results = dict[str, Content]


class Goal(NamedTuple):
    """What was aimed at, and which two rows tell.

    Parameters
    ----------
    work, peer : str
        Words of the table.
    least : float
        How many times faster than the peer.
    script, title : str
        Which table of which script: the first whose title has these words.
    ours, theirs : str
        Rows, by how they begin; ``*`` is the fastest row that does not begin with "metaan".
    limits : str
        What stands in the way, told where the goal is not reached.
    """

    work: str
    peer: str
    least: float
    script: str
    title: str
    ours: str
    theirs: str
    limits: str


def read_goals() -> list[Goal]:
    with (HERE / "goals.csv").open(encoding="utf-8") as file:
        return [Goal(**row | {"least": float(row["least"])}) for row in csv.DictReader(file)]


def condensed(content: Content) -> Content:
    """Medians and quartiles instead of every time of every round; nothing of curves, which are drawn."""
    short = {name: value for name, value in content.items() if name not in ("curves", "tables")}
    if "tables" in content:
        short["tables"] = [condensed_table(table) for table in content["tables"]]
    return short


def condensed_table(table: Content) -> Content:
    rows = {
        name: dict(zip(("low", "median", "high"), map(four, quartiles(times)), strict=True)) | {"rounds": len(times)}
        for name, times in table["seconds"].items()
    }
    return {name: value for name, value in table.items() if name not in ("seconds", "ratio")} | {"rows": rows}


def four(value: float) -> float:
    """With four digits."""
    return float(f"{value:.4g}")


def ratio(value: float) -> str:
    """With two or three digits."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 9.95 else f"{value:.2g}"


def medians(table: Content) -> dict[str, float]:
    return {name: row["median"] for name, row in table["rows"].items()}


def lines_of(*rows: tuple[str, ...]) -> list[str]:
    """A table in Markdown; the first row is its head."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *body]


def tables(content: Content) -> list[str]:
    """Median, quartiles and ratio of every contender of a script, and memory where it was measured."""
    lines = []
    for table in content["tables"]:
        base, memory = table["rows"][table["baseline"]]["median"], table.get("megabytes", {})
        rows = [("", "median", "quartiles", "ratio", *(["peak memory"] if memory else []))]
        for name, row in table["rows"].items():
            mark = "1" if name == table["baseline"] else ratio(row["median"] / base)
            spread = f"{clock(row['low'])} - {clock(row['high'])}"
            last = [f"{memory[name]:,.0f} MB"] if memory else []
            rows.append((name, clock(row["median"]), spread, mark, *last))
        lines += [f"**{table['title']}**", "", *lines_of(*rows), ""]
        lines += [f"{table['note']}.", ""] if table.get("note") else []
    return lines


def batch(content: Content) -> list[str]:
    """The tables, and memory by the number of data sets."""
    peaks = content["megabytes"]
    names = dict.fromkeys(name for row in peaks.values() for name in row)
    rows = [
        (name, *(f"{peaks[size][name]:,.0f} MB" if name in peaks[size] else "" for size in peaks)) for name in names
    ]
    head = ("", *(f"{size} sets" for size in peaks))
    return [*tables(content), "**Peak memory of a fresh process that pools by REML**", "", *lines_of(head, *rows)]


def single(content: Content) -> list[str]:
    """One row for each estimator and program, one column for each number of studies."""
    sizes: list[str] = []
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for table in content["tables"]:
        method, size = table["title"].split(", k = ")
        sizes += [] if size in sizes else [size]
        found = medians(table)
        for name, value in found.items():
            text = clock(value) if name == "metaan" else ratio(value / found["metaan"])
            cells.setdefault((method, name), {})[size] = text
        for name, why in table["left_out"].items():
            cells.setdefault((method, name), {})[size] = f"({why})"
    head = ("estimator", "program", *(f"k = {size}" for size in sizes))
    return lines_of(head, *((*who, *(row.get(size, "") for size in sizes)) for who, row in cells.items()))


def growth(content: Content) -> list[str]:
    """Slopes and the largest size."""
    rows = [("", "program", "grows as", "fitted to", "at the largest size")]
    for row in content["slopes"]:
        axis = row["axis"]
        fitted, last = f"{axis} = {row['from']:,} to {row['to']:,}", f"{row['value']} at {axis} = {row['to']:,}"
        rows.append((row["panel"], row["name"], f"{axis}^{row['slope']:.2f}", fitted, last))
    return lines_of(*rows)


def scale(content: Content) -> list[str]:
    """One row for each run."""
    rows = [("workers", "time", "a second", "peak memory of a worker")]
    for run in content["runs"]:
        who = f"{run['workers']}, one killed half-way" if run.get("killed") else str(run["workers"])
        peak = ", ".join(f"{value:.0f}" for value in run["peak_mb"])
        rows.append((who, f"{run['seconds']:.1f} s", f"{run['per_second']:,.0f}", f"{peak} MB"))
    alike = "the same, bit for bit" if len({run["sha256"] for run in content["runs"]}) == 1 else "DIFFERENT"
    efficiency, by_cpu, worst = (content[name] for name in ("efficiency", "efficiency_by_cpu", "from_pool"))
    return [
        f"{content['n']:,} meta-analyses:",
        "",
        *lines_of(*rows),
        "",
        f"Scaling efficiency t1/(2 t2): {efficiency:.2f}; by processor time of the workers {by_cpu:.2f}.",
        f"The results of all runs are {alike}; a sample lies within {worst:.0e} of `metaan.pool`.",
    ]


def goals(results: Results) -> list[str]:
    """Measured against aimed at."""
    rows = [("work", "against", "goal", "measured", "", "what limits it")]
    for goal in read_goals():
        found = measured(goal, results)
        told, state = ("not measured", "") if found is None else (ratio(found), "reached")
        limits = ""
        if found is not None and found < goal.least:
            state, limits = f"{found / goal.least:.2f} of it", goal.limits
        rows.append((goal.work, goal.peer, ratio(goal.least), told, state, limits))
    return lines_of(*rows)


def measured(goal: Goal, results: Results) -> float | None:
    """Median time of the peer over ours; None where one of the two was not timed."""
    content = results.get(goal.script, {})
    if goal.script == "scale" and content:
        peak = max(max(run["peak_mb"]) for run in content["runs"])
        return float(content["efficiency"]) if goal.ours == "efficiency" else 1000 / peak
    for table in content.get("tables", []):
        if goal.title in table["title"]:
            rows = medians(table)
            ours = [value for name, value in rows.items() if name.startswith(goal.ours)]
            theirs = [value for name, value in rows.items() if name.startswith(goal.theirs)]
            if goal.theirs == "*":
                theirs = sorted(value for name, value in rows.items() if not name.startswith("metaan"))
            return theirs[0] / ours[0] if ours and theirs else None
    return None


def machine(results: Results) -> list[str]:
    """Versions and settings; more than one where scripts ran with different ones."""
    found: dict[str, list[str]] = {}
    for content in results.values():
        for name, value in content["surroundings"].items():
            label = "PyMARE" if name == "pymare" else name
            seen = found.setdefault(label, [])
            seen += [] if value in seen else [value]
    return lines_of(("", ""), *((name, "; ".join(values)) for name, values in found.items()))


SPECIAL: dict[str, Callable[[Content], list[str]]] = {
    "bench_batch": batch,
    "bench_single": single,
    "growth": growth,
    "scale": scale,
}
OF_ALL: dict[str, Callable[[Results], list[str]]] = {"goals": goals, "machine": machine}


def filled(page: str, results: Results) -> str:
    """The page with new tables."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        if name in OF_ALL:
            lines = OF_ALL[name](results)
        elif name in results:
            lines = SPECIAL.get(name, tables)(results[name])
        else:
            lines = ["Not measured."]
        text = "\n".join(lines).strip()
        return f"<!-- begin {name} -->\n{text}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end \1 -->", table, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "results", help="where the JSON files are")
    folder = parser.parse_args().folder
    new = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    if not new:
        raise SystemExit(f"No JSON files in {folder}: run make bench.")
    old = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.exists() else {}
    results = old | {name: condensed(content) for name, content in new.items()}
    SUMMARY.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print("\n".join(goals(results)))
    kept = ", ".join(sorted(old.keys() - new.keys()))
    print(f"\nfrom this run: {', '.join(new)}; from an earlier one: {kept or 'none'}")


if __name__ == "__main__":
    main()
