"""Two-arm trials as strata: the cells, and which trials say something on a measure."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.errors import Note, listed
from metaan.measures.columns import read, require
from metaan.measures.correction import for_display
from metaan.measures.effect_size import effect_size
from metaan.measures.person_time import TIMES, times
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS, tables
from metaan.validate import FloatArray

__all__ = ["Strata", "each_trial", "strata"]


class Strata(NamedTuple):
    """Cells of k trials, which of them say something, and how they were read."""

    cells: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    informative: npt.NDArray[np.bool_]
    study: tuple[str, ...]
    data: Any
    notes: tuple[Note, ...]

    def silence(self, measure: str) -> tuple[Note, ...]:
        """Which trials say nothing on the measure, if there are any."""
        silent = tuple(name for name, says in zip(self.study, self.informative, strict=True) if not says)
        if not silent:
            return ()
        many = "1 trial" if len(silent) == 1 else f"{len(silent)} trials"
        text = f"Without events (or with events alone), nothing is said on {measure} by {many}: {listed(silent)}."
        return (Note("no-information", text, silent),)


def strata(measure: str, columns: dict[str, Any], *, data: Any, study: Any, missing: str) -> Strata:
    """Read the columns that the measure takes."""
    needed = TIMES if measure.startswith("I") else ARMS
    require(measure, needed, columns)
    if measure.startswith("I"):
        of = read(TIMES, data, columns, study, missing)
        times(of)
        x1, t1, x2, t2 = (of[name] for name in TIMES)
        says = (x1 + x2 > 0) | (measure == "IRD")
        return Strata((x1, t1, x2, t2), says, of.study, of.data, of.notes)
    found = tables(data, columns, study, missing)
    a, b, c, d = found.cells
    says = np.ones(a.shape, dtype=bool) if measure == "RD" else a + c > 0
    if measure in ("OR", "PETO"):
        says &= b + d > 0
    return Strata(found.cells, says, found.study, found.data, found.notes)


def each_trial(measure: str, of: Strata) -> Effects:
    """Effects of the informative trials, 0.5 added where a cell is 0 (metafor's display)."""
    names = TIMES if measure.startswith("I") else ARMS
    one, two, three, four = (cell[of.informative] for cell in of.cells)
    values = (one, two, three, four) if measure.startswith("I") else (one, one + two, three, three + four)
    study = [name for name, says in zip(of.study, of.informative, strict=True) if says]
    rows = of.data
    if rows is not None and len(rows) == len(of.study):
        rows = rows.loc[of.informative]
    counts: dict[str, Any] = dict(zip(names, values, strict=True))
    eff = effect_size(measure, study=study, correction="none" if measure == "PETO" else "only0", **counts)
    shown = for_display(eff, "trials", "effect")
    return dataclasses.replace(shown, data=rows, notes=of.notes + shown.notes)
