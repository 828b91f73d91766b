"""The figure of `growth.py`: time and memory on log axes, each line named at its end with its slope."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

COLOURS = {"metaan": 0, "metaan[fast]": 2, "PyMARE": 1, "PyMetaAnalysis": 4, "pimeta": 3, "metafor": 7}
MARKERS = {"metaan": "o", "metaan[fast]": "s", "PyMARE": "D", "PyMetaAnalysis": "^", "pimeta": "v", "metafor": "P"}
WORDS = {
    "time by n": ("Meta-analyses of 13 studies in one call, n", "Seconds"),
    "time by k": ("Studies of one meta-analysis, k", "Seconds"),
    "memory by n": ("Meta-analyses of 13 studies in one call, n", "MB beside the data"),
    "memory by k": ("Studies of one meta-analysis, k", "MB beside the data"),
}
TITLES = {
    "time by n": "a  Time, many meta-analyses",
    "time by k": "b  Time, one meta-analysis",
    "memory by n": "c  Memory, many meta-analyses",
    "memory by k": "d  Memory, one meta-analysis",
}
LINE = 9.5  # points between two names
Curve = dict[int, float]


Axis = tuple[int, int]


def draw(curves: dict[str, dict[str, Curve]], rows: list[dict[str, Any]], path: Path) -> None:
    """One panel for each quantity and axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    from metaan.plot.style import current_style

    power = {(row["panel"], row["name"]): row["slope"] for row in rows}
    shown = {
        panel: {name: points for name, points in lines.items() if len(points) > 1} for panel, lines in curves.items()
    }
    look = current_style()
    style = {"font.family": look.family, "font.size": look.size, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5}
    style |= {"axes.labelsize": look.size, "axes.titlesize": 9}
    with sns.axes_style("ticks"), plt.rc_context(style):
        figure, axes = plt.subplots(-(-len(shown) // 2), 2, figsize=(7.2, 5.2), layout="constrained", squeeze=False)
        figure.get_layout_engine().set(h_pad=0.08)
        for ax, (panel, lines) in zip(axes.flat, shown.items(), strict=True):
            _panel(ax, panel, lines, look.palette, _along(shown, panel[-1]))
        figure.canvas.draw()  # settles the layout, and so the places of the names
        for ax, (panel, lines) in zip(axes.flat, shown.items(), strict=True):
            _names(ax, lines, {name: power[panel, name] for name in lines if (panel, name) in power}, look.palette)
        figure.savefig(path, dpi=200, pil_kwargs={"optimize": True})
        plt.close(figure)


def _along(shown: dict[str, dict[str, Curve]], axis: str) -> Axis:
    """Smallest and largest size of the panels with this axis."""
    sizes = [
        size for panel, lines in shown.items() if panel[-1] == axis for points in lines.values() for size in points
    ]
    return min(sizes), max(sizes)


def _panel(ax: Any, panel: str, lines: dict[str, Curve], palette: Any, along: Axis) -> None:
    import seaborn as sns

    for name, points in lines.items():
        mark = {"marker": MARKERS[name], "ms": 3.8, "mec": "white", "mew": 0.4}
        ax.plot(list(points), list(points.values()), lw=1.3, color=palette[COLOURS[name]], clip_on=False, **mark)
    ax.set(xscale="log", yscale="log", ylabel=WORDS[panel][1])
    ax.set_xlabel(WORDS[panel][0], loc="left")
    ax.set_title(TITLES[panel], loc="left", fontweight="bold")
    smallest, largest = along
    ax.set_xlim(smallest / 1.2, largest * (largest / smallest) ** 0.58)  # room for the names
    ax.set_xticks([10**e for e in range(1, 7) if smallest <= 10**e <= largest])
    ax.margins(y=0.08)
    values = [math.log10(value) for points in lines.values() for value in points.values()]
    if math.floor(max(values)) <= math.ceil(min(values)):  # one power of ten at most: no scale to read
        ax.set_ylim(10 ** math.floor(min(values)), 10 ** math.ceil(max(values)))
    ax.minorticks_off()
    ax.spines["bottom"].set_bounds(smallest / 1.2, largest)
    sns.despine(ax=ax)


def _names(ax: Any, lines: dict[str, Curve], power: dict[str, float], palette: Any) -> None:
    """Name and slope right of the last point, moved apart where they would touch."""
    ends = {name: (max(points), points[max(points)]) for name, points in lines.items()}
    unit = 72 / ax.figure.dpi
    place = {name: ax.transData.transform(end) * unit for name, end in ends.items()}
    placed: list[tuple[float, float]] = []
    for name in sorted(ends, key=lambda name: place[name][1]):
        x, y = place[name]
        for left, height in placed:
            if abs(left - x) < 90 and y < height + LINE:
                y = height + LINE
        placed.append((x, y))
        ax.annotate(
            f"{name}, slope {power[name]:.2f}" if name in power else name,
            ends[name], xytext=(6, y - place[name][1]), textcoords="offset points", va="center", ha="left",
            color=[0.75 * c for c in palette[COLOURS[name]]], fontsize=7.5, annotation_clip=False,
        )  # fmt: skip
